"""Plugins come in new versions while the server grades, and only with a signature when keys are trusted."""
import json
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from support.reads import open_read, submit, truth_as_answer
from support.server import BUILD, OVERREAD, PLUGINS, environment

TRIALS = BUILD / "tests/unit/grading/plugins"
ID = "prostate_mri"


def wait_until(condition, seconds=40):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)
    return value


def graders(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            try:
                if "overread-grader" in Path(f"/proc/{child}/cmdline").read_text():
                    found.append(int(child))
            except OSError:
                pass
    return found


def install(plugin_dir, version, library=None):
    """Another version of the modality: the same rules, with another version in manifest and library. As an operator
    copies it: the files one after another, each in whole."""
    folder = plugin_dir / ID
    folder.mkdir(parents=True, exist_ok=True)
    manifest = json.loads((PLUGINS / ID / "manifest.json").read_text())
    built = manifest["version"].encode() + b"\0"
    assert len(version) == len(manifest["version"])
    manifest["version"] = version
    code = (library or PLUGINS / ID / f"{ID}.so").read_bytes()
    assert library or built in code
    for name, content in (("manifest.json", json.dumps(manifest).encode()),
                          (f"{ID}.so", code.replace(built, version.encode() + b"\0"))):
        part = folder / f"{name}.part"
        part.write_bytes(content)
        part.replace(folder / name)


@pytest.fixture
def plugin_dir(tmp_path):
    install(tmp_path / "plugins", "1.0.0")
    return tmp_path / "plugins"


def hup(server):
    """SIGHUP; what the server logged until the end of that reload."""
    first = len(server.lines)
    server.process.send_signal(signal.SIGHUP)
    server.wait_event("plugins_reloaded", 60, first)
    return server.log_since(first)


def served(client):
    return {m["modality"]: m["plugin_version"] for m in client.get("/v1/modalities").json()["items"]}


def graded(pg, read):
    return pg.query("SELECT plugin_version, correct FROM grades WHERE read_id = %s", (read["id"],))


def settled(server):
    """After the one reload that the listening connection asks for when it comes up."""
    server.wait_event("plugins_reloaded", 60)


def test_a_new_version_takes_over_under_load_and_no_request_fails(server_with, plugin_dir, tenant, demo_cases, pg):
    server = server_with(plugin_dir=plugin_dir)
    settled(server)
    people = [tenant("trainee")["trainee"] for _ in range(3)]
    stop, failures, reads = threading.Event(), [], []

    def work(person):
        with server.client(person.token) as me:
            while not stop.is_set():
                case = demo_cases[len(reads) % len(demo_cases)]
                read = open_read(me, case)
                reply = submit(me, read, truth_as_answer(case.truth["truth"]))
                reads.append(read)
                if reply.status_code != 200 or not reply.json()["correct"]:
                    failures.append((reply.status_code, reply.text))

    for person in people:
        assert person.token
    threads = [threading.Thread(target=work, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    try:
        for version in ("1.0.1", "1.0.2", "1.0.3", "1.0.4"):
            count = len(reads)
            wait_until(lambda: len(reads) >= count + 5)
            install(plugin_dir, version)
            events = hup(server)
            assert [(e["plugin"], e["version"]) for e in events if e["event"] == "plugin_changed"] == [(ID, version)]
        count = len(reads)
        wait_until(lambda: len(reads) >= count + 5)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    with server.client(people[0].token) as me:
        assert served(me) == {ID: "1.0.4"}
        fresh = open_read(me, demo_cases[0])
        assert submit(me, fresh, truth_as_answer(demo_cases[0].truth["truth"])).json()["provenance"]["plugin_version"] == "1.0.4"
    versions = [graded(pg, read)[0][0] for read in reads + [fresh]]
    assert set(versions) >= {"1.0.0", "1.0.4"} and versions[-1] == "1.0.4"
    # The workers of the versions before have gone: one a loop is left, after what ends has ended.
    wait_until(lambda: len(graders(server.pid)) == 2)


def test_a_broken_version_leaves_the_old_one_serving(server_with, plugin_dir, tenant, demo_cases):
    server = server_with(plugin_dir=plugin_dir)
    settled(server)
    case = demo_cases[0]
    with server.client(tenant("trainee")["trainee"].token) as me:
        for broken in (lambda: install(plugin_dir, "1.0.1", TRIALS / "crashes_at_load.so"),
                       lambda: (plugin_dir / ID / "manifest.json").write_text("{"),
                       lambda: (plugin_dir / ID / f"{ID}.so").unlink()):
            broken()
            kept = [e for e in hup(server) if e["event"] == "plugin_kept"]
            assert [(e["plugin"], e["version"]) for e in kept] == [(ID, "1.0.0")] and kept[0]["why"]
            listed = server.cli("plugin", "list", check=False)
            assert listed.returncode == 1 and "BROKEN" in listed.stdout
            assert served(me) == {ID: "1.0.0"}
            reply = submit(me, open_read(me, case), truth_as_answer(case.truth["truth"]))
            assert reply.status_code == 200, reply.text
        install(plugin_dir, "1.0.2")
        hup(server)
        assert served(me) == {ID: "1.0.2"}
        (plugin_dir / ID).rename(plugin_dir.parent / "away")
        assert [e["plugin"] for e in hup(server) if e["event"] == "plugin_removed"] == [ID]
        assert served(me) == {}


def test_one_command_has_every_node_read_its_plugins_again(server_with, plugin_dir, tenant):
    nodes = [server_with(plugin_dir=plugin_dir) for _ in range(2)]
    token = tenant("trainee")["trainee"].token
    for node in nodes:
        settled(node)
    install(plugin_dir, "1.0.7")
    listed = nodes[0].cli("plugin", "reload")
    assert f"{ID}  1.0.7" in listed.stdout
    for node in nodes:
        with node.client(token) as me:
            wait_until(lambda: served(me) == {ID: "1.0.7"})


def test_what_was_missed_while_the_database_was_away_is_made_up_for(server_with, plugin_dir, tenant, pg):
    server = server_with(plugin_dir=plugin_dir)
    token = tenant("trainee")["trainee"].token
    settled(server)
    pg.stop()
    install(plugin_dir, "1.0.8")
    pg.start()
    with server.client(token) as me:
        wait_until(lambda: served(me) == {ID: "1.0.8"})


def test_twenty_reloads_leave_no_descriptor_and_no_process_behind(server_with, plugin_dir, tenant, demo_cases):
    server = server_with(plugin_dir=plugin_dir, threads=1)
    settled(server)

    def open_files():
        """Those of the registry and of workers; connections come and go with clients."""
        links = []
        for entry in Path(f"/proc/{server.pid}/fd").iterdir():
            try:
                links.append(str(entry.readlink()))
            except OSError:
                pass
        return len([link for link in links if "memfd" in link or "pidfd" in link])

    with server.client(tenant("trainee")["trainee"].token) as me:
        submit(me, open_read(me, demo_cases[0]), truth_as_answer(demo_cases[0].truth["truth"]))
        wait_until(lambda: len(graders(server.pid)) == 1)
        before = open_files()
        for letter in "abcdefghijklmnopqrst":
            install(plugin_dir, f"1.0.{letter}")
            hup(server)
        reply = submit(me, open_read(me, demo_cases[1]), truth_as_answer(demo_cases[1].truth["truth"]))
        assert reply.json()["provenance"]["plugin_version"] == "1.0.t"
    wait_until(lambda: len(graders(server.pid)) == 1 and open_files() == before)


# --- Signatures ---------------------------------------------------------------------------------------------------


def overread(*arguments):
    result = subprocess.run([OVERREAD, *map(str, arguments)], env=environment(), capture_output=True, text=True,
                            timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_a_server_with_keys_takes_only_what_they_have_signed(server_with, plugin_dir, tmp_path, tenant, demo_cases):
    overread("plugin", "keygen", tmp_path / "release")
    assert (tmp_path / "release.pem").stat().st_mode & 0o777 == 0o600
    key = overread("plugin", "sign", "--key", tmp_path / "release.pem", plugin_dir / ID).split()[-1]
    server = server_with(plugin_dir=plugin_dir, plugin_keys=tmp_path / "release.pub.pem", allow_unsigned_plugins="off")
    settled(server)
    assert [e["signed_by"] for e in server.events("plugin")] == [key]
    assert f"signed by {key}" in server.cli("plugin", "list").stdout
    assert f"signed by {key}" in server.cli("doctor").stdout
    case = demo_cases[0]
    with server.client(tenant("trainee")["trainee"].token) as me:
        install(plugin_dir, "1.0.1")
        assert "not signed by a trusted key" in next(e for e in hup(server) if e["event"] == "plugin_kept")["why"]
        assert served(me) == {ID: "1.0.0"}
        overread("plugin", "sign", "--key", tmp_path / "release.pem", plugin_dir / ID / f"{ID}.so")
        hup(server)
        assert served(me) == {ID: "1.0.1"}
        assert submit(me, open_read(me, case), truth_as_answer(case.truth["truth"])).status_code == 200
        # The key is exchanged for another: what the old one has signed is served no longer.
        overread("plugin", "keygen", tmp_path / "next")
        shutil.copy(tmp_path / "next.pub.pem", tmp_path / "release.pub.pem")
        assert [e["plugin"] for e in hup(server) if e["event"] == "plugin_broken"] == [ID]
        assert served(me) == {}
        listed = server.cli("plugin", "list", check=False)
        assert listed.returncode == 1 and "not signed by a trusted key" in listed.stdout


def refused(server):
    ended = subprocess.run([OVERREAD, "--config", server.config_file, "serve"], env=environment(), capture_output=True,
                           text=True, timeout=60)
    assert ended.returncode == 1
    return ended.stderr


def test_a_server_without_keys_starts_only_when_unsigned_plugins_are_allowed(server_with, plugin_dir, tmp_path):
    server = server_with(plugin_dir=plugin_dir, allow_unsigned_plugins="on")
    server.stop()
    text = server.config_file.read_text()
    server.config_file.write_text(text.replace("allow_unsigned_plugins = on\n", ""))
    assert "plugins_unsigned" in refused(server)
    listed = server.cli("plugin", "list", check=False)
    assert listed.returncode == 1 and "No server starts with these" in listed.stdout
    process = subprocess.Popen([OVERREAD, "--config", server.config_file, "serve", "--allow-unsigned"],
                               env=environment(), stderr=subprocess.PIPE, text=True)
    try:
        assert any('"listening"' in line for line in process.stderr)
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0
    (tmp_path / "keys.pem").write_text("no key")
    server.config_file.write_text(f"{text}plugin_keys = {tmp_path / 'keys.pem'}\n")
    assert "plugin_keys" in refused(server)
