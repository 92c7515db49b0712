/* One grading under way, shared by the files that write its findings. */
#ifndef PROSTATE_MRI_SESSION_H
#define PROSTATE_MRI_SESSION_H

#include "common/report.h"
#include "matching.h"
#include "model.h"

/* Points, in thousandths. The maximum depends on the truth and the config only, never on the answer. */
enum points {
    POINTS_DECISION = 3000,
    POINTS_SPECIFICITY = 3000,  /* a case without csPCa: for leaving the gland alone */
    POINTS_FOUND = 3000,        /* per significant lesion */
    POINTS_DISMISSED = 1000,    /* marked, but called category 1 or 2 */
    POINTS_MISLOCALISED = 1000, /* marked just beside it */
    POINTS_ZONE = 500,
    POINTS_SECTORS = 500,
    POINTS_CATEGORY = 1500,
    POINTS_CATEGORY_BY_ONE = 500,
    POINTS_RULE = 500,
    POINTS_RULE_PARTLY = 250,
    POINTS_ASKED = 500, /* each of index, size, EPE, SVI, volume, PSA density */
    POINTS_MANAGEMENT = 1000,
    POINTS_MANAGEMENT_PARTLY = 500,
    COST_FALSE_SUSPICIOUS = 2000, /* a false positive of category 4 or 5 */
    COST_FALSE_EQUIVOCAL = 1000,  /* of category 3 */
    COST_OVERCALLED_SUSPICIOUS =
        1000, /* a benign finding of the truth, called 4 or 5 beyond the expert's category */
    COST_OVERCALLED_EQUIVOCAL = 500
};

enum { TARGET_CATEGORY = 3, SUSPICIOUS_CATEGORY = 4 };

struct session {
    struct config_model config;
    struct truth_model truth;
    struct answer_model answer;
    struct matching matching;
    struct report report;
    const char *places[MODEL_LESIONS], *looks[MODEL_LESIONS]; /* by a lesion's index, once written */
    int hits, misses, near_misses; /* of significant lesions; a dismissed one is a miss */
    int false_targets;             /* false positives of category 3 and more */
    int false_suspicious; /* false calls of category 4 and more, over-called benign findings included */
};

const char *session_mark_pointer(const struct finding_model *mark);
const char *session_lesion_pointer(const struct lesion_model *lesion);
/* A true lesion's place: "in the left posterolateral peripheral zone in the mid-gland (PZpl-L-mid)"; by zone
 * and side without sectors */
const char *session_place(struct session *session, const struct lesion_model *lesion);
/* Where a mark lies by its own coordinates, whatever the reader calls the place. */
const char *session_mark_place(struct session *session, const struct finding_model *mark);
/* Which sequence to look at again, and where: at a true lesion, or at a mark. */
const char *session_look(struct session *session, const struct lesion_model *lesion);
const char *session_look_at_mark(struct session *session, const struct finding_model *mark);
const char *session_match_rule(struct session *session, const struct lesion_model *lesion);
bool session_called_over(const struct session *session,
                         int mark); /* a mark above a benign finding's true category */
/* The reader's scores define no category, and either the expert's do not, or T2W and DWI are the same: what
 * is called is not held against the reader then, as far as the scores leave it open. A cancer that was called
 * 1 or 2 is dismissed all the same. */
bool session_category_open(const struct lesion_model *lesion, const struct finding_model *mark);
/* Right for all the points, partly right for some, wrong for none. */
uint32_t session_verdict(int32_t points, int32_t worth);
/* There is cancer, and the expert called all of it 1 or 2: nobody can be asked to mark it. */
bool session_only_invisible(const struct session *session);
extern const char *const session_look_beyond_mri; /* what to weigh where MRI shows nothing */
/* Adds a finding about a lesion. A cancer that the expert did not see either carries no points: what is wrong
 * about it is only a note. */
void session_add(struct session *session, const struct lesion_model *lesion, enum report_part part,
                 overread_finding finding);

/* lesion_findings.c */
void findings_of_lesions(struct session *session);
/* mark_findings.c: marks that are nobody's hit. After all that earns points. */
void findings_of_other_marks(struct session *session);
/* Is the stated category the one that the mark's own scores give? Adds one finding, or none when it only
 * could be a note and all is well. expert: the true lesion's, or NULL for a mark that is no hit; then it
 * costs nothing. */
void findings_of_rule(struct session *session, const struct finding_model *mark,
                      const struct lesion_model *expert);
/* case_findings.c */
void findings_of_decision(struct session *session);
void findings_asked_of_lesion(struct session *session, const struct lesion_model *lesion,
                              const struct finding_model *mark);
int32_t points_asked_of_lesion(const struct session *session, const struct lesion_model *lesion);
void findings_of_case(struct session *session);
/* contradiction_findings.c: where the reader's own words disagree with each other. Notes, without points. */
void findings_of_contradictions(struct session *session);
bool findings_verdict(
    struct session *session); /* does the read count as correct? adds the note that says why */

#endif
