/* What one statement is promised: who asks, its rows, its errors. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void a_guarded_statement_runs_as_its_session_and_the_settings_are_gone_after_it(void **state)
{
    struct bench bench;
    struct call guarded, unguarded;
    (void)state;
    bench_open(&bench, 1, 1, 0);
    call_init(&bench, &guarded, sql_who_am_i, NULL);
    call_as(&guarded, "token-a");
    call_init(&bench, &unguarded, sql_who_am_i, NULL);
    call_start(&guarded); /* both in the one connection's pipeline */
    call_start(&unguarded);
    call_wait(&bench, &guarded);
    call_wait(&bench, &unguarded);

    assert_ok(&guarded);
    assert_string_equal(db_string(guarded.rows, 0, 0), TENANT_A);
    assert_string_equal(guarded.scope.tenant_id, TENANT_A);
    assert_string_equal(guarded.scope.person_id, "person");
    assert_string_equal(guarded.scope.session_id, "");
    assert_ok(&unguarded);
    assert_int_equal(db_int(unguarded.rows, 0, 1), db_int(guarded.rows, 0, 1));
    assert_string_equal(db_string(unguarded.rows, 0, 0), "");
    bench_close(&bench);
}

static void an_error_in_authenticate_aborts_the_statement_behind_it(void **state)
{
    struct bench bench;
    struct call write, read, after;
    (void)state;
    bench_open(&bench, 1, 1, 0);
    call_init(&bench, &write, sql_count_up, NULL);
    call_as(&write, "stolen");
    call_run(&bench, &write);
    call_init(&bench, &read, sql_count_up_read, NULL);
    call_as(&read, "stolen");
    call_run(&bench, &read);
    assert_failed(&write, ERROR_UNAUTHENTICATED, "session_ended");
    assert_string_equal(write.error.detail, "Sign in again.");
    assert_failed(&read, ERROR_UNAUTHENTICATED, "session_ended");
    assert_int_equal(operator_int(&bench, sql_executions, NULL), 0);

    call_init(&bench, &after, sql_count_up, NULL); /* the connection is as good as new */
    call_as(&after, "token-b");
    call_run(&bench, &after);
    assert_ok(&after);
    assert_int_equal(operator_int(&bench, sql_executions, NULL), 1);
    bench_close(&bench);
}

static void a_scope_without_its_credential_is_never_sent(void **state)
{
    struct bench bench;
    struct call call;
    (void)state;
    bench_open(&bench, 1, 1, 0);
    call_init(&bench, &call, sql_count_up, NULL);
    call.scope.as = DB_AS_SESSION;
    call_run(&bench, &call);
    assert_failed(&call, ERROR_INTERNAL, "scope_without_guard");
    assert_int_equal(operator_int(&bench, sql_executions, NULL), 0);
    bench_close(&bench);
}

static void values_come_back_as_they_were(void **state)
{
    struct bench bench;
    struct call call, null;
    (void)state;
    bench_open(&bench, 1, 1, 0);
    call_init(&bench, &call, sql_echo, "gr\xc3\xbc\xc3\x9f'; --");
    call_run(&bench, &call);
    assert_ok(&call);
    assert_int_equal(db_rows(call.rows), 1);
    assert_string_equal(db_string(call.rows, 0, 0), "gr\xc3\xbc\xc3\x9f'; --");
    assert_false(db_is_null(call.rows, 0, 0));
    assert_true(db_is_null(call.rows, 0, 1));
    assert_string_equal(db_string(call.rows, 0, 1), "");
    assert_int_equal(db_int(call.rows, 0, 2), 42);
    assert_true(db_bool(call.rows, 0, 3));
    assert_false(db_bool(call.rows, 0, 4));
    call_init(&bench, &null, sql_echo, NULL);
    call_run(&bench, &null);
    assert_ok(&null);
    assert_true(db_is_null(null.rows, 0, 0));
    bench_close(&bench);
}

static void what_a_statement_raises_keeps_its_status_its_code_its_words_and_its_field(void **state)
{
    static const struct {
        const char *status;
        enum error_kind kind;
    } cases[] = {{"400", ERROR_INVALID},   {"402", ERROR_PAYMENT},       {"403", ERROR_FORBIDDEN},
                 {"404", ERROR_NOT_FOUND}, {"409", ERROR_CONFLICT},      {"410", ERROR_GONE},
                 {"413", ERROR_TOO_LARGE}, {"422", ERROR_UNPROCESSABLE}, {"429", ERROR_TOO_MANY}};
    struct bench bench;
    struct call call;
    (void)state;
    bench_open(&bench, 1, 1, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        call_init(&bench, &call, sql_raise, cases[i].status);
        call_run(&bench, &call);
        assert_failed(&call, cases[i].kind, "a_code");
        assert_string_equal(call.error.detail, "In words.");
        assert_string_equal(call.error.field, "/field");
    }
    assert_int_equal(db_counters(bench.db).failed, 0);
    bench_close(&bench);
}

