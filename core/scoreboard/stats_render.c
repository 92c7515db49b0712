#include "scoreboard/stats_render.h"

#include <stdio.h>

#define REASONS_MAX 16384 /* of either kind: some thirty entries of fixed text at most */

struct render {
    struct buffer *out;
    struct buffer undefined, notes;
};

static struct render render_begin(struct buffer *out)
{
    struct render ret = {.out = out};

    buffer_init(&ret.undefined, REASONS_MAX);
    buffer_init(&ret.notes, REASONS_MAX);
    buffer_puts(out, "{");
    return ret;
}

static void render_end(struct render *r)
{
    if (r->undefined.len)
        buffer_printf(r->out, ",\"undefined\":{%s}", r->undefined.p);
    if (r->notes.len)
        buffer_printf(r->out, ",\"notes\":{%s}", r->notes.p);
    buffer_puts(r->out, "}");
    r->out->failed |= r->undefined.failed || r->notes.failed;
    buffer_finish(&r->undefined);
    buffer_finish(&r->notes);
}

static void add_reason(struct buffer *reasons, const char *path, const char *name, const char *reason)
{
    buffer_printf(reasons, "%s\"%s/%s\":", reasons->len ? "," : "", path, name);
    buffer_json_string(reasons, text_of(reason));
}

static void render_double(struct buffer *out, double value)
{
    buffer_printf(out, "%.17g", value + 0.0); /* -0 becomes 0 */
}

static void render_number(struct render *r, const char *path, const char *name, struct stats_number number)
{
    buffer_printf(r->out, "\"%s\":", name);
    if (!number.undefined) {
        render_double(r->out, number.value);
        return;
    }
    buffer_puts(r->out, "null");
    add_reason(&r->undefined, path, name, number.undefined);
}

static void render_interval(struct render *r, const char *path, const char *name,
                            struct stats_interval interval)
{
    buffer_printf(r->out, "\"%s\":", name);
    if (interval.undefined) {
        buffer_puts(r->out, "null");
        add_reason(&r->undefined, path, name, interval.undefined);
        return;
    }
    buffer_puts(r->out, "[");
    render_double(r->out, interval.low);
    buffer_puts(r->out, ",");
    render_double(r->out, interval.high);
    buffer_puts(r->out, "]");
}

static void render_share_members(struct render *r, const char *path, const struct stats_share *share)
{
    buffer_printf(r->out, "\"k\":%zu,\"n\":%zu,", share->k, share->n);
    render_number(r, path, "p", share->p);
    buffer_puts(r->out, ",");
    render_interval(r, path, "wilson95", share->wilson95);
}

static void render_share(struct render *r, const char *path, const char *name,
                         const struct stats_share *share)
{
    char inner[64];

    (void)snprintf(inner, sizeof(inner), "%s/%s", path, name);
    buffer_printf(r->out, ",\"%s\":{", name);
    render_share_members(r, inner, share);
    buffer_puts(r->out, "}");
}

static void render_table(struct render *r, const char *path, const char *name,
                         const struct stats_table *table)
{
    char inner[32];

    (void)snprintf(inner, sizeof(inner), "%s/%s", path, name);
    buffer_printf(r->out, "\"%s\":{\"tp\":%zu,\"fp\":%zu,\"fn\":%zu,\"tn\":%zu", name, table->tp, table->fp,
                  table->fn, table->tn);
    render_share(r, inner, "sensitivity", &table->sensitivity);
    render_share(r, inner, "specificity", &table->specificity);
    render_share(r, inner, "ppv", &table->ppv);
    render_share(r, inner, "npv", &table->npv);
    buffer_puts(r->out, "}");
}

static void note_small_sample(struct render *r, const char *name, const char *what, size_t positive,
                              size_t negative, const char *advice)
{
    char words[160];

    if (!stats_is_small(positive, negative))
        return;
    (void)snprintf(
        words, sizeof(words),
        "small sample: %zu %s, %zu positive and %zu negative; %s",
        positive + negative, what, positive, negative, advice);
    add_reason(&r->notes, "", name, words);
}

void stats_reads_render(struct buffer *out, const struct stats_reads *reads)
{
    struct render r = render_begin(out);

    buffer_printf(out, "\"n\":%zu,\"auroc\":{", reads->n);
    render_number(&r, "/auroc", "auc", reads->auroc.auc);
    buffer_puts(out, ",");
    render_number(&r, "/auroc", "var", reads->auroc.var);
    buffer_puts(out, ",");
    render_interval(&r, "/auroc", "ci95", reads->auroc.ci95);
    buffer_puts(out, "},");
    render_number(&r, "", "average_precision", reads->average_precision);
    buffer_puts(out, ",\"at\":{");
    for (unsigned i = 0; i < reads->scale.thresholds; i++) {
        char name[4];
        (void)snprintf(name, sizeof(name), "%d", reads->scale.positive_from[i]);
        buffer_puts(out, i ? "," : "");
        render_table(&r, "/at", name, &reads->at[i]);
    }
    buffer_puts(out, "},");
    render_number(&r, "", "kappa_quadratic", reads->kappa_quadratic);

    if (reads->referenced && reads->referenced < reads->n) {
        char words[100];
        (void)snprintf(words, sizeof(words), "over the %zu reads of cases with a reference category", reads->referenced);
        add_reason(&r.notes, "", "kappa_quadratic", words);
    }
    note_small_sample(&r, "n", "reads", reads->auroc.positive, reads->auroc.negative,
                      "read the intervals, not the percentages");
    if (reads->auroc.ci_collapsed)
        add_reason(
            &r.notes, "/auroc", "ci95",
            "the estimated variance is 0: the interval is a point for want of data, not for certainty");
    render_end(&r);
}

