#include "model.h"
#include "common/fixed.h"
#include "common/value.h"

enum { NEAR_DEFAULT_MM = 10, GLAND_MARGIN_DEFAULT_MM = 10, FALSE_POSITIVES_DEFAULT = 2 };

/* The schemas bound every number far more tightly. This holds for values that no schema has seen: what passes
 * cannot overflow the arithmetic of the grade. */
#define NUMBER_LIMIT INT64_C(1000000000000)
#define LENGTH_LIMIT (1000 * GEOMETRY_MM)
#define SIZE_STEP (GEOMETRY_MM / 10)
#define SEMI_AXIS_MIN (GEOMETRY_MM / 2)
#define SEMI_AXIS_MAX (100 * GEOMETRY_MM)

static bool read_vector(const overread_value *value, uint32_t scale, int64_t ret[3])
{
    return fixed_array(value, 3, scale, -LENGTH_LIMIT, LENGTH_LIMIT, ret);
}

/* Reads semi_axes and, when given, axes. The centre is the caller's. */
static bool read_ellipsoid(const overread_value *object, struct ellipsoid *ret)
{
    if (!fixed_array(value_member(object, "semi_axes"), 3, GEOMETRY_MM, SEMI_AXIS_MIN, SEMI_AXIS_MAX,
                     ret->semi))
        return false;
    const overread_value *axes = value_member(object, "axes");
    for (uint32_t i = 0; i < 3; i++) {
        for (uint32_t k = 0; k < 3; k++)
            ret->axis[i][k] = i == k ? GEOMETRY_UNIT : 0;
        if (axes && !read_vector(value_item(axes, i), GEOMETRY_UNIT, ret->axis[i]))
            return false;
    }
    return true;
}

static bool read_zone(const overread_value *object, struct finding_model *ret)
{
    static const char *const zones[] = {"PZ", "TZ", "CZ", "AFS"};
    int zone, basis;
    if (!value_choice(value_member(object, "zone"), zones, 4, &zone))
        return false;
    ret->zone = (enum pirads_zone)zone;
    ret->basis = pirads_default_basis(ret->zone);
    const overread_value *stated = value_member(object, "basis");
    if (!stated || ret->zone == PIRADS_PZ || ret->zone == PIRADS_TZ)
        return true;
    if (!value_choice(stated, zones, 2, &basis))
        return false;
    ret->basis = (enum pirads_zone)basis;
    ret->basis_stated = true;
    return true;
}

static bool read_sectors(const overread_value *object, struct finding_model *ret)
{
    const overread_value *sectors = value_member(object, "sectors");
    for (uint32_t i = 0; i < value_count(sectors); i++) {
        const char *code = value_string(value_item(sectors, i));
        int sector = code ? sector_find(code) : -1;
        if (sector < 0)
            return false;
        ret->sectors |= UINT64_C(1) << sector;
    }
    return true;
}

static bool read_score(const overread_value *value, int *ret)
{
    if (value_is(value, "X")) {
        *ret = PIRADS_SCORE_X;
        return true;
    }
    int64_t score = fixed_from_value(value, 1, 0);
    *ret = (int)score;
    return score >= 1 && score <= 5;
}

static bool read_scores(const overread_value *object, struct pirads_scores *ret)
{
    static const char *const texts[] = {"-", "+", "not_done"};
    int dce;
    if (!value_choice(value_member(object, "dce"), texts, 3, &dce))
        return false;
    ret->dce = (enum pirads_dce)dce;
    return read_score(value_member(object, "t2w"), &ret->t2w) &&
           read_score(value_member(object, "dwi"), &ret->dwi);
}

static bool read_common(const overread_value *object, uint32_t index, struct finding_model *ret)
{
    int64_t category = 0;
    ret->index = index;
    ret->size = MODEL_UNKNOWN;
    if (!fixed_member(object, "pirads", 1, 5, &category) ||
        !fixed_member(object, "size_mm", GEOMETRY_MM, LENGTH_LIMIT, &ret->size))
        return false;
    if (ret->size != MODEL_UNKNOWN) /* as precise as it is shown: what reads 15.0 mm is 15 mm */
        ret->size = (int64_t)fixed_divide(ret->size, SIZE_STEP) * SIZE_STEP;
    ret->category = (int)category;
    ret->epe = value_truth(value_member(object, "epe"));
    ret->svi = value_truth(value_member(object, "svi"));
    ret->is_index = value_truth(value_member(object, "index")) == 1;
    return read_zone(object, ret) && read_sectors(object, ret);
}

