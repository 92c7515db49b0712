#include "grade.h"
#include "common/fixed.h"
#include "session.h"

enum { MICRO = 1000000 };

/* Means over the significant lesions that a mark was matched with. */
static void match_metrics(struct session *session)
{
    int64_t distance = 0, overlap = 0, difference = 0;
    int matched = 0, outlined = 0, called = 0;
    for (int i = 0; i < session->truth.significant; i++) {
        if (!session->matching.hit[i])
            continue;
        const struct finding_model *lesion = &session->truth.lesions[i].common;
        const struct finding_model *mark = &session->answer.marks[session->matching.mark_of_lesion[i]];
        matched++;
        distance += geometry_distance(&lesion->position, &mark->position);
        if (mark->has_body) {
            outlined++;
            overlap += ellipsoid_overlap(&lesion->body, &mark->body);
        }
        if (lesion->category) {
            called++;
            difference += fixed_absolute(lesion->category - mark->category);
        }
    }
    report_metric(&session->report, "distance_mm", matched > 0, matched ? distance * 1000 / matched : 0,
                  "no significant lesion was hit");
    report_metric(&session->report, "overlap_iou", outlined > 0, outlined ? overlap / outlined : 0,
                  "no hit was outlined");
    report_metric(&session->report, "category_error", called > 0, called ? difference * MICRO / called : 0,
                  "no lesion with an expert category was hit");
}

static void category_metrics(struct session *session)
{
    int expert = model_case_category(&session->truth);
    report_count_metric(&session->report, "case_category", model_own_category(&session->answer));
    report_metric(&session->report, "expert_case_category", expert > 0, (int64_t)expert * MICRO,
                  "the truth states no expert category");
}

/* For statistics over many reads: is there cancer, and in which zone? 1 to 4 for PZ, TZ, CZ, AFS. */
static void truth_metrics(struct session *session)
{
    const int index = session->truth.index_lesion;
    const bool known = index >= 0;
    report_count_metric(&session->report, "cspca", session->truth.facts.cspca);
    report_metric(&session->report, "index_zone", known,
                  known ? ((int64_t)session->truth.lesions[index].common.zone + 1) * MICRO : 0,
                  session->truth.significant ? "the truth leaves the index lesion open"
                                             : "no clinically significant lesion");
}

static void probability_metric(struct session *session)
{
    int64_t probability = session->answer.facts.probability;
    int64_t error = probability - (session->truth.facts.cspca ? MICRO : 0);
    report_metric(&session->report, "cspca_brier", probability != MODEL_UNKNOWN, error * error / MICRO,
                  "no probability was given");
}

static void add_metrics(struct session *session)
{
    report_score_metrics(&session->report, "no clinically significant lesion to characterise");
    report_count_metric(&session->report, "significant_lesions", session->truth.significant);
    report_count_metric(&session->report, "hits", session->hits);
    report_count_metric(&session->report, "misses", session->misses);
    report_count_metric(&session->report, "near_misses", session->near_misses);
    report_count_metric(&session->report, "false_positives", session->false_targets);
    match_metrics(session);
    category_metrics(session);
    probability_metric(session);
    truth_metrics(session);
}

enum overread_status prostate_grade(const overread_host *host, const overread_input *input,
                                    overread_grade *grade)
{
    struct session *session = host->alloc(host->context, sizeof(*session));
    if (!session)
        return OVERREAD_NO_MEMORY;
    session->report.host = host;
    if (!model_config(input->config, &session->config) ||
        !model_truth(input->truth, &session->config, &session->truth) ||
        !model_answer(input->answer, &session->answer))
        return OVERREAD_BUG; /* not what the schemas promise */
    matching_solve(&session->config, &session->truth, &session->answer, &session->matching);
    findings_of_decision(session);
    findings_of_lesions(session);
    findings_of_case(session);
    findings_of_contradictions(session);
    findings_of_other_marks(session);
    bool correct = findings_verdict(session);
    add_metrics(session);
    return report_finish(&session->report, correct, grade);
}
