"""Mail: from a row in the outbox to a message in somebody's mailbox, and what happens when the mail server does not help."""
import email.utils
import json
import re
import secrets
import ssl
import subprocess
import time
import uuid

import pytest

from support.mail import WAIT_SECONDS, Mailbox
from support.server import Server

NAME = "Zoë O'Brien & <Söhne>"


def somebody():
    return f"somebody-{secrets.token_hex(6)}@example.org"


def queue(pg, address, template="password_changed", values=None):
    """A mail without a link, as the functions of the migrations queue it."""
    pg.query("SELECT mail_queue(%s, %s, NULL, NULL, %s)", (template, address, json.dumps(values or {"name": NAME})))
    return address


def open_ticket(pg, address, kind="password_reset", template="password_reset", life="10 minutes", values=None):
    return pg.query("SELECT ticket_open(%s, %s, NULL, NULL, %s, %s::interval, %s)",
                    (kind, template, address, life, json.dumps(values or {"name": NAME})))[0][0]


def row(pg, address):
    """(attempts, dead, last error) of the mail to this address, None when it is gone."""
    rows = pg.query("SELECT attempts, dead_at IS NOT NULL, last_error FROM jobs WHERE kind = 'mail' AND payload->>'to' = %s",
                    (address,))
    return rows[0] if rows else None


def until(holds, seconds=WAIT_SECONDS):
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "it does not come to pass"
        time.sleep(0.05)
    return found


def hurry(pg, address):
    pg.query("UPDATE jobs SET run_after = now() WHERE kind = 'mail' AND payload->>'to' = %s AND lease IS NULL", (address,))


@pytest.fixture
def own(server, server_with):
    """own(config): the only server that runs, with this mail configuration."""
    def start(**config):
        server.stop()
        return server_with(**config)

    return start


