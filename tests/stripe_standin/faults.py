"""What can go wrong between the product and Stripe, each by name and once unless told otherwise.

    faults.add("POST", r"/v1/subscriptions$", "applied_timeout")

before anything is read   refused
nothing is applied        reset_before, rate_limited(retry_after=None), bad_gateway, conflict, idempotency_error, unauthorized,
                          not_found, declined, requires_action, server_error(applied=False), hold_before
applied                   applied_timeout, applied_cut, server_error (and kept under the key), truncated, oversized(size=), not_json,
                          slow(delay=, chunk=), hold_after
the answer is changed     unknown_fields, unknown_value(name=, value=, of=), old_version, deleted, reshape(with_=function)
beside                    key_pruned (the key is forgotten first), before(action=) and after(action=): called before it is applied,
                          or between that and the answer

times=None: always. skip=2: the first two go through. key=: only with that Idempotency-Key. should_retry=: that header.
first=True: before all that are armed already. drop(fault): it was enough.
A client that reuses a connection may itself ask again, unseen, when that is cut before any answer (libcurl does): such a fault
strikes twice with times=2, or standin.keep_alive = False makes each connection a new one.
.reached is set when it strikes; hold_before, hold_after and applied_timeout last until .release() or `seconds`."""
import re
import threading

UNAPPLIED = ("reset_before", "rate_limited", "bad_gateway", "conflict", "idempotency_error", "unauthorized", "not_found", "declined",
             "requires_action")
KINDS = UNAPPLIED + ("refused", "server_error", "hold_before", "applied_timeout", "applied_cut", "truncated", "oversized", "not_json",
                     "slow", "hold_after", "unknown_fields", "unknown_value", "old_version", "deleted", "reshape", "key_pruned",
                     "before", "after")


class Fault:
    def __init__(self, method, path, kind, times, skip, key, options):
        if kind not in KINDS:
            raise ValueError(f"no such fault: {kind}")
        self.method, self.path, self.kind, self.times, self.skip, self.key = method, re.compile(path), kind, times, skip, key
        self.options = options
        self.struck = 0
        self.reached, self._released = threading.Event(), threading.Event()

    def __repr__(self):
        return f"{self.kind} on {self.method} {self.path.pattern}"

    def fits(self, method, path, key):
        return self.method in (method, "*") and self.path.search(path) and self.key in (None, key)

    def release(self):
        self._released.set()

    def wait(self):
        self._released.wait(self.options.get("seconds", 60))


class Faults:
    def __init__(self):
        self._lock = threading.Lock()
        self._armed = []

    def add(self, method, path, kind, times=1, skip=0, key=None, first=False, **options):
        fault = Fault(method, path, kind, times, skip, key, options)
        with self._lock:
            self._armed.insert(0 if first else len(self._armed), fault)
        return fault

    def drop(self, fault):
        with self._lock:
            if fault in self._armed:
                self._armed.remove(fault)

    def take(self, method, path, key):
        """The first that fits this request, or None."""
        with self._lock:
            for fault in self._armed:
                if not fault.fits(method, path, key):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.struck += 1
                if fault.times is not None:
                    fault.times -= 1
                    if not fault.times:
                        self._armed.remove(fault)
                fault.reached.set()
                return fault
        return None

    def clear(self):
        with self._lock:
            for fault in self._armed:
                fault.release()
            self._armed = []

    def waiting(self):
        """Those that were to strike and never did."""
        return [fault for fault in self._armed if not fault.struck]
