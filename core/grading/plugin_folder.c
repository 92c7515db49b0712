#include "grading/plugin_folder.h"
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
#include "base/mem.h"

#define LIBRARY_MAX ((off_t)64 * 1024 * 1024)

static const char *broken(struct registered *plugin, const char *format, ...) __attribute__((format(printf, 2, 3)));

static const char *broken(struct registered *plugin, const char *format, ...)
{
    char words[600];
    va_list args;

    va_start(args, format);
    vsnprintf(words, sizeof(words), format, args);
    va_end(args);
    return arena_strdup(plugin->arena, words);
}

/* Reads a whole regular file into the arena. 0 or -errno. */
static int read_file(struct arena *arena, const char *path, size_t max, struct text *ret)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r = 0;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (size_t)st.st_size > max) {
        close(fd);
        return -EFBIG;
    }
    char *bytes = arena_alloc(arena, (size_t)st.st_size + 1);
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
                   ? broken(plugin, "no %s.so", plugin->face.id)
                   : broken(plugin, "%s.so cannot be opened: %s", plugin->face.id, strerrordesc_np(errno));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0 || st.st_size > LIBRARY_MAX) {
        close(fd);
        return broken(plugin, "%s.so is empty, too large, or no file", plugin->face.id);
    }
    int copy = seal_copy(fd, st.st_size);

    close(fd);
    if (copy < 0)
        return broken(plugin, "%s.so cannot be read: %s", plugin->face.id, strerrordesc_np(-copy));
    plugin->library_fd = copy;
    if (crypto_sha256_fd(copy, plugin->face.sha256) < 0)
        return broken(plugin, "%s.so cannot be hashed", plugin->face.id);
    return NULL;
}

static struct text hello(struct arena *arena, const struct manifest *m)
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
    struct text ret = {.p = arena_copy(arena, out.p, out.len), .len = out.len};

    buffer_finish(&out);
    return ret;
}

static const char *load_manifest(struct registered *plugin, const char *path)
{
    struct text json;
    struct error err = {0};
    const char *why = NULL;
    int r = read_file(plugin->arena, path, MANIFEST_MAX, &json);

    if (r < 0)
        return r == -ENOENT ? "no manifest" : broken(plugin, "the manifest cannot be read: %s", strerrordesc_np(-r));
    crypto_sha256_hex(json.p, json.len, plugin->manifest_sha256);
    if (manifest_parse(plugin->arena, json, &plugin->manifest, &err) < 0)
        why = err.field[0] ? broken(plugin, "manifest %s: %s", err.field, err.detail) : broken(plugin, "%s", err.detail);
    const struct manifest *m = &plugin->manifest;

    if (!why && strcmp(m->id, plugin->face.id) != 0)
        why = broken(plugin, "the manifest's id is \"%s\", the folder's name is \"%s\"", m->id, plugin->face.id);
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

/* Over the hashes of the bytes that were read, which are the bytes that will be used. */
static const char *check_signature(struct registered *plugin, const char *path, const struct signature_keys *keys)
{
    struct text signature;
    int r = read_file(plugin->arena, path, SIGNATURE_SIZE, &signature);

    if (r == 0 && signature_verify(keys, plugin->manifest_sha256, plugin->face.sha256, signature, plugin->face.signed_by))
        return NULL;
    return r == -ENOENT ? broken(plugin, "not signed by a trusted key: there is no %s.sig", plugin->face.id)
                        : broken(plugin, "not signed by a trusted key: %s.sig is not a signature of these two files by one",
                                 plugin->face.id);
}

static const char *read_parts(struct registered *plugin, const char *dir, const struct signature_keys *keys)
{
    const char *id = plugin->face.id;
    const char *why = load_manifest(plugin, arena_printf(plugin->arena, "%s/%s/manifest.json", dir, id));

    if (!why)
        why = load_library(plugin, arena_printf(plugin->arena, "%s/%s/%s.so", dir, id, id));
    if (!why && keys)
        why = check_signature(plugin, arena_printf(plugin->arena, "%s/%s/%s.sig", dir, id, id), keys);
    return why;
}

struct registered *plugin_folder_read(const char *dir, const char *id, const struct signature_keys *keys)
{
    struct arena *arena = arena_create();
    struct registered *plugin = arena_alloc(arena, sizeof(*plugin));

    plugin->arena = arena;
    plugin->library_fd = -1;
    atomic_init(&plugin->holders, 1);
    plugin->face.id = arena_strdup(arena, id);
    plugin->face.version = "";
    plugin->face.title = plugin->face.id;
    arena_defer(arena, close_library, plugin);
    plugin->face.broken = read_parts(plugin, dir, keys);
    if (!plugin->face.broken)
        plugin->hello = hello(arena, &plugin->manifest);
    return plugin;
}

void plugin_folder_break(struct registered *plugin, const char *why)
{
    plugin->face.broken = broken(plugin, "%s", why);
}

/* --- Names
 * ------------------------------------------------------------------------------------------------------ */

static bool is_plugin_folder(const struct dirent *entry)
{
    size_t len = strspn(entry->d_name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

    return len > 0 && len <= MANIFEST_ID_MAX && entry->d_name[len] == '\0' &&
           (entry->d_type == DT_DIR || entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN);
}

static bool has_part(struct arena *arena, const char *dir, const char *id)
{
    return access(arena_printf(arena, "%s/%s/manifest.json", dir, id), F_OK) == 0 ||
           access(arena_printf(arena, "%s/%s/%s.so", dir, id, id), F_OK) == 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int plugin_folder_names(struct arena *arena, const char *dir, const char *const **ret)
{
    DIR *entries = opendir(dir);
    struct dirent *entry;
    const char **names = NULL;
    int count = 0;

    if (!entries)
        return -errno;
    while ((entry = readdir(entries))) {
        if (!is_plugin_folder(entry) || !has_part(arena, dir, entry->d_name))
            continue;
        names = mem_resize(names, (size_t)(count + 1) * sizeof(*names));
        names[count++] = arena_strdup(arena, entry->d_name);
    }
    closedir(entries);
    if (count > 0)
        qsort(names, (size_t)count, sizeof(*names), compare_names);
    *ret = arena_copy(arena, names, (size_t)count * sizeof(*names));
    mem_free(names);
    return count;
}
