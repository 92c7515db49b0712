#include "scoreboard/stats.h"

#include "stats_testing.h"

static void sixteen_of_twenty_is_58_to_92_percent(void **state)
{
    (void)state;
    const struct stats_share share = stats_share_of(16, 20, "no reads");

    assert_value(share.p, 0.8);
    assert_within(share.wilson95.low, 0.58398257, 5e-9);
    assert_within(share.wilson95.high, 0.91934234, 5e-9);
}

static void a_share_interval_ends_exactly_at_0_and_1(void **state)
{
    (void)state;
    const double z2 = STATS_Z95 * STATS_Z95;

    for (size_t n = 1; n < 200; n++) {
        const struct stats_share none = stats_share_of(0, n, "no reads"),
                                 all = stats_share_of(n, n, "no reads");
        assert_true(none.wilson95.low == 0);
        assert_near(none.wilson95.high, z2 / ((double)n + z2));
        assert_near(all.wilson95.low, (double)n / ((double)n + z2));
        assert_true(all.wilson95.high == 1);
    }
}

static void a_share_of_nothing_is_undefined_for_the_reason_given(void **state)
{
    (void)state;
    const struct stats_share share = stats_share_of(0, 0, "nothing was called positive");

    assert_string_equal(share.p.undefined, "nothing was called positive");
    assert_string_equal(share.wilson95.undefined, "nothing was called positive");
}

/* Positives 5 4 4 1, negatives 1 2 3 4 4 3. */
static const uint8_t truth[] = {1, 0, 1, 0, 0, 1, 0, 1, 0, 0};
static const double score[] = {5, 1, 4, 2, 3, 4, 4, 1, 4, 3};

static void a_table_counts_called_at_or_above_the_threshold(void **state)
{
    (void)state;
    const struct stats_table at4 = stats_table_at(COUNT(truth), truth, score, 4);

    assert_int_equal(at4.tp, 3);
    assert_int_equal(at4.fn, 1);
    assert_int_equal(at4.fp, 2);
    assert_int_equal(at4.tn, 4);
    assert_value(at4.sensitivity.p, 3.0 / 4);
    assert_value(at4.specificity.p, 4.0 / 6);
    assert_value(at4.ppv.p, 3.0 / 5);
    assert_value(at4.npv.p, 4.0 / 5);
}

static void a_table_leaves_what_has_no_denominator_undefined(void **state)
{
    (void)state;
    const uint8_t positive[] = {1, 1};
    const double low[] = {1, 2};
    const struct stats_table table = stats_table_at(2, positive, low, 3);

    assert_value(table.sensitivity.p, 0);
    assert_undefined(table.specificity.p, "truth-negative");
    assert_undefined(table.ppv.p, "called positive");
    assert_value(table.npv.p, 0);
    assert_undefined(stats_table_at(0, NULL, NULL, 3).npv.p, "called negative");
}

/* Placements of the positives among the negatives: 5 beats all (1), each 4 beats 4 and ties 2 (5/6), 1 ties
 * one (1/12). Of the negatives among the positives: 1: 3.5/4, 2: 3/4, 3: 3/4, 4: 2/4, 4: 2/4, 3: 3/4. */
static void the_area_and_its_delong_variance_are_those_of_the_placements(void **state)
{
    const struct stats_auroc roc = stats_auroc(*state, COUNT(truth), truth, score);
    const double v10[] = {1, 5.0 / 6, 5.0 / 6, 1.0 / 12}, v01[] = {.875, .75, .75, .5, .5, .75};
    const double auc = 11.0 / 16;
    double s10 = 0, s01 = 0;

    for (size_t i = 0; i < COUNT(v10); i++)
        s10 += (v10[i] - auc) * (v10[i] - auc) / 3;
    for (size_t i = 0; i < COUNT(v01); i++)
        s01 += (v01[i] - auc) * (v01[i] - auc) / 5;
    assert_int_equal(roc.positive, 4);
    assert_int_equal(roc.negative, 6);
    assert_value(roc.auc, auc);
    assert_value(roc.var, s10 / 4 + s01 / 6);
    assert_near(roc.ci95.low, auc - STATS_Z95 * sqrt(s10 / 4 + s01 / 6));
    assert_true(roc.ci95.high == 1);
    assert_false(roc.ci_collapsed);
}

