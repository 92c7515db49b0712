#include "tenancy/support.h"

#include "identity/identity.h"
#include "tenancy/support_sql.h"

enum { BODY_MAX = 4096 };

int support_operator_set(struct db_session *admin, struct arena *arena, const char *person_id, bool is_operator,
                         struct error *err)
{
    const struct db_result *res;
    return db_session_run(admin, arena, sql_operator_set, (const char *const[]){person_id, is_operator ? "true" : "false"}, &res,
                          err);
}

int support_open(struct db_session *admin, struct arena *arena, const char *tenant_slug, const char *operator_email,
                 const char *hours, const char *reason, struct text *ret, struct error *err)
{
    const struct db_result *res;
    char id[UUID_SIZE];
    int64_t count;
    if (text_to_int64(text_of(hours), 1, SUPPORT_HOURS_MAX, &count) < 0)
        return error_set(err, ERROR_INVALID, "out_of_range", "hours", "hours is a number from 1 to %d.", SUPPORT_HOURS_MAX);
    uuid_v7(id);
    if (db_session_run(admin, arena, sql_support_open_for, (const char *const[]){tenant_slug, operator_email, hours, reason, id},
                       &res, err) < 0)
        return -1;
    if (db_rows(res) == 0)
        return error_set(err, ERROR_NOT_FOUND, "tenant_not_found", "tenant", "There is no tenant with the slug %s.", tenant_slug);
    *ret = db_text(res, 0, 0);
    return 0;
}

static void support_post(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    json_t *body;
    const char *operator_email, *reason;
    int64_t hours;
    char id[UUID_SIZE];
    const struct db_result *res;
    uuid_v7(id);
    if (http_body_json(req, &body, &err) < 0 || json_object_only(body, &err, "operator", "hours", "reason", NULL) < 0 ||
        json_get_string(body, "operator", true, 3, 254, &operator_email, &err) < 0 ||
        json_get_int(body, "hours", true, 1, SUPPORT_HOURS_MAX, &hours, &err) < 0 ||
        json_get_string(body, "reason", true, 1, 500, &reason, &err) < 0 || identity_scope(req, &scope, &err) < 0 ||
        db_run(&scope, sql_support_open,
               (const char *const[]){operator_email, arena_printf(http_arena(req), "%lld", (long long)hours), reason, id}, &res,
               &err) < 0)
        http_reply_error(req, &err);
    else
        http_reply_json(req, 201, db_text(res, 0, 0));
}

static void support_get(struct http_request *req)
{
    respond_list(req, sql_support_list);
}

static void support_delete(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    const char *grant;
    const struct db_result *res;
    if (path_uuid(req, "grant", "grant_not_found", &grant, &err) < 0 || identity_scope(req, &scope, &err) < 0 ||
        db_run(&scope, sql_support_close, (const char *const[]){grant}, &res, &err) < 0) {
        http_reply_error(req, &err);
    } else if (!db_bool(res, 0, 0)) {
        error_set(&err, ERROR_NOT_FOUND, "grant_not_found", NULL, "There is no such support access, or it has ended.");
        http_reply_error(req, &err);
    } else {
        http_reply(req, 204, NULL, (struct text){0});
    }
}

const struct http_route support_routes[] = {
    {"POST", "/v1/tenant/support", "administrator", BODY_MAX, support_post},
    {"GET", "/v1/tenant/support", "administrator,support", 0, support_get},
    {"DELETE", "/v1/tenant/support/{grant}", "administrator,support", 0, support_delete},
    {0},
};
