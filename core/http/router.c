#include "http/router.h"

#include <string.h>
#include "base/mem.h"

enum method { METHOD_GET, METHOD_POST, METHOD_PUT, METHOD_PATCH, METHOD_DELETE, METHOD_COUNT };

static const char *const METHODS[METHOD_COUNT] = {"GET", "POST", "PUT", "PATCH", "DELETE"};

struct node {
    struct text literal;
    struct node *children; /* literal ones: a list */
    struct node *next;
    struct node *param; /* the one child that takes any segment */
    const struct http_route *routes[METHOD_COUNT];
    unsigned indexes[METHOD_COUNT];
    char allow[64]; /* "" when no route ends here */
};

struct router {
    struct node root;
    const struct http_route **routes;
    unsigned count;
};

static struct node *child_of(struct node *node, struct text segment)
{
    bool param = segment.len > 2 && segment.p[0] == '{' && segment.p[segment.len - 1] == '}';
    struct node *child;

    if (param) {
        if (!node->param)
            node->param = mem_alloc(sizeof(*child));
        return node->param;
    }
    for (child = node->children; child; child = child->next) {
        if (text_equal(child->literal, segment))
            return child;
    }
    child = mem_alloc(sizeof(*child));
    child->literal = segment;
    child->next = node->children;
    node->children = child;
    return child;
}

static int method_of(struct text method)
{
    for (int i = 0; i < METHOD_COUNT; i++) {
        if (text_is(method, METHODS[i]))
            return i;
    }
    return -1;
}

static void allow_add(struct node *node, const char *method)
{
    size_t used = strlen(node->allow);
    const char *parts[] = {used > 0 ? ", " : "", method, strcmp(method, "GET") == 0 ? ", HEAD" : ""};

    for (size_t i = 0; i < 3; i++) {
        size_t len = strlen(parts[i]);
        if (used + len < sizeof(node->allow)) {
            memcpy(node->allow + used, parts[i], len + 1);
            used += len;
        }
    }
}

static int add(struct router *router, const struct http_route *route, struct error *err)
{
    int method = method_of(text_of(route->method));
    struct node *node = &router->root;
    const char *p = route->path;
    unsigned depth = 0;

    if (method < 0 || !p || p[0] != '/' || !route->handle)
        return error_set(err, ERROR_INTERNAL, "bad_route", NULL, "Route %s %s is malformed.", route->method,
                         p ? p : "");
    while (*p == '/') {
        size_t len = strcspn(++p, "/");
        if (++depth > URI_SEGMENTS_MAX)
            return error_set(err, ERROR_INTERNAL, "bad_route", NULL, "Route %s is too deep.", route->path);
        node = child_of(node, (struct text){p, len});
        p += len;
    }
    if (node->routes[method])
        return error_set(err, ERROR_INTERNAL, "bad_route", NULL, "Route %s %s is there twice.", route->method,
                         route->path);
    node->routes[method] = route;
    node->indexes[method] = router->count;
    allow_add(node, route->method);
    router->routes[router->count++] = route;
    return 0;
}

static void node_finish(struct node *node)
{
    while (node->children) {
        struct node *child = node->children;
        node->children = child->next;
        node_finish(child);
        mem_free(child);
    }
    if (node->param) {
        node_finish(node->param);
        mem_free(node->param);
    }
}

struct router *router_create(const struct http_route *const *tables, struct error *err)
{
    struct router *router = mem_alloc(sizeof(*router));
    size_t count = 0;

    for (size_t t = 0; tables[t]; t++) {
        for (const struct http_route *route = tables[t]; route->method; route++)
            count++;
    }
    router->routes = mem_array(count + 1, sizeof(const struct http_route *));
    for (size_t t = 0; tables[t]; t++) {
        for (const struct http_route *route = tables[t]; route->method; route++) {
            if (add(router, route, err) < 0)
                return router_destroy(router);
        }
    }
    return router;
}

struct router *router_destroy(struct router *router)
{
    if (router) {
        node_finish(&router->root);
        mem_free(router->routes);
        mem_free(router);
    }
    return NULL;
}

unsigned router_count(const struct router *router)
{
    return router->count;
}

const struct http_route *router_route(const struct router *router, unsigned index)
{
    return router->routes[index];
}

/* Depth first, the literal child before the parameter: at most two ways at each of 16 segments, and in
 * practice one of them ends at once. */
static const struct node *walk(const struct node *node, const struct text *segments, unsigned count,
                               unsigned at, struct text *params)
{
    const struct node *found;

    if (at == count)
        return node->allow[0] ? node : NULL;
    for (const struct node *child = node->children; child; child = child->next) {
        if (!text_equal(child->literal, segments[at]))
            continue;
        params[at] = (struct text){NULL, 0};
        found = walk(child, segments, count, at + 1, params);
        if (found)
            return found;
        break;
    }
    if (!node->param || segments[at].len == 0)
        return NULL;
    params[at] = segments[at];
    return walk(node->param, segments, count, at + 1, params);
}

void router_find(const struct router *router, struct text method, const struct text *segments, unsigned count,
                 struct router_match *ret)
{
    *ret = (struct router_match){0};
    const struct node *node = walk(&router->root, segments, count, 0, ret->params);
    if (!node)
        return;
    ret->allow = node->allow;
    int which = text_is(method, "HEAD") ? METHOD_GET : method_of(method);
    if (which < 0 || !node->routes[which])
        return;
    ret->route = node->routes[which];
    ret->index = node->indexes[which];
}

struct text router_param(const struct router_match *match, const char *name)
{
    const char *p = match->route ? match->route->path : "";
    size_t name_len = strlen(name);

    for (unsigned at = 0; *p == '/'; at++) {
        size_t len = strcspn(++p, "/");
        if (len == name_len + 2 && p[0] == '{' && memcmp(p + 1, name, name_len) == 0)
            return match->params[at];
        p += len;
    }
    return (struct text){"", 0};
}
