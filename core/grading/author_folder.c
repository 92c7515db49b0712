#include "grading/author_folder.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "grading/manifest.h"

int author_folder_paths(struct arena *arena, const char *file, const char **ret_library,
                        const char **ret_manifest, struct error *err)
{
    char path[PATH_MAX];
    size_t len = strlen(file);

    if (len < 4 || strcmp(file + len - 3, ".so") != 0)
        return error_set(err, ERROR_INVALID, "bad_file", "FILE.so", "\"%.200s\" is not called something.so.",
                         file);
    if (!realpath(file, path))
        return error_set(err, ERROR_NOT_FOUND, "no_such_file", "FILE.so", "%.200s: %s.", file,
                         strerrordesc_np(errno));
    *ret_library = arena_strdup(arena, path);
    *strrchr(path, '/') = '\0';
    *ret_manifest = arena_printf(arena, "%s/manifest.json", path);
    if (access(*ret_manifest, R_OK) < 0)
        return error_set(err, ERROR_NOT_FOUND, "no_manifest", "manifest.json",
                         "manifest.json must lie beside the library: %.300s: %s.", *ret_manifest,
                         strerrordesc_np(errno));
    return 0;
}

/* The registry wants folder and library named by the manifest's id; an author may call the file anything. */
static const char *id_of(struct arena *arena, const char *manifest)
{
    json_t *json = json_load_file(manifest, JSON_REJECT_DUPLICATES, NULL);
    const char *id = json_string_value(json_object_get(json, "id"));
    bool usable = id && strlen(id) <= MANIFEST_ID_MAX && id[0] &&
                  id[strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
    /* The registry will say what is wrong with it. */
    const char *ret = arena_strdup(arena, usable ? id : "unnamed");

    json_decref(json);
    return ret;
}

int author_folder_register(struct arena *arena, const char *file, const char *grader,
                           const struct grading_plugin **ret, struct error *err)
{
    const char *library, *manifest, *base = getenv("TMPDIR");

    if (author_folder_paths(arena, file, &library, &manifest, err) < 0)
        return -1;
    char *dir = arena_printf(arena, "%s/overread-plugin-XXXXXX", base && base[0] ? base : "/tmp");

    if (!mkdtemp(dir))
        return error_set(err, ERROR_INTERNAL, "no_folder", NULL, "%s: %s.", dir, strerrordesc_np(errno));
    const char *id = id_of(arena, manifest), *folder = arena_printf(arena, "%s/%s", dir, id);
    const char *links[] = {arena_printf(arena, "%s/manifest.json", folder),
                           arena_printf(arena, "%s/%s.so", folder, id)};
    int r = -1;

    if (mkdir(folder, 0700) < 0 || symlink(manifest, links[0]) < 0 || symlink(library, links[1]) < 0)
        error_set(err, ERROR_INTERNAL, "no_folder", NULL, "%s: %s.", folder, strerrordesc_np(errno));
    else {
        /* What an author has just built bears no signature yet. */
        const struct grading_source source = {.dir = dir, .grader = grader, .allow_unsigned = true};

        r = grading_registry_load(&source, err);
    }
    /* The registry holds a sealed copy of what it has read. */
    unlink(links[0]);
    unlink(links[1]);
    rmdir(folder);
    rmdir(dir);
    if (r < 0)
        return -1;
    *ret = grading_plugin(arena, id);
    if (!*ret)
        return error_set(err, ERROR_INTERNAL, "no_plugin", NULL, "The plugin was not registered.");
    if ((*ret)->broken)
        return error_set(err, ERROR_INVALID, "broken_plugin", NULL, "%s", (*ret)->broken);
    return 0;
}
