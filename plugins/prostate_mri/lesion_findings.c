/* Findings about the clinically significant lesions of the truth: found or not, and how well they were
 * described. */
#include "session.h"
#include "common/fixed.h"

static const char *grade_words(struct session *session, const struct lesion_model *lesion)
{
    if (lesion->isup < 0)
        return "clinically significant cancer";
    return report_printf(&session->report, "cancer of ISUP grade group %d", lesion->isup);
}

static int32_t points_of_lesion(const struct session *session, const struct lesion_model *lesion)
{
    int32_t points = POINTS_FOUND + POINTS_ZONE + POINTS_RULE;
    if (lesion->common.sectors)
        points += POINTS_SECTORS;
    if (lesion->common.category)
        points += POINTS_CATEGORY;
    return points + points_asked_of_lesion(session, lesion);
}

static int64_t greatest_dimension(const struct finding_model *finding)
{
    const int64_t *semi = finding->body.semi;
    int64_t longest = semi[0] > semi[1] ? semi[0] : semi[1];
    if (finding->size != MODEL_UNKNOWN)
        return finding->size;
    return 2 * (longest > semi[2] ? longest : semi[2]);
}

/* The largest component of the way from the lesion to the mark, in the words of a report. */
static const char *direction_words(const struct point *from, const struct point *to)
{
    static const char *const words[3][2] = {{"to the patient's right", "to the patient's left"},
                                            {"anterior", "posterior"},
                                            {"inferior", "superior"}};
    int largest = 0;
    int64_t way[3];
    for (int i = 0; i < 3; i++) {
        way[i] = to->at[i] - from->at[i];
        if (fixed_absolute(way[i]) > fixed_absolute(way[largest]))
            largest = i;
    }
    return words[largest][way[largest] > 0];
}

/* A lesion that was not hit loses all its points in one finding; they are split so that the parts of the
 * score keep their maxima. */
static void add_lost_description(struct session *session, const struct lesion_model *lesion)
{
    report_add(&session->report, PART_CHARACTERISATION,
               (overread_finding){
                   .verdict = OVERREAD_MISS,
                   .code = "not_characterised",
                   .max_points_milli = points_of_lesion(session, lesion) - POINTS_FOUND,
                   .truth_pointer = session_lesion_pointer(session, lesion),
                   .text = report_printf(
                       &session->report,
                       "As the lesion %s was not hit, its zone, category and sectors could not be judged.",
                       session_place(session, &lesion->common)),
                   .rule = "Only a lesion that was hit is characterised.",
               });
}

static void lesion_missed(struct session *session, const struct lesion_model *lesion)
{
    const struct finding_model *common = &lesion->common;
    const char *expert = "";
    session->misses++;
    if (common->has_scores)
        expert = report_printf(&session->report, " The expert scored T2W %s, DWI %s, DCE %s there.",
                               pirads_score_text(common->scores.t2w), pirads_score_text(common->scores.dwi),
                               pirads_dce_text(common->scores.dce));
    report_add(&session->report, PART_LOCALISATION,
               (overread_finding){
                   .verdict = OVERREAD_MISS,
                   .code = "lesion_missed",
                   .max_points_milli = POINTS_FOUND,
                   .truth_pointer = session_lesion_pointer(session, lesion),
                   .text = report_printf(&session->report, "You missed a %s of %s mm %s.%s",
                                         grade_words(session, lesion),
                                         fixed_text(greatest_dimension(common), 3, 0).text,
                                         session_place(session, common), expert),
                   .rule = session_match_rule(session),
                   .look_again = session_look(session, common),
               });
    add_lost_description(session, lesion);
}

static void lesion_mislocalised(struct session *session, const struct lesion_model *lesion,
                                const struct finding_model *mark)
{
    const struct point *centre = &lesion->common.position;
    session->near_misses++;
    session->misses++;
    report_add(&session->report, PART_LOCALISATION,
               (overread_finding){
                   .verdict = OVERREAD_PARTIAL,
                   .code = "mislocalised",
                   .points_milli = POINTS_MISLOCALISED,
                   .max_points_milli = POINTS_FOUND,
                   .answer_pointer = session_mark_pointer(session, mark),
                   .truth_pointer = session_lesion_pointer(session, lesion),
                   .text = report_printf(
                       &session->report,
                       "Your mark lies %s mm from the %s %s, mostly %s of it: near, but a biopsy aimed there "
                       "could miss it.",
                       fixed_text(geometry_distance(centre, &mark->position), 3, 1).text,
                       grade_words(session, lesion), session_place(session, &lesion->common),
                       direction_words(centre, &mark->position)),
                   .rule = session_match_rule(session),
                   .look_again = session_look(session, &lesion->common),
               });
    add_lost_description(session, lesion);
}

