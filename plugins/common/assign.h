/* Which of two short lists belong together: the best one-to-one assignment, exactly, in integers. */
#ifndef OVERREAD_PLUGINS_COMMON_ASSIGN_H
#define OVERREAD_PLUGINS_COMMON_ASSIGN_H

#include <stdbool.h>
#include <stdint.h>

#define ASSIGN_MAX 20 /* rows and columns */

/* The Hungarian method with potentials, on a square of minimal costs; a pair that is not allowed costs what
 * being alone costs. Rows and columns count from 1 here, 0 stands for none. */
struct assignment {
    int size;
    int64_t row_potential[ASSIGN_MAX + 1], column_potential[ASSIGN_MAX + 1];
    int row_of[ASSIGN_MAX + 1];
    int64_t cost[ASSIGN_MAX + 1][ASSIGN_MAX + 1];
};

static inline void assign_augment(struct assignment *h, int row)
{
    int64_t slack[ASSIGN_MAX + 1];
    int previous[ASSIGN_MAX + 1];
    bool used[ASSIGN_MAX + 1] = {false};
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

/* Exact maximum of the summed weights of a one-to-one assignment. weight[r][c] < 0: not allowed. column_of[r] = -1
 * for a row without partner. Sums must stay below 2^60. Among equal sums the choice depends on the order of rows and
 * columns only: sort them by content first. */
static inline void assign_best(int rows, int columns, int64_t weight[ASSIGN_MAX][ASSIGN_MAX],
                               int column_of[ASSIGN_MAX])
{
    struct assignment h = {.size = rows > columns ? rows : columns};
    for (int r = 0; r < rows; r++) {
        column_of[r] = -1;
        for (int c = 0; c < columns; c++)
            h.cost[r + 1][c + 1] = weight[r][c] > 0 ? -weight[r][c] : 0;
    }
    for (int r = 1; r <= h.size; r++)
        assign_augment(&h, r);
    for (int c = 1; c <= columns; c++) {
        int r = h.row_of[c];
        if (r >= 1 && r <= rows && weight[r - 1][c - 1] >= 0)
            column_of[r - 1] = c - 1;
    }
}

#endif
