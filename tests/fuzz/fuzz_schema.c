/* {"schema": ..., "instance": ...}: a schema from a stranger is compiled or refused, and whatever it is, an
 * instance is judged the same twice. Text that is no such pair has passed through the JSON parser. */
#include <string.h>
#include "fuzz.h"
#include "base/json.h"
#include "grading/schema.h"

static void judge(json_t *schema_json, const json_t *instance)
{
    struct error why = {.kind = ERROR_NONE}, first = {.kind = ERROR_NONE}, second = {.kind = ERROR_NONE};
    struct schema *schema = schema_create(schema_json, &why);

    if (!schema) {
        must(why.kind == ERROR_INVALID && why.detail[0]);
        return;
    }
    int verdict = schema_validate(schema, instance, "/at", &first);

    must(schema_validate(schema, instance, "/at", &second) == verdict);
    must(strcmp(first.field, second.field) == 0 && strcmp(first.detail, second.detail) == 0);
    if (verdict < 0)
        must(first.kind == ERROR_UNPROCESSABLE && strncmp(first.field, "/at", 3) == 0 && first.detail[0]);
    schema_destroy(schema);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_create();
    struct error err = {.kind = ERROR_NONE};
    json_t *pair;

    if (json_parse(arena, (struct text){.p = (const char *)data, .len = size}, &pair, &err) == 0) {
        json_t *schema = json_object_get(pair, "schema"), *instance = json_object_get(pair, "instance");

        /* Equal values give equal text: what was rendered renders to itself. */
        struct text once = json_render(arena, pair);
        json_t *again;

        must(json_parse(arena, once, &again, &err) == 0);
        struct text twice = json_render(arena, again);

        must(once.len == twice.len && memcmp(once.p, twice.p, once.len) == 0);
        if (schema && instance)
            judge(schema, instance);
    } else {
        must(err.kind == ERROR_INVALID && err.detail[0]);
    }
    arena_destroy(arena);
    return 0;
}
