/* What a schema cannot say about a truth and an answer. */
#include <string.h>
#include "common/check.h"
#include "common/fixed.h"
#include "common/text.h"
#include "common/value.h"
#include "grade.h"
#include "model.h"

/* How far the point lies outside the image's box, along the axis where that is most; 0 inside. */
static int64_t outside_image(const struct config_model *config, const struct point *point)
{
    int64_t most = 0;
    for (int i = 0; i < 3; i++) {
        int64_t below = config->bounds[i][0] - point->at[i], above = point->at[i] - config->bounds[i][1];
        int64_t out = below > above ? below : above;
        if (out > most)
            most = out;
    }
    return most;
}

/* NULL, or the words why a lesion cannot be there; *ret_failed when there was no memory for them. */
static const char *place_objection(const overread_host *host, const struct config_model *config,
                                   const struct point *point, bool *ret_failed)
{
    const char *words = NULL;
    int64_t out = outside_image(config, point);
    if (out > 0) {
        words = plugin_printf(host, "The position lies %s mm outside the image.", fixed_text(out, 3, 1).text);
    } else if (config->has_gland) {
        out = ellipsoid_distance_outside(&config->gland, point);
        if (out <= config->gland_margin)
            return NULL;
        words = plugin_printf(host,
                              "The position lies %s mm outside the prostate gland; up to %s mm are allowed.",
                              fixed_text(out, 3, 1).text, fixed_text(config->gland_margin, 3, 1).text);
    } else {
        return NULL;
    }
    *ret_failed = !words;
    return words;
}

static enum overread_status check_place(const overread_host *host, const struct config_model *config,
                                        const struct point *point, uint32_t index, const char *member,
                                        overread_problem *problem)
{
    bool failed = false;
    const char *objection = place_objection(host, config, point, &failed);
    if (failed)
        return OVERREAD_NO_MEMORY;
    return objection ? check_refuse_item(host, problem, "lesions", index, member, objection) : OVERREAD_OK;
}

/* --- Answer
 * -------------------------------------------------------------------------------------------------------- */

static enum overread_status check_mark(const overread_host *host, const struct config_model *config,
                                       const struct finding_model *mark, overread_problem *problem)
{
    enum overread_status status =
        check_place(host, config, &mark->position, mark->index, "/position", problem);
    if (status != OVERREAD_OK)
        return status;
    if (mark->has_body && !ellipsoid_axes_orthonormal(&mark->body))
        return check_refuse_item(host, problem, "lesions", mark->index, "/axes",
                                 "The three axes must have length 1 and stand at right angles.");
    return OVERREAD_OK;
}

/* Marks closer together than this are one mark, sent twice. */
#define SAME_PLACE (GEOMETRY_MM / 2)

/* The later of a pair is named, so that the pointer says what to delete. */
static enum overread_status check_pairs(const overread_host *host, const struct answer_model *answer,
                                        overread_problem *problem)
{
    for (int i = 0; i < answer->count; i++) {
        for (int j = i + 1; j < answer->count; j++) {
            const struct finding_model *a = &answer->marks[i], *b = &answer->marks[j];
            uint32_t later = a->index > b->index ? a->index : b->index;
            uint32_t earlier = a->index > b->index ? b->index : a->index;
            if (geometry_distance(&a->position, &b->position) <= SAME_PLACE)
                return check_refuse_item(
                    host, problem, "lesions", later, "/position",
                    plugin_printf(host, "The same place is marked by /lesions/%u already.", earlier));
            if (a->is_index && b->is_index)
                return check_refuse_item(host, problem, "lesions", later, "/index",
                                         "Only one lesion can be the index lesion.");
        }
    }
    return OVERREAD_OK;
}

