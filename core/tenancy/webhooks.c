#include "tenancy/webhooks.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "identity/vault.h"
#include "outbound/outbound.h"
#include "tenancy/webhooks_sql.h"

/* The database takes one that is under way for lost after 30 s, and the job's lease is 120 s. */
enum { TIMEOUT_MS = 15000, REPLY_MAX = 4096, RETRY_MAX = 600 };
enum { SWEEP_SECONDS = 3600, SWEEP_ROWS = 1000, SECRETS_MAX = 8 };

/* --- Standard Webhooks --------------------------------------------------------------------------------------------- */

void webhook_secret_text(const uint8_t key[WEBHOOK_KEY_BYTES], char ret[WEBHOOK_SECRET_SIZE])
{
    memcpy(ret, "whsec_", 6);
    base64_encode(key, WEBHOOK_KEY_BYTES, ret + 6);
}

void webhook_sign(struct arena *arena, struct text key, const char *id, int64_t timestamp, struct text body,
                  char ret[WEBHOOK_SIGNATURE_SIZE])
{
    uint8_t mac[SHA256_SIZE];
    const char *content = arena_printf(arena, "%s.%lld.%.*s", id, (long long)timestamp, (int)body.len, body.p);
    crypto_hmac_sha256(key, text_of(content), mac);
    memcpy(ret, "v1,", 3);
    base64_encode(mac, sizeof(mac), ret + 3);
}

const char *webhook_secret_context(struct arena *arena, const char *endpoint)
{
    return arena_printf(arena, "webhook:%s", endpoint);
}

/* --- One delivery -------------------------------------------------------------------------------------------------- */

enum { COLUMN_VERDICT, COLUMN_SECONDS, COLUMN_ENDPOINT, COLUMN_URL, COLUMN_EVENT, COLUMN_BODY, COLUMN_SECRETS };

/* One signature for each secret that is good, the newest first. */
static int sign_all(struct arena *arena, const struct db_result *d, int64_t timestamp, const char **ret, struct error *err)
{
    json_t *secrets;
    const char *context = webhook_secret_context(arena, db_string(d, 0, COLUMN_ENDPOINT)), *all = "webhook-signature:";
    if (json_parse(arena, db_text(d, 0, COLUMN_SECRETS), &secrets, err) < 0)
        return -1;
    for (size_t i = 0; i < json_array_size(secrets) && i < SECRETS_MAX; i++) {
        struct text key;
        char signature[WEBHOOK_SIGNATURE_SIZE];
        if (vault_open(arena, context, text_of(json_string_value(json_array_get(secrets, i))), &key, err) < 0)
            return -1;
        webhook_sign(arena, key, db_string(d, 0, COLUMN_EVENT), timestamp, db_text(d, 0, COLUMN_BODY), signature);
        all = arena_printf(arena, "%s %s", all, signature);
    }
    *ret = all;
    return 0;
}

static bool ours(const struct error *err)
{
    return strcmp(err->code, "busy") == 0 || strcmp(err->code, "stopping") == 0;
}

/* *ret_status: 0 when nobody answered; *ret_why says what was wrong, NULL: nothing. -1: it is not the receiver's fault. */
static int fiber_fn post(struct arena *arena, const struct db_result *d, struct fetch_reply *ret, const char **ret_why,
                         struct error *err)
{
    const char *signatures;
    int64_t now = clock_wall_ms() / 1000;
    if (sign_all(arena, d, now, &signatures, err) < 0)
        return -1;
    const char *const headers[] = {
        "content-type: application/json",
        arena_printf(arena, "webhook-id: %s", db_string(d, 0, COLUMN_EVENT)),
        arena_printf(arena, "webhook-timestamp: %lld", (long long)now),
        signatures,
        NULL,
    };
    const struct fetch_request request = {
        .method = "POST",
        .url = db_string(d, 0, COLUMN_URL),
        .headers = headers,
        .body = db_text(d, 0, COLUMN_BODY),
        .reply_max = REPLY_MAX,
        .reply_cut = true,
        .timeout_ms = TIMEOUT_MS,
        .public_only = true,
    };
    struct error why = {0};
    *ret = (struct fetch_reply){0};
    *ret_why = NULL;
    if (fetch_run(arena, &request, ret, &why) < 0) {
        if (ours(&why)) {
            *err = why;
            return -1;
        }
        *ret_why = arena_strdup(arena, why.detail);
    } else if (ret->status < 200 || ret->status > 299) {
        *ret_why = arena_printf(arena, "The receiver answered %d.", ret->status);
    }
    return 0;
}

static int fiber_fn deliver(struct job *job, const char *delivery, const struct db_result *d, struct error *err)
{
    struct arena *arena = job->scope.arena;
    struct fetch_reply reply;
    const struct db_result *res;
    const char *why;
    if (post(arena, d, &reply, &why, err) < 0)
        return -1;
    const char *const params[] = {delivery, reply.status ? arena_printf(arena, "%d", reply.status) : NULL, why,
                                  arena_printf(arena, "%lld", (long long)reply.retry_after)};
    if (db_run(&job->scope, sql_webhook_result, params, &res, err) < 0)
        return -1;
    if (why)
        log_line(LOG_LEVEL_INFO, "webhook_failed", "webhook", db_string(d, 0, COLUMN_ENDPOINT), "delivery", delivery, "detail", why, NULL);
    job->again_seconds = db_is_null(res, 0, 0) ? 0 : (unsigned)db_int(res, 0, 0);
    return 0;
}

static int fiber_fn run_delivery(struct job *job, struct error *err)
{
    json_t *payload;
    const char *delivery;
    const struct db_result *d;
    if (json_parse(job->scope.arena, job->payload, &payload, err) < 0 ||
        json_get_uuid(payload, "delivery", true, &delivery, err) < 0) {
        job->hopeless = true;
        return -1;
    }
    if (db_run(&job->scope, sql_webhook_begin, (const char *const[]){delivery}, &d, err) < 0)
        return -1;
    struct text verdict = db_text(d, 0, COLUMN_VERDICT);
    if (text_is(verdict, "later"))
        job->again_seconds = (unsigned)db_int(d, 0, COLUMN_SECONDS);
    return text_is(verdict, "send") ? deliver(job, delivery, d, err) : 0;
}

/* For ever: when it is enough, webhook_result() takes the job away. What fails here is ours. */
const struct job_kind webhooks_delivery_job = {.kind = "webhook", .run = run_delivery, .retry_max_seconds = RETRY_MAX};

/* --- Beside it ----------------------------------------------------------------------------------------------------- */

static int fiber_fn run_membership_end(struct job *job, struct error *err)
{
    const struct db_result *res;
    return db_run(&job->scope, sql_webhook_membership_ended, (const char *const[]){job->payload.p}, &res, err);
}

const struct job_kind webhooks_membership_end_job = {
    .kind = "membership_end", .run = run_membership_end, .retry_max_seconds = RETRY_MAX};

static int fiber_fn run_sweep(struct job *job, struct error *err)
{
    const struct db_result *res;
    const char *most = arena_printf(job->scope.arena, "%d", SWEEP_ROWS);
    do {
        if (db_run(&job->scope, sql_webhooks_sweep, (const char *const[]){most}, &res, err) < 0)
            return -1;
    } while (db_int(res, 0, 0) >= SWEEP_ROWS);
    return 0;
}

const struct job_kind webhooks_sweep_job = {
    .kind = "webhook_sweep", .run = run_sweep, .retry_max_seconds = RETRY_MAX, .every_seconds = SWEEP_SECONDS};
