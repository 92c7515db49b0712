#include "billing/sync.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/loop.h"
#include "billing/billing.h"
#include "billing/billing_sql.h"
#include "billing/lists.h"

enum { WAIT_TURNS = 20, WAIT_MS = 250, BUSY_AGAIN_S = 5, PAGES_AT_ONCE = 20 }; /* pages of a run, which has its lease for two minutes */
enum { EVENT_ATTEMPTS = 600, RETRY_MAX = 600 }; /* three days or more, as Stripe itself tries: half of each pause is random */
enum { TICK_S = 30, TICK_TENANTS = 500, RECONCILE_S = 300, NIGHTLY_S = 86400 };
#define AGAIN_S "30"

static struct db_scope nobody(struct arena *arena)
{
    return (struct db_scope){.arena = arena, .as = DB_AS_NOBODY};
}

static const char *path_of(struct arena *arena, const char *collection, const char *id)
{
    return arena_printf(arena, "/v1/%s/%s", collection, stripe_escape(arena, id));
}

/* --- One subscription ----------------------------------------------------------------------------------------------- */

/* 1: the lock is ours; 0: what is kept is fresh. */
static int fiber_fn lock(struct db_scope *scope, const char *id, const char *holder, const char *since, struct error *err)
{
    const struct db_result *res;
    for (int turn = 0;; turn++) {
        if (db_run(scope, sql_stripe_lock, (const char *const[]){id, holder, since}, &res, err) < 0)
            return -1;
        if (text_is(db_text(res, 0, 0), "locked"))
            return 1;
        if (text_is(db_text(res, 0, 0), "fresh"))
            return 0;
        if (turn == WAIT_TURNS) {
            error_set(err, ERROR_UNAVAILABLE, "sync_busy", NULL, "Somebody else fetches this subscription just now.");
            err->retry_after = BUSY_AGAIN_S;
            return -1;
        }
        loop_sleep(loop_here(), WAIT_MS);
    }
}

/* *ret: what was fetched; NULL: nothing was. */
static int fiber_fn fetch_and_keep(struct arena *arena, const char *stripe_id, const char *since, const char *cause, const json_t **ret,
                                   struct error *err)
{
    struct db_scope scope = nobody(arena);
    struct stripe_reply reply;
    struct error ignored;
    char holder[UUID_SIZE];
    uuid_v7(holder);
    *ret = NULL;
    int rc = lock(&scope, stripe_id, holder, since, err);
    if (rc <= 0)
        return rc;
    stripe_call(arena, &(struct stripe_request){.method = "GET", .path = path_of(arena, "subscriptions", stripe_id)}, &reply);
    if (reply.outcome == STRIPE_DONE || reply.outcome == STRIPE_MISSING) {
        const char *object = reply.object ? json_render(arena, reply.object).p : NULL;
        *ret = reply.object;
        rc = db_run(&scope, sql_subscription_store, (const char *const[]){stripe_id, holder, object, cause}, NULL, err);
    } else {
        rc = stripe_error(&reply, err);
    }
    if (rc < 0)
        db_run(&scope, sql_stripe_unlock, (const char *const[]){stripe_id, holder}, NULL, &ignored);
    return rc;
}

int fiber_fn sync_subscription(struct arena *arena, const char *stripe_id, const char *since, const char *cause, struct error *err)
{
    const json_t *fetched;
    return fetch_and_keep(arena, stripe_id, since, cause, &fetched, err);
}

int fiber_fn sync_or_queue(struct arena *arena, const char *stripe_id, const char *cause, struct error *err)
{
    struct db_scope scope = nobody(arena);
    struct error late;
    if (sync_subscription(arena, stripe_id, NULL, cause, &late) == 0)
        return 0;
    return db_run(&scope, sql_stripe_sync_queue, (const char *const[]){stripe_id, "0"}, NULL, err);
}

static int fiber_fn sync_customers(struct arena *arena, const char *customer, const char *since, const char *cause, struct error *err)
{
    struct db_scope scope = nobody(arena);
    const struct db_result *res;
    if (db_run(&scope, sql_subscriptions_of_customer, (const char *const[]){customer}, &res, err) < 0)
        return -1;
    for (int i = 0; i < db_rows(res); i++)
        if (sync_subscription(arena, db_string(res, i, 0), since, cause, err) < 0)
            return -1;
    return 0;
}

