"""Where billing ends: with an erased account, with a request that changes nothing, at the end of a list, in a dispute. Whatever the
order of things, nobody is charged who is gone, and nothing is lost unseen."""
import json
import secrets

import pytest
from stripe_standin import catalog
from stripe_standin.checkout import Refused
from stripe_standin.client import Client
from support.accounts import account
from support.billing import until
from support.billing_faults import age, assert_same, hurry, kept, look, lost_events, reconcile, run_periodic, settle, twice
from support.reads import assert_problem


@pytest.fixture
def stripe_client(stripe):
    """What an operator does in Stripe's dashboard."""
    client = Client(stripe)
    yield client
    client.close()


def new_key():
    return {"Idempotency-Key": secrets.token_hex(8)}


def the_one(me):
    shown, = me.get("/v1/billing").json()["subscriptions"]
    return shown


def access(me):
    return me.get("/v1/tenant").json()["access"]


def tell_all(market):
    market.told(*[event for event in market.stripe.events() if event["pending_webhooks"]])


# --- Who has erased the account pays no more ----------------------------------------------------------------------------

@pytest.fixture
def leaver(market):
    """Somebody who is going to erase the account: .erase()."""
    http = market.client()
    email, word, _ = account(http, market.pg)
    me = market.signed_in(email, word)

    def erase():
        reply = me.request("DELETE", "/v1/me", json={"confirm": "erase", "password": word})
        assert reply.status_code == 204, reply.text
    me.erase = erase
    return me


def assert_over(market, charged):
    """All has ended, and time brings no charge."""
    tell_all(market)
    assert len(market.stripe.charges()) == charged
    assert {one["status"] for one in market.stripe.all("subscription")} <= {"canceled"}
    assert "open" not in {one["status"] for one in market.stripe.all("checkout.session")}
    market.told(*market.stripe.advance(days=70))
    assert len(market.stripe.charges()) == charged
    assert_same(market)


def test_what_was_paid_for_before_the_account_was_erased_is_ended_although_nobody_had_told(market, leaver):
    page = market.checkout(leaver, plan="all-one").json()["id"]
    market.stripe.complete_checkout(market.session_of(page))
    leaver.erase()
    market.idle()
    assert market.stripe.all("subscription")[0]["status"] == "canceled"
    assert_over(market, charged=1)


def test_what_is_told_after_the_account_was_erased_is_ended(market, leaver):
    """The webhook alone brings it: what the erasure itself had queued is lost."""
    page = market.checkout(leaver, plan="all-one").json()["id"]
    market.stripe.complete_checkout(market.session_of(page))
    market.stripe.down()
    leaver.erase()
    market.pg.query("DELETE FROM jobs WHERE kind = 'billing_end'")
    market.stripe.start()
    assert market.stripe.all("subscription")[0]["status"] == "active"
    assert_over(market, charged=1)


def test_a_page_that_is_open_when_the_account_is_erased_is_closed(market, leaver):
    page = market.checkout(leaver, plan="all-one").json()["id"]
    session = market.session_of(page)
    leaver.erase()
    market.idle()
    assert market.stripe.get(session)["status"] == "expired"
    with pytest.raises(Refused):
        market.stripe.complete_checkout(session)
    assert market.pg.query("SELECT state FROM checkouts") == [("expired",)]
    assert_over(market, charged=0)


@pytest.mark.parametrize("kind", ["bad_gateway", "server_error"])
def test_a_page_whose_closing_fails_is_closed_by_another_attempt(market, leaver, kind):
    page = market.checkout(leaver, plan="all-one").json()["id"]
    options = {"applied": False} if kind == "server_error" else {}
    market.stripe.faults.add("POST", r"/expire$", kind, times=3, **options)
    leaver.erase()
    until(lambda: hurry(market.pg, "billing_end") or market.stripe.get(market.session_of(page))["status"] == "expired", pause=0.2)
    market.idle()
    assert_over(market, charged=0)


