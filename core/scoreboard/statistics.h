/* From reads as the database packs them (migrations/0006) to the objects that the API shows. Pure: no database, no HTTP. */
#ifndef OVERREAD_SCOREBOARD_STATISTICS_H
#define OVERREAD_SCOREBOARD_STATISTICS_H

#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "scoreboard/stats.h"

#define STATISTICS_MAX (1u << 20) /* bytes of one reply */

/* A manifest's reader_statistics (grading/manifest.h), which has been checked when the plugin was loaded. */
struct statistics_plan {
    bool declared, lesions;
    struct stats_scale scale;
    const json_t *titles; /* of the levels, or NULL */
    const json_t *strata;
};
/* declared: the plugin's, or empty. 0, or -1 with ERROR_INTERNAL for what a manifest would not have. */
int statistics_plan_of(struct arena *arena, struct text declared, struct statistics_plan *ret, struct error *err);

/* What the reads can be divided by: a stratum of the plan, or "difficulty". */
struct statistics_strata {
    const char *name, *title;
    size_t count;
    const char *const *titles; /* of each stratum, in the order of the letters a, b, ... */
};
/* 0, or -1 with ERROR_UNPROCESSABLE that lists the names there are. */
int statistics_strata_of(struct arena *arena, const struct statistics_plan *plan, struct text name,
                         struct statistics_strata *ret, struct error *err);

/* Columns of reader_record. */
struct statistics_record {
    size_t reads;
    struct text correct, milliseconds, truth, score, reference, strata, lesions;
};

/* Appends "all":{...},"strata":[...] or "strata":null; each object is
 * {"reads", "correct": share, "seconds": mean, "left_out", "statistics": reads or null, "lesions": lesions or null},
 * those of strata with "title". left_out: reads without truth or score, which count in nothing but correct and seconds.
 * 0, or -1 with ERROR_INTERNAL when the columns do not fit together. */
int statistics_render(struct arena *arena, const struct statistics_plan *plan, const struct statistics_strata *strata,
                      const struct statistics_record *record, struct buffer *out, struct error *err);

/* {"reads", "window", "curve": [{"read", "k", "n", "p", "wilson95"}, ...], "learning": {...}} of the reads in their order, a
 * character 0 or 1 each. The curve has at most STATISTICS_CURVE_MAX points, the last window among them. */
enum { STATISTICS_CURVE_WINDOW = 20, STATISTICS_CURVE_MAX = 500 };
void statistics_learning_render(struct arena *arena, struct text correct, struct buffer *out);

/* Columns of case_record: aggregates over the first reads of one case. */
struct statistics_case {
    size_t readers, correct;
    struct stats_mean seconds;
    size_t able, able_correct; /* readers with reads of other cases; those of them who were right */
    bool correlated;
    double discrimination;
    struct text errors, scores, points; /* JSON, or empty: not to be shown */
};
/* Appends "readers", "difficulty", "discrimination", "seconds", "errors", "scores", "points"; with NULL all null, for `why`. */
void statistics_case_render(const struct statistics_plan *plan, const struct statistics_case *found, const char *why,
                            struct buffer *out);

#endif
