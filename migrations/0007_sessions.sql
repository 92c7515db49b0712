-- Sessions in stages: a password opens a session that may owe a step (second factor, enrolment, a new password); until it
-- is done the session reaches nothing but that step. And what signing in, switching, tokens and mail share.

-- What a tenant asks of its people ---------------------------------------------------------------------------------

ALTER TABLE tenants
    ADD COLUMN second_factor    text NOT NULL DEFAULT 'optional' CHECK (second_factor IN ('optional', 'required')),
    ADD COLUMN password_sign_in boolean NOT NULL DEFAULT true; -- false: single sign-on only, but for who may break glass

-- manager: a line manager, who sees results of who consented; support: an operator whom the tenant let in for a time.
ALTER TABLE memberships DROP CONSTRAINT memberships_roles_check,
    ADD CONSTRAINT memberships_roles_check CHECK (cardinality(roles) > 0
        AND roles <@ ARRAY['trainee', 'educator', 'expert', 'administrator', 'manager', 'support']),
    ADD CONSTRAINT memberships_support_ends CHECK (NOT 'support' = ANY (roles) OR (cardinality(roles) = 1 AND until IS NOT NULL)),
    ADD COLUMN break_glass boolean NOT NULL DEFAULT false;     -- may sign in with a password whatever the policy

ALTER TABLE people ADD COLUMN email_verified_at timestamptz;
UPDATE people SET email_verified_at = created_at;              -- made by operators so far
ALTER TABLE passwords ADD COLUMN must_change boolean NOT NULL DEFAULT false;

-- The kinds of second factor that a person has. 0010 gives it its substance.
CREATE FUNCTION second_factors(person uuid) RETURNS text[] LANGUAGE sql STABLE AS $$ SELECT '{}'::text[] $$;

-- Sessions ---------------------------------------------------------------------------------------------------------

ALTER TABLE sessions
    ADD COLUMN stage   text NOT NULL DEFAULT 'full' CHECK (stage IN ('second_factor', 'enrolment', 'password', 'full')),
    ADD COLUMN methods text[] NOT NULL DEFAULT '{}'            -- how the person was recognised
        CHECK (methods <@ ARRAY['password', 'totp', 'security_key', 'recovery_code', 'passkey', 'single_sign_on']);

CREATE FUNCTION current_stage() RETURNS text LANGUAGE sql STABLE AS
$$ SELECT coalesce(nullif(current_setting('overread.stage', true), ''), 'full') $$;

