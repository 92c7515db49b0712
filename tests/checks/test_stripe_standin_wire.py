"""The stand-in for Stripe on the wire: schema, idempotency, lists, events, signatures, deliveries, faults, the record."""
import json
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from stripe_standin import Standin, altered, header, in_old_version, of_stranger, restated, signature
from stripe_standin.api import OPERATIONS
from stripe_standin.client import Client, Failed, form
from stripe_standin.faults import KINDS
from stripe_standin.schema import covers, flatten, load_subset, load_table, parse, steps, tree

ROOT = Path(__file__).resolve().parents[2]
DAY = 86400
START = 1772355600


@pytest.fixture(scope="module")
def _one(tmp_path_factory):
    standin = Standin(start=START, record=tmp_path_factory.mktemp("stripe") / "var/stripe-requests.jsonl").start()
    client = Client(standin)
    yield standin, client
    client.close()
    standin.close()


@pytest.fixture
def standin(_one):
    standin = _one[0].reset()
    yield standin
    standin.webhooks.stop()
    standin.assert_clean()


@pytest.fixture
def stripe(_one, standin):
    return _one[1]


@pytest.fixture
def subscription(standin, stripe):
    customer = stripe.post("customers", email="a@b.example")["id"]
    standin.set_card(customer)
    product = stripe.post("products", name="All")["id"]
    price = stripe.post("prices", product=product, currency="gbp", unit_amount=2500, recurring={"interval": "month"})["id"]
    return stripe.post("subscriptions", customer=customer, items=[{"price": price}])


def noted(standin, *words):
    """Takes the one violation there is off the list."""
    assert len(standin.violations) == 1, standin.violations
    note = standin.violations.pop()
    assert all(word in note for word in words), note


# --- Schema -----------------------------------------------------------------------------------------------------------

def test_the_table_says_what_stripe_says():
    subset = load_subset()
    if subset is None:
        pytest.skip("Stripe's schema is not at hand: ../shared/data/stripe/stripe-subset.json, or OVERREAD_STRIPE_SCHEMA")
    table = load_table()
    assert table["api_version"] == subset["meta"]["api_version"]
    for name, lines in table["operations"].items():
        theirs = flatten(subset, subset["endpoints"][name])
        for path, text in lines.items():
            assert path in theirs and covers(text, theirs[path]), f"{name}: {path}: {text} is {theirs.get(path)}"
        needed = {path for path, text in theirs.items() if re.search(r"(^|[ )])required\b", text) and "[" not in path}
        assert needed <= {steps(path)[0] for path in lines}, name


def test_each_operation_of_the_table_is_acted_on():
    assert set(load_table()["operations"]) == set(OPERATIONS)


LINES = {"name": "string required", "n": "integer", "on": "boolean", "kind": "string(a,b) clearable", "list[][id]": "string required",
         "list[][n]": "integer", "tags[]": "string", "meta{}": "string | integer", "meta": "clearable", "at": "string(now) | integer",
         "range": "integer", "range[gte]": "integer"}


@pytest.mark.parametrize("pairs, params", [
    ("name=x&n=-3&on=true&kind=a", {"name": "x", "n": -3, "on": True, "kind": "a"}),
    ("name=x&list[1][id]=b&list[0][id]=a&list[0][n]=2", {"name": "x", "list": [{"id": "a", "n": 2}, {"id": "b"}]}),
    ("name=x&tags[]=a&tags[]=b", {"name": "x", "tags": ["a", "b"]}), ("name=x&tags[0]=a", {"name": "x", "tags": ["a"]}),
    ("name=x&meta[k]=v&meta[2]=3", {"name": "x", "meta": {"k": "v", "2": "3"}}), ("name=x&meta=", {"name": "x", "meta": ""}),
    ("name=x&at=now&kind=", {"name": "x", "at": "now", "kind": ""}), ("name=x&at=12", {"name": "x", "at": 12}),
    ("name=x&range[gte]=4", {"name": "x", "range": {"gte": 4}}), ("name=x&range=4", {"name": "x", "range": 4})])
def test_a_form_becomes_nested_and_typed(pairs, params):
    assert parse(tree(LINES), [pair.split("=") for pair in pairs.split("&")]) == params


