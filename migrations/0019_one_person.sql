-- One person, several memberships: a tenant of one's own, whoever else one belongs to; and all of one's sessions.

-- A personal tenant --------------------------------------------------------------------------------------------------

-- The person's own tenant; made when there is none. One, however often and at once it is asked for.
CREATE FUNCTION personal_tenant_open(person uuid) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    p people;
    own uuid;
BEGIN
    SELECT * INTO p FROM people x WHERE x.person_id = person FOR NO KEY UPDATE;
    SELECT m.tenant_id INTO own FROM memberships m JOIN tenants t USING (tenant_id)
        WHERE m.person_id = person AND t.kind = 'individual' AND is_active(m) ORDER BY m.since LIMIT 1;
    IF FOUND THEN
        RETURN own;
    END IF;
    own := gen_random_uuid();
    INSERT INTO tenants (tenant_id, kind, slug, name)
        VALUES (own, 'individual', 'p-' || left(encode(sha256(uuid_send(gen_random_uuid())), 'hex'), 20), p.name);
    INSERT INTO memberships (tenant_id, person_id, roles) VALUES (own, person, '{trainee}');
    PERFORM audit(own, person, 'tenant.personal', own::text);
    RETURN own;
END $$;

CREATE FUNCTION my_personal_tenant() RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    own uuid;
BEGIN
    PERFORM need_session();
    IF by_providers_word() THEN
        PERFORM refuse(403, 'own_sign_in_required', 'Your tenant''s sign-on service opened this session: for a tenant of your own, sign in '
                       'with a password or passkey of your own.');
    END IF;
    own := personal_tenant_open(current_person());
    RETURN (SELECT json_build_object('tenant', json_build_object('id', t.tenant_id, 'kind', t.kind, 'slug', t.slug, 'name', t.name),
                                     'roles', to_json(m.roles), 'since', m.since, 'until', m.until, 'active', is_active(m),
                                     'current', t.tenant_id = current_tenant())
            FROM memberships m JOIN tenants t USING (tenant_id) WHERE m.tenant_id = own AND m.person_id = current_person());
END $$;

-- As in 0007, and: who has left every tenant goes on in one of their own, with their record.
CREATE OR REPLACE FUNCTION session_open(person uuid, tenant_slug text, session uuid, token_sha256 text, client_name text, methods text[])
RETURNS json LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants;
    m memberships;
    found_count int;
BEGIN
    SELECT count(*) INTO found_count FROM memberships x JOIN tenants y USING (tenant_id)
        WHERE x.person_id = person AND (x.until IS NULL OR x.until > now())
          AND (tenant_slug IS NULL OR y.slug = tenant_slug);
    IF found_count = 0 AND tenant_slug IS NULL
       AND EXISTS (SELECT FROM memberships x JOIN tenants y USING (tenant_id)
                   WHERE x.person_id = person AND y.kind = 'organisation' AND NOT 'support' = ANY (x.roles)) THEN
        PERFORM personal_tenant_open(person);
    ELSIF found_count = 0 THEN
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

-- All of one's sessions -------------------------------------------------------------------------------------------------

-- Alive ones, in every tenant; of a session that a provider opened, those of its tenant.
CREATE FUNCTION my_sessions() RETURNS SETOF sessions
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    only_here boolean := by_providers_word();
BEGIN
    RETURN QUERY SELECT s.* FROM sessions s
        WHERE s.person_id = current_person() AND s.ended_at IS NULL AND s.expires_at > now() AND s.last_seen_at + s.idle > now()
          AND (NOT only_here OR s.tenant_id = current_tenant());
END $$;

CREATE FUNCTION my_session_page(cursor uuid, most int) RETURNS TABLE (place uuid, item json)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT s.session_id, json_build_object('id', s.session_id, 'client', s.client,
                   'tenant', json_build_object('id', t.tenant_id, 'kind', t.kind, 'slug', t.slug, 'name', t.name),
                   'created_at', s.created_at, 'last_seen_at', s.last_seen_at, 'expires_at', s.expires_at,
                   'current', s.session_id = current_session_id())
        FROM my_sessions() s JOIN tenants t USING (tenant_id)
        WHERE cursor IS NULL OR s.session_id > cursor ORDER BY s.session_id LIMIT most;
END $$;

-- Ends one of them, or (which NULL) all but the asker's own. How many it were.
CREATE FUNCTION my_sessions_end(which uuid) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    ended int;
BEGIN
    PERFORM need_session();
    WITH gone AS (UPDATE sessions s SET ended_at = now() FROM my_sessions() o
                  WHERE s.tenant_id = o.tenant_id AND s.session_id = o.session_id AND s.ended_at IS NULL
                    AND CASE WHEN which IS NULL THEN s.session_id <> current_session_id() ELSE s.session_id = which END
                  RETURNING s.tenant_id, s.session_id)
    SELECT count(audit(g.tenant_id, current_person(), 'session.ended', g.session_id::text)) INTO ended FROM gone g;
    RETURN ended;
END $$;

-- So the application changes no session itself.
REVOKE UPDATE (ended_at) ON sessions FROM overread_app;

GRANT EXECUTE ON FUNCTION my_personal_tenant, my_session_page, my_sessions_end TO overread_app;
