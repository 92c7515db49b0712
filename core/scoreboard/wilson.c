#include "scoreboard/wilson.h"

#include <assert.h>
#include <math.h>

static struct stats_interval wilson(size_t k, size_t n)
{
    const double z = STATS_Z95, z2 = z * z, count = (double)n, p = (double)k / count;
    const double scale = 1 + z2 / count, centre = (p + z2 / (2 * count)) / scale;
    const double half = z * sqrt(p * (1 - p) / count + z2 / (4 * count * count)) / scale;

    /* At the ends the bound is exactly 0 or 1; the formula leaves a rounding error that would print as
     * -1e-17. */
    return (struct stats_interval){.low = k == 0 ? 0 : centre - half, .high = k == n ? 1 : centre + half};
}

struct stats_share stats_share_of(size_t k, size_t n, const char *when_empty)
{
    assert(k <= n);
    struct stats_share ret = {.k = k, .n = n};

    if (n == 0) {
        ret.p.undefined = ret.wilson95.undefined = when_empty;
        return ret;
    }
    ret.p.value = (double)k / (double)n;
    ret.wilson95 = wilson(k, n);
    return ret;
}
