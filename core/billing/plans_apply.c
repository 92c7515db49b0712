#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "billing/billing_internal.h"
#include "billing/operator.h"
#include "billing/operator_sql.h"
#include "billing/stripe.h"

enum { TURNS = 3, PAGE = 100, PRICES_READ_MAX = 10000 };

struct apply {
    struct db_session *admin;
    struct arena *arena;
    struct plans *plans;
    json_t **known; /* rows of operator_plans */
    size_t known_count;
    bool write;
    void (*tell)(const char *line);
    size_t differences;
};

/* --- What is there ---------------------------------------------------------------------------------------------------- */

/* NULL at 404, or when Stripe says that it was deleted. */
static int get(struct arena *arena, const char *path, const json_t **ret, struct error *err)
{
    struct stripe_reply reply;
    stripe_call(arena, &(struct stripe_request){.method = "GET", .path = path, .here = true}, &reply);
    if (reply.outcome != STRIPE_DONE && reply.outcome != STRIPE_MISSING)
        return stripe_error(&reply, err);
    *ret = json_is_true(json_object_get(reply.object, "deleted")) ? NULL : reply.object;
    return 0;
}

/* All prices that a product ever had. */
static int get_prices(struct arena *arena, const char *product, const json_t **ret, struct error *err)
{
    json_t *all = json_array();
    const char *after = "";
    arena_defer(arena, billing_release, all);
    *ret = all;
    for (;;) {
        const json_t *page, *data, *price;
        size_t i;
        if (get(arena, arena_printf(arena, "/v1/prices?limit=%d&product=%s%s", PAGE, product, after), &page, err) < 0)
            return -1;
        data = json_object_get(page, "data");
        json_array_foreach(data, i, price)
        {
            const char *id = stripe_string(price, "id");
            json_array_append(all, json_array_get(data, i));
            after = id ? arena_printf(arena, "&starting_after=%s", stripe_escape(arena, id)) : after;
        }
        if (!json_is_true(json_object_get(page, "has_more")) || json_array_size(data) == 0)
            return 0;
        if (json_array_size(all) > PRICES_READ_MAX)
            return error_set(err, ERROR_TOO_LARGE, "too_many_prices", NULL, "%s has more than %d prices at Stripe.", product, PRICES_READ_MAX);
    }
}

static int read_known(struct apply *a, struct error *err)
{
    const struct db_result *res;
    if (db_session_run(a->admin, a->arena, sql_operator_plans, NULL, &res, err) < 0)
        return -1;
    a->known_count = (size_t)db_rows(res);
    a->known = arena_array(a->arena, a->known_count + 1, sizeof(*a->known));
    for (size_t i = 0; i < a->known_count; i++)
        if (json_parse(a->arena, db_text(res, (int)i, 0), &a->known[i], err) < 0)
            return -1;
    return 0;
}

static int check_modalities(struct apply *a, struct error *err)
{
    const struct db_result *res;
    const char *const params[] = {json_render(a->arena, a->plans->json).p};
    if (db_session_run(a->admin, a->arena, sql_operator_modality_unknown, params, &res, err) < 0)
        return -1;
    if (db_rows(res) == 0)
        return 0;
    return error_set(err, ERROR_UNPROCESSABLE, "modality_not_found", db_string(res, 0, 0), "There is no modality %s.", db_string(res, 0, 1));
}

/* --- Doing it ----------------------------------------------------------------------------------------------------------- */

/* The same in every run, so that a run that was killed while Stripe worked, and the next, make one. `turn`: Stripe may keep a
 * failure of its own under a key. */
static const char *make_key(struct arena *arena, const struct plan_step *step, int turn)
{
    char hash[SHA256_HEX_SIZE];
    const char *text = arena_printf(arena, "%s\n%s\n%d", step->path, step->body, turn);
    crypto_sha256_hex(text, strlen(text), hash);
    return arena_printf(arena, "overread-plan-%s", hash);
}

/* What Stripe has made of it, or NULL. */
static int look(struct arena *arena, const struct plan_step *step, const char **ret, struct error *err)
{
    const json_t *object;
    *ret = NULL;
    if (get(arena, step->look, &object, err) < 0)
        return -1;
    if (step->price) {
        object = json_array_get(json_object_get(object, "data"), 0);
        if (!object || !plan_price_fits(object, step->plan, step->price))
            return 0;
    }
    *ret = stripe_string(object, "id");
    return 0;
}

/* Stripe has answered for good, without saying what became of it: another key is another request. */
static bool is_settled(const struct stripe_reply *reply)
{
    return reply->status == 500 || strcmp(reply->code, "idempotency_error") == 0;
}

