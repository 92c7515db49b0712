#include "identity/sso.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "identity/accounts.h"
#include "identity/email.h"
#include "identity/identity_http.h"
#include "identity/sso_internal.h"
#include "identity/sso_sql.h"
#include "identity/throttle.h"

enum { SETTINGS_MAX = 65536, LOGOUT_MAX = 2 * OIDC_TOKEN_MAX, COOKIE_SECONDS = 600, NAME_MAX_BYTES = 200 };

static const struct config *config;

void sso_init(const struct config *settings)
{
    config = settings;
}

static struct db_scope nobody(struct http_request *req)
{
    return (struct db_scope){.arena = http_arena(req), .as = DB_AS_NOBODY, .gone = http_gone, .gone_arg = req};
}

static const char *copied(struct http_request *req, struct text t)
{
    return arena_copy(http_arena(req), t.p, t.len);
}

static const char *redirect_uri(struct arena *arena)
{
    return arena_printf(arena, "%s/v1/sso/callback", config->public_url);
}

/* --- Pages: a browser lands here, with a person before it ---------------------------------------------------------------- */

static const char begin_again[] = "This sign-in has expired, was finished before, or was begun in another browser. Begin again.";
static const char no_access[] = "You have no access here. Ask your organisation's administrator for it.";
static const char bad_answer[] = "Your sign-on service gave an answer that we cannot trust. Tell your organisation's administrator.";

/* What the provider said stays in the log. */
static const struct failure {
    const char *code;
    int status;
    const char *words;
} failures[] = {
    {"sign_in_expired", 400, begin_again},
    {"settings_changed", 400, begin_again},
    {"bad_return_to", 400, "The address to return to is not a page of this site."},
    {"bad_answer", 403, bad_answer},
    {"bad_token", 403, bad_answer},
    {"unknown_key", 403, bad_answer},
    {"sign_in_denied", 403, "Your sign-on service did not let you in."},
    {"not_a_member", 403, no_access},
    {"address_taken", 403, no_access},
    {"domain_not_allowed", 403, no_access},
    {"no_role", 403, "None of your groups has a role here. Ask your organisation's administrator."},
    {"address_missing", 403, "Your sign-on service does not confirm an e-mail address of yours. Ask your organisation's administrator."},
    {"tenant_suspended", 403, "This organisation is suspended. Ask its administrator."},
    {"single_sign_on_not_set", 404, "There is no single sign-on at this address."},
    {"seats_exhausted", 409, "All seats of your organisation are taken. Ask its administrator."},
    {"last_administrator", 409, "Your groups would take away the organisation's last administrator. Make somebody else one first."},
    {"too_many_attempts", 429, "That was tried too often. Wait a little, then try again."},
    {"provider_away", 503, "Your sign-on service cannot be reached. Try again in a little while."},
    {NULL, 503, "Signing in does not work at the moment. Try again in a little while."},
};

static void fail_page(struct http_request *req, const char *tenant, const struct error *err)
{
    const struct failure *f = failures;
    while (f->code && strcmp(f->code, err->code) != 0)
        f++;
    log_line(LOG_LEVEL_WARNING, "single_sign_on_failed", "tenant", tenant ? tenant : "", "code", err->code, "why", err->detail, NULL);
    if (err->retry_after)
        http_header_add(req, "retry-after", arena_printf(http_arena(req), "%u", err->retry_after));
    http_reply(req, f->status, "text/html; charset=utf-8",
               text_of(arena_printf(http_arena(req),
                                    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                                    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                                    "<title>Sign-in failed \xe2\x80\x93 Overread</title>\n"
                                    "<link rel=\"icon\" href=\"/portal/icon.svg\" type=\"image/svg+xml\">\n</head>\n<body>\n<main>\n"
                                    "<h1>You are not signed in</h1>\n<p>%s</p>\n"
                                    "<p><a href=\"/sign-in\">Back to signing in</a></p>\n</main>\n</body>\n</html>\n",
                                    f->words)));
}

/* --- To the provider ------------------------------------------------------------------------------------------------------ */

static const char *cookie_name(void)
{
    return config->cookie_secure ? "__Host-overread-sso" : "overread-sso";
}

