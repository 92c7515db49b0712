/* Walks every entry of the two reference files, and the 1500 PI-CAI cases as routine reads. The files are not
 * part of the project (CC BY-NC): OVERREAD_SHARED_DATA names their folder. */
#include "scoreboard/stats_json.h"

#include <stdio.h>
#include <stdlib.h>
#include "scoreboard/stats.h"
#include "scoreboard/stats_lesions.h"
#include "stats_testing.h"

static const char *data_path(struct arena *arena, const char *file)
{
    const char *folder = getenv("OVERREAD_SHARED_DATA");

    return arena_printf(arena, "%s/%s", folder && *folder ? folder : OVERREAD_SHARED_DATA_DEFAULT, file);
}

static void close_file(void *file)
{
    (void)fclose(file);
}

static void release(void *json)
{
    json_decref(json);
}

static FILE *open_or_skip(struct arena *arena, const char *file)
{
    const char *path = data_path(arena, file);
    FILE *ret = fopen(path, "r");

    if (!ret) {
        print_message("NOT COMPARED with the reference: %s is not at hand (set OVERREAD_SHARED_DATA)\n",
                      path);
        skip();
    }
    arena_defer(arena, close_file, ret);
    return ret;
}

static json_t *load_or_skip(struct arena *arena, const char *file)
{
    json_error_t where;
    json_t *ret = json_loadf(open_or_skip(arena, file), 0, &where);

    if (!ret)
        fail_msg("%s:%d: %s", file, where.line, where.text);
    arena_defer(arena, release, ret);
    return ret;
}

/* Every comparison is counted, so that a file whose shape changed cannot pass by comparing nothing. */
static unsigned compared;

static void same(const char *entry, const char *what, const json_t *actual, const json_t *expected,
                 double tolerance)
{
    compared++;
    if (json_is_null(expected)) {
        if (!json_is_null(actual))
            fail_msg("%s: %s must be null", entry, what);
        return;
    }
    if (json_is_array(expected)) {
        if (json_array_size(actual) != json_array_size(expected))
            fail_msg("%s: %s has another length", entry, what);
        for (size_t i = 0; i < json_array_size(expected); i++)
            same(entry, what, json_array_get(actual, i), json_array_get(expected, i), tolerance);
        return;
    }
    if (!json_is_number(actual) || !json_is_number(expected))
        fail_msg("%s: %s is missing on a side", entry, what);
    if (!(fabs(json_number_value(actual) - json_number_value(expected)) <= tolerance))
        fail_msg("%s: %s is %.17g, expected %.17g", entry, what, json_number_value(actual),
                 json_number_value(expected));
}

static void same_member(const char *entry, const json_t *actual, const char *name, const json_t *expected,
                        const char *expected_name)
{
    same(entry, name, json_object_get(actual, name), json_object_get(expected, expected_name), 1e-9);
}

static json_t *report(struct arena *arena, const json_t *input)
{
    struct buffer out;
    struct error err = {0};
    json_error_t where;

    buffer_init(&out, 16 << 20);
    if (stats_report(arena, input, &out, &err))
        fail_msg("refused: %s %s", err.field, err.detail);
    json_t *ret = json_loads(out.p, JSON_REJECT_DUPLICATES, &where);
    if (!ret)
        fail_msg("rendered no JSON: %s", where.text);
    buffer_finish(&out);
    arena_defer(arena, release, ret);
    return ret;
}

static void same_table(const char *entry, const json_t *actual, const json_t *expected)
{
    static const char *const counts[] = {"tp", "fp", "fn", "tn"};
    static const char *const shares[] = {"sensitivity", "specificity", "ppv", "npv"};
    static const char *const parts[] = {"k", "n", "p", "wilson95"};

    for (size_t i = 0; i < COUNT(counts); i++)
        same_member(entry, actual, counts[i], expected, counts[i]);
    for (size_t i = 0; i < COUNT(shares); i++)
        for (size_t j = 0; j < COUNT(parts); j++)
            same_member(entry, json_object_get(actual, shares[i]), parts[j],
                        json_object_get(expected, shares[i]), parts[j]);
}

