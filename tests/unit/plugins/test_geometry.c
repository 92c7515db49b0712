#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "prostate_mri/geometry.h"

static struct ellipsoid ellipsoid_mm(int64_t l, int64_t p, int64_t s, int64_t a, int64_t b, int64_t c)
{
    return (struct ellipsoid){.centre = {{l * 1000, p * 1000, s * 1000}},
                              .semi = {a * 1000, b * 1000, c * 1000},
                              .axis = {{1000000, 0, 0}, {0, 1000000, 0}, {0, 0, 1000000}}};
}

static struct point point_mm(int64_t l, int64_t p, int64_t s)
{
    return (struct point){{l * 1000, p * 1000, s * 1000}};
}

static void the_distance_is_euclidean(void **state)
{
    struct point a = point_mm(1, 2, 3), b = point_mm(4, 6, 15);
    (void)state;
    assert_int_equal(geometry_distance(&a, &b), 13000);
    assert_int_equal(geometry_distance(&a, &a), 0);
}

static void the_surface_belongs_to_the_ellipsoid_and_a_micrometre_more_does_not(void **state)
{
    struct ellipsoid e = ellipsoid_mm(10, 0, 0, 6, 5, 4);
    struct point on = point_mm(16, 0, 0), off = {{16001, 0, 0}}, doubled = point_mm(22, 0, 0);
    (void)state;
    assert_true(ellipsoid_contains(&e, &on, 1));
    assert_false(ellipsoid_contains(&e, &off, 1));
    assert_true(ellipsoid_contains(&e, &off, 2));
    assert_true(ellipsoid_contains(&e, &doubled, 2));
}

static void rotated_axes_turn_the_ellipsoid(void **state)
{
    struct ellipsoid e = ellipsoid_mm(0, 0, 0, 10, 2, 2);
    struct point along = point_mm(7, 7, 0), across = point_mm(7, -7, 0);
    (void)state;
    assert_false(ellipsoid_contains(&e, &along, 1));
    e.axis[0][0] = e.axis[0][1] = e.axis[1][1] = 707107;
    e.axis[1][0] = -707107;
    assert_true(ellipsoid_axes_orthonormal(&e));
    assert_true(ellipsoid_contains(&e, &along, 1));
    assert_false(ellipsoid_contains(&e, &across, 1));
    assert_in_range(ellipsoid_extent(&e, 0), 7150, 7250); /* sqrt((10^2 + 2^2) / 2) = 7.21 */
    assert_in_range(ellipsoid_extent(&e, 2), 1999, 2000);
}

static void axes_that_are_skewed_or_too_long_are_not_orthonormal(void **state)
{
    struct ellipsoid e = ellipsoid_mm(0, 0, 0, 1, 1, 1);
    (void)state;
    e.axis[0][1] = 2000;
    assert_false(ellipsoid_axes_orthonormal(&e));
    e.axis[0][1] = 500; /* four decimals in a file leave errors of this size */
    assert_true(ellipsoid_axes_orthonormal(&e));
    e.axis[2][2] = 998000;
    assert_false(ellipsoid_axes_orthonormal(&e));
    e.axis[2][2] = 0;
    assert_false(ellipsoid_axes_orthonormal(&e));
}

static void the_distance_outside_runs_along_the_line_to_the_centre(void **state)
{
    struct ellipsoid e = ellipsoid_mm(0, 0, 0, 26, 19, 21);
    struct point inside = point_mm(20, 5, 0), outside = point_mm(0, 0, -31), far = point_mm(500, 500, 500);
    (void)state;
    assert_int_equal(ellipsoid_distance_outside(&e, &inside), 0);
    assert_in_range(ellipsoid_distance_outside(&e, &outside), 9990, 10010);
    assert_in_range(ellipsoid_distance_outside(&e, &far), 840000, 850000);
}

static void overlap_is_whole_with_itself_none_when_apart_and_the_same_from_both_sides(void **state)
{
    struct ellipsoid a = ellipsoid_mm(0, 0, 0, 8, 6, 5), b = ellipsoid_mm(4, 1, 0, 7, 7, 7);
    struct ellipsoid apart = ellipsoid_mm(30, 0, 0, 8, 6, 5);
    (void)state;
    assert_int_equal(ellipsoid_overlap(&a, &a), GEOMETRY_OVERLAP_WHOLE);
    assert_int_equal(ellipsoid_overlap(&a, &apart), 0);
    assert_int_equal(ellipsoid_overlap(&a, &b), ellipsoid_overlap(&b, &a));
}

/* Two spheres of radius r, d apart, share pi (4r + d) (2r - d)^2 / 12. With x = d / r their IoU is
 * (4 + x) (2 - x)^2 / (32 - (4 + x) (2 - x)^2). */
static void overlap_of_two_spheres_is_what_the_formula_says(void **state)
{
    static const struct {
        int64_t apart;
        int32_t expected;
    } cases[] = {{5, 455782}, {10, 185185}, {12, 119955}, {13, 91994}, {16, 31580}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ellipsoid a = ellipsoid_mm(3, -4, 5, 10, 10, 10),
                         b = ellipsoid_mm(3 + cases[i].apart, -4, 5, 10, 10, 10);
        assert_in_range(ellipsoid_overlap(&a, &b), cases[i].expected - 6000, cases[i].expected + 6000);
    }
}

static void a_small_ellipsoid_in_a_large_one_overlaps_by_the_ratio_of_volumes(void **state)
{
    struct ellipsoid large = ellipsoid_mm(0, 0, 0, 10, 10, 10), small = ellipsoid_mm(2, 0, 0, 5, 5, 5);
    (void)state;
    assert_in_range(ellipsoid_overlap(&large, &small), 120000, 130000); /* 1/8 */
    assert_in_range(ellipsoid_volume_microlitres(&large), 4188, 4189);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_distance_is_euclidean),
        cmocka_unit_test(the_surface_belongs_to_the_ellipsoid_and_a_micrometre_more_does_not),
        cmocka_unit_test(rotated_axes_turn_the_ellipsoid),
        cmocka_unit_test(axes_that_are_skewed_or_too_long_are_not_orthonormal),
        cmocka_unit_test(the_distance_outside_runs_along_the_line_to_the_centre),
        cmocka_unit_test(overlap_is_whole_with_itself_none_when_apart_and_the_same_from_both_sides),
        cmocka_unit_test(overlap_of_two_spheres_is_what_the_formula_says),
        cmocka_unit_test(a_small_ellipsoid_in_a_large_one_overlaps_by_the_ratio_of_volumes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
