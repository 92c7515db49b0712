"""Data protection: what is held about a person can be taken along, and the person forgotten."""
import io
import json
import re
import subprocess
import time
import zipfile

import pytest

from support.cluster import binary
from support.reads import assert_problem, open_read, read_case, submit, truth_as_answer, unknown_id
from support.server import OVERREAD, ROOT, environment

PLUGINS_SOURCE = ROOT / "plugins"

# Columns of `people`: a new one is to be thought of in person_erase() before it is listed here.
PEOPLE_COLUMNS = {"person_id", "email", "name", "disabled_at", "created_at", "email_verified_at"}
# Tables that name people otherwise than by a column of personal_data, and where they are dealt with.
DEALT_WITH = {
    "people": "person_erase() itself",
    "reads": "export_page(): reads; stays, of nobody",
    "audit_log": "export_page(): audit; stays, its chain holds",
    "tickets": "export_page(): invitations; outbox_forget()",
    "erasures": "the ledger",
    "single_sign_on": "email_domains name no person",
}


@pytest.fixture
def subject(server, tenant, client, demo_cases):
    """Somebody who has left traces in two tenants. .first and .second are the tenants; .person, .other."""
    class Subject:
        first = tenant("administrator", "trainee")
        second = tenant("administrator")

    Subject.person, Subject.other = Subject.first["trainee"], Subject.first["administrator"]
    again = Subject.second.add("trainee", email=Subject.person.email, name=Subject.person.name, password=Subject.person.password)
    assert again.id == Subject.person.id
    one = client(Subject.person)
    Subject.feedback = read_case(one, demo_cases[0])
    Subject.thought, Subject.device = f"half a thought {unknown_id()}", f"laptop {unknown_id()}"
    drafted = open_read(one, demo_cases[1])
    assert one.put(f"/v1/reads/{drafted['id']}/draft", json={"answer": {"note": Subject.thought}}).status_code < 300
    assert one.put("/v1/board/pseudonym", json={"pseudonym": f"Owl {Subject.person.id[-6:]}"}).status_code < 300
    token = one.post("/v1/me/tokens", json={"name": Subject.device, "scopes": ["cases:read"]})
    assert token.status_code == 201, token.text
    Subject.api_token = token.json()["token"]
    assert one.post("/v1/me/totp").status_code == 201
    with server.client(again.token) as two:
        Subject.second_feedback = read_case(two, demo_cases[2], right=False)
    return Subject


