#include "tenancy/members.h"

#include "identity/accounts.h"
#include "identity/identity.h"
#include "tenancy/cohorts_sql.h"

enum { BODY_MAX = 16384, NAME_MAX_CHARS = 100, EDUCATORS_MAX = 100 };

static void cohort_list(struct http_request *req)
{
    respond_list(req, sql_cohort_list);
}

static void cohort_get(struct http_request *req)
{
    struct error err = {0};
    const char *cohort;
    if (path_uuid(req, "cohort", "cohort_not_found", &cohort, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_row(req, sql_cohort_show, (const char *const[]){cohort}, "cohort_not_found");
}

static int cohort_from_body(struct http_request *req, bool is_new, json_t **ret_body, const char **ret_name,
                            const char **ret_educators, struct error *err)
{
    *ret_name = *ret_educators = NULL;
    if (http_body_json(req, ret_body, err) < 0 || json_object_only(*ret_body, err, "name", "educators", NULL) < 0 ||
        json_get_string(*ret_body, "name", is_new, 1, NAME_MAX_CHARS, ret_name, err) < 0 ||
        (*ret_name && identity_name_acceptable(*ret_name, err) < 0))
        return -1;
    return members_get_strings(req, *ret_body, "educators", false, EDUCATORS_MAX, true, ret_educators, err);
}

static void cohort_post(struct http_request *req)
{
    struct error err = {0};
    json_t *body;
    const char *name, *educators, *key;
    char id[UUID_SIZE], hash[SHA256_HEX_SIZE];
    if (http_idempotency_key(req, &key, &err) < 0 || cohort_from_body(req, true, &body, &name, &educators, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    struct text canonical = json_render(http_arena(req), body);
    crypto_sha256_hex(canonical.p, canonical.len, hash);
    uuid_v7(id);
    respond_json(req, 201, sql_cohort_create, (const char *const[]){id, key, hash, name, educators});
}

static void cohort_patch(struct http_request *req)
{
    struct error err = {0};
    json_t *body;
    const char *cohort, *name, *educators;
    if (path_uuid(req, "cohort", "cohort_not_found", &cohort, &err) < 0 ||
        cohort_from_body(req, false, &body, &name, &educators, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_json(req, 200, sql_cohort_patch, (const char *const[]){cohort, members_if_match(req), name, educators});
}

static void cohort_delete(struct http_request *req)
{
    struct error err = {0};
    const char *cohort;
    if (path_uuid(req, "cohort", "cohort_not_found", &cohort, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_204(req, sql_cohort_delete, (const char *const[]){cohort});
}

const struct http_route cohorts_routes[] = {
    {"GET", "/v1/tenant/cohorts", "administrator,educator,support", 0, cohort_list},
    {"POST", "/v1/tenant/cohorts", "administrator,educator", BODY_MAX, cohort_post},
    {"GET", "/v1/tenant/cohorts/{cohort}", "administrator,educator,support", 0, cohort_get},
    {"PATCH", "/v1/tenant/cohorts/{cohort}", "administrator,educator", BODY_MAX, cohort_patch},
    {"DELETE", "/v1/tenant/cohorts/{cohort}", "administrator,educator", 0, cohort_delete},
    {0},
};
