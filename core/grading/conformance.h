/* The conformance run of a grading plugin: `overread plugin check`, a program of its own
 * (overread-plugin-check) since it loads the plugin without a sandbox: authors run it on what they wrote.
 *
 * Each check runs in a process forked for it, so that a plugin that crashes fails one check and no other.
 * What it found, and where it was, goes through a page that both processes map. */
#ifndef OVERREAD_GRADING_CONFORMANCE_H
#define OVERREAD_GRADING_CONFORMANCE_H

#include <jansson.h>
#include "base/arena.h"
#include "base/error.h"
#include "grading/grading.h"
#include "grading/host.h"
#include "grading/manifest.h"

enum { CONFIG, TRUTH, ANSWER, PARTS };
extern const char *const conformance_part_names[PARTS];

#define CONFORMANCE_SECONDS 300 /* a check that takes longer hangs */
#define CONFORMANCE_INPUT_MAX (1u << 20)

/* One folder of worked cases: config.json (else {}), truth.json, answer.json, expected.json, and optionally
 * truth_as_answer.json. */
struct conformance_case {
    const char *name;
    json_t *json[PARTS], *expected, *truth_as_answer;
    struct text text[PARTS];
};

enum conformance_outcome { CONFORMANCE_DIED, CONFORMANCE_PASSED, CONFORMANCE_FAILED, CONFORMANCE_SKIPPED };

struct conformance_page {
    enum conformance_outcome outcome;
    char words[1200], at[300];
    bool has_input;
    size_t len[PARTS];
    char input[PARTS][CONFORMANCE_INPUT_MAX];
};

struct conformance {
    struct arena *arena;
    const char *library, *manifest_path, *grader, *self, *cases_dir;
    uint64_t seed;
    struct manifest manifest;
    struct error manifest_error, cases_error; /* kind ERROR_NONE: good */
    struct host_rules rules;
    struct conformance_case *cases;
    size_t case_count;
    struct conformance_page *page;
    /* Of the process that runs a check: */
    const overread_plugin *plugin;
    struct host *host;
};

struct conformance_check {
    const char *name;
    void (*run)(struct conformance *c);
    bool needs_cases, seeded;
};
extern const struct conformance_check conformance_checks[];

/* Reads manifest and cases; what is wrong with them is kept for the checks that say so. 0, or -1 when there
 * is nothing to check at all. */
int conformance_open(struct conformance *c, struct arena *arena, const char *file, const char *cases_dir,
                     struct error *err);
/* Runs one check in a process of its own; the page holds what came of it. */
enum conformance_outcome conformance_run_check(struct conformance *c, const struct conformance_check *check);

/* --- For checks. The first failure is kept. */
void conformance_fail(struct conformance *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void conformance_skip(struct conformance *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool conformance_failed(const struct conformance *c);
/* What is being done, for the case that the plugin does not come back. */
void conformance_at(struct conformance *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Remembers an input, which is saved when the check fails. */
void conformance_input(struct conformance *c, const struct text part[PARTS]);

/* Loads the library into this process. False when it is not fit to be called, which fails the check. */
bool conformance_load(struct conformance *c);
void conformance_call(struct conformance *c, const overread_plugin *plugin, enum host_op op,
                      const struct text part[PARTS], struct host_result *result);
bool conformance_same(const struct host_result *a, const struct host_result *b);
const char *conformance_words(const struct host_result *result);
/* Grades every case once: case_count results, in the arena. NULL when one has no grade, which fails the
 * check. */
struct host_result *conformance_grade_all(struct conformance *c, const overread_plugin *plugin);
bool conformance_valid(const struct conformance *c, int part, const json_t *json, struct error *err);
/* Compact, in the members' own order. *out is overwritten. */
struct text conformance_text(struct buffer *out, const json_t *json);

/* Whether the library was built with sanitizers, whose runtime a worker without them cannot give it. */
bool conformance_sanitized(struct conformance *c);

/* --- The checks */
void conformance_exports(struct conformance *c);
void conformance_imports(struct conformance *c);
void conformance_manifest(struct conformance *c);
void conformance_ui(struct conformance *c);
void conformance_statistics(struct conformance *c);
void conformance_head(struct conformance *c);
void conformance_abi(struct conformance *c);
void conformance_cases(struct conformance *c);
void conformance_golden(struct conformance *c);
void conformance_repeats(struct conformance *c);
void conformance_processes(struct conformance *c);
void conformance_time_zone(struct conformance *c);
void conformance_locale(struct conformance *c);
void conformance_keys(struct conformance *c);
void conformance_rounding(struct conformance *c);
void conformance_truncations(struct conformance *c);
void conformance_mutations(struct conformance *c);
void conformance_allocations(struct conformance *c);
void conformance_threads(struct conformance *c);
void conformance_worker(struct conformance *c);
void conformance_limits(struct conformance *c);
void conformance_truth_as_answer(struct conformance *c);
void conformance_empty_answer(struct conformance *c);

/* Prints the grade of every case, for checks that compare processes; `reverse`: last case first. Does not
 * return. */
void conformance_print_grades(struct conformance *c, bool reverse) __attribute__((noreturn));

#endif
