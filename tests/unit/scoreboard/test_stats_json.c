#include "scoreboard/stats_json.h"

#include "scoreboard/stats_learning.h"
#include "scoreboard/stats_render.h"
#include "stats_testing.h"

/* What stats_report makes of the input, as text; fails the test when it refuses. */
static const char *report_text(struct arena *arena, const char *input)
{
    struct buffer out;
    struct error err = {0};

    buffer_init(&out, 1 << 20);
    if (stats_report(arena, json_in(arena, input), &out, &err))
        fail_msg("refused: %s %s", err.field, err.detail);
    const char *ret = arena_copy(arena, out.p, out.len);
    buffer_finish(&out);
    return ret;
}

static json_t *report(struct arena *arena, const char *input)
{
    return json_in(arena, report_text(arena, input));
}

/* Members by name, like "at.3.sensitivity"; reasons hold slashes and are looked up directly. */
static const json_t *member(struct arena *arena, const json_t *json, const char *path)
{
    for (const char *rest = path; *rest;) {
        const size_t len = strcspn(rest, ".");
        json = json_object_get(json, arena_copy(arena, rest, len));
        if (!json)
            fail_msg("%s: nothing at %s", path, rest);
        rest += len + (rest[len] == '.');
    }
    return json;
}

static double number(struct arena *arena, const json_t *json, const char *path)
{
    const json_t *value = member(arena, json, path);

    if (!json_is_number(value))
        fail_msg("%s is not a number", path);
    return json_number_value(value);
}

static const char *reason(struct arena *arena, const json_t *json, const char *pointer)
{
    const char *ret = json_string_value(json_object_get(member(arena, json, "undefined"), pointer));

    if (!ret)
        fail_msg("no reason for %s", pointer);
    return ret;
}

static void assert_keys(const json_t *object, const char *const names[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!json_object_get(object, names[i]))
            fail_msg("there is no %s", names[i]);
    assert_int_equal(json_object_size(object), n);
}

static const char sixty_reads[] =
    "{\"truth\":[0,0,0,0,0,1,1,1,1,1,0,0,0,0,0,1,1,1,1,1,0,0,0,0,0,1,1,1,1,1,"
    "0,0,0,0,0,1,1,1,1,1,0,0,0,0,0,1,1,1,1,1,0,0,0,0,0,1,1,1,1,1],"
    "\"score\":[1,2,3,4,5,1,2,3,4,5,1,2,1,2,3,5,4,4,4,5,1,2,1,2,3,5,4,4,4,5,"
    "1,2,3,4,5,1,2,3,4,5,1,2,1,2,3,5,4,4,4,5,1,2,1,2,3,5,4,4,4,5],"
    "\"reference\":[1,2,3,4,5,1,2,3,4,5,1,2,1,2,3,5,4,4,4,5,1,2,1,2,3,5,4,4,4,5,"
    "1,2,3,4,5,1,2,3,4,5,1,2,1,2,3,5,4,4,4,5,1,2,1,2,3,5,4,4,4,4]}";

static void a_full_report_of_reads_has_exactly_the_documented_members(void **state)
{
    static const char *const top[] = {"n", "auroc", "average_precision", "at", "kappa_quadratic"};
    static const char *const auroc[] = {"auc", "var", "ci95"};
    static const char *const at[] = {"3", "4"};
    static const char *const table[] = {"tp", "fp", "fn", "tn", "sensitivity", "specificity", "ppv", "npv"};
    static const char *const share[] = {"k", "n", "p", "wilson95"};
    const json_t *ret = report(*state, sixty_reads);

    assert_keys(ret, top, COUNT(top));
    assert_keys(member(*state, ret, "auroc"), auroc, COUNT(auroc));
    assert_keys(member(*state, ret, "at"), at, COUNT(at));
    assert_keys(member(*state, ret, "at.3"), table, COUNT(table));
    assert_keys(member(*state, ret, "at.4.npv"), share, COUNT(share));
    assert_int_equal(json_array_size(member(*state, ret, "at.4.npv.wilson95")), 2);
    assert_int_equal(json_array_size(member(*state, ret, "auroc.ci95")), 2);
    assert_near(number(*state, ret, "n"), 60);
    assert_near(number(*state, ret, "at.4.sensitivity.p"), 24.0 / 30);
}

