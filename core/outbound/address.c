#include "outbound/address.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct range {
    uint8_t prefix[16];
    unsigned bits;
};

/* IANA's registry of special-purpose IPv4 addresses, and multicast and above. */
static const struct range special4[] = {
    {{0}, 8},          {{10}, 8},          {{100, 64}, 10},   {{127}, 8},         {{169, 254}, 16},
    {{172, 16}, 12},   {{192, 0, 0}, 24},  {{192, 0, 2}, 24}, {{192, 31, 196}, 24}, {{192, 52, 193}, 24},
    {{192, 88, 99}, 24}, {{192, 168}, 16}, {{192, 175, 48}, 24}, {{198, 18}, 15}, {{198, 51, 100}, 24},
    {{203, 0, 113}, 24}, {{224}, 3},
};
/* Of IPv6 only 2000::/3 is given out; within it these are special. */
static const struct range special6[] = {
    {{0x20, 0x01, 0x00}, 23},                                 /* 2001::/23: Teredo, ORCHID, benchmarks */
    {{0x20, 0x01, 0x0d, 0xb8}, 32},                           /* documentation */
    {{0x26, 0x20, 0x00, 0x4f, 0x80, 0x00}, 48},               /* AS112 */
    {{0x3f, 0xff}, 20},                                       /* documentation */
};
static const struct range global6 = {{0x20}, 3}, six_to_four = {{0x20, 0x02}, 16};
static const struct range mapped = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96};
static const struct range nat64 = {{0x00, 0x64, 0xff, 0x9b}, 96};

static bool within(const uint8_t *bytes, const struct range *range)
{
    unsigned whole = range->bits / 8, rest = range->bits % 8;
    if (memcmp(bytes, range->prefix, whole) != 0)
        return false;
    return rest == 0 || (bytes[whole] ^ range->prefix[whole]) >> (8 - rest) == 0;
}

static bool public4(const uint8_t *bytes)
{
    for (size_t i = 0; i < sizeof(special4) / sizeof(special4[0]); i++)
        if (within(bytes, &special4[i]))
            return false;
    return true;
}

static bool public6(const uint8_t *bytes)
{
    if (within(bytes, &mapped) || within(bytes, &nat64))
        return public4(bytes + 12);
    if (within(bytes, &six_to_four))
        return public4(bytes + 2);
    for (size_t i = 0; i < sizeof(special6) / sizeof(special6[0]); i++)
        if (within(bytes, &special6[i]))
            return false;
    return within(bytes, &global6);
}

/* By copying: what libcurl and getaddrinfo hand out is aligned, what others do need not be. */
static bool bytes_of(const struct sockaddr *address, uint8_t ret[16])
{
    if (address->sa_family == AF_INET) {
        memcpy(ret, (const char *)address + offsetof(struct sockaddr_in, sin_addr), 4);
        return true;
    }
    if (address->sa_family == AF_INET6) {
        memcpy(ret, (const char *)address + offsetof(struct sockaddr_in6, sin6_addr), 16);
        return true;
    }
    return false;
}

bool address_is_public(const struct sockaddr *address)
{
    uint8_t bytes[16];
    if (!bytes_of(address, bytes))
        return false;
    return address->sa_family == AF_INET ? public4(bytes) : public6(bytes);
}

bool address_is_loopback(const struct sockaddr *address)
{
    static const uint8_t one[16] = {[15] = 1};
    uint8_t bytes[16];
    if (!bytes_of(address, bytes))
        return false;
    if (address->sa_family == AF_INET)
        return bytes[0] == 127;
    return memcmp(bytes, one, 16) == 0 || (within(bytes, &mapped) && bytes[12] == 127);
}
