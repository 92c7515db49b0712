#include "grading/signature.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/die.h"
#include "base/mem.h"
#include "grading/author_folder.h"
#include "grading/manifest.h"

#define PREFIX "overread plugin signature v1" /* its NUL is signed too */
#define KEYS_MAX 64
#define DIGITS (SHA256_HEX_SIZE - 1)

struct message {
    char prefix[sizeof(PREFIX)];
    char manifest[DIGITS], library[DIGITS];
};

static struct message message_of(const char *manifest_sha256, const char *library_sha256)
{
    struct message message = {.prefix = PREFIX};

    memcpy(message.manifest, manifest_sha256, DIGITS);
    memcpy(message.library, library_sha256, DIGITS);
    return message;
}

static void fingerprint(const EVP_PKEY *key, char ret[SHA256_HEX_SIZE])
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key, &der);

    if (len <= 0)
        die("fingerprint", "i2d_PUBKEY failed");
    crypto_sha256_hex(der, (size_t)len, ret);
    OPENSSL_free(der);
}

/* --- Trusted keys
 * ----------------------------------------------------------------------------------------------- */

struct signature_keys {
    size_t count;
    EVP_PKEY *key[KEYS_MAX];
    char fingerprint[KEYS_MAX][SHA256_HEX_SIZE];
};

static int bad_keys(struct error *err, const char *path, const char *why)
{
    return error_set(err, ERROR_INVALID, "plugin_keys", "plugin_keys", "%.300s: %s.", path, why);
}

/* 0, or -1 when what the file holds is not public Ed25519 keys and nothing else. */
static int read_keys(struct signature_keys *keys, FILE *file, const char *path, struct error *err)
{
    char *name, *header;
    unsigned char *bytes;
    long len;

    /* Block by block: the one-call reader passes over what is no public key, a private one among it. */
    while (PEM_read(file, &name, &header, &bytes, &len) == 1) {
        const unsigned char *at = bytes;
        bool is_public = strcmp(name, PEM_STRING_PUBLIC) == 0;
        EVP_PKEY *key = is_public && keys->count < KEYS_MAX ? d2i_PUBKEY(NULL, &at, len) : NULL;

        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(bytes, (size_t)len);
        if (!is_public)
            return bad_keys(err, path, "it holds something else than public keys");
        if (!key || EVP_PKEY_get_id(key) != EVP_PKEY_ED25519) {
            EVP_PKEY_free(key);
            return bad_keys(err, path, keys->count == KEYS_MAX ? "it holds too many keys" : "a key is not Ed25519");
        }
        fingerprint(key, keys->fingerprint[keys->count]);
        keys->key[keys->count++] = key;
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return bad_keys(err, path, "it is not whole PEM");
    return keys->count ? 0 : bad_keys(err, path, "it holds no public key");
}

struct signature_keys *signature_keys_load(const char *path, struct error *err)
{
    struct signature_keys *keys;
    FILE *file = fopen(path, "re");

    if (!file) {
        bad_keys(err, path, strerrordesc_np(errno));
        return NULL;
    }
    keys = mem_alloc(sizeof(*keys));
    ERR_clear_error();
    int r = read_keys(keys, file, path, err);

    ERR_clear_error();
    fclose(file);
    return r < 0 ? signature_keys_destroy(keys) : keys;
}

struct signature_keys *signature_keys_destroy(struct signature_keys *keys)
{
    if (!keys)
        return NULL;
    for (size_t i = 0; i < keys->count; i++)
        EVP_PKEY_free(keys->key[i]);
    mem_free(keys);
    return NULL;
}

bool signature_keys_have(const struct signature_keys *keys, const char *wanted)
{
    for (size_t i = 0; i < keys->count; i++)
        if (strcmp(keys->fingerprint[i], wanted) == 0)
            return true;
    return false;
}

/* Ed25519 signs the message itself, not a hash of it: the one-shot calls are the only ones it has. */
static bool verify(EVP_PKEY *key, const struct message *message, struct text signature)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    if (!context || EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) != 1)
        die("signature_verify", "Ed25519 is not available");
    bool good = EVP_DigestVerify(context, (const unsigned char *)signature.p, signature.len,
                                 (const unsigned char *)message, sizeof(*message)) == 1;

    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return good;
}

bool signature_verify(const struct signature_keys *keys, const char manifest_sha256[SHA256_HEX_SIZE],
                      const char library_sha256[SHA256_HEX_SIZE], struct text signature,
                      char ret_fingerprint[SHA256_HEX_SIZE])
{
    struct message message = message_of(manifest_sha256, library_sha256);

    if (signature.len != SIGNATURE_SIZE)
        return false;
    for (size_t i = 0; i < keys->count; i++)
        if (verify(keys->key[i], &message, signature)) {
            memcpy(ret_fingerprint, keys->fingerprint[i], SHA256_HEX_SIZE);
            return true;
        }
    return false;
}

/* --- Making keys
 * ------------------------------------------------------------------------------------------------ */

static int cannot(struct error *err, const char *path, int error)
{
    return error_set(err, error == ENOENT ? ERROR_NOT_FOUND : ERROR_CONFLICT, "file", NULL, "%.300s: %s.", path,
                     strerrordesc_np(error));
}

