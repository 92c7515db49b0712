#include "billing/stripe.h"

#include <stdio.h>
#include <string.h>
#include <threads.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "outbound/outbound.h"

enum { AGAIN_S = 60 }; /* Retry-After while it is away */
enum { REPLY_MAX = 4 << 20, PAGE_MAX = 32 << 20, CALL_MS = 20000, TRIES = 3, PAUSE_MS = 400, PAUSE_MAX_MS = 3000 };
#define WHOLE_NS (12 * 1000000000ull) /* behind this no further try begins: somebody waits */

static const struct config *config;

int stripe_check(const struct config *c, struct error *err)
{
    bool here;
    if (!outbound_origin_is(c->stripe_url, "https", &here) && !(outbound_origin_is(c->stripe_url, "http", &here) && here))
        return error_set(err, ERROR_INVALID, "config_invalid", "stripe_url",
                         "stripe_url must be https://host, or http://127.0.0.1:port, without a path");
    if (c->stripe_key[0] && strncmp(c->stripe_key, "sk_", 3) != 0 && strncmp(c->stripe_key, "rk_", 3) != 0)
        return error_set(err, ERROR_INVALID, "config_invalid", "stripe_key", "stripe_key must be a secret or restricted key: sk_... or rk_...");
    return 0;
}

void stripe_init(const struct config *c)
{
    config = c;
}

bool stripe_configured(void)
{
    return config && config->stripe_key[0];
}

bool stripe_livemode(void)
{
    return strncmp(config->stripe_key + 3, "live_", 5) == 0;
}

/* --- Forms ---------------------------------------------------------------------------------------------------------- */

static void add_escaped(struct buffer *form, const char *s, const char *also)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (; *s; s++) {
        if (strchr(plain, *s) || strchr(also, *s))
            buffer_add(form, s, 1);
        else
            buffer_printf(form, "%%%02X", (unsigned)(unsigned char)*s);
    }
}

void stripe_form(struct buffer *form, const char *name, const char *value)
{
    if (!value)
        return;
    if (form->len)
        buffer_puts(form, "&");
    add_escaped(form, name, "[]");
    buffer_puts(form, "=");
    add_escaped(form, value, "");
}

void stripe_form_int(struct buffer *form, const char *name, int64_t value)
{
    char text[32];
    snprintf(text, sizeof(text), "%lld", (long long)value);
    stripe_form(form, name, text);
}

int stripe_form_end(struct arena *arena, struct buffer *form, const char **ret, struct error *err)
{
    bool failed = form->failed;
    *ret = arena_copy(arena, form->len ? form->p : "", form->len);
    buffer_finish(form);
    return failed ? error_set(err, ERROR_UNPROCESSABLE, "too_long", NULL, "What was given is too long for a request to Stripe.") : 0;
}

const char *stripe_escape(struct arena *arena, const char *id)
{
    struct buffer b;
    buffer_init(&b, 4 * STRIPE_ID_MAX);
    add_escaped(&b, id, "");
    const char *escaped = arena_copy(arena, b.len ? b.p : "", b.len);
    buffer_finish(&b);
    return escaped;
}

/* --- What an answer means ------------------------------------------------------------------------------------------- */

