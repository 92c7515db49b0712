"""Regrading: a new revision of the rules, or a corrected truth, adds grades; standings follow exactly; a run that was killed
goes on where it was."""
import json
import math
import os
import random
import shutil
import signal
import subprocess
import threading
import time
import uuid

import pytest
from support import cases as case_folders
from support.people import Tenant
from support.reads import open_read, submit, truth_as_answer, unknown_id, wrong_answer
from support.server import OVERREAD, PLUGINS, ROOT, Server, environment

Z2 = 3.8414588206941254

# volume_ml says, a bit for each rules revision, whether that revision calls the answer correct; without it the decision does.
SOURCE = """
#include <overread/plugin.h>
#include <string.h>
static const overread_value *member(const overread_value *o, const char *name)
{
    for (uint32_t i = 0; i < o->count; i++)
        if (strcmp(o->as.members[i].name, name) == 0)
            return &o->as.members[i].value;
    return 0;
}
static enum overread_status check(const overread_host *h, const overread_input *i, overread_problem *p)
{
    return OVERREAD_OK;
}
static enum overread_status grade(const overread_host *h, const overread_input *i, overread_grade *g)
{
    const overread_value *volume = member(i->answer, "volume_ml");
    overread_finding *f = h->alloc(h->context, sizeof(*f));
    int bits = volume ? (int)volume->as.number : 0;
    if (bits >= 900 && CRASHES)
        __builtin_trap();
    g->correct = volume ? bits >> (RULES - 1) & 1
                        : member(i->answer, "cspca")->as.boolean == member(i->truth, "cspca")->as.boolean;
    f->verdict = OVERREAD_HIT;
    f->code = "decision_right";
    f->text = g->correct ? "Right." : "Wrong.";
    f->rule = "A bit.";
    f->points_milli = g->points_milli = g->correct ? 1000 : 0;
    f->max_points_milli = g->max_points_milli = 1000;
    g->findings = f;
    g->finding_count = 1;
    return OVERREAD_OK;
}
const overread_plugin *overread_plugin_entry(void)
{
    static const overread_plugin plugin = {OVERREAD_ABI_MAGIC, sizeof(plugin), 1, 0, RULES, "prostate_mri", VERSION, check,
                                           check, grade};
    return &plugin;
}
"""


