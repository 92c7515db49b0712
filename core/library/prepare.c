#include "library/prepare.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "library/dicom_tags.h"
#include "library/store.h"

enum { WORKERS_MAX = 4 };

struct work {
    const char *directory, *label, *store;
    const char *const *names;
    int count;
    bool deidentified;
    struct prepared_instance *instance;
    struct arena **arena; /* one an instance: an arena is not shared between threads */
    atomic_int next;
    atomic_bool failed;
    pthread_mutex_t lock;
    int failed_index; /* the first in the files' order, whichever thread met its fault first */
    struct error err;
};

static int refuse(struct error *err, const char *code, const char *words)
{
    return error_set(err, ERROR_UNPROCESSABLE, code, NULL, "%s", words);
}

static int check_tags(const struct dicom_tags *tags, bool deidentified, struct error *err)
{
    if (tags->rows < 1 || tags->columns < 1)
        return refuse(err, "no_image", "This file holds no image.");
    if (tags->rows > PREPARE_SIDE_MAX || tags->columns > PREPARE_SIDE_MAX || tags->frames > PREPARE_FRAMES_MAX ||
        tags->rows * tags->columns * tags->frames > PREPARE_PIXELS_MAX)
        return error_set(err, ERROR_TOO_LARGE, "image_too_large", NULL,
                         "An instance has at most %d x %d pixels, %d frames and %lld pixels in all.", PREPARE_SIDE_MAX,
                         PREPARE_SIDE_MAX, PREPARE_FRAMES_MAX, PREPARE_PIXELS_MAX);
    if (!tags->identity_removed && !deidentified)
        return refuse(err, "not_deidentified",
                      "(0012,0062) Patient Identity Removed is not YES, and the manifest has no deidentified_by.");
    if (tags->burned_in)
        return refuse(err, "burned_in_annotation", "(0028,0301) says that text is burned into the image.");
    if (!tags->no_burned_in && !deidentified)
        return refuse(err, "burned_in_annotation",
                      "(0028,0301) does not say NO, and the manifest has no deidentified_by: text may be in the image.");
    return 0;
}

static int prepare_one(struct work *work, int index, struct error *err)
{
    struct prepared_instance *out = &work->instance[index];
    struct arena *arena = work->arena[index];
    struct dicom_tags tags;
    char *source = arena_printf(arena, "%s/%s", work->directory, work->names[index]);
    out->name = work->names[index];
    /* What is looked at is the copy that will be kept, whatever happens to the source meanwhile; and what is refused, for
     * it may name a patient, is not kept. */
    char *copy = arena_alloc(arena, STORE_PATH_SIZE);
    if (store_take(work->store, source, PREPARE_FILE_MAX, copy, err) < 0)
        return -1;
    if (dicom_tags_read(copy, &tags, err) < 0 || check_tags(&tags, work->deidentified, err) < 0 ||
        store_keep(work->store, copy, "dcm", &out->dicom, err) < 0) {
        store_drop(copy);
        return -1;
    }
    char *path = arena_printf(arena, "%s/%.2s/%s.dcm", work->store, out->dicom.sha256, out->dicom.sha256);
    out->sop_instance = arena_strdup(arena, tags.sop_instance);
    out->series_instance = arena_strdup(arena, tags.series_instance);
    out->rows = tags.rows;
    out->columns = tags.columns;
    out->frames = tags.frames;
    out->number = tags.number;
    out->placed = tags.placed;
    memcpy(out->position, tags.position, sizeof(out->position));
    memcpy(out->orientation, tags.orientation, sizeof(out->orientation));
    memcpy(out->spacing, tags.spacing, sizeof(out->spacing));
    out->frame = arena_array(arena, (size_t)out->frames, sizeof(*out->frame));
    return store_render(work->store, path, &tags, out->frame, err);
}

static void *run(void *arg)
{
    struct work *work = arg;
    int index;
    while (!atomic_load(&work->failed) && (index = atomic_fetch_add(&work->next, 1)) < work->count) {
        struct error err = {0};
        if (prepare_one(work, index, &err) == 0)
            continue;
        pthread_mutex_lock(&work->lock);
        if (!atomic_exchange(&work->failed, true) || index < work->failed_index) {
            work->failed_index = index;
            work->err = err;
            snprintf(work->err.field, sizeof(work->err.field), "%s/%s", work->label, work->names[index]);
        }
        pthread_mutex_unlock(&work->lock);
    }
    return NULL;
}

