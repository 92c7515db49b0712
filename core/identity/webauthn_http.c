#include "identity/webauthn.h"

#include <string.h>

#include "identity/identity_http.h"
#include "identity/second_factor.h"
#include "identity/throttle.h"
#include "identity/webauthn_sql.h"

enum { BODY_MAX = 131072, NAME_MAX_CHARS = 100 };
#define TIMEOUT_MS "300000"

static struct webauthn_party party_here(struct arena *arena)
{
    struct webauthn_party party;
    webauthn_party_of(arena, identity_origin(), &party);
    return party;
}

static const char *hex_of(struct arena *arena, struct text bytes)
{
    char *hex = arena_alloc(arena, 2 * bytes.len + 1);
    hex_encode(bytes.p, bytes.len, hex);
    return hex;
}

/* --- Options: {"publicKey": {...}} for PublicKeyCredential.parseCreationOptionsFromJSON or parseRequestOptionsFromJSON --------- */

static void put_party_and_challenge(struct buffer *out, const struct webauthn_party *party, const char *challenge, bool creating)
{
    buffer_printf(out, "{\"publicKey\":{\"challenge\":\"%s\",\"timeout\":" TIMEOUT_MS ",", challenge);
    if (creating) {
        buffer_puts(out, "\"rp\":{\"name\":\"Overread\",\"id\":");
        buffer_json_string(out, text_of(party->id));
        buffer_puts(out, "},");
    } else {
        buffer_puts(out, "\"rpId\":");
        buffer_json_string(out, text_of(party->id));
        buffer_puts(out, ",");
    }
}

