/* What Stripe keeps and we only show: invoices, and its own page for cards and addresses. */
#ifndef OVERREAD_BILLING_INVOICES_H
#define OVERREAD_BILLING_INVOICES_H

#include "base/error.h"
#include "base/fiber.h"
#include "base/json.h"

/* after: `next` of the page before; NULL: from the newest. *ret: {"items": [...], "next": cursor or null}. Amounts in minor units. */
int fiber_fn invoices_list(struct arena *arena, const char *customer, const char *after, struct text *ret, struct error *err);
/* Is one of the customer's open behind the day that it was due? Of what has ended, too. */
int fiber_fn invoices_overdue(struct arena *arena, const char *customer, bool *ret, struct error *err);
/* *ret: {"url": ...}, good for a short time. */
int fiber_fn invoices_portal(struct arena *arena, const char *customer, const char *return_url, struct text *ret, struct error *err);

#endif
