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
    if (model_invisible(lesion))
        return;
    report_add(&session->report, PART_CHARACTERISATION,
               (overread_finding){
                   .verdict = OVERREAD_MISS,
                   .code = "not_characterised",
                   .max_points_milli = points_of_lesion(session, lesion) - POINTS_FOUND,
                   .truth_pointer = session_lesion_pointer(lesion),
                   .text = report_printf(
                       &session->report,
                       "As the lesion %s was not hit, its zone, category and sectors could not be judged.",
                       session_place(session, lesion)),
                   .rule = "Only a lesion that was hit is characterised.",
                   .look_again = session_look(session, lesion),
               });
}

static void lesion_invisible(struct session *session, const struct lesion_model *lesion)
{
    report_add(
        &session->report, PART_LOCALISATION,
        (overread_finding){
            .verdict = OVERREAD_NOTE,
            .code = "lesion_invisible",
            .truth_pointer = session_lesion_pointer(lesion),
            .text = report_printf(
                &session->report,
                "There is a %s of %s mm %s, which you did not mark. The expert saw nothing suspicious "
                "there either (PI-RADS %d): the lesion does not count against you. The decision is about the "
                "patient all the same.",
                grade_words(session, lesion),
                fixed_text(model_greatest_dimension(&lesion->common), 3, 0).text,
                session_place(session, lesion), lesion->common.category),
            .rule =
                "A cancer that the expert rates PI-RADS 1 or 2 carries no points and no miss: MRI does not "
                "show every significant cancer.",
            .look_again = session_look_beyond_mri,
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
                   .truth_pointer = session_lesion_pointer(lesion),
                   .text = report_printf(&session->report, "You missed a %s of %s mm %s.%s",
                                         grade_words(session, lesion),
                                         fixed_text(model_greatest_dimension(common), 3, 0).text,
                                         session_place(session, lesion), expert),
                   .rule = session_match_rule(session, lesion),
                   .look_again = session_look(session, lesion),
               });
    add_lost_description(session, lesion);
}

static void lesion_mislocalised(struct session *session, const struct lesion_model *lesion,
                                const struct finding_model *mark)
{
    const struct point *centre = &lesion->common.position;
    session->near_misses++;
    session->misses += !model_invisible(lesion);
    session_add(
        session, lesion, PART_LOCALISATION,
        (overread_finding){
            .verdict = OVERREAD_PARTIAL,
            .code = "mislocalised",
            .points_milli = POINTS_MISLOCALISED,
            .max_points_milli = POINTS_FOUND,
            .answer_pointer = session_mark_pointer(mark),
            .truth_pointer = session_lesion_pointer(lesion),
            .text = report_printf(
                &session->report,
                "Your mark lies %s mm from the %s %s, mostly %s of it: near, but a biopsy aimed there "
                "could miss it.",
                fixed_text(geometry_distance(centre, &mark->position), 3, 1).text,
                grade_words(session, lesion), session_place(session, lesion),
                direction_words(centre, &mark->position)),
            .rule = session_match_rule(session, lesion),
            .look_again = model_invisible(lesion) ? session_look_beyond_mri : session_look(session, lesion),
        });
    add_lost_description(session, lesion);
}

/* Called too low for a targeted biopsy. */
static bool is_dismissed(const struct finding_model *mark)
{
    return mark->category < TARGET_CATEGORY;
}

