-- Billing: plans, subscriptions as they were last fetched from Stripe, grants by operators, and what follows of them: who may
-- open which cases, and how many seats there are.
--
-- A webhook only says that something happened. What counts is the object, fetched while nobody else fetches it (stripe_lock),
-- and kept as a fact (billing_facts); subscriptions and grants are the last facts, entitlements follow from them, and the hot
-- path looks at entitlements alone. Before a request that changes something at Stripe there is an intent, with its key and its
-- exact body: whoever finds it unresolved sends the very same again.

-- What is sold -----------------------------------------------------------------------------------------------------

CREATE TABLE plans (
    plan            text PRIMARY KEY CHECK (plan ~ '^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?$'),
    title           text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    description     text NOT NULL DEFAULT '' CHECK (length(description) <= 500),
    audience        text NOT NULL CHECK (audience IN ('individual', 'organisation')), -- one person, or seats
    modalities      text[] CHECK (cardinality(modalities) > 0),                       -- NULL: all, and those to come
    trial_days      int NOT NULL DEFAULT 0 CHECK (trial_days BETWEEN 0 AND 365),
    trial_with_card boolean NOT NULL DEFAULT true,
    grace_days      int NOT NULL DEFAULT 14 CHECK (grace_days BETWEEN 0 AND 90),      -- reading goes on while a payment is late
    product         text NOT NULL UNIQUE CHECK (length(product) BETWEEN 1 AND 255),   -- Stripe's id
    on_sale         boolean NOT NULL DEFAULT true,
    place           int NOT NULL DEFAULT 0
);

-- Amounts in the currency's minor unit: pence; yen as they are.
CREATE TABLE plan_prices (
    price    text PRIMARY KEY CHECK (length(price) BETWEEN 1 AND 255),                -- Stripe's id
    plan     text NOT NULL REFERENCES plans,
    period   text NOT NULL CHECK (period IN ('month', 'year')),
    currency text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
    amount   bigint NOT NULL CHECK (amount >= 0),
    on_sale  boolean NOT NULL DEFAULT true
);
CREATE UNIQUE INDEX plan_prices_on_sale ON plan_prices (plan, period, currency) WHERE on_sale;

-- Free for everyone who has signed in, subscription or not.
ALTER TABLE cases ADD COLUMN sample boolean NOT NULL DEFAULT false;

-- Facts ------------------------------------------------------------------------------------------------------------

CREATE TABLE billing_accounts (
    tenant_id     uuid PRIMARY KEY REFERENCES tenants,
    customer      text UNIQUE,                 -- Stripe's id
    customer_gone boolean NOT NULL DEFAULT false,
    currency      text,                        -- Stripe holds a customer to one
    trial_used_at timestamptz,
    next_change   timestamptz                  -- when time alone changes what follows of the facts
);
CREATE INDEX billing_accounts_due ON billing_accounts (next_change);

CREATE TABLE subscriptions (
    tenant_id       uuid NOT NULL REFERENCES tenants,
    subscription_id uuid NOT NULL,
    stripe_id       text NOT NULL UNIQUE,
    plan            text REFERENCES plans,     -- NULL: nothing that we sell
    status          text NOT NULL,             -- Stripe's word, also one that we do not know
    seats           int NOT NULL CHECK (seats >= 0),
    price           text NOT NULL,
    amount          bigint,                    -- of a seat, minor units
    currency        text NOT NULL,
    period          text NOT NULL,
    item            text NOT NULL,             -- Stripe's id of the item that holds the seats
    collection      text NOT NULL,
    days_until_due  int,
    purchase_order  text,
    period_start    timestamptz NOT NULL,
    period_end      timestamptz NOT NULL,
    trial_end       timestamptz,
    cancel_at       timestamptz,
    cancel_at_period_end boolean NOT NULL,
    ended_at        timestamptz,
    pending_update  boolean NOT NULL,          -- seats were asked for and are not paid yet
    past_due_since  timestamptz,
    latest_invoice  text,
    started_at      timestamptz NOT NULL,
    fetched_at      timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, subscription_id)
);

-- A contract outside Stripe. Terms do not change: a grant ends, and another begins.
CREATE TABLE grants (
    tenant_id  uuid NOT NULL REFERENCES tenants,
    grant_id   uuid NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('contract', 'grant')), -- contract: the one that `tenant create` and `tenant seats` keep
    modalities text[] CHECK (cardinality(modalities) > 0),
    seats      int CHECK (seats >= 0),         -- NULL: without limit
    starts_at  timestamptz NOT NULL,
    ends_at    timestamptz NOT NULL,           -- 'infinity': without end
    reason     text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    PRIMARY KEY (tenant_id, grant_id)
);
CREATE UNIQUE INDEX grants_contract ON grants (tenant_id) WHERE kind = 'contract' AND revoked_at IS NULL;

