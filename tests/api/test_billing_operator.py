"""The operator's command line beside the price list: contracts outside Stripe, quotes, free samples, and what is stuck."""
import json
import secrets

import pytest
from stripe_standin.fixtures import _stripe, stripe  # noqa: F401  pylint: disable=unused-import
from support.plans import Operator, plan
from support.reads import assert_problem, unknown_id

TRUST = plan("trust", ("year", "gbp", 12000), audience="organisation")
SOLO = plan("solo", ("month", "gbp", 1999))
UNTIL = ("--until", "2040-01-01T00:00:00Z", "--reason", "Framework 7")


@pytest.fixture
def operator(server, pg, stripe):  # noqa: F811
    operator = Operator(pg, stripe)
    yield operator
    operator.close()


@pytest.fixture
def lapsed(tenant):
    """lapsed("trainee"): a trust whose contract has run out when its people had come."""
    def make(*roles, **options):
        made = tenant(*roles, **options)
        made.server.cli("tenant", "create", "--kind", made.kind, "--name", made.name, "--slug", made.slug,
                        "--access-until", "2020-01-01T00:00:00Z")
        return made

    return make


@pytest.fixture
def another_modality(pg, demo_cases):
    pg.query("INSERT INTO modalities (modality, title, plugin_id) VALUES ('knee_mri', 'Knee', 'knee_mri') ON CONFLICT DO NOTHING")
    yield "knee_mri"
    pg.query("DELETE FROM modalities WHERE modality = 'knee_mri'")


def lines(server, *arguments):
    return [json.loads(line) for line in server.cli(*arguments).stdout.splitlines()]


def grant(server, trust, *options):
    return server.cli_json("subscription", "grant", "--tenant", trust.slug, *(options or UNTIL))["grant"]


def opened(client, person, case):
    return client(person).post("/v1/reads", json={"case": case.id}).status_code in (200, 201)


def audit(pg, trust):
    return [(action, detail) for action, detail in pg.query(
        "SELECT action, detail FROM audit_log WHERE tenant_id = %s ORDER BY entry", (trust.id,))]


def refused(server, code, *arguments):
    result = server.cli(*arguments, check=False)
    assert result.returncode == 1 and result.stderr.startswith(f"overread: {code}"), result.stderr
    assert result.stdout == ""
    return result


# --- Grants -------------------------------------------------------------------------------------------------------------

def test_a_grant_lets_a_trust_read_until_it_ends(server, lapsed, client, demo_cases, pg):
    trust = lapsed("trainee")
    case = demo_cases[0]
    assert_problem(client(trust["trainee"]).post("/v1/reads", json={"case": case.id}), 402)
    ident = grant(server, trust)
    assert opened(client, trust["trainee"], case)
    server.cli("subscription", "end", "--tenant", trust.slug, "--reason", "Not paid", ident)
    assert not opened(client, trust["trainee"], demo_cases[1])
    said = dict(audit(pg, trust))
    assert said["subscription.granted"]["reason"] == "Framework 7"
    assert said["subscription.grant_ended"] == {"reason": "Not paid"}


def test_a_grant_of_one_modality_opens_no_other(server, lapsed, client, demo_cases, another_modality):
    trust = lapsed("trainee")
    grant(server, trust, "--modalities", another_modality, *UNTIL)
    assert not opened(client, trust["trainee"], demo_cases[0])
    grant(server, trust, "--modalities", f"{another_modality},prostate_mri", *UNTIL)
    assert opened(client, trust["trainee"], demo_cases[0])


def test_seats_of_grants_add_up_and_go_with_them(server, lapsed, pg):
    trust = lapsed()

    def seats():
        return pg.query("SELECT seats_bought FROM tenants WHERE tenant_id = %s", (trust.id,))[0][0]

    first, _ = grant(server, trust, "--seats", "5", *UNTIL), grant(server, trust, "--seats", "3", *UNTIL)
    assert seats() == 8
    unlimited = grant(server, trust)
    assert seats() is None
    for ident in (first, unlimited):
        server.cli("subscription", "end", "--tenant", trust.slug, "--reason", "Over", ident)
    assert seats() == 3


def test_a_grant_that_begins_later_gives_nothing_yet(server, lapsed, client, demo_cases):
    trust = lapsed("trainee")
    grant(server, trust, "--from", "2039-01-01T00:00:00Z", *UNTIL)
    assert not opened(client, trust["trainee"], demo_cases[0])


