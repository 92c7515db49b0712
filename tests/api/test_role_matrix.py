"""Every route of the table, with every role, no session, a session that owes a step, a program's token, another tenant, a
suspended tenant and a session that has ended. `overread routes` is the table: what it says is what happens."""
import json
import re

import pytest

from support.bought import bought
from support.people import Person
from support.reads import open_read, read_case, unknown_id

ROLES = ["trainee", "educator", "expert", "administrator", "manager", "support"]

# Requests that are good but for who asks: a refusal is then the route's own. {x} is filled in from ids of another tenant.
BODIES = {
    "PUT /v1/me": {"name": "Same Name"},
    "PUT /v1/me/email": {"email": "{email}", "current": "{password}"},
    "PUT /v1/me/password": {"current": "surely not the password", "password": "four words nobody guesses"},
    "POST /v1/me/totp/confirmation": {"code": "000000"},
    "POST /v1/session/totp": {"code": "000000"},
    "POST /v1/session/recovery-code": {"code": "AAAA-AAAA-AAAA-AAAA"},
    "DELETE /v1/me": {"confirm": "erase", "password": "surely not the password"},
    "POST /v1/me/tokens": {"name": "t", "scopes": ["cases:read"]},
    "POST /v1/session/tenant": {"tenant": "{slug}"},
    "POST /v1/tenant/tokens": {"name": "t"},
    "PUT /v1/tenant/single-sign-on": {"issuer": "https://127.0.0.1:9", "client_id": "c", "client_secret": "s", "just_in_time": False},
    "PATCH /v1/tenant": {"invitations_hold_seats": True},
    "PATCH /v1/tenant/members/{person}": {"roles": ["trainee"]},
    "POST /v1/tenant/cohorts": {"name": "{unique}"},
    "PATCH /v1/tenant/cohorts/{cohort}": {"name": "{unique}"},
    "POST /v1/tenant/invitations": {"email": "{unique}@example.org", "roles": ["trainee"]},
    "POST /v1/tenant/invitations/batch": "email,roles\n{unique}@example.org,trainee\n",
    "POST /v1/tenant/join-links": {"name": "{unique}", "roles": ["trainee"]},
    "POST /v1/tenant/support": {"operator": "nobody@example.org", "hours": 1, "reason": "a test"},
    "POST /v1/tenant/webhooks": {"url": "https://hooks.example.invalid/", "events": ["certificate.issued"]},
    "PATCH /v1/tenant/webhooks/{webhook}": {"enabled": False},
    "POST /v1/tenant/webhooks/{webhook}/replay": {"since": "2026-01-01T00:00:00Z"},
    "POST /v1/reads": {"case": "{case}"},
    "PUT /v1/reads/{read}/draft": {"answer": {}},
    "POST /v1/reads/{read}/submission": {"answer": {"lesions": [], "cspca": False}},
    "PUT /v1/board/pseudonym": {"pseudonym": "P {unique}"},
    "POST /v1/organisations": {"name": "Mine", "slug": "mine-{unique}"},
    "POST /v1/billing/checkout": {"plan": "{plan}", "period": "year", "currency": "gbp"},
    "POST /v1/billing/subscriptions": {"plan": "{plan}", "period": "year", "currency": "gbp"},
    "PATCH /v1/billing/subscriptions/{subscription}": {"seats": 3},
    "PATCH /v1/billing/customer": {"email": "invoices@example.org"},
    "POST /v1/billing/subscriptions/{subscription}/preview": {"seats": 3},
    "POST /v1/scim/v2/Users": {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "{unique}@example.org"},
    "PUT /v1/scim/v2/Users/{user}": {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "{unique}@example.org"},
    "PATCH /v1/scim/v2/Users/{user}": {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                                       "Operations": [{"op": "replace", "path": "active", "value": False}]},
    "POST /v1/scim/v2/Groups": {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "{unique}"},
    "PUT /v1/scim/v2/Groups/{group}": {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "{unique}"},
    "PATCH /v1/scim/v2/Groups/{group}": {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                                         "Operations": [{"op": "replace", "path": "displayName", "value": "Mine"}]},
}
QUERIES = {
    "GET /v1/performance/statistics": {"modality": "prostate_mri"},
    "GET /v1/performance/learning": {"modality": "prostate_mri"},
    "GET /v1/board": {"modality": "prostate_mri"},
}
# Their bodies are an authenticator's work (test_webauthn has one); without it the body is refused before anybody is asked who it is.
AUTHENTICATORS = {"POST /v1/me/passkeys", "POST /v1/session/security-key"}
# Parameters that name what is the same for all tenants.
SHARED = {"case", "modality", "file", "type", "schema"}
# Who may pay depends on the tenant, too: the table names both, and in an organisation only administrators are let in.
PAYERS = "administrator,trainee"
# They end what the walk goes on with: tried for refusals only.
ENDS_SESSION = {"DELETE /v1/session"}


