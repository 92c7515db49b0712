/* A server in this process on an ephemeral loopback port, and a client of raw bytes. */
#ifndef OVERREAD_TEST_HTTP_FIXTURE_H
#define OVERREAD_TEST_HTTP_FIXTURE_H

#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#include "base/config.h"
#include "http/http.h"

struct fixture {
    struct config config;
    struct http_options options;
    const struct http_route *tables[2];
    pthread_t thread;
    int result;
    struct error error;
    char address[128]; /* from its own log */
    int port;
};

/* Defaults: one loop, 127.0.0.1:0. Change the config between the two. */
void fixture_init(struct fixture *f, const struct http_route *routes);
void fixture_start(struct fixture *f);
void fixture_signal(struct fixture *f); /* SIGTERM */
int fixture_join(struct fixture *f);    /* what http_serve returned */
void fixture_stop(struct fixture *f);   /* both, and it was 0 */

/* The log goes to a file during a test. True once a line holds both strings (waits up to five seconds). */
bool fixture_logged(const char *a, const char *b);
bool fixture_log_now(const char *a); /* without waiting */
int fixture_log_begin(void **state); /* cmocka setup and teardown of a group */
int fixture_log_end(void **state);

/* A temporary file of letters that do not repeat with any power of two; ret holds them too. path ends in XXXXXX. 0 or -1. */
int fixture_file(char *path, char *ret, size_t size);

#define REPLY_MAX ((size_t)1024 * 1024)

struct reply {
    int status; /* 0: the connection ended without one */
    char head[8192], *body;
    size_t body_len;
};

int client_connect(const struct fixture *f);
void client_send(int fd, const char *bytes);
/* Reads one reply (head of the request: no body follows). The body is static, overwritten by the next one. */
struct reply client_reply(int fd, bool head);
/* On a new connection; request lines without Host and the empty line, which are added. */
struct reply client_ask(const struct fixture *f, const char *request);
/* Value of a reply's field, "" when it is not there. Static. */
const char *reply_field(const struct reply *reply, const char *lower_case_name);
bool client_ended(int fd); /* the server closes within five seconds */

#define assert_has(text, part)                                                                               \
    do {                                                                                                     \
        if (!strstr((text), (part)))                                                                         \
            fail_msg("\"%s\" is not in: %s", (part), (text));                                                \
    } while (0)

#endif
