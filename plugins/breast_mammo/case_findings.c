/* Findings about the whole case: recall or not, and whether the read counts as correct. */
#include "session.h"
#include "common/fixed.h"

static const char *recall_rule(const struct session *session)
{
    return session->config.recalls_3
               ? "ACR BI-RADS Atlas, 5th ed. 2013: categories 0, 4 and 5 are a positive screening mammogram; "
                 "this programme recalls category 3 too."
               : "ACR BI-RADS Atlas, 5th ed. 2013: categories 0, 4 and 5 lead to recall from screening; 1 "
                 "and "
                 "2 do not.";
}

static void recall_right(const struct session *session, overread_finding *finding)
{
    finding->verdict = OVERREAD_HIT;
    finding->code = "decision_right";
    finding->points_milli = POINTS_DECISION;
    finding->text = !session->truth.recall ? "You did not recall this woman, and there was no reason to."
                    : session->truth.cancer
                        ? "You recalled this woman, and she has breast cancer that the work-up can find."
                        : "You recalled this woman; the work-up was needed, and its result was benign.";
}

static void recall_wrong(const struct session *session, overread_finding *finding)
{
    if (!session->truth.recall) {
        finding->verdict = OVERREAD_FALSE_POSITIVE;
        finding->code = "unnecessary_recall";
        finding->text = session->truth.cancer
                            ? "You recalled this woman, but her cancer is known already and needs no recall."
                            : "You recalled this woman; nothing in these images needs work-up.";
        finding->look_again =
            "Compare both breasts view by view: is what you marked seen in both views of one "
            "breast, and different from the other breast?";
        return;
    }
    finding->verdict = OVERREAD_MISS;
    finding->code = session->truth.cancer ? "missed_cancer" : "missed_recall";
    finding->text =
        session->truth.cancer
            ? "You did not recall this woman, and she has breast cancer: it would have been found "
              "by the next round or by its symptoms."
            : "You did not recall this woman; a finding of hers needed work-up, though its result "
              "was benign.";
    finding->look_again = "Lay left and right of the same view side by side and look for asymmetry; then go "
                          "through each breast with magnification for calcifications.";
}

void findings_of_decision(struct session *session)
{
    overread_finding finding = {
        .max_points_milli = POINTS_DECISION,
        .answer_pointer = "/recall",
        .truth_pointer = "/recall",
        .rule = recall_rule(session),
    };
    if (session->truth.recall == session->answer.recall)
        recall_right(session, &finding);
    else
        recall_wrong(session, &finding);
    report_add(&session->report, PART_DECISION, finding);
    if (session->truth.malignant)
        return;
    report_add(&session->report, PART_LOCALISATION,
               (overread_finding){
                   .verdict = OVERREAD_NOTE,
                   .code = "nothing_to_find",
                   .points_milli = POINTS_SPECIFICITY,
                   .max_points_milli = POINTS_SPECIFICITY,
                   .text = "This case holds no cancer: 3 points are for making no false call, and each false "
                           "call takes from them.",
                   .rule = "In a case without cancer the localisation points are earned by making no false "
                           "call.",
               });
}

/* --- Correct or not ---------------------------------------------------------------------------- */

/* Recall for a benign finding is right only for the sake of that finding. */
static bool recalled_for_a_reason(const struct session *session)
{
    for (int i = 0; i < session->truth.count; i++) {
        int mark = session->matching.mark_of[i];
        bool needs_work_up = model_recalls(&session->config, session->truth.findings[i].birads);
        if (needs_work_up && mark >= 0 &&
            model_recalls(&session->config, session->answer.findings[mark].birads))
            return true;
    }
    return false;
}

/* NULL when the read is correct. */
static const char *why_wrong(struct session *session)
{
    const struct read_model *truth = &session->truth;
    if (truth->recall != session->answer.recall)
        return "the recall decision is wrong";
    if (session->misses > 0)
        return report_printf(&session->report,
                             "%d of %d malignant findings were not hit in a category "
                             "that leads to work-up",
                             session->misses, truth->malignant);
    if (truth->malignant > 0 && session->false_recalls > session->config.max_false_positives)
        return report_printf(&session->report,
                             "there are %d false calls, more than the %d that this case allows",
                             session->false_recalls, session->config.max_false_positives);
    if (truth->malignant == 0 && session->false_recalls > 0)
        return "a case without cancer got a false call that leads to work-up";
    if (truth->malignant == 0 && truth->recall && !recalled_for_a_reason(session))
        return "the finding that this recall is for was not marked in a category that leads to recall";
    return NULL;
}

bool findings_verdict(struct session *session)
{
    return report_verdict(&session->report, why_wrong(session),
                          "A read counts as correct when the recall decision is right and: with cancer, each "
                          "malignant finding is hit in a category that leads to work-up (or to what the "
                          "expert's leads to), without more false calls than the case allows; without "
                          "cancer, there is no false call that leads to work-up, and a recall rests on the "
                          "finding that needs it.");
}
