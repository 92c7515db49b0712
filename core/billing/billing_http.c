#include "billing/billing.h"

#include <stdio.h>
#include <string.h>

#include "billing/billing_internal.h"
#include "billing/billing_sql.h"
#include "billing/invoices.h"
#include "billing/order_bodies.h"
#include "billing/signature.h"
#include "billing/sync.h"
#include "base/clock.h"
#include "identity/identity.h"
#include "identity/throttle.h"

enum { BODY_MAX = 8192, WEBHOOK_BODY_MAX = 1 << 20, PATH_MAX_CHARS = 500, NAME_MAX = 200, SLUG_MAX = 63 };
#define PAYERS "administrator,trainee" /* need_payer (migrations/0023): of an organisation, administrators alone */

/* --- What is shown -------------------------------------------------------------------------------------------------- */

static void plans_get(struct http_request *req)
{
    struct error err = {0};
    struct text value;
    struct db_scope nobody = {.arena = http_arena(req), .as = DB_AS_NOBODY, .gone = http_gone, .gone_arg = req};
    const struct db_result *res;
    const char *audience = NULL;
    if (http_query_only(req, &err, "audience", NULL) == 0 && http_query(req, "audience", &value)) {
        audience = text_is(value, "individual") ? "individual" : text_is(value, "organisation") ? "organisation" : NULL;
        if (!audience)
            error_set(&err, ERROR_UNPROCESSABLE, "unknown_value", "audience", "audience is individual or organisation.");
    }
    if (err.kind != ERROR_NONE || db_run(&nobody, sql_plans_on_sale, (const char *const[]){audience}, &res, &err) < 0)
        http_reply_error(req, &err);
    else
        http_reply_json_etag(req, db_text(res, 0, 0));
}

static void billing_get(struct http_request *req)
{
    respond_row(req, sql_billing_show, NULL, "tenant_not_found");
}

static void entitlements_get(struct http_request *req)
{
    respond_row(req, sql_entitlements_show, NULL, "tenant_not_found");
}

