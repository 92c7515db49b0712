"""What is measured on: a cluster with the settings of ops/up, the server as it is shipped, and a data set."""
import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/api"))
from support.cases import generate, take_in  # noqa: E402
from support.cluster import Cluster  # noqa: E402
from support.reads import truth_as_answer  # noqa: E402
from support.server import OVERREAD, Server, environment  # noqa: E402

CASES, BOARD_PEOPLE, READERS, TENANTS = 24, 400, 2500, 25
FIRST_READ = 100_000_000_000

# Over the settings of the tests' cluster, the last one counts: those of ops/up, durable. Vacuum is done between the
# measurements, not within them.
SETTINGS = """
fsync = on
full_page_writes = on
shared_buffers = 256MB
max_wal_size = 2GB
autovacuum = off
"""


class BenchCluster(Cluster):
    def __init__(self):
        super().__init__()
        self.stop()
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(SETTINGS)
        self.start()


class BenchServer(Server):
    """Its log goes to a file, as in production: reading it would cost the measured cores."""

    def start(self, ready=True):
        self.log_file = self.folder / "log"
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen([OVERREAD, "--config", self.config_file, "serve"], env=environment(),
                                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
                                            start_new_session=True)
        deadline = time.monotonic() + 30
        while not (said := re.search(r'"event":"listening".*?"address":"([^"]+)"', self.log_file.read_text())):
            assert self.process.poll() is None and time.monotonic() < deadline, self.log_file.read_text()[-2000:]
            time.sleep(0.05)
        self.address = said.group(1)
        self.wait_ready()
        return self

    def end(self, number):
        process, self.process = self.process, None
        process.send_signal(number)
        return process.wait(60)


# --- The data set -----------------------------------------------------------------------------------------------------

# Everything whose volume matters, written as superuser without triggers. A third of everybody is on the global board;
# everybody has a record of 40 first attempts behind them, so that a standing is as long as it usually is.
VOLUME = """
SET session_replication_role = replica;
CREATE SCHEMA bench;
CREATE TABLE bench.people AS
    SELECT i, i >= {readers} AS on_board, gen_random_uuid() AS person_id,
           CASE WHEN i >= {readers} THEN 'board-' || (i - {readers}) ELSE 'reader-' || i END AS token,
           CASE WHEN i >= {readers} THEN {tenants} ELSE i % {tenants} END AS t
    FROM generate_series(0, {readers} + {board} - 1) i;
CREATE TABLE bench.tenants AS SELECT t, gen_random_uuid() AS tenant_id FROM generate_series(0, {tenants}) t;
INSERT INTO tenants (tenant_id, kind, slug, name) SELECT tenant_id, 'organisation', 'bench-' || t, 'Trust ' || t FROM bench.tenants;
INSERT INTO people (person_id, email, name) SELECT person_id, token || '@bench.example', 'Person ' || i FROM bench.people;
INSERT INTO memberships (tenant_id, person_id, roles)
    SELECT tenant_id, person_id, '{{trainee}}' FROM bench.people JOIN bench.tenants USING (t);
INSERT INTO sessions (tenant_id, session_id, person_id, token_hash, expires_at, idle)
    SELECT tenant_id, gen_random_uuid(), person_id, sha256(token::bytea), now() + interval '1 day', interval '12 hours'
    FROM bench.people JOIN bench.tenants USING (t);
INSERT INTO pseudonyms (person_id, pseudonym) SELECT person_id, 'Heron ' || i FROM bench.people WHERE i % 3 = 0;
CREATE TABLE bench.standings AS
    SELECT board AS tenant_id, person_id, 'prostate_mri' AS modality, 40 AS reads, k AS correct,
           (SELECT array_agg(i::bigint * 100 + x ORDER BY x) FROM generate_series(1, 40) x) AS ring_no, ring AS ring_correct,
           floor(100 * wilson_low(k, 40))::int AS score, listed
    FROM (SELECT p.*, tenant_id, ring, (SELECT count(*)::int FROM unnest(ring) x WHERE x) AS k
          FROM bench.people p JOIN bench.tenants USING (t),
               LATERAL (SELECT array_agg(hashint4(p.i * 64 + x) & 15 > (p.i & 7) ORDER BY x) AS ring
                        FROM generate_series(1, 40) x) r) a,
         LATERAL (VALUES (tenant_id, true), (everybody(), i % 3 = 0)) b (board, listed);
CREATE TABLE bench.board_counts AS
    SELECT tenant_id, modality, score, hashtext(person_id::text) & 7 AS shard, count(*)::int AS people
    FROM bench.standings WHERE listed GROUP BY 1, 2, 3, 4;
CREATE TABLE bench.cases AS SELECT case_id, row_number() OVER (ORDER BY case_id) - 1 AS k FROM cases WHERE state = 'published';
CREATE TABLE bench.reads AS
    SELECT tenant_id, ('0192f000-0000-7000-8000-' || {first} + c.k * {readers} + i)::uuid AS read_id, person_id, case_id,
           1 AS case_version, 'prostate_mri' AS modality, 'open' AS state, 1 AS attempt, now() AS opened_at,
           NULL::timestamptz AS submitted_at, NULL::bigint AS submission_no, NULL::jsonb AS answer, NULL::text AS answer_sha256
    FROM bench.people JOIN bench.tenants USING (t), bench.cases c WHERE NOT on_board AND c.k < {cases}
    UNION ALL
    SELECT tenant_id, gen_random_uuid(), person_id, case_id, 1, 'prostate_mri', 'graded', 1, now(), now(),
           i * 100 + c.k, '{{}}', repeat('0', 64)
    FROM bench.people JOIN bench.tenants USING (t), bench.cases c WHERE on_board AND (i + c.k) % 2 = 0
    ORDER BY read_id;
SELECT setval('submission_numbers', 10000000);
"""