static void any_other_error_is_internal_and_leaves_the_connection_usable(void **state)
{
    struct bench bench;
    struct call bad, good;
    (void)state;
    bench_open(&bench, 1, 1, 0);
    call_init(&bench, &bad, sql_not_a_number, "x");
    call_init(&bench, &good, sql_echo, "y");
    call_start(&bad);
    call_start(&good);
    call_wait(&bench, &bad);
    call_wait(&bench, &good);
    assert_failed(&bad, ERROR_INTERNAL, "database_error");
    assert_ok(&good);
    assert_int_equal(db_counters(bench.db).connected, 3);
    bench_close(&bench);
}

static void a_commit_that_fails_fails_the_statement(void **state)
{
    struct bench bench;
    struct call call;
    (void)state;
    bench_open(&bench, 1, 1, 0);
    call_init(&bench, &call, sql_deferred_duplicate,
              NULL); /* its row comes back, then the commit refuses it */
    call_run(&bench, &call);
    assert_failed(&call, ERROR_INTERNAL, "database_error");
    bench_close(&bench);
}

static void a_statement_that_takes_too_long_is_stopped_by_the_database(void **state)
{
    struct bench bench;
    struct call call;
    (void)state;
    bench_open(&bench, 1, 1, 0);
    call_init(&bench, &call, sql_read_slowly, "20");
    call_run(&bench, &call);
    assert_failed(&call, ERROR_UNAVAILABLE, "database_timeout");
    assert_true(call.error.retry_after > 0);
    assert_int_equal(db_counters(bench.db).connected, 3);
    bench_close(&bench);
}

static void a_serialisation_failure_is_tried_again_twice_and_no_more(void **state)
{
    struct bench bench;
    struct call call;
    (void)state;
    bench_open(&bench, 1, 1, 0);
    call_init(&bench, &call, sql_flaky, "3");
    call_as(&call, "token-a");
    call_run(&bench, &call);
    assert_ok(&call);
    assert_int_equal(db_int(call.rows, 0, 0), 3);

    call_init(&bench, &call, sql_flaky, "1000");
    call_run(&bench, &call);
    assert_failed(&call, ERROR_UNAVAILABLE, "database_busy");
    assert_true(call.error.retry_after > 0);
    assert_int_equal(operator_int(&bench, sql_executions, NULL), 6);
    bench_close(&bench);
}

static void a_result_above_the_bound_is_an_error_and_the_next_statement_works(void **state)
{
    struct bench bench;
    struct call call;
    (void)state;
    bench_open(&bench, 1, 1, 0);
    call_init(&bench, &call, sql_many_bytes, "40000");
    call_run(&bench, &call);
    assert_failed(&call, ERROR_INTERNAL, "database_result_too_large");
    call_init(&bench, &call, sql_many_bytes, "1000");
    call_run(&bench, &call);
    assert_ok(&call);
    assert_int_equal(db_rows(call.rows), 1000);
    bench_close(&bench);
}

static void a_table_that_changed_shape_is_read_in_its_new_shape(void **state)
{
    struct bench bench;
    struct call call;
    (void)state;
    bench_open(&bench, 1, 1, 0);
    call_init(&bench, &call, sql_all_of_shapes, NULL);
    call_run(&bench, &call);
    assert_ok(&call);
    operator_exec(&bench, "ALTER TABLE shapes ADD colour text; INSERT INTO shapes VALUES (3, 'red')");
    call_init(&bench, &call, sql_all_of_shapes, NULL);
    call_run(&bench, &call);
    assert_ok(&call);
    assert_string_equal(db_string(call.rows, 0, 1), "red");
    bench_close(&bench);
}

static void statements_that_wait_when_db_is_destroyed_end_with_unavailable(void **state)
{
    struct bench bench;
    struct call calls[6];
    (void)state;
    bench_open(&bench, 1, 1, 0);
    for (int i = 0; i < 6; i++) {
        call_init(&bench, &calls[i], i % 2 ? sql_write_slowly : sql_read_slowly, "1");
        call_start(&calls[i]);
    }
    bench_turn_for(&bench, 50);
    bench_close(&bench);
    for (int i = 0; i < 6; i++) {
        assert_true(calls[i].done);
        assert_int_equal(calls[i].error.kind, ERROR_UNAVAILABLE);
    }
    assert_null(db_here());
}