def table(server):
    rows = [line.split() for line in server.cli("routes").stdout.splitlines()]
    return [(method, path, roles) for method, path, roles, _ in rows]


def takes_body(server):
    rows = [line.split() for line in server.cli("routes").stdout.splitlines()]
    return {f"{method} {path}" for method, path, _, limit in rows if limit != "0"}


def guarded(server):
    return [(method, path, roles) for method, path, roles in table(server) if roles != "-"]


def reaches(role, path, roles, kind="organisation"):
    """Is this role let in, in a tenant of this kind?"""
    if path.startswith("/v1/billing") and roles == PAYERS and kind == "organisation":
        roles = "administrator"
    return roles in ("*", "pending") or role in roles.split(",")


class Requests:
    """Builds the request of a route; path parameters are ids of `foreign`."""

    def __init__(self, server, foreign):
        self.ids, self.with_body = foreign, takes_body(server)

    def fill(self, text):
        values = {**self.ids, "unique": unknown_id()[-30:]}
        return re.sub(r"{(\w+)}", lambda m: str(values[m[1]]), text)

    def __call__(self, http, method, path):
        key, options = f"{method} {path}", {}
        if key in QUERIES:
            options["params"] = QUERIES[key]
        body = BODIES.get(key)
        if isinstance(body, str):
            options.update(content=self.fill(body), headers={"Content-Type": "text/csv"})
        elif key in self.with_body:
            options["json"] = json.loads(self.fill(json.dumps(body or {})))
        return http.request(method, self.fill(path), **options)


def code(reply):
    """Of a problem, or of SCIM's kind of error."""
    refused = reply.headers.get("content-type", "") in ("application/problem+json", "application/scim+json")
    return reply.json().get("code") if refused else None


def assert_refused(reply, method, path, status, *codes):
    if f"{method} {path}" in AUTHENTICATORS and reply.status_code == 422:
        return
    assert reply.status_code == status and code(reply) in codes, (method, path, reply.status_code, reply.text[:300])


