/* Findings about the whole case: the decision, what the case asks besides, and whether the read counts as
 * correct. */
#include "session.h"
#include "common/fixed.h"

/* How many of the significant lesions the expert did not call 1 or 2. */
static int seen_by_the_expert(const struct session *session)
{
    int seen = 0;
    for (int i = 0; i < session->truth.significant; i++)
        seen += !model_invisible(&session->truth.lesions[i]);
    return seen;
}

void findings_of_decision(struct session *session)
{
    bool truth = session->truth.facts.cspca, said = session->answer.facts.cspca;
    bool hidden = session_only_invisible(session);
    overread_finding finding = {
        .max_points_milli = POINTS_DECISION,
        .answer_pointer = "/cspca",
        .truth_pointer = "/cspca",
        .rule = session->config.pirads_v2_definition
                    ? "Clinically significant cancer in this case: ISUP grade group 2 or more (Gleason 7 or "
                      "more), or a cancer over 0.5 ml or with extraprostatic extension (PI-RADS v2)."
                    : "Clinically significant cancer in this case: ISUP grade group 2 or more (PI-CAI).",
    };
    if (truth == said) {
        finding.verdict = OVERREAD_HIT;
        finding.code = "decision_right";
        finding.points_milli = POINTS_DECISION;
        finding.text =
            hidden  ? "You said that this patient has clinically significant cancer, and he has, though MRI "
                      "did not show it to the expert (PI-RADS 1 or 2)."
            : truth ? "You said that this patient has clinically significant cancer, and he has."
                    : "You said that this patient has no clinically significant cancer, and he has none.";
    } else if (truth) {
        finding.verdict = OVERREAD_MISS;
        finding.code = "decision_missed_cancer";
        finding.text =
            hidden
                ? "You said that there is no clinically significant cancer. That no lesion was marked does "
                  "not count against you; the decision is about the patient, in whom cancer was found that "
                  "MRI did not show to the expert either (PI-RADS 1 or 2)."
                : "You said that there is no clinically significant cancer; this patient has it.";
        finding.look_again =
            hidden ? session_look_beyond_mri
                   : "Go through ADC and high-b DWI from base to apex once more, then T2W of the transition "
                     "zone.";
    } else {
        finding.verdict = OVERREAD_FALSE_POSITIVE;
        finding.code = "decision_overcalled";
        finding.text = "You said that there is clinically significant cancer; this patient has none.";
        finding.look_again =
            "Score your most suspicious mark once more, the dominant sequence first: what does it "
            "share with the benign signal of its zone?";
    }
    report_add(&session->report, PART_DECISION, finding);
    if (truth || session->truth.significant)
        return;
    report_add(&session->report, PART_LOCALISATION,
               (overread_finding){
                   .verdict = OVERREAD_NOTE,
                   .code = "nothing_to_find",
                   .points_milli = POINTS_SPECIFICITY,
                   .max_points_milli = POINTS_SPECIFICITY,
                   .text =
                       "This case holds no clinically significant lesion: 3 points are for making no false "
                       "call, and each one takes from them. A mark that is rated benign, or no higher "
                       "than the expert rated that finding, is no false call.",
                   .rule = "In a case without significant cancer the localisation points are earned by "
                           "making no false call.",
               });
}

/* --- What the case may ask besides
 * --------------------------------------------------------------------------------- */

struct question {
    enum asked bit;
    enum report_part component;
    int32_t worth;
    const char *right_code, *wrong_code;
    const char *answer_pointer, *truth_pointer;
    const char *look_again;            /* when it was not right */
    const struct lesion_model *lesion; /* whose, or NULL */
};

