#include "tenancy/invitations.h"

#include <string.h>

#include "http/fields.h"
#include "identity/accounts.h"
#include "identity/email.h"
#include "identity/identity.h"
#include "identity/identity_http.h"
#include "identity/password.h"
#include "identity/throttle.h"
#include "tenancy/invitations_csv.h"
#include "tenancy/invitations_sql.h"
#include "tenancy/members.h"

enum { BODY_MAX = 8192, LIST_BODY_MAX = 512 * 1024, ROLES_MAX = 5, NAME_MAX_CHARS = 200, TOKEN_MAX = 100 };
enum { LINK_NAME_MAX = 100, LINK_USES_MAX = 10000, LINK_DAYS_MAX = 365, LINK_DAYS = 30 };

/* --- By administrators ---------------------------------------------------------------------------------------------- */

/* One form of each address; what is none is marked, for its row's result. */
static void normalise_emails(struct arena *arena, json_t *rows)
{
    json_t *row;
    size_t i;
    json_array_foreach(rows, i, row)
    {
        const char *given = json_string_value(json_object_get(row, "email")), *email;
        if (!given || email_normal(arena, given, &email, "/email", NULL) < 0)
            json_object_set_new(row, "bad_email", json_true());
        else if (strcmp(given, email) != 0)
            json_object_set_new(row, "email", json_string(email));
    }
}

static void release(void *arg)
{
    json_decref(arg);
}

static int invitation_from_body(struct http_request *req, json_t **ret_rows, struct error *err)
{
    json_t *body;
    const char *text = NULL, *roles, *cohort;
    bool set;
    if (http_body_json(req, &body, err) < 0 || json_object_only(body, err, "email", "name", "roles", "cohort", NULL) < 0 ||
        json_get_string(body, "email", true, 1, EMAIL_MAX, &text, err) < 0 ||
        json_get_string(body, "name", false, 1, NAME_MAX_CHARS, &text, err) < 0 ||
        members_get_strings(req, body, "roles", true, ROLES_MAX, false, &roles, err) < 0 ||
        members_get_uuid_or_null(body, "cohort", &cohort, &set, err) < 0)
        return -1;
    *ret_rows = json_array();
    arena_defer(http_arena(req), release, *ret_rows);
    json_array_append(*ret_rows, body);
    normalise_emails(http_arena(req), *ret_rows);
    return 0;
}

static enum error_kind refusal_kind(struct text reason)
{
    return text_is(reason, "seats_exhausted") ? ERROR_CONFLICT : ERROR_UNPROCESSABLE;
}

static void invitation_post(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    json_t *rows;
    const struct db_result *res;
    if (identity_scope(req, &scope, &err) < 0 || invitation_from_body(req, &rows, &err) < 0 ||
        db_run(&scope, sql_invite_one, (const char *const[]){json_render(scope.arena, rows).p}, &res, &err) < 0) {
        http_reply_error(req, &err);
    } else if (text_is(db_text(res, 0, 0), "refused")) {
        const char *field = arena_printf(scope.arena, "/%s", db_string(res, 0, 3));
        error_set(&err, refusal_kind(db_text(res, 0, 1)), db_string(res, 0, 1), field[1] ? field : NULL, "%s", db_string(res, 0, 2));
        http_reply_error(req, &err);
    } else {
        bool made = text_is(db_text(res, 0, 0), "invited");
        if (!db_is_null(res, 0, 4))
            http_header_add(req, "location", arena_printf(scope.arena, "/v1/tenant/invitations/%s", db_string(res, 0, 4)));
        http_reply_json(req, made ? 201 : 200, db_text(res, 0, 5));
    }
}

static void invitation_batch(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    struct text type;
    json_t *rows;
    const struct db_result *res;
    if (!http_header(req, "content-type", &type) || !field_media_type_is(type, "text/csv"))
        error_set(&err, ERROR_UNSUPPORTED, "csv_expected", "Content-Type", "A list of people is sent as text/csv.");
    else if (identity_scope(req, &scope, &err) == 0 && invitations_from_csv(scope.arena, http_body(req), &rows, &err) == 0) {
        normalise_emails(scope.arena, rows);
        if (db_run(&scope, sql_invite_many, (const char *const[]){json_render(scope.arena, rows).p}, &res, &err) == 0) {
            http_reply_json(req, 200, db_text(res, 0, 0));
            return;
        }
    }
    http_reply_error(req, &err);
}

static void invitation_list(struct http_request *req)
{
    respond_list(req, sql_invitation_list);
}

