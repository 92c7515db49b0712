"""What a tenant has bought, as rows: for tests that ask who may see it, and not how it came about."""
import secrets

PLAN = "matrix-seat"  # not on sale: nobody else's test finds it in a price list


def bought(pg, tenant):
    """One of everything that a path of billing can name. -> their ids, and the plan's"""
    mark = secrets.token_hex(8)
    pg.query("INSERT INTO plans (plan, title, audience, product, on_sale) VALUES (%s, 'A seat', 'organisation', %s, false)"
             " ON CONFLICT DO NOTHING", (PLAN, f"prod_{PLAN}"))
    one = {"t": tenant, "plan": PLAN, "mark": mark}
    (subscription,), = pg.query(
        "INSERT INTO subscriptions (tenant_id, subscription_id, stripe_id, plan, status, seats, price, amount, currency, period, item,"
        "  collection, period_start, period_end, cancel_at_period_end, pending_update, started_at, fetched_at)"
        " VALUES (%(t)s, gen_random_uuid(), 'sub_' || %(mark)s, %(plan)s, 'active', 50, 'price_' || %(mark)s, 12000, 'gbp', 'year',"
        "  'si_' || %(mark)s, 'send_invoice', now(), now() + interval '1 year', false, false, now(), now())"
        " RETURNING subscription_id::text", one)
    (request,), = pg.query(
        "INSERT INTO billing_intents (tenant_id, intent_id, kind, method, path, body, state, resolved_at)"
        " VALUES (%(t)s, gen_random_uuid(), 'checkout', 'POST', '/v1/checkout/sessions', '', 'done', now())"
        " RETURNING intent_id::text", one)
    pg.query("INSERT INTO checkouts (tenant_id, checkout_id, session, url, terms, state, expires_at)"
             " VALUES (%(t)s, %(request)s, 'cs_' || %(mark)s, 'https://checkout.example/' || %(mark)s, '{}', 'complete', now())",
             {**one, "request": request})
    (quote,), = pg.query(
        "INSERT INTO quotes (tenant_id, quote_id, plan, period, currency, amount, seats, days_until_due, valid_until)"
        " VALUES (%(t)s, gen_random_uuid(), %(plan)s, 'year', 'gbp', 10000, 80, 30, now() + interval '30 days')"
        " RETURNING quote_id::text", one)
    return {"subscription": subscription, "request": request, "checkout": request, "quote": quote, "plan": PLAN}
