/* Findings about marks that hit no clinically significant lesion. They may cost points, so they come last. */
#include "session.h"
#include "common/fixed.h"

static const char *pitfall(enum pirads_zone zone)
{
    switch (zone) {
    case PIRADS_PZ:
        return "On ADC and high-b DWI: benign signal of the peripheral zone is wedge-shaped, linear or "
               "diffuse, and "
               "rarely marked on both.";
    case PIRADS_TZ:
        return "On T2W: a nodule that is completely encapsulated scores 1, a mostly encapsulated or "
               "homogeneous "
               "circumscribed one 2.";
    case PIRADS_CZ:
        return "On coronal T2W: symmetric dark tissue around the ejaculatory ducts at the base is the normal "
               "central "
               "zone.";
    case PIRADS_AFS:
        return "On T2W and DCE: symmetric dark signal without high-b signal or early enhancement is normal "
               "stroma.";
    }
    return NULL;
}

static const char *const cost_rule = "A mark where the truth holds nothing costs 2 points at PI-RADS 4 or 5, "
                                     "1 at 3 and none at 1 or 2; a score does not "
                                     "fall below 0.";

static const char *nearest_words(struct session *session, const struct finding_model *mark)
{
    int64_t best = -1;
    for (int i = 0; i < session->truth.significant; i++) {
        int64_t distance = geometry_distance(&session->truth.lesions[i].common.position, &mark->position);
        if (best < 0 || distance < best)
            best = distance;
    }
    if (best < 0)
        return "";
    return report_printf(&session->report, " The nearest significant lesion is %s mm away.",
                         fixed_text(best, 3, 1).text);
}

static int32_t false_cost(int category)
{
    if (category < TARGET_CATEGORY)
        return 0;
    return category >= SUSPICIOUS_CATEGORY ? COST_FALSE_SUSPICIOUS : COST_FALSE_EQUIVOCAL;
}

static void false_mark(struct session *session, const struct finding_model *mark)
{
    int64_t outside =
        session->config.has_gland ? ellipsoid_distance_outside(&session->config.gland, &mark->position) : 0;
    bool target = mark->category >= TARGET_CATEGORY;
    const char *code = outside > 0 ? "out_of_gland" : target ? "false_positive" : "benign_mark";
    const char *text;
    session->false_targets += target;
    session->false_suspicious += mark->category >= SUSPICIOUS_CATEGORY;
    if (outside > 0)
        text = report_printf(
            &session->report,
            "Your mark (PI-RADS %d) lies %s mm outside the prostate, where no lesion of the gland can "
            "be.%s",
            mark->category, fixed_text(outside, 3, 1).text, nearest_words(session, mark));
    else if (target)
        text = report_printf(
            &session->report,
            "You called PI-RADS %d %s, but the truth holds no lesion there: a false positive.%s",
            mark->category, session_place(session, mark), nearest_words(session, mark));
    else
        text = report_printf(
            &session->report,
            "You marked a finding %s as PI-RADS %d: nothing of significance is there, as you said.",
            session_place(session, mark), mark->category);
    report_add(&session->report, PART_LOCALISATION,
               (overread_finding){
                   .verdict = target ? OVERREAD_FALSE_POSITIVE : OVERREAD_NOTE,
                   .code = code,
                   .points_milli = -report_cost(&session->report, false_cost(mark->category)),
                   .answer_pointer = session_mark_pointer(session, mark),
                   .text = text,
                   .rule = cost_rule,
                   .look_again = target ? pitfall(mark->zone) : NULL,
               });
}

static void benign_mark(struct session *session, int at)
{
    const struct finding_model *mark = &session->answer.marks[at];
    const struct lesion_model *lesion = &session->truth.lesions[session->matching.lesion_of_mark[at]];
    bool over = session_called_over(session, at);
    int32_t cost =
        mark->category >= SUSPICIOUS_CATEGORY ? COST_OVERCALLED_SUSPICIOUS : COST_OVERCALLED_EQUIVOCAL;
    const char *kind = lesion->isup == 1 ? "cancer of ISUP grade group 1, not clinically significant,"
                                         : "finding without clinically significant cancer";
    const char *expert = lesion->common.category ? report_printf(&session->report, " the expert called it %d",
                                                                 lesion->common.category)
                                                 : " the expert's category is not known";
    session->false_suspicious += over && mark->category >= SUSPICIOUS_CATEGORY;
    report_add(
        &session->report, PART_LOCALISATION,
        (overread_finding){
            .verdict = over ? OVERREAD_FALSE_POSITIVE : OVERREAD_NOTE,
            .code = over ? "over_called" : "benign_finding",
            .points_milli = over ? -report_cost(&session->report, cost) : 0,
            .answer_pointer = session_mark_pointer(session, mark),
            .truth_pointer = session_lesion_pointer(session, lesion),
            .text = report_printf(&session->report, "Your mark lies on a %s %s. You called it PI-RADS %d,%s.",
                                  kind, session_place(session, &lesion->common), mark->category, expert),
            .rule = "A mark on a finding that is not clinically significant is right up to the "
                    "expert's category (3 where "
                    "it is not known). Above it, 4 or 5 costs 1 point and 3 half a point.",
            .look_again = over ? pitfall(lesion->common.zone) : NULL,
        });
}

static void duplicate_mark(struct session *session, int at)
{
    const struct finding_model *mark = &session->answer.marks[at];
    const struct lesion_model *lesion = &session->truth.lesions[session->matching.lesion_of_mark[at]];
    report_add(
        &session->report, PART_LOCALISATION,
        (overread_finding){
            .verdict = OVERREAD_NOTE,
            .code = "duplicate_mark",
            .answer_pointer = session_mark_pointer(session, mark),
            .truth_pointer = session_lesion_pointer(session, lesion),
            .text = report_printf(
                &session->report,
                "Another of your marks already counts for the lesion %s; this one (PI-RADS %d) is left "
                "out.",
                session_place(session, &lesion->common), mark->category),
            .rule = "One mark per lesion; a further mark on the same lesion is neither a hit nor a false "
                    "positive (as "
                    "PI-CAI counts).",
        });
}

void findings_of_other_marks(struct session *session)
{
    for (int j = 0; j < session->answer.count; j++) {
        switch (session->matching.role[j]) {
        case ROLE_FALSE:
            false_mark(session, &session->answer.marks[j]);
            break;
        case ROLE_BENIGN:
            benign_mark(session, j);
            break;
        case ROLE_DUPLICATE:
            duplicate_mark(session, j);
            break;
        case ROLE_HIT:
            continue; /* its rule has been judged with its lesion */
        case ROLE_NEAR:
            break;
        }
        findings_of_rule(session, &session->answer.marks[j], NULL);
    }
}