static void render_froc(struct render *r, const struct stats_lesions *lesions)
{
    buffer_puts(r->out, "\"froc\":[");
    for (size_t i = 0; i < lesions->points; i++) {
        const struct stats_froc_point *point = &lesions->froc[i];
        buffer_puts(r->out, i ? ",{\"threshold\":" : "{\"threshold\":");
        render_double(r->out, point->threshold);
        buffer_puts(r->out, ",\"fp_per_case\":");
        render_double(r->out, point->fp_per_case);
        buffer_puts(r->out, ",\"sensitivity\":");
        if (lesions->froc_undefined)
            buffer_puts(r->out, "null");
        else
            render_double(r->out, point->sensitivity);
        buffer_puts(r->out, "}");
    }
    buffer_puts(r->out, "]");
    if (lesions->froc_undefined)
        add_reason(&r->undefined, "", "froc", lesions->froc_undefined);
}

void stats_lesions_render(struct buffer *out, const struct stats_lesions *lesions)
{
    struct render r = render_begin(out);

    buffer_printf(out, "\"cases\":%zu,\"lesions\":%zu,", lesions->cases, lesions->lesions);
    render_number(&r, "", "auroc", lesions->auroc);
    buffer_puts(out, ",");
    render_number(&r, "", "average_precision", lesions->average_precision);
    buffer_puts(out, ",");
    render_number(&r, "", "score", lesions->score);
    buffer_puts(out, ",");
    render_froc(&r, lesions);
    note_small_sample(&r, "cases", "cases", lesions->positive_cases, lesions->negative_cases,
                      "a case more may move the numbers much");
    render_end(&r);
}

static void render_ordinal(struct render *r, const char *path, const char *name, size_t read,
                           const char *reason)
{
    buffer_printf(r->out, "\"%s\":", name);
    if (read) {
        buffer_printf(r->out, "%zu", read);
        return;
    }
    buffer_puts(r->out, "null");
    add_reason(&r->undefined, path, name, reason);
}

static void render_adequacy(struct render *r, const struct stats_lc_cusum *cusum)
{
    buffer_puts(
        r->out,
        "\"adequacy\":{\"method\":\"LC-CUSUM\",\"citation\":\"Biau DJ, Williams SM, Schlup MM, Nizard RS, "
        "Porcher R. Br J Surg 2008;95:925-929\",\"adequate_error_rate\":");
    render_double(r->out, cusum->design.adequate);
    buffer_puts(r->out, ",\"inadequate_error_rate\":");
    render_double(r->out, cusum->design.inadequate);
    buffer_puts(r->out, ",\"limit\":");
    render_double(r->out, cusum->design.limit);
    buffer_puts(r->out, ",\"statistic\":");
    render_double(r->out, cusum->statistic);
    buffer_puts(r->out, ",");
    render_ordinal(r, "/adequacy", "reached_at", cusum->adequate_at,
                   cusum->reads ? "the statistic has not crossed its limit so far" : "no reads");
    buffer_puts(r->out, "}");
}

static const char *change_name(enum stats_change change)
{
    switch (change) {
    case STATS_CHANGE_NONE:
        return "none";
    case STATS_CHANGE_UP:
        return "up";
    case STATS_CHANGE_DOWN:
        return "down";
    case STATS_CHANGE_UNKNOWN:
        break;
    }
    return "unknown";
}

static const char *no_plateau(const struct stats_change_point *point)
{
    if (point->change == STATS_CHANGE_UNKNOWN)
        return point->p_value.undefined;
    return point->change == STATS_CHANGE_NONE ? "no change point at the 5 % level: nothing levels off"
                                              : "the share of correct reads went down, not up";
}

static void render_plateau(struct render *r, const struct stats_change_point *point)
{
    const bool up = point->change == STATS_CHANGE_UP;

    buffer_printf(r->out,
                  "\"plateau\":{\"method\":\"change point of a 0/1 sequence, cumulative sum statistic\","
                  "\"citation\":\"Pettitt AN. Biometrika 1980;67:79-84\",\"change\":\"%s\",",
                  change_name(point->change));
    render_ordinal(r, "/plateau", "from_read", up ? point->last_before + 1 : 0,
                   up ? NULL : no_plateau(point));
    buffer_puts(r->out, ",");
    render_number(r, "/plateau", "k", point->k);
    buffer_puts(r->out, ",");
    render_number(r, "/plateau", "p_value", point->p_value);
    render_share(r, "/plateau", "before", &point->before);
    render_share(r, "/plateau", "after", &point->after);
    buffer_puts(r->out, "}");
}

void stats_learning_render(struct buffer *out, const struct stats_lc_cusum *cusum,
                           const struct stats_change_point *point)
{
    struct render r = render_begin(out);

    buffer_printf(out, "\"reads\":%zu,", cusum->reads);
    render_adequacy(&r, cusum);
    buffer_puts(out, ",");
    render_plateau(&r, point);
    render_end(&r);
}

void stats_mean_render(struct buffer *out, const struct stats_mean *mean)
{
    struct render r = render_begin(out);

    buffer_printf(out, "\"n\":%zu,", mean->n);
    render_number(&r, "", "mean", mean->mean);
    buffer_puts(out, ",");
    render_number(&r, "", "median", mean->median);
    buffer_puts(out, ",");
    render_number(&r, "", "deviation", mean->deviation);
    render_end(&r);
}

void stats_share_render(struct buffer *out, const struct stats_share *share)
{
    struct render r = render_begin(out);

    render_share_members(&r, "", share);
    render_end(&r);
}
