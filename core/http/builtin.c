#include "http/http_internal.h"

#define METRICS_MAX ((size_t)4 * 1024 * 1024)
#define OPEN_METRICS "application/openmetrics-text"

static void fiber_fn healthz(struct http_request *req)
{
    http_reply_json(req, 200, TEXT("{\"status\":\"ok\"}"));
}

static void fiber_fn readyz(struct http_request *req)
{
    const struct http_options *options = req->loop->server->options;
    char why[256] = "The server is stopping.";
    struct error err = {0};
    bool ready = !atomic_load(&req->loop->server->stopping);

    if (ready && options->ready)
        ready = options->ready(options->arg, why, sizeof(why));
    if (ready) {
        http_reply_json(req, 200, TEXT("{\"status\":\"ready\"}"));
        return;
    }
    error_set(&err, ERROR_UNAVAILABLE, "not_ready", NULL, "%s", why);
    err.retry_after = 1;
    http_reply_error(req, &err);
}

static bool wants_open_metrics(const struct http_request *req)
{
    struct text accept;

    return http_header(req, "accept", &accept) && accept.len > 0 &&
           memmem(accept.p, accept.len, OPEN_METRICS, strlen(OPEN_METRICS));
}

static void fiber_fn metrics(struct http_request *req)
{
    const struct http_server *server = req->loop->server;
    struct buffer text, older;
    const char *type = OPEN_METRICS "; version=1.0.0; charset=utf-8";

    buffer_init(&text, METRICS_MAX);
    buffer_init(&older, METRICS_MAX);
    metrics_render(server->router, server->metrics, server->count, &text);
    if (server->options->metrics)
        server->options->metrics(server->options->arg, &text);
    buffer_puts(&text, "# EOF\n");
    struct text body = {text.p, text.len};
    if (!wants_open_metrics(req)) {
        metrics_downgrade(body, &older);
        body = (struct text){older.p, older.len};
        type = "text/plain; version=0.0.4; charset=utf-8";
    }
    http_reply(req, 200, type, body);
    buffer_finish(&older);
    buffer_finish(&text);
}

const struct http_route http_builtin_routes[] = {
    {"GET", "/healthz", NULL, 0, healthz},
    {"GET", "/readyz", NULL, 0, readyz},
    {"GET", "/metrics", NULL, 0, metrics},
    {NULL, NULL, NULL, 0, NULL},
};