static void the_area_is_undefined_without_one_of_the_classes(void **state)
{
    const uint8_t ones[] = {1, 1, 1}, zeros[] = {0, 0, 0};

    assert_undefined(stats_auroc(*state, 3, ones, score).auc, "no truth-negative read");
    assert_undefined(stats_auroc(*state, 3, zeros, score).auc, "no truth-positive read");
    assert_undefined(stats_auroc(*state, 0, NULL, NULL).auc, "no reads");
    assert_undefined(stats_auroc(*state, 3, zeros, score).ci95, "no truth-positive read");
}

static void a_single_read_in_a_class_gives_an_area_but_no_interval(void **state)
{
    const uint8_t one_positive[] = {1, 0, 0};
    const double scores[] = {3, 1, 3};
    const struct stats_auroc roc = stats_auroc(*state, 3, one_positive, scores);

    assert_value(roc.auc, 0.75);
    assert_undefined(roc.var, "single read");
    assert_undefined(roc.ci95, "single read");
}

static void a_variance_of_zero_is_marked_as_a_collapsed_interval(void **state)
{
    const uint8_t classes[] = {1, 1, 0, 0};
    const double perfect[] = {5, 4, 2, 1}, tied[] = {3, 3, 3, 3}, inverted[] = {1, 2, 4, 5};
    const double *const scores[] = {perfect, tied, inverted};
    const double expected[] = {1, 0.5, 0};

    for (size_t i = 0; i < COUNT(scores); i++) {
        const struct stats_auroc roc = stats_auroc(*state, 4, classes, scores[i]);
        assert_value(roc.auc, expected[i]);
        assert_true(roc.var.value == 0);
        assert_true(roc.ci_collapsed);
        assert_true(roc.ci95.low == roc.ci95.high);
    }
}

static void the_area_does_not_depend_on_the_order_of_the_reads(void **state)
{
    uint8_t truth_back[COUNT(truth)];
    double score_back[COUNT(truth)];

    for (size_t i = 0; i < COUNT(truth); i++) {
        truth_back[i] = truth[COUNT(truth) - 1 - i];
        score_back[i] = score[COUNT(truth) - 1 - i];
    }
    const struct stats_auroc a = stats_auroc(*state, COUNT(truth), truth, score);
    const struct stats_auroc b = stats_auroc(*state, COUNT(truth), truth_back, score_back);
    assert_true(a.auc.value == b.auc.value);
    assert_true(a.var.value == b.var.value);
}

/* At 5: 1 of 1, recall 1/4. At 4: 3 of 5, 3/4. At 3 and 2 recall stays. At 1: 4 of 10, 4/4. */
static void average_precision_takes_ties_as_one_step(void **state)
{
    assert_value(stats_average_precision(*state, COUNT(truth), truth, score),
                 0.25 * 1 + 0.5 * 3 / 5 + 0.25 * 4 / 10);
}

static void average_precision_counts_scores_of_zero_and_below_like_any_other(void **state)
{
    const uint8_t classes[] = {1, 0, 1};
    const double scores[] = {-1, 0, 2};

    assert_value(stats_average_precision(*state, 3, classes, scores), 0.5 * 1 + 0.5 * 2 / 3);
}

static void average_precision_is_undefined_without_a_positive(void **state)
{
    const uint8_t zeros[] = {0, 0};

    assert_undefined(stats_average_precision(*state, 2, zeros, score), "no truth-positive read");
    assert_undefined(stats_average_precision(*state, 0, NULL, NULL), "no reads");
}

/* Observed squares: 0 1 0 4 = 5. Expected: rows 1:1 2:1 3:1 5:1, columns 1:1 3:3, over 4:
 * (0 + 3*4) + (1 + 3*1) + (4 + 0) + (16 + 3*4) = 48 / 4 = 12. */
static void kappa_weighs_disagreement_by_its_square(void **state)
{
    (void)state;
    const uint8_t a[] = {1, 2, 3, 5}, b[] = {1, 3, 3, 3};

    assert_value(stats_kappa_quadratic(4, a, b, 5), 1 - 5.0 / 12);
}

