#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "prostate_mri/sectors.h"

static void the_map_has_38_sectors_of_the_prostate_and_3_outside(void **state)
{
    int of_zone[4] = {0}, outside = 0, left = 0, right = 0;
    (void)state;
    for (int i = 0; i < SECTOR_COUNT; i++) {
        const struct sector *sector = sector_at(i);
        if (sector->zone < 0)
            outside++;
        else
            of_zone[sector->zone]++;
        left += sector->side == SECTOR_LEFT;
        right += sector->side == SECTOR_RIGHT;
    }
    assert_int_equal(of_zone[PIRADS_PZ], 18);
    assert_int_equal(of_zone[PIRADS_TZ], 12);
    assert_int_equal(of_zone[PIRADS_AFS], 6);
    assert_int_equal(of_zone[PIRADS_CZ], 2);
    assert_int_equal(outside, 3);
    assert_int_equal(left, 20);
    assert_int_equal(right, 20);
}

static void each_code_is_found_again_and_its_name_agrees_with_its_side(void **state)
{
    (void)state;
    for (int i = 0; i < SECTOR_COUNT; i++) {
        const struct sector *sector = sector_at(i);
        assert_int_equal(sector_find(sector->code), i);
        assert_int_equal(strncmp(sector->name, "left ", 5) == 0, sector->side == SECTOR_LEFT);
        assert_int_equal(strstr(sector->code, "-L") != NULL, sector->side == SECTOR_LEFT);
    }
    assert_int_equal(sector_find("PZpl-L"), -1);
    assert_null(sector_at(SECTOR_COUNT));
    assert_null(sector_at(-1));
}

static void a_set_knows_its_first_member_and_its_size(void **state)
{
    (void)state;
    assert_int_equal(sector_first(0), -1);
    assert_int_equal(sector_first(UINT64_C(1) << 40 | UINT64_C(1) << 7), 7);
    assert_int_equal(sector_size(UINT64_C(1) << 40 | UINT64_C(1) << 7), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_map_has_38_sectors_of_the_prostate_and_3_outside),
        cmocka_unit_test(each_code_is_found_again_and_its_name_agrees_with_its_side),
        cmocka_unit_test(a_set_knows_its_first_member_and_its_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
