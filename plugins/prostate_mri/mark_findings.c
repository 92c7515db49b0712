/* Findings about marks that hit no clinically significant lesion. They may cost points, so they come last. */
#include "session.h"
#include "common/fixed.h"

static const char *pitfall(enum pirads_zone zone)
{
    switch (zone) {
    case PIRADS_PZ:
        return "On ADC and high-b DWI: benign signal of the peripheral zone is wedge-shaped, linear or "
               "diffuse, and rarely marked on both.";
    case PIRADS_TZ:
        return "On T2W: a nodule that is completely encapsulated scores 1, a mostly encapsulated or "
               "homogeneous circumscribed one 2.";
    case PIRADS_CZ:
        return "On coronal T2W: symmetric dark tissue around the ejaculatory ducts at the base is the normal "
               "central zone.";
    case PIRADS_AFS:
        return "On T2W and DCE: symmetric dark signal without high-b signal or early enhancement is normal "
               "stroma.";
    }
    return NULL;
}

static const char *const beyond_the_capsule =
    "Follow the capsule on axial T2W at your mark: veins, the neurovascular bundles, the seminal vesicles "
    "and the muscles beside the gland can look like a lesion on one image, and go on into the next.";

static const char *const cost_rule = "A mark where the truth holds nothing costs 2 points at PI-RADS 4 or 5, "
                                     "1 at 3 and none at 1 or 2; a score does not "
                                     "fall below 0.";

static const char *const benign_rule =
    "A mark on a finding that is not clinically significant is right up to the expert's category (3 where it "
    "is not known). Above it, 4 or 5 costs 1 point and 3 half a point, unless the expert called 4 or 5 too.";

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
        text = report_printf(&session->report,
                             "You called PI-RADS %d %s, in what you took for the %s, but the truth holds no "
                             "lesion there: a false positive.%s",
                             mark->category, session_mark_place(session, mark), pirads_zone_name(mark->zone),
                             nearest_words(session, mark));
    else
        text = report_printf(&session->report,
                             "You marked a finding %s, in what you took for the %s, as PI-RADS %d: nothing "
                             "of significance is there, as you said.",
                             session_mark_place(session, mark), pirads_zone_name(mark->zone), mark->category);
    report_add(&session->report, PART_LOCALISATION,
               (overread_finding){
                   .verdict = target ? OVERREAD_FALSE_POSITIVE : OVERREAD_NOTE,
                   .code = code,
                   .points_milli = -report_cost(&session->report, false_cost(mark->category)),
                   .answer_pointer = session_mark_pointer(mark),
                   .text = text,
                   .rule = cost_rule,
                   .look_again = !target       ? NULL
                                 : outside > 0 ? beyond_the_capsule
                                               : pitfall(mark->zone),
               });
}

/* A call above the expert's. It is a false call of its own where the expert saw no reason for suspicion;
 * where he called 4 too, both send to the same biopsy. */
static void over_called_mark(struct session *session, const struct finding_model *mark,
                             const struct lesion_model *lesion, const char *text)
{
    bool false_call = lesion->common.category < SUSPICIOUS_CATEGORY;
    bool suspicious = mark->category >= SUSPICIOUS_CATEGORY;
    int32_t cost = !false_call ? 0 : suspicious ? COST_OVERCALLED_SUSPICIOUS : COST_OVERCALLED_EQUIVOCAL;
    session->false_suspicious += false_call && suspicious;
    report_add(&session->report, PART_LOCALISATION,
               (overread_finding){
                   .verdict = false_call ? OVERREAD_FALSE_POSITIVE : OVERREAD_NOTE,
                   .code = "over_called",
                   .points_milli = -report_cost(&session->report, cost),
                   .answer_pointer = session_mark_pointer(mark),
                   .truth_pointer = session_lesion_pointer(lesion),
                   .text = text,
                   .rule = false_call
                               ? benign_rule
                               : "PI-RADS v2.1: 5 needs the descriptor of 4 and 15 mm or more, or definite "
                                 "extraprostatic extension or invasive behaviour. As the expert called 4 "
                                 "here too, 5 is no false call and costs nothing.",
                   .look_again = false_call ? pitfall(lesion->common.zone) : session_look(session, lesion),
               });
}

static void benign_mark(struct session *session, int at)
{
    const struct finding_model *mark = &session->answer.marks[at];
    const struct lesion_model *lesion = &session->truth.lesions[session->matching.lesion_of_mark[at]];
    const char *kind = lesion->isup == 1 ? "cancer of ISUP grade group 1, not clinically significant,"
                                         : "finding without clinically significant cancer";
    const char *expert = lesion->common.category ? report_printf(&session->report, " the expert called it %d",
                                                                 lesion->common.category)
                                                 : " the expert's category is not known";
    const char *text =
        report_printf(&session->report, "Your mark lies on a %s %s. You called it PI-RADS %d,%s.", kind,
                      session_place(session, lesion), mark->category, expert);
    if (session_called_over(session, at)) {
        over_called_mark(session, mark, lesion, text);
        return;
    }
    report_add(&session->report, PART_LOCALISATION,
               (overread_finding){
                   .verdict = OVERREAD_NOTE,
                   .code = "benign_finding",
                   .answer_pointer = session_mark_pointer(mark),
                   .truth_pointer = session_lesion_pointer(lesion),
                   .text = text,
                   .rule = benign_rule,
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
            .answer_pointer = session_mark_pointer(mark),
            .truth_pointer = session_lesion_pointer(lesion),
            .text = report_printf(
                &session->report,
                "Another of your marks already counts for the lesion %s; this one (PI-RADS %d) is left "
                "out.",
                session_place(session, lesion), mark->category),
            .rule = "One mark per lesion; a further mark on the same lesion is neither a hit nor a false "
                    "positive (as PI-CAI counts).",
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
