"""Checkout sessions and the billing portal: what the API shows, and what a person does on Stripe's own pages."""
from . import catalog, changes, payments, subscriptions
from .catalog import live_customer, merged_metadata
from .errors import invalid
from .periods import DAY

HALF_HOUR = 1800


class Refused(Exception):
    """Stripe's page shows a person why nothing has happened."""


# --- Sessions through the API -----------------------------------------------------------------------------------------

def create_session(store, params):
    _check(store, params)
    lines = params["line_items"]
    currency = params.get("currency", "").lower() or store.get("price", lines[0]["price"], "line_items[0][price]")["currency"]
    prices = [changes.recurring_price(store, line["price"], currency, f"line_items[{i}][price]") for i, line in enumerate(lines)]
    trial = _trial_end(store, params)
    total = 0 if trial else sum(catalog.unit_amount(store, p, currency) * line["quantity"] for p, line in zip(prices, lines))
    ident, now = store.new_id("checkout.session", 58), store.now()
    customer = params.get("customer")
    details = store.tables["customer"].get(customer, {"email": params.get("customer_email")})
    session = {
        "id": ident, "object": "checkout.session", "adaptive_pricing": None, "after_expiration": None,
        "allow_promotion_codes": params.get("allow_promotion_codes"), "allowed_payment_method_types": None, "amount_subtotal": total,
        "amount_total": total, "automatic_tax": {"enabled": params.get("automatic_tax", {}).get("enabled", False), "liability": None,
                                                 "provider": None, "status": None},
        "billing_address_collection": params.get("billing_address_collection"), "cancel_url": params.get("cancel_url"),
        "client_reference_id": params.get("client_reference_id"), "client_secret": None, "collected_information": None,
        "consent": None, "consent_collection": None, "created": now, "currency": currency, "currency_conversion": None,
        "custom_fields": [], "custom_text": {"after_submit": None, "shipping_address": None, "submit": None,
                                             "terms_of_service_acceptance": None},
        "customer": customer, "customer_account": None, "customer_creation": None if customer else "always",
        "customer_details": {"address": details.get("address"), "business_name": None, "email": details.get("email"),
                             "individual_name": None, "name": details.get("name"), "phone": None, "tax_exempt": "none",
                             "tax_ids": None}, "customer_email": params.get("customer_email"), "discounts": None,
        "expires_at": params.get("expires_at", now + DAY), "integration_identifier": None, "invoice": None, "invoice_creation": None,
        "livemode": False, "locale": params.get("locale"), "managed_payments": {"enabled": False},
        "metadata": merged_metadata({}, params), "mode": "subscription", "origin_context": None, "payment_intent": None,
        "payment_link": None, "payment_method_collection": params.get("payment_method_collection", "always"),
        "payment_method_configuration_details": None, "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card", "bacs_debit"], "payment_status": "unpaid", "permissions": None,
        "phone_number_collection": {"enabled": False}, "recovered_from": None, "saved_payment_method_options": None,
        "setup_intent": None, "shipping_address_collection": None, "shipping_cost": None, "shipping_options": [], "status": "open",
        "submit_type": None, "subscription": None, "success_url": params["success_url"],
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0}, "ui_mode": params.get("ui_mode", "hosted_page"),
        "url": f"https://checkout.stripe.com/c/pay/{ident}", "wallet_options": None}
    items = [_line_item(store, price, line, currency, bool(trial)) for price, line in zip(prices, lines)]
    store.add("checkout.session", session, params=params, trial=trial, line_items={
        "object": "list", "data": items, "has_more": False, "url": f"/v1/checkout/sessions/{ident}/line_items"})
    store.schedule(session["expires_at"], "expire_session", ident)
    return session


