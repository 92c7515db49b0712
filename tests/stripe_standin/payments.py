"""Attempts to collect an invoice, and what becomes of its subscription."""
from .errors import declined, invalid, needs_action
from .periods import DAY


def subscription_of(store, invoice):
    return store.tables["subscription"][invoice["parent"]["subscription_details"]["subscription"]]


def open_payment(store, invoice):
    intent = store.new_id("payment_intent")
    store.side[invoice["id"]]["intent"] = intent
    payment = {"id": store.new_id("invoice_payment"), "object": "invoice_payment", "amount_paid": None,
               "amount_requested": invoice["amount_due"], "created": store.now(), "currency": invoice["currency"],
               "invoice": invoice["id"], "is_default": True, "livemode": False,
               "payment": {"type": "payment_intent", "payment_intent": intent}, "status": "open",
               "status_transitions": {"canceled_at": None, "paid_at": None}}
    store.add("invoice_payment", payment)


# --- Which card, and what it will say ---------------------------------------------------------------------------------

def method_for(store, subscription):
    """The id of what is charged, or None."""
    customer = store.tables["customer"][subscription["customer"]]
    return subscription["default_payment_method"] or customer.get("invoice_settings", {}).get("default_payment_method")


def expected(store, customer, method, take=False):
    """ok, declines, requires_action, async or none: what a test wants next of that customer, else the card's own way."""
    waiting = store.side.get(customer, {}).get("outcomes")
    if waiting:
        return waiting.pop(0) if take else waiting[0]
    return store.side[method]["behaviour"] if method in store.tables["payment_method"] else "none"


def refuse_unless_ok(store, subscription):
    """error_if_incomplete: 402 before anything has changed."""
    outcome = expected(store, subscription["customer"], method_for(store, subscription), take=True)
    if outcome in ("declines", "none"):
        raise declined()
    if outcome == "requires_action":
        raise needs_action()
    return outcome


# --- Attempts ---------------------------------------------------------------------------------------------------------

def attempt(store, invoice, method=None, outcome=None):
    """Tries to collect an open invoice: paid, processing, or failed for the reason that is returned."""
    method = method or method_for(store, subscription_of(store, invoice))
    outcome = outcome or expected(store, invoice["customer"], method, take=True)
    with store.change(invoice, "invoice.updated"):
        invoice |= {"attempted": True, "attempt_count": invoice["attempt_count"] + 1, "next_payment_attempt": None}
    if outcome == "ok":
        mark_paid(store, invoice, method)
        return "paid"
    if outcome == "async":
        store.side[invoice["id"]]["processing"] = method
        return "processing"
    note_failure(store, invoice, outcome)
    return outcome


def attempt_or_raise(store, invoice, method=None):
    outcome = attempt(store, invoice, method)
    if outcome == "requires_action":
        raise needs_action()
    if outcome == "none":
        raise invalid("There is no `default_payment_method` set on this Customer or Invoice. Please set one before paying.",
                      code="invoice_no_payment_method")
    if outcome == "declines":
        raise declined()


def settle(store, invoice, ok):
    """The bank has spoken on a debit that was on its way."""
    method, store.side[invoice["id"]]["processing"] = store.side[invoice["id"]]["processing"], None
    if ok:
        mark_paid(store, invoice, method)
    else:
        note_failure(store, invoice, "declines")


def mark_paid(store, invoice, method=None, out_of_band=False):
    amount, now = invoice["amount_due"], store.now()
    with store.change(invoice, "invoice.updated"):
        invoice |= {"status": "paid", "amount_paid": amount, "amount_remaining": 0, "attempted": True, "auto_advance": False,
                    "next_payment_attempt": None, "status_transitions": {**invoice["status_transitions"], "paid_at": now}}
        if out_of_band:
            invoice |= {"amount_paid_off_stripe": amount}
    payment = next(iter(store.all("invoice_payment", invoice=invoice["id"], status="open")), None)
    if payment:
        payment |= {"status": "paid", "amount_paid": amount, "status_transitions": {"canceled_at": None, "paid_at": now}}
        if out_of_band:
            payment["payment"] = {"type": "payment_record", "payment_record": "pr_" + payment["id"][6:]}
        else:
            _charge(store, invoice, method)
    store.emit("invoice.paid", invoice)
    store.emit("invoice.payment_succeeded", invoice)
    if payment:
        store.emit("invoice_payment.paid", payment)
    after_payment(store, invoice)