static void options(struct http_request *req, struct db_scope *scope, const char *purpose)
{
    struct error err = {0};
    struct arena *arena = http_arena(req);
    const struct webauthn_party party = party_here(arena);
    uint8_t random[WEBAUTHN_CHALLENGE_SIZE];
    char hex[2 * WEBAUTHN_CHALLENGE_SIZE + 1], challenge[IDENTITY_TOKEN_SIZE];
    const struct db_result *res;
    crypto_random(random, sizeof(random));
    hex_encode(random, sizeof(random), hex);
    base64url_encode(random, sizeof(random), challenge);
    if (db_run(scope, sql_webauthn_begin, (const char *const[]){purpose, hex}, &res, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    struct text who = db_text(res, 0, 0), credentials = db_text(res, 0, 1);
    bool creating = strcmp(purpose, "register") == 0;
    struct buffer out;
    buffer_init(&out, 256 << 10);
    put_party_and_challenge(&out, &party, challenge, creating);
    if (creating)
        buffer_printf(&out,
                      "\"user\":%.*s,\"pubKeyCredParams\":[{\"type\":\"public-key\",\"alg\":-7},{\"type\":\"public-key\",\"alg\":-8},"
                      "{\"type\":\"public-key\",\"alg\":-257}],\"attestation\":\"none\",\"authenticatorSelection\":"
                      "{\"residentKey\":\"preferred\",\"userVerification\":\"preferred\"},\"excludeCredentials\":%.*s}}",
                      (int)who.len, who.p, (int)credentials.len, credentials.p);
    else
        buffer_printf(&out, "\"userVerification\":\"%s\",\"allowCredentials\":%.*s}}",
                      strcmp(purpose, "sign_in") == 0 ? "required" : "discouraged", (int)credentials.len, credentials.p);
    http_reply_json(req, 200, (struct text){out.p, out.len});
    buffer_finish(&out);
}

static void options_of_session(struct http_request *req, const char *purpose)
{
    struct error err = {0};
    struct db_scope scope;
    if (identity_scope(req, &scope, &err) < 0)
        http_reply_error(req, &err);
    else
        options(req, &scope, purpose);
}

static void register_options(struct http_request *req)
{
    options_of_session(req, "register");
}

static void second_options(struct http_request *req)
{
    options_of_session(req, "second_factor");
}

static struct db_scope nobody(struct http_request *req)
{
    return (struct db_scope){.arena = http_arena(req), .as = DB_AS_NOBODY, .gone = http_gone, .gone_arg = req};
}

static void sign_in_options(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope = nobody(req);
    const struct throttle_key keys[] = {{"address", throttle_client(req)}, {0}};
    if (throttle_take(req, &scope, keys, &err) < 0)
        http_reply_error(req, &err);
    else
        options(req, &scope, "sign_in");
}

/* --- Answers ---------------------------------------------------------------------------------------------------------------- */

static int use_challenge(struct db_scope *scope, const char *purpose, struct text challenge, struct error *err)
{
    const struct db_result *res;
    if (db_run(scope, sql_webauthn_challenge_use, (const char *const[]){purpose, hex_of(scope->arena, challenge)}, &res, err) < 0)
        return -1;
    return db_bool(res, 0, 0) ? 0
                              : error_set(err, ERROR_UNPROCESSABLE, "credential_invalid", "/credential",
                                          "This challenge was not given out, was used before, or is too old: ask for a new one.");
}

static void register_post(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    struct arena *arena = http_arena(req);
    json_t *body;
    const char *name;
    const struct db_result *res;
    struct webauthn_response response;
    struct webauthn_key key;
    struct recovery_codes codes;
    const struct webauthn_party party = party_here(arena);
    char id[UUID_SIZE], token[IDENTITY_TOKEN_SIZE], hash[SHA256_HEX_SIZE];
    uuid_v7(id);
    identity_token(token);
    crypto_sha256_hex(token, strlen(token), hash);
    recovery_codes_make(&codes);
    if (http_body_json(req, &body, &err) < 0 || json_object_only(body, &err, "name", "credential", NULL) < 0 ||
        json_get_string(body, "name", true, 1, NAME_MAX_CHARS, &name, &err) < 0 ||
        webauthn_response_of(arena, &party, json_object_get(body, "credential"), "webauthn.create", &response, &err) < 0 ||
        identity_scope(req, &scope, &err) < 0 || use_challenge(&scope, "register", response.challenge, &err) < 0 ||
        webauthn_register(arena, &party, &response, &key, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    const char *const params[] = {id,
                                  hex_of(arena, key.id),
                                  arena_printf(arena, "%d", key.algorithm),
                                  hex_of(arena, key.public_key),
                                  arena_printf(arena, "%u", key.sign_count),
                                  key.verified ? "true" : "false",
                                  key.backed_up ? "true" : "false",
                                  response.transports,
                                  name,
                                  hash,
                                  codes.hashes};
    if (db_run(&scope, sql_passkey_add, params, &res, &err) < 0)
        http_reply_error(req, &err);
    else
        second_factor_reply(req, 201, token, db_text(res, 0, 0), db_bool(res, 0, 1) ? &codes : NULL);
}

struct asserted {
    const char *person, *credential, *sign_count, *backed_up;
};

/* From a request's credential to a signature that holds. */
static int asserted(struct db_scope *scope, const json_t *credential, const char *purpose, struct asserted *ret, struct error *err)
{
    struct arena *arena = scope->arena;
    const struct webauthn_party party = party_here(arena);
    struct webauthn_response response;
    const struct db_result *res;
    bool sign_in = strcmp(purpose, "sign_in") == 0, backed_up;
    uint32_t signs;
    if (webauthn_response_of(arena, &party, credential, "webauthn.get", &response, err) < 0 ||
        use_challenge(scope, purpose, response.challenge, err) < 0)
        return -1;
    ret->credential = hex_of(arena, response.id);
    if (db_run(scope, sql_passkey_of, (const char *const[]){ret->credential, purpose}, &res, err) < 0)
        return -1;
    if (db_rows(res) == 0)
        return error_set(err, ERROR_UNPROCESSABLE, "credential_invalid", "/credential", "This key is not registered.");
    struct text hex = db_text(res, 0, 2), key = {arena_alloc(arena, hex.len), hex.len / 2};
    if (hex_decode(hex, (void *)(uintptr_t)key.p, hex.len) < 0)
        return error_set(err, ERROR_INTERNAL, "bad_key", NULL, "A stored key cannot be read.");
    ret->person = db_string(res, 0, 0);
    if (response.user_handle.len && !text_is(response.user_handle, ret->person))
        return error_set(err, ERROR_UNPROCESSABLE, "credential_invalid", "/credential", "The key is another person's.");
    if (webauthn_assert(&party, &response, (int)db_int(res, 0, 1), key, sign_in, &signs, &backed_up, err) < 0)
        return -1;
    ret->sign_count = arena_printf(arena, "%u", signs);
    ret->backed_up = backed_up ? "true" : "false";
    return 0;
}

static int copied(struct error *err)
{
    return error_set(err, ERROR_UNPROCESSABLE, "credential_copied", "/credential",
                     "The key counts fewer signatures than it has made: it was copied, or is broken. Use another one, and remove it.");
}

static void second_post(struct http_request *req)
{
    static const struct throttle_key keys[] = {{"second_factor", NULL}, {0}};
    struct error err = {0};
    struct db_scope scope;
    json_t *body;
    struct asserted a;
    const struct db_result *res;
    char token[IDENTITY_TOKEN_SIZE], hash[SHA256_HEX_SIZE];
    identity_token(token);
    crypto_sha256_hex(token, strlen(token), hash);
    if (http_body_json(req, &body, &err) < 0 || json_object_only(body, &err, "credential", NULL) < 0 ||
        identity_scope(req, &scope, &err) < 0 || throttle_take(req, &scope, keys, &err) < 0 ||
        asserted(&scope, json_object_get(body, "credential"), "second_factor", &a, &err) < 0 ||
        db_run(&scope, sql_passkey_advance, (const char *const[]){a.credential, a.sign_count, a.backed_up, hash}, &res, &err) < 0 ||
        (db_is_null(res, 0, 0) && copied(&err) < 0)) {
        http_reply_error(req, &err);
        return;
    }
    struct text session = db_text(res, 0, 0);
    scope.credential = hash;
    throttle_forgive(&scope, keys, &err);
    second_factor_reply(req, 200, token, session, NULL);
}

static void sign_in_post(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope = nobody(req);
    json_t *body;
    struct asserted a;
    const char *tenant = NULL, *client = NULL;
    bool cookie = false;
    struct text session;
    const struct db_result *res;
    char token[IDENTITY_TOKEN_SIZE];
    const struct throttle_key keys[] = {{"address", throttle_client(req)}, {0}};
    identity_token(token);
    if (http_body_json(req, &body, &err) < 0 || json_object_only(body, &err, "credential", "tenant", "client", "cookie", NULL) < 0 ||
        json_get_string(body, "tenant", false, 1, 63, &tenant, &err) < 0 ||
        json_get_string(body, "client", false, 0, 200, &client, &err) < 0 ||
        json_get_bool(body, "cookie", false, &cookie, &err) < 0 || throttle_take(req, &scope, keys, &err) < 0 ||
        asserted(&scope, json_object_get(body, "credential"), "sign_in", &a, &err) < 0 ||
        db_run(&scope, sql_passkey_signed, (const char *const[]){a.credential, a.sign_count, a.backed_up}, &res, &err) < 0 ||
        (!db_bool(res, 0, 0) && copied(&err) < 0) ||
        identity_session_open(&scope, a.person, tenant, client, "passkey", token, &session, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    throttle_forgive(&scope, keys, &err);
    identity_reply_session(req, 201, token, cookie, session);
}

const struct http_route webauthn_routes[] = {
    {"POST", "/v1/me/passkeys/options", "pending", 0, register_options},
    {"POST", "/v1/me/passkeys", "pending", BODY_MAX, register_post},
    {"POST", "/v1/session/security-key/options", "pending", 0, second_options},
    {"POST", "/v1/session/security-key", "pending", BODY_MAX, second_post},
    {"POST", "/v1/sessions/passkey/options", NULL, 0, sign_in_options},
    {"POST", "/v1/sessions/passkey", NULL, BODY_MAX, sign_in_post},
    {0},
};
