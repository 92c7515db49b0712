#include "identity/password.h"

#include <argon2.h>
#include <string.h>

#include "base/crypto.h"

enum { MEMORY_KIB = 19456, PASSES = 2, LANES = 1, SALT_SIZE = 16, HASH_SIZE = 32 };

#define PHC_PREFIX "$argon2id$v=19$m=19456,t=2,p=1$"

/* Hash of a random text that was thrown away, with today's parameters. */
static const char nobody[] = PHC_PREFIX "p4yCbZ1TtQ0n0Jt3p1fV5g$7yVwB4eJ8z0cRkq2c9v1m8dQ0s3uT6xY5aL4nH2gF1E";

int password_acceptable(const char *password, struct error *err)
{
    size_t bytes = strlen(password), characters = 0;
    for (size_t i = 0; i < bytes; i++)
        characters += ((unsigned char)password[i] & 0xc0) != 0x80;
    if (bytes > PASSWORD_MAX)
        return error_set(err, ERROR_UNPROCESSABLE, "password_too_long", "/password",
                         "A password has at most %d bytes.", PASSWORD_MAX);
    if (characters < PASSWORD_MIN)
        return error_set(err, ERROR_UNPROCESSABLE, "password_too_short", "/password",
                         "A password has at least %d characters; several words make a good one.", PASSWORD_MIN);
    return 0;
}

int password_hash(const char *password, char ret[PASSWORD_PHC_SIZE], struct error *err)
{
    unsigned char salt[SALT_SIZE];
    crypto_random(salt, sizeof(salt));
    int rc = argon2id_hash_encoded(PASSES, MEMORY_KIB, LANES, password, strlen(password), salt, sizeof(salt), HASH_SIZE,
                                   ret, PASSWORD_PHC_SIZE);
    if (rc != ARGON2_OK)
        return error_set(err, ERROR_INTERNAL, "argon2", NULL, "argon2id: %s", argon2_error_message(rc));
    return 0;
}

bool password_matches(const char *phc, const char *password)
{
    bool somebody = phc[0] != '\0';
    int rc = argon2id_verify(somebody ? phc : nobody, password, strlen(password));
    return somebody && rc == ARGON2_OK;
}

bool password_is_outdated(const char *phc)
{
    return strncmp(phc, PHC_PREFIX, strlen(PHC_PREFIX)) != 0;
}
