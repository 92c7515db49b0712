#include "tenancy/scim_change.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/crypto.h"
#include "identity/accounts.h"
#include "identity/email.h"

enum { NAME_MAX_LENGTH = 200, GROUP_NAME_MAX = 100, EXTERNAL_ID_MAX = 255 };

const struct scim_attribute scim_user_attributes[] = {
    {"id", SCIM_EXACT}, {"externalid", SCIM_EXACT}, {"username", SCIM_TEXT}, {"name.formatted", SCIM_TEXT},
    {"name.givenname", SCIM_TEXT}, {"name.familyname", SCIM_TEXT}, {"displayname", SCIM_TEXT}, {"active", SCIM_BOOLEAN},
    {"emails.value", SCIM_TEXT}, {"emails.type", SCIM_TEXT}, {"emails.primary", SCIM_BOOLEAN}, {"meta.created", SCIM_DATE},
    {"meta.lastmodified", SCIM_DATE}, {NULL, SCIM_TEXT},
};
const struct scim_attribute scim_group_attributes[] = {
    {"id", SCIM_EXACT}, {"externalid", SCIM_EXACT}, {"displayname", SCIM_TEXT}, {"members.value", SCIM_EXACT},
    {"members.type", SCIM_TEXT}, {"meta.created", SCIM_DATE}, {"meta.lastmodified", SCIM_DATE}, {NULL, SCIM_TEXT},
};

/* Attributes of text, and what the change calls them. */
struct text_attribute {
    const char *path, *member;
    size_t max;
    bool required;
};
static const struct text_attribute user_texts[] = {
    {"externalid", "externalId", EXTERNAL_ID_MAX, false},     {"displayname", "displayName", NAME_MAX_LENGTH, false},
    {"name.formatted", "formatted", NAME_MAX_LENGTH, false},  {"name.givenname", "givenName", NAME_MAX_LENGTH, false},
    {"name.familyname", "familyName", NAME_MAX_LENGTH, false}, {0},
};
static const struct text_attribute group_texts[] = {
    {"externalid", "externalId", EXTERNAL_ID_MAX, false}, {"displayname", "displayName", GROUP_NAME_MAX, true}, {0},
};

struct change {
    struct arena *arena;
    json_t *json;
    const char *address; /* of emails: counts when userName is not said */
    size_t named;        /* members so far */
    struct error *err;
};

enum step { STEP_ADD, STEP_REPLACE, STEP_REMOVE };

/* Sets one attribute; value NULL: it is removed. The path may be any that RFC 7644 knows. */
typedef int attribute_setter(struct change *c, const char *path, enum step step, json_t *value);

static int bad_value(struct change *c, const char *field, const char *why)
{
    return error_set(c->err, ERROR_UNPROCESSABLE, "invalid_value", field, "%s: %s", field, why);
}

static void release(void *arg)
{
    json_decref(arg);
}

static struct change begin(struct arena *arena, struct error *err)
{
    struct change c = {.arena = arena, .json = json_object(), .err = err};
    arena_defer(arena, release, c.json);
    return c;
}

json_t *scim_member(json_t *object, const char *name)
{
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at))
        if (strcasecmp(json_object_iter_key(at), name) == 0)
            return json_object_iter_value(at);
    return NULL;
}

static bool is_nothing(json_t *value)
{
    const char *s = json_string_value(value);
    return !value || json_is_null(value) || (s && !*s);
}

/* A single value, which some directories wrap as [{"value": x}]. */
static json_t *single(json_t *value)
{
    if (json_is_array(value) && json_array_size(value) == 1)
        value = json_array_get(value, 0);
    if (json_is_object(value) && scim_member(value, "value"))
        return scim_member(value, "value");
    return value;
}

/* --- Values --------------------------------------------------------------------------------------------------------- */

static int set_text(struct change *c, const struct text_attribute *a, json_t *value)
{
    const char *text;
    value = single(value);
    if (is_nothing(value)) {
        json_object_set_new(c->json, a->member, json_null());
        return a->required ? bad_value(c, a->member, "it is required.") : 0;
    }
    json_t *one = json_object();
    json_object_set(one, a->member, value);
    int r = json_get_string(one, a->member, true, 1, a->max, &text, c->err);
    if (r == 0)
        r = identity_name_acceptable(text, c->err);
    if (r == 0)
        json_object_set(c->json, a->member, value);
    json_decref(one);
    return r;
}

