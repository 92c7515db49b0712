"""What can go wrong between a request of ours and Stripe's answer. Always: one charge and one thing for one request, never more
seats than were fetched, and in the end we hold what Stripe holds."""
import json
import os
import secrets
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from stripe_standin.client import Client
from support.billing import until
from support.billing_faults import (Hold, age, assert_same, differences, hold_seats, hurry, kept, look, lost_events, reconcile, run_periodic, settle,
                                    twice)
from support.reads import assert_problem


# --- What is asked of Stripe --------------------------------------------------------------------------------------------

class Customer:
    """The first that a tenant buys. A request before the order: the order is made again when it is through."""
    path, again = r"/v1/customers$", True

    def __init__(self, shop):
        self.shop = shop

    def act(self, **more):
        return self.shop.by_invoice(self.shop.boss, 3, **more)

    def check(self):
        shown, = self.shop.boss.get("/v1/billing").json()["subscriptions"]
        assert (shown["status"], shown["seats"]) == ("active", 3)
        assert len(self.shop.stripe.all("customer")) == 1


class Subscribe(Customer):
    path, again = r"/v1/subscriptions$", False


class Checkout:
    path, again = r"/v1/checkout/sessions$", False

    def __init__(self, shop):
        self.shop = shop

    def act(self, **more):
        return self.shop.checkout(self.shop.me, **more)

    def check(self):
        session, = self.shop.stripe.all("checkout.session")
        assert self.shop.me.get("/v1/billing").json()["checkout"]["url"] == session["url"]
        assert self.shop.pay(self.shop.me)["status"] == "trialing"


class Change:
    """More seats, paid by card."""
    path, again, body = r"/v1/subscriptions/[^/]+$", False, {"seats": 5}

    def __init__(self, shop):
        self.shop = shop
        self.bought = shop.pay(shop.boss, plan="trust-seat", period="year", seats=3)

    def act(self, **more):
        return self.shop.boss.patch(f"/v1/billing/subscriptions/{self.bought['id']}", json=self.body, **more)

    def check(self):
        assert self.shop.subscription(self.shop.boss)["items"]["data"][0]["quantity"] == 5
        assert len(self.shop.stripe.charges()) == 2


class Fewer(Change):
    body = {"seats": 2}

    def check(self):
        assert self.shop.subscription(self.shop.boss)["items"]["data"][0]["quantity"] == 2
        assert len(self.shop.stripe.charges()) == 1


class Cancel(Change):
    body = {"cancel_at_period_end": True}

    def check(self):
        assert self.shop.subscription(self.shop.boss)["cancel_at_period_end"] is True
        assert len(self.shop.stripe.charges()) == 1


class Expire:
    """Another order while a page to pay at is open: that is closed first."""
    path, again = r"/v1/checkout/sessions/[^/]+/expire$", True

    def __init__(self, shop):
        self.shop = shop
        assert shop.checkout(shop.me, period="year").status_code == 201

    def act(self, **more):
        return self.shop.checkout(self.shop.me, **more)

    def check(self):
        assert sorted(one["status"] for one in self.shop.stripe.all("checkout.session")) == ["expired", "open"]
        assert self.shop.pay(self.shop.me)["period"] == "month"


ASKED = [Customer, Checkout, Subscribe, Change, Fewer, Cancel, Expire]
CHARGED = [Subscribe, Change]
# Of these nobody knows whether it was applied; asked again it is all well.
UNKNOWN = {"refused": {}, "reset_before": {}, "rate_limited": {}, "rate_limited, come back at once": {"retry_after": 0}, "bad_gateway": {},
           "conflict": {}, "server_error": {"applied": False}, "applied_cut": {}, "truncated": {}, "oversized": {"size": 5 << 20},
           "not_json": {}}


def pairs(requests, kinds):
    """Of every request and every fault each; all pairs with OVERREAD_THOROUGH (ops/test --thorough)."""
    kinds = list(kinds)
    if os.environ.get("OVERREAD_THOROUGH"):
        return [(asked, kind) for asked in requests for kind in kinds]
    return [(requests[i % len(requests)], kinds[i % len(kinds)]) for i in range(max(len(requests), len(kinds)))]