def test_what_a_tenant_has_is_listed(server, lapsed):
    trust = lapsed()
    ident = grant(server, trust, "--seats", "5", *UNTIL)
    endless = grant(server, trust, "--seats", "0", "--until", "infinity", "--reason", "Friends")
    listed = lines(server, "subscription", "list", "--tenant", trust.slug)
    assert {line["tenant"] for line in listed} == {trust.slug}
    grants = {line["id"]: line for line in listed if line["what"] == "grant"}
    assert grants[ident]["seats"] == 5 and grants[ident]["ends_at"].startswith("2040-01-01") and grants[ident]["reason"] == "Framework 7"
    assert grants[endless]["ends_at"] is None
    assert {line["source"]: line["now"] for line in listed if line["what"] == "entitlement"}[ident] is True
    everything = lines(server, "subscription", "list")
    assert [line for line in everything if line["tenant"] == trust.slug] == listed


@pytest.mark.parametrize("options, code", [
    (("--modalities", "xray_vision", *UNTIL), "modality_not_found at modalities"),
    (("--modalities", "", *UNTIL), "modality_not_found at modalities"),
    (("--seats", "-1", *UNTIL), "out_of_range at seats"),
    (("--seats", "many", *UNTIL), "out_of_range at seats"),
    (("--until", "2020-01-01T00:00:00Z", "--reason", "Late"), "out_of_range at until"),
    (("--from", "2041-01-01T00:00:00Z", *UNTIL), "out_of_range at until"),
    (("--until", "soon", "--reason", "Vague"), "bad_value"),
    (("--until", "infinity", "--reason", ""), "bad_value")])
def test_a_grant_that_makes_no_sense_is_refused(server, lapsed, options, code):
    trust = lapsed()
    refused(server, code, "subscription", "grant", "--tenant", trust.slug, *options)
    assert [line for line in lines(server, "subscription", "list", "--tenant", trust.slug) if line.get("kind") == "grant"] == []


def test_an_individual_has_no_seats_but_may_have_a_grant(server, lapsed):
    one = lapsed("trainee", kind="individual")
    refused(server, "out_of_range at seats", "subscription", "grant", "--tenant", one.slug, "--seats", "2", *UNTIL)
    assert grant(server, one)


def test_only_a_grant_of_that_tenant_that_runs_can_be_ended(server, lapsed):
    trust, other = lapsed(), lapsed()
    ident = grant(server, other)
    end = ("subscription", "end", "--reason", "Over")
    refused(server, "grant_not_found", *end, "--tenant", trust.slug, ident)
    refused(server, "grant_not_found", *end, "--tenant", trust.slug, unknown_id())
    refused(server, "bad_value at grant", *end, "--tenant", trust.slug, "seven")
    refused(server, "tenant_not_found", *end, "--tenant", "nobody", ident)
    server.cli(*end, "--tenant", other.slug, ident)
    refused(server, "grant_not_found", *end, "--tenant", other.slug, ident)


@pytest.mark.parametrize("arguments", [
    ("subscription", "grant", "--tenant", "t", "--until", "infinity"), ("subscription", "grant", "--tenant", "t", "--reason", "R"),
    ("subscription", "end", "--tenant", "t", "--reason", "R"), ("subscription", "end", "--tenant", "t", "a-grant"),
    ("quote", "create", "--tenant", "t", "--plan", "p"), ("quote", "withdraw", "--tenant", "t"), ("billing", "retry", "a", "b"),
    ("billing", "stuck", "a"), ("billing", "sync", "a"), ("plan", "list", "a"), ("library", "sample"), ("library", "sample", "--on", "a")])
def test_a_wrong_command_line_is_answered_with_the_right_one(server, arguments):
    result = server.cli(*arguments, check=False)
    assert result.returncode == 2 and f"usage: overread {' '.join(arguments[:2])}" in result.stderr


@pytest.mark.parametrize("arguments", [
    ("subscription", "grant", *UNTIL), ("subscription", "list"), ("quote", "list"),
    ("quote", "create", "--plan", "p", "--period", "year", "--currency", "gbp", "--seats", "1")])
def test_a_tenant_that_is_not_there_is_named(server, arguments):
    assert "nobody" in refused(server, "tenant_not_found at tenant", *arguments, "--tenant", "nobody").stderr


# --- Quotes -------------------------------------------------------------------------------------------------------------

def quote(operator, trust, *options, **given):
    terms = {"plan": "trust", "period": "year", "currency": "gbp", "seats": "50", **given}
    return ("quote", "create", "--tenant", trust.slug, *[word for name, value in terms.items() for word in ("--" + name, value)], *options)


