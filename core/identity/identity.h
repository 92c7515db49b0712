/* People and sessions. What other rooms need of it: who asks. */
#ifndef OVERREAD_IDENTITY_H
#define OVERREAD_IDENTITY_H

#include "base/config.h"
#include "db/db.h"
#include "http/http.h"
#include "jobs/thread_pool.h"

extern const struct http_route identity_routes[];
extern const struct db_statement identity_statements[];
extern const struct db_statement *const sql_authenticate; /* for db_options */

/* Once, before the server starts. The pool hashes passwords; both outlive the server. */
void identity_init(const struct config *config, struct thread_pool *passwords);

/* Fills a scope that acts as the request's session in one of its route's roles: the token of the Authorization
 * header, or of the portal's cookie (then an unsafe method must also carry our Origin and an X-Overread header).
 * Whether the session lives is found out by the database with the scope's first statement.
 * 0, or -1 with ERROR_UNAUTHENTICATED / ERROR_FORBIDDEN. */
int identity_scope(struct http_request *req, struct db_scope *ret, struct error *err);

/* Tokens of programs begin so; those of sessions do not (but by a chance of 2^-24, which does no harm). */
#define IDENTITY_TOKEN_PREFIX "ovt_"

/* For http_options: refuses a request that shows no credentials at all, before its handler looks at the input. */
int identity_guard(struct http_request *req, struct error *err);

/* Judges a new password by the policy (password.h; `about`: what it must not be made of, and whether it stands alone) and
 * hashes it on a worker thread; ret as PHC string. 0, or -1 with field "/password", or with ERROR_UNAVAILABLE when too many
 * wait. */
#define IDENTITY_PHC_SIZE 128
struct password_about;
int fiber_fn identity_password_new(const char *password, const struct password_about *about, char ret[IDENTITY_PHC_SIZE],
                                   struct error *err);

/* --- The shapes of most replies ---------------------------------------------------------------------------- */

/* Runs a guarded statement whose one row holds JSON in its first column: 200 with an ETag, or `missing` (a 404 code). */
void fiber_fn respond_row(struct http_request *req, const struct db_statement *statement, const char *const params[],
                          const char *missing);
/* Runs a guarded statement whose one row holds JSON: that status; 200 has an ETag. */
void fiber_fn respond_json(struct http_request *req, int status, const struct db_statement *statement, const char *const params[]);
/* Runs a guarded statement and answers 204. */
void fiber_fn respond_204(struct http_request *req, const struct db_statement *statement, const char *const params[]);
/* Runs a guarded statement that takes (..., cursor, limit + 1) and gives rows (cursor, JSON):
 * {"items": [...], "next": cursor or null}. */
struct page {
    const char *after; /* NULL: from the start */
    int64_t limit;     /* 1..100 */
    const char *limit_plus_one;
};
int page_from_query(struct http_request *req, struct page *ret, struct error *err); /* ?after=UUID&limit=N */
void fiber_fn respond_page(struct http_request *req, const struct db_statement *statement, const char *const params[],
                           const struct page *page);
/* The same for a statement that takes nothing but (cursor, limit + 1), and a request that asks for nothing else. */
void fiber_fn respond_list(struct http_request *req, const struct db_statement *statement);
/* Path parameter as UUID; anything else is a 404 with this code, as an unknown id would be. */
int path_uuid(struct http_request *req, const char *name, const char *missing, const char **ret, struct error *err);

/* --- For the command line --------------------------------------------------------------------------------------- */

/* Adds or finds a person by e-mail; sets the password when given (hashed here). *ret_id is filled. */
int identity_person_add(struct db_session *admin, struct arena *arena, const char *email, const char *name,
                        const char *password, const char **ret_id, struct error *err);

#endif
