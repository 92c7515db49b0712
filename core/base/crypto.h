/* Random bytes, hashes and text encodings: thin faces over OpenSSL, so that rooms do not each hold an EVP dance. */
#ifndef OVERREAD_BASE_CRYPTO_H
#define OVERREAD_BASE_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/text.h"

#define SHA256_SIZE 32
#define SHA256_HEX_SIZE 65 /* with its NUL */
#define UUID_SIZE 37       /* with its NUL */

void crypto_random(void *ret, size_t len); /* ends the process when the system has no randomness */
void crypto_sha256(const void *bytes, size_t len, uint8_t ret[SHA256_SIZE]);
void crypto_sha256_hex(const void *bytes, size_t len, char ret[SHA256_HEX_SIZE]);
/* Hash of a whole file from offset 0, by descriptor, read with pread. 0 or -errno. */
int crypto_sha256_fd(int fd, char ret[SHA256_HEX_SIZE]);
void crypto_hmac_sha256(struct text key, struct text message, uint8_t ret[SHA256_SIZE]);
bool crypto_equal(const void *a, const void *b, size_t len); /* constant time */

/* AES-256-GCM (NIST SP 800-38D) with a random nonce: nonce, ciphertext, tag. `context` is not kept, and must be the same
 * when it is opened: it says whose secret this is, so that one row's cannot be put into another's. */
#define CRYPTO_KEY_SIZE 32
#define CRYPTO_SEAL_EXTRA (12 + 16)
void crypto_seal(const uint8_t key[CRYPTO_KEY_SIZE], struct text context, struct text plain, uint8_t *ret);
/* Bytes of the plain text, or -EBADMSG: another key or context, or it was changed. ret holds sealed_len bytes. */
int64_t crypto_open(const uint8_t key[CRYPTO_KEY_SIZE], struct text context, struct text sealed, uint8_t *ret);

int hex_decode(struct text t, void *ret, size_t max); /* bytes decoded, or -EINVAL / -ENOSPC */
void hex_encode(const void *bytes, size_t len, char *ret); /* 2 * len + 1 */
/* Base64url without padding (RFC 4648, section 5). ret holds (len * 4 + 2) / 3 + 1 bytes. */
void base64url_encode(const void *bytes, size_t len, char *ret);
/* Number of bytes decoded, or -EINVAL / -ENOSPC. */
int base64url_decode(struct text t, void *ret, size_t max);
/* Base64 with padding (RFC 4648, section 4). ret holds (len + 2) / 3 * 4 + 1 bytes. */
void base64_encode(const void *bytes, size_t len, char *ret);

void uuid_v7(char ret[UUID_SIZE]);  /* RFC 9562, section 5.7; lower case */
bool uuid_valid(struct text t);     /* 8-4-4-4-12, hexadecimal */

#endif
