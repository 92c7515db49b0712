/* What an error of the database means to its caller and to its connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "db/db_internal.h"

static void a_raised_status_becomes_its_kind(void **state)
{
    static const struct {
        const char *sqlstate;
        enum error_kind kind;
    } cases[] = {
        {"OR400", ERROR_INVALID},       {"OR401", ERROR_UNAUTHENTICATED}, {"OR402", ERROR_PAYMENT},
        {"OR403", ERROR_FORBIDDEN},     {"OR404", ERROR_NOT_FOUND},       {"OR409", ERROR_CONFLICT},
        {"OR410", ERROR_GONE},          {"OR412", ERROR_PRECONDITION}, {"OR413", ERROR_TOO_LARGE},       {"OR415", ERROR_UNSUPPORTED},
        {"OR422", ERROR_UNPROCESSABLE}, {"OR429", ERROR_TOO_MANY},        {"OR503", ERROR_UNAVAILABLE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error err;
        db_error_of(cases[i].sqlstate, "a_code", "In words.", "/field", &err);
        assert_int_equal(err.kind, cases[i].kind);
        assert_string_equal(err.code, "a_code");
        assert_string_equal(err.detail, "In words.");
        assert_string_equal(err.field, "/field");
        assert_int_equal(db_verdict_of(cases[i].sqlstate, NULL), DB_VERDICT_FINAL);
    }
}

static void a_raised_status_that_no_kind_has_is_internal(void **state)
{
    static const char *const odd[] = {"OR418", "OR200", "ORxyz", "OR+40", "OR   ", "OR40"};
    (void)state;
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        struct error err;
        db_error_of(odd[i], "a_code", NULL, NULL, &err);
        assert_int_equal(err.kind, ERROR_INTERNAL);
    }
}

static void the_databases_own_errors_become_what_a_client_can_act_on(void **state)
{
    static const struct {
        const char *sqlstate, *code;
        enum error_kind kind;
    } cases[] = {
        {"57014", "database_timeout", ERROR_UNAVAILABLE}, {"55P03", "database_busy", ERROR_UNAVAILABLE},
        {"40001", "database_busy", ERROR_UNAVAILABLE},    {"40P01", "database_busy", ERROR_UNAVAILABLE},
        {"53300", "database_busy", ERROR_UNAVAILABLE},    {"57P01", "database_away", ERROR_UNAVAILABLE},
        {"08006", "database_away", ERROR_UNAVAILABLE},    {"25006", "database_away", ERROR_UNAVAILABLE},
        {"23505", "database_error", ERROR_INTERNAL},      {"22P02", "database_error", ERROR_INTERNAL},
        {"42501", "database_error", ERROR_INTERNAL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error err;
        db_error_of(cases[i].sqlstate, "message", "detail", "hint", &err);
        assert_int_equal(err.kind, cases[i].kind);
        assert_string_equal(err.code, cases[i].code);
        assert_string_equal(err.field, "");
        assert_int_equal(err.retry_after > 0, err.kind == ERROR_UNAVAILABLE);
    }
}

static void an_error_tells_what_becomes_of_the_statement_and_its_connection(void **state)
{
    (void)state;
    assert_int_equal(db_verdict_of(NULL, NULL), DB_VERDICT_BROKEN);
    assert_int_equal(db_verdict_of("57P01", NULL), DB_VERDICT_BROKEN);
    assert_int_equal(db_verdict_of("57P02", NULL), DB_VERDICT_BROKEN);
    assert_int_equal(db_verdict_of("08003", NULL), DB_VERDICT_BROKEN);
    assert_int_equal(db_verdict_of("40001", NULL), DB_VERDICT_ROLLED_BACK);
    assert_int_equal(db_verdict_of("40P01", NULL), DB_VERDICT_ROLLED_BACK);
    assert_int_equal(db_verdict_of("55P03", NULL), DB_VERDICT_ROLLED_BACK);
    assert_int_equal(db_verdict_of("26000", NULL), DB_VERDICT_STALE);
    assert_int_equal(db_verdict_of("25006", NULL), DB_VERDICT_STALE);
    assert_int_equal(db_verdict_of("0A000", "RevalidateCachedQuery"), DB_VERDICT_STALE);
    assert_int_equal(db_verdict_of("0A000", "transformStmt"), DB_VERDICT_FINAL);
    assert_int_equal(db_verdict_of("57014", NULL), DB_VERDICT_FINAL);
    assert_int_equal(db_verdict_of("23505", NULL), DB_VERDICT_FINAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_raised_status_becomes_its_kind),
        cmocka_unit_test(a_raised_status_that_no_kind_has_is_internal),
        cmocka_unit_test(the_databases_own_errors_become_what_a_client_can_act_on),
        cmocka_unit_test(an_error_tells_what_becomes_of_the_statement_and_its_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
