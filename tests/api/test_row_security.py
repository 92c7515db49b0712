"""Row-level security, proved from the catalogue: a table, index, function or view that would let one tenant see another's
rows fails here on the day it is made."""
import concurrent.futures
import json
import random
import re
import threading

import httpx
import pytest

from support.reads import open_read, submit, truth_as_answer

# Tables whose rows belong to no single tenant, and why that is right. Everything else has tenant_id first in its key.
NO_TENANT = {
    "people": "a person may belong to several tenants; seen through a membership of the asker's tenant",
    "passwords": "of a person; no policy",
    "pseudonyms": "of a person; its own row alone",
    "totp": "of a person; no policy",
    "recovery_codes": "of a person; no policy",
    "passkeys": "of a person; no policy",
    "webauthn_challenges": "of a person or, before signing in, of nobody; no policy",
    "throttle_buckets": "hashes of who tries; no policy",
    "tickets": "of an address, before anybody knows a tenant; no policy",
    "jobs": "the outbox of all; reached through functions under a lease; no policy",
    "operators": "of the platform; no policy",
    "personal_data": "says which tables name people; no policy",
    "personal_exports": "of a person; no policy",
    "erasures": "the ledger; no policy",
    "trial_uses": "hashes of who has had a trial; no policy",
    "plans": "what is sold, the same for all; no policy",
    "plan_prices": "of plans; no policy",
    "stripe_events": "what Stripe told, before anybody knows of whom; no policy",
    "stripe_locks": "who fetches what from Stripe; no policy",
    "stripe_cursor": "how far Stripe's list of events was read; no policy",
    "stripe_positions": "where the reading of Stripe's lists goes on; no policy",
    "modalities": "the catalogue, the same for all",
    "cases": "shared library (tenant_id NULL) or one tenant's own; policy looks at current_tenant()",
    "case_versions": "seen through cases",
    "case_files": "seen through cases",
    "case_truths": "no policy: truth leaves through two functions",
    "regrade_runs": "an operator's work on all tenants' reads; no policy",
    "overread_migrations": "the history of this schema; the application has no right to it",
}
# Of those, the ones that the application may read directly.
READABLE_WITHOUT_TENANT = {"people", "pseudonyms", "modalities", "cases", "case_versions", "case_files"}
# Unique over all tenants on purpose: what is random, what people choose, and what a person has once. None can be tried out
# with another tenant's value, but for addresses and slugs, whose refusal is worded the same for everybody.
UNIQUE_OVER_ALL = {
    "tenants_pkey", "tenants_slug_key", "sessions_token_hash_key", "api_tokens_token_hash_key", "join_links_token_hash_key",
    "reads_submission_no_key",  # a sequence
    "billing_accounts_customer_key", "subscriptions_stripe_id_key", "checkouts_session_key",  # Stripe's ids, written by our jobs only
    "tickets_pkey", "tickets_token_hash_key", "jobs_pkey", "jobs_kind_key_key",
    "cases_pkey", "cases_slug_key",  # made by operators only
}
READ_ROLE = "overread_app"


def rows(pg, sql, *parameters):
    return pg.query(sql, parameters or None, user="overread_owner")


def tables(pg):
    return {name: forced and enabled for name, enabled, forced in rows(
        pg, "SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class WHERE relkind IN ('r', 'p')"
            " AND relnamespace = 'public'::regnamespace")}


def with_tenant(pg):
    return {row[0] for row in rows(pg, "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
                                       " WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace"
                                       " AND a.attname = 'tenant_id' AND NOT a.attisdropped")}


def policies(pg):
    return rows(pg, "SELECT tablename, policyname, roles::text[], cmd, coalesce(qual, ''), coalesce(with_check, ''), permissive"
                    " FROM pg_policies WHERE schemaname = 'public'")


# --- The catalogue ----------------------------------------------------------------------------------------------------


def test_checklist_row_level_security_is_enabled_and_forced_on_every_table(server, pg):
    assert {name for name, guarded in tables(pg).items() if not guarded} - {"overread_migrations"} == set()
    assert rows(pg, "SELECT has_table_privilege('overread_app', 'overread_migrations', 'SELECT')") == [(False,)]