def arm(market, asked, kind, **options):
    return market.stripe.faults.add("POST", asked.path, kind.split(",")[0], **options)


def finish(market, asked, reply, key=None):
    """From a 202 to what was asked for, by the job; who asks again with the same key meanwhile gets the same. What comes before the
    order (asked.again) is no order yet: a 503 says so."""
    assert reply.status_code == (503 if asked.again else 202), reply.text
    intent = look(market.me if isinstance(asked, (Checkout, Expire)) else market.boss, reply)
    assert intent["state"] == "open"
    if key and not asked.again:
        repeated = asked.act(headers=key)
        assert repeated.status_code == 202 and repeated.json()["id"] == intent["id"]
    assert settle(market, intent["id"]) == "done"
    if asked.again or key:
        reply = asked.act(headers=key)
        assert reply.status_code in (200, 201), reply.text


def assert_well(market, asked):
    market.idle()
    asked.check()
    assert_same(market)
    assert not market.pg.query("SELECT 1 FROM billing_intents WHERE state = 'open'")
    reconcile(market)
    assert not lost_events(market.pg, market.stripe)
    assert_same(market)


@pytest.mark.parametrize("asked, kind", pairs(ASKED, UNKNOWN))
def test_an_answer_that_is_lost_once_is_asked_for_again(market, asked, kind):
    asked = asked(market)
    arm(market, asked, kind, **UNKNOWN[kind])
    reply = asked.act()
    assert reply.status_code in (200, 201), reply.text
    assert_well(market, asked)


@pytest.mark.parametrize("asked, kind", pairs(CHARGED, UNKNOWN))
def test_an_answer_that_does_not_come_is_found_out_by_the_job(market, asked, kind):
    asked, key = asked(market), {"Idempotency-Key": secrets.token_hex(8)}
    arm(market, asked, kind, times=3, **UNKNOWN[kind])
    finish(market, asked, asked.act(headers=key), key)
    assert_well(market, asked)


@pytest.mark.parametrize("asked", [Customer, Checkout, Fewer, Cancel, Expire])
def test_an_applied_request_whose_answer_is_cut_each_time_is_found_out_by_the_job(market, asked):
    asked = asked(market)
    arm(market, asked, "applied_cut", times=3)
    finish(market, asked, asked.act())
    assert_well(market, asked)


@pytest.mark.parametrize("asked", [Customer, Checkout, Cancel])
def test_an_unapplied_request_is_sent_again_by_the_job(market, asked):
    asked = asked(market)
    arm(market, asked, "bad_gateway", times=4)  # the job's first attempt, too
    finish(market, asked, asked.act())
    assert_well(market, asked)


def test_an_answer_that_takes_too_long_is_not_waited_for(market):
    """Twenty seconds are the most that anybody waits: both at once, of two trusts."""
    boss, other = market.boss, market.buyers.trust(market, "another trust")
    held = market.stripe.faults.add("POST", r"/v1/subscriptions$", "applied_timeout", seconds=40)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(market.by_invoice, boss, 3)
        assert held.reached.wait(30)
        drip = market.stripe.faults.add("POST", r"/v1/subscriptions$", "slow", delay=2, chunk=64)
        second = pool.submit(market.by_invoice, other, 4)
        intents = look(boss, first.result()), look(other, second.result())
    held.release(), drip.release()
    hurry(market.pg, "billing_intent")
    assert [settle(market, intent["id"]) for intent in intents] == ["done", "done"]
    assert [one.get("/v1/tenant").json()["seats"]["bought"] for one in (boss, other)] == [3, 4]
    assert_same(market)


@pytest.mark.parametrize("asked", ASKED)
def test_a_500_that_is_kept_and_given_again_is_looked_behind(market, asked):
    """It was applied, and Stripe says 500 to this key for a day."""
    asked = asked(market)
    arm(market, asked, "server_error")
    intent = look(market.me if isinstance(asked, (Checkout, Expire)) else market.boss, asked.act())
    age(market.pg, intent["id"], "2 minutes")
    state = settle(market, intent["id"])
    assert state == ("failed" if isinstance(asked, Expire) else "done")  # an expiry has nothing to be looked up by; it is asked for first
    if asked.again:
        assert asked.act().status_code in (200, 201)
    assert_well(market, asked)


