"""What becomes of a subscription in time. The stand-in's clock moves and the database's does not: what is kept is looked at."""
import datetime
import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest
from stripe_standin.checkout import Refused
from stripe_standin.client import Client
from support.billing import until
from support.billing_faults import assert_same, kept, look, moment, settle
from support.reads import assert_problem, unknown_id

UTC = datetime.timezone.utc


@pytest.fixture
def stripe_client(stripe):
    """What an operator does in Stripe's dashboard."""
    client = Client(stripe)
    yield client
    client.close()


def the_one(me):
    shown, = me.get("/v1/billing").json()["subscriptions"]
    return shown


def pass_time(market, **time):
    """With all that Stripe tells of it."""
    market.told(*market.stripe.advance(**time))


def access(me):
    return me.get("/v1/tenant").json()["access"]


def tell_all(market):
    """Whatever has not been delivered yet; the newest first, which means nothing."""
    market.told(*reversed([event for event in market.stripe.events() if event["pending_webhooks"]]))


def monthly(market):
    """A trainee who pays each month from today, and the customer's id."""
    bought = market.pay(market.me, plan="all-one")
    assert bought["status"] == "active" and access(market.me)
    return bought, market.stripe.get(bought["stripe"])["customer"]


# --- Trials and first payments ------------------------------------------------------------------------------------------

def test_a_trial_without_a_card_ends_by_itself(market):
    market.pg.query("UPDATE plans SET trial_with_card = false")
    bought = market.pay(market.me, card=None)
    assert bought["status"] == "trialing" and access(market.me)
    pass_time(market, days=15)
    assert the_one(market.me)["status"] == "canceled" and not access(market.me)
    assert not market.stripe.charges()
    assert_same(market)


def test_a_trial_with_a_card_becomes_paid_for_and_is_given_once(market):
    assert market.pay(market.me)["status"] == "trialing"
    pass_time(market, days=15)
    assert the_one(market.me)["status"] == "active" and len(market.stripe.charges()) == 1
    market.stripe.portal_cancel(the_one(market.me)["stripe"])
    pass_time(market, days=40)
    assert not access(market.me)
    assert market.pay(market.me)["status"] == "active"  # no second trial
    assert_same(market)


def test_a_trial_whose_card_is_declined_is_late_and_reading_goes_on_for_the_grace(market):
    bought = market.pay(market.me)
    market.stripe.next_payment(market.stripe.get(bought["stripe"])["customer"], "declines")
    pass_time(market, days=15)
    shown = the_one(market.me)
    assert shown["status"] == "past_due" and access(market.me)
    assert_same(market)


def test_a_first_payment_that_is_never_made_gives_nothing_and_lets_go(market):
    market.stripe.settings.processing_status = "incomplete"
    bought = market.pay(market.me, plan="all-one", card="async")
    assert bought["status"] == "incomplete" and not access(market.me)
    assert_problem(market.checkout(market.me, plan="all-one"), 409, "already_subscribed")
    pass_time(market, days=1)
    assert the_one(market.me)["status"] == "incomplete_expired" and not access(market.me)
    assert_same(market)
    market.stripe.settings.processing_status = "active"
    assert market.pay(market.me, plan="all-one")["status"] == "active" and access(market.me)
    assert_same(market)


@pytest.mark.parametrize("paid", [True, False])
def test_a_page_that_is_completed_and_not_paid_yet_counts_as_stripe_says(market, paid):
    """A bank debit on its way: Stripe calls it active, until the bank says no."""
    market.pay(market.me, plan="all-one", card="async")
    assert the_one(market.me)["status"] == "active" and access(market.me)
    session, = market.stripe.all("checkout.session")
    assert session["payment_status"] == "unpaid"
    market.stripe.settle_checkout(session["id"], ok=paid)
    tell_all(market)
    assert the_one(market.me)["status"] == ("active" if paid else "past_due")
    assert len(market.stripe.charges()) == paid
    assert_same(market)


# --- Payments that fail -------------------------------------------------------------------------------------------------

