"""The shipped front, ops/haproxy.cfg: what is ambiguous or a flood stops there, the rest comes through."""
import http.client
import os
import shutil
import socket
import socketserver
import ssl
import struct
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from support.ports import Port

CONFIG = Path(__file__).resolve().parents[2] / "ops/haproxy.cfg"
START_SECONDS = 60
RESETS = 2000
SLOW_SECONDS = 0.2
LARGE_BYTES = 1 << 18  # more than the front buffers for a client that takes nothing


class Recorder(socketserver.ThreadingTCPServer):
    """The server behind the front: notes every request it is sent. "/slow" takes a while, "/large" has a large reply."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 4096

    def __init__(self):
        super().__init__(("127.0.0.1", 0), RecordingHandler)
        self.seen = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()

    def handle_error(self, request, client_address):
        """Connections that the front resets are what the test is about."""

    def paths(self):
        with self.lock:
            return [path for path, _, _ in self.seen if path != "/readyz"]

    def forget(self):
        with self.lock:
            self.seen.clear()
            self.most_at_once = 0


class RecordingHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        server = self.server
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        with server.lock:
            server.seen.append((self.path, dict(self.headers), body))
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            if self.path == "/slow":
                time.sleep(SLOW_SECONDS)
            reply = b"x" * LARGE_BYTES if self.path == "/large" else b"ok"
            self.send_response(200)
            self.send_header("content-length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)
        finally:
            with server.lock:
                server.at_once -= 1

    do_GET = do_POST = answer

    def log_message(self, format, *args):
        pass


def certificate(folder):
    pem, key = folder / "front.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    "1", "-subj", "/CN=localhost", "-keyout", key, "-out", pem], check=True, capture_output=True)
    pem.write_text(pem.read_text() + key.read_text())
    return pem


class Front:
    def __init__(self, folder, upstream, **settings):
        self.held = Port(), Port()
        self.port, self.plain_port = (port.number for port in self.held)
        self.log = (folder / "haproxy.log").open("w+")
        haproxy = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin")
        assert haproxy, "haproxy is not installed"
        self.process = subprocess.Popen(
            [haproxy, "-db", "-f", CONFIG], stdout=self.log, stderr=subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], "OVERREAD_FRONT_CERTIFICATE": str(certificate(folder)),
                 "OVERREAD_FRONT_BIND": f"127.0.0.1:{self.port}",
                 "OVERREAD_FRONT_PLAIN_BIND": f"127.0.0.1:{self.plain_port}",
                 "OVERREAD_BACKEND": f"127.0.0.1:{upstream.server_address[1]}", **settings})
        self.wait()

    def wait(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.get("/ready")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        self.stop()
        self.log.seek(0)
        raise AssertionError(f"haproxy does not serve:\n{self.log.read()}")

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=START_SECONDS)
        for port in self.held:
            port.release()

    def connect(self, protocol="http/1.1"):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols([protocol])
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        secured = context.wrap_socket(raw, server_hostname="localhost")
        assert secured.selected_alpn_protocol() == protocol
        return secured

    def raw(self, request):
        """All that comes back for these bytes, until the front closes or is silent for a second after it has answered."""
        with self.connect() as connection:
            connection.sendall(request)
            reply = connection.recv(65536)
            connection.settimeout(1)
            try:
                while part := connection.recv(65536):
                    reply += part
            except TimeoutError:
                pass
            return reply

    def get(self, path, address="127.0.0.1", **headers):
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, source_address=(address, 0),
                                                 context=ssl._create_unverified_context())  # pylint: disable=W0212
        try:
            connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            reply = connection.getresponse()
            reply.read()
            return reply.status, reply
        finally:
            connection.close()


@pytest.fixture(scope="module")
def upstream():
    recorder = Recorder()
    thread = threading.Thread(target=recorder.serve_forever, daemon=True)
    thread.start()
    yield recorder
    recorder.shutdown()
    recorder.server_close()


@pytest.fixture(scope="module")
def _front(upstream, tmp_path_factory):
    front = Front(tmp_path_factory.mktemp("front"), upstream)
    yield front
    front.stop()


@pytest.fixture
def front(_front, upstream):
    upstream.forget()
    return _front


AMBIGUOUS = {
    "a length and chunks": (411, b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n"
                                 b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"),
    "chunks before a length": (411, b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 40\r\n\r\n"
                                    b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"),
    "an obscured coding and a length": (400, b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
                                             b"Transfer-Encoding: xchunked\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"),
    "two lengths": (400, b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n123456"),
    "two lengths in one field": (400, b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 6\r\n\r\n123456"),
    "a signed length": (400, b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n12345"),
    "no host": (400, b"GET /x HTTP/1.1\r\n\r\n"),
    "an empty host": (400, b"GET /x HTTP/1.1\r\nHost:\r\n\r\n"),
    "two hosts": (400, b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    "a blank before the colon": (400, b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\n12345"),
}


@pytest.mark.parametrize("what", AMBIGUOUS)
def test_an_ambiguous_request_is_refused_and_never_reaches_the_server(front, upstream, what):
    status, request = AMBIGUOUS[what]
    reply = front.raw(request)
    got = int(reply.split(b" ", 2)[1])
    assert got == status, reply
    assert reply.count(b"HTTP/1.1 ") == 1, "the connection ends with the refusal"
    assert upstream.paths() == []


def test_an_honest_request_comes_through_once(front, upstream):
    reply = front.raw(b"POST /honest HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\n12345")
    assert reply.startswith(b"HTTP/1.1 200 ")
    assert [(path, body) for path, _, body in upstream.seen if path != "/readyz"] == [("/honest", b"12345")]


def test_the_client_cannot_say_who_or_how_it_is(front, upstream):
    status, reply = front.get("/who", X_Forwarded_For="192.0.2.1", X_Forwarded_Proto="http", Forwarded="for=192.0.2.1",
                              X_Real_IP="192.0.2.1")
    assert status == 200
    assert reply.getheader("strict-transport-security")
    headers = next({name.lower(): value for name, value in headers.items()}
                   for path, headers, _ in upstream.seen if path == "/who")
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "https"
    assert not {"forwarded", "x-real-ip"} & set(headers)


def test_a_field_name_that_servers_read_differently_is_dropped(front, upstream):
    reply = front.raw(b"GET /names HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 192.0.2.1\r\nConnection: close\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 200 ")
    headers = next(headers for path, headers, _ in upstream.seen if path == "/names")
    assert "x_forwarded_for" not in {name.lower() for name in headers}


def test_a_body_beyond_a_mebibyte_is_refused_before_it_is_sent(front, upstream):
    reply = front.raw(b"POST /big HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in reply
    assert upstream.paths() == []


@pytest.mark.parametrize("path", ["/metrics", "/%6detrics", "/metrics?a=b"])
def test_the_metrics_are_not_for_the_outside(front, upstream, path):
    assert front.get(path)[0] == 404
    assert upstream.paths() == []


def test_plain_http_is_sent_to_tls(front, upstream):
    connection = http.client.HTTPConnection("127.0.0.1", front.plain_port, timeout=30)
    connection.request("GET", "/x", headers={"Host": "localhost"})
    reply = connection.getresponse()
    connection.close()
    assert reply.status == 308
    assert reply.getheader("location") == "https://localhost/x"
    assert upstream.paths() == []


# --- HTTP/2, by hand: no client library sends what an attacker sends -----------------------------------------------

HEADERS, RST_STREAM, SETTINGS = 1, 3, 4
END_STREAM_AND_HEADERS = 5


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def request_headers(path):
    """HPACK without a table: :method GET, :scheme https, then :path and :authority as literals."""
    return b"\x82\x87\x04" + bytes([len(path)]) + path + b"\x01\x09localhost"


def http2(front, settings=b""):
    connection = front.connect("h2")
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, settings))
    return connection


def flood(connection, count, at_once):
    """Opens and cancels `count` streams, so many in one write; returns when the front has cut it off or all is sent."""
    cancel = struct.pack(">I", 8)
    for first in range(0, count, at_once):
        frames = b"".join(
            frame(HEADERS, END_STREAM_AND_HEADERS, 2 * i + 1, request_headers(b"/slow")) +
            frame(RST_STREAM, 0, 2 * i + 1, cancel) for i in range(first, first + at_once))
        try:
            connection.sendall(frames)
        except OSError:
            return


def test_http2_comes_through(front, upstream):
    with http2(front) as connection:
        connection.sendall(frame(HEADERS, END_STREAM_AND_HEADERS, 1, request_headers(b"/two")))
        received = b""
        while b"ok" not in received:
            part = connection.recv(65536)
            assert part, received
            received += part
    assert upstream.paths() == ["/two"]


@pytest.mark.parametrize("at_once", [1, 50])
def test_rapid_resets_stop_at_the_front(upstream, tmp_path, at_once):
    front = Front(tmp_path, upstream)  # of its own: the limit of requests is counted per address
    try:
        upstream.forget()
        with http2(front) as connection:
            flood(connection, RESETS, at_once)
            assert front.get("/after")[0] == 200
            time.sleep(2 * SLOW_SECONDS)  # what came through by now has been seen
        assert "/after" in upstream.paths()
        assert upstream.paths().count("/slow") < RESETS / 5
        assert upstream.most_at_once <= 256
    finally:
        front.stop()


def test_an_address_that_asks_too_often_is_told_to_wait(upstream, tmp_path):
    front = Front(tmp_path, upstream, OVERREAD_FRONT_RATE="20")
    try:
        upstream.forget()
        statuses = [front.get("/often") for _ in range(40)]
        assert statuses[-1][0] == 429
        assert statuses[-1][1].getheader("retry-after") == "10"
        assert len(upstream.paths()) <= 21
    finally:
        front.stop()


INITIAL_WINDOW_SIZE = 4


def test_a_client_that_takes_no_replies_keeps_nobody_else_from_being_answered(upstream, tmp_path):
    front, connections = Front(tmp_path, upstream), []
    nothing = struct.pack(">HI", INITIAL_WINDOW_SIZE, 0)
    try:
        upstream.forget()
        for _ in range(40):
            connections.append(http2(front, nothing))
            connections[-1].sendall(b"".join(frame(HEADERS, END_STREAM_AND_HEADERS, 2 * i + 1, request_headers(b"/large"))
                                             for i in range(32)))
        deadline = time.monotonic() + 25  # after 30 seconds the front gives such a client up
        while upstream.paths().count("/large") < 256 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert front.get("/other", address="127.0.0.2")[0] == 200
        assert front.get("/more")[0] == 429
        assert upstream.paths().count("/large") == 256, "what one address may wait for"
    finally:
        for connection in connections:
            connection.close()
        front.stop()
    assert "/other" in upstream.paths() and "/more" not in upstream.paths()
