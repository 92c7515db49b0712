#include <fenv.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "common/fixed.h"

static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};

static void a_number_is_rounded_half_away_from_zero_in_every_rounding_mode(void **state)
{
    static const struct {
        double number;
        uint32_t scale;
        int64_t expected;
    } cases[] = {{0, 1000, 0},
                 {1, 1000, 1000},
                 {-1, 1000, -1000},
                 {0.0005, 1000, 1},
                 {12.3, 1000, 12300},
                 {-12.3456, 1000, -12346},
                 {0.5, 1, 1},
                 {-0.5, 1, -1},
                 {2.5, 1, 3},
                 {0.4999999, 1, 0},
                 {5e-324, 1000000000, 0},
                 {499.9996, 1000, 500000},
                 {1e300, 1, INT64_C(1) << 62},
                 {-1e300, 1000, -(INT64_C(1) << 62)},
                 {9007199254740991.0, 1, INT64_C(9007199254740991)},
                 {0.15, 1000000, 150000}};
    (void)state;
    for (size_t m = 0; m < sizeof(modes) / sizeof(modes[0]); m++) {
        fesetround(modes[m]);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
            assert_int_equal(fixed_from_number(cases[i].number, cases[i].scale), cases[i].expected);
    }
    fesetround(FE_TONEAREST);
}

static void a_fixed_point_number_is_written_with_a_point(void **state)
{
    (void)state;
    assert_string_equal(fixed_text(12345, 3, 1).text, "12.3");
    assert_string_equal(fixed_text(12350, 3, 1).text, "12.4");
    assert_string_equal(fixed_text(-12350, 3, 1).text, "-12.4");
    assert_string_equal(fixed_text(-40, 3, 1).text, "0.0");
    assert_string_equal(fixed_text(-60, 3, 1).text, "-0.1");
    assert_string_equal(fixed_text(7, 3, 3).text, "0.007");
    assert_string_equal(fixed_text(1500, 3, 0).text, "2");
    assert_string_equal(fixed_text(0, 3, 0).text, "0");
    assert_string_equal(fixed_text(INT64_C(1) << 62, 0, 0).text, "4611686018427387904");
}

static void the_square_root_is_the_floor_of_the_root(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 2000; n++) {
        uint64_t root = fixed_sqrt(n);
        assert_true(root * root <= n && (root + 1) * (root + 1) > n);
    }
    assert_true(fixed_sqrt((uint128)UINT64_MAX * UINT64_MAX) == UINT64_MAX);
    assert_true(fixed_sqrt((uint128)UINT64_MAX * UINT64_MAX - 1) == UINT64_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_is_rounded_half_away_from_zero_in_every_rounding_mode),
        cmocka_unit_test(a_fixed_point_number_is_written_with_a_point),
        cmocka_unit_test(the_square_root_is_the_floor_of_the_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
