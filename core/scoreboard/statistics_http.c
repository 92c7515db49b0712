#include "scoreboard/statistics_http.h"

#include <string.h>
#include "grading/grading.h"
#include "identity/identity.h"
#include "scoreboard/scoreboard_sql.h"
#include "scoreboard/statistics.h"

enum { VERSION_MAX = 1000000000, YEAR_MIN = 2000, YEAR_MAX = 9999 };

/* --- What is asked for ---------------------------------------------------------------------------------------------- */

static int plugin_from_query(struct http_request *req, const struct grading_plugin **ret, struct error *err)
{
    struct text value;
    if (!http_query(req, "modality", &value))
        return error_set(err, ERROR_UNPROCESSABLE, "required", "modality", "Say which modality.");
    *ret = grading_plugin(http_arena(req), arena_copy(http_arena(req), value.p, value.len));
    return *ret ? 0
                : error_set(err, ERROR_UNPROCESSABLE, "unknown_modality", "modality",
                            "GET /v1/modalities lists the modalities there are.");
}

static bool is_day(struct text t)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t year, month, day;
    if (t.len != 10 || t.p[4] != '-' || t.p[7] != '-' ||
        text_to_int64((struct text){t.p, 4}, YEAR_MIN, YEAR_MAX, &year) < 0 ||
        text_to_int64((struct text){t.p + 5, 2}, 1, 12, &month) < 0 ||
        text_to_int64((struct text){t.p + 8, 2}, 1, 31, &day) < 0)
        return false;
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day <= days[month - 1] + (month == 2 && leap);
}

struct days {
    const char *from, *to; /* NULL: without end */
};

static int days_from_query(struct http_request *req, struct days *ret, struct error *err)
{
    static const char *const names[] = {"from", "to"};
    struct text value[2] = {0};
    for (int i = 0; i < 2; i++)
        if (http_query(req, names[i], &value[i]) && !is_day(value[i]))
            return error_set(err, ERROR_UNPROCESSABLE, "not_a_date", names[i], "A day is written 2026-11-24.");
    ret->from = value[0].p ? arena_copy(http_arena(req), value[0].p, value[0].len) : NULL;
    ret->to = value[1].p ? arena_copy(http_arena(req), value[1].p, value[1].len) : NULL;
    if (ret->from && ret->to && strcmp(ret->from, ret->to) > 0)
        return error_set(err, ERROR_UNPROCESSABLE, "out_of_range", "to", "to is not before from.");
    return 0;
}

/* *ret NULL: all. */
static int window_from_query(struct http_request *req, const char **ret, struct error *err)
{
    struct text value;
    *ret = NULL;
    if (!http_query(req, "window", &value) || text_is(value, "all"))
        return 0;
    if (!text_is(value, "20") && !text_is(value, "50"))
        return error_set(err, ERROR_UNPROCESSABLE, "unknown_value", "window", "window is 20, 50 or all.");
    *ret = arena_copy(http_arena(req), value.p, value.len);
    return 0;
}

/* --- Replies -------------------------------------------------------------------------------------------------------- */

static const char *plan_or_none(const struct grading_plugin *plugin)
{
    return plugin && plugin->statistics.len ? plugin->statistics.p : "{}";
}

static void reply(struct http_request *req, struct buffer *out, struct error *err)
{
    if (!err->kind && out->failed)
        error_set(err, ERROR_INTERNAL, "statistics_too_large", NULL, "The statistics have more than %zu bytes.", out->max);
    if (err->kind)
        http_reply_error(req, err);
    else
        http_reply_json_etag(req, (struct text){out->p, out->len});
    buffer_finish(out);
}

static void put(struct buffer *out, const char *before, const char *value)
{
    buffer_puts(out, before);
    if (value)
        buffer_json_string(out, text_of(value));
    else
        buffer_puts(out, "null");
}

