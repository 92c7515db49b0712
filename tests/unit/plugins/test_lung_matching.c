/* One mark to one nodule: most hits, then the smallest distance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "lung_ct/matching.h"

static const struct lung_config ten_millimetres = {
    .by_distance = true, .distance = 10 * LUNG_MM, .near = 20 * LUNG_MM};

/* At `l` mm on the way to the left, of 3 mm radius. */
static void add(struct lung_case *to, int l, enum lung_category category)
{
    to->nodules[to->count] = (struct lung_nodule){
        .index = (uint32_t)to->count,
        .body = {.centre = {l * LUNG_MM, 0, 0}, .semi = {3 * LUNG_MM, 3 * LUNG_MM, 3 * LUNG_MM}},
        .category = category};
    to->count++;
    to->actionable += category >= LUNG_3;
}

static void more_hits_go_before_closer_marks(void **state)
{
    struct lung_case truth = {0}, answer = {0};
    struct lung_matching matching;
    (void)state;
    add(&truth, 0, LUNG_4A);
    add(&truth, 10, LUNG_4A);
    add(&answer, 1, LUNG_4A);  /* all but on the first, and reaches the second */
    add(&answer, -9, LUNG_4A); /* reaches the first only */
    lung_matching_solve(&ten_millimetres, &truth, &answer, &matching);
    assert_int_equal(matching.mark_of_nodule[0], 1);
    assert_int_equal(matching.mark_of_nodule[1], 0);
    assert_true(matching.hit[0] && matching.hit[1]);
}

static void among_equal_hits_the_closer_marks_win(void **state)
{
    struct lung_case truth = {0}, answer = {0};
    struct lung_matching matching;
    (void)state;
    add(&truth, 0, LUNG_4A);
    add(&answer, 6, LUNG_4A);
    add(&answer, 5, LUNG_2);
    lung_matching_solve(&ten_millimetres, &truth, &answer, &matching);
    assert_int_equal(matching.mark_of_nodule[0], 1); /* whatever it was called */
    assert_int_equal(matching.role[0], LUNG_ROLE_DUPLICATE);
}

static void a_mark_that_could_be_either_is_the_actionable_nodules(void **state)
{
    struct lung_case truth = {0}, answer = {0};
    struct lung_matching matching;
    (void)state;
    add(&truth, 9, LUNG_4A);
    add(&truth, 0, LUNG_2);
    add(&answer, 1, LUNG_2);
    lung_matching_solve(&ten_millimetres, &truth, &answer, &matching);
    assert_int_equal(matching.role[0], LUNG_ROLE_HIT);
    assert_int_equal(matching.nodule_of_mark[0], 0);
}

static void beyond_the_distance_a_mark_is_near_and_then_false(void **state)
{
    static const struct {
        int l;
        enum lung_role role;
    } cases[] = {{10, LUNG_ROLE_HIT}, {11, LUNG_ROLE_NEAR}, {20, LUNG_ROLE_NEAR}, {21, LUNG_ROLE_FALSE}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct lung_case truth = {0}, answer = {0};
        struct lung_matching matching;
        add(&truth, 0, LUNG_3);
        add(&answer, cases[i].l, LUNG_3);
        lung_matching_solve(&ten_millimetres, &truth, &answer, &matching);
        assert_int_equal(matching.role[0], cases[i].role);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_hits_go_before_closer_marks),
        cmocka_unit_test(among_equal_hits_the_closer_marks_win),
        cmocka_unit_test(a_mark_that_could_be_either_is_the_actionable_nodules),
        cmocka_unit_test(beyond_the_distance_a_mark_is_near_and_then_false),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
