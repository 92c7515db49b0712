"""The heart: open, draft, submit, be graded, get feedback; an answer is durable before it is graded, and final."""
import json
import threading
import time

import pytest
from support.reads import assert_problem, open_read, read_case, submit, truth_as_answer, unknown_id, wrong_answer


@pytest.fixture
def me(tenant, client):
    return client(tenant("trainee")["trainee"])


@pytest.fixture
def case(demo_cases):
    return next(c for c in demo_cases if c.truth["truth"]["cspca"])


def answer_of(case):
    return truth_as_answer(case.truth["truth"])


def test_opening_a_case_starts_the_servers_clock(me, case):
    reply = me.post("/v1/reads", json={"case": case.id})
    read = reply.json()
    assert reply.status_code == 201 and reply.headers["location"] == f"/v1/reads/{read['id']}"
    assert read["state"] == "open" and read["attempt"] == 1 and read["counts"] and read["submitted_at"] is None


def test_opening_the_same_case_again_gives_the_open_read(me, case):
    first = open_read(me, case)
    again = me.post("/v1/reads", json={"case": case.id})
    assert again.status_code == 200 and again.json()["id"] == first["id"]


def test_fifty_openings_at_once_make_one_read(me, case, pg):
    ids, failures = [], []

    def go():
        reply = me.post("/v1/reads", json={"case": case.id}, headers={"Idempotency-Key": "one key"})
        (ids if reply.status_code in (200, 201) else failures).append(reply.json().get("id", reply.text))

    threads = [threading.Thread(target=go) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and len(ids) == 50 and len(set(ids)) == 1


def test_an_idempotency_key_gives_the_same_read_and_refuses_another_body(me, case, demo_cases):
    key = {"Idempotency-Key": "monday-1"}
    first = open_read(me, case, headers=key)
    submit(me, first, answer_of(case))
    assert open_read(me, case, headers=key)["id"] == first["id"]
    other = next(c for c in demo_cases if c is not case)
    assert_problem(me.post("/v1/reads", json={"case": other.id}, headers=key), 422, "idempotency_key_reused",
                   "Idempotency-Key")
    assert_problem(me.post("/v1/reads", json={"case": case.id}, headers={"Idempotency-Key": "x" * 300}), 422,
                   "bad_idempotency_key")


def test_the_truth_as_answer_is_correct_and_earns_every_point(me, demo_cases):
    for case in demo_cases:
        feedback = read_case(me, case)
        grade = feedback["grade"]
        assert feedback["correct"] and grade["correct"]
        assert grade["points"] == grade["max_points"] > 0
        assert grade["findings"] and all(f["text"] and f["rule"] for f in grade["findings"])


def test_a_missed_cancer_is_not_correct_and_the_feedback_says_what_was_missed(me, case):
    feedback = read_case(me, case, right=False)
    assert not feedback["correct"]
    missed = [f for f in feedback["grade"]["findings"] if f["verdict"] == "miss"]
    assert missed and all(f["look_again"] for f in missed if f["code"] == "lesion_missed")


def test_feedback_carries_provenance_report_and_the_servers_time(me, case, server):
    feedback = read_case(me, case)
    listed = server.cli("plugin", "list").stdout
    provenance = feedback["provenance"]
    assert provenance["plugin"] == "prostate_mri" and provenance["plugin_sha256"] in listed
    assert provenance["revision"] == 1 and len(provenance["input_sha256"]) == 64
    assert feedback["duration_ms"] >= 0 and feedback["expert_report"] == case.truth["expert_report"]


def test_a_draft_is_kept_until_the_submission_and_never_counts(me, case):
    read = open_read(me, case)
    path = f"/v1/reads/{read['id']}"
    assert me.put(path + "/draft", json={"answer": {"lesions": [{"half": "done"}]}}).status_code == 204
    assert me.put(path + "/draft", json={"answer": {"lesions": []}}).status_code == 204
    assert me.get(path).json()["draft"] == {"lesions": []}
    assert me.get("/v1/performance").json()["items"] == []
    submit(me, read, answer_of(case))
    assert me.get(path).json()["draft"] is None
    assert_problem(me.put(path + "/draft", json={"answer": {}}), 409, "already_submitted")


def test_submitting_the_same_answer_again_gives_the_same_feedback(me, case):
    read = open_read(me, case)
    first = submit(me, read, answer_of(case))
    shuffled = dict(reversed(list(answer_of(case).items())))
    again = submit(me, read, shuffled)
    assert again.status_code == 200 and again.json() == first.json()
    assert me.get(f"/v1/reads/{read['id']}/feedback").json() == first.json()


def test_submitting_another_answer_is_a_conflict_and_changes_nothing(me, case):
    read = open_read(me, case)
    first = submit(me, read, answer_of(case)).json()
    assert_problem(submit(me, read, wrong_answer(case.truth["truth"])), 409, "already_submitted", "/answer")
    assert me.get(f"/v1/reads/{read['id']}/feedback").json() == first


def test_two_different_answers_at_once_leave_exactly_one(me, case, pg):
    read = open_read(me, case)
    replies = []

    def go(answer):
        replies.append(submit(me, read, answer).status_code)

    threads = [threading.Thread(target=go, args=(a,)) for a in (answer_of(case), wrong_answer(case.truth["truth"])) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(replies) == {200, 409} and replies.count(200) == 4
    assert pg.query("SELECT count(*) FROM grades WHERE read_id = %s", (read["id"],)) == [(1,)]


def test_a_second_read_of_a_case_is_feedback_only(me, case):
    read_case(me, case, right=False)
    second = read_case(me, case)
    assert second["attempt"] == 2 and not second["counts"]
    review = me.get("/v1/performance").json()["items"][0]
    assert review["reads"] == 1 and review["correct"] == 0


def test_ones_reads_are_listed_newest_first_and_filtered(me, demo_cases):
    done = read_case(me, demo_cases[0])
    opened = open_read(me, demo_cases[1])
    items = me.get("/v1/reads").json()["items"]
    assert [r["id"] for r in items] == [opened["id"], done["read"]]
    assert items[1]["correct"] is True and items[0]["correct"] is None
    assert [r["id"] for r in me.get("/v1/reads", params={"state": "graded"}).json()["items"]] == [done["read"]]
    assert [r["id"] for r in me.get("/v1/reads", params={"case": demo_cases[1].id}).json()["items"]] == [opened["id"]]
    page = me.get("/v1/reads", params={"limit": 1}).json()
    assert me.get("/v1/reads", params={"after": page["next"]}).json()["items"][0]["id"] == done["read"]
    assert_problem(me.get("/v1/reads?state=lost"), 422, field="state")


def test_an_expired_subscription_opens_nothing_and_keeps_the_record(tenant, client, server, case, demo_cases):
    trust = tenant("trainee")
    me = client(trust["trainee"])
    feedback = read_case(me, case)
    server.cli("tenant", "create", "--kind", "organisation", "--name", trust.name, "--slug", trust.slug,
               "--access-until", "2020-01-01T00:00:00Z")
    other = next(c for c in demo_cases if c is not case)
    assert_problem(me.post("/v1/reads", json={"case": other.id}), 402, "subscription_expired")
    images = me.get(f"/v1/cases/{other.id}").json()["images"]
    name = images["series"][0]["instances"][0]["frames"][0]
    assert_problem(me.get(images["base"] + name), 402, "subscription_expired")
    assert me.get(f"/v1/reads/{feedback['read']}/feedback").status_code == 200
    own = me.get(f"/v1/cases/{case.id}").json()["images"]
    assert me.get(own["base"] + own["series"][0]["instances"][0]["frames"][0]).status_code == 200


def test_an_administrator_who_is_nothing_else_reads_no_case(tenant, client, case):
    assert_problem(client(tenant("administrator")["administrator"]).post("/v1/reads", json={"case": case.id}), 403,
                   "role_required")


# --- Bad input ------------------------------------------------------------------------------------------------------

def bad_body(me, read, text, status, code=None, **options):
    headers = {"Content-Type": "application/json", **options}
    return assert_problem(me.post(f"/v1/reads/{read['id']}/submission", content=text, headers=headers), status, code)


@pytest.mark.parametrize("text", [b"", b"{", b'{"answer":', b"[1,2", b'{"answer":{}} trailing', b'{"a":1,"a":2}',
                                  b'{"answer":{"cspca":true,"cspca":false}}', b'{"answer":NaN}', b'{"answer":{"x":Infinity}}',
                                  b'{"answer":"\xff\xfe"}', b'{"answer":"\\u0000"}', b"[" * 50_000, b'{"a":' * 5000])
def test_json_that_is_malformed_deep_or_has_duplicate_keys_is_refused(me, case, text):
    read = open_read(me, case)
    bad_body(me, read, text, 400)
    assert me.get(f"/v1/reads/{read['id']}").json()["state"] == "open"


def test_a_huge_body_is_refused(me, case):
    read = open_read(me, case)
    bad_body(me, read, b'{"answer":{"x":"' + b"x" * 500_000 + b'"}}', 413)
    assert me.get(f"/v1/reads/{read['id']}").json()["state"] == "open"


def test_a_body_of_very_many_small_values_is_refused_before_it_is_a_tree(me, case):
    read = open_read(me, case)
    bad_body(me, read, b'{"answer":{"x":[' + b",".join([b"{}"] * 60_000) + b"]}}", 413, "too_many_values")
    bad_body(me, read, b'{"answer":{"x":"' + b"[," * 70_000 + b'"}}', 422)  # in a text they are no values


def test_another_content_type_is_refused(me, case):
    read = open_read(me, case)
    bad_body(me, read, b"<answer/>", 415, **{"Content-Type": "application/xml"})


@pytest.mark.parametrize("body, field", [([], ""), ({}, "/answer"), ({"answer": []}, "/answer"),
                                         ({"answer": {}, "more": 1}, "/more")])
def test_a_body_of_another_shape_is_refused(me, case, body, field):
    reply = me.post(f"/v1/reads/{open_read(me, case)['id']}/submission", json=body)
    assert reply.status_code in (400, 422)
    assert_problem(reply, reply.status_code, field=field or None)


def lesion(case, **changes):
    mark = answer_of(case)["lesions"][0]
    mark.update(changes)
    return {"lesions": [mark], "cspca": True}


@pytest.mark.parametrize("change, field", [
    ({"position": "left"}, "/answer/lesions/0/position"), ({"position": [1, 2]}, "/answer/lesions/0/position"),
    ({"position": [1, 2, "3"]}, "/answer/lesions/0/position/2"), ({"position": [1e9, 0, 0]}, "/answer/lesions/0/position/0"),
    ({"pirads": 6}, "/answer/lesions/0/pirads"), ({"pirads": 3.5}, "/answer/lesions/0/pirads"),
    ({"zone": "XZ"}, "/answer/lesions/0/zone"), ({"colour": "red"}, "/answer/lesions/0/colour")])
def test_a_wrong_type_or_range_in_the_answer_is_named(me, case, change, field):
    read = open_read(me, case)
    assert_problem(submit(me, read, lesion(case, **change)), 422, "schema", field)
    assert me.get(f"/v1/reads/{read['id']}").json()["state"] == "open"


def test_ten_thousand_lesions_are_refused(me, case):
    read = open_read(me, case)
    many = {"lesions": [{"position": [0, 0, 0]}] * 10_000, "cspca": True}
    assert_problem(submit(me, read, many), 422, "schema", "/answer/lesions")


@pytest.mark.parametrize("position", [[400, 0, 0], [0, -400, 0], [0, 0, 400]])
def test_a_position_outside_the_image_is_refused_before_anything_is_stored(me, case, position):
    read = open_read(me, case)
    assert_problem(submit(me, read, lesion(case, position=position)), 422, field="/answer/lesions/0/position")
    assert me.get(f"/v1/reads/{read['id']}").json()["state"] == "open"


def test_a_position_in_the_image_but_outside_the_gland_is_refused(me, case):
    bounds = case.manifest["config"]["image"]["bounds_lps_mm"]
    corner = [b[0] + 1 for b in bounds]
    read = open_read(me, case)
    problem = assert_problem(submit(me, read, lesion(case, position=corner)), 422, field="/answer/lesions/0/position")
    assert "gland" in problem["detail"].lower()


def test_an_unknown_case_or_read_is_not_found(me):
    assert_problem(me.post("/v1/reads", json={"case": unknown_id()}), 404, "case_not_found", "/case")
    assert_problem(me.post("/v1/reads", json={"case": "x"}), 422, field="/case")
    for path in ("", "/feedback"):
        assert_problem(me.get(f"/v1/reads/{unknown_id()}{path}"), 404, "read_not_found")
        assert_problem(me.get(f"/v1/reads/x{path}"), 404, "read_not_found")
    assert_problem(me.post(f"/v1/reads/{unknown_id()}/submission", json={"answer": {}}), 404, "read_not_found")


def test_a_read_is_written_once_even_for_the_owner_of_the_database(me, case, pg):
    feedback = read_case(me, case)
    for change in ("answer = '{}'", "submitted_at = now()", "state = 'open'", "attempt = 9"):
        with pytest.raises(Exception):
            pg.query(f"UPDATE reads SET {change} WHERE read_id = %s", (feedback["read"],))
    with pytest.raises(Exception, match="never changed"):
        pg.query("UPDATE grades SET correct = NOT correct WHERE read_id = %s", (feedback["read"],))


def test_the_log_names_requests_by_id_and_shows_no_answer(me, case, server):
    reply = submit(me, open_read(me, case), answer_of(case))
    request_id = reply.headers["x-request-id"]
    deadline = time.monotonic() + 30  # the line is written after the reply
    while not (lines := [e for e in server.log if e.get("request_id") == request_id]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [e["status"] for e in lines] == [200] and "position" not in json.dumps(lines)


def test_a_trace_is_carried_on(me):
    trace = "0af7651916cd43dd8448eb211c80319c"
    reply = me.get("/v1/session", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    assert reply.headers["traceparent"].split("-")[1] == trace


def test_a_read_opened_before_the_truth_was_seen_elsewhere_is_no_first_attempt(tenant, client, case):
    """Opened in the trust and at home, submitted at home, then in the trust: the second has seen the truth."""
    trust, home = tenant("trainee"), tenant(kind="individual")
    person = trust["trainee"]
    private = home.add("trainee", email=person.email, name=person.name, password=person.password)
    at_work, at_home = client(person), client(private)
    in_trust, in_private = open_read(at_work, case), open_read(at_home, case)
    assert submit(at_home, in_private, answer_of(case)).json()["counts"] is True
    late = submit(at_work, in_trust, answer_of(case)).json()
    assert late["attempt"] == 2 and late["counts"] is False
    assert at_work.get("/v1/performance").json()["items"] == []


def test_a_draft_comes_back_as_it_was_sent(me, case):
    read = open_read(me, case)
    text = '{"answer":{"tiny":5e-324,"large":1e20,"list":[' + ",".join(["5e-324"] * 1000) + "]}}"
    headers = {"Content-Type": "application/json"}
    assert me.put(f"/v1/reads/{read['id']}/draft", content=text, headers=headers).status_code == 204
    reply = me.get(f"/v1/reads/{read['id']}")
    assert reply.json()["draft"] == json.loads(text)["answer"] and len(reply.content) < 60_000


def test_a_case_id_in_capitals_is_the_same_request(me, case):
    key = {"Idempotency-Key": "capitals"}
    first = open_read(me, case, headers=key)
    again = me.post("/v1/reads", json={"case": case.id.upper()}, headers=key)
    assert again.status_code == 200 and again.json()["id"] == first["id"]
