"""The HTTP server on loopback, the record of requests, and what faults do to a connection."""
import json
import os
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from . import api
from .schema import ROOT

RECORD = ROOT / "var/stripe-requests.jsonl"
LARGEST = 1 << 20


class Record:
    """Each request as a line {method, path, headers, body}; .requests holds those of this stand-in as dicts."""

    def __init__(self, path=RECORD):
        self.path, self.requests = path, []
        self._lock = threading.Lock()
        self._file = None

    def add(self, request):
        line = {"method": request.method, "path": request.target, "headers": masked(request.headers),
                "body": request.body.decode("utf-8", "replace")}
        with self._lock:
            self.requests.append(line)
            if self.path is None:
                return
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            os.write(self._file, (json.dumps(line, ensure_ascii=False) + "\n").encode())

    def close(self):
        with self._lock:
            if self._file is not None:
                os.close(self._file)
            self._file = None


def masked(headers):
    """Of the secret key only the last four characters."""
    shown = dict(headers)
    if "authorization" in shown:
        scheme, _, secret = shown["authorization"].partition(" ")
        shown["authorization"] = f"{scheme} {'*' * max(0, len(secret) - 4)}{secret[-4:] if len(secret) > 4 else ''}"
    return shown


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 120

    def setup(self):
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self):
        self.server.connections.discard(self.connection)
        super().finish()

    def log_message(self, *_):
        pass

    def _handle(self):
        standin = self.server.standin
        request = api.Request(self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
        if request.path.startswith("/_control/") and standin.control:
            request.body = self._read()
            self._send(standin.control.answer(request))
            return
        fault = standin.faults.take(request.method, request.path, request.key)
        if fault and fault.kind == "refused":
            self._reset()
            return
        request.body = self._read()
        standin.record.add(request)
        if fault and fault.kind == "reset_before":
            self._reset()
            return
        try:
            reply = api.answer(standin, request, fault)
        except Exception as failure:
            standin.note(f"{request.method} {request.path}: the stand-in itself failed: {failure!r}")
            raise
        self._deliver(reply, fault)

    do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = do_HEAD = _handle

    def _read(self):
        size = int(self.headers.get("Content-Length") or 0)
        if size > LARGEST:
            self.close_connection = True
            return b""
        # A client that waits for the acknowledgement of the headers before it sends the body gets it at once.
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return self.rfile.read(size)

    # --- The way back -------------------------------------------------------------------------------------------------------

    def _deliver(self, reply, fault):
        kind = fault.kind if fault else None
        if kind == "applied_cut":
            self._reset()
        elif kind == "applied_timeout":
            fault.wait()
            self._reset()
        elif kind == "truncated":
            self._send(reply, upto=len(reply.body) // 2)
            self.close_connection = True
        elif kind == "slow":
            self._drip(reply, fault)
        else:
            if kind == "hold_after":
                fault.wait()
            self._send(reply)

    def _head(self, reply):
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        if not self.server.standin.keep_alive:
            self.send_header("Connection", "close")
        self.send_header("Content-Length", str(len(reply.body)))

    def _send(self, reply, upto=None):
        self._head(reply)
        self._headers_buffer.append(b"\r\n")
        head, self._headers_buffer = b"".join(self._headers_buffer), []
        try:
            self.wfile.write(head + reply.body[:upto])
        except OSError:  # who asked has gone away
            self.close_connection = True

    def _drip(self, reply, fault):
        chunk, delay = fault.options.get("chunk", 1), fault.options.get("delay", 0.2)
        self._send(reply, upto=0)
        try:
            for at in range(0, len(reply.body), chunk):
                if fault._released.wait(delay):
                    chunk = len(reply.body)
                self.wfile.write(reply.body[at:at + chunk])
                if chunk == len(reply.body):
                    break
        except OSError:
            self.close_connection = True

    def _reset(self):
        """A reset rather than an end of the stream."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    allow_reuse_address = True

    def __init__(self, port, standin):
        self.standin, self.connections = standin, set()
        super().__init__(("127.0.0.1", port), Handler)

    def cut(self):
        """Ends what is still connected."""
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # it has gone by itself
                pass

    def handle_error(self, request, client_address):
        """What went wrong is on the list of violations; a client that went away is no error."""

    def shutdown_request(self, request):
        """No half-close first: it would turn a reset into an end of the stream."""
        self.close_request(request)


def serve(standin, port):
    """A server that runs, and its thread."""
    deadline = time.monotonic() + 10
    while True:
        try:
            server = Server(port, standin)
            break
        except OSError:  # the port of before is still being left
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    return server, thread