static bool read_match(const overread_value *value, struct config_model *ret)
{
    static const char *const modes[] = {"distance", "ellipsoid", "point"};
    const overread_value *match = value_member(value, "match");
    int mode;
    if (!value_choice(value_member(match, "mode"), modes, 3, &mode) ||
        !fixed_member(match, "distance_mm", GEOMETRY_MM, LENGTH_LIMIT, &ret->distance))
        return false;
    ret->mode = (enum match_mode)mode;
    ret->near = ret->distance > 0 ? 2 * ret->distance : NEAR_DEFAULT_MM * GEOMETRY_MM;
    return true;
}

static bool read_asked(const overread_value *ask, struct config_model *ret)
{
    static const char *const asked[] = {"management", "index", "size", "epe", "svi", "volume", "psa_density"};
    int item;
    for (uint32_t i = 0; i < value_count(ask); i++) {
        if (!value_choice(value_item(ask, i), asked, 7, &item))
            return false;
        ret->asked |= 1u << item;
    }
    return true;
}

static bool read_bounds(const overread_value *bounds, struct config_model *ret)
{
    for (uint32_t i = 0; i < 3; i++) {
        if (!fixed_array(value_item(bounds, i), 2, GEOMETRY_MM, -LENGTH_LIMIT, LENGTH_LIMIT, ret->bounds[i]))
            return false;
    }
    return true;
}

static bool read_gland(const overread_value *gland, struct config_model *ret)
{
    ret->has_gland = gland != NULL;
    ret->gland_margin = GLAND_MARGIN_DEFAULT_MM * GEOMETRY_MM;
    return !gland || (read_ellipsoid(gland, &ret->gland) &&
                      read_vector(value_member(gland, "centre"), GEOMETRY_MM, ret->gland.centre.at) &&
                      fixed_member(gland, "margin_mm", GEOMETRY_MM, LENGTH_LIMIT, &ret->gland_margin));
}

bool model_config(const overread_value *value, struct config_model *ret)
{
    int64_t false_positives = FALSE_POSITIVES_DEFAULT;
    *ret = (struct config_model){0};
    ret->pirads_v2_definition = value_is(value_member(value, "cspca_definition"), "pirads_v2");
    if (!fixed_member(value, "max_false_positives", 1, MODEL_LESIONS, &false_positives))
        return false;
    ret->max_false_positives = (int)false_positives;
    return read_match(value, ret) && read_asked(value_member(value, "ask"), ret) &&
           read_bounds(value_member(value_member(value, "image"), "bounds_lps_mm"), ret) &&
           read_gland(value_member(value, "gland"), ret);
}

const char *model_management_text(int management)
{
    static const char *const texts[] = {"no biopsy", "targeted biopsy", "systematic biopsy",
                                        "targeted and systematic biopsy"};
    return texts[management];
}

bool model_targets(int management)
{
    return management == MANAGEMENT_TARGETED || management == MANAGEMENT_BOTH;
}

static bool read_facts(const overread_value *object, struct case_facts *ret)
{
    static const char *const managements[] = {"no_biopsy", "targeted", "systematic", "both"};
    int cspca = value_truth(value_member(object, "cspca"));
    int64_t category = 0;
    const overread_value *management = value_member(object, "management");
    const overread_value *size = value_member(object, "gland_mm");
    *ret = (struct case_facts){.cspca = cspca == 1,
                               .management = MODEL_UNKNOWN,
                               .volume = MODEL_UNKNOWN,
                               .psa = MODEL_UNKNOWN,
                               .psa_density = MODEL_UNKNOWN,
                               .probability = MODEL_UNKNOWN};
    if (!fixed_member(object, "volume_ml", 1000, NUMBER_LIMIT, &ret->volume) ||
        !fixed_member(object, "psa_ng_ml", 1000000, NUMBER_LIMIT, &ret->psa) ||
        !fixed_member(object, "psa_density", 1000000, NUMBER_LIMIT, &ret->psa_density) ||
        !fixed_member(object, "cspca_probability", 1000000, 1000000, &ret->probability) ||
        !fixed_member(object, "pirads", 1, 5, &category))
        return false;
    ret->category = (int)category;
    if (ret->psa_density == MODEL_UNKNOWN && ret->psa != MODEL_UNKNOWN && ret->volume > 0)
        ret->psa_density = (int64_t)fixed_divide((int128)ret->psa * 1000, ret->volume);
    if (management && !value_choice(management, managements, 4, &ret->management))
        return false;
    if (size) {
        ret->has_gland_size = true;
        if (!read_vector(size, GEOMETRY_MM, ret->gland_size))
            return false;
    }
    return cspca >= 0;
}

