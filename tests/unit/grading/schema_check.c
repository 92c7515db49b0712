/* schema-check, for tests/peers/ajv: a line {"schema": ..., "instance": ...} on stdin gives "valid",
 * "invalid" or "refused" (the schema) on stdout. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "grading/schema.h"

static const char *judge(const char *line, size_t len)
{
    json_t *pair = json_loadb(line, len, 0, NULL);
    struct schema *schema = schema_create(json_object_get(pair, "schema"), NULL);
    const char *verdict = "refused";

    if (schema)
        verdict =
            schema_validate(schema, json_object_get(pair, "instance"), "", NULL) == 0 ? "valid" : "invalid";
    schema_destroy(schema);
    json_decref(pair);
    return verdict;
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;

    while ((len = getline(&line, &cap, stdin)) > 0)
        puts(judge(line, (size_t)len));
    free(line); /* getline's own */
    return 0;
}