def test_checklist_row_level_security_lets_the_owner_in_by_a_policy_of_its_own(server, pg):
    owned = {table for table, name, roles, *_ in policies(pg) if name == "operator" and roles == ["overread_owner"]}
    assert set(tables(pg)) - owned == {"overread_migrations"}


def test_checklist_row_level_security_every_policy_of_the_application_asks_for_the_tenant(server, pg):
    """In USING and in WITH CHECK (which is USING when left out); of a child table through its parent's own policy."""
    parents = re.compile(r"current_tenant\(\)|current_person\(\)|FROM cases c\b|FROM memberships m\b")
    for table, name, roles, _, using, check, permissive in policies(pg):
        assert permissive == "PERMISSIVE"
        if name == "operator":
            continue
        assert roles == [READ_ROLE], (table, name)
        for condition in (using, check):
            if table == "modalities":
                continue
            assert not condition or parents.search(condition), (table, name, condition)
            if table in with_tenant(pg):
                assert not condition or "current_tenant()" in condition, (table, name, condition)


def test_checklist_row_level_security_reads_settings_of_the_transaction_that_may_be_empty(server, pg):
    for setting in ("tenant_id", "person_id", "session_id"):
        function = {"tenant_id": "current_tenant", "person_id": "current_person", "session_id": "current_session_id"}[setting]
        (source,), = rows(pg, "SELECT prosrc FROM pg_proc WHERE proname = %s", function)
        assert f"nullif(current_setting('overread.{setting}', true), '')" in source


def test_checklist_row_level_security_every_tenants_table_has_the_tenant_first_in_its_key(server, pg):
    first = dict(rows(pg, "SELECT i.indrelid::regclass::text, a.attname FROM pg_index i JOIN pg_attribute a"
                          " ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] WHERE i.indisprimary"))
    wrong = {table for table in with_tenant(pg) - set(NO_TENANT) if first.get(table) != "tenant_id"}
    assert wrong == set()
    assert set(tables(pg)) - with_tenant(pg) - set(NO_TENANT) == set(), "whose rows are these? Explain them in NO_TENANT"


def test_checklist_row_level_security_unique_keys_include_the_tenant(server, pg):
    found = rows(pg, "SELECT c.relname, a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
                     " LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]"
                     " WHERE i.indisunique AND i.indrelid::regclass::text = ANY (%s)", sorted(with_tenant(pg)))
    assert {name for name, column in found if column != "tenant_id"} - UNIQUE_OVER_ALL == set()


def test_the_application_reads_no_other_table_without_a_tenant(server, pg):
    readable = {name for name in tables(pg) if rows(
        pg, "SELECT has_any_column_privilege(%s, %s, 'SELECT')", READ_ROLE, name) == [(True,)]}
    assert readable - with_tenant(pg) | (readable & {"cases"}) == READABLE_WITHOUT_TENANT
    hidden = set(NO_TENANT) - READABLE_WITHOUT_TENANT
    assert {table for table, name, *_ in policies(pg) if name != "operator"} & hidden == set()


def test_checklist_row_level_security_views_ask_as_who_looks(server, pg):
    loose = rows(pg, "SELECT relname FROM pg_class WHERE relkind IN ('v', 'm') AND relnamespace = 'public'::regnamespace"
                     " AND (relkind = 'm' OR NOT coalesce(reloptions, '{}') @> ARRAY['security_invoker=true'])")
    assert loose == []


def test_every_function_with_the_owners_rights_pins_its_search_path(server, pg):
    loose = rows(pg, "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef"
                     " AND NOT coalesce(proconfig, '{}') @> ARRAY['search_path=public, pg_temp']")
    assert loose == []


def test_the_application_owns_nothing_and_bypasses_nothing(server, pg):
    assert rows(pg, "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication FROM pg_roles"
                    " WHERE rolname IN ('overread_app', 'overread_owner')") == [(False,) * 5] * 2
    owns = rows(pg, "SELECT relname FROM pg_class WHERE relowner = 'overread_app'::regrole UNION ALL"
                    " SELECT proname FROM pg_proc WHERE proowner = 'overread_app'::regrole")
    assert owns == []
    assert rows(pg, "SELECT count(*) FROM pg_auth_members WHERE member = 'overread_app'::regrole") == [(0,)]
    assert rows(pg, "SELECT has_schema_privilege('overread_app', 'public', 'CREATE')") == [(False,)]


