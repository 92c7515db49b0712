/* What mammography's grades promise whatever the case. */
#include "properties.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "breast_mammo/birads.h"

enum { TRUTHS = 300, FINDINGS_MAX = 5, MARKS_MAX = 7, WIDTH = 180, HEIGHT = 240 };

/* --- Random cases ------------------------------------------------------------------------------ */

static const char *const sides[] = {"L", "R"};
static const char *const views[] = {"CC", "MLO", "ML"};
static const char *const types[] = {"mass", "calcification", "asymmetry", "architectural_distortion"};
static const char *const densities[] = {"a", "b", "c", "d"};
enum { VIEWS_USED = sizeof(views) / sizeof(views[0]) };

static json_t *random_config(void)
{
    json_t *all = json_object();
    for (int s = 0; s < 2; s++) {
        json_t *side = json_object();
        for (int v = 0; v < VIEWS_USED; v++)
            json_object_set_new(side, views[v],
                                json_pack("{s:[ii],s:[ii]}", "size_mm", WIDTH, HEIGHT, "pixels", 300, 400));
        json_object_set_new(all, sides[s], side);
    }
    json_t *config =
        json_pack("{s:o,s:{s:s,s:i},s:s}", "views", all, "match", "mode", below(2) ? "distance" : "ellipse",
                  "distance_mm", 5 + below(15), "recall_rule", below(4) ? "birads_0_4_5" : "birads_0_3_4_5");
    if (below(2))
        json_object_set_new(config, "ask", json_pack("[ss]", "density", "size"));
    if (below(3))
        json_object_set_new(config, "setting", json_string(below(2) ? "screening" : "diagnostic"));
    return config;
}

static json_t *random_position(void)
{
    return json_pack("[ff]", below(WIDTH) + 0.25 * below(4), below(HEIGHT) + 0.5 * below(2));
}

/* What truth and answer say of a finding in one way. */
static json_t *random_description(void)
{
    static const int categories[] = {0, 2, 3, 4, 5, 6};
    json_t *finding = json_pack("{s:s,s:s,s:i}", "laterality", sides[below(2)], "type", types[below(4)],
                                "birads", categories[below(6)]);
    if (below(2))
        json_object_set_new(finding, "size_mm", json_real(4 + below(30)));
    return finding;
}

static json_t *random_finding(int number)
{
    json_t *finding = random_description(), *places = json_object();
    int first = below(VIEWS_USED);
    char id[16];
    snprintf(id, sizeof(id), "F%d", number);
    json_object_set_new(finding, "id", json_string(id));
    json_object_set_new(
        finding, "malignant",
        json_boolean(json_integer_value(json_object_get(finding, "birads")) == 6 || below(2)));
    if (below(2))
        json_object_set_new(finding, "histology", json_string("as the pathologist said"));
    for (int v = 0; v < VIEWS_USED; v++) {
        if (v == first || below(2))
            json_object_set_new(places, views[v],
                                json_pack("{s:o,s:[ii]}", "position", random_position(), "semi_axes",
                                          2 + below(14), 2 + below(14)));
    }
    json_object_set_new(finding, "views", places);
    return finding;
}

static int worst_of(const json_t *findings, const char *side)
{
    int worst = 1;
    size_t i;
    json_t *finding;
    json_array_foreach((json_t *)(uintptr_t)findings, i, finding)
    {
        int category = (int)json_integer_value(json_object_get(finding, "birads"));
        if (strcmp(json_string_value(json_object_get(finding, "laterality")), side) == 0 &&
            birads_rank(category) > birads_rank(worst))
            worst = category;
    }
    return worst;
}

/* Category 3 follows a work-up, so that a screening truth holds none, unless 3 is recalled too. */
static void fit_to_setting(json_t *finding, const json_t *config, bool recalls_3)
{
    const char *setting = json_string_value(json_object_get(config, "setting"));
    if (setting && strcmp(setting, "screening") == 0 && !recalls_3 &&
        json_integer_value(json_object_get(finding, "birads")) == 3)
        json_object_set_new(finding, "birads", json_integer(0));
}

