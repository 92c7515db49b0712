/* JSON from outside: jansson with our limits. Duplicate keys, trailing bytes, NUL characters, invalid UTF-8 and
 * depth above JSON_DEPTH are refused with the place named. */
#ifndef OVERREAD_BASE_JSON_H
#define OVERREAD_BASE_JSON_H

#include <jansson.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/text.h"

#define JSON_DEPTH 32

/* *ret belongs to the arena. 0, or -1 with ERROR_INVALID, code "malformed_json". */
int json_parse(struct arena *arena, struct text text, json_t **ret, struct error *err);
/* Compact, object keys sorted, doubles with 17 digits: equal values give equal text, for hashes. */
struct text json_render(struct arena *arena, const json_t *json);

/* Members of a request body: each fails with ERROR_UNPROCESSABLE and field "/name". Unknown members are refused by
 * json_object_only (NULL-ended list of names). An optional member that is absent leaves *ret untouched and gives 0;
 * null is not absent. Codes: field_missing, field_unknown, field_invalid. min and max of a string count characters. */
int json_object_only(const json_t *object, struct error *err, ...) __attribute__((sentinel));
int json_get_string(const json_t *object, const char *name, bool required, size_t min, size_t max, const char **ret,
                    struct error *err);
int json_get_bool(const json_t *object, const char *name, bool required, bool *ret, struct error *err);
int json_get_int(const json_t *object, const char *name, bool required, int64_t min, int64_t max, int64_t *ret,
                 struct error *err);
int json_get_uuid(const json_t *object, const char *name, bool required, const char **ret, struct error *err);

#endif
