#include "billing/orders.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "billing/billing_internal.h"
#include "billing/billing_sql.h"
#include "billing/invoices.h"
#include "billing/sync.h"

enum { FORM_MAX = STRIPE_FORM_MAX, FIRST_RETRY_S = 45 }; /* when the job has asked once more (intent_open) */

static const char *string(const json_t *object, const char *name)
{
    return stripe_string(object, name);
}

static int64_t number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static int fiber_fn ask_json(struct db_scope *scope, const struct db_statement *statement, const char *const params[], json_t **ret,
                             struct error *err)
{
    const struct db_result *res;
    if (db_run(scope, statement, params, &res, err) < 0)
        return -1;
    return json_parse(scope->arena, db_text(res, 0, 0), ret, err);
}

/* What has just changed at Stripe. If it can be neither fetched nor queued now, its event brings it, or the nightly list. */
static void fiber_fn fetch_changed(struct arena *arena, const char *subscription, const char *intent)
{
    struct error late;
    if (sync_or_queue(arena, subscription, intent, &late) < 0)
        log_line(LOG_LEVEL_ERROR, "billing_not_fetched", "subscription", subscription, "intent", intent, "code", late.code, "detail", late.detail, NULL);
}

static int not_on_sale(struct error *err)
{
    return error_set(err, ERROR_CONFLICT, "not_on_sale", NULL, "Nothing is sold through Stripe on this server.");
}

/* Nothing more for who has let an invoice pass, of whichever subscription; Stripe alone knows. */
static int fiber_fn need_no_debt(struct db_scope *scope, const json_t *checked, struct error *err)
{
    const char *customer = string(checked, "customer");
    bool overdue = false;
    if (!customer || !json_is_true(json_object_get(checked, "invoiced")))
        return 0;
    if (invoices_overdue(scope->arena, customer, &overdue, err) < 0)
        return -1;
    return overdue ? error_set(err, ERROR_CONFLICT, "invoice_overdue", NULL, "An invoice is overdue: pay it first, and then order more.") : 0;
}

static int fiber_fn check_order(struct db_scope *scope, const struct order *o, json_t **ret, struct error *err)
{
    const char *const params[] = {o->plan, o->period, o->currency, arena_printf(scope->arena, "%lld", (long long)o->seats), o->quote};
    if (ask_json(scope, sql_order_check, params, ret, err) < 0)
        return -1;
    return stripe_configured() ? need_no_debt(scope, *ret, err) : not_on_sale(err);
}

/* --- The customer --------------------------------------------------------------------------------------------------- */

static void add_address(struct buffer *form, const json_t *address)
{
    static const char *const lines[][2] = {{"line1", "address[line1]"}, {"line2", "address[line2]"}, {"city", "address[city]"},
                                           {"state", "address[state]"}, {"postal_code", "address[postal_code]"}, {"country", "address[country]"}};
    for (size_t i = 0; address && i < sizeof(lines) / sizeof(*lines); i++)
        stripe_form(form, lines[i][1], string(address, lines[i][0]));
}

/* *ret: Stripe's id. As intent_run; of 1, *ret_id is the intent that is under way. */
static int fiber_fn need_customer(struct db_scope *scope, const json_t *checked, const json_t *address, const char **ret, const char **ret_id,
                                  struct error *err)
{
    struct intent intent;
    struct buffer form;
    json_t *object;
    *ret = string(checked, "customer");
    if (*ret && !address)
        return 0;
    intent_begin(&intent, *ret ? "customer_change" : "customer",
                 *ret ? arena_printf(scope->arena, "/v1/customers/%s", stripe_escape(scope->arena, *ret)) : "/v1/customers");
    buffer_init(&form, FORM_MAX);
    if (!*ret) {
        stripe_form(&form, "name", string(checked, "name"));
        stripe_form(&form, "email", string(checked, "email"));
        stripe_form(&form, "metadata[overread_tenant]", string(checked, "tenant"));
        stripe_form(&form, "metadata[overread_intent]", intent.id);
    }
    add_address(&form, address);
    if (stripe_form_end(scope->arena, &form, &intent.body, err) < 0)
        return -1;
    *ret_id = arena_strdup(scope->arena, intent.id);
    int rc = intent_run(scope, &intent, NULL, &object, err);
    if (rc == 0 && !*ret)
        *ret = string(object, "id");
    return rc;
}

