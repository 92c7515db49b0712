#include "db/db_internal.h"

#include <errno.h>
#include <string.h>
#include "base/log.h"

struct db_result {
    PGresult *pg;
};

static void result_clear(void *arg)
{
    struct db_result *result = arg;
    PQclear(result->pg);
}

const struct db_result *db_result_keep(struct arena *arena, PGresult *pg)
{
    struct db_result *result = arena_alloc(arena, sizeof(*result));
    result->pg = pg;
    arena_defer(arena, result_clear, result);
    return result;
}

int db_rows(const struct db_result *result)
{
    return PQntuples(result->pg);
}

bool db_is_null(const struct db_result *result, int row, int column)
{
    return PQgetisnull(result->pg, row, column) != 0;
}

struct text db_text(const struct db_result *result, int row, int column)
{
    const char *value = PQgetvalue(result->pg, row, column);
    if (!value)
        return TEXT("");
    return (struct text){value, (size_t)PQgetlength(result->pg, row, column)};
}

const char *db_string(const struct db_result *result, int row, int column)
{
    return db_text(result, row, column).p;
}

int64_t db_int(const struct db_result *result, int row, int column)
{
    int64_t value = 0;
    if (text_to_int64(db_text(result, row, column), INT64_MIN, INT64_MAX, &value) < 0 &&
        !db_is_null(result, row, column))
        log_line(LOG_LEVEL_ERROR, "database_not_an_integer", "column", PQfname(result->pg, column), NULL);
    return value;
}

bool db_bool(const struct db_result *result, int row, int column)
{
    return text_is(db_text(result, row, column), "t");
}

/* --- SQLSTATE ------------------------------------------------------------------------------- */

static bool one_of(const char *sqlstate, const char *const codes[])
{
    for (; *codes; codes++)
        if (strncmp(sqlstate, *codes, strlen(*codes)) == 0)
            return true;
    return false;
}

enum db_verdict db_verdict_of(const char *sqlstate, const char *source_function)
{
    /* No SQLSTATE: libpq's own report of a broken connection. 57P01..57P05: shutdown, crash, terminated. */
    static const char *const broken[] = {"08", "57P", NULL};
    static const char *const rolled_back[] = {"40001", "40P01", "55P03", NULL};
    /* The prepared statement is unknown there (a pooler, DISCARD), or the server has become a standby. */
    static const char *const stale[] = {"26000", "25006", NULL};

    if (!sqlstate || one_of(sqlstate, broken))
        return DB_VERDICT_BROKEN;
    if (one_of(sqlstate, rolled_back))
        return DB_VERDICT_ROLLED_BACK;
    if (one_of(sqlstate, stale))
        return DB_VERDICT_STALE;
    /* "cached plan must not change result type": a migration ran after this connection had prepared. */
    if (strcmp(sqlstate, "0A000") == 0 && source_function &&
        strcmp(source_function, "RevalidateCachedQuery") == 0)
        return DB_VERDICT_STALE;
    return DB_VERDICT_FINAL;
}

static enum error_kind raised_kind(const char *sqlstate)
{
    static const enum error_kind kinds[] = {
        ERROR_INVALID,     ERROR_UNAUTHENTICATED, ERROR_PAYMENT,       ERROR_FORBIDDEN, ERROR_NOT_FOUND,
        ERROR_CONFLICT,    ERROR_GONE,            ERROR_PRECONDITION,  ERROR_TOO_LARGE, ERROR_UNSUPPORTED,
        ERROR_UNPROCESSABLE, ERROR_TOO_MANY,      ERROR_UNAVAILABLE,
    };
    int64_t status;
    if (strncmp(sqlstate, "OR", 2) != 0 || text_to_int64(text_of(sqlstate + 2), 400, 599, &status) < 0)
        return ERROR_NONE;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (error_status(kinds[i]) == status)
            return kinds[i];
    return ERROR_NONE;
}

static void set_unavailable(struct error *err, const char *code, unsigned retry_after, const char *detail)
{
    error_set(err, ERROR_UNAVAILABLE, code, NULL, "%s", detail);
    if (err)
        err->retry_after = retry_after;
}

void db_error_of(const char *sqlstate, const char *message, const char *detail, const char *hint,
                 struct error *err)
{
    static const char *const full[] = {"53", NULL};
    enum db_verdict verdict = db_verdict_of(sqlstate, NULL);
    enum error_kind raised = sqlstate ? raised_kind(sqlstate) : ERROR_NONE;

    if (!message)
        message = "no message";
    if (raised != ERROR_NONE) {
        error_set(err, raised, message, hint, "%s", detail ? detail : message);
        if (err && raised == ERROR_UNAVAILABLE)
            err->retry_after = 2;
    } else if (verdict == DB_VERDICT_BROKEN || verdict == DB_VERDICT_STALE) {
        set_unavailable(err, "database_away", 2, "The database is away; try again.");
    } else if (verdict == DB_VERDICT_ROLLED_BACK || one_of(sqlstate, full)) {
        set_unavailable(err, "database_busy", 1, "The database is busy; try again.");
    } else if (strcmp(sqlstate, "57014") == 0) {
        set_unavailable(err, "database_timeout", 1, "The database took too long to answer.");
    } else {
        error_set(err, ERROR_INTERNAL, "database_error", NULL, "%s (SQLSTATE %s)", message, sqlstate);
    }
}

/* Whatever a backend dies of, it is no answer to the statement. */
static bool is_last_word(const PGresult *result)
{
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    return severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
}

enum db_verdict db_error_of_result(const PGresult *result, struct error *err)
{
    const char *sqlstate = is_last_word(result) ? NULL : PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *function = PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION);
    db_error_of(sqlstate, PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY),
                PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL),
                PQresultErrorField(result, PG_DIAG_MESSAGE_HINT), err);
    return db_verdict_of(sqlstate, function);
}
