"""What goes wrong between us and Stripe, seen from our side: bringing work forward, and comparing what each of the two holds."""
import datetime
import threading

from support.billing import until
from support.invitations import address, invite

SLACK = datetime.timedelta(days=3)  # renewal_slack (migrations/0022)
GRACE = datetime.timedelta(days=14)


def moment(seconds):
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)


# --- Work that would come later -----------------------------------------------------------------------------------------

def hurry(pg, kind, key=None):
    """The jobs of that kind that wait are due now."""
    pg.query("UPDATE jobs SET run_after = now(), lease = NULL, lease_until = NULL WHERE kind = %s AND dead_at IS NULL AND lease IS NULL"
             " AND key = coalesce(%s, key); NOTIFY overread_jobs", (kind, key))


def postpone_periodic(pg):
    """Stripe's lists are read when a test says so."""
    pg.query("UPDATE jobs SET run_after = now() + interval '1 day' WHERE kind IN ('stripe_reconcile', 'stripe_nightly')")


def run_periodic(shop, kind, good=True):
    """One run of it, to its end."""
    waits = "SELECT attempts, last_error FROM jobs WHERE kind = %s AND lease IS NULL AND run_after > now()"
    until(lambda: shop.pg.query(waits, (kind,)))
    tried = shop.pg.query(waits, (kind,))[0][0]
    hurry(shop.pg, kind)
    ended = until(lambda: [row for row in shop.pg.query(waits, (kind,)) if (row[0] == 0 and not row[1]) or row[0] > tried])
    assert (ended[0][1] is None) == good, ended
    if not good:
        postpone_periodic(shop.pg)


def reconcile(shop, good=True):
    run_periodic(shop, "stripe_reconcile", good)
    if good:
        shop.idle()


def settle(shop, intent, seconds=60):
    """The job comes to what became of a request, however often it has to ask."""
    def resolved():
        hurry(shop.pg, "billing_intent", intent)
        return shop.pg.query("SELECT state FROM billing_intents WHERE intent_id = %s AND state <> 'open'", (intent,))
    state = until(resolved, seconds, 0.2)[0][0]
    shop.idle()
    return state


def age(pg, intent, interval):
    """As if it had been sent so long ago."""
    pg.query("UPDATE billing_intents SET created_at = created_at - %s::interval WHERE intent_id = %s", (interval, intent))


class Hold:
    """Stripe has done what was asked for (when="before": is about to), and its answer is on its way until release()."""

    def __init__(self, stripe, method, path, seconds=40, when="after", **options):
        self._faults, self._held, self._released = stripe.faults, threading.Event(), threading.Event()
        self._fault = stripe.faults.add(method, path, when, action=lambda: (self._held.set(), self._released.wait(seconds)), **options)

    def holds(self):
        return self._held.is_set()

    def wait(self):
        assert self._held.wait(60), "nobody has asked"

    def release(self):
        """Whoever has not asked by now is not held up any more, either."""
        self._faults.drop(self._fault)
        self._released.set()


class Kill:
    """kill -9 of a server, as what a fault does: on a thread of the stand-in, while the test goes on."""

    def __init__(self, server):
        self.server, self._done = server, threading.Event()

    def __call__(self):
        self.server.kill()
        self._done.set()

    def wait(self):
        assert self._done.wait(60), "the server was never killed"


def release_leases(market):
    """What a killed server holds runs out: its jobs after two minutes, its locks at Stripe's objects after ninety seconds."""
    market.pg.query("UPDATE jobs SET lease_until = now() WHERE lease IS NOT NULL AND kind LIKE ANY ('{stripe_%,billing_%}');"
                    "UPDATE stripe_locks SET until = now() WHERE holder IS NOT NULL")


