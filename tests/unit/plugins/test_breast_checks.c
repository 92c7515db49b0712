/* Mammography's check_truth and check_answer through the host: what is refused, and the place that is named.
 */
#include "support.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define VIEW "{\"size_mm\":[180,240],\"pixels\":[300,400]}"
#define CONFIG_OF(views)                                                                                     \
    "{\"views\":{" views "},\"match\":{\"mode\":\"distance\",\"distance_mm\":15},"                           \
    "\"recall_rule\":\"birads_0_4_5\"}"
#define CONFIG CONFIG_OF("\"L\":{\"CC\":" VIEW ",\"MLO\":" VIEW "},\"R\":{\"CC\":" VIEW "}")
#define ONE_BREAST CONFIG_OF("\"R\":{\"CC\":" VIEW "}")
#define BOTH(l, r) "{\"L\":{\"birads\":" l "},\"R\":{\"birads\":" r "}}"
#define MARK(side, positions)                                                                                \
    "{\"laterality\":\"" side "\",\"type\":\"mass\",\"birads\":4,\"positions\":{" positions "}}"
#define ANSWER(breasts, findings) "{\"recall\":true,\"breasts\":" breasts ",\"findings\":[" findings "]}"
#define FINDING(id, side, birads, malignant, place)                                                          \
    "{\"id\":\"" id "\",\"laterality\":\"" side "\",\"type\":\"mass\",\"birads\":" birads                    \
    ",\"malignant\":" malignant ",\"views\":{\"CC\":{\"position\":" place ",\"semi_axes\":[5,5]}}}"
#define TRUTH(malignant, recall, breasts, findings)                                                          \
    "{\"malignant\":" malignant ",\"recall\":" recall ",\"breasts\":" breasts ",\"findings\":[" findings "]" \
    "}"

static void answer_is(const char *answer, const char *pointer, const char *words)
{
    bench_check(HOST_CHECK_ANSWER, CONFIG, answer, pointer, words);
}

static void truth_is(const char *truth, const char *pointer, const char *words)
{
    bench_check(HOST_CHECK_TRUTH, CONFIG, truth, pointer, words);
}

static void a_mark_within_its_image_passes_and_its_edge_counts_as_within(void **state)
{
    (void)state;
    answer_is(ANSWER(BOTH("4", "1"), MARK("L", "\"CC\":[60,90],\"MLO\":[0,240]")), NULL, NULL);
    answer_is(ANSWER(BOTH("1", "1"), ""), NULL, NULL);
}

static void a_mark_outside_its_image_is_refused_with_how_far(void **state)
{
    (void)state;
    answer_is(ANSWER(BOTH("4", "1"), MARK("L", "\"CC\":[180.5,90]")), "/findings/0/positions/CC",
              "0.5 mm outside the image");
    answer_is(ANSWER(BOTH("4", "1"), MARK("L", "\"CC\":[9,9]") "," MARK("L", "\"MLO\":[10,300]")),
              "/findings/1/positions/MLO", "60.0 mm outside the image");
}

static void a_view_or_a_breast_that_the_case_does_not_show_is_refused(void **state)
{
    (void)state;
    answer_is(ANSWER(BOTH("1", "4"), MARK("R", "\"MLO\":[60,90]")), "/findings/0/positions/MLO",
              "no MLO view of the right breast");
    bench_check(HOST_CHECK_ANSWER, ONE_BREAST, ANSWER("{\"R\":{\"birads\":1}}", MARK("L", "\"CC\":[60,90]")),
                "/findings/0/laterality", "no image of the left breast");
    bench_check(HOST_CHECK_ANSWER, ONE_BREAST, ANSWER(BOTH("1", "1"), ""), "/breasts/L",
                "no image of the left breast");
    answer_is(ANSWER("{\"R\":{\"birads\":1}}", ""), "/breasts", "left breast is missing");
}

static void one_place_marked_twice_is_refused_unless_another_view_tells_them_apart(void **state)
{
    (void)state;
    answer_is(ANSWER(BOTH("4", "1"), MARK("L", "\"CC\":[60,90]") "," MARK("L", "\"CC\":[60.3,90]")),
              "/findings/1/positions", "marked by /findings/0 already");
    answer_is(ANSWER(BOTH("4", "1"), MARK("L", "\"CC\":[60,90],\"MLO\":[60,60]") "," MARK(
                                         "L", "\"CC\":[60,90],\"MLO\":[60,160]")),
              NULL, NULL);
    answer_is(ANSWER(BOTH("4", "4"), MARK("L", "\"CC\":[60,90]") "," MARK("R", "\"CC\":[60,90]")), NULL,
              NULL);
}

static void a_coherent_truth_passes(void **state)
{
    (void)state;
    truth_is(TRUTH("true", "true", BOTH("5", "2"), FINDING("A", "L", "5", "true", "[60,90]")), NULL, NULL);
    truth_is(TRUTH("false", "false", BOTH("1", "2"), ""), NULL, NULL);
    truth_is(TRUTH("true", "false", BOTH("6", "1"), FINDING("A", "L", "6", "true", "[60,90]")), NULL, NULL);
}

