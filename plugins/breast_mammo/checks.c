/* What a schema cannot say about a truth and an answer. */
#include <string.h>
#include "common/check.h"
#include "common/fixed.h"
#include "common/text.h"
#include "grade.h"
#include "matching.h"

/* The finding that stood at `index`; there is one for every index below the count. */
static const struct finding_model *finding_of_index(const struct read_model *read, uint32_t index)
{
    int i = 0;
    while (i < read->count - 1 && read->findings[i].index != index)
        i++;
    return &read->findings[i];
}

/* --- What holds for truth and answer alike ------------------------------------------------------ */

static enum overread_status check_breasts(const overread_host *host, const struct config_model *config,
                                          const struct read_model *read, overread_problem *problem)
{
    for (int side = 0; side < SIDES; side++) {
        bool shown = model_has_breast(config, side);
        if (shown == read->breasts[side].there)
            continue;
        if (shown)
            return check_refuse(
                problem, "/breasts",
                plugin_printf(host, "The assessment of the %s breast is missing.", model_side_words[side]));
        return check_refuse(
            problem, plugin_printf(host, "/breasts/%s", model_side_keys[side]),
            plugin_printf(host, "This case has no image of the %s breast.", model_side_words[side]));
    }
    return OVERREAD_OK;
}

/* How far the place lies outside its image, along the axis where that is most; 0 inside. */
static int64_t outside_image(const struct view_model *view, const int64_t at[AXES])
{
    int64_t most = 0;
    for (int i = 0; i < AXES; i++) {
        int64_t out = at[i] < 0 ? -at[i] : at[i] - view->size[i];
        if (out > most)
            most = out;
    }
    return most;
}

/* before, after: the JSON pointer about the view's name. */
static enum overread_status check_places(const overread_host *host, const struct config_model *config,
                                         const struct finding_model *finding, const char *before,
                                         const char *after, overread_problem *problem)
{
    if (!model_has_breast(config, finding->side))
        return check_refuse_item(
            host, problem, "findings", finding->index, "/laterality",
            plugin_printf(host, "This case has no image of the %s breast.", model_side_words[finding->side]));
    for (int view = 0; view < VIEWS; view++) {
        const struct view_model *image = &config->views[finding->side][view];
        const char *key = model_view_keys[view];
        if (!finding->in[view].there)
            continue;
        if (!image->there)
            return check_refuse(problem,
                                plugin_printf(host, "/findings/%u/%s/%s", finding->index, before, key),
                                plugin_printf(host, "This case has no %s view of the %s breast.", key,
                                              model_side_words[finding->side]));
        int64_t out = outside_image(image, finding->in[view].at);
        if (out > 0)
            return check_refuse(
                problem, plugin_printf(host, "/findings/%u/%s/%s%s", finding->index, before, key, after),
                plugin_printf(host, "The position lies %s mm outside the image.",
                              fixed_text(out, 3, 1).text));
    }
    return OVERREAD_OK;
}

/* Places closer together than this are one place. */
#define SAME_PLACE (MODEL_MM / 2)

/* In how many of the views that both have do they share a place? */
static int shared_places(const struct finding_model *a, const struct finding_model *b, int *ret_common)
{
    int shared = 0;
    *ret_common = 0;
    for (int view = 0; view < VIEWS && a->side == b->side; view++) {
        if (!a->in[view].there || !b->in[view].there)
            continue;
        (*ret_common)++;
        shared += matching_distance(a->in[view].at, b->in[view].at) <= SAME_PLACE;
    }
    return shared;
}

/* --- Answer ------------------------------------------------------------------------------------ */

/* Two marks may share a place in one view, where findings lie behind each other; not in all. The later one
 * is named, so that the pointer says what to delete. */
static enum overread_status check_repeats(const overread_host *host, const struct read_model *answer,
                                          overread_problem *problem)
{
    for (uint32_t j = 0; j < (uint32_t)answer->count; j++) {
        for (uint32_t i = 0; i < j; i++) {
            int common;
            int shared = shared_places(finding_of_index(answer, i), finding_of_index(answer, j), &common);
            if (common > 0 && shared == common)
                return check_refuse_item(
                    host, problem, "findings", j, "/positions",
                    plugin_printf(host, "The same place is marked by /findings/%u already.", i));
        }
    }
    return OVERREAD_OK;
}

/* Offences are told in the answer's own order: the first wrong finding first. */
enum overread_status breast_check_answer(const overread_host *host, const overread_input *input,
                                         overread_problem *problem)
{
    struct config_model config;
    struct read_model answer;
    if (!model_config(input->config, &config) || !model_answer(input->answer, &answer))
        return OVERREAD_BUG;
    enum overread_status status = check_breasts(host, &config, &answer, problem);
    for (uint32_t i = 0; status == OVERREAD_OK && i < (uint32_t)answer.count; i++)
        status = check_places(host, &config, finding_of_index(&answer, i), "positions", "", problem);
    return status == OVERREAD_OK ? check_repeats(host, &answer, problem) : status;
}

