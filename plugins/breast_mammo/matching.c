#include "matching.h"
#include "common/assign.h"
#include "common/fixed.h"

/* A pair's weight holds three wishes in strict order, for up to 20 pairs of up to 8 views. */
#define WEIGHT_HIT INT64_C(10000000000000000)
#define WEIGHT_VIEW INT64_C(1000000000)
#define DISTANCE_LIMIT INT64_C(2000000) /* micrometres; farther counts as this far */

_Static_assert(MODEL_FINDINGS <= ASSIGN_MAX, "every finding has a row");

int64_t matching_distance(const int64_t a[AXES], const int64_t b[AXES])
{
    return fixed_distance(a, b, AXES);
}

/* Is the point inside the ellipse whose semi-axes are `factor` times as long? The edge counts as inside. */
static bool inside(const struct place *place, const int64_t at[AXES], int factor)
{
    int128 x = (int128)(at[0] - place->at[0]) * place->semi[1],
           y = (int128)(at[1] - place->at[1]) * place->semi[0];
    int128 edge = (int128)place->semi[0] * place->semi[1] * factor;
    return x * x + y * y <= edge * edge;
}

static bool hits(const struct config_model *config, const struct place *place, const int64_t at[AXES])
{
    return inside(place, at, 1) ||
           (config->mode == MATCH_DISTANCE && matching_distance(place->at, at) <= config->distance);
}

bool matching_agrees(const struct config_model *config, const struct finding_model *finding,
                     const struct finding_model *mark, int view)
{
    return config->views[finding->side][view].there && finding->in[view].there && mark->in[view].there &&
           hits(config, &finding->in[view], mark->in[view].at);
}

int matching_views(const struct config_model *config, const struct finding_model *finding,
                   const struct finding_model *mark, int64_t *ret_distance)
{
    int views = 0;
    int64_t sum = 0, smallest = MODEL_UNKNOWN;
    for (int view = 0; view < VIEWS; view++) {
        if (!finding->in[view].there || !mark->in[view].there)
            continue;
        int64_t distance = matching_distance(finding->in[view].at, mark->in[view].at);
        if (smallest == MODEL_UNKNOWN || distance < smallest)
            smallest = distance;
        if (matching_agrees(config, finding, mark, view)) {
            views++;
            sum += distance;
        }
    }
    *ret_distance = views ? sum / views : smallest;
    return views;
}

static int64_t closeness(int64_t distance)
{
    return DISTANCE_LIMIT - (distance < DISTANCE_LIMIT ? distance : DISTANCE_LIMIT);
}

/* --- What a mark can be to a finding: each function gives the pair's weight, or -1 ---------------------- */

typedef int64_t weigh(const struct config_model *config, const struct finding_model *finding,
                      const struct finding_model *mark);

static int64_t weigh_hit(const struct config_model *config, const struct finding_model *finding,
                         const struct finding_model *mark)
{
    int64_t distance;
    if (finding->side != mark->side)
        return -1;
    int views = matching_views(config, finding, mark, &distance);
    return views ? WEIGHT_HIT + views * WEIGHT_VIEW + closeness(distance) : -1;
}

static int64_t weigh_near(const struct config_model *config, const struct finding_model *finding,
                          const struct finding_model *mark)
{
    int views = 0;
    int64_t distance;
    if (finding->side != mark->side)
        return -1;
    for (int view = 0; view < VIEWS; view++) {
        const struct place *place = &finding->in[view];
        if (place->there && mark->in[view].there)
            views += inside(place, mark->in[view].at, 2) ||
                     matching_distance(place->at, mark->in[view].at) <= config->near;
    }
    matching_views(config, finding, mark, &distance);
    return views ? WEIGHT_HIT + views * WEIGHT_VIEW + closeness(distance) : -1;
}

static int64_t weigh_wrong_view(const struct config_model *config, const struct finding_model *finding,
                                const struct finding_model *mark)
{
    int64_t best = -1;
    if (finding->side != mark->side)
        return -1;
    for (int v = 0; v < VIEWS; v++) {
        for (int w = 0; w < VIEWS; w++) {
            if (v == w || !finding->in[v].there || !mark->in[w].there)
                continue;
            int64_t weight = WEIGHT_HIT + closeness(matching_distance(finding->in[v].at, mark->in[w].at));
            if (hits(config, &finding->in[v], mark->in[w].at) && weight > best)
                best = weight;
        }
    }
    return best;
}

