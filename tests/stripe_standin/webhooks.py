"""Events on their way to the product: signatures, deliveries, and what goes wrong with both."""
import copy
import hashlib
import hmac
import http.client
import itertools
import json
import random
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

from . import versions


@dataclass
class Delivery:
    """status is None when the connection failed; seconds is how long the answer took."""
    event: str
    status: int
    body: bytes
    seconds: float

    @property
    def ok(self):
        return self.status is not None and 200 <= self.status < 300


# --- Signatures -------------------------------------------------------------------------------------------------------

def signature(payload, secret, t):
    """v1: keyed with the whole whsec_ string, over t.payload."""
    return hmac.new(secret.encode(), f"{t}.".encode() + payload, hashlib.sha256).hexdigest()


def header(payload, secrets, t, schemes=("v1",)):
    """Stripe-Signature; one v1 for each secret. v0 is what test mode adds, which proves nothing."""
    parts = [f"t={t}"]
    for scheme in schemes:
        for secret in secrets if scheme == "v1" else ["v0-is-no-proof"]:
            parts.append(f"{scheme}={signature(payload, secret, t)}")
    return ",".join(parts)


def encoded(event):
    """The bytes of an event, as Stripe writes them."""
    return json.dumps(event, indent=2, ensure_ascii=False).encode()


# --- Events that differ from what happened ----------------------------------------------------------------------------

_number = itertools.count(1)


def altered(event, fresh_id=False, object_=None, **changes):
    """A copy: with an id of its own, another snapshot of its object, members of the event (livemode=True, api_version=...)."""
    made = copy.deepcopy(event)
    if fresh_id:
        made["id"] = f"{event['id']}twin{next(_number)}"
    if object_ is not None:
        made["data"] = {"object": copy.deepcopy(object_)}
    return {**made, **changes}


def restated(event, **members):
    """A copy whose object says something else: what GET will not say yet, or says no more."""
    return altered(event, object_={**event["data"]["object"], **members})


def in_old_version(event):
    return versions.old_shape(event)


def of_stranger(event):
    """About a customer the product has never heard of."""
    return versions.with_value(altered(event, fresh_id=True), "customer", "cus_Stranger0001")


# --- Deliveries -------------------------------------------------------------------------------------------------------

