/* SCIM 2.0 (RFC 7643, 7644) at /v1/scim/v2: a trust's directory keeps its members. Users are members, groups are roles and
 * cohorts; what a directory may say of a person stands in migrations/0012. */
#ifndef OVERREAD_TENANCY_SCIM_H
#define OVERREAD_TENANCY_SCIM_H

#include "db/db.h"
#include "http/http.h"

extern const struct http_route scim_routes[];
extern const struct db_statement scim_statements[];

/* --- Between scim_reply.c and scim_http.c ----------------------------------------------------------------------------- */

#define SCIM_JSON "application/scim+json"
enum { SCIM_PAGE_MAX = 200 };

/* What a list is asked for. */
struct scim_query {
    const char *filter;                  /* as scim_match takes it; NULL: all */
    const char *user_name, *external_id, *id; /* that it demands, or NULL */
    bool by_members;
    const char *sort;                    /* lower-case path, or NULL */
    const char *descending, *first, *most;
};

struct scim_attribute;
int scim_query_read(struct http_request *req, const struct scim_attribute *known, struct scim_query *ret, struct error *err);

/* ?attributes and ?excludedAttributes: takes out of a resource (id and schemas stay) what is not wanted. */
int scim_projection_check(struct http_request *req, struct error *err);
bool scim_projection_any(struct http_request *req);
void scim_project(struct http_request *req, json_t *resource);
/* Are the members of a group left out? */
bool scim_without_members(struct http_request *req);

/* urn:ietf:params:scim:api:messages:2.0:Error, with our `code` beside scimType. */
void scim_reply_error(struct http_request *req, const struct error *err);
/* One resource, with its version as ETag; 201 with Location; 304 to a GET whose If-None-Match has it. */
void scim_reply_resource(struct http_request *req, int status, struct text json);
void scim_reply_list(struct http_request *req, struct text json);

#endif