/* --- A canonical order
 * --------------------------------------------------------------------------------------- By place, then by
 * everything else; the original place decides only between things that are equal. */

enum { KEYS = 30 };

static void keys_of(const struct finding_model *finding, int64_t keys[KEYS])
{
    int at = 0;
    for (int i = 2; i >= 0; i--) /* from the base down, then front to back */
        keys[at++] = i == 2 ? -finding->position.at[i] : finding->position.at[i];
    keys[at++] = finding->has_body;
    for (int i = 0; i < 3; i++) {
        keys[at++] = finding->has_body ? finding->body.semi[i] : 0;
        keys[at++] = finding->has_body ? finding->body.centre.at[i] : 0;
        for (int k = 0; k < 3; k++)
            keys[at++] = finding->has_body ? finding->body.axis[i][k] : 0;
    }
    keys[at++] = -finding->category;
    keys[at++] = (int)finding->zone * 4 + (int)finding->basis;
    keys[at++] = (int64_t)finding->sectors;
    keys[at++] = finding->scores.t2w * 100 + finding->scores.dwi * 10 + (int)finding->scores.dce;
    keys[at++] = finding->size;
    keys[at++] = finding->epe * 10 + finding->svi;
    keys[at++] = finding->is_index * 2 + finding->basis_stated;
    while (at < KEYS)
        keys[at++] = finding->index;
}

static bool before(const struct finding_model *a, const struct finding_model *b)
{
    int64_t keys_a[KEYS], keys_b[KEYS];
    keys_of(a, keys_a);
    keys_of(b, keys_b);
    return fixed_before(keys_a, keys_b, KEYS);
}

static bool lesion_before(const struct lesion_model *a, const struct lesion_model *b)
{
    return a->significant != b->significant ? a->significant : before(&a->common, &b->common);
}

/* --- Truth
 * ---------------------------------------------------------------------------------------------------------
 */

static bool is_significant(const struct lesion_model *lesion, const struct config_model *config)
{
    const int64_t half_millilitre = 500;
    if (lesion->cspca_stated != MODEL_UNKNOWN)
        return lesion->cspca_stated == 1;
    if (lesion->isup >= 2)
        return true;
    return config->pirads_v2_definition && lesion->isup >= 1 &&
           (lesion->volume > half_millilitre || lesion->common.epe == 1);
}

int model_grade_group(const char *gleason)
{
    int first = gleason[0] - '0', second = gleason[0] && gleason[1] ? gleason[2] - '0' : -1;
    int sum = first + second;
    if (first < 0 || second < 0 || first > 5 || second > 5 || (sum > 0 && (first == 0 || second == 0)))
        return MODEL_UNKNOWN;
    if (sum <= 6)
        return sum > 0;
    if (sum == 7)
        return first <= 3 ? 2 : 3;
    return sum == 8 ? 4 : 5;
}

static bool read_lesion(const overread_value *value, uint32_t index, const struct config_model *config,
                        struct lesion_model *ret)
{
    struct finding_model *common = &ret->common;
    const overread_value *scores = value_member(value, "scores"), *target = value_member(value, "target");
    int64_t isup = MODEL_UNKNOWN;
    *ret = (struct lesion_model){.volume = MODEL_UNKNOWN};
    ret->id = value_string(value_member(value, "id"));
    ret->cspca_stated = value_truth(value_member(value, "cspca"));
    const overread_value *histology = value_member(value, "histology");
    ret->gleason = value_string(value_member(histology, "gleason"));
    ret->without_histology = value_is(value_member(histology, "kind"), "none");
    common->has_body = true;
    if (!ret->id || !read_common(value, index, common) || !read_ellipsoid(value, &common->body) ||
        !read_vector(value_member(value, "centre"), GEOMETRY_MM, common->body.centre.at))
        return false;
    if (!fixed_member(value, "isup", 1, 5, &isup) ||
        !fixed_member(value, "volume_ml", 1000, NUMBER_LIMIT, &ret->volume))
        return false;
    common->position = common->body.centre;
    common->has_target = target != NULL;
    if (target && !read_vector(target, GEOMETRY_MM, common->position.at))
        return false;
    common->has_scores = scores != NULL;
    if (scores && !read_scores(scores, &common->scores))
        return false;
    if (common->category == 0 && scores)
        common->category = pirads_category(common->basis, common->scores).category;
    ret->isup = (int)isup;
    if (ret->isup == MODEL_UNKNOWN && ret->gleason && !ret->without_histology)
        ret->isup = model_grade_group(ret->gleason);
    if (ret->volume == MODEL_UNKNOWN)
        ret->volume = ellipsoid_volume_microlitres(&common->body);
    ret->significant = is_significant(ret, config);
    return true;
}

