#include "support.h"
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { CODES_MAX = 256 };

struct bench {
    void *library;
    const overread_plugin *plugin;
    struct host *host;
    struct host_rules rules;
    struct host_result result;
    json_t *manifest;
    const char *codes[CODES_MAX];
};

struct bench *bench;

static int compare_codes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void take_manifest(struct bench *on)
{
    const char *code;
    json_t *title;
    on->manifest = json_load_file(PLUGIN_DIR "/" PLUGIN "/manifest.json", JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(on->manifest);
    json_object_foreach(json_object_get(on->manifest, "findings"), code, title)
    {
        assert_true(on->rules.code_count < CODES_MAX);
        on->codes[on->rules.code_count++] = code;
    }
    qsort(on->codes, on->rules.code_count, sizeof(*on->codes), compare_codes);
    on->rules.codes = on->codes;
    on->rules.id = json_string_value(json_object_get(on->manifest, "id"));
    on->rules.version = json_string_value(json_object_get(on->manifest, "version"));
    on->rules.rules_revision = (uint32_t)json_integer_value(json_object_get(on->manifest, "rules_revision"));
}

struct bench *bench_open(uint64_t memory_bytes)
{
    struct bench *on = test_calloc(1, sizeof(*on));
    take_manifest(on);
    on->rules.memory_bytes = memory_bytes;
    on->library = dlopen(PLUGIN_DIR "/" PLUGIN "/" PLUGIN ".so", RTLD_NOW | RTLD_LOCAL);
    if (!on->library)
        fail_msg("%s", dlerror());
    overread_plugin_entry_fn entry = (overread_plugin_entry_fn)dlsym(on->library, OVERREAD_PLUGIN_ENTRY);
    assert_non_null(entry);
    on->plugin = entry();
    on->host = host_create(&on->rules);
    assert_non_null(on->host);
    const char *objection = host_objection(on->host, on->plugin);
    if (objection)
        fail_msg("%s", objection);
    host_result_init(&on->result);
    return on;
}

void bench_close(struct bench *on)
{
    host_result_finish(&on->result);
    host_destroy(on->host);
    dlclose(on->library);
    json_decref(on->manifest);
    test_free(on);
}

int bench_setup(void **state)
{
    (void)state;
    bench = bench_open(UINT64_C(32) << 20);
    return 0;
}

int bench_teardown(void **state)
{
    (void)state;
    bench_close(bench);
    return 0;
}

const struct host_result *bench_run(struct bench *on, enum host_op op, const char *config, const char *truth,
                                    const char *answer)
{
    struct host_input input = {text_of(config), text_of(truth), text_of(answer)};
    host_run(on->host, on->plugin, op, &input, &on->result);
    return &on->result;
}

const struct host_result *bench_run_json(struct bench *on, enum host_op op, const json_t *config,
                                         const json_t *truth, const json_t *answer)
{
    char *texts[3] = {json_dumps(config, JSON_COMPACT), truth ? json_dumps(truth, JSON_COMPACT) : NULL,
                      answer ? json_dumps(answer, JSON_COMPACT) : NULL};
    const struct host_result *result = bench_run(on, op, texts[0], texts[1], texts[2]);
    for (int i = 0; i < 3; i++)
        free(texts[i]);
    return result;
}

json_t *bench_grade(const json_t *config, const json_t *truth, const json_t *answer)
{
    const struct host_result *result = bench_run_json(bench, HOST_GRADE, config, truth, answer);
    if (result->status != HOST_OK)
        fail_msg("no grade: %s", result->text.p ? result->text.p : "");
    json_t *grade = json_loadb(result->text.p, result->text.len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(grade);
    return grade;
}

void bench_check(enum host_op op, const char *config, const char *input, const char *pointer,
                 const char *words)
{
    bool truth = op == HOST_CHECK_TRUTH;
    const struct host_result *result =
        bench_run(bench, op, config, truth ? input : NULL, truth ? NULL : input);
    if (!pointer) {
        if (result->status != HOST_OK)
            fail_msg("refused: %s: %s: %s", input, result->pointer, result->text.p ? result->text.p : "");
        return;
    }
    if (result->status != HOST_REFUSED)
        fail_msg("not refused: %s", input);
    assert_string_equal(result->pointer, pointer);
    if (!strstr(result->text.p, words))
        fail_msg("\"%s\" does not say \"%s\"", result->text.p, words);
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

int64_t grade_milli(const json_t *grade, const char *name)
{
    double value = json_number_value(json_object_get(grade, name)) * 1000;
    return (int64_t)(value < 0 ? value - 0.5 : value + 0.5);
}
