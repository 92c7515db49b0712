-- API tokens of people; operators of the platform, and the access that a tenant gives them for a time.

-- API tokens -------------------------------------------------------------------------------------------------------

-- Made by a person at a session, never by another token: a token cannot prolong its own life.
CREATE FUNCTION need_session() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_session_id() IS NULL THEN
        PERFORM refuse(403, 'session_required', 'This takes a session of a person, not the token of a program.');
    END IF;
END $$;

CREATE FUNCTION api_token_json(k api_tokens) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object('id', k.token_id, 'name', k.name, 'person', k.person_id, 'scopes', to_json(k.scopes),
                             'created_at', k.created_at, 'expires_at', k.expires_at, 'last_used_at', k.last_used_at) $$;

-- `own`: the person's; else the tenant's provisioning service's. Returns its description; who made it holds the token.
CREATE FUNCTION api_token_create(new_token uuid, token_sha256 text, new_name text, new_scopes text[], days int, own boolean)
RETURNS json LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    k api_tokens;
BEGIN
    PERFORM need_session();
    PERFORM pg_advisory_xact_lock(hashtextextended('api_tokens' || current_tenant(), 0));
    IF (SELECT count(*) FROM api_tokens x WHERE x.tenant_id = current_tenant() AND x.revoked_at IS NULL AND x.expires_at > now()
                                            AND x.person_id IS NOT DISTINCT FROM CASE WHEN own THEN current_person() END) >= 50 THEN
        PERFORM refuse(409, 'too_many_tokens', 'Fifty tokens are alive: revoke some first.');
    END IF;
    INSERT INTO api_tokens (tenant_id, token_id, person_id, name, token_hash, scopes, expires_at)
        VALUES (current_tenant(), new_token, CASE WHEN own THEN current_person() END, new_name, decode(token_sha256, 'hex'),
                CASE WHEN own THEN new_scopes ELSE ARRAY['scim'] END, now() + days * interval '1 day') RETURNING * INTO k;
    PERFORM audit(k.tenant_id, current_person(), 'token.created', k.token_id::text,
                  jsonb_build_object('scopes', k.scopes, 'expires_at', k.expires_at));
    RETURN api_token_json(k);
END $$;

-- One, or (which NULL) all that are `mine`; an administrator may revoke any of the tenant's. How many it were.
CREATE FUNCTION api_token_revoke(which uuid, mine boolean) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    revoked int;
BEGIN
    PERFORM need_session();
    WITH gone AS (UPDATE api_tokens x SET revoked_at = now()
                  WHERE x.tenant_id = current_tenant() AND x.revoked_at IS NULL AND (which IS NULL OR x.token_id = which)
                    AND (x.person_id = current_person() OR NOT mine)
                  RETURNING x.token_id)
    SELECT count(audit(current_tenant(), current_person(), 'token.revoked', g.token_id::text)) INTO revoked FROM gone g;
    RETURN revoked;
END $$;

-- All of the tenant's, for its administrator.
CREATE FUNCTION api_token_list(cursor uuid, most int) RETURNS TABLE (place uuid, item json)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT k.token_id, api_token_json(k) FROM api_tokens k
        WHERE k.tenant_id = current_tenant() AND k.revoked_at IS NULL AND k.expires_at > now()
          AND (cursor IS NULL OR k.token_id > cursor)
        ORDER BY k.token_id LIMIT most;
END $$;

-- A member's tokens end with the membership, and do not come to life again with it; an operator's with each opening or
-- closing of support access.
CREATE FUNCTION api_tokens_follow_membership() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE api_tokens x SET revoked_at = now()
        WHERE x.tenant_id = NEW.tenant_id AND x.person_id = NEW.person_id AND x.revoked_at IS NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER api_tokens_follow_membership AFTER UPDATE OF until ON memberships FOR EACH ROW
    WHEN (NEW.until IS NOT NULL) EXECUTE FUNCTION api_tokens_follow_membership();

-- Operators and support access --------------------------------------------------------------------------------------

-- Who runs the platform. An operator is a person without any right in any tenant; what operators do to the platform they
-- do at its command line. Kept by `overread operator add|remove`.
CREATE TABLE operators (
    person_id uuid PRIMARY KEY REFERENCES people,
    since     timestamptz NOT NULL DEFAULT now(),
    until     timestamptz
);

