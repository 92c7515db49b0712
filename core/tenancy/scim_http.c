#include "tenancy/scim.h"

#include <string.h>
#include <strings.h>

#include "identity/identity_http.h"
#include "tenancy/members.h"
#include "tenancy/scim_change.h"
#include "tenancy/scim_discovery.h"
#include "tenancy/scim_sql.h"

enum { USER_BODY_MAX = 65536, GROUP_BODY_MAX = 262144 };

static const char *base_url(struct http_request *req)
{
    return arena_printf(http_arena(req), "%s/v1/scim/v2", identity_origin());
}

/* Runs a guarded statement; false: the error has been answered. */
static bool fiber_fn run(struct http_request *req, const struct db_statement *statement, const char *const params[],
                         const struct db_result **ret)
{
    struct error err = {0};
    struct db_scope scope;
    if (identity_scope(req, &scope, &err) == 0 && db_run(&scope, statement, params, ret, &err) == 0)
        return true;
    scim_reply_error(req, &err);
    return false;
}

static void fiber_fn run_resource(struct http_request *req, int status, const struct db_statement *statement,
                                  const char *const params[], const char *missing)
{
    struct error err = {0};
    const struct db_result *res;
    if (scim_projection_check(req, &err) < 0) {
        scim_reply_error(req, &err);
    } else if (run(req, statement, params, &res)) {
        if (!db_is_null(res, 0, 0)) {
            scim_reply_resource(req, status, db_text(res, 0, 0));
            return;
        }
        error_set(&err, ERROR_NOT_FOUND, missing, NULL, "There is nothing of that id here.");
        scim_reply_error(req, &err);
    }
}

static void fiber_fn run_list(struct http_request *req, const struct db_statement *statement, const char *const params[])
{
    const struct db_result *res;
    if (run(req, statement, params, &res))
        scim_reply_list(req, db_text(res, 0, 0));
}

static void fiber_fn run_delete(struct http_request *req, const char *name, const char *missing, const struct db_statement *statement)
{
    struct error err = {0};
    const struct db_result *res;
    const char *id;
    if (path_uuid(req, name, missing, &id, &err) < 0)
        scim_reply_error(req, &err);
    else if (run(req, statement, (const char *const[]){id, members_if_match(req)}, &res))
        http_reply(req, 204, NULL, (struct text){0});
}

/* --- Users ---------------------------------------------------------------------------------------------------------- */

static void user_list(struct http_request *req)
{
    struct error err = {0};
    struct scim_query q;
    if (scim_query_read(req, scim_user_attributes, &q, &err) < 0) {
        scim_reply_error(req, &err);
        return;
    }
    run_list(req, q.user_name || q.external_id || q.id ? sql_scim_user_find : sql_scim_user_page,
             (const char *const[]){base_url(req), q.filter, q.user_name, q.external_id, q.id, q.sort, q.descending, q.first, q.most});
}

static void user_post(struct http_request *req)
{
    struct error err = {0};
    json_t *body;
    const char *change;
    char person[UUID_SIZE];
    uuid_v7(person);
    if (http_body_json(req, &body, &err) < 0 || scim_user_from_body(http_arena(req), body, false, &change, &err) < 0)
        scim_reply_error(req, &err);
    else
        run_resource(req, 201, sql_scim_user_create, (const char *const[]){base_url(req), person, change}, "user_not_found");
}

static void user_get(struct http_request *req)
{
    struct error err = {0};
    const char *user;
    if (path_uuid(req, "user", "user_not_found", &user, &err) < 0)
        scim_reply_error(req, &err);
    else
        run_resource(req, 200, sql_scim_user_show, (const char *const[]){base_url(req), user}, "user_not_found");
}