@pytest.mark.parametrize("asked", CHARGED)
def test_a_500_that_is_kept_of_what_was_not_applied_fails(market, asked):
    asked = asked(market)
    fault = arm(market, asked, "server_error", applied=False, times=None)
    intent = look(market.boss, asked.act())
    age(market.pg, intent["id"], "2 minutes")
    assert settle(market, intent["id"]) == "failed"
    assert market.boss.get(f"/v1/billing/requests/{intent['id']}").json()["code"] == "not_applied"
    assert fault.struck and not twice(market.pg, market.stripe)
    market.stripe.faults.clear()
    assert asked.act().status_code in (200, 201)
    assert_well(market, asked)


@pytest.mark.parametrize("asked", [Customer, Checkout, Subscribe, Change, Cancel])
def test_a_key_that_stripe_has_forgotten_makes_no_second_one(market, asked):
    asked = asked(market)
    arm(market, asked, "applied_cut", times=3)
    reply = asked.act()
    market.stripe.keys.prune()
    age(market.pg, look(market.me if isinstance(asked, Checkout) else market.boss, reply)["id"], "21 hours")
    finish(market, asked, reply)
    assert_well(market, asked)


def test_a_request_that_is_old_and_was_not_applied_is_not_sent_any_more(market):
    asked = Change(market)
    arm(market, asked, "bad_gateway", times=3)
    intent = look(market.boss, asked.act())
    age(market.pg, intent["id"], "21 hours")
    sent = len(market.stripe.record.requests)
    assert settle(market, intent["id"]) == "failed"
    assert not [one for one in market.stripe.record.requests[sent:] if one["method"] == "POST"]
    assert asked.act().status_code == 200
    assert_well(market, asked)


REFUSED = {"declined": (402, "payment_failed"), "requires_action": (402, "payment_failed"), "not_found": (404, "not_at_stripe"),
           "unauthorized": (503, "billing_misconfigured")}


@pytest.mark.parametrize("asked, kind", pairs(ASKED, REFUSED))
def test_what_stripe_refuses_has_not_happened_and_may_be_asked_for_again(market, asked, kind):
    asked, key = asked(market), {"Idempotency-Key": secrets.token_hex(8)}
    before = kept(market.pg), len(market.stripe.charges())
    arm(market, asked, kind)
    assert_problem(asked.act(headers=key), *REFUSED[kind])
    assert (kept(market.pg), len(market.stripe.charges())) == before
    assert market.pg.query("SELECT state FROM billing_intents ORDER BY created_at DESC LIMIT 1") == [("failed",)]
    if not asked.again:
        assert_problem(asked.act(headers=key), *REFUSED[kind])  # the same again is answered the same
    assert asked.act().status_code in (200, 201)
    assert_well(market, asked)


@pytest.mark.parametrize("asked", ASKED)
def test_a_key_that_is_said_to_be_another_requests_is_looked_behind(market, asked):
    asked = asked(market)
    arm(market, asked, "idempotency_error")
    finish(market, asked, asked.act())
    assert_well(market, asked)


def test_a_key_that_stays_another_requests_fails_the_request(market):
    asked = Subscribe(market)
    arm(market, asked, "idempotency_error", times=None)
    intent = look(market.boss, asked.act())
    age(market.pg, intent["id"], "2 minutes")
    assert settle(market, intent["id"]) == "failed"
    market.stripe.faults.clear()
    assert asked.act().status_code == 201
    assert_well(market, asked)


@pytest.mark.parametrize("asked", CHARGED)
def test_a_secret_key_that_is_rotated_behind_a_lost_answer_leaves_the_request_open(market, asked):
    asked = asked(market)
    arm(market, asked, "applied_cut")
    arm(market, asked, "unauthorized", times=3, skip=0)
    intent = look(market.boss, asked.act())
    assert intent["state"] == "open"
    market.stripe.faults.clear()
    assert settle(market, intent["id"]) == "done"
    assert_well(market, asked)