static void numbers_are_written_so_that_nothing_is_lost(void **state)
{
    const char *text = report_text(*state, "{\"truth\":[1,1,1,0,0],\"score\":[5,4,1,1,2]}");

    /* 5 of 6 placements less one tie and one loss: (2 + 2 + 0.5) / 6 = 0.75; sensitivity at 3 is 2/3. */
    assert_non_null(strstr(text, "\"auc\":0.75,"));
    assert_non_null(strstr(text, "\"k\":2,\"n\":3,\"p\":0.66666666666666663,"));
}

static void what_is_undefined_is_null_and_has_its_reason(void **state)
{
    const json_t *ret = report(*state, "{\"truth\":[1,1,1],\"score\":[5,4,4]}");

    assert_true(json_is_null(member(*state, ret, "auroc.auc")));
    assert_true(json_is_null(member(*state, ret, "auroc.ci95")));
    assert_true(json_is_null(member(*state, ret, "at.3.specificity.p")));
    assert_true(json_is_null(member(*state, ret, "at.3.specificity.wilson95")));
    assert_true(json_is_null(member(*state, ret, "kappa_quadratic")));
    assert_near(number(*state, ret, "average_precision"), 1);
    assert_string_equal(reason(*state, ret, "/auroc/auc"), "no truth-negative read");
    assert_string_equal(reason(*state, ret, "/at/3/specificity/p"), "no truth-negative read");
    assert_non_null(strstr(reason(*state, ret, "/at/4/npv/wilson95"), "called negative"));
    assert_non_null(strstr(reason(*state, ret, "/kappa_quadratic"), "no reference"));
}

static void assert_every_null_has_a_reason(struct arena *arena, const json_t *root, const json_t *json,
                                           const char *pointer, unsigned *nulls)
{
    const char *name;
    json_t *value;

    if (json_is_null(json)) {
        (void)reason(arena, root, pointer);
        *nulls += 1;
    }
    if (json_is_object(json))
        json_object_foreach((json_t *)(uintptr_t)json, name, value) assert_every_null_has_a_reason(
            arena, root, value, arena_printf(arena, "%s/%s", pointer, name), nulls);
}

static void no_reads_at_all_give_nulls_with_reasons_and_no_number_but_counts(void **state)
{
    const json_t *ret = report(*state, "{\"truth\":[],\"score\":[],\"reference\":[]}");
    unsigned nulls = 0;

    assert_every_null_has_a_reason(*state, ret, ret, "", &nulls);
    assert_int_equal(nulls, 3 + 1 + 2 * 4 * 2 + 1);
    assert_int_equal(json_object_size(member(*state, ret, "undefined")), nulls);
    assert_near(number(*state, ret, "n"), 0);
    assert_near(number(*state, ret, "at.3.tp"), 0);
}

static void a_small_sample_says_so(void **state)
{
    const json_t *small = report(*state, "{\"truth\":[1,0,1,0],\"score\":[5,4,3,2]}");
    const char *note = json_string_value(json_object_get(member(*state, small, "notes"), "/n"));

    assert_non_null(note);
    assert_non_null(strstr(note, "small sample: 4 reads, 2 positive and 2 negative"));
    assert_null(json_object_get(report(*state, sixty_reads), "notes"));
}

static void a_perfect_score_is_not_shown_as_certainty(void **state)
{
    const json_t *ret = report(*state, "{\"truth\":[1,1,0,0],\"score\":[5,4,2,1]}");
    const json_t *ci = member(*state, ret, "auroc.ci95");

    assert_near(json_number_value(json_array_get(ci, 0)), 1);
    assert_near(json_number_value(json_array_get(ci, 1)), 1);
    assert_non_null(json_object_get(member(*state, ret, "notes"), "/auroc/ci95"));
}

