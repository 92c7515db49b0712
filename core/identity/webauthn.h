/* Security keys and passkeys: the relying party of WebAuthn Level 2, over libfido2 and libcbor. The checks are pure; what
 * was given out and what is known stand in the database (migrations/0010). */
#ifndef OVERREAD_IDENTITY_WEBAUTHN_H
#define OVERREAD_IDENTITY_WEBAUTHN_H

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"
#include "db/db.h"
#include "http/http.h"

extern const struct http_route webauthn_routes[];
extern const struct db_statement webauthn_statements[];

enum { WEBAUTHN_CHALLENGE_SIZE = 32, WEBAUTHN_CREDENTIAL_MAX = 1023 };

/* Who we are to browsers. */
struct webauthn_party {
    const char *id;     /* "learn.example.org": host of the origin */
    const char *origin; /* "https://learn.example.org" */
};
/* From an origin; *ret->id is in the arena. */
void webauthn_party_of(struct arena *arena, const char *origin, struct webauthn_party *ret);

/* What a browser's PublicKeyCredential.toJSON() holds, decoded; texts are in the arena. */
struct webauthn_response {
    struct text id, client_data, challenge;
    struct text attestation;                       /* of a new credential */
    struct text authenticator_data, signature, user_handle; /* of an assertion */
    const char *transports;                        /* PostgreSQL array literal */
};
/* type: "webauthn.create" or "webauthn.get". Checks type, origin and that it is no cross-origin frame. 0, or -1 with
 * ERROR_UNPROCESSABLE "credential_invalid" at /credential. */
int webauthn_response_of(struct arena *arena, const struct webauthn_party *party, const json_t *credential, const char *type,
                         struct webauthn_response *ret, struct error *err);

struct webauthn_key {
    int algorithm; /* COSE */
    struct text id, public_key;
    uint32_t sign_count;
    bool verified, backed_up;
};
/* A new credential: authenticator data is ours, the person was present, the key is of an algorithm we asked for. The
 * attestation statement is passed over: we ask for none, and trust no maker. */
int webauthn_register(struct arena *arena, const struct webauthn_party *party, const struct webauthn_response *response,
                      struct webauthn_key *ret, struct error *err);
/* An assertion: the key signed this client data for this party, the person was present, and verified when asked for. */
int webauthn_assert(const struct webauthn_party *party, const struct webauthn_response *response, int algorithm,
                    struct text public_key, bool must_verify, uint32_t *ret_sign_count, bool *ret_backed_up, struct error *err);

#endif
