"""Tokens of programs: scoped, expiring, revocable; and support access for operators."""
import pytest


def make(http, **body):
    return http.post("/v1/me/tokens", json={"name": "laptop", "scopes": ["cases:read"], **body})


@pytest.fixture
def trust(tenant):
    return tenant("administrator", "trainee")


@pytest.fixture
def program(server):
    """program(token): an HTTP client that shows this token."""
    opened = []

    def open_client(token):
        opened.append(server.client(token))
        return opened[-1]

    yield open_client
    for one in opened:
        one.close()


def test_a_token_does_what_its_scopes_say_and_no_more(trust, client, program, demo_cases):
    token = make(client(trust["trainee"])).json()["token"]
    assert token.startswith("ovt_")
    robot = program(token)
    assert robot.get("/v1/cases").status_code == 200
    refused = robot.get("/v1/performance")
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_required")
    refused = robot.post("/v1/reads", json={"case": demo_cases[0].id})
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_required")


def test_write_includes_read(trust, client, program, demo_cases):
    robot = program(make(client(trust["trainee"]), scopes=["reads:write"]).json()["token"])
    assert robot.post("/v1/reads", json={"case": demo_cases[0].id}).status_code == 201
    assert len(robot.get("/v1/reads").json()["items"]) == 1


def test_a_token_has_no_more_roles_than_its_person(trust, client, program):
    robot = program(make(client(trust["trainee"]), scopes=["tenant:read"]).json()["token"])
    assert robot.get("/v1/tenant").status_code == 200
    refused = robot.get("/v1/tenant/members")
    assert (refused.status_code, refused.json()["code"]) == (403, "role_required")


@pytest.mark.parametrize("method,path", [("GET", "/v1/me/tokens"), ("POST", "/v1/me/tokens"), ("GET", "/v1/session"),
                                         ("DELETE", "/v1/session"), ("GET", "/v1/sessions")])
def test_no_token_reaches_what_takes_a_person(trust, client, program, method, path):
    robot = program(make(client(trust["trainee"])).json()["token"])
    body = {"json": {"name": "child", "scopes": ["cases:read"]}} if method == "POST" else {}
    assert robot.request(method, path, **body).status_code == 403


@pytest.mark.parametrize("body,field", [
    ({"scopes": []}, "/scopes"), ({"scopes": ["cases"]}, "/scopes/0"), ({"scopes": ["cases:read", "me:read"]}, "/scopes/1"),
    ({"scopes": ["session:write"]}, "/scopes/0"), ({"scopes": ["case:read"]}, "/scopes/0"), ({"scopes": [":read"]}, "/scopes/0"),
    ({"scopes": "cases:read"}, "/scopes"), ({"scopes": [1]}, "/scopes/0"), ({"days": 0}, "/days"), ({"days": 367}, "/days"),
    ({"name": ""}, "/name"), ({"owner": "x"}, "/owner")])
def test_a_wrong_token_request_is_refused_by_name(trust, client, body, field):
    reply = make(client(trust["trainee"]), **body)
    assert (reply.status_code, reply.json()["field"]) == (422, field)


def test_the_list_shows_last_use_and_never_the_token(trust, client, program):
    person = client(trust["trainee"])
    made = make(person).json()
    assert person.get("/v1/me/tokens").json()["items"][0]["last_used_at"] is None
    program(made["token"]).get("/v1/cases")
    listed = person.get("/v1/me/tokens")
    assert listed.json()["items"][0]["last_used_at"] is not None
    assert made["token"] not in listed.text


def test_revoked_tokens_are_refused_at_once_one_or_all(trust, client, program):
    person = client(trust["trainee"])
    made = [make(person).json() for _ in range(3)]
    assert person.delete(f"/v1/me/tokens/{made[0]['id']}").status_code == 204
    assert program(made[0]["token"]).get("/v1/cases").status_code == 401
    assert program(made[1]["token"]).get("/v1/cases").status_code == 200
    assert person.delete(f"/v1/me/tokens/{made[0]['id']}").status_code == 404
    assert person.delete("/v1/me/tokens").status_code == 204
    assert [program(m["token"]).get("/v1/cases").status_code for m in made] == [401] * 3


def test_an_expired_token_is_refused(pg, trust, client, program):
    made = make(client(trust["trainee"])).json()
    pg.query("UPDATE api_tokens SET expires_at = now() WHERE token_id = %s", (made["id"],))
    assert program(made["token"]).get("/v1/cases").status_code == 401


