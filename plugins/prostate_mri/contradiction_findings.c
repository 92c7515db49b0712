/* Where the reader's own words disagree with each other: notes, without points. */
#include <string.h>
#include "session.h"
#include "common/fixed.h"

/* A place that is farther on the wrong side of the gland's middle than this is not a matter of its outline.
 */
#define BEYOND_THE_MIDDLE (5 * GEOMETRY_MM)

static const char *const find_a_target =
    "Go through ADC and high-b DWI from base to apex for a focus that is marked on both, then T2W of the "
    "transition zone; what you would aim at, mark.";

/* --- The sector against the place of the mark
 * ----------------------------------------------------------------- */

struct named { /* what all of the mark's sectors have in common */
    bool left, right, stroma, posteromedial, of_zone;
};

static struct named named_by(const struct finding_model *mark)
{
    struct named ret = {.left = true, .right = true, .stroma = true, .posteromedial = true};
    for (int i = 0; i < SECTOR_COUNT; i++) {
        if (!(mark->sectors & UINT64_C(1) << i))
            continue;
        const struct sector *sector = sector_at(i);
        ret.left &= sector->side == SECTOR_LEFT;
        ret.right &= sector->side == SECTOR_RIGHT;
        ret.stroma &= sector->zone == (int)PIRADS_AFS;
        ret.posteromedial &= strncmp(sector->code, "PZpm", 4) == 0;
        ret.of_zone |= sector->zone < 0 || sector->zone == (int)mark->zone;
    }
    return ret;
}

static void add_sector_note(struct session *session, const struct finding_model *mark, const char *text,
                            const char *look_again)
{
    report_add(
        &session->report, PART_CHARACTERISATION,
        (overread_finding){
            .verdict = OVERREAD_NOTE,
            .code = "sector_contradicts_position",
            .answer_pointer = session_mark_pointer(mark),
            .text = text,
            .rule = "PI-RADS v2.1 sector map: left and right are the patient's; each sector belongs to one "
                    "zone. The place of the mark counts, not the name.",
            .look_again = look_again,
        });
}

static void sector_finding(struct session *session, const struct finding_model *mark)
{
    if (!mark->sectors)
        return;
    struct named named = named_by(mark);
    const int64_t *middle = session->config.gland.centre.at;
    bool has_gland = session->config.has_gland;
    int64_t left = mark->position.at[0] - middle[0], behind = mark->position.at[1] - middle[1];
    const char *code = sector_at(sector_first(mark->sectors))->code;
    if (has_gland && ((named.left && left < -BEYOND_THE_MIDDLE) || (named.right && left > BEYOND_THE_MIDDLE)))
        add_sector_note(
            session, mark,
            report_printf(&session->report, "You named the sector %s, but your mark lies %s.", code,
                          session_mark_place(session, mark)),
            "Check left and right against your marker: on an axial image the patient's right is on "
            "the left of the picture.");
    else if (!named.of_zone)
        add_sector_note(
            session, mark,
            report_printf(&session->report,
                          "You named the sector %s, but the zone that you stated is the %s.", code,
                          pirads_zone_name(mark->zone)),
            "Find the surgical capsule on axial T2W at your mark: which side of it does the mark lie "
            "on?");
    else if (has_gland && ((named.stroma && behind > BEYOND_THE_MIDDLE) ||
                           (named.posteromedial && behind < -BEYOND_THE_MIDDLE)))
        add_sector_note(
            session, mark,
            report_printf(&session->report,
                          "You named the sector %s, but your mark lies %s mm %s the middle of the "
                          "gland.",
                          code, fixed_text(fixed_absolute(behind), 3, 0).text,
                          behind > 0 ? "behind" : "in front of"),
            "Check front and back against your marker: the anterior stroma lies before the urethra, "
            "the posteromedial peripheral zone against the rectum.");
}

/* --- Decision, management and probability against the marks
 * --------------------------------------------------- */

static void probability_finding(struct session *session)
{
    const struct case_facts *said = &session->answer.facts;
    const int64_t half = 500000;
    if (said->probability == MODEL_UNKNOWN || said->probability == half ||
        (said->probability > half) == said->cspca)
        return;
    report_add(&session->report, PART_DECISION,
               (overread_finding){
                   .verdict = OVERREAD_NOTE,
                   .code = "probability_contradicts",
                   .answer_pointer = "/cspca_probability",
                   .text = report_printf(&session->report,
                                         "You held significant cancer %s %% likely and yet decided %s.",
                                         fixed_text(said->probability, 4, 0).text,
                                         said->cspca ? "that it is there" : "that it is not there"),
                   .rule = "A decision that differs from what the reader holds likelier should be meant.",
                   .look_again = "Compare your decision with the probability that you gave it.",
               });
}

