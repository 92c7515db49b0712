/* What a schema cannot say about a truth and an answer. */
#include <string.h>
#include "common/check.h"
#include "common/fixed.h"
#include "common/text.h"
#include "grade.h"
#include "model.h"

/* The nodule that stood at `index`; there is one for every index below the count. */
static const struct lung_nodule *nodule_of_index(const struct lung_case *in, uint32_t index)
{
    int i = 0;
    while (i < in->count - 1 && in->nodules[i].index != index)
        i++;
    return &in->nodules[i];
}

static bool outside_image(const struct lung_config *config, const int64_t point[3])
{
    for (int i = 0; i < 3; i++) {
        if (point[i] < config->bounds[i][0] || point[i] > config->bounds[i][1])
            return true;
    }
    return false;
}

/* --- Answer ------------------------------------------------------------------------------------------ */

static const char one_size[] = "A size is a mean diameter or a volume, not both.";

/* Marks closer together than this are one mark, sent twice. */
#define SAME_PLACE (LUNG_MM / 2)

static enum overread_status check_mark(const overread_host *host, const struct lung_config *config,
                                       const struct lung_case *answer, uint32_t index,
                                       overread_problem *problem)
{
    const struct lung_nodule *mark = nodule_of_index(answer, index);
    if (outside_image(config, mark->body.centre))
        return check_refuse_item(host, problem, "nodules", index, "/position",
                                 "The position lies outside the image.");
    if (mark->stated_twice)
        return check_refuse_item(host, problem, "nodules", index, mark->stated_twice, one_size);
    if (mark->reading.solid > mark->reading.mean)
        return check_refuse_item(host, problem, "nodules", index, "/solid_mm",
                                 "The solid component cannot be larger than the nodule.");
    for (uint32_t i = 0; i < index; i++) {
        if (lung_distance(nodule_of_index(answer, i)->body.centre, mark->body.centre) <= SAME_PLACE)
            return check_refuse_item(
                host, problem, "nodules", index, "/position",
                plugin_printf(host, "The same place is marked by /nodules/%u already.", i));
    }
    return OVERREAD_OK;
}

/* Offences are told in the answer's own order: the first wrong nodule first. */
enum overread_status lung_check_answer(const overread_host *host, const overread_input *input,
                                       overread_problem *problem)
{
    struct lung_config config;
    struct lung_case answer;
    if (!lung_model_config(input->config, &config) || !lung_model_answer(input->answer, &config, &answer))
        return OVERREAD_BUG;
    for (uint32_t i = 0; i < (uint32_t)answer.count; i++) {
        enum overread_status status = check_mark(host, &config, &answer, i, problem);
        if (status != OVERREAD_OK)
            return status;
    }
    return OVERREAD_OK;
}

/* --- Truth ------------------------------------------------------------------------------------------- */

static const char *config_objection(const struct lung_config *config)
{
    for (int i = 0; i < 3; i++) {
        if (config->bounds[i][0] >= config->bounds[i][1])
            return "The config's image bounds must run from the lower to the higher coordinate.";
    }
    for (int i = 0; i < config->lung_count; i++) {
        if (outside_image(config, config->lungs[i].centre))
            return "One of the config's lungs has its centre outside the image.";
    }
    return NULL;
}

static bool is_part_larger(const struct lung_reading *reading)
{
    return reading->solid > reading->mean ||
           (reading->prior_mean != LUNG_UNKNOWN && reading->prior_solid > reading->prior_mean);
}

static const char *mean_objection(const struct lung_nodule *nodule)
{
    int sum = nodule->long_axis + nodule->short_axis;
    if (nodule->long_axis == LUNG_UNKNOWN || nodule->short_axis == LUNG_UNKNOWN ||
        nodule->volume != LUNG_UNKNOWN)
        return NULL;
    if (nodule->short_axis > nodule->long_axis)
        return "The short axis is longer than the long one.";
    return (sum + 1) / 2 == nodule->reading.mean || sum / 2 == nodule->reading.mean
               ? NULL
               : "The mean diameter is not the mean of the long and the short axis, to 0.1 mm.";
}

