"""Members: seats, cohorts, roles, leaving and coming back, what others see of a member, the record that travels."""
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.invitations import accept_new, address, invite, sign_in
from support.reads import assert_problem, read_case, unknown_id


def member(client, administrator, person):
    return client(administrator).get(f"/v1/tenant/members/{person.id}")


def patch(client, administrator, person, **body):
    return client(administrator).patch(f"/v1/tenant/members/{person.id}", json=body)


def make_cohort(client, administrator, name="Spring", **body):
    reply = client(administrator).post("/v1/tenant/cohorts", json={"name": name, **body})
    assert reply.status_code == 201, reply.text
    return reply.json()


def put_in_cohort(client, trust, person, educators):
    made = make_cohort(client, trust["administrator"], educators=[e.id for e in educators])
    assert patch(client, trust["administrator"], person, cohort=made["id"]).status_code == 200
    return made["id"]


def actions(client, administrator):
    return [e["action"] for e in client(administrator).get("/v1/audit", params={"limit": 100}).json()["items"]]


# --- Seats -----------------------------------------------------------------------------------------------------------

def test_administrators_take_no_seat_and_everybody_else_does(tenant, client):
    trust = tenant("administrator", "trainee", "educator", "expert", "manager", "administrator,trainee")
    assert client(trust["administrator"]).get("/v1/tenant").json()["seats"] == {"bought": None, "used": 5, "invited": 0}


def test_an_operator_cannot_add_more_people_than_seats(tenant, server):
    trust = tenant("administrator", "trainee")
    server.cli("tenant", "seats", trust.slug, "1")
    refused = server.cli("person", "add", "--tenant", trust.slug, "--email", "one-more@example.org", "--name", "X", "--role",
                         "trainee", check=False)
    assert refused.returncode == 1 and "seats_exhausted" in refused.stderr
    trust.add("administrator")


def test_seats_are_never_set_below_those_in_use(tenant, server, client):
    trust = tenant("administrator", "trainee", "trainee")
    refused = server.cli("tenant", "seats", trust.slug, "1", check=False)
    assert refused.returncode == 1 and "seats_in_use" in refused.stderr
    for seats in ("2", "unlimited", "3"):
        server.cli("tenant", "seats", trust.slug, seats)
    assert client(trust["administrator"]).get("/v1/tenant").json()["seats"]["bought"] == 3
    assert actions(client, trust["administrator"]).count("tenant.seats_set") == 3


@pytest.mark.parametrize("seats", ["-1", "many", "1.5", "1000001"])
def test_seats_are_a_number(tenant, server, seats):
    assert server.cli("tenant", "seats", tenant().slug, "--", seats, check=False).returncode != 0


def test_a_role_that_takes_a_seat_is_refused_when_none_is_free(tenant, server, client):
    trust = tenant("administrator", "trainee")
    other = trust.add("administrator")
    server.cli("tenant", "seats", trust.slug, "1")
    assert_problem(patch(client, trust["administrator"], other, roles=["educator"]), 409, "seats_exhausted")
    assert patch(client, trust["administrator"], trust["trainee"], roles=["trainee", "expert"]).status_code == 200


# --- Changing and leaving ----------------------------------------------------------------------------------------------

def test_a_leavers_seat_is_free_at_once_the_session_ends_and_the_record_stays(tenant, server, client, demo_cases, pg):
    trust = tenant("administrator", "trainee")
    server.cli("tenant", "seats", trust.slug, "1")
    leaver = trust["trainee"]
    read_case(client(leaver), demo_cases[0])
    as_leaver, boss = client(leaver), client(trust["administrator"])
    assert boss.delete(f"/v1/tenant/members/{leaver.id}").status_code == 204
    assert_problem(as_leaver.get("/v1/session"), 401, "session_ended")
    assert boss.get("/v1/tenant").json()["seats"]["used"] == 0
    trust.add("trainee")
    gone = boss.get(f"/v1/tenant/members/{leaver.id}").json()
    assert gone["until"] is not None
    assert pg.query("SELECT count(*) FROM reads WHERE person_id = %s", (leaver.id,)) == [(1,)]
    assert_problem(boss.delete(f"/v1/tenant/members/{leaver.id}"), 404, "member_not_found")
    assert "member.left" in actions(client, trust["administrator"])
    left = boss.get("/v1/tenant/members", params={"state": "left"}).json()["items"]
    assert [m["person"] for m in left] == [leaver.id]


