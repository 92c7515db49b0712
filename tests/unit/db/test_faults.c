/* Lanes, queues and what happens when the database is slow, hangs or goes away. */
#include "bench.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "db/db_internal.h"

static bool write_waits_for_lock(void *arg)
{
    return operator_int(arg, sql_waiting_for_lock, "overread write") == 1;
}

static void a_write_that_waits_for_a_lock_delays_neither_reads_nor_other_writes(void **state)
{
    struct bench bench;
    struct call blocked, other;
    (void)state;
    bench_open(&bench, 1, 2, 0);
    operator_exec(&bench, "BEGIN; UPDATE counters SET n = 0 WHERE id = 1");
    call_init(&bench, &blocked, sql_take_row, "1");
    call_start(&blocked);
    bench_until(&bench, write_waits_for_lock, &bench);
    for (int i = 0; i < 20; i++) {
        call_init(&bench, &other, sql_echo, "x");
        call_run(&bench, &other);
        assert_ok(&other);
        call_init(&bench, &other, sql_take_row, "2");
        call_run(&bench, &other);
        assert_ok(&other);
    }
    assert_false(blocked.done);
    operator_exec(&bench, "COMMIT");
    call_wait(&bench, &blocked);
    assert_ok(&blocked);
    assert_int_equal(db_int(blocked.rows, 0, 0), 1);
    bench_close(&bench);
}

static void a_slow_export_delays_nobody(void **state)
{
    struct bench bench;
    struct call export, read, write;
    (void)state;
    bench_open(&bench, 1, 1, 0);
    operator_exec(&bench, "BEGIN; UPDATE counters SET n = 0 WHERE id = 1");
    call_init(&bench, &export, sql_export_locked, "1");
    call_start(&export);
    call_init(&bench, &read, sql_echo, "x");
    call_run(&bench, &read);
    call_init(&bench, &write, sql_count_up, NULL);
    call_run(&bench, &write);
    assert_ok(&read);
    assert_ok(&write);
    assert_false(export.done);
    operator_exec(&bench, "COMMIT");
    call_wait(&bench, &export);
    assert_ok(&export);
    bench_close(&bench);
}

static bool flag(void *arg)
{
    return *(const bool *)arg;
}

static void a_statement_whose_request_is_gone_is_dropped_before_it_is_sent(void **state)
{
    struct bench bench;
    struct call blocked, wanted, abandoned;
    bool gone = false;
    (void)state;
    bench_open(&bench, 1, 1, 0);
    operator_exec(&bench, "BEGIN; UPDATE counters SET n = 0 WHERE id = 1");
    call_init(&bench, &blocked, sql_take_row, "1");
    call_start(&blocked);
    call_init(&bench, &abandoned, sql_count_up, NULL);
    abandoned.scope.gone = flag;
    abandoned.scope.gone_arg = &gone;
    call_start(&abandoned);
    call_init(&bench, &wanted, sql_count_up, NULL);
    call_start(&wanted);
    bench_until(&bench, write_waits_for_lock, &bench);
    gone = true;
    operator_exec(&bench, "COMMIT");
    call_wait(&bench, &wanted);
    assert_ok(&blocked);
    assert_failed(&abandoned, ERROR_CANCELLED, "request_gone");
    assert_ok(&wanted);
    assert_int_equal(db_counters(bench.db).dropped, 1);
    assert_int_equal(operator_int(&bench, sql_executions, NULL), 1);
    bench_close(&bench);
}

static void a_full_queue_refuses_at_once(void **state)
{
    struct bench bench;
    struct call blocked, queued[3], refused;
    (void)state;
    bench_open(&bench, 1, 1, 3);
    operator_exec(&bench, "BEGIN; UPDATE counters SET n = 0 WHERE id = 1");
    call_init(&bench, &blocked, sql_take_row, "1");
    call_start(&blocked);
    for (int i = 0; i < 3; i++) {
        call_init(&bench, &queued[i], sql_count_up, NULL);
        call_start(&queued[i]);
    }
    assert_int_equal(db_counters(bench.db).waiting, 3);
    call_init(&bench, &refused, sql_count_up, NULL);
    call_start(&refused);
    assert_failed(&refused, ERROR_UNAVAILABLE, "database_busy");
    assert_true(refused.error.retry_after > 0);
    assert_int_equal(db_counters(bench.db).refused, 1);
    operator_exec(&bench, "COMMIT");
    for (int i = 0; i < 3; i++) {
        call_wait(&bench, &queued[i]);
        assert_ok(&queued[i]);
    }
    assert_int_equal(operator_int(&bench, sql_executions, NULL), 3);
    bench_close(&bench);
}

static void a_read_that_finds_no_place_for_two_seconds_is_refused(void **state)
{
    struct bench bench;
    static struct call calls[72]; /* 32 of them are in flight at once, one ends each tenth of a second */
    (void)state;
    bench_open(&bench, 1, 1, 0);
    for (int i = 0; i < 72; i++) {
        call_init(&bench, &calls[i], sql_read_slowly, "0.1");
        call_start(&calls[i]);
    }
    assert_int_equal(db_counters(bench.db).waiting, 40);
    for (int i = 0; i < 72; i++)
        call_wait(&bench, &calls[i]);
    assert_ok(&calls[32]); /* had its turn as soon as the first was done */
    assert_failed(&calls[71], ERROR_UNAVAILABLE, "database_busy");
    assert_true(calls[71].error.retry_after > 0);
    bench_close(&bench);
}

