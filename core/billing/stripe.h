/* Stripe's API, version 2026-10-28.endive: forms, requests, and what an answer means. Knows no tenant. */
#ifndef OVERREAD_BILLING_STRIPE_H
#define OVERREAD_BILLING_STRIPE_H

#include "base/config.h"
#include "base/fiber.h"
#include "base/json.h"

#define STRIPE_VERSION "2026-10-28.endive"
#define STRIPE_NOT_APPLIED "not_applied" /* a code of ours: its answer was lost, and a look shows that it changed nothing */
enum { STRIPE_FORM_MAX = 32768, STRIPE_ID_MAX = 255 };

/* Is what the configuration says of Stripe good? True also when it says nothing. */
int stripe_check(const struct config *config, struct error *err);
void stripe_init(const struct config *config);
bool stripe_configured(void);
bool stripe_livemode(void); /* by the key's prefix */

/* application/x-www-form-urlencoded with brackets: stripe_form(&b, "items[0][quantity]", "5"). NULL values are left out. */
void stripe_form(struct buffer *form, const char *name, const char *value);
void stripe_form_int(struct buffer *form, const char *name, int64_t value);
/* The finished form in the arena; finishes the buffer. */
int stripe_form_end(struct arena *arena, struct buffer *form, const char **ret, struct error *err);
/* A segment of a path; ids are opaque, and at most 255 characters. */
const char *stripe_escape(struct arena *arena, const char *id);

enum stripe_outcome {
    STRIPE_DONE,    /* 2xx with an object */
    STRIPE_REFUSED, /* Stripe will not: nothing was changed, and asking again changes nothing */
    STRIPE_MISSING, /* 404 */
    STRIPE_UNKNOWN, /* no answer, or one that says nothing of what became of it; the same key again */
};

struct stripe_request {
    const char *method, *path; /* "/v1/customers", with its query */
    const char *body;          /* form; NULL: none */
    const char *key;           /* Idempotency-Key; for every POST and DELETE */
    bool here;                 /* without a fiber: the command line */
    bool once;                 /* not asked again here when the outcome is unknown; it may have been sent before */
};
struct stripe_reply {
    enum stripe_outcome outcome;
    int status;             /* 0: no answer */
    json_t *object;         /* of DONE; in the arena */
    bool never_again;       /* Stripe-Should-Retry: false, or the key is another request's: look the object up instead */
    const char *code;       /* of what was refused: "card_declined"; else ours: "stripe_away" */
    const char *detail, *parameter; /* Stripe's words and parameter; "" */
};
/* Asks up to three times within some seconds while the outcome is unknown and asking again may help. Never fails: what went
 * wrong is an outcome. */
void fiber_fn stripe_call(struct arena *arena, const struct stripe_request *request, struct stripe_reply *ret);

/* As an error for a client: 402 payment_failed, 422 billing_refused with the field that became Stripe's parameter, 404, or 503
 * billing_away. */
int stripe_error(const struct stripe_reply *reply, struct error *err);

/* Members of an answer; NULL and 0 for what is not there or of another type. */
const char *stripe_string(const json_t *object, const char *name);
/* An id, whether the object stands there whole or by its name. */
const char *stripe_ref(const json_t *object, const char *name);

#endif
