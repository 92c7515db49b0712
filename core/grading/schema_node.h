/* What a schema is compiled to. Private to schema*.c. */
#ifndef OVERREAD_GRADING_SCHEMA_NODE_H
#define OVERREAD_GRADING_SCHEMA_NODE_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "grading/schema.h"

enum schema_type {
    SCHEMA_NULL = 1,
    SCHEMA_BOOLEAN = 2,
    SCHEMA_INTEGER = 4,
    SCHEMA_NUMBER = 8,
    SCHEMA_STRING = 16,
    SCHEMA_ARRAY = 32,
    SCHEMA_OBJECT = 64
};

struct schema_list {
    struct schema_node **nodes;
    size_t count;
};

struct schema_named {
    const char *name;         /* of a member, or the pattern */
    struct schema_node *node; /* dependentRequired: NULL */
    const json_t *names;      /* dependentRequired */
    pcre2_code *pattern;      /* patternProperties */
};

struct schema_map {
    struct schema_named *entries;
    size_t count;
};

struct schema_node {
    bool refuses_all; /* the schema `false` */
    bool unique_items;
    unsigned types; /* bits; 0: any */
    const json_t *enumeration, *constant;
    const json_t *minimum, *maximum, *exclusive_minimum, *exclusive_maximum, *multiple_of;
    uint64_t min_length, max_length, min_items, max_items, min_contains, max_contains, min_properties,
        max_properties;
    const char *pattern_source;
    pcre2_code *pattern;
    struct schema_list prefix_items, all_of, any_of, one_of;
    struct schema_node *items, *contains, *additional, *property_names, *negated, *condition, *then,
        *otherwise, *ref;
    struct schema_map properties, pattern_properties, dependent_schemas, dependent_required;
    const json_t *required;
    struct schema_node *next; /* of all nodes */
    int mark;                 /* of the search for cycles */
};

struct schema {
    struct arena *arena;
    struct schema_node *root, *nodes;
    struct schema_map defs;
};

/* schema_pattern.c: NULL with *ret_why in words. */
pcre2_code *schema_pattern_compile(const char *source, const char **ret_why);
bool schema_pattern_matches(const pcre2_code *pattern, const char *s, size_t len);

/* schema_value.c */
bool schema_is_integer(const json_t *json);
int schema_compare_numbers(const json_t *a, const json_t *b);
bool schema_is_multiple(const json_t *value, const json_t *of);
bool schema_same(const json_t *a, const json_t *b);
/* Whether two items of the array are the same; n log n, whatever the items are made to be. */
bool schema_has_twins(const json_t *array);

#endif
