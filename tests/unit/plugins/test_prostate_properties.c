/* What grades of prostate MRI promise whatever the case. */
#include "properties.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "prostate_mri/pirads.h"
#include "prostate_mri/sectors.h"

enum { TRUTHS = 500, LESIONS_MAX = 5, MARKS_MAX = 8 };

static json_t *vector(double a, double b, double c)
{
    return json_pack("[fff]", a, b, c);
}

/* --- Random cases ---------------------------------------------------------------------------------- */

static json_t *random_config(void)
{
    static const char *const modes[] = {"distance", "ellipsoid", "point"};
    json_t *config =
        json_pack("{s:{s:s,s:i},s:s,s:{s:[[ii][ii][ii]]},s:{s:[iii],s:[iii],s:i}}", "match", "mode",
                  modes[below(3)], "distance_mm", 4 + below(9), "cspca_definition",
                  below(4) ? "isup_ge_2" : "pirads_v2", "image", "bounds_lps_mm", -60, 60, -60, 60, -40, 40,
                  "gland", "centre", 0, 0, 0, "semi_axes", 26, 19, 21, "margin_mm", 10);
    if (below(2))
        json_object_set_new(
            config, "ask",
            json_pack("[sssssss]", "management", "index", "size", "epe", "svi", "volume", "psa_density"));
    return config;
}

static json_t *random_sectors(int zone, bool left)
{
    json_t *sectors = json_array();
    for (int i = 0; i < SECTOR_COUNT; i++) {
        const struct sector *sector = sector_at(i);
        bool fits = sector->zone == zone && sector->side == (left ? SECTOR_LEFT : SECTOR_RIGHT);
        if (fits && (json_array_size(sectors) == 0 || below(3) == 0))
            json_array_append_new(sectors, json_string(sector->code));
    }
    return sectors;
}

static const char *const zones[] = {"PZ", "TZ", "CZ", "AFS"};
static const char *const dces[] = {"-", "+", "not_done"};

static void set_scores(json_t *object, json_t *category_of, int zone, int basis)
{
    int t2w = 1 + below(5), dwi = 1 + below(5), dce = below(3);
    struct pirads_scores scores = {t2w, dwi, (enum pirads_dce)dce};
    json_object_set_new(object, "t2w", json_integer(t2w));
    json_object_set_new(object, "dwi", json_integer(dwi));
    json_object_set_new(object, "dce", json_string(dces[dce]));
    json_object_set_new(category_of, "zone", json_string(zones[zone]));
    json_object_set_new(category_of, "pirads",
                        json_integer(pirads_category((enum pirads_zone)basis, scores).category));
}

/* From 15 mm on a 4 is a 5, and below it there is no 5. */
static void fit_scores_to_size(json_t *lesion, json_t *scores, int basis, bool large)
{
    static const char *const names[] = {"t2w", "dwi"};
    for (size_t i = 0; i < 2; i++) {
        if (json_integer_value(json_object_get(scores, names[i])) >= 4)
            json_object_set_new(scores, names[i], json_integer(large ? 5 : 4));
    }
    const char *dce = json_string_value(json_object_get(scores, "dce"));
    struct pirads_scores fitted = {(int)json_integer_value(json_object_get(scores, "t2w")),
                                   (int)json_integer_value(json_object_get(scores, "dwi")),
                                   strcmp(dce, "+") == 0 ? PIRADS_DCE_POSITIVE : PIRADS_DCE_NEGATIVE};
    json_object_set_new(lesion, "pirads",
                        json_integer(pirads_category((enum pirads_zone)basis, fitted).category));
}

static json_t *random_lesion(int number)
{
    double l = below(30) - 15 + 0.25 * below(4), p = below(20) - 10, s = below(24) - 12 + 0.1 * below(10);
    int zone = below(4), basis = (int)pirads_default_basis((enum pirads_zone)zone);
    bool large = below(3) == 0;
    int longest = large ? 8 + below(3) : 2 + below(6);
    char id[16];
    snprintf(id, sizeof(id), "L%d", number);
    json_t *scores = json_object();
    json_t *lesion = json_pack("{s:s,s:o,s:o,s:i,s:o}", "id", id, "centre", vector(l, p, s), "semi_axes",
                               vector(longest, 2 + below(longest - 1), 2 + below(longest - 1)), "isup",
                               below(6), "scores", scores);
    if (zone >= PIRADS_CZ && below(2)) {
        basis = below(2);
        json_object_set_new(lesion, "basis", json_string(zones[basis]));
    }
    set_scores(scores, lesion, zone, basis);
    fit_scores_to_size(lesion, scores, basis, large);
    if (below(3))
        json_object_set_new(lesion, "sectors", random_sectors(zone, l >= 0));
    if (below(2))
        json_object_set_new(lesion, "size_mm", json_real(2 * longest - below(2)));
    if (below(2))
        json_object_set_new(lesion, "epe", json_boolean(below(2)));
    if (below(2))
        json_object_set_new(lesion, "svi", json_boolean(below(2)));
    return lesion;
}

