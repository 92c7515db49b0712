"""Invoices: lines, totals, tax and credit balance; drafts, finalisation, void, uncollectible; previews are in previews.py."""
from . import payments
from .catalog import custom_fields, live_customer, merged_metadata, taken, unit_amount
from .errors import invalid
from .periods import DAY, divide

EMPTY_TAX = {"disabled_reason": None, "enabled": False, "liability": None, "provider": None, "status": None}


# --- Lines and totals -------------------------------------------------------------------------------------------------

def make_line(store, subscription, item, amount, period, description, proration=False):
    price, quantity = item["price"], item["quantity"]
    return {"id": store.new_id("line_item"), "object": "line_item", "amount": amount, "currency": subscription["currency"],
            "description": description, "discount_amounts": [], "discountable": not proration, "discounts": [], "invoice": None,
            "livemode": False, "metadata": dict(item["metadata"]),
            "parent": {"type": "subscription_item_details", "invoice_item_details": None, "subscription_item_details": {
                "invoice_item": store.new_id("invoice_item") if proration else None, "proration": proration,
                "proration_details": {"credited_items": None}, "subscription": subscription["id"], "subscription_item": item["id"]}},
            "period": {"start": period[0], "end": period[1]}, "pretax_credit_amounts": [],
            "pricing": {"type": "price_details", "price_details": {"price": price["id"], "product": price["product"]},
                        "unit_amount_decimal": str(unit_amount(store, price, subscription["currency"]))},
            "quantity": quantity, "quantity_decimal": str(quantity), "subscription": subscription["id"], "subtotal": amount,
            "taxes": []}


def _tax_lines(store, invoice, customer):
    """Tax on each line where automatic tax is on: what stands in a price may include it or not."""
    percent = store.settings.tax_percent if customer.get("tax_exempt", "none") == "none" else 0
    for line in invoice["lines"]["data"]:
        price = store.tables["price"][line["pricing"]["price_details"]["price"]]
        inclusive = price["tax_behavior"] == "inclusive"
        tax = divide(line["amount"], percent, 100 + percent if inclusive else 100)
        line["taxes"] = [{"amount": tax, "tax_behavior": "inclusive" if inclusive else "exclusive", "tax_rate_details": None,
                          "taxability_reason": "standard_rated" if percent else "customer_exempt",
                          "taxable_amount": line["amount"] - (tax if inclusive else 0), "type": "tax_rate_details"}]


def sum_up(store, invoice, customer):
    """Totals of a draft; what the customer's balance takes from it is settled when it is finalised."""
    lines = invoice["lines"]["data"]
    if invoice["automatic_tax"]["enabled"]:
        _tax_lines(store, invoice, customer)
        invoice["automatic_tax"] |= {"status": "complete", "provider": "stripe"}
    taxes = {}
    for line in lines:
        for tax in line["taxes"]:
            kept = taxes.setdefault((tax["tax_behavior"], tax["taxability_reason"]), {**tax, "amount": 0, "taxable_amount": 0})
            kept["amount"] += tax["amount"]
            kept["taxable_amount"] += tax["taxable_amount"]
    subtotal = sum(line["amount"] for line in lines)
    exclusive = sum(t["amount"] for t in taxes.values() if t["tax_behavior"] == "exclusive")
    inclusive = sum(t["amount"] for t in taxes.values() if t["tax_behavior"] == "inclusive")
    balance = customer.get("balance", 0)
    due = max(0, subtotal + exclusive + balance)
    invoice |= {"subtotal": subtotal, "subtotal_excluding_tax": subtotal - inclusive, "total": subtotal + exclusive,
                "total_excluding_tax": subtotal - inclusive, "total_taxes": list(taxes.values()), "starting_balance": balance,
                "amount_due": due, "amount_remaining": due}
    invoice["lines"]["total_count"] = len(lines)
    return invoice