@pytest.fixture
def foreign(server, tenant, client, pg, demo_cases):
    """Another tenant, in which there is one of everything that a path can name."""
    other = tenant("trainee", "administrator")
    me, boss = client(other["trainee"]), client(other["administrator"])
    assert boss.patch("/v1/tenant", json={"domains": ["example.org"]}).status_code == 200  # join links need it
    ids = {"person": other["trainee"].id, "tenant": other.id, "slug": other.slug, "email": "matrix@example.org",
           "password": "not the password of anybody", "read": read_case(me, demo_cases[0])["read"], "case": demo_cases[0].id,
           "modality": "prostate_mri", "file": "0" * 64 + ".png", "passkey": unknown_id(),
           "user": other["trainee"].id, "type": "User", "schema": "urn:ietf:params:scim:schemas:core:2.0:User",
           "session": me.get("/v1/session").json()["session"]}
    made = {
        "token": me.post("/v1/me/tokens", json={"name": "t", "scopes": ["cases:read"]}),
        "export": me.post("/v1/me/export"),
        "cohort": boss.post("/v1/tenant/cohorts", json={"name": "Theirs"}),
        "invitation": boss.post("/v1/tenant/invitations", json={"email": f"{unknown_id()}@example.org", "roles": ["trainee"]}),
        "link": boss.post("/v1/tenant/join-links", json={"name": "Theirs", "roles": ["trainee"]}),
        "webhook": boss.post("/v1/tenant/webhooks", json={"url": "https://hooks.example.invalid/", "events": ["certificate.issued"]}),
    }
    for name, reply in made.items():
        assert reply.status_code < 300, (name, reply.text)
        body = reply.json()
        ids[name] = body["id"] if "id" in body else body["invitation"]
    ids["delivery"] = boss.post(f"/v1/tenant/webhooks/{ids['webhook']}/test").json()["id"]
    with server.client(boss.post("/v1/tenant/tokens", json={"name": "theirs"}).json()["token"]) as directory:
        ids["group"] = directory.post("/v1/scim/v2/Groups", json={"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
                                                                  "displayName": "Directory"}).json()["id"]
    ids |= bought(pg, other.id)
    operator = tenant("trainee").people[0]
    server.cli("operator", "add", "--email", operator.email, "--name", operator.name)
    granted = server.cli("support", "open", "--tenant", other.slug, "--operator", operator.email, "--hours", "1",
                         "--reason", "a test")
    ids["grant"] = json.loads(granted.stdout)["id"]
    return ids


@pytest.fixture
def staff(server, tenant, pg):
    """A tenant with somebody in each role alone."""
    trust = tenant(*(role for role in ROLES if role != "support"))
    operator = tenant("trainee").people[0]
    server.cli("operator", "add", "--email", operator.email, "--name", operator.name)
    server.cli("support", "open", "--tenant", trust.slug, "--operator", operator.email, "--hours", "1", "--reason", "a test")
    support = Person.__new__(Person)
    support.__dict__.update(operator.__dict__, tenant=trust, roles="support", _token=None)
    trust.people.append(support)
    return trust


def sign_in(pg, person):
    """Support owes a second factor first; here it is taken as done."""
    person.login()
    pg.query("UPDATE sessions SET stage = 'full' WHERE person_id = %s AND ended_at IS NULL", (person.id,))
    return person


def test_the_table_shows_the_roles_of_every_route(server):
    known = {"-", "*", "pending", "scim", *ROLES}
    shown = table(server)
    assert len(shown) > 80
    for method, path, roles in shown:
        assert set(roles.split(",")) <= known, (method, path, roles)


def test_every_body_and_query_of_the_matrix_belongs_to_a_route(server):
    routes = {f"{method} {path}" for method, path, _ in table(server)}
    assert set(BODIES) | set(QUERIES) | ENDS_SESSION <= routes


def test_without_a_session_every_guarded_route_answers_401(server, client, foreign):
    ask = Requests(server, foreign)
    for token in (None, "x" * 43, "ovt_" + "x" * 43):
        with server.client(token) as http:
            for method, path, _ in guarded(server):
                assert_refused(ask(http, method, path), method, path, 401, "session_ended" if token else "session_required")


@pytest.mark.parametrize("role", ROLES)
def test_a_role_reaches_exactly_what_the_table_says(server, client, pg, staff, foreign, role):
    """Refused with role_required where it is not named, and nowhere else; and another tenant's ids are nobody's."""
    ask, me = Requests(server, foreign), sign_in(pg, staff[role])
    http = client(me)
    for method, path, roles in guarded(server):
        if f"{method} {path}" in ENDS_SESSION:
            continue
        reply = ask(http, method, path)
        where = (role, method, path, reply.status_code, reply.text[:300])
        if not reaches(role, path, roles):
            assert (reply.status_code, code(reply)) == (403, "role_required"), where
            continue
        assert reply.status_code not in (401, 500, 503) and code(reply) != "role_required", where
        if set(re.findall(r"{(\w+)}", path)) - SHARED:
            assert reply.status_code == 404, where
    assert http.get("/v1/session").json()["roles"] == [role]


