#include "identity/second_factor.h"

#include <string.h>

#include "identity/totp.h"

enum { CODE_BYTES = 10, CODE_DIGITS = 16 };

void recovery_codes_make(struct recovery_codes *ret)
{
    struct buffer hashes;
    buffer_init(&hashes, sizeof(ret->hashes));
    for (int i = 0; i < RECOVERY_CODES; i++) {
        uint8_t random[CODE_BYTES];
        char plain[CODE_DIGITS + 1], hash[SHA256_HEX_SIZE];
        crypto_random(random, sizeof(random));
        base32_encode(random, sizeof(random), plain);
        crypto_sha256_hex(plain, CODE_DIGITS, hash);
        buffer_printf(&hashes, "%s%s", i ? "," : "{", hash);
        char *to = ret->codes[i];
        for (int d = 0; d < CODE_DIGITS; d++) {
            if (d && d % 4 == 0)
                *to++ = '-';
            *to++ = plain[d];
        }
        *to = '\0';
    }
    buffer_puts(&hashes, "}");
    memcpy(ret->hashes, hashes.p, hashes.len);
    ret->hashes[hashes.len] = '\0';
    buffer_finish(&hashes);
}

bool recovery_code_hash(struct text typed, char ret[SHA256_HEX_SIZE])
{
    char plain[CODE_DIGITS];
    size_t len = 0;
    for (size_t i = 0; i < typed.len; i++) {
        char c = typed.p[i];
        if (c == ' ' || c == '-')
            continue;
        if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        if (len == sizeof(plain) || !((c >= 'A' && c <= 'Z') || (c >= '2' && c <= '7')))
            return false;
        plain[len++] = c;
    }
    crypto_sha256_hex(plain, len, ret);
    return len == sizeof(plain);
}
