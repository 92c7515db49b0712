#include "grading/schema.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "grading/schema_node.h"
#include "base/mem.h"
#include "base/text.h"

/* Schemas visited for one instance: bounds what nested anyOf over a large instance can cost. */
#define STEPS_MAX 4000000u

/* Where in the instance: a list on the stack, turned into a pointer only when there is something to say. */
struct place {
    const struct place *up; /* NULL: the whole instance */
    const char *name;       /* NULL: the index counts */
    size_t index;
};

struct validate {
    struct error *err;
    const char *prefix;
    unsigned trials; /* > 0: an offence here only decides a branch, and is not reported */
    unsigned depth, steps;
    bool exhausted;
};

static bool validate(struct validate *v, const struct schema_node *node, const json_t *json,
                     const struct place *at);

/* --- Offences
 * --------------------------------------------------------------------------------------------------- */

static void add_token(struct buffer *out, const char *name)
{
    for (const char *p = name; *p; p++) {
        if (*p == '~')
            buffer_add(out, "~0", 2);
        else if (*p == '/')
            buffer_add(out, "~1", 2);
        else
            buffer_add(out, p, 1);
    }
}

static void add_place(struct buffer *out, const struct place *at)
{
    if (!at)
        return;
    add_place(out, at->up);
    buffer_add(out, "/", 1);
    if (at->name)
        add_token(out, at->name);
    else
        buffer_printf(out, "%zu", at->index);
}

/* The words are built in frames of their own, so that the way down through an instance stays narrow: it runs
 * on a fiber's stack. */
#define APART __attribute__((noinline, cold))

/* Always false, so that `return offend(...)` reads well. */
static bool APART __attribute__((format(printf, 3, 4)))
offend(struct validate *v, const struct place *at, const char *format, ...)
{
    struct buffer pointer;
    char words[400];
    va_list args;

    if (v->trials > 0)
        return false;
    va_start(args, format);
    vsnprintf(words, sizeof(words), format, args);
    va_end(args);
    buffer_init(&pointer, 1 << 16);
    buffer_puts(&pointer, v->prefix);
    add_place(&pointer, at);
    error_set(v->err, ERROR_UNPROCESSABLE, "schema", pointer.p ? pointer.p : "", "%s", words);
    buffer_finish(&pointer);
    return false;
}

static bool matches(struct validate *v, const struct schema_node *node, const json_t *json,
                    const struct place *at)
{
    v->trials++;
    bool ok = validate(v, node, json, at);

    v->trials--;
    return ok;
}

/* --- Any type
 * --------------------------------------------------------------------------------------------------- */

static unsigned types_of(const json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return SCHEMA_OBJECT;
    case JSON_ARRAY:
        return SCHEMA_ARRAY;
    case JSON_STRING:
        return SCHEMA_STRING;
    case JSON_INTEGER:
    case JSON_REAL:
        return SCHEMA_NUMBER | (schema_is_integer(json) ? (unsigned)SCHEMA_INTEGER : 0);
    case JSON_TRUE:
    case JSON_FALSE:
        return SCHEMA_BOOLEAN;
    default:
        return SCHEMA_NULL;
    }
}

static bool APART refuse_type(struct validate *v, const struct schema_node *node, const struct place *at)
{
    static const char *const names[] = {"null",     "true or false", "a whole number", "a number",
                                        "a string", "an array",      "an object"};
    char words[128] = "";
    size_t len = 0;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (node->types & (1u << i))
            len += (size_t)snprintf(words + len, sizeof(words) - len, "%s%s", len ? " or " : "", names[i]);
    return offend(v, at, "must be %s", words);
}

static bool APART refuse_value(struct validate *v, const struct place *at, const char *what,
                               const json_t *value)
{
    char words[200];
    size_t len;

    if (v->trials > 0)
        return false;
    len =
        json_dumpb(value, words, sizeof(words) - 1, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(12));
    if (len > sizeof(words) - 1)
        return offend(v, at, "must be %s what the schema lists", what);
    words[len] = '\0';
    return offend(v, at, "must be %s%s%s", what, what[0] ? " " : "", words);
}

static bool check_enum(struct validate *v, const struct schema_node *node, const json_t *json,
                       const struct place *at)
{
    for (size_t i = 0; i < json_array_size(node->enumeration); i++)
        if (schema_same(json, json_array_get(node->enumeration, i)))
            return true;
    return refuse_value(v, at, "one of", node->enumeration);
}

