/* Detection statistics over lesions that are already matched with the truth (PI-CAI's picai_eval is the
 * definition): average precision, FROC, case AUROC, ranking score. Pure. */
#ifndef OVERREAD_SCOREBOARD_STATS_LESIONS_H
#define OVERREAD_SCOREBOARD_STATS_LESIONS_H

#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "scoreboard/stats_value.h"

/* One row: a hit (is_lesion 1, confidence > 0), a missed lesion (is_lesion 1, confidence 0) or a false
 * positive (is_lesion 0). weight counts in the average precision only; 1 unless somebody weighs lesions. */
struct stats_lesion {
    double confidence; /* >= 0, finite */
    double weight;
    uint8_t is_lesion;
};

/* Every distinct confidence > 0, descending: what is called at or above it. picai_eval overwrites its last
 * point with infinity; this is the curve without that quirk. */
struct stats_froc_point {
    double threshold;
    size_t tp, fp;
    double fp_per_case;
    double sensitivity; /* meaningless when the curve has no lesion: froc_undefined */
};

struct stats_lesions {
    size_t cases, lesions;
    struct stats_number auroc;             /* over cases, ties 1/2 */
    struct stats_number average_precision; /* over lesions; missed ones stay in the denominator */
    struct stats_number score;             /* (auroc + average_precision) / 2, PI-CAI's ranking score */
    size_t positive_cases, negative_cases;
    size_t points;
    const struct stats_froc_point *froc; /* in the arena */
    const char *froc_undefined;          /* why no point has a sensitivity, or NULL */
};

struct stats_lesions stats_lesions_of(struct arena *arena, size_t n, const struct stats_lesion *rows,
                                      size_t cases, const uint8_t *case_target, const double *case_score);

/* Lesion sensitivity at the loosest threshold with no more than so many false positives a case; 0 when even
 * the strictest has more. Undefined without lesions. */
struct stats_number stats_sensitivity_at(const struct stats_lesions *lesions, double fp_per_case);

#endif
