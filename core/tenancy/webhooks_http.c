#include <string.h>

#include "identity/identity.h"
#include "identity/vault.h"
#include "outbound/outbound.h"
#include "tenancy/members.h"
#include "tenancy/webhooks.h"
#include "tenancy/webhooks_sql.h"

enum { BODY_MAX = 16384, URL_MAX = 2000, DESCRIPTION_MAX = 200, EVENTS_MAX = 20, TIME_MAX = 40 };

/* A new secret, sealed for that endpoint. */
static int new_secret(struct arena *arena, const char *endpoint, const char **ret_sealed, struct error *err)
{
    uint8_t key[WEBHOOK_KEY_BYTES];
    crypto_random(key, sizeof(key));
    return vault_seal(arena, webhook_secret_context(arena, endpoint), (struct text){(const char *)key, sizeof(key)}, ret_sealed, err);
}

/* The row's object with the secret in it, which is shown here and never again. */
static void reply_secret(struct http_request *req, const char *endpoint, const struct db_result *res)
{
    struct error err = {0};
    struct text key, item = db_text(res, 0, 0);
    char secret[WEBHOOK_SECRET_SIZE];
    struct arena *arena = http_arena(req);
    if (vault_open(arena, webhook_secret_context(arena, endpoint), db_text(res, 0, 1), &key, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    webhook_secret_text((const uint8_t *)key.p, secret);
    http_reply_json(req, 201, text_of(arena_printf(arena, "{\"secret\":\"%s\",%.*s", secret, (int)item.len - 1, item.p + 1)));
}

static int settings_from_body(struct http_request *req, bool is_new, json_t **ret_body, const char **ret_url,
                              const char **ret_events, const char **ret_description, struct error *err)
{
    bool enabled;
    *ret_url = *ret_events = NULL;
    *ret_description = "";
    if (http_body_json(req, ret_body, err) < 0 ||
        json_object_only(*ret_body, err, "url", "events", "description", is_new ? NULL : "enabled", NULL) < 0 ||
        json_get_string(*ret_body, "url", is_new, 8, URL_MAX, ret_url, err) < 0 ||
        members_get_strings(req, *ret_body, "events", is_new, EVENTS_MAX, false, ret_events, err) < 0 ||
        json_get_string(*ret_body, "description", false, 0, DESCRIPTION_MAX, ret_description, err) < 0 ||
        json_get_bool(*ret_body, "enabled", false, &enabled, err) < 0)
        return -1;
    return *ret_url ? fetch_url_check(*ret_url, "/url", err) : 0;
}

static void webhook_post(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    json_t *body;
    const char *url, *events, *description, *key, *sealed;
    char id[UUID_SIZE], hash[SHA256_HEX_SIZE];
    const struct db_result *res;
    uuid_v7(id);
    if (identity_scope(req, &scope, &err) < 0 || http_idempotency_key(req, &key, &err) < 0 ||
        settings_from_body(req, true, &body, &url, &events, &description, &err) < 0 ||
        new_secret(scope.arena, id, &sealed, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    struct text canonical = json_render(scope.arena, body);
    crypto_sha256_hex(canonical.p, canonical.len, hash);
    if (db_run(&scope, sql_webhook_create, (const char *const[]){id, key, hash, url, events, description, sealed}, &res, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    const char *made = db_string(res, 0, 2);
    http_header_add(req, "location", arena_printf(scope.arena, "/v1/tenant/webhooks/%s", made));
    reply_secret(req, made, res);
}

static void webhook_list(struct http_request *req)
{
    respond_list(req, sql_webhook_list);
}

static void webhook_get(struct http_request *req)
{
    struct error err = {0};
    const char *webhook;
    if (path_uuid(req, "webhook", "webhook_not_found", &webhook, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_row(req, sql_webhook_show, (const char *const[]){webhook}, "webhook_not_found");
}

static void webhook_patch(struct http_request *req)
{
    struct error err = {0};
    json_t *body;
    const char *webhook, *url, *events, *description;
    if (path_uuid(req, "webhook", "webhook_not_found", &webhook, &err) < 0 ||
        settings_from_body(req, false, &body, &url, &events, &description, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_json(req, 200, sql_webhook_patch, (const char *const[]){webhook, json_render(http_arena(req), body).p});
}

static void webhook_delete(struct http_request *req)
{
    struct error err = {0};
    const char *webhook;
    if (path_uuid(req, "webhook", "webhook_not_found", &webhook, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_204(req, sql_webhook_delete, (const char *const[]){webhook});
}

static void secret_post(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    const char *webhook, *key, *sealed;
    char id[UUID_SIZE];
    const struct db_result *res;
    uuid_v7(id);
    if (path_uuid(req, "webhook", "webhook_not_found", &webhook, &err) < 0 || identity_scope(req, &scope, &err) < 0 ||
        http_idempotency_key(req, &key, &err) < 0 || new_secret(scope.arena, webhook, &sealed, &err) < 0 ||
        db_run(&scope, sql_webhook_secret_new, (const char *const[]){webhook, key, id, sealed}, &res, &err) < 0)
        http_reply_error(req, &err);
    else
        reply_secret(req, webhook, res);
}

static void test_post(struct http_request *req)
{
    struct error err = {0};
    const char *webhook;
    if (path_uuid(req, "webhook", "webhook_not_found", &webhook, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_json(req, 202, sql_webhook_test, (const char *const[]){webhook});
}

static int state_from_query(struct http_request *req, const char **ret, struct error *err)
{
    struct text state;
    *ret = NULL;
    if (!http_query(req, "state", &state))
        return 0;
    if (!text_is(state, "pending") && !text_is(state, "delivered") && !text_is(state, "failed"))
        return error_set(err, ERROR_UNPROCESSABLE, "bad_state", "state", "state is pending, delivered or failed.");
    *ret = arena_copy(http_arena(req), state.p, state.len);
    return 0;
}

static void delivery_list(struct http_request *req)
{
    struct page page;
    struct error err = {0};
    const char *webhook, *state;
    if (path_uuid(req, "webhook", "webhook_not_found", &webhook, &err) < 0 ||
        http_query_only(req, &err, "state", "after", "limit", NULL) < 0 || state_from_query(req, &state, &err) < 0 ||
        page_from_query(req, &page, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_page(req, sql_webhook_delivery_list, (const char *const[]){webhook, state, page.after, page.limit_plus_one}, &page);
}

static void delivery_replay(struct http_request *req)
{
    struct error err = {0};
    const char *webhook, *delivery;
    if (path_uuid(req, "webhook", "webhook_not_found", &webhook, &err) < 0 ||
        path_uuid(req, "delivery", "delivery_not_found", &delivery, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_json(req, 202, sql_webhook_replay, (const char *const[]){webhook, delivery});
}

static void replay_post(struct http_request *req)
{
    struct error err = {0};
    json_t *body;
    const char *webhook, *since;
    if (path_uuid(req, "webhook", "webhook_not_found", &webhook, &err) < 0 || http_body_json(req, &body, &err) < 0 ||
        json_object_only(body, &err, "since", NULL) < 0 || json_get_string(body, "since", true, 1, TIME_MAX, &since, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_json(req, 202, sql_webhook_replay_since, (const char *const[]){webhook, since});
}

/* A personal tenant's owner is a trainee in it; the database refuses trainees of other tenants. */
#define KEEPERS "administrator,trainee"

const struct http_route webhooks_routes[] = {
    {"GET", "/v1/tenant/webhooks", KEEPERS, 0, webhook_list},
    {"POST", "/v1/tenant/webhooks", KEEPERS, BODY_MAX, webhook_post},
    {"GET", "/v1/tenant/webhooks/{webhook}", KEEPERS, 0, webhook_get},
    {"PATCH", "/v1/tenant/webhooks/{webhook}", KEEPERS, BODY_MAX, webhook_patch},
    {"DELETE", "/v1/tenant/webhooks/{webhook}", KEEPERS, 0, webhook_delete},
    {"POST", "/v1/tenant/webhooks/{webhook}/secret", KEEPERS, 0, secret_post},
    {"POST", "/v1/tenant/webhooks/{webhook}/test", KEEPERS, 0, test_post},
    {"GET", "/v1/tenant/webhooks/{webhook}/deliveries", KEEPERS, 0, delivery_list},
    {"POST", "/v1/tenant/webhooks/{webhook}/deliveries/{delivery}/replay", KEEPERS, 0, delivery_replay},
    {"POST", "/v1/tenant/webhooks/{webhook}/replay", KEEPERS, BODY_MAX, replay_post},
    {0},
};
