#include "grade.h"
#include "common/fixed.h"
#include "session.h"

enum { MICRO = 1000000, MICRO_PER_TENTH = 100000 };

/* Means over the actionable nodules that a mark hit. */
static void match_metrics(struct lung_session *session)
{
    static const char *const reason = "no actionable nodule was hit";
    int64_t distance = 0, size = 0, category = 0;
    int matched = 0;
    for (int i = 0; i < session->truth.actionable; i++) {
        if (!session->matching.hit[i])
            continue;
        const struct lung_nodule *nodule = &session->truth.nodules[i];
        const struct lung_nodule *mark = &session->answer.nodules[session->matching.mark_of_nodule[i]];
        matched++;
        distance += lung_distance(nodule->body.centre, mark->body.centre);
        size += fixed_absolute(nodule->reading.mean - mark->reading.mean);
        category += fixed_absolute((int64_t)nodule->category - (int64_t)mark->category);
    }
    bool any = matched > 0;
    report_metric(&session->report, "distance_mm", any, any ? distance * 1000 / matched : 0, reason);
    report_metric(&session->report, "size_error_mm", any, any ? size * MICRO_PER_TENTH / matched : 0, reason);
    report_metric(&session->report, "category_error", any, any ? category * MICRO / matched : 0, reason);
}

/* 1 to 6 for 1, 2, 3, 4A, 4B, 4X. */
static void category_metric(struct lung_session *session, const char *name, enum lung_category category)
{
    report_metric(&session->report, name, category != LUNG_INCOMPLETE, (int64_t)category * MICRO,
                  "category 0 has no rank");
}

static void add_metrics(struct lung_session *session)
{
    report_score_metrics(&session->report, "no actionable nodule to characterise");
    report_count_metric(&session->report, "actionable_nodules", session->truth.actionable);
    report_count_metric(&session->report, "hits", session->hits);
    report_count_metric(&session->report, "misses", session->misses);
    report_count_metric(&session->report, "near_misses", session->near_misses);
    report_count_metric(&session->report, "false_positives", session->false_calls);
    match_metrics(session);
    category_metric(session, "case_category", session->answer.category);
    category_metric(session, "expert_case_category", session->truth.category);
    report_metric(&session->report, "positive_screening", session->truth.category != LUNG_INCOMPLETE,
                  session->truth.category >= LUNG_3 ? MICRO : 0, "an incomplete examination is neither");
}

enum overread_status lung_grade(const overread_host *host, const overread_input *input, overread_grade *grade)
{
    struct lung_session *session = host->alloc(host->context, sizeof(*session));
    if (!session)
        return OVERREAD_NO_MEMORY;
    session->report.host = host;
    if (!lung_model_config(input->config, &session->config) ||
        !lung_model_truth(input->truth, &session->config, &session->truth) ||
        !lung_model_answer(input->answer, &session->config, &session->answer))
        return OVERREAD_BUG; /* not what the schemas promise */
    lung_matching_solve(&session->config, &session->truth, &session->answer, &session->matching);
    lung_findings_of_case(session);
    lung_findings_of_nodules(session);
    lung_findings_of_other_marks(session);
    lung_finding_of_consistency(session);
    bool correct = lung_findings_verdict(session);
    add_metrics(session);
    return report_finish(&session->report, correct, grade);
}