def wait_export(one, made, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        reply = one.get(f"/v1/me/exports/{made['id']}")
        if reply.status_code == 200:
            return reply
        assert reply.status_code == 202 and reply.json()["state"] == "preparing", reply.text
        assert time.monotonic() < deadline, "the export is never ready"
        time.sleep(0.1)


def contents(data):
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.testzip() is None
    return {name: json.loads(archive.read(name)) for name in archive.namelist()}


def export(one):
    asked = one.post("/v1/me/export")
    assert asked.status_code == 202, asked.text
    reply = wait_export(one, asked.json())
    assert reply.headers["content-type"] == "application/zip" and reply.headers["cache-control"] == "no-store"
    return asked.json(), reply.content


# --- Export -----------------------------------------------------------------------------------------------------------


def test_checklist_gdpr_an_export_is_versioned_json_in_a_zip(subject, client):
    _, data = export(client(subject.person))
    files = contents(data)
    manifest = files.pop("manifest.json")
    assert (manifest["format"], manifest["version"]) == ("overread-personal-data", 1)
    assert {f["name"]: f["records"] for f in manifest["files"]} == {name: len(rows) for name, rows in files.items()}


def test_checklist_gdpr_an_export_holds_the_record_of_every_tenant(subject, client):
    files = contents(export(client(subject.person))[1])
    assert [p["email"] for p in files["person.json"]] == [subject.person.email]
    assert {t["slug"] for t in files["tenants.json"]} == {subject.first.slug, subject.second.slug}
    assert len(files["memberships.json"]) == 2
    reads = {r["read_id"]: r for r in files["reads.json"]}
    for feedback in (subject.feedback, subject.second_feedback):
        mine = reads[feedback["read"]]
        assert mine["answer"] == feedback["answer"] and [g["grade"] for g in mine["grades"]] == [feedback["grade"]]
    assert [r["draft"] for r in reads.values() if r["draft"]] == [{"note": subject.thought}]
    assert len(files["pseudonym.json"]) == 1 and len(files["standings.json"]) >= 2
    assert [t["name"] for t in files["api_tokens.json"]] == [subject.device]
    assert {e["action"] for e in files["audit.json"]} >= {"session.created", "read.submitted", "token.created"}
    assert {e["by"] for e in files["audit.json"]} <= {"you", "somebody else", "the system"}


def test_checklist_gdpr_an_export_holds_no_secret_and_nobody_else(subject, client, pg):
    data = export(client(subject.person))[1]
    text = "".join(json.dumps(rows) for rows in contents(data).values())
    person = (subject.person.id,)
    secrets = [row[0] for row in pg.query(
        "SELECT encode(token_hash, 'hex') FROM sessions WHERE person_id = %(p)s UNION ALL"
        " SELECT encode(token_hash, 'hex') FROM api_tokens WHERE person_id = %(p)s UNION ALL"
        " SELECT phc FROM passwords WHERE person_id = %(p)s UNION ALL SELECT seed FROM totp WHERE person_id = %(p)s",
        {"p": person[0]})]
    assert len(secrets) >= 4
    for secret in (*secrets, subject.person.token, subject.api_token, subject.person.password,
                   subject.other.email, subject.other.id):
        assert secret not in text


def test_an_export_is_longer_than_a_page_and_misses_nothing(subject, client, pg, server, tmp_path):
    pg.query("INSERT INTO audit_log (tenant_id, person_id, action) SELECT %s, %s, 'test.' || n FROM generate_series(1, 1001) n",
             (subject.first.id, subject.person.id))
    pg.query("INSERT INTO audit_queue SELECT tenant_id, entry FROM audit_log WHERE tenant_id = %s AND action LIKE 'test.%%'",
             (subject.first.id,))
    output = tmp_path / "export.zip"
    server.cli("person", "export", "--email", subject.person.email, "--output", output)
    assert output.stat().st_mode & 0o777 == 0o600
    tests = [e["action"] for e in contents(output.read_bytes())["audit.json"] if e["action"].startswith("test.")]
    assert tests == [f"test.{n}" for n in range(1, 1002)]


def test_who_asks_for_an_export_again_gets_the_same(subject, client):
    one = client(subject.person)
    first, again = one.post("/v1/me/export").json(), one.post("/v1/me/export").json()
    assert first["id"] == again["id"]


def test_an_export_is_ones_own_alone(subject, client, tenant):
    made, _ = export(client(subject.person))
    for who in (subject.other, tenant("trainee")["trainee"]):
        assert_problem(client(who).get(f"/v1/me/exports/{made['id']}"), 404, "export_not_found")
    assert_problem(client(subject.person).get(f"/v1/me/exports/{unknown_id()}"), 404, "export_not_found")
    assert_problem(client(subject.person).get("/v1/me/exports/1"), 404, "export_not_found")
    assert_problem(client(subject.person).post("/v1/me/export", params={"all": "1"}), 400, field="all")


def test_no_program_exports_or_erases_its_person(subject, server):
    with server.client(subject.api_token) as program:
        for reply in (program.post("/v1/me/export"), program.get(f"/v1/me/exports/{unknown_id()}"),
                      program.request("DELETE", "/v1/me", json={"confirm": "erase"})):
            assert reply.status_code == 403


def test_an_export_can_be_fetched_for_seven_days_and_then_its_file_goes(subject, client, server, pg):
    made, _ = export(client(subject.person))
    file = server.folder / "state/exports" / f"{made['id']}.zip"
    assert file.stat().st_mode & 0o777 == 0o600
    pg.query("UPDATE personal_exports SET requested_at = now() - interval '7 days' WHERE export_id = %s", (made["id"],))
    assert client(subject.person).get(f"/v1/me/exports/{made['id']}").status_code == 404
    pg.query("UPDATE jobs SET run_after = now() WHERE kind = 'personal_export_sweep'")
    deadline = time.monotonic() + 30
    while file.exists():
        assert time.monotonic() < deadline, "the file stays"
        time.sleep(0.1)


# --- Erasure ----------------------------------------------------------------------------------------------------------


def erase_cli(server, person):
    return server.cli_json("person", "erase", "--email", person.email, "--yes")["erased"]


def occurrences(pg, words, database="overread"):
    """Tables whose rows hold one of the words, in any column."""
    found = set()
    tables = [row[0] for row in pg.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database=database)]
    for table in tables:
        for word in words:
            if pg.query(f"SELECT 1 FROM {table} t WHERE position(lower(%s) in lower(t::text)) > 0 LIMIT 1", (word,),
                        database=database):
                found.add((table, word))
    return found


