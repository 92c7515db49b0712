"""Signing in and out: opaque sessions, cookie or bearer, idle and absolute expiry."""
import base64
import hashlib
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest
from support.reads import assert_problem, unknown_id


def sign_in(client, person, **body):
    return client.post("/v1/sessions", json={"email": person.email, "password": person.password,
                                             "tenant": person.tenant.slug, **body})


def test_a_person_signs_in_and_is_told_who_and_where_she_is(tenant, client):
    trust = tenant("trainee,educator")
    session = trust["trainee"].login()
    who = client(trust["trainee"]).get("/v1/session").json()
    assert session["token"] and "token" not in who
    assert who["person"]["email"] == trust["trainee"].email
    assert who["tenant"]["slug"] == trust.slug and who["roles"] == ["trainee", "educator"]


def test_the_tenant_need_not_be_named_by_who_has_only_one(tenant, client):
    person = tenant("trainee")["trainee"]
    reply = client().post("/v1/sessions", json={"email": person.email.upper(), "password": person.password})
    assert reply.status_code == 201


def test_who_belongs_to_two_tenants_must_say_which(tenant, client, server):
    trust, other = tenant("trainee"), tenant()
    person = trust["trainee"]
    other.add("trainee", email=person.email, name=person.name, password=person.password)
    reply = client().post("/v1/sessions", json={"email": person.email, "password": person.password})
    assert_problem(reply, 422, "tenant_required", "/tenant")


@pytest.mark.parametrize("change", [{"email": "nobody@example.org"}, {"password": "wrong horse battery staple"},
                                    {"tenant": "no-such-tenant"}])
def test_unknown_address_wrong_password_and_foreign_tenant_look_the_same(tenant, client, change):
    person = tenant("trainee")["trainee"]
    problem = assert_problem(sign_in(client(), person, **change), 401, "sign_in_failed")
    assert problem["detail"] == "The e-mail address, the password or the tenant is not right."


@pytest.mark.parametrize("body, field", [
    ({"password": "x"}, "/email"), ({"email": "a@b"}, "/password"), ({"email": 1, "password": "x"}, "/email"),
    ({"email": "a@b", "password": "x" * 2000}, "/password"), ({"email": "a@b", "password": "x", "extra": 1}, "/extra"),
    ({"email": "a@b", "password": "x", "cookie": "yes"}, "/cookie")])
def test_a_sign_in_with_a_wrong_field_names_it(client, body, field):
    assert_problem(client().post("/v1/sessions", json=body), 422, field=field)


def test_checklist_sessions_sign_out_ends_one_at_once(tenant, client):
    me = client(tenant("trainee")["trainee"])
    assert me.delete("/v1/session").status_code == 204
    assert_problem(me.get("/v1/session"), 401, "session_ended")


def test_checklist_sessions_are_listed_and_revoked_one_by_one(tenant, client):
    person = tenant("trainee")["trainee"]
    first = person.login()
    with_first = client(person)
    person.login()
    here = client(person)
    listed = here.get("/v1/sessions").json()["items"]
    assert {s["id"] for s in listed} >= {first["session"]} and sum(s["current"] for s in listed) == 1
    assert here.delete(f"/v1/sessions/{first['session']}").status_code == 204
    assert_problem(with_first.get("/v1/session"), 401, "session_ended")
    assert_problem(here.delete(f"/v1/sessions/{first['session']}"), 404, "session_not_found")


def test_checklist_sessions_all_others_are_ended_at_once_in_every_tenant(tenant, client, pg):
    trust, own = tenant("trainee", "trainee"), tenant(kind="individual")
    person, colleague = trust.people
    there = own.add("trainee", email=person.email, name=person.name, password=person.password)
    others = [client(person), client(there), client(colleague)]
    person.login()
    here = client(person)
    listed = here.get("/v1/sessions").json()["items"]
    assert sorted((s["tenant"]["slug"], s["current"]) for s in listed) == sorted([(trust.slug, False), (own.slug, False), (trust.slug, True)])
    assert here.delete("/v1/sessions").status_code == 204
    assert [one.get("/v1/session").status_code for one in others] == [401, 401, 200]
    assert [s["current"] for s in here.get("/v1/sessions").json()["items"]] == [True]
    ended = pg.query("SELECT tenant_id::text FROM audit_log WHERE person_id = %s AND action = 'session.ended' ORDER BY 1", (person.id,))
    assert ended == sorted([(trust.id,), (own.id,)])