static json_t *random_truth(const json_t *config)
{
    json_t *findings = json_array(), *breasts = json_object();
    bool malignant = false, recall = false;
    bool recalls_3 = strcmp(json_string_value(json_object_get(config, "recall_rule")), "birads_0_3_4_5") == 0;
    for (int count = below(FINDINGS_MAX), i = 0; i < count; i++) {
        json_t *finding = random_finding(i);
        fit_to_setting(finding, config, recalls_3);
        malignant |= json_is_true(json_object_get(finding, "malignant"));
        json_array_append_new(findings, finding);
    }
    for (int s = 0; s < 2; s++) {
        int category = worst_of(findings, sides[s]);
        json_object_set_new(breasts, sides[s],
                            json_pack("{s:i,s:s}", "birads", category, "density", densities[below(4)]));
        recall |= birads_action(category, recalls_3) == BIRADS_RECALL;
    }
    return json_pack("{s:b,s:b,s:o,s:o}", "malignant", malignant, "recall", recall, "breasts", breasts,
                     "findings", findings);
}

static json_t *truth_as_answer(const json_t *truth)
{
    static const char *const same[] = {"laterality", "type", "birads", "size_mm"};
    json_t *marks = json_array(), *finding;
    size_t i;
    json_array_foreach(json_object_get(truth, "findings"), i, finding)
    {
        json_t *mark = json_object(), *positions = json_object(), *place;
        const char *view;
        for (size_t k = 0; k < sizeof(same) / sizeof(same[0]); k++) {
            if (json_object_get(finding, same[k]))
                json_object_set(mark, same[k], json_object_get(finding, same[k]));
        }
        json_object_foreach(json_object_get(finding, "views"), view, place)
            json_object_set(positions, view, json_object_get(place, "position"));
        json_object_set_new(mark, "positions", positions);
        json_array_append_new(marks, mark);
    }
    return json_pack("{s:O,s:O,s:o}", "recall", json_object_get(truth, "recall"), "breasts",
                     json_object_get(truth, "breasts"), "findings", marks);
}

static json_t *random_mark(void)
{
    json_t *mark = random_description(), *positions = json_object();
    int first = below(VIEWS_USED);
    for (int v = 0; v < VIEWS_USED; v++) {
        if (v == first || below(3) == 0)
            json_object_set_new(positions, views[v], random_position());
    }
    json_object_set_new(mark, "positions", positions);
    return mark;
}

/* Some marks copied from the truth, so that each role comes up. */
static json_t *random_answer(const json_t *truth)
{
    json_t *best = truth_as_answer(truth), *marks = json_array(), *breasts = json_object(), *mark;
    size_t i;
    json_array_foreach(json_object_get(best, "findings"), i, mark)
    {
        json_t *taken = json_deep_copy(mark);
        if (below(3) == 0)
            json_object_set_new(taken, "laterality", json_string(sides[below(2)]));
        if (below(2))
            json_array_append(marks, taken);
        json_decref(taken);
    }
    for (int more = below(MARKS_MAX - FINDINGS_MAX + 1); more > 0; more--)
        json_array_append_new(marks, random_mark());
    for (int s = 0; s < 2; s++)
        json_object_set_new(breasts, sides[s], json_pack("{s:i}", "birads", below(7)));
    json_decref(best);
    return json_pack("{s:b,s:o,s:o}", "recall", below(2), "breasts", breasts, "findings", marks);
}

const struct modality modality = {
    .list = "findings",
    .nothing = "{\"recall\":false,\"breasts\":{\"L\":{\"birads\":1},\"R\":{\"birads\":1}},\"findings\":[]}",
    .cases = TRUTHS,
    .config = random_config,
    .truth = random_truth,
    .answer = random_answer,
    .truth_as_answer = truth_as_answer,
};

/* --- Its own promises -------------------------------------------------------------------------- */

/* Its only finding is malignant and in one view: no other view to be mistaken for. Answered as the expert
 * would. */
