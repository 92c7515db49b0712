"""The audit record: complete, in order, and whoever changes it afterwards is found out."""
import hashlib
import json
import threading

import pytest


def lines(text):
    return text.splitlines()


def exported(server, trust):
    return lines(server.cli("audit", "export", "--tenant", trust.slug).stdout)


def verify(server, *arguments):
    return server.cli("audit", "verify", *arguments, check=False)


@pytest.fixture
def trust(tenant):
    """A tenant with a few entries: members added, sessions opened."""
    made = tenant("administrator", "trainee", "educator")
    for person in made.people:
        person.login()
    return made


def test_entries_are_numbered_without_gaps_in_a_tenants_own_row(trust, client):
    entries = client(trust["administrator"]).get("/v1/audit", params={"limit": 100}).json()["items"]
    assert [e["number"] for e in entries] == list(range(len(entries), 0, -1))
    assert len(entries) >= 6


def test_pages_of_the_record_miss_nothing(trust, client):
    admin, seen, after = client(trust["administrator"]), [], None
    while True:
        page = admin.get("/v1/audit", params={"limit": 2, **({"after": after} if after else {})}).json()
        seen += [e["number"] for e in page["items"]]
        after = page["next"]
        if not after:
            break
    assert seen == sorted(set(seen), reverse=True) and seen[-1] == 1


def test_the_export_is_the_chain_that_its_description_says(trust, client):
    reply = client(trust["administrator"]).get("/v1/audit/export")
    assert reply.headers["content-type"].startswith("application/x-ndjson")
    previous = hashlib.sha256(trust.id.encode()).hexdigest()
    for number, line in enumerate(lines(reply.text), 1):
        record = json.loads(line)
        entry = line.split('"entry":', 1)[1][:-1]
        assert (record["number"], record["previous"]) == (number, previous)
        assert json.loads(entry)["number"] == number and json.loads(entry)["tenant"] == trust.id
        previous = hashlib.sha256(bytes.fromhex(previous) + entry.encode()).hexdigest()
        assert record["hash"] == previous
    assert number >= 6
    behind = client(trust["administrator"]).get("/v1/audit/export", params={"after": 4, "limit": 1})
    assert [json.loads(line)["number"] for line in lines(behind.text)] == [5]


def test_an_export_of_anybody_else_shows_nothing_of_this_tenant(trust, tenant, client):
    stranger = tenant("administrator")
    text = client(stranger["administrator"]).get("/v1/audit/export").text
    assert stranger.id in text and trust.id not in text


@pytest.mark.parametrize("parameters,field", [({"after": "x"}, "after"), ({"limit": 10001}, "limit"), ({"limit": -1}, "limit")])
def test_a_wrong_export_parameter_is_named(trust, client, parameters, field):
    reply = client(trust["administrator"]).get("/v1/audit/export", params=parameters)
    assert (reply.status_code, reply.json()["field"]) == (422, field)


def test_the_seal_comes_by_itself(server, pg, trust):
    import time
    # What earlier tests did, such as to take the database away or to kill who was at it, makes it wait for a minute and more.
    pg.query("UPDATE jobs SET run_after = now(), attempts = 0, lease = NULL, lease_until = NULL WHERE kind = 'audit_seal';"
             "NOTIFY overread_jobs, 'audit_seal'")
    deadline = time.monotonic() + 60
    while pg.query("SELECT count(*) FROM audit_queue WHERE tenant_id = %s", (trust.id,))[0][0]:
        assert time.monotonic() < deadline, "entries wait for their place for ever"
        time.sleep(0.2)
    assert pg.query("SELECT number FROM audit_heads WHERE tenant_id = %s", (trust.id,))[0][0] >= 6


def test_many_writers_and_readers_at_once_leave_one_whole_chain(server, trust, client):
    def work():
        with server.client(trust["administrator"].token) as one:
            for _ in range(5):
                trust_session = one.post("/v1/sessions", json={"email": trust["trainee"].email,
                                                               "password": trust["trainee"].password, "tenant": trust.slug})
                assert trust_session.status_code == 201
                assert one.get("/v1/audit").status_code == 200

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result = verify(server, "--tenant", trust.slug)
    assert result.returncode == 0, result.stderr
    created = [line for line in exported(server, trust) if '"session.created"' in line]
    assert len(created) >= 30


def test_a_whole_record_verifies_from_the_database_and_from_its_export(server, trust, tmp_path):
    kept = tmp_path / "export.jsonl"
    kept.write_text("\n".join(exported(server, trust)) + "\n")
    from_database, from_file = verify(server, "--tenant", trust.slug), verify(server, "--file", kept)
    assert from_database.returncode == 0 and from_file.returncode == 0, from_database.stderr + from_file.stderr
    assert from_database.stdout.split()[1:] == from_file.stdout.split()[1:]


TAMPERED = {
    "edited": "UPDATE audit_log SET action = 'nothing.happened' WHERE tenant_id = %(t)s AND entry = %(e)s",
    "edited_detail": "UPDATE audit_log SET detail = '{\"roles\": \"nobody\"}' WHERE tenant_id = %(t)s AND entry = %(e)s",
    "edited_person": "UPDATE audit_log SET person_id = gen_random_uuid() WHERE tenant_id = %(t)s AND entry = %(e)s",
    "edited_time": "UPDATE audit_log SET at = at - interval '1 microsecond' WHERE tenant_id = %(t)s AND entry = %(e)s",
    "deleted": "DELETE FROM audit_chain WHERE tenant_id = %(t)s AND entry = %(e)s;"
               "DELETE FROM audit_log WHERE tenant_id = %(t)s AND entry = %(e)s",
    "deleted_from_the_log": "DELETE FROM audit_log WHERE tenant_id = %(t)s AND entry = %(e)s",
    "reordered": "UPDATE audit_chain SET number = 1000001 WHERE tenant_id = %(t)s AND number = 2;"
                 "UPDATE audit_chain SET number = 2 WHERE tenant_id = %(t)s AND number = 3;"
                 "UPDATE audit_chain SET number = 3 WHERE tenant_id = %(t)s AND number = 1000001",
    "truncated": "DELETE FROM audit_chain WHERE tenant_id = %(t)s AND number > 3;"
                 "DELETE FROM audit_log WHERE tenant_id = %(t)s AND entry >= %(e)s",
    "slipped_in": "INSERT INTO audit_log (tenant_id, action) VALUES (%(t)s, 'it.never.happened')",
}


