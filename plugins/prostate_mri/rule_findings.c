/* Does the stated category follow from the reader's own sequence scores, and by the right row of the table?
 */
#include "session.h"

struct judgement {
    const char *code, *text, *look_again;
    uint32_t verdict;
    int32_t points;
};

static const char *basis_words(struct session *session, const struct finding_model *mark)
{
    if (mark->zone == PIRADS_PZ || mark->zone == PIRADS_TZ)
        return "";
    return report_printf(&session->report, " (a lesion of the %s, judged as %s %s)",
                         pirads_zone_name(mark->zone), pirads_zone_code(mark->basis),
                         mark->basis_stated ? "as you stated" : "since no origin was stated");
}

static enum pirads_zone other_basis(enum pirads_zone basis)
{
    return basis == PIRADS_TZ ? PIRADS_PZ : PIRADS_TZ;
}

static struct judgement mismatch(struct session *session, const struct finding_model *mark,
                                 const struct lesion_model *expert, int given)
{
    enum pirads_zone other = other_basis(mark->basis);
    bool by_other = pirads_category(other, mark->scores).category == mark->category;
    bool right = expert && expert->common.category == mark->category;
    const char *scores = report_printf(
        &session->report, "T2W %s, DWI %s, DCE %s%s", pirads_score_text(mark->scores.t2w),
        pirads_score_text(mark->scores.dwi), pirads_dce_text(mark->scores.dce), basis_words(session, mark));
    struct judgement ret = {.verdict = OVERREAD_PARTIAL, .look_again = session_look(session, mark)};
    const char *zone = pirads_zone_code(mark->basis), *dominant = pirads_dominant_sequence(mark->basis);
    if (right) {
        ret.code = "right_category_wrong_rule";
        ret.text = report_printf(
            &session->report,
            "PI-RADS %d is right, but your own scores (%s) give %d by the rule of the %s, where "
            "%s is dominant.%s",
            mark->category, scores, given, zone, dominant,
            by_other ? " You used the rule of the other zone." : "");
    } else if (by_other) {
        ret.code = "wrong_dominant_sequence";
        ret.text =
            report_printf(&session->report,
                          "You let %s decide (%s gives %d there), but in the %s the dominant sequence is %s: "
                          "your scores give %d.",
                          pirads_dominant_sequence(other), scores, mark->category, zone, dominant, given);
    } else {
        ret.code = "category_rule_mismatch";
        ret.text = report_printf(
            &session->report,
            "Your sequence scores are inconsistent with the category: %s gives PI-RADS %d in the "
            "%s, you called %d.",
            scores, given, zone, mark->category);
    }
    return ret;
}

/* The category follows from the scores; but the expert may have reached it by another zone or another row. */
static struct judgement other_way(struct session *session, const struct finding_model *mark,
                                  const struct lesion_model *expert, const struct pirads_ruling *ruling)
{
    struct judgement ret = {.code = "rule_right", .verdict = OVERREAD_HIT, .points = POINTS_RULE};
    if (expert && expert->common.category == mark->category) {
        struct pirads_ruling own = expert->common.has_scores
                                       ? pirads_category(expert->common.basis, expert->common.scores)
                                       : *ruling;
        if (expert->common.basis != mark->basis || own.row != ruling->row) {
            ret.code = "right_category_wrong_rule";
            ret.verdict = OVERREAD_PARTIAL;
            ret.points = POINTS_RULE_OTHER_ROW;
            ret.text = report_printf(&session->report,
                                     "PI-RADS %d is right, but you came to it another way than the expert, "
                                     "who judged by the %s%s%s",
                                     mark->category, pirads_zone_name(expert->common.basis),
                                     expert->common.has_scores ? ": " : ".",
                                     expert->common.has_scores ? own.rule : "");
            ret.look_again = session_look(session, &expert->common);
            return ret;
        }
    }
    ret.text = report_printf(&session->report, "Your category follows from your own sequence scores%s.",
                             basis_words(session, mark));
    return ret;
}

void findings_of_rule(struct session *session, const struct finding_model *mark,
                      const struct lesion_model *expert)
{
    struct pirads_ruling ruling = pirads_category(mark->basis, mark->scores);
    struct judgement judgement;
    if (ruling.category == 0) {
        judgement = (struct judgement){
            .code = "category_not_defined",
            .verdict = OVERREAD_NOTE,
            .points = POINTS_RULE,
            .text = report_printf(&session->report,
                                  "For T2W %s, DWI %s, DCE %s (X: inadequate) the category is "
                                  "not defined, so your PI-RADS %d is not held against you.",
                                  pirads_score_text(mark->scores.t2w), pirads_score_text(mark->scores.dwi),
                                  pirads_dce_text(mark->scores.dce), mark->category)};
    } else if (ruling.category != mark->category) {
        judgement = mismatch(session, mark, expert, ruling.category);
    } else {
        judgement = other_way(session, mark, expert, &ruling);
        if (!expert)
            return;
    }
    report_add(&session->report, PART_CHARACTERISATION,
               (overread_finding){
                   .verdict = expert ? judgement.verdict : OVERREAD_NOTE,
                   .code = judgement.code,
                   .points_milli = expert ? judgement.points : 0,
                   .max_points_milli = expert ? POINTS_RULE : 0,
                   .answer_pointer = session_mark_pointer(session, mark),
                   .truth_pointer = expert ? session_lesion_pointer(session, expert) : NULL,
                   .text = judgement.text,
                   .rule = ruling.rule,
                   .look_again = judgement.look_again,
               });
}