/* Nothing was ordered: a request that comes before it has no answer yet. */
static int not_yet(struct error *err, const char *code, const char *what)
{
    error_set(err, ERROR_UNAVAILABLE, code, NULL, "Stripe has not answered yet whether %s: nothing was ordered. Order again, with the same key.", what);
    err->retry_after = FIRST_RETRY_S;
    return ORDER_NOT_YET;
}

static int customer_pending(int rc, struct error *err)
{
    return rc <= 0 ? rc : not_yet(err, "customer_pending", "it knows you as a customer");
}

/* Stripe reckons no tax for a customer of whom it knows no place. */
static int fiber_fn need_address(struct db_scope *scope, const json_t *checked, const json_t *given, struct error *err)
{
    struct stripe_reply reply;
    const char *customer = string(checked, "customer");
    if (!billing_taxes() || given)
        return 0;
    if (customer) {
        const char *path = arena_printf(scope->arena, "/v1/customers/%s", stripe_escape(scope->arena, customer));
        stripe_call(scope->arena, &(struct stripe_request){.method = "GET", .path = path}, &reply);
        if (reply.outcome != STRIPE_DONE)
            return stripe_error(&reply, err);
        if (string(json_object_get(reply.object, "address"), "country"))
            return 0;
    }
    return error_set(err, ERROR_UNPROCESSABLE, "field_missing", "/address", "\"address\" is needed: taxes depend on it.");
}

int fiber_fn change_customer(struct db_scope *scope, const char *customer, const struct customer_change *change, const char **ret_id,
                             struct text *ret, struct error *err)
{
    static const char *const same[] = {"line1", "line2", "city", "state", "postal_code", "country"};
    struct intent intent;
    struct buffer form;
    json_t *object;
    intent_begin(&intent, "customer_change", arena_printf(scope->arena, "/v1/customers/%s", stripe_escape(scope->arena, customer)));
    buffer_init(&form, FORM_MAX);
    stripe_form(&form, "email", change->email);
    add_address(&form, change->address);
    if (stripe_form_end(scope->arena, &form, &intent.body, err) < 0)
        return -1;
    *ret_id = arena_strdup(scope->arena, intent.id);
    int rc = intent_run(scope, &intent, NULL, &object, err);
    if (rc != 0)
        return rc;
    const json_t *has = json_object_get(object, "address");
    json_t *address = json_is_object(has) ? json_object() : json_null();
    for (size_t i = 0; json_is_object(address) && i < sizeof(same) / sizeof(*same); i++)
        json_object_set_new(address, same[i], json_pack("s?", string(has, same[i])));
    json_t *shown = json_pack("{s:s?,s:s?,s:o}", "name", string(object, "name"), "email", string(object, "email"), "address", address);
    *ret = json_render(scope->arena, shown);
    json_decref(shown);
    return 0;
}

/* --- Checkout ------------------------------------------------------------------------------------------------------- */

static json_t *terms_of(struct arena *arena, const json_t *checked)
{
    json_t *terms = json_pack("{s:O,s:O,s:O,s:O}", "plan", json_object_get(checked, "plan"), "period", json_object_get(checked, "period"),
                              "currency", json_object_get(checked, "currency"), "seats", json_object_get(checked, "seats"));
    arena_defer(arena, billing_release, terms);
    return terms;
}

/* A page to pay at that is open already: for the same, it is the answer; for something else it is closed first, or else two
 * subscriptions could come of it. 0: there is none (any more), or *ret_open is the answer; as order_checkout else. */
