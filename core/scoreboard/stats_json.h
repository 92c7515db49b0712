/* `overread stats FILE.json` without the file: a JSON object in, one JSON object out. Pure. */
#ifndef OVERREAD_SCOREBOARD_STATS_JSON_H
#define OVERREAD_SCOREBOARD_STATS_JSON_H

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"
#include "base/text.h"

/* Two shapes:
 *   {"truth": [0|1, ...], "score": [1..5, ...], "reference": [1..5, ...]?}
 *   {"lesion_results": {CASE: [[is_lesion, confidence, overlap], ...]}, "case_target": {CASE: 0|1},
 *    "case_score": {CASE: number}?}
 * Without case_score a case's score is the highest confidence among its rows, 0 without a row. picai_eval
 * also counts candidates that it discarded; who has those passes case_score. Appends to out what
 * stats_reads_render or stats_lesions_render writes. 0, or -1 with ERROR_UNPROCESSABLE, code
 * "invalid_statistics_input" and the JSON pointer of what is wrong; ERROR_TOO_LARGE when the result exceeds
 * out's maximum. */
int stats_report(struct arena *arena, const json_t *input, struct buffer *out, struct error *err);

#endif
