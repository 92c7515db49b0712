/* A plugin where its author built it: FILE.so with manifest.json beside it. For the author's kit. */
#ifndef OVERREAD_GRADING_AUTHOR_FOLDER_H
#define OVERREAD_GRADING_AUTHOR_FOLDER_H

#include "grading/grading.h"

/* Registers that one plugin, and nothing else, as a server would, but for its signature, which is not asked for.
 * Replaces the registry's contents. *ret is held until the arena goes. 0, or -1 with the reason, which may be that the
 * plugin is broken. */
int author_folder_register(struct arena *arena, const char *file, const char *grader,
                           const struct grading_plugin **ret, struct error *err);

/* Absolute path of the file, and of manifest.json beside it. 0 or -1. */
int author_folder_paths(struct arena *arena, const char *file, const char **ret_library,
                        const char **ret_manifest, struct error *err);

#endif