def test_a_server_whose_secret_key_is_rotated_says_so_and_goes_on_with_the_new_one(market):
    Subscribe(market).act()
    old = market.stripe.api_key
    market.stripe.rotate_key()
    shown, = market.boss.get("/v1/billing").json()["subscriptions"]
    reply = market.boss.patch(f"/v1/billing/subscriptions/{shown['id']}", json={"seats": 4})
    assert_problem(reply, 503, "billing_misconfigured")
    market.stripe.api_key, market.stripe.api_keys = old, {old}
    assert market.boss.patch(f"/v1/billing/subscriptions/{shown['id']}", json={"seats": 4}).status_code == 200
    assert_same(market)


@pytest.mark.parametrize("kind", ["unknown_fields", "old_version"])
@pytest.mark.parametrize("asked", [Subscribe, Change, Cancel])
def test_an_answer_of_another_form_changes_nothing(market, asked, kind):
    """What counts is fetched, and of the answer to a request only its id."""
    asked = asked(market)
    arm(market, asked, kind)
    assert asked.act().status_code in (200, 201)
    assert_well(market, asked)


def test_a_page_to_pay_at_in_a_state_that_nobody_knows_is_open(market):
    asked = Checkout(market)
    arm(market, asked, "unknown_value", name="status", value="zz_dawdling")
    assert asked.act().status_code == 201
    assert_well(market, asked)


@pytest.mark.parametrize("asked", ASKED)
def test_an_answer_that_is_no_object_is_none(market, asked):
    asked = asked(market)
    arm(market, asked, "reshape", with_=lambda thing: {"ok": True})
    assert asked.act().status_code in (200, 201)
    assert_well(market, asked)


# --- Fetching -----------------------------------------------------------------------------------------------------------

FETCH = {**UNKNOWN, "oversized": {"size": 40 << 20}, "unauthorized": {}, "slow": {"delay": 0.02, "chunk": 200}, "unknown_fields": {}, "old_version": {}, "deleted": {}}


def shifted(market, quantity):
    """The portal changes seats behind our back. -> the event of it"""
    stripe_id = market.subscription(market.boss)["id"]
    market.stripe.portal_change(stripe_id, quantity)
    return market.stripe.events("customer.subscription.updated", stripe_id)[-1]


@pytest.mark.parametrize("kind", FETCH)
def test_a_fetch_that_fails_takes_nothing_away_and_comes_again(market, kind):
    market.pay(market.boss, plan="trust-seat", period="year", seats=3)
    event = shifted(market, 5)
    fault = market.stripe.faults.add("GET", r"/v1/subscriptions/sub_", kind.split(",")[0], times=3, **FETCH[kind])
    assert market.stripe.webhooks.deliver(event).ok
    while not fault.reached.wait(0.05):
        assert market.boss.get("/v1/tenant").json()["seats"]["bought"] == 3
    assert market.boss.get("/v1/tenant").json()["seats"]["bought"] in (3, 5)
    market.stripe.faults.clear()
    market.idle()
    assert market.boss.get("/v1/tenant").json()["seats"]["bought"] == 5
    assert_same(market)


def test_a_subscription_that_is_not_found_for_a_moment_is_looked_for_again(market):
    market.pay(market.boss, plan="trust-seat", period="year", seats=3)
    event = shifted(market, 5)
    market.stripe.faults.add("GET", r"/v1/subscriptions/sub_", "not_found")
    market.told(event)
    assert market.boss.get("/v1/tenant").json()["seats"]["bought"] == 3
    market.pg.query("UPDATE jobs SET run_after = now() WHERE kind = 'stripe_sync'")
    market.idle()
    assert market.boss.get("/v1/tenant").json()["seats"]["bought"] == 5
    assert_same(market)


def test_a_status_that_nobody_knows_grants_nothing_new_and_takes_nothing(market):
    market.pay(market.boss, plan="trust-seat", period="year", seats=3)
    until_when = market.boss.get("/v1/billing").json()["subscriptions"][0]["good_until"]
    fault = market.stripe.faults.add("GET", r"/v1/subscriptions/sub_", "unknown_value", times=None, name="status", value="zz_pondering",
                                     of="subscription")
    market.told(shifted(market, 5))
    shown, = market.boss.get("/v1/billing").json()["subscriptions"]
    assert fault.struck and (shown["status"], shown["seats"], shown["good_until"]) == ("zz_pondering", 5, until_when)
    assert market.boss.get("/v1/tenant").json()["seats"]["bought"] == 3
    market.stripe.faults.clear()
    market.told(shifted(market, 6))
    assert market.boss.get("/v1/tenant").json()["seats"]["bought"] == 6
    assert_same(market)


