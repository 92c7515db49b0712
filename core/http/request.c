#include "http/http_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include "base/clock.h"
#include "base/log.h"

#define IN_FLIGHT_MAX 4096 /* per loop: enough for any load that can still be answered in time */
#define PATH_MAX_BYTES 2048
#define QUERY_MAX_BYTES 4096
#define FIELDS_MAX_BYTES 16384
#define METHOD_LOGGED 16 /* bytes of an unknown method */
#define ANY_METHOD "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

/* --- Lifetime ------------------------------------------------------------------------------------------ */

struct anchor {
    struct http_request *req;
};

static void release(struct http_request *req)
{
    if (--req->holders > 0)
        return;
    req->loop->in_flight--;
    metrics_add(&req->loop->metrics.in_flight, -1);
    arena_destroy(req->arena);
}

static void on_h2o_disposed(void *p)
{
    struct http_request *req = ((struct anchor *)p)->req;

    req->h2o = NULL;
    release(req);
}

static struct text text_from(h2o_iovec_t v)
{
    return (struct text){v.base ? v.base : "", v.base ? v.len : 0};
}

static struct http_request *create(struct http_loop *loop, h2o_req_t *h2o)
{
    struct arena *arena = arena_create();
    struct http_request *req = arena_alloc(arena, sizeof(*req));
    struct anchor *anchor = h2o_mem_alloc_shared(&h2o->pool, sizeof(*anchor), on_h2o_disposed);

    anchor->req = req;
    req->arena = arena;
    req->loop = loop;
    req->h2o = h2o;
    req->holders = 1;
    req->started_ns = clock_monotonic_ns();
    req->match.index = router_count(loop->server->router);
    loop->in_flight++;
    metrics_add(&loop->metrics.in_flight, 1);
    return req;
}

/* Logged and counted when the handler is done, not when the last byte has left: a slow reader is not a slow
 * route. */
static void account(struct http_request *req)
{
    uint64_t ns = clock_monotonic_ns() - req->started_ns;
    const struct http_route *route = req->match.route;
    unsigned long long us = ns / 1000;
    char status[16], ms[32], bytes[24];

    snprintf(status, sizeof(status), "%d", req->status);
    snprintf(ms, sizeof(ms), "%llu.%03llu", us / 1000, us % 1000);
    snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)req->reply_bytes);
    log_context(req->id);
    log_line(LOG_LEVEL_INFO, "request", "method",
             route || req->method.len <= METHOD_LOGGED ? req->method.p : "", "route",
             route ? route->path : "", "#status", status, "#ms", ms, "#bytes", bytes, "trace_id",
             req->trace_id, NULL);
    log_context(NULL);
    metrics_count(&req->loop->metrics, req->match.index, req->status, ns);
}

/* Who shows no credentials hears of that before anything about the input. */
static void guard_and_handle(struct http_request *req)
{
    const struct http_options *options = req->loop->server->options;
    struct error err = {0};
    if (req->match.route->roles && options->guard && options->guard(req, &err) < 0)
        http_reply_error(req, &err);
    else
        req->match.route->handle(req);
}

static void run(void *arg)
{
    struct http_request *req = arg;
    struct error err = {0};

    log_context(req->id);
    guard_and_handle(req);
    if (!req->replied) {
        error_set(&err, ERROR_INTERNAL, "no_reply", NULL, "The handler of %s %s gave no reply.",
                  req->match.route->method, req->match.route->path);
        http_reply_error(req, &err);
    }
    account(req);
    release(req);
}

/* --- What came in -------------------------------------------------------------------------------------- */

static struct text keep(struct http_request *req, h2o_iovec_t v)
{
    struct text t = text_from(v);
    return (struct text){arena_copy(req->arena, t.p, t.len), t.len};
}

