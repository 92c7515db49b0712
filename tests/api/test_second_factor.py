"""Authenticator apps and recovery codes, with oathtool as the app."""
import subprocess
import time

import pytest

from support.accounts import somewhere, stretch


def code_of(secret, offset=0):
    """The app's code now, or some steps of 30 seconds off. One of now is good for half a minute at least: the next step is
    still taken for it."""
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time.time() + 30 * offset))
    return subprocess.run(["oathtool", "--totp", "--base32", f"--now={when}", secret], check=True, capture_output=True,
                          text=True).stdout.strip()


def enrol(http):
    """Adds an app: its secret, and the reply to its first code."""
    secret = http.post("/v1/me/totp").json()["secret"]
    confirmed = http.post("/v1/me/totp/confirmation", json={"code": code_of(secret)})
    assert confirmed.status_code == 201, confirmed.text
    return secret, confirmed.json()


@pytest.fixture
def trust(tenant):
    return tenant("administrator", "trainee")


@pytest.fixture
def armed(server, trust, pg):
    """A trainee who has an app: .secret, .codes (recovery). As if it had been added in the step before: each code works once,
    and nobody is to wait for the next."""
    person = trust["trainee"]
    with server.client(person.token) as http:
        person.secret, reply = enrol(http)
    pg.query("UPDATE totp SET last_step = last_step - 1 WHERE person_id = %s", (person.id,))
    person.codes = reply["recovery_codes"]
    return person


def pending(server, person):
    """A session of which only the password was shown."""
    session = person.login()
    assert session["stage"] == "second_factor"
    return session, server.client(session["token"])


def test_an_app_is_added_with_its_first_code_and_the_session_goes_on_under_a_new_token(server, trust, client):
    http = client(trust["trainee"])
    begun = http.post("/v1/me/totp")
    assert begun.status_code == 201
    offer = begun.json()
    assert offer["uri"].startswith("otpauth://totp/Overread:") and offer["secret"] in offer["uri"]
    assert offer["qr_svg"].startswith("<svg ")
    assert http.get("/v1/me/second-factors").json()["totp"] is None, "not before a code was shown"
    confirmed = http.post("/v1/me/totp/confirmation", json={"code": code_of(offer["secret"])}).json()
    assert confirmed["stage"] == "full" and confirmed["methods"] == ["password", "totp"]
    assert len(set(confirmed["recovery_codes"])) == 10
    assert http.get("/v1/session").status_code == 401, "the old token is void"
    with server.client(confirmed["token"]) as moved:
        factors = moved.get("/v1/me/second-factors").json()
    assert factors["totp"] and factors["recovery_codes_left"] == 10 and not factors["required"]


def test_the_qr_code_says_the_uri(trust, client, tmp_path):
    import shutil
    if not (shutil.which("zbarimg") and shutil.which("rsvg-convert")):
        pytest.skip("zbarimg and rsvg-convert are not here to read it")
    offer = client(trust["trainee"]).post("/v1/me/totp").json()
    svg, png = tmp_path / "qr.svg", tmp_path / "qr.png"
    svg.write_text(offer["qr_svg"])
    subprocess.run(["rsvg-convert", "-w", "400", svg, "-o", png], check=True)
    read = subprocess.run(["zbarimg", "-q", "--raw", png], check=True, capture_output=True, text=True).stdout.strip()
    assert read == offer["uri"]


def test_with_an_app_the_password_alone_reaches_nothing(server, armed, trust):
    session, http = pending(server, armed)
    assert session["second_factors"] == ["recovery_code", "totp"]
    for method, path in (("GET", "/v1/cases"), ("GET", "/v1/tenant"), ("GET", "/v1/sessions"), ("POST", "/v1/me/tokens"),
                         ("DELETE", "/v1/me/totp"), ("POST", "/v1/me/recovery-codes")):
        body = {"json": {"name": "x", "scopes": ["cases:read"]}} if path.endswith("tokens") else {}
        reply = http.request(method, path, **body)
        assert (reply.status_code, reply.json()["code"]) == (403, "second_factor_required"), path
    for path in ("/v1/me/totp", "/v1/me/totp/confirmation"):
        body = {"json": {"code": "123456"}} if path.endswith("confirmation") else {}
        assert http.post(path, **body).json()["code"] == "second_factor_required", path


