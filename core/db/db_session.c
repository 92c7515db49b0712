#include "db/db_internal.h"

#include <string.h>

#include "base/mem.h"

struct db_session {
    PGconn *pg;
};

struct db_session *db_session_open(const char *conninfo, struct error *err)
{
    static const char *const keywords[] = {"dbname", "application_name", "client_encoding", "connect_timeout",
                                           NULL};
    const char *const values[] = {conninfo, "overread command", "UTF8", "10", NULL};
    PGconn *pg = PQconnectdbParams(keywords, values, 1);

    if (!pg || PQstatus(pg) != CONNECTION_OK) {
        error_set(err, ERROR_UNAVAILABLE, "database_away", NULL, "%s",
                  pg ? PQerrorMessage(pg) : "out of memory");
        PQfinish(pg);
        return NULL;
    }
    db_silence(pg);
    struct db_session *session = mem_alloc(sizeof(*session));
    session->pg = pg;
    return session;
}

struct db_session *db_session_close(struct db_session *session)
{
    if (session) {
        PQfinish(session->pg);
        mem_free(session);
    }
    return NULL;
}

/* At the command line the operator's own words meet the table's checks: what they break is the input's fault. */
static void operator_error(const PGresult *pg, struct error *err)
{
    static const char *const input_faults[] = {"23514", "23502", "22001", "22007", "22008", "22021", "22023", "22P02", "22P05"};
    const char *sqlstate = PQresultErrorField(pg, PG_DIAG_SQLSTATE);
    const char *constraint = PQresultErrorField(pg, PG_DIAG_CONSTRAINT_NAME);
    for (size_t i = 0; i < sizeof(input_faults) / sizeof(*input_faults); i++)
        if (strcmp(sqlstate, input_faults[i]) == 0) {
            error_set(err, ERROR_UNPROCESSABLE, "bad_value", constraint, "%s",
                      PQresultErrorField(pg, PG_DIAG_MESSAGE_PRIMARY));
            return;
        }
    db_error_of_result(pg, err);
}

/* Keeps or clears the result. */
static int session_take(struct db_session *session, struct arena *arena, PGresult *pg,
                        const struct db_result **ret, struct error *err)
{
    ExecStatusType status = PQresultStatus(pg);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY) {
        if (ret)
            *ret = db_result_keep(arena, pg);
        else
            PQclear(pg);
        return 0;
    }
    if (!pg || !PQresultErrorField(pg, PG_DIAG_SQLSTATE))
        error_set(err, ERROR_UNAVAILABLE, "database_away", NULL, "%s", PQerrorMessage(session->pg));
    else
        operator_error(pg, err);
    PQclear(pg);
    return -1;
}

int db_session_run(struct db_session *session, struct arena *arena, const struct db_statement *statement,
                   const char *const params[], const struct db_result **ret, struct error *err)
{
    PGresult *pg = PQexecParams(session->pg, statement->sql, statement->params, NULL, params, NULL, NULL, 0);
    return session_take(session, arena, pg, ret, err);
}

int db_session_exec(struct db_session *session, const char *sql, struct error *err)
{
    return session_take(session, NULL, PQexec(session->pg, sql), NULL, err);
}
