/* PostgreSQL through libpq. One `struct db` per event loop, its connections in pipeline mode.
 *
 * Three lanes, so that slow queries cannot block fast ones:
 *   read   statements that never wait for a row lock; many in flight on few connections, short statement_timeout;
 *   write  one in flight per connection, so that who waits for a lock keeps nobody else waiting;
 *   slow   one in flight per connection, few connections, long statement_timeout: exports, statistics.
 * Each lane has a bounded queue. A statement whose request is gone is dropped before it is sent.
 *
 * A guarded scope sends `authenticate(...)` and the statement in one pipeline and one implicit transaction: one
 * round trip, and no statement runs without a tenant. */
#ifndef OVERREAD_DB_H
#define OVERREAD_DB_H

#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/fiber.h"
#include "base/loop.h"
#include "base/text.h"

enum db_lane { DB_LANE_READ, DB_LANE_WRITE, DB_LANE_SLOW, DB_LANES };

/* Made at build time from a room's X.sql by embed_sql.py; see there for the format. */
struct db_statement {
    const char *name; /* also the prepared statement's name: "case_list" */
    const char *sql;
    int params;
    enum db_lane lane;
};

struct db_options {
    const char *conninfo;
    int read_connections, write_connections; /* slow lane: 1 */
    int queue_max;                           /* per lane */
    int read_depth;                          /* statements in flight on one read connection: 32 */
    const struct db_statement *const *statements; /* all rooms' tables, each ended by a NULL name; NULL-ended */
    /* What a guarded scope sends first; each returns one row (tenant_id, person_id, session_id), text. */
    const struct db_statement *authenticate; /* ($1 token hash as hex, $2 roles) */
    const struct db_statement *assume_job;   /* ($1 job id, $2 lease) */
};

struct db;
struct db_result;

struct db *db_create(struct loop *loop, const struct db_options *options); /* starts connecting; never blocks */
struct db *db_destroy(struct db *db); /* pending statements end with ERROR_UNAVAILABLE */
struct db *db_here(void);             /* this thread's */
/* Every lane has a connection. From any thread, as long as the db is there. */
bool db_ready(const struct db *db);

enum db_as { DB_AS_NOBODY, DB_AS_SESSION, DB_AS_JOB };

/* Who asks, for how long the answer is wanted, and where it is kept. */
struct db_scope {
    struct arena *arena;
    enum db_as as;
    const char *credential; /* session: SHA-256 of the token, hex; job: the job's id */
    const char *need;       /* session: roles, "trainee,educator" or "*" for anyone signed in; job: the lease */
    bool (*gone)(void *arg); /* asked before a statement is sent; NULL: never gone */
    void *gone_arg;
    char tenant_id[UUID_SIZE], person_id[UUID_SIZE], session_id[UUID_SIZE]; /* filled by a guarded run */
};

/* Runs one statement and waits for its rows. params are text, NULL is SQL's NULL; they may be freed after return.
 * *ret lives as long as scope->arena. 0, or -1:
 *   ERROR_UNAVAILABLE  "database_away" (said at once when its lane has been without a connection for a second, and for
 *                      a second the database has let none in), "database_busy" (queue full), "database_timeout";
 *                      retry_after is set;
 *   ERROR_CANCELLED    the request was gone before the statement was sent;
 *   what the statement raised: SQLSTATE 'OR' + three digits of a status (OR401, OR404, OR409, OR422, ...) becomes
 *   that kind, with MESSAGE as code, DETAIL as detail and HINT as field;
 *   ERROR_INTERNAL     anything else; it has been logged.
 * A write whose connection breaks after sending gives ERROR_UNAVAILABLE "outcome_unknown": repeating it must be
 * safe, and the callers' statements are made so. */
int fiber_fn db_run(struct db_scope *scope, const struct db_statement *statement, const char *const params[],
                    const struct db_result **ret, struct error *err);

int db_rows(const struct db_result *result);
bool db_is_null(const struct db_result *result, int row, int column);
struct text db_text(const struct db_result *result, int row, int column); /* "" for NULL */
const char *db_string(const struct db_result *result, int row, int column);
int64_t db_int(const struct db_result *result, int row, int column); /* the statement's own cast guarantees it */
bool db_bool(const struct db_result *result, int row, int column);

/* Calls back on this loop for each NOTIFY on channel, and with payload NULL when notifications may have been missed
 * (the connection was away and is back). At most DB_LISTENS channels. */
#define DB_LISTENS 8
int db_listen(struct db *db, const char *channel, void (*notify)(void *arg, const char *payload), void *arg);
/* Nothing more is told to arg, whatever the channel. Not to be called from a notify. */
void db_unlisten(struct db *db, void *arg);

/* All channels are being heard at this moment. */
bool db_listening(const struct db *db);

struct db_counters {
    uint64_t sent, failed, dropped, refused; /* refused: queue full or database away */
    unsigned connected, waiting;
};
struct db_counters db_counters(const struct db *db);

/* --- Blocking connection for the command line: one statement after another, no pipeline --------------------- */

struct db_session;

struct db_session *db_session_open(const char *conninfo, struct error *err); /* NULL on failure */
struct db_session *db_session_close(struct db_session *session);
int db_session_run(struct db_session *session, struct arena *arena, const struct db_statement *statement,
                   const char *const params[], const struct db_result **ret, struct error *err);
/* SQL text without parameters, several statements allowed: BEGIN, COMMIT, a migration. */
int db_session_exec(struct db_session *session, const char *sql, struct error *err);

#endif
