#include "cli/kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "grading/author_folder.h"

struct trial {
    struct arena *arena;
    const struct grading_plugin *plugin;
    struct grading_input input;
    struct grading_grade grade;
    struct error err;
    int result;
    bool done;
};

static const struct text none = {"", 0};

static void fiber_fn run(void *arg)
{
    struct trial *t = arg;
    struct grading_input truth = {.config = t->input.config, .truth = t->input.truth, .answer = none};
    struct grading_input answer = {.config = t->input.config, .truth = none, .answer = t->input.answer};
    t->result = grading_check(t->plugin, &truth, "truth", &t->err);
    if (t->result == 0)
        t->result = grading_check(t->plugin, &answer, "answer", &t->err);
    if (t->result == 0)
        t->result = grading_grade(t->arena, t->plugin, &t->input, &t->grade, &t->err);
    t->done = true;
}

/* One worker, as a server has them: without files and network, within the manifest's limits. */
static void run_isolated(struct trial *t)
{
    setenv("OVERREAD_GRADER_EXPLAIN", "1", 1);
    struct loop *loop = loop_create();
    struct grading *grading = grading_create(loop, 1);
    fiber_spawn(run, t);
    while (!t->done)
        loop_turn(loop, -1);
    grading_destroy(grading);
    loop_destroy(loop);
}

static int read_part(struct trial *t, const char *name, const char *path, enum grading_schema which,
                     struct text *ret)
{
    json_t *json;
    json_error_t where;
    *ret = TEXT("{}");
    json = path ? json_load_file(path, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where) : json_object();
    if (!json && where.line < 0)
        return error_set(&t->err, ERROR_NOT_FOUND, "no_such_file", name, "%s", where.text);
    if (!json)
        return error_set(&t->err, ERROR_INVALID, "malformed_json", name, "%s: line %d, column %d: %s", path,
                         where.line, where.column, where.text);
    int rc = grading_validate(t->plugin, which, json, name, &t->err);
    if (rc == 0)
        *ret = json_render(t->arena, json);
    json_decref(json);
    return rc;
}

static const char *verdict_words(const char *verdict)
{
    static const char *const table[][2] = {{"hit", "RIGHT"},
                                           {"miss", "MISSED"},
                                           {"false_positive", "FALSE POSITIVE"},
                                           {"partial", "PARTLY RIGHT"},
                                           {"note", "NOTE"}};
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
        if (strcmp(table[i][0], verdict) == 0)
            return table[i][1];
    return verdict;
}

static const char *string(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static double number(const json_t *object, const char *name)
{
    return json_number_value(json_object_get(object, name));
}

static void print_finding(const json_t *finding)
{
    const char *answer = string(finding, "answer_pointer"), *truth = string(finding, "truth_pointer"),
               *again = string(finding, "look_again"), *rule = string(finding, "rule");
    printf("\n%s  %s  %.3f of %.3f", verdict_words(string(finding, "verdict")), string(finding, "code"),
           number(finding, "points"), number(finding, "max_points"));
    if (answer)
        printf("  answer %s", answer[0] ? answer : "(whole)");
    if (truth)
        printf("  truth %s", truth[0] ? truth : "(whole)");
    printf("\n    %s\n", string(finding, "text"));
    if (rule)
        printf("    Rule: %s\n", rule);
    if (again)
        printf("    Look again: %s\n", again);
}

void kit_print_grade(const json_t *grade)
{
    size_t i;
    json_t *finding;
    const json_t *metrics = json_object_get(grade, "metrics");
    printf("%.3f of %.3f points; the read counts as %s.\n", number(grade, "points"),
           number(grade, "max_points"),
           json_is_true(json_object_get(grade, "correct")) ? "correct" : "wrong");
    json_array_foreach(json_object_get(grade, "findings"), i, finding) print_finding(finding);
    if (json_object_size(metrics))
        puts("\nMetrics");
    for (void *m = json_object_iter((json_t *)(uintptr_t)metrics); m;
         m = json_object_iter_next((json_t *)(uintptr_t)metrics, m)) {
        const char *name = json_object_iter_key(m);
        if (json_is_null(json_object_iter_value(m)))
            printf("    %s: undefined, %s\n", name, string(json_object_get(grade, "undefined"), name));
        else
            printf("    %s: %.6f\n", name, json_number_value(json_object_iter_value(m)));
    }
}

static void print(const struct trial *t, bool as_json)
{
    json_t *grade = json_loadb(t->grade.json.p, t->grade.json.len, 0, NULL);
    if (as_json) {
        json_dumpf(grade, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
        putchar('\n');
    } else {
        printf("%s, version %s, rules revision %d\n", t->plugin->title, t->plugin->version,
               t->plugin->rules_revision);
        kit_print_grade(grade);
    }
    json_decref(grade);
}

/* A worker's end is told to the operator's log; whoever tries a plugin wants the way on as well. */
static int fail(const struct trial *t, const char *file)
{
    int status = cli_fail(&t->err);
    if (t->err.kind == ERROR_UNAVAILABLE)
        fprintf(stderr,
                "No worker gave a grade; the lines above say why. `overread plugin check %s` says more.\n",
                file);
    return status;
}

int kit_try(struct cli *cli, int argc, char **argv)
{
    const char *truth = NULL, *answer = NULL, *config = NULL;
    bool as_json = false;
    const struct cli_option options[] = {{.name = "truth", .value = &truth, .required = true},
                                         {.name = "answer", .value = &answer, .required = true},
                                         {.name = "config", .value = &config},
                                         {.name = "json", .flag = &as_json},
                                         {0}};
    struct trial t = {.arena = cli->arena};
    const char *file = kit_options(argc, argv, options);
    if (!file)
        return 2;
    if (author_folder_register(cli->arena, file, cli->config->grader, &t.plugin, &t.err) < 0 ||
        read_part(&t, "config", config, GRADING_CONFIG, &t.input.config) < 0 ||
        read_part(&t, "truth", truth, GRADING_TRUTH, &t.input.truth) < 0 ||
        read_part(&t, "answer", answer, GRADING_ANSWER, &t.input.answer) < 0) {
        grading_registry_unload();
        return cli_fail(&t.err);
    }
    run_isolated(&t);
    if (t.result == 0)
        print(&t, as_json);
    grading_registry_unload();
    return t.result < 0 ? fail(&t, file) : 0;
}
