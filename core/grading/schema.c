#include "grading/schema.h"
#include <string.h>
#include "grading/schema_compile.h"
#include "base/mem.h"

static void release_json(void *arg)
{
    json_decref(arg);
}

/* Bodies of $defs may name each other, so all have a node before any is read. */
static int compile_all(struct schema_compile *c, const json_t *json)
{
    struct schema *schema = c->schema;
    const json_t *defs = json_object_get(json, "$defs");
    const char *at = schema_below(schema, "", "$defs");

    schema->root = schema_new_node(schema);
    if (defs && !json_is_object(defs))
        return schema_bad(c, at, "must be an object");
    schema->defs.entries =
        arena_array(schema->arena, json_object_size(defs) + 1, sizeof(*schema->defs.entries));
    for (void *i = json_object_iter((json_t *)(uintptr_t)defs); i;
         i = json_object_iter_next((json_t *)(uintptr_t)defs, i))
        schema->defs.entries[schema->defs.count++] =
            (struct schema_named){.name = json_object_iter_key(i), .node = schema_new_node(schema)};
    for (size_t i = 0; i < schema->defs.count; i++) {
        const struct schema_named *def = &schema->defs.entries[i];

        if (schema_compile_into(c, json_object_get(defs, def->name), schema_below(schema, at, def->name),
                                def->node) < 0)
            return -1;
    }
    return schema_compile_into(c, json, "", schema->root);
}

/* --- Cycles: a reference must go deeper into the instance before it comes back
 * ------------------------------------ */

enum { UNSEEN, OPEN, DONE };

static bool goes_in_circles(struct schema_node *node);

static bool list_goes_in_circles(const struct schema_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (goes_in_circles(list->nodes[i]))
            return true;
    return false;
}

static bool goes_in_circles(struct schema_node *node)
{
    if (!node || node->mark == DONE)
        return false;
    if (node->mark == OPEN)
        return true;
    node->mark = OPEN;
    bool found = goes_in_circles(node->ref) || goes_in_circles(node->negated) ||
                 goes_in_circles(node->condition) || goes_in_circles(node->then) ||
                 goes_in_circles(node->otherwise) || list_goes_in_circles(&node->all_of) ||
                 list_goes_in_circles(&node->any_of) || list_goes_in_circles(&node->one_of);

    for (size_t i = 0; i < node->dependent_schemas.count && !found; i++)
        found = goes_in_circles(node->dependent_schemas.entries[i].node);
    node->mark = DONE;
    return found;
}

struct schema *schema_create(json_t *json, struct error *err)
{
    struct arena *arena = arena_create();
    struct schema *schema = arena_alloc(arena, sizeof(*schema));
    struct schema_compile c = {.schema = schema, .err = err};

    schema->arena = arena;
    arena_defer(arena, release_json, json_incref(json));
    if (compile_all(&c, json) < 0)
        return schema_destroy(schema);
    for (struct schema_node *node = schema->nodes; node; node = node->next)
        if (goes_in_circles(node)) {
            schema_bad(&c, "", "a $ref comes back to itself without going deeper into the instance");
            return schema_destroy(schema);
        }
    return schema;
}

struct schema *schema_destroy(struct schema *schema)
{
    if (schema)
        arena_destroy(schema->arena);
    return NULL;
}
