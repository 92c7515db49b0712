#include "http/http_internal.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include "base/log.h"
#include "base/mem.h"

#define LOOPS_MAX 256
#define FD_LIMIT 65536
#define BACKLOG 4096
#define BODY_SLACK ((size_t)128 * 1024)

/* --- Configuration of libh2o --------------------------------------------------------------------------- */

static size_t largest_body(const struct http_server *server)
{
    size_t largest = 0;

    for (unsigned i = 0; i < router_count(server->router); i++) {
        size_t max = router_route(server->router, i)->body_max;
        largest = max > largest ? max : largest;
    }
    return largest;
}

static void add_filter(h2o_pathconf_t *path)
{
    h2o_filter_t *filter = h2o_create_filter(path, sizeof(*filter));
    filter->on_setup_ostream = reply_on_setup;
}

/* One catch-all path with a handler of ours; libh2o's fallback path is left for what it refuses by itself.
 * Its limit of a body is a little above ours: what is slightly too large is answered with a problem, and the rest is not
 * read at all. (Over HTTP/2 that is a refused stream, which clients may try again.)
 *
 * What clients can make this process hold is bounded. libh2o reads head and body into one buffer that doubles, up to
 * twice their size; a whole body is copied once more for its handler. So a connection of HTTP/1.1 costs at most
 * 2 x (largest body + BODY_SLACK + 100 KiB of head) + largest body, and less while a file is sent: with the routes' largest
 * body of 512 KiB 2 MiB, and with connections_max of 2304 4.6 GiB, if every one of them sends the largest body at the same
 * time, which a front does not let one client do. Over HTTP/2 each of 32 streams counts as a connection of HTTP/1.1.
 */
static void configure(struct http_server *server)
{
    const struct config *config = server->options->config;
    h2o_globalconf_t *conf = &server->globalconf;
    size_t limit = (size_t)config->body_limit, largest = largest_body(server);

    h2o_config_init(conf);
    conf->filecache.capacity = server->files_max;
    conf->server_name = h2o_iovec_init("", 0);
    conf->http1.req_timeout = (uint64_t)config->request_timeout_ms;
    conf->http1.upgrade_to_http2 = config->http2;
    conf->handshake_timeout = (uint64_t)config->request_timeout_ms;
    conf->http2.idle_timeout = (uint64_t)config->request_timeout_ms;
    conf->http2.max_concurrent_requests_per_connection = 32;
    conf->max_request_entity_size = (largest < limit ? largest : limit) + BODY_SLACK;
    h2o_hostconf_t *host = h2o_config_register_host(conf, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
    h2o_create_handler(path, sizeof(h2o_handler_t))->on_req = request_on_h2o;
    add_filter(path);
    add_filter(&host->fallback_path);
    h2o_create_logger(&host->fallback_path, sizeof(h2o_logger_t))->log_access = reply_on_refused;
}

/* --- Process ------------------------------------------------------------------------------------------- */

/* Raises the soft limit of descriptors: a quarter of them is kept for files, database, graders, and an eighth of that for
 * the files which the loops keep open. */
static void share_descriptors(struct http_server *server)
{
    unsigned wanted = (unsigned)server->options->config->connections_max;
    struct rlimit limit = {0};

    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < FD_LIMIT) {
        limit.rlim_cur = limit.rlim_max < FD_LIMIT ? limit.rlim_max : FD_LIMIT;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    rlim_t usable = limit.rlim_cur > FD_LIMIT ? FD_LIMIT : limit.rlim_cur;
    unsigned most = (unsigned)(usable - usable / 4);
    server->connections_max = wanted > 0 && wanted < most ? wanted : most;
    server->files_max = (unsigned)(usable / 32) / server->count + 1;
}

static void own_signals(const struct http_options *options, sigset_t *ret)
{
    sigemptyset(ret);
    sigaddset(ret, SIGTERM);
    sigaddset(ret, SIGINT);
    if (options->hup)
        sigaddset(ret, SIGHUP);
}

static void ignore_sigpipe(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
}

/* --- Start --------------------------------------------------------------------------------------------- */

static unsigned loops_wanted(const struct config *config)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    long wanted = config->threads > 0 ? config->threads : cores;

    return wanted < 1 ? 1 : wanted > LOOPS_MAX ? LOOPS_MAX : (unsigned)wanted;
}

static struct router *create_router(const struct http_options *options, struct error *err)
{
    size_t count = 0;

    while (options->routes && options->routes[count])
        count++;
    const struct http_route **tables = mem_array(count + 2, sizeof(const struct http_route *));
    tables[0] = http_builtin_routes;
    for (size_t i = 0; i < count; i++)
        tables[i + 1] = options->routes[i];
    struct router *router = router_create(tables, err);
    mem_free(tables);
    return router;
}

static int bind_loops(struct http_server *server, struct error *err)
{
    int *fds = mem_array(server->count, sizeof(*fds));
    int r = listen_bind(server->options->config->listen, server->count, fds, server->address,
                        sizeof(server->address), &server->file, err);

    for (unsigned i = 0; i < server->count && r == 0; i++)
        server->loops[i].listen_fd = fds[i];
    mem_free(fds);
    return r;
}

static void create_loops(struct http_server *server)
{
    share_descriptors(server);
    server->loops = mem_array(server->count, sizeof(*server->loops));
    server->metrics = mem_array(server->count, sizeof(const struct metrics *));
    for (unsigned i = 0; i < server->count; i++) {
        struct http_loop *loop = &server->loops[i];
        loop->server = server;
        loop->index = i;
        loop->listen_fd = -1;
        metrics_init(&loop->metrics, router_count(server->router));
        server->metrics[i] = &loop->metrics;
    }
}

