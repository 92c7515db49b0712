#include "matching.h"
#include "common/assign.h"

_Static_assert(MODEL_LESIONS == ASSIGN_MAX, "the schemas' maxItems");

#define OVERLAP_HIT (GEOMETRY_OVERLAP_WHOLE / 10) /* IoU 0.10, as PI-CAI */

/* A pair's weight holds three wishes in strict order, for up to 20 pairs: be a hit, overlap much, lie close.
 */
#define WEIGHT_HIT INT64_C(10000000000000000)
#define WEIGHT_OVERLAP INT64_C(100000000)
#define DISTANCE_LIMIT INT64_C(2000000) /* micrometres; farther counts as this far */

/* All that matching asks of a lesion and a mark, worked out once. */
struct pair {
    bool hits, near;
    int64_t weight;
};

struct pairs {
    struct pair of[MODEL_LESIONS][MODEL_LESIONS]; /* [lesion][mark] */
};

static struct pair pair_of(const struct config_model *config, const struct lesion_model *lesion,
                           const struct finding_model *mark)
{
    const struct ellipsoid *body = &lesion->common.body;
    int64_t distance = geometry_distance(&lesion->common.position, &mark->position);
    int64_t overlap = 0;
    if (config->mode == MATCH_ELLIPSOID && mark->has_body)
        overlap = ellipsoid_overlap(body, &mark->body);
    int64_t closeness = DISTANCE_LIMIT - (distance < DISTANCE_LIMIT ? distance : DISTANCE_LIMIT);
    return (struct pair){
        .hits = ellipsoid_contains(body, &mark->position, 1) || overlap >= OVERLAP_HIT ||
                (config->mode == MATCH_DISTANCE && distance <= config->distance),
        .near = distance <= config->near || ellipsoid_contains(body, &mark->position, 2),
        .weight = WEIGHT_HIT + overlap * WEIGHT_OVERLAP + closeness,
    };
}

/* Assigns free marks to the free lesions from `first` to before `end`. */
static void stage(const struct pairs *pairs, int marks, int first, int end, enum mark_role role,
                  struct matching *matching)
{
    int64_t weight[MODEL_LESIONS][MODEL_LESIONS] = {{0}};
    int column_of[MODEL_LESIONS] = {0};
    for (int i = first; i < end; i++) {
        for (int j = 0; j < marks; j++) {
            const struct pair *pair = &pairs->of[i][j];
            bool both_free = matching->mark_of_lesion[i] < 0 && matching->role[j] == ROLE_FALSE;
            bool allowed = role == ROLE_NEAR ? pair->near : pair->hits;
            weight[i - first][j] = both_free && allowed ? pair->weight : -1;
        }
    }
    assign_best(end - first, marks, weight, column_of);
    for (int i = first; i < end; i++) {
        int mark = column_of[i - first];
        if (mark < 0)
            continue;
        matching->mark_of_lesion[i] = mark;
        matching->hit[i] = role != ROLE_NEAR;
        matching->role[mark] = role;
        matching->lesion_of_mark[mark] = i;
    }
}

static void find_duplicates(const struct pairs *pairs, int lesions, int marks, struct matching *matching)
{
    for (int j = 0; j < marks; j++) {
        for (int i = 0; i < lesions && matching->role[j] == ROLE_FALSE; i++) {
            if (pairs->of[i][j].hits) {
                matching->role[j] = ROLE_DUPLICATE;
                matching->lesion_of_mark[j] = i;
            }
        }
    }
}

void matching_solve(const struct config_model *config, const struct truth_model *truth,
                    const struct answer_model *answer, struct matching *ret)
{
    struct pairs pairs = {0};
    *ret = (struct matching){0};
    for (int i = 0; i < MODEL_LESIONS; i++) {
        ret->mark_of_lesion[i] = -1;
        ret->lesion_of_mark[i] = -1;
    }
    for (int i = 0; i < truth->count; i++) {
        for (int j = 0; j < answer->count; j++)
            pairs.of[i][j] = pair_of(config, &truth->lesions[i], &answer->marks[j]);
    }
    /* Cancers come first: a mark that could be either is taken as the cancer's, as if only cancers were in
     * the truth. */
    stage(&pairs, answer->count, 0, truth->significant, ROLE_HIT, ret);
    stage(&pairs, answer->count, truth->significant, truth->count, ROLE_BENIGN, ret);
    find_duplicates(&pairs, truth->count, answer->count, ret);
    stage(&pairs, answer->count, 0, truth->significant, ROLE_NEAR, ret);
}