/* Copies the header fields, with Host, which libh2o keeps apart. False when they are too many bytes. */
static bool copy_fields(struct http_request *req)
{
    const h2o_headers_t *headers = &req->h2o->headers;
    size_t bytes = 0;

    req->fields = arena_array(req->arena, headers->size + 1, sizeof(*req->fields));
    for (size_t i = 0; i < headers->size; i++) {
        bytes += headers->entries[i].name->len + headers->entries[i].value.len;
        if (bytes > FIELDS_MAX_BYTES)
            return false;
        req->fields[req->field_count++] =
            (struct http_field){keep(req, *headers->entries[i].name), keep(req, headers->entries[i].value)};
    }
    req->fields[req->field_count++] = (struct http_field){TEXT("host"), keep(req, req->h2o->input.authority)};
    return true;
}

static bool last_header(const struct http_request *req, const char *name, struct text *ret)
{
    for (unsigned i = req->field_count; i > 0; i--) {
        if (text_is(req->fields[i - 1].name, name)) {
            *ret = req->fields[i - 1].value;
            return true;
        }
    }
    return false;
}

static bool is_address(struct http_request *req, struct text t)
{
    unsigned char binary[16];
    const char *s = arena_copy(req->arena, t.p, t.len);

    return inet_pton(AF_INET, s, binary) == 1 || inet_pton(AF_INET6, s, binary) == 1;
}

/* The peer's address; a front on this machine (loopback, Unix socket) is believed when it names another. */
static struct text find_peer(struct http_request *req)
{
    struct sockaddr_storage address = {0};
    char *host = arena_alloc(req->arena, INET6_ADDRSTRLEN);
    struct text forwarded;
    bool front = false;

    if (req->h2o->conn->callbacks->get_peername(req->h2o->conn, (struct sockaddr *)&address) == 0)
        address.ss_family = AF_UNIX;
    if (address.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)&address;
        inet_ntop(AF_INET, &in->sin_addr, host, INET6_ADDRSTRLEN);
        front = (ntohl(in->sin_addr.s_addr) >> 24) == 127;
    } else if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)&address;
        inet_ntop(AF_INET6, &in6->sin6_addr, host, INET6_ADDRSTRLEN);
        front = IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
    } else {
        memcpy(host, "local", sizeof("local"));
        front = true;
    }
    if (front && last_header(req, "x-forwarded-for", &forwarded)) {
        struct text last = field_last(forwarded);
        if (is_address(req, last))
            return last;
    }
    return text_of(host);
}

static void take_random(struct http_loop *loop, uint8_t *ret, size_t len)
{
    if (loop->random_left < len) {
        crypto_random(loop->random, sizeof(loop->random));
        loop->random_left = sizeof(loop->random);
    }
    loop->random_left -= len;
    memcpy(ret, loop->random + loop->random_left, len);
}

/* Request id: a UUIDv7 (RFC 9562, section 5.7). The same digits are the trace id of a trace that begins here.
 */
static void set_ids(struct http_request *req)
{
    static const unsigned char GROUPS[] = {8, 4, 4, 4, 12};
    uint64_t ms = (uint64_t)clock_wall_ms();
    const char *digits = req->trace_id;
    char *out = req->id;
    uint8_t bytes[16], span[8];

    take_random(req->loop, bytes, sizeof(bytes));
    take_random(req->loop, span, sizeof(span));
    for (int i = 0; i < 6; i++)
        bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
    bytes[6] = (uint8_t)(0x70 | (bytes[6] & 0x0f));
    bytes[8] = (uint8_t)(0x80 | (bytes[8] & 0x3f));
    hex_encode(bytes, sizeof(bytes), req->trace_id);
    hex_encode(span, sizeof(span), req->span_id);
    memcpy(req->trace_flags, "00", 3);
    for (size_t i = 0; i < sizeof(GROUPS); i++) {
        memcpy(out, digits, GROUPS[i]);
        digits += GROUPS[i];
        out += GROUPS[i];
        *out++ = i + 1 < sizeof(GROUPS) ? '-' : '\0';
    }
}

/* A trace begun by the caller goes on, with a span of ours. */
static void set_trace(struct http_request *req)
{
    char parent[SPAN_ID_SIZE];
    struct text header;

    if (http_header(req, "traceparent", &header))
        field_traceparent(header, req->trace_id, parent, req->trace_flags);
}

