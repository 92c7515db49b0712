"""Invitations, one and by list, links to join by, and their acceptance: seats are never more than bought."""
import threading

import pytest
from support.accounts import mails_to, somewhere, token_of
from support.invitations import PASSWORD, accept, accept_new, address, invite, send_list, sign_in
from support.reads import assert_problem, unknown_id

pytestmark = pytest.mark.usefixtures("held_mail")

RESULTS = ("invited", "already_invited", "already_member", "refused")


def counts(reply):
    assert reply.status_code == 200, reply.text
    return tuple(reply.json()[name] for name in RESULTS)


def seats(client, trust):
    return client(trust["administrator"]).get("/v1/tenant").json()["seats"]


def settings(client, trust, **body):
    reply = client(trust["administrator"]).patch("/v1/tenant", json=body)
    assert reply.status_code == 200, reply.text


# --- One ----------------------------------------------------------------------------------------------------------------

def test_who_is_invited_accepts_and_signs_in(tenant, client, pg):
    trust = tenant("administrator")
    cohort = client(trust["administrator"]).post("/v1/tenant/cohorts", json={"name": "Spring"}).json()["id"]
    email = address()
    made = invite(client(trust["administrator"]), email, ["trainee", "expert"], name="Nora", cohort=cohort)
    assert made.status_code == 201, made.text
    listed = client(trust["administrator"]).get("/v1/tenant/invitations").json()["items"]
    assert [(i["id"], i["email"], i["state"], i["cohort"]) for i in listed] == [(made.json()["invitation"], email, "open", cohort)]
    assert client(trust["administrator"]).get(made.headers["location"]).json() == listed[0]
    token = token_of(pg, email, "invitation")
    shown = client().post("/v1/invitations/preview", json={"token": token}).json()
    assert (shown["kind"], shown["tenant"]["slug"], shown["cohort"], shown["known"], shown["needs"]) == (
        "invitation", trust.slug, "Spring", False, ["name", "password"])
    accepted = accept_new(client(), token)
    assert accepted.status_code == 201, accepted.text
    assert accepted.json()["new"] and accepted.json()["roles"] == ["trainee", "expert"]
    assert sign_in(client(), email, trust.slug).status_code == 201
    member = client(trust["administrator"]).get(f"/v1/tenant/members/{accepted.json()['person']}").json()
    assert (member["email"], member["cohort"]) == (email, cohort)
    assert client(trust["administrator"]).get("/v1/tenant/invitations").json()["items"] == []
    assert_problem(accept_new(client(), token), 410, "link_expired", "/token")


def test_who_has_an_account_gains_the_membership_and_keeps_the_password(tenant, client, pg):
    trust, home = tenant("administrator"), tenant("trainee")
    person = home["trainee"]
    invite(client(trust["administrator"]), person.email.upper())
    assert mails_to(pg, person.email) == ["invitation_existing"]
    token = token_of(pg, person.email, "invitation")
    assert client().post("/v1/invitations/preview", json={"token": token}).json()["needs"] == []
    assert_problem(accept_new(client(), token), 409, "account_exists")
    accepted = accept(client(), token)
    assert accepted.status_code == 201 and not accepted.json()["new"] and accepted.json()["person"] == person.id
    assert sign_in(client(), person.email, trust.slug, person.password).status_code == 201
    assert sign_in(client(), person.email, home.slug, person.password).status_code == 201


def test_an_account_that_never_proved_its_address_is_not_given_a_membership(tenant, client, pg):
    trust, home = tenant("administrator"), tenant("trainee")
    pg.query("UPDATE people SET email_verified_at = NULL WHERE person_id = %s", (home["trainee"].id,))
    invite(client(trust["administrator"]), home["trainee"].email)
    assert_problem(accept(client(), token_of(pg, home["trainee"].email, "invitation")), 409, "address_unproven")


def test_inviting_again_is_safe(tenant, client, pg):
    trust, email = tenant("administrator", "trainee"), address()
    boss = client(trust["administrator"])
    first, again = invite(boss, email), invite(boss, email, ["expert"])
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["result"] == "already_invited" and not again.json()["sent"]
    assert again.json()["invitation"] == first.json()["invitation"] and mails_to(pg, email) == ["invitation"]
    assert boss.get(first.headers["location"]).json()["roles"] == ["expert"]
    member = invite(boss, trust["trainee"].email)
    assert member.status_code == 200 and member.json()["result"] == "already_member"


