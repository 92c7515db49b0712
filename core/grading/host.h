/* The host's side of the plugin ABI: JSON texts in, a plugin's call, JSON text out. Used by the worker, and
 * by tests and the bench in process. Everything here is deterministic: no clock, no environment, no locale.
 */
#ifndef OVERREAD_GRADING_HOST_H
#define OVERREAD_GRADING_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <overread/plugin.h>
#include "base/text.h"

enum host_op { HOST_GRADE = 1, HOST_CHECK_TRUTH = 2, HOST_CHECK_ANSWER = 3 };

enum host_status {
    HOST_OK = 0,
    HOST_REFUSED = 1,   /* check: pointer and text say where and why */
    HOST_NO_MEMORY = 2, /* the plugin's limit was reached */
    HOST_BUG = 3,       /* the plugin broke the ABI's rules; text says how */
    HOST_BAD_INPUT = 4  /* not JSON, or nested too deeply: the caller's mistake */
};

#define HOST_TEXT_MAX (3u * 1024 * 1024) /* of a grade's JSON */
#define HOST_POINTER_MAX 256
#define HOST_INPUT_DEPTH 64
#define HOST_FINDINGS_MAX 50000u
#define HOST_METRICS_MAX 1000u
#define HOST_LOG_MAX 1024

/* What the manifest promises, which the plugin is held to. Must outlive the host. */
struct host_rules {
    const char *id, *version;
    uint32_t rules_revision;
    uint64_t memory_bytes;
    const char *const *codes; /* of findings, sorted bytewise */
    size_t code_count;
    void (*log)(void *context, struct text line); /* NULL: discarded */
    void *log_context;
};

struct host;
/* NULL when the arena of memory_bytes cannot be reserved. */
struct host *host_create(const struct host_rules *rules);
struct host *host_destroy(struct host *host);

/* Reads the frozen head first, and the rest only when the head allows. NULL when the plugin is fit to be
 * called, else why not; the words live as long as the host. */
const char *host_objection(struct host *host, const overread_plugin *plugin);

struct host_input {
    struct text config, truth, answer; /* truth is ignored in CHECK_ANSWER, answer in CHECK_TRUTH */
};

struct host_result {
    enum host_status status;
    bool correct;
    int64_t points_milli, max_points_milli;
    char pointer[HOST_POINTER_MAX]; /* HOST_REFUSED */
    struct buffer text; /* HOST_OK of a grade: its JSON; else a sentence; empty when there is none */
};

void host_result_init(struct host_result *result);
void host_result_finish(struct host_result *result);

/* One call of the plugin. result is overwritten, its buffer reused. */
void host_run(struct host *host, const overread_plugin *plugin, enum host_op op,
              const struct host_input *input, struct host_result *result);

/* Exposed for tests: text as the plugin would see it. NULL when it is refused. Lives until the next host
 * call. */
const overread_value *host_parse(struct host *host, struct text json, const char **ret_why);

#endif
