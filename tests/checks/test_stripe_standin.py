"""The stand-in for Stripe bills as Stripe does: periods, prorations, trials, dunning, pending updates, checkout, previews."""
import random
import secrets
from datetime import datetime, timezone

import pytest

from stripe_standin import Refused, Standin
from stripe_standin.client import Client, Failed
from stripe_standin.errors import ApiError
from stripe_standin.periods import boundary, divide, part, period_at
from stripe_standin.schema import differences
from stripe_standin.world import World, period, session

DAY = 86400
STATUSES = {"incomplete": {"active", "incomplete_expired", "canceled"}, "trialing": {"active", "past_due", "paused", "canceled"},
            "active": {"past_due", "canceled"}, "past_due": {"active", "unpaid", "canceled"}, "unpaid": {"active", "canceled"},
            "paused": {"active", "canceled"}, "canceled": set(), "incomplete_expired": set()}


def moment(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp())


def day(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d")


START = moment("2026-03-01T09:00:00")


@pytest.fixture(scope="module")
def _one():
    standin = Standin(start=START, record=None).start()
    client = Client(standin)
    yield standin, client
    client.close()
    standin.close()


@pytest.fixture
def standin(_one):
    """Clean at its end; and where Stripe's schema is at hand, all objects that came to be are of its shapes."""
    standin = _one[0].reset()
    yield standin
    standin.assert_clean()
    if standin.schema.subset:
        found = [words for table in standin.store.tables.values() for thing in table.values() if not thing.get("deleted")
                 for words in differences(standin.schema.subset, thing["object"], thing)]
        for event in standin.store.events:
            found += differences(standin.schema.subset, "event", event)
            assert event["type"] in standin.schema.subset["event_types"]
            thing = event["data"]["object"]
            found += differences(standin.schema.subset, thing["object"], thing) if thing["object"] in standin.schema.subset["objects"] else []
        assert not found


@pytest.fixture
def stripe(_one, standin):
    return _one[1]


@pytest.fixture
def world(standin, stripe):
    return World(standin, stripe)


# --- Arithmetic -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("anchor, interval, days", [
    ("2026-01-31", "month", ["2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"]),
    ("2024-01-31", "month", ["2024-02-29", "2024-03-31"]),
    ("2024-02-29", "year", ["2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"]),
    ("2025-12-30", "month", ["2026-01-30", "2026-02-28", "2026-03-30"]),
    ("2026-03-01", "week", ["2026-03-08"]), ("2026-03-01", "day", ["2026-03-02"])])
def test_periods_are_counted_from_the_anchor(anchor, interval, days):
    at = moment(anchor + "T10:30:00")
    assert [day(boundary(at, interval, 1, n + 1)) for n in range(len(days))] == days
    for n in range(40):
        begin, end = boundary(at, interval, 1, n), boundary(at, interval, 1, n + 1)
        assert period_at(at, interval, 1, begin) == period_at(at, interval, 1, end - 1) == (begin, end)


def test_amounts_are_divided_to_the_nearest_unit_with_halves_away_from_zero():
    assert [divide(a, 1, 2) for a in (3, -3, 2, 0)] == [2, -2, 1, 0]
    assert divide(1000, 1, 3) == 333 and divide(2000, 1, 3) == 667
    assert part(3100, 0, 31, 10) == 2100 and part(3100, 0, 31, 40) == 0 and part(3100, 5, 31, 5) == 3100


def test_more_seats_in_the_middle_of_a_period_cost_what_is_left_of_it_by_the_second(standin, world):
    made = world.subscribe(quantity=10)
    begin, end = period(made)
    standin.advance(to=begin + 12 * DAY + 3723)
    left = end - begin - 12 * DAY - 3723
    after = world.seats(made, 15, proration_behavior="always_invoice")
    lines = world.invoices(made)[0]["lines"]["data"]
    assert [line["amount"] for line in lines] == [-divide(25000, left, end - begin), divide(37500, left, end - begin)]
    assert all(line["parent"]["subscription_item_details"]["proration"] for line in lines)
    assert after["items"]["data"][0]["quantity"] == 15
    assert standin.charges()[-1]["amount"] == sum(line["amount"] for line in lines)


