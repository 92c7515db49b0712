#include "identity/accounts.h"

#include <string.h>

#include "identity/accounts_sql.h"
#include "identity/email.h"

enum { HOUSEKEEPING_ROWS = 1000, HOUSEKEEPING_SECONDS = 3600 };

int identity_name_acceptable(const char *name, struct error *err)
{
    bool blank = true;
    for (const char *c = name; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return error_set(err, ERROR_UNPROCESSABLE, "bad_name", "/name", "A name has no line breaks or control characters.");
        blank &= *c == ' ';
    }
    if (blank)
        return error_set(err, ERROR_UNPROCESSABLE, "bad_name", "/name", "A name is not blank.");
    return 0;
}

int identity_must_change(struct db_session *admin, struct arena *arena, const char *email, struct error *err)
{
    const struct db_result *res;
    if (email_normal(arena, email, &email, "email", err) < 0 ||
        db_session_run(admin, arena, sql_password_must_change, (const char *const[]){email}, &res, err) < 0)
        return -1;
    if (!db_bool(res, 0, 0))
        return error_set(err, ERROR_NOT_FOUND, "person_not_found", "email", "Nobody with that address has a password.");
    return 0;
}

int identity_disable(struct db_session *admin, struct arena *arena, const char *email, bool disabled, struct error *err)
{
    const struct db_result *res;
    if (email_normal(arena, email, &email, "email", err) < 0 ||
        db_session_run(admin, arena, sql_person_disable, (const char *const[]){email, disabled ? "true" : "false"}, &res, err) < 0)
        return -1;
    if (!db_bool(res, 0, 0))
        return error_set(err, ERROR_NOT_FOUND, "person_not_found", "email", "Nobody has this address.");
    return 0;
}

/* In batches, so that nobody waits for a long transaction. */
static int keep_house(struct job *job, struct error *err)
{
    const struct db_result *res;
    const char *most = arena_printf(job->scope.arena, "%d", HOUSEKEEPING_ROWS);
    do {
        if (db_run(&job->scope, sql_housekeeping, (const char *const[]){most}, &res, err) < 0)
            return -1;
    } while (db_int(res, 0, 0) >= HOUSEKEEPING_ROWS);
    return 0;
}

const struct job_kind accounts_housekeeping_job = {
    .kind = "housekeeping", .run = keep_house, .retry_max_seconds = 600, .every_seconds = HOUSEKEEPING_SECONDS};
