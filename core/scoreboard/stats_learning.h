/* The learning curve of one reader: reads in the order they were submitted, 1 = correct. Pure, O(n).
 * Two questions, two methods, both named in what they return:
 *
 * When did the reader become adequate? LC-CUSUM (Biau DJ, Williams SM, Schlup MM, Nizard RS, Porcher R, Br J
 * Surg 2008;95:925-929; Biau DJ, Porcher R, Stat Med 2010, doi:10.1002/sim.3947). The null hypothesis is that
 * the reader is not adequate: S = max(0, S + w), w = ln((1 - adequate) / (1 - inadequate)) for a correct read
 * and ln(adequate / inadequate) for a wrong one; S > limit rejects it, and the chart ends there.
 *
 * Where did the curve level off? Change point of a 0/1 sequence: the cumulative sum statistic of Pettitt AN,
 * Biometrika 1980;67:79-84: K = max over t of |S_t - t S_n / n|, with its p-value from the limiting
 * Kolmogorov distribution (conservative in small samples). A change upwards means that a plateau begins
 * behind it. */
#ifndef OVERREAD_SCOREBOARD_STATS_LEARNING_H
#define OVERREAD_SCOREBOARD_STATS_LEARNING_H

#include <stddef.h>
#include <stdint.h>
#include "scoreboard/wilson.h"

struct stats_lc_cusum_design {
    double adequate, inadequate; /* rates of wrong reads, 0 < adequate < inadequate < 1 */
    double limit;
};
/* 20 % wrong is adequate, 35 % is not. The limit of 4.2 declares a reader at 35 % adequate within 100 reads
 * with a probability of 4.5 %, and one at 20 % with 87 % (exact computation in the tests). */
extern const struct stats_lc_cusum_design stats_lc_cusum_default;

struct stats_lc_cusum {
    struct stats_lc_cusum_design design;
    size_t reads;
    size_t adequate_at; /* 1-based read that crossed the limit; 0: not so far */
    double statistic;   /* at that read, or at the last one */
};
/* path, when not NULL, receives the statistic after each read; behind adequate_at it stays where it was. */
struct stats_lc_cusum stats_lc_cusum(size_t n, const uint8_t *correct,
                                     const struct stats_lc_cusum_design *design, double *path);

#define STATS_CHANGE_POINT_MIN 20 /* reads below which no change point is looked for */
#define STATS_CHANGE_POINT_LEVEL 0.05
enum stats_change { STATS_CHANGE_UNKNOWN, STATS_CHANGE_NONE, STATS_CHANGE_UP, STATS_CHANGE_DOWN };
struct stats_change_point {
    enum stats_change change; /* UNKNOWN: see p_value.undefined; NONE: p >= 0.05 */
    size_t reads;
    size_t last_before; /* reads 1..last_before are the first part; 0 when UNKNOWN */
    struct stats_number k, p_value;
    struct stats_share before, after; /* correct reads in either part */
};
struct stats_change_point stats_change_point(size_t n, const uint8_t *correct);

/* Share correct in each run of `window` consecutive reads: the curve to draw. ret holds n - window + 1
 * shares, or none when n < window; returns how many. window >= 1. */
size_t stats_rolling(size_t n, const uint8_t *correct, size_t window, struct stats_share *ret);

#endif
