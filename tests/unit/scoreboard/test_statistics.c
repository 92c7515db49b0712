#include "scoreboard/statistics.h"

#include "stats_testing.h"

#define PLAN "{\"truth\":\"t\",\"score\":\"s\",\"levels\":5,\"positive_from\":[3,4]," \
             "\"lesions\":{\"marks\":\"m\",\"confidence\":\"c\",\"order\":[1,2],\"found\":[\"f\"],\"missed\":[\"m\"]}," \
             "\"strata\":[{\"name\":\"psa\",\"title\":\"PSA\",\"unit\":\"ng/ml\",\"clinical\":\"p\",\"edges\":[4,10.5]}," \
             "{\"name\":\"zone\",\"title\":\"Zone\",\"metric\":\"z\",\"titles\":[\"PZ\",\"TZ\"]}]}"

static struct statistics_plan plan_of(struct arena *arena, const char *json)
{
    struct statistics_plan ret;
    struct error err = {0};

    assert_int_equal(statistics_plan_of(arena, text_of(json), &ret, &err), 0);
    return ret;
}

static const json_t *at(const json_t *json, const char *first, const char *second)
{
    const json_t *ret = json_object_get(json, first);
    return second ? json_object_get(ret, second) : ret;
}

static json_t *finished(struct arena *arena, struct buffer *out)
{
    json_t *ret;
    struct error err = {0};

    buffer_puts(out, "}");
    assert_false(out->failed);
    if (json_parse(arena, (struct text){out->p, out->len}, &ret, &err) < 0)
        fail_msg("%s: %s", err.detail, out->p);
    buffer_finish(out);
    return ret;
}

static json_t *rendered(struct arena *arena, const struct statistics_plan *plan, const struct statistics_strata *strata,
                        const struct statistics_record *record)
{
    struct buffer out;
    struct error err = {0};

    buffer_init(&out, STATISTICS_MAX);
    buffer_puts(&out, "{");
    assert_int_equal(statistics_render(arena, plan, strata, record, &out, &err), 0);
    return finished(arena, &out);
}

static const struct statistics_record four = {.reads = 4,
                                              .correct = TEXT("1101"),
                                              .milliseconds = TEXT("1000,3000,500,-20"),
                                              .truth = TEXT("10-1"),
                                              .score = TEXT("dbe-"),
                                              .reference = TEXT("db--"),
                                              .strata = TEXT("aab-"),
                                              .lesions = TEXT("Da;b;;-")};

static void packed_reads_become_numbers_and_reads_without_truth_or_score_are_left_out(void **state)
{
    const struct statistics_plan plan = plan_of(*state, PLAN);
    const json_t *all = at(rendered(*state, &plan, NULL, &four), "all", NULL);

    assert_int_equal(json_integer_value(at(all, "reads", NULL)), 4);
    assert_int_equal(json_integer_value(at(all, "correct", "k")), 3);
    assert_int_equal(json_integer_value(at(all, "left_out", NULL)), 2);
    assert_int_equal(json_integer_value(at(all, "statistics", "n")), 2);
    assert_near(json_number_value(at(all, "seconds", "median")), 0.75);
    assert_near(json_number_value(at(at(all, "statistics", "auroc"), "auc", NULL)), 1);
    assert_int_equal(json_integer_value(at(all, "lesions", "lesions")), 1); /* the missed one is of a read left out */
    assert_int_equal(json_array_size(at(all, "lesions", "froc")), 3);
}

static void strata_have_titles_and_what_is_not_known_comes_last(void **state)
{
    const struct statistics_plan plan = plan_of(*state, PLAN);
    const char *const titles[] = {"below 4 ng/ml", "4 to below 10.5 ng/ml", "10.5 ng/ml and more", "not known"};
    const json_int_t reads[] = {2, 1, 0, 1};
    struct statistics_strata strata;
    struct error err = {0};

    assert_int_equal(statistics_strata_of(*state, &plan, TEXT("psa"), &strata, &err), 0);
    const json_t *shown = at(rendered(*state, &plan, &strata, &four), "strata", NULL);
    assert_int_equal(json_array_size(shown), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(json_string_value(at(json_array_get(shown, i), "title", NULL)), titles[i]);
        assert_int_equal(json_integer_value(at(json_array_get(shown, i), "reads", NULL)), reads[i]);
    }
    assert_int_equal(statistics_strata_of(*state, &plan, TEXT("age"), &strata, &err), -1);
    assert_string_equal(err.field, "stratum");
    assert_non_null(strstr(err.detail, "difficulty, psa, zone"));
}

