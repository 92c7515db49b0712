#include "model.h"
#include <string.h>
#include "common/fixed.h"
#include "common/value.h"

enum { FALSE_POSITIVES_DEFAULT = 2, TOLERANCE_DEFAULT = 15, TENTHS = 10 };

/* The schemas bound every number more tightly; what passes here cannot overflow the arithmetic of the grade.
 */
#define POSITION_LIMIT (1000 * LUNG_MM)
#define SEMI_AXIS_LIMIT (300 * LUNG_MM)
#define NEAR_DEFAULT (10 * LUNG_MM)
#define RADIUS_MIN (3 * LUNG_MM / 2) /* a smaller nodule is hit as if it were this large */

int64_t lung_distance(const int64_t a[3], const int64_t b[3])
{
    return fixed_distance(a, b, 3);
}

bool lung_body_contains(const struct lung_body *body, const int64_t point[3], int factor, int64_t margin)
{
    int64_t semi[3];
    for (int i = 0; i < 3; i++)
        semi[i] = body->semi[i] * factor + margin;
    uint128 over = 0, under = (uint128)semi[0] * (uint128)semi[1] * (uint128)semi[2];
    for (int i = 0; i < 3; i++) {
        int64_t away = fixed_absolute(point[i] - body->centre[i]);
        if (away > semi[i])
            return false;
        uint128 part = (uint128)away * (uint128)semi[(i + 1) % 3] * (uint128)semi[(i + 2) % 3];
        over += part * part;
    }
    return over <= under * under;
}

bool lung_in_lungs(const struct lung_config *config, const int64_t point[3])
{
    const int64_t margin = 10 * LUNG_MM;
    for (int i = 0; i < config->lung_count; i++) {
        if (lung_body_contains(&config->lungs[i], point, 1, margin))
            return true;
    }
    return config->lung_count == 0;
}

/* --- Values ------------------------------------------------------------------------------------------ */

/* An absent member leaves *ret alone. */
static bool read_name(const overread_value *object, const char *member, const char *const *names, int count,
                      int *ret)
{
    const overread_value *value = value_member(object, member);
    return !value || value_choice(value, names, count, ret);
}
#define READ_NAME(object, member, names, ret)                                                                \
    read_name(object, member, names, (int)(sizeof(names) / sizeof((names)[0])), ret)

static bool read_number(const overread_value *object, const char *member, uint32_t scale, int limit, int *ret)
{
    int64_t number = *ret;
    bool good = fixed_member(object, member, scale, limit, &number);
    *ret = (int)number;
    return good;
}

static bool read_vector(const overread_value *value, int64_t ret[3])
{
    return fixed_array(value, 3, LUNG_MM, -POSITION_LIMIT, POSITION_LIMIT, ret);
}

static bool read_semi_axes(const overread_value *value, int64_t ret[3])
{
    return fixed_array(value, 3, LUNG_MM, 1, SEMI_AXIS_LIMIT, ret);
}

/* --- Config ------------------------------------------------------------------------------------------ */

static bool read_match(const overread_value *value, struct lung_config *ret)
{
    static const char *const modes[] = {"inside", "distance"};
    int mode = -1, distance = -1;
    if (!READ_NAME(value, "mode", modes, &mode) || mode < 0 ||
        !read_number(value, "distance_mm", LUNG_MM, 100000, &distance))
        return false;
    ret->by_distance = mode == 1;
    if (ret->by_distance && distance < 0)
        return false;
    ret->distance = distance < 0 ? 0 : distance;
    ret->near = distance < 0 ? NEAR_DEFAULT : 2 * (int64_t)distance;
    return true;
}

static bool read_bounds(const overread_value *value, struct lung_config *ret)
{
    for (uint32_t i = 0; i < 3; i++) {
        if (!fixed_array(value_item(value, i), 2, LUNG_MM, -POSITION_LIMIT, POSITION_LIMIT, ret->bounds[i]))
            return false;
    }
    return value_count(value) == 3;
}

