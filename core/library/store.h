/* Files by content hash: store/<first 2 hex>/<sha256>.<kind>. Written beside, synced, renamed; never changed. */
#ifndef OVERREAD_LIBRARY_STORE_H
#define OVERREAD_LIBRARY_STORE_H

#include "library/dicom_tags.h"
#include "library/prepare.h"

int store_open(const char *store, struct error *err); /* makes the directory */
int store_copy(const char *store, const char *path, const char *kind, int64_t max, struct prepared_file *ret,
               struct error *err);
/* PNGs of all tags->frames frames, in order: DCMTK renders (GDCM first unpacks JPEG 2000). */
int store_render(const char *store, const char *path, const struct dicom_tags *tags, struct prepared_file *ret,
                 struct error *err);

#endif
