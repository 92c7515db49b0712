/* Will a worker take this plugin? Private to grading. */
#ifndef OVERREAD_GRADING_PROBE_H
#define OVERREAD_GRADING_PROBE_H

#include "grading/registry.h"

/* Starts one worker on a loop of its own, and ends it when it has loaded the library. Blocks the thread, which must
 * not be an event loop's, for milliseconds, and for as long as worker.c gives a start when the library hangs. 0, or -1
 * with the reason in words. */
int probe_worker(const struct registered *plugin, char *ret_why, size_t size);

#endif
