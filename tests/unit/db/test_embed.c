/* What embed_sql.py made of sample.sql and sample.bin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "sample_bytes.h"
#include "sample_sql.h"

static void a_statement_has_its_name_its_lane_and_its_parameters(void **state)
{
    (void)state;
    assert_string_equal(sql_sample_first->name, "sample_first");
    assert_int_equal(sql_sample_first->lane, DB_LANE_READ);
    assert_int_equal(sql_sample_first->params, 0);
    assert_int_equal(sql_sample_second->lane, DB_LANE_WRITE);
    assert_int_equal(sql_sample_second->params, 2);
    assert_int_equal(sql_sample_third->lane, DB_LANE_SLOW);
    assert_int_equal(sql_sample_third->params, 10);
}

static void comments_are_left_out_and_what_stands_in_quotes_is_kept(void **state)
{
    (void)state;
    assert_string_equal(sql_sample_first->sql, "SELECT 1");
    assert_string_equal(sql_sample_second->sql,
                        "INSERT INTO t (a, b, \"c;\"\"d\")\n"
                        "VALUES ($2, $1, 'it''s -- no comment; and no $9 \"parameter\" \\ ?"
                        "?=')");
    assert_null(strstr(sql_sample_third->sql, "dropped"));
}

static void the_table_holds_all_in_order_and_ends_with_a_null_name(void **state)
{
    (void)state;
    assert_ptr_equal(&sample_statements[0], sql_sample_first);
    assert_ptr_equal(&sample_statements[1], sql_sample_second);
    assert_ptr_equal(&sample_statements[2], sql_sample_third);
    assert_null(sample_statements[3].name);
}

static void a_file_is_embedded_byte_for_byte(void **state)
{
    static const char expected[] = "a\0b\"\\\n\377?"
                                   "? trigraph 0\0011";
    (void)state;
    assert_int_equal(sample_bytes_size, sizeof(expected) - 1);
    assert_memory_equal(sample_bytes, expected, sizeof(expected));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_statement_has_its_name_its_lane_and_its_parameters),
        cmocka_unit_test(comments_are_left_out_and_what_stands_in_quotes_is_kept),
        cmocka_unit_test(the_table_holds_all_in_order_and_ends_with_a_null_name),
        cmocka_unit_test(a_file_is_embedded_byte_for_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
