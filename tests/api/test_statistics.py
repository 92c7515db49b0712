"""Reader and case statistics: equal to `overread stats`, to the references, and to what Python computes from the reads."""
import csv
import itertools
import json
import math
import random
import statistics
import subprocess
import uuid
from datetime import datetime, timedelta, timezone

import pytest
from support.readme import Shell, commands
from support.reads import assert_problem, open_read, read_case, submit, truth_as_answer, unknown_id
from support.reference import reference
from support.server import OVERREAD, environment

Z = 1.959963984540054
FOUND, MISSED, ASIDE = {"lesion_found", "lesion_dismissed"}, {"lesion_missed", "mislocalised"}, {"duplicate_mark"}
NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
numbers = itertools.count(1)


# --- Reads, written at once ---------------------------------------------------------------------------------------------

def graded(truth, score, expert=None, marks=(), findings=(), correct=None, seconds=100, zone=None):
    """What becomes one read: its grade as the prostate plugin would write it, as far as statistics look."""
    return {"correct": bool(truth) == (score >= 3) if correct is None else correct, "seconds": seconds,
            "answer": {"lesions": [{"pirads": one} for one in marks]},
            "grade": {"findings": list(findings), "metrics": {"cspca": truth, "case_category": score,
                                                              "expert_case_category": expert, "index_zone": zone}}}


def from_rows(truth, score, rows):
    """A read whose marks give these rows [is_lesion, confidence, overlap] to FROC."""
    marks = [int(confidence) for _, confidence, _ in rows if confidence > 0]
    hits = [bool(lesion) for lesion, confidence, _ in rows if confidence > 0]
    findings = [{"code": "lesion_found", "verdict": "hit", "answer_pointer": f"/lesions/{n}"}
                for n, hit in enumerate(hits) if hit]
    findings += [{"code": "lesion_missed", "verdict": "miss", "answer_pointer": None}
                 for lesion, confidence, _ in rows if lesion and confidence == 0]
    return graded(truth, score, marks=marks, findings=findings)


def add_cases(pg, count, clinical=lambda n: {}, difficulty=lambda n: 3, tenant=None, state="draft"):
    """Cases that nobody sees in a list, without images."""
    ids = [str(uuid.uuid4()) for _ in range(count)]
    connection = pg(autocommit=False)
    with connection.cursor() as cursor:
        for n, case in enumerate(ids):
            cursor.execute("""INSERT INTO cases (case_id, slug, modality, tenant_id, state, current_version)
                              VALUES (%s, %s, 'prostate_mri', %s, %s, 1)""", (case, f"statistics-{case}", tenant, state))
            cursor.execute("""INSERT INTO case_versions (case_id, version, plugin_id, title, clinical, difficulty, synthetic,
                                  truth_kind, provenance, config, images, content_sha256)
                              VALUES (%s, 1, 'prostate_mri', 'T', %s, %s, true, 'synthetic', '{}', '{}', '{}', 'x')""",
                           (case, json.dumps(clinical(n)), difficulty(n)))
    connection.commit()
    connection.close()
    return ids


GRADE = """INSERT INTO grades (tenant_id, read_id, revision, points_milli, max_points_milli, correct, grade, plugin_id,
               plugin_version, rules_revision, plugin_sha256, case_version, input_sha256)
           VALUES (%s, %s, %s, %s, 1000, %s, %s, 'prostate_mri', '1', 1, 'x', 1, 'x')"""


def add_reads(pg, person, reads, cases, at=lambda n: NOON + timedelta(minutes=n), attempt=1):
    """Submitted in this order. Their ids."""
    connection, ids = pg(autocommit=False), []
    with connection.cursor() as cursor:
        for n, (read, case) in enumerate(zip(reads, cases, strict=True)):
            ids.append(str(uuid.uuid4()))
            cursor.execute("""INSERT INTO reads (tenant_id, read_id, person_id, case_id, case_version, modality, attempt, state,
                    opened_at, submitted_at, answer, answer_sha256, submission_no)
                VALUES (%s, %s, %s, %s, 1, 'prostate_mri', %s, 'graded', %s, %s, %s, 'x', nextval('submission_numbers'))""",
                           (person.tenant.id, ids[-1], person.id, case, attempt, at(n) - timedelta(seconds=read["seconds"]),
                            at(n), json.dumps(read["answer"])))
            cursor.execute(GRADE, (person.tenant.id, ids[-1], 1, 1000 * read["correct"], read["correct"],
                                   json.dumps(read["grade"])))
    connection.commit()
    connection.close()
    return ids


