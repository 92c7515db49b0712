/* OpenID Connect as a relying party: what is asked and what is believed. Pure: no database, no network.
 * OpenID Connect Core 1.0, Discovery 1.0, Back-Channel Logout 1.0; RFC 7636 (PKCE), RFC 9207 (iss). Signatures by libcjose. */
#ifndef OVERREAD_IDENTITY_OIDC_H
#define OVERREAD_IDENTITY_OIDC_H

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"
#include "base/text.h"

enum { OIDC_LEEWAY_SECONDS = 60, OIDC_TOKEN_MAX = 16384, OIDC_SUB_MAX = 255, OIDC_GROUPS_MAX = 1000 };

struct oidc_provider {
    const char *issuer, *authorization_endpoint, *token_endpoint, *jwks_uri;
    const char *userinfo_endpoint; /* NULL: it has none */
    bool says_iss;                 /* it puts its issuer into the answer: then that must be there */
    bool secret_in_body;           /* client_secret_post; else client_secret_basic */
};

/* The document of <issuer>/.well-known/openid-configuration. Strings are the document's. 0, or -1 with ERROR_UNPROCESSABLE
 * "provider_unsuitable" at /issuer, which says what is missing. */
int oidc_provider_from(const json_t *document, const char *issuer, struct oidc_provider *ret, struct error *err);
const char *oidc_discovery_url(struct arena *arena, const char *issuer);
/* A key set with at least one key that may sign. Same error. */
int oidc_keys_check(const json_t *keys, struct error *err);

struct oidc_request {
    const char *client_id, *redirect_uri, *state, *nonce, *verifier;
};
const char *oidc_authorization_url(struct arena *arena, const struct oidc_provider *provider, const struct oidc_request *request);
/* As in a form or a query: everything but unreserved characters as %XX. */
const char *oidc_escape(struct arena *arena, struct text raw);

/* Verifies a token's signature: RS256, PS256 or ES256, as the key is. *ret_claims belongs to the arena.
 * -1 with ERROR_UNPROCESSABLE, code "unknown_key" when no key of the set is the token's (fetch the keys again), else
 * "bad_token"; what is wrong is for the log. type: NULL for an ID token, "logout+jwt" for what may also call itself so. */
int oidc_token_open(struct arena *arena, const json_t *keys, struct text token, const char *type, json_t **ret_claims,
                    struct error *err);

struct oidc_expected {
    const char *issuer, *client_id;
    const char *nonce;        /* of an ID token */
    const char *access_token; /* that came with it; NULL: none */
    int64_t now;              /* seconds since 1970 */
};
/* 0, or -1 with "bad_token". */
int oidc_id_token_check(const json_t *claims, const struct oidc_expected *expected, struct error *err);
int oidc_logout_token_check(const json_t *claims, const struct oidc_expected *expected, struct error *err);

/* A path of this site and nothing else: "/reads?page=2". */
bool oidc_return_path_good(struct text path);

#endif
