-- name: tenant_upsert
-- lane: write
-- Operator. Creating the same slug again changes the terms that are named, and nothing else; NULL when the kind
-- differs. $5 'infinity' is access without end.
SELECT tenant_put($1::uuid, $2, $3, $4, $5::timestamptz, $6::interval, $7::interval);

-- name: tenant_audit
-- lane: write
SELECT audit($1::uuid, NULL, $2, $3);

-- name: member_put
-- lane: write
-- Operator. $1 tenant's slug, $2 person, $3 roles, comma-separated
SELECT member_put($1, $2::uuid, string_to_array($3, ','));

-- name: tenant_suspend
-- lane: write
WITH t AS (
    UPDATE tenants SET suspended_at = CASE WHEN $2::boolean THEN coalesce(suspended_at, now()) END WHERE slug = $1
    RETURNING tenant_id)
SELECT audit(tenant_id, NULL, CASE WHEN $2::boolean THEN 'tenant.suspended' ELSE 'tenant.resumed' END, tenant_id::text)
FROM t;

-- name: tenant_show
-- lane: read
SELECT tenant_json();

-- name: member_list
-- lane: read
-- $1 cohort, $2 active ones only or former ones only, $3 cursor, $4 limit + 1
SELECT p.person_id, member_json(m, p)
FROM memberships m JOIN people p USING (person_id)
WHERE m.tenant_id = current_tenant() AND ($1::uuid IS NULL OR m.cohort_id = $1::uuid)
  AND ($2::boolean IS NULL OR is_active(m) = $2::boolean) AND ($3::uuid IS NULL OR p.person_id > $3::uuid)
ORDER BY p.person_id
LIMIT $4::int;
