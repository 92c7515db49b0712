#include "tenancy/members.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "identity/accounts.h"
#include "identity/identity.h"
#include "identity/identity_http.h"
#include "tenancy/members_sql.h"

enum { BODY_MAX = 16384, ROLES_MAX = 5, DOMAINS_MAX = 100, DOMAIN_LENGTH_MAX = 253 };
enum { IDLE_MIN = 60, IDLE_MAX = 86400, ABSOLUTE_MIN = 300, ABSOLUTE_MAX = 30 * 86400 }; /* seconds */

/* --- Shared --------------------------------------------------------------------------------------------------------- */

const char *members_if_match(struct http_request *req)
{
    struct text value;
    return http_header(req, "if-match", &value) ? arena_copy(http_arena(req), value.p, value.len) : NULL;
}

static int bad_item(const char *name, size_t place, const char *what, struct error *err)
{
    char field[64];
    snprintf(field, sizeof(field), "/%s/%zu", name, place);
    return error_set(err, ERROR_UNPROCESSABLE, "field_invalid", field, "%s", what);
}

int members_get_strings(struct http_request *req, const json_t *body, const char *name, bool required, size_t max, bool uuids,
                        const char **ret, struct error *err)
{
    const json_t *list = json_object_get(body, name);
    const char *field = arena_printf(http_arena(req), "/%s", name);
    if (!list)
        return required ? error_set(err, ERROR_UNPROCESSABLE, "field_missing", field, "\"%s\" is required.", name) : 0;
    if (!json_is_array(list) || json_array_size(list) > max || (json_array_size(list) == 0 && required))
        return error_set(err, ERROR_UNPROCESSABLE, "field_invalid", field, "\"%s\" is an array of at most %zu strings.", name, max);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *item = json_string_value(json_array_get(list, i));
        if (!item || strlen(item) > DOMAIN_LENGTH_MAX || (uuids && !uuid_valid(text_of(item))))
            return bad_item(name, i, uuids ? "Each is an id." : "Each is a string.", err);
        for (size_t k = 0; k < i; k++)
            if (strcasecmp(item, json_string_value(json_array_get(list, k))) == 0)
                return bad_item(name, i, "It stands there twice.", err);
    }
    *ret = json_render(http_arena(req), list).p;
    return 0;
}

int members_get_uuid_or_null(const json_t *body, const char *name, const char **ret, bool *ret_set, struct error *err)
{
    *ret = NULL;
    *ret_set = json_object_get(body, name) != NULL;
    if (!*ret_set || json_is_null(json_object_get(body, name)))
        return 0;
    return json_get_uuid(body, name, true, ret, err);
}

/* --- The tenant's settings ------------------------------------------------------------------------------------------ */

static int check_choice(const json_t *body, const char *name, const char *first, const char *second, struct error *err)
{
    const char *value = first;
    if (json_get_string(body, name, false, 1, 40, &value, err) < 0)
        return -1;
    if (strcmp(value, first) != 0 && strcmp(value, second) != 0)
        return error_set(err, ERROR_UNPROCESSABLE, "unknown_value", "/second_factor", "%s is %s or %s.", name, first, second);
    return 0;
}

static int check_settings(struct http_request *req, const json_t *body, struct error *err)
{
    const char *name = NULL, *domains;
    bool flag;
    int64_t seconds;
    if (json_object_only(body, err, "name", "session_idle_seconds", "session_absolute_seconds", "second_factor",
                         "password_sign_in", "domains", "invitations_hold_seats", NULL) < 0 ||
        json_get_string(body, "name", false, 1, 200, &name, err) < 0 ||
        (name && identity_name_acceptable(name, err) < 0) ||
        json_get_int(body, "session_idle_seconds", false, IDLE_MIN, IDLE_MAX, &seconds, err) < 0 ||
        json_get_int(body, "session_absolute_seconds", false, ABSOLUTE_MIN, ABSOLUTE_MAX, &seconds, err) < 0 ||
        check_choice(body, "second_factor", "optional", "required", err) < 0 ||
        json_get_bool(body, "password_sign_in", false, &flag, err) < 0 ||
        json_get_bool(body, "invitations_hold_seats", false, &flag, err) < 0)
        return -1;
    return members_get_strings(req, body, "domains", false, DOMAINS_MAX, false, &domains, err);
}

