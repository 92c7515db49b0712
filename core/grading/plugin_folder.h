/* Reading one plugin: <dir>/<id>/{manifest.json,<id>.so,<id>.sig}. Private to grading. */
#ifndef OVERREAD_GRADING_PLUGIN_FOLDER_H
#define OVERREAD_GRADING_PLUGIN_FOLDER_H

#include "grading/registry.h"
#include "grading/signature.h"

/* Held once, never NULL; face.broken says why when it is not fit. keys NULL: signatures are not asked for. */
struct registered *plugin_folder_read(const char *dir, const char *id, const struct signature_keys *keys);
/* Marks a plugin that nobody else holds yet as broken. */
void plugin_folder_break(struct registered *plugin, const char *why);

/* Names of the plugin folders in dir, bytewise sorted, so that lists do not depend on the file system. A folder with
 * neither manifest nor library is none of ours: a build leaves such beside the plugins. Count, or -errno. */
int plugin_folder_names(struct arena *arena, const char *dir, const char *const **ret);

#endif