RESET = """
SET session_replication_role = replica;
TRUNCATE reads, drafts, grades, jobs, standings, board_counts, audit_log, audit_queue, audit_chain, audit_heads;
INSERT INTO reads (tenant_id, read_id, person_id, case_id, case_version, modality, state, attempt, opened_at, submitted_at,
                   submission_no, answer, answer_sha256) SELECT * FROM bench.reads;
INSERT INTO standings (tenant_id, person_id, modality, reads, correct, ring_no, ring_correct, score, listed)
    SELECT * FROM bench.standings;
INSERT INTO board_counts (tenant_id, modality, score, shard, people) SELECT * FROM bench.board_counts;
UPDATE sessions SET last_seen_at = now();
"""


class World:
    def __init__(self):
        self.pg = BenchCluster()
        self.server = None
        try:
            self._fill()
        except BaseException:
            self.destroy()
            raise

    def _fill(self):
        self.server = BenchServer(self.pg, threads=os.cpu_count())
        self.server.cli("migrate")
        self.cases = take_in(self.server, generate(self.server, self.server.folder / "demo", 1, CASES))
        self.real = self._import_prostatex()
        self.cases.sort(key=lambda case: case.id)
        self.sql(VOLUME.format(readers=READERS, board=BOARD_PEOPLE, tenants=TENANTS, cases=CASES, first=FIRST_READ))
        self.reset()
        self.server.start()

    def _import_prostatex(self):
        """The real case where somebody has put it beside the project; not published, so that the list is the demo's."""
        data = ROOT.parent / "shared/data"
        if not (data / "dicom/prostatex").is_dir():
            return None
        folder = self.server.folder / "prostatex"
        subprocess.run([sys.executable, ROOT / "tests/tools/prostatex_case.py", data, folder], check=True,
                       stdout=subprocess.DEVNULL)
        line = self.server.cli("library", "import", folder / "prostatex-0000").stdout.splitlines()[0]
        return json.loads(line)["case"]

    def sql(self, text):
        connection = self.pg(autocommit=False)
        try:
            with connection.cursor() as cursor:
                cursor.execute(text)
            connection.commit()
        finally:
            connection.close()

    def reset(self):
        """Every read open again, the standings as they were: each measurement finds the same tables."""
        self.sql(RESET)
        for statement in ("VACUUM (ANALYZE) reads, standings, board_counts, sessions, jobs, grades, audit_log, people, "
                          "memberships, tenants", "CHECKPOINT"):
            self.pg.query(statement)

    def password(self):
        """Of every reader, from the first time on that it is asked for."""
        word = "correct horse battery staple"
        if not self.pg.query("SELECT 1 FROM passwords LIMIT 1"):
            self.server.cli("person", "add", "--tenant", "bench-0", "--email", "first@bench.example", "--name", "First", "--role",
                            "trainee", "--password-stdin", stdin=word + "\n")
            self.pg.query("INSERT INTO passwords (person_id, phc) SELECT p.person_id, (SELECT phc FROM passwords LIMIT 1)"
                          " FROM people p WHERE p.email LIKE 'reader-%%'")
        return word

    # --- What is sent ---------------------------------------------------------------------------------------------------

    @staticmethod
    def answer_body(case):
        return json.dumps({"answer": truth_as_answer(case.truth["truth"])}, separators=(",", ":"))

    def submissions(self, path):
        """A line a read, in the order in which pgbench takes them: path, token, number of the body."""
        with path.open("w") as file:
            for n in range(READERS * CASES):
                file.write(f"/v1/reads/0192f000-0000-7000-8000-{FIRST_READ + n}/submission\treader-{n % READERS}\t"
                           f"{n // READERS + 1}\n")

    def bodies(self, path):
        path.write_text("".join(self.answer_body(case) + "\n" for case in self.cases))

    def canned(self):
        """The answer of the demo case whose feedback is of median length, and its grade, for pgbench to write."""
        replies = []
        with self.server.client() as client:
            for k, case in enumerate(self.cases):
                reply = client.post(f"/v1/reads/0192f000-0000-7000-8000-{FIRST_READ + k * READERS}/submission",
                                    headers={"Authorization": "Bearer reader-0", "Content-Type": "application/json"},
                                    content=self.answer_body(case))
                assert reply.status_code == 200, f"{case.slug}: {reply.status_code} {reply.text}"
                replies.append((len(reply.content), k, reply.json()))
        length = statistics.median_low(size for size, _, _ in replies)
        _, k, feedback = next(reply for reply in replies if reply[0] == length)
        read = feedback["read"]
        (points, max_points, correct, grade, answer, plugin_sha256, input_sha256, version, rules), = self.pg.query(
            "SELECT points_milli, max_points_milli, correct, grade::text, answer::text, plugin_sha256, input_sha256,"
            " plugin_version, rules_revision FROM grades JOIN reads USING (tenant_id, read_id) WHERE read_id = %s", (read,))
        compact = json.dumps(json.loads(answer), separators=(",", ":"))
        return {"points": points, "max_points": max_points, "correct": str(correct).lower(), "grade": grade,
                "answer": compact, "answer_sha256": hashlib.sha256(compact.encode()).hexdigest(),
                "plugin": "prostate_mri", "version": version, "rules": rules, "plugin_sha256": plugin_sha256,
                "input_sha256": input_sha256, "bytes": length}

    def images(self):
        """(what, URL path, path below the image folder) of a T2W slice as PNG and as DICOM; and whose."""
        case, token = (self.real, "board-0") if self.real else (self.cases[0].id, "board-0")
        if self.real:
            self.sql(f"UPDATE cases SET state = 'published' WHERE case_id = '{case}'")
        with self.server.client(token) as client:
            images = client.get(f"/v1/cases/{case}").json()["images"]
            series = next(one for one in images["series"] if one["role"] == "t2w")
            instance = series["instances"][len(series["instances"]) // 2]
            found = []
            for what, name in (("PNG", instance["frames"][0]), ("DICOM", instance["dicom"])):
                reply = client.get(images["base"] + name)
                assert reply.status_code == 200, reply.text
                found.append((what, images["base"] + name, f"{name[:2]}/{name}", len(reply.content)))
        return found, "ProstateX-0000" if self.real else self.cases[0].slug

    def graded(self):
        (count,), = self.pg.query("SELECT count(*) FROM grades")
        return count

    def destroy(self):
        try:
            if self.server:
                self.server.destroy()
        finally:
            self.pg.destroy()
