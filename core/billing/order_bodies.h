/* Bodies of requests that buy or change something: read into what orders.h takes. Each fails with 422 and the field. */
#ifndef OVERREAD_BILLING_ORDER_BODIES_H
#define OVERREAD_BILLING_ORDER_BODIES_H

#include "billing/orders.h"

/* plan, period, currency, seats. */
int order_from(const json_t *body, struct order *ret, struct error *err);
/* purchase_order, days_until_due (what is chosen where nothing is said, too), address. */
int invoice_terms_from(struct arena *arena, const json_t *body, struct order *order, struct error *err);
/* preview: of what is only looked at, which takes less. */
int change_from(struct arena *arena, const json_t *body, bool preview, struct change *ret, struct error *err);
/* email, address: at least one. */
int customer_change_from(struct arena *arena, const json_t *body, struct customer_change *ret, struct error *err);

#endif