def test_who_has_a_tenant_of_their_own_pays_for_it_and_buys_no_seats_for_others(server, client, tenant, foreign):
    http, ask = client(tenant("trainee", kind="individual").people[0]), Requests(server, foreign)
    billing = [row for row in guarded(server) if row[1].startswith("/v1/billing")]
    assert {roles for *_, roles in billing} == {PAYERS, "administrator"}
    for method, path, roles in billing:
        reply = ask(http, method, path)
        let_in = reaches("trainee", path, roles, "individual")
        assert (code(reply) != "role_required") == let_in, (method, path, reply.status_code, reply.text[:300])
        if let_in and set(re.findall(r"{(\w+)}", path)) - SHARED:
            assert reply.status_code == 404, (method, path, reply.text[:300])


def state(pg, tenant):
    """What a request of somebody else could have changed there."""
    return pg.query(
        "SELECT (SELECT count(*) FROM audit_log WHERE tenant_id = %(t)s),"
        " (SELECT jsonb_agg(to_jsonb(m) ORDER BY person_id) FROM memberships m WHERE tenant_id = %(t)s),"
        " (SELECT jsonb_agg(to_jsonb(r) ORDER BY read_id) FROM reads r WHERE tenant_id = %(t)s),"
        " (SELECT jsonb_agg(to_jsonb(c) ORDER BY cohort_id) FROM cohorts c WHERE tenant_id = %(t)s),"
        " (SELECT jsonb_agg(to_jsonb(l) ORDER BY link_id) FROM join_links l WHERE tenant_id = %(t)s),"
        " (SELECT jsonb_agg(jsonb_build_array(e.endpoint_id, e.url, e.events, e.disabled_at) ORDER BY endpoint_id)"
        "  FROM webhook_endpoints e WHERE tenant_id = %(t)s),"
        " (SELECT count(*) FROM webhook_secrets WHERE tenant_id = %(t)s), (SELECT count(*) FROM webhook_deliveries WHERE tenant_id = %(t)s),"
        " (SELECT count(*) FROM tickets WHERE tenant_id = %(t)s AND used_at IS NULL),"
        " (SELECT count(*) FROM support_grants WHERE tenant_id = %(t)s AND ended_at IS NULL),"
        " (SELECT count(*) FROM api_tokens WHERE tenant_id = %(t)s AND revoked_at IS NULL),"
        " (SELECT jsonb_agg(to_jsonb(s) ORDER BY subscription_id) FROM subscriptions s WHERE tenant_id = %(t)s),"
        " (SELECT jsonb_agg(to_jsonb(q) ORDER BY quote_id) FROM quotes q WHERE tenant_id = %(t)s),"
        " (SELECT jsonb_agg(to_jsonb(c) ORDER BY checkout_id) FROM checkouts c WHERE tenant_id = %(t)s),"
        " (SELECT jsonb_agg(to_jsonb(i) ORDER BY intent_id) FROM billing_intents i WHERE tenant_id = %(t)s),"
        " (SELECT count(*) FROM sessions WHERE tenant_id = %(t)s AND ended_at IS NULL)", {"t": tenant})


def test_nothing_of_the_other_tenant_was_changed_or_shown(server, client, pg, staff, foreign):
    before = state(pg, foreign["tenant"])
    ask = Requests(server, foreign)
    for role in ("administrator", "educator", "trainee"):
        http = client(staff[role])
        for method, path, _ in guarded(server):
            if f"{method} {path}" not in ENDS_SESSION and set(re.findall(r"{(\w+)}", path)) - SHARED:
                reply = ask(http, method, path)
                assert foreign["tenant"] not in reply.text
    assert state(pg, foreign["tenant"]) == before


