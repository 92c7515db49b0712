#include "grade.h"
#include "common/fixed.h"
#include "session.h"

enum { MICRO = 1000000 };

static int count_role(const struct session *session, enum mark_role role)
{
    int count = 0;
    for (int j = 0; j < session->answer.count; j++)
        count += session->matching.role[j] == role;
    return count;
}

static void distance_metric(struct session *session)
{
    int64_t sum = 0;
    int matched = 0;
    for (int j = 0; j < session->answer.count; j++) {
        int64_t distance;
        if (session->matching.role[j] != ROLE_HIT)
            continue;
        (void)matching_views(&session->config, &session->truth.findings[session->matching.finding_of[j]],
                             &session->answer.findings[j], &distance);
        sum += distance;
        matched++;
    }
    report_metric(&session->report, "distance_mm", matched > 0, matched ? sum * 1000 / matched : 0,
                  "no malignant finding was hit");
}

static void case_metrics(struct session *session)
{
    int64_t probability = session->answer.probability;
    int64_t error = probability - (session->truth.cancer ? MICRO : 0);
    int own = model_worst_breast(&session->answer), expert = model_worst_breast(&session->truth);
    report_count_metric(&session->report, "case_category", own);
    report_count_metric(&session->report, "expert_case_category", expert);
    /* Ordered by suspicion, as the category's number is not: for statistics over many reads. */
    report_count_metric(&session->report, "case_suspicion", birads_rank(own));
    report_count_metric(&session->report, "expert_case_suspicion", birads_rank(expert));
    report_count_metric(&session->report, "cancer", session->truth.cancer);
    report_metric(&session->report, "malignancy_brier", probability != MODEL_UNKNOWN, error * error / MICRO,
                  "no probability was given");
}

static void add_metrics(struct session *session)
{
    report_score_metrics(&session->report, "nothing to characterise");
    report_count_metric(&session->report, "malignant_findings", session->truth.malignant);
    report_count_metric(&session->report, "hits", session->hits);
    report_count_metric(&session->report, "misses", session->misses);
    report_count_metric(&session->report, "near_misses", count_role(session, ROLE_NEAR));
    report_count_metric(&session->report, "laterality_errors", count_role(session, ROLE_MIRROR));
    report_count_metric(&session->report, "wrong_views", count_role(session, ROLE_WRONG_VIEW));
    report_count_metric(&session->report, "two_view_hits", session->two_view_hits);
    report_count_metric(&session->report, "false_recalls", session->false_recalls);
    report_count_metric(&session->report, "false_follow_ups", session->false_follow_ups);
    distance_metric(session);
    case_metrics(session);
}

enum overread_status breast_grade(const overread_host *host, const overread_input *input,
                                  overread_grade *grade)
{
    struct session *session = host->alloc(host->context, sizeof(*session));
    if (!session)
        return OVERREAD_NO_MEMORY;
    session->report.host = host;
    if (!model_config(input->config, &session->config) || !model_truth(input->truth, &session->truth) ||
        !model_answer(input->answer, &session->answer))
        return OVERREAD_BUG; /* not what the schemas promise */
    matching_solve(&session->config, &session->truth, &session->answer, &session->matching);
    findings_of_decision(session);
    findings_of_breasts(session);
    findings_of_malignancies(session);
    findings_of_consistency(session);
    findings_of_other_marks(session);
    bool correct = findings_verdict(session);
    add_metrics(session);
    return report_finish(&session->report, correct, grade);
}
