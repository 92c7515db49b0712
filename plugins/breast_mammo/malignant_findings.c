/* Findings about the malignant findings of the truth: found or not, and how well they were described. */
#include "session.h"
#include "common/fixed.h"

enum { SIZE_TOLERANCE_PERCENT = 20, SIZE_TOLERANCE_MM = 3 };

static const char *kind(struct session *session, const struct finding_model *finding)
{
    const char *type = model_type_words(finding->type);
    if (!finding->histology)
        return report_printf(&session->report, "malignant %s", type);
    return report_printf(&session->report, "malignant %s (%s)", type, finding->histology);
}

static int views_of(const struct finding_model *finding)
{
    int views = 0;
    for (int view = 0; view < VIEWS; view++)
        views += finding->in[view].there;
    return views;
}

static bool asks_size(const struct session *session, const struct finding_model *finding)
{
    return (session->config.asked & ASKED_SIZE) != 0 && finding->size != MODEL_UNKNOWN;
}

static int32_t second_view_points(const struct finding_model *finding)
{
    return views_of(finding) >= 2 ? POINTS_SECOND_VIEW : 0;
}

/* Each type has its own way of being found. */
static const char *look(struct session *session, const struct finding_model *finding)
{
    static const char *const how[] = {
        "look for an outward border that is spiculated or indistinct, in both views",
        "magnify, and judge shape and distribution of the calcifications",
        ("compare with the other breast and with the other view: asymmetry seen in one view only may be "
         "summation"),
        "look for lines that radiate from one point, and for tissue drawn in at its edge",
    };
    return report_printf(&session->report, "Go back to the finding %s: %s.", session_place(session, finding),
                         how[finding->type]);
}

/* --- Not hit ---------------------------------------------------------------------------------------- */

static void lost_description(struct session *session, const struct finding_model *finding)
{
    report_add(&session->report, PART_CHARACTERISATION,
               (overread_finding){
                   .verdict = OVERREAD_MISS,
                   .code = "not_characterised",
                   .max_points_milli =
                       POINTS_TYPE + POINTS_CATEGORY + (asks_size(session, finding) ? POINTS_ASKED : 0),
                   .truth_pointer = session_pointer(session, finding),
                   .text = report_printf(&session->report,
                                         "As the finding %s was not hit, its type and category could not be "
                                         "judged.",
                                         session_place(session, finding)),
                   .rule = "Only a finding that was hit is characterised.",
                   .look_again = look(session, finding),
               });
}

static const char *near_words(struct session *session, const struct finding_model *finding,
                              const struct finding_model *mark, enum mark_role role)
{
    int64_t distance;
    const char *what = kind(session, finding), *place = session_place(session, finding);
    if (role == ROLE_WRONG_VIEW)
        return report_printf(
            &session->report,
            "Your mark has the place of the %s %s, but you stated it for another view of that "
            "breast.",
            what, place);
    if (role == ROLE_MIRROR)
        return report_printf(&session->report,
                             "You marked the place of the %s in the %s breast; it lies %s. The wrong breast "
                             "would have been worked up.",
                             what, model_side_words[mark->side], place);
    (void)matching_views(&session->config, finding, mark, &distance);
    return report_printf(&session->report,
                         "Your mark lies %s mm from the %s %s: near, but a spot view or a biopsy aimed there "
                         "could miss it.",
                         fixed_text(distance, 3, 1).text, what, place);
}

static void not_hit(struct session *session, const struct finding_model *finding,
                    const struct finding_model *mark, enum mark_role role)
{
    overread_finding missed = {
        .verdict = mark && role != ROLE_MIRROR ? OVERREAD_PARTIAL : OVERREAD_MISS,
        .max_points_milli = POINTS_FOUND + second_view_points(finding),
        .answer_pointer = mark ? session_pointer(session, mark) : NULL,
        .truth_pointer = session_pointer(session, finding),
        .rule = session_match_rule(session),
        .look_again = look(session, finding),
    };
    session->misses++;
    if (!mark) {
        missed.code = "finding_missed";
        missed.text = report_printf(&session->report, "You missed the %s %s. The expert called it %s.",
                                    kind(session, finding), session_place(session, finding),
                                    birads_words(finding->birads));
    } else {
        missed.code = role == ROLE_MIRROR       ? "laterality_error"
                      : role == ROLE_WRONG_VIEW ? "wrong_view"
                                                : "mislocalised";
        missed.points_milli = role == ROLE_MIRROR       ? 0
                              : role == ROLE_WRONG_VIEW ? POINTS_WRONG_VIEW
                                                        : POINTS_MISLOCALISED;
        missed.text = near_words(session, finding, mark, role);
    }
    report_add(&session->report, PART_LOCALISATION, missed);
    lost_description(session, finding);
}