-- The ledger: every fact as it came, and through what. Append-only.
CREATE TABLE billing_facts (
    tenant_id uuid NOT NULL REFERENCES tenants,
    fact      bigint GENERATED ALWAYS AS IDENTITY,
    at        timestamptz NOT NULL DEFAULT now(),
    kind      text NOT NULL CHECK (kind IN ('subscription', 'grant', 'grant_ended')),
    source    text NOT NULL,                   -- Stripe's id, or the grant's
    cause     text NOT NULL,                   -- an event's id, an intent's, 'reconcile', 'operator'
    object    jsonb NOT NULL,
    PRIMARY KEY (tenant_id, fact)
);
CREATE TRIGGER billing_facts_append_only BEFORE UPDATE OR DELETE ON billing_facts
    FOR EACH ROW EXECUTE FUNCTION stays_as_written();
CREATE TRIGGER billing_facts_no_truncate BEFORE TRUNCATE ON billing_facts
    FOR EACH STATEMENT EXECUTE FUNCTION stays_as_written();

-- What follows: one row for a subscription or grant that gives something, now or later.
CREATE TABLE entitlements (
    tenant_id  uuid NOT NULL REFERENCES tenants,
    source     uuid NOT NULL,                  -- subscription_id or grant_id
    modalities text[],
    seats      int,
    starts_at  timestamptz NOT NULL,
    ends_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, source)
);
-- A renewal takes nothing away, and a thousand of them make nobody look again.
CREATE TRIGGER entitlements_notify_less AFTER UPDATE ON entitlements FOR EACH ROW
    WHEN (NEW.ends_at < OLD.ends_at OR NEW.starts_at > OLD.starts_at OR NEW.modalities IS DISTINCT FROM OLD.modalities)
    EXECUTE FUNCTION revoked_notify();
CREATE TRIGGER entitlements_notify_gone AFTER DELETE ON entitlements FOR EACH ROW EXECUTE FUNCTION revoked_notify();

-- Intents ----------------------------------------------------------------------------------------------------------

-- A request to Stripe that changes something. open: nobody knows yet whether it was applied; it is sent, with the same key and
-- body, until somebody does. One at a time for a tenant.
CREATE TABLE billing_intents (
    tenant_id    uuid NOT NULL REFERENCES tenants,
    intent_id    uuid NOT NULL,                -- its Idempotency-Key, and metadata[overread_intent] of what it makes
    kind         text NOT NULL CHECK (kind IN ('customer', 'customer_change', 'checkout', 'checkout_expire', 'subscribe', 'change',
                                               'cancel', 'resume', 'cancel_now')),
    method       text NOT NULL CHECK (method IN ('POST', 'DELETE')),
    path         text NOT NULL,
    body         text NOT NULL,
    subscription text,                         -- Stripe's id of what it changes
    seats_after  int,                          -- what it would leave
    terms        jsonb NOT NULL DEFAULT '{}',
    state        text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'done', 'failed')),
    attempts     int NOT NULL DEFAULT 0,
    result       text,                         -- Stripe's id of what it made or changed
    status       int,                          -- Stripe's answer to one that failed
    code         text,
    detail       text,
    person_id    uuid,
    created_at   timestamptz NOT NULL DEFAULT now(),
    resolved_at  timestamptz,
    PRIMARY KEY (tenant_id, intent_id),
    CHECK ((state = 'open') = (resolved_at IS NULL))
);
CREATE UNIQUE INDEX billing_intents_open ON billing_intents (tenant_id) WHERE state = 'open';

CREATE TABLE checkouts (
    tenant_id    uuid NOT NULL REFERENCES tenants,
    checkout_id  uuid NOT NULL,                -- the intent's
    session      text NOT NULL UNIQUE,         -- Stripe's id
    url          text NOT NULL,
    terms        jsonb NOT NULL,               -- {plan, period, currency, seats}
    state        text NOT NULL CHECK (state IN ('open', 'complete', 'expired')),
    subscription text,                         -- Stripe's id
    expires_at   timestamptz NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, checkout_id)
);
CREATE UNIQUE INDEX checkouts_open ON checkouts (tenant_id) WHERE state = 'open';