/* One that Stripe does not know, of another mode or account by now, is over when its time is. */
static bool fiber_fn checkout_is_past(struct db_scope *scope, const char *session)
{
    const struct db_result *res;
    struct error ignored;
    return db_run(scope, sql_checkout_settle, (const char *const[]){session, "missing", NULL}, &res, &ignored) == 0 && db_bool(res, 0, 0);
}

int fiber_fn sync_checkout(struct arena *arena, const char *session, const char *cause, const char **ret, struct error *err)
{
    struct db_scope scope = nobody(arena);
    struct stripe_reply reply;
    stripe_call(arena, &(struct stripe_request){.method = "GET", .path = path_of(arena, "checkout/sessions", session)}, &reply);
    if (reply.outcome == STRIPE_MISSING && checkout_is_past(&scope, session)) {
        *ret = "expired";
        return 0;
    }
    if (reply.outcome != STRIPE_DONE)
        return stripe_error(&reply, err);
    const char *state = stripe_string(reply.object, "status"), *subscription = stripe_ref(reply.object, "subscription");
    *ret = state ? state : "open";
    if (db_run(&scope, sql_checkout_settle, (const char *const[]){session, *ret, subscription}, NULL, err) < 0)
        return -1;
    return subscription ? sync_subscription(arena, subscription, NULL, cause, err) : 0;
}

/* --- One event ------------------------------------------------------------------------------------------------------ */

/* How an event ends when nothing went wrong. */
struct outcome {
    const char *state, *note;
};
static const struct outcome DONE = {"done", ""}, FOREIGN = {"foreign", "not of a customer of ours"};

static int fiber_fn is_ours(struct arena *arena, const char *customer, const char *subscription, bool *ret, struct error *err)
{
    struct db_scope scope = nobody(arena);
    const struct db_result *res;
    if (db_run(&scope, sql_customer_is_ours, (const char *const[]){customer, subscription}, &res, err) < 0)
        return -1;
    *ret = db_bool(res, 0, 0);
    return 0;
}

static bool tell_the_same(const json_t *told, const json_t *fetched)
{
    static const char *const members[] = {"status", "items", "cancel_at", "cancel_at_period_end", "ended_at", "pending_update"};
    for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++)
        if (!json_equal(json_object_get(told, members[i]), json_object_get(fetched, members[i])))
            return false;
    return true;
}

/* What Stripe told and what it answered differ: one of them is old news. If that was the answer, a later one will not be. What
 * another has fetched meanwhile may be old, too, and is not here to compare: so it is fetched each time. */
static int fiber_fn sync_told(struct arena *arena, const char *id, const json_t *told, const char *event, struct error *err)
{
    struct db_scope scope = nobody(arena);
    const json_t *fetched;
    if (fetch_and_keep(arena, id, NULL, event, &fetched, err) < 0)
        return -1;
    if (fetched && tell_the_same(told, fetched))
        return 0;
    return db_run(&scope, sql_stripe_sync_queue, (const char *const[]){id, AGAIN_S}, NULL, err);
}

/* The payload only says what to look at. Its form may be any version's: what is not found in it is looked for by the customer. */
static int fiber_fn follow(struct arena *arena, const char *type, const json_t *object, const char *since, const char *event,
                           struct outcome *ret, struct error *err)
{
    const char *id = stripe_string(object, "id"), *kind = stripe_string(object, "object"), *state;
    const char *customer = kind && strcmp(kind, "customer") == 0 ? id : stripe_ref(object, "customer");
    const json_t *details = json_object_get(json_object_get(object, "parent"), "subscription_details");
    bool tells = strncmp(type, "customer.subscription.", 22) == 0;
    const char *subscription = tells ? id : stripe_ref(details, "subscription");
    struct db_scope scope = nobody(arena);
    bool ours;
    *ret = DONE;
    if (strcmp(type, "customer.deleted") == 0) { /* its subscriptions have ended with it */
        if (id && sync_customers(arena, id, since, event, err) < 0)
            return -1;
        return id ? db_run(&scope, sql_customer_is_gone, (const char *const[]){id}, NULL, err) : 0;
    }
    if (is_ours(arena, customer, subscription, &ours, err) < 0)
        return -1;
    if (!ours) {
        *ret = FOREIGN;
        return 0;
    }
    if (strncmp(type, "checkout.session.", 17) == 0)
        return id ? sync_checkout(arena, id, event, &state, err) : 0;
    if (tells && id)
        return sync_told(arena, id, object, event, err);
    return subscription ? sync_subscription(arena, subscription, since, event, err) : sync_customers(arena, customer, since, event, err);
}

