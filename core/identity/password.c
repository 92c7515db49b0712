#include "identity/password.h"

#include <argon2.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <zxcvbn.h>

#include "base/crypto.h"

enum { MEMORY_KIB = 19456, PASSES = 2, LANES = 1, SALT_SIZE = 16, HASH_SIZE = 32 };
/* Shorter words of a name are parts of anything. What lies behind so many bytes adds nothing that must be weighed. */
enum { WORDS_MAX = 64, WORD_MIN = 3, WORD_SIZE = 64, WEIGHED_BYTES = 128 };

#define PHC_PREFIX "$argon2id$v=19$m=19456,t=2,p=1$"

/* Hash of a random text that was thrown away, with today's parameters. */
static const char nobody[] = PHC_PREFIX "p4yCbZ1TtQ0n0Jt3p1fV5g$7yVwB4eJ8z0cRkq2c9v1m8dQ0s3uT6xY5aL4nH2gF1E";

/* The words of a text, in lower case, behind those that everybody must not use. Ends the list with NULL. */
static void words_of(const char *text, char store[WORDS_MAX][WORD_SIZE], const char *ret[WORDS_MAX + 3])
{
    int count = 0;
    ret[count++] = "overread";
    ret[count++] = "radiology";
    for (int used = 0; text && *text && used < WORDS_MAX;) {
        size_t len = 0;
        while (*text && !isalnum((unsigned char)*text) && (unsigned char)*text < 0x80)
            text++;
        for (; *text && (isalnum((unsigned char)*text) || (unsigned char)*text >= 0x80); text++)
            if (len < WORD_SIZE - 1)
                store[used][len++] = (char)tolower((unsigned char)*text);
        store[used][len] = '\0';
        if (len >= WORD_MIN)
            ret[count++] = store[used++];
    }
    ret[count] = NULL;
}

static size_t word_at(const char *p, const char *const words[])
{
    size_t longest = 0;
    for (; *words; words++) {
        size_t len = strlen(*words);
        if (len > longest && strncasecmp(p, *words, len) == 0)
            longest = len;
    }
    return longest;
}

/* Nothing but such words, with little between them? */
static bool made_of(const char *password, const char *const words[])
{
    size_t left = 0;
    bool any = false;
    for (const char *p = password; *p;) {
        size_t word = word_at(p, words);
        any |= word > 0;
        left += word == 0 && (isalnum((unsigned char)*p) || (unsigned char)*p >= 0xc0);
        p += word ? word : 1;
    }
    return any && left < PASSWORD_MIN_SECOND_FACTOR;
}

/* Guessing in the order of what people choose (zxcvbn): dictionaries of common passwords and names, keyboard runs,
 * repetitions, dates. Its time grows with the square of the length, and what begins well is good. */
static double bits_of(const char *password, const char *words[])
{
    char begins[WEIGHED_BYTES + 1];
    size_t len = strnlen(password, WEIGHED_BYTES);
    memcpy(begins, password, len);
    begins[len] = '\0';
    return ZxcvbnMatch(begins, words, NULL);
}

static bool guessed_early(const char *password, const char *about)
{
    char store[WORDS_MAX][WORD_SIZE];
    const char *words[WORDS_MAX + 3];
    words_of(about, store, words);
    return made_of(password, words) || bits_of(password, words) < PASSWORD_BITS;
}

static size_t characters_of(const char *password)
{
    size_t characters = 0;
    for (const char *p = password; *p; p++)
        characters += ((unsigned char)*p & 0xc0) != 0x80;
    return characters;
}

bool password_is_short(const char *password)
{
    return characters_of(password) < PASSWORD_MIN;
}

int password_acceptable(const char *password, const struct password_about *about, struct error *err)
{
    size_t least = about && about->second_factor ? PASSWORD_MIN_SECOND_FACTOR : PASSWORD_MIN;
    if (strlen(password) > PASSWORD_MAX)
        return error_set(err, ERROR_UNPROCESSABLE, "password_too_long", "/password",
                         "A password has at most %d bytes.", PASSWORD_MAX);
    if (characters_of(password) < least)
        return error_set(err, ERROR_UNPROCESSABLE, "password_too_short", "/password",
                         "A password has at least %zu characters; several words make a good one.", least);
    if (guessed_early(password, about ? about->words : NULL))
        return error_set(err, ERROR_UNPROCESSABLE, "password_too_common", "/password",
                         "This password is among the first that anybody guesses: it is common, regular, or made of your own "
                         "name, address or organisation. Several unrelated words make a good one.");
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
