#include "reading/regrade.h"

#include <string.h>

#include "base/mem.h"
#include "reading/regrade_sql.h"

#define NO_READ "00000000-0000-0000-0000-000000000000" /* before all of them */
#define BATCH_BYTES_MAX ((size_t)512 << 20)

struct regrade {
    struct db_session *admin;
    struct arena *arena;
    const struct grading_plugin *plugin;
    struct grading_batch *grader;
    int batch;
    const char *batch_text, *rules, *truth_version;
    const char *of_tenant, *of_case, *covered; /* NULL: all; none */
    char run[UUID_SIZE], cursor_tenant[UUID_SIZE], cursor_read[UUID_SIZE];
    int64_t reads;
};

/* Columns of regrade_pick. */
enum {
    PICK_TENANT, PICK_READ, PICK_PERSON, PICK_MODALITY, PICK_NO, PICK_ATTEMPT, PICK_REVISION, PICK_CORRECT, PICK_GRADED_BY,
    PICK_VERSION, PICK_SHA256, PICK_ANSWER, PICK_SOURCE, PICK_CONFIG, PICK_TRUTH
};

/* --- Opening ------------------------------------------------------------------------------------------------------- */

static const char *column_or_null(struct arena *arena, const struct db_result *res, int column)
{
    return db_is_null(res, 0, column) ? NULL : arena_strdup(arena, db_string(res, 0, column));
}

static int find_scope(struct regrade *r, const struct regrade_options *options, struct error *err)
{
    const struct db_result *res;
    const struct grading_plugin *p = r->plugin;
    const char *const params[] = {p->id,           p->version,       r->rules,         p->sha256,
                                  options->tenant, options->of_case, r->truth_version};
    if (db_session_run(r->admin, r->arena, sql_regrade_scope, params, &res, err) < 0)
        return -1;
    r->of_tenant = column_or_null(r->arena, res, 0);
    r->of_case = column_or_null(r->arena, res, 1);
    r->covered = column_or_null(r->arena, res, 2);
    return 0;
}

static int find_plugin(struct arena *arena, const char *id, const struct grading_plugin **ret, struct error *err)
{
    *ret = grading_plugin(arena, id);
    if (!*ret)
        return error_set(err, ERROR_NOT_FOUND, "plugin_not_found", "plugin", "There is no plugin %s.", id);
    if ((*ret)->broken)
        return error_set(err, ERROR_UNAVAILABLE, "plugin_broken", "plugin", "The plugin %s cannot grade: %s.", id,
                         (*ret)->broken);
    return 0;
}

struct regrade *regrade_open(struct db_session *admin, struct arena *arena, const struct regrade_options *options,
                             struct error *err)
{
    const struct grading_plugin *plugin;
    int64_t version;
    if (find_plugin(arena, options->plugin, &plugin, err) < 0)
        return NULL;
    if (options->truth_version && !options->of_case) {
        error_set(err, ERROR_UNPROCESSABLE, "case_required", "truth-version", "A version of the truth is one of a case.");
        return NULL;
    }
    if (options->truth_version && text_to_int64(text_of(options->truth_version), 1, INT32_MAX, &version) < 0) {
        error_set(err, ERROR_UNPROCESSABLE, "not_a_number", "truth-version", "A version is a whole number from 1.");
        return NULL;
    }
    struct regrade *r = arena_alloc(arena, sizeof(*r));
    *r = (struct regrade){.admin = admin, .arena = arena, .plugin = plugin, .batch = options->batch,
                          .truth_version = options->truth_version};
    r->batch_text = arena_printf(arena, "%d", r->batch);
    r->rules = arena_printf(arena, "%d", plugin->rules_revision);
    if (find_scope(r, options, err) < 0)
        return NULL;
    r->grader = grading_batch_open(plugin, options->workers);
    return r;
}

struct regrade *regrade_close(struct regrade *r)
{
    if (r)
        r->grader = grading_batch_close(r->grader);
    return NULL;
}

/* --- One batch ------------------------------------------------------------------------------------------------------ */

/* Config and truth of a case version, as the plugin's schemas have it or not. */
struct source {
    struct text config, truth;
    bool valid;
};

struct batch {
    struct arena *arena;
    const struct db_result *rows;
    int count;
    struct source *sources;
    struct grading_grade *grades; /* by row */
    bool *refused;                /* by row: there is no grade */
    struct buffer sums, changes;  /* JSON arrays for the database */
};

