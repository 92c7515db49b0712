/* The finished plugin PLUGIN, called through the host's own side of the ABI as a worker calls it. */
#ifndef OVERREAD_TESTS_PLUGINS_SUPPORT_H
#define OVERREAD_TESTS_PLUGINS_SUPPORT_H

#include <jansson.h>
#include "grading/host.h"

struct bench; /* the loaded plugin and its host */

/* Loads <PLUGIN_DIR>/<PLUGIN>/<PLUGIN>.so with the codes and the version of its manifest. Fails the test when
 * it cannot. */
struct bench *bench_open(uint64_t memory_bytes);
void bench_close(struct bench *on);

/* One with memory enough, for a group of tests between its set-up and its teardown. */
extern struct bench *bench;
int bench_setup(void **state);
int bench_teardown(void **state);

/* Any of truth and answer may be NULL for a check. The result lives until the next run. */
const struct host_result *bench_run(struct bench *on, enum host_op op, const char *config, const char *truth,
                                    const char *answer);
const struct host_result *bench_run_json(struct bench *on, enum host_op op, const json_t *config,
                                         const json_t *truth, const json_t *answer);
/* Grades, and fails the test when there is no grade. The caller's reference. */
json_t *bench_grade(const json_t *config, const json_t *truth, const json_t *answer);
/* Checks a truth or an answer, and fails the test unless it is refused at the pointer, with the words in the
 * text. pointer NULL: it must pass. */
void bench_check(enum host_op op, const char *config, const char *input, const char *pointer,
                 const char *words);

/* The finding with this code, or NULL. Borrowed. */
const json_t *grade_finding(const json_t *grade, const char *code);
/* A number of the grade or of a finding, in thousandths. */
int64_t grade_milli(const json_t *grade, const char *name);

#endif
