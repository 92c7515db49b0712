#include "matching.h"

#define OVERLAP_HIT (GEOMETRY_OVERLAP_WHOLE / 10) /* IoU 0.10, as PI-CAI */

/* A pair's weight holds three wishes in strict order, for up to 20 pairs: be a hit, overlap much, lie close.
 */
#define WEIGHT_HIT INT64_C(10000000000000000)
#define WEIGHT_OVERLAP INT64_C(100000000)
#define DISTANCE_LIMIT INT64_C(2000000) /* micrometres; farther counts as this far */

/* The Hungarian method with potentials, on a square of minimal costs; a pair that is not allowed costs what
 * being alone costs. Rows and columns count from 1 here, 0 stands for none. */
struct hungarian {
    int size;
    int64_t row_potential[MODEL_LESIONS + 1], column_potential[MODEL_LESIONS + 1];
    int row_of[MODEL_LESIONS + 1];
    int64_t cost[MODEL_LESIONS + 1][MODEL_LESIONS + 1];
};

static void augment(struct hungarian *h, int row)
{
    int64_t slack[MODEL_LESIONS + 1];
    int previous[MODEL_LESIONS + 1];
    bool used[MODEL_LESIONS + 1] = {false};
    int column = 0;
    for (int j = 0; j <= h->size; j++) {
        slack[j] = INT64_MAX;
        previous[j] = 0;
    }
    h->row_of[0] = row;
    do {
        int64_t delta = INT64_MAX;
        int next = 0, here = h->row_of[column];
        used[column] = true;
        for (int j = 1; j <= h->size; j++) {
            if (used[j])
                continue;
            int64_t reduced = h->cost[here][j] - h->row_potential[here] - h->column_potential[j];
            if (reduced < slack[j]) {
                slack[j] = reduced;
                previous[j] = column;
            }
            if (slack[j] < delta) {
                delta = slack[j];
                next = j;
            }
        }
        for (int j = 0; j <= h->size; j++) {
            if (used[j]) {
                h->row_potential[h->row_of[j]] += delta;
                h->column_potential[j] -= delta;
            } else {
                slack[j] -= delta;
            }
        }
        column = next;
    } while (h->row_of[column] != 0);
    for (; column; column = previous[column])
        h->row_of[column] = h->row_of[previous[column]];
}

void matching_assign(int rows, int columns, int64_t weight[MODEL_LESIONS][MODEL_LESIONS],
                     int column_of[MODEL_LESIONS])
{
    struct hungarian h = {.size = rows > columns ? rows : columns};
    for (int r = 0; r < rows; r++) {
        column_of[r] = -1;
        for (int c = 0; c < columns; c++)
            h.cost[r + 1][c + 1] = weight[r][c] > 0 ? -weight[r][c] : 0;
    }
    for (int r = 1; r <= h.size; r++)
        augment(&h, r);
    for (int c = 1; c <= columns; c++) {
        int r = h.row_of[c];
        if (r >= 1 && r <= rows && weight[r - 1][c - 1] >= 0)
            column_of[r - 1] = c - 1;
    }
}

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
    matching_assign(end - first, marks, weight, column_of);
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
