#!/usr/bin/python3
"""Regrading very many reads: reads a second, processor time, and whether memory stays flat.

usage: OVERREAD_BUILD=DIR bench_regrade.py [--reads N] [--batch N] [--workers N] [--people N]

Every read has another provenance than the plugin that is installed, and another grade, so that each gets a revision; one in
ten turns. Prints a line of JSON."""
import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "api"))
from support.cases import generate, take_in  # noqa: E402
from support.reads import truth_as_answer, wrong_answer  # noqa: E402
from support.server import OVERREAD, Server, environment  # noqa: E402
from world import BenchCluster  # noqa: E402

TENANTS, CASES = 20, 24

FILL = """
SET session_replication_role = replica;
CREATE TEMPORARY TABLE who AS SELECT i, i %% {tenants} AS t, gen_random_uuid() AS person_id FROM generate_series(0, {people} - 1) i;
CREATE TEMPORARY TABLE trusts AS SELECT t, gen_random_uuid() AS tenant_id FROM generate_series(0, {tenants} - 1) t;
INSERT INTO tenants (tenant_id, kind, slug, name) SELECT tenant_id, 'organisation', 'bench-' || t, 'Trust ' || t FROM trusts;
INSERT INTO people (person_id, email, name) SELECT person_id, 'p' || i || '@bench.example', 'Person ' || i FROM who;
INSERT INTO memberships (tenant_id, person_id, roles) SELECT tenant_id, person_id, '{{trainee}}' FROM who JOIN trusts USING (t);
INSERT INTO pseudonyms (person_id, pseudonym) SELECT person_id, 'Heron ' || i FROM who WHERE i %% 3 = 0;
CREATE TEMPORARY TABLE answers AS
    SELECT c.case_id, c.n, w.wrong, (CASE WHEN w.wrong THEN a.bad ELSE a.good END)::jsonb AS answer
    FROM (SELECT case_id, slug, row_number() OVER (ORDER BY slug) - 1 AS n FROM cases) c
    JOIN json_to_recordset(%(answers)s) a (slug text, good text, bad text) USING (slug),
         (VALUES (true), (false)) w (wrong);
CREATE TEMPORARY TABLE made AS
    SELECT tenant_id, ('0192f000-0000-7000-8000-' || lpad(to_hex(k), 12, '0'))::uuid AS read_id, person_id, case_id, k + 1 AS no,
           CASE WHEN k / {people} < {cases} THEN 1 ELSE 2 END AS attempt, answer, wrong, hashint4(k * 7) %% 10 = 0 AS turns
    FROM generate_series(0, {reads} - 1) k
    JOIN who w ON w.i = k %% {people} JOIN trusts USING (t)
    JOIN answers a ON a.n = (k / {people}) %% {cases} AND a.wrong = (hashint4(k) %% 3 = 0);
INSERT INTO reads (tenant_id, read_id, person_id, case_id, case_version, modality, attempt, state, submitted_at, answer,
                   answer_sha256, submission_no)
    SELECT tenant_id, read_id, person_id, case_id, 1, 'prostate_mri', attempt, 'graded', now(), answer, 'x', no
    FROM made ORDER BY no;
INSERT INTO grades (tenant_id, read_id, revision, points_milli, max_points_milli, correct, grade, plugin_id, plugin_version,
                    rules_revision, plugin_sha256, case_version, input_sha256)
    SELECT tenant_id, read_id, 1, 0, 1000, NOT wrong <> turns, json_build_object('was', repeat('a grade as long as most are ', 60)),
           'prostate_mri', '0.9.0', 0, repeat('0', 64), 1, repeat('0', 64) FROM made ORDER BY no;
INSERT INTO standings (tenant_id, person_id, modality, reads, correct, ring_no, ring_correct, score, listed)
    SELECT board, person_id, 'prostate_mri', reads, correct, ring_no, ring_correct,
           ring_score(ring_correct), board <> everybody() OR EXISTS (SELECT FROM pseudonyms p WHERE p.person_id = x.person_id)
    FROM (SELECT board, person_id, count(*) AS reads, count(*) FILTER (WHERE correct) AS correct,
                 array_agg(no ORDER BY no) FILTER (WHERE back <= 50) AS ring_no,
                 array_agg(correct ORDER BY no) FILTER (WHERE back <= 50) AS ring_correct
          FROM (SELECT tenant_id, person_id, no, NOT wrong <> turns AS correct,
                       row_number() OVER (PARTITION BY person_id ORDER BY no DESC) AS back FROM made WHERE attempt = 1) f,
               LATERAL (VALUES (tenant_id), (everybody())) b (board)
          GROUP BY board, person_id) x;
INSERT INTO board_counts (tenant_id, modality, score, shard, people)
    SELECT tenant_id, modality, score, 0, count(*) FROM standings WHERE listed GROUP BY 1, 2, 3;
"""

