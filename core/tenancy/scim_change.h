/* What a SCIM request changes: bodies of POST, PUT and PATCH (with the dialects that directories speak) become one object, as
 * scim_user_change and scim_group_change (migrations/0012) take it. Pure functions. */
#ifndef OVERREAD_TENANCY_SCIM_CHANGE_H
#define OVERREAD_TENANCY_SCIM_CHANGE_H

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"
#include "tenancy/scim_filter.h"

enum { SCIM_MEMBERS_MAX = 1000 }; /* that one request names */

extern const struct scim_attribute scim_user_attributes[], scim_group_attributes[]; /* to filter by */

/* whole: what is left out goes, but for active and members; else it stays (or is not there yet). *ret: JSON in the arena.
 * 0, or -1 with ERROR_INVALID "invalid_syntax", "invalid_path", "invalid_filter", "no_target", "mutability", or with
 * ERROR_UNPROCESSABLE for a value. Attributes that are SCIM's but not kept here are passed over. */
int scim_user_from_body(struct arena *arena, json_t *body, bool whole, const char **ret, struct error *err);
int scim_user_from_patch(struct arena *arena, json_t *body, const char **ret, struct error *err);
int scim_group_from_body(struct arena *arena, json_t *body, bool whole, const char **ret, struct error *err);
int scim_group_from_patch(struct arena *arena, json_t *body, const char **ret, struct error *err);

/* A member of an object whatever the case of its name, as SCIM has it; NULL when absent. */
json_t *scim_member(json_t *object, const char *name);

#endif
