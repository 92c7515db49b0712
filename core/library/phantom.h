/* The synthetic prostate: a body, a gland with its zones, a rectum, lesions at known places, seeded noise.
 * All of it follows from (seed, number); nothing else is read, so that a case is the same on every machine.
 * Millimetres in patient coordinates LPS: plus is left, posterior, superior. */
#ifndef OVERREAD_LIBRARY_PHANTOM_H
#define OVERREAD_LIBRARY_PHANTOM_H

#include <stdbool.h>
#include <stdint.h>

enum { PHANTOM_SLICES = 12, PHANTOM_LESIONS_MAX = 2, PHANTOM_SIDE_MAX = 128, PHANTOM_NUMBER_MAX = 999 };
#define PHANTOM_SLICE_MM 4.0

enum phantom_series { PHANTOM_T2W, PHANTOM_ADC, PHANTOM_HBV, PHANTOM_SERIES };
enum phantom_zone { PHANTOM_PZ, PHANTOM_TZ };

struct phantom_ellipsoid { /* its axes are L, P and S */
    double centre[3], semi_axes[3];
};

struct phantom_lesion {
    struct phantom_ellipsoid body;
    enum phantom_zone zone;
    char sector[16]; /* of the centre: "PZpl-L-mid" */
    int t2w, dwi;    /* sequence scores */
    bool dce;        /* early enhancement */
    int pirads;      /* what PI-RADS v2.1 makes of the scores */
    int isup;        /* 0: no cancer */
};

struct phantom {
    uint64_t seed;
    int number; /* from 1 */
    struct phantom_ellipsoid gland;
    double image_centre[3];
    double row[3], column[3]; /* directions of the image axes */
    int count;
    struct phantom_lesion lesion[PHANTOM_LESIONS_MAX];
    bool cspca;     /* a lesion of ISUP 2 or more */
    int difficulty; /* 1 to 5 */
    int age_years;
    double psa_ng_ml, volume_ml, psa_density; /* rounded to 1, 1 and 2 decimals */
};

/* Of any three consecutive numbers 3n+1 to 3n+3 one or two are without significant cancer. */
void phantom_make(uint64_t seed, int number, struct phantom *ret);

struct phantom_grid {
    int side; /* rows and columns */
    double spacing_mm;
};
struct phantom_grid phantom_grid(enum phantom_series series);
/* Centre of the first pixel of a slice; slices run from inferior to superior. */
void phantom_position(const struct phantom *phantom, enum phantom_series series, int slice, double ret[3]);
/* side * side stored values of 12 bits, row by row. */
void phantom_render(const struct phantom *phantom, enum phantom_series series, int slice, uint16_t *ret);
/* Reproducible bits for what else is made from a seed. */
uint64_t phantom_mix(uint64_t a, uint64_t b);

#endif
