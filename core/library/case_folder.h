/* A case folder (CASE_FOLDER.md), read and checked before anything of it is used. Blocking. */
#ifndef OVERREAD_LIBRARY_CASE_FOLDER_H
#define OVERREAD_LIBRARY_CASE_FOLDER_H

#include <stdbool.h>
#include <stdint.h>
#include "base/json.h"

enum { CASE_SERIES_MAX = 20 };

struct case_series {
    const char *name, *role, *directory;
    const char *path;         /* of the directory */
    const char *const *files; /* names of *.dcm, sorted bytewise */
    int count;
};

struct case_folder {
    const char *slug, *modality, *plugin, *title, *truth_kind, *expert_report;
    const char *deidentified_by; /* NULL: the DICOM files say so themselves */
    int64_t difficulty;
    bool synthetic;
    const json_t *clinical, *provenance, *config, *truth, *histology; /* histology may be JSON null */
    struct case_series series[CASE_SERIES_MAX];
    int series_count;
};

/* Everything belongs to the arena. -1 with err->field "<file>#<JSON pointer>" or the directory's name. */
int case_folder_read(struct arena *arena, const char *directory, struct case_folder *ret, struct error *err);

#endif
