/* What mammography's grades promise whatever the case: seeded random truths and answers. OVERREAD_SEED
 * repeats a run. */
#include "support.h"
#include <fenv.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "breast_mammo/birads.h"

enum { TRUTHS = 300, FINDINGS_MAX = 5, MARKS_MAX = 7, WIDTH = 180, HEIGHT = 240, TEXT_SIZE = 65536 };

static struct bench *bench;
static uint64_t random_state;

static int open_bench(void **state)
{
    const char *seed = getenv("OVERREAD_SEED");
    (void)state;
    random_state = seed ? strtoull(seed, NULL, 10) | 1 : 88172645463325252;
    bench = bench_open("breast_mammo", UINT64_C(32) << 20);
    return 0;
}

static int close_bench(void **state)
{
    (void)state;
    bench_close(bench);
    return 0;
}

static int below(int limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (int)(random_state % (uint64_t)limit);
}

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

static json_t *random_truth(const json_t *config)
{
    json_t *findings = json_array(), *breasts = json_object();
    bool malignant = false, recall = false;
    bool recalls_3 = strcmp(json_string_value(json_object_get(config, "recall_rule")), "birads_0_3_4_5") == 0;
    for (int count = below(FINDINGS_MAX), i = 0; i < count; i++) {
        json_t *finding = random_finding(i);
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

static int64_t milli(const json_t *grade, const char *name)
{
    return (int64_t)(json_number_value(json_object_get(grade, name)) * 1000 + 0.5);
}

static int64_t points_of(const json_t *config, const json_t *truth, const json_t *answer)
{
    json_t *grade = bench_grade(bench, config, truth, answer);
    int64_t points = milli(grade, "points");
    json_decref(grade);
    return points;
}

static void show(const json_t *config, const json_t *truth, const json_t *answer)
{
    const json_t *all[] = {config, truth, answer};
    for (size_t i = 0; i < 3; i++) {
        char *text = json_dumps(all[i], JSON_COMPACT);
        print_error("%s\n", text);
        free(text);
    }
}

/* --- The promises ------------------------------------------------------------------------------ */

static void the_truth_as_answer_earns_all_points_and_nothing_earns_more(void **state)
{
    int checked = 0;
    (void)state;
    for (int i = 0; i < TRUTHS; i++) {
        json_t *config = random_config(), *truth = random_truth(config), *best = truth_as_answer(truth);
        json_t *empty = json_pack("{s:b,s:{s:{s:i},s:{s:i}},s:[]}", "recall", 0, "breasts", "L", "birads", 1,
                                  "R", "birads", 1, "findings");
        json_t *other = random_answer(truth);
        const struct host_result *check = bench_run_json(bench, HOST_CHECK_TRUTH, config, truth, NULL);
        if (check->status != HOST_OK)
            fail_msg("a random truth is refused: %s: %s", check->pointer, check->text.p);
        json_t *grade = bench_grade(bench, config, truth, best);
        if (milli(grade, "points") != milli(grade, "max_points") ||
            !json_is_true(json_object_get(grade, "correct"))) {
            show(config, truth, best);
            fail_msg("the truth as answer earns %lld", (long long)milli(grade, "points"));
        }
        assert_true(points_of(config, truth, empty) <= milli(grade, "max_points"));
        assert_true(points_of(config, truth, other) <= milli(grade, "max_points"));
        checked++;
        json_decref(grade);
        json_decref(config);
        json_decref(truth);
        json_decref(best);
        json_decref(empty);
        json_decref(other);
    }
    assert_int_equal(checked, TRUTHS);
}

/* "/findings/<i>" becomes "/findings/<order[i]>". */
static void rename_pointers(json_t *grade, const char *member, const int *order)
{
    size_t i;
    json_t *finding;
    json_array_foreach(json_object_get(grade, "findings"), i, finding)
    {
        const char *pointer = json_string_value(json_object_get(finding, member));
        char renamed[64];
        if (!pointer || strncmp(pointer, "/findings/", 10) != 0)
            continue;
        snprintf(renamed, sizeof(renamed), "/findings/%d", order[strtol(pointer + 10, NULL, 10)]);
        json_object_set_new(finding, member, json_string(renamed));
    }
}

static json_t *shuffled(const json_t *object, int *order)
{
    json_t *copied = json_deep_copy(object), *findings = json_object_get(object, "findings"),
           *mixed = json_array();
    int count = (int)json_array_size(findings);
    for (int i = 0; i < count; i++)
        order[i] = i;
    for (int i = count - 1; i > 0; i--) {
        int j = below(i + 1), swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
    for (int i = 0; i < count; i++)
        json_array_append(mixed, json_array_get(findings, (size_t)order[i]));
    json_object_set_new(copied, "findings", mixed);
    return copied;
}

static void the_order_of_marks_and_of_findings_changes_nothing_but_the_pointers(void **state)
{
    (void)state;
    for (int i = 0; i < TRUTHS; i++) {
        int truth_order[FINDINGS_MAX], answer_order[2 * MARKS_MAX];
        json_t *config = random_config(), *truth = random_truth(config), *answer = random_answer(truth);
        json_t *other_truth = shuffled(truth, truth_order), *other_answer = shuffled(answer, answer_order);
        json_t *grade = bench_grade(bench, config, truth, answer);
        json_t *other = bench_grade(bench, config, other_truth, other_answer);
        rename_pointers(other, "truth_pointer", truth_order);
        rename_pointers(other, "answer_pointer", answer_order);
        char *one = json_dumps(grade, JSON_COMPACT), *two = json_dumps(other, JSON_COMPACT);
        if (strcmp(one, two) != 0)
            show(config, truth, answer);
        assert_string_equal(one, two);
        free(one);
        free(two);
        json_decref(grade);
        json_decref(other);
        json_decref(config);
        json_decref(truth);
        json_decref(answer);
        json_decref(other_truth);
        json_decref(other_answer);
    }
}

static void take_bytes(char *to, const struct host_result *result)
{
    assert_int_equal(result->status, HOST_OK);
    assert_true(result->text.len < TEXT_SIZE);
    memcpy(to, result->text.p, result->text.len + 1);
}

static void locale_and_rounding_mode_change_no_byte(void **state)
{
    static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    static char first[TEXT_SIZE], again[TEXT_SIZE];
    (void)state;
    for (int i = 0; i < 100; i++) {
        json_t *config = random_config(), *truth = random_truth(config), *answer = random_answer(truth);
        take_bytes(first, bench_run_json(bench, HOST_GRADE, config, truth, answer));
        setlocale(LC_ALL, "de_DE.UTF-8"); /* a decimal comma, where the machine has that locale */
        for (size_t m = 0; m < sizeof(modes) / sizeof(modes[0]); m++) {
            fesetround(modes[m]);
            take_bytes(again, bench_run_json(bench, HOST_GRADE, config, truth, answer));
            fesetround(FE_TONEAREST);
            assert_string_equal(first, again);
        }
        setlocale(LC_ALL, "C");
        json_decref(config);
        json_decref(truth);
        json_decref(answer);
    }
}

/* A truth with its only finding, malignant, in one view: no other view to be mistaken for. */
static json_t *single_cancer(int birads)
{
    json_t *finding = json_pack("{s:s,s:s,s:s,s:i,s:b,s:{s:{s:[ii],s:[ii]}}}", "id", "A", "laterality", "L",
                                "type", "mass", "birads", birads, "malignant", 1, "views", "CC", "position",
                                80, 110, "semi_axes", 3 + below(12), 3 + below(12));
    return json_pack("{s:b,s:b,s:{s:{s:i},s:{s:i}},s:[o]}", "malignant", 1, "recall", 1, "breasts", "L",
                     "birads", birads, "R", "birads", 1, "findings", finding);
}

static void a_mark_that_moves_away_from_the_cancer_never_earns_more(void **state)
{
    (void)state;
    for (int i = 0; i < 60; i++) {
        json_t *config = random_config(), *truth = single_cancer(5), *answer = truth_as_answer(truth);
        json_t *mark = json_array_get(json_object_get(answer, "findings"), 0);
        int way[2] = {below(7) - 3, below(7) - 3};
        int64_t last = INT64_MAX, first = points_of(config, truth, answer);
        for (int step = 0; step < 50 && (way[0] || way[1]); step++) {
            json_t *at = json_pack("[ff]", 80 + 0.5 * way[0] * step, 110 + 0.5 * way[1] * step);
            json_object_set_new(json_object_get(mark, "positions"), "CC", at);
            int64_t points = points_of(config, truth, answer);
            assert_true(points <= last);
            last = points;
        }
        assert_true((way[0] == 0 && way[1] == 0) || last <= first);
        json_decref(config);
        json_decref(truth);
        json_decref(answer);
    }
}

static void a_further_false_mark_never_earns_points(void **state)
{
    (void)state;
    for (int i = 0; i < TRUTHS; i++) {
        json_t *config = random_config(), *truth = random_truth(config), *answer = random_answer(truth);
        json_t *more = json_deep_copy(answer), *mark = random_mark(), *finding;
        size_t k;
        /* The truth keeps to CC, the mark to a view and a place where nothing is. */
        json_array_foreach(json_object_get(truth, "findings"), k, finding)
        {
            json_t *places = json_object_get(finding, "views"),
                   *place = json_deep_copy(json_object_iter_value(json_object_iter(places)));
            json_object_clear(places);
            json_object_set_new(place, "position", json_pack("[ii]", 20 + (int)k, 30));
            json_object_set_new(place, "semi_axes", json_pack("[ii]", 3, 3));
            json_object_set_new(places, "CC", place);
        }
        json_object_set_new(mark, "positions", json_pack("{s:[ii]}", "ML", 100, 200));
        json_array_append_new(json_object_get(more, "findings"), mark);
        if (points_of(config, truth, more) > points_of(config, truth, answer)) {
            show(config, truth, more);
            fail_msg("a false mark earned points");
        }
        json_decref(config);
        json_decref(truth);
        json_decref(answer);
        json_decref(more);
    }
}

/* check_answer refuses it; grade must still take what only the schema has seen. */
static void a_breast_left_out_is_graded_as_not_answered(void **state)
{
    json_t *config = random_config(), *truth = single_cancer(5), *answer = truth_as_answer(truth);
    int64_t all = points_of(config, truth, answer);
    (void)state;
    json_t *breasts = json_pack("{s:{s:i}}", "L", "birads", 5);
    json_object_set_new(answer, "breasts", breasts);
    json_t *grade = bench_grade(bench, config, truth, answer);
    assert_non_null(grade_finding(grade, "not_answered"));
    assert_int_equal(milli(grade, "points"), all - 1500);
    json_decref(grade);
    json_decref(config);
    json_decref(truth);
    json_decref(answer);
}

static void too_little_memory_is_said_and_never_a_crash_or_half_a_grade(void **state)
{
    json_t *config = random_config(), *truth = single_cancer(4), *answer = truth_as_answer(truth);
    bool refused = false, graded = false;
    (void)state;
    for (uint64_t memory = 4096; memory <= 131072; memory += 1009) {
        struct bench *small = bench_open("breast_mammo", memory);
        const struct host_result *result = bench_run_json(small, HOST_GRADE, config, truth, answer);
        refused |= result->status == HOST_NO_MEMORY;
        graded |= result->status == HOST_OK;
        assert_true(result->status == HOST_NO_MEMORY || result->status == HOST_OK);
        bench_close(small);
    }
    assert_true(refused && graded);
    json_decref(config);
    json_decref(truth);
    json_decref(answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_truth_as_answer_earns_all_points_and_nothing_earns_more),
        cmocka_unit_test(the_order_of_marks_and_of_findings_changes_nothing_but_the_pointers),
        cmocka_unit_test(locale_and_rounding_mode_change_no_byte),
        cmocka_unit_test(a_mark_that_moves_away_from_the_cancer_never_earns_more),
        cmocka_unit_test(a_further_false_mark_never_earns_points),
        cmocka_unit_test(a_breast_left_out_is_graded_as_not_answered),
        cmocka_unit_test(too_little_memory_is_said_and_never_a_crash_or_half_a_grade),
    };
    return cmocka_run_group_tests(tests, open_bench, close_bench);
}
