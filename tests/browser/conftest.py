# pylint: disable=unused-import
"""A browser, and a server that it reaches as http://localhost, which browsers take for a safe place (WebAuthn needs one)."""
import json
import secrets
import shutil
import subprocess
from pathlib import Path

import pytest
from support.fixtures import client, mailbox, pg, pytest_runtest_makereport, tenant  # noqa: F401
from support.ports import Port
from support.server import Server

HERE = Path(__file__).parent
CHROMIUM = "/usr/bin/chromium"


@pytest.fixture(scope="session")
def _server(pg, mailbox):
    port = Port()
    made = Server(pg, **mailbox.config, listen=f"127.0.0.1:{port}", public_url=f"http://localhost:{port}")
    try:
        made.cli("migrate")
        yield made.start()
    finally:
        made.destroy()
        port.release()


@pytest.fixture
def server(_server):
    _server.ensure_running()
    _server.mark = len(_server.lines)
    return _server


class Browser:
    """Each call of driver.mjs is a method: browser.open("/sign-in"), browser.press("Enter"), ..."""

    def __init__(self):
        self.process = subprocess.Popen(["node", "driver.mjs"], cwd=HERE, env={"PATH": "/usr/bin:/bin", "CHROMIUM": CHROMIUM},
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __getattr__(self, call):
        def ask(*args):
            self.process.stdin.write(json.dumps({"call": call, "args": args}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
            assert line, "the browser's driver has ended"
            reply = json.loads(line)
            assert "error" not in reply, f"{call}{args}: {reply['error']}"
            return reply["value"]

        return ask

    def enter(self, field, text):
        self.tab_to(field)
        self.type(text)

    def push(self, button):
        self.tab_to(button)
        self.press("Enter")

    def mend(self, text):
        """From the summary of the problem by its link to the field that it names, which gets another text."""
        self.press("Tab")
        self.press("Enter")
        self.press("Control+a")
        self.type(text)
        self.press("Enter")

    def end(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


@pytest.fixture(scope="session")
def _browser():
    if not Path(CHROMIUM).exists():
        pytest.skip("there is no Chromium: install the package chromium")
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("there is no npm: install nodejs and npm")
    if not (HERE / "node_modules/.package-lock.json").exists():
        done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=HERE, capture_output=True, text=True,
                              timeout=300)
        if done.returncode:
            pytest.skip(f"npm could not install playwright-core and axe-core: {done.stderr[-300:]}")
    browser = Browser()
    yield browser
    browser.end()


@pytest.fixture
def browser(_browser, server):
    """As new for each test. A test fails when a page had an error on its console, or was refused something by its CSP."""
    bits = secrets.token_bytes(6).hex(":", 2)
    _browser.begin(server.config["public_url"], f"2001:db8:{bits}::1")
    yield _browser
    assert _browser.troubles() == []
