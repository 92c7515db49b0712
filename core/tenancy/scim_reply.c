#include "tenancy/scim.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "http/fields.h"
#include "tenancy/scim_change.h"
#include "tenancy/scim_filter.h"

enum { ERROR_BYTES_MAX = 4096, NAMES_MAX = 50 };

/* --- Errors --------------------------------------------------------------------------------------------------------- */

static const char *scim_type(const struct error *err)
{
    static const struct {
        const char *code, *type;
    } types[] = {
        {"invalid_filter", "invalidFilter"}, {"invalid_path", "invalidPath"}, {"no_target", "noTarget"},
        {"mutability", "mutability"},        {"uniqueness", "uniqueness"},
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(err->code, types[i].code) == 0)
            return types[i].type;
    return err->kind == ERROR_INVALID ? "invalidSyntax" : err->kind == ERROR_UNPROCESSABLE ? "invalidValue" : NULL;
}

void scim_reply_error(struct http_request *req, const struct error *err)
{
    struct arena *arena = http_arena(req);
    struct buffer out;
    int status = err->kind == ERROR_UNPROCESSABLE ? 400 : error_status(err->kind);
    const char *type = scim_type(err);
    if (err->kind == ERROR_INTERNAL || err->kind == ERROR_CANCELLED) {
        http_reply_error(req, err);
        return;
    }
    buffer_init(&out, ERROR_BYTES_MAX);
    buffer_printf(&out, "{\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:Error\"],\"status\":\"%d\"", status);
    if (type)
        buffer_printf(&out, ",\"scimType\":\"%s\"", type);
    buffer_puts(&out, ",\"code\":");
    buffer_json_string(&out, text_of(err->code));
    buffer_puts(&out, ",\"detail\":");
    buffer_json_string(&out, text_of(err->detail));
    buffer_puts(&out, "}");
    if (err->retry_after > 0)
        http_header_add(req, "retry-after", arena_printf(arena, "%u", err->retry_after));
    if (status == 401)
        http_header_add(req, "www-authenticate", "Bearer");
    http_reply(req, status, SCIM_JSON, (struct text){out.p, out.len});
    buffer_finish(&out);
}

/* --- attributes and excludedAttributes ------------------------------------------------------------------------------ */

static bool query_text(struct http_request *req, const char *name, const char **ret)
{
    struct text value;
    if (!http_query(req, name, &value) || value.len == 0)
        return false;
    *ret = arena_copy(http_arena(req), value.p, value.len);
    return true;
}

bool scim_projection_any(struct http_request *req)
{
    const char *list;
    return query_text(req, "attributes", &list) || query_text(req, "excludedAttributes", &list);
}

int scim_projection_check(struct http_request *req, struct error *err)
{
    const char *wanted, *excluded;
    if (query_text(req, "attributes", &wanted) && query_text(req, "excludedAttributes", &excluded))
        return error_set(err, ERROR_UNPROCESSABLE, "invalid_value", "attributes", "Either attributes or excludedAttributes.");
    return 0;
}

/* Is `path` ("name", "name.familyName") in the list, by itself or (whole) by what it is part of? */
static bool listed(struct arena *arena, const char *list, const char *path, bool part_too)
{
    size_t length = strlen(path);
    for (const char *at = list; *at; at += strspn(at, ", ")) {
        size_t n = strcspn(at, ", ");
        const char *one = scim_attribute_name(arena, (struct text){at, n});
        if (strcasecmp(one, path) == 0 || (part_too && strncasecmp(one, path, length) == 0 && one[length] == '.'))
            return true;
        at += n;
    }
    return false;
}

static void project_part(struct arena *arena, json_t *part, const char *parent, const char *list, bool wanted)
{
    void *next;
    if (json_is_array(part))
        for (size_t i = 0; i < json_array_size(part); i++)
            project_part(arena, json_array_get(part, i), parent, list, wanted);
    for (void *at = json_object_iter(part); at; at = next) {
        const char *path = arena_printf(arena, "%s.%s", parent, json_object_iter_key(at));
        const char *name = path + strlen(parent) + 1;
        next = json_object_iter_next(part, at);
        if (listed(arena, list, path, false) != wanted)
            json_object_del(part, name);
    }
}

void scim_project(struct http_request *req, json_t *resource)
{
    struct arena *arena = http_arena(req);
    const char *list = "";
    void *next;
    bool wanted = query_text(req, "attributes", &list);
    if (!wanted && !query_text(req, "excludedAttributes", &list))
        return;
    for (void *at = json_object_iter(resource); at; at = next) {
        const char *name = arena_strdup(arena, json_object_iter_key(at));
        json_t *value = json_object_iter_value(at);
        next = json_object_iter_next(resource, at);
        if (strcmp(name, "id") == 0 || strcmp(name, "schemas") == 0)
            continue;
        bool whole = listed(arena, list, name, false), some = listed(arena, list, name, true);
        if (wanted ? !some : whole)
            json_object_del(resource, name);
        else if (some && !whole)
            project_part(arena, value, name, list, wanted);
    }
}

