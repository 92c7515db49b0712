"""`overread plan apply`: plans are data, and Stripe and the database are as the file says, whatever happened before."""
import json
import threading

import pytest
from stripe_standin.client import Client
from stripe_standin.fixtures import _stripe, stripe  # noqa: F401  pylint: disable=unused-import
from support.plans import Operator, plan

SOLO = plan("solo", ("month", "gbp", 1999), ("year", "gbp", 19900), ("year", "jpy", 38000), trial_days=7)
TRUST = plan("trust", ("year", "gbp", 12000), audience="organisation")
DEARER = plan("solo", ("month", "gbp", 2499), ("year", "gbp", 19900), ("year", "jpy", 38000), title="Solo reader", trial_days=14)
TEAM = plan("team", ("year", "eur", 15000), audience="organisation")


@pytest.fixture
def operator(server, pg, stripe):  # noqa: F811
    operator = Operator(pg, stripe)
    yield operator
    operator.close()


def test_without_yes_the_differences_are_shown_and_nothing_is_changed(operator):
    assert operator.apply(SOLO, yes=False) == ['+ product overread_solo "Solo"', "+ price solo month gbp 1999", "+ price solo year gbp 19900",
                                               "+ price solo year jpy 38000", "+ plan solo"]
    assert operator.posts() == [] and operator.plans() == []


def test_a_plan_becomes_a_product_with_prices_and_is_on_sale(operator):
    operator.apply(SOLO, TRUST)
    operator.assert_sold(SOLO, TRUST)
    product = operator.stripe.get("overread_solo")
    assert (product["name"], product["description"], product["metadata"]) == ("Solo", "What solo buys.", {"overread_plan": "solo"})
    yen = next(price for price in operator.active_prices().values() if price["currency"] == "jpy")
    assert yen["unit_amount"] == 38000, "yen have no minor unit: the amount is as it is"
    kept = operator.plans()[0]
    assert (kept["trial_days"], kept["trial_with_card"], kept["grace_days"], kept["modalities"]) == (7, True, 14, None)


def test_applying_the_same_file_again_does_nothing(operator):
    operator.apply(SOLO, TRUST)
    posts = len(operator.posts())
    assert operator.apply(SOLO, TRUST) == []
    assert len(operator.posts()) == posts


def test_each_request_that_changes_something_has_a_key_of_its_own(operator):
    operator.apply(SOLO, TRUST)
    operator.apply(DEARER, TEAM)
    keys = [request["headers"]["idempotency-key"] for request in operator.posts()]
    assert len(set(keys)) == len(keys)


def test_another_amount_is_another_price_and_the_old_one_is_still_understood(operator):
    operator.apply(SOLO)
    old = next(price["id"] for price in operator.active_prices().values() if price["unit_amount"] == 1999)
    operator.apply(DEARER)
    operator.assert_sold(DEARER)
    assert [price["on_sale"] for price in operator.plans()[0]["prices"] if price["price"] == old] == [False]


def test_an_amount_that_comes_back_within_a_day_is_the_price_of_before(operator):
    """Not what an Idempotency-Key of before would answer: back and forth, Stripe does what it is asked each time."""
    for _ in range(2):
        for one in (SOLO, DEARER):
            operator.apply(one)
            operator.assert_sold(one)
    assert len(operator.stripe.all("price")) == 4


def test_a_plan_that_left_the_file_is_off_sale_and_can_come_back(operator):
    operator.apply(SOLO, TRUST)
    assert operator.apply(SOLO)[0] == "- plan trust"
    operator.assert_sold(SOLO)
    assert operator.apply(SOLO) == []
    operator.apply(SOLO, TRUST)
    operator.assert_sold(SOLO, TRUST)


def test_an_empty_file_sells_nothing(operator):
    operator.apply(SOLO)
    operator.apply()
    operator.assert_sold()


def test_the_order_of_the_file_is_the_order_of_the_list(operator):
    operator.apply(SOLO, TRUST)
    operator.apply(TRUST, SOLO)
    operator.assert_sold(TRUST, SOLO)


def test_what_was_changed_in_stripes_dashboard_is_put_right(operator):
    operator.apply(SOLO)
    behind = Client(operator.stripe)
    price = next(iter(operator.active_prices()))
    behind.post("products/overread_solo", name="Sold elsewhere", active=False)
    behind.post(f"prices/{price}", active=False)
    behind.close()
    assert len(operator.apply(SOLO)) == 2
    operator.assert_sold(SOLO)
    assert operator.stripe.get("overread_solo")["name"] == "Solo"


