-- What a tenant's sign-on service says of a person counts in that tenant and nowhere else (0011). So a session that it opened
-- shows and changes nothing of what the person has in other tenants: whoever runs such a service could otherwise fetch, or
-- erase, what its people have elsewhere. For that a person signs in with a password or passkey of their own.

CREATE FUNCTION by_providers_word() RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (SELECT FROM sessions s WHERE s.tenant_id = current_tenant() AND s.session_id = current_session_id()
                                            AND 'single_sign_on' = ANY (s.methods));
END $$;

-- For what concerns the whole person. Of who never belonged to another tenant, this one's word will do.
CREATE FUNCTION need_own_word() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF by_providers_word() AND EXISTS (SELECT FROM memberships m WHERE m.person_id = current_person() AND m.tenant_id <> current_tenant()) THEN
        PERFORM refuse(403, 'own_sign_in_required', 'Your tenant''s sign-on service opened this session, and you belong, or belonged, to '
                       'another tenant, too: for this, sign in with a password or passkey of your own.');
    END IF;
END $$;

-- As in 0009, but of a session that a provider opened only what is of its tenant ------------------------------------------

CREATE OR REPLACE FUNCTION my_memberships() RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    only_here boolean := by_providers_word();
BEGIN
    RETURN (SELECT json_build_object('items', coalesce(json_agg(json_build_object(
                'tenant', json_build_object('id', t.tenant_id, 'kind', t.kind, 'slug', t.slug, 'name', t.name),
                'roles', to_json(m.roles), 'since', m.since, 'until', m.until, 'active', is_active(m),
                'current', t.tenant_id = current_tenant()) ORDER BY is_active(m) DESC, t.slug), '[]'::json))
            FROM memberships m JOIN tenants t USING (tenant_id)
            WHERE m.person_id = current_person() AND (NOT only_here OR m.tenant_id = current_tenant()));
END $$;

CREATE OR REPLACE FUNCTION own_reads(cursor uuid, most int) RETURNS TABLE (place uuid, item json)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    only_here boolean := by_providers_word();
BEGIN
    RETURN QUERY
        SELECT r.read_id, json_build_object('id', r.read_id,
                   'tenant', json_build_object('id', t.tenant_id, 'slug', t.slug, 'name', t.name),
                   'case', r.case_id, 'case_slug', c.slug, 'modality', r.modality, 'state', r.state, 'attempt', r.attempt,
                   'counts', r.attempt = 1, 'opened_at', r.opened_at, 'submitted_at', r.submitted_at, 'correct', g.correct,
                   'points', g.points_milli / 1000.0, 'max_points', g.max_points_milli / 1000.0)
        FROM (SELECT x.* FROM memberships m, LATERAL (
                  SELECT * FROM reads y WHERE y.tenant_id = m.tenant_id AND y.person_id = m.person_id
                                          AND (cursor IS NULL OR y.read_id < cursor)
                  ORDER BY y.read_id DESC LIMIT most) x
              WHERE m.person_id = current_person() AND (NOT only_here OR m.tenant_id = current_tenant())
              ORDER BY x.read_id DESC LIMIT most) r
        JOIN tenants t ON t.tenant_id = r.tenant_id JOIN cases c ON c.case_id = r.case_id
        LEFT JOIN LATERAL (SELECT * FROM grades x WHERE x.tenant_id = r.tenant_id AND x.read_id = r.read_id
                           ORDER BY x.revision DESC LIMIT 1) g ON true
        ORDER BY r.read_id DESC;
END $$;

CREATE OR REPLACE FUNCTION own_performance() RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    board uuid := CASE WHEN by_providers_word() THEN current_tenant() ELSE everybody() END;
BEGIN
    RETURN (SELECT json_build_object('items', coalesce(json_agg(json_build_object('modality', s.modality, 'reads', s.reads,
                       'correct', s.correct, 'last20', window_json(s.ring_correct, 20), 'last50', window_json(s.ring_correct, 50))
                       ORDER BY s.modality), '[]'::json))
            FROM standings s WHERE s.tenant_id = board AND s.person_id = current_person() AND s.reads > 0);
END $$;

-- As in 0008 and 0015, but by the person's own word -----------------------------------------------------------------------

CREATE OR REPLACE FUNCTION me_rename(new_name text) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM need_own_word();
    UPDATE people SET name = new_name WHERE person_id = current_person() AND name <> new_name;
    IF FOUND THEN
        PERFORM audit_everywhere(current_person(), 'person.renamed');
    END IF;
    RETURN me_json();
END $$;

CREATE OR REPLACE FUNCTION export_request(made uuid, job uuid) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    x personal_exports;
BEGIN
    PERFORM need_session();
    PERFORM need_own_word();
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

CREATE OR REPLACE FUNCTION export_show(which uuid) RETURNS TABLE (description json, sha256 text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM need_session();
    PERFORM need_own_word();
    RETURN QUERY SELECT export_json(x), x.sha256 FROM personal_exports x
        WHERE x.person_id = current_person() AND x.export_id = which AND x.requested_at > now() - export_life();
END $$;

CREATE OR REPLACE FUNCTION erase_myself(shown boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM need_session();
    PERFORM need_own_word();
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
