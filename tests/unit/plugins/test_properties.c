/* What grades promise whatever the case: seeded random truths and answers. OVERREAD_SEED repeats a run. */
#include "support.h"
#include <fenv.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "prostate_mri/pirads.h"
#include "prostate_mri/sectors.h"

enum { TRUTHS = 500, LESIONS_MAX = 5, MARKS_MAX = 8, TEXT_SIZE = 65536 };

static struct bench *bench;
static uint64_t random_state;

static int open_bench(void **state)
{
    const char *seed = getenv("OVERREAD_SEED");
    (void)state;
    random_state = seed ? strtoull(seed, NULL, 10) | 1 : 88172645463325252;
    bench = bench_open("prostate_mri", UINT64_C(32) << 20);
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

static json_t *vector(double a, double b, double c)
{
    return json_pack("[fff]", a, b, c);
}

/* --- Random cases
 * --------------------------------------------------------------------------------------------------- */

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

static json_t *random_lesion(int number)
{
    double l = below(30) - 15 + 0.25 * below(4), p = below(20) - 10, s = below(24) - 12 + 0.1 * below(10);
    int zone = below(4), basis = (int)pirads_default_basis((enum pirads_zone)zone);
    char id[16];
    snprintf(id, sizeof(id), "L%d", number);
    json_t *scores = json_object();
    json_t *lesion =
        json_pack("{s:s,s:o,s:o,s:i,s:o}", "id", id, "centre", vector(l, p, s), "semi_axes",
                  vector(2 + below(9), 2 + below(7), 2 + below(7)), "isup", below(6), "scores", scores);
    if (zone >= PIRADS_CZ && below(2)) {
        basis = below(2);
        json_object_set_new(lesion, "basis", json_string(zones[basis]));
    }
    set_scores(scores, lesion, zone, basis);
    if (below(3))
        json_object_set_new(lesion, "sectors", random_sectors(zone, l >= 0));
    if (below(2))
        json_object_set_new(lesion, "size_mm", json_real(4 + below(30)));
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

static json_t *random_truth(const json_t *config)
{
    static const char *const managements[] = {"no_biopsy", "targeted", "systematic", "both"};
    json_t *lesions = json_array(), *truth = json_pack("{s:o}", "lesions", lesions);
    bool cspca = false;
    int count = below(LESIONS_MAX);
    for (int i = 0; i < count; i++) {
        json_t *lesion = random_lesion(i);
        bool significant = is_significant(lesion, config);
        if (significant && !cspca)
            json_object_set_new(lesion, "index", json_true());
        cspca |= significant;
        json_array_append_new(lesions, lesion);
    }
    json_object_set_new(truth, "cspca", json_boolean(cspca));
    if (below(2))
        json_object_set_new(truth, "management", json_string(managements[below(4)]));
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

/* What an expert who knew the truth would have sent. */
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

static json_t *random_answer(int marks)
{
    json_t *lesions = json_array(), *answer = json_pack("{s:o,s:b}", "lesions", lesions, "cspca", below(2));
    for (int i = 0; i < marks; i++)
        json_array_append_new(lesions, random_mark());
    return answer;
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

/* --- The promises
 * --------------------------------------------------------------------------------------------------- */

static void the_truth_as_answer_earns_all_points_and_nothing_earns_more(void **state)
{
    (void)state;
    for (int i = 0; i < TRUTHS; i++) {
        json_t *config = random_config(), *truth = random_truth(config), *best = truth_as_answer(truth);
        json_t *empty = json_pack("{s:[],s:b}", "lesions", "cspca", 0),
               *other = random_answer(below(MARKS_MAX));
        const struct host_result *check = bench_run_json(bench, HOST_CHECK_TRUTH, config, truth, NULL);
        json_t *grade;
        if (check->status != HOST_OK)
            fail_msg("a random truth is refused: %s: %s", check->pointer, check->text.p);
        grade = bench_grade(bench, config, truth, best);
        if (milli(grade, "points") != milli(grade, "max_points") ||
            !json_is_true(json_object_get(grade, "correct"))) {
            show(config, truth, best);
            fail_msg("the truth as answer earns %lld", (long long)milli(grade, "points"));
        }
        assert_true(points_of(config, truth, empty) <= milli(grade, "max_points"));
        assert_true(points_of(config, truth, other) <= milli(grade, "max_points"));
        json_decref(grade);
        json_decref(config);
        json_decref(truth);
        json_decref(best);
        json_decref(empty);
        json_decref(other);
    }
}

static void a_normal_case_left_alone_earns_all_points(void **state)
{
    json_t *config = random_config(), *truth = json_pack("{s:[],s:b}", "lesions", "cspca", 0);
    (void)state;
    json_t *grade = bench_grade(bench, config, truth, truth);
    assert_int_equal(milli(grade, "points"), milli(grade, "max_points"));
    assert_true(json_is_true(json_object_get(grade, "correct")));
    json_decref(grade);
    json_decref(config);
    json_decref(truth);
}

/* "/lesions/<i>" becomes "/lesions/<order[i]>" in the named member and in what the words quote of it. */
static void rename_pointers(json_t *grade, const char *member, const int *order)
{
    size_t i;
    json_t *finding;
    json_array_foreach(json_object_get(grade, "findings"), i, finding)
    {
        const char *pointer = json_string_value(json_object_get(finding, member));
        char renamed[64];
        if (!pointer || strncmp(pointer, "/lesions/", 9) != 0)
            continue;
        snprintf(renamed, sizeof(renamed), "/lesions/%d", order[strtol(pointer + 9, NULL, 10)]);
        json_object_set_new(finding, member, json_string(renamed));
    }
}

static json_t *shuffled(const json_t *object, int *order)
{
    json_t *copied = json_deep_copy(object), *lesions = json_object_get(object, "lesions"),
           *mixed = json_array();
    int count = (int)json_array_size(lesions);
    for (int i = 0; i < count; i++)
        order[i] = i;
    for (int i = count - 1; i > 0; i--) {
        int j = below(i + 1), swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
    for (int i = 0; i < count; i++)
        json_array_append(mixed, json_array_get(lesions, (size_t)order[i]));
    json_object_set_new(copied, "lesions", mixed);
    return copied;
}

static void the_order_of_marks_and_of_lesions_changes_nothing_but_the_pointers(void **state)
{
    (void)state;
    for (int i = 0; i < TRUTHS; i++) {
        int truth_order[LESIONS_MAX], answer_order[MARKS_MAX];
        json_t *config = random_config(), *truth = random_truth(config),
               *answer = random_answer(below(MARKS_MAX));
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

/* The same value with the members of every object in the opposite order. */
static json_t *reversed(const json_t *value)
{
    const char *names[64];
    size_t count = 0;
    json_t *ret, *item;
    if (json_is_array(value)) {
        ret = json_array();
        json_array_foreach(value, count, item) json_array_append_new(ret, reversed(item));
        return ret;
    }
    if (!json_is_object(value))
        return json_deep_copy(value);
    ret = json_object();
    for (void *at = json_object_iter((json_t *)(uintptr_t)value); at && count < 64;
         at = json_object_iter_next((json_t *)(uintptr_t)value, at))
        names[count++] = json_object_iter_key(at);
    while (count-- > 0)
        json_object_set_new(ret, names[count], reversed(json_object_get(value, names[count])));
    return ret;
}

static void take_bytes(char *to, const struct host_result *result)
{
    assert_int_equal(result->status, HOST_OK);
    assert_true(result->text.len < TEXT_SIZE);
    memcpy(to, result->text.p, result->text.len + 1);
}

static void keys_locale_and_rounding_mode_change_no_byte(void **state)
{
    static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    static char first[TEXT_SIZE], again[TEXT_SIZE];
    (void)state;
    for (int i = 0; i < 100; i++) {
        json_t *config = random_config(), *truth = random_truth(config),
               *answer = random_answer(below(MARKS_MAX));
        json_t *turned[] = {reversed(config), reversed(truth), reversed(answer)};
        take_bytes(first, bench_run_json(bench, HOST_GRADE, config, truth, answer));
        setlocale(LC_ALL, "de_DE.UTF-8"); /* a decimal comma, where the machine has that locale */
        for (size_t m = 0; m < sizeof(modes) / sizeof(modes[0]); m++) {
            fesetround(modes[m]);
            take_bytes(again, bench_run_json(bench, HOST_GRADE, turned[0], turned[1], turned[2]));
            fesetround(FE_TONEAREST);
            assert_string_equal(first, again);
        }
        setlocale(LC_ALL, "C");
        for (size_t k = 0; k < 3; k++)
            json_decref(turned[k]);
        json_decref(config);
        json_decref(truth);
        json_decref(answer);
    }
}

static void a_further_false_mark_never_earns_points(void **state)
{
    (void)state;
    for (int i = 0; i < TRUTHS; i++) {
        json_t *config = random_config(), *truth = random_truth(config),
               *answer = random_answer(below(MARKS_MAX));
        json_t *more = json_deep_copy(answer), *mark = random_mark();
        json_object_del(mark, "semi_axes");
        json_object_set_new(mark, "position",
                            vector(0, 0, 39)); /* farther from every lesion than any tolerance */
        json_array_append_new(json_object_get(more, "lesions"), mark);
        assert_true(points_of(config, truth, more) <= points_of(config, truth, answer));
        json_decref(config);
        json_decref(truth);
        json_decref(answer);
        json_decref(more);
    }
}

static void a_mark_that_moves_away_from_the_lesion_never_earns_more(void **state)
{
    (void)state;
    for (int i = 0; i < 60; i++) {
        json_t *config = random_config(), *lesion = random_lesion(0);
        json_object_set_new(lesion, "isup", json_integer(3));
        json_t *truth = json_pack("{s:[o],s:b}", "lesions", lesion, "cspca", 1);
        json_t *answer = truth_as_answer(truth),
               *mark = json_array_get(json_object_get(answer, "lesions"), 0);
        const json_t *centre = json_object_get(lesion, "centre");
        double way[3] = {below(11) - 5, below(11) - 5, below(10) + 1};
        int64_t last = INT64_MAX;
        if (below(2))
            json_object_del(mark, "semi_axes");
        for (int step = 0; step < 40; step++) {
            double at[3];
            for (size_t k = 0; k < 3; k++)
                at[k] = json_number_value(json_array_get(centre, k)) + way[k] * step * 0.2;
            json_object_set_new(mark, "position", vector(at[0], at[1], at[2]));
            int64_t points = points_of(config, truth, answer);
            assert_true(points <= last);
            last = points;
        }
        json_decref(config);
        json_decref(truth);
        json_decref(answer);
    }
}

static void a_category_farther_from_the_experts_never_earns_more(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        json_t *config = random_config(), *lesion = random_lesion(0);
        json_object_set_new(lesion, "isup", json_integer(3));
        json_t *truth = json_pack("{s:[o],s:b}", "lesions", lesion, "cspca", 1),
               *answer = truth_as_answer(truth);
        json_t *mark = json_array_get(json_object_get(answer, "lesions"), 0);
        int expert = (int)json_integer_value(json_object_get(lesion, "pirads"));
        for (int way = -1; way <= 1; way += 2) {
            int64_t last = INT64_MAX;
            for (int category = expert; category >= 1 && category <= 5; category += way) {
                json_object_set_new(mark, "pirads", json_integer(category));
                int64_t points = points_of(config, truth, answer);
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
    json_t *config = random_config(), *truth = random_truth(config), *answer = random_answer(MARKS_MAX - 1);
    bool refused = false, graded = false;
    (void)state;
    for (uint64_t memory = 4096; memory <= 131072; memory += 1009) {
        struct bench *small = bench_open("prostate_mri", memory);
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
    json_t *truth = json_pack("{s:o,s:b}", "lesions", lesions, "cspca", 1);
    json_t *answer = json_pack("{s:o,s:b}", "lesions", marks, "cspca", 1);
    json_t *grade = bench_grade(bench, config, truth, answer);
    const json_t *metrics = json_object_get(grade, "metrics");
    assert_true(json_number_value(json_object_get(metrics, "significant_lesions")) > 19.5);
    assert_true(json_is_number(json_object_get(metrics, "overlap_iou")));
    json_decref(grade);
    json_decref(config);
    json_decref(truth);
    json_decref(answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_truth_as_answer_earns_all_points_and_nothing_earns_more),
        cmocka_unit_test(a_normal_case_left_alone_earns_all_points),
        cmocka_unit_test(the_order_of_marks_and_of_lesions_changes_nothing_but_the_pointers),
        cmocka_unit_test(keys_locale_and_rounding_mode_change_no_byte),
        cmocka_unit_test(a_further_false_mark_never_earns_points),
        cmocka_unit_test(a_mark_that_moves_away_from_the_lesion_never_earns_more),
        cmocka_unit_test(a_category_farther_from_the_experts_never_earns_more),
        cmocka_unit_test(too_little_memory_is_said_and_never_a_crash_or_half_a_grade),
        cmocka_unit_test(the_largest_case_is_graded),
    };
    return cmocka_run_group_tests(tests, open_bench, close_bench);
}
