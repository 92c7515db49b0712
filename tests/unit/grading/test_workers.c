#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "fixture.h"
#include "base/clock.h"
#include "base/loop.h"
#include "base/mem.h"

static int open_trial(void **state)
{
    struct error err;

    (void)state;
    fixture_open();
    fixture_plugin("trial");
    return fixture_load(&err);
}

/* Constructors that would have their plugin run without the strict filter. */
static const char *const against_the_filter[] = {"deafens_at_load",  "unlocks_at_load", "unmaps_at_load",
                                                 "overlays_at_load", "moves_at_load",   "stays_at_load"};

static int open_all(void **state)
{
    struct error err;

    (void)state;
    fixture_open();
    fixture_plugin("trial");
    fixture_plugin("crashes_at_load");
    fixture_plugin("connects_at_load");
    fixture_plugin("reads_at_load");
    for (size_t i = 0; i < sizeof(against_the_filter) / sizeof(against_the_filter[0]); i++)
        fixture_plugin(against_the_filter[i]);
    fixture_plugin("wrong_abi");
    fixture_plugin("wrong_id");
    return fixture_load(&err);
}

static int close_all(void **state)
{
    (void)state;
    fixture_close();
    return 0;
}

static void expect_json(const struct fixture_call *c, const char *json)
{
    char got[2000];

    assert_int_equal(c->result, 0);
    snprintf(got, sizeof(got), "%.*s", (int)c->grade.json.len, c->grade.json.p);
    assert_string_equal(got, json);
}

static void a_good_answer_is_graded(void **state)
{
    struct fixture_call c = {.plugin = fixture_find("trial"),
                             .answer = "{\"text\":\"H\u00e9 \\\"\",\"points\":1.5}"};

    (void)state;
    struct grading_counters counters = fixture_grade(&c, 1, 1);

    expect_json(
        &c,
        "{\"points\":1.500,\"max_points\":2.000,\"correct\":false,\"findings\":[{\"code\":\"echo\","
        "\"verdict\":\"hit\",\"points\":1.500,\"max_points\":2.000,\"answer_pointer\":\"/text\","
        "\"truth_pointer\":null,\"text\":\"H\u00e9 \\\"\",\"rule\":\"Trial, rule 1\",\"look_again\":null}],"
        "\"metrics\":{\"points\":1.500000,\"distance_mm\":null},"
        "\"undefined\":{\"distance_mm\":\"nothing was marked\"}}");
    assert_int_equal(c.grade.points_milli, 1500);
    assert_int_equal(c.grade.max_points_milli, 2000);
    assert_false(c.grade.correct);
    assert_int_equal(strlen(c.grade.input_sha256), 64);
    assert_int_equal(counters.grades, 1);
    assert_int_equal(counters.failures, 0);
    arena_destroy(c.arena);
}

static void the_same_input_gives_the_same_bytes_in_another_process(void **state)
{
    char first[2000] = "";

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct fixture_call c = fixture_do("trial", "echo", NULL);

        assert_int_equal(c.result, 0);
        if (i == 0)
            snprintf(first, sizeof(first), "%.*s", (int)c.grade.json.len, c.grade.json.p);
        expect_json(&c, first);
        arena_destroy(c.arena);
    }
}

static void a_rounding_mode_left_behind_does_not_reach_the_next_answer(void **state)
{
    struct fixture_call c[2] = {
        {.plugin = fixture_find("trial"), .answer = "{\"do\":\"rounding\",\"points\":2}"},
        {.plugin = fixture_find("trial"), .answer = "{\"points\":1.234}"}};
    struct fixture_call alone = c[1];

    (void)state;
    fixture_grade(c, 2, 1);
    fixture_grade(&alone, 1, 1);
    assert_int_equal(c[1].grade.points_milli, alone.grade.points_milli);
    arena_destroy(c[0].arena);
    arena_destroy(c[1].arena);
    arena_destroy(alone.arena);
}

static void expect_unavailable(const char *plugin, const char *word, const char *code, unsigned workers_lost)
{
    struct grading_counters counters;
    struct fixture_call c = fixture_do(plugin, word, &counters);

    assert_int_equal(c.result, -1);
    assert_int_equal(c.err.kind, ERROR_UNAVAILABLE);
    assert_string_equal(c.err.code, code);
    assert_int_equal(counters.workers_lost, workers_lost);
    assert_int_equal(counters.retries, workers_lost ? 1 : 0);
    assert_int_equal(counters.failures, 1);
    arena_destroy(c.arena);
}