static int set_address(struct change *c, json_t *value)
{
    const char *address = json_string_value(single(value));
    if (!address)
        return bad_value(c, "userName", "an e-mail address is required.");
    if (email_normal(c->arena, address, &address, "userName", c->err) < 0)
        return -1;
    json_object_set_new(c->json, "userName", json_string(address));
    return 0;
}

/* true, false; or as text, which Entra ID writes "True" and "False". */
static int set_active(struct change *c, enum step step, json_t *value)
{
    value = single(value);
    const char *text = json_string_value(value);
    bool yes = json_is_true(value) || (text && strcasecmp(text, "true") == 0);
    if (step == STEP_REMOVE)
        return error_set(c->err, ERROR_INVALID, "mutability", "active", "active is true or false, and cannot be removed.");
    if (!yes && !json_is_false(value) && !(text && strcasecmp(text, "false") == 0))
        return bad_value(c, "active", "it is true or false.");
    json_object_set_new(c->json, "active", json_boolean(yes));
    return 0;
}

/* --- Users ---------------------------------------------------------------------------------------------------------- */

/* The primary one, else the one for work, else the first. */
static json_t *best_email(json_t *list)
{
    json_t *best = json_array_get(list, 0);
    int best_rank = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *one = json_array_get(list, i);
        const char *type = json_string_value(scim_member(one, "type"));
        int rank = json_is_true(scim_member(one, "primary")) ? 2 : type && strcasecmp(type, "work") == 0;
        if (rank > best_rank) {
            best_rank = rank;
            best = one;
        }
    }
    return best;
}

static int set_emails(struct change *c, enum step step, json_t *value)
{
    if (step == STEP_REMOVE || is_nothing(value))
        return bad_value(c, "emails", "it is the userName, which is required.");
    json_t *address = single(json_is_array(value) ? best_email(value) : value);
    if (!json_is_string(address))
        return bad_value(c, "emails", "an e-mail address is required.");
    c->address = json_string_value(address);
    return 0;
}

/* Is the one address that is kept, for work and primary, among those of this filter? -1: a filter that cannot be told. */
static int is_the_email(const struct scim_node *node)
{
    if (node->op == SCIM_AND || node->op == SCIM_OR) {
        int left = is_the_email(node->left), right = is_the_email(node->right);
        if (left < 0 || right < 0)
            return -1;
        return node->op == SCIM_AND ? left && right : left || right;
    }
    if (node->op != SCIM_EQ || !node->value)
        return -1;
    if (strcmp(node->attribute->path, "emails.type") == 0)
        return strcasecmp(node->value, "work") == 0;
    return strcmp(node->attribute->path, "emails.primary") == 0 ? strcmp(node->value, "true") == 0 : -1;
}

static int set_filtered_email(struct change *c, const struct scim_path *path, enum step step, json_t *value)
{
    int matches = strcmp(path->attribute, "emails") == 0 ? is_the_email(path->filter) : -1;
    if (matches < 0)
        return error_set(c->err, ERROR_INVALID, "no_target", "path", "Addresses are chosen by type or primary.");
    if (!matches || (path->sub && strcmp(path->sub, "value") != 0))
        return 0; /* of another address, or what is not kept of this one */
    return set_emails(c, step, value);
}

static bool is_one_of(const char *name, size_t len, const char *const list[])
{
    for (; *list; list++)
        if (strlen(*list) == len && memcmp(*list, name, len) == 0)
            return true;
    return false;
}

/* Of SCIM's schemas or of others' extensions, and not kept here: the password above all. */
static bool is_passed_over(const char *lower)
{
    static const char *const names[] = {"schemas", "nickname", "profileurl", "title", "usertype", "preferredlanguage", "locale",
        "timezone", "password", "phonenumbers", "ims", "photos", "addresses", "entitlements", "roles", "x509certificates", NULL};
    static const char *const parts[] = {"name.middlename", "name.honorificprefix", "name.honorificsuffix", "emails.type",
        "emails.primary", "emails.display", NULL};
    return strncmp(lower, "urn:", 4) == 0 || is_one_of(lower, strcspn(lower, ".["), names) || is_one_of(lower, strlen(lower), parts);
}

