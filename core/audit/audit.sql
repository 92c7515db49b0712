-- name: audit_list
-- lane: read
-- Newest first; the cursor is the entry's number, dressed as the UUID that every page's cursor is.
SELECT lpad(to_hex(a.entry), 32, '0')::uuid,
       json_build_object('entry', a.entry, 'at', a.at, 'person', a.person_id, 'action', a.action, 'subject', a.subject,
                         'detail', a.detail)
FROM audit_log a
WHERE a.tenant_id = current_tenant()
  AND ($1::uuid IS NULL OR a.entry < ('x' || right(replace($1::uuid::text, '-', ''), 16))::bit(64)::bigint)
ORDER BY a.entry DESC
LIMIT $2::int;
