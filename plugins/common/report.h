/* A grade under construction: findings, metrics, and the sum of their points. A failed allocation is
 * remembered, so that only report_finish needs to be asked. */
#ifndef OVERREAD_PLUGINS_COMMON_REPORT_H
#define OVERREAD_PLUGINS_COMMON_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include "common/text.h"
#include "overread/plugin.h"

enum report_part { PART_LOCALISATION, PART_CHARACTERISATION, PART_DECISION, REPORT_PARTS };

struct report {
    const overread_host *host;
    overread_finding *findings;
    overread_metric *metrics;
    uint32_t finding_count, finding_room, metric_count, metric_room;
    int64_t points_milli,
        max_points_milli; /* sums over the findings; points may be negative until the floor */
    int64_t earned[REPORT_PARTS], possible[REPORT_PARTS]; /* the same sums by part */
    bool failed;
};

static inline void *report_grown(struct report *report, void *old, size_t size, uint32_t count,
                                 uint32_t *room)
{
    uint32_t wanted = *room ? *room * 2 : 32;
    void *grown = report->host->alloc(report->host->context, (uint64_t)wanted * size);
    if (!grown) {
        report->failed = true;
        return NULL;
    }
    if (count)
        memcpy(grown, old, count * size);
    *room = wanted;
    return grown;
}

/* A finding without text is taken as a failed allocation of that text. */
static inline void report_finding(struct report *report, overread_finding finding)
{
    if (report->failed || !finding.text || !finding.rule || !finding.code) {
        report->failed = true;
        return;
    }
    if (report->finding_count == report->finding_room) {
        void *grown = report_grown(report, report->findings, sizeof(finding), report->finding_count,
                                   &report->finding_room);
        if (!grown)
            return;
        report->findings = grown;
    }
    report->findings[report->finding_count++] = finding;
    report->points_milli += finding.points_milli;
    report->max_points_milli += finding.max_points_milli;
}

/* Adds the finding, and its points to the part. */
static inline void report_add(struct report *report, enum report_part part, overread_finding finding)
{
    report->earned[part] += finding.points_milli;
    report->possible[part] += finding.max_points_milli;
    report_finding(report, finding);
}

static inline const char *report_text(struct report *report, const char *text)
{
    report->failed |= !text;
    return text ? text : "";
}

/* A sentence as by plugin_printf; a failed allocation is remembered and becomes "". */
#define report_printf(report, ...) report_text((report), plugin_printf((report)->host, __VA_ARGS__))

/* Takes up to `cost` of the points earned so far: the score never falls below 0. Returns what was taken. */
static inline int32_t report_cost(const struct report *report, int32_t cost)
{
    return report->points_milli < cost ? (int32_t)report->points_milli : cost;
}

static inline void report_metric(struct report *report, const char *name, bool defined, int64_t value_micro,
                                 const char *reason)
{
    overread_metric metric = {.name = name,
                              .value_micro = defined ? value_micro : 0,
                              .defined = defined,
                              .reason = defined ? NULL : reason};
    if (report->failed)
        return;
    if (report->metric_count == report->metric_room) {
        void *grown =
            report_grown(report, report->metrics, sizeof(metric), report->metric_count, &report->metric_room);
        if (!grown)
            return;
        report->metrics = grown;
    }
    report->metrics[report->metric_count++] = metric;
}

static inline void report_count_metric(struct report *report, const char *name, int count)
{
    report_metric(report, name, true, (int64_t)count * 1000000, NULL);
}

/* The share of a part's points that was earned, 0 at least. reason: why there were none to earn. */
static inline void report_score_metric(struct report *report, const char *name, enum report_part part,
                                       const char *reason)
{
    int64_t earned = report->earned[part] > 0 ? report->earned[part] : 0, possible = report->possible[part];
    report_metric(report, name, possible > 0, possible > 0 ? earned * 1000000 / possible : 0, reason);
}

/* The shares of all parts. no_item: why there was nothing to characterise. */
static inline void report_score_metrics(struct report *report, const char *no_item)
{
    report_score_metric(report, "localisation_score", PART_LOCALISATION, "nothing to localise");
    report_score_metric(report, "characterisation_score", PART_CHARACTERISATION, no_item);
    report_score_metric(report, "decision_score", PART_DECISION, "nothing to decide");
}

/* Does the read count as correct? The finding that says so. why: what speaks against it, or NULL. */
static inline bool report_verdict(struct report *report, const char *why, const char *rule)
{
    report_add(report, PART_DECISION,
               (overread_finding){
                   .verdict = OVERREAD_NOTE,
                   .code = why ? "counts_as_wrong" : "counts_as_correct",
                   .text = why ? report_printf(report, "This read counts as wrong: %s.", why)
                               : "This read counts as correct.",
                   .rule = rule,
               });
    return !why;
}

/* Fills the host's grade. OVERREAD_BUG when the points left 0..max: the plugin must put a floor under them
 * first. */
static inline enum overread_status report_finish(const struct report *report, bool correct,
                                                 overread_grade *grade)
{
    if (report->failed)
        return OVERREAD_NO_MEMORY;
    if (report->points_milli < 0 || report->points_milli > report->max_points_milli)
        return OVERREAD_BUG;
    grade->correct = correct;
    grade->points_milli = report->points_milli;
    grade->max_points_milli = report->max_points_milli;
    grade->finding_count = report->finding_count;
    grade->metric_count = report->metric_count;
    grade->findings = report->findings;
    grade->metrics = report->metrics;
    return OVERREAD_OK;
}

#endif
