#include "grading/pool.h"
#include "base/clock.h"
#include "base/mem.h"

static unsigned quick_losses(const struct pool *pool)
{
    return POOL_QUICK_LOSSES * (unsigned)pool->worker_count;
}

/* Many workers were lost in a row, whether they were loading the plugin or calling it: requests are refused
 * at once until one is ready to be tried. */
static bool is_down(const struct pool *pool)
{
    if (pool->losses < quick_losses(pool))
        return false;
    for (int i = 0; i < pool->worker_count; i++)
        if (pool->workers[i].state == WORKER_READY)
            return false;
    return true;
}

static void end(struct pool *pool, struct request *r, enum request_outcome outcome,
                struct request_queue *ended)
{
    r->outcome = outcome;
    if (outcome != REQUEST_GONE)
        pool->counters->failures++;
    request_push(ended, r);
}

/* ended: takes those that have waited in vain, as their clients have gone. NULL: nobody is asked. */
static void dispatch(struct pool *pool, struct request_queue *ended)
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
        struct request *r = request_pop(&pool->waiting);

        if (ended && r->gone && r->gone(r->gone_arg))
            end(pool, r, REQUEST_GONE, ended);
        else
            worker_send(best, r);
    }
}

/* The last act of whoever calls it: a woken fiber may do anything, also to this pool. */
static void wake_all(struct request_queue *done)
{
    struct request *r;

    while ((r = request_pop(done)))
        if (r->fiber)
            fiber_wake(r->fiber); /* the request is gone afterwards */
        else
            mem_free(r);
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
    if (pool->losses >= quick_losses(pool))
        return;
    for (int i = 0; i < pool->worker_count; i++)
        if (pool->workers[i].state == WORKER_ABSENT) {
            pool->counters->workers_started++;
            worker_start(&pool->workers[i]);
        }
}

static void start_after_loss(struct pool *pool)
{
    if (pool->losses < quick_losses(pool)) {
        start_absent(pool);
        return;
    }
    unsigned doublings = pool->losses - quick_losses(pool);
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
        if (!r->fiber) {
            mem_free(r);
            continue;
        }
        if (r == culprit && ++r->failures >= POOL_TRIES) {
            end(pool, r, timed_out ? REQUEST_TIMED_OUT : REQUEST_FAILED, failed);
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

    while ((r = request_pop(&pool->waiting)))
        if (r->fiber)
            end(pool, r, REQUEST_FAILED, failed);
        else
            mem_free(r);
}

static void lost(void *arg, struct worker *w, const char *why, bool timed_out)
{
    struct pool *pool = arg;
    struct request_queue failed = {0};

    pool->counters->workers_lost++;
    pool->losses++;
    take_back(pool, w, timed_out, &failed);
    worker_drop(w, why);
    start_after_loss(pool);
    if (is_down(pool))
        fail_waiting(pool, &failed);
    else
        dispatch(pool, &failed);
    wake_all(&failed);
}

static void changed(void *arg, struct worker *w, struct request_queue *replied)
{
    struct pool *pool = arg;

    if (replied->count > 0)
        pool->losses = 0;
    if (w->retiring && w->in_flight.count == 0 && w->state == WORKER_READY)
        worker_drop(w, NULL);
    start_absent(pool);
    dispatch(pool, replied);
    wake_all(replied);
}

/* --- Time
 * ------------------------------------------------------------------------------------------------------- */

static uint64_t earliest_due(const struct request_queue *queue, uint64_t than)
{
    for (const struct request *r = queue->first; r; r = r->next)
        if (r->fiber && r->due_ns < than)
            than = r->due_ns;
    return than;
}

static void expire(void *arg);

/* One timer for many requests: it looks at them all, and is set for the first that is left. */
static void set_expiry(struct pool *pool, uint64_t now)
{
    uint64_t due = earliest_due(&pool->waiting, UINT64_MAX);

    for (int i = 0; i < pool->worker_count; i++)
        due = earliest_due(&pool->workers[i].in_flight, due);
    if (due == UINT64_MAX)
        return;
    /* What a worker is at may be due already, and is left to wall_ms. */
    loop_timer_start(pool->loop, &pool->expiry, due > now ? (due - now) / 1000000 + 1 : 1000, expire, pool);
}

static void expire(void *arg)
{
    struct pool *pool = arg;
    const uint64_t now = clock_monotonic_ns();
    struct request_queue due = {0}, left = {0}, ended = {0};
    struct request *r;

    while ((r = request_pop(&pool->waiting)))
        request_push(r->due_ns <= now ? &due : &left, r);
    pool->waiting = left;
    for (int i = 0; i < pool->worker_count; i++)
        worker_abandon(&pool->workers[i], now, &due);
    while ((r = request_pop(&due)))
        end(pool, r, REQUEST_BUSY, &ended);
    set_expiry(pool, now);
    wake_all(&ended);
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
    loop_timer_stop(&pool->expiry);
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
    r->due_ns = clock_monotonic_ns() + (uint64_t)POOL_DUE_MS * 1000000;
    request_push(&pool->waiting, r);
    if (pool->expiry.index == 0)
        loop_timer_start(pool->loop, &pool->expiry, POOL_DUE_MS, expire, pool);
    start_absent(pool);
    dispatch(pool, NULL); /* the client was there a moment ago, and this is not the place to wake others */
    fiber_wait();
}
