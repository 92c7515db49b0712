/* plugins/prostate_mri/golden/<case>/{config,truth,answer,expected}.json. expected.json holds every byte of
 * the grade; the table below holds what was worked out by hand, so that a rewritten expectation cannot hide a
 * wrong rule. OVERREAD_GOLDEN_WRITE=1 rewrites expected.json after a change that is meant: read the
 * difference before committing. */
#include "support.h"
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "grading/schema.h"

static const struct expectation {
    const char *name;
    int points, max_points; /* thousandths */
    bool correct;
    const char *codes[6]; /* among the findings */
} expectations[] = {
    {"one_lesion_hit",
     9000,
     9000,
     true,
     {"lesion_found", "zone_right", "sector_right", "category_right", "rule_right"}},
    {"lesion_missed", 0, 9000, false, {"decision_missed_cancer", "lesion_missed", "not_characterised"}},
    {"decision_without_target",
     3000,
     9000,
     false,
     {"decision_right", "decision_without_target", "lesion_missed"}},
    {"false_positive_beside_hit", 7000, 9000, true, {"lesion_found", "false_positive"}},
    {"mislocalised", 4000, 9000, false, {"mislocalised", "not_characterised"}},
    {"wrong_zone",
     7750,
     9000,
     true,
     {"wrong_zone", "sector_wrong", "category_right", "right_category_wrong_rule"}},
    {"sector_partial", 8666, 9000, true, {"sector_partial"}},
    {"over_called", 8000, 9000, true, {"over_called", "rule_right"}},
    {"under_called_dismissed", 5500, 9000, false, {"lesion_dismissed", "under_called"}},
    {"wrong_dominant_sequence", 7500, 9000, true, {"wrong_dominant_sequence", "under_called"}},
    {"scores_inconsistent_with_category", 7500, 9000, true, {"category_rule_mismatch", "over_called"}},
    {"right_category_wrong_rule", 8500, 9000, true, {"category_right", "right_category_wrong_rule"}},
    {"right_category_by_another_row", 8750, 9000, true, {"category_right", "right_category_wrong_rule"}},
    {"tz_3_with_dwi_5_is_4", 9000, 9000, true, {"rule_right"}},
    {"tz_2_with_dwi_4_is_3", 9000, 9000, true, {"rule_right"}},
    {"tz_3_with_dwi_4_called_4", 7500, 9000, true, {"over_called", "wrong_dominant_sequence"}},
    {"pz_3_with_dce_positive_is_4", 9000, 9000, true, {"rule_right"}},
    {"biparametric_pz_3_stays_3", 9000, 9000, true, {"rule_right"}},
    {"inadequate_dwi", 9000, 9000, true, {"category_not_defined"}},
    {"no_cancer_normal", 6000, 6000, true, {"decision_right", "nothing_to_find"}},
    {"no_cancer_overcalled", 1000, 6000, false, {"decision_overcalled", "false_positive"}},
    {"no_cancer_equivocal_mark", 5000, 6000, true, {"false_positive"}},
    {"benign_finding_rated_as_the_expert", 6000, 6000, true, {"benign_finding"}},
    {"benign_finding_overcalled", 5000, 6000, false, {"over_called"}},
    {"two_lesions", 14000, 15000, true, {"lesion_found", "under_called", "category_right"}},
    {"two_lesions_swapped", 14000, 15000, true, {"lesion_found", "under_called", "category_right"}},
    {"one_of_two_lesions", 8000, 15000, false, {"lesion_found", "lesion_missed"}},
    {"out_of_gland", 8000, 9000, true, {"out_of_gland"}},
    {"duplicate_marks", 9000, 9000, true, {"duplicate_mark"}},
    {"marks_everywhere", 0, 9000, false, {"lesion_found", "false_positive", "counts_as_wrong"}},
    {"stroma_judged_as_peripheral", 9000, 9000, true, {"rule_right"}},
    {"stroma_without_stated_origin", 7500, 9000, true, {"over_called", "wrong_dominant_sequence"}},
    {"central_zone", 9000, 9000, true, {"rule_right"}},
    {"outline_overlaps", 9000, 9000, true, {"lesion_found"}},
    {"outline_overlaps_too_little", 4000, 9000, false, {"mislocalised"}},
    {"point_outside_lesion", 4000, 9000, false, {"mislocalised"}},
    {"crescent_measured_from_its_target", 9000, 9000, true, {"lesion_found"}},
    {"everything_asked_and_right",
     13000,
     13000,
     true,
     {"management_right", "index_right", "size_right", "epe_right", "volume_right", "psa_density_right"}},
    {"everything_asked_half_right",
     10000,
     13000,
     true,
     {"management_wrong", "not_answered", "size_wrong", "epe_wrong", "volume_formula_mismatch",
      "probability_contradicts"}},
    {"nothing_asked_only_commented", 9000, 9000, true, {"size_wrong", "epe_wrong", "management_wrong"}},
    {"significant_by_volume", 9000, 9000, true, {"lesion_found"}},
    {"grade_group_unknown", 7000, 7000, true, {"lesion_found", "rule_right"}},
};
enum { EXPECTATIONS = sizeof(expectations) / sizeof(expectations[0]), PATH_SIZE = 1024 };

#define GOLDEN PLUGIN_SOURCE_DIR "/prostate_mri/golden"

static struct bench *bench;

static int open_bench(void **state)
{
    (void)state;
    bench = bench_open("prostate_mri", UINT64_C(32) << 20);
    return 0;
}

static int close_bench(void **state)
{
    (void)state;
    bench_close(bench);
    return 0;
}