# Functions that act for whoever they are told: the application may call them only because something else proves who asks.
TOLD_WHO = {
    "audit": "writes a line, and nothing else",
    "assume_job": "takes the lease of a job that is due",
    "session_open": "called when the person has just been recognised; its callers are identity's",
    "session_open_by_password": "as session_open, and the hash of the password that was shown must still be the person's",
    "password_rehash": "replaces a hash by one of the same password: the old hash must be shown",
    "session_json": "tells of a session by its id, which is random",
    "sso_begin": "begins a sign-in, whoever asks: it opens nothing yet",
    "sso_logout": "called when the tenant's provider has signed a logout token",
    "support_open": "refuses another tenant than the asker's",
    "intent_take": "gives a request that awaits its outcome, by its random id, to the job that sends it again; no route calls it",
    "intent_resolve": "writes what Stripe answered to that very request: called by the route that has just opened it, and by its job",
}


def test_functions_of_the_application_are_named_one_by_one_and_public_has_none(server, pg):
    assert rows(pg, "SELECT oid::regprocedure::text FROM pg_proc p WHERE pronamespace = 'public'::regnamespace"
                    " AND EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x WHERE x.grantee = 0)") == []
    granted = {name for name, in rows(pg, "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
                                          " AND has_function_privilege('overread_app', oid, 'EXECUTE')")}
    never = {"become", "guard_table", "case_import", "person_erase", "export_page", "audit_seal", "audit_lines", "memberships_end",
             "mail_queue", "ticket_open", "ticket_use", "ticket_of", "sessions_end", "session_stage", "member_put",
             "webhook_emit", "webhook_emit_at", "webhook_job", "webhook_disable",
             "tenant_seats_set", "password_must_change", "regrade_write", "stays_as_written", "tenant_put", "contract_set", "grant_open",
             "grant_end", "entitlements_follow", "seats_follow", "payers_mail", "billing_stuck", "billing_retry"}
    assert granted & never == set()
    # Whoever takes a tenant or person as an argument with the owner's rights is looked at by a person.
    told = {name for name, in rows(
        pg, "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef"
            " AND has_function_privilege('overread_app', oid, 'EXECUTE')"
            " AND proargnames[1:pronargs] && ARRAY['tenant', 'tenant_id', 'which_tenant', 'person']"
            " AND prosrc !~ 'current_tenant\\(\\)|current_person\\(\\)|may_see_record'")}
    assert told - set(TOLD_WHO) == set(), "how is it known that the asker may say so? Explain it in TOLD_WHO"


def test_the_application_changes_no_table_but_these_directly(server, pg):
    changed = set()
    for table in tables(pg):
        for right in ("INSERT", "UPDATE", "DELETE", "TRUNCATE", "TRIGGER"):
            column_right = right in ("INSERT", "UPDATE")
            function = "has_any_column_privilege" if column_right else "has_table_privilege"
            if rows(pg, f"SELECT {function}(%s, %s, %s)", READ_ROLE, table, right) == [(True,)]:
                changed.add((table, right))
    assert changed == {("idempotency_keys", "INSERT"), ("drafts", "INSERT"), ("drafts", "UPDATE"),
                       ("drafts", "DELETE")}