/* expected holds auroc_delong_numpy, pirads_ge3 and pirads_ge4. */
static void same_reads(const char *entry, const json_t *actual, const json_t *expected)
{
    const json_t *auroc = json_object_get(actual, "auroc"),
                 *delong = json_object_get(expected, "auroc_delong_numpy");
    const json_t *at = json_object_get(actual, "at");

    same_member(entry, auroc, "auc", delong, "auc");
    same_member(entry, auroc, "var", delong, "var");
    same_member(entry, auroc, "ci95", delong, "ci");
    same_table(entry, json_object_get(at, "3"), json_object_get(expected, "pirads_ge3"));
    same_table(entry, json_object_get(at, "4"), json_object_get(expected, "pirads_ge4"));
}

static json_t *reads_input(struct arena *arena, const json_t *set, const char *score, const char *reference)
{
    json_t *ret = json_pack("{s:O, s:O, s:O}", "truth", json_object_get(set, "truth"), "score",
                            json_object_get(set, score), "reference", json_object_get(set, reference));

    assert_non_null(ret);
    arena_defer(arena, release, ret);
    return ret;
}

/* R pROC computed these on its own; it prints 15 digits. It gives no variance where a class has a single
 * read. */
static void same_as_proc(const char *entry, const json_t *actual, const json_t *proc)
{
    const json_t *auroc = json_object_get(actual, "auroc"), *ci = json_object_get(auroc, "ci95");

    if (!json_is_object(proc) || !json_is_array(ci))
        return;
    same_member(entry, auroc, "auc", proc, "auc");
    same_member(entry, auroc, "var", proc, "var");
    same(entry, "ci95 low (pROC)", json_array_get(ci, 0), json_object_get(proc, "ci_low"), 1e-9);
    same(entry, "ci95 high (pROC)", json_array_get(ci, 1), json_object_get(proc, "ci_high"), 1e-9);
}

static void reader_statistics_equal_scikit_learn_proc_and_statsmodels(void **state)
{
    const json_t *sets = json_object_get(load_or_skip(*state, "reader_stats_reference.json"), "datasets"),
                 *set;
    size_t i;

    compared = 0;
    json_array_foreach(sets, i, set)
    {
        const char *name = json_string_value(json_object_get(set, "name"));
        const json_t *expected = json_object_get(set, "expected"),
                     *again = json_object_get(expected, "second_read");
        const json_t *first = report(*state, reads_input(*state, set, "pirads", "reference_pirads"));
        const json_t *kappa = json_object_get(expected, "kappa_vs_reference");

        same_member(name, first, "n", set, "n");
        same_reads(name, first, expected);
        same_member(name, json_object_get(first, "auroc"), "auc", expected, "auroc_sklearn");
        same_member(name, first, "average_precision", expected, "average_precision_sklearn");
        same_member(name, first, "kappa_quadratic", kappa, "quadratic");
        same_member(name, first, "kappa_quadratic", json_object_get(kappa, "statsmodels_quadratic"), "kappa");
        same_as_proc(name, first, json_object_get(expected, "pROC"));
        if (again) {
            same_reads(name,
                       report(*state, reads_input(*state, set, "pirads_second_read", "reference_pirads")),
                       again);
            same_member(name, report(*state, reads_input(*state, set, "pirads", "pirads_second_read")),
                        "kappa_quadratic", json_object_get(expected, "kappa_first_vs_second"), "quadratic");
        }
    }
    assert_true(i >= 18);
    assert_true(compared >= 18 * 45);
    print_message("%zu reader data sets, %u numbers compared\n", i, compared);
}

static void same_froc(const char *entry, const json_t *actual, const json_t *expected)
{
    const json_t *point;
    size_t i;

    assert_int_equal(json_array_size(actual), json_array_size(expected));
    json_array_foreach(expected, i, point)
    {
        const json_t *ours = json_array_get(actual, i);
        same_member(entry, ours, "threshold", point, "threshold");
        same_member(entry, ours, "fp_per_case", point, "FP_per_case");
        same_member(entry, ours, "sensitivity", point, "TPR");
    }
}

