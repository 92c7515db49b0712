#include "grading/schema_node.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "base/text.h"

bool schema_is_integer(const json_t *json)
{
    if (json_is_integer(json))
        return true;
    return json_is_real(json) && trunc(json_real_value(json)) == json_real_value(json);
}

/* Holds every int64 and every double exactly. */
static long double number(const json_t *json)
{
    return json_is_integer(json) ? (long double)json_integer_value(json) : (long double)json_real_value(json);
}

int schema_compare_numbers(const json_t *a, const json_t *b)
{
    long double x = number(a), y = number(b);

    return x < y ? -1 : x > y ? 1 : 0;
}

/* --- multipleOf: in decimal, as the numbers were written, so that 0.3 is a multiple of 0.1
 * ------------------------- */

struct decimal { /* coefficient * 10^exponent, sign left out */
    uint64_t coefficient;
    int exponent;
};

/* The shortest decimal that reads back as the same double. */
static struct decimal shortest(double value)
{
    char text[40];
    struct decimal ret = {0};
    const char *p = text;
    int shift = 0, sign = 1, exponent = 0;

    for (int precision = 14; precision <= 16; precision++) {
        snprintf(text, sizeof(text), "%.*e", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
    for (; *p && *p != 'e'; p++) { /* one digit, the locale's point, more digits */
        if (*p < '0' || *p > '9')
            continue;
        ret.coefficient = ret.coefficient * 10 + (uint64_t)(*p - '0');
        shift++;
    }
    for (; *p; p++) {
        if (*p == '-')
            sign = -1;
        else if (*p >= '0' && *p <= '9')
            exponent = exponent * 10 + (*p - '0');
    }
    ret.exponent = sign * exponent - (shift - 1);
    return ret;
}

static struct decimal decimal(const json_t *json)
{
    struct decimal ret;

    if (json_is_integer(json)) {
        int64_t value = json_integer_value(json);

        ret = (struct decimal){.coefficient = value < 0 ? 0 - (uint64_t)value : (uint64_t)value};
    } else {
        ret = shortest(fabs(json_real_value(json)));
    }
    while (ret.coefficient != 0 && ret.coefficient % 10 == 0) {
        ret.coefficient /= 10;
        ret.exponent++;
    }
    return ret;
}

bool schema_is_multiple(const json_t *value, const json_t *of)
{
    struct decimal a = decimal(value), b = decimal(of);
    unsigned __int128 rest = a.coefficient, divisor = b.coefficient;

    if (a.coefficient == 0)
        return true;
    /* a * 10^n mod b, or a mod b * 10^n; a divisor above the coefficient divides nothing but 0. */
    for (int n = a.exponent - b.exponent; n > 0 && rest != 0; n--)
        rest = rest % divisor * 10;
    for (int n = a.exponent - b.exponent; n < 0; n++) {
        divisor *= 10;
        if (divisor > rest)
            return false;
    }
    return rest % divisor == 0;
}

/* --- Equality
 * --------------------------------------------------------------------------------------------------- */

static bool same_arrays(const json_t *a, const json_t *b)
{
    if (json_array_size(a) != json_array_size(b))
        return false;
    for (size_t i = 0; i < json_array_size(a); i++)
        if (!schema_same(json_array_get(a, i), json_array_get(b, i)))
            return false;
    return true;
}

static bool same_objects(const json_t *a, const json_t *b)
{
    if (json_object_size(a) != json_object_size(b))
        return false;
    void *iter = json_object_iter((json_t *)(uintptr_t)a); /* takes no const, and changes nothing */

    for (; iter; iter = json_object_iter_next((json_t *)(uintptr_t)a, iter)) {
        const json_t *other = json_object_get(b, json_object_iter_key(iter));

        if (!other || !schema_same(json_object_iter_value(iter), other))
            return false;
    }
    return true;
}

bool schema_same(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return schema_compare_numbers(a, b) == 0;
    if (json_typeof(a) != json_typeof(b))
        return false;
    switch (json_typeof(a)) {
    case JSON_STRING:
        return json_string_length(a) == json_string_length(b) &&
               memcmp(json_string_value(a), json_string_value(b), json_string_length(a)) == 0;
    case JSON_ARRAY:
        return same_arrays(a, b);
    case JSON_OBJECT:
        return same_objects(a, b);
    default:
        return true;
    }
}

/* A text that two values share exactly when they are the same. */
static void add_canonical(struct buffer *out, const json_t *json);

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_canonical_object(struct buffer *out, const json_t *json)
{
    size_t count = json_object_size(json), i = 0;
    const char **names = mem_array(count ? count : 1, sizeof(*names));
    void *iter = json_object_iter((json_t *)(uintptr_t)json);

    for (; iter; iter = json_object_iter_next((json_t *)(uintptr_t)json, iter))
        names[i++] = json_object_iter_key(iter);
    qsort(names, count, sizeof(*names), compare_names);
    buffer_add(out, "{", 1);
    for (i = 0; i < count; i++) {
        buffer_json_string(out, text_of(names[i]));
        add_canonical(out, json_object_get(json, names[i]));
    }
    buffer_add(out, "}", 1);
    mem_free(names);
}

static void add_canonical(struct buffer *out, const json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_STRING:
        buffer_json_string(out, (struct text){.p = json_string_value(json), .len = json_string_length(json)});
        break;
    case JSON_INTEGER:
    case JSON_REAL:
        buffer_printf(out, "%.20Lg ", number(json) == 0 ? 0.0L : number(json));
        break;
    case JSON_ARRAY:
        buffer_add(out, "[", 1);
        for (size_t i = 0; i < json_array_size(json); i++)
            add_canonical(out, json_array_get(json, i));
        buffer_add(out, "]", 1);
        break;
    case JSON_OBJECT:
        add_canonical_object(out, json);
        break;
    default:
        buffer_puts(out, json_is_null(json) ? "n" : json_is_true(json) ? "t" : "f");
    }
}

struct span {
    const char *p;
    size_t start, len;
};

static int compare_spans(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    int order = memcmp(x->p + x->start, y->p + y->start, x->len < y->len ? x->len : y->len);

    return order ? order : x->len < y->len ? -1 : x->len > y->len;
}

bool schema_has_twins(const json_t *array)
{
    size_t count = json_array_size(array);
    struct span *spans = mem_array(count ? count : 1, sizeof(*spans));
    struct buffer out;
    bool twins = false;

    buffer_init(&out, SIZE_MAX / 2); /* in proportion to the instance, which was bounded before */
    for (size_t i = 0; i < count; i++) {
        spans[i].start = out.len;
        add_canonical(&out, json_array_get(array, i));
        spans[i].len = out.len - spans[i].start;
    }
    for (size_t i = 0; i < count; i++)
        spans[i].p = out.p;
    qsort(spans, count, sizeof(*spans), compare_spans);
    for (size_t i = 1; i < count && !twins; i++)
        twins = compare_spans(&spans[i - 1], &spans[i]) == 0;
    buffer_finish(&out);
    mem_free(spans);
    return twins;
}