def test_who_is_removed_is_told_by_mail_and_who_leaves_is_not(tenant, client, mailbox):
    trust = tenant("administrator", "trainee", "trainee")
    leaver, removed = trust.people[1:]
    assert client(leaver).delete(f"/v1/me/memberships/{trust.id}").status_code == 204
    client(trust["administrator"]).delete(f"/v1/tenant/members/{removed.id}")
    assert trust.name in mailbox.wait(removed.email).subject
    assert mailbox.all(leaver.email) == []


def test_the_link_of_an_invitations_mail_leads_to_membership(tenant, client, mailbox):
    trust, email = tenant("administrator"), address()
    assert invite(client(trust["administrator"]), email, ["trainee", "expert"]).status_code == 201
    message = mailbox.wait(email)
    assert message.page == "invitation" and trust.name in message.subject and "trainee and expert" in message.text
    assert accept_new(client(), message.token).status_code == 201
    assert sign_in(client(), email, trust.slug).status_code == 201


def test_coming_back_revives_the_membership_and_begins_a_new_period(tenant, client, pg):
    trust = tenant("administrator", "trainee")
    person = trust["trainee"]
    client(trust["administrator"]).delete(f"/v1/tenant/members/{person.id}")
    trust.server.cli("person", "add", "--tenant", trust.slug, "--email", person.email, "--name", person.name, "--role", "expert")
    assert member(client, trust["administrator"], person).json()["roles"] == ["expert"]
    periods = pg.query("SELECT since, until FROM membership_periods WHERE person_id = %s ORDER BY since", (person.id,))
    assert len(periods) == 2 and periods[0][1] <= periods[1][0] and periods[1][1] is None
    person.login()


def test_the_last_administrator_cannot_go(tenant, client):
    trust = tenant("administrator", "trainee")
    boss = trust["administrator"]
    assert_problem(patch(client, boss, boss, roles=["trainee"]), 409, "last_administrator")
    assert_problem(client(boss).delete(f"/v1/tenant/members/{boss.id}"), 409, "last_administrator")
    assert_problem(client(boss).delete(f"/v1/me/memberships/{trust.id}"), 409, "last_administrator")
    second = trust.add("administrator")
    assert client(boss).delete(f"/v1/me/memberships/{trust.id}").status_code == 204
    assert_problem(client(second).delete(f"/v1/me/memberships/{trust.id}"), 409, "last_administrator")


def test_checklist_sessions_end_at_a_change_of_privilege(tenant, client):
    trust = tenant("administrator", "trainee")
    person = trust["trainee"]
    before = client(person)
    assert before.get("/v1/session").status_code == 200
    assert patch(client, trust["administrator"], person, roles=["trainee", "educator"]).status_code == 200
    assert_problem(before.get("/v1/session"), 401, "session_ended")
    person.login()
    after = client(person)
    cohort = make_cohort(client, trust["administrator"])
    assert patch(client, trust["administrator"], person, cohort=cohort["id"]).status_code == 200
    assert after.get("/v1/session").status_code == 200


@pytest.mark.parametrize("body, field", [
    ({"roles": ["owner"]}, "/roles"), ({"roles": []}, "/roles"), ({"roles": ["support"]}, "/roles"), ({"roles": "trainee"}, "/roles"),
    ({"roles": ["trainee", "trainee"]}, "/roles/1"), ({"roles": [1]}, "/roles/0"), ({"cohort": "x"}, "/cohort"),
    ({"cohort": "018f0000-0000-7000-8000-000000000000"}, "/cohort"), ({"break_glass": 1}, "/break_glass"), ({"x": 1}, "/x")])
def test_a_wrong_field_of_a_member_is_named(tenant, client, body, field):
    trust = tenant("administrator", "trainee")
    assert_problem(patch(client, trust["administrator"], trust["trainee"], **body), 422, field=field)


def test_another_tenants_members_and_cohorts_are_not_found(tenant, client):
    trust, other = tenant("administrator", "trainee"), tenant("administrator", "trainee")
    me, theirs = client(trust["administrator"]), other["trainee"]
    for person in (theirs.id, unknown_id(), "x"):
        path = f"/v1/tenant/members/{person}"
        for reply in (me.get(path), me.patch(path, json={"roles": ["expert"]}), me.delete(path)):
            assert_problem(reply, 404, "member_not_found")
    cohort = make_cohort(client, other["administrator"])["id"]
    for reply in (me.get(f"/v1/tenant/cohorts/{cohort}"), me.patch(f"/v1/tenant/cohorts/{cohort}", json={"name": "Mine"}),
                  me.delete(f"/v1/tenant/cohorts/{cohort}")):
        assert_problem(reply, 404, "cohort_not_found")
    assert_problem(patch(client, trust["administrator"], trust["trainee"], cohort=cohort), 422, "cohort_not_found", "/cohort")


