/* What a registered plugin is beyond its public face. Private to grading. */
#ifndef OVERREAD_GRADING_REGISTRY_H
#define OVERREAD_GRADING_REGISTRY_H

#include "grading/grading.h"
#include "grading/manifest.h"

struct registered {
    struct grading_plugin face; /* first: a face is its registered */
    struct manifest manifest;
    struct text hello; /* the first frame's body of each worker */
    /* A sealed copy of the library in memory: what was hashed is what every worker loads, though a new
     * version is written over the file meanwhile. -1 when broken. */
    int library_fd;
};

const struct registered *registry_of(const struct grading_plugin *plugin);
const char *registry_grader(void); /* path of overread-grader */

#endif
