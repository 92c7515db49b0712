/* Lung-RADS v2022, written out from the ACR's table: every row at its thresholds. */
#include "lung_ct/lungrads.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define X LUNG_UNKNOWN

struct row {
    enum lung_type type;
    enum lung_status status;
    int mean, solid;
    enum lung_category category;
};

static struct lung_reading reading_of(enum lung_type type, enum lung_status status, int mean, int solid)
{
    return (struct lung_reading){.type = type,
                                 .status = status,
                                 .mean = mean,
                                 .solid = solid,
                                 .prior_mean = X,
                                 .prior_solid = X,
                                 .solid_status = X,
                                 .airway = X,
                                 .cyst = X,
                                 .cyst_change = X,
                                 .interval_months = X};
}

static void check(const struct lung_reading *reading, enum lung_category expected, size_t at)
{
    struct lung_ruling ruling = lung_category_of(reading);
    assert_non_null(ruling.rule);
    if (ruling.category != expected)
        fail_msg("row %zu: type %d status %d mean %d solid %d gives %s, not %s", at, reading->type,
                 reading->status, reading->mean, reading->solid, lung_category_text((int)ruling.category),
                 lung_category_text((int)expected));
}

static const struct row rows[] = {
    {LUNG_SOLID, LUNG_BASELINE, 5, X, LUNG_2},
    {LUNG_SOLID, LUNG_BASELINE, 59, X, LUNG_2},
    {LUNG_SOLID, LUNG_BASELINE, 60, X, LUNG_3},
    {LUNG_SOLID, LUNG_BASELINE, 79, X, LUNG_3},
    {LUNG_SOLID, LUNG_BASELINE, 80, X, LUNG_4A},
    {LUNG_SOLID, LUNG_BASELINE, 149, X, LUNG_4A},
    {LUNG_SOLID, LUNG_BASELINE, 150, X, LUNG_4B},
    {LUNG_SOLID, LUNG_BASELINE, 600, X, LUNG_4B},
    {LUNG_SOLID, LUNG_NEW, 39, X, LUNG_2},
    {LUNG_SOLID, LUNG_NEW, 40, X, LUNG_3},
    {LUNG_SOLID, LUNG_NEW, 59, X, LUNG_3},
    {LUNG_SOLID, LUNG_NEW, 60, X, LUNG_4A},
    {LUNG_SOLID, LUNG_NEW, 79, X, LUNG_4A},
    {LUNG_SOLID, LUNG_NEW, 80, X, LUNG_4B},
    {LUNG_SOLID, LUNG_GROWING, 50, X, LUNG_4A},
    {LUNG_SOLID, LUNG_GROWING, 79, X, LUNG_4A},
    {LUNG_SOLID, LUNG_GROWING, 80, X, LUNG_4B},
    {LUNG_SOLID, LUNG_SLOWLY_GROWING, 50, X, LUNG_4B},
    {LUNG_SOLID, LUNG_STABLE, 59, X, LUNG_2},
    {LUNG_SOLID, LUNG_STABLE, 60, X, LUNG_NOT_DEFINED}, /* what it was before decides */
    {LUNG_PART_SOLID, LUNG_BASELINE, 59, 59, LUNG_2},
    {LUNG_PART_SOLID, LUNG_BASELINE, 59, X, LUNG_2},
    {LUNG_PART_SOLID, LUNG_BASELINE, 60, X, LUNG_NOT_DEFINED},
    {LUNG_PART_SOLID, LUNG_BASELINE, 60, 20, LUNG_3},
    {LUNG_PART_SOLID, LUNG_BASELINE, 300, 59, LUNG_3},
    {LUNG_PART_SOLID, LUNG_BASELINE, 60, 60, LUNG_4A},
    {LUNG_PART_SOLID, LUNG_BASELINE, 120, 79, LUNG_4A},
    {LUNG_PART_SOLID, LUNG_BASELINE, 120, 80, LUNG_4B},
    {LUNG_PART_SOLID, LUNG_NEW, 59, 10, LUNG_3},
    {LUNG_PART_SOLID, LUNG_NEW, 59, 50, LUNG_3},
    {LUNG_PART_SOLID, LUNG_NEW, 60, 39, LUNG_4A},
    {LUNG_PART_SOLID, LUNG_NEW, 60, 40, LUNG_4B},
    {LUNG_PART_SOLID, LUNG_NEW, 60, X, LUNG_NOT_DEFINED},
    {LUNG_PART_SOLID, LUNG_GROWING, 90, 30, LUNG_NOT_DEFINED}, /* what of its solid component? */
    {LUNG_PART_SOLID, LUNG_SLOWLY_GROWING, 90, 30, LUNG_4B},
    {LUNG_PART_SOLID, LUNG_STABLE, 50, 10, LUNG_2},
    {LUNG_GROUND_GLASS, LUNG_BASELINE, 299, X, LUNG_2},
    {LUNG_GROUND_GLASS, LUNG_BASELINE, 300, X, LUNG_3},
    {LUNG_GROUND_GLASS, LUNG_NEW, 299, X, LUNG_2},
    {LUNG_GROUND_GLASS, LUNG_NEW, 300, X, LUNG_3},
    {LUNG_GROUND_GLASS, LUNG_GROWING, 299, X, LUNG_2},
    {LUNG_GROUND_GLASS, LUNG_GROWING, 300, X, LUNG_NOT_DEFINED},
    {LUNG_GROUND_GLASS, LUNG_STABLE, 300, X, LUNG_2},
    {LUNG_GROUND_GLASS, LUNG_SLOWLY_GROWING, 300, X, LUNG_2},
    {LUNG_JUXTAPLEURAL, LUNG_BASELINE, 99, X, LUNG_2},
    {LUNG_JUXTAPLEURAL, LUNG_BASELINE, 100, X, LUNG_4A},
    {LUNG_JUXTAPLEURAL, LUNG_NEW, 99, X, LUNG_2},
    {LUNG_JUXTAPLEURAL, LUNG_NEW, 100, X, LUNG_4B},
    {LUNG_JUXTAPLEURAL, LUNG_STABLE, 99, X, LUNG_2},
    {LUNG_JUXTAPLEURAL, LUNG_GROWING, 79, X, LUNG_4A},
    {LUNG_JUXTAPLEURAL, LUNG_GROWING, 80, X, LUNG_4B},
    {LUNG_BENIGN, LUNG_BASELINE, 200, X, LUNG_1},
    {LUNG_BENIGN, LUNG_GROWING, 200, X, LUNG_1},
};