static const char *found_words(struct session *session, const struct lesion_model *lesion,
                               const struct finding_model *mark)
{
    const char *cancer = grade_words(session, lesion), *place = session_place(session, lesion);
    const char *from = lesion->common.has_target ? "target point" : "centre";
    struct fixed_text distance =
        fixed_text(geometry_distance(&lesion->common.position, &mark->position), 3, 1);
    if (!is_dismissed(mark))
        return report_printf(&session->report, "You found the %s %s: your mark lies %s mm from its %s.",
                             cancer, place, distance.text, from);
    if (model_invisible(lesion))
        return report_printf(
            &session->report,
            "Your mark lies %s mm from the %s of a %s %s. You called it PI-RADS %d; the expert saw nothing "
            "suspicious there either (PI-RADS %d), so it counts neither for nor against you.",
            distance.text, from, cancer, place, mark->category, lesion->common.category);
    return report_printf(&session->report,
                         "You saw the %s %s (%s mm from its %s) but called it PI-RADS %d, which asks for no "
                         "targeted biopsy: unless a systematic one follows, as it may at a PSA density of "
                         "0.15 ng/ml/ml or more, the cancer goes undiagnosed.",
                         cancer, place, distance.text, from, mark->category);
}

static void lesion_found(struct session *session, const struct lesion_model *lesion,
                         const struct finding_model *mark)
{
    bool dismissed = is_dismissed(mark), invisible = model_invisible(lesion);
    session->hits += !dismissed;
    session->misses += dismissed && !invisible;
    session_add(session, lesion, PART_LOCALISATION,
                (overread_finding){
                    .verdict = dismissed ? OVERREAD_PARTIAL : OVERREAD_HIT,
                    .code = dismissed ? "lesion_dismissed" : "lesion_found",
                    .points_milli = dismissed ? POINTS_DISMISSED : POINTS_FOUND,
                    .max_points_milli = POINTS_FOUND,
                    .answer_pointer = session_mark_pointer(mark),
                    .truth_pointer = session_lesion_pointer(lesion),
                    .text = found_words(session, lesion, mark),
                    .rule = session_match_rule(session, lesion),
                    .look_again = !dismissed  ? NULL
                                  : invisible ? session_look_beyond_mri
                                              : session_look(session, lesion),
                });
}

/* What tells the two zones apart. */
static const char *look_at_zones(enum pirads_zone a, enum pirads_zone b)
{
    if (a == PIRADS_CZ || b == PIRADS_CZ)
        return "Look at coronal and axial T2W at the base: the central zone lies around the ejaculatory "
               "ducts, behind the urethra and above the verumontanum, dark and the same on both sides.";
    if (a == PIRADS_AFS || b == PIRADS_AFS)
        return "Look at axial and sagittal T2W in front of the urethra: the anterior stroma is the band in "
               "the midline before the transition zone, dark as muscle and the same on both sides.";
    return "Follow the surgical capsule, the dark line between transition and peripheral zone, on axial T2W "
           "through the lesion.";
}

