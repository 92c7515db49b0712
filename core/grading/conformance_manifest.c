/* What a manifest tells clients and statistics, held against the answer's schema and the golden grades: a name that leads nowhere
 * would be a form without its field and a table of nulls, and nobody would say why. */
#include "grading/conformance.h"
#include <math.h>
#include <string.h>

void conformance_manifest(struct conformance *c)
{
    const struct error *err = &c->manifest_error;

    if (err->kind != ERROR_NONE)
        conformance_fail(c, "manifest.json %s%s%s", err->field, err->field[0] ? ": " : "", err->detail);
    else if (c->manifest.code_count == 0)
        conformance_fail(c,
                         "manifest.json /findings names no code: a grade without findings explains nothing");
}

/* The manifest as the author wrote it; NULL, and the check left out, while it is no manifest. */
static json_t *whole_manifest(struct conformance *c)
{
    if (c->manifest_error.kind == ERROR_NONE)
        return json_loadb(c->manifest.json.p, c->manifest.json.len, 0, NULL);
    conformance_skip(c, "the manifest comes first");
    return NULL;
}

/* --- Where a pointer of the hints leads
 * ------------------------------------------------------------------------------ */

enum { DEEPEST = 64 };

/* What "$ref" stands for; NULL: there is none. */
static json_t *referred(json_t *schema, json_t *root)
{
    static const char definitions[] = "#/$defs/";
    const char *ref = json_string_value(json_object_get(schema, "$ref"));

    if (!ref)
        return NULL;
    if (strncmp(ref, definitions, strlen(definitions)) != 0)
        return root;
    return json_object_get(json_object_get(root, "$defs"), ref + strlen(definitions));
}

static json_t *step(json_t *schema, const char *token, size_t len)
{
    static const char *const each[] = {"items", "additionalProperties"};
    json_t *properties = json_object_get(schema, "properties"), *first = json_object_iter_value(json_object_iter(properties));

    if (len != 1 || *token != '*')
        return json_object_getn(properties, token, len);
    for (size_t i = 0; i < sizeof(each) / sizeof(*each); i++)
        if (json_is_object(json_object_get(schema, each[i])))
            return json_object_get(schema, each[i]);
    return first ? first : json_array_get(json_object_get(schema, "prefixItems"), 0);
}

/* The schema of what `pointer` stands for, "*" being each item or member, by whatever branch leads there; NULL: of nothing. */
static json_t *follow(json_t *schema, json_t *root, const char *pointer, int depth)
{
    static const char *const branches[] = {"allOf", "anyOf", "oneOf"};
    json_t *target = referred(schema, root), *found = NULL, *one;
    size_t len = *pointer == '/' ? strcspn(pointer + 1, "/") : 0, i;

    if (!schema || depth > DEEPEST || (*pointer && *pointer != '/'))
        return NULL;
    if (!*pointer)
        return target ? follow(target, root, pointer, depth + 1) : schema;
    found = follow(step(schema, pointer + 1, len), root, pointer + 1 + len, depth + 1);
    if (!found && target)
        found = follow(target, root, pointer, depth + 1);
    for (size_t k = 0; !found && k < sizeof(branches) / sizeof(*branches); k++)
        json_array_foreach(json_object_get(schema, branches[k]), i, one)
            if (!found)
                found = follow(one, root, pointer, depth + 1);
    return found;
}

static json_t *lead(json_t *root, const char *pointer)
{
    return follow(root, root, pointer, 0);
}

/* --- ui
 * -------------------------------------------------------------------------------------------------------------- */

static void look_at_groups(struct conformance *c, json_t *groups, json_t *answer)
{
    const char *pointer;
    json_t *list, *group, *member;
    size_t i, k;

    json_object_foreach(groups, pointer, list)
    {
        json_t *of = lead(answer, pointer);

        if (!of)
            conformance_fail(c, "/ui/groups: \"%s\" leads to nothing of the answer", pointer);
        json_array_foreach(list, i, group)
        {
            json_array_foreach(json_object_get(group, "members"), k, member)
            {
                const char *name = json_string_value(member);

                if (of && !(name && lead(answer, arena_printf(c->arena, "%s/%s", pointer, name))))
                    conformance_fail(c, "/ui/groups: what \"%s\" leads to has no member \"%s\"", pointer,
                                     name ? name : "");
            }
        }
    }
}

static void look_at_widgets(struct conformance *c, json_t *widgets, json_t *answer)
{
    static const char *const known[] = {"point_px",   "point_lps_mm", "ellipsoid_lps_mm", "point_view_mm",
                                        "sector_map", "hidden"};
    const char *pointer;
    json_t *widget;

    json_object_foreach(widgets, pointer, widget)
    {
        const char *name = json_string_value(widget);
        bool good = name && strncmp(name, "x-", 2) == 0;

        for (size_t i = 0; name && i < sizeof(known) / sizeof(*known); i++)
            good = good || strcmp(name, known[i]) == 0;
        if (!good)
            conformance_fail(c, "/ui/widgets: \"%s\" is no widget of the guide; one of your own begins with x-",
                             name ? name : "");
        if (!lead(answer, pointer))
            conformance_fail(c, "/ui/widgets: \"%s\" leads to nothing of the answer", pointer);
    }
}

