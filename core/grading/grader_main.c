/* overread-grader: loads one plugin and grades with it, as little trusted as it can be made. Started by the
 * server only, on the descriptors of frame.h; it owns nothing, knows no secret, and may be killed at any
 * time. */
#include "grading/grader_sandbox.h"
#include <dlfcn.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "grading/frame.h"
#include "grading/host.h"

#define REPLIES_MAX ((size_t)64 * 1024) /* written out at the latest when so many bytes wait */
#define REPLIES_NS 300000u              /* or the first has waited so long */

struct grader {
    struct buffer out;  /* frames to the server */
    uint64_t out_since; /* when the first of them was made */
    char *in;           /* bytes from the server */
    size_t in_len, in_cap;
    struct frame_page *page;
    struct host_rules rules;
    struct host *host;
    const overread_plugin *plugin;
    struct host_result result;
    timer_t cpu_timer;
    uint64_t timed_ns; /* when cpu_timer was set last */
    unsigned cpu_ms, memory_mb, log_lines;
    uint64_t running;
};

#if GRADER_SANITIZED
/* A worker ends by _exit or by a signal that its parent names; a report would need files. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0:handle_segv=0:handle_abort=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:"
           "allocator_may_return_null=1:max_allocation_size_mb=1024:symbolize=0:use_sigaltstack=0";
}
#endif

/* --- Frames
 * ----------------------------------------------------------------------------------------------------- */

static void flush(struct grader *g)
{
    size_t done = 0;

    while (done < g->out.len) {
        ssize_t n = send(FRAME_FD_SOCKET, g->out.p + done, g->out.len - done, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            _exit(0); /* the server has gone */
        done += (size_t)n;
    }
    buffer_clear(&g->out);
}

static void add_frame(struct grader *g, enum frame_type type, uint64_t id, struct text body)
{
    struct frame_head head = frame_head(type, id, body.len);

    buffer_add(&g->out, &head, sizeof(head));
    buffer_add(&g->out, body.p, body.len);
}

static void fail(struct grader *g, const char *why)
{
    add_frame(g, FRAME_FAILED, 0, (struct text){.p = why, .len = strnlen(why, HOST_LOG_MAX)});
    flush(g);
    _exit(1);
}

/* Next frame of the input; frames stay where they are until the call after. Waits when none is complete. */
static void next_frame(struct grader *g, size_t *at, struct frame *ret)
{
    for (;;) {
        int64_t size = frame_parse((struct text){.p = g->in + *at, .len = g->in_len - *at}, ret);

        if (size < 0)
            _exit(1);
        if (size > 0) {
            *at += (size_t)size;
            return;
        }
        flush(g);
        if (*at > 0) {
            memmove(g->in, g->in + *at, g->in_len - *at);
            g->in_len -= *at;
            *at = 0;
        }
        if (g->in_len == g->in_cap) {
            g->in_cap *= 2; /* a frame's bound ends this */
            g->in = mem_resize(g->in, g->in_cap);
        }
        ssize_t n = recv(FRAME_FD_SOCKET, g->in + g->in_len, g->in_cap - g->in_len, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            _exit(0);
        g->in_len += (size_t)n;
    }
}

static void log_frame(void *context, struct text line)
{
    struct grader *g = context;

    if (g->log_lines++ < FRAME_LOG_LINES)
        add_frame(g, FRAME_LOG, g->running, line);
}

/* --- Start
 * ------------------------------------------------------------------------------------------------------ */

static void read_hello(struct grader *g, struct text body)
{
    json_t *json = json_loadb(body.p, body.len, 0, NULL), *codes = json_object_get(json, "findings");
    const char **list = mem_array(json_array_size(codes) + 1, sizeof(*list));

    g->rules.id = json_string_value(json_object_get(json, "id"));
    g->rules.version = json_string_value(json_object_get(json, "version"));
    g->rules.rules_revision = (uint32_t)json_integer_value(json_object_get(json, "rules_revision"));
    g->memory_mb = (unsigned)json_integer_value(json_object_get(json, "memory_mb"));
    g->cpu_ms = (unsigned)json_integer_value(json_object_get(json, "cpu_ms"));
    if (!g->rules.id || !g->rules.version || !g->memory_mb || !g->cpu_ms)
        fail(g, "the first frame is not as expected");
    for (size_t i = 0; i < json_array_size(codes); i++)
        list[i] = json_string_value(json_array_get(codes, i));
    g->rules.codes = list; /* json stays for the life of the process */
    g->rules.code_count = json_array_size(codes);
    g->rules.memory_bytes = (uint64_t)g->memory_mb << 20;
    g->rules.log = log_frame;
    g->rules.log_context = g;
}

static int compare_warm(const void *a, const void *b)
{
    return *(const char *)a - *(const char *)b;
}

/* What libraries ask the system for once is asked before the filter denies it. */
static void warm_up(void)
{
    char block[4096] = {0};

    qsort(block, sizeof(block), 1, compare_warm); /* the size of memory */
    json_object_seed(1);                          /* randomness from a file */
    tzset();
}

static void make_cpu_timer(struct grader *g)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGXCPU};

    if (timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &g->cpu_timer) < 0)
        fail(g, "the timer of processor time could not be made");
}