def test_who_gave_an_open_invitation_other_roles_is_on_the_record(tenant, client):
    trust, email = tenant("administrator"), address()
    me = client(trust["administrator"])
    made = invite(me, email, ["trainee"]).json()["invitation"]
    for roles in (["administrator"], ["administrator"]):
        assert invite(me, email, roles).json()["sent"] is False
    told = [(e["action"], e["detail"]["roles"], e["person"]) for e in me.get("/v1/audit").json()["items"] if e["subject"] == made]
    boss = trust["administrator"].id
    assert told == [("invitation.changed", ["administrator"], boss), ("invitation.sent", ["trainee"], boss)]


def test_sending_again_voids_the_link_before(tenant, client, pg):
    trust, email = tenant("administrator"), address()
    boss = client(trust["administrator"])
    where = invite(boss, email).headers["location"]
    old = token_of(pg, email, "invitation")
    assert boss.post(where + "/resend").status_code == 202
    assert_problem(accept_new(client(), old), 410, "link_expired")
    assert mails_to(pg, email) == ["invitation"]
    assert accept_new(client(), token_of(pg, email, "invitation")).status_code == 201
    assert_problem(boss.post(where + "/resend"), 404, "invitation_not_found")


def test_a_withdrawn_invitation_is_void_and_frees_its_seat(tenant, client, pg, server):
    trust, email = tenant("administrator"), address()
    server.cli("tenant", "seats", trust.slug, "1")
    boss = client(trust["administrator"])
    where = invite(boss, email).headers["location"]
    token = token_of(pg, email, "invitation")
    assert_problem(invite(boss, address()), 409, "seats_exhausted")
    assert boss.delete(where).status_code == 204
    assert_problem(accept_new(client(), token), 410, "link_expired")
    assert_problem(boss.delete(where), 404, "invitation_not_found")
    assert invite(boss, address()).status_code == 201


def test_an_invitation_expires_after_fourteen_days_and_holds_no_seat_then(tenant, client, pg, server):
    trust, email = tenant("administrator"), address()
    server.cli("tenant", "seats", trust.slug, "1")
    boss = client(trust["administrator"])
    where = invite(boss, email).headers["location"]
    token = token_of(pg, email, "invitation")
    assert pg.query("SELECT expires_at - now() BETWEEN '13 days' AND '14 days' FROM tickets WHERE email = %s", (email,)) == [(True,)]
    pg.query("UPDATE tickets SET expires_at = now() - interval '1 second' WHERE email = %s", (email,))
    assert_problem(accept_new(client(), token), 410, "link_expired")
    assert boss.get(where).json()["state"] == "expired" and seats(client, trust)["invited"] == 0
    assert invite(boss, address()).status_code == 201
    assert_problem(boss.post(where + "/resend"), 409, "seats_exhausted")


def test_whether_invitations_hold_seats_is_the_tenants_policy(tenant, client, pg, server):
    trust = tenant("administrator")
    server.cli("tenant", "seats", trust.slug, "1")
    settings(client, trust, invitations_hold_seats=False)
    boss, emails = client(trust["administrator"]), [address(), address()]
    assert [invite(boss, email).status_code for email in emails] == [201, 201]
    assert_problem(boss.patch("/v1/tenant", json={"invitations_hold_seats": True}), 409, "seats_exhausted")
    tokens = [token_of(pg, email, "invitation") for email in emails]
    assert accept_new(client(), tokens[0]).status_code == 201
    assert_problem(accept_new(client(), tokens[1]), 409, "seats_exhausted")
    assert pg.query("SELECT count(*) FROM people WHERE email = %s", (emails[1],)) == [(0,)]
    server.cli("tenant", "seats", trust.slug, "2")
    assert accept_new(client(), tokens[1]).status_code == 201


