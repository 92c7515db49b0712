"""What may be ordered and changed, at what price, by whom: nothing for nothing, and each refusal says what to do about it."""
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

import pytest
from stripe_standin.client import Client
from support.accounts import account
from support.billing_faults import Hold, age, assert_same, look, run_periodic, settle
from support.reads import assert_problem

DAY = 86400


@pytest.fixture
def stripe_client(stripe):
    """What an operator does in Stripe's dashboard."""
    client = Client(stripe)
    yield client
    client.close()


def ago(market, days):
    """Stripe's clock goes back: what is bought now was bought so many days ago."""
    market.stripe.store.clock.move(market.stripe.now() - days * DAY)


def pass_time(market, **much):
    market.told(*market.stripe.advance(**much))


def tell_all(market):
    market.told(*[event for event in market.stripe.events() if event["pending_webhooks"]])


def by_card(market, seats=10, **more):
    return market.pay(market.boss, plan="trust-seat", period="year", seats=seats, **more)


def path_of(bought):
    return f"/v1/billing/subscriptions/{bought['id']}"


def posts(market, path=""):
    """Requests to Stripe that could have changed something."""
    return [one for one in market.stripe.record.requests if one["method"] != "GET" and path in one["path"]]


def quantity(market, bought):
    return market.stripe.get(bought["stripe"])["items"]["data"][0]["quantity"]


def seconds(text):
    return int(datetime.fromisoformat(text).timestamp())


# --- The moment from which a change is paid for ----------------------------------------------------------------------------

@pytest.mark.parametrize("moment", [lambda end: end, lambda end: end - 1, lambda end: time.time() + 120, lambda end: time.time() - 3660,
                                    lambda end: 1], ids=["end", "last second", "to come", "an hour old", "1970"])
def test_seats_are_paid_for_from_the_moment_of_a_preview_and_no_other(market, moment):
    ago(market, 1)
    bought = by_card(market)
    pass_time(market, days=1)
    body = {"seats": 1000, "proration_date": int(moment(seconds(bought["period_end"])))}
    before = len(posts(market))
    assert_problem(market.boss.patch(path_of(bought), json=body), 422, "out_of_range", "/proration_date")
    assert_problem(market.boss.post(path_of(bought) + "/preview", json=body), 422, "out_of_range", "/proration_date")
    assert len(posts(market)) == before and quantity(market, bought) == 10


def test_the_moment_of_a_preview_is_good_for_an_hour_until_something_changes(market):
    ago(market, 1)
    bought = by_card(market)
    pass_time(market, days=1)
    then = int(time.time()) - 1800
    for _ in range(2):  # said again, it stands so already
        assert market.boss.patch(path_of(bought), json={"seats": 20, "proration_date": then}).json()["seats"] == 20
    # Given back from before they were paid for, they would be worth more than they cost.
    body = {"seats": 10, "proration_date": then}
    assert_problem(market.boss.patch(path_of(bought), json=body), 422, "out_of_range", "/proration_date")
    assert_problem(market.boss.post(path_of(bought) + "/preview", json=body), 422, "out_of_range", "/proration_date")
    preview = market.boss.post(path_of(bought) + "/preview", json={"seats": 10}).json()
    assert market.boss.patch(path_of(bought), json={"seats": 10, "proration_date": preview["proration_date"]}).json()["seats"] == 10
    assert_same(market)


@pytest.mark.parametrize("body", [{"cancel_at_period_end": True}, {"cancel_at_period_end": False}, {"purchase_order": "PO-2"}, {}])
def test_a_proration_date_goes_with_what_is_prorated(market, body):
    bought = market.by_invoice(market.boss, 3).json()
    now = {"proration_date": int(time.time())}
    assert_problem(market.boss.patch(path_of(bought), json={**body, **now}), 422, "one_change", "/proration_date")
    assert market.stripe.get(bought["stripe"])["cancel_at_period_end"] is False


