/* Billing: plans on sale, checkout, subscriptions and their changes, invoices, quotes, and the entitlements that follow.
 * Stripe's objects are fetched, never believed from a webhook (sync.h); what changes something at Stripe is an intent first
 * (intents.h). The one answer to "may this person open this case now" is may_open() in SQL (migrations/0022). */
#ifndef OVERREAD_BILLING_H
#define OVERREAD_BILLING_H

#include "base/config.h"
#include "db/db.h"
#include "http/http.h"
#include "jobs/jobs.h"

extern const struct http_route billing_routes[];
extern const struct db_statement billing_statements[];

/* Is what the configuration says of Stripe good? True also when it says nothing: then nothing is sold through Stripe. */
int billing_check(const struct config *config, struct error *err);
/* Once, before the server starts; outbound_init comes before. */
void billing_init(const struct config *config);
bool billing_asks_stripe(void);

/* All but billing_tick_job are for servers that can ask Stripe.
 * stripe_event: one event; stripe_sync: one subscription; billing_intent: a request whose outcome is unknown; billing_end: a
 * subscription, or a page to pay at, of who has erased the account. Periodic: what time alone changes, Stripe's list of events, all subscriptions. */
extern const struct job_kind billing_event_job, billing_sync_job, billing_intent_job, billing_end_job, billing_tick_job,
    billing_reconcile_job, billing_nightly_job;

#endif
