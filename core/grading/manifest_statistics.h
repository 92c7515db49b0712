/* The manifest's member reader_statistics: which of a grade's metrics and findings statistics over many reads take. */
#ifndef OVERREAD_GRADING_MANIFEST_STATISTICS_H
#define OVERREAD_GRADING_MANIFEST_STATISTICS_H

#include "base/error.h"
#include "base/json.h"

/* Is it as manifest.h describes it? findings: the manifest's, whose codes it may name. 0, or -1 with ERROR_INVALID and the
 * place named. */
int manifest_statistics_check(const json_t *statistics, const json_t *findings, struct error *err);

#endif
