/* Lung-RADS v2022 (ACR): the category of one nodule from what was seen and measured. Lengths are in tenths of
 * a millimetre, as Lung-RADS reports them. */
#ifndef LUNG_CT_LUNGRADS_H
#define LUNG_CT_LUNGRADS_H

#include <stdbool.h>

#define LUNG_UNKNOWN (-1)

enum lung_type {
    LUNG_SOLID,
    LUNG_PART_SOLID,
    LUNG_GROUND_GLASS,
    LUNG_JUXTAPLEURAL, /* solid, smooth, oval, lentiform or triangular */
    LUNG_AIRWAY,
    LUNG_CYST,
    LUNG_BENIGN /* with benign calcification or fat */
};
enum lung_status { LUNG_BASELINE, LUNG_NEW, LUNG_STABLE, LUNG_GROWING, LUNG_SLOWLY_GROWING };
enum lung_solid_status { LUNG_SOLID_UNCHANGED, LUNG_SOLID_NEW, LUNG_SOLID_GROWING };
enum lung_airway { LUNG_SUBSEGMENTAL, LUNG_SEGMENTAL_OR_PROXIMAL };
enum lung_cyst { LUNG_CYST_THIN, LUNG_CYST_THICK, LUNG_CYST_MULTILOCULAR };
enum lung_cyst_change {
    LUNG_CYST_SAME,
    LUNG_CYST_LARGER,
    LUNG_CYST_WALL,
    LUNG_CYST_BECAME_MULTILOCULAR,
    LUNG_CYST_MORE
};

/* In the order of suspicion; INCOMPLETE (category 0) stands outside it. */
enum lung_category {
    LUNG_NOT_DEFINED = 0,
    LUNG_1,
    LUNG_2,
    LUNG_3,
    LUNG_4A,
    LUNG_4B,
    LUNG_4X,
    LUNG_INCOMPLETE
};

enum lung_management {
    LUNG_LDCT_12_MONTHS,
    LUNG_LDCT_6_MONTHS,
    LUNG_LDCT_3_MONTHS,
    LUNG_PET_CT_OR_TISSUE,
    LUNG_COMPLETE_EXAMINATION
};

struct lung_reading {
    enum lung_type type;
    enum lung_status status;
    int mean, solid;                             /* mean diameters; solid: LUNG_UNKNOWN when not given */
    int prior_mean, prior_solid;                 /* at the prior examination; LUNG_UNKNOWN */
    int prior_category;                          /* LUNG_NOT_DEFINED: not given */
    int solid_status, airway, cyst, cyst_change; /* the enums, or LUNG_UNKNOWN */
    int interval_months;                         /* since the prior examination; LUNG_UNKNOWN */
    bool by_volume;                              /* one of the sizes was stated as a volume */
    bool suspicious;                             /* additional features: 4X */
    bool proven_benign;                          /* after work-up */
};

struct lung_ruling {
    enum lung_category
        category;     /* LUNG_NOT_DEFINED: the table has no row for it, or what it needs is unknown */
    const char *rule; /* the row in words, with its source */
};

/* The ACR states each threshold as a diameter and as the volume of that sphere, in whole mm3 (6 mm, 113 mm3).
 * A volume counts as the largest diameter whose sphere, so rounded, is not larger than it: then both sets of
 * thresholds are the same. 0 is 0. */
int lung_diameter_of_volume(int mm3);

struct lung_ruling lung_category_of(const struct lung_reading *reading);

/* Do the stated measurements contradict the stated status? Growth is more than 1.5 mm in mean diameter within
 * 12 months; of volumes nothing is said, as two of them differ by as much as they are measured twice. NULL,
 * or the contradiction in words. */
const char *lung_growth_objection(const struct lung_reading *reading);

/* Does this management follow from the category? large_solid: a solid nodule or component of 8 mm or more. */
bool lung_management_fits(enum lung_category category, bool large_solid, enum lung_management management);
bool lung_is_large_solid(const struct lung_reading *reading);

const char *lung_category_text(int category);     /* "4A"; "0" for LUNG_INCOMPLETE */
const char *lung_type_text(int type);             /* "part-solid nodule" */
const char *lung_status_text(int status);         /* "slowly growing" */
const char *lung_management_text(int management); /* "LDCT in 6 months" */

#endif