/* --- Guard: what no handler should see ----------------------------------------------------------------- */

static int refuse(struct http_request *req, int status, enum error_kind kind, const char *code,
                  const char *detail)
{
    struct error err = {0};

    error_set(&err, kind, code, NULL, "%s", detail);
    if (kind == ERROR_UNAVAILABLE)
        err.retry_after = 1;
    reply_problem(req, status, &err);
    return -1;
}

/* HTTP/1.1 demands a Host; libh2o puts the configured name in place of a missing one. */
static bool host_missing(const struct http_request *req)
{
    const h2o_req_t *h2o = req->h2o;

    return h2o->version >= 0x101 && (h2o->input.authority.len == 0 ||
                                     h2o->input.authority.base == h2o->hostconf->authority.hostport.base);
}

static int find_route(struct http_request *req, struct text path)
{
    struct text *segments = arena_array(req->arena, URI_SEGMENTS_MAX, sizeof(*segments));
    int count = uri_path(req->arena, path, segments);
    const struct router *router = req->loop->server->router;

    if (count == -EINVAL)
        return refuse(req, 400, ERROR_INVALID, "malformed_path",
                      "The path is not valid percent-encoded UTF-8.");
    if (count > 0)
        router_find(router, req->method, segments, (unsigned)count, &req->match);
    if (req->match.route)
        return 0;
    req->match.index = router_count(router);
    if (!req->match.allow)
        return refuse(req, 404, ERROR_NOT_FOUND, "no_such_path", "There is nothing at this path.");
    http_header_add(req, "allow", req->match.allow);
    if (!text_is(req->method, "OPTIONS"))
        return refuse(req, 405, ERROR_INVALID, "method_not_allowed", "The path does not take this method.");
    reply_empty(req, 204);
    return -1;
}

static int check_body(struct http_request *req)
{
    size_t max = req->match.route->body_max, limit = (size_t)req->loop->server->options->config->body_limit;

    if (req->h2o->entity.len == 0)
        return 0;
    if (max == 0)
        return refuse(req, 400, ERROR_INVALID, "unexpected_body", "This request takes no body.");
    if (req->h2o->entity.len > max || req->h2o->entity.len > limit)
        return refuse(req, 413, ERROR_TOO_LARGE, "body_too_large",
                      "The body is larger than this request may have.");
    req->body = keep(req, req->h2o->entity);
    return 0;
}

static int guard(struct http_request *req)
{
    struct text path, query;

    if (req->loop->in_flight > IN_FLIGHT_MAX)
        return refuse(req, 503, ERROR_UNAVAILABLE, "overloaded", "Too many requests are waiting; try again.");
    if (!copy_fields(req))
        return refuse(req, 431, ERROR_INVALID, "headers_too_large", "The header fields are too large.");
    set_trace(req);
    req->peer = find_peer(req);
    if (host_missing(req))
        return refuse(req, 400, ERROR_INVALID, "host_missing", "The Host header field is missing.");
    if (text_is(req->target, "*") && text_is(req->method, "OPTIONS")) {
        http_header_add(req, "allow", ANY_METHOD);
        reply_empty(req, 204);
        return -1;
    }
    if (uri_target(req->target, &path, &query) < 0)
        return refuse(req, 400, ERROR_INVALID, "malformed_target", "The request target is malformed.");
    if (path.len > PATH_MAX_BYTES || query.len > QUERY_MAX_BYTES)
        return refuse(req, 414, ERROR_INVALID, "target_too_long", "The path or the query is too long.");
    if (find_route(req, path) < 0 || check_body(req) < 0)
        return -1;
    req->query = arena_array(req->arena, query.len > 0 ? URI_PAIRS_MAX : 1, sizeof(*req->query));
    req->query_count = uri_query(req->arena, query, req->query);
    if (req->query_count < 0)
        return refuse(req, 400, ERROR_INVALID, "malformed_query",
                      "The query is not valid percent-encoded UTF-8, or has too many parameters.");
    return 0;
}