static bool is_significant(const json_t *lesion, const json_t *config)
{
    const json_t *axes = json_object_get(lesion, "semi_axes");
    double volume = 4.188790 / 1000;
    int isup = (int)json_integer_value(json_object_get(lesion, "isup"));
    for (size_t i = 0; i < 3; i++)
        volume *= json_number_value(json_array_get(axes, i));
    if (strcmp(json_string_value(json_object_get(config, "cspca_definition")), "pirads_v2") == 0)
        return isup >= 2 || (isup == 1 && (volume > 0.5 || json_is_true(json_object_get(lesion, "epe"))));
    return isup >= 2;
}

/* One that the categories of the truth do not contradict. */
static const char *random_management(bool cspca, int category)
{
    static const char *const managements[] = {"no_biopsy", "targeted", "systematic", "both"};
    const char *any = managements[below(4)];
    if (category < 3)
        return below(2) ? "no_biopsy" : "systematic";
    return cspca && category >= 4 && strcmp(any, "no_biopsy") == 0 ? "targeted" : any;
}

static json_t *random_truth(const json_t *config)
{
    json_t *lesions = json_array(), *truth = json_pack("{s:o}", "lesions", lesions);
    bool cspca = false;
    int count = below(LESIONS_MAX), category = 0;
    for (int i = 0; i < count; i++) {
        json_t *lesion = random_lesion(i);
        bool significant = is_significant(lesion, config);
        if (significant && !cspca)
            json_object_set_new(lesion, "index", json_true());
        cspca |= significant;
        int own = (int)json_integer_value(json_object_get(lesion, "pirads"));
        category = own > category ? own : category;
        json_array_append_new(lesions, lesion);
    }
    json_object_set_new(truth, "cspca", json_boolean(cspca));
    if (below(2))
        json_object_set_new(truth, "management", json_string(random_management(cspca, category)));
    if (below(2))
        json_object_set_new(truth, "volume_ml", json_integer(20 + below(80)));
    if (below(2))
        json_object_set_new(truth, "psa_ng_ml", json_integer(1 + below(20)));
    return truth;
}

static void copy(json_t *to, const json_t *from, const char *name)
{
    json_t *value = json_object_get(from, name);
    if (value)
        json_object_set_new(to, name, json_deep_copy(value));
}

static json_t *truth_as_answer(const json_t *truth)
{
    json_t *marks = json_array(), *answer = json_pack("{s:o}", "lesions", marks);
    json_t *volume = json_object_get(truth, "volume_ml"), *psa = json_object_get(truth, "psa_ng_ml");
    size_t i;
    json_t *lesion;
    json_array_foreach(json_object_get(truth, "lesions"), i, lesion)
    {
        static const char *const same[] = {"zone",    "basis", "sectors", "pirads", "semi_axes",
                                           "size_mm", "epe",   "svi",     "index"};
        json_t *mark = json_deep_copy(json_object_get(lesion, "scores"));
        json_object_set_new(mark, "position", json_deep_copy(json_object_get(lesion, "centre")));
        for (size_t k = 0; k < sizeof(same) / sizeof(same[0]); k++)
            copy(mark, lesion, same[k]);
        json_array_append_new(marks, mark);
    }
    copy(answer, truth, "cspca");
    copy(answer, truth, "management");
    copy(answer, truth, "volume_ml");
    if (volume && psa)
        json_object_set_new(answer, "psa_density",
                            json_real(json_number_value(psa) / json_number_value(volume)));
    return answer;
}

static json_t *random_mark(void)
{
    int zone = below(4);
    json_t *mark = json_pack("{s:o}", "position",
                             vector(below(44) - 22, below(30) - 15, below(30) - 15 + 0.5 * below(2)));
    set_scores(mark, mark, zone, (int)pirads_default_basis((enum pirads_zone)zone));
    if (below(3) == 0)
        json_object_set_new(mark, "pirads", json_integer(1 + below(5)));
    if (below(2))
        json_object_set_new(mark, "sectors", random_sectors(zone, below(2)));
    if (below(2))
        json_object_set_new(mark, "semi_axes", vector(1 + below(9), 1 + below(9), 1 + below(9)));
    return mark;
}

static json_t *answer_of(int marks)
{
    json_t *lesions = json_array(), *answer = json_pack("{s:o,s:b}", "lesions", lesions, "cspca", below(2));
    for (int i = 0; i < marks; i++)
        json_array_append_new(lesions, random_mark());
    return answer;
}

static json_t *random_answer(const json_t *truth)
{
    (void)truth;
    return answer_of(below(MARKS_MAX));
}

const struct modality modality = {
    .list = "lesions",
    .nothing = "{\"lesions\":[],\"cspca\":false}",
    .cases = TRUTHS,
    .config = random_config,
    .truth = random_truth,
    .answer = random_answer,
    .truth_as_answer = truth_as_answer,
};

/* --- Its own promises ------------------------------------------------------------------------------ */