static void every_row_of_the_table_by_size_holds_at_its_thresholds(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct lung_reading reading = reading_of(rows[i].type, rows[i].status, rows[i].mean, rows[i].solid);
        check(&reading, rows[i].category, i);
    }
}

static void a_volume_has_the_acrs_thresholds_to_the_cubic_millimetre(void **state)
{
    static const struct {
        int mm3, tenths;
    } thresholds[] = {{34, 40}, {113, 60}, {268, 80}, {524, 100}, {1767, 150}, {14137, 300}};
    (void)state;
    for (size_t i = 0; i < sizeof(thresholds) / sizeof(thresholds[0]); i++) {
        assert_int_equal(lung_diameter_of_volume(thresholds[i].mm3), thresholds[i].tenths);
        assert_int_equal(lung_diameter_of_volume(thresholds[i].mm3 - 1), thresholds[i].tenths - 1);
    }
    assert_int_equal(lung_diameter_of_volume(0), 0);
    assert_int_equal(lung_diameter_of_volume(1), 14);
    assert_int_equal(lung_diameter_of_volume(4188790), 2000);
    assert_int_equal(lung_diameter_of_volume(10000000), 2000);
}

static void a_new_or_growing_solid_component_counts_from_four_millimetres(void **state)
{
    static const struct {
        enum lung_status status;
        int solid_status, solid;
        enum lung_category category;
    } parts[] = {{LUNG_STABLE, LUNG_SOLID_NEW, 39, LUNG_4A},
                 {LUNG_STABLE, LUNG_SOLID_NEW, 40, LUNG_4B},
                 {LUNG_GROWING, LUNG_SOLID_GROWING, 39, LUNG_4A},
                 {LUNG_GROWING, LUNG_SOLID_GROWING, 40, LUNG_4B},
                 {LUNG_GROWING, LUNG_SOLID_NEW, X, LUNG_NOT_DEFINED}};
    (void)state;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        struct lung_reading reading = reading_of(LUNG_PART_SOLID, parts[i].status, 90, parts[i].solid);
        reading.solid_status = parts[i].solid_status;
        check(&reading, parts[i].category, i);
    }
}