def test_a_preview_of_fewer_seats_is_what_the_next_invoice_takes_off(market):
    ago(market, 100)
    bought = market.by_invoice(market.boss, 10).json()
    pass_time(market, seconds=7200)
    market.stripe.hosted_pay(market.boss.get("/v1/billing/invoices").json()["items"][0]["id"])
    tell_all(market)
    pass_time(market, seconds=100 * DAY - 7200)
    preview = market.boss.post(path_of(bought) + "/preview", json={"seats": 4}).json()
    assert preview["amount_due"] == 0 and preview["total"] < 0
    changed = market.boss.patch(path_of(bought), json={"seats": 4, "proration_date": preview["proration_date"]})
    assert changed.json()["seats"] == 4, changed.text
    assert len(market.stripe.all("invoice")) == 1  # a credit, and no invoice of its own
    pass_time(market, to=seconds(bought["period_end"]) + 7200)
    renewal = market.stripe.all("invoice")[0]
    assert renewal["billing_reason"] == "subscription_cycle"
    assert renewal["total"] == preview["total"] + round(4 * 12000 * 1.2)
    assert_same(market)


def test_seats_in_a_currency_without_decimals_cost_their_part_of_the_year(market):
    ago(market, 73)
    bought = by_card(market, 10, currency="jpy")
    assert (bought["amount"], bought["currency"]) == (20000, "jpy")
    pass_time(market, days=73)
    preview = market.boss.post(path_of(bought) + "/preview", json={"seats": 15}).json()
    more = market.boss.patch(path_of(bought), json={"seats": 15, "proration_date": preview["proration_date"]})
    assert more.json()["seats"] == 15, more.text
    start, end = seconds(bought["period_start"]), seconds(bought["period_end"])
    left = (end - preview["proration_date"]) / (end - start)
    charge = market.stripe.charges()[-1]
    assert charge["currency"] == "jpy" and charge["amount"] == preview["amount_due"]
    assert abs(charge["amount"] - 5 * 20000 * left * 1.2) <= 2  # whole yen, with tax
    assert_same(market)


# --- Who owes --------------------------------------------------------------------------------------------------------------

def test_days_until_due_are_the_servers_to_allow(market):
    before = len(market.stripe.record.requests)
    for days in (31, 365, 366):
        assert_problem(market.by_invoice(market.boss, 3, days_until_due=days), 422, "out_of_range", "/days_until_due")
    assert_problem(market.by_invoice(market.boss, 3, days_until_due=0), 422, "field_invalid", "/days_until_due")
    assert len(market.stripe.record.requests) == before
    bought = market.by_invoice(market.boss, 3, days_until_due=30).json()
    assert_problem(market.boss.patch(path_of(bought), json={"days_until_due": 31}), 422, "out_of_range", "/days_until_due")
    assert "invoice_days_max = 30" in market.server.cli("doctor").stdout


def overdue(market):
    """A trust that has let an invoice pass. -> what it bought, the invoice"""
    ago(market, 12)
    bought = market.by_invoice(market.boss, 3, days_until_due=10).json()
    pass_time(market, days=12)
    assert market.boss.get(path_of(bought)).json()["status"] == "past_due"
    return bought, market.stripe.all("invoice", status="open")[0]["id"]


def test_who_owes_has_no_more_seats_and_may_have_fewer_and_leave(market):
    bought, invoice = overdue(market)
    for body in ({"seats": 5}, {"period": "month"}):
        assert_problem(market.boss.patch(path_of(bought), json=body), 409, "invoice_overdue")
        assert_problem(market.boss.post(path_of(bought) + "/preview", json=body), 409, "invoice_overdue")
    assert market.boss.patch(path_of(bought), json={"seats": 2}).json()["seats"] == 2
    assert market.boss.patch(path_of(bought), json={"cancel_at_period_end": True}).json()["cancels_at"]
    market.stripe.hosted_pay(invoice)
    tell_all(market)
    assert market.boss.patch(path_of(bought), json={"cancel_at_period_end": False}).json()["cancels_at"] is None
    assert market.boss.patch(path_of(bought), json={"seats": 5}).json()["seats"] == 5
    assert_same(market)


def test_an_invoice_of_what_has_ended_is_still_owed(market, stripe_client):
    bought, invoice = overdue(market)
    stripe_client.delete(f"subscriptions/{bought['stripe']}")
    tell_all(market)
    assert market.boss.get(path_of(bought)).json()["status"] == "canceled"
    before = len(posts(market))
    assert_problem(market.by_invoice(market.boss, 3), 409, "invoice_overdue")
    assert_problem(market.checkout(market.boss, "trust-seat", "year", seats=3), 409, "invoice_overdue")
    assert len(posts(market)) == before
    market.stripe.hosted_pay(invoice)
    assert market.by_invoice(market.boss, 3).status_code == 201
    assert_same(market)