static void a_call_that_crashes_is_tried_twice_and_then_unavailable(void **state)
{
    (void)state;
    expect_unavailable("trial", "crash", "grader_failed", 2);
    expect_unavailable("trial", "abort", "grader_failed", 2);
    expect_unavailable("trial", "exit", "grader_failed", 2);
}

static void a_call_that_sleeps_or_spins_times_out(void **state)
{
    (void)state;
    expect_unavailable("trial", "sleep", "grader_timeout", 2);
    expect_unavailable("trial", "spin", "grader_timeout", 2);
}

static void a_call_that_eats_memory_is_ended(void **state)
{
    (void)state;
    expect_unavailable("trial", "eat", "grader_failed", 2);
}

static void a_call_that_wants_files_sockets_or_children_is_ended(void **state)
{
    (void)state;
    expect_unavailable("trial", "file", "grader_failed", 2);
    expect_unavailable("trial", "socket", "grader_failed", 2);
    expect_unavailable("trial", "fork", "grader_failed", 2);
}

static void explaining_names_the_denied_call(void **state)
{
    char path[100], said[4000] = "";
    int saved = dup(STDERR_FILENO);

    (void)state;
    snprintf(path, sizeof(path), "%s/stderr", fixture_dir);
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    dup2(file, STDERR_FILENO);
    setenv("OVERREAD_GRADER_EXPLAIN", "1", 1);
    struct fixture_call c = fixture_do("trial", "socket", NULL);

    unsetenv("OVERREAD_GRADER_EXPLAIN");
    dup2(saved, STDERR_FILENO);
    close(saved);
    assert_int_equal(c.result, -1);
    assert_true(pread(file, said, sizeof(said) - 1, 0) > 0);
    assert_non_null(strstr(said, "a call that is denied: socket"));
    close(file);
    arena_destroy(c.arena);
}

static void nonsense_is_refused_without_losing_the_worker(void **state)
{
    static const char *const words[] = {
        "nonsense code",  "nonsense verdict", "nonsense utf8", "nonsense pointer",
        "nonsense count", "nonsense points",  "bug",           "status",
        "arena"};

    (void)state;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        expect_unavailable("trial", words[i], "grader_failed", 0);
}

static void a_line_for_the_operator_is_no_obstacle(void **state)
{
    struct fixture_call c = fixture_do("trial", "log", NULL);

    (void)state;
    assert_int_equal(c.result, 0);
    arena_destroy(c.arena);
}

static void a_worker_that_says_what_was_not_asked_is_ended(void **state)
{
    (void)state;
    expect_unavailable("trial", "chatter", "grader_failed", 2);
    expect_unavailable("trial", "failed", "grader_failed", 2);
}

/* Bad ones among many good ones, in flight at the same time: only the bad ones fail. */
static void expect_only_the_bad_fail(const char *word, size_t count, size_t every, int workers)
{
    struct fixture_call *calls = mem_array(count, sizeof(*calls));
    size_t bad = 0;

    for (size_t i = 0; i < count; i++) {
        bool is_bad = i % every == every / 2;

        bad += is_bad;
        calls[i].plugin = fixture_find("trial");
        snprintf(calls[i].answer, sizeof(calls[i].answer), "{\"do\":\"%s\",\"points\":%zu.%03zu}",
                 is_bad ? word : "echo", i % 2, i % 1000);
    }
    struct grading_counters counters = fixture_grade(calls, count, workers);

    for (size_t i = 0; i < count; i++) {
        int expected = (int)(i % 2 * 1000 + i % 1000);

        assert_int_equal(calls[i].result, i % every == every / 2 ? -1 : 0);
        if (calls[i].result == 0)
            assert_in_range(calls[i].grade.points_milli + 1, expected,
                            expected + 1); /* the plugin cuts off */
        arena_destroy(calls[i].arena);
    }
    assert_int_equal(counters.grades, count - bad);
    assert_int_equal(counters.failures, bad);
    assert_int_equal(counters.retries, bad);
    assert_int_equal(counters.workers_lost, 2 * bad);
    mem_free(calls);
}