@pytest.mark.parametrize("role", ["trainee", "educator", "expert", "manager"])
def test_only_administrators_change_members_and_settings(tenant, client, role):
    trust = tenant("administrator", role)
    me, person = client(trust[role]), trust["administrator"].id
    for reply in (me.patch("/v1/tenant", json={"name": "Mine"}), me.patch(f"/v1/tenant/members/{person}", json={"roles": ["trainee"]}),
                  me.delete(f"/v1/tenant/members/{person}")):
        assert_problem(reply, 403, "role_required")


# --- Settings -----------------------------------------------------------------------------------------------------------

def test_settings_are_changed_together_with_what_was_read(tenant, client):
    trust = tenant("administrator")
    me = client(trust["administrator"])
    tag = me.get("/v1/tenant").headers["etag"]
    changed = me.patch("/v1/tenant", json={"name": "St Elsewhere", "domains": ["Example.org"],
                                           "invitations_hold_seats": False, "session_idle_seconds": 600}, headers={"if-match": tag})
    assert changed.status_code == 200, changed.text
    assert changed.headers["etag"] == me.get("/v1/tenant").headers["etag"]
    shown = changed.json()
    assert (shown["name"], shown["domains"], shown["session_idle_seconds"]) == ("St Elsewhere", ["example.org"], 600)
    assert_problem(me.patch("/v1/tenant", json={"name": "Late"}, headers={"if-match": tag}), 412, "changed_meanwhile")
    assert me.get("/v1/tenant").json()["name"] == "St Elsewhere"


@pytest.mark.parametrize("body, field", [
    ({"name": ""}, "/name"), ({"name": "a\nb"}, "/name"), ({"session_idle_seconds": 59}, "/session_idle_seconds"),
    ({"session_idle_seconds": 86401}, "/session_idle_seconds"), ({"session_absolute_seconds": 299}, "/session_absolute_seconds"),
    ({"session_idle_seconds": 7200, "session_absolute_seconds": 3600}, "/session_idle_seconds"),
    ({"second_factor": "no"}, "/second_factor"), ({"domains": ["no domain"]}, "/domains"), ({"domains": ["org"]}, "/domains"),
    ({"domains": "example.org"}, "/domains"), ({"password_sign_in": "no"}, "/password_sign_in"), ({"seats": 5}, "/seats")])
def test_a_wrong_setting_is_named(tenant, client, body, field):
    assert_problem(client(tenant("administrator")["administrator"]).patch("/v1/tenant", json=body), 422, field=field)


def test_passwords_stay_on_until_single_sign_on_works(tenant, client):
    me = client(tenant("administrator")["administrator"])
    assert_problem(me.patch("/v1/tenant", json={"password_sign_in": False}), 409, "single_sign_on_untried")


def test_checklist_sessions_tighter_limits_of_the_tenant_hold_for_open_sessions(tenant, client, pg):
    trust = tenant("administrator", "trainee")
    trust["trainee"].login()
    client(trust["administrator"]).patch("/v1/tenant", json={"session_idle_seconds": 60, "session_absolute_seconds": 300})
    assert pg.query("SELECT max(idle) <= '60 s' AND max(expires_at - created_at) <= '300 s' FROM sessions WHERE tenant_id = %s",
                    (trust.id,)) == [(True,)]


# --- Cohorts ------------------------------------------------------------------------------------------------------------

def test_a_cohort_is_made_renamed_and_deleted_and_its_members_stay(tenant, client):
    trust = tenant("administrator", "educator", "trainee")
    boss = client(trust["administrator"])
    cohort = put_in_cohort(client, trust, trust["trainee"], [trust["educator"]])
    shown = boss.get(f"/v1/tenant/cohorts/{cohort}")
    assert shown.json()["members"] == 1 and shown.json()["educators"] == [trust["educator"].id]
    listed = boss.get("/v1/tenant/members", params={"cohort": cohort}).json()["items"]
    assert [m["person"] for m in listed] == [trust["trainee"].id]
    renamed = client(trust["educator"]).patch(f"/v1/tenant/cohorts/{cohort}", json={"name": "Autumn"},
                                              headers={"if-match": shown.headers["etag"]})
    assert renamed.json()["name"] == "Autumn"
    assert_problem(boss.patch(f"/v1/tenant/cohorts/{cohort}", json={"name": "Z"}, headers={"if-match": shown.headers["etag"]}), 412)
    assert boss.delete(f"/v1/tenant/cohorts/{cohort}").status_code == 204
    assert member(client, trust["administrator"], trust["trainee"]).json()["cohort"] is None


