#include "grading/host.h"
#include <fenv.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "base/mem.h"
#include "grading/host_grade.h"

#define RESERVED_MAX ((uint64_t)4 << 30)

/* With AddressSanitizer, what a plugin did not ask for is not its to touch: neither behind the last block, nor in
 * the gap between two. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISONED 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ARENA_POISONED 1
#endif
#ifdef ARENA_POISONED
#include <sanitizer/asan_interface.h>
#define ARENA_GAP 16u
#else
#define ARENA_GAP 0u
#define ASAN_POISON_MEMORY_REGION(p, size) ((void)(p), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(p, size) ((void)(p), (void)(size))
#endif

/* A bump arena over one reservation. What a call has touched is zeroed before the next, so that alloc can
 * promise zeroes without paying for the whole reservation. */
/* A case has many readers, and a regrade takes one read of it after another: its config and truth need not be parsed for each. The
 * tree is of exactly this text, so that a grade is what it would be without. Trees take up to 80 times their text: 10 MiB in all. */
enum { KEPT = 128, KEPT_TEXT_MAX = 1024, KEPT_SAMPLES = 16 };
struct kept {
    char *text;
    size_t len;
    json_t *tree; /* NULL: nothing is kept here */
};

struct host {
    const struct host_rules *rules;
    char *base;
    size_t cap, used;
    struct overread_host face;
    json_t *parsed; /* host_parse's tree */
    struct kept kept[KEPT];
    char why[256];
};

struct host *host_create(const struct host_rules *rules)
{
    struct host *host = mem_alloc(sizeof(*host));

    host->rules = rules;
    host->cap = rules->memory_bytes < RESERVED_MAX ? (size_t)rules->memory_bytes : (size_t)RESERVED_MAX;
    host->base =
        mmap(NULL, host->cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (host->base == MAP_FAILED) {
        mem_free(host);
        return NULL;
    }
    ASAN_POISON_MEMORY_REGION(host->base, host->cap);
    return host;
}

static void forget(struct kept *kept)
{
    json_decref(kept->tree);
    mem_free(kept->text);
    *kept = (struct kept){0};
}

struct host *host_destroy(struct host *host)
{
    if (host) {
        json_decref(host->parsed);
        for (size_t i = 0; i < KEPT; i++)
            forget(&host->kept[i]);
        ASAN_UNPOISON_MEMORY_REGION(host->base, host->cap);
        munmap(host->base, host->cap);
        mem_free(host);
    }
    return NULL;
}

static void *host_alloc(void *context, uint64_t size)
{
    struct host *host = context;
    size_t start = ((host->used + 15) & ~(size_t)15) + ARENA_GAP;

    if (start > host->cap || size > host->cap - start)
        return NULL;
    host->used = start + (size_t)size;
    ASAN_UNPOISON_MEMORY_REGION(host->base + start, size);
    return host->base + start;
}

static void host_reset(struct host *host)
{
    const size_t worth_returning = 1 << 20;

    ASAN_UNPOISON_MEMORY_REGION(host->base, host->used);
    if (host->used > worth_returning)
        madvise(host->base, host->cap, MADV_DONTNEED); /* reads as zeroes afterwards */
    else
        memset(host->base, 0, host->used);
    ASAN_POISON_MEMORY_REGION(host->base, host->used);
    host->used = 0;
}

static void host_log(void *context, const char *message)
{
    struct host *host = context;

    if (host->rules->log && message)
        host->rules->log(host->rules->log_context,
                         (struct text){.p = message, .len = strnlen(message, HOST_LOG_MAX)});
}

/* --- Input
 * ------------------------------------------------------------------------------------------------------ */

static const char out_of_memory[] = "the memory limit was reached while reading the input";

static bool convert(struct host *host, json_t *json, unsigned depth, overread_value *ret,
                    const char **ret_why);

static bool convert_array(struct host *host, json_t *json, unsigned depth, overread_value *ret,
                          const char **ret_why)
{
    size_t count = json_array_size(json);
    overread_value *items = host_alloc(host, count * sizeof(*items));

    if (!items) {
        *ret_why = out_of_memory;
        return false;
    }
    for (size_t i = 0; i < count; i++)
        if (!convert(host, json_array_get(json, i), depth + 1, &items[i], ret_why))
            return false;
    *ret = (overread_value){.type = OVERREAD_ARRAY, .count = (uint32_t)count, .as.items = items};
    return true;
}

static int compare_members(const void *a, const void *b)
{
    return strcmp(((const overread_member *)a)->name, ((const overread_member *)b)->name);
}

static void sort_members(overread_member *members, size_t count)
{
    const size_t small = 16;

    if (count > small) {
        qsort(members, count, sizeof(*members), compare_members);
        return;
    }
    for (size_t i = 1; i < count; i++) {
        overread_member member = members[i];
        size_t k = i;

        for (; k > 0 && strcmp(members[k - 1].name, member.name) > 0; k--)
            members[k] = members[k - 1];
        members[k] = member;
    }
}

static bool convert_object(struct host *host, json_t *json, unsigned depth, overread_value *ret,
                           const char **ret_why)
{
    size_t count = json_object_size(json), i = 0;
    overread_member *members = host_alloc(host, count * sizeof(*members));
    const char *name;
    json_t *value;

    if (!members) {
        *ret_why = out_of_memory;
        return false;
    }
    json_object_foreach(json, name, value)
    {
        members[i].name = name;
        if (!convert(host, value, depth + 1, &members[i].value, ret_why))
            return false;
        i++;
    }
    sort_members(members, count);
    *ret = (overread_value){.type = OVERREAD_OBJECT, .count = (uint32_t)count, .as.members = members};
    return true;
}

/* Strings and names stay where jansson has them: the tree outlives the call. */
static bool convert(struct host *host, json_t *json, unsigned depth, overread_value *ret,
                    const char **ret_why)
{
    if (depth > HOST_INPUT_DEPTH) {
        *ret_why = "it is nested too deeply";
        return false;
    }
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return convert_object(host, json, depth, ret, ret_why);
    case JSON_ARRAY:
        return convert_array(host, json, depth, ret, ret_why);
    case JSON_STRING:
        *ret = (overread_value){.type = OVERREAD_STRING,
                                .count = (uint32_t)json_string_length(json),
                                .as.string = json_string_value(json)};
        return true;
    case JSON_INTEGER:
        *ret = (overread_value){.type = OVERREAD_NUMBER, .as.number = (double)json_integer_value(json)};
        return true;
    case JSON_REAL:
        *ret = (overread_value){.type = OVERREAD_NUMBER, .as.number = json_real_value(json)};
        return true;
    case JSON_TRUE:
    case JSON_FALSE:
        *ret = (overread_value){.type = OVERREAD_BOOLEAN, .as.boolean = json_is_true(json)};
        return true;
    default:
        *ret = (overread_value){.type = OVERREAD_NULL};
        return true;
    }
}

