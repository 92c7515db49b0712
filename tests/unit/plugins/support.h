/* The finished plugin, called through the host's own side of the ABI as a worker calls it. */
#ifndef OVERREAD_TESTS_PLUGINS_SUPPORT_H
#define OVERREAD_TESTS_PLUGINS_SUPPORT_H

#include <jansson.h>
#include "grading/host.h"

struct bench; /* one loaded plugin and its host */

/* Loads <PLUGIN_DIR>/<id>/<id>.so with the codes and the version of its manifest. Fails the test when it
 * cannot. */
struct bench *bench_open(const char *id, uint64_t memory_bytes);
void bench_close(struct bench *bench);

/* Any of truth and answer may be NULL for a check. The result lives until the next run. */
const struct host_result *bench_run(struct bench *bench, enum host_op op, const char *config,
                                    const char *truth, const char *answer);
const struct host_result *bench_run_json(struct bench *bench, enum host_op op, const json_t *config,
                                         const json_t *truth, const json_t *answer);
/* Grades, and fails the test when there is no grade. The caller's reference. */
json_t *bench_grade(struct bench *bench, const json_t *config, const json_t *truth, const json_t *answer);

/* The finding with this code, or NULL. Borrowed. */
const json_t *grade_finding(const json_t *grade, const char *code);

#endif
