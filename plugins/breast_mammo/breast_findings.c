/* Findings about each breast's final assessment and density, and whether the read agrees with itself. */
#include "session.h"
#include "common/fixed.h"

static const char *const hierarchy = "ACR BI-RADS Atlas, 5th ed. 2013: a breast's assessment is that of its "
                                     "most abnormal finding, in the order 1, 2, 3, 6, 0, 4, 5.";

static const char *category_words(struct session *session, int side, const struct breast_model *said,
                                  int expert)
{
    const char *breast = model_side_words[side];
    if (!said->there)
        return report_printf(&session->report, "You gave no assessment of the %s breast; it is %s.", breast,
                             birads_words(expert));
    if (said->birads == expert)
        return report_printf(&session->report, "Your category of the %s breast is right: %s.", breast,
                             birads_words(expert));
    if (session_is_screening_0(session, said->birads, expert))
        return report_printf(&session->report,
                             "You called the %s breast %s, which is right at screening: the work-up gave %s.",
                             breast, birads_words(said->birads), birads_words(expert));
    return report_printf(&session->report, "You called the %s breast %s; it is %s: %s.", breast,
                         birads_words(said->birads), birads_words(expert), birads_consequence(expert));
}

static void category_finding(struct session *session, int side)
{
    const struct breast_model *said = &session->answer.breasts[side];
    int expert = session->truth.breasts[side].birads;
    bool right = said->there && session_is_category_right(session, said->birads, expert);
    bool at_screening = said->there && session_is_screening_0(session, said->birads, expert);
    report_add(
        &session->report, PART_DECISION,
        (overread_finding){
            .verdict = right         ? OVERREAD_HIT
                       : said->there ? OVERREAD_PARTIAL
                                     : OVERREAD_MISS,
            .code = !said->there ? "not_answered" : session_category_code(session, said->birads, expert),
            .points_milli = said->there ? session_category_points(session, said->birads, expert) : 0,
            .max_points_milli = POINTS_CATEGORY,
            .answer_pointer = session_breast_pointer(session, &session->answer, side),
            .truth_pointer = session_breast_pointer(session, &session->truth, side),
            .text = category_words(session, side, said, expert),
            .rule = at_screening ? session_screening_rule : hierarchy,
            .look_again = right ? NULL
                                : report_printf(&session->report,
                                                "Look at all views of the %s breast "
                                                "again, beside those of the other.",
                                                model_side_words[side]),
        });
}

/* Category 3 is for after a full work-up. */
static void category_3_note(struct session *session, int side)
{
    const struct breast_model *said = &session->answer.breasts[side];
    if (!said->there || said->birads != 3 || session->truth.breasts[side].birads == 3 ||
        session->config.setting == SETTING_DIAGNOSTIC)
        return;
    report_add(
        &session->report, PART_DECISION,
        (overread_finding){
            .verdict = OVERREAD_NOTE,
            .code = "category_3_at_screening",
            .answer_pointer = session_breast_pointer(session, &session->answer, side),
            .text = report_printf(&session->report,
                                  "You called the %s breast probably benign from screening views alone.",
                                  model_side_words[side]),
            .rule = "ACR BI-RADS Atlas, 5th ed. 2013: category 3 is given after a full diagnostic "
                    "work-up; at screening such a finding is category 0, or benign.",
        });
}

/* So are 4 and 5, be they what the work-up gave. */
static void category_4_5_note(struct session *session, int side)
{
    const struct breast_model *said = &session->answer.breasts[side];
    if (!said->there || (said->birads != 4 && said->birads != 5) ||
        session->config.setting != SETTING_SCREENING)
        return;
    report_add(
        &session->report, PART_DECISION,
        (overread_finding){
            .verdict = OVERREAD_NOTE,
            .code = "category_4_5_at_screening",
            .answer_pointer = session_breast_pointer(session, &session->answer, side),
            .text = report_printf(&session->report, "You called the %s breast %s from screening views alone.",
                                  model_side_words[side], birads_words(said->birads)),
            .rule = session_screening_rule,
        });
}

static const char *density_text(struct session *session, int side, int said, int truth)
{
    static const char *const words[] = {"a (almost entirely fatty)", "b (scattered fibroglandular density)",
                                        "c (heterogeneously dense)", "d (extremely dense)"};
    const char *breast = model_side_words[side];
    if (said == MODEL_UNKNOWN)
        return report_printf(&session->report, "You gave no composition of the %s breast; it is %s.", breast,
                             words[truth]);
    if (said == truth)
        return report_printf(&session->report, "The %s breast's composition is right: %s.", breast,
                             words[truth]);
    return report_printf(&session->report, "You called the %s breast's composition %s; it is %s.", breast,
                         words[said], words[truth]);
}

