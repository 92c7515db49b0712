#include "grading/grade_check.h"
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "grading/host.h"

/* Decimal fractions of thousandths are read to the nearest double, as is the quotient here. */
static bool is_milli(const json_t *number, int64_t milli)
{
    const double value = json_number_value(number), wanted = (double)milli / 1000, off = value - wanted,
                 room = 1e-12 * (wanted > 1 ? wanted : 1);

    return json_is_number(number) && off >= -room && off <= room;
}

static bool is_text(const json_t *value, bool may_be_null)
{
    return json_is_string(value) ? may_be_null || json_string_length(value) > 0 : may_be_null && json_is_null(value);
}

static int compare_code(const void *key, const void *element)
{
    return strcmp(key, *(const char *const *)element);
}

static bool is_code(const json_t *value, const struct manifest *manifest)
{
    return json_is_string(value) && manifest->code_count &&
           bsearch(json_string_value(value), manifest->codes, manifest->code_count, sizeof(*manifest->codes),
                   compare_code);
}

static bool is_verdict(const json_t *value)
{
    static const char *const verdicts[] = {"hit", "miss", "false_positive", "partial", "note"};

    for (size_t i = 0; json_is_string(value) && i < sizeof(verdicts) / sizeof(*verdicts); i++)
        if (strcmp(json_string_value(value), verdicts[i]) == 0)
            return true;
    return false;
}

static bool is_finding(const json_t *finding, const struct manifest *manifest)
{
    static const char *const optional[] = {"answer_pointer", "truth_pointer", "rule", "look_again"};
    const json_t *points = json_object_get(finding, "points"), *max = json_object_get(finding, "max_points");

    if (json_object_size(finding) != 9 || !is_code(json_object_get(finding, "code"), manifest) ||
        !is_verdict(json_object_get(finding, "verdict")) || !json_is_number(points) || !json_is_number(max) ||
        json_number_value(points) > json_number_value(max) || !is_text(json_object_get(finding, "text"), false))
        return false;
    for (size_t i = 0; i < sizeof(optional) / sizeof(*optional); i++)
        if (!is_text(json_object_get(finding, optional[i]), true))
            return false;
    return true;
}

static const char *findings_objection(const json_t *findings, const struct manifest *manifest)
{
    if (!json_is_array(findings) || json_array_size(findings) > HOST_FINDINGS_MAX)
        return "its findings are no list, or too many";
    for (size_t i = 0; i < json_array_size(findings); i++)
        if (!is_finding(json_array_get(findings, i), manifest))
            return "a finding is none";
    return NULL;
}

/* A metric is a number, or null with the reason among the undefined; and no reason is given for anything else. */
static const char *metrics_objection(json_t *metrics, const json_t *undefined)
{
    const char *name;
    json_t *value;
    size_t nulls = 0;

    if (!json_is_object(metrics) || !json_is_object(undefined) || json_object_size(metrics) > HOST_METRICS_MAX)
        return "its metrics are no object, or too many";
    json_object_foreach(metrics, name, value)
    {
        if (json_is_number(value))
            continue;
        if (!json_is_null(value) || !is_text(json_object_get(undefined, name), false))
            return "a metric is neither a number nor undefined for a reason";
        nulls++;
    }
    return nulls == json_object_size(undefined) ? NULL : "there is a reason for a metric that is not undefined";
}

const char *grade_objection(struct arena *arena, const struct manifest *manifest, const struct request *r)
{
    json_t *grade;

    if (r->json.len > HOST_TEXT_MAX)
        return "it is too large";
    if (r->points_milli < 0 || r->points_milli > r->max_points_milli)
        return "its points are not between 0 and the maximum";
    if (json_parse(arena, r->json, &grade, NULL) < 0)
        return "it is not JSON";
    if (!json_is_object(grade) || json_object_size(grade) != 6)
        return "it has not the members of a grade";
    if (!is_milli(json_object_get(grade, "points"), r->points_milli) ||
        !is_milli(json_object_get(grade, "max_points"), r->max_points_milli))
        return "its points are not those of the reply's head";
    const json_t *correct = json_object_get(grade, "correct");

    if (!json_is_boolean(correct) || json_is_true(correct) != r->correct)
        return "correct is not that of the reply's head";
    const char *why = findings_objection(json_object_get(grade, "findings"), manifest);

    return why ? why : metrics_objection(json_object_get(grade, "metrics"), json_object_get(grade, "undefined"));
}
