-- Foundation: who asks (settings of the transaction), tenants, people, memberships, sessions, audit, outbox.
--
-- Two roles. The owner (who runs migrations) owns everything. overread_app serves requests: it owns nothing, cannot
-- bypass row-level security, and reaches what no policy gives it only through the SECURITY DEFINER functions below.
-- Row-level security is forced for the owner too, who is let in by a policy of its own, so that a table that lacks a
-- policy shows nothing to anybody.

-- Statements are prepared once per connection and take NULL for a filter that is not set. Planning them anew for each
-- execution, which PostgreSQL prefers for such statements, costs several times what running them does.
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET plan_cache_mode = force_generic_plan', current_database()); END $$;

-- Errors -----------------------------------------------------------------------------------------------------------

-- Ends the statement with an error that db/ turns into an HTTP problem: 'OR' + status.
CREATE FUNCTION refuse(status int, code text, detail text, field text DEFAULT '') RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'OR' || status, MESSAGE = code, DETAIL = detail, HINT = field;
END $$;

-- Who asks ---------------------------------------------------------------------------------------------------------

CREATE FUNCTION current_tenant() RETURNS uuid LANGUAGE sql STABLE AS
$$ SELECT nullif(current_setting('overread.tenant_id', true), '')::uuid $$;

CREATE FUNCTION current_person() RETURNS uuid LANGUAGE sql STABLE AS
$$ SELECT nullif(current_setting('overread.person_id', true), '')::uuid $$;

CREATE FUNCTION current_session_id() RETURNS uuid LANGUAGE sql STABLE AS
$$ SELECT nullif(current_setting('overread.session_id', true), '')::uuid $$;

CREATE FUNCTION current_roles() RETURNS text[] LANGUAGE sql STABLE AS
$$ SELECT string_to_array(coalesce(current_setting('overread.roles', true), ''), ',') $$;

CREATE FUNCTION become(tenant uuid, person uuid, session uuid, roles text[]) RETURNS void LANGUAGE sql AS
$$ SELECT set_config('overread.tenant_id', coalesce(tenant::text, ''), true),
          set_config('overread.person_id', coalesce(person::text, ''), true),
          set_config('overread.session_id', coalesce(session::text, ''), true),
          set_config('overread.roles', coalesce(array_to_string(roles, ','), ''), true) $$;

-- Tenants and people -----------------------------------------------------------------------------------------------

