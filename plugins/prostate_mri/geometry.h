/* Points and ellipsoids in patient coordinates (LPS: +left, +posterior, +superior), in whole micrometres.
 * Integer arithmetic throughout: the same numbers give the same decision on every machine and in every
 * rounding mode. Coordinates stay within 1 m of the origin and semi-axes within 0.5 to 100 mm, as the schemas
 * demand. */
#ifndef PROSTATE_MRI_GEOMETRY_H
#define PROSTATE_MRI_GEOMETRY_H

#include <stdbool.h>
#include <stdint.h>

#define GEOMETRY_MM INT64_C(1000)      /* micrometres */
#define GEOMETRY_UNIT 1000000          /* length of a unit vector's components: millionths */
#define GEOMETRY_OVERLAP_WHOLE 1000000 /* overlap is told in millionths */

struct point {
    int64_t at[3]; /* L, P, S */
};

struct ellipsoid {
    struct point centre;
    int64_t semi[3];    /* micrometres */
    int64_t axis[3][3]; /* rows: unit vectors in millionths */
};

/* Rounded down to a micrometre. */
int64_t geometry_distance(const struct point *a, const struct point *b);

/* Is the point inside the ellipsoid whose semi-axes are `factor` times as long? The surface counts as inside.
 */
bool ellipsoid_contains(const struct ellipsoid *ellipsoid, const struct point *point, unsigned factor);

/* How far the point lies outside, measured along the line to the centre; 0 inside. */
int64_t ellipsoid_distance_outside(const struct ellipsoid *ellipsoid, const struct point *point);

/* Half the length of the bounding box along L, P or S (0, 1, 2). */
int64_t ellipsoid_extent(const struct ellipsoid *ellipsoid, int direction);

/* Intersection over union, counted on a grid of 32 x 32 x 32 points laid over both. */
int32_t ellipsoid_overlap(const struct ellipsoid *a, const struct ellipsoid *b);

int64_t ellipsoid_volume_microlitres(const struct ellipsoid *ellipsoid);

/* Are the three axes of length 1 and at right angles, to a thousandth? */
bool ellipsoid_axes_orthonormal(const struct ellipsoid *ellipsoid);

#endif
