/* A share k of n with its Wilson score interval (Wilson EB, J Am Stat Assoc 1927;22:209), 95 %, no continuity
 * correction. Every percentage that the product shows is one of these. Pure. */
#ifndef OVERREAD_SCOREBOARD_WILSON_H
#define OVERREAD_SCOREBOARD_WILSON_H

#include <stddef.h>
#include "scoreboard/stats_value.h"

#define STATS_Z95 1.959963984540054 /* 97.5 % quantile of the normal distribution */

struct stats_share {
    size_t k, n;
    struct stats_number p;
    struct stats_interval wilson95;
};

/* k <= n. With n = 0 both p and the interval are undefined for the reason given, a literal. */
struct stats_share stats_share_of(size_t k, size_t n, const char *when_empty);

#endif