static void a_report_of_lesions_has_exactly_the_documented_members(void **state)
{
    static const char *const top[] = {"cases", "lesions", "auroc", "average_precision",
                                      "score", "froc",    "notes"};
    static const char *const point[] = {"threshold", "fp_per_case", "sensitivity"};
    const json_t *ret =
        report(*state, "{\"lesion_results\":{\"a\":[[1,4,0.3],[0,2,0]],\"b\":[],\"c\":[[1,0,0]]},"
                       "\"case_target\":{\"a\":1,\"b\":0,\"c\":1}}");

    assert_keys(ret, top, COUNT(top));
    assert_near(number(*state, ret, "cases"), 3);
    assert_near(number(*state, ret, "lesions"), 2);
    assert_near(number(*state, ret, "auroc"), 0.75);
    assert_near(number(*state, ret, "average_precision"), 0.5);
    assert_near(number(*state, ret, "score"), 0.625);
    assert_int_equal(json_array_size(member(*state, ret, "froc")), 2);
    assert_keys(json_array_get(member(*state, ret, "froc"), 0), point, COUNT(point));
    assert_near(number(*state, json_array_get(member(*state, ret, "froc"), 1), "fp_per_case"), 1.0 / 3);
    assert_near(number(*state, json_array_get(member(*state, ret, "froc"), 1), "sensitivity"), 0.5);
}

static void a_given_case_score_replaces_the_highest_confidence(void **state)
{
#define ROWS                                                                                                 \
    "\"lesion_results\":{\"a\":[[1,2,0.3],[0,0.5,0]],\"b\":[[0,1,0]]},\"case_target\":{\"a\":1,\"b\":0}"
    const json_t *highest = report(*state, "{" ROWS "}");
    const json_t *given = report(*state, "{" ROWS ",\"case_score\":{\"a\":2,\"b\":3.5}}");

    assert_near(number(*state, highest, "auroc"), 1);
    assert_near(number(*state, given, "auroc"), 0);
    assert_near(number(*state, given, "average_precision"), 1);
}

static void no_cases_and_no_lesions_are_undefined_not_zero(void **state)
{
    const json_t *none = report(*state, "{\"lesion_results\":{},\"case_target\":{}}");
    const json_t *negative =
        report(*state, "{\"lesion_results\":{\"x\":[[0,3,0]]},\"case_target\":{\"x\":0}}");

    assert_true(json_is_null(member(*state, none, "auroc")));
    assert_true(json_is_null(member(*state, none, "average_precision")));
    assert_true(json_is_null(member(*state, none, "score")));
    assert_int_equal(json_array_size(member(*state, none, "froc")), 0);
    assert_string_equal(reason(*state, none, "/auroc"), "no cases");
    assert_true(
        json_is_null(member(*state, json_array_get(member(*state, negative, "froc"), 0), "sensitivity")));
    assert_non_null(strstr(reason(*state, negative, "/froc"), "no truth lesion"));
}

