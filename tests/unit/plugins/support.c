#include "support.h"
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { CODES_MAX = 256, PATH_SIZE = 1024 };

struct bench {
    void *library;
    const overread_plugin *plugin;
    struct host *host;
    struct host_rules rules;
    struct host_result result;
    json_t *manifest;
    const char *codes[CODES_MAX];
};

static int compare_codes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void take_manifest(struct bench *bench, const char *path)
{
    const char *code;
    json_t *title;
    bench->manifest = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(bench->manifest);
    json_object_foreach(json_object_get(bench->manifest, "findings"), code, title)
    {
        assert_true(bench->rules.code_count < CODES_MAX);
        bench->codes[bench->rules.code_count++] = code;
    }
    qsort(bench->codes, bench->rules.code_count, sizeof(*bench->codes), compare_codes);
    bench->rules.codes = bench->codes;
    bench->rules.id = json_string_value(json_object_get(bench->manifest, "id"));
    bench->rules.version = json_string_value(json_object_get(bench->manifest, "version"));
    bench->rules.rules_revision =
        (uint32_t)json_integer_value(json_object_get(bench->manifest, "rules_revision"));
}

struct bench *bench_open(const char *id, uint64_t memory_bytes)
{
    char path[PATH_SIZE];
    struct bench *bench = test_calloc(1, sizeof(*bench));
    snprintf(path, sizeof(path), PLUGIN_DIR "/%s/manifest.json", id);
    take_manifest(bench, path);
    bench->rules.memory_bytes = memory_bytes;
    snprintf(path, sizeof(path), PLUGIN_DIR "/%s/%s.so", id, id);
    bench->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!bench->library)
        fail_msg("%s", dlerror());
    overread_plugin_entry_fn entry = (overread_plugin_entry_fn)dlsym(bench->library, OVERREAD_PLUGIN_ENTRY);
    assert_non_null(entry);
    bench->plugin = entry();
    bench->host = host_create(&bench->rules);
    assert_non_null(bench->host);
    const char *objection = host_objection(bench->host, bench->plugin);
    if (objection)
        fail_msg("%s", objection);
    host_result_init(&bench->result);
    return bench;
}

void bench_close(struct bench *bench)
{
    host_result_finish(&bench->result);
    host_destroy(bench->host);
    dlclose(bench->library);
    json_decref(bench->manifest);
    test_free(bench);
}

const struct host_result *bench_run(struct bench *bench, enum host_op op, const char *config,
                                    const char *truth, const char *answer)
{
    struct host_input input = {text_of(config), text_of(truth), text_of(answer)};
    host_run(bench->host, bench->plugin, op, &input, &bench->result);
    return &bench->result;
}

const struct host_result *bench_run_json(struct bench *bench, enum host_op op, const json_t *config,
                                         const json_t *truth, const json_t *answer)
{
    char *texts[3] = {json_dumps(config, JSON_COMPACT), truth ? json_dumps(truth, JSON_COMPACT) : NULL,
                      answer ? json_dumps(answer, JSON_COMPACT) : NULL};
    const struct host_result *result = bench_run(bench, op, texts[0], texts[1], texts[2]);
    for (int i = 0; i < 3; i++)
        free(texts[i]);
    return result;
}

json_t *bench_grade(struct bench *bench, const json_t *config, const json_t *truth, const json_t *answer)
{
    const struct host_result *result = bench_run_json(bench, HOST_GRADE, config, truth, answer);
    if (result->status != HOST_OK)
        fail_msg("no grade: %s", result->text.p ? result->text.p : "");
    json_t *grade = json_loadb(result->text.p, result->text.len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(grade);
    return grade;
}

const json_t *grade_finding(const json_t *grade, const char *code)
{
    size_t i;
    json_t *finding;
    json_array_foreach(json_object_get(grade, "findings"), i, finding)
    {
        if (strcmp(json_string_value(json_object_get(finding, "code")), code) == 0)
            return finding;
    }
    return NULL;
}
