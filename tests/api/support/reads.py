"""Answers to the demo cases, made from their truth, and what a trainee does with them."""
import uuid


def truth_as_answer(truth):
    """The answer of somebody who knows."""
    lesions = []
    for lesion in truth["lesions"]:
        answer = {"position": lesion["centre"], "zone": lesion["zone"], "pirads": lesion["pirads"]}
        if "sectors" in lesion:
            answer["sectors"] = lesion["sectors"]
        answer.update(lesion.get("scores", {}))
        lesions.append(answer)
    return {"lesions": lesions, "cspca": truth["cspca"]}


def wrong_answer(truth):
    """Schema-valid, and wrong in the decision."""
    return {"lesions": [], "cspca": not truth["cspca"]}


def open_read(client, case, **options):
    reply = client.post("/v1/reads", json={"case": case.id}, **options)
    assert reply.status_code in (200, 201), reply.text
    return reply.json()


def submit(client, read, answer):
    return client.post(f"/v1/reads/{read['id']}/submission", json={"answer": answer})


def read_case(client, case, right=True):
    """Opens and submits; the feedback."""
    answer = truth_as_answer(case.truth["truth"]) if right else wrong_answer(case.truth["truth"])
    reply = submit(client, open_read(client, case), answer)
    assert reply.status_code == 200, reply.text
    return reply.json()


def assert_problem(reply, status, code=None, field=None):
    assert reply.status_code == status, f"{reply.status_code}: {reply.text}"
    assert reply.headers["content-type"].startswith("application/problem+json")
    body = reply.json()
    assert body["status"] == status and body["title"] and body["detail"]
    if code:
        assert body["code"] == code, body
    if field:
        assert body["field"] == field, body
    return body


def unknown_id():
    return str(uuid.uuid4())