static void put_question(struct buffer *out, const char *modality, const char *window, const struct days *days,
                         const struct statistics_strata *strata)
{
    put(out, "{\"modality\":", modality);
    put(out, ",\"window\":", window ? window : "all");
    put(out, ",\"from\":", days->from);
    put(out, ",\"to\":", days->to);
    if (strata) {
        put(out, ",\"stratum\":{\"name\":", strata->name);
        put(out, ",\"title\":", strata->title);
        buffer_puts(out, "},");
    } else {
        buffer_puts(out, ",\"stratum\":null,");
    }
}

static int run_record(struct http_request *req, const struct grading_plugin *plugin, const char *window,
                      const struct days *days, const struct statistics_strata *strata, struct statistics_record *ret,
                      struct error *err)
{
    struct db_scope scope;
    const struct db_result *res;
    const char *const params[] = {plugin->id, window, days->from, days->to, plan_or_none(plugin),
                                  strata ? strata->name : NULL};
    if (identity_scope(req, &scope, err) < 0 || db_run(&scope, sql_reader_statistics, params, &res, err) < 0)
        return -1;
    *ret = (struct statistics_record){.reads = (size_t)db_int(res, 0, 0),
                                      .correct = db_text(res, 0, 1),
                                      .milliseconds = db_text(res, 0, 2),
                                      .truth = db_text(res, 0, 3),
                                      .score = db_text(res, 0, 4),
                                      .reference = db_text(res, 0, 5),
                                      .strata = db_text(res, 0, 6),
                                      .lesions = db_text(res, 0, 7)};
    return 0;
}

void statistics_get(struct http_request *req)
{
    struct error err = {0};
    struct buffer out;
    struct text by;
    const struct grading_plugin *plugin;
    const char *window;
    struct days days;
    struct statistics_plan plan;
    struct statistics_strata strata;
    struct statistics_record record;
    bool divided = false;

    buffer_init(&out, STATISTICS_MAX);
    if (http_query_only(req, &err, "modality", "window", "from", "to", "stratum", NULL) == 0 &&
        plugin_from_query(req, &plugin, &err) == 0 && window_from_query(req, &window, &err) == 0 &&
        days_from_query(req, &days, &err) == 0 &&
        statistics_plan_of(http_arena(req), plugin->statistics, &plan, &err) == 0 &&
        (!(divided = http_query(req, "stratum", &by)) ||
         statistics_strata_of(http_arena(req), &plan, by, &strata, &err) == 0) &&
        run_record(req, plugin, window, &days, divided ? &strata : NULL, &record, &err) == 0) {
        put_question(&out, plugin->id, window, &days, divided ? &strata : NULL);
        statistics_render(http_arena(req), &plan, divided ? &strata : NULL, &record, &out, &err);
        buffer_puts(&out, "}");
    }
    reply(req, &out, &err);
}

void learning_get(struct http_request *req)
{
    struct error err = {0};
    struct buffer out;
    struct db_scope scope;
    const struct grading_plugin *plugin;
    const struct db_result *res;

    buffer_init(&out, STATISTICS_MAX);
    if (http_query_only(req, &err, "modality", NULL) == 0 && plugin_from_query(req, &plugin, &err) == 0 &&
        identity_scope(req, &scope, &err) == 0 &&
        db_run(&scope, sql_reader_learning, (const char *const[]){plugin->id}, &res, &err) == 0) {
        put(&out, "{\"modality\":", plugin->id);
        buffer_puts(&out, ",");
        statistics_learning_render(http_arena(req), db_text(res, 0, 0), &out);
        buffer_puts(&out, "}");
    }
    reply(req, &out, &err);
}

/* --- A case --------------------------------------------------------------------------------------------------------- */