static double along_normal(const struct prepared_instance *p)
{
    const double *r = p->orientation, *c = p->orientation + 3;
    double n[3] = {r[1] * c[2] - r[2] * c[1], r[2] * c[0] - r[0] * c[2], r[0] * c[1] - r[1] * c[0]};
    return n[0] * p->position[0] + n[1] * p->position[1] + n[2] * p->position[2];
}

static int by_number(const void *a, const void *b)
{
    const struct prepared_instance *x = a, *y = b;
    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int by_place(const void *a, const void *b)
{
    double x = along_normal(a), y = along_normal(b);
    return x < y ? -1 : x > y ? 1 : by_number(a, b);
}

static int by_uid(const void *a, const void *b)
{
    return strcmp((*(const struct prepared_instance *const *)a)->sop_instance,
                  (*(const struct prepared_instance *const *)b)->sop_instance);
}

/* One directory is one series, and no instance comes twice. */
static int check_series(struct arena *arena, const char *label, const struct prepared_instance *instance, int count,
                        struct error *err)
{
    const struct prepared_instance **sorted = arena_array(arena, (size_t)count, sizeof(*sorted));
    for (int i = 0; i < count; i++) {
        sorted[i] = &instance[i];
        if (strcmp(instance[i].series_instance, instance[0].series_instance) != 0)
            return error_set(err, ERROR_UNPROCESSABLE, "mixed_series", label, "%s is of another series than %s.",
                             instance[i].name, instance[0].name);
    }
    qsort(sorted, (size_t)count, sizeof(*sorted), by_uid);
    for (int i = 1; i < count; i++)
        if (strcmp(sorted[i - 1]->sop_instance, sorted[i]->sop_instance) == 0)
            return error_set(err, ERROR_UNPROCESSABLE, "repeated_instance", label, "%s and %s are the same instance.",
                             sorted[i - 1]->name, sorted[i]->name);
    return 0;
}

static void add_bounds(struct prepared_series *series, const struct prepared_instance *p)
{
    for (int corner = 0; corner < 4; corner++) {
        /* Outer corners: half a pixel beyond the centres. */
        double i = (corner & 1) ? (double)p->columns - 0.5 : -0.5, j = (corner & 2) ? (double)p->rows - 0.5 : -0.5;
        for (int axis = 0; axis < 3; axis++) {
            double at = p->position[axis] + p->orientation[axis] * p->spacing[1] * i +
                        p->orientation[axis + 3] * p->spacing[0] * j;
            double *low = &series->bounds[axis][0], *high = &series->bounds[axis][1];
            if (!series->bounded || at < *low)
                *low = at;
            if (!series->bounded || at > *high)
                *high = at;
        }
        series->bounded = true;
    }
}

static void destroy_arena(void *arena)
{
    arena_destroy(arena);
}

int prepare_series(struct arena *arena, const char *directory, const char *label, const char *const *names, int count,
                   const char *store, bool deidentified, struct prepared_series *ret, struct error *err)
{
    struct work work = {.directory = directory,
                        .label = label,
                        .store = store,
                        .names = names,
                        .count = count,
                        .deidentified = deidentified,
                        .instance = arena_array(arena, (size_t)count, sizeof(*work.instance)),
                        .arena = arena_array(arena, (size_t)count, sizeof(*work.arena)),
                        .lock = PTHREAD_MUTEX_INITIALIZER};
    for (int i = 0; i < count; i++) {
        work.arena[i] = arena_create();
        arena_defer(arena, destroy_arena, work.arena[i]);
    }
    pthread_t thread[WORKERS_MAX];
    int threads = 0;
    while (threads < WORKERS_MAX && threads < count && pthread_create(&thread[threads], NULL, run, &work) == 0)
        threads++;
    if (threads == 0)
        run(&work);
    while (threads > 0)
        pthread_join(thread[--threads], NULL);
    if (atomic_load(&work.failed)) {
        *err = work.err;
        return -1;
    }
    if (check_series(arena, label, work.instance, count, err) < 0)
        return -1;
    *ret = (struct prepared_series){.count = count, .instance = work.instance};
    bool placed = true;
    for (int i = 0; i < count; i++)
        placed &= ret->instance[i].placed;
    qsort(ret->instance, (size_t)count, sizeof(*ret->instance), placed ? by_place : by_number);
    for (int i = 0; placed && i < count; i++)
        add_bounds(ret, &ret->instance[i]);
    return 0;
}
