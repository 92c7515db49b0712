"""What time brings: trials end, periods begin, payments are tried again, sessions and first payments lapse."""
from . import changes, checkout, invoices, payments, subscriptions
from .periods import period_at


def settle(store, until):
    """Does all work that is due by then, each at its own moment. -> how much was done"""
    done = 0
    while True:
        due = store.next_due(until)
        if not due:
            return done
        moment, work, ident = due
        request, store.request = store.request, {"id": None, "idempotency_key": None}
        with store.clock.showing(moment):
            WORK[work](store, ident)
        store.request = request
        done += 1


def _trial_will_end(store, ident):
    subscription, side = store.tables["subscription"][ident], store.side[ident]
    if subscription["status"] == "trialing" and side.get("told") != subscription["trial_end"] \
            and subscription["trial_end"] - store.now() <= 3 * 86400:
        side["told"] = subscription["trial_end"]
        store.emit("customer.subscription.trial_will_end", subscription)


def _trial_end(store, ident):
    subscription = store.tables["subscription"][ident]
    if subscription["status"] != "trialing" or subscription["trial_end"] != store.now():
        return
    cardless = (subscription["collection_method"] == "charge_automatically"
                and payments.method_for(store, subscription) is None)
    then = subscription["trial_settings"]["end_behavior"]["missing_payment_method"] if cardless else None
    if then == "cancel":
        subscriptions.end_now(store, subscription, "payment_failed")
    elif then == "pause":
        payments.move(store, subscription, "paused")
        store.emit("customer.subscription.paused", subscription)
    else:
        _begin_period(store, subscription, {"status": "active"})


def _renew(store, ident):
    subscription = store.tables["subscription"][ident]
    if subscription["status"] in ("active", "past_due", "unpaid") and changes.period_of(subscription)[1] == store.now():
        _begin_period(store, subscription, {})


def _begin_period(store, subscription, fields):
    if subscription["cancel_at"] and subscription["cancel_at"] <= store.now():
        return
    items, now = subscription["items"]["data"], store.now()
    period = period_at(subscription["billing_cycle_anchor"], *changes.interval_of(items[0]["price"]), now)
    lines, debits = changes.full_lines(store, subscription, items, period)
    before = changes.period_of(subscription)
    pause = (subscription["pause_collection"] or {}).get("behavior")
    goes_on = subscription["status"] != "unpaid" and pause != "keep_as_draft"
    with store.change(subscription, "customer.subscription.updated"):
        subscriptions.put_change(store, subscription, fields, changes.Change([dict(item) for item in items], lines, debits, False, period))
        invoice = invoices.raise_invoice(store, subscription, lines, "subscription_cycle", before, goes_on)
    store.emit("invoice.created", invoice)
    if pause == "void":
        invoices.finalize(store, invoice)
        if invoice["status"] == "open":
            invoices.void(store, invoice)
    elif pause == "mark_uncollectible":
        invoices.finalize(store, invoice)
        if invoice["status"] == "open":
            invoices.mark_uncollectible(store, {}, invoice["id"])
    else:
        invoices.advance(store, invoice, False)


def _cancel(store, ident):
    subscription = store.tables["subscription"][ident]
    if subscription["status"] not in subscriptions.ENDED and subscription["cancel_at"] == store.now():
        subscriptions.end_now(store, subscription, "cancellation_requested")


def _expire_incomplete(store, ident):
    subscription = store.tables["subscription"][ident]
    if subscription["status"] != "incomplete":
        return
    with store.change(subscription, "customer.subscription.updated"):
        subscription |= {"status": "incomplete_expired", "ended_at": store.now()}
    invoice = store.tables["invoice"][subscription["latest_invoice"]]
    if invoice["status"] == "open":
        invoices.void(store, invoice)


def _expire_pending(store, ident):
    pending = store.side[ident]["pending"]
    if pending and pending["expires_at"] == store.now():
        subscriptions.drop_pending(store, store.tables["subscription"][ident])


def _resume_collection(store, ident):
    subscription = store.tables["subscription"][ident]
    if (subscription["pause_collection"] or {}).get("resumes_at") == store.now():
        with store.change(subscription, "customer.subscription.updated"):
            subscription["pause_collection"] = None


WORK = {"trial_will_end": _trial_will_end, "trial_end": _trial_end, "renew": _renew, "cancel": _cancel,
        "expire_incomplete": _expire_incomplete, "expire_pending": _expire_pending, "resume_collection": _resume_collection,
        "finalize": invoices.finalize_when_due, "retry": payments.retry_when_due, "overdue": payments.overdue_when_due,
        "give_up": payments.give_up_when_due, "expire_session": checkout.expire_when_due}