bool scim_without_members(struct http_request *req)
{
    const char *list;
    if (query_text(req, "attributes", &list))
        return !listed(http_arena(req), list, "members", true);
    return query_text(req, "excludedAttributes", &list) && listed(http_arena(req), list, "members", false);
}

/* --- Resources and lists -------------------------------------------------------------------------------------------- */

/* The database made it: what is no JSON would be our own fault. */
static json_t *parse_own(struct http_request *req, struct text json)
{
    struct error err = {0};
    json_t *parsed;
    if (json_parse(http_arena(req), json, &parsed, &err) == 0)
        return parsed;
    err.kind = ERROR_INTERNAL;
    http_reply_error(req, &err);
    return NULL;
}

void scim_reply_resource(struct http_request *req, int status, struct text json)
{
    struct text wanted, method = http_method(req);
    json_t *resource = parse_own(req, json);
    if (!resource)
        return;
    json_t *meta = json_object_get(resource, "meta");
    const char *version = json_string_value(json_object_get(meta, "version"));
    if (version) {
        struct text tag = {version + strlen("W/\""), strlen(version) - strlen("W/\"\"")};
        http_header_add(req, "etag", version);
        http_header_add(req, "cache-control", "private, no-cache");
        if ((text_is(method, "GET") || text_is(method, "HEAD")) && http_header(req, "if-none-match", &wanted) &&
            field_etag_listed(wanted, tag)) {
            http_reply(req, 304, NULL, (struct text){0});
            return;
        }
    }
    if (status == 201)
        http_header_add(req, "location", json_string_value(json_object_get(meta, "location")));
    if (scim_projection_any(req)) {
        scim_project(req, resource);
        json = json_render(http_arena(req), resource);
    }
    http_reply(req, status, SCIM_JSON, json);
}

void scim_reply_list(struct http_request *req, struct text json)
{
    if (scim_projection_any(req)) {
        json_t *list = parse_own(req, json);
        if (!list)
            return;
        json_t *resources = json_object_get(list, "Resources");
        for (size_t i = 0; i < json_array_size(resources); i++)
            scim_project(req, json_array_get(resources, i));
        json = json_render(http_arena(req), list);
    }
    http_reply(req, 200, SCIM_JSON, json);
}

/* --- Queries -------------------------------------------------------------------------------------------------------- */

static int read_number(struct http_request *req, const char *name, int64_t standard, int64_t min, int64_t max, const char **ret,
                       struct error *err)
{
    struct text value;
    int64_t n = standard;
    if (http_query(req, name, &value) && text_to_int64(value, INT32_MIN, INT32_MAX, &n) < 0)
        return error_set(err, ERROR_UNPROCESSABLE, "invalid_value", name, "%s is a number.", name);
    n = n < min ? min : n > max ? max : n;
    *ret = arena_printf(http_arena(req), "%lld", (long long)n);
    return 0;
}

static int read_sort(struct http_request *req, const struct scim_attribute *known, struct scim_query *ret, struct error *err)
{
    const char *name, *order = "ascending";
    query_text(req, "sortOrder", &order);
    ret->descending = strcasecmp(order, "descending") == 0 ? "true" : "false";
    if (strcasecmp(order, "ascending") != 0 && strcasecmp(order, "descending") != 0)
        return error_set(err, ERROR_UNPROCESSABLE, "invalid_value", "sortOrder", "sortOrder is ascending or descending.");
    if (!query_text(req, "sortBy", &name))
        return 0;
    const char *path = scim_attribute_name(http_arena(req), text_of(name));
    for (; known->path; known++)
        if (strcmp(known->path, path) == 0 && strncmp(path, "members.", 8) != 0) {
            ret->sort = path;
            return 0;
        }
    return error_set(err, ERROR_UNPROCESSABLE, "invalid_value", "sortBy", "Nothing is sorted by \"%.100s\".", name);
}

static bool asks_for_members(const struct scim_node *node)
{
    if (node->attribute)
        return strncmp(node->attribute->path, "members.", 8) == 0;
    return asks_for_members(node->left) || (node->right && asks_for_members(node->right));
}

int scim_query_read(struct http_request *req, const struct scim_attribute *known, struct scim_query *ret, struct error *err)
{
    struct text filter;
    const struct scim_node *node;
    *ret = (struct scim_query){0};
    if (scim_projection_check(req, err) < 0 || read_number(req, "startIndex", 1, 1, INT32_MAX / 2, &ret->first, err) < 0 ||
        read_number(req, "count", SCIM_PAGE_MAX, 0, SCIM_PAGE_MAX, &ret->most, err) < 0 || read_sort(req, known, ret, err) < 0)
        return -1;
    if (!http_query(req, "filter", &filter) || filter.len == 0)
        return 0;
    if (scim_filter_parse(http_arena(req), filter, known, &node, err) < 0)
        return -1;
    ret->filter = scim_filter_json(http_arena(req), node);
    ret->user_name = scim_filter_demands(node, "username");
    ret->external_id = scim_filter_demands(node, "externalid");
    ret->by_members = asks_for_members(node);
    const char *id = scim_filter_demands(node, "id");
    ret->id = id && uuid_valid(text_of(id)) ? id : NULL; /* else it is nobody's: the filter finds that out */
    return 0;
}
