#include "audit/export_zip.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct export_zip {
    struct archive *archive;
    const char *path;
    int fd;
    bool kept;
};

static int failed(const struct export_zip *zip, const char *why, struct error *err)
{
    return error_set(err, ERROR_INTERNAL, "export_file", NULL, "%s: %s", zip->path, why ? why : "cannot be written");
}

static void close_archive(struct export_zip *zip)
{
    if (zip->archive)
        archive_write_free(zip->archive);
    zip->archive = NULL;
}

static void discard(void *arg)
{
    struct export_zip *zip = arg;
    close_archive(zip);
    close(zip->fd);
    if (!zip->kept)
        unlink(zip->path);
}

struct export_zip *export_zip_create(struct arena *arena, const char *path, struct error *err)
{
    struct export_zip *zip = arena_alloc(arena, sizeof(*zip));
    zip->path = arena_strdup(arena, path);
    zip->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (zip->fd < 0) {
        failed(zip, strerror(errno), err);
        return NULL;
    }
    arena_defer(arena, discard, zip);
    zip->archive = archive_write_new();
    if (!zip->archive || archive_write_set_format_zip(zip->archive) != ARCHIVE_OK ||
        archive_write_set_bytes_in_last_block(zip->archive, 1) != ARCHIVE_OK ||
        archive_write_open_fd(zip->archive, zip->fd) != ARCHIVE_OK) {
        failed(zip, zip->archive ? archive_error_string(zip->archive) : NULL, err);
        return NULL;
    }
    return zip;
}

int export_zip_entry(struct export_zip *zip, const char *name, struct error *err)
{
    struct archive_entry *entry = archive_entry_new();
    if (!entry)
        return failed(zip, NULL, err);
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0600);
    archive_entry_set_mtime(entry, time(NULL), 0);
    int rc = archive_write_header(zip->archive, entry); /* without a size: it follows the bytes */
    archive_entry_free(entry);
    return rc == ARCHIVE_OK ? 0 : failed(zip, archive_error_string(zip->archive), err);
}

int export_zip_add(struct export_zip *zip, struct text bytes, struct error *err)
{
    if (bytes.len > 0 && archive_write_data(zip->archive, bytes.p, bytes.len) != (la_ssize_t)bytes.len)
        return failed(zip, archive_error_string(zip->archive), err);
    return 0;
}

int export_zip_finish(struct export_zip *zip, const char *name, char ret_sha256[SHA256_HEX_SIZE], int64_t *ret_bytes,
                      struct error *err)
{
    struct stat st;
    if (archive_write_close(zip->archive) != ARCHIVE_OK)
        return failed(zip, archive_error_string(zip->archive), err);
    close_archive(zip);
    if (fsync(zip->fd) < 0 || fstat(zip->fd, &st) < 0)
        return failed(zip, strerror(errno), err);
    int rc = crypto_sha256_fd(zip->fd, ret_sha256);
    if (rc < 0)
        return failed(zip, strerror(-rc), err);
    if (name && rename(zip->path, name) < 0)
        return failed(zip, strerror(errno), err);
    *ret_bytes = st.st_size;
    zip->kept = true;
    return 0;
}
