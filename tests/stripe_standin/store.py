"""What the stand-in knows: objects by kind, what Stripe keeps of them without showing it, events, charges, and the clock."""
import heapq
import random
import string
import time
from contextlib import contextmanager

from .errors import invalid, no_such
from .periods import DAY

EVENTS_KEPT = 30 * DAY
PREFIX = {"customer": "cus", "product": "prod", "price": "price", "subscription": "sub", "subscription_item": "si", "invoice": "in",
          "line_item": "il", "invoice_payment": "inpay", "payment_method": "pm", "checkout.session": "cs_test", "event": "evt",
          "billing_portal.session": "bps", "webhook_endpoint": "we", "payment_intent": "pi", "charge": "ch", "request": "req",
          "item": "li", "dispute": "dp", "invoice_item": "ii", "refund": "re"}
LISTED = ("customer", "product", "price", "subscription", "invoice", "invoice_payment", "payment_method", "checkout.session",
          "billing_portal.session", "webhook_endpoint")
# What never changes hands is found by its owner.
OWNER = {"subscription": "customer", "invoice": "customer", "payment_method": "customer", "invoice_payment": "invoice"}


def copied(value):
    """A deep copy of JSON: several times faster than copy.deepcopy, which most of the stand-in's time went into."""
    if isinstance(value, dict):
        return {name: copied(one) for name, one in value.items()}
    if isinstance(value, list):
        return [copied(one) for one in value]
    return value


class Clock:
    """Ticks with the machine's, `offset` seconds ahead of it, or stands still at `frozen`. While due work is done it shows
    the time that the work was due."""

    def __init__(self, start=None):
        self.frozen, self.offset, self._shown = start, 0, None

    def now(self):
        if self._shown is not None:
            return self._shown
        return self.frozen if self.frozen is not None else int(time.time()) + self.offset

    def move(self, to):
        if self.frozen is not None:
            self.frozen = to
        else:
            self.offset += to - self.now()

    @contextmanager
    def showing(self, moment):
        before, self._shown = self._shown, moment
        try:
            yield
        finally:
            self._shown = before


