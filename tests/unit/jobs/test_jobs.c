/* The outbox on a real PostgreSQL with the real migrations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "db/migrate.h"
#include "jobs/jobs.h"
#include "private_postgres.h"

#define TENANT "00000000-0000-7000-8000-0000000000a1"
#define PERSON "00000000-0000-7000-8000-0000000000b1"

enum { PATIENCE_MS = 30000 };

static const struct db_statement who_am_i[] = {
    {"who_am_i", "SELECT coalesce(current_tenant()::text, ''), coalesce(current_person()::text, '')", 0,
     DB_LANE_READ},
    {NULL, NULL, 0, DB_LANE_READ},
};
static const struct db_statement enqueue = {
    "enqueue",
    "INSERT INTO jobs (id, tenant_id, person_id, kind, key, payload, run_after) "
    "VALUES (gen_random_uuid(), '" TENANT "', '" PERSON "', $1, $2, $3::jsonb, now() + $4::interval)",
    4, DB_LANE_WRITE};
static const struct db_statement jobs_left = {"jobs_left", "SELECT count(*) FROM jobs", 0, DB_LANE_READ};
static const struct db_statement jobs_leased = {
    "jobs_leased", "SELECT count(*) FROM jobs WHERE lease_until > now()", 0, DB_LANE_READ};
static const struct db_statement jobs_dead = {
    "jobs_dead", "SELECT count(*) FROM jobs WHERE dead_at IS NOT NULL AND last_error = $1", 1, DB_LANE_READ};
static const struct db_statement retry_seconds = {
    "retry_seconds", "SELECT extract(epoch FROM min(run_after) - now())::bigint FROM jobs", 0, DB_LANE_READ};

static struct db_session *operator;

static const struct db_result *operator_run(struct arena *arena, const struct db_statement *statement,
                                            const char *const params[])
{
    const struct db_result *rows = NULL;
    struct error err = {0};
    if (db_session_run(operator, arena, statement, params, &rows, &err) < 0)
        fail_msg("%s: %s", statement->name, err.detail);
    return rows;
}

static int64_t ask(const struct db_statement *statement, const char *param)
{
    const char *const params[] = {param};
    struct arena *arena = arena_create();
    int64_t value = db_int(operator_run(arena, statement, params), 0, 0);
    arena_destroy(arena);
    return value;
}

static void exec_ok(const char *sql)
{
    struct error err = {0};
    if (db_session_exec(operator, sql, &err) < 0)
        fail_msg("%s", err.detail);
}

static void add_job(const char *kind, const char *key, const char *payload, const char *delay)
{
    const char *const params[] = {kind, key, payload, delay};
    struct arena *arena = arena_create();
    operator_run(arena, &enqueue, params);
    arena_destroy(arena);
}

static int start_cluster(void **state)
{
    struct error err = {0};
    (void)state;
    postgres_start();
    operator= db_session_open(postgres_conninfo("postgres", "postgres"), &err);
    if (!operator)
        fail_msg("%s", err.detail);
    exec_ok("CREATE ROLE overread_app LOGIN NOSUPERUSER NOBYPASSRLS");
    if (migrate_up(operator, NULL, &err) < 0)
        fail_msg("%s", err.detail);
    exec_ok("INSERT INTO tenants (tenant_id, kind, slug, name) VALUES ('" TENANT
            "', 'organisation', 't', 'T');"
            "INSERT INTO people (person_id, email, name) VALUES ('" PERSON "', 'p@example.org', 'P')");
    return 0;
}

static int stop_cluster(void **state)
{
    (void)state;
    operator= db_session_close(operator);
    return 0;
}

/* --- Handlers ------------------------------------------------------------------------------- */

static struct {
    int runs, running, most_at_once, last_attempt;
    char tenant[UUID_SIZE], person[UUID_SIZE], payload[200];
    int fail_first; /* so many runs fail */
    int again_first; /* so many runs say that they are not done, and want to come again in an hour */
    bool held;      /* runs do not end before it is false */
} seen;

static int fiber_fn run_seen(struct job *job, struct error *err)
{
    const struct db_result *rows;
    seen.runs++;
    seen.running++;
    if (seen.running > seen.most_at_once)
        seen.most_at_once = seen.running;
    seen.last_attempt = job->attempt;
    snprintf(seen.payload, sizeof(seen.payload), "%.*s", (int)job->payload.len, job->payload.p);
    int run = seen.runs;
    int status = db_run(&job->scope, &who_am_i[0], NULL, &rows, err);
    if (status == 0) {
        snprintf(seen.tenant, sizeof(seen.tenant), "%s", db_string(rows, 0, 0));
        snprintf(seen.person, sizeof(seen.person), "%s", db_string(rows, 0, 1));
    }
    while (seen.held)
        loop_sleep(loop_here(), 5);
    seen.running--;
    job->again_seconds = run <= seen.again_first ? 3600 : 0;
    if (status == 0 && run <= seen.fail_first)
        return error_set(err, ERROR_INTERNAL, "as_asked", NULL, "Run %d \xc3",
                         run); /* cut in mid-character */
    return status;
}