@pytest.mark.parametrize("pairs, words", [
    ("name=x&nmae=y", "unknown parameter: nmae"), ("n=1", "Missing required param: name"), ("name=x&n=1.5", "must be integer"),
    ("name=x&on=yes", "must be boolean"), ("name=x&kind=c", "one of a, b"), ("name=x&list[0][n]=1", "list[0][id]"),
    ("name=x&list[1][id]=a", "numbered"), ("name=x&list[0][price]=a", "unknown parameter"), ("name=x&meta[a][b]=c", "unknown parameter"),
    ("name=x&name=y", "twice"), ("name=x&n=", "must be integer"), ("name=x&at=then", "must be"), ("name=x&tags=a", "Invalid array"),
    ("name[a]=b", "unknown parameter"), ("name=x&a]b[=1", "unknown parameter"), ("name=x&range=1&range[gte]=1", "twice")])
def test_what_is_not_of_the_table_is_refused_by_name(pairs, words):
    from stripe_standin.schema import Problem
    with pytest.raises(Problem) as problem:
        parse(tree(LINES), [pair.split("=") for pair in pairs.split("&")])
    assert words in problem.value.message


@pytest.mark.parametrize("path, params, words", [
    ("customers", {"emial": "a@b.c"}, "emial"), ("products", {}, "Missing required param: name"),
    ("subscriptions", {"customer": "x", "items": [{"plan_id": "y"}]}, "items[0][plan_id]"),
    ("prices", {"currency": "gbp", "recurring": {"interval": "fortnight"}}, "recurring[interval]"),
    ("checkout/sessions", {"payment_method_types": ["card"]}, "payment_method_types"), ("quotes", {}, "no operation")])
def test_a_wrong_parameter_is_answered_as_stripe_does_and_remembered(standin, stripe, path, params, words):
    response = stripe.post_raw(path, params)
    assert response.status_code in (400, 404) and response.json()["error"]["type"] == "invalid_request_error"
    noted(standin, words)
    with pytest.raises(AssertionError, match="x"):
        standin.note("x")
        standin.assert_clean()
    standin.violations.clear()


@pytest.mark.parametrize("headers, status, words", [
    ({"Stripe-Version": "2024-06-20"}, 400, "Stripe-Version is 2024-06-20"), ({"Idempotency-Key": ""}, 400, "no Idempotency-Key"),
    ({"Idempotency-Key": "k" * 256}, 400, "256 characters"), ({"Authorization": ""}, 401, "no Authorization"),
    ({"Content-Type": "application/json"}, 400, "application/json")])
def test_a_request_without_its_headers_is_refused_and_remembered(standin, stripe, headers, status, words):
    response = stripe.http.post("/v1/customers", content="email=a%40b.c", headers={
        "Idempotency-Key": "k", "Content-Type": "application/x-www-form-urlencoded", **headers})
    assert response.status_code == status
    noted(standin, words)


def test_requests_are_recorded_without_the_secret_key(standin, stripe):
    stripe.post("customers", email="ä@b.example")
    assert standin.record.requests[-1]["body"] == "email=%C3%A4%40b.example"
    line = json.loads(standin.record.path.read_text().splitlines()[-1])
    assert line == standin.record.requests[-1] and set(line) == {"method", "path", "headers", "body"}
    shown = line["headers"]["authorization"]
    assert re.fullmatch(r"Bearer \*+" + standin.api_key[-4:], shown) and standin.api_key not in standin.record.path.read_text()


def test_the_record_is_not_for_the_repository():
    assert subprocess.run(["git", "-C", ROOT, "check-ignore", "-q", "var/stripe-requests.jsonl"], check=False).returncode in (0, 128)


# --- Idempotency ------------------------------------------------------------------------------------------------------

def test_the_same_key_and_body_is_the_same_answer_and_happens_once(standin, stripe):
    first, again = (stripe.post_raw("customers", {"email": "a@b.c"}, key="one") for _ in range(2))
    assert first.content == again.content and len(standin.all("customer")) == 1
    assert again.headers["Idempotent-Replayed"] == "true" and "Idempotent-Replayed" not in first.headers
    other = stripe.post_raw("customers", {"email": "b@b.c"}, key="one")
    assert other.status_code == 400 and other.json()["error"]["type"] == "idempotency_error"