int request_on_h2o(h2o_handler_t *self, h2o_req_t *h2o)
{
    struct http_loop *loop = H2O_STRUCT_FROM_MEMBER(struct http_loop, context, h2o->conn->ctx);
    struct http_request *req = create(loop, h2o);

    (void)self;
    set_ids(req);
    req->method = keep(req, h2o->input.method);
    req->target = keep(req, h2o->input.path);
    if (guard(req) < 0) {
        account(req);
        return 0;
    }
    req->holders++;
    fiber_spawn(run, req);
    return 0;
}

/* --- What a handler reads ------------------------------------------------------------------------------ */

struct arena *http_arena(struct http_request *req)
{
    return req->arena;
}

const struct http_route *http_route(const struct http_request *req)
{
    return req->match.route;
}

struct text http_method(const struct http_request *req)
{
    return req->method;
}

struct text http_target(const struct http_request *req)
{
    return req->target;
}

bool request_is_head(const struct http_request *req)
{
    return text_is(req->method, "HEAD");
}

struct text http_path_param(const struct http_request *req, const char *name)
{
    return router_param(&req->match, name);
}

static bool find_pair(const struct uri_pair *pairs, int count, const char *name, struct text *ret)
{
    for (int i = 0; i < count; i++) {
        if (text_is(pairs[i].name, name)) {
            *ret = pairs[i].value;
            return true;
        }
    }
    return false;
}

bool http_query(struct http_request *req, const char *name, struct text *ret)
{
    return find_pair(req->query, req->query_count, name, ret);
}

/* Is the name of this pair that of one before it? */
static bool doubled(const struct uri_pair *pairs, int at)
{
    for (int i = 0; i < at; i++) {
        if (text_equal(pairs[i].name, pairs[at].name))
            return true;
    }
    return false;
}

static bool named(struct text name, const char *first, va_list names)
{
    va_list rest;
    bool found = false;

    va_copy(rest, names);
    for (const char *s = first; s && !found; s = va_arg(rest, const char *))
        found = text_is(name, s);
    va_end(rest);
    return found;
}

static int check_query(struct http_request *req, struct error *err, va_list names)
{
    for (int i = 0; i < req->query_count; i++) {
        struct text name = req->query[i].name;
        va_list all;
        va_copy(all, names);
        const char *first = va_arg(all, const char *);
        bool known = named(name, first, all);
        va_end(all);
        if (!known)
            return error_set(err, ERROR_INVALID, "unknown_parameter", name.p,
                             "The query has a parameter that is not known here.");
        if (doubled(req->query, i))
            return error_set(err, ERROR_INVALID, "duplicate_parameter", name.p, "The query has a parameter twice.");
    }
    return 0;
}

int http_query_only(struct http_request *req, struct error *err, ...)
{
    va_list names;

    va_start(names, err);
    int r = check_query(req, err, names);
    va_end(names);
    return r;
}

bool http_header(const struct http_request *req, const char *lower_case_name, struct text *ret)
{
    for (unsigned i = 0; i < req->field_count; i++) {
        if (text_is(req->fields[i].name, lower_case_name)) {
            *ret = req->fields[i].value;
            return true;
        }
    }
    return false;
}

/* HTTP/2 may spread the cookies over several fields. */
bool http_cookie(const struct http_request *req, const char *name, struct text *ret)
{
    for (unsigned i = 0; i < req->field_count; i++) {
        if (text_is(req->fields[i].name, "cookie") && field_cookie(req->fields[i].value, name, ret))
            return true;
    }
    return false;
}

struct text http_body(const struct http_request *req)
{
    return req->body;
}

/* A tree of many small values costs a hundred times its text, on the loop, before anybody has been asked who sends it. */
static bool has_too_many_values(struct text body)
{
    size_t values = 0;
    bool in_string = false;
    for (size_t i = 0; i < body.len; i++) {
        char c = body.p[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == ',' || c == '{' || c == '['))
            values++;
    }
    return values > JSON_VALUES_MAX;
}

