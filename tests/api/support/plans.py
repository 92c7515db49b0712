"""Plans on sale: files for `overread plan apply`, an operator's configuration with a Stripe, and what is to be true behind it."""
import json
import subprocess
from collections import Counter

from support.server import OVERREAD, Server, environment


def plan(ident, *prices, **members):
    """prices: (period, currency, amount)."""
    return {"id": ident, "title": ident.capitalize(), "description": f"What {ident} buys.", "audience": "individual", "modalities": None,
            "prices": [dict(zip(("period", "currency", "amount"), price)) for price in prices], **members}


class Operator:
    """The command line of an operator; no server of it runs."""

    def __init__(self, pg, stripe, **config):
        self.pg, self.stripe = pg, stripe
        self.server = Server(pg, **{"stripe_key": stripe.api_key, "stripe_url": stripe.url, "stripe_webhook_secret": "whsec_" + "x" * 32,
                                    **config})
        self.forget_plans()

    def close(self):
        self.server.destroy()
        self.forget_plans()

    def forget_plans(self):
        """Other tests' servers sell nothing."""
        self.pg.query("TRUNCATE plans, plan_prices, subscriptions, quotes")

    def file(self, *plans):
        path = self.server.folder / "plans.json"
        path.write_text(json.dumps({"plans": plans}))
        return path

    def apply(self, *plans, yes=True, check=True):
        """The lines of what was done."""
        result = self.server.cli("plan", "apply", *(["--yes"] if yes else []), self.file(*plans), check=check)
        return result.stdout.splitlines() if check else result

    def begin(self, *plans):
        """An apply that runs beside the test."""
        return subprocess.Popen([OVERREAD, "--config", self.server.config_file, "plan", "apply", "--yes", self.file(*plans)],
                                env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def plans(self):
        return [json.loads(line) for line in self.server.cli("plan", "list").stdout.splitlines()]

    def posts(self):
        return [request for request in self.stripe.record.requests if request["method"] == "POST"]

    def active_prices(self):
        return {price["id"]: price for price in self.stripe.all("price") if price["active"]}

    def assert_sold(self, *plans):
        """Stripe and the database sell exactly these, and nothing exists twice."""
        wanted = {(one["id"], p["period"], p["currency"], p["amount"]) for one in plans for p in one["prices"]}
        prices = self.stripe.all("price")
        assert all(count == 1 for count in Counter(identity(price) for price in prices).values()), "a price was made twice"
        assert {identity(price) for price in prices if price["active"]} == wanted
        assert {one["id"] for one in self.stripe.all("product") if one["active"]} == {f"overread_{one['id']}" for one in plans}
        for price in prices:
            key = "overread:{0}:{1}:{2}".format(*identity(price))
            assert price["lookup_key"] == (key if price["active"] else price["lookup_key"]) and price["tax_behavior"] == "exclusive"
        here = self.plans()
        assert [one["plan"] for one in here if one["on_sale"]] == [one["id"] for one in plans]
        sold = {p["price"]: (one["plan"], p["period"], p["currency"], p["amount"]) for one in here for p in one["prices"] if p["on_sale"]}
        assert sold == {ident: identity(price) for ident, price in self.active_prices().items()}


def identity(price):
    return (price["metadata"]["overread_plan"], price["recurring"]["interval"], price["currency"], price["unit_amount"])