/* Adds the outcome; it carries points only when the case asks for it. */
static void add_outcome(struct session *session, const struct question *question, bool answered,
                        int32_t points, const char *text, const char *rule)
{
    bool counts = !question->lesion || !model_invisible(question->lesion);
    bool asked = counts && (session->config.asked & (unsigned)question->bit) != 0;
    bool right = points == question->worth;
    report_add(&session->report, question->component,
               (overread_finding){
                   .verdict = asked ? session_verdict(points, question->worth) : OVERREAD_NOTE,
                   .code = !answered ? "not_answered"
                           : right   ? question->right_code
                                     : question->wrong_code,
                   .points_milli = asked ? points : 0,
                   .max_points_milli = asked ? question->worth : 0,
                   .answer_pointer = answered ? question->answer_pointer : NULL,
                   .truth_pointer = question->truth_pointer,
                   .text = text,
                   .rule = rule,
                   .look_again = right ? NULL : question->look_again,
               });
}

static bool is_asked(const struct session *session, enum asked bit)
{
    return (session->config.asked & (unsigned)bit) != 0;
}

/* Within max(tolerance_percent of truth, floor)? */
static bool is_close(int64_t answer, int64_t truth, int tolerance_percent, int64_t floor)
{
    int64_t error = fixed_absolute(answer - truth);
    return error <= floor || (int128)error * 100 <= (int128)truth * tolerance_percent;
}

static int64_t true_size(const struct lesion_model *lesion)
{
    return lesion->common.size;
}

static void size_finding(struct session *session, const struct lesion_model *lesion,
                         const struct finding_model *mark, struct question *question)
{
    enum { TOLERANCE_PERCENT = 20, TOLERANCE_MM = 2 };
    int64_t truth = true_size(lesion);
    bool answered = mark->size != MODEL_UNKNOWN;
    if (truth == MODEL_UNKNOWN || (!answered && !is_asked(session, ASKED_SIZE)))
        return;
    bool right = answered && is_close(mark->size, truth, TOLERANCE_PERCENT, TOLERANCE_MM * GEOMETRY_MM);
    if (!right)
        question->look_again = session_look(session, lesion);
    const char *text = !answered
                           ? report_printf(&session->report, "You gave no size; the lesion measures %s mm.",
                                           fixed_text(truth, 3, 1).text)
                           : report_printf(&session->report, "You measured %s mm, the truth is %s mm.%s",
                                           fixed_text(mark->size, 3, 1).text, fixed_text(truth, 3, 1).text,
                                           (mark->size >= MODEL_LARGE) != (truth >= MODEL_LARGE)
                                               ? " The 15 mm between score 4 and score 5 lies between them."
                                               : "");
    add_outcome(session, question, answered, right ? question->worth : 0, text,
                "Greatest dimension: right within 2 mm or 20 %. PI-RADS v2.1 measures on ADC in the "
                "peripheral zone and on T2W in the transition zone.");
}

static void sign_finding(struct session *session, int answer, int truth, const char *name,
                         const struct question *question)
{
    bool answered = answer != MODEL_UNKNOWN;
    if (truth == MODEL_UNKNOWN || (!answered && !is_asked(session, question->bit)))
        return;
    const char *is = truth ? "is" : "is no";
    const char *text =
        answered ? report_printf(&session->report, "You reported %s%s; there %s %s.", answer ? "" : "no ",
                                 name, is, name)
                 : report_printf(&session->report, "You did not say whether there is %s; there %s %s.", name,
                                 is, name);
    add_outcome(
        session, question, answered, answered && answer == truth ? question->worth : 0, text,
        "PI-RADS v2.1: extraprostatic extension and seminal vesicle invasion are reported for each lesion.");
}

