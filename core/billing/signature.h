/* Stripe-Signature of a webhook (docs.stripe.com/webhooks/signature): t=UNIX,v1=HEX[,v1=HEX...]; v1 is HMAC-SHA256, keyed with the
 * whole whsec_ text, over the time, a point and the raw bytes. A pure function. */
#ifndef OVERREAD_BILLING_SIGNATURE_H
#define OVERREAD_BILLING_SIGNATURE_H

#include <stdbool.h>
#include "base/text.h"

enum { STRIPE_TOLERANCE_S = 300 };

/* secrets: one, or two with a comma between. False: no v1 fits any of them, t is missing, there twice or not a number, or
 * further than the tolerance from now, into the past or the future. Other schemes (v0) are passed over. */
bool stripe_signature_good(struct text header, struct text body, const char *secrets, int64_t now_s);

#endif
