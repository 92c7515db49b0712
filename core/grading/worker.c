#include "grading/worker.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "grading/worker_process.h"

#define START_MS 20000
#define IN_START ((size_t)64 * 1024)
#define RECEIVES_A_TURN 16 /* so that one busy worker does not keep the loop from everybody else */

void request_push(struct request_queue *queue, struct request *request)
{
    request->next = NULL;
    if (queue->last)
        queue->last->next = request;
    else
        queue->first = request;
    queue->last = request;
    queue->count++;
}

struct request *request_pop(struct request_queue *queue)
{
    struct request *request = queue->first;

    if (!request)
        return NULL;
    queue->first = request->next;
    if (!queue->first)
        queue->last = NULL;
    queue->count--;
    return request;
}

void request_prepend(struct request_queue *queue, struct request_queue *front)
{
    if (!front->first)
        return;
    front->last->next = queue->first;
    queue->first = front->first;
    if (!queue->last)
        queue->last = front->last;
    queue->count += front->count;
    *front = (struct request_queue){0};
}

/* --- Time
 * ------------------------------------------------------------------------------------------------------- */

/* One timer for many requests: it looks now and then at what the worker is at, rather than being set for
 * each. */
static void look(void *arg)
{
    struct worker *w = arg;
    const uint64_t wall_ns = (uint64_t)w->plugin->manifest.wall_ms * 1000000, now = clock_monotonic_ns();

    if (w->state != WORKER_READY) {
        w->lost(w->arg, w, w->why[0] ? w->why : "it did not start", false);
        return;
    }
    if (w->in_flight.count == 0)
        return;
    uint64_t running = atomic_load(&w->page->running), started = atomic_load(&w->page->started_ns);
    /* The page is the plugin's to forge: silence for as long as all of them may take ends it all the same. */
    uint64_t end = w->progress_ns + wall_ns * (w->in_flight.count + 1);

    if (running && started + wall_ns < end)
        end = started + wall_ns;
    if (now >= end) {
        w->lost(w->arg, w, "a call took longer than wall_ms", true);
        return;
    }
    if (!running && end > now + wall_ns)
        end = now + wall_ns;
    loop_timer_start(w->loop, &w->timer, (end - now) / 1000000 + 1, look, w);
}

/* --- Receiving
 * -------------------------------------------------------------------------------------------------- */

static int take_reply(struct worker *w, const struct frame *frame, struct request_queue *replied)
{
    struct request *r = w->in_flight.first;
    struct frame_reply reply;

    if (w->state != WORKER_READY || !r || r->id != frame->id || frame_parse_reply(frame->body, &reply) < 0 ||
        reply.pointer.len >= sizeof(r->pointer) || reply.status > HOST_BAD_INPUT)
        return -EBADMSG;
    request_pop(&w->in_flight);
    r->outcome = REQUEST_REPLIED;
    r->status = reply.status;
    r->correct = reply.correct;
    r->points_milli = reply.points_milli;
    r->max_points_milli = reply.max_points_milli;
    memcpy(r->pointer, reply.pointer.p, reply.pointer.len);
    r->pointer[reply.pointer.len] = '\0';
    if (r->arena && r->status == HOST_OK)
        r->json =
            (struct text){.p = arena_copy(r->arena, reply.text.p, reply.text.len), .len = reply.text.len};
    else
        snprintf(r->words, sizeof(r->words), "%.*s", (int)reply.text.len, reply.text.p);
    request_push(replied, r);
    w->served++;
    return 0;
}

/* A line of the request that the worker is to answer next. */
static int take_log(struct worker *w, const struct frame *frame)
{
    struct request *r = w->in_flight.first;

    if (w->state != WORKER_READY || !r || r->id != frame->id || frame->body.len > HOST_LOG_MAX ||
        ++r->log_lines > FRAME_LOG_LINES)
        return -EBADMSG;
    char *line = mem_alloc(frame->body.len + 1);

    memcpy(line, frame->body.p, frame->body.len);
    log_line(LOG_LEVEL_INFO, "plugin_says", "plugin", w->plugin->face.id, "text", line, NULL);
    mem_free(line);
    return 0;
}

