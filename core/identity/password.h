/* Passwords: Argon2id (RFC 9106) in PHC strings, and which ones are taken. Pure and slow: on a worker thread, never on an
 * event loop. */
#ifndef OVERREAD_IDENTITY_PASSWORD_H
#define OVERREAD_IDENTITY_PASSWORD_H

#include <stdbool.h>
#include "base/error.h"

#define PASSWORD_MIN 15               /* characters, without a second factor (ASVS 5.0, 6.2.1) */
#define PASSWORD_MIN_SECOND_FACTOR 8  /* with one */
#define PASSWORD_MAX 1024             /* bytes */
#define PASSWORD_BITS 35              /* what guessing it must cost at least */
#define PASSWORD_PHC_SIZE 128

/* Whose password it is to be. */
struct password_about {
    const char *words;  /* name, e-mail address, tenants' names, with anything between; NULL: nobody known */
    bool second_factor; /* stands beside it */
};

/* Length in characters and bytes, and not one that is guessed early: common ones, runs and repetitions, the product's name,
 * words of `about` (NULL: nothing known). No rule about which characters. 0 or -1 with field "/password". */
int password_acceptable(const char *password, const struct password_about *about, struct error *err);
/* Long enough beside a second factor only. */
bool password_is_short(const char *password);
int password_hash(const char *password, char ret[PASSWORD_PHC_SIZE], struct error *err);
/* phc "" is nobody's password: takes the same time and never matches. */
bool password_matches(const char *phc, const char *password);
/* Made with weaker parameters than today's. */
bool password_is_outdated(const char *phc);

#endif