def look(me, reply):
    """What a 202 leads to; or a 503 that says what has to be known before anything is ordered."""
    if reply.status_code == 202:
        assert reply.headers["location"] == f"/v1/billing/requests/{reply.json()['id']}"
    else:
        assert reply.status_code == 503 and reply.json()["code"] in ("customer_pending", "page_pending"), reply.text
        assert int(reply.headers["retry-after"]) > 0
    shown = me.get(reply.headers["location"])
    assert shown.status_code == 200, shown.text
    return shown.json()


# --- People -------------------------------------------------------------------------------------------------------------

class Buyers:
    """A trust and a trainee who are there for all tests: what they bought is forgotten between them."""

    def __init__(self):
        self._known = {}

    def _again(self, shop, name, make):
        if name not in self._known:
            made = make()
            token = made.headers["Authorization"].removeprefix("Bearer ")
            self._known[name] = token, made.get("/v1/tenant").json()
        token, tenant = self._known[name]
        client = shop.client(token)
        client.slug, client.tenant = tenant["slug"], tenant["id"]
        return client

    def trust(self, shop, name="trust"):
        return self._again(shop, name, shop.trust)

    def trainee(self, shop, name="trainee"):
        return self._again(shop, name, shop.trainee)


def forget_seats(pg):
    """Nobody has bought or holds a seat of those who sign up by themselves."""
    pg.query("UPDATE tickets k SET used_at = now() WHERE k.kind = 'invitation' AND k.used_at IS NULL;"
             "UPDATE tenants t SET seats_bought = 0 WHERE NOT EXISTS"
             " (SELECT FROM grants g WHERE g.tenant_id = t.tenant_id AND g.revoked_at IS NULL);"
             "DELETE FROM jobs WHERE kind = 'mail'; DELETE FROM throttle_buckets")


def hold_seats(boss, count):
    """Invitations hold seats."""
    for _ in range(count):
        reply = invite(boss, address())
        assert reply.status_code == 201, reply.text


# --- What each of the two holds -----------------------------------------------------------------------------------------

def at_stripe(subscription):
    """What counts of Stripe's object."""
    items = subscription["items"]["data"]
    end = moment(items[0]["current_period_end"])
    cancel = moment(subscription["cancel_at"]) or (end if subscription["cancel_at_period_end"] else None)
    return {"status": subscription["status"], "seats": sum(item["quantity"] for item in items), "price": items[0]["price"]["id"],
            "period_end": end, "cancel_at": cancel, "ended_at": moment(subscription["ended_at"]),
            "pending_update": subscription["pending_update"] is not None, "collection": subscription["collection_method"]}


def kept(pg):
    """The same of ours, by Stripe's id."""
    columns = ("status", "seats", "price", "period_end", "cancel_at", "ended_at", "pending_update", "collection")
    rows = pg.query(f"SELECT stripe_id, {', '.join(columns)} FROM subscriptions")
    return {row[0]: dict(zip(columns, row[1:])) for row in rows}


def entitled(row):
    """(seats, until) that follow of a subscription, or None: said here once more, in another way than the product says it. Of a
    payment that is late the end is left out: it counts from when we heard of it."""
    if row["ended_at"] or row["status"] not in ("active", "trialing", "past_due"):
        return None
    if row["status"] == "past_due":
        return row["seats"], None
    return row["seats"], min(filter(None, [row["period_end"] + SLACK, row["cancel_at"]]))


def differences(pg, stripe):
    """In words, what we hold and Stripe does not, or the reverse."""
    ours, found = kept(pg), []
    customers = {row[0] for row in pg.query("SELECT customer FROM billing_accounts WHERE customer IS NOT NULL")}
    theirs = {one["id"]: at_stripe(one) for one in stripe.all("subscription") if one["customer"] in customers}
    if set(ours) != set(theirs):
        found.append(f"subscriptions: ours {sorted(ours)}, Stripe's {sorted(theirs)}")
    for ident in set(ours) & set(theirs):
        found += _members(ident, ours[ident], theirs[ident])
    return found + _entitlements(pg, theirs) + _seats(pg) + twice(pg, stripe)