/* The same depth from the chest wall, in the other breast's image of the same view. */
static void mirrored(const struct config_model *config, int side, int view, const int64_t at[AXES],
                     int64_t ret[AXES])
{
    const struct view_model *from = &config->views[side][view], *to = &config->views[1 - side][view];
    int64_t depth = from->chest_wall_right ? from->size[0] - at[0] : at[0];
    ret[0] = to->chest_wall_right ? to->size[0] - depth : depth;
    ret[1] = at[1];
}

/* A slip of the side: the mirrored place was marked, or the very place with the other side's name. */
static int64_t weigh_mirror(const struct config_model *config, const struct finding_model *finding,
                            const struct finding_model *mark)
{
    int64_t best = -1;
    if (finding->side == mark->side)
        return -1;
    for (int view = 0; view < VIEWS; view++) {
        const struct place *place = &finding->in[view];
        if (!place->there || !mark->in[view].there)
            continue;
        int64_t both[2][AXES];
        for (int i = 0; i < AXES; i++)
            both[0][i] = mark->in[view].at[i];
        mirrored(config, mark->side, view, mark->in[view].at, both[1]);
        for (int k = 0; k < 2; k++) {
            int64_t weight = WEIGHT_HIT + closeness(matching_distance(place->at, both[k]));
            if (hits(config, place, both[k]) && weight > best)
                best = weight;
        }
    }
    return best;
}

/* Assigns free marks to the free findings from `first` to before `end`. */
struct stage {
    const struct config_model *config;
    const struct read_model *truth, *answer;
    struct matching *matching;
};

static void assign(const struct stage *stage, int first, int end, enum mark_role role, weigh *weight_of)
{
    struct matching *matching = stage->matching;
    int64_t weight[ASSIGN_MAX][ASSIGN_MAX] = {{0}};
    int column_of[ASSIGN_MAX] = {0};
    for (int i = first; i < end; i++) {
        for (int j = 0; j < stage->answer->count; j++) {
            bool both_free = matching->mark_of[i] < 0 && matching->role[j] == ROLE_FALSE;
            weight[i - first][j] =
                both_free ? weight_of(stage->config, &stage->truth->findings[i], &stage->answer->findings[j])
                          : -1;
        }
    }
    assign_best(end - first, stage->answer->count, weight, column_of);
    for (int i = first; i < end; i++) {
        int mark = column_of[i - first];
        if (mark < 0)
            continue;
        matching->mark_of[i] = mark;
        matching->role[mark] = role;
        matching->finding_of[mark] = i;
    }
}

static void find_duplicates(const struct stage *stage)
{
    struct matching *matching = stage->matching;
    for (int j = 0; j < stage->answer->count; j++) {
        for (int i = 0; i < stage->truth->count && matching->role[j] == ROLE_FALSE; i++) {
            if (weigh_hit(stage->config, &stage->truth->findings[i], &stage->answer->findings[j]) >= 0) {
                matching->role[j] = ROLE_DUPLICATE;
                matching->finding_of[j] = i;
            }
        }
    }
}

void matching_solve(const struct config_model *config, const struct read_model *truth,
                    const struct read_model *answer, struct matching *ret)
{
    const struct stage stage = {config, truth, answer, ret};
    *ret = (struct matching){0};
    for (int i = 0; i < MODEL_FINDINGS; i++) {
        ret->mark_of[i] = -1;
        ret->finding_of[i] = -1;
    }
    /* Cancers come first: a mark that could be either is taken as the cancer's. */
    assign(&stage, 0, truth->malignant, ROLE_HIT, weigh_hit);
    assign(&stage, truth->malignant, truth->count, ROLE_BENIGN, weigh_hit);
    find_duplicates(&stage);
    assign(&stage, 0, truth->malignant, ROLE_NEAR, weigh_near);
    assign(&stage, 0, truth->malignant, ROLE_WRONG_VIEW, weigh_wrong_view);
    assign(&stage, 0, truth->malignant, ROLE_MIRROR, weigh_mirror);
}
