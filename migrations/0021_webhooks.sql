-- Outgoing webhooks: a tenant's own systems are told what happens in it. Signed as Standard Webhooks 1.0 says.
--
-- * webhook_emit() writes, in the transaction in which something happens, a delivery and its job for each endpoint that has
--   subscribed to it: nothing is told that did not happen, and nothing that happened is forgotten. A delivery may arrive twice
--   (its webhook-id is the same then), and not in order.
-- * What is told names people by their ids only. Results of a read are for its reader, for educators of the cohort, and for
--   managers where the reader said so (0009, sight_of). Endpoints are the administrators', whose systems are none of these:
--   read.graded tells them that a read was graded, and how it came out only of who has consented to 'manager', or in the
--   personal tenant of the reader alone. Who withdraws the consent, or leaves, takes the results out of what is kept here.
-- * Places are few and receivers are strangers: webhook_begin lets few deliveries of a tenant under way at a time, and lets an
--   endpoint that fails rest, up to five minutes, whatever waits for it.

CREATE TABLE webhook_endpoints (
    tenant_id     uuid NOT NULL REFERENCES tenants,
    endpoint_id   uuid NOT NULL,
    owner_id      uuid REFERENCES people,       -- whose personal tenant it is: the endpoint goes with the person; else NULL
    url           text NOT NULL CHECK (length(url) BETWEEN 8 AND 2000),
    events        text[] NOT NULL CHECK (cardinality(events) BETWEEN 1 AND 20),
    description   text NOT NULL DEFAULT '' CHECK (length(description) <= 200),
    created_at    timestamptz NOT NULL DEFAULT now(),
    changed_at    timestamptz NOT NULL DEFAULT now(),
    failing_since timestamptz,                  -- no delivery has succeeded since
    last_failure_at timestamptz,
    failures      int NOT NULL DEFAULT 0,       -- in a row
    rest_until    timestamptz,
    disabled_at   timestamptz,
    disabled_why  text CHECK (disabled_why IN ('by_hand', 'failing', 'gone')),
    PRIMARY KEY (tenant_id, endpoint_id),
    CHECK ((disabled_at IS NULL) = (disabled_why IS NULL))
);
CREATE INDEX webhook_endpoints_owner ON webhook_endpoints (owner_id) WHERE owner_id IS NOT NULL;

-- Sealed by identity/vault. The newest has no end; one that was replaced signs until its own, beside it.
CREATE TABLE webhook_secrets (
    tenant_id   uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    secret_id   uuid NOT NULL,                  -- the first has its endpoint's
    sealed      text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    until       timestamptz,
    PRIMARY KEY (tenant_id, endpoint_id, secret_id),
    FOREIGN KEY (tenant_id, endpoint_id) REFERENCES webhook_endpoints ON DELETE CASCADE
);

CREATE TABLE webhook_deliveries (
    tenant_id       uuid NOT NULL,
    delivery_id     uuid NOT NULL,              -- in the order of making
    endpoint_id     uuid NOT NULL,
    event_id        uuid NOT NULL,              -- webhook-id: the same for every endpoint, attempt and replay
    event           text NOT NULL,
    person_id       uuid,                       -- data's "person": whom it is about
    data            jsonb NOT NULL CHECK (octet_length(data::text) <= 16384),
    happened_at     timestamptz NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    state           text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts        int NOT NULL DEFAULT 0,
    next_attempt_at timestamptz DEFAULT now(),
    last_attempt_at timestamptz,
    sending_until   timestamptz,                -- under way, as long as its sender can be
    last_status     int,
    last_error      text,
    delivered_at    timestamptz,
    PRIMARY KEY (tenant_id, delivery_id),
    FOREIGN KEY (tenant_id, endpoint_id) REFERENCES webhook_endpoints ON DELETE CASCADE,
    CHECK ((state = 'pending') = (next_attempt_at IS NOT NULL))
);
CREATE INDEX webhook_deliveries_endpoint ON webhook_deliveries (tenant_id, endpoint_id, delivery_id);
CREATE INDEX webhook_deliveries_sending ON webhook_deliveries (tenant_id, endpoint_id) WHERE sending_until IS NOT NULL;
CREATE INDEX webhook_deliveries_person ON webhook_deliveries (person_id) WHERE person_id IS NOT NULL;
CREATE INDEX webhook_deliveries_age ON webhook_deliveries (created_at);

SELECT guard_table(t) FROM unnest(ARRAY['webhook_endpoints', 'webhook_secrets', 'webhook_deliveries']::regclass[]) t;

INSERT INTO personal_data (relation, person_column, place, exported_as, hidden, erased, why) VALUES
    ('webhook_endpoints', 'owner_id', 5, 'webhooks', '{owner_id,rest_until}', true, 'of the personal tenant; secrets and deliveries go with it'),
    ('webhook_deliveries', 'person_id', 900, 'told_to_webhooks', '{person_id,sending_until,last_error}', false,
     'ids only, for 30 days; that a member left is still told, results go with the consent');

