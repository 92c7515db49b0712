#include "audit/data_protection.h"

#include <string.h>

#include "audit/data_protection_sql.h"
#include "identity/accounts.h"
#include "identity/identity.h"

enum { BODY_MAX = 4096, PASSWORD_MAX = 1024 };

static void export_post(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    const struct db_result *res;
    char made[UUID_SIZE], job[UUID_SIZE];
    uuid_v7(made);
    uuid_v7(job);
    if (http_query_only(req, &err, NULL) < 0 || identity_scope(req, &scope, &err) < 0 ||
        db_run(&scope, sql_export_request, (const char *const[]){made, job}, &res, &err) < 0)
        http_reply_error(req, &err);
    else
        http_reply_json(req, 202, db_text(res, 0, 0));
}

static int find_export(struct http_request *req, const char **id, const struct db_result **ret, struct error *err)
{
    struct db_scope scope;
    if (http_query_only(req, err, NULL) < 0 || path_uuid(req, "export", "export_not_found", id, err) < 0 ||
        identity_scope(req, &scope, err) < 0 ||
        db_run(&scope, sql_export_show, (const char *const[]){*id}, ret, err) < 0)
        return -1;
    if (db_rows(*ret) == 0)
        return error_set(err, ERROR_NOT_FOUND, "export_not_found", NULL, "You have no such export, or it was kept long enough.");
    return 0;
}

/* The file; until it is there, how it stands. */
static void export_get(struct http_request *req)
{
    struct error err = {0};
    const char *id;
    const struct db_result *res;
    if (find_export(req, &id, &res, &err) < 0) {
        http_reply_error(req, &err);
    } else if (db_is_null(res, 0, 1)) {
        http_header_add(req, "retry-after", "2");
        http_reply_json(req, 202, db_text(res, 0, 0));
    } else {
        http_header_add(req, "cache-control", "no-store");
        http_header_add(req, "content-disposition", "attachment; filename=\"overread-export.zip\"");
        http_reply_file(req, data_protection_path(http_arena(req), id), "application/zip", db_string(res, 0, 1));
    }
}

/* {"confirm": "erase", "password"}: without the password the session must be a fresh one, which the database looks at. */
static int erase_from_body(struct http_request *req, const char **password, struct error *err)
{
    json_t *body;
    const char *confirm;
    *password = NULL;
    if (http_body_json(req, &body, err) < 0 || json_object_only(body, err, "confirm", "password", NULL) < 0 ||
        json_get_string(body, "confirm", true, 1, 20, &confirm, err) < 0 ||
        json_get_string(body, "password", false, 1, PASSWORD_MAX, password, err) < 0)
        return -1;
    if (strcmp(confirm, "erase") != 0)
        return error_set(err, ERROR_UNPROCESSABLE, "field_invalid", "/confirm", "Say \"erase\": it cannot be undone.");
    return 0;
}

static void me_delete(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    const struct db_result *res;
    const char *password;
    if (identity_scope(req, &scope, &err) < 0 || erase_from_body(req, &password, &err) < 0 ||
        (password && accounts_show_password(req, &scope, password, &err) < 0) ||
        db_run(&scope, sql_erase_myself, (const char *const[]){password ? "true" : "false"}, &res, &err) < 0)
        http_reply_error(req, &err);
    else
        http_reply(req, 204, NULL, (struct text){0});
}

const struct http_route data_protection_routes[] = {
    {"DELETE", "/v1/me", "*", BODY_MAX, me_delete},
    {"POST", "/v1/me/export", "*", 0, export_post},
    {"GET", "/v1/me/exports/{export}", "*", 0, export_get},
    {0},
};
