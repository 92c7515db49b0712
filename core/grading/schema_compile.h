/* Compiling a schema to nodes. Private to schema*.c. */
#ifndef OVERREAD_GRADING_SCHEMA_COMPILE_H
#define OVERREAD_GRADING_SCHEMA_COMPILE_H

#include "grading/schema_node.h"

struct schema_compile {
    struct schema *schema;
    struct error *err;
    unsigned depth;
};

/* Fills node from json; `at` is where it stands in the schema. 0 or -1. */
int schema_compile_into(struct schema_compile *c, const json_t *json, const char *at,
                        struct schema_node *node);
struct schema_node *schema_new_node(struct schema *schema);
const char *schema_below(struct schema *schema, const char *at, const char *name);
int schema_bad(struct schema_compile *c, const char *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