static bool is_valid(struct arena *arena, const struct grading_plugin *plugin, enum grading_schema which, struct text text)
{
    json_t *json;
    return json_parse(arena, text, &json, NULL) == 0 && grading_validate(plugin, which, json, "", NULL) == 0;
}

static void read_sources(const struct regrade *r, struct batch *b)
{
    b->sources = arena_array(b->arena, (size_t)b->count, sizeof(*b->sources));
    for (int i = 0; i < b->count; i++) {
        if (db_is_null(b->rows, i, PICK_CONFIG) || db_is_null(b->rows, i, PICK_TRUTH))
            continue;
        struct source *s = &b->sources[db_int(b->rows, i, PICK_SOURCE)];
        *s = (struct source){db_text(b->rows, i, PICK_CONFIG), db_text(b->rows, i, PICK_TRUTH), false};
        s->valid = is_valid(b->arena, r->plugin, GRADING_CONFIG, s->config) &&
                   is_valid(b->arena, r->plugin, GRADING_TRUTH, s->truth);
    }
}

static int name_the_read(const struct batch *b, int row, struct error *err)
{
    struct error why = *err;
    return error_set(err, why.kind, why.code, NULL,
                     "Read %s of tenant %s could not be graded: %s What was written before stands; mend the plugin and run "
                     "the same command again.",
                     db_string(b->rows, row, PICK_READ), db_string(b->rows, row, PICK_TENANT), why.detail);
}

/* The plugin is promised what its schemas take. What another version has let in, and this one does not, keeps its grade. */
static int grade_rows(const struct regrade *r, struct batch *b, struct error *err)
{
    struct grading_input *inputs = arena_array(b->arena, (size_t)b->count, sizeof(*inputs));
    struct grading_grade *grades = arena_array(b->arena, (size_t)b->count, sizeof(*grades));
    int *row_of = arena_array(b->arena, (size_t)b->count, sizeof(*row_of));
    size_t count = 0, failed = 0;
    for (int i = 0; i < b->count; i++) {
        const struct source *s = &b->sources[db_int(b->rows, i, PICK_SOURCE)];
        struct text answer = db_text(b->rows, i, PICK_ANSWER);
        b->refused[i] = !s->valid || !is_valid(b->arena, r->plugin, GRADING_ANSWER, answer);
        if (b->refused[i])
            continue;
        inputs[count] = (struct grading_input){.config = s->config, .truth = s->truth, .answer = answer};
        row_of[count++] = i;
    }
    if (grading_batch_run(r->grader, b->arena, inputs, count, grades, &failed, err) < 0)
        return name_the_read(b, row_of[failed], err);
    for (size_t i = 0; i < count; i++)
        b->grades[row_of[i]] = grades[i];
    return 0;
}

static int begin_batch(const struct regrade *r, struct batch *b, struct error *err)
{
    const char *const params[] = {r->plugin->id, r->plugin->version, r->rules,   r->plugin->sha256, r->of_tenant,   r->of_case,
                                  r->truth_version, r->covered,      r->cursor_tenant, r->cursor_read, r->batch_text};
    if (db_session_run(r->admin, b->arena, sql_regrade_pick, params, &b->rows, err) < 0)
        return -1;
    b->count = db_rows(b->rows);
    b->grades = arena_array(b->arena, (size_t)b->count + 1, sizeof(*b->grades));
    b->refused = arena_array(b->arena, (size_t)b->count + 1, sizeof(*b->refused));
    read_sources(r, b);
    return grade_rows(r, b, err);
}

/* A grade of another version of the truth is another grade, even with the same words: a later run must not go back to the
 * truth that was wrong. */
static bool has_changed(const struct batch *b, int row)
{
    char sha256[SHA256_HEX_SIZE];
    const struct grading_grade *g = &b->grades[row];
    if (b->refused[row])
        return false;
    if (!text_equal(db_text(b->rows, row, PICK_GRADED_BY), db_text(b->rows, row, PICK_VERSION)))
        return true;
    crypto_sha256_hex(g->json.p, g->json.len, sha256);
    return !text_is(db_text(b->rows, row, PICK_SHA256), sha256);
}

struct sums {
    int64_t reads, changed, refused, right_to_wrong, wrong_to_right;
};

static void separate(struct buffer *list)
{
    buffer_puts(list, list->len > 1 ? "," : "");
}