static bool check_choices(struct validate *v, const struct schema_node *node, const json_t *json,
                          const struct place *at)
{
    size_t any = 0, one = 0;

    for (size_t i = 0; i < node->all_of.count; i++)
        if (!validate(v, node->all_of.nodes[i], json, at))
            return false;
    while (any < node->any_of.count && !matches(v, node->any_of.nodes[any], json, at))
        any++;
    if (node->any_of.count > 0 && any == node->any_of.count)
        return node->any_of.count == 1 ? validate(v, node->any_of.nodes[0], json, at)
                                       : offend(v, at, "has none of the permitted forms");
    for (size_t i = 0; i < node->one_of.count && one < 2; i++)
        one += matches(v, node->one_of.nodes[i], json, at);
    if (node->one_of.count > 0 && one != 1)
        return offend(v, at,
                      one ? "has more than one of the permitted forms" : "has none of the permitted forms");
    return true;
}

static bool check_conditions(struct validate *v, const struct schema_node *node, const json_t *json,
                             const struct place *at)
{
    if (node->ref && !validate(v, node->ref, json, at))
        return false;
    if (node->negated && matches(v, node->negated, json, at))
        return offend(v, at, "has a form that is not permitted");
    if (node->condition) {
        const struct schema_node *branch =
            matches(v, node->condition, json, at) ? node->then : node->otherwise;

        if (branch && !validate(v, branch, json, at))
            return false;
    }
    return true;
}

/* --- Numbers and strings
 * ---------------------------------------------------------------------------------------- */

static bool check_number(struct validate *v, const struct schema_node *node, const json_t *json,
                         const struct place *at)
{
    if (node->minimum && schema_compare_numbers(json, node->minimum) < 0)
        return refuse_value(v, at, "at least", node->minimum);
    if (node->maximum && schema_compare_numbers(json, node->maximum) > 0)
        return refuse_value(v, at, "at most", node->maximum);
    if (node->exclusive_minimum && schema_compare_numbers(json, node->exclusive_minimum) <= 0)
        return refuse_value(v, at, "more than", node->exclusive_minimum);
    if (node->exclusive_maximum && schema_compare_numbers(json, node->exclusive_maximum) >= 0)
        return refuse_value(v, at, "less than", node->exclusive_maximum);
    if (node->multiple_of && !schema_is_multiple(json, node->multiple_of))
        return refuse_value(v, at, "a multiple of", node->multiple_of);
    return true;
}

static uint64_t code_points(const char *s, size_t len)
{
    uint64_t count = 0;

    for (size_t i = 0; i < len; i++)
        count += ((unsigned char)s[i] & 0xc0) != 0x80;
    return count;
}

static bool check_string(struct validate *v, const struct schema_node *node, const json_t *json,
                         const struct place *at)
{
    const char *s = json_string_value(json);
    size_t len = json_string_length(json);

    if (node->min_length > 0 && code_points(s, len) < node->min_length)
        return offend(v, at, "must have at least %llu characters", (unsigned long long)node->min_length);
    if (node->max_length < len && code_points(s, len) > node->max_length)
        return offend(v, at, "must have at most %llu characters", (unsigned long long)node->max_length);
    if (node->pattern && !schema_pattern_matches(node->pattern, s, len))
        return offend(v, at, "must match the pattern %.200s", node->pattern_source);
    return true;
}

/* --- Arrays
 * ----------------------------------------------------------------------------------------------------- */

static bool check_contains(struct validate *v, const struct schema_node *node, const json_t *json,
                           const struct place *at)
{
    uint64_t found = 0;

    for (size_t i = 0; i < json_array_size(json); i++) {
        const struct place here = {.up = at, .index = i};

        found += matches(v, node->contains, json_array_get(json, i), &here);
    }
    if (found < node->min_contains)
        return offend(v, at, "must hold at least %llu items of a certain form",
                      (unsigned long long)node->min_contains);
    if (found > node->max_contains)
        return offend(v, at, "must hold at most %llu items of a certain form",
                      (unsigned long long)node->max_contains);
    return true;
}

static bool check_array(struct validate *v, const struct schema_node *node, const json_t *json,
                        const struct place *at)
{
    size_t count = json_array_size(json);

    if (count < node->min_items)
        return offend(v, at, "must have at least %llu items", (unsigned long long)node->min_items);
    if (count > node->max_items)
        return offend(v, at, "must have at most %llu items", (unsigned long long)node->max_items);
    for (size_t i = 0; i < count; i++) {
        const struct schema_node *item =
            i < node->prefix_items.count ? node->prefix_items.nodes[i] : node->items;
        const struct place here = {.up = at, .index = i};

        if (item && !validate(v, item, json_array_get(json, i), &here))
            return false;
    }
    if (node->contains && !check_contains(v, node, json, at))
        return false;
    if (node->unique_items && count > 1 && schema_has_twins(json))
        return offend(v, at, "must not hold the same item twice");
    return true;
}

/* --- Objects
 * ---------------------------------------------------------------------------------------------------- */