bool lung_model_config(const overread_value *value, struct lung_config *ret)
{
    const overread_value *lungs = value_member(value, "lungs");
    *ret = (struct lung_config){.interval_months = LUNG_UNKNOWN,
                                .size_tolerance = TOLERANCE_DEFAULT,
                                .max_false_positives = FALSE_POSITIVES_DEFAULT};
    if (!read_match(value_member(value, "match"), ret) ||
        !read_bounds(value_member(value_member(value, "image"), "bounds_lps_mm"), ret) ||
        !read_number(value_member(value, "prior"), "interval_months", 1, 1200, &ret->interval_months) ||
        !read_number(value, "size_tolerance_mm", TENTHS, 1000, &ret->size_tolerance) ||
        !read_number(value, "max_false_positives", 1, 1000, &ret->max_false_positives) ||
        value_count(lungs) > 2)
        return false;
    for (uint32_t i = 0; i < value_count(lungs); i++) {
        struct lung_body *lung = &ret->lungs[ret->lung_count++];
        if (!read_vector(value_member(value_item(lungs, i), "centre"), lung->centre) ||
            !read_semi_axes(value_member(value_item(lungs, i), "semi_axes"), lung->semi))
            return false;
    }
    return true;
}

/* --- Nodules ----------------------------------------------------------------------------------------- */

static const char *const types[] = {"solid",  "part_solid", "ground_glass", "juxtapleural",
                                    "airway", "cyst",       "benign"};
static const char *const statuses[] = {"baseline", "new", "stable", "growing", "slowly_growing"};
static const char *const solid_statuses[] = {"unchanged", "new", "growing"};
static const char *const airways[] = {"subsegmental", "segmental_or_proximal"};
static const char *const cysts[] = {"thin_walled", "thick_walled", "multilocular"};
static const char *const cyst_changes[] = {"none", "larger", "wall", "became_multilocular", "more"};
static const char *const categories[] = {"", "1", "2", "3", "4A", "4B", "4X", "0"};
static const char *const managements[] = {"ldct_12_months", "ldct_6_months", "ldct_3_months",
                                          "pet_ct_or_tissue", "complete_examination"};

/* A size is stated as a diameter or as a volume; pointer: to the latter, in its nodule. */
static bool read_size(const overread_value *value, const char *diameter, const char *pointer,
                      struct lung_nodule *nodule, int *ret, int *ret_volume)
{
    enum { LIMIT = 10000, VOLUME_LIMIT = 10000000 };
    int mm3 = LUNG_UNKNOWN;
    if (!read_number(value, diameter, TENTHS, LIMIT, ret) ||
        !read_number(value, pointer + 1, 1, VOLUME_LIMIT, &mm3))
        return false;
    if (mm3 == LUNG_UNKNOWN)
        return true;
    if (*ret != LUNG_UNKNOWN) {
        nodule->stated_twice = pointer;
        return true;
    }
    *ret = lung_diameter_of_volume(mm3);
    *ret_volume = mm3;
    nodule->reading.by_volume = true;
    return true;
}

static bool read_measurements(const overread_value *value, struct lung_nodule *ret)
{
    struct lung_reading *reading = &ret->reading;
    int prior = LUNG_UNKNOWN;
    return read_size(value, "mean_diameter_mm", "/volume_mm3", ret, &reading->mean, &ret->volume) &&
           reading->mean >= 0 &&
           read_size(value, "solid_mm", "/solid_volume_mm3", ret, &reading->solid, &ret->solid_volume) &&
           read_size(value, "prior_diameter_mm", "/prior_volume_mm3", ret, &reading->prior_mean, &prior) &&
           read_size(value, "prior_solid_mm", "/prior_solid_volume_mm3", ret, &reading->prior_solid, &prior);
}

static bool read_reading(const overread_value *value, const struct lung_config *config,
                         struct lung_reading *ret)
{
    int type = -1, status = -1;
    *ret = (struct lung_reading){.mean = LUNG_UNKNOWN,
                                 .solid = LUNG_UNKNOWN,
                                 .prior_mean = LUNG_UNKNOWN,
                                 .prior_solid = LUNG_UNKNOWN,
                                 .solid_status = LUNG_UNKNOWN,
                                 .airway = LUNG_UNKNOWN,
                                 .cyst = LUNG_UNKNOWN,
                                 .cyst_change = LUNG_UNKNOWN,
                                 .interval_months = config->interval_months,
                                 .suspicious = value_truth(value_member(value, "suspicious_features")) == 1,
                                 .proven_benign = value_truth(value_member(value, "proven_benign")) == 1};
    if (!READ_NAME(value, "type", types, &type) || type < 0 ||
        !READ_NAME(value, "status", statuses, &status) || status < 0 ||
        !READ_NAME(value, "prior_category", categories, &ret->prior_category) ||
        !READ_NAME(value, "solid_status", solid_statuses, &ret->solid_status) ||
        !READ_NAME(value, "airway_level", airways, &ret->airway) ||
        !READ_NAME(value, "cyst_kind", cysts, &ret->cyst) ||
        !READ_NAME(value, "cyst_change", cyst_changes, &ret->cyst_change))
        return false;
    ret->type = (enum lung_type)type;
    ret->status = (enum lung_status)status;
    return true;
}

