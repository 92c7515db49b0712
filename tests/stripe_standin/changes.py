"""What a change of a subscription's items costs. Computes, and changes nothing."""
from dataclasses import dataclass, field

from .catalog import merged_metadata, unit_amount
from .errors import invalid, no_such
from .invoices import make_line
from .periods import boundary, day_of, divide, part, spoken


@dataclass
class Change:
    """debits: by item what was billed for which time, [amount, start, end]: credits come from these, never from prices."""
    items: list
    lines: list = field(default_factory=list)
    debits: dict = field(default_factory=dict)
    reset: bool = False
    period: tuple = None


# --- Items as asked for -----------------------------------------------------------------------------------------------

def recurring_price(store, ident, currency, param):
    price = store.get("price", ident, param)
    if not price["active"]:
        raise invalid(f"The price specified is inactive. This field only accepts active prices.: {ident}", param)
    if price["type"] != "recurring":
        raise invalid("The price specified is set to `type=one_time` but this field only accepts prices with `type=recurring`.", param)
    if currency and unit_amount(store, price, currency) is None:
        raise invalid(f"The price `{ident}` is not available in {currency}.", param)
    return price


def plan_of(price):
    return {"id": price["id"], "object": "plan", "active": price["active"], "amount": price["unit_amount"],
            "amount_decimal": price["unit_amount_decimal"], "billing_scheme": "per_unit", "created": price["created"],
            "currency": price["currency"], "interval": price["recurring"]["interval"],
            "interval_count": price["recurring"]["interval_count"], "livemode": False, "metadata": price["metadata"], "meter": None,
            "nickname": price["nickname"], "product": price["product"], "tiers_mode": None, "transform_usage": None,
            "trial_period_days": None, "usage_type": "licensed"}


def new_item(store, subscription_id, price, entry, period):
    return {"id": store.new_id("subscription_item", 14), "object": "subscription_item", "billing_thresholds": None,
            "created": store.now(), "current_period_end": period[1], "current_period_start": period[0], "current_trial": None,
            "discounts": [], "metadata": merged_metadata({}, entry), "plan": plan_of(price), "price": price,
            "quantity": quantity_of(entry, 1), "subscription": subscription_id, "tax_rates": []}


def quantity_of(entry, default):
    quantity = entry.get("quantity", default)
    if not 0 <= quantity <= 999999:
        raise invalid("Invalid quantity", "items[0][quantity]")
    return quantity


def items_after(store, subscription, entries, param="items"):
    """The items as they would be: an entry with an id changes that item, one without adds another."""
    items = {item["id"]: dict(item) for item in subscription["items"]["data"]}
    period = period_of(subscription)
    for i, entry in enumerate(entries or []):
        shown = f"{param}[{i}]"
        if entry.get("id"):
            if entry["id"] not in items:
                raise no_such("subscription_item", entry["id"], f"{shown}[id]")
            if entry.get("deleted"):
                del items[entry["id"]]
                continue
            item = items[entry["id"]]
            if "price" in entry:
                price = recurring_price(store, entry["price"], subscription["currency"], f"{shown}[price]")
                item |= {"price": price, "plan": plan_of(price)}
            item |= {"quantity": quantity_of(entry, item["quantity"]), "metadata": merged_metadata(item["metadata"], entry)}
        elif "price" not in entry:
            raise invalid("Missing required param: items[price].", f"{shown}[price]", "parameter_missing")
        else:
            price = recurring_price(store, entry["price"], subscription["currency"], f"{shown}[price]")
            item = new_item(store, subscription["id"], price, entry, period)
            items[item["id"]] = item
    check_items(list(items.values()), param)
    return list(items.values())


def check_items(items, param="items"):
    if not items:
        raise invalid("A subscription must have at least one active plan. To cancel a subscription, please use the cancel API "
                      "endpoint on that subscription.", param)
    if len({item["price"]["id"] for item in items}) != len(items):
        raise invalid(f"Cannot add multiple subscription items with the same plan: {items[-1]['price']['id']}", param)
    if len({interval_of(item["price"]) for item in items}) > 1:
        raise invalid("Prices of one subscription must have one interval (the stand-in bills no mixed intervals).", param)


def interval_of(price):
    return price["recurring"]["interval"], price["recurring"]["interval_count"]


def period_of(subscription):
    item = subscription["items"]["data"][0]
    return item["current_period_start"], item["current_period_end"]


# --- Lines ------------------------------------------------------------------------------------------------------------

def full_amount(store, subscription, item):
    return unit_amount(store, item["price"], subscription["currency"]) * item["quantity"]


def named(store, subscription, item):
    name = store.tables["product"][item["price"]["product"]]["name"]
    interval, count = interval_of(item["price"])
    each = spoken(unit_amount(store, item["price"], subscription["currency"]), subscription["currency"])
    return f"{item['quantity']} × {name} (at {each} / {interval if count == 1 else f'{count} {interval}s'})"


def full_lines(store, subscription, items, period):
    """(lines, debits) for a whole period."""
    lines = [make_line(store, subscription, item, full_amount(store, subscription, item), period, named(store, subscription, item))
             for item in items]
    return lines, {item["id"]: [[line["amount"], *period]] for item, line in zip(items, lines)}


def _credit(store, subscription, item, debits, at):
    """The unused part of what was billed, or None where nothing was."""
    spans = [span for span in debits.get(item["id"], []) if span[2] > at]
    if not spans:
        return None
    amount = -sum(part(*span, at) for span in spans)
    return make_line(store, subscription, item, amount, (at, max(span[2] for span in spans)),
                     f"Unused time on {named(store, subscription, item)} after {day_of(at)}", proration=True)


def compute(store, subscription, items, at, behavior, reset=False):
    """What follows when the items become those at that moment. reset: a new period begins then, and is billed whole."""
    side, old = store.side[subscription["id"]], {item["id"]: item for item in subscription["items"]["data"]}
    if reset:
        period = (at, boundary(at, *interval_of(items[0]["price"]), 1))
        credits = [] if behavior == "none" else [_credit(store, subscription, item, side["debits"], at) for item in old.values()]
        lines, debits = full_lines(store, subscription, items, period)
        return Change(items, [line for line in credits if line] + lines, debits, True, period)
    start, end = period_of(subscription)
    change = Change(items, debits={ident: list(spans) for ident, spans in side["debits"].items()}, period=(start, end))
    if subscription["status"] in ("trialing", "incomplete", "paused") or behavior == "none":
        return change
    after = {item["id"]: item for item in items}
    for ident, before in old.items():
        now = after.get(ident)
        if now and (now["price"]["id"], now["quantity"]) == (before["price"]["id"], before["quantity"]):
            continue
        credit = _credit(store, subscription, before, side["debits"], at)
        change.debits[ident] = []
        if credit:
            change.lines.append(credit)
        if now:
            _charge(store, subscription, now, change, at)
    for ident, now in after.items():
        if ident not in old:
            _charge(store, subscription, now, change, at)
    return change


def _charge(store, subscription, item, change, at):
    start, end = change.period
    amount = divide(full_amount(store, subscription, item), end - max(at, start), end - start)
    change.debits[item["id"]] = [[amount, max(at, start), end]]
    change.lines.append(make_line(store, subscription, item, amount, (max(at, start), end),
                                  f"Remaining time on {named(store, subscription, item)} after {day_of(at)}", proration=True))
