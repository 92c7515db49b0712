-- Data protection: taking along what is held about a person (export), and forgetting the person (erasure).
--
-- Erasure leaves the person's id, which then says nothing of anybody: what was read and graded stays as statistics, and the
-- audit record keeps its chain, since neither holds a name or an address. An answer is held to its modality's schema; free
-- text has no place in one. The ledger of erasures is kept outside backups too, and replayed after one was restored.

-- What is held of a person beside `people` itself, `reads` (with drafts and grades), `audit_log` and mails: each table that
-- names a person in `person_column`. A table is listed here whether it is there already or not.
CREATE TABLE personal_data (
    relation      text PRIMARY KEY,
    person_column text NOT NULL,
    place         int NOT NULL,                -- erased in this order
    exported_as   text,                        -- NULL: nothing of it tells the person anything
    hidden        text[] NOT NULL DEFAULT '{}', -- columns that do not leave: secrets, and the row's own person
    erased        boolean NOT NULL,            -- false: stays, of nobody any more
    why           text NOT NULL
);

INSERT INTO personal_data (relation, person_column, place, exported_as, hidden, erased, why) VALUES
    ('memberships', 'person_id', 900, 'memberships', '{person_id}', false, 'ended; reads and grades hang on it'),
    ('membership_periods', 'person_id', 900, 'membership_periods', '{person_id}', false, 'bounds what educators see of reads that stay'),
    ('cohort_educators', 'person_id', 10, 'cohorts_taught', '{person_id}', true, 'ends with the membership'),
    ('consents', 'person_id', 900, 'consents', '{person_id}', false, 'withdrawn; proof of what was lawful'),
    ('passwords', 'person_id', 10, 'password', '{person_id,phc}', true, 'opens the account'),
    ('sessions', 'person_id', 20, 'sessions', '{person_id,token_hash}', true, 'names the client'),
    ('api_tokens', 'person_id', 20, 'api_tokens', '{person_id,token_hash}', true, 'opens the account'),
    ('totp', 'person_id', 10, 'authenticator_app', '{person_id,seed,last_step}', true, 'opens the account'),
    ('recovery_codes', 'person_id', 10, 'recovery_codes', '{person_id,code_hash}', true, 'opens the account'),
    ('passkeys', 'person_id', 10, 'passkeys', '{person_id,credential_id,public_key}', true, 'opens the account'),
    ('sso_identities', 'person_id', 10, 'single_sign_on', '{person_id}', true, 'opens the account'),
    ('scim_users', 'person_id', 10, 'provisioning', '{person_id}', true, 'what a directory calls the person'),
    ('webauthn_challenges', 'person_id', 10, NULL, '{}', true, 'lives five minutes'),
    ('idempotency_keys', 'person_id', 10, NULL, '{}', true, 'technical; lives seven days'),
    ('standings', 'person_id', 900, 'standings', '{person_id}', false, 'sums over reads that stay; no board lists it'),
    ('pseudonyms', 'person_id', 10, 'pseudonym', '{person_id}', true, 'a name'),
    ('operators', 'person_id', 900, 'operator', '{person_id}', false, 'ended; grants of support hang on it'),
    ('support_grants', 'person_id', 900, 'support_access', '{person_id,granted_by}', false, 'the tenant''s proof of who was let in'),
    ('personal_exports', 'person_id', 10, 'exports', '{person_id}', true, 'the files go with the next sweep'),
    ('jobs', 'person_id', 900, NULL, '{}', false, 'work under way: mails and exports are taken out, grading goes on');

-- Export -----------------------------------------------------------------------------------------------------------

CREATE TABLE personal_exports (
    person_id    uuid NOT NULL REFERENCES people,
    export_id    uuid NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    ready_at     timestamptz,
    sha256       text CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    bytes        bigint,
    PRIMARY KEY (person_id, export_id),
    CHECK ((ready_at IS NULL) = (sha256 IS NULL) AND (ready_at IS NULL) = (bytes IS NULL))
);

CREATE FUNCTION export_life() RETURNS interval LANGUAGE sql IMMUTABLE AS $$ SELECT interval '7 days' $$;

