#include "http/http_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include "base/clock.h"
#include "base/log.h"

#define ACCEPTS_AT_ONCE 32  /* then the connections already there get their turn */
#define ACCEPT_PAUSE_MS 100 /* when descriptors have run out */
#define DRAIN_TICK_MS 20
#define READER_TIMEOUT_MS 30000U /* of a client that does not take what was sent to it */

#if defined(__SANITIZE_ADDRESS__)
/* What libh2o 2.2.5 itself never frees: the buffers that a thread keeps for reuse, and a loop's message
 * queue; and the loop that is left behind when a stop takes too long. */
const char *__lsan_default_suppressions(void); /* NOLINT(bugprone-reserved-identifier) */
const char *__lsan_default_suppressions(void)
{
    return "leak:h2o_mem_alloc_recycle\nleak:h2o_multithread_create_queue\nleak:h2o_evloop_create\n";
}
#endif

/* --- Accepting ----------------------------------------------------------------------------------------- */

static void on_accept(h2o_socket_t *listener, const char *err);

static void accept_again(void *arg)
{
    struct http_loop *loop = arg;

    if (loop->listener)
        h2o_socket_read_start(loop->listener, on_accept);
}

/* The listener stays readable while we cannot accept: it must not be watched meanwhile. */
static void pause_accepting(struct http_loop *loop)
{
    h2o_socket_read_stop(loop->listener);
    loop_timer_start(loop->loop, &loop->accept_again, ACCEPT_PAUSE_MS, accept_again, loop);
}

static void on_connection_closed(void *arg)
{
    struct http_loop *loop = arg;

    loop->connections--;
    atomic_fetch_sub(&loop->server->connections, 1);
    metrics_add(&loop->metrics.connections, -1);
}

/* libh2o has no timeout for writing. On a Unix socket the option fails, and the front is trusted to read. */
static void limit_slow_reader(h2o_socket_t *sock)
{
    unsigned ms = READER_TIMEOUT_MS;

    (void)setsockopt(h2o_socket_get_fd(sock), IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
}

static bool accept_one(struct http_loop *loop)
{
    h2o_socket_t *sock = h2o_evloop_socket_accept(loop->listener);

    if (!sock)
        return false;
    limit_slow_reader(sock);
    sock->on_close.cb = on_connection_closed;
    sock->on_close.data = loop;
    loop->connections++;
    atomic_fetch_add(&loop->server->connections, 1);
    metrics_add(&loop->metrics.connections, 1);
    h2o_accept(&loop->accept, sock);
    return true;
}

/* Loops that look at once may each let one in too many. */
static bool is_full(const struct http_loop *loop)
{
    return atomic_load(&loop->server->connections) >= loop->server->connections_max;
}

static void on_accept(h2o_socket_t *listener, const char *err)
{
    struct http_loop *loop = listener->data;

    if (err)
        return;
    for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
        if (is_full(loop)) {
            pause_accepting(loop);
            return;
        }
        if (accept_one(loop))
            continue;
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            pause_accepting(loop);
        return;
    }
}

/* --- Stopping ------------------------------------------------------------------------------------------ */

/* Who has connected before the stop is still served; closing the listener would reset them. */
static void close_listener(struct http_loop *loop)
{
    while (!is_full(loop) && accept_one(loop))
        continue;
    loop_timer_stop(&loop->accept_again);
    h2o_socket_close(loop->listener);
    loop->listener = NULL;
}

void event_loop_drain(void *arg)
{
    struct http_loop *loop = arg;
    uint64_t ms = (uint64_t)loop->server->options->config->stop_timeout_ms;

    loop->draining = true;
    loop->deadline_ns = clock_monotonic_ns() + ms * 1000000;
    close_listener(loop);
    h2o_context_request_shutdown(&loop->context);
}

/* A connection between two requests is shut for reading only: a request that is already in the kernel's
 * buffer is still read and answered, behind it comes the end. */
static int shut_when_idle(h2o_req_t *h2o, void *arg)
{
    h2o_socket_t *sock = h2o->conn->callbacks->get_socket(h2o->conn);

    (void)arg;
    if (h2o->version == 0 && sock->input->size == 0)
        shutdown(h2o_socket_get_fd(sock), SHUT_RD);
    return 0;
}

