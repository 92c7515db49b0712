"""Subscriptions as the API makes and changes them. What time does to them is in renewals.py."""
import copy

from . import changes, invoices, payments
from .catalog import create_price, custom_fields, live_customer, merged_metadata, owned_card, unit_amount
from .errors import invalid, no_such
from .periods import DAY, boundary, divide, period_at

HOUR = 3600
INCOMPLETE_SECONDS = 23 * HOUR
ENDED = ("canceled", "incomplete_expired")
# What may be sent together with payment_behavior=pending_if_incomplete.
PENDING_MAY = {"items", "payment_behavior", "proration_behavior", "proration_date", "billing_cycle_anchor", "trial_end", "expand",
               "off_session"}


# --- Checks and fields ------------------------------------------------------------------------------------------------

def _collection(params, subscription):
    method = params.get("collection_method", subscription["collection_method"])
    days = params.get("days_until_due", subscription["days_until_due"])
    if method == "send_invoice" and days is None:
        raise invalid("If `collection_method` is `send_invoice`, you must specify `days_until_due`.", "days_until_due")
    if method != "send_invoice" and "days_until_due" in params:
        raise invalid("You can only set `days_until_due` if `collection_method` is `send_invoice`.", "days_until_due")
    if days is not None and not 0 <= days <= 365:
        raise invalid("Invalid days_until_due", "days_until_due")
    return {"collection_method": method, "days_until_due": days if method == "send_invoice" else None}


def _invoice_settings(params, before):
    after = dict(before)
    for name, value in params.get("invoice_settings", {}).items():
        after[name] = custom_fields(value, "invoice_settings[custom_fields]") if name == "custom_fields" else value or None
    return after


def _trial_settings(params, before):
    end = {**before["end_behavior"], **params.get("trial_settings", {}).get("end_behavior", {})}
    return {"end_behavior": end}


def _cancellation(store, params, subscription, period_end):
    """cancel_at, cancel_at_period_end and canceled_at as the parameters want them."""
    if params.get("cancel_at") not in (None, "") and params.get("cancel_at_period_end"):
        raise invalid("You may only specify one of these parameters: cancel_at, cancel_at_period_end.", "cancel_at")
    if "cancel_at" in params:
        moment = params["cancel_at"]
        if moment == "":
            return {"cancel_at": None, "cancel_at_period_end": False, "canceled_at": None}
        moment = period_end if isinstance(moment, str) else moment
        if moment <= store.now():
            raise invalid("cancel_at must be in the future.", "cancel_at")
        return {"cancel_at": moment, "cancel_at_period_end": False, "canceled_at": store.now()}
    if "cancel_at_period_end" in params:
        if params["cancel_at_period_end"]:
            return {"cancel_at": period_end, "cancel_at_period_end": True, "canceled_at": store.now()}
        if subscription["cancel_at_period_end"]:
            return {"cancel_at": None, "cancel_at_period_end": False, "canceled_at": None}
    return {}


def _details(params, subscription):
    if "cancellation_details" not in params:
        return {}
    given = {name: value or None for name, value in params["cancellation_details"].items()}
    return {"cancellation_details": {**subscription["cancellation_details"], **given}}


def _cancellation_reason(fields):
    """Asking for a cancellation is its reason; taking it back takes that back."""
    if "cancel_at" not in fields:
        return None
    return "cancellation_requested" if fields["cancel_at"] else None


# --- Create -----------------------------------------------------------------------------------------------------------

