#include "grading/conformance.h"
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/process.h"
#include "grading/author_folder.h"
#include "grading/conformance_mutate.h"
#include "grading/grader_sandbox.h"

enum { GROWN_ITEMS = 4096 };

/* --- Fresh processes
 * -------------------------------------------------------------------------------------------- */

static void add_line(struct buffer *out, const char *name, const char *grade)
{
    buffer_printf(out, "%s: %s\n", name, grade);
}

void conformance_print_grades(struct conformance *c, bool reverse)
{
    struct buffer out;
    struct host_result *results = arena_array(c->arena, c->case_count, sizeof(*results));

    setlocale(LC_ALL, "");
    tzset();
    buffer_init(&out, 64u << 20);
    if (!conformance_load(c)) {
        fprintf(stderr, "%s\n", c->page->words);
        _exit(1);
    }
    for (size_t n = 0; n < c->case_count; n++) {
        size_t i = reverse ? c->case_count - 1 - n : n;

        host_result_init(&results[i]);
        conformance_call(c, c->plugin, HOST_GRADE, c->cases[i].text, &results[i]);
    }
    for (size_t i = 0; i < c->case_count; i++)
        add_line(&out, c->cases[i].name, conformance_words(&results[i]));
    fwrite(out.p, 1, out.len, stdout);
    fflush(stdout);
    _exit(0);
}

/* Runs the same cases in a fresh process, with `setting` in its environment, and compares. */
static void compare_with_fresh(struct conformance *c, const struct host_result *first, const char *setting,
                               bool reverse)
{
    /* process_run has an environment of its own; a sanitizer's runtime must be lent to the fresh process too.
     */
    const char *preload = getenv("LD_PRELOAD");
    const char *lent = arena_printf(c->arena, "LD_PRELOAD=%s", preload ? preload : "");
    const char *locales = getenv("LOCPATH");
    const char *argv[] = {"env",      setting,
                          lent,       arena_printf(c->arena, "LOCPATH=%s", locales ? locales : ""),
                          c->self,    reverse ? "--grades-reversed" : "--grades",
                          "--cases",  c->cases_dir,
                          c->library, NULL};
    const struct process_limits limits = {.wall_ms = 60000};
    struct buffer expected, got;
    struct error err = {0};

    buffer_init(&expected, 64u << 20);
    buffer_init(&got, 64u << 20);
    for (size_t i = 0; i < c->case_count; i++)
        add_line(&expected, c->cases[i].name, conformance_words(&first[i]));
    conformance_at(c, "grading in a fresh process with %s", setting);
    if (process_run(argv, &limits, &got, &err) < 0)
        conformance_fail(c, "a fresh process with %s failed: %s", setting, err.detail);
    else if (got.len != expected.len || memcmp(got.p, expected.p, got.len) != 0) {
        size_t k = 0, line = 0;

        for (; k < got.len && k < expected.len && got.p[k] == expected.p[k]; k++)
            if (got.p[k] == '\n')
                line = k + 1;
        conformance_fail(c, "other bytes in a fresh process with %s%s: `%.*s...`", setting,
                         reverse ? ", last case first" : "", (int)(k + 40 - line > 300 ? 300 : k + 40 - line),
                         got.len > line ? got.p + line : "");
    }
    buffer_finish(&expected);
    buffer_finish(&got);
}

void conformance_processes(struct conformance *c)
{
    const struct host_result *first = conformance_load(c) ? conformance_grade_all(c, c->plugin) : NULL;

    for (int i = 0; first && i < 3; i++)
        compare_with_fresh(c, first, "LC_ALL=C", i == 2);
}

void conformance_time_zone(struct conformance *c)
{
    static const char *const zones[] = {"TZ=XXX-13:45", "TZ=YYY11:30", "TZ=UTC0"};
    const struct host_result *first = conformance_load(c) ? conformance_grade_all(c, c->plugin) : NULL;

    for (size_t i = 0; first && i < 3; i++)
        compare_with_fresh(c, first, zones[i], false);
}

/* One that writes 1,5: the difference that breaks number formatting. */
static const char *comma_locale(void)
{
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "es_ES.UTF-8", "it_IT.UTF-8",
                                        "pl_PL.UTF-8", "nl_NL.UTF-8", "pt_BR.UTF-8", "ru_RU.UTF-8",
                                        "da_DK.UTF-8", "sv_SE.UTF-8", "de_AT.UTF-8", "de_CH.UTF-8",
                                        "de_DE",       "fr_FR"};
    const char *ret = NULL;

    for (size_t i = 0; i < sizeof(names) / sizeof(*names) && !ret; i++)
        if (setlocale(LC_ALL, names[i]) && strcmp(localeconv()->decimal_point, ",") == 0)
            ret = names[i];
    setlocale(LC_ALL, "C");
    return ret;
}

/* Where this machine has none, one is compiled into a folder of its own, if there is what to compile it from.
 */