int http_body_json(struct http_request *req, json_t **ret, struct error *err)
{
    struct text type;
    json_t *json;

    if (req->body.len == 0)
        return error_set(err, ERROR_INVALID, "body_missing", NULL,
                         "The request needs a JSON object as its body.");
    if (!http_header(req, "content-type", &type) ||
        (!field_media_type_is(type, "application/json") && !field_media_type_is(type, "application/scim+json")))
        return error_set(err, ERROR_UNSUPPORTED, "not_json", NULL,
                         "The body's Content-Type must be application/json.");
    if (has_too_many_values(req->body))
        return error_set(err, ERROR_TOO_LARGE, "too_many_values", NULL, "A body holds at most %d values.", JSON_VALUES_MAX);
    if (json_parse(req->arena, req->body, &json, err) < 0)
        return -1;
    if (!json_is_object(json))
        return error_set(err, ERROR_UNPROCESSABLE, "not_an_object", "", "The body must be a JSON object.");
    *ret = json;
    return 0;
}

int http_body_form(struct http_request *req, struct error *err)
{
    struct uri_pair *form = arena_array(req->arena, URI_PAIRS_MAX, sizeof(*form));
    struct text type;

    if (req->body.len == 0)
        return error_set(err, ERROR_INVALID, "body_missing", NULL, "The request needs the fields of a form as its body.");
    if (!http_header(req, "content-type", &type) || !field_media_type_is(type, "application/x-www-form-urlencoded"))
        return error_set(err, ERROR_UNSUPPORTED, "not_a_form", NULL,
                         "The body's Content-Type must be application/x-www-form-urlencoded.");
    int count = uri_query(req->arena, req->body, form);
    if (count < 0)
        return error_set(err, ERROR_INVALID, "malformed_form", NULL,
                         "The form is not valid percent-encoded UTF-8, or has more than %d fields.", URI_PAIRS_MAX);
    for (int i = 0; i < count; i++) {
        if (doubled(form, i))
            return error_set(err, ERROR_INVALID, "duplicate_field", form[i].name.p, "The form has a field twice.");
    }
    req->form = form;
    req->form_count = count;
    return 0;
}

bool http_form(const struct http_request *req, const char *name, struct text *ret)
{
    return find_pair(req->form, req->form_count, name, ret);
}

int http_idempotency_key(struct http_request *req, const char **ret, struct error *err)
{
    enum { KEY_MAX = 255 };
    struct text key;
    *ret = NULL;
    if (!http_header(req, "idempotency-key", &key))
        return 0;
    bool printable = true;
    for (size_t i = 0; i < key.len; i++)
        printable &= key.p[i] >= ' ' && key.p[i] <= '~';
    if (key.len < 1 || key.len > KEY_MAX || !printable)
        return error_set(err, ERROR_UNPROCESSABLE, "bad_idempotency_key", "Idempotency-Key",
                         "A key is 1 to %d printable ASCII characters.", KEY_MAX);
    *ret = arena_copy(req->arena, key.p, key.len);
    return 0;
}

const char *http_request_id(const struct http_request *req)
{
    return req->id;
}

struct text http_peer(const struct http_request *req)
{
    return req->peer;
}

/* libh2o does not read an HTTP/1 connection while its request waits, so that the socket itself is asked.
 * While the loop drains, idle connections are shut for reading, and the question has no meaning. */
static bool peer_closed(h2o_req_t *h2o)
{
    h2o_socket_t *sock = h2o->conn->callbacks->get_socket(h2o->conn);
    struct pollfd closed = {.fd = h2o_socket_get_fd(sock), .events = POLLRDHUP};
    char byte;

    if (sock->ssl) /* its close_notify would be seen as one more byte */
        return poll(&closed, 1, 0) == 1;
    ssize_t n = recv(closed.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

bool http_gone(void *arg)
{
    struct http_request *req = arg;

    if (!req->h2o)
        return true;
    if (req->h2o->version >= 0x200 || req->replied || req->loop->draining)
        return false;
    return peer_closed(req->h2o);
}
