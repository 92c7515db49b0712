"""A trust and a trainee who buy, change and end subscriptions in any order, while answers and events are late, doubled, mixed up
or lost, other things happen before an answer is here, and the server is killed. What holds after each step, and what holds in the
end."""
import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
from stripe_standin.checkout import Refused
from stripe_standin.errors import ApiError
from support.billing import until
from support.billing_faults import Hold, Kill, differences, hurry, lost_events, old_news, release_leases
from support.cluster import Line
from support.invitations import address

GOOD = ("active", "trialing", "past_due")
ANSWERS = {200, 201, 202, 204, 402, 404, 409, 410, 422, 503}  # whatever goes wrong at Stripe: never another, never 500
PEOPLE = 8
OVERTAKE_S = 0.5  # so long the later of two fetches gets to be the first, which it must not; it decides what is found, never what passes
# name, options, how often in a row
REQUEST_FAULTS = [("refused", {}, 1), ("reset_before", {}, 1), ("rate_limited", {}, 1), ("rate_limited", {"retry_after": 9}, 1),
                  ("bad_gateway", {}, 1), ("conflict", {}, 1), ("server_error", {}, 1), ("server_error", {"applied": False}, 1),
                  ("applied_cut", {}, 1), ("applied_cut", {}, 3), ("bad_gateway", {}, 3), ("truncated", {}, 1), ("not_json", {}, 1),
                  ("idempotency_error", {}, 1), ("unauthorized", {}, 1), ("declined", {}, 1)]
FETCH_FAULTS = [("bad_gateway", {}, 3), ("refused", {}, 3), ("truncated", {}, 1), ("not_json", {}, 1), ("not_found", {}, 1),
                ("unauthorized", {}, 1), ("rate_limited", {}, 3), ("unknown_fields", {}, 1), ("old_version", {}, 1), ("deleted", {}, 1)]


