/* Reading, the heart: open a case, answer, be graded, get feedback.
 *
 * An answer is stored before it is graded, together with the job that grades it should this process not live to do
 * so. A grader that fails leaves the read in `awaiting_grade`; it is never a score of 0. */
#ifndef OVERREAD_READING_H
#define OVERREAD_READING_H

#include "base/json.h"
#include "db/db.h"
#include "http/http.h"
#include "jobs/jobs.h"

extern const struct http_route reading_routes[];
extern const struct db_statement reading_statements[];
extern const struct job_kind reading_grade_job; /* "grade" */

enum { READING_ANSWER_MAX = 256 << 10 };

/* Opens a read of the case, or finds the one that is open. *ret_id belongs to the scope's arena; *ret_new tells
 * which. Errors: case_not_found, case_withdrawn, subscription_expired, idempotency_key_reused. */
int fiber_fn reading_open(struct db_scope *scope, const char *case_id, const char *key, const char **ret_id, bool *ret_new,
                          struct error *err);

/* Submits an answer and grades it. Repeating it with the same answer gives the same result; another answer is
 * ERROR_CONFLICT "already_submitted". The answer is first checked by the plugin's schema and by the plugin: an
 * offence names the field below "/answer", and nothing is stored.
 * *ret_feedback is the feedback as JSON, or empty when the read now waits to be graded. */
int fiber_fn reading_submit(struct db_scope *scope, const char *read_id, const json_t *answer, struct text *ret_feedback,
                            struct error *err);

#endif
