"""Tenants: who belongs to one, who may see what, and that no tenant sees another's."""
import threading

import pytest
from support.reads import assert_problem, open_read, read_case, submit, truth_as_answer


def test_the_tenant_is_shown_to_its_members(tenant, client):
    trust = tenant("trainee", "administrator")
    shown = client(trust["trainee"]).get("/v1/tenant").json()
    assert shown["slug"] == trust.slug and shown["members"] == 2


def test_educators_and_administrators_list_the_members(tenant, client):
    trust = tenant("trainee", "educator", "administrator")
    for role in ("educator", "administrator"):
        members = client(trust[role]).get("/v1/tenant/members").json()["items"]
        assert {m["email"] for m in members} == {p.email for p in trust.people}


@pytest.mark.parametrize("path", ["/v1/tenant/members", "/v1/audit"])
def test_a_trainee_is_refused_an_administrators_route(tenant, client, path):
    assert_problem(client(tenant("trainee")["trainee"]).get(path), 403, "role_required")


def test_pages_of_members_come_with_a_cursor_and_miss_nobody(tenant, client):
    trust = tenant("administrator", *["trainee"] * 5)
    me, seen, after = client(trust["administrator"]), [], None
    while True:
        page = me.get("/v1/tenant/members", params={"limit": 2, **({"after": after} if after else {})}).json()
        seen += [m["person"] for m in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert sorted(seen) == sorted(p.id for p in trust.people) and len(seen) == 6


def test_the_audit_log_shows_the_tenants_own_entries_newest_first(tenant, client):
    trust, other = tenant("administrator", "trainee"), tenant("administrator")
    trust["trainee"].login()
    other["administrator"].login()
    entries = client(trust["administrator"]).get("/v1/audit").json()["items"]
    assert [e["number"] for e in entries] == sorted((e["number"] for e in entries), reverse=True)
    assert trust["trainee"].id in {e["person"] for e in entries if e["action"] == "session.created"}
    assert other["administrator"].id not in {e["person"] for e in entries}


def test_the_audit_log_cannot_be_changed_by_anybody(pg, tenant):
    tenant("administrator")
    for statement in ("UPDATE audit_log SET action = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log CASCADE"):
        with pytest.raises(Exception, match="never changed"):
            pg.query(statement)


@pytest.mark.parametrize("table", ["case_truths", "passwords", "jobs"])
def test_the_application_role_cannot_read_what_only_functions_may(pg, table):
    with pytest.raises(Exception, match="permission denied"):
        pg.query(f"SELECT * FROM {table}", user="overread_app")


def test_another_tenants_read_is_not_found_whatever_is_done_to_it(tenant, client, demo_cases):
    mine, theirs = client(tenant("trainee")["trainee"]), client(tenant("trainee", "administrator")["trainee"])
    read = open_read(mine, demo_cases[1])
    path = f"/v1/reads/{read['id']}"
    assert_problem(theirs.get(path), 404, "read_not_found")
    assert_problem(theirs.get(path + "/feedback"), 404, "read_not_found")
    assert_problem(theirs.put(path + "/draft", json={"answer": {}}), 404, "read_not_found")
    answer = truth_as_answer(demo_cases[1].truth["truth"])
    assert_problem(submit(theirs, read, answer), 404, "read_not_found")
    assert submit(mine, read, answer).status_code == 200
    assert_problem(theirs.get(path + "/feedback"), 404, "read_not_found")


def test_a_colleagues_read_is_not_found_either(tenant, client, demo_cases):
    trust = tenant("trainee", "trainee")
    read = open_read(client(trust.people[0]), demo_cases[1])
    assert_problem(client(trust.people[1]).get(f"/v1/reads/{read['id']}"), 404, "read_not_found")


def test_two_tenants_at_once_never_see_a_foreign_row(tenant, client, demo_cases):
    """Many requests of two tenants share the server's few pipelined connections."""
    people = [tenant("trainee", "administrator") for _ in range(2)]
    for trust in people:
        read_case(client(trust["trainee"]), demo_cases[2])
    foreign, failures = [], []

    def hammer(trust):
        me, own = client(trust["administrator"]), {p.email for p in trust.people}
        reader = client(trust["trainee"])
        try:
            mine = {r["id"] for r in reader.get("/v1/reads").json()["items"]}
            for _ in range(60):
                foreign.extend({m["email"] for m in me.get("/v1/tenant/members").json()["items"]} - own)
                foreign.extend({r["id"] for r in reader.get("/v1/reads").json()["items"]} - mine)
                assert me.get("/v1/tenant").json()["slug"] == trust.slug
        except Exception as failure:  # a thread's exception would be lost
            failures.append(failure)

    threads = [threading.Thread(target=hammer, args=(trust,)) for trust in people for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and foreign == []


def test_creating_a_tenant_again_changes_only_what_is_named(tenant, server, client):
    trust = tenant("trainee", options=("--access-until", "2030-01-01T00:00:00Z", "--session-idle", "7 minutes"))
    server.cli("tenant", "create", "--kind", "organisation", "--slug", trust.slug, "--name", "New name")
    shown = client(trust["trainee"]).get("/v1/tenant").json()
    assert shown["name"] == "New name" and shown["access_until"].startswith("2030-01-01")
    assert shown["session_idle_seconds"] == 420
    other = server.cli("tenant", "create", "--kind", "individual", "--slug", trust.slug, "--name", "X", check=False)
    assert other.returncode == 1 and "kind_differs" in other.stderr


@pytest.mark.parametrize("arguments, constraint", [
    (("--kind", "club", "--slug", "club-1", "--name", "C"), "tenants_kind_check"),
    (("--kind", "organisation", "--slug", "No Slug", "--name", "C"), "tenants_slug_check"),
    (("--kind", "organisation", "--slug", "c2", "--name", ""), "tenants_name_check"),
    (("--kind", "organisation", "--slug", "c3", "--name", "C", "--access-until", "soon"), "bad_value")])
def test_an_operators_wrong_value_is_said_to_be_wrong(server, tenant, arguments, constraint):
    result = server.cli("tenant", "create", *arguments, check=False)
    assert result.returncode == 1 and "bad_value" in result.stderr and constraint in result.stderr


def test_who_leaves_a_tenant_leaves_its_board(tenant, client, demo_cases, pg):
    trust = tenant("trainee", "trainee")
    for person in trust.people:
        read_case(client(person), demo_cases[0])
    pg.query("UPDATE memberships SET until = now() WHERE person_id = %s", (trust.people[0].id,))
    board = client(trust.people[1]).get("/v1/board", params={"modality": "prostate_mri"}).json()
    assert [r["name"] for r in board["items"]] == [trust.people[1].name] and board["people"] == 1