/* One secret a browser for as long as it is signing in: two windows may do so at once. */
static const char *browser_secret(struct http_request *req)
{
    struct text shown;
    if (http_cookie(req, cookie_name(), &shown) && shown.len == IDENTITY_TOKEN_SIZE - 1) {
        const char *copy = copied(req, shown);
        if (strspn(copy, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == shown.len)
            return copy;
    }
    char *fresh = arena_alloc(http_arena(req), IDENTITY_TOKEN_SIZE);
    identity_token(fresh);
    return fresh;
}

static const char *hash_of(struct arena *arena, const char *secret)
{
    char *hash = arena_alloc(arena, SHA256_HEX_SIZE);
    crypto_sha256_hex(secret, strlen(secret), hash);
    return hash;
}

static int return_path(struct http_request *req, const char **ret, struct error *err)
{
    struct text path;
    *ret = "/account";
    if (!http_query(req, "return_to", &path))
        return 0;
    if (!oidc_return_path_good(path))
        return error_set(err, ERROR_INVALID, "bad_return_to", "return_to", "It is not a path of this site.");
    *ret = copied(req, path);
    return 0;
}

static int begin(struct http_request *req, struct db_scope *scope, const char *slug, const char **ret_location, const char **ret_secret,
                 struct error *err)
{
    const struct throttle_key keys[] = {{"address", throttle_client(req)}, {0}};
    struct arena *arena = scope->arena;
    struct sso_provider provider;
    const struct db_result *res;
    const char *return_to, *secret = browser_secret(req);
    char state[IDENTITY_TOKEN_SIZE], nonce[IDENTITY_TOKEN_SIZE], verifier[IDENTITY_TOKEN_SIZE];
    identity_token(state);
    identity_token(nonce);
    identity_token(verifier);
    if (return_path(req, &return_to, err) < 0 || throttle_take(req, scope, keys, err) < 0 ||
        sso_provider_of(scope, slug, &provider, err) < 0)
        return -1;
    const char *const params[] = {provider.tenant, hash_of(arena, state), hash_of(arena, secret), provider.op.issuer,
                                  provider.client_id, nonce, verifier, return_to};
    if (db_run(scope, sql_sso_begin, params, &res, err) < 0)
        return -1;
    const struct oidc_request request = {provider.client_id, redirect_uri(arena), state, nonce, verifier};
    *ret_location = oidc_authorization_url(arena, &provider.op, &request);
    *ret_secret = secret;
    return 0;
}

static void start_get(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope = nobody(req);
    const char *slug = copied(req, http_path_param(req, "tenant")), *location, *secret;
    if (begin(req, &scope, slug, &location, &secret, &err) < 0) {
        fail_page(req, slug, &err);
        return;
    }
    http_header_add(req, "set-cookie",
                    arena_printf(scope.arena, "%s=%s; Path=/; HttpOnly; SameSite=Lax; Max-Age=%d%s", cookie_name(), secret,
                                 COOKIE_SECONDS, config->cookie_secure ? "; Secure" : ""));
    http_reply_redirect(req, 303, location);
}

/* --- And back -------------------------------------------------------------------------------------------------------------- */

struct flow {
    const char *slug, *issuer, *client_id, *nonce, *verifier, *return_to;
};

static int expired(struct error *err)
{
    return error_set(err, ERROR_INVALID, "sign_in_expired", "state", "There is no such sign-in in this browser.");
}

static int take_flow(struct http_request *req, struct db_scope *scope, struct flow *ret, struct error *err)
{
    struct text state, secret;
    const struct db_result *res;
    if (!http_query(req, "state", &state))
        return expired(err);
    if (!http_cookie(req, cookie_name(), &secret))
        secret = TEXT(""); /* the state is used up all the same */
    const char *const params[] = {hash_of(scope->arena, copied(req, state)), hash_of(scope->arena, copied(req, secret))};
    if (db_run(scope, sql_sso_take, params, &res, err) < 0)
        return -1;
    if (db_rows(res) == 0)
        return expired(err);
    *ret = (struct flow){db_string(res, 0, 0), db_string(res, 0, 1), db_string(res, 0, 2),
                         db_string(res, 0, 3), db_string(res, 0, 4), db_string(res, 0, 5)};
    return 0;
}

/* Is it the provider that was asked who answers (RFC 9207)? And with a code? */
static int check_answer(struct http_request *req, const struct flow *flow, const struct sso_provider *provider, const char **ret_code,
                        struct error *err)
{
    struct text iss, code;
    bool has_iss = http_query(req, "iss", &iss);
    if (strcmp(provider->op.issuer, flow->issuer) != 0 || strcmp(provider->client_id, flow->client_id) != 0)
        return error_set(err, ERROR_CONFLICT, "settings_changed", NULL, "The tenant has changed its settings meanwhile.");
    if (has_iss ? !text_is(iss, flow->issuer) : provider->op.says_iss)
        return error_set(err, ERROR_UNPROCESSABLE, "bad_answer", "iss", "The answer is not from the issuer that was asked.");
    if (http_query(req, "error", &code))
        return error_set(err, ERROR_FORBIDDEN, "sign_in_denied", NULL, "The sign-on service refused.");
    if (!http_query(req, "code", &code) || code.len == 0)
        return error_set(err, ERROR_UNPROCESSABLE, "bad_answer", "code", "There is no code.");
    *ret_code = copied(req, code);
    return 0;
}

static const char *text_claim(const json_t *claims, const char *name, size_t max)
{
    const char *value = json_string_value(json_object_get(claims, name));
    return value && value[0] && strlen(value) <= max ? value : NULL;
}

static const char *address_of(struct arena *arena, const json_t *claims)
{
    const char *address = text_claim(claims, "email", EMAIL_MAX);
    return address && email_normal(arena, address, &address, "email", NULL) == 0 ? address : NULL;
}

static bool says_yes(const json_t *claim)
{
    const char *word = json_string_value(claim);
    return json_is_true(claim) || json_integer_value(claim) == 1 || (word && (strcmp(word, "true") == 0 || strcmp(word, "1") == 0));
}

/* Entra ID has no email_verified; its xms_edov says that the address is of a domain whose owner has proved to be it. */
static bool address_verified(const json_t *claims)
{
    const json_t *verified = json_object_get(claims, "email_verified");
    return says_yes(verified ? verified : json_object_get(claims, "xms_edov"));
}

static const char *name_of(struct arena *arena, const json_t *claims, const char *address)
{
    const char *name = text_claim(claims, "name", NAME_MAX_BYTES);
    if (name && identity_name_acceptable(name, NULL) == 0)
        return name;
    return address ? arena_printf(arena, "%.*s", (int)strcspn(address, "@"), address) : "-";
}

/* A JSON list of texts; a provider may say a single group as a text. */
static const char *groups_of(struct arena *arena, const json_t *claims, const char *claim)
{
    const json_t *said = claim ? json_object_get(claims, claim) : NULL;
    json_t *groups = json_array();
    if (json_is_string(said))
        json_array_append_new(groups, json_string(json_string_value(said)));
    for (size_t i = 0; i < json_array_size(said) && i < OIDC_GROUPS_MAX; i++)
        if (json_is_string(json_array_get(said, i)))
            json_array_append_new(groups, json_string(json_string_value(json_array_get(said, i))));
    const char *text = json_render(arena, groups).p;
    json_decref(groups);
    return text;
}

static int sign_in(struct db_scope *scope, const struct flow *flow, const struct sso_provider *provider, const json_t *claims,
                   const char *token, struct error *err)
{
    struct arena *arena = scope->arena;
    const struct db_result *res;
    char person[UUID_SIZE], session[UUID_SIZE];
    uuid_v7(person);
    uuid_v7(session);
    const char *address = address_of(arena, claims);
    const char *const params[] = {flow->slug,
                                  flow->issuer,
                                  flow->client_id,
                                  json_string_value(json_object_get(claims, "sub")),
                                  text_claim(claims, "sid", 255),
                                  address,
                                  address_verified(claims) ? "true" : "false",
                                  name_of(arena, claims, address),
                                  groups_of(arena, claims, provider->role_claim),
                                  person,
                                  session,
                                  hash_of(arena, token),
                                  "Browser, single sign-on"};
    if (db_run(scope, sql_sso_sign_in, params, &res, err) < 0)
        return -1;
    if (!db_is_null(res, 0, 0))
        return error_set(err, ERROR_FORBIDDEN, db_string(res, 0, 0), NULL, "The tenant's settings do not let this person in.");
    return 0;
}

static int finish(struct http_request *req, struct db_scope *scope, struct flow *flow, const char *token, struct error *err)
{
    const struct throttle_key keys[] = {{"address", throttle_client(req)}, {0}};
    struct sso_provider provider;
    struct sso_answer answer;
    json_t *claims;
    if (throttle_take(req, scope, keys, err) < 0 || take_flow(req, scope, flow, err) < 0 ||
        sso_provider_of(scope, flow->slug, &provider, err) < 0 || check_answer(req, flow, &provider, &answer.code, err) < 0)
        return -1;
    answer.redirect_uri = redirect_uri(scope->arena);
    answer.nonce = flow->nonce;
    answer.verifier = flow->verifier;
    if (sso_claims(scope, &provider, &answer, &claims, err) < 0 || sign_in(scope, flow, &provider, claims, token, err) < 0)
        return -1;
    throttle_forgive(scope, keys, NULL); /* twice: this request, and the one that began it */
    throttle_forgive(scope, keys, NULL);
    return 0;
}

static void callback_get(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope = nobody(req);
    struct flow flow = {0};
    char token[IDENTITY_TOKEN_SIZE];
    identity_token(token);
    if (finish(req, &scope, &flow, token, &err) < 0) {
        fail_page(req, flow.slug, &err);
        return;
    }
    identity_set_cookie(req, token);
    http_reply_redirect(req, 303, flow.return_to);
}

/* --- The provider says that somebody has signed out -------------------------------------------------------------------------- */

static int log_out(struct http_request *req, struct db_scope *scope, const char *slug, struct error *err)
{
    const struct throttle_key keys[] = {{"address", throttle_client(req)}, {0}};
    struct sso_provider provider;
    struct text token;
    json_t *claims;
    const struct db_result *res;
    if (http_body_form(req, err) < 0)
        return -1;
    if (!http_form(req, "logout_token", &token))
        return error_set(err, ERROR_INVALID, "bad_token", "logout_token", "There is no logout_token.");
    /* What it names may have to be asked of the provider: not as often as anybody likes. */
    if (throttle_take(req, scope, keys, err) < 0 || sso_provider_of(scope, slug, &provider, err) < 0)
        return -1;
    const struct oidc_expected expected = {
        .issuer = provider.op.issuer, .client_id = provider.client_id, .now = clock_wall_ms() / 1000};
    if (sso_token_open(scope, &provider, token, "logout+jwt", &claims, err) < 0 || oidc_logout_token_check(claims, &expected, err) < 0)
        return error_set(err, ERROR_INVALID, "bad_token", "logout_token", "The logout_token is not good.");
    const char *const params[] = {provider.tenant, provider.op.issuer, json_string_value(json_object_get(claims, "sub")),
                                  json_string_value(json_object_get(claims, "sid")),
                                  hash_of(scope->arena, json_string_value(json_object_get(claims, "jti")))};
    if (db_run(scope, sql_sso_logout, params, &res, err) < 0)
        return -1;
    if (db_is_null(res, 0, 0))
        return error_set(err, ERROR_INVALID, "bad_token", "logout_token", "The logout_token was used before.");
    throttle_forgive(scope, keys, NULL);
    return 0;
}

static void logout_post(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope = nobody(req);
    if (log_out(req, &scope, copied(req, http_path_param(req, "tenant")), &err) < 0)
        http_reply_error(req, &err);
    else
        http_reply_json(req, 200, TEXT("{}"));
}

const struct http_route sso_routes[] = {
    {"GET", "/v1/tenant/single-sign-on", "administrator", 0, sso_settings_get},
    {"PUT", "/v1/tenant/single-sign-on", "administrator", SETTINGS_MAX, sso_settings_put},
    {"DELETE", "/v1/tenant/single-sign-on", "administrator", 0, sso_settings_delete},
    {"GET", "/v1/sso/{tenant}/start", NULL, 0, start_get},
    {"GET", "/v1/sso/callback", NULL, 0, callback_get},
    {"POST", "/v1/sso/{tenant}/backchannel-logout", NULL, LOGOUT_MAX, logout_post},
    {0},
};
