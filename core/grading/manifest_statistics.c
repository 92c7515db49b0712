#include "grading/manifest_statistics.h"

#include <string.h>

#define ROOT "/reader_statistics"
enum {
    LEVELS_MAX = 16,
    THRESHOLDS_MAX = 4,
    STRATA_MAX = 8,
    EDGES_MAX = 10,
    TITLES_MAX = 20,
    NAME_MAX = 64,
};

static int refuse(struct error *err, const char *field, const char *why)
{
    return error_set(err, ERROR_INVALID, "bad_manifest", field, "%s", why);
}

static bool is_text(const json_t *value)
{
    const size_t len = json_string_length(value);
    return json_is_string(value) && len > 0 && len <= NAME_MAX;
}

static bool is_number_within(const json_t *value, int64_t low, int64_t high)
{
    return json_is_integer(value) && json_integer_value(value) >= low && json_integer_value(value) <= high;
}

static int only(const json_t *object, const char *field, const char *const *names, struct error *err)
{
    if (!json_is_object(object))
        return refuse(err, field, "must be an object");
    for (void *i = json_object_iter((json_t *)(uintptr_t)object); i;
         i = json_object_iter_next((json_t *)(uintptr_t)object, i)) {
        size_t k = 0;
        while (names[k] && strcmp(names[k], json_object_iter_key(i)) != 0)
            k++;
        if (!names[k])
            return error_set(err, ERROR_INVALID, "bad_manifest", field, "has an unknown member \"%.64s\"",
                             json_object_iter_key(i));
    }
    return 0;
}

static int need_text(const json_t *object, const char *name, const char *field, bool required, struct error *err)
{
    const json_t *value = json_object_get(object, name);
    return is_text(value) || (!value && !required) ? 0 : refuse(err, field, "must be a string of 1 to 64 bytes");
}

static int need_texts(const json_t *list, const char *field, size_t min, size_t max, struct error *err)
{
    bool good = json_is_array(list) && json_array_size(list) >= min && json_array_size(list) <= max;
    for (size_t i = 0; good && i < json_array_size(list); i++)
        good = is_text(json_array_get(list, i));
    return good ? 0
                : error_set(err, ERROR_INVALID, "bad_manifest", field,
                            "must be an array of %zu to %zu strings of 1 to 64 bytes", min, max);
}

static int check_scale(const json_t *statistics, struct error *err)
{
    const json_t *lowest = json_object_get(statistics, "lowest"), *levels = json_object_get(statistics, "levels"),
                 *from = json_object_get(statistics, "positive_from"), *titles = json_object_get(statistics, "titles");
    if (lowest && !is_number_within(lowest, 0, 1))
        return refuse(err, ROOT "/lowest", "must be 0 or 1");
    if (!is_number_within(levels, 2, LEVELS_MAX))
        return refuse(err, ROOT "/levels", "must be a whole number from 2 to 16");

    const int64_t low = lowest ? json_integer_value(lowest) : 1, high = low + json_integer_value(levels) - 1;
    const size_t count = json_array_size(from);
    int64_t before = low;
    bool good = count >= 1 && count <= THRESHOLDS_MAX;
    for (size_t i = 0; good && i < count; i++) {
        const json_t *value = json_array_get(from, i);
        good = is_number_within(value, before + 1, high);
        before = json_integer_value(value);
    }
    if (!good)
        return refuse(err, ROOT "/positive_from",
                      "must be an array of 1 to 4 levels above the lowest, ascending, each once");
    const size_t size = (size_t)json_integer_value(levels);
    return titles ? need_texts(titles, ROOT "/titles", size, size, err) : 0;
}

/* Codes of the manifest's findings. */
static int need_codes(const json_t *list, const json_t *findings, const char *field, bool required, struct error *err)
{
    if (!list && !required)
        return 0;
    if (need_texts(list, field, required ? 1 : 0, TITLES_MAX, err) < 0)
        return -1;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *code = json_string_value(json_array_get(list, i));
        if (!json_object_get(findings, code))
            return error_set(err, ERROR_INVALID, "bad_manifest", field, "\"%.64s\" is no code of /findings", code);
    }
    return 0;
}