def _check(store, params):
    if params.get("mode") != "subscription":
        raise invalid("You must provide `mode`: the stand-in sells subscriptions only.", "mode", "parameter_missing")
    if not params.get("line_items"):
        raise invalid("You must provide line_items in `subscription` mode.", "line_items", "parameter_missing")
    if params.get("ui_mode", "hosted_page") != "hosted_page":
        raise invalid("The stand-in has hosted pages only.", "ui_mode")
    if "success_url" not in params:
        raise invalid("You must provide `success_url` for a hosted page.", "success_url", "parameter_missing")
    for name in ("success_url", "cancel_url"):
        if name in params and not params[name].startswith(("https://", "http://")):
            raise invalid("Not a valid URL", name, "url_invalid")
    if "customer" in params and "customer_email" in params:
        raise invalid("You may only specify one of these parameters: customer, customer_email.", "customer_email")
    for i, line in enumerate(params["line_items"]):
        if "price" not in line or line.get("quantity", 0) < 1:
            raise invalid("A line item needs a price and a quantity of 1 or more.", f"line_items[{i}]", "parameter_missing")
    if len(params.get("client_reference_id", "")) > 200:
        raise invalid("client_reference_id has up to 200 characters", "client_reference_id")
    if not HALF_HOUR <= params.get("expires_at", store.now() + DAY) - store.now() <= DAY:
        raise invalid("The `expires_at` timestamp must be between 30 minutes and 24 hours from now.", "expires_at")
    if "customer" in params:
        customer = live_customer(store, params["customer"])
        taxed = params.get("automatic_tax", {}).get("enabled")
        if taxed and not (customer["address"] or {}).get("country") and params.get("customer_update", {}).get("address") != "auto":
            raise invalid("Automatic tax calculation in Checkout requires a valid address on the Customer. Add a valid address to "
                          "the Customer or set either `customer_update[address]` to 'auto' or `customer_update[shipping]` to 'auto' "
                          "to save the address entered in Checkout to the Customer.", "automatic_tax",
                          "customer_tax_location_invalid")
    elif "customer_update" in params:
        raise invalid("`customer_update` can only be used with `customer`.", "customer_update")


def _trial_end(store, params):
    data = params.get("subscription_data", {})
    if "trial_end" in data and data["trial_end"] < store.now() + 2 * DAY:
        raise invalid("The trial end date has to be at least 2 days in the future.", "subscription_data[trial_end]")
    if "trial_period_days" in data and data["trial_period_days"] < 1:
        raise invalid("Trial periods have at least one day.", "subscription_data[trial_period_days]")
    return "trial_end" in data or "trial_period_days" in data


def _line_item(store, price, line, currency, trial):
    amount = 0 if trial else catalog.unit_amount(store, price, currency) * line["quantity"]
    adjustable = line.get("adjustable_quantity")
    return {"id": store.new_id("item"), "object": "item", "amount_discount": 0, "amount_subtotal": amount, "amount_tax": 0,
            "amount_total": amount, "currency": currency, "description": store.tables["product"][price["product"]]["name"],
            "adjustable_quantity": adjustable and {"maximum": None, "minimum": None, **adjustable},
            "metadata": merged_metadata({}, line), "price": price, "quantity": line["quantity"]}


def list_line_items(store, params, ident):
    store.get("checkout.session", ident)
    return store.page(store.side[ident]["line_items"]["data"], params, f"/v1/checkout/sessions/{ident}/line_items")


def expire_session(store, _params, ident):
    session = store.get("checkout.session", ident)
    if session["status"] != "open":
        raise invalid(f"Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session has a status of "
                      f"`{session['status']}`.")
    session |= {"status": "expired", "url": None}
    store.emit("checkout.session.expired", session)
    return session


def expire_when_due(store, ident):
    if store.tables["checkout.session"][ident]["status"] == "open":
        expire_session(store, {}, ident)


# --- What a person does on the page -----------------------------------------------------------------------------------

