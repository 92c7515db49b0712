/* What grades of lung CT promise whatever the case. */
#include "properties.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "lung_ct/lungrads.h"

enum { CASES = 400, NODULES_MAX = 6 };

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

static json_t *random_truth(const json_t *config)
{
    (void)config;
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

const struct modality modality = {
    .list = "nodules",
    .nothing = "{\"nodules\":[],\"category\":\"1\",\"management\":\"ldct_12_months\"}",
    .cases = CASES,
    .config = random_config,
    .truth = random_truth,
    .answer = random_answer,
    .truth_as_answer = truth_as_answer,
};

/* --- Its own promises -------------------------------------------------------------------------------- */

static void a_further_false_mark_never_earns_points(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        struct triple c = random_triple();
        struct triple more = {json_incref(c.config), json_incref(c.truth), json_deep_copy(c.answer)};
        json_t *mark = random_nodule("position");
        json_object_set_new(mark, "position", json_pack("[fff]", 179.0, 149.0, 149.0)); /* far from all */
        json_array_append_new(json_object_get(more.answer, "nodules"), mark);
        /* what it may earn: the case category becomes consistent with the own nodules */
        assert_true(points_of(&more) <= points_of(&c) + 500);
        json_object_set_new(c.answer, "category", json_string("0")); /* which takes no part in that */
        json_object_set_new(more.answer, "category", json_string("0"));
        json_object_set_new(c.answer, "management", json_string("complete_examination"));
        json_object_set_new(more.answer, "management", json_string("complete_examination"));
        assert_true(points_of(&more) <= points_of(&c));
        triple_drop(&more);
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
        struct triple c = {config, truth, truth_as_answer(truth)};
        int expert = rank_of(json_object_get(nodule, "category"));
        for (int way = -1; way <= 1; way += 2) {
            int64_t last = INT64_MAX;
            for (int rank = expert; rank >= LUNG_1 && rank <= LUNG_4X; rank += way) {
                json_object_set_new(first_mark(c.answer), "category", json_string(lung_category_text(rank)));
                json_object_set_new(c.answer, "category", json_string(lung_category_text(rank)));
                int64_t points = points_of(&c);
                assert_true(points <= last);
                last = points;
            }
        }
        triple_drop(&c);
    }
}

static void too_little_memory_is_said_and_never_a_crash_or_half_a_grade(void **state)
{
    struct triple c = random_triple();
    (void)state;
    needs_memory_and_says_so(&c);
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
    struct triple c = {config, truth, truth_as_answer(truth)};
    json_t *grade = grade_of(&c);
    assert_int_equal(grade_milli(grade, "points"), 5000 + 20 * 7000);
    json_decref(grade);
    triple_drop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        THE_PROMISES_OF_EVERY_MODALITY,
        cmocka_unit_test(a_further_false_mark_never_earns_points),
        cmocka_unit_test(a_category_farther_from_the_experts_never_earns_more),
        cmocka_unit_test(too_little_memory_is_said_and_never_a_crash_or_half_a_grade),
        cmocka_unit_test(the_largest_case_is_graded),
    };
    return cmocka_run_group_tests(tests, properties_setup, bench_teardown);
}
