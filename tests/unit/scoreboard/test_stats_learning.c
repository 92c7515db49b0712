#include "scoreboard/stats_learning.h"

#include "stats_testing.h"

#define HORIZON 100

/* Probability that a reader with this rate of wrong reads is declared adequate within HORIZON reads: the
 * exact distribution of the chart over (right, wrong) reads since it last stood at 0. */
static double declared_within_horizon(const struct stats_lc_cusum_design *design, double wrong_rate)
{
    static double now[HORIZON + 2][HORIZON + 2], next[HORIZON + 2][HORIZON + 2];
    const double right = log((1 - design->adequate) / (1 - design->inadequate));
    const double wrong = log(design->adequate / design->inadequate);
    double declared = 0;

    memset(now, 0, sizeof(now));
    now[0][0] = 1;
    for (int step = 0; step < HORIZON; step++) {
        memset(next, 0, sizeof(next));
        for (int i = 0; i <= step; i++)
            for (int j = 0; j <= step; j++) {
                const double up = (i + 1) * right + j * wrong, down = i * right + (j + 1) * wrong;
                if (up > design->limit)
                    declared += now[i][j] * (1 - wrong_rate);
                else
                    *(up > 0 ? &next[i + 1][j] : &next[0][0]) += now[i][j] * (1 - wrong_rate);
                *(down > 0 ? &next[i][j + 1] : &next[0][0]) += now[i][j] * wrong_rate;
            }
        memcpy(now, next, sizeof(now));
    }
    return declared;
}

static void the_default_limit_has_the_error_rates_that_its_comment_states(void **state)
{
    (void)state;
    assert_within(declared_within_horizon(&stats_lc_cusum_default, 0.35), 0.045, 0.0005);
    assert_within(declared_within_horizon(&stats_lc_cusum_default, 0.20), 0.87, 0.005);
}

static void reads_that_are_all_correct_reach_adequacy_after_limit_over_weight_reads(void **state)
{
    (void)state;
    uint8_t correct[40];
    memset(correct, 1, sizeof(correct));
    const double weight = log(0.80 / 0.65);
    const struct stats_lc_cusum ret = stats_lc_cusum(COUNT(correct), correct, &stats_lc_cusum_default, NULL);

    assert_int_equal(ret.adequate_at, 21); /* floor(4.2 / 0.20764) + 1 */
    assert_near(ret.statistic, 21 * weight);
    assert_int_equal(stats_lc_cusum(20, correct, &stats_lc_cusum_default, NULL).adequate_at, 0);
}

static void a_wrong_read_costs_and_the_statistic_never_falls_below_zero(void **state)
{
    (void)state;
    const uint8_t correct[] = {0, 0, 1, 1, 1, 1, 0};
    const double right = log(0.80 / 0.65), wrong = log(0.20 / 0.35);
    const double expected[] = {0, 0, right, 2 * right, 3 * right, 4 * right, 4 * right + wrong};
    double path[COUNT(correct)];
    const struct stats_lc_cusum ret = stats_lc_cusum(COUNT(correct), correct, &stats_lc_cusum_default, path);

    for (size_t i = 0; i < COUNT(correct); i++)
        assert_near(path[i], expected[i]);
    assert_near(ret.statistic, path[COUNT(correct) - 1]);
    assert_int_equal(ret.adequate_at, 0);
}

static void the_chart_ends_where_adequacy_is_reached(void **state)
{
    (void)state;
    const uint8_t correct[] = {1, 1, 1, 0, 0};
    const struct stats_lc_cusum_design quick = {.adequate = 0.1, .inadequate = 0.5, .limit = 1};
    double path[COUNT(correct)];
    const struct stats_lc_cusum ret = stats_lc_cusum(COUNT(correct), correct, &quick, path);

    assert_int_equal(ret.adequate_at, 2);
    assert_near(ret.statistic, 2 * log(1.8));
    assert_near(path[4], 2 * log(1.8));
    assert_int_equal(stats_lc_cusum(0, NULL, &quick, NULL).adequate_at, 0);
}

/* First half wrong, second half right: K = n / 4, scaled sqrt(n) / 2 = sqrt(10) for n = 40. */
static void a_step_upwards_is_found_at_its_place_with_its_p_value(void **state)
{
    (void)state;
    uint8_t correct[40] = {0};
    memset(correct + 20, 1, 20);
    const struct stats_change_point ret = stats_change_point(COUNT(correct), correct);

    assert_int_equal(ret.change, STATS_CHANGE_UP);
    assert_int_equal(ret.last_before, 20);
    assert_value(ret.k, 10);
    assert_within(ret.p_value.value, 2 * exp(-20), 1e-15);
    assert_int_equal(ret.before.k, 0);
    assert_int_equal(ret.after.k, 20);
    assert_int_equal(ret.after.n, 20);
}

