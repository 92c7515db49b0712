#include "identity/sso.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "identity/sso_internal.h"
#include "identity/sso_sql.h"
#include "identity/vault.h"
#include "outbound/outbound.h"

enum { REPLY_MAX = 256 << 10, ASK_MS = 8000, CODE_MAX = 4096 };

const char *sso_secret_context(struct arena *arena, const char *tenant)
{
    return arena_printf(arena, "sso:%s", tenant);
}

/* --- Asking a provider ------------------------------------------------------------------------------------------------ */

/* A tenant's administrator named the address: public ones only, no redirects. */
static int ask(struct arena *arena, const char *method, const char *url, const char *const headers[], struct text body,
               json_t **ret, int *ret_status, struct error *err)
{
    const struct fetch_request request = {.method = method, .url = url, .headers = headers, .body = body,
                                          .reply_max = REPLY_MAX, .timeout_ms = ASK_MS, .public_only = true};
    struct fetch_reply reply;
    if (fetch_run(arena, &request, &reply, err) < 0)
        return -1;
    *ret_status = reply.status;
    if (json_parse(arena, reply.body, ret, NULL) < 0 || !json_is_object(*ret))
        *ret = NULL;
    return 0;
}

static int away(struct error *err, const char *why)
{
    return error_set(err, ERROR_UNAVAILABLE, "provider_away", NULL, "%s", why);
}

static int get_json(struct arena *arena, const char *url, const char *const headers[], json_t **ret, struct error *err)
{
    int status;
    struct error why = {0};
    if (ask(arena, "GET", url, headers, (struct text){0}, ret, &status, &why) < 0) {
        if (why.kind != ERROR_UNAVAILABLE) { /* not an address that we ask */
            if (err)
                *err = why;
            return -1;
        }
        return away(err, why.detail);
    }
    return status == 200 && *ret ? 0 : away(err, "The sign-on service did not answer with JSON.");
}

static int get_keys(struct arena *arena, const struct oidc_provider *op, json_t **ret, struct error *err)
{
    if (get_json(arena, op->jwks_uri, NULL, ret, err) < 0)
        return -1;
    return oidc_keys_check(*ret, err);
}

static int at_issuer(struct error *err)
{
    if (strcmp(err->code, "provider_unsuitable") == 0)
        return -1;
    if (strcmp(err->code, "address_refused") == 0 || strcmp(err->code, "fetch_invalid") == 0)
        return error_set(err, ERROR_UNPROCESSABLE, "address_refused", "/issuer",
                         "The issuer, and the addresses it names, must be https URLs of servers on the public internet.");
    return error_set(err, ERROR_UNPROCESSABLE, "provider_unreachable", "/issuer",
                     "The sign-on service could not be asked for its documents.");
}

int sso_discover(struct arena *arena, const char *issuer, json_t **ret_document, json_t **ret_keys, struct error *err)
{
    struct oidc_provider op;
    if (get_json(arena, oidc_discovery_url(arena, issuer), NULL, ret_document, err) < 0 ||
        oidc_provider_from(*ret_document, issuer, &op, err) < 0 || get_keys(arena, &op, ret_keys, err) < 0)
        return at_issuer(err);
    return 0;
}

/* --- What the database knows ------------------------------------------------------------------------------------------- */

/* Old: what the provider published an hour ago may have been withdrawn since. */
static int refresh(struct db_scope *scope, struct sso_provider *provider, const char *issuer, json_t *document, struct error *err)
{
    json_t *fresh;
    const struct db_result *res;
    if (get_json(scope->arena, oidc_discovery_url(scope->arena, issuer), NULL, &fresh, err) < 0)
        return away(err, err->detail);
    if (oidc_provider_from(fresh, issuer, &provider->op, err) < 0)
        return away(err, err->detail);
    if (json_equal(fresh, document))
        fresh = document;
    const char *const params[] = {provider->tenant, issuer, json_render(scope->arena, fresh).p};
    return db_run(scope, sql_sso_discovered, params, &res, err);
}

