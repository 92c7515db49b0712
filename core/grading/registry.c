#include "grading/registry.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/log.h"
#include "base/mem.h"

#define LIBRARY_MAX ((off_t)64 * 1024 * 1024)

static struct {
    struct arena *arena;
    const char *grader;
    const struct grading_plugin **plugins;
    int count;
} registry;

const struct registered *registry_of(const struct grading_plugin *plugin)
{
    return (const struct registered *)plugin;
}

const char *registry_grader(void)
{
    return registry.grader;
}

/* --- One plugin
 * ------------------------------------------------------------------------------------------------- */

static const char *broken(const char *format, ...) __attribute__((format(printf, 1, 2)));

static const char *broken(const char *format, ...)
{
    char words[600];
    va_list args;

    va_start(args, format);
    vsnprintf(words, sizeof(words), format, args);
    va_end(args);
    return arena_strdup(registry.arena, words);
}

/* Reads a whole regular file into the arena. 0 or -errno. */
static int read_file(const char *path, struct text *ret)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r = 0;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > MANIFEST_MAX) {
        close(fd);
        return -EFBIG;
    }
    char *bytes = arena_alloc(registry.arena, (size_t)st.st_size + 1);
    size_t len = 0;

    while (len < (size_t)st.st_size) {
        ssize_t n = read(fd, bytes + len, (size_t)st.st_size - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            r = n < 0 ? -errno : -EIO;
            break;
        }
        len += (size_t)n;
    }
    close(fd);
    *ret = (struct text){.p = bytes, .len = len};
    return r;
}

