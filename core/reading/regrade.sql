-- Regrading, at the command line, as the owner. The rules are functions of migrations/0005.

-- name: regrade_scope
-- $1 plugin, $2 version, $3 rules revision, $4 sha256, $5 tenant's slug, $6 case's slug, $7 version of the truth
SELECT of_tenant, of_case, covered FROM regrade_scope($1, $2, $3::int, $4, $5, $6, $7::int);

-- name: regrade_lock
-- One at a time for a plugin; the lock is the connection's.
SELECT pg_try_advisory_lock(hashtextextended('regrade' || $1, 0));

-- name: regrade_find
SELECT run_id, cursor_tenant, cursor_read FROM regrade_find($1, $2, $3::int, $4, $5::uuid, $6::uuid, $7::int);

-- name: regrade_begin
-- lane: write
SELECT run_id, cursor_tenant, cursor_read FROM regrade_begin($1::uuid, $2, $3, $4::int, $5, $6::uuid, $7::uuid, $8::int);

-- name: regrade_write
-- lane: write
SELECT regrade_write($1::uuid, $2::uuid, $3::uuid, $4::uuid, $5::uuid, $6::json, $7::json);

-- name: regrade_end
-- lane: write
SELECT regrade_end($1::uuid, 'done');

-- name: regrade_pick
-- lane: slow
-- The next batch behind a cursor: reads whose newest grade this plugin made in another provenance than the one installed,
-- or by another version of the truth than the one asked for. $1 plugin, $2 version, $3 rules revision, $4 sha256, $5 tenant,
-- $6 case, $7 version of the truth, $8 what was graded before is known, $9 and $10 cursor, $11 at most so many.
-- `source` numbers the case versions of the batch; config and truth come once with each.
WITH picked AS MATERIALIZED (
    SELECT r.tenant_id, r.read_id, r.person_id, r.modality, r.submission_no, r.attempt, r.case_id, r.answer,
           g.revision, g.correct, g.grade, g.case_version AS graded_by, coalesce($7::int, g.case_version) AS version
    FROM reads r
    CROSS JOIN LATERAL (SELECT x.* FROM grades x WHERE x.tenant_id = r.tenant_id AND x.read_id = r.read_id
                        ORDER BY x.revision DESC LIMIT 1) g
    WHERE (r.tenant_id, r.read_id) > ($9::uuid, $10::uuid) AND r.state = 'graded'
      AND r.tenant_id BETWEEN coalesce($5::uuid, '00000000-0000-0000-0000-000000000000')
                          AND coalesce($5::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
      AND ($6::uuid IS NULL OR r.case_id = $6::uuid)
      AND ($7::int IS NULL OR r.case_version <= $7::int)
      AND g.plugin_id = $1
      AND (g.case_version <> $7::int
           OR ((g.plugin_version, g.rules_revision, g.plugin_sha256) IS DISTINCT FROM ($2::text, $3::int, $4::text)
               AND ($8::timestamptz IS NULL OR g.graded_at >= $8::timestamptz)))
    ORDER BY r.tenant_id, r.read_id LIMIT $11::int),
numbered AS (
    SELECT p.*, dense_rank() OVER (ORDER BY p.case_id, p.version) - 1 AS source,
           row_number() OVER (PARTITION BY p.case_id, p.version ORDER BY p.tenant_id, p.read_id) = 1 AS leads
    FROM picked p)
SELECT n.tenant_id, n.read_id, n.person_id, n.modality, n.submission_no, n.attempt, n.revision, n.correct, n.graded_by,
       n.version, encode(sha256(convert_to(n.grade::text, 'UTF8')), 'hex') AS grade_sha256, n.answer, n.source, v.config,
       t.truth
FROM numbered n
LEFT JOIN case_versions v ON n.leads AND v.case_id = n.case_id AND v.version = n.version
LEFT JOIN case_truths t ON n.leads AND t.case_id = n.case_id AND t.version = n.version
ORDER BY n.tenant_id, n.read_id;

-- The impact: tables of the connection, so that nothing is written, and nothing grows in the program's memory.

-- name: regrade_impact_tables
CREATE TEMPORARY TABLE IF NOT EXISTS regrade_impact_sums (tenant_id uuid, reads bigint, changed bigint, refused bigint,
    right_to_wrong bigint, wrong_to_right bigint);

-- name: regrade_impact_flips
CREATE TEMPORARY TABLE IF NOT EXISTS regrade_impact_turned (tenant_id uuid, person_id uuid, modality text,
    submission_no bigint, correct boolean);

-- name: regrade_impact_note
-- $1 sums of a batch, $2 first attempts that turn in it
WITH sums AS (
    INSERT INTO regrade_impact_sums SELECT * FROM json_to_recordset($1::json)
        s (tenant_id uuid, reads bigint, changed bigint, refused bigint, right_to_wrong bigint, wrong_to_right bigint))
INSERT INTO regrade_impact_turned SELECT * FROM json_to_recordset($2::json)
    f (tenant_id uuid, person_id uuid, modality text, submission_no bigint, correct boolean);

-- name: regrade_impact
-- A line a tenant, by slug, and the total. people: whose score moves, on the tenant's board; in total also on everybody's.
WITH moved AS MATERIALIZED (
    SELECT DISTINCT k.board, k.person_id
    FROM (SELECT b.board, f.person_id, f.modality, array_agg(f.submission_no) AS nos, array_agg(f.correct) AS turned
          FROM regrade_impact_turned f, LATERAL (VALUES (everybody()), (f.tenant_id)) b (board)
          GROUP BY b.board, f.person_id, f.modality) k
    JOIN standings s ON s.tenant_id = k.board AND s.person_id = k.person_id AND s.modality = k.modality
    WHERE s.score <> ring_score(ring_turn(s.ring_no, s.ring_correct, k.nos, k.turned)))
SELECT json_build_object('tenant', t.slug, 'reads', sum(i.reads), 'unchanged', sum(i.reads - i.changed - i.refused),
           'changed', sum(i.changed), 'refused', sum(i.refused), 'right_to_wrong', sum(i.right_to_wrong),
           'wrong_to_right', sum(i.wrong_to_right),
           'people', (SELECT count(*) FROM moved m WHERE m.board = t.tenant_id)) AS line, t.slug AS place, false AS is_total
FROM regrade_impact_sums i JOIN tenants t USING (tenant_id) GROUP BY t.tenant_id, t.slug
UNION ALL
SELECT json_build_object('total', true, 'tenants', count(DISTINCT i.tenant_id), 'reads', coalesce(sum(i.reads), 0),
           'unchanged', coalesce(sum(i.reads - i.changed - i.refused), 0), 'changed', coalesce(sum(i.changed), 0),
           'refused', coalesce(sum(i.refused), 0), 'right_to_wrong', coalesce(sum(i.right_to_wrong), 0),
           'wrong_to_right', coalesce(sum(i.wrong_to_right), 0),
           'people', (SELECT count(DISTINCT m.person_id) FROM moved m)), '', true
FROM regrade_impact_sums i
ORDER BY is_total, place;
