/* SCIM filters and PATCH paths (RFC 7644, sections 3.4.2.2 and 3.5.2): a recursive-descent parser. What it accepts is bounded
 * in depth and in comparisons, and holds nothing but known attributes with values of their kind. */
#ifndef OVERREAD_TENANCY_SCIM_FILTER_H
#define OVERREAD_TENANCY_SCIM_FILTER_H

#include "base/arena.h"
#include "base/error.h"
#include "base/text.h"

enum { SCIM_DEPTH_MAX = 16, SCIM_COMPARISONS_MAX = 50 };

enum scim_kind { SCIM_TEXT, SCIM_EXACT, SCIM_BOOLEAN, SCIM_DATE }; /* exact: case counts */

struct scim_attribute {
    const char *path; /* in lower case: "name.familyname" */
    enum scim_kind kind;
};

enum scim_op { SCIM_AND, SCIM_OR, SCIM_NOT, SCIM_EQ, SCIM_NE, SCIM_CO, SCIM_SW, SCIM_EW, SCIM_GT, SCIM_GE, SCIM_LT, SCIM_LE, SCIM_PR };

struct scim_node {
    enum scim_op op;
    const struct scim_node *left, *right; /* of and, or; not has a left one */
    const struct scim_attribute *attribute;
    const char *value; /* text; "true" or "false"; NULL: null */
};

/* known: ended by a NULL path. *ret belongs to the arena. 0, or -1 with ERROR_INVALID "invalid_filter" at `filter`. */
int scim_filter_parse(struct arena *arena, struct text filter, const struct scim_attribute *known, const struct scim_node **ret,
                      struct error *err);

/* As scim_match (migrations/0012) takes it. */
const char *scim_filter_json(struct arena *arena, const struct scim_node *node);

/* What everything that matches has in this attribute: of an `eq` that stands alone or under `and`. NULL: it does not say. */
const char *scim_filter_demands(const struct scim_node *node, const char *path);

/* A path of PATCH: attribute, or attribute[filter], each perhaps with .sub. */
struct scim_path {
    const char *attribute;          /* in lower case, without the schema's URN; with .sub when there is no filter */
    const struct scim_node *filter; /* over "attribute.x"; NULL: none */
    const char *sub;                /* behind the filter, in lower case; NULL: none */
};

/* known: for the filter. 0, or -1 with ERROR_INVALID: "invalid_path", or "invalid_filter" within the brackets. */
int scim_path_parse(struct arena *arena, struct text path, const struct scim_attribute *known, struct scim_path *ret,
                    struct error *err);

/* "urn:ietf:params:scim:schemas:core:2.0:User:userName" is "username". Of another schema's the whole, in lower case. */
const char *scim_attribute_name(struct arena *arena, struct text name);

#endif