def test_prices_of_other_origin_are_left_alone_however_many(operator):
    operator.apply(SOLO)
    behind = Client(operator.stripe)
    others = [behind.post("prices", product="overread_solo", currency="gbp", unit_amount=100 + i, recurring={"interval": "year"})["id"]
              for i in range(120)]
    behind.close()
    assert operator.apply(SOLO) == []
    operator.apply(DEARER)  # what it looks for stands on the second page
    assert set(others) < set(operator.active_prices())
    assert len(operator.stripe.all("price")) == len(others) + 4


def test_who_has_a_plan_gets_its_new_terms(operator, tenant, demo_cases, pg):
    operator.apply(TRUST)
    trust = tenant()
    ident = pg.query("""INSERT INTO subscriptions (tenant_id, subscription_id, stripe_id, plan, status, seats, price, currency, period, item,
        collection, period_start, period_end, cancel_at_period_end, pending_update, started_at, fetched_at)
        VALUES (%s, gen_random_uuid(), 'sub_' || %s, 'trust', 'active', 5, 'price_x', 'gbp', 'year', 'si_x', 'charge_automatically', now(),
                now() + interval '1 year', false, false, now(), now()) RETURNING subscription_id""", (trust.id, trust.slug))[0][0]
    operator.apply({**TRUST, "modalities": ["prostate_mri"]})
    entitled = [json.loads(line) for line in operator.server.cli("subscription", "list", "--tenant", trust.slug).stdout.splitlines()]
    assert [one["modalities"] for one in entitled if one["what"] == "entitlement" and one["source"] == ident] == [["prostate_mri"]]


# --- What is wrong ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("second, field", [
    ({**TRUST, "modalities": ["prostate_mri", "xray_vision"]}, "/plans/1/modalities/1"),
    ({**TRUST, "prices": [{"period": "decade", "currency": "gbp", "amount": 1}]}, "/plans/1/prices/0/period"),
    ({**TRUST, "id": "solo"}, "/plans/1/id"),
    ({**TRUST, "seats": 5}, "/plans/1/seats")])
def test_a_fault_in_the_file_is_named_and_nothing_is_changed(operator, demo_cases, second, field):
    result = operator.apply(SOLO, second, check=False)
    assert result.returncode == 1 and f" at {field}: " in result.stderr and result.stdout == ""
    assert operator.posts() == [] and operator.plans() == []


def test_whom_a_plan_is_for_is_fixed_once_it_is_known(operator):
    operator.apply(SOLO, TRUST)
    posts = len(operator.posts())
    result = operator.apply({**SOLO, "title": "New"}, {**TRUST, "audience": "individual"}, check=False)
    assert result.returncode == 1 and "audience_fixed at /plans/1/audience" in result.stderr
    assert len(operator.posts()) == posts


@pytest.mark.parametrize("text", ["", "{", "[]", '{"plans":[],"plans":[]}', '{"plans":' + "[" * 40 + "]" * 40 + "}", " " * (1 << 20) + "{}"],
                         ids=["nothing", "cut off", "a list", "twice", "deep", "huge"])
def test_what_is_no_list_of_plans_is_refused(operator, text):
    result = operator.server.cli("plan", "apply", "--yes", "-", stdin=text, check=False)
    assert result.returncode == 1 and result.stderr.startswith("overread: ") and operator.stripe.record.requests == []


@pytest.mark.parametrize("arguments", [(), ("a.json", "b.json"), ("--force", "a.json")])
def test_a_wrong_command_line_is_answered_with_the_right_one(operator, arguments):
    result = operator.server.cli("plan", "apply", *arguments, check=False)
    assert result.returncode == 2 and "usage: overread plan apply [--yes] FILE.json" in result.stderr


def test_without_a_key_nothing_can_be_applied(server, tmp_path):
    file = tmp_path / "plans.json"
    file.write_text('{"plans":[]}')
    result = server.cli("plan", "apply", file, check=False)
    assert result.returncode == 1 and "billing_not_configured at stripe_key" in result.stderr


def test_a_key_that_stripe_refuses_is_named_and_not_shown(operator):
    old = operator.stripe.api_key
    operator.stripe.rotate_key()
    result = operator.apply(SOLO, check=False)
    assert result.returncode == 1 and "billing_misconfigured" in result.stderr and old not in result.stderr


def test_while_stripe_is_away_nothing_is_sold_and_the_next_run_does_it(operator):
    operator.stripe.down()
    result = operator.apply(SOLO, check=False)
    assert result.returncode == 1 and "billing_away" in result.stderr and operator.plans() == []
    operator.stripe.start()
    operator.apply(SOLO)
    operator.assert_sold(SOLO)


