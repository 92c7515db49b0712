#include "audit/audit.h"

#include "identity/identity.h"
#include "audit/audit_sql.h"

enum { EXPORT_DEFAULT = 1000, EXPORT_MAX = 10000, EXPORT_BYTES = 32 << 20 };

static void audit_get(struct http_request *req)
{
    respond_list(req, sql_audit_page);
}

static int number_from_query(struct http_request *req, const char *name, int64_t most, int64_t *number, struct error *err)
{
    struct text value;
    if (http_query(req, name, &value) && text_to_int64(value, 0, most, number) < 0)
        return error_set(err, ERROR_UNPROCESSABLE, "out_of_range", name, "%s is a number from 0 to %lld.", name, (long long)most);
    return 0;
}

/* Lines of JSON (one an entry), oldest first: what `overread audit verify --file` takes. */
static void export_get(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    const struct db_result *res;
    struct arena *arena = http_arena(req);
    int64_t after = 0, limit = EXPORT_DEFAULT;
    if (http_query_only(req, &err, "after", "limit", NULL) < 0 || number_from_query(req, "after", INT64_MAX, &after, &err) < 0 ||
        number_from_query(req, "limit", EXPORT_MAX, &limit, &err) < 0 || identity_scope(req, &scope, &err) < 0 ||
        db_run(&scope, sql_audit_export,
               (const char *const[]){arena_printf(arena, "%lld", (long long)after), arena_printf(arena, "%lld", (long long)limit)},
               &res, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    struct buffer out;
    buffer_init(&out, EXPORT_BYTES);
    for (int i = 0; i < db_rows(res); i++) {
        struct text line = db_text(res, i, 0);
        buffer_add(&out, line.p, line.len);
        buffer_puts(&out, "\n");
    }
    if (out.failed) {
        error_set(&err, ERROR_UNPROCESSABLE, "page_too_large", "limit", "Ask for fewer at once.");
        http_reply_error(req, &err);
    } else {
        http_reply(req, 200, "application/x-ndjson", (struct text){out.p, out.len});
    }
    buffer_finish(&out);
}

const struct http_route audit_routes[] = {
    {"GET", "/v1/audit", "administrator,support", 0, audit_get},
    {"GET", "/v1/audit/export", "administrator,support", 0, export_get},
    {0},
};
