"""The README's section on subscriptions as it stands there: its commands, in their order, by the shell, curl and jq. The pages of
Stripe are those of the stand-in, which runs as the README says."""
import itertools
import json
import re
import shlex
import socket
import subprocess
import sys

import httpx
import pytest

from support import cases as case_folders
from support.accounts import address
from support.readme import Shell, commands
from support.server import ROOT, Server

_numbers = itertools.count(1)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class StandIn:
    """Stripe's, as a process of its own, started with the README's line."""

    def __init__(self, line, url):
        words = shlex.split(line.replace("$U", url), comments=True)
        assert words[:2] == ["python3", "tests/stripe_standin"] and "8090" in words
        words = [sys.executable, *words[1:]]
        words[words.index("8090")] = "0"
        self.process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        said = json.loads(self.process.stdout.readline())
        self.url = said["url"]
        self.config = {"stripe_url": said["url"], "stripe_key": said["key"], "stripe_webhook_secret": said["secrets"][0]}

    def control(self, path, **form):
        reply = httpx.post(f"{self.url}/_control/{path}", data=form, trust_env=False)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def violations(self):
        return httpx.get(f"{self.url}/_control/state", trust_env=False).json()["violations"]

    def close(self):
        self.process.terminate()
        self.process.wait(30)
        self.process.stdout.close()


@pytest.fixture
def shop(pg, mailbox, tmp_path):
    """A server with a database of its own, because the README's slugs and plans are nobody else's; and the stand-in, whose clock a
    test may move."""
    database, port = f"readme_{next(_numbers)}", free_port()
    pg.ensure_running()
    pg.create_database(database)
    standin = StandIn(commands("Subscriptions")[-1].splitlines()[0], f"http://127.0.0.1:{port}")
    server = Server(pg, database, listen=f"127.0.0.1:{port}", **mailbox.config, **standin.config)
    try:
        server.cli("migrate")
        slug, name = re.search(r"^TENANT=(\S+) TENANT_NAME='(.*)'$", (ROOT / "ops/up").read_text(), re.M).groups()
        server.cli("tenant", "create", "--kind", "organisation", "--slug", slug, "--name", name)  # which ops/up has made by then
        case_folders.take_in(server, case_folders.generate(server, tmp_path / "cases", 3, 2))
        yield server.start(), standin
    finally:
        server.destroy()
        standin.close()


@pytest.fixture
def walk(shop, mailbox, tmp_path):
    """A shell in which the plans are on sale, and of somebody who has signed up: $A is the session, $CASE a case. And the stand-in."""
    server, standin = shop
    shell = Shell(tmp_path, U=server.url)
    shell.overread(server.config_file)
    shell.run(commands("Subscriptions")[0])
    up, verify, sign_in = commands("Signing up")[0].splitlines()
    email = address("reader")
    shell.run(up.replace("you@example.org", email))
    shell.run(verify.replace("what stands behind the # of the link", mailbox.wait(email).token))
    shell.run(sign_in.replace("you@example.org", email))
    shell.run("CASE=$(curl -s \"$U/v1/cases?unread=true&limit=1\" -H \"$A\" | jq -r '.items[0].id')")
    yield shell, standin
    shell.close()
    assert standin.violations() == []


def test_a_trainee_gets_from_signing_up_to_a_first_paid_read(walk):
    shell, standin = walk
    _, trainee, _, _, trying = commands("Subscriptions")
    checkout, show, back, read = trainee.splitlines()
    assert shell.run("curl -s $U/v1/reads -H \"$A\" --json '{\"case\":\"'$CASE'\"}' | jq -r .code") == ["subscription_expired"]
    shell.run(checkout)
    assert shell.run(show)[0].startswith("https://checkout.stripe.com/")
    assert shell.run(back) == ["open"]
    assert shell.run(trying.splitlines()[1].replace("127.0.0.1:8090", standin.url)) == ["complete"]
    assert shell.run(back) == ["complete"]
    shell.run(read)
    graded = shell.run("curl -s $U/v1/reads/$READ/submission -H \"$A\" --json '{\"answer\":{\"lesions\":[],\"cspca\":false}}' | jq '.correct != null'")
    assert graded == ["true"]
    assert shell.run("curl -s $U/v1/billing -H \"$A\" | jq -c '.subscriptions[] | [.plan, .status, .seats]'") == ['["prostate","active",1]']
    assert shell.run("curl -s $U/v1/billing/invoices -H \"$A\" | jq -c '.items[] | [.status, .amount_paid >= 1900]'") == ['["paid",true]']
    assert shell.run("curl -s $U/v1/tenant -H \"$A\" | jq .access") == ["true"]


def test_a_trust_gets_from_signing_up_to_fifty_paid_seats_changes_them_and_cancels(walk):
    shell, standin = walk
    _, _, trust, grant, _ = commands("Subscriptions")
    made, switched, *order, invoices, when, more, cancel = trust.splitlines()
    assert shell.run(made) == ['["administrator"]']
    shell.run(switched)
    seats = "curl -s $U/v1/tenant -H \"$B\" | jq .seats.bought"
    assert shell.run(seats) == ["0"]
    shell.run("\n".join(order))
    assert shell.run(seats) == ["50"]
    standin.control("advance", seconds=7200)  # an invoice is a draft for an hour
    said, = map(json.loads, shell.run(invoices))
    assert said["status"] == "open" and said["total"] >= 50 * 12000, said
    standin.control(f"invoices/{said['hosted_invoice_url'].rsplit('/', 1)[1]}/pay", card="ok")
    assert json.loads(shell.run(invoices)[0])["status"] == "paid"
    assert shell.run("curl -s $S -H \"$B\" | jq -r '.status, .purchase_order, .collection'") == ["active", "PO-4711", "invoice"]

    preview = json.loads("".join(shell.run(when)))
    assert preview["currency"] == "gbp" and preview["amount_due"] > 0, preview
    assert json.loads(shell.run(more)[0]) == {"seats": 60, "awaiting_payment": False}
    assert shell.run(seats) == ["60"]
    assert re.match(r"\d{4}-\d\d-\d\dT", shell.run(cancel)[0])
    assert shell.run(cancel.replace("true", "false")) == ["null"]
    shell.run(grant)
    assert shell.run(seats) == ["80"]