static int fiber_fn settle_open_checkout(struct db_scope *scope, const json_t *checked, const json_t *terms, const char **ret_open,
                                         const char **ret_id, struct error *err)
{
    const json_t *open = json_object_get(checked, "checkout");
    const char *state, *session = string(open, "session");
    struct intent intent;
    json_t *object;
    *ret_open = NULL;
    if (!session)
        return 0;
    if (sync_checkout(scope->arena, session, "checkout", &state, err) < 0)
        return -1;
    if (strcmp(state, "complete") == 0)
        return error_set(err, ERROR_CONFLICT, "already_subscribed", "/plan", "This has just been paid for: look at your subscriptions.");
    if (strcmp(state, "open") != 0)
        return 0;
    if (json_equal(json_object_get(open, "terms"), terms)) {
        *ret_open = string(open, "id");
        return 0;
    }
    intent_begin(&intent, "checkout_expire",
                 arena_printf(scope->arena, "/v1/checkout/sessions/%s/expire", stripe_escape(scope->arena, session)));
    *ret_id = arena_strdup(scope->arena, intent.id);
    int rc = intent_run(scope, &intent, NULL, &object, err);
    return rc <= 0 ? rc : not_yet(err, "page_pending", "the page that was open is closed");
}

static void add_trial(struct buffer *form, const json_t *checked)
{
    if (number(checked, "trial_days") == 0)
        return;
    stripe_form_int(form, "subscription_data[trial_period_days]", number(checked, "trial_days"));
    if (json_is_true(json_object_get(checked, "trial_with_card")))
        return;
    stripe_form(form, "payment_method_collection", "if_required");
    stripe_form(form, "subscription_data[trial_settings][end_behavior][missing_payment_method]", "cancel");
}

static int checkout_form(struct db_scope *scope, const struct order *order, const json_t *checked, const char *customer, struct intent *intent,
                         struct error *err)
{
    struct buffer form;
    buffer_init(&form, FORM_MAX);
    stripe_form(&form, "mode", "subscription");
    stripe_form(&form, "customer", customer);
    stripe_form(&form, "client_reference_id", intent->id);
    stripe_form(&form, "line_items[0][price]", string(checked, "price"));
    stripe_form_int(&form, "line_items[0][quantity]", number(checked, "seats"));
    stripe_form(&form, "success_url", order->success_url);
    stripe_form(&form, "cancel_url", order->cancel_url);
    stripe_form(&form, "metadata[overread_intent]", intent->id);
    stripe_form(&form, "subscription_data[metadata][overread_tenant]", string(checked, "tenant"));
    stripe_form(&form, "subscription_data[metadata][overread_intent]", intent->id);
    add_trial(&form, checked);
    if (billing_taxes()) {
        stripe_form(&form, "automatic_tax[enabled]", "true");
        stripe_form(&form, "customer_update[address]", "auto");
        stripe_form(&form, "customer_update[name]", "auto");
        stripe_form(&form, "tax_id_collection[enabled]", "true");
    }
    return stripe_form_end(scope->arena, &form, &intent->body, err);
}

int fiber_fn order_checkout(struct db_scope *scope, const struct order *order, const struct intent_key *key, const char **ret_id,
                            struct error *err)
{
    json_t *checked, *object;
    struct intent intent;
    const char *customer, *open;
    if (check_order(scope, order, &checked, err) < 0)
        return -1;
    json_t *terms = terms_of(scope->arena, checked);
    int rc = settle_open_checkout(scope, checked, terms, &open, ret_id, err);
    if (rc == 0 && open) {
        *ret_id = open;
        return intent_remember(scope, key, open, err);
    }
    if (rc == 0)
        rc = customer_pending(need_customer(scope, checked, NULL, &customer, ret_id, err), err);
    if (rc != 0)
        return rc;
    intent_begin(&intent, "checkout", "/v1/checkout/sessions");
    intent.terms = terms;
    *ret_id = arena_strdup(scope->arena, intent.id);
    if (checkout_form(scope, order, checked, customer, &intent, err) < 0)
        return -1;
    return intent_run(scope, &intent, key, &object, err);
}

/* --- By invoice ----------------------------------------------------------------------------------------------------- */

