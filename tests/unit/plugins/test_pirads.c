#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "prostate_mri/pirads.h"

static int category(enum pirads_zone basis, int t2w, int dwi, enum pirads_dce dce)
{
    return pirads_category(basis, (struct pirads_scores){.t2w = t2w, .dwi = dwi, .dce = dce}).category;
}

/* Written out cell by cell from the tables of PI-RADS v2.1, rows T2W 1 to 5, columns DWI 1 to 5. */
static const int peripheral_negative[5][5] = {
    {1, 2, 3, 4, 5}, {1, 2, 3, 4, 5}, {1, 2, 3, 4, 5}, {1, 2, 3, 4, 5}, {1, 2, 3, 4, 5}};
static const int peripheral_positive[5][5] = {
    {1, 2, 4, 4, 5}, {1, 2, 4, 4, 5}, {1, 2, 4, 4, 5}, {1, 2, 4, 4, 5}, {1, 2, 4, 4, 5}};
static const int transition[5][5] = {
    {1, 1, 1, 1, 1}, {2, 2, 2, 3, 3}, {3, 3, 3, 3, 4}, {4, 4, 4, 4, 4}, {5, 5, 5, 5, 5}};

static void all_fifty_peripheral_combinations_follow_the_table(void **state)
{
    (void)state;
    for (int t2w = 1; t2w <= 5; t2w++) {
        for (int dwi = 1; dwi <= 5; dwi++) {
            assert_int_equal(category(PIRADS_PZ, t2w, dwi, PIRADS_DCE_NEGATIVE),
                             peripheral_negative[t2w - 1][dwi - 1]);
            assert_int_equal(category(PIRADS_PZ, t2w, dwi, PIRADS_DCE_POSITIVE),
                             peripheral_positive[t2w - 1][dwi - 1]);
        }
    }
}

static void all_twentyfive_transition_combinations_follow_the_table_whatever_dce_says(void **state)
{
    (void)state;
    for (int t2w = 1; t2w <= 5; t2w++) {
        for (int dwi = 1; dwi <= 5; dwi++) {
            for (int dce = PIRADS_DCE_NEGATIVE; dce <= PIRADS_DCE_NOT_DONE; dce++)
                assert_int_equal(category(PIRADS_TZ, t2w, dwi, (enum pirads_dce)dce),
                                 transition[t2w - 1][dwi - 1]);
        }
    }
}

static void without_contrast_dce_counts_as_not_positive(void **state)
{
    (void)state;
    for (int t2w = 1; t2w <= 5; t2w++) {
        for (int dwi = 1; dwi <= 5; dwi++)
            assert_int_equal(category(PIRADS_PZ, t2w, dwi, PIRADS_DCE_NOT_DONE),
                             peripheral_negative[t2w - 1][dwi - 1]);
    }
}

static void with_inadequate_dwi_t2w_decides_and_the_unknown_upgrade_is_not_guessed(void **state)
{
    (void)state;
    for (int basis = PIRADS_PZ; basis <= PIRADS_TZ; basis++) {
        enum pirads_zone zone = (enum pirads_zone)basis;
        for (int t2w = 1; t2w <= 5; t2w++)
            assert_int_equal(category(zone, t2w, PIRADS_SCORE_X, PIRADS_DCE_NEGATIVE), t2w);
        assert_int_equal(category(zone, 2, PIRADS_SCORE_X, PIRADS_DCE_POSITIVE), 2);
        assert_int_equal(category(zone, 3, PIRADS_SCORE_X, PIRADS_DCE_POSITIVE), 0);
        assert_int_equal(category(zone, PIRADS_SCORE_X, PIRADS_SCORE_X, PIRADS_DCE_NEGATIVE), 0);
    }
}

static void inadequate_t2w_leaves_the_peripheral_zone_to_dwi_and_the_transition_zone_undefined(void **state)
{
    (void)state;
    assert_int_equal(category(PIRADS_PZ, PIRADS_SCORE_X, 3, PIRADS_DCE_POSITIVE), 4);
    assert_int_equal(category(PIRADS_PZ, PIRADS_SCORE_X, 5, PIRADS_DCE_NEGATIVE), 5);
    assert_int_equal(category(PIRADS_TZ, PIRADS_SCORE_X, 4, PIRADS_DCE_NEGATIVE), 0);
}

