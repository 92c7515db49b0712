/* Router: the rooms' route tables as one tree of path segments, built once, read by every loop. */
#ifndef OVERREAD_HTTP_ROUTER_H
#define OVERREAD_HTTP_ROUTER_H

#include "base/error.h"
#include "base/text.h"
#include "http/http.h"
#include "http/uri.h"

struct router;

struct router_match {
    const struct http_route *route;       /* NULL: the path is not known, or not with this method */
    unsigned index;                       /* of the route, 0 .. router_count - 1 */
    const char *allow;                    /* Allow header of the path; NULL: no such path */
    struct text params[URI_SEGMENTS_MAX]; /* by the place of their segment; .p NULL: a literal one */
};

/* tables: each ended by a NULL method, NULL-ended. NULL with ERROR_INTERNAL when a row is malformed or there
 * twice. */
struct router *router_create(const struct http_route *const *tables, struct error *err);
struct router *router_destroy(struct router *router);
unsigned router_count(const struct router *router);
const struct http_route *router_route(const struct router *router, unsigned index);

/* HEAD is answered by GET's route. A literal segment goes before a {name}. */
void router_find(const struct router *router, struct text method, const struct text *segments, unsigned count,
                 struct router_match *ret);

/* Value of {name} in the route's path. */
struct text router_param(const struct router_match *match, const char *name);

#endif