static void a_normal_case_left_alone_earns_all_points(void **state)
{
    json_t *nothing = json_loads(modality.nothing, 0, NULL);
    struct triple c = {random_config(), nothing, json_incref(nothing)};
    (void)state;
    json_t *grade = grade_of(&c);
    assert_int_equal(grade_milli(grade, "points"), grade_milli(grade, "max_points"));
    assert_true(json_is_true(json_object_get(grade, "correct")));
    json_decref(grade);
    triple_drop(&c);
}

static void a_further_false_mark_never_earns_points(void **state)
{
    (void)state;
    for (int i = 0; i < TRUTHS; i++) {
        struct triple c = random_triple();
        int64_t points = points_of(&c);
        json_t *mark = random_mark();
        json_object_del(mark, "semi_axes");
        json_object_set_new(mark, "position",
                            vector(0, 0, 39)); /* farther from every lesion than any tolerance */
        json_array_append_new(json_object_get(c.answer, "lesions"), mark);
        assert_true(points_of(&c) <= points);
        triple_drop(&c);
    }
}

/* The only lesion, answered as the expert would. */
static struct triple significant_lesion(void)
{
    struct triple ret = {.config = random_config()};
    json_t *lesion = random_lesion(0);
    json_object_set_new(lesion, "isup", json_integer(3));
    ret.truth = json_pack("{s:[o],s:b}", "lesions", lesion, "cspca", 1);
    ret.answer = truth_as_answer(ret.truth);
    return ret;
}

static void a_mark_that_moves_away_from_the_lesion_never_earns_more(void **state)
{
    (void)state;
    for (int i = 0; i < 60; i++) {
        struct triple c = significant_lesion();
        json_t *mark = first_mark(c.answer), *centre = json_incref(json_object_get(mark, "position"));
        double way[3] = {below(11) - 5, below(11) - 5, below(10) + 1};
        int64_t last = INT64_MAX;
        if (below(2))
            json_object_del(mark, "semi_axes");
        for (int step = 0; step < 40; step++) {
            double at[3];
            for (size_t k = 0; k < 3; k++)
                at[k] = json_number_value(json_array_get(centre, k)) + way[k] * step * 0.2;
            json_object_set_new(mark, "position", vector(at[0], at[1], at[2]));
            int64_t points = points_of(&c);
            assert_true(points <= last);
            last = points;
        }
        json_decref(centre);
        triple_drop(&c);
    }
}

static void a_category_farther_from_the_experts_never_earns_more(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        struct triple c = significant_lesion();
        json_t *mark = first_mark(c.answer);
        int expert = (int)json_integer_value(json_object_get(mark, "pirads"));
        for (int way = -1; way <= 1; way += 2) {
            int64_t last = INT64_MAX;
            for (int category = expert; category >= 1 && category <= 5; category += way) {
                json_object_set_new(mark, "pirads", json_integer(category));
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
    struct triple c = {.config = random_config()};
    (void)state;
    c.truth = random_truth(c.config);
    c.answer = answer_of(MARKS_MAX - 1);
    needs_memory_and_says_so(&c);
    triple_drop(&c);
}

/* The most that the schemas let through: 20 outlined marks on 20 lesions, all overlapping. */
static void the_largest_case_is_graded(void **state)
{
    json_t *lesions = json_array(), *marks = json_array();
    json_t *config =
        json_pack("{s:{s:s},s:s,s:{s:[[ii][ii][ii]]}}", "match", "mode", "ellipsoid", "cspca_definition",
                  "isup_ge_2", "image", "bounds_lps_mm", -60, 60, -60, 60, -40, 40);
    (void)state;
    for (int i = 0; i < 20; i++) {
        json_t *lesion = random_lesion(i);
        json_object_set_new(lesion, "isup", json_integer(2));
        json_object_set_new(lesion, "semi_axes", vector(20, 15, 15));
        json_array_append_new(lesions, lesion);
        json_t *mark = random_mark();
        json_object_set_new(mark, "semi_axes", vector(18, 16, 14));
        json_array_append_new(marks, mark);
    }
    struct triple c = {config, json_pack("{s:o,s:b}", "lesions", lesions, "cspca", 1),
                       json_pack("{s:o,s:b}", "lesions", marks, "cspca", 1)};
    json_t *grade = grade_of(&c);
    const json_t *metrics = json_object_get(grade, "metrics");
    assert_true(json_number_value(json_object_get(metrics, "significant_lesions")) > 19.5);
    assert_true(json_is_number(json_object_get(metrics, "overlap_iou")));
    json_decref(grade);
    triple_drop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        THE_PROMISES_OF_EVERY_MODALITY,
        cmocka_unit_test(a_normal_case_left_alone_earns_all_points),
        cmocka_unit_test(a_further_false_mark_never_earns_points),
        cmocka_unit_test(a_mark_that_moves_away_from_the_lesion_never_earns_more),
        cmocka_unit_test(a_category_farther_from_the_experts_never_earns_more),
        cmocka_unit_test(too_little_memory_is_said_and_never_a_crash_or_half_a_grade),
        cmocka_unit_test(the_largest_case_is_graded),
    };
    return cmocka_run_group_tests(tests, properties_setup, bench_teardown);
}