-- For what a pending session may do (routes of role "pending"): only in these stages.
CREATE FUNCTION need_stage(VARIADIC stages text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT current_stage() = ANY (stages) THEN
        PERFORM refuse(403, CASE current_stage() WHEN 'second_factor' THEN 'second_factor_required'
                                                 WHEN 'enrolment' THEN 'enrolment_required'
                                                 WHEN 'password' THEN 'password_change_required'
                                                 ELSE 'already_signed_in' END,
                       'The session is not at the step that this request belongs to.');
    END IF;
END $$;

-- The next step that a session owes, by how the person was recognised. Refuses what the tenant does not let in.
-- Single sign-on and passkeys (which verify the person by themselves) need no second factor of ours.
CREATE FUNCTION session_stage(t tenants, m memberships, methods text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    factors text[];
BEGIN
    IF NOT t.password_sign_in AND NOT 'single_sign_on' = ANY (methods) AND NOT m.break_glass AND NOT 'support' = ANY (m.roles) THEN
        PERFORM refuse(403, 'single_sign_on_required', 'This tenant signs in through its own sign-on service.', '/tenant');
    END IF;
    IF NOT methods && ARRAY['single_sign_on', 'passkey', 'totp', 'security_key', 'recovery_code'] THEN
        factors := second_factors(m.person_id);
        IF cardinality(factors) > 0 THEN
            RETURN 'second_factor';
        ELSIF t.second_factor = 'required' OR 'support' = ANY (m.roles) THEN
            RETURN 'enrolment';
        END IF;
    END IF;
    IF 'password' = ANY (methods) AND EXISTS (SELECT FROM passwords w WHERE w.person_id = m.person_id AND w.must_change) THEN
        RETURN 'password';
    END IF;
    RETURN 'full';
END $$;

-- A session as its person sees it.
CREATE FUNCTION session_json(tenant uuid, session uuid) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT json_build_object(
                'session', s.session_id, 'stage', s.stage, 'methods', to_json(s.methods),
                'second_factors', CASE WHEN s.stage = 'second_factor' THEN to_json(second_factors(s.person_id)) END,
                'expires_at', s.expires_at, 'idle_seconds', extract(epoch FROM s.idle)::int,
                'person', json_build_object('id', p.person_id, 'name', p.name, 'email', p.email),
                'tenant', json_build_object('id', t.tenant_id, 'kind', t.kind, 'slug', t.slug, 'name', t.name),
                'roles', to_json(m.roles))
            FROM sessions s JOIN people p USING (person_id) JOIN tenants t USING (tenant_id)
            JOIN memberships m USING (tenant_id, person_id)
            WHERE s.tenant_id = tenant AND s.session_id = session);
END $$;

-- Opens a session for a person who has just been recognised by `methods`. Without a slug in the person's only tenant.
CREATE FUNCTION session_open(person uuid, tenant_slug text, session uuid, token_sha256 text, client_name text, methods text[])
RETURNS json LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants;
    m memberships;
    found_count int;
BEGIN
    SELECT count(*) INTO found_count FROM memberships x JOIN tenants y USING (tenant_id)
        WHERE x.person_id = person AND (x.until IS NULL OR x.until > now())
          AND (tenant_slug IS NULL OR y.slug = tenant_slug);
    IF found_count = 0 THEN
        PERFORM refuse(401, 'sign_in_failed', 'The e-mail address, the password or the tenant is not right.');
    ELSIF found_count > 1 THEN
        PERFORM refuse(422, 'tenant_required', 'You belong to several tenants: say which one.', '/tenant');
    END IF;
    SELECT x.* INTO m FROM memberships x JOIN tenants y USING (tenant_id)
        WHERE x.person_id = person AND (x.until IS NULL OR x.until > now())
          AND (tenant_slug IS NULL OR y.slug = tenant_slug);
    SELECT * INTO t FROM tenants WHERE tenant_id = m.tenant_id;
    IF t.suspended_at IS NOT NULL THEN
        PERFORM refuse(403, 'tenant_suspended', 'This tenant is suspended; ask its administrator.');
    END IF;
    INSERT INTO sessions (tenant_id, session_id, person_id, token_hash, client, expires_at, idle, stage, methods)
        VALUES (t.tenant_id, session, person, decode(token_sha256, 'hex'), coalesce(client_name, ''),
                now() + t.session_absolute, t.session_idle, session_stage(t, m, methods), methods);
    PERFORM audit(t.tenant_id, person, 'session.created', session::text, jsonb_build_object('methods', methods));
    RETURN session_json(t.tenant_id, session);
END $$;
DROP FUNCTION session_create;

-- A step is done: the session moves on, under a new token; the old one is void at once. `method` NULL: the step
-- was not one of recognition (a new password, an enrolment that has just proved itself).
CREATE FUNCTION session_advance(new_token_sha256 text, method text) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants;
    m memberships;
    s sessions;
BEGIN
    SELECT * INTO s FROM sessions WHERE tenant_id = current_tenant() AND session_id = current_session_id() FOR UPDATE;
    SELECT * INTO t FROM tenants WHERE tenant_id = s.tenant_id;
    SELECT * INTO m FROM memberships WHERE tenant_id = s.tenant_id AND person_id = s.person_id;
    IF method IS NOT NULL AND NOT method = ANY (s.methods) THEN
        s.methods := s.methods || method;
    END IF;
    UPDATE sessions x SET token_hash = decode(new_token_sha256, 'hex'), methods = s.methods,
                          stage = session_stage(t, m, s.methods), last_seen_at = now()
        WHERE x.tenant_id = s.tenant_id AND x.session_id = s.session_id;
    PERFORM pg_notify('overread_revoked', '');
    RETURN session_json(s.tenant_id, s.session_id);
END $$;

-- Into another tenant of the same person: explicit, a new session under a new token; the old one ends.
CREATE FUNCTION session_switch(tenant_slug text, session uuid, token_sha256 text) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    s sessions;
    opened json;
BEGIN
    SELECT * INTO s FROM sessions WHERE tenant_id = current_tenant() AND session_id = current_session_id() FOR UPDATE;
    IF NOT EXISTS (SELECT FROM memberships m JOIN tenants t USING (tenant_id)
                   WHERE m.person_id = s.person_id AND t.slug = tenant_slug AND (m.until IS NULL OR m.until > now())) THEN
        PERFORM refuse(404, 'tenant_not_found', 'You belong to no such tenant.', '/tenant');
    END IF;
    opened := session_open(s.person_id, tenant_slug, session, token_sha256, s.client, s.methods);
    UPDATE sessions x SET ended_at = now() WHERE x.tenant_id = s.tenant_id AND x.session_id = s.session_id;
    PERFORM audit(s.tenant_id, s.person_id, 'session.ended', s.session_id::text, '{"reason": "switched"}');
    RETURN opened;
END $$;

-- Ends every session of a person, in every tenant, but one. For a new password, a disabled person, one's own wish.
CREATE FUNCTION sessions_end(person uuid, but uuid, reason text) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    ended int;
BEGIN
    WITH gone AS (UPDATE sessions s SET ended_at = now()
                  WHERE s.person_id = person AND s.ended_at IS NULL AND s.session_id IS DISTINCT FROM but
                  RETURNING s.tenant_id, s.session_id)
    SELECT count(audit(g.tenant_id, person, 'session.ended', g.session_id::text, jsonb_build_object('reason', reason)))
        INTO ended FROM gone g;
    RETURN ended;
END $$;

-- Tokens of programs -----------------------------------------------------------------------------------------------

-- For clients, scoped and expiring; of a person, or (person_id NULL) of a tenant's provisioning service, scope 'scim'.
-- Scopes: an area of the API, which is the first segment of the path behind /v1/, and what for: 'cases:read', 'reads:write'.
-- Write includes read.
CREATE TABLE api_tokens (
    tenant_id    uuid NOT NULL REFERENCES tenants,
    token_id     uuid NOT NULL,
    person_id    uuid,
    name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    token_hash   bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    scopes       text[] NOT NULL CHECK (cardinality(scopes) BETWEEN 1 AND 50),
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    last_used_at timestamptz,
    revoked_at   timestamptz,
    PRIMARY KEY (tenant_id, token_id),
    FOREIGN KEY (tenant_id, person_id) REFERENCES memberships,
    CHECK ((person_id IS NULL) = (scopes = ARRAY['scim']))
);
CREATE INDEX api_tokens_person ON api_tokens (tenant_id, person_id);

CREATE FUNCTION authenticate_token(hash bytea, needed_roles text, scope text)
RETURNS TABLE (tenant_id text, person_id text, session_id text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    k record;
BEGIN
    SELECT x.tenant_id, x.token_id, x.person_id, x.scopes, x.last_used_at, t.suspended_at,
           CASE WHEN x.person_id IS NULL THEN ARRAY['scim'] ELSE m.roles END AS roles INTO k
    FROM api_tokens x
    JOIN tenants t ON t.tenant_id = x.tenant_id
    LEFT JOIN memberships m ON m.tenant_id = x.tenant_id AND m.person_id = x.person_id
    LEFT JOIN people p ON p.person_id = x.person_id
    WHERE x.token_hash = hash AND x.revoked_at IS NULL AND x.expires_at > now()
      AND (x.person_id IS NULL OR ((m.until IS NULL OR m.until > now()) AND p.disabled_at IS NULL));
    IF NOT FOUND THEN
        PERFORM refuse(401, 'session_ended', 'There is no such session, or it has ended. Sign in again.');
    END IF;
    IF k.suspended_at IS NOT NULL THEN
        PERFORM refuse(403, 'tenant_suspended', 'This tenant is suspended; ask its administrator.');
    END IF;
    IF needed_roles = 'pending' OR (needed_roles <> '*' AND NOT k.roles && string_to_array(needed_roles, ','))
       OR (needed_roles = '*' AND k.person_id IS NULL) THEN
        PERFORM refuse(403, 'role_required', 'Only these roles may do this: ' || replace(needed_roles, ',', ', ') || '.');
    END IF;
    IF k.person_id IS NOT NULL AND NOT k.scopes && ARRAY[scope, replace(scope, ':read', ':write')] THEN
        PERFORM refuse(403, 'scope_required', 'This token does not have the scope ' || scope || '.');
    END IF;
    PERFORM become(k.tenant_id, k.person_id, NULL, k.roles);
    IF k.last_used_at IS NULL OR k.last_used_at < now() - interval '1 minute' THEN
        UPDATE api_tokens x SET last_used_at = now()
        WHERE (x.tenant_id, x.token_id) = (SELECT y.tenant_id, y.token_id FROM api_tokens y
                                           WHERE y.tenant_id = k.tenant_id AND y.token_id = k.token_id
                                           FOR NO KEY UPDATE SKIP LOCKED);
    END IF;
    RETURN QUERY SELECT k.tenant_id::text, k.person_id::text, NULL::text;
END $$;

-- As in 0001, and: needed is the route's roles ("*", "pending", "trainee,educator"), for a program's token followed by a
-- blank and the scope that the request takes. Only "pending" lets a session in that still owes a step.
CREATE OR REPLACE FUNCTION authenticate(token_sha256 text, needed_roles text)
RETURNS TABLE (tenant_id text, person_id text, session_id text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    s record;
    needed text := split_part(needed_roles, ' ', 1);
BEGIN
    SELECT x.tenant_id, x.person_id, x.session_id, x.last_seen_at, x.idle, x.stage, m.roles, t.suspended_at INTO s
    FROM sessions x
    JOIN memberships m ON m.tenant_id = x.tenant_id AND m.person_id = x.person_id
    JOIN tenants t ON t.tenant_id = x.tenant_id
    JOIN people p ON p.person_id = x.person_id
    WHERE x.token_hash = decode(token_sha256, 'hex') AND x.ended_at IS NULL AND x.expires_at > now()
      AND x.last_seen_at + x.idle > now() AND (m.until IS NULL OR m.until > now()) AND p.disabled_at IS NULL;
    IF NOT FOUND THEN
        RETURN QUERY SELECT * FROM authenticate_token(decode(token_sha256, 'hex'), needed, split_part(needed_roles, ' ', 2));
        RETURN;
    END IF;
    IF s.suspended_at IS NOT NULL THEN
        PERFORM refuse(403, 'tenant_suspended', 'This tenant is suspended; ask its administrator.');
    END IF;
    IF s.stage <> 'full' THEN
        PERFORM set_config('overread.stage', s.stage, true);
        IF needed <> 'pending' THEN
            PERFORM need_stage('full');
        END IF;
    END IF;
    IF needed NOT IN ('*', 'pending') AND NOT s.roles && string_to_array(needed, ',') THEN
        PERFORM refuse(403, 'role_required', 'Only these roles may do this: ' || replace(needed, ',', ', ') || '.');
    END IF;
    PERFORM set_config('overread.tenant_id', s.tenant_id::text, true),
            set_config('overread.person_id', s.person_id::text, true),
            set_config('overread.session_id', s.session_id::text, true),
            set_config('overread.roles', array_to_string(s.roles, ','), true);
    -- Idle time is kept to a grain of some seconds: a write for every read would double its cost. Who else holds the row
    -- notes the time just as well: nobody waits here, for reads share their connection with other people's.
    IF s.last_seen_at < now() - least(interval '10 seconds', s.idle / 4) THEN
        UPDATE sessions x SET last_seen_at = now()
        WHERE (x.tenant_id, x.session_id) = (SELECT y.tenant_id, y.session_id FROM sessions y
                                             WHERE y.tenant_id = s.tenant_id AND y.session_id = s.session_id
                                             FOR NO KEY UPDATE SKIP LOCKED);
    END IF;
    RETURN QUERY SELECT s.tenant_id::text, s.person_id::text, s.session_id::text;
END $$;

-- Mail, and the links in it ------------------------------------------------------------------------------------------

-- A ticket is what a link in a mail stands for: verify an address, reset a password, accept an invitation. The link's token
-- is made when the mail is sent, and again when it is sent again; only its SHA-256 is kept, so that neither table nor
-- outbox holds anything that opens a door.
CREATE TABLE tickets (
    ticket_id  uuid PRIMARY KEY,
    kind       text NOT NULL CHECK (kind IN ('account', 'email', 'password_reset', 'invitation', 'join')),
    tenant_id  uuid REFERENCES tenants,
    person_id  uuid REFERENCES people,
    email      text NOT NULL,
    detail     jsonb NOT NULL DEFAULT '{}',
    life       interval NOT NULL,              -- from when the mail was sent
    token_hash bytea UNIQUE CHECK (octet_length(token_hash) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    used_at    timestamptz
);
CREATE INDEX tickets_email ON tickets (lower(email));

-- Puts a mail into the outbox, in the caller's transaction. Template: a file of core/outbound/templates. `vals` fill it;
-- of a ticket also {link}.
CREATE FUNCTION mail_queue(template text, address text, tenant uuid, person uuid, vals jsonb, ticket uuid DEFAULT NULL)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    job uuid := gen_random_uuid();
BEGIN
    -- Names come from many doors; a line break in one must not stop the mail.
    SELECT coalesce(jsonb_object_agg(v.key, regexp_replace(v.value, '[[:cntrl:]]+', ' ', 'g')), '{}') INTO vals
        FROM jsonb_each_text(vals) v;
    INSERT INTO jobs (id, tenant_id, person_id, kind, key, payload)
        VALUES (job, tenant, person, 'mail', job::text,
                jsonb_build_object('template', template, 'to', address, 'values', vals, 'ticket', ticket));
END $$;

-- "10 minutes", "1 day": how long a link lives, in words for its mail.
CREATE FUNCTION life_text(life interval) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT n || ' ' || unit || CASE WHEN n = 1 THEN '' ELSE 's' END
    FROM (SELECT extract(epoch FROM life)::bigint) s (seconds),
         LATERAL (SELECT CASE WHEN seconds % 86400 = 0 THEN 86400 WHEN seconds % 3600 = 0 THEN 3600 ELSE 60 END) d (divisor),
         LATERAL (SELECT seconds / divisor, CASE divisor WHEN 86400 THEN 'day' WHEN 3600 THEN 'hour' ELSE 'minute' END) w (n, unit)
$$;

-- Opens a ticket and queues its mail; older open tickets of the same kind, tenant and address are void.
CREATE FUNCTION ticket_open(new_kind text, template text, tenant uuid, person uuid, address text, new_life interval,
                            vals jsonb, new_detail jsonb DEFAULT '{}') RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    made uuid := gen_random_uuid();
BEGIN
    UPDATE tickets SET used_at = now()
        WHERE lower(email) = lower(address) AND kind = new_kind AND tenant_id IS NOT DISTINCT FROM tenant AND used_at IS NULL;
    INSERT INTO tickets (ticket_id, kind, tenant_id, person_id, email, life, detail)
        VALUES (made, new_kind, tenant, person, address, new_life, new_detail);
    PERFORM mail_queue(template, address, tenant, person, vals || jsonb_build_object('life', life_text(new_life)), made);
    RETURN made;
END $$;

-- The mail is about to be sent: from now on this token stands for the ticket. False: the ticket is void, nothing to send.
CREATE FUNCTION ticket_issue(which uuid, token_sha256 text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE tickets SET token_hash = decode(token_sha256, 'hex'), expires_at = now() + life
        WHERE ticket_id = which AND used_at IS NULL;
    RETURN FOUND;
END $$;

-- What a token stands for, without using it up: at most one row.
CREATE FUNCTION ticket_of(wanted_kind text, token_sha256 text) RETURNS SETOF tickets
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT * FROM tickets WHERE token_hash = decode(token_sha256, 'hex') AND kind = wanted_kind AND used_at IS NULL
                            AND expires_at > now() $$;

-- Uses it up, once; refuses what is unknown, used or expired in one voice.
CREATE FUNCTION ticket_use(wanted_kind text, token_sha256 text) RETURNS tickets
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    k tickets;
BEGIN
    UPDATE tickets SET used_at = now() WHERE token_hash = decode(token_sha256, 'hex') AND kind = wanted_kind
                                         AND used_at IS NULL AND expires_at > now() RETURNING * INTO k;
    IF NOT FOUND THEN
        PERFORM refuse(410, 'link_expired', 'This link was used before, has expired, or was never one. Ask for a new one.', '/token');
    END IF;
    RETURN k;
END $$;

-- Periodic jobs --------------------------------------------------------------------------------------------------------

CREATE FUNCTION job_ensure(of_kind text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO jobs (id, kind, key, payload) VALUES (gen_random_uuid(), of_kind, 'periodic', '{}') ON CONFLICT DO NOTHING $$;

CREATE FUNCTION job_again(job uuid, held uuid, seconds int) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE jobs SET lease = NULL, lease_until = NULL, attempts = 0, last_error = NULL,
                    run_after = now() + seconds * interval '1 second'
    WHERE id = job AND lease = held $$;
GRANT EXECUTE ON FUNCTION job_ensure, job_again TO overread_app;

SELECT guard_table(t) FROM unnest(ARRAY['api_tokens', 'tickets']::regclass[]) t;
CREATE POLICY own ON api_tokens TO overread_app
    USING (tenant_id = current_tenant() AND person_id = current_person())
    WITH CHECK (tenant_id = current_tenant() AND person_id = current_person());
GRANT SELECT ON api_tokens TO overread_app;
-- tickets: reached by no policy; only through functions.

GRANT EXECUTE ON FUNCTION current_stage, need_stage, session_open, session_advance, session_switch, session_json, ticket_issue
    TO overread_app;
