"""Fixtures of a server that sells, for a conftest to take in beside Stripe's stand-in."""
import json

import pytest
from stripe_standin import catalog
from support.billing import PLANS, Shop
from support.billing_faults import Buyers, forget_seats, postpone_periodic
from support.server import Server


@pytest.fixture(scope="module")
def _shop(_server, pg, mailbox, _stripe):
    """It ends with its file: a server that runs on would take the jobs of other tests, and do them by its own configuration."""
    made = Server(pg, **{**mailbox.config, "state_dir": _server.config["state_dir"], "stripe_key": _stripe.api_key, "stripe_url": _stripe.url,
                         "stripe_webhook_secret": _stripe.webhooks.secrets[0]})
    try:
        yield made.start()
    finally:
        made.destroy()


@pytest.fixture
def shop(_shop, server, stripe, pg):
    """A server that sells: see support/billing.py."""
    _shop.ensure_running()
    _shop.mark = len(_shop.lines)
    forget_billing(pg)
    stripe.webhooks.url = _shop.url + "/v1/stripe/webhook"
    put_on_sale(stripe, pg)
    made = Shop(_shop, stripe, pg)
    yield made
    made.close()
    forget_billing(pg)


@pytest.fixture(scope="session")
def _buyers():
    return Buyers()


@pytest.fixture
def market(shop, _buyers):
    """The shop; .boss of a trust and .me, a trainee, have bought nothing. Stripe's lists are read when a test says so."""
    forget_seats(shop.pg)
    postpone_periodic(shop.pg)
    shop.buyers = _buyers
    shop.boss, shop.me = _buyers.trust(shop), _buyers.trainee(shop)
    return shop


def forget_billing(pg):
    """The stand-in forgets between tests; so must the database."""
    pg.query("DELETE FROM jobs WHERE kind IN ('stripe_event', 'stripe_sync', 'billing_intent', 'billing_end');"
             "TRUNCATE billing_intents, checkouts, quotes, subscriptions, stripe_events, stripe_locks, stripe_cursor, stripe_positions,"
             " disputes, plan_prices, plans, trial_uses;"
             "UPDATE billing_accounts SET customer = NULL, currency = NULL, trial_used_at = NULL;"
             "DELETE FROM entitlements e WHERE NOT EXISTS (SELECT FROM grants g WHERE g.tenant_id = e.tenant_id AND g.grant_id = e.source)")


def put_on_sale(stripe, pg):
    """PLANS, here and there."""
    rows = []
    with stripe.lock:
        for plan in PLANS:
            product = catalog.create_product(stripe.store, {"id": f"overread_{plan['id']}", "name": plan["title"]})
            rows.append({**plan, "product": product["id"], "prices": [_price(stripe, product, *price) for price in plan["prices"]]})
    pg.query("""WITH given AS (SELECT p.*, place FROM jsonb_array_elements(%s) WITH ORDINALITY x (o, place),
                               jsonb_to_record(o) p (id text, title text, audience text, modalities text[], trial_days int, product text,
                                                     prices jsonb)),
                made AS (INSERT INTO plans (plan, title, audience, modalities, trial_days, product, place)
                         SELECT id, title, audience, modalities, trial_days, product, place FROM given)
                INSERT INTO plan_prices (price, plan, period, currency, amount)
                SELECT x.price, id, x.period, x.currency, x.amount
                FROM given, jsonb_to_recordset(prices) x (price text, period text, currency text, amount bigint)""", (json.dumps(rows),))


def _price(stripe, product, period, currency, amount):
    made = catalog.create_price(stripe.store, {"product": product["id"], "currency": currency, "unit_amount": amount,
                                               "recurring": {"interval": period}})
    return {"price": made["id"], "period": period, "currency": currency, "amount": amount}
