/* HTTP server: libh2o behind a thin face, one event loop a thread, each request a fiber.
 * Nothing of libh2o shows here, so that it can be replaced. */
#ifndef OVERREAD_HTTP_H
#define OVERREAD_HTTP_H

#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/config.h"
#include "base/error.h"
#include "base/fiber.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/text.h"

struct http_request;

/* A row of a room's route table. The same rows feed the router, the metrics' labels and the check against the
 * OpenAPI document. */
struct http_route {
    const char *method; /* "GET"; HEAD is answered by GET's route */
    const char *path;   /* "/v1/cases/{case}/images/{instance}"; {name} is one segment */
    const char *roles;  /* who may call: NULL anyone, "*" anyone signed in, "trainee,educator" one of these */
    size_t body_max;    /* bytes; 0: no body is accepted */
    void fiber_fn (*handle)(struct http_request *req);
};

/* --- What a handler reads ------------------------------------------------------------------------------ */
struct arena *http_arena(struct http_request *req); /* goes with the request */
const struct http_route *http_route(const struct http_request *req);
struct text http_method(const struct http_request *req);
struct text http_target(const struct http_request *req); /* path and query, as they were asked for */
struct text http_path_param(const struct http_request *req, const char *name); /* percent-decoded */
/* Decoded query parameter; false when absent. Parameters that occur twice, and ones that no http_query_only
 * names, are errors. */
bool http_query(struct http_request *req, const char *name, struct text *ret);
int http_query_only(struct http_request *req, struct error *err, ...) __attribute__((sentinel));
bool http_header(const struct http_request *req, const char *lower_case_name, struct text *ret);
bool http_cookie(const struct http_request *req, const char *name, struct text *ret);
struct text http_body(const struct http_request *req);
/* Body as JSON object; checks Content-Type (application/json or application/scim+json, else 415), emptiness, and the number
 * of values (413). */
enum { JSON_VALUES_MAX = 60000 };
int http_body_json(struct http_request *req, json_t **ret, struct error *err);
/* Body as fields of a form (application/x-www-form-urlencoded, else 415): at most 64, none of them twice. Then http_form
 * gives them decoded; false when absent. */
int http_body_form(struct http_request *req, struct error *err);
bool http_form(const struct http_request *req, const char *name, struct text *ret);
/* Idempotency-Key of a creating request: 1 to 255 printable ASCII characters, in the arena; NULL when there is none. */
int http_idempotency_key(struct http_request *req, const char **ret, struct error *err);
const char *http_request_id(const struct http_request *req);
struct text http_peer(const struct http_request *req); /* address without port; X-Forwarded-For only from a
                                                          Unix socket or loopback front, its last element */
/* The client is gone: nobody will read a reply. Sees HTTP/1 disconnects too (peeks at the socket). */
bool http_gone(void *req);

/* --- What a handler answers: exactly one of these, once ------------------------------------------------ */
/* Before the reply. Every reply has, unless the handler adds its own: Cache-Control: no-store, X-Content-Type-Options,
 * Referrer-Policy, Cross-Origin-Resource-Policy, Cross-Origin-Opener-Policy, Content-Security-Policy (a page of text/html
 * may load what is its own origin's, everything else nothing), and Strict-Transport-Security where public_url is https. */
void http_header_add(struct http_request *req, const char *lower_case_name, const char *value);
/* 303 to another page, or any other status of 3xx. The location is a URL, already escaped. */
void http_reply_redirect(struct http_request *req, int status, const char *location);
/* The body is copied. A page is "text/html; charset=utf-8". */
void http_reply(struct http_request *req, int status, const char *content_type, struct text body);
void http_reply_json(struct http_request *req, int status, struct text json);
/* 200 with a strong ETag over the body; 304 when If-None-Match has it. Private, revalidated, unless the handler adds its own
 * Cache-Control. */
void http_reply_etag(struct http_request *req, const char *content_type, struct text body);
void http_reply_json_etag(struct http_request *req, struct text json);
/* application/problem+json (RFC 9457): type, title, status, code, detail, field, request_id. */
void http_reply_error(struct http_request *req, const struct error *err);
/* An immutable file (a Cache-Control that was added stays); etag is the hex content hash. Range, If-None-Match, HEAD. 404 problem when it is not
 * there. */
void http_reply_file(struct http_request *req, const char *path, const char *content_type, const char *etag);

/* --- Routes that http itself answers ------------------------------------------------------------------- */
/* For the check against the OpenAPI document; ended by a NULL method.
 *
 * GET /healthz: 200 as long as the process lives.
 * GET /readyz: 200, or a 503 problem that says why; red first when the server stops.
 * GET /metrics: OpenMetrics 1.0 when Accept asks for it, else the older text format 0.0.4 (promtool, curl).
 */
extern const struct http_route http_builtin_routes[];

/* --- The server ---------------------------------------------------------------------------------------- */
struct http_options {
    const struct config *config;
    const struct http_route *const *routes; /* all rooms' tables, each ended by a NULL method; NULL-ended */
    /* Asked before the handler of every route that has roles: 0, or -1 and the request ends with *err. May be NULL. */
    int (*guard)(struct http_request *req, struct error *err);
    /* Called on each loop's own thread: open per-loop things (db, graders), and close them again after the
     * last request has ended. */
    int (*loop_start)(void *arg, struct loop *loop, int index);
    void (*loop_stop)(void *arg, struct loop *loop, int index);
    /* Readiness: true when requests can be served; else `why` is filled. On a loop thread. */
    bool (*ready)(void *arg, char *why, size_t why_size);
    /* Appends OpenMetrics lines of the rooms (no # EOF). On a loop thread. */
    void (*metrics)(void *arg, struct buffer *out);
    /* SIGHUP, on the thread that called http_serve, which has nothing else to do and may be kept for a while. May be
     * NULL: the signal does then what it did before. */
    void (*hup)(void *arg);
    void *arg;
};

/* Serves until SIGTERM or SIGINT, then stops gracefully: readiness goes red, accepted requests finish, idle
 * connections close, within config->stop_timeout_ms. Returns 0, or -1 if it could not start. Threads that
 * exist before must have both signals blocked, and SIGHUP too with hup. When requests outlive the timeout, their
 * loop ends without loop_stop. `ready_line`: the address it listens on is logged as event "listening" once every loop
 * accepts.
 */
int http_serve(const struct http_options *options, struct error *err);

#endif
