#include "grading/conformance.h"
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/mem.h"
#include "grading/author_folder.h"

const char *const conformance_part_names[PARTS] = {"config", "truth", "answer"};

const struct conformance_check conformance_checks[] = {
    {"manifest", conformance_manifest, false, false},
    {"ui", conformance_ui, false, false},
    {"exports", conformance_exports, false, false},
    {"imports", conformance_imports, false, false},
    {"head", conformance_head, false, false},
    {"abi", conformance_abi, false, false},
    {"cases", conformance_cases, false, false},
    {"golden", conformance_golden, true, false},
    {"statistics", conformance_statistics, true, false},
    {"repeats", conformance_repeats, true, true},
    {"processes", conformance_processes, true, false},
    {"time_zone", conformance_time_zone, true, false},
    {"locale", conformance_locale, true, false},
    {"keys", conformance_keys, true, true},
    {"rounding", conformance_rounding, true, false},
    {"truncations", conformance_truncations, true, true},
    {"mutations", conformance_mutations, true, true},
    {"allocations", conformance_allocations, true, false},
    {"threads", conformance_threads, true, false},
    {"worker", conformance_worker, true, false},
    {"limits", conformance_limits, true, false},
    {"truth_as_answer", conformance_truth_as_answer, true, false},
    {"empty_answer", conformance_empty_answer, true, false},
    {0},
};

/* --- What a check says
 * ------------------------------------------------------------------------------------------ */

static void say(struct conformance *c, enum conformance_outcome outcome, const char *format, va_list args)
{
    if (c->page->outcome == CONFORMANCE_FAILED)
        return;
    vsnprintf(c->page->words, sizeof(c->page->words), format, args);
    c->page->outcome = outcome;
}

void conformance_fail(struct conformance *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(c, CONFORMANCE_FAILED, format, args);
    va_end(args);
}

void conformance_skip(struct conformance *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(c, CONFORMANCE_SKIPPED, format, args);
    va_end(args);
}

bool conformance_failed(const struct conformance *c)
{
    return c->page->outcome == CONFORMANCE_FAILED;
}

void conformance_at(struct conformance *c, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(c->page->at, sizeof(c->page->at), format, args);
    va_end(args);
}

void conformance_input(struct conformance *c, const struct text part[PARTS])
{
    for (int p = 0; p < PARTS; p++) {
        c->page->len[p] = part[p].len <= CONFORMANCE_INPUT_MAX ? part[p].len : 0;
        if (c->page->len[p] > 0)
            memcpy(c->page->input[p], part[p].p, c->page->len[p]);
    }
    c->page->has_input = true;
}

/* --- Calling the plugin
 * ----------------------------------------------------------------------------------------- */

bool conformance_load(struct conformance *c)
{
    if (c->manifest_error.kind != ERROR_NONE) {
        conformance_skip(c, "the manifest comes first");
        return false;
    }
    conformance_at(c, "loading the library");
    void *library = dlopen(c->library, RTLD_NOW | RTLD_LOCAL);

    if (!library) {
        conformance_fail(c, "it cannot be loaded: %s", dlerror());
        return false;
    }
    overread_plugin_entry_fn entry = NULL;

    *(void **)&entry = dlsym(library, OVERREAD_PLUGIN_ENTRY); /* POSIX's own way of writing it */
    if (!entry) {
        conformance_fail(c, "it does not export " OVERREAD_PLUGIN_ENTRY);
        return false;
    }
    c->plugin = entry();
    c->host = host_create(&c->rules);
    const char *objection = c->host ? host_objection(c->host, c->plugin) : "its memory cannot be reserved";

    if (objection)
        conformance_fail(c, "%s", objection);
    return !objection;
}

void conformance_call(struct conformance *c, const overread_plugin *plugin, enum host_op op,
                      const struct text part[PARTS], struct host_result *result)
{
    struct host_input input = {.config = part[CONFIG], .truth = part[TRUTH], .answer = part[ANSWER]};

    host_run(c->host, plugin, op, &input, result);
}

bool conformance_same(const struct host_result *a, const struct host_result *b)
{
    return a->status == b->status && a->text.len == b->text.len && strcmp(a->pointer, b->pointer) == 0 &&
           (a->text.len == 0 || memcmp(a->text.p, b->text.p, a->text.len) == 0);
}

