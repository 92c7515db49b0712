/* Ed25519 signatures of plugins. Private to grading, but for the command line (keygen, sign).
 *
 * <id>.sig, beside manifest.json and <id>.so, holds the 64 bytes of one signature over this message:
 *
 *     "overread plugin signature v1"     28 bytes: nothing that the key signs elsewhere reads as a plugin
 *     a zero byte
 *     SHA-256 of manifest.json           64 lower-case hexadecimal digits
 *     SHA-256 of <id>.so                 64 lower-case hexadecimal digits
 *
 * so that neither half can be exchanged, also not for one that the same key has signed. OpenSSL alone can check it:
 *
 *     (printf 'overread plugin signature v1\0'; cat manifest.json | sha256sum | head -c 64;
 *      cat ID.so | sha256sum | head -c 64) >message
 *     openssl pkeyutl -verify -rawin -pubin -inkey PUBLIC.pem -in message -sigfile ID.sig */
#ifndef OVERREAD_GRADING_SIGNATURE_H
#define OVERREAD_GRADING_SIGNATURE_H

#include <stdbool.h>
#include "base/arena.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/text.h"

#define SIGNATURE_SIZE 64

/* The public keys that an operator trusts. Immutable; any thread. */
struct signature_keys;

/* A PEM file of one or more Ed25519 public keys. NULL with ERROR_INVALID when it cannot be read, holds none, or holds
 * anything else: a key that was meant and does not count must not go unnoticed. */
struct signature_keys *signature_keys_load(const char *path, struct error *err);
struct signature_keys *signature_keys_destroy(struct signature_keys *keys);
/* fingerprint: SHA-256 over the key's DER (SubjectPublicKeyInfo), hexadecimal, as
 * `openssl pkey -pubin -in KEY.pem -outform DER | sha256sum` prints it. */
bool signature_keys_have(const struct signature_keys *keys, const char *fingerprint);

/* True when one of the keys made this signature for these two files; its fingerprint is then in ret. */
bool signature_verify(const struct signature_keys *keys, const char manifest_sha256[SHA256_HEX_SIZE],
                      const char library_sha256[SHA256_HEX_SIZE], struct text signature,
                      char ret_fingerprint[SHA256_HEX_SIZE]);

/* --- For who releases a plugin. Nothing is ever overwritten by keygen. ------------------------------------------ */

/* A new key: the private half (PKCS#8 PEM, mode 0600) and the public one (PEM). 0 or -1. */
int signature_keygen(const char *private_path, const char *public_path, char ret_fingerprint[SHA256_HEX_SIZE],
                     struct error *err);
/* Signs what lies at `target`, a folder that holds manifest.json and <id>.so, or a FILE.so that manifest.json lies
 * beside. Writes <id>.sig there, whole or not at all. */
int signature_sign(struct arena *arena, const char *private_path, const char *target, const char **ret_sig_path,
                   char ret_fingerprint[SHA256_HEX_SIZE], struct error *err);

#endif