# --- Rows -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def pair(tenant, client, demo_cases):
    """Two tenants with the same things done in both."""
    made = []
    for _ in range(2):
        trust = tenant("trainee", "administrator")
        me = client(trust["trainee"])
        submit(me, open_read(me, demo_cases[0]), truth_as_answer(demo_cases[0].truth["truth"]))
        draft = open_read(me, demo_cases[1])
        me.put(f"/v1/reads/{draft['id']}/draft", json={"answer": {}}, headers={"Idempotency-Key": "k"})
        me.post("/v1/reads", json={"case": demo_cases[2].id}, headers={"Idempotency-Key": "k"})
        me.put("/v1/board/pseudonym", json={"pseudonym": f"P {trust['trainee'].id[-8:]}"})
        assert me.post("/v1/me/tokens", json={"name": "t", "scopes": ["cases:read"]}).status_code == 201
        boss = client(trust["administrator"])
        assert boss.post("/v1/tenant/cohorts", json={"name": "A cohort"}).status_code == 201
        hook = boss.post("/v1/tenant/webhooks", json={"url": "https://hooks.example.invalid/", "events": ["certificate.issued"]})
        assert boss.post(f"/v1/tenant/webhooks/{hook.json()['id']}/test").status_code == 202
        made.append(trust)
    return made


def test_checklist_row_level_security_select_shows_no_row_of_another_tenant_in_any_table(server, pg, pair):
    """As the application's role, with the tenant and person of A set, and of B seeded alike: every table that can be read."""
    a, b = pair
    connection = pg(user="overread_app", autocommit=False)
    seen_own = set()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('overread.tenant_id', %s, true), set_config('overread.person_id', %s, true),"
                           " set_config('overread.roles', 'trainee,administrator', true)", (a.id, a["trainee"].id))
            for table in tables(pg):
                if rows(pg, "SELECT has_table_privilege(%s, %s, 'SELECT')", READ_ROLE, table) != [(True,)]:
                    continue
                cursor.execute(f"SELECT t::text FROM {table} t")
                text = "\n".join(row[0] for row in cursor.fetchall())
                for person in b.people:
                    assert b.id not in text and person.id not in text and person.email not in text, table
                if a.id in text or a["trainee"].id in text:
                    seen_own.add(table)
    finally:
        connection.close()
    assert seen_own >= {"tenants", "memberships", "people", "sessions", "reads", "grades", "drafts", "audit_log", "standings",
                        "idempotency_keys", "pseudonyms", "api_tokens", "cohorts", "webhook_endpoints", "webhook_deliveries"}


def test_without_a_tenant_a_statement_sees_no_row(server, pg, pair):
    connection = pg(user="overread_app")
    try:
        with connection.cursor() as cursor:
            for table in tables(pg):
                if table == "modalities" or rows(pg, "SELECT has_table_privilege(%s, %s, 'SELECT')", READ_ROLE, table) != [(True,)]:
                    continue
                cursor.execute(f"SELECT count(*) FROM {table}")
                assert cursor.fetchone() == (0,), table
    finally:
        connection.close()


def test_checklist_row_level_security_a_setting_ends_with_its_transaction(server, pg, pair):
    connection = pg(user="overread_app", autocommit=False)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('overread.tenant_id', %s, true)", (pair[0].id,))
            cursor.execute("SELECT count(*) FROM tenants")
            assert cursor.fetchone() == (1,)
            connection.commit()
            cursor.execute("SELECT current_setting('overread.tenant_id', true), count(*) FROM tenants")
            assert cursor.fetchone() == ("", 0)
    finally:
        connection.close()


def test_checklist_row_level_security_who_asks_is_set_for_the_transaction_only(server, pg):
    wide = rows(pg, "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
                    " AND prosrc ~ 'set_config\\([^()]*(\\([^()]*\\)[^()]*)*, *false\\)'")
    assert wide == []


def test_foreign_rows_cannot_be_written_even_with_sql(server, pg, pair):
    a, b = pair
    connection = pg(user="overread_app", autocommit=False)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('overread.tenant_id', %s, true), set_config('overread.person_id', %s, true)",
                           (a.id, a["trainee"].id))
            cursor.execute("UPDATE drafts SET draft = '{}' WHERE tenant_id = %s", (b.id,))
            assert cursor.rowcount == 0
            cursor.execute("DELETE FROM drafts WHERE tenant_id = %s", (b.id,))
            assert cursor.rowcount == 0
            with pytest.raises(Exception, match="row-level security"):
                cursor.execute("INSERT INTO idempotency_keys (tenant_id, person_id, key, body_sha256, resource)"
                               " VALUES (%s, %s, 'x', 'x', gen_random_uuid())", (b.id, b["trainee"].id))
    finally:
        connection.close()


