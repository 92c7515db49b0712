#include "http/http_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>

#define UNIX_PREFIX "unix:"

static int fail(struct error *err, const char *listen, const char *what)
{
    char reason[128];
    return error_set(err, ERROR_INTERNAL, "cannot_listen", "listen", "Cannot listen on \"%s\": %s: %s.",
                     listen, what, strerror_r(errno, reason, sizeof(reason)));
}

static void close_all(int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        close(fds[i]);
}

/* A socket file that nobody answers on is left over from a killed server. */
static void remove_stale(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 && errno == ECONNREFUSED)
        unlink(address->sun_path);
    close(fd);
}

static int bind_unix(const char *listen, unsigned count, int *ret_fds, struct listen_file *ret_file, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = listen + strlen(UNIX_PREFIX);
    size_t len = strlen(path);
    struct stat file;

    if (len == 0 || len >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return fail(err, listen, "path");
    }
    memcpy(address.sun_path, path, len);
    remove_stale(&address);
    ret_fds[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (ret_fds[0] < 0)
        return fail(err, listen, "socket");
    if (bind(ret_fds[0], (struct sockaddr *)&address, sizeof(address)) < 0 || chmod(path, 0660) < 0 ||
        stat(path, &file) < 0) {
        fail(err, listen, "bind");
        close(ret_fds[0]);
        return -1;
    }
    *ret_file = (struct listen_file){file.st_dev, file.st_ino};
    for (unsigned i = 1; i < count; i++) {
        ret_fds[i] = fcntl(ret_fds[0], F_DUPFD_CLOEXEC, 3);
        if (ret_fds[i] < 0) {
            fail(err, listen, "dup");
            close_all(ret_fds, i);
            return -1;
        }
    }
    return 0;
}

/* Splits "host:port" or "[v6]:port". */
static int split(const char *listen, char host[NI_MAXHOST], char port[NI_MAXSERV])
{
    const char *colon = strrchr(listen, ':');
    int64_t number;

    if (!colon || text_to_int64(text_of(colon + 1), 0, 65535, &number) < 0)
        return -EINVAL;
    size_t len = (size_t)(colon - listen);
    if (len >= 2 && listen[0] == '[' && listen[len - 1] == ']') {
        listen++;
        len -= 2;
    }
    if (len >= NI_MAXHOST)
        return -EINVAL;
    memcpy(host, listen, len);
    host[len] = '\0';
    snprintf(port, NI_MAXSERV, "%d", (int)number);
    return 0;
}

static int bind_one(const struct sockaddr *address, socklen_t len, int shared)
{
    int on = 1, fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &shared, sizeof(shared)) < 0 || bind(fd, address, len) < 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static void address_text(const struct sockaddr *address, socklen_t len, char *ret, size_t size)
{
    char host[NI_MAXHOST] = "", port[NI_MAXSERV] = "";

    getnameinfo(address, len, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(ret, size, address->sa_family == AF_INET6 ? "[%.100s]:%.8s" : "%.100s:%.8s", host, port);
}

/* SO_REUSEPORT would let a second server of the same user share the port silently; it is asked for without
 * first. */
static bool in_use(const struct sockaddr *address, socklen_t len)
{
    int fd = bind_one(address, len, 0);

    if (fd < 0)
        return true;
    close(fd);
    return false;
}

static int bind_tcp(const char *listen, unsigned count, int *ret_fds, char *ret_address, size_t address_size,
                    struct error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV},
                    *found = NULL;
    struct sockaddr_storage bound;
    socklen_t len = 0;
    char host[NI_MAXHOST], port[NI_MAXSERV];

    if (split(listen, host, port) < 0)
        return error_set(err, ERROR_INTERNAL, "cannot_listen", "listen",
                         "\"%s\" is neither \"address:port\" nor \"unix:/path\".", listen);
    int failed = getaddrinfo(host[0] ? host : NULL, port, &hints, &found);
    if (failed)
        return error_set(err, ERROR_INTERNAL, "cannot_listen", "listen", "Cannot listen on \"%s\": %s.",
                         listen, gai_strerror(failed));
    memcpy(&bound, found->ai_addr, found->ai_addrlen);
    len = found->ai_addrlen;
    freeaddrinfo(found);
    if (in_use((struct sockaddr *)&bound, len))
        return fail(err, listen, "bind");
    for (unsigned i = 0; i < count; i++) {
        ret_fds[i] = bind_one((struct sockaddr *)&bound, len, 1);
        if (ret_fds[i] < 0 || getsockname(ret_fds[i], (struct sockaddr *)&bound, &len) < 0) {
            fail(err, listen, "bind");
            close_all(ret_fds, ret_fds[i] < 0 ? i : i + 1);
            return -1;
        }
    }
    address_text((struct sockaddr *)&bound, len, ret_address, address_size);
    return 0;
}

int listen_bind(const char *listen, unsigned count, int *ret_fds, char *ret_address, size_t address_size,
                struct listen_file *ret_file, struct error *err)
{
    if (strncmp(listen, UNIX_PREFIX, strlen(UNIX_PREFIX)) != 0)
        return bind_tcp(listen, count, ret_fds, ret_address, address_size, err);
    snprintf(ret_address, address_size, "%s", listen);
    return bind_unix(listen, count, ret_fds, ret_file, err);
}

void listen_remove(const char *listen, const struct listen_file *file)
{
    const char *path = listen + strlen(UNIX_PREFIX);
    struct stat now;

    if (strncmp(listen, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0 && stat(path, &now) == 0 &&
        now.st_dev == file->device && now.st_ino == file->inode)
        unlink(path);
}