def _blank(store, customer, currency):
    now = store.now()
    return {
        "id": store.new_id("subscription"), "object": "subscription", "application": None, "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None}, "billing_cycle_anchor": now,
        "billing_cycle_anchor_config": None,
        "billing_mode": {"type": "flexible", "flexible": {"proration_discounts": "included"}, "updated_at": now},
        "billing_schedules": [], "billing_thresholds": None, "cancel_at": None, "cancel_at_period_end": False, "canceled_at": None,
        "cancellation_details": {"comment": None, "feedback": None, "feedback_option": None, "reason": None},
        "collection_method": "charge_automatically", "created": now, "currency": currency, "customer": customer,
        "customer_account": None, "days_until_due": None, "default_payment_method": None, "default_source": None,
        "default_tax_rates": [], "description": None, "discounts": [], "ended_at": None,
        "invoice_settings": {"account_tax_ids": None, "custom_fields": None, "description": None, "footer": None,
                             "issuer": {"type": "self"}},
        "items": {"object": "list", "data": [], "has_more": False, "total_count": 0, "url": ""}, "latest_invoice": None,
        "livemode": False, "managed_payments": {"enabled": False}, "metadata": {}, "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None, "pause_collection": None,
        "payment_settings": {"payment_method_options": None, "payment_method_types": None, "save_default_payment_method": "off"},
        "pending_invoice_item_interval": None, "pending_setup_intent": None, "pending_update": None, "schedule": None,
        "start_date": now, "status": "incomplete", "test_clock": None, "transfer_data": None, "trial_end": None,
        "trial_settings": {"end_behavior": {"billing_cycle_anchor": None, "missing_payment_method": "create_invoice"}},
        "trial_start": None}


def _trial_end(store, params):
    if "trial_end" in params and "trial_period_days" in params:
        raise invalid("You may only specify one of these parameters: trial_end, trial_period_days.", "trial_end")
    if "trial_period_days" in params:
        if not 1 <= params["trial_period_days"] <= 730:
            raise invalid("Invalid trial_period_days: must be between 1 and 730", "trial_period_days")
        return store.now() + params["trial_period_days"] * DAY
    end = params.get("trial_end")
    if end in (None, "now"):
        return None
    if end <= store.now():
        raise invalid("Invalid timestamp: must be in the future", "trial_end")
    return end


def _one_currency(store, customer, currency):
    """A customer with something running in one currency takes none in another."""
    others = {one["currency"] for one in store.all("subscription", customer=customer["id"]) if one["status"] not in ENDED}
    if others - {currency}:
        raise invalid(f"You cannot combine currencies on a single customer. This customer has an active subscription with currency "
                      f"{others.pop()}.", "currency")


def prepare(store, params):
    """A checked subscription with its items that is not yet in the books, and its first lines."""
    if "customer" not in params:
        raise invalid("Missing required param: customer.", "customer", "parameter_missing")
    customer = live_customer(store, params["customer"])
    entries, own_prices = params.get("items"), []
    if not entries:
        raise invalid("Missing required param: items.", "items", "parameter_missing")
    for i, entry in enumerate(entries):
        if "price_data" in entry and "price" not in entry:
            # A price of its own, which serves this subscription and no other.
            entry["price"] = create_price(store, {**entry["price_data"], "metadata": {}})["id"]
            own_prices.append(store.get("price", entry["price"], "items"))
        if "price" not in entry:
            raise invalid(f"Missing required param: items[{i}][price].", f"items[{i}][price]", "parameter_missing")
    currency = params.get("currency", "").lower() or store.get("price", entries[0]["price"], "items[0][price]")["currency"]
    prices = [changes.recurring_price(store, e["price"], currency, f"items[{i}][price]") for i, e in enumerate(entries)]
    _one_currency(store, customer, currency)
    made = _blank(store, customer["id"], currency)
    now, trial_end = store.now(), _trial_end(store, params)
    interval = changes.interval_of(prices[0])
    anchor = trial_end or params.get("billing_cycle_anchor") or now
    if not trial_end and not now <= anchor <= boundary(now, *interval, 1):
        raise invalid("billing_cycle_anchor must be in the future and within the first period", "billing_cycle_anchor")
    period = (now, anchor if anchor > now else boundary(anchor, *interval, 1))
    made["items"]["data"] = [changes.new_item(store, made["id"], p, e, period) for p, e in zip(prices, entries)]
    made["items"] |= {"total_count": len(prices), "url": f"/v1/subscription_items?subscription={made['id']}"}
    changes.check_items(made["items"]["data"])
    for price in own_prices:
        price["active"] = False
    made |= {**_collection(params, made), "billing_cycle_anchor": anchor, "description": params.get("description") or None,
             "metadata": merged_metadata({}, params), "invoice_settings": _invoice_settings(params, made["invoice_settings"]),
             "trial_settings": _trial_settings(params, made["trial_settings"])}
    if trial_end:
        made |= {"trial_start": now, "trial_end": trial_end}
    if params.get("default_payment_method"):
        owned_card(store, customer["id"], params["default_payment_method"], "default_payment_method")
        made["default_payment_method"] = params["default_payment_method"]
    invoices.needs_location(store, customer["id"], params.get("automatic_tax", {}).get("enabled"))
    if params.get("automatic_tax", {}).get("enabled"):
        made["automatic_tax"] |= {"enabled": True, "liability": {"type": "self"}}
    made |= _cancellation(store, params, made, period[1])
    return made, *_first_lines(store, params, made, period)


