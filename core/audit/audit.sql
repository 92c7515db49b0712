-- name: audit_page
-- lane: write
-- Newest first; seals what is queued, so that it is complete. $1 cursor, $2 limit + 1
SELECT place, item FROM audit_page($1::uuid, $2::int);

-- name: audit_export
-- lane: slow
-- $1 behind this number, $2 at most so many lines
SELECT line FROM audit_export($1::bigint, $2::int);

-- name: audit_seal_some
-- lane: write
SELECT audit_seal_some();

-- name: audit_tenants
-- lane: slow
-- Operator: whose record is verified ($1 slug, or NULL for all), and what its chain says of its end.
SELECT t.tenant_id, t.slug, coalesce(h.number, 0), coalesce(encode(h.hash, 'hex'), encode(audit_genesis(t.tenant_id), 'hex')),
       -- Neither in the chain nor waiting for it: somebody wrote it around the rules.
       (SELECT count(*) FROM audit_log a
        WHERE a.tenant_id = t.tenant_id
          AND NOT EXISTS (SELECT FROM audit_chain c WHERE c.tenant_id = a.tenant_id AND c.entry = a.entry)
          AND NOT EXISTS (SELECT FROM audit_queue q WHERE q.tenant_id = a.tenant_id AND q.entry = a.entry))
FROM tenants t LEFT JOIN audit_heads h USING (tenant_id)
WHERE $1::text IS NULL OR t.slug = $1
ORDER BY t.slug;

-- name: audit_seal_one
-- lane: slow
SELECT audit_seal($1::uuid, 1000000);

-- name: audit_lines
-- lane: slow
-- Operator. $1 tenant, $2 behind this number, $3 at most so many lines
SELECT line FROM audit_lines($1::uuid, $2::bigint, $3::int);
