#include "library/case_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "library/prepare.h"

enum { JSON_FILE_MAX = 4 << 20 };

/* Puts the file's name before the pointer that a check below has left in err->field. */
static int in_file(struct error *err, const char *file)
{
    char field[sizeof(err->field)];
    snprintf(field, sizeof(field), "%s#%.*s", file, (int)(sizeof(field) - 32), err->field);
    memcpy(err->field, field, sizeof(field));
    return -1;
}

static int read_json(struct arena *arena, const char *directory, const char *name, const char *missing, json_t **ret,
                     struct error *err)
{
    struct stat st;
    char *path = arena_printf(arena, "%s/%s", directory, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return error_set(err, ERROR_UNPROCESSABLE, missing, name, "%s: %s", name, strerror(errno));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > JSON_FILE_MAX) {
        close(fd);
        return error_set(err, ERROR_UNPROCESSABLE, "unreadable_file", name,
                         "This must be a regular file of at most %d bytes.", JSON_FILE_MAX);
    }
    char *bytes = arena_alloc(arena, (size_t)st.st_size + 1);
    ssize_t got = pread(fd, bytes, (size_t)st.st_size, 0);
    close(fd);
    if (got != st.st_size)
        return error_set(err, ERROR_UNPROCESSABLE, "unreadable_file", name, "%s could not be read whole.", name);
    if (json_parse(arena, (struct text){bytes, (size_t)got}, ret, err) < 0)
        return in_file(err, name);
    if (!json_is_object(*ret))
        return error_set(err, ERROR_UNPROCESSABLE, "wrong_type", name, "%s must hold an object.", name);
    return 0;
}

static int get_object(const json_t *in, const char *name, const json_t **ret, struct error *err)
{
    char pointer[64];
    *ret = json_object_get(in, name);
    snprintf(pointer, sizeof(pointer), "/%s", name);
    return json_is_object(*ret) ? 0
                                : error_set(err, ERROR_UNPROCESSABLE, "wrong_type", pointer, "%s must be an object.", name);
}

static bool is_word(const char *s, const char *allowed)
{
    return *s && s[strspn(s, allowed)] == '\0';
}

static int check_words(const struct case_folder *f, struct error *err)
{
    static const char lower[] = "abcdefghijklmnopqrstuvwxyz0123456789-", name[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
    static const char *const kinds[] = {"histology", "follow_up", "consensus", "synthetic"};
    bool known = false;
    if (!is_word(f->slug, lower))
        return error_set(err, ERROR_UNPROCESSABLE, "bad_slug", "/slug", "A slug has a-z, 0-9 and - only.");
    if (!is_word(f->modality, name) || !is_word(f->plugin, name))
        return error_set(err, ERROR_UNPROCESSABLE, "bad_name", "/modality", "Modality and plugin have a-z, 0-9 and _ only.");
    for (int i = 0; i < 4; i++)
        known |= strcmp(f->truth_kind, kinds[i]) == 0;
    if (!known)
        return error_set(err, ERROR_UNPROCESSABLE, "bad_truth_kind", "/truth_kind",
                         "truth_kind is histology, follow_up, consensus or synthetic.");
    if (f->synthetic != (strcmp(f->truth_kind, "synthetic") == 0))
        return error_set(err, ERROR_UNPROCESSABLE, "bad_truth_kind", "/truth_kind",
                         "A synthetic case has a synthetic truth, and no other has.");
    return 0;
}

static int check_clinical(const json_t *clinical, struct error *err)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)clinical, name, value)
    {
        char pointer[128];
        snprintf(pointer, sizeof(pointer), "/clinical/%.100s", name);
        if (!json_is_number(value) && !json_is_string(value))
            return error_set(err, ERROR_UNPROCESSABLE, "wrong_type", pointer, "A clinical fact is a number or a text.");
    }
    return 0;
}

static int check_provenance(const json_t *provenance, struct error *err)
{
    const char *source, *citation, *licence, *attribution;
    if (json_object_only(provenance, err, "source", "citation", "licence", "attribution", NULL) == 0 &&
        json_get_string(provenance, "source", true, 1, 500, &source, err) == 0 &&
        json_get_string(provenance, "citation", true, 0, 2000, &citation, err) == 0 &&
        json_get_string(provenance, "licence", true, 1, 100, &licence, err) == 0 &&
        json_get_string(provenance, "attribution", true, 0, 2000, &attribution, err) == 0)
        return 0;
    char field[sizeof(err->field)];
    snprintf(field, sizeof(field), "/provenance%.200s", err->field);
    memcpy(err->field, field, sizeof(field));
    return -1;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int list_files(struct arena *arena, struct case_series *series, struct error *err)
{
    const char **names = arena_array(arena, PREPARE_INSTANCES_MAX, sizeof(*names));
    struct dirent *entry;
    struct stat st;
    if (lstat(series->path, &st) < 0 || !S_ISDIR(st.st_mode))
        return error_set(err, ERROR_UNPROCESSABLE, "no_series", series->directory,
                         "The manifest names this directory, and it is not there.");
    DIR *dir = opendir(series->path);
    if (!dir)
        return error_set(err, ERROR_UNPROCESSABLE, "no_series", series->directory, "%s", strerror(errno));
    int rc = 0;
    while (rc == 0 && (entry = readdir(dir))) {
        size_t len = strlen(entry->d_name);
        if (len < 5 || strcmp(entry->d_name + len - 4, ".dcm") != 0)
            continue;
        if (series->count == PREPARE_INSTANCES_MAX)
            rc = error_set(err, ERROR_TOO_LARGE, "series_too_large", series->directory,
                           "A series has at most %d instances.", PREPARE_INSTANCES_MAX);
        else
            names[series->count++] = arena_strdup(arena, entry->d_name);
    }
    closedir(dir);
    if (rc == 0 && series->count == 0)
        rc = error_set(err, ERROR_UNPROCESSABLE, "empty_series", series->directory, "There is no .dcm file in it.");
    qsort(names, (size_t)series->count, sizeof(*names), by_name);
    series->files = names;
    return rc;
}

static int read_series(struct arena *arena, const char *directory, const json_t *item, int index, struct case_series *ret,
                       struct error *err)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    if (json_object_only(item, err, "name", "role", "directory", NULL) < 0 ||
        json_get_string(item, "name", true, 1, 100, &ret->name, err) < 0 ||
        json_get_string(item, "role", true, 1, 40, &ret->role, err) < 0 ||
        json_get_string(item, "directory", true, 1, 100, &ret->directory, err) < 0) {
        char field[sizeof(err->field)];
        snprintf(field, sizeof(field), "/series/%d%.200s", index, err->field);
        memcpy(err->field, field, sizeof(field));
        return in_file(err, "case.json");
    }
    if (!is_word(ret->directory, plain) || ret->directory[0] == '.')
        return error_set(err, ERROR_UNPROCESSABLE, "bad_directory", "case.json#/series",
                         "A series' directory is one plain name within the folder.");
    ret->path = arena_printf(arena, "%s/%s", directory, ret->directory);
    return list_files(arena, ret, err);
}