CREATE TABLE tenants (
    tenant_id        uuid PRIMARY KEY,
    kind             text NOT NULL CHECK (kind IN ('organisation', 'individual')),
    slug             text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    name             text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    session_idle     interval NOT NULL DEFAULT '30 minutes' CHECK (session_idle BETWEEN '1 second' AND '30 days'),
    session_absolute interval NOT NULL DEFAULT '12 hours' CHECK (session_absolute BETWEEN '1 second' AND '90 days'),
    access_until     timestamptz,          -- reads may be opened until then; NULL: without end
    suspended_at     timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE people (
    person_id   uuid PRIMARY KEY,
    email       text NOT NULL CHECK (length(email) BETWEEN 3 AND 254 AND email LIKE '%_@_%'),
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    disabled_at timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX people_email ON people (lower(email));

CREATE TABLE memberships (
    tenant_id uuid NOT NULL REFERENCES tenants,
    person_id uuid NOT NULL REFERENCES people,
    roles     text[] NOT NULL CHECK (cardinality(roles) > 0
                  AND roles <@ ARRAY['trainee', 'educator', 'expert', 'administrator']),
    since     timestamptz NOT NULL DEFAULT now(),
    until     timestamptz,                 -- a leaver's seat is free, the record stays
    PRIMARY KEY (tenant_id, person_id)
);
CREATE INDEX memberships_person ON memberships (person_id);

-- PHC strings (Argon2id). The application may not read this table; it asks login_lookup for one row.
CREATE TABLE passwords (
    person_id  uuid PRIMARY KEY REFERENCES people,
    phc        text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

-- Opaque sessions: only the SHA-256 of the token is stored.
CREATE TABLE sessions (
    tenant_id    uuid NOT NULL,
    session_id   uuid NOT NULL,
    person_id    uuid NOT NULL,
    token_hash   bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    client       text NOT NULL DEFAULT '' CHECK (length(client) <= 200),
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    idle         interval NOT NULL,
    ended_at     timestamptz,
    PRIMARY KEY (tenant_id, session_id),
    FOREIGN KEY (tenant_id, person_id) REFERENCES memberships
);
CREATE INDEX sessions_person ON sessions (tenant_id, person_id);

-- Idempotency keys: who repeats a creating request gets the same resource again.
CREATE TABLE idempotency_keys (
    tenant_id   uuid NOT NULL REFERENCES tenants,
    person_id   uuid NOT NULL,
    key         text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    body_sha256 text NOT NULL,
    resource    uuid NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, person_id, key)
);

-- Audit: append-only -----------------------------------------------------------------------------------------------

CREATE TABLE audit_log (
    tenant_id uuid NOT NULL REFERENCES tenants,
    entry     bigint GENERATED ALWAYS AS IDENTITY,
    at        timestamptz NOT NULL DEFAULT now(),
    person_id uuid,                        -- NULL: an operator at the command line, or the system
    action    text NOT NULL,               -- 'session.created', 'read.submitted', ...
    subject   text NOT NULL DEFAULT '',    -- id of what it was done to
    detail    jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant_id, entry)
);

CREATE FUNCTION stays_as_written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is not allowed: its rows are never changed', TG_OP, TG_TABLE_NAME;
END $$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION stays_as_written();
CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION stays_as_written();

-- Functions on the way of every request are in plpgsql: it keeps their plans, where one in SQL is planned at each call.
CREATE FUNCTION audit(tenant uuid, person uuid, what text, about text, details jsonb DEFAULT '{}') RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO audit_log (tenant_id, person_id, action, subject, detail) VALUES (tenant, person, what, about, details);
END $$;

-- Outbox -----------------------------------------------------------------------------------------------------------

CREATE TABLE jobs (
    id          uuid PRIMARY KEY,
    tenant_id   uuid REFERENCES tenants,
    person_id   uuid REFERENCES people,
    kind        text NOT NULL,
    key         text NOT NULL,             -- the same work is queued once: (kind, key)
    payload     jsonb NOT NULL,
    attempts    int NOT NULL DEFAULT 0,
    run_after   timestamptz NOT NULL DEFAULT now(),
    lease       uuid,
    lease_until timestamptz,
    last_error  text,
    dead_at     timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (kind, key)
);
CREATE INDEX jobs_due ON jobs (run_after) WHERE dead_at IS NULL;

-- Takes up to max_rows due jobs of these kinds under one lease; a lease that ran out may be taken again.
CREATE FUNCTION job_claim(kinds text[], new_lease uuid, lease_seconds int, max_rows int)
RETURNS TABLE (id text, kind text, payload text, attempt int)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    -- Materialized: within a join the LIMIT would be taken again for each row.
    WITH due AS MATERIALIZED (SELECT d.id FROM jobs d
                              WHERE d.dead_at IS NULL AND d.run_after <= now() AND d.kind = ANY (kinds)
                                AND (d.lease_until IS NULL OR d.lease_until <= now())
                              ORDER BY d.run_after LIMIT max_rows FOR UPDATE SKIP LOCKED)
    UPDATE jobs j SET lease = new_lease, lease_until = now() + lease_seconds * interval '1 second',
                      attempts = j.attempts + 1
    FROM due WHERE j.id = due.id
    RETURNING j.id::text, j.kind, j.payload::text, j.attempts $$;

CREATE FUNCTION job_done(job uuid, held uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS
$$ DELETE FROM jobs WHERE id = job AND lease = held $$;

CREATE FUNCTION job_failed(job uuid, held uuid, error text, retry_in_seconds int, dead boolean) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE jobs SET lease = NULL, lease_until = NULL, last_error = left(error, 1000),
                    run_after = now() + retry_in_seconds * interval '1 second',
                    dead_at = CASE WHEN dead THEN now() END
    WHERE id = job AND lease = held $$;

-- What `authenticate` is for a session, this is for a job: acts as the job's tenant and person while the lease holds.
CREATE FUNCTION assume_job(job uuid, held uuid) RETURNS TABLE (tenant_id text, person_id text, session_id text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    j jobs;
BEGIN
    SELECT * INTO j FROM jobs WHERE jobs.id = job AND lease = held AND lease_until > now();
    IF NOT FOUND THEN
        PERFORM refuse(409, 'lease_lost', 'Another worker has taken this job, or it is done.');
    END IF;
    PERFORM become(j.tenant_id, j.person_id, NULL, '{}');
    RETURN QUERY SELECT j.tenant_id::text, j.person_id::text, NULL::text;
END $$;

CREATE FUNCTION jobs_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.run_after <= now() THEN
        NOTIFY overread_jobs;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER jobs_notify AFTER INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION jobs_notify();

-- Sign in ----------------------------------------------------------------------------------------------------------

-- The hash to verify a password against. One row always: for an unknown or disabled person it is empty, and the
-- caller verifies a dummy hash, so that both take the same time.
CREATE FUNCTION login_lookup(address text) RETURNS TABLE (person_id text, phc text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT p.person_id::text, w.phc
    FROM (SELECT 1) always
    LEFT JOIN people p ON lower(p.email) = lower(address) AND p.disabled_at IS NULL
    LEFT JOIN passwords w ON w.person_id = p.person_id $$;

-- Parameters rose since the password was set: replaces the hash that was just verified, and no other.
CREATE FUNCTION password_rehash(person uuid, old_phc text, new_phc text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS
$$ UPDATE passwords SET phc = new_phc WHERE person_id = person AND phc = old_phc $$;

-- Opens a session for a person whose password has just been verified. Without a slug the person's only tenant.
CREATE FUNCTION session_create(person uuid, tenant_slug text, session uuid, token_sha256 text, client_name text)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants;
    m memberships;
    found_count int;
    ends timestamptz;
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
    ends := now() + t.session_absolute;
    INSERT INTO sessions (tenant_id, session_id, person_id, token_hash, client, expires_at, idle)
        VALUES (t.tenant_id, session, person, decode(token_sha256, 'hex'), coalesce(client_name, ''), ends,
                t.session_idle);
    PERFORM audit(t.tenant_id, person, 'session.created', session::text);
    RETURN (SELECT json_build_object(
                'session', session, 'expires_at', to_json(ends), 'idle_seconds', extract(epoch FROM t.session_idle)::int,
                'person', json_build_object('id', p.person_id, 'name', p.name, 'email', p.email),
                'tenant', json_build_object('id', t.tenant_id, 'kind', t.kind, 'slug', t.slug, 'name', t.name),
                'roles', to_json(m.roles))
            FROM people p WHERE p.person_id = person);
END $$;

-- First statement of every guarded request: finds the session, refuses or sets who asks for this transaction.
CREATE FUNCTION authenticate(token_sha256 text, needed_roles text)
RETURNS TABLE (tenant_id text, person_id text, session_id text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    s record;
BEGIN
    SELECT x.tenant_id, x.person_id, x.session_id, x.last_seen_at, x.idle, m.roles, t.suspended_at INTO s
    FROM sessions x
    JOIN memberships m ON m.tenant_id = x.tenant_id AND m.person_id = x.person_id
    JOIN tenants t ON t.tenant_id = x.tenant_id
    JOIN people p ON p.person_id = x.person_id
    WHERE x.token_hash = decode(token_sha256, 'hex') AND x.ended_at IS NULL AND x.expires_at > now()
      AND x.last_seen_at + x.idle > now() AND (m.until IS NULL OR m.until > now()) AND p.disabled_at IS NULL;
    IF NOT FOUND THEN
        PERFORM refuse(401, 'session_ended', 'There is no such session, or it has ended. Sign in again.');
    END IF;
    IF s.suspended_at IS NOT NULL THEN
        PERFORM refuse(403, 'tenant_suspended', 'This tenant is suspended; ask its administrator.');
    END IF;
    IF needed_roles <> '*' AND NOT s.roles && string_to_array(needed_roles, ',') THEN
        PERFORM refuse(403, 'role_required', 'Only these roles may do this: ' || replace(needed_roles, ',', ', ') || '.');
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

-- A session that ends is told to every node at once: caches of who may see what forget it.
CREATE FUNCTION sessions_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.ended_at IS NOT NULL AND OLD.ended_at IS NULL THEN
        PERFORM pg_notify('overread_revoked', '');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER sessions_notify AFTER UPDATE ON sessions FOR EACH ROW EXECUTE FUNCTION sessions_notify();

CREATE FUNCTION revoked_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('overread_revoked', '');
    RETURN NULL;
END $$;
CREATE TRIGGER tenants_notify AFTER UPDATE ON tenants FOR EACH STATEMENT EXECUTE FUNCTION revoked_notify();
CREATE TRIGGER memberships_notify AFTER UPDATE OR DELETE ON memberships
    FOR EACH STATEMENT EXECUTE FUNCTION revoked_notify();
CREATE TRIGGER people_notify AFTER UPDATE ON people FOR EACH STATEMENT EXECUTE FUNCTION revoked_notify();

-- Remembers a creating request. NULL: this key is new and now stands for `made`; else what it made before.
CREATE FUNCTION idempotent(new_key text, sha256 text, made uuid) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    seen idempotency_keys;
BEGIN
    IF new_key IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO idempotency_keys (tenant_id, person_id, key, body_sha256, resource)
        VALUES (current_tenant(), current_person(), new_key, sha256, made)
        ON CONFLICT DO NOTHING;
    IF FOUND THEN
        RETURN NULL;
    END IF;
    SELECT * INTO seen FROM idempotency_keys
        WHERE tenant_id = current_tenant() AND person_id = current_person() AND key = new_key;
    IF seen.body_sha256 <> sha256 THEN
        PERFORM refuse(422, 'idempotency_key_reused', 'This key was used before with another request.',
                       'Idempotency-Key');
    END IF;
    RETURN seen.resource;
END $$;

-- Row-level security -----------------------------------------------------------------------------------------------

-- Every table: forced, the owner by a policy of its own.
CREATE FUNCTION guard_table(name regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY operator ON %s TO CURRENT_USER USING (true) WITH CHECK (true)', name);
END $$;

SELECT guard_table(t) FROM unnest(ARRAY['tenants', 'people', 'memberships', 'passwords', 'sessions',
                                        'idempotency_keys', 'audit_log', 'jobs']::regclass[]) t;

CREATE POLICY tenant ON tenants TO overread_app USING (tenant_id = current_tenant());
CREATE POLICY tenant ON memberships TO overread_app USING (tenant_id = current_tenant());
CREATE POLICY tenant ON people TO overread_app
    USING (EXISTS (SELECT FROM memberships m WHERE m.tenant_id = current_tenant() AND m.person_id = people.person_id));
CREATE POLICY tenant ON sessions TO overread_app
    USING (tenant_id = current_tenant() AND person_id = current_person())
    WITH CHECK (tenant_id = current_tenant() AND person_id = current_person());
CREATE POLICY tenant ON idempotency_keys TO overread_app
    USING (tenant_id = current_tenant() AND person_id = current_person())
    WITH CHECK (tenant_id = current_tenant() AND person_id = current_person());
CREATE POLICY tenant ON audit_log TO overread_app USING (tenant_id = current_tenant());

GRANT USAGE ON SCHEMA public TO overread_app;
GRANT SELECT ON tenants, people, memberships, sessions, audit_log TO overread_app;
GRANT UPDATE (ended_at) ON sessions TO overread_app;
GRANT SELECT, INSERT ON idempotency_keys TO overread_app;
-- Functions of the schema are for the application unless taken away again; PUBLIC gets none.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
GRANT EXECUTE ON FUNCTION refuse, current_tenant, current_person, current_session_id, current_roles,
    job_claim, job_done, job_failed, assume_job, login_lookup, password_rehash, session_create, authenticate, idempotent, audit
    TO overread_app;
