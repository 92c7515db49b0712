/* What grades of lung CT promise whatever the case: seeded random truths and answers. OVERREAD_SEED repeats a
 * run. */
#include "support.h"
#include <fenv.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "lung_ct/lungrads.h"

enum { CASES = 400, NODULES_MAX = 6, TEXT_SIZE = 65536 };

static struct bench *bench;
static uint64_t random_state;

static int open_bench(void **state)
{
    const char *seed = getenv("OVERREAD_SEED");
    (void)state;
    random_state = seed ? strtoull(seed, NULL, 10) | 1 : 88172645463325252;
    bench = bench_open("lung_ct", UINT64_C(32) << 20);
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

/* --- Random cases ------------------------------------------------------------------------------------ */

static const char *const types[] = {"solid",  "part_solid", "ground_glass", "juxtapleural",
                                    "airway", "cyst",       "benign"};
static const char *const managements[] = {"ldct_12_months", "ldct_6_months", "ldct_3_months",
                                          "pet_ct_or_tissue", "complete_examination"};
static const char *const airways[] = {"subsegmental", "segmental_or_proximal"};
static const char *const cysts[] = {"thin_walled", "thick_walled", "multilocular"};

static json_t *random_config(void)
{
    return json_pack("{s:{s:s,s:i},s:{s:[[ii][ii][ii]]}}", "match", "mode", below(2) ? "distance" : "inside",
                     "distance_mm", 3 + below(8), "image", "bounds_lps_mm", -180, 180, -150, 150, -150, 150);
}

/* A nodule at baseline whose category is the table's, or any where the table has none. place: "centre" or
 * "position". */
static json_t *random_nodule(const char *place)
{
    struct lung_reading reading = {.type = (enum lung_type)below(7),
                                   .status = LUNG_BASELINE,
                                   .mean = 20 + below(330),
                                   .solid = LUNG_UNKNOWN,
                                   .prior_mean = LUNG_UNKNOWN,
                                   .prior_solid = LUNG_UNKNOWN,
                                   .solid_status = LUNG_UNKNOWN,
                                   .airway = below(2),
                                   .cyst = below(3),
                                   .cyst_change = LUNG_UNKNOWN,
                                   .interval_months = LUNG_UNKNOWN,
                                   .suspicious = below(4) == 0};
    json_t *nodule =
        json_pack("{s:[fff],s:s,s:s,s:f,s:b}", place, below(280) - 140.0, below(240) - 120.0,
                  below(280) - 140 + 0.1 * below(10), "type", types[reading.type], "status", "baseline",
                  "mean_diameter_mm", reading.mean / 10.0, "suspicious_features", reading.suspicious);
    if (below(3) == 0) {
        int mm3 = 2 + below(3000);
        reading.mean = lung_diameter_of_volume(mm3);
        json_object_del(nodule, "mean_diameter_mm");
        json_object_set_new(nodule, "volume_mm3", json_integer(mm3));
    }
    if (reading.type == LUNG_PART_SOLID) {
        reading.solid = below(reading.mean);
        json_object_set_new(nodule, "solid_mm", json_real(reading.solid / 10.0));
    }
    if (reading.type == LUNG_AIRWAY)
        json_object_set_new(nodule, "airway_level", json_string(airways[reading.airway]));
    if (reading.type == LUNG_CYST)
        json_object_set_new(nodule, "cyst_kind", json_string(cysts[reading.cyst]));
    int category = (int)lung_category_of(&reading).category;
    json_object_set_new(nodule, "category",
                        json_string(lung_category_text(category ? category : 1 + below(6))));
    return nodule;
}

static int rank_of(const json_t *category)
{
    int rank = LUNG_1;
    while (strcmp(lung_category_text(rank), json_string_value(category)) != 0)
        rank++;
    return rank;
}

static json_t *random_truth(void)
{
    json_t *nodules = json_array();
    int count = below(NODULES_MAX), highest = LUNG_1;
    char id[16];
    for (int i = 0; i < count; i++) {
        json_t *nodule = random_nodule("centre");
        int rank = rank_of(json_object_get(nodule, "category"));
        snprintf(id, sizeof(id), "N%d", i);
        json_object_set_new(nodule, "id", json_string(id));
        highest = rank > highest ? rank : highest;
        json_array_append_new(nodules, nodule);
    }
    if (below(10) == 0)
        highest = LUNG_INCOMPLETE;
    int management = 0;
    while (!lung_management_fits((enum lung_category)highest, false, (enum lung_management)management))
        management++;
    json_t *truth = json_pack("{s:o,s:s,s:s}", "nodules", nodules, "category", lung_category_text(highest),
                              "management", managements[management]);
    if (below(2))
        json_object_set_new(truth, "s_modifier", json_boolean(below(2)));
    return truth;
}

static json_t *truth_as_answer(const json_t *truth)
{
    json_t *answer = json_deep_copy(truth), *nodule;
    size_t i;
    json_array_foreach(json_object_get(answer, "nodules"), i, nodule)
    {
        json_object_set(nodule, "position", json_object_get(nodule, "centre"));
        json_object_del(nodule, "centre");
        json_object_del(nodule, "id");
    }
    return answer;
}

/* Marks that are partly near the truth's nodules, with any category. */
static json_t *random_answer(const json_t *truth)
{
    json_t *answer = truth_as_answer(truth), *nodules = json_array(), *nodule;
    size_t i;
    json_array_foreach(json_object_get(answer, "nodules"), i, nodule)
    {
        json_t *position = json_object_get(nodule, "position");
        double moved = json_number_value(json_array_get(position, 0)) + below(15) - 7 + 0.2;
        json_array_set_new(position, 0, json_real(moved));
        json_object_set_new(nodule, "category", json_string(lung_category_text(1 + below(6))));
        json_object_set_new(nodule, "mean_diameter_mm", json_real(20 + 0.1 * below(100)));
        if (below(3))
            json_array_append(nodules, nodule);
    }
    for (int k = below(4); k > 0; k--)
        json_array_append_new(nodules, random_nodule("position"));
    json_object_set_new(answer, "nodules", nodules);
    json_object_set_new(answer, "category", json_string(lung_category_text(1 + below(7))));
    json_object_set_new(answer, "management", json_string(managements[below(5)]));
    return answer;
}

static int64_t milli(const json_t *grade, const char *name)
{
    double value = json_number_value(json_object_get(grade, name)) * 1000;
    return (int64_t)(value < 0 ? value - 0.5 : value + 0.5);
}

static int64_t points_of(const json_t *config, const json_t *truth, const json_t *answer, int64_t *ret_max)
{
    json_t *grade = bench_grade(bench, config, truth, answer);
    int64_t points = milli(grade, "points");
    *ret_max = milli(grade, "max_points");
    json_decref(grade);
    return points;
}

struct triple {
    json_t *config, *truth, *answer;
};

static struct triple random_triple(void)
{
    struct triple ret = {.config = random_config(), .truth = random_truth()};
    ret.answer = random_answer(ret.truth);
    return ret;
}

static void triple_drop(struct triple *triple)
{
    json_decref(triple->config);
    json_decref(triple->truth);
    json_decref(triple->answer);
}

/* --- Properties -------------------------------------------------------------------------------------- */

static void the_truth_as_answer_earns_all_points_and_nothing_earns_more(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        struct triple c = random_triple();
        json_t *best = truth_as_answer(c.truth);
        json_t *empty =
            json_pack("{s:[],s:s,s:s}", "nodules", "category", "1", "management", "ldct_12_months");
        int64_t max, other_max;
        json_t *grade = bench_grade(bench, c.config, c.truth, best);
        max = milli(grade, "max_points");
        if (milli(grade, "points") != max || !json_is_true(json_object_get(grade, "correct"))) {
            char *text = json_dumps(c.truth, 0);
            fail_msg("%lld of %lld for %s", (long long)milli(grade, "points"), (long long)max, text);
        }
        assert_true(points_of(c.config, c.truth, empty, &other_max) <= max);
        assert_int_equal(other_max, max);
        assert_true(points_of(c.config, c.truth, c.answer, &other_max) <= max);
        assert_int_equal(other_max, max);
        json_decref(grade);
        json_decref(best);
        json_decref(empty);
        triple_drop(&c);
    }
}