def test_the_code_opens_the_rest_under_a_new_token(server, armed):
    session, http = pending(server, armed)
    done = http.post("/v1/session/totp", json={"code": code_of(armed.secret)})
    assert done.status_code == 200, done.text
    assert done.json()["stage"] == "full" and done.json()["token"] != session["token"]
    assert http.get("/v1/session").status_code == 401
    with server.client(done.json()["token"]) as full:
        assert full.get("/v1/cases").status_code == 200


def test_checklist_second_factor_a_code_works_once(server, armed):
    code, earlier = code_of(armed.secret), code_of(armed.secret, -1)
    _, first = pending(server, armed)
    _, second = pending(server, armed)
    assert first.post("/v1/session/totp", json={"code": code}).status_code == 200
    again = second.post("/v1/session/totp", json={"code": code})
    assert (again.status_code, again.json()["code"]) == (422, "code_wrong")
    before = second.post("/v1/session/totp", json={"code": earlier})
    assert before.status_code == 422, "nor does the one before it any more"


def test_two_at_once_with_one_code_are_one(server, armed):
    import threading
    code, sessions = code_of(armed.secret), [pending(server, armed)[1] for _ in range(6)]
    results = []
    threads = [threading.Thread(target=lambda h=h: results.append(h.post("/v1/session/totp", json={"code": code}).status_code))
               for h in sessions[:4]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results).count(200) == 1, results


@pytest.mark.parametrize("code", ["000000", "12345", "1234567", "abcdef", "", "１２３４５６"])
def test_a_wrong_code_is_refused_at_its_field(server, armed, code):
    _, http = pending(server, armed)
    reply = http.post("/v1/session/totp", json={"code": code})
    assert (reply.status_code, reply.json()["field"]) == (422, "/code")


def test_checklist_second_factor_codes_cannot_be_guessed_fast(server, pg, armed):
    _, http = pending(server, armed)
    statuses = []
    for n in range(12):
        statuses.append(http.post("/v1/session/totp", json={"code": f"{n:06}"}).status_code)
        stretch(pg)
    assert 429 in statuses
    slow = http.post("/v1/session/totp", json={"code": code_of(armed.secret)})
    assert slow.status_code == 429 and int(slow.headers["retry-after"]) >= 1
    _, other = pending(server, armed)
    assert other.post("/v1/session/totp", json={"code": "123456"}).status_code == 429, "a new session is the same person"


def test_checklist_second_factor_recovery_codes_are_single_use_and_stored_hashed(server, pg, armed):
    code = armed.codes[0]
    stored = pg.query("SELECT encode(code_hash, 'hex') FROM recovery_codes WHERE person_id = %s", (armed.id,))
    assert len(stored) == 10 and not any(code.replace("-", "") in row[0] for row in stored)
    _, http = pending(server, armed)
    used = http.post("/v1/session/recovery-code", json={"code": code.lower().replace("-", " ")})
    assert used.status_code == 200 and used.json()["methods"] == ["password", "recovery_code"]
    _, other = pending(server, armed)
    again = other.post("/v1/session/recovery-code", json={"code": code})
    assert (again.status_code, again.json()["code"]) == (422, "code_wrong")
    with server.client(used.json()["token"]) as full:
        assert full.get("/v1/me/second-factors").json()["recovery_codes_left"] == 9
        renewed = full.post("/v1/me/recovery-codes").json()["recovery_codes"]
    assert len(renewed) == 10 and not set(renewed) & set(armed.codes)
    assert other.post("/v1/session/recovery-code", json={"code": armed.codes[1]}).status_code == 422
    assert other.post("/v1/session/recovery-code", json={"code": renewed[1]}).status_code == 200


def test_checklist_second_factor_the_seed_is_encrypted_at_rest(pg, armed):
    import base64
    sealed = pg.query("SELECT seed FROM totp WHERE person_id = %s", (armed.id,))[0][0]
    seed = base64.b32decode(armed.secret)
    assert seed not in base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4)) and armed.secret not in sealed


def test_a_seed_of_somebody_else_does_not_open(server, pg, armed, trust):
    other = trust.add("trainee")
    with server.client(other.token) as http:
        enrol(http)
    pg.query("UPDATE totp SET seed = (SELECT seed FROM totp WHERE person_id = %s) WHERE person_id = %s", (armed.id, other.id))
    _, http = pending(server, other)
    assert http.post("/v1/session/totp", json={"code": code_of(armed.secret)}).status_code == 503