def test_making_a_cohort_twice_with_one_key_makes_one(tenant, client):
    me = client(tenant("administrator")["administrator"])
    first, second = (me.post("/v1/tenant/cohorts", json={"name": "Once"}, headers={"idempotency-key": "c1"}) for _ in range(2))
    assert first.status_code == second.status_code == 201 and first.json()["id"] == second.json()["id"]
    assert_problem(me.post("/v1/tenant/cohorts", json={"name": "once"}), 409, "name_taken", "/name")
    assert_problem(me.post("/v1/tenant/cohorts", json={"name": "Other"}, headers={"idempotency-key": "c1"}), 422,
                   "idempotency_key_reused")


def test_an_educator_keeps_own_cohorts_only_and_does_not_say_who_teaches(tenant, client):
    trust = tenant("administrator", "educator", "educator", "trainee")
    first, second = client(trust.people[1]), client(trust.people[2])
    mine = first.post("/v1/tenant/cohorts", json={"name": "Mine"}).json()
    assert mine["educators"] == [trust.people[1].id]
    path = f"/v1/tenant/cohorts/{mine['id']}"
    assert_problem(second.patch(path, json={"name": "Yours"}), 403, "not_your_cohort")
    assert_problem(second.delete(path), 403, "not_your_cohort")
    assert_problem(first.patch(path, json={"educators": [trust.people[2].id]}), 403, "role_required", "/educators")
    boss = client(trust["administrator"])
    assert_problem(boss.patch(path, json={"educators": [trust["trainee"].id]}), 422, "no_educator", "/educators")
    assert boss.patch(path, json={"educators": [trust.people[2].id]}).json()["educators"] == [trust.people[2].id]


# --- What others see of a member --------------------------------------------------------------------------------------

def results(client, asker, person, what="performance"):
    return client(asker).get(f"/v1/tenant/members/{person.id}/{what}")


def test_results_are_for_the_educators_of_the_members_cohort(tenant, client, demo_cases):
    trust = tenant("administrator", "educator", "educator", "trainee")
    teacher, other, person = trust.people[1:]
    read_case(client(person), demo_cases[0])
    assert_problem(results(client, teacher, person), 403, "not_your_cohort")
    put_in_cohort(client, trust, person, [teacher])
    shown = results(client, teacher, person).json()
    assert [(i["reads"], i["correct"]) for i in shown["items"]] == [(1, 1)] and shown["items"][0]["last20"]["n"] == 1
    assert [r["case"] for r in results(client, teacher, person, "reads").json()["items"]] == [demo_cases[0].id]
    assert_problem(results(client, other, person), 403, "not_your_cohort")
    assert_problem(results(client, trust["administrator"], person), 403, "role_required")
    assert_problem(results(client, trust["administrator"], person, "reads"), 403, "role_required")


def test_what_an_educator_sees_is_bounded_by_the_dates_of_membership(tenant, client, demo_cases, pg):
    trust = tenant("administrator", "educator", "trainee")
    person, teacher = trust["trainee"], trust["educator"]
    put_in_cohort(client, trust, person, [teacher])
    for case in demo_cases[:2]:
        read_case(client(person), case)
    first, second = pg.query("SELECT submitted_at FROM reads WHERE person_id = %s ORDER BY submission_no", (person.id,))
    pg.query("UPDATE membership_periods SET since = %s WHERE person_id = %s", (second[0], person.id))
    assert [i["reads"] for i in results(client, teacher, person).json()["items"]] == [1]
    assert len(results(client, teacher, person, "reads").json()["items"]) == 1
    pg.query("UPDATE membership_periods SET since = %s, until = %s WHERE person_id = %s", (first[0], second[0], person.id))
    assert [r["case"] for r in results(client, teacher, person, "reads").json()["items"]] == [demo_cases[0].id]


def test_educators_see_a_leavers_reads_until_the_leaving_and_none_of_another_tenant(tenant, client, demo_cases):
    trust, own = tenant("administrator", "educator", "trainee"), tenant(kind="individual")
    person, teacher = trust["trainee"], trust["educator"]
    put_in_cohort(client, trust, person, [teacher])
    read_case(client(person), demo_cases[0])
    client(trust["administrator"]).delete(f"/v1/tenant/members/{person.id}")
    elsewhere = own.add("trainee", email=person.email, name=person.name, password=person.password)
    read_case(client(elsewhere), demo_cases[1])
    assert [r["case"] for r in results(client, teacher, person, "reads").json()["items"]] == [demo_cases[0].id]
    assert len(results(client, teacher, person).json()["periods"]) == 1


