-- The record: audit entries in a chain of hashes for each tenant, so that whoever edits, deletes, reorders or truncates
-- them is found out.
--
-- An entry is written in the transaction of what it records, and queued. Sealing gives queued entries their place: a number
-- without gaps, and hash = SHA-256(hash before || text of the entry). Sealed within seconds (a periodic job), and before
-- anybody reads: writers of one tenant would otherwise wait for each other's commits. The chain begins with the SHA-256 of
-- the tenant's id, so that no tenant's chain can pass for another's.

CREATE TABLE audit_queue (
    tenant_id uuid NOT NULL,
    entry     bigint NOT NULL,
    PRIMARY KEY (tenant_id, entry),
    FOREIGN KEY (tenant_id, entry) REFERENCES audit_log
);

CREATE TABLE audit_chain (
    tenant_id uuid NOT NULL,
    number    bigint NOT NULL CHECK (number > 0),
    entry     bigint NOT NULL,
    hash      bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (tenant_id, number),
    UNIQUE (tenant_id, entry),
    FOREIGN KEY (tenant_id, entry) REFERENCES audit_log
);
CREATE TRIGGER audit_chain_append_only BEFORE UPDATE OR DELETE ON audit_chain
    FOR EACH ROW EXECUTE FUNCTION stays_as_written();
CREATE TRIGGER audit_chain_no_truncate BEFORE TRUNCATE ON audit_chain
    FOR EACH STATEMENT EXECUTE FUNCTION stays_as_written();

CREATE TABLE audit_heads (
    tenant_id uuid PRIMARY KEY REFERENCES tenants,
    number    bigint NOT NULL DEFAULT 0,
    hash      bytea NOT NULL
);

SELECT guard_table(t) FROM unnest(ARRAY['audit_queue', 'audit_chain', 'audit_heads']::regclass[]) t;

CREATE OR REPLACE FUNCTION audit(tenant uuid, person uuid, what text, about text, details jsonb DEFAULT '{}') RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    made bigint;
BEGIN
    INSERT INTO audit_log (tenant_id, person_id, action, subject, detail) VALUES (tenant, person, what, about, details)
        RETURNING entry INTO made;
    INSERT INTO audit_queue (tenant_id, entry) VALUES (tenant, made);
END $$;

-- What was written before there was a chain.
INSERT INTO audit_queue (tenant_id, entry) SELECT tenant_id, entry FROM audit_log;

-- The bytes that are hashed (in UTF-8), and the "entry" of an exported line.
CREATE FUNCTION audit_text(number bigint, a audit_log) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT json_build_object('number', number, 'tenant', a.tenant_id,
                             'at', to_char(a.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'person', a.person_id,
                             'action', a.action, 'subject', a.subject, 'detail', a.detail)::text $$;

CREATE FUNCTION audit_genesis(tenant uuid) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT sha256(convert_to(tenant::text, 'UTF8')) $$;

-- Gives up to `most` queued entries of a tenant their place; how many it were. One at a time for a tenant.
CREATE FUNCTION audit_seal(tenant uuid, most int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    head audit_heads;
    a audit_log;
    sealed int := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM audit_queue q WHERE q.tenant_id = tenant) THEN
        RETURN 0;
    END IF;
    INSERT INTO audit_heads (tenant_id, hash) VALUES (tenant, audit_genesis(tenant)) ON CONFLICT DO NOTHING;
    SELECT * INTO head FROM audit_heads WHERE tenant_id = tenant FOR UPDATE;
    FOR a IN SELECT l.* FROM audit_queue q JOIN audit_log l USING (tenant_id, entry)
             WHERE q.tenant_id = tenant ORDER BY q.entry LIMIT most LOOP
        head.number := head.number + 1;
        head.hash := sha256(head.hash || convert_to(audit_text(head.number, a), 'UTF8'));
        INSERT INTO audit_chain (tenant_id, number, entry, hash) VALUES (tenant, head.number, a.entry, head.hash);
        DELETE FROM audit_queue q WHERE q.tenant_id = tenant AND q.entry = a.entry;
        sealed := sealed + 1;
    END LOOP;
    UPDATE audit_heads h SET number = head.number, hash = head.hash WHERE h.tenant_id = tenant;
    RETURN sealed;
END $$;

-- The periodic job's: some tenants' queues, in a bounded piece of work. True: there is more.
CREATE FUNCTION audit_seal_some() RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t uuid;
    sealed int := 0;
BEGIN
    FOR t IN SELECT DISTINCT q.tenant_id FROM audit_queue q ORDER BY q.tenant_id LIMIT 200 LOOP
        sealed := sealed + audit_seal(t, 1000);
        EXIT WHEN sealed >= 5000;
    END LOOP;
    RETURN sealed > 0 AND EXISTS (SELECT FROM audit_queue);
END $$;

-- A page of one's own tenant, newest first. The cursor is the entry's number, dressed as the UUID that every cursor is.
CREATE FUNCTION audit_page(cursor uuid, most int) RETURNS TABLE (place uuid, item json)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM audit_seal(current_tenant(), 10000);
    RETURN QUERY
        SELECT lpad(to_hex(c.number), 32, '0')::uuid,
               json_build_object('number', c.number, 'at', a.at, 'person', a.person_id, 'action', a.action,
                                 'subject', a.subject, 'detail', a.detail, 'hash', encode(c.hash, 'hex'))
        FROM audit_chain c JOIN audit_log a USING (tenant_id, entry)
        WHERE c.tenant_id = current_tenant()
          AND (cursor IS NULL OR c.number < ('x' || right(replace(cursor::text, '-', ''), 16))::bit(64)::bigint)
        ORDER BY c.number DESC LIMIT most;
END $$;

-- Lines of an export, oldest first, behind number `behind`; the entry stands last in its line, byte for byte as hashed.
CREATE FUNCTION audit_lines(tenant uuid, behind bigint, most int) RETURNS TABLE (number bigint, line text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN QUERY
        SELECT c.number, '{"number":' || c.number || ',"previous":"' ||
               encode(coalesce((SELECT p.hash FROM audit_chain p WHERE p.tenant_id = tenant AND p.number = c.number - 1),
                               audit_genesis(tenant)), 'hex') ||
               '","hash":"' || encode(c.hash, 'hex') || '","entry":' || audit_text(c.number, a) || '}'
        FROM audit_chain c JOIN audit_log a USING (tenant_id, entry)
        WHERE c.tenant_id = tenant AND c.number > behind
        ORDER BY c.number LIMIT most;
END $$;

CREATE FUNCTION audit_export(behind bigint, most int) RETURNS TABLE (number bigint, line text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM audit_seal(current_tenant(), 10000);
    RETURN QUERY SELECT * FROM audit_lines(current_tenant(), behind, most);
END $$;

GRANT EXECUTE ON FUNCTION audit_seal_some, audit_page, audit_export TO overread_app;