def test_administrators_and_the_accepting_one_pass_when_seats_are_held(tenant, client, pg, server):
    trust, email = tenant("administrator"), address()
    server.cli("tenant", "seats", trust.slug, "1")
    boss = client(trust["administrator"])
    assert invite(boss, email).status_code == 201
    assert invite(boss, address(), ["administrator"]).status_code == 201
    assert seats(client, trust) == {"bought": 1, "used": 0, "invited": 1}
    assert accept_new(client(), token_of(pg, email, "invitation")).status_code == 201
    assert seats(client, trust) == {"bought": 1, "used": 1, "invited": 0}


@pytest.mark.parametrize("body, code, field", [
    ({"email": "nobody"}, "bad_email", "/email"), ({"email": "a b@example.org"}, "bad_email", "/email"),
    ({"roles": ["owner"]}, "unknown_role", "/roles"), ({"roles": []}, "field_invalid", "/roles"),
    ({"cohort": "018f0000-0000-7000-8000-000000000000"}, "cohort_not_found", "/cohort"), ({"cohort": "x"}, "field_invalid", "/cohort"),
    ({"name": "a\nb"}, "bad_name", "/name"), ({"extra": 1}, "field_unknown", "/extra")])
def test_a_wrong_field_of_an_invitation_is_named(tenant, client, body, code, field):
    reply = client(tenant("administrator")["administrator"]).post(
        "/v1/tenant/invitations", json={"email": address(), "roles": ["trainee"], **body})
    assert_problem(reply, 422, code, field)


def test_only_addresses_of_the_tenants_domains_are_invited(tenant, client):
    trust = tenant("administrator")
    settings(client, trust, domains=["trust.example"])
    boss = client(trust["administrator"])
    for email in (address(), address("sub.trust.example"), "x@trust.example.evil.org"):
        assert_problem(invite(boss, email), 422, "domain_not_allowed", "/email")
    assert invite(boss, address("Trust.Example")).status_code == 201


def test_another_tenants_invitations_and_links_are_not_found(tenant, client):
    trust, other = tenant("administrator"), tenant("administrator")
    where = invite(client(other["administrator"]), address()).headers["location"]
    me = client(trust["administrator"])
    for path in (where, f"/v1/tenant/invitations/{unknown_id()}", "/v1/tenant/invitations/x"):
        for reply in (me.get(path), me.delete(path), me.post(path + "/resend")):
            assert_problem(reply, 404, "invitation_not_found")
    settings(client, other, domains=["example.org"])
    link = client(other["administrator"]).post("/v1/tenant/join-links", json={"name": "L", "roles": ["trainee"]}).json()["id"]
    assert_problem(me.delete(f"/v1/tenant/join-links/{link}"), 404, "link_not_found")
    assert me.get("/v1/tenant/invitations").json()["items"] == me.get("/v1/tenant/join-links").json()["items"] == []


@pytest.mark.parametrize("role", ["trainee", "educator", "expert", "manager"])
def test_only_administrators_invite(tenant, client, role):
    me = client(tenant("administrator", role)[role])
    for reply in (invite(me, address()), send_list(me, "email\na@example.org\n"), me.get("/v1/tenant/invitations"),
                  me.get("/v1/tenant/join-links"), me.post("/v1/tenant/join-links", json={"name": "x", "roles": ["trainee"]})):
        assert_problem(reply, 403, "role_required")


def test_a_personal_tenant_invites_nobody(tenant, client):
    me = client(tenant("administrator", kind="individual")["administrator"])
    assert_problem(invite(me, address()), 409, "personal_tenant")


# --- Acceptance --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("body, code, field", [
    ({}, "field_missing", "/name"), ({"name": "Nora"}, "field_missing", "/password"),
    ({"name": " ", "password": PASSWORD}, "bad_name", "/name"), ({"name": "N", "password": "short"}, None, "/password"),
    ({"name": "N", "password": "password12345678"}, None, "/password")])
def test_a_new_account_takes_a_name_and_a_password_that_is_acceptable(tenant, client, pg, body, code, field):
    trust, email = tenant("administrator"), address()
    invite(client(trust["administrator"]), email)
    token = token_of(pg, email, "invitation")
    assert_problem(accept(client(), token, **body), 422, code, field)
    assert accept_new(client(), token).status_code == 201


