"""Performance review and boards: incremental, equal to a recomputation, ranks and pseudonyms."""
import json
import math
import random
import uuid

import pytest
from support.reads import assert_problem, read_case

Z = 1.959963984540054


def wilson(k, n):
    p = k / n
    half = Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    return [max(0, (p + Z * Z / (2 * n) - half) / (1 + Z * Z / n)), min(1, (p + Z * Z / (2 * n) + half) / (1 + Z * Z / n))]


def window(history, span):
    last = history[-span:]
    n, k = len(last), sum(last)
    return {"n": n, "correct": k, "percent": round(100 * k / n, 1),
            "wilson95": [round(100 * x, 1) for x in wilson(k, n)]}


def close(shown, expected):
    assert (shown["n"], shown["correct"]) == (expected["n"], expected["correct"])
    assert shown["percent"] == pytest.approx(expected["percent"], abs=0.051)
    assert shown["wilson95"] == pytest.approx(expected["wilson95"], abs=0.051)


def review(client):
    return client.get("/v1/performance", params={"modality": "prostate_mri"}).json()["items"][0]


def test_before_the_first_read_there_is_nothing_to_review(tenant, client):
    assert client(tenant("trainee")["trainee"]).get("/v1/performance").json() == {"items": []}


def test_the_review_moves_with_every_read(tenant, client, demo_cases):
    me, history = client(tenant("trainee")["trainee"]), []
    for number, case in enumerate(demo_cases):
        right = number % 3 != 1
        read_case(me, case, right)
        history.append(right)
        shown = review(me)
        close(shown["last20"], window(history, 20))
        close(shown["last50"], window(history, 50))
        assert shown["reads"] == len(history) and shown["correct"] == sum(history)


def graded_history(pg, person, tenant_id, case, rng, count):
    """`count` first attempts, submitted in one order and graded in another, as grades that waited would be."""
    results = [rng.random() < 0.7 for _ in range(count)]
    connection = pg()
    with connection.cursor() as cursor:
        reads = []
        for _ in results:
            read = str(uuid.uuid4())
            cursor.execute("""INSERT INTO reads (tenant_id, read_id, person_id, case_id, case_version, modality, attempt,
                    state, submitted_at, answer, answer_sha256, submission_no)
                VALUES (%s, %s, %s, %s, 1, 'prostate_mri', 1, 'awaiting_grade', now(), '{}', 'x',
                    nextval('submission_numbers'))""", (tenant_id, read, person, case))
            reads.append(read)
        order = list(range(count))
        for i in range(count - 1):  # late grades: neighbours up to 8 places apart change places
            j = min(count - 1, i + rng.randrange(8))
            order[i], order[j] = order[j], order[i]
        for i in order:
            cursor.execute("UPDATE reads SET state = 'graded' WHERE read_id = %s", (reads[i],))
            cursor.execute("""INSERT INTO grades (tenant_id, read_id, revision, points_milli, max_points_milli, correct,
                    grade, plugin_id, plugin_version, rules_revision, plugin_sha256, case_version, input_sha256)
                VALUES (%s, %s, 1, 0, 1, %s, '{}', 'p', '1', 1, 'x', 1, 'x')""", (tenant_id, reads[i], results[i]))
    connection.close()
    return results


def test_standings_equal_a_recomputation_from_the_reads_on_random_histories(tenant, client, demo_cases, pg):
    rng = random.Random(20261124)
    trust = tenant(*["trainee"] * 6)
    scores = {}
    for person in trust.people:
        history = graded_history(pg, person.id, trust.id, demo_cases[0].id, rng, rng.choice([1, 19, 20, 21, 49, 50, 51, 140]))
        shown = review(client(person))
        close(shown["last20"], window(history, 20))
        close(shown["last50"], window(history, 50))
        assert (shown["reads"], shown["correct"]) == (len(history), sum(history))
        recent = history[-50:]
        scores[person.id] = math.floor(100 * wilson(sum(recent), len(recent))[0])
        assert shown["score"] == scores[person.id]
    for person in trust.people:
        shown = review(client(person))
        assert shown["rank"] == 1 + sum(s > scores[person.id] for s in scores.values()) and shown["of"] == 6
    counted = pg.query("""SELECT score, sum(people) FROM board_counts WHERE tenant_id = %s GROUP BY score
                          HAVING sum(people) <> 0""", (trust.id,))
    assert dict(counted) == {s: list(scores.values()).count(s) for s in set(scores.values())}