static int version_from_query(struct http_request *req, const char **ret, struct error *err)
{
    struct text value;
    int64_t number;
    *ret = NULL;
    if (!http_query(req, "version", &value))
        return 0;
    if (text_to_int64(value, 1, VERSION_MAX, &number) < 0)
        return error_set(err, ERROR_UNPROCESSABLE, "out_of_range", "version", "version is a number from 1 on.");
    *ret = arena_copy(http_arena(req), value.p, value.len);
    return 0;
}

static struct stats_number number_of(const struct db_result *res, int column, const char *undefined)
{
    struct stats_number ret = {.undefined = undefined};
    if (!db_is_null(res, 0, column) && text_to_double(db_text(res, 0, column), &ret.value) == 0)
        ret.undefined = NULL;
    return ret;
}

static struct statistics_case case_of(const struct db_result *res)
{
    const size_t readers = (size_t)db_int(res, 0, 1);
    const struct stats_number discrimination = number_of(res, 8, "");
    return (struct statistics_case){
        .readers = readers,
        .correct = (size_t)db_int(res, 0, 2),
        .seconds = {.n = readers,
                    .mean = number_of(res, 3, "no reads"),
                    .median = number_of(res, 4, "no reads"),
                    .deviation = number_of(res, 5, readers ? "a single read has no spread" : "no reads")},
        .able = (size_t)db_int(res, 0, 6),
        .able_correct = (size_t)db_int(res, 0, 7),
        .correlated = !discrimination.undefined,
        .discrimination = discrimination.value,
        .errors = db_text(res, 0, 9),
        .scores = db_text(res, 0, 10),
        .points = db_text(res, 0, 11),
    };
}

static int run_case(struct db_scope *scope, const char *id, const struct db_result *asked, const struct days *days,
                    struct buffer *out, struct error *err)
{
    const struct grading_plugin *plugin = grading_plugin(scope->arena, db_string(asked, 0, 1));
    const struct db_result *res;
    struct statistics_plan plan;
    const char *const params[] = {id, db_string(asked, 0, 0), days->from, days->to, plan_or_none(plugin),
                                  plugin && plugin->manifest.len ? plugin->manifest.p : "{}"};
    if (statistics_plan_of(scope->arena, plugin ? plugin->statistics : (struct text){0}, &plan, err) < 0 ||
        db_run(scope, sql_case_statistics, params, &res, err) < 0)
        return -1;
    if (db_rows(res) == 0)
        return error_set(err, ERROR_NOT_FOUND, "case_not_found", NULL, "There is nothing of that id that you may see.");
    put(out, "{\"case\":", id);
    buffer_printf(out, ",\"version\":%s", db_string(asked, 0, 0));
    put(out, ",\"from\":", days->from);
    put(out, ",\"to\":", days->to);
    buffer_puts(out, ",");
    if (db_bool(res, 0, 0)) {
        statistics_case_render(&plan, NULL, "fewer than 5 readers: somebody could be made out", out);
    } else {
        const struct statistics_case found = case_of(res);
        statistics_case_render(&plan, &found, NULL, out);
    }
    buffer_puts(out, "}");
    return 0;
}

void case_statistics_get(struct http_request *req)
{
    struct error err = {0};
    struct buffer out;
    struct db_scope scope;
    const struct db_result *asked;
    const char *id, *version;
    struct days days;

    buffer_init(&out, STATISTICS_MAX);
    if (http_query_only(req, &err, "version", "from", "to", NULL) == 0 &&
        path_uuid(req, "case", "case_not_found", &id, &err) == 0 && version_from_query(req, &version, &err) == 0 &&
        days_from_query(req, &days, &err) == 0 && identity_scope(req, &scope, &err) == 0 &&
        db_run(&scope, sql_case_asked, (const char *const[]){id, version}, &asked, &err) == 0) {
        if (db_rows(asked) == 0)
            error_set(&err, ERROR_NOT_FOUND, "case_not_found", NULL, "There is nothing of that id that you may see.");
        else
            run_case(&scope, id, asked, &days, &out, &err);
    }
    reply(req, &out, &err);
}
