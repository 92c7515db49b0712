#include "scoreboard/stats_json.h"

#include <math.h>
#include <string.h>
#include "scoreboard/stats.h"
#include "scoreboard/stats_lesions.h"
#include "scoreboard/stats_render.h"

#define INVALID "invalid_statistics_input"

/* jansson's iterators want a pointer that may write, and do not write. */
static json_t *iterable(const json_t *object)
{
    return (json_t *)(uintptr_t)object;
}

/* RFC 6901 */
static const char *pointer_token(struct arena *arena, const char *name)
{
    char *ret = arena_alloc(arena, 2 * strlen(name) + 1), *end = ret;

    for (; *name; name++) {
        if (*name == '~' || *name == '/')
            *end++ = '~';
        *end++ = *name == '~' ? '0' : *name == '/' ? '1' : *name;
    }
    return ret;
}

static int integer_within(const json_t *value, int low, int high, uint8_t *ret)
{
    if (!json_is_number(value))
        return -1;
    const double number = json_number_value(value);
    if (!(number >= low && number <= high) || number != floor(number))
        return -1;
    *ret = (uint8_t)number;
    return 0;
}

static int finite_from_zero(const json_t *value, double *ret)
{
    if (!json_is_number(value) || !isfinite(json_number_value(value)) || json_number_value(value) < 0)
        return -1;
    *ret = json_number_value(value);
    return 0;
}

static int only_members(struct arena *arena, const json_t *input, const char *const names[3],
                        struct error *err)
{
    const char *key;
    json_t *value;

    json_object_foreach(iterable(input), key, value)
    {
        if (strcmp(key, names[0]) == 0 || strcmp(key, names[1]) == 0 || strcmp(key, names[2]) == 0)
            continue;
        return error_set(
            err, ERROR_UNPROCESSABLE, INVALID, arena_printf(arena, "/%s", pointer_token(arena, key)),
            "Unknown member; expected %s, %s and, optionally, %s.", names[0], names[1], names[2]);
    }
    return 0;
}

/* An array of integers within [low, high]; expected is its length, or SIZE_MAX to take it as it is. */
static int read_integers(struct arena *arena, const json_t *input, const char *name, int low, int high,
                         size_t expected, const uint8_t **ret, struct error *err)
{
    const json_t *array = json_object_get(input, name), *value;
    const size_t n = json_array_size(array);
    size_t i;

    if (!json_is_array(array))
        return error_set(err, ERROR_UNPROCESSABLE, INVALID, arena_printf(arena, "/%s", name),
                         "Must be an array.");
    if (expected != SIZE_MAX && n != expected)
        return error_set(err, ERROR_UNPROCESSABLE, INVALID, arena_printf(arena, "/%s", name),
                         "Has %zu entries where truth has %zu.", n, expected);

    uint8_t *values = arena_array(arena, n, sizeof(*values));
    json_array_foreach(array, i, value) if (integer_within(value, low, high, &values[i])) return error_set(
        err, ERROR_UNPROCESSABLE, INVALID, arena_printf(arena, "/%s/%zu", name, i),
        "Must be a whole number from %d to %d.", low, high);
    *ret = values;
    return 0;
}

static int report_reads(struct arena *arena, const json_t *input, struct buffer *out, struct error *err)
{
    const uint8_t *truth = NULL, *score = NULL, *reference = NULL;
    const size_t n = json_array_size(json_object_get(input, "truth"));

    if (only_members(arena, input, (const char *const[]){"truth", "score", "reference"}, err) ||
        read_integers(arena, input, "truth", 0, 1, SIZE_MAX, &truth, err) ||
        read_integers(arena, input, "score", 1, 5, n, &score, err))
        return -1;
    if (json_object_get(input, "reference") &&
        read_integers(arena, input, "reference", 1, 5, n, &reference, err))
        return -1;

    const struct stats_reads reads = stats_reads_of(arena, &stats_pirads, n, truth, score, reference);
    stats_reads_render(out, &reads);
    return 0;
}

struct lesion_input {
    struct stats_lesion *rows;
    size_t n;
    uint8_t *target;
    double *score;
    size_t cases;
};

static int bad_row(struct arena *arena, const char *name, size_t row, int column, const char *what,
                   struct error *err)
{
    const char *token = pointer_token(arena, name);

    return error_set(err, ERROR_UNPROCESSABLE, INVALID,
                     column < 0 ? arena_printf(arena, "/lesion_results/%s/%zu", token, row)
                                : arena_printf(arena, "/lesion_results/%s/%zu/%d", token, row, column),
                     "%s", what);
}

static int read_row(struct arena *arena, const char *name, size_t i, const json_t *row,
                    struct stats_lesion *ret, struct error *err)
{
    double overlap;