def complete(store, ident, card="ok", quantity=None, country="GB"):
    """Fills in the page and presses the button. card: ok, declines, requires_action, async, or None for no card. -> the
    session; Refused when the page says no, and then nothing has changed but the attempt."""
    session, side = store.get("checkout.session", ident), store.side[ident]
    if session["status"] != "open":
        raise Refused(f"this page is {session['status']}")
    if card is None and not (side["trial"] and session["payment_method_collection"] == "if_required"):
        raise Refused("a card is asked for")
    if card in ("declines", "requires_action"):
        raise Refused({"declines": "Your card was declined.", "requires_action": "Your bank did not authenticate you."}[card])
    params = side["params"]
    customer = _customer(store, session, params, country)
    lines = _bought(params, quantity)
    method = catalog.attach_card(store, customer, card)["id"] if card else None
    data = params.get("subscription_data", {})
    wanted = {"customer": customer["id"], "currency": session["currency"],
              "items": [{name: line[name] for name in ("price", "quantity") if name in line} for line in lines],
              **{name: data[name] for name in ("metadata", "description", "trial_period_days", "trial_end", "trial_settings")
                 if name in data}, **{name: params[name] for name in ("automatic_tax",) if name in params}}
    made, first, debits = subscriptions.prepare(store, wanted)
    made["default_payment_method"] = method
    invoice = subscriptions.open_subscription(store, made, first, debits)
    if invoice["status"] == "open":
        payments.attempt(store, invoice, method)
    if made["status"] == "incomplete":
        payments.move(store, made, store.settings.processing_status)
    for shown, item in zip(side["line_items"]["data"], made["items"]["data"]):
        shown["quantity"] = item["quantity"]
    _total_lines(side["line_items"]["data"], invoice)
    waiting = bool(store.side[invoice["id"]]["processing"])
    tax = invoice["total"] - invoice["subtotal"]
    session |= {"status": "complete", "url": None, "subscription": made["id"], "invoice": invoice["id"], "customer": customer["id"],
                "payment_status": "unpaid" if waiting else "paid" if invoice["amount_paid"] else "no_payment_required",
                "amount_subtotal": invoice["subtotal"], "amount_total": invoice["total"],
                "total_details": {**session["total_details"], "amount_tax": tax}}
    session["customer_details"] |= {"address": customer["address"], "email": customer["email"]}
    if session["automatic_tax"]["enabled"]:
        session["automatic_tax"] |= {"status": "complete", "provider": "stripe", "liability": {"type": "self"}}
    store.emit("checkout.session.completed", session)
    return session


def _total_lines(shown_lines, invoice):
    """The session's lines say what the invoice said."""
    for shown, line in zip(shown_lines, invoice["lines"]["data"]):
        tax = sum(one["amount"] for one in line["taxes"])
        added = sum(one["amount"] for one in line["taxes"] if one["tax_behavior"] == "exclusive")
        shown |= {"amount_subtotal": line["amount"], "amount_tax": tax, "amount_total": line["amount"] + added}


def _customer(store, session, params, country):
    entered = {"country": country, "line1": "1 High Street", "city": "Leeds", "postal_code": "LS1 1AA"}
    if not session["customer"]:
        email = session["customer_email"] or "entered@checkout.example"
        return catalog.create_customer(store, {"email": email, "address": entered})
    customer = live_customer(store, session["customer"])
    if params.get("customer_update", {}).get("address") == "auto":
        catalog.update_customer(store, {"address": entered}, customer["id"])
    return customer


def _bought(params, quantity):
    """The lines, with the quantity a person chose where it may be chosen."""
    lines = [dict(line) for line in params["line_items"]]
    if quantity is not None:
        chosen = lines[0].get("adjustable_quantity", {})
        if not chosen.get("enabled") or not chosen.get("minimum", 0) <= quantity <= chosen.get("maximum", 99):
            raise Refused("this quantity cannot be chosen")
        lines[0]["quantity"] = quantity
    return lines


def settle_async(store, ident, ok):
    """The bank debit of a completed session comes in, or not."""
    session = store.get("checkout.session", ident)
    payments.settle(store, store.tables["invoice"][session["invoice"]], ok)
    if ok:
        session["payment_status"] = "paid"
    store.emit("checkout.session.async_payment_" + ("succeeded" if ok else "failed"), session)
    return session


# --- Billing portal ---------------------------------------------------------------------------------------------------

