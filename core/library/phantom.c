#include "library/phantom.h"

#include <stdio.h>

/* --- Chance: splitmix64 (Steele, Lea and Flood 2014) ------------------------------------------ */

#define GOLDEN_GAMMA UINT64_C(0x9e3779b97f4a7c15)

static uint64_t scramble(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t phantom_mix(uint64_t a, uint64_t b)
{
    return scramble(scramble(a + GOLDEN_GAMMA) ^ (b * GOLDEN_GAMMA + 1));
}

struct chance {
    uint64_t state;
};

static int between(struct chance *chance, int low, int high)
{
    chance->state += GOLDEN_GAMMA;
    return low + (int)(scramble(chance->state) % (uint64_t)(high - low + 1));
}

static bool one_in(struct chance *chance, int n)
{
    return between(chance, 1, n) == 1;
}

static double jitter(struct chance *chance, double reach)
{
    return reach * between(chance, -100, 100) / 100.0;
}

/* No libm: what is computed here must be the same to the last bit everywhere. */
static double rounded(double value, double steps)
{
    return (double)(int64_t)(value * steps + (value < 0 ? -0.5 : 0.5)) / steps;
}

/* --- The case --------------------------------------------------------------------------------- */

/* The transition zone, in the gland's own coordinates: there the gland is the unit ball. */
static const struct phantom_ellipsoid transition_zone = {{0, -0.2, 0}, {0.62, 0.56, 0.72}};

/* Is this one of the cases without significant cancer? One or two of each three are, at places that do not
 * repeat. */
static bool without_cancer(uint64_t seed, int number)
{
    struct chance chance = {phantom_mix(seed, (uint64_t)(number - 1) / 3)};
    int odd_one = between(&chance, 0, 2);
    bool one = between(&chance, 0, 9) < 7;
    return ((number - 1) % 3 == odd_one) == one;
}

static void make_gland(struct phantom *p, struct chance *chance)
{
    static const double directions[][6] = {
        /* exact in decimals, as (0020,0037) states them */
        {1, 0, 0, 0, 1, 0},
        {1, 0, 0, 0, 0.96, -0.28},
        {1, 0, 0, 0, 0.936, -0.352},
        {0.96, 0.28, 0, -0.28, 0.96, 0},
    };
    /* Tenths and halves of a millimetre. One draw a statement: the order within an initializer is the
     * compiler's. */
    static const int place[][2] = {{-80, 80}, {-50, 250}, {-450, 50}},
                     half[][2] = {{44, 58}, {30, 40}, {34, 43}},
                     off_centre[][2] = {{-30, 30}, {20, 60}, {-10, 10}};
    for (int i = 0; i < 3; i++)
        p->gland.centre[i] = between(chance, place[i][0], place[i][1]) / 10.0;
    for (int i = 0; i < 3; i++)
        p->gland.semi_axes[i] = between(chance, half[i][0], half[i][1]) / 2.0;
    for (int i = 0; i < 3; i++)
        p->image_centre[i] = p->gland.centre[i] + between(chance, off_centre[i][0], off_centre[i][1]) / 10.0;
    const double *d = directions[one_in(chance, 3) ? between(chance, 1, 3) : 0];
    for (int i = 0; i < 3; i++) {
        p->row[i] = d[i];
        p->column[i] = d[i + 3];
    }
}

/* Where lesions lie, in the gland's own coordinates; |L|, P, and how far up or down base and apex are. */
static const struct slot {
    enum phantom_zone zone;
    double lateral, posterior, level;
} slots[] = {
    {PHANTOM_PZ, 0.64, 0.46, 0.50},  /* posterolateral */
    {PHANTOM_PZ, 0.27, 0.70, 0.50},  /* posteromedial */
    {PHANTOM_PZ, 0.82, -0.06, 0.50}, /* anterior horn */
    {PHANTOM_TZ, 0.30, -0.42, 0.45}, /* anterior */
    {PHANTOM_TZ, 0.30, 0.03, 0.45},  /* posterior */
};
/* Most cancers lie in the back of the peripheral zone. */
static const int slot_odds[] = {0, 0, 0, 1, 1, 2, 3, 3, 4};

static void name_sector(const struct phantom *p, struct phantom_lesion *lesion)
{
    double at[3];
    for (int i = 0; i < 3; i++)
        at[i] = (lesion->body.centre[i] - p->gland.centre[i]) / p->gland.semi_axes[i];
    double lateral = at[0] < 0 ? -at[0] : at[0];
    const char *part = lesion->zone == PHANTOM_TZ ? (at[1] < transition_zone.centre[1] ? "TZa" : "TZp")
                       : at[1] < 0.15             ? "PZa"
                       : lateral < 0.42           ? "PZpm"
                                                  : "PZpl";
    const char *level = at[2] > 1.0 / 3 ? "base" : at[2] < -1.0 / 3 ? "apex" : "mid";
    snprintf(lesion->sector, sizeof(lesion->sector), "%s-%c-%s", part, at[0] > 0 ? 'L' : 'R', level);
}

static void place(const struct phantom *p, struct chance *chance, struct phantom_lesion *ret)
{
    const struct slot *slot = &slots[slot_odds[between(chance, 0, 8)]];
    int level = between(chance, -1, 1);
    int side = one_in(chance, 2) ? -1 : 1;
    double narrow = level ? 0.86 : 1; /* the gland is narrower towards base and apex */
    double at[3] = {slot->lateral, slot->posterior, level * slot->level};
    for (int i = 0; i < 3; i++)
        at[i] += jitter(chance, 0.05);
    at[0] *= side * narrow;
    at[1] *= narrow;
    ret->zone = slot->zone;
    for (int i = 0; i < 3; i++)
        ret->body.centre[i] = rounded(p->gland.centre[i] + at[i] * p->gland.semi_axes[i], 10);
    name_sector(p, ret);
}

/* Scores whose category is lesion->pirads by the tables of PI-RADS v2.1; `large`: 15 mm or more. */
static void score(struct chance *chance, struct phantom_lesion *lesion, bool *ret_large)
{
    int category = lesion->pirads;
    lesion->dce = category >= 4 && !one_in(chance, 3);
    *ret_large = category == 5;
    if (category == 5) {
        lesion->t2w = lesion->dwi = 5;
    } else if (lesion->zone == PHANTOM_PZ) {
        bool upgraded = category == 4 && one_in(chance, 4); /* DWI 3 with early enhancement */
        lesion->dwi = upgraded ? 3 : category;
        lesion->dce = upgraded || (category == 4 && lesion->dce);
        lesion->t2w = between(chance, category == 2 ? 2 : 3, category == 2 ? 3 : 4);
    } else if (category == 4) {
        bool upgraded = one_in(chance, 4); /* T2W 3 with DWI 5 */
        *ret_large = upgraded;
        lesion->t2w = upgraded ? 3 : 4;
        lesion->dwi = upgraded ? 5 : between(chance, 3, 4);
    } else if (category == 3) {
        bool upgraded = one_in(chance, 4); /* T2W 2 with DWI 4 */
        lesion->t2w = upgraded ? 2 : 3;
        lesion->dwi = upgraded ? 4 : between(chance, 2, 4);
    } else {
        lesion->t2w = 2;
        lesion->dwi = between(chance, 2, 3);
    }
}

static void shape(struct chance *chance, struct phantom_lesion *lesion, bool large)
{
    double longest = (large ? between(chance, 76, 90) : between(chance, 40, 68)) / 10.0;
    /* Lesions of the peripheral zone follow the capsule; those of the transition zone are lenticular. */
    bool along_left = lesion->zone == PHANTOM_TZ || lesion->sector[3] == 'm';
    double shares[3] = {along_left ? 1 : 0.72, 0.7, along_left ? 0.8 : 1};
    for (int i = 0; i < 3; i++)
        lesion->body.semi_axes[i] = rounded(longest * shares[i], 10);
}

static void make_lesion(const struct phantom *p, struct chance *chance, bool significant,
                        struct phantom_lesion *ret)
{
    bool large;
    place(p, chance, ret);
    if (significant) {
        ret->pirads = between(chance, 0, 9) < 2 ? 3 : between(chance, 0, 9) < 6 ? 4 : 5;
        ret->isup = ret->pirads == 3 ? 2 : ret->pirads == 4 ? between(chance, 2, 4) : between(chance, 3, 5);
    } else {
        ret->pirads = between(chance, 2, 3);
        ret->isup = between(chance, 0, 1);
    }
    score(chance, ret, &large);
    shape(chance, ret, large);
}

/* Two lesions stand so far apart that a mark on one is not near the other. */
static bool apart(const struct phantom_lesion *a, const struct phantom_lesion *b)
{
    double sum = 0;
    for (int i = 0; i < 3; i++) {
        double d = a->body.centre[i] - b->body.centre[i];
        sum += d * d;
    }
    return sum > 21.0 * 21.0;
}

static void make_lesions(struct phantom *p, struct chance *chance)
{
    p->cspca = !without_cancer(p->seed, p->number);
    int wanted = p->cspca ? (one_in(chance, 3) ? 2 : 1) : (one_in(chance, 3) ? 1 : 0);
    for (int tries = 0; p->count < wanted && tries < 64; tries++) {
        struct phantom_lesion lesion = {.zone = PHANTOM_PZ};
        make_lesion(p, chance, p->cspca, &lesion);
        if (p->count == 0 || apart(&p->lesion[0], &lesion))
            p->lesion[p->count++] = lesion;
    }
}

static void make_patient(struct phantom *p, struct chance *chance)
{
    const double *semi = p->gland.semi_axes;
    p->age_years = between(chance, 51, 79);
    p->psa_ng_ml = between(chance, p->cspca ? 38 : 24, p->cspca ? 180 : 150) / 10.0;
    p->volume_ml = rounded(4.0 / 3.0 * 3.14159265358979 * semi[0] * semi[1] * semi[2] / 1000.0, 10);
    p->psa_density = rounded(p->psa_ng_ml / p->volume_ml, 100);
    p->difficulty = between(chance, 1, 5); /* chance alone: it stands in the list, before the case is read */
}

void phantom_make(uint64_t seed, int number, struct phantom *ret)
{
    *ret = (struct phantom){.seed = seed, .number = number};
    struct chance chance = {phantom_mix(~seed, (uint64_t)number)};
    make_gland(ret, &chance);
    make_lesions(ret, &chance);
    make_patient(ret, &chance);
}

/* --- The images ------------------------------------------------------------------------------- */

struct phantom_grid phantom_grid(enum phantom_series series)
{
    return series == PHANTOM_T2W ? (struct phantom_grid){128, 0.9} : (struct phantom_grid){64, 1.8};
}

void phantom_position(const struct phantom *p, enum phantom_series series, int slice, double ret[3])
{
    struct phantom_grid grid = phantom_grid(series);
    const double *r = p->row, *c = p->column;
    double normal[3] = {r[1] * c[2] - r[2] * c[1], r[2] * c[0] - r[0] * c[2], r[0] * c[1] - r[1] * c[0]};
    double half = (grid.side - 1) / 2.0 * grid.spacing_mm;
    double along = (slice - (PHANTOM_SLICES - 1) / 2.0) * PHANTOM_SLICE_MM;
    for (int i = 0; i < 3; i++)
        ret[i] = rounded(p->image_centre[i] - half * (r[i] + c[i]) + along * normal[i], 10000);
}

enum tissue { AIR, FAT, MUSCLE, BONE, WALL, LUMEN, BLADDER, CAPSULE, PZ, TZ, TISSUES };

static const int brightness[TISSUES][PHANTOM_SERIES] = {
    [AIR] = {12, 20, 4},         [FAT] = {700, 150, 20},      [MUSCLE] = {180, 1150, 45},
    [BONE] = {420, 260, 16},     [WALL] = {230, 1200, 60},    [LUMEN] = {40, 80, 8},
    [BLADDER] = {950, 2500, 25}, [CAPSULE] = {150, 1200, 45}, [PZ] = {620, 1650, 55},
    [TZ] = {390, 1320, 62},
};
static const int noise_reach[PHANTOM_SERIES] = {26, 70, 8};

/* By score 0 to 5: T2W in percent of the zone around it, ADC and high b as they are. */
static const int lesion_t2w[] = {100, 100, 90, 76, 60, 47};
static const int lesion_adc[] = {1600, 1500, 1200, 980, 790, 640};
static const int lesion_hbv[] = {55, 58, 76, 105, 160, 215};

/* Squared distance from the centre, the surface being at 1. */
static double depth(const struct phantom_ellipsoid *e, const double at[3])
{
    double sum = 0;
    for (int i = 0; i < 3; i++) {
        double d = (at[i] - e->centre[i]) / e->semi_axes[i];
        sum += d * d;
    }
    return sum;
}

static double depth_2d(double x, double y, double a, double b)
{
    return (x / a) * (x / a) + (y / b) * (y / b);
}

/* x, y, z from the gland's centre. */
static enum tissue tissue_around(const struct phantom *p, double x, double y, double z)
{
    double body = depth_2d(x, y - 4, 53, 45);
    if (body > 1)
        return AIR;
    if (body > 0.84)
        return FAT;
    double semi_b = p->gland.semi_axes[1], semi_c = p->gland.semi_axes[2];
    struct phantom_ellipsoid bladder = {{0, -6, semi_c + 10}, {30, 20, 14}};
    const double at[3] = {x, y, z};
    if (depth(&bladder, at) < 1)
        return BLADDER;
    double rectum = depth_2d(x, y - semi_b - 9, 14, 9);
    if (rectum < 1)
        return rectum < 0.6 ? LUMEN : WALL;
    double hip = depth_2d((x < 0 ? -x : x) - 41, y + 4, 9, 12);
    return hip < 1 ? BONE : MUSCLE;
}

static enum tissue tissue_at(const struct phantom *p, const double at[3])
{
    double own[3];
    for (int i = 0; i < 3; i++)
        own[i] = (at[i] - p->gland.centre[i]) / p->gland.semi_axes[i];
    double gland = own[0] * own[0] + own[1] * own[1] + own[2] * own[2];
    if (gland < 1) {
        double inner = depth(&transition_zone, own);
        return inner < 0.88 ? TZ : inner < 1 ? CAPSULE : PZ;
    }
    if (gland < 1.12)
        return CAPSULE;
    return tissue_around(p, at[0] - p->gland.centre[0], at[1] - p->gland.centre[1],
                         at[2] - p->gland.centre[2]);
}

/* Nodules of the transition zone: cells of 6 mm, a tenth brighter or darker. */
static int nodules(const struct phantom *p, const double at[3])
{
    uint64_t cell = 0;
    for (int i = 0; i < 3; i++)
        cell = cell * 4096 + (uint64_t)((at[i] - p->gland.centre[i] + 600) / 6);
    return (int)(phantom_mix(p->seed ^ (uint64_t)p->number << 32, cell) % 21) - 10;
}

static int signal_at(const struct phantom *p, enum phantom_series series, const double at[3])
{
    enum tissue tissue = tissue_at(p, at);
    int value = brightness[tissue][series];
    if (tissue == TZ && series != PHANTOM_HBV)
        value += value * nodules(p, at) / 100;
    if (tissue != PZ && tissue != TZ && tissue != CAPSULE)
        return value;
    for (int i = 0; i < p->count; i++) {
        const struct phantom_lesion *lesion = &p->lesion[i];
        if (depth(&lesion->body, at) > 1)
            continue;
        int around = brightness[lesion->zone == PHANTOM_TZ ? TZ : PZ][PHANTOM_T2W];
        return series == PHANTOM_T2W   ? around * lesion_t2w[lesion->t2w] / 100
               : series == PHANTOM_ADC ? lesion_adc[lesion->dwi]
                                       : lesion_hbv[lesion->dwi];
    }
    return value;
}

/* A grey wedge in a corner of each image, as test objects have and patients have not. Negative: not there. */
static int wedge(enum phantom_series series, int side, int column, int row)
{
    enum { STEPS = 8 };
    static const int brightest[PHANTOM_SERIES] = {900, 2400, 240};
    int step = column / (side / 32) - 1;
    if (step < 0 || step >= STEPS || row < side - side / 16 || row >= side - side / 32)
        return -1;
    return brightest[series] * step / (STEPS - 1);
}

void phantom_render(const struct phantom *p, enum phantom_series series, int slice, uint16_t *ret)
{
    struct phantom_grid grid = phantom_grid(series);
    double first[3];
    phantom_position(p, series, slice, first);
    uint64_t noise =
        phantom_mix(phantom_mix(p->seed, (uint64_t)p->number), (uint64_t)((int)series * 4096 + slice));
    for (int j = 0; j < grid.side; j++) {
        for (int i = 0; i < grid.side; i++) {
            double at[3];
            for (int k = 0; k < 3; k++)
                at[k] = first[k] + grid.spacing_mm * (i * p->row[k] + j * p->column[k]);
            int value = wedge(series, grid.side, i, j);
            if (value < 0) {
                uint64_t bits = phantom_mix(noise, (uint64_t)(j * grid.side + i));
                int reach = noise_reach[series], spread = 2 * reach + 1;
                int first_die = (int)((bits & 0xffffffff) % (uint64_t)spread) - reach;
                int second_die = (int)((bits >> 32) % (uint64_t)spread) - reach;
                value = signal_at(p, series, at) + (first_die + second_die) / 2;
            }
            ret[j * grid.side + i] = (uint16_t)(value < 0 ? 0 : value > 4095 ? 4095 : value);
        }
    }
}
