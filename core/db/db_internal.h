/* What the files of db/ share. Everything here belongs to one loop's thread. */
#ifndef OVERREAD_DB_INTERNAL_H
#define OVERREAD_DB_INTERNAL_H

#include <libpq-fe.h>
#include <stdatomic.h>
#include "db/db.h"

#define DB_RESULT_MAX (32u << 20) /* bytes of one result */
/* A lane without a connection still queues that long: a reconnect is usually quicker. */
#define DB_AWAY_GRACE_MS 1000

/* --- A connection that comes back: connecting, back-off, watching (db_link.c) --------------- */

struct db_resolve;

struct db_link {
    struct loop *loop;
    const char *conninfo;
    const char *name; /* application_name: "overread read" */
    struct db_resolve *resolve; /* names on their way to addresses; outlives an attempt that was too slow for it */
    PGconn *pg;                 /* NULL while backing off */
    struct loop_watch *watch;
    struct loop_timer timer; /* connecting: its time limit; away: the next attempt */
    unsigned attempts;       /* since it last worked; its owner resets it */
    unsigned turn;           /* of several addresses: which comes first */
    bool open;
    void (*opened)(void *owner);
    void (*ready)(void *owner, unsigned events);
    void *owner;
};

void db_link_start(struct db_link *link);
/* Closes and tries again later, after a jittered back-off. why is logged. */
void db_link_break(struct db_link *link, const char *why);
/* The database is there: one that waits for its next attempt waits only a little more. */
void db_link_hurry(struct db_link *link);
void db_link_finish(struct db_link *link);
/* Sends what libpq holds and watches for what remains. False: the connection is broken. */
bool db_link_flush(struct db_link *link);
/* Notices are nobody's output: a library room never prints. */
void db_silence(PGconn *pg);

/* --- Names to addresses, away from the loop (db_resolve.c) ---------------------------------- */

/* NULL: libpq is to do it by itself. */
struct db_resolve *db_resolve_start(const char *conninfo);
struct db_resolve *db_resolve_release(struct db_resolve *resolve); /* returns NULL; NULL is allowed */
int db_resolve_fd(const struct db_resolve *resolve);               /* readable when it is done; then only: */
const char *db_resolve_failure(const struct db_resolve *resolve);  /* NULL: there are addresses */
/* What host, hostaddr and port are to be, beginning with the first-th address. */
void db_resolve_targets(const struct db_resolve *resolve, unsigned first, struct buffer *ret_hosts,
                        struct buffer *ret_addresses, struct buffer *ret_ports);

/* --- Statements on their way ---------------------------------------------------------------- */

/* What an error of the database means for the statement and its connection. */
enum db_verdict {
    DB_VERDICT_FINAL,       /* the statement's own error */
    DB_VERDICT_ROLLED_BACK, /* a lock or a serialisation failure: as if never run, may be run again */
    DB_VERDICT_STALE,       /* not run, because of what the connection is: again on a new one */
    DB_VERDICT_BROKEN,      /* the connection is gone; what was in flight is unknown */
};

struct db_request { /* on the stack of the fiber that waits for it */
    struct db_request *next;
    struct db_scope *scope;
    const struct db_statement *guard; /* NULL: unguarded */
    const struct db_statement *statement;
    const char *const *params;
    struct fiber *fiber; /* set once it waits */
    uint64_t due_ns;     /* leaves the queue by then */
    unsigned retries, breaks;
    bool done, failed;
    bool synced;  /* all of it was handed to libpq */
    bool guarded; /* the guard has answered */
    enum db_verdict verdict;
    PGresult *rows;
    char sqlstate[6];
    struct error error;
};

struct db_queue {
    struct db_request *first, *last;
    unsigned length;
};
void db_queue_push(struct db_queue *queue, struct db_request *request);
void db_queue_push_front(struct db_queue *queue, struct db_request *request);
struct db_request *db_queue_pop(struct db_queue *queue);

/* --- Connections and lanes ------------------------------------------------------------------ */

struct db_connection {
    struct db_link link;
    struct db_lane_state *lane;
    struct loop_timer timer; /* answers must make progress */
    struct db_queue in_flight;
    uint64_t progress_ns;
    bool preparing, up;
    bool prepare_failed;
    unsigned prepared; /* results seen while preparing */
    unsigned nulls;    /* in a row from PQgetResult */
};

struct db_lane_state {
    struct db *db;
    enum db_lane lane;
    unsigned depth; /* statements in flight on one connection */
    unsigned queue_max, wait_ms, statement_ms;
    struct db_connection *connections;
    unsigned connection_count, up;
    uint64_t down_since_ns;
    struct db_queue queue;
    struct loop_timer timer;
};

struct db_listener {
    struct db_link link;
    bool started, in_query, stale;
    unsigned count;
    struct {
        const char *channel;
        void (*notify)(void *arg, const char *payload);
        void *arg;
    } channels[DB_LISTENS];
};

struct db {
    struct loop *loop;
    struct db_options options;
    char *conninfo;
    struct db_lane_state lanes[DB_LANES];
    struct db_listener listener;
    unsigned away_grace_ms;
    uint64_t heard_ns; /* when the database last let a connection in, or answered while it was prepared */
    atomic_bool ready; /* db_ready; the rest is this thread's alone */
    struct db_queue done; /* their fibers are still to be woken */
    struct loop_timer settle_timer;
    struct db_counters counters;
    bool settling, closing;
};

/* db.c */
void db_complete(struct db *db, struct db_request *request);
void db_settle(
    struct db *db); /* wakes the fibers of what is done; last thing of every callback from the loop */

/* db_lane.c */
void db_lane_start(struct db_lane_state *lane, struct db *db, enum db_lane which, unsigned connections);
void db_lane_finish(struct db_lane_state *lane);
void db_lane_submit(struct db_lane_state *lane, struct db_request *request);
void db_lane_dispatch(struct db_lane_state *lane);
void db_lane_retry(struct db_lane_state *lane, struct db_request *request); /* to the front of the queue */
void db_lane_connected(struct db_lane_state *lane);
void db_lane_disconnected(struct db_lane_state *lane);

/* db_connection.c */
void db_connection_start(struct db_connection *connection, struct db_lane_state *lane);
void db_connection_finish(struct db_connection *connection);
void db_connection_break(struct db_connection *connection, const char *why);
void db_connection_send(struct db_connection *connection, struct db_request *request);

/* db_pipeline.c: takes one result for the oldest statement in flight. False: the connection is to be dropped.
 */
bool db_pipeline_take(struct db_connection *connection, PGresult *result);

/* db_result.c */
enum db_verdict db_verdict_of(const char *sqlstate, const char *source_function);
void db_error_of(const char *sqlstate, const char *message, const char *detail, const char *hint,
                 struct error *err);
enum db_verdict db_error_of_result(const PGresult *result, struct error *err);
const struct db_result *db_result_keep(struct arena *arena, PGresult *pg);

/* db_listen.c */
void db_listener_finish(struct db_listener *listener);

#endif
