"""ops/up and ops/down, as a newcomer types them."""
import os
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import httpx
import psycopg2
import pytest

from support.ports import Port

ROOT = Path(__file__).resolve().parents[2]
CASES = 3


class Installation:
    def __init__(self):
        # Not pytest's own folder: an unprivileged server must be able to reach it when root runs the tests.
        self.outer = Path(tempfile.mkdtemp(prefix="overread-up-", dir="/tmp"))
        self.outer.chmod(0o755)
        self.folder = self.outer / "var"
        self.port = Port()

    def run(self, command, *arguments, check=True):
        environment = {**os.environ, "OVERREAD_DEMO_COUNT": str(CASES)}
        result = subprocess.run([ROOT / "ops" / command, "--dir", self.folder, *map(str, arguments)], env=environment,
                                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900)
        if check:
            assert result.returncode == 0, result.stdout + result.stderr
        return result

    def client(self, port=None):
        return httpx.Client(base_url=f"http://127.0.0.1:{port or self.port}", timeout=30, trust_env=False)

    def credentials(self):
        """role -> (e-mail, password)"""
        lines = (self.folder / "credentials").read_text().splitlines()
        return {role: (email, password) for role, email, password in map(str.split, lines)}

    def pid(self):
        return int((self.folder / "overread.pid").read_text())

    def database(self, user):
        sockets = re.search(r"host=(\S+)", (self.folder / "overread.conf").read_text()).group(1)
        return psycopg2.connect(f"host={sockets} dbname=overread user={user}")


@pytest.fixture(scope="module")
def up():
    installation = Installation()
    try:
        installation.first = installation.run("up", "--port", installation.port)
        yield installation
    finally:
        installation.run("down", check=False)
        installation.port.release()
        shutil.rmtree(installation.outer, ignore_errors=True)


def test_it_is_ready_when_the_command_ends(up):
    with up.client() as client:
        assert client.get("/readyz").status_code == 200


def test_each_printed_person_can_sign_in_in_the_printed_role(up):
    for role, (email, password) in up.credentials().items():
        assert f"{email} " in up.first.stdout and password in up.first.stdout
        with up.client() as client:
            reply = client.post("/v1/sessions", json={"tenant": "st-elsewhere", "email": email, "password": password})
        assert reply.status_code == 201, reply.text
        assert reply.json()["roles"] == [role]


def test_the_printed_lines_of_curl_list_the_demo_library(up):
    lines = [line for line in up.first.stdout.splitlines() if "curl" in line]
    assert len(lines) == 3
    result = subprocess.run(["bash", "-euo", "pipefail", "-c", "\n".join(lines)], capture_output=True, text=True,
                            timeout=60, check=True)
    assert result.stdout.count('"slug"') >= CASES, result.stdout


def test_only_its_owner_reads_the_credentials(up):
    for name in ["credentials", "overread.conf"]:
        assert (up.folder / name).stat().st_mode & 0o077 == 0


def test_neither_server_nor_database_runs_as_root(up):
    postmaster = int((up.folder / "pg/postmaster.pid").read_text().split()[0])
    for pid in (up.pid(), postmaster):
        assert os.stat(f"/proc/{pid}").st_uid != 0


def test_what_it_serves_is_signed_by_a_key_that_only_the_installer_reads(up):
    assert (up.folder / "plugin-key.pem").stat().st_mode & 0o777 == 0o600
    listed = subprocess.run([up.folder / "app/overread", "--config", up.folder / "overread.conf", "plugin", "list"],
                            capture_output=True, text=True, timeout=60)
    assert listed.returncode == 0, listed.stdout + listed.stderr
    lines = listed.stdout.splitlines()
    assert len(lines) >= 3 and all(re.search(r"signed by [0-9a-f]{64}  ", line) for line in lines)


