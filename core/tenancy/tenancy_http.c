#include "tenancy/tenancy.h"

#include "identity/identity.h"
#include "tenancy/tenancy_sql.h"

static void tenant_get(struct http_request *req)
{
    respond_row(req, sql_tenant_show, NULL, "tenant_not_found");
}

static void member_list(struct http_request *req)
{
    struct page page;
    struct error err = {0};
    if (http_query_only(req, &err, "after", "limit", NULL) < 0 || page_from_query(req, &page, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_page(req, sql_member_list, (const char *const[]){page.after, page.limit_plus_one}, &page);
}

const struct http_route tenancy_routes[] = {
    {"GET", "/v1/tenant", "*", 0, tenant_get},
    {"GET", "/v1/tenant/members", "educator,administrator,support", 0, member_list},
    {0},
};