def test_every_standing_of_this_database_equals_its_recomputation(pg, tenant, client, demo_cases):
    read_case(client(tenant("trainee")["trainee"]), demo_cases[0])
    wrong = pg.query("""
        WITH first AS (
            SELECT r.tenant_id, r.person_id, r.modality, r.submission_no, g.correct
            FROM reads r JOIN LATERAL (SELECT correct FROM grades x WHERE (x.tenant_id, x.read_id) = (r.tenant_id, r.read_id)
                                       ORDER BY revision DESC LIMIT 1) g ON true
            WHERE r.attempt = 1),
        boards AS (SELECT * FROM first UNION ALL SELECT everybody(), person_id, modality, submission_no, correct FROM first),
        numbered AS (SELECT *, row_number() OVER (PARTITION BY tenant_id, person_id, modality
                                                  ORDER BY submission_no DESC) AS back FROM boards),
        computed AS (SELECT tenant_id, person_id, modality, count(*) AS reads, count(*) FILTER (WHERE correct) AS correct,
                            array_agg(correct ORDER BY submission_no) FILTER (WHERE back <= 50) AS ring
                     FROM numbered GROUP BY 1, 2, 3)
        SELECT * FROM computed c FULL JOIN standings s USING (tenant_id, person_id, modality)
        WHERE (c.reads, c.correct, c.ring) IS DISTINCT FROM (s.reads::bigint, s.correct::bigint, s.ring_correct)""")
    assert wrong == []


def test_the_tenants_board_ranks_its_members_and_nobody_else(tenant, client, demo_cases):
    trust, other = tenant("trainee", "trainee", "expert"), tenant("trainee")
    good, poor = map(client, trust.people[:2])
    for case in demo_cases[:3]:
        read_case(good, case)
        read_case(poor, case, right=False)
        read_case(client(other["trainee"]), case)
    board = client(trust["expert"]).get("/v1/board", params={"modality": "prostate_mri"}).json()
    assert [(r["rank"], r["name"]) for r in board["items"]] == [(1, trust.people[0].name), (2, trust.people[1].name)]
    assert board["people"] == 2 and board["me"] is None
    mine = poor.get("/v1/board", params={"modality": "prostate_mri"}).json()
    assert mine["me"]["rank"] == 2 and [r["me"] for r in mine["items"]] == [False, True]


def test_everybodys_board_shows_pseudonyms_of_who_asked_and_no_id(tenant, client, demo_cases):
    trust = tenant("trainee", "trainee")
    me, shy = map(client, trust.people)
    for one in (me, shy):
        read_case(one, demo_cases[0])
    name = f"Fuhrman {uuid.uuid4().hex[:8]}"
    params = {"modality": "prostate_mri", "board": "everybody", "limit": 100}
    before = me.get("/v1/board", params=params).json()
    assert me.put("/v1/board/pseudonym", json={"pseudonym": name}).status_code == 204
    reply = shy.get("/v1/board", params=params)
    board = reply.json()
    assert board["people"] == before["people"] + 1
    assert name in [r["name"] for r in board["items"]]
    assert all(p.name not in reply.text and p.id not in reply.text and p.email not in reply.text for p in trust.people)
    assert me.delete("/v1/board/pseudonym").status_code == 204
    after = shy.get("/v1/board", params=params).json()
    assert name not in [r["name"] for r in after["items"]] and after["people"] == before["people"]


