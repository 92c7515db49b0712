/* Stripe's lists, newest first, a page after another. */
#ifndef OVERREAD_BILLING_LISTS_H
#define OVERREAD_BILLING_LISTS_H

#include "billing/stripe.h"

enum { LIST_ENOUGH = 1 };

struct list {
    const char *path; /* ends with a query */
    bool once;        /* as of stripe_request */
    /* For each item, in the page's own arena. 0; LIST_ENOUGH: no further one is wanted; -1 */
    int fiber_fn (*each)(void *arg, struct arena *arena, json_t *item, struct error *err);
    void *arg;
};

/* Reads the page behind `after` ("": the first) and moves it to the page's end once all of it was gone through. 1: there is more;
 * 0: that was the end, or enough; -1: nothing is passed over, the same page may be read again. */
int fiber_fn list_page(const struct list *list, char after[static STRIPE_ID_MAX + 1], struct error *err);

#endif
