#include "library/demo.h"

#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/process.h"

enum { WORKERS = 4, TEXT_MAX = 64 << 10, JOBS_PER_CASE = PHANTOM_SERIES * PHANTOM_SLICES };

static const struct process_limits dump2dcm_limits = {
    .cpu_seconds = 10, .memory_bytes = 1ull << 30, .file_bytes = 16 << 20, .wall_ms = 60000};

struct work {
    const char *dir, *scratch; /* scratch: for what dump2dcm reads */
    const struct phantom *phantom;
    int count;
    atomic_int next;
    atomic_bool failed;
    pthread_mutex_t lock;
    struct error err; /* the first failure */
};

void demo_decimal(struct buffer *ret, double value, int digits)
{
    static const double halves[] = {0.5, 0.05, 0.005, 0.0005, 0.00005};
    buffer_printf(ret, "%.*f", digits, value < 0 && value > -halves[digits] ? 0.0 : value);
}

static int failed(struct error *err, const char *what, const char *path)
{
    return error_set(err, ERROR_INTERNAL, "demo_not_written", NULL, "cannot %s %s: %s", what, path,
                     strerror(errno));
}

/* 0, or -1 when the path would not fit: what it would name then is another file. */
static int join(char ret[PATH_MAX], struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int join(char ret[PATH_MAX], struct error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(ret, PATH_MAX, format, args);
    va_end(args);
    if (len >= 0 && len < PATH_MAX)
        return 0;
    return error_set(err, ERROR_INVALID, "path_too_long", NULL, "The directory's name is too long.");
}

static int make_directory(const char *path, struct error *err)
{
    return mkdir(path, 0755) == 0 || errno == EEXIST ? 0 : failed(err, "make", path);
}

static int write_file(const char *path, const void *bytes, size_t len, struct error *err)
{
    FILE *file = fopen(path, "we");
    if (!file)
        return failed(err, "write", path);
    bool good = fwrite(bytes, 1, len, file) == len;
    if (fclose(file) != 0 || !good)
        return failed(err, "write", path);
    return 0;
}

/* --- Slices, by several threads --------------------------------------------------------------- */

static int write_slice(const struct work *work, int job, struct error *err)
{
    const struct phantom *phantom = &work->phantom[job / JOBS_PER_CASE];
    enum phantom_series series = (enum phantom_series)(job % JOBS_PER_CASE / PHANTOM_SLICES);
    int slice = job % PHANTOM_SLICES;
    size_t pixels = (size_t)phantom_grid(series).side * (size_t)phantom_grid(series).side;
    uint16_t stored[PHANTOM_SIDE_MAX * PHANTOM_SIDE_MAX];
    char raw[PATH_MAX], dump[PATH_MAX], dicom[PATH_MAX];
    if (join(raw, err, "%s/%d.raw", work->scratch, job) < 0 ||
        join(dump, err, "%s/%d.txt", work->scratch, job) < 0 ||
        join(dicom, err, "%s/demo-prostate-%03d/%s/%02d.dcm", work->dir, phantom->number,
             demo_directory(series), slice + 1) < 0)
        return -1;
    phantom_render(phantom, series, slice, stored);
    for (size_t i = 0; i < pixels; i++)
        stored[i] = htole16(stored[i]);
    struct buffer text;
    buffer_init(&text, TEXT_MAX);
    demo_dump(phantom, series, slice, raw, &text);
    const char *const argv[] = {"dump2dcm", "-q", "+rl", "+te", dump, dicom, NULL};
    int rc = -1;
    if (!text.failed && write_file(raw, stored, pixels * sizeof(*stored), err) == 0 &&
        write_file(dump, text.p, text.len, err) == 0)
        rc = process_run(argv, &dump2dcm_limits, NULL, err);
    buffer_finish(&text);
    unlink(raw);
    unlink(dump);
    return rc;
}

static void *run(void *arg)
{
    struct work *work = arg;
    int job;
    while (!atomic_load(&work->failed) &&
           (job = atomic_fetch_add(&work->next, 1)) < work->count * JOBS_PER_CASE) {
        struct error err = {0};
        if (write_slice(work, job, &err) == 0)
            continue;
        pthread_mutex_lock(&work->lock);
        if (!atomic_exchange(&work->failed, true))
            work->err = err;
        pthread_mutex_unlock(&work->lock);
    }
    return NULL;
}

static int write_images(struct work *work, struct error *err)
{
    pthread_t thread[WORKERS];
    int threads = 0;
    while (threads < WORKERS && pthread_create(&thread[threads], NULL, run, work) == 0)
        threads++;
    if (threads == 0)
        run(work);
    while (threads > 0)
        pthread_join(thread[--threads], NULL);
    if (!atomic_load(&work->failed))
        return 0;
    if (err)
        *err = work->err;
    return -1;
}

/* --- Folders ---------------------------------------------------------------------------------- */

static int make_folders(const struct work *work, struct error *err)
{
    char path[PATH_MAX];
    for (int i = 0; i < work->count; i++) {
        int number = work->phantom[i].number;
        if (join(path, err, "%s/demo-prostate-%03d", work->dir, number) < 0 || make_directory(path, err) < 0)
            return -1;
        for (int series = 0; series < PHANTOM_SERIES; series++) {
            const char *name = demo_directory((enum phantom_series)series);
            if (join(path, err, "%s/demo-prostate-%03d/%s", work->dir, number, name) < 0 ||
                make_directory(path, err) < 0)
                return -1;
        }
    }
    return 0;
}

static int write_text(const struct work *work, const struct phantom *phantom, const char *name,
                      void (*words)(const struct phantom *, struct buffer *), struct error *err)
{
    char path[PATH_MAX];
    struct buffer text;
    if (join(path, err, "%s/demo-prostate-%03d/%s", work->dir, phantom->number, name) < 0)
        return -1;
    buffer_init(&text, TEXT_MAX);
    words(phantom, &text);
    int rc = write_file(path, text.p, text.len, err);
    buffer_finish(&text);
    return rc;
}

/* The manifest comes last: a folder that has one is whole. */
static int write_folders(struct work *work, struct error *err)
{
    if (make_folders(work, err) < 0 || write_images(work, err) < 0)
        return -1;
    for (int i = 0; i < work->count; i++)
        if (write_text(work, &work->phantom[i], "truth.json", demo_truth, err) < 0 ||
            write_text(work, &work->phantom[i], "case.json", demo_manifest, err) < 0)
            return -1;
    return 0;
}

int demo_generate(const char *dir, uint64_t seed, int count, struct error *err)
{
    char scratch[] = P_tmpdir "/overread-demo-XXXXXX";
    if (count < 1 || count > PHANTOM_NUMBER_MAX)
        return error_set(err, ERROR_INVALID, "bad_count", "count", "Between 1 and %d cases can be made.",
                         PHANTOM_NUMBER_MAX);
    if (make_directory(dir, err) < 0)
        return -1;
    if (!mkdtemp(scratch))
        return failed(err, "make", scratch);
    struct phantom *phantom = mem_array((size_t)count, sizeof(*phantom));
    for (int i = 0; i < count; i++)
        phantom_make(seed, i + 1, &phantom[i]);
    struct work work = {.dir = dir,
                        .scratch = scratch,
                        .phantom = phantom,
                        .count = count,
                        .lock = PTHREAD_MUTEX_INITIALIZER};
    int rc = write_folders(&work, err);
    mem_free(phantom);
    rmdir(scratch);
    return rc;
}
