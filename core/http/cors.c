/* Cross-origin calls (the Fetch standard): an origin that the operator lists, to the byte, and no other. */
#include "http/http_internal.h"

#define ALLOWED_HEADERS "authorization, content-type, idempotency-key, if-match, if-none-match, traceparent, x-overread"
#define EXPOSED_HEADERS "content-range, etag, location, ratelimit, ratelimit-policy, retry-after, x-request-id"
#define PREFLIGHT_SECONDS "600"

static bool find(const h2o_headers_t *headers, const char *name, h2o_iovec_t *ret)
{
    ssize_t at = h2o_find_header_by_str(headers, name, strlen(name), -1);

    if (at < 0)
        return false;
    *ret = headers->entries[at].value;
    return true;
}

/* The value must live as long as the request. */
static void add(h2o_req_t *h2o, const char *name, h2o_iovec_t value)
{
    h2o_add_header_by_str(&h2o->pool, &h2o->res.headers, name, strlen(name), 1, NULL, value.base, value.len);
}

static void add_literal(h2o_req_t *h2o, const char *name, const char *value)
{
    add(h2o, name, h2o_iovec_init(value, strlen(value)));
}

/* The browser asks before the call: the methods are those of the path's Allow. */
static void answer_preflight(h2o_req_t *h2o)
{
    h2o_iovec_t wanted, methods;

    if (!h2o_memis(h2o->input.method.base, h2o->input.method.len, H2O_STRLIT("OPTIONS")) ||
        !find(&h2o->headers, "access-control-request-method", &wanted) || !find(&h2o->res.headers, "allow", &methods))
        return;
    add(h2o, "access-control-allow-methods", methods);
    add_literal(h2o, "access-control-allow-headers", ALLOWED_HEADERS);
    add_literal(h2o, "access-control-max-age", PREFLIGHT_SECONDS);
}

void cors_on_setup(h2o_req_t *h2o, const struct config *config)
{
    h2o_iovec_t origin;

    if (!config->cors_origins || !config->cors_origins[0])
        return;
    add_literal(h2o, "vary", "Origin");
    if (!find(&h2o->headers, "origin", &origin) ||
        !config_lists_origin(config, (struct text){origin.base, origin.len}))
        return;
    add(h2o, "access-control-allow-origin", h2o_strdup(&h2o->pool, origin.base, origin.len));
    add_literal(h2o, "access-control-allow-credentials", "true");
    add_literal(h2o, "access-control-expose-headers", EXPOSED_HEADERS);
    answer_preflight(h2o);
}