/* What no client sets. */
static bool is_read_only(const char *lower)
{
    static const char *const names[] = {"id", "meta", "groups", NULL};
    return is_one_of(lower, strcspn(lower, ".["), names);
}

static int unknown(struct change *c, const char *path)
{
    return error_set(c->err, ERROR_INVALID, "invalid_path", "path", "There is no attribute \"%.100s\".", path);
}

static int set_named_text(struct change *c, const struct text_attribute *list, const char *path, json_t *value)
{
    for (; list->path; list++)
        if (strcmp(list->path, path) == 0)
            return set_text(c, list, value);
    return unknown(c, path);
}

static int set_user(struct change *c, const char *path, enum step step, json_t *value);

static int set_name(struct change *c, enum step step, json_t *value)
{
    static const char *const all[] = {"name.formatted", "name.givenname", "name.familyname"};
    if (step == STEP_REMOVE || json_is_null(value)) {
        for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
            set_named_text(c, user_texts, all[i], NULL);
        return 0;
    }
    if (!json_is_object(value))
        return bad_value(c, "name", "it is an object.");
    for (void *at = json_object_iter(value); at; at = json_object_iter_next(value, at)) {
        const char *part = arena_printf(c->arena, "name.%s", json_object_iter_key(at));
        if (set_user(c, part, step, json_object_iter_value(at)) < 0)
            return -1;
    }
    return 0;
}

static int set_user(struct change *c, const char *path, enum step step, json_t *value)
{
    struct scim_path parsed;
    const char *lower = scim_attribute_name(c->arena, text_of(path));
    if (is_passed_over(lower))
        return 0;
    if (is_read_only(lower))
        return error_set(c->err, ERROR_INVALID, "mutability", "path", "\"%.100s\" is read-only.", path);
    if (scim_path_parse(c->arena, text_of(path), scim_user_attributes, &parsed, c->err) < 0)
        return -1;
    if (parsed.filter)
        return set_filtered_email(c, &parsed, step, value);
    if (strcmp(parsed.attribute, "username") == 0)
        return set_address(c, value);
    if (strcmp(parsed.attribute, "active") == 0)
        return set_active(c, step, value);
    if (strcmp(parsed.attribute, "name") == 0)
        return set_name(c, step, value);
    if (strcmp(parsed.attribute, "emails") == 0 || strcmp(parsed.attribute, "emails.value") == 0)
        return set_emails(c, step, value);
    return set_named_text(c, user_texts, parsed.attribute, value);
}

/* userName is the address; emails say the same, and count where it is not said. */
static int finish_user(struct change *c, const char **ret)
{
    if (c->address && !json_object_get(c->json, "userName")) {
        json_t *address = json_string(c->address);
        int r = set_address(c, address);
        json_decref(address);
        if (r < 0)
            return -1;
    }
    *ret = json_render(c->arena, c->json).p;
    return 0;
}

/* --- Groups --------------------------------------------------------------------------------------------------------- */

static int add_id(struct change *c, json_t *ids, const char *id)
{
    if (!id || !uuid_valid(text_of(id)))
        return error_set(c->err, ERROR_UNPROCESSABLE, "no_such_member", "members", "A member is none of the users here.");
    if (++c->named > SCIM_MEMBERS_MAX)
        return error_set(c->err, ERROR_TOO_LARGE, "too_many_members", "members", "A request names at most %d members.",
                         SCIM_MEMBERS_MAX);
    json_array_append_new(ids, json_string(id));
    return 0;
}

static int ids_of_value(struct change *c, json_t *ids, json_t *value)
{
    if (json_is_object(value))
        return add_id(c, ids, json_string_value(scim_member(value, "value")));
    if (!json_is_array(value))
        return bad_value(c, "members", "it is an array of {\"value\": id}.");
    for (size_t i = 0; i < json_array_size(value); i++)
        if (add_id(c, ids, json_string_value(scim_member(json_array_get(value, i), "value"))) < 0)
            return -1;
    return 0;
}