static void zone_finding(struct session *session, const struct lesion_model *lesion,
                         const struct finding_model *mark)
{
    bool right = mark->zone == lesion->common.zone;
    const char *consequence = "";
    if (!right && mark->basis != lesion->common.basis)
        consequence = report_printf(&session->report, " That changes the rule: %s is dominant here, not %s.",
                                    pirads_dominant_sequence(lesion->common.basis),
                                    pirads_dominant_sequence(mark->basis));
    const char *text =
        right
            ? report_printf(&session->report, "The zone is right: %s.", pirads_zone_name(mark->zone))
            : report_printf(&session->report, "You placed the lesion in the %s; it lies in the %s.%s",
                            pirads_zone_name(mark->zone), pirads_zone_name(lesion->common.zone), consequence);
    session_add(session, lesion, PART_CHARACTERISATION,
                (overread_finding){
                    .verdict = right ? OVERREAD_HIT : OVERREAD_MISS,
                    .code = right ? "zone_right" : "wrong_zone",
                    .points_milli = right ? POINTS_ZONE : 0,
                    .max_points_milli = POINTS_ZONE,
                    .answer_pointer = session_mark_pointer(mark),
                    .truth_pointer = session_lesion_pointer(lesion),
                    .text = text,
                    .rule = "PI-RADS v2.1: the zone decides which sequence is dominant (DWI in the "
                            "peripheral zone, T2W in the transition zone).",
                    .look_again = right ? NULL : look_at_zones(lesion->common.zone, mark->zone),
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
                            session_place(session, lesion), shared, all);
    session_add(session, lesion, PART_CHARACTERISATION,
                (overread_finding){
                    .verdict = session_verdict(shared, all),
                    .code = shared == all ? "sector_right"
                            : shared      ? "sector_partial"
                                          : "sector_wrong",
                    .points_milli = POINTS_SECTORS * shared / all,
                    .max_points_milli = POINTS_SECTORS,
                    .answer_pointer = session_mark_pointer(mark),
                    .truth_pointer = session_lesion_pointer(lesion),
                    .text = text,
                    .rule = "PI-RADS v2.1 sector map (41 sectors); points by the share of sectors in common.",
                    .look_again = shared == all ? NULL : session_look(session, lesion),
                });
}

/* By the size alone one says 4 and the other 5, where the same sequence decides. */
static bool differ_by_size(const struct finding_model *expert, const struct finding_model *mark)
{
    int seen = pirads_deciding_score(expert->basis, expert->scores);
    int said = pirads_deciding_score(mark->basis, mark->scores);
    return expert->basis == mark->basis && expert->category == seen && mark->category == said &&
           ((seen == 4 && said == 5) || (seen == 5 && said == 4));
}

/* The rule between two categories: the size, or the row by which one of them was upgraded. */
static const char *what_decided(struct session *session, const struct finding_model *expert,
                                const struct finding_model *mark)
{
    const char *theirs = pirads_upgrade(pirads_category(expert->basis, expert->scores).row);
    struct pirads_ruling ruling = pirads_category(mark->basis, mark->scores);
    const char *own = ruling.category == mark->category ? pirads_upgrade(ruling.row) : NULL;
    if (differ_by_size(expert, mark))
        return " Between 4 and 5 decides the size: 5 needs 15 mm or more, or definite extraprostatic "
               "extension or invasive behaviour.";
    if (theirs)
        return report_printf(&session->report, " The expert's category comes from %s.", theirs);
    return own ? report_printf(&session->report, " Your scores are %s.", own) : "";
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
                         what_decided(session, expert, mark));
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
    bool open = !right && session_category_open(lesion, mark);
    const char *below =
        called < TARGET_CATEGORY && expert >= TARGET_CATEGORY
            ? " Below 3 no targeted biopsy follows; a systematic one may, at a PSA density of "
              "0.15 ng/ml/ml or more."
            : "";
    const char *text = right ? report_printf(&session->report, "The category is right: PI-RADS %d.", called)
                             : report_printf(&session->report, "You called PI-RADS %d, the expert %d.%s%s",
                                             called, expert, score_difference(session, lesion, mark), below);
    int32_t points = right || open ? POINTS_CATEGORY : by_one ? POINTS_CATEGORY_BY_ONE : 0;
    session_add(session, lesion, PART_CHARACTERISATION,
                (overread_finding){
                    .verdict = open ? OVERREAD_NOTE : session_verdict(points, POINTS_CATEGORY),
                    .code = right             ? "category_right"
                            : open            ? "category_not_judged"
                            : called > expert ? "over_called"
                                              : "under_called",
                    .points_milli = points,
                    .max_points_milli = POINTS_CATEGORY,
                    .answer_pointer = session_mark_pointer(mark),
                    .truth_pointer = session_lesion_pointer(lesion),
                    .text = text,
                    .rule = expert_rule(&lesion->common),
                    .look_again = right ? NULL : session_look(session, lesion),
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
        if (!mark && model_invisible(lesion)) {
            lesion_invisible(session, lesion);
        } else if (!mark) {
            lesion_missed(session, lesion);
        } else if (!session->matching.hit[i]) {
            lesion_mislocalised(session, lesion, mark);
        } else {
            lesion_found(session, lesion, mark);
            describe(session, lesion, mark);
        }
    }
}
