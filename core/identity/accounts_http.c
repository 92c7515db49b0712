#include "identity/accounts.h"

#include <string.h>

#include "identity/accounts_sql.h"
#include "identity/email.h"
#include "identity/identity_http.h"
#include "identity/password.h"
#include "identity/throttle.h"

enum { BODY_MAX = 8192, SLUG_BYTES = 10, NAME_MAX = 200 };

static const struct text nothing = {"{}", 2};

static struct db_scope nobody(struct http_request *req)
{
    return (struct db_scope){.arena = http_arena(req), .as = DB_AS_NOBODY, .gone = http_gone, .gone_arg = req};
}

static int get_email(struct http_request *req, const json_t *body, const char **ret, struct error *err)
{
    if (json_get_string(body, "email", true, 1, EMAIL_MAX, ret, err) < 0)
        return -1;
    return email_normal(http_arena(req), *ret, ret, "/email", err);
}

static int get_name(const json_t *body, const char **ret, struct error *err)
{
    if (json_get_string(body, "name", true, 1, NAME_MAX, ret, err) < 0)
        return -1;
    return identity_name_acceptable(*ret, err);
}

/* The token of a mail's link, as its hash. */
static int get_token(struct http_request *req, const json_t *body, const char **ret, struct error *err)
{
    const char *token;
    if (json_get_string(body, "token", true, 1, 100, &token, err) < 0)
        return -1;
    char *hash = arena_alloc(http_arena(req), SHA256_HEX_SIZE);
    crypto_sha256_hex(token, strlen(token), hash);
    *ret = hash;
    return 0;
}

static const char *short_or_not(const char *password)
{
    return password_is_short(password) ? "true" : "false";
}

/* --- Signing up ---------------------------------------------------------------------------------------------------- */

static int sign_up_from_body(struct http_request *req, const char **email, const char **name, const char **password,
                             struct error *err)
{
    json_t *body;
    if (http_body_json(req, &body, err) < 0 || json_object_only(body, err, "email", "name", "password", NULL) < 0 ||
        get_email(req, body, email, err) < 0 || get_name(body, name, err) < 0)
        return -1;
    return json_get_string(body, "password", true, 1, PASSWORD_MAX, password, err);
}