def test_checklist_gdpr_erasure_puts_a_pseudonym_in_the_persons_place(subject, client, server, pg):
    pseudonym = f"Owl {subject.person.id[-6:]}"
    words = (subject.person.email, subject.person.name, pseudonym, subject.thought, subject.device)
    assert occurrences(pg, words)
    assert erase_cli(server, subject.person) == subject.person.id
    assert not occurrences(pg, words)
    assert pg.query("SELECT email, name, disabled_at IS NOT NULL FROM people WHERE person_id = %s", (subject.person.id,)) == \
        [(f"erased-{subject.person.id}@erased.invalid", "Erased person", True)]
    assert pg.query("SELECT count(*) FROM memberships WHERE person_id = %s AND until > now()", (subject.person.id,)) == [(0,)]


def test_checklist_gdpr_erasure_ends_every_way_in(subject, client, server):
    one, program = client(subject.person), server.client(subject.api_token)
    assert (one.get("/v1/me").status_code, program.get("/v1/cases").status_code) == (200, 200)
    erase_cli(server, subject.person)
    assert (one.get("/v1/me").status_code, program.get("/v1/cases").status_code) == (401, 401)
    program.close()
    again = client().post("/v1/sessions", json={"email": subject.person.email, "password": subject.person.password})
    assert_problem(again, 401, "sign_in_failed")


def test_checklist_gdpr_after_erasure_the_audit_chain_still_verifies(subject, client, server):
    before = server.cli("audit", "export", "--tenant", subject.first.slug).stdout
    erase_cli(server, subject.person)
    after = server.cli("audit", "export", "--tenant", subject.first.slug).stdout
    assert after.startswith(before) and '"person.erased"' in after[len(before):]
    for trust in (subject.first, subject.second):
        result = server.cli("audit", "verify", "--tenant", trust.slug, check=False)
        assert result.returncode == 0, result.stderr


def test_what_was_read_and_graded_stays_as_statistics(subject, server, pg):
    kept = "SELECT (SELECT count(*) FROM reads WHERE submitted_at IS NOT NULL), (SELECT count(*) FROM grades)"
    before = pg.query(kept)
    erase_cli(server, subject.person)
    assert pg.query(kept) == before
    assert pg.query("SELECT count(*) FROM standings WHERE person_id = %s AND listed", (subject.person.id,)) == [(0,)]


def test_a_read_that_waits_for_its_grade_is_graded_after_erasure(subject, client, server, pg, demo_cases):
    one = client(subject.person)
    read = open_read(one, demo_cases[3])
    assert submit(one, read, truth_as_answer(demo_cases[3].truth["truth"])).status_code == 200
    pg.query("SET session_replication_role = replica; DELETE FROM grades WHERE read_id = %(r)s;"
             "UPDATE reads SET state = 'awaiting_grade' WHERE read_id = %(r)s;"
             "INSERT INTO jobs (id, tenant_id, person_id, kind, key, payload, run_after) SELECT gen_random_uuid(), tenant_id,"
             " person_id, 'grade', read_id, jsonb_build_object('read', read_id), now() + interval '2 seconds'"
             " FROM reads WHERE read_id = %(r)s", {"r": read["id"]})
    erase_cli(server, subject.person)
    deadline = time.monotonic() + 60
    while pg.query("SELECT state FROM reads WHERE read_id = %s", (read["id"],)) != [("graded",)]:
        assert time.monotonic() < deadline, "the grade never came"
        time.sleep(0.2)
    # The read was graded twice, behind the back of the standings: nobody is to look at this person's again.
    pg.query("SET session_replication_role = replica; DELETE FROM standings WHERE person_id = %(p)s;"
             "UPDATE reads SET attempt = 99 WHERE person_id = %(p)s", {"p": subject.person.id})


def test_one_erases_oneself_with_the_password(subject, client, server):
    one = client(subject.person)
    assert_problem(one.request("DELETE", "/v1/me", json={"confirm": "erase", "password": "not it, not it at all"}), 422,
                   "wrong_password", "/password")
    assert one.get("/v1/me").status_code == 200
    reply = one.request("DELETE", "/v1/me", json={"confirm": "erase", "password": subject.person.password})
    assert reply.status_code == 204
    assert one.get("/v1/me").status_code == 401