def make_invoice(store, subscription, lines, reason, period):
    """A draft that nobody has seen yet."""
    customer = store.tables["customer"][subscription["customer"]]
    settings, defaults = subscription["invoice_settings"], customer.get("invoice_settings", {})
    ident, now = store.new_id("invoice"), store.now()
    invoice = {
        "id": ident, "object": "invoice", "account_country": "GB", "account_name": "Overread", "account_tax_ids": None,
        "amount_due": 0, "amount_overpaid": 0, "amount_paid": 0, "amount_remaining": 0, "amount_shipping": 0, "application": None,
        "attempt_count": 0, "attempted": False, "auto_advance": True,
        "automatic_tax": {**EMPTY_TAX, "enabled": subscription["automatic_tax"]["enabled"],
                          "liability": subscription["automatic_tax"]["liability"]},
        "automatically_finalizes_at": None, "billing_reason": reason, "collection_method": subscription["collection_method"],
        "created": now, "currency": subscription["currency"],
        "custom_fields": settings["custom_fields"] or defaults.get("custom_fields"), "customer": subscription["customer"],
        "customer_account": None, "customer_address": customer.get("address"), "customer_email": customer.get("email"),
        "customer_name": customer.get("name"), "customer_phone": customer.get("phone"), "customer_shipping": None,
        "customer_tax_exempt": customer.get("tax_exempt"), "customer_tax_ids": [], "default_payment_method": None,
        "default_source": None, "default_tax_rates": [], "description": settings["description"], "discounts": [],
        "due_date": now + subscription["days_until_due"] * DAY if subscription["collection_method"] == "send_invoice" else None,
        "effective_at": None, "ending_balance": None, "footer": settings["footer"] or defaults.get("footer"),
        "from_invoice": None, "hosted_invoice_url": None, "invoice_pdf": None, "issuer": {"type": "self"},
        "last_finalization_error": None, "latest_revision": None,
        "lines": {"object": "list", "data": lines, "has_more": False, "total_count": len(lines), "url": f"/v1/invoices/{ident}/lines"},
        "livemode": False, "metadata": {}, "next_payment_attempt": None, "number": None, "on_behalf_of": None,
        "parent": {"type": "subscription_details", "quote_details": None,
                   "subscription_details": {"metadata": dict(subscription["metadata"]), "subscription": subscription["id"]}},
        "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        "period_end": period[1], "period_start": period[0], "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0, "receipt_number": None, "rendering": None, "shipping_cost": None,
        "shipping_details": None, "starting_balance": 0, "statement_descriptor": None, "status": "draft",
        "status_transitions": {"finalized_at": None, "marked_uncollectible_at": None, "paid_at": None, "voided_at": None},
        "subtotal": 0, "subtotal_excluding_tax": 0, "test_clock": None, "total": 0, "total_discount_amounts": [],
        "total_excluding_tax": 0, "total_pretax_credit_amounts": [], "total_taxes": [], "webhooks_delivered_at": now}
    for line in lines:
        line["invoice"] = ident
    return sum_up(store, invoice, customer)


# --- From draft to open -----------------------------------------------------------------------------------------------

def raise_invoice(store, subscription, lines, reason, period, auto_advance=True):
    """A draft in the books, with what was pending; the caller announces the subscription's change and then says advance()."""
    pending = store.side[subscription["id"]]["pending_lines"]
    invoice = make_invoice(store, subscription, pending + lines, reason, period)
    store.side[subscription["id"]]["pending_lines"] = []
    invoice["auto_advance"] = auto_advance
    subscription["latest_invoice"] = invoice["id"]
    return store.add("invoice", invoice, processing=None)


def advance(store, invoice, at_once):
    """at_once: finalised; else a draft for an hour, if it goes on by itself at all."""
    if at_once:
        finalize(store, invoice)
    elif invoice["auto_advance"]:
        invoice["automatically_finalizes_at"] = store.now() + store.settings.draft_seconds
        store.schedule(invoice["automatically_finalizes_at"], "finalize", invoice["id"])


