/* Config, truth and answer as the plugin works with them: positions in micrometres (L, P, S), diameters in
 * tenths of a millimetre, nodules in an order that depends on what they are and not on where they stood. */
#ifndef LUNG_CT_MODEL_H
#define LUNG_CT_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include "common/assign.h"
#include "lungrads.h"
#include "overread/plugin.h"

#define LUNG_NODULES ASSIGN_MAX /* the schemas' maxItems */
#define LUNG_MM INT64_C(1000)   /* micrometres */

struct lung_body { /* an ellipsoid whose axes are L, P and S */
    int64_t centre[3], semi[3];
};

struct lung_config {
    bool by_distance;       /* else: inside the nodule */
    int64_t distance, near; /* micrometres */
    int64_t bounds[3][2];
    int lung_count;
    struct lung_body lungs[2];
    int interval_months; /* LUNG_UNKNOWN: no prior examination */
    int size_tolerance;  /* tenths of a millimetre */
    int max_false_positives;
};

enum { LUNG_KEYS = 20 };

struct lung_nodule {
    uint32_t index;        /* where it stood: for pointers only */
    struct lung_body body; /* a mark has only a centre */
    struct lung_reading reading;
    int volume, solid_volume; /* mm3, where the size was stated so; LUNG_UNKNOWN */
    const char
        *stated_twice; /* "/volume_mm3": a size that is stated as diameter too, which is what counts; NULL */
    enum lung_category category;
    int64_t key[LUNG_KEYS];                 /* all that tells two nodules apart, in the order of sorting */
    const char *id, *histology, *follow_up; /* of the truth; NULL */
    int malignant;                          /* 0, 1, LUNG_UNKNOWN */
    int long_axis, short_axis;              /* LUNG_UNKNOWN */
};

struct lung_case {
    struct lung_nodule nodules[LUNG_NODULES]; /* of a truth: actionable ones first */
    int count, actionable;
    enum lung_category category;
    enum lung_management management;
    int s_modifier; /* 0, 1, LUNG_UNKNOWN */
};

/* false: the value is not what the schema promises. */
bool lung_model_config(const overread_value *value, struct lung_config *ret);
bool lung_model_truth(const overread_value *value, const struct lung_config *config, struct lung_case *ret);
bool lung_model_answer(const overread_value *value, const struct lung_config *config, struct lung_case *ret);

int64_t lung_distance(const int64_t a[3], const int64_t b[3]);
/* Inside the body with its semi-axes `factor` times as long and `margin` added to them? The surface is
 * inside. */
bool lung_body_contains(const struct lung_body *body, const int64_t point[3], int factor, int64_t margin);
/* In one of the config's lungs or within 10 mm of it? true where no lungs are given. */
bool lung_in_lungs(const struct lung_config *config, const int64_t point[3]);

#endif
