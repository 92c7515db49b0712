/* Reader statistics: pure functions over flat arrays. No database, no HTTP, no state; scratch memory from the
 * caller's arena where sorting needs it. O(n log n) at most. Arrays of n elements may be NULL when n is 0.
 *
 * truth: 1 = the condition is there, 0 = it is not. score: higher = more suspicious, finite.
 * References: tests/unit/scoreboard compares with scikit-learn, R pROC, statsmodels and picai_eval to 1e-9.
 */
#ifndef OVERREAD_SCOREBOARD_STATS_H
#define OVERREAD_SCOREBOARD_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "scoreboard/wilson.h"

/* Called positive when score >= threshold. */
struct stats_table {
    size_t tp, fp, fn, tn;
    struct stats_share sensitivity, specificity, ppv, npv;
};
struct stats_table stats_table_at(size_t n, const uint8_t *truth, const double *score, double threshold);

/* Area under the ROC curve = P(positive > negative) + P(tie) / 2, with the variance of DeLong ER et al.,
 * Biometrics 1988;44:837: S10/m + S01/n. ci95 = auc -+ z * sqrt(var), clipped to [0, 1]. A class absent: all
 * undefined. One read in a class: auc alone. var = 0 (perfect, inverted, all tied) collapses the interval to
 * a point: the data hold no estimate of the uncertainty then, so whoever shows it must say so (ci_collapsed).
 */
struct stats_auroc {
    size_t positive, negative;
    struct stats_number auc, var;
    struct stats_interval ci95;
    bool ci_collapsed;
};
struct stats_auroc stats_auroc(struct arena *arena, size_t n, const uint8_t *truth, const double *score);

/* Sum over distinct scores, descending, of (recall - recall before) * precision: no interpolation, ties one
 * step (scikit-learn's average_precision_score). Undefined without a positive. */
struct stats_number stats_average_precision(struct arena *arena, size_t n, const uint8_t *truth,
                                            const double *score);

/* Cohen's kappa with quadratic weights over the fixed categories 1..labels (labels 2..16; all of them count,
 * used or not: dropping one would change the weights). Undefined without reads and when both sides are
 * constant and equal. Values outside 1..labels are the caller's bug. */
#define STATS_LABELS_MAX 16
struct stats_number stats_kappa_quadratic(size_t n, const uint8_t *a, const uint8_t *b, unsigned labels);

/* Reading times and the like. Undefined: mean and median of nothing, deviation (ddof 1) of fewer than two. */
struct stats_mean {
    size_t n;
    struct stats_number mean, median, deviation;
};
struct stats_mean stats_mean_of(struct arena *arena, size_t n, const double *x);

/* Discrimination of one case, for its author: point-biserial correlation of "this case read correctly" with
 * its readers' ability (their share correct on other cases). Undefined when either side does not vary. */
struct stats_number stats_discrimination(size_t n, const uint8_t *correct, const double *ability);

/* Fewer reads than this, or fewer of one class, and every report says that the sample is small. */
#define STATS_SMALL_READS 50
#define STATS_SMALL_CLASS 10
bool stats_is_small(size_t positive, size_t negative);

/* Categories lowest .. lowest + levels - 1, and those from which a read counts as positive. */
#define STATS_THRESHOLDS_MAX 4
struct stats_scale {
    uint8_t lowest, levels; /* levels: 2..16 */
    uint8_t thresholds, positive_from[STATS_THRESHOLDS_MAX];
};
extern const struct stats_scale stats_pirads; /* 1 to 5, positive from 3 and from 4 */

/* Everything that one window of reads gives (last 20, last 50, all, a stratum): scores are categories of the scale.
 * reference (the expert's category) may be NULL, or hold STATS_NO_REFERENCE for a read: kappa is over the others. */
#define STATS_NO_REFERENCE 255
struct stats_reads {
    size_t n, referenced;
    struct stats_scale scale;
    struct stats_auroc auroc;
    struct stats_number average_precision;
    struct stats_table at[STATS_THRESHOLDS_MAX];
    struct stats_number kappa_quadratic;
};
struct stats_reads stats_reads_of(struct arena *arena, const struct stats_scale *scale, size_t n, const uint8_t *truth,
                                  const uint8_t *score, const uint8_t *reference);

#endif
