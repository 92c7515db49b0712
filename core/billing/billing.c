#include "billing/billing.h"

#include "billing/billing_internal.h"
#include "billing/stripe.h"

static const struct config *config;

int billing_check(const struct config *c, struct error *err)
{
    return stripe_check(c, err);
}

void billing_init(const struct config *c)
{
    config = c;
    stripe_init(c);
}

const struct config *billing_config(void)
{
    return config;
}

bool billing_asks_stripe(void)
{
    return stripe_configured();
}

bool billing_taxes(void)
{
    return config->stripe_tax;
}

void billing_release(void *json)
{
    json_decref(json);
}