static const struct job_kind seen_kind = {.kind = "seen", .run = run_seen};
static const struct job_kind mortal_kind = {.kind = "mortal", .run = run_seen, .max_attempts = 2};
static const struct job_kind periodic_kind = {.kind = "regular", .run = run_seen, .every_seconds = 1};
static const struct job_kind *const kinds[] = {&seen_kind, &mortal_kind, NULL};
static const struct job_kind *const periodic_kinds[] = {&periodic_kind, NULL};

struct bench {
    struct loop *loop;
    struct db *db;
    struct jobs *jobs;
};

static void bench_open_with(struct bench *bench, int concurrency, const struct job_kind *const which[])
{
    static const struct db_statement *const statements[] = {jobs_statements, who_am_i, NULL};
    const struct db_options options = {
        .conninfo = postgres_conninfo("postgres", "overread_app"),
        .read_connections = 1,
        .write_connections = 1,
        .statements = statements,
        .assume_job = sql_assume_job,
    };
    exec_ok("DELETE FROM jobs");
    memset(&seen, 0, sizeof(seen));
    bench->loop = loop_create();
    bench->db = db_create(bench->loop, &options);
    bench->jobs = jobs_create(bench->loop, bench->db, which, concurrency);
}

static void bench_open(struct bench *bench, int concurrency)
{
    bench_open_with(bench, concurrency, kinds);
}

static void bench_close(struct bench *bench)
{
    bench->jobs = jobs_destroy(bench->jobs);
    bench->db = db_destroy(bench->db);
    assert_int_equal(fiber_count(), 0);
    loop_destroy(bench->loop);
}

static void until(struct bench *bench, bool (*holds)(int n), int n)
{
    uint64_t end = clock_monotonic_ns() + PATIENCE_MS * 1000000ull;
    while (!holds(n)) {
        if (clock_monotonic_ns() > end)
            fail_msg("%s", "it does not come to pass within 30 s");
        loop_turn(bench->loop, 20);
    }
}

static bool runs_are(int n)
{
    return seen.runs >= n && seen.running == 0;
}

static bool running_are(int n)
{
    return seen.running == n;
}

static bool left_are(int n)
{
    return ask(&jobs_left, NULL) == n;
}

static bool leased_are(int n)
{
    return ask(&jobs_leased, NULL) == n;
}

/* --- Promises ------------------------------------------------------------------------------- */

static void a_job_runs_as_its_tenant_and_person_and_is_gone_when_done(void **state)
{
    struct bench bench;
    (void)state;
    bench_open(&bench, 4);
    add_job("seen", "one", "{\"a\": \"\\u00fc\"}", "0 s");
    until(&bench, left_are, 0);
    assert_int_equal(seen.runs, 1);
    assert_int_equal(seen.last_attempt, 1);
    assert_string_equal(seen.tenant, TENANT);
    assert_string_equal(seen.person, PERSON);
    assert_string_equal(seen.payload, "{\"a\": \"\xc3\xbc\"}");
    bench_close(&bench);
}

static void a_job_that_fails_is_kept_with_its_error_and_tried_again(void **state)
{
    struct bench bench;
    (void)state;
    bench_open(&bench, 4);
    seen.fail_first = 1;
    add_job("seen", "one", "{}", "0 s");
    until(&bench, runs_are, 1);
    until(&bench, leased_are, 0);
    assert_int_equal(ask(&jobs_left, NULL), 1);
    assert_in_range(ask(&retry_seconds, NULL) + 1, 0, 3); /* 1 to 2 s, less what has gone by */
    until(&bench, left_are, 0);
    assert_int_equal(seen.runs, 2);
    assert_int_equal(seen.last_attempt, 2);
    bench_close(&bench);
}

static void a_job_that_is_not_done_is_due_again_when_it_said(void **state)
{
    struct bench bench;
    (void)state;
    bench_open(&bench, 4);
    seen.again_first = 1;
    add_job("seen", "one", "{}", "0 s");
    until(&bench, runs_are, 1);
    until(&bench, leased_are, 0);
    assert_int_equal(ask(&jobs_left, NULL), 1);
    assert_in_range(ask(&retry_seconds, NULL), 3500, 3600);
    exec_ok("UPDATE jobs SET run_after = now()");
    until(&bench, left_are, 0);
    assert_int_equal(seen.runs, 2);
    assert_int_equal(seen.last_attempt, 1); /* as if for the first time */
    bench_close(&bench);
}

