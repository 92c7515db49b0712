/* One grading under way, shared by the files that write its findings. */
#ifndef BREAST_MAMMO_SESSION_H
#define BREAST_MAMMO_SESSION_H

#include "common/report.h"
#include "matching.h"
#include "model.h"

/* Points, in thousandths. The maximum depends on the truth and the config only, never on the answer. */
enum points {
    POINTS_DECISION = 3000,    /* recall or not */
    POINTS_SPECIFICITY = 3000, /* a case without cancer: for making no false call */
    POINTS_FOUND = 3000,       /* per malignant finding */
    POINTS_DISMISSED = 1000,   /* marked, but in a category that leads to no work-up */
    POINTS_MISLOCALISED = 1000,
    POINTS_WRONG_VIEW = 1000,
    POINTS_SECOND_VIEW = 1000, /* hit in two views, where the finding is seen in two */
    POINTS_TYPE = 500,
    POINTS_CATEGORY = 1500, /* of a malignant finding, and of each breast */
    POINTS_CATEGORY_SAME_ACTION = 1000,
    POINTS_CATEGORY_BY_ONE = 500,
    POINTS_CONSISTENT = 500,       /* breast from findings, and recall from breasts: each */
    POINTS_ASKED = 500,            /* density of each breast, size of each malignant finding */
    COST_FALSE_RECALL = 2000,      /* a mark on nothing, in a category that leads to work-up, or 6 */
    COST_FALSE_FOLLOW_UP = 1000,   /* in category 3 */
    COST_OVERCALLED_RECALL = 1000, /* a benign finding of the truth, beyond the expert's category */
    COST_OVERCALLED_FOLLOW_UP = 500
};

struct session {
    struct config_model config;
    struct read_model truth, answer;
    struct matching matching;
    struct report report;
    int hits, misses; /* of malignant findings; a dismissed one is a miss */
    int two_view_hits;
    int false_recalls;    /* marks on nothing that lead to work-up, and benign findings called up to it */
    int false_follow_ups; /* marks on nothing in category 3 */
};

/* Category 0 for what is 4 or 5 after the work-up: at screening that is what the Atlas asks for. */
extern const char *const session_screening_rule;
bool session_is_screening_0(const struct session *session, int called, int expert);
/* Is a category right? The expert's own is, and so is 0 at screening. */
bool session_is_category_right(const struct session *session, int called, int expert);
/* Points for a category against the expert's, and the code of the outcome. */
int32_t session_category_points(const struct session *session, int called, int expert);
const char *session_category_code(const struct session *session, int called, int expert);
/* Does a mark of this category act upon the finding as much as the expert did? */
bool session_acts(const struct session *session, int called, int expert);

const char *session_pointer(struct session *session, const struct finding_model *finding);
const char *session_breast_pointer(struct session *session, const struct read_model *read, int side);
/* "in the left breast (CC 62, 90 mm; MLO 58, 104 mm)" */
const char *session_place(struct session *session, const struct finding_model *finding);
const char *session_match_rule(struct session *session);

/* malignant_findings.c */
void findings_of_malignancies(struct session *session);
/* mark_findings.c: marks that are no malignant finding's. After all that earns points. */
void findings_of_other_marks(struct session *session);
/* case_findings.c */
void findings_of_decision(struct session *session);
/* breast_findings.c */
void findings_of_breasts(struct session *session);
void findings_of_consistency(struct session *session);
/* case_findings.c: does the read count as correct? adds the note that says why */
bool findings_verdict(struct session *session);

#endif