static int take_frame(struct worker *w, const struct frame *frame, struct request_queue *replied)
{
    switch (frame->type) {
    case FRAME_READY:
        if (w->state != WORKER_STARTING || w->why[0])
            return -EBADMSG;
        if (!worker_process_confined(w->pid)) {
            snprintf(w->why, sizeof(w->why), "the plugin runs without the filter that it has to run under");
            return -EBADMSG;
        }
        w->state = WORKER_READY;
        loop_timer_stop(&w->timer);
        return 0;
    case FRAME_FAILED:
        if (w->state != WORKER_STARTING || w->why[0] || frame->body.len > HOST_LOG_MAX)
            return -EBADMSG;
        snprintf(w->why, sizeof(w->why), "%.*s", (int)frame->body.len, frame->body.p);
        return 0;
    case FRAME_REPLY:
        return take_reply(w, frame, replied);
    case FRAME_LOG:
        return take_log(w, frame);
    default:
        return -EBADMSG;
    }
}

static int take_frames(struct worker *w, struct request_queue *replied)
{
    size_t at = 0;
    struct frame frame;
    int64_t size;

    while ((size = frame_parse((struct text){.p = w->in + at, .len = w->in_len - at}, &frame)) > 0) {
        if (take_frame(w, &frame, replied) < 0)
            return -EBADMSG;
        at += (size_t)size;
    }
    if (size < 0)
        return -EBADMSG;
    memmove(w->in, w->in + at, w->in_len - at);
    w->in_len -= at;
    return 0;
}