def _first_lines(store, params, made, period):
    items = made["items"]["data"]
    if made["trial_end"]:
        lines = [invoices.make_line(store, made, item, 0, period, "Trial period for " +
                                    store.tables["product"][item["price"]["product"]]["name"]) for item in items]
        return lines, {}
    lines, debits = changes.full_lines(store, made, items, period)
    if period[1] == made["billing_cycle_anchor"] and period[0] < period[1]:
        begin, end = period_at(made["billing_cycle_anchor"], *changes.interval_of(items[0]["price"]), period[0])
        for line, item in zip(lines, items):
            share = 0 if params.get("proration_behavior") == "none" else divide(line["amount"], end - period[0], end - begin)
            line |= {"amount": share, "subtotal": share}
            debits[item["id"]] = [[share, *period]]
    return lines, debits


def create_subscription(store, params):
    behavior = params.get("payment_behavior", "allow_incomplete")
    if behavior == "pending_if_incomplete":
        raise invalid("pending_if_incomplete can only be used when a subscription is updated.", "payment_behavior")
    made, lines, debits = prepare(store, params)
    charged = made["collection_method"] == "charge_automatically"
    owed = any(line["amount"] for line in lines)
    outcome = None
    if charged and owed and behavior != "default_incomplete":
        if payments.expected(store, made["customer"], payments.method_for(store, made)) == "none":
            raise invalid("This customer has no attached payment source or default payment method. Please consider adding a "
                          "default payment method.", code="resource_missing")
        if behavior == "error_if_incomplete":
            outcome = payments.refuse_unless_ok(store, made)
    invoice = open_subscription(store, made, lines, debits)
    if charged and invoice["status"] == "open" and behavior != "default_incomplete":
        payments.attempt(store, invoice, outcome=outcome)
    if made["status"] == "incomplete" and store.side[invoice["id"]]["processing"]:
        payments.move(store, made, store.settings.processing_status)
    return made


def open_subscription(store, made, lines, debits):
    """Into the books, with the first invoice: finalised at once where a card is charged, else a draft for an hour."""
    customer = store.tables["customer"][made["customer"]]
    customer["currency"] = customer["currency"] or made["currency"]
    made["status"] = "trialing" if made["trial_end"] else "active" if made["collection_method"] == "send_invoice" else "incomplete"
    store.add("subscription", made, debits=debits, pending_lines=[], pending=None)
    invoice = invoices.raise_invoice(store, made, lines, "subscription_create", changes.period_of(made))
    store.emit("customer.subscription.created", made)
    store.emit("invoice.created", invoice)
    plan_ahead(store, made)
    if made["status"] == "incomplete":
        store.schedule(store.now() + INCOMPLETE_SECONDS, "expire_incomplete", made["id"])
    invoices.advance(store, invoice, made["trial_end"] is not None or made["collection_method"] == "charge_automatically")
    return invoice


def plan_ahead(store, subscription):
    """Puts what time will bring on the list; what no longer applies then is passed over."""
    ident, (_, end) = subscription["id"], changes.period_of(subscription)
    if subscription["status"] == "trialing":
        store.schedule(max(store.now(), subscription["trial_end"] - 3 * DAY), "trial_will_end", ident)
        store.schedule(subscription["trial_end"], "trial_end", ident)
    else:
        store.schedule(end, "renew", ident)
    if subscription["cancel_at"]:
        store.schedule(subscription["cancel_at"], "cancel", ident)


