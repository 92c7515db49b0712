#include "grading/conformance_mutate.h"
#include <string.h>
#include "base/mem.h"

uint64_t conformance_next(struct conformance_random *random)
{
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

size_t conformance_below(struct conformance_random *random, size_t limit)
{
    return limit ? (size_t)(conformance_next(random) % limit) : 0;
}

/* --- Walking
 * ---------------------------------------------------------------------------------------------------- */

/* Where a value stands. */
struct place {
    json_t *parent;
    const char *key; /* in an object */
    size_t index;    /* in an array */
};

struct places {
    struct place *p;
    size_t count, cap;
};

static void add_place(struct places *places, struct place place)
{
    if (places->count == places->cap) {
        places->cap = places->cap ? 2 * places->cap : 64;
        places->p = mem_resize(places->p, places->cap * sizeof(*places->p));
    }
    places->p[places->count++] = place;
}

static void collect(struct places *places, json_t *json)
{
    const char *key;
    size_t i;
    json_t *value;

    if (json_is_object(json))
        json_object_foreach(json, key, value)
        {
            add_place(places, (struct place){.parent = json, .key = key});
            collect(places, value);
        }
    else if (json_is_array(json))
        json_array_foreach(json, i, value)
        {
            add_place(places, (struct place){.parent = json, .index = i});
            collect(places, value);
        }
}

static json_t *at(const struct place *place)
{
    return place->key ? json_object_get(place->parent, place->key)
                      : json_array_get(place->parent, place->index);
}

static void put(const struct place *place, json_t *value)
{
    if (place->key)
        json_object_set_new(place->parent, place->key, value);
    else
        json_array_set_new(place->parent, place->index, value);
}

static void take_away(const struct place *place)
{
    if (place->key)
        json_object_del(place->parent, place->key);
    else
        json_array_remove(place->parent, place->index);
}

/* --- Order and size
 * --------------------------------------------------------------------------------------------- */

json_t *conformance_shuffled(struct conformance_random *random, const json_t *json)
{
    if (json_is_array(json)) {
        json_t *ret = json_array();

        for (size_t i = 0; i < json_array_size(json); i++)
            json_array_append_new(ret, conformance_shuffled(random, json_array_get(json, i)));
        return ret;
    }
    if (!json_is_object(json))
        return json_deep_copy(json);
    struct places places = {0};
    json_t *ret = json_object(), *value, *source = json_deep_copy(json);
    const char *key;

    json_object_foreach(source, key, value) add_place(&places, (struct place){.parent = source, .key = key});
    for (size_t left = places.count; left > 0; left--) {
        size_t i = conformance_below(random, left);
        struct place place = places.p[i];

        places.p[i] = places.p[left - 1];
        json_object_set_new(ret, place.key, conformance_shuffled(random, at(&place)));
    }
    mem_free(places.p);
    json_decref(source);
    return ret;
}

/* Takes away the last thing that can be, and says whether there was one. */
static bool take_one_away(struct conformance *c, json_t **json)
{
    struct places places = {0};
    bool found = false;

    collect(&places, *json);
    for (size_t i = places.count; i-- > 0 && !found;) {
        struct places of_copy = {0};
        json_t *copy = json_deep_copy(*json);

        collect(&of_copy, copy);
        take_away(&of_copy.p[i]);
        mem_free(of_copy.p);
        found = conformance_valid(c, ANSWER, copy, NULL);
        if (found) {
            json_decref(*json);
            *json = copy;
        } else {
            json_decref(copy);
        }
    }
    mem_free(places.p);
    return found;
}

json_t *conformance_emptied(struct conformance *c, const json_t *answer)
{
    json_t *ret = json_object();

    if (conformance_valid(c, ANSWER, ret, NULL))
        return ret;
    json_decref(ret);
    ret = json_deep_copy(answer);
    while (take_one_away(c, &ret))
        ;
    return ret;
}

static void grow(struct conformance *c, json_t *root, json_t *array, size_t items)
{
    size_t step = json_array_size(array);

    while (step > 0 && json_array_size(array) < items) {
        size_t before = json_array_size(array);

        for (size_t i = 0; i < step && i < items - before; i++)
            json_array_append_new(array, json_deep_copy(json_array_get(array, i % before)));
        if (conformance_valid(c, ANSWER, root, NULL)) {
            step = json_array_size(array);
            continue;
        }
        while (json_array_size(array) > before)
            json_array_remove(array, json_array_size(array) - 1);
        step /= 2;
    }
}

json_t *conformance_grown(struct conformance *c, const json_t *answer, size_t items)
{
    json_t *ret = json_deep_copy(answer);
    const char *key;
    json_t *value;

    if (json_is_array(ret))
        grow(c, ret, ret, items);
    else if (json_is_object(ret))
        json_object_foreach(ret, key, value) if (json_is_array(value)) grow(c, ret, value, items);
    return ret;
}

/* --- Mutations
 * -------------------------------------------------------------------------------------------------- */

static void add_from_schema(json_t *values, const json_t *schema)
{
    static const char *const bounds[] = {"minimum",          "maximum", "exclusiveMinimum",
                                         "exclusiveMaximum", "const",   "default"};
    struct places places = {0};
    json_t *copy = json_deep_copy(schema);

    collect(&places, copy);
    for (size_t i = 0; i < places.count; i++) {
        const struct place *place = &places.p[i];
        json_t *value = at(place);

        if (place->key && strcmp(place->key, "enum") == 0 && json_is_array(value))
            json_array_extend(values, value);
        for (size_t k = 0; place->key && k < sizeof(bounds) / sizeof(*bounds); k++)
            if (strcmp(place->key, bounds[k]) == 0) {
                json_array_append(values, value);
                if (json_is_integer(value)) {
                    json_array_append_new(values, json_integer(json_integer_value(value) + 1));
                    json_array_append_new(values, json_integer(json_integer_value(value) - 1));
                }
            }
    }
    mem_free(places.p);
    json_decref(copy);
}

static void add_from_case(struct conformance_pool *pool, json_t *json)
{
    struct places places = {0};

    collect(&places, json);
    for (size_t i = 0; i < places.count; i++) {
        json_t *value = at(&places.p[i]);

        if (places.p[i].key)
            json_array_append_new(pool->members, json_pack("[s,o]", places.p[i].key, json_deep_copy(value)));
        else
            json_array_append_new(pool->values, json_deep_copy(value));
    }
    mem_free(places.p);
}

struct conformance_pool conformance_pool(struct conformance *c)
{
    struct conformance_pool pool = {.values = json_pack("[n,b,b,i,i,f,f,f,f,s,s,[],{}]", 0, 1, 0, -1, 0.5,
                                                        -0.0, 1e300, 5e-324, "", "\u00e9\u4e2d\U0001f9e0"),
                                    .members = json_array()};
    json_t *manifest = json_loadb(c->manifest.json.p, c->manifest.json.len, 0, NULL);

    add_from_schema(pool.values, json_object_get(manifest, "schemas"));
    for (size_t i = 0; i < c->case_count; i++)
        for (int p = 0; p < PARTS; p++)
            add_from_case(&pool, c->cases[i].json[p]);
    json_decref(manifest);
    return pool;
}

static json_t *any_of(struct conformance_random *random, const json_t *array)
{
    return json_array_get(array, conformance_below(random, json_array_size(array)));
}

static json_t *nudged(struct conformance_random *random, const json_t *number)
{
    double x = json_number_value(number);
    json_int_t i = json_integer_value(number);

    switch (conformance_below(random, 5)) {
    case 0:
        return json_is_integer(number) && i < 1000000000 ? json_integer(i + 1) : json_real(x + 0.001);
    case 1:
        return json_is_integer(number) && i > -1000000000 ? json_integer(i - 1) : json_real(x - 0.001);
    case 2:
        return json_real(-x);
    case 3:
        return json_real(x / 3);
    default:
        return x < 1e100 && x > -1e100 ? json_real(x * 1000) : json_real(0);
    }
}

/* A member under the same name from some golden case. */
static json_t *namesake(struct conformance_random *random, const struct conformance_pool *pool,
                        const char *key)
{
    for (int tries = 0; key && tries < 50; tries++) {
        const json_t *member = any_of(random, pool->members);

        if (strcmp(json_string_value(json_array_get(member, 0)), key) == 0)
            return json_array_get(member, 1);
    }
    return any_of(random, pool->values);
}

static void mutate_at(struct conformance_random *random, const struct conformance_pool *pool,
                      const struct place *place)
{
    json_t *value = at(place);

    switch (conformance_below(random, 8)) {
    case 0:
        take_away(place);
        return;
    case 1:
        put(place, json_deep_copy(any_of(random, pool->values)));
        return;
    case 2:
    case 3:
        put(place, json_deep_copy(namesake(random, pool, place->key)));
        return;
    case 4:
        if (json_is_array(place->parent))
            for (size_t n = 1 + conformance_below(random, 8); n > 0; n--)
                json_array_append_new(place->parent, json_deep_copy(value));
        return;
    case 5: {
        const json_t *member = any_of(random, pool->members);

        if (json_is_object(place->parent))
            json_object_set_new(place->parent, json_string_value(json_array_get(member, 0)),
                                json_deep_copy(json_array_get(member, 1)));
        return;
    }
    default:
        if (json_is_number(value))
            put(place, nudged(random, value));
        else if (json_is_boolean(value))
            put(place, json_boolean(json_is_false(value)));
        else
            put(place, json_deep_copy(namesake(random, pool, place->key)));
    }
}

void conformance_mutate(struct conformance_random *random, const struct conformance_pool *pool, json_t *json)
{
    for (size_t n = 1 + conformance_below(random, 3); n > 0; n--) {
        struct places places = {0};

        collect(&places, json);
        if (places.count > 0)
            mutate_at(random, pool, &places.p[conformance_below(random, places.count)]);
        mem_free(places.p);
    }
}
