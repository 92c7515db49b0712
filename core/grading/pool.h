/* The workers of one plugin on one loop, and the requests that wait for them. Private to grading. */
#ifndef OVERREAD_GRADING_POOL_H
#define OVERREAD_GRADING_POOL_H

#include "grading/grading.h"
#include "grading/worker.h"

#define POOL_QUEUE_MAX 4096
#define POOL_QUICK_STARTS 3 /* failed ones, before each further one waits 1, 2, 4 ... 30 s */
#define POOL_BACKOFF_MAX_MS 30000
#define POOL_TRIES 2 /* workers that one request may cost */

struct pool {
    struct pool *next;
    struct loop *loop;
    struct grading_counters *counters;
    const struct registered *plugin;
    struct request_queue waiting;
    struct loop_timer backoff;
    unsigned failed_starts;
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