static void input_that_is_wrong_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *input, *field;
    } wrong[] = {
        {"[]", ""},
        {"{}", ""},
        {"{\"truth\":[1]}", "/score"},
        {"{\"score\":[1]}", "/truth"},
        {"{\"truth\":1,\"score\":[1]}", "/truth"},
        {"{\"truth\":[0,2],\"score\":[1,1]}", "/truth/1"},
        {"{\"truth\":[true],\"score\":[1]}", "/truth/0"},
        {"{\"truth\":[null],\"score\":[1]}", "/truth/0"},
        {"{\"truth\":[-1],\"score\":[1]}", "/truth/0"},
        {"{\"truth\":[0.5],\"score\":[1]}", "/truth/0"},
        {"{\"truth\":[0,1],\"score\":[1]}", "/score"},
        {"{\"truth\":[0,1],\"score\":[1,0]}", "/score/1"},
        {"{\"truth\":[0,1],\"score\":[6,1]}", "/score/0"},
        {"{\"truth\":[0,1],\"score\":[1,257]}", "/score/1"},
        {"{\"truth\":[0,1],\"score\":[1,3.5]}", "/score/1"},
        {"{\"truth\":[0,1],\"score\":[\"1\",2]}", "/score/0"},
        {"{\"truth\":[0,1],\"score\":[1,2],\"reference\":[1]}", "/reference"},
        {"{\"truth\":[0,1],\"score\":[1,2],\"reference\":[1,9]}", "/reference/1"},
        {"{\"truth\":[0,1],\"score\":[1,2],\"reference\":null}", "/reference"},
        {"{\"truth\":[0],\"score\":[1],\"lesion_results\":{}}", "/lesion_results"},
        {"{\"truth\":[0],\"score\":[1],\"refrence\":[1]}", "/refrence"},
        {"{\"lesion_results\":{}}", "/case_target"},
        {"{\"case_target\":{}}", "/lesion_results"},
        {"{\"lesion_results\":[],\"case_target\":{}}", "/lesion_results"},
        {"{\"lesion_results\":{},\"case_target\":{},\"case_score\":[]}", "/case_score"},
        {"{\"lesion_results\":{},\"case_target\":{},\"case_scores\":{}}", "/case_scores"},
        {"{\"lesion_results\":{\"a\":1},\"case_target\":{\"a\":1}}", "/lesion_results/a"},
        {"{\"lesion_results\":{\"a\":[1]},\"case_target\":{\"a\":1}}", "/lesion_results/a/0"},
        {"{\"lesion_results\":{\"a\":[[1,2]]},\"case_target\":{\"a\":1}}", "/lesion_results/a/0"},
        {"{\"lesion_results\":{\"a\":[[1,2,0,0]]},\"case_target\":{\"a\":1}}", "/lesion_results/a/0"},
        {"{\"lesion_results\":{\"a\":[[2,2,0]]},\"case_target\":{\"a\":1}}", "/lesion_results/a/0/0"},
        {"{\"lesion_results\":{\"a\":[[1,1,0],[1,-2,0]]},\"case_target\":{\"a\":1}}",
         "/lesion_results/a/1/1"},
        {"{\"lesion_results\":{\"a\":[[1,\"2\",0]]},\"case_target\":{\"a\":1}}", "/lesion_results/a/0/1"},
        {"{\"lesion_results\":{\"a\":[[1,2,1.5]]},\"case_target\":{\"a\":1}}", "/lesion_results/a/0/2"},
        {"{\"lesion_results\":{\"a\":[]},\"case_target\":{}}", "/case_target/a"},
        {"{\"lesion_results\":{\"a\":[]},\"case_target\":{\"a\":2}}", "/case_target/a"},
        {"{\"lesion_results\":{\"a\":[]},\"case_target\":{\"a\":1,\"b\":0}}", "/case_target/b"},
        {"{\"lesion_results\":{\"a\":[]},\"case_target\":{\"a\":1},\"case_score\":{}}", "/case_score/a"},
        {"{\"lesion_results\":{\"a\":[]},\"case_target\":{\"a\":1},\"case_score\":{\"a\":-1}}",
         "/case_score/a"},
        {"{\"lesion_results\":{\"a\":[]},\"case_target\":{\"a\":1},\"case_score\":{\"a\":1,\"b\":1}}",
         "/case_score/b"},
        {"{\"lesion_results\":{\"a/b~c\":3},\"case_target\":{\"a/b~c\":1}}", "/lesion_results/a~1b~0c"},
    };

    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct buffer out;
        struct error err = {0};

        buffer_init(&out, 4096);
        if (stats_report(*state, json_in(*state, wrong[i].input), &out, &err) != -1)
            fail_msg("accepted %s", wrong[i].input);
        if (strcmp(err.field, wrong[i].field) != 0)
            fail_msg("%s: field is %s, expected %s", wrong[i].input, err.field, wrong[i].field);
        assert_int_equal(err.kind, ERROR_UNPROCESSABLE);
        assert_string_equal(err.code, "invalid_statistics_input");
        assert_true(err.detail[0] != '\0');
        assert_int_equal(out.len, 0);
        buffer_finish(&out);
    }
}

static void a_result_that_does_not_fit_is_an_error(void **state)
{
    struct buffer out;
    struct error err = {0};

    buffer_init(&out, 64);
    assert_int_equal(stats_report(*state, json_in(*state, sixty_reads), &out, &err), -1);
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
    buffer_finish(&out);
}

