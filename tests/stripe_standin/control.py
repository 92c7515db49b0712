"""The same from outside: /_control/... for curl and for benchmarks, when the stand-in is a process of its own."""
import argparse
import json
import re
import signal
import threading
from urllib.parse import parse_qsl, urlsplit

from .api import Answer, as_json
from .checkout import Refused
from .errors import ApiError
from .standin import Standin
from .web import RECORD


class Control:
    """Forms in, JSON out. GET /_control/ lists what there is."""

    def __init__(self, standin):
        self.standin = standin
        self.routes = [
            ("GET", "", "this list", self._list),
            ("GET", "state", "the clock, counts, violations", self._state),
            ("GET", "events", "type= (or its beginning), about= (an id), skip= (so many): oldest first", self._events),
            ("GET", "objects/(.+)", "any object by its id", lambda form, ident: standin.get(ident)),
            ("GET", "charges", "what was taken from cards: customer=, invoice=", lambda form: standin.charges(**form)),
            ("POST", "reset", "as new", lambda form: bool(standin.reset())),
            ("POST", "advance", "seconds=, days= or to=: lets time pass; answers the events of it", self._advance),
            ("POST", "checkout/(.+)/complete", "card=ok|declines|requires_action|async|none, quantity=", self._complete),
            ("POST", "checkout/(.+)/expire", "", lambda form, ident: standin.expire_checkout(ident)),
            ("POST", "checkout/(.+)/settle", "ok=true|false: of a bank debit",
             lambda form, ident: standin.settle_checkout(ident, form.get("ok") != "false")),
            ("POST", "subscriptions/(.+)/cancel", "in the portal", lambda form, ident: standin.portal_cancel(ident)),
            ("POST", "subscriptions/(.+)/undo", "in the portal", lambda form, ident: standin.portal_undo_cancel(ident)),
            ("POST", "subscriptions/(.+)/change", "in the portal: quantity=, price=",
             lambda form, ident: standin.portal_change(ident, int(form["quantity"]) if "quantity" in form else None, form.get("price"))),
            ("POST", "customers/(.+)/card", "in the portal: card=",
             lambda form, ident: standin.portal_update_card(ident, form.get("card", "ok"))),
            ("POST", "customers/(.+)/next", "outcome=: of the next payment",
             lambda form, ident: standin.next_payment(ident, form["outcome"])),
            ("POST", "invoices/(.+)/pay", "on its hosted page: card=", lambda form, ident: standin.hosted_pay(ident, form.get("card", "ok"))),
            ("POST", "invoices/(.+)/authenticate", "ok=true|false",
             lambda form, ident: standin.authenticate(ident, form.get("ok") != "false")),
            ("POST", "invoices/(.+)/refund", "amount=",
             lambda form, ident: standin.refund(ident, int(form["amount"]) if "amount" in form else None)),
            ("POST", "invoices/(.+)/dispute", "status=", lambda form, ident: standin.dispute(ident, **form)),
            ("POST", "deliver", "event= (an id): sends it to the webhook; age=, tamper=byte|json", self._deliver),
            ("POST", "burst", "type=, about=, at_once=: sends those events at once", self._burst),
            ("POST", "auto", "on=true|false: events are delivered by themselves", self._auto),
            ("POST", "faults", "method=, path=, kind= and what tests/stripe_standin/faults.py lists", self._fault),
        ]

    def answer(self, request):
        path = request.path.removeprefix("/_control/")
        form = dict(parse_qsl(urlsplit(request.target).query) + parse_qsl(request.body.decode()))
        for method, pattern, _, call in self.routes:
            match = re.fullmatch(pattern, path)
            if match and method == request.method:
                try:
                    return Answer(200, as_json(call(form, *match.groups())) + b"\n")
                except (ApiError, Refused, KeyError, ValueError, TypeError, AssertionError, StopIteration) as error:
                    return Answer(400, as_json({"error": f"{type(error).__name__}: {error}"}) + b"\n")
        return Answer(404, as_json({"error": "GET /_control/ lists what there is"}) + b"\n")

    def _list(self, _form):
        return {f"{method} /_control/{pattern.replace('(.+)', '{id}')}": words for method, pattern, words, _ in self.routes}

    def _state(self, _form):
        with self.standin.lock:
            counts = {kind: len(table) for kind, table in self.standin.store.tables.items() if table}
        return {"now": self.standin.now(), "counts": counts, "events": len(self.standin.events()), "violations": self.standin.violations}

    def _events(self, form):
        return self.standin.events(form.get("type"), form.get("about"))[int(form.get("skip", 0)):]

    def _advance(self, form):
        return [event["type"] for event in self.standin.advance(**{name: int(value) for name, value in form.items()})]

    def _complete(self, form, ident):
        card = form.get("card", "ok")
        return self.standin.complete_checkout(ident, None if card == "none" else card,
                                              int(form["quantity"]) if "quantity" in form else None)

    def _deliver(self, form):
        event = next(one for one in self.standin.events() if one["id"] == form["event"])
        made = self.standin.webhooks.deliver(event, age=int(form.get("age", 0)), tamper=form.get("tamper"))
        return {"status": made.status, "seconds": made.seconds, "body": made.body.decode("utf-8", "replace")}

    def _burst(self, form):
        made, seconds = self.standin.webhooks.burst(self._events(form), int(form.get("at_once", 16)))
        return {"sent": len(made), "ok": sum(one.ok for one in made), "seconds": seconds,
                "slowest": max((one.seconds for one in made), default=0)}

    def _auto(self, form):
        if form.get("on") == "false":
            self.standin.webhooks.stop()
        else:
            self.standin.webhooks.auto()
        return True

    def _fault(self, form):
        method, path, kind = form.pop("method"), form.pop("path"), form.pop("kind")
        numbers = {name: json.loads(value) for name, value in form.items() if re.fullmatch(r"[\d.]+|true|false|null", value)}
        return repr(self.standin.faults.add(method, path, kind, **{**form, **numbers}))


def main():
    parser = argparse.ArgumentParser(prog="stripe_standin", description="A stateful Stripe on loopback, to try the product by hand.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--webhook", help="where the product takes Stripe's events")
    parser.add_argument("--secret", action="append", default=[], help="whsec_...: how they are signed; twice during a rotation")
    parser.add_argument("--key", help="sk_test_...: what the product signs in with")
    parser.add_argument("--start", type=int, help="the clock stands still there, seconds since 1970, until it is advanced")
    parser.add_argument("--no-record", action="store_true", help="requests do not go to var/stripe-requests.jsonl")
    parser.add_argument("--auto", action="store_true", help="events are delivered by themselves")
    arguments = parser.parse_args()
    standin = Standin(arguments.start, arguments.webhook, arguments.secret, arguments.key,
                      record=None if arguments.no_record else RECORD)
    standin.control = Control(standin)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    standin.start(arguments.port)
    if arguments.auto:
        standin.webhooks.auto()
    print(json.dumps({"url": standin.url, "key": standin.api_key, "secrets": standin.webhooks.secrets}), flush=True)
    ended.wait()
    standin.close()
