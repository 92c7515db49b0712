#include "cutting_proxy.h"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

enum { PAIRS = 32 };

static struct {
    int client, server;
} pairs[PAIRS];
static char folder[64], path[96], upstream_path[200];
static int listener, tcp_listener;
static pthread_t thread;
static atomic_bool stopping;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool armed, has_cut; /* behind the lock, with the next three */
static const char *fatal;   /* SQLSTATE, or NULL */
static size_t left;
static int victim = -1; /* the index of the pair that is being cut */

static int open_socket(const char *at, bool listening)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", at);
    int r = listening ? bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, PAIRS)
                      : connect(fd, (struct sockaddr *)&address, sizeof(address));
    if (r == 0)
        return fd;
    close(fd);
    return -1;
}

static void close_pair(int i)
{
    close(pairs[i].client);
    close(pairs[i].server);
    pairs[i].client = pairs[i].server = -1;
}

static int open_tcp(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, PAIRS), 0);
    return fd;
}

int cutting_proxy_port(void)
{
    struct sockaddr_in address;
    socklen_t len = sizeof(address);

    assert_int_equal(getsockname(tcp_listener, (struct sockaddr *)&address, &len), 0);
    return ntohs(address.sin_port);
}

static void take_client(int from)
{
    int client = accept(from, NULL, NULL);

    for (int i = 0; i < PAIRS; i++) {
        if (pairs[i].client >= 0)
            continue;
        pairs[i].client = client;
        pairs[i].server = open_socket(upstream_path, false);
        if (pairs[i].server < 0)
            close_pair(i);
        return;
    }
    close(client);
}

static bool send_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

static bool pass(int from, int to)
{
    char bytes[16384];
    ssize_t n = recv(from, bytes, sizeof(bytes), 0);

    return n > 0 && send_all(to, bytes, (size_t)n);
}

static void send_fatal(int fd)
{
    char message[] = "E\0\0\0\x1a"
                     "SFATAL\0VFATAL\0C.....\0";

    memcpy(strchr(message + 5 + 14, '.'), fatal, 5);
    send_all(fd, message, sizeof(message));
}

/* How much of it is whole messages: a type, a length that counts itself, the rest. */
static size_t whole_messages(const unsigned char *bytes, size_t len)
{
    size_t at = 0, next = 0;

    while (next <= len) {
        at = next;
        if (len - at < 5)
            break;
        next = at + 1 + ((size_t)bytes[at + 1] << 24 | (size_t)bytes[at + 2] << 16 | (size_t)bytes[at + 3] << 8 | bytes[at + 4]);
    }
    return at;
}

/* False: the pair is to be closed. */
static bool answer(int i)
{
    static char bytes[65536];
    ssize_t n = recv(pairs[i].server, bytes, sizeof(bytes), 0);
    bool alive = n > 0;

    if (!alive)
        return false;
    pthread_mutex_lock(&lock);
    if (armed && victim < 0)
        victim = i;
    if (armed && victim == i) {
        size_t passed = (size_t)n < left ? (size_t)n : left;
        left -= passed;
        send_all(pairs[i].client, bytes,
                 left == 0 && fatal ? whole_messages((const unsigned char *)bytes, passed) : passed);
        if (left == 0) {
            if (fatal)
                send_fatal(pairs[i].client);
            armed = alive = false;
            has_cut = true;
        }
    } else {
        alive = send_all(pairs[i].client, bytes, (size_t)n);
    }
    pthread_mutex_unlock(&lock);
    return alive;
}

static void *proxy(void *arg)
{
    struct pollfd fds[2 * PAIRS + 2];

    while (!atomic_load(&stopping)) {
        fds[2 * PAIRS] = (struct pollfd){.fd = listener, .events = POLLIN};
        fds[2 * PAIRS + 1] = (struct pollfd){.fd = tcp_listener, .events = POLLIN};
        for (int i = 0; i < PAIRS; i++) {
            fds[2 * i] = (struct pollfd){.fd = pairs[i].client, .events = POLLIN};
            fds[2 * i + 1] = (struct pollfd){.fd = pairs[i].server, .events = POLLIN};
        }
        if (poll(fds, 2 * PAIRS + 2, 50) <= 0)
            continue;
        for (int i = 0; i < PAIRS; i++) {
            if ((fds[2 * i].revents && !pass(pairs[i].client, pairs[i].server)) ||
                (fds[2 * i + 1].revents && !answer(i)))
                close_pair(i);
        }
        if (fds[2 * PAIRS].revents)
            take_client(listener);
        if (fds[2 * PAIRS + 1].revents)
            take_client(tcp_listener);
    }
    return arg;
}

const char *cutting_proxy_start(const char *upstream)
{
    snprintf(folder, sizeof(folder), "/tmp/overread-proxy-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/.s.PGSQL.5432", folder);
    snprintf(upstream_path, sizeof(upstream_path), "%s/.s.PGSQL.5432", upstream);
    for (int i = 0; i < PAIRS; i++)
        pairs[i].client = pairs[i].server = -1;
    listener = open_socket(path, true);
    assert_true(listener >= 0);
    tcp_listener = open_tcp();
    assert_int_equal(pthread_create(&thread, NULL, proxy, NULL), 0);
    return folder;
}

void cutting_proxy_stop(void)
{
    atomic_store(&stopping, true);
    pthread_join(thread, NULL);
    for (int i = 0; i < PAIRS; i++)
        if (pairs[i].client >= 0)
            close_pair(i);
    close(listener);
    close(tcp_listener);
    unlink(path);
    rmdir(folder);
}

void cutting_proxy_arm(size_t bytes, const char *sqlstate)
{
    pthread_mutex_lock(&lock);
    armed = true;
    fatal = sqlstate;
    left = bytes;
    victim = -1;
    has_cut = false;
    pthread_mutex_unlock(&lock);
}

bool cutting_proxy_has_cut(void)
{
    pthread_mutex_lock(&lock);
    bool cut = has_cut;
    armed = false;
    pthread_mutex_unlock(&lock);
    return cut;
}