def test_a_refusal_is_kept_but_not_that_of_a_wrong_parameter(standin, stripe):
    for _ in range(2):
        assert stripe.post_raw("subscriptions", {"customer": "cus_no", "items": [{"price": "x"}]}, key="two").status_code == 400
    assert stripe.post_raw("products", {}, key="three").status_code == 400
    assert stripe.post_raw("products", {"name": "All"}, key="three").status_code == 200
    noted(standin, "Missing required param")


def test_the_same_key_while_it_is_still_answered_is_409(standin, stripe):
    with standin.lock, ThreadPoolExecutor(1) as pool:
        first = pool.submit(stripe.post_raw, "customers", {"email": "a@b.c"}, "four")
        while not standin.keys.known("four"):
            time.sleep(0.01)
        second = httpx.post(standin.url + "/v1/customers", data={"email": "a@b.c"}, headers={**stripe.http.headers, "Idempotency-Key": "four"})
        assert second.status_code == 409 and second.json()["error"]["code"] == "idempotency_key_in_use"
        standin.lock.release()
        try:
            assert first.result().status_code == 200
        finally:
            standin.lock.acquire()


def test_a_kept_500_is_said_again_though_it_was_applied(standin, stripe):
    standin.faults.add("POST", "/v1/customers$", "server_error", should_retry=True)
    first = stripe.post_raw("customers", {"email": "a@b.c"}, key="five")
    again = stripe.post_raw("customers", {"email": "a@b.c"}, key="five")
    assert (first.status_code, again.status_code) == (500, 500) and first.headers["Stripe-Should-Retry"] == "true"
    assert len(standin.all("customer")) == 1


def test_a_key_is_forgotten_after_a_day_or_when_pruned(standin, stripe):
    stripe.post("customers", key="six", email="a@b.c")
    standin.advance(seconds=DAY - 1)
    stripe.post("customers", key="six", email="a@b.c")
    assert len(standin.all("customer")) == 1
    standin.advance(seconds=1)
    stripe.post("customers", key="six", email="a@b.c")
    assert len(standin.all("customer")) == 2
    standin.faults.add("POST", "/v1/customers$", "key_pruned")
    stripe.post("customers", key="six", email="a@b.c")
    assert len(standin.all("customer")) == 3


# --- Lists and events -------------------------------------------------------------------------------------------------

def test_a_list_goes_on_from_its_cursor_while_others_are_inserted(standin, stripe):
    made = [stripe.post("customers", email=f"{i}@b.c")["id"] for i in range(7)]
    standin.faults.add("GET", "/v1/customers", "after", action=lambda: Client(standin).post("customers", email="new@b.c"))
    seen, page = [], stripe.get("customers", limit=3)
    while True:
        seen += [one["id"] for one in page["data"]]
        if not page["has_more"]:
            break
        page = stripe.get("customers", limit=3, starting_after=seen[-1])
    assert seen == made[::-1]
    back = stripe.get("customers", limit=2, ending_before=made[3])
    assert [one["id"] for one in back["data"]] == made[5:3:-1] and back["has_more"]
    with pytest.raises(Failed) as failed:
        stripe.get("customers", starting_after="cus_none")
    assert failed.value.error["param"] == "starting_after"


def test_events_hold_what_was_and_are_kept_for_30_days(standin, stripe):
    customer = stripe.post("customers", email="a@b.c")
    standin.advance(days=10)
    stripe.post(f"customers/{customer['id']}", email="b@b.c")
    updated, created = stripe.get("events")["data"]
    assert created["data"]["object"]["email"] == "a@b.c" and updated["data"]["object"]["email"] == "b@b.c"
    assert updated["data"]["previous_attributes"] == {"email": "a@b.c"} and updated["api_version"] == "2026-10-28.endive"
    assert updated["request"]["idempotency_key"] and updated["pending_webhooks"] == 1
    assert stripe.get("events", created={"gte": updated["created"]})["data"] == [updated]
    assert stripe.get("events", types=["customer.created"])["data"] == stripe.get("events", type="customer.c*")["data"] + [created]
    standin.advance(days=21)
    assert stripe.get("events")["data"] == [updated]
    with pytest.raises(Failed):
        stripe.get(f"events/{created['id']}")


def test_expansion_puts_objects_in_place_of_ids(stripe, subscription):
    seen = stripe.get(f"subscriptions/{subscription['id']}", expand=["latest_invoice.payments", "customer"])
    assert seen["latest_invoice"]["payments"]["data"][0]["status"] == "paid" and seen["customer"]["object"] == "customer"
    listed = stripe.get("subscriptions", expand=["data.customer"])["data"][0]
    assert listed["customer"]["id"] == subscription["customer"]
    with pytest.raises(Failed, match="cannot be expanded"):
        stripe.get(f"subscriptions/{subscription['id']}", expand=["plan"])