static void kappa_keeps_the_fixed_categories_whether_used_or_not(void **state)
{
    (void)state;
    const uint8_t a[] = {1, 5, 1, 5}, b[] = {1, 5, 5, 5};

    assert_value(stats_kappa_quadratic(4, a, b, 5), 0.5);
    assert_value(stats_kappa_quadratic(4, a, b, 16), 0.5);
}

static void kappa_is_undefined_when_both_are_constant_and_equal(void **state)
{
    (void)state;
    const uint8_t three[] = {3, 3, 3}, four[] = {4, 4, 4};

    assert_undefined(stats_kappa_quadratic(3, three, three, 5), "same category");
    assert_value(stats_kappa_quadratic(3, three, four, 5), 0);
    assert_undefined(stats_kappa_quadratic(0, NULL, NULL, 5), "no reads");
}

static void a_mean_comes_with_median_and_deviation(void **state)
{
    const double seconds[] = {40, 10, 20, 90};
    const struct stats_mean four = stats_mean_of(*state, 4, seconds),
                            three = stats_mean_of(*state, 3, seconds);

    assert_int_equal(four.n, 4);
    assert_value(four.mean, 40);
    assert_value(four.median, 30);
    assert_value(four.deviation, sqrt((0.0 + 900 + 400 + 2500) / 3));
    assert_value(three.median, 20);
    assert_true(seconds[0] == 40);
}

static void a_mean_of_nothing_is_undefined(void **state)
{
    const double one[] = {7};

    assert_undefined(stats_mean_of(*state, 0, NULL).mean, "no reads");
    assert_undefined(stats_mean_of(*state, 0, NULL).median, "no reads");
    assert_value(stats_mean_of(*state, 1, one).mean, 7);
    assert_undefined(stats_mean_of(*state, 1, one).deviation, "single");
}

/* Pearson of (0 0 1 1) with (.2 .6 .4 .8): cov .2, squares 1 and .2. */
static void a_case_discriminates_when_the_able_get_it_right(void **state)
{
    (void)state;
    const uint8_t correct[] = {0, 0, 1, 1};
    const double ability[] = {.2, .6, .4, .8}, same[] = {.5, .5, .5, .5};

    assert_value(stats_discrimination(4, correct, ability), 0.2 / sqrt(0.2));
    assert_undefined(stats_discrimination(4, correct, same), "same ability");
    assert_undefined(stats_discrimination(2, correct, ability), "readers who were right");
    assert_undefined(stats_discrimination(0, NULL, NULL), "readers who were right");
}

static void a_sample_is_small_below_50_reads_or_10_of_a_class(void **state)
{
    (void)state;
    assert_true(stats_is_small(25, 24));
    assert_false(stats_is_small(25, 25));
    assert_true(stats_is_small(9, 100));
    assert_false(stats_is_small(10, 100));
    assert_true(stats_is_small(100, 9));
}

static void a_window_of_reads_holds_the_same_numbers_as_its_parts(void **state)
{
    const uint8_t categories[] = {5, 1, 4, 2, 3, 4, 4, 1, 4, 3}, expert[] = {5, 1, 4, 2, 3, 4, 3, 2, 4, 3};
    const struct stats_reads with = stats_reads_of(*state, &stats_pirads, COUNT(truth), truth, categories, expert);
    const struct stats_reads without = stats_reads_of(*state, &stats_pirads, COUNT(truth), truth, categories, NULL);

    assert_int_equal(with.n, COUNT(truth));
    assert_value(with.auroc.auc, 11.0 / 16);
    assert_int_equal(with.at[0].tp, 3);
    assert_int_equal(with.at[0].fp, 4);
    assert_int_equal(with.at[1].fp, 2);
    assert_value(with.kappa_quadratic, stats_kappa_quadratic(COUNT(truth), categories, expert, 5).value);
    assert_undefined(without.kappa_quadratic, "no reference");
}