def _members(ident, ours, theirs):
    return [f"{ident}.{name}: ours {ours[name]}, Stripe's {theirs[name]}" for name in ours if ours[name] != theirs[name]]


def old_news(pg, stripe):
    """In words, what we hold otherwise than Stripe does although its last event about it is done: an object is fetched after it is told
    of, and nothing older comes over it. Good at any time: in this order, since each may only be newer than what was read before. Not
    after a 404 in between, with which an event is done, and a later fetch queued."""
    done = {row[0] for row in pg.query("SELECT event FROM stripe_events WHERE state = 'done'")}
    ours = kept(pg)
    with stripe.lock:
        theirs = {one["id"]: at_stripe(one) for one in stripe.all("subscription")}
        last = {ident: [event["id"] for event in stripe.events("customer.subscription.", ident)][-1:] for ident in ours}
    return [words for ident in ours if ident in theirs and done.issuperset(last[ident])
            for words in _members(ident, ours[ident], theirs[ident])]


def _entitlements(pg, theirs):
    given = {row[0]: row[1:] for row in pg.query(
        "SELECT s.stripe_id, e.seats, e.ends_at, s.past_due_since FROM entitlements e JOIN subscriptions s ON s.subscription_id = e.source")}
    found = []
    for ident, row in theirs.items():
        due, has = entitled(row), given.get(ident)
        if due and due[1] is None and has:
            due = due[0], min(filter(None, [has[2] + GRACE, row["cancel_at"]]))
        if (has and has[:2]) != due:
            found.append(f"{ident} gives {has and has[:2]}, and should give {due}")
    return found


def _seats(pg):
    rows = pg.query("""SELECT t.slug, t.seats_bought, coalesce(sum(e.seats), 0) FROM tenants t
                       JOIN billing_accounts a USING (tenant_id)
                       LEFT JOIN entitlements e ON e.tenant_id = t.tenant_id AND e.starts_at <= now() AND e.ends_at > now()
                       WHERE a.customer IS NOT NULL AND t.kind = 'organisation'
                         AND NOT EXISTS (SELECT FROM grants g WHERE g.tenant_id = t.tenant_id AND g.revoked_at IS NULL)
                       GROUP BY 1, 2 HAVING t.seats_bought IS DISTINCT FROM coalesce(sum(e.seats), 0)""")
    return [f"{slug} has {bought} seats, of {sum_} that are entitled to" for slug, bought, sum_ in rows]


def twice(pg, stripe):
    """What one request came to more than once: charges under a key, things made for an intent, customers of a tenant."""
    found = []
    counts = {}
    for charge in stripe.charges():
        key = charge["request"]["idempotency_key"]
        if key:
            counts["charges of " + key] = counts.get("charges of " + key, 0) + 1
    for kind in ("subscription", "checkout.session", "customer"):
        for one in stripe.all(kind):
            intent = (one.get("metadata") or {}).get("overread_intent")
            if intent:
                name = f"{kind}s of {intent}"
                counts[name] = counts.get(name, 0) + 1
    found += [f"{count} {name}" for name, count in counts.items() if count > 1]
    rows = pg.query("SELECT t.slug, s.plan, count(*) FROM subscriptions s JOIN tenants t USING (tenant_id)"
                    " WHERE s.ended_at IS NULL AND s.plan IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 1")
    return found + [f"{slug} has {count} subscriptions to {plan}" for slug, plan, count in rows]


def lost_events(pg, stripe):
    """Those that Stripe has and we never took in, or have not worked on."""
    taken = dict(pg.query("SELECT event, state FROM stripe_events"))
    return [f"{event['type']} {event['id']}: {taken.get(event['id'], 'never taken')}" for event in stripe.events()
            if taken.get(event["id"]) not in ("done", "foreign", "ignored")]


def assert_same(shop):
    """The invariant of every test here."""
    found = differences(shop.pg, shop.stripe)
    assert not found, "\n".join(found)
