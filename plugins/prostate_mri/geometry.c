#include "geometry.h"
#include "common/fixed.h"

enum { GRID = 32 };

int64_t geometry_distance(const struct point *a, const struct point *b)
{
    uint128 sum = 0;
    for (int i = 0; i < 3; i++) {
        int64_t d = a->at[i] - b->at[i];
        sum += (uint128)((int128)d * d);
    }
    return (int64_t)fixed_sqrt(sum);
}

/* The point in the ellipsoid's own frame, in micrometres. */
static struct point own_frame(const struct ellipsoid *e, const struct point *point)
{
    struct point ret = {{0}};
    for (int i = 0; i < 3; i++) {
        int128 sum = 0;
        for (int k = 0; k < 3; k++)
            sum += (int128)(point->at[k] - e->centre.at[k]) * e->axis[i][k];
        ret.at[i] = (int64_t)fixed_divide(sum, GEOMETRY_UNIT);
    }
    return ret;
}

/* (x/a)^2 + (y/b)^2 + (z/c)^2 as the fraction *ret_over / *ret_under. */
static void quadratic_form(const struct ellipsoid *e, const struct point *point, uint128 *ret_over,
                           uint128 *ret_under)
{
    struct point own = own_frame(e, point);
    uint128 over = 0;
    for (int i = 0; i < 3; i++) {
        uint128 others = (uint128)(e->semi[(i + 1) % 3]) * (uint128)(e->semi[(i + 2) % 3]);
        uint128 square = (uint128)((int128)own.at[i] * own.at[i]);
        over += square * others * others;
    }
    uint128 product = (uint128)e->semi[0] * (uint128)e->semi[1] * (uint128)e->semi[2];
    *ret_over = over;
    *ret_under = product * product;
}

bool ellipsoid_contains(const struct ellipsoid *e, const struct point *point, unsigned factor)
{
    uint128 over, under;
    quadratic_form(e, point, &over, &under);
    return over <= under * (factor * factor);
}

int64_t ellipsoid_distance_outside(const struct ellipsoid *e, const struct point *point)
{
    uint128 over, under;
    quadratic_form(e, point, &over, &under);
    if (over <= under || under == 0)
        return 0;
    /* ratio = distance from the centre / distance of the surface on that line, in 2^-16 */
    uint64_t ratio = fixed_sqrt(((over << 16) / under) << 16);
    int64_t distance = geometry_distance(&e->centre, point);
    return distance - (int64_t)((uint128)distance * 65536 / ratio);
}

int64_t ellipsoid_extent(const struct ellipsoid *e, int direction)
{
    uint128 sum = 0;
    for (int i = 0; i < 3; i++) {
        int128 part = (int128)e->semi[i] * e->axis[i][direction];
        sum += (uint128)(part * part);
    }
    return (int64_t)(fixed_sqrt(sum) / GEOMETRY_UNIT);
}

/* A grid point's coordinates along one of the ellipsoid's axes, as a fraction of the semi-axis in 2^-18: linear in
 * the grid's indices, so that walking the grid needs only additions. */
struct walk {
    int64_t origin[3];
    int64_t step[3][3]; /* [grid direction][ellipsoid axis] */
};

static struct walk walk_of(const struct ellipsoid *e, const int64_t low[3], const int64_t step[3])
{
    struct walk walk;
    for (int i = 0; i < 3; i++) {
        int128 under = (int128)e->semi[i] * GEOMETRY_UNIT;
        int128 sum = 0;
        for (int k = 0; k < 3; k++) {
            sum += (int128)(2 * (low[k] - e->centre.at[k]) + step[k]) * e->axis[i][k];
            walk.step[k][i] = (int64_t)fixed_divide((int128)step[k] * e->axis[i][k] * (1 << 18), under);
        }
        walk.origin[i] = (int64_t)fixed_divide(sum * (1 << 17), under); /* half the double */
    }
    return walk;
}

static bool walk_inside(const int64_t at[3])
{
    return at[0] * at[0] + at[1] * at[1] + at[2] * at[2] <= INT64_C(1) << 36;
}

static void walk_advance(int64_t at[3], const int64_t step[3])
{
    for (int i = 0; i < 3; i++)
        at[i] += step[i];
}

static void count_line(const struct walk walks[2], int64_t at[2][3], uint32_t *both, uint32_t *any)
{
    for (int z = 0; z < GRID; z++) {
        bool in_a = walk_inside(at[0]), in_b = walk_inside(at[1]);
        *both += in_a && in_b;
        *any += in_a || in_b;
        walk_advance(at[0], walks[0].step[2]);
        walk_advance(at[1], walks[1].step[2]);
    }
}

int32_t ellipsoid_overlap(const struct ellipsoid *a, const struct ellipsoid *b)
{
    int64_t low[3], step[3];
    for (int k = 0; k < 3; k++) {
        int64_t reach_a = ellipsoid_extent(a, k), reach_b = ellipsoid_extent(b, k);
        int64_t low_a = a->centre.at[k] - reach_a, low_b = b->centre.at[k] - reach_b;
        int64_t high_a = a->centre.at[k] + reach_a, high_b = b->centre.at[k] + reach_b;
        if (high_a < low_b || high_b < low_a)
            return 0;
        low[k] = low_a < low_b ? low_a : low_b;
        int64_t high = high_a > high_b ? high_a : high_b;
        step[k] = (high - low[k]) / GRID + 1;
    }
    struct walk walks[2] = {walk_of(a, low, step), walk_of(b, low, step)};
    uint32_t both = 0, any = 0;
    for (int x = 0; x < GRID; x++) {
        for (int y = 0; y < GRID; y++) {
            int64_t at[2][3];
            for (int e = 0; e < 2; e++) {
                for (int i = 0; i < 3; i++)
                    at[e][i] = walks[e].origin[i] + x * walks[e].step[0][i] + y * walks[e].step[1][i];
            }
            count_line(walks, at, &both, &any);
        }
    }
    return any ? (int32_t)((uint64_t)both * GEOMETRY_OVERLAP_WHOLE / any) : 0;
}

int64_t ellipsoid_volume_microlitres(const struct ellipsoid *e)
{
    /* 4/3 pi = 4.188790; cubic micrometres to microlitres: 10^9 */
    uint128 cube = (uint128)e->semi[0] * (uint128)e->semi[1] * (uint128)e->semi[2];
    return (int64_t)(cube / 1000000 * 4188790 / 1000000000);
}

bool ellipsoid_axes_orthonormal(const struct ellipsoid *e)
{
    const int64_t unit = (int64_t)GEOMETRY_UNIT * GEOMETRY_UNIT;
    for (int i = 0; i < 3; i++) {
        for (int j = i; j < 3; j++) {
            int64_t dot = 0;
            for (int k = 0; k < 3; k++)
                dot += e->axis[i][k] * e->axis[j][k];
            int64_t error = i == j ? (dot - unit) / 2 : dot; /* half: the square's error is twice the length's */
            if (fixed_absolute(error) > unit / 1000)
                return false;
        }
    }
    return true;
}
