#include "identity/identity.h"

enum { PAGE_DEFAULT = 20, PAGE_MAX = 100, PAGE_BYTES_MAX = 8 << 20 };

void respond_row(struct http_request *req, const struct db_statement *statement, const char *const params[],
                 const char *missing)
{
    struct db_scope scope;
    struct error err = {0};
    const struct db_result *res;
    if (identity_scope(req, &scope, &err) < 0 || db_run(&scope, statement, params, &res, &err) < 0) {
        http_reply_error(req, &err);
    } else if (db_rows(res) == 0 || db_is_null(res, 0, 0)) {
        error_set(&err, ERROR_NOT_FOUND, missing, NULL, "There is nothing of that id that you may see.");
        http_reply_error(req, &err);
    } else {
        http_reply_json_etag(req, db_text(res, 0, 0));
    }
}

void respond_204(struct http_request *req, const struct db_statement *statement, const char *const params[])
{
    struct error err = {0};
    struct db_scope scope;
    const struct db_result *res;
    if (identity_scope(req, &scope, &err) < 0 || db_run(&scope, statement, params, &res, &err) < 0)
        http_reply_error(req, &err);
    else
        http_reply(req, 204, NULL, (struct text){0});
}

void respond_json(struct http_request *req, int status, const struct db_statement *statement, const char *const params[])
{
    struct error err = {0};
    struct db_scope scope;
    const struct db_result *res;
    if (identity_scope(req, &scope, &err) < 0 || db_run(&scope, statement, params, &res, &err) < 0)
        http_reply_error(req, &err);
    else if (status == 200)
        http_reply_json_etag(req, db_text(res, 0, 0));
    else
        http_reply_json(req, status, db_text(res, 0, 0));
}

int page_from_query(struct http_request *req, struct page *ret, struct error *err)
{
    struct text value;
    *ret = (struct page){.limit = PAGE_DEFAULT};
    if (http_query(req, "limit", &value) && text_to_int64(value, 1, PAGE_MAX, &ret->limit) < 0)
        return error_set(err, ERROR_UNPROCESSABLE, "out_of_range", "limit", "limit is a number from 1 to %d.", PAGE_MAX);
    if (http_query(req, "after", &value)) {
        if (!uuid_valid(value))
            return error_set(err, ERROR_UNPROCESSABLE, "bad_cursor", "after", "after takes what `next` of a page gave.");
        ret->after = arena_copy(http_arena(req), value.p, value.len);
    }
    ret->limit_plus_one = arena_printf(http_arena(req), "%lld", (long long)ret->limit + 1);
    return 0;
}

void respond_page(struct http_request *req, const struct db_statement *statement, const char *const params[],
                  const struct page *page)
{
    struct db_scope scope;
    struct error err = {0};
    const struct db_result *res;
    if (identity_scope(req, &scope, &err) < 0 || db_run(&scope, statement, params, &res, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    int rows = db_rows(res), shown = rows > page->limit ? (int)page->limit : rows;
    struct buffer out;
    buffer_init(&out, PAGE_BYTES_MAX);
    buffer_puts(&out, "{\"items\":[");
    for (int i = 0; i < shown; i++) {
        struct text item = db_text(res, i, 1);
        if (i)
            buffer_puts(&out, ",");
        buffer_add(&out, item.p, item.len);
    }
    buffer_puts(&out, "],\"next\":");
    if (rows > shown)
        buffer_json_string(&out, db_text(res, shown - 1, 0));
    else
        buffer_puts(&out, "null");
    buffer_puts(&out, "}");
    if (out.failed) {
        error_set(&err, ERROR_UNPROCESSABLE, "page_too_large", "limit", "Ask for fewer at once.");
        http_reply_error(req, &err);
    } else {
        http_reply_json_etag(req, (struct text){out.p, out.len});
    }
    buffer_finish(&out);
}

void respond_list(struct http_request *req, const struct db_statement *statement)
{
    struct page page;
    struct error err = {0};
    if (http_query_only(req, &err, "after", "limit", NULL) < 0 || page_from_query(req, &page, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_page(req, statement, (const char *const[]){page.after, page.limit_plus_one}, &page);
}

int path_uuid(struct http_request *req, const char *name, const char *missing, const char **ret, struct error *err)
{
    struct text value = http_path_param(req, name);
    if (!uuid_valid(value))
        return error_set(err, ERROR_NOT_FOUND, missing, NULL, "There is nothing of that id that you may see.");
    *ret = arena_copy(http_arena(req), value.p, value.len);
    return 0;
}
