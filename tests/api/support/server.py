"""`overread serve` as a child process, and the command line beside it."""
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import httpx

from support.ports import Port

ROOT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("OVERREAD_BUILD") or ROOT / "build").resolve()
OVERREAD = BUILD / "core/cli/overread"
GRADER = BUILD / "core/grading/overread-grader"
PLUGINS = BUILD / "plugins"

# Where sanitizers report: a leak is a failure, except the one of the library that the file names.
SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:halt_on_error=1",
    "LSAN_OPTIONS": f"suppressions={Path(__file__).parent / 'lsan.supp'}:print_suppressions=0",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}
# Sanitized code is several times slower; a limit that is met is never waited out.
START_SECONDS, STOP_SECONDS = 60, 60


def environment():
    """Ours, without what would change the configuration behind a test's back."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OVERREAD_")}
    return {**kept, **SANITIZERS}


def sanitized():
    """Is it the build with sanitizers that is tested?"""
    options = BUILD / "meson-info/intro-buildoptions.json"
    values = {option["name"]: option["value"] for option in json.loads(options.read_text())}
    return values["b_sanitize"] != "none"


class ServerFailed(AssertionError):
    pass


class Server:
    """Keys of the configuration are keyword arguments; what is not given is what a test wants by default."""

    def __init__(self, pg, database="overread", **config):
        for path in (OVERREAD, GRADER, PLUGINS):
            if not path.exists():
                raise ServerFailed(f"{path} is missing: build first, or set OVERREAD_BUILD to the build directory")
        self.folder = Path(tempfile.mkdtemp(prefix="overread-server-", dir="/tmp"))
        self.pg, self.port_held = pg, Port()
        self.config = {
            "database": pg.conninfo("overread_app", database),
            "database_admin": pg.conninfo("overread_owner", database),
            "listen": f"127.0.0.1:{self.port_held}",  # the same after a restart
            "cookie_secure": "off",
            "threads": 2,
            "state_dir": self.folder / "state",
            "plugin_dir": PLUGINS,
            "allow_unsigned_plugins": "on",
            "grader": GRADER,
            **config,
        }
        Path(self.config["state_dir"]).mkdir(exist_ok=True)
        key = Path(self.config.setdefault("secret_key", pg.folder / "secret.key"))
        if not key.exists():  # one for all servers of a cluster: they open each other's secrets
            key.write_text(secrets.token_hex(32) + "\n")
        self.config_file = self.folder / "overread.conf"
        self.configure()
        self.process = None
        self.address = None  # what it said it listens on: "127.0.0.1:40321" or "unix:/..."
        self.lines = []      # of its standard error, since the first start
        self.mark = 0        # where the running test's lines begin
        self._new_line = threading.Condition()

    def configure(self, **changes):
        """What the next start goes by."""
        self.config.update(changes)
        self.config_file.write_text("".join(f"{key} = {value}\n" for key, value in self.config.items()))

    # --- Its life -----------------------------------------------------------------------------------------------

    def start(self, ready=True):
        assert self.process is None, "the server runs already"
        first = len(self.lines)
        self.process = subprocess.Popen([OVERREAD, "--config", self.config_file, "serve"], env=environment(),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        text=True, errors="replace", start_new_session=True)
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True)
        self._reader.start()
        self.address = self.wait_event("listening", START_SECONDS, first)["address"]
        if ready:
            self.wait_ready()
            self.pg.servers.add(self)
        return self

    def _read(self, stream):
        for line in stream:
            with self._new_line:
                self.lines.append(line.rstrip("\n"))
                self._new_line.notify_all()
        stream.close()

    def wait_ready(self, seconds=START_SECONDS):
        deadline = time.monotonic() + seconds
        with self.client() as client:
            while True:
                try:
                    if client.get("/readyz").status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise ServerFailed("the server did not become ready\n" + self.tail())
                time.sleep(0.05)

    def stop(self):
        """SIGTERM; the exit status must be 0, which under sanitizers also says that nothing leaked."""
        status = self.end(signal.SIGTERM)
        if status != 0:
            raise ServerFailed(f"the server ended with status {status}\n{self.tail(120)}")

    def kill(self):
        return self.end(signal.SIGKILL)

    def end(self, number):
        """Sends a signal, waits for the end, gives the exit status."""
        self.pg.servers.discard(self)
        process, self.process = self.process, None
        process.send_signal(number)
        try:
            status = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self._reader.join(5)
            raise ServerFailed(f"the server did not end within {STOP_SECONDS} seconds\n{self.tail(120)}") from None
        self._reader.join(5)
        return status

    def restart(self):
        if self.process:
            self.stop()
        return self.start()

    def running(self):
        return self.process is not None and self.process.poll() is None

    def ensure_running(self):
        if self.process is not None and self.process.poll() is not None:
            self.pg.servers.discard(self)
            status, self.process = self.process.returncode, None
            self.restart()
            raise ServerFailed(f"the server had ended by itself with status {status}\n{self.tail(120)}")
        if self.process is None:
            self.start()

    def destroy(self):
        try:
            if self.process is not None:
                self.stop()
        finally:
            self.pg.servers.discard(self)
            self.port_held.release()
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- Talking to it ------------------------------------------------------------------------------------------

    @property
    def pid(self):
        return self.process.pid

    @property
    def url(self):
        scheme = "https" if self.config.get("tls_certificate") else "http"
        return f"{scheme}://localhost" if self.address.startswith("unix:") else f"{scheme}://{self.address}"

    @property
    def host(self):
        return self.address.rsplit(":", 1)[0]

    @property
    def port(self):
        return int(self.address.rsplit(":", 1)[1])

    def client(self, token=None, **options):
        """An HTTP client, with a bearer token when given. Never through a proxy of the environment."""
        headers = {**options.pop("headers", {}), **({"Authorization": f"Bearer {token}"} if token else {})}
        uds = self.address[len("unix:"):] if self.address.startswith("unix:") else None
        transport = httpx.HTTPTransport(uds=uds, verify=options.pop("verify", False))
        return httpx.Client(base_url=self.url, headers=headers, timeout=options.pop("timeout", 60), trust_env=False,
                            transport=transport, **options)

    def cli(self, *arguments, stdin="", check=True):
        """Runs an overread subcommand with the server's configuration."""
        result = subprocess.run([OVERREAD, "--config", self.config_file, *map(str, arguments)], env=environment(),
                                input=stdin, capture_output=True, text=True, timeout=300)
        if check and result.returncode != 0:
            raise AssertionError(f"overread {' '.join(map(str, arguments))} ended with {result.returncode}\n"
                                 f"{result.stdout}{result.stderr}")
        return result

    def cli_json(self, *arguments, **options):
        return json.loads(self.cli(*arguments, **options).stdout)

    # --- Its log ------------------------------------------------------------------------------------------------

    @property
    def log(self):
        """Log lines that are JSON, parsed."""
        return self.log_since(0)

    def log_since(self, first):
        events = []
        for line in self.lines[first:]:
            try:
                events.append(json.loads(line))
            except ValueError:
                pass
        return [event for event in events if isinstance(event, dict)]

    def events(self, name, first=0):
        return [event for event in self.log_since(first) if event.get("event") == name]

    def wait_event(self, name, seconds=30, first=0):
        """The first event of that name at or after line `first`; waits for it to be logged."""
        deadline = time.monotonic() + seconds
        with self._new_line:
            while not (found := self.events(name, first)):
                if self.process is not None and self.process.poll() is not None and not self._reader.is_alive():
                    raise ServerFailed(f"the server ended with status {self.process.returncode}\n{self.tail()}")
                left = deadline - time.monotonic()
                if left <= 0:
                    raise ServerFailed(f"no event '{name}' was logged within {seconds} seconds\n{self.tail()}")
                self._new_line.wait(min(left, 0.2))
        return found[0]

    def tail(self, count=40, first=0):
        return "\n".join(self.lines[first:][-count:])
