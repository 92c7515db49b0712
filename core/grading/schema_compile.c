#include "grading/schema_compile.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int schema_bad(struct schema_compile *c, const char *at, const char *format, ...)
{
    char words[400];
    va_list args;

    va_start(args, format);
    vsnprintf(words, sizeof(words), format, args);
    va_end(args);
    return error_set(c->err, ERROR_INVALID, "bad_schema", at, "%s", words);
}

const char *schema_below(struct schema *schema, const char *at, const char *name)
{
    size_t len = strlen(at);
    char *ret = arena_alloc(schema->arena, len + 2 * strlen(name) + 2), *out = ret + len;

    memcpy(ret, at, len);
    *out++ = '/';
    for (const char *p = name; *p; p++) {
        if (*p == '~' || *p == '/') {
            *out++ = '~';
            *out++ = *p == '~' ? '0' : '1';
        } else {
            *out++ = *p;
        }
    }
    return ret;
}

struct schema_node *schema_new_node(struct schema *schema)
{
    struct schema_node *node = arena_alloc(schema->arena, sizeof(*node));

    node->max_length = node->max_items = node->max_contains = node->max_properties = UINT64_MAX;
    node->min_contains = 1;
    node->next = schema->nodes;
    schema->nodes = node;
    return node;
}

/* --- Readers of one keyword's value: v stands at `at` and goes into *out
 * ------------------------------------------ */

typedef int (*reader_fn)(struct schema_compile *c, const json_t *v, const char *at, void *out);

static int read_node(struct schema_compile *c, const json_t *v, const char *at, void *out)
{
    struct schema_node *node = schema_new_node(c->schema);

    *(struct schema_node **)out = node;
    return schema_compile_into(c, v, at, node);
}

static int read_list(struct schema_compile *c, const json_t *v, const char *at, void *out)
{
    struct schema_list *list = out;

    if (!json_is_array(v) || json_array_size(v) == 0)
        return schema_bad(c, at, "must be an array with at least one schema");
    list->nodes = arena_array(c->schema->arena, json_array_size(v), sizeof(*list->nodes));
    for (size_t i = 0; i < json_array_size(v); i++) {
        char index[24];

        snprintf(index, sizeof(index), "%zu", i);
        if (read_node(c, json_array_get(v, i), schema_below(c->schema, at, index), &list->nodes[i]) < 0)
            return -1;
        list->count++;
    }
    return 0;
}

static void release_pattern(void *arg)
{
    pcre2_code_free(arg);
}

static int compile_pattern(struct schema_compile *c, const char *source, const char *at, pcre2_code **ret)
{
    const char *why;

    *ret = schema_pattern_compile(source, &why);
    if (!*ret)
        return schema_bad(c, at, "the pattern has %s", why);
    arena_defer(c->schema->arena, release_pattern, *ret);
    return 0;
}

static int read_pattern(struct schema_compile *c, const json_t *v, const char *at, void *out)
{
    if (!json_is_string(v))
        return schema_bad(c, at, "must be a string");
    return compile_pattern(c, json_string_value(v), at, out);
}

static bool is_name_list(const json_t *v)
{
    if (!json_is_array(v))
        return false;
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!json_is_string(json_array_get(v, i)))
            return false;
    return !schema_has_twins(v);
}

/* Members of an object into entries; what a member is differs. */
static int read_map(struct schema_compile *c, const json_t *v, const char *at, struct schema_map *map,
                    bool patterns, bool names)
{
    if (!json_is_object(v))
        return schema_bad(c, at, "must be an object");
    map->entries = arena_array(c->schema->arena, json_object_size(v) + 1, sizeof(*map->entries));
    for (void *i = json_object_iter((json_t *)(uintptr_t)v); i;
         i = json_object_iter_next((json_t *)(uintptr_t)v, i)) {
        struct schema_named *entry = &map->entries[map->count++];
        const char *here = schema_below(c->schema, at, json_object_iter_key(i));

        entry->name = json_object_iter_key(i);
        if (patterns && compile_pattern(c, entry->name, here, &entry->pattern) < 0)
            return -1;
        if (!names) {
            if (read_node(c, json_object_iter_value(i), here, &entry->node) < 0)
                return -1;
            continue;
        }
        entry->names = json_object_iter_value(i);
        if (!is_name_list(entry->names))
            return schema_bad(c, here, "must be an array of different strings");
    }
    return 0;
}