static void airway_nodules_are_judged_by_their_level(void **state)
{
    static const enum lung_category subsegmental[] = {LUNG_2, LUNG_2, LUNG_2, LUNG_NOT_DEFINED,
                                                      LUNG_NOT_DEFINED};
    static const enum lung_category proximal[] = {LUNG_4A, LUNG_4A, LUNG_4B, LUNG_4B, LUNG_4B};
    (void)state;
    for (int status = LUNG_BASELINE; status <= LUNG_SLOWLY_GROWING; status++) {
        struct lung_reading reading = reading_of(LUNG_AIRWAY, (enum lung_status)status, 50, X);
        check(&reading, LUNG_NOT_DEFINED, 100);
        reading.airway = LUNG_SUBSEGMENTAL;
        check(&reading, subsegmental[status], (size_t)status);
        reading.airway = LUNG_SEGMENTAL_OR_PROXIMAL;
        check(&reading, proximal[status], (size_t)status);
    }
}

static void atypical_cysts_are_judged_by_kind_and_change(void **state)
{
    /* [kind][change] at follow-up: none, larger, wall, became multilocular, more */
    static const enum lung_category changes[3][5] = {
        {LUNG_NOT_DEFINED, LUNG_NOT_DEFINED, LUNG_NOT_DEFINED, LUNG_NOT_DEFINED, LUNG_NOT_DEFINED},
        {LUNG_NOT_DEFINED, LUNG_3, LUNG_4B, LUNG_NOT_DEFINED, LUNG_NOT_DEFINED},
        {LUNG_NOT_DEFINED, LUNG_4B, LUNG_NOT_DEFINED, LUNG_4A, LUNG_4B}};
    static const enum lung_category baseline[] = {LUNG_NOT_DEFINED, LUNG_4A, LUNG_4A};
    static const enum lung_category new_ones[] = {LUNG_NOT_DEFINED, LUNG_4A, LUNG_NOT_DEFINED};
    (void)state;
    for (int kind = LUNG_CYST_THIN; kind <= LUNG_CYST_MULTILOCULAR; kind++) {
        struct lung_reading reading = reading_of(LUNG_CYST, LUNG_BASELINE, 150, X);
        reading.cyst = kind;
        check(&reading, baseline[kind], (size_t)kind);
        reading.status = LUNG_NEW;
        check(&reading, new_ones[kind], (size_t)kind);
        reading.status = LUNG_GROWING;
        for (int change = LUNG_CYST_SAME; change <= LUNG_CYST_MORE; change++) {
            reading.cyst_change = change;
            check(&reading, changes[kind][change], (size_t)(10 * kind + change));
        }
    }
}

