/* Outgoing webhooks: what happens in a tenant is told to the tenant's own systems, signed as Standard Webhooks 1.0 says. Other
 * rooms call the SQL function webhook_emit() (migrations/0021) in the transaction in which it happens. */
#ifndef OVERREAD_TENANCY_WEBHOOKS_H
#define OVERREAD_TENANCY_WEBHOOKS_H

#include "db/db.h"
#include "http/http.h"
#include "jobs/jobs.h"

extern const struct http_route webhooks_routes[];
extern const struct db_statement webhooks_statements[];
/* Waits for a stranger's server, up to 15 seconds: it has places of its own. */
extern const struct job_kind webhooks_delivery_job;
extern const struct job_kind webhooks_sweep_job;
/* Tells of a membership that ends at a time which was set before. */
extern const struct job_kind webhooks_membership_end_job;

/* --- Within this room ---------------------------------------------------------------------------------------------- */

enum { WEBHOOK_KEY_BYTES = 32 };
#define WEBHOOK_SECRET_SIZE 51 /* whsec_ and base64, with its NUL */
#define WEBHOOK_SIGNATURE_SIZE 48
/* A key as its receiver enters it. */
void webhook_secret_text(const uint8_t key[WEBHOOK_KEY_BYTES], char ret[WEBHOOK_SECRET_SIZE]);
/* "v1," and the HMAC of "id.timestamp.body". The id holds no full stop. */
void webhook_sign(struct arena *arena, struct text key, const char *id, int64_t timestamp, struct text body,
                  char ret[WEBHOOK_SIGNATURE_SIZE]);
/* What the vault seals the keys of an endpoint with. */
const char *webhook_secret_context(struct arena *arena, const char *endpoint);

#endif
