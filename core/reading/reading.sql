-- name: read_open
-- lane: write
-- $1 new id, $2 case, $3 idempotency key, $4 hash of the request
SELECT read_open($1::uuid, $2::uuid, $3, $4);

-- name: read_prepare
-- lane: read
-- What checking an answer takes: the state and the plugin's config of the version this read is pinned to.
SELECT r.state, r.answer_sha256, v.plugin_id, v.config
FROM reads r
JOIN case_versions v ON v.case_id = r.case_id AND v.version = r.case_version
WHERE r.tenant_id = current_tenant() AND r.person_id = current_person() AND r.read_id = $1::uuid;

-- name: read_submit
-- lane: write
-- $1 read, $2 answer, $3 its hash, $4 id for the job
SELECT state, plugin_id, config, truth, answer FROM read_submit($1::uuid, $2::jsonb, $3, $4::uuid);

-- name: read_to_grade
-- lane: read
SELECT state, plugin_id, config, truth, answer FROM read_to_grade($1::uuid);

-- name: read_grade
-- lane: write
SELECT read_grade($1::uuid, $2::bigint, $3::bigint, $4::boolean, $5, $6, $7, $8::int, $9, $10);

-- name: read_feedback
-- lane: read
SELECT read_feedback($1::uuid);

-- name: read_grades
-- lane: read
-- Every revision, newest first: what was said of the read, by which plugin and by which truth.
SELECT json_build_object('read', r.read_id, 'items', coalesce((
    SELECT json_agg(json_build_object('revision', g.revision, 'correct', g.correct, 'points', g.points_milli / 1000.0,
                                      'max_points', g.max_points_milli / 1000.0, 'grade', g.grade,
                                      'provenance', grade_provenance(g.made)) ORDER BY g.revision DESC)
    FROM (SELECT x AS made, x.* FROM grades x WHERE x.tenant_id = r.tenant_id AND x.read_id = r.read_id
          ORDER BY x.revision DESC LIMIT 100) g), '[]'::json))
FROM reads r
WHERE r.tenant_id = current_tenant() AND r.person_id = current_person() AND r.read_id = $1::uuid;

-- name: read_show
-- lane: read
SELECT json_build_object('id', r.read_id, 'case', r.case_id, 'case_version', r.case_version, 'modality', r.modality,
                         'state', r.state, 'attempt', r.attempt, 'counts', r.attempt = 1,
                         'opened_at', r.opened_at, 'submitted_at', r.submitted_at,
                         'draft', CASE WHEN r.state = 'open' THEN d.draft END,
                         'draft_saved_at', CASE WHEN r.state = 'open' THEN d.saved_at END, 'answer', r.answer,
                         'feedback', CASE WHEN r.state = 'graded' THEN '/v1/reads/' || r.read_id || '/feedback' END)
FROM reads r
LEFT JOIN drafts d ON d.tenant_id = r.tenant_id AND d.read_id = r.read_id
WHERE r.tenant_id = current_tenant() AND r.person_id = current_person() AND r.read_id = $1::uuid;

-- name: read_list
-- lane: read
-- Newest first. $1 case, $2 state, $3 modality, $4 cursor, $5 limit + 1
SELECT r.read_id, json_build_object('id', r.read_id, 'case', r.case_id, 'case_slug', c.slug, 'modality', r.modality,
                                    'state', r.state, 'attempt', r.attempt, 'counts', r.attempt = 1,
                                    'opened_at', r.opened_at, 'submitted_at', r.submitted_at, 'correct', g.correct,
                                    'points', g.points_milli / 1000.0, 'max_points', g.max_points_milli / 1000.0)
FROM reads r
JOIN cases c ON c.case_id = r.case_id
LEFT JOIN LATERAL (SELECT * FROM grades x WHERE x.tenant_id = r.tenant_id AND x.read_id = r.read_id
                   ORDER BY x.revision DESC LIMIT 1) g ON true
WHERE r.tenant_id = current_tenant() AND r.person_id = current_person()
  AND ($1::uuid IS NULL OR r.case_id = $1::uuid)
  AND ($2::text IS NULL OR r.state = $2)
  AND ($3::text IS NULL OR r.modality = $3)
  AND ($4::uuid IS NULL OR r.read_id < $4::uuid)
ORDER BY r.read_id DESC
LIMIT $5::int;

-- name: draft_save
-- lane: write
-- One row when the read is one's own: its state; only an open one takes the draft.
WITH r AS (
    SELECT tenant_id, read_id, state FROM reads
    WHERE tenant_id = current_tenant() AND person_id = current_person() AND read_id = $1::uuid),
saved AS (
    INSERT INTO drafts (tenant_id, read_id, draft) SELECT tenant_id, read_id, $2::json FROM r WHERE state = 'open'
    ON CONFLICT (tenant_id, read_id) DO UPDATE SET draft = EXCLUDED.draft, saved_at = now()
    RETURNING read_id)
SELECT r.state FROM r;