static void a_scale_that_begins_at_0_gives_the_numbers_of_one_that_begins_at_1(void **state)
{
    const struct stats_scale from_0 = {.lowest = 0, .levels = 5, .thresholds = 3, .positive_from = {1, 2, 3}};
    const uint8_t categories[] = {5, 1, 4, 2, 3, 4, 4, 1, 4, 3}, expert[] = {5, 1, 4, 2, 3, 4, 3, 2, 4, 3};
    uint8_t less[COUNT(truth)], expert_less[COUNT(truth)];

    for (size_t i = 0; i < COUNT(truth); i++) {
        less[i] = (uint8_t)(categories[i] - 1);
        expert_less[i] = (uint8_t)(expert[i] - 1);
    }
    const struct stats_reads one = stats_reads_of(*state, &stats_pirads, COUNT(truth), truth, categories, expert);
    const struct stats_reads zero = stats_reads_of(*state, &from_0, COUNT(truth), truth, less, expert_less);
    assert_value(zero.auroc.auc, one.auroc.auc.value);
    assert_value(zero.auroc.var, one.auroc.var.value);
    assert_value(zero.average_precision, one.average_precision.value);
    assert_value(zero.kappa_quadratic, one.kappa_quadratic.value);
    assert_int_equal(zero.at[1].tp, one.at[0].tp);
    assert_int_equal(zero.at[2].fp, one.at[1].fp);
    assert_int_equal(zero.at[0].tn + zero.at[0].fn, 2); /* category 1 was given twice */
}

static void kappa_is_over_the_reads_that_have_a_reference(void **state)
{
    const uint8_t categories[] = {5, 1, 4, 2, 3, 4, 4, 1, 4, 3}, some[] = {5, 255, 3, 255, 2, 4, 255, 1, 4, 3};
    const uint8_t own[] = {5, 4, 3, 4, 1, 4, 3}, expert[] = {5, 3, 2, 4, 1, 4, 3};
    uint8_t none[COUNT(truth)];

    const struct stats_reads reads = stats_reads_of(*state, &stats_pirads, COUNT(truth), truth, categories, some);
    assert_int_equal(reads.referenced, COUNT(own));
    assert_value(reads.kappa_quadratic, stats_kappa_quadratic(COUNT(own), own, expert, 5).value);
    for (size_t i = 0; i < COUNT(none); i++)
        none[i] = STATS_NO_REFERENCE;
    assert_undefined(stats_reads_of(*state, &stats_pirads, COUNT(truth), truth, categories, none).kappa_quadratic,
                     "no reference");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        arena_test(sixteen_of_twenty_is_58_to_92_percent),
        arena_test(a_share_interval_ends_exactly_at_0_and_1),
        arena_test(a_share_of_nothing_is_undefined_for_the_reason_given),
        arena_test(a_table_counts_called_at_or_above_the_threshold),
        arena_test(a_table_leaves_what_has_no_denominator_undefined),
        arena_test(the_area_and_its_delong_variance_are_those_of_the_placements),
        arena_test(the_area_is_undefined_without_one_of_the_classes),
        arena_test(a_single_read_in_a_class_gives_an_area_but_no_interval),
        arena_test(a_variance_of_zero_is_marked_as_a_collapsed_interval),
        arena_test(the_area_does_not_depend_on_the_order_of_the_reads),
        arena_test(average_precision_takes_ties_as_one_step),
        arena_test(average_precision_counts_scores_of_zero_and_below_like_any_other),
        arena_test(average_precision_is_undefined_without_a_positive),
        arena_test(kappa_weighs_disagreement_by_its_square),
        arena_test(kappa_keeps_the_fixed_categories_whether_used_or_not),
        arena_test(kappa_is_undefined_when_both_are_constant_and_equal),
        arena_test(a_mean_comes_with_median_and_deviation),
        arena_test(a_mean_of_nothing_is_undefined),
        arena_test(a_case_discriminates_when_the_able_get_it_right),
        arena_test(a_sample_is_small_below_50_reads_or_10_of_a_class),
        arena_test(a_window_of_reads_holds_the_same_numbers_as_its_parts),
        arena_test(a_scale_that_begins_at_0_gives_the_numbers_of_one_that_begins_at_1),
        arena_test(kappa_is_over_the_reads_that_have_a_reference),
    };
    return cmocka_run_group_tests_name("statistics", tests, NULL, NULL);
}
