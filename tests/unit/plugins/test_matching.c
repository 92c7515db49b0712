#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "common/assign.h"
#include "prostate_mri/matching.h"

static uint64_t random_state;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* --- The assignment alone
 * ------------------------------------------------------------------------------------------ */

static int64_t best_by_trying(int row, int rows, int columns, int64_t weight[MODEL_LESIONS][MODEL_LESIONS],
                              unsigned used)
{
    if (row == rows)
        return 0;
    int64_t best = best_by_trying(row + 1, rows, columns, weight, used); /* this row stays alone */
    for (int c = 0; c < columns; c++) {
        if (used & 1u << c || weight[row][c] < 0)
            continue;
        int64_t sum = weight[row][c] + best_by_trying(row + 1, rows, columns, weight, used | 1u << c);
        best = sum > best ? sum : best;
    }
    return best;
}

static int64_t sum_of(int rows, int64_t weight[MODEL_LESIONS][MODEL_LESIONS],
                      const int column_of[MODEL_LESIONS])
{
    int64_t sum = 0;
    unsigned used = 0;
    for (int r = 0; r < rows; r++) {
        if (column_of[r] < 0)
            continue;
        assert_false(used & 1u << column_of[r]); /* one to one */
        assert_true(weight[r][column_of[r]] >= 0);
        used |= 1u << column_of[r];
        sum += weight[r][column_of[r]];
    }
    return sum;
}

static void the_assignment_is_as_good_as_trying_every_one(void **state)
{
    int64_t weight[MODEL_LESIONS][MODEL_LESIONS];
    int column_of[MODEL_LESIONS];
    (void)state;
    random_state = 20240607;
    for (int round = 0; round < 3000; round++) {
        int rows = (int)(next_random() % 6), columns = (int)(next_random() % 6);
        for (int r = 0; r < rows; r++) {
            for (int c = 0; c < columns; c++)
                weight[r][c] = next_random() % 3 ? (int64_t)(next_random() % 50) + 1 : -1;
        }
        assign_best(rows, columns, weight, column_of);
        assert_int_equal(sum_of(rows, weight, column_of), best_by_trying(0, rows, columns, weight, 0));
    }
}

static void twenty_against_twenty_are_all_paired_on_the_diagonal_when_that_is_best(void **state)
{
    int64_t weight[MODEL_LESIONS][MODEL_LESIONS];
    int column_of[MODEL_LESIONS];
    (void)state;
    for (int r = 0; r < MODEL_LESIONS; r++) {
        for (int c = 0; c < MODEL_LESIONS; c++)
            weight[r][c] =
                INT64_C(10000000000000000) + (r == (c + 7) % MODEL_LESIONS ? INT64_C(100000000000000) : 0);
    }
    assign_best(MODEL_LESIONS, MODEL_LESIONS, weight, column_of);
    for (int r = 0; r < MODEL_LESIONS; r++)
        assert_int_equal(r, (column_of[r] + 7) % MODEL_LESIONS);
}

/* --- With geometry
 * ------------------------------------------------------------------------------------------------- */

static struct ellipsoid sphere(int64_t l, int64_t radius)
{
    return (struct ellipsoid){.centre = {{l, 0, 0}},
                              .semi = {radius, radius, radius},
                              .axis = {{1000000, 0, 0}, {0, 1000000, 0}, {0, 0, 1000000}}};
}

static void add_lesion(struct truth_model *truth, int64_t l, int64_t radius, bool significant)
{
    struct lesion_model *lesion = &truth->lesions[truth->count++];
    lesion->common.body = sphere(l, radius);
    lesion->common.has_body = true;
    lesion->common.position = lesion->common.body.centre;
    lesion->significant = significant;
    truth->significant += significant;
}

static void add_mark(struct answer_model *answer, int64_t l, int64_t radius)
{
    struct finding_model *mark = &answer->marks[answer->count++];
    mark->position.at[0] = l;
    mark->has_body = radius > 0;
    if (mark->has_body)
        mark->body = sphere(l, radius);
}

static const struct config_model ten_millimetres = {.mode = MATCH_DISTANCE, .distance = 10000, .near = 20000};

static void more_hits_go_before_closer_ones(void **state)
{
    struct truth_model truth = {0};
    struct answer_model answer = {0};
    struct matching matching;
    (void)state;
    add_lesion(&truth, 0, 2000, true);
    add_lesion(&truth, 12000, 2000, true);
    add_mark(&answer, 6000, 0);  /* reaches both, and is closest to each */
    add_mark(&answer, 19000, 0); /* reaches only the second */
    matching_solve(&ten_millimetres, &truth, &answer, &matching);
    assert_int_equal(matching.mark_of_lesion[0], 0);
    assert_int_equal(matching.mark_of_lesion[1], 1);
    assert_int_equal(matching.role[0], ROLE_HIT);
    assert_int_equal(matching.role[1], ROLE_HIT);
}

static void more_hits_go_before_more_overlap(void **state)
{
    const struct config_model config = {.mode = MATCH_ELLIPSOID, .near = 10000};
    struct truth_model truth = {0};
    struct answer_model answer = {0};
    struct matching matching;
    (void)state;
    add_lesion(&truth, 0, 10000, true);
    add_lesion(&truth, 11000, 10000, true);
    add_mark(&answer, 0, 10000);      /* the first lesion itself, and IoU 0.15 with the second */
    add_mark(&answer, -11000, 10000); /* IoU 0.15 with the first only */
    matching_solve(&config, &truth, &answer, &matching);
    assert_int_equal(matching.mark_of_lesion[0], 1);
    assert_int_equal(matching.mark_of_lesion[1], 0);
    assert_true(matching.hit[0] && matching.hit[1]);
}

