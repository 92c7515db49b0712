#include "identity/vault.h"

#include <stdio.h>
#include <string.h>

#include "base/crypto.h"

enum { KEYS_MAX = 8, LINE_MAX = 256 };

static uint8_t keys[KEYS_MAX][CRYPTO_KEY_SIZE];
static int key_count;

int vault_init(const struct config *config, struct error *err)
{
    char line[LINE_MAX];
    key_count = 0;
    if (!config->secret_key[0])
        return 0;
    FILE *file = fopen(config->secret_key, "re");
    if (!file)
        return error_set(err, ERROR_INVALID, "config_invalid", "secret_key", "%s cannot be opened.", config->secret_key);
    int rc = 0;
    while (rc == 0 && fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\r\n")] = '\0';
        if (key_count == KEYS_MAX || hex_decode(text_of(line), keys[key_count], CRYPTO_KEY_SIZE) != CRYPTO_KEY_SIZE)
            rc = error_set(err, ERROR_INVALID, "config_invalid", "secret_key",
                           "%s: each line is 64 hexadecimal digits, at most %d lines.", config->secret_key, KEYS_MAX);
        else
            key_count++;
    }
    fclose(file);
    if (rc == 0 && key_count == 0)
        rc = error_set(err, ERROR_INVALID, "config_invalid", "secret_key", "%s holds no key.", config->secret_key);
    return rc;
}

int vault_seal(struct arena *arena, const char *context, struct text secret, const char **ret, struct error *err)
{
    if (key_count == 0)
        return error_set(err, ERROR_UNAVAILABLE, "secret_key_missing", NULL,
                         "This server has no key to keep secrets with: its operator sets secret_key.");
    size_t len = secret.len + CRYPTO_SEAL_EXTRA;
    uint8_t *sealed = arena_alloc(arena, len);
    char *encoded = arena_alloc(arena, (len * 4 + 2) / 3 + 1);
    crypto_seal(keys[0], text_of(context), secret, sealed);
    base64url_encode(sealed, len, encoded);
    *ret = encoded;
    return 0;
}

int vault_open(struct arena *arena, const char *context, struct text sealed, struct text *ret, struct error *err)
{
    uint8_t *bytes = arena_alloc(arena, sealed.len + 1), *plain = arena_alloc(arena, sealed.len + 1);
    int len = base64url_decode(sealed, bytes, sealed.len);
    for (int i = 0; len >= 0 && i < key_count; i++) {
        int64_t got = crypto_open(keys[i], text_of(context), (struct text){(const char *)bytes, (size_t)len}, plain);
        if (got >= 0) {
            *ret = (struct text){(const char *)plain, (size_t)got};
            return 0;
        }
    }
    return error_set(err, ERROR_UNAVAILABLE, "secret_unreadable", NULL, "No key of this server opens a secret that it needs.");
}