static void a_stable_nodule_steps_down_after_the_time_that_its_category_asks(void **state)
{
    static const struct {
        int prior_category, months, prior_mean, mean;
        enum lung_category category;
    } steps[] = {
        {LUNG_2, 12, 50, 55, LUNG_2},
        {LUNG_2, 12, 70, 70, LUNG_2},
        {LUNG_2, 12, X, 70, LUNG_NOT_DEFINED},
        {LUNG_3, 6, 70, 70, LUNG_2},
        {LUNG_3, 5, 70, 70, LUNG_NOT_DEFINED},
        {LUNG_3, 6, 70, 50, LUNG_2},
        {LUNG_4A, 3, 90, 90, LUNG_3},
        {LUNG_4A, 2, 90, 90, LUNG_NOT_DEFINED},
        {LUNG_4B, 3, 160, 160, LUNG_NOT_DEFINED},
        {LUNG_4X, 3, 160, 160, LUNG_NOT_DEFINED},
        {LUNG_2, 12, 55, 61, LUNG_3}, /* a threshold crossed without growth */
        {LUNG_3, 6, 75, 82, LUNG_4A},
        {LUNG_4A, 3, 145, 152, LUNG_4B},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct lung_reading reading = reading_of(LUNG_SOLID, LUNG_STABLE, steps[i].mean, X);
        reading.prior_category = steps[i].prior_category;
        reading.prior_mean = steps[i].prior_mean;
        reading.interval_months = steps[i].months;
        check(&reading, steps[i].category, i);
    }
    struct lung_reading benign = reading_of(LUNG_SOLID, LUNG_STABLE, 160, X);
    benign.prior_category = LUNG_4B;
    benign.proven_benign = true;
    check(&benign, LUNG_2, 100);
    struct lung_reading cyst = reading_of(LUNG_CYST, LUNG_STABLE, 150, X);
    cyst.cyst = LUNG_CYST_THICK;
    cyst.cyst_change = LUNG_CYST_SAME;
    cyst.prior_category = LUNG_4A;
    cyst.interval_months = 3;
    check(&cyst, LUNG_3, 101);
}

struct crossing {
    enum lung_type type;
    int prior_mean, mean, prior_solid, solid;
    enum lung_category by_size, by_prior[LUNG_4X + 1]; /* [prior category] after a year */
};

/* Was: not known, 1, 2, 3, 4A, 4B, 4X. What steps down after a year is not defined after a month. */
static const struct crossing crossings[] = {
    {LUNG_SOLID, 55, 62, X, X, LUNG_3, {LUNG_3, LUNG_3, LUNG_3, LUNG_3, LUNG_3}},
    {LUNG_SOLID, 75, 82, X, X, LUNG_4A, {LUNG_4A, LUNG_4A, LUNG_4A, LUNG_4A, LUNG_4A}},
    {LUNG_SOLID, 145, 152, X, X, LUNG_4B, {LUNG_4B, LUNG_4B, LUNG_4B, LUNG_4B, LUNG_4B, LUNG_4B}},
    {LUNG_PART_SOLID, 55, 62, 30, 30, LUNG_3, {LUNG_3, LUNG_3, LUNG_3, LUNG_3, LUNG_3}},
    {LUNG_PART_SOLID, 90, 90, 50, 62, LUNG_4A, {LUNG_4A, LUNG_4A, LUNG_4A, LUNG_4A, LUNG_4A}},
    {LUNG_PART_SOLID, 90, 90, 75, 82, LUNG_4B, {LUNG_4B, LUNG_4B, LUNG_4B, LUNG_4B, LUNG_4B, LUNG_4B}},
    {LUNG_JUXTAPLEURAL, 95, 104, X, X, LUNG_4A, {LUNG_4A, LUNG_4A, LUNG_4A, LUNG_4A, LUNG_4A}},
    {LUNG_JUXTAPLEURAL, 145, 152, X, X, LUNG_4B, {LUNG_4B, LUNG_4B, LUNG_4B, LUNG_4B, LUNG_4B, LUNG_4B}},
    /* the thresholds of solid ones below 10 mm are none of a juxtapleural one */
    {LUNG_JUXTAPLEURAL, 55, 62, X, X, LUNG_2, {LUNG_2, LUNG_2, LUNG_2, LUNG_2, LUNG_3}},
    {LUNG_JUXTAPLEURAL, 75, 82, X, X, LUNG_2, {LUNG_2, LUNG_2, LUNG_2, LUNG_2, LUNG_3}},
};