static int read_nodes(struct schema_compile *c, const json_t *v, const char *at, void *out)
{
    return read_map(c, v, at, out, false, false);
}

static int read_pattern_nodes(struct schema_compile *c, const json_t *v, const char *at, void *out)
{
    return read_map(c, v, at, out, true, false);
}

static int read_name_lists(struct schema_compile *c, const json_t *v, const char *at, void *out)
{
    return read_map(c, v, at, out, false, true);
}

static int read_names(struct schema_compile *c, const json_t *v, const char *at, void *out)
{
    if (!is_name_list(v))
        return schema_bad(c, at, "must be an array of different strings");
    *(const json_t **)out = v;
    return 0;
}

static int read_number(struct schema_compile *c, const json_t *v, const char *at, void *out)
{
    if (!json_is_number(v))
        return schema_bad(c, at, "must be a number");
    *(const json_t **)out = v;
    return 0;
}

static int read_positive(struct schema_compile *c, const json_t *v, const char *at, void *out)
{
    if (!json_is_number(v) || json_number_value(v) <= 0)
        return schema_bad(c, at, "must be a number above 0");
    *(const json_t **)out = v;
    return 0;
}

static int read_count(struct schema_compile *c, const json_t *v, const char *at, void *out)
{
    double value = json_number_value(v);

    if (!json_is_number(v) || !schema_is_integer(v) || value < 0 || value > 9007199254740992.0)
        return schema_bad(c, at, "must be a whole number, 0 or more");
    *(uint64_t *)out = (uint64_t)value;
    return 0;
}

static int read_flag(struct schema_compile *c, const json_t *v, const char *at, void *out)
{
    if (!json_is_boolean(v))
        return schema_bad(c, at, "must be true or false");
    *(bool *)out = json_is_true(v);
    return 0;
}

static int read_enum(struct schema_compile *c, const json_t *v, const char *at, void *out)
{
    if (!json_is_array(v) || json_array_size(v) == 0)
        return schema_bad(c, at, "must be an array with at least one value");
    *(const json_t **)out = v;
    return 0;
}

static int read_any(struct schema_compile *c, const json_t *v, const char *at, void *out)
{
    (void)c;
    (void)at;
    *(const json_t **)out = v;
    return 0;
}

static unsigned type_named(const json_t *v)
{
    static const struct {
        const char *name;
        unsigned bit;
    } types[] = {{"null", SCHEMA_NULL},     {"boolean", SCHEMA_BOOLEAN}, {"integer", SCHEMA_INTEGER},
                 {"number", SCHEMA_NUMBER}, {"string", SCHEMA_STRING},   {"array", SCHEMA_ARRAY},
                 {"object", SCHEMA_OBJECT}};

    for (size_t i = 0; json_is_string(v) && i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(json_string_value(v), types[i].name) == 0)
            return types[i].bit;
    return 0;
}

static int read_type(struct schema_compile *c, const json_t *v, const char *at, void *out)
{
    unsigned *types = out;

    if (!json_is_array(v)) {
        *types = type_named(v);
        return *types ? 0 : schema_bad(c, at, "is not the name of a type");
    }
    for (size_t i = 0; i < json_array_size(v); i++) {
        unsigned type = type_named(json_array_get(v, i));

        if (!type || (*types & type))
            return schema_bad(c, at, "must name different types");
        *types |= type;
    }
    return *types ? 0 : schema_bad(c, at, "must name at least one type");
}

static int read_ref(struct schema_compile *c, const json_t *v, const char *at, void *out)
{
    static const char prefix[] = "#/$defs/";
    const char *ref = json_string_value(v), *root = schema_below(c->schema, "#", "$defs");

    if (ref && strcmp(ref, "#") == 0) {
        *(struct schema_node **)out = c->schema->root;
        return 0;
    }
    for (size_t i = 0; ref && i < c->schema->defs.count; i++)
        if (strcmp(ref, schema_below(c->schema, root, c->schema->defs.entries[i].name)) == 0) {
            *(struct schema_node **)out = c->schema->defs.entries[i].node;
            return 0;
        }
    if (ref && strncmp(ref, prefix, strlen(prefix)) == 0)
        return schema_bad(c, at, "no such definition in $defs");
    return schema_bad(c, at, "only \"#\" and \"#/$defs/NAME\" can be referred to");
}

/* --- Keywords
 * --------------------------------------------------------------------------------------------------- */