# Standings whose sums or last fifty are not what the newest grades say.
WRONG = """
WITH first AS (
    SELECT b.board, r.person_id, r.submission_no AS no,
           (SELECT g.correct FROM grades g WHERE g.tenant_id = r.tenant_id AND g.read_id = r.read_id
            ORDER BY g.revision DESC LIMIT 1) AS correct,
           row_number() OVER (PARTITION BY b.board, r.person_id ORDER BY r.submission_no DESC) AS back
    FROM reads r, LATERAL (VALUES (r.tenant_id), (everybody())) b (board) WHERE r.attempt = 1),
computed AS (
    SELECT board, person_id, count(*) FILTER (WHERE correct) AS correct,
           array_agg(correct ORDER BY no) FILTER (WHERE back <= 50) AS ring FROM first GROUP BY 1, 2)
SELECT count(*) FROM standings s JOIN computed c ON c.board = s.tenant_id AND c.person_id = s.person_id
WHERE s.correct <> c.correct OR s.ring_correct <> c.ring OR s.score <> ring_score(c.ring)
"""


def say(text):
    print(f"==> {text}", file=sys.stderr, flush=True)


def kib(pid):
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def processor_seconds(pid):
    """Of a process that lives."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return None


class Run:
    """The command, its memory sampled twice a second, the moment of each line it prints."""

    def __init__(self, pg, server, options):
        command = [OVERREAD, "--config", server.config_file, "regrade", "--plugin", "prostate_mri", "--yes", "--batch",
                   str(options.batch)]
        self.rss, self.ended, self.backend = [], {}, None
        began = time.monotonic()
        output = server.folder / "regrade.out"
        with output.open("w") as file:
            process = subprocess.Popen(command, env=environment(), stdin=subprocess.DEVNULL, stdout=file)
        pid, backend_seconds = None, 0
        while process.poll() is None:
            time.sleep(0.5)
            if pid is None:
                found = pg.query("SELECT pid FROM pg_stat_activity WHERE application_name = 'overread command'")
                pid = found[0][0] if found else None
            else:
                backend_seconds = processor_seconds(pid) or backend_seconds
            self.rss.append(kib(process.pid))
            if "impact" not in self.ended and '"total"' in output.read_text():
                self.ended["impact"] = time.monotonic() - began
        self.ended["write"] = time.monotonic() - began
        self.lines = [json.loads(line) for line in output.read_text().splitlines()]
        self.backend_seconds = backend_seconds
        assert process.returncode == 0, "the regrade failed"
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.seconds = used.ru_utime + used.ru_stime


def tenths(values):
    """The largest of each tenth of the run, in MiB: what grows shows."""
    values = [value for value in values if value]
    return [round(max(values[i * len(values) // 10:max((i + 1) * len(values) // 10, i * len(values) // 10 + 1)]) / 1024, 1)
            for i in range(10)] if len(values) >= 10 else [round(value / 1024, 1) for value in values]


def measure(pg, server, options):
    server.cli("migrate")
    cases = take_in(server, generate(server, server.folder / "demo", 1, CASES))
    answers = json.dumps([{"slug": case.slug, "good": json.dumps(truth_as_answer(case.truth["truth"])),
                           "bad": json.dumps(wrong_answer(case.truth["truth"]))} for case in cases])
    say(f"{options.reads} reads are made")
    connection = pg()
    with connection.cursor() as cursor:
        for statement in FILL.format(tenants=TENANTS, people=options.people, reads=options.reads, cases=CASES).split(";\n"):
            if statement.strip():
                cursor.execute(statement, {"answers": answers})
        for statement in ("VACUUM (ANALYZE) reads, grades, standings, board_counts", "CHECKPOINT"):
            cursor.execute(statement)
    connection.close()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    say("the regrade runs")
    run = Run(pg, server, options)
    impact = next(line for line in run.lines if line.get("total"))
    done = run.lines[-1]
    wrong, = pg.query(WRONG)[0]
    assert wrong == 0, f"{wrong} standings are wrong"
    assert done["revised"] == options.reads == pg.query("SELECT count(*) FROM grades WHERE revision = 2")[0][0]
    write_seconds = run.ended["write"] - run.ended["impact"]
    return {"reads": options.reads, "batch": options.batch, "workers": options.workers, "turned": done["right_to_wrong"] + done["wrong_to_right"],
            "people_whose_score_moves": impact["people"],
            "impact_s": round(run.ended["impact"], 1), "impact_reads_s": round(options.reads / run.ended["impact"]),
            "write_s": round(write_seconds, 1), "write_reads_s": round(options.reads / write_seconds),
            "cpu_s_command_and_workers": round(run.seconds - before.ru_utime - before.ru_stime, 1),
            "cpu_s_database": round(run.backend_seconds, 1), "rss_mib_by_tenth": tenths(run.rss)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--reads", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--people", type=int, default=20_000)
    options = parser.parse_args()
    pg = BenchCluster()
    try:
        server = Server(pg, grader_workers=options.workers)
        try:
            print(json.dumps(measure(pg, server, options)))
        finally:
            server.destroy()
    finally:
        pg.destroy()


if __name__ == "__main__":
    main()