/* A dispute names a payment alone: its invoice says whose it is. What it says of itself is for the operator's eyes, and changes nothing. */
static int fiber_fn follow_dispute(struct arena *arena, const json_t *e, struct outcome *ret, struct error *err)
{
    struct db_scope scope = nobody(arena);
    const struct db_result *res;
    struct stripe_reply reply;
    const json_t *dispute = json_object_get(json_object_get(e, "data"), "object");
    const char *payment = stripe_ref(dispute, "payment_intent");
    *ret = FOREIGN;
    if (!payment || !stripe_string(dispute, "id"))
        return 0; /* of no invoice, so of nothing that is sold here */
    const char *path = arena_printf(arena, "/v1/invoice_payments?payment[type]=payment_intent&payment[payment_intent]=%s&expand[]=data.invoice",
                                    stripe_escape(arena, payment));
    stripe_call(arena, &(struct stripe_request){.method = "GET", .path = path}, &reply);
    if (reply.outcome == STRIPE_MISSING)
        return 0;
    if (reply.outcome != STRIPE_DONE)
        return stripe_error(&reply, err);
    const json_t *invoice = json_object_get(json_array_get(json_object_get(reply.object, "data"), 0), "invoice");
    const char *subscription = stripe_ref(json_object_get(json_object_get(invoice, "parent"), "subscription_details"), "subscription");
    const char *happened = arena_printf(arena, "%lld", (long long)json_integer_value(json_object_get(e, "created")));
    const char *const params[] = {stripe_ref(invoice, "customer"), subscription, json_render(arena, dispute).p, happened};
    if (db_run(&scope, sql_dispute_told, params, &res, err) < 0)
        return -1;
    if (db_bool(res, 0, 0))
        *ret = DONE;
    return 0;
}

static int fiber_fn settle(struct arena *arena, const char *event, const struct outcome *outcome, struct error *err)
{
    struct db_scope scope = nobody(arena);
    return db_run(&scope, sql_stripe_event_settle, (const char *const[]){event, outcome->state, outcome->note}, NULL, err);
}

static const char *payload_string(struct job *job, const char *name, struct error *err)
{
    json_t *payload;
    const char *value = NULL;
    if (json_parse(job->scope.arena, job->payload, &payload, err) == 0 && !(value = stripe_string(payload, name)))
        error_set(err, ERROR_INVALID, "payload_broken", NULL, "The job's payload has no %s.", name);
    job->hopeless = !value;
    return value;
}

static int fiber_fn run_event(struct job *job, struct error *err)
{
    struct arena *arena = job->scope.arena;
    struct db_scope scope = nobody(arena);
    const struct db_result *res;
    json_t *e;
    struct outcome outcome;
    const char *event = payload_string(job, "event", err);
    if (!event || db_run(&scope, sql_stripe_event_raw, (const char *const[]){event}, &res, err) < 0)
        return -1;
    if (db_rows(res) == 0)
        return 0;
    if (json_parse(arena, db_text(res, 0, 0), &e, err) < 0)
        return -1;
    const json_t *object = json_object_get(json_object_get(e, "data"), "object");
    const char *type = stripe_string(e, "type");
    bool disputed = strncmp(type, "charge.dispute.", 15) == 0;
    if ((disputed ? follow_dispute(arena, e, &outcome, err) : follow(arena, type, object, db_string(res, 0, 1), event, &outcome, err)) < 0)
        return -1;
    return settle(arena, event, &outcome, err);
}

static int fiber_fn run_sync(struct job *job, struct error *err)
{
    const char *id = payload_string(job, "subscription", err);
    return id ? sync_subscription(job->scope.arena, id, NULL, "reconcile", err) : -1;
}