@pytest.fixture
def box():
    """box(...): a mail server of the test's own."""
    opened = []

    def start(**options):
        opened.append(Mailbox(**options).start())
        return opened[-1]

    yield start
    for one in opened:
        one.stop()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A CA of our own, and what it signed for localhost: (CA file, context of a server)."""
    folder = tmp_path_factory.mktemp("ca")

    def openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, cwd=folder)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", 2,
            "-subj", "/CN=Test CA", "-addext", "basicConstraints=critical,CA:TRUE")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", 2,
            "-out", "server.pem", "-extfile", "names")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return folder / "ca.pem", context


# --- What arrives -----------------------------------------------------------------------------------------------------

def test_a_queued_mail_arrives_as_text_and_as_html_and_leaves_the_outbox(server, pg, mailbox):
    message = mailbox.wait(queue(pg, somebody()))
    assert message.mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.mail.iter_parts()] == ["text/plain", "text/html"]
    assert message.subject == "Your Overread password was changed"
    assert f"Hello {NAME}," in message.text
    assert "Hello Zoë O&#39;Brien &amp; &lt;Söhne&gt;," in message.html and NAME not in message.html
    until(lambda: row(pg, message.to) is None)


def test_the_head_of_a_mail_is_what_mail_programs_expect(server, pg, mailbox):
    message = mailbox.wait(queue(pg, somebody()))
    head = message.mail
    assert head["From"] == '"Overread" <no-reply@example.org>' or str(head["From"]) == "Overread <no-reply@example.org>"
    assert message.sender == "no-reply@example.org" and str(head["To"]) in (message.to, f"<{message.to}>")
    assert head["Auto-Submitted"] == "auto-generated" and head["MIME-Version"] == "1.0"
    assert abs(email.utils.parsedate_to_datetime(head["Date"]).timestamp() - time.time()) < 600
    assert re.fullmatch(r"<[0-9a-f-]{36}@example\.org>", head["Message-ID"])
    assert not head.defects and all(len(line) <= 998 for line in message.content.splitlines())
    assert {name.lower() for name in head.keys()} == {"date", "from", "to", "subject", "message-id", "auto-submitted",
                                                      "mime-version", "content-type"} | ({"x-peer", "x-mailfrom", "x-rcptto"}
                                                                                         & {n.lower() for n in head.keys()})


def test_a_subject_that_is_not_ascii_arrives_whole(server, pg, mailbox):
    values = {"name": "N", "tenant": "Städtisches Klinikum für Früherkennung und Röntgendiagnostik, Zürich-Örlikon – Süd"}
    message = mailbox.wait(queue(pg, somebody(), "member_removed", values))
    assert message.subject == f"You are no longer a member of {values['tenant']} on Overread"
    assert b"\n." not in message.content.split(b"\r\n\r\n", 1)[0]


def test_a_line_that_begins_with_a_dot_arrives_as_it_is(server, pg, mailbox):
    message = mailbox.wait(queue(pg, somebody(), "second_factor_changed", {"name": "N", "change": ".\u200b. " + ". " * 300}))
    assert "on your Overread account .\u200b. . ." in message.text


@pytest.mark.parametrize("life,words", [("10 minutes", "10 minutes"), ("1 hour", "1 hour"), ("7 days", "7 days"),
                                        ("90 minutes", "90 minutes"), ("1 day", "1 day")])
def test_a_link_says_how_long_it_lives(server, pg, mailbox, life, words):
    address = somebody()
    open_ticket(pg, address, life=life)
    assert f"within {words}." in mailbox.wait(address).text


@pytest.mark.parametrize("kind,template,page", [("account", "account", "verify"), ("email", "email_change", "verify"),
                                                ("password_reset", "password_reset", "reset"), ("join", "join", "join"),
                                                ("invitation", "invitation", "invitation"),
                                                ("invitation", "invitation_existing", "invitation")])
def test_the_link_of_each_mail_leads_to_its_page_and_its_token_stands_for_the_ticket(server, pg, mailbox, kind, template, page):
    address = somebody()
    values = {"name": NAME, "tenant": "St Elsewhere", "inviter": "Dr Ada", "roles": "trainee"}
    ticket = open_ticket(pg, address, kind, template, values=values)
    message = mailbox.wait(address)
    assert message.page == page and f'href="{message.link}"' in message.html
    assert len(message.token) == 43
    found = pg.query("SELECT ticket_id, expires_at - now() BETWEEN '9 minutes' AND '10 minutes' "
                     "FROM ticket_of(%s, encode(sha256(%s), 'hex'))", (kind, message.token.encode()))
    assert found == [(ticket, True)]


def test_neither_outbox_nor_log_holds_a_token_and_the_log_no_address(server, pg, mailbox, client):
    address = somebody()
    ticket = open_ticket(pg, address)
    queued = pg.query("SELECT payload::text FROM jobs WHERE payload->>'ticket' = %s", (str(ticket),))
    message = mailbox.wait(address)
    mailbox.answers.append(("RCPT", f"550 no such user {address}"))
    refused = queue(pg, somebody())
    until(lambda: row(pg, refused) and row(pg, refused)[1])
    stored = pg.query("SELECT t::text FROM tickets t WHERE ticket_id = %s", (ticket,))
    log = "\n".join(server.lines)
    for secret in (message.token, message.link):
        assert secret not in str(queued) and secret not in str(stored) and secret not in log
    for person in (address, refused):
        assert person not in log and person not in row(pg, refused)[2]


def test_a_ticket_that_is_void_by_then_sends_nothing(server, pg, mailbox):
    address = somebody()
    opened = "ticket_open('password_reset', 'password_reset', NULL, NULL, %s, '10 minutes', '{\"name\": \"N\"}')"
    pg.query(f"SELECT {opened}, {opened}", (address, address))
    mailbox.wait(address)
    until(lambda: row(pg, address) is None)
    assert len(mailbox.all(address)) == 1


# --- What cannot be sent ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["a\r\nBcc: victim@example.org", "a\nb", "a\rb", "a\u0007b", "x" * 3000])
def test_a_value_that_could_begin_a_header_is_refused_for_good(server, pg, mailbox, name):
    address = somebody()
    # mail_queue() takes control characters out: this is what stands behind it.
    pg.query("INSERT INTO jobs (id, kind, key, payload) VALUES (gen_random_uuid(), 'mail', %s, %s::jsonb)",
             (address, json.dumps({"template": "member_removed", "to": address, "ticket": None,
                                   "values": {"name": "N", "tenant": name}})))
    until(lambda: row(pg, address) and row(pg, address)[1])
    assert row(pg, address)[2].startswith("template_value_refused") and not mailbox.all(address)


@pytest.mark.parametrize("name", ["a\r\nBcc: victim@example.org", "a\nb", "a\u0007b"])
def test_a_name_with_control_characters_stops_no_mail(pg, mailbox, server, name):
    address = queue(pg, somebody(), "member_removed", {"name": "N", "tenant": name})
    assert re.sub(r"[\x00-\x1f]+", " ", name) in mailbox.wait(address).text


@pytest.mark.parametrize("address", ["a@example.org>\r\nRCPT TO:<b@example.org", "a@b@example.org", "nobody", "ü@example.org",
                                     "a b@example.org", ""])
def test_an_address_that_is_none_is_refused_for_good(server, pg, mailbox, address):
    first = len(server.lines)
    job = queue(pg, address)
    until(lambda: row(pg, job) and row(pg, job)[1])
    assert row(pg, job)[2].startswith("mail_broken")
    assert not address or address not in "\n".join(server.lines[first:])
    pg.query("DELETE FROM jobs WHERE payload->>'to' = %s", (address,))


@pytest.mark.parametrize("template,values,code", [
    ("no_such_template", {"name": "N"}, "mail_broken"), ("password_changed", {"nome": "N"}, "template_value_missing"),
    ("password_reset", {"name": "N"}, "mail_broken"), ("../password_changed", {"name": "N"}, "mail_broken")])
def test_what_is_queued_wrongly_is_kept_for_the_operator_and_not_tried_again(server, pg, template, values, code):
    address = queue(pg, somebody(), template, values)
    until(lambda: row(pg, address) and row(pg, address)[1])
    attempts, _, error = row(pg, address)
    assert attempts == 1 and error.startswith(code)


# --- A mail server that does not help ---------------------------------------------------------------------------------

@pytest.mark.parametrize("command", ["RCPT", "DATA"])
def test_a_server_that_says_later_is_asked_later(server, pg, mailbox, command):
    mailbox.answers.append((command, "451 4.7.1 greylisted"))
    address = queue(pg, somebody())
    until(lambda: row(pg, address) is None)
    assert len(mailbox.all(address)) == (2 if command == "DATA" else 1)
    assert [event["code"] for event in server.events("job_failed", server.mark)] == ["mail_not_taken"]


@pytest.mark.parametrize("command", ["RCPT", "DATA"])
def test_a_server_that_says_never_is_believed(server, pg, mailbox, command):
    mailbox.answers.append((command, "550 5.1.1 no such user"))
    address = queue(pg, somebody())
    until(lambda: row(pg, address) and row(pg, address)[1])
    attempts, _, error = row(pg, address)
    assert attempts == 1 and error.startswith("mail_refused: The mail server answered 550")


def test_a_server_that_dies_after_the_message_gets_it_again_under_the_same_message_id(server, pg, mailbox):
    mailbox.answers.append(("DATA", "die"))
    address = queue(pg, somebody())
    until(lambda: row(pg, address) is None)
    first, second = mailbox.all(address)
    assert first.mail["Message-ID"] == second.mail["Message-ID"]


def test_a_link_that_is_sent_again_is_a_new_one_under_another_message_id_and_only_it_works(server, pg, mailbox):
    """A reader that drops the second as a duplicate would keep the link that no longer works."""
    address = somebody()
    mailbox.answers.append(("DATA", "die"))
    open_ticket(pg, address)
    until(lambda: row(pg, address) is None)
    first, second = mailbox.all(address)
    assert first.mail["Message-ID"] != second.mail["Message-ID"]
    works = [pg.query("SELECT count(*) FROM ticket_of('password_reset', encode(sha256(%s), 'hex'))",
                      (message.token.encode(),))[0][0] for message in (first, second)]
    assert works == [0, 1]


def test_a_server_that_hangs_keeps_neither_other_work_nor_the_stop_waiting(own, box, pg):
    hanging = box()
    hanging.answers += [("DATA", "hang")] * 4
    server = own(threads=1, **hanging.config)
    addresses = [queue(pg, somebody()) for _ in range(2)]  # as many as a loop sends at once
    until(lambda: sum(len(hanging.all(address)) for address in addresses) == 2)
    key = str(uuid.uuid4())
    pg.query("INSERT INTO jobs (id, kind, key, payload) VALUES (gen_random_uuid(), 'grade', %s, '{\"read\": null}')", (key,))
    until(lambda: pg.query("SELECT attempts FROM jobs WHERE key = %s", (key,)) in ([], [(1,)]))
    pg.query("DELETE FROM jobs WHERE key = %s", (key,))
    started = time.monotonic()
    server.stop()
    assert time.monotonic() - started < 40, "the transfers would have gone on for 60 seconds"
    for address in addresses:
        assert row(pg, address) is not None, "what was broken off is sent again"
        pg.query("DELETE FROM jobs WHERE payload->>'to' = %s", (address,))


def test_a_server_that_is_away_leaves_the_mail_in_the_outbox_until_it_is_there(own, box, pg):
    late = box()
    late.stop()
    own(**late.config)
    address = queue(pg, somebody())
    until(lambda: row(pg, address)[2])
    assert row(pg, address)[2].startswith("mail_server_away")
    late.start()
    hurry(pg, address)
    late.wait(address)


def test_without_a_mail_server_mails_wait_and_doctor_says_so(own, server_with, pg, box):
    server = own(smtp_url="", mail_from="")
    address = queue(pg, somebody())
    until(lambda: row(pg, address)[2])
    attempts, dead, error = row(pg, address)
    assert error.startswith("mail_not_configured") and not dead and attempts >= 1
    assert "mail: no smtp_url: mails wait in the outbox" in server.cli("doctor").stdout
    server.stop()
    later = box()
    hurry(pg, address)
    server_with(**later.config)
    later.wait(address)


@pytest.mark.parametrize("config,key", [({"smtp_url": "mail.example.org"}, "smtp_url"), ({"mail_from": "Overread"}, "mail_from"),
                                        ({"smtp_url": "smtp://u:p@mail.example.org"}, "smtp_url")])
def test_a_bad_mail_configuration_is_refused_at_the_start(pg, mailbox, config, key):
    refused = Server(pg, **{**mailbox.config, **config})
    try:
        doctor = refused.cli("doctor", check=False)
        assert doctor.returncode == 1 and f"mail: {key} must be" in doctor.stdout
        serve = refused.cli("serve", check=False)
        assert serve.returncode == 1 and f"{key} must be" in serve.stderr
    finally:
        refused.destroy()


# --- Who may read it on the way ---------------------------------------------------------------------------------------

def test_a_password_is_given_over_starttls_and_is_masked_in_doctor(own, box, pg, authority):
    ca, context = authority
    guarded = box(tls=context, login=("overread", "s3cret word"))
    server = own(smtp_ca=ca, smtp_user="overread", smtp_password="s3cret word", **guarded.config)
    guarded.wait(queue(pg, somebody()))
    assert guarded.logins == [("overread", "s3cret word")]
    shown = server.cli("doctor").stdout
    assert "smtp_password = ***" in shown and "s3cret" not in shown and "s3cret" not in "\n".join(server.lines)


def test_a_wrong_password_is_tried_again_later_for_it_may_be_mended(own, box, pg):
    guarded = box(login=("overread", "right"))
    own(smtp_user="overread", smtp_password="wrong", **guarded.config)
    address = queue(pg, somebody())
    until(lambda: row(pg, address)[2])
    assert row(pg, address)[1] is False and not guarded.all(address)
    pg.query("DELETE FROM jobs WHERE payload->>'to' = %s", (address,))


def test_mail_goes_over_tls_from_the_first_byte_when_the_url_says_so(own, box, pg, authority):
    ca, context = authority
    guarded = box(implicit_tls=context)
    own(smtp_ca=ca, **guarded.config)
    guarded.wait(queue(pg, somebody()))


def test_nothing_is_sent_to_a_server_that_an_unknown_authority_vouches_for(own, box, pg, authority):
    guarded = box(implicit_tls=authority[1])
    own(**guarded.config)
    address = queue(pg, somebody())
    until(lambda: row(pg, address)[2])
    assert row(pg, address)[2].startswith("mail_server_away") and "certificate" in row(pg, address)[2]
    assert not guarded.all(address)
    pg.query("DELETE FROM jobs WHERE payload->>'to' = %s", (address,))


def test_nothing_is_sent_to_a_server_that_drops_starttls_where_it_is_required(own, box, pg, authority):
    plain = box()
    own(smtp_ca=authority[0], **plain.config)
    address = queue(pg, somebody())
    until(lambda: row(pg, address)[2])
    assert not plain.all(address) and row(pg, address)[1] is False
    pg.query("DELETE FROM jobs WHERE payload->>'to' = %s", (address,))
