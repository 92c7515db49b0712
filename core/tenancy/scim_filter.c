#include "tenancy/scim_filter.h"

#include <string.h>
#include <strings.h>

#include "base/json.h"

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-$:."

static const struct {
    const char *name, *kinds; /* kinds: that it compares */
    enum scim_op op;
} operators[] = {
    {"eq", "tebd", SCIM_EQ}, {"ne", "tebd", SCIM_NE}, {"co", "te", SCIM_CO}, {"sw", "te", SCIM_SW}, {"ew", "te", SCIM_EW},
    {"gt", "d", SCIM_GT},    {"ge", "d", SCIM_GE},    {"lt", "d", SCIM_LT},  {"le", "d", SCIM_LE},  {"pr", "tebd", SCIM_PR},
};
enum { OPERATORS = sizeof(operators) / sizeof(operators[0]) };
static const char kind_letters[] = {[SCIM_TEXT] = 't', [SCIM_EXACT] = 'e', [SCIM_BOOLEAN] = 'b', [SCIM_DATE] = 'd'};

struct parser {
    struct arena *arena;
    struct text rest;
    const struct scim_attribute *known;
    const char *within; /* attribute whose brackets are open, or NULL */
    unsigned depth, comparisons;
    struct error *err;
};

static int refuse(struct parser *p, const char *why)
{
    return error_set(p->err, ERROR_INVALID, "invalid_filter", "filter", "The filter is not right before \"%.40s\": %s.",
                     p->rest.len ? (const char *)arena_copy(p->arena, p->rest.p, p->rest.len) : "", why);
}

/* --- Words ---------------------------------------------------------------------------------------------------------- */

static void skip(struct parser *p, size_t n)
{
    p->rest = (struct text){p->rest.p + n, p->rest.len - n};
}

static void skip_blanks(struct parser *p)
{
    while (p->rest.len && p->rest.p[0] == ' ')
        skip(p, 1);
}

static bool take(struct parser *p, char c)
{
    skip_blanks(p);
    if (p->rest.len == 0 || p->rest.p[0] != c)
        return false;
    skip(p, 1);
    return true;
}

/* The next word, not taken: letters, digits and what else names have. */
static struct text word(struct parser *p)
{
    skip_blanks(p);
    size_t n = 0;
    while (n < p->rest.len && p->rest.p[n] && strchr(NAME_CHARACTERS, p->rest.p[n]))
        n++;
    return (struct text){p->rest.p, n};
}

static bool is_word(struct text t, const char *s)
{
    return t.len == strlen(s) && strncasecmp(t.p, s, t.len) == 0;
}

static bool take_word(struct parser *p, const char *s)
{
    struct text next = word(p);
    if (!is_word(next, s))
        return false;
    skip(p, next.len);
    return true;
}