def test_a_page_that_is_paid_at_while_it_is_being_closed_leads_to_the_end(market, leaver):
    page = market.checkout(leaver, plan="all-one").json()["id"]
    session = market.session_of(page)
    market.stripe.faults.add("POST", r"/expire$", "before", action=lambda: market.stripe.complete_checkout(session))
    leaver.erase()
    market.idle()
    subscription, = market.stripe.all("subscription")
    assert subscription["status"] == "canceled" and kept(market.pg)[subscription["id"]]["ended_at"]
    assert_over(market, charged=1)


def test_a_page_of_which_nobody_knew_when_the_account_was_erased_is_closed_and_the_request_forgotten(market, leaver):
    market.stripe.faults.add("POST", r"/v1/checkout/sessions$", "applied_cut", times=3)
    intent = look(leaver, market.checkout(leaver, plan="all-one"))
    leaver.erase()
    assert settle(market, intent["id"]) == "done"
    assert market.stripe.all("checkout.session")[0]["status"] == "expired"
    assert market.pg.query("SELECT DISTINCT body FROM billing_intents") == [("",)]
    assert_over(market, charged=0)


def test_what_is_bought_in_stripes_dashboard_for_an_erased_account_is_ended(market, leaver, stripe_client):
    bought = market.pay(leaver, plan="all-one")
    leaver.erase()
    market.idle()
    was = market.stripe.get(bought["stripe"])
    stripe_client.post("subscriptions", customer=was["customer"], items=[{"price": was["items"]["data"][0]["price"]["id"]}],
                       default_payment_method=was["default_payment_method"])
    assert [one["status"] for one in market.stripe.all("subscription")] == ["active", "canceled"]
    assert_over(market, charged=2)


def test_an_end_that_does_not_come_is_shown_to_the_operator_who_can_try_again(market, leaver):
    bought = market.pay(leaver, plan="all-one")
    market.stripe.faults.add("DELETE", r"/v1/subscriptions/", "bad_gateway", times=None)
    leaver.erase()
    failed = "SELECT attempts FROM jobs WHERE kind = 'billing_end' AND last_error IS NOT NULL AND lease IS NULL"
    until(lambda: market.pg.query(failed))
    assert not stuck(market)
    market.pg.query("UPDATE jobs SET attempts = 11, run_after = now() + interval '1 hour' WHERE kind = 'billing_end'")
    shown, = stuck(market)
    assert (shown["what"], shown["kind"], shown["id"], shown["error"][:12]) == ("failing", "billing_end", bought["stripe"], "billing_away")
    assert market.pg.query("SELECT dead FROM billing_counts()") == [(1,)]
    market.stripe.faults.clear()
    assert market.server.cli_json("billing", "retry", bought["stripe"]) == {"retried": 1}
    market.idle()
    assert market.stripe.get(bought["stripe"])["status"] == "canceled" and not stuck(market)
    assert_over(market, charged=1)


@pytest.mark.parametrize("kind", ["stripe_reconcile", "stripe_nightly"])
def test_a_list_that_cannot_be_read_for_long_is_shown_to_the_operator(market, kind):
    path = {"stripe_reconcile": r"/v1/events", "stripe_nightly": r"/v1/subscriptions$"}[kind]
    market.stripe.faults.add("GET", path, "bad_gateway", times=None)
    run_periodic(market, kind, good=False)
    market.pg.query("UPDATE jobs SET attempts = 11 WHERE kind = %s", (kind,))
    assert [(one["what"], one["kind"]) for one in stuck(market)] == [("failing", kind)]
    market.stripe.faults.clear()
    assert market.server.cli_json("billing", "retry") == {"retried": 1}
    until(lambda: market.pg.query("SELECT kind FROM jobs WHERE kind = %s AND attempts = 0 AND last_error IS NULL AND lease IS NULL", (kind,)))
    assert not stuck(market)


