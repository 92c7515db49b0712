/* Migrations: forward only, numbered, embedded in the binary, hash-checked, under an advisory lock. */
#ifndef OVERREAD_DB_MIGRATE_H
#define OVERREAD_DB_MIGRATE_H

#include "base/text.h"
#include "db/db.h"

struct migration {
    int number;
    const char *name; /* "0001_tenancy.sql" */
    const char *sql;
};
extern const struct migration migrations[]; /* ended by number 0 */

/* Applies what is missing, each in its own transaction; two nodes may start at once. Refuses (ERROR_CONFLICT)
 * a recorded migration whose hash differs from the embedded one, and a database newer than this binary. */
int migrate_up(struct db_session *session, int *ret_applied, struct error *err);
/* One line a migration: number, name, "applied <when>" or "pending" or "CHANGED", into out. *ret_pending
 * counts. */
int migrate_status(struct db_session *session, struct buffer *out, int *ret_pending, struct error *err);

#endif
