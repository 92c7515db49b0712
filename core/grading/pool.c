#include "grading/pool.h"
#include "base/mem.h"

/* No worker has held for a call since POOL_QUICK_STARTS were lost: requests are refused at once until one is
 * ready. */
static bool is_down(const struct pool *pool)
{
    if (pool->failed_starts < POOL_QUICK_STARTS)
        return false;
    for (int i = 0; i < pool->worker_count; i++)
        if (pool->workers[i].state == WORKER_READY)
            return false;
    return true;
}

static void dispatch(struct pool *pool)
{
    while (pool->waiting.count > 0) {
        struct worker *best = NULL;

        for (int i = 0; i < pool->worker_count; i++) {
            struct worker *w = &pool->workers[i];

            if (worker_accepts(w) && (!best || w->in_flight.count < best->in_flight.count))
                best = w;
        }
        if (!best)
            return;
        worker_send(best, request_pop(&pool->waiting));
    }
}

/* The last act of whoever calls it: a woken fiber may do anything, also to this pool. */
static void wake_all(struct request_queue *done)
{
    struct request *r;

    while ((r = request_pop(done)))
        fiber_wake(r->fiber); /* the request is gone afterwards */
}

/* --- Workers come and go
 * ---------------------------------------------------------------------------------------- */

static void try_again(void *arg)
{
    struct pool *pool = arg;

    for (int i = 0; i < pool->worker_count; i++)
        if (pool->workers[i].state == WORKER_ABSENT) {
            pool->counters->workers_started++;
            worker_start(&pool->workers[i]);
            return; /* one is enough to see whether it holds; its first reply brings the others */
        }
}

static void start_absent(struct pool *pool)
{
    if (pool->failed_starts >= POOL_QUICK_STARTS)
        return;
    for (int i = 0; i < pool->worker_count; i++)
        if (pool->workers[i].state == WORKER_ABSENT) {
            pool->counters->workers_started++;
            worker_start(&pool->workers[i]);
        }
}

static void start_after_loss(struct pool *pool)
{
    if (pool->failed_starts < POOL_QUICK_STARTS) {
        start_absent(pool);
        return;
    }
    unsigned doublings = pool->failed_starts - POOL_QUICK_STARTS;
    uint64_t ms = doublings < 5 ? (uint64_t)1000 << doublings : POOL_BACKOFF_MAX_MS;

    if (pool->backoff.index == 0)
        loop_timer_start(pool->loop, &pool->backoff, ms, try_again, pool);
}

/* Everything that the worker had is sent again; only the request it was at has spent one of its tries. */
static void take_back(struct pool *pool, struct worker *w, bool timed_out, struct request_queue *failed)
{
    struct request *culprit = worker_culprit(w), *r;
    struct request_queue again = {0};

    while ((r = request_pop(&w->in_flight))) {
        if (r == culprit && ++r->failures >= POOL_TRIES) {
            r->outcome = timed_out ? REQUEST_TIMED_OUT : REQUEST_FAILED;
            pool->counters->failures++;
            request_push(failed, r);
            continue;
        }
        if (r == culprit)
            pool->counters->retries++;
        request_push(&again, r);
    }
    request_prepend(&pool->waiting, &again);
}

static void fail_waiting(struct pool *pool, struct request_queue *failed)
{
    struct request *r;

    while ((r = request_pop(&pool->waiting))) {
        r->outcome = REQUEST_FAILED;
        pool->counters->failures++;
        request_push(failed, r);
    }
}

static void lost(void *arg, struct worker *w, const char *why, bool timed_out)
{
    struct pool *pool = arg;
    struct request_queue failed = {0};
    bool in_vain = w->served == 0 && w->in_flight.count == 0;

    pool->counters->workers_lost++;
    if (in_vain)
        pool->failed_starts++;
    take_back(pool, w, timed_out, &failed);
    worker_drop(w, why);
    start_after_loss(pool);
    if (is_down(pool))
        fail_waiting(pool, &failed);
    else
        dispatch(pool);
    wake_all(&failed);
}

static void changed(void *arg, struct worker *w, struct request_queue *replied)
{
    struct pool *pool = arg;

    if (replied->count > 0)
        pool->failed_starts = 0;
    if (w->retiring && w->in_flight.count == 0 && w->state == WORKER_READY)
        worker_drop(w, NULL);
    start_absent(pool);
    dispatch(pool);
    wake_all(replied);
}

/* --- Face
 * ------------------------------------------------------------------------------------------------------- */

struct pool *pool_create(struct loop *loop, const struct registered *plugin, int workers,
                         struct grading_counters *counters)
{
    int count = workers > 0 ? workers : 1;
    struct pool *pool = mem_alloc(sizeof(*pool) + (size_t)count * sizeof(pool->workers[0]));

    pool->loop = loop;
    pool->plugin = plugin;
    pool->counters = counters;
    pool->worker_count = count;
    for (int i = 0; i < count; i++)
        pool->workers[i] = (struct worker){
            .loop = loop, .plugin = plugin, .changed = changed, .lost = lost, .arg = pool, .pid = -1};
    return pool;
}

struct pool *pool_destroy(struct pool *pool)
{
    struct request_queue failed = {0};

    if (!pool)
        return NULL;
    loop_timer_stop(&pool->backoff);
    for (int i = 0; i < pool->worker_count; i++) {
        request_prepend(&pool->waiting, &pool->workers[i].in_flight);
        worker_drop(&pool->workers[i], NULL);
    }
    fail_waiting(pool, &failed);
    wake_all(&failed);
    mem_free(pool);
    return NULL;
}

void pool_warm(struct pool *pool)
{
    start_absent(pool);
}

void fiber_fn pool_run(struct pool *pool, struct request *r)
{
    if (is_down(pool)) {
        r->outcome = REQUEST_FAILED;
        pool->counters->failures++;
        return;
    }
    if (pool->waiting.count >= POOL_QUEUE_MAX) {
        r->outcome = REQUEST_BUSY;
        pool->counters->failures++;
        return;
    }
    r->id = ++pool->next_id;
    r->fiber = fiber_self();
    request_push(&pool->waiting, r);
    start_absent(pool);
    dispatch(pool);
    fiber_wait();
}
