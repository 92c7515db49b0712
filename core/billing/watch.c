#include "billing/watch.h"

#include <stdatomic.h>

#include "billing/billing_sql.h"

enum { COUNT_MS = 10000, ASLEEP_MS = 500, COUNTS = 4 };

static struct {
    struct loop *loop;
    struct db *db;
    struct loop_timer timer;
    bool running;
    _Atomic uint64_t counts[COUNTS];
} watch;

static void count_soon(void *arg);

static void count(void *arg)
{
    struct arena *arena = arena_create();
    struct db_scope nobody = {.arena = arena, .as = DB_AS_NOBODY};
    const struct db_result *res;
    struct error ignored; /* the database is away, which other numbers tell; the next time */
    (void)arg;
    if (db_run(&nobody, sql_billing_counts, NULL, &res, &ignored) == 0)
        for (int i = 0; i < COUNTS; i++)
            atomic_store_explicit(&watch.counts[i], (uint64_t)db_int(res, 0, i), memory_order_relaxed);
    arena_destroy(arena);
    if (watch.running)
        loop_timer_start(watch.loop, &watch.timer, COUNT_MS, count_soon, NULL);
}

static void count_soon(void *arg)
{
    (void)arg;
    if (db_ready(watch.db))
        fiber_spawn(count, NULL);
    else
        loop_timer_start(watch.loop, &watch.timer, ASLEEP_MS, count_soon, NULL);
}

void billing_watch_start(struct loop *loop, struct db *db)
{
    watch.loop = loop;
    watch.db = db;
    watch.running = true;
    loop_timer_start(loop, &watch.timer, ASLEEP_MS, count_soon, NULL);
}

void billing_watch_stop(void)
{
    if (watch.running)
        loop_timer_stop(&watch.timer);
    watch.running = false;
}

struct billing_counts billing_counts(void)
{
    uint64_t n[COUNTS];
    for (int i = 0; i < COUNTS; i++)
        n[i] = atomic_load_explicit(&watch.counts[i], memory_order_relaxed);
    return (struct billing_counts){.dead = n[0], .quarantined = n[1], .open = n[2], .disputes = n[3]};
}