class Model:
    def __init__(self, market, seed, people):
        self.market, self.stripe, self.pg, self.people = market, market.stripe, Line(market.pg), people
        self.rng = random.Random(seed)
        self.trace = [f"seed {seed}"]
        self.steps = {}
        self.kills = []
        self.told = set()      # events that were delivered and answered with 2xx
        self.lost = set()      # those that no webhook brings
        self.had = set()       # subscriptions that gave something
        self.taken = self.given = 0
        self.since_listed = 0  # seconds of Stripe's clock
        self.keys = self.killed = 0
        self.faults = []       # that were armed
        self.met = {"squeeze": 0, "old_news": 0}  # how often the one came while the other was on its way

    # --- Talking to ourselves ---------------------------------------------------------------------------------------------

    def note(self, words):
        self.trace.append(words)

    def call(self, who, method, path, **options):
        """An answer, or None when the server was killed meanwhile."""
        client = getattr(self.market, who)
        try:
            reply = client.request(method, path, **options)
        except httpx.TransportError as failure:
            assert self.kills or not self.market.server.running(), failure
            self.note(f"    {who} {method} {path}: {type(failure).__name__}")
            return None
        self.note(f"    {who} {method} {path} {options.get('json', '')}: {reply.status_code} {reply.json().get('code', '') if reply.content else ''}")
        assert reply.status_code in ANSWERS, reply.text
        return reply

    def shown(self, who):
        """That person's subscriptions that have not ended."""
        reply = self.call(who, "GET", "/v1/billing")
        return [one for one in reply.json()["subscriptions"] if not one["ended_at"]] if reply is not None and reply.status_code == 200 else []

    def counts(self):
        """What this life has seen."""
        with self.stripe.lock:
            made = {kind: len(self.stripe.store.tables[kind]) for kind in ("customer", "checkout.session", "subscription", "invoice")}
        return {**made, "charges": len(self.stripe.charges()), "events": len(self.stripe.events()), "lost": len(self.lost), "killed": self.killed,
                "intents": dict(self.pg.query("SELECT state, count(*) FROM billing_intents GROUP BY 1")),
                "requests": len(self.stripe.record.requests), "faults": self.faults, "met": self.met, "steps": self.steps}

    def recover(self):
        """After a kill: the server again, and what it held runs out."""
        for kill, fault in self.kills:
            if fault.reached.is_set():
                kill.wait()
        self.kills = [(kill, fault) for kill, fault in self.kills if not fault.reached.is_set()]
        if not self.market.server.running():
            self.note("    killed, and started again")
            self.killed += 1
            self.market.server.process = None
            self.market.server.restart()
            release_leases(self.market)
            self.market.renew_clients()

    def key(self):
        """A key of its own, or that of the request before."""
        self.keys += self.rng.random() < 0.8 or not self.keys
        return {"Idempotency-Key": f"{self.trace[0]} {id(self)} {self.keys}".replace(" ", "-")}

    # --- What people do ---------------------------------------------------------------------------------------------------

    def order(self):
        who = self.rng.choice(["boss", "me"])
        if who == "me":
            plan, period, seats = self.rng.choice(["prostate-one", "all-one"]), self.rng.choice(["month", "year"]), 1
        else:
            plan, period, seats = "trust-seat", self.rng.choice(["month", "year"]), self.rng.randint(1, 6)
        if who == "boss" and self.rng.random() < 0.4:
            self._order_by_invoice(seats, period)
            return
        body = {"plan": plan, "period": period, "currency": "gbp", "seats": seats}
        self.call(who, "POST", "/v1/billing/checkout", json=body, headers=self.key() if self.rng.random() < 0.3 else {})

    def _order_by_invoice(self, seats, period="year"):
        body = {"plan": "trust-seat", "period": period, "currency": "gbp", "seats": seats, "days_until_due": 10,
                "address": {"line1": "1 Road", "country": "GB"}}
        self.call("boss", "POST", "/v1/billing/subscriptions", json=body, headers=self.key())

    def pay_page(self):
        pages = self.stripe.all("checkout.session", status="open")
        if pages:
            card = self.rng.choice(["ok", "ok", "ok", "ok", "declines", "requires_action", "async"])
            try:
                self.stripe.complete_checkout(self.rng.choice(pages)["id"], card)
                self.note(f"    with a card: {card}")
            except Refused as refused:
                self.note(f"    {refused}")

    def come_back(self):
        who = self.rng.choice(["boss", "me"])
        tenant = getattr(self.market, who).tenant
        pages = self.pg.query("SELECT checkout_id FROM checkouts WHERE tenant_id = %s ORDER BY created_at DESC LIMIT 1", (tenant,))
        if pages:
            self.call(who, "GET", f"/v1/billing/checkout/{pages[0][0]}")

    def _change(self, body):
        for who in self.rng.sample(["boss", "me"], 2):
            shown = self.shown(who)
            if shown:
                self.call(who, "PATCH", f"/v1/billing/subscriptions/{shown[0]['id']}", json=body(who), headers=self.key())
                return

    def seats(self):
        self._change(lambda who: {"seats": self.rng.randint(1, 8) if who == "boss" else 1})

    def preview(self):
        shown = self.shown("boss")
        if shown:
            self.call("boss", "POST", f"/v1/billing/subscriptions/{shown[0]['id']}/preview", json={"seats": self.rng.randint(1, 8)})

    def plan(self):
        self._change(lambda who: self.rng.choice([{"period": "month"}, {"period": "year"}] + (
            [{"plan": "all-one"}, {"plan": "prostate-one", "period": "month"}] if who == "me" else [{"seats": 4, "period": "year"}])))

    def cancel(self):
        self._change(lambda who: {"cancel_at_period_end": True})

    def undo(self):
        self._change(lambda who: {"cancel_at_period_end": False})

    def join(self):
        person = self.rng.choice(self.people)
        try:
            self.pg.query("SELECT member_add(%s, %s, '{trainee}', NULL, 'operator')", (self.market.boss.tenant, person))
            self.note("    came in")
        except Exception as refused:  # pylint: disable=broad-exception-caught
            assert "seats_exhausted" in str(refused), refused
            self.note("    no seat")

    def invite(self):
        self.call("boss", "POST", "/v1/tenant/invitations", json={"email": address(), "roles": ["trainee"]})

    def leave(self):
        """Or one of those who have been invited is not waited for any more."""
        guests = self.pg.query("SELECT ticket_id FROM tickets WHERE tenant_id = %s AND kind = 'invitation' AND used_at IS NULL"
                               " ORDER BY ticket_id", (self.market.boss.tenant,))
        if guests and self.rng.random() < 0.5:
            self.call("boss", "DELETE", f"/v1/tenant/invitations/{self.rng.choice(guests)[0]}")
        else:
            self.call("boss", "DELETE", f"/v1/tenant/members/{self.rng.choice(self.people)}")

    def two_at_once(self):
        first, second = self.rng.choice([(self.seats, self.join), (self.order, self.order), (self.seats, self.seats), (self.cancel, self.seats),
                                         (self.order, self.come_back), (self.seats, self.leave)])
        with ThreadPoolExecutor(2) as pool:
            for made in [pool.submit(first), pool.submit(second)]:
                made.result()

    # --- What happens while an answer is on its way ---------------------------------------------------------------------------

    def until(self, check):
        """Or the server is killed."""
        until(lambda: check() or not self.market.server.running(), pause=0.02)

    def squeeze(self):
        """People come and are invited while the trust gives seats back: before Stripe does it, before it says so, and before what came
        of it is fetched."""
        shown = self._room()
        _, taken, _, _ = self.seats_now()
        if not shown or shown[0]["seats"] <= max(taken, 1):
            return
        seats, left = shown[0]["seats"], self.rng.randint(max(taken, 1), min(shown[0]["seats"] - 1, taken + 2))
        moment = self.rng.choice(["done", "said", "fetched"])
        self.note(f"    {seats} -> {left}, before it is {moment}; {taken} taken")
        with self._asking("boss", shown[0]["id"], shown[0]["stripe"], {"seats": left}, moment) as held:
            if held:
                self.met["squeeze"] += 1
                self.check()
                if self.rng.random() < 0.3:
                    self.deliver()
                for _ in range(left - taken + 1):
                    self.rng.choice([self.join, self.invite])()
                    self.check()

    @contextmanager
    def _asking(self, who, subscription, ident, body, moment):
        """A change is asked for, and under way meanwhile: before it is done, said or fetched. -> whether it came to that"""
        path = f"/v1/subscriptions/{ident}$"
        holds = [Hold(self.stripe, "POST", path, when="before" if moment == "done" else "after", first=True)]
        with ThreadPoolExecutor(1) as pool:
            try:
                asked = pool.submit(self.call, who, "PATCH", f"/v1/billing/subscriptions/{subscription}", json=body)
                self.until(lambda: holds[0].holds() or asked.done())
                if moment == "fetched" and holds[0].holds():
                    holds.append(Hold(self.stripe, "GET", path, first=True))
                    holds[0].release()
                    self.until(lambda: holds[1].holds() or asked.done())
                yield holds[-1].holds()
            finally:
                for hold in holds:
                    hold.release()
            asked.result()

    def _room(self):
        """Sees to it that the trust has seats to give back, if nothing goes wrong. -> what it has"""
        def good():
            return [one for one in self.shown("boss") if one["status"] in GOOD]

        shown = good()
        if not shown:
            self._order_by_invoice(self.rng.randint(3, 6))
        elif shown[0]["seats"] < 2:
            self.call("boss", "PATCH", f"/v1/billing/subscriptions/{shown[0]['id']}", json={"seats": 4})
        else:
            for _ in range(2 * PEOPLE):
                if self.seats_now()[1] < shown[0]["seats"]:
                    break
                self.leave()
            return shown
        return good()

    def old_news(self):
        """What we fetch changes while its answer is on the way, and the event of that is here first. Perhaps it comes so late that
        who waited for it has lost the lock."""
        self._room()
        ours = {row[0]: row[1:] for row in self.pg.query("SELECT stripe_id, tenant_id::text, subscription_id FROM subscriptions")}
        running = [one["id"] for one in self._running() if one["id"] in ours]
        if not running:
            return
        ident = self.rng.choice(running)
        who = "boss" if ours[ident][0] == self.market.boss.tenant else "me"
        asks, late = self.rng.random() < 0.3, self.rng.random() < 0.5
        self.note(f"    {ident} of {who}{', who asks' if asks else ''}{', late' if late else ''}")
        told = []
        if asks:
            body = {"cancel_at_period_end": not _ends(self.stripe.get(ident))}
            with self._asking(who, ours[ident][1], ident, body, "fetched") as held:
                if held:
                    told += self._overtake(ident, who, late)
        else:
            hold = Hold(self.stripe, "GET", f"/v1/subscriptions/{ident}$", first=True)
            try:
                told += self._turn(ident, who)
                self.until(lambda: hold.holds() or self._tried(told))
                if hold.holds():
                    told += self._overtake(ident, who, late)
            finally:
                hold.release()
        self.until(lambda: self._tried(told))

    def _overtake(self, ident, who, late):
        """-> the ids of the events that come while the answer is held"""
        self.met["old_news"] += 1
        if late:
            self.pg.query("UPDATE stripe_locks SET until = now() WHERE object = %s AND holder IS NOT NULL", (ident,))
        told = self._turn(ident, who)
        deadline = None if late else time.monotonic() + OVERTAKE_S
        self.until(lambda: self._tried(told) or (deadline and time.monotonic() > deadline))
        return told

    def _turn(self, ident, who):
        """It changes behind our back, and all that was not said of it before is said. -> the ids of those events"""
        one = self.stripe.get(ident)
        if who == "boss" and self.rng.random() < 0.6:
            seats = one["items"]["data"][0]["quantity"]
            self.stripe.portal_change(ident, self.rng.choice([n for n in range(1, 9) if n != seats]))
        elif _ends(one):
            self.stripe.portal_undo_cancel(ident)
        else:
            self.stripe.portal_cancel(ident)
        about = {event["id"] for event in self.stripe.events("customer.subscription.", ident)}
        events = [event for event in self.waiting() if event["id"] in about]
        self._bring(events)
        return [event["id"] for event in events if event["id"] in self.told]

    def _tried(self, events):
        """Each was worked on, be it in vain."""
        return not self.pg.query("SELECT 1 FROM stripe_events e WHERE e.event = ANY (%s) AND e.state = 'queued' AND NOT EXISTS"
                                 " (SELECT FROM jobs j WHERE j.kind = 'stripe_event' AND j.key = e.event AND j.last_error IS NOT NULL)", (events,))

    # --- What happens at Stripe ---------------------------------------------------------------------------------------------

    def _running(self):
        return [one for one in self.stripe.all("subscription") if one["status"] not in ("canceled", "incomplete_expired", "incomplete")]

    def portal(self):
        """Behind our back."""
        running = self._running()
        if not running:
            return
        one = self.rng.choice(running)
        what = self.rng.choice(["seats", "cancel", "undo", "card", "bad card"])
        self.note(f"    {what}")
        if what == "seats" and self.pg.query("SELECT 1 FROM billing_accounts WHERE customer = %s AND tenant_id = %s",
                                             (one["customer"], self.market.boss.tenant)):
            self.stripe.portal_change(one["id"], self.rng.randint(1, 8))
        elif what == "cancel":
            self.stripe.portal_cancel(one["id"])
        elif what == "undo":
            self.stripe.portal_undo_cancel(one["id"])
        elif what in ("card", "bad card"):
            self.stripe.portal_update_card(one["customer"], "ok" if what == "card" else "declines")

    def pay_invoice(self):
        owed = self.stripe.all("invoice", status="open")
        if owed:
            self.stripe.hosted_pay(self.rng.choice(owed)["id"])

    def decline_next(self):
        running = self._running()
        if running:
            self.stripe.next_payment(self.rng.choice(running)["customer"], self.rng.choice(["declines", "requires_action"]))

    def refund(self):
        paid = [charge for charge in self.stripe.charges() if not charge["refunded"]]
        if paid:
            self.stripe.refund(self.rng.choice(paid)["invoice"])

    def time(self):
        """An hour to ten days. What waits for an answer ages with it, as Stripe's memory of keys does; and Stripe lists events of
        thirty days, within which somebody has looked."""
        seconds = self.rng.choice([3600, 2 * 86400, 10 * 86400])
        if self.since_listed + seconds > 25 * 86400:
            self.list_events()
        self.since_listed += seconds
        self.note(f"    {seconds / 86400:.2f} days")
        self.stripe.advance(seconds=seconds)
        self.pg.query("UPDATE billing_intents SET created_at = created_at - %s * interval '1 second' WHERE state = 'open'", (seconds,))

    # --- What goes wrong ----------------------------------------------------------------------------------------------------

    def request_fault(self):
        kind, options, times = self.rng.choice(REQUEST_FAULTS)
        self.note(f"    {kind} {options} {times}")
        self.faults.append(kind)
        self.stripe.faults.add("POST", r"/v1/(customers|checkout|subscriptions)", kind, times=times, **options)

    def fetch_fault(self):
        kind, options, times = self.rng.choice(FETCH_FAULTS)
        self.note(f"    {kind} {options} {times}")
        self.faults.append(kind)
        path = r"/v1/subscriptions/" if kind in ("deleted", "old_version") else r"/v1/(checkout/sessions/|subscriptions/|events)"
        self.stripe.faults.add("GET", path, kind, times=times, **options)

    def kill(self):
        """At the next request to Stripe, whoever makes it: before it is applied, or before it is answered; or at once."""
        when = self.rng.choice(["before", "after", "now"])
        self.note(f"    {when}")
        if when == "now":
            self.market.server.kill()
            self.recover()
            return
        kill = Kill(self.market.server)
        fault = self.stripe.faults.add(self.rng.choice(["POST", "*"]), r"/v1/", when, action=kill)
        self.kills.append((kill, fault))

    # --- Events ---------------------------------------------------------------------------------------------------------------

    def waiting(self):
        return [event for event in self.stripe.events() if event["id"] not in self.told | self.lost]

    def deliver(self, events=None):
        """Some of what waits, mixed, some of it twice, several at once."""
        events = self.waiting() if events is None else events
        events = [event for event in events if self.rng.random() < 0.7]
        events += [event for event in events if self.rng.random() < 0.2]
        self.rng.shuffle(events)
        self._bring(events, self.rng.choice([1, 4]))

    def _bring(self, events, at_once=1):
        made = self.stripe.webhooks.deliver_all(events, at_once=at_once)
        self.note(f"    {[event['type'] for event in events]}")
        self.told |= {one.event for one in made if one.ok}
        for one in made:
            assert one.ok or one.status in (None, 503), one

    def lose(self):
        self.lost |= {event["id"] for event in self.waiting() if self.rng.random() < 0.5}

    def list_events(self):
        self.recover()
        hurry(self.pg, "stripe_reconcile")

        def listed():
            self.recover()
            hurry_waiting(self.pg, "stripe_reconcile")
            return self.pg.query("SELECT 1 FROM jobs WHERE kind = 'stripe_reconcile' AND attempts = 0 AND run_after > now()"
                                 " AND run_after < now() + interval '1 hour'")
        until(listed, pause=0.1)
        self.pg.query("UPDATE jobs SET run_after = now() + interval '1 day' WHERE kind = 'stripe_reconcile'")
        self.since_listed = 0

    def settle_now(self):
        """The job asks what became of a request."""
        hurry(self.pg, "billing_intent")

    # --- Always -----------------------------------------------------------------------------------------------------------------

    def seats_now(self):
        """(with a person on them, these and those held by invitations, of how many, how many were fetched and are to stay): of the
        trust. Those are to stay that no request takes away that is under way, or whose outcome is not fetched."""
        return self.pg.query("""SELECT seats_used(t.tenant_id), seats_used(t.tenant_id) + seats_invited(t.tenant_id), t.seats_bought,
                (SELECT coalesce(sum(least(s.seats, (
                     SELECT min(i.seats_after) FROM billing_intents i WHERE i.subscription = s.stripe_id
                     AND (i.state = 'open' OR (i.state = 'done' AND i.resolved_at >= s.fetched_at))))), 0)
                 FROM subscriptions s JOIN entitlements e ON e.source = s.subscription_id WHERE s.tenant_id = t.tenant_id)
            FROM tenants t WHERE t.tenant_id = %s""", (self.market.boss.tenant,))[0]

    def check(self):
        """After each step: nobody came in or was invited on a seat that there is not, or that is being given back; nothing old came
        over what was told; nothing was taken away that Stripe has never ended."""
        used, taken, bought, given = self.seats_now()
        # What is fetched meanwhile may leave fewer: who came just before that came in good time.
        assert taken <= max(self.taken, given, self.given), (
            f"{used} people and {taken - used} who are invited, on {given} seats that were fetched and are to stay; {self.taken} before")
        assert bought <= given, f"{bought} seats can be filled, and only {given} were fetched and are to stay"
        self.taken, self.given = taken, given
        old = [] if "not_found" in self.faults else old_news(self.pg, self.stripe)  # whose last event may have found nothing
        assert not old, "\n".join(["the last event is done, and yet:", *old])
        gives = {row[0] for row in self.pg.query("SELECT s.stripe_id FROM entitlements e JOIN subscriptions s ON s.subscription_id = e.source")}
        for gone in self.had - gives:
            told = [event["data"]["object"].get("status") in GOOD for event in self.stripe.events("customer.subscription", gone)]
            assert True in told and False in told[told.index(True):], f"{gone} gives nothing any more, and was never bad since it was good"
        self.had = gives

    # --- The whole --------------------------------------------------------------------------------------------------------------

    STEPS = {"order": 10, "pay_page": 10, "come_back": 5, "seats": 8, "preview": 2, "plan": 4, "cancel": 3, "undo": 3, "join": 8,
             "invite": 3, "leave": 4, "squeeze": 8, "old_news": 6, "two_at_once": 5, "portal": 6, "pay_invoice": 4, "decline_next": 3,
             "refund": 1, "time": 4, "request_fault": 10, "fetch_fault": 6, "kill": 3, "deliver": 12, "lose": 4, "list_events": 2,
             "settle_now": 4}

    def run(self, count):
        names = self.rng.choices(list(self.STEPS), list(self.STEPS.values()), k=count)
        for name in ["order", "pay_page", "deliver", *names]:
            self.note(name)
            self.steps[name] = self.steps.get(name, 0) + 1
            try:
                getattr(self, name)()
            except ApiError as refused:
                self.note(f"    Stripe's own page says: {refused}")
            self.recover()
            self.check()
        self.note("the end")
        self.finish()

    def finish(self):
        """Nothing goes wrong any more; what is to come comes."""
        self.stripe.faults.clear()
        self.recover()
        self.kills = []
        for _ in range(3):  # what is delivered may ask for more
            self.told |= {one.event for one in self.stripe.webhooks.deliver_all(self.waiting(), at_once=4)}
            self.pg.query("UPDATE billing_intents SET created_at = created_at - interval '2 minutes' WHERE state = 'open'")
            self.empty()
        self.list_events()
        self.empty()
        self.check()
        found = differences(self.pg, self.stripe) + lost_events(self.pg, self.stripe)
        assert not found, "\n".join(found)

    def empty(self):
        """Until no work is left."""
        def done():
            for kind in ("stripe_event", "stripe_sync", "billing_intent", "billing_end"):
                hurry_waiting(self.pg, kind)
            dead = self.pg.query("SELECT kind, key, last_error FROM jobs WHERE dead_at IS NOT NULL AND kind LIKE ANY ('{stripe_%,billing_%}')")
            assert not dead, dead
            return not self.pg.query("SELECT 1 FROM jobs WHERE kind IN ('stripe_event', 'stripe_sync', 'billing_intent', 'billing_end')"
                                     " UNION ALL SELECT 1 FROM stripe_events WHERE state = 'queued'"
                                     " UNION ALL SELECT 1 FROM billing_intents WHERE state = 'open'")
        until(done, pause=0.1)


def _ends(one):
    """Is it going to end, at Stripe?"""
    return one["cancel_at"] is not None or one["cancel_at_period_end"]


def hurry_waiting(pg, kind):
    """Those that wait for a later attempt, too; not those that are due already, which are being claimed, nor what has run and will
    run again."""
    pg.query("UPDATE jobs SET run_after = now() WHERE kind = %s AND dead_at IS NULL AND lease IS NULL AND run_after > now()"
             " AND (attempts > 0 OR key <> 'periodic'); NOTIFY overread_jobs", (kind,))