def test_a_session_of_another_tenant_is_ended_from_here(tenant, client):
    trust, own = tenant("trainee"), tenant(kind="individual")
    person = trust["trainee"]
    there = own.add("trainee", email=person.email, name=person.name, password=person.password)
    away = client(there)
    session = away.get("/v1/session").json()["session"]
    assert client(person).delete(f"/v1/sessions/{session}").status_code == 204
    assert_problem(away.get("/v1/session"), 401, "session_ended")


def test_what_a_sign_on_service_opened_ends_sessions_of_its_tenant_only(tenant, client, pg):
    trust, own = tenant("trainee"), tenant(kind="individual")
    person = trust["trainee"]
    there = own.add("trainee", email=person.email, name=person.name, password=person.password)
    away, beside = client(there), client(person)
    session = away.get("/v1/session").json()["session"]
    made = person.login()["session"]
    pg.query("UPDATE sessions SET methods = '{single_sign_on}' WHERE session_id = %s", (made,))
    me = client(person)
    assert {s["tenant"]["slug"] for s in me.get("/v1/sessions").json()["items"]} == {trust.slug}
    assert_problem(me.delete(f"/v1/sessions/{session}"), 404, "session_not_found")
    assert me.delete("/v1/sessions").status_code == 204
    assert (away.get("/v1/session").status_code, beside.get("/v1/session").status_code) == (200, 401)


def test_nobody_revokes_another_persons_session(tenant, client):
    trust = tenant("trainee", "administrator")
    session = trust["trainee"].login()["session"]
    assert_problem(client(trust["administrator"]).delete(f"/v1/sessions/{session}"), 404, "session_not_found")
    assert client(trust["trainee"]).get("/v1/session").status_code == 200


def rest(pg, person, time):
    """As if the person had done nothing for so long."""
    pg.query("UPDATE sessions SET last_seen_at = last_seen_at - %s::interval WHERE person_id = %s", (time, person.id))


def test_checklist_sessions_end_when_idle(tenant, client, pg):
    person = tenant("trainee", options=("--session-idle", "10 minutes"))["trainee"]
    me = client(person)
    assert me.get("/v1/session").status_code == 200
    rest(pg, person, "10 minutes")
    assert_problem(me.get("/v1/session"), 401, "session_ended")


def test_checklist_sessions_in_use_end_at_their_absolute_limit(tenant, client):
    person = tenant("trainee", options=("--session-absolute", "2 seconds"))["trainee"]
    me = client(person)
    deadline = time.monotonic() + 30
    while (status := me.get("/v1/session").status_code) == 200 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert status == 401


def test_without_a_session_the_reply_says_how_to_get_one(client):
    problem = assert_problem(client().get("/v1/cases"), 401, "session_required")
    assert "POST /v1/sessions" in problem["detail"]


@pytest.mark.parametrize("header", ["Basic dGVzdDp0ZXN0", "Bearer", "Bearer nonsense", "Bearer " + "x" * 3000])
def test_a_token_that_is_none_is_refused(client, header):
    assert_problem(client().get("/v1/cases", headers={"Authorization": header}), 401)


def test_checklist_sessions_the_portals_cookie_is_httponly_and_samesite_and_the_reply_shows_no_token(tenant, client, server):
    person = tenant("trainee")["trainee"]
    browser = client()
    reply = sign_in(browser, person, cookie=True)
    assert reply.status_code == 201 and "token" not in reply.json()
    cookie = reply.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/" in cookie
    assert browser.get("/v1/session").json()["person"]["email"] == person.email


def test_checklist_browser_an_unsafe_request_with_the_cookie_needs_our_origin_and_header(tenant, client, server, demo_cases):
    browser = client()
    sign_in(browser, tenant("trainee")["trainee"], cookie=True)
    body = {"case": demo_cases[0].id}
    assert_problem(browser.post("/v1/reads", json=body), 403, "cross_origin")
    evil = {"Origin": "https://evil.example", "X-Overread": "1"}
    assert_problem(browser.post("/v1/reads", json=body, headers=evil), 403, "cross_origin")


def test_with_our_origin_and_header_the_cookie_is_as_good_as_a_token(tenant, server_with, demo_cases):
    person = tenant("trainee")["trainee"]
    with server_with(public_url="https://learn.example.org", cookie_secure="off").client() as browser:
        sign_in(browser, person, cookie=True)
        ours = {"Origin": "https://learn.example.org", "X-Overread": "1"}
        assert browser.post("/v1/reads", json={"case": demo_cases[0].id}, headers=ours).status_code == 201


def test_checklist_sessions_behind_tls_the_cookie_is_host_bound_and_secure(tenant, server_with):
    person = tenant("trainee")["trainee"]
    with server_with(cookie_secure="on").client() as browser:
        cookie = sign_in(browser, person, cookie=True).headers["set-cookie"]
        assert cookie.startswith("__Host-overread=") and "Secure" in cookie


