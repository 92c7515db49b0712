#include "grading/grade_check.h"
#include <stdlib.h>
#include <string.h>
#include "grading/host.h"

/* The text is read once and not made into a tree, which would cost the event loop more than the grading costs
 * the worker. That is possible since host_grade.c has one way to write a grade, to the byte. */
struct cursor {
    const char *p, *end;
};

static bool take(struct cursor *at, const char *words)
{
    size_t len = strlen(words);

    if ((size_t)(at->end - at->p) < len || memcmp(at->p, words, len) != 0)
        return false;
    at->p += len;
    return true;
}

/* At least one digit before the point and `decimals` behind it. Saturates, which no true number does. */
static bool take_fixed(struct cursor *at, unsigned decimals, int64_t *ret)
{
    const bool negative = take(at, "-");
    const char *start = at->p;
    unsigned behind = 0;
    int64_t value = 0;

    for (bool point = false; at->p < at->end && behind < decimals; at->p++) {
        if (*at->p == '.' && !point && at->p > start) {
            point = true;
            continue;
        }
        if (*at->p < '0' || *at->p > '9')
            return false;
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *at->p - '0', &value))
            value = INT64_MAX;
        behind += point;
    }
    *ret = negative ? -value : value;
    return behind == decimals && !(start[0] == '0' && start[1] != '.');
}

/* What stands behind a backslash. */
static size_t escape_len(const char *p, size_t left)
{
    if (left > 0 && strchr("\"\\/bfnrt", *p) && *p)
        return 1;
    if (left < 5 || *p != 'u')
        return 0;
    for (size_t i = 1; i < 5; i++)
        if (!strchr("0123456789abcdefABCDEF", p[i]) || !p[i])
            return 0;
    /* Of these, only control characters are written so; neither a NUL nor half of a pair may be. */
    return p[1] == '0' && p[2] == '0' && memcmp(p + 1, "0000", 4) != 0 ? 5 : 0;
}

/* ret: what stands between the quotes, as it is written. */
static bool take_string(struct cursor *at, struct text *ret)
{
    if (!take(at, "\""))
        return false;
    const char *start = at->p;

    while ((at->p += text_plain(at->p, (size_t)(at->end - at->p))) < at->end && *at->p != '"') {
        size_t left = (size_t)(at->end - at->p),
               len = *at->p == '\\' ? escape_len(at->p + 1, left - 1)
                                    : text_utf8_sequence((const unsigned char *)at->p, left);

        if (len == 0 || (unsigned char)*at->p < 0x20)
            return false;
        at->p += len + (*at->p == '\\');
    }
    *ret = (struct text){.p = start, .len = (size_t)(at->p - start)};
    return take(at, "\"");
}

static bool take_words(struct cursor *at, const char *label)
{
    struct text words;

    return take(at, label) && take_string(at, &words) && words.len > 0;
}

static bool take_words_or_null(struct cursor *at, const char *label)
{
    struct text words;

    return take(at, label) && (take(at, "null") || take_string(at, &words));
}

static int compare_code(const void *key, const void *element)
{
    const struct text *code = key;
    const char *of_manifest = *(const char *const *)element;
    int order = strncmp(code->p, of_manifest, code->len);

    return order ? order : -(of_manifest[code->len] != '\0');
}

static bool take_code(struct cursor *at, const struct manifest *manifest)
{
    struct text code;

    return take_string(at, &code) && manifest->code_count > 0 &&
           bsearch(&code, manifest->codes, manifest->code_count, sizeof(*manifest->codes), compare_code);
}

static bool take_verdict(struct cursor *at)
{
    return take(at, "\"hit\"") || take(at, "\"miss\"") || take(at, "\"false_positive\"") ||
           take(at, "\"partial\"") || take(at, "\"note\"");
}

static bool take_finding(struct cursor *at, const struct manifest *manifest)
{
    int64_t points, max;

    return take(at, "{\"code\":") && take_code(at, manifest) && take(at, ",\"verdict\":") &&
           take_verdict(at) && take(at, ",\"points\":") && take_fixed(at, 3, &points) &&
           take(at, ",\"max_points\":") && take_fixed(at, 3, &max) && points <= max &&
           take_words_or_null(at, ",\"answer_pointer\":") && take_words_or_null(at, ",\"truth_pointer\":") &&
           take_words(at, ",\"text\":") && take_words_or_null(at, ",\"rule\":") &&
           take_words_or_null(at, ",\"look_again\":") && take(at, "}");
}

static bool take_findings(struct cursor *at, const struct manifest *manifest)
{
    size_t count = 0;

    if (take(at, "]"))
        return true;
    do {
        if (++count > HOST_FINDINGS_MAX || !take_finding(at, manifest))
            return false;
    } while (take(at, ","));
    return take(at, "]");
}

struct metrics {
    struct text names[HOST_METRICS_MAX];
    size_t count;
    size_t undefined[HOST_METRICS_MAX], undefined_count; /* indices of names */
};

static bool take_name(struct cursor *at, struct metrics *m)
{
    struct text name;

    if (m->count == HOST_METRICS_MAX || !take_string(at, &name) || name.len == 0)
        return false;
    for (size_t i = 0; i < m->count; i++)
        if (text_equal(m->names[i], name))
            return false;
    m->names[m->count++] = name;
    return take(at, ":");
}

static bool take_metrics(struct cursor *at, struct metrics *m)
{
    int64_t value;

    if (take(at, "}"))
        return true;
    do {
        if (!take_name(at, m))
            return false;
        if (take(at, "null"))
            m->undefined[m->undefined_count++] = m->count - 1;
        else if (!take_fixed(at, 6, &value))
            return false;
    } while (take(at, ","));
    return take(at, "}");
}

/* A reason for each metric that is null, in their order, and for no other. */
static bool take_reasons(struct cursor *at, const struct metrics *m)
{
    struct text name;

    for (size_t i = 0; i < m->undefined_count; i++)
        if ((i > 0 && !take(at, ",")) || !take_string(at, &name) ||
            !text_equal(name, m->names[m->undefined[i]]) || !take_words(at, ":"))
            return false;
    return take(at, "}}");
}

const char *grade_objection(const struct manifest *manifest, const struct request *r)
{
    static _Thread_local struct metrics metrics; /* large for a fiber's stack, and nothing here waits */
    struct cursor at = {.p = r->json.p, .end = r->json.p + r->json.len};
    int64_t points, max;

    metrics.count = metrics.undefined_count = 0;
    if (r->json.len > HOST_TEXT_MAX)
        return "it is too large";
    if (r->points_milli < 0 || r->points_milli > r->max_points_milli)
        return "its points are not between 0 and the maximum";
    if (!take(&at, "{\"points\":") || !take_fixed(&at, 3, &points) || !take(&at, ",\"max_points\":") ||
        !take_fixed(&at, 3, &max) || points != r->points_milli || max != r->max_points_milli)
        return "its points are not those of the reply's head";
    if (!take(&at, r->correct ? ",\"correct\":true" : ",\"correct\":false"))
        return "correct is not that of the reply's head";
    if (!take(&at, ",\"findings\":[") || !take_findings(&at, manifest))
        return "its findings are no list, too many, or one is none";
    if (!take(&at, ",\"metrics\":{") || !take_metrics(&at, &metrics))
        return "a metric is neither a number nor undefined";
    if (!take(&at, ",\"undefined\":{") || !take_reasons(&at, &metrics) || at.p != at.end)
        return "an undefined metric lacks its reason, or something stands behind the grade";
    return NULL;
}
