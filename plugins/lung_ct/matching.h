/* Which mark belongs to which true nodule: one to one, most hits first, then the smallest distance.
 * Categories play no part in the pairing. */
#ifndef LUNG_CT_MATCHING_H
#define LUNG_CT_MATCHING_H

#include "model.h"

enum lung_role {
    LUNG_ROLE_FALSE,    /* nothing is there */
    LUNG_ROLE_HIT,      /* matched with an actionable nodule (category 3 or more) */
    LUNG_ROLE_NEAR,     /* just beyond an actionable nodule that nothing else hit */
    LUNG_ROLE_MINOR,    /* matched with a nodule of category 1 or 2 */
    LUNG_ROLE_DUPLICATE /* on a nodule that another mark already has */
};

struct lung_matching {                 /* indices into the models' own order */
    int mark_of_nodule[LUNG_NODULES];  /* hit or near mark, or -1 */
    bool hit[LUNG_NODULES];            /* per nodule */
    enum lung_role role[LUNG_NODULES]; /* per mark */
    int nodule_of_mark[LUNG_NODULES];  /* -1 for LUNG_ROLE_FALSE */
};

void lung_matching_solve(const struct lung_config *config, const struct lung_case *truth,
                         const struct lung_case *answer, struct lung_matching *ret);

#endif
