/* Private to core/http: the only header that knows libh2o. */
#ifndef OVERREAD_HTTP_INTERNAL_H
#define OVERREAD_HTTP_INTERNAL_H

#ifndef H2O_USE_LIBUV
#define H2O_USE_LIBUV 0
#define H2O_USE_EPOLL 1
#endif
#include <h2o.h>
#include <h2o/http1.h>
#include <h2o/http2.h>
#include <pthread.h>
#include <stdatomic.h>
#include "base/crypto.h"
#include "http/fields.h"
#include "http/http.h"
#include "http/metrics.h"
#include "http/router.h"
#include "http/uri.h"

enum loop_state { LOOP_STARTING, LOOP_STARTED, LOOP_FAILED };

/* One event loop with its thread. Only `state`, `error` and the metrics' atomics are read by other threads.
 */
struct http_loop {
    struct http_server *server;
    unsigned index;
    pthread_t thread;
    enum loop_state state; /* guarded by server->lock */
    struct error error;
    int listen_fd; /* the listener's once that exists */

    struct loop *loop; /* ours, watched by libh2o's through `inner` */
    h2o_evloop_t *evloop;
    h2o_context_t context; /* gives the way back from a request to its loop */
    h2o_accept_ctx_t accept;
    h2o_socket_t *listener, *inner;
    struct loop_timer accept_again;
    unsigned connections;
    unsigned in_flight;
    bool draining;
    uint64_t deadline_ns;    /* of the drain */
    uint64_t files_since_ns; /* the oldest that may be in the cache of open files */
    struct metrics metrics;
    uint8_t random[1536]; /* for ids, which are no secrets: one call to the generator for many requests */
    size_t random_left;
};

/* A Unix socket's file, so that a successor's of the same path is told from it. */
struct listen_file {
    dev_t device;
    ino_t inode;
};

struct http_server {
    const struct http_options *options;
    struct router *router;
    h2o_globalconf_t globalconf;
    SSL_CTX *tls;
    struct http_loop *loops;
    const struct metrics **metrics; /* of all loops */
    unsigned count;
    char address[128]; /* what it listens on, the port a real one */
    struct listen_file file;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum server_state { SERVER_STARTING, SERVER_RUNNING, SERVER_ABORTED } state;
    atomic_bool stopping;
    atomic_uint connections; /* of all loops */
    unsigned connections_max, files_max; /* of all loops; of each */
};

struct http_field {
    struct text name, value;
};

/* A request lives in its own arena. It is held by libh2o's request (through an anchor in that one's pool) and
 * by the fiber that runs the handler; whichever lets go last frees it. */
struct http_request {
    struct arena *arena;
    struct http_loop *loop;
    h2o_req_t *h2o; /* NULL once libh2o has disposed of it: the client is gone, or has been answered */
    unsigned holders;
    uint64_t started_ns;

    struct text method, target, body, peer;
    struct http_field *fields; /* copies: they outlive the h2o request */
    unsigned field_count;
    struct router_match match;
    struct uri_pair *query;
    int query_count;
    struct uri_pair *form; /* NULL: no http_body_form */
    int form_count;
    char id[UUID_SIZE];
    char trace_id[TRACE_ID_SIZE], span_id[SPAN_ID_SIZE], trace_flags[3];

    bool replied;
    int status;
    uint64_t reply_bytes;
};

/* --- request.c ----------------------------------------------------------------------------------------- */
int request_on_h2o(h2o_handler_t *self, h2o_req_t *h2o); /* h2o_handler_t.on_req */
bool request_is_head(const struct http_request *req);

/* --- reply.c ------------------------------------------------------------------------------------------- */
/* Status and common headers; false when there is nobody to answer, or the answer was already given. */
bool reply_begin(struct http_request *req, int status);
/* A problem whose status no error_kind has: 405, 414, 431. */
void reply_problem(struct http_request *req, int status, const struct error *err);
/* 204 or 304. */
void reply_empty(struct http_request *req, int status);
/* h2o_filter_t.on_setup_ostream: security headers on every reply, libh2o's own included. */
void reply_on_setup(h2o_filter_t *self, h2o_req_t *h2o, h2o_ostream_t **slot);

/* h2o_logger_t.log_access of what libh2o refuses by itself. */
void reply_on_refused(h2o_logger_t *self, h2o_req_t *h2o);

/* --- cors.c -------------------------------------------------------------------------------------------- */
/* What lets pages of the configured origins call and read, preflights included. */
void cors_on_setup(h2o_req_t *h2o, const struct config *config);

/* --- event_loop.c -------------------------------------------------------------------------------------- */
void *event_loop_main(void *http_loop);
void event_loop_drain(void *http_loop); /* posted to it at the stop */

/* --- listen.c ------------------------------------------------------------------------------------------ */
/* Binds, without listening yet, `count` sockets to one TCP address (SO_REUSEPORT), or one to a Unix path of
 * which the others are duplicates. ret_address is what it became: port 0 is replaced. 0 or -1. */
int listen_bind(const char *listen, unsigned count, int *ret_fds, char *ret_address, size_t address_size,
                struct listen_file *ret_file, struct error *err);
/* Removes the Unix socket's path, unless another server has taken it meanwhile. */
void listen_remove(const char *listen, const struct listen_file *file);

/* --- tls.c --------------------------------------------------------------------------------------------- */
SSL_CTX *tls_create(const char *certificate, const char *key, bool http2, struct error *err);

#endif
