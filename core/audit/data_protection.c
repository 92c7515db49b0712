#include "audit/data_protection.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "audit/data_protection_sql.h"
#include "audit/export_zip.h"
#include "base/clock.h"

#define FORMAT "overread-personal-data"
#define FORMAT_VERSION 1

enum { PAGE_LINES = 200, PAGE_BYTES = 64 << 20, MANIFEST_BYTES = 1 << 16, SWEEP_SECONDS = 3600, ABANDONED_SECONDS = 86400 };

static const struct config *config;
static struct thread_pool *pool;

void data_protection_init(const struct config *with, struct thread_pool *files)
{
    config = with;
    pool = files;
}

const char *data_protection_path(struct arena *arena, const char *export_id)
{
    return arena_printf(arena, "%s/exports/%s.zip", config->state_dir, export_id);
}

/* --- Writing an export --------------------------------------------------------------------------------------------- */

/* Whose data is read, and by whom: a job as its person, or an operator's session. */
struct source {
    struct db_scope *scope;
    struct db_session *admin;
    const char *person; /* for the operator's */
};

static int read_parts(const struct source *from, struct arena *arena, const struct db_result **ret, struct error *err)
{
    if (from->admin)
        return db_session_run(from->admin, arena, sql_export_parts, NULL, ret, err);
    return db_run(from->scope, sql_export_parts, NULL, ret, err);
}

static int read_page(const struct source *from, struct arena *arena, const char *part, const char *behind,
                     const struct db_result **ret, struct error *err)
{
    const char *const params[] = {from->person, part, behind, arena_printf(arena, "%d", PAGE_LINES)};
    if (from->admin)
        return db_session_run(from->admin, arena, sql_export_page, params, ret, err);
    struct db_scope scope = *from->scope;
    scope.arena = arena;
    return db_run(&scope, sql_export_page_mine, params + 1, ret, err);
}

/* One step on the file: on a worker thread when there is a loop that must not wait. */
struct step {
    struct export_zip *zip;
    const char *entry; /* begun first, unless NULL */
    struct text bytes;
    int rc;
    struct error err;
};

static void take_step(void *arg)
{
    struct step *s = arg;
    s->rc = s->entry ? export_zip_entry(s->zip, s->entry, &s->err) : 0;
    if (s->rc == 0)
        s->rc = export_zip_add(s->zip, s->bytes, &s->err);
}

static int put(const struct source *from, struct export_zip *zip, const char *entry, struct text bytes, struct error *err)
{
    struct step s = {.zip = zip, .entry = entry, .bytes = bytes};
    if (from->admin)
        take_step(&s);
    else if (thread_pool_run(pool, take_step, &s, err) < 0)
        return -1;
    if (s.rc < 0)
        *err = s.err;
    return s.rc;
}

/* A page as lines of a JSON array that `count` lines stand in already. */
static int put_page(const struct source *from, struct export_zip *zip, const struct db_result *page, int64_t count, struct error *err)
{
    struct buffer out;
    buffer_init(&out, PAGE_BYTES);
    for (int i = 0; i < db_rows(page); i++) {
        struct text line = db_text(page, i, 1);
        buffer_puts(&out, count + i > 0 ? ",\n" : "");
        buffer_add(&out, line.p, line.len);
    }
    int rc = out.failed ? error_set(err, ERROR_INTERNAL, "export_page", NULL, "A page of an export is too large.")
                        : put(from, zip, NULL, (struct text){out.p, out.len}, err);
    buffer_finish(&out);
    return rc;
}

/* Each page has an arena of its own: a record may be long. */
static int put_part(const struct source *from, struct export_zip *zip, const char *part, int64_t *ret_count, struct error *err)
{
    struct arena *arena = arena_create();
    const char *behind = NULL;
    int rc = put(from, zip, arena_printf(arena, "%s.json", part), TEXT("[\n"), err), rows;
    do {
        const struct db_result *page;
        if (rc < 0 || (rc = read_page(from, arena, part, behind, &page, err)) < 0)
            break;
        rows = db_rows(page);
        rc = put_page(from, zip, page, *ret_count, err);
        *ret_count += rows;
        struct arena *next = arena_create();
        behind = rows > 0 ? arena_strdup(next, db_string(page, rows - 1, 0)) : NULL;
        arena_destroy(arena);
        arena = next;
    } while (rows > 0);
    arena_destroy(arena);
    return rc < 0 ? rc : put(from, zip, NULL, TEXT("\n]\n"), err);
}

