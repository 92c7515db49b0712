/* The lesion statistics of one list of cases, again and again.
 * usage: bench_stats LISTS.json SECONDS
 * LISTS.json: {"lesion_results": {CASE: [[is_lesion, confidence, overlap], ...]}, "case_target": {CASE: 0|1},
 * "case_pred": {CASE: number}}, parsed once into arrays before the clock starts. Prints one line of JSON: how often a
 * second, microseconds of each, and the numbers. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include "base/arena.h"
#include "base/clock.h"
#include "base/text.h"
#include "scoreboard/stats_lesions.h"

enum { RUNS_MAX = 4000000 };

struct lists {
    size_t n, cases;
    struct stats_lesion *rows;
    uint8_t *target;
    double *score;
};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_stats: %s\n", what);
    exit(1);
}

static void load(struct arena *arena, const char *path, struct lists *ret)
{
    json_error_t why;
    json_t *file = json_load_file(path, 0, &why), *rows, *row;
    const char *name;
    size_t i;

    if (!file)
        die(why.text);
    json_t *results = json_object_get(file, "lesion_results");
    json_object_foreach(results, name, rows) ret->n += json_array_size(rows);
    ret->rows = arena_array(arena, ret->n, sizeof(*ret->rows));
    ret->target = arena_array(arena, json_object_size(results), sizeof(*ret->target));
    ret->score = arena_array(arena, json_object_size(results), sizeof(*ret->score));
    ret->n = 0;
    json_object_foreach(results, name, rows)
    {
        json_array_foreach(rows, i, row) ret->rows[ret->n++] =
            (struct stats_lesion){.is_lesion = (uint8_t)json_integer_value(json_array_get(row, 0)),
                                  .confidence = json_number_value(json_array_get(row, 1)),
                                  .weight = 1};
        ret->target[ret->cases] = (uint8_t)json_integer_value(json_object_get(json_object_get(file, "case_target"), name));
        ret->score[ret->cases++] = json_number_value(json_object_get(json_object_get(file, "case_pred"), name));
    }
    json_decref(file);
}

static int ascending(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double cpu_us(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return 1e6 * (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

int main(int argc, char **argv)
{
    int64_t seconds;
    struct lists lists = {0};
    struct arena *arena = arena_create();

    if (argc != 3 || text_to_int64(text_of(argv[2]), 1, 60, &seconds) < 0)
        die("usage: bench_stats LISTS.json SECONDS");
    load(arena, argv[1], &lists);
    uint32_t *took = arena_array(arena, RUNS_MAX, sizeof(*took));
    double auroc = 0, average_precision = 0;
    size_t count = 0, points = 0;
    const double cpu = cpu_us();
    const uint64_t start = clock_monotonic_ns();
    uint64_t before = start, now = start;

    while (now - start < (uint64_t)seconds * 1000000000 && count < RUNS_MAX) {
        struct arena *once = arena_create();
        const struct stats_lesions stats =
            stats_lesions_of(once, lists.n, lists.rows, lists.cases, lists.target, lists.score);
        auroc = stats.auroc.value;
        average_precision = stats.average_precision.value;
        points = stats.points;
        arena_destroy(once);
        now = clock_monotonic_ns();
        took[count++] = (uint32_t)(now - before);
        before = now;
    }
    const double each = (cpu_us() - cpu) / (double)count;
    qsort(took, count, sizeof(*took), ascending);
    printf("{\"per_s\": %.1f, \"p50_us\": %.2f, \"p99_us\": %.2f, \"cpu_us\": %.2f, \"count\": %zu, \"auroc\": %.17g, "
           "\"average_precision\": %.17g, \"points\": %zu}\n",
           (double)count * 1e9 / (double)(now - start), took[count / 2] / 1e3, took[count * 99 / 100] / 1e3, each, count,
           auroc, average_precision, points);
    arena_destroy(arena);
    return 0;
}
