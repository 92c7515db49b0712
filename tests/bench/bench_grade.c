/* Grades a second: through a worker, many in flight from one loop, or by calling the plugin in this process.
 * usage: bench_grade worker|inprocess PLUGIN_DIR GRADER GOLDEN_DIR SECONDS IN_FLIGHT
 * GOLDEN_DIR is .../PLUGIN/golden. Every golden case of the plugin in turn. Prints one line of JSON; latencies in microseconds, memory in KiB.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/loop.h"
#include "base/mem.h"
#include "grading/grading.h"
#include "grading/host.h"
#include "grading/registry.h"

enum { CASES_MAX = 256, PATH_SIZE = 1024 };

struct bench {
    const struct grading_plugin *plugin;
    struct arena *arena;
    struct grading_input cases[CASES_MAX];
    size_t case_count, next;
    uint64_t start_ns, end_ns;
    uint32_t *latency_ns;
    size_t done, room;
    unsigned running;
};

static _Noreturn void die(const char *what, const char *about)
{
    fprintf(stderr, "bench_grade: %s %s\n", what, about);
    exit(1);
}

/* --- Inputs ----------------------------------------------------------------------------------------- */

static struct text load_json(struct arena *arena, const char *folder, const char *name)
{
    json_error_t why;
    json_t *json = json_load_file(arena_printf(arena, "%s/%s", folder, name), 0, &why);