def test_a_form_that_nobody_knows_is_kept_out_until_an_operator_tries_again(market):
    market.pay(market.boss, plan="trust-seat", period="year", seats=3)
    event = shifted(market, 5)
    market.stripe.faults.add("GET", r"/v1/subscriptions/sub_", "reshape", times=None, with_=lambda thing: {**thing, "items": None})
    assert market.stripe.webhooks.deliver(event).ok
    attempts = "SELECT attempts, last_error FROM jobs WHERE kind = 'stripe_event' AND lease IS NULL AND attempts > 0"
    assert "form_unknown" in until(lambda: market.pg.query(attempts))[0][1]
    market.pg.query("UPDATE jobs SET dead_at = now() WHERE kind = 'stripe_event'")
    assert market.boss.get("/v1/tenant").json()["seats"]["bought"] == 3
    stuck = [row[0] for row in market.pg.query("SELECT line FROM billing_stuck()")]
    assert len(stuck) == 1 and event["id"] in stuck[0]
    market.stripe.faults.clear()
    assert market.pg.query("SELECT billing_retry(%s)", (event["id"],)) == [(1,)]
    market.idle()
    assert market.boss.get("/v1/tenant").json()["seats"]["bought"] == 5
    assert_same(market)


def test_a_lock_that_was_not_given_back_runs_out(market):
    market.pay(market.boss, plan="trust-seat", period="year", seats=3)
    event = shifted(market, 5)
    market.pg.query("UPDATE stripe_locks SET holder = gen_random_uuid(), until = now() + interval '1 hour'")
    assert market.stripe.webhooks.deliver(event).ok
    until(lambda: market.pg.query("SELECT 1 FROM jobs WHERE kind = 'stripe_event' AND last_error LIKE 'sync_busy%%'"))
    market.pg.query("UPDATE stripe_locks SET until = now()")
    market.idle()
    assert_same(market)


def test_what_was_fetched_under_a_lost_lock_is_refused(market):
    """A slow fetch that began before another must not put back what that one has brought."""
    market.pay(market.boss, plan="trust-seat", period="year", seats=3)
    first = shifted(market, 4)
    slow = Hold(market.stripe, "GET", r"/v1/subscriptions/sub_")
    assert market.stripe.webhooks.deliver(first).ok
    slow.wait()
    market.pg.query("UPDATE stripe_locks SET until = now() - interval '1 second'")
    second = shifted(market, 6)
    assert market.stripe.webhooks.deliver(second).ok
    until(lambda: market.boss.get("/v1/tenant").json()["seats"]["bought"] == 6)
    slow.release()
    market.idle()
    assert market.boss.get("/v1/tenant").json()["seats"]["bought"] == 6
    assert_same(market)


# --- The list of events -------------------------------------------------------------------------------------------------

LIST = {**UNKNOWN, "oversized": {"size": 40 << 20}, "unauthorized": {}, "not_found": {}, "slow": {"delay": 0.01, "chunk": 2000}, "unknown_fields": {}}


@pytest.mark.parametrize("kind", LIST)
def test_a_list_of_events_that_fails_is_read_again(market, kind):
    market.pay(market.boss, plan="trust-seat", period="year", seats=3)
    shifted(market, 5)
    fault = market.stripe.faults.add("GET", r"/v1/events$", kind.split(",")[0], times=3, **LIST[kind])
    if kind in ("slow", "unknown_fields"):
        reconcile(market)
    else:
        reconcile(market, good=False)
        assert market.pg.query("SELECT 1 FROM stripe_cursor") == []  # nothing was read, so nothing is passed over
        assert fault.struck == 3 or kind in ("unauthorized", "not_found")
        market.stripe.faults.clear()
        reconcile(market)
    assert not lost_events(market.pg, market.stripe)
    assert_same(market)