static void answers_beside_a_crash_are_all_graded(void **state)
{
    (void)state;
    expect_only_the_bad_fail("crash", 400, 100, 1);
    expect_only_the_bad_fail("abort", 400, 100, 3);
}

static void answers_beside_a_hang_are_all_graded(void **state)
{
    (void)state;
    expect_only_the_bad_fail("sleep", 100, 100, 1);
    expect_only_the_bad_fail("spin", 200, 100, 2);
}

static void a_flood_is_refused_when_too_many_wait(void **state)
{
    enum { COUNT = 5000 };
    struct fixture_call *calls = mem_array(COUNT, sizeof(*calls));
    size_t busy = 0;

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        calls[i].plugin = fixture_find("trial");
        snprintf(calls[i].answer, sizeof(calls[i].answer), "{}");
    }
    struct grading_counters counters = fixture_grade(calls, COUNT, 1);

    for (size_t i = 0; i < COUNT; i++) {
        if (calls[i].result < 0) {
            assert_string_equal(calls[i].err.code, "grader_busy");
            busy++;
        }
        arena_destroy(calls[i].arena);
    }
    assert_int_equal(busy, COUNT - 4096);
    assert_int_equal(counters.grades, 4096);
    mem_free(calls);
}

static bool always(void *arg)
{
    (void)arg;
    return true;
}

static void who_has_gone_while_waiting_costs_no_worker(void **state)
{
    enum { COUNT = 60 };
    static struct fixture_call calls[COUNT];

    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        calls[i] = (struct fixture_call){.plugin = fixture_find("trial"),
                                         .answer = "{\"points\":2}",
                                         .gone = i % 3 == 0 ? always : NULL};
    struct grading_counters counters = fixture_grade(calls, COUNT, 1);

    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(calls[i].result, i % 3 == 0 ? -1 : 0);
        if (i % 3 == 0)
            assert_int_equal(calls[i].err.kind, ERROR_CANCELLED);
        arena_destroy(calls[i].arena);
    }
    assert_int_equal(counters.grades, 40);
    assert_int_equal(counters.failures, 0);
}

/* 400 ms each, one after another: the last ones would wait for longer than 10 s, in the queue or behind
 * others in the worker's own. */
static void who_would_wait_too_long_is_told_so(void **state)
{
    enum { COUNT = 100 };
    static struct fixture_call calls[COUNT];
    size_t busy = 0;
    uint64_t start = clock_monotonic_ns();

    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        calls[i] = (struct fixture_call){.plugin = fixture_find("trial"), .answer = "{\"do\":\"slow\"}"};
    struct grading_counters counters = fixture_grade(calls, COUNT, 1);

    assert_true(clock_monotonic_ns() - start < UINT64_C(30000000000)); /* one after another, it takes 40 s */
    for (size_t i = 0; i < COUNT; i++) {
        if (calls[i].result < 0)
            assert_string_equal(calls[i].err.code, "grader_busy");
        busy += calls[i].result < 0;
        arena_destroy(calls[i].arena);
    }
    assert_in_range(busy, COUNT - 26, COUNT - 5);
    assert_int_equal(counters.grades, COUNT - busy);
    assert_int_equal(counters.workers_lost, 0);
}

static void a_plugin_that_dies_in_every_call_is_left_alone_for_a_while(void **state)
{
    enum { COUNT = 50 };
    static struct fixture_call calls[COUNT];

    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        calls[i] = (struct fixture_call){.plugin = fixture_find("trial"), .answer = "{\"do\":\"crash\"}"};
    uint64_t start = clock_monotonic_ns();
    struct grading_counters counters = fixture_grade(calls, COUNT, 1);

    assert_true(clock_monotonic_ns() - start < UINT64_C(30000000000)); /* each in turn, it takes half an hour */
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(calls[i].result, -1);
        assert_int_equal(calls[i].err.kind, ERROR_UNAVAILABLE);
        assert_string_equal(calls[i].err.code, "grader_failed");
        arena_destroy(calls[i].arena);
    }
    assert_int_equal(counters.workers_lost, 4);
    assert_int_equal(counters.failures, COUNT);
}