@pytest.fixture
def cases(pg, demo_cases):
    """Cases for what is only counted; the demo's import has brought the modality."""
    assert demo_cases
    if not hasattr(pg, "statistics_cases"):
        pg.statistics_cases = add_cases(pg, 200)
    return pg.statistics_cases


# --- The same numbers by other ways ---------------------------------------------------------------------------------------

def ask(client, status=200, path="/v1/performance/statistics", **params):
    reply = client.get(path, params={"modality": "prostate_mri", **params})
    assert reply.status_code == status, reply.text
    return reply.json()


def metric(read, name):
    return read["grade"]["metrics"].get(name)


def known(reads):
    return [read for read in reads if metric(read, "cspca") is not None and metric(read, "case_category") is not None]


def overread_stats(server, document):
    path = server.folder / f"stats-{next(numbers)}.json"
    path.write_text(json.dumps(document))
    return server.cli_json("stats", path)


def stats_of_reads(server, reads):
    reads = known(reads)
    document = {"truth": [int(metric(r, "cspca")) for r in reads], "score": [int(metric(r, "case_category")) for r in reads]}
    if all(metric(r, "expert_case_category") for r in reads):
        document["reference"] = [int(metric(r, "expert_case_category")) for r in reads]
    return overread_stats(server, document)


def rows_of(read):
    """[is_lesion, confidence, overlap] from answer and findings, as manifest.h words it."""
    findings = read["grade"]["findings"]
    hit = {f["answer_pointer"] for f in findings if f["code"] in FOUND}
    aside = {f["answer_pointer"] for f in findings if f["code"] in ASIDE}
    rows = [[1, 0, 0] for f in findings if f["code"] in MISSED]
    for n, mark in enumerate(read["answer"]["lesions"]):
        if f"/lesions/{n}" in hit:
            rows.append([1, mark["pirads"], 1])
        elif f"/lesions/{n}" not in aside:
            rows.append([0, mark["pirads"], 0])
    return rows


def stats_of_lesions(server, reads):
    reads = known(reads)
    return overread_stats(server, {"lesion_results": {str(n): rows_of(r) for n, r in enumerate(reads)},
                                   "case_target": {str(n): int(metric(r, "cspca")) for n, r in enumerate(reads)},
                                   "case_score": {str(n): metric(r, "case_category") for n, r in enumerate(reads)}})


def wilson(k, n):
    p = k / n
    half = Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    return [(p + Z * Z / (2 * n) - half) / (1 + Z * Z / n), (p + Z * Z / (2 * n) + half) / (1 + Z * Z / n)]


def assert_same(server, shown, reads):
    """One object of the API against the reads it stands for."""
    right = sum(read["correct"] for read in reads)
    seconds = [read["seconds"] for read in reads]
    assert (shown["reads"], shown["correct"]["k"], shown["correct"]["n"]) == (len(reads), right, len(reads))
    assert shown["left_out"] == len(reads) - len(known(reads))
    assert shown["statistics"] == stats_of_reads(server, reads)
    assert shown["lesions"] == stats_of_lesions(server, reads)
    if reads:
        assert shown["correct"]["p"] == pytest.approx(right / len(reads), abs=1e-12)
        assert shown["correct"]["wilson95"] == pytest.approx(wilson(right, len(reads)), abs=1e-12)
        assert shown["seconds"]["mean"] == pytest.approx(statistics.fmean(seconds), abs=1e-9)
        assert shown["seconds"]["median"] == pytest.approx(statistics.median(seconds), abs=1e-9)


def some_read(rng):
    """Any read: marks that hit, miss and are set aside, with and without an expert."""
    truth, marks = int(rng.random() < 0.4), [rng.randint(1, 5) for _ in range(rng.randrange(4))]
    findings = []
    for n in range(len(marks)):
        what = rng.choice(["lesion_found", "lesion_dismissed", "duplicate_mark", "false_positive", "mislocalised"])
        if what not in FOUND or truth:
            findings.append({"code": what, "verdict": "hit", "answer_pointer": f"/lesions/{n}"})
    if truth and not any(f["code"] in FOUND | MISSED for f in findings):
        findings.append({"code": "lesion_missed", "verdict": "miss", "answer_pointer": None})
    return graded(truth if rng.random() < 0.95 else None, max([1, *marks]), rng.randint(1, 5), marks, findings,
                  correct=rng.random() < 0.7, seconds=rng.randint(20, 900), zone=rng.randint(1, 4) if truth else None)