/* --- Who has erased the account pays no more ------------------------------------------------------------------------ */

static bool has_ended(const json_t *subscription)
{
    const char *status = stripe_string(subscription, "status");
    return status && (strcmp(status, "canceled") == 0 || strcmp(status, "incomplete_expired") == 0);
}

static int fiber_fn end_subscription(struct arena *arena, const char *id, struct error *err)
{
    struct stripe_reply reply;
    const char *path = path_of(arena, "subscriptions", id), *key = arena_printf(arena, "overread-end-%s", id);
    stripe_call(arena, &(struct stripe_request){.method = "GET", .path = path}, &reply);
    if (reply.outcome == STRIPE_DONE && !has_ended(reply.object))
        stripe_call(arena, &(struct stripe_request){.method = "DELETE", .path = path, .key = key}, &reply);
    if (reply.outcome != STRIPE_DONE && reply.outcome != STRIPE_MISSING)
        return stripe_error(&reply, err);
    return sync_subscription(arena, id, NULL, "erased", err);
}

/* Closes a page to pay at. If somebody paid meanwhile, what was bought is stored by the look at it, and that ends it. A key of its own
 * each time: a 500 that Stripe keeps under one would leave the page open. */
static int fiber_fn end_session(struct arena *arena, const char *id, struct error *err)
{
    struct stripe_reply reply;
    const char *state;
    char key[UUID_SIZE];
    if (sync_checkout(arena, id, "erased", &state, err) < 0)
        return -1;
    if (strcmp(state, "open") != 0)
        return 0;
    uuid_v7(key);
    stripe_call(arena, &(struct stripe_request){.method = "POST", .path = arena_printf(arena, "%s/expire", path_of(arena, "checkout/sessions", id)),
                                                .body = "", .key = key}, &reply);
    if (sync_checkout(arena, id, "erased", &state, err) < 0)
        return -1;
    return strcmp(state, "open") != 0 ? 0 : error_set(err, ERROR_UNAVAILABLE, "still_open", NULL, "The page to pay at is still open.");
}

static int fiber_fn run_end(struct job *job, struct error *err)
{
    struct error none;
    const char *session = payload_string(job, "session", &none);
    if (session)
        return end_session(job->scope.arena, session, err);
    const char *id = payload_string(job, "subscription", err);
    return id ? end_subscription(job->scope.arena, id, err) : -1;
}

/* --- Lists ---------------------------------------------------------------------------------------------------------- */

/* Where the reading of a list stands. */
struct position {
    char after[STRIPE_ID_MAX + 1]; /* "": at its beginning */
    int64_t begun;                 /* Unix seconds; what came since is not in this reading */
};

static int fiber_fn position_get(struct db_scope *scope, const char *list, struct position *ret, struct error *err)
{
    const struct db_result *res;
    *ret = (struct position){.begun = clock_wall_ms() / 1000};
    if (db_run(scope, sql_stripe_position_get, (const char *const[]){list}, &res, err) < 0)
        return -1;
    if (!db_is_null(res, 0, 0)) {
        ret->begun = db_int(res, 0, 1);
        snprintf(ret->after, sizeof(ret->after), "%s", db_string(res, 0, 0));
    }
    return 0;
}

/* at NULL: the list is through, or to be begun anew. */
static int fiber_fn position_set(struct db_scope *scope, const char *list, const struct position *at, struct error *err)
{
    const char *begun = at ? arena_printf(scope->arena, "%lld", (long long)at->begun) : NULL;
    return db_run(scope, sql_stripe_position_set, (const char *const[]){list, at ? at->after : NULL, begun}, NULL, err);
}

/* Reads on, some pages, and keeps the place behind each: what fails, or ends with its server, goes on there. 1: there is more. 0: it
 * is through, and *ret_begun is when its reading began. */