def create_portal(store, params):
    if "customer" not in params:
        raise invalid("Missing required param: customer.", "customer", "parameter_missing")
    customer = live_customer(store, params["customer"])
    flow = params.get("flow_data")
    for name in ("subscription_cancel", "subscription_update"):
        if flow and flow["type"] == name and "subscription" not in flow.get(name, {}):
            raise invalid(f"Missing required param: flow_data[{name}].", f"flow_data[{name}]", "parameter_missing")
        if flow and flow.get(name):
            owner = store.get("subscription", flow[name]["subscription"], f"flow_data[{name}][subscription]")["customer"]
            if owner != customer["id"]:
                raise invalid("The subscription belongs to another customer.", f"flow_data[{name}][subscription]")
    ident = store.new_id("billing_portal.session")
    session = {"id": ident, "object": "billing_portal.session", "configuration": params.get("configuration", "bpc_standin"),
               "created": store.now(), "customer": customer["id"], "customer_account": None, "flow": flow and _flow(flow),
               "livemode": False, "locale": params.get("locale"), "on_behalf_of": None, "return_url": params.get("return_url"),
               "url": f"https://billing.stripe.com/p/session/{ident}"}
    store.add("billing_portal.session", session)
    store.emit("billing_portal.session.created", session)
    return session


def _flow(flow):
    after = flow.get("after_completion", {"type": "portal_homepage"})
    shown = {"after_completion": {"hosted_confirmation": None, "redirect": after.get("redirect"), "type": after["type"]},
             "customer_update": None, "subscription_cancel": None, "subscription_pause": None, "subscription_update": None,
             "subscription_update_confirm": None, "type": flow["type"]}
    if "subscription_cancel" in flow:
        shown["subscription_cancel"] = {"retention": None, "subscription": flow["subscription_cancel"]["subscription"]}
    if "subscription_update" in flow:
        shown["subscription_update"] = {"subscription": flow["subscription_update"]["subscription"]}
    return shown


def portal_cancel(store, ident):
    """Since 2025-09-30.clover the portal sets cancel_at and leaves cancel_at_period_end false."""
    subscription = store.get("subscription", ident)
    return subscriptions.update_subscription(store, {"cancel_at": changes.period_of(subscription)[1]}, ident)


def portal_undo_cancel(store, ident):
    return subscriptions.update_subscription(store, {"cancel_at": ""}, ident)


def portal_change(store, ident, quantity=None, price=None):
    item = store.get("subscription", ident)["items"]["data"][0]
    entry = {"id": item["id"], **({"quantity": quantity} if quantity is not None else {}), **({"price": price} if price else {})}
    return subscriptions.update_subscription(store, {"items": [entry], "proration_behavior": "always_invoice"}, ident)


def portal_update_card(store, customer_id, card="ok"):
    """A new default card, of the customer and of what is running."""
    customer = live_customer(store, customer_id)
    method = catalog.attach_card(store, customer, card)
    catalog.update_customer(store, {"invoice_settings": {"default_payment_method": method["id"]}}, customer_id)
    for subscription in store.all("subscription", customer=customer_id):
        if subscription["status"] not in subscriptions.ENDED and subscription["default_payment_method"]:
            with store.change(subscription, "customer.subscription.updated"):
                subscription["default_payment_method"] = method["id"]
    return method


def hosted_pay(store, ident, card="ok"):
    """A person pays an invoice on its hosted page, with a card entered there."""
    invoice = store.get("invoice", ident)
    if invoice["status"] not in ("open", "uncollectible"):
        raise Refused(f"this invoice is {invoice['status']}")
    method = catalog.attach_card(store, live_customer(store, invoice["customer"]), card)
    return payments.attempt(store, invoice, method["id"])


def authenticate(store, ident, ok=True):
    """A person answers the bank's question on an invoice that waits for it."""
    invoice = store.get("invoice", ident)
    if invoice["status"] != "open":
        raise Refused(f"this invoice is {invoice['status']}")
    return payments.attempt(store, invoice, outcome="ok" if ok else "declines")