static void a_threshold_that_a_stable_nodule_crosses_never_lowers_its_category(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(crossings) / sizeof(crossings[0]); i++) {
        const struct crossing *row = &crossings[i];
        struct lung_reading reading = reading_of(row->type, LUNG_STABLE, row->mean, row->solid);
        reading.prior_mean = row->prior_mean;
        reading.prior_solid = row->prior_solid;
        for (int prior = LUNG_NOT_DEFINED; prior <= LUNG_4X; prior++) {
            bool by_time = (int)row->by_size < prior && prior <= (int)LUNG_4A;
            reading.prior_category = prior;
            reading.interval_months = 12;
            check(&reading, row->by_prior[prior], i * 10 + (size_t)prior);
            reading.interval_months = 1;
            check(&reading, by_time ? LUNG_NOT_DEFINED : row->by_prior[prior], 1000 + i * 10 + (size_t)prior);
        }
        reading.prior_category = LUNG_4B;
        reading.proven_benign = true;
        check(&reading, LUNG_2, 2000 + i);
    }
}

static void crossing_a_threshold_lowers_no_category_in_growth_either(void **state)
{
    struct lung_reading part = reading_of(LUNG_PART_SOLID, LUNG_GROWING, 75, 20);
    struct lung_reading glass = reading_of(LUNG_GROUND_GLASS, LUNG_STABLE, 301, X);
    (void)state;
    part.solid_status = LUNG_SOLID_UNCHANGED;
    part.prior_mean = 55;
    part.prior_solid = 20;
    part.prior_category = LUNG_3;
    check(&part, LUNG_3, 0);
    part.prior_category = LUNG_4A;
    check(&part, LUNG_NOT_DEFINED, 1);
    glass.prior_mean = 299;
    glass.interval_months = 12;
    for (int prior = LUNG_NOT_DEFINED; prior <= LUNG_4X; prior++) {
        glass.prior_category = prior;
        glass.status = LUNG_STABLE;
        check(&glass, prior <= (int)LUNG_3 ? LUNG_3 : LUNG_NOT_DEFINED, 10 + (size_t)prior);
        glass.status = LUNG_GROWING;
        check(&glass, prior <= (int)LUNG_3 ? LUNG_3 : LUNG_NOT_DEFINED, 20 + (size_t)prior);
        glass.status = LUNG_SLOWLY_GROWING;
        check(&glass, LUNG_NOT_DEFINED, 30 + (size_t)prior);
    }
    glass.status = LUNG_STABLE;
    glass.prior_category = LUNG_4B;
    glass.proven_benign = true;
    check(&glass, LUNG_2, 40);
}

static void thresholds_crossed_by_ground_glass_and_part_solid_nodules_reclassify(void **state)
{
    struct lung_reading glass = reading_of(LUNG_GROUND_GLASS, LUNG_GROWING, 310, X);
    (void)state;
    glass.prior_mean = 290;
    check(&glass, LUNG_3, 0);
    glass.status = LUNG_STABLE;
    glass.prior_mean = 299;
    check(&glass, LUNG_3, 1);
    glass.status = LUNG_SLOWLY_GROWING; /* one rule says 2, another 3 */
    check(&glass, LUNG_NOT_DEFINED, 2);
    struct lung_reading part = reading_of(LUNG_PART_SOLID, LUNG_GROWING, 75, 20);
    part.solid_status = LUNG_SOLID_UNCHANGED;
    part.prior_mean = 55;
    part.prior_solid = 20;
    check(&part, LUNG_3, 3);
    part.prior_mean = 60;
    check(&part, LUNG_NOT_DEFINED, 4);
}

static void suspicious_features_turn_three_and_four_into_4x_and_nothing_else(void **state)
{
    static const int means[] = {50, 60, 80, 150};
    static const enum lung_category expected[] = {LUNG_2, LUNG_4X, LUNG_4X, LUNG_4X};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct lung_reading reading = reading_of(LUNG_SOLID, LUNG_BASELINE, means[i], X);
        reading.suspicious = true;
        check(&reading, expected[i], i);
    }
    struct lung_reading unknown = reading_of(LUNG_SOLID, LUNG_STABLE, 90, X);
    unknown.suspicious = true;
    check(&unknown, LUNG_NOT_DEFINED, 5);
}