# --- Interleaving -------------------------------------------------------------------------------------------------------

REQUESTS, CLIENTS = 4000, 24


def test_checklist_row_level_security_two_tenants_interleaved_on_one_connection_see_no_foreign_row(server_with, pg, pair, demo_cases):
    """One loop, one read and one write connection: statements of both tenants, of nobody, and ones that fail follow each
    other in one pipeline. Every reply holds its own tenant's canaries and none of the other's."""
    server = server_with(threads=1, database_read_connections=1, database_write_connections=1, database_queue=4000)
    a, b = pair
    canaries = {trust: {trust.id, trust.slug, *(x for person in trust.people for x in (person.id, person.email))} for trust in pair}
    reads = {trust: pg.query("SELECT read_id FROM reads WHERE tenant_id = %s ORDER BY read_id", (trust.id,)) for trust in pair}
    tokens = {(trust, person): person.token for trust in pair for person in trust.people}
    drafts = {trust: pg.query("SELECT read_id FROM drafts WHERE tenant_id = %s", (trust.id,))[0][0] for trust in pair}
    counts, failures, lock = {}, [], threading.Lock()

    def expected_of(trust, person, path):
        if path == "/v1/session":
            return person.id
        if path == "/v1/tenant":
            return trust.slug
        return None

    def one(number):
        random_source = random.Random(number)
        trust = random_source.choice(pair)
        other = b if trust is a else a
        person = random_source.choice(trust.people)
        token = tokens[trust, person]
        kind = random_source.random()
        path = random_source.choice(["/v1/session", "/v1/me", "/v1/tenant", "/v1/tenant/members", "/v1/reads", "/v1/cases",
                                     "/v1/sessions", "/v1/board?modality=prostate_mri", "/v1/performance", "/v1/audit"])
        method, options = "GET", {}
        if kind < 0.1:
            token, want = "x" * 43, 401
        elif kind < 0.25:
            path, want = f"/v1/reads/{random_source.choice(reads[other])[0]}", 404
        elif kind < 0.3:
            path, want = "/v1/reads/018f0000-0000-7000-8000-000000000000/feedback", 404
        elif kind < 0.4:
            path, want = f"/v1/reads/{random_source.choice(reads[trust])[0]}", 200 if person is trust["trainee"] else 404
        elif kind < 0.45:
            path, want = "/v1/reads?after=nonsense", 422
        elif kind < 0.6:
            owner = random_source.choice(pair)
            method, path, options = "PUT", f"/v1/reads/{drafts[owner]}/draft", {"json": {"answer": {"by": trust.id}}}
            want = 403 if person is not trust["trainee"] else 204 if owner is trust else 404
        elif path in ("/v1/audit", "/v1/tenant/members"):
            want = 200 if "administrator" in person.roles else 403
        else:
            want = 200
        reply = session.request(method, server.url + path, headers={"Authorization": f"Bearer {token}"}, **options)
        text = reply.text
        wrong = [c for c in canaries[other] if c in text]
        must = expected_of(trust, person, path) if reply.status_code == 200 else None
        with lock:
            counts[reply.status_code] = counts.get(reply.status_code, 0) + 1
            if reply.status_code != want or wrong or (must and must not in text):
                failures.append((path, want, reply.status_code, wrong, text[:200]))
        if path == "/v1/tenant/members" and reply.status_code == 200:
            people = {item["person"] for item in json.loads(text)["items"]}
            with lock:
                if people != {p.id for p in trust.people}:
                    failures.append((path, people))

    limits = httpx.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
    with httpx.Client(timeout=120, trust_env=False, limits=limits) as session, \
            concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(one, range(REQUESTS)))
    assert failures == [], failures[:5]
    for trust in pair:
        assert pg.query("SELECT draft->>'by' FROM drafts WHERE tenant_id = %s", (trust.id,)) == [(trust.id,)]
    assert sum(counts.values()) == REQUESTS and counts[200] > REQUESTS / 3 and counts[401] > 100 and counts[404] > 100 and counts[204] > 100