def test_canceled_subscriptions_are_listed_when_all_are_asked_for(stripe, subscription):
    stripe.delete(f"subscriptions/{subscription['id']}")
    assert stripe.get("subscriptions")["data"] == []
    assert stripe.get("subscriptions", status="all", customer=subscription["customer"])["data"][0]["status"] == "canceled"


# --- Signatures and deliveries ----------------------------------------------------------------------------------------

class Receiver:
    """What a product's endpoint got; .answers are given first, then 200."""

    def __init__(self):
        self.got, self.answers = [], []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers.items()), body))
                self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/hook"

    def events(self):
        return [json.loads(body) for _, body in self.got]

    def verified(self, place, *secrets):
        """Whether a v1 of that delivery is of one of the secrets, worked out anew."""
        headers, body = self.got[place]
        parts = [part.split("=", 1) for part in headers["Stripe-Signature"].split(",")]
        t = dict(parts)["t"]
        return any(value == signature(body, secret, t) for name, value in parts if name == "v1" for secret in secrets)


@pytest.fixture
def receiver(standin):
    made = Receiver()
    standin.webhooks.url, standin.webhooks.secrets = made.url, ["whsec_new", "whsec_old"]
    yield made
    standin.webhooks.stop()
    made.http.shutdown()
    made.http.server_close()


def test_a_signature_is_that_of_openssl():
    # printf '%s' '1700000000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test_secret
    expected = "248a374f50f943a28b0f6ab50faf9a7e7e29b710fa26df9fb1618b9bf8ea9c9a"
    assert signature(b'{"id":"evt_1"}', "whsec_test_secret", 1700000000) == expected
    assert header(b'{"id":"evt_1"}', ["whsec_test_secret"], 1700000000) == f"t=1700000000,v1={expected}"


def test_a_delivery_is_signed_with_each_secret_and_can_be_spoilt(standin, stripe, receiver):
    stripe.post("customers", email="a@b.c")
    event = standin.events()[0]
    hooks, now = standin.webhooks, int(time.time())
    assert hooks.deliver(event).ok and receiver.verified(0, "whsec_old") and receiver.verified(0, "whsec_new")
    hooks.deliver(event, secrets=["whsec_old"])
    assert receiver.verified(1, "whsec_old") and not receiver.verified(1, "whsec_new")
    for spoil in ({"tamper": "byte"}, {"tamper": "json"}, {"schemes": ("v0",)}):
        hooks.deliver(event, **spoil)
        assert not receiver.verified(-1, "whsec_old", "whsec_new")
    assert receiver.events()[-2] == event
    hooks.deliver(event, signed=False)
    assert "Stripe-Signature" not in receiver.got[-1][0]
    for age in (300, 301, -301):
        hooks.deliver(event, age=age)
        t = int(re.match(r"t=(\d+),", receiver.got[-1][0]["Stripe-Signature"]).group(1))
        assert abs(t - (now - age)) <= 30 and receiver.verified(-1, "whsec_old")
    hooks.deliver(event, huge=100000)
    assert len(receiver.got[-1][1]) > 100000 and receiver.verified(-1, "whsec_new")
    assert standin.events()[0]["pending_webhooks"] == 0


def test_events_can_differ_from_what_happened(standin, subscription):
    event = standin.events("customer.subscription.created")[0]
    twin = altered(event, fresh_id=True, livemode=True)
    assert twin["id"] != event["id"] and twin["livemode"] and twin["data"] == event["data"]
    assert restated(event, status="canceled")["data"]["object"]["status"] == "canceled" and event["data"]["object"]["status"] == "incomplete"
    old = in_old_version(event)
    assert old["api_version"] < "2025" and old["data"]["object"]["current_period_end"] == \
        subscription["items"]["data"][0]["current_period_end"]
    assert of_stranger(event)["data"]["object"]["customer"] != subscription["customer"]


