"""Accounts: signing up, passwords, one's name and address. Tests named test_checklist_passwords_... are the lines of the
security checklist."""
import base64
import secrets
import threading
import time

import pytest

from support.accounts import account, address, mails_to, password, sign_in, sign_up, somewhere, token_of
from support.reads import assert_problem

pytestmark = pytest.mark.usefixtures("held_mail")


@pytest.fixture
def http(client):
    return client(headers=somewhere())


@pytest.fixture
def me(http, pg, server):
    """Somebody who has signed up: .email, .password, .http (signed in)."""
    class Me:
        email, password, made = account(http, pg)

        def sign_in(self):
            reply = sign_in(http, self.email, self.password)
            assert reply.status_code == 201, reply.text
            return server.client(reply.json()["token"], headers=somewhere())

    one = Me()
    with one.sign_in() as one.http:
        yield one


def reset_token(http, pg, email):
    assert http.post("/v1/password-resets", json={"email": email}, headers=somewhere()).status_code == 202
    return token_of(pg, email, "password_reset")


def complete(http, token, word):
    return http.post("/v1/password-resets/completion", json={"token": token, "password": word}, headers=somewhere())


# --- Signing up -----------------------------------------------------------------------------------------------------

def test_who_signs_up_gets_a_personal_tenant_and_reads_as_a_trainee(http, pg, server):
    email, word, made = account(http, pg, name="Ása Þórðardóttir")
    assert made["kind"] == "account" and made["password_set"] is True
    session = sign_in(http, email, word).json()
    assert session["stage"] == "full" and session["roles"] == ["trainee"]
    assert session["person"] == {"id": made["person"], "name": "Ása Þórðardóttir", "email": email}
    assert session["tenant"]["kind"] == "individual" and session["tenant"]["slug"] == made["tenant"]
    with server.client(session["token"]) as mine:
        assert mine.get("/v1/cases").status_code == 200
        assert mine.get("/v1/me").json()["email_verified_at"] is not None


def test_before_the_link_is_followed_there_is_nobody(http, pg):
    email, word = address(), password()
    assert sign_up(http, email, word).status_code == 202
    assert pg.query("SELECT FROM people WHERE email = %s", (email,)) == []
    assert_problem(sign_in(http, email, word), 401, "sign_in_failed")


def test_the_slug_of_a_personal_tenant_says_nothing_of_the_person(http, pg):
    email, _, made = account(http, pg, name="Wolmar")
    assert "wolmar" not in made["tenant"] and email.split("@")[0] not in made["tenant"] and len(made["tenant"]) == 22


def test_a_link_works_once(http, pg):
    email = address()
    sign_up(http, email)
    token = token_of(pg, email, "account")
    assert http.post("/v1/accounts/verification", json={"token": token}).status_code == 201
    assert_problem(http.post("/v1/accounts/verification", json={"token": token}), 410, "link_expired", "/token")


def test_a_link_that_has_expired_or_never_was_is_refused_in_one_voice(http, pg):
    email = address()
    sign_up(http, email)
    token = token_of(pg, email, "account")
    pg.query("UPDATE tickets SET expires_at = now() - interval '1 second' WHERE email = %s", (email,))
    expired = assert_problem(http.post("/v1/accounts/verification", json={"token": token}), 410, "link_expired")
    never = assert_problem(http.post("/v1/accounts/verification", json={"token": secrets.token_urlsafe(32)}), 410, "link_expired")
    assert expired["detail"] == never["detail"]


def test_a_link_of_another_kind_opens_nothing(http, pg, me):
    token = reset_token(http, pg, me.email)
    assert_problem(http.post("/v1/accounts/verification", json={"token": token}), 410, "link_expired")
    assert complete(http, token, password()).status_code == 204