static bool check_names(struct validate *v, const json_t *names, const json_t *json, const struct place *at,
                        const char *because)
{
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        const struct place here = {.up = at, .name = name};

        if (json_object_get(json, name))
            continue;
        if (because)
            return offend(v, &here, "is required beside %.100s", because);
        return offend(v, &here, "is required");
    }
    return true;
}

static bool check_dependents(struct validate *v, const struct schema_node *node, const json_t *json,
                             const struct place *at)
{
    for (size_t i = 0; i < node->dependent_required.count; i++) {
        const struct schema_named *entry = &node->dependent_required.entries[i];

        if (json_object_get(json, entry->name) && !check_names(v, entry->names, json, at, entry->name))
            return false;
    }
    for (size_t i = 0; i < node->dependent_schemas.count; i++) {
        const struct schema_named *entry = &node->dependent_schemas.entries[i];

        if (json_object_get(json, entry->name) && !validate(v, entry->node, json, at))
            return false;
    }
    return true;
}

static bool check_name(struct validate *v, const struct schema_node *node, const char *name,
                       const struct place *at)
{
    json_t *json = json_string_nocheck(name);
    bool ok = json && validate(v, node, json, at);

    json_decref(json);
    return ok;
}

static bool check_member(struct validate *v, const struct schema_node *node, const char *name,
                         const json_t *json, const struct place *at)
{
    bool known = false;

    for (size_t i = 0; i < node->properties.count; i++)
        if (strcmp(node->properties.entries[i].name, name) == 0) {
            known = true;
            if (!validate(v, node->properties.entries[i].node, json, at))
                return false;
        }
    for (size_t i = 0; i < node->pattern_properties.count; i++) {
        const struct schema_named *entry = &node->pattern_properties.entries[i];

        if (!schema_pattern_matches(entry->pattern, name, strlen(name)))
            continue;
        known = true;
        if (!validate(v, entry->node, json, at))
            return false;
    }
    if (known || !node->additional)
        return true;
    if (node->additional->refuses_all)
        return offend(v, at, "is not a known member");
    return validate(v, node->additional, json, at);
}

static bool check_object(struct validate *v, const struct schema_node *node, const json_t *json,
                         const struct place *at)
{
    size_t count = json_object_size(json);

    if (node->required && !check_names(v, node->required, json, at, NULL))
        return false;
    if (count < node->min_properties)
        return offend(v, at, "must have at least %llu members", (unsigned long long)node->min_properties);
    if (count > node->max_properties)
        return offend(v, at, "must have at most %llu members", (unsigned long long)node->max_properties);
    for (void *i = json_object_iter((json_t *)(uintptr_t)json); i;
         i = json_object_iter_next((json_t *)(uintptr_t)json, i)) {
        const char *name = json_object_iter_key(i);
        const struct place here = {.up = at, .name = name};

        if (node->property_names && !check_name(v, node->property_names, name, &here))
            return false;
        if (!check_member(v, node, name, json_object_iter_value(i), &here))
            return false;
    }
    return check_dependents(v, node, json, at);
}

/* --- One schema on one value
 * ------------------------------------------------------------------------------------ */

static bool check(struct validate *v, const struct schema_node *node, const json_t *json,
                  const struct place *at)
{
    bool ok = true;

    if (node->refuses_all)
        return offend(v, at, "is not permitted");
    if (node->types && !(node->types & types_of(json)))
        return refuse_type(v, node, at);
    if (node->enumeration && !check_enum(v, node, json, at))
        return false;
    if (node->constant && !schema_same(json, node->constant))
        return refuse_value(v, at, "", node->constant);
    if (json_is_number(json))
        ok = check_number(v, node, json, at);
    else if (json_is_string(json))
        ok = check_string(v, node, json, at);
    else if (json_is_array(json))
        ok = check_array(v, node, json, at);
    else if (json_is_object(json))
        ok = check_object(v, node, json, at);
    return ok && check_conditions(v, node, json, at) && check_choices(v, node, json, at);
}

static bool validate(struct validate *v, const struct schema_node *node, const json_t *json,
                     const struct place *at)
{
    bool ok;

    if (v->exhausted || ++v->steps > STEPS_MAX || v->depth >= SCHEMA_NESTING) {
        v->exhausted = true; /* whatever a surrounding `not` makes of it, the instance is refused */
        return false;
    }
    v->depth++;
    ok = check(v, node, json, at);
    v->depth--;
    return ok;
}

int schema_validate(const struct schema *schema, const json_t *instance, const char *prefix,
                    struct error *err)
{
    struct validate v = {.err = err, .prefix = prefix ? prefix : ""};
    bool ok = validate(&v, schema->root, instance, NULL);

    if (v.exhausted)
        return error_set(err, ERROR_UNPROCESSABLE, "schema", v.prefix,
                         "is too deep or too complex to be checked");
    return ok ? 0 : -1;
}