def test_a_pseudonym_is_unique_and_has_3_to_40_characters(tenant, client):
    trust = tenant("trainee", "trainee")
    name = f"Gleason {uuid.uuid4().hex[:8]}"
    first, second = map(client, trust.people)
    assert first.put("/v1/board/pseudonym", json={"pseudonym": name}).status_code == 204
    assert first.put("/v1/board/pseudonym", json={"pseudonym": name}).status_code == 204
    assert_problem(second.put("/v1/board/pseudonym", json={"pseudonym": name.upper()}), 409, "pseudonym_taken", "/pseudonym")
    assert_problem(second.put("/v1/board/pseudonym", json={"pseudonym": "ab"}), 422, field="/pseudonym")


@pytest.mark.parametrize("query, field", [("", "modality"), ("modality=x", "modality"),
                                          ("modality=prostate_mri&board=mars", "board"),
                                          ("modality=prostate_mri&limit=1000", "limit")])
def test_a_wrong_question_to_the_board_is_named(tenant, client, query, field):
    assert_problem(client(tenant("trainee")["trainee"]).get(f"/v1/board?{query}"), 422, field=field)


def test_a_rank_costs_the_same_for_a_thousand_readers_and_for_many_more(tenant, client, demo_cases, pg):
    """No timing: the plan reads score counters, never people."""
    plan = pg.query("EXPLAIN (FORMAT JSON) SELECT 1 + coalesce(sum(people), 0) FROM board_counts WHERE tenant_id = everybody()"
                    " AND modality = 'prostate_mri' AND score > 40")[0][0]
    assert '"standings"' not in json.dumps(plan)
    assert pg.query("SELECT count(*) <= 101 * 8 FROM board_counts WHERE tenant_id = everybody()") == [(True,)]


@pytest.mark.parametrize("name", ["   ", " Bob", "Bob ", "Bo  b", "a\nb", "a\u202eb", "\u200b\u200b\u200b", "\ufeffBob", "a\u0085b"])
def test_a_pseudonym_shows_what_it_is(tenant, client, name):
    reply = client(tenant("trainee")["trainee"]).put("/v1/board/pseudonym", json={"pseudonym": name})
    assert_problem(reply, 422, "bad_pseudonym", "/pseudonym")


def test_joining_while_a_first_read_is_being_graded_lists_the_reader(tenant, client, demo_cases, pg):
    """The grade's transaction is held open from outside, as a slow disk would."""
    trust = tenant("trainee")
    person, name = trust["trainee"], f"Slow {uuid.uuid4().hex[:8]}"
    me = client(person)
    connection = pg(autocommit=False)
    with connection.cursor() as cursor:
        read = str(uuid.uuid4())
        cursor.execute("""INSERT INTO reads (tenant_id, read_id, person_id, case_id, case_version, modality, attempt, state,
                submitted_at, answer, answer_sha256, submission_no)
            VALUES (%s, %s, %s, %s, 1, 'prostate_mri', 1, 'graded', now(), '{}', 'x', nextval('submission_numbers'))""",
                       (trust.id, read, person.id, demo_cases[0].id))
        cursor.execute("""INSERT INTO grades (tenant_id, read_id, revision, points_milli, max_points_milli, correct, grade,
                plugin_id, plugin_version, rules_revision, plugin_sha256, case_version, input_sha256)
            VALUES (%s, %s, 1, 1, 1, true, '{}', 'p', '1', 1, 'x', 1, 'x')""", (trust.id, read))
    import threading
    joined = []
    thread = threading.Thread(target=lambda: joined.append(
        me.put("/v1/board/pseudonym", json={"pseudonym": name}).status_code))
    thread.start()
    thread.join(0.5)
    connection.commit()
    connection.close()
    thread.join()
    assert joined == [204]
    board = me.get("/v1/board", params={"modality": "prostate_mri", "board": "everybody", "limit": 100}).json()
    assert name in [r["name"] for r in board["items"]]