static json_t *load(struct text json, json_error_t *error)
{
    return json_loadb(json.p ? json.p : "", json.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, error);
}

static struct kept *place_of(struct host *host, struct text json)
{
    size_t place = json.len, step = json.len / KEPT_SAMPLES + 1;

    for (size_t i = 0; i < json.len; i += step)
        place = place * 31 + (unsigned char)json.p[i];
    return &host->kept[place % KEPT];
}

/* A reference to the tree of a text that is likely to come again. */
static json_t *load_or_find(struct host *host, struct text json, json_error_t *error)
{
    if (json.len > KEPT_TEXT_MAX)
        return load(json, error);
    struct kept *kept = place_of(host, json);

    if (!kept->tree || kept->len != json.len || memcmp(kept->text, json.p, json.len) != 0) {
        json_t *tree = load(json, error);

        if (!tree)
            return NULL;
        forget(kept);
        *kept = (struct kept){.text = mem_alloc(json.len + 1), .len = json.len, .tree = tree};
        memcpy(kept->text, json.p, json.len);
    }
    return json_incref(kept->tree);
}

/* *ret_tree holds the strings; the caller drops it after the plugin's result has been read. */
static const overread_value *parse(struct host *host, struct text json, bool again, json_t **ret_tree,
                                   const char **ret_why)
{
    json_error_t error;
    overread_value *value = host_alloc(host, sizeof(*value));

    *ret_tree = again ? load_or_find(host, json, &error) : load(json, &error);
    if (!*ret_tree) {
        snprintf(host->why, sizeof(host->why), "%s", error.text);
        *ret_why = host->why;
        return NULL;
    }
    if (!value) {
        *ret_why = out_of_memory;
        return NULL;
    }
    return convert(host, *ret_tree, 0, value, ret_why) ? value : NULL;
}

const overread_value *host_parse(struct host *host, struct text json, const char **ret_why)
{
    json_decref(host->parsed);
    host_reset(host);
    return parse(host, json, false, &host->parsed, ret_why);
}

/* --- Plugin
 * ----------------------------------------------------------------------------------------------------- */

static const char *say(struct host *host, const char *format, unsigned a, unsigned b)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(host->why, sizeof(host->why), format, a, b);
#pragma GCC diagnostic pop
    return host->why;
}

const char *host_objection(struct host *host, const overread_plugin *plugin)
{
    const struct host_rules *rules = host->rules;

    if (!plugin)
        return OVERREAD_PLUGIN_ENTRY " returned NULL";
    if (plugin->magic != OVERREAD_ABI_MAGIC)
        return "the plugin's magic number is wrong";
    if (plugin->abi_major != OVERREAD_ABI_MAJOR || plugin->abi_minor > OVERREAD_ABI_MINOR)
        return say(host, "abi %u.%u is not supported", plugin->abi_major, plugin->abi_minor);
    if (plugin->size < sizeof(*plugin))
        return say(host, "the plugin's size is %u, abi 1.0 has %u", plugin->size, (unsigned)sizeof(*plugin));
    if (!plugin->id || strcmp(plugin->id, rules->id) != 0)
        return "the plugin's id is not the manifest's";
    if (!plugin->version || strcmp(plugin->version, rules->version) != 0)
        return "the plugin's version is not the manifest's";
    if (plugin->rules_revision != rules->rules_revision)
        return "the plugin's rules revision is not the manifest's";
    if (!plugin->check_truth || !plugin->check_answer || !plugin->grade)
        return "the plugin lacks a function";
    return NULL;
}

