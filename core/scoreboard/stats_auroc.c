#include "scoreboard/stats.h"

#include <math.h>
#include "scoreboard/stats_sort.h"

/* Sorted descending, a group of equal scores with p positives and n negatives contributes p placements of
 * (negatives below + n / 2) / negatives, and n of (positives above + p / 2) / positives. That is the midrank
 * form of DeLong (Sun X, Xu W, IEEE Signal Process Lett 2014;21:1389) without ranks, in exact integers up to
 * the division. */
struct group {
    size_t positive, negative, end;
};

static struct group next_group(const struct stats_scored *items, size_t n, size_t start)
{
    struct group ret = {.end = start};

    do {
        ret.positive += items[ret.end].positive ? 1 : 0;
        ret.negative += items[ret.end].positive ? 0 : 1;
        ret.end++;
    } while (ret.end < n && items[ret.end].score == items[start].score);
    return ret;
}

static double area(const struct stats_scored *items, size_t n, size_t positive, size_t negative)
{
    uint64_t twice_wins = 0;
    size_t below = negative;

    for (size_t start = 0; start < n;) {
        const struct group g = next_group(items, n, start);
        below -= g.negative;
        twice_wins += (uint64_t)g.positive * (2 * (uint64_t)below + g.negative);
        start = g.end;
    }
    return (double)twice_wins / (2 * (double)positive * (double)negative);
}

static double delong_variance(const struct stats_scored *items, size_t n, size_t positive, size_t negative,
                              double auc)
{
    double s10 = 0, s01 = 0;
    size_t below = negative, above = 0;

    for (size_t start = 0; start < n;) {
        const struct group g = next_group(items, n, start);
        below -= g.negative;
        const double v10 = (2 * (double)below + (double)g.negative) / (2 * (double)negative) - auc;
        const double v01 = (2 * (double)above + (double)g.positive) / (2 * (double)positive) - auc;
        s10 += (double)g.positive * v10 * v10;
        s01 += (double)g.negative * v01 * v01;
        above += g.positive;
        start = g.end;
    }
    return s10 / (double)(positive - 1) / (double)positive + s01 / (double)(negative - 1) / (double)negative;
}

static const char *absent_class(size_t positive, size_t negative)
{
    if (positive == 0 && negative == 0)
        return "no reads";
    if (positive == 0)
        return "no truth-positive read";
    return negative == 0 ? "no truth-negative read" : NULL;
}

static struct stats_auroc auroc_of_sorted(const struct stats_scored *items, size_t n)
{
    struct stats_auroc ret = {0};

    for (size_t i = 0; i < n; i++)
        ret.positive += items[i].positive ? 1 : 0;
    ret.negative = n - ret.positive;

    const char *reason = absent_class(ret.positive, ret.negative);
    if (reason) {
        ret.auc.undefined = ret.var.undefined = ret.ci95.undefined = reason;
        return ret;
    }
    ret.auc.value = area(items, n, ret.positive, ret.negative);
    if (ret.positive < 2 || ret.negative < 2) {
        ret.var.undefined = ret.ci95.undefined = "a class has a single read: no variance can be estimated";
        return ret;
    }
    ret.var.value = delong_variance(items, n, ret.positive, ret.negative, ret.auc.value);
    const double half = STATS_Z95 * sqrt(ret.var.value);
    ret.ci95.low = fmax(0, ret.auc.value - half);
    ret.ci95.high = fmin(1, ret.auc.value + half);
    ret.ci_collapsed = !(ret.var.value > 0);
    return ret;
}

struct stats_auroc stats_auroc(struct arena *arena, size_t n, const uint8_t *truth, const double *score)
{
    return auroc_of_sorted(stats_sorted(arena, n, truth, score), n);
}