def finalize(store, invoice):
    customer = store.tables["customer"][invoice["customer"]]
    if not customer.get("deleted"):
        sum_up(store, invoice, customer)
        number = customer["next_invoice_sequence"]
        customer["next_invoice_sequence"] = number + 1
        with store.change(customer, "customer.updated"):
            customer["balance"] = min(0, invoice["total"] + customer["balance"])
        invoice |= {"number": f"{customer['invoice_prefix']}-{number:04d}", "ending_balance": customer["balance"]}
    invoice |= {"status": "open", "effective_at": store.now(), "automatically_finalizes_at": None,
                "hosted_invoice_url": f"https://invoice.stripe.com/i/acct_standin/{invoice['id']}",
                "invoice_pdf": f"https://pay.stripe.com/invoice/acct_standin/{invoice['id']}/pdf"}
    invoice["status_transitions"]["finalized_at"] = store.now()
    if invoice["amount_due"]:
        payments.open_payment(store, invoice)
    store.emit("invoice.finalized", invoice)
    if not invoice["amount_due"]:
        payments.mark_paid(store, invoice)
    elif invoice["due_date"]:
        store.schedule(max(invoice["due_date"], store.now()), "overdue", invoice["id"])
        if invoice["auto_advance"]:
            store.emit("invoice.sent", invoice)


def finalize_when_due(store, ident):
    invoice = store.tables["invoice"].get(ident)
    if not invoice or invoice["status"] != "draft" or not invoice["auto_advance"] or invoice["automatically_finalizes_at"] is None:
        return
    finalize(store, invoice)
    if invoice["status"] == "open" and invoice["collection_method"] == "charge_automatically":
        payments.attempt(store, invoice)


# --- Operations -------------------------------------------------------------------------------------------------------

def list_invoices(store, params):
    def subscription(invoice):
        return invoice["parent"]["subscription_details"]["subscription"]
    things = [one for one in store.all("invoice")
              if all(one[name] == params[name] for name in ("customer", "status", "collection_method") if name in params)
              and params.get("subscription") in (None, subscription(one))
              and store.within(params, "created", one["created"]) and store.within(params, "due_date", one["due_date"])]
    return store.page(things, params, "/v1/invoices")


def list_lines(store, params, ident):
    return store.page(store.get("invoice", ident)["lines"]["data"], params, f"/v1/invoices/{ident}/lines")


def update_invoice(store, params, ident):
    """Once finalised an invoice keeps what it says; metadata may change, auto_advance too."""
    invoice = store.get("invoice", ident)
    for name in ("custom_fields", "description", "footer", "days_until_due", "due_date"):
        if name in params and invoice["status"] != "draft":
            raise invalid(f"Finalized invoices can't be updated in this way: {name}", name, "invoice_not_editable")
    if ("days_until_due" in params or "due_date" in params) and invoice["collection_method"] != "send_invoice":
        raise invalid("due_date and days_until_due are for invoices that are sent", "due_date")
    with store.change(invoice, "invoice.updated"):
        invoice |= {**taken(params, "description", "footer", "due_date", "auto_advance"),
                    "metadata": merged_metadata(invoice["metadata"], params)}
        if "custom_fields" in params:
            invoice["custom_fields"] = custom_fields(params["custom_fields"], "custom_fields")
        if "days_until_due" in params:
            invoice["due_date"] = invoice["created"] + params["days_until_due"] * DAY
        if "auto_advance" in params and invoice["status"] == "draft":
            moment = store.now() + store.settings.draft_seconds if params["auto_advance"] else None
            invoice["automatically_finalizes_at"] = moment
            if moment:
                store.schedule(moment, "finalize", ident)
    return invoice


