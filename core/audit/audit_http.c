#include "audit/audit.h"

#include "identity/identity.h"
#include "audit/audit_sql.h"

static void audit_get(struct http_request *req)
{
    struct page page;
    struct error err = {0};
    if (http_query_only(req, &err, "after", "limit", NULL) < 0 || page_from_query(req, &page, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_page(req, sql_audit_list, (const char *const[]){page.after, page.limit_plus_one}, &page);
}

const struct http_route audit_routes[] = {
    {"GET", "/v1/audit", "administrator", 0, audit_get},
    {0},
};
