/* Findings about marks that hit no actionable nodule. They may cost points, so they come after what earns
 * them. */
#include "session.h"
#include "common/fixed.h"

static const char *const cost_rule =
    "A mark where the truth holds nothing costs 2 points at category 4, 1 at 3 and none at 1 or 2; a nodule "
    "of "
    "category 1 or 2 that is called higher costs 1 or 0.5. A score does not fall below 0.";

static const char *pitfall(enum lung_type type)
{
    switch (type) {
    case LUNG_SOLID:
    case LUNG_PART_SOLID:
        return "Scroll through the neighbouring slices: a vessel goes on, a nodule ends.";
    case LUNG_GROUND_GLASS:
        return "Dependent opacity and breathing artefacts look like ground glass: compare with the other "
               "side.";
    case LUNG_JUXTAPLEURAL:
        return "Follow the pleura and the fissure: folds and intrapulmonary lymph nodes are flat and smooth.";
    case LUNG_AIRWAY:
        return "Mucus holds air, moves, or branches with the bronchus.";
    case LUNG_CYST:
        return "Emphysema has no wall: look for one in the lung window.";
    case LUNG_BENIGN:
        break;
    }
    return "A nodule with benign calcification or fat is category 1. Look for it in the soft-tissue window: "
           "calcium "
           "without a nodule is the wall of a vessel, the pleura or a scar.";
}

static const char *nearest_words(struct lung_session *session, const struct lung_nodule *mark)
{
    int64_t best = -1;
    for (int i = 0; i < session->truth.actionable; i++) {
        int64_t distance = lung_distance(session->truth.nodules[i].body.centre, mark->body.centre);
        if (best < 0 || distance < best)
            best = distance;
    }
    if (best < 0)
        return "";
    return report_printf(&session->report, " The nearest actionable nodule is %s mm away.",
                         fixed_text(best, 3, 1).text);
}

static void false_mark(struct lung_session *session, const struct lung_nodule *mark)
{
    bool actionable = mark->category >= LUNG_3, inside = lung_in_lungs(&session->config, mark->body.centre);
    int32_t cost = mark->category >= LUNG_4A ? LUNG_COST_FALSE_SUSPICIOUS : LUNG_COST_FALSE_PROBABLY_BENIGN;
    const char *category = lung_category_text((int)mark->category), *text;
    session->false_calls += actionable;
    if (!inside)
        text =
            report_printf(&session->report,
                          "Your mark (Lung-RADS %s) lies outside the lungs, where Lung-RADS has nothing to "
                          "say.%s",
                          category, nearest_words(session, mark));
    else if (actionable)
        text = report_printf(
            &session->report,
            "You called Lung-RADS %s %s, but the truth holds no nodule there: a false positive.%s", category,
            lung_place(session, mark), nearest_words(session, mark));
    else
        text = report_printf(&session->report,
                             "You marked a finding %s as Lung-RADS %s: nothing of concern is there.",
                             lung_place(session, mark), category);
    report_add(&session->report, PART_LOCALISATION,
               (overread_finding){
                   .verdict = actionable ? OVERREAD_FALSE_POSITIVE : OVERREAD_NOTE,
                   .code = !inside      ? "outside_lungs"
                           : actionable ? "false_positive"
                                        : "benign_mark",
                   .points_milli = actionable ? -report_cost(&session->report, cost) : 0,
                   .answer_pointer = lung_pointer(session, mark),
                   .text = text,
                   .rule = cost_rule,
                   .look_again = actionable ? pitfall(mark->reading.type) : NULL,
               });
    lung_findings_of_rule(session, mark, NULL);
}

static void minor_mark(struct lung_session *session, int at)
{
    const struct lung_nodule *mark = &session->answer.nodules[at];
    const struct lung_nodule *nodule = &session->truth.nodules[session->matching.nodule_of_mark[at]];
    bool over = mark->category >= LUNG_3;
    int32_t cost =
        mark->category >= LUNG_4A ? LUNG_COST_OVERCALLED_SUSPICIOUS : LUNG_COST_OVERCALLED_PROBABLY_BENIGN;
    struct lung_ruling ruling = lung_category_of(&nodule->reading);
    session->false_calls += over;
    report_add(
        &session->report, PART_LOCALISATION,
        (overread_finding){
            .verdict = over ? OVERREAD_FALSE_POSITIVE : OVERREAD_NOTE,
            .code = over ? "minor_nodule_over_called" : "minor_nodule",
            .points_milli = over ? -report_cost(&session->report, cost) : 0,
            .answer_pointer = lung_pointer(session, mark),
            .truth_pointer = lung_pointer(session, nodule),
            .text = report_printf(&session->report,
                                  "Your mark lies on the %s of %s %s, which is Lung-RADS %s; you "
                                  "called it %s.%s",
                                  lung_type_text((int)nodule->reading.type),
                                  lung_size(session, nodule->reading.mean, nodule->volume),
                                  lung_place(session, nodule), lung_category_text((int)nodule->category),
                                  lung_category_text((int)mark->category), lung_outcome(session, nodule)),
            .rule = over && ruling.category ? ruling.rule : cost_rule,
            .look_again = over ? lung_look(session, nodule) : NULL,
        });
    lung_findings_of_rule(session, mark, NULL);
}

static void duplicate_mark(struct lung_session *session, int at)
{
    const struct lung_nodule *nodule = &session->truth.nodules[session->matching.nodule_of_mark[at]];
    report_add(&session->report, PART_LOCALISATION,
               (overread_finding){
                   .verdict = OVERREAD_NOTE,
                   .code = "duplicate_mark",
                   .answer_pointer = lung_pointer(session, &session->answer.nodules[at]),
                   .truth_pointer = lung_pointer(session, nodule),
                   .text = "This nodule has another mark of yours already; this one was left out.",
                   .rule = lung_match_rule(session),
               });
}

void lung_findings_of_other_marks(struct lung_session *session)
{
    for (int j = 0; j < session->answer.count; j++) {
        switch (session->matching.role[j]) {
        case LUNG_ROLE_FALSE:
            false_mark(session, &session->answer.nodules[j]);
            break;
        case LUNG_ROLE_MINOR:
            minor_mark(session, j);
            break;
        case LUNG_ROLE_DUPLICATE:
            duplicate_mark(session, j);
            break;
        case LUNG_ROLE_HIT:
        case LUNG_ROLE_NEAR:
            break;
        }
    }
}
