#include "scoreboard/stats_sort.h"

#include <stdbool.h>
#include <string.h>

/* Ascending where the score descends; -0 is 0. */
static uint64_t key_of(double score)
{
    uint64_t bits;

    score += 0.0;
    memcpy(&bits, &score, sizeof(bits));
    return bits >> 63 ? bits : ~bits & INT64_MAX;
}

static void sort_by_byte(const struct stats_scored *from, struct stats_scored *to, size_t n, unsigned shift)
{
    size_t next[256] = {0}, sum = 0;

    for (size_t i = 0; i < n; i++)
        next[key_of(from[i].score) >> shift & 255]++;
    for (unsigned byte = 0; byte < 256; byte++) {
        const size_t count = next[byte];
        next[byte] = sum;
        sum += count;
    }
    for (size_t i = 0; i < n; i++)
        to[next[key_of(from[i].score) >> shift & 255]++] = from[i];
}

/* A radix sort: no comparison to predict. Bytes in which no two scores differ are left out, which for a few categories
 * is nearly all of them. */
void stats_sort_descending(struct arena *arena, struct stats_scored *items, size_t n)
{
    uint64_t differ = 0;
    bool sorted = true;

    for (size_t i = 1; i < n; i++) {
        sorted &= items[i - 1].score >= items[i].score;
        differ |= key_of(items[i].score) ^ key_of(items[0].score);
    }
    if (sorted)
        return;
    struct stats_scored *from = items, *to = arena_array(arena, n, sizeof(*to));
    for (unsigned shift = 0; shift < 64; shift += 8) {
        if (!(differ >> shift & 255))
            continue;
        sort_by_byte(from, to, n, shift);
        struct stats_scored *const filled = to;
        to = from;
        from = filled;
    }
    if (from != items)
        memcpy(items, from, n * sizeof(*items));
}

struct stats_scored *stats_sorted(struct arena *arena, size_t n, const uint8_t *truth, const double *score)
{
    struct stats_scored *items = arena_array(arena, n, sizeof(*items));

    for (size_t i = 0; i < n; i++)
        items[i] = (struct stats_scored){.score = score[i], .weight = 1, .positive = truth[i]};
    stats_sort_descending(arena, items, n);
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
