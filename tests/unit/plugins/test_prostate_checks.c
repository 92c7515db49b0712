/* check_truth and check_answer through the host: what is refused, and the place that is named. */
#include "support.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define CONFIG                                                                                               \
    "{\"match\":{\"mode\":\"distance\",\"distance_mm\":10},\"cspca_definition\":\"isup_ge_2\","              \
    "\"image\":{\"bounds_lps_mm\":[[-60,60],[-60,60],[-40,40]]},"                                            \
    "\"gland\":{\"centre\":[0,0,0],\"semi_axes\":[26,19,21],\"margin_mm\":10}}"
#define MARK(position, more)                                                                                 \
    "{\"position\":" position ",\"zone\":\"PZ\",\"t2w\":4,\"dwi\":4,\"dce\":\"-\",\"pirads\":4" more "}"
#define ANSWER(lesions) "{\"cspca\":true,\"lesions\":[" lesions "]}"
#define LESION(id, centre, more)                                                                             \
    "{\"id\":\"" id "\",\"centre\":" centre ",\"semi_axes\":[6,5,5],\"zone\":\"PZ\"" more "}"
#define TRUTH(cspca, lesions) "{\"cspca\":" cspca ",\"lesions\":[" lesions "]}"

static void refuses_answer(const char *answer, const char *pointer, const char *words)
{
    bench_check(HOST_CHECK_ANSWER, CONFIG, answer, pointer, words);
}

static void refuses_truth(const char *truth, const char *pointer, const char *words)
{
    bench_check(HOST_CHECK_TRUTH, CONFIG, truth, pointer, words);
}

static void accepts_truth(const char *truth)
{
    bench_check(HOST_CHECK_TRUTH, CONFIG, truth, NULL, NULL);
}

static void an_answer_inside_the_gland_or_within_its_margin_passes(void **state)
{
    (void)state;
    bench_check(HOST_CHECK_ANSWER, CONFIG, ANSWER(MARK("[13,11,-5]", "")), NULL, NULL);
    bench_check(HOST_CHECK_ANSWER, CONFIG, ANSWER(MARK("[36,0,0]", "")), NULL, NULL);
    bench_check(HOST_CHECK_ANSWER, CONFIG, "{\"cspca\":false,\"lesions\":[]}", NULL, NULL);
}

static void a_position_outside_the_image_is_refused_with_how_far(void **state)
{
    (void)state;
    refuses_answer(ANSWER(MARK("[60.5,0,0]", "")), "/lesions/0/position", "0.5 mm outside the image");
    refuses_answer(ANSWER(MARK("[13,11,-5]", "") "," MARK("[0,0,-500]", "")), "/lesions/1/position",
                   "460.0 mm outside the image");
}

static void a_position_out_of_the_gland_beyond_the_margin_is_refused_with_how_far(void **state)
{
    (void)state;
    refuses_answer(ANSWER(MARK("[36.1,0,0]", "")), "/lesions/0/position", "10.1 mm outside the prostate");
    refuses_answer(ANSWER(MARK("[50,50,30]", "")), "/lesions/0/position", "outside the prostate");
}

static void without_a_gland_in_the_config_only_the_image_bounds_hold(void **state)
{
    (void)state;
    bench_check(HOST_CHECK_ANSWER,
                "{\"match\":{\"mode\":\"point\"},\"cspca_definition\":\"isup_ge_2\","
                "\"image\":{\"bounds_lps_mm\":[[-60,60],[-60,60],[-40,40]]}}",
                ANSWER(MARK("[59,-59,39]", "")), NULL, NULL);
}

static void two_marks_at_one_place_are_refused_and_the_later_is_named(void **state)
{
    (void)state;
    refuses_answer(ANSWER(MARK("[13,11,-5]", "") "," MARK("[-9,0,0]", "") "," MARK("[13,11,-5.2]", "")),
                   "/lesions/2/position", "/lesions/0");
}

static void two_index_lesions_and_skewed_axes_are_refused(void **state)
{
    (void)state;
    refuses_answer(ANSWER(MARK("[13,11,-5]", ",\"index\":true") "," MARK("[-9,0,0]", ",\"index\":true")),
                   "/lesions/1/index", "Only one");
    refuses_answer(
        ANSWER(MARK("[13,11,-5]", ",\"semi_axes\":[5,5,5],\"axes\":[[1,0,0],[0.5,0.5,0],[0,0,1]]")),
        "/lesions/0/axes", "right angles");
}

