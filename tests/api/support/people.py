"""Tenants and people, as an operator's commands make them: with the statements of these commands, since a process and an
Argon2 hash for each would be most of the work of the tests. What the commands do besides, tests of theirs say."""
import contextlib
import hashlib
import itertools
import secrets
import time
import uuid

import psycopg2

from support import statements

_numbers = itertools.count(1)
_run = secrets.token_hex(3)  # so that two runs on one database do not meet
_word = f"correct horse {secrets.token_hex(6)}"  # the password of whom it does not matter
_hash = None  # its hash, by the first of them


def new_id():
    """A UUID of version 7, as the server makes them."""
    bits = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    return str(uuid.UUID(int=bits & ~(0xf << 76 | 3 << 62) | 7 << 76 | 2 << 62))


@contextlib.contextmanager
def admin(server):
    """A cursor on the server's own database, and a transaction."""
    connection = psycopg2.connect(server.config["database_admin"])
    try:
        with connection, connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def as_operator(server, *calls):
    """Runs statements, (name, parameter...), in one transaction; their first rows."""
    with admin(server) as cursor:
        return [statements.run(cursor, *call) for call in calls]


class Person:
    def __init__(self, tenant, roles, name=None, email=None, password=None):
        number = next(_numbers)
        self.tenant = tenant
        self.roles = roles
        self.name = name or f"{roles.split(',')[0].capitalize()} {number}"
        self.email = email or f"person-{number}-{_run}@example.org"
        self.password = password or _word
        self.id = self._add() if _hash is None or email or password else self._put()
        self._token = None

    def _add(self):
        """With the command."""
        global _hash  # pylint: disable=global-statement
        server = self.tenant.server
        made = server.cli_json("person", "add", "--tenant", self.tenant.slug, "--email", self.email, "--name", self.name,
                               "--role", self.roles, "--password-stdin", stdin=self.password + "\n")["person"]
        if self.password == _word:
            with admin(server) as cursor:
                cursor.execute("SELECT phc FROM passwords WHERE person_id = %s", (made,))
                _hash, = cursor.fetchone()
        return made

    def _put(self):
        made = new_id()
        as_operator(self.tenant.server, ("person_upsert", made, self.email, self.name), ("password_put", made, _hash),
                    ("member_put", self.tenant.slug, made, self.roles))
        return made

    def login(self):
        """A new session: the whole reply of POST /v1/sessions. Its token becomes the person's."""
        with self.tenant.server.client() as client:
            reply = client.post("/v1/sessions", json={"email": self.email, "password": self.password,
                                                      "tenant": self.tenant.slug})
        assert reply.status_code == 201, f"{self.email} cannot sign in: {reply.status_code} {reply.text}"
        session = reply.json()
        self._token = session["token"]
        return session

    @property
    def token(self):
        """Of a session that a password has opened, at its first use."""
        if self._token is None:
            token = secrets.token_urlsafe(32)
            as_operator(self.tenant.server, ("session_open", self.id, self.tenant.slug, new_id(),
                                             hashlib.sha256(token.encode()).hexdigest(), "", "password"))
            self._token = token
        return self._token


class Tenant:
    """tenant["trainee"] is the first person who has that role."""

    def __init__(self, server, kind="organisation", name=None, slug=None, options=()):
        number = next(_numbers)
        self.server = server
        self.kind = kind
        self.slug = slug or f"t{number}-{_run}"
        self.name = name or f"Trust {number}"
        self.people = []
        self.id = self._create(options) if options else self._put()

    def _create(self, options):
        """With the command."""
        return self.server.cli_json("tenant", "create", "--kind", self.kind, "--name", self.name, "--slug", self.slug,
                                    *options)["tenant"]

    def _put(self):
        made = new_id()
        as_operator(self.server, ("tenant_upsert", made, self.kind, self.slug, self.name, None, None, None),
                    ("tenant_audit", made, "tenant.saved", made))
        return made

    def add(self, roles="trainee", **person):
        self.people.append(Person(self, roles, **person))
        return self.people[-1]

    def __getitem__(self, role):
        for person in self.people:
            if role in person.roles.split(","):
                return person
        raise KeyError(f"tenant {self.slug} has no {role}")
