/* What libh2o itself makes of static files: its own file handler, no checks, no log, one loop a thread.
 * usage: h2o_static FOLDER LOOPS; prints the port of 127.0.0.1 that it listens on, and serves until SIGTERM.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <h2o.h>

enum { LOOPS_MAX = 64, BACKLOG = 1024 };

static h2o_globalconf_t config;

static int listen_on(uint16_t port)
{
    const int on = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, BACKLOG) < 0)
        return -errno;
    return fd;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in address = {0};
    socklen_t len = sizeof(address);

    getsockname(fd, (struct sockaddr *)&address, &len);
    return ntohs(address.sin_port);
}

static void on_accept(h2o_socket_t *listener, const char *err)
{
    h2o_socket_t *sock;

    if (err)
        return;
    while ((sock = h2o_evloop_socket_accept(listener)))
        h2o_accept(listener->data, sock);
}

static void *serve(void *arg)
{
    const int *fd = arg;
    h2o_context_t context;
    h2o_loop_t *loop = h2o_evloop_create();

    h2o_context_init(&context, loop, &config);
    h2o_accept_ctx_t accept = {.ctx = &context, .hosts = config.hosts};
    h2o_socket_t *listener = h2o_evloop_socket_create(loop, *fd, H2O_SOCKET_FLAG_DONT_READ);
    listener->data = &accept;
    h2o_socket_read_start(listener, on_accept);
    for (;;)
        h2o_evloop_run(loop, INT32_MAX);
    return NULL;
}

static void configure(const char *folder)
{
    h2o_config_init(&config);
    config.http1.upgrade_to_http2 = 0;
    h2o_hostconf_t *host = h2o_config_register_host(&config, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_file_register(h2o_config_register_path(host, "/", 0), folder, NULL, NULL, 0);
}

int main(int argc, char **argv)
{
    static int fds[LOOPS_MAX];
    pthread_t thread;
    int loops = argc == 3 && strlen(argv[2]) == 1 ? argv[2][0] - '0' : 0;

    if (loops < 1) {
        fputs("usage: h2o_static FOLDER LOOPS (1 to 9)\n", stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    configure(argv[1]);
    for (int i = 0; i < loops; i++) {
        fds[i] = listen_on(i == 0 ? 0 : port_of(fds[0]));
        if (fds[i] < 0) {
            fprintf(stderr, "h2o_static: cannot listen: %s\n", strerror(-fds[i]));
            return 1;
        }
    }
    for (int i = 1; i < loops; i++)
        if (pthread_create(&thread, NULL, serve, &fds[i]) != 0)
            return 1;
    printf("%u\n", port_of(fds[0]));
    fflush(stdout);
    serve(&fds[0]);
    return 0;
}