/* Called too low for a biopsy, where the expert saw more. An expert's own 1 or 2 (histology found what MRI
 * does not show) cannot be asked for more. */
static bool is_dismissed(const struct lesion_model *lesion, const struct finding_model *mark)
{
    int expert = lesion->common.category;
    return mark->category < TARGET_CATEGORY && (expert == 0 || mark->category < expert);
}

static void lesion_found(struct session *session, const struct lesion_model *lesion,
                         const struct finding_model *mark)
{
    bool dismissed = is_dismissed(lesion, mark);
    const char *distance =
        report_printf(&session->report, "%s",
                      fixed_text(geometry_distance(&lesion->common.position, &mark->position), 3, 1).text);
    const char *text =
        dismissed
            ? report_printf(&session->report,
                            "You saw the %s %s (%s mm from its centre) but called it PI-RADS %d, which sends "
                            "nobody to biopsy: the cancer would have gone undiagnosed.",
                            grade_words(session, lesion), session_place(session, &lesion->common), distance,
                            mark->category)
            : report_printf(&session->report, "You found the %s %s: your mark lies %s mm from its centre.",
                            grade_words(session, lesion), session_place(session, &lesion->common), distance);
    session->hits += !dismissed;
    session->misses += dismissed;
    report_add(&session->report, PART_LOCALISATION,
               (overread_finding){
                   .verdict = dismissed ? OVERREAD_PARTIAL : OVERREAD_HIT,
                   .code = dismissed ? "lesion_dismissed" : "lesion_found",
                   .points_milli = dismissed ? POINTS_DISMISSED : POINTS_FOUND,
                   .max_points_milli = POINTS_FOUND,
                   .answer_pointer = session_mark_pointer(session, mark),
                   .truth_pointer = session_lesion_pointer(session, lesion),
                   .text = text,
                   .rule = session_match_rule(session),
                   .look_again = dismissed ? session_look(session, &lesion->common) : NULL,
               });
}

static void zone_finding(struct session *session, const struct lesion_model *lesion,
                         const struct finding_model *mark)
{
    bool right = mark->zone == lesion->common.zone;
    const char *consequence = "";
    if (mark->basis != lesion->common.basis)
        consequence = report_printf(&session->report, " That changes the rule: %s is dominant here, not %s.",
                                    pirads_dominant_sequence(lesion->common.basis),
                                    pirads_dominant_sequence(mark->basis));
    const char *text =
        right
            ? report_printf(&session->report, "The zone is right: %s.", pirads_zone_name(mark->zone))
            : report_printf(&session->report, "You placed the lesion in the %s; it lies in the %s.%s",
                            pirads_zone_name(mark->zone), pirads_zone_name(lesion->common.zone), consequence);
    report_add(
        &session->report, PART_CHARACTERISATION,
        (overread_finding){
            .verdict = right ? OVERREAD_HIT : OVERREAD_PARTIAL,
            .code = right ? "zone_right" : "wrong_zone",
            .points_milli = right ? POINTS_ZONE : 0,
            .max_points_milli = POINTS_ZONE,
            .answer_pointer = session_mark_pointer(session, mark),
            .truth_pointer = session_lesion_pointer(session, lesion),
            .text = text,
            .rule = "PI-RADS v2.1: the zone decides which sequence is dominant (DWI in the peripheral zone, "
                    "T2W in the "
                    "transition zone).",
            .look_again =
                right
                    ? NULL
                    : "Follow the surgical capsule, the dark line between transition and peripheral zone, on "
                      "axial T2W through the lesion.",
        });
}

