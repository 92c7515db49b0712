"""Stripe's events on their way in: nothing that Stripe told is lost, and nothing is believed that it only told."""
import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from stripe_standin import webhooks
from stripe_standin.client import Client
from support.billing import until
from support.billing_faults import (Hold, Kill, age, assert_same, differences, hold_seats, hurry, kept, lost_events, reconcile, release_leases,
                                    settle)
from support.reads import assert_problem


@pytest.fixture
def bought(market):
    """The trust has three seats, by card, and nothing of it has been told."""
    market.bought = market.pay(market.boss, plan="trust-seat", period="year", seats=3)
    return market


def change(market, quantity):
    """In the portal. -> its events, oldest first"""
    first = len(market.stripe.events())
    market.stripe.portal_change(market.bought["stripe"], quantity)
    return market.stripe.events()[first:]


def seats(market):
    return market.boss.get("/v1/tenant").json()["seats"]["bought"]


def state_of(market, event):
    rows = market.pg.query("SELECT state FROM stripe_events WHERE event = %s", (event["id"],))
    return rows[0][0] if rows else None


def updated(market, quantity):
    return next(event for event in change(market, quantity) if event["type"] == "customer.subscription.updated")


# --- Who may tell us anything -------------------------------------------------------------------------------------------

BAD = {"301 seconds old": {"age": 301}, "of a time to come": {"age": -310}, "a byte changed": {"tamper": "byte"},
       "written anew": {"tamper": "json"}, "v0 only": {"schemes": ("v0",)}, "no header": {"signed": False}, "an empty header": {"signed": ","},
       "of another secret": {"secrets": ["whsec_" + "0" * 48]}, "no time": {"signed": "v1=" + "0" * 64}, "no v1": {"signed": "t=1"},
       "twice a time": {"signed": "t=1,t=1,v1=" + "0" * 64}, "words": {"signed": "hello"}}
# A second or two may go by on the way.
GOOD = {"plain": {}, "290 seconds old": {"age": 290}, "290 seconds ahead": {"age": -290}, "a v0 beside": {"schemes": ("v0", "v1")},
        "the other of two secrets": {"secrets": 1}, "both secrets": {"secrets": 2}}


@pytest.mark.parametrize("how", BAD)
def test_a_delivery_that_is_not_signed_as_it_must_be_is_refused_and_leaves_nothing(bought, how):
    event = updated(bought, 5)
    made = bought.stripe.webhooks.deliver(event, **BAD[how])
    assert made.status == 400 and b"signature_invalid" in made.body
    assert state_of(bought, event) is None and seats(bought) == 3
    bought.told(event)
    assert_same(bought)


@pytest.mark.parametrize("how", GOOD)
def test_a_delivery_with_a_good_signature_is_taken(bought, server_with, how):
    secret, other = bought.stripe.webhooks.secrets[0], "whsec_" + "5" * 48
    server = server_with(stripe_key=bought.stripe.api_key, stripe_url=bought.stripe.url, stripe_webhook_secret=f"{secret},{other}")
    options = {**GOOD[how], "secrets": {None: [secret], 1: [other], 2: [other, secret]}[GOOD[how].get("secrets")]}
    event = updated(bought, 5)
    made = bought.stripe.webhooks.deliver(event, url=server.url + "/v1/stripe/webhook", **options)
    assert made.status == 200, made.body
    bought.idle()
    assert seats(bought) == 5


def test_what_is_signed_and_is_no_event_is_refused(bought):
    for body in (b"", b"[]", b"{}", b'{"id": 1, "type": "x", "created": 1, "data": {}}', b'{"id": "evt_1", "type": "x", "created": 1}', b"\xff"):
        head = webhooks.header(body, bought.stripe.webhooks.secrets, int(time.time()))
        reply = bought.client().post("/v1/stripe/webhook", content=body, headers={"Stripe-Signature": head, "Content-Type": "application/json"})
        assert_problem(reply, 400)
    assert bought.pg.query("SELECT 1 FROM stripe_events") == []