static void among_equal_hits_the_closer_marks_win(void **state)
{
    struct truth_model truth = {0};
    struct answer_model answer = {0};
    struct matching matching;
    (void)state;
    add_lesion(&truth, 0, 2000, true);
    add_mark(&answer, -9000, 0);
    add_mark(&answer, 3000, 0);
    matching_solve(&ten_millimetres, &truth, &answer, &matching);
    assert_int_equal(matching.mark_of_lesion[0], 1);
    assert_int_equal(matching.role[0], ROLE_DUPLICATE);
}

static void a_mark_beyond_the_tolerance_is_near_and_then_false(void **state)
{
    struct answer_model answer = {0};
    struct matching matching;
    (void)state;
    for (int64_t l = 9999; l <= 20001; l++) {
        struct truth_model truth = {0};
        if (l > 10002 && l < 19998)
            continue;
        answer.count = 0;
        add_lesion(&truth, 0, 2000, true);
        add_mark(&answer, l, 0);
        matching_solve(&ten_millimetres, &truth, &answer, &matching);
        assert_int_equal(matching.role[0], l <= 10000 ? ROLE_HIT : l <= 20000 ? ROLE_NEAR : ROLE_FALSE);
        assert_int_equal(matching.hit[0], l <= 10000);
    }
}

static void in_a_large_lesion_a_mark_inside_hits_however_far_from_the_centre(void **state)
{
    struct truth_model truth = {0};
    struct answer_model answer = {0};
    struct matching matching;
    (void)state;
    add_lesion(&truth, 0, 15000, true);
    add_mark(&answer, 14000, 0);
    matching_solve(&ten_millimetres, &truth, &answer, &matching);
    assert_int_equal(matching.role[0], ROLE_HIT);
}

static void a_mark_that_could_be_either_is_the_cancers(void **state)
{
    struct truth_model truth = {0};
    struct answer_model answer = {0};
    struct matching matching;
    (void)state;
    add_lesion(&truth, 0, 2000, true);
    add_lesion(&truth, 8000, 2000, false);
    add_mark(&answer, 7000, 0);
    matching_solve(&ten_millimetres, &truth, &answer, &matching);
    assert_int_equal(matching.mark_of_lesion[0], 0);
    assert_int_equal(matching.mark_of_lesion[1], -1);
    assert_int_equal(matching.role[0], ROLE_HIT);
}

static void in_ellipsoid_mode_an_outline_hits_from_a_tenth_of_overlap_and_a_point_only_inside(void **state)
{
    const struct config_model config = {.mode = MATCH_ELLIPSOID, .near = 10000};
    static const struct {
        int64_t l, radius;
        enum mark_role role;
    } cases[] = {{12000, 10000, ROLE_HIT},                          /* IoU 0.12 */
                 {13500, 10000, ROLE_NEAR},                         /* IoU 0.08 */
                 {12000, 0, ROLE_NEAR},                             /* a point outside */
                 {9000, 0, ROLE_HIT},       {9000, 1000, ROLE_HIT}, /* a small outline, but inside */
                 {30000, 10000, ROLE_FALSE}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct truth_model truth = {0};
        struct answer_model answer = {0};
        struct matching matching;
        add_lesion(&truth, 0, 10000, true);
        add_mark(&answer, cases[i].l, cases[i].radius);
        matching_solve(&config, &truth, &answer, &matching);
        assert_int_equal(matching.role[0], cases[i].role);
    }
}

static void in_point_mode_nearness_and_outlines_do_not_help(void **state)
{
    const struct config_model config = {.mode = MATCH_POINT, .distance = 10000, .near = 20000};
    struct truth_model truth = {0};
    struct answer_model answer = {0};
    struct matching matching;
    (void)state;
    add_lesion(&truth, 0, 5000, true);
    add_mark(&answer, 5001, 5000);
    matching_solve(&config, &truth, &answer, &matching);
    assert_int_equal(matching.role[0], ROLE_NEAR);
}

static void overlap_decides_before_distance_between_outlines(void **state)
{
    const struct config_model config = {.mode = MATCH_ELLIPSOID, .near = 10000};
    struct truth_model truth = {0};
    struct answer_model answer = {0};
    struct matching matching;
    (void)state;
    add_lesion(&truth, 0, 8000, true);
    add_mark(&answer, 500, 2000);  /* closer */
    add_mark(&answer, 2000, 8000); /* overlaps more */
    matching_solve(&config, &truth, &answer, &matching);
    assert_int_equal(matching.mark_of_lesion[0], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_assignment_is_as_good_as_trying_every_one),
        cmocka_unit_test(twenty_against_twenty_are_all_paired_on_the_diagonal_when_that_is_best),
        cmocka_unit_test(more_hits_go_before_closer_ones),
        cmocka_unit_test(more_hits_go_before_more_overlap),
        cmocka_unit_test(among_equal_hits_the_closer_marks_win),
        cmocka_unit_test(a_mark_beyond_the_tolerance_is_near_and_then_false),
        cmocka_unit_test(in_a_large_lesion_a_mark_inside_hits_however_far_from_the_centre),
        cmocka_unit_test(a_mark_that_could_be_either_is_the_cancers),
        cmocka_unit_test(in_ellipsoid_mode_an_outline_hits_from_a_tenth_of_overlap_and_a_point_only_inside),
        cmocka_unit_test(in_point_mode_nearness_and_outlines_do_not_help),
        cmocka_unit_test(overlap_decides_before_distance_between_outlines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