def test_checklist_gdpr_a_manager_sees_results_only_with_consent(tenant, client, demo_cases):
    trust = tenant("administrator", "manager", "trainee")
    person, manager = trust["trainee"], trust["manager"]
    read_case(client(person), demo_cases[0])
    for what in ("performance", "reads"):
        assert_problem(results(client, manager, person, what), 403, "consent_required")
    for _ in range(2):
        assert client(person).put("/v1/me/consents/manager").status_code == 204
    assert results(client, manager, person).json()["items"][0]["reads"] == 1
    for _ in range(2):
        assert client(person).delete("/v1/me/consents/manager").status_code == 204
    assert_problem(results(client, manager, person), 403, "consent_required")
    given = client(person).get("/v1/me/consents").json()["items"]
    assert len(given) == 1 and given[0]["withdrawn_at"]
    recorded = actions(client, trust["administrator"])
    assert recorded.count("consent.given") == recorded.count("consent.withdrawn") == 1


def on_board(client, asker):
    return [r["name"] for r in client(asker).get("/v1/board", params={"modality": "prostate_mri"}).json()["items"]]


def test_checklist_gdpr_the_board_shows_a_manager_nobody_without_consent(tenant, client, demo_cases):
    trust = tenant("administrator", "manager", "trainee", "trainee", "trainee,manager")
    agreed, silent, both = trust.people[2:]
    for person in (agreed, silent, both):
        read_case(client(person), demo_cases[0])
    board = client(trust["manager"]).get("/v1/board", params={"modality": "prostate_mri"}).json()
    assert board["items"] == [] and board["people"] == 3
    assert on_board(client, trust["administrator"]) == []
    assert on_board(client, both) == [both.name]
    assert client(agreed).put("/v1/me/consents/manager").status_code == 204
    assert on_board(client, trust["manager"]) == [agreed.name]
    assert set(on_board(client, both)) == {agreed.name, both.name}
    assert set(on_board(client, silent)) == {agreed.name, silent.name, both.name}, "who reads measures against colleagues"
    client(agreed).delete("/v1/me/consents/manager")
    assert on_board(client, trust["manager"]) == []


def test_the_board_shows_an_educator_her_cohorts_and_ranks_them_among_all(tenant, client, demo_cases):
    trust = tenant("administrator", "educator", "educator", "trainee", "trainee")
    teacher, other, good, poor = trust.people[1:]
    for case in demo_cases[:2]:
        read_case(client(good), case)
        read_case(client(poor), case, right=False)
    put_in_cohort(client, trust, poor, [teacher])
    board = client(teacher).get("/v1/board", params={"modality": "prostate_mri"}).json()
    assert [(r["rank"], r["name"], r["me"]) for r in board["items"]] == [(2, poor.name, False)] and board["people"] == 2
    assert on_board(client, other) == []


def test_whose_results_may_be_seen_is_the_same_for_one_and_for_all(tenant, client, pg):
    """seen_people() finds exactly those of whom may_see_record() is true."""
    trust = tenant("administrator", "educator,manager", "educator", "manager", "trainee", "trainee", "trainee,educator")
    put_in_cohort(client, trust, trust.people[4], [trust.people[1], trust.people[6]])
    client(trust.people[5]).put("/v1/me/consents/manager")
    client(trust["administrator"]).delete(f"/v1/tenant/members/{trust.people[4].id}")  # leavers' results stay to be seen
    seen = 0
    for asker in trust.people:
        one, = pg.query("""SELECT become(%(t)s, %(p)s, NULL, (SELECT roles FROM memberships WHERE tenant_id = %(t)s AND person_id = %(p)s));
                           SELECT ARRAY(SELECT x::text FROM seen_people() x ORDER BY 1),
                                  ARRAY(SELECT m.person_id::text FROM memberships m
                                        WHERE m.tenant_id = %(t)s AND may_see_record(m.person_id) ORDER BY 1)""",
                        {"t": trust.id, "p": asker.id})
        assert one[0] == one[1]
        seen += len(one[0])
    assert seen > len(trust.people)


def test_consent_ends_with_the_membership(tenant, client):
    trust = tenant("administrator", "manager", "trainee")
    client(trust["trainee"]).put("/v1/me/consents/manager")
    client(trust["administrator"]).delete(f"/v1/tenant/members/{trust['trainee'].id}")
    assert_problem(results(client, trust["manager"], trust["trainee"]), 403, "consent_required")