def test_a_server_that_sells_nothing_takes_no_webhooks(bought, server):
    made = bought.stripe.webhooks.deliver(updated(bought, 5), url=server.url + "/v1/stripe/webhook")
    assert made.status == 503 and b"stripe_not_configured" in made.body


# --- How often, and in which order --------------------------------------------------------------------------------------

def facts(market):
    return market.pg.query("SELECT count(*) FROM billing_facts WHERE source = %s", (market.bought["stripe"],))[0][0]


def test_an_event_that_comes_again_is_worked_on_once(bought):
    event = updated(bought, 5)
    bought.told(event, event)
    before = facts(bought), len(bought.stripe.record.requests)
    assert bought.stripe.webhooks.deliver(event).body == b'{"state":"known"}'
    bought.pg.query("UPDATE stripe_events SET taken_at = taken_at - interval '70 days', raw = NULL")
    bought.told(event)  # days later
    assert (facts(bought), len(bought.stripe.record.requests)) == before
    assert_same(bought)


def test_an_event_that_comes_eight_times_at_once_is_worked_on_once(bought):
    event = updated(bought, 5)
    made, _ = bought.stripe.webhooks.burst([event] * 8, at_once=8)
    assert sorted(one.body for one in made) == sorted([b'{"state":"queued"}'] + [b'{"state":"known"}'] * 7)
    bought.idle()
    assert facts(bought) == 2
    assert_same(bought)


def test_two_ids_for_one_fact_are_one_fact(bought):
    event = updated(bought, 5)
    bought.told(event, webhooks.altered(event, fresh_id=True))
    assert facts(bought) == 2
    assert_same(bought)


def first_events(market):
    """created, updated, paid, completed of one purchase."""
    kinds = ("customer.subscription.created", "customer.subscription.updated", "invoice.paid", "checkout.session.completed")
    return [market.stripe.events(kind)[-1] for kind in kinds if market.stripe.events(kind)]


@pytest.mark.parametrize("order", itertools.permutations(range(4)))
def test_the_order_in_which_the_news_of_a_purchase_comes_means_nothing(market, order):
    reply = market.checkout(market.boss, "trust-seat", "year", seats=3)
    market.stripe.complete_checkout(market.session_of(reply.json()["id"]))
    stripe_id = market.stripe.all("subscription")[0]["id"]
    market.stripe.portal_change(stripe_id, 4)
    events = first_events(market)
    assert len(events) == 4
    for place in order:
        market.told(events[place])
        assert seats(market) == 4  # from the first on: what counts is what is fetched
    assert_same(market)


@pytest.mark.parametrize("order", itertools.permutations(range(3)))
def test_an_end_is_not_undone_by_what_was_told_before_it(bought, order):
    events = [updated(bought, 5)]
    bought.stripe.portal_cancel(bought.bought["stripe"])
    events.append(bought.stripe.events("customer.subscription.updated")[-1])
    client = Client(bought.stripe)
    client.delete("subscriptions/" + bought.bought["stripe"])
    client.close()
    events.append(bought.stripe.events("customer.subscription.deleted")[-1])
    for place in order:
        bought.told(events[place])
        assert seats(bought) == 0
    assert_same(bought)


@pytest.mark.parametrize("again", [False, True])
def test_news_that_overtakes_the_answer_to_our_request_is_taken(market, again):
    """Stripe tells of the subscription before it has answered who asked for it; and the answer may then get lost."""
    held = Hold(market.stripe, "POST", r"/v1/subscriptions$")
    with ThreadPoolExecutor(1) as pool:
        order = pool.submit(market.by_invoice, market.boss, 3)
        held.wait()
        for event in market.stripe.events("customer.subscription") + market.stripe.events("invoice"):
            assert market.stripe.webhooks.deliver(event).ok
        until(lambda: seats(market) == 3)
        if again:
            market.server.kill()
            market.server.restart()
        held.release()
        if not again:
            assert order.result().status_code == 201
        else:
            assert isinstance(order.exception(), httpx.TransportError)
    release_leases(market)
    for intent, in market.pg.query("SELECT intent_id FROM billing_intents WHERE state = 'open'"):
        assert settle(market, intent) == "done"
    market.idle()
    assert_same(market)