# --- The record ---------------------------------------------------------------------------------------------------------

def test_statistics_of_real_reads_equal_overread_stats_on_their_feedback(tenant, client, demo_cases, server):
    me, reads = client(tenant("trainee")["trainee"]), []
    for number, case in enumerate(demo_cases):
        feedback = read_case(me, case, right=number % 3 != 1)
        reads.append({"correct": feedback["correct"], "seconds": feedback["duration_ms"] / 1000, "answer": feedback["answer"],
                      "grade": feedback["grade"]})
    shown = ask(me)
    assert {metric(read, "cspca") for read in reads} == {0, 1}, "the demo has cases with and without cancer"
    assert shown["all"]["lesions"]["lesions"] > 0
    shown["all"]["seconds"] = {**shown["all"]["seconds"], "mean": pytest.approx(shown["all"]["seconds"]["mean"])}
    assert (shown["modality"], shown["window"], shown["from"], shown["to"]) == ("prostate_mri", "all", None, None)
    assert shown["stratum"] is None and shown["strata"] is None
    assert_same(server, shown["all"], reads)


def test_the_readmes_files_of_a_researcher(server, tmp_path):
    block, = commands("Reader statistics")
    shell = Shell(tmp_path)
    shell.overread(server.config_file)
    try:
        reads, lesions = shell.run("\n".join(block.splitlines()[:2])), shell.run("\n".join(block.splitlines()[2:]))
    finally:
        shell.close()
    assert json.loads(reads[0]) == pytest.approx(7.5 / 9) and json.loads(reads[1])["k"] == 2 and 0.9 < json.loads(reads[2]) < 0.91
    assert [json.loads(line) for line in lesions[:3]] == [1, 1, 1] and len(json.loads(lesions[3])) == 3