-- Who keeps them ---------------------------------------------------------------------------------------------------

-- A personal tenant gives the role trainee and no administrator: its owner is who is alone in it.
CREATE FUNCTION owns_tenant(tenant uuid, person uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (SELECT FROM tenants t JOIN memberships m USING (tenant_id)
                   WHERE t.tenant_id = tenant AND t.kind = 'individual' AND m.person_id = person AND is_active(m)
                     AND NOT 'support' = ANY (m.roles))
       AND NOT EXISTS (SELECT FROM memberships m WHERE m.tenant_id = tenant AND m.person_id <> person AND is_active(m)
                                                   AND NOT 'support' = ANY (m.roles));
END $$;

CREATE FUNCTION may_keep_webhooks() RETURNS boolean LANGUAGE sql STABLE AS
$$ SELECT 'administrator' = ANY (current_roles()) OR owns_tenant(current_tenant(), current_person()) $$;

CREATE FUNCTION need_webhook_keeper() RETURNS void LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF NOT may_keep_webhooks() THEN
        PERFORM refuse(403, 'administrator_required', 'Webhooks are kept by administrators, and by the owner of a personal tenant.');
    END IF;
END $$;

CREATE POLICY tenant ON webhook_endpoints TO overread_app
    USING (tenant_id = current_tenant() AND (SELECT may_keep_webhooks()));
CREATE POLICY tenant ON webhook_deliveries TO overread_app
    USING (tenant_id = current_tenant() AND (SELECT may_keep_webhooks()));
GRANT SELECT ON webhook_endpoints, webhook_deliveries TO overread_app;
-- webhook_secrets: reached by no policy; only through functions.

-- What is shown ----------------------------------------------------------------------------------------------------

CREATE FUNCTION webhook_json(e webhook_endpoints) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', e.endpoint_id, 'url', e.url, 'events', to_jsonb(e.events), 'description', e.description,
        'enabled', e.disabled_at IS NULL,
        'state', CASE WHEN e.disabled_at IS NOT NULL THEN 'disabled' WHEN e.failing_since IS NOT NULL THEN 'failing' ELSE 'active' END,
        'failing_since', e.failing_since, 'disabled_at', e.disabled_at, 'disabled_why', e.disabled_why,
        'created_at', e.created_at, 'changed_at', e.changed_at) $$;

CREATE FUNCTION webhook_delivery_json(d webhook_deliveries) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', d.delivery_id, 'event_id', d.event_id, 'type', d.event, 'state', d.state,
        'attempts', d.attempts, 'happened_at', d.happened_at, 'last_attempt_at', d.last_attempt_at,
        'next_attempt_at', d.next_attempt_at, 'delivered_at', d.delivered_at, 'last_status', d.last_status,
        'last_error', d.last_error) $$;

-- These two and the page of deliveries run as the application: row-level security shows them what they may show.
CREATE FUNCTION webhook_page(cursor uuid, most int) RETURNS TABLE (place uuid, item jsonb) LANGUAGE plpgsql STABLE AS $$
BEGIN
    PERFORM need_webhook_keeper();
    RETURN QUERY SELECT e.endpoint_id, webhook_json(e) FROM webhook_endpoints e
        WHERE e.tenant_id = current_tenant() AND (cursor IS NULL OR e.endpoint_id > cursor) ORDER BY e.endpoint_id LIMIT most;
END $$;

CREATE FUNCTION webhook_show(which uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT webhook_json(e) || jsonb_build_object('deliveries', (
        SELECT coalesce(jsonb_agg(webhook_delivery_json(d) ORDER BY d.delivery_id DESC), '[]')
        FROM (SELECT * FROM webhook_deliveries x WHERE x.tenant_id = e.tenant_id AND x.endpoint_id = e.endpoint_id
              ORDER BY x.delivery_id DESC LIMIT 10) d))
    FROM webhook_endpoints e WHERE e.tenant_id = current_tenant() AND e.endpoint_id = which $$;

-- One of the asker's own tenant, locked; the same 404 to who may not keep it.
CREATE FUNCTION webhook_of(which uuid) RETURNS webhook_endpoints LANGUAGE plpgsql AS $$
DECLARE
    e webhook_endpoints;
BEGIN
    IF may_keep_webhooks() THEN
        SELECT * INTO e FROM webhook_endpoints x WHERE x.tenant_id = current_tenant() AND x.endpoint_id = which FOR NO KEY UPDATE;
    END IF;
    IF e.endpoint_id IS NULL THEN
        PERFORM refuse(404, 'webhook_not_found', 'There is no such webhook.');
    END IF;
    RETURN e;
END $$;

-- Newest first.
CREATE FUNCTION webhook_delivery_page(which uuid, only_state text, cursor uuid, most int) RETURNS TABLE (place uuid, item jsonb)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM webhook_endpoints e WHERE e.tenant_id = current_tenant() AND e.endpoint_id = which) THEN
        PERFORM refuse(404, 'webhook_not_found', 'There is no such webhook.');
    END IF;
    RETURN QUERY SELECT d.delivery_id, webhook_delivery_json(d) FROM webhook_deliveries d
        WHERE d.tenant_id = current_tenant() AND d.endpoint_id = which AND (only_state IS NULL OR d.state = only_state)
          AND (cursor IS NULL OR d.delivery_id < cursor)
        ORDER BY d.delivery_id DESC LIMIT most;