static void a_job_that_may_fail_twice_is_dead_after_that_and_kept_for_the_operator(void **state)
{
    struct bench bench;
    (void)state;
    bench_open(&bench, 4);
    seen.fail_first = 1000;
    add_job("mortal", "one", "{}", "0 s");
    until(&bench, runs_are, 2);
    until(&bench, leased_are, 0);
    assert_int_equal(ask(&jobs_dead, "as_asked: Run 2 \xef\xbf\xbd"), 1);
    bench_close(&bench);
}

static void no_more_than_concurrency_jobs_run_at_once_and_all_get_their_turn(void **state)
{
    struct bench bench;
    char key[16];
    (void)state;
    bench_open(&bench, 3);
    seen.held = true;
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof(key), "%d", i);
        add_job("seen", key, "{}", "0 s");
    }
    until(&bench, running_are, 3);
    for (int i = 0; i < 20; i++)
        loop_turn(bench.loop, 10);
    assert_int_equal(seen.running, 3);
    seen.held = false;
    until(&bench, left_are, 0);
    assert_int_equal(seen.runs, 20);
    assert_int_equal(seen.most_at_once, 3);
    bench_close(&bench);
}

static void a_job_is_not_run_before_its_time_nor_when_it_is_of_a_strange_kind(void **state)
{
    struct bench bench;
    (void)state;
    bench_open(&bench, 3);
    add_job("strange", "one", "{}", "0 s");
    add_job("seen", "later", "{}", "1 hour");
    add_job("seen", "now", "{}", "0 s");
    until(&bench, left_are, 2);
    assert_int_equal(seen.runs, 1);
    bench_close(&bench);
}

static void a_worker_that_stops_in_the_middle_leaves_its_job_to_others_when_the_lease_ends(void **state)
{
    struct bench bench;
    (void)state;
    bench_open(&bench, 3);
    seen.held = true;
    add_job("seen", "one", "{}", "0 s");
    until(&bench, running_are, 1);
    until(&bench, leased_are, 1);
    bench.jobs = jobs_destroy(bench.jobs); /* waits for nobody */
    bench.db = db_destroy(bench.db);
    seen.held = false;
    until(&bench, running_are, 0);
    loop_turn(bench.loop, 0);
    bench_close(&bench);
    assert_int_equal(ask(&jobs_left, NULL), 1);

    const struct db_statement *const statements[] = {jobs_statements, who_am_i, NULL};
    const struct db_options options = {.conninfo = postgres_conninfo("postgres", "overread_app"),
                                       .statements = statements,
                                       .assume_job = sql_assume_job};
    bench.loop = loop_create();
    bench.db = db_create(bench.loop, &options);
    bench.jobs = jobs_create(bench.loop, bench.db, kinds, 3);
    exec_ok("UPDATE jobs SET lease_until = now()");
    until(&bench, left_are, 0);
    assert_int_equal(seen.last_attempt, 2);
    bench_close(&bench);
}

static void a_periodic_job_needs_nobody_to_queue_it_and_comes_again_on_time_and_after_a_failure(void **state)
{
    struct bench bench;
    (void)state;
    bench_open_with(&bench, 3, periodic_kinds);
    seen.fail_first = 1;
    until(&bench, runs_are, 3);
    assert_string_equal(seen.payload, "{}");
    assert_int_equal(seen.last_attempt, 1);
    until(&bench, leased_are, 0);
    assert_int_equal(ask(&jobs_left, NULL), 1);
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_runs_as_its_tenant_and_person_and_is_gone_when_done),
        cmocka_unit_test(a_job_that_fails_is_kept_with_its_error_and_tried_again),
        cmocka_unit_test(a_job_that_is_not_done_is_due_again_when_it_said),
        cmocka_unit_test(a_job_that_may_fail_twice_is_dead_after_that_and_kept_for_the_operator),
        cmocka_unit_test(no_more_than_concurrency_jobs_run_at_once_and_all_get_their_turn),
        cmocka_unit_test(a_job_is_not_run_before_its_time_nor_when_it_is_of_a_strange_kind),
        cmocka_unit_test(a_periodic_job_needs_nobody_to_queue_it_and_comes_again_on_time_and_after_a_failure),
        cmocka_unit_test(a_worker_that_stops_in_the_middle_leaves_its_job_to_others_when_the_lease_ends),
    };
    return cmocka_run_group_tests(tests, start_cluster, stop_cluster);
}