def test_events_that_come_in_between_the_pages_are_not_lost(market):
    market.pay(market.boss, plan="trust-seat", period="year", seats=3)
    customer = market.stripe.all("customer")[0]

    def more(count):
        with market.stripe.lock:
            for _ in range(count):
                market.stripe.store.emit("customer.updated", customer)

    more(230)
    event = shifted(market, 5)
    market.stripe.faults.add("GET", r"/v1/events$", "after", action=lambda: more(7))
    market.stripe.faults.add("GET", r"/v1/events$", "after", action=lambda: more(150))
    reconcile(market)
    assert market.pg.query("SELECT state FROM stripe_events WHERE event = %s", (event["id"],)) == [("done",)]
    reconcile(market)
    assert not lost_events(market.pg, market.stripe)
    assert_same(market)


def test_the_nightly_list_mends_what_no_event_told(market):
    """Events of more than thirty days ago are not listed any more."""
    market.pay(market.boss, plan="trust-seat", period="year", seats=3)
    shifted(market, 5)
    market.stripe.store.events.clear()
    assert differences(market.pg, market.stripe)
    market.stripe.faults.add("GET", r"/v1/subscriptions$", "bad_gateway", times=3)
    run_periodic(market, "stripe_nightly", good=False)
    run_periodic(market, "stripe_nightly")
    market.idle()
    assert_same(market)


def test_a_dead_fetch_does_not_keep_the_nightly_one_away(market):
    bought = market.pay(market.boss, plan="trust-seat", period="year", seats=3)
    shifted(market, 5)
    market.pg.query("SELECT stripe_sync_queue(%s, 3600)", (bought["stripe"],))
    market.pg.query("UPDATE jobs SET dead_at = now() WHERE kind = 'stripe_sync'")
    run_periodic(market, "stripe_nightly")
    market.idle()
    assert_same(market)


# --- Seats --------------------------------------------------------------------------------------------------------------

def by_card(market, seats=3):
    return market.pay(market.boss, plan="trust-seat", period="year", seats=seats)


def ask_for(market, bought, seats, **more):
    return market.boss.patch(f"/v1/billing/subscriptions/{bought['id']}", json={"seats": seats}, **more)


@pytest.mark.parametrize("outcome", ["declines", "requires_action"])
def test_seats_whose_payment_fails_are_not_there_until_it_is_paid(market, outcome):
    bought = by_card(market)
    market.stripe.next_payment(market.subscription(market.boss)["customer"], outcome)
    reply = ask_for(market, bought, 5)
    assert reply.status_code == 200 and reply.json()["awaiting_payment"] is True and reply.json()["seats"] == 3
    assert market.boss.get("/v1/tenant").json()["seats"]["bought"] == 3
    invoice = market.stripe.all("invoice", status="open")[0]
    if outcome == "declines":
        market.stripe.hosted_pay(invoice["id"])
    else:
        market.stripe.authenticate(invoice["id"])
    market.told(*market.stripe.events())
    assert market.boss.get("/v1/tenant").json()["seats"]["bought"] == 5
    assert len(market.stripe.charges()) == 2
    assert_same(market)


def test_seats_that_are_never_paid_for_never_come(market):
    bought = by_card(market)
    market.stripe.next_payment(market.subscription(market.boss)["customer"], "declines")
    assert ask_for(market, bought, 5).json()["awaiting_payment"] is True
    market.told(*market.stripe.events())
    market.told(*market.stripe.advance(days=1))
    shown = market.boss.get(f"/v1/billing/subscriptions/{bought['id']}").json()
    assert (shown["awaiting_payment"], shown["seats"]) == (False, 3)
    assert len(market.stripe.charges()) == 1
    assert_same(market)


def test_two_changes_at_once_are_one_after_the_other(market):
    bought = by_card(market)
    held = Hold(market.stripe, "POST", r"/v1/subscriptions/sub_")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask_for, market, bought, 5)
        held.wait()
        assert_problem(ask_for(market, bought, 9), 409, "billing_busy")
        held.release()
        assert first.result().json()["seats"] == 5
    assert ask_for(market, bought, 4).json()["seats"] == 4
    assert_same(market)