static int prepare(struct http_server *server, struct error *err)
{
    const struct config *config = server->options->config;

    server->router = create_router(server->options, err);
    if (!server->router)
        return -1;
    if (config->tls_certificate && config->tls_certificate[0]) {
        server->tls =
            tls_create(config->tls_certificate, config->tls_key ? config->tls_key : "", config->http2, err);
        if (!server->tls)
            return -1;
    }
    if (config->http2)
        log_line(LOG_LEVEL_WARNING, "http2_enabled", "detail",
                 "This HTTP/2 has no defence against rapid resets: only behind a front that has one.", NULL);
    create_loops(server);
    configure(server);
    return bind_loops(server, err);
}

static void set_state(struct http_server *server, enum server_state state)
{
    pthread_mutex_lock(&server->lock);
    server->state = state;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

/* Waits until every loop has started or failed; the first failure goes into *err. */
static int wait_started(struct http_server *server, struct error *err)
{
    int r = 0;

    pthread_mutex_lock(&server->lock);
    for (unsigned i = 0; i < server->count; i++) {
        while (server->loops[i].state == LOOP_STARTING)
            pthread_cond_wait(&server->changed, &server->lock);
        if (server->loops[i].state == LOOP_FAILED && r == 0) {
            r = -1;
            if (err)
                *err = server->loops[i].error;
        }
    }
    pthread_mutex_unlock(&server->lock);
    return r;
}

static int listen_all(struct http_server *server, struct error *err)
{
    for (unsigned i = 0; i < server->count; i++) {
        if (listen(server->loops[i].listen_fd, BACKLOG) < 0)
            return error_set(err, ERROR_INTERNAL, "cannot_listen", "listen", "Cannot listen on \"%s\".",
                             server->address);
    }
    return 0;
}

static int start_threads(struct http_server *server, struct error *err)
{
    unsigned started = 0;
    int r = 0;

    while (started < server->count && r == 0) {
        struct http_loop *loop = &server->loops[started];
        r = pthread_create(&loop->thread, NULL, event_loop_main, loop);
        if (r == 0)
            started++;
    }
    server->count = started;
    if (r != 0)
        error_set(err, ERROR_INTERNAL, "no_threads", NULL, "The event loops' threads cannot be created.");
    int failed = wait_started(server, r == 0 ? err : NULL);
    return r != 0 || failed < 0 || listen_all(server, err) < 0 ? -1 : 0;
}

/* --- Stop ---------------------------------------------------------------------------------------------- */

/* True when every loop ended with nothing left. */
static bool join(struct http_server *server)
{
    bool clean = true;

    for (unsigned i = 0; i < server->count; i++) {
        void *unclean = NULL;
        pthread_join(server->loops[i].thread, &unclean);
        clean &= unclean == NULL;
    }
    return clean;
}

static void wait_for_stop(const struct http_options *options, const sigset_t *signals)
{
    int signal_number;

    do {
        signal_number = 0;
        if (sigwait(signals, &signal_number) == 0 && signal_number == SIGHUP)
            options->hup(options->arg);
    } while (signal_number == 0 || signal_number == SIGHUP);
    log_line(LOG_LEVEL_INFO, "stopping", "signal", signal_number == SIGTERM ? "SIGTERM" : "SIGINT", NULL);
}

static bool run_until_signal(struct http_server *server, const sigset_t *signals)
{
    set_state(server, SERVER_RUNNING);
    log_line(LOG_LEVEL_INFO, "listening", "address", server->address, "tls", server->tls ? "on" : "off",
             NULL);
    wait_for_stop(server->options, signals);
    atomic_store(&server->stopping, true); /* readiness is red before anything closes */
    /* As long as we listen nobody takes the path: from the drain on it may be a successor's. */
    listen_remove(server->options->config->listen, &server->file);
    for (unsigned i = 0; i < server->count; i++)
        loop_post(server->loops[i].loop, event_loop_drain, &server->loops[i]);
    return join(server);
}

static void abort_start(struct http_server *server)
{
    set_state(server, SERVER_ABORTED);
    listen_remove(server->options->config->listen, &server->file);
    join(server);
    for (unsigned i = 0; i < server->count; i++)
        close(server->loops[i].listen_fd);
}

static void server_destroy(struct http_server *server)
{
    for (unsigned i = 0; server->loops && i < server->count; i++)
        metrics_finish(&server->loops[i].metrics);
    if (server->globalconf.hosts)
        h2o_config_dispose(&server->globalconf);
    SSL_CTX_free(server->tls);
    router_destroy(server->router);
    mem_free(server->metrics);
    mem_free(server->loops);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->lock);
    mem_free(server);
}

int http_serve(const struct http_options *options, struct error *err)
{
    struct http_server *server = mem_alloc(sizeof(*server));
    struct timespec now = {0};
    sigset_t signals, before;
    bool clean = true;
    int r;

    server->options = options;
    server->count = loops_wanted(options->config);
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->changed, NULL);
    ignore_sigpipe();
    own_signals(options, &signals);
    pthread_sigmask(SIG_BLOCK, &signals, &before);
    r = prepare(server, err);
    if (r == 0) {
        r = start_threads(server, err);
        if (r == 0) {
            clean = run_until_signal(server, &signals);
        } else {
            abort_start(server);
        }
    }
    while (sigtimedwait(&signals, NULL, &now) > 0) /* an impatient second one */
        continue;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (clean)
        server_destroy(server);
    return r;
}