def test_what_stripe_said_of_somebody_is_forgotten_with_the_account_and_what_it_says_later_is_not_kept(market, leaver):
    market.pay(leaver, plan="all-one")
    market.stripe.faults.add("POST", r"/v1/customers/", "declined")
    assert_problem(leaver.patch("/v1/billing/customer", json={"email": "invoices@example.org"}), 402)
    market.told(disputed(market))
    words = "SELECT count(*) FROM billing_intents WHERE detail <> ''"
    raw = "SELECT array_agg(DISTINCT type) FROM stripe_events WHERE raw IS NOT NULL AND state <> 'ignored'"
    assert market.pg.query(words) == [(1,)] and "charge.dispute.created" in market.pg.query(raw)[0][0]
    leaver.erase()
    market.idle()
    assert market.pg.query(words) == [(0,)] and market.pg.query(raw) == [(None,)]
    lost = disputed(market, "lost")
    market.told(lost)
    assert state_of(market, lost) == "done" and market.pg.query("SELECT status FROM disputes") == [("lost",)]
    assert_over(market, charged=1)
    assert market.pg.query(raw) == [(None,)]


# --- Requests that change nothing are remembered ------------------------------------------------------------------------

def test_a_request_that_changed_nothing_changes_nothing_later(market):
    bought, none = market.by_invoice(market.boss, 3).json(), new_key()
    path = f"/v1/billing/subscriptions/{bought['id']}"
    first = market.boss.patch(path, json={"seats": 3}, headers=none)
    assert (first.status_code, first.json()["seats"]) == (200, 3)
    assert market.boss.patch(path, json={"seats": 6}).json()["seats"] == 6
    again = market.boss.patch(path, json={"seats": 3}, headers=none)
    assert (again.status_code, again.json()["seats"]) == (200, 6)
    assert market.subscription(market.boss)["items"]["data"][0]["quantity"] == 6
    assert_problem(market.boss.patch(path, json={"seats": 4}, headers=none), 422, "idempotency_key_reused", "Idempotency-Key")
    assert_same(market)


def test_a_key_that_was_answered_with_an_open_page_stands_for_that_page(market):
    opened, key = market.checkout(market.me, plan="all-one").json(), new_key()
    assert market.checkout(market.me, plan="all-one", headers=key).json()["id"] == opened["id"]
    market.stripe.complete_checkout(market.session_of(opened["id"]))
    tell_all(market)
    again = market.checkout(market.me, plan="all-one", headers=key)
    assert (again.status_code, again.json()["id"], again.json()["state"]) == (200, opened["id"], "complete")
    assert len(market.stripe.all("checkout.session")) == 1


# --- Nothing was ordered yet --------------------------------------------------------------------------------------------

def test_an_order_before_which_the_customer_is_unknown_says_that_nothing_was_ordered(market):
    key = new_key()
    market.stripe.faults.add("POST", r"/v1/customers$", "applied_cut", times=3)
    reply = market.by_invoice(market.boss, 3, headers=key)
    assert_problem(reply, 503, "customer_pending")
    intent = look(market.boss, reply)
    assert (intent["kind"], intent["state"]) == ("customer", "open")
    assert_problem(market.by_invoice(market.boss, 3, headers=key), 409, "billing_busy")
    assert settle(market, intent["id"]) == "done" and not market.stripe.all("subscription")
    made, again = market.by_invoice(market.boss, 3, headers=key), market.by_invoice(market.boss, 3, headers=key)
    assert (made.status_code, again.status_code) == (201, 200) and made.json() == again.json()
    assert len(market.stripe.all("subscription")) == len(market.stripe.all("customer")) == 1
    assert_same(market)


def test_an_order_before_which_the_closing_of_a_page_is_unknown_says_that_nothing_was_ordered(market):
    key = new_key()
    market.checkout(market.me, plan="all-one", period="year")
    market.stripe.faults.add("POST", r"/expire$", "applied_cut", times=3)
    reply = market.checkout(market.me, plan="all-one", headers=key)
    assert_problem(reply, 503, "page_pending")
    intent = look(market.me, reply)
    assert intent["kind"] == "checkout_expire" and settle(market, intent["id"]) == "done"
    made, again = market.checkout(market.me, plan="all-one", headers=key), market.checkout(market.me, plan="all-one", headers=key)
    assert (made.status_code, again.status_code) == (201, 200) and made.json()["id"] == again.json()["id"]
    assert sorted(one["status"] for one in market.stripe.all("checkout.session")) == ["expired", "open"]


