#include "identity/totp.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <qrencode.h>
#include <string.h>

#include "base/crypto.h"
#include "base/die.h"

enum { DIGITS = 6, QUIET = 4, SVG_MAX = 1 << 20 };

uint32_t totp_code(struct text seed, int64_t step)
{
    uint8_t message[8], hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    for (int i = 0; i < 8; i++)
        message[i] = (uint8_t)((uint64_t)step >> (8 * (7 - i)));
    if (!HMAC(EVP_sha1(), seed.p, (int)seed.len, message, sizeof(message), hash, &len))
        die("totp_code", "HMAC failed");
    /* RFC 4226, section 5.3: dynamic truncation. */
    const uint8_t *at = hash + (hash[len - 1] & 0xf);
    uint32_t bits = (uint32_t)(at[0] & 0x7f) << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    return bits % 1000000;
}

/* Six digits, and blanks as apps show them between; -1 otherwise. */
static int64_t code_value(struct text code)
{
    int64_t value = 0;
    int digits = 0;
    for (size_t i = 0; i < code.len; i++) {
        if (code.p[i] == ' ')
            continue;
        if (code.p[i] < '0' || code.p[i] > '9' || ++digits > DIGITS)
            return -1;
        value = value * 10 + (code.p[i] - '0');
    }
    return digits == DIGITS ? value : -1;
}

int64_t totp_step_of(struct text seed, struct text code, int64_t now, int64_t behind)
{
    int64_t value = code_value(code), step = now / TOTP_STEP_SECONDS, found = -1;
    if (value < 0)
        return -1;
    for (int64_t s = step - TOTP_DRIFT; s <= step + TOTP_DRIFT; s++) {
        uint32_t right = totp_code(seed, s), given = (uint32_t)value;
        if (crypto_equal(&right, &given, sizeof(right)) && s > behind && found < 0)
            found = s;
    }
    return found;
}

void base32_encode(const void *bytes, size_t len, char *ret)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    const uint8_t *in = bytes;
    unsigned held = 0, bits = 0;
    for (size_t i = 0; i < len; i++) {
        held = held << 8 | in[i];
        bits += 8;
        while (bits >= 5) {
            bits -= 5;
            *ret++ = alphabet[held >> bits & 31];
        }
    }
    if (bits)
        *ret++ = alphabet[held << (5 - bits) & 31];
    *ret = '\0';
}

/* RFC 3986, section 2.3: everything but the unreserved as %XX. */
static void percent_encode(struct buffer *out, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || strchr("-._~", *p);
        buffer_printf(out, plain ? "%c" : "%%%02X", *p);
    }
}

const char *totp_uri(struct arena *arena, const char *account, const char *secret)
{
    struct buffer out;
    buffer_init(&out, 8192);
    buffer_puts(&out, "otpauth://totp/Overread:");
    percent_encode(&out, account);
    buffer_printf(&out, "?secret=%s&issuer=Overread", secret);
    const char *uri = arena_copy(arena, out.p, out.len);
    buffer_finish(&out);
    return uri;
}

const char *qr_svg(struct arena *arena, const char *text)
{
    QRcode *code = QRcode_encodeString(text, 0, QR_ECLEVEL_M, QR_MODE_8, 1);
    struct buffer out;
    const char *svg;
    if (!code)
        return NULL;
    int side = code->width + 2 * QUIET;
    buffer_init(&out, SVG_MAX);
    buffer_printf(&out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" shape-rendering=\"crispEdges\">"
                  "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/><path fill=\"#000\" d=\"",
                  side, side, side, side);
    for (int y = 0; y < code->width; y++)
        for (int x = 0; x < code->width; x++)
            if (code->data[y * code->width + x] & 1)
                buffer_printf(&out, "M%d %dh1v1h-1z", x + QUIET, y + QUIET);
    buffer_puts(&out, "\"/></svg>");
    svg = out.failed ? NULL : arena_copy(arena, out.p, out.len);
    buffer_finish(&out);
    QRcode_free(code);
    return svg;
}
