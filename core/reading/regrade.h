/* Regrading, for the command line: what the installed version of a plugin says of reads that another one has graded, or
 * what a corrected truth says of them. Grades are never changed: a revision is added, in batches, so that a run that was
 * killed goes on where it was. Reads that wait for their first grade are not looked at: they get it from what is
 * installed. */
#ifndef OVERREAD_READING_REGRADE_H
#define OVERREAD_READING_REGRADE_H

#include "db/db.h"
#include "grading/grading.h"

enum { REGRADE_BATCH = 1000, REGRADE_BATCH_MAX = 10000 };

struct regrade_options {
    const char *plugin;        /* id */
    const char *tenant;        /* slug; NULL: all */
    const char *of_case;       /* slug; NULL: all */
    const char *truth_version; /* number of a version of the case, by whose truth all are graded; NULL: each by its own */
    int batch;                 /* reads a transaction */
    int workers;
};

struct regrade;

/* The session is used until close; workers are started. NULL: no such plugin, tenant, case or version
 * (ERROR_NOT_FOUND), the plugin is broken (ERROR_UNAVAILABLE), or readers of earlier versions were shown something
 * else than the truth is of (ERROR_UNPROCESSABLE). */
struct regrade *regrade_open(struct db_session *admin, struct arena *arena, const struct regrade_options *options,
                             struct error *err);
struct regrade *regrade_close(struct regrade *regrade);

/* Is there a run with these very aims that did not come to its end? 1, 0, or -1. */
int regrade_unfinished(struct regrade *regrade, struct error *err);

/* Called after each batch with the reads so far. */
typedef void regrade_progress(void *arg, int64_t reads);

/* Grades everything and writes nothing. One JSON line a tenant, then the total. */
int regrade_impact(struct regrade *regrade, struct buffer *ret_lines, regrade_progress *progress, void *arg,
                   struct error *err);
/* Writes, going on with an unfinished run of the same aims. *ret is the run's sums as JSON. ERROR_CONFLICT
 * "regrade_running" when another process is regrading with this plugin. A grader that fails ends it with the read named;
 * what was written stands, and the next call goes on. */
int regrade_write(struct regrade *regrade, struct text *ret, regrade_progress *progress, void *arg, struct error *err);

#endif
