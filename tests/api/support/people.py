"""Tenants and people, made with the command line as an operator makes them."""
import itertools
import secrets

_numbers = itertools.count(1)
_run = secrets.token_hex(3)  # so that two runs on one database do not meet


class Person:
    def __init__(self, tenant, roles, name=None, email=None, password=None):
        number = next(_numbers)
        self.tenant = tenant
        self.roles = roles
        self.name = name or f"{roles.split(',')[0].capitalize()} {number}"
        self.email = email or f"person-{number}-{_run}@example.org"
        self.password = password or f"correct horse {secrets.token_hex(6)}"
        self.id = tenant.server.cli_json(
            "person", "add", "--tenant", tenant.slug, "--email", self.email, "--name", self.name, "--role", roles,
            "--password-stdin", stdin=self.password + "\n")["person"]
        self._token = None

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
        """Signs in at its first use."""
        if self._token is None:
            self.login()
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
        self.id = server.cli_json("tenant", "create", "--kind", kind, "--name", self.name, "--slug", self.slug,
                                  *options)["tenant"]

    def add(self, roles="trainee", **person):
        self.people.append(Person(self, roles, **person))
        return self.people[-1]

    def __getitem__(self, role):
        for person in self.people:
            if role in person.roles.split(","):
                return person
        raise KeyError(f"tenant {self.slug} has no {role}")
