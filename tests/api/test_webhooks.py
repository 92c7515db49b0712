"""Outgoing webhooks: what happens in a tenant reaches its own systems, signed, at least once, and nothing else of it."""
import json
import re
import time
from datetime import datetime, timedelta, timezone

import psycopg2
import pytest

from support.people import Tenant
from support.reads import assert_problem, read_case, unknown_id
from support.receiver import WAIT_SECONDS, Receiver
from support.server import Server

PATH = "/v1/tenant/webhooks"
EVENTS = ["member.joined", "member.left", "read.graded", "certificate.issued", "subscription.changed"]
SCHEDULE = [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]


@pytest.fixture(scope="module")
def site(_server, pg, mailbox, demo_cases):
    """The only server that runs here: one that may send to loopback."""
    pg.ensure_running()
    if _server.running():
        _server.stop()
    site = Server(pg, fetch_loopback="on", state_dir=_server.config["state_dir"], threads=1, **mailbox.config)
    # A receiver that fails rests for a quarter of an hour at least: nothing is tried again but when a test hurries it.
    pg.query("""CREATE FUNCTION test_long_rest() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN NEW.rest_until := greatest(NEW.rest_until, now() + interval '15 minutes'); RETURN NEW; END $$;
                CREATE TRIGGER test_long_rest BEFORE UPDATE ON webhook_endpoints FOR EACH ROW WHEN (NEW.failures > OLD.failures)
                EXECUTE FUNCTION test_long_rest()""")
    try:
        yield site.start()
    finally:
        pg.ensure_running()
        site.destroy()
        pg.query("DROP FUNCTION test_long_rest CASCADE")


@pytest.fixture(autouse=True)
def running(site, pg):
    """Nothing that a test left waits in the next one's way."""
    pg.ensure_running()
    site.ensure_running()
    yield
    pg.query("DELETE FROM webhook_endpoints; DELETE FROM jobs WHERE kind = 'webhook'")


@pytest.fixture
def receiver():
    opened = []

    def start():
        opened.append(Receiver())
        return opened[-1]

    yield start
    for one in opened:
        one.close()


class Trust:
    """A tenant, and its administrator's client. .hook(receiver, ...) makes a webhook: .id, .secret, .receiver."""

    def __init__(self, site, pg, kind="organisation", roles=("administrator", "trainee")):
        self.site, self.pg = site, pg
        self.tenant = Tenant(site, kind=kind)
        for role in roles:
            self.tenant.add(role)
        self.id, self._clients = self.tenant.id, []
        self.boss = self.as_(self.tenant.people[0])

    def as_(self, person):
        self._clients.append(self.site.client(person.token))
        return self._clients[-1]

    def hook(self, receiver, *events, **more):
        return Hook(self, receiver, self.boss.post(PATH, json={"url": receiver.url, "events": list(events) or EVENTS, **more}))

    def close(self):
        for one in self._clients:
            one.close()


class Hook:
    def __init__(self, trust, receiver, reply):
        assert reply.status_code == 201, reply.text
        self.trust, self.receiver, self.made = trust, receiver, reply.json()
        self.id, self.secret, self.path = self.made["id"], self.made["secret"], f"{PATH}/{self.made['id']}"

    def get(self, path="", **query):
        reply = self.trust.boss.get(self.path + path, params=query)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def post(self, path, **options):
        return self.trust.boss.post(self.path + path, **options)

    def deliveries(self, **query):
        return self.get("/deliveries", **query)["items"]

    def hurry(self):
        """What waits is due now: nobody waits for the schedule in a test."""
        self.trust.pg.query("UPDATE webhook_endpoints SET rest_until = NULL WHERE endpoint_id = %s", (self.id,))
        self.trust.pg.query("UPDATE jobs SET run_after = now() WHERE kind = 'webhook' AND lease IS NULL AND payload->>'endpoint' = %s"
                            " AND run_after > now()", (self.id,))

    def until(self, holds, hurry=True):
        deadline = time.monotonic() + WAIT_SECONDS
        while not (found := holds()):
            assert time.monotonic() < deadline, self.get()
            if hurry:
                self.hurry()
            time.sleep(0.1)
        return found

    def settled(self, count):
        """The deliveries, newest first, once so many are there and none waits."""
        return self.until(lambda: (lambda all_: len(all_) == count and all(d["state"] != "pending" for d in all_) and all_)(
            self.deliveries()))

    def test(self):
        reply = self.post("/test")
        assert reply.status_code == 202, reply.text
        return reply.json()

    def attempt(self, delivery):
        """One attempt more at it, and what the list says then."""
        before = self.one(delivery)["attempts"]
        still = " AND EXISTS (SELECT FROM webhook_deliveries WHERE delivery_id = %s AND attempts = %s)"

        def done():
            self.trust.pg.query("UPDATE webhook_endpoints SET rest_until = NULL WHERE endpoint_id = %s" + still,
                                (self.id, delivery["id"], before))
            self.trust.pg.query("UPDATE jobs SET run_after = now() WHERE kind = 'webhook' AND key = %s AND lease IS NULL" + still,
                                (delivery["id"], delivery["id"], before))
            found = self.one(delivery)
            return found["attempts"] > before and found

        return self.until(done, hurry=False)

    def one(self, delivery):
        return next(d for d in self.deliveries() if d["id"] == delivery["id"])