# --- Never two of anything ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("path", [r"/v1/products$", r"/v1/prices$"])
@pytest.mark.parametrize("fault, options", [
    ("applied_cut", {}), ("applied_cut", {"times": 2}), ("server_error", {}), ("server_error", {"applied": False, "times": 3}), ("truncated", {}),
    ("reset_before", {}), ("bad_gateway", {"times": 2}), ("rate_limited", {}), ("conflict", {}), ("idempotency_error", {}), ("not_json", {})])
def test_an_answer_that_says_nothing_makes_nothing_twice(operator, path, fault, options):
    operator.stripe.faults.add("POST", path, fault, **options)
    operator.apply(SOLO)
    operator.assert_sold(SOLO)


def test_a_storm_ends_the_run_and_the_next_one_goes_on(operator):
    storm = operator.stripe.faults.add("POST", r"/v1/prices$", "rate_limited", times=None, skip=1, retry_after=30)
    result = operator.apply(SOLO, check=False)
    assert result.returncode == 1 and "billing_away" in result.stderr and operator.plans() == []
    assert storm.struck
    operator.stripe.faults.clear()
    operator.apply(SOLO)
    operator.assert_sold(SOLO)


@pytest.mark.parametrize("kind", ["hold_before", "hold_after"])
def test_a_run_that_is_killed_at_any_request_is_completed_by_the_next(operator, kind):
    """hold_before: Stripe still works on the request when its sender is dead, and while the next run begins."""
    killed = 0
    while True:
        operator.stripe.reset()
        operator.forget_plans()
        operator.apply(SOLO, TRUST)
        fault = operator.stripe.faults.add("*", r"", kind, skip=killed)
        run = operator.begin(DEARER, TEAM)
        while run.poll() is None and not fault.reached.wait(0.02):
            pass
        if not fault.struck:
            assert run.returncode == 0, run.stderr.read()
            run.communicate()
            break
        run.kill()
        run.communicate()
        fault.release()
        operator.apply(DEARER, TEAM)
        assert operator.apply(DEARER, TEAM, yes=False) == []
        operator.assert_sold(DEARER, TEAM)
        killed += 1
    operator.stripe.faults.clear()
    assert killed == 12, "products and prices are looked at with 5 requests and changed with 7"


class Delayed:
    """A request whose sender is killed, and that arrives when it is let go."""

    def __init__(self, operator, path, *plans):
        self.reached, self.gate, self.thread = threading.Event(), threading.Event(), None
        operator.stripe.faults.add("POST", path, "before", action=self._wait)
        run = operator.begin(*plans)
        assert self.reached.wait(60)
        run.kill()
        run.communicate()

    def _wait(self):
        self.thread = threading.current_thread()
        self.reached.set()
        self.gate.wait(120)

    def arrive(self):
        self.gate.set()
        self.thread.join(60)
        assert not self.thread.is_alive()


@pytest.mark.parametrize("path", [r"/v1/products$", r"/v1/prices$", r"/v1/prices/"])
def test_a_request_of_a_dead_run_that_comes_after_the_next_run_changes_nothing(operator, path):
    operator.apply(SOLO)
    late = Delayed(operator, path, DEARER, TEAM)
    operator.apply(DEARER, TEAM)
    late.arrive()
    operator.assert_sold(DEARER, TEAM)
    assert operator.apply(DEARER, TEAM) == []


def test_a_request_of_a_dead_run_for_what_nobody_wants_any_more_is_undone_by_the_next_run(operator):
    """It makes a price, and takes the lookup key with it."""
    operator.apply(SOLO)
    late = Delayed(operator, r"/v1/prices$", DEARER)
    dearest = plan("solo", ("month", "gbp", 2999), ("year", "gbp", 19900), ("year", "jpy", 38000))
    operator.apply(dearest)
    late.arrive()
    assert any(price["unit_amount"] == 2499 for price in operator.active_prices().values())
    operator.apply(dearest)
    operator.assert_sold(dearest)


def test_two_runs_at_once_make_one_of_each(operator):
    runs = [operator.begin(SOLO, TRUST) for _ in range(3)]
    for run in runs:
        words = run.communicate()[1]
        assert run.returncode == 0, words
    operator.assert_sold(SOLO, TRUST)


def test_the_database_that_is_away_at_the_end_has_its_part_the_next_time(operator, pg):
    operator.stripe.faults.add("POST", r"/v1/prices$", "after", skip=2, action=lambda: pg.stop("immediate"))
    result = operator.apply(SOLO, check=False)
    pg.ensure_running()
    assert result.returncode == 1 and "database_away" in result.stderr
    assert operator.plans() == []
    assert operator.apply(SOLO) == ["+ plan solo"]
    operator.assert_sold(SOLO)
