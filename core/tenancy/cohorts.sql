-- name: cohort_list
-- lane: read
SELECT c.cohort_id, cohort_json(c) FROM cohorts c
WHERE c.tenant_id = current_tenant() AND ($1::uuid IS NULL OR c.cohort_id > $1::uuid)
ORDER BY c.cohort_id LIMIT $2::int;

-- name: cohort_show
-- lane: read
SELECT cohort_json(c) FROM cohorts c WHERE c.tenant_id = current_tenant() AND c.cohort_id = $1::uuid;

-- name: cohort_create
-- lane: write
-- $1 new id, $2 idempotency key, $3 hash of the request, $4 name, $5 educators as a JSON array
SELECT cohort_create($1::uuid, $2, $3, $4,
                     CASE WHEN $5::jsonb IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text($5::jsonb)::uuid) END);

-- name: cohort_patch
-- lane: write
-- $1 cohort, $2 If-Match, $3 name, $4 educators as a JSON array
SELECT cohort_patch($1::uuid, $2, $3, CASE WHEN $4::jsonb IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text($4::jsonb)::uuid) END);

-- name: cohort_delete
-- lane: write
SELECT cohort_delete($1::uuid);
