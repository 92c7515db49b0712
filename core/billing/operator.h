/* What an operator does from the command line: plans, grants, quotes, and what is stuck. As the owning role, and to Stripe without
 * a fiber: outbound_init and billing_init come before. */
#ifndef OVERREAD_BILLING_OPERATOR_H
#define OVERREAD_BILLING_OPERATOR_H

#include "base/text.h"
#include "billing/plans.h"
#include "db/db.h"

/* --- Plans ---------------------------------------------------------------------------------------------------------- */

/* Compares the file with Stripe and the database and tells each difference; with `write` it does away with each first. What was
 * done by a run that was killed stays done, and the next one does the rest. *ret: how many differences. */
int plans_apply(struct db_session *admin, struct arena *arena, struct plans *plans, bool write, void (*tell)(const char *line),
                size_t *ret, struct error *err);

/* --- Grants and quotes: numbers and times as they were typed --------------------------------------------------------- */

struct operator_grant {
    const char *tenant, *modalities; /* slug; names with commas between, NULL: all */
    const char *seats;               /* NULL or "unlimited": without limit */
    const char *from, *until;        /* from NULL: now; until "infinity": without end */
    const char *reason;
};
int operator_grant(struct db_session *admin, struct arena *arena, const struct operator_grant *grant, const char **ret_id, struct error *err);
int operator_grant_end(struct db_session *admin, struct arena *arena, const char *tenant, const char *grant, const char *reason,
                       struct error *err);

struct operator_quote {
    const char *tenant, *plan, *period, *currency, *seats;
    const char *amount; /* of a seat, minor units; NULL: the price list's */
    const char *days_until_due, *valid_days, *note;
};
int operator_quote(struct db_session *admin, struct arena *arena, const struct operator_quote *quote, const char **ret_id, struct error *err);
int operator_quote_withdraw(struct db_session *admin, struct arena *arena, const char *tenant, const char *quote, struct error *err);

/* --- Lists: JSON lines, appended to *out. tenant: a slug, or NULL: all --------------------------------------------------- */

int operator_plans(struct db_session *admin, struct arena *arena, struct buffer *out, struct error *err);
int operator_subscriptions(struct db_session *admin, struct arena *arena, const char *tenant, struct buffer *out, struct error *err);
int operator_quotes(struct db_session *admin, struct arena *arena, const char *tenant, struct buffer *out, struct error *err);
/* Quarantined events, dead jobs, requests whose outcome nobody knows yet, disputes. */
int operator_stuck(struct db_session *admin, struct arena *arena, struct buffer *out, struct error *err);

/* --- Trying again ------------------------------------------------------------------------------------------------------- */

/* id: of operator_stuck; NULL: all. *ret: how many. */
int operator_retry(struct db_session *admin, struct arena *arena, const char *id, int64_t *ret, struct error *err);
/* The servers read Stripe's list of events, and all subscriptions, now rather than when it is time. */
int operator_sync(struct db_session *admin, struct arena *arena, struct error *err);

#endif
