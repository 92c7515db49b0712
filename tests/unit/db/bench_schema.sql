CREATE ROLE app LOGIN NOSUPERUSER NOBYPASSRLS;
CREATE SEQUENCE executions;
CREATE TABLE counters (id int PRIMARY KEY, n int NOT NULL);
INSERT INTO counters SELECT i, 0 FROM generate_series(1, 8) i;
CREATE TABLE shapes (sides int);
CREATE TABLE deferred_keys (k int UNIQUE DEFERRABLE INITIALLY DEFERRED);
INSERT INTO deferred_keys VALUES (1);

CREATE TABLE items (tenant_id uuid NOT NULL, item int NOT NULL, PRIMARY KEY (tenant_id, item));
INSERT INTO items SELECT t, i FROM generate_series(1, 10) i,
    unnest(ARRAY['00000000-0000-7000-8000-00000000000a', '00000000-0000-7000-8000-00000000000b']::uuid[]) t;
ALTER TABLE items ENABLE ROW LEVEL SECURITY;
ALTER TABLE items FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON items USING (tenant_id = nullif(current_setting('overread.tenant_id', true), '')::uuid);

CREATE FUNCTION authenticate(token text, need text) RETURNS TABLE (tenant_id text, person_id text, session_id text)
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    tenant text := CASE token WHEN 'token-a' THEN '00000000-0000-7000-8000-00000000000a'
                              WHEN 'token-b' THEN '00000000-0000-7000-8000-00000000000b' END;
BEGIN
    IF tenant IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'OR401', MESSAGE = 'session_ended', DETAIL = 'Sign in again.';
    END IF;
    PERFORM set_config('overread.tenant_id', tenant, true);
    RETURN QUERY SELECT tenant, 'person'::text, NULL::text;
END $$;

CREATE FUNCTION refuse(status int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'OR' || status, MESSAGE = 'a_code', DETAIL = 'In words.', HINT = '/field';
END $$;

CREATE FUNCTION raise_sqlstate(state text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = state, MESSAGE = 'as asked';
END $$;

CREATE FUNCTION flaky(until int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    n bigint := nextval('executions');
BEGIN
    IF n < until THEN
        RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = 'try again';
    END IF;
    RETURN n;
END $$;

GRANT USAGE ON SCHEMA public TO app;
GRANT SELECT, UPDATE ON counters TO app;
GRANT SELECT ON shapes, items, executions TO app;
GRANT USAGE ON executions TO app;
GRANT SELECT, INSERT ON deferred_keys TO app;
