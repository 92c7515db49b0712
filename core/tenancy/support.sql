-- name: support_open
-- lane: write
-- $1 operator's e-mail, $2 hours, $3 reason, $4 new grant
SELECT support_open(current_tenant(), $1, $2::int, $3, current_person(), $4::uuid);

-- name: support_close
-- lane: write
SELECT support_close($1::uuid);

-- name: support_list
-- lane: read
-- Open ones first to come, newest first. The operator's name is seen as a member's.
SELECT g.grant_id, json_build_object('id', g.grant_id, 'operator', g.person_id, 'name', p.name, 'email', p.email,
                                     'reason', g.reason, 'granted_by', g.granted_by, 'since', g.since, 'until', g.until,
                                     'ended_at', g.ended_at, 'open', g.ended_at IS NULL AND g.until > now())
FROM support_grants g JOIN people p USING (person_id)
WHERE g.tenant_id = current_tenant() AND ($1::uuid IS NULL OR g.grant_id < $1::uuid)
ORDER BY g.grant_id DESC LIMIT $2::int;

-- name: operator_set
-- lane: write
-- Operator. $1 person, $2 whether
WITH ended AS (
    UPDATE memberships SET until = now()
    WHERE person_id = $1::uuid AND roles = ARRAY['support'] AND until > now() AND NOT $2::boolean
    RETURNING tenant_id),
told AS (SELECT count(audit(tenant_id, NULL, 'support.closed', ($1::uuid)::text)) FROM ended)
INSERT INTO operators (person_id, until) SELECT $1::uuid, CASE WHEN NOT $2::boolean THEN now() END FROM told
ON CONFLICT (person_id) DO UPDATE SET until = EXCLUDED.until;

-- name: support_open_for
-- lane: write
-- Operator. $1 tenant's slug, $2 operator's e-mail, $3 hours, $4 reason, $5 new grant
SELECT support_open(tenant_id, $2, $3::int, $4, NULL, $5::uuid) FROM tenants WHERE slug = $1;