static void invitation_get(struct http_request *req)
{
    struct error err = {0};
    const char *id;
    if (path_uuid(req, "invitation", "invitation_not_found", &id, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_row(req, sql_invitation_show, (const char *const[]){id}, "invitation_not_found");
}

static void invitation_resend(struct http_request *req)
{
    struct error err = {0};
    const char *id;
    if (path_uuid(req, "invitation", "invitation_not_found", &id, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_json(req, 202, sql_invitation_resend, (const char *const[]){id});
}

static void invitation_delete(struct http_request *req)
{
    struct error err = {0};
    const char *id;
    if (path_uuid(req, "invitation", "invitation_not_found", &id, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_204(req, sql_invitation_withdraw, (const char *const[]){id});
}

/* --- Join links ----------------------------------------------------------------------------------------------------- */

static void join_link_list(struct http_request *req)
{
    respond_list(req, sql_join_link_list);
}

static void join_link_post(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    json_t *body;
    const char *name = NULL, *roles = NULL, *cohort;
    bool set;
    int64_t uses = 0, days = LINK_DAYS;
    char id[UUID_SIZE], token[IDENTITY_TOKEN_SIZE], hash[SHA256_HEX_SIZE];
    const struct db_result *res;
    if (identity_scope(req, &scope, &err) < 0 || http_body_json(req, &body, &err) < 0 ||
        json_object_only(body, &err, "name", "roles", "cohort", "max_uses", "days", NULL) < 0 ||
        json_get_string(body, "name", true, 1, LINK_NAME_MAX, &name, &err) < 0 || identity_name_acceptable(name, &err) < 0 ||
        members_get_strings(req, body, "roles", true, ROLES_MAX, false, &roles, &err) < 0 ||
        members_get_uuid_or_null(body, "cohort", &cohort, &set, &err) < 0 ||
        json_get_int(body, "max_uses", false, 1, LINK_USES_MAX, &uses, &err) < 0 ||
        json_get_int(body, "days", false, 1, LINK_DAYS_MAX, &days, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    uuid_v7(id);
    identity_token(token);
    crypto_sha256_hex(token, strlen(token), hash);
    const char *const params[] = {
        id,     hash, name, roles, cohort, uses ? arena_printf(scope.arena, "%lld", (long long)uses) : NULL,
        arena_printf(scope.arena, "%lld", (long long)days),
    };
    if (db_run(&scope, sql_join_link_create, params, &res, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    struct text link = db_text(res, 0, 0); /* an object: its members go behind ours */
    http_reply_json(req, 201,
                    text_of(arena_printf(scope.arena, "{\"token\":\"%s\",\"page\":\"/join#%s\",%.*s", token, token,
                                         (int)link.len - 1, link.p + 1)));
}

static void join_link_delete(struct http_request *req)
{
    struct error err = {0};
    const char *id;
    if (path_uuid(req, "link", "link_not_found", &id, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_204(req, sql_join_link_withdraw, (const char *const[]){id});
}

/* --- By who holds a link --------------------------------------------------------------------------------------------- */

static struct db_scope nobody(struct http_request *req)
{
    return (struct db_scope){.arena = http_arena(req), .as = DB_AS_NOBODY, .gone = http_gone, .gone_arg = req};
}

/* *ret: the hash of the member "token". */
static int get_token(struct http_request *req, const json_t *body, const char **ret, struct error *err)
{
    const char *token;
    if (json_get_string(body, "token", true, 1, TOKEN_MAX, &token, err) < 0)
        return -1;
    char *hash = arena_alloc(http_arena(req), SHA256_HEX_SIZE);
    crypto_sha256_hex(token, strlen(token), hash);
    *ret = hash;
    return 0;
}

static void preview_post(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope = nobody(req);
    json_t *body;
    const char *token;
    const struct db_result *res;
    const struct throttle_key keys[] = {{"address", throttle_client(req)}, {0}};
    if (http_body_json(req, &body, &err) < 0 || json_object_only(body, &err, "token", NULL) < 0 ||
        get_token(req, body, &token, &err) < 0 || throttle_take(req, &scope, keys, &err) < 0 ||
        db_run(&scope, sql_invitation_preview, (const char *const[]){token}, &res, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    throttle_forgive(&scope, keys, NULL);
    http_reply_json(req, 200, db_text(res, 0, 0));
}

/* The same answer whether the address belongs to a member, a stranger or somebody who asked before. */
static void join_post(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope = nobody(req);
    json_t *body;
    const char *token, *email;
    const struct db_result *res;
    if (http_body_json(req, &body, &err) < 0 || json_object_only(body, &err, "token", "email", NULL) < 0 ||
        get_token(req, body, &token, &err) < 0 || json_get_string(body, "email", true, 1, EMAIL_MAX, &email, &err) < 0 ||
        email_normal(scope.arena, email, &email, "/email", &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    const struct throttle_key keys[] = {{"mail", email}, {"mail_address", throttle_client(req)}, {0}};
    if (throttle_take(req, &scope, keys, &err) < 0 ||
        db_run(&scope, sql_join_request, (const char *const[]){token, email}, &res, &err) < 0)
        http_reply_error(req, &err);
    else
        http_reply_json(req, 202, TEXT("{}"));
}

struct acceptance {
    const char *token, *name, *password;
};

static int acceptance_from_body(struct http_request *req, struct acceptance *ret, struct error *err)
{
    json_t *body;
    if (http_body_json(req, &body, err) < 0 || json_object_only(body, err, "token", "name", "password", NULL) < 0 ||
        get_token(req, body, &ret->token, err) < 0 ||
        json_get_string(body, "name", false, 1, NAME_MAX_CHARS, &ret->name, err) < 0 ||
        json_get_string(body, "password", false, 1, PASSWORD_MAX, &ret->password, err) < 0)
        return -1;
    return ret->name ? identity_name_acceptable(ret->name, err) : 0;
}

/* Who is new gives a name and, where passwords are let in, a password; it is hashed only when the link is good. */
static int new_account(struct db_scope *scope, struct acceptance *in, char phc[PASSWORD_PHC_SIZE], struct error *err)
{
    const struct db_result *res;
    if (db_run(scope, sql_invitation_preview, (const char *const[]){in->token}, &res, err) < 0)
        return -1;
    bool known = db_bool(res, 0, 1), needs_password = db_bool(res, 0, 2);
    if (known && (in->name || in->password))
        return error_set(err, ERROR_CONFLICT, "account_exists", NULL,
                         "You have an account: accept without name and password, and sign in as usual.");
    if (known)
        return 0;
    if (!in->name)
        return error_set(err, ERROR_UNPROCESSABLE, "field_missing", "/name", "A new account takes a name.");
    if (!in->password)
        return needs_password ? error_set(err, ERROR_UNPROCESSABLE, "field_missing", "/password", "A new account takes a password.") : 0;
    const struct password_about about = {.words = arena_printf(scope->arena, "%s %s", in->name, db_string(res, 0, 3))};
    return identity_password_new(in->password, &about, phc, err);
}

static void acceptance_post(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope = nobody(req);
    struct acceptance in = {0};
    char phc[PASSWORD_PHC_SIZE] = "", person[UUID_SIZE];
    const struct db_result *res;
    const struct throttle_key keys[] = {{"address", throttle_client(req)}, {0}};
    uuid_v7(person);
    if (acceptance_from_body(req, &in, &err) < 0 || throttle_take(req, &scope, keys, &err) < 0 ||
        new_account(&scope, &in, phc, &err) < 0 ||
        db_run(&scope, sql_invitation_accept, (const char *const[]){in.token, person, in.name, phc[0] ? phc : NULL}, &res, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    throttle_forgive(&scope, keys, NULL);
    http_reply_json(req, 201, db_text(res, 0, 0));
}

const struct http_route invitations_routes[] = {
    {"POST", "/v1/tenant/invitations", "administrator", BODY_MAX, invitation_post},
    {"POST", "/v1/tenant/invitations/batch", "administrator", LIST_BODY_MAX, invitation_batch},
    {"GET", "/v1/tenant/invitations", "administrator,support", 0, invitation_list},
    {"GET", "/v1/tenant/invitations/{invitation}", "administrator,support", 0, invitation_get},
    {"POST", "/v1/tenant/invitations/{invitation}/resend", "administrator", 0, invitation_resend},
    {"DELETE", "/v1/tenant/invitations/{invitation}", "administrator", 0, invitation_delete},
    {"GET", "/v1/tenant/join-links", "administrator,support", 0, join_link_list},
    {"POST", "/v1/tenant/join-links", "administrator", BODY_MAX, join_link_post},
    {"DELETE", "/v1/tenant/join-links/{link}", "administrator", 0, join_link_delete},
    {"POST", "/v1/invitations/preview", NULL, BODY_MAX, preview_post},
    {"POST", "/v1/invitations/join", NULL, BODY_MAX, join_post},
    {"POST", "/v1/invitations/acceptance", NULL, BODY_MAX, acceptance_post},
    {0},
};