const char *scim_attribute_name(struct arena *arena, struct text name)
{
    static const char *const schemas[] = {"urn:ietf:params:scim:schemas:core:2.0:user:",
                                          "urn:ietf:params:scim:schemas:core:2.0:group:"};
    for (size_t i = 0; i < sizeof(schemas) / sizeof(schemas[0]); i++) {
        size_t n = strlen(schemas[i]);
        if (name.len > n && strncasecmp(name.p, schemas[i], n) == 0)
            name = (struct text){name.p + n, name.len - n};
    }
    char *lower = arena_copy(arena, name.p, name.len);
    for (char *c = lower; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    return lower;
}

static const struct scim_attribute *find(const struct parser *p, const char *path)
{
    const char *whole = p->within ? arena_printf(p->arena, "%s.%s", p->within, path) : path;
    for (const struct scim_attribute *a = p->known; a->path; a++)
        if (strcmp(a->path, whole) == 0)
            return a;
    return NULL;
}

/* --- Values --------------------------------------------------------------------------------------------------------- */

/* Digits at *s, taken when they lie within the bounds. */
static bool digits(const char **s, size_t n, int min, int max, int *ret)
{
    int64_t value;
    if (strnlen(*s, n) < n || strspn(*s, "0123456789") < n || text_to_int64((struct text){*s, n}, min, max, &value) < 0)
        return false;
    *s += n;
    *ret = (int)value;
    return true;
}

static bool sign(const char **s, const char *any)
{
    if (!**s || !strchr(any, **s))
        return false;
    (*s)++;
    return true;
}

static int days_of(int year, int month)
{
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 ? 28 + leap : month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

/* xsd:dateTime as RFC 7643 has it, with its zone: what PostgreSQL is sure to take. */
static bool is_date(const char *s)
{
    int year, month, day, n;
    if (!digits(&s, 4, 1, 9999, &year) || !sign(&s, "-") || !digits(&s, 2, 1, 12, &month) || !sign(&s, "-") ||
        !digits(&s, 2, 1, days_of(year, month), &day) || !sign(&s, "T") || !digits(&s, 2, 0, 23, &n) || !sign(&s, ":") ||
        !digits(&s, 2, 0, 59, &n) || !sign(&s, ":") || !digits(&s, 2, 0, 59, &n))
        return false;
    if (*s == '.') {
        size_t fraction = strspn(++s, "0123456789");
        if (fraction < 1 || fraction > 9)
            return false;
        s += fraction;
    }
    if (strcmp(s, "Z") == 0)
        return true;
    return sign(&s, "+-") && digits(&s, 2, 0, 14, &n) && sign(&s, ":") && digits(&s, 2, 0, 59, &n) && !*s;
}

/* A JSON string, whose end is its first quote that no backslash stands before. */
static int take_string(struct parser *p, const char **ret)
{
    size_t n = 1;
    json_t *json;
    while (n < p->rest.len && p->rest.p[n] != '"')
        n += p->rest.p[n] == '\\' ? 2 : 1;
    if (n >= p->rest.len || json_parse(p->arena, (struct text){p->rest.p, n + 1}, &json, NULL) < 0)
        return refuse(p, "a text is a JSON string");
    skip(p, n + 1);
    *ret = json_string_value(json);
    return 0;
}

static int take_value(struct parser *p, struct scim_node *node)
{
    enum scim_kind kind = node->attribute->kind;
    skip_blanks(p);
    if (p->rest.len && p->rest.p[0] == '"') {
        if (take_string(p, &node->value) < 0)
            return -1;
        if (kind == SCIM_DATE && !is_date(node->value))
            return refuse(p, "a time is like 2026-11-24T12:00:00Z");
        if (kind != SCIM_BOOLEAN)
            return 0;
        bool yes = strcasecmp(node->value, "true") == 0;
        if (!yes && strcasecmp(node->value, "false") != 0)
            return refuse(p, "this attribute is true or false");
        node->value = yes ? "true" : "false";
        return 0;
    }
    if (take_word(p, "null") && (node->op == SCIM_EQ || node->op == SCIM_NE))
        return 0;
    if (kind != SCIM_BOOLEAN)
        return refuse(p, "a text in quotes belongs here");
    if (take_word(p, "true"))
        node->value = "true";
    else if (take_word(p, "false"))
        node->value = "false";
    else
        return refuse(p, "this attribute is true or false");
    return 0;
}

/* --- Expressions ---------------------------------------------------------------------------------------------------- */

static int parse_or(struct parser *p, const struct scim_node **ret);

static struct scim_node *join(struct parser *p, enum scim_op op, const struct scim_node *left, const struct scim_node *right)
{
    struct scim_node *node = arena_alloc(p->arena, sizeof(*node));
    *node = (struct scim_node){.op = op, .left = left, .right = right};
    return node;
}

static int parse_comparison(struct parser *p, const struct scim_attribute *attribute, const struct scim_node **ret)
{
    struct scim_node *node = join(p, SCIM_PR, NULL, NULL);
    struct text name = word(p);
    size_t i = 0;
    while (i < OPERATORS && !is_word(name, operators[i].name))
        i++;
    if (i == OPERATORS)
        return refuse(p, "an operator belongs here: eq, ne, co, sw, ew, gt, ge, lt, le or pr");
    if (!strchr(operators[i].kinds, kind_letters[attribute->kind]))
        return refuse(p, "this attribute is not compared so");
    if (++p->comparisons > SCIM_COMPARISONS_MAX)
        return refuse(p, "it compares too much");
    skip(p, name.len);
    node->op = operators[i].op;
    node->attribute = attribute;
    *ret = node;
    return node->op == SCIM_PR ? 0 : take_value(p, node);
}

static int parse_brackets(struct parser *p, const char *attribute, const struct scim_node **ret)
{
    if (p->within)
        return refuse(p, "brackets do not stand within brackets");
    p->within = attribute;
    int r = parse_or(p, ret);
    if (r == 0 && !take(p, ']'))
        r = refuse(p, "the bracket is not closed");
    p->within = NULL;
    return r;
}

/* attribute op value, attribute[...], or as some directories write it attribute[...].sub op value: of the same element. */
static int parse_term(struct parser *p, const struct scim_node **ret)
{
    struct text name = word(p);
    if (name.len == 0)
        return refuse(p, "the name of an attribute belongs here");
    const char *path = scim_attribute_name(p->arena, name);
    const struct scim_node *within = NULL;
    skip(p, name.len);
    if (p->rest.len && p->rest.p[0] == '[') {
        skip(p, 1);
        if (parse_brackets(p, path, &within) < 0)
            return -1;
        *ret = within;
        if (p->rest.len == 0 || p->rest.p[0] != '.')
            return 0;
        name = word(p);
        skip(p, name.len);
        path = arena_printf(p->arena, "%s%s", path, scim_attribute_name(p->arena, name));
    }
    const struct scim_attribute *attribute = find(p, path);
    if (!attribute && !p->within) /* emails eq "x": of what an element is */
        attribute = find(p, arena_printf(p->arena, "%s.value", path));
    if (!attribute)
        return refuse(p, "there is no such attribute to filter by");
    if (parse_comparison(p, attribute, ret) < 0)
        return -1;
    if (within)
        *ret = join(p, SCIM_AND, within, *ret);
    return 0;
}

static int parse_unary(struct parser *p, const struct scim_node **ret)
{
    bool not = take_word(p, "not");
    if (!take(p, '('))
        return not ? refuse(p, "not is followed by (") : parse_term(p, ret);
    if (parse_or(p, ret) < 0)
        return -1;
    if (!take(p, ')'))
        return refuse(p, "the parenthesis is not closed");
    if (not)
        *ret = join(p, SCIM_NOT, *ret, NULL);
    return 0;
}

static int parse_and(struct parser *p, const struct scim_node **ret)
{
    const struct scim_node *right;
    if (parse_unary(p, ret) < 0)
        return -1;
    while (take_word(p, "and")) {
        if (parse_unary(p, &right) < 0)
            return -1;
        *ret = join(p, SCIM_AND, *ret, right);
    }
    return 0;
}

static int parse_or(struct parser *p, const struct scim_node **ret)
{
    const struct scim_node *right;
    if (++p->depth > SCIM_DEPTH_MAX)
        return refuse(p, "it is nested too deeply");
    if (parse_and(p, ret) < 0)
        return -1;
    while (take_word(p, "or")) {
        if (parse_and(p, &right) < 0)
            return -1;
        *ret = join(p, SCIM_OR, *ret, right);
    }
    p->depth--;
    return 0;
}

int scim_filter_parse(struct arena *arena, struct text filter, const struct scim_attribute *known, const struct scim_node **ret,
                      struct error *err)
{
    struct parser p = {.arena = arena, .rest = filter, .known = known, .err = err};
    if (parse_or(&p, ret) < 0)
        return -1;
    skip_blanks(&p);
    return p.rest.len ? refuse(&p, "it has ended here") : 0;
}

/* --- What the parsed filter is good for ----------------------------------------------------------------------------- */

static void write_node(struct buffer *out, const struct scim_node *node)
{
    static const char *const kinds[] = {[SCIM_TEXT] = "text", [SCIM_EXACT] = "exact", [SCIM_BOOLEAN] = "boolean", [SCIM_DATE] = "date"};
    if (node->op == SCIM_AND || node->op == SCIM_OR || node->op == SCIM_NOT) {
        buffer_printf(out, "{\"op\":\"%s\",\"left\":", node->op == SCIM_AND ? "and" : node->op == SCIM_OR ? "or" : "not");
        write_node(out, node->left);
        if (node->right) {
            buffer_puts(out, ",\"right\":");
            write_node(out, node->right);
        }
        buffer_puts(out, "}");
        return;
    }
    size_t i = 0;
    while (operators[i].op != node->op)
        i++;
    buffer_printf(out, "{\"op\":\"%s\",\"attribute\":\"%s\",\"kind\":\"%s\"", operators[i].name, node->attribute->path,
                  kinds[node->attribute->kind]);
    if (node->op != SCIM_PR) {
        buffer_puts(out, ",\"value\":");
        if (node->value)
            buffer_json_string(out, text_of(node->value));
        else
            buffer_puts(out, "null");
    }
    buffer_puts(out, "}");
}

const char *scim_filter_json(struct arena *arena, const struct scim_node *node)
{
    struct buffer out;
    buffer_init(&out, INT32_MAX); /* a few times the filter, which came in a URL */
    write_node(&out, node);
    const char *json = arena_copy(arena, out.p, out.len);
    buffer_finish(&out);
    return json;
}

const char *scim_filter_demands(const struct scim_node *node, const char *path)
{
    if (node->op == SCIM_EQ)
        return strcmp(node->attribute->path, path) == 0 ? node->value : NULL;
    if (node->op != SCIM_AND)
        return NULL;
    const char *left = scim_filter_demands(node->left, path);
    return left ? left : scim_filter_demands(node->right, path);
}

/* --- Paths ---------------------------------------------------------------------------------------------------------- */

int scim_path_parse(struct arena *arena, struct text path, const struct scim_attribute *known, struct scim_path *ret,
                    struct error *err)
{
    struct parser p = {.arena = arena, .rest = path, .known = known, .err = err};
    struct text name = word(&p);
    *ret = (struct scim_path){.attribute = scim_attribute_name(arena, name)};
    skip(&p, name.len);
    if (name.len && p.rest.len && p.rest.p[0] == '[') {
        skip(&p, 1);
        if (parse_brackets(&p, ret->attribute, &ret->filter) < 0)
            return -1;
        if (p.rest.len && p.rest.p[0] == '.') {
            skip(&p, 1);
            struct text sub = word(&p);
            ret->sub = scim_attribute_name(arena, sub);
            skip(&p, sub.len);
        }
    }
    skip_blanks(&p);
    if (name.len == 0 || p.rest.len || (ret->sub && !*ret->sub))
        return error_set(err, ERROR_INVALID, "invalid_path", "path",
                         "A path is an attribute, name.familyName, or emails[type eq \"work\"].value.");
    return 0;
}