# --- Update -----------------------------------------------------------------------------------------------------------

def update_subscription(store, params, ident):
    subscription = store.get("subscription", ident)
    asked = {name for name in params if name != "expand"}
    if subscription["status"] in ENDED and asked - {"metadata", "cancellation_details"}:
        raise invalid("A canceled subscription can only update its cancellation_details and metadata.")
    if subscription["status"] == "incomplete" and asked & {"items", "trial_end", "billing_cycle_anchor", "collection_method"}:
        raise invalid("The subscription is incomplete: its first invoice has to be paid before it can be changed.")
    behavior = params.get("payment_behavior", "allow_incomplete")
    if behavior == "pending_if_incomplete":
        if set(params) - PENDING_MAY:
            raise invalid("When `payment_behavior` is set to `pending_if_incomplete`, you can't pass "
                          + ", ".join(sorted(set(params) - PENDING_MAY)), sorted(set(params) - PENDING_MAY)[0])
        if subscription["collection_method"] != "charge_automatically":
            raise invalid("pending_if_incomplete is for subscriptions that are charged automatically.", "payment_behavior")
    if subscription["pending_update"] and asked & PENDING_MAY:
        drop_pending(store, subscription)
    fields, change, bill = plan_update(store, subscription, params)
    _apply_update(store, subscription, fields, change, bill, behavior)
    return subscription


def plan_update(store, subscription, params):
    """(fields to set, Change, whether it is billed at once) of the parameters of an update. Changes nothing."""
    items = changes.items_after(store, subscription, params.get("items"))
    at, behavior = params.get("proration_date", store.now()), params.get("proration_behavior", "create_prorations")
    start, end = changes.period_of(subscription)
    if not start <= at <= end:
        raise invalid("proration_date must be within the current period", "proration_date")
    ends_trial = params.get("trial_end") == "now" and subscription["status"] == "trialing"
    trialing = subscription["status"] == "trialing" and not ends_trial
    other = changes.interval_of(items[0]["price"]) != changes.interval_of(subscription["items"]["data"][0]["price"])
    reset = ends_trial or (not trialing and (other or params.get("billing_cycle_anchor", {}).get("type") == "now"))
    change = changes.compute(store, subscription, items, store.now() if reset else at, behavior, reset)
    fields = {**_collection(params, subscription), **_details(params, subscription),
              "metadata": merged_metadata(subscription["metadata"], params),
              "invoice_settings": _invoice_settings(params, subscription["invoice_settings"]),
              "trial_settings": _trial_settings(params, subscription["trial_settings"])}
    if reset:
        fields["billing_cycle_anchor"] = change.period[0]
    if ends_trial:
        fields |= {"trial_end": store.now(), "status": "active"}
    elif isinstance(params.get("trial_end"), int):
        fields |= _longer_trial(store, subscription, change, params["trial_end"], behavior)
    fields |= _cancellation(store, params, subscription, change.period[1])
    if reset and subscription["cancel_at_period_end"] and "cancel_at" not in fields:
        fields["cancel_at"] = change.period[1]
    if "cancel_at" in fields and "cancellation_details" not in fields:
        fields["cancellation_details"] = {**subscription["cancellation_details"], "reason": _cancellation_reason(fields)}
    fields |= _other_fields(store, subscription, params)
    return fields, change, reset or (behavior == "always_invoice" and bool(change.lines))


def _longer_trial(store, subscription, change, end, behavior):
    if end <= store.now():
        raise invalid("Invalid timestamp: must be in the future", "trial_end")
    if subscription["status"] != "trialing" and behavior != "none":
        change.lines += [line for line in changes.compute(store, subscription, change.items, store.now(), behavior, True).lines
                         if line["amount"] < 0]
        change.debits = {}
    change.period = (change.period[0], end)
    return {"trial_end": end, "trial_start": subscription["trial_start"] or store.now(), "status": "trialing",
            "billing_cycle_anchor": end}