/* --- Hit -------------------------------------------------------------------------------------------- */

static void found(struct session *session, const struct finding_model *finding,
                  const struct finding_model *mark)
{
    int64_t distance;
    bool dismissed = !session_acts(session, mark->birads, finding->birads);
    (void)matching_views(&session->config, finding, mark, &distance);
    const char *text =
        dismissed
            ? report_printf(
                  &session->report, "You saw the %s %s but called it %s: the cancer would have waited.",
                  kind(session, finding), session_place(session, finding), birads_words(mark->birads))
            : report_printf(&session->report, "You found the %s %s: your mark lies %s mm from its centre.",
                            kind(session, finding), session_place(session, finding),
                            fixed_text(distance, 3, 1).text);
    session->hits += !dismissed;
    session->misses += dismissed;
    report_add(&session->report, PART_LOCALISATION,
               (overread_finding){
                   .verdict = dismissed ? OVERREAD_PARTIAL : OVERREAD_HIT,
                   .code = dismissed ? "finding_dismissed" : "finding_found",
                   .points_milli = dismissed ? POINTS_DISMISSED : POINTS_FOUND,
                   .max_points_milli = POINTS_FOUND,
                   .answer_pointer = session_pointer(session, mark),
                   .truth_pointer = session_pointer(session, finding),
                   .text = text,
                   .rule = session_match_rule(session),
                   .look_again = dismissed ? look(session, finding) : NULL,
               });
}

static const char *second_view_words(struct session *session, const struct finding_model *finding,
                                     const struct finding_model *mark)
{
    for (int view = 0; view < VIEWS; view++) {
        if (!finding->in[view].there || matching_agrees(&session->config, finding, mark, view))
            continue;
        if (!mark->in[view].there)
            return report_printf(&session->report,
                                 "You marked the finding in one view; it is seen in %s too.",
                                 model_view_keys[view]);
        return report_printf(
            &session->report,
            "Your marks do not agree: in %s the finding lies %s mm from where you marked it.",
            model_view_keys[view],
            fixed_text(matching_distance(finding->in[view].at, mark->in[view].at), 3, 1).text);
    }
    return NULL;
}

static void second_view(struct session *session, const struct finding_model *finding,
                        const struct finding_model *mark)
{
    int64_t distance;
    int views = matching_views(&session->config, finding, mark, &distance);
    bool right = views >= 2;
    if (views_of(finding) < 2)
        return;
    session->two_view_hits += right;
    report_add(&session->report, PART_LOCALISATION,
               (overread_finding){
                   .verdict = right ? OVERREAD_HIT : OVERREAD_PARTIAL,
                   .code = right ? "two_views_agree" : "second_view_missed",
                   .points_milli = right ? POINTS_SECOND_VIEW : 0,
                   .max_points_milli = POINTS_SECOND_VIEW,
                   .answer_pointer = session_pointer(session, mark),
                   .truth_pointer = session_pointer(session, finding),
                   .text = right ? report_printf(&session->report, "You located it in %d views.", views)
                                 : second_view_words(session, finding, mark),
                   .rule =
                       "A finding is located by two projections: its distance from the nipple is alike in "
                       "both.",
                   .look_again = right ? NULL : look(session, finding),
               });
}

static void type_finding(struct session *session, const struct finding_model *finding,
                         const struct finding_model *mark)
{
    bool right = finding->type == mark->type;
    report_add(&session->report, PART_CHARACTERISATION,
               (overread_finding){
                   .verdict = right ? OVERREAD_HIT : OVERREAD_PARTIAL,
                   .code = right ? "type_right" : "type_wrong",
                   .points_milli = right ? POINTS_TYPE : 0,
                   .max_points_milli = POINTS_TYPE,
                   .answer_pointer = session_pointer(session, mark),
                   .truth_pointer = session_pointer(session, finding),
                   .text = right
                               ? report_printf(&session->report, "The type is right: %s.",
                                               model_type_words(finding->type))
                               : report_printf(&session->report, "You called it %s; it is %s.",
                                               model_type_words(mark->type), model_type_words(finding->type)),
                   .rule = "ACR BI-RADS Atlas, 5th ed. 2013: a mass is seen in two projections with convex "
                           "borders; an asymmetry in one, without.",
                   .look_again = right ? NULL : look(session, finding),
               });
}

