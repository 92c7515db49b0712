#include "matching.h"

/* A pair's weight holds two wishes in strict order, for up to 20 pairs: be a hit, lie close. */
#define WEIGHT_HIT INT64_C(1000000000)
#define DISTANCE_LIMIT INT64_C(2000000) /* micrometres; farther counts as this far */

struct pairs { /* [nodule][mark] */
    bool hits[LUNG_NODULES][LUNG_NODULES], near[LUNG_NODULES][LUNG_NODULES];
    int64_t weight[LUNG_NODULES][LUNG_NODULES];
};

static void judge_pair(const struct lung_config *config, const struct lung_nodule *nodule,
                       const struct lung_nodule *mark, int i, int j, struct pairs *pairs)
{
    const int64_t *place = mark->body.centre;
    int64_t distance = lung_distance(nodule->body.centre, place);
    pairs->hits[i][j] = lung_body_contains(&nodule->body, place, 1, 0) ||
                        (config->by_distance && distance <= config->distance);
    pairs->near[i][j] = distance <= config->near || lung_body_contains(&nodule->body, place, 2, 0);
    pairs->weight[i][j] =
        WEIGHT_HIT + DISTANCE_LIMIT - (distance < DISTANCE_LIMIT ? distance : DISTANCE_LIMIT);
}

/* Assigns free marks to the free nodules from `first` to before `end`. */
static void stage(const struct pairs *pairs, int marks, int first, int end, enum lung_role role,
                  struct lung_matching *matching)
{
    int64_t weight[ASSIGN_MAX][ASSIGN_MAX] = {{0}};
    int column_of[ASSIGN_MAX] = {0};
    for (int i = first; i < end; i++) {
        for (int j = 0; j < marks; j++) {
            bool both_free = matching->mark_of_nodule[i] < 0 && matching->role[j] == LUNG_ROLE_FALSE;
            bool allowed = role == LUNG_ROLE_NEAR ? pairs->near[i][j] : pairs->hits[i][j];
            weight[i - first][j] = both_free && allowed ? pairs->weight[i][j] : -1;
        }
    }
    assign_best(end - first, marks, weight, column_of);
    for (int i = first; i < end; i++) {
        int mark = column_of[i - first];
        if (mark < 0)
            continue;
        matching->mark_of_nodule[i] = mark;
        matching->hit[i] = role != LUNG_ROLE_NEAR;
        matching->role[mark] = role;
        matching->nodule_of_mark[mark] = i;
    }
}

static void find_duplicates(const struct pairs *pairs, int nodules, int marks, struct lung_matching *matching)
{
    for (int j = 0; j < marks; j++) {
        for (int i = 0; i < nodules && matching->role[j] == LUNG_ROLE_FALSE; i++) {
            if (pairs->hits[i][j]) {
                matching->role[j] = LUNG_ROLE_DUPLICATE;
                matching->nodule_of_mark[j] = i;
            }
        }
    }
}

void lung_matching_solve(const struct lung_config *config, const struct lung_case *truth,
                         const struct lung_case *answer, struct lung_matching *ret)
{
    struct pairs pairs = {0};
    *ret = (struct lung_matching){0};
    for (int i = 0; i < LUNG_NODULES; i++) {
        ret->mark_of_nodule[i] = -1;
        ret->nodule_of_mark[i] = -1;
    }
    for (int i = 0; i < truth->count; i++) {
        for (int j = 0; j < answer->count; j++)
            judge_pair(config, &truth->nodules[i], &answer->nodules[j], i, j, &pairs);
    }
    /* Actionable nodules come first: a mark that could be either is taken as theirs. */
    stage(&pairs, answer->count, 0, truth->actionable, LUNG_ROLE_HIT, ret);
    stage(&pairs, answer->count, truth->actionable, truth->count, LUNG_ROLE_MINOR, ret);
    find_duplicates(&pairs, truth->count, answer->count, ret);
    stage(&pairs, answer->count, 0, truth->actionable, LUNG_ROLE_NEAR, ret);
}