def test_a_leavers_tokens_are_dead_and_stay_dead_when_the_person_comes_back(pg, trust, client, program):
    made = make(client(trust["trainee"])).json()
    change = "UPDATE memberships SET until = %s WHERE tenant_id = %s AND person_id = %s"
    pg.query(change, ("now", trust.id, trust["trainee"].id))
    assert program(made["token"]).get("/v1/cases").status_code == 401
    pg.query(change, (None, trust.id, trust["trainee"].id))
    assert program(made["token"]).get("/v1/cases").status_code == 401


def test_an_administrator_sees_and_revokes_the_tenants_tokens_and_nobody_elses(trust, tenant, client, program):
    made = make(client(trust["trainee"])).json()
    stranger = client(tenant("administrator")["administrator"])
    assert stranger.get("/v1/tenant/tokens").json()["items"] == []
    assert stranger.delete(f"/v1/tenant/tokens/{made['id']}").status_code == 404
    admin = client(trust["administrator"])
    assert [t["id"] for t in admin.get("/v1/tenant/tokens").json()["items"]] == [made["id"]]
    assert admin.delete(f"/v1/tenant/tokens/{made['id']}").status_code == 204
    assert program(made["token"]).get("/v1/cases").status_code == 401


def test_a_colleagues_token_is_not_found(trust, client):
    made = make(client(trust["trainee"])).json()
    assert client(trust["administrator"]).delete(f"/v1/me/tokens/{made['id']}").status_code == 404
    assert client(trust["administrator"]).get("/v1/me/tokens").json()["items"] == []


def test_a_provisioning_token_reaches_provisioning_only(trust, client, program):
    token = client(trust["administrator"]).post("/v1/tenant/tokens", json={"name": "HR"}).json()["token"]
    for path in ("/v1/cases", "/v1/tenant", "/v1/tenant/members", "/v1/session"):
        assert program(token).get(path).status_code == 403


def test_fifty_tokens_are_enough(pg, trust, client):
    person = client(trust["trainee"])
    for _ in range(50):
        assert make(person).status_code == 201
    assert (make(person).status_code, make(person).json()["code"]) == (409, "too_many_tokens")


# --- Support access ------------------------------------------------------------------------------------------------

@pytest.fixture
def operator(server):
    import secrets
    email = f"operator-{secrets.token_hex(4)}@platform.example"
    person = server.cli_json("operator", "add", "--email", email, "--name", "Olga Operator")["person"]
    yield email, person
    server.cli("operator", "remove", "--email", email)


def let_in(http, email, **body):
    return http.post("/v1/tenant/support", json={"operator": email, "hours": 4, "reason": "a board that looks wrong", **body})


def test_support_access_is_explicit_ends_by_itself_and_stands_in_the_tenants_record(trust, client, pg, operator):
    admin = client(trust["administrator"])
    made = let_in(admin, operator[0])
    assert made.status_code == 201, made.text
    member = pg.query("SELECT roles, until - now() BETWEEN interval '3 hours 59 minutes' AND interval '4 hours' FROM memberships"
                      " WHERE tenant_id = %s AND person_id = %s", (trust.id, operator[1]))
    assert member == [(["support"], True)]
    opened = next(e for e in admin.get("/v1/audit").json()["items"] if e["action"] == "support.opened")
    assert opened["detail"]["reason"] == "a board that looks wrong" and opened["person"] == trust["administrator"].id
    listed = admin.get("/v1/tenant/support").json()["items"]
    assert [(g["id"], g["open"]) for g in listed] == [(made.json()["id"], True)]
    assert admin.delete(f"/v1/tenant/support/{made.json()['id']}").status_code == 204
    assert admin.delete(f"/v1/tenant/support/{made.json()['id']}").status_code == 404
    assert not admin.get("/v1/tenant/support").json()["items"][0]["open"]


def support_session(pg, trust, person):
    """A session of the operator, as far as the database is concerned."""
    import hashlib
    import secrets
    token = secrets.token_urlsafe(32)
    pg.query("INSERT INTO sessions (tenant_id, session_id, person_id, token_hash, expires_at, idle, methods)"
             " VALUES (%s, gen_random_uuid(), %s, %s, now() + interval '1 hour', '30 minutes', '{password,totp}')",
             (trust.id, person, hashlib.sha256(token.encode()).digest()))
    return token