/* The manifest comes last: it counts what stands before it. */
static int put_all(const struct source *from, struct arena *arena, struct export_zip *zip, struct error *err)
{
    const struct db_result *parts;
    struct buffer manifest;
    char now[CLOCK_TEXT_SIZE];
    clock_text(clock_wall_ms(), now);
    if (read_parts(from, arena, &parts, err) < 0)
        return -1;
    buffer_init(&manifest, MANIFEST_BYTES);
    buffer_printf(&manifest, "{\"format\":\"%s\",\"version\":%d,\"made_at\":\"%s\",\"files\":[", FORMAT, FORMAT_VERSION, now);
    int rc = 0;
    for (int i = 0; rc == 0 && i < db_rows(parts); i++) {
        int64_t count = 0;
        rc = put_part(from, zip, db_string(parts, i, 0), &count, err);
        buffer_printf(&manifest, "%s\n{\"name\":\"%s.json\",\"records\":%lld}", i > 0 ? "," : "", db_string(parts, i, 0),
                      (long long)count);
    }
    buffer_puts(&manifest, "\n]}\n");
    if (rc == 0)
        rc = put(from, zip, "manifest.json", (struct text){manifest.p, manifest.len}, err);
    buffer_finish(&manifest);
    return rc;
}

/* --- The job ------------------------------------------------------------------------------------------------------- */

struct ending {
    struct export_zip *zip;
    const char *name;
    char sha256[SHA256_HEX_SIZE];
    int64_t bytes;
    int rc;
    struct error err;
};

static void end(void *arg)
{
    struct ending *e = arg;
    e->rc = export_zip_finish(e->zip, e->name, e->sha256, &e->bytes, &e->err);
}

static int finish(struct job *job, struct export_zip *zip, const char *export_id, struct error *err)
{
    struct arena *arena = job->scope.arena;
    struct ending e = {.zip = zip, .name = data_protection_path(arena, export_id)};
    const struct db_result *res;
    if (thread_pool_run(pool, end, &e, err) < 0)
        return -1;
    if (e.rc < 0) {
        *err = e.err;
        return -1;
    }
    const char *const params[] = {export_id, e.sha256, arena_printf(arena, "%lld", (long long)e.bytes)};
    if (db_run(&job->scope, sql_export_done, params, &res, err) < 0)
        return -1;
    if (!db_bool(res, 0, 0))
        unlink(e.name); /* the person has been erased meanwhile */
    return 0;
}

static int run_export(struct job *job, struct error *err)
{
    struct arena *arena = job->scope.arena;
    const struct source from = {.scope = &job->scope};
    json_t *payload;
    if (json_parse(arena, job->payload, &payload, err) < 0)
        return -1;
    const char *export_id = json_string_value(json_object_get(payload, "export"));
    const char *folder = arena_printf(arena, "%s/exports", config->state_dir);
    if (!export_id || !uuid_valid(text_of(export_id))) {
        job->hopeless = true;
        return error_set(err, ERROR_INVALID, "bad_job", NULL, "The job names no export.");
    }
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return error_set(err, ERROR_INTERNAL, "export_file", NULL, "%s: %s", folder, strerror(errno));
    struct export_zip *zip = export_zip_create(arena, arena_printf(arena, "%s/%s.part", folder, job->lease), err);
    if (!zip || put_all(&from, arena, zip, err) < 0)
        return -1;
    return finish(job, zip, export_id, err);
}

const struct job_kind data_protection_export_job = {.kind = "personal_export", .run = run_export, .retry_max_seconds = 600};

/* --- The sweep ------------------------------------------------------------------------------------------------------- */