def test_a_suspended_tenant_is_refused_at_once_and_let_in_again(tenant, client, server):
    trust = tenant("trainee")
    me = client(trust["trainee"])
    assert me.get("/v1/session").status_code == 200
    server.cli("tenant", "suspend", trust.slug)
    assert_problem(me.get("/v1/session"), 403, "tenant_suspended")
    assert_problem(sign_in(client(), trust["trainee"]), 403, "tenant_suspended")
    server.cli("tenant", "resume", trust.slug)
    assert me.get("/v1/session").status_code == 200


def test_checklist_sessions_tokens_and_passwords_are_never_stored_or_logged(tenant, client, server, pg):
    person = tenant("trainee")["trainee"]
    client(person).get("/v1/session")
    hashes = pg.query("SELECT phc FROM passwords WHERE person_id = %s", (person.id,))
    assert hashes[0][0].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    log = "\n".join(server.lines)
    assert person.token not in log and person.password not in log and person.email not in log


HASHING = 15


def busy(pid):
    """Ticks of the processor that a process has used, in {niceness: ticks} of its threads."""
    used = {}
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        fields = stat.read_text().rsplit(")", 1)[1].split()  # from field 3 of proc(5) on
        used[int(fields[16])] = used.get(int(fields[16]), 0) + int(fields[11])
    return used


def test_checklist_passwords_are_hashed_beside_the_event_loop(server_with):
    """The threads that hash have a niceness of their own (PASSWORD_NICENESS in cli/serve.c); the work must be theirs."""
    if os.nice(0) >= HASHING:
        pytest.skip("the tests themselves run at that niceness, or above")
    crowd = server_with(threads=1)
    before = busy(crowd.pid)
    with crowd.client() as http:
        for n in range(40):
            reply = http.post("/v1/sessions", json={"email": f"nobody-{n}@example.org", "password": "surely not the password"},
                              headers={"X-Forwarded-For": f"192.0.2.{n}"})
            assert_problem(reply, 401, "sign_in_failed")
    spent = {nice: ticks - before.get(nice, 0) for nice, ticks in busy(crowd.pid).items()}
    assert spent[HASHING] > 2 * sum(ticks for nice, ticks in spent.items() if nice != HASHING), spent


def test_checklist_passwords_a_weaker_hash_is_renewed_at_the_next_sign_in(tenant, pg):
    person = tenant("trainee")["trainee"]
    person.login()
    weak = subprocess.run(["argon2", "somesaltsomesalt", "-id", "-t", "1", "-k", "4096", "-p", "1", "-e"],
                          input=person.password, capture_output=True, text=True, check=True).stdout.strip()
    pg.query("UPDATE passwords SET phc = %s WHERE person_id = %s", (weak, person.id))
    person.login()
    renewed = pg.query("SELECT phc FROM passwords WHERE person_id = %s", (person.id,))[0][0]
    assert renewed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_a_short_password_is_refused_at_the_command_line(tenant, server):
    trust = tenant()
    result = server.cli("person", "add", "--tenant", trust.slug, "--email", "short@example.org", "--name", "S",
                        "--role", "trainee", "--password-stdin", stdin="short\n", check=False)
    assert result.returncode == 1 and "password_too_short" in result.stderr


def test_an_unknown_role_is_refused_at_the_command_line(tenant, server):
    trust = tenant()
    result = server.cli("person", "add", "--tenant", trust.slug, "--email", "r@example.org", "--name", "R",
                        "--role", "emperor", check=False)
    assert result.returncode == 1 and result.stderr


def test_the_session_of_an_unknown_id_is_not_found(tenant, client):
    me = client(tenant("trainee")["trainee"])
    assert_problem(me.delete(f"/v1/sessions/{unknown_id()}"), 404, "session_not_found")
    assert_problem(me.delete("/v1/sessions/not-an-id"), 404, "session_not_found")


def test_a_session_in_use_does_not_end_as_idle(tenant, client, pg):
    person = tenant("trainee", options=("--session-idle", "10 minutes"))["trainee"]
    me = client(person)
    for _ in range(4):
        assert me.get("/v1/session").status_code == 200
        rest(pg, person, "6 minutes")


def test_a_new_password_ends_the_sessions_of_the_old_one(tenant, client, server):
    trust = tenant("trainee")
    person = trust["trainee"]
    me = client(person)
    assert me.get("/v1/session").status_code == 200
    server.cli("person", "add", "--tenant", trust.slug, "--email", person.email, "--name", person.name, "--role", "trainee",
               "--password-stdin", stdin="another horse battery staple\n")
    assert_problem(me.get("/v1/session"), 401, "session_ended")


