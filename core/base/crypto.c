#include "base/crypto.h"

#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/die.h"

void crypto_random(void *ret, size_t len)
{
    if (len > INT_MAX || RAND_bytes(ret, (int)len) != 1)
        die("crypto_random", "no randomness");
}

void crypto_sha256(const void *bytes, size_t len, uint8_t ret[SHA256_SIZE])
{
    if (!SHA256(bytes, len, ret))
        die("crypto_sha256", "SHA-256 is not available");
}

void crypto_sha256_hex(const void *bytes, size_t len, char ret[SHA256_HEX_SIZE])
{
    uint8_t hash[SHA256_SIZE];
    crypto_sha256(bytes, len, hash);
    hex_encode(hash, sizeof(hash), ret);
}

static int digest_fd(EVP_MD_CTX *context, int fd)
{
    uint8_t bytes[16384];
    off_t offset = 0;
    for (;;) {
        ssize_t n = pread(fd, bytes, sizeof(bytes), offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        if (EVP_DigestUpdate(context, bytes, (size_t)n) != 1)
            die("crypto_sha256_fd", "EVP_DigestUpdate failed");
        offset += n;
    }
}

int crypto_sha256_fd(int fd, char ret[SHA256_HEX_SIZE])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (!context || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1)
        die("crypto_sha256_fd", "SHA-256 is not available");
    uint8_t hash[SHA256_SIZE];
    int r = digest_fd(context, fd);
    if (r == 0 && EVP_DigestFinal_ex(context, hash, NULL) != 1)
        die("crypto_sha256_fd", "EVP_DigestFinal failed");
    EVP_MD_CTX_free(context);
    if (r == 0)
        hex_encode(hash, sizeof(hash), ret);
    return r;
}

void crypto_hmac_sha256(struct text key, struct text message, uint8_t ret[SHA256_SIZE])
{
    /* OpenSSL takes a NULL key for "the key of the last call": an empty one must not be NULL. */
    const void *key_bytes = key.len ? key.p : "";
    unsigned len = SHA256_SIZE;
    if (key.len > INT_MAX ||
        !HMAC(EVP_sha256(), key_bytes, (int)key.len, (const uint8_t *)message.p, message.len, ret, &len))
        die("crypto_hmac_sha256", "HMAC failed");
}

bool crypto_equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

void hex_encode(const void *bytes, size_t len, char *ret)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = bytes;
    for (size_t i = 0; i < len; i++) {
        *ret++ = digits[p[i] >> 4];
        *ret++ = digits[p[i] & 15];
    }
    *ret = '\0';
}

static const char base64url_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void base64url_encode(const void *bytes, size_t len, char *ret)
{
    const uint8_t *p = bytes;
    uint32_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < len; i++) {
        bits = (bits << 8 | p[i]) & 0xFFFF;
        held += 8;
        for (; held >= 6; held -= 6)
            *ret++ = base64url_digits[bits >> (held - 6) & 63];
    }
    if (held)
        *ret++ = base64url_digits[bits << (6 - held) & 63];
    *ret = '\0';
}

static int base64url_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

int base64url_decode(struct text t, void *ret, size_t max)
{
    size_t len = t.len / 4 * 3 + (t.len % 4 > 1 ? t.len % 4 - 1 : 0);
    if (t.len % 4 == 1 || len > INT_MAX)
        return -EINVAL;
    if (len > max)
        return -ENOSPC;
    uint8_t *p = ret;
    uint32_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < t.len; i++) {
        int value = base64url_value(t.p[i]);
        if (value < 0)
            return -EINVAL;
        bits = (bits << 6 | (uint32_t)value) & 0xFFFF;
        held += 6;
        if (held >= 8) {
            held -= 8;
            *p++ = (uint8_t)(bits >> held);
        }
    }
    /* Left-over bits must be 0, or two texts would decode to the same bytes. */
    return bits & ((1u << held) - 1) ? -EINVAL : (int)len;
}

void base64_encode(const void *bytes, size_t len, char *ret)
{
    EVP_EncodeBlock((unsigned char *)ret, bytes, (int)len);
}

