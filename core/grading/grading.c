#include "grading/grading.h"
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "base/mem.h"
#include "grading/grade_check.h"
#include "grading/pool.h"
#include "grading/worker_process.h"

/* A pool and what keeps it: the plugin it runs is held, and a pool whose plugin has a successor ends with its last
 * request. */
struct berth {
    struct berth *next;
    const struct registered *plugin;
    struct pool *pool;
    unsigned users; /* fibers in pool_run */
    bool retired;
};

struct grading {
    struct loop *loop;
    int workers_per_plugin;
    struct berth *berths;
    struct grading_counters counters;
    struct loop_timer warm, sweep;
    struct registry_listener listener;
};

static _Thread_local struct grading *here;

struct grading *grading_here(void)
{
    return here;
}

/* --- Life
 * ------------------------------------------------------------------------------------------------------- */

static struct berth *berth_of(struct grading *grading, const struct registered *plugin)
{
    for (struct berth *berth = grading->berths; berth; berth = berth->next)
        if (berth->plugin == plugin)
            return berth;
    struct berth *berth = mem_alloc(sizeof(*berth));

    *berth = (struct berth){
        .next = grading->berths,
        .plugin = registry_hold(plugin),
        .pool = pool_create(grading->loop, plugin, grading->workers_per_plugin, &grading->counters),
        .retired = !registry_is_current(plugin),
    };
    grading->berths = berth;
    return berth;
}

static void berth_destroy(struct berth *berth)
{
    pool_destroy(berth->pool);
    registry_release(berth->plugin);
    mem_free(berth);
}

/* By a timer, never where a request ends: that is within a callback of the very pool. */
static void sweep(void *arg)
{
    struct grading *grading = arg;
    struct berth **link = &grading->berths, *berth;

    while ((berth = *link)) {
        if (!berth->retired || berth->users > 0) {
            link = &berth->next;
            continue;
        }
        *link = berth->next;
        berth_destroy(berth);
    }
}

static struct grading *create(struct loop *loop, int workers_per_plugin)
{
    struct grading *grading = mem_alloc(sizeof(*grading));

    grading->loop = loop;
    grading->workers_per_plugin = workers_per_plugin;
    here = grading;
    return grading;
}

/* The first reader need not wait for a process to start, and the operator hears of a plugin that cannot. */
static void warm(void *arg)
{
    struct arena *arena = arena_create();
    const struct grading_plugin *const *plugins;
    int count = grading_plugins(arena, &plugins);

    for (int i = 0; i < count; i++)
        if (!plugins[i]->broken)
            pool_warm(berth_of(arg, registry_of(plugins[i]))->pool);
    arena_destroy(arena);
}

/* The registry has changed: successors are made ready before their predecessors go. */
static void renew(void *unused)
{
    struct grading *grading = here;

    (void)unused;
    if (!grading)
        return;
    warm(grading);
    for (struct berth *berth = grading->berths; berth; berth = berth->next)
        berth->retired = !registry_is_current(berth->plugin);
    loop_timer_start(grading->loop, &grading->sweep, 0, sweep, grading);
}

struct grading *grading_create(struct loop *loop, int workers_per_plugin)
{
    struct grading *grading = create(loop, workers_per_plugin);
    const char *weakness = grading_weakness();

    if (weakness)
        log_line(LOG_LEVEL_WARNING, "grader_weak", "why", weakness, NULL);
    grading->listener = (struct registry_listener){.loop = loop, .changed = renew};
    registry_listen(&grading->listener);
    loop_timer_start(loop, &grading->warm, 0, warm, grading);
    return grading;
}

struct grading *grading_destroy(struct grading *grading)
{
    if (!grading)
        return NULL;
    registry_unlisten(&grading->listener);
    loop_timer_stop(&grading->warm);
    while (grading->berths) {
        struct berth *berth = grading->berths;

        grading->berths = berth->next;
        berth_destroy(berth);
    }
    loop_timer_stop(&grading->sweep); /* last: requests that end meanwhile start it */
    worker_reap_all();
    if (here == grading)
        here = NULL;
    mem_free(grading);
    return NULL;
}

const char *grading_weakness(void)
{
    return worker_process_weakness();
}

struct grading_counters grading_counters(const struct grading *grading)
{
    return grading->counters;
}

/* --- Calls
 * ------------------------------------------------------------------------------------------------------ */

static int unavailable(struct error *err, const char *code, unsigned retry_after)
{
    error_set(err, ERROR_UNAVAILABLE, code, NULL, "The grader cannot answer at the moment. Try again later.");
    if (err)
        err->retry_after = retry_after;
    return -1;
}

/* What the operator has to hear: the plugin's author is to blame, or the caller. */
static void complain(const struct grading_plugin *plugin, const char *event, const char *why)
{
    log_line(LOG_LEVEL_ERROR, event, "plugin", plugin->id, "version", plugin->version, "why", why, NULL);
}

static int take_status(const struct grading_plugin *plugin, const struct request *r, const char *prefix,
                       struct error *err)
{
    char field[sizeof(err->field)];