/* The one worker that is tried after a second holds, and all is as before. */
static void a_plugin_that_was_left_alone_is_tried_again(void **state)
{
    struct loop *loop = loop_create();
    struct grading *grading = grading_create(loop, 1);
    struct fixture_call last = {0};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct fixture_call c = {.plugin = fixture_find("trial"), .answer = "{\"do\":\"crash\"}"};

        fixture_grade_here(loop, &c, 1);
        assert_int_equal(c.result, -1);
        arena_destroy(c.arena);
    }
    for (uint64_t end = clock_monotonic_ns() + UINT64_C(30000000000);
         clock_monotonic_ns() < end && !last.done;) {
        struct fixture_call c = {.plugin = fixture_find("trial"), .answer = "{\"points\":2}"};

        fixture_grade_here(loop, &c, 1);
        arena_destroy(c.arena);
        if (c.result == 0)
            last = c;
        else
            loop_turn(loop, 50);
    }
    assert_true(last.done);
    assert_int_equal(grading_counters(grading).workers_started, 5);
    grading_destroy(grading);
    loop_destroy(loop);
}

static void a_library_that_cannot_be_loaded_is_unavailable_at_once(void **state)
{
    static const char *const plugins[] = {"crashes_at_load", "connects_at_load", "wrong_abi", "wrong_id"};

    (void)state;
    for (size_t i = 0; i < sizeof(plugins) / sizeof(plugins[0]); i++) {
        struct grading_counters counters;
        uint64_t start = clock_monotonic_ns();
        struct fixture_call c = fixture_do(plugins[i], "echo", &counters);

        assert_int_equal(c.result, -1);
        assert_int_equal(c.err.kind, ERROR_UNAVAILABLE);
        assert_string_equal(c.err.code, "grader_failed");
        assert_true(clock_monotonic_ns() - start < 10000000000u); /* not when the back-off ends */
        arena_destroy(c.arena);
    }
}

static void a_constructor_cannot_keep_the_strict_filter_off(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(against_the_filter) / sizeof(against_the_filter[0]); i++) {
        struct fixture_call c = fixture_do(against_the_filter[i], "file", NULL);

        assert_int_equal(c.result, -1);
        assert_string_equal(c.err.code, "grader_failed");
        arena_destroy(c.arena);
    }
}

static void a_constructor_cannot_read_files_where_the_kernel_has_landlock(void **state)
{
    bool has_landlock = syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* its version */) > 0;
    struct fixture_call c = fixture_do("reads_at_load", "echo", NULL);

    (void)state;
    assert_int_equal(c.result, has_landlock ? 0 : -1); /* it aborts when it could */
    arena_destroy(c.arena);
}

static void a_plugin_that_cannot_be_loaded_does_not_disturb_another(void **state)
{
    struct fixture_call c[2] = {{.plugin = fixture_find("crashes_at_load"), .answer = "{}"},
                                {.plugin = fixture_find("trial"), .answer = "{\"points\":2}"}};

    (void)state;
    fixture_grade(c, 2, 1);
    assert_int_equal(c[0].result, -1);
    assert_int_equal(c[1].result, 0);
    assert_true(c[1].grade.correct);
    arena_destroy(c[0].arena);
    arena_destroy(c[1].arena);
}

static void a_large_answer_passes_and_a_huge_one_is_refused(void **state)
{
    static char text[5 << 20];
    const struct grading_plugin *plugin = fixture_find("trial");
    const struct grading_input large = {.config = TEXT("{}"), .truth = TEXT("{}"), .answer = {text, 2 << 20}},
                               huge = {
                                   .config = TEXT("{}"), .truth = TEXT("{}"), .answer = {text, sizeof(text)}};
    struct error err;

    (void)state;
    memset(text, 'x', sizeof(text));
    memcpy(text, "{\"more\":\"", 9);
    memcpy(text + (2 << 20) - 2, "\"}", 2);
    assert_int_equal(grading_check_blocking(plugin, &large, "", &err), 0);
    assert_int_equal(grading_check_blocking(plugin, &huge, "", &err), -1);
    assert_string_equal(err.code, "too_large");
}