static void load_plugin(struct grader *g)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", FRAME_FD_LIBRARY);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

    if (!library)
        fail(g, dlerror());
    /* A pointer to an object becomes one to a function: POSIX's own way of writing it. */
    overread_plugin_entry_fn entry = NULL;

    *(void **)&entry = dlsym(library, OVERREAD_PLUGIN_ENTRY);
    if (!entry)
        fail(g, "the library does not export " OVERREAD_PLUGIN_ENTRY);
    g->plugin = entry();
    const char *objection = host_objection(g->host, g->plugin);

    if (objection)
        fail(g, objection);
}

static void start(struct grader *g, bool explain, size_t *at)
{
    struct frame frame;
    const char *why = sandbox_drop_privileges();

    if (why)
        fail(g, why);
    next_frame(g, at, &frame);
    if (frame.type != FRAME_HELLO)
        fail(g, "the first frame is not as expected");
    read_hello(g, frame.body);
    warm_up();
    why = sandbox_limit(g->memory_mb, explain);
    if (why)
        fail(g, why);
    g->host = host_create(&g->rules);
    if (!g->host)
        fail(g, "the arena could not be reserved");
    host_result_init(&g->result);
    make_cpu_timer(g);
    why = sandbox_restrict_files();
    if (why)
        fail(g, why);
    why = sandbox_filter_loading(explain);
    if (why)
        fail(g, why);
    load_plugin(g);
    why = sandbox_filter_strict();
    if (why)
        fail(g, why);
    add_frame(g, FRAME_READY, 0, (struct text){.p = "", .len = 0});
    flush(g);
}

/* --- Work
 * ------------------------------------------------------------------------------------------------------- */

/* A call gets cpu_ms of processor time, and a quarter more at most: setting the timer costs as much as a small grade, so it is done
 * when a quarter may be used up. No process uses more time than there passes. */
static void allow_time(struct grader *g, uint64_t now)
{
    uint64_t quarter = (uint64_t)g->cpu_ms * 250000, whole = 5 * quarter;
    struct itimerspec spec = {.it_value = {.tv_sec = (time_t)(whole / 1000000000), .tv_nsec = (long)(whole % 1000000000)}};

    if (g->timed_ns && now - g->timed_ns < quarter)
        return;
    timer_settime(g->cpu_timer, 0, &spec, NULL);
    g->timed_ns = now;
}

static void reply(struct grader *g, uint64_t id)
{
    const struct host_result *r = &g->result;
    struct frame_reply_head head = {.points_milli = r->points_milli,
                                    .max_points_milli = r->max_points_milli,
                                    .status = r->status,
                                    .correct = r->correct,
                                    .pointer_len = (uint32_t)strlen(r->pointer),
                                    .text_len = (uint32_t)r->text.len};
    struct frame_head frame = frame_head(FRAME_REPLY, id, sizeof(head) + head.pointer_len + head.text_len);

    buffer_add(&g->out, &frame, sizeof(frame));
    buffer_add(&g->out, &head, sizeof(head));
    buffer_add(&g->out, r->pointer, head.pointer_len);
    buffer_add(&g->out, r->text.p, head.text_len);
}

static void serve_one(struct grader *g, const struct frame *frame)
{
    struct frame_request request;
    uint64_t now = clock_monotonic_ns();

    if (frame->type != FRAME_REQUEST || frame_parse_request(frame->body, &request) < 0 ||
        request.op < HOST_GRADE || request.op > HOST_CHECK_ANSWER)
        _exit(1);
    if (g->out.len > REPLIES_MAX || (g->out.len > 0 && now - g->out_since > REPLIES_NS))
        flush(g);
    now = clock_monotonic_ns(); /* what it took to flush is not the call's */
    if (g->out.len == 0)
        g->out_since = now;
    struct host_input input = {.config = request.config, .truth = request.truth, .answer = request.answer};

    g->log_lines = 0;
    g->running = frame->id;
    atomic_store(&g->page->started_ns, now);
    atomic_store(&g->page->running, frame->id);
    allow_time(g, now);
    host_run(g->host, g->plugin, request.op, &input, &g->result);
    allow_time(g, clock_monotonic_ns()); /* what follows is no call, and must not end by what one left over */
    atomic_store(&g->page->running, 0);
    reply(g, frame->id);
}

int main(int argc, char **argv)
{
    static struct grader g; /* large, and lives as long as the process */
    bool explain = argc == 2 && strcmp(argv[1], "--explain") == 0;
    int type = 0;
    socklen_t len = sizeof(type);
    size_t at = 0;

    if ((argc != 1 && !explain) || getsockopt(FRAME_FD_SOCKET, SOL_SOCKET, SO_TYPE, &type, &len) < 0) {
        fputs("overread-grader is started by overread, not by hand.\n", stderr);
        return 2;
    }
    buffer_init(&g.out, 16 * FRAME_MAX);
    g.in_cap = 1 << 16;
    g.in = mem_alloc(g.in_cap);
    g.page = mmap(NULL, sizeof(*g.page), PROT_READ | PROT_WRITE, MAP_SHARED, FRAME_FD_PAGE, 0);
    if (g.page == MAP_FAILED)
        fail(&g, "the shared page could not be mapped");
    close(FRAME_FD_PAGE);
    start(&g, explain, &at);
    for (;;) {
        struct frame frame;

        next_frame(&g, &at, &frame);
        serve_one(&g, &frame);
    }
}
