#include "identity/second_factor.h"

#include <string.h>

#include "base/clock.h"
#include "identity/identity_http.h"
#include "identity/second_factor_sql.h"
#include "identity/throttle.h"
#include "identity/totp.h"
#include "identity/vault.h"

enum { BODY_MAX = 1024 };

static const struct throttle_key codes_of_person[] = {{"second_factor", NULL}, {0}};

static void put_codes(struct buffer *out, const struct recovery_codes *codes)
{
    if (!codes) {
        buffer_puts(out, "null");
        return;
    }
    for (int i = 0; i < RECOVERY_CODES; i++)
        buffer_printf(out, "%s\"%s\"", i ? "," : "[", codes->codes[i]);
    buffer_puts(out, "]");
}

void second_factor_reply(struct http_request *req, int status, const char *token, struct text session,
                         const struct recovery_codes *codes)
{
    struct buffer out;
    buffer_init(&out, 64 << 10);
    buffer_puts(&out, "{\"recovery_codes\":");
    put_codes(&out, codes);
    buffer_puts(&out, ",");
    buffer_add(&out, session.p + 1, session.len - 1);
    identity_reply_session(req, status, token, identity_by_cookie(req), (struct text){out.p, out.len});
    buffer_finish(&out);
}

static void list_get(struct http_request *req)
{
    respond_row(req, sql_second_factor_list, NULL, "person_not_found");
}

/* --- Taking away ----------------------------------------------------------------------------------------------------- */

static void take_away(struct http_request *req, const char *which)
{
    struct error err = {0};
    struct db_scope scope;
    const struct db_result *res;
    if (identity_scope(req, &scope, &err) < 0 ||
        db_run(&scope, sql_second_factor_remove, (const char *const[]){which}, &res, &err) < 0) {
        http_reply_error(req, &err);
    } else if (!db_bool(res, 0, 0)) {
        error_set(&err, ERROR_NOT_FOUND, "second_factor_not_found", NULL, "You have no such second factor.");
        http_reply_error(req, &err);
    } else {
        http_reply(req, 204, NULL, (struct text){0});
    }
}

static void totp_delete(struct http_request *req)
{
    take_away(req, "totp");
}

static void passkey_delete(struct http_request *req)
{
    struct error err = {0};
    const char *passkey;
    if (path_uuid(req, "passkey", "second_factor_not_found", &passkey, &err) < 0)
        http_reply_error(req, &err);
    else
        take_away(req, passkey);
}

/* --- Authenticator apps ------------------------------------------------------------------------------------------------ */

/* Whose seed it is says the scope, once a statement has run: this one, before the seed is sealed. */
static const char *seed_context(struct arena *arena, const char *person)
{
    return arena_printf(arena, "totp:%s", person);
}