static int copy_all(int from, int to, off_t size)
{
    off_t at = 0;

    while (at < size) {
        char block[65536];
        ssize_t n = pread(from, block, sizeof(block), at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        if (pwrite(to, block, (size_t)n, at) != n)
            return -EIO;
        at += n;
    }
    return 0;
}

/* The library's bytes in a sealed memory file: its descriptor, or -errno. */
static int seal_copy(int from, off_t size)
{
    const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING,
                   executable = 0x10; /* MFD_EXEC, new in Linux 6.3 */
    int fd = memfd_create("overread-plugin", flags | executable);

    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("overread-plugin", flags);
    if (fd < 0)
        return -errno;
    int r = copy_all(from, fd, size);

    if (r == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
        r = -errno;
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}

static const char *load_library(struct registered *plugin, const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return errno == ENOENT
                   ? broken("no %s.so", plugin->face.id)
                   : broken("%s.so cannot be opened: %s", plugin->face.id, strerrordesc_np(errno));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0 || st.st_size > LIBRARY_MAX) {
        close(fd);
        return broken("%s.so is empty, too large, or no file", plugin->face.id);
    }
    int copy = seal_copy(fd, st.st_size);

    close(fd);
    if (copy < 0)
        return broken("%s.so cannot be read: %s", plugin->face.id, strerrordesc_np(-copy));
    plugin->library_fd = copy;
    if (crypto_sha256_fd(copy, plugin->face.sha256) < 0)
        return broken("%s.so cannot be hashed", plugin->face.id);
    return NULL;
}

static struct text hello(const struct manifest *m)
{
    struct buffer out;

    buffer_init(&out, MANIFEST_MAX);
    buffer_puts(&out, "{\"id\":");
    buffer_json_string(&out, text_of(m->id));
    buffer_puts(&out, ",\"version\":");
    buffer_json_string(&out, text_of(m->version));
    buffer_printf(&out, ",\"rules_revision\":%d,\"memory_mb\":%u,\"cpu_ms\":%u,\"findings\":[",
                  m->rules_revision, m->memory_mb, m->cpu_ms);
    for (size_t i = 0; i < m->code_count; i++) {
        if (i > 0)
            buffer_add(&out, ",", 1);
        buffer_json_string(&out, text_of(m->codes[i]));
    }
    buffer_puts(&out, "]}");
    struct text ret = {.p = arena_copy(registry.arena, out.p, out.len), .len = out.len};

    buffer_finish(&out);
    return ret;
}

static const char *load_manifest(struct registered *plugin, const char *path)
{
    struct text json;
    struct error err = {0};
    const char *why = NULL;
    int r = read_file(path, &json);

    if (r < 0)
        return r == -ENOENT ? "no manifest" : broken("the manifest cannot be read: %s", strerrordesc_np(-r));
    if (manifest_parse(registry.arena, json, &plugin->manifest, &err) < 0)
        why = err.field[0] ? broken("manifest %s: %s", err.field, err.detail) : broken("%s", err.detail);
    const struct manifest *m = &plugin->manifest;

    if (!why && strcmp(m->id, plugin->face.id) != 0)
        why = broken("the manifest's id is \"%s\", the folder's name is \"%s\"", m->id, plugin->face.id);
    plugin->face.version = m->version ? m->version : "";
    plugin->face.title = m->title ? m->title : plugin->face.id;
    plugin->face.rules_revision = m->rules_revision;
    plugin->face.manifest = m->json;
    plugin->face.statistics = m->statistics;
    return why;
}

static void close_library(void *arg)
{
    struct registered *plugin = arg;

    if (plugin->library_fd >= 0)
        close(plugin->library_fd);
}

static const struct grading_plugin *load(const char *dir, const char *id)
{
    struct registered *plugin = arena_alloc(registry.arena, sizeof(*plugin));
    struct grading_plugin *face = &plugin->face;

    plugin->library_fd = -1;
    face->id = arena_strdup(registry.arena, id);
    face->version = "";
    face->title = face->id;
    arena_defer(registry.arena, close_library, plugin);
    face->broken = load_manifest(plugin, arena_printf(registry.arena, "%s/%s/manifest.json", dir, id));
    if (!face->broken)
        face->broken = load_library(plugin, arena_printf(registry.arena, "%s/%s/%s.so", dir, id, id));
    if (face->broken)
        log_line(LOG_LEVEL_ERROR, "plugin_broken", "plugin", id, "why", face->broken, NULL);
    else
        plugin->hello = hello(&plugin->manifest);
    return face;
}

/* --- All
 * -------------------------------------------------------------------------------------------------------- */

static int is_plugin_folder(const struct dirent *entry)
{
    size_t len = strspn(entry->d_name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

    return len > 0 && len <= MANIFEST_ID_MAX && entry->d_name[len] == '\0' &&
           (entry->d_type == DT_DIR || entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN);
}

/* A folder with neither file is none of ours: a build leaves such beside the plugins. */
static bool has_part(const char *dir, const char *id)
{
    return access(arena_printf(registry.arena, "%s/%s/manifest.json", dir, id), F_OK) == 0 ||
           access(arena_printf(registry.arena, "%s/%s/%s.so", dir, id, id), F_OK) == 0;
}

/* Names in bytewise order, so that lists do not depend on the file system. */
static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void scan(DIR *entries, const char *dir)
{
    struct dirent *entry;
    char **names = NULL;
    int count = 0;

    while ((entry = readdir(entries))) {
        if (!is_plugin_folder(entry) || !has_part(dir, entry->d_name))
            continue;
        names = mem_resize(names, (size_t)(count + 1) * sizeof(*names));
        names[count++] = mem_strdup(entry->d_name);
    }
    if (count > 0)
        qsort(names, (size_t)count, sizeof(*names), compare_names);
    registry.plugins = arena_array(registry.arena, (size_t)count + 1, sizeof(*registry.plugins));
    for (int i = 0; i < count; i++) {
        registry.plugins[registry.count++] = load(dir, names[i]);
        mem_free(names[i]);
    }
    mem_free(names);
}

int grading_registry_load(const char *dir, const char *grader_path, struct error *err)
{
    DIR *entries = opendir(dir);

    if (!entries)
        return error_set(err, ERROR_INTERNAL, "plugin_dir", NULL,
                         "The plugin directory %s cannot be read: %s.", dir, strerrordesc_np(errno));
    grading_registry_unload();
    registry.arena = arena_create();
    registry.grader = arena_strdup(registry.arena, grader_path ? grader_path : "");
    scan(entries, dir);
    closedir(entries);
    return 0;
}

void grading_registry_unload(void)
{
    arena_destroy(registry.arena);
    registry.arena = NULL;
    registry.plugins = NULL;
    registry.count = 0;
    registry.grader = NULL;
}

int grading_plugins(const struct grading_plugin *const **ret)
{
    *ret = registry.plugins;
    return registry.count;
}

const struct grading_plugin *grading_plugin(const char *id)
{
    for (int i = 0; i < registry.count; i++)
        if (strcmp(registry.plugins[i]->id, id) == 0)
            return registry.plugins[i];
    return NULL;
}

int grading_validate(const struct grading_plugin *plugin, enum grading_schema which, const json_t *instance,
                     const char *prefix, struct error *err)
{
    const struct schema *schema = registry_of(plugin)->manifest.schemas[which];

    if (!schema)
        return error_set(err, ERROR_UNAVAILABLE, "grader_broken", NULL,
                         "The grading plugin of this modality cannot be used at the moment.");
    return schema_validate(schema, instance, prefix, err);
}
