/* Secrets at rest: seeds of second factors, a tenant's client secrets. Sealed with the operator's key, which is not in the
 * database: who has a copy of that alone has nothing. */
#ifndef OVERREAD_IDENTITY_VAULT_H
#define OVERREAD_IDENTITY_VAULT_H

#include "base/arena.h"
#include "base/config.h"
#include "base/error.h"
#include "base/text.h"

/* Reads config->secret_key: a file of keys, 64 hexadecimal digits a line, newest first; at most 8. Once, before the server
 * starts. Without a file sealing is refused. 0 or -1. */
int vault_init(const struct config *config, struct error *err);
/* *ret is base64url text. `context` says whose and what secret this is ("totp:" + person). -1 with ERROR_UNAVAILABLE
 * "secret_key_missing". */
int vault_seal(struct arena *arena, const char *context, struct text secret, const char **ret, struct error *err);
/* -1 with ERROR_UNAVAILABLE "secret_unreadable": no key of ours opens it. */
int vault_open(struct arena *arena, const char *context, struct text sealed, struct text *ret, struct error *err);

#endif
