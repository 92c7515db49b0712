"""Accounts that people make themselves, and the links that are mailed to them."""
import hashlib
import itertools
import secrets
import time

import pytest

_numbers = itertools.count(1)


def address(name="anna"):
    return f"{name}-{next(_numbers)}-{secrets.token_hex(4)}@example.org"


def password():
    return f"violet kettle {secrets.token_hex(6)}"


def somewhere():
    """Headers of a client that nobody has met before: the server believes a front on loopback."""
    bits = secrets.token_bytes(6).hex(":", 2)
    return {"X-Forwarded-For": f"2001:db8:{bits}::1"}


def token_of(pg, email, kind):
    """The token of the open ticket that was mailed to the address last; None when there is none. What the mail job
    does when it sends: a token is made then, and only its hash is kept."""
    rows = pg.query("SELECT ticket_id FROM tickets WHERE lower(email) = lower(%s) AND kind = %s AND used_at IS NULL", (email, kind))
    assert len(rows) <= 1, rows
    if not rows:
        return None
    token = secrets.token_urlsafe(32)
    deadline = time.monotonic() + 60
    while pg.query("SELECT id FROM jobs WHERE payload->>'ticket' = %s", (rows[0][0],)):
        assert time.monotonic() < deadline, "its mail is being sent for ever"
        # Not from under who sends it just now: that one's token would come after ours.
        pg.query("DELETE FROM jobs WHERE payload->>'ticket' = %s AND lease IS NULL", (rows[0][0],))
        time.sleep(0.01)
    pg.query("SELECT ticket_issue(%s, %s)", (rows[0][0], hashlib.sha256(token.encode()).hexdigest()))
    return token


@pytest.fixture(scope="module")
def held_mail(_server, pg):
    """Mails stay in the outbox, for tests that look at them there."""
    pg.query("""CREATE FUNCTION test_hold_mail() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN NEW.run_after := now() + interval '1 day'; RETURN NEW; END $$;
                CREATE TRIGGER test_hold_mail BEFORE INSERT ON jobs FOR EACH ROW WHEN (NEW.kind = 'mail')
                EXECUTE FUNCTION test_hold_mail()""")
    yield
    pg.ensure_running()
    pg.query("DROP FUNCTION test_hold_mail CASCADE; DELETE FROM jobs WHERE kind = 'mail'")


def mails_to(pg, email):
    """Templates of the mails in the outbox that would be sent: those without a ticket, or with an open one."""
    return [row[0] for row in pg.query(
        """SELECT j.payload->>'template' FROM jobs j WHERE j.kind = 'mail' AND lower(j.payload->>'to') = lower(%s)
           AND (j.payload->>'ticket' IS NULL OR EXISTS (SELECT FROM tickets t
                WHERE t.ticket_id::text = j.payload->>'ticket' AND t.used_at IS NULL)) ORDER BY j.created_at""", (email,))]


def stretch(pg):
    """The delays that run make a minute more: a slow machine must not let them pass by itself."""
    pg.query("UPDATE throttle_buckets SET free_at = free_at + interval '1 minute' WHERE free_at > at + interval '0.5 second'")


def sign_up(http, email=None, word=None, name="Anna Berg"):
    return http.post("/v1/accounts", json={"email": email or address(), "name": name, "password": word or password()},
                     headers=somewhere())


def sign_in(http, email, word, **more):
    headers = more.pop("headers", None) or somewhere()
    return http.post("/v1/sessions", json={"email": email, "password": word, **more}, headers=headers)


def account(http, pg, email=None, word=None, name="Anna Berg"):
    """Signs up and follows the link: (email, password, what the link gave)."""
    email, word = email or address(), word or password()
    assert sign_up(http, email, word, name).status_code == 202
    reply = http.post("/v1/accounts/verification", json={"token": token_of(pg, email, "account"), "password": word},
                      headers=somewhere())
    assert reply.status_code == 201, reply.text
    return email, word, reply.json()
