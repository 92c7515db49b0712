/* What a registered plugin is beyond its public face. Private to grading.
 *
 * The registry is a snapshot that never changes; a reload puts another one in its place. A plugin is shared by the
 * snapshots that have it unchanged, by the pools that run it, and by whoever looked it up: the last to let go of it
 * closes its library. Counting is atomic, so that may be on any thread. */
#ifndef OVERREAD_GRADING_REGISTRY_H
#define OVERREAD_GRADING_REGISTRY_H

#include <stdatomic.h>
#include "grading/grading.h"
#include "grading/manifest.h"

struct registered {
    struct grading_plugin face; /* first: a face is its registered */
    struct manifest manifest;
    struct text hello; /* the first frame's body of each worker */
    /* A sealed copy of the library in memory: what was hashed, and what the signature was checked against, is what
     * every worker loads, though a new version is written over the file meanwhile. -1 when broken. */
    int library_fd;
    char manifest_sha256[SHA256_HEX_SIZE]; /* of the file's bytes */
    struct arena *arena;                   /* all of it lies there, this struct too */
    atomic_uint holders;
};

const struct registered *registry_of(const struct grading_plugin *plugin);
const struct registered *registry_hold(const struct registered *plugin);
void registry_release(const struct registered *plugin);
/* A request that comes now would be given this very plugin. */
bool registry_is_current(const struct registered *plugin);
const char *registry_grader(void); /* path of overread-grader */

/* Told on its loop, outside of fibers, after each reload. Between listen and unlisten, both on the loop's thread;
 * `changed` may still be called after unlisten, and so is given nothing that could be gone. */
struct registry_listener {
    struct registry_listener *next, **link;
    struct loop *loop;
    void (*changed)(void *unused);
};
void registry_listen(struct registry_listener *listener);
void registry_unlisten(struct registry_listener *listener);

#endif