def test_without_the_password_only_a_fresh_session_erases(subject, client, pg):
    one = client(subject.person)
    pg.query("UPDATE sessions SET created_at = now() - interval '16 minutes' WHERE person_id = %s", (subject.person.id,))
    assert_problem(one.request("DELETE", "/v1/me", json={"confirm": "erase"}), 403, "sign_in_again")
    subject.person.login()
    assert client(subject.person).request("DELETE", "/v1/me", json={"confirm": "erase"}).status_code == 204


@pytest.mark.parametrize("body,field", [({}, "/confirm"), ({"confirm": "yes"}, "/confirm"), ({"confirm": True}, "/confirm"),
                                        ({"confirm": "erase", "why": "x"}, "/why"),
                                        ({"confirm": "erase", "password": 1}, "/password")])
def test_erasure_names_the_field_that_is_wrong(tenant, client, body, field):
    one = client(tenant("trainee")["trainee"])
    assert_problem(one.request("DELETE", "/v1/me", json=body), 422, field=field)
    assert one.get("/v1/me").status_code == 200


def test_the_last_administrator_of_an_organisation_stays(tenant, client):
    trust = tenant("administrator")
    body = {"confirm": "erase", "password": trust.people[0].password}
    assert_problem(client(trust.people[0]).request("DELETE", "/v1/me", json=body), 409, "last_administrator")
    trust.add("administrator")
    assert client(trust.people[0]).request("DELETE", "/v1/me", json=body).status_code == 204


def test_a_personal_tenant_does_not_keep_its_persons_name(tenant, server, pg):
    own = tenant("trainee", kind="individual", name="Jane Q. Learner", slug=f"jane-{unknown_id()[:8]}")
    erase_cli(server, own.people[0])
    (name, slug), = pg.query("SELECT name, slug FROM tenants WHERE tenant_id = %s", (own.id,))
    assert name == "Erased person" and slug.startswith("erased-")


def test_erasing_takes_a_word_more_and_somebody_to_erase(server, tenant):
    person = tenant("trainee").people[0]
    assert server.cli("person", "erase", "--email", person.email, check=False).returncode == 2
    result = server.cli("person", "erase", "--email", "nobody@example.org", "--yes", check=False)
    assert result.returncode == 1 and "person_not_found" in result.stderr


def test_the_address_can_sign_up_again_as_somebody_new(subject, server):
    erase_cli(server, subject.person)
    again = subject.first.add("trainee", email=subject.person.email, name="Somebody New")
    assert again.id != subject.person.id and again.login()["person"]["id"] == again.id


# --- The ledger -------------------------------------------------------------------------------------------------------


def test_checklist_gdpr_an_erasure_is_replayed_after_a_restore(subject, server, pg, tmp_path):
    """A backup from before brings the person back; the ledger, kept apart, erases again."""
    backup, database = tmp_path / "backup.dump", "restored"
    connection = ["-h", str(pg.folder), "-U", "postgres"]
    subprocess.run([binary("pg_dump"), *connection, "-Fc", "-f", str(backup), "overread"], check=True, timeout=300)
    erase_cli(server, subject.person)
    ledger = tmp_path / "ledger"
    ledger.write_text(server.cli("erasures", "export").stdout)
    assert subject.person.id in ledger.read_text() and subject.person.email not in ledger.read_text()
    pg.create_database(database)
    try:
        came = subprocess.run([binary("pg_restore"), *connection, "-d", database, str(backup)], timeout=300, capture_output=True, text=True)
        assert came.returncode == 0, came.stderr
        words = (subject.person.email, subject.person.name)
        assert occurrences(pg, words, database)
        config = tmp_path / "restored.conf"
        config.write_text(server.config_file.read_text().replace("dbname=overread", f"dbname={database}"))
        def restored(*arguments):
            return subprocess.run([OVERREAD, "--config", config, *map(str, arguments)], env=environment(), capture_output=True,
                                  text=True, timeout=300)

        replayed = restored("erasures", "replay", ledger)
        assert replayed.returncode == 0, replayed.stderr
        assert json.loads(replayed.stdout)["erased"] >= 1
        assert not occurrences(pg, words, database)
        assert json.loads(restored("erasures", "replay", ledger).stdout)["erased"] == 0
        assert restored("erasures", "export").stdout == ledger.read_text()
        assert restored("audit", "verify", "--tenant", subject.first.slug).returncode == 0
    finally:
        pg.query(f"DROP DATABASE {database} WITH (FORCE)", database="postgres")


