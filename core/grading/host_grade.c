#include "grading/host_grade.h"
#include <stdlib.h>
#include <string.h>

#define STRING_MAX 65536u

static bool utf8(const char *s, size_t len)
{
    for (size_t i = 0; (i += text_plain(s + i, len - i)) < len;) {
        size_t step = text_utf8_sequence((const unsigned char *)s + i, len - i);

        if (step == 0)
            return false;
        i += step;
    }
    return true;
}

bool host_utf8(const char *s)
{
    return utf8(s, strlen(s));
}

bool host_pointer_syntax(const char *pointer)
{
    if (pointer[0] != '\0' && pointer[0] != '/')
        return false;
    for (const char *p = pointer; *p; p++)
        if (*p == '~' && p[1] != '0' && p[1] != '1')
            return false;
    return host_utf8(pointer);
}

/* Compares a name with the token at p, which ends at '/' or NUL and is escaped. */
static bool token_is(const char *p, const char *name)
{
    for (; *p && *p != '/'; p++, name++) {
        char c = *p;

        if (c == '~')
            c = *++p == '0' ? '~' : '/';
        if (c != *name)
            return false;
    }
    return *name == '\0';
}

static const overread_value *step_object(const overread_value *at, const char *token)
{
    for (uint32_t i = 0; i < at->count; i++)
        if (token_is(token, at->as.members[i].name))
            return &at->as.members[i].value;
    return NULL;
}

static const overread_value *step_array(const overread_value *at, const char *token)
{
    uint64_t index = 0;
    const char *p = token;

    for (; *p >= '0' && *p <= '9' && index < UINT32_MAX; p++)
        index = index * 10 + (uint64_t)(*p - '0');
    if (p == token || (*p != '\0' && *p != '/') || (token[0] == '0' && p != token + 1) || index >= at->count)
        return NULL;
    return &at->as.items[index];
}

bool host_pointer_resolves(const char *pointer, const overread_value *tree)
{
    if (!host_pointer_syntax(pointer))
        return false;
    while (tree && *pointer) {
        const char *token = pointer + 1;

        if (tree->type == OVERREAD_OBJECT)
            tree = step_object(tree, token);
        else if (tree->type == OVERREAD_ARRAY)
            tree = step_array(tree, token);
        else
            return false;
        pointer = token + strcspn(token, "/");
    }
    return tree != NULL;
}

/* --- Rules
 * ------------------------------------------------------------------------------------------------------ */

static bool good_string(const char *s, bool required)
{
    if (!s)
        return !required;
    size_t len = strnlen(s, STRING_MAX);
    return (!required || len > 0) && len < STRING_MAX && utf8(s, len);
}

static int compare_code(const void *key, const void *element)
{
    return strcmp(key, *(const char *const *)element);
}

static const char *finding_bug(const struct host_rules *rules, const overread_input *input,
                               const overread_finding *finding)
{
    if (!finding->code || !rules->code_count ||
        !bsearch(finding->code, rules->codes, rules->code_count, sizeof(*rules->codes), compare_code))
        return "a finding's code is not in the manifest";
    if (finding->verdict < OVERREAD_HIT || finding->verdict > OVERREAD_NOTE)
        return "a finding's verdict is unknown";
    if (finding->reserved != 0)
        return "a finding's reserved member is not 0";
    if (finding->points_milli > finding->max_points_milli)
        return "a finding has more points than it can earn";
    if (!good_string(finding->text, true))
        return "a finding has no text, or one that is too long or not UTF-8";
    if (!good_string(finding->rule, false) || !good_string(finding->look_again, false))
        return "a finding's rule or look_again is too long or not UTF-8";
    if (finding->answer_pointer && !host_pointer_resolves(finding->answer_pointer, input->answer))
        return "a finding's answer pointer leads nowhere";
    if (finding->truth_pointer && !host_pointer_resolves(finding->truth_pointer, input->truth))
        return "a finding's truth pointer leads nowhere";
    return NULL;
}

static bool good_name(const char *s)
{
    size_t len = s ? strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_") : 0;

    return len > 0 && len <= 64 && s[len] == '\0';
}

static const char *metric_bug(const overread_grade *grade, uint32_t at)
{
    const overread_metric *metric = &grade->metrics[at];

    if (!good_name(metric->name))
        return "a metric's name is not of the form a-z, 0-9, _";
    for (uint32_t i = 0; i < at; i++)
        if (strcmp(grade->metrics[i].name, metric->name) == 0)
            return "two metrics have one name";
    if (metric->defined > 1 || metric->reserved != 0)
        return "a metric's defined or reserved member is out of range";
    if (metric->defined == 0 && !good_string(metric->reason, true))
        return "an undefined metric gives no reason";
    return NULL;
}

