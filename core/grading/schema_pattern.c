#include "grading/schema_node.h"
#include <string.h>
#include "base/text.h"

/* Steps that a match may take: far above what an honest pattern needs, some milliseconds for a dishonest one.
 */
#define MATCH_LIMIT 200000u
#define PATTERN_MAX 4096u
#define TRANSLATED_MAX (PATTERN_MAX * 128u)

/* WhiteSpace and LineTerminator of ECMA-262, all other code points, and LineTerminator alone: what PCRE2
 * means by \s, \S and a dot is another thing beyond ASCII. */
#define BLANKS "\\u0009-\\u000d\\u0020\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000\\ufeff"
#define NO_BLANKS                                                                                            \
    "\\u0000-\\u0008\\u000e-\\u001f\\u0021-\\u009f\\u00a1-\\u167f\\u1681-\\u1fff\\u200b-\\u2027\\u202a-"     \
    "\\u202e"                                                                                                \
    "\\u2030-\\u205e\\u2060-\\u2fff\\u3001-\\ufefe\\uff00-\\u{10ffff}"
#define LINE_ENDS "\\u000a\\u000d\\u2028\\u2029"

/* What stands before, in a class: a set such as \d is neither end of a range, which PCRE2 would take for
 * three things side by side. */
enum class_place { CLASS_NOTHING, CLASS_ATOM, CLASS_SET, CLASS_RANGE };

/* Where a pattern is read: what was before decides whether a '+' is a quantifier's possessive form. */
struct scan {
    const char *p;
    bool in_class, after_quantifier;
    enum class_place place;
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

static const char *place_in_class(struct scan *scan, bool is_set)
{
    bool dash = scan->p[0] == '-' && scan->p[1] != ']';

    if ((is_set && scan->place == CLASS_RANGE) || (dash && scan->place == CLASS_SET))
        return "a set as the end of a range";
    if (is_set)
        scan->place = CLASS_SET;
    else if (dash && scan->place == CLASS_ATOM)
        scan->place = CLASS_RANGE;
    else
        scan->place = scan->place == CLASS_RANGE ? CLASS_NOTHING : CLASS_ATOM;
    return NULL;
}

static const char *scan_class(struct scan *scan)
{
    char c = *scan->p;
    const char *why = place_in_class(scan, c == '\\' && scan->p[1] && strchr("dDwWsSpP", scan->p[1]));

    if (why || c == '\\')
        return why ? why : scan_escape(scan);
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
        scan->place = CLASS_NOTHING;
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

/* What was read, from start to end, in PCRE2's words. */
static void translate(struct buffer *out, bool in_class, const char *start, const char *end)
{
    bool blanks = strncmp(start, "\\s", 2) == 0, others = strncmp(start, "\\S", 2) == 0;

    if (*start == '.' && !in_class)
        buffer_puts(out, "[^" LINE_ENDS "]");
    else if (in_class && (blanks || others))
        buffer_puts(out, blanks ? BLANKS : NO_BLANKS);
    else if (blanks || others)
        buffer_puts(out, blanks ? "[" BLANKS "]" : "[" NO_BLANKS "]");
    else
        buffer_add(out, start, (size_t)(end - start));
}

/* NULL, or why it is none of ECMA-262's. */
static const char *translate_all(const char *source, struct buffer *out)
{
    struct scan scan = {.p = source};

    if (strlen(source) > PATTERN_MAX)
        return "a pattern that is too long";
    while (*scan.p) {
        bool in_class = scan.in_class;
        const char *start = scan.p, *why = scan_one(&scan);

        if (!why)
            why = escape_braces(&scan, start);
        if (why)
            return why;
        translate(out, in_class, start, scan.p);
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
    struct buffer translated;

    buffer_init(&translated, TRANSLATED_MAX);
    *ret_why = translate_all(source, &translated);
    if (*ret_why) {
        buffer_finish(&translated);
        return NULL;
    }
    context = pcre2_compile_context_create(NULL);
    if (context) {
        pcre2_set_compile_extra_options(context, PCRE2_EXTRA_ALT_BSUX);
    }
    pattern = pcre2_compile((PCRE2_SPTR)(translated.p ? translated.p : ""), translated.len, options, &error,
                            &offset, context);
    buffer_finish(&translated);
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
