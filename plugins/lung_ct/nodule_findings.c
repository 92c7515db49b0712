/* Findings about the actionable nodules of the truth: found or not, and how they were described. */
#include "session.h"
#include "common/fixed.h"

static int32_t points_of_description(const struct lung_nodule *nodule)
{
    bool solid = nodule->reading.type == LUNG_PART_SOLID && nodule->reading.solid != LUNG_UNKNOWN;
    return LUNG_POINTS_TYPE + LUNG_POINTS_SIZE + (solid ? LUNG_POINTS_SOLID : 0) + LUNG_POINTS_STATUS +
           LUNG_POINTS_CATEGORY + LUNG_POINTS_RULE;
}

/* "part-solid nodule of 9.0 mm (Lung-RADS 4A) in the upper part of the left chest" */
static const char *describe(struct lung_session *session, const struct lung_nodule *nodule)
{
    return report_printf(&session->report, "%s of %s (Lung-RADS %s) %s",
                         lung_type_text((int)nodule->reading.type),
                         lung_size(session, nodule->reading.mean, nodule->volume),
                         lung_category_text((int)nodule->category), lung_place(session, nodule));
}

static void not_characterised(struct lung_session *session, const struct lung_nodule *nodule)
{
    report_add(
        &session->report, PART_CHARACTERISATION,
        (overread_finding){
            .verdict = OVERREAD_MISS,
            .code = "not_characterised",
            .max_points_milli = points_of_description(nodule),
            .truth_pointer = lung_pointer(session, nodule),
            .text = "A nodule that was not hit is not described either: type, size, status and category of "
                    "this one earn nothing.",
            .rule = "Type, size, status and category are compared for nodules that a mark hits.",
            .look_again = lung_look(session, nodule),
        });
}

static void missed(struct lung_session *session, const struct lung_nodule *nodule)
{
    session->misses++;
    report_add(&session->report, PART_LOCALISATION,
               (overread_finding){
                   .verdict = OVERREAD_MISS,
                   .code = "nodule_missed",
                   .max_points_milli = LUNG_POINTS_FOUND,
                   .truth_pointer = lung_pointer(session, nodule),
                   .text = report_printf(&session->report, "You missed the %s.%s", describe(session, nodule),
                                         lung_outcome(session, nodule)),
                   .rule = lung_match_rule(session),
                   .look_again = lung_look(session, nodule),
               });
    not_characterised(session, nodule);
}

static void mislocalised(struct lung_session *session, const struct lung_nodule *nodule,
                         const struct lung_nodule *mark)
{
    int64_t distance = lung_distance(nodule->body.centre, mark->body.centre);
    session->near_misses++;
    report_add(&session->report, PART_LOCALISATION,
               (overread_finding){
                   .verdict = OVERREAD_PARTIAL,
                   .code = "mislocalised",
                   .points_milli = LUNG_POINTS_NEAR,
                   .max_points_milli = LUNG_POINTS_FOUND,
                   .answer_pointer = lung_pointer(session, mark),
                   .truth_pointer = lung_pointer(session, nodule),
                   .text = report_printf(&session->report,
                                         "Your mark lies %s mm from the centre of the %s: near it, but "
                                         "not a hit.%s",
                                         fixed_text(distance, 3, 1).text, describe(session, nodule),
                                         lung_outcome(session, nodule)),
                   .rule = lung_match_rule(session),
                   .look_again = lung_look(session, nodule),
               });
    not_characterised(session, nodule);
}

static void found(struct lung_session *session, const struct lung_nodule *nodule,
                  const struct lung_nodule *mark)
{
    bool dismissed = mark->category < LUNG_3;
    int64_t distance = lung_distance(nodule->body.centre, mark->body.centre);
    const char *text =
        dismissed
            ? report_printf(&session->report,
                            "You saw the %s but called it %s: no follow-up before the next annual "
                            "screening would come of it.%s",
                            describe(session, nodule), lung_category_text((int)mark->category),
                            lung_outcome(session, nodule))
            : report_printf(&session->report, "You found the %s: your mark lies %s mm from its centre.%s",
                            describe(session, nodule), fixed_text(distance, 3, 1).text,
                            lung_outcome(session, nodule));
    session->hits += !dismissed;
    session->misses += dismissed;
    report_add(&session->report, PART_LOCALISATION,
               (overread_finding){
                   .verdict = dismissed ? OVERREAD_PARTIAL : OVERREAD_HIT,
                   .code = dismissed ? "nodule_dismissed" : "nodule_found",
                   .points_milli = dismissed ? LUNG_POINTS_DISMISSED : LUNG_POINTS_FOUND,
                   .max_points_milli = LUNG_POINTS_FOUND,
                   .answer_pointer = lung_pointer(session, mark),
                   .truth_pointer = lung_pointer(session, nodule),
                   .text = text,
                   .rule = lung_match_rule(session),
                   .look_again = dismissed ? lung_look(session, nodule) : NULL,
               });
}

