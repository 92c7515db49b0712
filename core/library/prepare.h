/* Preparing images at import: every DICOM instance is read, checked and rendered by DCMTK's tools (JPEG 2000 by GDCM's)
 * in limited processes of their own; the instance as it is and a PNG of each frame are kept by content hash. Blocking. */
#ifndef OVERREAD_LIBRARY_PREPARE_H
#define OVERREAD_LIBRARY_PREPARE_H

#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/crypto.h"
#include "base/error.h"

enum { PREPARE_SIDE_MAX = 4096, PREPARE_FRAMES_MAX = 2000, PREPARE_INSTANCES_MAX = 4000 };
#define PREPARE_FILE_MAX (512ll << 20)   /* bytes of one instance */
#define PREPARE_PIXELS_MAX (1ll << 28)   /* of all its frames together */

struct prepared_file {
    char sha256[SHA256_HEX_SIZE];
    int64_t bytes;
};

struct prepared_instance {
    const char *name;         /* file name in the series' directory */
    const char *sop_instance, *series_instance; /* UIDs */
    struct prepared_file dicom;
    int64_t rows, columns, frames, number;
    struct prepared_file *frame; /* `frames` of them */
    bool placed;              /* position, orientation and spacing were all there */
    double position[3];       /* LPS mm, centre of the first voxel: (0020,0032) */
    double orientation[6];    /* row and column direction: (0020,0037) */
    double spacing[2];        /* mm between rows, between columns: (0028,0030) */
};

struct prepared_series {
    int count;
    struct prepared_instance *instance; /* along the normal of the image plane when all are placed, else by number */
    bool bounded;             /* all are placed */
    double bounds[3][2];      /* axis-aligned box in LPS mm over the corners of all slices */
};

/* Prepares the files (sorted names) of one directory into store/<2 hex>/<sha256>.{dcm,png}; what is there already is
 * kept. deidentified: somebody states that the files hold no identity, so that (0012,0062) need not say so.
 * 0, or -1 with the file named in err->field as "<directory>/<name>". */
int prepare_series(struct arena *arena, const char *directory, const char *label, const char *const *names, int count,
                   const char *store, bool deidentified, struct prepared_series *ret, struct error *err);

#endif