void findings_asked_of_lesion(struct session *session, const struct lesion_model *lesion,
                              const struct finding_model *mark)
{
    struct question question = {.component = PART_CHARACTERISATION,
                                .worth = POINTS_ASKED,
                                .answer_pointer = session_mark_pointer(mark),
                                .truth_pointer = session_lesion_pointer(lesion),
                                .lesion = lesion};
    question.bit = ASKED_SIZE;
    question.right_code = "size_right";
    question.wrong_code = "size_wrong";
    size_finding(session, lesion, mark, &question);
    question.bit = ASKED_EPE;
    question.right_code = "epe_right";
    question.wrong_code = "epe_wrong";
    question.look_again =
        "T2W in two planes where the lesion meets the capsule: bulge, irregular or broken margin, an "
        "obliterated rectoprostatic angle, an asymmetric neurovascular bundle.";
    sign_finding(session, mark->epe, lesion->common.epe, "extraprostatic extension", &question);
    question.bit = ASKED_SVI;
    question.right_code = "svi_right";
    question.wrong_code = "svi_wrong";
    question.look_again =
        "T2W, axial and coronal or sagittal, from the base into both seminal vesicles: dark tissue "
        "inside, thick walls, and the same place on DWI.";
    sign_finding(session, mark->svi, lesion->common.svi, "seminal vesicle invasion", &question);
}

int32_t points_asked_of_lesion(const struct session *session, const struct lesion_model *lesion)
{
    int questions = (is_asked(session, ASKED_SIZE) && true_size(lesion) != MODEL_UNKNOWN) +
                    (is_asked(session, ASKED_EPE) && lesion->common.epe != MODEL_UNKNOWN) +
                    (is_asked(session, ASKED_SVI) && lesion->common.svi != MODEL_UNKNOWN);
    return POINTS_ASKED * questions;
}

static const char *const management_rule =
    "PI-RADS v2.1: biopsy should be considered at category 4 or 5; at 3 and below it depends on more than "
    "the MRI, PSA density above all (0.15 ng/ml/ml is the common threshold). EAU guideline on prostate "
    "cancer: what MRI shows is sampled by targeted biopsy, with further cores as the case asks; where MRI is "
    "negative, the clinical "
    "suspicion decides between a systematic biopsy and none. Right is what the case's authors chose.";

static const char *expert_words(struct session *session)
{
    int category = model_case_category(&session->truth);
    return category ? report_printf(&session->report, ", the expert's %d", category) : "";
}

static const char *density_words(struct session *session)
{
    int64_t density = session->truth.facts.psa_density;
    return density == MODEL_UNKNOWN ? ""
                                    : report_printf(&session->report, "; the PSA density is %s ng/ml/ml",
                                                    fixed_text(density, 6, 2).text);
}

static void management_finding(struct session *session)
{
    int truth = session->truth.facts.management, said = session->answer.facts.management;
    bool answered = said != MODEL_UNKNOWN;
    struct question question = {
        .bit = ASKED_MANAGEMENT,
        .component = PART_DECISION,
        .worth = POINTS_MANAGEMENT,
        .right_code = "management_right",
        .wrong_code = "management_wrong",
        .answer_pointer = "/management",
        .truth_pointer = "/management",
        .look_again = "Take your highest category and the PSA density together: 4 or 5 asks for a "
                      "biopsy by itself; a targeted one needs a mark of 3 or more to aim at; at 3 and "
                      "below the PSA density helps to decide."};
    if (truth == MODEL_UNKNOWN || (!answered && !is_asked(session, ASKED_MANAGEMENT)))
        return;
    /* "Both" holds either kind of biopsy: half right. No biopsy against any biopsy is wrong. */
    bool partly = answered && said != truth && said != MANAGEMENT_NO_BIOPSY &&
                  truth != MANAGEMENT_NO_BIOPSY && (said == MANAGEMENT_BOTH || truth == MANAGEMENT_BOTH);
    const char *text = report_printf(
        &session->report, "You chose %s; right was %s. Your highest category is PI-RADS %d%s%s.",
        answered ? model_management_text(said) : "nothing", model_management_text(truth),
        model_own_category(&session->answer), expert_words(session), density_words(session));
    add_outcome(session, &question, answered,
                answered && said == truth ? POINTS_MANAGEMENT
                : partly                  ? POINTS_MANAGEMENT_PARTLY
                                          : 0,
                text, management_rule);
}

