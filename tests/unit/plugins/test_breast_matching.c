/* One mark to one finding: most hits, then most views, then the smallest distance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "breast_mammo/matching.h"

enum { VIEWS_SHOWN = 3, FAR = 200 };

/* Up to 10 mm away is a hit; every view is shown. */
static struct config_model ten_millimetres(void)
{
    struct config_model config = {.mode = MATCH_DISTANCE, .distance = 10 * MODEL_MM, .near = 20 * MODEL_MM};
    for (int view = 0; view < VIEWS; view++)
        config.views[0][view] = (struct view_model){.there = true, .size = {300 * MODEL_MM, 300 * MODEL_MM}};
    return config;
}

/* At so many millimetres along the image's edge, in the first three views; FAR: where nothing else is. */
static void add(struct read_model *read, int first, int second, int third)
{
    static int places;
    const int mm[VIEWS_SHOWN] = {first, second, third};
    struct finding_model *finding = &read->findings[read->count];
    *finding =
        (struct finding_model){.index = (uint32_t)read->count, .malignant = true, .size = MODEL_UNKNOWN};
    for (int view = 0; view < VIEWS_SHOWN; view++)
        finding->in[view] =
            (struct place){.there = true,
                           .at = {mm[view] * MODEL_MM, mm[view] == FAR ? ++places * 25 * MODEL_MM : 0},
                           .semi = {MODEL_MM, MODEL_MM}};
    read->count++;
    read->malignant++;
}

static void more_hits_go_before_more_views(void **state)
{
    struct config_model config = ten_millimetres();
    struct read_model truth = {0}, answer = {0};
    struct matching matching;
    (void)state;
    add(&truth, 50, 50, 50);
    add(&truth, 65, FAR, FAR);
    add(&answer, 57, 50, 50);   /* all three views of the first finding, one of the second */
    add(&answer, 44, FAR, FAR); /* one view of the first only */
    matching_solve(&config, &truth, &answer, &matching);
    assert_int_equal(matching.mark_of[0], 1);
    assert_int_equal(matching.mark_of[1], 0);
}

static void among_equal_hits_more_views_go_before_closer_marks(void **state)
{
    struct config_model config = ten_millimetres();
    struct read_model truth = {0}, answer = {0};
    struct matching matching;
    (void)state;
    add(&truth, 50, 50, 50);
    add(&answer, 50, FAR, FAR); /* the very place, in one view */
    add(&answer, 57, 57, FAR);
    matching_solve(&config, &truth, &answer, &matching);
    assert_int_equal(matching.mark_of[0], 1);
    assert_int_equal(matching.role[0], ROLE_DUPLICATE);
}

static void among_equal_views_the_closer_mark_wins(void **state)
{
    struct config_model config = ten_millimetres();
    struct read_model truth = {0}, answer = {0};
    struct matching matching;
    (void)state;
    add(&truth, 50, 50, 50);
    add(&answer, 56, 56, 56);
    add(&answer, 53, 53, 53);
    matching_solve(&config, &truth, &answer, &matching);
    assert_int_equal(matching.mark_of[0], 1);
    assert_int_equal(matching.role[0], ROLE_DUPLICATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_hits_go_before_more_views),
        cmocka_unit_test(among_equal_hits_more_views_go_before_closer_marks),
        cmocka_unit_test(among_equal_views_the_closer_mark_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
