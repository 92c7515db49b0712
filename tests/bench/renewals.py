"""Many tenants whose subscriptions are renewed at once: the stand-in for Stripe in a process of its own, the tenants in the
product, and what Stripe tells of the renewals as signed requests that lie ready to be sent."""
import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import httpx

import load

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from stripe_standin.client import Client  # noqa: E402
from stripe_standin.webhooks import encoded, header  # noqa: E402

HERE = Path(__file__).resolve().parent
PATH, PRODUCT, SEATS, DAY = "/v1/stripe/webhook", "overread_bench", 5, 86400
AT_ONCE = 32  # deliveries
PATIENCE = 600  # seconds for all to be worked on
HOLDER = "00000000-0000-0000-0000-000000000001"

# Written as superuser without triggers, but for what follows of a subscription: that is the product's own way in.
TENANTS = f"""
SET session_replication_role = replica;
INSERT INTO plans (plan, title, audience, product) VALUES ('bench', 'A seat', 'organisation', '{PRODUCT}');
CREATE TABLE bench.payers AS SELECT gen_random_uuid() AS tenant_id, value AS customer, ordinality AS i
    FROM jsonb_array_elements_text(%(customers)s::jsonb) WITH ORDINALITY;
INSERT INTO tenants (tenant_id, kind, slug, name, seats_bought)
    SELECT tenant_id, 'organisation', 'payer-' || i, 'Payer ' || i, 0 FROM bench.payers;
INSERT INTO billing_accounts (tenant_id, customer) SELECT tenant_id, customer FROM bench.payers;
SET session_replication_role = origin;
SELECT stripe_lock(o->>'id', '{HOLDER}', NULL), subscription_store(o->>'id', '{HOLDER}', o, 'bench')
    FROM jsonb_array_elements(%(subscriptions)s::jsonb) o;
"""

WAITING = """SELECT EXISTS (SELECT FROM stripe_events WHERE state = 'queued')
                 OR EXISTS (SELECT FROM jobs WHERE kind = 'stripe_event' AND dead_at IS NULL)"""

# Of every subscription: how far it is paid, and until when its seats are there.
KNOWN = """SELECT s.stripe_id, extract(epoch FROM s.period_end)::bigint, e.ends_at >= s.period_end AND e.seats = %s
           FROM subscriptions s JOIN entitlements e ON e.tenant_id = s.tenant_id AND e.source = s.subscription_id"""