def test_the_database_has_no_network_address(up):
    with up.database("overread_owner") as connection, connection.cursor() as cursor:
        cursor.execute("SHOW listen_addresses")
        assert cursor.fetchone() == ("",)
        cursor.execute("SHOW fsync")
        assert cursor.fetchone() == ("on",)


def test_the_application_role_owns_nothing_and_makes_nothing(up):
    with up.database("overread_app") as connection, connection.cursor() as cursor:
        cursor.execute("""SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls,
                                 has_schema_privilege('public', 'CREATE'), has_database_privilege('overread', 'TEMP'),
                                 EXISTS (SELECT 1 FROM pg_class WHERE relowner = oid_of.oid)
                          FROM pg_roles AS oid_of WHERE rolname = current_user""")
        assert cursor.fetchone() == (False, False, False, False)


def test_a_second_run_has_nothing_left_to_do(up):
    before, pid = up.credentials(), up.pid()
    result = up.run("up")
    assert "already running" in result.stderr
    assert "==>" not in result.stderr, "a step was done again"
    assert (up.credentials(), up.pid()) == (before, pid)


def test_a_plugin_that_somebody_installed_outlives_a_new_build_and_is_not_signed_for_them(up):
    plugins = up.folder / "app/plugins"
    shutil.copytree(plugins / "lung_ct", plugins / "mine")
    manifest = plugins / "mine/manifest.json"
    manifest.write_text(manifest.read_text().replace('"id": "lung_ct"', '"id": "mine"'))
    (plugins / "mine/lung_ct.so").rename(plugins / "mine/mine.so")
    (plugins / "mine/lung_ct.sig").unlink()
    before = {path.name: path.read_bytes() for path in (plugins / "mine").iterdir()}
    with (plugins / "lung_ct/demo.py").open("a") as script:
        script.write("# what another build would have written\n")
    result = up.run("up")
    assert "==> starting the server" in result.stderr, "the program was not put there anew"
    assert "another build" not in (plugins / "lung_ct/demo.py").read_text()
    assert {path.name: path.read_bytes() for path in (plugins / "mine").iterdir()} == before
    up.run("up")
    assert (plugins / "mine").is_dir()
    shutil.rmtree(plugins / "mine")


def test_a_port_that_is_taken_is_said_and_stops_nothing(up):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = up.run("up", "--port", port, check=False)
    assert result.returncode == 1
    assert f"port {port} is taken" in result.stderr and "--port" in result.stderr
    with up.client() as client:
        assert client.get("/readyz").status_code == 200


def test_a_folder_with_other_files_is_refused(up):
    (up.outer / "mine").mkdir()
    (up.outer / "mine/thesis.txt").write_text("x")
    result = subprocess.run([ROOT / "ops/up", "--dir", up.outer / "mine"], capture_output=True, text=True, timeout=120)
    assert result.returncode == 1
    assert "choose an empty --dir" in result.stderr
    assert [path.name for path in (up.outer / "mine").iterdir()] == ["thesis.txt"]


def test_down_stops_both_and_up_brings_the_data_back(up):
    before = up.credentials()
    up.run("down")
    assert not (up.folder / "overread.pid").exists()
    assert not (up.folder / "pg/postmaster.pid").exists()
    with pytest.raises(httpx.ConnectError), up.client() as client:
        client.get("/readyz")
    result = up.run("up")
    assert "demo" not in result.stderr, "what was loaded once must not be loaded again"
    email, password = before["trainee"]
    with up.client() as client:
        assert client.post("/v1/sessions", json={"tenant": "st-elsewhere", "email": email,
                                                 "password": password}).status_code == 201


def test_in_the_foreground_it_ends_with_sigterm_and_takes_the_database_along(up):
    up.run("down")
    process = subprocess.Popen([ROOT / "ops/up", "--dir", up.folder, "--foreground"], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
    for line in process.stdout:
        if line.startswith("Overread serves"):
            break
    with up.client() as client:
        assert client.get("/readyz").status_code == 200
    process.terminate()
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output
    assert not (up.folder / "pg/postmaster.pid").exists()