def test_a_quote_is_made_listed_and_withdrawn(operator, tenant, pg):
    operator.apply(TRUST)
    trust = tenant()
    ident = operator.server.cli_json(*quote(operator, trust, "--amount", "9000", "--note", "As agreed"))["quote"]
    listed, = lines(operator.server, "quote", "list", "--tenant", trust.slug)
    assert {name: listed[name] for name in ("id", "tenant", "plan", "seats", "amount", "currency", "days_until_due", "state", "note")} == {
        "id": ident, "tenant": trust.slug, "plan": "trust", "seats": 50, "amount": 9000, "currency": "gbp", "days_until_due": 30,
        "state": "open", "note": "As agreed"}
    for _ in range(2):
        operator.server.cli("quote", "withdraw", "--tenant", trust.slug, ident)
    assert lines(operator.server, "quote", "list", "--tenant", trust.slug)[0]["state"] == "withdrawn"
    assert [action for action, _ in audit(pg, trust)][-2:] == ["quote.created", "quote.withdrawn"]


def test_a_quote_without_an_amount_is_by_the_price_list(operator, tenant):
    operator.apply(TRUST)
    trust = tenant()
    operator.server.cli(*quote(operator, trust))
    assert lines(operator.server, "quote", "list", "--tenant", trust.slug)[0]["amount"] == 12000


@pytest.mark.parametrize("options, given, code", [
    ((), {"plan": "gold"}, "plan_not_found at plan"), ((), {"plan": "solo"}, "plan_not_for_them at plan"),
    ((), {"currency": "eur"}, "price_not_found at amount"), ((), {"period": "month"}, "price_not_found at amount"),
    (("--amount", "1"), {"period": "week"}, "bad_value"), (("--amount", "1"), {"currency": "GBP"}, "bad_value"),
    ((), {"seats": "0"}, "out_of_range at seats"), (("--amount", "12.50"), {}, "out_of_range at amount"),
    (("--days-until-due", "0"), {}, "out_of_range at days-until-due"), (("--valid-days", "366"), {}, "out_of_range at valid-days"),
    (("--note", "x" * 501), {}, "bad_value")])
def test_a_quote_that_makes_no_sense_is_refused(operator, tenant, options, given, code):
    operator.apply(TRUST, SOLO)
    trust = tenant()
    refused(operator.server, code, *quote(operator, trust, *options, **given))
    assert lines(operator.server, "quote", "list", "--tenant", trust.slug) == []


def test_only_an_open_quote_of_that_tenant_can_be_withdrawn(operator, tenant, pg):
    operator.apply(TRUST)
    trust, other = tenant(), tenant()
    ident = operator.server.cli_json(*quote(operator, other))["quote"]
    refused(operator.server, "quote_not_found", "quote", "withdraw", "--tenant", trust.slug, ident)
    refused(operator.server, "bad_value at quote", "quote", "withdraw", "--tenant", trust.slug, "q")
    pg.query("UPDATE quotes SET accepted_at = now() WHERE quote_id = %s", (ident,))
    refused(operator.server, "quote_accepted", "quote", "withdraw", "--tenant", other.slug, ident)


# --- What is stuck --------------------------------------------------------------------------------------------------------

@pytest.fixture
def stuck(pg, server, tenant):
    """Ids of a quarantined event, a dead job and an intent that nobody knows the end of. No server is there to take them up."""
    server.stop()
    trust = tenant()
    event, job, intent = f"evt_{secrets.token_hex(8)}", f"sub_{secrets.token_hex(8)}", unknown_id()
    pg.query("INSERT INTO stripe_events (event, type, api_version, livemode, created_at, came_by, raw, state, note, done_at)"
             " VALUES (%s, 'invoice.paid', '2020-08-27', false, now(), 'webhook', '{}', 'quarantined', 'of API version 2020-08-27', now())", (event,))
    pg.query("INSERT INTO jobs (id, kind, key, payload, attempts, last_error, dead_at)"
             " VALUES (gen_random_uuid(), 'stripe_sync', %s, '{}', 20, 'form_unknown', now())", (job,))
    pg.query("INSERT INTO billing_intents (tenant_id, intent_id, kind, method, path, body) VALUES (%s, %s, 'customer', 'POST', '/v1/customers', '')",
             (trust.id, intent))
    pg.query("INSERT INTO jobs (id, tenant_id, kind, key, payload, run_after)"
             " VALUES (gen_random_uuid(), %s, 'billing_intent', %s, '{}', now() + interval '1 day')", (trust.id, intent))
    yield event, job, intent
    pg.query("DELETE FROM jobs WHERE key IN (%s, %s, %s)", (event, job, intent))
    pg.query("DELETE FROM billing_intents WHERE intent_id = %s", (intent,))
    pg.query("DELETE FROM stripe_events WHERE event = %s", (event,))


