/* Is a nodule's category the expert's, and does it follow from the reader's own measurements? */
#include "session.h"

void lung_findings_of_category(struct lung_session *session, const struct lung_nodule *mark,
                               const struct lung_nodule *expert)
{
    int said = (int)mark->category, truth = (int)expert->category;
    bool right = said == truth, by_one = said - truth == 1 || truth - said == 1;
    struct lung_ruling ruling = lung_category_of(&expert->reading);
    const char *text = right
                           ? report_printf(&session->report, "The category is right: Lung-RADS %s.",
                                           lung_category_text(said))
                           : report_printf(&session->report, "You called Lung-RADS %s, the expert %s.%s",
                                           lung_category_text(said), lung_category_text(truth),
                                           said < LUNG_3 ? " Below 3 the screening counts as negative." : "");
    report_add(&session->report, PART_CHARACTERISATION,
               (overread_finding){
                   .verdict = right ? OVERREAD_HIT : OVERREAD_PARTIAL,
                   .code = right          ? "category_right"
                           : said > truth ? "over_called"
                                          : "under_called",
                   .points_milli = right    ? LUNG_POINTS_CATEGORY
                                   : by_one ? LUNG_POINTS_CATEGORY_BY_ONE
                                            : 0,
                   .max_points_milli = LUNG_POINTS_CATEGORY,
                   .answer_pointer = lung_pointer(session, mark),
                   .truth_pointer = lung_pointer(session, expert),
                   .text = text,
                   .rule = ruling.category ? ruling.rule : "The category of the case's expert report.",
                   .look_again = right ? NULL : lung_look(session, expert),
               });
}

static void growth_note(struct lung_session *session, const struct lung_nodule *mark)
{
    const char *objection = lung_growth_objection(&mark->reading);
    if (!objection)
        return;
    report_add(
        &session->report, PART_CHARACTERISATION,
        (overread_finding){
            .verdict = OVERREAD_NOTE,
            .code = "growth_mismatch",
            .answer_pointer = lung_pointer(session, mark),
            .text = report_printf(&session->report, "You said \"%s\", but by your own measurements %s.",
                                  lung_status_text((int)mark->reading.status), objection),
            .rule = "Lung-RADS v2022 (ACR): growth is more than 1.5 mm in mean diameter within 12 months.",
            .look_again = "Measure both examinations again, in the same plane and window.",
        });
}

void lung_findings_of_rule(struct lung_session *session, const struct lung_nodule *mark,
                           const struct lung_nodule *expert)
{
    struct lung_ruling ruling = lung_category_of(&mark->reading);
    const char *said = lung_category_text((int)mark->category);
    bool undefined = ruling.category == LUNG_NOT_DEFINED, follows = ruling.category == mark->category;
    bool expert_agrees = expert && expert->category == mark->category;
    overread_finding finding = {
        .verdict = !expert || undefined ? OVERREAD_NOTE
                   : follows            ? OVERREAD_HIT
                                        : OVERREAD_PARTIAL,
        .points_milli = expert && (undefined || follows) ? LUNG_POINTS_RULE : 0,
        .max_points_milli = expert ? LUNG_POINTS_RULE : 0,
        .answer_pointer = lung_pointer(session, mark),
        .truth_pointer = expert ? lung_pointer(session, expert) : NULL,
        .rule = ruling.rule,
    };
    growth_note(session, mark);
    if (undefined) {
        finding.code = "category_not_defined";
        finding.text = report_printf(&session->report,
                                     "For what you described the category is not defined, so your %s is "
                                     "not held against you.",
                                     said);
    } else if (follows) {
        if (!expert)
            return;
        finding.code = "rule_right";
        finding.text = "Your category follows from your own description and measurements.";
    } else {
        finding.code = expert_agrees ? "right_category_wrong_rule" : "category_rule_mismatch";
        finding.text =
            report_printf(&session->report, "%s%s%s, but your own description and measurements give %s.",
                          expert_agrees ? "Lung-RADS " : "You called ", said,
                          expert_agrees ? " is right" : "", lung_category_text((int)ruling.category));
        finding.look_again = lung_look(session, mark);
    }
    report_add(&session->report, PART_CHARACTERISATION, finding);
}