/* The ids of the exports that lie here, as a JSON array. What was begun and never ended is removed. */
static struct text kept_here(struct arena *arena, const char *folder)
{
    json_t *ids = json_array();
    struct stat st;
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        size_t len = strlen(entry->d_name);
        struct text id = {entry->d_name, UUID_SIZE - 1};
        if (len == UUID_SIZE - 1 + 4 && uuid_valid(id) && strcmp(entry->d_name + id.len, ".zip") == 0)
            json_array_append_new(ids, json_stringn(id.p, id.len));
        else if (len > 5 && strcmp(entry->d_name + len - 5, ".part") == 0 && fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 &&
                 st.st_mtime < time(NULL) - ABANDONED_SECONDS)
            unlinkat(dirfd(dir), entry->d_name, 0);
    }
    if (dir)
        closedir(dir);
    struct text rendered = json_render(arena, ids);
    json_decref(ids);
    return rendered;
}

static int run_sweep(struct job *job, struct error *err)
{
    struct arena *arena = job->scope.arena;
    const struct db_result *gone;
    struct text kept = kept_here(arena, arena_printf(arena, "%s/exports", config->state_dir));
    if (db_run(&job->scope, sql_exports_gone, (const char *const[]){kept.p}, &gone, err) < 0)
        return -1;
    for (int i = 0; i < db_rows(gone); i++)
        unlink(data_protection_path(arena, db_string(gone, i, 0)));
    return 0;
}

const struct job_kind data_protection_sweep_job = {
    .kind = "personal_export_sweep", .run = run_sweep, .retry_max_seconds = 600, .every_seconds = SWEEP_SECONDS};

/* --- For the command line --------------------------------------------------------------------------------------- */

static int find(struct db_session *admin, struct arena *arena, const char *email, const char **ret_person, struct error *err)
{
    const struct db_result *res;
    if (db_session_run(admin, arena, sql_person_by_email, (const char *const[]){email}, &res, err) < 0)
        return -1;
    if (db_rows(res) == 0)
        return error_set(err, ERROR_NOT_FOUND, "person_not_found", "email", "Nobody has this address.");
    *ret_person = db_string(res, 0, 0);
    return 0;
}

int data_protection_export(struct db_session *admin, struct arena *arena, const char *email, const char *path, struct error *err)
{
    struct source from = {.admin = admin};
    char sha256[SHA256_HEX_SIZE];
    int64_t bytes;
    if (find(admin, arena, email, &from.person, err) < 0)
        return -1;
    struct export_zip *zip = export_zip_create(arena, path, err);
    if (!zip || put_all(&from, arena, zip, err) < 0)
        return -1;
    return export_zip_finish(zip, NULL, sha256, &bytes, err);
}

int data_protection_erase(struct db_session *admin, struct arena *arena, const char *email, const char **ret_person,
                          struct error *err)
{
    const struct db_result *res;
    if (find(admin, arena, email, ret_person, err) < 0)
        return -1;
    return db_session_run(admin, arena, sql_person_erase, (const char *const[]){*ret_person}, &res, err);
}

int data_protection_ledger(struct db_session *admin, struct arena *arena, void (*write)(void *arg, struct text line), void *arg,
                           struct error *err)
{
    const struct db_result *res;
    if (db_session_run(admin, arena, sql_erasures_list, NULL, &res, err) < 0)
        return -1;
    for (int i = 0; i < db_rows(res); i++)
        write(arg, db_text(res, i, 0));
    return 0;
}

int data_protection_replay(struct db_session *admin, struct arena *arena, struct text line, bool *ret, struct error *err)
{
    json_t *json;
    const char *person, *why, *at;
    const struct db_result *res;
    if (json_parse(arena, line, &json, err) < 0 || json_object_only(json, err, "person", "erased_at", "why", NULL) < 0 ||
        json_get_uuid(json, "person", true, &person, err) < 0 || json_get_string(json, "erased_at", true, 1, 40, &at, err) < 0 ||
        json_get_string(json, "why", true, 1, 40, &why, err) < 0 ||
        db_session_run(admin, arena, sql_erasure_replay, (const char *const[]){arena_copy(arena, line.p, line.len)}, &res, err) < 0)
        return -1;
    *ret = db_bool(res, 0, 0);
    return 0;
}
