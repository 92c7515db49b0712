#include "identity/api_tokens.h"

#include <stdio.h>
#include <string.h>

#include "identity/api_tokens_sql.h"
#include "identity/identity_http.h"

enum { BODY_MAX = 8192, DAYS_DEFAULT = 90, DAYS_MAX = 366, SCOPES_MAX = 50 };

static const struct http_route *const *routes;

void api_tokens_init(const struct http_route *const *tables)
{
    routes = tables;
}

/* What a person does with their own account takes the person: no token reaches it. */
static bool area_is_personal(struct text area)
{
    return text_is(area, "me") || text_is(area, "session") || text_is(area, "sessions");
}

static bool area_exists(struct text area)
{
    for (const struct http_route *const *table = routes; *table; table++)
        for (const struct http_route *route = *table; route->method; route++) {
            const char *path = route->path;
            if (!route->roles || strncmp(path, "/v1/", 4) != 0)
                continue;
            if (text_is(area, "") || strlen(path + 4) < area.len || memcmp(path + 4, area.p, area.len) != 0)
                continue;
            if (path[4 + area.len] == '\0' || path[4 + area.len] == '/')
                return true;
        }
    return false;
}

/* "cases:read": an area of the API, and what for. */
static bool scope_is_valid(const char *scope)
{
    const char *colon = strchr(scope, ':');
    if (!colon || (strcmp(colon, ":read") != 0 && strcmp(colon, ":write") != 0))
        return false;
    struct text area = {scope, (size_t)(colon - scope)};
    return !area_is_personal(area) && area_exists(area);
}

static int check_scopes(const json_t *scopes, struct error *err)
{
    if (!json_is_array(scopes) || json_array_size(scopes) == 0 || json_array_size(scopes) > SCOPES_MAX)
        return error_set(err, ERROR_UNPROCESSABLE, scopes ? "field_invalid" : "field_missing", "/scopes",
                         "scopes is a list of 1 to %d scopes, such as \"cases:read\".", SCOPES_MAX);
    for (size_t i = 0; i < json_array_size(scopes); i++) {
        const char *scope = json_string_value(json_array_get(scopes, i));
        char field[32];
        snprintf(field, sizeof(field), "/scopes/%zu", i);
        if (!scope || !scope_is_valid(scope))
            return error_set(err, ERROR_UNPROCESSABLE, "unknown_scope", field,
                             "A scope is an area of the API (cases, reads, performance, ...) and \":read\" or \":write\".");
    }
    return 0;
}

static void create(struct http_request *req, bool own)
{
    struct error err = {0};
    struct db_scope scope;
    json_t *body;
    const char *name;
    const struct db_result *res;
    int64_t days = DAYS_DEFAULT;
    struct arena *arena = http_arena(req);
    char id[UUID_SIZE], secret[IDENTITY_TOKEN_SIZE], hash[SHA256_HEX_SIZE];
    if (http_body_json(req, &body, &err) < 0 || json_object_only(body, &err, "name", "days", own ? "scopes" : "name", NULL) < 0 ||
        json_get_string(body, "name", true, 1, 200, &name, &err) < 0 ||
        json_get_int(body, "days", false, 1, DAYS_MAX, &days, &err) < 0 ||
        (own && check_scopes(json_object_get(body, "scopes"), &err) < 0) || identity_scope(req, &scope, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    const char *scopes = own ? json_render(arena, json_object_get(body, "scopes")).p : "[]";
    uuid_v7(id);
    identity_token(secret);
    const char *token = arena_printf(arena, IDENTITY_TOKEN_PREFIX "%s", secret);
    crypto_sha256_hex(token, strlen(token), hash);
    const char *const params[] = {id, hash, name, scopes, arena_printf(arena, "%lld", (long long)days), own ? "true" : "false"};
    if (db_run(&scope, sql_api_token_create, params, &res, &err) < 0)
        http_reply_error(req, &err);
    else
        identity_reply_session(req, 201, token, false, db_text(res, 0, 0));
}

static void mine_post(struct http_request *req)
{
    create(req, true);
}

static void tenant_post(struct http_request *req)
{
    create(req, false);
}

static void mine_get(struct http_request *req)
{
    respond_list(req, sql_api_token_mine);
}

static void tenant_get(struct http_request *req)
{
    respond_list(req, sql_api_token_list);
}

static void revoke(struct http_request *req, const char *token, bool mine)
{
    struct error err = {0};
    struct db_scope scope;
    const struct db_result *res;
    if (identity_scope(req, &scope, &err) < 0 ||
        db_run(&scope, sql_api_token_revoke, (const char *const[]){token, mine ? "true" : "false"}, &res, &err) < 0) {
        http_reply_error(req, &err);
    } else if (token && db_int(res, 0, 0) == 0) {
        error_set(&err, ERROR_NOT_FOUND, "token_not_found", NULL, "There is no such token, or it was revoked.");
        http_reply_error(req, &err);
    } else {
        http_reply(req, 204, NULL, (struct text){0});
    }
}

static void revoke_named(struct http_request *req, bool mine)
{
    struct error err = {0};
    const char *token;
    if (path_uuid(req, "token", "token_not_found", &token, &err) < 0)
        http_reply_error(req, &err);
    else
        revoke(req, token, mine);
}

static void mine_delete(struct http_request *req)
{
    revoke_named(req, true);
}

static void tenant_delete(struct http_request *req)
{
    revoke_named(req, false);
}

static void all_delete(struct http_request *req)
{
    revoke(req, NULL, true);
}

const struct http_route api_token_routes[] = {
    {"POST", "/v1/me/tokens", "*", BODY_MAX, mine_post},
    {"GET", "/v1/me/tokens", "*", 0, mine_get},
    {"DELETE", "/v1/me/tokens", "*", 0, all_delete},
    {"DELETE", "/v1/me/tokens/{token}", "*", 0, mine_delete},
    {"POST", "/v1/tenant/tokens", "administrator", BODY_MAX, tenant_post},
    {"GET", "/v1/tenant/tokens", "administrator", 0, tenant_get},
    {"DELETE", "/v1/tenant/tokens/{token}", "administrator", 0, tenant_delete},
    {0},
};