-- What an operator offers a trust beside the price list.
CREATE TABLE quotes (
    tenant_id      uuid NOT NULL REFERENCES tenants,
    quote_id       uuid NOT NULL,
    plan           text NOT NULL REFERENCES plans,
    period         text NOT NULL CHECK (period IN ('month', 'year')),
    currency       text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
    amount         bigint CHECK (amount >= 0), -- of a seat, minor units; NULL: the price list's
    seats          int NOT NULL CHECK (seats > 0),
    days_until_due int NOT NULL CHECK (days_until_due BETWEEN 1 AND 365),
    note           text NOT NULL DEFAULT '' CHECK (length(note) <= 500),
    valid_until    timestamptz NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    withdrawn_at   timestamptz,
    accepted_at    timestamptz,
    intent_id      uuid,
    PRIMARY KEY (tenant_id, quote_id)
);

-- Events and locks -------------------------------------------------------------------------------------------------

-- Raw, by Stripe's id. queued: a job works on it; quarantined: of another API version, or of a form that nobody knows; foreign:
-- not of a customer of ours, or of another mode; ignored: says nothing that we keep.
CREATE TABLE stripe_events (
    event       text PRIMARY KEY,
    type        text NOT NULL,
    api_version text,
    livemode    boolean NOT NULL,
    created_at  timestamptz NOT NULL,          -- at Stripe
    taken_at    timestamptz NOT NULL DEFAULT now(),
    came_by     text NOT NULL CHECK (came_by IN ('webhook', 'list')),
    raw         text,                          -- NULL: swept
    state       text NOT NULL CHECK (state IN ('queued', 'done', 'quarantined', 'foreign', 'ignored')),
    note        text NOT NULL DEFAULT '',
    done_at     timestamptz
);
CREATE INDEX stripe_events_state ON stripe_events (state, taken_at) WHERE state IN ('queued', 'quarantined');
CREATE INDEX stripe_events_taken ON stripe_events (taken_at) WHERE raw IS NOT NULL;

-- Who fetches an object, and when the fetch that was kept last had begun. A lock that was not given back runs out, and its
-- holder's result is then refused.
CREATE TABLE stripe_locks (
    object     text PRIMARY KEY,
    holder     uuid,
    until      timestamptz,
    begun_at   timestamptz,
    fetched_at timestamptz                     -- what is kept is no older than this
);

-- How far /v1/events was read.
CREATE TABLE stripe_cursor (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    read_until timestamptz NOT NULL
);

SELECT guard_table(t) FROM unnest(ARRAY['plans', 'plan_prices', 'billing_accounts', 'subscriptions', 'grants', 'billing_facts',
    'entitlements', 'billing_intents', 'checkouts', 'quotes', 'stripe_events', 'stripe_locks', 'stripe_cursor']::regclass[]) t;
CREATE POLICY tenant ON entitlements TO overread_app USING (tenant_id = current_tenant());
GRANT SELECT ON entitlements TO overread_app;
-- All others: reached by no policy, only through functions.

INSERT INTO personal_data (relation, person_column, place, exported_as, hidden, erased, why) VALUES
    ('billing_intents', 'person_id', 900, 'billing_requests', '{person_id,body}', false, 'the tenant''s proof of what was bought');

-- May this person open this case now -------------------------------------------------------------------------------

-- A server that sells nothing to individuals lets them read everything.
CREATE FUNCTION sells_to_individuals() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS
$$ SELECT EXISTS (SELECT FROM plans WHERE audience = 'individual') $$;

CREATE FUNCTION entitled(of_modality text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM entitlements e WHERE e.tenant_id = current_tenant() AND e.starts_at <= now() AND e.ends_at > now()
                                                AND (e.modalities IS NULL OR of_modality = ANY (e.modalities)))
        OR (EXISTS (SELECT FROM tenants t WHERE t.tenant_id = current_tenant() AND t.kind = 'individual')
            AND NOT sells_to_individuals()) $$;

-- The one answer, and one look-up.
CREATE OR REPLACE FUNCTION may_open(which uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM cases c WHERE c.case_id = which AND c.state = 'published' AND (c.sample OR entitled(c.modality))) $$;

-- What follows of the facts ----------------------------------------------------------------------------------------

-- So long the news of a renewal may take, before reading stops.
CREATE FUNCTION renewal_slack() RETURNS interval LANGUAGE sql IMMUTABLE AS $$ SELECT interval '3 days' $$;

