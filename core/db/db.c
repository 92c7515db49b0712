#include "db/db.h"

#include "base/log.h"
#include "base/mem.h"
#include "db/db_internal.h"

static __thread struct db *here;

struct db *db_here(void)
{
    return here;
}

/* --- Waking who waits ----------------------------------------------------------------------- */

void db_complete(struct db *db, struct db_request *request)
{
    request->done = true;
    if (request->fiber)
        db_queue_push(&db->done, request);
}

/* A woken fiber runs on at once and may come back with its next statement. So fibers are woken only here,
 * where no connection is half-way through anything. */
void db_settle(struct db *db)
{
    struct db_request *request;
    if (db->settling)
        return;
    db->settling = true;
    while ((request = db_queue_pop(&db->done)))
        fiber_wake(request->fiber); /* request lies on that fiber's stack: gone after this */
    db->settling = false;
}

static void settle_later(void *arg)
{
    db_settle(arg);
}

/* --- One statement -------------------------------------------------------------------------- */

static const struct db_statement *guard_of(const struct db *db, const struct db_scope *scope)
{
    switch (scope->as) {
    case DB_AS_SESSION:
        return db->options.authenticate;
    case DB_AS_JOB:
        return db->options.assume_job;
    default:
        return NULL;
    }
}

static int request_failed(struct db *db, const struct db_request *request, struct error *err)
{
    if (request->error.kind == ERROR_INTERNAL)
        log_line(LOG_LEVEL_ERROR, "statement_failed", "statement", request->statement->name, "sqlstate",
                 request->sqlstate, "detail", request->error.detail, NULL);
    if (request->error.kind == ERROR_INTERNAL || request->error.kind == ERROR_UNAVAILABLE)
        db->counters.failed++;
    if (err)
        *err = request->error;
    return -1;
}

int fiber_fn db_run(struct db_scope *scope, const struct db_statement *statement, const char *const params[],
                    const struct db_result **ret, struct error *err)
{
    struct db *db = here;
    struct db_request request = {.scope = scope, .statement = statement, .params = params};

    if (!db) {
        error_set(err, ERROR_UNAVAILABLE, "database_away", NULL, "The database is away; try again.");
        if (err)
            err->retry_after = 2;
        return -1;
    }
    request.guard = guard_of(db, scope);
    if (scope->as != DB_AS_NOBODY && (!request.guard || !scope->credential || !scope->need))
        return error_set(err, ERROR_INTERNAL, "scope_without_guard", NULL, "Nothing guards the statement %s.",
                         statement->name);

    db_lane_submit(&db->lanes[statement->lane], &request);
    if (db->done.first && !db->settling && db->settle_timer.index == 0)
        loop_timer_start(db->loop, &db->settle_timer, 0, settle_later, db);
    if (!request.done) {
        request.fiber = fiber_self();
        fiber_wait();
    }
    if (request.failed)
        return request_failed(db, &request, err);
    if (ret)
        *ret = db_result_keep(scope->arena, request.rows);
    else
        PQclear(request.rows);
    return 0;
}

/* --- The whole ------------------------------------------------------------------------------ */

static int at_least(int value, int fallback)
{
    return value > 0 ? value : fallback;
}

struct db *db_create(struct loop *loop, const struct db_options *options)
{
    struct db *db = mem_alloc(sizeof(*db));
    db->loop = loop;
    db->options = *options;
    db->conninfo = mem_strdup(options->conninfo);
    db->options.conninfo = db->conninfo;
    db->options.queue_max = at_least(options->queue_max, 1024);
    db->options.read_depth = at_least(options->read_depth, 32);
    db->away_grace_ms = DB_AWAY_GRACE_MS;
    here = db;
    db_lane_start(&db->lanes[DB_LANE_READ], db, DB_LANE_READ,
                  (unsigned)at_least(options->read_connections, 2));
    db_lane_start(&db->lanes[DB_LANE_WRITE], db, DB_LANE_WRITE,
                  (unsigned)at_least(options->write_connections, 4));
    db_lane_start(&db->lanes[DB_LANE_SLOW], db, DB_LANE_SLOW, 1);
    return db;
}

struct db *db_destroy(struct db *db)
{
    if (!db)
        return NULL;
    db->closing = true;
    db_listener_finish(&db->listener);
    for (int i = 0; i < DB_LANES; i++)
        db_lane_finish(&db->lanes[i]);
    db_settle(db); /* who now asks again is refused */
    loop_timer_stop(&db->settle_timer);
    here = NULL;
    mem_free(db->conninfo);
    mem_free(db);
    return NULL;
}

bool db_ready(const struct db *db)
{
    return atomic_load(&db->ready);
}

struct db_counters db_counters(const struct db *db)
{
    struct db_counters counters = db->counters;
    counters.waiting = 0;
    for (int i = 0; i < DB_LANES; i++)
        counters.waiting += db->lanes[i].queue.length;
    return counters;
}