def test_a_password_that_an_operator_sets_is_on_the_tenants_record(tenant, client, server):
    trust = tenant("administrator", "trainee")
    person = trust["trainee"]
    made = client(person).post("/v1/me/tokens", json={"name": "t", "scopes": ["cases:read"]}).json()
    server.cli("person", "add", "--tenant", trust.slug, "--email", person.email, "--name", person.name, "--role", "trainee",
               "--password-stdin", stdin="another horse battery staple\n")
    told = [(e["action"], e["person"], e["subject"]) for e in client(trust["administrator"]).get("/v1/audit").json()["items"]]
    assert ("password.set", None, person.id) in told
    with server.client(made["token"]) as program:
        assert_problem(program.get("/v1/cases"), 401, "session_ended")


def test_two_who_sign_in_at_once_with_a_weaker_hash_both_come_in(tenant, pg):
    person = tenant("trainee")["trainee"]
    for _ in range(3):
        weak = subprocess.run(["argon2", "somesaltsomesalt", "-id", "-t", "1", "-k", "4096", "-p", "1", "-e"],
                              input=person.password, capture_output=True, text=True, check=True).stdout.strip()
        pg.query("UPDATE passwords SET phc = %s WHERE person_id = %s", (weak, person.id))
        opened = []
        threads = [threading.Thread(target=lambda: opened.append(person.login())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(opened) == 4


def test_checklist_sessions_a_token_has_256_bits_and_every_sign_in_a_new_one(tenant, pg):
    person = tenant("trainee")["trainee"]
    tokens = [person.login()["token"] for _ in range(8)]
    raw = [base64.urlsafe_b64decode(token + "=") for token in tokens]
    assert {len(one) for one in raw} == {32} and len(set(raw)) == 8
    ones = sum(bin(byte).count("1") for one in raw for byte in one)
    assert 888 < ones < 1160  # of 2048: 1024, give or take six standard deviations
    stored = {row[0] for row in pg.query("SELECT encode(token_hash, 'hex') FROM sessions WHERE person_id = %s", (person.id,))}
    assert stored == {hashlib.sha256(token.encode()).hexdigest() for token in tokens}


def test_an_operator_disables_a_person_and_nothing_of_theirs_is_open(tenant, client, server, pg):
    trust = tenant("administrator", "trainee")
    person = trust["trainee"]
    me = client(person)
    made = me.post("/v1/me/tokens", json={"name": "t", "scopes": ["cases:read"]}).json()
    server.cli("person", "disable", "--email", person.email.upper())
    with server.client(made["token"]) as program:
        for reply in (me.get("/v1/session"), program.get("/v1/cases")):
            assert_problem(reply, 401, "session_ended")
        assert_problem(sign_in(client(), person), 401, "sign_in_failed")
        server.cli("person", "enable", "--email", person.email)
        for reply in (me.get("/v1/session"), program.get("/v1/cases")):
            assert_problem(reply, 401, "session_ended")
    assert sign_in(client(), person).status_code == 201
    told = [(e["action"], e["person"]) for e in client(trust["administrator"]).get("/v1/audit").json()["items"] if e["subject"] == person.id]
    assert ("person.disabled", None) in told and ("person.enabled", None) in told


def test_nobody_is_enabled_who_was_erased(tenant, server):
    person = tenant("trainee")["trainee"]
    server.cli("person", "erase", "--email", person.email, "--yes")
    for email in (person.email, f"erased-{person.id}@erased.invalid"):
        refused = server.cli("person", "enable", "--email", email, check=False)
        assert refused.returncode == 1 and "person_not_found" in refused.stderr


def test_a_failed_sign_in_is_logged_by_the_persons_id(tenant, client, server):
    person, mark = tenant("trainee")["trainee"], len(server.lines)
    assert_problem(sign_in(client(), person, password="surely not the password"), 401)
    assert server.wait_event("sign_in_failed", first=mark)["person"] == person.id
    assert person.email not in "\n".join(server.lines[mark:])


def test_checklist_sessions_of_a_disabled_person_end_at_once(tenant, client, pg):
    person = tenant("trainee")["trainee"]
    me = client(person)
    assert me.get("/v1/session").status_code == 200
    pg.query("UPDATE people SET disabled_at = now() WHERE person_id = %s", (person.id,))
    assert_problem(me.get("/v1/session"), 401, "session_ended")
    assert_problem(sign_in(client(), person), 401, "sign_in_failed")