static void the_first_offence_in_the_answers_own_order_is_named(void **state)
{
    (void)state;
    refuses_answer(ANSWER(MARK("[0,0,-41]", "") "," MARK("[0,0,41]", "")), "/lesions/0/position",
                   "outside the image");
    refuses_answer(ANSWER(MARK("[0,0,41]", "") "," MARK("[0,0,-41]", "")), "/lesions/0/position",
                   "outside the image");
}

static void a_coherent_truth_passes(void **state)
{
    (void)state;
    accepts_truth(TRUTH("true", LESION("L1", "[14,12,-6]", ",\"isup\":3,\"sectors\":[\"PZpl-L-mid\"]")));
    accepts_truth(TRUTH("false", LESION("L1", "[14,12,-6]", ",\"isup\":1")));
    accepts_truth(TRUTH("true", LESION("L1", "[14,12,-6]", ",\"cspca\":true")));
    accepts_truth(TRUTH("false", ""));
}

static void a_lesion_outside_image_or_gland_is_refused(void **state)
{
    (void)state;
    refuses_truth(TRUTH("true", LESION("L1", "[61,0,0]", ",\"isup\":3")), "/lesions/0/centre",
                  "outside the image");
    refuses_truth(TRUTH("true", LESION("L1", "[0,40,0]", ",\"isup\":3")), "/lesions/0/centre",
                  "outside the prostate");
    refuses_truth(TRUTH("true", LESION("L1", "[0,10,0]", ",\"isup\":3,\"target\":[0,50,0]")),
                  "/lesions/0/target", "target");
}

static void a_decision_that_the_lesions_contradict_is_refused(void **state)
{
    (void)state;
    refuses_truth(TRUTH("false", LESION("L1", "[14,12,-6]", ",\"isup\":2")), "/cspca",
                  "a lesion is significant");
    refuses_truth(TRUTH("true", LESION("L1", "[14,12,-6]", ",\"isup\":1")), "/cspca",
                  "no lesion is significant");
    refuses_truth(TRUTH("true", ""), "/cspca", "no lesion is significant");
    refuses_truth(TRUTH("true", LESION("L1", "[14,12,-6]", ",\"isup\":1,\"cspca\":true")), "/lesions/0/cspca",
                  "grade group 1");
    refuses_truth(TRUTH("false", LESION("L1", "[14,12,-6]", ",\"isup\":4,\"cspca\":false")),
                  "/lesions/0/cspca", "grade group 2");
}

static void sectors_must_agree_with_zone_and_side(void **state)
{
    (void)state;
    refuses_truth(TRUTH("true", LESION("L1", "[14,12,-6]", ",\"isup\":3,\"sectors\":[\"TZp-L-mid\"]")),
                  "/lesions/0/sectors", "zone");
    refuses_truth(TRUTH("true", LESION("L1", "[14,12,-6]", ",\"isup\":3,\"sectors\":[\"PZpl-R-mid\"]")),
                  "/lesions/0/sectors", "patient's left");
    refuses_truth(TRUTH("true", LESION("L1", "[-14,12,-6]", ",\"isup\":3,\"sectors\":[\"PZpl-L-mid\"]")),
                  "/lesions/0/sectors", "patient's right");
    accepts_truth(TRUTH("true", LESION("L1", "[3,12,-6]", ",\"isup\":3,\"sectors\":[\"PZpm-R-mid\"]")));
    accepts_truth(
        TRUTH("true", LESION("L1", "[14,12,-6]", ",\"isup\":3,\"sectors\":[\"PZpl-L-mid\",\"TZp-L-mid\"]")));
}

static void a_category_that_the_scores_do_not_give_is_refused(void **state)
{
    (void)state;
    refuses_truth(
        TRUTH("true", LESION("L1", "[14,12,-6]",
                             ",\"isup\":3,\"pirads\":4,\"scores\":{\"t2w\":4,\"dwi\":3,\"dce\":\"-\"}")),
        "/lesions/0/pirads", "sequence scores");
    accepts_truth(
        TRUTH("true", LESION("L1", "[14,12,-6]",
                             ",\"isup\":3,\"pirads\":4,\"scores\":{\"t2w\":4,\"dwi\":3,\"dce\":\"+\"}")));
}