def test_unknown_links_are_refused_in_one_voice(client):
    for path in ("preview", "acceptance"):
        assert_problem(client().post(f"/v1/invitations/{path}", json={"token": "no-such-token"}), 410, "link_expired", "/token")
    assert_problem(client().post("/v1/invitations/join", json={"token": "no-such-token", "email": address()}), 410, "link_expired")


def test_a_suspended_tenant_takes_nobody_in(tenant, client, pg, server):
    trust, email = tenant("administrator"), address()
    invite(client(trust["administrator"]), email)
    token = token_of(pg, email, "invitation")
    server.cli("tenant", "suspend", trust.slug)
    assert_problem(accept_new(client(), token), 403, "tenant_suspended")
    server.cli("tenant", "resume", trust.slug)
    assert accept_new(client(), token).status_code == 201


def at_once(calls):
    """Runs them at the same time; what each returned."""
    results, barrier = [None] * len(calls), threading.Barrier(len(calls))

    def run(place):
        barrier.wait()
        results[place] = calls[place]()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_fifty_who_accept_at_once_get_exactly_the_seats_that_were_bought(tenant, client, pg, server):
    """Known people, so that what they race for is the seat and nothing slower."""
    trust, home, bought = tenant("administrator"), tenant("administrator"), 20
    server.cli("tenant", "seats", trust.slug, str(bought))
    settings(client, trust, invitations_hold_seats=False)
    emails = [address() for _ in range(50)]
    pg.query("INSERT INTO people (person_id, email, name, email_verified_at)"
             " SELECT gen_random_uuid(), e, 'Racer', now() FROM unnest(%s) e", (emails,))
    listed = send_list(client(trust["administrator"]), "email\n" + "\n".join(emails))
    assert counts(listed) == (50, 0, 0, 0)
    racers = [(client(), token_of(pg, email, "invitation")) for email in emails]
    replies = at_once([lambda me=me, token=token: accept(me, token) for me, token in racers])
    statuses = [reply.status_code for reply in replies]
    assert statuses.count(201) == bought and statuses.count(409) == 50 - bought
    assert {reply.json()["code"] for reply in replies if reply.status_code == 409} == {"seats_exhausted"}
    assert seats(client, trust)["used"] == bought
    assert home.id != trust.id


def test_one_link_used_by_many_at_once_joins_once(tenant, client, pg):
    trust, email = tenant("administrator"), address()
    invite(client(trust["administrator"]), email)
    token = token_of(pg, email, "invitation")
    pg.query("INSERT INTO people (person_id, email, name, email_verified_at) VALUES (gen_random_uuid(), %s, 'One', now())", (email,))
    me = [client() for _ in range(10)]
    statuses = [reply.status_code for reply in at_once([lambda one=one: accept(one, token) for one in me])]
    assert statuses.count(201) == 1 and statuses.count(410) == 9


# --- A list ------------------------------------------------------------------------------------------------------------

def test_two_thousand_people_are_invited_by_a_list_and_the_list_again_invites_nobody_twice(tenant, client, pg):
    trust = tenant("administrator")
    client(trust["administrator"]).post("/v1/tenant/cohorts", json={"name": "Spring, second half"})
    emails = [address() for _ in range(2000)]
    text = "Email,Name,Roles,Cohort\r\n" + "".join(
        f'{email},"Person {n}","trainee, expert","Spring, second half"\r\n' for n, email in enumerate(emails))
    boss = client(trust["administrator"], timeout=60)
    first = send_list(boss, text)
    assert counts(first) == (2000, 0, 0, 0)
    assert [item["row"] for item in first.json()["items"]] == list(range(1, 2001))
    again = send_list(boss, text)
    assert counts(again) == (0, 2000, 0, 0) and not any(item["sent"] for item in again.json()["items"])
    assert pg.query("SELECT count(*), count(DISTINCT lower(email)) FROM tickets WHERE tenant_id = %s AND used_at IS NULL",
                    (trust.id,)) == [(2000, 2000)]
    assert pg.query("SELECT count(*) FROM jobs WHERE kind = 'mail' AND tenant_id = %s", (trust.id,)) == [(2000,)]
    pg.query("DELETE FROM jobs WHERE kind = 'mail' AND tenant_id = %s", (trust.id,))