static const struct finding_model *stated_index(const struct session *session, int *ret_at)
{
    for (int j = 0; j < session->answer.count; j++) {
        if (session->answer.marks[j].is_index) {
            *ret_at = j;
            return &session->answer.marks[j];
        }
    }
    return NULL;
}

static void index_finding(struct session *session)
{
    int at = -1, truth = session->truth.index_lesion;
    const struct finding_model *mark = stated_index(session, &at);
    if (truth < 0 || (!mark && !is_asked(session, ASKED_INDEX)) ||
        model_invisible(&session->truth.lesions[truth]))
        return;
    struct question question = {.bit = ASKED_INDEX,
                                .component = PART_CHARACTERISATION,
                                .worth = POINTS_ASKED,
                                .right_code = "index_right",
                                .wrong_code = "index_wrong",
                                .answer_pointer = mark ? session_mark_pointer(mark) : NULL,
                                .truth_pointer = session_lesion_pointer(&session->truth.lesions[truth])};
    bool right = mark && session->matching.hit[truth] && session->matching.mark_of_lesion[truth] == at;
    const char *place = session_place(session, &session->truth.lesions[truth]);
    if (!right)
        question.look_again = session_look(session, &session->truth.lesions[truth]);
    const char *text = right ? report_printf(&session->report, "You named the right index lesion, %s.", place)
                             : report_printf(&session->report, "%s; the index lesion lies %s.",
                                             mark ? "You named another finding the index lesion"
                                                  : "You named no index lesion",
                                             place);
    add_outcome(
        session, &question, mark != NULL, right ? POINTS_ASKED : 0, text,
        "PI-RADS v2.1: the index lesion has the highest category; among equals extraprostatic extension "
        "decides, then size.");
}

static void volume_finding(struct session *session)
{
    const struct case_facts *truth = &session->truth.facts, *said = &session->answer.facts;
    enum { TOLERANCE_PERCENT = 15, TOLERANCE_MICROLITRES = 2000 };
    static const char *const rule =
        "Gland volume = length x width x height (cm) x 0.52; right within 15 % or 2 ml.";
    bool answered = said->volume != MODEL_UNKNOWN;
    struct question question = {
        .bit = ASKED_VOLUME,
        .component = PART_CHARACTERISATION,
        .worth = POINTS_ASKED,
        .right_code = "volume_right",
        .wrong_code = "volume_wrong",
        .answer_pointer = "/volume_ml",
        .truth_pointer = "/volume_ml",
        .look_again = "Height and length on mid-sagittal T2W, width on axial T2W, each where it "
                      "is greatest."};
    if (truth->volume == MODEL_UNKNOWN || (!answered && !is_asked(session, ASKED_VOLUME)))
        return;
    bool right = answered && is_close(said->volume, truth->volume, TOLERANCE_PERCENT, TOLERANCE_MICROLITRES);
    const char *text =
        answered ? report_printf(&session->report, "You gave %s ml, the gland has %s ml.",
                                 fixed_text(said->volume, 3, 1).text, fixed_text(truth->volume, 3, 1).text)
                 : report_printf(&session->report, "You gave no gland volume; it is %s ml.",
                                 fixed_text(truth->volume, 3, 1).text);
    add_outcome(session, &question, answered, right ? POINTS_ASKED : 0, text, rule);
}

/* The reader's own diameters and volume must agree with the formula. */
static void volume_formula_finding(struct session *session)
{
    enum { TOLERANCE_PERCENT = 5, TOLERANCE_MICROLITRES = 500 };
    const struct case_facts *said = &session->answer.facts;
    if (!said->has_gland_size || said->volume == MODEL_UNKNOWN)
        return;
    int128 cube = (int128)said->gland_size[0] * said->gland_size[1] * said->gland_size[2];
    int64_t volume = (int64_t)fixed_divide(cube * 52, INT64_C(100000000000)); /* um^3 * 0.52 -> ul */
    if (is_close(said->volume, volume, TOLERANCE_PERCENT, TOLERANCE_MICROLITRES))
        return;
    report_add(
        &session->report, PART_CHARACTERISATION,
        (overread_finding){
            .verdict = OVERREAD_NOTE,
            .code = "volume_formula_mismatch",
            .answer_pointer = "/volume_ml",
            .text = report_printf(&session->report,
                                  "Your diameters give %s ml by the ellipsoid formula, you wrote %s ml.",
                                  fixed_text(volume, 3, 1).text, fixed_text(said->volume, 3, 1).text),
            .rule = "Gland volume = length x width x height (cm) x 0.52 (PI-RADS v2.1).",
        });
}

