/* manifest.json of a grading plugin, which lies beside its library:
 * <plugin_dir>/<id>/{manifest.json,<id>.so}.
 *
 *     {
 *       "id": "prostate_mri",             a-z, 0-9, _; the folder's and the library's name
 *       "version": "1.0.0",               the library's; 1 to 64 characters
 *       "title": "Prostate MRI (PI-RADS v2.1)",
 *       "rules_revision": 1,              1 or more; raised when the same input may be graded differently
 *       "abi": {"major": 1, "minor": 0},  of overread/plugin.h that the library was built with
 *       "limits": {                       all optional
 *         "memory_mb": 64,                  1..1024: the arena, and what the plugin may allocate beside it
 *         "cpu_ms": 1000,                   1..60000: of one call
 *         "wall_ms": 2000                   10..120000: of one call
 *       },
 *       "findings": {"lesion_missed": "Lesion missed", ...},  every code a finding may have, with its title
 *       "schemas": {"config": {...}, "truth": {...}, "answer": {...}},   JSON Schema 2020-12; see schema.h
 *       "ui": {...},                      optional: hints for clients, passed on as they are; AUTHORS.md says which
 *       "reader_statistics": {...}        optional: see below
 *     }
 *
 * reader_statistics says which metrics and findings of a grade the statistics over many reads take (sensitivity,
 * AUROC, kappa, FROC, ...); without it a modality has shares and times only. A score of whole numbers, more
 * suspicious when higher:
 *
 *     {
 *       "truth": "cspca",                 metric, 0 or 1: does the case have the condition?
 *       "score": "case_category",         metric: the reader's suspicion, lowest .. lowest + levels - 1. A read where
 *                                         one of both is undefined is left out, and counted as such
 *       "lowest": 1,                      optional: 0 or 1
 *       "levels": 5,                      2..16
 *       "titles": ["1", "2", ...],        optional: of the levels
 *       "positive_from": [3, 4],          1 to 4 scores from which a read counts as positive: a table for each
 *       "reference": "expert_case_category",  optional metric: the expert's score, for kappa
 *       "lesions": {                      optional; FROC over marks and lesions, as PI-CAI counts them
 *         "marks": "lesions",               member of the answer: the array of marks. Each is one of these:
 *         "found": ["lesion_found"],          a hit, when a finding with one of these codes points to it
 *         "set_aside": ["duplicate_mark"],    (optional) not counted, when one of these does
 *                                             else a false positive
 *         "missed": ["lesion_missed"],      each finding with one of these codes is a lesion without a hit
 *         "confidence": "pirads",           member of a mark
 *         "order": [1, 2, 3, 4, 5]          2..16 values of it, from the least suspicious on
 *       },
 *       "strata": [                       optional, at most 8; "difficulty" there always is
 *         {"name": "psa", "title": "PSA", "unit": "ng/ml",   unit: optional
 *          "clinical": "psa_ng_ml", "edges": [4, 10]},       number of the case; below 4, 4 to below 10, 10 and more
 *         {"name": "zone", "title": "Zone",
 *          "metric": "index_zone", "titles": ["Peripheral zone", ...]}    metric 1 is the first title
 *       ]
 *     }
 *
 * "description" (a string) and members x-* are passed on too; any other member is refused. */
#ifndef OVERREAD_GRADING_MANIFEST_H
#define OVERREAD_GRADING_MANIFEST_H

#include <stdint.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/text.h"
#include "grading/schema.h"

#define MANIFEST_MAX (4u * 1024 * 1024)
#define MANIFEST_ID_MAX 64

struct manifest {
    const char *id, *version, *title;
    int rules_revision;
    unsigned memory_mb, cpu_ms, wall_ms;
    const char *const *codes; /* of findings, sorted bytewise */
    size_t code_count;
    struct schema *schemas[3]; /* by enum grading_schema */
    struct text statistics;    /* reader_statistics, compact; empty without it */
    struct text json;          /* compact, members in the author's order */
};

/* *ret belongs to the arena, as far as it got even when the manifest is refused (what is not known is NULL or
 * 0). 0, or -1 with ERROR_INVALID and the place named in field and detail. */
int manifest_parse(struct arena *arena, struct text json, struct manifest *ret, struct error *err);

#endif
