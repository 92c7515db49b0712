#include "grading/manifest.h"
#include <overread/plugin.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "grading/grading.h"
#include "grading/manifest_statistics.h"

static const char *const schema_names[] = {
    [GRADING_ANSWER] = "answer", [GRADING_TRUTH] = "truth", [GRADING_CONFIG] = "config"};

static int refuse(struct error *err, const char *field, const char *why)
{
    return error_set(err, ERROR_INVALID, "bad_manifest", field, "%s", why);
}

static bool is_name(const char *s)
{
    size_t len = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_");

    return len > 0 && len <= MANIFEST_ID_MAX && s[len] == '\0' && s[0] >= 'a';
}

static int take_string(struct arena *arena, const json_t *json, const char *name, const char *field,
                       const char **ret, struct error *err)
{
    const json_t *value = json_object_get(json, name);
    size_t len = json_string_length(value);

    if (!json_is_string(value) || len == 0 || len > 200)
        return refuse(err, field, "must be a string of 1 to 200 bytes");
    *ret = arena_strdup(arena, json_string_value(value));
    return 0;
}

/* An optional whole number keeps *ret when it is absent. */
static int take_number(const json_t *json, const char *name, const char *field, bool required, int64_t min,
                       int64_t max, int64_t *ret, struct error *err)
{
    const json_t *value = json_object_get(json, name);

    if (!value && !required)
        return 0;
    if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > max)
        return error_set(err, ERROR_INVALID, "bad_manifest", field,
                         "must be a whole number from %lld to %lld", (long long)min, (long long)max);
    *ret = json_integer_value(value);
    return 0;
}

static int check_members(const json_t *json, const char *const *names, const char *prefix, struct error *err)
{
    for (void *i = json_object_iter((json_t *)(uintptr_t)json); i;
         i = json_object_iter_next((json_t *)(uintptr_t)json, i)) {
        const char *member = json_object_iter_key(i);
        size_t k = 0;

        while (names[k] && strcmp(names[k], member) != 0)
            k++;
        if (!names[k] && strncmp(member, "x-", 2) != 0)
            return error_set(err, ERROR_INVALID, "bad_manifest", prefix, "has an unknown member \"%.64s\"",
                             member);
    }
    return 0;
}

static int take_abi(const json_t *json, struct error *err)
{
    const json_t *abi = json_object_get(json, "abi");
    int64_t major = 0, minor = 0;

    if (take_number(abi, "major", "/abi/major", true, 0, UINT16_MAX, &major, err) < 0 ||
        take_number(abi, "minor", "/abi/minor", true, 0, UINT16_MAX, &minor, err) < 0)
        return -1;
    if (major != OVERREAD_ABI_MAJOR || minor > OVERREAD_ABI_MINOR)
        return error_set(err, ERROR_INVALID, "bad_manifest", "/abi", "abi %d.%d is not supported", (int)major,
                         (int)minor);
    return 0;
}

static int take_limits(const json_t *json, struct manifest *ret, struct error *err)
{
    static const char *const names[] = {"memory_mb", "cpu_ms", "wall_ms", NULL};
    const json_t *limits = json_object_get(json, "limits");
    int64_t memory_mb = 64, cpu_ms = 1000, wall_ms = 2000;

    if (limits && !json_is_object(limits))
        return refuse(err, "/limits", "must be an object");
    if (check_members(limits, names, "/limits", err) < 0 ||
        take_number(limits, "memory_mb", "/limits/memory_mb", false, 1, 1024, &memory_mb, err) < 0 ||
        take_number(limits, "cpu_ms", "/limits/cpu_ms", false, 1, 60000, &cpu_ms, err) < 0 ||
        take_number(limits, "wall_ms", "/limits/wall_ms", false, 10, 120000, &wall_ms, err) < 0)
        return -1;
    ret->memory_mb = (unsigned)memory_mb;
    ret->cpu_ms = (unsigned)cpu_ms;
    ret->wall_ms = (unsigned)wall_ms;
    return 0;
}

static int compare_codes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int take_findings(struct arena *arena, const json_t *json, struct manifest *ret, struct error *err)
{
    const json_t *findings = json_object_get(json, "findings");
    const char **codes = arena_array(arena, json_object_size(findings) + 1, sizeof(*codes));

    if (!json_is_object(findings))
        return refuse(err, "/findings", "must be an object of titles by code");
    for (void *i = json_object_iter((json_t *)(uintptr_t)findings); i;
         i = json_object_iter_next((json_t *)(uintptr_t)findings, i)) {
        const char *code = json_object_iter_key(i);

        if (!is_name(code) || json_string_length(json_object_iter_value(i)) == 0)
            return error_set(err, ERROR_INVALID, "bad_manifest", "/findings",
                             "\"%.64s\": a code is made of a-z, 0-9, _ and has a title", code);
        codes[ret->code_count++] = arena_strdup(arena, code);
    }
    qsort(codes, ret->code_count, sizeof(*codes), compare_codes);
    ret->codes = codes;
    return 0;
}

