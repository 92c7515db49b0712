#include "scoreboard/stats_lesions.h"

#include "scoreboard/stats.h"
#include "scoreboard/stats_sort.h"

static const char no_lesion[] = "no truth lesion in any case";

static struct stats_number auroc_over_cases(struct arena *arena, size_t cases, const uint8_t *target,
                                            const double *score)
{
    struct stats_number ret = stats_auroc(arena, cases, target, score).auc;

    if (ret.undefined)
        ret.undefined = cases ? "all cases are of one class" : "no cases";
    return ret;
}

static void froc(struct arena *arena, const struct stats_scored *items, size_t n, struct stats_lesions *ret)
{
    struct stats_froc_point *points = arena_array(arena, n, sizeof(*points));
    size_t tp = 0, fp = 0;

    for (size_t i = 0; i < n && items[i].score > 0; i++) {
        *(items[i].positive ? &tp : &fp) += 1;
        if (i + 1 < n && items[i + 1].score == items[i].score)
            continue;
        points[ret->points++] = (struct stats_froc_point){
            .threshold = items[i].score,
            .tp = tp,
            .fp = fp,
            .fp_per_case = (double)fp / (double)ret->cases,
            .sensitivity = ret->lesions ? (double)tp / (double)ret->lesions : 0,
        };
    }
    ret->froc = points;
    ret->froc_undefined = ret->lesions ? NULL : no_lesion;
}

struct stats_lesions stats_lesions_of(struct arena *arena, size_t n, const struct stats_lesion *rows,
                                      size_t cases, const uint8_t *case_target, const double *case_score)
{
    struct stats_lesions ret = {.cases = cases};
    struct stats_scored *items = arena_array(arena, n, sizeof(*items));

    for (size_t i = 0; i < n; i++) {
        items[i] = (struct stats_scored){
            .score = rows[i].confidence, .weight = rows[i].weight, .positive = rows[i].is_lesion};
        ret.lesions += rows[i].is_lesion ? 1 : 0;
    }
    for (size_t i = 0; i < cases; i++)
        *(case_target[i] ? &ret.positive_cases : &ret.negative_cases) += 1;
    stats_sort_descending(arena, items, n);
    froc(arena, items, n, &ret);

    ret.auroc = auroc_over_cases(arena, cases, case_target, case_score);
    ret.average_precision = stats_precision_recall_area(items, n, 0);
    if (ret.average_precision.undefined)
        ret.average_precision.undefined = cases ? no_lesion : "no cases";
    if (ret.auroc.undefined || ret.average_precision.undefined)
        ret.score.undefined = "needs both auroc and average_precision";
    else
        ret.score.value = (ret.auroc.value + ret.average_precision.value) / 2;
    return ret;
}

struct stats_number stats_sensitivity_at(const struct stats_lesions *lesions, double fp_per_case)
{
    struct stats_number ret = {.undefined = lesions->froc_undefined};

    for (size_t i = 0; i < lesions->points && lesions->froc[i].fp_per_case <= fp_per_case; i++)
        ret.value = lesions->froc[i].sensitivity;
    return ret;
}