/* Offences are told in the answer's own order: the first wrong lesion first. */
enum overread_status prostate_check_answer(const overread_host *host, const overread_input *input,
                                           overread_problem *problem)
{
    struct config_model config;
    struct answer_model answer;
    if (!model_config(input->config, &config) || !model_answer(input->answer, &answer))
        return OVERREAD_BUG;
    for (uint32_t index = 0; index < (uint32_t)answer.count; index++) {
        for (int i = 0; i < answer.count; i++) {
            if (answer.marks[i].index != index)
                continue;
            enum overread_status status = check_mark(host, &config, &answer.marks[i], problem);
            if (status != OVERREAD_OK)
                return status;
        }
    }
    return check_pairs(host, &answer, problem);
}

/* --- Truth
 * ---------------------------------------------------------------------------------------------------------
 */

static bool valid_config(const struct config_model *config, const char **ret_text)
{
    *ret_text = NULL;
    for (int i = 0; i < 3; i++) {
        if (config->bounds[i][0] >= config->bounds[i][1])
            *ret_text = "The config's image bounds must run from the lower to the higher coordinate.";
    }
    if (!*ret_text && config->has_gland && outside_image(config, &config->gland.centre) > 0)
        *ret_text = "The config's gland has its centre outside the image.";
    if (!*ret_text && config->has_gland && !ellipsoid_axes_orthonormal(&config->gland))
        *ret_text = "The axes of the config's gland must have length 1 and stand at right angles.";
    return !*ret_text;
}

static const char *side_objection(const struct config_model *config, const struct lesion_model *lesion)
{
    bool left = false, right = false;
    for (int i = 0; i < SECTOR_COUNT; i++) {
        if (lesion->common.sectors & UINT64_C(1) << i) {
            left |= sector_at(i)->side != SECTOR_RIGHT;
            right |= sector_at(i)->side != SECTOR_LEFT;
        }
    }
    int64_t centre = lesion->common.body.centre.at[0] - config->gland.centre.at[0];
    int64_t reach = ellipsoid_extent(&lesion->common.body, 0);
    if (left && !right && centre + reach < 0)
        return "The lesion's sectors are on the left, the lesion lies on the patient's right.";
    if (right && !left && centre - reach > 0)
        return "The lesion's sectors are on the right, the lesion lies on the patient's left.";
    return NULL;
}

static const char *sector_objection(const struct config_model *config, const struct lesion_model *lesion)
{
    bool of_zone = lesion->common.sectors == 0;
    for (int i = 0; i < SECTOR_COUNT; i++) {
        if (lesion->common.sectors & UINT64_C(1) << i)
            of_zone |= sector_at(i)->zone == (int)lesion->common.zone;
    }
    if (!of_zone)
        return "None of the lesion's sectors belongs to its zone.";
    return config->has_gland ? side_objection(config, lesion) : NULL;
}

static const char *significance_objection(const struct config_model *config,
                                          const struct lesion_model *lesion)
{
    if (lesion->isup == MODEL_UNKNOWN || lesion->cspca_stated == MODEL_UNKNOWN)
        return NULL;
    if (lesion->isup >= 2 && lesion->cspca_stated == 0)
        return "ISUP grade group 2 or more is clinically significant, but the lesion says that it is not.";
    if (lesion->isup < 2 && lesion->cspca_stated == 1 && (!config->pirads_v2_definition || lesion->isup == 0))
        return "ISUP grade group 1 or less is not clinically significant, but the lesion says that it is.";
    return NULL;
}

static const char *category_objection(const struct lesion_model *lesion)
{
    if (!lesion->common.has_scores)
        return NULL;
    int ruled = pirads_category(lesion->common.basis, lesion->common.scores).category;
    if (ruled && lesion->common.category && ruled != lesion->common.category)
        return "The lesion's PI-RADS category is not the one that its sequence scores give.";
    return NULL;
}

static const char *histology_objection(const struct lesion_model *lesion)
{
    if (lesion->without_histology && (lesion->isup != MODEL_UNKNOWN || lesion->gleason))
        return "Without histology there is no Gleason score and no ISUP grade group; say in cspca what the "
               "lesion is taken for.";
    if (!lesion->gleason)
        return NULL;
    int group = model_grade_group(lesion->gleason);
    if (group < 0)
        return "That is no Gleason score.";
    if (lesion->isup != MODEL_UNKNOWN && lesion->isup != group)
        return "The ISUP grade group is not the Gleason score's: 0+0 is 0, up to 6 is 1, 3+4 is 2, 4+3 is 3, "
               "8 is 4, 9 and 10 are 5.";
    return NULL;
}

