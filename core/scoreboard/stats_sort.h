/* Internal to the statistics: one scored item, and the descending order that ROC, PR and FROC all walk. */
#ifndef OVERREAD_SCOREBOARD_STATS_SORT_H
#define OVERREAD_SCOREBOARD_STATS_SORT_H

#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "scoreboard/stats_value.h"

struct stats_scored {
    double score, weight;
    uint8_t positive;
};

/* Stable, O(n). */
void stats_sort_descending(struct arena *arena, struct stats_scored *items, size_t n);
struct stats_scored *stats_sorted(struct arena *arena, size_t n, const uint8_t *truth, const double *score);

/* items sorted; only thresholds > floor make a step, the rest still counts in the recall's denominator. */
struct stats_number stats_precision_recall_area(const struct stats_scored *items, size_t n, double floor);

#endif
