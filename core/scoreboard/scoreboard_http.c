#include "scoreboard/scoreboard.h"

#include "grading/grading.h"
#include "identity/identity.h"
#include "scoreboard/scoreboard_sql.h"
#include "scoreboard/statistics_http.h"

enum { BOARD_DEFAULT = 20, BOARD_MAX = 100, PSEUDONYM_BODY_MAX = 1024 };

static int modality_from_query(struct http_request *req, bool required, const char **ret, struct error *err)
{
    struct text value;
    *ret = NULL;
    if (!http_query(req, "modality", &value)) {
        if (required)
            return error_set(err, ERROR_UNPROCESSABLE, "required", "modality", "Say which modality's board.");
        return 0;
    }
    *ret = arena_copy(http_arena(req), value.p, value.len);
    if (!grading_plugin_known(*ret))
        return error_set(err, ERROR_UNPROCESSABLE, "unknown_modality", "modality",
                         "GET /v1/modalities lists the modalities there are.");
    return 0;
}

static void performance_get(struct http_request *req)
{
    struct error err = {0};
    const char *modality;
    if (http_query_only(req, &err, "modality", NULL) < 0 || modality_from_query(req, false, &modality, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_row(req, sql_performance_show, (const char *const[]){modality}, "performance_not_found");
}

static void board_get(struct http_request *req)
{
    struct error err = {0};
    const char *modality;
    struct text value;
    int64_t limit = BOARD_DEFAULT;
    bool everybody = false;
    if (http_query_only(req, &err, "modality", "board", "limit", NULL) < 0 ||
        modality_from_query(req, true, &modality, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    if (http_query(req, "limit", &value) && text_to_int64(value, 1, BOARD_MAX, &limit) < 0)
        error_set(&err, ERROR_UNPROCESSABLE, "out_of_range", "limit", "limit is a number from 1 to %d.", BOARD_MAX);
    if (http_query(req, "board", &value)) {
        everybody = text_is(value, "everybody");
        if (!everybody && !text_is(value, "tenant"))
            error_set(&err, ERROR_UNPROCESSABLE, "unknown_value", "board", "board is tenant or everybody.");
    }
    if (err.kind) {
        http_reply_error(req, &err);
        return;
    }
    const char *const params[] = {modality, arena_printf(http_arena(req), "%lld", (long long)limit)};
    respond_row(req, everybody ? sql_board_everybody : sql_board_tenant, params, "board_not_found");
}

/* What the public sees of a person: no invisible or control character, no blank that could pose as none. */
static int check_pseudonym(const char *name, struct error *err)
{
    for (const unsigned char *p = (const unsigned char *)name; *p; p++) {
        bool control = *p < ' ' || *p == 0x7f || (p[0] == 0xc2 && p[1] < 0xa0);
        /* U+200B..200F, U+2028..202E, U+2060..206F; U+FEFF */
        bool invisible = (p[0] == 0xe2 && p[1] == 0x80 && ((p[2] >= 0x8b && p[2] <= 0x8f) || (p[2] >= 0xa8 && p[2] <= 0xae))) ||
                         (p[0] == 0xe2 && p[1] == 0x81 && p[2] >= 0xa0 && p[2] <= 0xaf) ||
                         (p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf);
        bool loose = *p == ' ' && (p == (const unsigned char *)name || p[1] == ' ' || p[1] == '\0');
        if (control || invisible || loose)
            return error_set(err, ERROR_UNPROCESSABLE, "bad_pseudonym", "/pseudonym",
                             "A pseudonym has visible characters, and single blanks between them only.");
    }
    return 0;
}

static void pseudonym_put(struct http_request *req)
{
    struct error err = {0};
    json_t *body;
    const char *name;
    if (http_body_json(req, &body, &err) < 0 || json_object_only(body, &err, "pseudonym", NULL) < 0 ||
        json_get_string(body, "pseudonym", true, 3, 40, &name, &err) < 0 ||
        check_pseudonym(name, &err) < 0)
        http_reply_error(req, &err);
    else
        respond_204(req, sql_board_join, (const char *const[]){name});
}

static void pseudonym_delete(struct http_request *req)
{
    respond_204(req, sql_board_leave, NULL);
}

const struct http_route scoreboard_routes[] = {
    {"GET", "/v1/performance", "*", 0, performance_get},
    {"GET", "/v1/performance/statistics", "*", 0, statistics_get},
    {"GET", "/v1/performance/learning", "*", 0, learning_get},
    {"GET", "/v1/cases/{case}/statistics", "expert,administrator", 0, case_statistics_get},
    {"GET", "/v1/board", "*", 0, board_get},
    {"PUT", "/v1/board/pseudonym", "trainee,educator,expert", PSEUDONYM_BODY_MAX, pseudonym_put},
    {"DELETE", "/v1/board/pseudonym", "*", 0, pseudonym_delete},
    {0},
};