def test_without_the_operators_key_no_app_can_be_added(server_with, trust):
    bare = server_with(secret_key="")
    with bare.client(trust["trainee"].token) as http:
        reply = http.post("/v1/me/totp")
    assert (reply.status_code, reply.json()["code"]) == (503, "secret_key_missing")


def test_a_key_that_was_renewed_opens_old_secrets_and_seals_new_ones(server, server_with, armed, tmp_path):
    import secrets
    from pathlib import Path
    old = Path(server.config["secret_key"]).read_text()
    keys = tmp_path / "keys"
    keys.write_text(secrets.token_hex(32) + "\n" + old)
    renewed = server_with(secret_key=keys)
    session = armed.login()
    with renewed.client(session["token"]) as http:
        assert http.post("/v1/session/totp", json={"code": code_of(armed.secret)}).status_code == 200


def test_checklist_second_factor_a_tenant_can_require_it(server, pg, trust):
    pg.query("UPDATE tenants SET second_factor = 'required' WHERE tenant_id = %s", (trust.id,))
    session = trust["trainee"].login()
    assert session["stage"] == "enrolment"
    with server.client(session["token"]) as http:
        refused = http.get("/v1/cases")
        assert (refused.status_code, refused.json()["code"]) == (403, "enrolment_required")
        _, confirmed = enrol(http)
    assert confirmed["stage"] == "full"
    with server.client(confirmed["token"]) as http:
        assert http.get("/v1/cases").status_code == 200
        removed = http.delete("/v1/me/totp")
        assert (removed.status_code, removed.json()["code"]) == (409, "second_factor_required")


def test_where_it_is_required_from_now_on_programs_of_who_has_none_end(server, pg, trust, armed, client):
    """A token that was made without a second factor is no way around it."""
    plain = trust.add("trainee")
    _, http = pending(server, armed)
    full = http.post("/v1/session/totp", json={"code": code_of(armed.secret)}).json()
    tokens = {}
    for name, token in (("plain", plain.token), ("armed", full["token"])):
        with server.client(token) as mine:
            tokens[name] = mine.post("/v1/me/tokens", json={"name": "t", "scopes": ["cases:read"]}).json()["token"]
    assert client(trust["administrator"]).patch("/v1/tenant", json={"second_factor": "required"}).status_code == 200
    for name, status in (("plain", 401), ("armed", 200)):
        with server.client(tokens[name]) as program:
            assert program.get("/v1/cases").status_code == status, name
    assert pg.query("SELECT detail->>'reason' FROM audit_log WHERE tenant_id = %s AND action = 'token.revoked'", (trust.id,)) == [
        ("second_factor_required",)]


def test_a_session_that_was_to_enrol_adds_nothing_beside_a_factor_that_came_first(server, pg, trust):
    """Somebody else knows the password, and waits at the step of enrolling until the person has enrolled."""
    pg.query("UPDATE tenants SET second_factor = 'required' WHERE tenant_id = %s", (trust.id,))
    waiting, own = trust["trainee"].login(), trust["trainee"].login()
    with server.client(waiting["token"]) as thief, server.client(own["token"]) as http:
        assert thief.post("/v1/me/passkeys/options").status_code in (200, 201)
        enrol(http)
        assert thief.get("/v1/session").json()["stage"] == "second_factor"
        for path in ("/v1/me/totp", "/v1/me/passkeys/options"):
            refused = thief.post(path)
            assert (refused.status_code, refused.json()["code"]) == (403, "second_factor_required"), path


def test_removing_the_app_removes_the_recovery_codes_and_the_second_step(server, pg, armed):
    _, http = pending(server, armed)
    done = http.post("/v1/session/totp", json={"code": code_of(armed.secret)}).json()
    with server.client(done["token"]) as full:
        assert full.delete("/v1/me/totp").status_code == 204
        assert full.delete("/v1/me/totp").status_code == 404
    assert pg.query("SELECT count(*) FROM recovery_codes WHERE person_id = %s", (armed.id,)) == [(0,)]
    assert armed.login()["stage"] == "full"


