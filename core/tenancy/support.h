/* Operators of the platform, and the access that a tenant gives them: explicit, for a time, in the tenant's own record. */
#ifndef OVERREAD_TENANCY_SUPPORT_H
#define OVERREAD_TENANCY_SUPPORT_H

#include "db/db.h"
#include "http/http.h"

extern const struct http_route support_routes[];
extern const struct db_statement support_statements[];

enum { SUPPORT_HOURS_MAX = 72 };

/* --- For the command line --------------------------------------------------------------------------------------- */

/* A person who exists becomes an operator (or is none any more: open support access ends too). */
int support_operator_set(struct db_session *admin, struct arena *arena, const char *person_id, bool is_operator,
                         struct error *err);
/* For a tenant whose administrators cannot sign in. *ret is the grant as JSON. */
int support_open(struct db_session *admin, struct arena *arena, const char *tenant_slug, const char *operator_email,
                 const char *hours, const char *reason, struct text *ret, struct error *err);

#endif
