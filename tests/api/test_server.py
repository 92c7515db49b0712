"""The server as an operator sees it: health, metrics, database away, stopping, overload, limits."""
import os
import signal
import subprocess
import threading
import time

import pytest
from support.reads import assert_problem, open_read, submit, truth_as_answer


@pytest.fixture
def me(tenant, client):
    return client(tenant("trainee")["trainee"])


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def test_health_and_readiness_need_no_session(client):
    assert client().get("/healthz").status_code == 200
    assert client().get("/readyz").status_code == 200


def test_metrics_pass_promtool(client, me, tmp_path):
    me.get("/v1/cases")
    reply = client().get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "overread_db_statements_total" in reply.text
    checked = subprocess.run(["promtool", "check", "metrics"], input=reply.text, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_metrics_are_openmetrics_for_who_asks_for_it(client, me):
    me.get("/v1/cases")
    reply = client().get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert reply.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert reply.text.endswith("\n# EOF\n")
    families = [line.split()[2:] for line in reply.text.splitlines() if line.startswith("# TYPE ")]
    assert ["overread_db_statements", "counter"] in families and len(families) == len({f[0] for f in families})
    assert any(line.startswith("overread_db_statements_total ") for line in reply.text.splitlines())


def test_metrics_label_routes_by_template_and_never_by_id(client, me, demo_cases):
    me.get(f"/v1/cases/{demo_cases[0].id}")
    text = client().get("/metrics").text
    assert "/v1/cases/{case}" in text and demo_cases[0].id not in text


def test_every_reply_has_a_request_id_and_safe_headers(client, me):
    for reply in (client().get("/healthz"), me.get("/v1/cases"), client().get("/nowhere")):
        assert len(reply.headers["x-request-id"]) == 36
        assert reply.headers["x-content-type-options"] == "nosniff"
    assert "no-store" in client().get("/v1/cases").headers["cache-control"]


def test_an_unknown_path_and_a_wrong_method_are_problems(client):
    assert_problem(client().get("/v1/nowhere"), 404)
    reply = client().patch("/v1/cases")
    assert_problem(reply, 405)
    assert "GET" in reply.headers["allow"]


def test_without_the_database_requests_are_told_to_come_back_and_the_server_recovers_by_itself(me, client, pg, server):
    assert me.get("/v1/cases").status_code == 200
    pg.stop("immediate")
    try:
        wait_until(lambda: client().get("/readyz").status_code == 503)
        reply = me.get("/v1/cases")
        assert_problem(reply, 503)
        assert int(reply.headers["retry-after"]) >= 1
        assert client().get("/healthz").status_code == 200
    finally:
        pg.start()
    wait_until(lambda: client().get("/readyz").status_code == 200)
    assert me.get("/v1/cases").status_code == 200


def test_a_submission_that_met_the_database_away_can_be_repeated_and_counts_once(me, demo_cases, pg, client):
    case = demo_cases[0]
    read, answer = open_read(me, case), truth_as_answer(case.truth["truth"])
    pg.stop("immediate")
    try:
        assert submit(me, read, answer).status_code == 503
    finally:
        pg.start()
    assert submit(me, read, answer).status_code == 200
    assert me.get("/v1/performance").json()["items"][0]["reads"] == 1


def test_backends_that_are_ended_under_load_lose_nothing(me, demo_cases, pg):
    """Reads are retried unseen; a write may answer 503, and repeating it is safe."""
    case, stop, bad = demo_cases[0], threading.Event(), []

    def look():
        while not stop.is_set():
            status = me.get("/v1/cases").status_code
            if status not in (200, 503):
                bad.append(status)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        read, answer = open_read(me, case), truth_as_answer(case.truth["truth"])
        for _ in range(5):
            pg.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'overread_app'")
            time.sleep(0.2)
        deadline = time.monotonic() + 30
        while (status := submit(me, read, answer).status_code) == 503 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert status == 200
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert bad == []
    assert pg.query("SELECT count(*) FROM grades WHERE read_id = %s", (read["id"],)) == [(1,)]


def test_a_write_that_waits_for_a_lock_keeps_nobody_else_waiting(tenant, client, pg, demo_cases):
    trust = tenant("trainee", "trainee")
    blocked, other = map(client, trust.people)
    read = open_read(blocked, demo_cases[0])
    holder = pg(autocommit=False)
    with holder.cursor() as cursor:
        cursor.execute("SELECT 1 FROM reads WHERE read_id = %s FOR UPDATE", (read["id"],))
    done = []
    thread = threading.Thread(target=lambda: done.append(
        submit(blocked, read, truth_as_answer(demo_cases[0].truth["truth"])).status_code))
    thread.start()
    try:
        for _ in range(50):
            assert other.get("/v1/cases").status_code == 200
        assert done == []  # fifty requests were answered while one waits
    finally:
        holder.rollback()
        holder.close()
        thread.join()
    assert done == [200]


def test_sigterm_finishes_what_was_accepted_and_reddens_readiness_first(server_with, tenant, pg, demo_cases):
    server = server_with()
    person = tenant("trainee")["trainee"]
    with server.client(person.token) as me:
        read = open_read(me, demo_cases[0])
        holder = pg(autocommit=False)
        with holder.cursor() as cursor:
            cursor.execute("SELECT 1 FROM reads WHERE read_id = %s FOR UPDATE", (read["id"],))
        done = []
        thread = threading.Thread(target=lambda: done.append(
            submit(me, read, truth_as_answer(demo_cases[0].truth["truth"])).status_code))
        thread.start()
        wait_until(lambda: pg.query("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'overread_app'"))
        os.kill(server.pid, signal.SIGTERM)
        time.sleep(0.3)
        assert server.running()
        holder.rollback()
        holder.close()
        thread.join()
        assert done == [200]
    status = server.process.wait(30)
    server.process = None
    assert status == 0


def test_two_nodes_that_start_on_an_empty_database_migrate_it_once(pg, server_with, server):
    pg.create_database("twice")
    config = server_with(ready=True).config_file
    text = config.read_text().replace("dbname=overread ", "dbname=twice ")
    other = config.with_name("twice.conf")
    other.write_text(text)
    from support.server import OVERREAD, environment
    nodes = [subprocess.Popen([OVERREAD, "--config", other, "migrate"], env=environment(), stdout=subprocess.PIPE, text=True)
             for _ in range(3)]
    outputs = [node.communicate(timeout=60)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0, 0]
    assert sorted(int(o.split()[0]) for o in outputs)[:2] == [0, 0] and max(int(o.split()[0]) for o in outputs) > 3
    status = subprocess.run([OVERREAD, "--config", other, "migrate", "--status"], env=environment(), capture_output=True,
                            text=True)
    assert "0 pending" in status.stdout and "applied" in status.stdout
    pg.query("UPDATE overread_migrations SET sha256 = repeat('0', 64) WHERE number = 2", database="twice")
    changed = subprocess.run([OVERREAD, "--config", other, "migrate"], env=environment(), capture_output=True, text=True)
    assert changed.returncode == 1 and "0002" in changed.stderr


def test_plain_http_is_the_default_and_tls_is_had_by_a_certificate(server_with, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days",
                    "2", "-subj", "/CN=localhost"], check=True, capture_output=True)
    server = server_with(tls_certificate=certificate, tls_key=key)
    with server.client() as client:
        reply = client.get("/healthz")
        assert reply.status_code == 200 and "strict-transport-security" in reply.headers


