#include "geometry.h"
#include "common/fixed.h"

enum { GRID = 32 };

int64_t geometry_distance(const struct point *a, const struct point *b)
{
    return fixed_distance(a->at, b->at, 3);
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
    return over <= under * factor * factor;
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

/* A grid point's coordinates along one of the ellipsoid's axes, as a fraction of the semi-axis in 2^-18:
 * linear in the grid's indices, so that walking the grid needs only additions. */
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

/* The squared distance from the centre along one line of the grid. It is a polynomial of the second degree in
 * the index, so its differences give each next value exactly. */
struct line {
    int64_t square, first_difference, second_difference;
};

static struct line line_of(const struct walk *walk, int x, int y)
{
    struct line line = {0};
    for (int i = 0; i < 3; i++) {
        int64_t at = walk->origin[i] + x * walk->step[0][i] + y * walk->step[1][i], step = walk->step[2][i];
        line.square += at * at;
        line.first_difference += (2 * at + step) * step;
        line.second_difference += 2 * step * step;
    }
    return line;
}

static bool line_advance(struct line *line)
{
    bool inside = line->square <= INT64_C(1) << 36;
    line->square += line->first_difference;
    line->first_difference += line->second_difference;
    return inside;
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
            struct line lines[2] = {line_of(&walks[0], x, y), line_of(&walks[1], x, y)};
            for (int z = 0; z < GRID; z++) {
                unsigned in_a = line_advance(&lines[0]), in_b = line_advance(&lines[1]);
                both += in_a & in_b;
                any += in_a | in_b;
            }
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
            int64_t error =
                i == j ? (dot - unit) / 2 : dot; /* half: the square's error is twice the length's */
            if (fixed_absolute(error) > unit / 1000)
                return false;
        }
    }
    return true;
}