int sso_provider_of(struct db_scope *scope, const char *slug, struct sso_provider *ret, struct error *err)
{
    const struct db_result *res;
    json_t *document;
    if (db_run(scope, sql_sso_provider, (const char *const[]){slug}, &res, err) < 0)
        return -1;
    if (db_rows(res) == 0)
        return error_set(err, ERROR_NOT_FOUND, "single_sign_on_not_set", NULL, "There is no single sign-on here.");
    *ret = (struct sso_provider){.tenant = db_string(res, 0, 0),
                                 .client_id = db_string(res, 0, 2),
                                 .sealed_secret = db_string(res, 0, 3),
                                 .role_claim = db_is_null(res, 0, 4) ? NULL : db_string(res, 0, 4),
                                 .keys_old = db_bool(res, 0, 8)};
    const char *issuer = db_string(res, 0, 1);
    if (json_parse(scope->arena, db_text(res, 0, 5), &document, err) < 0 ||
        json_parse(scope->arena, db_text(res, 0, 7), &ret->keys, err) < 0)
        return -1;
    if (db_bool(res, 0, 6))
        return refresh(scope, ret, issuer, document, err);
    return oidc_provider_from(document, issuer, &ret->op, err);
}

/* False: not now; the keys are as they were. */
static bool renew_keys(struct db_scope *scope, struct sso_provider *provider)
{
    const struct db_result *res;
    struct error err = {0};
    json_t *keys;
    if (db_run(scope, sql_sso_keys_claim, (const char *const[]){provider->tenant}, &res, &err) < 0 || !db_bool(res, 0, 0))
        return false;
    if (get_keys(scope->arena, &provider->op, &keys, &err) < 0 ||
        db_run(scope, sql_sso_keys_put,
               (const char *const[]){provider->tenant, provider->op.issuer, json_render(scope->arena, keys).p}, &res, &err) < 0) {
        log_line(LOG_LEVEL_WARNING, "single_sign_on_keys", "issuer", provider->op.issuer, "code", err.code, "why", err.detail, NULL);
        return false;
    }
    provider->keys = keys;
    provider->keys_old = false;
    return true;
}

int sso_token_open(struct db_scope *scope, struct sso_provider *provider, struct text token, const char *type, json_t **ret_claims,
                   struct error *err)
{
    struct error first = {0};
    if (provider->keys_old)
        renew_keys(scope, provider);
    int rc = oidc_token_open(scope->arena, provider->keys, token, type, ret_claims, &first);
    if (rc < 0 && strcmp(first.code, "unknown_key") == 0 && renew_keys(scope, provider))
        rc = oidc_token_open(scope->arena, provider->keys, token, type, ret_claims, &first);
    if (rc < 0 && err)
        *err = first;
    return rc;
}

/* --- The code for the token --------------------------------------------------------------------------------------------- */

static int bad_answer(struct error *err, const char *why)
{
    return error_set(err, ERROR_UNPROCESSABLE, "bad_answer", NULL, "%s", why);
}

/* RFC 6749, 2.3.1: both parts escaped, then base64 (RFC 4648, section 4: padded). */
static const char *basic(struct arena *arena, const char *client_id, struct text secret)
{
    const char *pair =
        arena_printf(arena, "%s:%s", oidc_escape(arena, text_of(client_id)), oidc_escape(arena, secret));
    size_t len = strlen(pair), out = (len + 2) / 3 * 4;
    char *encoded = arena_alloc(arena, out + 1);
    base64url_encode(pair, len, encoded);
    for (char *p = encoded; *p; p++)
        *p = *p == '-' ? '+' : *p == '_' ? '/' : *p;
    for (size_t i = strlen(encoded); i < out; i++)
        encoded[i] = '=';
    return arena_printf(arena, "Authorization: Basic %s", encoded);
}