def test_a_result_that_cannot_be_written_is_no_success(server, tmp_path):
    path = tmp_path / "reads.json"
    path.write_text('{"truth":[0,1],"score":[1,5]}')
    with open("/dev/full", "w", encoding="utf-8") as full:
        result = subprocess.run([OVERREAD, "--config", server.config_file, "stats", path], env=environment(), stdout=full,
                                stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert result.returncode == 1 and "cannot be written" in result.stderr


def test_statistics_of_random_histories_equal_a_recomputation_in_every_window(tenant, client, pg, cases, server):
    rng = random.Random(20261124)
    trust = tenant("trainee", "trainee", "trainee")
    for person, count in zip(trust.people, (7, 30, 120)):
        reads = [some_read(rng) for _ in range(count)]
        add_reads(pg, person, reads, cases[:count])
        me = client(person)
        assert_same(server, ask(me)["all"], reads)
        for window in (20, 50):
            assert_same(server, ask(me, window=window)["all"], reads[-window:])


def test_days_are_utc_and_both_ends_count(tenant, client, pg, cases, server):
    person, rng = tenant("trainee")["trainee"], random.Random(3)
    reads = [some_read(rng) for _ in range(48)]
    add_reads(pg, person, reads, cases[:48], at=lambda n: datetime(2026, 3, 1, tzinfo=timezone.utc) + timedelta(hours=3 * n))
    me = client(person)
    assert_same(server, ask(me, **{"from": "2026-03-02", "to": "2026-03-03"})["all"], reads[8:24])
    assert_same(server, ask(me, **{"from": "2026-03-06"})["all"], reads[40:])
    assert_same(server, ask(me, to="2026-03-05", window=20)["all"], reads[20:40])
    assert_same(server, ask(me, to="2026-02-28")["all"], [])


def test_strata_divide_the_reads(tenant, client, pg, demo_cases, server):
    person, rng = tenant("trainee")["trainee"], random.Random(5)
    psa = [None if n % 7 == 0 else ("high" if n % 7 == 1 else rng.choice([3.9, 4, 9.99, 10, 25])) for n in range(60)]
    own = add_cases(pg, 60, clinical=lambda n: {} if psa[n] is None else {"psa_ng_ml": psa[n]}, difficulty=lambda n: 1 + n % 4)
    reads = [some_read(rng) for _ in range(60)]
    add_reads(pg, person, reads, own)
    me = client(person)

    def group(of):
        return {key: [read for n, read in enumerate(reads) if of(n) == key] for key in {of(n) for n in range(60)}}

    def compare(name, title, titles, groups):
        shown = ask(me, stratum=name)
        assert shown["stratum"] == {"name": name, "title": title}
        assert_same(server, shown["all"], reads)
        assert [one["title"] for one in shown["strata"]] == titles
        for one in shown["strata"]:
            assert_same(server, one, groups.get(one["title"], []))

    def psa_title(n):
        if not isinstance(psa[n], (int, float)):
            return "not known"
        return "below 4 ng/ml" if psa[n] < 4 else "4 to below 10 ng/ml" if psa[n] < 10 else "10 ng/ml and more"

    zones = ["Peripheral zone", "Transition zone", "Central zone", "Anterior fibromuscular stroma"]
    compare("psa", "PSA", ["below 4 ng/ml", "4 to below 10 ng/ml", "10 ng/ml and more", "not known"], group(psa_title))
    compare("difficulty", "Difficulty", ["1", "2", "3", "4", "5"], group(lambda n: str(1 + n % 4)))
    compare("zone", "Zone of the index lesion", [*zones, "not known"],
            group(lambda n: zones[z - 1] if (z := metric(reads[n], "index_zone")) else "not known"))


def test_what_has_no_denominator_is_null_with_the_reason(tenant, client, pg, cases):
    trust = tenant("trainee", "trainee")
    nothing = ask(client(trust.people[0]), stratum="psa")
    for shown in [nothing["all"], *nothing["strata"]]:
        assert shown["reads"] == 0 and shown["correct"]["p"] is None and shown["seconds"]["mean"] is None
        assert shown["correct"]["undefined"]["/p"] == "no reads"
        assert shown["statistics"]["auroc"] == {"auc": None, "var": None, "ci95": None}
        assert shown["statistics"]["undefined"]["/auroc/auc"] == "no reads"
        assert shown["lesions"]["undefined"]["/average_precision"] == "no cases"
    add_reads(pg, trust.people[1], [graded(0, 2, 2), graded(0, 4, None)], cases[:2])
    shown = ask(client(trust.people[1]))["all"]["statistics"]
    assert shown["at"]["3"]["sensitivity"]["p"] is None
    assert shown["undefined"]["/at/3/sensitivity/p"] == "no truth-positive read"
    assert shown["at"]["3"]["specificity"]["p"] == 0.5
    assert "small sample" in shown["notes"]["/n"]
    assert shown["notes"]["/kappa_quadratic"] == "over the 1 reads of cases with a reference category"


def test_only_first_attempts_that_are_graded_count_and_a_regrade_counts_as_it_is_now(tenant, client, pg, cases, server):
    person, rng = tenant("trainee")["trainee"], random.Random(9)
    reads = [some_read(rng) for _ in range(12)]
    ids = add_reads(pg, person, reads, cases[:12])
    add_reads(pg, person, [some_read(rng) for _ in range(5)], cases[:5], attempt=2)
    me = client(person)
    assert_same(server, ask(me)["all"], reads)
    reads[3] = graded(1, 5, 4, marks=[5], findings=[{"code": "lesion_found", "verdict": "hit", "answer_pointer": "/lesions/0"}],
                      correct=reads[3]["correct"], seconds=reads[3]["seconds"]) | {"answer": reads[3]["answer"]}
    pg.query(GRADE, (person.tenant.id, ids[3], 2, 1000, reads[3]["correct"], json.dumps(reads[3]["grade"])))
    assert_same(server, ask(me)["all"], reads)


def test_an_open_read_changes_nothing_so_that_no_window_hints_at_its_truth(tenant, client, demo_cases):
    me = client(tenant("trainee")["trainee"])
    read_case(me, demo_cases[0])
    before = me.get("/v1/performance/statistics", params={"modality": "prostate_mri", "stratum": "zone"})
    read = open_read(me, demo_cases[1])
    answer = truth_as_answer(demo_cases[1].truth["truth"])
    assert me.put(f"/v1/reads/{read['id']}/draft", json={"answer": answer}).status_code == 204
    again = me.get("/v1/performance/statistics", params={"modality": "prostate_mri", "stratum": "zone"},
                   headers={"If-None-Match": before.headers["etag"]})
    assert again.status_code == 304
    assert submit(me, read, answer).status_code == 200
    assert ask(me)["all"]["reads"] == 2


def test_a_record_is_its_readers_in_its_tenant_and_nobody_elses(tenant, client, pg, cases):
    trust, other = tenant("trainee", "trainee", "educator", "administrator"), tenant("trainee")
    add_reads(pg, trust.people[0], [graded(1, 4)] * 8, cases[:8])
    assert ask(client(trust.people[0]))["all"]["reads"] == 8
    for person in [*trust.people[1:], *other.people]:
        assert ask(client(person))["all"]["reads"] == 0
        assert ask(client(person), path="/v1/performance/learning")["reads"] == 0


@pytest.mark.parametrize("params, field, code", [
    ({"modality": None}, "modality", "required"), ({"modality": "no_such"}, "modality", "unknown_modality"),
    ({"window": "1"}, "window", "unknown_value"), ({"from": "2026-02-30"}, "from", "not_a_date"),
    ({"from": "yesterday"}, "from", "not_a_date"), ({"to": "2026-1-01"}, "to", "not_a_date"),
    ({"from": "2026-03-02", "to": "2026-03-01"}, "to", "out_of_range"), ({"stratum": "age"}, "stratum", "unknown_stratum"),
    ({"person": "x"}, "person", None)])
def test_a_question_that_is_none_names_the_parameter(tenant, client, params, field, code):
    me = client(tenant("trainee")["trainee"])
    asked = {key: value for key, value in {"modality": "prostate_mri", **params}.items() if value is not None}
    problem = assert_problem(me.get("/v1/performance/statistics", params=asked), 400 if code is None else 422, code, field)
    if code == "unknown_stratum":
        assert "difficulty, psa, zone" in problem["detail"]


def test_more_than_100000_reads_are_refused_and_can_be_narrowed(tenant, client, pg, cases):
    person = tenant("trainee")["trainee"]
    connection = pg()
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("""INSERT INTO reads (tenant_id, read_id, person_id, case_id, case_version, modality, attempt, state,
                              opened_at, submitted_at, answer, answer_sha256, submission_no)
                          SELECT %s, gen_random_uuid(), %s, %s, 1, 'prostate_mri', 1, 'graded', timestamptz '2026-01-01 UTC',
                                 timestamptz '2026-01-01 UTC' + n * interval '1 minute', '{}', 'x', nextval('submission_numbers')
                          FROM generate_series(1, 100001) n""", (person.tenant.id, person.id, cases[0]))
    connection.close()
    me = client(person)
    params = {"modality": "prostate_mri"}
    assert_problem(me.get("/v1/performance/statistics", params=params), 422, "too_many_reads", "from")
    assert_problem(me.get("/v1/performance/learning", params=params), 422, "too_many_reads", "modality")
    for narrow in ({"window": "20"}, {"to": "2026-01-02"}):
        assert me.get("/v1/performance/statistics", params={**params, **narrow}).status_code == 200
    # Without looking whether anything refers to them, a hundred thousand times.
    pg.query("SET session_replication_role = replica; DELETE FROM reads WHERE person_id = %s", (person.id,))


# --- The references -------------------------------------------------------------------------------------------------------

def near(shown, expected):
    assert shown == (None if expected is None else pytest.approx(expected, abs=1e-9))


def test_every_reference_data_set_read_by_one_reader_gives_the_reference_numbers(tenant, client, pg, cases):
    sets = json.loads(reference("reader_stats_reference.json").read_text())["datasets"]
    person = tenant("trainee")["trainee"]
    me = client(person)
    for day, one in enumerate(sets):
        reads = [graded(*values) for values in zip(one["truth"], one["pirads"], one["reference_pirads"])]
        when = NOON + timedelta(days=day)
        add_reads(pg, person, reads, cases[:len(reads)], at=lambda n, when=when: when + timedelta(seconds=n))
        date = when.date().isoformat()
        shown, expected = ask(me, **{"from": date, "to": date})["all"]["statistics"], one["expected"]
        delong = expected["auroc_delong_numpy"] or {"auc": None, "var": None, "ci": None}
        assert shown["n"] == one["n"], one["name"]
        near(shown["auroc"]["auc"], delong["auc"])
        near(shown["auroc"]["var"], delong["var"])
        near(shown["auroc"]["ci95"], delong["ci"])
        near(shown["average_precision"], expected["average_precision_sklearn"])
        near(shown["kappa_quadratic"], expected["kappa_vs_reference"]["quadratic"])
        for threshold in ("3", "4"):
            table = expected[f"pirads_ge{threshold}"]
            assert [shown["at"][threshold][cell] for cell in ("tp", "fp", "fn", "tn")] == [table[c] for c in ("tp", "fp", "fn", "tn")]
            for share in ("sensitivity", "specificity", "ppv", "npv"):
                near(shown["at"][threshold][share]["p"], table[share]["p"])
                near(shown["at"][threshold][share]["wilson95"], table[share]["wilson95"])


@pytest.mark.parametrize("name", ["ordinal_n20", "edge_no_detections", "edge_all_ties"])
def test_lesion_lists_of_picai_eval_read_by_one_reader_give_its_numbers(tenant, client, pg, cases, name):
    one = json.loads(reference("picai_eval_reference.json").read_text())["B_lesion_lists"][name]
    person = tenant("trainee")["trainee"]
    reads = [from_rows(one["case_target"][case], max(1, int(one["case_pred"][case])), rows)
             for case, rows in one["lesion_results"].items()]
    add_reads(pg, person, reads, cases[:len(reads)])
    shown, expected = ask(client(person))["all"]["lesions"], one["expected"]
    assert (shown["cases"], shown["lesions"]) == (expected["num_cases"], expected["num_lesions"])
    near(shown["auroc"], expected["AUROC"])
    near(shown["average_precision"], expected["AP"])
    near(shown["score"], expected["picai_score"])
    assert [(p["threshold"], pytest.approx(p["fp_per_case"], abs=1e-9), pytest.approx(p["sensitivity"], abs=1e-9))
            for p in shown["froc"]] == [(p["threshold"], p["FP_per_case"], p["TPR"]) for p in expected["froc_finite"]]


def auroc(truth, score):
    """Every pair compared, and DeLong's placements."""
    positive = [s for t, s in zip(truth, score) if t]
    negative = [s for t, s in zip(truth, score) if not t]
    below, above = ([sum((p > q) + (p == q) / 2 for q in negative) / len(negative) for p in positive],
                    [sum((p > q) + (p == q) / 2 for p in positive) / len(positive) for q in negative])
    return statistics.fmean(below), statistics.variance(below) / len(positive) + statistics.variance(above) / len(negative)


def average_precision(truth, score):
    area = before = 0
    for threshold in sorted(set(score), reverse=True):
        called = [t for t, s in zip(truth, score) if s >= threshold]
        area += (sum(called) - before) / sum(truth) * sum(called) / len(called)
        before = sum(called)
    return area


def test_all_1500_cases_of_picai_as_routine_reads_of_one_reader(tenant, client, pg, demo_cases, server):
    """Read as routine radiology did: its highest PI-RADS a case, against histology or a negative MRI."""
    with reference("picai_cases.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1500
    truth, score = [int(row["case_cspca"]) for row in rows], [int(row["routine_pirads_max"]) for row in rows]
    psa = [float(row["psa_ng_ml"]) if row["psa_ng_ml"] else None for row in rows]
    own = add_cases(pg, len(rows), clinical=lambda n: {"psa_ng_ml": psa[n]} if psa[n] is not None else {})
    person = tenant("trainee")["trainee"]
    reads = [graded(t, s) for t, s in zip(truth, score)]
    add_reads(pg, person, reads, own)
    shown = ask(client(person), stratum="psa")
    assert_same(server, shown["all"], reads)

    def agrees(object_, of):
        t, s = [truth[n] for n in of], [score[n] for n in of]
        area, variance = auroc(t, s)
        assert object_["statistics"]["n"] == len(of)
        near(object_["statistics"]["auroc"]["auc"], area)
        near(object_["statistics"]["auroc"]["var"], variance)
        near(object_["statistics"]["average_precision"], average_precision(t, s))
        for threshold in (3, 4):
            table = object_["statistics"]["at"][str(threshold)]
            cells = {(a, b): sum(x == a and (y >= threshold) == b for x, y in zip(t, s)) for a in (0, 1) for b in (False, True)}
            assert (table["tp"], table["fp"], table["fn"], table["tn"]) == (cells[1, True], cells[0, True], cells[1, False],
                                                                           cells[0, False])
            near(table["sensitivity"]["wilson95"], wilson(table["tp"], sum(t)))
            near(table["specificity"]["wilson95"], wilson(table["tn"], len(t) - sum(t)))

    everything = range(1500)
    agrees(shown["all"], everything)
    assert sum(truth) == 425 and "notes" not in shown["all"]["statistics"]
    low, middle, high, unknown = shown["strata"]
    agrees(low, [n for n in everything if psa[n] is not None and psa[n] < 4])
    agrees(middle, [n for n in everything if psa[n] is not None and 4 <= psa[n] < 10])
    agrees(high, [n for n in everything if psa[n] is not None and psa[n] >= 10])
    assert unknown["reads"] == psa.count(None) == 40
    last = ask(client(person), window=50)["all"]
    agrees(last, range(1450, 1500))


# --- Learning -----------------------------------------------------------------------------------------------------------

def lc_cusum(correct, adequate=0.2, inadequate=0.35, limit=4.2):
    s = 0
    for n, right in enumerate(correct):
        s = max(0, s + math.log((1 - adequate) / (1 - inadequate) if right else adequate / inadequate))
        if s > limit:
            return n + 1, s
    return None, s


def test_the_learning_curve_equals_a_recomputation_and_names_its_methods(tenant, client, pg, cases):
    person, rng = tenant("trainee")["trainee"], random.Random(11)
    reads = [graded(1, 4, correct=rng.random() < (0.45 if n < 60 else 0.9)) for n in range(160)]
    add_reads(pg, person, reads, cases[:160])
    shown = ask(client(person), path="/v1/performance/learning")
    right = [read["correct"] for read in reads]
    assert (shown["modality"], shown["reads"], shown["window"]) == ("prostate_mri", 160, 20)
    assert [point["read"] for point in shown["curve"]] == list(range(20, 161))
    for point in shown["curve"]:
        k = sum(right[point["read"] - 20:point["read"]])
        assert (point["share"]["k"], point["share"]["n"]) == (k, 20)
        assert point["share"]["wilson95"] == pytest.approx([max(0, wilson(k, 20)[0]), min(1, wilson(k, 20)[1])], abs=1e-12)
    adequacy, plateau = shown["learning"]["adequacy"], shown["learning"]["plateau"]
    reached, statistic = lc_cusum(right)
    assert adequacy["reached_at"] == reached is not None
    assert adequacy["statistic"] == pytest.approx(statistic, abs=1e-9)
    assert adequacy["method"] == "LC-CUSUM" and "Biau" in adequacy["citation"]
    away = [abs(sum(right[:t]) - t * sum(right) / 160) for t in range(1, 160)]
    assert plateau["k"] == pytest.approx(max(away), abs=1e-9) and "Pettitt" in plateau["citation"]
    assert plateau["from_read"] == away.index(max(away)) + 2


# --- Cases --------------------------------------------------------------------------------------------------------------

def readers(tenant, pg, cases, case, count, rng):
    """People with a record of other cases, who then read this one."""
    people = tenant(*["trainee"] * count).people
    made = []
    for person in people:
        ability = rng.random()
        elsewhere = [graded(1, 4, correct=rng.random() < ability) for _ in range(12)]
        add_reads(pg, person, elsewhere, cases[:12])
        right = rng.random() < ability
        read = graded(1, 4 if right else 2, correct=right, seconds=rng.randint(30, 600), findings=[
            {"code": "lesion_found" if right else "lesion_missed", "verdict": "hit" if right else "miss", "answer_pointer": None},
            {"code": "wrong_zone", "verdict": "partial", "answer_pointer": None},
            {"code": "wrong_zone", "verdict": "partial", "answer_pointer": None}])
        add_reads(pg, person, [read], [case])
        made.append((sum(e["correct"] for e in elsewhere) / 12, read))
    return people, made


def pearson(pairs):
    a, b = zip(*pairs)
    x, y = statistics.fmean(a), statistics.fmean(b)
    return (sum((i - x) * (j - y) for i, j in pairs)
            / math.sqrt(sum((i - x) ** 2 for i in a) * sum((j - y) ** 2 for j in b)))


def test_the_statistics_of_a_case_equal_a_recomputation_over_all_tenants(tenant, client, pg, cases):
    rng = random.Random(17)
    case, = add_cases(pg, 1, state="published")
    trust = tenant("expert")
    expert = client(trust["expert"])
    people, made = readers(tenant, pg, cases, case, 9, rng)
    path = f"/v1/cases/{case}/statistics"
    before = expert.get(path).json()
    assert before["errors"] is None and before["scores"] is None and before["points"] is None
    assert "would hint at the truth" in before["undefined"]["/errors"]
    add_reads(pg, trust["expert"], [graded(1, 5, correct=True, seconds=61)], [case])
    shown = expert.get(path).json()
    reads = [read for _, read in made] + [graded(1, 5, correct=True, seconds=61)]
    right = sum(read["correct"] for read in reads)
    assert (shown["case"], shown["version"], shown["readers"]) == (case, 1, 10)
    assert (shown["difficulty"]["k"], shown["difficulty"]["n"]) == (right, 10) and 0 < right < 10
    near(shown["difficulty"]["wilson95"], wilson(right, 10))
    near(shown["discrimination"], pearson([(ability, float(read["correct"])) for ability, read in made]))
    near(shown["seconds"]["mean"], statistics.fmean(read["seconds"] for read in reads))
    near(shown["seconds"]["median"], statistics.median(read["seconds"] for read in reads))
    assert shown["errors"] == [{"code": "wrong_zone", "title": "Wrong zone", "reads": 9},
                               {"code": "lesion_missed", "title": "Lesion missed", "reads": 10 - right}]
    assert [(one["score"], one["title"], one["reads"]) for one in shown["scores"]] == [
        (1, "PI-RADS 1", 0), (2, "PI-RADS 2", 10 - right), (3, "PI-RADS 3", 0), (4, "PI-RADS 4", right - 1), (5, "PI-RADS 5", 1)]
    assert shown["points"] == [10 - right, *[0] * 8, right]
    text = expert.get(path).text
    assert all(one.id not in text and one.name not in text and one.tenant.id not in text for one in people)


def test_fewer_than_5_readers_of_a_shared_case_are_not_shown(tenant, client, pg, cases):
    case, = add_cases(pg, 1, state="published")
    expert = client(tenant("expert")["expert"])
    people = tenant(*["trainee"] * 5).people
    for number, person in enumerate(people):
        shown = expert.get(f"/v1/cases/{case}/statistics").json()
        assert shown["readers"] is None and shown["difficulty"] is None and shown["seconds"] is None, number
        assert "fewer than 5" in shown["undefined"]["/readers"]
        add_reads(pg, person, [graded(1, 4)], [case])
    shown = expert.get(f"/v1/cases/{case}/statistics").json()
    assert shown["readers"] == 5 and shown["discrimination"] is None
    assert shown["undefined"]["/discrimination"] == "no reader has a graded read of another case"


def test_nobody_is_singled_out_of_a_shared_case_by_asking_twice(tenant, client, pg, cases):
    case, = add_cases(pg, 1, state="published")
    expert, people = client(tenant("expert")["expert"]), tenant(*["trainee"] * 10).people
    path = f"/v1/cases/{case}/statistics"
    for number, person in enumerate(people, 1):
        add_reads(pg, person, [graded(1, 4, correct=number % 2 == 0)], [case])
        shown = expert.get(path).json()["readers"]
        assert shown == (number - number % 5 or None), "readers come in whole groups"
    for field in ("from", "to"):
        assert_problem(expert.get(path, params={field: "2026-01-01"}), 422, "shared_case", field)


def test_a_tenants_own_case_is_its_own(tenant, client, pg, cases):
    trust, other = tenant("expert", "administrator", "trainee", "educator"), tenant("expert")
    case, = add_cases(pg, 1, tenant=trust.id, state="draft")
    path = f"/v1/cases/{case}/statistics"
    assert client(trust["administrator"]).get(path).json()["readers"] == 0
    add_reads(pg, trust["trainee"], [graded(1, 2, findings=[
        {"code": "lesion_missed", "verdict": "miss", "answer_pointer": None}])], [case])
    shown = client(trust["expert"]).get(path).json()
    assert shown["readers"] == 1 and shown["errors"] == [{"code": "lesion_missed", "title": "Lesion missed", "reads": 1}]
    assert_problem(client(other["expert"]).get(path), 404, "case_not_found")
    for role in ("trainee", "educator"):
        assert_problem(client(trust[role]).get(path), 403, "role_required")


def test_a_case_that_is_none_and_a_version_that_is_none_are_not_found(tenant, client, pg, cases):
    expert = client(tenant("expert")["expert"])
    for path in (unknown_id(), "no-id", cases[0]):
        assert_problem(expert.get(f"/v1/cases/{path}/statistics"), 404, "case_not_found")
    case, = add_cases(pg, 1, state="published")
    assert_problem(expert.get(f"/v1/cases/{case}/statistics", params={"version": 2}), 404, "case_not_found")
    assert_problem(expert.get(f"/v1/cases/{case}/statistics", params={"version": 0}), 422, "out_of_range", "version")
    assert expert.get(f"/v1/cases/{case}/statistics", params={"version": 1}).json()["version"] == 1


def test_without_the_database_statistics_are_503(tenant, client, pg):
    me = client(tenant("trainee")["trainee"])
    ask(me)
    pg.stop()
    try:
        assert me.get("/v1/performance/statistics", params={"modality": "prostate_mri"}).status_code == 503
    finally:
        pg.start()
