#include "billing/intents.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "billing/billing.h"
#include "billing/billing_internal.h"
#include "billing/billing_sql.h"
#include "billing/lists.h"
#include "billing/sync.h"

enum { PAGE_LIMIT = 100, LOOK_BACK_S = 3600, SETTLED_S = 90 };
enum { ATTEMPTS = 0, RETRY_MAX = 300 }; /* for ever: an open intent holds up its tenant, and an operator sees it */

void intent_begin(struct intent *ret, const char *kind, const char *path)
{
    *ret = (struct intent){.kind = kind, .method = "POST", .path = path, .body = "", .seats_after = -1};
    uuid_v7(ret->id);
}

/* --- What became of it ---------------------------------------------------------------------------------------------- */

static int fiber_fn resolve(struct arena *arena, const char *tenant, const char *id, const char *state, const json_t *object,
                            const struct stripe_reply *why, const char *heard, struct error *err)
{
    struct db_scope nobody = {.arena = arena, .as = DB_AS_NOBODY};
    const char *const params[] = {tenant, id, state, object ? json_render(arena, object).p : NULL,
                                  why ? arena_printf(arena, "%d", why->status) : NULL, why ? why->code : NULL,
                                  why ? why->detail : NULL, heard};
    return db_run(&nobody, sql_intent_resolve, params, NULL, err);
}

static const char *metadata(const json_t *object, const char *name)
{
    return stripe_string(json_object_get(object, "metadata"), name);
}

static bool is_of(const json_t *object, const char *intent)
{
    const char *made_by = metadata(object, "overread_intent");
    return made_by && strcmp(made_by, intent) == 0;
}

struct search {
    struct arena *arena;
    const char *intent;
    json_t *found;
};

static int fiber_fn look_at(void *arg, struct arena *page, json_t *item, struct error *err)
{
    struct search *search = arg;
    (void)page, (void)err;
    if (!is_of(item, search->intent))
        return 0;
    search->found = json_incref(item);
    arena_defer(search->arena, billing_release, item);
    return LIST_ENOUGH;
}

/* To the list's end, however many pages that are (`path` begins it an hour before the intent), or to what was made by the intent. *ret
 * NULL: nothing was. */
static int fiber_fn find_in_list(struct arena *arena, const char *path, const char *intent, json_t **ret, struct error *err)
{
    struct search search = {.arena = arena, .intent = intent};
    const struct list list = {.path = path, .once = true, .each = look_at, .arg = &search};
    char after[STRIPE_ID_MAX + 1] = "";
    int rc;
    while ((rc = list_page(&list, after, err)) > 0)
        ;
    *ret = search.found;
    return rc;
}

struct taken {
    const char *kind, *method, *path, *body, *subscription, *customer;
    const json_t *terms;
    bool old;
    int64_t created;
};

static bool is_as_wanted(const json_t *item, const json_t *wanted)
{
    const json_t *seats = json_object_get(wanted, "seats");
    const char *price = stripe_string(wanted, "price"), *has = stripe_ref(item, "price");
    return item && (!seats || json_equal(seats, json_object_get(item, "quantity"))) && (!price || (has && strcmp(price, has) == 0));
}

/* What the item is to become once an open invoice is paid (pending_if_incomplete); NULL: nothing waits. */
static const json_t *pending_of(const json_t *s, const json_t *item)
{
    const json_t *items = json_object_get(json_object_get(s, "pending_update"), "subscription_items"), *one;
    size_t i;
    json_array_foreach(items, i, one)
    {
        const char *id = stripe_string(one, "id"), *wanted = stripe_string(item, "id");
        if (id && wanted && strcmp(id, wanted) == 0)
            return one;
    }
    return NULL;
}

/* Of its invoices. */
static bool has_terms(const json_t *wanted, const json_t *s)
{
    const json_t *days = json_object_get(wanted, "days_until_due");
    const json_t *fields = json_object_get(json_object_get(s, "invoice_settings"), "custom_fields");
    const char *number = stripe_string(wanted, "purchase_order"), *has = stripe_string(json_array_get(fields, 0), "value");
    return (!days || json_equal(days, json_object_get(s, "days_until_due"))) && (!number || (has && strcmp(number, has) == 0));
}

/* A change has no mark of its own: it was applied when the subscription is what it was to become, or will be that when it is paid. */
static bool became(const struct taken *t, const json_t *s)
{
    const json_t *item = json_array_get(json_object_get(json_object_get(s, "items"), "data"), 0);
    bool cancels = json_is_true(json_object_get(s, "cancel_at_period_end")) || json_is_integer(json_object_get(s, "cancel_at"));
    if (strcmp(t->kind, "cancel") == 0)
        return cancels;
    if (strcmp(t->kind, "resume") == 0)
        return !cancels;
    return (is_as_wanted(item, t->terms) || is_as_wanted(pending_of(s, item), t->terms)) && has_terms(t->terms, s);
}