def test_a_zero_decimal_currency_is_billed_in_whole_units(standin, stripe):
    world = World(standin, stripe, currency="jpy", month=3000)
    made = world.subscribe(quantity=3)
    standin.advance(days=10)
    world.seats(made, 4, proration_behavior="always_invoice")
    assert [charge["amount"] for charge in reversed(standin.charges())] == [divide(12000, 21, 31) - divide(9000, 21, 31), 9000]
    assert "¥3000 / month" in world.invoices(made)[0]["lines"]["data"][0]["description"]


def test_a_credit_comes_from_what_was_billed_and_waits_in_the_balance(standin, world, stripe):
    made = world.subscribe(quantity=10)
    world.seats(made, 12, proration_behavior="none")
    standin.advance(days=10)
    world.seats(made, 4, proration_behavior="always_invoice")
    credit = divide(10000, 21, 31) - divide(25000, 21, 31)
    last = world.invoices(made)[0]
    assert (last["total"], last["amount_due"], last["status"]) == (credit, 0, "paid")
    assert stripe.get(f"customers/{world.customer}")["balance"] == credit
    standin.advance(days=22)
    renewal = world.invoices(made)[0]
    assert renewal["amount_paid"] == max(0, 10000 + credit) and renewal["starting_balance"] == credit
    assert stripe.get(f"customers/{world.customer}")["balance"] == min(0, 10000 + credit)


def test_prorations_wait_for_the_next_invoice_unless_invoiced_at_once(standin, world):
    made = world.subscribe(quantity=2)
    standin.advance(days=1)
    world.seats(made, 3)
    assert len(world.invoices(made)) == 1
    standin.advance(days=31)
    assert [line["amount"] for line in world.invoices(made)[0]["lines"]["data"]] == [
        -divide(5000, 30, 31), divide(7500, 30, 31), 7500]


def test_a_preview_says_what_is_charged_then(standin, world, stripe):
    made = world.subscribe(quantity=10)
    standin.advance(days=9)
    at, item = standin.now(), made["items"]["data"][0]["id"]
    details = {"items": [{"id": item, "quantity": 13}], "proration_behavior": "always_invoice", "proration_date": at}
    events = len(standin.events())
    preview = stripe.post("invoices/create_preview", subscription=made["id"], subscription_details=details)
    assert len(standin.events()) == events and len(world.invoices(made)) == 1
    standin.advance(seconds=600)
    stripe.post(f"subscriptions/{made['id']}", **details)
    assert preview["amount_due"] == standin.charges()[-1]["amount"] > 0
    if standin.schema.subset:
        assert not differences(standin.schema.subset, "invoice", preview)


def test_a_preview_of_what_is_not_billed_at_once_shows_the_next_invoice(standin, world, stripe):
    made = world.subscribe(quantity=1)
    assert stripe.post("invoices/create_preview", subscription=made["id"])["total"] == 2500
    new = stripe.post("invoices/create_preview", customer=world.customer, subscription_details={"items": [{"price": world.year}]})
    assert new["total"] == 24000
    nobody = stripe.post("invoices/create_preview", customer_details={"address": {"country": "GB"}}, automatic_tax={"enabled": True},
                         subscription_details={"items": [{"price": world.year, "quantity": 2}]})
    assert nobody["total"] == 57600 and nobody["total_taxes"][0]["amount"] == 9600


def test_another_interval_begins_a_new_period_and_is_billed_at_once(standin, world, stripe):
    made = world.subscribe()
    standin.advance(days=10)
    item = made["items"]["data"][0]["id"]
    after = stripe.post(f"subscriptions/{made['id']}", items=[{"id": item, "price": world.year}])
    assert period(after) == (standin.now(), boundary(standin.now(), "year", 1, 1))
    assert standin.charges()[-1]["amount"] == 24000 - divide(2500, 21, 31)


