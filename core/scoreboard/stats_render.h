/* The statistics as JSON, the same bytes for the API and for `overread stats`. Doubles carry 17 significant
 * digits. A statistic that is undefined is null, and the object's member "undefined" maps its JSON pointer to
 * the reason. Where a defined number needs a caution (small sample, an interval that collapsed), "notes"
 * holds it the same way. Both members are left out when they would be empty. Pointers are relative to the
 * object that is written. */
#ifndef OVERREAD_SCOREBOARD_STATS_RENDER_H
#define OVERREAD_SCOREBOARD_STATS_RENDER_H

#include "base/text.h"
#include "scoreboard/stats.h"
#include "scoreboard/stats_learning.h"
#include "scoreboard/stats_lesions.h"

/* {"n", "auroc": {"auc", "var", "ci95"}, "average_precision", "at": {"3": {...}, "4": {...}},
 * "kappa_quadratic"}; "at" has a table for each threshold of the scale. */
void stats_reads_render(struct buffer *out, const struct stats_reads *reads);

/* {"cases", "lesions", "auroc", "average_precision", "score", "froc": [{"threshold", "fp_per_case",
 * "sensitivity"}]} */
void stats_lesions_render(struct buffer *out, const struct stats_lesions *lesions);

/* {"reads", "adequacy": {"method", "citation", "adequate_error_rate", "inadequate_error_rate", "limit",
 * "statistic", "reached_at"}, "plateau": {"method", "citation", "change", "from_read", "k", "p_value",
 * "before", "after"}} reached_at and from_read are 1-based read numbers. */
void stats_learning_render(struct buffer *out, const struct stats_lc_cusum *cusum,
                           const struct stats_change_point *point);

/* {"n", "mean", "median", "deviation"}, in the unit that went in. */
void stats_mean_render(struct buffer *out, const struct stats_mean *mean);

/* {"k", "n", "p", "wilson95"}: for shares outside the objects above; p and wilson95 are null when n is 0, and
 * "undefined" says why. */
void stats_share_render(struct buffer *out, const struct stats_share *share);

#endif