static void add_sums(struct batch *b, const char *tenant, const struct sums *s)
{
    separate(&b->sums);
    buffer_printf(&b->sums,
                  "{\"tenant_id\":\"%s\",\"reads\":%lld,\"changed\":%lld,\"refused\":%lld,\"right_to_wrong\":%lld,"
                  "\"wrong_to_right\":%lld}",
                  tenant, (long long)s->reads, (long long)s->changed, (long long)s->refused, (long long)s->right_to_wrong,
                  (long long)s->wrong_to_right);
}

/* A first attempt that turns, for the impact. */
static void add_turn(struct batch *b, int row)
{
    const struct db_result *rows = b->rows;
    if (!text_is(db_text(rows, row, PICK_ATTEMPT), "1") || db_bool(rows, row, PICK_CORRECT) == b->grades[row].correct)
        return;
    separate(&b->changes);
    buffer_printf(&b->changes, "{\"tenant_id\":\"%s\",\"person_id\":\"%s\",\"modality\":\"%s\",\"submission_no\":%s,\"correct\":%s}",
                  db_string(rows, row, PICK_TENANT), db_string(rows, row, PICK_PERSON), db_string(rows, row, PICK_MODALITY),
                  db_string(rows, row, PICK_NO), b->grades[row].correct ? "true" : "false");
}

/* A revision, for writing. The grade goes as it is, byte for byte: a json column keeps it so. */
static void add_revision(struct batch *b, int row)
{
    const struct db_result *rows = b->rows;
    const struct grading_grade *g = &b->grades[row];
    separate(&b->changes);
    buffer_printf(&b->changes,
                  "{\"tenant_id\":\"%s\",\"read_id\":\"%s\",\"revision\":%s,\"points_milli\":%lld,\"max_points_milli\":%lld,"
                  "\"correct\":%s,\"case_version\":%s,\"input_sha256\":\"%s\",\"grade\":",
                  db_string(rows, row, PICK_TENANT), db_string(rows, row, PICK_READ), db_string(rows, row, PICK_REVISION),
                  (long long)g->points_milli, (long long)g->max_points_milli, g->correct ? "true" : "false",
                  db_string(rows, row, PICK_VERSION), g->input_sha256);
    buffer_add(&b->changes, g->json.p, g->json.len);
    buffer_puts(&b->changes, "}");
}

/* Rows come by tenant: its sums are closed where the next one begins. */
static int summarise(struct batch *b, void (*add)(struct batch *b, int row), struct error *err)
{
    struct sums s = {0};
    buffer_puts(&b->sums, "[");
    buffer_puts(&b->changes, "[");
    for (int i = 0; i < b->count; i++) {
        bool was = db_bool(b->rows, i, PICK_CORRECT), now = b->grades[i].correct, changed = has_changed(b, i);
        s.reads++;
        s.refused += b->refused[i];
        s.changed += changed;
        s.right_to_wrong += changed && was && !now;
        s.wrong_to_right += changed && !was && now;
        if (changed)
            add(b, i);
        const char *tenant = db_string(b->rows, i, PICK_TENANT);
        if (i + 1 < b->count && strcmp(tenant, db_string(b->rows, i + 1, PICK_TENANT)) == 0)
            continue;
        add_sums(b, tenant, &s);
        s = (struct sums){0};
    }
    buffer_puts(&b->sums, "]");
    buffer_puts(&b->changes, "]");
    if (b->sums.failed || b->changes.failed)
        return error_set(err, ERROR_TOO_LARGE, "batch_too_large", "batch", "The grades of one batch are too large: take a smaller one.");
    return 0;
}

/* --- All batches ---------------------------------------------------------------------------------------------------- */

static int note_impact(const struct regrade *r, struct batch *b, struct error *err)
{
    const char *const params[] = {b->sums.p, b->changes.p};
    return db_session_run(r->admin, b->arena, sql_regrade_impact_note, params, NULL, err);
}

static int write_batch(const struct regrade *r, struct batch *b, struct error *err)
{
    const char *const params[] = {r->run,    r->cursor_tenant, r->cursor_read, db_string(b->rows, b->count - 1, PICK_TENANT),
                                  db_string(b->rows, b->count - 1, PICK_READ), b->sums.p, b->changes.p};
    return db_session_run(r->admin, b->arena, sql_regrade_write, params, NULL, err);
}

struct pass {
    void (*add)(struct batch *b, int row);
    int (*settle)(const struct regrade *r, struct batch *b, struct error *err);
};

