#include "base/json.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "base/die.h"

/* jansson descends once per nesting level, so the depth is measured before it sees the text. Strings are
 * skipped; what is malformed otherwise is left to jansson. */
static int check_depth(struct text text, struct error *err)
{
    unsigned depth = 0, line = 1;
    size_t line_start = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.p[i];
        if (c == '\n') {
            line++;
            line_start = i + 1;
        }
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > JSON_DEPTH)
                return error_set(err, ERROR_INVALID, "malformed_json", NULL,
                                 "line %u, column %zu: nested more than %d levels deep", line,
                                 i - line_start + 1, JSON_DEPTH);
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return 0;
}

static void release(void *arg)
{
    json_decref(arg);
}

int json_parse(struct arena *arena, struct text text, json_t **ret, struct error *err)
{
    if (text.len == 0)
        return error_set(err, ERROR_INVALID, "malformed_json", NULL,
                         "line 1, column 1: there is no JSON value");
    if (check_depth(text, err) < 0)
        return -1;
    json_error_t where;
    json_t *json = json_loadb(text.p, text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
    if (!json)
        return error_set(err, ERROR_INVALID, "malformed_json", NULL, "line %d, column %d: %s", where.line,
                         where.column, where.text);
    arena_defer(arena, release, json);
    *ret = json;
    return 0;
}

static int append(const char *bytes, size_t len, void *arg)
{
    buffer_add(arg, bytes, len);
    return 0;
}

struct text json_render(struct arena *arena, const json_t *json)
{
    struct buffer out;
    buffer_init(&out, INT32_MAX);
    const size_t flags = JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17);
    if (json_dump_callback(json, append, &out, flags) < 0 || out.failed)
        die("json_render", "not a JSON value, or one of gigabytes");
    struct text text = {arena_copy(arena, out.p, out.len), out.len};
    buffer_finish(&out);
    return text;
}

/* --- Members of a request body --------------------------------------------------------------- */

/* Fails for the member `name`; its JSON pointer has ~ and / escaped (RFC 6901). */
static int __attribute__((format(printf, 4, 5)))
refuse(struct error *err, const char *code, const char *name, const char *format, ...)
{
    char pointer[sizeof(((struct error *)NULL)->field)];
    size_t len = 0;
    pointer[len++] = '/';
    for (const char *c = name; *c && len + 3 < sizeof(pointer); c++) {
        if (*c == '~' || *c == '/') {
            pointer[len++] = '~';
            pointer[len++] = *c == '~' ? '0' : '1';
        } else {
            pointer[len++] = *c;
        }
    }
    pointer[len] = '\0';
    char detail[sizeof(((struct error *)NULL)->detail)];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);
    return error_set(err, ERROR_UNPROCESSABLE, code, pointer, "%s", detail);
}

static bool named(const char *key, va_list names)
{
    for (const char *name = va_arg(names, const char *); name; name = va_arg(names, const char *))
        if (strcmp(name, key) == 0)
            return true;
    return false;
}

int json_object_only(const json_t *object, struct error *err, ...)
{
    if (!json_is_object(object))
        return error_set(err, ERROR_UNPROCESSABLE, "field_invalid", "", "The body must be a JSON object.");
    union { /* jansson's iterators take no const, but only json_object_iter_set writes */
        const json_t *constant;
        json_t *object;
    } u = {.constant = object};
    const char *key;
    json_t *value;
    json_object_foreach(u.object, key, value)
    {
        va_list names;
        va_start(names, err);
        bool known = named(key, names);
        va_end(names);
        if (!known)
            return refuse(err, "field_unknown", key, "\"%s\" is not a member that is known here.", key);
    }
    return 0;
}

/* 1 and *ret when the member is there, 0 when it is absent and may be. */
static int member(const json_t *object, const char *name, bool required, const json_t **ret,
                  struct error *err)
{
    *ret = json_object_get(object, name);
    if (*ret)
        return 1;
    return required ? refuse(err, "field_missing", name, "\"%s\" is required.", name) : 0;
}

/* Characters, not bytes: jansson has checked that the string is UTF-8. */
static size_t characters(const char *s)
{
    size_t count = 0;
    for (; *s; s++)
        count += ((unsigned char)*s & 0xC0) != 0x80;
    return count;
}

int json_get_string(const json_t *object, const char *name, bool required, size_t min, size_t max,
                    const char **ret, struct error *err)
{
    const json_t *value;
    int r = member(object, name, required, &value, err);
    if (r <= 0)
        return r;
    if (!json_is_string(value))
        return refuse(err, "field_invalid", name, "\"%s\" must be a string.", name);
    size_t len = characters(json_string_value(value));
    if (len < min || len > max)
        return refuse(err, "field_invalid", name, "\"%s\" must have %zu to %zu characters.", name, min, max);
    *ret = json_string_value(value);
    return 0;
}

int json_get_bool(const json_t *object, const char *name, bool required, bool *ret, struct error *err)
{
    const json_t *value;
    int r = member(object, name, required, &value, err);
    if (r <= 0)
        return r;
    if (!json_is_boolean(value))
        return refuse(err, "field_invalid", name, "\"%s\" must be true or false.", name);
    *ret = json_is_true(value);
    return 0;
}

int json_get_int(const json_t *object, const char *name, bool required, int64_t min, int64_t max,
                 int64_t *ret, struct error *err)
{
    const json_t *value;
    int r = member(object, name, required, &value, err);
    if (r <= 0)
        return r;
    if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > max)
        return refuse(err, "field_invalid", name, "\"%s\" must be a whole number from %lld to %lld.", name,
                      (long long)min, (long long)max);
    *ret = json_integer_value(value);
    return 0;
}

int json_get_uuid(const json_t *object, const char *name, bool required, const char **ret, struct error *err)
{
    const json_t *value;
    int r = member(object, name, required, &value, err);
    if (r <= 0)
        return r;
    if (!json_is_string(value) || !uuid_valid(text_of(json_string_value(value))))
        return refuse(err, "field_invalid", name, "\"%s\" must be a UUID.", name);
    *ret = json_string_value(value);
    return 0;
}
