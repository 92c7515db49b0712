#include "billing/plans.h"

#include <stdio.h>
#include <string.h>

#include "billing/stripe.h"

enum { BODY_MAX = 8192, LINE_MAX = 4096 };

struct comparison {
    struct arena *arena;
    struct error *err;
    const char *plan, *product;
    struct plan_steps *steps;
    bool failed; /* *err says why */
};

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static const char *of_plan(const json_t *object)
{
    return stripe_string(json_object_get(object, "metadata"), "overread_plan");
}

static struct plan_step *add(struct comparison *c, enum plan_act act, const char *line)
{
    struct plan_step *step = &c->steps->items[c->steps->count++];
    *step = (struct plan_step){.act = act, .line = line, .plan = c->plan};
    return step;
}

/* A step that is a request; finishes the form. */
static struct plan_step *add_request(struct comparison *c, enum plan_act act, const char *line, const char *path, struct buffer *form)
{
    struct plan_step *step = add(c, act, line);
    step->path = path;
    if (stripe_form_end(c->arena, form, &step->body, c->err) < 0)
        c->failed = true;
    return step;
}

static const char *quoted(struct arena *arena, const char *s)
{
    struct buffer b;
    buffer_init(&b, LINE_MAX);
    buffer_json_string(&b, text_of(s));
    const char *ret = arena_copy(arena, b.failed ? "..." : b.p, b.failed ? 3 : b.len);
    buffer_finish(&b);
    return ret;
}

/* --- The product ---------------------------------------------------------------------------------------------------- */

static void make_product(struct comparison *c, const struct plan *wanted)
{
    struct buffer form;
    buffer_init(&form, BODY_MAX);
    stripe_form(&form, "id", c->product);
    stripe_form(&form, "name", wanted->title);
    stripe_form(&form, "description", wanted->description);
    stripe_form(&form, "metadata[overread_plan]", c->plan);
    const char *line = arena_printf(c->arena, "+ product %s %s", c->product, quoted(c->arena, wanted->title));
    struct plan_step *step = add_request(c, PLAN_MAKE, line, "/v1/products", &form);
    step->look = arena_printf(c->arena, "/v1/products/%s", c->product);
}

struct change {
    struct comparison *c;
    struct buffer form;
    const char *words; /* what changes, for the line; "" at first */
};

static void change_text(struct change *change, const char *parameter, const char *word, const char *was, const char *is)
{
    struct arena *arena = change->c->arena;
    if (same(was, is))
        return;
    stripe_form(&change->form, parameter, is);
    change->words = arena_printf(arena, "%s, %s %s -> %s", change->words, word, was ? quoted(arena, was) : "none", quoted(arena, is));
}

static void change_product(struct comparison *c, const struct plan *wanted, const json_t *product)
{
    struct change change = {.c = c, .words = ""};
    buffer_init(&change.form, BODY_MAX);
    change_text(&change, "active", "active", json_is_true(json_object_get(product, "active")) ? "true" : "false", "true");
    change_text(&change, "name", "name", stripe_string(product, "name"), wanted->title);
    change_text(&change, "description", "description", stripe_string(product, "description"), wanted->description);
    change_text(&change, "metadata[overread_plan]", "metadata", of_plan(product), c->plan);
    if (change.words[0])
        add_request(c, PLAN_CHANGE, arena_printf(c->arena, "~ product %s: %s", c->product, change.words + 2),
                    arena_printf(c->arena, "/v1/products/%s", c->product), &change.form);
    else
        buffer_finish(&change.form);
}

static void end_product(struct comparison *c, const json_t *product)
{
    struct buffer form;
    if (!json_is_true(json_object_get(product, "active")))
        return;
    buffer_init(&form, BODY_MAX);
    stripe_form(&form, "active", "false");
    add_request(c, PLAN_CHANGE, arena_printf(c->arena, "- product %s", c->product), arena_printf(c->arena, "/v1/products/%s", c->product),
                &form);
}

/* --- Prices --------------------------------------------------------------------------------------------------------- */

/* Made by plan apply: quotes have prices of the same product too, and so may the operator. */
static bool is_ours(const json_t *price, const char *plan)
{
    const char *key = stripe_string(price, "lookup_key");
    return same(of_plan(price), plan) || (key && strncmp(key, "overread:", 9) == 0);
}

/* All that Stripe does not let anybody change later. */
bool plan_price_fits(const json_t *object, const char *plan, const struct plan_price *price)
{
    const json_t *amount = json_object_get(object, "unit_amount"), *recurring = json_object_get(object, "recurring");
    return is_ours(object, plan) && json_is_integer(amount) && json_integer_value(amount) == price->amount &&
           same(stripe_string(object, "currency"), price->currency) && same(stripe_string(recurring, "interval"), price->period) &&
           json_integer_value(json_object_get(recurring, "interval_count")) == 1 && same(stripe_string(object, "tax_behavior"), "exclusive");
}

