/* Findings about the whole examination: its category, the management, and whether the read counts as correct.
 */
#include "session.h"

static bool is_positive(enum lung_category category)
{
    return category >= LUNG_3 && category <= LUNG_4X;
}

/* One step apart on the same side of the screening decision? Category 0 is no step from anything. */
static bool by_one_step(enum lung_category a, enum lung_category b)
{
    int step = (int)a - (int)b;
    bool known = a != LUNG_INCOMPLETE && b != LUNG_INCOMPLETE;
    return known && is_positive(a) == is_positive(b) && (step == 1 || step == -1);
}

static const char *case_code(enum lung_category said, enum lung_category truth)
{
    if (said == truth)
        return "case_category_right";
    if (said == LUNG_INCOMPLETE || truth == LUNG_INCOMPLETE)
        return "case_completeness_wrong";
    return said > truth ? "case_over_called" : "case_under_called";
}

static const char *case_rule(enum lung_category said, enum lung_category truth)
{
    return said != truth && (said == LUNG_INCOMPLETE || truth == LUNG_INCOMPLETE)
               ? "Lung-RADS v2022 (ACR): 0 is for what cannot be judged yet: a prior CT is still to be "
                 "compared, part "
                 "of the lungs cannot be evaluated, or findings suggest an infection. Else an examination "
                 "has the "
                 "category of its most suspicious nodule."
               : "Lung-RADS v2022 (ACR): an examination has the category of its most suspicious nodule; "
                 "1 and 2 are a negative screening, 3 and 4 a positive one.";
}

static enum overread_verdict case_verdict(enum lung_category said, enum lung_category truth)
{
    if (said == truth)
        return OVERREAD_HIT;
    if (by_one_step(said, truth))
        return OVERREAD_PARTIAL;
    return is_positive(truth) || truth == LUNG_INCOMPLETE ? OVERREAD_MISS : OVERREAD_FALSE_POSITIVE;
}

/* The most suspicious nodule of a read, the first of them in the order of sorting; NULL without a nodule. */
static const struct lung_nodule *most_suspicious(const struct lung_case *in)
{
    const struct lung_nodule *most = NULL;
    for (int i = 0; i < in->count; i++) {
        if (!most || in->nodules[i].category > most->category)
            most = &in->nodules[i];
    }
    return most;
}

/* Where a wrong category of the examination comes from: what the truth rates higher, or what the reader does.
 */
static const char *look_at_case(struct lung_session *session)
{
    enum lung_category said = session->answer.category, truth = session->truth.category;
    if (said != truth && (said == LUNG_INCOMPLETE || truth == LUNG_INCOMPLETE))
        return "Are both lungs in the images from apex to base, free of breathing artefacts and of signs of "
               "an "
               "infection, and is each prior CT at hand?";
    const struct lung_nodule *nodule = most_suspicious(said > truth ? &session->answer : &session->truth);
    return nodule
               ? lung_look(session, nodule)
               : "Go through both lungs once more from apex to base, on maximum intensity projections too.";
}

static void case_category(struct lung_session *session)
{
    enum lung_category said = session->answer.category, truth = session->truth.category;
    const char *side = said != truth && is_positive(said) != is_positive(truth) && truth != LUNG_INCOMPLETE &&
                               said != LUNG_INCOMPLETE
                           ? is_positive(truth) ? " A positive screening would have been called negative."
                                                : " A negative screening would have been called positive."
                           : "";
    const char *text =
        said == truth
            ? report_printf(&session->report, "The examination's category is right: Lung-RADS %s.",
                            lung_category_text((int)said))
            : report_printf(&session->report, "You called the examination Lung-RADS %s, right is %s.%s",
                            lung_category_text((int)said), lung_category_text((int)truth), side);
    report_add(&session->report, PART_DECISION,
               (overread_finding){
                   .verdict = case_verdict(said, truth),
                   .code = case_code(said, truth),
                   .points_milli = said == truth              ? LUNG_POINTS_CASE
                                   : by_one_step(said, truth) ? LUNG_POINTS_CASE_BY_ONE
                                                              : 0,
                   .max_points_milli = LUNG_POINTS_CASE,
                   .answer_pointer = "/category",
                   .truth_pointer = "/category",
                   .text = text,
                   .rule = case_rule(said, truth),
                   .look_again = said == truth ? NULL : look_at_case(session),
               });
}