/* Reads graded in the batch; 0: there are no more. */
static int run_batch(struct regrade *r, const struct pass *pass, struct error *err)
{
    struct batch b = {.arena = arena_create()};
    buffer_init(&b.sums, BATCH_BYTES_MAX);
    buffer_init(&b.changes, BATCH_BYTES_MAX);
    int rc = begin_batch(r, &b, err);
    if (rc == 0 && b.count > 0) {
        rc = summarise(&b, pass->add, err);
        if (rc == 0)
            rc = pass->settle(r, &b, err);
        if (rc == 0) {
            memcpy(r->cursor_tenant, db_string(b.rows, b.count - 1, PICK_TENANT), UUID_SIZE);
            memcpy(r->cursor_read, db_string(b.rows, b.count - 1, PICK_READ), UUID_SIZE);
        }
    }
    buffer_finish(&b.sums);
    buffer_finish(&b.changes);
    arena_destroy(b.arena);
    return rc < 0 ? -1 : b.count;
}

static int run_all(struct regrade *r, const struct pass *pass, regrade_progress *progress, void *arg, struct error *err)
{
    int got;
    r->reads = 0;
    do {
        got = run_batch(r, pass, err);
        if (got > 0)
            r->reads += got;
        if (got > 0 && progress)
            progress(arg, r->reads);
    } while (got > 0);
    return got;
}

int regrade_impact(struct regrade *r, struct buffer *ret_lines, regrade_progress *progress, void *arg, struct error *err)
{
    static const struct pass pass = {add_turn, note_impact};
    const struct db_result *res;
    memcpy(r->cursor_tenant, NO_READ, UUID_SIZE);
    memcpy(r->cursor_read, NO_READ, UUID_SIZE);
    if (db_session_run(r->admin, r->arena, sql_regrade_impact_tables, NULL, NULL, err) < 0 ||
        db_session_run(r->admin, r->arena, sql_regrade_impact_flips, NULL, NULL, err) < 0 ||
        run_all(r, &pass, progress, arg, err) < 0 ||
        db_session_run(r->admin, r->arena, sql_regrade_impact, NULL, &res, err) < 0)
        return -1;
    for (int i = 0; i < db_rows(res); i++)
        buffer_printf(ret_lines, "%s\n", db_string(res, i, 0));
    if (ret_lines->failed)
        return error_set(err, ERROR_TOO_LARGE, "too_many_tenants", "tenant", "The lines are too many: take one tenant.");
    return 0;
}

static int find_run(struct regrade *r, const struct db_result **ret, struct error *err)
{
    const struct grading_plugin *p = r->plugin;
    const char *const params[] = {p->id, p->version, r->rules, p->sha256, r->of_tenant, r->of_case, r->truth_version};
    return db_session_run(r->admin, r->arena, sql_regrade_find, params, ret, err);
}

int regrade_unfinished(struct regrade *r, struct error *err)
{
    const struct db_result *res;
    return find_run(r, &res, err) < 0 ? -1 : db_rows(res) > 0;
}

/* Takes the lock first: whoever has it alone may go on with a run. */
static int begin_run(struct regrade *r, struct error *err)
{
    const struct db_result *res;
    const struct grading_plugin *p = r->plugin;
    char id[UUID_SIZE];
    uuid_v7(id);
    if (db_session_run(r->admin, r->arena, sql_regrade_lock, (const char *const[]){p->id}, &res, err) < 0)
        return -1;
    if (!db_bool(res, 0, 0))
        return error_set(err, ERROR_CONFLICT, "regrade_running", "plugin", "Another process is regrading with %s.", p->id);
    const char *const params[] = {id, p->id, p->version, r->rules, p->sha256, r->of_tenant, r->of_case, r->truth_version};
    if (find_run(r, &res, err) < 0 ||
        (db_rows(res) == 0 && db_session_run(r->admin, r->arena, sql_regrade_begin, params, &res, err) < 0))
        return -1;
    memcpy(r->run, db_string(res, 0, 0), UUID_SIZE);
    memcpy(r->cursor_tenant, db_string(res, 0, 1), UUID_SIZE);
    memcpy(r->cursor_read, db_string(res, 0, 2), UUID_SIZE);
    return 0;
}

int regrade_write(struct regrade *r, struct text *ret, regrade_progress *progress, void *arg, struct error *err)
{
    static const struct pass pass = {add_revision, write_batch};
    const struct db_result *res;
    if (begin_run(r, err) < 0 || run_all(r, &pass, progress, arg, err) < 0 ||
        db_session_run(r->admin, r->arena, sql_regrade_end, (const char *const[]){r->run}, &res, err) < 0)
        return -1;
    *ret = db_text(res, 0, 0);
    return 0;
}
