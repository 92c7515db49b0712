#include "fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#define WAIT_MS 30000
#define LOG_MAX ((size_t)1024 * 1024)

static int log_fd = -1, real_stderr = -1;
static char log_text[LOG_MAX];

int fixture_log_begin(void **state)
{
    (void)state;
    real_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
    log_fd = memfd_create("log", MFD_CLOEXEC);
    return log_fd < 0 || dup2(log_fd, STDERR_FILENO) < 0 ? -1 : 0;
}

/* Cuts the text into lines in place. */
static char *next_line(char *text, char **save)
{
    char *line = text ? text : *save;
    if (!line || !*line)
        return NULL;
    char *end = strchr(line, '\n');
    *save = end ? end + 1 : NULL;
    if (end)
        *end = '\0';
    return line;
}

static const char *log_read(void)
{
    ssize_t n = pread(log_fd, log_text, sizeof(log_text) - 1, 0);
    log_text[n > 0 ? n : 0] = '\0';
    return log_text;
}

/* What is not a log line came from cmocka or a sanitizer. */
static void show_others(void)
{
    char *save = NULL;

    log_read();
    for (char *line = next_line(log_text, &save); line; line = next_line(NULL, &save)) {
        if (line[0] != '{')
            dprintf(real_stderr, "%s\n", line);
    }
}

int fixture_log_end(void **state)
{
    (void)state;
    show_others();
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    close(log_fd);
    return 0;
}

/* The last line that holds both. */
static char *log_line_with(const char *a, const char *b)
{
    char *found = NULL, *save = NULL;

    log_read();
    for (char *line = next_line(log_text, &save); line; line = next_line(NULL, &save)) {
        if (strstr(line, a) && strstr(line, b))
            found = line;
    }
    return found;
}

bool fixture_log_now(const char *a)
{
    return log_line_with(a, a) != NULL;
}

bool fixture_logged(const char *a, const char *b)
{
    for (int ms = 0; ms < WAIT_MS; ms += 5) {
        if (log_line_with(a, b))
            return true;
        usleep(5000);
    }
    return false;
}

int fixture_file(char *path, char *ret, size_t size)
{
    int fd = mkstemp(path);

    for (size_t i = 0; i < size; i++)
        ret[i] = (char)('a' + i % 23);
    if (fd < 0)
        return -1;
    ssize_t written = write(fd, ret, size);
    close(fd);
    return written == (ssize_t)size ? 0 : -1;
}

void fixture_init(struct fixture *f, const struct http_route *routes)
{
    *f = (struct fixture){
        .config = {.listen = "127.0.0.1:0",
                   .threads = 1,
                   .body_limit = 65536,
                   .request_timeout_ms = 3000,
                   .stop_timeout_ms = WAIT_MS,
                   .log_level = "info"},
        .tables = {routes, NULL},
    };
    f->options.config = &f->config;
    f->options.routes = f->tables;
}

static void *serve(void *arg)
{
    struct fixture *f = arg;
    f->result = http_serve(&f->options, &f->error);
    return NULL;
}

void fixture_start(struct fixture *f)
{
    const char *mark = "\"address\":\"";

    assert_int_equal(ftruncate(log_fd, 0), 0);
    lseek(log_fd, 0, SEEK_SET);
    f->options.routes = f->tables;
    f->options.config = &f->config;
    assert_int_equal(pthread_create(&f->thread, NULL, serve, f), 0);
    if (!fixture_logged("\"listening\"", mark))
        fail_msg("the server does not listen: %s; log: %s", f->error.detail, log_read());
    char *address = strstr(log_line_with("\"listening\"", mark), mark) + strlen(mark);
    size_t len = strcspn(address, "\"");
    assert_true(len < sizeof(f->address));
    memcpy(f->address, address, len);
    f->address[len] = '\0';
    char *colon = strrchr(f->address, ':');
    int64_t port = 0;
    if (colon && text_to_int64(text_of(colon + 1), 1, 65535, &port) == 0)
        f->port = (int)port;
}

void fixture_signal(struct fixture *f)
{
    assert_int_equal(pthread_kill(f->thread, SIGTERM), 0);
}

int fixture_join(struct fixture *f)
{
    assert_int_equal(pthread_join(f->thread, NULL), 0);
    return f->result;
}

void fixture_stop(struct fixture *f)
{
    fixture_signal(f);
    assert_int_equal(fixture_join(f), 0);
    assert_false(fixture_log_now("stop_timeout"));
}

int client_connect(const struct fixture *f)
{
    struct timeval limit = {.tv_sec = WAIT_MS / 1000};
    int fd, r;

    if (f->port == 0) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", f->address + strlen("unix:"));
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        r = connect(fd, (struct sockaddr *)&address, sizeof(address));
    } else {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)f->port)};
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        fd = socket(AF_INET, SOCK_STREAM, 0);
        r = connect(fd, (struct sockaddr *)&address, sizeof(address));
    }
    if (r < 0) {
        close(fd);
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return fd;
}

void client_send(int fd, const char *bytes)
{
    size_t len = strlen(bytes), sent = 0;

    while (sent < len) {
        ssize_t n = send(fd, bytes + sent, len - sent, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* refused early: the reply tells why */
        sent += (size_t)n;
    }
}

static bool read_all(int fd, char *p, size_t len)
{
    while (len > 0) {
        ssize_t n = recv(fd, p, len, 0);
        if (n <= 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

struct reply client_reply(int fd, bool head)
{
    static char body[REPLY_MAX + 1];
    struct reply reply = {.body = body};
    size_t len = 0;
    int64_t length = 0, status = 0;

    body[0] = '\0';
    while (len < sizeof(reply.head) - 1 && read_all(fd, reply.head + len, 1)) {
        reply.head[++len] = '\0';
        if (len >= 4 && memcmp(reply.head + len - 4, "\r\n\r\n", 4) == 0)
            break;
    }
    if (len < 12 || text_to_int64((struct text){reply.head + 9, 3}, 100, 599, &status) < 0)
        return (struct reply){.body = body};
    reply.status = (int)status;
    if (!head && text_to_int64(text_of(reply_field(&reply, "content-length")), 0, REPLY_MAX, &length) == 0) {
        if (!read_all(fd, body, (size_t)length))
            reply.status = 0;
        reply.body_len = (size_t)length;
        body[length] = '\0';
    }
    return reply;
}

const char *reply_field(const struct reply *reply, const char *lower_case_name)
{
    static char value[1024];
    size_t len = strlen(lower_case_name);

    for (const char *line = strchr(reply->head, '\n'); line; line = strchr(line, '\n')) {
        line++;
        if (strncasecmp(line, lower_case_name, len) == 0 && line[len] == ':') {
            size_t size = strcspn(line + len + 2, "\r");
            size = size < sizeof(value) - 1 ? size : sizeof(value) - 1;
            memcpy(value, line + len + 2, size);
            value[size] = '\0';
            return value;
        }
    }
    return "";
}

struct reply client_ask(const struct fixture *f, const char *request)
{
    int fd = client_connect(f);

    assert_true(fd >= 0);
    client_send(fd, request);
    client_send(fd, "Host: localhost\r\n\r\n");
    struct reply reply = client_reply(fd, strncmp(request, "HEAD ", 5) == 0);
    close(fd);
    return reply;
}

bool client_ended(int fd)
{
    char byte;
    ssize_t n;

    while ((n = recv(fd, &byte, 1, 0)) > 0)
        continue;
    return n == 0 || errno == ECONNRESET;
}
