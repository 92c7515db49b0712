#include "scoreboard/statistics.h"

#include <math.h>
#include <string.h>
#include "scoreboard/stats_learning.h"
#include "scoreboard/stats_lesions.h"
#include "scoreboard/stats_render.h"

enum { UNKNOWN = 255, CONFIDENCES = 16, DIFFICULTIES = 5 };

/* --- What the plugin declared ------------------------------------------------------------------------------------ */

static int malformed(struct error *err, const char *what)
{
    return error_set(err, ERROR_INTERNAL, "statistics_malformed", NULL, "%s is not as it should be.", what);
}

int statistics_plan_of(struct arena *arena, struct text declared, struct statistics_plan *ret, struct error *err)
{
    json_t *plan;

    *ret = (struct statistics_plan){.scale = stats_pirads};
    if (!declared.len)
        return 0;
    if (json_parse(arena, declared, &plan, err) < 0)
        return malformed(err, "reader_statistics");
    const json_t *lowest = json_object_get(plan, "lowest"), *from = json_object_get(plan, "positive_from");
    const json_int_t low = lowest ? json_integer_value(lowest) : 1, levels = json_integer_value(json_object_get(plan, "levels"));
    if (low < 0 || low > 1 || levels < 2 || levels > STATS_LABELS_MAX || json_array_size(from) > STATS_THRESHOLDS_MAX)
        return malformed(err, "reader_statistics");
    ret->declared = true;
    ret->lesions = json_object_get(plan, "lesions") != NULL;
    ret->scale = (struct stats_scale){
        .lowest = (uint8_t)low, .levels = (uint8_t)levels, .thresholds = (uint8_t)json_array_size(from)};
    for (uint8_t i = 0; i < ret->scale.thresholds; i++)
        ret->scale.positive_from[i] = (uint8_t)json_integer_value(json_array_get(from, i));
    ret->titles = json_object_get(plan, "titles");
    ret->strata = json_object_get(plan, "strata");
    return 0;
}

static void strata_by_difficulty(struct statistics_strata *ret)
{
    static const char *const titles[DIFFICULTIES] = {"1", "2", "3", "4", "5"};

    *ret = (struct statistics_strata){.name = "difficulty", .title = "Difficulty", .count = DIFFICULTIES, .titles = titles};
}

/* "below 4 ng/ml", "4 to below 10 ng/ml", "10 ng/ml and more" */
static void titles_of_edges(struct arena *arena, const json_t *edges, const char *unit, const char **ret)
{
    const size_t count = json_array_size(edges);
    const char *blank = unit ? " " : "";

    unit = unit ? unit : "";
    for (size_t i = 0; i <= count; i++) {
        const double low = i ? json_number_value(json_array_get(edges, i - 1)) : 0;
        const double high = i < count ? json_number_value(json_array_get(edges, i)) : 0;
        ret[i] = i == 0       ? arena_printf(arena, "below %g%s%s", high, blank, unit)
                 : i == count ? arena_printf(arena, "%g%s%s and more", low, blank, unit)
                              : arena_printf(arena, "%g to below %g%s%s", low, high, blank, unit);
    }
}

static void strata_of_plan(struct arena *arena, const json_t *stratum, struct statistics_strata *ret)
{
    const json_t *edges = json_object_get(stratum, "edges"), *titles = json_object_get(stratum, "titles");
    const size_t count = edges ? json_array_size(edges) + 1 : json_array_size(titles);
    const char **words = arena_array(arena, count, sizeof(*words));

    if (edges)
        titles_of_edges(arena, edges, json_string_value(json_object_get(stratum, "unit")), words);
    else
        for (size_t i = 0; i < count; i++)
            words[i] = json_string_value(json_array_get(titles, i));
    *ret = (struct statistics_strata){.name = json_string_value(json_object_get(stratum, "name")),
                                      .title = json_string_value(json_object_get(stratum, "title")),
                                      .count = count,
                                      .titles = words};
}

int statistics_strata_of(struct arena *arena, const struct statistics_plan *plan, struct text name,
                         struct statistics_strata *ret, struct error *err)
{
    const char *names = "difficulty";

    strata_by_difficulty(ret);
    if (text_is(name, "difficulty"))
        return 0;
    for (size_t i = 0; i < json_array_size(plan->strata); i++) {
        strata_of_plan(arena, json_array_get(plan->strata, i), ret);
        if (text_is(name, ret->name))
            return 0;
        names = arena_printf(arena, "%s, %s", names, ret->name);
    }
    return error_set(err, ERROR_UNPROCESSABLE, "unknown_stratum", "stratum", "This modality has the strata %s.", names);
}

