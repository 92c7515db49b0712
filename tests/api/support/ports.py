"""Ports that stay ours between the moment in which they are chosen and the one in which a server listens."""
import socket


class Port:
    """One of loopback. It is bound and never listens: the kernel gives it to nobody who asks for any port, and a server
    that shares addresses (SO_REUSEADDR) may listen on it as often as it likes."""

    def __init__(self):
        self._held = socket.socket()
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            self._held.setsockopt(socket.SOL_SOCKET, option, 1)
        self._held.bind(("127.0.0.1", 0))
        self.number = self._held.getsockname()[1]

    def __str__(self):
        return str(self.number)

    def release(self):
        self._held.close()