/* The ellipsoid has the second moments of a delineation, whose greatest dimension differs somewhat: by a
 * factor of 0.74 to 1.28 in the 459 lesions of PI-CAI. PI-RADS measures on axial images, so a lesion that is
 * longest from head to foot may be stated as small as it is across. */
static const char *size_objection(const struct finding_model *common)
{
    struct finding_model body = *common;
    body.size = MODEL_UNKNOWN;
    int64_t longest = model_greatest_dimension(&body);
    int64_t left = ellipsoid_extent(&common->body, 0), behind = ellipsoid_extent(&common->body, 1);
    int64_t across = 2 * (left < behind ? left : behind);
    const int64_t slack = 2 * GEOMETRY_MM;
    if (common->size == MODEL_UNKNOWN ||
        (3 * (common->size + slack) >= 2 * across && 2 * (common->size - slack) <= 3 * longest))
        return NULL;
    return "The size does not fit the ellipsoid: it may be from two thirds of its shorter axial diameter to "
           "one "
           "and a half of its longest diameter, and 2 mm beyond.";
}

/* The scores are the expert's, on the image; size and extension may be the pathologist's, who measures
 * otherwise. So only what is far from 15 mm contradicts, and extension beside a 4 does not. Without a stated
 * size the ellipsoid speaks, and may fall short of the delineation by a fifth. */
static const char *score_objection(const struct finding_model *common)
{
    const int64_t far_below = 10 * GEOMETRY_MM, far_above = 20 * GEOMETRY_MM;
    int64_t size = model_greatest_dimension(common);
    bool stated = common->size != MODEL_UNKNOWN, invasive = common->epe == 1 || common->svi == 1;
    bool small = !invasive && (stated ? size < far_below : size * 6 < far_below * 5);
    int score;
    if (!common->has_scores ||
        !pirads_score_against_size(common->basis, common->scores, small, stated && size > far_above, &score))
        return NULL;
    return score == 5
               ? "A score of 5 needs 15 mm or more, or definite extraprostatic extension or seminal vesicle "
                 "invasion; below 10 mm without either it is none."
               : "A lesion of 15 mm or more scores 5; above 20 mm a 4 cannot stand.";
}

static enum overread_status check_lesion(const overread_host *host, const struct config_model *config,
                                         const struct lesion_model *lesion, overread_problem *problem)
{
    const struct finding_model *common = &lesion->common;
    struct {
        const char *member, *objection;
    } objections[] = {
        {"/axes", ellipsoid_axes_orthonormal(&common->body)
                      ? NULL
                      : "The three axes must have length 1 and stand at right angles."},
        {"/target", ellipsoid_contains(&common->body, &common->position, 2)
                        ? NULL
                        : "The target must lie in the lesion or next to it."},
        {"/sectors", sector_objection(config, lesion)},
        {"/cspca", significance_objection(config, lesion)},
        {"/pirads", category_objection(lesion)},
        {"/histology", histology_objection(lesion)},
        {"/size_mm", size_objection(common)},
        {"/scores", score_objection(common)},
    };
    enum overread_status status =
        check_place(host, config, &common->body.centre, common->index, "/centre", problem);
    for (size_t i = 0; status == OVERREAD_OK && i < sizeof(objections) / sizeof(objections[0]); i++) {
        if (objections[i].objection)
            status = check_refuse_item(host, problem, "lesions", common->index, objections[i].member,
                                       objections[i].objection);
    }
    return status;
}

/* The lesion that stood at `index` in the truth; there is one for every index below the count. */
static const struct lesion_model *lesion_of_index(const struct truth_model *truth, uint32_t index)
{
    int i = 0;
    while (i < truth->count - 1 && truth->lesions[i].common.index != index)
        i++;
    return &truth->lesions[i];
}

