#include "scoreboard/stats_lesions.h"

#include "stats_testing.h"

#define HIT(c)                                                                                               \
    {                                                                                                        \
        .confidence = (c), .weight = 1, .is_lesion = 1                                                       \
    }
#define MISS                                                                                                 \
    {                                                                                                        \
        .confidence = 0, .weight = 1, .is_lesion = 1                                                         \
    }
#define FALSE_POSITIVE(c)                                                                                    \
    {                                                                                                        \
        .confidence = (c), .weight = 1, .is_lesion = 0                                                       \
    }

/* Four cases, three lesions: at 5 one hit; at 4 a hit and a false positive tie; at 2 a false positive; one
 * missed. */
static const struct stats_lesion rows[] = {FALSE_POSITIVE(2), HIT(4), MISS, FALSE_POSITIVE(4), HIT(5)};
static const uint8_t target[] = {1, 1, 0, 0};
static const double score[] = {5, 4, 4, 0};

static void precision_is_averaged_over_lesions_and_missed_ones_stay_in_the_denominator(void **state)
{
    const struct stats_lesions ret =
        stats_lesions_of(*state, COUNT(rows), rows, COUNT(target), target, score);

    assert_int_equal(ret.cases, 4);
    assert_int_equal(ret.lesions, 3);
    assert_value(ret.average_precision, 1.0 / 3 * 1 + 1.0 / 3 * 2 / 3);
    assert_value(ret.auroc, 3.5 / 4);
    assert_value(ret.score, (1.0 / 3 + 2.0 / 9 + 3.5 / 4) / 2);
}

static void froc_has_one_point_for_each_distinct_confidence_down_to_the_last(void **state)
{
    const struct stats_lesions ret =
        stats_lesions_of(*state, COUNT(rows), rows, COUNT(target), target, score);
    const struct stats_froc_point expected[] = {
        {.threshold = 5, .tp = 1, .fp = 0, .fp_per_case = 0, .sensitivity = 1.0 / 3},
        {.threshold = 4, .tp = 2, .fp = 1, .fp_per_case = 0.25, .sensitivity = 2.0 / 3},
        {.threshold = 2, .tp = 2, .fp = 2, .fp_per_case = 0.5, .sensitivity = 2.0 / 3},
    };

    assert_int_equal(ret.points, COUNT(expected));
    for (size_t i = 0; i < ret.points; i++) {
        assert_near(ret.froc[i].threshold, expected[i].threshold);
        assert_int_equal(ret.froc[i].tp, expected[i].tp);
        assert_int_equal(ret.froc[i].fp, expected[i].fp);
        assert_near(ret.froc[i].fp_per_case, expected[i].fp_per_case);
        assert_near(ret.froc[i].sensitivity, expected[i].sensitivity);
    }
}

static void a_curve_without_misses_ends_at_full_sensitivity(void **state)
{
    const struct stats_lesion found[] = {HIT(3), HIT(3)};
    const struct stats_lesions ret = stats_lesions_of(*state, 2, found, COUNT(target), target, score);

    assert_int_equal(ret.points, 1);
    assert_near(ret.froc[0].sensitivity, 1);
}

static void sensitivity_at_a_rate_is_that_of_the_loosest_threshold_within_it(void **state)
{
    const struct stats_lesions ret =
        stats_lesions_of(*state, COUNT(rows), rows, COUNT(target), target, score);

    assert_value(stats_sensitivity_at(&ret, 0.1), 1.0 / 3);
    assert_value(stats_sensitivity_at(&ret, 0.25), 2.0 / 3);
    assert_value(stats_sensitivity_at(&ret, 9), 2.0 / 3);

    const struct stats_lesion wrong_first[] = {FALSE_POSITIVE(5), HIT(4)};
    const struct stats_lesions late = stats_lesions_of(*state, 2, wrong_first, 1, target, score);
    assert_value(stats_sensitivity_at(&late, 0.5), 0);
}

static void weights_act_on_the_average_precision_alone(void **state)
{
    const struct stats_lesion weighted[] = {{.confidence = 1, .weight = 1, .is_lesion = 0},
                                            {.confidence = 2, .weight = 1, .is_lesion = 0},
                                            {.confidence = 3, .weight = 1, .is_lesion = 1},
                                            {.confidence = 1, .weight = 4, .is_lesion = 1},
                                            {.confidence = 1, .weight = 5, .is_lesion = 1}};
    const struct stats_lesions ret = stats_lesions_of(*state, COUNT(weighted), weighted, 4, target, score);

    assert_value(ret.average_precision, 0.1 * 1 + 0.9 * 10 / 12);
    assert_near(ret.froc[0].sensitivity, 1.0 / 3);
}

static void nothing_marked_has_average_precision_0_and_no_curve(void **state)
{
    const struct stats_lesion missed[] = {MISS};
    const uint8_t one_positive[] = {0, 1, 0};
    const double nothing[] = {0, 0, 0};
    const struct stats_lesions ret = stats_lesions_of(*state, 1, missed, 3, one_positive, nothing);

    assert_value(ret.average_precision, 0);
    assert_value(ret.auroc, 0.5);
    assert_value(ret.score, 0.25);
    assert_int_equal(ret.points, 0);
    assert_value(stats_sensitivity_at(&ret, 1), 0);
}

static void without_lesions_false_positives_are_counted_and_the_rest_is_undefined(void **state)
{
    const struct stats_lesion wrong[] = {FALSE_POSITIVE(3)};
    const uint8_t negative[] = {0, 0};
    const struct stats_lesions ret = stats_lesions_of(*state, 1, wrong, 2, negative, score);

    assert_undefined(ret.average_precision, "no truth lesion");
    assert_undefined(ret.auroc, "one class");
    assert_undefined(ret.score, "needs both");
    assert_int_equal(ret.points, 1);
    assert_near(ret.froc[0].fp_per_case, 0.5);
    assert_non_null(ret.froc_undefined);
    assert_undefined(stats_sensitivity_at(&ret, 1), "no truth lesion");
}

static void no_cases_leave_everything_undefined(void **state)
{
    const struct stats_lesions ret = stats_lesions_of(*state, 0, NULL, 0, NULL, NULL);

    assert_int_equal(ret.cases, 0);
    assert_int_equal(ret.points, 0);
    assert_undefined(ret.average_precision, "no cases");
    assert_undefined(ret.auroc, "no cases");
    assert_undefined(ret.score, "needs both");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        arena_test(precision_is_averaged_over_lesions_and_missed_ones_stay_in_the_denominator),
        arena_test(froc_has_one_point_for_each_distinct_confidence_down_to_the_last),
        arena_test(a_curve_without_misses_ends_at_full_sensitivity),
        arena_test(sensitivity_at_a_rate_is_that_of_the_loosest_threshold_within_it),
        arena_test(weights_act_on_the_average_precision_alone),
        arena_test(nothing_marked_has_average_precision_0_and_no_curve),
        arena_test(without_lesions_false_positives_are_counted_and_the_rest_is_undefined),
        arena_test(no_cases_leave_everything_undefined),
    };
    return cmocka_run_group_tests_name("lesion statistics", tests, NULL, NULL);
}