static void names_are_unique_and_the_index_lesion_is_one_and_significant(void **state)
{
    (void)state;
    refuses_truth(
        TRUTH("true", LESION("L1", "[14,12,-6]", ",\"isup\":3") "," LESION("L1", "[-9,0,0]", ",\"isup\":3")),
        "/lesions/1/id", "already");
    refuses_truth(TRUTH("true", LESION("L1", "[14,12,-6]", ",\"isup\":3,\"index\":true") "," LESION(
                                    "L2", "[-9,0,0]", ",\"isup\":3,\"index\":true")),
                  "/lesions/1/index", "Only one");
    refuses_truth(TRUTH("true", LESION("L1", "[14,12,-6]", ",\"isup\":3") "," LESION(
                                    "L2", "[-9,0,0]", ",\"isup\":0,\"index\":true")),
                  "/lesions/1/index", "significant");
}

static void axes_of_a_lesion_are_orthonormal(void **state)
{
    (void)state;
    refuses_truth(
        TRUTH("true", LESION("L1", "[14,12,-6]", ",\"isup\":3,\"axes\":[[1,0,0],[0,0.9,0],[0,0,1]]")),
        "/lesions/0/axes", "length 1");
}

static void a_psa_density_that_is_not_psa_by_volume_is_refused(void **state)
{
    (void)state;
    refuses_truth("{\"cspca\":false,\"lesions\":[],\"psa_ng_ml\":8,\"volume_ml\":40,\"psa_density\":0.3}",
                  "/psa_density", "divided");
    accepts_truth("{\"cspca\":false,\"lesions\":[],\"psa_ng_ml\":8,\"volume_ml\":40,\"psa_density\":0.2}");
}

static void a_config_that_contradicts_itself_is_refused(void **state)
{
    (void)state;
    bench_check(HOST_CHECK_TRUTH,
                "{\"match\":{\"mode\":\"point\"},\"cspca_definition\":\"isup_ge_2\","
                "\"image\":{\"bounds_lps_mm\":[[60,-60],[-60,60],[-40,40]]}}",
                TRUTH("false", ""), "", "lower to the higher");
    bench_check(HOST_CHECK_TRUTH,
                "{\"match\":{\"mode\":\"point\"},\"cspca_definition\":\"isup_ge_2\","
                "\"image\":{\"bounds_lps_mm\":[[-60,60],[-60,60],[-40,40]]},"
                "\"gland\":{\"centre\":[0,0,70],\"semi_axes\":[26,19,21]}}",
                TRUTH("false", ""), "", "outside the image");
}

static void a_gleason_score_gives_its_grade_group_or_is_refused(void **state)
{
    static const char *const pairs[][2] = {{"0+0", "0"}, {"3+3", "1"}, {"3+4", "2"}, {"4+3", "3"},
                                           {"4+4", "4"}, {"3+5", "4"}, {"5+3", "4"}, {"4+5", "5"},
                                           {"5+4", "5"}, {"5+5", "5"}};
    char truth[512];
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        for (int isup = 0; isup <= 5; isup++) {
            bool right = isup == pairs[i][1][0] - '0';
            snprintf(truth, sizeof(truth),
                     TRUTH("%s", LESION("L1", "[14,12,-6]",
                                        ",\"isup\":%d,\"histology\":{\"kind\":\"prostatectomy\","
                                        "\"gleason\":\"%s\"}")),
                     isup >= 2 ? "true" : "false", isup, pairs[i][0]);
            bench_check(HOST_CHECK_TRUTH, CONFIG, truth, right ? NULL : "/lesions/0/histology",
                        "ISUP grade group");
        }
    }
    refuses_truth(TRUTH("true", LESION("L1", "[14,12,-6]",
                                       ",\"cspca\":true,\"histology\":{\"kind\":\"prostatectomy\","
                                       "\"gleason\":\"0+4\"}")),
                  "/lesions/0/histology", "no Gleason score");
}

static void a_gleason_score_alone_decides_as_its_grade_group_does(void **state)
{
#define GRADED(cspca, gleason)                                                                               \
    TRUTH(cspca, LESION("L1", "[14,12,-6]",                                                                  \
                        ",\"cspca\":" cspca                                                                  \
                        ",\"histology\":{\"kind\":\"prostatectomy\",\"gleason\":\"" gleason "\"}"))
    (void)state;
    refuses_truth(GRADED("false", "4+4"), "/lesions/0/cspca", "grade group 2");
    refuses_truth(GRADED("true", "3+3"), "/lesions/0/cspca", "grade group 1");
    accepts_truth(GRADED("true", "3+4"));
    accepts_truth(GRADED("false", "3+3"));
}

