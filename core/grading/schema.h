/* JSON Schema 2020-12, the part that describes forms: compiled and checked once, then validated against by
 * any thread. Pure.
 *
 * Assertions: type, enum, const, minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf (exact in
 * decimal), minLength, maxLength (code points), pattern, items, prefixItems, contains, minContains,
 * maxContains, minItems, maxItems, uniqueItems, properties, patternProperties, additionalProperties,
 * propertyNames, required, minProperties, maxProperties, dependentRequired, dependentSchemas, allOf, anyOf,
 * oneOf, not, if, then, else, $ref to
 * "#" and "#/$defs/NAME" with $defs at the root.
 * Annotations, without effect: title, description, default, examples, $comment, format, readOnly, writeOnly,
 * deprecated, x-*; at the root $id, and $schema, which must name 2020-12.
 * Anything else is refused, so that a typing mistake is never a silent permission, and so are references that
 * come back to themselves without going deeper into the instance.
 *
 * Patterns are ECMA-262's with the u flag, as far as PCRE2 means the same by them; what only PCRE2 knows is
 * refused. A match that needs more than a bounded number of steps counts as none. */
#ifndef OVERREAD_GRADING_SCHEMA_H
#define OVERREAD_GRADING_SCHEMA_H

#include <jansson.h>
#include "base/error.h"

#define SCHEMA_DEPTH 64 /* of a schema's nesting */
#define SCHEMA_NESTING                                                                                       \
    96 /* of calls while validating: an instance's depth and the references in each level */

struct schema;

/* Keeps a reference to json, which must not change afterwards. NULL with ERROR_INVALID, code "bad_schema",
 * field: a JSON pointer into the schema. */
struct schema *schema_create(json_t *json, struct error *err);
struct schema *schema_destroy(struct schema *schema);

/* 0, or -1 with ERROR_UNPROCESSABLE, code "schema", field: prefix + JSON pointer of the first offence. A
 * missing member's pointer is where it should be. */
int schema_validate(const struct schema *schema, const json_t *instance, const char *prefix,
                    struct error *err);

#endif
