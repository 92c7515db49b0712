"""Graders that crash, hang, or never come up: the answer is kept, the read waits, a job finishes it."""
import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from support.reads import open_read, submit, truth_as_answer
from support.server import BUILD, PLUGINS

TRIALS = BUILD / "tests/unit/grading/plugins"


def children(pid):
    return [int(p) for task in Path(f"/proc/{pid}/task").iterdir() for p in (task / "children").read_text().split()]


def wait_until(condition, seconds=40):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)
    return value


@pytest.fixture
def plugin_dir(tmp_path):
    folder = tmp_path / "plugins"
    shutil.copytree(PLUGINS / "prostate_mri", folder / "prostate_mri",
                    ignore=lambda _, names: [n for n in names if n not in ("manifest.json", "prostate_mri.so")])
    return folder


def add_plugin(folder, name, manifest=True, library=None, **changes):
    (folder / name).mkdir()
    if manifest:
        base = {"id": name, "version": "1.0.0", "title": name, "rules_revision": 1, "abi": {"major": 1, "minor": 0},
                "limits": {"memory_mb": 32, "cpu_ms": 200, "wall_ms": 500}, "findings": {"echo": "Echo"},
                "schemas": {"config": {"type": "object"}, "truth": {"type": "object"}, "answer": {"type": "object"}}}
        (folder / name / "manifest.json").write_text(json.dumps({**base, **changes}))
    if library:
        shutil.copy(TRIALS / f"{library}.so", folder / name / f"{name}.so")


def test_plugins_that_are_broken_are_named_and_stop_nobody_else(server_with, plugin_dir, tenant):
    add_plugin(plugin_dir, "no_manifest", manifest=False, library="trial")
    add_plugin(plugin_dir, "no_library")
    add_plugin(plugin_dir, "wrong_abi", library="wrong_abi", abi={"major": 2, "minor": 0})
    add_plugin(plugin_dir, "nonsense", library="trial", schemas={"config": {}, "truth": {}, "answer": {"typ": "object"}})
    server = server_with(plugin_dir=plugin_dir)
    broken = {e["plugin"]: e["why"] for e in server.events("plugin_broken")}
    assert set(broken) == {"no_manifest", "no_library", "wrong_abi", "nonsense"} and all(broken.values())
    listed = server.cli("plugin", "list", check=False)
    assert listed.returncode == 1 and listed.stdout.count("BROKEN") == 4
    with server.client(tenant("trainee")["trainee"].token) as me:
        assert [m["modality"] for m in me.get("/v1/modalities").json()["items"]] == ["prostate_mri"]


def test_a_grader_that_is_killed_is_replaced_and_nothing_is_lost(server, tenant, client, demo_cases, pg):
    me = client(tenant("trainee")["trainee"])
    read = open_read(me, demo_cases[0])
    killed = 0
    for case in demo_cases:
        read, answer = open_read(me, case), truth_as_answer(case.truth["truth"])
        for pid in children(server.pid):
            if "grader" in Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(pid, signal.SIGKILL)
                killed += 1
        reply = submit(me, read, answer)
        assert reply.status_code in (200, 202), reply.text
        wait_until(lambda: me.get(f"/v1/reads/{read['id']}/feedback").status_code == 200)
    assert killed > 0
    shown = me.get("/v1/performance").json()["items"][0]
    assert shown["reads"] == shown["correct"] == len(demo_cases)


def test_without_a_grader_the_answer_is_kept_and_graded_when_one_is_back(server_with, plugin_dir, tenant, demo_cases, pg):
    """The plugin's library crashes at load at first; then the real one is put in its place."""
    person = tenant("trainee")["trainee"]
    case = demo_cases[0]
    library = plugin_dir / "prostate_mri/prostate_mri.so"
    real = library.read_bytes()
    library.unlink()
    shutil.copy(TRIALS / "crashes_at_load.so", library)
    server = server_with(plugin_dir=plugin_dir)
    with server.client(person.token) as me:
        read = open_read(me, case)
        reply = submit(me, read, truth_as_answer(case.truth["truth"]))
        assert reply.status_code == 202 and reply.json()["state"] == "awaiting_grade"
        assert reply.headers["retry-after"] and reply.headers["location"] == f"/v1/reads/{read['id']}"
        assert me.get(f"/v1/reads/{read['id']}").json()["state"] == "awaiting_grade"
        assert me.get(f"/v1/reads/{read['id']}/feedback").status_code == 202
        assert me.get("/v1/performance").json()["items"] == []
        again = submit(me, read, truth_as_answer(case.truth["truth"]))
        assert again.status_code == 202
        other = submit(me, read, {"lesions": [], "cspca": not case.truth["truth"]["cspca"]})
        assert other.status_code == 409
    library.unlink()
    library.write_bytes(real)
    server.restart()
    pg.query("UPDATE jobs SET run_after = now(), lease_until = NULL WHERE kind = 'grade' AND key = %s", (read["id"],))
    with server.client(person.token) as me:
        feedback = wait_until(lambda: (r := me.get(f"/v1/reads/{read['id']}/feedback")).status_code == 200 and r.json())
        assert feedback["correct"]
        assert me.get("/v1/performance").json()["items"][0]["reads"] == 1
    assert pg.query("SELECT count(*) FROM jobs WHERE key = %s", (read["id"],)) == [(0,)]


def test_a_server_that_is_killed_between_answer_and_grade_loses_nothing(server_with, tenant, demo_cases, pg):
    person, case = tenant("trainee")["trainee"], demo_cases[0]
    server = server_with()
    with server.client(person.token) as me:
        read = open_read(me, case)
        submit(me, read, truth_as_answer(case.truth["truth"]))
    # What a kill -9 between the two statements leaves: the answer, and the job that grades it.
    other = next(c for c in demo_cases if c is not case)
    with server.client(person.token) as me:
        second = open_read(me, other)
    server.kill()
    pg.query("""SELECT become(%s, %s, NULL, '{}');
                SELECT read_submit(%s, %s::jsonb, 'hash', gen_random_uuid())""",
             (person.tenant.id, person.id, second["id"], json.dumps(truth_as_answer(other.truth["truth"]))))
    pg.query("UPDATE jobs SET run_after = now() WHERE key = %s", (second["id"],))
    server.restart()
    with server.client(person.token) as me:
        feedback = wait_until(lambda: (r := me.get(f"/v1/reads/{second['id']}/feedback")).status_code == 200 and r.json())
        assert feedback["correct"]
        assert me.get("/v1/performance").json()["items"][0]["reads"] == 2


def test_the_grader_has_no_network_no_files_and_no_privileges(server, tenant, client, demo_cases):
    me = client(tenant("trainee")["trainee"])
    submit(me, open_read(me, demo_cases[1]), truth_as_answer(demo_cases[1].truth["truth"]))
    graders = [p for p in children(server.pid) if "grader" in Path(f"/proc/{p}/cmdline").read_text()]
    assert graders
    for pid in graders:
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
        assert status["Seccomp"].strip() == "2" and status["NoNewPrivs"].strip() == "1"
        if os.geteuid() == 0:
            assert status["Uid"].split()[1] != "0"
        assert Path(f"/proc/{pid}/environ").read_bytes().find(b"PATH") == -1