static size_t members(const json_t *object, const char *names[], size_t max)
{
    const char *name;
    json_t *value;
    size_t n = 0;

    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        assert_true(n < max);
        names[n++] = name;
    }
    return n;
}

static size_t lesion_rows(const char *name, const json_t *results, const json_t *weights,
                          struct stats_lesion *rows)
{
    const json_t *row, *weight = json_object_get(weights, name);
    size_t i;

    json_array_foreach(json_object_get(results, name), i, row) rows[i] = (struct stats_lesion){
        .confidence = json_number_value(json_array_get(row, 1)),
        .weight = weight ? json_number_value(json_array_get(weight, i)) : 1,
        .is_lesion = json_integer_value(json_array_get(row, 0)) != 0,
    };
    return i;
}

static double number_at(const json_t *object, const char *name, size_t i)
{
    return json_number_value(json_array_get(json_object_get(object, name), i));
}

/* The functions themselves: weights, counts and sensitivity at a rate, which the JSON does not carry. */
static void same_by_function(struct arena *arena, const char *entry, const json_t *set,
                             const json_t *expected)
{
    static const char *const rates[] = {"0.1", "0.25", "0.5", "1.0", "2.0"};
    const json_t *results = json_object_get(set, "lesion_results");
    const char *names[256];
    struct stats_lesion rows[1024];
    uint8_t target[256];
    double score[256];
    size_t n = 0;
    const size_t cases = members(results, names, COUNT(names));

    for (size_t i = 0; i < cases; i++) {
        assert_true(n + json_array_size(json_object_get(results, names[i])) <= COUNT(rows));
        n += lesion_rows(names[i], results, json_object_get(set, "lesion_weight"), rows + n);
        target[i] = json_integer_value(json_object_get(json_object_get(set, "case_target"), names[i])) != 0;
        score[i] = json_number_value(json_object_get(json_object_get(set, "case_pred"), names[i]));
    }
    const struct stats_lesions ours = stats_lesions_of(arena, n, rows, cases, target, score);

    if (ours.average_precision.undefined || ours.score.undefined)
        fail_msg("%s: undefined", entry);
    assert_within(ours.average_precision.value, json_number_value(json_object_get(expected, "AP")), 1e-9);
    assert_within(ours.score.value, json_number_value(json_object_get(expected, "picai_score")), 1e-9);
    for (size_t i = 0; i < ours.points; i++) {
        const json_t *point = json_array_get(json_object_get(expected, "froc_finite"), i);
        assert_int_equal(ours.froc[i].tp, json_integer_value(json_object_get(point, "TP")));
        assert_int_equal(ours.froc[i].fp, json_integer_value(json_object_get(point, "FP")));
        /* Upstream counts in float32, and overwrites its last threshold. */
        if (i + 1 < json_array_size(json_object_get(expected, "picai_thresholds"))) {
            assert_within((double)ours.froc[i].tp, number_at(expected, "picai_TP", i), 1e-6);
            assert_within((double)ours.froc[i].fp, number_at(expected, "picai_FP", i), 1e-6);
        }
    }
    for (size_t i = 0; i < COUNT(rates); i++) {
        const struct stats_number at = stats_sensitivity_at(&ours, strtod(rates[i], NULL));
        const json_t *finite =
            json_object_get(json_object_get(expected, "sens_at_fp_per_case_finite"), rates[i]);
        assert_null(at.undefined);
        assert_within(at.value, json_number_value(finite), 1e-9);
    }
}

