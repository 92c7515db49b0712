-- Ends of billing: who has erased the account pays no more, whichever came first; a request that needed none is remembered; lists
-- are read to their end; disputes are seen.

-- Who has erased the account ----------------------------------------------------------------------------------------

-- A personal tenant whose person is gone for good.
CREATE FUNCTION pays_no_more(tenant uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (SELECT FROM tenants t JOIN memberships m USING (tenant_id) JOIN erasures e USING (person_id)
                   WHERE t.tenant_id = tenant AND t.kind = 'individual');
END $$;

-- what: 'subscription' or 'session', a page to pay at; which: Stripe's id. A job that has it in hand may have looked before this: it is
-- done again, a little later.
CREATE FUNCTION billing_end_queue(tenant uuid, what text, which text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO jobs AS j (id, tenant_id, kind, key, payload)
        VALUES (gen_random_uuid(), tenant, 'billing_end', which, jsonb_build_object(what, which))
        ON CONFLICT (kind, key) DO UPDATE SET run_after = now() + interval '10 seconds', attempts = 0, dead_at = NULL, lease = NULL,
                                              lease_until = NULL
        WHERE j.lease IS NOT NULL OR j.dead_at IS NOT NULL $$;

-- What such a tenant could still be charged for.
CREATE FUNCTION billing_end_all(person uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM billing_end_queue(m.tenant_id, x.what, x.which)
        FROM memberships m JOIN tenants t ON t.tenant_id = m.tenant_id AND t.kind = 'individual', LATERAL (
            SELECT 'subscription', s.stripe_id FROM subscriptions s WHERE s.tenant_id = m.tenant_id AND s.ended_at IS NULL
            UNION -- paid for, and not fetched yet
            SELECT 'subscription', c.subscription FROM checkouts c
                WHERE c.tenant_id = m.tenant_id AND NOT EXISTS (SELECT FROM subscriptions s WHERE s.stripe_id = c.subscription)
            UNION
            SELECT 'session', c.session FROM checkouts c WHERE c.tenant_id = m.tenant_id AND c.state = 'open') x (what, which)
        WHERE m.person_id = person AND x.which IS NOT NULL;
END $$;

SELECT billing_end_all(e.person_id) FROM erasures e;

-- As in 0023, and: a page to pay at that comes to be behind the erasure of the account is closed, and the request is forgotten. And
-- `heard`, not the end of the work on it, is when the intent was resolved (NULL: now). Its job fetches what came of it before it says
-- so; what that fetch brought is not to be taken for what was there before (seats_leaving).
DROP FUNCTION intent_resolve(uuid, uuid, text, jsonb, int, text, text);
CREATE FUNCTION intent_resolve(tenant uuid, which uuid, new_state text, answer jsonb, http_status int, why text, words text,
                                          heard timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    i billing_intents;
    gone boolean;
BEGIN
    PERFORM lock_tenant(tenant);
    gone := EXISTS (SELECT FROM erasures e JOIN billing_intents x USING (person_id) WHERE x.tenant_id = tenant AND x.intent_id = which);
    UPDATE billing_intents x SET state = new_state, resolved_at = coalesce(heard, now()), result = answer->>'id', status = http_status, code = why,
            detail = CASE WHEN NOT gone THEN left(words, 500) END, body = CASE WHEN gone THEN '' ELSE x.body END
        WHERE x.tenant_id = tenant AND x.intent_id = which AND x.state = 'open' RETURNING * INTO i;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    DELETE FROM jobs j WHERE j.kind = 'billing_intent' AND j.key = which::text;
    IF new_state = 'failed' THEN
        UPDATE quotes q SET accepted_at = NULL, intent_id = NULL WHERE q.tenant_id = tenant AND q.intent_id = which;
        PERFORM audit(tenant, i.person_id, 'billing.failed', which::text, jsonb_build_object('code', why));
    ELSIF i.kind = 'customer' THEN
        INSERT INTO billing_accounts AS a (tenant_id, customer) VALUES (tenant, answer->>'id')
            ON CONFLICT (tenant_id) DO UPDATE SET customer = EXCLUDED.customer, customer_gone = false WHERE a.customer IS NULL;
    ELSIF i.kind = 'checkout' THEN
        INSERT INTO checkouts (tenant_id, checkout_id, session, url, terms, state, expires_at)
            VALUES (tenant, which, answer->>'id', coalesce(answer->>'url', ''), i.terms,
                    CASE WHEN answer->>'status' IN ('complete', 'expired') THEN answer->>'status' ELSE 'open' END,
                    coalesce(unix(answer->'expires_at'), now() + interval '24 hours'))
            ON CONFLICT DO NOTHING;
        IF answer->>'status' IS DISTINCT FROM 'expired' AND pays_no_more(tenant) THEN
            PERFORM billing_end_queue(tenant, 'session', answer->>'id');
        END IF;
    ELSIF i.kind = 'checkout_expire' THEN
        UPDATE checkouts c SET state = 'expired' WHERE c.tenant_id = tenant AND c.session = answer->>'id' AND c.state = 'open';
    END IF;
    PERFORM seats_follow(tenant, which::text);
END $$;
GRANT EXECUTE ON FUNCTION intent_resolve TO overread_app;

-- Requests that are repeated ----------------------------------------------------------------------------------------

-- A request that asked for what there was: its key stands for a checkout (by its intent) or a subscription.
CREATE FUNCTION request_remember(key text, sha256 text, resource uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM need_payer();
    PERFORM idempotent(key, sha256, resource);
END $$;

-- As intent_repeated, or the subscription that the request left as it was.
CREATE FUNCTION request_repeated(key text, sha256 text, OUT intent uuid, OUT subscription uuid)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    SELECT s.subscription_id INTO subscription
        FROM idempotency_keys k JOIN subscriptions s ON s.tenant_id = k.tenant_id AND s.subscription_id = k.resource
        WHERE k.tenant_id = current_tenant() AND k.person_id = current_person() AND k.key = request_repeated.key
          AND k.body_sha256 = sha256;
    IF FOUND THEN
        PERFORM need_payer();
    ELSE
        intent := intent_repeated(key, sha256);
    END IF;
END $$;

-- Stripe's lists ----------------------------------------------------------------------------------------------------

-- Where the reading of a list goes on that is not through. begun: when it began; what came since is not in it.
CREATE TABLE stripe_positions (
    list  text PRIMARY KEY CHECK (list IN ('events', 'subscriptions')),
    after text NOT NULL,                       -- Stripe's id of the last that was read
    begun timestamptz NOT NULL
);

CREATE FUNCTION stripe_position_get(of_list text, OUT after text, OUT begun bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS
$$ SELECT p.after, extract(epoch FROM p.begun)::bigint FROM stripe_positions p WHERE p.list = of_list $$;

-- last NULL: it is through.
CREATE FUNCTION stripe_position_set(of_list text, last text, since bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF last IS NULL THEN
        DELETE FROM stripe_positions p WHERE p.list = of_list;
    ELSE
        INSERT INTO stripe_positions AS p (list, after, begun) VALUES (of_list, last, to_timestamp(since))
            ON CONFLICT (list) DO UPDATE SET after = EXCLUDED.after, begun = EXCLUDED.begun;
    END IF;
END $$;

-- Disputes ----------------------------------------------------------------------------------------------------------

-- Of payments to us, as Stripe told last. They change nothing by themselves: an operator decides.
CREATE TABLE disputes (
    tenant_id    uuid NOT NULL REFERENCES tenants,
    dispute      text NOT NULL,                -- Stripe's ids
    subscription text,
    status       text NOT NULL,
    reason       text,
    amount       bigint,                       -- minor units
    currency     text,
    told_at      timestamptz NOT NULL,         -- when it happened, at Stripe
    PRIMARY KEY (tenant_id, dispute)
);

CREATE FUNCTION dispute_is_over(status text) RETURNS boolean LANGUAGE sql IMMUTABLE AS
$$ SELECT status IN ('won', 'lost', 'warning_closed', 'prevented') $$;

-- Needs a look: open, or lost within thirty days.
CREATE FUNCTION dispute_needs_look(d disputes) RETURNS boolean LANGUAGE sql STABLE AS
$$ SELECT NOT dispute_is_over(d.status) OR (d.status = 'lost' AND d.told_at > now() - interval '30 days') $$;

-- False: it is nobody's here. Events come in any order; the latest word counts.
CREATE FUNCTION dispute_told(customer text, of_subscription text, d jsonb, happened bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    tenant uuid := coalesce(tenant_of_customer(customer), (SELECT s.tenant_id FROM subscriptions s WHERE s.stripe_id = of_subscription));
BEGIN
    IF tenant IS NULL THEN
        RETURN false;
    END IF;
    INSERT INTO disputes AS x (tenant_id, dispute, subscription, status, reason, amount, currency, told_at)
        VALUES (tenant, d->>'id', of_subscription, coalesce(d->>'status', 'unknown'), d->>'reason', (d->>'amount')::bigint, d->>'currency',
                to_timestamp(happened))
        ON CONFLICT (tenant_id, dispute) DO UPDATE SET status = EXCLUDED.status, reason = EXCLUDED.reason, amount = EXCLUDED.amount,
                                                       currency = EXCLUDED.currency, told_at = EXCLUDED.told_at
        WHERE (x.told_at, dispute_is_over(x.status)) <= (EXCLUDED.told_at, dispute_is_over(EXCLUDED.status));
    RETURN true;
END $$;

CREATE INDEX disputes_dispute ON disputes (dispute);

SELECT guard_table(t) FROM unnest(ARRAY['stripe_positions', 'disputes']::regclass[]) t;
-- Reached by no policy, only through functions.

-- What Stripe names of a tenant's: one of these stands in every event of it.
CREATE FUNCTION stripe_names(tenant uuid) RETURNS SETOF text LANGUAGE sql STABLE AS $$
    SELECT a.customer FROM billing_accounts a WHERE a.tenant_id = tenant AND a.customer IS NOT NULL
    UNION SELECT s.stripe_id FROM subscriptions s WHERE s.tenant_id = tenant
    UNION SELECT d.dispute FROM disputes d WHERE d.tenant_id = tenant $$;

-- As in 0023, and: what is told of a tenant that pays no more is not kept. Its row is held, as the erasure holds it: either the erasure
-- finds the event settled, or is seen here.
CREATE OR REPLACE FUNCTION stripe_event_settle(which text, new_state text, words text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    o jsonb := (SELECT x.raw::jsonb->'data'->'object' FROM stripe_events x WHERE x.event = which);
    tenant uuid := coalesce(tenant_of_customer(stripe_id(o->'customer')), tenant_of_customer(o->>'id'),
                            (SELECT s.tenant_id FROM subscriptions s WHERE s.stripe_id = o->>'id'),
                            (SELECT d.tenant_id FROM disputes d WHERE d.dispute = o->>'id' LIMIT 1));
    forget boolean := false;
BEGIN
    PERFORM FROM tenants t WHERE t.tenant_id = tenant AND t.kind = 'individual' FOR SHARE;
    IF FOUND THEN
        forget := pays_no_more(tenant);
    END IF;
    UPDATE stripe_events x SET state = new_state, note = left(words, 500), done_at = now(), raw = CASE WHEN NOT forget THEN x.raw END
        WHERE x.event = which AND x.state NOT IN ('done', 'quarantined', 'foreign', 'ignored');
END $$;

-- For the operator --------------------------------------------------------------------------------------------------

-- Jobs of ours that have given up, or that never do and fail again and again. What a request asked for is listed by itself.
CREATE FUNCTION billing_jobs_stuck() RETURNS SETOF jobs LANGUAGE sql STABLE AS $$
    SELECT j.* FROM jobs j
    WHERE (j.dead_at IS NOT NULL OR (j.attempts > 10 AND j.last_error IS NOT NULL))
      AND (j.kind IN ('stripe_event', 'stripe_sync', 'stripe_reconcile', 'stripe_nightly', 'billing_end')
           OR (j.kind = 'billing_intent' AND j.dead_at IS NOT NULL)) $$;

CREATE INDEX jobs_stuck ON jobs (kind) WHERE dead_at IS NOT NULL OR (attempts > 10 AND last_error IS NOT NULL);

-- As in 0023, and: disputes; jobs that fail again and again.
CREATE OR REPLACE FUNCTION billing_stuck() RETURNS TABLE (line text) LANGUAGE sql STABLE AS $$
    SELECT json_build_object('what', 'event', 'id', e.event, 'type', e.type, 'state', e.state, 'note', e.note, 'taken_at', e.taken_at)::text
    FROM stripe_events e WHERE e.state = 'quarantined'
    UNION ALL
    SELECT json_build_object('what', CASE WHEN j.dead_at IS NULL THEN 'failing' ELSE 'dead' END, 'id', j.key, 'kind', j.kind,
                             'error', j.last_error, 'attempts', j.attempts, 'dead_at', j.dead_at)::text
    FROM billing_jobs_stuck() j
    UNION ALL
    SELECT json_build_object('what', 'intent', 'id', i.intent_id, 'tenant', i.tenant_id, 'kind', i.kind, 'attempts', i.attempts,
                             'created_at', i.created_at)::text
    FROM billing_intents i WHERE i.state = 'open'
    UNION ALL
    SELECT json_build_object('what', 'dispute', 'id', d.dispute, 'note', 'dispute', 'tenant', d.tenant_id, 'subscription', d.subscription,
                             'status', d.status, 'reason', d.reason, 'amount', d.amount, 'currency', d.currency, 'told_at', d.told_at)::text
    FROM disputes d WHERE dispute_needs_look(d) $$;

-- As in 0023, and: jobs that fail again and again, which else would pause longer and longer.
CREATE OR REPLACE FUNCTION billing_retry(which text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    n int;
    m int;
BEGIN
    WITH again AS (UPDATE stripe_events e SET state = 'queued', note = 'retried', done_at = NULL
                   WHERE e.state = 'quarantined' AND e.raw IS NOT NULL AND (which IS NULL OR e.event = which) RETURNING e.event)
    INSERT INTO jobs (id, kind, key, payload)
        SELECT gen_random_uuid(), 'stripe_event', a.event, jsonb_build_object('event', a.event) FROM again a ON CONFLICT (kind, key) DO NOTHING;
    GET DIAGNOSTICS n = ROW_COUNT;
    UPDATE jobs j SET dead_at = NULL, attempts = 0, run_after = now(), lease = NULL, lease_until = NULL
        WHERE (j.id IN (SELECT x.id FROM billing_jobs_stuck() x WHERE x.dead_at IS NOT NULL OR x.lease IS NULL)
               OR (j.kind = 'billing_intent' AND j.lease IS NULL)) AND (which IS NULL OR j.key = which);
    GET DIAGNOSTICS m = ROW_COUNT;
    NOTIFY overread_jobs;
    RETURN n + m;
END $$;

-- How many of these there are, for /metrics. A request is open for some seconds; one that is so for ten minutes is stuck.
CREATE FUNCTION billing_counts(OUT dead bigint, OUT quarantined bigint, OUT open bigint, OUT disputes bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT (SELECT count(*) FROM billing_jobs_stuck()),
           (SELECT count(*) FROM stripe_events e WHERE e.state = 'quarantined'),
           (SELECT count(*) FROM billing_intents i WHERE i.state = 'open' AND i.created_at < now() - interval '10 minutes'),
           (SELECT count(*) FROM disputes d WHERE dispute_needs_look(d)) $$;

GRANT EXECUTE ON FUNCTION request_remember, request_repeated, stripe_position_get, stripe_position_set, dispute_told, billing_counts
    TO overread_app;
