"""Invoice previews: what an invoice would say. Nothing changes."""
import copy

from . import catalog, changes, invoices, subscriptions
from .errors import invalid
from .periods import period_at


def create_preview(store, params):
    details = params.get("subscription_details", {})
    if "subscription" in params:
        preview = _of_existing(store, params, details)
    elif details.get("items"):
        preview = _of_new(store, params, details)
    else:
        raise invalid("You must provide a subscription or subscription_details[items].", "subscription", "parameter_missing")
    preview |= {"id": "upcoming_" + preview["id"], "billing_reason": "upcoming"}
    for line in preview["lines"]["data"]:
        line["invoice"] = preview["id"]
    return preview


def _of_existing(store, params, details):
    """A change that is billed at once shows what is billed now; any other what the next invoice will say."""
    subscription = store.get("subscription", params["subscription"], "subscription")
    if params.get("customer", subscription["customer"]) != subscription["customer"]:
        raise invalid("The subscription belongs to another customer.", "customer")
    if subscription["status"] in subscriptions.ENDED:
        raise invalid("No upcoming invoices for a canceled subscription.", "subscription", "invoice_upcoming_none")
    fields, change, bill = subscriptions.plan_update(store, subscription, details)
    after = copy.deepcopy(subscription) | copy.deepcopy(fields)
    pending = copy.deepcopy(store.side[subscription["id"]]["pending_lines"])
    if bill:
        return invoices.make_invoice(store, after, pending + change.lines, "upcoming", change.period)
    if after["cancel_at"] and after["cancel_at"] <= change.period[1] and not pending + change.lines:
        raise invalid("No upcoming invoices: the subscription ends with this period.", "subscription", "invoice_upcoming_none")
    lines = [] if params.get("preview_mode") == "recurring" else pending + change.lines
    if not (after["cancel_at"] and after["cancel_at"] <= change.period[1]):
        following = period_at(after["billing_cycle_anchor"], *changes.interval_of(change.items[0]["price"]), change.period[1])
        lines = lines + changes.full_lines(store, after, change.items, following)[0]
    return invoices.make_invoice(store, after, lines, "upcoming", change.period)


def _of_new(store, params, details):
    if "customer" in params:
        customer = params["customer"]
    elif params.get("customer_details", {}).get("address"):
        customer = None
    else:
        raise invalid("You must provide a customer or customer_details.", "customer", "parameter_missing")
    wanted = {"customer": customer, "items": details["items"],
              **{name: params[name] for name in ("currency", "automatic_tax") if name in params},
              **{name: details[name] for name in ("trial_end",) if name in details}}
    if customer is None:
        return _anonymous(store, params, wanted)
    made, lines, _ = subscriptions.prepare(store, wanted)
    return invoices.make_invoice(store, made, lines, "upcoming", changes.period_of(made))


def _anonymous(store, params, wanted):
    """For somebody who is no customer yet: one for the moment of the computation."""
    events, place = len(store.events), params["customer_details"]["address"]
    made_up = catalog.create_customer(store, {"address": place} if place else {})
    try:
        made, lines, _ = subscriptions.prepare(store, {**wanted, "customer": made_up["id"]})
        preview = invoices.make_invoice(store, made, lines, "upcoming", changes.period_of(made))
    finally:
        del store.events[events:], store.tables["customer"][made_up["id"]]
    return preview | {"customer": None}
