#include "jobs/thread_pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/die.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"

/* Lies on the stack of the fiber that waits for it. */
struct item {
    void (*work)(void *arg);
    void *arg;
    struct loop *loop;
    struct fiber *fiber;
    struct item *next;
};

struct thread_pool {
    pthread_mutex_t lock; /* guards what follows up to threads */
    pthread_cond_t changed;
    struct item *first, **last;
    unsigned queued, queue_max;
    bool stopping;

    int niceness;
    unsigned thread_count;
    pthread_t *threads;
};

static void wake(void *arg)
{
    struct item *item = arg;
    fiber_wake(item->fiber);
}

/* The next piece of work, or NULL when the pool stops and none is left. */
static struct item *take(struct thread_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    while (!pool->first && !pool->stopping)
        pthread_cond_wait(&pool->changed, &pool->lock);
    struct item *item = pool->first;
    if (item) {
        pool->first = item->next;
        if (!pool->first)
            pool->last = &pool->first;
        pool->queued--;
    }
    pthread_mutex_unlock(&pool->lock);
    return item;
}

static void *run(void *arg)
{
    struct thread_pool *pool = arg;
    struct item *item;
    /* On Linux a thread has a niceness of its own. Without it the work is done all the same. */
    if (pool->niceness && setpriority(PRIO_PROCESS, (id_t)gettid(), pool->niceness) < 0)
        log_line(LOG_LEVEL_WARNING, "thread_pool_not_nice", NULL);
    while ((item = take(pool))) {
        item->work(item->arg);
        loop_post(item->loop, wake, item);
    }
    return NULL;
}

struct thread_pool *thread_pool_create(unsigned threads, unsigned queue_max, int niceness)
{
    struct thread_pool *pool = mem_alloc(sizeof(*pool));
    pool->last = &pool->first;
    pool->queue_max = queue_max;
    pool->niceness = niceness;
    pool->thread_count = threads;
    pool->threads = mem_array(threads, sizeof(pool->threads[0]));
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->changed, NULL);

    /* Signals are the main thread's. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 0; i < threads; i++) {
        int r = pthread_create(&pool->threads[i], NULL, run, pool);
        if (r)
            die_errno("thread_pool_create", r);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pool;
}

struct thread_pool *thread_pool_destroy(struct thread_pool *pool)
{
    if (!pool)
        return NULL;
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->lock);
    mem_free(pool->threads);
    mem_free(pool);
    return NULL;
}

int thread_pool_run(struct thread_pool *pool, void (*work)(void *arg), void *arg, struct error *err)
{
    struct item item = {.work = work, .arg = arg, .loop = loop_here(), .fiber = fiber_self()};
    if (!item.loop || !item.fiber)
        die("thread_pool_run", "called outside of a fiber on a loop");
    pthread_mutex_lock(&pool->lock);
    bool taken = pool->queued < pool->queue_max && !pool->stopping;
    if (taken) {
        *pool->last = &item;
        pool->last = &item.next;
        pool->queued++;
        pthread_cond_signal(&pool->changed);
    }
    pthread_mutex_unlock(&pool->lock);
    if (!taken) {
        error_set(err, ERROR_UNAVAILABLE, "busy", NULL, "Too much of this work is waiting. Try again.");
        if (err)
            err->retry_after = 1;
        return -1;
    }
    fiber_wait(); /* wake comes by this very loop, so not before this */
    return 0;
}