static void user_change(struct http_request *req, bool whole)
{
    struct error err = {0};
    json_t *body;
    const char *user, *change;
    if (path_uuid(req, "user", "user_not_found", &user, &err) < 0 || http_body_json(req, &body, &err) < 0 ||
        (whole ? scim_user_from_body(http_arena(req), body, true, &change, &err)
               : scim_user_from_patch(http_arena(req), body, &change, &err)) < 0)
        scim_reply_error(req, &err);
    else
        run_resource(req, 200, sql_scim_user_change,
                     (const char *const[]){base_url(req), user, members_if_match(req), change}, "user_not_found");
}

static void user_put(struct http_request *req)
{
    user_change(req, true);
}

static void user_patch(struct http_request *req)
{
    user_change(req, false);
}

static void user_delete(struct http_request *req)
{
    run_delete(req, "user", "user_not_found", sql_scim_user_delete);
}

/* --- Groups --------------------------------------------------------------------------------------------------------- */

static const char *with_members(struct http_request *req)
{
    return scim_without_members(req) ? "false" : "true";
}

static void group_list(struct http_request *req)
{
    struct error err = {0};
    struct scim_query q;
    if (scim_query_read(req, scim_group_attributes, &q, &err) < 0) {
        scim_reply_error(req, &err);
        return;
    }
    run_list(req, sql_scim_group_page, (const char *const[]){base_url(req), q.filter, q.by_members ? "true" : "false",
                                                             with_members(req), q.sort, q.descending, q.first, q.most});
}

static void group_post(struct http_request *req)
{
    struct error err = {0};
    json_t *body;
    const char *change;
    char group[UUID_SIZE];
    uuid_v7(group);
    if (http_body_json(req, &body, &err) < 0 || scim_group_from_body(http_arena(req), body, false, &change, &err) < 0)
        scim_reply_error(req, &err);
    else
        run_resource(req, 201, sql_scim_group_create, (const char *const[]){base_url(req), group, change}, "group_not_found");
}

static void group_get(struct http_request *req)
{
    struct error err = {0};
    const char *group;
    if (path_uuid(req, "group", "group_not_found", &group, &err) < 0)
        scim_reply_error(req, &err);
    else
        run_resource(req, 200, sql_scim_group_show, (const char *const[]){base_url(req), group, with_members(req)},
                     "group_not_found");
}

static void group_change(struct http_request *req, bool whole)
{
    struct error err = {0};
    json_t *body;
    const char *group, *change;
    if (path_uuid(req, "group", "group_not_found", &group, &err) < 0 || http_body_json(req, &body, &err) < 0 ||
        (whole ? scim_group_from_body(http_arena(req), body, true, &change, &err)
               : scim_group_from_patch(http_arena(req), body, &change, &err)) < 0)
        scim_reply_error(req, &err);
    else
        run_resource(req, 200, sql_scim_group_change,
                     (const char *const[]){base_url(req), group, members_if_match(req), change, with_members(req)},
                     "group_not_found");
}

static void group_put(struct http_request *req)
{
    group_change(req, true);
}

static void group_patch(struct http_request *req)
{
    group_change(req, false);
}

static void group_delete(struct http_request *req)
{
    run_delete(req, "group", "group_not_found", sql_scim_group_delete);
}

/* --- What the service is -------------------------------------------------------------------------------------------- */

/* A part of scim_discovery.json; NULL: the error has been answered. */
static json_t *fiber_fn discovery(struct http_request *req, const char *part)
{
    const struct db_result *res;
    struct error err = {0};
    json_t *all;
    if (!run(req, sql_scim_knock, NULL, &res))
        return NULL;
    if (json_parse(http_arena(req), (struct text){scim_discovery, scim_discovery_size}, &all, &err) == 0)
        return json_object_get(all, part);
    scim_reply_error(req, &err);
    return NULL;
}

static void add_meta(struct http_request *req, json_t *resource, const char *type, const char *path)
{
    const char *id = json_string_value(json_object_get(resource, "id"));
    const char *location = arena_printf(http_arena(req), "%s/%s%s%s", base_url(req), path, id ? "/" : "", id ? id : "");
    json_object_set_new(resource, "meta", json_pack("{s:s,s:s}", "resourceType", type, "location", location));
}