@pytest.mark.parametrize("seats_told", [4, 9])
def test_a_payload_that_says_something_else_than_the_fetch_is_not_believed(bought, seats_told):
    """Staler, or from a time to come that GET does not know yet: then it is fetched once more."""
    event = updated(bought, 5)
    told = webhooks.restated(event, items={**event["data"]["object"]["items"], "data": [
        {**event["data"]["object"]["items"]["data"][0], "quantity": seats_told}]})
    bought.told(told)
    assert seats(bought) == 5
    bought.stripe.portal_change(bought.bought["stripe"], seats_told)
    hurry(bought.pg, "stripe_sync")
    bought.idle()
    assert seats(bought) == seats_told
    assert_same(bought)


def test_a_fetch_that_is_older_than_the_news_is_made_again(bought):
    """Stripe's answer lags behind its own event, also for the second event that finds a fetch made since it came."""
    before = bought.stripe.get(bought.bought["stripe"])
    bought.stripe.faults.add("GET", r"/v1/subscriptions/sub_", "reshape", times=2, with_=lambda thing: before)
    events = change(bought, 5)
    for event in events:
        assert bought.stripe.webhooks.deliver(event).ok
    until(lambda: not bought.pg.query("SELECT 1 FROM stripe_events WHERE state = 'queued'"))
    until(lambda: (hurry(bought.pg, "stripe_sync"), seats(bought))[1] == 5)
    bought.stripe.faults.clear()
    bought.idle()
    assert_same(bought)


# --- Of whom, and of what version ---------------------------------------------------------------------------------------

def test_events_of_strangers_and_of_the_other_mode_are_acknowledged_and_do_nothing(bought):
    event = updated(bought, 5)
    bought.told(webhooks.of_stranger(webhooks.restated(event, id="sub_OfAStranger")), webhooks.altered(event, fresh_id=True, livemode=True))
    rows = bought.pg.query("SELECT state FROM stripe_events ORDER BY taken_at")
    assert rows == [("foreign",), ("foreign",)] and seats(bought) == 3
    bought.told(event)
    assert_same(bought)


def test_an_event_that_says_nothing_to_us_is_acknowledged(bought):
    product = bought.stripe.events("product.created")[0]
    bought.told(product)
    assert state_of(bought, product) == "ignored"


def test_an_event_of_another_version_is_quarantined_until_an_operator_tries_it_again(bought):
    event = webhooks.in_old_version(updated(bought, 5))
    made = bought.stripe.webhooks.deliver(event)
    assert made.ok and made.body == b'{"state":"quarantined"}'
    bought.idle()
    assert state_of(bought, event) == "quarantined" and seats(bought) == 3
    assert [event["id"] in row[0] for row in bought.pg.query("SELECT line FROM billing_stuck()")] == [True]
    assert bought.pg.query("SELECT billing_retry(%s)", (event["id"],)) == [(1,)]
    bought.idle()
    assert state_of(bought, event) == "done" and seats(bought) == 5
    assert_same(bought)


@pytest.mark.parametrize("kind", ["invoice.paid", "checkout.session.completed"])
def test_an_old_form_of_an_event_is_found_its_subscription(bought, kind):
    """What its payload calls otherwise is looked for by the customer."""
    bought.stripe.portal_change(bought.bought["stripe"], 5)
    event = webhooks.in_old_version(bought.stripe.events(kind)[-1])
    assert bought.stripe.webhooks.deliver(event).ok
    bought.pg.query("SELECT billing_retry(NULL)")
    bought.idle()
    assert seats(bought) == 5
    assert_same(bought)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_customer_who_is_deleted_at_stripe_takes_the_subscription_with_it(bought, order):
    customer = bought.subscription(bought.boss)["customer"]
    client = Client(bought.stripe)
    client.delete("customers/" + customer)
    client.close()
    events = [bought.stripe.events("customer.subscription.deleted")[-1], bought.stripe.events("customer.deleted")[-1]]
    for place in order:
        bought.told(events[place])
    assert seats(bought) == 0
    assert {state_of(bought, event) for event in events} == {"done"}
    again = bought.pay(bought.boss, plan="trust-seat", period="year", seats=4)
    assert again["seats"] == 4 and seats(bought) == 4
    assert bought.stripe.get(again["stripe"])["customer"] != customer


