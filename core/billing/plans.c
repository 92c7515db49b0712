#include "billing/plans.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MODALITIES_MAX = 100 };

/* Puts a place before err->field. */
static int __attribute__((format(printf, 2, 3))) within(struct error *err, const char *format, ...)
{
    char field[sizeof(err->field)], inner[sizeof(err->field)];
    va_list args;
    memcpy(inner, err->field, sizeof(inner));
    va_start(args, format);
    vsnprintf(field, sizeof(field), format, args);
    va_end(args);
    snprintf(err->field, sizeof(err->field), "%.120s%.120s", field, inner);
    return -1;
}

static int wrong(struct error *err, const char *field, const char *detail)
{
    return error_set(err, ERROR_UNPROCESSABLE, "field_invalid", field, "%s", detail);
}

static bool of_letters(const char *s, const char *letters, size_t min, size_t max)
{
    size_t len = strlen(s);
    return len >= min && len <= max && strspn(s, letters) == len;
}

static bool one_of(const char *s, const char *a, const char *b)
{
    return strcmp(s, a) == 0 || strcmp(s, b) == 0;
}

/* The array `name` with at most `max` objects in it. */
static int get_objects(const json_t *object, const char *name, size_t max, const json_t **ret, struct error *err)
{
    const json_t *array = json_object_get(object, name), *item;
    const char *field = strcmp(name, "plans") == 0 ? "/plans" : "/prices";
    size_t i;
    if (!json_is_array(array) || json_array_size(array) > max)
        return error_set(err, ERROR_UNPROCESSABLE, array ? "field_invalid" : "field_missing", field, "\"%s\" must be a list of up to %zu.",
                         name, max);
    json_array_foreach(array, i, item)
    {
        if (!json_is_object(item)) {
            wrong(err, "", "This must be an object.");
            return within(err, "%s/%zu", field, i);
        }
    }
    *ret = array;
    return 0;
}

/* --- One price ------------------------------------------------------------------------------------------------------ */

static int parse_price(const json_t *item, struct plan_price *ret, struct error *err)
{
    if (json_object_only(item, err, "period", "currency", "amount", NULL) < 0 ||
        json_get_string(item, "period", true, 1, 10, &ret->period, err) < 0 ||
        json_get_string(item, "currency", true, 3, 3, &ret->currency, err) < 0 ||
        json_get_int(item, "amount", true, 0, PLAN_AMOUNT_MAX, &ret->amount, err) < 0)
        return -1;
    if (!one_of(ret->period, "month", "year"))
        return wrong(err, "/period", "A period is month or year.");
    if (!of_letters(ret->currency, "abcdefghijklmnopqrstuvwxyz", 3, 3))
        return wrong(err, "/currency", "A currency is three small letters of ISO 4217: gbp.");
    return 0;
}

static int parse_prices(struct arena *arena, const json_t *item, struct plan *plan, struct error *err)
{
    const json_t *list, *price;
    size_t i;
    if (get_objects(item, "prices", PLAN_PRICES_MAX, &list, err) < 0)
        return -1;
    plan->prices = arena_array(arena, json_array_size(list) + 1, sizeof(*plan->prices));
    json_array_foreach(list, i, price)
    {
        struct plan_price *p = &plan->prices[i];
        int rc = parse_price(price, p, err);
        for (size_t j = 0; rc == 0 && j < i; j++)
            if (strcmp(plan->prices[j].period, p->period) == 0 && strcmp(plan->prices[j].currency, p->currency) == 0)
                rc = wrong(err, "", "There is a price for this period and currency already.");
        if (rc < 0)
            return within(err, "/prices/%zu", i);
        plan->price_count++;
    }
    return 0;
}

/* --- One plan ------------------------------------------------------------------------------------------------------- */

static bool is_plan_id(const char *s)
{
    size_t len = strlen(s);
    return of_letters(s, "abcdefghijklmnopqrstuvwxyz0123456789-", 1, 50) && s[0] != '-' && s[len - 1] != '-';
}

static int check_modality(const json_t *list, size_t i, struct error *err)
{
    const char *name = json_string_value(json_array_get(list, i));
    if (!name || !of_letters(name, "abcdefghijklmnopqrstuvwxyz0123456789_", 1, 60))
        return wrong(err, "", "A modality is a name such as prostate_mri.");
    for (size_t j = 0; j < i; j++)
        if (strcmp(json_string_value(json_array_get(list, j)), name) == 0)
            return wrong(err, "", "This modality stands there twice.");
    return 0;
}

