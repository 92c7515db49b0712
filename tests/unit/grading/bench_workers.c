/* Grades a second through a worker, against calling the plugin in process: prints a line of JSON. Not a test.
 */
#include <dlfcn.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include "fixture.h"
#include "base/clock.h"
#include "base/fiber.h"
#include "base/loop.h"
#include "grading/host.h"

#define GRADES 200000
#define READERS 64

static const struct grading_input input = {
    .config =
        TEXT("{\"match\":{\"mode\":\"distance\",\"distance_mm\":10},\"cspca_definition\":\"isup_ge_2\"}"),
    .truth = TEXT(
        "{\"cspca\":true,\"lesions\":[{\"id\":\"L1\",\"centre\":[14,12,-6],\"zone\":\"PZ\",\"isup\":3}]}"),
    .answer =
        TEXT("{\"points\":2,\"text\":\"lesion\",\"lesions\":[{\"position\":[13,11,-5],\"pirads\":4}]}")};

static int left = GRADES, running;

static void read_cases(void *arg)
{
    const struct grading_plugin *plugin = arg;

    running++;
    while (left-- > 0) {
        struct arena *arena = arena_create();
        struct grading_grade grade;
        struct error err;

        if (grading_grade(arena, plugin, &input, &grade, &err) < 0)
            fprintf(stderr, "%s\n", err.code);
        arena_destroy(arena);
    }
    running--;
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static double cpu(int who)
{
    struct rusage usage;

    getrusage(who, &usage);
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

static double through_worker(void)
{
    struct loop *loop = loop_create();
    struct grading *grading = grading_create(loop, 1);
    uint64_t start = clock_monotonic_ns();

    for (int i = 0; i < READERS; i++)
        fiber_spawn(read_cases, (void *)(uintptr_t)grading_plugin("trial"));
    while (running > 0)
        loop_turn(loop, -1);
    double elapsed = (double)(clock_monotonic_ns() - start) / 1e9;

    grading_destroy(grading);
    loop_destroy(loop);
    return elapsed;
}

static double in_process(void)
{
    static const char *const codes[] = {"another", "echo"};
    const struct host_rules rules = {.id = "trial",
                                     .version = "1.0.0",
                                     .rules_revision = 1,
                                     .memory_bytes = 16 << 20,
                                     .codes = codes,
                                     .code_count = 2};
    const struct host_input in = {.config = input.config, .truth = input.truth, .answer = input.answer};
    char path[400];
    struct host_result result;
    overread_plugin_entry_fn entry = NULL;

    snprintf(path, sizeof(path), "%s/trial.so", getenv("TEST_PLUGIN_DIR"));
    *(void **)&entry = dlsym(dlopen(path, RTLD_NOW), OVERREAD_PLUGIN_ENTRY);
    struct host *host = host_create(&rules);

    host_result_init(&result);
    uint64_t start = clock_monotonic_ns();

    for (int i = 0; i < GRADES; i++)
        host_run(host, entry(), HOST_GRADE, &in, &result);
    double elapsed = (double)(clock_monotonic_ns() - start) / 1e9;

    host_result_finish(&result);
    host_destroy(host);
    return elapsed;
}

int main(void)
{
    struct error err;

    fixture_open();
    fixture_plugin("trial");
    if (grading_registry_load(fixture_dir, fixture_grader(), &err) < 0)
        return 1;
    double server = cpu(RUSAGE_SELF), isolated = through_worker();

    server = cpu(RUSAGE_SELF) - server;
    double worker = cpu(RUSAGE_CHILDREN), direct = in_process();

    printf("{\"isolated_per_s\":%.0f,\"isolated_per_cpu_s\":%.0f,\"server_us\":%.1f,\"worker_us\":%.1f,"
           "\"in_process_per_s\":%.0f}\n",
           GRADES / isolated, GRADES / (server + worker), server / GRADES * 1e6, worker / GRADES * 1e6,
           GRADES / direct);
    fixture_close();
    return 0;
}