/* 0: nothing more for now. Negative: the worker has ended, or speaks nonsense. */
static int receive(struct worker *w, struct request_queue *replied)
{
    for (int i = 0; i < RECEIVES_A_TURN; i++) {
        if (w->in_len == w->in_cap) {
            w->in_cap = w->in_cap ? w->in_cap * 2 : IN_START; /* ends at a frame's bound */
            w->in = mem_resize(w->in, w->in_cap);
        }
        size_t room = w->in_cap - w->in_len;
        ssize_t n = recv(w->socket, w->in + w->in_len, room, MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return 0;
        if (n <= 0)
            return -EPIPE;
        w->in_len += (size_t)n;
        if (take_frames(w, replied) < 0)
            return -EBADMSG;
        if ((size_t)n < room)
            return 0;
    }
    return 0;
}

/* --- Sending
 * ---------------------------------------------------------------------------------------------------- */

static void send_backlog(struct worker *w)
{
    while (w->out_at < w->out.len) {
        ssize_t n =
            send(w->socket, w->out.p + w->out_at, w->out.len - w->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) /* full; or gone, which reading will tell */
            return;
        w->out_at += (size_t)n;
    }
    buffer_clear(&w->out);
    w->out_at = 0;
    loop_watch_set(w->watch, LOOP_READ);
}

static void keep(struct worker *w, const struct iovec *parts, int count, size_t sent)
{
    for (int i = 0; i < count; i++) {
        size_t skip = sent < parts[i].iov_len ? sent : parts[i].iov_len;

        buffer_add(&w->out, (const char *)parts[i].iov_base + skip, parts[i].iov_len - skip);
        sent -= skip;
    }
    loop_watch_set(w->watch, LOOP_READ | LOOP_WRITE);
}

static void send_parts(struct worker *w, struct iovec *parts, int count)
{
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};
    size_t total = 0;
    ssize_t n = 0;

    for (int i = 0; i < count; i++)
        total += parts[i].iov_len;
    if (w->out.len == 0)
        n = sendmsg(w->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return; /* gone, which reading will tell */
    if (n < 0)
        n = 0;
    if ((size_t)n < total)
        keep(w, parts, count, (size_t)n);
}

static struct iovec part(const void *p, size_t len)
{
    return (struct iovec){.iov_base = (void *)(uintptr_t)p, .iov_len = len}; /* sendmsg does not write */
}

void worker_send(struct worker *w, struct request *r)
{
    const struct host_input *in = &r->input;
    struct frame_request_head request = {.op = r->op,
                                         .config_len = (uint32_t)in->config.len,
                                         .truth_len = (uint32_t)in->truth.len,
                                         .answer_len = (uint32_t)in->answer.len};
    struct frame_head head =
        frame_head(FRAME_REQUEST, r->id, sizeof(request) + in->config.len + in->truth.len + in->answer.len);
    struct iovec parts[] = {part(&head, sizeof(head)), part(&request, sizeof(request)),
                            part(in->config.p, in->config.len), part(in->truth.p, in->truth.len),
                            part(in->answer.p, in->answer.len)};

    if (w->in_flight.count == 0) {
        w->progress_ns = clock_monotonic_ns();
        if (w->timer.index == 0)
            loop_timer_start(w->loop, &w->timer, w->plugin->manifest.wall_ms + 1, look, w);
    }
    r->log_lines = 0;
    request_push(&w->in_flight, r);
    send_parts(w, parts, sizeof(parts) / sizeof(parts[0]));
}

bool worker_accepts(const struct worker *w)
{
    return w->state == WORKER_READY && !w->retiring && w->in_flight.count < WORKER_IN_FLIGHT &&
           w->out.len - w->out_at < WORKER_BACKLOG;
}

/* A worker that spent its processor time is killed by a timer of its own; only the clock tells that from a
 * crash. */
static bool spent_its_time(const struct worker *w)
{
    return w->page && atomic_load(&w->page->running) &&
           clock_monotonic_ns() - atomic_load(&w->page->started_ns) >=
               (uint64_t)w->plugin->manifest.cpu_ms * 1000000;
}

/* --- Life
 * ------------------------------------------------------------------------------------------------------- */

static void ready(void *arg, unsigned events)
{
    struct worker *w = arg;
    struct request_queue replied = {0};

    if ((events & LOOP_WRITE) && w->out.len > 0)
        send_backlog(w);
    int r = receive(w, &replied);

    if (replied.count > 0)
        w->progress_ns = clock_monotonic_ns();
    w->retiring = w->retiring || w->served >= WORKER_REQUESTS;
    if (r < 0 && !w->why[0])
        snprintf(w->why, sizeof(w->why), "%s",
                 r == -EBADMSG                 ? "it sent nonsense"
                 : w->state == WORKER_STARTING ? "it ended while loading the plugin"
                 : w->in_flight.count == 0     ? "it ended"
                                               : "it ended during a call");
    if (r < 0)
        w->lost(w->arg, w, w->why, r == -EPIPE && spent_its_time(w));
    w->changed(w->arg, w, &replied);
}

static void start_failed(void *arg)
{
    struct worker *w = arg;

    w->lost(w->arg, w, w->why, false);
}

void worker_start(struct worker *w)
{
    struct worker_process process;
    int r = worker_process_start(registry_grader(), w->plugin->library_fd, &process);

    w->state = WORKER_STARTING;
    w->retiring = false;
    w->served = 0;
    w->why[0] = '\0';
    w->in_len = 0;
    if (!w->out.max)
        buffer_init(&w->out, (size_t)WORKER_IN_FLIGHT * 2 * FRAME_MAX);
    if (r < 0) {
        snprintf(w->why, sizeof(w->why), "%s cannot be started: %s", registry_grader(), strerrordesc_np(-r));
        loop_timer_start(w->loop, &w->timer, 0, start_failed, w);
        return;
    }
    w->pid = process.pid;
    w->pidfd = process.pidfd;
    w->socket = process.socket;
    w->page = process.page;
    w->watch = loop_watch(w->loop, w->socket, LOOP_READ, ready, w);
    struct frame_head head = frame_head(FRAME_HELLO, 0, w->plugin->hello.len);
    struct iovec parts[] = {part(&head, sizeof(head)), part(w->plugin->hello.p, w->plugin->hello.len)};

    send_parts(w, parts, 2);
    loop_timer_start(w->loop, &w->timer, START_MS, look, w);
}

struct request *worker_culprit(const struct worker *w)
{
    uint64_t running = w->page ? atomic_load(&w->page->running) : 0;

    for (struct request *r = w->in_flight.first; r; r = r->next)
        if (r->id == running)
            return r;
    return w->in_flight.first;
}

void worker_abandon(struct worker *w, uint64_t now_ns, struct request_queue *ret)
{
    const struct request *busy_with = worker_culprit(w);
    struct request **link = &w->in_flight.first, *r;

    for (; (r = *link); link = &(*link)->next) {
        if (!r->fiber || r == busy_with || r->due_ns > now_ns)
            continue;
        struct request *place = mem_alloc(sizeof(*place));

        *place = (struct request){.next = r->next, .id = r->id};
        if (w->in_flight.last == r)
            w->in_flight.last = place;
        *link = place;
        request_push(ret, r);
    }
}

void worker_drop(struct worker *w, const char *why)
{
    loop_timer_stop(&w->timer);
    if (w->watch) {
        w->watch = loop_watch_close(w->watch);
        close(w->socket);
        munmap(w->page, sizeof(*w->page));
        w->page = NULL;
        worker_process_bury(w->loop, w->pid, w->pidfd, w->plugin->face.id, why);
    } else if (why && w->state != WORKER_ABSENT) {
        log_line(LOG_LEVEL_ERROR, "grader_lost", "plugin", w->plugin->face.id, "why", why, NULL);
    }
    w->state = WORKER_ABSENT;
    mem_free(w->in);
    w->in = NULL;
    w->in_len = w->in_cap = 0;
    buffer_finish(&w->out);
    w->out_at = 0;
}

void worker_reap_all(void)
{
    worker_process_reap_all();
}