static void add_item(struct buffer *form, const json_t *checked)
{
    const json_t *amount = json_object_get(checked, "amount");
    if (json_is_integer(amount)) {
        stripe_form(form, "items[0][price_data][currency]", string(checked, "currency"));
        stripe_form(form, "items[0][price_data][product]", string(checked, "product"));
        stripe_form(form, "items[0][price_data][recurring][interval]", string(checked, "period"));
        stripe_form(form, "items[0][price_data][tax_behavior]", "exclusive");
        stripe_form_int(form, "items[0][price_data][unit_amount]", json_integer_value(amount));
    } else {
        stripe_form(form, "items[0][price]", string(checked, "price"));
    }
    stripe_form_int(form, "items[0][quantity]", number(checked, "seats"));
}

static void add_purchase_order(struct buffer *form, const char *number)
{
    if (!number)
        return;
    stripe_form(form, "invoice_settings[custom_fields][0][name]", "Purchase order");
    stripe_form(form, "invoice_settings[custom_fields][0][value]", number);
}

static int invoice_form(struct db_scope *scope, const struct order *order, const json_t *checked, const char *customer, struct intent *intent,
                        struct error *err)
{
    struct buffer form;
    int64_t days = number(checked, "days_until_due");
    buffer_init(&form, FORM_MAX);
    stripe_form(&form, "customer", customer);
    stripe_form(&form, "collection_method", "send_invoice");
    stripe_form_int(&form, "days_until_due", days ? days : order->days_until_due);
    add_item(&form, checked);
    add_purchase_order(&form, order->purchase_order);
    stripe_form(&form, "metadata[overread_tenant]", string(checked, "tenant"));
    stripe_form(&form, "metadata[overread_intent]", intent->id);
    if (billing_taxes())
        stripe_form(&form, "automatic_tax[enabled]", "true");
    return stripe_form_end(scope->arena, &form, &intent->body, err);
}

int fiber_fn order_by_invoice(struct db_scope *scope, const struct order *order, const struct intent_key *key, const char **ret_id,
                              struct error *err)
{
    json_t *checked, *object;
    struct intent intent;
    const char *customer, *open;
    if (check_order(scope, order, &checked, err) < 0 || need_address(scope, checked, order->address, err) < 0)
        return -1;
    json_t *terms = terms_of(scope->arena, checked);
    int rc = settle_open_checkout(scope, checked, NULL, &open, ret_id, err);
    if (rc == 0)
        rc = customer_pending(need_customer(scope, checked, order->address, &customer, ret_id, err), err);
    if (rc != 0)
        return rc;
    intent_begin(&intent, "subscribe", "/v1/subscriptions");
    intent.terms = terms;
    *ret_id = arena_strdup(scope->arena, intent.id);
    if (invoice_form(scope, order, checked, customer, &intent, err) < 0)
        return -1;
    intent.quote = order->quote;
    rc = intent_run(scope, &intent, key, &object, err);
    if (rc == 0)
        fetch_changed(scope->arena, string(object, "id"), intent.id);
    return rc;
}

/* --- Changes -------------------------------------------------------------------------------------------------------- */

static bool changes_items(const struct change *c)
{
    return c->seats >= 0 || c->plan || c->period;
}

static int fiber_fn ask_change(struct db_scope *scope, const char *subscription, const struct change *c, json_t **ret, struct error *err)
{
    const char *seats = c->seats >= 0 ? arena_printf(scope->arena, "%lld", (long long)c->seats) : NULL;
    return ask_json(scope, sql_change_check, (const char *const[]){subscription, c->plan, c->period, seats}, ret, err);
}

/* Is what was fetched such that this may be asked for? */
static int fiber_fn may_change(struct db_scope *scope, const json_t *checked, const struct change *c, struct error *err)
{
    if (c->seats >= 0 && c->seats != 1 && strcmp(string(checked, "kind"), "individual") == 0)
        return error_set(err, ERROR_UNPROCESSABLE, "out_of_range", "/seats", "An individual has one.");
    if ((c->purchase_order || c->days_until_due) && strcmp(string(checked, "collection"), "send_invoice") != 0)
        return error_set(err, ERROR_CONFLICT, "not_by_invoice", c->purchase_order ? "/purchase_order" : "/days_until_due",
                         "This subscription is paid by card.");
    /* Else what was paid for from a moment on would be given back from an earlier one. */
    if (c->proration_date && c->proration_date < number(checked, "changed"))
        return error_set(err, ERROR_UNPROCESSABLE, "out_of_range", "/proration_date", "It has been changed since that preview: ask for another.");
    return c->plan || c->period || c->seats > number(checked, "seats") ? need_no_debt(scope, checked, err) : 0;
}