END $$;

-- What happens -----------------------------------------------------------------------------------------------------

-- RFC 9562, version 7: in the order of making. The random UUID's version, 4, becomes 7 by two bits.
CREATE FUNCTION uuid_v7() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING
               substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid $$;

-- What an endpoint may subscribe to. Of these nothing tells 'certificate.issued' yet; 'webhook.test' comes by its button.
CREATE FUNCTION webhook_event_types() RETURNS text[] LANGUAGE sql IMMUTABLE AS
$$ SELECT ARRAY['member.joined', 'member.left', 'read.graded', 'certificate.issued', 'subscription.changed'] $$;

-- The job of a delivery. The endpoint's jobs find each other by their payload (webhook_spread).
CREATE FUNCTION webhook_job(d webhook_deliveries, due timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO jobs (id, tenant_id, kind, key, payload, run_after)
        VALUES (gen_random_uuid(), d.tenant_id, 'webhook', d.delivery_id::text,
                jsonb_build_object('delivery', d.delivery_id, 'endpoint', d.endpoint_id), due)
        ON CONFLICT (kind, key) DO UPDATE SET run_after = EXCLUDED.run_after, lease = NULL, lease_until = NULL;
END $$;

-- Without endpoints this is one look into an index. Jobs are due a moment later: the next poll finds them, within a second,
-- and no commit waits in the queue of notifications. While an endpoint rests they are due when it has rested.
CREATE FUNCTION webhook_emit_at(tenant uuid, event text, data jsonb, at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    id uuid;
    e record;
    d webhook_deliveries;
BEGIN
    IF NOT event = ANY (webhook_event_types()) THEN
        RAISE EXCEPTION 'webhook_emit: there is no event %', event;
    END IF;
    FOR e IN SELECT x.endpoint_id, x.rest_until FROM webhook_endpoints x
             WHERE x.tenant_id = tenant AND x.disabled_at IS NULL AND event = ANY (x.events) ORDER BY x.endpoint_id LOOP
        id := coalesce(id, uuid_v7());
        INSERT INTO webhook_deliveries AS y (tenant_id, delivery_id, endpoint_id, event_id, event, person_id, data, happened_at)
            VALUES (tenant, uuid_v7(), e.endpoint_id, id, event, (data->>'person')::uuid, data, at) RETURNING y.* INTO d;
        PERFORM webhook_job(d, greatest(clock_timestamp(), e.rest_until) + interval '10 milliseconds');
    END LOOP;
END $$;

-- For every room, in the transaction in which it happens. data: at most 16 KB, ids only; "person" is whom it is about.
CREATE FUNCTION webhook_emit(tenant uuid, event text, data jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM webhook_emit_at(tenant, event, data, now());
END $$;

-- Members. Support access is no membership in the eyes of others. One that ends at a time set before is told by a job.
CREATE FUNCTION webhook_follow_membership() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was boolean := false;
BEGIN
    IF 'support' = ANY (NEW.roles) THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        was := is_active(OLD) AND NOT 'support' = ANY (OLD.roles);
    END IF;
    IF is_active(NEW) AND NOT was THEN
        PERFORM webhook_emit_at(NEW.tenant_id, 'member.joined', jsonb_build_object('person', NEW.person_id, 'roles', NEW.roles,
                                'cohort', NEW.cohort_id, 'since', NEW.since), now());
    ELSIF was AND NOT is_active(NEW) THEN
        PERFORM webhook_emit_at(NEW.tenant_id, 'member.left', jsonb_build_object('person', NEW.person_id, 'since', NEW.since,
                                'until', NEW.until), now());
    END IF;
    IF NEW.until > now() THEN
        PERFORM webhook_await_end(NEW);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION webhook_await_end(m memberships) RETURNS void LANGUAGE sql AS $$
    INSERT INTO jobs (id, tenant_id, kind, key, payload, run_after)
        VALUES (gen_random_uuid(), m.tenant_id, 'membership_end',
                concat_ws('/', m.tenant_id, m.person_id, extract(epoch FROM m.until)),
                jsonb_build_object('person', m.person_id, 'since', m.since, 'until', m.until), m.until)
        ON CONFLICT DO NOTHING $$;

CREATE TRIGGER webhook_follow_membership AFTER INSERT OR UPDATE OF until ON memberships
    FOR EACH ROW EXECUTE FUNCTION webhook_follow_membership();
SELECT webhook_await_end(m) FROM memberships m WHERE m.until > now() AND NOT 'support' = ANY (m.roles);

-- The job's. Told only if it did end then: who left before, or stays longer, has been told of or will be.
CREATE FUNCTION webhook_membership_ended(ended jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM webhook_emit_at(x.tenant_id, 'member.left', jsonb_build_object('person', x.person_id, 'since', x.since, 'until', x.until),
                            x.until)
        FROM membership_periods x
        WHERE x.tenant_id = current_tenant() AND x.person_id = (ended->>'person')::uuid
          AND x.since = (ended->>'since')::timestamptz AND x.until = (ended->>'until')::timestamptz AND x.until <= now();
END $$;

-- Reads. On the way of every grade: without a subscription one look into an index. A regrade is told too, as another revision.
CREATE FUNCTION webhook_follow_grade() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    r reads;
    told jsonb;
BEGIN
    IF NOT EXISTS (SELECT FROM webhook_endpoints e WHERE e.tenant_id = NEW.tenant_id AND e.disabled_at IS NULL
                                                     AND 'read.graded' = ANY (e.events)) THEN
        RETURN NULL;
    END IF;
    SELECT * INTO r FROM reads x WHERE x.tenant_id = NEW.tenant_id AND x.read_id = NEW.read_id;
    told := jsonb_build_object('read', r.read_id, 'person', r.person_id, 'modality', r.modality, 'revision', NEW.revision,
                               'submitted_at', r.submitted_at, 'graded_at', NEW.graded_at);
    IF EXISTS (SELECT FROM consents c WHERE c.tenant_id = r.tenant_id AND c.person_id = r.person_id AND c.recipient = 'manager'
                                        AND c.withdrawn_at IS NULL)
       OR owns_tenant(r.tenant_id, r.person_id) THEN
        told := told || jsonb_build_object('case', r.case_id, 'attempt', r.attempt, 'correct', NEW.correct,
                    'points', NEW.points_milli / 1000.0, 'max_points', NEW.max_points_milli / 1000.0);
    END IF;
    PERFORM webhook_emit_at(r.tenant_id, 'read.graded', told, now());
    RETURN NULL;
END $$;
CREATE TRIGGER webhook_follow_grade AFTER INSERT ON grades FOR EACH ROW EXECUTE FUNCTION webhook_follow_grade();

-- Nothing that waits or is replayed tells results that its reader no longer wants to be told.
CREATE FUNCTION webhook_follow_consent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE webhook_deliveries d SET data = d.data - ARRAY['case', 'attempt', 'correct', 'points', 'max_points']
        WHERE d.tenant_id = NEW.tenant_id AND d.person_id = NEW.person_id AND d.event = 'read.graded' AND d.data ? 'correct';
    RETURN NULL;
END $$;
CREATE TRIGGER webhook_follow_consent AFTER UPDATE OF withdrawn_at ON consents FOR EACH ROW
    WHEN (OLD.withdrawn_at IS NULL AND NEW.withdrawn_at IS NOT NULL) EXECUTE FUNCTION webhook_follow_consent();

-- Keeping them -----------------------------------------------------------------------------------------------------

-- A receiver's address may hold a secret of its own: the record tells the host only.
CREATE FUNCTION webhook_host(url text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT substring(url FROM '^[a-z]+://([^/?#]+)') $$;

CREATE FUNCTION need_webhook_events(events text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT events <@ webhook_event_types() OR cardinality(events) = 0 THEN
        PERFORM refuse(422, 'unknown_event', 'Events are at least one of ' || array_to_string(webhook_event_types(), ', ') || '.',
                       '/events');
    END IF;
END $$;

-- The secret is shown to who made it, and to the same request when it is repeated: sealed, as it is kept.
CREATE FUNCTION webhook_secret_shown(endpoint uuid, which uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    s webhook_secrets;
BEGIN
    SELECT * INTO s FROM webhook_secrets x WHERE x.tenant_id = current_tenant() AND x.endpoint_id = endpoint AND x.secret_id = which;
    IF NOT FOUND THEN
        PERFORM refuse(410, 'secret_replaced', 'What this request made has been replaced or deleted since.');
    END IF;
    RETURN s.sealed;
END $$;

CREATE FUNCTION webhook_create(made uuid, key text, body_sha256 text, new_url text, new_events text[], words text, new_sealed text)
RETURNS TABLE (item jsonb, sealed text) LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants;
    e webhook_endpoints;
    before uuid;
BEGIN
    PERFORM need_webhook_keeper();
    t := lock_tenant(current_tenant());
    before := idempotent(key, body_sha256, made);
    IF before IS NULL THEN
        PERFORM need_webhook_events(new_events);
        IF (SELECT count(*) FROM webhook_endpoints x WHERE x.tenant_id = t.tenant_id) >= 10 THEN
            PERFORM refuse(409, 'too_many_webhooks', 'A tenant has ten webhooks at most: delete one first.');
        END IF;
        INSERT INTO webhook_endpoints AS x (tenant_id, endpoint_id, owner_id, url, events, description)
            VALUES (t.tenant_id, made, CASE WHEN t.kind = 'individual' THEN current_person() END, new_url, new_events, words);
        INSERT INTO webhook_secrets AS x (tenant_id, endpoint_id, secret_id, sealed) VALUES (t.tenant_id, made, made, new_sealed);
        PERFORM audit(t.tenant_id, current_person(), 'webhook.created', made::text,
                      jsonb_build_object('host', webhook_host(new_url), 'events', new_events));
    END IF;
    SELECT * INTO e FROM webhook_endpoints x WHERE x.tenant_id = t.tenant_id AND x.endpoint_id = coalesce(before, made);
    RETURN QUERY SELECT webhook_json(e), webhook_secret_shown(coalesce(before, made), coalesce(before, made));
END $$;

-- The one before signs for a day more.
CREATE FUNCTION webhook_secret_new(which uuid, key text, made uuid, new_sealed text) RETURNS TABLE (item jsonb, sealed text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    e webhook_endpoints := webhook_of(which);
    before uuid := idempotent(key, which::text, made);
BEGIN
    IF before IS NULL THEN
        IF (SELECT count(*) FROM webhook_secrets s WHERE s.tenant_id = e.tenant_id AND s.endpoint_id = which
                                                     AND (s.until IS NULL OR s.until > now())) >= 5 THEN
            PERFORM refuse(409, 'too_many_secrets', 'Five secrets sign already: the oldest one ends within a day.');
        END IF;
        UPDATE webhook_secrets s SET until = now() + interval '1 day'
            WHERE s.tenant_id = e.tenant_id AND s.endpoint_id = which AND s.until IS NULL;
        INSERT INTO webhook_secrets AS s (tenant_id, endpoint_id, secret_id, sealed) VALUES (e.tenant_id, which, made, new_sealed);
        PERFORM audit(e.tenant_id, current_person(), 'webhook.secret_changed', which::text);
    END IF;
    RETURN QUERY SELECT jsonb_build_object('previous_until', max(s.until)), webhook_secret_shown(which, coalesce(before, made))
        FROM webhook_secrets s WHERE s.tenant_id = e.tenant_id AND s.endpoint_id = which;
END $$;

-- Nothing more is sent; what waits has failed, and can be replayed when it is turned on again.
CREATE FUNCTION webhook_disable(e webhook_endpoints, why text, person uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE webhook_endpoints x SET disabled_at = now(), disabled_why = why, rest_until = NULL
        WHERE x.tenant_id = e.tenant_id AND x.endpoint_id = e.endpoint_id;
    WITH ended AS (UPDATE webhook_deliveries d SET state = 'failed', next_attempt_at = NULL, sending_until = NULL,
                                                   last_error = coalesce(d.last_error, 'The webhook was turned off.')
                   WHERE d.tenant_id = e.tenant_id AND d.endpoint_id = e.endpoint_id AND d.state = 'pending'
                   RETURNING d.delivery_id)
    DELETE FROM jobs j USING ended WHERE j.kind = 'webhook' AND j.key = ended.delivery_id::text;
    PERFORM audit(e.tenant_id, person, 'webhook.disabled', e.endpoint_id::text, jsonb_build_object('why', why));
    IF why <> 'by_hand' THEN
        PERFORM mail_queue('webhook_disabled', p.email, e.tenant_id, p.person_id, jsonb_build_object('name', mail_words(p.name),
                'tenant', mail_words(t.name), 'host', webhook_host(e.url), 'why', CASE why
                    WHEN 'gone' THEN 'it answered that it is gone (410)' ELSE 'nothing could be delivered to it for five days' END))
            FROM memberships m JOIN people p USING (person_id) JOIN tenants t USING (tenant_id)
            WHERE m.tenant_id = e.tenant_id AND is_active(m) AND p.disabled_at IS NULL
              AND ('administrator' = ANY (m.roles) OR owns_tenant(m.tenant_id, m.person_id));
    END IF;
END $$;

-- `patch`: url, events, description, enabled; checked by the caller but for the events.
CREATE FUNCTION webhook_patch(which uuid, patch jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    e webhook_endpoints := webhook_of(which);
    was webhook_endpoints := e;
    wanted boolean := (patch->>'enabled')::boolean;
BEGIN
    e.url := coalesce(patch->>'url', e.url);
    e.description := coalesce(patch->>'description', e.description);
    IF patch ? 'events' THEN
        e.events := ARRAY(SELECT jsonb_array_elements_text(patch->'events'));
        PERFORM need_webhook_events(e.events);
    END IF;
    IF e.url <> was.url OR wanted AND was.disabled_at IS NOT NULL THEN -- another receiver, or one that was mended
        e.failing_since := NULL;
        e.last_failure_at := NULL;
        e.failures := 0;
        e.rest_until := NULL;
    END IF;
    IF wanted THEN
        e.disabled_at := NULL;
        e.disabled_why := NULL;
    END IF;
    IF e IS DISTINCT FROM was THEN
        UPDATE webhook_endpoints x SET url = e.url, description = e.description, events = e.events, failing_since = e.failing_since,
                last_failure_at = e.last_failure_at, failures = e.failures, rest_until = e.rest_until,
                disabled_at = e.disabled_at, disabled_why = e.disabled_why, changed_at = now()
            WHERE x.tenant_id = e.tenant_id AND x.endpoint_id = which;
        PERFORM audit(e.tenant_id, current_person(), 'webhook.changed', which::text,
                      jsonb_build_object('host', webhook_host(e.url), 'events', e.events, 'enabled', e.disabled_at IS NULL));
    END IF;
    IF NOT wanted AND e.disabled_at IS NULL THEN
        PERFORM webhook_disable(e, 'by_hand', current_person());
    END IF;
    RETURN webhook_show(which);
END $$;

CREATE FUNCTION webhook_delete(which uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    e webhook_endpoints := webhook_of(which);
BEGIN
    DELETE FROM jobs j USING webhook_deliveries d
        WHERE d.tenant_id = e.tenant_id AND d.endpoint_id = which AND d.state = 'pending' AND j.kind = 'webhook' AND j.key = d.delivery_id::text;
    DELETE FROM webhook_endpoints x WHERE x.tenant_id = e.tenant_id AND x.endpoint_id = which;
    PERFORM audit(e.tenant_id, current_person(), 'webhook.deleted', which::text);
END $$;

-- Sending by hand --------------------------------------------------------------------------------------------------

CREATE FUNCTION need_webhook_enabled(e webhook_endpoints) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF e.disabled_at IS NOT NULL THEN
        PERFORM refuse(409, 'webhook_disabled', 'This webhook is turned off: turn it on first.');
    END IF;
    -- Who presses a button wants to see now what comes of it.
    UPDATE webhook_endpoints x SET rest_until = NULL
        WHERE x.tenant_id = e.tenant_id AND x.endpoint_id = e.endpoint_id AND x.rest_until IS NOT NULL;
END $$;

CREATE FUNCTION webhook_test(which uuid) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    e webhook_endpoints := webhook_of(which);
    d webhook_deliveries;
BEGIN
    PERFORM need_webhook_enabled(e);
    IF (SELECT count(*) FROM webhook_deliveries x WHERE x.tenant_id = e.tenant_id AND x.endpoint_id = which AND x.event = 'webhook.test'
                                                    AND x.created_at > now() - interval '1 minute') >= 10 THEN
        PERFORM refuse(429, 'too_many_tests', 'Ten tests a minute are enough: wait a little.');
    END IF;
    INSERT INTO webhook_deliveries AS x (tenant_id, delivery_id, endpoint_id, event_id, event, data, happened_at)
        VALUES (e.tenant_id, uuid_v7(), which, uuid_v7(), 'webhook.test', jsonb_build_object('webhook', which), now())
        RETURNING x.* INTO d;
    PERFORM webhook_job(d, now());
    RETURN webhook_delivery_json(d);
END $$;

CREATE FUNCTION webhook_send_again(d webhook_deliveries, due timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE webhook_deliveries x SET state = 'pending', next_attempt_at = due, attempts = 0, delivered_at = NULL, sending_until = NULL
        WHERE x.tenant_id = d.tenant_id AND x.delivery_id = d.delivery_id;
    PERFORM webhook_job(d, due);
END $$;

-- One, whether it failed, was delivered or waits.
CREATE FUNCTION webhook_replay(which uuid, delivery uuid) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    e webhook_endpoints := webhook_of(which);
    d webhook_deliveries;
BEGIN
    SELECT * INTO d FROM webhook_deliveries x
        WHERE x.tenant_id = e.tenant_id AND x.endpoint_id = which AND x.delivery_id = delivery FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM refuse(404, 'delivery_not_found', 'There is no such delivery; they are kept for 30 days.');
    END IF;
    PERFORM need_webhook_enabled(e);
    IF d.sending_until IS NULL OR d.sending_until <= now() THEN -- else it is just being sent
        PERFORM webhook_send_again(d, now());
    END IF;
    RETURN (SELECT webhook_delivery_json(x) FROM webhook_deliveries x WHERE x.tenant_id = e.tenant_id AND x.delivery_id = delivery);
END $$;

-- All that failed of what happened since, oldest first, at most 10,000 at once: "more" says whether there were.
CREATE FUNCTION webhook_replay_since(which uuid, since text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    most constant int := 10000;
    e webhook_endpoints := webhook_of(which);
    start timestamptz;
    again int;
BEGIN
    BEGIN
        IF since ~ '^\d{4}-\d\d-\d\dT' THEN
            start := since::timestamptz;
        END IF;
    EXCEPTION
        WHEN data_exception THEN NULL;
    END;
    IF start IS NULL THEN
        PERFORM refuse(422, 'bad_time', 'since is a time as 2026-11-24T12:00:00Z.', '/since');
    END IF;
    PERFORM need_webhook_enabled(e);
    SELECT count(webhook_send_again(y.d, clock_timestamp() + y.n * interval '50 milliseconds'))::int INTO again
        FROM (SELECT x AS d, row_number() OVER (ORDER BY x.delivery_id) AS n FROM webhook_deliveries x
              WHERE x.tenant_id = e.tenant_id AND x.endpoint_id = which AND x.state = 'failed' AND x.happened_at >= start
              ORDER BY x.delivery_id LIMIT most) y;
    RETURN jsonb_build_object('replayed', again, 'more', again = most AND EXISTS (
        SELECT FROM webhook_deliveries x WHERE x.tenant_id = e.tenant_id AND x.endpoint_id = which AND x.state = 'failed'
                                           AND x.happened_at >= start));
END $$;

-- Sending ----------------------------------------------------------------------------------------------------------

-- The bytes that are sent and signed: the same at each attempt.
CREATE FUNCTION webhook_body(d webhook_deliveries) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT '{"type":' || to_json(d.event) || ',"timestamp":"' || to_char(d.happened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
           || '","data":' || d.data || '}' $$;

-- What else waits for this endpoint need not try before `start`: one statement, instead of a look by each of their jobs.
CREATE FUNCTION webhook_spread(e webhook_endpoints, start timestamptz) RETURNS void LANGUAGE sql AS $$
    UPDATE jobs j SET run_after = start + x.n * interval '50 milliseconds'
    FROM (SELECT y.id, row_number() OVER (ORDER BY y.run_after) AS n
          FROM (SELECT z.id, z.run_after FROM jobs z
                WHERE z.kind = 'webhook' AND z.tenant_id = e.tenant_id AND z.payload->>'endpoint' = e.endpoint_id::text
                  AND z.dead_at IS NULL AND z.lease IS NULL AND z.run_after < start
                ORDER BY z.run_after LIMIT 5000 FOR UPDATE SKIP LOCKED) y) x
    WHERE j.id = x.id $$;

-- May the job's delivery be sent now? 'send', with what it takes; 'later', in so many seconds; or 'nothing': it is over.
CREATE FUNCTION webhook_begin(which uuid)
RETURNS TABLE (verdict text, seconds int, endpoint uuid, url text, event_id uuid, body text, sealed json)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    d webhook_deliveries;
    e webhook_endpoints;
    here int;
    anywhere int;
    start timestamptz;
BEGIN
    SELECT * INTO d FROM webhook_deliveries x WHERE x.tenant_id = current_tenant() AND x.delivery_id = which;
    -- Locked: beginnings and ends at one endpoint come one after another.
    SELECT * INTO e FROM webhook_endpoints x WHERE x.tenant_id = d.tenant_id AND x.endpoint_id = d.endpoint_id FOR NO KEY UPDATE;
    SELECT * INTO d FROM webhook_deliveries x WHERE x.tenant_id = current_tenant() AND x.delivery_id = which FOR NO KEY UPDATE;
    IF d.state IS DISTINCT FROM 'pending' THEN
        RETURN QUERY SELECT 'nothing', 0, NULL::uuid, NULL, NULL::uuid, NULL, NULL::json;
        RETURN;
    END IF;
    SELECT count(*) FILTER (WHERE x.endpoint_id = e.endpoint_id), count(*) INTO here, anywhere FROM webhook_deliveries x
        WHERE x.tenant_id = e.tenant_id AND x.sending_until > now() AND x.delivery_id <> which;
    IF EXISTS (SELECT FROM tenants t WHERE t.tenant_id = e.tenant_id AND t.suspended_at IS NOT NULL) THEN
        start := now() + interval '10 minutes';
    ELSIF e.rest_until > now() THEN
        start := e.rest_until;
    ELSIF here >= (CASE WHEN e.failures > 0 THEN 1 ELSE 2 END) OR anywhere >= 4 THEN
        start := now() + interval '1 second';
    END IF;
    IF start IS NOT NULL THEN
        PERFORM webhook_spread(e, start);
        RETURN QUERY SELECT 'later', ceil(extract(epoch FROM start - now()))::int, NULL::uuid, NULL, NULL::uuid, NULL, NULL::json;
        RETURN;
    END IF;
    UPDATE webhook_deliveries x SET sending_until = now() + interval '30 seconds', last_attempt_at = now()
        WHERE x.tenant_id = d.tenant_id AND x.delivery_id = which;
    IF e.failures > 0 THEN -- the others wait for what comes of this one
        UPDATE webhook_endpoints x SET rest_until = now() + interval '20 seconds'
            WHERE x.tenant_id = e.tenant_id AND x.endpoint_id = e.endpoint_id;
    END IF;
    RETURN QUERY SELECT 'send', 0, e.endpoint_id, e.url, d.event_id, webhook_body(d),
        (SELECT json_agg(s.sealed ORDER BY s.created_at DESC) FROM webhook_secrets s
         WHERE s.tenant_id = e.tenant_id AND s.endpoint_id = e.endpoint_id AND (s.until IS NULL OR s.until > now()));
END $$;

-- The delay behind the n-th attempt: the schedule of Standard Webhooks, with up to a fifth more. NULL: it was the last.
CREATE FUNCTION webhook_delay(n int) RETURNS interval LANGUAGE sql VOLATILE AS $$
    SELECT (ARRAY[5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400])[n] * (1 + random() / 5) * interval '1 second' $$;

-- The receiver failed, status NULL when it did not answer. It rests: 5 seconds, then twice as long each time, up to 5 minutes;
-- or as long as it said. After 5 days without a success, and without a pause of two in which nobody tried, it is turned off.
CREATE FUNCTION webhook_failed(e webhook_endpoints, status int, retry_after int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE webhook_endpoints x SET failures = e.failures + 1, last_failure_at = now(),
            failing_since = CASE WHEN e.failing_since IS NULL OR e.last_failure_at < now() - interval '2 days' THEN now()
                                 ELSE e.failing_since END,
            rest_until = now() + greatest(least(5 * 2 ^ least(e.failures, 6), 300), least(coalesce(retry_after, 0), 86400)) * interval '1 second'
        WHERE x.tenant_id = e.tenant_id AND x.endpoint_id = e.endpoint_id RETURNING x.* INTO e;
    IF status = 410 THEN
        PERFORM webhook_disable(e, 'gone', NULL);
    ELSIF e.failing_since <= now() - interval '5 days' THEN
        PERFORM webhook_disable(e, 'failing', NULL);
    END IF;
END $$;

-- What came of an attempt. In so many seconds again; NULL: never, and the job is gone.
CREATE FUNCTION webhook_result(which uuid, status int, error text, retry_after int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    d webhook_deliveries;
    e webhook_endpoints;
    wait interval;
BEGIN
    SELECT * INTO d FROM webhook_deliveries x WHERE x.tenant_id = current_tenant() AND x.delivery_id = which;
    SELECT * INTO e FROM webhook_endpoints x WHERE x.tenant_id = d.tenant_id AND x.endpoint_id = d.endpoint_id FOR NO KEY UPDATE;
    SELECT * INTO d FROM webhook_deliveries x WHERE x.tenant_id = current_tenant() AND x.delivery_id = which FOR NO KEY UPDATE;
    IF d.state IS DISTINCT FROM 'pending' THEN
        RETURN NULL;
    ELSIF status BETWEEN 200 AND 299 THEN
        UPDATE webhook_deliveries x SET state = 'delivered', delivered_at = now(), next_attempt_at = NULL, sending_until = NULL,
                                        attempts = d.attempts + 1, last_status = status, last_error = NULL
            WHERE x.tenant_id = d.tenant_id AND x.delivery_id = which;
        UPDATE webhook_endpoints x SET failures = 0, failing_since = NULL, last_failure_at = NULL, rest_until = NULL
            WHERE x.tenant_id = e.tenant_id AND x.endpoint_id = e.endpoint_id AND x.failures > 0;
    ELSE
        wait := webhook_delay(d.attempts + 1);
        wait := CASE WHEN wait IS NOT NULL THEN greatest(wait, least(coalesce(retry_after, 0), 86400) * interval '1 second') END;
        UPDATE webhook_deliveries x SET state = CASE WHEN wait IS NULL THEN 'failed' ELSE 'pending' END, next_attempt_at = now() + wait,
                                        sending_until = NULL, attempts = d.attempts + 1, last_status = status, last_error = left(error, 500)
            WHERE x.tenant_id = d.tenant_id AND x.delivery_id = which;
        PERFORM webhook_failed(e, status, retry_after);
    END IF;
    IF wait IS NULL THEN
        DELETE FROM jobs j WHERE j.kind = 'webhook' AND j.key = which::text;
    END IF;
    RETURN ceil(extract(epoch FROM wait))::int;
END $$;

-- The periodic job's: what is older than 30 days, and secrets that sign no more. How many rows, at most `most` of each.
CREATE FUNCTION webhooks_sweep(most int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    gone int;
BEGIN
    WITH old AS (DELETE FROM webhook_deliveries d WHERE (d.tenant_id, d.delivery_id) IN
                     (SELECT x.tenant_id, x.delivery_id FROM webhook_deliveries x WHERE x.created_at < now() - interval '30 days'
                      LIMIT most FOR UPDATE SKIP LOCKED)
                 RETURNING d.delivery_id),
    jobs_gone AS (DELETE FROM jobs j USING old WHERE j.kind = 'webhook' AND j.key = old.delivery_id::text)
    SELECT count(*)::int INTO gone FROM old;
    DELETE FROM webhook_secrets s WHERE s.until < now();
    RETURN gone;
END $$;

GRANT EXECUTE ON FUNCTION owns_tenant, may_keep_webhooks, need_webhook_keeper, webhook_json, webhook_delivery_json, webhook_page,
    webhook_show, webhook_delivery_page, webhook_create, webhook_secret_new, webhook_patch, webhook_delete, webhook_test, webhook_replay,
    webhook_replay_since, webhook_begin, webhook_result, webhook_membership_ended, webhooks_sweep TO overread_app;