static void path_of(char path[PATH_SIZE], const char *name, const char *file)
{
    snprintf(path, PATH_SIZE, GOLDEN "/%s/%s.json", name, file);
}

static json_t *load(const char *name, const char *file)
{
    char path[PATH_SIZE];
    json_error_t error;
    path_of(path, name, file);
    json_t *json = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!json)
        fail_msg("%s: %s", path, error.text);
    return json;
}

static int64_t milli(const json_t *grade, const char *name)
{
    double value = json_number_value(json_object_get(grade, name)) * 1000;
    return (int64_t)(value < 0 ? value - 0.5 : value + 0.5);
}

static void the_findings_points_add_up(const json_t *grade, const char *name)
{
    size_t i;
    json_t *finding;
    int64_t points = 0, max_points = 0;
    json_array_foreach(json_object_get(grade, "findings"), i, finding)
    {
        points += milli(finding, "points");
        max_points += milli(finding, "max_points");
    }
    if (points != milli(grade, "points") || max_points != milli(grade, "max_points"))
        fail_msg("%s: the findings' points do not add up", name);
}

static void check_by_hand(const struct expectation *expected, const json_t *grade)
{
    bool correct = json_is_true(json_object_get(grade, "correct"));
    if (milli(grade, "points") != expected->points || milli(grade, "max_points") != expected->max_points ||
        correct != expected->correct)
        fail_msg("%s: %lld of %lld, correct %d", expected->name, (long long)milli(grade, "points"),
                 (long long)milli(grade, "max_points"), correct);
    for (int i = 0; i < 6 && expected->codes[i]; i++) {
        if (!grade_finding(grade, expected->codes[i]))
            fail_msg("%s: no finding %s", expected->name, expected->codes[i]);
    }
    the_findings_points_add_up(grade, expected->name);
}

static void check_every_byte(const char *name, const json_t *grade)
{
    char path[PATH_SIZE];
    path_of(path, name, "expected");
    if (getenv("OVERREAD_GOLDEN_WRITE"))
        assert_int_equal(json_dump_file(grade, path, JSON_INDENT(2) | JSON_REAL_PRECISION(15)), 0);
    json_t *expected = load(name, "expected");
    if (!json_equal(expected, (json_t *)(uintptr_t)grade))
        fail_msg("%s: the grade differs from expected.json", name);
    json_decref(expected);
}

static void each_golden_case_is_graded_as_expected(void **state)
{
    (void)state;
    for (size_t i = 0; i < EXPECTATIONS; i++) {
        const char *name = expectations[i].name;
        json_t *config = load(name, "config"), *truth = load(name, "truth"), *answer = load(name, "answer");
        json_t *grade = bench_grade(bench, config, truth, answer);
        check_by_hand(&expectations[i], grade);
        check_every_byte(name, grade);
        json_decref(grade);
        json_decref(config);
        json_decref(truth);
        json_decref(answer);
    }
}

static void each_golden_truth_and_answer_passes_the_plugins_own_checks(void **state)
{
    (void)state;
    for (size_t i = 0; i < EXPECTATIONS; i++) {
        const char *name = expectations[i].name;
        json_t *config = load(name, "config"), *truth = load(name, "truth"), *answer = load(name, "answer");
        const struct host_result *result = bench_run_json(bench, HOST_CHECK_TRUTH, config, truth, NULL);
        if (result->status != HOST_OK)
            fail_msg("%s: truth %s: %s", name, result->pointer, result->text.p);
        result = bench_run_json(bench, HOST_CHECK_ANSWER, config, NULL, answer);
        if (result->status != HOST_OK)
            fail_msg("%s: answer %s: %s", name, result->pointer, result->text.p);
        json_decref(config);
        json_decref(truth);
        json_decref(answer);
    }
}

static struct schema *schema_of(const json_t *manifest, const char *which)
{
    struct error err = {0};
    struct schema *schema = schema_create(json_object_get(json_object_get(manifest, "schemas"), which), &err);
    if (!schema)
        fail_msg("%s: %s %s", which, err.field, err.detail);
    return schema;
}

static void each_golden_file_is_valid_by_its_schema(void **state)
{
    static const char *const files[] = {"config", "truth", "answer"};
    json_t *manifest =
        json_load_file(PLUGIN_SOURCE_DIR "/prostate_mri/manifest.json", JSON_REJECT_DUPLICATES, NULL);
    (void)state;
    assert_non_null(manifest);
    for (size_t f = 0; f < 3; f++) {
        struct schema *schema = schema_of(manifest, files[f]);
        for (size_t i = 0; i < EXPECTATIONS; i++) {
            struct error err = {0};
            json_t *json = load(expectations[i].name, files[f]);
            if (schema_validate(schema, json, "", &err) < 0)
                fail_msg("%s/%s: %s %s", expectations[i].name, files[f], err.field, err.detail);
            json_decref(json);
        }
        schema_destroy(schema);
    }
    json_decref(manifest);
}

static void no_golden_case_lies_there_unread(void **state)
{
    size_t folders = 0;
    DIR *golden = opendir(GOLDEN);
    (void)state;
    assert_non_null(golden);
    for (struct dirent *entry = readdir(golden); entry; entry = readdir(golden))
        folders += entry->d_name[0] != '.';
    closedir(golden);
    assert_int_equal(folders, EXPECTATIONS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_golden_case_is_graded_as_expected),
        cmocka_unit_test(each_golden_truth_and_answer_passes_the_plugins_own_checks),
        cmocka_unit_test(each_golden_file_is_valid_by_its_schema),
        cmocka_unit_test(no_golden_case_lies_there_unread),
    };
    return cmocka_run_group_tests(tests, open_bench, close_bench);
}