# --- Time -------------------------------------------------------------------------------------------------------------

def test_renewals_are_drafts_for_an_hour_and_return_to_the_31st(standin, stripe):
    standin.reset(moment("2026-01-31T10:00:00"))
    world = World(standin, stripe)
    made = world.subscribe()
    standin.advance(to=moment("2026-02-28T10:00:00"))
    assert world.invoices(made)[0]["status"] == "draft" and world.status(made) == "active"
    standin.advance(seconds=3600)
    assert world.invoices(made)[0]["status"] == "paid"
    standin.advance(to=moment("2026-03-31T10:00:00"))
    assert [day(line["period_end"]) for line in world.invoices(made)] == ["2026-03-31", "2026-02-28", "2026-02-28"]
    assert day(period(standin.get(made["id"]))[1]) == "2026-04-30"


@pytest.mark.parametrize("then, status", [("cancel", "canceled"), ("pause", "paused"), ("create_invoice", "past_due")])
def test_a_trial_that_ends_without_a_card_ends_as_was_settled(standin, stripe, then, status):
    world = World(standin, stripe, card=None)
    made = world.subscribe(trial_period_days=14, trial_settings={"end_behavior": {"missing_payment_method": then}})
    assert made["status"] == "trialing" and made["trial_end"] == START + 14 * DAY == period(made)[1]
    assert "customer.subscription.trial_will_end" in [event["type"] for event in standin.advance(days=11)]
    standin.advance(days=4)
    assert world.status(made) == status
    if status == "paused":
        standin.set_card(world.customer)
        assert stripe.post(f"subscriptions/{made['id']}/resume")["status"] == "active"
        assert standin.charges()[-1]["amount"] == 2500


def test_a_trial_with_a_card_becomes_a_paid_period(standin, world):
    made = world.subscribe(trial_period_days=7)
    assert not standin.charges()
    standin.advance(days=7)
    assert world.status(made) == "active" and not standin.charges()
    standin.advance(seconds=3600)
    assert [charge["amount"] for charge in standin.charges()] == [2500]
    assert period(standin.get(made["id"])) == (START + 7 * DAY, boundary(START + 7 * DAY, "month", 1, 1))


def test_a_trial_can_be_ended_and_made_longer(standin, world, stripe):
    made = world.subscribe(trial_period_days=7)
    longer = stripe.post(f"subscriptions/{made['id']}", trial_end=START + 20 * DAY)
    assert longer["trial_end"] == period(longer)[1] == START + 20 * DAY
    standin.advance(days=8)
    assert world.status(made) == "trialing"
    assert stripe.post(f"subscriptions/{made['id']}", trial_end="now")["status"] == "active"
    assert standin.charges()[-1]["amount"] == 2500


@pytest.mark.parametrize("after", ["unpaid", "cancel", "past_due"])
def test_dunning_ends_as_the_settings_say(standin, world, after):
    standin.settings.after_dunning = after
    made = world.subscribe()
    standin.set_card(world.customer, "declines")
    events = standin.advance(days=32)
    assert world.status(made) == "past_due" and "invoice.payment_failed" in [event["type"] for event in events]
    assert world.invoices(made)[0]["next_payment_attempt"] is not None
    standin.advance(days=16)
    assert world.status(made) == {"unpaid": "unpaid", "cancel": "canceled", "past_due": "past_due"}[after]
    assert world.invoices(made)[0]["attempt_count"] == 4
    if after == "unpaid":
        standin.advance(days=31)
        assert world.invoices(made)[0]["status"] == "draft"
        standin.hosted_pay(world.invoices(made)[1]["id"])
        assert world.status(made) == "unpaid"


def test_a_new_card_recovers_what_is_past_due(standin, world):
    made = world.subscribe()
    standin.set_card(world.customer, "declines")
    standin.advance(days=32)
    standin.set_card(world.customer)
    standin.advance(days=4)
    assert world.status(made) == "active" and world.invoices(made)[0]["status"] == "paid"


