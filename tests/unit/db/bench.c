#include "bench.h"

#include "base/clock.h"
#include "base/mem.h"
#include "bench_schema.h"

enum { PATIENCE_MS = 30000 };

const char *bench_conninfo;

static const struct db_statement *const all_statements[] = {bench_statements, NULL};

static struct db_session *open_operator(void)
{
    struct error err = {0};
    struct db_session *session = db_session_open(postgres_conninfo("postgres", "postgres"), &err);
    if (!session)
        fail_msg("%s", err.detail);
    return session;
}

int bench_group_setup(void **state)
{
    (void)state;
    postgres_start();
    struct bench bench = {.operator= open_operator()};
    operator_exec(&bench, bench_schema);
    db_session_close(bench.operator);
    return 0;
}

struct expected {
    struct db *db;
    unsigned connected;
};

static bool all_up(void *arg)
{
    const struct expected *expected = arg;
    return db_counters(expected->db).connected == expected->connected;
}

void bench_open(struct bench *bench, int read_connections, int write_connections, int queue_max)
{
    const struct db_options options = {
        .conninfo = bench_conninfo ? bench_conninfo : postgres_conninfo("postgres", "app"),
        .read_connections = read_connections,
        .write_connections = write_connections,
        .queue_max = queue_max,
        .statements = all_statements,
        .authenticate = sql_authenticate,
        .assume_job = sql_assume_job,
    };
    bench->operator= open_operator();
    operator_exec(bench, "ALTER SEQUENCE executions RESTART");
    bench->arena = arena_create();
    bench->loop = loop_create();
    bench->db = db_create(bench->loop, &options);
    struct expected expected = {bench->db, (unsigned)(read_connections + write_connections + 1)};
    bench_until(bench, all_up, &expected);
}

void bench_close(struct bench *bench)
{
    bench->db = db_destroy(bench->db);
    assert_int_equal(fiber_count(), 0);
    loop_destroy(bench->loop);
    arena_destroy(bench->arena);
    db_session_close(bench->operator);
}

/* --- Calls ---------------------------------------------------------------------------------- */

void call_init(struct bench *bench, struct call *call, const struct db_statement *statement,
               const char *param)
{
    *call = (struct call){.statement = statement, .params = {param}};
    call->scope.arena = bench->arena;
}

void call_as(struct call *call, const char *token)
{
    call->scope.as = DB_AS_SESSION;
    call->scope.credential = token;
    call->scope.need = "*";
}

static void call_fiber(void *arg)
{
    struct call *call = arg;
    call->status = db_run(&call->scope, call->statement, call->params, &call->rows, &call->error);
    call->done = true;
}

void call_start(struct call *call)
{
    fiber_spawn(call_fiber, call);
}

static bool call_done(void *arg)
{
    return ((const struct call *)arg)->done;
}

void call_wait(struct bench *bench, struct call *call)
{
    bench_until(bench, call_done, call);
}

void call_run(struct bench *bench, struct call *call)
{
    call_start(call);
    call_wait(bench, call);
}

/* --- Waiting -------------------------------------------------------------------------------- */

void bench_until(struct bench *bench, bool (*holds)(void *arg), void *arg)
{
    uint64_t end = clock_monotonic_ns() + PATIENCE_MS * 1000000ull;
    while (!holds(arg)) {
        if (clock_monotonic_ns() > end)
            fail_msg("%s", "it does not come to pass within 30 s");
        loop_turn(bench->loop, 50);
    }
}

void bench_turn_for(struct bench *bench, unsigned ms)
{
    uint64_t end = clock_monotonic_ns() + ms * 1000000ull;
    while (clock_monotonic_ns() < end)
        loop_turn(bench->loop, 10);
}

/* --- The operator --------------------------------------------------------------------------- */

void operator_exec(struct bench *bench, const char *sql)
{
    struct error err = {0};
    if (db_session_exec(bench->operator, sql, &err) < 0)
        fail_msg("%s", err.detail);
}

int64_t operator_int(struct bench *bench, const struct db_statement *statement, const char *param)
{
    const struct db_result *rows = NULL;
    struct error err = {0};
    const char *const params[] = {param};
    struct arena *arena = arena_create();
    if (db_session_run(bench->operator, arena, statement, params, &rows, &err) < 0)
        fail_msg("%s", err.detail);
    int64_t value = db_int(rows, 0, 0);
    arena_destroy(arena);
    return value;
}

/* --- Assertions ----------------------------------------------------------------------------- */

void assert_failed(const struct call *call, enum error_kind kind, const char *code)
{
    assert_true(call->done);
    assert_int_equal(call->status, -1);
    assert_string_equal(call->error.code, code);
    assert_int_equal(call->error.kind, kind);
}

void assert_ok(const struct call *call)
{
    assert_true(call->done);
    if (call->status != 0)
        fail_msg("%s: %s: %s", call->statement->name, call->error.code, call->error.detail);
}
