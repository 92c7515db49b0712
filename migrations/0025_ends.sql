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

-- As in 0023, and: what is paid for, or can still be, and is not here as a subscription yet; Stripe's words on a request, which may
-- repeat an address; events that name what was bought or disputed, and not the customer. Who stores one (subscription_store,
-- intent_resolve) holds the tenant's row, as is done here: either it is there to be seen by now, or it will see the erasure.
CREATE OR REPLACE FUNCTION erased_pays_no_more() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM tenants t JOIN memberships m USING (tenant_id) WHERE m.person_id = NEW.person_id
        ORDER BY t.tenant_id FOR NO KEY UPDATE OF t;
    UPDATE billing_intents i SET body = '', detail = NULL WHERE i.person_id = NEW.person_id AND i.state <> 'open';
    UPDATE stripe_events e SET raw = NULL
        FROM memberships m JOIN tenants t ON t.tenant_id = m.tenant_id AND t.kind = 'individual'
        CROSS JOIN LATERAL stripe_names(m.tenant_id) n (name)
        WHERE m.person_id = NEW.person_id AND e.state <> 'queued' AND position(n.name IN e.raw) > 0;
    PERFORM billing_end_all(NEW.person_id);
    RETURN NULL;
END $$;
SELECT billing_end_all(e.person_id) FROM erasures e;