CREATE FUNCTION export_json(x personal_exports) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object('id', x.export_id, 'state', CASE WHEN x.ready_at IS NULL THEN 'preparing' ELSE 'ready' END,
                             'requested_at', x.requested_at, 'expires_at', x.requested_at + export_life(), 'bytes', x.bytes) $$;

-- Queues an export; who asks again within the hour gets the same.
CREATE FUNCTION export_request(made uuid, job uuid) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    x personal_exports;
BEGIN
    PERFORM need_session();
    PERFORM FROM people WHERE person_id = current_person() FOR NO KEY UPDATE;
    SELECT * INTO x FROM personal_exports WHERE person_id = current_person() AND requested_at > now() - interval '1 hour';
    IF NOT FOUND THEN
        INSERT INTO personal_exports (person_id, export_id) VALUES (current_person(), made) RETURNING * INTO x;
        INSERT INTO jobs (id, tenant_id, person_id, kind, key, payload)
            VALUES (job, current_tenant(), current_person(), 'personal_export', made::text, jsonb_build_object('export', made));
        PERFORM audit(current_tenant(), current_person(), 'export.requested', made::text);
    END IF;
    RETURN export_json(x);
END $$;

-- One's own, as long as it is kept. No row: there is none.
CREATE FUNCTION export_show(which uuid) RETURNS TABLE (description json, sha256 text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM need_session();
    RETURN QUERY SELECT export_json(x), x.sha256 FROM personal_exports x
        WHERE x.person_id = current_person() AND x.export_id = which AND x.requested_at > now() - export_life();
END $$;

-- What the file is made of: its parts in order, and then their lines, a page after another.
CREATE FUNCTION export_parts() RETURNS SETOF text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT x.part FROM (
        SELECT part, -1 AS place FROM unnest(ARRAY['person', 'tenants', 'reads', 'audit', 'invitations']) part
        UNION ALL
        SELECT exported_as, place FROM personal_data WHERE exported_as IS NOT NULL AND to_regclass(relation) IS NOT NULL) x
    ORDER BY x.place, x.part $$;

-- Lines of one part behind a place (NULL: from the start), at most so many of those that may be long; a last page is empty.
-- Of somebody else who acted on the person the record tells only that it was somebody else.
CREATE FUNCTION export_page(person uuid, part text, behind text, most int) RETURNS TABLE (place text, line text)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    d personal_data;
BEGIN
    IF part = 'reads' THEN
        RETURN QUERY
            SELECT r.tenant_id || '/' || r.read_id,
                   (to_jsonb(r) - 'person_id' || jsonb_build_object(
                       'case', (SELECT c.slug FROM cases c WHERE c.case_id = r.case_id),
                       'draft', (SELECT x.draft FROM drafts x WHERE x.tenant_id = r.tenant_id AND x.read_id = r.read_id),
                       'grades', (SELECT coalesce(jsonb_agg(to_jsonb(g) - 'tenant_id' - 'read_id' ORDER BY g.revision), '[]')
                                  FROM grades g WHERE g.tenant_id = r.tenant_id AND g.read_id = r.read_id)))::text
            FROM reads r
            WHERE r.person_id = person AND (behind IS NULL OR (r.tenant_id, r.read_id) >
                      (split_part(behind, '/', 1)::uuid, split_part(behind, '/', 2)::uuid))
            ORDER BY r.tenant_id, r.read_id LIMIT most;
    ELSIF part = 'audit' THEN
        RETURN QUERY
            SELECT a.tenant_id || '/' || a.entry,
                   json_build_object('tenant', a.tenant_id, 'entry', a.entry, 'at', a.at, 'action', a.action, 'by',
                                     CASE WHEN a.person_id = person THEN 'you' WHEN a.person_id IS NULL THEN 'the system'
                                          ELSE 'somebody else' END,
                                     'subject', a.subject, 'detail', a.detail)::text
            FROM audit_log a
            WHERE a.tenant_id IN (SELECT m.tenant_id FROM memberships m WHERE m.person_id = person)
              AND (a.person_id = person OR a.subject = person::text)
              AND (behind IS NULL OR (a.tenant_id, a.entry) >
                   (split_part(behind, '/', 1)::uuid, split_part(behind, '/', 2)::bigint))
            ORDER BY a.tenant_id, a.entry LIMIT most;
    ELSIF behind IS NOT NULL THEN
        RETURN; -- what follows is short: one page
    ELSIF part = 'person' THEN
        RETURN QUERY SELECT p.person_id::text, to_jsonb(p)::text FROM people p WHERE p.person_id = person;
    ELSIF part = 'tenants' THEN
        RETURN QUERY SELECT t.tenant_id::text, json_build_object('tenant_id', t.tenant_id, 'kind', t.kind, 'slug', t.slug,
                                                                 'name', t.name)::text
            FROM tenants t JOIN memberships m USING (tenant_id) WHERE m.person_id = person ORDER BY t.tenant_id;
    ELSIF part = 'invitations' THEN
        RETURN QUERY SELECT k.ticket_id::text, json_build_object('kind', k.kind, 'tenant_id', k.tenant_id, 'email', k.email,
                'name', k.detail->>'name', 'roles', k.detail->'roles', 'created_at', k.created_at, 'expires_at', k.expires_at,
                'used_at', k.used_at)::text
            FROM tickets k JOIN people p ON p.person_id = person
            WHERE k.person_id = person OR lower(k.email) = lower(p.email) ORDER BY k.ticket_id;
    ELSE
        SELECT * INTO d FROM personal_data x WHERE x.exported_as = part AND to_regclass(x.relation) IS NOT NULL;
        IF FOUND THEN
            RETURN QUERY EXECUTE format('SELECT %L, (to_jsonb(t) - $2)::text FROM %I t WHERE t.%I = $1', part, d.relation,
                                        d.person_column) USING person, d.hidden;
        END IF;
    END IF;
END $$;

-- For the job that prepares it: of whom it acts as.
CREATE FUNCTION export_page_mine(part text, behind text, most int) RETURNS TABLE (place text, line text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT * FROM export_page(current_person(), part, behind, most);
END $$;

-- False: it is wanted no more.
CREATE FUNCTION export_done(which uuid, hash text, size bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE personal_exports x SET ready_at = now(), sha256 = hash, bytes = size
        WHERE x.person_id = current_person() AND x.export_id = which;
    RETURN FOUND;
END $$;

-- Forgets exports that are over, and tells which of these nobody can fetch any more.
CREATE FUNCTION exports_gone(kept uuid[]) RETURNS SETOF uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM personal_exports x WHERE x.requested_at <= now() - export_life();
    RETURN QUERY SELECT k FROM unnest(kept) k WHERE NOT EXISTS (SELECT FROM personal_exports x WHERE x.export_id = k);
END $$;

-- Erasure ----------------------------------------------------------------------------------------------------------

-- The ledger. No reference: a restored backup may not know the person.
CREATE TABLE erasures (
    person_id uuid PRIMARY KEY,
    erased_at timestamptz NOT NULL DEFAULT now(),
    why       text NOT NULL CHECK (why IN ('own_wish', 'operator'))
);
CREATE TRIGGER erasures_append_only BEFORE UPDATE OR DELETE ON erasures FOR EACH ROW EXECUTE FUNCTION stays_as_written();
CREATE TRIGGER erasures_no_truncate BEFORE TRUNCATE ON erasures FOR EACH STATEMENT EXECUTE FUNCTION stays_as_written();

CREATE FUNCTION erased_email(person uuid) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'erased-' || person || '@erased.invalid' $$;

CREATE FUNCTION memberships_end(who uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    tenant uuid;
BEGIN
    FOR tenant IN SELECT m.tenant_id FROM memberships m WHERE m.person_id = who AND (m.until IS NULL OR m.until > now())
                  ORDER BY m.tenant_id LOOP
        PERFORM member_leave(tenant, who, 'erased');
    END LOOP;
END $$;

-- Mails to the person, or that name the person to others; and exports under way.
CREATE FUNCTION outbox_forget(p people) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM jobs j WHERE j.kind = 'personal_export' AND j.person_id = p.person_id;
    DELETE FROM jobs j WHERE j.kind = 'mail' AND (j.person_id = p.person_id OR lower(j.payload->>'to') = lower(p.email));
    UPDATE jobs j SET payload = jsonb_set(j.payload, '{values,inviter}', '"A former member"')
        WHERE j.kind = 'mail' AND j.payload->'values'->>'inviter' = p.name;
    DELETE FROM tickets k WHERE k.person_id = p.person_id OR lower(k.email) = lower(p.email);
    DELETE FROM throttle_buckets b WHERE b.key_hash IN (sha256(convert_to(lower(p.email), 'UTF8')),
                                                        sha256(convert_to(p.person_id::text, 'UTF8')));
END $$;

-- Puts a pseudonym in the person's place. False: that was done before, or nobody has this id; the ledger knows it then, too.
CREATE FUNCTION person_erase(who uuid, reason text, at timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    p people;
    d personal_data;
BEGIN
    INSERT INTO erasures (person_id, erased_at, why) VALUES (who, at, reason) ON CONFLICT DO NOTHING;
    IF NOT EXISTS (SELECT FROM people x WHERE x.person_id = who AND x.email <> erased_email(who)) THEN
        RETURN false;
    END IF;
    PERFORM memberships_end(who); -- locks tenants, which are locked before people
    SELECT * INTO p FROM people x WHERE x.person_id = who FOR UPDATE;
    PERFORM audit(m.tenant_id, current_person(), 'person.erased', who::text, jsonb_build_object('why', reason))
        FROM memberships m WHERE m.person_id = who ORDER BY m.tenant_id;
    PERFORM lock_pseudonym(who);
    UPDATE standings SET listed = false WHERE person_id = who AND listed;
    FOR d IN SELECT * FROM personal_data x WHERE x.erased AND to_regclass(x.relation) IS NOT NULL ORDER BY x.place, x.relation LOOP
        EXECUTE format('DELETE FROM %I WHERE %I = $1', d.relation, d.person_column) USING who;
    END LOOP;
    DELETE FROM drafts x USING reads r WHERE r.person_id = who AND x.tenant_id = r.tenant_id AND x.read_id = r.read_id;
    PERFORM outbox_forget(p);
    UPDATE operators o SET until = now() WHERE o.person_id = who AND (o.until IS NULL OR o.until > now());
    -- A personal tenant is called like its person; an operator may have made its slug of the name, too.
    UPDATE tenants t SET name = 'Erased person',
                         slug = CASE WHEN t.slug ~ '^p-[0-9a-f]{20}$' THEN t.slug
                                     ELSE 'erased-' || replace(gen_random_uuid()::text, '-', '') END
        FROM memberships m WHERE m.person_id = who AND t.tenant_id = m.tenant_id AND t.kind = 'individual';
    UPDATE people x SET email = erased_email(who), name = 'Erased person', email_verified_at = NULL, disabled_at = now()
        WHERE x.person_id = who;
    RETURN true;
END $$;

-- One's own account. `shown`: the password has just been verified; else the session must be a fresh one.
CREATE FUNCTION erase_myself(shown boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM need_session();
    IF NOT shown THEN
        PERFORM need_recent_session();
    END IF;
    PERFORM FROM tenants t JOIN memberships m USING (tenant_id) WHERE m.person_id = current_person()
        ORDER BY t.tenant_id FOR NO KEY UPDATE OF t;
    IF EXISTS (SELECT FROM memberships m JOIN tenants t USING (tenant_id)
               WHERE m.person_id = current_person() AND t.kind = 'organisation' AND (m.until IS NULL OR m.until > now())
                 AND 'administrator' = ANY (m.roles)
                 AND NOT EXISTS (SELECT FROM memberships o WHERE o.tenant_id = m.tenant_id AND o.person_id <> m.person_id
                                 AND (o.until IS NULL OR o.until > now()) AND 'administrator' = ANY (o.roles))) THEN
        PERFORM refuse(409, 'last_administrator', 'You are the last administrator of an organisation: make somebody else one first.');
    END IF;
    PERFORM person_erase(current_person(), 'own_wish', now());
END $$;

SELECT guard_table(t) FROM unnest(ARRAY['personal_data', 'personal_exports', 'erasures']::regclass[]) t;
-- Reached by no policy: only through functions.

GRANT EXECUTE ON FUNCTION export_request, export_show, export_parts, export_page_mine, export_done, exports_gone, erase_myself
    TO overread_app;
