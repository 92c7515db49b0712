/* A ZIP file that is written from the first entry to the last, whatever their size. Blocking: for worker threads and the
 * command line. */
#ifndef OVERREAD_AUDIT_EXPORT_ZIP_H
#define OVERREAD_AUDIT_EXPORT_ZIP_H

#include <stdint.h>

#include "base/arena.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/text.h"

struct export_zip;

/* A new file, readable by its owner alone; goes away with the arena unless export_zip_finish has kept it. NULL on failure. */
struct export_zip *export_zip_create(struct arena *arena, const char *path, struct error *err);
/* Begins an entry; the one before ends. */
int export_zip_entry(struct export_zip *zip, const char *name, struct error *err);
int export_zip_add(struct export_zip *zip, struct text bytes, struct error *err);
/* Ends the file, which is then on disk, and moves it to its name (NULL: it has it). */
int export_zip_finish(struct export_zip *zip, const char *name, char ret_sha256[SHA256_HEX_SIZE], int64_t *ret_bytes,
                      struct error *err);

#endif