class Webhooks:
    """deliver() is driven by the test; auto() delivers by itself, until stop().

    .url and .secrets are the product's endpoint. .lost(predicate): such events are never delivered by auto(), only listed."""

    def __init__(self, standin, url=None, secrets=()):
        self.standin, self.url, self.secrets = standin, url, list(secrets)
        self.deliveries = []
        self._lose = lambda event: False
        self._thread, self._stopping = None, threading.Event()
        self._idle = threading.Condition()
        self._seen, self._queue = 0, []

    def deliver(self, event, url=None, secrets=None, age=0, t=None, signed=True, schemes=("v1",), tamper=None, huge=0, timeout=30):
        """Sends an event and waits for the answer. -> Delivery

        age: how old the signature's t is, in seconds; negative: it lies ahead. signed=False: no header; a string: that header.
        schemes=("v0",): none that counts. tamper, after signing: "byte" changes one of the id, "json" writes the same JSON anew.
        huge: so many bytes of padding."""
        if huge:
            event = restated(event, metadata={**event["data"]["object"].get("metadata", {}), "padding": "x" * huge})
        payload = encoded(event)
        t = t if t is not None else int(time.time()) - age
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)"}
        if signed:
            headers["Stripe-Signature"] = signed if isinstance(signed, str) else header(
                payload, self.secrets if secrets is None else secrets, t, schemes)
        if tamper == "byte":
            last = event["id"][-1]
            payload = payload.replace(event["id"].encode(), (event["id"][:-1] + ("a" if last != "a" else "b")).encode(), 1)
        elif tamper == "json":
            payload = json.dumps(json.loads(payload), separators=(",", ":")).encode()
        made = _post(url or self.url, payload, headers, event["id"], timeout)
        self.deliveries.append(made)
        if made.ok:
            self._mark(event["id"])
        return made

    def deliver_all(self, events, at_once=1, shuffle=None, **options):
        """Several, `at_once` at a time; shuffle: a seed. -> Deliveries in the order of the events sent"""
        events = list(events)
        if shuffle is not None:
            random.Random(shuffle).shuffle(events)
        if at_once <= 1:
            return [self.deliver(event, **options) for event in events]
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(lambda event: self.deliver(event, **options), events))

    def burst(self, events, at_once=16, **options):
        """As deliver_all; -> (Deliveries, seconds it took)"""
        begin = time.monotonic()
        return self.deliver_all(events, at_once, **options), time.monotonic() - begin

    def _mark(self, ident):
        with self.standin.lock:
            for event in reversed(self.standin.store.events):
                if event["id"] == ident:
                    event["pending_webhooks"] = 0
                    break

    # --- By itself ------------------------------------------------------------------------------------------------------

    def lose(self, predicate=lambda event: True):
        """auto() delivers no event of which predicate(event) is true."""
        self._lose = predicate

    def auto(self, attempts=8, delay=0.1, copies=1, shuffle=None):
        """Delivers what happens from now on, in a thread; again with growing pauses when the answer is not 2xx. copies=2: each
        twice. shuffle: a seed to mix what waits."""
        self.stop()
        self._stopping.clear()
        self._seen = len(self.standin.store.events)
        self._thread = threading.Thread(target=self._run, args=(attempts, delay, copies, shuffle), daemon=True)
        self._thread.start()
        return self

    def _run(self, attempts, delay, copies, shuffle):
        rng = random.Random(shuffle)
        while not self._stopping.is_set():
            now = time.monotonic()
            self.standin.settle()
            with self._idle:
                self._take_new(copies)
                ready = [entry for entry in self._queue if entry[0] <= now]
                if shuffle is not None:
                    rng.shuffle(ready)
                if not self._queue:
                    self._idle.notify_all()
            if not ready:
                self._stopping.wait(0.01)
                continue
            for entry in ready:
                if self._stopping.is_set():
                    break
                self._try(entry, attempts, delay)

    def _take_new(self, copies):
        with self.standin.lock:
            events, self._seen = self.standin.store.events[self._seen:], len(self.standin.store.events)
        for event in events:
            if not self._lose(event):
                self._queue += [[0.0, copy.deepcopy(event), target, 0] for target in self._targets(event) for _ in range(copies)]

    def _targets(self, event):
        """(url, secrets) of the product's endpoint and of those made through the API that want such events."""
        targets = [(self.url, None)] if self.url else []
        with self.standin.lock:
            for endpoint in self.standin.store.all("webhook_endpoint", status="enabled"):
                if {"*", event["type"]} & set(endpoint["enabled_events"]):
                    targets.append((endpoint["url"], [self.standin.store.side[endpoint["id"]]["secret"]]))
        return targets

    def _try(self, entry, attempts, delay):
        _, event, (url, secrets), tried = entry
        made = self.deliver(event, url=url, secrets=secrets)
        with self._idle:
            if made.ok or tried + 1 >= attempts:
                self._queue.remove(entry)
            else:
                entry[0], entry[3] = time.monotonic() + delay * 2 ** tried, tried + 1

    def drain(self, timeout=60):
        """Waits until nothing is on its way any more; False when that did not come."""
        deadline = time.monotonic() + timeout
        with self._idle:
            while self._queue or self._seen < len(self.standin.store.events):
                if not self._idle.wait(max(0.0, min(0.1, deadline - time.monotonic()))) and time.monotonic() > deadline:
                    return False
        return True

    def stop(self):
        self._stopping.set()
        if self._thread:
            self._thread.join()
            self._thread = None

    def forget(self):
        self._queue, self._seen, self.deliveries, self._lose = [], 0, [], lambda event: False


def _post(url, payload, headers, ident, timeout):
    parts, begin = urlsplit(url), time.monotonic()
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout, context=ssl.create_default_context())
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    try:
        connection.request("POST", parts.path or "/", payload, headers)
        answer = connection.getresponse()
        return Delivery(ident, answer.status, answer.read(), time.monotonic() - begin)
    except (OSError, http.client.HTTPException):
        return Delivery(ident, None, b"", time.monotonic() - begin)
    finally:
        connection.close()
