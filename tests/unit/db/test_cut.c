/* Connections that end in the middle of an answer, at every place of it. */
#include "bench.h"

#include <stdio.h>
#include <string.h>
#include "cutting_proxy.h"

enum { READS = 4, ROUNDS = 60 };

static char through_proxy[128];

static int setup(void **state)
{
    int r = bench_group_setup(state);
    char host[128];

    const char *direct = postgres_conninfo("postgres", "app") + strlen("host=");
    snprintf(host, sizeof(host), "%.*s", (int)strcspn(direct, " "), direct);
    snprintf(through_proxy, sizeof(through_proxy), "host=%s dbname=postgres user=app", cutting_proxy_start(host));
    bench_conninfo = through_proxy;
    return r;
}

static int teardown(void **state)
{
    (void)state;
    cutting_proxy_stop();
    return 0;
}

static bool all_up(void *arg)
{
    return db_counters(arg).connected == 3;
}

/* The answer is cut ever further behind, until it came whole. */
static void cut_everywhere(const char *sqlstate, size_t step, void (*ask)(struct bench *bench))
{
    struct bench bench;
    size_t at = 1;

    bench_open(&bench, 1, 1, 0);
    for (bool whole = false; !whole; at += step) {
        bench_until(&bench, all_up, bench.db);
        cutting_proxy_arm(at, sqlstate);
        ask(&bench);
        whole = !cutting_proxy_has_cut();
    }
    assert_true(at > 50); /* there was something to cut */
    bench_close(&bench);
}

static void ask_reads(struct bench *bench)
{
    struct call calls[READS];

    for (int i = 0; i < READS; i++) {
        call_init(bench, &calls[i], i % 2 ? sql_my_items : sql_echo, i % 2 ? NULL : "x");
        call_as(&calls[i], "token-a");
        call_start(&calls[i]);
    }
    for (int i = 0; i < READS; i++) {
        call_wait(bench, &calls[i]);
        assert_ok(&calls[i]);
        assert_int_equal(db_rows(calls[i].rows), i % 2 ? 10 : 1);
    }
}

static void ask_large_read(struct bench *bench)
{
    struct call call;

    call_init(bench, &call, sql_many_bytes, "200");
    call_as(&call, "token-a");
    call_run(bench, &call);
    assert_ok(&call);
    assert_int_equal(db_rows(call.rows), 200);
}

static void ask_write(struct bench *bench)
{
    struct call call;

    call_init(bench, &call, sql_count_up, NULL);
    call_as(&call, "token-a");
    call_run(bench, &call);
    if (call.status != 0)
        assert_failed(&call, ERROR_UNAVAILABLE, "outcome_unknown");
}

static void a_read_is_made_again_wherever_its_answer_is_cut(void **state)
{
    (void)state;
    cut_everywhere(NULL, 41, ask_reads);
    cut_everywhere(NULL, 9973, ask_large_read);
}

static void a_read_is_made_again_whatever_the_last_words_of_its_backend(void **state)
{
    (void)state;
    cut_everywhere("57P01", 37, ask_reads);
    cut_everywhere("25P03", 37, ask_reads); /* a class of its own among errors, yet a FATAL one */
}

static void a_write_is_done_or_its_outcome_unknown_wherever_its_answer_is_cut(void **state)
{
    (void)state;
    cut_everywhere(NULL, 11, ask_write);
    cut_everywhere("57P01", 17, ask_write);
    cut_everywhere("25P03", 17, ask_write);
}

/* The same by PostgreSQL's own hand, with many statements in the pipeline, while they are sent and answered. */
static void a_pipeline_whose_backend_is_terminated_is_made_again(void **state)
{
    static struct call reads[64], writes[4];
    struct bench bench;
    int unknown = 0;

    (void)state;
    bench_conninfo = NULL;
    bench_open(&bench, 2, 4, 0);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < 64; i++) {
            call_init(&bench, &reads[i], i % 3 ? sql_echo : sql_many_bytes, "40");
            call_as(&reads[i], "token-a");
            call_start(&reads[i]);
        }
        for (int i = 0; i < 4; i++) {
            call_init(&bench, &writes[i], sql_count_up, NULL);
            call_as(&writes[i], "token-a");
            call_start(&writes[i]);
        }
        for (int i = 0; i < round % 4; i++)
            loop_turn(bench.loop, 5);
        operator_int(&bench, sql_terminate, "overread read");
        operator_int(&bench, sql_terminate, "overread write");
        for (int i = 0; i < 64; i++) {
            call_wait(&bench, &reads[i]);
            if (reads[i].status != 0)
                assert_failed(&reads[i], ERROR_UNAVAILABLE, "database_away");
        }
        for (int i = 0; i < 4; i++) {
            call_wait(&bench, &writes[i]);
            if (writes[i].status != 0)
                assert_failed(&writes[i], ERROR_UNAVAILABLE, "outcome_unknown");
            unknown += writes[i].status != 0;
        }
    }
    assert_true(unknown > 0);
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_is_made_again_wherever_its_answer_is_cut),
        cmocka_unit_test(a_read_is_made_again_whatever_the_last_words_of_its_backend),
        cmocka_unit_test(a_write_is_done_or_its_outcome_unknown_wherever_its_answer_is_cut),
        cmocka_unit_test(a_pipeline_whose_backend_is_terminated_is_made_again),
    };
    return cmocka_run_group_tests_name("db cut", tests, setup, teardown);
}
