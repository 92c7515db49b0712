#include "session.h"
#include "common/fixed.h"

/* Nearly every finding has one: they are not written anew. */
const char *session_mark_pointer(const struct finding_model *mark)
{
    static const char *const pointers[MODEL_LESIONS] = {
        "/lesions/0",  "/lesions/1",  "/lesions/2",  "/lesions/3",  "/lesions/4",
        "/lesions/5",  "/lesions/6",  "/lesions/7",  "/lesions/8",  "/lesions/9",
        "/lesions/10", "/lesions/11", "/lesions/12", "/lesions/13", "/lesions/14",
        "/lesions/15", "/lesions/16", "/lesions/17", "/lesions/18", "/lesions/19"};
    return pointers[mark->index];
}

const char *session_lesion_pointer(const struct lesion_model *lesion)
{
    return session_mark_pointer(&lesion->common);
}

/* By the gland's middle. NULL: without a gland nobody knows where that is; the image need not be centred. */
static const char *side_of(const struct session *session, const struct finding_model *finding)
{
    const int64_t undecided = 2 * GEOMETRY_MM;
    if (!session->config.has_gland)
        return NULL;
    int64_t left = finding->position.at[0] - session->config.gland.centre.at[0];
    return fixed_absolute(left) <= undecided ? "midline" : left > 0 ? "left" : "right";
}

static const char *place_words(struct session *session, const struct finding_model *lesion)
{
    const struct sector *sector = sector_at(sector_first(lesion->sectors));
    const char *side = side_of(session, lesion);
    if (!sector)
        return report_printf(&session->report, "in the %s%s%s", side ? side : "", side ? " " : "",
                             pirads_zone_name(lesion->zone));
    if (sector_size(lesion->sectors) == 1)
        return report_printf(&session->report, "in the %s (%s)", sector->name, sector->code);
    return report_printf(&session->report, "in the %s (%s and %d more)", sector->name, sector->code,
                         sector_size(lesion->sectors) - 1);
}

const char *session_place(struct session *session, const struct lesion_model *lesion)
{
    const char **place = &session->places[lesion->common.index];
    if (!*place)
        *place = place_words(session, &lesion->common);
    return *place;
}

struct place { /* coordinates, in whole millimetres */
    struct fixed_text at[3];
};

static struct place place_of(const struct finding_model *finding)
{
    struct place place;
    for (int i = 0; i < 3; i++)
        place.at[i] = fixed_text(finding->position.at[i], 3, 0);
    return place;
}

const char *session_mark_place(struct session *session, const struct finding_model *mark)
{
    const char *side = side_of(session, mark);
    struct place place = place_of(mark);
    if (!side)
        return report_printf(&session->report, "near L %s, P %s, S %s mm", place.at[0].text, place.at[1].text,
                             place.at[2].text);
    return report_printf(&session->report, "%s%s (L %s, P %s, S %s mm)",
                         side[0] == 'm' ? "near the " : "on the patient's ", side, place.at[0].text,
                         place.at[1].text, place.at[2].text);
}

static const char *sequences_to_look_at(const struct finding_model *finding)
{
    if (finding->has_scores && finding->scores.dwi == PIRADS_SCORE_X)
        return "the axial T2W series first, since DWI is inadequate there, then DCE";
    return finding->basis == PIRADS_TZ ? "the axial T2W series first, then ADC and high-b DWI"
                                       : "ADC and high-b DWI first, then axial T2W";
}

const char *session_look(struct session *session, const struct lesion_model *lesion)
{
    const char **look = &session->looks[lesion->common.index];
    struct place place = place_of(&lesion->common);
    if (!*look)
        *look = report_printf(&session->report, "Look at %s, %s, near L %s, P %s, S %s mm.",
                              sequences_to_look_at(&lesion->common), session_place(session, lesion),
                              place.at[0].text, place.at[1].text, place.at[2].text);
    return *look;
}

const char *session_look_at_mark(struct session *session, const struct finding_model *mark)
{
    return report_printf(&session->report, "Look at %s, at your mark %s.", sequences_to_look_at(mark),
                         session_mark_place(session, mark));
}

const char *session_match_rule(struct session *session, const struct lesion_model *lesion)
{
    switch (session->config.mode) {
    case MATCH_DISTANCE:
        return report_printf(
            &session->report,
            "This case counts a mark within %s mm of the lesion's %s, or inside it, as a hit; "
            "one mark per lesion, as many hits as possible (as PI-CAI matches).",
            fixed_text(session->config.distance, 3, 1).text,
            lesion->common.has_target ? "target point" : "centre");
    case MATCH_ELLIPSOID:
        return "This case counts a mark inside the lesion, or an outline that overlaps it with IoU 0.10 or "
               "more, as a hit; one mark per lesion, as many hits as possible (as PI-CAI matches).";
    case MATCH_POINT:
        return "This case counts a mark inside the lesion as a hit; one mark per lesion, as many hits as "
               "possible (as PI-CAI matches).";
    }
    return NULL;
}

/* What PI-RADS leaves open is between categories: with T2W 3 whether DCE upgrades to 4, and no more. */
static bool may_be(const struct pirads_scores *undefined, int category)
{
    return category >= TARGET_CATEGORY && (undefined->t2w != 3 || category <= SUSPICIOUS_CATEGORY);
}

bool session_category_open(const struct lesion_model *lesion, const struct finding_model *mark)
{
    const struct finding_model *expert = &lesion->common;
    if (!expert->has_scores || pirads_category(mark->basis, mark->scores).category != 0)
        return false;
    bool neither = pirads_category(expert->basis, expert->scores).category == 0;
    bool same = mark->scores.t2w == expert->scores.t2w && mark->scores.dwi == expert->scores.dwi;
    return (neither || same) && may_be(&mark->scores, mark->category);
}

bool session_only_invisible(const struct session *session)
{
    for (int i = 0; i < session->truth.significant; i++) {
        if (!model_invisible(&session->truth.lesions[i]))
            return false;
    }
    return session->truth.significant > 0;
}

const char *const session_look_beyond_mri =
    "Weigh what MRI does not show: a PSA density of 0.15 ng/ml/ml or more, the course of the PSA, family "
    "history, the rectal examination and earlier biopsies. After a negative MRI they decide whether a "
    "systematic biopsy follows.";

uint32_t session_verdict(int32_t points, int32_t worth)
{
    return points == worth ? OVERREAD_HIT : points > 0 ? OVERREAD_PARTIAL : OVERREAD_MISS;
}

void session_add(struct session *session, const struct lesion_model *lesion, enum report_part part,
                 overread_finding finding)
{
    if (model_invisible(lesion)) {
        finding.points_milli = 0;
        finding.max_points_milli = 0;
        if (finding.verdict != OVERREAD_HIT)
            finding.verdict = OVERREAD_NOTE;
    }
    report_add(&session->report, part, finding);
}

bool session_called_over(const struct session *session, int mark)
{
    int lesion = session->matching.lesion_of_mark[mark];
    int expert = session->truth.lesions[lesion].common.category;
    int called = session->answer.marks[mark].category;
    return called >= TARGET_CATEGORY && called > (expert ? expert : TARGET_CATEGORY);
}