def test_each_row_has_its_own_result(tenant, client, server):
    trust, email = tenant("administrator", "trainee"), address()
    settings(client, trust, domains=["example.org"])
    invite(client(trust["administrator"]), email)
    rows = [address() + ",Nora,,", f"{email},,trainee,", f"{trust['trainee'].email},,trainee,", "no-address,,trainee,",
            address("example.com") + ",,trainee,", address() + ",,owner,", address() + ",,trainee,No such cohort",
            email.upper() + ",,trainee,", address() + ",,educator;manager,"]
    reply = send_list(client(trust["administrator"]), "email,name,roles,cohort\n" + "\n".join(rows) + "\n")
    assert [(i["result"], i.get("reason"), i.get("field")) for i in reply.json()["items"]] == [
        ("invited", None, None), ("already_invited", None, None), ("already_member", None, None), ("refused", "bad_email", "email"),
        ("refused", "domain_not_allowed", "email"), ("refused", "unknown_role", "roles"), ("refused", "cohort_not_found", "cohort"),
        ("refused", "duplicate_row", "email"), ("invited", None, None)]


def test_a_list_longer_than_the_seats_is_taken_as_far_as_they_go(tenant, client, server):
    trust = tenant("administrator")
    server.cli("tenant", "seats", trust.slug, "3")
    reply = send_list(client(trust["administrator"]), "email\n" + "\n".join(address() for _ in range(5)))
    assert counts(reply) == (3, 0, 0, 2)
    assert {i["reason"] for i in reply.json()["items"] if i["result"] == "refused"} == {"seats_exhausted"}


@pytest.mark.parametrize("text, code, field", [
    ("", "malformed_csv", "columns"), ("name\nx\n", "column_missing", "columns"), ("email,phone\na@b.org,1\n", "unknown_column", "columns"),
    ("email\n", "malformed_csv", "row 1"), ("email,name\na@example.org\n", "malformed_csv", "row 1"),
    ('email\nb@example.org\n"a@example.org\n', "malformed_csv", "row 2"), (b"email\n\xff\xfe\n", "not_utf8", None),
    ("email\n" + "\n".join(f"p{n}@example.org" for n in range(2001)), "too_many_rows", "row 2001")])
def test_a_list_that_is_not_in_order_invites_nobody(tenant, client, pg, text, code, field):
    trust = tenant("administrator")
    assert_problem(send_list(client(trust["administrator"]), text), 422, code, field)
    assert pg.query("SELECT count(*) FROM tickets WHERE tenant_id = %s", (trust.id,)) == [(0,)]


def test_a_list_is_csv_of_at_most_512_kib(tenant, client):
    me = client(tenant("administrator")["administrator"])
    assert_problem(me.post("/v1/tenant/invitations/batch", json={"email": "x"}), 415, "csv_expected")
    assert_problem(send_list(me, "email\n" + "x" * 524288), 413)


# --- Join links --------------------------------------------------------------------------------------------------------

@pytest.fixture
def joining(tenant, client):
    """joining(**link): a trust of the domain example.org with that join link; the trust and the link's reply."""
    def make(**body):
        trust = tenant("administrator")
        settings(client, trust, domains=["example.org"])
        reply = client(trust["administrator"]).post("/v1/tenant/join-links", json={"name": "Poster", "roles": ["trainee"], **body})
        assert reply.status_code == 201, reply.text
        return trust, reply.json()
    return make



def join(client, token, email):
    return client.post("/v1/invitations/join", json={"token": token, "email": email}, headers=somewhere())


def test_a_join_link_lets_addresses_of_the_domain_in_by_mail(joining, client, pg):
    trust, link = joining()
    assert link["page"] == "/join#" + link["token"]
    preview = client().post("/v1/invitations/preview", json={"token": link["token"]}).json()
    assert (preview["kind"], preview["needs"], preview["tenant"]["slug"]) == ("link", ["email"], trust.slug)
    email = address()
    assert_problem(join(client(), link["token"], address("example.com")), 422, "domain_not_allowed", "/email")
    assert join(client(), link["token"], email).status_code == 202
    assert mails_to(pg, email) == ["join"]
    token = token_of(pg, email, "join")
    assert client().post("/v1/invitations/preview", json={"token": token}).json()["kind"] == "join"
    assert accept_new(client(), token).status_code == 201
    assert sign_in(client(), email, trust.slug).status_code == 201
    listed = client(trust["administrator"]).get("/v1/tenant/join-links").json()["items"]
    assert [(one["uses"], one["open"]) for one in listed] == [(1, True)] and "token" not in listed[0]