static void a_step_downwards_is_not_called_a_plateau(void **state)
{
    (void)state;
    uint8_t correct[60] = {0};
    memset(correct, 1, 20);
    const struct stats_change_point ret = stats_change_point(COUNT(correct), correct);

    assert_int_equal(ret.change, STATS_CHANGE_DOWN);
    assert_int_equal(ret.last_before, 20);
}

static void an_even_curve_has_no_change_point(void **state)
{
    (void)state;
    uint8_t correct[100];

    for (size_t i = 0; i < COUNT(correct); i++)
        correct[i] = i % 4 != 0;
    const struct stats_change_point ret = stats_change_point(COUNT(correct), correct);
    assert_int_equal(ret.change, STATS_CHANGE_NONE);
    assert_true(ret.p_value.value > 0.99);
}

/* Of 100 reads with half correct, the first m wrong, the last m correct and alternating ones between: K = m /
 * 2 and lambda = K / 5. The 5 % point of the Kolmogorov distribution, 1.3581, lies between m = 12 and m = 14.
 */
static void the_level_of_the_change_point_test_is_five_percent(void **state)
{
    (void)state;
    const size_t wrong_first[] = {12, 14};
    const double p[] = {0.1122497, 0.0396819};
    const enum stats_change change[] = {STATS_CHANGE_NONE, STATS_CHANGE_UP};

    for (size_t which = 0; which < COUNT(p); which++) {
        const size_t m = wrong_first[which];
        uint8_t correct[100];
        for (size_t i = 0; i < 100; i++)
            correct[i] = i >= m && (i >= 100 - m || i % 2 == 0);
        const struct stats_change_point ret = stats_change_point(100, correct);
        assert_value(ret.k, (double)m / 2);
        assert_int_equal(ret.last_before, m); /* the first of the reads where K is reached */
        assert_within(ret.p_value.value, p[which], 1e-6);
        assert_int_equal(ret.change, change[which]);
    }
}

static void too_few_or_uniform_reads_have_no_change_point_and_say_why(void **state)
{
    (void)state;
    uint8_t correct[40];
    memset(correct, 1, sizeof(correct));

    assert_undefined(stats_change_point(40, correct).p_value, "same outcome");
    assert_int_equal(stats_change_point(40, correct).after.k, 40);
    correct[0] = 0;
    assert_undefined(stats_change_point(19, correct).k, "fewer than 20");
    assert_int_equal(stats_change_point(19, correct).change, STATS_CHANGE_UNKNOWN);
    assert_int_equal(stats_change_point(20, correct).change, STATS_CHANGE_NONE);
    assert_undefined(stats_change_point(0, NULL).after.p, "no reads");
}

static void the_rolling_curve_has_a_share_for_each_full_window(void **state)
{
    (void)state;
    const uint8_t correct[] = {1, 0, 1, 1, 1};
    struct stats_share curve[5];

    assert_int_equal(stats_rolling(5, correct, 3, curve), 3);
    assert_int_equal(curve[0].k, 2);
    assert_int_equal(curve[1].k, 2);
    assert_int_equal(curve[2].k, 3);
    assert_int_equal(curve[2].n, 3);
    assert_int_equal(stats_rolling(5, correct, 6, curve), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_limit_has_the_error_rates_that_its_comment_states),
        cmocka_unit_test(reads_that_are_all_correct_reach_adequacy_after_limit_over_weight_reads),
        cmocka_unit_test(a_wrong_read_costs_and_the_statistic_never_falls_below_zero),
        cmocka_unit_test(the_chart_ends_where_adequacy_is_reached),
        cmocka_unit_test(a_step_upwards_is_found_at_its_place_with_its_p_value),
        cmocka_unit_test(a_step_downwards_is_not_called_a_plateau),
        cmocka_unit_test(an_even_curve_has_no_change_point),
        cmocka_unit_test(the_level_of_the_change_point_test_is_five_percent),
        cmocka_unit_test(too_few_or_uniform_reads_have_no_change_point_and_say_why),
        cmocka_unit_test(the_rolling_curve_has_a_share_for_each_full_window),
    };
    return cmocka_run_group_tests_name("learning curve", tests, NULL, NULL);
}
