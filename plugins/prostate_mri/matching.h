/* Which mark belongs to which true lesion: one to one, most hits first, then the largest overlap, then the
 * smallest distance. Categories and confidences play no part. */
#ifndef PROSTATE_MRI_MATCHING_H
#define PROSTATE_MRI_MATCHING_H

#include "model.h"

enum mark_role {
    ROLE_FALSE,    /* nothing is there */
    ROLE_HIT,      /* matched with a significant lesion */
    ROLE_NEAR,     /* just beyond the tolerance of a significant lesion that nothing else hit */
    ROLE_BENIGN,   /* matched with a true lesion that is not clinically significant */
    ROLE_DUPLICATE /* on a lesion that another mark already has */
};

struct matching {                       /* indices into the models' canonical order */
    int mark_of_lesion[MODEL_LESIONS];  /* hit or near mark, or -1 */
    bool hit[MODEL_LESIONS];            /* per lesion */
    enum mark_role role[MODEL_LESIONS]; /* per mark */
    int lesion_of_mark[MODEL_LESIONS];  /* -1 for ROLE_FALSE */
};

void matching_solve(const struct config_model *config, const struct truth_model *truth,
                    const struct answer_model *answer, struct matching *ret);

#endif
