#include "scoreboard/stats_learning.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

const struct stats_lc_cusum_design stats_lc_cusum_default = {
    .adequate = 0.20, .inadequate = 0.35, .limit = 4.2};

struct stats_lc_cusum stats_lc_cusum(size_t n, const uint8_t *correct,
                                     const struct stats_lc_cusum_design *design, double *path)
{
    struct stats_lc_cusum ret = {.design = *design, .reads = n};

    assert(design->adequate > 0 && design->adequate < design->inadequate && design->inadequate < 1);
    const double right = log((1 - design->adequate) / (1 - design->inadequate));
    const double wrong = log(design->adequate / design->inadequate);

    for (size_t i = 0; i < n; i++) {
        if (!ret.adequate_at) {
            ret.statistic = fmax(0, ret.statistic + (correct[i] ? right : wrong));
            if (ret.statistic > design->limit)
                ret.adequate_at = i + 1;
        }
        if (path)
            path[i] = ret.statistic;
    }
    return ret;
}

/* P(K > x) of the Kolmogorov distribution; the series converges in a few terms unless x is tiny, where it
 * is 1. */
static double kolmogorov_tail(double x)
{
    double sum = 0, sign = 1;

    if (x < 0.2)
        return 1;
    for (int k = 1; k <= 100; k++, sign = -sign) {
        const double term = exp(-2.0 * k * k * x * x);
        sum += sign * term;
        if (term < 1e-17)
            break;
    }
    return fmin(1, fmax(0, 2 * sum));
}

static struct stats_change_point no_change_point(size_t n, size_t right, const char *reason)
{
    return (struct stats_change_point){
        .change = STATS_CHANGE_UNKNOWN,
        .reads = n,
        .k.undefined = reason,
        .p_value.undefined = reason,
        .before = stats_share_of(0, 0, reason),
        .after = stats_share_of(right, n, "no reads"),
    };
}

struct stats_change_point stats_change_point(size_t n, const uint8_t *correct)
{
    size_t right = 0, so_far = 0, right_before = 0, last_before = 0;
    int64_t largest = -1;

    for (size_t i = 0; i < n; i++)
        right += correct[i] ? 1 : 0;
    if (n < STATS_CHANGE_POINT_MIN)
        return no_change_point(n, right, "fewer than 20 reads: no change point is looked for");
    if (right == 0 || right == n)
        return no_change_point(n, right, "all reads had the same outcome");

    for (size_t t = 1; t < n; t++) {
        so_far += correct[t - 1] ? 1 : 0;
        const int64_t away =
            llabs((int64_t)(n * so_far) - (int64_t)(t * right)); /* n K, exact: ties stay ties */
        if (away > largest) {
            largest = away;
            last_before = t;
            right_before = so_far;
        }
    }

    const double share = (double)right / (double)n;
    struct stats_change_point ret = {.change = STATS_CHANGE_NONE, .reads = n, .last_before = last_before};
    ret.k.value = (double)largest / (double)n;
    ret.p_value.value = kolmogorov_tail(ret.k.value / sqrt((double)n * share * (1 - share)));
    ret.before = stats_share_of(right_before, last_before, "no reads");
    ret.after = stats_share_of(right - right_before, n - last_before, "no reads");
    if (ret.p_value.value < STATS_CHANGE_POINT_LEVEL)
        ret.change = ret.after.p.value > ret.before.p.value ? STATS_CHANGE_UP : STATS_CHANGE_DOWN;
    return ret;
}

size_t stats_rolling(size_t n, const uint8_t *correct, size_t window, struct stats_share *ret)
{
    size_t right = 0, count = 0;

    assert(window >= 1);
    for (size_t i = 0; i < n; i++) {
        right += correct[i] ? 1 : 0;
        if (i >= window)
            right -= correct[i - window] ? 1 : 0;
        if (i + 1 >= window)
            ret[count++] = stats_share_of(right, window, "no reads");
    }
    return count;
}
