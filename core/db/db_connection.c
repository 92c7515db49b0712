#include "db/db_internal.h"

#include <stdio.h>
#include "base/clock.h"
#include "base/log.h"

#define PREPARE_MS 10000
#define ANSWER_SLACK_MS 2000 /* beyond statement_timeout: then it is the network, not the statement */

static const char settings_sql[] =
    "SELECT set_config('statement_timeout', $1, false), set_config('lock_timeout', $2, false),"
    " set_config('idle_in_transaction_session_timeout', '10s', false), set_config('jit', 'off', false),"
    " set_config('TimeZone', 'UTC', false), set_config('DateStyle', 'ISO, YMD', false),"
    " set_config('client_min_messages', 'warning', false)";

/* --- Time limits ---------------------------------------------------------------------------- */

/* Measured from the last progress, not from the sending: behind 31 others one may rightly wait longer. */
static void connection_check(void *arg)
{
    struct db_connection *connection = arg;
    struct db *db = connection->lane->db;
    uint64_t limit = connection->preparing ? PREPARE_MS : connection->lane->statement_ms + ANSWER_SLACK_MS;
    uint64_t idle = (clock_monotonic_ns() - connection->progress_ns) / 1000000;

    if (!connection->preparing && connection->in_flight.length == 0)
        return;
    if (idle < limit) {
        loop_timer_start(db->loop, &connection->timer, limit - idle, connection_check, connection);
        return;
    }
    db_connection_break(connection, "no answer in time");
    db_settle(db);
}

static void connection_expect(struct db_connection *connection)
{
    if (connection->timer.index != 0)
        return;
    connection->progress_ns = clock_monotonic_ns();
    loop_timer_start(connection->lane->db->loop, &connection->timer,
                     connection->preparing ? PREPARE_MS : connection->lane->statement_ms + ANSWER_SLACK_MS,
                     connection_check, connection);
}

/* --- Preparing: every statement of the lane and the guards, in one pipeline ----------------- */

/* The index-th statement that this lane's connections prepare; NULL behind the last. */
static const struct db_statement *statement_at(const struct db_lane_state *lane, unsigned index)
{
    const struct db_options *options = &lane->db->options;
    const struct db_statement *const guards[] = {options->authenticate, options->assume_job};

    for (unsigned i = 0; i < 2; i++)
        if (guards[i] && index-- == 0)
            return guards[i];
    for (const struct db_statement *const *room = options->statements; room && *room; room++)
        for (const struct db_statement *s = *room; s->name; s++)
            if (s->lane == lane->lane && s != guards[0] && s != guards[1] && index-- == 0)
                return s;
    return NULL;
}

static bool send_preparation(struct db_connection *connection)
{
    PGconn *pg = connection->link.pg;
    const struct db_lane_state *lane = connection->lane;
    const struct db_statement *statement;
    char statement_ms[16];
    snprintf(statement_ms, sizeof(statement_ms), "%u", lane->statement_ms);
    const char *const values[] = {statement_ms, lane->lane == DB_LANE_WRITE ? "3000" : "0"};

    if (!PQenterPipelineMode(pg) || !PQsendQueryParams(pg, settings_sql, 2, NULL, values, NULL, NULL, 0))
        return false;
    for (unsigned i = 0; (statement = statement_at(lane, i)); i++)
        if (!PQsendPrepare(pg, statement->name, statement->sql, 0, NULL))
            return false;
    return PQpipelineSync(pg) && db_link_flush(&connection->link);
}

static void connection_opened(void *arg)
{
    struct db_connection *connection = arg;
    connection->lane->db->heard_ns = clock_monotonic_ns();
    connection->preparing = true;
    connection->prepare_failed = false;
    connection->prepared = 0;
    connection->nulls = 0;
    if (!send_preparation(connection)) {
        db_connection_break(connection, PQerrorMessage(connection->link.pg));
        db_settle(connection->lane->db);
        return;
    }
    connection_expect(connection);
}

static void report_preparation(struct db_connection *connection, const PGresult *result)
{
    const struct db_statement *statement =
        connection->prepared > 0 ? statement_at(connection->lane, connection->prepared - 1) : NULL;
    connection->prepare_failed = true;
    log_line(connection->link.attempts == 0 ? LOG_LEVEL_ERROR : LOG_LEVEL_DEBUG, "database_prepare_failed",
             "statement", statement ? statement->name : "settings", "why", PQresultErrorMessage(result),
             NULL);
}

static bool take_preparation(struct db_connection *connection, PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_FATAL_ERROR)
        report_preparation(connection, result);
    PQclear(result);
    connection->prepared++;
    if (status != PGRES_PIPELINE_SYNC)
        return true;
    if (connection->prepare_failed)
        return false;
    connection->preparing = false;
    loop_timer_stop(&connection->timer);
    connection->up = true;
    connection->link.attempts = 0;
    log_line(LOG_LEVEL_DEBUG, "database_connected", "connection", connection->link.name, NULL);
    db_lane_connected(connection->lane);
    return true;
}

/* --- Sending and receiving ------------------------------------------------------------------ */