def test_a_first_payment_that_never_comes_lapses_after_23_hours(standin, world):
    made = world.subscribe(payment_behavior="default_incomplete")
    assert made["status"] == "incomplete" and not standin.charges()
    standin.advance(seconds=23 * 3600 - 1)
    assert world.status(made) == "incomplete"
    standin.advance(seconds=1)
    assert world.status(made) == "incomplete_expired" and world.invoices(made)[0]["status"] == "void"
    with pytest.raises(Failed, match="canceled subscription"):
        world.seats(made, 3)


def test_a_first_payment_that_comes_later_activates(standin, world, stripe):
    made = world.subscribe(payment_behavior="default_incomplete")
    stripe.post(f"invoices/{made['latest_invoice']}/pay")
    assert world.status(made) == "active" and len(standin.charges()) == 1


def test_a_cancellation_at_the_end_can_be_undone_and_comes_true(standin, world, stripe):
    made = world.subscribe()
    asked = stripe.post(f"subscriptions/{made['id']}", cancel_at_period_end=True)
    assert asked["cancel_at_period_end"] and asked["cancel_at"] == period(made)[1]
    undone = stripe.post(f"subscriptions/{made['id']}", cancel_at_period_end=False)
    assert (undone["cancel_at_period_end"], undone["cancel_at"], undone["canceled_at"]) == (False, None, None)
    standin.advance(days=32)
    assert world.status(made) == "active"
    stripe.post(f"subscriptions/{made['id']}", cancel_at_period_end=True)
    standin.advance(days=31)
    gone = standin.get(made["id"])
    assert gone["status"] == "canceled" and gone["ended_at"] == gone["cancel_at"] and len(standin.charges()) == 2


def test_the_portal_cancels_by_date_which_the_flag_does_not_undo(standin, world, stripe):
    made = world.subscribe()
    standin.portal_cancel(made["id"])
    seen = stripe.get(f"subscriptions/{made['id']}")
    assert (seen["cancel_at"], seen["cancel_at_period_end"]) == (period(made)[1], False)
    assert stripe.post(f"subscriptions/{made['id']}", cancel_at_period_end=False)["cancel_at"] == period(made)[1]
    assert stripe.post(f"subscriptions/{made['id']}", cancel_at="")["cancel_at"] is None


def test_a_subscription_is_canceled_at_once_with_credit_when_asked(standin, world, stripe):
    made = world.subscribe()
    standin.advance(days=10)
    gone = stripe.delete(f"subscriptions/{made['id']}", prorate=True, invoice_now=True)
    assert gone["status"] == "canceled" and standin.events("customer.subscription.deleted")
    assert standin.get(world.customer)["balance"] == -divide(2500, 21, 31)
    with pytest.raises(Failed) as failed:
        stripe.delete(f"subscriptions/{made['id']}")
    assert failed.value.status == 404 and failed.value.error["code"] == "resource_missing"


# --- Payments that fail -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("outcome", ["declines", "requires_action"])
def test_seats_that_are_not_paid_for_wait_and_come_with_the_payment(standin, world, outcome):
    made = world.subscribe(quantity=5)
    standin.next_payment(world.customer, outcome)
    held = world.seats(made, 9, proration_behavior="always_invoice", payment_behavior="pending_if_incomplete")
    assert held["items"]["data"][0]["quantity"] == 5 and held["status"] == "active"
    assert held["pending_update"]["subscription_items"][0]["quantity"] == 9
    standin.authenticate(held["latest_invoice"])
    now = standin.get(made["id"])
    assert now["items"]["data"][0]["quantity"] == 9 and now["pending_update"] is None
    assert standin.events("customer.subscription.pending_update_applied") and len(standin.charges()) == 2


def test_seats_that_are_never_paid_for_never_come(standin, world):
    made = world.subscribe(quantity=5)
    standin.next_payment(world.customer, "declines")
    held = world.seats(made, 9, proration_behavior="always_invoice", payment_behavior="pending_if_incomplete")
    standin.advance(seconds=23 * 3600)
    now = standin.get(made["id"])
    assert now["items"]["data"][0]["quantity"] == 5 and now["pending_update"] is None
    assert standin.events("customer.subscription.pending_update_expired")
    assert standin.get(held["latest_invoice"])["status"] == "void"


