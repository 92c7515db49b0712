/* Between the files of billing. */
#ifndef OVERREAD_BILLING_INTERNAL_H
#define OVERREAD_BILLING_INTERNAL_H

#include "base/config.h"

bool billing_taxes(void); /* Stripe computes taxes */
const struct config *billing_config(void);
void billing_release(void *json); /* json_decref, for arena_defer */

#endif