def _charge(store, invoice, method):
    store.charges.append({
        "id": store.new_id("charge"), "object": "charge", "amount": invoice["amount_due"], "amount_refunded": 0,
        "created": store.now(), "currency": invoice["currency"], "customer": invoice["customer"], "disputed": False,
        "invoice": invoice["id"], "livemode": False, "metadata": {}, "paid": True, "payment_intent": store.side[invoice["id"]]["intent"],
        "payment_method": method, "refunded": False, "status": "succeeded", "request": dict(store.request)})


def note_failure(store, invoice, outcome):
    """outcome: declines, requires_action or none (no card)."""
    subscription = subscription_of(store, invoice)
    pending = store.side[subscription["id"]].get("pending")
    held = pending and pending["invoice"] == invoice["id"]
    first = invoice["billing_reason"] == "subscription_create" and subscription["status"] == "incomplete"
    days = store.settings.retry_days
    again = invoice["auto_advance"] and not held and not first and invoice["attempt_count"] <= len(days)
    if again:
        with store.change(invoice, "invoice.updated"):
            invoice["next_payment_attempt"] = store.now() + days[invoice["attempt_count"] - 1] * DAY
        store.schedule(invoice["next_payment_attempt"], "retry", invoice["id"])
    store.emit("invoice.payment_failed", invoice)
    if outcome == "requires_action":
        store.emit("invoice.payment_action_required", invoice)
    if held or first:
        return
    if subscription["status"] in ("active", "trialing"):
        move(store, subscription, "past_due")
    if not again and invoice["auto_advance"]:
        give_up(store, invoice)


def retry_when_due(store, ident):
    invoice = store.tables["invoice"][ident]
    if invoice["status"] == "open" and invoice["next_payment_attempt"] == store.now():
        attempt(store, invoice)


def overdue_when_due(store, ident):
    invoice = store.tables["invoice"][ident]
    if invoice["status"] != "open" or store.side[ident].get("overdue"):
        return
    store.side[ident]["overdue"] = True
    store.emit("invoice.overdue", invoice)
    subscription = subscription_of(store, invoice)
    if subscription["status"] == "active":
        move(store, subscription, "past_due")
    store.schedule(store.now() + store.settings.overdue_days * DAY, "give_up", ident)


def give_up_when_due(store, ident):
    if store.tables["invoice"][ident]["status"] == "open":
        give_up(store, store.tables["invoice"][ident])


def give_up(store, invoice):
    """After the last attempt: as the account's settings say."""
    subscription = subscription_of(store, invoice)
    if subscription["status"] != "past_due" or store.settings.after_dunning == "past_due":
        return
    with store.change(invoice, "invoice.updated"):
        invoice["auto_advance"] = False
    if store.settings.after_dunning == "cancel":
        from .subscriptions import end_now
        end_now(store, subscription, "payment_failed")
    else:
        move(store, subscription, "unpaid")


# --- What follows for the subscription --------------------------------------------------------------------------------

def move(store, subscription, status):
    with store.change(subscription, "customer.subscription.updated"):
        subscription["status"] = status


def after_payment(store, invoice):
    subscription = subscription_of(store, invoice)
    side = store.side[subscription["id"]]
    if side.get("pending") and side["pending"]["invoice"] == invoice["id"]:
        side["pending"]["apply"]()
        return
    if subscription["status"] == "incomplete" and invoice["id"] == subscription["latest_invoice"]:
        move(store, subscription, "active")
    else:
        recover(store, subscription)


def after_closing(store, invoice):
    """Void or uncollectible: nothing is owed any more."""
    subscription = subscription_of(store, invoice)
    pending = store.side[subscription["id"]].get("pending")
    if pending and pending["invoice"] == invoice["id"]:
        pending["drop"]()
    elif subscription["status"] == "past_due":
        recover(store, subscription)


def recover(store, subscription):
    """Active again once nothing is in arrears; of an unpaid one the latest invoice decides."""
    if subscription["status"] == "unpaid":
        latest = store.tables["invoice"][subscription["latest_invoice"]]
        if latest["status"] == "paid":
            move(store, subscription, "active")
    elif subscription["status"] == "past_due":
        owed = [one for one in store.all("invoice", customer=subscription["customer"], status="open")
                if subscription_of(store, one) is subscription and (one["attempted"] or store.side[one["id"]].get("overdue"))
                and not store.side[one["id"]].get("processing")]
        if not owed:
            move(store, subscription, "active")