const char *stripe_string(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

const char *stripe_ref(const json_t *object, const char *name)
{
    const json_t *it = json_object_get(object, name);
    return json_is_object(it) ? stripe_string(it, "id") : json_string_value(it);
}

static const char *or_empty(const char *s)
{
    return s ? s : "";
}

static void unknown(struct stripe_reply *ret, const char *code, const char *detail)
{
    ret->outcome = STRIPE_UNKNOWN;
    ret->code = code;
    ret->detail = detail;
}

static void refused(struct stripe_reply *ret, const json_t *body)
{
    const json_t *e = json_object_get(body, "error");
    const char *code = stripe_string(e, "code"), *type = stripe_string(e, "type"), *decline = stripe_string(e, "decline_code");
    ret->outcome = ret->status == 404 ? STRIPE_MISSING : STRIPE_REFUSED;
    ret->code = decline ? decline : code ? code : or_empty(type);
    ret->detail = or_empty(stripe_string(e, "message"));
    ret->parameter = or_empty(stripe_string(e, "param"));
    if (type && strcmp(type, "idempotency_error") == 0) { /* the key stands for something else: what, only a look can tell */
        unknown(ret, "idempotency_error", ret->detail);
        ret->never_again = true;
    }
}

static void understand(struct arena *arena, const struct fetch_reply *reply, struct stripe_reply *ret)
{
    json_t *body;
    ret->status = reply->status;
    ret->never_again = strcmp(reply->wanted[0], "false") == 0;
    if (json_parse(arena, reply->body, &body, NULL) < 0 || !json_is_object(body))
        body = NULL;
    if (reply->status >= 200 && reply->status < 300 && stripe_string(body, "object")) {
        ret->outcome = STRIPE_DONE;
        ret->object = body;
    } else if (reply->status >= 400 && reply->status < 500 && reply->status != 409 && reply->status != 429 && body) {
        refused(ret, body);
    } else {
        unknown(ret, "stripe_away", arena_printf(arena, "Stripe answered %d, which tells nothing.", reply->status));
    }
}

static unsigned pause_ms(const struct fetch_reply *reply, int tried)
{
    if (reply->retry_after > 0)
        return reply->retry_after * 1000 > PAUSE_MAX_MS ? 0 : (unsigned)reply->retry_after * 1000 + PAUSE_MS; /* 0: longer than anybody waits here */
    return (unsigned)(PAUSE_MS << tried);
}

static int fiber_fn ask(struct arena *arena, const struct stripe_request *request, struct fetch_reply *reply, struct error *err)
{
    static const char *const wanted[] = {"Stripe-Should-Retry", "Request-Id", NULL};
    const char *headers[6] = {arena_printf(arena, "Authorization: Bearer %s", config->stripe_key), "Stripe-Version: " STRIPE_VERSION};
    int n = 2;
    if (request->body)
        headers[n++] = "Content-Type: application/x-www-form-urlencoded";
    if (request->key)
        headers[n++] = arena_printf(arena, "Idempotency-Key: %s", request->key);
    const struct fetch_request fetch = {
        .method = request->method,
        .url = arena_printf(arena, "%s%s", config->stripe_url, request->path),
        .headers = headers,
        .body = text_of(request->body),
        .reply_max = request->key ? REPLY_MAX : PAGE_MAX, /* a hundred events, of which one may be near a megabyte */
        .timeout_ms = CALL_MS,
        .wanted = wanted,
    };
    return request->here ? fetch_here(arena, &fetch, reply, err) : fetch_run(arena, &fetch, reply, err);
}

static void tell(const struct stripe_request *request, const struct stripe_reply *reply, const struct fetch_reply *answer)
{
    char status[16];
    snprintf(status, sizeof(status), "%d", reply->status);
    log_line(LOG_LEVEL_WARNING, "stripe", "method", request->method, "path", request->path, "#status", status, "code", or_empty(reply->code),
             "stripe_request", or_empty(answer->wanted[1]), NULL);
}

void stripe_call(struct arena *arena, const struct stripe_request *request, struct stripe_reply *ret)
{
    uint64_t begun = clock_monotonic_ns();
    for (int tried = 0;; tried++) {
        struct error err = {0};
        struct fetch_reply reply = {0};
        *ret = (struct stripe_reply){.code = "", .detail = "", .parameter = ""};
        if (ask(arena, request, &reply, &err) < 0)
            unknown(ret, "stripe_away", arena_strdup(arena, err.detail));
        else
            understand(arena, &reply, ret);
        /* Stripe looks at who asks before it looks at the key: what was sent before may have been applied all the same. */
        if ((ret->status == 401 || ret->status == 403) && (tried > 0 || request->once))
            unknown(ret, ret->code, ret->detail);
        if (ret->outcome != STRIPE_DONE && ret->outcome != STRIPE_MISSING)
            tell(request, ret, &reply);
        unsigned pause = pause_ms(&reply, tried);
        if (ret->outcome != STRIPE_UNKNOWN || ret->never_again || request->once || tried + 1 == TRIES || pause == 0 ||
            clock_monotonic_ns() - begun > WHOLE_NS)
            return;
        if (request->here)
            thrd_sleep(&(struct timespec){.tv_sec = pause / 1000, .tv_nsec = pause % 1000 * 1000000L}, NULL);
        else
            loop_sleep(loop_here(), pause);
    }
}

static bool ends_with(const char *s, const char *end)
{
    size_t len = strlen(s), n = strlen(end);
    return len >= n && strcmp(s + len - n, end) == 0;
}

/* Our member that became Stripe's parameter; NULL: none did, or it is not known. */
static const char *field_of(const char *parameter)
{
    static const struct {
        const char *begins, *ends, *field;
    } known[] = {
        {"", "[quantity]", "/seats"},
        {"", "[price]", "/plan"},
        {"currency", "", "/currency"},
        {"days_until_due", "", "/days_until_due"},
        {"", "proration_date", "/proration_date"},
        {"", "[proration_date]", "/proration_date"},
        {"invoice_settings[custom_fields]", "", "/purchase_order"},
        {"address[line1]", "", "/address/line1"},
        {"address[line2]", "", "/address/line2"},
        {"address[city]", "", "/address/city"},
        {"address[state]", "", "/address/state"},
        {"address[postal_code]", "", "/address/postal_code"},
        {"address[country]", "", "/address/country"},
        {"address", "", "/address"},
        {"email", "", "/email"},
        {"automatic_tax", "", "/address"}, /* what taxes want is where the customer is */
        {"cancel_at", "", "/cancel_at_period_end"},
        {"success_url", "", "/success_path"},
        {"cancel_url", "", "/cancel_path"},
        {"return_url", "", "/return_path"},
    };
    for (size_t i = 0; parameter && i < sizeof(known) / sizeof(*known); i++)
        if (strncmp(parameter, known[i].begins, strlen(known[i].begins)) == 0 && ends_with(parameter, known[i].ends))
            return known[i].field;
    return NULL;
}

static int away(struct error *err, const char *code, const char *detail)
{
    error_set(err, ERROR_UNAVAILABLE, code, NULL, "%s", detail);
    err->retry_after = AGAIN_S;
    return -1;
}

int stripe_error(const struct stripe_reply *reply, struct error *err)
{
    if (reply->outcome == STRIPE_MISSING)
        return error_set(err, ERROR_NOT_FOUND, "not_at_stripe", NULL, "Stripe does not know it (any more).");
    if (reply->status == 401 || reply->status == 403)
        return away(err, "billing_misconfigured", "The payment service does not accept this server's key.");
    if (reply->outcome == STRIPE_UNKNOWN)
        return away(err, "billing_away", "The payment service cannot be reached; try again in a minute.");
    if (reply->code && strcmp(reply->code, STRIPE_NOT_APPLIED) == 0) /* our words, of a request whose answer never came */
        return error_set(err, ERROR_UNPROCESSABLE, "billing_refused", NULL, "%s", reply->detail);
    if (reply->status == 402)
        return error_set(err, ERROR_PAYMENT, "payment_failed", NULL, "The payment failed: %s", reply->detail);
    return error_set(err, ERROR_UNPROCESSABLE, "billing_refused", field_of(reply->parameter), "The payment service refused: %s",
                     reply->detail);
}