static void make_key(struct lung_nodule *nodule)
{
    const struct lung_reading *r = &nodule->reading;
    const int64_t key[LUNG_KEYS] = {nodule->body.centre[0],
                                    nodule->body.centre[1],
                                    nodule->body.centre[2],
                                    nodule->category,
                                    r->type,
                                    r->status,
                                    r->mean,
                                    r->solid,
                                    r->prior_mean,
                                    r->prior_solid,
                                    r->prior_category,
                                    r->solid_status,
                                    r->airway,
                                    r->cyst,
                                    r->cyst_change,
                                    r->suspicious,
                                    r->proven_benign,
                                    r->by_volume,
                                    nodule->volume,
                                    nodule->solid_volume};
    memcpy(nodule->key, key, sizeof(key));
}

static bool read_nodule(const overread_value *value, uint32_t index, const char *place,
                        const struct lung_config *config, struct lung_nodule *ret)
{
    int category = LUNG_NOT_DEFINED;
    *ret = (struct lung_nodule){
        .index = index,
        .id = value_string(value_member(value, "id")),
        .histology = value_string(value_member(value, "histology")),
        .follow_up = value_string(value_member(value, "follow_up")),
        .malignant = value_truth(value_member(value, "malignant")),
        .volume = LUNG_UNKNOWN,
        .solid_volume = LUNG_UNKNOWN,
        .long_axis = LUNG_UNKNOWN,
        .short_axis = LUNG_UNKNOWN,
    };
    if (!read_vector(value_member(value, place), ret->body.centre) ||
        !read_reading(value, config, &ret->reading) || !read_measurements(value, ret) ||
        !READ_NAME(value, "category", categories, &category) || category < LUNG_1 || category > LUNG_4X ||
        !read_number(value, "long_mm", TENTHS, 10000, &ret->long_axis) ||
        !read_number(value, "short_mm", TENTHS, 10000, &ret->short_axis))
        return false;
    ret->category = (enum lung_category)category;
    int64_t radius = ret->reading.mean * LUNG_MM / (2 * TENTHS);
    for (int i = 0; i < 3; i++)
        ret->body.semi[i] = radius < RADIUS_MIN ? RADIUS_MIN : radius;
    make_key(ret);
    const overread_value *semi_axes = value_member(value, "semi_axes");
    return !semi_axes || read_semi_axes(semi_axes, ret->body.semi);
}

static bool before(const struct lung_nodule *a, const struct lung_nodule *b)
{
    bool a_first = a->id && a->category >= LUNG_3, b_first = b->id && b->category >= LUNG_3;
    if (a_first != b_first)
        return a_first;
    for (int i = 0; i < LUNG_KEYS; i++) {
        if (a->key[i] != b->key[i])
            return a->key[i] < b->key[i];
    }
    return a->id && b->id && strcmp(a->id, b->id) < 0;
}

static bool read_case(const overread_value *value, const char *place, const struct lung_config *config,
                      struct lung_case *ret)
{
    const overread_value *nodules = value_member(value, "nodules");
    int category = LUNG_NOT_DEFINED, management = -1;
    *ret = (struct lung_case){.s_modifier = value_truth(value_member(value, "s_modifier"))};
    if (!READ_NAME(value, "category", categories, &category) || category < LUNG_1 ||
        !READ_NAME(value, "management", managements, &management) || management < 0 ||
        value_count(nodules) > LUNG_NODULES)
        return false;
    ret->category = (enum lung_category)category;
    ret->management = (enum lung_management)management;
    for (uint32_t i = 0; i < value_count(nodules); i++) {
        struct lung_nodule nodule;
        if (!read_nodule(value_item(nodules, i), i, place, config, &nodule))
            return false;
        int at = ret->count++;
        for (; at > 0 && before(&nodule, &ret->nodules[at - 1]); at--)
            ret->nodules[at] = ret->nodules[at - 1];
        ret->nodules[at] = nodule;
        ret->actionable += nodule.category >= LUNG_3;
    }
    return true;
}

bool lung_model_truth(const overread_value *value, const struct lung_config *config, struct lung_case *ret)
{
    if (!read_case(value, "centre", config, ret))
        return false;
    for (int i = 0; i < ret->count; i++) {
        if (!ret->nodules[i].id)
            return false;
    }
    return true;
}

bool lung_model_answer(const overread_value *value, const struct lung_config *config, struct lung_case *ret)
{
    return read_case(value, "position", config, ret);
}