def _other_fields(store, subscription, params):
    fields = {}
    if "description" in params:
        fields["description"] = params["description"] or None
    if "default_payment_method" in params:
        if params["default_payment_method"]:
            owned_card(store, subscription["customer"], params["default_payment_method"], "default_payment_method")
        fields["default_payment_method"] = params["default_payment_method"] or None
    if "automatic_tax" in params:
        enabled = params["automatic_tax"]["enabled"]
        invoices.needs_location(store, subscription["customer"], enabled)
        fields["automatic_tax"] = {"disabled_reason": None, "enabled": enabled, "liability": {"type": "self"} if enabled else None}
    if "pause_collection" in params:
        pause = params["pause_collection"]
        fields["pause_collection"] = {"behavior": pause["behavior"], "resumes_at": pause.get("resumes_at")} if pause else None
    return fields


def _apply_update(store, subscription, fields, change, bill, behavior):
    charged = bill and subscription["collection_method"] == "charge_automatically" and subscription["status"] != "unpaid"
    method = payments.method_for(store, {**subscription, **fields})
    outcome = None
    if charged and _due(store, subscription, change):
        if behavior == "error_if_incomplete":
            outcome = payments.refuse_unless_ok(store, {**subscription, **fields})
        elif behavior == "pending_if_incomplete":
            outcome = payments.expected(store, subscription["customer"], method, take=True)
            if outcome not in ("ok", "async"):
                hold_pending(store, subscription, fields, change, outcome)
                return
    invoice = None
    with store.change(subscription, "customer.subscription.updated"):
        put_change(store, subscription, fields, change)
        if bill:
            invoice = invoices.raise_invoice(store, subscription, change.lines, "subscription_update", change.period,
                                             subscription["status"] != "unpaid")
        else:
            store.side[subscription["id"]]["pending_lines"] += change.lines
    if "pause_collection" in fields and (fields["pause_collection"] or {}).get("resumes_at"):
        store.schedule(fields["pause_collection"]["resumes_at"], "resume_collection", subscription["id"])
    if invoice:
        store.emit("invoice.created", invoice)
        invoices.advance(store, invoice, charged)
        if charged and invoice["status"] == "open" and behavior != "default_incomplete":
            payments.attempt(store, invoice, outcome=outcome)


def _due(store, subscription, change):
    """What an invoice of the change would ask for at this moment; nothing is kept."""
    lines = copy.deepcopy(store.side[subscription["id"]]["pending_lines"] + change.lines)
    return invoices.make_invoice(store, subscription, lines, "subscription_update", change.period)["amount_due"]


def put_change(store, subscription, fields, change):
    items = [{**item, "current_period_start": change.period[0], "current_period_end": change.period[1]} for item in change.items]
    subscription |= {**fields, "items": {**subscription["items"], "data": items, "total_count": len(items)}}
    store.side[subscription["id"]]["debits"] = change.debits
    plan_ahead(store, subscription)


# --- Pending updates --------------------------------------------------------------------------------------------------

def hold_pending(store, subscription, fields, change, outcome):
    """The payment fails, so nothing changes: what was wanted waits for the invoice, 23 hours at most and within the period."""
    side = store.side[subscription["id"]]
    expires = min(store.now() + INCOMPLETE_SECONDS, changes.period_of(subscription)[1])
    fields = {name: fields[name] for name in ("billing_cycle_anchor", "trial_end", "status") if name in fields}
    with store.change(subscription, "customer.subscription.updated"):
        invoice = invoices.raise_invoice(store, subscription, change.lines, "subscription_update", change.period)
        subscription["pending_update"] = {
            "billing_cycle_anchor": fields.get("billing_cycle_anchor") if change.reset else None, "cancel_at_period_end": None,
            "discount": None, "discounts": None, "expires_at": expires, "metadata": None, "subscription_items": copy.deepcopy(change.items),
            "trial_end": None, "trial_from_plan": None}

    def apply():
        side["pending"] = None
        with store.change(subscription, "customer.subscription.updated"):
            put_change(store, subscription, fields, change)
            subscription["pending_update"] = None
        store.emit("customer.subscription.pending_update_applied", subscription)

    def drop():
        side["pending"] = None
        with store.change(subscription, "customer.subscription.updated"):
            subscription["pending_update"] = None
        store.emit("customer.subscription.pending_update_expired", subscription)

    side["pending"] = {"invoice": invoice["id"], "apply": apply, "drop": drop, "expires_at": expires}
    store.schedule(expires, "expire_pending", subscription["id"])
    store.emit("invoice.created", invoice)
    invoices.advance(store, invoice, True)
    payments.attempt(store, invoice, outcome=outcome)