static const char *grade_bug(const overread_grade *grade)
{
    if (grade->correct > 1)
        return "correct is neither 0 nor 1";
    if (grade->points_milli < 0 || grade->points_milli > grade->max_points_milli)
        return "the points are not between 0 and the maximum";
    if (grade->finding_count > HOST_FINDINGS_MAX || (grade->finding_count > 0 && !grade->findings))
        return "the findings are too many, or missing";
    if (grade->metric_count > HOST_METRICS_MAX || (grade->metric_count > 0 && !grade->metrics))
        return "the metrics are too many, or missing";
    return NULL;
}

/* --- Writing
 * ---------------------------------------------------------------------------------------------------- */

static void add_fixed(struct buffer *out, int64_t value, unsigned decimals)
{
    char digits[24];
    size_t at = sizeof(digits);
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    for (unsigned i = 0; i <= decimals || rest > 0; i++) {
        if (i == decimals)
            digits[--at] = '.';
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    }
    if (value < 0)
        digits[--at] = '-';
    buffer_add(out, digits + at, sizeof(digits) - at);
}

static void add_string(struct buffer *out, const char *label, const char *s)
{
    buffer_puts(out, label);
    if (s)
        buffer_json_string(out, text_of(s));
    else
        buffer_add(out, "null", 4);
}

static void add_finding(struct buffer *out, const overread_finding *finding)
{
    static const char *const verdicts[] = {[OVERREAD_HIT] = "\"hit\"",
                                           [OVERREAD_MISS] = "\"miss\"",
                                           [OVERREAD_FALSE_POSITIVE] = "\"false_positive\"",
                                           [OVERREAD_PARTIAL] = "\"partial\"",
                                           [OVERREAD_NOTE] = "\"note\""};

    add_string(out, "{\"code\":", finding->code);
    buffer_puts(out, ",\"verdict\":");
    buffer_puts(out, verdicts[finding->verdict]);
    buffer_puts(out, ",\"points\":");
    add_fixed(out, finding->points_milli, 3);
    buffer_puts(out, ",\"max_points\":");
    add_fixed(out, finding->max_points_milli, 3);
    add_string(out, ",\"answer_pointer\":", finding->answer_pointer);
    add_string(out, ",\"truth_pointer\":", finding->truth_pointer);
    add_string(out, ",\"text\":", finding->text);
    add_string(out, ",\"rule\":", finding->rule);
    add_string(out, ",\"look_again\":", finding->look_again);
    buffer_add(out, "}", 1);
}

static const char *add_findings(struct buffer *out, const struct host_rules *rules,
                                const overread_input *input, const overread_grade *grade)
{
    buffer_puts(out, ",\"findings\":[");
    for (uint32_t i = 0; i < grade->finding_count; i++) {
        const char *bug = finding_bug(rules, input, &grade->findings[i]);

        if (bug)
            return bug;
        if (i > 0)
            buffer_add(out, ",", 1);
        add_finding(out, &grade->findings[i]);
    }
    return NULL;
}

static const char *add_metrics(struct buffer *out, const overread_grade *grade)
{
    bool first = true;

    buffer_puts(out, "],\"metrics\":{");
    for (uint32_t i = 0; i < grade->metric_count; i++) {
        const overread_metric *metric = &grade->metrics[i];
        const char *bug = metric_bug(grade, i);

        if (bug)
            return bug;
        add_string(out, i > 0 ? "," : "", metric->name);
        buffer_add(out, ":", 1);
        if (metric->defined)
            add_fixed(out, metric->value_micro, 6);
        else
            buffer_add(out, "null", 4);
    }
    buffer_puts(out, "},\"undefined\":{");
    for (uint32_t i = 0; i < grade->metric_count; i++) {
        const overread_metric *metric = &grade->metrics[i];

        if (metric->defined)
            continue;
        add_string(out, first ? "" : ",", metric->name);
        add_string(out, ":", metric->reason);
        first = false;
    }
    buffer_puts(out, "}}");
    return NULL;
}

const char *host_write_grade(struct buffer *out, const struct host_rules *rules, const overread_input *input,
                             const overread_grade *grade)
{
    const char *bug = grade_bug(grade);

    if (bug)
        return bug;
    buffer_puts(out, "{\"points\":");
    add_fixed(out, grade->points_milli, 3);
    buffer_puts(out, ",\"max_points\":");
    add_fixed(out, grade->max_points_milli, 3);
    buffer_puts(out, grade->correct ? ",\"correct\":true" : ",\"correct\":false");
    bug = add_findings(out, rules, input, grade);
    if (!bug)
        bug = add_metrics(out, grade);
    if (!bug && out->failed)
        bug = "the grade is too large";
    return bug;
}
