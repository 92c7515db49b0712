"""A stateful Stripe on loopback for tests."""
import secrets
import threading
from contextlib import contextmanager

from . import checkout, payments, renewals, web, webhooks
from .faults import Faults
from .idempotency import Keys
from .schema import Schema
from .settings import Settings
from .store import Store


class Standin:
    """Runs from start() to close(): .url is its base, .api_key what it takes, .violations what the product did wrong.

    start: where the clock stands still, or None for one that ticks. webhook and webhook_secrets: where events go and how they
    are signed. record: the file that requests go to, None for none."""

    def __init__(self, start=None, webhook=None, webhook_secrets=(), api_key=None, seed=None, record=web.RECORD, use_subset=True):
        self.schema = Schema(use_subset)
        self.lock = threading.RLock()
        self.record = web.Record(record)
        self.faults, self.keys, self.settings = Faults(), Keys(), Settings()
        self.api_key = self._first_key = api_key or "sk_test_" + secrets.token_hex(24)
        self.api_keys = {self.api_key}
        self.violations = []
        self.control = None
        self.keep_alive = True
        self._start, self._seed = start, seed
        self.store = self._new_store(start)
        self.webhooks = webhooks.Webhooks(self, webhook, list(webhook_secrets) or ["whsec_" + secrets.token_hex(24)])
        self._server = self._thread = None
        self.port = 0

    def _new_store(self, start):
        store = Store(start, self._seed)
        store.settings, store.api_version = self.settings, self.schema.version
        return store

    # --- Life -----------------------------------------------------------------------------------------------------------

    def start(self, port=0):
        self._server, self._thread = web.serve(self, port or self.port)
        self.port = self._server.server_address[1]
        return self

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def down(self):
        """Nobody listens any more: connections are refused by the system. start() brings it back on the same port."""
        if self._server:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server.cut()
            self._server = None

    def close(self):
        self.faults.clear()
        self.webhooks.stop()
        self.down()
        self.record.close()

    def reset(self, start=None, ago=0):
        """As new, at the same place: no objects, events, faults, keys, violations. start: the clock stands still there; ago: it
        ticks, so many seconds behind the machine's, so that there is a past to advance through."""
        self.webhooks.stop()
        self.faults.clear()
        with self.lock:
            self.settings = Settings()
            self.store = self._new_store(None if ago else start if start is not None else self._start)
            self.store.clock.offset = -ago
            self.keys = Keys()
            self.api_key = self._first_key
            self.api_keys = {self.api_key}
            self.violations.clear()
            self.record.requests.clear()
            self.webhooks.forget()
        if self.port and not self._server:
            self.start()
        return self

    def note(self, words):
        self.violations.append(words)

    def assert_clean(self):
        """Nothing that Stripe would have refused as malformed was sent, and each fault struck."""
        assert not self.violations, "\n".join(["what the product sent is not what Stripe takes:", *self.violations])
        assert not self.faults.waiting(), f"never struck: {self.faults.waiting()}"

    def rotate_key(self):
        """The key of before is answered with 401 from now on. -> the new one"""
        self.api_key = "sk_test_" + secrets.token_hex(24)
        self.api_keys = {self.api_key}
        return self.api_key

    # --- The clock ------------------------------------------------------------------------------------------------------

    def now(self):
        return self.store.now()

    def settle(self):
        """Does what has come due by now; requests and people do so too."""
        with self.lock:
            renewals.settle(self.store, self.now())

    def advance(self, seconds=0, days=0, to=None):
        """Lets time pass, with everything that comes due. -> the events of it"""
        with self.lock:
            first = len(self.store.events)
            target = to if to is not None else self.now() + seconds + days * 86400
            assert target >= self.now(), "time goes one way"
            renewals.settle(self.store, target)
            self.store.clock.move(target)
            return self.store.events[first:]

    # --- What people do, and looking in -----------------------------------------------------------------------------------

    @contextmanager
    def _person(self):
        with self.lock:
            renewals.settle(self.store, self.now())
            yield self.store

    def complete_checkout(self, session, card="ok", quantity=None, country="GB"):
        """A person fills in the page of that session: see checkout.complete. Raises checkout.Refused."""
        with self._person() as store:
            return checkout.complete(store, session, card, quantity, country)

    def expire_checkout(self, session):
        with self._person() as store:
            return checkout.expire_session(store, {}, session)

    def settle_checkout(self, session, ok=True):
        """The bank debit of a completed session comes in, or not."""
        with self._person() as store:
            return checkout.settle_async(store, session, ok)

    def portal_cancel(self, subscription):
        with self._person() as store:
            return checkout.portal_cancel(store, subscription)

    def portal_undo_cancel(self, subscription):
        with self._person() as store:
            return checkout.portal_undo_cancel(store, subscription)

    def portal_change(self, subscription, quantity=None, price=None):
        with self._person() as store:
            return checkout.portal_change(store, subscription, quantity, price)

    def portal_update_card(self, customer, card="ok"):
        with self._person() as store:
            return checkout.portal_update_card(store, customer, card)

    def hosted_pay(self, invoice, card="ok"):
        """A person pays on the invoice's hosted page. -> paid, processing, declines, requires_action"""
        with self._person() as store:
            return checkout.hosted_pay(store, invoice, card)

    def authenticate(self, invoice, ok=True):
        """A person answers the bank's question about an invoice."""
        with self._person() as store:
            return checkout.authenticate(store, invoice, ok)

    def settle_payment(self, invoice, ok=True):
        """The bank debit of an invoice comes in, or not."""
        with self._person() as store:
            payments.settle(store, store.get("invoice", invoice), ok)

    def next_payment(self, customer, *outcomes):
        """What the next attempts on that customer come to, whatever the card: ok, declines, requires_action, async."""
        with self.lock:
            self.store.side[customer].setdefault("outcomes", []).extend(outcomes)

    def set_card(self, customer, card="ok"):
        """A card on the customer, as one who paid before has."""
        return self.portal_update_card(customer, card)

    def refund(self, invoice, amount=None):
        """Through the dashboard: charge.refunded."""
        with self._person() as store:
            charge = self._charge(invoice)
            charge["amount_refunded"] += amount if amount is not None else charge["amount"]
            charge["refunded"] = charge["amount_refunded"] >= charge["amount"]
            return store.emit("charge.refunded", _shown(charge))

    def dispute(self, invoice, status="needs_response"):
        """A card holder disputes: charge.dispute.created; won or lost: charge.dispute.closed."""
        with self._person() as store:
            charge = self._charge(invoice)
            charge["disputed"] = True
            kind = "closed" if status in ("won", "lost") else "created"
            return store.emit(f"charge.dispute.{kind}", {
                "id": charge.setdefault("dispute", store.new_id("dispute")), "object": "dispute", "amount": charge["amount"],
                "charge": charge["id"], "created": store.now(), "currency": charge["currency"], "livemode": False, "metadata": {},
                "payment_intent": charge["payment_intent"], "reason": "fraudulent", "status": status})

    def _charge(self, invoice):
        return next(charge for charge in self.store.charges if charge["invoice"] == invoice)

    def charges(self, customer=None, invoice=None):
        """What was taken from people's cards."""
        with self.lock:
            return [dict(charge) for charge in self.store.charges
                    if customer in (None, charge["customer"]) and invoice in (None, charge["invoice"])]

    def get(self, ident):
        """A copy of any object."""
        with self.lock:
            found = next((table[ident] for table in self.store.tables.values() if ident in table), None)
            return self.store.expanded(found, []) if found else None

    def all(self, kind, **equal):
        """Copies of all of a kind, newest first: all("subscription", customer=...)."""
        with self.lock:
            return [self.store.expanded(one, []) for one in self.store.all(kind, **equal)]

    def events(self, kind=None, about=None):
        """Oldest first; kind: a type or its beginning; about: the id of their object, or of what that belongs to."""
        with self.lock:
            return [event for event in self.store.events if (kind is None or event["type"].startswith(kind))
                    and (about is None or about in _ids(event["data"]["object"]))]


def _ids(thing):
    parent = (thing.get("parent") or {}).get("subscription_details") or {}
    return {thing.get("id"), thing.get("customer"), thing.get("subscription"), thing.get("invoice"), parent.get("subscription")} - {None}


def _shown(charge):
    return {name: value for name, value in charge.items() if name not in ("request", "dispute")}
