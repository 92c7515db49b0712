#include "audit/audit.h"

#include <stdlib.h>
#include <string.h>

#include "audit/audit_sql.h"
#include "base/text.h"

enum { BATCH = 1000 };

static int run_seal(struct job *job, struct error *err)
{
    const struct db_result *res;
    do {
        if (db_run(&job->scope, sql_audit_seal_some, NULL, &res, err) < 0)
            return -1;
    } while (db_bool(res, 0, 0));
    return 0;
}

const struct job_kind audit_seal_job = {.kind = "audit_seal", .run = run_seal, .retry_max_seconds = 60, .every_seconds = 5};

/* One batch of lines behind chain->number, each handed to `each`. Returns how many, or -1. */
static int batch(struct db_session *admin, const char *tenant, int64_t behind,
                 int (*each)(void *arg, struct text line, struct error *err), void *arg, struct error *err)
{
    struct arena *arena = arena_create();
    const struct db_result *lines;
    const char *const params[] = {tenant, arena_printf(arena, "%lld", (long long)behind), arena_printf(arena, "%d", BATCH)};
    int count = -1;
    if (db_session_run(admin, arena, sql_audit_lines, params, &lines, err) == 0) {
        count = db_rows(lines);
        for (int i = 0; i < count; i++)
            if (each(arg, db_text(lines, i, 0), err) < 0) {
                count = -1;
                break;
            }
    }
    arena_destroy(arena);
    return count;
}

struct verifying {
    const char *tenant, *slug;
    struct audit_chain chain;
    const struct audit_anchor *anchors;
    size_t count;
};

int audit_anchors_hold(const struct audit_anchor *anchors, size_t count, const char *name, const struct audit_chain *chain, bool at_end,
                       struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct audit_anchor *a = &anchors[i];
        if (strcmp(a->name, name) != 0)
            continue;
        if (a->number == chain->number && strcmp(a->hash, chain->hash) != 0)
            return error_set(err, ERROR_CONFLICT, "record_broken", NULL, "%s: entry %lld is not the one that was kept.", name,
                             (long long)a->number);
        if (at_end && a->number > chain->number)
            return error_set(err, ERROR_CONFLICT, "record_broken", NULL,
                             "%s: the record ends at %lld, and once had entry %lld: it was truncated.", name, (long long)chain->number,
                             (long long)a->number);
    }
    return 0;
}

static int check_anchors(const struct verifying *v, bool at_end, struct error *err)
{
    return audit_anchors_hold(v->anchors, v->count, v->slug, &v->chain, at_end, err);
}

static int verify_line(void *arg, struct text line, struct error *err)
{
    struct verifying *v = arg;
    if (audit_chain_add(&v->chain, v->tenant, line, err) < 0) {
        struct error inner = *err;
        return error_set(err, ERROR_CONFLICT, inner.code, NULL, "%s: %s", v->slug, inner.detail);
    }
    return check_anchors(v, false, err);
}

static int verify_one(struct db_session *admin, struct verifying *v, const struct db_result *tenants, int row, struct error *err)
{
    int got;
    audit_chain_begin(&v->chain, v->tenant);
    do {
        got = batch(admin, v->tenant, v->chain.number, verify_line, v, err);
    } while (got == BATCH);
    if (got < 0 || check_anchors(v, true, err) < 0)
        return -1;
    if (db_int(tenants, row, 2) > v->chain.number || (db_int(tenants, row, 2) == v->chain.number &&
                                                       !text_is(db_text(tenants, row, 3), v->chain.hash)))
        return error_set(err, ERROR_CONFLICT, "record_broken", NULL, "%s: the record ends at %lld, its head is at %lld: it was truncated.",
                         v->slug, (long long)v->chain.number, (long long)db_int(tenants, row, 2));
    if (db_int(tenants, row, 4) > 0)
        return error_set(err, ERROR_CONFLICT, "record_broken", NULL, "%s: %lld entries stand outside the chain.", v->slug,
                         (long long)db_int(tenants, row, 4));
    return 0;
}

int audit_verify(struct db_session *admin, struct arena *arena, const char *slug, const struct audit_anchor *anchors, size_t count,
                 void (*told)(void *arg, const char *slug, const struct audit_chain *end), void *arg, struct error *err)
{
    const struct db_result *tenants;
    if (db_session_run(admin, arena, sql_audit_tenants, (const char *const[]){slug}, &tenants, err) < 0)
        return -1;
    if (slug && db_rows(tenants) == 0)
        return error_set(err, ERROR_NOT_FOUND, "tenant_not_found", NULL, "There is no tenant %s.", slug);
    for (int i = 0; i < db_rows(tenants); i++) {
        struct verifying v = {.tenant = db_string(tenants, i, 0), .slug = db_string(tenants, i, 1), .anchors = anchors, .count = count};
        if (verify_one(admin, &v, tenants, i, err) < 0)
            return -1;
        told(arg, v.slug, &v.chain);
    }
    return 0;
}

struct exporting {
    int64_t number;
    void (*write)(void *arg, struct text line);
    void *arg;
};

static int export_line(void *arg, struct text line, struct error *err)
{
    struct exporting *e = arg;
    (void)err;
    e->number++;
    e->write(e->arg, line);
    return 0;
}

int audit_export(struct db_session *admin, struct arena *arena, const char *slug, void (*write)(void *arg, struct text line),
                 void *arg, struct error *err)
{
    const struct db_result *tenants, *sealed;
    struct exporting e = {.write = write, .arg = arg};
    int got;
    if (db_session_run(admin, arena, sql_audit_tenants, (const char *const[]){slug}, &tenants, err) < 0)
        return -1;
    if (db_rows(tenants) == 0)
        return error_set(err, ERROR_NOT_FOUND, "tenant_not_found", NULL, "There is no tenant %s.", slug);
    const char *tenant = db_string(tenants, 0, 0);
    if (db_session_run(admin, arena, sql_audit_seal_one, (const char *const[]){tenant}, &sealed, err) < 0)
        return -1;
    do {
        got = batch(admin, tenant, e.number, export_line, &e, err);
    } while (got == BATCH);
    return got < 0 ? -1 : 0;
}