const char *conformance_words(const struct host_result *result)
{
    return result->text.len > 0 ? result->text.p : "";
}

struct host_result *conformance_grade_all(struct conformance *c, const overread_plugin *plugin)
{
    struct host_result *results = arena_array(c->arena, c->case_count, sizeof(*results));

    for (size_t i = 0; i < c->case_count; i++) {
        host_result_init(&results[i]);
        conformance_at(c, "grading %s", c->cases[i].name);
        conformance_input(c, c->cases[i].text);
        conformance_call(c, plugin, HOST_GRADE, c->cases[i].text, &results[i]);
        if (results[i].status != HOST_OK) {
            conformance_fail(c, "%s has no grade: %s", c->cases[i].name, conformance_words(&results[i]));
            return NULL;
        }
    }
    c->page->has_input = false;
    return results;
}

bool conformance_valid(const struct conformance *c, int part, const json_t *json, struct error *err)
{
    static const enum grading_schema schemas[PARTS] = {GRADING_CONFIG, GRADING_TRUTH, GRADING_ANSWER};

    return schema_validate(c->manifest.schemas[schemas[part]], json, conformance_part_names[part], err) == 0;
}

static int append(const char *bytes, size_t len, void *arg)
{
    buffer_add(arg, bytes, len);
    return 0;
}

struct text conformance_text(struct buffer *out, const json_t *json)
{
    buffer_clear(out);
    json_dump_callback(json, append, out, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    return (struct text){.p = out->p, .len = out->len};
}

/* --- Opening
 * ---------------------------------------------------------------------------------------------------- */

static void decref(void *arg)
{
    json_decref(arg);
}

/* NULL when there is no such file; with an error when it is no JSON. */
static json_t *read_json(struct conformance *c, const char *path, struct error *err)
{
    json_error_t where;
    json_t *json = access(path, F_OK) == 0 ? json_load_file(path, JSON_REJECT_DUPLICATES, &where) : NULL;

    if (json)
        arena_defer(c->arena, decref, json);
    else if (access(path, F_OK) == 0)
        error_set(err, ERROR_INVALID, "malformed_json", NULL, "%s, line %d: %s", path, where.line,
                  where.text);
    return json;
}

static void read_case(struct conformance *c, const char *name)
{
    struct conformance_case *one = &c->cases[c->case_count];
    struct error *err = &c->cases_error;
    const char *folder = arena_printf(c->arena, "%s/%s", c->cases_dir, name);

    one->name = name;
    for (int p = 0; p < PARTS; p++) {
        struct buffer text;

        one->json[p] =
            read_json(c, arena_printf(c->arena, "%s/%s.json", folder, conformance_part_names[p]), err);
        if (!one->json[p] && p == CONFIG && err->kind == ERROR_NONE) {
            one->json[p] = json_object();
            arena_defer(c->arena, decref, one->json[p]);
        }
        if (!one->json[p]) {
            if (err->kind == ERROR_NONE)
                error_set(err, ERROR_INVALID, "no_such_file", NULL, "%s/%s.json is missing", folder,
                          conformance_part_names[p]);
            return;
        }
        buffer_init(&text, MANIFEST_MAX);
        conformance_text(&text, one->json[p]);
        one->text[p] = (struct text){.p = arena_copy(c->arena, text.p, text.len), .len = text.len};
        buffer_finish(&text);
    }
    one->expected = read_json(c, arena_printf(c->arena, "%s/expected.json", folder), err);
    one->truth_as_answer = read_json(c, arena_printf(c->arena, "%s/truth_as_answer.json", folder), err);
    if (err->kind == ERROR_NONE)
        c->case_count++;
}

static int no_dot_file(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN);
}