def late(market):
    """A renewal that is declined, as often as it takes."""
    bought, customer = monthly(market)
    market.stripe.next_payment(customer, *["declines"] * 4)
    pass_time(market, days=32)
    assert the_one(market.me)["status"] == "past_due"
    return bought, customer


def can_pay_again(market, customer):
    market.stripe.store.side[customer]["outcomes"] = []


def test_a_late_payment_leaves_the_grace_and_a_paid_one_the_whole_period(market, mailbox):
    bought, customer = late(market)
    shown = the_one(market.me)
    good = datetime.datetime.fromisoformat(shown["good_until"]) - datetime.datetime.fromisoformat(shown["past_due_since"])
    assert good == datetime.timedelta(days=14) and access(market.me)
    (address,), = market.pg.query("SELECT p.email FROM people p JOIN memberships m USING (person_id) WHERE m.tenant_id = %s", (market.me.tenant,))
    until(lambda: [mail for mail in mailbox.all(address) if "payment" in mail.subject.lower()])
    can_pay_again(market, customer)
    market.stripe.hosted_pay(market.stripe.get(bought["stripe"])["latest_invoice"])
    tell_all(market)
    shown = the_one(market.me)
    assert (shown["status"], shown["past_due_since"]) == ("active", None)
    assert_same(market)


def test_the_grace_ends_although_nobody_tells(market):
    late(market)
    market.pg.query("UPDATE subscriptions SET past_due_since = past_due_since - interval '15 days';"
                    "UPDATE entitlements e SET ends_at = ends_at - interval '15 days' FROM subscriptions s WHERE s.subscription_id = e.source")
    assert not access(market.me)
    market.told(market.stripe.events("customer.subscription.updated")[-1])  # the same news once more begins no new grace
    assert not access(market.me)
    assert_problem(market.me.post("/v1/reads", json={"case": unknown_id()}), 404)
    assert market.me.get("/v1/reads").status_code == 200  # the own record stays readable


def test_dunning_ends_unpaid_and_the_latest_invoice_brings_it_back(market):
    bought, _ = late(market)
    pass_time(market, days=20)
    assert the_one(market.me)["status"] == "unpaid" and not access(market.me)
    market.stripe.hosted_pay(market.stripe.get(bought["stripe"])["latest_invoice"])
    tell_all(market)
    assert the_one(market.me)["status"] == "active" and access(market.me)
    assert_same(market)


def test_dunning_ends_canceled_and_a_new_one_can_be_bought(market):
    market.stripe.settings.after_dunning = "cancel"
    late(market)
    pass_time(market, days=20)
    assert the_one(market.me)["status"] == "canceled" and not access(market.me)
    assert market.pay(market.me, plan="all-one")["status"] == "active" and access(market.me)
    assert_same(market)


def test_another_card_recovers_a_late_payment_at_the_next_attempt(market):
    _, customer = late(market)
    market.stripe.portal_update_card(customer)
    can_pay_again(market, customer)
    pass_time(market, days=4)
    assert the_one(market.me)["status"] == "active" and len(market.stripe.charges()) == 2
    assert_same(market)


# --- Invoices of a trust ------------------------------------------------------------------------------------------------

def overdue(market):
    """A trust that has not paid its invoice in time. -> the invoice"""
    assert market.by_invoice(market.boss, 3, days_until_due=10).status_code == 201
    pass_time(market, days=11)
    assert the_one(market.boss)["status"] == "past_due"
    assert market.boss.get("/v1/tenant").json()["seats"]["bought"] == 3
    return market.stripe.all("invoice", status="open")[0]["id"]


def test_an_invoice_that_is_voided_is_owed_no_more(market, stripe_client):
    invoice = overdue(market)
    stripe_client.post(f"invoices/{invoice}/void")
    tell_all(market)
    assert the_one(market.boss)["status"] == "active"
    assert market.boss.get("/v1/billing/invoices").json()["items"][0]["status"] == "void"
    assert_same(market)


