#include "session.h"
#include "common/fixed.h"

/* One step of suspicion: 1-2-3-4-5; 0 stands beside 4, where the work-up starts, and 6 beside 5. */
static int suspicion(int category)
{
    return category == 0 ? 4 : category == 6 ? 5 : category;
}

const char *const session_screening_rule = "ACR BI-RADS Atlas, 5th ed. 2013: at screening what needs work-up "
                                           "is category 0; 4 and 5 are given after the "
                                           "diagnostic work-up.";

bool session_is_screening_0(const struct session *session, int called, int expert)
{
    return session->config.setting == SETTING_SCREENING && called == 0 && (expert == 4 || expert == 5);
}

bool session_is_category_right(const struct session *session, int called, int expert)
{
    return called == expert || session_is_screening_0(session, called, expert);
}

int32_t session_category_points(const struct session *session, int called, int expert)
{
    bool recalls_3 = session->config.recalls_3;
    int64_t steps = fixed_absolute(suspicion(called) - suspicion(expert));
    if (session_is_category_right(session, called, expert))
        return POINTS_CATEGORY;
    if (birads_action(called, recalls_3) == birads_action(expert, recalls_3))
        return POINTS_CATEGORY_SAME_ACTION;
    return steps <= 1 ? POINTS_CATEGORY_BY_ONE : 0;
}

const char *session_category_code(const struct session *session, int called, int expert)
{
    bool recalls_3 = session->config.recalls_3;
    if (session_is_screening_0(session, called, expert))
        return "category_0_at_screening";
    if (called == expert)
        return "category_right";
    if (birads_action(called, recalls_3) == birads_action(expert, recalls_3))
        return "category_same_action";
    return birads_rank(called) > birads_rank(expert) ? "over_called" : "under_called";
}

bool session_acts(const struct session *session, int called, int expert)
{
    bool recalls_3 = session->config.recalls_3;
    return birads_action(called, recalls_3) >= birads_action(expert, recalls_3) ||
           birads_action(called, recalls_3) >= BIRADS_TREATMENT;
}

const char *session_pointer(struct session *session, const struct finding_model *finding)
{
    return report_printf(&session->report, "/findings/%u", finding->index);
}

const char *session_breast_pointer(struct session *session, const struct read_model *read, int side)
{
    if (!read->breasts[side].there)
        return NULL;
    return report_printf(&session->report, "/breasts/%s", model_side_keys[side]);
}

const char *session_place(struct session *session, const struct finding_model *finding)
{
    const char *places = "";
    for (int view = 0; view < VIEWS; view++) {
        const struct place *place = &finding->in[view];
        if (place->there)
            places = report_printf(&session->report, "%s%s%s %s, %s mm", places, *places ? "; " : "",
                                   model_view_keys[view], fixed_text(place->at[0], 3, 0).text,
                                   fixed_text(place->at[1], 3, 0).text);
    }
    return report_printf(&session->report, "in the %s breast (%s)", model_side_words[finding->side], places);
}

const char *session_match_rule(struct session *session)
{
    if (session->config.mode == MATCH_ELLIPSE)
        return "This case counts a mark inside the finding's outline, in at least one view, as a hit; one "
               "mark per finding, as many hits as possible.";
    return report_printf(&session->report,
                         "This case counts a mark within %s mm of the finding's centre, or inside its "
                         "outline, in at least one view, as a hit; one mark per finding, as many hits "
                         "as possible.",
                         fixed_text(session->config.distance, 3, 1).text);
}
