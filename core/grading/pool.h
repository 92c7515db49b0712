/* The workers of one plugin on one loop, and the requests that wait for them. Private to grading. */
#ifndef OVERREAD_GRADING_POOL_H
#define OVERREAD_GRADING_POOL_H

#include "grading/grading.h"
#include "grading/worker.h"

#define POOL_QUEUE_MAX 4096
/* How long a request may wait for a worker to come to it: what waits longer is better refused while its
 * client still listens than graded after it. The answer is kept, and a job asks again. */
#define POOL_DUE_MS 10000
/* Workers that may be lost without one reply between, for each that there are, before each further start
 * waits 1, 2, 4 ... 30 s. More than POOL_TRIES, so that one bad request is not enough. */
#define POOL_QUICK_LOSSES 4
#define POOL_BACKOFF_MAX_MS 30000
#define POOL_TRIES 2 /* workers that one request may cost */

struct pool {
    struct pool *next;
    struct loop *loop;
    struct grading_counters *counters;
    const struct registered *plugin;
    struct request_queue waiting;
    struct loop_timer backoff, expiry;
    unsigned losses; /* since the last reply */
    uint64_t next_id;
    int worker_count;
    struct worker workers[]; /* worker_count */
};

struct pool *pool_create(struct loop *loop, const struct registered *plugin, int workers,
                         struct grading_counters *counters);
/* What still waits is failed. */
struct pool *pool_destroy(struct pool *pool);
/* Starts the workers that are absent, unless they are backing off. */
void pool_warm(struct pool *pool);
/* Waits for the request's outcome, which is never REQUEST_PENDING afterwards. */
void fiber_fn pool_run(struct pool *pool, struct request *request);

#endif