/* PI-RADS v2.1: the index lesion has the highest category; among equals extraprostatic extension decides,
 * then size. -1 a under b, 0 equal, 1 a over b. */
static int index_rank(const struct lesion_model *a, const struct lesion_model *b)
{
    if (a->common.is_index != b->common.is_index)
        return a->common.is_index ? 1 : -1;
    if (a->common.category != b->common.category)
        return a->common.category > b->common.category ? 1 : -1;
    if ((a->common.epe == 1) != (b->common.epe == 1))
        return a->common.epe == 1 ? 1 : -1;
    return a->volume == b->volume ? 0 : a->volume > b->volume ? 1 : -1;
}

static int find_index_lesion(const struct truth_model *truth)
{
    int best = -1;
    bool tied = false;
    for (int i = 0; i < truth->significant; i++) {
        int rank = best < 0 ? 1 : index_rank(&truth->lesions[i], &truth->lesions[best]);
        if (rank > 0)
            best = i;
        tied = rank == 0 || (tied && rank < 0);
    }
    return tied ? -1 : best;
}

bool model_truth(const overread_value *value, const struct config_model *config, struct truth_model *ret)
{
    const overread_value *lesions = value_member(value, "lesions");
    *ret = (struct truth_model){0};
    if (!read_facts(value, &ret->facts) || value_count(lesions) > MODEL_LESIONS)
        return false;
    for (uint32_t i = 0; i < value_count(lesions); i++) {
        struct lesion_model lesion;
        if (!read_lesion(value_item(lesions, i), i, config, &lesion))
            return false;
        int at = ret->count++;
        for (; at > 0 && lesion_before(&lesion, &ret->lesions[at - 1]); at--)
            ret->lesions[at] = ret->lesions[at - 1];
        ret->lesions[at] = lesion;
        ret->significant += lesion.significant;
    }
    ret->index_lesion = find_index_lesion(ret);
    return true;
}

int64_t model_greatest_dimension(const struct finding_model *lesion)
{
    const int64_t *semi = lesion->body.semi;
    int64_t longest = semi[0] > semi[1] ? semi[0] : semi[1];
    if (lesion->size != MODEL_UNKNOWN)
        return lesion->size;
    return 2 * (longest > semi[2] ? longest : semi[2]);
}

bool model_invisible(const struct lesion_model *lesion)
{
    return lesion->significant && (lesion->common.category == 1 || lesion->common.category == 2);
}

int model_case_category(const struct truth_model *truth)
{
    int category = truth->facts.category;
    for (int i = 0; i < truth->count && truth->facts.category == 0; i++) {
        if (truth->lesions[i].common.category > category)
            category = truth->lesions[i].common.category;
    }
    return category;
}

/* --- Answer
 * -------------------------------------------------------------------------------------------------------- */

static bool read_mark(const overread_value *value, uint32_t index, struct finding_model *ret)
{
    *ret = (struct finding_model){.has_scores = true, .has_body = value_member(value, "semi_axes") != NULL};
    if (!read_common(value, index, ret) || ret->category == 0 || !read_scores(value, &ret->scores) ||
        !read_vector(value_member(value, "position"), GEOMETRY_MM, ret->position.at))
        return false;
    ret->body.centre = ret->position;
    return !ret->has_body || read_ellipsoid(value, &ret->body);
}

bool model_answer(const overread_value *value, struct answer_model *ret)
{
    const overread_value *lesions = value_member(value, "lesions");
    *ret = (struct answer_model){0};
    if (!read_facts(value, &ret->facts) || value_count(lesions) > MODEL_LESIONS)
        return false;
    for (uint32_t i = 0; i < value_count(lesions); i++) {
        struct finding_model mark;
        if (!read_mark(value_item(lesions, i), i, &mark))
            return false;
        int at = ret->count++;
        for (; at > 0 && before(&mark, &ret->marks[at - 1]); at--)
            ret->marks[at] = ret->marks[at - 1];
        ret->marks[at] = mark;
    }
    return true;
}

int model_own_category(const struct answer_model *answer)
{
    int category = 1; /* a case without a finding is PI-RADS 1 */
    for (int j = 0; j < answer->count; j++) {
        if (answer->marks[j].category > category)
            category = answer->marks[j].category;
    }
    return category;
}