static int32_t type_points(const struct lung_reading *said, const struct lung_reading *truth)
{
    bool both_solid = (said->type == LUNG_SOLID && truth->type == LUNG_JUXTAPLEURAL) ||
                      (said->type == LUNG_JUXTAPLEURAL && truth->type == LUNG_SOLID);
    if (said->type != truth->type)
        return both_solid ? LUNG_POINTS_TYPE_PARTLY : 0;
    bool same_kind = (truth->type != LUNG_AIRWAY || said->airway == truth->airway) &&
                     (truth->type != LUNG_CYST || said->cyst == truth->cyst);
    return same_kind ? LUNG_POINTS_TYPE : LUNG_POINTS_TYPE_PARTLY;
}

static void type_finding(struct lung_session *session, const struct lung_nodule *nodule,
                         const struct lung_nodule *mark)
{
    int32_t points = type_points(&mark->reading, &nodule->reading);
    bool right = points == LUNG_POINTS_TYPE, partly = points > 0 && !right;
    const char *text =
        right ? report_printf(&session->report, "The type is right: %s.",
                              lung_type_text((int)mark->reading.type))
        : mark->reading.type == nodule->reading.type
            ? report_printf(&session->report, "It is an %s, as you said, but of another kind than you said.",
                            lung_type_text((int)mark->reading.type))
            : report_printf(&session->report, "You called the type \"%s\"; it is \"%s\".%s",
                            lung_type_text((int)mark->reading.type),
                            lung_type_text((int)nodule->reading.type),
                            partly ? " Both are solid." : " Each type has thresholds of its own.");
    report_add(
        &session->report, PART_CHARACTERISATION,
        (overread_finding){
            .verdict = right ? OVERREAD_HIT : OVERREAD_PARTIAL,
            .code = right ? "type_right" : "type_wrong",
            .points_milli = points,
            .max_points_milli = LUNG_POINTS_TYPE,
            .answer_pointer = lung_pointer(session, mark),
            .truth_pointer = lung_pointer(session, nodule),
            .text = text,
            .rule = "Lung-RADS v2022 (ACR): the type of the nodule decides which row of the table applies.",
            .look_again = right ? NULL : lung_look(session, nodule),
        });
}

/* What the reader's own description gives with the true measurement, where that changes the category. */
static const char *consequence(struct lung_session *session, const struct lung_nodule *mark, int mean,
                               int solid)
{
    struct lung_reading reading = mark->reading;
    int own = (int)lung_category_of(&reading).category;
    reading.mean = mean;
    reading.solid = solid;
    int other = (int)lung_category_of(&reading).category;
    if (own == other || own == LUNG_NOT_DEFINED || other == LUNG_NOT_DEFINED)
        return "";
    return report_printf(&session->report,
                         " That matters: a threshold lies between, and your description gives "
                         "%s with the true size, not %s.",
                         lung_category_text(other), lung_category_text(own));
}

static const char *measure_rule(struct lung_session *session, bool by_volume)
{
    const char *tolerance =
        report_printf(&session->report, "%s", fixed_text(session->config.size_tolerance, 1, 1).text);
    return by_volume
               ? report_printf(&session->report,
                               "A volume counts as the sphere that has it: Lung-RADS v2022 (ACR) states each "
                               "threshold both ways. Right within %s mm of diameter in this case.",
                               tolerance)
               : report_printf(&session->report,
                               "Mean of long and short axis in the lung window, to 0.1 mm "
                               "(Lung-RADS v2022); right within %s mm in this case.",
                               tolerance);
}

