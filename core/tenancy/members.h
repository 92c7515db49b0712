/* Who belongs to a tenant and on what terms: its members and settings, one's own memberships, consents; cohorts. Seats and
 * the way in and out are SQL functions (migrations/0009): member_add, member_change, member_leave. */
#ifndef OVERREAD_TENANCY_MEMBERS_H
#define OVERREAD_TENANCY_MEMBERS_H

#include "db/db.h"
#include "http/http.h"

extern const struct http_route members_routes[], cohorts_routes[];
extern const struct db_statement members_statements[], cohorts_statements[];

/* --- What handlers of this room share ------------------------------------------------------------------------------ */

/* If-Match as it was sent, or NULL. */
const char *members_if_match(struct http_request *req);
/* A member that is an array of 1..max different strings, as JSON text; `uuids`: each must be one. Absent: untouched. */
int members_get_strings(struct http_request *req, const json_t *body, const char *name, bool required, size_t max, bool uuids,
                        const char **ret, struct error *err);
/* A member that is a UUID or null. *ret_set: it was there. */
int members_get_uuid_or_null(const json_t *body, const char *name, const char **ret, bool *ret_set, struct error *err);

#endif