static bool among(json_t *list, json_t *value)
{
    json_t *one;
    size_t i;

    json_array_foreach(list, i, one) if (json_equal(one, value)) return true;
    return false;
}

static void look_at_condition(struct conformance *c, const char *on, json_t *values, json_t *answer)
{
    json_t *schema = lead(answer, on), *choices = json_object_get(schema, "enum"), *value;
    size_t i;

    if (!schema)
        conformance_fail(c, "/ui/show_when: \"%s\" leads to nothing of the answer", on);
    if (json_array_size(values) == 0)
        conformance_fail(c, "/ui/show_when: \"%s\" names no value", on);
    json_array_foreach(values, i, value) if (choices && !among(choices, value))
        conformance_fail(c, "/ui/show_when: \"%s\" never has value %zu of those named", on, i + 1);
}

static void look_at_conditions(struct conformance *c, json_t *show_when, json_t *answer)
{
    const char *pointer, *on;
    json_t *conditions, *values;

    json_object_foreach(show_when, pointer, conditions)
    {
        if (!lead(answer, pointer))
            conformance_fail(c, "/ui/show_when: \"%s\" leads to nothing of the answer", pointer);
        json_object_foreach(conditions, on, values) look_at_condition(c, on, values, answer);
    }
}

void conformance_ui(struct conformance *c)
{
    json_t *manifest = whole_manifest(c), *ui = json_object_get(manifest, "ui");
    json_t *answer = json_object_get(json_object_get(manifest, "schemas"), "answer");

    look_at_groups(c, json_object_get(ui, "groups"), answer);
    look_at_widgets(c, json_object_get(ui, "widgets"), answer);
    look_at_conditions(c, json_object_get(ui, "show_when"), answer);
    json_decref(manifest);
}

/* --- reader_statistics
 * ----------------------------------------------------------------------------------------------- */

/* The metric stands in a golden grade, and is where it is defined a whole number from low to high. */
static void look_at_metric(struct conformance *c, const char *where, const json_t *metric,
                           const struct host_result *grades, json_int_t low, json_int_t high)
{
    const char *name = json_string_value(metric);
    bool found = false;

    if (!name)
        return; /* optional; what must be there, the manifest's reader has asked for */
    for (size_t i = 0; i < c->case_count; i++) {
        json_t *grade = json_loadb(grades[i].text.p, grades[i].text.len, 0, NULL);
        json_t *value = json_object_get(json_object_get(grade, "metrics"), name);
        double number = json_number_value(value);

        found = found || value;
        if (json_is_number(value) && (number != floor(number) || number < (double)low || number > (double)high))
            conformance_fail(c, "/reader_statistics/%s: %s has \"%s\" %g, not one of %lld to %lld", where, c->cases[i].name,
                             name, number, (long long)low, (long long)high);
        json_decref(grade);
    }
    if (!found)
        conformance_fail(c, "/reader_statistics/%s: no golden grade has a metric \"%s\"", where, name);
}

static void look_at_marks(struct conformance *c, json_t *lesions, json_t *answer)
{
    const char *marks = json_string_value(json_object_get(lesions, "marks"));
    const char *confidence = json_string_value(json_object_get(lesions, "confidence"));

    if (marks && confidence && !lead(answer, arena_printf(c->arena, "/%s/*/%s", marks, confidence)))
        conformance_fail(c, "/reader_statistics/lesions: the answer has no \"%s\" whose items have \"%s\"", marks, confidence);
}

void conformance_statistics(struct conformance *c)
{
    json_t *manifest = whole_manifest(c), *said = json_object_get(manifest, "reader_statistics"), *stratum;
    json_t *lowest = json_object_get(said, "lowest");
    json_int_t low = lowest ? json_integer_value(lowest) : 1;
    json_int_t high = low + json_integer_value(json_object_get(said, "levels")) - 1;
    size_t i;
    const struct host_result *grades = said && conformance_load(c) ? conformance_grade_all(c, c->plugin) : NULL;

    if (grades) {
        look_at_metric(c, "truth", json_object_get(said, "truth"), grades, 0, 1);
        look_at_metric(c, "score", json_object_get(said, "score"), grades, low, high);
        look_at_metric(c, "reference", json_object_get(said, "reference"), grades, low, high);
        json_array_foreach(json_object_get(said, "strata"), i, stratum)
            look_at_metric(c, "strata", json_object_get(stratum, "metric"), grades, 1,
                           (json_int_t)json_array_size(json_object_get(stratum, "titles")));
        look_at_marks(c, json_object_get(said, "lesions"),
                      json_object_get(json_object_get(manifest, "schemas"), "answer"));
    }
    json_decref(manifest);
}