/* --- The record ---------------------------------------------------------------------------------------------------- */

/* One set of reads: all, or a stratum's. */
struct sample {
    size_t n;
    uint8_t *correct, *truth, *score, *reference, *stratum;
    double *seconds;
    struct text *lesions;
};

static struct sample sample_create(struct arena *arena, size_t n)
{
    return (struct sample){
        .correct = arena_array(arena, n, 1),
        .truth = arena_array(arena, n, 1),
        .score = arena_array(arena, n, 1),
        .reference = arena_array(arena, n, 1),
        .stratum = arena_array(arena, n, 1),
        .seconds = arena_array(arena, n, sizeof(double)),
        .lesions = arena_array(arena, n, sizeof(struct text)),
    };
}

/* The entry up to the separator; moves on behind it. */
static struct text next_entry(struct text *rest, char separator)
{
    const char *end = rest->len ? memchr(rest->p, separator, rest->len) : NULL;
    const struct text ret = {.p = rest->p, .len = end ? (size_t)(end - rest->p) : rest->len};

    rest->p += end ? ret.len + 1 : ret.len;
    rest->len -= end ? ret.len + 1 : ret.len;
    return ret;
}

static uint8_t letter(struct text letters, size_t i, unsigned first)
{
    return letters.p[i] >= 'a' ? (uint8_t)((unsigned)(letters.p[i] - 'a') + first) : UNKNOWN;
}

static int read_record(struct arena *arena, const struct statistics_plan *plan, const struct statistics_record *record,
                       struct sample *ret, struct error *err)
{
    struct text times = record->milliseconds, lesions = record->lesions;
    const struct text letters[] = {record->correct, record->truth, record->score, record->reference, record->strata};

    for (size_t i = 0; i < sizeof(letters) / sizeof(*letters); i++)
        if (letters[i].len != record->reads)
            return malformed(err, "A packed record");
    *ret = sample_create(arena, record->reads);
    for (size_t i = 0; i < record->reads; i++) {
        int64_t ms;
        if (text_to_int64(next_entry(&times, ','), INT64_MIN, INT64_MAX, &ms) < 0)
            return malformed(err, "A packed record");
        ret->seconds[i] = (double)ms / 1000;
        ret->correct[i] = record->correct.p[i] == '1';
        ret->truth[i] = record->truth.p[i] == '-' ? UNKNOWN : record->truth.p[i] == '1';
        ret->score[i] = letter(record->score, i, plan->scale.lowest);
        ret->reference[i] = letter(record->reference, i, plan->scale.lowest);
        ret->stratum[i] = letter(record->strata, i, 0);
        ret->lesions[i] = next_entry(&lesions, ';');
    }
    ret->n = record->reads;
    return 0;
}

static void add_read(struct sample *to, const struct sample *from, size_t i)
{
    const size_t at = to->n++;

    to->correct[at] = from->correct[i];
    to->truth[at] = from->truth[i];
    to->score[at] = from->score[i];
    to->reference[at] = from->reference[i];
    to->stratum[at] = from->stratum[i];
    to->seconds[at] = from->seconds[i];
    to->lesions[at] = from->lesions[i];
}

/* Those of one stratum (UNKNOWN is one, too). */
static struct sample stratum_of(struct arena *arena, const struct sample *all, uint8_t stratum)
{
    size_t n = 0;

    for (size_t i = 0; i < all->n; i++)
        n += all->stratum[i] == stratum;
    struct sample ret = sample_create(arena, n);
    for (size_t i = 0; i < all->n; i++)
        if (all->stratum[i] == stratum)
            add_read(&ret, all, i);
    return ret;
}

static struct sample with_truth_and_score(struct arena *arena, const struct sample *all)
{
    struct sample ret = sample_create(arena, all->n);

    for (size_t i = 0; i < all->n; i++)
        if (all->truth[i] != UNKNOWN && all->score[i] != UNKNOWN)
            add_read(&ret, all, i);
    return ret;
}

/* --- Lesions ------------------------------------------------------------------------------------------------------- */

/* Rows of all reads, the most confident first, counted and not sorted. */
static struct stats_lesion *lesion_rows(struct arena *arena, const struct sample *reads, size_t *ret_n)
{
    size_t hits[CONFIDENCES + 1] = {0}, marks[CONFIDENCES + 1] = {0}, missed = 0, n = 0;

