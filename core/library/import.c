#include "library/library.h"

#include <stdio.h>
#include <string.h>

#include "grading/grading.h"
#include "library/case_folder.h"
#include "library/library_config.h"
#include "library/library_sql.h"
#include "library/prepare.h"
#include "library/store.h"

/* Truth and config against the plugin's schemas, then against each other by the plugin itself. */
static int check_with_plugin(struct arena *arena, const struct case_folder *f, const struct grading_plugin **ret,
                             struct error *err)
{
    const struct grading_plugin *plugin = grading_plugin(arena, f->plugin);
    if (!plugin || plugin->broken)
        return error_set(err, ERROR_UNPROCESSABLE, "unknown_plugin", "case.json#/plugin", "There is no plugin %s%s%s.",
                         f->plugin, plugin ? " that works: " : "", plugin ? plugin->broken : "");
    if (strcmp(f->modality, f->plugin) != 0)
        return error_set(err, ERROR_UNPROCESSABLE, "modality_differs", "case.json#/modality",
                         "A modality has the name of the plugin that grades it: %s.", f->plugin);
    if (grading_validate(plugin, GRADING_CONFIG, f->config, "case.json#/config", err) < 0 ||
        grading_validate(plugin, GRADING_TRUTH, f->truth, "truth.json#/truth", err) < 0)
        return -1;
    const struct grading_input input = {.config = json_render(arena, f->config), .truth = json_render(arena, f->truth)};
    if (grading_check_blocking(plugin, &input, "truth.json#/truth", err) < 0)
        return -1;
    *ret = plugin;
    return 0;
}

static json_t *numbers(const double *values, int count)
{
    json_t *array = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(array, json_real(values[i]));
    return array;
}

static void add_file(json_t *files, const struct prepared_file *file, const char *kind)
{
    json_array_append_new(files, json_pack("{s:s,s:s,s:I}", "sha256", file->sha256, "kind", kind, "bytes",
                                           (json_int_t)file->bytes));
}

static json_t *instance_json(const struct prepared_instance *p, json_t *files)
{
    char name[SHA256_HEX_SIZE + 4];
    json_t *frames = json_array();
    for (int64_t i = 0; i < p->frames; i++) {
        snprintf(name, sizeof(name), "%s.png", p->frame[i].sha256);
        json_array_append_new(frames, json_string(name));
        add_file(files, &p->frame[i], "png");
    }
    add_file(files, &p->dicom, "dcm");
    snprintf(name, sizeof(name), "%s.dcm", p->dicom.sha256);
    json_t *json = json_pack("{s:s,s:I,s:I,s:I,s:I,s:o}", "dicom", name, "bytes", (json_int_t)p->dicom.bytes, "rows",
                             (json_int_t)p->rows, "columns", (json_int_t)p->columns, "number", (json_int_t)p->number,
                             "frames", frames);
    if (p->placed) {
        json_object_set_new(json, "position_lps_mm", numbers(p->position, 3));
        json_object_set_new(json, "orientation", numbers(p->orientation, 6));
        json_object_set_new(json, "spacing_mm", numbers(p->spacing, 2));
    }
    return json;
}

static json_t *series_json(const struct case_series *series, const struct prepared_series *prepared, json_t *files)
{
    json_t *instances = json_array();
    for (int i = 0; i < prepared->count; i++)
        json_array_append_new(instances, instance_json(&prepared->instance[i], files));
    json_t *json = json_pack("{s:s,s:s,s:o}", "name", series->name, "role", series->role, "instances", instances);
    if (prepared->bounded) {
        json_t *box = json_array();
        for (int axis = 0; axis < 3; axis++)
            json_array_append_new(box, numbers(prepared->bounds[axis], 2));
        json_object_set_new(json, "bounds_lps_mm", box);
    }
    return json;
}

static int prepare_all(struct arena *arena, const struct case_folder *f, json_t *list, json_t *files, struct error *err)
{
    char *store = arena_printf(arena, "%s/images", library_config()->state_dir);
    if (store_open(store, err) < 0)
        return -1;
    for (int i = 0; i < f->series_count; i++) {
        const struct case_series *s = &f->series[i];
        struct prepared_series prepared;
        if (prepare_series(arena, s->path, s->directory, s->files, s->count, store, f->deidentified_by != NULL, &prepared,
                           err) < 0)
            return -1;
        json_array_append_new(list, series_json(s, &prepared, files));
    }
    return 0;
}

