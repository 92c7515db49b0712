/* Most changes of bytes end at the JSON parser or the schema. These change the tree as the conformance run
 * does: bounds and choices of the schemas, members of the golden cases, items repeated, numbers nudged. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include "fuzz.h"
#include "fuzz_plugin.h"
#include "grading/conformance_mutate.h"

enum { TRIES = 8, CASES_MAX = 256 };

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

bool conformance_valid(const struct conformance *c, int part, const json_t *json, struct error *err)
{
    static const enum grading_schema schemas[PARTS] = {GRADING_CONFIG, GRADING_TRUTH, GRADING_ANSWER};

    return schema_validate(c->manifest.schemas[schemas[part]], json, "", err) == 0;
}

static struct conformance *golden(void)
{
    static struct conformance_case cases[CASES_MAX];
    static struct conformance c = {.cases = cases};
    static const char *const names[PARTS] = {"config", "truth", "answer"};
    const struct dirent *entry;
    char path[4096];

    if (c.case_count > 0)
        return &c;
    c.manifest = plugin_under_test()->manifest;
    DIR *dir = opendir(PLUGIN_SOURCE "/golden");

    must(dir != NULL);
    while (c.case_count < CASES_MAX && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        for (int p = 0; p < PARTS; p++) {
            snprintf(path, sizeof(path), "%s/golden/%s/%s.json", PLUGIN_SOURCE, entry->d_name, names[p]);
            cases[c.case_count].json[p] = json_load_file(path, 0, NULL);
            must(cases[c.case_count].json[p] != NULL);
        }
        c.case_count++;
    }
    closedir(dir);
    return &c;
}

/* Changes one part until it is valid again. False: no try was. */
static bool change(struct conformance_random *random, json_t *input)
{
    static struct conformance_pool pool;
    static const char *const names[PARTS] = {"config", "truth", "answer"};
    int part = conformance_below(random, 3) ? ANSWER : (int)conformance_below(random, PARTS);
    json_t *from = json_object_get(input, names[part]);

    if (!pool.values)
        pool = conformance_pool(golden());
    for (int tries = 0; from && tries < TRIES; tries++) {
        json_t *json = json_deep_copy(from);

        conformance_mutate(random, &pool, json);
        if (conformance_valid(golden(), part, json, NULL)) {
            json_object_set_new(input, names[part], json);
            return true;
        }
        json_decref(json);
    }
    return false;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    struct conformance_random random = {.state = seed};
    json_t *input = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
    size_t len = 0;

    if (input && conformance_below(&random, 20) > 0 && change(&random, input))
        len = json_dumpb(input, (char *)data, max, JSON_COMPACT);
    json_decref(input);
    return len > 0 && len <= max ? len : LLVMFuzzerMutate(data, size, max);
}