static json_t *shuffled(const json_t *object, int *order)
{
    json_t *copy = json_deep_copy(object), *nodules = json_object_get(object, "nodules"),
           *mixed = json_array();
    int count = (int)json_array_size(nodules);
    for (int i = 0; i < count; i++)
        order[i] = i;
    for (int i = count - 1; i > 0; i--) {
        int j = below(i + 1), swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
    for (int i = 0; i < count; i++)
        json_array_append(mixed, json_array_get(nodules, (size_t)order[i]));
    json_object_set_new(copy, "nodules", mixed);
    return copy;
}

static void rename_pointers(json_t *grade, const char *member, const int *order)
{
    size_t i;
    json_t *finding;
    json_array_foreach(json_object_get(grade, "findings"), i, finding)
    {
        const char *pointer = json_string_value(json_object_get(finding, member));
        char renamed[64];
        if (!pointer || strncmp(pointer, "/nodules/", 9) != 0)
            continue;
        snprintf(renamed, sizeof(renamed), "/nodules/%d", order[strtol(pointer + 9, NULL, 10)]);
        json_object_set_new(finding, member, json_string(renamed));
    }
}

static void the_order_of_marks_and_of_nodules_changes_nothing_but_the_pointers(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        int truth_order[2 * NODULES_MAX], answer_order[2 * NODULES_MAX];
        struct triple c = random_triple();
        json_t *truth = shuffled(c.truth, truth_order), *answer = shuffled(c.answer, answer_order);
        json_t *grade = bench_grade(bench, c.config, c.truth, c.answer);
        json_t *other = bench_grade(bench, c.config, truth, answer);
        rename_pointers(other, "truth_pointer", truth_order);
        rename_pointers(other, "answer_pointer", answer_order);
        char *one = json_dumps(grade, JSON_COMPACT), *two = json_dumps(other, JSON_COMPACT);
        assert_string_equal(one, two);
        free(one);
        free(two);
        json_decref(grade);
        json_decref(other);
        json_decref(truth);
        json_decref(answer);
        triple_drop(&c);
    }
}

