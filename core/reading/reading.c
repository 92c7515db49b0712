#include "reading/reading.h"

#include <string.h>

#include "base/log.h"
#include "grading/grading.h"
#include "reading/reading_sql.h"

int reading_open(struct db_scope *scope, const char *case_id, const char *key, const char **ret_id, bool *ret_new,
                 struct error *err)
{
    const struct db_result *res;
    char id[UUID_SIZE], hash[SHA256_HEX_SIZE], lower[UUID_SIZE] = {0};
    uuid_v7(id);
    /* The same id in capitals is the same request. */
    for (int i = 0; i < UUID_SIZE - 1; i++)
        lower[i] = (char)(case_id[i] >= 'A' && case_id[i] <= 'F' ? case_id[i] + ('a' - 'A') : case_id[i]);
    crypto_sha256_hex(lower, UUID_SIZE - 1, hash);
    if (db_run(scope, sql_read_open, (const char *const[]){id, case_id, key, hash}, &res, err) < 0)
        return -1;
    *ret_id = db_string(res, 0, 0);
    *ret_new = text_is(db_text(res, 0, 0), id);
    return 0;
}

static int plugin_by_id(struct arena *arena, const char *id, const struct grading_plugin **ret, struct error *err)
{
    *ret = grading_plugin(arena, id);
    if (*ret && !(*ret)->broken)
        return 0;
    error_set(err, ERROR_UNAVAILABLE, "grader_missing", NULL, "The plugin %s is not available at the moment.", id);
    err->retry_after = 60;
    return -1;
}

/* Schema, then the plugin's own check. A worker that is away checks nothing now: the answer is taken, and graded later.
 * (Without the plugin itself nobody could say whether it is an answer at all: reading_submit refuses with 503, and the
 * draft stays.) */
static int check_answer(const struct db_scope *scope, const struct grading_plugin *plugin, struct text config,
                        const json_t *answer, struct text text, struct error *err)
{
    struct error check = {0};
    if (grading_validate(plugin, GRADING_ANSWER, answer, "/answer", err) < 0)
        return -1;
    const struct grading_input input = {
        .config = config, .answer = text, .gone = scope->gone, .gone_arg = scope->gone_arg};
    if (grading_check(plugin, &input, "/answer", &check) == 0)
        return 0;
    if (check.kind == ERROR_UNAVAILABLE)
        return 0;
    *err = check;
    return -1;
}

/* Columns of read_submit and read_to_grade. */
enum { COLUMN_STATE, COLUMN_PLUGIN, COLUMN_CONFIG, COLUMN_TRUTH, COLUMN_ANSWER };

/* Grades what is stored and writes the grade. plugin: the version that has checked the answer, so that no other's schema
 * and rules come between; NULL: the one there is now. */
static int grade(struct db_scope *scope, const char *read_id, const struct db_result *read,
                 const struct grading_plugin *plugin, struct text *ret_feedback, struct error *err)
{
    struct grading_grade g;
    const struct grading_input input = {.config = db_text(read, 0, COLUMN_CONFIG),
                                        .truth = db_text(read, 0, COLUMN_TRUTH),
                                        .answer = db_text(read, 0, COLUMN_ANSWER)};
    const char *id = db_string(read, 0, COLUMN_PLUGIN);
    bool checked = plugin && strcmp(plugin->id, id) == 0;
    if ((!checked && plugin_by_id(scope->arena, id, &plugin, err) < 0) ||
        grading_grade(scope->arena, plugin, &input, &g, err) < 0)
        return -1;
    const char *const params[] = {
        read_id,
        arena_printf(scope->arena, "%lld", (long long)g.points_milli),
        arena_printf(scope->arena, "%lld", (long long)g.max_points_milli),
        g.correct ? "true" : "false",
        arena_copy(scope->arena, g.json.p, g.json.len),
        g.plugin->id,
        g.plugin->version,
        arena_printf(scope->arena, "%d", g.plugin->rules_revision),
        g.plugin->sha256,
        g.input_sha256,
    };
    const struct db_result *done;
    if (db_run(scope, sql_read_grade, params, &done, err) < 0)
        return -1;
    *ret_feedback = db_text(done, 0, 0);
    return 0;
}

static int feedback(struct db_scope *scope, const char *read_id, struct text *ret_feedback, struct error *err)
{
    const struct db_result *res;
    if (db_run(scope, sql_read_feedback, (const char *const[]){read_id}, &res, err) < 0)
        return -1;
    *ret_feedback = db_text(res, 0, 0);
    return 0;
}

int reading_submit(struct db_scope *scope, const char *read_id, const json_t *answer, struct text *ret_feedback,
                   struct error *err)
{
    const struct db_result *prepared, *stored;
    const struct grading_plugin *plugin = NULL;
    struct text text = json_render(scope->arena, answer);
    char hash[SHA256_HEX_SIZE], job[UUID_SIZE];
    crypto_sha256_hex(text.p, text.len, hash);
    uuid_v7(job);

    if (db_run(scope, sql_read_prepare, (const char *const[]){read_id}, &prepared, err) < 0)
        return -1;
    if (db_rows(prepared) == 0)
        return error_set(err, ERROR_NOT_FOUND, "read_not_found", NULL, "You have no such read.");
    if (text_is(db_text(prepared, 0, 0), "open")) {
        if (plugin_by_id(scope->arena, db_string(prepared, 0, 2), &plugin, err) < 0 ||
            check_answer(scope, plugin, db_text(prepared, 0, 3), answer, text, err) < 0)
            return -1;
    }

    /* From here on the client may go: what is stored is graded all the same. */
    if (db_run(scope, sql_read_submit, (const char *const[]){read_id, text.p, hash, job}, &stored, err) < 0)
        return -1;
    scope->gone = NULL;
    if (text_is(db_text(stored, 0, COLUMN_STATE), "graded"))
        return feedback(scope, read_id, ret_feedback, err);
    struct error failed = {0};
    if (grade(scope, read_id, stored, plugin, ret_feedback, &failed) < 0) {
        log_line(LOG_LEVEL_WARNING, "awaiting_grade", "read", read_id, "code", failed.code, "detail", failed.detail, NULL);
        *ret_feedback = (struct text){0};
    }
    return 0;
}

static int run_grade_job(struct job *job, struct error *err)
{
    json_t *payload;
    const char *read_id;
    const struct db_result *read;
    struct text ignored;
    if (json_parse(job->scope.arena, job->payload, &payload, err) < 0 ||
        json_get_uuid(payload, "read", true, &read_id, err) < 0 ||
        db_run(&job->scope, sql_read_to_grade, (const char *const[]){read_id}, &read, err) < 0)
        return -1;
    if (db_rows(read) == 0 || text_is(db_text(read, 0, COLUMN_STATE), "graded"))
        return 0;
    return grade(&job->scope, read_id, read, NULL, &ignored, err);
}

/* For ever: an answer that was taken is owed a grade, and the plugin may be mended at any time. */
const struct job_kind reading_grade_job = {.kind = "grade", .run = run_grade_job, .max_attempts = 0,
                                         .retry_max_seconds = 60};