@pytest.mark.parametrize("stage,owed", [("second_factor", "second_factor_required"), ("enrolment", "enrolment_required"),
                                        ("password", "password_change_required")])
def test_a_session_that_owes_a_step_reaches_that_step_and_nothing_else(server, client, pg, tenant, foreign, stage, owed):
    everything = tenant("trainee,educator,expert,administrator,manager").people[0]
    http, ask = client(everything), Requests(server, foreign)
    pg.query("UPDATE sessions SET stage = %s WHERE person_id = %s", (stage, everything.id))
    for method, path, roles in guarded(server):
        if f"{method} {path}" in ENDS_SESSION:
            continue
        reply = ask(http, method, path)
        where = (method, path, reply.status_code, reply.text[:300])
        if roles != "pending":
            assert (reply.status_code, code(reply)) == (403, owed), where
        else:
            assert reply.status_code != 401 and code(reply) != "role_required", where
    assert http.get("/v1/session").json()["stage"] == stage


def test_a_token_reaches_nothing_outside_its_scopes_and_nothing_that_is_a_persons(server, client, tenant, foreign):
    person = tenant("trainee,educator,expert,administrator,manager").people[0]
    made = client(person).post("/v1/me/tokens", json={"name": "t", "scopes": ["modalities:read"]}).json()
    ask = Requests(server, foreign)
    with server.client(made["token"]) as program:
        for method, path, roles in guarded(server):
            reply = ask(program, method, path)
            where = (method, path, reply.status_code, reply.text[:300])
            if method == "GET" and path.startswith("/v1/modalities"):
                assert reply.status_code == 200, where
            else:
                expected = ["role_required"] if roles in ("pending", "scim") else ["scope_required", "session_required"]
                assert_refused(reply, method, path, 403, *expected)


def test_a_provisioning_token_reaches_its_own_routes_and_none_of_people(server, client, tenant, foreign):
    boss = client(tenant("administrator").people[0])
    made = boss.post("/v1/tenant/tokens", json={"name": "provisioning"}).json()
    ask = Requests(server, foreign)
    with server.client(made["token"]) as program:
        for method, path, roles in guarded(server):
            reply = ask(program, method, path)
            if roles != "scim":
                assert_refused(reply, method, path, 403, "role_required")
            elif set(re.findall(r"{(\w+)}", path)) - SHARED:
                assert reply.status_code == 404, (method, path, reply.text[:300])
            else:
                assert reply.status_code in (200, 201), (method, path, reply.text[:300])


def test_a_suspended_tenant_reaches_nothing(server, client, tenant, foreign):
    trust = tenant("trainee,educator,expert,administrator,manager")
    http, ask = client(trust.people[0]), Requests(server, foreign)
    server.cli("tenant", "suspend", trust.slug)
    for method, path, _ in guarded(server):
        assert_refused(ask(http, method, path), method, path, 403, "tenant_suspended")


def test_checklist_sessions_one_that_has_ended_reaches_nothing(server, client, tenant, foreign):
    http, ask = client(tenant("trainee,educator,expert,administrator,manager").people[0]), Requests(server, foreign)
    assert http.delete("/v1/session").status_code == 204
    for method, path, _ in guarded(server):
        assert_refused(ask(http, method, path), method, path, 401, "session_ended")


def test_who_left_a_tenant_reaches_nothing_there(server, client, tenant, foreign):
    trust = tenant("administrator", "trainee,educator,expert,manager")
    http, ask = client(trust.people[1]), Requests(server, foreign)
    assert http.get("/v1/me").status_code == 200
    assert client(trust.people[0]).delete(f"/v1/tenant/members/{trust.people[1].id}").status_code == 204
    for method, path, _ in guarded(server):
        assert_refused(ask(http, method, path), method, path, 401, "session_ended")
