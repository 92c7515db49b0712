/* {"config", "truth", "answer"} through a whole plugin and the host around it, as a worker would: what is
 * valid by the manifest's schemas and coherent by the plugin's own check has a grade, and the same one twice.
 */
#include <stdio.h>
#include <string.h>
#include "fuzz.h"
#include "fuzz_plugin.h"
#include "base/json.h"
#include "base/mem.h"

static struct plugin_under_test put;

struct plugin_under_test *plugin_under_test(void)
{
    static char bytes[1 << 20];
    struct error err = {.kind = ERROR_NONE};

    if (put.host)
        return &put;
    FILE *file = fopen(PLUGIN_SOURCE "/manifest.json", "re");

    must(file != NULL);
    size_t len = fread(bytes, 1, sizeof(bytes), file);

    must(fclose(file) == 0);
    put.arena = arena_create();
    must(manifest_parse(put.arena, (struct text){.p = bytes, .len = len}, &put.manifest, &err) == 0);
    put.rules = (struct host_rules){.id = put.manifest.id,
                                    .version = put.manifest.version,
                                    .rules_revision = (uint32_t)put.manifest.rules_revision,
                                    .memory_bytes = (uint64_t)put.manifest.memory_mb << 20,
                                    .codes = put.manifest.codes,
                                    .code_count = put.manifest.code_count};
    put.host = host_create(&put.rules);
    must(put.host && !host_objection(put.host, overread_plugin_entry()));
    return &put;
}

static enum host_status run(enum host_op op, const struct host_input *input, struct host_result *result)
{
    host_run(put.host, overread_plugin_entry(), op, input, result);
    if (result->status == HOST_BUG || result->status == HOST_BAD_INPUT)
        fprintf(stderr, "op %d: %.*s\n", (int)op, (int)result->text.len, result->text.p);
    must(result->status != HOST_BUG && result->status != HOST_BAD_INPUT);
    return result->status;
}

static void hold_to_promises(const struct host_input *input)
{
    struct host_result once, twice;

    host_result_init(&once);
    host_result_init(&twice);
    run(HOST_CHECK_ANSWER, input, &once);
    if (run(HOST_CHECK_TRUTH, input, &once) == HOST_OK) {
        enum host_status status = run(HOST_GRADE, input, &once);

        must(status == HOST_OK || status == HOST_NO_MEMORY);
        must(run(HOST_GRADE, input, &twice) == status);
        must(once.text.len == twice.text.len && memcmp(once.text.p, twice.text.p, once.text.len) == 0);
        json_t *grade = json_loadb(once.text.p, once.text.len, JSON_REJECT_DUPLICATES, NULL);

        must(grade || status != HOST_OK);
        json_decref(grade);
    }
    host_result_finish(&once);
    host_result_finish(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"config", "truth", "answer"};
    static const enum grading_schema schemas[] = {GRADING_CONFIG, GRADING_TRUTH, GRADING_ANSWER};
    const struct plugin_under_test *p = plugin_under_test();
    struct text parts[3];
    struct arena *arena = arena_create();
    json_t *json;
    bool fit = json_parse(arena, (struct text){.p = (const char *)data, .len = size}, &json, NULL) == 0;

    for (size_t i = 0; i < 3 && fit; i++) {
        json_t *part = json_object_get(json, names[i]);

        fit = part && schema_validate(p->manifest.schemas[schemas[i]], part, "", NULL) == 0;
        if (fit)
            parts[i] = json_render(arena, part);
    }
    if (fit)
        hold_to_promises(&(struct host_input){.config = parts[0], .truth = parts[1], .answer = parts[2]});
    arena_destroy(arena);
    return 0;
}