def test_an_invoice_that_is_uncollectible_and_paid_after_all_is_charged_once(market, stripe_client):
    invoice = overdue(market)
    stripe_client.post(f"invoices/{invoice}/mark_uncollectible")
    tell_all(market)
    assert the_one(market.boss)["status"] == "active"
    market.stripe.hosted_pay(invoice)
    tell_all(market)
    assert the_one(market.boss)["status"] == "active" and len(market.stripe.charges()) == 1
    assert_same(market)


def test_an_invoice_that_is_never_paid_ends_the_seats(market):
    overdue(market)
    pass_time(market, days=40)
    assert the_one(market.boss)["status"] == "unpaid"
    assert market.boss.get("/v1/tenant").json()["seats"]["bought"] == 0
    assert_same(market)


# --- Ends ---------------------------------------------------------------------------------------------------------------

def cancel_here(market, bought, on):
    reply = market.me.patch(f"/v1/billing/subscriptions/{bought['id']}", json={"cancel_at_period_end": on})
    assert reply.status_code == 200, reply.text


def cancel_there(market, bought, on):
    (market.stripe.portal_cancel if on else market.stripe.portal_undo_cancel)(bought["stripe"])
    tell_all(market)


@pytest.mark.parametrize("cancel", [cancel_here, cancel_there])
@pytest.mark.parametrize("undo", [cancel_here, cancel_there])
def test_an_end_at_the_end_of_the_period_is_taken_back_here_and_there(market, cancel, undo):
    bought, _ = monthly(market)
    cancel(market, bought, True)
    shown = the_one(market.me)
    assert shown["cancels_at"] == shown["good_until"] == bought["period_end"] and access(market.me)
    assert_same(market)
    undo(market, bought, False)
    assert the_one(market.me)["cancels_at"] is None
    assert_same(market)
    pass_time(market, days=32)
    assert the_one(market.me)["status"] == "active" and len(market.stripe.charges()) == 2
    assert_same(market)


@pytest.mark.parametrize("cancel", [cancel_here, cancel_there])
def test_an_end_comes(market, cancel):
    bought, _ = monthly(market)
    cancel(market, bought, True)
    pass_time(market, days=32)
    shown = the_one(market.me)
    assert shown["status"] == "canceled" and shown["ended_at"] and not access(market.me)
    assert_problem(market.me.patch(f"/v1/billing/subscriptions/{bought['id']}", json={"cancel_at_period_end": False}), 409, "subscription_ended")
    assert_same(market)


def test_who_has_erased_the_account_pays_no_more(market):
    me = market.trainee()
    bought = market.pay(me, plan="all-one")
    person = market.pg.query("SELECT m.person_id FROM memberships m JOIN subscriptions s USING (tenant_id)")[0][0]
    tenant = market.pg.query("SELECT tenant_id FROM subscriptions")[0][0]
    market.stripe.faults.add("DELETE", r"/v1/subscriptions/", "bad_gateway", times=3)
    market.pg.query("INSERT INTO jobs (id, tenant_id, kind, key, payload) VALUES (gen_random_uuid(), %s, 'billing_end', %s,"
                    " jsonb_build_object('subscription', %s::text)); NOTIFY overread_jobs", (tenant, bought["stripe"], bought["stripe"]))
    market.idle()
    assert person and market.stripe.get(bought["stripe"])["status"] == "canceled"
    assert kept(market.pg)[bought["stripe"]]["ended_at"]
    assert_same(market)


# --- Pages to pay at ----------------------------------------------------------------------------------------------------

