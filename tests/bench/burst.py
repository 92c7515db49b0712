#!/usr/bin/python3
"""Delivers the requests that lie ready in a file, all of them, as fast as they are taken.

usage: burst.py HOST PORT FILE CONNECTIONS. In the file each request is a line with its length, and its bytes. What is answered
5xx is sent again later, as Stripe does. Prints a line of JSON."""
import collections
import json
import re
import resource
import selectors
import socket
import sys
import time

TRIES, PAUSE = 20, 0.1


def load(path):
    found = []
    with open(path, "rb") as file:
        while line := file.readline():
            found.append(file.read(int(line)))
    return found


class Connection:
    """One request at a time; `which` is the number of the one that is under way."""

    def __init__(self, address):
        self.address, self.socket, self.which, self.begin, self.got = address, None, None, 0, b""

    def open(self, selector):
        self.socket = socket.create_connection(self.address, 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(self.socket, selectors.EVENT_READ, self)

    def close(self, selector):
        selector.unregister(self.socket)
        self.socket.close()
        self.socket = None

    def answer(self):
        """The status, once the answer is whole; None until then."""
        head, end, body = self.got.partition(b"\r\n\r\n")
        if not end or len(body) < int(re.search(rb"(?i)\r\ncontent-length: *(\d+)", head).group(1)):
            return None
        return int(head[9:12])


class Burst:
    def __init__(self, address, requests, connections):
        self.requests, self.tries = requests, [0] * len(requests)
        self.waiting = collections.deque((0, i) for i in range(len(requests)))  # (not before, which)
        self.selector = selectors.DefaultSelector()
        self.connections = [Connection(address) for _ in range(connections)]
        self.times, self.again, self.left = [], 0, len(requests)

    def send(self, connection):
        """The next that may be sent; none: the connection rests."""
        now = time.monotonic()
        connection.which = None
        if not self.waiting or self.waiting[0][0] > now:
            return
        connection.which = self.waiting.popleft()[1]
        if connection.socket is None:
            connection.open(self.selector)
        connection.begin, connection.got = now, b""
        connection.socket.sendall(self.requests[connection.which])

    def take(self, connection):
        chunk = connection.socket.recv(65536)
        connection.got += chunk
        status = connection.answer()
        if status is None and chunk:
            return
        self.times.append(time.monotonic() - connection.begin)
        self.tries[connection.which] += 1
        if status == 200:
            self.left -= 1
        elif status is not None and status < 500 or self.tries[connection.which] == TRIES:
            sys.exit(f"request {connection.which} is answered {status}: {connection.got[-300:]}")
        else:
            self.again += 1
            self.waiting.append((time.monotonic() + PAUSE, connection.which))
        if not chunk or b"connection: close" in connection.got[:400].lower():
            connection.close(self.selector)
        self.send(connection)

    def run(self):
        begin = time.monotonic()
        while self.left:
            for connection in self.connections:
                if connection.which is None:
                    self.send(connection)
            for key, _ in self.selector.select(PAUSE):
                self.take(key.data)
        return time.monotonic() - begin


def main():
    host, port, path, connections = sys.argv[1:]
    requests = load(path)
    burst = Burst((host, int(port)), requests, int(connections))
    before = resource.getrusage(resource.RUSAGE_SELF)
    seconds = burst.run()
    after = resource.getrusage(resource.RUSAGE_SELF)
    times = sorted(burst.times)
    print(json.dumps({"count": len(requests), "seconds": seconds, "again": burst.again, "p50_ms": times[len(times) // 2] * 1e3,
                      "p99_ms": times[len(times) * 99 // 100] * 1e3,
                      "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}))


main()