/* --- Two tenants over one connection -------------------------------------------------------- */

enum { FUZZ_FIBERS = 48, FUZZ_ROUNDS = 60 };

struct fuzzer {
    struct bench *bench;
    unsigned seed;
    unsigned foreign, own, refused, empty, other;
    bool done;
};

static void fuzz_once(struct fuzzer *f, struct arena *arena, unsigned kind)
{
    static const char *const tokens[] = {"token-a", "token-b", "stolen"};
    static const char *const tenants[] = {TENANT_A, TENANT_B};
    struct db_scope scope = {.arena = arena};
    const struct db_result *rows;
    const char *const none[] = {"x"};
    struct error err = {0};
    if (kind < 3) {
        scope.as = DB_AS_SESSION;
        scope.credential = tokens[kind];
        scope.need = "*";
    }
    if (kind == 4) { /* an error between the others */
        db_run(&scope, sql_not_a_number, none, &rows, &err);
        return;
    }
    int status = db_run(&scope, sql_my_items, NULL, &rows, &err);
    if (status < 0) {
        if (kind == 2 && err.kind == ERROR_UNAUTHENTICATED)
            f->refused++;
        else
            f->other++;
        return;
    }
    if (kind == 3 && db_rows(rows) == 0)
        f->empty++;
    for (int row = 0; row < db_rows(rows); row++) {
        if (kind < 2 && strcmp(db_string(rows, row, 0), tenants[kind]) == 0)
            f->own++;
        else
            f->foreign++;
    }
}

static void fuzz_fiber(void *arg)
{
    struct fuzzer *f = arg;
    for (int round = 0; round < FUZZ_ROUNDS; round++) {
        struct arena *arena = arena_create();
        fuzz_once(f, arena, (unsigned)rand_r(&f->seed) % 5);
        if (rand_r(&f->seed) % 8 == 0)
            loop_sleep(f->bench->loop, (unsigned)rand_r(&f->seed) % 3);
        arena_destroy(arena);
    }
    f->done = true;
}

static bool fuzz_done(void *arg)
{
    const struct fuzzer *f = arg;
    for (int i = 0; i < FUZZ_FIBERS; i++)
        if (!f[i].done)
            return false;
    return true;
}

static void two_tenants_interleaved_on_one_connection_never_see_each_other(void **state)
{
    struct bench bench;
    static struct fuzzer f[FUZZ_FIBERS];
    struct fuzzer sum = {0};
    (void)state;
    bench_open(&bench, 1, 1, 0);
    for (unsigned i = 0; i < FUZZ_FIBERS; i++) {
        f[i] = (struct fuzzer){.bench = &bench, .seed = i + 1};
        fiber_spawn(fuzz_fiber, &f[i]);
    }
    bench_until(&bench, fuzz_done, f);
    for (int i = 0; i < FUZZ_FIBERS; i++) {
        sum.foreign += f[i].foreign;
        sum.own += f[i].own;
        sum.refused += f[i].refused;
        sum.empty += f[i].empty;
        sum.other += f[i].other;
    }
    assert_int_equal(sum.foreign, 0);
    assert_int_equal(sum.other, 0);
    assert_true(sum.own > 1000 && sum.refused > 100 && sum.empty > 100);
    assert_int_equal(db_counters(bench.db).connected, 3);
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_guarded_statement_runs_as_its_session_and_the_settings_are_gone_after_it),
        cmocka_unit_test(an_error_in_authenticate_aborts_the_statement_behind_it),
        cmocka_unit_test(a_scope_without_its_credential_is_never_sent),
        cmocka_unit_test(values_come_back_as_they_were),
        cmocka_unit_test(what_a_statement_raises_keeps_its_status_its_code_its_words_and_its_field),
        cmocka_unit_test(any_other_error_is_internal_and_leaves_the_connection_usable),
        cmocka_unit_test(a_commit_that_fails_fails_the_statement),
        cmocka_unit_test(a_statement_that_takes_too_long_is_stopped_by_the_database),
        cmocka_unit_test(a_serialisation_failure_is_tried_again_twice_and_no_more),
        cmocka_unit_test(a_result_above_the_bound_is_an_error_and_the_next_statement_works),
        cmocka_unit_test(a_table_that_changed_shape_is_read_in_its_new_shape),
        cmocka_unit_test(statements_that_wait_when_db_is_destroyed_end_with_unavailable),
        cmocka_unit_test(two_tenants_interleaved_on_one_connection_never_see_each_other),
    };
    return cmocka_run_group_tests_name("db statements", tests, bench_group_setup, NULL);
}