static void same_lesions(struct arena *arena, const char *entry, const json_t *set, const json_t *expected)
{
    json_t *input =
        json_pack("{s:O, s:O, s:O}", "lesion_results", json_object_get(set, "lesion_results"), "case_target",
                  json_object_get(set, "case_target"), "case_score", json_object_get(set, "case_pred"));
    assert_non_null(input);
    arena_defer(arena, release, input);
    const json_t *actual = report(arena, input);

    same_member(entry, actual, "cases", expected, "num_cases");
    same_member(entry, actual, "lesions", expected, "num_lesions");
    same_member(entry, actual, "auroc", expected, "AUROC");
    same_froc(entry, json_object_get(actual, "froc"), json_object_get(expected, "froc_finite"));
    if (!json_object_get(set, "lesion_weight")) { /* the documented input has no weights */
        same_member(entry, actual, "average_precision", expected, "AP");
        same_member(entry, actual, "score", expected, "picai_score");
    }
    same_by_function(arena, entry, set, expected);
}

/* Section C holds boxes; their matched rows are in each case's expected, by rule. */
static json_t *lists_of_boxes(struct arena *arena, const json_t *boxes, const char *rule,
                              const char *rule_score)
{
    json_t *results = json_object(), *target = json_object(), *score = json_object();
    json_t *ret =
        json_pack("{s:o, s:o, s:o}", "lesion_results", results, "case_target", target, "case_pred", score);
    const json_t *one;
    size_t i;

    assert_non_null(ret);
    arena_defer(arena, release, ret);
    json_array_foreach(json_object_get(boxes, "cases"), i, one)
    {
        const char *id = json_string_value(json_object_get(one, "id"));
        const json_t *expected = json_object_get(one, "expected");
        assert_int_equal(json_object_set(results, id, json_object_get(expected, rule)), 0);
        assert_int_equal(json_object_set(score, id, json_object_get(expected, rule_score)), 0);
        assert_int_equal(
            json_object_set_new(target, id, json_integer(json_array_size(json_object_get(one, "truth")) > 0)),
            0);
    }
    return ret;
}

static void lesion_statistics_equal_picai_eval(void **state)
{
    const json_t *all = load_or_skip(*state, "picai_eval_reference.json");
    const json_t *maps = json_object_get(json_object_get(all, "A_upstream_test_maps"), "expected");
    const json_t *lists = json_object_get(all, "B_lesion_lists"),
                 *boxes = json_object_get(all, "C_box_matching");
    const char *names[64];

    compared = 0;
    const size_t in_maps = members(maps, names, COUNT(names));
    for (size_t i = 0; i < in_maps; i++)
        same_lesions(*state, names[i], json_object_get(maps, names[i]), json_object_get(maps, names[i]));
    const size_t in_lists = members(lists, names, COUNT(names));
    for (size_t i = 0; i < in_lists; i++)
        same_lesions(*state, names[i], json_object_get(lists, names[i]),
                     json_object_get(json_object_get(lists, names[i]), "expected"));
    same_lesions(*state, "boxes", lists_of_boxes(*state, boxes, "default", "default_case"),
                 json_object_get(boxes, "expected_default"));
    same_lesions(*state, "boxes, unmatched are FP",
                 lists_of_boxes(*state, boxes, "unmatched_are_FP", "unmatched_are_FP_case"),
                 json_object_get(boxes, "expected_unmatched_are_FP"));
    assert_int_equal(in_maps, 3);
    assert_true(in_lists >= 7);
    assert_true(compared >= 900);
    print_message("%zu lesion lists, %u numbers compared\n", in_maps + in_lists + 2, compared);
}

#define CASES 1500

struct routine {
    size_t n;
    uint8_t truth[CASES], category[CASES];
    double score[CASES];
};

/* Columns are found by their names; no field of this file is quoted. */
static size_t split(char *line, const char *fields[], size_t max)
{
    size_t n = 0;

    line[strcspn(line, "\r\n")] = '\0';
    for (char *field = strsep(&line, ","); field && n < max; field = strsep(&line, ","))
        fields[n++] = field;
    return n;
}

static size_t column(const char *const names[], size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    fail_msg("picai_cases.csv has no column %s", name);
    return 0;
}