-- As in 0023, and: what is stored of who has erased the account is ended; a mail names an end, or is not sent.
CREATE OR REPLACE FUNCTION subscription_store(which text, by_whom uuid, o jsonb, why text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    l stripe_locks;
    tenant uuid;
    was subscriptions;
    s subscriptions;
    item jsonb;
    known boolean;
    good_until timestamptz;
BEGIN
    SELECT * INTO l FROM stripe_locks WHERE object = which FOR UPDATE;
    IF l.holder IS DISTINCT FROM by_whom THEN
        PERFORM refuse(409, 'lock_lost', 'Somebody else fetches this subscription now.');
    END IF;
    UPDATE stripe_locks SET holder = NULL, until = NULL, fetched_at = begun_at WHERE object = which;
    SELECT x.tenant_id INTO tenant FROM subscriptions x WHERE x.stripe_id = which;
    tenant := coalesce(tenant, tenant_of_customer(stripe_id(o->'customer')));
    IF tenant IS NULL THEN
        RETURN 'foreign';
    END IF;
    PERFORM lock_tenant(tenant);
    SELECT * INTO was FROM subscriptions x WHERE x.tenant_id = tenant AND x.stripe_id = which;
    known := FOUND;
    IF o IS NULL THEN
        RETURN 'foreign'; -- of another mode or account by now; what was known runs out by itself
    END IF;
    -- The item that is ours; if somebody added more of the same plan, they count together.
    SELECT x.value INTO item FROM jsonb_array_elements(o->'items'->'data') WITH ORDINALITY x (value, place)
        ORDER BY (x.value->>'id' = was.item) IS TRUE DESC,
                 EXISTS (SELECT FROM plans p WHERE p.product = stripe_id(x.value->'price'->'product')) DESC, x.place LIMIT 1;
    s := was;
    s.tenant_id := tenant;
    s.subscription_id := coalesce(was.subscription_id, gen_random_uuid());
    s.stripe_id := which;
    s.plan := (SELECT p.plan FROM plans p WHERE p.product = stripe_id(item->'price'->'product'));
    s.status := o->>'status';
    s.seats := (SELECT sum(coalesce((x->>'quantity')::int, 1)) FROM jsonb_array_elements(o->'items'->'data') x
                WHERE stripe_id(x->'price'->'product') = stripe_id(item->'price'->'product'));
    s.price := item->'price'->>'id';
    s.amount := (item->'price'->>'unit_amount')::bigint;
    s.currency := coalesce(item->'price'->>'currency', o->>'currency');
    s.period := item->'price'->'recurring'->>'interval';
    s.item := item->>'id';
    s.collection := o->>'collection_method';
    s.days_until_due := (o->>'days_until_due')::int;
    s.purchase_order := (SELECT f->>'value' FROM jsonb_array_elements(CASE jsonb_typeof(o->'invoice_settings'->'custom_fields')
                             WHEN 'array' THEN o->'invoice_settings'->'custom_fields' ELSE '[]' END) f LIMIT 1);
    s.period_start := unix(item->'current_period_start');
    s.period_end := unix(item->'current_period_end');
    s.trial_end := unix(o->'trial_end');
    s.cancel_at_period_end := coalesce((o->>'cancel_at_period_end')::boolean, false);
    s.cancel_at := coalesce(unix(o->'cancel_at'), CASE WHEN s.cancel_at_period_end THEN s.period_end END);
    s.ended_at := unix(o->'ended_at');
    s.pending_update := jsonb_typeof(o->'pending_update') = 'object';
    s.past_due_since := CASE WHEN s.status = 'past_due' THEN coalesce(was.past_due_since, now()) END;
    s.latest_invoice := stripe_id(o->'latest_invoice');
    s.started_at := coalesce(unix(o->'start_date'), unix(o->'created'));
    s.fetched_at := l.begun_at;
    IF s.status IS NULL OR s.seats IS NULL OR s.price IS NULL OR s.currency IS NULL OR s.period IS NULL OR s.item IS NULL
       OR s.collection IS NULL OR s.period_start IS NULL OR s.period_end IS NULL OR s.started_at IS NULL OR s.pending_update IS NULL THEN
        PERFORM refuse(422, 'form_unknown', 'Stripe answered with a subscription of a form that is not known here.');
    END IF;
    IF NOT known THEN
        INSERT INTO subscriptions SELECT s.*;
    ELSE
        UPDATE subscriptions x SET (plan, status, seats, price, amount, currency, period, item, collection, days_until_due,
                purchase_order, period_start, period_end, trial_end, cancel_at, cancel_at_period_end, ended_at, pending_update,
                past_due_since, latest_invoice, started_at, fetched_at)
            = (s.plan, s.status, s.seats, s.price, s.amount, s.currency, s.period, s.item, s.collection, s.days_until_due,
                s.purchase_order, s.period_start, s.period_end, s.trial_end, s.cancel_at, s.cancel_at_period_end, s.ended_at,
                s.pending_update, s.past_due_since, s.latest_invoice, s.started_at, s.fetched_at)
            WHERE x.tenant_id = tenant AND x.subscription_id = s.subscription_id;
    END IF;
    UPDATE checkouts c SET state = 'complete', subscription = which
        WHERE c.tenant_id = tenant AND c.state = 'open' AND c.checkout_id::text = o->'metadata'->>'overread_intent';
    IF s.ended_at IS NULL AND s.status NOT IN ('canceled', 'incomplete_expired') AND pays_no_more(tenant) THEN
        PERFORM billing_end_queue(tenant, 'subscription', which);
    END IF;
    was.fetched_at := s.fetched_at;
    IF known AND s IS NOT DISTINCT FROM was THEN
        PERFORM seats_follow(tenant, which);
        RETURN 'same';
    END IF;
    INSERT INTO billing_facts (tenant_id, kind, source, cause, object) VALUES (tenant, 'subscription', which, why, o);
    UPDATE billing_accounts a SET currency = s.currency, trial_used_at = coalesce(a.trial_used_at, CASE WHEN s.trial_end IS NOT NULL THEN now() END)
        WHERE a.tenant_id = tenant;
    PERFORM entitlements_follow(tenant, which);
    PERFORM audit(tenant, NULL, 'subscription.changed', s.subscription_id::text,
                  jsonb_build_object('status', s.status, 'plan', s.plan, 'seats', s.seats, 'period_end', s.period_end, 'cancel_at', s.cancel_at));
    PERFORM webhook_emit(tenant, 'subscription.changed', to_jsonb(subscription_json(s)) - 'stripe');
    IF s.status = 'past_due' AND was.status IS DISTINCT FROM 'past_due' THEN
        SELECT e.ends_at INTO good_until FROM entitlements e WHERE e.tenant_id = tenant AND e.source = s.subscription_id;
        IF FOUND THEN -- what is not ours to sell gives nothing that could end
            PERFORM payers_mail(tenant, 'payment_late', jsonb_build_object('until', to_char(good_until AT TIME ZONE 'UTC', 'FMDD FMMonth YYYY')));
        END IF;
    END IF;
    RETURN 'stored';
END $$;

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
