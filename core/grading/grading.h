/* Grading: (config, truth, answer) -> grade, by a plugin in a worker process. Knows no HTTP, no SQL.
 * The server reads manifests only; a worker (overread-grader: fork and exec, limits, seccomp) loads the
 * library. */
#ifndef OVERREAD_GRADING_H
#define OVERREAD_GRADING_H

#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/fiber.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/text.h"

/* --- Registry: process-wide
 * ------------------------------------------------------------------------------------------------------- */
struct grading_plugin {
    const char *id;      /* "prostate_mri" */
    const char *version; /* "1.0.0" */
    const char *title;   /* "Prostate MRI (PI-RADS v2.1)" */
    int rules_revision;
    char sha256[SHA256_HEX_SIZE];    /* of the shared library that workers load */
    char signed_by[SHA256_HEX_SIZE]; /* fingerprint of the trusted key that did; "": no signature was asked for */
    struct text manifest;            /* the manifest as JSON, schemas included, for the API */
    struct text statistics;          /* its member reader_statistics as JSON; empty without one */
    const char *broken; /* NULL, or why it cannot grade: "abi 2.0 is not supported", "no manifest", ... */
};

struct grading_source {
    const char *dir;         /* of <id>/{manifest.json,<id>.so,<id>.sig} */
    const char *grader;      /* path of overread-grader */
    const char *plugin_keys; /* PEM file of the trusted keys: what none of them has signed is broken. NULL or "": none */
    bool allow_unsigned;     /* when there are no keys, which is otherwise refused */
    bool probe;              /* what no worker can load is broken at once, not at its first grade; see reload */
};

/* Reads every plugin. A broken one is registered as such, and never stops the others or the server. 0, or -1 when the
 * directory or the keys cannot be read, or unsigned plugins were not allowed. The first load comes before any loop. */
int grading_registry_load(const struct grading_source *source, struct error *err);
/* Reads directory and keys again. What is unchanged stays as it is, workers and all. A new version takes the old one's
 * place once a worker has loaded it: requests that hold the old one end with it, and its workers go with the last of
 * them. A new version that is broken leaves the old one serving, unless the key of that one is trusted no longer; the
 * log says so ("plugin_kept"). Blocks on files and on a worker's start: any thread, but none of an event loop. -1:
 * nothing has changed. */
int grading_registry_reload(struct error *err);
void grading_registry_unload(void);

/* A plugin that was looked up, and the list, stay what they are until the arena goes, whatever is loaded meanwhile: a
 * fiber may wait with them in its hand. Whoever looks up again may find another version. Any thread. */
const struct grading_plugin *grading_plugin(struct arena *arena, const char *id); /* NULL when unknown */
int grading_plugins(struct arena *arena, const struct grading_plugin *const **ret); /* count */
bool grading_plugin_known(const char *id); /* broken or not */

/* Validates against the manifest's JSON Schema (answer, truth or config). 0, or -1 with ERROR_UNPROCESSABLE,
 * code "schema", field = prefix + JSON pointer of the first offence, detail in words. Pure; any thread. */
enum grading_schema { GRADING_ANSWER, GRADING_TRUTH, GRADING_CONFIG };
int grading_validate(const struct grading_plugin *plugin, enum grading_schema which, const json_t *instance,
                     const char *prefix, struct error *err);

/* --- Workers: per event loop
 * ------------------------------------------------------------------------------------ */
struct grading;
struct grading *grading_create(struct loop *loop, int workers_per_plugin); /* becomes grading_here() */
struct grading *grading_destroy(struct grading *grading);
struct grading *grading_here(void);

struct grading_input { /* JSON texts, already schema-valid */
    struct text config, truth, answer;
    bool (*gone)(void *arg); /* asked before a worker is burdened with what had to wait; NULL: never gone */
    void *gone_arg;
};

/* Plugin's own checks that a schema cannot say. Truth and config at authoring (answer empty), or config and
 * answer at submission (truth empty: it need not be known to say that a position lies outside the image). -1
 * with ERROR_UNPROCESSABLE and field for an offence; ERROR_UNAVAILABLE when no worker could say;
 * ERROR_CANCELLED when the client had gone before one was asked. */
int fiber_fn grading_check(const struct grading_plugin *plugin, const struct grading_input *input,
                           const char *prefix, struct error *err);

struct grading_grade {
    struct text json; /* {"points","max_points","correct","findings":[...],"metrics":{...}} */
    int64_t points_milli, max_points_milli;
    bool correct;
    char input_sha256[SHA256_HEX_SIZE]; /* over the SHA-256 of config, of truth, of answer, as 3 x 32 bytes */
    const struct grading_plugin *plugin;
};
/* *ret belongs to arena, but for its plugin, which is the caller's. ERROR_UNAVAILABLE when the worker died, hung or is
 * missing also at the second try, or replied what is no grade: the answer is kept and graded later; it is never a
 * score of 0. */
int fiber_fn grading_grade(struct arena *arena, const struct grading_plugin *plugin,
                           const struct grading_input *input, struct grading_grade *ret, struct error *err);

/* NULL, or what this system lacks of the workers' confinement, in words for an operator. */
const char *grading_weakness(void);

struct grading_counters {
    uint64_t grades, retries, failures, workers_started, workers_lost;
};
struct grading_counters grading_counters(const struct grading *grading);

/* Blocking, for the command line (import checks truth against config; `overread plugin check`): runs a
 * private loop. */
int grading_check_blocking(const struct grading_plugin *plugin, const struct grading_input *input,
                           const char *prefix, struct error *err);

/* Many grades in a row, for the command line: keeps the workers of a private loop full. One batch object at a time,
 * and no other grading on the thread. */
struct grading_batch;
struct grading_batch *grading_batch_open(const struct grading_plugin *plugin, int workers);
struct grading_batch *grading_batch_close(struct grading_batch *batch);
/* Fills ret[0..count), which belongs to arena. Unlike for a client, a grader that is merely busy is waited for. -1, as
 * grading_grade: one input could not be graded, *ret_failed says which; the others may not have been tried. */
int grading_batch_run(struct grading_batch *batch, struct arena *arena, const struct grading_input *inputs, size_t count,
                      struct grading_grade *ret, size_t *ret_failed, struct error *err);

#endif