static void density_finding(struct session *session)
{
    enum { TOLERANCE_PERCENT = 15, TOLERANCE_MICRO = 10000, THRESHOLD_MICRO = 150000 }; /* 0.15 ng/ml/ml */
    int64_t truth = session->truth.facts.psa_density, said = session->answer.facts.psa_density;
    bool answered = said != MODEL_UNKNOWN;
    struct question question = {.bit = ASKED_PSA_DENSITY,
                                .component = PART_DECISION,
                                .worth = POINTS_ASKED,
                                .right_code = "psa_density_right",
                                .wrong_code = "psa_density_wrong",
                                .answer_pointer = "/psa_density",
                                .truth_pointer = NULL,
                                .look_again =
                                    "Divide the PSA of the request by the gland's volume: measure height "
                                    "and length on mid-sagittal T2W, width on axial T2W."};
    if (truth == MODEL_UNKNOWN || (!answered && !is_asked(session, ASKED_PSA_DENSITY)))
        return;
    bool right = answered && is_close(said, truth, TOLERANCE_PERCENT, TOLERANCE_MICRO);
    bool crossed = answered && (said >= THRESHOLD_MICRO) != (truth >= THRESHOLD_MICRO);
    const char *text =
        answered ? report_printf(&session->report, "You gave a PSA density of %s, it is %s ng/ml/ml.%s",
                                 fixed_text(said, 6, 2).text, fixed_text(truth, 6, 2).text,
                                 crossed ? " The usual threshold of 0.15 lies between them." : "")
                 : report_printf(&session->report, "You gave no PSA density; it is %s ng/ml/ml.",
                                 fixed_text(truth, 6, 2).text);
    add_outcome(session, &question, answered, right ? POINTS_ASKED : 0, text,
                "PSA density = PSA (ng/ml) / gland volume (ml); right within 15 % or 0.01.");
}

void findings_of_case(struct session *session)
{
    management_finding(session);
    index_finding(session);
    volume_finding(session);
    volume_formula_finding(session);
    density_finding(session);
}

/* --- Correct or not
 * ------------------------------------------------------------------------------------------------ */

bool findings_verdict(struct session *session)
{
    static const char *const rule =
        "A read counts as correct when the csPCa decision is right and: with csPCa, every significant lesion "
        "that the expert did not call PI-RADS 1 or 2 is hit by a mark of PI-RADS 3 or more, without more "
        "false targets (PI-RADS 3 or more) than the case allows; without csPCa, there is no false call of "
        "PI-RADS 4 or 5: where nothing is, or above the expert's category of 3 or less.";
    const struct config_model *config = &session->config;
    const char *why = NULL;
    if (session->truth.facts.cspca != session->answer.facts.cspca) {
        why = "the csPCa decision is wrong";
    } else if (session->misses > 0) {
        why = report_printf(&session->report,
                            "%d of %d significant lesions were not hit with PI-RADS 3 or more",
                            session->misses, seen_by_the_expert(session));
    } else if (session->truth.facts.cspca && session->false_targets > config->max_false_positives) {
        why = report_printf(&session->report,
                            "there are %d false targets, more than the %d that this case allows",
                            session->false_targets, config->max_false_positives);
    } else if (!session->truth.facts.cspca && session->false_suspicious > 0) {
        why = "a case without significant cancer got a false call of PI-RADS 4 or 5";
    }
    return report_verdict(&session->report, why, rule);
}