static void upgrades_are_rows_of_their_own_and_name_their_source(void **state)
{
    (void)state;
    struct pirads_ruling plain =
        pirads_category(PIRADS_PZ, (struct pirads_scores){3, 4, PIRADS_DCE_NEGATIVE});
    struct pirads_ruling upgraded =
        pirads_category(PIRADS_PZ, (struct pirads_scores){3, 3, PIRADS_DCE_POSITIVE});
    assert_int_equal(plain.category, upgraded.category);
    assert_int_not_equal(plain.row, upgraded.row);
    assert_non_null(strstr(upgraded.rule, "PI-RADS v2.1"));
    assert_non_null(strstr(upgraded.rule, "DCE positive"));
}

static void central_zone_and_stroma_have_a_basis_by_default(void **state)
{
    (void)state;
    assert_int_equal(pirads_default_basis(PIRADS_CZ), PIRADS_PZ);
    assert_int_equal(pirads_default_basis(PIRADS_AFS), PIRADS_TZ);
    assert_int_equal(pirads_default_basis(PIRADS_PZ), PIRADS_PZ);
    assert_int_equal(pirads_default_basis(PIRADS_TZ), PIRADS_TZ);
}

static void expect_against_size(enum pirads_zone basis, int t2w, int dwi, bool small, bool large,
                                const char *sequence)
{
    int score;
    const char *got = pirads_score_against_size(basis, (struct pirads_scores){t2w, dwi, PIRADS_DCE_NEGATIVE},
                                                small, large, &score);
    if (sequence)
        assert_string_equal(got, sequence);
    else
        assert_null(got);
}

static void a_deciding_5_is_large_or_invasive_and_a_deciding_4_neither(void **state)
{
    (void)state;
    for (int other = 1; other <= 5; other++) {
        expect_against_size(PIRADS_PZ, other, 5, true, false, "DWI");
        expect_against_size(PIRADS_PZ, other, 5, false, true, NULL);
        expect_against_size(PIRADS_PZ, other, 4, false, true, "DWI");
        expect_against_size(PIRADS_PZ, other, 4, true, false, NULL);
        expect_against_size(PIRADS_PZ, other, 3, true, false, NULL);
        expect_against_size(PIRADS_TZ, 5, other, true, false, "T2W");
        expect_against_size(PIRADS_TZ, 4, other, false, true, "T2W");
        expect_against_size(PIRADS_TZ, 4, other, true, false, NULL);
        expect_against_size(PIRADS_PZ, other, 5, false, false, NULL); /* the size is not known */
    }
    expect_against_size(PIRADS_TZ, 3, 5, true, false, "DWI"); /* it decides the upgrade */
    expect_against_size(PIRADS_TZ, 3, 4, false, true, "DWI"); /* and so would 5 */
    expect_against_size(PIRADS_TZ, 3, 4, true, false, NULL);
    expect_against_size(PIRADS_TZ, 2, 4, false, true, NULL);
    expect_against_size(PIRADS_TZ, 2, 5, true, false, NULL);
    expect_against_size(PIRADS_PZ, 5, PIRADS_SCORE_X, true, false, "T2W");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_fifty_peripheral_combinations_follow_the_table),
        cmocka_unit_test(all_twentyfive_transition_combinations_follow_the_table_whatever_dce_says),
        cmocka_unit_test(without_contrast_dce_counts_as_not_positive),
        cmocka_unit_test(with_inadequate_dwi_t2w_decides_and_the_unknown_upgrade_is_not_guessed),
        cmocka_unit_test(inadequate_t2w_leaves_the_peripheral_zone_to_dwi_and_the_transition_zone_undefined),
        cmocka_unit_test(upgrades_are_rows_of_their_own_and_name_their_source),
        cmocka_unit_test(a_deciding_5_is_large_or_invasive_and_a_deciding_4_neither),
        cmocka_unit_test(central_zone_and_stroma_have_a_basis_by_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