/* DIR, or `golden` beside the library or beside its build folder. */
static void read_cases(struct conformance *c, const char *dir)
{
    struct dirent **entries = NULL;
    const char *slash = strrchr(c->library, '/');
    const char *folder = arena_printf(c->arena, "%.*s", (int)(slash - c->library), c->library);

    c->cases_dir = dir ? dir : arena_printf(c->arena, "%s/golden", folder);
    if (!dir && access(c->cases_dir, F_OK) < 0)
        c->cases_dir = arena_printf(c->arena, "%s/../golden", folder);
    int count = scandir(c->cases_dir, &entries, no_dot_file, alphasort);

    if (count <= 0)
        error_set(
            &c->cases_error, ERROR_NOT_FOUND, "no_cases", NULL,
            "%s holds no golden case: --cases DIR names a folder of CASE/{config,truth,answer,expected}.json",
            c->cases_dir);
    c->cases = arena_array(c->arena, (size_t)(count > 0 ? count : 0) + 1, sizeof(*c->cases));
    for (int i = 0; i < count; i++) {
        if (c->cases_error.kind == ERROR_NONE)
            read_case(c, arena_strdup(c->arena, entries[i]->d_name));
        mem_free(entries[i]);
    }
    mem_free(entries);
    if (c->cases_error.kind != ERROR_NONE)
        c->case_count = 0;
}

static void read_manifest(struct conformance *c)
{
    struct buffer bytes;
    char block[65536];
    size_t got;
    FILE *file = fopen(c->manifest_path, "re");

    buffer_init(&bytes, MANIFEST_MAX);
    while (file && (got = fread(block, 1, sizeof(block), file)) > 0)
        buffer_add(&bytes, block, got);
    if (file)
        fclose(file);
    if (!file || bytes.failed)
        error_set(&c->manifest_error, ERROR_INVALID, "bad_manifest", NULL,
                  "it cannot be read, or is too large");
    else
        manifest_parse(c->arena, (struct text){.p = bytes.p, .len = bytes.len}, &c->manifest,
                       &c->manifest_error);
    buffer_finish(&bytes);
    c->rules = (struct host_rules){.id = c->manifest.id,
                                   .version = c->manifest.version,
                                   .rules_revision = (uint32_t)c->manifest.rules_revision,
                                   .memory_bytes = (uint64_t)c->manifest.memory_mb << 20,
                                   .codes = c->manifest.codes,
                                   .code_count = c->manifest.code_count};
}

int conformance_open(struct conformance *c, struct arena *arena, const char *file, const char *cases_dir,
                     struct error *err)
{
    char self[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

    c->arena = arena;
    if (author_folder_paths(arena, file, &c->library, &c->manifest_path, err) < 0)
        return -1;
    self[len > 0 ? len : 0] = '\0';
    c->self = arena_strdup(arena, self);
    c->page = mmap(NULL, sizeof(*c->page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (c->page == MAP_FAILED)
        return error_set(err, ERROR_INTERNAL, "no_memory", NULL, "A shared page cannot be mapped.");
    read_manifest(c);
    read_cases(c, cases_dir);
    return 0;
}

/* --- Running
 * ---------------------------------------------------------------------------------------------------- */

static void run_here(struct conformance *c, const struct conformance_check *check)
{
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

    dup2(nowhere, STDOUT_FILENO); /* what a plugin prints is not this program's word */
    alarm(CONFORMANCE_SECONDS);
    check->run(c);
    if (c->page->outcome == CONFORMANCE_DIED)
        c->page->outcome = CONFORMANCE_PASSED;
    _exit(0);
}

static void say_how_it_ended(struct conformance *c, int status)
{
    const char *at = c->page->at[0] ? c->page->at : "starting";
    int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

    if (number == SIGALRM)
        conformance_fail(c, "no end after %d s while %s", CONFORMANCE_SECONDS, at);
    else if (number)
        conformance_fail(c, "SIG%s (%s) while %s", sigabbrev_np(number), sigdescr_np(number), at);
    else
        conformance_fail(c, "the process ended with status %d while %s", WEXITSTATUS(status), at);
}

enum conformance_outcome conformance_run_check(struct conformance *c, const struct conformance_check *check)
{
    int status = 0;

    c->page->outcome = CONFORMANCE_DIED;
    c->page->words[0] = c->page->at[0] = '\0';
    c->page->has_input = false;
    if (check->needs_cases && c->case_count == 0) {
        conformance_skip(c, "there are no golden cases");
        return c->page->outcome;
    }
    pid_t pid = fork();

    if (pid == 0)
        run_here(c, check);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (pid < 0)
        conformance_fail(c, "no process could be started: %s", strerrordesc_np(errno));
    else if (c->page->outcome == CONFORMANCE_DIED || status != 0) {
        if (c->page->outcome != CONFORMANCE_FAILED)
            c->page->outcome = CONFORMANCE_DIED;
        say_how_it_ended(c, status);
    }
    return c->page->outcome;
}