static bool a_read_runs(void *arg)
{
    return operator_int(arg, sql_backend_of, "overread read") > 0;
}

static bool a_write_runs(void *arg)
{
    return operator_int(arg, sql_backend_of, "overread write") > 0;
}

static void reads_survive_pg_terminate_backend_and_a_write_says_that_its_outcome_is_unknown(void **state)
{
    struct bench bench;
    struct call reads[12], write, queued;
    (void)state;
    bench_open(&bench, 2, 1, 0);
    for (int i = 0; i < 12; i++) {
        call_init(&bench, &reads[i], sql_read_slowly, "0.15");
        call_start(&reads[i]);
    }
    call_init(&bench, &write, sql_write_slowly, "3");
    call_start(&write);
    call_init(&bench, &queued, sql_count_up, NULL); /* not sent yet: nothing happened to it */
    call_start(&queued);
    bench_until(&bench, a_read_runs, &bench);
    bench_until(&bench, a_write_runs, &bench);
    operator_int(&bench, sql_terminate, "overread read");
    operator_int(&bench, sql_terminate, "overread write");
    for (int i = 0; i < 12; i++) {
        call_wait(&bench, &reads[i]);
        assert_ok(&reads[i]);
        assert_string_equal(db_string(reads[i].rows, 0, 1), "rested");
    }
    call_wait(&bench, &write);
    assert_failed(&write, ERROR_UNAVAILABLE, "outcome_unknown");
    assert_true(write.error.retry_after > 0);
    call_wait(&bench, &queued);
    assert_ok(&queued);
    bench_close(&bench);
}

static void a_server_that_hangs_is_given_up_and_the_read_runs_on_another_connection(void **state)
{
    struct bench bench;
    struct call read;
    (void)state;
    bench_open(&bench, 2, 1, 0);
    call_init(&bench, &read, sql_read_slowly, "0.2");
    call_start(&read);
    bench_until(&bench, a_read_runs, &bench);
    pid_t frozen = (pid_t)operator_int(&bench, sql_backend_of, "overread read");
    assert_int_equal(kill(frozen, SIGSTOP), 0);
    call_wait(&bench, &read);
    kill(frozen, SIGCONT);
    assert_ok(&read);
    bench_close(&bench);
}

static bool db_is_ready(void *arg)
{
    return db_ready(arg);
}

static bool none_connected(void *arg)
{
    return db_counters(arg).connected == 0;
}

static void a_database_that_is_away_is_said_at_once_and_it_recovers_by_itself(void **state)
{
    struct bench bench;
    struct call early, late, after;
    (void)state;
    bench_open(&bench, 2, 2, 0);
    bench.operator= db_session_close(bench.operator);
    postgres_stop();
    bench_until(&bench, none_connected, bench.db);
    assert_false(db_ready(bench.db));
    call_init(&bench, &early, sql_echo, "x"); /* a reconnect might be quick: it waits a little */
    call_start(&early);
    assert_false(early.done);
    call_wait(&bench, &early);
    assert_failed(&early, ERROR_UNAVAILABLE, "database_away");
    call_init(&bench, &late, sql_count_up, NULL);
    call_start(&late);
    assert_failed(&late, ERROR_UNAVAILABLE, "database_away");
    assert_int_equal(late.error.retry_after, 2);

    postgres_restart();
    bench_until(&bench, db_is_ready, bench.db);
    call_init(&bench, &after, sql_my_items, NULL);
    call_as(&after, "token-a");
    call_run(&bench, &after);
    assert_ok(&after);
    assert_int_equal(db_rows(after.rows), 10);
    bench_close(&bench);
}

static bool all_back_off(void *arg)
{
    const struct db *db = arg;
    for (int i = 0; i < DB_LANES; i++)
        for (unsigned c = 0; c < db->lanes[i].connection_count; c++)
            if (db->lanes[i].connections[c].link.pg)
                return false;
    return true;
}

/* Away for long, and only the read lane's first connection would try by itself within a foreseeable time. */
static void go_away_for_long(struct bench *bench)
{
    struct db *db = bench->db;
    bench->operator= db_session_close(bench->operator);
    postgres_stop();
    bench_until(bench, all_back_off, db);
    db->heard_ns = 0;
    for (int i = 0; i < DB_LANES; i++) {
        db->lanes[i].down_since_ns = 0;
        for (unsigned c = 0; c < db->lanes[i].connection_count; c++)
            if (i != DB_LANE_READ || c > 0)
                loop_timer_stop(&db->lanes[i].connections[c].link.timer);
    }
}

static bool all_five_connected(void *arg)
{
    return db_counters(arg).connected == 5;
}

