/* Outbox: work that must survive is a row in `jobs`, written in the transaction that caused it, taken with FOR
 * UPDATE SKIP LOCKED under a lease, retried with back-off, made idempotent by its key. */
#ifndef OVERREAD_JOBS_H
#define OVERREAD_JOBS_H

#include "base/json.h"
#include "db/db.h"

struct job {
    char id[UUID_SIZE];
    char lease[UUID_SIZE];
    const char *kind;
    struct text payload; /* JSON */
    int attempt;         /* 1 for the first */
    struct db_scope scope; /* DB_AS_JOB: runs as the job's tenant and person while the lease holds */
    bool hopeless;         /* set by a handler that fails: another attempt would change nothing; kept as dead */
    unsigned again_seconds; /* set by a handler that succeeds and is not done: it is due again then, as if for the first time;
                               of a periodic one, instead of its own time */
};

struct job_kind {
    const char *kind; /* "grade" */
    /* In a fiber. 0: done, the row is deleted (unless the handler's own statement did it). -1: tried again later
     * with exponential back-off; after max_attempts it is kept as dead for an operator. */
    int fiber_fn (*run)(struct job *job, struct error *err);
    int max_attempts; /* 0: for ever */
    unsigned retry_max_seconds; /* bound of the back-off; 0: an hour */
    /* Not 0: periodic. One row stands for it, made when it is missing; so long after a success it is due again, on
     * whichever node. Its payload is {}. */
    unsigned every_seconds;
};

extern const struct db_statement jobs_statements[];
extern const struct db_statement *const sql_assume_job; /* for db_options */

struct jobs;
/* Polls each second, and at once on NOTIFY overread_jobs, whose payload is the kind, or "" for any. At most `concurrency` at a
 * time on this loop. */
struct jobs *jobs_create(struct loop *loop, struct db *db, const struct job_kind *const kinds[], int concurrency);
struct jobs *jobs_destroy(struct jobs *jobs); /* waits for none: leases run out and others take over */

#endif