@pytest.mark.parametrize("how", TAMPERED)
def test_checklist_audit_the_verifier_catches_a_record_that_was(server, pg, trust, how):
    assert verify(server, "--tenant", trust.slug).returncode == 0
    exported(server, trust)  # seals
    entry = pg.query("SELECT entry FROM audit_chain WHERE tenant_id = %s AND number = 4", (trust.id,))[0][0]
    pg.query("SET session_replication_role = replica;" + TAMPERED[how], {"t": trust.id, "e": entry})
    result = verify(server, "--tenant", trust.slug)
    assert result.returncode == 1 and "record_broken" in result.stderr and trust.slug in result.stderr
    # No links to nothing stay behind: a test that restores a backup could not have them.
    pg.query("SET session_replication_role = replica; DELETE FROM audit_chain c WHERE c.tenant_id = %s AND NOT EXISTS"
             " (SELECT FROM audit_log l WHERE l.tenant_id = c.tenant_id AND l.entry = c.entry)", (trust.id,))


def test_checklist_audit_a_tail_cut_off_together_with_its_head_is_caught_by_what_was_kept(server, pg, trust, tmp_path):
    exported(server, trust)
    heads = tmp_path / "heads"
    heads.write_text(verify(server, "--tenant", trust.slug).stdout)
    pg.query("SET session_replication_role = replica;"
             "DELETE FROM audit_log WHERE (tenant_id, entry) IN (SELECT tenant_id, entry FROM audit_chain"
             " WHERE tenant_id = %(t)s AND number > 3);"
             "DELETE FROM audit_chain WHERE tenant_id = %(t)s AND number > 3;"
             "UPDATE audit_heads SET number = 3, hash = (SELECT hash FROM audit_chain WHERE tenant_id = %(t)s AND number = 3)"
             " WHERE tenant_id = %(t)s", {"t": trust.id})
    assert verify(server, "--tenant", trust.slug).returncode == 0, "nothing inside the database can tell"
    result = verify(server, "--tenant", trust.slug, "--heads", heads)
    assert result.returncode == 1 and "truncated" in result.stderr


@pytest.mark.parametrize("spoil", [
    lambda text: text[:1] + text[2:], lambda text: text[1:], lambda text: [text[0], text[2], text[1], *text[3:]],
    lambda text: [text[0].replace('"action" : "', '"action" : "un'), *text[1:]],
    lambda text: [text[0].replace('"entry":', '"entry": '), *text[1:]], lambda text: []],
    ids=["a_line_less", "without_its_first", "reordered", "edited", "respaced", "empty"])
def test_checklist_audit_the_offline_verifier_catches_an_export_that_was_changed(server, trust, tmp_path, spoil):
    kept = tmp_path / "export.jsonl"
    kept.write_text("".join(line + "\n" for line in spoil(exported(server, trust))))
    result = verify(server, "--file", kept)
    assert result.returncode == 1 and result.stderr, result.stdout


@pytest.mark.parametrize("kept_as", ["slug", "id"])
def test_checklist_audit_the_offline_verifier_catches_an_export_that_was_truncated(server, trust, tmp_path, kept_as):
    lines = exported(server, trust)
    whole, cut, heads = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl", tmp_path / "heads"
    whole.write_text("".join(line + "\n" for line in lines))
    cut.write_text("".join(line + "\n" for line in lines[:-1]))
    heads.write_text(verify(server, "--tenant", trust.slug).stdout if kept_as == "slug" else verify(server, "--file", whole).stdout)
    named = ("--tenant", trust.slug) if kept_as == "slug" else ()
    assert verify(server, "--file", cut).returncode == 0, "nothing in what is left can tell"
    assert verify(server, "--file", whole, "--heads", heads, *named).returncode == 0
    result = verify(server, "--file", cut, "--heads", heads, *named)
    assert result.returncode == 1 and "truncated" in result.stderr
    heads.write_text(f"{trust.slug if named else trust.id} {len(lines)} {'0' * 64}\n")
    result = verify(server, "--file", whole, "--heads", heads, *named)
    assert result.returncode == 1 and "not the one that was kept" in result.stderr


def test_checklist_audit_the_application_can_only_add(pg, trust):
    import psycopg2
    for table in ("audit_log", "audit_chain", "audit_heads", "audit_queue"):
        for verb in ("UPDATE {} SET tenant_id = tenant_id", "DELETE FROM {}", "TRUNCATE {}", "INSERT INTO {} DEFAULT VALUES"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                pg.query("SET ROLE overread_app; " + verb.format(table))
    for table in ("audit_log", "audit_chain"):
        for verb in ("UPDATE {} SET tenant_id = tenant_id", "DELETE FROM {}", "TRUNCATE {} CASCADE"):
            with pytest.raises(psycopg2.errors.RaiseException):
                pg.query("SET ROLE overread_owner; " + verb.format(table))