/* What stands at Stripe now, and the price that it would change to. */
static int fiber_fn check_change(struct db_scope *scope, const char *subscription, const struct change *c, json_t **ret, struct error *err)
{
    if (ask_change(scope, subscription, c, ret, err) < 0)
        return -1;
    if (!stripe_configured())
        return not_on_sale(err);
    if (sync_subscription(scope->arena, string(*ret, "stripe"), NULL, "change", err) < 0)
        return -1;
    return ask_change(scope, subscription, c, ret, err);
}

static void add_items(struct buffer *form, const char *prefix, const json_t *checked, const struct change *c)
{
    struct arena *arena = arena_create();
    stripe_form(form, arena_printf(arena, "%s[0][id]", prefix), string(checked, "item"));
    if (c->plan || c->period)
        stripe_form(form, arena_printf(arena, "%s[0][price]", prefix), string(checked, "price"));
    stripe_form_int(form, arena_printf(arena, "%s[0][quantity]", prefix), c->seats >= 0 ? c->seats : number(checked, "seats"));
    arena_destroy(arena);
}

/* More, or something else: paid for at once, or it does not happen. Fewer: a credit on the next invoice. */
static int change_form(struct db_scope *scope, const json_t *checked, const struct change *c, struct intent *intent, struct error *err)
{
    struct buffer form;
    bool fewer = c->seats >= 0 && c->seats < number(checked, "seats") && !c->plan && !c->period;
    bool by_card = strcmp(string(checked, "collection"), "charge_automatically") == 0;
    bool trial = strcmp(string(checked, "status"), "trialing") == 0;
    buffer_init(&form, FORM_MAX);
    if (changes_items(c)) {
        add_items(&form, "items", checked, c);
        stripe_form(&form, "proration_behavior", fewer || trial ? "create_prorations" : "always_invoice");
        if (!fewer && by_card && !trial)
            stripe_form(&form, "payment_behavior", "pending_if_incomplete");
    }
    if (c->proration_date)
        stripe_form_int(&form, "proration_date", c->proration_date);
    if (c->days_until_due)
        stripe_form_int(&form, "days_until_due", c->days_until_due);
    add_purchase_order(&form, c->purchase_order);
    return stripe_form_end(scope->arena, &form, &intent->body, err);
}

static int cancel_form(struct db_scope *scope, const json_t *checked, int cancel, struct intent *intent, struct error *err)
{
    struct buffer form;
    buffer_init(&form, FORM_MAX);
    /* Stripe's own portal sets a date (since 2025-09-30.clover); it is taken back by its own name. */
    if (!cancel && !json_is_true(json_object_get(checked, "cancel_at_period_end")))
        stripe_form(&form, "cancel_at", "");
    else
        stripe_form(&form, "cancel_at_period_end", cancel ? "true" : "false");
    return stripe_form_end(scope->arena, &form, &intent->body, err);
}

static bool changes_something(const json_t *checked, const struct change *c)
{
    if (c->cancel >= 0)
        return json_is_true(json_object_get(checked, "cancels")) != (c->cancel == 1);
    const char *had = string(checked, "purchase_order");
    return c->plan || c->period || (c->seats >= 0 && c->seats != number(checked, "seats")) ||
           (c->purchase_order && !(had && strcmp(had, c->purchase_order) == 0)) ||
           (c->days_until_due && c->days_until_due != number(checked, "days_until_due"));
}