def test_doctor_finds_nothing_wrong_and_shows_no_password(server):
    result = server.cli("doctor")
    assert "prostate_mri" in result.stdout and "good" in result.stdout


def test_a_wrong_command_line_prints_usage_and_status_2(server):
    for arguments in ((), ("frobnicate",), ("tenant", "create"), ("library", "import")):
        assert server.cli(*arguments, check=False).returncode == 2


def test_one_sessions_locked_row_keeps_nobody_waiting(tenant, client, pg):
    """A session whose time of use is to be noted, while something else holds its row."""
    trust = tenant("trainee", "trainee")
    mine, other = map(client, trust.people)
    session = mine.get("/v1/session").json()["session"]
    pg.query("UPDATE sessions SET last_seen_at = now() - interval '1 minute' WHERE session_id = %s", (session,))
    holder = pg(autocommit=False)
    with holder.cursor() as cursor:
        cursor.execute("SELECT 1 FROM sessions WHERE session_id = %s FOR UPDATE", (session,))
    try:
        for _ in range(20):
            assert mine.get("/v1/session").status_code == 200 and other.get("/v1/session").status_code == 200
    finally:
        holder.rollback()
        holder.close()


def test_a_claim_takes_no_more_jobs_than_it_asks_for(pg, tenant):
    """With the statistics of an empty outbox, which is what an outbox usually has."""
    pg.query("ANALYZE jobs")
    pg.query("INSERT INTO jobs (id, kind, key, payload) SELECT gen_random_uuid(), 'claimed', n::text, '{}' "
             "FROM generate_series(1, 60) n")
    try:
        taken = [len(pg.query("SELECT * FROM job_claim('{claimed}', gen_random_uuid(), 60, 2)")) for _ in range(5)]
        assert taken == [2] * 5
    finally:
        pg.query("DELETE FROM jobs WHERE kind = 'claimed'")


def test_a_claim_takes_the_oldest_first_whatever_their_kind(pg):
    """And none of a kind that it does not ask for, nor of one that is not due."""
    try:
        pg.query("INSERT INTO jobs (id, kind, key, payload, run_after) SELECT gen_random_uuid(), kind, n::text, '{}',"
                 " now() - age * interval '1 minute' FROM (VALUES (1, 'claimed', 5), (2, 'claimed', 3), (3, 'claimed_too', 4), (4, 'claimed_too', 2),"
                 " (5, 'not_claimed', 9), (6, 'claimed', -9)) j (n, kind, age)")
        taken = []
        while rows := pg.query("SELECT attempt, id FROM job_claim('{claimed,claimed_too}', gen_random_uuid(), 60, 1)"):
            taken += [pg.query("SELECT key, attempts FROM jobs WHERE id = %s", (ident,))[0] for _, ident in rows]
        assert taken == [("1", 1), ("3", 1), ("2", 1), ("4", 1)]
    finally:
        pg.query("DELETE FROM jobs WHERE kind IN ('claimed', 'claimed_too', 'not_claimed')")


def test_a_new_job_is_told_with_its_kind(pg):
    listener = pg()
    try:
        with listener.cursor() as cursor:
            cursor.execute("LISTEN overread_jobs")
            cursor.execute("INSERT INTO jobs (id, kind, key, payload, run_after) VALUES (gen_random_uuid(), 'told', 'now', '{}', now()),"
                           " (gen_random_uuid(), 'told_later', 'later', '{}', now() + interval '1 day')")
            cursor.execute("SELECT 1")
        assert {one.payload for one in listener.notifies if one.pid == listener.get_backend_pid()} == {"told"}
    finally:
        listener.close()
        pg.query("DELETE FROM jobs WHERE kind LIKE 'told%%'")
