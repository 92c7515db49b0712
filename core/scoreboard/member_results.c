#include "scoreboard/member_results.h"

#include "identity/identity.h"
#include "scoreboard/member_results_sql.h"

/* Of a modality whose plugin is gone there may still be reads: any word is looked for. */
static const char *modality_wanted(struct http_request *req)
{
    struct text value;
    return http_query(req, "modality", &value) ? arena_copy(http_arena(req), value.p, value.len) : NULL;
}

static void member_performance(struct http_request *req)
{
    struct error err = {0};
    const char *person;
    if (path_uuid(req, "person", "member_not_found", &person, &err) < 0 || http_query_only(req, &err, "modality", NULL) < 0)
        http_reply_error(req, &err);
    else
        respond_row(req, sql_member_performance, (const char *const[]){person, modality_wanted(req)}, "member_not_found");
}

static void member_reads(struct http_request *req)
{
    struct error err = {0};
    struct page page;
    const char *person;
    if (path_uuid(req, "person", "member_not_found", &person, &err) < 0 ||
        http_query_only(req, &err, "modality", "after", "limit", NULL) < 0 || page_from_query(req, &page, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    const char *const params[] = {person, modality_wanted(req), page.after, page.limit_plus_one};
    respond_page(req, sql_member_reads, params, &page);
}

static void own_reads(struct http_request *req)
{
    respond_list(req, sql_own_reads);
}

static void own_performance(struct http_request *req)
{
    respond_row(req, sql_own_performance, NULL, "performance_not_found");
}

const struct http_route member_results_routes[] = {
    {"GET", "/v1/tenant/members/{person}/performance", "educator,manager", 0, member_performance},
    {"GET", "/v1/tenant/members/{person}/reads", "educator,manager", 0, member_reads},
    {"GET", "/v1/me/reads", "*", 0, own_reads},
    {"GET", "/v1/me/performance", "*", 0, own_performance},
    {0},
};
