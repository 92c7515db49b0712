/* What a payer asks for, as requests to Stripe. */
#ifndef OVERREAD_BILLING_ORDERS_H
#define OVERREAD_BILLING_ORDERS_H

#include "billing/intents.h"

enum { ORDER_SEATS_MAX = 100000, ORDER_PURCHASE_MAX = 140, ORDER_PREVIEW_S = 3600 };

/* A plan, or a quote; with a card (checkout), or by invoice. */
struct order {
    const char *plan, *period, *currency;
    int64_t seats;
    const char *quote;          /* id; NULL: by the price list */
    const char *purchase_order; /* NULL: none */
    int64_t days_until_due;
    const json_t *address;      /* of the customer, for invoices; NULL: as Stripe has it */
    const char *success_url, *cancel_url; /* of a checkout */
};

enum { ORDER_NOT_YET = 2 };

/* *ret_id: the intent's id, which is the checkout's. 0: a page to pay at is there. 1: nobody knows yet; a job finds out. ORDER_NOT_YET:
 * nothing was ordered, because a request before it (*ret_id: the customer, an older page) is under way; *err says so, and the order is
 * to be made again. -1: refused. */
int fiber_fn order_checkout(struct db_scope *scope, const struct order *order, const struct intent_key *key, const char **ret_id,
                            struct error *err);
/* A subscription that sends invoices. As order_checkout; *ret_id: the intent's. */
int fiber_fn order_by_invoice(struct db_scope *scope, const struct order *order, const struct intent_key *key, const char **ret_id,
                              struct error *err);

struct customer_change {
    const char *email; /* where invoices go; NULL: as it is */
    const json_t *address;
};
/* What stands on its invoices from now on. *ret: {name, email, address} as Stripe has them; else as order_checkout. */
int fiber_fn change_customer(struct db_scope *scope, const char *customer, const struct customer_change *change, const char **ret_id,
                             struct text *ret, struct error *err);

struct change {
    int64_t seats;                  /* -1: as they are */
    const char *plan, *period;      /* NULL: as it is */
    int cancel;                     /* 1: at the period's end; 0: not any more; -1: as it is */
    int64_t proration_date;         /* as a preview said it, ORDER_PREVIEW_S ago at most; 0: now */
    const char *purchase_order;     /* on its invoices from now on; NULL: as it is */
    int64_t days_until_due;         /* of its invoices; 0: as it is */
};
/* Of a subscription of ours, fetched first: what stands at Stripe counts. *ret_id: the intent's; NULL: nothing was to change. */
int fiber_fn change_subscription(struct db_scope *scope, const char *subscription, const struct change *change, const struct intent_key *key,
                                 const char **ret_id, struct error *err);
/* What it would cost now: {currency, amount_due, total, proration_date, lines}. */
int fiber_fn preview_change(struct db_scope *scope, const char *subscription, const struct change *change, struct text *ret, struct error *err);

#endif