@pytest.fixture
def trust(site, pg):
    made = []

    def make(**options):
        made.append(Trust(site, pg, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def jobs(pg, hook):
    return pg.query("SELECT count(*) FROM jobs WHERE kind = 'webhook' AND payload->>'endpoint' = %s", (hook.id,))[0][0]


def moment(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


# --- What is told -----------------------------------------------------------------------------------------------------

def test_who_joins_and_who_leaves_is_told_by_ids_only_and_signed(trust, receiver, pg):
    one = trust()
    hook = one.hook(receiver(), "member.joined", "member.left")
    nora = one.tenant.add("educator", name="Nora Nightshade")
    joined, = hook.receiver.wait()
    assert joined.type == "member.joined" and joined.path == "/hook" and joined.headers["content-type"] == "application/json"
    assert joined.data == {"person": nora.id, "roles": ["educator"], "cohort": None, "since": joined.data["since"]}
    assert joined.signatures == [s for s in joined.signatures if re.fullmatch(r"v1,[A-Za-z0-9+/]{43}=", s)] and len(joined.signatures) == 1
    assert joined.signed_by(hook.secret) and abs(int(joined.timestamp) - time.time()) < 300
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", joined.happened_at)
    assert one.boss.delete(f"/v1/tenant/members/{nora.id}").status_code == 204
    left = hook.receiver.wait(2)[1]
    assert left.type == "member.left" and set(left.data) == {"person", "since", "until"} and left.data["person"] == nora.id
    assert left.id != joined.id and left.signed_by(hook.secret)
    told = b"".join(d.body for d in hook.receiver.got)
    assert nora.name.encode() not in told and nora.email.encode() not in told and one.tenant.name.encode() not in told
    assert [d["state"] for d in hook.settled(2)] == ["delivered", "delivered"] and jobs(pg, hook) == 0


def test_one_event_has_one_id_at_every_webhook_that_subscribed_and_none_elsewhere(trust, receiver, pg):
    one, other = trust(), trust()
    first, second, deaf = one.hook(receiver()), one.hook(receiver(), "member.joined"), one.hook(receiver(), "member.left")
    foreign = other.hook(receiver())
    person = one.tenant.add("trainee")
    a, = first.receiver.wait()
    b, = second.receiver.wait()
    assert a.id == b.id and a.body == b.body and a.signatures != b.signatures
    assert b.signed_by(second.secret) and not b.signed_by(first.secret)
    assert first.settled(1)[0]["id"] != second.settled(1)[0]["id"]
    assert deaf.deliveries() == [] and foreign.deliveries() == [] and a.data["person"] == person.id


def test_support_is_no_member_and_a_change_of_roles_no_coming_or_going(trust, receiver, site):
    one = trust()
    hook = one.hook(receiver())
    operator = Tenant(site).add("trainee")
    site.cli("operator", "add", "--email", operator.email, "--name", operator.name)
    site.cli("support", "open", "--tenant", one.tenant.slug, "--operator", operator.email, "--hours", "1", "--reason", "a test")
    assert one.boss.patch(f"/v1/tenant/members/{one.tenant['trainee'].id}", json={"roles": ["educator"]}).status_code == 200
    assert hook.deliveries() == []


def test_a_membership_that_ends_by_itself_is_told_once_when_it_has_ended(trust, receiver, pg):
    one = trust()
    hook = one.hook(receiver(), "member.joined", "member.left")
    who = one.tenant["trainee"].id

    def end_in(interval):
        pg.query("UPDATE memberships SET until = now() + %s::interval WHERE tenant_id = %s AND person_id = %s", (interval, one.id, who))

    end_in("2 hours")
    end_in("1 hour")      # an earlier end takes the place of the later one
    assert hook.deliveries() == []
    end_in("1 second")
    left, = hook.receiver.wait()
    assert left.type == "member.left" and left.data["person"] == who
    # The jobs of the ends that did not come to pass tell nothing.
    pg.query("UPDATE jobs SET run_after = now() WHERE kind = 'membership_end' AND tenant_id = %s", (one.id,))
    hook.until(lambda: pg.query("SELECT count(*) FROM jobs WHERE kind = 'membership_end' AND tenant_id = %s", (one.id,)) == [(0,)])
    assert len(hook.settled(1)) == 1
    one.tenant.add("trainee", email=one.tenant["trainee"].email)  # and comes back
    assert [d.type for d in hook.receiver.wait(2)] == ["member.left", "member.joined"]


def test_what_did_not_happen_is_not_told(trust, receiver, pg):
    one = trust()
    hook = one.hook(receiver())
    connection = pg(user="overread_owner", autocommit=False)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT webhook_emit(%s, 'subscription.changed', '{}')", (one.id,))
            cursor.execute("SELECT count(*) FROM webhook_deliveries WHERE tenant_id = %s", (one.id,))
            assert cursor.fetchone() == (1,)
        connection.rollback()
    finally:
        connection.close()
    assert hook.deliveries() == []


def test_other_rooms_tell_by_one_function_that_requests_cannot_call(trust, receiver, pg):
    one = trust()
    hook = one.hook(receiver(), "subscription.changed")
    pg.query("SELECT webhook_emit(%s, 'subscription.changed', %s)", (one.id, json.dumps({"subscription": "s-1", "status": "active"})),
             user="overread_owner")
    told, = hook.receiver.wait()
    assert (told.type, told.data) == ("subscription.changed", {"subscription": "s-1", "status": "active"})
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        pg.query("SELECT webhook_emit(%s, 'subscription.changed', '{}')", (one.id,), user="overread_app")
    with pytest.raises(psycopg2.errors.RaiseException, match="no event"):
        pg.query("SELECT webhook_emit(%s, 'subscription.chnged', '{}')", (one.id,), user="overread_owner")
    with pytest.raises(psycopg2.errors.CheckViolation):
        pg.query("SELECT webhook_emit(%s, 'subscription.changed', jsonb_build_object('x', repeat('x', 17000)))", (one.id,),
                 user="overread_owner")


# --- Results ----------------------------------------------------------------------------------------------------------

BASE = {"read", "person", "modality", "revision", "submitted_at", "graded_at"}
RESULTS = {"case", "attempt", "correct", "points", "max_points"}


def test_how_a_read_came_out_is_told_only_of_who_has_agreed_to_it(trust, receiver, demo_cases, pg):
    one = trust()
    hook = one.hook(receiver(), "read.graded")
    reader = one.tenant["trainee"]
    me = one.as_(reader)
    first = read_case(me, demo_cases[0])
    told, = hook.receiver.wait()
    assert set(told.data) == BASE and told.data["read"] == first["read"] and told.data["person"] == reader.id
    assert told.data["revision"] == 1 and told.data["modality"] == "prostate_mri"
    assert me.put("/v1/me/consents/manager").status_code == 204
    second = read_case(me, demo_cases[1], right=False)
    told = hook.receiver.wait(2)[1]
    assert set(told.data) == BASE | RESULTS and told.data["correct"] is False
    assert told.data["case"] == demo_cases[1].id and told.data["read"] == second["read"]
    assert b"truth" not in told.body and b"lesions" not in told.body
    hook.settled(2)
    # Who withdraws the consent takes the results out of what is kept: a replay does not tell them.
    assert me.delete("/v1/me/consents/manager").status_code == 204
    again = next(d for d in hook.deliveries() if d["event_id"] == told.id)
    assert hook.post(f"/deliveries/{again['id']}/replay").status_code == 202
    replayed = hook.receiver.wait(3)[2]
    assert replayed.id == told.id and set(replayed.data) == BASE
    read_case(me, demo_cases[2])
    assert set(hook.receiver.wait(4)[3].data) == BASE


def test_who_leaves_takes_the_results_along(trust, receiver, demo_cases, pg):
    one = trust()
    hook = one.hook(receiver(), "read.graded")
    reader = one.tenant["trainee"]
    me = one.as_(reader)
    assert me.put("/v1/me/consents/manager").status_code == 204
    read_case(me, demo_cases[0])
    assert set(hook.receiver.wait()[0].data) == BASE | RESULTS
    assert one.boss.delete(f"/v1/tenant/members/{reader.id}").status_code == 204
    kept, = pg.query("SELECT data FROM webhook_deliveries WHERE tenant_id = %s", (one.id,))[0]
    assert set(kept) == BASE


def test_a_regrade_is_told_as_another_revision(trust, receiver, demo_cases, pg):
    one = trust()
    read = read_case(one.as_(one.tenant["trainee"]), demo_cases[0])["read"]
    hook = one.hook(receiver(), "read.graded")
    pg.query("INSERT INTO grades SELECT tenant_id, read_id, 2, points_milli, max_points_milli, correct, grade, plugin_id, plugin_version,"
             " rules_revision, plugin_sha256, case_version, input_sha256 FROM grades WHERE read_id = %s", (read,), user="overread_owner")
    told, = hook.receiver.wait()
    assert (told.type, told.data["read"], told.data["revision"]) == ("read.graded", read, 2)


def test_the_owner_of_a_personal_tenant_keeps_its_webhooks_and_is_told_everything(trust, receiver, demo_cases, site):
    own = trust(kind="individual", roles=("trainee",))
    hook = own.hook(receiver(), "read.graded")
    read_case(own.boss, demo_cases[0])
    told, = hook.receiver.wait()
    assert set(told.data) == BASE | RESULTS and told.data["correct"] is True
    own.tenant.add("educator")  # by an operator: then it is nobody's own any more
    assert_problem(own.boss.get(PATH), 403, "administrator_required")
    assert_problem(own.boss.get(hook.path), 404, "webhook_not_found")


# --- Keeping them -----------------------------------------------------------------------------------------------------

def test_a_webhook_is_shown_without_its_secret(trust, receiver, pg):
    one = trust()
    reply = one.boss.post(PATH, json={"url": "https://hooks.example.org/x?key=1", "events": ["member.left"], "description": "HR"})
    made = reply.json()
    assert reply.status_code == 201 and reply.headers["location"] == f"{PATH}/{made['id']}"
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", made["secret"])
    shown = one.boss.get(f"{PATH}/{made['id']}").json()
    assert shown == {**{k: v for k, v in made.items() if k != "secret"}, "deliveries": []}
    assert (shown["state"], shown["enabled"], shown["failing_since"], shown["disabled_why"]) == ("active", True, None, None)
    listed = one.boss.get(PATH).json()
    assert listed == {"items": [{k: v for k, v in shown.items() if k != "deliveries"}], "next": None}
    assert "whsec_" not in json.dumps([shown, listed])
    sealed, = pg.query("SELECT sealed FROM webhook_secrets WHERE endpoint_id = %s", (made["id"],))[0]
    assert made["secret"][6:] not in sealed and len(sealed) > 60
    assert one.boss.delete(f"{PATH}/{made['id']}").status_code == 204
    assert_problem(one.boss.delete(f"{PATH}/{made['id']}"), 404, "webhook_not_found")
    record = pg.query("SELECT action, detail FROM audit_log WHERE tenant_id = %s AND action LIKE 'webhook.%%' ORDER BY entry", (one.id,))
    assert record == [("webhook.created", {"host": "hooks.example.org", "events": ["member.left"]}), ("webhook.deleted", {})]


def test_a_repeated_request_makes_one_webhook_and_shows_the_same_secret(trust):
    one = trust()
    body, key = {"url": "https://hooks.example.org/", "events": EVENTS}, {"Idempotency-Key": unknown_id()}
    first, again = (one.boss.post(PATH, json=body, headers=key) for _ in range(2))
    assert first.status_code == again.status_code == 201 and first.json() == again.json()
    assert len(one.boss.get(PATH).json()["items"]) == 1
    assert_problem(one.boss.post(PATH, json={**body, "description": "other"}, headers=key), 422, "idempotency_key_reused")
    path = f"{PATH}/{first.json()['id']}"
    key = {"Idempotency-Key": unknown_id()}
    first, again = (one.boss.post(f"{path}/secret", headers=key) for _ in range(2))
    assert first.status_code == again.status_code == 201 and first.json() == again.json()


@pytest.mark.parametrize("field, value", [
    ("url", "https://u:p@hooks.example.org/"), ("url", "ftp://hooks.example.org/"),
    ("url", "not a url"), ("url", "https://"), ("url", "https://hooks.example.org/\r\nx: y"), ("url", 3), ("url", "https://x.org/" + "x" * 2000),
    ("events", []), ("events", "member.left"), ("events", ["member.vanished"]), ("events", ["webhook.test"]),
    ("description", "x" * 201), ("enabled", "yes")])
def test_what_is_wrong_is_named(trust, field, value):
    one = trust()
    good = {"url": "https://hooks.example.org/", "events": ["member.left"]}
    hook = Hook(one, None, one.boss.post(PATH, json=good))
    if field != "enabled":
        reply = one.boss.post(PATH, json={**good, field: value})
        assert reply.status_code == 422 and reply.json()["field"].startswith("/" + field), reply.text
    reply = one.boss.patch(hook.path, json={field: value})
    assert reply.status_code == 422 and reply.json()["field"].startswith("/" + field), reply.text


def test_a_tenant_has_ten_at_most(trust):
    one = trust()
    body = {"url": "https://hooks.example.org/", "events": ["member.left"]}
    for _ in range(10):
        assert one.boss.post(PATH, json=body).status_code == 201
    assert_problem(one.boss.post(PATH, json=body), 409, "too_many_webhooks")
    assert_problem(one.boss.post(PATH, json={**body, "more": 1}), 422, "field_unknown", "/more")
    assert_problem(one.boss.post(PATH, content=b"x" * 20000, headers={"Content-Type": "application/json"}), 413)


def test_others_of_the_tenant_and_other_tenants_have_nothing_to_do_with_them(trust, receiver):
    one, other = trust(roles=("administrator", "trainee", "educator")), trust()
    hook = one.hook(receiver())
    delivery = hook.test()["id"]
    trainee, educator = one.as_(one.tenant["trainee"]), one.as_(one.tenant["educator"])
    assert_problem(trainee.get(PATH), 403, "administrator_required")
    assert_problem(trainee.post(PATH, json={"url": "https://hooks.example.org/", "events": EVENTS}), 403, "administrator_required")
    assert_problem(educator.get(PATH), 403, "role_required")
    for http in (trainee, other.boss):
        for method, path, body in (("GET", "", None), ("PATCH", "", {}), ("DELETE", "", None), ("POST", "/secret", None),
                                   ("POST", "/test", None), ("GET", "/deliveries", None), ("POST", f"/deliveries/{delivery}/replay", None),
                                   ("POST", "/replay", {"since": "2026-01-01T00:00:00Z"})):
            reply = http.request(method, hook.path + path, **({} if body is None else {"json": body}))
            assert_problem(reply, 404, "webhook_not_found")
    mine = other.hook(receiver())
    assert_problem(mine.post(f"/deliveries/{delivery}/replay"), 404, "delivery_not_found")


def test_without_a_key_to_seal_secrets_with_no_webhook_is_made(trust, server_with):
    one = trust()
    with server_with(secret_key="").client(one.tenant.people[0].token) as http:
        assert_problem(http.post(PATH, json={"url": "https://hooks.example.org/", "events": EVENTS}), 503, "secret_key_missing")
        assert http.get(PATH).json()["items"] == []


def test_settings_change_and_what_is_turned_off_is_not_told(trust, receiver, pg):
    one = trust()
    hook, elsewhere = one.hook(receiver(), "member.joined"), receiver()
    changed = one.boss.patch(hook.path, json={"url": elsewhere.url, "events": ["member.left"], "description": "new"})
    assert changed.status_code == 200, changed.text
    assert (changed.json()["url"], changed.json()["events"], changed.json()["description"]) == (elsewhere.url, ["member.left"], "new")
    person = one.tenant.add("trainee")
    one.boss.delete(f"/v1/tenant/members/{person.id}")
    assert elsewhere.wait()[0].type == "member.left" and hook.receiver.got == []
    hook.settled(1)
    off = one.boss.patch(hook.path, json={"enabled": False}).json()
    assert (off["state"], off["disabled_why"], off["enabled"]) == ("disabled", "by_hand", False)
    person = one.tenant.add("trainee")
    one.boss.delete(f"/v1/tenant/members/{person.id}")
    assert len(hook.deliveries()) == 1
    assert_problem(hook.post("/test"), 409, "webhook_disabled")
    assert_problem(hook.post("/replay", json={"since": "2026-01-01T00:00:00Z"}), 409, "webhook_disabled")
    on = one.boss.patch(hook.path, json={"enabled": True}).json()
    assert (on["state"], on["disabled_at"]) == ("active", None)
    hook.test()
    assert elsewhere.wait(2)[1].type == "webhook.test"
    actions = [a for a, in pg.query("SELECT action FROM audit_log WHERE tenant_id = %s AND action LIKE 'webhook.%%' ORDER BY entry", (one.id,))]
    assert actions == ["webhook.created", "webhook.changed", "webhook.disabled", "webhook.changed"]


# --- Secrets ----------------------------------------------------------------------------------------------------------

def test_for_a_day_after_a_change_both_secrets_sign(trust, receiver, pg):
    one = trust()
    hook = one.hook(receiver())
    changed = hook.post("/secret")
    assert changed.status_code == 201, changed.text
    new = changed.json()["secret"]
    assert new != hook.secret and timedelta(hours=23) < moment(changed.json()["previous_until"]) - datetime.now(timezone.utc) <= timedelta(days=1)
    hook.test()
    told, = hook.receiver.wait()
    assert len(told.signatures) == 2 and told.signed_by(hook.secret) and told.signed_by(new)
    pg.query("UPDATE webhook_secrets SET until = now() - interval '1 second' WHERE endpoint_id = %s AND until IS NOT NULL", (hook.id,))
    hook.test()
    told = hook.receiver.wait(2)[1]
    assert len(told.signatures) == 1 and told.signed_by(new) and not told.signed_by(hook.secret)
    for _ in range(4):
        assert hook.post("/secret").status_code == 201
    assert_problem(hook.post("/secret"), 409, "too_many_secrets")


# --- Failing ----------------------------------------------------------------------------------------------------------

def test_what_fails_is_sent_again_with_the_same_id_and_bytes(trust, receiver):
    one = trust()
    hook = one.hook(receiver(), "member.joined")
    hook.receiver.answers = [500, (302, {"location": hook.receiver.url + "/elsewhere"}), 404]
    one.tenant.add("trainee")
    hook.receiver.wait()
    first = hook.until(lambda: (lambda d: d["attempts"] == 1 and d)(hook.deliveries()[0]), hurry=False)
    assert (first["state"], first["last_status"], first["last_error"]) == ("pending", 500, "The receiver answered 500.")
    assert hook.get()["state"] == "failing" and hook.get()["failing_since"]
    second = hook.attempt(first)
    assert second["last_status"] == 302
    hook.attempt(first)
    last, = hook.settled(1)
    assert (last["state"], last["attempts"], last["last_status"], last["last_error"]) == ("delivered", 4, 204, None)
    assert len({d.id for d in hook.receiver.got}) == 1 and len({d.body for d in hook.receiver.got}) == 1
    assert all(d.path == "/hook" and d.signed_by(hook.secret) for d in hook.receiver.got)  # no redirect was followed
    assert hook.get()["state"] == "active" and hook.get()["failing_since"] is None


def test_the_schedule_is_that_of_standard_webhooks_and_then_it_has_failed(trust, receiver, pg):
    one = trust()
    hook = one.hook(receiver())
    hook.receiver.answers = [503] * 10
    delivery = hook.test()
    while (failed := hook.attempt(delivery))["state"] == "pending":
        seconds = SCHEDULE[failed["attempts"] - 1]  # the first pause may be over before anybody looks
        wait = (moment(failed["next_attempt_at"]) - moment(failed["last_attempt_at"])).total_seconds()
        assert seconds <= wait <= seconds * 1.2 + 60, (failed["attempts"], wait)
        assert jobs(pg, hook) == 1
    assert sum(SCHEDULE) == 75 * 3600 + 35 * 60 + 5
    assert (failed["state"], failed["attempts"], failed["next_attempt_at"]) == ("failed", 10, None)
    hook.until(lambda: jobs(pg, hook) == 0)
    again = hook.post(f"/deliveries/{delivery['id']}/replay")
    assert again.status_code == 202 and (again.json()["state"], again.json()["attempts"]) == ("pending", 0)
    assert hook.settled(1)[0]["state"] == "delivered"
    assert len(hook.receiver.got) == 11 and len({d.id for d in hook.receiver.got}) == 1


def test_a_receiver_that_fails_rests_and_what_it_says_of_it_counts(trust, receiver, pg):
    one = trust()
    hook = one.hook(receiver())
    hook.receiver.answers = [(429, {"retry-after": "1234"})]
    delivery = hook.test()
    done = hook.until(lambda: (lambda d: d["attempts"] == 1 and d)(hook.one(delivery)), hurry=False)
    assert 1200 < (moment(done["next_attempt_at"]) - moment(done["last_attempt_at"])).total_seconds() < 1400
    rest, = pg.query("SELECT extract(epoch FROM rest_until - now())::int FROM webhook_endpoints WHERE endpoint_id = %s", (hook.id,))[0]
    assert 1100 < rest <= 1234
    # What happens meanwhile waits too, without an attempt.
    one.tenant.add("trainee")
    due, = pg.query("SELECT min(extract(epoch FROM run_after - now()))::int FROM jobs WHERE kind = 'webhook'"
                    " AND payload->>'endpoint' = %s", (hook.id,))[0]
    assert due > 1000 and hook.receiver.requests == 1
    hook.settled(2)


def test_after_five_days_of_failure_it_is_turned_off_and_administrators_get_a_mail(trust, receiver, pg, mailbox):
    one = trust(roles=("administrator", "trainee", "administrator"))
    hook = one.hook(receiver(), "member.joined")
    hook.receiver.answers = [500] * 3
    for _ in range(3):
        one.tenant.add("trainee")
    hook.until(lambda: hook.get()["failing_since"], hurry=False)
    hook.until(lambda: pg.query("SELECT count(*) FROM webhook_deliveries WHERE endpoint_id = %s AND sending_until > now()", (hook.id,)) == [(0,)],
               hurry=False)
    # Four days are not enough; nor are five with a pause in which nobody tried.
    shift = "UPDATE webhook_endpoints SET failing_since = now() - %s::interval, last_failure_at = now() - %s::interval WHERE endpoint_id = %s"
    hook.receiver.answers = [500] * 20
    pg.query(shift, ("4 days", "1 hour", hook.id))
    before = sum(d["attempts"] for d in hook.deliveries())
    hook.until(lambda: sum(d["attempts"] for d in hook.deliveries()) > before)
    assert hook.get()["state"] == "failing"
    pg.query(shift, ("40 days", "3 days", hook.id))
    before = sum(d["attempts"] for d in hook.deliveries())
    hook.until(lambda: sum(d["attempts"] for d in hook.deliveries()) > before)
    assert hook.get()["state"] == "failing" and datetime.now(timezone.utc) - moment(hook.get()["failing_since"]) < timedelta(days=1)
    pg.query(shift, ("5 days", "1 hour", hook.id))
    hook.until(lambda: hook.get()["state"] == "disabled")
    shown = hook.get()
    assert (shown["disabled_why"], {d["state"] for d in shown["deliveries"]}) == ("failing", {"failed"}) and jobs(pg, hook) == 0
    for person in one.tenant.people:
        if person.roles == "administrator":
            mail = mailbox.wait(person.email)
            assert one.tenant.name in mail.subject and f"127.0.0.1:{hook.receiver.port}" in mail.text and "five days" in mail.text
        else:
            assert mailbox.all(person.email) == []
    assert pg.query("SELECT person_id, detail FROM audit_log WHERE tenant_id = %s AND action = 'webhook.disabled'", (one.id,)) == [
        (None, {"why": "failing"})]
    # It is mended: what failed is sent again.
    hook.receiver.answers = []
    heard = len(hook.receiver.got)
    assert one.boss.patch(hook.path, json={"enabled": True}).json()["state"] == "active"
    assert hook.post("/replay", json={"since": "2020-01-01T00:00:00Z"}).json() == {"replayed": 3, "more": False}
    hook.receiver.wait(heard + 3)
    assert {d["state"] for d in hook.settled(3)} == {"delivered"}
    assert hook.post("/replay", json={"since": "2020-01-01T00:00:00Z"}).json() == {"replayed": 0, "more": False}


def test_gone_turns_it_off_at_once(trust, receiver, mailbox, pg):
    one = trust()
    hook = one.hook(receiver())
    hook.receiver.answers = [410]
    delivery = hook.test()
    hook.until(lambda: hook.get()["state"] == "disabled", hurry=False)
    assert hook.get()["disabled_why"] == "gone" and hook.one(delivery)["last_status"] == 410 and hook.one(delivery)["state"] == "failed"
    assert "410" in mailbox.wait(one.tenant["administrator"].email).text and jobs(pg, hook) == 0


@pytest.mark.parametrize("since", ["yesterday", "2026-13-45T00:00:00Z", "infinity", ""])
def test_a_replay_takes_a_time(trust, since):
    one = trust()
    hook = Hook(one, None, one.boss.post(PATH, json={"url": "https://hooks.example.org/", "events": EVENTS}))
    assert_problem(hook.post("/replay", json={"since": since}), 422, field="/since")


def test_a_replay_takes_up_what_failed_since_and_nothing_before(trust, receiver, pg):
    one = trust()
    hook = one.hook(receiver())
    old, new = hook.test(), hook.test()
    hook.settled(2)
    pg.query("UPDATE webhook_deliveries SET state = 'failed' WHERE endpoint_id = %s", (hook.id,))
    pg.query("UPDATE webhook_deliveries SET happened_at = now() - interval '2 days' WHERE delivery_id = %s", (old["id"],))
    since = (datetime.now(timezone.utc) - timedelta(days=1)).isoformat()
    assert hook.post("/replay", json={"since": since}).json()["replayed"] == 1
    assert hook.receiver.wait(3)[2].id == new["event_id"]
    hook.until(lambda: hook.one(new)["state"] == "delivered")
    assert hook.one(old)["state"] == "failed"
    assert [d["id"] for d in hook.deliveries(state="failed")] == [old["id"]]


def test_deliveries_come_in_pages_newest_first(trust, receiver):
    one = trust()
    hook = one.hook(receiver())
    made = [hook.test()["id"] for _ in range(5)]
    first = hook.get("/deliveries", limit=2)
    second = hook.get("/deliveries", limit=2, after=first["next"])
    last = hook.get("/deliveries", limit=2, after=second["next"])
    assert [d["id"] for page in (first, second, last) for d in page["items"]] == made[::-1] and last["next"] is None
    assert [d["id"] for d in hook.get()["deliveries"]] == made[::-1]
    assert_problem(one.boss.get(hook.path + "/deliveries", params={"state": "lost"}), 422, "bad_state")


# --- The test button --------------------------------------------------------------------------------------------------

def test_the_button_sends_a_test_to_this_webhook_alone_and_not_without_end(trust, receiver):
    one = trust()
    hook, other = one.hook(receiver(), "member.left"), one.hook(receiver())
    made = hook.test()
    told, = hook.receiver.wait()
    assert (told.type, told.data, told.id) == ("webhook.test", {"webhook": hook.id}, made["event_id"]) and told.signed_by(hook.secret)
    hook.until(lambda: hook.one(made)["state"] == "delivered", hurry=False)
    assert other.deliveries() == []
    for _ in range(9):
        hook.test()
    assert_problem(hook.post("/test"), 429, "too_many_tests")


# --- Where it does not go ---------------------------------------------------------------------------------------------

@pytest.fixture
def strict(site, pg, _server, mailbox):
    """The only server that runs is one that may not send to this machine."""
    site.stop()
    made = Server(pg, state_dir=_server.config["state_dir"], threads=1, **mailbox.config)
    try:
        yield made.start()
    finally:
        made.destroy()


NOT_PUBLIC = [
    "127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "[::1]", "[::]", "[fd00::1]",
    "[fe80::1]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]", "0x7f.1", "2130706433", "0177.0.0.1",
    "127.1", "224.0.0.1"]


def test_an_address_that_is_written_as_a_number_must_be_a_public_one(strict, pg):
    one = Trust(strict, pg)
    for host in NOT_PUBLIC:
        for url in (f"https://{host}/latest/meta-data", f"https://{host}:8443/"):
            assert_problem(one.boss.post(PATH, json={"url": url, "events": EVENTS}), 422, "address_refused", "/url")
    for url in ("http://127.0.0.1/", "http://hooks.example.org/", "http://8.8.8.8/"):
        assert_problem(one.boss.post(PATH, json={"url": url, "events": EVENTS}), 422, "url_invalid", "/url")
    one.close()


def test_a_name_that_leads_to_this_machine_is_not_connected_to(strict, pg, receiver):
    one, inside = Trust(strict, pg), receiver()
    for name in ("localhost", "LOCALHOST."):
        hook = Hook(one, inside, one.boss.post(PATH, json={"url": f"https://{name}:{inside.port}/", "events": EVENTS}))
        delivery = hook.test()
        done = hook.until(lambda: (lambda d: d["attempts"] == 1 and d)(hook.one(delivery)), hurry=False)
        assert done["last_status"] is None and done["state"] == "pending"
        assert "public internet" in done["last_error"] or "resolve" in done["last_error"], done
    # And what was entered while it was allowed, is refused when it is not any more.
    pg.query("UPDATE webhook_endpoints SET url = %s WHERE endpoint_id = %s", (f"https://127.0.0.1:{inside.port}/", hook.id))
    assert "public internet" in hook.attempt(delivery)["last_error"]
    assert inside.requests == 0
    one.close()


# --- What comes between -----------------------------------------------------------------------------------------------

def test_a_server_that_is_killed_while_it_sends_has_lost_nothing(trust, receiver, site, pg):
    one = trust()
    hook = one.hook(receiver(), "member.joined")
    hook.receiver.answers = ["hang"]
    one.tenant.add("trainee")
    before, = hook.receiver.wait()
    site.kill()
    one.tenant.add("trainee")  # by the command line, while no server runs
    site.restart()
    # Its lease and its place run out by themselves; nobody waits two minutes here.
    pg.query("UPDATE jobs SET lease_until = now() WHERE kind = 'webhook' AND payload->>'endpoint' = %s", (hook.id,))
    pg.query("UPDATE webhook_deliveries SET sending_until = now() WHERE endpoint_id = %s", (hook.id,))
    got = hook.receiver.wait(3)
    assert sorted(d.id for d in got[1:]) == sorted({d["event_id"] for d in hook.settled(2)}) and before.id in {d.id for d in got[1:]}
    assert {d.body for d in got if d.id == before.id} == {before.body}


def test_a_receiver_that_hangs_holds_up_nobody_else(trust, receiver, pg, mailbox, demo_cases):
    one, other = trust(), trust()
    stuck = one.hook(receiver(), "member.joined")
    stuck.receiver.answers = ["hang"] * 30
    for _ in range(12):
        one.tenant.add("trainee")
    stuck.receiver.wait(2)
    free = other.hook(receiver())
    person = other.tenant.add("trainee")
    assert free.receiver.wait()[0].data["person"] == person.id
    assert other.boss.delete(f"/v1/tenant/members/{person.id}").status_code == 204
    assert "has ended" in mailbox.wait(person.email).text
    assert read_case(other.as_(other.tenant["trainee"]), demo_cases[3])["correct"] is True
    under_way, = pg.query("SELECT count(*) FROM webhook_deliveries WHERE tenant_id = %s AND sending_until > now()", (one.id,))[0]
    assert under_way <= 2 and len(stuck.receiver.got) <= 4
    stuck.receiver.answers = []
    stuck.receiver.release()
    assert {d["state"] for d in stuck.settled(12)} == {"delivered"}


def test_a_suspended_tenant_is_told_nothing_until_it_is_let_in_again(trust, receiver, site, pg):
    one = trust()
    hook = one.hook(receiver(), "member.joined")
    site.cli("tenant", "suspend", one.tenant.slug)
    one.tenant.add("trainee")
    deadline = time.monotonic() + WAIT_SECONDS
    while pg.query("SELECT count(*) FROM jobs WHERE kind = 'webhook' AND tenant_id = %s AND run_after > now() + interval '5 minutes'"
                   " AND lease IS NULL", (one.id,)) != [(1,)]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert hook.receiver.requests == 0
    site.cli("tenant", "resume", one.tenant.slug)
    assert hook.receiver.wait(hurry=hook.hurry)[0].type == "member.joined"


def test_what_is_deleted_is_sent_no_more(trust, receiver, pg):
    one = trust()
    hook = one.hook(receiver())
    hook.receiver.answers = [500]
    hook.test()
    hook.until(lambda: hook.deliveries()[0]["attempts"] == 1, hurry=False)
    assert one.boss.delete(hook.path).status_code == 204
    assert jobs(pg, hook) == 0
    assert pg.query("SELECT count(*) FROM webhook_deliveries WHERE endpoint_id = %s", (hook.id,)) == [(0,)]
    assert pg.query("SELECT count(*) FROM webhook_secrets WHERE endpoint_id = %s", (hook.id,)) == [(0,)]


def test_deliveries_are_kept_for_thirty_days(trust, receiver, pg):
    one = trust()
    hook = one.hook(receiver())
    hook.receiver.answers = [500]
    old, new = hook.test(), hook.test()
    hook.until(lambda: hook.receiver.requests >= 2)
    pg.query("UPDATE webhook_deliveries SET created_at = now() - interval '31 days' WHERE delivery_id = %s", (old["id"],))
    pg.query("UPDATE webhook_deliveries SET created_at = now() - interval '29 days' WHERE delivery_id = %s", (new["id"],))
    pg.query("UPDATE jobs SET run_after = now() WHERE kind = 'webhook_sweep' AND lease IS NULL")
    hook.until(lambda: [d["id"] for d in hook.deliveries()] == [new["id"]])
    assert pg.query("SELECT count(*) FROM jobs WHERE kind = 'webhook' AND key = %s", (old["id"],)) == [(0,)]


def test_the_document_describes_every_event_and_what_is_shown(trust, receiver, demo_cases, pg):
    one = trust()
    document = one.boss.get("/v1/openapi.json").json()
    types = pg.query("SELECT webhook_event_types()", user="overread_owner")[0][0]
    assert types == EVENTS and set(document["webhooks"]) == {*EVENTS, "webhook.test"}

    def agrees(value, schema):
        assert set(schema["required"]) <= set(value) <= set(schema["properties"]), (value, schema)

    schemas = document["components"]["schemas"]
    hook = one.hook(receiver(), *[e for e in EVENTS if e != "subscription.changed"])
    assert schemas["Webhook"]["properties"]["events"]["items"]["enum"] == EVENTS
    agrees(hook.made, schemas["WebhookNew"])
    agrees(one.boss.get(PATH).json()["items"][0], schemas["Webhook"])
    me = one.as_(one.tenant["trainee"])
    me.put("/v1/me/consents/manager")
    read_case(me, demo_cases[0])
    agrees(hook.test(), schemas["WebhookDelivery"])
    one.boss.delete(f"/v1/tenant/members/{one.tenant.add('trainee').id}")
    for told in hook.receiver.wait(4):
        described = document["webhooks"][told.type]["post"]["requestBody"]["content"]["application/json"]["schema"]
        agrees({"type": told.type, "timestamp": told.happened_at, "data": told.data}, described)
        agrees(told.data, described["properties"]["data"])
    agrees(hook.get(), schemas["WebhookShown"])


# --- Data protection --------------------------------------------------------------------------------------------------

def test_checklist_gdpr_a_personal_tenants_webhooks_go_with_the_person(trust, receiver, site, pg):
    own = trust(kind="individual", roles=("trainee",))
    hook = own.hook(receiver(), description="my own laptop")
    hook.test()
    hook.settled(1)
    site.cli("person", "erase", "--email", own.tenant.people[0].email, "--yes")
    for table in ("webhook_endpoints", "webhook_secrets", "webhook_deliveries"):
        assert pg.query(f"SELECT count(*) FROM {table} WHERE tenant_id = %s", (own.id,)) == [(0,)], table


def test_checklist_gdpr_an_erasure_is_told_as_a_leaving_and_leaves_no_results(trust, receiver, site, pg, demo_cases):
    one = trust()
    hook = one.hook(receiver())
    person = one.tenant["trainee"]
    me = one.as_(person)
    assert me.put("/v1/me/consents/manager").status_code == 204
    read_case(me, demo_cases[0])
    hook.receiver.wait()
    site.cli("person", "erase", "--email", person.email, "--yes")
    left = hook.receiver.wait(2)[1]
    assert left.type == "member.left" and left.data["person"] == person.id
    kept = pg.query("SELECT data FROM webhook_deliveries WHERE tenant_id = %s AND person_id = %s", (one.id, person.id))
    assert len(kept) == 2 and not any("correct" in data or "points" in data for data, in kept)
