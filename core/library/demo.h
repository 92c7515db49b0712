/* The demo library: synthetic prostate phantoms as case folders (CASE_FOLDER.md), made on the spot so that a
 * fresh machine has something to read. The same seed gives the same bytes, on whatever day. */
#ifndef OVERREAD_LIBRARY_DEMO_H
#define OVERREAD_LIBRARY_DEMO_H

#include <stdint.h>
#include "base/error.h"
#include "base/text.h"
#include "library/phantom.h"

/* Makes `dir` with demo-prostate-001 ... in it (count 1 to PHANTOM_NUMBER_MAX). Blocking; runs dump2dcm
 * (DCMTK) once a slice. Folders that are there already are written over. 0 or -1. */
int demo_generate(const char *dir, uint64_t seed, int count, struct error *err);

/* What demo_generate writes beside the images: case.json and truth.json, appended to ret. */
void demo_manifest(const struct phantom *phantom, struct buffer *ret);
void demo_truth(const struct phantom *phantom, struct buffer *ret);
/* One slice as a text for dump2dcm that takes its pixels from the file `pixels`. */
void demo_dump(const struct phantom *phantom, enum phantom_series series, int slice, const char *pixels,
               struct buffer *ret);

const char *demo_directory(enum phantom_series series); /* "t2w" */

/* Fixed decimals, never "-0.0". */
void demo_decimal(struct buffer *ret, double value, int digits);

#endif
