#include "http/http_internal.h"

#include <stdio.h>
#include "base/log.h"

#define API_CSP "default-src 'none'; frame-ancestors 'none'"
#define PAGE_CSP "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
#define STATUS_GONE 499
#define JSON_TYPE "application/json"
#define PROBLEM_TYPE "application/problem+json"
#define PROBLEM_MAX 8192
#define ETAG_DIGITS 32

static const char *phrase(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } PHRASES[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {409, "Conflict"},
        {410, "Gone"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {422, "Unprocessable Content"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {499, "Client Closed Request"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
    };

    for (size_t i = 0; i < sizeof(PHRASES) / sizeof(PHRASES[0]); i++) {
        if (PHRASES[i].status == status)
            return PHRASES[i].phrase;
    }
    return status < 400 ? "OK" : "Error";
}

/* --- Header fields ------------------------------------------------------------------------------------- */

static bool header_set(const h2o_req_t *h2o, const char *name)
{
    return h2o_find_header_by_str(&h2o->res.headers, name, strlen(name), -1) != -1;
}

/* name and value must live as long as the request. */
static void header_default(h2o_req_t *h2o, const char *name, const char *value)
{
    if (!header_set(h2o, name))
        h2o_add_header_by_str(&h2o->pool, &h2o->res.headers, name, strlen(name), 1, NULL, value,
                              strlen(value));
}

static bool is_page(const h2o_req_t *h2o)
{
    ssize_t at = h2o_find_header(&h2o->res.headers, H2O_TOKEN_CONTENT_TYPE, -1);

    if (at < 0)
        return false;
    h2o_iovec_t type = h2o->res.headers.entries[at].value;
    return field_media_type_is((struct text){type.base, type.len}, "text/html");
}

/* Behind a front that ends TLS it is the public URL that tells. */
static bool is_https(const h2o_req_t *h2o, const struct config *config)
{
    return h2o->conn->callbacks->get_socket(h2o->conn)->ssl || text_starts(text_of(config->public_url), "https://");
}

void reply_on_setup(h2o_filter_t *self, h2o_req_t *h2o, h2o_ostream_t **slot)
{
    const struct http_loop *loop = H2O_STRUCT_FROM_MEMBER(struct http_loop, context, h2o->conn->ctx);
    const struct config *config = loop->server->options->config;

    (void)self;
    header_default(h2o, "x-content-type-options", "nosniff");
    header_default(h2o, "referrer-policy", "no-referrer");
    header_default(h2o, "cross-origin-resource-policy", "same-origin");
    header_default(h2o, "cross-origin-opener-policy", "same-origin");
    if (h2o->res.status != 304) { /* it would replace what the browser has kept with the page */
        header_default(h2o, "content-security-policy", is_page(h2o) ? PAGE_CSP : API_CSP);
        header_default(h2o, "cache-control", "no-store");
    }
    if (is_https(h2o, config))
        header_default(h2o, "strict-transport-security", "max-age=31536000; includeSubDomains");
    cors_on_setup(h2o, config);
    h2o_setup_next_ostream(h2o, slot);
}

void reply_on_refused(h2o_logger_t *self, h2o_req_t *h2o)
{
    struct http_loop *loop = H2O_STRUCT_FROM_MEMBER(struct http_loop, context, h2o->conn->ctx);
    char status[16];

    (void)self;
    snprintf(status, sizeof(status), "%d", h2o->res.status);
    log_line(LOG_LEVEL_INFO, "request_refused", "#status", status, NULL);
    metrics_add(&loop->metrics.refused, 1);
}

/* A control character in a value would let it begin a field of its own. */
static bool safe(const char *s)
{
    for (; *s; s++) {
        if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
            return false;
    }
    return true;
}

void http_header_add(struct http_request *req, const char *lower_case_name, const char *value)
{
    if (!req->h2o || req->replied)
        return;
    if (!safe(lower_case_name) || !safe(value)) {
        log_line(LOG_LEVEL_ERROR, "unsafe_header", "name", lower_case_name, NULL);
        return;
    }
    const char *name = arena_strdup(req->arena, lower_case_name), *copy = arena_strdup(req->arena, value);
    h2o_add_header_by_str(&req->h2o->pool, &req->h2o->res.headers, name, strlen(name), 1, NULL, copy,
                          strlen(copy));
}

/* --- Replies ------------------------------------------------------------------------------------------- */

bool reply_begin(struct http_request *req, int status)
{
    if (req->replied) {
        log_line(LOG_LEVEL_ERROR, "replied_twice", "route", req->match.route ? req->match.route->path : "",
                 NULL);
        return false;
    }
    if (!req->h2o) {
        req->replied = true;
        req->status = STATUS_GONE;
        return false;
    }
    http_header_add(req, "x-request-id", req->id);
    http_header_add(req, "traceparent",
                    arena_printf(req->arena, "00-%s-%s-%s", req->trace_id, req->span_id, req->trace_flags));
    req->replied = true;
    req->status = status;
    req->h2o->res.status = status;
    req->h2o->res.reason = phrase(status);
    if (atomic_load_explicit(&req->loop->server->stopping, memory_order_relaxed))
        req->h2o->http1_is_persistent = 0;
    return true;
}

void reply_empty(struct http_request *req, int status)
{
    static h2o_generator_t nothing = {NULL, NULL};

    if (!reply_begin(req, status))
        return;
    h2o_start_response(req->h2o, &nothing);
    h2o_send(req->h2o, NULL, 0, H2O_SEND_STATE_FINAL);
}

void http_reply(struct http_request *req, int status, const char *content_type, struct text body)
{
    static h2o_generator_t whole = {NULL, NULL};

    if (status == 204 || status == 304) {
        reply_empty(req, status);
        return;
    }
    if (!reply_begin(req, status))
        return;
    h2o_iovec_t copy = h2o_iovec_init(arena_copy(req->arena, body.p, body.len), body.len);
    if (content_type)
        header_default(req->h2o, "content-type", arena_strdup(req->arena, content_type));
    req->h2o->res.content_length = body.len;
    h2o_start_response(req->h2o, &whole);
    if (request_is_head(req) || body.len == 0) {
        h2o_send(req->h2o, NULL, 0, H2O_SEND_STATE_FINAL);
        return;
    }
    req->reply_bytes = body.len;
    h2o_send(req->h2o, &copy, 1, H2O_SEND_STATE_FINAL);
}

void http_reply_redirect(struct http_request *req, int status, const char *location)
{
    http_header_add(req, "location", location);
    http_reply(req, status, NULL, TEXT(""));
}

void http_reply_json(struct http_request *req, int status, struct text json)
{
    http_reply(req, status, JSON_TYPE, json);
}

void http_reply_etag(struct http_request *req, const char *content_type, struct text body)
{
    char digest[SHA256_HEX_SIZE];
    struct text wanted;

    crypto_sha256_hex(body.p, body.len, digest);
    digest[ETAG_DIGITS] = '\0';
    http_header_add(req, "etag", arena_printf(req->arena, "\"%s\"", digest));
    if (req->h2o && !header_set(req->h2o, "cache-control"))
        http_header_add(req, "cache-control", "private, no-cache");
    if (http_header(req, "if-none-match", &wanted) && field_etag_listed(wanted, text_of(digest)))
        reply_empty(req, 304);
    else
        http_reply(req, 200, content_type, body);
}

void http_reply_json_etag(struct http_request *req, struct text json)
{
    http_reply_etag(req, JSON_TYPE, json);
}

/* --- Problems ------------------------------------------------------------------------------------------ */

static void member(struct buffer *out, const char *name, struct text value)
{
    buffer_printf(out, ",\"%s\":", name);
    buffer_json_string(out, value);
}

static const char *public_detail(const struct error *err)
{
    return err->kind == ERROR_INTERNAL
               ? "Something went wrong on our side. The request id finds it in our log."
               : err->detail;
}

void reply_problem(struct http_request *req, int status, const struct error *err)
{
    struct buffer body;

    buffer_init(&body, PROBLEM_MAX);
    buffer_puts(&body, "{\"type\":\"about:blank\"");
    member(&body, "title", text_of(phrase(status)));
    buffer_printf(&body, ",\"status\":%d", status);
    member(&body, "code", text_of(err->code));
    member(&body, "detail", text_of(public_detail(err)));
    if (err->field[0])
        member(&body, "field", text_of(err->field));
    member(&body, "request_id", text_of(req->id));
    buffer_puts(&body, "}");
    if (err->retry_after > 0)
        http_header_add(req, "retry-after", arena_printf(req->arena, "%u", err->retry_after));
    if (status == 401 && req->h2o && !header_set(req->h2o, "www-authenticate"))
        http_header_add(req, "www-authenticate", "Bearer");
    http_reply(req, status, PROBLEM_TYPE, (struct text){body.p, body.len});
    buffer_finish(&body);
}

void http_reply_error(struct http_request *req, const struct error *err)
{
    if (err->kind == ERROR_INTERNAL)
        log_line(LOG_LEVEL_ERROR, "internal_error", "code", err->code, "detail", err->detail, NULL);
    reply_problem(req, error_status(err->kind), err);
}
