#include "scoreboard/stats_sort.h"

#include <stdlib.h>

static int descending(const void *pa, const void *pb)
{
    const struct stats_scored *a = pa, *b = pb;
    return (a->score < b->score) - (a->score > b->score);
}

void stats_sort_descending(struct stats_scored *items, size_t n)
{
    size_t i = 1;

    while (i < n && items[i - 1].score >= items[i].score)
        i++;
    if (i < n)
        qsort(items, n, sizeof(*items), descending);
}

struct stats_scored *stats_sorted(struct arena *arena, size_t n, const uint8_t *truth, const double *score)
{
    struct stats_scored *items = arena_array(arena, n, sizeof(*items));

    for (size_t i = 0; i < n; i++)
        items[i] = (struct stats_scored){.score = score[i], .weight = 1, .positive = truth[i]};
    stats_sort_descending(items, n);
    return items;
}

struct stats_number stats_precision_recall_area(const struct stats_scored *items, size_t n, double floor)
{
    double all = 0, hits = 0, called = 0, hits_before = 0, area = 0;

    for (size_t i = 0; i < n; i++)
        all += items[i].positive ? items[i].weight : 0;
    if (!(all > 0))
        return (struct stats_number){.undefined = "no positive: recall has no denominator"};

    for (size_t i = 0; i < n && items[i].score > floor; i++) {
        called += items[i].weight;
        hits += items[i].positive ? items[i].weight : 0;
        if (i + 1 < n && items[i + 1].score == items[i].score)
            continue;
        if (called > 0)
            area += (hits - hits_before) / all * (hits / called);
        hits_before = hits;
    }
    return (struct stats_number){.value = area};
}
