/* The append-only record. Rows are written by the database's own functions, in the transaction of what they record;
 * this room is how a tenant reads them, and how anybody finds out whether they are still what was written. */
#ifndef OVERREAD_AUDIT_H
#define OVERREAD_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/chain.h"
#include "db/db.h"
#include "http/http.h"
#include "jobs/jobs.h"

extern const struct http_route audit_routes[];
extern const struct db_statement audit_statements[];
extern const struct job_kind audit_seal_job;

/* --- For the command line --------------------------------------------------------------------------------------- */

/* What an operator keeps elsewhere: the end of a record as it was once. A record that is shorter, or has another entry
 * there, was truncated or rewritten. */
struct audit_anchor {
    const char *name; /* the tenant's slug; of an export without a database, its id */
    int64_t number;
    const char *hash;
};
/* Does what was kept of `name` agree with the chain as far as it is verified; at its end also: was nothing cut off? 0, or -1 with
 * "record_broken". */
int audit_anchors_hold(const struct audit_anchor *anchors, size_t count, const char *name, const struct audit_chain *chain, bool at_end,
                       struct error *err);
/* Verifies the records of one tenant (by slug) or of all. Each verified record is told: slug, number and hash of its end.
 * 0, or -1 with "record_broken" at the first that is not whole, or "tenant_not_found". */
int audit_verify(struct db_session *admin, struct arena *arena, const char *slug, const struct audit_anchor *anchors, size_t count,
                 void (*told)(void *arg, const char *slug, const struct audit_chain *end), void *arg, struct error *err);
/* Appends the tenant's whole record as lines by calling `write`. */
int audit_export(struct db_session *admin, struct arena *arena, const char *slug, void (*write)(void *arg, struct text line),
                 void *arg, struct error *err);

#endif
