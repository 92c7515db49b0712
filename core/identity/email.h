/* E-mail addresses: one form of each, so that one mailbox is one account. */
#ifndef OVERREAD_IDENTITY_EMAIL_H
#define OVERREAD_IDENTITY_EMAIL_H

#include "base/arena.h"
#include "base/error.h"

#define EMAIL_MAX 254 /* RFC 5321: a path of 256 without its brackets */

/* Local part as it is (ASCII, no quoted form), domain in lower case and, when it has other letters, as A-labels (IDNA 2008).
 * 0, or -1 with ERROR_UNPROCESSABLE "bad_email" at `field`. */
int email_normal(struct arena *arena, const char *address, const char **ret, const char *field, struct error *err);

#endif