static void the_first_connection_that_is_let_in_again_calls_the_others(void **state)
{
    struct bench bench;
    (void)state;
    bench_open(&bench, 2, 2, 0);
    go_away_for_long(&bench);
    postgres_restart();
    bench_until(&bench, all_five_connected, bench.db);
    assert_true(db_ready(bench.db));
    bench_close(&bench);
}

static void it_is_ready_while_every_lane_has_a_connection(void **state)
{
    struct bench bench;
    (void)state;
    bench_open(&bench, 1, 1, 0);
    for (int i = 0; i < DB_LANES; i++) {
        assert_true(db_ready(bench.db));
        db_connection_break(&bench.db->lanes[i].connections[0], "the test wants it so");
        assert_false(db_ready(bench.db));
        bench_until(&bench, db_is_ready, bench.db);
    }
    bench_close(&bench);
}

static bool one_connected(void *arg)
{
    return db_counters(arg).connected == 1;
}

static void a_statement_waits_for_its_lane_once_the_database_lets_connections_in(void **state)
{
    struct bench bench;
    struct call refused, waiting;
    (void)state;
    bench_open(&bench, 1, 1, 0);
    go_away_for_long(&bench);
    bench.db->away_grace_ms = 10000; /* that a slow machine does not decide this */
    call_init(&bench, &refused, sql_count_up, NULL);
    call_start(&refused);
    assert_failed(&refused, ERROR_UNAVAILABLE, "database_away");
    postgres_restart();
    bench_until(&bench, one_connected, bench.db);
    assert_false(db_ready(bench.db));
    call_init(&bench, &waiting, sql_count_up, NULL);
    call_start(&waiting);
    assert_false(waiting.done);
    call_wait(&bench, &waiting);
    assert_ok(&waiting);
    bench_close(&bench);
}

/* --- LISTEN --------------------------------------------------------------------------------- */

struct heard {
    struct bench *bench;
    unsigned missed, notified;
    char last[64];
};

static void hear(void *arg, const char *payload)
{
    struct heard *heard = arg;
    if (!payload) {
        heard->missed++;
        return;
    }
    heard->notified++;
    snprintf(heard->last, sizeof(heard->last), "%s", payload);
}

static bool heard_missed_once(void *arg)
{
    return ((const struct heard *)arg)->missed >= 1;
}

static bool heard_missed_twice(void *arg)
{
    return ((const struct heard *)arg)->missed >= 2;
}

static bool heard_one(void *arg)
{
    return ((const struct heard *)arg)->notified == 1;
}

static void a_listener_hears_its_channel_and_is_told_when_it_may_have_missed_something(void **state)
{
    struct bench bench;
    struct heard first = {0}, second = {0};
    (void)state;
    bench_open(&bench, 1, 1, 0);
    assert_false(db_listening(bench.db));
    assert_int_equal(db_listen(bench.db, "channel_one", hear, &first), 0);
    bench_until(&bench, heard_missed_once, &first);
    assert_int_equal(db_listen(bench.db, "Channel Two", hear, &second), 0); /* on the open connection */
    assert_false(db_listening(bench.db));
    bench_until(&bench, heard_missed_once, &second);
    assert_true(db_listening(bench.db));

    operator_exec(&bench, "NOTIFY channel_one, 'one'; NOTIFY \"Channel Two\", 'two'");
    bench_until(&bench, heard_one, &first);
    bench_until(&bench, heard_one, &second);
    assert_string_equal(first.last, "one");
    assert_string_equal(second.last, "two");

    first.missed = second.missed = 1;
    operator_int(&bench, sql_terminate, "overread listen");
    bench_until(&bench, heard_missed_twice, &first);
    assert_int_equal(second.missed, 2);
    db_unlisten(bench.db, &first);
    operator_exec(&bench, "NOTIFY channel_one, 'again'; NOTIFY \"Channel Two\", 'again'");
    second.notified = 0;
    bench_until(&bench, heard_one, &second);
    assert_int_equal(first.notified, 1);
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_that_waits_for_a_lock_delays_neither_reads_nor_other_writes),
        cmocka_unit_test(a_slow_export_delays_nobody),
        cmocka_unit_test(a_statement_whose_request_is_gone_is_dropped_before_it_is_sent),
        cmocka_unit_test(a_full_queue_refuses_at_once),
        cmocka_unit_test(a_read_that_finds_no_place_for_two_seconds_is_refused),
        cmocka_unit_test(reads_survive_pg_terminate_backend_and_a_write_says_that_its_outcome_is_unknown),
        cmocka_unit_test(a_server_that_hangs_is_given_up_and_the_read_runs_on_another_connection),
        cmocka_unit_test(a_database_that_is_away_is_said_at_once_and_it_recovers_by_itself),
        cmocka_unit_test(the_first_connection_that_is_let_in_again_calls_the_others),
        cmocka_unit_test(it_is_ready_while_every_lane_has_a_connection),
        cmocka_unit_test(a_statement_waits_for_its_lane_once_the_database_lets_connections_in),
        cmocka_unit_test(a_listener_hears_its_channel_and_is_told_when_it_may_have_missed_something),
    };
    return cmocka_run_group_tests_name("db faults", tests, bench_group_setup, NULL);
}
