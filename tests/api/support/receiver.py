"""A receiver of webhooks on loopback, which keeps what it is sent and answers as a test tells it; and their signatures, verified
by the words of the specification."""
import base64
import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WAIT_SECONDS = 90


def signature(secret, number, timestamp, body):
    assert secret.startswith("whsec_")
    key = base64.b64decode(secret[len("whsec_"):], validate=True)
    signed = f"{number}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


class Delivery:
    """.id, .timestamp, .signatures, .body (bytes), .type, .data, .path"""

    def __init__(self, path, headers, body):
        self.path, self.headers, self.body = path, headers, body
        self.id, self.timestamp = headers["webhook-id"], headers["webhook-timestamp"]
        self.signatures = headers["webhook-signature"].split(" ")
        payload = json.loads(body)
        assert set(payload) == {"type", "timestamp", "data"}, payload
        self.type, self.happened_at, self.data = payload["type"], payload["timestamp"], payload["data"]

    def signed_by(self, secret):
        return signature(secret, self.id, self.timestamp, self.body) in self.signatures

    def __repr__(self):
        return f"Delivery({self.type} {self.data})"


class Receiver:
    """.answers: what to say next, in that order, instead of 204: a status, (status, {header: value}), or "hang" until release()."""

    def __init__(self):
        self.answers, self.got, self.requests = [], [], 0
        self._changed = threading.Condition()
        self._released = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                receiver._take(self)

            def do_GET(self):
                receiver._take(self)

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):  # the client went while it was made to wait
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def _take(self, request):
        body = request.rfile.read(int(request.headers.get("content-length", 0)))
        with self._changed:
            self.requests += 1
            if "webhook-id" in request.headers:
                self.got.append(Delivery(request.path, dict(request.headers.items()), body))
            answer = self.answers.pop(0) if self.answers else 204
            self._changed.notify_all()
        if answer == "hang":
            self._released.wait(WAIT_SECONDS)
            answer = 204
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("content-length", "0")
        request.end_headers()

    def release(self):
        self._released.set()

    def close(self):
        self.release()
        self._server.shutdown()
        self._server.server_close()

    def wait(self, count=1, seconds=WAIT_SECONDS, hurry=lambda: None):
        """The first `count` deliveries, once they are there."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while len(self.got) < count:
                left = deadline - time.monotonic()
                assert left > 0, f"{len(self.got)} of {count} deliveries came within {seconds} seconds: {self.got}"
                hurry()
                self._changed.wait(min(left, 0.2))
            return self.got[:count]