static void target_finding(struct session *session)
{
    if (!session->answer.facts.cspca || model_own_category(&session->answer) >= TARGET_CATEGORY ||
        session_only_invisible(session))
        return;
    report_add(
        &session->report, PART_DECISION,
        (overread_finding){
            .verdict = OVERREAD_NOTE,
            .code = "decision_without_target",
            .answer_pointer = "/cspca",
            .text = "You decided for clinically significant cancer, but marked no lesion of PI-RADS 3 or "
                    "more that a biopsy could aim at.",
            .rule = "A decision for significant cancer on MRI rests on at least one target (PI-RADS 3 to 5).",
            .look_again = find_a_target,
        });
}

/* Do all the own calls of 4 or 5 lie where the expert called 4 or 5 too, and histology found no significant
 * cancer? Then to deny it is right, and MRI could not tell. */
static bool only_looks_like_cancer(const struct session *session)
{
    if (session->truth.facts.cspca)
        return false;
    for (int j = 0; j < session->answer.count; j++) {
        if (session->answer.marks[j].category < SUSPICIOUS_CATEGORY)
            continue;
        int lesion = session->matching.lesion_of_mark[j];
        if (session->matching.role[j] != ROLE_BENIGN ||
            session->truth.lesions[lesion].common.category < SUSPICIOUS_CATEGORY)
            return false;
    }
    return true;
}

/* The own category of 4 or 5 against a denial of cancer, and against leaving the biopsy out. */
static void category_findings(struct session *session)
{
    const struct case_facts *said = &session->answer.facts;
    int own = model_own_category(&session->answer);
    if (own < SUSPICIOUS_CATEGORY)
        return;
    if (!said->cspca && !only_looks_like_cancer(session))
        report_add(
            &session->report, PART_DECISION,
            (overread_finding){
                .verdict = OVERREAD_NOTE,
                .code = "decision_contradicts_category",
                .answer_pointer = "/cspca",
                .text = report_printf(&session->report,
                                      "You decided against clinically significant cancer, and yet called "
                                      "PI-RADS %d.",
                                      own),
                .rule = "PI-RADS v2.1: 4 means that clinically significant cancer is likely, 5 that it is "
                        "highly likely.",
                .look_again = "Look at your highest call once more: is it a 4 or 5 by its scores?",
            });
    if (said->management == MANAGEMENT_NO_BIOPSY)
        report_add(&session->report, PART_DECISION,
                   (overread_finding){
                       .verdict = OVERREAD_NOTE,
                       .code = "management_contradicts_category",
                       .answer_pointer = "/management",
                       .text = report_printf(&session->report,
                                             "You called PI-RADS %d, and yet chose no biopsy.", own),
                       .rule = "PI-RADS v2.1: biopsy should be considered at category 4 and 5.",
                       .look_again = "Look at your highest call once more: if it stands, a biopsy follows.",
                   });
}

static void aim_finding(struct session *session)
{
    int management = session->answer.facts.management;
    if (management == MODEL_UNKNOWN || !model_targets(management) ||
        model_own_category(&session->answer) >= TARGET_CATEGORY)
        return;
    report_add(&session->report, PART_DECISION,
               (overread_finding){
                   .verdict = OVERREAD_NOTE,
                   .code = "management_without_target",
                   .answer_pointer = "/management",
                   .text = report_printf(&session->report,
                                         "You chose %s, but marked no lesion of PI-RADS 3 or more to aim at.",
                                         model_management_text(management)),
                   .rule = "A targeted biopsy takes its cores from a lesion that MRI shows (PI-RADS 3 to 5).",
                   .look_again = session_only_invisible(session) ? session_look_beyond_mri : find_a_target,
               });
}

void findings_of_contradictions(struct session *session)
{
    probability_finding(session);
    target_finding(session);
    category_findings(session);
    aim_finding(session);
    for (int j = 0; j < session->answer.count; j++)
        sector_finding(session, &session->answer.marks[j]);
}
