#include "scoreboard/stats.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include "scoreboard/stats_sort.h"

struct stats_table stats_table_at(size_t n, const uint8_t *truth, const double *score, double threshold)
{
    struct stats_table ret = {0};

    for (size_t i = 0; i < n; i++) {
        const bool called = score[i] >= threshold;
        if (truth[i])
            *(called ? &ret.tp : &ret.fn) += 1;
        else
            *(called ? &ret.fp : &ret.tn) += 1;
    }
    ret.sensitivity = stats_share_of(ret.tp, ret.tp + ret.fn, "no truth-positive read");
    ret.specificity = stats_share_of(ret.tn, ret.tn + ret.fp, "no truth-negative read");
    ret.ppv = stats_share_of(ret.tp, ret.tp + ret.fp, "nothing was called positive at this threshold");
    ret.npv = stats_share_of(ret.tn, ret.tn + ret.fn, "nothing was called negative at this threshold");
    return ret;
}

struct stats_number stats_average_precision(struct arena *arena, size_t n, const uint8_t *truth,
                                            const double *score)
{
    if (n == 0)
        return (struct stats_number){.undefined = "no reads"};
    struct stats_number ret = stats_precision_recall_area(stats_sorted(arena, n, truth, score), n, -HUGE_VAL);
    if (ret.undefined)
        ret.undefined = "no truth-positive read";
    return ret;
}

struct stats_number stats_kappa_quadratic(size_t n, const uint8_t *a, const uint8_t *b, unsigned labels)
{
    uint64_t rows[STATS_LABELS_MAX] = {0}, columns[STATS_LABELS_MAX] = {0}, observed = 0;
    double expected = 0;

    assert(labels >= 2 && labels <= STATS_LABELS_MAX);
    if (n == 0)
        return (struct stats_number){.undefined = "no reads"};
    for (size_t i = 0; i < n; i++) {
        assert(a[i] >= 1 && a[i] <= labels && b[i] >= 1 && b[i] <= labels);
        const int distance = a[i] - b[i];
        rows[a[i] - 1]++;
        columns[b[i] - 1]++;
        observed += (uint64_t)(distance * distance);
    }
    for (unsigned i = 0; i < labels; i++)
        for (unsigned j = 0; j < labels; j++) {
            const double distance = (double)i - (double)j;
            expected += distance * distance * (double)rows[i] * (double)columns[j];
        }
    if (!(expected > 0))
        return (struct stats_number){.undefined = "both gave one and the same category throughout: "
                                                  "chance agreement is complete"};
    return (struct stats_number){.value = 1 - (double)observed * (double)n / expected};
}

static int ascending(const void *pa, const void *pb)
{
    const double a = *(const double *)pa, b = *(const double *)pb;
    return (a > b) - (a < b);
}

static double median_of(struct arena *arena, size_t n, const double *x)
{
    double *sorted = arena_copy(arena, x, n * sizeof(*x));

    qsort(sorted, n, sizeof(*sorted), ascending);
    return n % 2 ? sorted[n / 2] : sorted[n / 2 - 1] / 2 + sorted[n / 2] / 2;
}

struct stats_mean stats_mean_of(struct arena *arena, size_t n, const double *x)
{
    struct stats_mean ret = {.n = n};
    double sum = 0, squares = 0;

    if (n == 0) {
        ret.mean.undefined = ret.median.undefined = ret.deviation.undefined = "no reads";
        return ret;
    }
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    ret.mean.value = sum / (double)n;
    ret.median.value = median_of(arena, n, x);
    if (n < 2) {
        ret.deviation.undefined = "a single read has no spread";
        return ret;
    }
    for (size_t i = 0; i < n; i++)
        squares += (x[i] - ret.mean.value) * (x[i] - ret.mean.value);
    ret.deviation.value = sqrt(squares / (double)(n - 1));
    return ret;
}

