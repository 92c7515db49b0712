/* Running another program: fork and exec without a shell, limited, its output bounded. Blocking: for the command
 * line and worker threads, never on an event loop. */
#ifndef OVERREAD_BASE_PROCESS_H
#define OVERREAD_BASE_PROCESS_H

#include "base/error.h"
#include "base/text.h"

struct process_limits {
    unsigned cpu_seconds;   /* RLIMIT_CPU */
    uint64_t memory_bytes;  /* RLIMIT_AS */
    uint64_t file_bytes;    /* RLIMIT_FSIZE */
    unsigned wall_ms;       /* killed afterwards */
};

/* argv[0] is looked up in PATH. stdout goes to *out (its max bounds it; NULL: discarded), the last 400 bytes of
 * stderr into err->detail on failure. Environment: PATH, LC_ALL=C.UTF-8, and DCMDICTPATH when set.
 * 0 on exit status 0, else -1 with ERROR_UNPROCESSABLE code "tool_failed" (ERROR_INTERNAL if it could not start). */
int process_run(const char *const argv[], const struct process_limits *limits, struct buffer *out, struct error *err);

#endif
