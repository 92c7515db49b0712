#include "tenancy/tenancy.h"

#include "identity/identity.h"
#include "tenancy/tenancy_sql.h"

static void tenant_get(struct http_request *req)
{
    respond_row(req, sql_tenant_show, NULL, "tenant_not_found");
}

static int list_filter(struct http_request *req, const char **ret_cohort, const char **ret_active, struct error *err)
{
    struct text value;
    *ret_cohort = *ret_active = NULL;
    if (http_query(req, "cohort", &value)) {
        if (!uuid_valid(value))
            return error_set(err, ERROR_UNPROCESSABLE, "not_a_uuid", "cohort", "cohort takes a cohort's id.");
        *ret_cohort = arena_copy(http_arena(req), value.p, value.len);
    }
    if (http_query(req, "state", &value)) {
        if (!text_is(value, "active") && !text_is(value, "left"))
            return error_set(err, ERROR_UNPROCESSABLE, "unknown_value", "state", "state is active or left.");
        *ret_active = text_is(value, "active") ? "true" : "false";
    }
    return 0;
}

static void member_list(struct http_request *req)
{
    struct page page;
    struct error err = {0};
    const char *cohort, *active;
    if (http_query_only(req, &err, "cohort", "state", "after", "limit", NULL) < 0 ||
        list_filter(req, &cohort, &active, &err) < 0 || page_from_query(req, &page, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_page(req, sql_member_list, (const char *const[]){cohort, active, page.after, page.limit_plus_one}, &page);
}

const struct http_route tenancy_routes[] = {
    {"GET", "/v1/tenant", "*", 0, tenant_get},
    {"GET", "/v1/tenant/members", "educator,administrator,support", 0, member_list},
    {0},
};
