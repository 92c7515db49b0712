#include "reading/reading.h"

#include "grading/grading.h"
#include "identity/identity.h"
#include "reading/reading_sql.h"

enum { OPEN_BODY_MAX = 4096 };

static int show(struct http_request *req, struct db_scope *scope, int status, const char *id, struct error *err)
{
    const struct db_result *res;
    if (db_run(scope, sql_read_show, (const char *const[]){id}, &res, err) < 0)
        return -1;
    if (db_rows(res) == 0)
        return error_set(err, ERROR_NOT_FOUND, "read_not_found", NULL, "You have no such read.");
    http_header_add(req, "location", arena_printf(http_arena(req), "/v1/reads/%s", id));
    http_reply_json(req, status, db_text(res, 0, 0));
    return 0;
}

static void read_open(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    json_t *body;
    const char *case_id, *key, *id;
    bool is_new;
    if (identity_scope(req, &scope, &err) < 0 || http_body_json(req, &body, &err) < 0 ||
        json_object_only(body, &err, "case", NULL) < 0 || json_get_uuid(body, "case", true, &case_id, &err) < 0 ||
        http_idempotency_key(req, &key, &err) < 0 || reading_open(&scope, case_id, key, &id, &is_new, &err) < 0 ||
        show(req, &scope, is_new ? 201 : 200, id, &err) < 0)
        http_reply_error(req, &err);
}

static int list_filter(struct http_request *req, const char *ret[3], struct error *err)
{
    struct text value;
    struct arena *arena = http_arena(req);
    if (http_query(req, "case", &value)) {
        if (!uuid_valid(value))
            return error_set(err, ERROR_UNPROCESSABLE, "not_a_uuid", "case", "case takes a case's id.");
        ret[0] = arena_copy(arena, value.p, value.len);
    }
    if (http_query(req, "state", &value)) {
        if (!text_is(value, "open") && !text_is(value, "awaiting_grade") && !text_is(value, "graded"))
            return error_set(err, ERROR_UNPROCESSABLE, "unknown_value", "state",
                             "state is open, awaiting_grade or graded.");
        ret[1] = arena_copy(arena, value.p, value.len);
    }
    if (http_query(req, "modality", &value)) {
        ret[2] = arena_copy(arena, value.p, value.len);
        if (!grading_plugin_known(ret[2]))
            return error_set(err, ERROR_UNPROCESSABLE, "unknown_modality", "modality",
                             "GET /v1/modalities lists the modalities there are.");
    }
    return 0;
}

