/* Config, truth and answer as the plugin works with them: lengths in micrometres, marks and lesions in an
 * order that depends on what they are and not on where they stood. */
#ifndef PROSTATE_MRI_MODEL_H
#define PROSTATE_MRI_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include "geometry.h"
#include "overread/plugin.h"
#include "pirads.h"
#include "sectors.h"

#define MODEL_LESIONS 20 /* the schemas' maxItems */
#define MODEL_UNKNOWN (-1)
#define MODEL_LARGE (15 * GEOMETRY_MM) /* from here on a sequence that would score 4 scores 5 */

enum match_mode { MATCH_DISTANCE, MATCH_ELLIPSOID, MATCH_POINT };

enum asked { /* bits of config.ask */
             ASKED_MANAGEMENT = 1,
             ASKED_INDEX = 2,
             ASKED_SIZE = 4,
             ASKED_EPE = 8,
             ASKED_SVI = 16,
             ASKED_VOLUME = 32,
             ASKED_PSA_DENSITY = 64
};

struct config_model {
    enum match_mode mode;
    int64_t distance, near;    /* micrometres */
    bool pirads_v2_definition; /* csPCa also by volume > 0.5 ml or EPE */
    int max_false_positives;
    unsigned asked; /* bits of enum asked */
    int64_t bounds[3][2];
    bool has_gland;
    struct ellipsoid gland;
    int64_t gland_margin;
};

struct finding_model { /* what marks and true lesions have in common */
    uint32_t index;    /* where it stood: for pointers only */
    enum pirads_zone zone, basis;
    bool basis_stated;
    sector_set sectors; /* empty: not given */
    bool has_scores;
    struct pirads_scores scores;
    int category; /* 0: not given */
    int64_t size; /* greatest dimension; MODEL_UNKNOWN: not given */
    int epe, svi; /* 0, 1, MODEL_UNKNOWN */
    bool is_index;
    bool has_body;
    struct ellipsoid body; /* when has_body */
    bool has_target;
    struct point position; /* a mark's position; the point of a true lesion from which distance is measured */
};

struct lesion_model {
    struct finding_model common;
    const char *id;
    int isup;               /* 0 to 5, by the Gleason score where only that is given; MODEL_UNKNOWN */
    const char *gleason;    /* "3+4"; NULL: not given */
    bool without_histology; /* it says that there was none */
    int cspca_stated;       /* 0, 1, MODEL_UNKNOWN */
    int64_t volume;         /* microlitres */
    bool significant;
};

/* The ISUP grade group of a Gleason score; MODEL_UNKNOWN when it is none. */
int model_grade_group(const char *gleason);
/* The size that is stated, else the ellipsoid's longest diameter. */
int64_t model_greatest_dimension(const struct finding_model *lesion);
/* Significant, but of category 1 or 2 by the expert: histology found what MRI does not show. */
bool model_invisible(const struct lesion_model *lesion);

struct case_facts { /* answered or true, about the whole case */
    bool cspca;
    int management;      /* enum management, MODEL_UNKNOWN */
    int64_t volume;      /* gland, microlitres; MODEL_UNKNOWN */
    int64_t psa_density; /* millionths of ng/ml/ml; MODEL_UNKNOWN */
    int64_t psa;         /* millionths of ng/ml; MODEL_UNKNOWN */
    int64_t probability; /* millionths; MODEL_UNKNOWN */
    int category;        /* the expert's for the whole case; 0: not given */
    bool has_gland_size;
    int64_t gland_size[3]; /* micrometres */
};

enum management { MANAGEMENT_NO_BIOPSY, MANAGEMENT_TARGETED, MANAGEMENT_SYSTEMATIC, MANAGEMENT_BOTH };
const char *model_management_text(int management);
bool model_targets(int management); /* does it aim at a lesion? */

struct truth_model {
    struct case_facts facts;
    struct lesion_model lesions[MODEL_LESIONS]; /* significant ones first, then by place */
    int count, significant;
    int index_lesion; /* the index lesion's place in lesions, or -1 when truth leaves it open */
};

struct answer_model {
    struct case_facts facts;
    struct finding_model marks[MODEL_LESIONS]; /* by place */
    int count;
};

/* The expert's category of the whole case: as stated, else the highest of the lesions; 0 when neither is
 * known.
 */
int model_case_category(const struct truth_model *truth);
/* The reader's: the highest of the marks, 1 without any. */
int model_own_category(const struct answer_model *answer);

/* false: the value is not what the schema promises. */
bool model_config(const overread_value *value, struct config_model *ret);
bool model_truth(const overread_value *value, const struct config_model *config, struct truth_model *ret);
bool model_answer(const overread_value *value, struct answer_model *ret);

#endif