-- Until when a subscription gives what it sells; NULL: it gives nothing. `was`: until when it did before this fact.
-- A status that nobody knows gives nothing new: what there was runs out. STABLE, as what is added to a time is: it is inlined then.
CREATE FUNCTION subscription_good_until(s subscriptions, grace_days int, was timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN s.plan IS NULL OR s.ended_at IS NOT NULL THEN NULL
                WHEN s.status IN ('active', 'trialing') THEN least(s.period_end + renewal_slack(), s.cancel_at)
                WHEN s.status = 'past_due' THEN least(s.past_due_since + grace_days * interval '1 day', s.cancel_at)
                WHEN s.status IN ('incomplete', 'incomplete_expired', 'unpaid', 'canceled', 'paused') THEN NULL
                ELSE was END $$;

-- Seats that a request would give back are not given out any more: while it is under way, and until what came of it is fetched.
CREATE FUNCTION seats_leaving(tenant uuid) RETURNS int LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(x.n), 0)::int
    FROM (SELECT max(s.seats - i.seats_after) FROM billing_intents i
          JOIN subscriptions s ON s.tenant_id = i.tenant_id AND s.stripe_id = i.subscription
          JOIN entitlements e ON e.tenant_id = s.tenant_id AND e.source = s.subscription_id AND e.ends_at > now()
          WHERE i.tenant_id = tenant AND i.seats_after < s.seats
            AND (i.state = 'open' OR (i.state = 'done' AND i.resolved_at >= s.fetched_at))
          GROUP BY s.subscription_id) x (n) $$;