static void a_breast_must_have_the_category_of_its_most_abnormal_finding(void **state)
{
    (void)state;
    truth_is(TRUTH("true", "true", BOTH("4", "1"), FINDING("A", "L", "5", "true", "[60,90]")),
             "/breasts/L/birads", "gives 5");
    truth_is(TRUTH("false", "true", BOTH("1", "4"), ""), "/breasts/R/birads", "gives 1");
    /* 0 stands above 3 and above 6 */
    truth_is(TRUTH("true", "true", BOTH("6", "1"),
                   FINDING("A", "L", "6", "true", "[60,90]") "," FINDING("B", "L", "0", "false", "[20,30]")),
             "/breasts/L/birads", "gives 0");
}

static void recall_and_malignancy_must_follow(void **state)
{
    (void)state;
    truth_is(TRUTH("true", "false", BOTH("5", "1"), FINDING("A", "L", "5", "true", "[60,90]")), "/recall",
             "does not follow");
    truth_is(TRUTH("false", "true", BOTH("1", "1"), ""), "/recall", "does not follow");
    truth_is(TRUTH("true", "false", BOTH("1", "1"), ""), "/malignant", "no finding is");
    truth_is(TRUTH("false", "true", BOTH("5", "1"), FINDING("A", "L", "5", "true", "[60,90]")), "/malignant",
             "a finding is");
    truth_is(TRUTH("false", "false", BOTH("6", "1"), FINDING("A", "L", "6", "false", "[60,90]")),
             "/findings/0/birads", "known malignancy");
}

static void findings_of_the_truth_have_names_and_places_of_their_own(void **state)
{
    (void)state;
    truth_is(TRUTH("false", "false", BOTH("2", "1"),
                   FINDING("A", "L", "2", "false", "[60,90]") "," FINDING("A", "L", "2", "false", "[20,30]")),
             "/findings/1/id", "already");
    truth_is(TRUTH("false", "false", BOTH("2", "1"),
                   FINDING("A", "L", "2", "false", "[60,90]") "," FINDING("B", "L", "2", "false", "[60,90]")),
             "/findings/1/views", "very place of /findings/0");
    truth_is(TRUTH("false", "false", BOTH("2", "1"), FINDING("A", "L", "2", "false", "[60,290]")),
             "/findings/0/views/CC/position", "50.0 mm outside");
}

#define SETTING(setting, rule)                                                                               \
    "{\"views\":{\"L\":{\"CC\":" VIEW "}},\"match\":{\"mode\":\"distance\",\"distance_mm\":15},"             \
    "\"recall_rule\":\"" rule "\"" setting "}"
#define BENIGN_3(recall)                                                                                     \
    TRUTH("false", recall, "{\"L\":{\"birads\":3}}", FINDING("A", "L", "3", "false", "[60,90]"))

static void a_screening_truth_holds_no_category_3_unless_the_programme_recalls_it(void **state)
{
    (void)state;
    bench_check(HOST_CHECK_TRUTH, SETTING(",\"setting\":\"screening\"", "birads_0_4_5"), BENIGN_3("false"),
                "/findings/0/birads", "needs work-up (0");
    bench_check(HOST_CHECK_TRUTH, SETTING(",\"setting\":\"screening\"", "birads_0_3_4_5"), BENIGN_3("true"),
                NULL, NULL);
    bench_check(HOST_CHECK_TRUTH, SETTING(",\"setting\":\"diagnostic\"", "birads_0_4_5"), BENIGN_3("false"),
                NULL, NULL);
    bench_check(HOST_CHECK_TRUTH, SETTING("", "birads_0_4_5"), BENIGN_3("false"), NULL, NULL);
}

static void pixels_must_be_square(void **state)
{
    (void)state;
    bench_check(HOST_CHECK_TRUTH, CONFIG_OF("\"R\":{\"CC\":{\"size_mm\":[180,240],\"pixels\":[300,300]}}"),
                TRUTH("false", "false", "{\"R\":{\"birads\":1}}", ""), "", "must be square");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mark_within_its_image_passes_and_its_edge_counts_as_within),
        cmocka_unit_test(a_mark_outside_its_image_is_refused_with_how_far),
        cmocka_unit_test(a_view_or_a_breast_that_the_case_does_not_show_is_refused),
        cmocka_unit_test(one_place_marked_twice_is_refused_unless_another_view_tells_them_apart),
        cmocka_unit_test(a_coherent_truth_passes),
        cmocka_unit_test(a_breast_must_have_the_category_of_its_most_abnormal_finding),
        cmocka_unit_test(recall_and_malignancy_must_follow),
        cmocka_unit_test(findings_of_the_truth_have_names_and_places_of_their_own),
        cmocka_unit_test(a_screening_truth_holds_no_category_3_unless_the_programme_recalls_it),
        cmocka_unit_test(pixels_must_be_square),
    };
    return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}
