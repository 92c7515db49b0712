/* Requests to Stripe that change something: written down with key and exact body, sent, and resolved, however often it takes.
 * Never two charges for one intent: the key is the same each time, and once Stripe may have forgotten it, it is not sent. */
#ifndef OVERREAD_BILLING_INTENTS_H
#define OVERREAD_BILLING_INTENTS_H

#include "billing/stripe.h"
#include "db/db.h"

/* Who repeats a request shows the same key with the same method, target and body. */
struct intent_key {
    const char *key; /* NULL: none was sent */
    const char *request_sha256;
};

struct intent {
    char id[UUID_SIZE]; /* also the Idempotency-Key at Stripe */
    const char *kind;   /* migrations/0022 lists them */
    const char *method, *path, *body;
    const char *subscription; /* Stripe's id of what it changes; or NULL */
    int64_t seats_after;      /* -1: says nothing of seats */
    json_t *terms;            /* for the record; or NULL */
    const char *quote;        /* that it accepts; or NULL */
    bool sent;                /* intent_run has asked Stripe: something may have changed, whatever it returns */
};

/* A new intent of that kind, with its id. */
void intent_begin(struct intent *ret, const char *kind, const char *path);

/* In the caller's session: writes it down, sends it, resolves it. 0: done, and *ret is Stripe's object. 1: nobody knows yet; a
 * job finds out. -1: refused, with the reason for the client. */
int fiber_fn intent_run(struct db_scope *scope, struct intent *intent, const struct intent_key *key, json_t **ret, struct error *err);

/* What this key stands for: an intent, or a subscription that the request left as it was; or both NULL. */
int fiber_fn intent_repeated(struct db_scope *scope, const struct intent_key *key, const char **ret_intent, const char **ret_subscription,
                             struct error *err);
/* Of a request that needed no intent: the key stands for what answered it, a checkout (by its intent) or a subscription. */
int fiber_fn intent_remember(struct db_scope *scope, const struct intent_key *key, const char *resource, struct error *err);

#endif