static void release_schema(void *arg)
{
    schema_destroy(arg);
}

static int take_schemas(struct arena *arena, const json_t *json, struct manifest *ret, struct error *err)
{
    static const char *const names[] = {"config", "truth", "answer", NULL};
    const json_t *schemas = json_object_get(json, "schemas");

    if (!json_is_object(schemas))
        return refuse(err, "/schemas", "must be an object");
    if (check_members(schemas, names, "/schemas", err) < 0)
        return -1;
    for (int which = GRADING_ANSWER; which <= GRADING_CONFIG; which++) {
        json_t *schema = json_object_get(schemas, schema_names[which]);
        struct error inner = {0};

        if (!schema)
            return error_set(err, ERROR_INVALID, "bad_manifest", "/schemas", "\"%s\" is missing",
                             schema_names[which]);
        ret->schemas[which] = schema_create(schema, &inner);
        if (!ret->schemas[which])
            return error_set(err, ERROR_INVALID, "bad_manifest",
                             arena_printf(arena, "/schemas/%s%s", schema_names[which], inner.field), "%s",
                             inner.detail);
        arena_defer(arena, release_schema, ret->schemas[which]);
    }
    return 0;
}

static int take_identity(struct arena *arena, const json_t *json, struct manifest *ret, struct error *err)
{
    static const char *const names[] = {"id",     "version",  "title",   "description", "rules_revision",    "abi",
                                        "limits", "findings", "schemas", "ui",          "reader_statistics", NULL};
    int64_t revision = 0;

    if (take_string(arena, json, "id", "/id", &ret->id, err) < 0 ||
        take_string(arena, json, "version", "/version", &ret->version, err) < 0 ||
        take_string(arena, json, "title", "/title", &ret->title, err) < 0 ||
        take_number(json, "rules_revision", "/rules_revision", true, 1, INT32_MAX, &revision, err) < 0)
        return -1;
    ret->rules_revision = (int)revision;
    if (!is_name(ret->id))
        return refuse(err, "/id", "must be made of a-z, 0-9, _ and begin with a letter");
    if (strlen(ret->version) > 64)
        return refuse(err, "/version", "must have at most 64 characters");
    return check_members(json, names, "", err);
}

static int append(const char *bytes, size_t len, void *arg)
{
    buffer_add(arg, bytes, len);
    return 0;
}

static struct text compact(struct arena *arena, const json_t *json)
{
    struct buffer out;

    buffer_init(&out, 2 * MANIFEST_MAX);
    json_dump_callback(json, append, &out, JSON_COMPACT | JSON_REAL_PRECISION(17));
    struct text ret = {.p = arena_copy(arena, out.p, out.len), .len = out.len};

    buffer_finish(&out);
    return ret;
}

static int take_statistics(struct arena *arena, const json_t *json, struct manifest *ret, struct error *err)
{
    const json_t *statistics = json_object_get(json, "reader_statistics");

    if (!statistics)
        return 0;
    ret->statistics = compact(arena, statistics);
    return manifest_statistics_check(statistics, json_object_get(json, "findings"), err);
}

static int take(struct arena *arena, const json_t *json, struct manifest *ret, struct error *err)
{
    if (!json_is_object(json))
        return refuse(err, "", "malformed manifest: it is not an object");
    ret->json = compact(arena, json);
    if (take_identity(arena, json, ret, err) < 0 || take_abi(json, err) < 0 ||
        take_limits(json, ret, err) < 0 || take_findings(arena, json, ret, err) < 0 ||
        take_statistics(arena, json, ret, err) < 0)
        return -1;
    return take_schemas(arena, json, ret, err);
}

int manifest_parse(struct arena *arena, struct text json, struct manifest *ret, struct error *err)
{
    json_error_t where;

    *ret = (struct manifest){0};
    /* Not base/json.h: a schema nests deeper than a request may; jansson's own bound is enough for an
     * operator's file. */
    json_t *tree = json_loadb(json.p ? json.p : "", json.len, JSON_REJECT_DUPLICATES, &where);

    if (!tree)
        return error_set(err, ERROR_INVALID, "bad_manifest", NULL, "malformed manifest: line %d: %s",
                         where.line, where.text);
    int r = take(arena, tree, ret, err);

    json_decref(tree); /* the schemas hold their own parts */
    return r;
}
