#include "session.h"
#include "common/fixed.h"

const char *session_mark_pointer(struct session *session, const struct finding_model *mark)
{
    return report_printf(&session->report, "/lesions/%u", mark->index);
}

const char *session_lesion_pointer(struct session *session, const struct lesion_model *lesion)
{
    return session_mark_pointer(session, &lesion->common);
}

static const char *side_of(const struct session *session, const struct finding_model *finding)
{
    int64_t midline = session->config.has_gland
                          ? session->config.gland.centre.at[0]
                          : (session->config.bounds[0][0] + session->config.bounds[0][1]) / 2;
    int64_t left = finding->position.at[0] - midline;
    const int64_t undecided = 2 * GEOMETRY_MM;
    return fixed_absolute(left) <= undecided ? "midline" : left > 0 ? "left" : "right";
}

const char *session_place(struct session *session, const struct finding_model *finding)
{
    const struct sector *sector = sector_at(sector_first(finding->sectors));
    const char *place;
    if (!sector)
        place = report_printf(&session->report, "in the %s %s", side_of(session, finding),
                              pirads_zone_name(finding->zone));
    else if (sector_size(finding->sectors) == 1)
        place = report_printf(&session->report, "in the %s (%s)", sector->name, sector->code);
    else
        place = report_printf(&session->report, "in the %s (%s and %d more)", sector->name, sector->code,
                              sector_size(finding->sectors) - 1);
    return place;
}

const char *session_look(struct session *session, const struct finding_model *finding)
{
    const char *first = finding->basis == PIRADS_TZ ? "the axial T2W series first, then ADC and high-b DWI,"
                                                    : "ADC and high-b DWI first, then axial T2W,";
    return report_printf(&session->report, "Look at %s %s, near L %s, P %s, S %s mm.", first,
                         session_place(session, finding), fixed_text(finding->position.at[0], 3, 0).text,
                         fixed_text(finding->position.at[1], 3, 0).text,
                         fixed_text(finding->position.at[2], 3, 0).text);
}

const char *session_match_rule(struct session *session)
{
    switch (session->config.mode) {
    case MATCH_DISTANCE:
        return report_printf(
            &session->report,
            "This case counts a mark within %s mm of the lesion's centre, or inside it, as a hit; "
            "one mark per lesion, as many hits as possible (as PI-CAI matches).",
            fixed_text(session->config.distance, 3, 1).text);
    case MATCH_ELLIPSOID:
        return "This case counts a mark inside the lesion, or an outline that overlaps it with IoU 0.10 or "
               "more, as a hit; one mark per lesion, as many hits as possible (as PI-CAI matches).";
    case MATCH_POINT:
        return "This case counts a mark inside the lesion as a hit; one mark per lesion, as many hits as "
               "possible (as PI-CAI matches).";
    }
    return NULL;
}

bool session_called_over(const struct session *session, int mark)
{
    int lesion = session->matching.lesion_of_mark[mark];
    int expert = session->truth.lesions[lesion].common.category;
    int called = session->answer.marks[mark].category;
    return called >= TARGET_CATEGORY && called > (expert ? expert : TARGET_CATEGORY);
}