def test_seats_that_wait_do_not_outlast_the_period(standin, world):
    made = world.subscribe(quantity=5)
    standin.advance(to=period(made)[1] - 3600)
    standin.next_payment(world.customer, "declines")
    held = world.seats(made, 9, proration_behavior="always_invoice", payment_behavior="pending_if_incomplete")
    assert held["pending_update"]["expires_at"] == period(made)[1]
    standin.advance(seconds=7200)
    now = standin.get(made["id"])
    assert now["pending_update"] is None and now["items"]["data"][0]["quantity"] == 5 and period(now)[0] == period(made)[1]
    assert standin.charges()[-1]["amount"] == 12500


def test_a_pending_update_takes_no_metadata(world):
    made = world.subscribe()
    with pytest.raises(Failed) as failed:
        world.seats(made, 2, payment_behavior="pending_if_incomplete", metadata={"a": "b"})
    assert failed.value.error["param"] == "metadata"


def test_by_default_the_seats_come_and_the_subscription_is_past_due(standin, world):
    made = world.subscribe(quantity=5)
    standin.next_payment(world.customer, "declines")
    after = world.seats(made, 9, proration_behavior="always_invoice")
    assert after["items"]["data"][0]["quantity"] == 9 and world.status(made) == "past_due"


def test_error_if_incomplete_leaves_everything_as_it_was(standin, world):
    made = world.subscribe(quantity=5)
    before = standin.get(made["id"])
    standin.next_payment(world.customer, "declines")
    with pytest.raises(Failed) as failed:
        world.seats(made, 9, proration_behavior="always_invoice", payment_behavior="error_if_incomplete")
    assert failed.value.status == 402 and failed.value.error["code"] == "card_declined"
    assert standin.get(made["id"]) == before and len(world.invoices(made)) == 1


def test_an_item_without_its_id_is_another_item(world, stripe):
    made = world.subscribe()
    other = world.price("month", 900)
    after = stripe.post(f"subscriptions/{made['id']}", items=[{"price": other, "quantity": 2}])
    assert sorted(item["quantity"] for item in after["items"]["data"]) == [1, 2]
    with pytest.raises(Failed, match="same plan"):
        stripe.post(f"subscriptions/{made['id']}", items=[{"price": other}])


# --- Invoices ---------------------------------------------------------------------------------------------------------

def test_an_invoice_that_is_sent_takes_an_order_number_while_it_is_a_draft(standin, stripe):
    world = World(standin, stripe, card=None)
    made = world.subscribe(world.year, 50, collection_method="send_invoice", days_until_due=30)
    assert made["status"] == "active"
    draft = made["latest_invoice"]
    fields = [{"name": "Purchase order", "value": "PO-4711"}]
    assert stripe.post(f"invoices/{draft}", custom_fields=fields)["custom_fields"] == fields
    standin.advance(seconds=3600)
    sent = standin.get(draft)
    assert (sent["status"], sent["amount_due"], sent["due_date"]) == ("open", 1200000, START + 30 * DAY)
    with pytest.raises(Failed) as failed:
        stripe.post(f"invoices/{draft}", custom_fields=fields)
    assert failed.value.error["code"] == "invoice_not_editable"
    assert "invoice.overdue" in [event["type"] for event in standin.advance(days=30)]
    assert world.status(made) == "past_due"
    stripe.post(f"invoices/{draft}/pay", paid_out_of_band=True)
    assert world.status(made) == "active" and not standin.charges()
    assert stripe.get("invoice_payments", invoice=draft)["data"][0]["payment"]["type"] == "payment_record"