    for (size_t i = 0; i < reads->n; i++)
        for (size_t k = 0; k < reads->lesions[i].len; k++, n++) {
            const char row = reads->lesions[i].p[k];
            if (row >= 'a' && row < 'a' + CONFIDENCES)
                marks[row - 'a' + 1]++;
            else if (row >= 'A' && row < 'A' + CONFIDENCES)
                hits[row - 'A' + 1]++;
            else
                missed++;
        }
    struct stats_lesion *ret = arena_array(arena, n, sizeof(*ret));
    size_t at = 0;
    for (int confidence = CONFIDENCES; confidence > 0; confidence--)
        for (size_t k = 0; k < hits[confidence] + marks[confidence]; k++)
            ret[at++] = (struct stats_lesion){
                .confidence = confidence, .weight = 1, .is_lesion = k < hits[confidence]};
    for (size_t k = 0; k < missed; k++)
        ret[at++] = (struct stats_lesion){.confidence = 0, .weight = 1, .is_lesion = 1};
    *ret_n = n;
    return ret;
}

/* A case's own score is the reader's for the case: a mark that was set aside counts in it, as picai_eval has it. */
static void render_lesions(struct arena *arena, const struct sample *reads, struct buffer *out)
{
    size_t n;
    const struct stats_lesion *rows = lesion_rows(arena, reads, &n);
    double *score = arena_array(arena, reads->n, sizeof(*score));

    for (size_t i = 0; i < reads->n; i++)
        score[i] = reads->score[i];
    const struct stats_lesions lesions = stats_lesions_of(arena, n, rows, reads->n, reads->truth, score);
    stats_lesions_render(out, &lesions);
}

/* --- One object ---------------------------------------------------------------------------------------------------- */

static void render_correct_and_time(struct arena *arena, const struct sample *reads, struct buffer *out)
{
    size_t right = 0;

    for (size_t i = 0; i < reads->n; i++)
        right += reads->correct[i];
    const struct stats_share correct = stats_share_of(right, reads->n, "no reads");
    const struct stats_mean seconds = stats_mean_of(arena, reads->n, reads->seconds);
    buffer_printf(out, "\"reads\":%zu,\"correct\":", reads->n);
    stats_share_render(out, &correct);
    buffer_puts(out, ",\"seconds\":");
    stats_mean_render(out, &seconds);
}

static void render_sample(struct arena *arena, const struct statistics_plan *plan, const struct sample *all,
                          struct buffer *out)
{
    render_correct_and_time(arena, all, out);
    if (!plan->declared) {
        buffer_puts(out, ",\"left_out\":0,\"statistics\":null,\"lesions\":null,\"undefined\":{"
                         "\"/statistics\":\"the plugin of this modality declares no reader statistics\","
                         "\"/lesions\":\"the plugin of this modality declares no reader statistics\"}");
        return;
    }
    const struct sample reads = with_truth_and_score(arena, all);
    const struct stats_reads stats =
        stats_reads_of(arena, &plan->scale, reads.n, reads.truth, reads.score, reads.reference);
    buffer_printf(out, ",\"left_out\":%zu,\"statistics\":", all->n - reads.n);
    stats_reads_render(out, &stats);
    buffer_puts(out, ",\"lesions\":");
    if (plan->lesions)
        render_lesions(arena, &reads, out);
    else
        buffer_puts(out, "null,\"undefined\":{\"/lesions\":\"the plugin of this modality declares no lesions\"}");
}

static void render_stratum(struct arena *arena, const struct statistics_plan *plan, const char *title,
                           const struct sample *reads, struct buffer *out)
{
    buffer_puts(out, "{\"title\":");
    buffer_json_string(out, text_of(title));
    buffer_puts(out, ",");
    render_sample(arena, plan, reads, out);
    buffer_puts(out, "}");
}

int statistics_render(struct arena *arena, const struct statistics_plan *plan, const struct statistics_strata *strata,
                      const struct statistics_record *record, struct buffer *out, struct error *err)
{
    struct sample all;

    if (read_record(arena, plan, record, &all, err) < 0)
        return -1;
    buffer_puts(out, "\"all\":{");
    render_sample(arena, plan, &all, out);
    buffer_puts(out, strata ? "},\"strata\":[" : "},\"strata\":null");
    for (size_t i = 0; strata && i < strata->count; i++) {
        const struct sample one = stratum_of(arena, &all, (uint8_t)i);
        buffer_puts(out, i ? "," : "");
        render_stratum(arena, plan, strata->titles[i], &one, out);
    }
    if (strata) {
        const struct sample rest = stratum_of(arena, &all, UNKNOWN);
        if (rest.n) {
            buffer_puts(out, ",");
            render_stratum(arena, plan, "not known", &rest, out);
        }
        buffer_puts(out, "]");
    }
    return 0;
}