# --- Lists are read to their end ----------------------------------------------------------------------------------------

def strangers(market, count):
    with market.stripe.lock:
        return [catalog.create_customer(market.stripe.store, {"email": f"stranger-{n}@example.org"}) for n in range(count)]


def through(market, kind):
    """Runs until the list is at its end; some of it has been read."""
    def ended():
        found = (not market.pg.query("SELECT 1 FROM stripe_positions")
                 and market.pg.query("SELECT 1 FROM jobs WHERE kind = %s AND lease IS NULL AND run_after > now() + interval '1 minute'"
                                     " AND last_error IS NULL", (kind,)))
        return found or hurry(market.pg, kind)
    until(ended, pause=0.5)
    market.idle()


def asked(market, path):
    """Behind what a list was asked for, each time."""
    return [one["path"].partition("starting_after=")[2] for one in market.stripe.record.requests
            if one["method"] == "GET" and one["path"].startswith(path + "?")]


def test_a_list_of_events_of_many_pages_is_read_to_its_end_before_the_cursor_passes_it(market):
    market.pay(market.boss, plan="trust-seat", period="year", seats=3)  # the oldest, so the last that are listed
    strangers(market, 60)
    market.stripe.settings.page_max = 1
    market.stripe.faults.add("GET", r"/v1/events$", "bad_gateway", times=3, skip=30)
    until(lambda: hurry(market.pg, "stripe_reconcile") or not market.stripe.faults.waiting(), pause=0.2)
    assert not market.pg.query("SELECT 1 FROM stripe_cursor") and lost_events(market.pg, market.stripe)
    assert market.pg.query("SELECT list FROM stripe_positions") == [("events",)]
    through(market, "stripe_reconcile")
    assert market.pg.query("SELECT 1 FROM stripe_cursor") and not lost_events(market.pg, market.stripe)
    pages = asked(market, "/v1/events")
    assert pages[30] and pages.count(pages[30]) == 3 + 1 and pages.count(pages[1]) == 1  # it went on where it had failed
    market.stripe.settings.page_max = 100
    reconcile(market)
    assert_same(market)


def test_a_place_in_a_list_that_stripe_has_forgotten_is_given_up_and_the_list_read_anew(market):
    market.pay(market.boss, plan="trust-seat", period="year", seats=3)
    market.pg.query("INSERT INTO stripe_positions VALUES ('events', 'evt_forgotten', now())")
    run_periodic(market, "stripe_reconcile", good=False)
    assert not market.pg.query("SELECT 1 FROM stripe_cursor")
    reconcile(market)
    assert not lost_events(market.pg, market.stripe)
    assert_same(market)


def test_a_list_that_does_not_say_where_it_ends_is_no_list(market):
    market.pay(market.boss, plan="trust-seat", period="year", seats=3)
    for shape in ({"object": "list", "data": [], "has_more": True}, {"object": "list", "has_more": False}, {"object": "list", "data": []}):
        market.stripe.faults.add("GET", r"/v1/events$", "reshape", with_=lambda _, shape=shape: shape)
        run_periodic(market, "stripe_reconcile", good=False)
        assert not market.pg.query("SELECT 1 FROM stripe_cursor")
    reconcile(market)
    assert not lost_events(market.pg, market.stripe)


def test_the_nightly_list_is_read_to_its_end_however_many_pages_it_has(market, stripe_client):
    bought = market.pay(market.boss, plan="trust-seat", period="year", seats=3)
    price = market.stripe.get(bought["stripe"])["items"]["data"][0]["price"]["id"]
    for stranger in strangers(market, 25):
        stripe_client.post("subscriptions", customer=stranger["id"], items=[{"price": price}], collection_method="send_invoice",
                           days_until_due=30)
    market.stripe.portal_change(bought["stripe"], 5)
    market.stripe.store.events.clear()
    market.stripe.settings.page_max = 1
    hurry(market.pg, "stripe_nightly")
    until(lambda: market.pg.query("SELECT 1 FROM stripe_positions"))
    through(market, "stripe_nightly")
    assert kept(market.pg)[bought["stripe"]]["seats"] == 5
    assert_same(market)


