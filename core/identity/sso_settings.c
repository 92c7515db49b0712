#include "identity/sso_internal.h"

#include <stdio.h>
#include <string.h>

#include "identity/identity.h"
#include "identity/sso_sql.h"
#include "identity/vault.h"

enum { ROLES_MAX = 5, GROUPS_MAX = 200, DOMAINS_MAX = 100 };

struct settings {
    const char *issuer, *client_id, *client_secret, *role_claim;
    bool just_in_time, leave_without_role;
    json_t *role_map, *default_roles, *email_domains; /* the body's, or empty */
};

static int wrong(struct error *err, const char *field, const char *what)
{
    return error_set(err, ERROR_UNPROCESSABLE, "field_invalid", field, "%s", what);
}

static bool role_known(const char *role)
{
    static const char *const roles[] = {"trainee", "educator", "expert", "administrator", "manager"};
    for (size_t i = 0; role && i < sizeof(roles) / sizeof(*roles); i++)
        if (strcmp(role, roles[i]) == 0)
            return true;
    return false;
}

static int check_roles(const json_t *list, const char *field, struct error *err)
{
    bool good = json_is_array(list) && json_array_size(list) <= ROLES_MAX;
    for (size_t i = 0; good && i < json_array_size(list); i++)
        good = role_known(json_string_value(json_array_get(list, i)));
    return good ? 0 : wrong(err, field, "Roles are a list of trainee, educator, expert, administrator and manager.");
}

static int check_map(const json_t *map, struct error *err)
{
    const char *group;
    json_t *roles, *walk = json_deep_copy(map);
    int rc = 0;
    if (!json_is_object(map) || json_object_size(map) > GROUPS_MAX)
        rc = wrong(err, "/role_map", "role_map is an object: for each group, at most 200, a list of roles.");
    else
        json_object_foreach(walk, group, roles)
            if (rc == 0)
                rc = check_roles(roles, "/role_map", err);
    json_decref(walk);
    return rc;
}

static int check_domains(const json_t *list, struct error *err)
{
    bool good = json_is_array(list) && json_array_size(list) <= DOMAINS_MAX;
    for (size_t i = 0; good && i < json_array_size(list); i++) {
        const char *domain = json_string_value(json_array_get(list, i));
        size_t len = domain ? strlen(domain) : 0;
        good = len >= 3 && len <= 253 && strchr(domain, '.') &&
               strspn(domain, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") == len;
    }
    return good ? 0 : wrong(err, "/email_domains", "email_domains is a list of what stands behind the @: example.org.");
}

/* An absent list is an empty one. */
static json_t *list_of(json_t *body, const char *name, json_t *empty)
{
    json_t *list = json_object_get(body, name);
    return list ? list : empty;
}

static void release(void *json)
{
    json_decref(json);
}

static int settings_from_body(struct http_request *req, struct settings *ret, struct error *err)
{
    json_t *body, *list = json_array(), *map = json_object();
    arena_defer(http_arena(req), release, list);
    arena_defer(http_arena(req), release, map);
    if (http_body_json(req, &body, err) < 0 ||
        json_object_only(body, err, "issuer", "client_id", "client_secret", "just_in_time", "role_claim", "role_map",
                         "default_roles", "leave_without_role", "email_domains", NULL) < 0 ||
        json_get_string(body, "issuer", true, 8, 500, &ret->issuer, err) < 0 ||
        json_get_string(body, "client_id", true, 1, 255, &ret->client_id, err) < 0 ||
        json_get_string(body, "client_secret", false, 1, 1000, &ret->client_secret, err) < 0 ||
        json_get_bool(body, "just_in_time", false, &ret->just_in_time, err) < 0 ||
        json_get_bool(body, "leave_without_role", false, &ret->leave_without_role, err) < 0)
        return -1;
    if (!json_is_null(json_object_get(body, "role_claim")) &&
        json_get_string(body, "role_claim", false, 1, 200, &ret->role_claim, err) < 0)
        return -1;
    ret->role_map = list_of(body, "role_map", map);
    ret->default_roles = list_of(body, "default_roles", list);
    ret->email_domains = list_of(body, "email_domains", list);
    if (check_map(ret->role_map, err) < 0 || check_roles(ret->default_roles, "/default_roles", err) < 0)
        return -1;
    return check_domains(ret->email_domains, err);
}

static const char *rendered(struct arena *arena, const struct settings *s, const char *sealed)
{
    json_t *json = json_pack("{s:s,s:s,s:s,s:b,s:b,s:s?,s:O,s:O,s:O}", "issuer", s->issuer, "client_id", s->client_id, "secret", sealed,
                             "just_in_time", s->just_in_time, "leave_without_role", s->leave_without_role, "role_claim", s->role_claim,
                             "role_map", s->role_map, "default_roles", s->default_roles, "email_domains", s->email_domains);
    const char *text = json_render(arena, json).p;
    json_decref(json);
    return text;
}

/* The secret as it is to be kept: the new one sealed, or that of the present settings. */
static int seal_secret(struct db_scope *scope, const struct settings *s, const char **ret, struct error *err)
{
    const struct db_result *res;
    if (db_run(scope, sql_sso_change_begin, (const char *const[]){s->issuer, s->client_id}, &res, err) < 0)
        return -1;
    if (s->client_secret)
        return vault_seal(scope->arena, sso_secret_context(scope->arena, db_string(res, 0, 0)), text_of(s->client_secret), ret, err);
    if (db_is_null(res, 0, 1))
        return error_set(err, ERROR_UNPROCESSABLE, "field_missing", "/client_secret",
                         "A new issuer or client takes its client_secret.");
    *ret = db_string(res, 0, 1);
    return 0;
}

void sso_settings_put(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    struct settings settings = {0};
    const struct db_result *res;
    const char *sealed;
    json_t *document, *keys;
    if (settings_from_body(req, &settings, &err) < 0 || identity_scope(req, &scope, &err) < 0 ||
        seal_secret(&scope, &settings, &sealed, &err) < 0 ||
        sso_discover(scope.arena, settings.issuer, &document, &keys, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    const char *const params[] = {rendered(scope.arena, &settings, sealed), json_render(scope.arena, document).p,
                                  json_render(scope.arena, keys).p};
    if (db_run(&scope, sql_sso_put, params, &res, &err) < 0)
        http_reply_error(req, &err);
    else
        http_reply_json_etag(req, db_text(res, 0, 0));
}

void sso_settings_get(struct http_request *req)
{
    respond_row(req, sql_sso_show, NULL, "single_sign_on_not_set");
}

void sso_settings_delete(struct http_request *req)
{
    respond_204(req, sql_sso_delete, NULL);
}