/* Same work, same reply, whether the address has an account or not: the mail alone knows. */
static void account_post(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope = nobody(req);
    const char *email, *name, *password;
    char phc[PASSWORD_PHC_SIZE];
    const struct db_result *res;
    if (sign_up_from_body(req, &email, &name, &password, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    const struct throttle_key keys[] = {{"mail", email}, {"mail_address", throttle_client(req)}, {0}};
    const struct password_about about = {.words = arena_printf(scope.arena, "%s %s", email, name)};
    if (throttle_take(req, &scope, keys, &err) < 0) {
        http_reply_error(req, &err);
    } else if (identity_password_new(password, &about, phc, &err) < 0) {
        throttle_forgive(&scope, keys, NULL); /* no mail was asked for yet */
        http_reply_error(req, &err);
    } else if (db_run(&scope, sql_account_request, (const char *const[]){email, name, phc}, &res, &err) < 0) {
        http_reply_error(req, &err);
    } else {
        http_reply_json(req, 202, nothing);
    }
}

/* Who follows the link and shows the password that was chosen when signing up is who signed up: its hash; else NULL. */
static int sign_up_shown(struct db_scope *scope, const char *token, const char *password, const char **ret, struct error *err)
{
    const struct db_result *res;
    bool matches;
    *ret = NULL;
    if (!password)
        return 0;
    if (db_run(scope, sql_account_ticket_phc, (const char *const[]){token}, &res, err) < 0)
        return -1;
    const char *phc = db_string(res, 0, 0);
    if (!phc || !phc[0])
        return 0;
    if (identity_password_verify(phc, password, &matches, err) < 0)
        return -1;
    *ret = matches ? phc : NULL;
    return 0;
}

static void verification_post(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope = nobody(req);
    const struct throttle_key keys[] = {{"address", throttle_client(req)}, {0}};
    const struct db_result *res;
    json_t *body;
    const char *token, *password = NULL, *phc;
    unsigned char random[SLUG_BYTES];
    char person[UUID_SIZE], tenant[UUID_SIZE], slug[2 * SLUG_BYTES + 1];
    uuid_v7(person);
    uuid_v7(tenant);
    crypto_random(random, sizeof(random));
    hex_encode(random, sizeof(random), slug);
    if (http_body_json(req, &body, &err) < 0 || json_object_only(body, &err, "token", "password", NULL) < 0 ||
        get_token(req, body, &token, &err) < 0 ||
        json_get_string(body, "password", false, 1, PASSWORD_MAX, &password, &err) < 0 ||
        throttle_take(req, &scope, keys, &err) < 0 || sign_up_shown(&scope, token, password, &phc, &err) < 0 ||
        db_run(&scope, sql_address_verify,
               (const char *const[]){token, person, tenant, arena_printf(scope.arena, "p-%s", slug), phc}, &res, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    throttle_forgive(&scope, keys, NULL);
    http_reply_json(req, 201, db_text(res, 0, 0));
}

/* --- Reset --------------------------------------------------------------------------------------------------------- */

static void reset_post(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope = nobody(req);
    const struct db_result *res;
    json_t *body;
    const char *email;
    if (http_body_json(req, &body, &err) < 0 || json_object_only(body, &err, "email", NULL) < 0 ||
        get_email(req, body, &email, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    const struct throttle_key keys[] = {{"mail", email}, {"mail_address", throttle_client(req)}, {0}};
    if (throttle_take(req, &scope, keys, &err) < 0 ||
        db_run(&scope, sql_password_reset_request, (const char *const[]){email}, &res, &err) < 0)
        http_reply_error(req, &err);
    else
        http_reply_json(req, 202, nothing);
}

/* What the new password must not be made of; refuses a link that is no longer good, before anything is hashed. */
static int about_ticket(struct db_scope *scope, const char *token, struct password_about *ret, struct error *err)
{
    const struct db_result *res;
    if (db_run(scope, sql_password_about, (const char *const[]){token}, &res, err) < 0)
        return -1;
    if (db_rows(res) == 0)
        return error_set(err, ERROR_GONE, "link_expired", "/token",
                         "This link was used before, has expired, or was never one. Ask for a new one.");
    *ret = (struct password_about){.words = db_string(res, 0, 0), .second_factor = db_bool(res, 0, 1)};
    return 0;
}

static void completion_post(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope = nobody(req);
    const struct throttle_key keys[] = {{"address", throttle_client(req)}, {0}};
    struct password_about about;
    const struct db_result *res;
    json_t *body;
    const char *token, *password;
    char phc[PASSWORD_PHC_SIZE];
    if (http_body_json(req, &body, &err) < 0 || json_object_only(body, &err, "token", "password", NULL) < 0 ||
        get_token(req, body, &token, &err) < 0 ||
        json_get_string(body, "password", true, 1, PASSWORD_MAX, &password, &err) < 0 ||
        throttle_take(req, &scope, keys, &err) < 0 || about_ticket(&scope, token, &about, &err) < 0 ||
        identity_password_new(password, &about, phc, &err) < 0 ||
        db_run(&scope, sql_password_reset, (const char *const[]){token, phc, short_or_not(password)}, &res, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    throttle_forgive(&scope, keys, NULL);
    http_reply(req, 204, NULL, (struct text){0});
}

/* --- Oneself ------------------------------------------------------------------------------------------------------- */

static void me_get(struct http_request *req)
{
    respond_row(req, sql_me_show, NULL, "person_not_found");
}

static void me_put(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    const struct db_result *res;
    json_t *body;
    const char *name;
    if (identity_scope(req, &scope, &err) < 0 || http_body_json(req, &body, &err) < 0 ||
        json_object_only(body, &err, "name", NULL) < 0 || get_name(body, &name, &err) < 0 ||
        db_run(&scope, sql_me_rename, (const char *const[]){name}, &res, &err) < 0)
        http_reply_error(req, &err);
    else
        http_reply_json(req, 200, db_text(res, 0, 0));
}

struct own_password {
    struct password_about about;
    const char *phc; /* "": has none */
};

static int own_password(struct db_scope *scope, struct own_password *ret, struct error *err)
{
    const struct db_result *res;
    if (db_run(scope, sql_password_about, (const char *const[]){NULL}, &res, err) < 0)
        return -1;
    if (db_rows(res) == 0)
        return error_set(err, ERROR_NOT_FOUND, "person_not_found", NULL, "There is nobody.");
    *ret = (struct own_password){.about = {.words = db_string(res, 0, 0), .second_factor = db_bool(res, 0, 1)},
                                 .phc = db_string(res, 0, 2)};
    return 0;
}

/* A session that somebody else got hold of must not be enough to take the account over. */
static int show_current(const struct own_password *own, const char *current, struct error *err)
{
    bool matches;
    if (!current)
        return error_set(err, ERROR_UNPROCESSABLE, "field_missing", "/current", "\"current\" is your password as it is.");
    if (identity_password_verify(own->phc, current, &matches, err) < 0)
        return -1;
    if (!matches)
        return error_set(err, ERROR_UNPROCESSABLE, "wrong_password", "/current", "This is not your password.");
    return 0;
}

int accounts_show_password(struct http_request *req, struct db_scope *scope, const char *password, struct error *err)
{
    const struct throttle_key keys[] = {{"account", NULL}, {"address", throttle_client(req)}, {0}};
    struct own_password own;
    bool matches;
    if (own_password(scope, &own, err) < 0 || throttle_take(req, scope, keys, err) < 0 ||
        identity_password_verify(own.phc, password, &matches, err) < 0)
        return -1;
    if (!matches)
        return error_set(err, ERROR_UNPROCESSABLE, "wrong_password", "/password", "This is not your password.");
    return throttle_forgive(scope, keys, err);
}

static int passwords_from_body(struct http_request *req, const char **current, const char **password, struct error *err)
{
    json_t *body;
    if (http_body_json(req, &body, err) < 0 || json_object_only(body, err, "current", "password", NULL) < 0 ||
        json_get_string(body, "current", true, 1, PASSWORD_MAX, current, err) < 0)
        return -1;
    return json_get_string(body, "password", true, 1, PASSWORD_MAX, password, err);
}

static void password_put(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    const struct throttle_key keys[] = {{"account", NULL}, {"address", throttle_client(req)}, {0}};
    struct own_password own;
    const struct db_result *res;
    const char *current, *password;
    char phc[PASSWORD_PHC_SIZE], token[IDENTITY_TOKEN_SIZE], hash[SHA256_HEX_SIZE];
    identity_token(token);
    crypto_sha256_hex(token, strlen(token), hash);
    if (identity_scope(req, &scope, &err) < 0 || passwords_from_body(req, &current, &password, &err) < 0 ||
        own_password(&scope, &own, &err) < 0 || throttle_take(req, &scope, keys, &err) < 0 ||
        show_current(&own, current, &err) < 0 || throttle_forgive(&scope, keys, &err) < 0 ||
        identity_password_new(password, &own.about, phc, &err) < 0 ||
        db_run(&scope, sql_password_change, (const char *const[]){own.phc, phc, short_or_not(password), hash}, &res, &err) < 0)
        http_reply_error(req, &err);
    else
        identity_reply_session(req, 200, token, identity_by_cookie(req), db_text(res, 0, 0));
}

static int new_email_from_body(struct http_request *req, const char **email, const char **current, struct error *err)
{
    json_t *body;
    *current = NULL;
    if (http_body_json(req, &body, err) < 0 || json_object_only(body, err, "email", "current", NULL) < 0 ||
        get_email(req, body, email, err) < 0)
        return -1;
    return json_get_string(body, "current", false, 1, PASSWORD_MAX, current, err);
}

static void email_put(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    struct own_password own;
    const struct db_result *res;
    const char *email, *current;
    if (identity_scope(req, &scope, &err) < 0 || new_email_from_body(req, &email, &current, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    const struct throttle_key keys[] = {{"account", NULL}, {"mail", email}, {"mail_address", throttle_client(req)}, {0}};
    const struct throttle_key account[] = {{"account", NULL}, {0}};
    if (own_password(&scope, &own, &err) < 0 || throttle_take(req, &scope, keys, &err) < 0 ||
        (own.phc[0] && show_current(&own, current, &err) < 0) || throttle_forgive(&scope, account, &err) < 0 ||
        db_run(&scope, sql_email_request, (const char *const[]){email}, &res, &err) < 0)
        http_reply_error(req, &err);
    else
        http_reply_json(req, 202, nothing);
}

const struct http_route accounts_routes[] = {
    {"POST", "/v1/accounts", NULL, BODY_MAX, account_post},
    {"POST", "/v1/accounts/verification", NULL, BODY_MAX, verification_post},
    {"POST", "/v1/password-resets", NULL, BODY_MAX, reset_post},
    {"POST", "/v1/password-resets/completion", NULL, BODY_MAX, completion_post},
    {"GET", "/v1/me", "*", 0, me_get},
    {"PUT", "/v1/me", "*", BODY_MAX, me_put},
    {"PUT", "/v1/me/password", "pending", BODY_MAX, password_put},
    {"PUT", "/v1/me/email", "*", BODY_MAX, email_put},
    {0},
};