void uuid_v7(char ret[UUID_SIZE])
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    /* The 12 bits behind the milliseconds hold their fraction (RFC 9562, section 6.2, method 3): keys made
     * one after another are neighbours in an index. */
    uint64_t fraction = ((uint64_t)now.tv_nsec % 1000000 << 12) / 1000000;
    uint8_t id[16];
    crypto_random(id + 8, 8);
    for (int i = 0; i < 6; i++)
        id[i] = (uint8_t)(ms >> (40 - 8 * i));
    id[6] = (uint8_t)(0x70 | fraction >> 8);
    id[7] = (uint8_t)fraction;
    id[8] = (uint8_t)(0x80 | (id[8] & 0x3F));

    char hex[2 * sizeof(id) + 1];
    hex_encode(id, sizeof(id), hex);
    const char *from = hex;
    for (int i = 0; i < UUID_SIZE - 1; i++)
        ret[i] = i == 8 || i == 13 || i == 18 || i == 23 ? '-' : *from++;
    ret[UUID_SIZE - 1] = '\0';
}

bool uuid_valid(struct text t)
{
    if (t.len != UUID_SIZE - 1)
        return false;
    for (size_t i = 0; i < t.len; i++) {
        char c = t.p[i];
        bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        if (hyphen ? c != '-' : !hex)
            return false;
    }
    return true;
}

/* --- Sealing ------------------------------------------------------------------------------------------------------- */

enum { NONCE_SIZE = 12, TAG_SIZE = 16 };

static int int_len(size_t len)
{
    if (len > INT_MAX)
        die("crypto_seal", "too long");
    return (int)len;
}

void crypto_seal(const uint8_t key[CRYPTO_KEY_SIZE], struct text context, struct text plain, uint8_t *ret)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t *body = ret + NONCE_SIZE;
    int n = 0;
    crypto_random(ret, NONCE_SIZE);
    if (!ctx || EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, ret) != 1 ||
        EVP_EncryptUpdate(ctx, NULL, &n, (const uint8_t *)context.p, int_len(context.len)) != 1 ||
        EVP_EncryptUpdate(ctx, body, &n, (const uint8_t *)plain.p, int_len(plain.len)) != 1 ||
        EVP_EncryptFinal_ex(ctx, body + plain.len, &n) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_SIZE, body + plain.len) != 1)
        die("crypto_seal", "AES-256-GCM failed");
    EVP_CIPHER_CTX_free(ctx);
}

int64_t crypto_open(const uint8_t key[CRYPTO_KEY_SIZE], struct text context, struct text sealed, uint8_t *ret)
{
    if (sealed.len < CRYPTO_SEAL_EXTRA)
        return -EBADMSG;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    const uint8_t *nonce = (const uint8_t *)sealed.p, *body = nonce + NONCE_SIZE;
    size_t len = sealed.len - CRYPTO_SEAL_EXTRA;
    uint8_t tag[TAG_SIZE];
    int n = 0;
    memcpy(tag, body + len, sizeof(tag));
    if (!ctx || EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce) != 1 ||
        EVP_DecryptUpdate(ctx, NULL, &n, (const uint8_t *)context.p, int_len(context.len)) != 1 ||
        EVP_DecryptUpdate(ctx, ret, &n, body, int_len(len)) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, tag) != 1)
        die("crypto_open", "AES-256-GCM failed");
    bool whole = EVP_DecryptFinal_ex(ctx, ret + len, &n) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return whole ? (int64_t)len : -EBADMSG;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int hex_decode(struct text t, void *ret, size_t max)
{
    uint8_t *out = ret;
    if (t.len % 2)
        return -EINVAL;
    if (t.len / 2 > max || t.len > INT_MAX)
        return -ENOSPC;
    for (size_t i = 0; i < t.len / 2; i++) {
        int high = hex_value(t.p[2 * i]), low = hex_value(t.p[2 * i + 1]);
        if (high < 0 || low < 0)
            return -EINVAL;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return (int)(t.len / 2);
}