static void without_histology_there_is_no_grade_group(void **state)
{
    (void)state;
    refuses_truth(TRUTH("true", LESION("L1", "[14,12,-6]", ",\"isup\":3,\"histology\":{\"kind\":\"none\"}")),
                  "/lesions/0/histology", "Without histology");
    accepts_truth(
        TRUTH("true", LESION("L1", "[14,12,-6]", ",\"cspca\":true,\"histology\":{\"kind\":\"none\"}")));
}

static void a_size_that_does_not_fit_the_ellipsoid_is_refused(void **state)
{
    (void)state;
    refuses_truth(TRUTH("true", LESION("L1", "[14,12,-6]", ",\"isup\":3,\"size_mm\":60")),
                  "/lesions/0/size_mm", "ellipsoid");
    refuses_truth(TRUTH("true", LESION("L1", "[14,12,-6]", ",\"isup\":3,\"size_mm\":20.1")),
                  "/lesions/0/size_mm", "ellipsoid");
    refuses_truth(TRUTH("true", LESION("L1", "[14,12,-6]", ",\"isup\":3,\"size_mm\":4.6")),
                  "/lesions/0/size_mm", "ellipsoid");
    accepts_truth(TRUTH("true", LESION("L1", "[14,12,-6]", ",\"isup\":3,\"size_mm\":20")));
    accepts_truth(TRUTH("true", LESION("L1", "[14,12,-6]", ",\"isup\":3,\"size_mm\":4.7")));
}

static void a_lesion_that_is_longest_from_head_to_foot_may_be_measured_axially(void **state)
{
#define LONG(size)                                                                                           \
    TRUTH("true", "{\"id\":\"L1\",\"centre\":[14,12,-6],\"semi_axes\":[5,5,12],\"zone\":\"PZ\",\"isup\":3,"  \
                  "\"size_mm\":" size "}")
    (void)state;
    accepts_truth(LONG("10"));
    accepts_truth(LONG("24"));
    refuses_truth(LONG("4.5"), "/lesions/0/size_mm", "axial");
    refuses_truth(LONG("39"), "/lesions/0/size_mm", "ellipsoid");
}

#define SCORED(t2w, dwi, more)                                                                               \
    TRUTH("true", LESION("L1", "[14,12,-6]",                                                                 \
                         ",\"isup\":3,\"scores\":{\"t2w\":" t2w ",\"dwi\":" dwi ",\"dce\":\"-\"}" more))

static void a_score_of_4_or_5_is_refused_only_far_from_15_mm(void **state)
{
    (void)state;
    refuses_truth(SCORED("4", "5", ",\"size_mm\":8"), "/lesions/0/scores", "15 mm");
    refuses_truth(SCORED("4", "5", ",\"size_mm\":9.9,\"epe\":false"), "/lesions/0/scores", "15 mm");
    accepts_truth(SCORED("4", "5", ",\"size_mm\":13,\"epe\":false"));
    accepts_truth(SCORED("4", "5", "")); /* the ellipsoid's 12 mm */
    accepts_truth(SCORED("4", "5", ",\"size_mm\":8,\"epe\":true"));
    accepts_truth(SCORED("4", "5", ",\"size_mm\":8,\"svi\":true"));
    accepts_truth(SCORED("5", "3", ",\"size_mm\":8")); /* does not decide in the peripheral zone */
    accepts_truth(SCORED("4", "4", ",\"size_mm\":16"));
    accepts_truth(SCORED("4", "4", ",\"size_mm\":12,\"epe\":true")); /* by histology, it may be */
}

#define SIZED(semi_axes, dwi, more)                                                                          \
    TRUTH("true",                                                                                            \
          "{\"id\":\"L1\",\"centre\":[14,12,-6],\"semi_axes\":" semi_axes                                    \
          ",\"zone\":\"PZ\",\"isup\":3,\"scores\":{\"t2w\":4,\"dwi\":" dwi ",\"dce\":\"-\"}" more "}")