def test_who_signs_up_anothers_address_does_not_choose_its_password(http, pg):
    """A stranger signs up the victim's address around the time when the victim does: neither password is taken, whichever
    link is followed; the victim chooses one by mail."""
    for first, second in (("stranger's kettle of fish", "my own blue rice cooker"), ("my own blue rice cooker", "stranger's kettle of fish")):
        email = address()
        sign_up(http, email, first)
        sign_up(http, email, second)
        made = http.post("/v1/accounts/verification", json={"token": token_of(pg, email, "account")}).json()
        assert made["password_set"] is False
        for word in (first, second):
            assert_problem(sign_in(http, email, word), 401, "sign_in_failed")
        assert complete(http, token_of(pg, email, "password_reset"), "chosen by who reads the mail").status_code == 204
        assert sign_in(http, email, "chosen by who reads the mail").status_code == 201


@pytest.mark.parametrize("shown", ({}, {"password": "what the victim would rather"}))
def test_a_stranger_who_signed_up_anothers_address_does_not_wait_in_the_account(http, pg, shown):
    """Alone, and the victim follows the link: the stranger's password opens nothing."""
    email, stranger = address(), password()
    sign_up(http, email, stranger)
    made = http.post("/v1/accounts/verification", json={"token": token_of(pg, email, "account"), **shown})
    assert (made.status_code, made.json()["password_set"]) == (201, False)
    for word in (stranger, *shown.values()):
        assert_problem(sign_in(http, email, word), 401, "sign_in_failed")
    assert complete(http, token_of(pg, email, "password_reset"), "chosen by who reads the mail").status_code == 204
    assert sign_in(http, email, "chosen by who reads the mail").status_code == 201


def test_an_address_that_got_an_account_meanwhile_is_not_taken_twice(http, pg, server, tenant):
    email = address()
    sign_up(http, email)
    token = token_of(pg, email, "account")
    tenant().add("trainee", email=email)
    assert_problem(http.post("/v1/accounts/verification", json={"token": token}), 409, "account_exists")


def test_one_mailbox_is_one_account_however_it_is_written(http, pg):
    local = f"anna-{secrets.token_hex(4)}"
    word = password()
    sign_up(http, f"{local}@bücher.example", word)
    token = token_of(pg, f"{local}@xn--bcher-kva.example", "account")
    assert http.post("/v1/accounts/verification", json={"token": token, "password": word}).status_code == 201
    stored = pg.query("SELECT email FROM people WHERE email LIKE %s", (local + "%",))
    assert stored == [(f"{local}@xn--bcher-kva.example",)]
    for same in (f"{local}@xn--bcher-kva.example", f"{local.upper()}@BÜCHER.example"):
        assert sign_in(http, same, word).status_code == 201
        sign_up(http, same)
        assert mails_to(pg, f"{local}@xn--bcher-kva.example")[-1] == "account_exists"


@pytest.mark.parametrize("change, field", [
    ({"email": "anna"}, "/email"), ({"email": "anna@x"}, "/email"), ({"email": "a\r\nBcc: b@x.org@x.org"}, "/email"),
    ({"email": "a" * 65 + "@example.org"}, "/email"), ({"email": 7}, "/email"), ({"email": None}, "/email"),
    ({"name": ""}, "/name"), ({"name": "   "}, "/name"), ({"name": "A\nB"}, "/name"), ({"name": "x" * 201}, "/name"),
    ({"password": "short"}, "/password"), ({"password": "violet kettle " * 80}, "/password"), ({"more": 1}, "/more")])
def test_a_sign_up_with_a_bad_field_is_refused_and_the_field_named(http, change, field):
    body = {"email": address(), "name": "Anna", "password": password(), **change}
    assert_problem(http.post("/v1/accounts", json=body), 422, field=field)


@pytest.mark.parametrize("path, fields", [
    ("/v1/accounts", ("email", "name", "password")), ("/v1/accounts/verification", ("token",)),
    ("/v1/password-resets", ("email",)), ("/v1/password-resets/completion", ("token", "password"))])