static void locale_and_rounding_mode_change_no_byte(void **state)
{
    static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    static char first[TEXT_SIZE];
    (void)state;
    for (int i = 0; i < 100; i++) {
        struct triple c = random_triple();
        const struct host_result *result = bench_run_json(bench, HOST_GRADE, c.config, c.truth, c.answer);
        assert_int_equal(result->status, HOST_OK);
        assert_true(result->text.len < TEXT_SIZE);
        memcpy(first, result->text.p, result->text.len + 1);
        setlocale(LC_ALL, "de_DE.UTF-8"); /* a decimal comma, where the machine has that locale */
        for (size_t m = 0; m < sizeof(modes) / sizeof(modes[0]); m++) {
            fesetround(modes[m]);
            result = bench_run_json(bench, HOST_GRADE, c.config, c.truth, c.answer);
            fesetround(FE_TONEAREST);
            assert_int_equal(result->status, HOST_OK);
            assert_string_equal(first, result->text.p);
        }
        setlocale(LC_ALL, "C");
        triple_drop(&c);
    }
}

static void a_further_false_mark_never_earns_points(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        struct triple c = random_triple();
        json_t *more = json_deep_copy(c.answer), *mark = random_nodule("position");
        int64_t max;
        json_object_set_new(mark, "position", json_pack("[fff]", 179.0, 149.0, 149.0)); /* far from all */
        json_array_append_new(json_object_get(more, "nodules"), mark);
        /* what it may earn: the case category becomes consistent with the own nodules */
        assert_true(points_of(c.config, c.truth, more, &max) <=
                    points_of(c.config, c.truth, c.answer, &max) + 500);
        json_object_set_new(c.answer, "category", json_string("0")); /* which takes no part in that */
        json_object_set_new(more, "category", json_string("0"));
        json_object_set_new(c.answer, "management", json_string("complete_examination"));
        json_object_set_new(more, "management", json_string("complete_examination"));
        assert_true(points_of(c.config, c.truth, more, &max) <= points_of(c.config, c.truth, c.answer, &max));
        json_decref(more);
        triple_drop(&c);
    }
}

