-- name: tenant_upsert
-- lane: write
-- Operator. Creating the same slug again changes the terms that are named, and nothing else; no row when the kind
-- differs. $5 'infinity' is access without end.
INSERT INTO tenants (tenant_id, kind, slug, name, access_until, session_idle, session_absolute)
VALUES ($1::uuid, $2, $3, $4, $5::timestamptz, coalesce($6::interval, '30 minutes'), coalesce($7::interval, '12 hours'))
ON CONFLICT (slug) DO UPDATE SET name = EXCLUDED.name,
    access_until = coalesce(EXCLUDED.access_until, tenants.access_until),
    session_idle = coalesce($6::interval, tenants.session_idle),
    session_absolute = coalesce($7::interval, tenants.session_absolute)
WHERE tenants.kind = EXCLUDED.kind
RETURNING tenant_id;

-- name: tenant_audit
-- lane: write
SELECT audit($1::uuid, NULL, $2, $3);

-- name: membership_upsert
-- lane: write
WITH m AS (
    INSERT INTO memberships (tenant_id, person_id, roles)
    SELECT tenant_id, $2::uuid, string_to_array($3, ',') FROM tenants WHERE slug = $1
    ON CONFLICT (tenant_id, person_id) DO UPDATE SET roles = EXCLUDED.roles, until = NULL
    RETURNING tenant_id, person_id)
SELECT audit(tenant_id, NULL, 'member.added', person_id::text, jsonb_build_object('roles', $3)) FROM m;

-- name: tenant_suspend
-- lane: write
WITH t AS (
    UPDATE tenants SET suspended_at = CASE WHEN $2::boolean THEN coalesce(suspended_at, now()) END WHERE slug = $1
    RETURNING tenant_id)
SELECT audit(tenant_id, NULL, CASE WHEN $2::boolean THEN 'tenant.suspended' ELSE 'tenant.resumed' END, tenant_id::text)
FROM t;

-- name: tenant_show
-- lane: read
SELECT json_build_object('id', tenant_id, 'kind', kind, 'slug', slug, 'name', name, 'access_until', access_until,
                         'session_idle_seconds', extract(epoch FROM session_idle)::int,
                         'session_absolute_seconds', extract(epoch FROM session_absolute)::int,
                         'members', (SELECT count(*) FROM memberships m
                                     WHERE m.tenant_id = t.tenant_id AND (m.until IS NULL OR m.until > now())))
FROM tenants t WHERE tenant_id = current_tenant();

-- name: member_list
-- lane: read
SELECT p.person_id, json_build_object('person', p.person_id, 'name', p.name, 'email', p.email, 'roles', to_json(m.roles),
                                      'since', m.since, 'until', m.until)
FROM memberships m JOIN people p USING (person_id)
WHERE m.tenant_id = current_tenant() AND ($1::uuid IS NULL OR p.person_id > $1::uuid)
ORDER BY p.person_id
LIMIT $2::int;