/* Names must be unique, and at most one lesion the index lesion, which is a significant one where there is
 * any. */
static enum overread_status check_names(const overread_host *host, const struct truth_model *truth,
                                        overread_problem *problem)
{
    for (uint32_t j = 0; j < (uint32_t)truth->count; j++) {
        const struct lesion_model *later = lesion_of_index(truth, j);
        for (uint32_t i = 0; i < j; i++) {
            const struct lesion_model *earlier = lesion_of_index(truth, i);
            if (strcmp(earlier->id, later->id) == 0)
                return check_refuse_item(host, problem, "lesions", j, "/id",
                                         "Another lesion has this id already.");
            if (earlier->common.is_index && later->common.is_index)
                return check_refuse_item(host, problem, "lesions", j, "/index",
                                         "Only one lesion can be the index lesion.");
        }
        if (later->common.is_index && !later->significant && truth->significant > 0)
            return check_refuse_item(
                host, problem, "lesions", j, "/index",
                "The index lesion must be clinically significant when one of the lesions is.");
    }
    return OVERREAD_OK;
}

/* What the case's management must not contradict: its own categories. A case without lesions and without a
 * category of its own may have been aimed at what nobody delineated. */
static const char *management_objection(const struct truth_model *truth)
{
    int management = truth->facts.management, highest = truth->facts.category;
    bool unrated = highest == 0 && truth->count == 0;
    if (management == MODEL_UNKNOWN)
        return NULL;
    for (int i = 0; i < truth->count; i++) {
        int category = truth->lesions[i].common.category;
        unrated |= category == 0;
        if (category > highest)
            highest = category;
    }
    if (management == MANAGEMENT_NO_BIOPSY && truth->facts.cspca && highest >= 4)
        return "A case with clinically significant cancer and PI-RADS 4 or 5 is not left without a biopsy.";
    if (model_targets(management) && highest < 3 && !unrated)
        return "A targeted biopsy needs a lesion of PI-RADS 3 or more to aim at.";
    return NULL;
}

static enum overread_status check_facts(const overread_value *value, const struct truth_model *truth,
                                        overread_problem *problem)
{
    enum { TOLERANCE_PERCENT = 10, TOLERANCE_MICRO = 10000 };
    const struct case_facts *facts = &truth->facts;
    if (facts->cspca && truth->significant == 0)
        return check_refuse(problem, "/cspca",
                            "The case says clinically significant cancer, but no lesion is significant.");
    if (!facts->cspca && truth->significant > 0)
        return check_refuse(problem, "/cspca",
                            "The case says no clinically significant cancer, but a lesion is significant.");
    const char *management = management_objection(truth);
    if (management)
        return check_refuse(problem, "/management", management);
    if (!value_member(value, "psa_density") || facts->psa == MODEL_UNKNOWN || facts->volume <= 0)
        return OVERREAD_OK;
    int64_t density = (int64_t)fixed_divide((int128)facts->psa * 1000, facts->volume);
    int64_t error = fixed_absolute(density - facts->psa_density);
    if (error > TOLERANCE_MICRO && (int128)error * 100 > (int128)density * TOLERANCE_PERCENT)
        return check_refuse(problem, "/psa_density",
                            "The PSA density is not the PSA divided by the gland's volume.");
    return OVERREAD_OK;
}

enum overread_status prostate_check_truth(const overread_host *host, const overread_input *input,
                                          overread_problem *problem)
{
    struct config_model config;
    struct truth_model truth;
    const char *text;
    if (!model_config(input->config, &config) || !model_truth(input->truth, &config, &truth))
        return OVERREAD_BUG;
    if (!valid_config(&config, &text))
        return check_refuse(problem, "", text);
    for (uint32_t i = 0; i < (uint32_t)truth.count; i++) {
        enum overread_status status = check_lesion(host, &config, lesion_of_index(&truth, i), problem);
        if (status != OVERREAD_OK)
            return status;
    }
    enum overread_status status = check_names(host, &truth, problem);
    return status == OVERREAD_OK ? check_facts(input->truth, &truth, problem) : status;
}