/* members[value eq "a" or value eq "b"] */
static int ids_of_filter(struct change *c, json_t *ids, const struct scim_node *node)
{
    if (node->op == SCIM_OR)
        return ids_of_filter(c, ids, node->left) < 0 ? -1 : ids_of_filter(c, ids, node->right);
    if (node->op != SCIM_EQ || strcmp(node->attribute->path, "members.value") != 0)
        return error_set(c->err, ERROR_INVALID, "invalid_filter", "path", "Members are chosen by: value eq \"id\".");
    return add_id(c, ids, node->value);
}

static int set_members(struct change *c, const struct scim_node *filter, enum step step, json_t *value)
{
    static const char *const names[] = {[STEP_ADD] = "add", [STEP_REPLACE] = "replace", [STEP_REMOVE] = "remove"};
    json_t *ids = json_array(), *steps = json_object_get(c->json, "members");
    if (!steps) {
        steps = json_array();
        json_object_set_new(c->json, "members", steps);
    }
    bool everybody = step == STEP_REMOVE && !filter && is_nothing(value);
    json_array_append_new(steps, json_pack("{s:s,s:o}", "op", names[everybody ? STEP_REPLACE : step], "ids", ids));
    if (filter && step != STEP_REMOVE)
        return error_set(c->err, ERROR_INVALID, "no_target", "path", "A member that is chosen can be removed, nothing else.");
    if (filter)
        return ids_of_filter(c, ids, filter);
    return everybody || json_is_null(value) ? 0 : ids_of_value(c, ids, value);
}

static int set_group(struct change *c, const char *path, enum step step, json_t *value)
{
    struct scim_path parsed;
    const char *lower = scim_attribute_name(c->arena, text_of(path));
    if (strcmp(lower, "schemas") == 0 || strncmp(lower, "urn:", 4) == 0)
        return 0;
    if (is_read_only(lower))
        return error_set(c->err, ERROR_INVALID, "mutability", "path", "\"%.100s\" is read-only.", path);
    if (scim_path_parse(c->arena, text_of(path), scim_group_attributes, &parsed, c->err) < 0)
        return -1;
    if (strcmp(parsed.attribute, "members") == 0)
        return parsed.sub ? unknown(c, path) : set_members(c, parsed.filter, step, value);
    return parsed.filter ? unknown(c, path) : set_named_text(c, group_texts, parsed.attribute, value);
}

/* --- Bodies --------------------------------------------------------------------------------------------------------- */

static int need_schema(json_t *body, const char *schema, struct error *err)
{
    json_t *schemas = scim_member(body, "schemas");
    for (size_t i = 0; i < json_array_size(schemas); i++) {
        const char *one = json_string_value(json_array_get(schemas, i));
        if (one && strcasecmp(one, schema) == 0)
            return 0;
    }
    return error_set(err, ERROR_INVALID, "invalid_syntax", "schemas", "schemas must name %s.", schema);
}

/* What is not known in a body is passed over, as what the service itself says of the resource. */
static int take_body(struct change *c, json_t *body, attribute_setter *set, enum step step, const char *const names[])
{
    for (; *names; names++) {
        json_t *value = scim_member(body, *names);
        if (value && set(c, *names, step, value) < 0)
            return -1;
    }
    return 0;
}

static void clear(struct change *c, const struct text_attribute *texts)
{
    for (; texts->path; texts++)
        if (!texts->required)
            json_object_set_new(c->json, texts->member, json_null());
}