def test_two_orders_at_once_are_one_subscription(market):
    """The second was looked at before the first was written down, and comes to write behind it."""
    assert market.by_invoice(market.boss, 3).status_code == 201
    market.told(*market.stripe.events())
    stripe_id = market.subscription(market.boss)["id"]
    client = Client(market.stripe)
    client.delete(f"subscriptions/{stripe_id}")
    client.close()
    market.told(*market.stripe.events("customer.subscription.deleted"))
    held = market.stripe.faults.add("POST", r"/v1/customers/cus_", "hold_before", seconds=30)  # its address; behind the check
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(market.by_invoice, market.boss, 4)
        assert held.reached.wait(30)
        # As another node does it that knows of no address: it is refused while the first is under way.
        assert_problem(market.checkout(market.boss, "trust-seat", "year", seats=5), 409, "billing_busy")
        held.release()
        assert late.result().status_code == 201
    assert_problem(market.checkout(market.boss, "trust-seat", "year", seats=5), 409, "already_subscribed")
    assert_same(market)


def test_an_order_that_was_checked_before_another_is_looked_at_again_under_the_lock(market):
    """Straight at the database, which is where the two meet."""
    asked = Subscribe(market)
    assert asked.act().status_code == 201
    person = market.pg.query("SELECT person_id FROM memberships WHERE tenant_id = %s", (market.boss.tenant,))[0][0]
    for kind in ("checkout", "subscribe"):
        order = {"intent": str(uuid.uuid4()), "kind": kind, "method": "POST", "path": "/", "body": "", "terms": {"plan": "trust-seat"}}
        with pytest.raises(Exception, match="already_subscribed"):
            market.pg.query("SELECT become(%s, %s, NULL, '{administrator}'); SELECT intent_open(%s, NULL, NULL)",
                            (market.boss.tenant, person, json.dumps(order)))
    assert market.pg.query("SELECT count(*) FROM billing_intents WHERE kind = 'subscribe'") == [(1,)]


@pytest.mark.parametrize("seats", [5, 1])
def test_a_change_in_the_portal_behind_our_back_counts(market, seats):
    by_card(market)
    event = shifted(market, seats)
    market.told(event)
    assert market.boss.get("/v1/tenant").json()["seats"]["bought"] == seats
    assert_same(market)


def test_a_change_begins_with_what_stands_at_stripe(market):
    """Ours is old, and nobody has told: what was asked for is what is set."""
    bought = by_card(market)
    shifted(market, 7)
    assert ask_for(market, bought, 3).json()["seats"] == 3
    assert market.subscription(market.boss)["items"]["data"][0]["quantity"] == 3
    assert_same(market)


def test_a_change_never_adds_a_second_item(market):
    bought = by_card(market)
    for seats in (5, 2):
        assert ask_for(market, bought, seats).status_code == 200
        assert len(market.subscription(market.boss)["items"]["data"]) == 1
    sent = [one for one in market.stripe.record.requests if one["method"] == "POST" and "/v1/subscriptions/" in one["path"]]
    assert len(sent) == 2 and all("items[0][id]=si_" in one["body"] for one in sent)


def test_seats_of_a_second_item_of_the_same_plan_count(market):
    """Somebody at Stripe's dashboard forgot the item's id."""
    by_card(market)
    stripe_id = market.subscription(market.boss)["id"]
    price = market.pg.query("SELECT price FROM plan_prices WHERE plan = 'trust-seat' AND period = 'year' AND currency = 'eur'")[0][0]
    other = market.stripe.get(market.subscription(market.boss)["items"]["data"][0]["price"]["id"])
    client = Client(market.stripe)
    twin = client.post("prices", product=other["product"], currency="gbp", unit_amount=11000, recurring={"interval": "year"})
    client.post(f"subscriptions/{stripe_id}", items=[{"price": twin["id"], "quantity": 2}])
    client.close()
    assert price != twin["id"]
    market.told(market.stripe.events("customer.subscription.updated", stripe_id)[-1])
    assert market.boss.get("/v1/tenant").json()["seats"]["bought"] == 5


