#include "library/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A work folder's path leaves room for the names within it. */
enum { FOLDER_MAX = PATH_MAX - 300 };

static int failed(struct error *err, const char *what, const char *path)
{
    return error_set(err, ERROR_INTERNAL, "image_store", NULL, "%s %s: %s", what, path, strerror(errno));
}

int store_open(const char *store, struct error *err)
{
    char path[PATH_MAX];
    if (mkdir(store, 0755) < 0 && errno != EEXIST)
        return failed(err, "cannot make", store);
    for (int i = 0; i < 256; i++) {
        snprintf(path, sizeof(path), "%s/%02x", store, (unsigned)i);
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
            return failed(err, "cannot make", path);
    }
    return 0;
}

static int write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        bytes += n;
        len -= (size_t)n;
    }
    return 0;
}

static int copy_bytes(int from, int to)
{
    char block[65536];
    for (;;) {
        ssize_t n = read(from, block, sizeof(block));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return (int)n;
        if (write_all(to, block, (size_t)n) < 0)
            return -1;
    }
}

/* The hash is of what was written, not of what was read before. */
static int keep(const char *store, int fd, const char *temporary, const char *kind, struct prepared_file *ret,
                struct error *err)
{
    char path[PATH_MAX];
    struct stat st;
    if (fsync(fd) < 0 || fstat(fd, &st) < 0)
        return failed(err, "cannot write", temporary);
    int rc = crypto_sha256_fd(fd, ret->sha256);
    if (rc < 0) {
        errno = -rc;
        return failed(err, "cannot read", temporary);
    }
    ret->bytes = st.st_size;
    snprintf(path, sizeof(path), "%s/%.2s/%s.%s", store, ret->sha256, ret->sha256, kind);
    if (fchmod(fd, 0444) < 0 || rename(temporary, path) < 0)
        return failed(err, "cannot keep", path);
    return 0;
}

int store_take(const char *store, const char *path, int64_t max, char ret_temporary[STORE_PATH_SIZE], struct error *err)
{
    struct stat st;
    int from = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (from < 0 || fstat(from, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > max) {
        if (from >= 0)
            close(from);
        return error_set(err, ERROR_UNPROCESSABLE, "unreadable_file", NULL,
                         "This must be a regular file of at most %lld bytes.", (long long)max);
    }
    snprintf(ret_temporary, STORE_PATH_SIZE, "%s/.new-XXXXXX", store);
    int to = mkostemp(ret_temporary, O_CLOEXEC);
    int rc = 0;
    if (to < 0)
        rc = failed(err, "cannot make", ret_temporary);
    else if (copy_bytes(from, to) < 0) {
        rc = failed(err, "cannot write", ret_temporary);
        unlink(ret_temporary);
    }
    close(from);
    if (to >= 0)
        close(to);
    return rc;
}

int store_keep(const char *store, const char *temporary, const char *kind, struct prepared_file *ret, struct error *err)
{
    int fd = open(temporary, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return failed(err, "cannot open", temporary);
    int rc = keep(store, fd, temporary, kind, ret, err);
    close(fd);
    return rc;
}

void store_drop(const char *temporary)
{
    unlink(temporary);
}

static bool is_jpeg_ls(const char *syntax)
{
    return strcmp(syntax, "1.2.840.10008.1.2.4.80") == 0 || strcmp(syntax, "1.2.840.10008.1.2.4.81") == 0;
}

static bool is_jpeg_2000(const char *syntax)
{
    return strcmp(syntax, "1.2.840.10008.1.2.4.90") == 0 || strcmp(syntax, "1.2.840.10008.1.2.4.91") == 0;
}

static int render_into(const char *folder, const char *path, const struct dicom_tags *tags, struct error *err)
{
    char raw[PATH_MAX], frames[PATH_MAX];
    snprintf(raw, sizeof(raw), "%s/raw.dcm", folder);
    snprintf(frames, sizeof(frames), "%s/f", folder);
    if (is_jpeg_2000(tags->transfer_syntax)) {
        const char *const unpack[] = {"gdcmconv", "--raw", path, raw, NULL};
        if (process_run(unpack, &dicom_tool_limits, NULL, err) < 0)
            return -1;
        path = raw;
    }
    const char *tool = is_jpeg_ls(tags->transfer_syntax) ? "dcml2pnm" : "dcmj2pnm";
    /* No overlays: they may carry text. No PNG metadata: it holds the time, and the same frame must give the same bytes. */
    const char *const min_max[] = {tool, "-q", "-O", "+on", "-il", "-mf", "+Fa", "+Wm", path, frames, NULL};
    const char *const window[] = {tool, "-q", "-O", "+on", "-il", "-mf", "+Fa", "+Wi", "1", path, frames, NULL};
    return process_run(tags->has_window ? window : min_max, &dicom_tool_limits, NULL, err);
}

static int keep_frames(const char *store, const char *folder, int64_t count, struct prepared_file *ret, struct error *err)
{
    for (int64_t i = 0; i < count; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%s/f.%lld.png", folder, (long long)i);
        int fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0)
            return error_set(err, ERROR_UNPROCESSABLE, "frame_missing", NULL, "Frame %lld could not be rendered.",
                             (long long)i + 1);
        int rc = keep(store, fd, path, "png", &ret[i], err);
        close(fd);
        if (rc < 0)
            return -1;
    }
    return 0;
}

static void remove_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    char path[PATH_MAX];
    while (dir && (entry = readdir(dir))) {
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        unlink(path);
    }
    if (dir)
        closedir(dir);
    rmdir(folder);
}

int store_render(const char *store, const char *path, const struct dicom_tags *tags, struct prepared_file *ret,
                 struct error *err)
{
    char folder[FOLDER_MAX];
    struct error tool = {0};
    snprintf(folder, sizeof(folder), "%s/.render-XXXXXX", store);
    if (!mkdtemp(folder))
        return failed(err, "cannot make", folder);
    int rc = render_into(folder, path, tags, &tool);
    if (rc < 0 && tool.kind == ERROR_INTERNAL)
        *err = tool;
    else if (rc < 0)
        error_set(err, ERROR_UNPROCESSABLE, "not_renderable", NULL, "The pixels cannot be read: %s", tool.detail);
    else
        rc = keep_frames(store, folder, tags->frames, ret, err);
    remove_folder(folder);
    return rc;
}
