#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "base/mem.h"
#include "grading/grade_check.h"
#include "grading/host_grade.h"

#define FINDING                                                                                              \
    "{\"code\":\"found\",\"verdict\":\"hit\",\"points\":1.500,\"max_points\":2.000,\"answer_pointer\":\"/"   \
    "a\","                                                                                                   \
    "\"truth_pointer\":null,\"text\":\"H\u00e9 \\\"\\u001f\\\\\",\"rule\":\"\",\"look_again\":null}"
#define HEAD "{\"points\":1.500,\"max_points\":2.000,\"correct\":true,\"findings\":["
#define METRICS                                                                                              \
    "],\"metrics\":{\"a\":-0.500000,\"b\":null,\"c\":null},\"undefined\":{\"b\":\"no "                       \
    "mark\",\"c\":\"none\"}}"

static const char *const codes[] = {"f", "found", "founded"};
static const struct manifest manifest = {.codes = codes, .code_count = 3};

static const char *objection(const char *json)
{
    const struct request r = {
        .json = text_of(json), .correct = true, .points_milli = 1500, .max_points_milli = 2000};

    return grade_objection(&manifest, &r);
}

static void what_the_host_writes_is_a_grade(void **state)
{
    static const overread_finding findings[] = {
        {.verdict = OVERREAD_HIT,
         .points_milli = -500,
         .max_points_milli = 0,
         .code = "found",
         .text = "Tab\t, quote\", \u2028 and \U0001f9e0.",
         .rule = "",
         .answer_pointer = ""},
        {.verdict = OVERREAD_NOTE, .code = "f", .text = "x", .look_again = "back\\slash \x01\x7f"},
        {.verdict = OVERREAD_FALSE_POSITIVE, .code = "founded", .text = "x", .max_points_milli = INT32_MAX}};
    static const overread_metric metrics[] = {{.name = "a", .value_micro = INT64_MIN + 1, .defined = 1},
                                              {.name = "b", .reason = "it is not"},
                                              {.name = "c", .value_micro = INT64_MAX, .defined = 1},
                                              {.name = "d", .reason = "nor is it"}};
    const overread_value empty = {.type = OVERREAD_OBJECT};
    const overread_input input = {.answer = &empty, .truth = &empty};
    const struct host_rules rules = {.codes = codes, .code_count = 3};
    struct buffer text;

    (void)state;
    buffer_init(&text, HOST_TEXT_MAX);
    for (uint32_t f = 0; f <= 3; f++)
        for (uint32_t m = 0; m <= 4; m++) {
            const overread_grade grade = {.points_milli = 1500,
                                          .max_points_milli = 2000,
                                          .correct = 1,
                                          .findings = findings,
                                          .finding_count = f,
                                          .metrics = metrics,
                                          .metric_count = m};

            buffer_clear(&text);
            assert_null(host_write_grade(&text, &rules, &input, &grade));
            assert_null(objection(text.p));
        }
    buffer_finish(&text);
    assert_null(objection(HEAD FINDING "," FINDING METRICS));
}

static void what_no_host_writes_is_none(void **state)
{
    static const char *const texts[] = {
        "",
        "{}",
        "[]",
        HEAD FINDING "," METRICS,
        HEAD FINDING FINDING METRICS,
        HEAD FINDING METRICS " ",
        HEAD METRICS "}",
        HEAD "null" METRICS,
        "{\"points\":1.5,\"max_points\":2.000,\"correct\":true,\"findings\":[" METRICS,
        "{\"points\":1.501,\"max_points\":2.000,\"correct\":true,\"findings\":[" METRICS,
        "{\"points\":01.500,\"max_points\":2.000,\"correct\":true,\"findings\":[" METRICS,
        "{\"points\":1.500,\"max_points\":3.000,\"correct\":true,\"findings\":[" METRICS,
        "{\"points\":1.500,\"max_points\":2.000,\"correct\":false,\"findings\":[" METRICS,
        HEAD "],\"metrics\":{\"a\":1.000000,\"a\":2.000000},\"undefined\":{}}",
        HEAD "],\"metrics\":{\"a\":1.0},\"undefined\":{}}",
        HEAD "],\"metrics\":{\"a\":.000000},\"undefined\":{}}",
        HEAD "],\"metrics\":{\"a\":1e9},\"undefined\":{}}",
        HEAD "],\"metrics\":{\"a\":null},\"undefined\":{}}",
        HEAD "],\"metrics\":{\"a\":null},\"undefined\":{\"a\":\"\"}}",
        HEAD "],\"metrics\":{\"a\":null},\"undefined\":{\"b\":\"why\"}}",
        HEAD "],\"metrics\":{\"a\":1.000000},\"undefined\":{\"a\":\"why\"}}",
        HEAD "],\"metrics\":{},\"undefined\":{},\"more\":1}",
        HEAD "],\"metrics\":{},\"undefined\":{}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (!objection(texts[i]))
            fail_msg("taken for a grade: %s", texts[i]);
}

/* One member of a finding replaced. */
static void a_finding_is_what_the_manifest_and_the_abi_know(void **state)
{
    static const struct {
        const char *from, *to;
    } changes[] = {
        {"\"found\"", "\"lost\""},
        {"\"found\"", "\"foun\""},
        {"\"found\"", "\"\""},
        {"\"found\"", "null"},
        {"\"hit\"", "\"great\""},
        {"1.500", "2.001"},
        {"1.500", "\"1.500\""},
        {"2.000", "-0.001"},
        {"\"/a\"", "1"},
        {"\"H\u00e9", "\"\xc3("},
        {"\"H\u00e9", "\"\xed\xa0\x80"},
        {"\\u001f", "\\u0000"},
        {"\\u001f", "\\ud800"},
        {"\\u001f", "\\x"},
        {"\\u001f", "\n"},
        {"H\u00e9 \\\"\\u001f\\\\", ""},
        {"null}", "null,\"x\":1}"},
        {"\"rule\":\"\",", ""},
        {"\\\\\"", "\\\""},
    };
    char finding[sizeof(FINDING) + 32], json[2000];

    (void)state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        const char *at = strstr(FINDING, changes[i].from);

        assert_non_null(at);
        snprintf(finding, sizeof(finding), "%.*s%s%s", (int)(at - FINDING), FINDING, changes[i].to,
                 at + strlen(changes[i].from));
        snprintf(json, sizeof(json), "%s%s%s", HEAD, finding, METRICS);
        if (!objection(json))
            fail_msg("taken for a grade: %s", json);
    }
}

static void a_grade_that_is_cut_short_is_none(void **state)
{
    static const char whole[] = HEAD FINDING METRICS;

    (void)state;
    assert_null(objection(whole));
    for (size_t len = 0; len < sizeof(whole) - 1; len++) {
        char *cut = mem_alloc(len + 1); /* so that a sanitizer sees who reads on */
        const struct request r = {.json = {.p = memcpy(cut, whole, len), .len = len},
                                  .correct = true,
                                  .points_milli = 1500,
                                  .max_points_milli = 2000};

        assert_non_null(grade_objection(&manifest, &r));
        mem_free(cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_host_writes_is_a_grade),
        cmocka_unit_test(what_no_host_writes_is_none),
        cmocka_unit_test(a_finding_is_what_the_manifest_and_the_abi_know),
        cmocka_unit_test(a_grade_that_is_cut_short_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