/* Stripe's word on what the intent made or changed. *ret NULL: it was not applied. */
static int fiber_fn look_up(struct arena *arena, const struct taken *t, const char *intent, json_t **ret, struct error *err)
{
    struct stripe_reply reply;
    const char *since = arena_printf(arena, "limit=%d&created[gte]=%lld", PAGE_LIMIT, (long long)(t->created - LOOK_BACK_S));
    if (strcmp(t->kind, "customer") == 0)
        return find_in_list(arena, arena_printf(arena, "/v1/customers?%s", since), intent, ret, err);
    /* A customer that is gone meanwhile has left us no name to look by. */
    const char *of = t->customer ? arena_printf(arena, "&customer=%s", stripe_escape(arena, t->customer)) : "";
    if (strcmp(t->kind, "checkout") == 0)
        return find_in_list(arena, arena_printf(arena, "/v1/checkout/sessions?%s%s", since, of), intent, ret, err);
    if (strcmp(t->kind, "subscribe") == 0)
        return find_in_list(arena, arena_printf(arena, "/v1/subscriptions?%s&status=all%s", since, of), intent, ret, err);
    *ret = NULL;
    if (!t->subscription)
        return 0; /* asking again is harmless, and says the same */
    const char *path = arena_printf(arena, "/v1/subscriptions/%s", stripe_escape(arena, t->subscription));
    stripe_call(arena, &(struct stripe_request){.method = "GET", .path = path, .once = true}, &reply);
    if (reply.outcome == STRIPE_MISSING)
        return 0;
    if (reply.outcome != STRIPE_DONE)
        return stripe_error(&reply, err);
    if (became(t, reply.object))
        *ret = reply.object;
    return 0;
}

/* --- In a request --------------------------------------------------------------------------------------------------- */

static int fiber_fn write_down(struct db_scope *scope, const struct intent *i, const struct intent_key *key, struct error *err)
{
    json_t *json = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s?,s:s?}", "intent", i->id, "kind", i->kind, "method", i->method, "path", i->path, "body",
                             i->body, "subscription", i->subscription, "quote", i->quote);
    if (i->seats_after >= 0)
        json_object_set_new(json, "seats_after", json_integer(i->seats_after));
    if (i->terms)
        json_object_set(json, "terms", i->terms);
    const char *const params[] = {json_render(scope->arena, json).p, key ? key->key : NULL, key ? key->request_sha256 : NULL};
    json_decref(json);
    return db_run(scope, sql_intent_open, params, NULL, err);
}

int fiber_fn intent_repeated(struct db_scope *scope, const struct intent_key *key, const char **ret_intent, const char **ret_subscription,
                             struct error *err)
{
    const struct db_result *res;
    *ret_intent = *ret_subscription = NULL;
    if (!key->key)
        return 0;
    if (db_run(scope, sql_request_repeated, (const char *const[]){key->key, key->request_sha256}, &res, err) < 0)
        return -1;
    if (!db_is_null(res, 0, 0))
        *ret_intent = db_string(res, 0, 0);
    if (!db_is_null(res, 0, 1))
        *ret_subscription = db_string(res, 0, 1);
    return 0;
}

int fiber_fn intent_remember(struct db_scope *scope, const struct intent_key *key, const char *resource, struct error *err)
{
    if (!key->key)
        return 0;
    return db_run(scope, sql_request_remember, (const char *const[]){key->key, key->request_sha256, resource}, NULL, err);
}

int fiber_fn intent_run(struct db_scope *scope, struct intent *intent, const struct intent_key *key, json_t **ret, struct error *err)
{
    struct stripe_reply reply;
    struct error ignored;
    if (write_down(scope, intent, key, err) < 0)
        return -1;
    const struct stripe_request request = {.method = intent->method, .path = intent->path, .body = intent->body, .key = intent->id};
    intent->sent = true;
    stripe_call(scope->arena, &request, &reply);
    if (reply.outcome == STRIPE_UNKNOWN)
        return 1;
    bool done = reply.outcome == STRIPE_DONE;
    /* If this cannot be written, the job will hear the same from Stripe. */
    if (resolve(scope->arena, scope->tenant_id, intent->id, done ? "done" : "failed", reply.object, done ? NULL : &reply, NULL, &ignored) < 0)
        return 1;
    *ret = reply.object;
    return done ? 0 : stripe_error(&reply, err);
}

