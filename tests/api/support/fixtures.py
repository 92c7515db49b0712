"""The fixtures of tests/api and tests/faults. Each folder's conftest takes them in, so each has a cluster and a
server of its own."""
import os
from pathlib import Path

import pytest

from support import cases as case_folders
from support.cluster import Cluster
from support.mail import Mailbox
from support.people import Tenant
from support.server import Server

DEMO_SEED, DEMO_COUNT = 7, 6
# Half of what making and importing cases takes is DCMTK's reading of all there is, at each start of a tool of its.
os.environ.setdefault("DCMDICTPATH", str(Path(__file__).with_name("dicom.dic")))


@pytest.fixture(scope="session")
def pg():
    """The cluster: pg() connects as superuser; pg.query(sql, parameters), pg.stop(), pg.start()."""
    cluster = Cluster()
    yield cluster
    cluster.destroy()


@pytest.fixture(scope="session")
def mailbox():
    """Where all servers' mail goes: mailbox.wait(address) -> .subject, .text, .html, .link, .token."""
    box = Mailbox().start()
    yield box
    box.stop()


@pytest.fixture(scope="session")
def _server(pg, mailbox):
    server = Server(pg, **mailbox.config)
    try:
        server.cli("migrate")
        server.start()
        yield server
    finally:
        server.destroy()


@pytest.fixture
def server(_server, pg):
    """The running server. What a test stops is started again; a server that ended by itself fails the test."""
    pg.ensure_running()
    _server.ensure_running()
    _server.mark = len(_server.lines)
    yield _server
    pg.ensure_running()
    _server.ensure_running()


@pytest.fixture
def server_with(_server, pg, mailbox):
    """server_with(body_limit=2048, ...): one more server with that configuration, on the same database and images."""
    started = []

    def start(**config):
        wait = config.pop("ready", True)
        config.setdefault("state_dir", _server.config["state_dir"])
        started.append(Server(pg, **{**mailbox.config, **config}))
        return started[-1].start(ready=wait)

    yield start
    failures = []
    for server in started:
        try:
            server.destroy()
        except AssertionError as failure:
            failures.append(failure)
    if failures:
        raise failures[0]


@pytest.fixture
def tenant(server):
    """tenant("trainee", "educator,expert", kind="organisation"): a new tenant with one person for each argument."""
    def make(*roles, **options):
        made = Tenant(server, **options)
        for role in roles:
            made.add(role)
        return made

    return make


@pytest.fixture
def client(server):
    """client(person) or client(): an HTTP client, signed in as that person or as nobody."""
    opened = []

    def open_client(person=None, **options):
        opened.append(server.client(person.token if person else None, **options))
        return opened[-1]

    yield open_client
    for one in opened:
        one.close()


@pytest.fixture(scope="session")
def demo_cases(_server, pg, tmp_path_factory):
    """Synthetic cases, imported and published once: .id, .slug, .folder, .manifest, .truth."""
    pg.ensure_running()
    folder = tmp_path_factory.mktemp("demo") / "cases"
    return case_folders.take_in(_server, case_folders.generate(_server, folder, DEMO_SEED, DEMO_COUNT))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A failed test shows what the server said meanwhile."""
    report = (yield).get_result()
    server = getattr(item, "funcargs", {}).get("server")
    if report.failed and server:
        tail = server.tail(60, server.mark)
        if tail:
            report.sections.append((f"server log during {report.when}", tail))
