#ifndef OVERREAD_TESTS_STATS_TESTING_H
#define OVERREAD_TESTS_STATS_TESTING_H

#include <math.h>
#include <string.h>

#include "arena_testing.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define assert_within(actual, expected, tolerance)                                                           \
    do {                                                                                                     \
        const double actual_ = (actual), expected_ = (expected);                                             \
        if (!(fabs(actual_ - expected_) <= (tolerance)))                                                     \
            fail_msg("%s is %.17g, expected %.17g", #actual, actual_, expected_);                            \
    } while (0)
#define assert_near(actual, expected) assert_within(actual, expected, 1e-12)

#define assert_value(number, expected)                                                                       \
    do {                                                                                                     \
        if ((number).undefined)                                                                              \
            fail_msg("%s is undefined: %s", #number, (number).undefined);                                    \
        assert_near((number).value, expected);                                                               \
    } while (0)
#define assert_undefined(number, words)                                                                      \
    do {                                                                                                     \
        assert_non_null((number).undefined);                                                                 \
        assert_non_null(strstr((number).undefined, words));                                                  \
    } while (0)

#endif