class Renewals:
    def __init__(self, world, count):
        self.world, self.count = world, count
        self.secret, self.key = "whsec_bench", "sk_test_bench"
        self.deliveries = world.server.folder / "deliveries"
        self.standin = subprocess.Popen(
            [sys.executable, "-B", ROOT / "tests/stripe_standin", "--no-record", "--secret", self.secret, "--key", self.key,
             "--start", str(int(time.time()) - 27 * DAY)], stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.url = json.loads(self.standin.stdout.readline())["url"]
        self.control = httpx.Client(base_url=f"{self.url}/_control/", timeout=300, trust_env=False)

    def begin(self):
        self._sell()
        self._fill()

    def _sell(self):
        """The server learns of Stripe, which has nothing to tell yet; nor will it ask again by itself."""
        server = self.world.server
        server.stop()
        server.configure(stripe_key=self.key, stripe_url=self.url, stripe_webhook_secret=self.secret)
        server.start()
        listing = "kind IN ('stripe_reconcile', 'stripe_nightly')"
        deadline = time.monotonic() + 60
        while self.world.pg.query(f"SELECT count(*) FROM jobs WHERE {listing} AND run_after > now() + interval '1 minute'") != [(2,)]:
            if time.monotonic() > deadline:
                raise RuntimeError("the server does not list what Stripe has")
            time.sleep(0.1)
        self.world.pg.query(f"UPDATE jobs SET run_after = now() + interval '1 day' WHERE {listing}")

    def _fill(self):
        client = Client(SimpleNamespace(url=self.url, api_key=self.key, schema=SimpleNamespace(version=self._version())))
        client.post("products", id=PRODUCT, name="A seat")
        price = client.post("prices", product=PRODUCT, currency="gbp", unit_amount=1200, recurring={"interval": "month"})["id"]
        customers, subscriptions = [], []
        for i in range(self.count):
            customers.append(client.post("customers", email=f"payer-{i}@bench.example", address={"country": "GB"})["id"])
            self._post(f"customers/{customers[-1]}/card", card="ok")
            subscriptions.append(client.post("subscriptions", customer=customers[-1], items=[{"price": price, "quantity": SEATS}]))
        client.close()
        connection = self.world.pg(autocommit=False)
        try:
            with connection.cursor() as cursor:
                cursor.execute(TENANTS, {"customers": json.dumps(customers), "subscriptions": json.dumps(subscriptions)})
            connection.commit()
        finally:
            connection.close()
        self.ends = {one["id"]: one["items"]["data"][0]["current_period_end"] for one in subscriptions}
        self.check()

    @staticmethod
    def _version():
        return json.loads((ROOT / "tests/stripe_standin/schema.json").read_text())["api_version"]

    def _post(self, path, **form):
        reply = self.control.post(path, data=form)
        if reply.status_code != 200:
            raise RuntimeError(f"{path}: {reply.text}")
        return reply.json()

    def _state(self):
        return self.control.get("state").json()

    # --- A renewal of all -----------------------------------------------------------------------------------------------

    def renew(self):
        """Time passes until all have paid for their next period, and nobody has told the product yet."""
        before = self._state()["events"]
        self._post("advance", to=max(self.ends.values()) + DAY)
        self.events = self.control.get("events", params={"skip": before}).json()
        told = {}
        for event in self.events:
            if event["type"] == "customer.subscription.updated":
                told[event["data"]["object"]["id"]] = event["data"]["object"]["items"]["data"][0]["current_period_end"]
        paid = sum(event["type"] == "invoice.paid" for event in self.events)
        if told.keys() != self.ends.keys() or any(told[one] <= self.ends[one] for one in told) or paid != self.count:
            raise RuntimeError(f"the stand-in renewed {len(told)} and was paid {paid} times")
        self.ends = told
        for statement in ("VACUUM (ANALYZE) stripe_events, stripe_locks, subscriptions, entitlements, billing_accounts, billing_facts, "
                          "tenants, jobs, audit_log, audit_queue", "CHECKPOINT"):
            self.world.pg.query(statement)

    def _sign(self):
        """Just before: a signature is good for five minutes."""
        now = int(time.time())
        head = ("POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json; charset=utf-8\r\n"
                "Stripe-Signature: {}\r\nContent-Length: {}\r\n\r\n")
        with self.deliveries.open("wb") as file:
            for event in self.events:
                payload = encoded(event)
                request = head.format(PATH, self.world.server.address, header(payload, [self.secret], now), len(payload)).encode() + payload
                file.write(b"%d\n" % len(request) + request)

    def burst(self):
        """Delivers, and waits until the last is worked on. -> what the sender says, and: worked_on seconds after the first was sent,
        the stand-in's processor time"""
        self._sign()
        spent = load.cpu_seconds(self.standin.pid)
        begin = time.monotonic()
        server = self.world.server
        said = json.loads(load.run([sys.executable, "-B", HERE / "burst.py", server.host, server.port, self.deliveries, AT_ONCE], PATIENCE))
        self._wait(begin + PATIENCE)
        return SimpleNamespace(**said, worked_on=time.monotonic() - begin, standin_cpu=load.cpu_seconds(self.standin.pid) - spent)

    def _wait(self, deadline):
        connection = self.world.pg()
        try:
            with connection.cursor() as cursor:
                while True:
                    cursor.execute(WAITING)
                    if cursor.fetchone() == (False,):
                        return
                    if time.monotonic() > deadline:
                        raise RuntimeError(f"not all events are worked on after {PATIENCE} seconds")
                    time.sleep(0.2)
        finally:
            connection.close()

    def check(self):
        """The product knows of every subscription what the stand-in does, nothing was given up, nothing wrong was sent."""
        query = self.world.pg.query
        known = {one: (end, good) for one, end, good in query(KNOWN, (SEATS,))}
        wrong = [one for one, end in self.ends.items() if known.get(one) != (end, True)]
        stuck = query("SELECT event, state, note FROM stripe_events WHERE state NOT IN ('done', 'ignored') LIMIT 5")
        stuck += query("SELECT kind, key, last_error FROM jobs WHERE dead_at IS NOT NULL LIMIT 5")
        violations = self._state()["violations"]
        if wrong or stuck or violations:
            raise RuntimeError(f"{len(wrong)} of {self.count} subscriptions are not as at Stripe, {stuck}, {violations[:5]}")

    def end(self):
        self.control.close()
        self.standin.terminate()
        self.standin.wait(20)