static void a_large_4_and_an_ellipsoid_too_small_for_a_5_are_refused(void **state)
{
    (void)state;
    refuses_truth(SIZED("[11,8,8]", "4", ",\"size_mm\":20.1"), "/lesions/0/scores", "above 20 mm");
    accepts_truth(SIZED("[11,8,8]", "4", ",\"size_mm\":20"));
    refuses_truth(SIZED("[4,4,4]", "5", ""), "/lesions/0/scores", "15 mm");
    accepts_truth(SIZED("[4.2,4,4]", "5", ""));
}

static void a_management_that_the_own_categories_contradict_is_refused(void **state)
{
#define MANAGED(cspca, management, lesions)                                                                  \
    "{\"cspca\":" cspca ",\"management\":\"" management "\",\"lesions\":[" lesions "]}"
    (void)state;
    refuses_truth(MANAGED("true", "no_biopsy", LESION("L1", "[14,12,-6]", ",\"isup\":3,\"pirads\":4")),
                  "/management", "not left without a biopsy");
    accepts_truth(MANAGED("true", "no_biopsy", LESION("L1", "[14,12,-6]", ",\"isup\":2,\"pirads\":3")));
    accepts_truth(MANAGED("false", "targeted", "")); /* nobody delineated what was aimed at */
    accepts_truth("{\"cspca\":false,\"management\":\"targeted\",\"pirads\":4,\"lesions\":[]}");
    accepts_truth("{\"cspca\":false,\"management\":\"both\",\"pirads\":4,\"lesions\":[]}");
    refuses_truth("{\"cspca\":false,\"management\":\"targeted\",\"pirads\":2,\"lesions\":[]}", "/management",
                  "PI-RADS 3 or more");
    refuses_truth(MANAGED("false", "both", LESION("L1", "[14,12,-6]", ",\"isup\":0,\"pirads\":2")),
                  "/management", "PI-RADS 3 or more");
    accepts_truth(MANAGED("false", "targeted", LESION("L1", "[14,12,-6]", ",\"isup\":0,\"pirads\":3")));
    accepts_truth(MANAGED("false", "targeted", LESION("L1", "[14,12,-6]", ",\"isup\":0")));
    accepts_truth(MANAGED("false", "systematic", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_inside_the_gland_or_within_its_margin_passes),
        cmocka_unit_test(a_position_outside_the_image_is_refused_with_how_far),
        cmocka_unit_test(a_position_out_of_the_gland_beyond_the_margin_is_refused_with_how_far),
        cmocka_unit_test(without_a_gland_in_the_config_only_the_image_bounds_hold),
        cmocka_unit_test(two_marks_at_one_place_are_refused_and_the_later_is_named),
        cmocka_unit_test(two_index_lesions_and_skewed_axes_are_refused),
        cmocka_unit_test(the_first_offence_in_the_answers_own_order_is_named),
        cmocka_unit_test(a_coherent_truth_passes),
        cmocka_unit_test(a_lesion_outside_image_or_gland_is_refused),
        cmocka_unit_test(a_decision_that_the_lesions_contradict_is_refused),
        cmocka_unit_test(sectors_must_agree_with_zone_and_side),
        cmocka_unit_test(a_category_that_the_scores_do_not_give_is_refused),
        cmocka_unit_test(names_are_unique_and_the_index_lesion_is_one_and_significant),
        cmocka_unit_test(axes_of_a_lesion_are_orthonormal),
        cmocka_unit_test(a_psa_density_that_is_not_psa_by_volume_is_refused),
        cmocka_unit_test(a_config_that_contradicts_itself_is_refused),
        cmocka_unit_test(a_gleason_score_gives_its_grade_group_or_is_refused),
        cmocka_unit_test(without_histology_there_is_no_grade_group),
        cmocka_unit_test(a_size_that_does_not_fit_the_ellipsoid_is_refused),
        cmocka_unit_test(a_gleason_score_alone_decides_as_its_grade_group_does),
        cmocka_unit_test(a_lesion_that_is_longest_from_head_to_foot_may_be_measured_axially),
        cmocka_unit_test(a_score_of_4_or_5_is_refused_only_far_from_15_mm),
        cmocka_unit_test(a_large_4_and_an_ellipsoid_too_small_for_a_5_are_refused),
        cmocka_unit_test(a_management_that_the_own_categories_contradict_is_refused),
    };
    return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}