static void turn(struct http_loop *loop, int32_t max_wait_ms)
{
    h2o_evloop_run(loop->evloop, max_wait_ms);
    log_flush();
}

/* Runs until the drain is over: true when nothing is left. */
static bool run(struct http_loop *loop)
{
    while (!loop->draining)
        turn(loop, INT32_MAX);
    while (loop->connections > 0 || loop->in_flight > 0) {
        if (clock_monotonic_ns() > loop->deadline_ns)
            return false;
        loop->server->globalconf.http1.callbacks.foreach_request(&loop->context, shut_when_idle, NULL);
        turn(loop, DRAIN_TICK_MS);
    }
    return true;
}

/* --- The thread ---------------------------------------------------------------------------------------- */

static void on_inner(h2o_socket_t *inner, const char *err)
{
    (void)err;
    loop_turn(((struct http_loop *)inner->data)->loop, 0);
}

/* libh2o closes what it watches: it gets a duplicate of our loop's descriptor. */
static int setup(struct http_loop *loop)
{
    const struct http_options *options = loop->server->options;

    loop->loop = loop_create();
    loop->evloop = h2o_evloop_create();
    h2o_context_init(&loop->context, loop->evloop, &loop->server->globalconf);
    loop->accept = (h2o_accept_ctx_t){
        .ctx = &loop->context, .hosts = loop->server->globalconf.hosts, .ssl_ctx = loop->server->tls};
    int fd = fcntl(loop_fd(loop->loop), F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return error_set(&loop->error, ERROR_INTERNAL, "loop_failed", NULL,
                         "An event loop cannot be set up.");
    loop->inner = h2o_evloop_socket_create(loop->evloop, fd, H2O_SOCKET_FLAG_DONT_READ);
    loop->inner->data = loop;
    h2o_socket_read_start(loop->inner, on_inner);
    if (options->loop_start && options->loop_start(options->arg, loop->loop, (int)loop->index) < 0)
        return error_set(&loop->error, ERROR_INTERNAL, "loop_failed", NULL, "Event loop %u could not start.",
                         loop->index);
    return 0;
}

static void teardown(struct http_loop *loop, bool started)
{
    const struct http_options *options = loop->server->options;

    if (started && options->loop_stop)
        options->loop_stop(options->arg, loop->loop, (int)loop->index);
    if (loop->inner)
        h2o_socket_close(loop->inner);
    h2o_timeout_unlink(
        &loop->context.http2._graceful_shutdown_timeout); /* libh2o asserts that none is left */
    h2o_context_dispose(&loop->context);
    h2o_evloop_destroy(loop->evloop);
    loop->loop = loop_destroy(loop->loop);
}

/* Tells the main thread how the start went, and waits for its word. */
static bool report(struct http_loop *loop, bool started)
{
    struct http_server *server = loop->server;
    bool go;

    pthread_mutex_lock(&server->lock);
    loop->state = started ? LOOP_STARTED : LOOP_FAILED;
    pthread_cond_broadcast(&server->changed);
    while (server->state == SERVER_STARTING)
        pthread_cond_wait(&server->changed, &server->lock);
    go = server->state == SERVER_RUNNING;
    pthread_mutex_unlock(&server->lock);
    return go;
}

void *event_loop_main(void *arg)
{
    struct http_loop *loop = arg;
    bool started = setup(loop) == 0;

    if (!report(loop, started)) {
        teardown(loop, started);
        return NULL;
    }
    loop->listener = h2o_evloop_socket_create(loop->evloop, loop->listen_fd, H2O_SOCKET_FLAG_DONT_READ);
    loop->listener->data = loop;
    h2o_socket_read_start(loop->listener, on_accept);
    log_buffer(true);
    bool clean = run(loop);
    log_buffer(false);
    if (clean) {
        teardown(loop, true);
        return NULL;
    }
    /* Handlers still wait on their stacks: nothing that they could touch may go. The process is about to end.
     */
    log_line(LOG_LEVEL_WARNING, "stop_timeout", NULL);
    return loop;
}
