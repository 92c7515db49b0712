/* From Stripe to us: one subscription is fetched while nobody else fetches it, and kept as a fact. */
#ifndef OVERREAD_BILLING_SYNC_H
#define OVERREAD_BILLING_SYNC_H

#include "billing/stripe.h"
#include "db/db.h"

/* since: a moment as the database writes it; what was fetched after it is fresh enough. NULL: fetch in any case. cause: for the
 * ledger. 0: what we know is what Stripe knew a moment ago, or it is nobody's here (*err untouched). -1 with ERROR_UNAVAILABLE
 * "sync_busy" (another fetches it; waits some seconds for that first), "billing_away", or what subscription_store refuses. */
int fiber_fn sync_subscription(struct arena *arena, const char *stripe_id, const char *since, const char *cause, struct error *err);

/* For what Stripe has done for us: fetched now, or else by a job, soon. -1: not even that could be written down. */
int fiber_fn sync_or_queue(struct arena *arena, const char *stripe_id, const char *cause, struct error *err);

/* A checkout session as Stripe has it now: settles ours, and fetches the subscription that came of it. *ret: its state, "open",
 * "complete" or "expired". */
int fiber_fn sync_checkout(struct arena *arena, const char *session, const char *cause, const char **ret, struct error *err);

#endif