def test_results_of_another_tenants_member_are_not_found(tenant, client):
    trust, other = tenant("educator,manager"), tenant("trainee")
    for what in ("performance", "reads"):
        assert_problem(results(client, trust["manager"], other["trainee"], what), 404, "member_not_found")


# --- One person, several memberships ------------------------------------------------------------------------------------

def in_two(tenant):
    trust, own = tenant("administrator", "trainee"), tenant(kind="individual")
    person = trust["trainee"]
    return trust, own, person, own.add("trainee", email=person.email, name=person.name, password=person.password)


def test_switching_the_tenant_is_explicit_and_ends_the_session_before(tenant, client):
    trust, own, person, _ = in_two(tenant)
    here = client(person)
    switched = here.post("/v1/session/tenant", json={"tenant": own.slug})
    assert switched.status_code == 201, switched.text
    assert switched.json()["tenant"]["slug"] == own.slug and switched.json()["token"]
    assert_problem(here.get("/v1/session"), 401, "session_ended")
    there = client()
    there.headers["authorization"] = f"Bearer {switched.json()['token']}"
    assert there.get("/v1/tenant").json()["slug"] == own.slug
    mine = there.get("/v1/me/memberships").json()["items"]
    assert {(m["tenant"]["slug"], m["active"], m["current"]) for m in mine} == {(own.slug, True, True), (trust.slug, True, False)}


def test_switching_makes_a_session_neither_younger_nor_longer(tenant, client, pg):
    trust, own, person, _ = in_two(tenant)
    here = client(person)
    pg.query("UPDATE sessions SET created_at = created_at - interval '1 hour', expires_at = expires_at - interval '1 hour' "
             "WHERE session_id = %s", (here.get("/v1/session").json()["session"],))
    switched = here.post("/v1/session/tenant", json={"tenant": own.slug}).json()
    lives, created = pg.query("""SELECT s.expires_at <= now() + t.session_absolute - interval '1 hour', s.created_at < now() - interval '1 hour'
                                 FROM sessions s JOIN tenants t USING (tenant_id) WHERE s.session_id = %s""", (switched["session"],))[0]
    assert lives and created
    there = client()
    there.headers["authorization"] = f"Bearer {switched['token']}"
    assert_problem(there.post("/v1/me/totp"), 403, "sign_in_again")
    pg.query("UPDATE tenants SET session_absolute = '30 minutes', session_idle = '10 minutes' WHERE slug = %s", (trust.slug,))
    assert_problem(there.post("/v1/session/tenant", json={"tenant": trust.slug}), 403, "sign_in_again", "/tenant")
    assert there.get("/v1/session").status_code == 200


def test_a_second_factor_that_is_required_from_now_on_is_asked_of_open_sessions(tenant, client):
    trust = tenant("administrator", "trainee")
    me, other = client(trust["administrator"]), client(trust["trainee"])
    assert other.get("/v1/tenant").status_code == 200
    assert me.patch("/v1/tenant", json={"second_factor": "required"}).status_code == 200
    for one in (me, other):
        assert_problem(one.get("/v1/tenant"), 403, "enrolment_required")
        assert one.post("/v1/me/totp").status_code in (200, 201)


def test_open_sessions_of_passwords_end_when_passwords_are_turned_off(tenant, client, pg):
    trust = tenant("administrator", "trainee")
    glass, other = client(trust["administrator"]), client(trust["trainee"])
    pg.query("UPDATE memberships SET break_glass = true WHERE tenant_id = %s AND 'administrator' = ANY (roles)", (trust.id,))
    pg.query("""INSERT INTO single_sign_on (tenant_id, issuer, client_id, client_secret, just_in_time, leave_without_role, discovery,
                    discovered_at, keys, keys_at, keys_tried_at, proven_at)
                VALUES (%s, 'https://op.example', 'c', 's', false, false, '{}', now(), '{}', now(), now(), now())""", (trust.id,))
    assert other.get("/v1/tenant").status_code == 200
    assert glass.patch("/v1/tenant", json={"password_sign_in": False}).status_code == 200
    assert_problem(other.get("/v1/tenant"), 401, "session_ended")
    assert glass.get("/v1/tenant").status_code == 200


def test_nobody_switches_into_a_tenant_that_is_not_theirs(tenant, client):
    trust, other = tenant("administrator", "trainee"), tenant("trainee")
    me = client(trust["trainee"])
    for slug in (other.slug, "no-such-tenant"):
        assert_problem(me.post("/v1/session/tenant", json={"tenant": slug}), 404, "tenant_not_found", "/tenant")
    assert me.get("/v1/session").status_code == 200