static struct triple single_cancer(int birads)
{
    json_t *config = random_config();
    json_t *finding = json_pack("{s:s,s:s,s:s,s:i,s:b,s:{s:{s:[ii],s:[ii]}}}", "id", "A", "laterality", "L",
                                "type", "mass", "birads", birads, "malignant", 1, "views", "CC", "position",
                                80, 110, "semi_axes", 3 + below(12), 3 + below(12));
    json_t *truth = json_pack("{s:b,s:b,s:{s:{s:i},s:{s:i}},s:[o]}", "malignant", 1, "recall", 1, "breasts",
                              "L", "birads", birads, "R", "birads", 1, "findings", finding);
    return (struct triple){config, truth, truth_as_answer(truth)};
}

static void a_mark_that_moves_away_from_the_cancer_never_earns_more(void **state)
{
    (void)state;
    for (int i = 0; i < 60; i++) {
        struct triple c = single_cancer(5);
        json_t *mark = first_mark(c.answer);
        int way[2] = {below(7) - 3, below(7) - 3};
        int64_t last = INT64_MAX, first = points_of(&c);
        for (int step = 0; step < 50 && (way[0] || way[1]); step++) {
            json_t *at = json_pack("[ff]", 80 + 0.5 * way[0] * step, 110 + 0.5 * way[1] * step);
            json_object_set_new(json_object_get(mark, "positions"), "CC", at);
            int64_t points = points_of(&c);
            assert_true(points <= last);
            last = points;
        }
        assert_true((way[0] == 0 && way[1] == 0) || last <= first);
        triple_drop(&c);
    }
}

static void a_further_false_mark_never_earns_points(void **state)
{
    (void)state;
    for (int i = 0; i < TRUTHS; i++) {
        struct triple c = random_triple();
        json_t *mark = random_mark(), *finding;
        size_t k;
        /* The truth keeps to CC, the mark to a view and a place where nothing is. */
        json_array_foreach(json_object_get(c.truth, "findings"), k, finding)
        {
            json_t *places = json_object_get(finding, "views"),
                   *place = json_deep_copy(json_object_iter_value(json_object_iter(places)));
            json_object_clear(places);
            json_object_set_new(place, "position", json_pack("[ii]", 20 + (int)k, 30));
            json_object_set_new(place, "semi_axes", json_pack("[ii]", 3, 3));
            json_object_set_new(places, "CC", place);
        }
        int64_t points = points_of(&c);
        json_object_set_new(mark, "positions", json_pack("{s:[ii]}", "ML", 100, 200));
        json_array_append_new(json_object_get(c.answer, "findings"), mark);
        if (points_of(&c) > points)
            fail_over(&c, "a false mark earned points");
        triple_drop(&c);
    }
}

/* check_answer refuses it; grade must still take what only the schema has seen. */
static void a_breast_left_out_is_graded_as_not_answered(void **state)
{
    struct triple c = single_cancer(5);
    int64_t all = points_of(&c);
    (void)state;
    json_object_set_new(c.answer, "breasts", json_pack("{s:{s:i}}", "L", "birads", 5));
    json_t *grade = grade_of(&c);
    assert_non_null(grade_finding(grade, "not_answered"));
    assert_int_equal(grade_milli(grade, "points"), all - 1500);
    json_decref(grade);
    triple_drop(&c);
}

static void too_little_memory_is_said_and_never_a_crash_or_half_a_grade(void **state)
{
    struct triple c = single_cancer(4);
    (void)state;
    needs_memory_and_says_so(&c);
    triple_drop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        THE_PROMISES_OF_EVERY_MODALITY,
        cmocka_unit_test(a_mark_that_moves_away_from_the_cancer_never_earns_more),
        cmocka_unit_test(a_further_false_mark_never_earns_points),
        cmocka_unit_test(a_breast_left_out_is_graded_as_not_answered),
        cmocka_unit_test(too_little_memory_is_said_and_never_a_crash_or_half_a_grade),
    };
    return cmocka_run_group_tests(tests, properties_setup, bench_teardown);
}