static void density_finding(struct session *session, int side)
{
    int truth = session->truth.breasts[side].density;
    int said = session->answer.breasts[side].there ? session->answer.breasts[side].density : MODEL_UNKNOWN;
    bool asked = (session->config.asked & ASKED_DENSITY) != 0, answered = said != MODEL_UNKNOWN;
    if (truth == MODEL_UNKNOWN || (!answered && !asked))
        return;
    bool right = answered && said == truth;
    report_add(
        &session->report, PART_CHARACTERISATION,
        (overread_finding){
            .verdict = !asked  ? OVERREAD_NOTE
                       : right ? OVERREAD_HIT
                               : OVERREAD_PARTIAL,
            .code = !answered ? "not_answered"
                    : right   ? "density_right"
                              : "density_wrong",
            .points_milli = asked && right ? POINTS_ASKED : 0,
            .max_points_milli = asked ? POINTS_ASKED : 0,
            .answer_pointer = session_breast_pointer(session, &session->answer, side),
            .truth_pointer = session_breast_pointer(session, &session->truth, side),
            .text = density_text(session, side, said, truth),
            .rule = "ACR BI-RADS Atlas, 5th ed. 2013: composition a to d, by how much dense tissue may "
                    "hide a lesion.",
            .look_again = right ? NULL
                                : "All views of both breasts side by side: how much of the tissue is dense, "
                                  "and could hide a small mass?",
        });
}

void findings_of_breasts(struct session *session)
{
    for (int side = 0; side < SIDES; side++) {
        if (!session->truth.breasts[side].there)
            continue;
        category_finding(session, side);
        category_3_note(session, side);
        category_4_5_note(session, side);
        density_finding(session, side);
    }
}

/* --- Does the read agree with itself? ------------------------------------------------------------- */

/* A breast called 2 needs no mark: a benign finding may go unmarked. */
static bool breast_follows(const struct read_model *answer, int side)
{
    int said = answer->breasts[side].birads, worst = model_worst_finding(answer, side);
    return !answer->breasts[side].there || said == worst || (said == 2 && worst == 1);
}

/* The finding that the breast's category should have followed, or that there is none. */
static const char *look_at_worst(struct session *session, int side)
{
    const struct read_model *answer = &session->answer;
    const struct finding_model *worst = NULL;
    for (int i = 0; i < answer->count; i++) {
        const struct finding_model *finding = &answer->findings[i];
        if (finding->side == side && (!worst || birads_rank(finding->birads) > birads_rank(worst->birads)))
            worst = finding;
    }
    if (!worst)
        return report_printf(&session->report, "Mark what you called the %s breast for, or call it negative.",
                             model_side_words[side]);
    return report_printf(&session->report, "Go back to your finding %s: is it %s?",
                         session_place(session, worst), birads_words(worst->birads));
}

static void breast_consistency(struct session *session)
{
    int wrong = -1;
    for (int side = SIDES - 1; side >= 0; side--) {
        if (!breast_follows(&session->answer, side))
            wrong = side;
    }
    bool right = wrong < 0;
    const char *text = "Each breast's category is that of its most abnormal finding.";
    if (!right)
        text =
            report_printf(&session->report, "You called the %s breast %s, but your findings there give %s.",
                          model_side_words[wrong], birads_words(session->answer.breasts[wrong].birads),
                          birads_words(model_worst_finding(&session->answer, wrong)));
    report_add(&session->report, PART_DECISION,
               (overread_finding){
                   .verdict = right ? OVERREAD_HIT : OVERREAD_PARTIAL,
                   .code = right ? "breast_follows_findings" : "breast_contradicts_findings",
                   .points_milli = right ? POINTS_CONSISTENT : 0,
                   .max_points_milli = POINTS_CONSISTENT,
                   .answer_pointer = right ? NULL : session_breast_pointer(session, &session->answer, wrong),
                   .text = text,
                   .rule = hierarchy,
                   .look_again = right ? NULL : look_at_worst(session, wrong),
               });
}

static void recall_consistency(struct session *session)
{
    bool recalls = model_case_recalls(&session->config, &session->answer);
    bool right = session->answer.recall == recalls;
    const char *text = "Your recall decision follows from your categories.";
    if (!right)
        text = recalls ? "A category that you gave leads to recall, but you decided against it."
                       : "None of your categories leads to recall, but you decided for it.";
    report_add(
        &session->report, PART_DECISION,
        (overread_finding){
            .verdict = right ? OVERREAD_HIT : OVERREAD_PARTIAL,
            .code = right ? "recall_follows_categories" : "recall_contradicts_categories",
            .points_milli = right ? POINTS_CONSISTENT : 0,
            .max_points_milli = POINTS_CONSISTENT,
            .answer_pointer = "/recall",
            .text = text,
            .rule = session->config.recalls_3
                        ? "ACR BI-RADS Atlas, 5th ed. 2013, and this programme: recall when a breast "
                          "is 0, 3, 4 or 5, and only then."
                        : "ACR BI-RADS Atlas, 5th ed. 2013: recall when a breast is 0, 4 or 5, and "
                          "only then.",
            .look_again = right ? NULL
                                : "Go through your findings breast by breast: which of them, if any, needs "
                                  "work-up?",
        });
}

static void probability_note(struct session *session)
{
    const struct read_model *said = &session->answer;
    const int64_t half = 500000;
    if (said->probability <= half || said->recall || model_worst_breast(said) == 6)
        return;
    report_add(
        &session->report, PART_DECISION,
        (overread_finding){
            .verdict = OVERREAD_NOTE,
            .code = "probability_contradicts",
            .answer_pointer = "/malignancy_probability",
            .text = report_printf(&session->report, "You held cancer %s %% likely and yet did not recall.",
                                  fixed_text(said->probability, 4, 0).text),
            .rule = "A decision that differs from what the reader holds likelier should be meant.",
        });
}

void findings_of_consistency(struct session *session)
{
    breast_consistency(session);
    recall_consistency(session);
    probability_note(session);
}
