#include "library/library.h"

#include "grading/grading.h"
#include "identity/identity.h"
#include "library/image_grants.h"
#include "library/library_config.h"
#include "library/library_sql.h"

static const struct config *config;

void library_init(const struct config *settings)
{
    config = settings;
}

const struct config *library_config(void)
{
    return config;
}

void library_loop_start(struct db *db)
{
    image_grants_start(db);
}

void library_loop_stop(void)
{
    image_grants_stop();
}

static int one_of(struct text value, const char *name, const char *const allowed[], struct error *err)
{
    for (int i = 0; allowed[i]; i++)
        if (text_is(value, allowed[i]))
            return 0;
    return error_set(err, ERROR_UNPROCESSABLE, "unknown_value", name, "%s does not take this value.", name);
}

struct filter {
    const char *modality, *difficulty, *truth_kind, *synthetic, *unread;
};

static int filter_from_query(struct http_request *req, struct filter *ret, struct error *err)
{
    static const char *const booleans[] = {"true", "false", NULL};
    static const char *const kinds[] = {"histology", "follow_up", "consensus", "synthetic", NULL};
    struct arena *arena = http_arena(req);
    struct text value;
    int64_t difficulty;
    *ret = (struct filter){.unread = "false"};
    if (http_query(req, "modality", &value)) {
        ret->modality = arena_copy(arena, value.p, value.len);
        if (!grading_plugin_known(ret->modality))
            return error_set(err, ERROR_UNPROCESSABLE, "unknown_modality", "modality",
                             "GET /v1/modalities lists the modalities there are.");
    }
    if (http_query(req, "difficulty", &value)) {
        if (text_to_int64(value, 1, 5, &difficulty) < 0)
            return error_set(err, ERROR_UNPROCESSABLE, "out_of_range", "difficulty", "difficulty is a number from 1 to 5.");
        ret->difficulty = arena_copy(arena, value.p, value.len);
    }
    if (http_query(req, "truth_kind", &value)) {
        if (one_of(value, "truth_kind", kinds, err) < 0)
            return -1;
        ret->truth_kind = arena_copy(arena, value.p, value.len);
    }
    if (http_query(req, "synthetic", &value)) {
        if (one_of(value, "synthetic", booleans, err) < 0)
            return -1;
        ret->synthetic = arena_copy(arena, value.p, value.len);
    }
    if (http_query(req, "unread", &value)) {
        if (one_of(value, "unread", booleans, err) < 0)
            return -1;
        ret->unread = arena_copy(arena, value.p, value.len);
    }
    return 0;
}