def test_what_a_request_made_is_found_behind_any_number_of_others(market):
    market.stripe.faults.add("POST", r"/v1/customers$", "applied_cut", times=3)
    intent = look(market.boss, market.by_invoice(market.boss, 3))
    strangers(market, 60)
    market.stripe.settings.page_max = 1
    market.stripe.keys.prune()
    assert settle(market, intent["id"]) == "done"
    assert market.by_invoice(market.boss, 3).status_code == 201
    assert not twice(market.pg, market.stripe)


# --- Disputes, and events of our own customers ----------------------------------------------------------------------------

def stuck(market):
    return [json.loads(line) for line in market.server.cli("billing", "stuck").stdout.splitlines()]


def state_of(market, event):
    return market.pg.query("SELECT state FROM stripe_events WHERE event = %s", (event["id"],))[0][0]


def test_events_of_our_own_customers_are_not_taken_for_strangers(market, stripe_client):
    bought = market.pay(market.me, plan="all-one")
    stripe_client.post(f"customers/{market.stripe.get(bought['stripe'])['customer']}", name="Another Name")
    event = market.stripe.events("customer.updated")[-1]
    market.told(event)
    assert state_of(market, event) == "done"
    stranger, = strangers(market, 1)
    event = market.stripe.events("customer.created", stranger["id"])[-1]
    market.told(event)
    assert state_of(market, event) == "foreign"


def disputed(market, status="needs_response"):
    paid = market.stripe.charges()[0]["invoice"]
    return market.stripe.dispute(paid, status)


def test_a_dispute_is_shown_to_the_operator_until_it_is_closed_and_takes_nothing_away(market):
    bought = market.pay(market.me, plan="all-one")
    opened = disputed(market)
    market.told(opened)
    shown, = stuck(market)
    assert (shown["what"], shown["note"], shown["id"]) == ("dispute", "dispute", opened["data"]["object"]["id"])
    assert (shown["status"], shown["tenant"], shown["subscription"]) == ("needs_response", market.me.tenant, bought["stripe"])
    assert state_of(market, opened) == "done" and access(market.me)
    market.told(disputed(market, "won"))
    market.told(opened)
    assert not stuck(market) and access(market.me)


def test_a_dispute_that_is_lost_stays_on_the_list_for_thirty_days_whatever_came_first(market):
    market.pay(market.me, plan="all-one")
    opened, lost = disputed(market), disputed(market, "lost")
    market.told(lost, opened)
    assert [(one["what"], one["status"]) for one in stuck(market)] == [("dispute", "lost")]
    market.pg.query("UPDATE disputes SET told_at = told_at - interval '31 days'")
    assert not stuck(market)


def test_a_dispute_of_somebody_else_is_nobodys_here(market):
    market.pay(market.me, plan="all-one")
    event = disputed(market)
    event["data"]["object"]["payment_intent"] = "pi_of_another_shop"
    market.told(event)
    assert state_of(market, event) == "foreign" and not stuck(market)


def test_a_refund_takes_nothing_away(market):
    market.pay(market.me, plan="all-one")
    event = market.stripe.refund(market.stripe.charges()[0]["invoice"])
    market.told(event)
    assert state_of(market, event) == "done" and access(market.me) and not stuck(market)


# --- What somebody is woken for -------------------------------------------------------------------------------------------