static int write_key(const char *path, mode_t mode, const EVP_PKEY *key, bool private_half, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;

    if (!file)
        return cannot(err, path, errno);
    int written = private_half ? PEM_write_PKCS8PrivateKey(file, key, NULL, NULL, 0, NULL, NULL)
                               : PEM_write_PUBKEY(file, key);

    if (fclose(file) != 0 || written != 1) {
        unlink(path);
        return cannot(err, path, EIO);
    }
    return 0;
}

int signature_keygen(const char *private_path, const char *public_path, char ret_fingerprint[SHA256_HEX_SIZE],
                     struct error *err)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

    if (!key)
        die("signature_keygen", "Ed25519 is not available");
    int r = write_key(private_path, 0600, key, true, err);

    if (r == 0 && write_key(public_path, 0644, key, false, err) < 0) {
        unlink(private_path);
        r = -1;
    }
    fingerprint(key, ret_fingerprint);
    EVP_PKEY_free(key);
    return r;
}

/* --- Signing
 * ---------------------------------------------------------------------------------------------------- */

static EVP_PKEY *private_key(const char *path, struct error *err)
{
    FILE *file = fopen(path, "re");

    if (!file) {
        cannot(err, path, errno);
        return NULL;
    }
    /* An empty passphrase, so that no program of an operator waits at a prompt. */
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, (void *)(uintptr_t) "");

    fclose(file);
    ERR_clear_error();
    if (key && EVP_PKEY_get_id(key) == EVP_PKEY_ED25519)
        return key;
    EVP_PKEY_free(key);
    error_set(err, ERROR_INVALID, "bad_key", "key", "%.300s holds no Ed25519 private key without a passphrase.", path);
    return NULL;
}

static int hash_file(const char *path, char ret[SHA256_HEX_SIZE], struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return cannot(err, path, errno);
    int r = crypto_sha256_fd(fd, ret);

    close(fd);
    return r < 0 ? cannot(err, path, -r) : 0;
}

static int write_signature(struct arena *arena, const char *path, const uint8_t signature[SIGNATURE_SIZE],
                           struct error *err)
{
    const char *part = arena_printf(arena, "%s.part", path);
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0)
        return cannot(err, part, errno);
    bool whole = write(fd, signature, SIGNATURE_SIZE) == SIGNATURE_SIZE && fsync(fd) == 0;

    if (close(fd) == 0 && whole && rename(part, path) == 0)
        return 0;
    unlink(part);
    return cannot(err, path, EIO);
}

/* What a server would refuse for its manifest is not worth a signature, and names no file of one. */
static int manifest_id(struct arena *arena, const char *path, const char **ret, struct error *err)
{
    struct buffer bytes;
    struct manifest manifest;
    char block[65536];
    size_t got;
    FILE *file = fopen(path, "re");

    if (!file)
        return cannot(err, path, errno);
    buffer_init(&bytes, MANIFEST_MAX);
    while ((got = fread(block, 1, sizeof(block), file)) > 0)
        buffer_add(&bytes, block, got);
    fclose(file);
    int r = bytes.failed ? error_set(err, ERROR_TOO_LARGE, "bad_manifest", NULL, "%.300s is too large.", path)
                         : manifest_parse(arena, (struct text){bytes.p, bytes.len}, &manifest, err);

    buffer_finish(&bytes);
    *ret = manifest.id;
    return r;
}

struct target {
    const char *manifest, *library, *sig;
};

static int find_target(struct arena *arena, const char *path, struct target *ret, struct error *err)
{
    struct stat st;
    const char *id, *folder = path;

    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        ret->manifest = arena_printf(arena, "%s/manifest.json", path);
    else if (author_folder_paths(arena, path, &ret->library, &ret->manifest, err) < 0)
        return -1;
    else
        folder = arena_printf(arena, "%.*s", (int)(strrchr(ret->manifest, '/') - ret->manifest), ret->manifest);
    if (manifest_id(arena, ret->manifest, &id, err) < 0)
        return -1;
    if (!ret->library)
        ret->library = arena_printf(arena, "%s/%s.so", folder, id);
    ret->sig = arena_printf(arena, "%s/%s.sig", folder, id);
    return 0;
}

static int sign(EVP_PKEY *key, const struct message *message, uint8_t ret[SIGNATURE_SIZE], struct error *err)
{
    size_t len = SIGNATURE_SIZE;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context && EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
                EVP_DigestSign(context, ret, &len, (const unsigned char *)message, sizeof(*message)) == 1;

    EVP_MD_CTX_free(context);
    return good && len == SIGNATURE_SIZE ? 0
                                         : error_set(err, ERROR_INTERNAL, "sign", NULL, "OpenSSL could not sign.");
}

int signature_sign(struct arena *arena, const char *private_path, const char *target, const char **ret_sig_path,
                   char ret_fingerprint[SHA256_HEX_SIZE], struct error *err)
{
    struct target t = {0};
    uint8_t signature[SIGNATURE_SIZE];
    char manifest[SHA256_HEX_SIZE], library[SHA256_HEX_SIZE];

    if (find_target(arena, target, &t, err) < 0 || hash_file(t.manifest, manifest, err) < 0 ||
        hash_file(t.library, library, err) < 0)
        return -1;
    EVP_PKEY *key = private_key(private_path, err);

    if (!key)
        return -1;
    struct message message = message_of(manifest, library);
    int r = sign(key, &message, signature, err);

    fingerprint(key, ret_fingerprint);
    EVP_PKEY_free(key);
    *ret_sig_path = t.sig;
    return r < 0 ? -1 : write_signature(arena, t.sig, signature, err);
}