static void intent_get(struct http_request *req)
{
    struct error err = {0};
    const char *id;
    if (path_uuid(req, "request", "request_not_found", &id, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_row(req, sql_intent_show, (const char *const[]){id}, "request_not_found");
}

static void subscription_get(struct http_request *req)
{
    struct error err = {0};
    const char *id;
    if (path_uuid(req, "subscription", "subscription_not_found", &id, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_row(req, sql_subscription_show, (const char *const[]){id}, "subscription_not_found");
}

static void quote_list(struct http_request *req)
{
    respond_list(req, sql_quote_list);
}

/* --- Shared by what changes something ------------------------------------------------------------------------------- */

/* What makes us ask Stripe is counted: nobody has us knock there without end. */
static int fiber_fn payer_scope(struct http_request *req, struct db_scope *ret, struct error *err)
{
    static const struct throttle_key keys[] = {{"billing", NULL}, {0}};
    return identity_scope(req, ret, err) < 0 ? -1 : throttle_take(req, ret, keys, err);
}

/* The same request is the same method, target and body: another subscription's change is another one. */
static int key_from(struct http_request *req, struct intent_key *ret, struct error *err)
{
    const struct text parts[] = {http_method(req), http_target(req), http_body(req)};
    uint8_t hashes[3][SHA256_SIZE];
    char *sha = arena_alloc(http_arena(req), SHA256_HEX_SIZE);
    for (size_t i = 0; i < 3; i++)
        crypto_sha256(parts[i].p, parts[i].len, hashes[i]);
    crypto_sha256_hex(hashes, sizeof(hashes), sha);
    ret->request_sha256 = sha;
    return http_idempotency_key(req, &ret->key, err);
}

static int fiber_fn one_json(struct db_scope *scope, const struct db_statement *statement, const char *id, struct text *ret, struct error *err)
{
    const struct db_result *res;
    if (db_run(scope, statement, (const char *const[]){id}, &res, err) < 0)
        return -1;
    *ret = db_text(res, 0, 0);
    return 0;
}

/* 202 with where to look. */
static void fiber_fn reply_under_way(struct http_request *req, struct db_scope *scope, const char *intent)
{
    struct error err = {0};
    struct text shown;
    if (one_json(scope, sql_intent_show, intent, &shown, &err) < 0) {
        http_reply_error(req, &err);
    } else {
        http_header_add(req, "location", arena_printf(scope->arena, "/v1/billing/requests/%s", intent));
        http_reply_json(req, 202, shown);
    }
}

/* What came of an intent: the subscription, or (not fetched yet) the intent itself. */
static void fiber_fn reply_subscription(struct http_request *req, int status, struct db_scope *scope, const char *intent)
{
    struct error err = {0};
    struct text shown;
    json_t *json;
    if (one_json(scope, sql_intent_show, intent, &shown, &err) < 0 || json_parse(scope->arena, shown, &json, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    const char *id = stripe_string(json, "subscription");
    if (!id)
        reply_under_way(req, scope, intent);
    else if (one_json(scope, sql_subscription_show, id, &shown, &err) < 0)
        http_reply_error(req, &err);
    else
        http_reply_json(req, status, shown);
}

static void fiber_fn reply_checkout(struct http_request *req, int status, struct db_scope *scope, const char *id)
{
    struct error err = {0};
    const struct db_result *res;
    if (db_run(scope, sql_checkout_of, (const char *const[]){id}, &res, &err) < 0)
        http_reply_error(req, &err);
    else if (db_rows(res) == 0)
        reply_under_way(req, scope, id);
    else {
        http_header_add(req, "location", arena_printf(scope->arena, "/v1/billing/checkout/%s", id));
        http_reply_json(req, status, db_text(res, 0, 2));
    }
}

/* Nothing was ordered yet; Location is what has to be known first. */
static void reply_not_yet(struct http_request *req, const char *intent, const struct error *err)
{
    http_header_add(req, "location", arena_printf(http_arena(req), "/v1/billing/requests/%s", intent));
    http_reply_error(req, err);
}

static const char *or_nothing(const char *s)
{
    return s ? s : "";
}

static bool has_member(const json_t *body, const char *pointer)
{
    while (body && *pointer == '/') {
        size_t len = strcspn(++pointer, "/");
        body = json_object_getn(body, pointer, len);
        pointer += len;
    }
    return body != NULL;
}

/* What Stripe refuses may have come from elsewhere than the body (the account, a quote): a member that is not in it is not named. */
static void fiber_fn reply_failed(struct http_request *req, const json_t *body, struct error *err)
{
    if (strcmp(err->code, "billing_refused") == 0 && !has_member(body, err->field))
        err->field[0] = '\0';
    http_reply_error(req, err);
}

/* A repeated request is answered by what its intent has come to, or by what needed none. True: it was. */
static bool fiber_fn replied_again(struct http_request *req, struct db_scope *scope, const struct intent_key *key, bool is_checkout)
{
    struct error err = {0};
    struct text shown;
    json_t *json;
    const char *intent, *subscription;
    if (intent_repeated(scope, key, &intent, &subscription, &err) < 0) {
        http_reply_error(req, &err);
        return true;
    }
    if (subscription) {
        if (one_json(scope, sql_subscription_show, subscription, &shown, &err) < 0)
            http_reply_error(req, &err);
        else
            http_reply_json(req, 200, shown);
        return true;
    }
    if (!intent)
        return false;
    if (one_json(scope, sql_intent_show, intent, &shown, &err) < 0 || json_parse(scope->arena, shown, &json, &err) < 0)
        http_reply_error(req, &err);
    else if (strcmp(stripe_string(json, "state"), "failed") == 0) {
        int status = (int)json_integer_value(json_object_get(json, "status"));
        const struct stripe_reply was = {.outcome = status == 404 ? STRIPE_MISSING : STRIPE_REFUSED, .status = status,
                                         .code = or_nothing(stripe_string(json, "code")), .detail = or_nothing(stripe_string(json, "detail"))};
        stripe_error(&was, &err);
        http_reply_error(req, &err);
    } else if (strcmp(stripe_string(json, "state"), "open") == 0)
        reply_under_way(req, scope, intent);
    else if (is_checkout)
        reply_checkout(req, 200, scope, intent);
    else
        reply_subscription(req, 200, scope, intent);
    return true;
}

/* --- Checkout ------------------------------------------------------------------------------------------------------- */

/* Back to a page of this origin: an address of somebody else's would make a link of ours lead there. */
static int return_url(struct http_request *req, const json_t *body, const char *name, const char **ret, struct error *err)
{
    const char *path = "/account";
    char field[64];
    snprintf(field, sizeof(field), "/%s", name);
    if (json_get_string(body, name, false, 1, PATH_MAX_CHARS, &path, err) < 0)
        return -1;
    if (path[0] != '/' || path[1] == '/' || path[1] == '\\' || strpbrk(path, "\\ \t\r\n"))
        return error_set(err, ERROR_UNPROCESSABLE, "field_invalid", field, "%s is a path on this server: /account.", name);
    *ret = arena_printf(http_arena(req), "%s%s", billing_config()->public_url, path);
    return 0;
}

static void checkout_post(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    struct order order = {0};
    struct intent_key key;
    json_t *body;
    const char *id;
    if (http_body_json(req, &body, &err) < 0 ||
        json_object_only(body, &err, "plan", "period", "currency", "seats", "success_path", "cancel_path", NULL) < 0 ||
        order_from(body, &order, &err) < 0 || return_url(req, body, "success_path", &order.success_url, &err) < 0 ||
        return_url(req, body, "cancel_path", &order.cancel_url, &err) < 0 || key_from(req, &key, &err) < 0 ||
        payer_scope(req, &scope, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    if (replied_again(req, &scope, &key, true))
        return;
    int rc = order_checkout(&scope, &order, &key, &id, &err);
    if (rc < 0)
        reply_failed(req, body, &err);
    else if (rc == ORDER_NOT_YET)
        reply_not_yet(req, id, &err);
    else if (rc > 0)
        reply_under_way(req, &scope, id);
    else
        reply_checkout(req, 201, &scope, id);
}

/* Who comes back from paying asks here, and need not wait for the webhook. */
static void checkout_get(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    const struct db_result *res;
    const char *id, *state;
    if (path_uuid(req, "checkout", "checkout_not_found", &id, &err) < 0 || payer_scope(req, &scope, &err) < 0 ||
        db_run(&scope, sql_checkout_of, (const char *const[]){id}, &res, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    struct error late; /* Stripe is away: what we know is shown */
    if (db_rows(res) && text_is(db_text(res, 0, 1), "open") && stripe_configured())
        sync_checkout(scope.arena, db_string(res, 0, 0), "checkout", &state, &late);
    if (db_run(&scope, sql_checkout_of, (const char *const[]){id}, &res, &err) == 0 && db_rows(res) == 0)
        error_set(&err, ERROR_NOT_FOUND, "checkout_not_found", NULL, "There is nothing of that id that you may see.");
    if (err.kind != ERROR_NONE)
        http_reply_error(req, &err);
    else
        http_reply_json_etag(req, db_text(res, 0, 2));
}

/* --- By invoice, and quotes ----------------------------------------------------------------------------------------- */

static void fiber_fn buy_by_invoice(struct http_request *req, const json_t *body, struct order *order)
{
    struct error err = {0};
    struct db_scope scope;
    struct intent_key key;
    const char *id;
    if (key_from(req, &key, &err) < 0 || payer_scope(req, &scope, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    if (replied_again(req, &scope, &key, false))
        return;
    int rc = order_by_invoice(&scope, order, &key, &id, &err);
    if (rc < 0)
        reply_failed(req, body, &err);
    else if (rc == ORDER_NOT_YET)
        reply_not_yet(req, id, &err);
    else if (rc > 0)
        reply_under_way(req, &scope, id);
    else
        reply_subscription(req, 201, &scope, id);
}

static void subscription_post(struct http_request *req)
{
    struct error err = {0};
    struct order order = {0};
    json_t *body;
    if (http_body_json(req, &body, &err) < 0 ||
        json_object_only(body, &err, "plan", "period", "currency", "seats", "purchase_order", "days_until_due", "address", NULL) < 0 ||
        order_from(body, &order, &err) < 0 || invoice_terms_from(http_arena(req), body, &order, &err) < 0)
        http_reply_error(req, &err);
    else
        buy_by_invoice(req, body, &order);
}

static void quote_acceptance(struct http_request *req)
{
    struct error err = {0};
    struct order order = {0};
    json_t *body;
    if (path_uuid(req, "quote", "quote_not_found", &order.quote, &err) < 0 || http_body_json(req, &body, &err) < 0 ||
        json_object_only(body, &err, "purchase_order", "address", NULL) < 0 || invoice_terms_from(http_arena(req), body, &order, &err) < 0)
        http_reply_error(req, &err);
    else
        buy_by_invoice(req, body, &order);
}

/* --- Changes -------------------------------------------------------------------------------------------------------- */

static void subscription_patch(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    struct change change;
    struct intent_key key;
    struct text shown;
    json_t *body;
    const char *subscription, *intent;
    if (path_uuid(req, "subscription", "subscription_not_found", &subscription, &err) < 0 || http_body_json(req, &body, &err) < 0 ||
        change_from(http_arena(req), body, false, &change, &err) < 0 || key_from(req, &key, &err) < 0 || payer_scope(req, &scope, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    if (replied_again(req, &scope, &key, false))
        return;
    int rc = change_subscription(&scope, subscription, &change, &key, &intent, &err);
    if (rc == 0 && one_json(&scope, sql_subscription_show, subscription, &shown, &err) == 0)
        http_reply_json(req, 200, shown);
    else if (rc > 0)
        reply_under_way(req, &scope, intent);
    else
        reply_failed(req, body, &err);
}

static void preview_post(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    struct change change;
    struct text shown;
    json_t *body = NULL;
    const char *subscription;
    if (path_uuid(req, "subscription", "subscription_not_found", &subscription, &err) < 0 || http_body_json(req, &body, &err) < 0 ||
        change_from(http_arena(req), body, true, &change, &err) < 0 || payer_scope(req, &scope, &err) < 0 ||
        preview_change(&scope, subscription, &change, &shown, &err) < 0)
        reply_failed(req, body, &err);
    else
        http_reply_json(req, 200, shown);
}

/* --- Stripe's own pages, and its list of invoices ------------------------------------------------------------------- */

static int fiber_fn customer_of(struct db_scope *scope, const char **ret, struct error *err)
{
    const struct db_result *res;
    if (db_run(scope, sql_customer_standing, NULL, &res, err) < 0)
        return -1;
    bool none = db_rows(res) == 0 || db_is_null(res, 0, 0);
    if (none && db_rows(res) && db_bool(res, 0, 1))
        return error_set(err, ERROR_CONFLICT, "customer_gone", NULL,
                         "The payment service keeps nothing of what was bought any more: ask who runs this service for the invoices.");
    if (none || !stripe_configured())
        return error_set(err, ERROR_CONFLICT, "nothing_bought", NULL, "Nothing has been bought through Stripe yet.");
    *ret = db_string(res, 0, 0);
    return 0;
}

static void portal_post(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    struct text shown;
    json_t *body = NULL;
    const char *customer, *back;
    if (http_body_json(req, &body, &err) < 0 || json_object_only(body, &err, "return_path", NULL) < 0 ||
        return_url(req, body, "return_path", &back, &err) < 0 || payer_scope(req, &scope, &err) < 0 ||
        customer_of(&scope, &customer, &err) < 0 || invoices_portal(scope.arena, customer, back, &shown, &err) < 0)
        reply_failed(req, body, &err);
    else
        http_reply_json(req, 201, shown);
}

/* Where invoices go, and what stands on them: for who does not go to Stripe's page for it. */
static void customer_patch(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    struct customer_change change;
    struct text shown;
    json_t *body;
    const char *customer, *intent;
    if (http_body_json(req, &body, &err) < 0 || customer_change_from(http_arena(req), body, &change, &err) < 0 ||
        payer_scope(req, &scope, &err) < 0 || customer_of(&scope, &customer, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    int rc = change_customer(&scope, customer, &change, &intent, &shown, &err);
    if (rc < 0)
        reply_failed(req, body, &err);
    else if (rc > 0)
        reply_under_way(req, &scope, intent);
    else
        http_reply_json(req, 200, shown);
}

static void invoices_get(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    struct text shown, after = {0};
    const char *customer;
    if (http_query_only(req, &err, "after", NULL) < 0 || payer_scope(req, &scope, &err) < 0 || customer_of(&scope, &customer, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    bool more = http_query(req, "after", &after);
    if (more && (after.len == 0 || after.len > STRIPE_ID_MAX))
        error_set(&err, ERROR_UNPROCESSABLE, "bad_cursor", "after", "after takes what `next` of a page gave.");
    if (err.kind != ERROR_NONE ||
        invoices_list(scope.arena, customer, more ? arena_copy(scope.arena, after.p, after.len) : NULL, &shown, &err) < 0)
        http_reply_error(req, &err);
    else
        http_reply_json_etag(req, shown);
}

/* --- An organisation signs up --------------------------------------------------------------------------------------- */

static void organisation_post(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    struct intent_key key;
    json_t *body;
    const char *name, *slug;
    const struct db_result *res;
    char id[UUID_SIZE];
    uuid_v7(id);
    if (http_body_json(req, &body, &err) < 0 || json_object_only(body, &err, "name", "slug", NULL) < 0 ||
        json_get_string(body, "name", true, 1, NAME_MAX, &name, &err) < 0 || json_get_string(body, "slug", true, 2, SLUG_MAX, &slug, &err) < 0 ||
        key_from(req, &key, &err) < 0 || identity_scope(req, &scope, &err) < 0) {
        http_reply_error(req, &err);
    } else if (strspn(slug, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(slug) || slug[0] == '-' || slug[strlen(slug) - 1] == '-') {
        error_set(&err, ERROR_UNPROCESSABLE, "field_invalid", "/slug", "slug is small letters, digits and hyphens: st-elsewhere.");
        http_reply_error(req, &err);
    } else if (db_run(&scope, sql_organisation_create, (const char *const[]){id, slug, name, key.key, key.request_sha256}, &res, &err) < 0) {
        http_reply_error(req, &err);
    } else {
        http_reply_json(req, 201, db_text(res, 0, 0));
    }
}

/* --- Stripe's webhook ----------------------------------------------------------------------------------------------- */

/* Verified, kept, answered: everything else is a job's. What cannot be kept is a 503, and comes again. */
static void webhook_post(struct http_request *req)
{
    struct error err = {0};
    struct text signature;
    struct db_scope nobody = {.arena = http_arena(req), .as = DB_AS_NOBODY};
    struct text body = http_body(req);
    const struct db_result *res;
    json_t *e;
    const char *secrets = billing_config()->stripe_webhook_secret;
    if (!stripe_configured() || !secrets[0])
        error_set(&err, ERROR_UNAVAILABLE, "stripe_not_configured", NULL, "This server takes no webhooks: stripe_key or stripe_webhook_secret is not set.");
    else if (!http_header(req, "stripe-signature", &signature) ||
             !stripe_signature_good(signature, body, secrets, clock_wall_ms() / 1000))
        error_set(&err, ERROR_INVALID, "signature_invalid", "Stripe-Signature", "The signature is missing, not ours, or too old.");
    else if (json_parse(nobody.arena, body, &e, &err) == 0 &&
             (!stripe_string(e, "id") || strlen(stripe_string(e, "id")) > STRIPE_ID_MAX || !stripe_string(e, "type") ||
              !json_is_integer(json_object_get(e, "created")) || !json_is_object(json_object_get(e, "data"))))
        error_set(&err, ERROR_INVALID, "not_an_event", NULL, "This is no event of Stripe's.");
    if (err.kind != ERROR_NONE) {
        http_reply_error(req, &err);
        return;
    }
    json_object_del(e, "data"); /* as long as all the rest together, and wanted in the raw text alone */
    const char *const params[] = {json_render(nobody.arena, e).p, arena_copy(nobody.arena, body.p, body.len), "webhook", STRIPE_VERSION,
                                  stripe_livemode() ? "true" : "false"};
    if (db_run(&nobody, sql_stripe_event_take, params, &res, &err) < 0)
        http_reply_error(req, &err);
    else
        http_reply_json(req, 200, text_of(arena_printf(nobody.arena, "{\"state\":\"%s\"}", db_string(res, 0, 0))));
}

const struct http_route billing_routes[] = {
    {"GET", "/v1/plans", NULL, 0, plans_get},
    {"GET", "/v1/entitlements", "*", 0, entitlements_get},
    {"POST", "/v1/organisations", "*", BODY_MAX, organisation_post},
    {"GET", "/v1/billing", PAYERS, 0, billing_get},
    {"POST", "/v1/billing/checkout", PAYERS, BODY_MAX, checkout_post},
    {"GET", "/v1/billing/checkout/{checkout}", PAYERS, 0, checkout_get},
    {"POST", "/v1/billing/subscriptions", "administrator", BODY_MAX, subscription_post},
    {"GET", "/v1/billing/subscriptions/{subscription}", PAYERS, 0, subscription_get},
    {"PATCH", "/v1/billing/subscriptions/{subscription}", PAYERS, BODY_MAX, subscription_patch},
    {"POST", "/v1/billing/subscriptions/{subscription}/preview", PAYERS, BODY_MAX, preview_post},
    {"GET", "/v1/billing/quotes", "administrator", 0, quote_list},
    {"POST", "/v1/billing/quotes/{quote}/acceptance", "administrator", BODY_MAX, quote_acceptance},
    {"POST", "/v1/billing/portal", PAYERS, BODY_MAX, portal_post},
    {"PATCH", "/v1/billing/customer", PAYERS, BODY_MAX, customer_patch},
    {"GET", "/v1/billing/invoices", PAYERS, 0, invoices_get},
    {"GET", "/v1/billing/requests/{request}", PAYERS, 0, intent_get},
    {"POST", "/v1/stripe/webhook", NULL, WEBHOOK_BODY_MAX, webhook_post},
    {0},
};