def test_what_needs_a_look_is_counted_for_monitoring(market):
    def gauges():
        lines = market.client().get("/metrics").text.splitlines()
        return {line.split()[0].removeprefix("overread_billing_"): int(line.split()[1]) for line in lines if line.startswith("overread_billing_")}

    assert set(gauges()) == {"dead_jobs", "quarantined_events", "open_requests", "disputes"}
    market.pay(market.me, plan="all-one")
    market.told(disputed(market))
    until(lambda: gauges() == {"dead_jobs": 0, "quarantined_events": 0, "open_requests": 0, "disputes": 1})
    market.pg.query("INSERT INTO stripe_events (event, type, api_version, livemode, created_at, came_by, raw, state, done_at)"
                    " SELECT 'evt_' || n, 'invoice.paid', '2020-08-27', false, now(), 'webhook', '{}', 'quarantined', now()"
                    " FROM generate_series(1, 2) n")
    market.pg.query("INSERT INTO jobs (id, kind, key, payload, dead_at)"
                    " SELECT gen_random_uuid(), 'stripe_sync', 'sub_' || n, '{}', now() FROM generate_series(1, 3) n")
    market.stripe.faults.add("POST", r"/v1/customers$", "bad_gateway", times=None)
    intent = look(market.boss, market.by_invoice(market.boss, 3))
    age(market.pg, intent["id"], "11 minutes")
    until(lambda: gauges() == {"dead_jobs": 3, "quarantined_events": 2, "open_requests": 1, "disputes": 1})


# --- A change that waits for its payment ----------------------------------------------------------------------------------

@pytest.mark.parametrize("how", ["a 500 that is kept", "a key that is forgotten"])
def test_a_change_that_waits_for_its_payment_has_not_failed(market, how):
    bought, key = market.pay(market.boss, plan="trust-seat", period="year", seats=3), new_key()
    path = f"/v1/billing/subscriptions/{bought['id']}"
    market.stripe.next_payment(market.subscription(market.boss)["customer"], "declines")
    if how == "a 500 that is kept":
        market.stripe.faults.add("POST", r"/v1/subscriptions/[^/]+$", "server_error")
    else:
        market.stripe.faults.add("POST", r"/v1/subscriptions/[^/]+$", "applied_cut", times=3)
    intent = look(market.boss, market.boss.patch(path, json={"seats": 5}, headers=key))
    if how == "a key that is forgotten":
        market.stripe.keys.prune()
    age(market.pg, intent["id"], "2 minutes" if how == "a 500 that is kept" else "21 hours")
    assert settle(market, intent["id"]) == "done"
    again = market.boss.patch(path, json={"seats": 5}, headers=key)
    assert again.status_code == 200 and (again.json()["awaiting_payment"], again.json()["seats"]) == (True, 3)
    market.stripe.hosted_pay(market.stripe.all("invoice", status="open")[0]["id"])
    tell_all(market)
    assert the_one(market.boss)["seats"] == 5 and len(market.stripe.charges()) == 2
    assert_same(market)


# --- What else is said of access ------------------------------------------------------------------------------------------

def test_who_pauses_collection_in_stripes_dashboard_gives_it_for_nothing(market, stripe_client):
    """Access follows the status, which a pause leaves as it is."""
    bought = market.pay(market.me, plan="all-one")
    stripe_client.post(f"subscriptions/{bought['stripe']}", pause_collection={"behavior": "void"})
    tell_all(market)
    market.told(*market.stripe.advance(days=40))
    shown = the_one(market.me)
    assert shown["status"] == "active" and shown["period_end"] > bought["period_end"] and access(market.me)
    assert len(market.stripe.charges()) == 1
    assert_same(market)


def test_nobody_is_told_until_when_reading_goes_on_of_what_is_not_sold_here(market, mailbox):
    (address,), = market.pg.query("SELECT p.email FROM people p JOIN memberships m USING (person_id) WHERE m.tenant_id = %s", (market.me.tenant,))

    def told():
        return [mail for mail in mailbox.all(address) if "payment" in mail.subject.lower()]

    before = len(told())  # of tests before this one
    bought = market.pay(market.me, plan="all-one")
    market.pg.query("UPDATE plans SET product = 'prod_other' WHERE plan = 'all-one'")
    market.stripe.next_payment(market.stripe.get(bought["stripe"])["customer"], "declines")
    market.told(*market.stripe.advance(days=32))
    assert the_one(market.me)["status"] == "past_due" and not access(market.me)
    until(lambda: not market.pg.query("SELECT 1 FROM jobs WHERE kind = 'mail' AND dead_at IS NULL AND run_after <= now()"))
    assert not market.pg.query("SELECT payload, last_error FROM jobs WHERE kind = 'mail'")  # none that waits, or was given up
    assert len(told()) == before