static const char *category_words(struct session *session, int said, int expert)
{
    if (said == expert)
        return report_printf(&session->report, "The finding's category is right: %s.", birads_words(expert));
    if (session_is_screening_0(session, said, expert))
        return report_printf(&session->report,
                             "You called the finding %s, which is right at screening: the work-up gave %s.",
                             birads_words(said), birads_words(expert));
    return report_printf(&session->report, "You called the finding %s, the expert %s: %s.",
                         birads_words(said), birads_words(expert), birads_consequence(expert));
}

static void category_finding(struct session *session, const struct finding_model *finding,
                             const struct finding_model *mark)
{
    bool right = session_is_category_right(session, mark->birads, finding->birads);
    report_add(
        &session->report, PART_CHARACTERISATION,
        (overread_finding){
            .verdict = right ? OVERREAD_HIT : OVERREAD_PARTIAL,
            .code = session_category_code(session, mark->birads, finding->birads),
            .points_milli = session_category_points(session, mark->birads, finding->birads),
            .max_points_milli = POINTS_CATEGORY,
            .answer_pointer = session_pointer(session, mark),
            .truth_pointer = session_pointer(session, finding),
            .text = category_words(session, mark->birads, finding->birads),
            .rule = session_is_screening_0(session, mark->birads, finding->birads)
                        ? session_screening_rule
                        : "ACR BI-RADS Atlas, 5th ed. 2013: 3 up to 2 % likely malignant, 4 over 2 % to "
                          "under 95 %, 5 at least 95 %; 0 when more imaging must come first.",
            .look_again = right ? NULL : look(session, finding),
        });
}

static void size_finding(struct session *session, const struct finding_model *finding,
                         const struct finding_model *mark)
{
    bool asked = asks_size(session, finding), answered = mark->size != MODEL_UNKNOWN;
    int64_t error = fixed_absolute(mark->size - finding->size);
    if (finding->size == MODEL_UNKNOWN || (!answered && !asked))
        return;
    bool right = answered && (error <= SIZE_TOLERANCE_MM * MODEL_MM ||
                              error * 100 <= finding->size * SIZE_TOLERANCE_PERCENT);
    report_add(
        &session->report, PART_CHARACTERISATION,
        (overread_finding){
            .verdict = !asked  ? OVERREAD_NOTE
                       : right ? OVERREAD_HIT
                               : OVERREAD_PARTIAL,
            .code = !answered ? "not_answered"
                    : right   ? "size_right"
                              : "size_wrong",
            .points_milli = asked && right ? POINTS_ASKED : 0,
            .max_points_milli = asked ? POINTS_ASKED : 0,
            .answer_pointer = session_pointer(session, mark),
            .truth_pointer = session_pointer(session, finding),
            .text =
                answered
                    ? report_printf(&session->report, "You measured %s mm, the truth is %s mm.",
                                    fixed_text(mark->size, 3, 1).text, fixed_text(finding->size, 3, 1).text)
                    : report_printf(&session->report, "You gave no size; the finding measures %s mm.",
                                    fixed_text(finding->size, 3, 1).text),
            .rule = "Greatest dimension: right within 3 mm or 20 %.",
            .look_again =
                right ? NULL
                      : report_printf(&session->report,
                                      "Go back to the finding %s and measure its greatest dimension in the "
                                      "view that shows it largest.",
                                      session_place(session, finding)),
        });
}

void findings_of_malignancies(struct session *session)
{
    for (int i = 0; i < session->truth.malignant; i++) {
        const struct finding_model *finding = &session->truth.findings[i];
        int at = session->matching.mark_of[i];
        const struct finding_model *mark = at < 0 ? NULL : &session->answer.findings[at];
        enum mark_role role = at < 0 ? ROLE_FALSE : session->matching.role[at];
        if (!mark || role != ROLE_HIT) {
            not_hit(session, finding, mark, role);
            continue;
        }
        found(session, finding, mark);
        second_view(session, finding, mark);
        type_finding(session, finding, mark);
        category_finding(session, finding, mark);
        size_finding(session, finding, mark);
    }
}
