"""A mail server on loopback that keeps what it is sent, and does what a test tells it to."""
import asyncio
import email
import email.policy
import re
import threading
import time

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

from support.ports import Port

WAIT_SECONDS = 60
LINK = re.compile(r"https?://[^\s#]+#[A-Za-z0-9_-]{20,}")


class Message:
    """.subject, .text, .html, .to; of one with a link also .link, .page ("verify") and .token; .mail is all of it."""

    def __init__(self, to, sender, content):
        self.to, self.sender, self.content = to, sender, content
        self.mail = email.message_from_bytes(content, policy=email.policy.default)
        self.subject = self.mail["Subject"]
        self.text = self.mail.get_body(("plain",)).get_content().replace("\r\n", "\n")
        self.html = self.mail.get_body(("html",)).get_content().replace("\r\n", "\n")
        found = LINK.search(self.text)
        self.link = found and found.group()
        self.page, self.token = self.link.rsplit("/", 1)[1].split("#") if found else (None, None)

    def __repr__(self):
        return f"Message({self.subject!r} to {self.to})"


class _Handler:
    def __init__(self, mailbox):
        self.mailbox = mailbox

    async def handle_RCPT(self, _server, _session, envelope, address, _options):
        answer = self.mailbox.answer("RCPT")
        if answer:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, _session, envelope):
        self.mailbox.keep([Message(to, envelope.mail_from, envelope.content) for to in envelope.rcpt_tos])
        answer = self.mailbox.answer("DATA") or "250 OK"
        if answer == "hang":
            await asyncio.sleep(3600)
        if answer == "die":
            server.transport.abort()
        return answer


class _Server(Controller):
    def factory(self):
        return SMTP(self.handler, **self.SMTP_kwargs)


class Mailbox:
    """answers: what to say next, instead of 250, in that order: ("RCPT" or "DATA", "451 later"); DATA also "hang", "die"."""

    def __init__(self, tls=None, implicit_tls=None, login=None):
        self.answers, self.logins = [], []
        self._kept, self._given = [], set()
        self._changed = threading.Condition()
        options = {"tls_context": tls, "require_starttls": tls is not None}
        if login:
            options |= {"authenticator": lambda *call: self._authenticate(login, call[-1]), "auth_required": True,
                        "auth_require_tls": False}
        self.port = Port()  # held for as long as there is a mailbox
        self._options = {"hostname": "127.0.0.1", "port": self.port.number, "ssl_context": implicit_tls, "ready_timeout": 30, **options}
        self._server = None
        self.url = f"{'smtps' if implicit_tls else 'smtp'}://127.0.0.1:{self.port}"
        self.config = {"smtp_url": self.url, "mail_from": "Overread <no-reply@example.org>"}

    def start(self):
        self._server = _Server(_Handler(self), **self._options)
        self._server.start()
        return self

    def stop(self):
        if self._server:
            self._server.stop()
        self._server = None

    def _authenticate(self, login, data):
        said = (data.login.decode(), data.password.decode())
        self.logins.append(said)
        return AuthResult(success=said == login)

    def answer(self, command):
        with self._changed:
            if self.answers and self.answers[0][0] == command:
                return self.answers.pop(0)[1]
        return None

    def keep(self, messages):
        with self._changed:
            self._kept += messages
            self._changed.notify_all()

    def all(self, address):
        """Every message to it so far, given already or not."""
        with self._changed:
            return [message for message in self._kept if message.to.lower() == address.lower()]

    def wait(self, address, seconds=WAIT_SECONDS):
        """The next message to this address that was not given yet."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                for message in self._kept:
                    if message.to.lower() == address.lower() and id(message) not in self._given:
                        self._given.add(id(message))
                        return message
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"no mail for {address} within {seconds} seconds; there is: {self._kept[-10:]}")
                self._changed.wait(left)
