"""A small catalogue and somebody who buys from it, for tests."""


class World:
    """A customer with a card, and prices: monthly 25.00, yearly 240.00, in pounds."""

    def __init__(self, standin, stripe, card="ok", currency="gbp", month=2500, year=24000):
        self.standin, self.stripe = standin, stripe
        self.customer = stripe.post("customers", email="a@trust.example", address={"country": "GB"})["id"]
        if card:
            standin.set_card(self.customer, card)
        self.product = stripe.post("products", name="All modalities")["id"]
        self.month = self.price("month", month, currency)
        self.year = self.price("year", year, currency)

    def price(self, interval, amount, currency="gbp", **more):
        return self.stripe.post("prices", product=self.product, currency=currency, unit_amount=amount, recurring={"interval": interval},
                                **more)["id"]

    def subscribe(self, price=None, quantity=1, **more):
        return self.stripe.post("subscriptions", customer=self.customer, items=[{"price": price or self.month, "quantity": quantity}],
                                **more)

    def seats(self, subscription, quantity, **more):
        item = subscription["items"]["data"][0]["id"]
        return self.stripe.post(f"subscriptions/{subscription['id']}", items=[{"id": item, "quantity": quantity}], **more)

    def status(self, subscription):
        return self.standin.get(subscription["id"])["status"]

    def invoices(self, subscription):
        return self.stripe.get("invoices", subscription=subscription["id"])["data"]


def period(subscription):
    item = subscription["items"]["data"][0]
    return item["current_period_start"], item["current_period_end"]


def session(world, **more):
    params = {"mode": "subscription", "customer": world.customer, "line_items": [{"price": world.month, "quantity": 1}],
              "success_url": "https://overread.example/done", "subscription_data": {"metadata": {"intent": "i-1"}}, **more}
    return world.stripe.post("checkout/sessions", **params)
