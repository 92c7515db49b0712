"""Invitations: made, and accepted by who reads the mail."""
import itertools
import secrets

from support.accounts import somewhere

_numbers = itertools.count(1)
PASSWORD = "seven brown cellos in a lift"


def address(domain="example.org"):
    return f"invited-{next(_numbers)}-{secrets.token_hex(4)}@{domain}"


def invite(client, email, roles=("trainee",), **more):
    return client.post("/v1/tenant/invitations", json={"email": email, "roles": list(roles), **more})


def accept(client, token, **more):
    return client.post("/v1/invitations/acceptance", json={"token": token, **more}, headers=somewhere())


def accept_new(client, token, name="Nora New"):
    return accept(client, token, name=name, password=PASSWORD)


def sign_in(client, email, slug, password=PASSWORD):
    return client.post("/v1/sessions", json={"email": email, "password": password, "tenant": slug})


def send_list(client, text):
    return client.post("/v1/tenant/invitations/batch", content=text, headers={"content-type": "text/csv"})