void db_connection_send(struct db_connection *connection, struct db_request *request)
{
    PGconn *pg = connection->link.pg;
    const struct db_statement *guard = request->guard, *statement = request->statement;
    const char *const guard_params[] = {request->scope->credential, request->scope->need};

    request->synced = false;
    request->guarded = false;
    connection->lane->db->counters.sent++;
    if (connection->in_flight.length == 0)
        connection->progress_ns = clock_monotonic_ns();
    db_queue_push(&connection->in_flight, request);
    if (guard && !PQsendQueryPrepared(pg, guard->name, 2, guard_params, NULL, NULL, 0))
        goto broken;
    if (!PQsendQueryPrepared(pg, statement->name, statement->params, request->params, NULL, NULL, 0))
        goto broken;
    request->synced = true;
    if (!PQpipelineSync(pg) || !db_link_flush(&connection->link))
        goto broken;
    connection_expect(connection);
    return;
broken:
    db_connection_break(connection, PQerrorMessage(pg));
}

static bool take_result(struct db_connection *connection, PGresult *result)
{
    if (!result)
        return ++connection->nulls <
               2; /* one ends each statement; two: libpq has nothing, though we still wait */
    connection->nulls = 0;
    connection->progress_ns = clock_monotonic_ns();
    if (!connection->preparing)
        return db_pipeline_take(connection, result);
    connection->lane->db->heard_ns = connection->progress_ns;
    return take_preparation(connection, result);
}

/* False: the connection is to be dropped. */
static bool take_results(struct db_connection *connection)
{
    PGconn *pg = connection->link.pg;
    bool busy = PQisBusy(pg) != 0; /* also digests what comes unasked: notices, parameter changes */

    while (!busy && (connection->preparing || connection->in_flight.length > 0)) {
        if (!take_result(connection, PQgetResult(pg)))
            return false;
        busy = PQisBusy(pg) != 0;
    }
    return true;
}

static void connection_ready(void *arg, unsigned events)
{
    struct db_connection *connection = arg;
    struct db *db = connection->lane->db;
    PGconn *pg = connection->link.pg;
    bool alive = true;

    if (events & LOOP_WRITE)
        alive = db_link_flush(&connection->link);
    /* Sending may have received too. What arrived is taken before the end of the connection is seen: after it, libpq ends
     * the statements that it still holds by itself, and its results are no answers of PostgreSQL. */
    alive = alive && take_results(connection) && PQconsumeInput(pg) && take_results(connection);
    if (!alive)
        db_connection_break(connection, PQerrorMessage(pg));
    else
        db_lane_dispatch(connection->lane);
    db_settle(db);
}

/* --- The end of a connection ---------------------------------------------------------------- */

/* A read, and what was never fully sent, may run again: as often as there are other connections, for these
 * may have died of the same cause without it being known yet. For the rest nobody knows whether it took
 * place. */
static void request_lost(struct db_connection *connection, struct db_request *request)
{
    struct db_lane_state *lane = connection->lane;
    bool harmless = lane->lane == DB_LANE_READ || !request->synced;

    if (request->rows) {
        PQclear(request->rows);
        request->rows = NULL;
    }
    if (request->failed) { /* it had been refused already, so it did nothing */
        db_complete(lane->db, request);
        return;
    }
    if (harmless && request->breaks < lane->connection_count && !lane->db->closing) {
        request->breaks++;
        db_lane_retry(lane, request);
        return;
    }
    request->failed = true;
    if (harmless)
        error_set(&request->error, ERROR_UNAVAILABLE, "database_away", NULL,
                  "The database is away; try again.");
    else
        error_set(&request->error, ERROR_UNAVAILABLE, "outcome_unknown", NULL,
                  "The database went away before it answered; repeat the request with the same key.");
    request->error.retry_after = 2;
    db_complete(lane->db, request);
}

void db_connection_break(struct db_connection *connection, const char *why)
{
    struct db_queue lost = {NULL, NULL, 0};
    struct db_request *request;
    bool was_up = connection->up;

    connection->up = connection->preparing = false;
    loop_timer_stop(&connection->timer);
    db_link_break(&connection->link, why);
    while (
        (request = db_queue_pop(&connection->in_flight))) /* reversed: retries go to the front, oldest last */
        db_queue_push_front(&lost, request);
    if (was_up)
        db_lane_disconnected(connection->lane);
    while ((request = db_queue_pop(&lost)))
        request_lost(connection, request);
    db_lane_dispatch(connection->lane);
}

void db_connection_start(struct db_connection *connection, struct db_lane_state *lane)
{
    static const char *const names[DB_LANES] = {"overread read", "overread write", "overread slow"};
    connection->lane = lane;
    connection->link = (struct db_link){
        .loop = lane->db->loop,
        .conninfo = lane->db->conninfo,
        .name = names[lane->lane],
        .opened = connection_opened,
        .ready = connection_ready,
        .owner = connection,
    };
    db_link_start(&connection->link);
}

void db_connection_finish(struct db_connection *connection)
{
    struct db_request *request;
    loop_timer_stop(&connection->timer);
    db_link_finish(&connection->link);
    connection->up = connection->preparing = false;
    while ((request = db_queue_pop(&connection->in_flight)))
        request_lost(connection, request);
}