static void a_check_names_the_place_of_the_offence(void **state)
{
    const struct grading_plugin *plugin = fixture_find("trial");
    const struct grading_input truth = {.config = TEXT("{\"largest\":5}"), .truth = TEXT("{\"size\":6}")};
    const struct grading_input answer = {.config = TEXT("{}"), .answer = TEXT("{\"points\":3}")};
    const struct grading_input good = {.config = TEXT("{}"), .answer = TEXT("{\"points\":1}")};
    struct error err;

    (void)state;
    assert_int_equal(grading_check_blocking(plugin, &truth, "/truth", &err), -1);
    assert_int_equal(err.kind, ERROR_UNPROCESSABLE);
    assert_string_equal(err.field, "/truth/size");
    assert_string_equal(err.detail, "The size is larger than the case allows.");
    assert_int_equal(grading_check_blocking(plugin, &answer, "/answer", &err), -1);
    assert_string_equal(err.field, "/answer/points");
    assert_int_equal(grading_check_blocking(plugin, &good, "/answer", &err), 0);
}

static void what_was_hashed_is_loaded_though_the_file_is_written_over(void **state)
{
    (void)state;
    fixture_library("trial", "crashes_at_load");
    struct fixture_call c = fixture_do("trial", "echo", NULL);

    fixture_library("trial", "trial");
    assert_int_equal(c.result, 0);
    arena_destroy(c.arena);
}

static void without_the_grader_program_all_is_unavailable(void **state)
{
    struct error err;

    (void)state;
    const struct grading_source source = {
        .dir = fixture_dir, .grader = "/nonexistent/overread-grader", .allow_unsigned = true};

    assert_int_equal(grading_registry_load(&source, &err), 0);
    struct fixture_call c = fixture_do("trial", "echo", NULL);

    assert_int_equal(c.result, -1);
    assert_string_equal(c.err.code, "grader_failed");
    arena_destroy(c.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_answer_is_graded),
        cmocka_unit_test(the_same_input_gives_the_same_bytes_in_another_process),
        cmocka_unit_test(a_rounding_mode_left_behind_does_not_reach_the_next_answer),
        cmocka_unit_test(a_call_that_crashes_is_tried_twice_and_then_unavailable),
        cmocka_unit_test(a_call_that_sleeps_or_spins_times_out),
        cmocka_unit_test(a_call_that_eats_memory_is_ended),
        cmocka_unit_test(a_call_that_wants_files_sockets_or_children_is_ended),
        cmocka_unit_test(explaining_names_the_denied_call),
        cmocka_unit_test(nonsense_is_refused_without_losing_the_worker),
        cmocka_unit_test(a_line_for_the_operator_is_no_obstacle),
        cmocka_unit_test(a_worker_that_says_what_was_not_asked_is_ended),
        cmocka_unit_test(who_has_gone_while_waiting_costs_no_worker),
        cmocka_unit_test(who_would_wait_too_long_is_told_so),
        cmocka_unit_test(a_plugin_that_dies_in_every_call_is_left_alone_for_a_while),
        cmocka_unit_test(a_plugin_that_was_left_alone_is_tried_again),
        cmocka_unit_test(answers_beside_a_crash_are_all_graded),
        cmocka_unit_test(answers_beside_a_hang_are_all_graded),
        cmocka_unit_test(a_flood_is_refused_when_too_many_wait),
        cmocka_unit_test(a_large_answer_passes_and_a_huge_one_is_refused),
        cmocka_unit_test(a_check_names_the_place_of_the_offence),
        cmocka_unit_test(what_was_hashed_is_loaded_though_the_file_is_written_over),
        cmocka_unit_test(without_the_grader_program_all_is_unavailable),
    };
    const struct CMUnitTest beside_broken_ones[] = {
        cmocka_unit_test(a_library_that_cannot_be_loaded_is_unavailable_at_once),
        cmocka_unit_test(a_constructor_cannot_keep_the_strict_filter_off),
        cmocka_unit_test(a_constructor_cannot_read_files_where_the_kernel_has_landlock),
        cmocka_unit_test(a_plugin_that_cannot_be_loaded_does_not_disturb_another),
    };

    return cmocka_run_group_tests(tests, open_trial, close_all) +
           cmocka_run_group_tests(beside_broken_ones, open_all, close_all);
}
