/* How often anybody may try: passwords, codes, mails. Buckets in the database (migrations/0008), counted by all nodes
 * together. An attempt is counted before it is made, and forgiven when it succeeds. */
#ifndef OVERREAD_IDENTITY_THROTTLE_H
#define OVERREAD_IDENTITY_THROTTLE_H

#include "db/db.h"
#include "http/http.h"

struct throttle_key {
    const char *kind; /* of throttle_rule() in migrations/0008: "account", "second_factor", "address", "tenant", ... */
    const char *key;  /* NULL: the person of the scope's session */
};
#define THROTTLE_KEYS 4

/* Counts an attempt in each bucket (in the order of throttle_rule; ended by a NULL kind) and tells the client how much is
 * left: RateLimit and RateLimit-Policy are set on the reply. A statement of its own, so that an attempt that fails stays
 * counted. 0, or -1 with ERROR_TOO_MANY "too_many_attempts" and retry_after; nothing is counted then. */
int fiber_fn throttle_take(struct http_request *req, struct db_scope *scope, const struct throttle_key keys[], struct error *err);
/* The attempt succeeded: account and second factor begin anew, the other buckets forget this attempt. */
int fiber_fn throttle_forgive(struct db_scope *scope, const struct throttle_key keys[], struct error *err);

/* Who the client is, for the buckets of addresses: the IPv4 address, the /64 of an IPv6 one. In the request's arena. */
const char *throttle_client(struct http_request *req);
/* As above, of any address as text; what is none stays as it is. */
const char *throttle_network(struct arena *arena, struct text address);

#endif