static void reply_part(struct http_request *req, const char *part, const char *type, const char *path)
{
    json_t *items = discovery(req, part);
    if (!items)
        return;
    for (size_t i = 0; i < json_array_size(items); i++)
        add_meta(req, json_array_get(items, i), type, path);
    json_t *list = json_pack("{s:[s],s:I,s:i,s:I,s:O}", "schemas", "urn:ietf:params:scim:api:messages:2.0:ListResponse", "totalResults",
                             (json_int_t)json_array_size(items), "startIndex", 1, "itemsPerPage",
                             (json_int_t)json_array_size(items), "Resources", items);
    http_reply(req, 200, SCIM_JSON, json_render(http_arena(req), list));
    json_decref(list);
}

static void reply_one(struct http_request *req, const char *part, const char *type, const char *path, const char *param)
{
    struct error err = {0};
    struct text wanted = http_path_param(req, param);
    json_t *items = discovery(req, part);
    if (!items)
        return;
    for (size_t i = 0; i < json_array_size(items); i++) {
        json_t *item = json_array_get(items, i);
        if (text_is(wanted, json_string_value(json_object_get(item, "id")))) {
            add_meta(req, item, type, path);
            http_reply(req, 200, SCIM_JSON, json_render(http_arena(req), item));
            return;
        }
    }
    error_set(&err, ERROR_NOT_FOUND, "not_described", NULL, "There is no such schema or resource type.");
    scim_reply_error(req, &err);
}

static void config_get(struct http_request *req)
{
    json_t *config = discovery(req, "config");
    if (!config)
        return;
    add_meta(req, config, "ServiceProviderConfig", "ServiceProviderConfig");
    http_reply(req, 200, SCIM_JSON, json_render(http_arena(req), config));
}

static void type_list(struct http_request *req)
{
    reply_part(req, "types", "ResourceType", "ResourceTypes");
}

static void type_get(struct http_request *req)
{
    reply_one(req, "types", "ResourceType", "ResourceTypes", "type");
}

static void schema_list(struct http_request *req)
{
    reply_part(req, "schemas", "Schema", "Schemas");
}

static void schema_get(struct http_request *req)
{
    reply_one(req, "schemas", "Schema", "Schemas", "schema");
}

const struct http_route scim_routes[] = {
    {"GET", "/v1/scim/v2/ServiceProviderConfig", "scim", 0, config_get},
    {"GET", "/v1/scim/v2/ResourceTypes", "scim", 0, type_list},
    {"GET", "/v1/scim/v2/ResourceTypes/{type}", "scim", 0, type_get},
    {"GET", "/v1/scim/v2/Schemas", "scim", 0, schema_list},
    {"GET", "/v1/scim/v2/Schemas/{schema}", "scim", 0, schema_get},
    {"GET", "/v1/scim/v2/Users", "scim", 0, user_list},
    {"POST", "/v1/scim/v2/Users", "scim", USER_BODY_MAX, user_post},
    {"GET", "/v1/scim/v2/Users/{user}", "scim", 0, user_get},
    {"PUT", "/v1/scim/v2/Users/{user}", "scim", USER_BODY_MAX, user_put},
    {"PATCH", "/v1/scim/v2/Users/{user}", "scim", USER_BODY_MAX, user_patch},
    {"DELETE", "/v1/scim/v2/Users/{user}", "scim", 0, user_delete},
    {"GET", "/v1/scim/v2/Groups", "scim", 0, group_list},
    {"POST", "/v1/scim/v2/Groups", "scim", GROUP_BODY_MAX, group_post},
    {"GET", "/v1/scim/v2/Groups/{group}", "scim", 0, group_get},
    {"PUT", "/v1/scim/v2/Groups/{group}", "scim", GROUP_BODY_MAX, group_put},
    {"PATCH", "/v1/scim/v2/Groups/{group}", "scim", GROUP_BODY_MAX, group_patch},
    {"DELETE", "/v1/scim/v2/Groups/{group}", "scim", 0, group_delete},
    {0},
};