def test_what_one_tenants_sign_on_service_said_opens_no_other_tenant(tenant, client, pg):
    _, own, person, _ = in_two(tenant)
    session = person.login()["session"]
    pg.query("UPDATE sessions SET methods = '{single_sign_on}' WHERE session_id = %s", (session,))
    assert_problem(client(person).post("/v1/session/tenant", json={"tenant": own.slug}), 403, "sign_in_there")


def test_what_one_tenants_sign_on_service_said_takes_nobody_out_of_another(tenant, client, pg):
    trust, own, person, _ = in_two(tenant)
    there = tenant("administrator")
    there.add("trainee", email=person.email, name=person.name, password=person.password)
    me = client(person)
    pg.query("UPDATE sessions SET methods = '{single_sign_on}' WHERE session_id = %s", (me.get("/v1/session").json()["session"],))
    assert_problem(me.delete(f"/v1/me/memberships/{there.id}"), 403, "sign_in_there")
    assert me.delete(f"/v1/me/memberships/{trust.id}").status_code == 204


def by_single_sign_on(client, pg, person):
    """The person's session as if the tenant's sign-on service had opened it."""
    me = client(person)
    pg.query("UPDATE sessions SET methods = '{single_sign_on}' WHERE session_id = %s", (me.get("/v1/session").json()["session"],))
    return me


def test_what_one_tenants_sign_on_service_said_shows_nothing_of_another(tenant, client, pg, demo_cases):
    """Whoever runs a trust's provider can sign in as its people: not to see what they do elsewhere."""
    trust, own, person, elsewhere = in_two(tenant)
    read_case(client(person), demo_cases[0])
    read_case(client(elsewhere), demo_cases[1])
    export = client(elsewhere).post("/v1/me/export").json()["id"]
    me = by_single_sign_on(client, pg, person)
    assert [r["tenant"]["slug"] for r in me.get("/v1/me/reads").json()["items"]] == [trust.slug]
    assert [i["reads"] for i in me.get("/v1/me/performance").json()["items"]] == [1]
    assert [m["tenant"]["slug"] for m in me.get("/v1/me/memberships").json()["items"]] == [trust.slug]
    assert_problem(me.post("/v1/me/export"), 403, "own_sign_in_required")
    assert_problem(me.get(f"/v1/me/exports/{export}"), 403, "own_sign_in_required")
    assert own.slug not in "".join(me.get(path).text for path in ("/v1/me", "/v1/session", "/v1/sessions", "/v1/tenant"))


def test_what_one_tenants_sign_on_service_said_changes_nothing_of_another(tenant, client, pg):
    trust, own, person, elsewhere = in_two(tenant)
    there, me = client(elsewhere), by_single_sign_on(client, pg, person)
    assert_problem(me.put("/v1/me", json={"name": "Somebody Else"}), 403, "own_sign_in_required")
    # Not even of who has no password that the deletion would meet.
    pg.query("DELETE FROM passwords WHERE person_id = %s", (person.id,))
    assert_problem(me.request("DELETE", "/v1/me", json={"confirm": "erase"}), 403, "own_sign_in_required")
    assert there.get("/v1/me").json()["name"] == person.name


def test_who_belongs_to_one_tenant_alone_is_its_sign_on_services_to_vouch_for(tenant, client, pg):
    trust = tenant("administrator", "trainee")
    me = by_single_sign_on(client, pg, trust["trainee"])
    pg.query("DELETE FROM passwords WHERE person_id = %s", (trust["trainee"].id,))
    assert me.put("/v1/me", json={"name": "Nora Ny"}).status_code == 200
    assert me.post("/v1/me/export").status_code == 202
    assert me.request("DELETE", "/v1/me", json={"confirm": "erase"}).status_code == 204


def test_ones_own_record_travels_and_nobody_elses(tenant, client, demo_cases):
    trust, own, person, elsewhere = in_two(tenant)
    colleague = trust.add("trainee")
    read_case(client(person), demo_cases[0])
    read_case(client(elsewhere), demo_cases[1], right=False)
    read_case(client(colleague), demo_cases[2])
    for me in (client(person), client(elsewhere)):
        shown = me.get("/v1/me/reads").json()["items"]
        assert [(r["tenant"]["slug"], r["case"]) for r in shown] == [(own.slug, demo_cases[1].id), (trust.slug, demo_cases[0].id)]
        assert [(i["reads"], i["correct"]) for i in me.get("/v1/me/performance").json()["items"]] == [(2, 1)]
    first = client(person).get("/v1/me/reads", params={"limit": 1}).json()
    second = client(person).get("/v1/me/reads", params={"limit": 1, "after": first["next"]}).json()
    assert [r["case"] for r in first["items"] + second["items"]] == [demo_cases[1].id, demo_cases[0].id] and second["next"] is None
    client(trust["administrator"]).delete(f"/v1/tenant/members/{person.id}")
    assert len(client(elsewhere).get("/v1/me/reads").json()["items"]) == 2