static const struct keyword {
    const char *name;
    reader_fn read;
    size_t offset;
} keywords[] = {
#define K(name, read, member)                                                                                \
    {                                                                                                        \
        name, read, offsetof(struct schema_node, member)                                                     \
    }
    K("$ref", read_ref, ref),
    K("type", read_type, types),
    K("enum", read_enum, enumeration),
    K("const", read_any, constant),
    K("minimum", read_number, minimum),
    K("maximum", read_number, maximum),
    K("exclusiveMinimum", read_number, exclusive_minimum),
    K("exclusiveMaximum", read_number, exclusive_maximum),
    K("multipleOf", read_positive, multiple_of),
    K("minLength", read_count, min_length),
    K("maxLength", read_count, max_length),
    K("pattern", read_pattern, pattern),
    K("items", read_node, items),
    K("prefixItems", read_list, prefix_items),
    K("contains", read_node, contains),
    K("minContains", read_count, min_contains),
    K("maxContains", read_count, max_contains),
    K("minItems", read_count, min_items),
    K("maxItems", read_count, max_items),
    K("uniqueItems", read_flag, unique_items),
    K("properties", read_nodes, properties),
    K("patternProperties", read_pattern_nodes, pattern_properties),
    K("additionalProperties", read_node, additional),
    K("propertyNames", read_node, property_names),
    K("required", read_names, required),
    K("minProperties", read_count, min_properties),
    K("maxProperties", read_count, max_properties),
    K("dependentRequired", read_name_lists, dependent_required),
    K("dependentSchemas", read_nodes, dependent_schemas),
    K("allOf", read_list, all_of),
    K("anyOf", read_list, any_of),
    K("oneOf", read_list, one_of),
    K("not", read_node, negated),
    K("if", read_node, condition),
    K("then", read_node, then),
    K("else", read_node, otherwise),
#undef K
};

static bool is_annotation(const char *name)
{
    static const char *const names[] = {"title",  "description", "default",   "examples",   "$comment",
                                        "format", "readOnly",    "writeOnly", "deprecated", NULL};

    if (strncmp(name, "x-", 2) == 0)
        return true;
    for (size_t i = 0; names[i]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static int check_root_keyword(struct schema_compile *c, const char *name, const json_t *v, const char *at)
{
    static const char dialect[] = "https://json-schema.org/draft/2020-12/schema";

    if (strcmp(name, "$schema") == 0 && (!json_is_string(v) || strcmp(json_string_value(v), dialect) != 0))
        return schema_bad(c, at, "must be %s", dialect);
    if (strcmp(name, "$id") == 0 && !json_is_string(v))
        return schema_bad(c, at, "must be a string");
    return 0;
}

static bool is_root_keyword(const char *name)
{
    return strcmp(name, "$schema") == 0 || strcmp(name, "$id") == 0 || strcmp(name, "$defs") == 0;
}

static int compile_keyword(struct schema_compile *c, const char *name, const json_t *v, const char *at,
                           struct schema_node *node)
{
    if (node == c->schema->root && is_root_keyword(name))
        return check_root_keyword(c, name, v, at);
    for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
        if (strcmp(name, keywords[i].name) == 0)
            return keywords[i].read(c, v, at, (char *)node + keywords[i].offset);
    if (is_annotation(name))
        return 0;
    return schema_bad(c, at, "the keyword \"%.100s\" is not supported%s", name,
                      is_root_keyword(name) ? " below the root" : "");
}

int schema_compile_into(struct schema_compile *c, const json_t *json, const char *at,
                        struct schema_node *node)
{
    int r = 0;

    if (json_is_boolean(json)) {
        node->refuses_all = json_is_false(json);
        return 0;
    }
    if (!json_is_object(json))
        return schema_bad(c, at, "a schema must be an object, true or false");
    if (++c->depth > SCHEMA_DEPTH)
        return schema_bad(c, at, "the schema is nested too deeply");
    for (void *i = json_object_iter((json_t *)(uintptr_t)json); i && r == 0;
         i = json_object_iter_next((json_t *)(uintptr_t)json, i)) {
        const char *name = json_object_iter_key(i);

        r = compile_keyword(c, name, json_object_iter_value(i), schema_below(c->schema, at, name), node);
    }
    node->pattern_source = json_string_value(json_object_get(json, "pattern"));
    c->depth--;
    return r;
}