static int fiber_fn read_on(struct arena *arena, const char *name, const struct list *list, int64_t *ret_begun, struct error *err)
{
    struct db_scope scope = nobody(arena);
    struct position at;
    struct error ignored;
    int rc = 1;
    if (position_get(&scope, name, &at, err) < 0)
        return -1;
    *ret_begun = at.begun;
    for (int page = 0; rc > 0 && page < PAGES_AT_ONCE; page++) {
        rc = list_page(list, at.after, err);
        if (rc > 0 && position_set(&scope, name, &at, err) < 0)
            return -1;
    }
    /* Stripe refuses a place that it has forgotten, as it forgets events. */
    if (rc < 0 && at.after[0] && (err->kind == ERROR_NOT_FOUND || err->kind == ERROR_UNPROCESSABLE))
        position_set(&scope, name, NULL, &ignored);
    return rc;
}

static int fiber_fn take_event(void *arg, struct arena *arena, json_t *e, struct error *err)
{
    (void)arg;
    struct db_scope scope = nobody(arena);
    const char *text = json_render(arena, e).p;
    return db_run(&scope, sql_stripe_event_take, (const char *const[]){text, text, "list", STRIPE_VERSION, stripe_livemode() ? "true" : "false"},
                  NULL, err);
}

/* The newest come first: only when all are read the cursor may pass them. */
static int fiber_fn run_reconcile(struct job *job, struct error *err)
{
    struct arena *arena = job->scope.arena;
    struct db_scope scope = nobody(arena);
    const struct db_result *res;
    int64_t begun;
    if (db_run(&scope, sql_stripe_cursor_get, NULL, &res, err) < 0)
        return -1;
    const struct list events = {.path = arena_printf(arena, "/v1/events?limit=100&created[gte]=%s", db_string(res, 0, 0)), .each = take_event};
    int rc = read_on(arena, "events", &events, &begun, err);
    job->again_seconds = rc > 0;
    if (rc != 0)
        return rc < 0 ? -1 : 0;
    if (db_run(&scope, sql_stripe_cursor_set, (const char *const[]){arena_printf(arena, "%lld", (long long)begun)}, NULL, err) < 0)
        return -1;
    return position_set(&scope, "events", NULL, err);
}

static int fiber_fn queue_sync(void *arg, struct arena *arena, json_t *subscription, struct error *err)
{
    (void)arg;
    struct db_scope scope = nobody(arena);
    bool ours;
    const char *id = stripe_string(subscription, "id");
    if (is_ours(arena, stripe_ref(subscription, "customer"), id, &ours, err) < 0)
        return -1;
    return ours ? db_run(&scope, sql_stripe_sync_queue, (const char *const[]){id, "0"}, NULL, err) : 0;
}

static int fiber_fn run_nightly(struct job *job, struct error *err)
{
    struct db_scope scope = nobody(job->scope.arena);
    const struct list all = {.path = "/v1/subscriptions?limit=100&status=all", .each = queue_sync};
    int64_t begun;
    int rc = read_on(job->scope.arena, "subscriptions", &all, &begun, err);
    job->again_seconds = rc > 0;
    return rc == 0 ? position_set(&scope, "subscriptions", NULL, err) : rc < 0 ? -1 : 0;
}

static int fiber_fn run_tick(struct job *job, struct error *err)
{
    struct db_scope scope = nobody(job->scope.arena);
    return db_run(&scope, sql_billing_tick, (const char *const[]){arena_printf(scope.arena, "%d", TICK_TENANTS)}, NULL, err);
}

const struct job_kind billing_event_job = {
    .kind = "stripe_event", .run = run_event, .max_attempts = EVENT_ATTEMPTS, .retry_max_seconds = RETRY_MAX};
const struct job_kind billing_sync_job = {
    .kind = "stripe_sync", .run = run_sync, .max_attempts = EVENT_ATTEMPTS, .retry_max_seconds = RETRY_MAX};
const struct job_kind billing_end_job = {.kind = "billing_end", .run = run_end, .retry_max_seconds = RETRY_MAX};
const struct job_kind billing_tick_job = {.kind = "billing_tick", .run = run_tick, .every_seconds = TICK_S};
const struct job_kind billing_reconcile_job = {.kind = "stripe_reconcile", .run = run_reconcile, .every_seconds = RECONCILE_S};
const struct job_kind billing_nightly_job = {.kind = "stripe_nightly", .run = run_nightly, .every_seconds = NIGHTLY_S};