    if (!json)
        die(folder, why.text);
    struct text text = json_render(arena, json);
    json_decref(json);
    return text;
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_case(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void load_cases(struct bench *bench, const char *golden)
{
    struct dirent **entries;
    int count = scandir(golden, &entries, is_case, compare_names);

    if (count < 1 || count > CASES_MAX)
        die("no golden cases in", golden);
    for (int i = 0; i < count; i++) {
        const char *folder = arena_printf(bench->arena, "%s/%s", golden, entries[i]->d_name);
        bench->cases[bench->case_count++] =
            (struct grading_input){.config = load_json(bench->arena, folder, "config.json"),
                                   .truth = load_json(bench->arena, folder, "truth.json"),
                                   .answer = load_json(bench->arena, folder, "answer.json")};
        free(entries[i]); /* scandir's */
    }
    free(entries);
}

static const struct grading_input *next_case(struct bench *bench)
{
    return &bench->cases[bench->next++ % bench->case_count];
}

/* The folder's parent is named as the plugin. */
static const char *plugin_name(struct arena *arena, const char *golden)
{
    const char *end = strrchr(golden, '/'), *start = end;

    while (start && start > golden && start[-1] != '/')
        start--;
    return start && start < end ? arena_printf(arena, "%.*s", (int)(end - start), start) : golden;
}

/* --- What is measured ------------------------------------------------------------------------------- */

static void note(struct bench *bench, uint64_t started_ns)
{
    if (bench->done == bench->room) {
        bench->room = bench->room ? bench->room * 2 : 65536;
        bench->latency_ns = mem_resize(bench->latency_ns, bench->room * sizeof(*bench->latency_ns));
    }
    bench->latency_ns[bench->done++] = (uint32_t)(clock_monotonic_ns() - started_ns);
}

static void fiber_fn grade_until_the_end(void *arg)
{
    struct bench *bench = arg;
    struct error err = {0};
    struct grading_grade grade;
    uint64_t now;

    bench->running++;
    while ((now = clock_monotonic_ns()) < bench->end_ns) {
        struct arena *arena = arena_create();
        if (grading_grade(arena, bench->plugin, next_case(bench), &grade, &err) < 0)
            die("no grade:", err.detail);
        arena_destroy(arena);
        note(bench, now);
    }
    bench->running--;
}

/* Peak resident memory of a process in KiB, from its status file; 0 when there is none. */
static long peak_kib(const char *process)
{
    char path[64], line[256];
    long long kib = 0;
    snprintf(path, sizeof(path), "/proc/%s/status", process);
    FILE *file = fopen(path, "re");

    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtoll(line + 6, NULL, 10);
    if (file)
        fclose(file);
    return (long)kib;
}

static long worker_peak_kib(void)
{
    char path[64], children[64] = "";
    snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
    FILE *file = fopen(path, "re");

    if (file && fgets(children, sizeof(children), file))
        children[strcspn(children, " \n")] = '\0';
    if (file)
        fclose(file);
    return children[0] ? peak_kib(children) : 0;
}

static void warm_up(void *arg)
{
    struct bench *bench = arg;
    struct arena *arena = arena_create();
    struct grading_grade grade;
    struct error err = {0};

    bench->running++;
    if (grading_grade(arena, bench->plugin, &bench->cases[0], &grade, &err) < 0)
        die("no grade:", err.detail);
    arena_destroy(arena);
    bench->running--;
}

static long through_a_worker(struct bench *bench, uint64_t ns, int64_t in_flight)
{
    struct loop *loop = loop_create();
    struct grading *grading = grading_create(loop, 1);

    fiber_spawn(warm_up, bench);
    while (bench->running > 0)
        loop_turn(loop, -1);
    bench->start_ns = clock_monotonic_ns();
    bench->end_ns = bench->start_ns + ns;
    for (int64_t i = 0; i < in_flight; i++)
        fiber_spawn(grade_until_the_end, bench);
    while (bench->running > 0)
        loop_turn(loop, -1);
    bench->end_ns = clock_monotonic_ns();
    long peak = worker_peak_kib();
    grading_destroy(grading);
    loop_destroy(loop);
    return peak;
}

static const overread_plugin *load_plugin(const char *plugin_dir, const char *id)
{
    char path[PATH_SIZE];
    overread_plugin_entry_fn entry = NULL;

    snprintf(path, sizeof(path), "%s/%s/%s.so", plugin_dir, id, id);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        die("cannot load", path);
    *(void **)&entry = dlsym(library, OVERREAD_PLUGIN_ENTRY);
    if (!entry)
        die("no entry in", path);
    return entry();
}

static void in_process(struct bench *bench, const char *plugin_dir, uint64_t ns)
{
    const struct manifest *manifest = &registry_of(bench->plugin)->manifest;
    const overread_plugin *plugin = load_plugin(plugin_dir, manifest->id);
    const struct host_rules rules = {.id = manifest->id,
                                     .version = manifest->version,
                                     .rules_revision = (uint32_t)manifest->rules_revision,
                                     .memory_bytes = (uint64_t)manifest->memory_mb << 20,
                                     .codes = manifest->codes,
                                     .code_count = manifest->code_count};
    struct host *host = host_create(&rules);
    struct host_result result;
    uint64_t now;

    if (!host || host_objection(host, plugin))
        die("the plugin is not fit to be called:", host ? host_objection(host, plugin) : "no memory");
    host_result_init(&result);
    bench->start_ns = clock_monotonic_ns();
    bench->end_ns = bench->start_ns + ns;
    while ((now = clock_monotonic_ns()) < bench->end_ns) {
        const struct grading_input *input = next_case(bench);
        const struct host_input texts = {input->config, input->truth, input->answer};
        host_run(host, plugin, HOST_GRADE, &texts, &result);
        if (result.status != HOST_OK)
            die("no grade:", result.text.p ? result.text.p : "");
        note(bench, now);
    }
    bench->end_ns = clock_monotonic_ns();
    host_result_finish(&result);
    host_destroy(host);
}

/* --- Words ------------------------------------------------------------------------------------------ */

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double percentile_us(const struct bench *bench, size_t percent)
{
    return bench->done ? bench->latency_ns[(bench->done - 1) * percent / 100] / 1e3 : 0;
}

static double seconds_of(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static double cpu_seconds(int who)
{
    struct rusage usage;
    getrusage(who, &usage);
    return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

static void print(struct bench *bench, long worker_kib)
{
    double seconds = (double)(bench->end_ns - bench->start_ns) / 1e9;
    double cpu = cpu_seconds(RUSAGE_SELF) + cpu_seconds(RUSAGE_CHILDREN);

    if (bench->done > 0)
        qsort(bench->latency_ns, bench->done, sizeof(*bench->latency_ns), compare_numbers);
    printf("{\"count\":%zu,\"per_s\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"cpu_us\":%.2f,\"peak_kib\":%ld,"
           "\"worker_peak_kib\":%ld}\n",
           bench->done, (double)bench->done / seconds, percentile_us(bench, 50), percentile_us(bench, 99),
           bench->done ? cpu / (double)bench->done * 1e6 : 0, peak_kib("self"), worker_kib);
}

int main(int argc, char **argv)
{
    static struct bench bench;
    struct error err = {0};
    int64_t seconds, in_flight;

    if (argc != 7 || text_to_int64(text_of(argv[5]), 1, 60, &seconds) < 0 ||
        text_to_int64(text_of(argv[6]), 1, 1000, &in_flight) < 0)
        die("usage:", "bench_grade worker|inprocess PLUGIN_DIR GRADER GOLDEN_DIR SECONDS IN_FLIGHT");
    bench.arena = arena_create();
    const struct grading_source source = {.dir = argv[2], .grader = argv[3], .allow_unsigned = true};

    if (grading_registry_load(&source, &err) < 0)
        die("no plugins:", err.detail);
    bench.plugin = grading_plugin(bench.arena, plugin_name(bench.arena, argv[4]));
    if (!bench.plugin || bench.plugin->broken)
        die("no such plugin, or it cannot grade:", bench.plugin ? bench.plugin->broken : argv[4]);
    load_cases(&bench, argv[4]);
    uint64_t ns = (uint64_t)seconds * 1000000000u;
    long worker_kib = 0;
    if (strcmp(argv[1], "worker") == 0)
        worker_kib = through_a_worker(&bench, ns, in_flight);
    else
        in_process(&bench, argv[2], ns);
    print(&bench, worker_kib);
    mem_free(bench.latency_ns);
    grading_registry_unload();
    arena_destroy(bench.arena);
    return 0;
}
