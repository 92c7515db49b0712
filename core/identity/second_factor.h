/* Second factors: authenticator apps, recovery codes; security keys and passkeys are in webauthn.h. */
#ifndef OVERREAD_IDENTITY_SECOND_FACTOR_H
#define OVERREAD_IDENTITY_SECOND_FACTOR_H

#include "base/crypto.h"
#include "db/db.h"
#include "http/http.h"

extern const struct http_route second_factor_routes[];
extern const struct db_statement second_factor_statements[];

/* Ten codes of 80 random bits, each "XXXX-XXXX-XXXX-XXXX" in base32; shown once, kept as SHA-256. */
enum { RECOVERY_CODES = 10, RECOVERY_CODE_SIZE = 20 };
struct recovery_codes {
    char codes[RECOVERY_CODES][RECOVERY_CODE_SIZE];
    char hashes[RECOVERY_CODES * SHA256_HEX_SIZE + 2]; /* an array literal: {hash,hash,...} */
};
void recovery_codes_make(struct recovery_codes *ret);
/* Hash of a code as somebody typed it: case, blanks and hyphens do not count. False: that is none. */
bool recovery_code_hash(struct text typed, char ret[SHA256_HEX_SIZE]);

/* 201 with the session that moved on, its new token, and "recovery_codes" (null when they were not taken). */
void second_factor_reply(struct http_request *req, int status, const char *token, struct text session,
                         const struct recovery_codes *codes);

#endif