static void growth_is_more_than_one_and_a_half_millimetres_within_a_year(void **state)
{
    struct lung_reading reading = reading_of(LUNG_SOLID, LUNG_GROWING, 65, X);
    (void)state;
    reading.prior_mean = 50;
    reading.interval_months = 12;
    assert_non_null(lung_growth_objection(&reading)); /* exactly 1.5 mm */
    reading.mean = 66;
    assert_null(lung_growth_objection(&reading));
    reading.status = LUNG_STABLE;
    assert_non_null(lung_growth_objection(&reading));
    reading.status = LUNG_SLOWLY_GROWING;
    assert_non_null(lung_growth_objection(&reading));
    reading.status = LUNG_NEW;
    assert_non_null(lung_growth_objection(&reading));
    reading.interval_months = 13; /* not known for any 12 months */
    assert_null(lung_growth_objection(&reading));
    struct lung_reading part = reading_of(LUNG_PART_SOLID, LUNG_GROWING, 90, 50);
    part.prior_mean = 90;
    part.interval_months = 6;
    assert_non_null(lung_growth_objection(&part));
    part.solid_status = LUNG_SOLID_GROWING;
    assert_null(lung_growth_objection(&part));
}

static void management_follows_from_the_category(void **state)
{
    /* 12 months, 6 months, 3 months, PET/CT or tissue, complete the examination */
    static const bool small[][5] = {{0, 0, 0, 0, 0}, {1, 0, 0, 0, 0}, {1, 0, 0, 0, 0}, {0, 1, 0, 0, 0},
                                    {0, 0, 1, 0, 0}, {0, 0, 0, 1, 0}, {0, 0, 0, 1, 0}, {0, 0, 0, 0, 1}};
    (void)state;
    for (int category = LUNG_NOT_DEFINED; category <= LUNG_INCOMPLETE; category++) {
        for (int management = 0; management < 5; management++) {
            bool large =
                small[category][management] || (category == LUNG_4A && management == LUNG_PET_CT_OR_TISSUE);
            assert_int_equal(
                lung_management_fits((enum lung_category)category, false, (enum lung_management)management),
                small[category][management]);
            assert_int_equal(
                lung_management_fits((enum lung_category)category, true, (enum lung_management)management),
                large);
        }
    }
    struct lung_reading reading = reading_of(LUNG_SOLID, LUNG_BASELINE, 80, X);
    assert_true(lung_is_large_solid(&reading));
    reading.mean = 79;
    assert_false(lung_is_large_solid(&reading));
    reading = reading_of(LUNG_PART_SOLID, LUNG_BASELINE, 200, 79);
    assert_false(lung_is_large_solid(&reading));
    reading = reading_of(LUNG_GROUND_GLASS, LUNG_BASELINE, 200, X);
    assert_false(lung_is_large_solid(&reading));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_of_the_table_by_size_holds_at_its_thresholds),
        cmocka_unit_test(a_volume_has_the_acrs_thresholds_to_the_cubic_millimetre),
        cmocka_unit_test(a_new_or_growing_solid_component_counts_from_four_millimetres),
        cmocka_unit_test(airway_nodules_are_judged_by_their_level),
        cmocka_unit_test(atypical_cysts_are_judged_by_kind_and_change),
        cmocka_unit_test(a_stable_nodule_steps_down_after_the_time_that_its_category_asks),
        cmocka_unit_test(a_threshold_that_a_stable_nodule_crosses_never_lowers_its_category),
        cmocka_unit_test(crossing_a_threshold_lowers_no_category_in_growth_either),
        cmocka_unit_test(thresholds_crossed_by_ground_glass_and_part_solid_nodules_reclassify),
        cmocka_unit_test(suspicious_features_turn_three_and_four_into_4x_and_nothing_else),
        cmocka_unit_test(growth_is_more_than_one_and_a_half_millimetres_within_a_year),
        cmocka_unit_test(management_follows_from_the_category),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