/* Does one of the nodules that give the case its category have a solid part of 8 mm or more? */
static bool has_large_solid(const struct lung_case *in)
{
    for (int i = 0; i < in->count; i++) {
        if (in->nodules[i].category == in->category && lung_is_large_solid(&in->nodules[i].reading))
            return true;
    }
    return false;
}

/* also: the other management that is allowed; follows: from the reader's own category. */
static const char *look_at_management(struct lung_session *session, bool also, bool follows)
{
    if (also)
        return "Measure the solid part again, in the lung window: from 8 mm on both are allowed in category "
               "4A.";
    if (follows && session->answer.category != session->truth.category)
        return look_at_case(session);
    return report_printf(&session->report, "Look up what follows from category %s in the table of Lung-RADS.",
                         lung_category_text((int)session->answer.category));
}

static void management(struct lung_session *session)
{
    const struct lung_case *answer = &session->answer, *truth = &session->truth;
    bool right = answer->management == truth->management;
    bool also = !right && lung_management_fits(truth->category, has_large_solid(truth), answer->management);
    bool follows = lung_management_fits(answer->category, has_large_solid(answer), answer->management);
    const char *said = lung_management_text((int)answer->management);
    const char *own =
        follows ? "it follows from your own category" : "it does not even follow from your own category";
    const char *text;
    if (right)
        text = report_printf(&session->report, "The management is right: %s.%s", said,
                             follows ? "" : " But it does not follow from your own category.");
    else if (also)
        text = report_printf(&session->report, "You chose %s; the authors chose %s. Both are allowed here.",
                             said, lung_management_text((int)truth->management));
    else
        text = report_printf(&session->report, "You chose %s; right is %s. Of your choice: %s.", said,
                             lung_management_text((int)truth->management), own);
    report_add(
        &session->report, PART_DECISION,
        (overread_finding){
            .verdict = right             ? OVERREAD_HIT
                       : also || follows ? OVERREAD_PARTIAL
                                         : OVERREAD_MISS,
            .code = right     ? "management_right"
                    : also    ? "management_also_allowed"
                    : follows ? "management_wrong"
                              : "management_contradicts_category",
            .points_milli = right     ? LUNG_POINTS_MANAGEMENT
                            : also    ? LUNG_POINTS_MANAGEMENT_ALSO
                            : follows ? LUNG_POINTS_MANAGEMENT_FOLLOWS
                                      : 0,
            .max_points_milli = LUNG_POINTS_MANAGEMENT,
            .answer_pointer = "/management",
            .truth_pointer = "/management",
            .text = text,
            .rule =
                "Lung-RADS v2022 (ACR): 1 and 2 LDCT in 12 months; 3 in 6 months; 4A in 3 months, PET/CT "
                "may be considered with a solid part of 8 mm or more; 4B and 4X work-up; 0 completing the "
                "examination.",
            .look_again = right ? NULL : look_at_management(session, also, follows),
        });
}