static void read_routine(FILE *file, struct routine *ret)
{
    static char line[8192];
    const char *fields[64];
    size_t n;

    assert_non_null(fgets(line, sizeof(line), file));
    n = split(line, fields, COUNT(fields));
    const size_t truth = column(fields, n, "case_cspca"), score = column(fields, n, "routine_pirads_max");
    while (fgets(line, sizeof(line), file)) {
        assert_int_equal(split(line, fields, COUNT(fields)), n);
        assert_true(ret->n < CASES);
        ret->truth[ret->n] = (uint8_t)strtoul(fields[truth], NULL, 10);
        ret->category[ret->n] = (uint8_t)strtoul(fields[score], NULL, 10);
        ret->score[ret->n] = ret->category[ret->n];
        ret->n++;
    }
}

/* Placements by comparing each pair: the definition, without sorting, ranks or groups. */
static double placement(const struct routine *r, size_t i)
{
    double wins = 0, others = 0;

    for (size_t j = 0; j < r->n; j++)
        if (r->truth[j] != r->truth[i]) {
            const double better = r->truth[i] ? r->score[i] - r->score[j] : r->score[j] - r->score[i];
            wins += better > 0 ? 1 : better < 0 ? 0 : 0.5;
            others++;
        }
    return wins / others;
}

static void naive_delong(const struct routine *r, double *auc, double *var)
{
    double n[2] = {0}, sum[2] = {0}, squares[2] = {0};

    for (size_t i = 0; i < r->n; i++) {
        n[r->truth[i]]++;
        sum[r->truth[i]] += placement(r, i);
    }
    for (size_t i = 0; i < r->n; i++) {
        const double away = placement(r, i) - sum[r->truth[i]] / n[r->truth[i]];
        squares[r->truth[i]] += away * away;
    }
    *auc = sum[1] / n[1];
    *var = squares[1] / (n[1] - 1) / n[1] + squares[0] / (n[0] - 1) / n[0];
}

/* Mean over the positives of the precision at their own score: the same area, summed the other way round. */
static double naive_average_precision(const struct routine *r)
{
    double positives = 0, sum = 0;

    for (size_t i = 0; i < r->n; i++) {
        double called = 0, hits = 0;
        if (!r->truth[i])
            continue;
        for (size_t j = 0; j < r->n; j++)
            if (r->score[j] >= r->score[i]) {
                called++;
                hits += r->truth[j];
            }
        positives++;
        sum += hits / called;
    }
    return sum / positives;
}

static void routine_reads_of_1500_cases_agree_with_comparing_every_pair(void **state)
{
    static struct routine r;
    double auc, var;

    read_routine(open_or_skip(*state, "picai_cases.csv"), &r);
    assert_int_equal(r.n, CASES);
    naive_delong(&r, &auc, &var);
    const struct stats_reads ours = stats_reads_of(*state, &stats_pirads, r.n, r.truth, r.category, NULL);

    assert_int_equal(ours.auroc.positive, 425);
    assert_value(ours.auroc.auc, auc);
    assert_value(ours.auroc.var, var);
    assert_near(ours.auroc.ci95.high, auc + STATS_Z95 * sqrt(var));
    assert_value(ours.average_precision, naive_average_precision(&r));
    /* Counted with awk: csPCa by routine_pirads_max is 1 7 19 146 252, no csPCa 136 472 132 206 129. */
    assert_int_equal(ours.at[0].tp, 19 + 146 + 252);
    assert_int_equal(ours.at[0].tn, 136 + 472);
    assert_int_equal(ours.at[1].tp, 146 + 252);
    assert_int_equal(ours.at[1].fp, 206 + 129);
    print_message("1500 routine reads: AUROC %.4f, AP %.4f\n", ours.auroc.auc.value,
                  ours.average_precision.value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        arena_test(reader_statistics_equal_scikit_learn_proc_and_statsmodels),
        arena_test(lesion_statistics_equal_picai_eval),
        arena_test(routine_reads_of_1500_cases_agree_with_comparing_every_pair),
    };
    return cmocka_run_group_tests_name("statistics against their references", tests, NULL, NULL);
}