/* Said in any case: who forgets it would sell everything. */
static int parse_modalities(const json_t *item, struct plan *plan, struct error *err)
{
    const json_t *list = json_object_get(item, "modalities");
    if (!list)
        return error_set(err, ERROR_UNPROCESSABLE, "field_missing", "/modalities", "\"modalities\" is required: a list, or null for all.");
    if (!json_is_null(list) && (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > MODALITIES_MAX))
        return wrong(err, "/modalities", "\"modalities\" must be a list with something in it, or null for all, also those to come.");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (check_modality(list, i, err) < 0)
            return within(err, "/modalities/%zu", i);
    plan->modalities = list;
    return 0;
}

static int parse_plan(struct arena *arena, const json_t *item, struct plan *ret, struct error *err)
{
    ret->trial_with_card = true;
    ret->grace_days = 14;
    if (json_object_only(item, err, "id", "title", "description", "audience", "modalities", "trial_days", "trial_with_card", "grace_days",
                         "prices", NULL) < 0 ||
        json_get_string(item, "id", true, 1, 50, &ret->id, err) < 0 || json_get_string(item, "title", true, 1, 200, &ret->title, err) < 0 ||
        json_get_string(item, "description", true, 1, 500, &ret->description, err) < 0 ||
        json_get_string(item, "audience", true, 1, 20, &ret->audience, err) < 0 || parse_modalities(item, ret, err) < 0 ||
        json_get_int(item, "trial_days", false, 0, 365, &ret->trial_days, err) < 0 ||
        json_get_bool(item, "trial_with_card", false, &ret->trial_with_card, err) < 0 ||
        json_get_int(item, "grace_days", false, 0, 90, &ret->grace_days, err) < 0 || parse_prices(arena, item, ret, err) < 0)
        return -1;
    if (!is_plan_id(ret->id))
        return wrong(err, "/id", "An id has small letters, digits and, within it, hyphens: up to 50.");
    if (!one_of(ret->audience, "individual", "organisation"))
        return wrong(err, "/audience", "A plan is for an individual or an organisation.");
    return 0;
}

int plans_parse(struct arena *arena, struct text text, struct plans *ret, struct error *err)
{
    json_t *root, *item;
    size_t i;
    *ret = (struct plans){0};
    if (json_parse(arena, text, &root, err) < 0)
        return -1;
    if (!json_is_object(root))
        return wrong(err, "", "The file must be an object: {\"plans\": [...]}.");
    if (json_object_only(root, err, "plans", NULL) < 0 || get_objects(root, "plans", PLANS_MAX, &ret->json, err) < 0)
        return -1;
    ret->items = arena_array(arena, json_array_size(ret->json) + 1, sizeof(*ret->items));
    json_array_foreach(ret->json, i, item)
    {
        struct plan *plan = &ret->items[i];
        plan->place = i;
        int rc = parse_plan(arena, item, plan, err);
        for (size_t j = 0; rc == 0 && j < i; j++)
            if (strcmp(ret->items[j].id, plan->id) == 0)
                rc = wrong(err, "/id", "There is a plan with this id already.");
        if (rc < 0)
            return within(err, "/plans/%zu", i);
        ret->count++;
    }
    return 0;
}

const char *plan_product(struct arena *arena, const char *plan)
{
    return arena_printf(arena, "overread_%s", plan);
}

const char *plan_lookup_key(struct arena *arena, const char *plan, const struct plan_price *price)
{
    return arena_printf(arena, "overread:%s:%s:%s", plan, price->period, price->currency);
}

struct text plan_document(struct arena *arena, const struct plan *plan)
{
    json_t *prices = json_array();
    for (size_t i = 0; i < plan->price_count; i++)
        json_array_append_new(prices, json_pack("{s:s?,s:s,s:s,s:I}", "price", plan->prices[i].price, "period", plan->prices[i].period,
                                                "currency", plan->prices[i].currency, "amount", (json_int_t)plan->prices[i].amount));
    json_t *doc = json_pack("{s:s,s:s,s:s,s:s,s:O,s:I,s:b,s:I,s:I,s:s,s:o}", "plan", plan->id, "title", plan->title, "description",
                            plan->description, "audience", plan->audience, "modalities", plan->modalities, "trial_days",
                            (json_int_t)plan->trial_days, "trial_with_card", plan->trial_with_card, "grace_days",
                            (json_int_t)plan->grace_days, "place", (json_int_t)plan->place, "product", plan_product(arena, plan->id),
                            "prices", prices);
    struct text text = json_render(arena, doc);
    json_decref(doc);
    return text;
}
