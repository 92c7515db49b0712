/* Findings about marks that are no malignant finding's. They may cost points, so they come last. */
#include "session.h"
#include "common/fixed.h"

static const char *pitfall(int type)
{
    static const char *const words[] = {
        "A mass has convex borders in two projections; overlapping normal tissue has them in one at most.",
        "Calcifications that are round, rim-like, vascular or layered are benign; magnify before recalling.",
        "An asymmetry that spreads out in the other view is summation of normal tissue.",
        "Cooper's ligaments cross each other; in a distortion they run to one point.",
    };
    return words[type];
}

/* How far this mark goes: 0 a benign one, 1 follow-up, 2 work-up, or a claim of known cancer. */
static int reach(const struct session *session, int category)
{
    enum birads_action action = birads_action(category, session->config.recalls_3);
    return action == BIRADS_ROUTINE ? 0 : action == BIRADS_FOLLOW_UP ? 1 : 2;
}

static void false_mark(struct session *session, const struct finding_model *mark)
{
    static const int32_t costs[] = {0, COST_FALSE_FOLLOW_UP, COST_FALSE_RECALL};
    int how_far = reach(session, mark->birads);
    session->false_recalls += how_far == 2;
    session->false_follow_ups += how_far == 1;
    report_add(
        &session->report, PART_LOCALISATION,
        (overread_finding){
            .verdict = how_far ? OVERREAD_FALSE_POSITIVE : OVERREAD_NOTE,
            .code = how_far ? "false_positive" : "benign_mark",
            .points_milli = -report_cost(&session->report, costs[how_far]),
            .answer_pointer = session_pointer(session, mark),
            .text =
                how_far
                    ? report_printf(&session->report,
                                    "You called a %s %s %s, but the truth holds nothing there: a false "
                                    "positive.",
                                    model_type_words(mark->type), session_place(session, mark),
                                    birads_words(mark->birads))
                    : report_printf(&session->report,
                                    "You marked a %s %s as benign: nothing of importance is there, as you "
                                    "said.",
                                    model_type_words(mark->type), session_place(session, mark)),
            .rule = "A mark where the truth holds nothing costs 2 points in a category that leads to work-up "
                    "or claims known cancer, 1 in category 3 and none in category 2; a score does not fall "
                    "below 0.",
            .look_again = how_far ? pitfall(mark->type) : NULL,
        });
}

static void benign_mark(struct session *session, const struct finding_model *mark,
                        const struct finding_model *finding)
{
    static const int32_t costs[] = {0, COST_OVERCALLED_FOLLOW_UP, COST_OVERCALLED_RECALL};
    int called = reach(session, mark->birads), expert = reach(session, finding->birads);
    bool over = called > expert;
    session->false_recalls += over && called == 2;
    report_add(&session->report, PART_LOCALISATION,
               (overread_finding){
                   .verdict = over ? OVERREAD_FALSE_POSITIVE : OVERREAD_NOTE,
                   .code = over ? "over_called" : "benign_finding",
                   .points_milli = over ? -report_cost(&session->report, costs[called]) : 0,
                   .answer_pointer = session_pointer(session, mark),
                   .truth_pointer = session_pointer(session, finding),
                   .text = report_printf(&session->report,
                                         "Your mark lies on a benign %s %s%s%s. You called it %s, the expert "
                                         "%s.",
                                         model_type_words(finding->type), session_place(session, finding),
                                         finding->histology ? ", " : "",
                                         finding->histology ? finding->histology : "",
                                         birads_words(mark->birads), birads_words(finding->birads)),
                   .rule = "A mark on a benign finding is right as long as it leads to no more than the "
                           "expert's category does. Beyond it, work-up costs 1 point and follow-up half a "
                           "point.",
                   .look_again = over ? pitfall(finding->type) : NULL,
               });
}

static void duplicate_mark(struct session *session, const struct finding_model *mark,
                           const struct finding_model *finding)
{
    report_add(
        &session->report, PART_LOCALISATION,
        (overread_finding){
            .verdict = OVERREAD_NOTE,
            .code = "duplicate_mark",
            .answer_pointer = session_pointer(session, mark),
            .truth_pointer = session_pointer(session, finding),
            .text = report_printf(&session->report,
                                  "Another of your marks already counts for the finding %s; this one is "
                                  "left out.",
                                  session_place(session, finding)),
            .rule = "One mark per finding, with its place in each view; a further mark on it is neither "
                    "a hit nor a false positive.",
        });
}

void findings_of_other_marks(struct session *session)
{
    for (int j = 0; j < session->answer.count; j++) {
        const struct finding_model *mark = &session->answer.findings[j];
        int at = session->matching.finding_of[j];
        const struct finding_model *finding = at < 0 ? NULL : &session->truth.findings[at];
        if (!finding)
            false_mark(session, mark);
        else if (session->matching.role[j] == ROLE_BENIGN)
            benign_mark(session, mark, finding);
        else if (session->matching.role[j] == ROLE_DUPLICATE)
            duplicate_mark(session, mark, finding);
    }
}