static json_t *learning(struct arena *arena, size_t n, const uint8_t *correct)
{
    const struct stats_lc_cusum cusum = stats_lc_cusum(n, correct, &stats_lc_cusum_default, NULL);
    const struct stats_change_point point = stats_change_point(n, correct);
    struct buffer out;

    buffer_init(&out, 1 << 16);
    stats_learning_render(&out, &cusum, &point);
    assert_false(out.failed);
    json_t *ret = json_in(arena, out.p);
    buffer_finish(&out);
    return ret;
}

static void a_learning_curve_names_its_methods_and_where_they_were_described(void **state)
{
    uint8_t correct[80] = {0};
    memset(correct + 40, 1, 40);
    const json_t *ret = learning(*state, COUNT(correct), correct);

    assert_string_equal(json_string_value(member(*state, ret, "adequacy.method")), "LC-CUSUM");
    assert_non_null(strstr(json_string_value(member(*state, ret, "adequacy.citation")), "2008;95:925"));
    assert_non_null(
        strstr(json_string_value(member(*state, ret, "plateau.citation")), "Biometrika 1980;67:79"));
    assert_near(number(*state, ret, "adequacy.reached_at"), 61);
    assert_string_equal(json_string_value(member(*state, ret, "plateau.change")), "up");
    assert_near(number(*state, ret, "plateau.from_read"), 41);
    assert_near(number(*state, ret, "plateau.after.p"), 1);
    assert_null(json_object_get(ret, "undefined"));
}

static void a_learning_curve_without_a_plateau_says_why(void **state)
{
    uint8_t correct[80] = {0};
    const json_t *few = learning(*state, 5, correct);

    assert_true(json_is_null(member(*state, few, "plateau.from_read")));
    assert_non_null(strstr(reason(*state, few, "/plateau/from_read"), "fewer than 20"));
    assert_non_null(strstr(reason(*state, few, "/adequacy/reached_at"), "not crossed"));
    memset(correct, 1, 40);
    const json_t *worse = learning(*state, COUNT(correct), correct);
    assert_string_equal(json_string_value(member(*state, worse, "plateau.change")), "down");
    assert_non_null(strstr(reason(*state, worse, "/plateau/from_read"), "went down"));
}

static void a_mean_and_a_share_render_alone(void **state)
{
    const double seconds[] = {10, 20};
    const struct stats_mean two = stats_mean_of(*state, 2, seconds), none = stats_mean_of(*state, 0, NULL);
    const struct stats_share share = stats_share_of(0, 0, "no reads");
    struct buffer out;

    buffer_init(&out, 4096);
    buffer_puts(&out, "[");
    stats_mean_render(&out, &two);
    buffer_puts(&out, ",");
    stats_mean_render(&out, &none);
    buffer_puts(&out, ",");
    stats_share_render(&out, &share);
    buffer_puts(&out, "]");
    const json_t *ret = json_in(*state, out.p);
    buffer_finish(&out);
    assert_near(number(*state, json_array_get(ret, 0), "mean"), 15);
    assert_string_equal(reason(*state, json_array_get(ret, 1), "/mean"), "no reads");
    assert_string_equal(reason(*state, json_array_get(ret, 2), "/wilson95"), "no reads");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        arena_test(a_full_report_of_reads_has_exactly_the_documented_members),
        arena_test(numbers_are_written_so_that_nothing_is_lost),
        arena_test(what_is_undefined_is_null_and_has_its_reason),
        arena_test(no_reads_at_all_give_nulls_with_reasons_and_no_number_but_counts),
        arena_test(a_small_sample_says_so),
        arena_test(a_perfect_score_is_not_shown_as_certainty),
        arena_test(a_report_of_lesions_has_exactly_the_documented_members),
        arena_test(a_given_case_score_replaces_the_highest_confidence),
        arena_test(no_cases_and_no_lesions_are_undefined_not_zero),
        arena_test(input_that_is_wrong_is_refused_with_its_place),
        arena_test(a_result_that_does_not_fit_is_an_error),
        arena_test(a_learning_curve_names_its_methods_and_where_they_were_described),
        arena_test(a_learning_curve_without_a_plateau_says_why),
        arena_test(a_mean_and_a_share_render_alone),
    };
    return cmocka_run_group_tests_name("statistics as JSON", tests, NULL, NULL);
}