def test_every_field_is_needed_and_bodies_are_bounded(http, path, fields):
    good = {"email": address(), "name": "Anna", "password": password(), "token": "x" * 43}
    for missing in fields:
        body = {name: good[name] for name in fields if name != missing}
        assert_problem(http.post(path, json=body), 422, field="/" + missing)
    assert_problem(http.post(path, content=b"{", headers={"Content-Type": "application/json"}), 400)
    assert_problem(http.post(path, content=b"x=1", headers={"Content-Type": "application/x-www-form-urlencoded"}), 415)
    assert_problem(http.post(path, json={"email": "x" * 20000}), 413)


# --- Enumeration ----------------------------------------------------------------------------------------------------

def reply_without_ids(reply):
    headers = {name: value for name, value in reply.headers.items() if name not in ("date", "x-request-id", "traceparent")}
    return reply.status_code, reply.content, headers


@pytest.mark.parametrize("path", ["/v1/accounts", "/v1/password-resets"])
def test_checklist_enumeration_register_and_forgot_answer_alike(http, pg, me, path):
    def ask(email):
        body = {"email": email, **({"name": "Anna", "password": password()} if path == "/v1/accounts" else {})}
        return reply_without_ids(http.post(path, json=body, headers=somewhere()))
    unknown = address()
    assert ask(unknown) == ask(me.email)
    assert ask(unknown)[0] == 202


def test_checklist_enumeration_only_the_mailbox_learns_who_has_an_account(http, pg, me):
    unknown = address()
    before = mails_to(pg, me.email)
    sign_up(http, me.email)
    sign_up(http, unknown)
    assert mails_to(pg, me.email) == before + ["account_exists"]
    assert mails_to(pg, unknown) == ["account"]
    stranger = address()
    http.post("/v1/password-resets", json={"email": stranger}, headers=somewhere())
    assert mails_to(pg, stranger) == []
    http.post("/v1/password-resets", json={"email": me.email}, headers=somewhere())
    assert mails_to(pg, me.email)[-1] == "password_reset"


def test_checklist_enumeration_register_and_forgot_do_the_same_work(http, pg, me):
    """As many rows are written for the one as for the other."""
    def rows():
        return pg.query("SELECT (SELECT count(*) FROM tickets), (SELECT count(*) FROM jobs WHERE kind = 'mail')")[0]

    def written(ask):
        before = rows()
        ask()
        return tuple(b - a for a, b in zip(before, rows()))
    for ask in (lambda email: sign_up(http, email), lambda email: http.post("/v1/password-resets", json={"email": email})):
        assert written(lambda: ask(me.email)) == written(lambda: ask(address()))


def test_checklist_enumeration_unknown_wrong_and_disabled_answer_alike(http, pg, me):
    def ask(email):
        reply = sign_in(http, email, "not the password at all")
        body = {name: value for name, value in reply.json().items() if name != "request_id"}
        return reply.status_code, body, reply_without_ids(reply)[2]
    wrong, unknown = ask(me.email), ask(address())
    pg.query("UPDATE people SET disabled_at = now() WHERE email = %s", (me.email,))
    reply = sign_in(http, me.email, me.password)
    disabled = reply.status_code, {n: v for n, v in reply.json().items() if n != "request_id"}
    assert wrong[:2] == unknown[:2] == disabled
    assert set(wrong[2]) == set(unknown[2])


# --- Passwords ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("word", ["passwordpassword", "123456789012345", "qwertyuiopasdfghjkl", "P@ssw0rdP@ssw0rd",
                                  "iloveyouiloveyou", "aaaaaaaaaaaaaaaaaaaa"])
def test_checklist_passwords_refuses_the_common_ones(http, word):
    assert_problem(sign_up(http, word=word), 422, "password_too_common", "/password")


@pytest.mark.parametrize("word", ["overreadoverread", "wolmaroxenstierna", "Oxenstierna-Wolmar1", "quillfeatherquillfeather"])
def test_checklist_passwords_refuses_the_context_specific_ones(http, word):
    reply = sign_up(http, address("quillfeather"), word, "Wolmar Oxenstierna")
    assert_problem(reply, 422, "password_too_common", "/password")


