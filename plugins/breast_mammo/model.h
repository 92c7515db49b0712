/* Config, truth and answer as the plugin works with them: lengths in micrometres, findings in an order that
 * depends on what they are and not on where they stood. */
#ifndef BREAST_MAMMO_MODEL_H
#define BREAST_MAMMO_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include "birads.h"
#include "overread/plugin.h"

#define MODEL_FINDINGS 20 /* the schemas' maxItems */
#define MODEL_UNKNOWN (-1)
#define MODEL_MM INT64_C(1000) /* micrometres */

enum { SIDES = 2, VIEWS = 8, AXES = 2 }; /* sides: left, right of the patient */

extern const char *const model_side_keys[SIDES];  /* "L", "R" */
extern const char *const model_side_words[SIDES]; /* "left", "right" */
extern const char *const model_view_keys[VIEWS];  /* "CC", "MLO", ... */
const char *model_type_words(int type);           /* "mass", ... */

/* What the images are of. Unstated: configs of before there was a setting, which are graded as they were. */
enum setting { SETTING_UNSTATED, SETTING_SCREENING, SETTING_DIAGNOSTIC };

enum match_mode { MATCH_DISTANCE, MATCH_ELLIPSE };

enum asked { /* bits of config.ask */
             ASKED_DENSITY = 1,
             ASKED_SIZE = 2
};

struct view_model {
    bool there;
    int64_t size[AXES];    /* width, height */
    int64_t pixels[AXES];  /* columns, rows */
    bool chest_wall_right; /* which edge of the image the chest wall is at */
};

struct config_model {
    enum match_mode mode;
    enum setting setting;
    int64_t distance, near; /* micrometres */
    bool recalls_3;         /* category 3 at screening is recalled too */
    int max_false_positives;
    unsigned asked; /* bits of enum asked */
    struct view_model views[SIDES][VIEWS];
};

struct place { /* a finding in one view: from the left and the upper edge of the image */
    bool there;
    int64_t at[AXES], semi[AXES]; /* semi-axes along the image's edges: of the truth only */
};

struct finding_model { /* a mark, or a finding of the truth */
    uint32_t index;    /* where it stood: for pointers only */
    int side, type, birads;
    int64_t size; /* greatest dimension; MODEL_UNKNOWN: not given */
    struct place in[VIEWS];
    bool malignant;             /* of the truth only, as what follows */
    const char *id, *histology; /* histology: NULL when not given */
};

struct breast_model {
    bool there;
    int birads;
    int density; /* 0 to 3 for a to d, MODEL_UNKNOWN */
};

struct read_model { /* truth or answer */
    struct breast_model breasts[SIDES];
    struct finding_model findings[MODEL_FINDINGS]; /* malignant ones first, then by place */
    int count, malignant;
    bool recall;
    bool cancer;         /* the truth's statement */
    int64_t probability; /* of malignancy, millionths; MODEL_UNKNOWN */
};

/* false: the value is not what the schema promises. */
bool model_config(const overread_value *value, struct config_model *ret);
bool model_truth(const overread_value *value, struct read_model *ret);
bool model_answer(const overread_value *value, struct read_model *ret);

bool model_has_breast(const struct config_model *config, int side);
/* The category that the most abnormal finding of this breast gives; 1 without a finding. */
int model_worst_finding(const struct read_model *read, int side);
/* The category of the more abnormal breast; 1 without a breast. */
int model_worst_breast(const struct read_model *read);
bool model_recalls(const struct config_model *config, int category);
/* Does either breast's category recall? */
bool model_case_recalls(const struct config_model *config, const struct read_model *read);

#endif