def test_an_order_that_is_submitted_twice_is_one_page_and_one_charge(market):
    key = {"Idempotency-Key": secrets.token_hex(8)}
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda _: market.checkout(market.me, plan="all-one", headers=key), range(4)))
    assert {reply.status_code for reply in replies} <= {200, 201, 202, 409}, [reply.text for reply in replies]
    first = market.checkout(market.me, plan="all-one", headers=key)
    other = market.checkout(market.me, plan="all-one")
    assert first.status_code in (200, 201) and other.json()["id"] == first.json()["id"]
    session = market.session_of(first.json()["id"])
    market.stripe.complete_checkout(session)
    with pytest.raises(Refused):
        market.stripe.complete_checkout(session)
    assert_problem(market.checkout(market.me, plan="all-one"), 409, "already_subscribed")  # paid for, and nobody has told yet
    assert market.checkout(market.me, plan="all-one", headers=key).json()["state"] == "complete"
    assert len(market.stripe.all("checkout.session")) == len(market.stripe.charges()) == 1
    assert_same(market)


def test_who_comes_back_before_the_webhook_finds_what_was_bought(market):
    reply = market.checkout(market.me, plan="all-one")
    page = reply.headers["location"]
    assert market.me.get(page).json()["state"] == "open" and not access(market.me)
    market.stripe.complete_checkout(market.session_of(reply.json()["id"]))
    shown = market.me.get(page).json()
    assert shown["state"] == "complete" and shown["subscription"] == the_one(market.me)["id"] and access(market.me)
    tell_all(market)
    assert_same(market)


def test_who_comes_back_while_stripe_is_away_sees_what_we_know(market):
    reply = market.checkout(market.me, plan="all-one")
    market.stripe.complete_checkout(market.session_of(reply.json()["id"]))
    market.stripe.faults.add("GET", r"/v1/checkout/sessions/", "bad_gateway", times=3)
    assert market.me.get(reply.headers["location"]).json()["state"] == "open" and not access(market.me)
    tell_all(market)
    assert market.me.get(reply.headers["location"]).json()["state"] == "complete" and access(market.me)


def test_nobody_sees_or_changes_what_another_has_bought(market):
    bought, _ = monthly(market)
    page = market.checkout(market.boss, "trust-seat", "year", seats=2)
    other = market.buyers.trainee(market, "another trainee")
    for path in (page.headers["location"], f"/v1/billing/subscriptions/{bought['id']}", f"/v1/billing/requests/{page.json()['id']}",
                 f"/v1/billing/checkout/{unknown_id()}", "/v1/billing/checkout/cs_test_forged"):
        assert_problem(other.get(path), 404)
    sent = len(market.stripe.record.requests)
    assert_problem(other.patch(f"/v1/billing/subscriptions/{bought['id']}", json={"cancel_at_period_end": True}), 404)
    assert_problem(other.post(f"/v1/billing/subscriptions/{bought['id']}/preview", json={"seats": 1}), 404)
    assert len(market.stripe.record.requests) == sent and not access(other)


def test_a_page_that_lapses_makes_room_for_another(market):
    market.checkout(market.me, plan="all-one")
    pass_time(market, days=1)
    assert market.me.get("/v1/billing").json()["checkout"] is None
    assert market.pay(market.me, plan="all-one")["status"] == "active"
    assert_same(market)


def test_a_page_that_lapsed_and_of_which_nobody_told_makes_room_for_another(market):
    market.checkout(market.me, plan="all-one")
    market.stripe.advance(days=1)
    assert market.pay(market.me, plan="all-one")["status"] == "active"
    assert_same(market)


def test_a_page_that_stripe_knows_no_more_holds_nobody_up_for_longer_than_it_lasts(market):
    """Of another account, or of the other mode."""
    market.checkout(market.me, plan="all-one")
    market.stripe.store.tables["checkout.session"].clear()
    assert_problem(market.checkout(market.me, plan="all-one"), 404, "not_at_stripe")
    market.pg.query("UPDATE checkouts SET expires_at = now()")
    assert market.pay(market.me, plan="all-one")["status"] == "active"


# --- Dates and currencies -----------------------------------------------------------------------------------------------

def next_time(market, month, day):
    """The next such day, at ten."""
    now = moment(market.stripe.now())
    for year in range(now.year, now.year + 9):
        try:
            at = datetime.datetime(year, month, day, 10, tzinfo=UTC)
        except ValueError:
            continue
        if at > now:
            return at
    raise AssertionError("no such day")