static int exchange(struct arena *arena, const struct sso_provider *provider, const struct sso_answer *answer, json_t **ret,
                    struct error *err)
{
    struct text secret;
    int status;
    if (vault_open(arena, sso_secret_context(arena, provider->tenant), text_of(provider->sealed_secret), &secret, err) < 0)
        return -1;
    const char *form = arena_printf(arena, "grant_type=authorization_code&code=%s&redirect_uri=%s&code_verifier=%s",
                                    oidc_escape(arena, text_of(answer->code)),
                                    oidc_escape(arena, text_of(answer->redirect_uri)), answer->verifier);
    const char *headers[4] = {"Content-Type: application/x-www-form-urlencoded", "Accept: application/json"};
    if (provider->op.secret_in_body)
        form = arena_printf(arena, "%s&client_id=%s&client_secret=%s", form, oidc_escape(arena, text_of(provider->client_id)),
                            oidc_escape(arena, secret));
    else
        headers[2] = basic(arena, provider->client_id, secret);
    if (ask(arena, "POST", provider->op.token_endpoint, headers, text_of(form), ret, &status, err) < 0)
        return away(err, err->detail);
    if (status >= 500)
        return away(err, "The sign-on service failed to exchange the code.");
    return status == 200 && *ret ? 0 : bad_answer(err, "The sign-on service did not take the code.");
}

/* Of claims that the ID token lacks. The answer counts only when it speaks of the same person. */
static int complete(struct arena *arena, const struct sso_provider *provider, const char *access_token, json_t *claims,
                    struct error *err)
{
    const char *role = provider->role_claim;
    bool lacks = !json_object_get(claims, "email") || (role && !json_object_get(claims, role));
    json_t *more;
    if (!lacks || !provider->op.userinfo_endpoint || !access_token)
        return 0;
    const char *headers[] = {arena_printf(arena, "Authorization: Bearer %s", access_token), "Accept: application/json", NULL};
    if (get_json(arena, provider->op.userinfo_endpoint, headers, &more, err) < 0)
        return away(err, err->detail);
    if (!json_is_string(json_object_get(more, "sub")) || !json_equal(json_object_get(more, "sub"), json_object_get(claims, "sub")))
        return bad_answer(err, "The userinfo is somebody else's.");
    if (!json_object_get(claims, "email")) {
        json_object_set(claims, "email", json_object_get(more, "email"));
        json_object_set(claims, "email_verified", json_object_get(more, "email_verified"));
    }
    if (!json_object_get(claims, "name"))
        json_object_set(claims, "name", json_object_get(more, "name"));
    if (role && !json_object_get(claims, role))
        json_object_set(claims, role, json_object_get(more, role));
    return 0;
}

int sso_claims(struct db_scope *scope, struct sso_provider *provider, const struct sso_answer *answer, json_t **ret,
               struct error *err)
{
    json_t *tokens;
    if (strlen(answer->code) > CODE_MAX)
        return bad_answer(err, "The code is too long.");
    if (exchange(scope->arena, provider, answer, &tokens, err) < 0)
        return -1;
    const char *id_token = json_string_value(json_object_get(tokens, "id_token"));
    const char *access_token = json_string_value(json_object_get(tokens, "access_token"));
    const struct oidc_expected expected = {.issuer = provider->op.issuer,
                                           .client_id = provider->client_id,
                                           .nonce = answer->nonce,
                                           .access_token = access_token,
                                           .now = clock_wall_ms() / 1000};
    if (!id_token)
        return bad_answer(err, "The sign-on service gave no ID token.");
    if (sso_token_open(scope, provider, text_of(id_token), NULL, ret, err) < 0 || oidc_id_token_check(*ret, &expected, err) < 0)
        return -1;
    return complete(scope->arena, provider, access_token, *ret, err);
}

int sso_domain_confirm(struct db_session *admin, struct arena *arena, const char *tenant, const char *domain, bool confirmed,
                       struct error *err)
{
    const struct db_result *res;
    return db_session_run(admin, arena, sql_sso_domain_confirm, (const char *const[]){tenant, domain, confirmed ? "true" : "false"},
                          &res, err);
}