def test_who_has_left_every_tenant_signs_in_to_one_of_their_own_with_the_record(tenant, client, demo_cases, pg):
    trust, person = (lambda made: (made, made["trainee"]))(tenant("administrator", "trainee"))
    read_case(client(person), demo_cases[0])
    client(trust["administrator"]).delete(f"/v1/tenant/members/{person.id}")
    sign_in_there = {"email": person.email, "password": person.password}
    assert_problem(client().post("/v1/sessions", json={**sign_in_there, "tenant": trust.slug}), 401, "sign_in_failed")
    opened = [client().post("/v1/sessions", json=sign_in_there) for _ in range(2)]
    assert [reply.status_code for reply in opened] == [201, 201], opened[0].text
    first, second = (reply.json() for reply in opened)
    assert first["tenant"] == second["tenant"] and first["tenant"]["kind"] == "individual" and first["roles"] == ["trainee"]
    assert re.fullmatch("p-[0-9a-f]{20}", first["tenant"]["slug"])
    me = client()
    me.headers["authorization"] = f"Bearer {first['token']}"
    assert [(r["tenant"]["slug"], r["case"]) for r in me.get("/v1/me/reads").json()["items"]] == [(trust.slug, demo_cases[0].id)]
    assert me.post("/v1/me/export").status_code == 202
    assert pg.query("SELECT count(*) FROM memberships WHERE person_id = %s", (person.id,)) == [(2,)]


def test_who_only_ever_supported_tenants_gets_none(tenant, server, client, pg):
    """An operator is a person without any right in any tenant, of their own neither."""
    person = tenant("trainee")["trainee"]
    pg.query("DELETE FROM scim_users WHERE person_id = %(p)s; DELETE FROM membership_periods WHERE person_id = %(p)s;"
             "DELETE FROM memberships WHERE person_id = %(p)s", {"p": person.id})
    server.cli("operator", "add", "--email", person.email, "--name", person.name)
    trust = tenant("administrator")
    server.cli("support", "open", "--tenant", trust.slug, "--operator", person.email, "--hours", "1", "--reason", "a test")
    server.cli("operator", "remove", "--email", person.email)
    assert_problem(client().post("/v1/sessions", json={"email": person.email, "password": person.password}), 401, "sign_in_failed")


def test_a_personal_tenant_is_opened_beside_a_trust_once(tenant, client, pg):
    trust = tenant("administrator", "trainee")
    me = client(trust["trainee"])
    made = me.put("/v1/me/personal-tenant")
    assert made.status_code == 200, made.text
    assert (made.json()["tenant"]["kind"], made.json()["roles"], made.json()["current"]) == ("individual", ["trainee"], False)
    assert me.put("/v1/me/personal-tenant").json() == made.json()
    with ThreadPoolExecutor(8) as pool:
        assert {one.json()["tenant"]["id"] for one in pool.map(lambda _: me.put("/v1/me/personal-tenant"), range(8))} == {
            made.json()["tenant"]["id"]}
    switched = me.post("/v1/session/tenant", json={"tenant": made.json()["tenant"]["slug"]})
    assert switched.status_code == 201 and switched.json()["tenant"]["id"] == made.json()["tenant"]["id"]
    assert client(trust["administrator"]).get("/v1/tenant").json()["seats"]["used"] == 1


def test_a_tenants_sign_on_service_opens_no_personal_tenant(tenant, client, pg):
    me = by_single_sign_on(client, pg, tenant("trainee")["trainee"])
    assert_problem(me.put("/v1/me/personal-tenant"), 403, "own_sign_in_required")


def test_leaving_a_tenant_leaves_the_others_and_never_the_personal_one(tenant, client):
    trust, own, person, elsewhere = in_two(tenant)
    me = client(elsewhere)
    assert_problem(me.delete(f"/v1/me/memberships/{own.id}"), 409, "personal_tenant")
    assert_problem(me.delete(f"/v1/me/memberships/{unknown_id()}"), 404, "tenant_not_found")
    there = client(person)
    assert me.delete(f"/v1/me/memberships/{trust.id}").status_code == 204
    assert_problem(there.get("/v1/session"), 401, "session_ended")
    assert me.get("/v1/session").status_code == 200
    assert_problem(me.delete(f"/v1/me/memberships/{trust.id}"), 404, "tenant_not_found")
