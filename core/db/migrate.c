#include "db/migrate.h"

#include <stdio.h>
#include <string.h>
#include "db/migrate_sql.h"

struct history { /* what the database says of itself; rows NULL: no migration was ever recorded */
    const struct db_result *rows;
    int count;
};

enum { HISTORY_NUMBER, HISTORY_NAME, HISTORY_SHA256, HISTORY_APPLIED_AT };

static int load_history(struct db_session *session, struct arena *arena, struct history *ret,
                        struct error *err)
{
    const struct db_result *exists;
    if (db_session_run(session, arena, sql_migrate_table_exists, NULL, &exists, err) < 0)
        return -1;
    *ret = (struct history){NULL, 0};
    if (!db_bool(exists, 0, 0))
        return 0;
    if (db_session_run(session, arena, sql_migrate_list, NULL, &ret->rows, err) < 0)
        return -1;
    ret->count = db_rows(ret->rows);
    return 0;
}

static int history_row(const struct history *history, int number)
{
    for (int row = 0; row < history->count; row++)
        if (db_int(history->rows, row, HISTORY_NUMBER) == number)
            return row;
    return -1;
}

static bool is_embedded(int64_t number)
{
    for (const struct migration *m = migrations; m->number; m++)
        if (m->number == number)
            return true;
    return false;
}

static bool is_unchanged(const struct history *history, int row, const struct migration *migration)
{
    char sha256[SHA256_HEX_SIZE];
    crypto_sha256_hex(migration->sql, strlen(migration->sql), sha256);
    return text_is(db_text(history->rows, row, HISTORY_SHA256), sha256);
}

static int check_history(const struct history *history, struct error *err)
{
    for (int row = 0; row < history->count; row++)
        if (!is_embedded(db_int(history->rows, row, HISTORY_NUMBER)))
            return error_set(
                err, ERROR_CONFLICT, "database_newer", NULL,
                "The database has migration %s, which this binary does not know: use a newer binary.",
                db_string(history->rows, row, HISTORY_NAME));
    for (const struct migration *m = migrations; m->number; m++) {
        int row = history_row(history, m->number);
        if (row >= 0 && !is_unchanged(history, row, m))
            return error_set(
                err, ERROR_CONFLICT, "migration_changed", NULL,
                "%s was applied with another text than this binary's: a migration is never edited.", m->name);
    }
    return 0;
}

static int apply_in_transaction(struct db_session *session, const struct migration *migration,
                                struct error *err)
{
    char number[16], sha256[SHA256_HEX_SIZE];
    snprintf(number, sizeof(number), "%d", migration->number);
    crypto_sha256_hex(migration->sql, strlen(migration->sql), sha256);
    const char *const params[] = {number, migration->name, sha256};

    if (db_session_exec(session, "BEGIN", err) < 0 || db_session_exec(session, migration->sql, err) < 0 ||
        db_session_run(session, NULL, sql_migrate_record, params, NULL, err) < 0)
        return -1;
    return db_session_exec(session, "COMMIT", err);
}

static int apply(struct db_session *session, const struct migration *migration, struct error *err)
{
    struct error why = {0};
    if (apply_in_transaction(session, migration, &why) == 0)
        return 0;
    db_session_exec(session, "ROLLBACK", NULL);
    return error_set(err, why.kind, why.code, NULL, "%s: %s", migration->name, why.detail);
}

static int up_locked(struct db_session *session, struct arena *arena, int *ret_applied, struct error *err)
{
    struct history history;
    int applied = 0;

    if (load_history(session, arena, &history, err) < 0)
        return -1;
    if (!history.rows && db_session_run(session, NULL, sql_migrate_create_table, NULL, NULL, err) < 0)
        return -1;
    if (check_history(&history, err) < 0)
        return -1;
    for (const struct migration *m = migrations; m->number; m++) {
        if (history_row(&history, m->number) >= 0)
            continue;
        if (apply(session, m, err) < 0)
            return -1;
        applied++;
    }
    if (ret_applied)
        *ret_applied = applied;
    return 0;
}

int migrate_up(struct db_session *session, int *ret_applied, struct error *err)
{
    if (db_session_run(session, NULL, sql_migrate_lock, NULL, NULL, err) < 0)
        return -1;
    struct arena *arena = arena_create();
    int result = up_locked(session, arena, ret_applied, err);
    arena_destroy(arena);
    db_session_run(session, NULL, sql_migrate_unlock, NULL, NULL, NULL);
    return result;
}

int migrate_status(struct db_session *session, struct buffer *out, int *ret_pending, struct error *err)
{
    struct arena *arena = arena_create();
    struct history history;
    int pending = 0;

    if (load_history(session, arena, &history, err) < 0) {
        arena_destroy(arena);
        return -1;
    }
    for (const struct migration *m = migrations; m->number; m++) {
        int row = history_row(&history, m->number);
        if (row < 0) {
            buffer_printf(out, "%d %s pending\n", m->number, m->name);
            pending++;
        } else if (!is_unchanged(&history, row, m)) {
            buffer_printf(out, "%d %s CHANGED\n", m->number, m->name);
        } else {
            buffer_printf(out, "%d %s applied %s\n", m->number, m->name,
                          db_string(history.rows, row, HISTORY_APPLIED_AT));
        }
    }
    for (int row = 0; row < history.count; row++)
        if (!is_embedded(db_int(history.rows, row, HISTORY_NUMBER)))
            buffer_printf(out, "%s %s unknown to this binary\n", db_string(history.rows, row, HISTORY_NUMBER),
                          db_string(history.rows, row, HISTORY_NAME));
    if (ret_pending)
        *ret_pending = pending;
    arena_destroy(arena);
    return 0;
}