# --- What gets lost -----------------------------------------------------------------------------------------------------

def test_what_no_webhook_brought_is_found_in_the_list(bought):
    events = change(bought, 5)
    reconcile(bought)
    assert seats(bought) == 5 and {state_of(bought, event) for event in events} <= {"done", "foreign", "ignored"}
    assert bought.stripe.webhooks.deliver(events[0]).body == b'{"state":"known"}'  # and comes at last
    assert not lost_events(bought.pg, bought.stripe)
    assert_same(bought)


def test_an_event_that_is_too_large_for_the_webhook_is_found_in_the_list(bought):
    event = updated(bought, 5)
    made = bought.stripe.webhooks.deliver(event, huge=2 << 20)
    assert made.status in (None, 413)  # the connection may close before all of it is sent
    assert state_of(bought, event) is None
    reconcile(bought)
    assert seats(bought) == 5
    assert_same(bought)


def test_a_large_event_is_taken(bought):
    event = updated(bought, 5)
    assert bought.stripe.webhooks.deliver(event, huge=900_000).ok
    bought.idle()
    assert_same(bought)


def test_many_large_events_are_found_in_the_list(bought):
    """A page of them is larger than any answer of Stripe's that is taken."""
    customer = bought.stripe.all("customer")[0]
    with bought.stripe.lock:
        for _ in range(12):
            bought.stripe.store.emit("customer.updated", {**customer, "metadata": {"padding": "x" * 600_000}})
    change(bought, 5)
    reconcile(bought)
    assert not lost_events(bought.pg, bought.stripe)
    assert_same(bought)


def test_a_database_that_is_away_is_a_503_and_the_event_comes_again(bought, pg):
    event = updated(bought, 5)
    pg.stop()
    made = bought.stripe.webhooks.deliver(event)
    assert made.status == 503, made.body
    pg.start()
    until(lambda: bought.stripe.webhooks.deliver(event).ok)
    bought.idle()
    assert seats(bought) == 5
    assert_same(bought)


def test_a_server_that_is_killed_before_it_stored_an_event_gets_it_again(bought):
    """A lock on the table holds it back; it is killed while it waits, so nothing is stored and nothing was acknowledged."""
    event = updated(bought, 5)
    with bought.pg(autocommit=False) as session, ThreadPoolExecutor(1) as pool:
        session.cursor().execute("LOCK TABLE stripe_events IN EXCLUSIVE MODE")
        made = pool.submit(bought.stripe.webhooks.deliver, event)
        until(lambda: bought.pg.query("SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'stripe_events'::regclass"))
        bought.server.kill()
        assert made.result().status is None
        bought.pg.query("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted AND relation = 'stripe_events'::regclass")
        session.rollback()
    bought.server.restart()
    assert state_of(bought, event) is None and seats(bought) == 3
    bought.told(event)
    assert seats(bought) == 5
    assert_same(bought)


