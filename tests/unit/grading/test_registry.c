#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "fixture.h"
#include "base/crypto.h"
#include "base/json.h"

static int open_folder(void **state)
{
    (void)state;
    fixture_open();
    return 0;
}

static int close_folder(void **state)
{
    (void)state;
    fixture_close();
    return 0;
}

static void load(void)
{
    struct error err = {0};

    assert_int_equal(fixture_load(&err), 0);
}

static void a_good_plugin_is_registered_with_its_hash_and_manifest(void **state)
{
    char path[200], hash[SHA256_HEX_SIZE];
    struct arena *arena = arena_create();
    struct error err;
    json_t *manifest;

    (void)state;
    fixture_plugin("trial");
    load();
    const struct grading_plugin *plugin = fixture_find("trial");

    assert_non_null(plugin);
    assert_null(plugin->broken);
    assert_string_equal(plugin->version, "1.0.0");
    assert_string_equal(plugin->title, "Trial");
    assert_int_equal(plugin->rules_revision, 1);
    snprintf(path, sizeof(path), "%s/trial/trial.so", fixture_dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_int_equal(crypto_sha256_fd(fd, hash), 0);
    close(fd);
    assert_string_equal(plugin->sha256, hash);
    assert_int_equal(json_parse(arena, plugin->manifest, &manifest, &err), 0);
    assert_non_null(json_object_get(json_object_get(manifest, "schemas"), "answer"));
    arena_destroy(arena);
    assert_null(fixture_find("unknown"));
}

static void an_answer_is_checked_against_the_manifests_schema(void **state)
{
    json_t *good = json_pack("{s:s}", "do", "echo"), *bad = json_pack("{s:i}", "do", 1);
    struct error err = {0};

    (void)state;
    fixture_plugin("trial");
    load();
    assert_int_equal(grading_validate(fixture_find("trial"), GRADING_ANSWER, good, "/answer", &err), 0);
    assert_int_equal(grading_validate(fixture_find("trial"), GRADING_ANSWER, bad, "/answer", &err), -1);
    assert_string_equal(err.field, "/answer/do");
    json_decref(good);
    json_decref(bad);
}

#define HEAD "{\"id\":\"p\",\"version\":\"1\",\"title\":\"P\",\"rules_revision\":1,"
#define ABI "\"abi\":{\"major\":1,\"minor\":0},"
#define REST "\"findings\":{\"a\":\"A\"},\"schemas\":{\"config\":{},\"truth\":{},\"answer\":{}}}"

static void expect_broken(const char *manifest, const char *word)
{
    fixture_manifest("p", manifest);
    load();
    const struct grading_plugin *plugin = fixture_find("p");

    assert_non_null(plugin);
    assert_non_null(plugin->broken);
    if (!strstr(plugin->broken, word))
        fail_msg("\"%s\" does not say \"%s\"", plugin->broken, word);
}

static void a_broken_manifest_is_registered_with_the_reason(void **state)
{
    (void)state;
    fixture_library("p", "trial");
    expect_broken("{", "malformed");
    expect_broken("[]", "malformed");
    expect_broken(HEAD ABI "\"id\":\"q\"," REST, "malformed");
    expect_broken(HEAD "\"abi\":{\"major\":2,\"minor\":0}," REST, "abi 2.0 is not supported");
    expect_broken(HEAD "\"abi\":{\"major\":1,\"minor\":1}," REST, "abi 1.1 is not supported");
    expect_broken(HEAD REST, "/abi");
    expect_broken(HEAD ABI "\"limit\":{}," REST, "unknown member \"limit\"");
    expect_broken(HEAD ABI "\"limits\":{\"memory_mb\":100000}," REST, "/limits/memory_mb");
    expect_broken(HEAD ABI "\"limits\":{\"cpu\":1}," REST, "unknown member \"cpu\"");
    expect_broken(HEAD ABI "\"findings\":{\"A b\":\"\"}}", "/findings");
    expect_broken(HEAD ABI "\"findings\":{},\"schemas\":{\"config\":{},\"truth\":{}}}",
                  "\"answer\" is missing");
    expect_broken(
        HEAD ABI
        "\"findings\":{},\"schemas\":{\"config\":{},\"truth\":{},\"answer\":{\"items\":{\"typ\":1}}}}",
        "/schemas/answer/items/typ");
    expect_broken("{\"id\":\"q\",\"version\":\"1\",\"title\":\"P\",\"rules_revision\":1," ABI REST, "folder");
    expect_broken("{\"id\":\"../p\",\"version\":\"1\",\"title\":\"P\",\"rules_revision\":1," ABI REST, "/id");
    expect_broken("{\"id\":\"p\",\"version\":\"1\",\"title\":\"P\",\"rules_revision\":0," ABI REST,
                  "/rules_revision");
}

#define STATISTICS(members) HEAD ABI "\"reader_statistics\":{\"truth\":\"t\",\"score\":\"s\"," members "}," REST
#define SCALE "\"levels\":5,\"positive_from\":[3,4]"
#define LESIONS(members) STATISTICS(SCALE ",\"lesions\":{\"marks\":\"m\",\"confidence\":\"c\"," members "}")
#define STRATUM(members) STATISTICS(SCALE ",\"strata\":[{\"name\":\"n\",\"title\":\"T\"," members "}]")

static void reader_statistics_are_passed_on_as_the_author_wrote_them(void **state)
{
    (void)state;
    fixture_library("p", "trial");
    fixture_manifest("p", STRATUM("\"clinical\": \"psa\",\"edges\":[4,10.5]"));
    load();
    assert_null(fixture_find("p")->broken);
    assert_string_equal(fixture_find("p")->statistics.p,
                        "{\"truth\":\"t\",\"score\":\"s\"," SCALE ",\"strata\":[{\"name\":\"n\",\"title\":\"T\","
                        "\"clinical\":\"psa\",\"edges\":[4,10.5]}]}");
    fixture_manifest("p", HEAD ABI REST);
    load();
    assert_null(fixture_find("p")->broken);
    assert_int_equal(fixture_find("p")->statistics.len, 0);
}

static void reader_statistics_of_a_wrong_shape_break_the_plugin(void **state)
{
    (void)state;
    fixture_library("p", "trial");
    expect_broken(HEAD ABI "\"reader_statistics\":[]," REST, "/reader_statistics: must be an object");
    expect_broken(HEAD ABI "\"reader_statistics\":{\"score\":\"s\"}," REST, "/reader_statistics/truth");
    expect_broken(STATISTICS(SCALE ",\"level\":5"), "unknown member \"level\"");
    expect_broken(STATISTICS("\"levels\":17,\"positive_from\":[3]"), "/levels");
    expect_broken(STATISTICS("\"levels\":5,\"lowest\":2,\"positive_from\":[3]"), "/lowest");
    expect_broken(STATISTICS("\"levels\":5"), "/positive_from");
    expect_broken(STATISTICS("\"levels\":5,\"positive_from\":[1]"), "/positive_from");
    expect_broken(STATISTICS("\"levels\":5,\"positive_from\":[4,3]"), "/positive_from");
    expect_broken(STATISTICS("\"levels\":5,\"positive_from\":[6]"), "/positive_from");
    expect_broken(STATISTICS(SCALE ",\"titles\":[\"1\",\"2\"]"), "/titles");
    expect_broken(STATISTICS(SCALE ",\"reference\":7"), "/reference");
    expect_broken(LESIONS("\"order\":[1]"), "/lesions/order");
    expect_broken(LESIONS("\"order\":[1,2],\"found\":[\"b\"]"), "\"b\" is no code");
    expect_broken(LESIONS("\"order\":[1,2],\"found\":[\"a\"]"), "/lesions/missed");
    expect_broken(LESIONS("\"order\":[1,2],\"found\":[\"a\"],\"missed\":[\"a\"],\"set_aside\":[1]"), "/lesions/set_aside");
    expect_broken(STRATUM("\"clinical\":\"c\""), "/strata/edges");
    expect_broken(STRATUM("\"clinical\":\"c\",\"edges\":[4,4]"), "/strata/edges");
    expect_broken(STRATUM("\"clinical\":\"c\",\"metric\":\"m\",\"edges\":[4]"), "either clinical and edges");
    expect_broken(STRATUM("\"metric\":\"m\",\"titles\":[]"), "/strata/titles");
    expect_broken(STATISTICS(SCALE ",\"strata\":[{\"name\":\"difficulty\",\"title\":\"T\",\"metric\":\"m\","
                                   "\"titles\":[\"a\"]}]"), "difficulty");
}

static void a_missing_part_is_the_reason(void **state)
{
    (void)state;
    fixture_library("no_manifest", "trial");
    fixture_manifest("no_library", NULL);
    fixture_plugin("trial");
    load();
    assert_string_equal(fixture_find("no_manifest")->broken, "no manifest");
    assert_string_equal(fixture_find("no_library")->broken, "no no_library.so");
    assert_null(fixture_find("trial")->broken);
}

static void plugins_come_in_the_order_of_their_names(void **state)
{
    const struct grading_plugin *const *plugins;

    (void)state;
    fixture_plugin("trial");
    fixture_plugin("crashes_at_load"); /* the server does not load it, and so registers it */
    load();
    struct arena *arena = arena_create();

    assert_int_equal(grading_plugins(arena, &plugins), 2);
    assert_string_equal(plugins[0]->id, "crashes_at_load");
    assert_null(plugins[0]->broken);
    assert_string_equal(plugins[1]->id, "trial");
    arena_destroy(arena);
}

static void a_broken_plugin_can_neither_validate_nor_grade(void **state)
{
    json_t *answer = json_object();
    const struct grading_input input = {.config = TEXT("{}"), .truth = TEXT("{}")};
    struct error err = {0};

    (void)state;
    fixture_library("no_manifest", "trial");
    load();
    assert_int_equal(grading_validate(fixture_find("no_manifest"), GRADING_ANSWER, answer, "", &err), -1);
    assert_int_equal(err.kind, ERROR_UNAVAILABLE);
    assert_int_equal(grading_check_blocking(fixture_find("no_manifest"), &input, "", &err), -1);
    assert_int_equal(err.kind, ERROR_UNAVAILABLE);
    json_decref(answer);
}

static void a_folder_that_is_not_there_is_an_error(void **state)
{
    struct error err = {0};

    (void)state;
    const struct grading_source source = {.dir = "/nonexistent", .grader = "", .allow_unsigned = true};

    assert_int_equal(grading_registry_load(&source, &err), -1);
    assert_string_equal(err.code, "plugin_dir");
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, open_folder, close_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_good_plugin_is_registered_with_its_hash_and_manifest),
        IN_FOLDER(an_answer_is_checked_against_the_manifests_schema),
        IN_FOLDER(a_broken_manifest_is_registered_with_the_reason),
        IN_FOLDER(reader_statistics_are_passed_on_as_the_author_wrote_them),
        IN_FOLDER(reader_statistics_of_a_wrong_shape_break_the_plugin),
        IN_FOLDER(a_missing_part_is_the_reason),
        IN_FOLDER(plugins_come_in_the_order_of_their_names),
        IN_FOLDER(a_broken_plugin_can_neither_validate_nor_grade),
        IN_FOLDER(a_folder_that_is_not_there_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