    if (json_array_size(row) != 3)
        return bad_row(arena, name, i, -1, "Must be [is_lesion, confidence, overlap].", err);
    if (integer_within(json_array_get(row, 0), 0, 1, &ret->is_lesion))
        return bad_row(arena, name, i, 0, "is_lesion must be 0 or 1.", err);
    if (finite_from_zero(json_array_get(row, 1), &ret->confidence))
        return bad_row(arena, name, i, 1, "confidence must be a number of at least 0.", err);
    if (finite_from_zero(json_array_get(row, 2), &overlap) || overlap > 1)
        return bad_row(arena, name, i, 2, "overlap must be a number from 0 to 1.", err);
    ret->weight = 1;
    return 0;
}

/* Appends the rows of one case; *score becomes the highest confidence among them. */
static int read_case(struct arena *arena, const char *name, const json_t *rows, struct lesion_input *in,
                     double *score, struct error *err)
{
    const json_t *row;
    size_t i;

    if (!json_is_array(rows))
        return error_set(err, ERROR_UNPROCESSABLE, INVALID,
                         arena_printf(arena, "/lesion_results/%s", pointer_token(arena, name)),
                         "Must be an array.");
    json_array_foreach(rows, i, row)
    {
        struct stats_lesion *lesion = &in->rows[in->n++];
        if (read_row(arena, name, i, row, lesion, err))
            return -1;
        *score = fmax(*score, lesion->confidence);
    }
    return 0;
}

static int case_member(struct arena *arena, const char *member, const char *name, const char *what,
                       struct error *err)
{
    return error_set(err, ERROR_UNPROCESSABLE, INVALID,
                     arena_printf(arena, "/%s/%s", member, pointer_token(arena, name)), "%s", what);
}

static size_t count_rows(const json_t *results)
{
    const char *name;
    json_t *rows;
    size_t ret = 0;

    json_object_foreach(iterable(results), name, rows) ret += json_array_size(rows);
    return ret;
}

static int no_other_case(struct arena *arena, const json_t *results, const json_t *other, const char *member,
                         struct error *err)
{
    const char *name;
    json_t *value;

    json_object_foreach(iterable(other), name, value) if (!json_object_get(results, name)) return case_member(
        arena, member, name, "This case is not in lesion_results.", err);
    return 0;
}

static int read_cases(struct arena *arena, const json_t *results, const json_t *targets, const json_t *scores,
                      struct lesion_input *in, struct error *err)
{
    const char *name;
    json_t *rows;

    json_object_foreach(iterable(results), name, rows)
    {
        const size_t i = in->cases++;
        if (read_case(arena, name, rows, in, &in->score[i], err))
            return -1;
        if (integer_within(json_object_get(targets, name), 0, 1, &in->target[i]))
            return case_member(arena, "case_target", name, "Every case needs a target of 0 or 1.", err);
        if (scores && finite_from_zero(json_object_get(scores, name), &in->score[i]))
            return case_member(arena, "case_score", name, "Every case needs a score: a number of at least 0.",
                               err);
    }
    if (no_other_case(arena, results, targets, "case_target", err))
        return -1;
    return scores ? no_other_case(arena, results, scores, "case_score", err) : 0;
}

static int report_lesions(struct arena *arena, const json_t *input, struct buffer *out, struct error *err)
{
    static const char *const names[] = {"lesion_results", "case_target", "case_score"};
    const json_t *member[3];

    if (only_members(arena, input, names, err))
        return -1;
    for (int i = 0; i < 3; i++) {
        member[i] = json_object_get(input, names[i]);
        if (!json_is_object(member[i]) && (i < 2 || member[i]))
            return error_set(err, ERROR_UNPROCESSABLE, INVALID, arena_printf(arena, "/%s", names[i]),
                             "Must be an object with one member a case.");
    }

    const size_t cases = json_object_size(member[0]);
    struct lesion_input in = {
        .rows = arena_array(arena, count_rows(member[0]), sizeof(*in.rows)),
        .target = arena_array(arena, cases, sizeof(*in.target)),
        .score = arena_array(arena, cases, sizeof(*in.score)),
    };
    if (read_cases(arena, member[0], member[1], member[2], &in, err))
        return -1;

    const struct stats_lesions lesions =
        stats_lesions_of(arena, in.n, in.rows, in.cases, in.target, in.score);
    stats_lesions_render(out, &lesions);
    return 0;
}

int stats_report(struct arena *arena, const json_t *input, struct buffer *out, struct error *err)
{
    int ret;

    if (json_object_get(input, "truth") || json_object_get(input, "score"))
        ret = report_reads(arena, input, out, err);
    else if (json_object_get(input, "lesion_results") || json_object_get(input, "case_target"))
        ret = report_lesions(arena, input, out, err);
    else
        return error_set(err, ERROR_UNPROCESSABLE, INVALID, "",
                         "Expected an object with truth and score, or with lesion_results and case_target.");
    if (ret == 0 && out->failed)
        return error_set(err, ERROR_TOO_LARGE, "statistics_too_large", NULL,
                         "The result has more than %zu bytes.", out->max);
    return ret;
}
