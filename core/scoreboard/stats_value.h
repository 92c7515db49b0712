/* What a statistic returns: a number that may be undefined, with the reason. 0 and 1 are statements about a
 * reader; "not enough data" is another one, and the two never share a representation. */
#ifndef OVERREAD_SCOREBOARD_STATS_VALUE_H
#define OVERREAD_SCOREBOARD_STATS_VALUE_H

struct stats_number {
    double value;          /* meaningless unless undefined is NULL */
    const char *undefined; /* NULL, or why there is no value: a literal */
};

struct stats_interval { /* 95 % */
    double low, high;
    const char *undefined;
};

#endif