struct stats_number stats_discrimination(size_t n, const uint8_t *correct, const double *ability)
{
    double right = 0, sum = 0, sum_right = 0, squares = 0;

    for (size_t i = 0; i < n; i++) {
        right += correct[i] ? 1 : 0;
        sum += ability[i];
        sum_right += correct[i] ? ability[i] : 0;
    }
    const double count = (double)n, wrong = count - right;
    if (!(right > 0 && wrong > 0))
        return (struct stats_number){.undefined = "needs readers who were right and readers who were wrong"};

    const double mean = sum / count;
    for (size_t i = 0; i < n; i++)
        squares += (ability[i] - mean) * (ability[i] - mean);
    if (!(squares > 0))
        return (struct stats_number){.undefined = "all readers have the same ability elsewhere"};

    const double gap = sum_right / right - (sum - sum_right) / wrong;
    return (struct stats_number){.value = gap * sqrt(right * wrong / count / squares)};
}

bool stats_is_small(size_t positive, size_t negative)
{
    return positive + negative < STATS_SMALL_READS || positive < STATS_SMALL_CLASS ||
           negative < STATS_SMALL_CLASS;
}

const struct stats_scale stats_pirads = {.lowest = 1, .levels = 5, .thresholds = 2, .positive_from = {3, 4}};

/* Descending, by counting: a few categories need no sort. */
static void by_category(const struct stats_scale *scale, size_t n, const uint8_t *truth, const uint8_t *score,
                        uint8_t *ret_truth, double *ret_score)
{
    size_t next[STATS_LABELS_MAX + 1] = {0};

    for (size_t i = 0; i < n; i++) {
        assert(score[i] >= scale->lowest && score[i] < scale->lowest + scale->levels);
        next[scale->lowest + scale->levels - score[i]]++;
    }
    for (unsigned rank = 1; rank <= scale->levels; rank++)
        next[rank] += next[rank - 1];
    for (size_t i = 0; i < n; i++) {
        const size_t at = next[scale->lowest + scale->levels - 1 - score[i]]++;
        ret_truth[at] = truth[i];
        ret_score[at] = score[i];
    }
}

/* Over the reads that have a reference, in categories from 1 on. */
static struct stats_number kappa_of(struct arena *arena, const struct stats_scale *scale, size_t n, const uint8_t *score,
                                    const uint8_t *reference, size_t *ret_referenced)
{
    uint8_t *own = arena_array(arena, n, sizeof(*own)), *expert = arena_array(arena, n, sizeof(*expert));
    size_t count = 0;

    for (size_t i = 0; i < n && reference; i++) {
        if (reference[i] == STATS_NO_REFERENCE)
            continue;
        own[count] = (uint8_t)(score[i] - scale->lowest + 1);
        expert[count++] = (uint8_t)(reference[i] - scale->lowest + 1);
    }
    *ret_referenced = count;
    if (!reference || (n > 0 && count == 0))
        return (struct stats_number){.undefined = "no reference categories were given"};
    return stats_kappa_quadratic(count, own, expert, scale->levels);
}

struct stats_reads stats_reads_of(struct arena *arena, const struct stats_scale *scale, size_t n, const uint8_t *truth,
                                  const uint8_t *score, const uint8_t *reference)
{
    double *value = arena_array(arena, n, sizeof(*value));
    uint8_t *is = arena_array(arena, n, sizeof(*is));

    by_category(scale, n, truth, score, is, value);
    struct stats_reads ret = {
        .n = n,
        .scale = *scale,
        .auroc = stats_auroc(arena, n, is, value),
        .average_precision = stats_average_precision(arena, n, is, value),
    };
    for (unsigned i = 0; i < scale->thresholds; i++)
        ret.at[i] = stats_table_at(n, is, value, scale->positive_from[i]);
    ret.kappa_quadratic = kappa_of(arena, scale, n, score, reference, &ret.referenced);
    return ret;
}