def test_checklist_passwords_of_eight_characters_stand_beside_a_second_factor_only(server, armed):
    short, long = "vq8!Kz2x", "four words nobody guesses"
    _, http = pending(server, armed)
    full = http.post("/v1/session/totp", json={"code": code_of(armed.secret)}).json()
    with server.client(full["token"]) as http:
        refused = http.put("/v1/me/password", json={"current": armed.password, "password": short[:7]})
        assert (refused.status_code, refused.json()["code"]) == (422, "password_too_short")
        changed = http.put("/v1/me/password", json={"current": armed.password, "password": short})
        assert changed.status_code == 200, changed.text
    with server.client(changed.json()["token"]) as http:
        refused = http.delete("/v1/me/totp")
        assert (refused.status_code, refused.json()["code"]) == (409, "password_too_short")
        assert http.get("/v1/me/second-factors").json()["totp"] is not None
        changed = http.put("/v1/me/password", json={"current": short, "password": long})
        assert changed.status_code == 200, changed.text
    with server.client(changed.json()["token"]) as http:
        assert http.delete("/v1/me/totp").status_code == 204
        refused = http.put("/v1/me/password", json={"current": long, "password": short})
        assert (refused.status_code, refused.json()["code"]) == (422, "password_too_short")


def test_a_short_password_is_refused_whose_second_factor_has_gone_meanwhile(pg, trust):
    """Judged with a second factor, kept without: the database looks again."""
    with pytest.raises(Exception, match="password_too_short"):
        pg.query("SELECT become(%s, %s, NULL, '{}'); SELECT password_change(phc, 'x', true, repeat('0', 64)) FROM passwords"
                 " WHERE person_id = %s", (trust.id, trust["trainee"].id, trust["trainee"].id))


def test_checklist_passwords_a_reset_leaves_the_second_factor_to_be_shown(server, armed, client, mailbox):
    asked = client().post("/v1/password-resets", json={"email": armed.email}, headers=somewhere())
    assert asked.status_code == 202
    while (mail := mailbox.wait(armed.email)).page != "reset":
        pass
    armed.password = "eight violet kettles in a lift"
    done = client().post("/v1/password-resets/completion", headers=somewhere(), json={"token": mail.token, "password": armed.password})
    assert done.status_code == 204, done.text
    _, http = pending(server, armed)
    refused = http.get("/v1/cases")
    assert (refused.status_code, refused.json()["code"]) == (403, "second_factor_required")


def test_an_old_session_may_not_change_second_factors(pg, trust, client):
    http = client(trust["trainee"])
    assert http.post("/v1/me/totp").status_code == 201
    pg.query("UPDATE sessions SET created_at = now() - interval '16 minutes' WHERE person_id = %s", (trust["trainee"].id,))
    reply = http.post("/v1/me/totp")
    assert (reply.status_code, reply.json()["code"]) == (403, "sign_in_again")


def test_a_second_app_is_refused_while_there_is_one(server, armed):
    _, http = pending(server, armed)
    done = http.post("/v1/session/totp", json={"code": code_of(armed.secret)}).json()
    with server.client(done["token"]) as full:
        reply = full.post("/v1/me/totp")
    assert (reply.status_code, reply.json()["code"]) == (409, "totp_exists")


def test_the_person_is_told_by_mail_and_the_tenant_by_its_record(server, armed, trust, client, mailbox):
    assert "authenticator app was added" in mailbox.wait(armed.email).text
    actions = [e["action"] for e in client(trust["administrator"]).get("/v1/audit").json()["items"]]
    assert "second_factor.added" in actions


def test_in_a_cookie_session_the_new_token_is_a_cookie_and_never_shown(server_with, armed):
    origin = {"Origin": "https://learn.example.org", "X-Overread": "1"}
    with server_with(public_url="https://learn.example.org", cookie_secure="off").client() as browser:
        opened = browser.post("/v1/sessions", json={"email": armed.email, "password": armed.password, "cookie": True,
                                                    "tenant": armed.tenant.slug})
        assert opened.json()["stage"] == "second_factor" and "token" not in opened.json()
        before = browser.cookies["overread"]
        done = browser.post("/v1/session/totp", json={"code": code_of(armed.secret)}, headers=origin)
        assert done.status_code == 200 and "token" not in done.json()
        assert browser.cookies["overread"] != before
        seen = browser.get("/v1/cases")
        assert seen.status_code == 200, seen.text