/* --- Learning ------------------------------------------------------------------------------------------------------ */

static void render_curve(struct arena *arena, size_t n, const uint8_t *correct, struct buffer *out)
{
    struct stats_share *curve = arena_array(arena, n, sizeof(*curve));
    const size_t count = stats_rolling(n, correct, STATISTICS_CURVE_WINDOW, curve);
    const size_t step = (count + STATISTICS_CURVE_MAX - 1) / STATISTICS_CURVE_MAX;
    bool first = true;

    buffer_printf(out, "\"window\":%d,\"curve\":[", STATISTICS_CURVE_WINDOW);
    for (size_t i = 0; i < count; i++) {
        if ((count - 1 - i) % step != 0) /* counted from the newest window, which is always there */
            continue;
        buffer_printf(out, "%s{\"read\":%zu,\"share\":", first ? "" : ",", i + STATISTICS_CURVE_WINDOW);
        stats_share_render(out, &curve[i]);
        buffer_puts(out, "}");
        first = false;
    }
    buffer_puts(out, "]");
}

void statistics_learning_render(struct arena *arena, struct text correct, struct buffer *out)
{
    uint8_t *right = arena_array(arena, correct.len, sizeof(*right));

    for (size_t i = 0; i < correct.len; i++)
        right[i] = correct.p[i] == '1';
    const struct stats_lc_cusum cusum = stats_lc_cusum(correct.len, right, &stats_lc_cusum_default, NULL);
    const struct stats_change_point point = stats_change_point(correct.len, right);
    buffer_printf(out, "\"reads\":%zu,", correct.len);
    render_curve(arena, correct.len, right, out);
    buffer_puts(out, ",\"learning\":");
    stats_learning_render(out, &cusum, &point);
}

/* --- A case -------------------------------------------------------------------------------------------------------- */

static const char *no_discrimination(const struct statistics_case *found)
{
    if (found->correlated)
        return NULL;
    if (found->able == 0)
        return "no reader has a graded read of another case";
    if (found->able_correct == 0 || found->able_correct == found->able)
        return "needs readers who were right and readers who were wrong";
    return "all readers have the same ability elsewhere";
}

static void render_reason(struct buffer *out, bool *first, const char *name, const char *why)
{
    buffer_printf(out, "%s\"/%s\":", *first ? ",\"undefined\":{" : ",", name);
    buffer_json_string(out, text_of(why));
    *first = false;
}

static void render_or_null(struct buffer *out, const char *name, struct text json)
{
    buffer_printf(out, ",\"%s\":", name);
    if (json.len)
        buffer_add(out, json.p, json.len);
    else
        buffer_puts(out, "null");
}

void statistics_case_render(const struct statistics_plan *plan, const struct statistics_case *found, const char *why,
                            struct buffer *out)
{
    static const char *const names[] = {"readers", "difficulty", "discrimination", "seconds", "errors", "scores", "points"};
    static const char unread[] = "would hint at the truth: shown when you have submitted a read of this case";
    bool first = true;

    if (!found) {
        for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
            buffer_printf(out, "%s\"%s\":null", i ? "," : "", names[i]);
        for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
            render_reason(out, &first, names[i], why);
        buffer_puts(out, "}");
        return;
    }
    const struct stats_share difficulty = stats_share_of(found->correct, found->readers, "no reads");
    const char *reason = no_discrimination(found);
    buffer_printf(out, "\"readers\":%zu,\"difficulty\":", found->readers);
    stats_share_render(out, &difficulty);
    buffer_puts(out, ",\"discrimination\":");
    if (reason)
        buffer_puts(out, "null");
    else
        buffer_printf(out, "%.17g", found->discrimination + 0.0);
    buffer_puts(out, ",\"seconds\":");
    stats_mean_render(out, &found->seconds);
    render_or_null(out, "errors", found->errors);
    render_or_null(out, "scores", plan->declared ? found->scores : (struct text){0});
    render_or_null(out, "points", found->points);
    if (reason)
        render_reason(out, &first, "discrimination", reason);
    if (!found->errors.len)
        render_reason(out, &first, "errors", unread);
    if (!found->errors.len || !plan->declared)
        render_reason(out, &first, "scores",
                      plan->declared ? unread : "the plugin of this modality declares no reader statistics");
    if (!found->points.len)
        render_reason(out, &first, "points", unread);
    if (!first)
        buffer_puts(out, "}");
}
