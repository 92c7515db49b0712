#include "db/db_internal.h"

#include <stdio.h>
#include <string.h>

#define ROLLED_BACK_RETRIES 2

static void request_clear(struct db_request *request)
{
    PQclear(request->rows);
    request->rows = NULL;
    request->failed = false;
    request->verdict = DB_VERDICT_FINAL;
}

static void request_fail(struct db_request *request, const char *code, const char *detail)
{
    if (request->failed)
        return;
    request->failed = true;
    error_set(&request->error, ERROR_INTERNAL, code, NULL, "%s", detail);
}

static void copy_id(char ret[UUID_SIZE], const PGresult *result, int column)
{
    const char *value = PQgetvalue(result, 0, column);
    snprintf(ret, UUID_SIZE, "%s", value ? value : "");
}

static void take_guard(struct db_request *request, const PGresult *result)
{
    request->guarded = true;
    if (PQntuples(result) != 1 || PQnfields(result) < 3) {
        request_fail(request, "guard_without_row", "The guard of a statement did not return its one row.");
        return;
    }
    copy_id(request->scope->tenant_id, result, 0);
    copy_id(request->scope->person_id, result, 1);
    copy_id(request->scope->session_id, result, 2);
}

static void take_rows(struct db_request *request, PGresult *result)
{
    if (request->guard && !request->guarded) {
        take_guard(request, result);
        PQclear(result);
        return;
    }
    PQclear(request->rows);
    request->rows = result;
    if (PQresultMemorySize(result) > DB_RESULT_MAX)
        request_fail(request, "database_result_too_large",
                     "The result of a statement is larger than 32 MiB.");
}

/* The first error is the one that counts: behind it everything is only aborted. An error may also come at the
 * sync, when the commit fails. */
static bool take_error(struct db_request *request, const PGresult *result)
{
    struct error error;
    enum db_verdict verdict = db_error_of_result(result, &error);
    if (verdict == DB_VERDICT_BROKEN)
        return false;
    if (!request->failed) {
        const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        request->failed = true;
        request->verdict = verdict;
        request->error = error;
        snprintf(request->sqlstate, sizeof(request->sqlstate), "%s", sqlstate ? sqlstate : "");
    }
    return true;
}

/* The sync: only now is the outcome certain, for the commit lies before it. */
static bool request_finish(struct db_connection *connection)
{
    struct db_lane_state *lane = connection->lane;
    struct db_request *request = db_queue_pop(&connection->in_flight);
    /* Busy with the next one it reads as active: then the next sync tells. */
    PGTransactionStatusType transaction = PQtransactionStatus(connection->link.pg);
    bool usable = transaction == PQTRANS_IDLE || transaction == PQTRANS_ACTIVE;

    if (request->failed && request->verdict == DB_VERDICT_STALE)
        usable = false;
    if (request->failed && request->verdict != DB_VERDICT_FINAL && request->retries < ROLLED_BACK_RETRIES) {
        request->retries++;
        request_clear(request);
        db_lane_retry(lane, request);
        return usable;
    }
    if (!request->failed && !request->rows)
        request_fail(request, "database_no_result", "A statement ended without a result.");
    if (request->failed) {
        PQclear(request->rows);
        request->rows = NULL;
    }
    db_complete(lane->db, request);
    return usable;
}

bool db_pipeline_take(struct db_connection *connection, PGresult *result)
{
    struct db_request *request = connection->in_flight.first;
    bool usable = true;

    switch (PQresultStatus(result)) {
    case PGRES_EMPTY_QUERY:
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
        take_rows(request, result);
        return true;
    case PGRES_FATAL_ERROR:
        usable = take_error(request, result);
        break;
    case PGRES_PIPELINE_ABORTED:
        break;
    case PGRES_PIPELINE_SYNC:
        usable = request_finish(connection);
        break;
    default: /* COPY and the like have no place in a pipeline */
        usable = false;
    }
    PQclear(result);
    return usable;
}
