#include "model.h"
#include "common/fixed.h"
#include "common/value.h"

enum { NEAR_DEFAULT_MM = 20, FALSE_POSITIVES_DEFAULT = 2, PIXELS_MAX = 100000 };

/* The schemas bound every number far more tightly. This holds for values that no schema has seen: what passes
 * cannot overflow the arithmetic of the grade. */
#define LENGTH_LIMIT (1000 * MODEL_MM)
#define SEMI_AXIS_MIN (MODEL_MM / 2)

const char *const model_side_keys[SIDES] = {"L", "R"};
const char *const model_side_words[SIDES] = {"left", "right"};
const char *const model_view_keys[VIEWS] = {"CC", "MLO", "ML", "LM", "LMO", "XCCL", "XCCM", "SIO"};
static const char *const types[] = {"mass", "calcification", "asymmetry", "architectural_distortion"};
static const char *const densities[] = {"a", "b", "c", "d"};

enum { TYPES = sizeof(types) / sizeof(types[0]), DENSITIES = 4 };

const char *model_type_words(int type)
{
    static const char *const words[TYPES] = {"mass", "group of calcifications", "asymmetry",
                                             "architectural distortion"};
    return type >= 0 && type < TYPES ? words[type] : "finding";
}

static bool read_category(const overread_value *value, int *ret)
{
    int64_t category = fixed_from_value(value, 1, -1);
    *ret = (int)category;
    return category >= BIRADS_MIN && category <= BIRADS_MAX;
}

/* --- Config ------------------------------------------------------------------------------------ */

static bool read_view(const overread_value *value, int side, struct view_model *ret)
{
    static const char *const edges[] = {"left", "right"};
    const overread_value *edge = value_member(value, "chest_wall");
    int right = side == 1; /* as images are hung: the right breast's chest wall at the right edge */
    if (!value)
        return true;
    ret->there = true;
    if (edge && !value_choice(edge, edges, 2, &right))
        return false;
    ret->chest_wall_right = right == 1;
    return fixed_array(value_member(value, "size_mm"), AXES, MODEL_MM, 1, LENGTH_LIMIT, ret->size) &&
           fixed_array(value_member(value, "pixels"), AXES, 1, 1, PIXELS_MAX, ret->pixels);
}

static bool read_views(const overread_value *views, struct config_model *ret)
{
    for (int side = 0; side < SIDES; side++) {
        const overread_value *of_side = value_member(views, model_side_keys[side]);
        for (int view = 0; view < VIEWS; view++) {
            if (!read_view(value_member(of_side, model_view_keys[view]), side, &ret->views[side][view]))
                return false;
        }
    }
    return true;
}

static bool read_match(const overread_value *match, struct config_model *ret)
{
    static const char *const modes[] = {"distance", "ellipse"};
    int mode;
    if (!value_choice(value_member(match, "mode"), modes, 2, &mode) ||
        !fixed_member(match, "distance_mm", MODEL_MM, LENGTH_LIMIT, &ret->distance))
        return false;
    ret->mode = (enum match_mode)mode;
    ret->near = ret->distance > 0 ? 2 * ret->distance : NEAR_DEFAULT_MM * MODEL_MM;
    return true;
}

static bool read_asked(const overread_value *ask, struct config_model *ret)
{
    static const char *const asked[] = {"density", "size"};
    int item;
    for (uint32_t i = 0; i < value_count(ask); i++) {
        if (!value_choice(value_item(ask, i), asked, 2, &item))
            return false;
        ret->asked |= 1u << item;
    }
    return true;
}

static bool read_setting(const overread_value *setting, struct config_model *ret)
{
    static const char *const settings[] = {"", "screening", "diagnostic"}; /* as in the enum */
    int which = SETTING_UNSTATED;
    bool known = !setting || value_choice(setting, settings, 3, &which);
    ret->setting = (enum setting)which;
    return known;
}

bool model_config(const overread_value *value, struct config_model *ret)
{
    static const char *const rules[] = {"birads_0_4_5", "birads_0_3_4_5"};
    int64_t false_positives = FALSE_POSITIVES_DEFAULT;
    int rule;
    *ret = (struct config_model){0};
    if (!value_choice(value_member(value, "recall_rule"), rules, 2, &rule) ||
        !fixed_member(value, "max_false_positives", 1, MODEL_FINDINGS, &false_positives))
        return false;
    ret->recalls_3 = rule == 1;
    ret->max_false_positives = (int)false_positives;
    return read_setting(value_member(value, "setting"), ret) &&
           read_match(value_member(value, "match"), ret) && read_asked(value_member(value, "ask"), ret) &&
           read_views(value_member(value, "views"), ret);
}

bool model_has_breast(const struct config_model *config, int side)
{
    for (int view = 0; view < VIEWS; view++) {
        if (config->views[side][view].there)
            return true;
    }
    return false;
}

bool model_recalls(const struct config_model *config, int category)
{
    return birads_action(category, config->recalls_3) == BIRADS_RECALL;
}

/* --- A canonical order: by side, view and place, then by everything else; the original place decides only
 * between findings that are equal. */

enum { KEYS = 8 + 5 * VIEWS };