static void sector_finding(struct session *session, const struct lesion_model *lesion,
                           const struct finding_model *mark)
{
    sector_set truth = lesion->common.sectors;
    int shared = sector_size(truth & mark->sectors), all = sector_size(truth | mark->sectors);
    if (!truth)
        return;
    const struct sector *first = sector_at(sector_first(mark->sectors));
    const char *stated = first ? first->code : "no sector";
    const char *text =
        shared == all
            ? report_printf(&session->report, "Your sector is right: %s.", stated)
            : report_printf(&session->report,
                            "You reported %s%s; the lesion lies %s. %d of the %d sectors named by you or by "
                            "the truth agree.",
                            stated, sector_size(mark->sectors) > 1 ? " and more" : "",
                            session_place(session, &lesion->common), shared, all);
    report_add(&session->report, PART_CHARACTERISATION,
               (overread_finding){
                   .verdict = shared == all ? OVERREAD_HIT : OVERREAD_PARTIAL,
                   .code = shared == all ? "sector_right"
                           : shared      ? "sector_partial"
                                         : "sector_wrong",
                   .points_milli = POINTS_SECTORS * shared / all,
                   .max_points_milli = POINTS_SECTORS,
                   .answer_pointer = session_mark_pointer(session, mark),
                   .truth_pointer = session_lesion_pointer(session, lesion),
                   .text = text,
                   .rule = "PI-RADS v2.1 sector map (41 sectors); points by the share of sectors in common.",
                   .look_again = shared == all ? NULL : session_look(session, &lesion->common),
               });
}

/* What led the expert and the reader apart, when both sets of scores are known. */
static const char *score_difference(struct session *session, const struct lesion_model *lesion,
                                    const struct finding_model *mark)
{
    const struct finding_model *expert = &lesion->common;
    if (!expert->has_scores)
        return "";
    return report_printf(&session->report,
                         " The expert scored T2W %s, DWI %s, DCE %s; you scored T2W %s, DWI %s, DCE %s.%s",
                         pirads_score_text(expert->scores.t2w), pirads_score_text(expert->scores.dwi),
                         pirads_dce_text(expert->scores.dce), pirads_score_text(mark->scores.t2w),
                         pirads_score_text(mark->scores.dwi), pirads_dce_text(mark->scores.dce),
                         expert->category + mark->category == 9
                             ? " Between 4 and 5 decides the size: 5 needs 15 mm or more, or "
                               "definite extraprostatic extension."
                             : "");
}

static const char *expert_rule(const struct finding_model *expert)
{
    if (!expert->has_scores)
        return "The category of the case's expert report.";
    return pirads_category(expert->basis, expert->scores).rule;
}

static void category_finding(struct session *session, const struct lesion_model *lesion,
                             const struct finding_model *mark)
{
    int expert = lesion->common.category, called = mark->category;
    if (!expert)
        return;
    bool right = expert == called, by_one = called - expert == 1 || expert - called == 1;
    const char *text = right ? report_printf(&session->report, "The category is right: PI-RADS %d.", called)
                             : report_printf(&session->report, "You called PI-RADS %d, the expert %d.%s%s",
                                             called, expert, score_difference(session, lesion, mark),
                                             called < TARGET_CATEGORY && expert >= TARGET_CATEGORY
                                                 ? " Below 3 no biopsy follows."
                                                 : "");
    report_add(&session->report, PART_CHARACTERISATION,
               (overread_finding){
                   .verdict = right ? OVERREAD_HIT : OVERREAD_PARTIAL,
                   .code = right             ? "category_right"
                           : called > expert ? "over_called"
                                             : "under_called",
                   .points_milli = right    ? POINTS_CATEGORY
                                   : by_one ? POINTS_CATEGORY_BY_ONE
                                            : 0,
                   .max_points_milli = POINTS_CATEGORY,
                   .answer_pointer = session_mark_pointer(session, mark),
                   .truth_pointer = session_lesion_pointer(session, lesion),
                   .text = text,
                   .rule = expert_rule(&lesion->common),
                   .look_again = right ? NULL : session_look(session, &lesion->common),
               });
}

static void describe(struct session *session, const struct lesion_model *lesion,
                     const struct finding_model *mark)
{
    zone_finding(session, lesion, mark);
    sector_finding(session, lesion, mark);
    category_finding(session, lesion, mark);
    findings_of_rule(session, mark, lesion);
    findings_asked_of_lesion(session, lesion, mark);
}

void findings_of_lesions(struct session *session)
{
    for (int i = 0; i < session->truth.significant; i++) {
        const struct lesion_model *lesion = &session->truth.lesions[i];
        int at = session->matching.mark_of_lesion[i];
        const struct finding_model *mark = at < 0 ? NULL : &session->answer.marks[at];
        if (!mark) {
            lesion_missed(session, lesion);
        } else if (!session->matching.hit[i]) {
            lesion_mislocalised(session, lesion, mark);
        } else {
            lesion_found(session, lesion, mark);
            describe(session, lesion, mark);
        }
    }
}
