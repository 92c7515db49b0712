#include "golden.h"
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "grading/schema.h"
#include "support.h"

enum { PATH_SIZE = 1024 };

/* The group under test. */
static const struct expectation *expectations;
static size_t expectation_count;

static void path_of(char path[PATH_SIZE], const char *name, const char *file)
{
    snprintf(path, PATH_SIZE, PLUGIN_SOURCE_DIR "/" PLUGIN "/golden/%s/%s.json", name, file);
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

static json_t *load_manifest(void)
{
    json_t *manifest =
        json_load_file(PLUGIN_SOURCE_DIR "/" PLUGIN "/manifest.json", JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(manifest);
    return manifest;
}

static void the_findings_points_add_up(const json_t *grade, const char *name)
{
    size_t i;
    json_t *finding;
    int64_t points = 0, max_points = 0;
    json_array_foreach(json_object_get(grade, "findings"), i, finding)
    {
        points += grade_milli(finding, "points");
        max_points += grade_milli(finding, "max_points");
    }
    if (points != grade_milli(grade, "points") || max_points != grade_milli(grade, "max_points"))
        fail_msg("%s: the findings' points do not add up", name);
}

static void check_by_hand(const struct expectation *expected, const json_t *grade)
{
    bool correct = json_is_true(json_object_get(grade, "correct"));
    if (grade_milli(grade, "points") != expected->points ||
        grade_milli(grade, "max_points") != expected->max_points || correct != expected->correct)
        fail_msg("%s: %lld of %lld, correct %d", expected->name, (long long)grade_milli(grade, "points"),
                 (long long)grade_milli(grade, "max_points"), correct);
    for (int i = 0; i < GOLDEN_CODES && expected->codes[i]; i++) {
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
    for (size_t i = 0; i < expectation_count; i++) {
        const char *name = expectations[i].name;
        json_t *config = load(name, "config"), *truth = load(name, "truth"), *answer = load(name, "answer");
        json_t *grade = bench_grade(config, truth, answer);
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
    for (size_t i = 0; i < expectation_count; i++) {
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
    (void)state;
    json_t *manifest = load_manifest();
    for (size_t f = 0; f < 3; f++) {
        struct schema *schema = schema_of(manifest, files[f]);
        for (size_t i = 0; i < expectation_count; i++) {
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
    (void)state;
    DIR *golden = opendir(PLUGIN_SOURCE_DIR "/" PLUGIN "/golden");
    assert_non_null(golden);
    for (struct dirent *entry = readdir(golden); entry; entry = readdir(golden))
        folders += entry->d_name[0] != '.';
    closedir(golden);
    assert_int_equal(folders, expectation_count);
}

static void each_code_of_the_manifest_is_in_a_golden_case(void **state)
{
    json_t *manifest = load_manifest(), *codes = json_object_get(manifest, "findings"), *title;
    const char *code;
    (void)state;
    assert_true(json_object_size(codes) > 0);
    json_object_foreach(codes, code, title)
    {
        bool seen = false;
        for (size_t i = 0; i < expectation_count && !seen; i++) {
            json_t *expected = load(expectations[i].name, "expected");
            seen = grade_finding(expected, code) != NULL;
            json_decref(expected);
        }
        if (!seen)
            fail_msg("no golden case has the finding %s", code);
    }
    json_decref(manifest);
}

static bool is_error(const json_t *finding)
{
    const char *verdict = json_string_value(json_object_get(finding, "verdict"));
    return strcmp(verdict, "hit") != 0 && strcmp(verdict, "note") != 0;
}

static void each_error_names_the_rule_that_decided_and_what_to_look_at_again(void **state)
{
    size_t errors = 0;
    (void)state;
    for (size_t i = 0; i < expectation_count; i++) {
        json_t *expected = load(expectations[i].name, "expected"), *finding;
        size_t k;
        json_array_foreach(json_object_get(expected, "findings"), k, finding)
        {
            const char *code = json_string_value(json_object_get(finding, "code"));
            if (!json_is_string(json_object_get(finding, "rule")))
                fail_msg("%s: %s has no rule", expectations[i].name, code);
            if (!is_error(finding))
                continue;
            errors++;
            if (!json_is_string(json_object_get(finding, "look_again")))
                fail_msg("%s: %s does not say what to look at again", expectations[i].name, code);
        }
        json_decref(expected);
    }
    assert_true(errors > 0);
}

int golden_run(const struct expectation *table, size_t count)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_golden_case_is_graded_as_expected),
        cmocka_unit_test(each_golden_truth_and_answer_passes_the_plugins_own_checks),
        cmocka_unit_test(each_golden_file_is_valid_by_its_schema),
        cmocka_unit_test(no_golden_case_lies_there_unread),
        cmocka_unit_test(each_code_of_the_manifest_is_in_a_golden_case),
        cmocka_unit_test(each_error_names_the_rule_that_decided_and_what_to_look_at_again),
    };
    expectations = table;
    expectation_count = count;
    return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}
