/* Starting and reaping worker processes. Private to grading. */
#ifndef OVERREAD_GRADING_WORKER_PROCESS_H
#define OVERREAD_GRADING_WORKER_PROCESS_H

#include "base/loop.h"
#include "grading/frame.h"

/* NULL, or what this kernel lacks of a worker's confinement, in words. Any thread. */
const char *worker_process_weakness(void);

struct worker_process {
    int pid, pidfd, socket;
    struct frame_page *page;
};

/* 0 or -errno. library_fd is what the worker will load. */
int worker_process_start(const char *grader, int library_fd, struct worker_process *ret);
/* Whether the strict filter is in force there (grader_sandbox.h): a worker says READY, but what says so may
 * be the plugin's constructor. */
bool worker_process_confined(int pid);
/* Kills, and reaps by a watch on the loop; then logs that plugin's worker was lost, when why is not NULL. */
void worker_process_bury(struct loop *loop, int pid, int pidfd, const char *plugin, const char *why);
/* Waits for all that were buried on this thread. */
void worker_process_reap_all(void);

#endif
