/* Files by content hash: store/<first 2 hex>/<sha256>.<kind>. Written beside, synced, renamed; never changed. */
#ifndef OVERREAD_LIBRARY_STORE_H
#define OVERREAD_LIBRARY_STORE_H

#include "library/dicom_tags.h"
#include "library/prepare.h"

int store_open(const char *store, struct error *err); /* makes the directory */
/* A private copy to look at: only what has been found good is kept. */
#define STORE_PATH_SIZE 4096
int store_take(const char *store, const char *path, int64_t max, char ret_temporary[STORE_PATH_SIZE], struct error *err);
int store_keep(const char *store, const char *temporary, const char *kind, struct prepared_file *ret, struct error *err);
void store_drop(const char *temporary);
/* PNGs of all tags->frames frames, in order: DCMTK renders (GDCM first unpacks JPEG 2000). */
int store_render(const char *store, const char *path, const struct dicom_tags *tags, struct prepared_file *ret,
                 struct error *err);

#endif