static void keys_of(const struct finding_model *finding, int64_t keys[KEYS])
{
    int at = 0;
    keys[at++] = !finding->malignant;
    keys[at++] = finding->side;
    for (int view = 0; view < VIEWS; view++) {
        const struct place *place = &finding->in[view];
        keys[at++] = !place->there;
        for (int i = 0; i < AXES; i++) {
            keys[at++] = place->at[i];
            keys[at++] = place->semi[i];
        }
    }
    keys[at++] = -birads_rank(finding->birads);
    keys[at++] = finding->type;
    keys[at++] = finding->size;
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

static void insert(struct read_model *read, const struct finding_model *finding)
{
    int at = read->count++;
    for (; at > 0 && before(finding, &read->findings[at - 1]); at--)
        read->findings[at] = read->findings[at - 1];
    read->findings[at] = *finding;
    read->malignant += finding->malignant;
}

/* --- Truth and answer -------------------------------------------------------------------------- */

static bool read_breasts(const overread_value *breasts, struct read_model *ret)
{
    for (int side = 0; side < SIDES; side++) {
        const overread_value *value = value_member(breasts, model_side_keys[side]);
        struct breast_model *breast = &ret->breasts[side];
        breast->density = MODEL_UNKNOWN;
        if (!value)
            continue;
        breast->there = true;
        const overread_value *density = value_member(value, "density");
        if (!read_category(value_member(value, "birads"), &breast->birads) ||
            (density && !value_choice(density, densities, DENSITIES, &breast->density)))
            return false;
    }
    return true;
}

static bool read_finding(const overread_value *value, uint32_t index, struct finding_model *ret)
{
    *ret = (struct finding_model){.index = index, .size = MODEL_UNKNOWN};
    return value_choice(value_member(value, "laterality"), model_side_keys, SIDES, &ret->side) &&
           value_choice(value_member(value, "type"), types, TYPES, &ret->type) &&
           read_category(value_member(value, "birads"), &ret->birads) &&
           fixed_member(value, "size_mm", MODEL_MM, LENGTH_LIMIT, &ret->size);
}

static bool read_true_finding(const overread_value *value, uint32_t index, struct finding_model *ret)
{
    const overread_value *views = value_member(value, "views");
    if (!read_finding(value, index, ret))
        return false;
    ret->id = value_string(value_member(value, "id"));
    ret->histology = value_string(value_member(value, "histology"));
    ret->malignant = value_truth(value_member(value, "malignant")) == 1;
    for (int view = 0; view < VIEWS; view++) {
        const overread_value *place = value_member(views, model_view_keys[view]);
        if (!place)
            continue;
        ret->in[view].there = true;
        if (!fixed_array(value_member(place, "position"), AXES, MODEL_MM, 0, LENGTH_LIMIT,
                         ret->in[view].at) ||
            !fixed_array(value_member(place, "semi_axes"), AXES, MODEL_MM, SEMI_AXIS_MIN, LENGTH_LIMIT,
                         ret->in[view].semi))
            return false;
    }
    return ret->id != NULL;
}

static bool read_mark(const overread_value *value, uint32_t index, struct finding_model *ret)
{
    const overread_value *positions = value_member(value, "positions");
    if (!read_finding(value, index, ret))
        return false;
    for (int view = 0; view < VIEWS; view++) {
        const overread_value *position = value_member(positions, model_view_keys[view]);
        ret->in[view].there = position != NULL;
        if (position && !fixed_array(position, AXES, MODEL_MM, 0, LENGTH_LIMIT, ret->in[view].at))
            return false;
    }
    return true;
}

static bool read_case(const overread_value *value, bool truth, struct read_model *ret)
{
    const overread_value *findings = value_member(value, "findings");
    int recall = value_truth(value_member(value, "recall"));
    *ret = (struct read_model){.recall = recall == 1, .probability = MODEL_UNKNOWN};
    ret->cancer = value_truth(value_member(value, "malignant")) == 1;
    if (recall < 0 || value_count(findings) > MODEL_FINDINGS ||
        !read_breasts(value_member(value, "breasts"), ret) ||
        !fixed_member(value, "malignancy_probability", 1000000, 1000000, &ret->probability))
        return false;
    for (uint32_t i = 0; i < value_count(findings); i++) {
        struct finding_model finding;
        const overread_value *item = value_item(findings, i);
        if (!(truth ? read_true_finding(item, i, &finding) : read_mark(item, i, &finding)))
            return false;
        insert(ret, &finding);
    }
    return true;
}

bool model_truth(const overread_value *value, struct read_model *ret)
{
    return read_case(value, true, ret);
}

bool model_answer(const overread_value *value, struct read_model *ret)
{
    return read_case(value, false, ret);
}

static int worse(int a, int b)
{
    return birads_rank(a) >= birads_rank(b) ? a : b;
}

int model_worst_finding(const struct read_model *read, int side)
{
    int worst = 1;
    for (int i = 0; i < read->count; i++) {
        if (read->findings[i].side == side)
            worst = worse(read->findings[i].birads, worst);
    }
    return worst;
}

int model_worst_breast(const struct read_model *read)
{
    int worst = 1;
    for (int side = 0; side < SIDES; side++) {
        if (read->breasts[side].there)
            worst = worse(read->breasts[side].birads, worst);
    }
    return worst;
}

bool model_case_recalls(const struct config_model *config, const struct read_model *read)
{
    for (int side = 0; side < SIDES; side++) {
        if (read->breasts[side].there && model_recalls(config, read->breasts[side].birads))
            return true;
    }
    return false;
}