int scim_user_from_body(struct arena *arena, json_t *body, bool whole, const char **ret, struct error *err)
{
    static const char *const names[] = {"externalId", "displayName", "userName", NULL};
    struct change c = begin(arena, err);
    json_t *name = scim_member(body, "name"), *active = scim_member(body, "active");
    if (need_schema(body, "urn:ietf:params:scim:schemas:core:2.0:User", err) < 0)
        return -1;
    if (whole)
        clear(&c, user_texts);
    if (take_body(&c, body, set_user, STEP_REPLACE, names) < 0)
        return -1;
    static const char *const parts[] = {"formatted", "givenName", "familyName", NULL};
    for (const char *const *part = parts; *part; part++) {
        json_t *value = scim_member(name, *part);
        if (value && set_user(&c, arena_printf(arena, "name.%s", *part), STEP_REPLACE, value) < 0)
            return -1;
    }
    if (!is_nothing(active) && set_active(&c, STEP_REPLACE, active) < 0)
        return -1;
    return json_object_get(c.json, "userName") ? finish_user(&c, ret) : set_address(&c, NULL);
}

int scim_group_from_body(struct arena *arena, json_t *body, bool whole, const char **ret, struct error *err)
{
    static const char *const names[] = {"externalId", "displayName", "members", NULL};
    struct change c = begin(arena, err);
    if (need_schema(body, "urn:ietf:params:scim:schemas:core:2.0:Group", err) < 0)
        return -1;
    if (whole)
        clear(&c, group_texts);
    /* A new group may be a role that others have already: who is named comes, nobody goes. */
    if (take_body(&c, body, set_group, whole ? STEP_REPLACE : STEP_ADD, names) < 0)
        return -1;
    if (!json_object_get(c.json, "displayName"))
        return bad_value(&c, "displayName", "it is required.");
    *ret = json_render(arena, c.json).p;
    return 0;
}

static int take_operation(struct change *c, json_t *operation, attribute_setter *set)
{
    static const char *const names[] = {[STEP_ADD] = "add", [STEP_REPLACE] = "replace", [STEP_REMOVE] = "remove"};
    const char *op = json_string_value(scim_member(operation, "op"));
    json_t *path = scim_member(operation, "path"), *value = scim_member(operation, "value");
    enum step step = STEP_ADD;
    while (op && step <= STEP_REMOVE && strcasecmp(op, names[step]) != 0)
        step++;
    if (!op || step > STEP_REMOVE)
        return error_set(c->err, ERROR_INVALID, "invalid_syntax", "op", "op is add, replace or remove.");
    if (step != STEP_REMOVE && !value)
        return error_set(c->err, ERROR_INVALID, "invalid_syntax", "value", "%s takes a value.", names[step]);
    if (!is_nothing(path))
        return json_is_string(path) ? set(c, json_string_value(path), step, value) : unknown(c, "");
    if (step == STEP_REMOVE)
        return error_set(c->err, ERROR_INVALID, "no_target", "path", "remove takes a path.");
    if (!json_is_object(value))
        return error_set(c->err, ERROR_INVALID, "invalid_syntax", "value", "Without a path the value is an object.");
    for (void *at = json_object_iter(value); at; at = json_object_iter_next(value, at)) {
        const char *name = json_object_iter_key(at);
        if (is_read_only(scim_attribute_name(c->arena, text_of(name))))
            continue; /* Okta says the id along with what it changes */
        if (set(c, name, step, json_object_iter_value(at)) < 0)
            return -1;
    }
    return 0;
}

static int take_patch(struct change *c, json_t *body, attribute_setter *set)
{
    json_t *operations = scim_member(body, "Operations");
    if (need_schema(body, "urn:ietf:params:scim:api:messages:2.0:PatchOp", c->err) < 0)
        return -1;
    if (!json_is_array(operations) || json_array_size(operations) == 0)
        return error_set(c->err, ERROR_INVALID, "invalid_syntax", "Operations", "Operations is an array of at least one.");
    for (size_t i = 0; i < json_array_size(operations); i++)
        if (take_operation(c, json_array_get(operations, i), set) < 0)
            return -1;
    return 0;
}

int scim_user_from_patch(struct arena *arena, json_t *body, const char **ret, struct error *err)
{
    struct change c = begin(arena, err);
    return take_patch(&c, body, set_user) < 0 ? -1 : finish_user(&c, ret);
}

int scim_group_from_patch(struct arena *arena, json_t *body, const char **ret, struct error *err)
{
    struct change c = begin(arena, err);
    if (take_patch(&c, body, set_group) < 0)
        return -1;
    *ret = json_render(arena, c.json).p;
    return 0;
}