def test_by_itself_all_is_delivered_again_until_it_is_taken_but_what_is_lost(standin, stripe, receiver):
    standin.webhooks.lose(lambda event: event["type"] == "product.created")
    receiver.answers = [500, 503]
    standin.webhooks.auto(delay=0.02, copies=2)
    stripe.post("customers", email="a@b.c")
    stripe.post("products", name="All")
    stripe.post("customers", email="b@b.c")
    assert standin.webhooks.drain()
    assert sorted(event["data"]["object"]["email"] for event in receiver.events()) == ["a@b.c"] * 4 + ["b@b.c"] * 2
    assert [event["pending_webhooks"] for event in standin.events()] == [0, 1, 0]


def test_an_endpoint_of_the_api_gets_what_it_asked_for_under_its_own_secret(standin, stripe, receiver):
    standin.webhooks.url = None
    endpoint = stripe.post("webhook_endpoints", url=receiver.url, enabled_events=["product.created"], api_version="2026-10-28.endive")
    assert "secret" not in stripe.get(f"webhook_endpoints/{endpoint['id']}")
    standin.webhooks.auto()
    stripe.post("customers", email="a@b.c")
    stripe.post("products", name="All")
    assert standin.webhooks.drain()
    assert [event["type"] for event in receiver.events()] == ["product.created"] and receiver.verified(0, endpoint["secret"])


def test_a_burst_is_all_delivered(standin, stripe, receiver):
    stripe.post("customers", email="a@b.c")
    event = standin.events()[0]
    made, _ = standin.webhooks.burst([altered(event, fresh_id=True) for _ in range(100)], at_once=8)
    assert len(made) == 100 and all(one.ok for one in made) and len({event["id"] for event in receiver.events()}) == 100


# --- Faults -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind, status, applied", [
    ("rate_limited", 429, 0), ("bad_gateway", 502, 0), ("conflict", 409, 0), ("idempotency_error", 400, 0), ("unauthorized", 401, 0),
    ("not_found", 404, 0), ("declined", 402, 0), ("requires_action", 402, 0), ("server_error", 500, 1), ("refused", None, 0),
    ("reset_before", None, 0), ("applied_cut", None, 1), ("applied_timeout", None, 1), ("truncated", None, 1), ("not_json", 200, 1),
    ("oversized", 200, 1), ("slow", 200, 1)])
def test_a_fault_strikes_once_and_leaves_what_it_says(standin, stripe, kind, status, applied):
    standin.faults.add("POST", "/v1/customers$", kind, skip=1, seconds=0.2, delay=0.001, size=1 << 20)
    stripe.post("customers", email="first@b.c")
    try:
        response = stripe.post_raw("customers", {"email": "a@b.c"}, key=kind)
        assert response.status_code == status
        if kind == "bad_gateway":
            assert response.text.startswith("<html>")
        if kind == "oversized":
            assert len(response.content) > 1 << 20
    except httpx.TransportError:
        assert status is None
    assert len(standin.all("customer")) == 1 + applied
    if status != 500:
        again = stripe.post("customers", key=kind, email="a@b.c")
        assert again["email"] == "a@b.c"
        assert len(standin.all("customer")) == 2


def test_retry_after_is_said_when_wanted(standin, stripe):
    standin.faults.add("GET", "/v1/customers", "rate_limited", retry_after=7)
    assert stripe.http.get("/v1/customers").headers["Retry-After"] == "7"
    standin.faults.add("GET", "/v1/customers", "rate_limited")
    assert "Retry-After" not in stripe.http.get("/v1/customers").headers


def test_an_answer_can_be_of_another_version_or_full_of_news(standin, stripe, subscription):
    def seen(kind, **options):
        standin.faults.add("GET", "/v1/subscriptions/", kind, **options)
        return stripe.get(f"subscriptions/{subscription['id']}")
    assert "zz_new" in seen("unknown_fields")["items"]["data"][0]
    assert seen("unknown_value", name="status", value="hibernating", of="subscription")["status"] == "hibernating"
    old = seen("old_version")
    assert old["current_period_end"] and "current_period_end" not in old["items"]["data"][0]
    assert seen("deleted") == {"id": subscription["id"], "object": "subscription", "deleted": True}
    assert seen("reshape", with_=lambda one: {**one, "quantity": 3})["quantity"] == 3
    assert stripe.get(f"subscriptions/{subscription['id']}")["status"] == "active"


