/* Between the files of single sign-on. */
#ifndef OVERREAD_IDENTITY_SSO_INTERNAL_H
#define OVERREAD_IDENTITY_SSO_INTERNAL_H

#include "db/db.h"
#include "http/http.h"
#include "identity/oidc.h"

/* A tenant's provider as the database knows it; strings are the arena's. */
struct sso_provider {
    const char *tenant, *client_id, *sealed_secret;
    const char *role_claim; /* NULL: none */
    struct oidc_provider op;
    json_t *keys;
    bool keys_old;
};

/* Asks a provider that an administrator names. 0, or -1 with ERROR_UNPROCESSABLE at /issuer: "provider_unreachable",
 * "provider_unsuitable", "address_refused". */
int fiber_fn sso_discover(struct arena *arena, const char *issuer, json_t **ret_document, json_t **ret_keys, struct error *err);
/* The tenant's provider by its slug; its document is fetched anew when it is old. -1 with ERROR_NOT_FOUND
 * "single_sign_on_not_set" or ERROR_UNAVAILABLE "provider_away". */
int fiber_fn sso_provider_of(struct db_scope *scope, const char *slug, struct sso_provider *ret, struct error *err);
/* oidc_token_open; keys are fetched anew when the token's is unknown or they are old, at most once a minute. */
int fiber_fn sso_token_open(struct db_scope *scope, struct sso_provider *provider, struct text token, const char *type,
                            json_t **ret_claims, struct error *err);

/* Exchanges the code, and believes the answer or not. The claims are the ID token's, completed by those of the provider's
 * userinfo where address or groups are not in it. */
struct sso_answer {
    const char *code, *redirect_uri, *nonce, *verifier;
};
int fiber_fn sso_claims(struct db_scope *scope, struct sso_provider *provider, const struct sso_answer *answer, json_t **ret,
                        struct error *err);

const char *sso_secret_context(struct arena *arena, const char *tenant);
/* The administrator's three routes. */
void fiber_fn sso_settings_get(struct http_request *req);
void fiber_fn sso_settings_put(struct http_request *req);
void fiber_fn sso_settings_delete(struct http_request *req);

#endif
