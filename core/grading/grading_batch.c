/* Many grades for the command line: a private loop, and as many fibers as keep the workers busy. */
#include <string.h>

#include "base/mem.h"
#include "grading/grading.h"

enum { IN_FLIGHT = 64 }; /* a worker */

struct grading_batch {
    struct loop *loop;
    struct grading *grading;
    const struct grading_plugin *plugin;
    int workers;
    unsigned running;
    struct arena *arena;
    const struct grading_input *inputs;
    struct grading_grade *grades;
    size_t count, next, failed_at;
    bool failed;
    struct error why;
};

struct grading_batch *grading_batch_open(const struct grading_plugin *plugin, int workers)
{
    struct grading_batch *batch = mem_alloc(sizeof(*batch));

    batch->loop = loop_create();
    batch->grading = grading_create(batch->loop, workers);
    batch->plugin = plugin;
    batch->workers = workers;
    return batch;
}

struct grading_batch *grading_batch_close(struct grading_batch *batch)
{
    if (batch) {
        grading_destroy(batch->grading);
        loop_destroy(batch->loop);
        mem_free(batch);
    }
    return NULL;
}

/* "grader_busy" is said to clients who would not wait so long. Here somebody has the time. */
static int fiber_fn grade_patiently(struct grading_batch *batch, size_t i, struct error *err)
{
    int rc;

    do
        rc = grading_grade(batch->arena, batch->plugin, &batch->inputs[i], &batch->grades[i], err);
    while (rc < 0 && strcmp(err->code, "grader_busy") == 0);
    return rc;
}

static void fiber_fn grade_rest(void *arg)
{
    struct grading_batch *batch = arg;
    struct error err = {0};

    while (!batch->failed && batch->next < batch->count) {
        size_t i = batch->next++;

        if (grade_patiently(batch, i, &err) == 0)
            continue;
        if (!batch->failed) {
            batch->failed_at = i;
            batch->why = err;
        }
        batch->failed = true;
    }
    batch->running--;
}

int grading_batch_run(struct grading_batch *batch, struct arena *arena, const struct grading_input *inputs, size_t count,
                      struct grading_grade *ret, size_t *ret_failed, struct error *err)
{
    batch->arena = arena;
    batch->inputs = inputs;
    batch->grades = ret;
    batch->count = count;
    batch->next = 0;
    batch->failed = false;
    for (int i = 0; i < IN_FLIGHT * batch->workers; i++) {
        batch->running++;
        fiber_spawn(grade_rest, batch);
    }
    while (batch->running > 0)
        loop_turn(batch->loop, -1);
    if (!batch->failed)
        return 0;
    *ret_failed = batch->failed_at;
    *err = batch->why;
    return -1;
}
