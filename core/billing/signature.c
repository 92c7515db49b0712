#include "billing/signature.h"

#include <string.h>

#include "base/crypto.h"

enum { SIGNATURES_MAX = 16, PAYLOAD_HEAD_MAX = 24 };

struct parsed {
    struct text time;
    uint8_t v1[SIGNATURES_MAX][SHA256_SIZE];
    int count;
};

static struct text next_part(struct text *rest)
{
    const char *comma = rest->len ? memchr(rest->p, ',', rest->len) : NULL;
    struct text part = {rest->p, comma ? (size_t)(comma - rest->p) : rest->len};
    size_t used = part.len + (comma != NULL);
    *rest = (struct text){rest->p + used, rest->len - used};
    return part;
}

static bool parse(struct text header, struct parsed *ret)
{
    while (header.len) {
        struct text part = next_part(&header);
        if (text_starts(part, "t=")) {
            if (ret->time.p)
                return false;
            ret->time = (struct text){part.p + 2, part.len - 2};
        } else if (text_starts(part, "v1=") && ret->count < SIGNATURES_MAX) {
            struct text hex = {part.p + 3, part.len - 3};
            if (hex.len == 2 * SHA256_SIZE && hex_decode(hex, ret->v1[ret->count], SHA256_SIZE) == SHA256_SIZE)
                ret->count++;
        }
    }
    return ret->time.p && ret->count;
}

static bool fits(const struct parsed *p, struct text secret, struct text signed_bytes)
{
    uint8_t mac[SHA256_SIZE];
    bool good = false;
    crypto_hmac_sha256(secret, signed_bytes, mac);
    for (int i = 0; i < p->count; i++)
        good |= crypto_equal(mac, p->v1[i], sizeof(mac));
    return good;
}

bool stripe_signature_good(struct text header, struct text body, const char *secrets, int64_t now_s)
{
    struct parsed p = {0};
    struct text rest = text_of(secrets);
    struct buffer signed_bytes;
    int64_t at;
    bool good = false;
    if (!parse(header, &p) || text_to_int64(p.time, 0, INT64_MAX / 2, &at) < 0 || at < now_s - STRIPE_TOLERANCE_S ||
        at > now_s + STRIPE_TOLERANCE_S)
        return false;
    buffer_init(&signed_bytes, body.len + PAYLOAD_HEAD_MAX + 2);
    buffer_add(&signed_bytes, p.time.p, p.time.len);
    buffer_puts(&signed_bytes, ".");
    buffer_add(&signed_bytes, body.p, body.len);
    while (!signed_bytes.failed && rest.len) {
        struct text secret = next_part(&rest);
        if (secret.len)
            good |= fits(&p, secret, (struct text){signed_bytes.p, signed_bytes.len});
    }
    buffer_finish(&signed_bytes);
    return good;
}
