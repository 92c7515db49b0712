/* The sector map of PI-RADS v2.1: 38 sectors in the prostate, two seminal vesicles, the external sphincter.
 */
#ifndef PROSTATE_MRI_SECTORS_H
#define PROSTATE_MRI_SECTORS_H

#include <stdint.h>
#include "pirads.h"

#define SECTOR_COUNT 41

typedef uint64_t sector_set; /* bit i: sector i of the map, in the map's own order */

enum sector_side { SECTOR_LEFT, SECTOR_RIGHT, SECTOR_MIDLINE };

struct sector {
    const char *code; /* "PZpl-L-mid" */
    const char *name; /* "left posterolateral peripheral zone, mid-gland" */
    int zone;         /* enum pirads_zone, or -1 outside the prostate */
    enum sector_side side;
};

const struct sector *sector_at(int index);
int sector_find(const char *code); /* index, or -1 */
int sector_first(sector_set set);  /* lowest index, or -1 of an empty set */
int sector_size(sector_set set);   /* number of members */

#endif