static void a_modality_that_declares_nothing_has_shares_and_times_only(void **state)
{
    const struct statistics_plan plan = plan_of(*state, "");
    const json_t *all = at(rendered(*state, &plan, NULL, &four), "all", NULL);

    assert_true(json_is_null(at(all, "statistics", NULL)) && json_is_null(at(all, "lesions", NULL)));
    assert_non_null(strstr(json_string_value(at(all, "undefined", "/statistics")), "declares no"));
    assert_int_equal(json_integer_value(at(all, "correct", "k")), 3);
}

static void columns_that_do_not_fit_together_are_an_error(void **state)
{
    const struct statistics_plan plan = plan_of(*state, PLAN);
    struct statistics_record short_of_one = four, no_time = four;
    struct buffer out;
    struct error err = {0};

    short_of_one.score = TEXT("dbe");
    no_time.milliseconds = TEXT("1,2,3");
    buffer_init(&out, STATISTICS_MAX);
    assert_int_equal(statistics_render(*state, &plan, NULL, &short_of_one, &out, &err), -1);
    assert_int_equal(statistics_render(*state, &plan, NULL, &no_time, &out, &err), -1);
    assert_int_equal(err.kind, ERROR_INTERNAL);
    buffer_finish(&out);
}

static void a_long_curve_has_at_most_500_points_and_ends_with_the_last_read(void **state)
{
    enum { READS = 1731 };
    char right[READS];
    struct buffer out;

    for (size_t i = 0; i < READS; i++)
        right[i] = i % 3 ? '1' : '0';
    buffer_init(&out, STATISTICS_MAX);
    buffer_puts(&out, "{");
    statistics_learning_render(*state, (struct text){right, READS}, &out);
    const json_t *shown = finished(*state, &out), *curve = at(shown, "curve", NULL);
    const size_t count = json_array_size(curve);
    assert_in_range(count, STATISTICS_CURVE_MAX / 2, STATISTICS_CURVE_MAX);
    assert_int_equal(json_integer_value(at(json_array_get(curve, count - 1), "read", NULL)), READS);
    buffer_init(&out, STATISTICS_MAX);
    buffer_puts(&out, "{");
    statistics_learning_render(*state, (struct text){right, 19}, &out);
    assert_int_equal(json_array_size(at(finished(*state, &out), "curve", NULL)), 0);
}

static void a_case_that_is_not_shown_is_null_throughout_for_one_reason(void **state)
{
    const struct statistics_plan plan = plan_of(*state, PLAN);
    struct buffer out;
    const char *name;
    json_t *value;

    buffer_init(&out, STATISTICS_MAX);
    buffer_puts(&out, "{");
    statistics_case_render(&plan, NULL, "too few", &out);
    json_t *shown = finished(*state, &out), *why = json_object_get(shown, "undefined");
    assert_int_equal(json_object_size(shown), json_object_size(why) + 1);
    json_object_foreach(why, name, value)
    {
        assert_true(json_is_null(json_object_get(shown, name + 1)));
        assert_string_equal(json_string_value(value), "too few");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        arena_test(packed_reads_become_numbers_and_reads_without_truth_or_score_are_left_out),
        arena_test(strata_have_titles_and_what_is_not_known_comes_last),
        arena_test(a_modality_that_declares_nothing_has_shares_and_times_only),
        arena_test(columns_that_do_not_fit_together_are_an_error),
        arena_test(a_long_curve_has_at_most_500_points_and_ends_with_the_last_read),
        arena_test(a_case_that_is_not_shown_is_null_throughout_for_one_reason),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
