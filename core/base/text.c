#include "base/text.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "base/mem.h"

struct text text_of(const char *s)
{
    return s ? (struct text){s, strlen(s)} : (struct text){"", 0};
}

bool text_is(struct text t, const char *s)
{
    return text_equal(t, text_of(s));
}

bool text_equal(struct text a, struct text b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

bool text_starts(struct text t, const char *prefix)
{
    size_t len = strlen(prefix);
    return t.len >= len && (len == 0 || memcmp(t.p, prefix, len) == 0);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

int text_to_int64(struct text t, int64_t min, int64_t max, int64_t *ret)
{
    bool negative = t.len > 0 && t.p[0] == '-';
    size_t i = negative ? 1 : 0;
    if (i == t.len)
        return -EINVAL;
    int64_t value = 0;
    bool overflow = false;
    for (; i < t.len; i++) {
        if (!is_digit(t.p[i]))
            return -EINVAL;
        int digit = t.p[i] - '0';
        overflow = overflow || __builtin_mul_overflow(value, 10, &value) ||
                   __builtin_add_overflow(value, negative ? -digit : digit, &value);
    }
    if (overflow || value < min || value > max)
        return -ERANGE;
    *ret = value;
    return 0;
}

/* JSON's grammar (RFC 8259, section 6): no hexadecimal, no "inf", no blanks, whatever strtod would take. */
static bool is_json_number(struct text t)
{
    size_t i = 0;
    if (i < t.len && t.p[i] == '-')
        i++;
    size_t start = i;
    while (i < t.len && is_digit(t.p[i]))
        i++;
    if (i == start || (t.p[start] == '0' && i - start > 1))
        return false;
    if (i < t.len && t.p[i] == '.') {
        start = ++i;
        while (i < t.len && is_digit(t.p[i]))
            i++;
        if (i == start)
            return false;
    }
    if (i < t.len && (t.p[i] == 'e' || t.p[i] == 'E')) {
        i++;
        if (i < t.len && (t.p[i] == '+' || t.p[i] == '-'))
            i++;
        start = i;
        while (i < t.len && is_digit(t.p[i]))
            i++;
        if (i == start)
            return false;
    }
    return i == t.len;
}

static locale_t c_locale;

static void c_locale_open(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c_locale)
        die("newlocale", "no C locale");
}

int text_to_double(struct text t, double *ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char copy[512]; /* strtod wants a NUL; longer numbers than this carry no more meaning */
    if (t.len >= sizeof(copy) || !is_json_number(t))
        return -EINVAL;
    memcpy(copy, t.p, t.len);
    copy[t.len] = '\0';
    pthread_once(&once, c_locale_open);
    double value = strtod_l(copy, NULL, c_locale);
    if (!isfinite(value))
        return -EINVAL;
    *ret = value;
    return 0;
}

void buffer_init(struct buffer *b, size_t max)
{
    *b = (struct buffer){.max = max};
}

void buffer_finish(struct buffer *b)
{
    mem_free(b->p);
    *b = (struct buffer){.max = b->max};
}

void buffer_clear(struct buffer *b)
{
    b->len = 0;
    b->failed = false;
    if (b->p)
        b->p[0] = '\0';
}

/* Makes room for len more bytes and a NUL. False, and failed, when that would go beyond max. */
static bool reserve(struct buffer *b, size_t len)
{
    if (b->failed || len > b->max - b->len) {
        b->failed = true;
        return false;
    }
    size_t need = b->len + len + 1;
    if (need <= b->cap)
        return true;
    size_t cap = b->cap ? b->cap : 128;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    b->p = mem_resize(b->p, cap);
    b->cap = cap;
    return true;
}

void buffer_add(struct buffer *b, const void *bytes, size_t len)
{
    if (!reserve(b, len))
        return;
    if (len)
        memcpy(b->p + b->len, bytes, len);
    b->len += len;
    b->p[b->len] = '\0';
}

void buffer_puts(struct buffer *b, const char *s)
{
    buffer_add(b, s, strlen(s));
}

void buffer_printf(struct buffer *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    size_t room = b->p ? b->cap - b->len : 0;
    int len = vsnprintf(b->p ? b->p + b->len : NULL, room, format, args);
    va_end(args);
    if (len < 0)
        die("buffer_printf", "format error");
    bool fits = reserve(b, (size_t)len);
    if (fits && (size_t)len >= room)
        vsnprintf(b->p + b->len, (size_t)len + 1, format, again);
    va_end(again);
    if (fits)
        b->len += (size_t)len;
    else if (b->p)
        b->p[b->len] = '\0';
}

size_t text_plain(const char *p, size_t len)
{
    const uint64_t ones = UINT64_MAX / 0xFF, tops = ones * 0x80;
    size_t i = 0;
    /* Eight bytes at a time. The top bit of a byte of x - ones (with ~x) is set where x is 0, or above such a byte. */
    for (; len - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
        uint64_t w;
        memcpy(&w, p + i, sizeof(w));
        uint64_t quote = w ^ ones * '"', backslash = w ^ ones * '\\';
        uint64_t found = (quote - ones) & ~quote;
        found |= (backslash - ones) & ~backslash;
        found |= ((w - ones * 0x20) & ~w) | w;
        if (found & tops)
            break;
    }
    while (i < len && (unsigned char)p[i] >= 0x20 && (unsigned char)p[i] < 0x80 && p[i] != '"' && p[i] != '\\')
        i++;
    return i;
}

/* Length of the UTF-8 sequence at p, 0 when it is not one (overlong, surrogate, beyond U+10FFFF, cut short).
 */
size_t text_utf8_sequence(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80)
        return 1;
    unsigned char low = 0x80, high = 0xBF; /* bounds of the second byte */
    size_t len;
    if (p[0] >= 0xC2 && p[0] <= 0xDF) {
        len = 2;
    } else if (p[0] >= 0xE0 && p[0] <= 0xEF) {
        len = 3;
        low = p[0] == 0xE0 ? 0xA0 : low;
        high = p[0] == 0xED ? 0x9F : high;
    } else if (p[0] >= 0xF0 && p[0] <= 0xF4) {
        len = 4;
        low = p[0] == 0xF0 ? 0x90 : low;
        high = p[0] == 0xF4 ? 0x8F : high;
    } else {
        return 0;
    }
    if (left < len || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if (p[i] < 0x80 || p[i] > 0xBF)
            return 0;
    return len;
}

static void add_escaped(struct buffer *b, unsigned char c)
{
    switch (c) {
    case '"':
        buffer_add(b, "\\\"", 2);
        return;
    case '\\':
        buffer_add(b, "\\\\", 2);
        return;
    case '\b':
        buffer_add(b, "\\b", 2);
        return;
    case '\f':
        buffer_add(b, "\\f", 2);
        return;
    case '\n':
        buffer_add(b, "\\n", 2);
        return;
    case '\r':
        buffer_add(b, "\\r", 2);
        return;
    case '\t':
        buffer_add(b, "\\t", 2);
        return;
    default:
        buffer_printf(b, "\\u%04x", c);
    }
}

void buffer_json_string(struct buffer *b, struct text t)
{
    const unsigned char *p = (const unsigned char *)t.p;
    size_t plain = 0; /* start of the run that can be copied as it is */
    buffer_add(b, "\"", 1);
    for (size_t i = 0; (i += text_plain(t.p + i, t.len - i)) < t.len;) {
        size_t len = text_utf8_sequence(p + i, t.len - i);
        if (len > 1) {
            i += len;
            continue;
        }
        buffer_add(b, p + plain, i - plain);
        if (len == 0)
            buffer_add(b, "\xEF\xBF\xBD", 3);
        else
            add_escaped(b, p[i]);
        plain = ++i;
    }
    buffer_add(b, p + plain, t.len - plain);
    buffer_add(b, "\"", 1);
}