static void change_terms(struct arena *arena, const json_t *checked, const struct change *c, struct intent *intent)
{
    intent->terms = json_object();
    arena_defer(arena, billing_release, intent->terms);
    if (changes_items(c)) /* also of another plan: the request says how many of it */
        intent->seats_after = c->seats >= 0 ? c->seats : number(checked, "seats");
    if (c->seats >= 0)
        json_object_set_new(intent->terms, "seats", json_integer(c->seats));
    if (c->plan || c->period)
        json_object_set(intent->terms, "price", json_object_get(checked, "price"));
    if (c->purchase_order)
        json_object_set_new(intent->terms, "purchase_order", json_string(c->purchase_order));
    if (c->days_until_due)
        json_object_set_new(intent->terms, "days_until_due", json_integer(c->days_until_due));
}

int fiber_fn change_subscription(struct db_scope *scope, const char *subscription, const struct change *change, const struct intent_key *key,
                                 const char **ret_id, struct error *err)
{
    struct intent intent;
    json_t *checked, *object;
    *ret_id = NULL;
    if (check_change(scope, subscription, change, &checked, err) < 0)
        return -1;
    if (!changes_something(checked, change))
        return intent_remember(scope, key, subscription, err);
    if (may_change(scope, checked, change, err) < 0)
        return -1;
    const char *stripe = string(checked, "stripe");
    intent_begin(&intent, change->cancel == 1 ? "cancel" : change->cancel == 0 ? "resume" : "change",
                 arena_printf(scope->arena, "/v1/subscriptions/%s", stripe_escape(scope->arena, stripe)));
    intent.subscription = stripe;
    change_terms(scope->arena, checked, change, &intent);
    int rc = change->cancel >= 0 ? cancel_form(scope, checked, change->cancel, &intent, err) : change_form(scope, checked, change, &intent, err);
    if (rc < 0)
        return -1;
    *ret_id = arena_strdup(scope->arena, intent.id);
    rc = intent_run(scope, &intent, key, &object, err);
    if (rc <= 0 && intent.sent) /* what was refused may have left something behind, too: an invoice, a pending update */
        fetch_changed(scope->arena, stripe, intent.id);
    return rc;
}

static json_t *preview_lines(const json_t *invoice)
{
    json_t *lines = json_array(), *line;
    size_t i;
    json_array_foreach(json_object_get(json_object_get(invoice, "lines"), "data"), i, line)
        json_array_append_new(lines, json_pack("{s:s?,s:O?,s:O?}", "description", string(line, "description"), "amount",
                                               json_object_get(line, "amount"), "period", json_object_get(line, "period")));
    return lines;
}

int fiber_fn preview_change(struct db_scope *scope, const char *subscription, const struct change *change, struct text *ret, struct error *err)
{
    json_t *checked;
    struct buffer form;
    struct stripe_reply reply;
    const char *body;
    char key[UUID_SIZE];
    int64_t now = clock_wall_ms() / 1000;
    if (check_change(scope, subscription, change, &checked, err) < 0 || may_change(scope, checked, change, err) < 0)
        return -1;
    uuid_v7(key);
    buffer_init(&form, FORM_MAX);
    stripe_form(&form, "customer", string(checked, "customer"));
    stripe_form(&form, "subscription", string(checked, "stripe"));
    add_items(&form, "subscription_details[items]", checked, change);
    stripe_form(&form, "subscription_details[proration_behavior]", "always_invoice");
    stripe_form_int(&form, "subscription_details[proration_date]", change->proration_date ? change->proration_date : now);
    if (stripe_form_end(scope->arena, &form, &body, err) < 0)
        return -1;
    stripe_call(scope->arena, &(struct stripe_request){.method = "POST", .path = "/v1/invoices/create_preview", .body = body, .key = key}, &reply);
    if (reply.outcome != STRIPE_DONE)
        return stripe_error(&reply, err);
    json_t *shown = json_pack("{s:O?,s:O?,s:O?,s:I,s:o}", "currency", json_object_get(reply.object, "currency"), "amount_due",
                              json_object_get(reply.object, "amount_due"), "total", json_object_get(reply.object, "total"), "proration_date",
                              (json_int_t)(change->proration_date ? change->proration_date : now), "lines", preview_lines(reply.object));
    *ret = json_render(scope->arena, shown);
    json_decref(shown);
    return 0;
}
