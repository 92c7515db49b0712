/* Does the stated category follow from the reader's own sequence scores, and by the right row of the table?
 */
#include "session.h"
#include "common/fixed.h"

struct judgement {
    const char *code, *text, *rule, *look_again;
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
    struct judgement ret = {.look_again = session_look_at_mark(session, mark)};
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

/* What the reader's scores give by the zone that decides. */
static const char *by_true_zone(struct session *session, const struct finding_model *mark,
                                const struct finding_model *expert)
{
    int given = pirads_category(expert->basis, mark->scores).category;
    const char *theirs = !expert->category ? ""
                         : given == expert->category
                             ? ", as the expert has it"
                             : report_printf(&session->report, "; the expert called %d", expert->category);
    if (!given)
        return report_printf(&session->report, "define no category there%s", theirs);
    return report_printf(&session->report, "give %d there%s", given, theirs);
}

/* Another zone and with it another dominant sequence: however well the category follows, it follows by a rule
 * that does not hold for this lesion. */
static struct judgement wrong_zones_rule(struct session *session, const struct finding_model *mark,
                                         const struct lesion_model *lesion)
{
    const struct finding_model *expert = &lesion->common;
    return (struct judgement){
        .code = "wrong_dominant_sequence",
        .rule = pirads_category(expert->basis, mark->scores).rule,
        .text = report_printf(
            &session->report,
            "You let %s decide, the dominant sequence of the %s, and came to %d. The lesion is judged by the "
            "%s, where %s is dominant: your own scores (T2W %s, DWI %s, DCE %s) %s.",
            pirads_dominant_sequence(mark->basis), pirads_zone_name(mark->basis), mark->category,
            pirads_zone_name(expert->basis), pirads_dominant_sequence(expert->basis),
            pirads_score_text(mark->scores.t2w), pirads_score_text(mark->scores.dwi),
            pirads_dce_text(mark->scores.dce), by_true_zone(session, mark, expert)),
        .look_again = session_look(session, lesion),
    };
}

/* The category follows from the scores; but the expert may have reached it by another zone or another row. */
static struct judgement other_way(struct session *session, const struct finding_model *mark,
                                  const struct lesion_model *expert, const struct pirads_ruling *ruling)
{
    struct judgement ret = {.code = "rule_right", .points = POINTS_RULE};
    bool same_zone = !expert || expert->common.basis == mark->basis;
    if (!same_zone && expert->common.category != mark->category)
        return wrong_zones_rule(session, mark, expert);
    if (expert && expert->common.category == mark->category) {
        struct pirads_ruling own = expert->common.has_scores
                                       ? pirads_category(expert->common.basis, expert->common.scores)
                                       : *ruling;
        if (!same_zone || own.row != ruling->row) {
            ret.code = "right_category_wrong_rule";
            ret.points = same_zone ? POINTS_RULE_PARTLY : 0;
            ret.text = report_printf(&session->report,
                                     "PI-RADS %d is right, but you came to it another way than the expert, "
                                     "who judged by the %s%s%s",
                                     mark->category, pirads_zone_name(expert->common.basis),
                                     expert->common.has_scores ? ": " : ".",
                                     expert->common.has_scores ? own.rule : "");
            ret.look_again = session_look(session, expert);
            return ret;
        }
    }
    ret.text = report_printf(&session->report, "Your category follows from your own sequence scores%s.",
                             basis_words(session, mark));
    return ret;
}

static struct judgement not_defined(struct session *session, const struct finding_model *mark,
                                    const struct lesion_model *expert)
{
    bool same_zone = !expert || expert->common.basis == mark->basis;
    const char *zone =
        same_zone ? ""
                  : report_printf(&session->report, " The lesion is judged by the %s, where %s is dominant.",
                                  pirads_zone_name(expert->common.basis),
                                  pirads_dominant_sequence(expert->common.basis));
    return (struct judgement){
        .code = "category_not_defined",
        .points = same_zone ? POINTS_RULE : 0,
        .text = report_printf(
            &session->report,
            "For T2W %s, DWI %s, DCE %s (X: inadequate) the category is not defined, so your PI-RADS %d "
            "%s.%s",
            pirads_score_text(mark->scores.t2w), pirads_score_text(mark->scores.dwi),
            pirads_dce_text(mark->scores.dce), mark->category,
            expert && session_category_open(expert, mark) ? "is not held against you"
                                                          : "cannot be checked against your scores",
            zone),
        .look_again = same_zone ? NULL : session_look(session, expert),
    };
}

/* --- The size that the reader states himself
 * ------------------------------------------------------------------ */

/* A score of 4 or 5 that the reader's own size, extension and invasion contradict. No text: there is none. As
 * long as extension or invasion may still be, a small 5 costs nothing. */
static struct judgement against_size(struct session *session, const struct finding_model *mark)
{
    bool invasive = mark->epe == 1 || mark->svi == 1, known = mark->size != MODEL_UNKNOWN;
    bool small = known && mark->size < MODEL_LARGE && !invasive;
    bool large = (known && mark->size >= MODEL_LARGE) || invasive;
    int score;
    const char *sequence = pirads_score_against_size(mark->basis, mark->scores, small, large, &score);
    if (!sequence)
        return (struct judgement){0};
    bool denied = mark->epe == 0 && mark->svi == 0;
    const char *measured = known ? report_printf(&session->report, "measured %s mm%s",
                                                 fixed_text(mark->size, 3, 1).text, invasive ? " and " : "")
                                 : "";
    const char *spread = mark->epe == 1 ? "reported extraprostatic extension"
                         : invasive     ? "reported seminal vesicle invasion"
                                        : "";
    return (struct judgement){
        .code = "score_contradicts_size",
        .points = large || denied ? POINTS_RULE_PARTLY : POINTS_RULE,
        .text = report_printf(&session->report, "You scored %s %d, but %s%s: %s", sequence, score, measured,
                              spread,
                              score == 5 ? "5 needs 15 mm or more, or definite extraprostatic extension or "
                                           "invasive behaviour; else it is 4."
                                         : "that makes it 5."),
        .rule =
            "PI-RADS v2.1, sequence scores: 5 is the descriptor of 4 with a greatest dimension of 15 mm or "
            "more, or with definite extraprostatic extension or invasive behaviour.",
        .look_again = pirads_t2w_decides(mark->basis, mark->scores)
                          ? "Measure the greatest dimension on T2W once more, and follow the lesion's border "
                            "to the capsule and the seminal vesicles."
                          : "Measure the greatest dimension on ADC once more, and follow the capsule beside "
                            "the lesion on T2W.",
    };
}

/* Where the expert gave the same deciding score, it is not what costs points. */
static bool scored_as_the_expert(const struct finding_model *mark, const struct finding_model *expert)
{
    return expert->has_scores && pirads_deciding_score(expert->basis, expert->scores) ==
                                     pirads_deciding_score(mark->basis, mark->scores);
}

static void add_judgement(struct session *session, const struct finding_model *mark,
                          const struct lesion_model *expert, const struct judgement *judgement, bool counts)
{
    overread_finding finding = {
        .verdict = OVERREAD_NOTE,
        .code = judgement->code,
        .answer_pointer = session_mark_pointer(mark),
        .truth_pointer = expert ? session_lesion_pointer(expert) : NULL,
        .text = judgement->text,
        .rule = judgement->rule,
        .look_again = judgement->look_again,
    };
    if (!counts) {
        report_add(&session->report, PART_CHARACTERISATION, finding);
        return;
    }
    bool defined = pirads_category(mark->basis, mark->scores).category != 0;
    bool open = !defined && judgement->points == POINTS_RULE;
    finding.verdict = open ? OVERREAD_NOTE : session_verdict(judgement->points, POINTS_RULE);
    finding.points_milli = judgement->points;
    finding.max_points_milli = POINTS_RULE;
    session_add(session, expert, PART_CHARACTERISATION, finding);
}

void findings_of_rule(struct session *session, const struct finding_model *mark,
                      const struct lesion_model *expert)
{
    struct pirads_ruling ruling = pirads_category(mark->basis, mark->scores);
    struct judgement size = against_size(session, mark), judgement;
    if (ruling.category == 0)
        judgement = not_defined(session, mark, expert);
    else if (ruling.category != mark->category)
        judgement = mismatch(session, mark, expert, ruling.category);
    else
        judgement = other_way(session, mark, expert, &ruling);
    if (!judgement.rule)
        judgement.rule = ruling.rule;
    bool costs = expert && size.text && size.points < POINTS_RULE && judgement.points == POINTS_RULE &&
                 ruling.category != 0 && !scored_as_the_expert(mark, &expert->common);
    if (costs)
        judgement = size;
    if (expert || ruling.category != mark->category)
        add_judgement(session, mark, expert, &judgement, expert != NULL);
    if (size.text && !costs)
        add_judgement(session, mark, expert, &size, false);
}
