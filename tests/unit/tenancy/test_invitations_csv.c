#include "tenancy/invitations_csv.h"

#include <string.h>

#include "arena_testing.h"

static void assert_rows(struct fixture *f, const char *csv, const char *json)
{
    json_t *rows;
    assert_int_equal(invitations_from_csv(f->arena, text_of(csv), &rows, &f->err), 0);
    assert_string_equal(json_render(f->arena, rows).p, json);
}

static void assert_refused(struct fixture *f, struct text csv, const char *code, const char *field)
{
    json_t *rows;
    assert_int_equal(invitations_from_csv(f->arena, csv, &rows, &f->err), -1);
    assert_string_equal(f->err.code, code);
    assert_string_equal(f->err.field, field);
    assert_int_equal(f->err.kind, ERROR_UNPROCESSABLE);
}

static void test_columns_come_in_any_order_and_case(void **state)
{
    assert_rows(*state, "Name,EMAIL\nAnna,a@b.org\n", "[{\"email\":\"a@b.org\",\"name\":\"Anna\",\"roles\":[\"trainee\"]}]");
}

static void test_quotes_hold_commas_quotes_and_line_ends(void **state)
{
    assert_rows(*state, "email,name\r\n\"a@b.org\",\"Berg, \"\"Anna\"\"\r\nDr\"\r\n",
                "[{\"email\":\"a@b.org\",\"name\":\"Berg, \\\"Anna\\\"\\r\\nDr\",\"roles\":[\"trainee\"]}]");
}

static void test_roles_are_told_apart_by_comma_semicolon_and_blank(void **state)
{
    assert_rows(*state, "email,roles\na@b.org,\"trainee, expert;educator manager\"\n",
                "[{\"email\":\"a@b.org\",\"roles\":[\"trainee\",\"expert\",\"educator\",\"manager\"]}]");
}

static void test_no_roles_are_a_trainee(void **state)
{
    assert_rows(*state, "email,roles\na@b.org,\n", "[{\"email\":\"a@b.org\",\"roles\":[\"trainee\"]}]");
}

static void test_a_byte_order_mark_empty_lines_and_a_missing_last_line_end_do_no_harm(void **state)
{
    assert_rows(*state, "\xef\xbb\xbf" "email\n\na@b.org\r\n\r\nc@d.org",
                "[{\"email\":\"a@b.org\",\"roles\":[\"trainee\"]},{\"email\":\"c@d.org\",\"roles\":[\"trainee\"]}]");
}

static void test_blanks_around_a_field_go_but_not_within_quotes(void **state)
{
    assert_rows(*state, "email , name\n a@b.org ,\" Anna\"\n", "[{\"email\":\"a@b.org\",\"name\":\" Anna\",\"roles\":[\"trainee\"]}]");
}

static void test_what_is_not_in_order_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *csv, *code, *field;
    } cases[] = {
        {"", "malformed_csv", "columns"},
        {"\n\n", "malformed_csv", "columns"},
        {"email\n", "malformed_csv", "row 1"},
        {"name\nAnna\n", "column_missing", "columns"},
        {"email,Email\na,b\n", "malformed_csv", "columns"},
        {"email;name\na@b.org;x\n", "unknown_column", "columns"},
        {"email,name,roles,cohort,email\n", "malformed_csv", "columns"},
        {"email,name\na@b.org\n", "malformed_csv", "row 1"},
        {"email\na@b.org\nc@d.org,Dora\n", "malformed_csv", "row 2"},
        {"email\na\"b@c.org\n", "malformed_csv", "row 1"},
        {"email\n\"a@b.org\"x\n", "malformed_csv", "row 1"},
        {"email\n\"a@b.org\n", "malformed_csv", "row 1"},
        {"email\n\xff@b.org\n", "not_utf8", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_refused(*state, text_of(cases[i].csv), cases[i].code, cases[i].field);
    assert_refused(*state, TEXT("email\na\0b@c.org\n"), "not_utf8", "");
}

static void test_two_thousand_rows_are_taken_and_one_more_is_not(void **state)
{
    struct fixture *f = *state;
    struct buffer csv;
    json_t *rows;
    buffer_init(&csv, 1 << 20);
    buffer_puts(&csv, "email\n");
    for (int i = 0; i < INVITATIONS_ROWS_MAX; i++)
        buffer_printf(&csv, "p%d@example.org\n", i);
    assert_int_equal(invitations_from_csv(f->arena, (struct text){csv.p, csv.len}, &rows, &f->err), 0);
    assert_int_equal(json_array_size(rows), INVITATIONS_ROWS_MAX);
    buffer_puts(&csv, "one@example.org");
    assert_refused(f, (struct text){csv.p, csv.len}, "too_many_rows", "row 2001");
    buffer_finish(&csv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_columns_come_in_any_order_and_case),
        fixture_test(test_quotes_hold_commas_quotes_and_line_ends),
        fixture_test(test_roles_are_told_apart_by_comma_semicolon_and_blank),
        fixture_test(test_no_roles_are_a_trainee),
        fixture_test(test_a_byte_order_mark_empty_lines_and_a_missing_last_line_end_do_no_harm),
        fixture_test(test_blanks_around_a_field_go_but_not_within_quotes),
        fixture_test(test_what_is_not_in_order_is_refused_with_its_place),
        fixture_test(test_two_thousand_rows_are_taken_and_one_more_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
