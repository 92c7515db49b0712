/* A worker that a plugin has subverted may send anything. What it calls a grade is looked at before it is stored and
 * shown: the form that host_grade.c writes, and agreement with the reply's head, which the score is taken from. Whether
 * the grade is deserved, only a sound worker can say. Private to grading. */
#ifndef OVERREAD_GRADING_GRADE_CHECK_H
#define OVERREAD_GRADING_GRADE_CHECK_H

#include "grading/manifest.h"
#include "grading/worker.h"

/* NULL, or why request->json is no grade by a plugin of this manifest. */
const char *grade_objection(const struct manifest *manifest, const struct request *request);

#endif