def drop_pending(store, subscription):
    pending = store.side[subscription["id"]]["pending"]
    if pending:
        invoices.void(store, store.tables["invoice"][pending["invoice"]])


# --- Ends -------------------------------------------------------------------------------------------------------------

def cancel_subscription(store, params, ident):
    subscription = store.get("subscription", ident)
    if subscription["status"] in ENDED:
        raise no_such("subscription", ident)
    side, now = store.side[ident], store.now()
    if params.get("prorate"):
        change = changes.compute(store, subscription, subscription["items"]["data"], now, "create_prorations", True)
        side["pending_lines"] += [line for line in change.lines if line["amount"] < 0]
    subscription |= _details(params, subscription)
    if params.get("invoice_now") and side["pending_lines"]:
        invoice = invoices.raise_invoice(store, subscription, [], "subscription_update", changes.period_of(subscription))
        store.emit("invoice.created", invoice)
        invoices.advance(store, invoice, True)
        if invoice["status"] == "open" and invoice["collection_method"] == "charge_automatically":
            payments.attempt(store, invoice)
    end_now(store, subscription, "cancellation_requested")
    return subscription


def end_now(store, subscription, reason):
    if subscription["pending_update"]:
        drop_pending(store, subscription)
    now = store.now()
    subscription |= {"status": "canceled", "ended_at": now, "canceled_at": subscription["canceled_at"] or now,
                     "cancellation_details": {**subscription["cancellation_details"], "reason": reason}}
    store.side[subscription["id"]]["pending_lines"] = []
    for invoice in store.all("invoice", customer=subscription["customer"]):
        if invoice["status"] in ("draft", "open") and payments.subscription_of(store, invoice) is subscription:
            invoice |= {"auto_advance": False, "next_payment_attempt": None, "automatically_finalizes_at": None}
    store.emit("customer.subscription.deleted", subscription)


def resume_subscription(store, params, ident):
    """Out of paused: a new period begins, and is paid for, or nothing changes."""
    subscription = store.get("subscription", ident)
    if subscription["status"] != "paused":
        raise invalid("Only a paused subscription can be resumed.")
    if params.get("billing_cycle_anchor", {}).get("type", "now") != "now":
        raise invalid("The stand-in resumes with billing_cycle_anchor[type]=now only.", "billing_cycle_anchor[type]")
    change = changes.compute(store, subscription, subscription["items"]["data"], store.now(), "none", True)
    outcome = payments.refuse_unless_ok(store, subscription)
    with store.change(subscription, "customer.subscription.updated"):
        put_change(store, subscription, {"status": "active", "billing_cycle_anchor": store.now()}, change)
        invoice = invoices.raise_invoice(store, subscription, change.lines, "subscription_update", change.period)
    store.emit("customer.subscription.resumed", subscription)
    store.emit("invoice.created", invoice)
    invoices.advance(store, invoice, True)
    payments.attempt(store, invoice, outcome=outcome)
    return subscription


def list_subscriptions(store, params):
    """Without status: those that are not canceled."""
    status = params.get("status")
    shown = {None: lambda s: s != "canceled", "all": lambda s: True, "ended": lambda s: s in ENDED}.get(status, lambda s: s == status)
    things = [one for one in store.all("subscription") if shown(one["status"])
              and all(one[name] == params[name] for name in ("customer", "collection_method") if name in params)
              and params.get("price") in [None, *(item["price"]["id"] for item in one["items"]["data"])]
              and store.within(params, "created", one["created"])
              and store.within(params, "current_period_end", changes.period_of(one)[1])]
    return store.page(things, params, "/v1/subscriptions")


def total_of(store, made, items=None):
    """What a whole period costs before tax."""
    return sum(unit_amount(store, item["price"], made["currency"]) * item["quantity"] for item in items or made["items"]["data"])