static const char *compiled_locale(struct conformance *c, const char **ret_folder)
{
    const char *tmp = getenv("TMPDIR");
    char *folder = arena_printf(c->arena, "%s/overread-locale-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    const struct process_limits limits = {.wall_ms = 60000};

    if (!mkdtemp(folder))
        return NULL;
    *ret_folder = folder;
    const char *argv[] = {"localedef",
                          "--no-archive",
                          "-i",
                          "de_DE",
                          "-f",
                          "UTF-8",
                          arena_printf(c->arena, "%s/de_DE.UTF-8", folder),
                          NULL};

    if (process_run(argv, &limits, NULL, NULL) < 0)
        return NULL;
    setenv("LOCPATH", folder, 1); /* of the process that runs this check, and those it starts */
    return comma_locale();
}

void conformance_locale(struct conformance *c)
{
    const char *folder = NULL, *name = comma_locale();
    const struct process_limits limits = {.wall_ms = 10000};

    if (!name)
        name = compiled_locale(c, &folder);
    const struct host_result *first = conformance_load(c) ? conformance_grade_all(c, c->plugin) : NULL;

    if (first)
        compare_with_fresh(c, first, name ? arena_printf(c->arena, "LC_ALL=%s", name) : "LC_ALL=C.UTF-8",
                           false);
    if (first && !name)
        conformance_skip(c, "this machine has no locale with a decimal comma (Debian: locales)");
    if (folder)
        process_run((const char *const[]){"rm", "-rf", "--", folder, NULL}, &limits, NULL, NULL);
}

/* --- In the worker that a server uses
 * --------------------------------------------------------------------------- */

struct job {
    struct conformance *c;
    const struct grading_plugin *plugin;
    const struct host_result *first; /* NULL: whatever the grade is */
    const struct text *answers;      /* per case */
    bool done;
};

static void fiber_fn grade_cases(void *arg)
{
    struct job *job = arg;
    struct conformance *c = job->c;

    for (size_t i = 0; i < c->case_count && !conformance_failed(c); i++) {
        const struct conformance_case *one = &c->cases[i];
        struct text part[PARTS] = {one->text[CONFIG], one->text[TRUTH], job->answers[i]};
        struct grading_input input = {.config = part[CONFIG], .truth = part[TRUTH], .answer = part[ANSWER]};
        struct grading_grade grade;
        struct error err = {0};

        conformance_input(c, part);
        if (grading_grade(c->arena, job->plugin, &input, &grade, &err) < 0)
            conformance_fail(c, "%s: %s: %s", one->name, err.code,
                             strcmp(err.code, "grader_timeout") == 0
                                 ? "it took longer than manifest.json's wall_ms"
                                 : "the line of the log above says why");
        else if (job->first && (grade.json.len != job->first[i].text.len ||
                                memcmp(grade.json.p, job->first[i].text.p, grade.json.len) != 0))
            conformance_fail(c, "%s: the worker's grade has other bytes: `%.*s`", one->name,
                             (int)(grade.json.len > 400 ? 400 : grade.json.len), grade.json.p);
    }
    job->done = true;
}

static void run_in_worker(struct conformance *c, const struct host_result *first, const struct text *answers)
{
    struct job job = {.c = c, .first = first, .answers = answers};
    struct error err = {0};

    if (!GRADER_SANITIZED && conformance_sanitized(c)) {
        conformance_skip(
            c, "a library with sanitizers cannot be loaded in the sandbox: check the plain build too");
        return;
    }
    unsetenv("LD_PRELOAD"); /* is for this program */
    setenv("OVERREAD_GRADER_EXPLAIN", "1", 1);
    if (author_folder_register(c->arena, c->library, c->grader, &job.plugin, &err) < 0) {
        conformance_fail(c, "%s", err.detail);
        return;
    }
    struct loop *loop = loop_create();
    struct grading *grading = grading_create(loop, 1);

    conformance_at(c, "grading in a worker");
    fiber_spawn(grade_cases, &job);
    while (!job.done)
        loop_turn(loop, -1);
    grading_destroy(grading);
    loop_destroy(loop);
    grading_registry_unload();
}

/* Without files and network, in the manifest's limits: the same bytes as in this process. */
void conformance_worker(struct conformance *c)
{
    const struct host_result *first = conformance_load(c) ? conformance_grade_all(c, c->plugin) : NULL;
    struct text *answers = arena_array(c->arena, c->case_count, sizeof(*answers));

    for (size_t i = 0; i < c->case_count; i++)
        answers[i] = c->cases[i].text[ANSWER];
    if (first)
        run_in_worker(c, first, answers);
}

/* The longest answers that the schema allows must fit into time and memory: a reader may send them. */
void conformance_limits(struct conformance *c)
{
    struct text *answers = arena_array(c->arena, c->case_count, sizeof(*answers));
    struct buffer buffer;

    if (c->manifest_error.kind != ERROR_NONE) {
        conformance_skip(c, "the manifest comes first");
        return;
    }
    buffer_init(&buffer, MANIFEST_MAX);
    for (size_t i = 0; i < c->case_count; i++) {
        json_t *grown = conformance_grown(c, c->cases[i].json[ANSWER], GROWN_ITEMS);
        struct text text = conformance_text(&buffer, grown);
        bool fits = !buffer.failed && text.len < CONFORMANCE_INPUT_MAX;

        answers[i] = fits ? (struct text){.p = arena_copy(c->arena, text.p, text.len), .len = text.len}
                          : c->cases[i].text[ANSWER];
        json_decref(grown);
    }
    buffer_finish(&buffer);
    run_in_worker(c, NULL, answers);
}