void host_result_init(struct host_result *result)
{
    *result = (struct host_result){.status = HOST_BUG};
    buffer_init(&result->text, HOST_TEXT_MAX);
}

void host_result_finish(struct host_result *result)
{
    buffer_finish(&result->text);
}

static void conclude(struct host_result *result, enum host_status status, const char *text)
{
    result->status = status;
    buffer_clear(&result->text);
    if (text)
        buffer_puts(&result->text, text);
}

static void take_problem(const overread_problem *problem, struct host_result *result)
{
    const char *pointer = problem->pointer ? problem->pointer : "";

    if (!problem->text || !problem->text[0] || !host_utf8(problem->text))
        conclude(result, HOST_BUG, "a refusal without words");
    else if (!host_pointer_syntax(pointer) || strlen(pointer) >= sizeof(result->pointer))
        conclude(result, HOST_BUG, "a refusal whose pointer is not a JSON pointer");
    else {
        conclude(result, HOST_REFUSED, problem->text);
        memcpy(result->pointer, pointer, strlen(pointer) + 1);
    }
}

static void take_grade(struct host *host, const overread_input *input, const overread_grade *grade,
                       struct host_result *result)
{
    buffer_clear(&result->text);
    const char *bug = host_write_grade(&result->text, host->rules, input, grade);

    if (bug) {
        conclude(result, HOST_BUG, bug);
        return;
    }
    result->status = HOST_OK;
    result->correct = grade->correct == 1;
    result->points_milli = grade->points_milli;
    result->max_points_milli = grade->max_points_milli;
}

static void call(struct host *host, const overread_plugin *plugin, enum host_op op,
                 const overread_input *input, struct host_result *result)
{
    overread_grade grade = {.size = sizeof(grade)};
    overread_problem problem = {.size = sizeof(problem)};
    enum overread_status status;

    host->face = (overread_host){.size = sizeof(host->face),
                                 .abi_major = OVERREAD_ABI_MAJOR,
                                 .abi_minor = OVERREAD_ABI_MINOR,
                                 .context = host,
                                 .alloc = host_alloc,
                                 .log = host_log};
    if (op == HOST_GRADE)
        status = plugin->grade(&host->face, input, &grade);
    else if (op == HOST_CHECK_TRUTH)
        status = plugin->check_truth(&host->face, input, &problem);
    else
        status = plugin->check_answer(&host->face, input, &problem);
    fesetenv(FE_DFL_ENV);

    if (status == OVERREAD_OK && op == HOST_GRADE)
        take_grade(host, input, &grade, result);
    else if (status == OVERREAD_OK)
        conclude(result, HOST_OK, NULL);
    else if (status == OVERREAD_REFUSED && op != HOST_GRADE)
        take_problem(&problem, result);
    else if (status == OVERREAD_NO_MEMORY)
        conclude(result, HOST_NO_MEMORY, "the plugin ran out of its memory");
    else if (status == OVERREAD_BUG)
        conclude(result, HOST_BUG, "the plugin reported a bug of its own");
    else
        conclude(result, HOST_BUG, "the plugin returned a status that it may not return");
}

/* Part of the input, or NULL when this call has none. again: it is likely to come again. False when it cannot be read. */
static bool take_part(struct host *host, const char *name, bool wanted, bool again, struct text json, json_t **ret_tree,
                      const overread_value **ret, struct host_result *result)
{
    const char *why = NULL;

    *ret_tree = NULL;
    *ret = NULL;
    if (!wanted)
        return true;
    *ret = parse(host, json, again, ret_tree, &why);
    if (*ret)
        return true;
    if (why == out_of_memory) {
        conclude(result, HOST_NO_MEMORY, why);
        return false;
    }
    conclude(result, HOST_BAD_INPUT, NULL);
    buffer_printf(&result->text, "%s: %s", name, why);
    return false;
}

void host_run(struct host *host, const overread_plugin *plugin, enum host_op op,
              const struct host_input *input, struct host_result *result)
{
    overread_input parsed = {.size = sizeof(parsed)};
    json_t *config = NULL, *truth = NULL, *answer = NULL;

    fesetenv(FE_DFL_ENV); /* parsing numbers depends on the rounding mode */
    host_reset(host);
    result->correct = false;
    result->points_milli = result->max_points_milli = 0;
    result->pointer[0] = '\0';
    if (take_part(host, "config", true, true, input->config, &config, &parsed.config, result) &&
        take_part(host, "truth", op != HOST_CHECK_ANSWER, true, input->truth, &truth, &parsed.truth, result) &&
        take_part(host, "answer", op != HOST_CHECK_TRUTH, false, input->answer, &answer, &parsed.answer, result)) {
        if (parsed.config->type == OVERREAD_OBJECT)
            call(host, plugin, op, &parsed, result);
        else
            conclude(result, HOST_BAD_INPUT, "config: it is not an object");
    }
    json_decref(config);
    json_decref(truth);
    json_decref(answer);
}
