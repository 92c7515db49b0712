#include "http/uri.h"

#include <errno.h>
#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Length of the UTF-8 sequence at p (RFC 3629: no surrogates, no overlong forms), 0 when it is not one. */
static size_t utf8_sequence(const unsigned char *p, size_t left)
{
    unsigned char low = 0x80, high = 0xbf;
    size_t len;

    if (p[0] < 0x80)
        return p[0] == 0 ? 0 : 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        len = 2;
    } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
        len = 3;
        low = p[0] == 0xe0 ? 0xa0 : 0x80;
        high = p[0] == 0xed ? 0x9f : 0xbf;
    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        len = 4;
        low = p[0] == 0xf0 ? 0x90 : 0x80;
        high = p[0] == 0xf4 ? 0x8f : 0xbf;
    } else {
        return 0;
    }
    if (left < len || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    return len;
}

static bool utf8_text(const char *p, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t step = utf8_sequence((const unsigned char *)p + i, len - i);
        if (step == 0)
            return false;
        i += step;
    }
    return true;
}

int uri_decode(struct arena *arena, struct text t, bool plus, struct text *ret)
{
    char *out = arena_alloc(arena, t.len + 1);
    size_t len = 0;

    for (size_t i = 0; i < t.len; i++) {
        char c = t.p[i];
        if (c == '%') {
            if (t.len - i < 3)
                return -EINVAL;
            int high = hex_digit(t.p[i + 1]), low = hex_digit(t.p[i + 2]);
            if (high < 0 || low < 0)
                return -EINVAL;
            c = (char)(unsigned char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        out[len++] = c;
    }
    if (!utf8_text(out, len))
        return -EINVAL;
    *ret = (struct text){out, len};
    return 0;
}

/* Cuts the part before the next separator off *rest; false when nothing is left. */
static bool cut(struct text *rest, char separator, struct text *ret_part)
{
    if (!rest->p)
        return false;
    const char *end = memchr(rest->p, separator, rest->len);
    if (!end) {
        *ret_part = *rest;
        *rest = (struct text){NULL, 0};
        return true;
    }
    *ret_part = (struct text){rest->p, (size_t)(end - rest->p)};
    *rest = (struct text){end + 1, rest->len - ret_part->len - 1};
    return true;
}

int uri_path(struct arena *arena, struct text path, struct text ret[URI_SEGMENTS_MAX])
{
    struct text rest, part;
    int count = 0;

    if (path.len == 0 || path.p[0] != '/')
        return -EINVAL;
    rest = (struct text){path.p + 1, path.len - 1};
    while (cut(&rest, '/', &part)) {
        if (count == URI_SEGMENTS_MAX)
            return -E2BIG;
        if (uri_decode(arena, part, false, &ret[count]) < 0)
            return -EINVAL;
        count++;
    }
    return count;
}

int uri_query(struct arena *arena, struct text query, struct uri_pair ret[URI_PAIRS_MAX])
{
    struct text rest = query, part, name, value;
    int count = 0;

    while (query.len > 0 && cut(&rest, '&', &part)) {
        if (part.len == 0)
            continue;
        if (count == URI_PAIRS_MAX)
            return -E2BIG;
        value = part;
        cut(&value, '=', &name);
        if (uri_decode(arena, name, true, &ret[count].name) < 0 ||
            uri_decode(arena, value, true, &ret[count].value) < 0)
            return -EINVAL;
        count++;
    }
    return count;
}

int uri_target(struct text target, struct text *ret_path, struct text *ret_query)
{
    struct text rest = target;

    for (size_t scheme = 7; scheme <= 8; scheme++) {
        if (!text_starts(rest, scheme == 7 ? "http://" : "https://"))
            continue;
        const char *slash = memchr(rest.p + scheme, '/', rest.len - scheme);
        if (!slash)
            return -EINVAL;
        rest = (struct text){slash, rest.len - (size_t)(slash - rest.p)};
        break;
    }
    if (rest.len == 0 || rest.p[0] != '/')
        return -EINVAL;
    cut(&rest, '?', ret_path);
    *ret_query = rest.p ? rest : (struct text){"", 0};
    return 0;
}