def test_checklist_passwords_have_fifteen_characters_without_a_second_factor(http):
    assert_problem(sign_up(http, word="crab moth ivy."), 422, "password_too_short", "/password")
    assert sign_up(http, word="crab moth ivy..").status_code == 202


def test_checklist_passwords_of_any_characters_are_accepted_up_to_1024_bytes_and_never_cut(http, pg):
    for word in ("kyzdqwmtrbnhgfx", "914783265017346", "猫は青い米を食べるのが好きです", "  crab   moth  ivy  "):
        email, _, _ = account(http, pg, word=word)
        assert sign_in(http, email, word).status_code == 201
        assert sign_in(http, email, word.strip() + "x").status_code == 401
    longest = "".join(secrets.choice("abcdefghijklmnop ") for _ in range(1023)) + "q"
    email, _, _ = account(http, pg, word=longest)
    assert sign_in(http, email, longest).status_code == 201
    assert sign_in(http, email, longest[:-1] + "r").status_code == 401


def test_checklist_passwords_are_argon2id_and_stored_nowhere_in_clear(http, pg, server):
    email, word = address(), password()
    sign_up(http, email, word)
    detail = pg.query("SELECT detail FROM tickets WHERE email = %s AND used_at IS NULL", (email,))[0][0]
    assert detail["phc"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    salt, digest = (base64.b64decode(part + "==") for part in detail["phc"].split("$")[-2:])
    assert (len(salt), len(digest)) == (16, 32)
    token = token_of(pg, email, "account")
    assert http.post("/v1/accounts/verification", json={"token": token}).status_code == 201
    assert {str(row[0]) for row in pg.query("SELECT detail FROM tickets WHERE email = %s", (email,))} == {"{}"}
    log = "\n".join(server.lines)
    assert word not in log and email not in log and token not in log
    assert pg.query("SELECT FROM jobs WHERE payload::text LIKE %s OR payload::text LIKE %s", (f"%{word}%", f"%{token}%")) == []


def test_checklist_passwords_change_needs_the_current_one(me):
    new = password()
    reply = me.http.put("/v1/me/password", json={"current": "not my password at all", "password": new})
    assert_problem(reply, 422, "wrong_password", "/current")
    assert_problem(me.http.put("/v1/me/password", json={"password": new}), 422, field="/current")
    assert me.http.put("/v1/me/password", json={"current": me.password, "password": new}).status_code == 200


def test_checklist_passwords_a_change_is_judged_by_the_same_rules(me):
    for word in ("crab moth ivy.", "passwordpassword", "anna berg anna berg"):
        assert_problem(me.http.put("/v1/me/password", json={"current": me.password, "password": word}), 422, field="/password")


def test_checklist_passwords_the_trusts_name_makes_none(tenant, client):
    person = tenant("trainee", name="Quillfeather Infirmary")["trainee"]
    reply = client(person).put("/v1/me/password", json={"current": person.password, "password": "QuillfeatherInfirmary"})
    assert_problem(reply, 422, "password_too_common", "/password")


def test_after_a_change_other_sessions_have_ended_and_this_one_goes_on_under_a_new_token(http, pg, me, server):
    new = password()
    with me.sign_in() as other:
        changed = me.http.put("/v1/me/password", json={"current": me.password, "password": new})
        assert changed.status_code == 200 and changed.json()["stage"] == "full"
        assert_problem(other.get("/v1/me"), 401, "session_ended")
        assert_problem(me.http.get("/v1/me"), 401, "session_ended")
    with server.client(changed.json()["token"]) as here:
        assert here.get("/v1/session").json()["session"] == changed.json()["session"]
    assert_problem(sign_in(http, me.email, me.password), 401)
    assert sign_in(http, me.email, new).status_code == 201
    assert "password_changed" in mails_to(pg, me.email)


def test_a_change_in_the_portal_renews_the_cookie(http, pg, server_with, me):
    with server_with(public_url="https://learn.example.org").client(headers=somewhere()) as browser:
        old = sign_in(browser, me.email, me.password, cookie=True).headers["set-cookie"]
        reply = browser.put("/v1/me/password", json={"current": me.password, "password": password()},
                            headers={"Origin": "https://learn.example.org", "X-Overread": "1"})
        assert reply.status_code == 200 and "token" not in reply.json()
        assert reply.headers["set-cookie"] != old and browser.get("/v1/me").status_code == 200


def test_checklist_passwords_a_reset_link_is_single_use_and_lives_ten_minutes(http, pg, me):
    token = reset_token(http, pg, me.email)
    assert len(token) == 43
    life = pg.query("SELECT expires_at - now() <= interval '10 minutes' FROM tickets WHERE email = %s AND used_at IS NULL", (me.email,))
    assert life == [(True,)]
    assert complete(http, token, password()).status_code == 204
    assert_problem(complete(http, token, password()), 410, "link_expired", "/token")


def test_checklist_passwords_a_reset_link_is_stored_as_a_hash(http, pg, me):
    token = reset_token(http, pg, me.email)
    everything = pg.query("SELECT t::text FROM tickets t WHERE email = %s UNION ALL SELECT j::text FROM jobs j", (me.email,))
    assert not any(token in row for (row,) in everything)


def test_an_expired_reset_link_is_refused_and_a_new_one_voids_the_old(http, pg, me):
    old = reset_token(http, pg, me.email)
    new = reset_token(http, pg, me.email)
    assert_problem(complete(http, old, password()), 410, "link_expired")
    pg.query("UPDATE tickets SET expires_at = now() - interval '1 second' WHERE email = %s AND used_at IS NULL", (me.email,))
    assert_problem(complete(http, new, password()), 410, "link_expired")


def test_after_a_reset_every_session_has_ended_and_the_person_is_told(http, pg, me):
    new = password()
    assert complete(http, reset_token(http, pg, me.email), new).status_code == 204
    assert_problem(me.http.get("/v1/me"), 401, "session_ended")
    assert_problem(sign_in(http, me.email, me.password), 401)
    assert sign_in(http, me.email, new).status_code == 201
    assert "password_changed" in mails_to(pg, me.email)
    actions = pg.query("SELECT action FROM audit_log WHERE person_id = %s", (me.made["person"],))
    assert ("password.reset",) in actions and ("session.ended",) in actions


def test_a_sign_in_under_way_while_the_password_is_renewed_opens_nothing(http, pg, me):
    """The old password is looked up and verified, then comes the new one: what follows must not open a session any more."""
    reset = pg(autocommit=False)
    replies = []
    thread = threading.Thread(target=lambda: replies.append(sign_in(http, me.email, me.password)))
    try:
        with reset.cursor() as cursor:
            cursor.execute("UPDATE passwords SET phc = 'another' WHERE person_id = %s", (me.made["person"],))
        thread.start()
        waits = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%session_open_by_password%'"
        deadline = time.monotonic() + 60
        while thread.is_alive() and not pg.query(waits) and time.monotonic() < deadline:
            time.sleep(0.02)
        reset.commit()
    finally:
        reset.close()
        thread.join()
    assert_problem(replies[0], 401, "sign_in_failed")


@pytest.mark.parametrize("how", ["change", "reset"])
def test_a_new_password_ends_the_tokens_that_the_old_one_made(http, pg, server, me, how):
    made = me.http.post("/v1/me/tokens", json={"name": "left behind", "scopes": ["cases:read"]}).json()
    with server.client(made["token"]) as program:
        assert program.get("/v1/cases").status_code == 200
        if how == "reset":
            assert complete(http, reset_token(http, pg, me.email), password()).status_code == 204
        else:
            assert me.http.put("/v1/me/password", json={"current": me.password, "password": password()}).status_code == 200
        assert_problem(program.get("/v1/cases"), 401, "session_ended")
    assert pg.query("SELECT detail->>'reason' FROM audit_log WHERE subject = %s AND action = 'token.revoked'", (made["id"],)) == [
        (f"password.{'reset' if how == 'reset' else 'changed'}",)]


def test_a_refused_password_leaves_the_reset_link_good(http, pg, me):
    token = reset_token(http, pg, me.email)
    assert_problem(complete(http, token, "passwordpassword"), 422, "password_too_common", "/password")
    assert_problem(complete(http, token, "AnnaBergAnnaBerg"), 422, "password_too_common", "/password")
    assert complete(http, token, password()).status_code == 204


def test_checklist_passwords_a_reset_never_bypasses_the_second_factor(http, pg, me):
    """It opens no session, and the tenant's demand for a second factor stands before the next one as before."""
    pg.query("UPDATE tenants SET second_factor = 'required' WHERE slug = %s", (me.made["tenant"],))
    new = password()
    reply = complete(http, reset_token(http, pg, me.email), new)
    assert reply.status_code == 204 and reply.content == b"" and "set-cookie" not in reply.headers
    assert sign_in(http, me.email, new).json()["stage"] == "enrolment"


def test_a_disabled_person_gets_no_reset_link(http, pg, me):
    token = reset_token(http, pg, me.email)
    pg.query("UPDATE people SET disabled_at = now() WHERE email = %s", (me.email,))
    assert_problem(complete(http, token, password()), 410, "link_expired")
    assert reset_token(http, pg, me.email) is None


def test_who_must_change_the_password_can_do_nothing_else_before(http, pg, server, me):
    server.cli("person", "must-change", "--email", me.email.upper())
    assert_problem(me.http.get("/v1/me"), 401, "session_ended")
    session = sign_in(http, me.email, me.password).json()
    assert session["stage"] == "password"
    with server.client(session["token"], headers=somewhere()) as pending:
        assert_problem(pending.get("/v1/me"), 403, "password_change_required")
        assert_problem(pending.get("/v1/cases"), 403, "password_change_required")
        changed = pending.put("/v1/me/password", json={"current": me.password, "password": password()})
    assert changed.status_code == 200 and changed.json()["stage"] == "full"
    with server.client(changed.json()["token"]) as here:
        assert here.get("/v1/me").status_code == 200


def test_an_operator_is_told_when_nobody_has_the_address(server):
    result = server.cli("person", "must-change", "--email", address(), check=False)
    assert result.returncode == 1 and "person_not_found" in result.stderr


def test_a_program_cannot_change_the_password_or_the_address(pg, me, server):
    import hashlib
    token = "ovt_" + secrets.token_urlsafe(32)
    pg.query("""INSERT INTO api_tokens (tenant_id, token_id, person_id, name, token_hash, scopes, expires_at)
                SELECT tenant_id, gen_random_uuid(), %s, 'p', %s, '{me:write}', now() + interval '1 hour' FROM tenants
                WHERE slug = %s""", (me.made["person"], hashlib.sha256(token.encode()).digest(), me.made["tenant"]))
    with server.client(token, headers=somewhere()) as program:
        assert program.get("/v1/me").status_code == 200
        assert_problem(program.put("/v1/me/password", json={"current": me.password, "password": password()}), 403)
        assert_problem(program.put("/v1/me/email", json={"current": me.password, "email": address()}), 403)


def test_people_whom_operators_add_are_verified_and_keep_to_the_password_rules(server, tenant, pg):
    trust = tenant("trainee", name="Quillfeather")
    assert pg.query("SELECT email_verified_at IS NOT NULL FROM people WHERE person_id = %s", (trust["trainee"].id,)) == [(True,)]
    arguments = ("person", "add", "--tenant", trust.slug, "--name", "Wolmar Oxenstierna", "--role", "trainee", "--password-stdin")
    for word, code in (("passwordpassword", "password_too_common"), ("wolmaroxenstierna", "password_too_common")):
        result = server.cli(*arguments, "--email", address(), stdin=word + "\n", check=False)
        assert result.returncode == 1 and code in result.stderr
    assert "bad_email" in server.cli(*arguments, "--email", "no address", stdin=password() + "\n", check=False).stderr


# --- Oneself --------------------------------------------------------------------------------------------------------

def test_one_sees_oneself_and_changes_ones_name(me):
    shown = me.http.get("/v1/me")
    assert shown.json()["email"] == me.email and shown.json()["second_factors"] == [] and shown.headers["etag"]
    assert me.http.put("/v1/me", json={"name": "Anna Berg-Þór"}).json()["name"] == "Anna Berg-Þór"
    assert me.http.get("/v1/session").json()["person"]["name"] == "Anna Berg-Þór"
    for bad in ("", " ", "a\tb", "x" * 201):
        assert_problem(me.http.put("/v1/me", json={"name": bad}), 422, field="/name")


def test_a_new_address_counts_when_its_link_was_followed_and_the_old_one_is_told(http, pg, me):
    new = address("new")
    assert me.http.put("/v1/me/email", json={"email": new, "current": me.password}).status_code == 202
    assert mails_to(pg, me.email)[-1] == "email_changed_notice" and mails_to(pg, new) == ["email_change"]
    assert me.http.get("/v1/me").json()["email"] == me.email
    verified = http.post("/v1/accounts/verification", json={"token": token_of(pg, new, "email")})
    assert verified.status_code == 201 and verified.json()["kind"] == "email"
    assert me.http.get("/v1/me").json()["email"] == new
    assert_problem(sign_in(http, me.email, me.password), 401)
    assert sign_in(http, new, me.password).status_code == 201


def test_a_new_address_needs_the_password(me):
    assert_problem(me.http.put("/v1/me/email", json={"email": address()}), 422, "field_missing", "/current")
    assert_problem(me.http.put("/v1/me/email", json={"email": address(), "current": "a wrong password, this"}), 422,
                   "wrong_password", "/current")
    assert_problem(me.http.put("/v1/me/email", json={"email": "nobody", "current": me.password}), 422, field="/email")


def test_an_address_that_is_anothers_is_not_taken_and_not_told(http, pg, me):
    other, _, _ = account(http, pg)
    reply = me.http.put("/v1/me/email", json={"email": other, "current": me.password})
    free = me.http.put("/v1/me/email", json={"email": address(), "current": me.password})
    assert reply_without_ids(reply)[:2] == reply_without_ids(free)[:2]
    assert token_of(pg, other, "email") is None and mails_to(pg, other)[-1] == "account_exists"


def test_a_link_to_an_address_taken_meanwhile_changes_nothing(http, pg, me):
    new = address()
    me.http.put("/v1/me/email", json={"email": new, "current": me.password})
    token = token_of(pg, new, "email")
    account(http, pg, new)
    assert_problem(http.post("/v1/accounts/verification", json={"token": token}), 409, "account_exists")
    assert me.http.get("/v1/me").json()["email"] == me.email


def test_a_changed_address_voids_the_links_to_the_old_mailbox(http, pg, me):
    old = reset_token(http, pg, me.email)
    new = address()
    me.http.put("/v1/me/email", json={"email": new, "current": me.password})
    http.post("/v1/accounts/verification", json={"token": token_of(pg, new, "email")})
    assert_problem(complete(http, old, password()), 410, "link_expired")


@pytest.mark.parametrize("method, path", [("GET", "/v1/me"), ("PUT", "/v1/me"), ("PUT", "/v1/me/password"), ("PUT", "/v1/me/email")])
def test_nobody_is_nobody_without_a_session(http, method, path):
    assert_problem(http.request(method, path, **({} if method == "GET" else {"json": {}})), 401, "session_required")


def test_while_the_database_is_away_nothing_is_promised(http, pg, server):
    pg.stop()
    try:
        assert_problem(sign_up(http), 503)
        assert_problem(http.post("/v1/password-resets", json={"email": address()}), 503)
    finally:
        pg.start()