def period_end(market):
    return kept(market.pg)[the_one(market.me)["stripe"]]["period_end"]


def test_a_month_from_the_31st_of_january_ends_on_its_last_day_and_comes_back_to_the_31st(market):
    begin = next_time(market, 1, 31)
    market.stripe.advance(to=int(begin.timestamp()))
    market.pay(market.me, plan="all-one")
    last = (datetime.datetime(begin.year, 3, 1, tzinfo=UTC) - datetime.timedelta(days=1)).day
    for month, day in ((2, last), (3, 31), (4, 30), (5, 31)):
        end = period_end(market)
        assert (end.date(), end.hour) == (datetime.date(begin.year, month, day), 10)
        pass_time(market, to=int(end.timestamp()) + 7200)
    assert len(market.stripe.charges()) == 5
    assert_same(market)


def test_a_year_from_a_leap_day_ends_on_the_28th(market):
    begin = next_time(market, 2, 29)
    market.stripe.advance(to=int(begin.timestamp()))
    market.pay(market.me, plan="all-one", period="year")
    for year in (1, 2, 3, 4):
        end = period_end(market)
        assert (end.year, end.month, end.day) == (begin.year + year, 2, 29 if year == 4 else 28)
        pass_time(market, to=int(end.timestamp()) + 7200)
    assert len(market.stripe.charges()) == 5
    assert_same(market)


def test_a_currency_without_decimals_is_taken_as_it_is(market):
    bought = market.pay(market.me, currency="jpy")
    assert (bought["amount"], bought["currency"]) == (3600, "jpy")
    pass_time(market, days=15)
    charge, = market.stripe.charges()
    assert (charge["amount"], charge["currency"]) == (4320, "jpy")  # with tax
    invoice = market.me.get("/v1/billing/invoices").json()["items"][0]
    assert (invoice["subtotal"], invoice["amount_paid"], invoice["currency"]) == (3600, 4320, "jpy")
    assert_problem(market.checkout(market.me, plan="all-one", currency="gbp"), 409, "currency_fixed", "/currency")
    assert_same(market)


# --- Quotes -------------------------------------------------------------------------------------------------------------

def quote(market, seats=4, amount=9900):
    return str(market.pg.query(
        "INSERT INTO quotes (tenant_id, quote_id, plan, period, currency, amount, seats, days_until_due, valid_until)"
        " VALUES (%s, gen_random_uuid(), 'trust-seat', 'year', 'gbp', %s, %s, 45, now() + interval '30 days') RETURNING quote_id",
        (market.boss.tenant, amount, seats))[0][0])


def accept(market, which):
    return market.boss.post(f"/v1/billing/quotes/{which}/acceptance", json={"address": {"line1": "1 Road", "country": "GB"}})


def quote_state(market):
    shown, = market.boss.get("/v1/billing/quotes").json()["items"]
    return shown["state"]


def test_a_quote_is_accepted_once_whoever_finds_out(market):
    which = quote(market)
    assert market.checkout(market.boss, "trust-seat", "year", seats=2).status_code == 201  # makes the customer; the page is closed
    market.stripe.faults.add("POST", r"/v1/subscriptions$", "applied_cut", times=3)
    intent = look(market.boss, accept(market, which))
    assert quote_state(market) == "accepted"
    assert_problem(accept(market, which), 409)
    assert settle(market, intent["id"]) == "done"
    assert quote_state(market) == "accepted"
    assert_problem(accept(market, which), 409, "quote_accepted")
    shown = the_one(market.boss)
    assert (shown["seats"], shown["amount"], shown["days_until_due"]) == (4, 9900, 45)
    assert_same(market)


def test_a_quote_whose_request_is_refused_can_be_accepted_again(market):
    which = quote(market)
    market.stripe.faults.add("POST", r"/v1/subscriptions$", "declined")
    assert_problem(accept(market, which), 402)
    assert quote_state(market) == "open"
    assert accept(market, which).status_code == 201
    assert_same(market)
