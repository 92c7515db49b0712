/* Which mark belongs to which finding of the truth: one to one, most hits first, then the most views in
 * agreement, then the smallest distance. Categories and types play no part. */
#ifndef BREAST_MAMMO_MATCHING_H
#define BREAST_MAMMO_MATCHING_H

#include "model.h"

enum mark_role {
    ROLE_FALSE,      /* nothing is there */
    ROLE_HIT,        /* matched with a malignant finding in at least one view */
    ROLE_BENIGN,     /* matched with a finding of the truth that is not malignant */
    ROLE_DUPLICATE,  /* on a finding that another mark already has */
    ROLE_NEAR,       /* just beside a malignant finding that nothing hit */
    ROLE_WRONG_VIEW, /* its place in one view, stated for another view of the same breast */
    ROLE_MIRROR      /* its place, in the other breast */
};

struct matching {                        /* indices into the models' canonical order */
    int mark_of[MODEL_FINDINGS];         /* per finding of the truth, or -1 */
    enum mark_role role[MODEL_FINDINGS]; /* per mark */
    int finding_of[MODEL_FINDINGS];      /* per mark; -1 for ROLE_FALSE */
};

void matching_solve(const struct config_model *config, const struct read_model *truth,
                    const struct read_model *answer, struct matching *ret);

/* Rounded down to a micrometre. */
int64_t matching_distance(const int64_t a[AXES], const int64_t b[AXES]);
/* Is the mark's position in this view a hit of the finding? Both are of one breast. */
bool matching_agrees(const struct config_model *config, const struct finding_model *finding,
                     const struct finding_model *mark, int view);
/* In how many views; *ret_distance: the mean distance in them, or the smallest of all common views when there
 * is none; MODEL_UNKNOWN without a common view. */
int matching_views(const struct config_model *config, const struct finding_model *finding,
                   const struct finding_model *mark, int64_t *ret_distance);

#endif