static void release(void *json)
{
    json_decref(json);
}

/* The document that case_import (migrations/0002) takes. Its hash is over everything but the file list, which follows
 * from the images. */
static json_t *document(struct arena *arena, const struct case_folder *f, const struct grading_plugin *plugin,
                        json_t *series)
{
    json_t *doc = json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:b,s:s,s:s,s:{s:o}}", "slug", f->slug, "modality", f->modality,
                            "modality_title", plugin->title, "plugin", f->plugin, "title", f->title, "difficulty",
                            (json_int_t)f->difficulty, "synthetic", (int)f->synthetic, "truth_kind", f->truth_kind,
                            "expert_report", f->expert_report, "images", "series", series);
    arena_defer(arena, release, doc);
    const struct {
        const char *name;
        const json_t *value;
    } parts[] = {{"clinical", f->clinical}, {"provenance", f->provenance}, {"config", f->config}, {"truth", f->truth},
                 {"histology", f->histology}};
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
        json_object_set_new(doc, parts[i].name, parts[i].value ? json_deep_copy(parts[i].value) : json_null());
    char sha256[SHA256_HEX_SIZE];
    struct text text = json_render(arena, doc);
    crypto_sha256_hex(text.p, text.len, sha256);
    json_object_set_new(doc, "content_sha256", json_string(sha256));
    return doc;
}

int library_import(struct db_session *admin, struct arena *arena, const char *directory, bool publish, struct text *ret,
                   struct error *err)
{
    struct case_folder f;
    const struct grading_plugin *plugin = NULL;
    const struct db_result *res;
    char id[UUID_SIZE];
    if (case_folder_read(arena, directory, &f, err) < 0 || check_with_plugin(arena, &f, &plugin, err) < 0)
        return -1;
    json_t *series = json_array(), *files = json_array();
    if (prepare_all(arena, &f, series, files, err) < 0) {
        json_decref(series);
        json_decref(files);
        return -1;
    }
    json_t *doc = document(arena, &f, plugin, series);
    json_object_set_new(doc, "files", files);
    uuid_v7(id);
    if (db_session_run(admin, arena, sql_case_import,
                       (const char *const[]){id, json_render(arena, doc).p, publish ? "true" : "false"}, &res, err) < 0)
        return -1;
    *ret = db_text(res, 0, 0);
    return 0;
}

/* The statement gives a row when there is such a case. */
static int change(struct db_session *admin, struct arena *arena, const struct db_statement *statement, const char *const params[],
                  struct error *err)
{
    const struct db_result *res;
    if (db_session_run(admin, arena, statement, params, &res, err) < 0)
        return -1;
    if (db_rows(res) == 0)
        return error_set(err, ERROR_NOT_FOUND, "case_not_found", NULL, "There is no case with the slug %s.", params[0]);
    return 0;
}

int library_set_state(struct db_session *admin, struct arena *arena, const char *slug, const char *state,
                      const char *reason, struct error *err)
{
    return change(admin, arena, sql_case_set_state, (const char *const[]){slug, state, reason}, err);
}

int library_set_sample(struct db_session *admin, struct arena *arena, const char *slug, bool sample, struct error *err)
{
    return change(admin, arena, sql_case_set_sample, (const char *const[]){slug, sample ? "true" : "false"}, err);
}

int library_list(struct db_session *admin, struct arena *arena, struct buffer *out, struct error *err)
{
    const struct db_result *res;
    if (db_session_run(admin, arena, sql_case_list_all, NULL, &res, err) < 0)
        return -1;
    for (int i = 0; i < db_rows(res); i++) {
        struct text line = db_text(res, i, 0);
        buffer_add(out, line.p, line.len);
        buffer_puts(out, "\n");
    }
    return out->failed ? error_set(err, ERROR_TOO_LARGE, "list_too_large", NULL, "The list does not fit.") : 0;
}
