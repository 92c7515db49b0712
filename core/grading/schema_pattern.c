#include "grading/schema_node.h"
#include <string.h>

/* Steps that a match may take: far above what an honest pattern needs, some milliseconds for a dishonest one.
 */
#define MATCH_LIMIT 200000u
#define PATTERN_MAX 4096u

/* Where a pattern is read: what was before decides whether a '+' is a quantifier's possessive form. */
struct scan {
    const char *p;
    bool in_class, after_quantifier;
};

static const char *scan_escape(struct scan *scan)
{
    /* With the u flag, ECMA-262 knows no other escapes; \v and \c mean something else to PCRE2. */
    char c = *++scan->p;

    if (c == '\0' || !strchr("dDwWsSbBtnrf0123456789xukpP^$\\.*+?()[]{}|/-", c))
        return "an escape that ECMA-262 does not know";
    if (scan->in_class && (c == 'B' || c == 'k'))
        return "an escape that a character class does not know";
    scan->p++;
    return NULL;
}

static const char *scan_group(struct scan *scan)
{
    static const char *const forms[] = {"(?:", "(?=", "(?!", "(?<=", "(?<!", NULL};

    if (scan->p[1] == '*')
        return "a verb that ECMA-262 does not know";
    if (scan->p[1] != '?') {
        scan->p++;
        return NULL;
    }
    for (size_t i = 0; forms[i]; i++)
        if (strncmp(scan->p, forms[i], strlen(forms[i])) == 0) {
            scan->p += strlen(forms[i]);
            return NULL;
        }
    if (scan->p[2] == '<') {
        scan->p += 3;
        return NULL;
    }
    return "a group that ECMA-262 does not know";
}

static const char *scan_class(struct scan *scan)
{
    char c = *scan->p;

    if (c == '\\')
        return scan_escape(scan);
    if (c == '[' && (scan->p[1] == ':' || scan->p[1] == '.' || scan->p[1] == '='))
        return "a POSIX class, which ECMA-262 does not know";
    scan->in_class = c != ']';
    scan->p++;
    return NULL;
}

static const char *scan_quantifier(struct scan *scan)
{
    if (scan->after_quantifier && *scan->p != '?')
        return "a possessive quantifier, which ECMA-262 does not know";
    scan->after_quantifier = !scan->after_quantifier;
    scan->p++;
    return NULL;
}

static const char *scan_braces(struct scan *scan)
{
    size_t len = strspn(scan->p + 1, "0123456789,");

    if (len == 0 || scan->p[1] == ',' || scan->p[1 + len] != '}')
        return "a brace that is no quantifier";
    scan->p += len + 1;
    return scan_quantifier(scan);
}

static const char *scan_one(struct scan *scan)
{
    if (scan->in_class)
        return scan_class(scan);
    if (*scan->p && strchr("*+?", *scan->p))
        return scan_quantifier(scan);
    if (*scan->p == '{')
        return scan_braces(scan);
    scan->after_quantifier = false;
    switch (*scan->p) {
    case '\\':
        return scan_escape(scan);
    case '(':
        return scan_group(scan);
    case ']':
    case '}':
        return "a closing bracket without an opening one";
    case '[':
        scan->in_class = true;
        scan->p++;
        if (*scan->p == '^')
            scan->p++;
        return NULL;
    default:
        scan->p++;
        return NULL;
    }
}

/* What follows an escape, such as {L} of \p{L}, is left to PCRE2. */
static const char *escape_braces(struct scan *scan, const char *start)
{
    if (*start == '\\' && start[1] && strchr("pPu", start[1]) && *scan->p == '{') {
        const char *end = strchr(scan->p, '}');

        if (!end)
            return "an escape whose brace does not close";
        scan->p = end + 1;
    }
    return NULL;
}

static const char *ecma_objection(const char *source)
{
    struct scan scan = {.p = source};

    if (strlen(source) > PATTERN_MAX)
        return "a pattern that is too long";
    while (*scan.p) {
        const char *start = scan.p, *why = scan_one(&scan);

        if (!why)
            why = escape_braces(&scan, start);
        if (why)
            return why;
    }
    return NULL;
}

pcre2_code *schema_pattern_compile(const char *source, const char **ret_why)
{
    const uint32_t options = PCRE2_UTF | PCRE2_NO_UTF_CHECK | PCRE2_DOLLAR_ENDONLY | PCRE2_ALLOW_EMPTY_CLASS |
                             PCRE2_MATCH_UNSET_BACKREF | PCRE2_ALT_BSUX | PCRE2_NEVER_BACKSLASH_C;
    pcre2_compile_context *context;
    pcre2_code *pattern;
    PCRE2_SIZE offset;
    int error;

    *ret_why = ecma_objection(source);
    if (*ret_why)
        return NULL;
    context = pcre2_compile_context_create(NULL);
    if (context) {
        pcre2_set_newline(context, PCRE2_NEWLINE_ANYCRLF);
        pcre2_set_compile_extra_options(context, PCRE2_EXTRA_ALT_BSUX);
    }
    pattern = pcre2_compile((PCRE2_SPTR)source, PCRE2_ZERO_TERMINATED, options, &error, &offset, context);
    pcre2_compile_context_free(context);
    if (!pattern)
        *ret_why = "a pattern that cannot be read";
    return pattern;
}

bool schema_pattern_matches(const pcre2_code *pattern, const char *s, size_t len)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    bool matches = false;

    if (data && context) {
        pcre2_set_match_limit(context, MATCH_LIMIT);
        pcre2_set_heap_limit(context, 16 * 1024);
        matches = pcre2_match(pattern, (PCRE2_SPTR)s, len, 0, PCRE2_NO_UTF_CHECK, data, context) >= 0;
    }
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
    return matches;
}
