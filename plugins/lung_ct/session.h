/* One grading under way, shared by the files that write its findings. */
#ifndef LUNG_CT_SESSION_H
#define LUNG_CT_SESSION_H

#include "common/report.h"
#include "matching.h"
#include "model.h"

/* Points, in thousandths. The maximum depends on the truth only, never on the answer. */
enum lung_points {
    LUNG_POINTS_CASE = 3000,
    LUNG_POINTS_CASE_BY_ONE = 1000,
    LUNG_POINTS_MANAGEMENT = 2000,
    LUNG_POINTS_MANAGEMENT_ALSO = 1000,   /* the other management that the table allows */
    LUNG_POINTS_MANAGEMENT_FOLLOWS = 500, /* wrong, but it follows from the stated category */
    LUNG_POINTS_S = 500,
    LUNG_POINTS_SPECIFICITY = 3000, /* a case without an actionable nodule: for no false call */
    LUNG_POINTS_FOUND = 3000,       /* per actionable nodule */
    LUNG_POINTS_DISMISSED = 1000,   /* marked, but called category 1 or 2 */
    LUNG_POINTS_NEAR = 1000,        /* marked just beside it */
    LUNG_POINTS_TYPE = 1000,
    LUNG_POINTS_TYPE_PARTLY = 500,
    LUNG_POINTS_SIZE = 500,
    LUNG_POINTS_SOLID = 500, /* a part-solid nodule whose component is known */
    LUNG_POINTS_STATUS = 500,
    LUNG_POINTS_CATEGORY = 1500,
    LUNG_POINTS_CATEGORY_BY_ONE = 500,
    LUNG_POINTS_RULE = 500,
    LUNG_COST_FALSE_SUSPICIOUS = 2000, /* a false positive of category 4 */
    LUNG_COST_FALSE_PROBABLY_BENIGN = 1000,
    LUNG_COST_OVERCALLED_SUSPICIOUS = 1000, /* a nodule of category 1 or 2 in truth, called 4 */
    LUNG_COST_OVERCALLED_PROBABLY_BENIGN = 500,
    LUNG_COST_NOT_HIGHEST = 500 /* the case category is not that of the highest own nodule */
};

struct lung_session {
    struct lung_config config;
    struct lung_case truth, answer;
    struct lung_matching matching;
    struct report report;
    int hits, misses, near_misses; /* of actionable nodules; a dismissed one is a miss */
    int false_calls;               /* marks of category 3 and more where the truth holds nothing actionable */
};

/* Hands a text through; a failed allocation is remembered and becomes "". */
const char *lung_keep(struct lung_session *session, const char *text);
const char *lung_pointer(struct lung_session *session, const struct lung_nodule *nodule);
const char *lung_place(struct lung_session *session,
                       const struct lung_nodule *nodule); /* "in the left lung" */
/* "8.0 mm", or "268 mm3 (8.0 mm)" of what was stated as a volume. */
const char *lung_size(struct lung_session *session, int mean, int volume);
const char *lung_look(struct lung_session *session, const struct lung_nodule *nodule);
const char *lung_match_rule(struct lung_session *session);
const char *lung_outcome(struct lung_session *session,
                         const struct lung_nodule *nodule); /* histology, follow-up */

/* nodule_findings.c */
void lung_findings_of_nodules(struct lung_session *session);
/* category_findings.c. expert: the true nodule, or NULL for a mark that is no hit; then it costs nothing. */
void lung_findings_of_category(struct lung_session *session, const struct lung_nodule *mark,
                               const struct lung_nodule *expert);
void lung_findings_of_rule(struct lung_session *session, const struct lung_nodule *mark,
                           const struct lung_nodule *expert);
/* mark_findings.c: marks that are nobody's hit. After all that earns points. */
void lung_findings_of_other_marks(struct lung_session *session);
/* case_findings.c */
void lung_findings_of_case(struct lung_session *session);
void lung_finding_of_consistency(struct lung_session *session); /* may cost points: last */
bool lung_findings_verdict(struct lung_session *session);

#endif