def test_a_join_link_is_used_no_more_often_than_said(joining, client, pg):
    _, link = joining(max_uses=1)
    emails = [address(), address()]
    for email in emails:
        assert join(client(), link["token"], email).status_code == 202
    tokens = [token_of(pg, email, "join") for email in emails]
    statuses = [r.status_code for r in at_once([lambda me=client(), t=t: accept_new(me, t) for t in tokens])]
    assert sorted(statuses) == [201, 410]
    assert_problem(join(client(), link["token"], address()), 410, "link_expired", "/token")


def test_a_withdrawn_or_expired_join_link_is_void_with_what_was_mailed(joining, client, pg):
    trust, link = joining()
    email = address()
    join(client(), link["token"], email)
    token = token_of(pg, email, "join")
    boss = client(trust["administrator"])
    assert boss.delete(f"/v1/tenant/join-links/{link['id']}").status_code == 204
    assert_problem(accept_new(client(), token), 410, "link_expired")
    assert_problem(boss.delete(f"/v1/tenant/join-links/{link['id']}"), 404, "link_not_found")
    _, other = joining(days=1)
    pg.query("UPDATE join_links SET expires_at = now() WHERE link_id = %s", (other["id"],))
    assert_problem(join(client(), other["token"], address()), 410, "link_expired")


def test_asking_to_join_tells_nobody_who_is_a_member(joining, client, pg):
    trust, link = joining()
    member = trust.add("trainee")
    stranger = address()
    replies = [join(client(), link["token"], email) for email in (member.email, stranger)]
    assert {(r.status_code, r.text) for r in replies} == {(202, "{}")}
    assert mails_to(pg, member.email) == [] and mails_to(pg, stranger) == ["join"]


def test_whom_an_administrator_took_out_does_not_come_back_by_a_join_link(joining, client, pg):
    trust, link = joining()
    member = trust.add("trainee")
    assert client(trust["administrator"]).delete(f"/v1/tenant/members/{member.id}").status_code == 204
    reply = join(client(), link["token"], member.email)
    assert (reply.status_code, reply.text) == (202, "{}")
    assert "join" not in mails_to(pg, member.email)
    assert token_of(pg, member.email, "join") is None
    assert invite(client(trust["administrator"]), member.email).status_code == 201, "by invitation"


def test_asking_to_join_does_the_same_work_for_a_member_and_a_stranger(joining, client, pg):
    """What takes its time are the rows that are written."""
    trust, link = joining()
    member = trust.add("trainee")

    def written(email):
        count = ("SELECT (SELECT count(*) FROM tickets WHERE lower(email) = lower(%s)),"
                 " (SELECT count(*) FROM jobs WHERE lower(payload->>'to') = lower(%s))")
        before, = pg.query(count, (email, email))
        assert join(client(), link["token"], email).status_code == 202
        after, = pg.query(count, (email, email))
        return after[0] - before[0], after[1] - before[1]
    assert written(member.email) == written(address()) == (1, 1)


def test_a_join_link_needs_domains_and_gives_no_role_with_sight_of_others(tenant, client):
    trust = tenant("administrator")
    me = client(trust["administrator"])
    assert_problem(me.post("/v1/tenant/join-links", json={"name": "x", "roles": ["trainee"]}), 409, "domains_required")
    settings(client, trust, domains=["example.org"])
    for role in ("administrator", "educator", "manager"):
        assert_problem(me.post("/v1/tenant/join-links", json={"name": "x", "roles": [role]}), 422, "role_by_invitation_only", "/roles")
    for body, field in (({"max_uses": 0}, "/max_uses"), ({"days": 366}, "/days"), ({"name": ""}, "/name")):
        assert_problem(me.post("/v1/tenant/join-links", json={"name": "x", "roles": ["trainee"], **body}), 422, field=field)
