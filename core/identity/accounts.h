/* Accounts: signing up, one's own password, name and address. */
#ifndef OVERREAD_IDENTITY_ACCOUNTS_H
#define OVERREAD_IDENTITY_ACCOUNTS_H

#include "db/db.h"
#include "http/http.h"
#include "jobs/jobs.h"

extern const struct http_route accounts_routes[];
extern const struct db_statement accounts_statements[];
extern const struct job_kind accounts_housekeeping_job;

/* Is it a person's name? No control characters, and not blank. 0, or -1 with "bad_name" at /name. */
int identity_name_acceptable(const char *name, struct error *err);

/* Is this the password of the session's person? Counts as an attempt. 0, or -1 with "wrong_password" at /password or
 * ERROR_TOO_MANY. */
int fiber_fn accounts_show_password(struct http_request *req, struct db_scope *scope, const char *password, struct error *err);

/* --- For the command line --------------------------------------------------------------------------------------- */

/* The next sign-in leads to a new password and nowhere else; open sessions end. */
int identity_must_change(struct db_session *admin, struct arena *arena, const char *email, struct error *err);
/* Nobody signs in as this person any more, and what is open ends; false takes it back. */
int identity_disable(struct db_session *admin, struct arena *arena, const char *email, bool disabled, struct error *err);

#endif
