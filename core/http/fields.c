#include "http/fields.h"

#include <string.h>
#include <strings.h>

static struct text trim(struct text t)
{
    while (t.len > 0 && (t.p[0] == ' ' || t.p[0] == '\t')) {
        t.p++;
        t.len--;
    }
    while (t.len > 0 && (t.p[t.len - 1] == ' ' || t.p[t.len - 1] == '\t'))
        t.len--;
    return t;
}

/* Takes the next element of a list off *rest, without the blanks around it; false at the end. */
static bool next_element(struct text *rest, char separator, struct text *ret)
{
    if (rest->len == 0)
        return false;
    const char *end = memchr(rest->p, separator, rest->len);
    size_t len = end ? (size_t)(end - rest->p) : rest->len;
    *ret = trim((struct text){rest->p, len});
    size_t used = end ? len + 1 : len;
    *rest = (struct text){rest->p + used, rest->len - used};
    return true;
}

bool field_etag_listed(struct text value, struct text etag)
{
    struct text rest = trim(value), one;

    if (text_is(rest, "*"))
        return true;
    while (next_element(&rest, ',', &one)) {
        if (text_starts(one, "W/"))
            one = (struct text){one.p + 2, one.len - 2};
        if (one.len == etag.len + 2 && one.p[0] == '"' && one.p[one.len - 1] == '"' &&
            memcmp(one.p + 1, etag.p, etag.len) == 0)
            return true;
    }
    return false;
}

bool field_cookie(struct text value, const char *name, struct text *ret)
{
    struct text rest = value, one;
    size_t name_len = strlen(name);

    while (next_element(&rest, ';', &one)) {
        if (one.len > name_len && one.p[name_len] == '=' && memcmp(one.p, name, name_len) == 0) {
            *ret = (struct text){one.p + name_len + 1, one.len - name_len - 1};
            return true;
        }
    }
    return false;
}

bool field_media_type_is(struct text value, const char *lower_case_type)
{
    struct text rest = value, type;

    return next_element(&rest, ';', &type) && type.len == strlen(lower_case_type) &&
           strncasecmp(type.p, lower_case_type, type.len) == 0;
}

struct text field_last(struct text value)
{
    struct text rest = value, one = {"", 0};

    while (next_element(&rest, ',', &one))
        continue;
    return one;
}

enum field_range field_range(struct text value, uint64_t size, uint64_t *ret_first, uint64_t *ret_len)
{
    struct text range = trim(value);
    int64_t first, last;

    if (!text_starts(range, "bytes=") || memchr(range.p, ',', range.len))
        return FIELD_RANGE_NONE;
    range = trim((struct text){range.p + 6, range.len - 6});
    const char *dash = range.len > 0 ? memchr(range.p, '-', range.len) : NULL;
    if (!dash)
        return FIELD_RANGE_NONE;
    struct text from = {range.p, (size_t)(dash - range.p)};
    struct text to = {dash + 1, range.len - from.len - 1};

    if (to.len == 0)
        last = INT64_MAX;
    else if (text_to_int64(to, 0, INT64_MAX, &last) < 0)
        return FIELD_RANGE_NONE;
    if (from.len == 0) { /* "-n": the last n bytes */
        if (to.len == 0)
            return FIELD_RANGE_NONE;
        if (last == 0 || size == 0)
            return FIELD_RANGE_UNSATISFIABLE;
        *ret_len = (uint64_t)last < size ? (uint64_t)last : size;
        *ret_first = size - *ret_len;
        return FIELD_RANGE_PART;
    }
    if (text_to_int64(from, 0, INT64_MAX, &first) < 0 || first > last)
        return FIELD_RANGE_NONE;
    if ((uint64_t)first >= size)
        return FIELD_RANGE_UNSATISFIABLE;
    uint64_t end = (uint64_t)last < size - 1 ? (uint64_t)last : size - 1;
    *ret_first = (uint64_t)first;
    *ret_len = end - (uint64_t)first + 1;
    return FIELD_RANGE_PART;
}

/* Copies len lower-case hexadecimal digits; false when there are others. *ret_any: one of them is not '0'. */
static bool copy_hex(const char *from, size_t len, char *ret, bool *ret_any)
{
    *ret_any = false;
    for (size_t i = 0; i < len; i++) {
        if (!((from[i] >= '0' && from[i] <= '9') || (from[i] >= 'a' && from[i] <= 'f')))
            return false;
        *ret_any |= from[i] != '0';
        ret[i] = from[i];
    }
    ret[len] = '\0';
    return true;
}

bool field_traceparent(struct text value, char ret_trace[TRACE_ID_SIZE], char ret_span[SPAN_ID_SIZE],
                       char ret_flags[3])
{
    char version[3], trace[TRACE_ID_SIZE], span[SPAN_ID_SIZE], flags[3];
    struct text t = trim(value);
    bool any, any_trace, any_span;

    if (t.len < 55 || t.p[2] != '-' || t.p[35] != '-' || t.p[52] != '-')
        return false;
    if (!copy_hex(t.p, 2, version, &any) || strcmp(version, "ff") == 0)
        return false;
    if (t.len > 55 && (!any || t.p[55] != '-')) /* only a later version may be longer */
        return false;
    if (!copy_hex(t.p + 3, 32, trace, &any_trace) || !copy_hex(t.p + 36, 16, span, &any_span) ||
        !copy_hex(t.p + 53, 2, flags, &any) || !any_trace || !any_span)
        return false;
    memcpy(ret_trace, trace, sizeof(trace));
    memcpy(ret_span, span, sizeof(span));
    memcpy(ret_flags, flags, sizeof(flags));
    return true;
}
