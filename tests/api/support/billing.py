"""A server that sells, Stripe's stand-in beside it, and people who buy."""
import itertools
import json
import time

from support.accounts import account

_numbers = itertools.count(1)

PLANS = [
    {"id": "prostate-one", "title": "Prostate MRI", "audience": "individual", "modalities": ["prostate_mri"], "trial_days": 14,
     "prices": [("month", "gbp", 1900), ("year", "gbp", 19000), ("month", "jpy", 3600)]},
    {"id": "all-one", "title": "Everything", "audience": "individual", "modalities": None, "trial_days": 0,
     "prices": [("month", "gbp", 2900), ("year", "gbp", 29000)]},
    {"id": "trust-seat", "title": "A seat", "audience": "organisation", "modalities": None, "trial_days": 0,
     "prices": [("year", "gbp", 12000), ("month", "gbp", 1200), ("year", "eur", 14000), ("year", "jpy", 20000)]},
    {"id": "trust-breast", "title": "A seat for breast", "audience": "organisation", "modalities": ["breast_mammo"], "trial_days": 0,
     "prices": [("year", "gbp", 3000)]},
    {"id": "trust-prostate", "title": "A seat for prostate", "audience": "organisation", "modalities": ["prostate_mri"], "trial_days": 0,
     "prices": [("year", "gbp", 9000)]},
]


def until(check, seconds=60, pause=0.05):
    """Waits until check() is true, and gives what it gave."""
    deadline = time.monotonic() + seconds
    while True:
        got = check()
        if got:
            return got
        assert time.monotonic() < deadline, "this never came true"
        time.sleep(pause)


def plan_file(folder, plans=None):
    path = folder / "plans.json"
    path.write_text(json.dumps({"plans": [
        {**{k: v for k, v in plan.items() if k != "prices"}, "prices": [dict(zip(("period", "currency", "amount"), p)) for p in plan["prices"]]}
        for plan in (PLANS if plans is None else plans)]}))
    return path


class Shop:
    """.server, .stripe; trainee() and trust() are clients of somebody new."""

    def __init__(self, server, stripe, pg):
        self.server, self.stripe, self.pg = server, stripe, pg
        self._clients = []

    def client(self, token=None):
        self._clients.append(self.server.client(token))
        return self._clients[-1]

    def close(self):
        for one in self._clients:
            one.close()

    def signed_in(self, email, word, tenant=None):
        body = {"email": email, "password": word, **({"tenant": tenant} if tenant else {})}
        reply = self.client().post("/v1/sessions", json=body)
        assert reply.status_code == 201, reply.text
        return self.client(reply.json()["token"])

    def trainee(self):
        http = self.client()
        email, word, _ = account(http, self.pg)
        return self.signed_in(email, word)

    def trust(self):
        """A client of its administrator. .slug is the trust's."""
        http = self.client()
        email, word, _ = account(http, self.pg)
        me = self.signed_in(email, word)
        slug = f"trust-{next(_numbers)}-{time.monotonic_ns() % 1000000}"
        made = me.post("/v1/organisations", json={"name": "St Elsewhere", "slug": slug})
        assert made.status_code == 201, made.text
        switched = me.post("/v1/session/tenant", json={"tenant": slug})
        assert switched.status_code in (200, 201), switched.text
        boss = self.client(switched.json()["token"])
        boss.slug, boss.tenant = slug, made.json()["id"]
        return boss

    # --- Buying -------------------------------------------------------------------------------------------------------

    def checkout(self, me, plan="prostate-one", period="month", currency="gbp", seats=1, **more):
        return me.post("/v1/billing/checkout", json={"plan": plan, "period": period, "currency": currency, "seats": seats}, **more)

    def session_of(self, checkout):
        """Stripe's id of a checkout of ours."""
        return self.pg.query("SELECT session FROM checkouts WHERE checkout_id = %s", (checkout,))[0][0]

    def pay(self, me, card="ok", **order):
        """Through the page to the end. -> the subscription as we show it"""
        reply = self.checkout(me, **order)
        assert reply.status_code in (200, 201), reply.text
        self.stripe.complete_checkout(self.session_of(reply.json()["id"]), card)
        shown = me.get(f"/v1/billing/checkout/{reply.json()['id']}").json()
        assert shown["state"] == "complete", shown
        return me.get(f"/v1/billing/subscriptions/{shown['subscription']}").json()

    def by_invoice(self, boss, seats=50, plan="trust-seat", period="year", currency="gbp", **more):
        headers = more.pop("headers", {})
        body = {"plan": plan, "period": period, "currency": currency, "seats": seats,
                "address": {"line1": "1 Road", "city": "London", "postal_code": "N1 1AA", "country": "GB"}, **more}
        return boss.post("/v1/billing/subscriptions", json=body, headers=headers)

    def subscription(self, me):
        """The one there is, at Stripe: its object."""
        shown, = me.get("/v1/billing").json()["subscriptions"]
        return self.stripe.get(shown["stripe"])

    def told(self, *events):
        """Delivers, and waits until what was delivered is worked on."""
        for event in events:
            made = self.stripe.webhooks.deliver(event)
            assert made.status == 200, (made.status, made.body)
        self.idle()

    def idle(self):
        """Nothing is left to do, and nothing was given up."""
        until(lambda: not self.pg.query("SELECT 1 FROM stripe_events WHERE state = 'queued'")
              and not self.pg.query("SELECT 1 FROM jobs WHERE kind IN ('stripe_event', 'stripe_sync', 'billing_intent', 'billing_end')"
                                    " AND dead_at IS NULL AND run_after < now() + interval '20 seconds'"))
        assert not self.pg.query("SELECT kind, key, last_error FROM jobs WHERE dead_at IS NOT NULL AND kind LIKE ANY ('{stripe_%,billing_%}')")