def finalize_invoice(store, params, ident):
    invoice = store.get("invoice", ident)
    if invoice["status"] != "draft":
        raise invalid("This invoice is already finalized, you can't re-finalize a non-draft invoice.", code="invoice_not_editable")
    invoice["auto_advance"] = params.get("auto_advance", invoice["auto_advance"])
    finalize(store, invoice)
    if invoice["status"] == "open" and invoice["auto_advance"] and invoice["collection_method"] == "charge_automatically":
        invoice["next_payment_attempt"] = store.now() + store.settings.draft_seconds
        store.schedule(invoice["next_payment_attempt"], "retry", ident)
    return invoice


def pay_invoice(store, params, ident):
    invoice = store.get("invoice", ident)
    if invoice["status"] == "paid":
        raise invalid("Invoice is already paid", code="invoice_already_paid")
    if invoice["status"] == "void":
        raise invalid("You cannot pay a void invoice.", code="invoice_not_payable")
    if invoice["status"] == "draft":
        finalize(store, invoice)
    if "payment_method" in params:
        store.get("payment_method", params["payment_method"], "payment_method")
    if invoice["status"] != "paid":
        if params.get("paid_out_of_band"):
            payments.mark_paid(store, invoice, out_of_band=True)
        else:
            payments.attempt_or_raise(store, invoice, params.get("payment_method"))
    return invoice


def send_invoice(store, _params, ident):
    invoice = store.get("invoice", ident)
    if invoice["collection_method"] != "send_invoice":
        raise invalid("You can only manually send an invoice if its collection method is 'send_invoice'.")
    if invoice["status"] == "draft":
        finalize(store, invoice)
    if invoice["status"] == "open":
        store.emit("invoice.sent", invoice)
    return invoice


def void_invoice(store, _params, ident):
    invoice = store.get("invoice", ident)
    if invoice["status"] not in ("open", "uncollectible"):
        raise invalid(f"You can only void an invoice that is open or uncollectible: it is {invoice['status']}",
                      code="invoice_not_editable")
    void(store, invoice)
    return invoice


def void(store, invoice):
    """What was taken from the customer's balance goes back."""
    customer = store.tables["customer"][invoice["customer"]]
    if not customer.get("deleted") and invoice["ending_balance"] is not None:
        with store.change(customer, "customer.updated"):
            customer["balance"] += invoice["starting_balance"] - invoice["ending_balance"]
    _close(store, invoice, "void", "voided_at", "invoice.voided")
    for payment in store.all("invoice_payment", invoice=invoice["id"], status="open"):
        payment["status"] = "canceled"
        payment["status_transitions"]["canceled_at"] = store.now()
    payments.after_closing(store, invoice)


def mark_uncollectible(store, _params, ident):
    invoice = store.get("invoice", ident)
    if invoice["status"] != "open":
        raise invalid("Only an open invoice can be marked uncollectible.", code="invoice_not_editable")
    invoice["status_details"] = {"uncollectible": {"reason": "user_forgiven"}}
    _close(store, invoice, "uncollectible", "marked_uncollectible_at", "invoice.marked_uncollectible")
    payments.after_closing(store, invoice)
    return invoice


def _close(store, invoice, status, moment, kind):
    with store.change(invoice, "invoice.updated"):
        invoice |= {"status": status, "next_payment_attempt": None, "auto_advance": False,
                    "status_transitions": {**invoice["status_transitions"], moment: store.now()}}
    store.emit(kind, invoice)


def list_payments(store, params):
    payment = params.get("payment", {})
    things = [one for one in store.all("invoice_payment")
              if all(one[name] == params[name] for name in ("invoice", "status") if name in params)
              and all(one["payment"].get(name) == payment[name] for name in payment)]
    return store.page(things, params, "/v1/invoice_payments")


def needs_location(store, customer_id, enabled, param="automatic_tax"):
    """Stripe computes no tax for a customer of whom it knows no place."""
    if enabled and not (live_customer(store, customer_id).get("address") or {}).get("country"):
        raise invalid("The customer's location isn't recognized. Set a valid customer address in order to automatically "
                      "calculate tax.", param, "customer_tax_location_invalid")