/* --- The job -------------------------------------------------------------------------------------------------------- */

static void take_from(const struct db_result *res, struct taken *ret)
{
    *ret = (struct taken){.kind = db_string(res, 0, 0), .method = db_string(res, 0, 1), .path = db_string(res, 0, 2),
                          .body = db_string(res, 0, 3), .subscription = db_is_null(res, 0, 4) ? NULL : db_string(res, 0, 4),
                          .customer = db_is_null(res, 0, 5) ? NULL : db_string(res, 0, 5), .old = db_bool(res, 0, 7),
                          .created = db_int(res, 0, 8)};
}

static bool makes_something(const char *kind)
{
    return strcmp(kind, "customer") == 0 || strcmp(kind, "checkout") == 0 || strcmp(kind, "subscribe") == 0;
}

/* An answer that will not get better: Stripe says so, or it is the 500 that Stripe keeps under the key and gives again. One of a
 * request that is still worked on would be a 409. */
static bool no_more_to_hear(const struct taken *t, const struct stripe_reply *reply)
{
    return reply->outcome == STRIPE_UNKNOWN && (reply->never_again || reply->status == 500) && clock_wall_ms() / 1000 - t->created > SETTLED_S;
}

/* Sends it again, or looks for what it made; one of them says what became of it. */
static int fiber_fn find_out(struct arena *arena, const struct taken *t, const char *id, struct stripe_reply *ret, struct error *err)
{
    json_t *found = NULL;
    *ret = (struct stripe_reply){.code = "", .detail = "", .parameter = ""};
    /* First a look: should Stripe have forgotten the key already, the same request would make a second one. */
    if ((t->old || makes_something(t->kind)) && look_up(arena, t, id, &found, err) < 0)
        return -1;
    if (!found && !t->old)
        stripe_call(arena, &(struct stripe_request){.method = t->method, .path = t->path, .body = t->body, .key = id, .once = true}, ret);
    if (!found && (t->old || no_more_to_hear(t, ret))) {
        if (look_up(arena, t, id, &found, err) < 0)
            return -1;
        if (!found)
            *ret = (struct stripe_reply){.outcome = STRIPE_REFUSED, .code = STRIPE_NOT_APPLIED, .parameter = "",
                                         .detail = "The payment service did not get to it: nothing was changed or charged. It may be ordered again."};
    }
    if (found)
        *ret = (struct stripe_reply){.outcome = STRIPE_DONE, .object = found, .code = "", .detail = "", .parameter = ""};
    return 0;
}

static int fiber_fn run_again(struct job *job, struct error *err)
{
    struct arena *arena = job->scope.arena;
    struct db_scope nobody = {.arena = arena, .as = DB_AS_NOBODY};
    const struct db_result *res;
    json_t *payload, *terms;
    struct taken taken;
    struct stripe_reply reply;
    if (json_parse(arena, job->payload, &payload, err) < 0)
        return -1;
    const char *id = stripe_string(payload, "intent"), *tenant = stripe_string(payload, "tenant");
    if (!id || !tenant) {
        job->hopeless = true;
        return error_set(err, ERROR_INVALID, "payload_broken", NULL, "The job names no intent.");
    }
    if (db_run(&nobody, sql_intent_take, (const char *const[]){tenant, id}, &res, err) < 0)
        return -1;
    if (db_rows(res) == 0)
        return 0;
    take_from(res, &taken);
    if (json_parse(arena, db_text(res, 0, 6), &terms, err) < 0)
        return -1;
    taken.terms = terms;
    if (find_out(arena, &taken, id, &reply, err) < 0)
        return -1;
    if (reply.outcome == STRIPE_UNKNOWN)
        return stripe_error(&reply, err);
    if (db_run(&nobody, sql_intent_heard, NULL, &res, err) < 0)
        return -1;
    const char *heard = db_string(res, 0, 0);
    bool done = reply.outcome == STRIPE_DONE;
    const char *subscription = taken.subscription ? taken.subscription : strcmp(taken.kind, "subscribe") == 0 ? stripe_string(reply.object, "id") : NULL;
    /* Who reads that it is done finds it counted; what cannot be fetched now, a job of its own fetches: this one ends with the intent. */
    if (done && subscription && sync_or_queue(arena, subscription, id, err) < 0)
        return -1;
    return resolve(arena, tenant, id, done ? "done" : "failed", reply.object, done ? NULL : &reply, heard, err);
}

const struct job_kind billing_intent_job = {
    .kind = "billing_intent", .run = run_again, .max_attempts = ATTEMPTS, .retry_max_seconds = RETRY_MAX};