static void a_category_farther_from_the_experts_never_earns_more(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        json_t *config = random_config(), *nodule = random_nodule("centre");
        json_object_set_new(nodule, "id", json_string("N"));
        const char *category = json_string_value(json_object_get(nodule, "category"));
        json_t *truth = json_pack("{s:[o],s:s,s:s}", "nodules", nodule, "category", category, "management",
                                  "ldct_12_months");
        json_t *answer = truth_as_answer(truth),
               *mark = json_array_get(json_object_get(answer, "nodules"), 0);
        int expert = rank_of(json_object_get(nodule, "category"));
        for (int way = -1; way <= 1; way += 2) {
            int64_t last = INT64_MAX, max;
            for (int rank = expert; rank >= LUNG_1 && rank <= LUNG_4X; rank += way) {
                json_object_set_new(mark, "category", json_string(lung_category_text(rank)));
                json_object_set_new(answer, "category", json_string(lung_category_text(rank)));
                int64_t points = points_of(config, truth, answer, &max);
                assert_true(points <= last);
                last = points;
            }
        }
        json_decref(config);
        json_decref(truth);
        json_decref(answer);
    }
}

static void too_little_memory_is_said_and_never_a_crash_or_half_a_grade(void **state)
{
    struct triple c = random_triple();
    bool refused = false, graded = false;
    (void)state;
    for (uint64_t memory = 4096; memory <= 262144; memory += 2003) {
        struct bench *small = bench_open("lung_ct", memory);
        const struct host_result *result = bench_run_json(small, HOST_GRADE, c.config, c.truth, c.answer);
        refused |= result->status == HOST_NO_MEMORY;
        graded |= result->status == HOST_OK;
        assert_true(result->status == HOST_NO_MEMORY || result->status == HOST_OK);
        bench_close(small);
    }
    assert_true(refused && graded);
    triple_drop(&c);
}

/* The most that the schemas let through: 20 marks on 20 nodules that all overlap. */
static void the_largest_case_is_graded(void **state)
{
    json_t *config = random_config(), *nodules = json_array();
    char id[16];
    (void)state;
    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof(id), "N%d", i);
        json_array_append_new(nodules, json_pack("{s:s,s:[iii],s:s,s:s,s:i,s:s}", "id", id, "centre", i, 0, 0,
                                                 "type", "solid", "status", "baseline", "mean_diameter_mm",
                                                 60, "category", "4B"));
    }
    json_t *truth =
        json_pack("{s:o,s:s,s:s}", "nodules", nodules, "category", "4B", "management", "pet_ct_or_tissue");
    json_t *answer = truth_as_answer(truth);
    json_t *grade = bench_grade(bench, config, truth, answer);
    assert_int_equal(milli(grade, "points"), 5000 + 20 * 7000);
    json_decref(grade);
    json_decref(config);
    json_decref(truth);
    json_decref(answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_truth_as_answer_earns_all_points_and_nothing_earns_more),
        cmocka_unit_test(the_order_of_marks_and_of_nodules_changes_nothing_but_the_pointers),
        cmocka_unit_test(locale_and_rounding_mode_change_no_byte),
        cmocka_unit_test(a_further_false_mark_never_earns_points),
        cmocka_unit_test(a_category_farther_from_the_experts_never_earns_more),
        cmocka_unit_test(too_little_memory_is_said_and_never_a_crash_or_half_a_grade),
        cmocka_unit_test(the_largest_case_is_graded),
    };
    return cmocka_run_group_tests(tests, open_bench, close_bench);
}
