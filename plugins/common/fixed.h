/* Fixed-point numbers. A double is turned into an integer once, from its bits and with integer arithmetic
 * only, and all that follows is integer: no rounding mode, no fused multiply-add and no locale can change a
 * grade. */
#ifndef OVERREAD_PLUGINS_COMMON_FIXED_H
#define OVERREAD_PLUGINS_COMMON_FIXED_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "common/value.h"

__extension__ typedef __int128 int128;
__extension__ typedef unsigned __int128 uint128;

/* number * scale, rounded half away from zero; clamped to +-2^62. scale: 1 to 10^9. number must be finite. */
static inline int64_t fixed_from_number(double number, uint32_t scale)
{
    const uint64_t limit = UINT64_C(1) << 62;
    uint64_t bits;
    memcpy(&bits, &number, sizeof(bits));
    uint64_t mantissa = bits & ((UINT64_C(1) << 52) - 1);
    int exponent = (int)((bits >> 52) & 0x7ff);
    if (exponent == 0)
        exponent = 1; /* subnormal: no hidden bit */
    else
        mantissa |= UINT64_C(1) << 52;
    int shift = 1075 - exponent; /* |number| = mantissa * 2^-shift */
    uint128 product = (uint128)mantissa * scale;
    uint128 magnitude;
    if (product == 0 || shift > 100)
        magnitude = 0;
    else if (shift > 0)
        magnitude = (product + ((uint128)1 << (shift - 1))) >> shift;
    else
        magnitude = shift < -40 ? limit : product << -shift;
    if (magnitude > limit)
        magnitude = limit;
    return bits >> 63 ? -(int64_t)magnitude : (int64_t)magnitude;
}

/* As above; fallback when value is no number. */
static inline int64_t fixed_from_value(const overread_value *value, uint32_t scale, int64_t fallback)
{
    return value_is_number(value) ? fixed_from_number(value->as.number, scale) : fallback;
}

/* A member of 0 to limit; an absent one leaves *ret alone. false: it is neither. */
static inline bool fixed_member(const overread_value *object, const char *name, uint32_t scale, int64_t limit,
                                int64_t *ret)
{
    const overread_value *value = value_member(object, name);
    if (!value)
        return true;
    int64_t number = fixed_from_value(value, scale, -1);
    if (number < 0 || number > limit)
        return false;
    *ret = number;
    return true;
}

/* An array of `count` numbers, each low to high. false: it is none. */
static inline bool fixed_array(const overread_value *value, uint32_t count, uint32_t scale, int64_t low,
                               int64_t high, int64_t *ret)
{
    if (value_count(value) != count)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!value_is_number(value_item(value, i)))
            return false;
        ret[i] = fixed_from_value(value_item(value, i), scale, 0);
        if (ret[i] < low || ret[i] > high)
            return false;
    }
    return true;
}

/* The largest r with r * r <= n. */
static inline uint64_t fixed_sqrt(uint128 n)
{
    uint128 root = 0;
    for (uint128 bit = (uint128)1 << 126; bit; bit >>= 2) {
        if (n >= root + bit) {
            n -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    return (uint64_t)root;
}

/* Quotient rounded half away from zero; divisor > 0. */
static inline int128 fixed_divide(int128 dividend, int128 divisor)
{
    return dividend < 0 ? -((-dividend + divisor / 2) / divisor) : (dividend + divisor / 2) / divisor;
}

static inline int64_t fixed_absolute(int64_t number)
{
    return number < 0 ? -number : number;
}

/* Between two points, rounded down. */
static inline int64_t fixed_distance(const int64_t *a, const int64_t *b, int axes)
{
    uint128 sum = 0;
    for (int i = 0; i < axes; i++)
        sum += (uint128)((int128)(a[i] - b[i]) * (a[i] - b[i]));
    return (int64_t)fixed_sqrt(sum);
}

/* Does a come before b, by the first key that tells them apart? */
static inline bool fixed_before(const int64_t *a, const int64_t *b, int keys)
{
    int i = 0;
    while (i < keys - 1 && a[i] == b[i])
        i++;
    return a[i] < b[i];
}

struct fixed_text {
    char text[32];
};

/* number / 10^decimals, rounded half away from zero to `shown` decimals: fixed_text(12345, 3, 1) is "12.3".
 * 0 <= shown <= decimals <= 9; |number| <= 2^62. */
static inline struct fixed_text fixed_text(int64_t number, int decimals, int shown)
{
    struct fixed_text ret = {{0}};
    char reversed[32];
    int length = 0;
    int64_t divisor = 1;
    for (int i = shown; i < decimals; i++)
        divisor *= 10;
    uint64_t magnitude = (uint64_t)(int64_t)fixed_divide(fixed_absolute(number), divisor);
    bool negative = number < 0 && magnitude > 0;
    for (int i = 0; i <= shown || magnitude; i++) {
        if (i == shown && shown > 0)
            reversed[length++] = '.';
        reversed[length++] = (char)('0' + (int)(magnitude % 10));
        magnitude /= 10;
    }
    int at = 0;
    if (negative)
        ret.text[at++] = '-';
    while (length > 0)
        ret.text[at++] = reversed[--length];
    return ret;
}

#endif
