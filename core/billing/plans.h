/* Plans as an operator's file says them (PLANS.md): a pure parser, and what has to be done so that Stripe and the database agree. */
#ifndef OVERREAD_BILLING_PLANS_H
#define OVERREAD_BILLING_PLANS_H

#include "base/json.h"

enum { PLANS_MAX = 100, PLAN_PRICES_MAX = 100, PLAN_AMOUNT_MAX = 99999999, PLANS_FILE_MAX = 1 << 20 };

struct plan_price {
    const char *period, *currency;
    int64_t amount;    /* minor units */
    const char *price; /* Stripe's id; NULL: it has none yet */
};

struct plan {
    size_t place; /* in the file, from 0 */
    const char *id, *title, *description, *audience;
    const json_t *modalities; /* array of strings, or null: all */
    int64_t trial_days, grace_days;
    bool trial_with_card;
    struct plan_price *prices;
    size_t price_count;
};

struct plans {
    struct plan *items;
    size_t count;
    const json_t *json; /* the array, as it stands in the file */
};

/* Everything is in the arena. 0; or -1 and err->field is a JSON pointer into the file. Whether the modalities exist is not known
 * here. */
int plans_parse(struct arena *arena, struct text text, struct plans *ret, struct error *err);

const char *plan_product(struct arena *arena, const char *plan); /* Stripe's id of the product */
/* A text that all prices have that were ever sold for this; one holds it at a time. */
const char *plan_lookup_key(struct arena *arena, const char *plan, const struct plan_price *price);

/* --- What has to be done -------------------------------------------------------------------------------------------- */

enum plan_act {
    PLAN_MAKE,   /* a request that makes something: once, whatever happens */
    PLAN_CHANGE, /* a request that may be repeated */
    PLAN_STORE,  /* the database takes the plan in; Stripe has all of it by then */
    PLAN_RETIRE, /* the database takes it off sale */
};

struct plan_step {
    enum plan_act act;
    const char *line;          /* for people: "+ price solo month gbp 1999" */
    const char *plan;          /* its id */
    const char *path, *body;   /* of a request */
    const char *look;          /* path that shows what PLAN_MAKE would make, if it is there: one object, or a list of at most one */
    struct plan_price *price;  /* PLAN_MAKE: this one, whose id the answer gives; NULL: the product */
    const struct plan *wanted; /* PLAN_STORE */
};

struct plan_steps {
    struct plan_step *items;
    size_t count;
};

/* wanted: NULL when the file does not have it (any more). known: as the statement operator_plans gives it, or NULL. product and
 * prices: as Stripe has them; product NULL: it has none. Sets the ids of wanted's prices that are there. What adds comes before the
 * database's step, what takes away after it: what the database sells can be bought at any moment. */
int plan_compare(struct arena *arena, struct plan *wanted, const json_t *known, const json_t *product, const json_t *prices,
                 struct plan_steps *ret, struct error *err);

/* Is it the price that was wanted? For who looks whether a request that nobody answered made it. */
bool plan_price_fits(const json_t *object, const char *plan, const struct plan_price *price);

/* As the function plan_store (migrations/0022) takes it. */
struct text plan_document(struct arena *arena, const struct plan *plan);

#endif