def test_a_server_that_is_killed_between_storing_and_acknowledging_works_on_the_event_and_knows_it(bought):
    """The answer does not get out: the event is there, and is told once more."""
    event = updated(bought, 5)
    bought.pg.query("""CREATE FUNCTION test_slow_store() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(2); RETURN NULL; END $$;
                       CREATE TRIGGER test_slow_store AFTER INSERT ON stripe_events FOR EACH STATEMENT EXECUTE FUNCTION test_slow_store()""")
    try:
        with ThreadPoolExecutor(1) as pool:
            made = pool.submit(bought.stripe.webhooks.deliver, event)
            until(lambda: bought.pg.query("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), pause=0.02)
            bought.server.kill()
            assert made.result().status is None
            until(lambda: state_of(bought, event) == "queued")  # the database ends what it was asked for
    finally:
        bought.pg.query("DROP FUNCTION test_slow_store CASCADE")
    bought.server.restart()
    assert bought.stripe.webhooks.deliver(event).body == b'{"state":"known"}'
    bought.idle()
    assert seats(bought) == 5
    assert_same(bought)


@pytest.mark.parametrize("kind", ["before", "after"])
def test_a_server_that_is_killed_while_it_works_on_an_event_works_on_it_again(bought, kind):
    event = updated(bought, 5)
    kill = Kill(bought.server)
    bought.stripe.faults.add("GET", r"/v1/subscriptions/sub_", kind, action=kill)
    assert bought.stripe.webhooks.deliver(event).ok
    kill.wait()
    assert state_of(bought, event) == "queued"
    bought.server.restart()
    release_leases(bought)
    bought.idle()
    assert state_of(bought, event) == "done" and seats(bought) == 5
    assert_same(bought)


@pytest.mark.parametrize("kind", ["before", "after"])
@pytest.mark.parametrize("path", [r"/v1/subscriptions$", r"/v1/customers$"])
def test_a_server_that_is_killed_while_it_asks_stripe_finds_out_what_became_of_it(market, kind, path):
    kill = Kill(market.server)
    market.stripe.faults.add("POST", path, kind, action=kill)
    with pytest.raises(httpx.TransportError):
        market.by_invoice(market.boss, 3)
    kill.wait()
    market.server.restart()
    (intent, what), = market.pg.query("SELECT intent_id, kind FROM billing_intents WHERE state = 'open'")
    assert settle(market, intent) == "done"
    if what == "customer":
        assert market.by_invoice(market.boss, 3).status_code == 201
    release_leases(market)
    market.idle()
    assert seats(market) == 3
    assert_same(market)


def test_seats_that_are_given_back_stay_out_over_a_kill(bought):
    """Between Stripe's answer and the fetch of what came of it."""
    hold_seats(bought.boss, 1)
    kill = Kill(bought.server)
    bought.stripe.faults.add("GET", r"/v1/subscriptions/sub_", "before", skip=1, action=kill)
    with pytest.raises(httpx.TransportError):
        bought.boss.patch(f"/v1/billing/subscriptions/{bought.bought['id']}", json={"seats": 1})
    kill.wait()
    bought.server.restart()
    assert bought.pg.query("SELECT state FROM billing_intents WHERE kind = 'change'") == [("done",)]
    assert seats(bought) == 1 and kept(bought.pg)[bought.bought["stripe"]]["seats"] == 3
    assert differences(bought.pg, bought.stripe)
    release_leases(bought)
    reconcile(bought)
    assert seats(bought) == 1
    assert_same(bought)


def test_a_burst_of_news_is_worked_on_to_the_end(bought):
    events = [event for quantity in (4, 5, 6, 7, 8, 5) for event in change(bought, quantity)]
    made, _ = bought.stripe.webhooks.burst(events + events, at_once=12)
    assert all(one.ok for one in made)
    bought.idle()
    assert not [row for row in lost_events(bought.pg, bought.stripe) if any(event["id"] in row for event in events)]
    assert seats(bought) == 5
    assert_same(bought)


def test_the_job_and_the_request_may_both_come_to_what_became_of_it(market):
    """The job finds out while the answer is still on its way; both say the same, and it counts once."""
    held = Hold(market.stripe, "POST", r"/v1/subscriptions$")
    with ThreadPoolExecutor(1) as pool:
        order = pool.submit(market.by_invoice, market.boss, 3)
        held.wait()
        (intent,), = market.pg.query("SELECT intent_id FROM billing_intents WHERE state = 'open'")
        age(market.pg, intent, "1 minute")
        assert settle(market, intent) == "done"
        held.release()
        assert order.result().status_code == 201
    assert seats(market) == 3
    assert_same(market)