static bool is_active(const json_t *price)
{
    return json_is_true(json_object_get(price, "active"));
}

/* The one on sale rather than one that was, and of those the one that holds the key. */
static const json_t *choose(struct comparison *c, const struct plan_price *wanted, const json_t *prices)
{
    const char *key = plan_lookup_key(c->arena, c->plan, wanted);
    const json_t *best = NULL, *it;
    int best_rank = -1;
    size_t i;
    json_array_foreach(prices, i, it)
    {
        int rank = 2 * is_active(it) + same(stripe_string(it, "lookup_key"), key);
        if (rank <= best_rank || !plan_price_fits(it, c->plan, wanted))
            continue;
        best = it;
        best_rank = rank;
    }
    return best;
}

static const char *price_words(struct comparison *c, const char *period, const char *currency, int64_t amount)
{
    return arena_printf(c->arena, "price %s %s %s %lld", c->plan, period, currency, (long long)amount);
}

static void make_price(struct comparison *c, struct plan_price *wanted)
{
    struct buffer form;
    const char *key = plan_lookup_key(c->arena, c->plan, wanted);
    buffer_init(&form, BODY_MAX);
    stripe_form(&form, "product", c->product);
    stripe_form(&form, "currency", wanted->currency);
    stripe_form_int(&form, "unit_amount", wanted->amount);
    stripe_form(&form, "recurring[interval]", wanted->period);
    stripe_form(&form, "tax_behavior", "exclusive");
    stripe_form(&form, "lookup_key", key);
    stripe_form(&form, "transfer_lookup_key", "true");
    stripe_form(&form, "metadata[overread_plan]", c->plan);
    const char *line = arena_printf(c->arena, "+ %s", price_words(c, wanted->period, wanted->currency, wanted->amount));
    struct plan_step *step = add_request(c, PLAN_MAKE, line, "/v1/prices", &form);
    step->look = arena_printf(c->arena, "/v1/prices?limit=1&active=true&lookup_keys[]=%s", stripe_escape(c->arena, key));
    step->price = wanted;
}

/* A price that is there: on sale again, and found by its key. */
static void change_price(struct comparison *c, struct plan_price *wanted, const json_t *price)
{
    struct change change = {.c = c, .words = ""};
    const char *key = plan_lookup_key(c->arena, c->plan, wanted);
    wanted->price = stripe_string(price, "id");
    buffer_init(&change.form, BODY_MAX);
    change_text(&change, "active", "active", is_active(price) ? "true" : "false", "true");
    change_text(&change, "metadata[overread_plan]", "metadata", of_plan(price), c->plan);
    if (!same(stripe_string(price, "lookup_key"), key)) {
        change_text(&change, "lookup_key", "lookup key", stripe_string(price, "lookup_key"), key);
        stripe_form(&change.form, "transfer_lookup_key", "true");
    }
    if (change.words[0])
        add_request(c, PLAN_CHANGE,
                    arena_printf(c->arena, "~ %s (%s): %s", price_words(c, wanted->period, wanted->currency, wanted->amount), wanted->price,
                                 change.words + 2),
                    arena_printf(c->arena, "/v1/prices/%s", stripe_escape(c->arena, wanted->price)), &change.form);
    else
        buffer_finish(&change.form);
}

static bool is_wanted(const struct plan *wanted, const char *price)
{
    for (size_t i = 0; wanted && i < wanted->price_count; i++)
        if (same(wanted->prices[i].price, price))
            return true;
    return false;
}

static void end_prices(struct comparison *c, const struct plan *wanted, const json_t *prices)
{
    const json_t *it;
    size_t i;
    json_array_foreach(prices, i, it)
    {
        struct buffer form;
        const char *id = stripe_string(it, "id"), *period = stripe_string(json_object_get(it, "recurring"), "interval"),
                   *currency = stripe_string(it, "currency");
        if (!id || !is_active(it) || !is_ours(it, c->plan) || is_wanted(wanted, id))
            continue;
        buffer_init(&form, BODY_MAX);
        stripe_form(&form, "active", "false");
        const char *words = price_words(c, period ? period : "once", currency ? currency : "", json_integer_value(json_object_get(it, "unit_amount")));
        add_request(c, PLAN_CHANGE, arena_printf(c->arena, "- %s (%s)", words, id),
                    arena_printf(c->arena, "/v1/prices/%s", stripe_escape(c->arena, id)), &form);
    }
}