static void measure_finding(struct lung_session *session, const struct lung_nodule *nodule,
                            const struct lung_nodule *mark, bool solid)
{
    int truth = solid ? nodule->reading.solid : nodule->reading.mean;
    int said = solid ? mark->reading.solid : mark->reading.mean;
    int truth_volume = solid ? nodule->solid_volume : nodule->volume;
    int said_volume = solid ? mark->solid_volume : mark->volume;
    bool by_volume = truth_volume != LUNG_UNKNOWN || said_volume != LUNG_UNKNOWN;
    bool right = said != LUNG_UNKNOWN && fixed_absolute(said - truth) <= session->config.size_tolerance;
    const char *what = solid ? "the solid component" : "the nodule";
    const char *text;
    if (said == LUNG_UNKNOWN)
        text = report_printf(&session->report, "You did not measure %s; its %s %s.", what,
                             truth_volume == LUNG_UNKNOWN ? "mean diameter is" : "volume is",
                             lung_size(session, truth, truth_volume));
    else
        text = report_printf(&session->report, "You measured %s for %s, the truth is %s.%s",
                             lung_size(session, said, said_volume), what,
                             lung_size(session, truth, truth_volume),
                             solid ? consequence(session, mark, mark->reading.mean, truth)
                                   : consequence(session, mark, truth, mark->reading.solid));
    report_add(&session->report, PART_CHARACTERISATION,
               (overread_finding){
                   .verdict = right ? OVERREAD_HIT : OVERREAD_PARTIAL,
                   .code = solid   ? (right ? "solid_right" : "solid_wrong")
                           : right ? "size_right"
                                   : "size_wrong",
                   .points_milli = right ? LUNG_POINTS_SIZE : 0,
                   .max_points_milli = LUNG_POINTS_SIZE,
                   .answer_pointer = lung_pointer(session, mark),
                   .truth_pointer = lung_pointer(session, nodule),
                   .text = text,
                   .rule = measure_rule(session, by_volume),
                   .look_again = right ? NULL : lung_look(session, nodule),
               });
}

static void status_finding(struct lung_session *session, const struct lung_nodule *nodule,
                           const struct lung_nodule *mark)
{
    bool right = nodule->reading.status == mark->reading.status;
    const char *said = lung_status_text((int)mark->reading.status);
    const char *truth = lung_status_text((int)nodule->reading.status);
    const char *text =
        right ? report_printf(&session->report, "The status is right: %s.", said)
              : report_printf(&session->report, "You said \"%s\"; it is \"%s\".%s", said, truth,
                              session->config.interval_months == LUNG_UNKNOWN
                                  ? " There is no prior examination: every nodule is at baseline."
                                  : "");
    report_add(
        &session->report, PART_CHARACTERISATION,
        (overread_finding){
            .verdict = right ? OVERREAD_HIT : OVERREAD_PARTIAL,
            .code = right ? "status_right" : "status_wrong",
            .points_milli = right ? LUNG_POINTS_STATUS : 0,
            .max_points_milli = LUNG_POINTS_STATUS,
            .answer_pointer = lung_pointer(session, mark),
            .truth_pointer = lung_pointer(session, nodule),
            .text = text,
            .rule = "Lung-RADS v2022 (ACR): growth is more than 1.5 mm in mean diameter within 12 months.",
            .look_again = right ? NULL : "Compare the same slice and window with the prior examination.",
        });
}

void lung_findings_of_nodules(struct lung_session *session)
{
    for (int i = 0; i < session->truth.actionable; i++) {
        const struct lung_nodule *nodule = &session->truth.nodules[i];
        int at = session->matching.mark_of_nodule[i];
        const struct lung_nodule *mark = at < 0 ? NULL : &session->answer.nodules[at];
        if (!mark) {
            missed(session, nodule);
            continue;
        }
        if (!session->matching.hit[i]) {
            mislocalised(session, nodule, mark);
            continue;
        }
        found(session, nodule, mark);
        type_finding(session, nodule, mark);
        measure_finding(session, nodule, mark, false);
        if (nodule->reading.type == LUNG_PART_SOLID && nodule->reading.solid != LUNG_UNKNOWN)
            measure_finding(session, nodule, mark, true);
        status_finding(session, nodule, mark);
        lung_findings_of_category(session, mark, nodule);
        lung_findings_of_rule(session, mark, nodule);
    }
}