def test_a_draft_that_is_finalised_by_hand_is_collected_all_the_same(standin, world, stripe):
    made = world.subscribe()
    standin.advance(days=31)
    draft = world.invoices(made)[0]
    assert draft["status"] == "draft"
    assert stripe.post(f"invoices/{draft['id']}/finalize")["status"] == "open"
    standin.advance(seconds=3600)
    assert standin.get(draft["id"])["status"] == "paid" and len(standin.charges()) == 2


def test_void_and_uncollectible_end_what_is_owed_and_uncollectible_can_still_be_paid(standin, world, stripe):
    made = world.subscribe()
    standin.set_card(world.customer, "declines")
    standin.advance(days=32)
    owed = world.invoices(made)[0]["id"]
    assert stripe.post(f"invoices/{owed}/mark_uncollectible")["status"] == "uncollectible" and world.status(made) == "active"
    standin.set_card(world.customer)
    assert stripe.post(f"invoices/{owed}/pay")["status"] == "paid"
    with pytest.raises(Failed, match="already paid"):
        stripe.post(f"invoices/{owed}/pay")
    with pytest.raises(Failed):
        stripe.post(f"invoices/{owed}/void")


def test_tax_is_added_to_exclusive_prices_and_found_in_inclusive_ones(standin, world):
    inclusive = world.price("month", 1200, tax_behavior="inclusive")
    for price, total, tax in [(world.month, 3000, 500), (inclusive, 1200, 200)]:
        made = world.subscribe(price, automatic_tax={"enabled": True})
        invoice = world.invoices(made)[0]
        assert (invoice["total"], invoice["total_taxes"][0]["amount"], invoice["amount_paid"]) == (total, tax, total)


def test_no_tax_without_a_place(stripe, world):
    stripe.post(f"customers/{world.customer}", address="")
    with pytest.raises(Failed) as failed:
        world.subscribe(automatic_tax={"enabled": True})
    assert failed.value.error["code"] == "customer_tax_location_invalid"


# --- Checkout ---------------------------------------------------------------------------------------------------------

def test_a_completed_page_makes_a_paid_subscription_once(standin, world):
    made = session(world, client_reference_id="tenant-1")
    assert made["status"] == "open" and made["url"].startswith("https://")
    with pytest.raises(Refused, match="declined"):
        standin.complete_checkout(made["id"], "declines")
    done = standin.complete_checkout(made["id"])
    with pytest.raises(Refused, match="complete"):
        standin.complete_checkout(made["id"])
    bought = standin.get(done["subscription"])
    assert (done["payment_status"], bought["status"], bought["metadata"]) == ("paid", "active", {"intent": "i-1"})
    assert len(standin.charges()) == 1
    kinds = [event["type"] for event in standin.events()]
    assert kinds.index("customer.subscription.created") < kinds.index("invoice.paid") < kinds.index("checkout.session.completed")
    assert standin.events("customer.subscription.created")[0]["data"]["object"]["status"] == "incomplete"


@pytest.mark.parametrize("ok", [True, False])
def test_a_bank_debit_is_known_later(standin, world, ok):
    done = standin.complete_checkout(session(world)["id"], "async")
    assert done["payment_status"] == "unpaid" and not standin.charges()
    after = standin.settle_checkout(done["id"], ok)
    assert after["payment_status"] == ("paid" if ok else "unpaid") and len(standin.charges()) == ok
    assert world.status({"id": done["subscription"]}) == ("active" if ok else "past_due")
    assert standin.events("checkout.session.async_payment_" + ("succeeded" if ok else "failed"))


def test_a_trial_needs_no_card_only_where_that_is_said(standin, world):
    trial = {"subscription_data": {"trial_period_days": 14}}
    with pytest.raises(Refused, match="card"):
        standin.complete_checkout(session(world, **trial)["id"], None)
    done = standin.complete_checkout(session(world, payment_method_collection="if_required", **trial)["id"], None)
    assert done["payment_status"] == "no_payment_required" and standin.get(done["subscription"])["status"] == "trialing"


