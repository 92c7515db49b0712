#include "fixture.h"
#include <ftw.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fiber.h"
#include "base/loop.h"

char fixture_dir[64];
static struct arena *held;

void fixture_open(void)
{
    snprintf(fixture_dir, sizeof(fixture_dir), "/tmp/overread-grading-XXXXXX");
    assert_non_null(mkdtemp(fixture_dir));
    held = arena_create();
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void fixture_close(void)
{
    grading_registry_unload();
    held = arena_destroy(held);
    nftw(fixture_dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

const char *fixture_grader(void)
{
    const char *path = getenv("TEST_GRADER");

    assert_non_null(path);
    return path;
}

int fixture_load(struct error *err)
{
    const struct grading_source source = {.dir = fixture_dir, .grader = fixture_grader(), .allow_unsigned = true};

    return grading_registry_load(&source, err);
}

const struct grading_plugin *fixture_find(const char *id)
{
    return grading_plugin(held, id);
}

static void path_of(const char *id, const char *file, char *ret, size_t size)
{
    snprintf(ret, size, "%s/%s", fixture_dir, id);
    mkdir(ret, 0755);
    snprintf(ret, size, "%s/%s/%s", fixture_dir, id, file);
}

static void write_all(const char *path, const void *bytes, size_t len)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

void fixture_manifest(const char *id, const char *manifest)
{
    static const char form[] =
        "{\"id\":\"%s\",\"version\":\"1.0.0\",\"title\":\"Trial\",\"rules_revision\":1,"
        "\"abi\":{\"major\":1,\"minor\":0},\"limits\":{\"memory_mb\":16,\"cpu_ms\":300,\"wall_ms\":2000},"
        "\"findings\":{\"echo\":\"Echo\",\"another\":\"Another\"},"
        "\"schemas\":{\"config\":{\"type\":\"object\"},\"truth\":{\"type\":\"object\"},"
        "\"answer\":{\"type\":\"object\",\"properties\":{\"do\":{\"type\":\"string\"}}}}}";
    char path[200], text[1000];

    path_of(id, "manifest.json", path, sizeof(path));
    snprintf(text, sizeof(text), form, id);
    if (!manifest)
        manifest = text;
    write_all(path, manifest, strlen(manifest));
}

void fixture_library(const char *id, const char *from)
{
    static char bytes[8 << 20];
    char path[400], name[100];
    const char *dir = getenv("TEST_PLUGIN_DIR");

    assert_non_null(dir);
    snprintf(path, sizeof(path), "%s/%s.so", dir, from);
    FILE *file = fopen(path, "re");

    assert_non_null(file);
    size_t len = fread(bytes, 1, sizeof(bytes), file);

    fclose(file);
    snprintf(name, sizeof(name), "%s.so", id);
    path_of(id, name, path, sizeof(path));
    write_all(path, bytes, len);
}

void fixture_plugin(const char *id)
{
    fixture_manifest(id, NULL);
    fixture_library(id, id);
}

static void call(void *arg)
{
    struct fixture_call *c = arg;
    const struct grading_input input = {
        .config = TEXT("{}"), .truth = TEXT("{}"), .answer = text_of(c->answer), .gone = c->gone};

    c->result = grading_grade(c->arena, c->plugin, &input, &c->grade, &c->err);
    c->done = true;
}

void fixture_grade_here(struct loop *loop, struct fixture_call *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        calls[i].arena = arena_create();
        fiber_spawn(call, &calls[i]);
    }
    for (size_t i = 0; i < count; i++)
        while (!calls[i].done)
            loop_turn(loop, -1);
}

struct grading_counters fixture_grade(struct fixture_call *calls, size_t count, int workers)
{
    struct loop *loop = loop_create();
    struct grading *grading = grading_create(loop, workers);

    fixture_grade_here(loop, calls, count);
    struct grading_counters counters = grading_counters(grading);

    grading_destroy(grading);
    loop_destroy(loop);
    assert_int_equal(fiber_count(), 0);
    return counters;
}

struct fixture_call fixture_do(const char *plugin, const char *word, struct grading_counters *ret)
{
    struct fixture_call c = {.plugin = fixture_find(plugin)};

    assert_non_null(c.plugin);
    snprintf(c.answer, sizeof(c.answer), "{\"do\":\"%s\",\"points\":2}", word);
    struct grading_counters counters = fixture_grade(&c, 1, 1);

    if (ret)
        *ret = counters;
    return c;
}