    switch (r->status) {
    case HOST_OK:
        return 0;
    case HOST_REFUSED:
        snprintf(field, sizeof(field), "%s%s", prefix, r->pointer);
        return error_set(err, ERROR_UNPROCESSABLE, "incoherent", field, "%s", r->words);
    case HOST_BAD_INPUT:
        complain(plugin, "grader_input", r->words);
        return error_set(err, ERROR_INTERNAL, "grader_input", NULL,
                         "The grader was sent what it cannot read: %s.", r->words);
    default:
        complain(plugin, "plugin_bug", r->words);
        return unavailable(err, "grader_failed", 30);
    }
}

/* Sends the request, and turns what became of it into an error. */
static int fiber_fn run(const struct grading_plugin *plugin, struct request *r, const char *prefix,
                        struct error *err)
{
    struct grading *grading = here;
    size_t len = r->input.config.len + r->input.truth.len + r->input.answer.len;

    if (!grading || plugin->broken)
        return unavailable(err, "grader_broken", 30);
    if (len > FRAME_MAX - sizeof(struct frame_request_head))
        return error_set(err, ERROR_UNPROCESSABLE, "too_large", prefix, "There is more than a grader takes.");
    struct berth *berth = berth_of(grading, registry_of(plugin));

    berth->users++;
    pool_run(berth->pool, r);
    berth->users--;
    if (berth->retired && berth->users == 0)
        loop_timer_start(grading->loop, &grading->sweep, 0, sweep, grading);
    if (r->outcome == REQUEST_GONE)
        return error_set(err, ERROR_CANCELLED, "request_gone", NULL, "The client has gone.");
    if (r->outcome == REQUEST_BUSY)
        return unavailable(err, "grader_busy", 1);
    if (r->outcome == REQUEST_TIMED_OUT)
        return unavailable(err, "grader_timeout", 30);
    if (r->outcome != REQUEST_REPLIED)
        return unavailable(err, "grader_failed", 30);
    int status = take_status(plugin, r, prefix, err);

    if (status < 0 && r->status != HOST_REFUSED)
        grading->counters.failures++;
    return status;
}

int fiber_fn grading_check(const struct grading_plugin *plugin, const struct grading_input *input,
                           const char *prefix, struct error *err)
{
    struct request r = {.op = input->answer.len == 0 ? HOST_CHECK_TRUTH : HOST_CHECK_ANSWER,
                        .input = {.config = input->config, .truth = input->truth, .answer = input->answer},
                        .gone = input->gone,
                        .gone_arg = input->gone_arg};

    return run(plugin, &r, prefix ? prefix : "", err);
}

/* SHA-256 over the SHA-256 of config, of truth and of answer, each as 32 bytes: no two triples run together.
 */
static void hash_input(const struct grading_input *input, char ret[SHA256_HEX_SIZE])
{
    uint8_t parts[3][SHA256_SIZE];

    crypto_sha256(input->config.p, input->config.len, parts[0]);
    crypto_sha256(input->truth.p, input->truth.len, parts[1]);
    crypto_sha256(input->answer.p, input->answer.len, parts[2]);
    crypto_sha256_hex(parts, sizeof(parts), ret);
}

int fiber_fn grading_grade(struct arena *arena, const struct grading_plugin *plugin,
                           const struct grading_input *input, struct grading_grade *ret, struct error *err)
{
    struct request r = {.op = HOST_GRADE,
                        .arena = arena,
                        .input = {.config = input->config, .truth = input->truth, .answer = input->answer},
                        .gone = input->gone,
                        .gone_arg = input->gone_arg};

    if (run(plugin, &r, "", err) < 0)
        return -1;
    const char *objection = grade_objection(&registry_of(plugin)->manifest, &r);

    if (objection) {
        complain(plugin, "grader_lied", objection);
        here->counters.failures++;
        return unavailable(err, "grader_failed", 30);
    }
    here->counters.grades++;
    *ret = (struct grading_grade){.json = r.json,
                                  .points_milli = r.points_milli,
                                  .max_points_milli = r.max_points_milli,
                                  .correct = r.correct,
                                  .plugin = plugin};
    hash_input(input, ret->input_sha256);
    return 0;
}

/* --- Blocking
 * --------------------------------------------------------------------------------------------------- */

struct blocking {
    const struct grading_plugin *plugin;
    const struct grading_input *input;
    const char *prefix;
    struct error *err;
    int result;
    bool done;
};

static void fiber_fn check_in_fiber(void *arg)
{
    struct blocking *b = arg;

    b->result = grading_check(b->plugin, b->input, b->prefix, b->err);
    b->done = true;
}

int grading_check_blocking(const struct grading_plugin *plugin, const struct grading_input *input,
                           const char *prefix, struct error *err)
{
    struct grading *outer = here;
    struct loop *loop = loop_create();
    struct grading *grading = create(loop, 1);
    struct blocking b = {.plugin = plugin, .input = input, .prefix = prefix, .err = err};

    fiber_spawn(check_in_fiber, &b);
    while (!b.done)
        loop_turn(loop, -1);
    grading_destroy(grading);
    loop_destroy(loop);
    here = outer;
    return b.result;
}
