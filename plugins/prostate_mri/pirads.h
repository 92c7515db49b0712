/* PI-RADS v2.1: the category of one lesion from its sequence scores. */
#ifndef PROSTATE_MRI_PIRADS_H
#define PROSTATE_MRI_PIRADS_H

#include <stdbool.h>

enum pirads_zone { PIRADS_PZ, PIRADS_TZ, PIRADS_CZ, PIRADS_AFS };
enum pirads_dce { PIRADS_DCE_NEGATIVE, PIRADS_DCE_POSITIVE, PIRADS_DCE_NOT_DONE };

#define PIRADS_SCORE_X 0 /* the sequence is inadequate */

struct pirads_scores {
    int t2w, dwi; /* 1 to 5, or PIRADS_SCORE_X */
    enum pirads_dce dce;
};

struct pirads_ruling {
    int category;     /* 1 to 5; 0: not defined */
    int row;          /* rows of the tables, numbered from 1: equal rows were reached by the same reasoning */
    const char *rule; /* the row in words, with its source */
};

/* Tables exist for the peripheral and the transition zone. A lesion of the central zone or the anterior
 * fibromuscular stroma is judged by the zone that it seems to come from: `basis`, which is PIRADS_PZ or
 * PIRADS_TZ. */
struct pirads_ruling pirads_category(enum pirads_zone basis, struct pirads_scores scores);

/* The basis where the reader states none: the zone itself, PZ for CZ, TZ for AFS. */
enum pirads_zone pirads_default_basis(enum pirads_zone zone);

/* T2W decides in the transition zone, and where DWI is inadequate; DWI in the peripheral zone. */
bool pirads_t2w_decides(enum pirads_zone basis, struct pirads_scores scores);
/* The score of the sequence that decides. */
int pirads_deciding_score(enum pirads_zone basis, struct pirads_scores scores);
/* "DWI 3, upgraded since DCE is positive": how a row that upgrades came to its category; NULL for the others.
 */
const char *pirads_upgrade(int row);

/* Which score contradicts the size. 5 is the descriptor of 4 with 15 mm or more, or with definite
 * extraprostatic extension or invasive behaviour. `small`: known to be neither; `large`: one of both. Only
 * scores that decide the category are looked at. Returns the sequence, or NULL; *ret_score is its score. */
const char *pirads_score_against_size(enum pirads_zone basis, struct pirads_scores scores, bool small,
                                      bool large, int *ret_score);

const char *pirads_dominant_sequence(enum pirads_zone basis); /* "DWI" or "T2W" */
const char *pirads_zone_code(enum pirads_zone zone);          /* "PZ" */
const char *pirads_zone_name(enum pirads_zone zone);          /* "peripheral zone" */
const char *pirads_score_text(int score);                     /* "1" to "5", "X" */
const char *pirads_dce_text(enum pirads_dce dce);             /* "+", "-", "not done" */

#endif