-- What a tenant's administrator (or, when nobody can sign in any more, an operator at the command line) opened.
CREATE TABLE support_grants (
    tenant_id  uuid NOT NULL REFERENCES tenants,
    grant_id   uuid NOT NULL,
    person_id  uuid NOT NULL REFERENCES operators,
    reason     text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
    granted_by uuid,                           -- NULL: at the command line
    since      timestamptz NOT NULL DEFAULT now(),
    until      timestamptz NOT NULL,
    ended_at   timestamptz,
    PRIMARY KEY (tenant_id, grant_id),
    CHECK (until <= since + interval '3 days')
);

SELECT guard_table(t) FROM unnest(ARRAY['operators', 'support_grants']::regclass[]) t;
CREATE POLICY tenant ON support_grants TO overread_app USING (tenant_id = current_tenant());
GRANT SELECT ON support_grants TO overread_app;

-- Lets an operator in: a membership of the one role 'support', which ends by itself. Everything else follows from it:
-- what the role reaches, when its sessions end, that the tenant sees it among its members.
CREATE FUNCTION support_open(tenant uuid, operator_email text, hours int, why text, by_person uuid, new_grant uuid) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who uuid;
    g support_grants;
BEGIN
    IF tenant IS DISTINCT FROM current_tenant() AND current_tenant() IS NOT NULL THEN
        PERFORM refuse(404, 'tenant_not_found', 'There is no such tenant.');
    END IF;
    PERFORM lock_tenant(tenant);
    SELECT o.person_id INTO who FROM operators o JOIN people p USING (person_id)
        WHERE lower(p.email) = lower(operator_email) AND (o.until IS NULL OR o.until > now()) AND p.disabled_at IS NULL;
    IF NOT FOUND THEN
        PERFORM refuse(422, 'no_operator', 'Nobody of the platform''s operators has this address.', '/operator');
    END IF;
    IF EXISTS (SELECT FROM memberships m WHERE m.tenant_id = tenant AND m.person_id = who AND NOT 'support' = ANY (m.roles)
                                           AND (m.until IS NULL OR m.until > now())) THEN
        PERFORM refuse(409, 'is_member', 'This operator is a member of the tenant.', '/operator');
    END IF;
    INSERT INTO support_grants (tenant_id, grant_id, person_id, reason, granted_by, until)
        VALUES (tenant, new_grant, who, why, by_person, now() + hours * interval '1 hour') RETURNING * INTO g;
    INSERT INTO memberships AS m (tenant_id, person_id, roles, until) VALUES (tenant, who, ARRAY['support'], g.until)
        ON CONFLICT (tenant_id, person_id) DO UPDATE SET roles = ARRAY['support'], until = EXCLUDED.until, break_glass = false;
    PERFORM audit(tenant, by_person, 'support.opened', who::text,
                  jsonb_build_object('grant', g.grant_id, 'until', g.until, 'reason', why));
    RETURN json_build_object('id', g.grant_id, 'operator', who, 'reason', g.reason, 'since', g.since, 'until', g.until);
END $$;

-- Ends it, with its sessions.
CREATE FUNCTION support_close(which uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    g support_grants;
BEGIN
    UPDATE support_grants x SET ended_at = now()
        WHERE x.tenant_id = current_tenant() AND x.grant_id = which AND x.ended_at IS NULL RETURNING * INTO g;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    -- Another grant of the same operator may still be open.
    UPDATE memberships m
        SET until = coalesce((SELECT max(x.until) FROM support_grants x WHERE x.tenant_id = g.tenant_id AND x.person_id = g.person_id
                                                                          AND x.ended_at IS NULL AND x.until > now()), now())
        WHERE m.tenant_id = g.tenant_id AND m.person_id = g.person_id AND m.roles = ARRAY['support'];
    UPDATE sessions s SET ended_at = now() FROM memberships m
        WHERE s.tenant_id = g.tenant_id AND s.person_id = g.person_id AND s.ended_at IS NULL
          AND m.tenant_id = s.tenant_id AND m.person_id = s.person_id AND m.until <= now();
    PERFORM audit(g.tenant_id, current_person(), 'support.closed', g.person_id::text, jsonb_build_object('grant', g.grant_id));
    RETURN true;
END $$;

GRANT EXECUTE ON FUNCTION need_session, api_token_json, api_token_create, api_token_revoke, api_token_list, support_open, support_close
    TO overread_app;