class Store:
    def __init__(self, start=None, seed=None):
        self._random = random.Random(seed)
        self.clock = Clock(start)
        self.tables = {kind: {} for kind in LISTED}
        self._owned = {}
        self.side = {}
        self.events, self.charges = [], []
        self.api_version = None
        self.request = {"id": None, "idempotency_key": None}
        self._due, self._scheduled = [], 0

    def now(self):
        return self.clock.now()

    # --- Objects --------------------------------------------------------------------------------------------------------

    def new_id(self, kind, length=24):
        return f"{PREFIX[kind]}_" + "".join(self._random.choices(string.ascii_letters + string.digits, k=length))

    def add(self, kind, made, **side):
        self.tables[kind][made["id"]] = made
        if kind in OWNER:
            self._owned.setdefault((kind, made[OWNER[kind]]), []).append(made)
        self.side[made["id"]] = side
        return made

    def get(self, kind, ident, param="id"):
        found = self.tables[kind].get(ident)
        if found is None:
            raise no_such(kind.replace(".", " ").replace("_", " "), ident, param)
        return found

    def all(self, kind, **equal):
        """Newest first."""
        owner = equal.get(OWNER.get(kind))
        things = self._owned.get((kind, owner), []) if owner else self.tables[kind].values()
        return [one for one in reversed(things) if all(one.get(k) == v for k, v in equal.items())]

    # --- Events ---------------------------------------------------------------------------------------------------------

    def emit(self, kind, thing, previous=None):
        data = {"object": copied(thing)}
        if previous:
            data["previous_attributes"] = previous
        event = {"id": self.new_id("event"), "object": "event", "api_version": self.api_version, "created": self.now(), "data": data,
                 "livemode": False, "pending_webhooks": 1, "request": dict(self.request), "type": kind}
        self.events.append(event)
        return event

    @contextmanager
    def change(self, thing, kind):
        """Emits `kind` when the block has changed the thing, with what it was before."""
        before = copied(thing)
        yield thing
        previous = {name: before.get(name) for name in {**before, **thing} if before.get(name) != thing.get(name)}
        if previous:
            self.emit(kind, thing, previous)

    def kept_events(self):
        return [event for event in self.events if event["created"] > self.now() - EVENTS_KEPT]

    # --- Work that is due later -----------------------------------------------------------------------------------------

    def schedule(self, moment, work, ident):
        """Whether the work still applies is for who does it to see. What ends comes before what begins in the same second."""
        self._scheduled += 1
        heapq.heappush(self._due, (moment, 0 if work in ("cancel", "expire_pending") else 1, self._scheduled, work, ident))

    def next_due(self, until):
        """(moment, work, id) of what is due next, or None."""
        if not self._due or self._due[0][0] > until:
            return None
        moment, _, _, work, ident = heapq.heappop(self._due)
        return moment, work, ident

    # --- Lists ----------------------------------------------------------------------------------------------------------

    def page(self, things, params, url):
        """Of things, newest first, the page that limit, starting_after and ending_before ask for."""
        limit = params.get("limit", 10)
        if not 1 <= limit <= 100:
            raise invalid("Invalid integer: limit must be between 1 and 100", "limit")
        limit = min(limit, self.settings.page_max)
        if "starting_after" in params and "ending_before" in params:
            raise invalid("You cannot pass both starting_after and ending_before", "ending_before")
        places = {thing["id"]: i for i, thing in enumerate(things)}
        for name in ("starting_after", "ending_before"):
            if name in params and params[name] not in places:
                raise no_such("object", params[name], name)
        if "ending_before" in params:
            end = places[params["ending_before"]]
            begin = max(0, end - limit)
            data, more = things[begin:end], begin > 0
        else:
            begin = places[params["starting_after"]] + 1 if "starting_after" in params else 0
            data, more = things[begin:begin + limit], begin + limit < len(things)
        return {"object": "list", "data": data, "has_more": more, "url": url}

    @staticmethod
    def within(params, name, value):
        """Whether a value is in the range that created, created[gte], ... asks for."""
        wanted = params.get(name)
        if wanted is None:
            return True
        if value is None:
            return False
        if not isinstance(wanted, dict):
            return value == wanted
        return (value > wanted.get("gt", value - 1) and value >= wanted.get("gte", value)
                and value < wanted.get("lt", value + 1) and value <= wanted.get("lte", value))

    # --- Expansion ------------------------------------------------------------------------------------------------------

    def expanded(self, answer, paths):
        """A copy of an answer with what expand[] asks for in place of ids."""
        answer = copied(answer)
        for path in paths or []:
            if path.count(".") > 3:
                raise invalid("You cannot expand more than 4 levels of a property.", "expand[]")
            self._expand(answer, path.split("."), path)
        return answer

    def _expand(self, holder, names, path):
        if isinstance(holder, list):
            for one in holder:
                self._expand(one, names, path)
            return
        name = names[0]
        included = {("invoice", "payments"): lambda: self._list("invoice_payment", "/v1/invoice_payments", invoice=holder["id"]),
                    ("checkout.session", "line_items"): lambda: copied(self.side[holder["id"]]["line_items"]),
                    ("customer", "subscriptions"): lambda: self._list("subscription", "/v1/subscriptions", customer=holder["id"])}
        make = included.get((holder.get("object"), name))
        if make and name not in holder:
            holder[name] = make()
        if name not in holder:
            raise invalid(f"This property cannot be expanded ({path}).", "expand[]")
        value = holder[name]
        if isinstance(value, str):
            found = next((table[value] for table in self.tables.values() if value in table), None)
            if found is None:
                raise invalid(f"This property cannot be expanded ({path}).", "expand[]")
            holder[name] = value = copied(found)
        if len(names) > 1 and value is not None:
            self._expand(value, names[1:], path)

    def _list(self, kind, url, **equal):
        return {"object": "list", "data": copied(self.all(kind, **equal)), "has_more": False, "url": url}