def test_the_day_on_which_an_invoice_is_due_is_the_payers_to_its_end(market, stripe_client):
    market.stripe.store.clock.move(market.stripe.now() - 10 * DAY - DAY // 2)
    bought = market.by_invoice(market.boss, 3, days_until_due=10).json()
    pass_time(market, seconds=10 * DAY + DAY // 2)
    stripe_client.delete(f"subscriptions/{bought['stripe']}")
    tell_all(market)
    invoice, = market.stripe.all("invoice", status="open")
    assert invoice["due_date"] < time.time()
    assert market.by_invoice(market.boss, 3).status_code == 201


def test_who_owes_for_one_thing_buys_no_other(market):
    market.pg.query("UPDATE plans SET modalities = '{lung_ct}' WHERE plan = 'all-one'")
    ago(market, 32)
    bought = market.pay(market.me, plan="all-one")
    market.stripe.next_payment(market.stripe.get(bought["stripe"])["customer"], *["declines"] * 4)
    pass_time(market, days=32)
    assert market.me.get(path_of(bought)).json()["status"] == "past_due"
    assert_problem(market.checkout(market.me), 409, "invoice_overdue")
    assert_problem(market.me.patch(path_of(bought), json={"period": "year"}), 409, "invoice_overdue")
    assert market.me.patch(path_of(bought), json={"cancel_at_period_end": True}).status_code == 200
    assert_same(market)


def test_an_order_while_stripe_cannot_say_what_is_owed_is_a_503(market, stripe_client):
    bought = market.by_invoice(market.boss, 3).json()
    stripe_client.delete(f"subscriptions/{bought['stripe']}")
    tell_all(market)
    market.stripe.faults.add("GET", r"/v1/invoices$", "bad_gateway", times=3)
    reply = market.by_invoice(market.boss, 3)
    assert_problem(reply, 503, "billing_away")
    assert int(reply.headers["retry-after"]) > 0
    assert market.by_invoice(market.boss, 3).status_code == 201


# --- Trials ----------------------------------------------------------------------------------------------------------------

def again(market, email):
    """Somebody with that address, who signs up (once more)."""
    http = market.client()
    email, word, _ = account(http, market.pg, email=email)
    me = market.signed_in(email, word)
    me.email, me.word = email, word
    return me


def erase(market, me):
    gone = me.request("DELETE", "/v1/me", json={"confirm": "erase", "password": me.word})
    assert gone.status_code in (200, 202, 204), gone.text
    market.idle()


def test_who_erases_the_account_has_no_second_trial(market):
    email = f"trial-{secrets.token_hex(4)}@example.org"
    me = again(market, email)
    assert market.pay(me)["status"] == "trialing"
    erase(market, me)
    assert market.pay(again(market, email.replace("trial", "TRIAL")))["status"] == "active"


def test_another_address_is_the_same_person(market):
    me, other = again(market, f"one-{secrets.token_hex(4)}@example.org"), f"other-{secrets.token_hex(4)}@example.org"
    assert market.pay(me)["status"] == "trialing"
    market.pg.query("UPDATE people SET email = %s WHERE email = %s", (other, me.email))
    erase(market, me)
    assert market.pay(again(market, other))["status"] == "active"
    assert market.pay(again(market, f"third-{secrets.token_hex(4)}@example.org"))["status"] == "trialing"


def test_a_trial_is_remembered_for_three_years_and_never_by_what_an_erasure_leaves(market):
    me = again(market, f"trial-{secrets.token_hex(4)}@example.org")
    market.pg.query("DELETE FROM trial_uses")
    assert market.pay(me)["status"] == "trialing"
    erase(market, me)
    kept = "SELECT count(*) FROM trial_uses"
    assert market.pg.query(kept) == [(2,)]
    market.pg.query("UPDATE trial_uses SET used_at = now() - interval '1096 days'")
    assert market.pay(again(market, me.email))["status"] == "trialing"
    market.pg.query("UPDATE trial_uses SET used_at = now() - interval '1096 days'")
    run_periodic(market, "billing_tick")
    assert market.pg.query(kept) == [(0,)]


def organisations(market, count):
    """One person's, each as a client of its administrator."""
    me, made = again(market, f"maker-{secrets.token_hex(4)}@example.org"), []
    for _ in range(count):
        slug = f"made-{secrets.token_hex(6)}"
        assert me.post("/v1/organisations", json={"name": "St Elsewhere", "slug": slug}).status_code == 201
        made.append(market.signed_in(me.email, me.word, slug))
    return made


@pytest.fixture
def trial_seats(market):
    market.pg.query("UPDATE plans SET trial_days = 14 WHERE plan = 'trust-seat'")
    return market


def test_the_organisations_that_one_makes_have_one_trial_together(trial_seats):
    first, second = organisations(trial_seats, 2)
    assert trial_seats.pay(first, plan="trust-seat", period="year", seats=2)["status"] == "trialing"
    assert trial_seats.pay(second, plan="trust-seat", period="year", seats=2)["status"] == "active"
    assert trial_seats.pay(trial_seats.boss, plan="trust-seat", period="year", seats=2)["status"] == "trialing"


def test_two_open_pages_of_one_maker_begin_one_trial(trial_seats):
    made = organisations(trial_seats, 2)
    pages = [trial_seats.checkout(one, "trust-seat", "year", seats=2).json()["id"] for one in made]
    for page in pages:
        trial_seats.stripe.complete_checkout(trial_seats.session_of(page))
    shown = [one.get(f"/v1/billing/checkout/{page}").json()["subscription"] for one, page in zip(made, pages)]
    assert [one.get(f"/v1/billing/subscriptions/{which}").json()["status"] for one, which in zip(made, shown)] == ["trialing", "active"]


def test_a_trial_that_is_paid_for_and_not_fetched_yet_counts(trial_seats):
    first, second = organisations(trial_seats, 2)
    page = trial_seats.checkout(first, "trust-seat", "year", seats=2).json()["id"]
    trial_seats.stripe.complete_checkout(trial_seats.session_of(page))
    trial_seats.stripe.faults.add("GET", r"/v1/subscriptions/", "bad_gateway", times=3)
    assert first.get(f"/v1/billing/checkout/{page}").json()["state"] == "complete"
    assert trial_seats.pay(second, plan="trust-seat", period="year", seats=2)["status"] == "active"


def pay_for(market, me, page):
    market.stripe.complete_checkout(market.session_of(page))
    return me.get(f"/v1/billing/subscriptions/{me.get(f'/v1/billing/checkout/{page}').json()['subscription']}").json()["status"]


def test_orders_of_one_maker_at_the_same_time_begin_one_trial(trial_seats):
    first, second = organisations(trial_seats, 2)
    customer = Hold(trial_seats.stripe, "POST", r"/v1/customers$")
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(trial_seats.checkout, first, "trust-seat", "year", seats=2)
        customer.wait()
        page = trial_seats.checkout(second, "trust-seat", "year", seats=2).json()["id"]
        customer.release()
        said = assert_problem(slow.result(), 409, "billing_busy")
    assert "order again" in said["detail"], said
    assert pay_for(trial_seats, second, page) == "trialing"
    assert trial_seats.pay(first, plan="trust-seat", period="year", seats=2)["status"] == "active"


def test_a_page_that_nobody_knows_of_yet_is_the_makers_trial_and_is_shown_as_such(trial_seats):
    first, second = organisations(trial_seats, 2)
    trial_seats.stripe.faults.add("POST", r"/v1/checkout/sessions$", "applied_cut", times=3)
    intent = look(first, trial_seats.checkout(first, "trust-seat", "year", seats=2))
    assert intent["state"] == "open"
    assert [one.get("/v1/billing").json()["trial_used"] for one in (second, trial_seats.boss)] == [True, False]
    assert trial_seats.pay(second, plan="trust-seat", period="year", seats=2)["status"] == "active"
    assert settle(trial_seats, intent["id"]) == "done"
    assert pay_for(trial_seats, first, intent["id"]) == "trialing"


def test_a_page_that_was_never_paid_at_is_nobodys_trial(trial_seats):
    boss, other = trial_seats.boss, again(trial_seats, f"other-{secrets.token_hex(4)}@example.org")
    trial_seats.pg.query("INSERT INTO memberships (tenant_id, person_id, roles) SELECT %s, person_id, '{administrator}' FROM people WHERE email = %s",
                         (boss.tenant, other.email))
    beside = trial_seats.signed_in(other.email, other.word, boss.slug)
    assert trial_seats.checkout(beside, "trust-seat", "year", seats=5).status_code == 201
    assert trial_seats.pay(boss, plan="trust-seat", period="year", seats=3)["status"] == "trialing"
    slug = f"made-{secrets.token_hex(6)}"
    assert other.post("/v1/organisations", json={"name": "St Elsewhere", "slug": slug}).status_code == 201
    own = trial_seats.signed_in(other.email, other.word, slug)
    assert own.get("/v1/billing").json()["trial_used"] is False
    assert trial_seats.pay(own, plan="trust-seat", period="year", seats=2)["status"] == "trialing"


def test_a_page_whose_time_is_over_holds_no_trial_back(trial_seats):
    first, second = organisations(trial_seats, 2)
    assert trial_seats.checkout(first, "trust-seat", "year", seats=2).status_code == 201
    trial_seats.pg.query("UPDATE checkouts SET expires_at = now() - interval '2 hours'")
    assert trial_seats.pay(second, plan="trust-seat", period="year", seats=2)["status"] == "trialing"


def test_by_invoice_there_is_no_trial(trial_seats):
    assert trial_seats.by_invoice(trial_seats.boss, 2).json()["status"] == "active"


def test_a_trial_keeps_to_the_seats_that_it_began_with(trial_seats):
    boss = trial_seats.boss
    bought = by_card(trial_seats, 5)
    assert bought["status"] == "trialing"
    said = assert_problem(boss.patch(path_of(bought), json={"seats": 6}), 409, "trial_running", "/seats")
    end = datetime.fromisoformat(bought["trial_end"]).astimezone(timezone.utc)
    assert f"{end.day} {end:%B %Y}" in said["detail"] and "5 seats" in said["detail"]
    assert_problem(boss.post(path_of(bought) + "/preview", json={"seats": 100}), 409, "trial_running", "/seats")
    for seats in (3, 5):
        assert boss.patch(path_of(bought), json={"seats": seats}).json()["seats"] == seats
    pass_time(trial_seats, days=15)
    assert boss.patch(path_of(bought), json={"seats": 6}).json()["seats"] == 6
    assert_same(trial_seats)


# --- Errors that name the field --------------------------------------------------------------------------------------------

def test_what_stripe_refuses_is_named_by_our_field(market, stripe_client):
    bought = by_card(market)
    early = {"seats": 12, "proration_date": int(time.time()) - 1800}  # before it was bought
    assert_problem(market.boss.patch(path_of(bought), json=early), 422, "billing_refused", "/proration_date")
    assert_problem(market.boss.post(path_of(bought) + "/preview", json=early), 422, "billing_refused", "/proration_date")
    (price,), = market.pg.query("SELECT price FROM plan_prices WHERE plan = 'all-one' AND period = 'month'")
    stripe_client.post(f"prices/{price}", active="false")
    assert_problem(market.checkout(market.me, plan="all-one"), 422, "billing_refused", "/plan")


def test_a_member_that_was_not_sent_is_not_named(market, stripe_client):
    (price,), = market.pg.query("SELECT price FROM plan_prices WHERE plan = 'trust-seat' AND period = 'year' AND currency = 'gbp'")
    quoted = market.server.cli_json("quote", "create", "--tenant", market.boss.slug, "--plan", "trust-seat", "--period", "year", "--currency",
                                    "gbp", "--seats", "5")["quote"]
    stripe_client.post(f"prices/{price}", active="false")
    address = {"line1": "1 High Street", "postal_code": "SW1A 1AA", "country": "GB"}
    said = assert_problem(market.boss.post(f"/v1/billing/quotes/{quoted}/acceptance", json={"address": address}), 422, "billing_refused")
    assert "field" not in said, said
    assert_problem(market.by_invoice(market.boss, 3), 422, "billing_refused", "/plan")


def test_an_invoice_with_taxes_needs_an_address_before_stripe_is_asked(market):
    body = {"plan": "trust-seat", "period": "year", "currency": "gbp", "seats": 3}
    assert_problem(market.boss.post("/v1/billing/subscriptions", json=body), 422, "field_missing", "/address")
    assert not market.stripe.record.requests
    quoted = market.server.cli_json("quote", "create", "--tenant", market.boss.slug, "--plan", "trust-seat", "--period", "year", "--currency",
                                    "gbp", "--seats", "5")["quote"]
    assert_problem(market.boss.post(f"/v1/billing/quotes/{quoted}/acceptance", json={}), 422, "field_missing", "/address")
    assert market.checkout(market.boss, "trust-seat", "year", seats=3).status_code == 201  # a customer, of no place yet
    before = len(posts(market))
    assert_problem(market.boss.post("/v1/billing/subscriptions", json=body), 422, "field_missing", "/address")
    assert len(posts(market)) == before
    assert market.by_invoice(market.boss, 3).status_code == 201
    assert_same(market)


def test_an_address_that_stripe_has_will_do(market, stripe_client):
    bought = by_card(market, 3)  # the page to pay at has asked for it
    stripe_client.delete(f"subscriptions/{bought['stripe']}")
    tell_all(market)
    reply = market.boss.post("/v1/billing/subscriptions", json={"plan": "trust-seat", "period": "year", "currency": "gbp", "seats": 3})
    assert reply.status_code == 201, reply.text


@pytest.mark.parametrize("country", ["gb", "G1", "Gb", "  ", "GBR", "É"])
def test_a_country_is_two_capital_letters(market, country):
    reply = market.by_invoice(market.boss, 3, address={"line1": "1 Road", "country": country})
    assert_problem(reply, 422, "field_invalid", "/address/country")


@pytest.mark.parametrize("number", ["", "   ", "\t\r\n", "PO\n1", "PO\u0000", "PO\u0007", "PO\u007f", "PO\u0085", "x" * 141])
def test_an_order_number_is_one_line_of_text(market, number):
    bought = market.by_invoice(market.boss, 3).json()
    if number != "PO\u0000":  # no string of ours holds that
        assert_problem(market.boss.patch(path_of(bought), json={"purchase_order": number}), 422, "field_invalid", "/purchase_order")
    reply = market.by_invoice(market.boss, 3, purchase_order=number)
    assert reply.status_code in (400, 422) and reply.headers["content-type"].startswith("application/problem+json")
    assert market.boss.get(path_of(bought)).json()["purchase_order"] is None


def test_an_order_number_is_kept_without_the_blanks_around_it_and_as_long_as_stripe_takes_it(market):
    bought = market.by_invoice(market.boss, 3, purchase_order="\t PO 4711 é\r\n").json()
    assert bought["purchase_order"] == "PO 4711 é"
    assert market.boss.patch(path_of(bought), json={"purchase_order": "x" * 140}).json()["purchase_order"] == "x" * 140


# --- What stands on invoices -----------------------------------------------------------------------------------------------

def test_a_trust_pays_its_second_year_with_another_order_number(market):
    ago(market, 400)
    bought = market.by_invoice(market.boss, 10, purchase_order="PO-1", days_until_due=30).json()
    pass_time(market, seconds=7200)
    market.stripe.hosted_pay(market.stripe.all("invoice", status="open")[0]["id"])
    tell_all(market)
    changed = market.boss.patch(path_of(bought), json={"purchase_order": "PO-2", "days_until_due": 14})
    assert changed.status_code == 200, changed.text
    assert (changed.json()["purchase_order"], changed.json()["days_until_due"], changed.json()["seats"]) == ("PO-2", 14, 10)
    end = seconds(bought["period_end"])
    pass_time(market, to=end + 7200)
    second, first = market.boss.get("/v1/billing/invoices").json()["items"]
    assert first["status"] == "paid" and first["custom_fields"] == [{"name": "Purchase order", "value": "PO-1"}]
    assert second["status"] == "open" and second["custom_fields"] == [{"name": "Purchase order", "value": "PO-2"}]
    assert second["subtotal"] == 10 * 12000 and seconds(second["due_at"]) == seconds(second["created_at"]) + 14 * DAY
    market.stripe.hosted_pay(second["id"])
    tell_all(market)
    shown = market.boss.get(path_of(bought)).json()
    assert shown["status"] == "active" and seconds(shown["period_start"]) == end and shown["past_due_since"] is None
    assert market.boss.get("/v1/billing/invoices").json()["items"][0]["status"] == "paid"
    assert_same(market)


def test_seats_and_their_order_number_are_changed_together(market):
    bought = market.by_invoice(market.boss, 10, purchase_order="PO-1").json()
    changed = market.boss.patch(path_of(bought), json={"seats": 12, "purchase_order": "PO-2"}).json()
    assert (changed["seats"], changed["purchase_order"]) == (12, "PO-2")
    assert [one["custom_fields"][0]["value"] for one in market.stripe.all("invoice")] == ["PO-2", "PO-1"]
    sent = len(posts(market))
    assert market.boss.patch(path_of(bought), json={"seats": 12, "purchase_order": "PO-2"}).status_code == 200
    assert len(posts(market)) == sent  # it stands so already


@pytest.mark.parametrize("old", [False, True])
def test_an_order_number_whose_answer_is_lost_is_found_out(market, old):
    bought = market.by_invoice(market.boss, 10, purchase_order="PO-1").json()
    market.stripe.faults.add("POST", f"/v1/subscriptions/{bought['stripe']}$", "applied_cut", times=3)
    intent = look(market.boss, market.boss.patch(path_of(bought), json={"purchase_order": "PO-2"}))
    if old:
        age(market.pg, intent["id"], "21 hours")
    assert settle(market, intent["id"]) == "done"
    assert market.boss.get(path_of(bought)).json()["purchase_order"] == "PO-2"


def test_an_old_order_number_that_never_got_there_is_not_done(market):
    bought = market.by_invoice(market.boss, 10, purchase_order="PO-1").json()
    market.stripe.faults.add("POST", f"/v1/subscriptions/{bought['stripe']}$", "bad_gateway", times=3)
    intent = look(market.boss, market.boss.patch(path_of(bought), json={"purchase_order": "PO-2"}))
    age(market.pg, intent["id"], "21 hours")
    assert settle(market, intent["id"]) == "failed"


def test_who_pays_by_card_has_no_invoices_to_write_on(market):
    bought = by_card(market, 3)
    assert_problem(market.boss.patch(path_of(bought), json={"purchase_order": "PO-2"}), 409, "not_by_invoice", "/purchase_order")
    assert_problem(market.boss.patch(path_of(bought), json={"days_until_due": 14}), 409, "not_by_invoice", "/days_until_due")


def test_invoices_go_to_another_address_from_now_on(market):
    boss = market.boss
    assert_problem(boss.patch("/v1/billing/customer", json={"email": "a@example.org"}), 409, "nothing_bought")
    bought = market.by_invoice(boss, 3).json()
    place = {"line1": "2 Street", "line2": "Finance", "city": "York", "postal_code": "YO1 1AA", "country": "GB"}
    reply = boss.patch("/v1/billing/customer", json={"email": "Invoices@Trust.EXAMPLE.org", "address": place})
    assert reply.status_code == 200, reply.text
    assert reply.json()["email"] == "Invoices@trust.example.org" and reply.json()["address"] == {**place, "state": None}
    assert boss.patch(path_of(bought), json={"seats": 5}).status_code == 200
    invoice = market.stripe.all("invoice")[0]
    assert (invoice["customer_email"], invoice["customer_address"]["city"]) == ("Invoices@trust.example.org", "York")
    assert boss.patch("/v1/billing/customer", json={"email": "b@example.org"}).json()["address"]["city"] == "York"


@pytest.mark.parametrize("body, code, field", [
    ({}, "field_missing", "/email"), ({"email": "nobody"}, "bad_email", "/email"), ({"email": 1}, "field_invalid", "/email"),
    ({"address": {"line1": "1 Road", "country": "gb"}}, "field_invalid", "/address/country"),
    ({"address": {"country": "GB"}}, "field_missing", "/address/line1"), ({"name": "Another"}, "field_unknown", "/name")])
def test_a_bad_address_of_invoices_names_the_field(market, body, code, field):
    assert_problem(market.boss.patch("/v1/billing/customer", json=body), 422, code, field)
    assert not market.stripe.record.requests


def test_an_address_whose_answer_is_lost_is_found_out(market):
    bought = market.by_invoice(market.boss, 3).json()
    customer = market.stripe.get(bought["stripe"])["customer"]
    market.stripe.faults.add("POST", f"/v1/customers/{customer}$", "applied_cut", times=3)
    intent = look(market.boss, market.boss.patch("/v1/billing/customer", json={"email": "b@example.org"}))
    assert settle(market, intent["id"]) == "done" and market.stripe.get(customer)["email"] == "b@example.org"


# --- Words that help -------------------------------------------------------------------------------------------------------

def test_an_order_that_came_to_nothing_says_that_nothing_was_charged(market):
    key = {"Idempotency-Key": "order 1"}
    fault = market.stripe.faults.add("POST", r"/v1/subscriptions$", "server_error", applied=False, times=None)
    intent = look(market.boss, market.by_invoice(market.boss, 3, headers=key))
    age(market.pg, intent["id"], "2 minutes")
    assert settle(market, intent["id"]) == "failed" and fault.struck
    market.stripe.faults.clear()
    for said in (market.boss.get(f"/v1/billing/requests/{intent['id']}").json(),
                 assert_problem(market.by_invoice(market.boss, 3, headers=key), 422, "billing_refused")):
        assert "nothing was changed or charged" in said["detail"] and "ordered again" in said["detail"], said
    assert market.by_invoice(market.boss, 3).status_code == 201


def test_a_customer_that_stripe_has_deleted_is_not_one_who_never_bought(market, stripe_client):
    bought = by_card(market, 3)
    stripe_client.delete(f"customers/{market.stripe.get(bought['stripe'])['customer']}")
    tell_all(market)
    assert_problem(market.boss.get("/v1/billing/invoices"), 409, "customer_gone")
    assert_problem(market.boss.post("/v1/billing/portal", json={}), 409, "customer_gone")
    assert_problem(market.me.get("/v1/billing/invoices"), 409, "nothing_bought")


def test_the_price_of_a_quote_is_good_until_its_day(market):
    quoted = market.server.cli_json("quote", "create", "--tenant", market.boss.slug, "--plan", "trust-seat", "--period", "year", "--currency",
                                    "gbp", "--seats", "5", "--amount", "9900", "--days-until-due", "90")["quote"]
    accept = {"url": f"/v1/billing/quotes/{quoted}/acceptance", "json": {"address": {"line1": "1 Road", "country": "GB"}}}
    market.pg.query("UPDATE quotes SET valid_until = now() - interval '1 second' WHERE quote_id = %s", (quoted,))
    assert_problem(market.boss.post(**accept), 410, "quote_expired")
    assert not market.stripe.record.requests
    market.pg.query("UPDATE quotes SET valid_until = now() + interval '1 hour' WHERE quote_id = %s", (quoted,))
    assert market.boss.post(**accept).json()["days_until_due"] == 90  # more than a payer may choose


def test_a_sixth_organisation_is_the_operators_to_make(market):
    me = organisations(market, 5)[0]
    assert_problem(me.post("/v1/organisations", json={"name": "Sixth", "slug": f"sixth-{secrets.token_hex(4)}"}), 409, "too_many_organisations")


@pytest.mark.parametrize("method, path", [
    ("POST", "/v1/billing/checkout"), ("POST", "/v1/billing/subscriptions"), ("PATCH", "/v1/billing/subscriptions/{id}"),
    ("POST", "/v1/billing/subscriptions/{id}/preview"), ("POST", "/v1/billing/quotes/{id}/acceptance"), ("POST", "/v1/billing/portal"),
    ("PATCH", "/v1/billing/customer")])
def test_a_body_that_is_too_large_is_a_413(market, method, path):
    big = {"plan": "x" * 9000}
    assert_problem(market.boss.request(method, path.replace("{id}", "018f0000-0000-7000-8000-000000000000"), json=big), 413)
    assert not market.stripe.record.requests