static void totp_post(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    struct arena *arena = http_arena(req);
    const struct db_result *res;
    const char *sealed;
    uint8_t seed[TOTP_SEED_SIZE];
    char secret[(TOTP_SEED_SIZE * 8 + 4) / 5 + 1];
    crypto_random(seed, sizeof(seed));
    if (identity_scope(req, &scope, &err) < 0 || db_run(&scope, sql_second_factor_list, NULL, &res, &err) < 0 ||
        vault_seal(arena, seed_context(arena, scope.person_id), (struct text){(char *)seed, sizeof(seed)}, &sealed, &err) < 0 ||
        db_run(&scope, sql_totp_begin, (const char *const[]){sealed}, &res, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    base32_encode(seed, sizeof(seed), secret);
    const char *uri = totp_uri(arena, db_string(res, 0, 0), secret), *svg = qr_svg(arena, uri);
    struct buffer out;
    buffer_init(&out, 2 << 20);
    buffer_printf(&out, "{\"secret\":\"%s\",\"uri\":", secret);
    buffer_json_string(&out, text_of(uri));
    buffer_puts(&out, ",\"qr_svg\":");
    if (svg)
        buffer_json_string(&out, text_of(svg));
    else
        buffer_puts(&out, "null");
    buffer_puts(&out, "}");
    http_reply_json(req, 201, (struct text){out.p, out.len});
    buffer_finish(&out);
}

static int code_from_body(struct http_request *req, const char **ret, struct error *err)
{
    json_t *body;
    if (http_body_json(req, &body, err) < 0 || json_object_only(body, err, "code", NULL) < 0 ||
        json_get_string(body, "code", true, 1, 100, ret, err) < 0)
        return -1;
    return 0;
}

static int code_wrong(struct error *err)
{
    return error_set(err, ERROR_UNPROCESSABLE, "code_wrong", "/code", "The code is not right, or was used before.");
}

/* The step of a right code, or -1. */
static int64_t right_step(struct db_scope *scope, const char *code, bool confirming, struct error *err)
{
    const struct db_result *res;
    struct text seed;
    if (db_run(scope, sql_totp_seed, (const char *const[]){confirming ? "true" : "false"}, &res, err) < 0)
        return -1;
    if (db_rows(res) == 0)
        return error_set(err, ERROR_CONFLICT, "no_totp", NULL, confirming ? "No authenticator app is being added: begin with POST /v1/me/totp."
                                                                          : "There is no authenticator app.");
    if (vault_open(scope->arena, seed_context(scope->arena, db_string(res, 0, 0)), db_text(res, 0, 1), &seed, err) < 0)
        return -1;
    int64_t step = totp_step_of(seed, text_of(code), clock_wall_ms() / 1000, db_int(res, 0, 2));
    return step < 0 ? code_wrong(err) : step;
}

static void totp_shown(struct http_request *req, bool confirming)
{
    struct error err = {0};
    struct db_scope scope;
    const struct db_result *res;
    const char *code;
    struct recovery_codes codes;
    char token[IDENTITY_TOKEN_SIZE], hash[SHA256_HEX_SIZE];
    int64_t step;
    identity_token(token);
    crypto_sha256_hex(token, strlen(token), hash);
    recovery_codes_make(&codes);
    if (code_from_body(req, &code, &err) < 0 || identity_scope(req, &scope, &err) < 0 ||
        throttle_take(req, &scope, codes_of_person, &err) < 0 || (step = right_step(&scope, code, confirming, &err)) < 0) {
        http_reply_error(req, &err);
        return;
    }
    const char *const params[] = {arena_printf(scope.arena, "%lld", (long long)step), confirming ? "true" : "false", hash,
                                  codes.hashes};
    if (db_run(&scope, sql_totp_accept, params, &res, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    struct text session = db_text(res, 0, 0);
    bool taken = db_bool(res, 0, 1);
    scope.credential = hash; /* the session has moved on */
    throttle_forgive(&scope, codes_of_person, &err);
    second_factor_reply(req, confirming ? 201 : 200, token, session, taken ? &codes : NULL);
}

static void totp_confirm(struct http_request *req)
{
    totp_shown(req, true);
}

static void session_totp(struct http_request *req)
{
    totp_shown(req, false);
}

/* --- Recovery codes ------------------------------------------------------------------------------------------------------ */

static void recovery_renew(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    const struct db_result *res;
    struct recovery_codes codes;
    recovery_codes_make(&codes);
    if (identity_scope(req, &scope, &err) < 0 ||
        db_run(&scope, sql_recovery_codes_renew, (const char *const[]){codes.hashes}, &res, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    struct buffer out;
    buffer_init(&out, 4096);
    buffer_puts(&out, "{\"recovery_codes\":");
    put_codes(&out, &codes);
    buffer_puts(&out, "}");
    http_reply_json(req, 201, (struct text){out.p, out.len});
    buffer_finish(&out);
}

static void session_recovery(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    const struct db_result *res;
    const char *code;
    char token[IDENTITY_TOKEN_SIZE], hash[SHA256_HEX_SIZE], code_hash[SHA256_HEX_SIZE];
    identity_token(token);
    crypto_sha256_hex(token, strlen(token), hash);
    if (code_from_body(req, &code, &err) < 0 || identity_scope(req, &scope, &err) < 0 ||
        throttle_take(req, &scope, codes_of_person, &err) < 0 ||
        (!recovery_code_hash(text_of(code), code_hash) && code_wrong(&err) < 0) ||
        db_run(&scope, sql_recovery_code_use, (const char *const[]){code_hash, hash}, &res, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    struct text session = db_text(res, 0, 0);
    scope.credential = hash;
    throttle_forgive(&scope, codes_of_person, &err);
    second_factor_reply(req, 200, token, session, NULL);
}

const struct http_route second_factor_routes[] = {
    {"GET", "/v1/me/second-factors", "pending", 0, list_get},
    {"POST", "/v1/me/totp", "pending", 0, totp_post},
    {"POST", "/v1/me/totp/confirmation", "pending", BODY_MAX, totp_confirm},
    {"DELETE", "/v1/me/totp", "*", 0, totp_delete},
    {"DELETE", "/v1/me/passkeys/{passkey}", "*", 0, passkey_delete},
    {"POST", "/v1/me/recovery-codes", "*", 0, recovery_renew},
    {"POST", "/v1/session/totp", "pending", BODY_MAX, session_totp},
    {"POST", "/v1/session/recovery-code", "pending", BODY_MAX, session_recovery},
    {0},
};
