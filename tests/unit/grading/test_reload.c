#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include "fixture.h"
#include "base/loop.h"
#include "grading/signature.h"

static struct arena *arena;
static struct loop *loop;
static struct grading *grading;

/* The trial plugin as 1.0.<patch>, in manifest and library: a worker refuses the one that is not the other's. */
static void install(char patch)
{
    static char bytes[8 << 20];
    char manifest[1000], path[200], *at = bytes;

    snprintf(manifest, sizeof(manifest),
             "{\"id\":\"trial\",\"version\":\"1.0.%c\",\"title\":\"Trial\",\"rules_revision\":1,"
             "\"abi\":{\"major\":1,\"minor\":0},\"limits\":{\"memory_mb\":16,\"cpu_ms\":300,\"wall_ms\":2000},"
             "\"findings\":{\"echo\":\"Echo\"},"
             "\"schemas\":{\"config\":{},\"truth\":{},\"answer\":{\"type\":\"object\"}}}",
             patch);
    fixture_manifest("trial", manifest);
    fixture_library("trial", "trial");
    snprintf(path, sizeof(path), "%s/trial/trial.so", fixture_dir);
    FILE *file = fopen(path, "r+e");

    assert_non_null(file);
    size_t len = fread(bytes, 1, sizeof(bytes), file);

    while ((at = memmem(at, len - (size_t)(at - bytes), "1.0.0", 6)))
        at[4] = patch, at++;
    rewind(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static int open_folder(void **state)
{
    struct error err = {0};

    (void)state;
    fixture_open();
    install('1');
    assert_int_equal(fixture_load(&err), 0);
    arena = arena_create();
    loop = loop_create();
    grading = grading_create(loop, 1);
    return 0;
}

static int close_folder(void **state)
{
    (void)state;
    arena = arena_destroy(arena);
    grading = grading_destroy(grading);
    loop = loop_destroy(loop);
    fixture_close();
    return 0;
}

static void reload(void)
{
    struct error err = {0};

    assert_int_equal(grading_registry_reload(&err), 0);
}

/* Looked up anew, for as long as `arena`. */
static const struct grading_plugin *now(void)
{
    return grading_plugin(arena, "trial");
}

static void expect_grade(const struct grading_plugin *plugin)
{
    struct fixture_call c = {.plugin = plugin, .answer = "{\"points\":2}"};

    fixture_grade_here(loop, &c, 1);
    assert_int_equal(c.result, 0);
    assert_int_equal(c.grade.points_milli, 2000);
    assert_ptr_equal(c.grade.plugin, plugin);
    arena_destroy(c.arena);
}

static int descriptors(void)
{
    int count = 0;
    DIR *entries = opendir("/proc/self/fd");

    assert_non_null(entries);
    while (readdir(entries))
        count++;
    closedir(entries);
    return count;
}

/* Lets what was posted and what ends in the background come to its end. */
static void settle(int wanted)
{
    for (int i = 0; i < 200 && descriptors() != wanted; i++)
        loop_turn(loop, 20);
}

static void what_is_unchanged_stays_the_very_same(void **state)
{
    const struct grading_plugin *before = now();

    (void)state;
    expect_grade(before);
    uint64_t started = grading_counters(grading).workers_started;

    reload();
    assert_ptr_equal(now(), before);
    expect_grade(now());
    assert_int_equal(grading_counters(grading).workers_started, started);
}

static void a_request_ends_with_the_version_it_began_with(void **state)
{
    const struct grading_plugin *before = now();

    (void)state;
    expect_grade(before);
    install('2');
    reload();
    assert_string_equal(now()->version, "1.0.2");
    assert_string_equal(before->version, "1.0.1");
    expect_grade(now());
    expect_grade(before);
    expect_grade(now());
}

static void fiber_fn grade_slowly(void *arg)
{
    struct fixture_call *call = arg;
    const struct grading_input input = {
        .config = TEXT("{}"), .truth = TEXT("{}"), .answer = TEXT("{\"do\":\"slow\",\"points\":2}")};

    call->result = grading_grade(call->arena, call->plugin, &input, &call->grade, &call->err);
    call->done = true;
}

static void a_swap_during_a_call_leaves_it_its_worker(void **state)
{
    struct fixture_call call = {.plugin = now(), .arena = arena_create()};

    (void)state;
    expect_grade(call.plugin);
    fiber_spawn(grade_slowly, &call);
    install('2');
    reload();
    assert_string_equal(now()->version, "1.0.2");
    expect_grade(now());
    while (!call.done)
        loop_turn(loop, -1);
    assert_int_equal(call.result, 0);
    assert_string_equal(call.grade.plugin->version, "1.0.1");
    assert_int_equal(grading_counters(grading).workers_lost, 0);
    assert_int_equal(grading_counters(grading).retries, 0);
    arena_destroy(call.arena);
}

static void expect_kept(void)
{
    reload();
    assert_string_equal(now()->version, "1.0.1");
    assert_null(now()->broken);
    expect_grade(now());
}

static void a_broken_successor_leaves_the_old_version(void **state)
{
    (void)state;
    expect_grade(now());
    fixture_manifest("trial", "{");
    expect_kept();
    install('2');
    fixture_manifest("trial", NULL); /* only half of it is copied yet */
    expect_kept();
    install('2');
    fixture_library("trial", "crashes_at_load");
    expect_kept();
    fixture_library("trial", "wrong_abi");
    expect_kept();
    fixture_library("trial", "wrong_id");
    expect_kept();
    install('2');
    reload();
    assert_string_equal(now()->version, "1.0.2");
}

static void a_new_plugin_that_no_worker_can_load_is_broken_at_once(void **state)
{
    (void)state;
    fixture_plugin("crashes_at_load");
    reload();
    assert_non_null(fixture_find("crashes_at_load")->broken);
    expect_grade(now());
}

static void a_plugin_comes_and_goes(void **state)
{
    char path[200];

    (void)state;
    fixture_manifest("wrong_id", NULL);
    reload();
    assert_true(grading_plugin_known("wrong_id"));
    snprintf(path, sizeof(path), "%s/wrong_id/manifest.json", fixture_dir);
    assert_int_equal(remove(path), 0);
    reload();
    assert_false(grading_plugin_known("wrong_id"));
    expect_grade(now());
}

static void a_key_that_is_trusted_no_longer_takes_its_plugin_with_it(void **state)
{
    struct error err = {0};
    char by[SHA256_HEX_SIZE];
    const char *ignored, *key = arena_printf(arena, "%s/key.pem", fixture_dir),
               *public = arena_printf(arena, "%s/key.pub.pem", fixture_dir),
               *other = arena_printf(arena, "%s/other.pem", fixture_dir),
               *folder = arena_printf(arena, "%s/trial", fixture_dir);
    const struct grading_source source = {.dir = fixture_dir, .grader = fixture_grader(), .plugin_keys = public};

    (void)state;
    assert_int_equal(signature_keygen(key, public, by, &err), 0);
    assert_int_equal(signature_sign(arena, key, folder, &ignored, by, &err), 0);
    assert_int_equal(grading_registry_load(&source, &err), 0);
    assert_null(now()->broken);
    install('2'); /* not signed: the old one, whose key is good, stays */
    reload();
    assert_string_equal(now()->version, "1.0.1");
    assert_null(now()->broken);
    assert_int_equal(remove(public), 0); /* no keys can be read: nothing changes */
    assert_int_equal(grading_registry_reload(&err), -1);
    assert_null(now()->broken);
    assert_int_equal(signature_keygen(other, public, by, &err), 0);
    reload();
    assert_non_null(now()->broken);
}

/* One look-up and grade, with nothing held afterwards. */
static void grade_once(char patch)
{
    const char version[] = {'1', '.', '0', '.', patch, '\0'};
    struct arena *own = arena_create();
    const struct grading_plugin *plugin = grading_plugin(own, "trial");

    assert_string_equal(plugin->version, version);
    expect_grade(plugin);
    arena_destroy(own);
}

static void twenty_versions_leave_nothing_behind(void **state)
{
    (void)state;
    grade_once('1');
    const int before = descriptors();

    for (char patch = 'a'; patch < 'a' + 20; patch++) {
        install(patch);
        reload();
        grade_once(patch);
    }
    settle(before);
    assert_int_equal(descriptors(), before);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, open_folder, close_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(what_is_unchanged_stays_the_very_same),
        IN_FOLDER(a_request_ends_with_the_version_it_began_with),
        IN_FOLDER(a_swap_during_a_call_leaves_it_its_worker),
        IN_FOLDER(a_broken_successor_leaves_the_old_version),
        IN_FOLDER(a_new_plugin_that_no_worker_can_load_is_broken_at_once),
        IN_FOLDER(a_plugin_comes_and_goes),
        IN_FOLDER(a_key_that_is_trusted_no_longer_takes_its_plugin_with_it),
        IN_FOLDER(twenty_versions_leave_nothing_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
