/* Passwords: Argon2id (RFC 9106) in PHC strings. Pure and slow: on a worker thread, never on an event loop. */
#ifndef OVERREAD_IDENTITY_PASSWORD_H
#define OVERREAD_IDENTITY_PASSWORD_H

#include <stdbool.h>
#include "base/error.h"

#define PASSWORD_MIN 15   /* characters, without a second factor (ASVS 5.0, 6.2.1) */
#define PASSWORD_MAX 1024 /* bytes */
#define PASSWORD_PHC_SIZE 128

/* Length in characters and bytes, valid UTF-8. 0 or -1 with field "/password". */
int password_acceptable(const char *password, struct error *err);
int password_hash(const char *password, char ret[PASSWORD_PHC_SIZE], struct error *err);
/* phc "" is nobody's password: takes the same time and never matches. */
bool password_matches(const char *phc, const char *password);
/* Made with weaker parameters than today's. */
bool password_is_outdated(const char *phc);

#endif