static int read_manifest(const json_t *m, struct case_folder *f, const json_t **ret_series, struct error *err)
{
    const char *format;
    if (json_object_only(m, err, "format", "slug", "modality", "plugin", "title", "clinical", "difficulty", "synthetic",
                         "truth_kind", "provenance", "series", "config", "deidentified_by", NULL) < 0 ||
        json_get_string(m, "format", true, 1, 40, &format, err) < 0 ||
        json_get_string(m, "slug", true, 1, 80, &f->slug, err) < 0 ||
        json_get_string(m, "modality", true, 1, 60, &f->modality, err) < 0 ||
        json_get_string(m, "plugin", true, 1, 60, &f->plugin, err) < 0 ||
        json_get_string(m, "title", true, 1, 200, &f->title, err) < 0 ||
        json_get_int(m, "difficulty", true, 1, 5, &f->difficulty, err) < 0 ||
        json_get_bool(m, "synthetic", true, &f->synthetic, err) < 0 ||
        json_get_string(m, "truth_kind", true, 1, 40, &f->truth_kind, err) < 0 ||
        json_get_string(m, "deidentified_by", false, 1, 200, &f->deidentified_by, err) < 0 ||
        get_object(m, "clinical", &f->clinical, err) < 0 || get_object(m, "provenance", &f->provenance, err) < 0 ||
        get_object(m, "config", &f->config, err) < 0)
        return -1;
    if (strcmp(format, "overread-case/1") != 0)
        return error_set(err, ERROR_UNPROCESSABLE, "unknown_format", "/format", "format must be overread-case/1.");
    *ret_series = json_object_get(m, "series");
    if (!json_is_array(*ret_series) || json_array_size(*ret_series) < 1 || json_array_size(*ret_series) > CASE_SERIES_MAX)
        return error_set(err, ERROR_UNPROCESSABLE, "bad_series", "/series", "series is a list of 1 to %d.",
                         CASE_SERIES_MAX);
    if (check_words(f, err) < 0 || check_clinical(f->clinical, err) < 0 || check_provenance(f->provenance, err) < 0)
        return -1;
    return 0;
}

static int read_truth(const json_t *t, struct case_folder *f, struct error *err)
{
    f->expert_report = "";
    if (json_object_only(t, err, "truth", "expert_report", "histology", NULL) < 0 ||
        get_object(t, "truth", &f->truth, err) < 0 ||
        json_get_string(t, "expert_report", false, 0, 20000, &f->expert_report, err) < 0)
        return -1;
    f->histology = json_object_get(t, "histology");
    if (f->histology && !json_is_object(f->histology) && !json_is_null(f->histology))
        return error_set(err, ERROR_UNPROCESSABLE, "wrong_type", "/histology", "histology is an object or null.");
    if (strcmp(f->truth_kind, "histology") == 0 && !json_is_object(f->histology))
        return error_set(err, ERROR_UNPROCESSABLE, "no_histology", "/histology",
                         "Only histology may be called verified: truth_kind histology needs it.");
    if (!f->expert_report[0] && !json_is_object(f->histology))
        return error_set(err, ERROR_UNPROCESSABLE, "no_explanation", "/expert_report",
                         "A trainee learns from a report or from histology: one of them is needed.");
    return 0;
}

int case_folder_read(struct arena *arena, const char *directory, struct case_folder *ret, struct error *err)
{
    json_t *manifest, *truth;
    const json_t *series = NULL;
    struct stat st;
    memset(ret, 0, sizeof(*ret));
    if (stat(directory, &st) < 0 || !S_ISDIR(st.st_mode))
        return error_set(err, ERROR_NOT_FOUND, "no_such_folder", NULL, "There is no directory %s.", directory);
    if (read_json(arena, directory, "case.json", "no_manifest", &manifest, err) < 0)
        return -1;
    if (read_manifest(manifest, ret, &series, err) < 0)
        return in_file(err, "case.json");
    if (read_json(arena, directory, "truth.json", "no_truth", &truth, err) < 0)
        return -1;
    if (read_truth(truth, ret, err) < 0)
        return in_file(err, "truth.json");
    ret->series_count = (int)json_array_size(series);
    for (int i = 0; i < ret->series_count; i++)
        if (read_series(arena, directory, json_array_get(series, (size_t)i), i, &ret->series[i], err) < 0)
            return -1;
    return 0;
}