def test_no_fewer_seats_than_are_in_use(market):
    bought = by_card(market)
    hold_seats(market.boss, 2)
    assert_problem(ask_for(market, bought, 1), 409, "seats_in_use", "/seats")
    assert market.subscription(market.boss)["items"]["data"][0]["quantity"] == 3
    assert ask_for(market, bought, 2).json()["seats"] == 2
    assert_same(market)


def test_seats_that_are_given_back_are_gone_from_the_request_to_the_fetch(market):
    """Nobody joins on a seat that nobody pays for: not while Stripe is asked, and not before what came of it is fetched."""
    bought = by_card(market)
    hold_seats(market.boss, 1)
    held = Hold(market.stripe, "POST", r"/v1/subscriptions/sub_")
    with ThreadPoolExecutor(1) as pool:
        fewer = pool.submit(ask_for, market, bought, 1)
        held.wait()
        assert market.boss.get("/v1/tenant").json()["seats"]["bought"] == 1
        fetch = market.stripe.faults.add("GET", r"/v1/subscriptions/sub_", "hold_before", seconds=30)
        held.release()
        assert fetch.reached.wait(30)
        until(lambda: market.pg.query("SELECT 1 FROM billing_intents WHERE kind = 'change' AND state = 'done'"))
        assert market.boss.get("/v1/tenant").json()["seats"]["bought"] == 1
        assert_problem(market.boss.post("/v1/tenant/invitations", json={"email": "late@example.org", "roles": ["trainee"]}), 409,
                       "seats_exhausted")
        fetch.release()
        assert fewer.result().json()["seats"] == 1
    assert_same(market)


def test_seats_bought_in_the_portal_behind_a_lost_answer_are_there(market):
    """The job fetches them before it says what became of the change: what that leaves is older than what was fetched."""
    bought = by_card(market)
    lost = arm(market, Change, "applied_cut", times=None)
    intent = look(market.boss, ask_for(market, bought, 1))
    assert intent["state"] == "open"
    market.told(shifted(market, 8))
    assert market.boss.get("/v1/tenant").json()["seats"]["bought"] == 1
    market.stripe.faults.drop(lost)
    assert settle(market, intent["id"]) == "done"
    assert market.boss.get("/v1/tenant").json()["seats"]["bought"] == 8
    assert_same(market)


def test_a_change_that_cannot_be_fetched_after_it_was_made_is_fetched_by_a_job(market):
    """Nothing else brings it: its event is not told here."""
    bought = by_card(market)
    fault = market.stripe.faults.add("GET", r"/v1/subscriptions/sub_", "bad_gateway", times=3, skip=1)
    ask_for(market, bought, 8)
    assert fault.times == 0
    market.idle()
    assert market.boss.get("/v1/tenant").json()["seats"]["bought"] == 8
    assert_same(market)


def test_seats_whose_giving_back_fails_are_there_again(market):
    bought = by_card(market)
    arm(market, Change, "declined")
    assert_problem(ask_for(market, bought, 1), 402)
    assert market.boss.get("/v1/tenant").json()["seats"]["bought"] == 3
    assert_same(market)


def test_a_change_that_is_worth_nothing_and_one_that_is_a_credit_charge_nothing(market):
    bought = by_card(market)
    assert ask_for(market, bought, 3).json()["seats"] == 3  # nothing is sent
    assert ask_for(market, bought, 2).json()["seats"] == 2
    assert len(market.stripe.charges()) == 1
    assert ask_for(market, bought, 3).json()["seats"] == 3  # the credit pays for it
    assert sum(charge["amount"] for charge in market.stripe.charges()) - 3 * 14400 <= 1  # with tax
    assert_same(market)


def test_a_preview_is_what_the_change_costs(market):
    market.stripe.store.clock.move(market.stripe.now() - 100 * 86400)
    bought = by_card(market)
    market.stripe.advance(days=100)
    market.told(*market.stripe.events())
    preview = market.boss.post(f"/v1/billing/subscriptions/{bought['id']}/preview", json={"seats": 5}).json()
    reply = market.boss.patch(f"/v1/billing/subscriptions/{bought['id']}", json={"seats": 5, "proration_date": preview["proration_date"]})
    assert reply.status_code == 200, reply.text
    assert market.stripe.charges()[-1]["amount"] == preview["amount_due"] > 0
    assert_same(market)