static int check_lesions(const json_t *lesions, const json_t *findings, struct error *err)
{
    static const char *const names[] = {"marks", "confidence", "order", "found", "missed", "set_aside", NULL};
    const json_t *order = json_object_get(lesions, "order");
    if (!lesions)
        return 0;
    if (only(lesions, ROOT "/lesions", names, err) < 0 ||
        need_text(lesions, "marks", ROOT "/lesions/marks", true, err) < 0 ||
        need_text(lesions, "confidence", ROOT "/lesions/confidence", true, err) < 0)
        return -1;
    bool good = json_array_size(order) >= 2 && json_array_size(order) <= LEVELS_MAX;
    for (size_t i = 0; good && i < json_array_size(order); i++) {
        const json_t *value = json_array_get(order, i);
        good = is_text(value) || json_is_integer(value);
    }
    if (!good)
        return refuse(err, ROOT "/lesions/order", "must be an array of 2 to 16 whole numbers or strings");
    return need_codes(json_object_get(lesions, "found"), findings, ROOT "/lesions/found", true, err) < 0 ||
                   need_codes(json_object_get(lesions, "missed"), findings, ROOT "/lesions/missed", true, err) < 0 ||
                   need_codes(json_object_get(lesions, "set_aside"), findings, ROOT "/lesions/set_aside", false, err) < 0
               ? -1
               : 0;
}

static int check_edges(const json_t *edges, const char *field, struct error *err)
{
    const size_t count = json_array_size(edges);
    bool good = count >= 1 && count <= EDGES_MAX;
    for (size_t i = 0; good && i < count; i++) {
        const json_t *value = json_array_get(edges, i), *before = i ? json_array_get(edges, i - 1) : NULL;
        good = json_is_number(value) && (!before || json_number_value(value) > json_number_value(before));
    }
    return good ? 0 : refuse(err, field, "must be an array of 1 to 10 numbers, ascending");
}

/* Where else the same name stands, or where the API has it built in. */
static bool name_taken(const json_t *strata, size_t at)
{
    const char *name = json_string_value(json_object_get(json_array_get(strata, at), "name"));
    bool ret = strcmp(name, "difficulty") == 0;
    for (size_t i = 0; i < at && !ret; i++)
        ret = strcmp(name, json_string_value(json_object_get(json_array_get(strata, i), "name"))) == 0;
    return ret;
}

static int check_stratum(const json_t *strata, size_t at, struct error *err)
{
    static const char *const names[] = {"name", "title", "clinical", "edges", "unit", "metric", "titles", NULL};
    static const char field[] = ROOT "/strata";
    const json_t *stratum = json_array_get(strata, at);
    if (only(stratum, field, names, err) < 0 || need_text(stratum, "name", field, true, err) < 0 ||
        need_text(stratum, "title", field, true, err) < 0 || need_text(stratum, "unit", field, false, err) < 0 ||
        need_text(stratum, "clinical", field, false, err) < 0 || need_text(stratum, "metric", field, false, err) < 0)
        return -1;
    if (name_taken(strata, at))
        return refuse(err, field, "names one stratum twice, or one \"difficulty\", which there always is");
    const json_t *edges = json_object_get(stratum, "edges"), *titles = json_object_get(stratum, "titles");
    if (json_object_get(stratum, "clinical") && !json_object_get(stratum, "metric") && !titles)
        return check_edges(edges, ROOT "/strata/edges", err);
    if (json_object_get(stratum, "metric") && !json_object_get(stratum, "clinical") && !edges)
        return need_texts(titles, ROOT "/strata/titles", 1, TITLES_MAX, err);
    return refuse(err, field, "each has either clinical and edges, or metric and titles");
}

static int check_strata(const json_t *strata, struct error *err)
{
    if (!strata)
        return 0;
    if (!json_is_array(strata) || json_array_size(strata) > STRATA_MAX)
        return refuse(err, ROOT "/strata", "must be an array of at most 8 strata");
    for (size_t i = 0; i < json_array_size(strata); i++)
        if (check_stratum(strata, i, err) < 0)
            return -1;
    return 0;
}

int manifest_statistics_check(const json_t *statistics, const json_t *findings, struct error *err)
{
    static const char *const names[] = {"truth",  "score",     "lowest",  "levels", "positive_from",
                                        "titles", "reference", "lesions", "strata", NULL};
    if (only(statistics, ROOT, names, err) < 0 || need_text(statistics, "truth", ROOT "/truth", true, err) < 0 ||
        need_text(statistics, "score", ROOT "/score", true, err) < 0 ||
        need_text(statistics, "reference", ROOT "/reference", false, err) < 0 || check_scale(statistics, err) < 0 ||
        check_lesions(json_object_get(statistics, "lesions"), findings, err) < 0)
        return -1;
    return check_strata(json_object_get(statistics, "strata"), err);
}
