#include "grading/probe.h"
#include <stdio.h>
#include "grading/worker.h"

struct probe {
    bool done, good;
    char *why;
    size_t size;
};

static void changed(void *arg, struct worker *worker, struct request_queue *replied)
{
    struct probe *probe = arg;

    (void)replied;
    if (worker->state == WORKER_READY)
        probe->done = probe->good = true;
}

static void lost(void *arg, struct worker *worker, const char *why, bool timed_out)
{
    struct probe *probe = arg;

    (void)timed_out;
    snprintf(probe->why, probe->size, "no worker can load it: %s", why);
    worker_drop(worker, NULL);
    probe->done = true;
}

int probe_worker(const struct registered *plugin, char *ret_why, size_t size)
{
    struct loop *loop = loop_create();
    struct probe probe = {.why = ret_why, .size = size};
    struct worker worker = {
        .loop = loop, .plugin = plugin, .changed = changed, .lost = lost, .arg = &probe, .pid = -1};

    worker_start(&worker);
    while (!probe.done)
        loop_turn(loop, -1);
    worker_drop(&worker, NULL);
    worker_reap_all();
    loop_destroy(loop);
    return probe.good ? 0 : -1;
}