static void case_list(struct http_request *req)
{
    struct page page;
    struct filter f;
    struct error err = {0};
    if (http_query_only(req, &err, "modality", "difficulty", "truth_kind", "synthetic", "unread", "after", "limit",
                        NULL) < 0 ||
        filter_from_query(req, &f, &err) < 0 || page_from_query(req, &page, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    const char *const params[] = {f.modality, f.difficulty, f.truth_kind,      f.synthetic,
                                  f.unread,   page.after,   page.limit_plus_one};
    respond_page(req, sql_case_list, params, &page);
}

static void case_get(struct http_request *req)
{
    struct error err = {0};
    const char *id;
    if (path_uuid(req, "case", "case_not_found", &id, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_row(req, sql_case_show, (const char *const[]){id}, "case_not_found");
}

/* "<64 hex digits>.png" or ".dcm". */
static int image_name(struct http_request *req, char ret_sha256[SHA256_HEX_SIZE], const char **ret_kind)
{
    struct text file = http_path_param(req, "file");
    if (file.len != SHA256_HEX_SIZE - 1 + 4)
        return -1;
    for (int i = 0; i < SHA256_HEX_SIZE - 1; i++) {
        char c = file.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return -1;
        ret_sha256[i] = c;
    }
    ret_sha256[SHA256_HEX_SIZE - 1] = '\0';
    struct text ending = {file.p + SHA256_HEX_SIZE - 1, 4};
    if (text_is(ending, ".png"))
        *ret_kind = "png";
    else if (text_is(ending, ".dcm"))
        *ret_kind = "dcm";
    else
        return -1;
    return 0;
}

static int may_see_image(struct db_scope *scope, const char *case_id, const char *sha256, const char *kind,
                         struct error *err)
{
    const struct db_result *res;
    if (image_grants_has(scope->credential, case_id, sha256, kind))
        return 0;
    unsigned long generation = image_grants_generation();
    if (db_run(scope, sql_case_file, (const char *const[]){case_id, sha256, kind}, &res, err) < 0)
        return -1;
    if (db_rows(res) == 0)
        return error_set(err, ERROR_NOT_FOUND, "image_not_found", NULL, "There is no such image of a case you may see.");
    if (!db_bool(res, 0, 0))
        return error_set(err, ERROR_PAYMENT, "subscription_expired", NULL,
                         "The subscription has ended; your own record stays readable.");
    image_grants_add(generation, scope->credential, case_id, sha256, kind);
    return 0;
}

static void case_image(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    const char *case_id, *kind;
    char sha256[SHA256_HEX_SIZE];
    if (image_name(req, sha256, &kind) < 0)
        error_set(&err, ERROR_NOT_FOUND, "image_not_found", NULL, "There is no such image of a case you may see.");
    else if (path_uuid(req, "case", "case_not_found", &case_id, &err) == 0 && identity_scope(req, &scope, &err) == 0 &&
             may_see_image(&scope, case_id, sha256, kind, &err) == 0) {
        const char *path =
            arena_printf(http_arena(req), "%s/images/%.2s/%s.%s", config->state_dir, sha256, sha256, kind);
        http_reply_file(req, path, text_is(text_of(kind), "png") ? "image/png" : "application/dicom", sha256);
        return;
    }
    http_reply_error(req, &err);
}

/* --- Modalities: what the plugins say of themselves ------------------------------------------------------------------ */

/* The registry is in memory, but only for who is signed in: the session is checked all the same. */
static int signed_in(struct http_request *req, struct error *err)
{
    struct db_scope scope;
    const struct db_result *res;
    if (identity_scope(req, &scope, err) < 0)
        return -1;
    return db_run(&scope, sql_modality_list, NULL, &res, err);
}

static void modality_list(struct http_request *req)
{
    struct error err = {0};
    if (signed_in(req, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    const struct grading_plugin *const *plugins;
    int count = grading_plugins(http_arena(req), &plugins);
    struct buffer out;
    bool first = true;
    buffer_init(&out, 1 << 20);
    buffer_puts(&out, "{\"items\":[");
    for (int i = 0; i < count; i++) {
        const struct grading_plugin *p = plugins[i];
        if (p->broken)
            continue;
        buffer_puts(&out, first ? "{\"modality\":" : ",{\"modality\":");
        buffer_json_string(&out, text_of(p->id));
        buffer_puts(&out, ",\"title\":");
        buffer_json_string(&out, text_of(p->title));
        buffer_puts(&out, ",\"plugin_version\":");
        buffer_json_string(&out, text_of(p->version));
        buffer_printf(&out, ",\"rules_revision\":%d,\"plugin_sha256\":\"%s\"}", p->rules_revision, p->sha256);
        first = false;
    }
    buffer_puts(&out, "],\"next\":null}");
    http_reply_json_etag(req, (struct text){out.p, out.len});
    buffer_finish(&out);
}

static void modality_get(struct http_request *req)
{
    struct error err = {0};
    struct text name = http_path_param(req, "modality");
    struct arena *arena = http_arena(req);
    const struct grading_plugin *plugin = grading_plugin(arena, arena_copy(arena, name.p, name.len));
    if (signed_in(req, &err) == 0) {
        if (plugin && !plugin->broken) {
            http_reply_json_etag(req, plugin->manifest);
            return;
        }
        error_set(&err, ERROR_NOT_FOUND, "modality_not_found", NULL, "There is no such modality.");
    }
    http_reply_error(req, &err);
}

const struct http_route library_routes[] = {
    {"GET", "/v1/modalities", "*", 0, modality_list},
    {"GET", "/v1/modalities/{modality}", "*", 0, modality_get},
    {"GET", "/v1/cases", "*", 0, case_list},
    {"GET", "/v1/cases/{case}", "*", 0, case_get},
    {"GET", "/v1/cases/{case}/images/{file}", "*", 0, case_image},
    {0},
};