def test_pages_lapse_and_quantities_are_chosen_within_bounds(standin, world, stripe):
    lapsed, ended = session(world), session(world)
    assert stripe.post(f"checkout/sessions/{ended['id']}/expire")["status"] == "expired"
    standin.advance(days=1)
    assert stripe.get(f"checkout/sessions/{lapsed['id']}")["status"] == "expired"
    assert len(standin.events("checkout.session.expired")) == 2
    chosen = session(world, line_items=[{"price": world.month, "quantity": 2, "adjustable_quantity": {
        "enabled": True, "minimum": 2, "maximum": 60}}])
    with pytest.raises(Refused):
        standin.complete_checkout(chosen["id"], quantity=1)
    done = standin.complete_checkout(chosen["id"], quantity=50)
    assert stripe.get(f"checkout/sessions/{chosen['id']}/line_items")["data"][0]["amount_total"] == 125000 == done["amount_total"]
    assert standin.get(done["subscription"])["items"]["data"][0]["quantity"] == 50


def test_a_portal_session_is_of_its_customer_only(world, stripe):
    made = world.subscribe()
    shown = stripe.post("billing_portal/sessions", customer=world.customer, return_url="https://overread.example/", flow_data={
        "type": "subscription_cancel", "subscription_cancel": {"subscription": made["id"]}})
    assert shown["url"].startswith("https://billing.stripe.com/")
    other = stripe.post("customers", email="b@trust.example")["id"]
    with pytest.raises(Failed, match="another customer"):
        stripe.post("billing_portal/sessions", customer=other, flow_data={
            "type": "subscription_cancel", "subscription_cancel": {"subscription": made["id"]}})


# --- Catalogue --------------------------------------------------------------------------------------------------------

def test_a_lookup_key_names_one_price_and_moves_when_asked(world, stripe):
    first = world.price("month", 100, lookup_key="all_monthly")
    with pytest.raises(Failed, match="already uses that lookup key"):
        world.price("month", 200, lookup_key="all_monthly")
    second = world.price("month", 200, lookup_key="all_monthly", transfer_lookup_key=True)
    assert [p["id"] for p in stripe.get("prices", lookup_keys=["all_monthly"])["data"]] == [second]
    assert stripe.get(f"prices/{first}")["lookup_key"] is None
    stripe.post(f"prices/{first}", active=False)
    with pytest.raises(Failed, match="inactive"):
        world.subscribe(first)


def test_one_price_can_be_sold_in_several_currencies_but_a_customer_has_one(world):
    both = world.price("month", 1000, currency_options={"eur": {"unit_amount": 1200}})
    assert world.subscribe(both, currency="eur")["currency"] == "eur"
    with pytest.raises(Failed, match="combine currencies"):
        world.subscribe(world.month)


def test_a_product_has_the_id_it_is_given_once(stripe):
    ident = "overread_" + secrets.token_hex(4)
    assert stripe.post("products", id=ident, name="Chest CT")["id"] == ident
    with pytest.raises(Failed) as failed:
        stripe.post("products", id=ident, name="Chest CT")
    assert failed.value.error["code"] == "resource_already_exists"


def test_metadata_is_merged_and_a_deleted_customer_leaves_its_id(world, stripe):
    stripe.post(f"customers/{world.customer}", metadata={"a": "1", "b": "2"})
    assert stripe.post(f"customers/{world.customer}", metadata={"a": "", "c": "3"})["metadata"] == {"b": "2", "c": "3"}
    made = world.subscribe()
    stripe.delete(f"customers/{world.customer}")
    assert stripe.get(f"customers/{world.customer}") == {"id": world.customer, "object": "customer", "deleted": True}
    assert world.status(made) == "canceled"


# --- Anything, in any order -------------------------------------------------------------------------------------------

