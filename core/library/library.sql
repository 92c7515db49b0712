-- name: case_list
-- lane: read
-- $1 modality, $2 difficulty, $3 truth kind, $4 synthetic, $5 unread only, $6 cursor, $7 limit + 1
SELECT c.case_id,
       json_build_object('id', c.case_id, 'slug', c.slug, 'modality', c.modality, 'title', v.title,
                         'version', v.version, 'difficulty', v.difficulty, 'synthetic', v.synthetic,
                         'truth_kind', v.truth_kind, 'sample', c.sample, 'clinical', v.clinical,
                         'reads', (SELECT count(*) FROM reads r
                                   WHERE r.tenant_id = current_tenant() AND r.person_id = current_person()
                                     AND r.case_id = c.case_id AND r.state <> 'open'))
FROM cases c
JOIN case_versions v ON v.case_id = c.case_id AND v.version = c.current_version
WHERE c.state = 'published'
  AND ($1::text IS NULL OR c.modality = $1)
  AND ($2::int IS NULL OR v.difficulty = $2::int)
  AND ($3::text IS NULL OR v.truth_kind = $3)
  AND ($4::boolean IS NULL OR v.synthetic = $4::boolean)
  AND (NOT $5::boolean OR NOT EXISTS (SELECT FROM reads r WHERE r.tenant_id = current_tenant()
        AND r.person_id = current_person() AND r.case_id = c.case_id AND r.state <> 'open'))
  AND ($6::uuid IS NULL OR c.case_id > $6::uuid)
ORDER BY c.case_id
LIMIT $7::int;

-- name: case_show
-- lane: read
-- The version that this person's open read is pinned to, else the current one.
SELECT json_build_object('id', c.case_id, 'slug', c.slug, 'modality', c.modality, 'state', c.state,
                         'state_reason', c.state_reason, 'title', v.title, 'version', v.version,
                         'difficulty', v.difficulty, 'synthetic', v.synthetic, 'truth_kind', v.truth_kind,
                         'sample', c.sample, 'may_open', may_open(c.case_id), 'clinical', v.clinical, 'provenance', v.provenance,
                         'images', jsonb_build_object('base', '/v1/cases/' || c.case_id || '/images/') || v.images,
                         'open_read', o.read_id)
FROM cases c
LEFT JOIN reads o ON o.tenant_id = current_tenant() AND o.person_id = current_person() AND o.case_id = c.case_id
                 AND o.state = 'open'
JOIN case_versions v ON v.case_id = c.case_id AND v.version = coalesce(o.case_version, c.current_version)
WHERE c.case_id = $1::uuid;

-- name: case_file
-- lane: read
-- One row when there is such a file of a case that this person sees; whether the subscription covers it, or the person
-- has read the case while it did.
SELECT may_open($1::uuid) OR EXISTS (SELECT FROM reads r WHERE r.tenant_id = current_tenant()
                                     AND r.person_id = current_person() AND r.case_id = $1::uuid)
FROM case_files f WHERE f.case_id = $1::uuid AND f.sha256 = $2 AND f.kind = $3;

-- name: case_import
-- lane: write
SELECT case_import($1::uuid, $2::jsonb, $3::boolean);

-- name: case_set_state
-- lane: write
UPDATE cases SET state = $2, state_reason = $3, state_at = now() WHERE slug = $1
RETURNING case_id;

-- name: case_set_sample
-- lane: write
UPDATE cases SET sample = $2::boolean WHERE slug = $1
RETURNING case_id;

-- name: case_list_all
-- lane: slow
SELECT json_build_object('slug', c.slug, 'case', c.case_id, 'modality', c.modality, 'state', c.state,
                         'sample', c.sample, 'version', c.current_version, 'title', v.title, 'synthetic', v.synthetic)
FROM cases c JOIN case_versions v ON v.case_id = c.case_id AND v.version = c.current_version
ORDER BY c.slug;

-- name: modality_list
-- lane: read
SELECT modality FROM modalities ORDER BY modality;