def test_a_ledger_with_a_broken_line_is_not_replayed_at_all(server, tenant, pg, tmp_path):
    person = tenant("trainee").people[0]
    ledger = tmp_path / "ledger"
    good = json.dumps({"person": person.id, "erased_at": "2026-01-01T00:00:00Z", "why": "operator"})
    for bad in ('{"person": 1}', "nonsense", good.replace("operator", "whim")):
        ledger.write_text(f"{good}\n{bad}\n")
        result = server.cli("erasures", "replay", ledger, check=False)
        assert result.returncode == 1 and "Line 2" in result.stderr
    assert pg.query("SELECT email FROM people WHERE person_id = %s", (person.id,)) == [(person.email,)]


def test_the_ledger_is_never_changed(pg, server, tenant):
    erase_cli(server, tenant("trainee").people[0])
    for sql in ("DELETE FROM erasures", "UPDATE erasures SET why = 'own_wish'", "TRUNCATE erasures"):
        with pytest.raises(Exception, match="never changed"):
            pg.query(sql, user="overread_owner")


def free_strings(schema):
    if isinstance(schema, dict):
        if schema.get("type") == "string" and not {"enum", "const"} & set(schema):
            yield schema
        for member in schema.values():
            yield from free_strings(member)
    elif isinstance(schema, list):
        for item in schema:
            yield from free_strings(item)


@pytest.mark.parametrize("plugin", ["prostate_mri", "breast_mammo", "lung_ct"])
def test_answers_stay_after_an_erasure_since_none_has_room_for_free_text(plugin):
    manifest = json.loads((PLUGINS_SOURCE / plugin / "manifest.json").read_text())
    assert list(free_strings(manifest["schemas"]["answer"])) == []


# --- Nothing is forgotten by oversight -----------------------------------------------------------------------------------


def test_every_table_that_names_a_person_says_what_becomes_of_it(pg, server):
    naming = {row[0] for row in pg.query(
        "SELECT c.table_name FROM information_schema.columns c JOIN pg_tables t ON t.tablename = c.table_name"
        " WHERE c.table_schema = 'public' AND t.schemaname = 'public' AND (c.column_name = 'person_id' OR c.column_name LIKE '%email%')")}
    naming |= {row[0] for row in pg.query("SELECT conrelid::regclass::text FROM pg_constraint WHERE confrelid = 'people'::regclass")}
    listed = {row[0] for row in pg.query("SELECT relation FROM personal_data")}
    assert naming - listed - set(DEALT_WITH) == set(), "add a row to personal_data (migrations/0015)"
    columns = {row[0] for row in pg.query("SELECT column_name FROM information_schema.columns WHERE table_name = 'people'")}
    assert columns == PEOPLE_COLUMNS, "think of the new column in person_erase()"


def test_no_column_that_looks_like_a_secret_is_exported(pg, server):
    for relation, hidden in pg.query("SELECT relation, hidden FROM personal_data WHERE exported_as IS NOT NULL"):
        columns = {row[0] for row in pg.query("SELECT column_name FROM information_schema.columns WHERE table_name = %s", (relation,))}
        secret = {c for c in columns if re.search(r"hash|phc|seed|secret|token$|public_key|credential", c)}
        assert secret <= set(hidden), relation


def test_no_audit_entry_of_any_test_holds_a_name_or_an_address(subject, server, pg):
    """Of all tests that ran on this database before. `person.erased` and its like must stay readable after an erasure."""
    erase_cli(server, subject.person)
    assert pg.query("SELECT count(*) FROM audit_log")[0][0] > 10
    told = pg.query("SELECT DISTINCT a.action FROM audit_log a WHERE a.detail::text || a.subject ~ '[^ ]@[^ ]'")
    assert told == []
    told = pg.query("SELECT DISTINCT a.action, p.name FROM audit_log a JOIN people p"
                    " ON length(p.name) > 5 AND p.name LIKE '% %' AND position(lower(p.name) in lower(a.detail::text || a.subject)) > 0")
    assert told == []