def some_step(rng, world):
    """One thing that somebody or time does."""
    standin, stripe = world.standin, world.stripe
    running = [one for one in standin.all("subscription") if one["status"] not in ("canceled", "incomplete_expired")]
    one = rng.choice(running) if running else None
    owed = [invoice for invoice in standin.all("invoice") if invoice["status"] in ("open", "draft")]
    steps = [lambda: standin.advance(seconds=rng.choice([60, 3600, DAY, 3 * DAY, 20 * DAY])),
             lambda: world.subscribe(rng.choice([world.month, world.year]), rng.randint(1, 20), **rng.choice([
                 {}, {"trial_period_days": 9}, {"collection_method": "send_invoice", "days_until_due": 14},
                 {"payment_behavior": "default_incomplete"}, {"automatic_tax": {"enabled": True}}])),
             lambda: standin.complete_checkout(session(world)["id"], rng.choice(["ok", "async"])),
             lambda: standin.set_card(world.customer, rng.choice(["ok", "ok", "declines", "requires_action"])),
             lambda: standin.next_payment(world.customer, rng.choice(["declines", "requires_action"]))]
    if one:
        steps += 2 * [
            lambda: world.seats(one, rng.randint(0, 30), proration_behavior=rng.choice(["none", "create_prorations", "always_invoice"]),
                                payment_behavior=rng.choice(["allow_incomplete", "error_if_incomplete", "pending_if_incomplete"])),
            lambda: stripe.post(f"subscriptions/{one['id']}", items=[{"id": one["items"]["data"][0]["id"],
                                                                      "price": rng.choice([world.month, world.year])}]),
            lambda: stripe.post(f"subscriptions/{one['id']}", cancel_at_period_end=rng.random() < 0.5),
            lambda: stripe.post(f"subscriptions/{one['id']}", billing_cycle_anchor={"type": "now"}),
            lambda: standin.portal_change(one["id"], quantity=rng.randint(1, 9))]
        steps += [lambda: stripe.delete(f"subscriptions/{one['id']}", prorate=True, invoice_now=rng.random() < 0.5),
                  lambda: standin.portal_cancel(one["id"]), lambda: stripe.post(f"subscriptions/{one['id']}/resume"),
                  lambda: stripe.post("invoices/create_preview", subscription=one["id"])]
    if owed:
        ident = rng.choice(owed)["id"]
        steps += [lambda: stripe.post(f"invoices/{ident}/{rng.choice(['pay', 'void', 'mark_uncollectible', 'finalize'])}"),
                  lambda: standin.hosted_pay(ident)]
    try:
        rng.choice(steps)()
    except (Failed, Refused, ApiError) as refused:
        assert getattr(refused, "status", 400) < 500


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_the_books_add_up(standin, stripe, seed):
    rng = random.Random(seed)
    standin.reset(moment(rng.choice(["2026-01-31T10:00:00", "2024-02-29T00:00:01", "2026-06-15T12:00:00"])))
    standin.settings.after_dunning = rng.choice(["unpaid", "cancel", "past_due"])
    world = World(standin, stripe)
    for _ in range(60):
        some_step(rng, world)
    invoices = {invoice["id"]: invoice for invoice in standin.all("invoice")}
    for charge in standin.charges():
        assert invoices[charge["invoice"]]["status"] == "paid" and invoices[charge["invoice"]]["amount_paid"] == charge["amount"]
    assert len({charge["invoice"] for charge in standin.charges()}) == len(standin.charges())
    for invoice in invoices.values():
        assert invoice["subtotal"] == sum(line["amount"] for line in invoice["lines"]["data"])
        assert invoice["amount_due"] >= 0 and invoice["amount_due"] == invoice["amount_paid"] + invoice["amount_remaining"]
        if invoice["ending_balance"] is not None:
            assert invoice["starting_balance"] + invoice["total"] == invoice["amount_due"] + invoice["ending_balance"]
    for made in standin.all("subscription"):
        told = [event["data"]["object"] for event in standin.events("customer.subscription.") if event["data"]["object"]["id"] == made["id"]]
        assert told[-1] == made
        for before, after in zip(told, told[1:]):
            assert after["status"] == before["status"] or after["status"] in STATUSES[before["status"]], (before["status"], after["status"])
        if made["status"] in ("active", "trialing", "past_due", "unpaid"):
            assert period(made)[0] <= standin.now() < period(made)[1]