static const char *status_objection(const struct lung_nodule *nodule)
{
    if (nodule->reading.interval_months == LUNG_UNKNOWN && nodule->reading.status != LUNG_BASELINE)
        return "Without a prior examination in the config a nodule is at baseline.";
    if (nodule->reading.interval_months != LUNG_UNKNOWN && nodule->reading.status == LUNG_BASELINE)
        return "The config has a prior examination: the nodule is new, stable or growing, not at baseline.";
    return lung_growth_objection(&nodule->reading) ? "The status contradicts the measurements." : NULL;
}

static const char *category_objection(const struct lung_nodule *nodule)
{
    enum lung_category ruled = lung_category_of(&nodule->reading).category;
    return ruled != LUNG_NOT_DEFINED && ruled != nodule->category
               ? "The category is not the one that type, size and status give."
               : NULL;
}

static enum overread_status check_nodule(const overread_host *host, const struct lung_config *config,
                                         const struct lung_nodule *nodule, overread_problem *problem)
{
    const struct {
        const char *member, *objection;
    } objections[] = {
        {"/centre", outside_image(config, nodule->body.centre) ? "The nodule's centre lies outside the image."
                    : !lung_in_lungs(config, nodule->body.centre)
                        ? "The nodule lies outside the config's lungs."
                        : NULL},
        {nodule->stated_twice ? nodule->stated_twice : "", nodule->stated_twice ? one_size : NULL},
        {"/solid_mm",
         is_part_larger(&nodule->reading) ? "The solid component cannot be larger than the nodule." : NULL},
        {"/mean_diameter_mm", mean_objection(nodule)},
        {"/status", status_objection(nodule)},
        {"/category", category_objection(nodule)},
    };
    for (size_t i = 0; i < sizeof(objections) / sizeof(objections[0]); i++) {
        if (objections[i].objection)
            return check_refuse_item(host, problem, "nodules", nodule->index, objections[i].member,
                                     objections[i].objection);
    }
    return OVERREAD_OK;
}

static enum overread_status check_case(const struct lung_case *truth, overread_problem *problem)
{
    enum lung_category highest = LUNG_1;
    bool large = false;
    for (int i = 0; i < truth->count; i++) {
        const struct lung_nodule *nodule = &truth->nodules[i];
        if (nodule->category > highest)
            highest = nodule->category;
        large |= nodule->category == truth->category && lung_is_large_solid(&nodule->reading);
    }
    if (truth->category != LUNG_INCOMPLETE && truth->category != highest)
        return check_refuse(problem, "/category",
                            "The case's category is not that of its most suspicious nodule.");
    if (!lung_management_fits(truth->category, large, truth->management))
        return check_refuse(problem, "/management",
                            "The management does not follow from the case's category.");
    return OVERREAD_OK;
}

enum overread_status lung_check_truth(const overread_host *host, const overread_input *input,
                                      overread_problem *problem)
{
    struct lung_config config;
    struct lung_case truth;
    if (!lung_model_config(input->config, &config) || !lung_model_truth(input->truth, &config, &truth))
        return OVERREAD_BUG;
    const char *objection = config_objection(&config);
    if (objection)
        return check_refuse(problem, "", objection);
    for (uint32_t j = 0; j < (uint32_t)truth.count; j++) {
        const struct lung_nodule *nodule = nodule_of_index(&truth, j);
        enum overread_status status = check_nodule(host, &config, nodule, problem);
        if (status != OVERREAD_OK)
            return status;
        for (uint32_t i = 0; i < j; i++) {
            if (strcmp(nodule_of_index(&truth, i)->id, nodule->id) == 0)
                return check_refuse_item(host, problem, "nodules", j, "/id",
                                         "Another nodule has this id already.");
        }
    }
    return check_case(&truth, problem);
}