def waiting(pg, *keys):
    """Keys of jobs that a server would take now."""
    return {key for key, in pg.query("SELECT key FROM jobs WHERE key IN %s AND dead_at IS NULL AND run_after <= now()", (keys,))}


def test_what_is_stuck_is_listed(server, stuck):
    listed = {line["id"]: line for line in lines(server, "billing", "stuck")}
    event, job, intent = (listed[ident] for ident in stuck)
    assert (event["what"], event["note"]) == ("event", "of API version 2020-08-27")
    assert (job["what"], job["kind"], job["error"]) == ("dead", "stripe_sync", "form_unknown")
    assert (intent["what"], intent["kind"]) == ("intent", "customer")


@pytest.mark.parametrize("place", [0, 1, 2], ids=["event", "job", "intent"])
def test_one_of_them_is_tried_again(server, stuck, pg, place):
    assert server.cli_json("billing", "retry", stuck[place]) == {"retried": 1}
    assert waiting(pg, *stuck) == {stuck[place]}


def test_all_of_them_are_tried_again(server, stuck, pg):
    assert server.cli_json("billing", "retry")["retried"] >= 3
    assert waiting(pg, *stuck) == set(stuck)
    assert not {line["id"] for line in lines(server, "billing", "stuck")} & set(stuck[:2])


def test_what_is_not_stuck_is_not_tried_again(server, stuck):
    refused(server, "not_stuck", "billing", "retry", "evt_nothing")
    server.cli("billing", "retry", stuck[0])
    refused(server, "not_stuck", "billing", "retry", stuck[0])


def test_a_sync_makes_the_periodic_lists_due_now(operator, server, pg):
    server.stop()
    pg.query("UPDATE jobs SET run_after = now() + interval '20 hours' WHERE kind = 'stripe_nightly'")
    pg.query("DELETE FROM jobs WHERE kind = 'stripe_reconcile'")
    operator.server.cli("billing", "sync")
    due = pg.query("SELECT kind FROM jobs WHERE kind LIKE 'stripe_%' AND key = 'periodic' AND run_after <= now() ORDER BY kind")
    assert due == [("stripe_nightly",), ("stripe_reconcile",)]


def test_a_sync_without_stripe_is_refused(server):
    refused(server, "billing_not_configured at stripe_key", "billing", "sync")


# --- Free samples ---------------------------------------------------------------------------------------------------------

def test_a_sample_is_open_to_who_has_no_subscription(server, lapsed, client, demo_cases):
    trust = lapsed("trainee")
    sample, other = demo_cases[2], demo_cases[3]
    server.cli("library", "sample", sample.slug)
    assert opened(client, trust["trainee"], sample) and not opened(client, trust["trainee"], other)
    assert {line["slug"]: line["sample"] for line in lines(server, "library", "list")}[sample.slug] is True
    server.cli("library", "sample", "--off", sample.slug)
    assert not opened(client, lapsed("trainee")["trainee"], sample)
    refused(server, "case_not_found", "library", "sample", "no-such-case")


# --- The doctor -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("config, words", [
    ({"stripe_key": "", "stripe_webhook_secret": ""}, "stripe: no stripe_key: nothing is sold"),
    ({}, "stripe: test mode, http://127.0.0.1:"),
    ({"stripe_webhook_secret": ""}, "webhook secret NOT SET"),
    ({"stripe_key": "rk_live_abcdefgh"}, "stripe: live mode"),
    ({"stripe_key": "pk_test_abcdefgh"}, "stripe: stripe_key must be"),
    ({"stripe_url": "http://api.stripe.com"}, "stripe: stripe_url must be")])
def test_the_doctor_says_what_is_sold_through_and_no_secret(server, pg, stripe, config, words):  # noqa: F811
    operator = Operator(pg, stripe, **config)
    try:
        result = operator.server.cli("doctor", check=False)
        assert words in result.stdout
        assert result.returncode == (1 if "must be" in words else 0), result.stdout
        for secret in (operator.server.config["stripe_key"], operator.server.config["stripe_webhook_secret"]):
            assert not secret or secret not in result.stdout + result.stderr
    finally:
        operator.close()