@pytest.mark.parametrize("kind, applied", [("hold_before", 0), ("hold_after", 1)])
def test_a_request_can_be_held_before_and_after_it_is_applied(standin, stripe, kind, applied):
    fault = standin.faults.add("POST", "/v1/customers$", kind)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(stripe.post, "customers", email="a@b.c")
        assert fault.reached.wait(30)
        deadline = time.monotonic() + 30
        while len(standin.all("customer")) < applied and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(standin.all("customer")) == applied and not waiting.done()
        fault.release()
        assert waiting.result()["email"] == "a@b.c"


def test_something_can_happen_between_what_is_applied_and_the_answer(standin, stripe, receiver):
    standin.faults.add("POST", "/v1/customers$", "after", action=lambda: standin.webhooks.deliver(standin.events()[-1]))
    made = stripe.post("customers", email="a@b.c")
    assert receiver.events()[0]["data"]["object"]["id"] == made["id"]


def test_every_fault_has_a_test():
    text = Path(__file__).read_text()
    assert not [kind for kind in KINDS if f'"{kind}"' not in text and kind != "before"]


def test_a_fault_that_never_strikes_is_told(standin):
    standin.faults.add("GET", "/v1/nowhere", "refused")
    with pytest.raises(AssertionError, match="never struck"):
        standin.assert_clean()
    standin.faults.clear()


def test_a_fault_goes_before_others_and_is_dropped_again(standin, stripe):
    standin.faults.add("GET", "/v1/customers$", "bad_gateway")
    enough = standin.faults.add("GET", "/v1/customers$", "unauthorized", times=None, first=True)
    assert stripe.http.get("/v1/customers").status_code == 401
    standin.faults.drop(enough)
    standin.faults.drop(enough)
    assert [stripe.http.get("/v1/customers").status_code for _ in range(2)] == [502, 200]


def test_nobody_listens_while_it_is_down_and_a_rotated_key_is_401(standin, stripe):
    old = standin.api_key
    new = standin.rotate_key()
    assert stripe.http.get("/v1/customers").status_code == 401
    assert stripe.http.get("/v1/customers", headers={"Authorization": f"Bearer {new}"}).status_code == 200
    standin.down()
    with pytest.raises(httpx.TransportError):
        stripe.http.get("/v1/customers")
    with pytest.raises(httpx.ConnectError):
        httpx.get(standin.url + "/v1/customers")
    standin.reset()
    assert standin.api_key == old and stripe.http.get("/v1/customers").status_code == 200


def test_the_clock_can_tick_behind_the_machines(standin, stripe):
    standin.reset(ago=40 * DAY)
    begin = stripe.post("customers", email="a@b.c")["created"]
    assert 0 <= time.time() - 40 * DAY - begin < 600
    standin.advance(days=40)
    assert abs(stripe.post("customers", email="a@b.c")["created"] - time.time()) < 600


# --- By hand ----------------------------------------------------------------------------------------------------------

def test_the_stand_in_can_be_a_process_of_its_own():
    command = [sys.executable, "-B", ROOT / "tests/stripe_standin", "--key", "sk_test_hand", "--secret", "whsec_hand", "--start", str(START),
               "--no-record"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = json.loads(process.stdout.readline())
            assert said["key"] == "sk_test_hand" and said["secrets"] == ["whsec_hand"]
            with httpx.Client(base_url=said["url"], headers={
                    "Authorization": "Bearer sk_test_hand", "Stripe-Version": "2026-10-28.endive"}) as http:
                def post(path, **params):
                    made = http.post(path, data=dict(form(params)), headers={"Idempotency-Key": path + json.dumps(params)})
                    assert made.status_code == 200, made.text
                    return made.json()
                product = post("/v1/products", name="All")["id"]
                price = post("/v1/prices", product=product, currency="gbp", unit_amount=900, recurring={"interval": "month"})["id"]
                page = post("/v1/checkout/sessions", mode="subscription", success_url="https://x.example/",
                            customer_email="a@b.example", line_items=[{"price": price, "quantity": 1}])
                assert post(f"/_control/checkout/{page['id']}/complete", card="ok")["status"] == "complete"
                assert "invoice.created" in post("/_control/advance", days=32)
                assert [charge["amount"] for charge in http.get("/_control/charges").json()] == [900, 900]
                assert http.post("/_control/checkout/cs_none/complete").status_code == 400
                assert http.get("/_control/state").json()["violations"] == []
        finally:
            process.terminate()
            assert process.wait(20) == 0