/* --- Truth ------------------------------------------------------------------------------------- */

static enum overread_status check_config(const overread_host *host, const struct config_model *config,
                                         overread_problem *problem)
{
    enum { TOLERANCE_PERCENT = 2 };
    for (int side = 0; side < SIDES; side++) {
        for (int view = 0; view < VIEWS; view++) {
            const struct view_model *image = &config->views[side][view];
            int128 across = (int128)image->size[0] * image->pixels[1];
            int128 down = (int128)image->size[1] * image->pixels[0];
            int128 error = across > down ? across - down : down - across;
            if (image->there && error * 100 > across * TOLERANCE_PERCENT)
                return check_refuse(
                    problem, "",
                    plugin_printf(host,
                                  "The config's size in mm and in pixels of %s %s disagree: pixels "
                                  "must be square.",
                                  model_side_keys[side], model_view_keys[view]));
        }
    }
    if (!model_has_breast(config, 0) && !model_has_breast(config, 1))
        return check_refuse(problem, "", "The config names no view.");
    return OVERREAD_OK;
}

static enum overread_status check_finding(const overread_host *host, const struct config_model *config,
                                          const struct read_model *truth, uint32_t index,
                                          overread_problem *problem)
{
    const struct finding_model *finding = finding_of_index(truth, index);
    enum overread_status status = check_places(host, config, finding, "views", "/position", problem);
    if (status != OVERREAD_OK)
        return status;
    if (finding->birads == 3 && config->setting == SETTING_SCREENING && !config->recalls_3)
        return check_refuse_item(host, problem, "findings", index, "/birads",
                                 "At screening a finding is benign (2) or needs work-up (0; 4 or 5 where its "
                                 "outcome is known, with "
                                 "recall): category 3 is for after the diagnostic work-up. Or say in the "
                                 "config what holds: setting "
                                 "diagnostic, or the recall rule birads_0_3_4_5.");
    if (finding->birads == 6 && !finding->malignant)
        return check_refuse_item(host, problem, "findings", index, "/birads",
                                 "BI-RADS 6 is known malignancy, but the finding is not malignant.");
    for (uint32_t i = 0; i < index; i++) {
        const struct finding_model *earlier = finding_of_index(truth, i);
        int common;
        if (strcmp(earlier->id, finding->id) == 0)
            return check_refuse_item(host, problem, "findings", index, "/id",
                                     "Another finding has this id already.");
        if (shared_places(earlier, finding, &common) > 0)
            return check_refuse_item(
                host, problem, "findings", index, "/views",
                plugin_printf(host, "In one view this is the very place of /findings/%u.", i));
    }
    return OVERREAD_OK;
}

static enum overread_status check_assessment(const overread_host *host, const struct config_model *config,
                                             const struct read_model *truth, overread_problem *problem)
{
    for (int side = 0; side < SIDES; side++) {
        const struct breast_model *breast = &truth->breasts[side];
        int worst = model_worst_finding(truth, side);
        if (breast->there && breast->birads != worst && !(breast->birads == 2 && worst == 1))
            return check_refuse(
                problem, plugin_printf(host, "/breasts/%s/birads", model_side_keys[side]),
                plugin_printf(host,
                              "The %s breast is BI-RADS %d, but its most abnormal finding gives %d "
                              "(order 1, 2, 3, 6, 0, 4, 5).",
                              model_side_words[side], breast->birads, worst));
    }
    if (truth->recall != model_case_recalls(config, truth))
        return check_refuse(problem, "/recall",
                            "By the recall rule of the config, the recall does not follow from the breasts' "
                            "categories.");
    if (truth->cancer != (truth->malignant > 0))
        return check_refuse(problem, "/malignant",
                            truth->cancer ? "The case says malignant, but no finding is."
                                          : "The case says not malignant, but a finding is.");
    return OVERREAD_OK;
}

enum overread_status breast_check_truth(const overread_host *host, const overread_input *input,
                                        overread_problem *problem)
{
    struct config_model config;
    struct read_model truth;
    if (!model_config(input->config, &config) || !model_truth(input->truth, &truth))
        return OVERREAD_BUG;
    enum overread_status status = check_config(host, &config, problem);
    if (status == OVERREAD_OK)
        status = check_breasts(host, &config, &truth, problem);
    for (uint32_t i = 0; status == OVERREAD_OK && i < (uint32_t)truth.count; i++)
        status = check_finding(host, &config, &truth, i, problem);
    return status == OVERREAD_OK ? check_assessment(host, &config, &truth, problem) : status;
}