static void tenant_patch(struct http_request *req)
{
    struct error err = {0};
    json_t *body;
    if (http_body_json(req, &body, &err) < 0 || check_settings(req, body, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_json(req, 200, sql_tenant_patch,
                     (const char *const[]){members_if_match(req), json_render(http_arena(req), body).p});
}

/* --- Members -------------------------------------------------------------------------------------------------------- */

static void member_get(struct http_request *req)
{
    struct error err = {0};
    const char *person;
    if (path_uuid(req, "person", "member_not_found", &person, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_row(req, sql_member_show, (const char *const[]){person}, "member_not_found");
}

static void member_patch(struct http_request *req)
{
    struct error err = {0};
    json_t *body;
    const char *person, *roles = NULL, *cohort;
    bool set_cohort, glass = false;
    if (path_uuid(req, "person", "member_not_found", &person, &err) < 0 || http_body_json(req, &body, &err) < 0 ||
        json_object_only(body, &err, "roles", "cohort", "break_glass", NULL) < 0 ||
        members_get_strings(req, body, "roles", false, ROLES_MAX, false, &roles, &err) < 0 ||
        members_get_uuid_or_null(body, "cohort", &cohort, &set_cohort, &err) < 0 ||
        json_get_bool(body, "break_glass", false, &glass, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    const char *new_glass = json_object_get(body, "break_glass") ? (glass ? "true" : "false") : NULL;
    respond_json(req, 200, sql_member_patch,
                 (const char *const[]){person, members_if_match(req), roles, cohort, set_cohort ? "true" : "false", new_glass});
}

static void member_delete(struct http_request *req)
{
    struct error err = {0};
    const char *person;
    if (path_uuid(req, "person", "member_not_found", &person, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_204(req, sql_member_remove, (const char *const[]){person});
}

/* --- One's own ------------------------------------------------------------------------------------------------------ */

static void my_memberships(struct http_request *req)
{
    respond_row(req, sql_my_memberships, NULL, "memberships_not_found");
}

static void my_personal_tenant(struct http_request *req)
{
    respond_json(req, 200, sql_my_personal_tenant, NULL);
}

static void my_membership_delete(struct http_request *req)
{
    struct error err = {0};
    const char *tenant;
    if (path_uuid(req, "tenant", "tenant_not_found", &tenant, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_204(req, sql_my_leave, (const char *const[]){tenant});
}

static void session_switch(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    json_t *body;
    const char *tenant;
    const struct db_result *res;
    char token[IDENTITY_TOKEN_SIZE], session[UUID_SIZE], hash[SHA256_HEX_SIZE];
    identity_token(token);
    uuid_v7(session);
    crypto_sha256_hex(token, strlen(token), hash);
    if (http_body_json(req, &body, &err) < 0 || json_object_only(body, &err, "tenant", NULL) < 0 ||
        json_get_string(body, "tenant", true, 1, 63, &tenant, &err) < 0 || identity_scope(req, &scope, &err) < 0 ||
        db_run(&scope, sql_session_switch, (const char *const[]){tenant, session, hash}, &res, &err) < 0)
        http_reply_error(req, &err);
    else
        identity_reply_session(req, 201, token, identity_by_cookie(req), db_text(res, 0, 0));
}

static void consents_get(struct http_request *req)
{
    respond_row(req, sql_my_consents, NULL, "consents_not_found");
}

static void consent_put(struct http_request *req)
{
    respond_204(req, sql_consent_give, (const char *const[]){"manager"});
}

static void consent_delete(struct http_request *req)
{
    respond_204(req, sql_consent_withdraw, (const char *const[]){"manager"});
}

const struct http_route members_routes[] = {
    {"PATCH", "/v1/tenant", "administrator", BODY_MAX, tenant_patch},
    {"GET", "/v1/tenant/members/{person}", "educator,administrator,support", 0, member_get},
    {"PATCH", "/v1/tenant/members/{person}", "administrator", BODY_MAX, member_patch},
    {"DELETE", "/v1/tenant/members/{person}", "administrator", 0, member_delete},
    {"GET", "/v1/me/memberships", "*", 0, my_memberships},
    {"PUT", "/v1/me/personal-tenant", "*", 0, my_personal_tenant},
    {"DELETE", "/v1/me/memberships/{tenant}", "*", 0, my_membership_delete},
    {"GET", "/v1/me/consents", "*", 0, consents_get},
    {"PUT", "/v1/me/consents/manager", "*", 0, consent_put},
    {"DELETE", "/v1/me/consents/manager", "*", 0, consent_delete},
    {"POST", "/v1/session/tenant", "*", BODY_MAX, session_switch},
    {0},
};