def test_support_sees_administration_and_no_reads(trust, client, program, pg, operator, demo_cases):
    grant = let_in(client(trust["administrator"]), operator[0]).json()["id"]
    support = program(support_session(pg, trust, operator[1]))
    for path in ("/v1/tenant", "/v1/tenant/members", "/v1/audit", "/v1/tenant/support"):
        assert support.get(path).status_code == 200, path
    for method, path, body in (("POST", "/v1/reads", {"case": demo_cases[0].id}), ("POST", "/v1/tenant/tokens", {"name": "x"}),
                               ("POST", "/v1/tenant/support", {"operator": operator[0], "hours": 1, "reason": "more"})):
        reply = support.request(method, path, json=body)
        assert (reply.status_code, reply.json()["code"]) == (403, "role_required"), path
    assert support.delete(f"/v1/tenant/support/{grant}").status_code == 204
    assert support.get("/v1/tenant").status_code == 401


def test_support_that_ran_out_is_refused(trust, client, program, pg, operator):
    let_in(client(trust["administrator"]), operator[0])
    support = program(support_session(pg, trust, operator[1]))
    pg.query("UPDATE memberships SET until = now() WHERE tenant_id = %s AND person_id = %s", (trust.id, operator[1]))
    assert support.get("/v1/tenant").status_code == 401


def test_a_token_of_support_does_not_come_to_life_with_the_next_access(trust, client, program, pg, operator):
    admin = client(trust["administrator"])
    grant = let_in(admin, operator[0]).json()["id"]
    made = program(support_session(pg, trust, operator[1])).post("/v1/me/tokens", json={"name": "kept", "scopes": ["tenant:read"]})
    kept = program(made.json()["token"])
    assert kept.get("/v1/tenant").status_code == 200
    assert admin.delete(f"/v1/tenant/support/{grant}").status_code == 204
    assert kept.get("/v1/tenant").status_code == 401
    let_in(admin, operator[0])
    assert kept.get("/v1/tenant").status_code == 401


def test_only_operators_can_be_let_in_and_only_for_three_days(trust, client, operator):
    admin = client(trust["administrator"])
    refused = let_in(admin, trust["trainee"].email)
    assert (refused.status_code, refused.json()["field"]) == (422, "/operator")
    for hours in (0, 73):
        refused = let_in(admin, operator[0], hours=hours)
        assert (refused.status_code, refused.json()["field"]) == (422, "/hours")
    assert let_in(client(trust["trainee"]), operator[0]).status_code == 403


def test_an_operator_who_is_removed_is_out_of_every_tenant(server, trust, client, program, pg, operator):
    let_in(client(trust["administrator"]), operator[0])
    support = program(support_session(pg, trust, operator[1]))
    assert support.get("/v1/tenant").status_code == 200
    server.cli("operator", "remove", "--email", operator[0])
    assert support.get("/v1/tenant").status_code == 401
    refused = let_in(client(trust["administrator"]), operator[0])
    assert refused.status_code == 422


def test_an_operator_opens_support_at_the_command_line_and_the_tenant_sees_it(server, trust, client, operator):
    server.cli("support", "open", "--tenant", trust.slug, "--operator", operator[0], "--hours", "2", "--reason", "nobody can sign in")
    opened = client(trust["administrator"]).get("/v1/tenant/support").json()["items"][0]
    assert opened["granted_by"] is None and opened["reason"] == "nobody can sign in"
    wrong = server.cli("support", "open", "--tenant", "no-such", "--operator", operator[0], "--hours", "2", "--reason", "x", check=False)
    assert wrong.returncode == 1 and "tenant_not_found" in wrong.stderr


def test_an_operator_without_a_second_factor_must_enrol_one_first(server, trust, client, pg, operator):
    let_in(client(trust["administrator"]), operator[0])
    password = trust["trainee"].password
    pg.query("INSERT INTO passwords (person_id, phc) SELECT %s, phc FROM passwords WHERE person_id = %s",
             (operator[1], trust["trainee"].id))
    with server.client() as nobody:
        session = nobody.post("/v1/sessions", json={"email": operator[0], "password": password, "tenant": trust.slug}).json()
    assert session["stage"] == "enrolment"
    with server.client(session["token"]) as support:
        assert support.get("/v1/tenant").json()["code"] == "enrolment_required"