class Place:
    """A database and a plugin of its own: a regrade is about everything there is."""

    def __init__(self, pg, folder, name):
        self.pg, self.name, self.folder = pg, name, folder
        self.connection = pg(database=name)
        self.plugins = folder / "plugins"
        (self.plugins / "prostate_mri").mkdir(parents=True)
        (folder / "plugin.c").write_text(SOURCE)
        self.install(1)
        self.server = Server(pg, database=name, plugin_dir=self.plugins)

    def close(self):
        self.connection.close()
        self.server.destroy()

    def install(self, rules, build="", crashes=0, answer=None):
        """Another library each time that `build` is another: the bytes at its end."""
        folder = self.plugins / "prostate_mri"
        manifest = json.loads((PLUGINS / "prostate_mri/manifest.json").read_text())
        manifest.update(version=f"{rules}.0.0", rules_revision=rules)
        manifest["schemas"]["answer"].update(answer or {})
        library = self.folder / "new.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", f"-I{ROOT}/include", f"-DRULES={rules}", f"-DCRASHES={crashes}",
                        f'-DVERSION="{rules}.0.0"', str(self.folder / "plugin.c"), "-o", str(library)], check=True)
        with library.open("ab") as file:
            file.write(build.encode())
        library.replace(folder / "prostate_mri.so")
        (folder / "manifest.json").write_text(json.dumps(manifest))

    def query(self, sql, parameters=None):
        with self.connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []

    def command(self, *arguments):
        return [OVERREAD, "--config", self.server.config_file, "regrade", "--plugin", "prostate_mri", *map(str, arguments)]

    def regrade(self, *arguments, check=True):
        result = subprocess.run(self.command(*arguments), env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                timeout=300)
        if check:
            assert result.returncode == 0, result.stdout + result.stderr
            return [json.loads(line) for line in result.stdout.splitlines()]
        return result

    def at_terminal(self, answer, *arguments):
        ours, theirs = os.openpty()
        try:
            os.write(ours, answer.encode() + b"\n")
            return subprocess.run(self.command(*arguments), env=environment(), stdin=theirs, capture_output=True, text=True,
                                  timeout=300)
        finally:
            os.close(ours)
            os.close(theirs)

    def start(self, *arguments):
        return subprocess.Popen(self.command(*arguments), env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def read(self, person, bits, attempt=1, state="graded", case=0, correct=None):
        """A read as it stands after its first grade, or before it."""
        read = str(uuid.uuid4())
        self.query("""INSERT INTO reads (tenant_id, read_id, person_id, case_id, case_version, modality, attempt, state,
                                         submitted_at, answer, answer_sha256, submission_no)
                      VALUES (%s, %s, %s, %s, 1, 'prostate_mri', %s, %s, now(), %s, 'x', nextval('submission_numbers'))""",
                   (person.tenant.id, read, person.id, self.cases[case].id, attempt, state,
                    json.dumps({"lesions": [], "cspca": True, "volume_ml": bits})))
        if state == "graded":
            self.query("""INSERT INTO grades (tenant_id, read_id, revision, points_milli, max_points_milli, correct, grade,
                                              plugin_id, plugin_version, rules_revision, plugin_sha256, case_version, input_sha256)
                          VALUES (%s, %s, 1, 0, 1, %s, '{}', 'prostate_mri', '0.9.0', 0, 'x', 1, 'x')""",
                       (person.tenant.id, read, bool(bits & 1) if correct is None else correct))
        return read

    def revisions(self):
        return dict(self.query("SELECT read_id::text, max(revision) FROM grades GROUP BY read_id"))

    def newest(self):
        return self.query("""SELECT r.tenant_id::text, r.person_id::text, r.submission_no, r.attempt, r.answer->>'volume_ml',
                                    (SELECT g.correct FROM grades g WHERE g.read_id = r.read_id ORDER BY g.revision DESC LIMIT 1)
                             FROM reads r WHERE r.state = 'graded' ORDER BY r.submission_no""")

    def assert_standings(self):
        """Standings and counters are what the reads and their newest grades say."""
        everybody = "00000000-0000-0000-0000-000000000000"
        histories = {}
        for tenant, person, number, attempt, _, correct in self.newest():
            if attempt == 1:
                for board in (tenant, everybody):
                    histories.setdefault((board, person), []).append((number, correct))
        expected = {}
        for key, history in histories.items():
            ring = history[-50:]
            k, n = sum(right for _, right in ring), len(ring)
            p = k / n
            low = (p + Z2 / (2 * n) - math.sqrt(Z2) * math.sqrt(p * (1 - p) / n + Z2 / (4 * n * n))) / (1 + Z2 / n)
            expected[key] = (len(history), sum(right for _, right in history), [no for no, _ in ring],
                             [right for _, right in ring], math.floor(100 * max(0, low)))
        rows = self.query("""SELECT tenant_id::text, person_id::text, reads, correct, ring_no, ring_correct, score, listed
                             FROM standings""")
        assert {(row[0], row[1]): tuple(row[2:7]) for row in rows} == expected
        counts = {}
        for row in rows:
            if row[7]:
                counts[row[0], row[6]] = counts.get((row[0], row[6]), 0) + 1
        assert counts == {(board, score): people for board, score, people in self.query(
            "SELECT tenant_id::text, score, sum(people) FROM board_counts GROUP BY 1, 2 HAVING sum(people) <> 0")}


_numbers = iter(range(1000))


@pytest.fixture(scope="module")
def origin(pg, tmp_path_factory):
    """Cases, and two trusts of two people each; what every test here has a copy of."""
    pg.ensure_running()
    pg.create_database("regrade")
    made = Place(pg, tmp_path_factory.mktemp("regrade"), "regrade")
    made.server.cli("migrate")
    made.cases = case_folders.take_in(made.server, case_folders.generate(made.server, made.folder / "cases", 7, 2))
    trusts = [Tenant(made.server), Tenant(made.server)]
    made.people = [trust.add() for trust in trusts for _ in range(2)]
    made.query("INSERT INTO pseudonyms (person_id, pseudonym) VALUES (%s, 'Heron')", (made.people[0].id,))
    made.close()
    return made


@pytest.fixture
def place(pg, origin, tmp_path):
    pg.ensure_running()
    name = f"regrade{next(_numbers)}"
    pg.query(f"CREATE DATABASE {name} OWNER overread_owner TEMPLATE regrade", database="postgres")
    made = Place(pg, tmp_path, name)
    made.cases, made.people = origin.cases, origin.people
    for person in made.people:
        person.tenant.server, person._token = made.server, None
    yield made
    made.close()


@pytest.fixture
def people(place):
    return place.people


def total(lines):
    return next(line for line in lines if line.get("total"))


def test_standings_equal_a_recomputation_after_random_reads_and_regrades(place, people):
    rng = random.Random(20261124)
    for person in people:
        for _ in range(rng.choice([3, 49, 50, 51, 70])):
            place.read(person, rng.randrange(1, 16), attempt=rng.choice([1, 1, 1, 2]), correct=rng.random() < 0.5)
    place.assert_standings()
    for rules, batch in ((1, 7), (2, 1000), (3, 1), (4, 13)):
        place.install(rules)
        place.regrade("--yes", "--batch", batch)
        place.assert_standings()
        assert all(correct == bool(int(bits) >> (rules - 1) & 1) for *_, bits, correct in place.newest())


def test_a_dry_run_says_what_would_change_and_writes_nothing(place, people):
    for person in people:
        for bits in (1, 2, 3, 0b1001):
            place.read(person, bits)
    place.regrade("--yes")
    place.install(2)
    before = place.query("SELECT * FROM grades"), place.query("SELECT * FROM standings ORDER BY 1, 2")
    lines = place.regrade("--dry-run")
    *tenants, in_all = lines
    # Revision 1 calls 1, 3 and 9 correct, revision 2 calls 2 and 3 correct.
    assert [line["tenant"] for line in tenants] == sorted({person.tenant.slug for person in people})
    assert all(line == {"tenant": line["tenant"], "reads": 8, "unchanged": 2, "changed": 6, "refused": 0, "right_to_wrong": 4,
                        "wrong_to_right": 2, "people": 2} for line in tenants)
    assert in_all == {"total": True, "tenants": 2, "reads": 16, "unchanged": 4, "changed": 12, "refused": 0,
                      "right_to_wrong": 8, "wrong_to_right": 4, "people": 4}
    shown = place.at_terminal("n", "--tenant", people[0].tenant.slug)
    assert shown.returncode == 0 and "[y/N]" in shown.stderr and "nothing was written" in shown.stderr
    assert total(map(json.loads, shown.stdout.splitlines()))["reads"] == 8
    assert before == (place.query("SELECT * FROM grades"), place.query("SELECT * FROM standings ORDER BY 1, 2"))
    assert place.query("SELECT count(*) FROM regrade_runs") == [(1,)]


def test_a_run_writes_revisions_keeps_the_old_ones_and_is_recorded_for_each_tenant(place, people):
    read = place.read(people[0], 1)
    place.read(people[2], 3)
    *_, impact, done = place.regrade("--yes")
    assert impact["changed"] == done["revised"] == 2 and done["state"] == "done"
    place.install(2)
    done = place.regrade("--yes")[-1]
    assert (done["reads"], done["unchanged"], done["revised"], done["right_to_wrong"]) == (2, 1, 1, 1)
    assert place.query("SELECT revision, correct, plugin_version FROM grades WHERE read_id = %s ORDER BY 1", (read,)) == [
        (1, True, "0.9.0"), (2, True, "1.0.0"), (3, False, "2.0.0")]
    recorded = place.query("""SELECT tenant_id::text, detail FROM audit_log WHERE action = 'grades.revised' ORDER BY entry""")
    assert sorted(t for t, _ in recorded) == sorted([people[0].tenant.id] * 2 + [people[2].tenant.id])
    assert recorded[-1][0] == people[0].tenant.id
    detail = recorded[-1][1]
    assert (detail["plugin"], detail["plugin_version"], detail["rules_revision"]) == ("prostate_mri", "2.0.0", 2)
    assert (detail["reads"], detail["revised"], detail["right_to_wrong"], detail["wrong_to_right"]) == (1, 1, 1, 0)


def test_whoever_is_at_a_terminal_is_asked_and_a_script_is_not(place, people):
    read = place.read(people[0], 1)
    *_, impact, done = place.regrade()
    assert impact["changed"] == done["revised"] == 1
    place.install(2)
    told = place.at_terminal("y")
    assert told.returncode == 0 and json.loads(told.stdout.splitlines()[-1])["right_to_wrong"] == 1
    assert place.revisions() == {read: 3}


def test_what_comes_out_the_same_gets_no_revision_and_is_not_looked_at_again(place, people):
    for bits in (1, 2, 3):
        place.read(people[0], bits)
    place.regrade("--yes")
    before = place.revisions()
    place.install(1, build="the same rules, built anew")
    assert place.regrade("--yes")[-1]["unchanged"] == 3
    assert place.revisions() == before
    assert total(place.regrade("--dry-run"))["reads"] == 0
    assert place.regrade("--yes")[-1]["reads"] == 0
    # What somebody still graded with the library before, after that run began, is looked at.
    late = place.read(people[0], 1)
    assert total(place.regrade("--dry-run"))["reads"] == 1
    place.regrade("--yes")
    assert place.revisions() == {**before, late: 2}


def blocked(place):
    return place.query("""SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted
                          AND a.application_name = 'overread command' AND a.datname = %s""", (place.name,)) == [(1,)]


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


@pytest.mark.parametrize("ended", [True, False], ids=["and its batch is lost", "and the database ends its batch"])
def test_a_run_that_is_killed_goes_on_and_each_read_gets_one_revision(place, people, ended):
    for person in people:
        for _ in range(6):
            place.read(person, 2)
    place.regrade("--yes")
    place.install(2)
    # The last person's lock is held, so that the run stands still within a batch of the second tenant.
    last = max(people, key=lambda person: (person.tenant.id, person.id))
    holder = place.pg(database=place.name, autocommit=False)
    holder.cursor().execute("SELECT lock_pseudonym(%s)", (last.id,))
    run = place.start("--yes", "--batch", 4)
    try:
        wait_until(lambda: blocked(place))
        second = place.regrade("--yes", check=False)
        assert second.returncode == 1 and "regrade_running" in second.stderr
        run.send_signal(signal.SIGKILL)
    finally:
        run.kill()
        run.communicate()
    done = sum(revision == 3 for revision in place.revisions().values())
    assert 0 < done < 24 and done % 4 == 0
    if ended:
        place.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'overread command'")
    holder.rollback()
    holder.close()
    wait_until(lambda: not place.query("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1"))
    written = sum(revision == 3 for revision in place.revisions().values())
    assert written == done + (0 if ended else 4)
    assert place.query("SELECT sum(changed) FROM regrade_tenants JOIN regrade_runs USING (run_id) WHERE state = 'running'"
                       ) == [(written,)]
    lines = place.regrade("--yes", "--batch", 5)
    assert len(lines) == 1 and (lines[0]["reads"], lines[0]["revised"], lines[0]["wrong_to_right"]) == (24, 24, 24)
    assert set(place.revisions().values()) == {3}
    place.assert_standings()
    assert place.query("SELECT count(*) FROM audit_log WHERE action = 'grades.revised' AND detail->>'plugin_version' = '2.0.0'"
                       ) == [(2,)]


def test_an_unfinished_run_gives_way_to_one_with_another_aim_and_what_it_wrote_stands(place, people):
    for _ in range(3):
        place.read(people[0], 2)
    place.read(people[0], 999)
    place.install(2, crashes=1)
    failed = place.regrade("--yes", check=False)
    assert failed.returncode == 1
    place.query("""INSERT INTO regrade_runs (run_id, plugin_id, plugin_version, rules_revision, plugin_sha256, cursor_tenant,
                   cursor_read, started_at) VALUES (%s, 'prostate_mri', '1.9.0', 2, 'y', everybody(), everybody(), now())""",
                (unknown_id(),))
    place.install(2)
    assert place.regrade("--yes")[-1]["revised"] == 4
    assert place.query("SELECT plugin_version, state FROM regrade_runs ORDER BY 1") == [("1.9.0", "stopped"), ("2.0.0", "done")]


def test_a_grader_that_fails_stops_the_run_which_names_the_read_and_can_go_on(place, people):
    reads = sorted(place.read(people[0], 2) for _ in range(9))
    place.query("ALTER TABLE reads DISABLE TRIGGER reads_write_once")
    place.query("UPDATE reads SET answer = answer || '{\"volume_ml\": 998}' WHERE read_id = %s", (reads[7],))
    # The impact would fail on it, too, before anything is written: the run is begun by one that does not.
    place.install(2)
    run_id = unknown_id()
    (sha256,), = [line.split("sha256 ")[1].split()[:1] for line in place.server.cli("plugin", "list").stdout.splitlines()
                  if line.startswith("prostate_mri")]
    place.query("SELECT regrade_begin(%s, 'prostate_mri', '2.0.0', 2, %s, NULL, NULL, NULL)", (run_id, sha256))
    place.install(2, crashes=1)
    crashing = place.server.cli("plugin", "list").stdout.split("sha256 ")[1].split()[0]
    place.query("UPDATE regrade_runs SET plugin_sha256 = %s WHERE run_id = %s", (crashing, run_id))
    failed = place.regrade("--yes", "--batch", 3, check=False)
    assert failed.returncode == 1 and "grader_failed" in failed.stderr and reads[7] in failed.stderr
    revisions = place.revisions()
    assert [revisions[read] for read in reads] == [2] * 6 + [1] * 3
    place.assert_standings()
    again = place.regrade("--yes", "--batch", 3, check=False)
    assert again.returncode == 1 and reads[7] in again.stderr
    # Mended: another library, so another run; the six have its grade already but for the provenance.
    place.install(2)
    done = place.regrade("--yes")[-1]
    assert (done["reads"], done["unchanged"], done["revised"]) == (9, 6, 3)
    place.assert_standings()


def test_an_answer_that_the_new_schema_does_not_take_keeps_its_grade_and_is_counted(place, people):
    old = place.read(people[0], 2)
    place.install(2, answer={"required": ["lesions", "cspca", "management"]})
    *_, impact, done = place.regrade("--yes")
    assert (impact["refused"], done["refused"], done["revised"]) == (1, 1, 0)
    assert place.revisions() == {old: 1}


def test_reads_that_wait_for_their_first_grade_are_left_to_it(place, people):
    waiting = place.read(people[0], 2, state="awaiting_grade")
    place.read(people[0], 2)
    assert place.regrade("--yes")[-1]["reads"] == 1
    assert waiting not in place.revisions()


def test_grades_that_come_in_during_a_regrade_are_neither_lost_nor_counted_twice(place, people):
    person = people[0]
    for _ in range(40):
        place.read(person, random.Random(1).randrange(1, 16))
    waiting = [place.read(person, 3, state="awaiting_grade") for _ in range(40)]
    place.install(2)

    def grade():
        connection = place.pg(database=place.name)
        cursor = connection.cursor()
        for read in waiting:
            cursor.execute("UPDATE reads SET state = 'graded' WHERE read_id = %s", (read,))
            cursor.execute("""INSERT INTO grades (tenant_id, read_id, revision, points_milli, max_points_milli, correct, grade,
                                  plugin_id, plugin_version, rules_revision, plugin_sha256, case_version, input_sha256)
                              VALUES (%s, %s, 1, 0, 1, true, '{}', 'prostate_mri', '1.0.0', 1, 'x', 1, 'x')""",
                           (person.tenant.id, read))
        connection.close()

    other = threading.Thread(target=grade)
    run = place.start("--yes", "--batch", 1)
    other.start()
    other.join()
    assert run.wait(300) == 0, run.stderr.read()
    run.communicate()
    place.assert_standings()
    place.regrade("--yes")
    place.assert_standings()
    assert set(place.revisions().values()) == {2}


# --- A corrected truth -----------------------------------------------------------------------------------------------


def correct_the_truth(place, case, **manifest):
    """Imports a version with the opposite decision."""
    folder = place.folder / "corrected" / case.folder.name
    if not folder.exists():
        shutil.copytree(case.folder, folder)
    document = json.loads((folder / "truth.json").read_text())
    document["truth"]["cspca"] = not document["truth"]["cspca"]
    (folder / "truth.json").write_text(json.dumps(document))
    described = json.loads((folder / "case.json").read_text())
    described.update(manifest)
    (folder / "case.json").write_text(json.dumps(described))
    return json.loads(place.server.cli("library", "import", "--publish", folder).stdout.splitlines()[0])["version"]


def test_a_corrected_truth_grades_the_reads_of_earlier_versions_and_is_what_the_reader_sees(place):
    case = place.cases[0]
    place.server.start()
    me = place.people[0]
    with place.server.client(me.token) as client:
        read = open_read(client, case)
        first = submit(client, read, truth_as_answer(case.truth["truth"])).json()
        assert (first["correct"], first["revision"], first["regraded"], first["previous_correct"]) == (True, 1, False, None)
        assert correct_the_truth(place, case) == 2
        assert total(place.regrade("--dry-run"))["reads"] == 0
        assert place.regrade("--case", case.slug, "--truth-version", 2, "--yes")[-1]["right_to_wrong"] == 1
        now = client.get(f"/v1/reads/{read['id']}/feedback").json()
        assert (now["correct"], now["revision"], now["regraded"], now["previous_correct"]) == (False, 2, True, True)
        assert now["truth"]["cspca"] != first["truth"]["cspca"]
        assert (now["case_version"], now["provenance"]["case_version"]) == (1, 2)
        # New rules grade by the truth that was corrected, not by the one that the read is pinned to.
        place.install(1, build="anew")
        assert place.regrade("--yes")[-1]["unchanged"] == 1
        assert place.regrade("--case", case.slug, "--truth-version", 1, "--yes")[-1]["wrong_to_right"] == 1
        listed = client.get(f"/v1/reads/{read['id']}/grades").json()["items"]
        assert [(g["revision"], g["correct"], g["provenance"]["case_version"]) for g in listed] == [
            (3, True, 1), (2, False, 2), (1, True, 1)]
        assert listed[2]["grade"] == first["grade"] and listed[2]["provenance"] == first["provenance"]
        assert listed[0]["provenance"]["input_sha256"] == listed[2]["provenance"]["input_sha256"]
    place.assert_standings()


def test_the_truth_of_other_clinical_data_or_of_no_version_is_refused(place, people):
    case = place.cases[0]
    place.read(people[0], 1)
    clinical = {**case.manifest["clinical"], "age_years": 44}
    correct_the_truth(place, case, clinical=clinical)
    for arguments, words in ((("--case", case.slug, "--truth-version", 2), "another_question"),
                             (("--case", case.slug, "--truth-version", 3), "version_not_found"),
                             (("--case", "nothing"), "case_not_found"), (("--tenant", "nobody"), "tenant_not_found")):
        refused = place.regrade(*arguments, "--yes", check=False)
        assert refused.returncode == 1 and words in refused.stderr
    for arguments in (("--truth-version", 2), ("--yes", "--dry-run"), ("--batch", 0), ("--nonsense",)):
        assert place.regrade(*arguments, check=False).returncode == 2
    assert place.query("SELECT count(*) FROM regrade_runs") == [(0,)]


# --- What readers are shown -------------------------------------------------------------------------------------------


def test_only_the_reader_sees_the_revisions_of_a_read(tenant, client, demo_cases):
    trust = tenant("trainee", "educator,administrator")
    mine = client(trust["trainee"])
    read = open_read(mine, demo_cases[0])
    path = f"/v1/reads/{read['id']}/grades"
    assert mine.get(path).json() == {"read": read["id"], "items": []}
    feedback = submit(mine, read, wrong_answer(demo_cases[0].truth["truth"])).json()
    item, = mine.get(path).json()["items"]
    assert item["provenance"] == feedback["provenance"] and item["grade"] == feedback["grade"]
    assert (item["points"], item["correct"]) == (feedback["grade"]["points"], False)
    for other in (client(trust["educator"]), client(tenant("trainee")["trainee"])):
        assert other.get(path).status_code == 404
    assert client().get(path).status_code == 401
    assert mine.get(f"/v1/reads/{unknown_id()}/grades").status_code == 404
    assert mine.get("/v1/reads/nothing/grades").status_code == 404
