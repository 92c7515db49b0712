/* The attributes of a DICOM instance that import looks at, read by dcmdump (DCMTK) in a limited process. */
#ifndef OVERREAD_LIBRARY_DICOM_TAGS_H
#define OVERREAD_LIBRARY_DICOM_TAGS_H

#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"
#include "base/process.h"

extern const struct process_limits dicom_tool_limits;

struct dicom_tags {
    char transfer_syntax[65], sop_instance[65], series_instance[65];
    int64_t rows, columns, frames, number;
    bool identity_removed, burned_in, no_burned_in, has_window, placed; /* (0028,0301) may say neither YES nor NO */
    double position[3], orientation[6], spacing[2];
};

/* 0, or -1: "not_dicom" when the tool cannot read it. */
int dicom_tags_read(const char *path, struct dicom_tags *ret, struct error *err);

#endif