static void read_list(struct http_request *req)
{
    struct error err = {0};
    struct page page;
    const char *filter[3] = {0};
    if (http_query_only(req, &err, "case", "state", "modality", "after", "limit", NULL) < 0 ||
        list_filter(req, filter, &err) < 0 || page_from_query(req, &page, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    const char *const params[] = {filter[0], filter[1], filter[2], page.after, page.limit_plus_one};
    respond_page(req, sql_read_list, params, &page);
}

static void read_get(struct http_request *req)
{
    struct error err = {0};
    const char *id;
    if (path_uuid(req, "read", "read_not_found", &id, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_row(req, sql_read_show, (const char *const[]){id}, "read_not_found");
}

/* {"answer": {...}}, in a draft as in a submission. */
static int answer_from_body(struct http_request *req, json_t **ret, struct error *err)
{
    json_t *body;
    if (http_body_json(req, &body, err) < 0 || json_object_only(body, err, "answer", NULL) < 0)
        return -1;
    *ret = json_object_get(body, "answer");
    if (!json_is_object(*ret))
        return error_set(err, ERROR_UNPROCESSABLE, *ret ? "wrong_type" : "required", "/answer",
                         "answer is an object; its form is the modality's answer schema.");
    return 0;
}

static void draft_put(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    json_t *draft;
    const char *id;
    const struct db_result *res;
    if (path_uuid(req, "read", "read_not_found", &id, &err) < 0 || identity_scope(req, &scope, &err) < 0 ||
        answer_from_body(req, &draft, &err) < 0 ||
        db_run(&scope, sql_draft_save, (const char *const[]){id, json_render(http_arena(req), draft).p}, &res, &err) < 0)
        http_reply_error(req, &err);
    else if (db_rows(res) == 0) {
        error_set(&err, ERROR_NOT_FOUND, "read_not_found", NULL, "You have no such read.");
        http_reply_error(req, &err);
    } else if (!text_is(db_text(res, 0, 0), "open")) {
        error_set(&err, ERROR_CONFLICT, "already_submitted", NULL, "This read has been submitted; it takes no draft.");
        http_reply_error(req, &err);
    } else {
        http_reply(req, 204, NULL, (struct text){0});
    }
}

static void submission_post(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    json_t *answer;
    const char *id;
    struct text feedback = {0};
    if (path_uuid(req, "read", "read_not_found", &id, &err) < 0 || identity_scope(req, &scope, &err) < 0 ||
        answer_from_body(req, &answer, &err) < 0 || reading_submit(&scope, id, answer, &feedback, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    if (feedback.len) {
        http_reply_json(req, 200, feedback);
        return;
    }
    const char *where = arena_printf(http_arena(req), "/v1/reads/%s", id);
    http_header_add(req, "location", where);
    http_header_add(req, "retry-after", "5");
    http_reply_json(req, 202,
                    text_of(arena_printf(http_arena(req),
                                         "{\"read\":\"%s\",\"state\":\"awaiting_grade\",\"feedback\":\"%s/feedback\"}", id,
                                         where)));
}

static void feedback_get(struct http_request *req)
{
    struct error err = {0};
    struct db_scope scope;
    const char *id;
    const struct db_result *res;
    if (path_uuid(req, "read", "read_not_found", &id, &err) < 0 || identity_scope(req, &scope, &err) < 0 ||
        db_run(&scope, sql_read_feedback, (const char *const[]){id}, &res, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    if (!db_is_null(res, 0, 0)) {
        http_reply_json_etag(req, db_text(res, 0, 0));
        return;
    }
    if (db_run(&scope, sql_read_prepare, (const char *const[]){id}, &res, &err) == 0) {
        if (db_rows(res) == 0)
            error_set(&err, ERROR_NOT_FOUND, "read_not_found", NULL, "You have no such read.");
        else if (text_is(db_text(res, 0, 0), "open"))
            error_set(&err, ERROR_CONFLICT, "not_submitted", NULL, "Feedback comes after the submission.");
        else {
            http_header_add(req, "retry-after", "5");
            http_reply_json(req, 202,
                            text_of(arena_printf(http_arena(req), "{\"read\":\"%s\",\"state\":\"awaiting_grade\"}", id)));
            return;
        }
    }
    http_reply_error(req, &err);
}

static void grades_get(struct http_request *req)
{
    struct error err = {0};
    const char *id;
    if (path_uuid(req, "read", "read_not_found", &id, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_row(req, sql_read_grades, (const char *const[]){id}, "read_not_found");
}

const struct http_route reading_routes[] = {
    {"POST", "/v1/reads", "trainee,educator,expert", OPEN_BODY_MAX, read_open},
    {"GET", "/v1/reads", "*", 0, read_list},
    {"GET", "/v1/reads/{read}", "*", 0, read_get},
    {"PUT", "/v1/reads/{read}/draft", "trainee,educator,expert", READING_ANSWER_MAX, draft_put},
    {"POST", "/v1/reads/{read}/submission", "trainee,educator,expert", READING_ANSWER_MAX, submission_post},
    {"GET", "/v1/reads/{read}/feedback", "*", 0, feedback_get},
    {"GET", "/v1/reads/{read}/grades", "*", 0, grades_get},
    {0},
};