static int make(struct arena *arena, const struct plan_step *step, struct error *err)
{
    const char *id = NULL;
    for (int turn = 0; !id && turn < TURNS; turn++) {
        struct stripe_reply reply;
        stripe_call(arena, &(struct stripe_request){.method = "POST", .path = step->path, .body = step->body, .here = true,
                                                    .key = make_key(arena, step, turn)}, &reply);
        id = reply.outcome == STRIPE_DONE ? stripe_string(reply.object, "id") : NULL;
        bool there = strcmp(reply.code, "resource_already_exists") == 0;
        if (!id && (reply.outcome == STRIPE_UNKNOWN || there) && look(arena, step, &id, err) < 0)
            return -1;
        if (!id && !is_settled(&reply))
            return reply.outcome == STRIPE_DONE ? error_set(err, ERROR_UNAVAILABLE, "form_unknown", NULL, "Stripe answered without an id.")
                                                : stripe_error(&reply, err);
    }
    if (!id)
        return error_set(err, ERROR_UNAVAILABLE, "billing_away", NULL, "Stripe fails again and again to do this: %s", step->line);
    if (step->price)
        step->price->price = id;
    return 0;
}

/* Repeating it is harmless, but the same key a second time, when it was changed back in between, would do nothing. */
static int change(struct arena *arena, const struct plan_step *step, struct error *err)
{
    struct stripe_reply reply;
    char key[UUID_SIZE];
    uuid_v7(key);
    stripe_call(arena, &(struct stripe_request){.method = "POST", .path = step->path, .body = step->body, .here = true, .key = key}, &reply);
    return reply.outcome == STRIPE_DONE ? 0 : stripe_error(&reply, err);
}

static int do_step(struct apply *a, const struct plan_step *step, struct error *err)
{
    switch (step->act) {
    case PLAN_MAKE:
        return make(a->arena, step, err);
    case PLAN_CHANGE:
        return change(a->arena, step, err);
    case PLAN_STORE:
        return db_session_run(a->admin, a->arena, sql_operator_plan_store, (const char *const[]){plan_document(a->arena, step->wanted).p},
                              NULL, err);
    case PLAN_RETIRE:
        return db_session_run(a->admin, a->arena, sql_operator_plan_retire, (const char *const[]){step->plan}, NULL, err);
    }
    return 0;
}

static int do_steps(struct apply *a, const struct plan_steps *steps, struct error *err)
{
    for (size_t i = 0; i < steps->count; i++) {
        if (a->write && do_step(a, &steps->items[i], err) < 0)
            return -1;
        a->tell(steps->items[i].line);
        a->differences++;
    }
    return 0;
}

/* --- All plans ---------------------------------------------------------------------------------------------------------- */

static int compare(struct apply *a, struct plan *wanted, const json_t *known, struct plan_steps *ret, struct error *err)
{
    const char *name = plan_product(a->arena, wanted ? wanted->id : stripe_string(known, "plan"));
    const json_t *product, *prices = NULL;
    if (get(a->arena, arena_printf(a->arena, "/v1/products/%s", name), &product, err) < 0 ||
        (product && get_prices(a->arena, name, &prices, err) < 0))
        return -1;
    return plan_compare(a->arena, wanted, known, product, prices, ret, err);
}

static struct plan *in_file(const struct apply *a, const char *id)
{
    for (size_t i = 0; i < a->plans->count; i++)
        if (strcmp(a->plans->items[i].id, id) == 0)
            return &a->plans->items[i];
    return NULL;
}

static const json_t *in_database(const struct apply *a, const char *id)
{
    for (size_t i = 0; i < a->known_count; i++)
        if (strcmp(stripe_string(a->known[i], "plan"), id) == 0)
            return a->known[i];
    return NULL;
}

/* All is compared before anything is done: what is wrong with the last plan leaves the first as it is. */
static int run(struct apply *a, struct error *err)
{
    size_t n = 0;
    struct plan_steps *steps = arena_array(a->arena, a->plans->count + a->known_count + 1, sizeof(*steps));
    for (size_t i = 0; i < a->plans->count; i++)
        if (compare(a, &a->plans->items[i], in_database(a, a->plans->items[i].id), &steps[n++], err) < 0)
            return -1;
    for (size_t i = 0; i < a->known_count; i++)
        if (!in_file(a, stripe_string(a->known[i], "plan")) && compare(a, NULL, a->known[i], &steps[n++], err) < 0)
            return -1;
    for (size_t i = 0; i < n; i++)
        if (do_steps(a, &steps[i], err) < 0)
            return -1;
    return 0;
}

int plans_apply(struct db_session *admin, struct arena *arena, struct plans *plans, bool write, void (*tell)(const char *line),
                size_t *ret, struct error *err)
{
    struct apply a = {.admin = admin, .arena = arena, .plans = plans, .write = write, .tell = tell};
    if (!stripe_configured())
        return error_set(err, ERROR_UNAVAILABLE, "billing_not_configured", "stripe_key",
                         "The configuration has no stripe_key: plans are sold through Stripe.");
    if ((write && db_session_run(admin, arena, sql_operator_plans_lock, NULL, NULL, err) < 0) || check_modalities(&a, err) < 0 ||
        read_known(&a, err) < 0 || run(&a, err) < 0)
        return -1;
    *ret = a.differences;
    return 0;
}