/* --- The database --------------------------------------------------------------------------------------------------- */

/* Those that the database sells; how many. */
static size_t sold(const json_t *known, const json_t *on_sale[static PLAN_PRICES_MAX])
{
    const json_t *it;
    size_t i, n = 0;
    json_array_foreach(json_object_get(known, "prices"), i, it)
    {
        if (n < PLAN_PRICES_MAX && json_is_true(json_object_get(it, "on_sale")))
            on_sale[n++] = it;
    }
    return n;
}

static bool sells_as_wanted(const json_t *known, const struct plan *wanted)
{
    const json_t *on_sale[PLAN_PRICES_MAX];
    size_t n = sold(known, on_sale);
    if (n != wanted->price_count)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_wanted(wanted, stripe_string(on_sale[i], "price")))
            return false;
    return true;
}

static const char *words_of(struct arena *arena, const json_t *value)
{
    return value ? json_render(arena, value).p : "none";
}

/* What the database would take over, in words; "": nothing. */
static int differences(struct comparison *c, const struct plan *wanted, const json_t *known, const char **ret, struct error *err)
{
    static const char *const members[] = {"on_sale", "title", "description", "modalities", "trial_days", "trial_with_card",
                                          "grace_days", "place", "product"};
    json_t *doc;
    *ret = "";
    if (json_parse(c->arena, plan_document(c->arena, wanted), &doc, err) < 0)
        return -1;
    json_object_set_new(doc, "on_sale", json_true());
    for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++) {
        const json_t *was = json_object_get(known, members[i]), *is = json_object_get(doc, members[i]);
        if (!json_equal(was, is))
            *ret = arena_printf(c->arena, "%s, %s %s -> %s", *ret, members[i], words_of(c->arena, was), words_of(c->arena, is));
    }
    if (!sells_as_wanted(known, wanted))
        *ret = arena_printf(c->arena, "%s, prices", *ret);
    return 0;
}

static int store(struct comparison *c, const struct plan *wanted, const json_t *known, struct error *err)
{
    const char *words = "";
    if (known && differences(c, wanted, known, &words, err) < 0)
        return -1;
    if (known && !words[0])
        return 0;
    const char *line = known ? arena_printf(c->arena, "~ plan %s: %s", c->plan, words + 2) : arena_printf(c->arena, "+ plan %s", c->plan);
    add(c, PLAN_STORE, line)->wanted = wanted;
    return 0;
}

/* --- All of it ------------------------------------------------------------------------------------------------------ */

static int audience_stays(const struct plan *wanted, const json_t *known, struct error *err)
{
    const char *was = stripe_string(known, "audience");
    char field[64];
    if (!was || strcmp(was, wanted->audience) == 0)
        return 0;
    snprintf(field, sizeof(field), "/plans/%zu/audience", wanted->place);
    return error_set(err, ERROR_CONFLICT, "audience_fixed", field, "The plan %s is for: %s. Make another plan for others.", wanted->id, was);
}

static void wanted_at_stripe(struct comparison *c, struct plan *wanted, const json_t *product, const json_t *prices)
{
    if (product)
        change_product(c, wanted, product);
    else
        make_product(c, wanted);
    for (size_t i = 0; i < wanted->price_count; i++) {
        const json_t *there = choose(c, &wanted->prices[i], prices);
        if (there)
            change_price(c, &wanted->prices[i], there);
        else
            make_price(c, &wanted->prices[i]);
    }
}

int plan_compare(struct arena *arena, struct plan *wanted, const json_t *known, const json_t *product, const json_t *prices,
                 struct plan_steps *ret, struct error *err)
{
    const char *id = wanted ? wanted->id : stripe_string(known, "plan");
    struct comparison c = {.arena = arena, .err = err, .plan = id, .product = plan_product(arena, id), .steps = ret};
    size_t most = 3 + (wanted ? wanted->price_count : 0) + json_array_size(prices);
    *ret = (struct plan_steps){.items = arena_array(arena, most, sizeof(*ret->items))};
    if (wanted && audience_stays(wanted, known, err) < 0)
        return -1;
    if (wanted) {
        wanted_at_stripe(&c, wanted, product, prices);
        if (store(&c, wanted, known, err) < 0)
            return -1;
    } else if (json_is_true(json_object_get(known, "on_sale"))) {
        add(&c, PLAN_RETIRE, arena_printf(arena, "- plan %s", id));
    }
    end_prices(&c, wanted, prices);
    if (!wanted)
        end_product(&c, product);
    return c.failed ? -1 : 0;
}