-- Seats as they stand, and when time alone will change something. The caller holds the tenant's row.
CREATE FUNCTION seats_follow(tenant uuid, why text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    had int;
    n int;
BEGIN
    SELECT seats_bought INTO had FROM tenants WHERE tenant_id = tenant;
    SELECT CASE WHEN bool_or(e.seats IS NULL) THEN NULL
                ELSE greatest(coalesce(sum(e.seats), 0) - seats_leaving(tenant), 0) END INTO n
        FROM entitlements e WHERE e.tenant_id = tenant AND e.starts_at <= now() AND e.ends_at > now();
    -- A personal tenant has its one person, who pays or not.
    IF had IS DISTINCT FROM n AND EXISTS (SELECT FROM tenants WHERE tenant_id = tenant AND kind = 'organisation') THEN
        UPDATE tenants SET seats_bought = n WHERE tenant_id = tenant;
        PERFORM audit(tenant, current_person(), 'tenant.seats_set', tenant::text, jsonb_build_object('from', had, 'to', n, 'why', why));
    END IF;
    INSERT INTO billing_accounts AS a (tenant_id, next_change)
        SELECT tenant, min(x.at) FROM entitlements e, LATERAL (VALUES (e.starts_at), (e.ends_at)) x (at)
            WHERE e.tenant_id = tenant AND x.at > now() AND x.at < 'infinity'
        ON CONFLICT (tenant_id) DO UPDATE SET next_change = EXCLUDED.next_change
            WHERE a.next_change IS DISTINCT FROM EXCLUDED.next_change;
END $$;

CREATE FUNCTION entitlements_wanted(tenant uuid) RETURNS TABLE (source uuid, modalities text[], seats int, starts_at timestamptz,
                                                                ends_at timestamptz) LANGUAGE sql STABLE AS $$
    SELECT g.grant_id, g.modalities, g.seats, g.starts_at, g.ends_at FROM grants g WHERE g.tenant_id = tenant AND g.revoked_at IS NULL
    UNION ALL
    SELECT s.subscription_id, CASE WHEN y.known THEN p.modalities ELSE e.modalities END,
           CASE WHEN y.known THEN s.seats ELSE least(e.seats, s.seats) END,
           least(s.started_at, now()), -- Stripe's clock may be ahead of ours
           x.until
    FROM subscriptions s JOIN plans p USING (plan)
    LEFT JOIN entitlements e ON e.tenant_id = s.tenant_id AND e.source = s.subscription_id,
         LATERAL (SELECT subscription_good_until(s, p.grace_days, e.ends_at)) x (until),
         LATERAL (SELECT s.status IN ('active', 'trialing', 'past_due')) y (known)
    WHERE s.tenant_id = tenant AND x.until IS NOT NULL $$;

CREATE FUNCTION entitlements_follow(tenant uuid, why text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_tenant(tenant);
    INSERT INTO entitlements AS e (tenant_id, source, modalities, seats, starts_at, ends_at)
        SELECT tenant, w.* FROM entitlements_wanted(tenant) w
        ON CONFLICT (tenant_id, source) DO UPDATE
            SET modalities = EXCLUDED.modalities, seats = EXCLUDED.seats, starts_at = EXCLUDED.starts_at, ends_at = EXCLUDED.ends_at
            WHERE (e.modalities, e.seats, e.starts_at, e.ends_at)
                  IS DISTINCT FROM (EXCLUDED.modalities, EXCLUDED.seats, EXCLUDED.starts_at, EXCLUDED.ends_at);
    DELETE FROM entitlements e WHERE e.tenant_id = tenant
        AND NOT EXISTS (SELECT FROM entitlements_wanted(tenant) w WHERE w.source = e.source);
    PERFORM seats_follow(tenant, why);
END $$;

-- For the periodic job: what began or ended by itself. How many tenants it were.
-- And: trials are forgotten.
CREATE FUNCTION billing_tick(most int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    tenant uuid;
    n int := 0;
BEGIN
    FOR tenant IN SELECT a.tenant_id FROM billing_accounts a WHERE a.next_change <= now() ORDER BY a.tenant_id LIMIT most LOOP
        PERFORM lock_tenant(tenant);
        PERFORM seats_follow(tenant, 'time');
        n := n + 1;
    END LOOP;
    UPDATE stripe_events SET raw = NULL
        WHERE event IN (SELECT x.event FROM stripe_events x WHERE x.raw IS NOT NULL AND x.taken_at < now() - interval '60 days'
                                                              AND x.state IN ('done', 'foreign', 'ignored') LIMIT 1000);
    DELETE FROM stripe_locks WHERE object IN (SELECT x.object FROM stripe_locks x
        WHERE x.fetched_at < now() - interval '60 days' AND (x.until IS NULL OR x.until < now()) FOR UPDATE SKIP LOCKED); -- tenants are locked here
    DELETE FROM trial_uses WHERE (audience, key_hash) IN (SELECT u.audience, u.key_hash FROM trial_uses u
        WHERE u.used_at < now() - interval '3 years' LIMIT 1000 FOR UPDATE SKIP LOCKED);
    RETURN n;
END $$;

-- Grants -----------------------------------------------------------------------------------------------------------

CREATE FUNCTION grant_open(tenant uuid, new_kind text, of_modalities text[], n int, from_when timestamptz, until_when timestamptz, why text)
RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    made uuid := gen_random_uuid();
BEGIN
    PERFORM lock_tenant(tenant);
    INSERT INTO grants (tenant_id, grant_id, kind, modalities, seats, starts_at, ends_at, reason)
        VALUES (tenant, made, new_kind, of_modalities, n, coalesce(from_when, now()), coalesce(until_when, 'infinity'), why);
    INSERT INTO billing_facts (tenant_id, kind, source, cause, object)
        SELECT tenant, 'grant', made::text, 'operator', to_jsonb(g) - 'tenant_id' FROM grants g WHERE g.tenant_id = tenant AND g.grant_id = made;
    PERFORM audit(tenant, current_person(), 'subscription.granted', made::text,
                  jsonb_build_object('modalities', of_modalities, 'seats', n, 'from', from_when, 'until', until_when, 'reason', why));
    PERFORM entitlements_follow(tenant, why);
    RETURN made;
END $$;

-- False: there is none that runs.
CREATE FUNCTION grant_end(tenant uuid, which uuid, why text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_tenant(tenant);
    UPDATE grants g SET revoked_at = now() WHERE g.tenant_id = tenant AND g.grant_id = which AND g.revoked_at IS NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO billing_facts (tenant_id, kind, source, cause, object)
        VALUES (tenant, 'grant_ended', which::text, 'operator', jsonb_build_object('reason', why));
    PERFORM audit(tenant, current_person(), 'subscription.grant_ended', which::text, jsonb_build_object('reason', why));
    PERFORM entitlements_follow(tenant, why);
    RETURN true;
END $$;

-- The operator's plain contract with a tenant, whose terms are replaced as a whole.
CREATE FUNCTION contract_set(tenant uuid, n int, until_when timestamptz, why text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    g grants;
BEGIN
    PERFORM lock_tenant(tenant);
    SELECT * INTO g FROM grants x WHERE x.tenant_id = tenant AND x.kind = 'contract' AND x.revoked_at IS NULL;
    IF FOUND AND g.seats IS NOT DISTINCT FROM n AND g.ends_at = until_when THEN
        RETURN;
    ELSIF FOUND THEN
        UPDATE grants x SET revoked_at = now() WHERE x.tenant_id = tenant AND x.grant_id = g.grant_id;
        INSERT INTO billing_facts (tenant_id, kind, source, cause, object)
            VALUES (tenant, 'grant_ended', g.grant_id::text, 'operator', jsonb_build_object('reason', why));
    END IF;
    PERFORM grant_open(tenant, 'contract', NULL, n, coalesce(g.starts_at, now()), until_when, why);
END $$;

CREATE OR REPLACE FUNCTION tenant_seats_set(tenant uuid, n int, why text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants := lock_tenant(tenant);
    taken int := seats_taken(t);
BEGIN
    PERFORM contract_set(tenant, n, coalesce((SELECT g.ends_at FROM grants g WHERE g.tenant_id = tenant AND g.kind = 'contract'
                                                                              AND g.revoked_at IS NULL), 'infinity'), why);
    SELECT * INTO t FROM tenants WHERE tenant_id = tenant;
    IF t.seats_bought < taken THEN
        PERFORM refuse(409, 'seats_in_use', format('%s seats are in use or held by invitations: take people out first.', taken),
                       '/seats');
    END IF;
END $$;

-- As an operator makes a tenant, or changes the terms that are named. NULL: the slug is of another kind. access: NULL as it is,
-- at first without end.
CREATE FUNCTION tenant_put(made uuid, of_kind text, of_slug text, of_name text, access timestamptz, idle interval, absolute interval)
RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    t tenants;
    g grants;
BEGIN
    INSERT INTO tenants AS x (tenant_id, kind, slug, name, session_idle, session_absolute)
        VALUES (made, of_kind, of_slug, of_name, coalesce(idle, '30 minutes'), coalesce(absolute, '12 hours'))
        ON CONFLICT (slug) DO UPDATE SET name = EXCLUDED.name, session_idle = coalesce(idle, x.session_idle),
                                         session_absolute = coalesce(absolute, x.session_absolute)
        WHERE x.kind = EXCLUDED.kind RETURNING * INTO t;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT * INTO g FROM grants x WHERE x.tenant_id = t.tenant_id AND x.kind = 'contract' AND x.revoked_at IS NULL;
    IF t.tenant_id = made OR access IS NOT NULL THEN
        PERFORM contract_set(t.tenant_id, g.seats, coalesce(access, 'infinity'), 'operator');
    END IF;
    RETURN t.tenant_id;
END $$;

-- Every tenant that operators made so far has its contract; so do those who signed up when nothing was sold.
INSERT INTO grants (tenant_id, grant_id, kind, seats, starts_at, ends_at, reason)
    SELECT tenant_id, gen_random_uuid(), 'contract', seats_bought, created_at, coalesce(access_until, 'infinity'), 'before billing' FROM tenants;
INSERT INTO billing_facts (tenant_id, kind, source, cause, object)
    SELECT tenant_id, 'grant', grant_id::text, 'operator', to_jsonb(g) - 'tenant_id' FROM grants g;
SELECT entitlements_follow(tenant_id, 'before billing') FROM tenants;
ALTER TABLE tenants DROP COLUMN access_until;

-- As in 0009, and: `access`, may anything be opened now; access_until, the latest end of what is there, NULL: without end or none.
CREATE OR REPLACE FUNCTION tenant_json() RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT json_build_object('id', tenant_id, 'kind', kind, 'slug', slug, 'name', name,
                'access', x.good OR (t.kind = 'individual' AND NOT sells_to_individuals()), 'access_until', x.until,
                'session_idle_seconds', extract(epoch FROM session_idle)::int,
                'session_absolute_seconds', extract(epoch FROM session_absolute)::int,
                'second_factor', second_factor, 'password_sign_in', password_sign_in, 'domains', to_json(domains),
                'invitations_hold_seats', invitations_hold_seats,
                'members', (SELECT count(*) FROM memberships m WHERE m.tenant_id = t.tenant_id AND is_active(m)),
                'seats', json_build_object('bought', seats_bought, 'used', seats_used(tenant_id), 'invited', seats_invited(tenant_id)))
            FROM tenants t, LATERAL (
                SELECT coalesce(bool_or(e.starts_at <= now() AND e.ends_at > now()), false), nullif(max(e.ends_at), 'infinity')
                FROM entitlements e WHERE e.tenant_id = t.tenant_id) x (good, until)
            WHERE tenant_id = current_tenant());
END $$;

-- A trust signs up: whoever has a proven address makes it, and is its administrator. It has no seat until it buys some.
CREATE FUNCTION organisation_create(made uuid, new_slug text, new_name text, key text, body_sha256 text) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    was uuid;
BEGIN
    PERFORM need_session();
    was := idempotent(key, body_sha256, made);
    IF was IS NULL THEN
        PERFORM FROM people p WHERE p.person_id = current_person() FOR NO KEY UPDATE;
        IF NOT EXISTS (SELECT FROM plans WHERE audience = 'organisation' AND on_sale) THEN
            PERFORM refuse(409, 'not_on_sale', 'Nothing is sold to organisations here: ask who runs this service.');
        ELSIF NOT EXISTS (SELECT FROM people p WHERE p.person_id = current_person() AND p.email_verified_at IS NOT NULL) THEN
            PERFORM refuse(403, 'address_unproven', 'Prove your e-mail address first.');
        ELSIF (SELECT count(*) FROM audit_log a JOIN memberships m ON m.tenant_id = a.tenant_id AND m.person_id = current_person()
               WHERE a.action = 'organisation.created' AND a.person_id = current_person()) >= 5 THEN
            PERFORM refuse(409, 'too_many_organisations', 'You have made five organisations: ask who runs this service for more.');
        ELSIF EXISTS (SELECT FROM sessions s WHERE s.tenant_id = current_tenant() AND s.session_id = current_session_id()
                                               AND 'single_sign_on' = ANY (s.methods)) THEN
            -- Such a session is good in its own tenant: what it makes elsewhere would be its sign-on service's.
            PERFORM refuse(403, 'sign_in_there', 'You came through single sign-on, which counts in its own tenant only: sign in with a password.');
        END IF;
        INSERT INTO tenants (tenant_id, kind, slug, name, seats_bought) VALUES (made, 'organisation', new_slug, new_name, 0)
            ON CONFLICT (slug) DO NOTHING;
        IF NOT FOUND THEN
            PERFORM refuse(409, 'slug_taken', 'This short name is taken.', '/slug');
        END IF;
        INSERT INTO memberships (tenant_id, person_id, roles) VALUES (made, current_person(), '{administrator}');
        PERFORM audit(made, current_person(), 'organisation.created', made::text);
    END IF;
    RETURN (SELECT json_build_object('id', t.tenant_id, 'kind', t.kind, 'slug', t.slug, 'name', t.name, 'roles', to_json(m.roles))
            FROM tenants t JOIN memberships m USING (tenant_id)
            WHERE t.tenant_id = coalesce(was, made) AND m.person_id = current_person());
END $$;
GRANT EXECUTE ON FUNCTION organisation_create, may_open, entitled, sells_to_individuals, billing_tick TO overread_app;

-- For the operator's command line -------------------------------------------------------------------------------------

-- As `overread plan apply` found it at Stripe: p is what operator.sql's operator_plans tells, with the prices that are on sale. Others
-- of its prices are no longer sold, and stay, for those who have them. Who has the plan gets its new terms.
CREATE FUNCTION plan_store(p jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    of_plan text := p->>'plan';
    named text[] := CASE jsonb_typeof(p->'modalities') WHEN 'array' THEN ARRAY(SELECT jsonb_array_elements_text(p->'modalities')) END;
BEGIN
    INSERT INTO plans AS x (plan, title, description, audience, modalities, trial_days, trial_with_card, grace_days, product, on_sale, place)
        VALUES (of_plan, p->>'title', p->>'description', p->>'audience', named, (p->>'trial_days')::int, (p->>'trial_with_card')::boolean,
                (p->>'grace_days')::int, p->>'product', true, (p->>'place')::int)
        ON CONFLICT (plan) DO UPDATE SET title = EXCLUDED.title, description = EXCLUDED.description, modalities = EXCLUDED.modalities,
            trial_days = EXCLUDED.trial_days, trial_with_card = EXCLUDED.trial_with_card, grace_days = EXCLUDED.grace_days,
            product = EXCLUDED.product, on_sale = true, place = EXCLUDED.place;
    UPDATE plan_prices x SET on_sale = false
        WHERE x.plan = of_plan AND x.on_sale AND NOT EXISTS (SELECT FROM jsonb_array_elements(p->'prices') y WHERE y->>'price' = x.price);
    INSERT INTO plan_prices AS x (price, plan, period, currency, amount)
        SELECT y->>'price', of_plan, y->>'period', y->>'currency', (y->>'amount')::bigint FROM jsonb_array_elements(p->'prices') y
        ON CONFLICT (price) DO UPDATE SET on_sale = true WHERE NOT x.on_sale;
    PERFORM entitlements_follow(s.tenant_id, 'plan ' || of_plan)
        FROM (SELECT DISTINCT y.tenant_id FROM subscriptions y WHERE y.plan = of_plan AND y.ended_at IS NULL ORDER BY y.tenant_id) s;
END $$;

-- Nobody can buy it any more; subscriptions go on.
CREATE FUNCTION plan_retire(which text) RETURNS void LANGUAGE sql AS $$
    UPDATE plan_prices SET on_sale = false WHERE plan = which AND on_sale;
    UPDATE plans SET on_sale = false WHERE plan = which AND on_sale $$;

CREATE FUNCTION tenant_by_slug(of_slug text) RETURNS uuid LANGUAGE plpgsql STABLE AS $$
DECLARE
    found_id uuid;
BEGIN
    SELECT tenant_id INTO found_id FROM tenants WHERE slug = of_slug;
    IF NOT FOUND THEN
        PERFORM refuse(404, 'tenant_not_found', format('There is no tenant with the slug %s.', of_slug), 'tenant');
    END IF;
    RETURN found_id;
END $$;

CREATE FUNCTION operator_grant(of_slug text, of_modalities text[], n int, from_when timestamptz, until_when timestamptz, why text)
RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    t tenants := lock_tenant(tenant_by_slug(of_slug));
    unknown text;
BEGIN
    SELECT m INTO unknown FROM unnest(of_modalities) m WHERE NOT EXISTS (SELECT FROM modalities x WHERE x.modality = m) LIMIT 1;
    IF FOUND OR cardinality(of_modalities) = 0 THEN
        PERFORM refuse(422, 'modality_not_found', format('There is no modality "%s".', unknown), 'modalities');
    ELSIF t.kind = 'individual' AND n IS NOT NULL THEN
        PERFORM refuse(422, 'out_of_range', 'An individual has no seats.', 'seats');
    ELSIF until_when <= coalesce(from_when, now()) OR until_when <= now() THEN
        PERFORM refuse(422, 'out_of_range', 'It would end before it begins, or has ended.', 'until');
    END IF;
    RETURN grant_open(t.tenant_id, 'grant', of_modalities, n, from_when, until_when, why);
END $$;

-- What a tenant is offered. The price list's amount counts at the moment of acceptance when the quote says none.
CREATE FUNCTION operator_quote(made uuid, of_slug text, of_plan text, of_period text, of_currency text, n int, of_amount bigint, due int,
                               good_days int, words text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    t tenants := lock_tenant(tenant_by_slug(of_slug));
    p plans;
BEGIN
    SELECT * INTO p FROM plans x WHERE x.plan = of_plan;
    IF NOT FOUND THEN
        PERFORM refuse(422, 'plan_not_found', format('There is no plan %s.', of_plan), 'plan');
    ELSIF p.audience <> t.kind THEN
        PERFORM refuse(422, 'plan_not_for_them', format('The plan %s is for: %s.', of_plan, p.audience), 'plan');
    ELSIF of_amount IS NULL AND NOT EXISTS (SELECT FROM plan_prices x WHERE x.plan = of_plan AND x.period = of_period
                                                                       AND x.currency = of_currency AND x.on_sale) THEN
        PERFORM refuse(422, 'price_not_found', 'The price list has none for this plan, period and currency: say the amount.', 'amount');
    END IF;
    INSERT INTO quotes (tenant_id, quote_id, plan, period, currency, amount, seats, days_until_due, note, valid_until)
        VALUES (t.tenant_id, made, of_plan, of_period, of_currency, of_amount, n, due, words, now() + good_days * interval '1 day');
    PERFORM audit(t.tenant_id, NULL, 'quote.created', made::text, jsonb_build_object('plan', of_plan, 'period', of_period,
                  'currency', of_currency, 'seats', n, 'amount', of_amount, 'days_until_due', due));
END $$;

CREATE FUNCTION operator_quote_withdraw(of_slug text, which uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    t tenants := lock_tenant(tenant_by_slug(of_slug));
    q quotes;
BEGIN
    SELECT * INTO q FROM quotes x WHERE x.tenant_id = t.tenant_id AND x.quote_id = which FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM refuse(404, 'quote_not_found', 'This tenant has no such quote.', 'quote');
    ELSIF q.accepted_at IS NOT NULL THEN
        PERFORM refuse(409, 'quote_accepted', 'This quote has been accepted.', 'quote');
    ELSIF q.withdrawn_at IS NULL THEN
        UPDATE quotes x SET withdrawn_at = now() WHERE x.tenant_id = t.tenant_id AND x.quote_id = which;
        PERFORM audit(t.tenant_id, NULL, 'quote.withdrawn', which::text);
    END IF;
END $$;

-- What goes by the clock is due now: Stripe's list of events, and that of all subscriptions.
CREATE FUNCTION billing_sync() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO jobs AS j (id, kind, key, payload)
        SELECT gen_random_uuid(), k, 'periodic', '{}' FROM unnest(ARRAY['stripe_nightly', 'stripe_reconcile']) k
        ON CONFLICT (kind, key) DO UPDATE SET run_after = now(), dead_at = NULL, attempts = 0;
    NOTIFY overread_jobs;
END $$;
