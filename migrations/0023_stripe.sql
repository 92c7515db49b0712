-- Billing at Stripe: intents and what becomes of them, events, and the one way in for a fetched subscription.

CREATE FUNCTION unix(n jsonb) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN jsonb_typeof(n) = 'number' THEN to_timestamp((n #>> '{}')::numeric) END $$;

-- An id, whether the object stands there whole or by its name.
CREATE FUNCTION stripe_id(o jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE jsonb_typeof(o) WHEN 'string' THEN o #>> '{}' WHEN 'object' THEN o->>'id' END $$;

-- Who may pay: an organisation's administrator; whoever has a personal tenant.
CREATE FUNCTION need_payer() RETURNS tenants LANGUAGE plpgsql STABLE AS $$
DECLARE
    t tenants;
BEGIN
    SELECT * INTO t FROM tenants WHERE tenant_id = current_tenant();
    IF t.kind = 'organisation' AND NOT 'administrator' = ANY (current_roles()) THEN
        PERFORM refuse(403, 'role_required', 'Only these roles may do this: administrator.');
    END IF;
    RETURN t;
END $$;

-- As in 0008, and: requests of one person that make us ask Stripe.
CREATE OR REPLACE FUNCTION throttle_rule(kind text, OUT free int, OUT forget int, OUT first int, OUT most int)
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    SELECT r.free, r.forget, r.first, r.most INTO STRICT free, forget, first, most
    FROM (VALUES ('account',       5,  600,  1,  900), -- passwords tried on one account
                 ('second_factor', 5,  600,  1,  900), -- codes tried by one person
                 ('address',     100,   10,  1,  300), -- tried by one client: a whole hospital may stand behind it
                 ('tenant',     1000,    1,  1,   30), -- tried on one tenant
                 ('mail',          3,  600, 60, 3600), -- mails that strangers have us send to one address
                 ('mail_address', 60,   30,  5,  600), -- mails that one client has us send
                 ('billing',      30,    2,  1,   60)) -- what one payer has us ask Stripe
         AS r (kind, free, forget, first, most) WHERE r.kind = throttle_rule.kind;
END $$;

-- A queue of thousands ------------------------------------------------------------------------------------------------

-- As in 0001, but each kind is looked for by itself: a thousand renewals that wait are not waded through for the one grade behind
-- them, nor by who looks for what is not there. The oldest first, whatever their kind.
DROP INDEX jobs_due;
CREATE INDEX jobs_due ON jobs (kind, run_after) WHERE dead_at IS NULL;
CREATE OR REPLACE FUNCTION job_claim(kinds text[], new_lease uuid, lease_seconds int, max_rows int)
RETURNS TABLE (id text, kind text, payload text, attempt int)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    -- Materialized: within a join the LIMIT would be taken again for each row.
    WITH due AS MATERIALIZED (
        SELECT d.id FROM unnest(kinds) k (name), LATERAL (
            SELECT x.id, x.run_after FROM jobs x
            WHERE x.kind = k.name AND x.dead_at IS NULL AND x.run_after <= now() AND (x.lease_until IS NULL OR x.lease_until <= now())
            ORDER BY x.run_after LIMIT max_rows FOR UPDATE SKIP LOCKED) d
        ORDER BY d.run_after LIMIT max_rows)
    UPDATE jobs j SET lease = new_lease, lease_until = now() + lease_seconds * interval '1 second',
                      attempts = j.attempts + 1
    FROM due WHERE j.id = due.id
    RETURNING j.id::text, j.kind, j.payload::text, j.attempts $$;

-- As in 0001, but planned once a connection.
CREATE OR REPLACE FUNCTION job_done(job uuid, held uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM jobs j WHERE j.id = job AND j.lease = held;
END $$;

-- As in 0001, but told with the kind: who does not work on it stays asleep.
CREATE OR REPLACE FUNCTION jobs_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.run_after <= now() THEN
        PERFORM pg_notify('overread_jobs', NEW.kind);
    END IF;
    RETURN NULL;
END $$;

-- Fetching, one at a time for an object ------------------------------------------------------------------------------

-- 'locked': fetch now; 'fresh': what is kept was fetched after `since`, so whatever happened then is in it; 'busy': another is at
-- it. A lock is good for 90 seconds, longer than a fetch may take.
CREATE FUNCTION stripe_lock(which text, by_whom uuid, since timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    l stripe_locks;
BEGIN
    -- fetched_at only grows: who reads it needs no lock, and most of a burst's events end here, without a write.
    IF EXISTS (SELECT FROM stripe_locks x WHERE x.object = which AND x.fetched_at > since) THEN
        RETURN 'fresh';
    END IF;
    INSERT INTO stripe_locks (object) VALUES (which) ON CONFLICT DO NOTHING;
    SELECT * INTO l FROM stripe_locks WHERE object = which FOR UPDATE;
    IF since IS NOT NULL AND l.fetched_at > since THEN
        RETURN 'fresh';
    ELSIF l.holder IS NOT NULL AND l.until > clock_timestamp() THEN
        RETURN 'busy';
    END IF;
    UPDATE stripe_locks SET holder = by_whom, until = clock_timestamp() + interval '90 seconds', begun_at = clock_timestamp()
        WHERE object = which;
    RETURN 'locked';
END $$;

CREATE FUNCTION stripe_unlock(which text, by_whom uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS
$$ UPDATE stripe_locks SET holder = NULL, until = NULL WHERE object = which AND holder = by_whom $$;

-- Whose customer this is; NULL: not ours.
CREATE FUNCTION tenant_of_customer(customer_id text) RETURNS uuid LANGUAGE sql STABLE AS
$$ SELECT a.tenant_id FROM billing_accounts a WHERE a.customer = customer_id $$;

CREATE FUNCTION subscription_json(s subscriptions) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object('id', s.subscription_id, 'plan', s.plan, 'title', (SELECT p.title FROM plans p WHERE p.plan = s.plan),
        'status', s.status, 'seats', s.seats, 'amount', s.amount, 'currency', s.currency, 'period', s.period,
        'collection', CASE s.collection WHEN 'send_invoice' THEN 'invoice' ELSE 'card' END, 'days_until_due', s.days_until_due,
        'purchase_order', s.purchase_order, 'period_start', s.period_start, 'period_end', s.period_end, 'trial_end', s.trial_end,
        'cancels_at', CASE WHEN s.ended_at IS NULL THEN coalesce(s.cancel_at, CASE WHEN s.cancel_at_period_end THEN s.period_end END) END,
        'ended_at', s.ended_at, 'awaiting_payment', s.pending_update, 'past_due_since', s.past_due_since,
        'good_until', (SELECT e.ends_at FROM entitlements e WHERE e.tenant_id = s.tenant_id AND e.source = s.subscription_id),
        'stripe', s.stripe_id) $$;

-- What all of a tenant's administrators (or the one person) are told.
CREATE FUNCTION payers_mail(tenant uuid, template text, vals jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mail_queue(template, p.email, tenant, p.person_id,
                       vals || jsonb_build_object('name', mail_words(p.name), 'tenant', mail_words(t.name)))
        FROM tenants t JOIN memberships m USING (tenant_id) JOIN people p USING (person_id)
        WHERE t.tenant_id = tenant AND is_active(m) AND p.disabled_at IS NULL
          AND (t.kind = 'individual' OR 'administrator' = ANY (m.roles));
END $$;

-- The one way in. `o`: as GET /v1/subscriptions/{id} gave it just now, to who holds the lock; NULL: Stripe knows none (404). Gives
-- the lock back. 'stored', 'same', 'foreign' (not of a customer of ours), or refuses: a form that we do not know is kept out, and
-- what is known stays.
-- And: what is stored of who has erased the account is ended; a mail names an end, or is not sent.
CREATE FUNCTION subscription_store(which text, by_whom uuid, o jsonb, why text) RETURNS text
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

-- Stripe's ids of what a customer of ours has that has not ended.
CREATE FUNCTION subscriptions_of_customer(customer_id text) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT s.stripe_id FROM subscriptions s WHERE s.tenant_id = tenant_of_customer(customer_id) AND s.ended_at IS NULL $$;

CREATE FUNCTION customer_is_gone(customer_id text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS
$$ UPDATE billing_accounts SET customer_gone = true, customer = NULL, currency = NULL WHERE customer = customer_id $$;

-- Or of one that was ours: what was bought under it is known.
CREATE FUNCTION customer_is_ours(customer_id text, subscription text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM billing_accounts a WHERE a.customer = customer_id)
        OR EXISTS (SELECT FROM subscriptions s WHERE s.stripe_id = subscription);
END $$;

-- Events -----------------------------------------------------------------------------------------------------------

-- Takes one in, once. The state says what is going to happen; a quarantined one waits for an operator.
CREATE FUNCTION stripe_event_take(e jsonb, raw_text text, by_what text, our_version text, our_livemode boolean) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    new_state text := CASE
        WHEN (e->>'livemode')::boolean IS DISTINCT FROM our_livemode THEN 'foreign'
        WHEN e->>'api_version' IS DISTINCT FROM our_version THEN 'quarantined'
        WHEN e->>'type' ~ '^(checkout\.session|customer\.subscription|invoice|customer|payment_method|charge)\.' THEN 'queued'
        ELSE 'ignored' END;
BEGIN
    INSERT INTO stripe_events (event, type, api_version, livemode, created_at, came_by, raw, state, note, done_at)
        VALUES (e->>'id', e->>'type', e->>'api_version', coalesce((e->>'livemode')::boolean, false), unix(e->'created'), by_what, raw_text,
                new_state, CASE new_state WHEN 'quarantined' THEN 'of API version ' || coalesce(e->>'api_version', 'none')
                                          WHEN 'foreign' THEN 'of the other mode' ELSE '' END,
                CASE WHEN new_state <> 'queued' THEN now() END)
        ON CONFLICT (event) DO NOTHING;
    IF NOT FOUND THEN
        RETURN 'known';
    END IF;
    IF new_state = 'queued' THEN
        INSERT INTO jobs (id, kind, key, payload) VALUES (gen_random_uuid(), 'stripe_event', e->>'id', jsonb_build_object('event', e->>'id'));
    END IF;
    RETURN new_state;
END $$;

-- In plpgsql, like what else every event runs: a function in SQL is planned anew at each call, which costs more than it does. By
-- the id alone, never by the index of states: a plan made while nothing waited would go through all that wait.
CREATE FUNCTION stripe_event_raw(which text) RETURNS TABLE (raw text, taken_at text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    e stripe_events;
BEGIN
    SELECT * INTO e FROM stripe_events x WHERE x.event = which;
    IF e.state = 'queued' THEN
        raw := e.raw; taken_at := e.taken_at;
        RETURN NEXT;
    END IF;
END $$;

CREATE FUNCTION stripe_event_settle(which text, new_state text, words text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE stripe_events x SET state = new_state, note = left(words, 500), done_at = now()
        WHERE x.event = which AND x.state NOT IN ('done', 'quarantined', 'foreign', 'ignored');
END $$;

-- A subscription to be fetched, by a job, so many seconds from now: again if one does so just now, or had given up.
CREATE FUNCTION stripe_sync_queue(which text, seconds int) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO jobs (id, kind, key, payload, run_after)
        VALUES (gen_random_uuid(), 'stripe_sync', which, jsonb_build_object('subscription', which), now() + seconds * interval '1 second')
        ON CONFLICT (kind, key) DO UPDATE SET run_after = EXCLUDED.run_after, attempts = 0, dead_at = NULL, lease = NULL, lease_until = NULL $$;

-- Where to begin in /v1/events: an hour of overlap, because they come out of order. At most 29 of Stripe's 30 days.
CREATE FUNCTION stripe_cursor_get() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT extract(epoch FROM greatest((SELECT read_until FROM stripe_cursor) - interval '1 hour', now() - interval '29 days'))::bigint $$;

CREATE FUNCTION stripe_cursor_set(moment bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO stripe_cursor AS c (read_until) VALUES (to_timestamp(moment))
        ON CONFLICT (one) DO UPDATE SET read_until = greatest(c.read_until, EXCLUDED.read_until) $$;

-- Intents ----------------------------------------------------------------------------------------------------------

CREATE FUNCTION intent_json(i billing_intents) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object('id', i.intent_id, 'kind', i.kind, 'state', i.state, 'status', i.status, 'code', i.code, 'detail', i.detail,
        'created_at', i.created_at, 'resolved_at', i.resolved_at,
        'checkout', (SELECT json_build_object('id', c.checkout_id, 'url', c.url, 'state', c.state, 'expires_at', c.expires_at)
                     FROM checkouts c WHERE c.tenant_id = i.tenant_id AND c.checkout_id = i.intent_id),
        'subscription', (SELECT s.subscription_id FROM subscriptions s WHERE s.tenant_id = i.tenant_id
                         AND s.stripe_id = coalesce(i.subscription, i.result))) $$;

-- Who repeats a request with the same Idempotency-Key gets the intent that it made; NULL: the key is new, or there is none. Asked
-- before anything is looked at, and kept by intent_open.
CREATE FUNCTION intent_repeated(key text, body_sha256 text) RETURNS uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    seen idempotency_keys;
BEGIN
    PERFORM need_payer();
    SELECT * INTO seen FROM idempotency_keys k
        WHERE k.tenant_id = current_tenant() AND k.person_id = current_person() AND k.key = intent_repeated.key;
    IF seen.body_sha256 <> body_sha256 OR (seen.resource IS NOT NULL AND NOT EXISTS
        (SELECT FROM billing_intents i WHERE i.tenant_id = current_tenant() AND i.intent_id = seen.resource)) THEN
        PERFORM refuse(422, 'idempotency_key_reused', 'This key was used before with another request.', 'Idempotency-Key');
    END IF;
    RETURN seen.resource;
END $$;

-- Not a second subscription to the same. What is paid for and not fetched yet counts, for a day.
-- And: not while something is owed.
CREATE FUNCTION need_no_order(tenant uuid, of_plan text) RETURNS void LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF EXISTS (SELECT FROM subscriptions s JOIN plans z USING (plan), plans p
               WHERE s.tenant_id = tenant AND s.ended_at IS NULL AND s.status NOT IN ('incomplete_expired', 'canceled') AND p.plan = of_plan
                 AND (z.modalities IS NULL OR p.modalities IS NULL OR z.modalities && p.modalities)) THEN
        PERFORM refuse(409, 'already_subscribed', 'There is a subscription to this: change that one.', '/plan');
    ELSIF EXISTS (SELECT FROM (SELECT i.result, i.created_at FROM billing_intents i
                               WHERE i.tenant_id = tenant AND i.kind = 'subscribe' AND i.state = 'done'
                               UNION ALL
                               SELECT c.subscription, c.created_at FROM checkouts c WHERE c.tenant_id = tenant AND c.state = 'complete') x (made, at)
                  WHERE x.made IS NOT NULL AND x.at > now() - interval '1 day'
                    AND NOT EXISTS (SELECT FROM subscriptions s WHERE s.tenant_id = tenant AND s.stripe_id = x.made)) THEN
        PERFORM refuse(409, 'billing_busy', 'Something has just been bought, and is being fetched: look again in a minute.');
    END IF;
    PERFORM need_no_debt(tenant);
END $$;

-- Before the request is sent. Refuses while another is under way, and seats fewer than are in use.
-- And: a trial that was promised by order_check is looked at again, and nobody else orders one for the same people meanwhile.
-- Tenants are locked before people.
CREATE FUNCTION intent_open(i jsonb, key text, body_sha256 text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants := need_payer();
    n int := (i->>'seats_after')::int;
BEGIN
    t := lock_tenant(t.tenant_id);
    IF EXISTS (SELECT FROM billing_intents x WHERE x.tenant_id = t.tenant_id AND x.state = 'open') THEN
        PERFORM refuse(409, 'billing_busy', 'Another change is under way: wait until it is resolved.');
    END IF;
    IF key IS NOT NULL AND idempotent(key, body_sha256, (i->>'intent')::uuid) IS NOT NULL THEN
        PERFORM refuse(409, 'billing_busy', 'The same request is under way.');
    END IF;
    IF i->>'kind' IN ('checkout', 'subscribe') THEN -- looked at before the lock, too; another may have been quicker
        PERFORM need_no_order(t.tenant_id, i->'terms'->>'plan');
        IF EXISTS (SELECT FROM checkouts c WHERE c.tenant_id = t.tenant_id AND c.state = 'open') THEN
            PERFORM refuse(409, 'billing_busy', 'A page to pay at has just been opened: ask again for it.');
        END IF;
    END IF;
    IF i->>'body' LIKE '%[trial_period_days]=%' THEN
        PERFORM FROM people p WHERE p.person_id = ANY (trial_people(t.tenant_id, current_person())) ORDER BY p.person_id FOR NO KEY UPDATE;
        IF trial_had(t) OR EXISTS (SELECT FROM billing_accounts a WHERE a.tenant_id = t.tenant_id AND a.trial_used_at IS NOT NULL) THEN
            PERFORM refuse(409, 'billing_busy', 'Your trial has just been ordered elsewhere: order again, for an order without one.');
        END IF;
    END IF;
    INSERT INTO billing_intents (tenant_id, intent_id, kind, method, path, body, subscription, seats_after, terms, person_id)
        VALUES (t.tenant_id, (i->>'intent')::uuid, i->>'kind', i->>'method', i->>'path', i->>'body', i->>'subscription', n,
                coalesce(i->'terms', '{}'), current_person());
    IF i->>'quote' IS NOT NULL THEN -- given back by intent_resolve, should it fail
        UPDATE quotes q SET accepted_at = now(), intent_id = (i->>'intent')::uuid
            WHERE q.tenant_id = t.tenant_id AND q.quote_id = (i->>'quote')::uuid AND q.accepted_at IS NULL AND q.withdrawn_at IS NULL;
        IF NOT FOUND THEN
            PERFORM refuse(409, 'quote_accepted', 'This quote has been accepted, or is not offered any more.');
        END IF;
    END IF;
    IF n IS NOT NULL AND i->'terms'->'seats' IS NULL
       AND EXISTS (SELECT FROM subscriptions s WHERE s.tenant_id = t.tenant_id AND s.stripe_id = i->>'subscription' AND s.seats <> n) THEN
        PERFORM refuse(409, 'billing_busy', 'The number of seats has just changed: look again.');
    END IF;
    IF n IS NOT NULL AND t.kind = 'organisation' THEN
        PERFORM seats_follow(t.tenant_id, i->>'intent');
        SELECT * INTO t FROM tenants WHERE tenant_id = t.tenant_id;
        IF t.seats_bought < seats_taken(t) AND seats_leaving(t.tenant_id) > 0 THEN
            PERFORM refuse(409, 'seats_in_use', format('%s seats are in use or held by invitations: take people out first.', seats_taken(t)),
                           '/seats');
        END IF;
    END IF;
    INSERT INTO jobs (id, tenant_id, kind, key, payload, run_after)
        VALUES (gen_random_uuid(), t.tenant_id, 'billing_intent', i->>'intent', jsonb_build_object('intent', i->>'intent', 'tenant', t.tenant_id),
                now() + interval '40 seconds');
    PERFORM audit(t.tenant_id, current_person(), 'billing.' || (i->>'kind'), i->>'intent', coalesce(i->'terms', '{}'));
END $$;

-- To be sent (again). No row: it is resolved. `old`: Stripe may have forgotten the key, so it must not be sent any more.
CREATE FUNCTION intent_take(tenant uuid, which uuid) RETURNS TABLE (kind text, method text, path text, body text, subscription text,
                                                                    customer text, terms text, old boolean, created bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN QUERY
        UPDATE billing_intents x SET attempts = x.attempts + 1
        WHERE x.tenant_id = tenant AND x.intent_id = which AND x.state = 'open'
        RETURNING x.kind, x.method, x.path, x.body, x.subscription,
                  (SELECT a.customer FROM billing_accounts a WHERE a.tenant_id = tenant), x.terms::text,
                  x.created_at < now() - interval '20 hours', extract(epoch FROM x.created_at)::bigint;
END $$;

-- Stripe has said what became of it. `answer`: the object, of a done one. The first word counts.
CREATE FUNCTION intent_resolve(tenant uuid, which uuid, new_state text, answer jsonb, http_status int, why text, words text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    i billing_intents;
BEGIN
    PERFORM lock_tenant(tenant);
    UPDATE billing_intents x SET state = new_state, resolved_at = now(), result = answer->>'id', status = http_status, code = why, detail = left(words, 500)
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
    ELSIF i.kind = 'checkout_expire' THEN
        UPDATE checkouts c SET state = 'expired' WHERE c.tenant_id = tenant AND c.session = answer->>'id' AND c.state = 'open';
    END IF;
    PERFORM seats_follow(tenant, which::text);
END $$;

CREATE FUNCTION intent_show(which uuid) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM need_payer();
    RETURN (SELECT intent_json(i) FROM billing_intents i WHERE i.tenant_id = current_tenant() AND i.intent_id = which);
END $$;

-- What a payer asks for ----------------------------------------------------------------------------------------------

CREATE FUNCTION plan_json(p plans) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object('id', p.plan, 'title', p.title, 'description', p.description, 'audience', p.audience,
        'modalities', to_json(p.modalities), 'trial_days', p.trial_days, 'trial_with_card', p.trial_with_card, 'grace_days', p.grace_days,
        'prices', (SELECT coalesce(json_agg(json_build_object('period', x.period, 'currency', x.currency, 'amount', x.amount)
                                            ORDER BY x.currency, x.period), '[]') FROM plan_prices x WHERE x.plan = p.plan AND x.on_sale)) $$;

CREATE FUNCTION plans_on_sale(of_audience text) RETURNS json
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT json_build_object('items', coalesce(json_agg(plan_json(p) ORDER BY p.place, p.plan), '[]'))
    FROM plans p WHERE p.on_sale AND (of_audience IS NULL OR p.audience = of_audience) $$;

-- Checks an order against the price list and what there is: the price, and what a request to Stripe needs to know. of_quote: the
-- quote's terms count. Refuses what is not sold, seats fewer than people, and a second subscription to the same.
-- And: invoiced, whether there may be invoices to look at; no trial for who has had one elsewhere.
CREATE FUNCTION order_check(of_plan text, of_period text, of_currency text, n int, of_quote uuid) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants := need_payer();
    a billing_accounts;
    p plans;
    q quotes;
    x plan_prices;
    c checkouts;
BEGIN
    IF of_quote IS NOT NULL THEN
        SELECT * INTO q FROM quotes y WHERE y.tenant_id = t.tenant_id AND y.quote_id = of_quote AND y.withdrawn_at IS NULL;
        IF NOT FOUND THEN
            PERFORM refuse(404, 'quote_not_found', 'There is no such quote.');
        ELSIF q.accepted_at IS NOT NULL THEN
            PERFORM refuse(409, 'quote_accepted', 'This quote has been accepted.');
        ELSIF q.valid_until <= now() THEN
            PERFORM refuse(410, 'quote_expired', 'This quote is no longer good: ask for a new one.');
        END IF;
        of_plan := q.plan; of_period := q.period; of_currency := q.currency; n := q.seats;
    END IF;
    SELECT * INTO p FROM plans y WHERE y.plan = of_plan AND (y.on_sale OR of_quote IS NOT NULL);
    IF NOT FOUND THEN
        PERFORM refuse(422, 'plan_not_found', 'There is no such plan on sale.', '/plan');
    ELSIF p.audience <> t.kind THEN
        PERFORM refuse(422, 'plan_not_for_you', 'This plan is sold to ' || CASE p.audience WHEN 'individual' THEN 'individuals' ELSE 'organisations' END || '.', '/plan');
    ELSIF t.kind = 'individual' AND n <> 1 THEN
        PERFORM refuse(422, 'out_of_range', 'An individual buys one.', '/seats');
    END IF;
    SELECT * INTO x FROM plan_prices y WHERE y.plan = of_plan AND y.period = of_period AND y.currency = of_currency AND y.on_sale;
    IF NOT FOUND AND q.amount IS NULL THEN
        PERFORM refuse(422, 'price_not_found', 'This plan is not sold for this period in this currency.', '/currency');
    END IF;
    SELECT * INTO a FROM billing_accounts y WHERE y.tenant_id = t.tenant_id;
    IF a.currency <> of_currency AND EXISTS (SELECT FROM subscriptions y WHERE y.tenant_id = t.tenant_id AND y.ended_at IS NULL) THEN
        PERFORM refuse(409, 'currency_fixed', 'Your subscription is in ' || a.currency || ': another currency needs it to end first.', '/currency');
    END IF;
    PERFORM need_no_order(t.tenant_id, of_plan);
    IF t.kind = 'organisation' AND n < seats_taken(t) THEN
        PERFORM refuse(409, 'seats_in_use', format('%s seats are in use or held by invitations.', seats_taken(t)), '/seats');
    END IF;
    SELECT * INTO c FROM checkouts y WHERE y.tenant_id = t.tenant_id AND y.state = 'open';
    RETURN json_build_object('tenant', t.tenant_id, 'slug', t.slug, 'name', t.name, 'kind', t.kind, 'customer', a.customer, 'price', x.price,
        'product', p.product, 'amount', q.amount, 'plan', of_plan, 'period', of_period, 'currency', of_currency, 'seats', n,
        'days_until_due', q.days_until_due, 'trial_with_card', p.trial_with_card, 'invoiced', has_had_invoices(t.tenant_id),
        'trial_days', CASE WHEN p.trial_days > 0 AND a.trial_used_at IS NULL AND of_quote IS NULL AND NOT trial_had(t) THEN p.trial_days ELSE 0 END,
        'email', (SELECT y.email FROM people y WHERE y.person_id = current_person()),
        'checkout', CASE WHEN c.checkout_id IS NOT NULL THEN json_build_object('id', c.checkout_id, 'session', c.session, 'url', c.url,
                         'terms', c.terms, 'expires_at', c.expires_at) END);
END $$;

-- A subscription that runs, for a change: Stripe's ids and what stands now. to_plan, to_period: the price that it would change to.
CREATE FUNCTION change_check(which uuid, to_plan text, to_period text) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants := need_payer();
    s subscriptions;
    p plans;
    x plan_prices;
BEGIN
    SELECT * INTO s FROM subscriptions y WHERE y.tenant_id = t.tenant_id AND y.subscription_id = which;
    IF NOT FOUND THEN
        PERFORM refuse(404, 'subscription_not_found', 'There is no such subscription.');
    ELSIF s.ended_at IS NOT NULL THEN
        PERFORM refuse(409, 'subscription_ended', 'This subscription has ended: take out a new one.');
    END IF;
    IF to_plan IS NOT NULL OR to_period IS NOT NULL THEN
        SELECT * INTO p FROM plans y WHERE y.plan = coalesce(to_plan, s.plan) AND y.on_sale AND y.audience = t.kind;
        IF NOT FOUND THEN
            PERFORM refuse(422, 'plan_not_found', 'There is no such plan on sale to you.', '/plan');
        END IF;
        SELECT * INTO x FROM plan_prices y
            WHERE y.plan = p.plan AND y.period = coalesce(to_period, s.period) AND y.currency = s.currency AND y.on_sale;
        IF NOT FOUND THEN
            PERFORM refuse(422, 'price_not_found', 'This plan is not sold for this period in this currency.', '/period');
        ELSIF EXISTS (SELECT FROM subscriptions y JOIN plans z USING (plan)
                      WHERE y.tenant_id = t.tenant_id AND y.subscription_id <> which AND y.ended_at IS NULL
                        AND y.status NOT IN ('incomplete_expired', 'canceled')
                        AND (z.modalities IS NULL OR p.modalities IS NULL OR z.modalities && p.modalities)) THEN
            PERFORM refuse(409, 'already_subscribed', 'Another subscription has this already.', '/plan');
        END IF;
    END IF;
    RETURN json_build_object('stripe', s.stripe_id, 'item', s.item, 'seats', s.seats, 'price', x.price, 'kind', t.kind,
        'collection', s.collection, 'cancel_at_period_end', s.cancel_at_period_end, 'cancels', s.cancel_at IS NOT NULL,
        'customer', (SELECT a.customer FROM billing_accounts a WHERE a.tenant_id = t.tenant_id), 'status', s.status);
END $$;

CREATE FUNCTION subscription_show(which uuid) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM need_payer();
    RETURN (SELECT subscription_json(s) FROM subscriptions s WHERE s.tenant_id = current_tenant() AND s.subscription_id = which);
END $$;

CREATE FUNCTION checkout_of(which uuid) RETURNS TABLE (session text, state text, shown text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM need_payer();
    RETURN QUERY SELECT c.session, c.state, json_build_object('id', c.checkout_id, 'url', c.url, 'state', c.state, 'terms', c.terms,
                            'expires_at', c.expires_at, 'subscription', (SELECT s.subscription_id FROM subscriptions s
                                WHERE s.tenant_id = c.tenant_id AND s.stripe_id = c.subscription))::text
        FROM checkouts c WHERE c.tenant_id = current_tenant() AND c.checkout_id = which;
END $$;

-- A session as Stripe says it is now; those of others are nobody's here. 'missing': Stripe knows none. Whether it has ended.
CREATE FUNCTION checkout_settle(of_session text, new_state text, of_subscription text) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH settled AS (UPDATE checkouts c SET state = CASE new_state WHEN 'missing' THEN 'expired' ELSE new_state END,
                                            subscription = coalesce(of_subscription, c.subscription)
                     WHERE c.session = of_session AND c.state = 'open'
                       AND (new_state IN ('complete', 'expired') OR (new_state = 'missing' AND c.expires_at < now())) RETURNING 1)
    SELECT EXISTS (SELECT FROM settled) $$;

CREATE FUNCTION customer_show() RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM need_payer();
    RETURN (SELECT a.customer FROM billing_accounts a WHERE a.tenant_id = current_tenant());
END $$;

CREATE FUNCTION quote_json(q quotes) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object('id', q.quote_id, 'plan', q.plan, 'title', (SELECT p.title FROM plans p WHERE p.plan = q.plan), 'period', q.period,
        'currency', q.currency, 'seats', q.seats, 'days_until_due', q.days_until_due, 'note', q.note, 'valid_until', q.valid_until,
        'amount', coalesce(q.amount, (SELECT x.amount FROM plan_prices x WHERE x.plan = q.plan AND x.period = q.period
                                                                          AND x.currency = q.currency AND x.on_sale)),
        'state', CASE WHEN q.withdrawn_at IS NOT NULL THEN 'withdrawn' WHEN q.accepted_at IS NOT NULL THEN 'accepted'
                      WHEN q.valid_until <= now() THEN 'expired' ELSE 'open' END, 'created_at', q.created_at, 'accepted_at', q.accepted_at) $$;

CREATE FUNCTION quotes_page(cursor uuid, most int) RETURNS TABLE (quote_id uuid, shown json)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM need_payer();
    RETURN QUERY SELECT q.quote_id, quote_json(q) FROM quotes q
        WHERE q.tenant_id = current_tenant() AND (cursor IS NULL OR q.quote_id < cursor) ORDER BY q.quote_id DESC LIMIT most;
END $$;

-- Everything a payer sees at a glance.
CREATE FUNCTION billing_json() RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants := need_payer();
BEGIN
    RETURN (SELECT json_build_object(
        'currency', (SELECT a.currency FROM billing_accounts a WHERE a.tenant_id = t.tenant_id),
        'trial_used', coalesce((SELECT a.trial_used_at IS NOT NULL FROM billing_accounts a WHERE a.tenant_id = t.tenant_id), false),
        'seats', json_build_object('bought', t.seats_bought, 'used', seats_used(t.tenant_id), 'invited', seats_invited(t.tenant_id)),
        'subscriptions', (SELECT coalesce(json_agg(subscription_json(s) ORDER BY s.started_at DESC, s.subscription_id), '[]')
                          FROM subscriptions s WHERE s.tenant_id = t.tenant_id),
        'grants', (SELECT coalesce(json_agg(json_build_object('id', g.grant_id, 'modalities', to_json(g.modalities), 'seats', g.seats,
                              'starts_at', g.starts_at, 'ends_at', nullif(g.ends_at, 'infinity'), 'revoked_at', g.revoked_at)
                              ORDER BY g.created_at DESC, g.grant_id), '[]')
                   FROM grants g WHERE g.tenant_id = t.tenant_id),
        'checkout', (SELECT json_build_object('id', c.checkout_id, 'url', c.url, 'terms', c.terms, 'expires_at', c.expires_at)
                     FROM checkouts c WHERE c.tenant_id = t.tenant_id AND c.state = 'open'),
        'under_way', (SELECT intent_json(i) FROM billing_intents i WHERE i.tenant_id = t.tenant_id AND i.state = 'open')));
END $$;

-- For everybody in the tenant: what may be opened, and until when.
CREATE FUNCTION entitlements_json() RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT json_build_object(
        'everything', EXISTS (SELECT FROM tenants t WHERE t.tenant_id = current_tenant() AND t.kind = 'individual') AND NOT sells_to_individuals(),
        'items', coalesce(json_agg(json_build_object('modalities', to_json(e.modalities), 'starts_at', e.starts_at,
                                                     'ends_at', nullif(e.ends_at, 'infinity')) ORDER BY e.ends_at DESC, e.source), '[]'))
        FROM entitlements e WHERE e.tenant_id = current_tenant() AND e.ends_at > now());
END $$;

-- Who goes for good pays no more: a personal tenant's subscription ends with the account. And what we asked Stripe in the
-- person's name, and Stripe told of a personal tenant's customer, is forgotten.
-- And: what is paid for, or can still be, and is not here as a subscription yet; Stripe's words on a request, which may
-- repeat an address; events that name what was bought or disputed, and not the customer. Who stores one (subscription_store,
-- intent_resolve) holds the tenant's row, as is done here: either it is there to be seen by now, or it will see the erasure.
CREATE FUNCTION erased_pays_no_more() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER erased_pays_no_more AFTER INSERT ON erasures FOR EACH ROW EXECUTE FUNCTION erased_pays_no_more();

-- For the operator -------------------------------------------------------------------------------------------------

-- What is stuck: quarantined events, dead jobs of ours, and requests whose outcome nobody knows yet.
CREATE FUNCTION billing_stuck() RETURNS TABLE (line text) LANGUAGE sql STABLE AS $$
    SELECT json_build_object('what', 'event', 'id', e.event, 'type', e.type, 'state', e.state, 'note', e.note, 'taken_at', e.taken_at)::text
    FROM stripe_events e WHERE e.state = 'quarantined'
    UNION ALL
    SELECT json_build_object('what', 'dead', 'id', j.key, 'kind', j.kind, 'error', j.last_error, 'attempts', j.attempts, 'dead_at', j.dead_at)::text
    FROM jobs j WHERE j.dead_at IS NOT NULL AND j.kind IN ('stripe_event', 'stripe_sync', 'billing_intent', 'billing_end')
    UNION ALL
    SELECT json_build_object('what', 'intent', 'id', i.intent_id, 'tenant', i.tenant_id, 'kind', i.kind, 'attempts', i.attempts,
                             'created_at', i.created_at)::text
    FROM billing_intents i WHERE i.state = 'open' $$;

-- Tries again what is stuck: of this id, or (NULL) all. How many it were.
CREATE FUNCTION billing_retry(which text) RETURNS int LANGUAGE plpgsql AS $$
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
        WHERE j.kind IN ('stripe_event', 'stripe_sync', 'billing_intent', 'billing_end')
          AND (j.dead_at IS NOT NULL OR (j.kind = 'billing_intent' AND j.lease IS NULL)) AND (which IS NULL OR j.key = which);
    GET DIAGNOSTICS m = ROW_COUNT;
    NOTIFY overread_jobs;
    RETURN n + m;
END $$;

GRANT EXECUTE ON FUNCTION need_payer, stripe_lock, stripe_unlock, subscription_store, subscriptions_of_customer, customer_is_gone, customer_is_ours,
    stripe_event_take, stripe_event_raw, stripe_event_settle, stripe_sync_queue, stripe_cursor_get, stripe_cursor_set, intent_repeated,
    intent_open, intent_take, intent_resolve, intent_show, plans_on_sale, order_check, change_check, subscription_show, checkout_of,
    checkout_settle, customer_show, quotes_page, billing_json, entitlements_json TO overread_app;