static void modifier(struct lung_session *session)
{
    int truth = session->truth.s_modifier, said = session->answer.s_modifier;
    if (truth == LUNG_UNKNOWN)
        return;
    bool right = said == truth;
    const char *is = truth ? "is" : "is no";
    const char *text =
        said == LUNG_UNKNOWN
            ? report_printf(&session->report,
                            "You did not say whether the S modifier applies; there %s "
                            "significant other finding.",
                            truth ? "is a" : "is no")
            : report_printf(&session->report, "You said S modifier %s; there %s significant other finding.",
                            said ? "yes" : "no", truth ? "is a" : is);
    report_add(&session->report, PART_DECISION,
               (overread_finding){
                   .verdict = right                  ? OVERREAD_HIT
                              : said == LUNG_UNKNOWN ? OVERREAD_MISS
                                                     : OVERREAD_PARTIAL,
                   .code = right ? "s_modifier_right" : "s_modifier_wrong",
                   .points_milli = right ? LUNG_POINTS_S : 0,
                   .max_points_milli = LUNG_POINTS_S,
                   .answer_pointer = said == LUNG_UNKNOWN ? NULL : "/s_modifier",
                   .truth_pointer = "/s_modifier",
                   .text = text,
                   .rule = "Lung-RADS v2022 (ACR): S marks a significant finding that is not lung cancer.",
                   .look_again = right ? NULL
                                       : "Look at what is no nodule: emphysema, coronary arteries, aorta, "
                                         "mediastinum, thyroid, upper abdomen, bones.",
               });
}

void lung_findings_of_case(struct lung_session *session)
{
    case_category(session);
    management(session);
    modifier(session);
    if (session->truth.actionable > 0)
        return;
    report_add(
        &session->report, PART_LOCALISATION,
        (overread_finding){
            .verdict = OVERREAD_NOTE,
            .code = "nothing_to_find",
            .points_milli = LUNG_POINTS_SPECIFICITY,
            .max_points_milli = LUNG_POINTS_SPECIFICITY,
            .text =
                "This case holds no nodule of category 3 or 4: 3 points are for making no false call, and "
                "each false call takes from them.",
            .rule = "In a case without an actionable nodule the localisation points are earned by calling "
                    "none.",
        });
}

void lung_finding_of_consistency(struct lung_session *session)
{
    const struct lung_case *answer = &session->answer;
    const struct lung_nodule *most = most_suspicious(answer);
    enum lung_category highest = most ? most->category : LUNG_1;
    if (answer->category == highest || answer->category == LUNG_INCOMPLETE)
        return;
    report_add(
        &session->report, PART_DECISION,
        (overread_finding){
            .verdict = OVERREAD_PARTIAL,
            .code = "case_category_not_highest",
            .points_milli = -report_cost(&session->report, LUNG_COST_NOT_HIGHEST),
            .answer_pointer = "/category",
            .text =
                report_printf(&session->report,
                              "You called the examination %s, but the highest category among "
                              "your nodules is %s.",
                              lung_category_text((int)answer->category), lung_category_text((int)highest)),
            .rule = "Lung-RADS v2022 (ACR): an examination has the category of its most suspicious nodule, 1 "
                    "without any.",
            .look_again = most ? lung_look(session, most)
                               : "Mark the nodule that gives your category, or call the examination 1.",
        });
}

/* NULL when the read counts as correct. */
static const char *objection(struct lung_session *session)
{
    enum lung_category said = session->answer.category, truth = session->truth.category;
    int allowed = session->truth.actionable > 0 ? session->config.max_false_positives : 0;
    if ((said == LUNG_INCOMPLETE) != (truth == LUNG_INCOMPLETE))
        return "whether the examination can be judged was decided wrongly";
    if (is_positive(said) != is_positive(truth))
        return is_positive(truth) ? "a positive screening was called negative"
                                  : "a negative screening was called positive";
    if (session->hits < session->truth.actionable)
        return "an actionable nodule was not found, or was called 1 or 2";
    if (session->false_calls > allowed)
        return "there are more false calls of category 3 or 4 than are allowed";
    return NULL;
}

bool lung_findings_verdict(struct lung_session *session)
{
    const char *why = objection(session);
    return report_verdict(&session->report, why,
                          report_printf(&session->report,
                                        "Correct: the screening is rightly called positive or negative, "
                                        "every actionable nodule is hit by a mark of category 3 or more, "
                                        "and there are no more than %d false calls of category 3 or 4 "
                                        "(none in a case without an actionable nodule).",
                                        session->config.max_false_positives));
}
