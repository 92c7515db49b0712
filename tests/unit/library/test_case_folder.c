#include "library/case_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char good_case[] =
    "{\"format\":\"overread-case/1\",\"slug\":\"case-1\",\"modality\":\"prostate_mri\",\"plugin\":\"prostate_mri\","
    "\"title\":\"A case\",\"clinical\":{\"age_years\":64,\"note\":\"x\"},\"difficulty\":3,\"synthetic\":false,"
    "\"truth_kind\":\"histology\",\"provenance\":{\"source\":\"s\",\"citation\":\"\",\"licence\":\"CC0-1.0\","
    "\"attribution\":\"\"},\"series\":[{\"name\":\"T2W\",\"role\":\"t2w\",\"directory\":\"t2w\"}],\"config\":{}}";
static const char good_truth[] = "{\"truth\":{\"cspca\":false},\"expert_report\":\"r\",\"histology\":{\"kind\":\"MRBx\"}}";

struct folder {
    char path[64];
    struct arena *arena;
};

static void write_text(const struct folder *f, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", f->path, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int setup(void **state)
{
    struct folder *f = test_malloc(sizeof(*f));
    char path[128];
    snprintf(f->path, sizeof(f->path), "/tmp/overread-folder-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    f->arena = arena_create();
    snprintf(path, sizeof(path), "%s/t2w", f->path);
    assert_int_equal(mkdir(path, 0755), 0);
    write_text(f, "t2w/b.dcm", "");
    write_text(f, "t2w/a.dcm", "");
    write_text(f, "t2w/notes.txt", "");
    write_text(f, "case.json", good_case);
    write_text(f, "truth.json", good_truth);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {"t2w/a.dcm", "t2w/b.dcm", "t2w/notes.txt", "case.json", "truth.json"};
    struct folder *f = *state;
    char path[128];
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        snprintf(path, sizeof(path), "%s/%s", f->path, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof(path), "%s/t2w", f->path);
    rmdir(path);
    unlink(path); /* where a test has made it a link */
    rmdir(f->path);
    arena_destroy(f->arena);
    test_free(f);
    return 0;
}

/* text with its first `from` replaced */
static const char *changed(const struct folder *f, const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    assert_non_null(at);
    return arena_printf(f->arena, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static void refused(struct folder *f, const char *code, const char *field)
{
    struct case_folder folder;
    struct error err = {0};
    assert_int_equal(case_folder_read(f->arena, f->path, &folder, &err), -1);
    assert_string_equal(err.code, code);
    assert_string_equal(err.field, field);
}

static void test_a_good_folder_is_read_with_its_files_sorted(void **state)
{
    struct folder *f = *state;
    struct case_folder folder;
    struct error err = {0};
    if (case_folder_read(f->arena, f->path, &folder, &err) < 0)
        fail_msg("%s: %s", err.field, err.detail);
    assert_string_equal(folder.slug, "case-1");
    assert_int_equal(folder.series_count, 1);
    assert_int_equal(folder.series[0].count, 2);
    assert_string_equal(folder.series[0].files[0], "a.dcm");
    assert_string_equal(folder.series[0].files[1], "b.dcm");
    assert_true(json_is_object(folder.histology));
}

static void test_each_wrong_member_is_named_with_its_file(void **state)
{
    static const struct {
        const char *from, *to, *field;
    } cases[] = {
        {"overread-case/1", "overread-case/2", "case.json#/format"},
        {"\"case-1\"", "\"Case 1\"", "case.json#/slug"},
        {"\"difficulty\":3", "\"difficulty\":6", "case.json#/difficulty"},
        {"\"synthetic\":false", "\"synthetic\":0", "case.json#/synthetic"},
        {"\"synthetic\":false", "\"synthetic\":true", "case.json#/truth_kind"},
        {"\"histology\"", "\"opinion\"", "case.json#/truth_kind"},
        {"\"age_years\":64", "\"age_years\":[64]", "case.json#/clinical/age_years"},
        {"\"licence\":\"CC0-1.0\"", "\"licence\":\"\"", "case.json#/provenance/licence"},
        {"\"config\":{}", "\"config\":[]", "case.json#/config"},
        {"\"config\":{}", "\"config\":{},\"secret\":1", "case.json#/secret"},
        {"\"role\":\"t2w\"", "\"role\":7", "case.json#/series/0/role"},
        {"\"directory\":\"t2w\"", "\"directory\":\"../t2w\"", "case.json#/series"},
        {"\"directory\":\"t2w\"", "\"directory\":\"..\"", "case.json#/series"},
        {"\"directory\":\"t2w\"", "\"directory\":\"adc\"", "adc"},
    };
    struct folder *f = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct case_folder folder;
        struct error err = {0};
        write_text(f, "case.json", changed(f, good_case, cases[i].from, cases[i].to));
        assert_int_equal(case_folder_read(f->arena, f->path, &folder, &err), -1);
        assert_string_equal(err.field, cases[i].field);
    }
}

static void test_a_folder_without_truth_is_refused(void **state)
{
    struct folder *f = *state;
    char path[128];
    snprintf(path, sizeof(path), "%s/truth.json", f->path);
    unlink(path);
    refused(f, "no_truth", "truth.json");
}

static void test_malformed_json_is_refused_and_the_file_named(void **state)
{
    struct folder *f = *state;
    write_text(f, "truth.json", "{\"truth\":");
    refused(f, "malformed_json", "truth.json#");
}

static void test_only_histology_may_be_called_verified(void **state)
{
    struct folder *f = *state;
    write_text(f, "truth.json", changed(f, good_truth, "{\"kind\":\"MRBx\"}", "null"));
    refused(f, "no_histology", "truth.json#/histology");
}

static void test_a_link_is_not_followed_out_of_the_folder(void **state)
{
    struct folder *f = *state;
    char path[128];
    snprintf(path, sizeof(path), "%s/truth.json", f->path);
    unlink(path);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    refused(f, "no_truth", "truth.json");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_good_folder_is_read_with_its_files_sorted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_wrong_member_is_named_with_its_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_folder_without_truth_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_malformed_json_is_refused_and_the_file_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_histology_may_be_called_verified, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_link_is_not_followed_out_of_the_folder, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
