-- name: performance_show
-- lane: read
-- One's own review in this tenant, a modality each ($1: only this one).
SELECT json_build_object('items', coalesce(json_agg(json_build_object(
           'modality', s.modality, 'reads', s.reads, 'correct', s.correct,
           'last20', window_json(s.ring_correct, 20), 'last50', window_json(s.ring_correct, 50),
           'score', s.score, 'rank', board_rank(s.tenant_id, s.modality, s.score),
           'of', board_people(s.tenant_id, s.modality)) ORDER BY s.modality), '[]'::json))
FROM standings s
WHERE s.tenant_id = current_tenant() AND s.person_id = current_person() AND s.reads > 0
  AND ($1::text IS NULL OR s.modality = $1);

-- name: board_tenant
-- lane: read
-- $1 modality, $2 limit. Who oversees others sees whom they may see (board_rows); the numbers of people and ranks are everybody's.
SELECT json_build_object('board', 'tenant', 'modality', $1::text, 'people', board_people(current_tenant(), $1),
    'items', coalesce((SELECT json_agg(json_build_object(
            'rank', b.rank, 'name', p.name, 'score', b.score, 'reads', b.reads,
            'last50', window_json(b.ring, 50), 'me', b.person = current_person()) ORDER BY b.score DESC, b.person)
        FROM board_rows($1, $2::int) b JOIN people p ON p.person_id = b.person), '[]'::json),
    'me', (SELECT json_build_object('rank', board_rank(s.tenant_id, $1, s.score), 'score', s.score, 'reads', s.reads,
                                    'last20', window_json(s.ring_correct, 20), 'last50', window_json(s.ring_correct, 50))
           FROM standings s WHERE s.tenant_id = current_tenant() AND s.person_id = current_person() AND s.modality = $1
                              AND s.reads > 0));

-- name: board_everybody
-- lane: read
SELECT json_build_object('board', 'everybody', 'modality', $1::text, 'people', board_people(everybody(), $1),
    'items', coalesce((SELECT json_agg(json_build_object('rank', b.rank, 'name', b.name,
            'score', b.score, 'reads', b.reads, 'last50', b.last50, 'me', b.me) ORDER BY b.rank, b.name)
        FROM (SELECT *, rank() OVER (ORDER BY score DESC) AS rank FROM board_everybody($1, $2::int)) b), '[]'::json),
    'me', board_everybody_me($1));

-- name: board_join
-- lane: write
SELECT board_join($1);

-- name: board_leave
-- lane: write
SELECT board_leave();

-- name: reader_statistics
-- lane: slow
-- $1 modality, $2 newest so many, $3 first day, $4 last day, $5 the plugin's reader_statistics, $6 stratum
SELECT reads, correct, milliseconds, truth, score, reference, strata, lesions
FROM reader_record(current_person(), $1, $2::int, $3::date, $4::date, $5::jsonb, $6);

-- name: reader_learning
-- lane: slow
SELECT reader_outcomes(current_person(), $1);

-- name: case_asked
-- lane: read
-- $1 case, $2 version
SELECT version, plugin_id FROM case_asked($1::uuid, $2::int);

-- name: case_statistics
-- lane: slow
-- $1 case, $2 version, $3 first day, $4 last day, $5 the plugin's reader_statistics, $6 its manifest
SELECT suppressed, readers, correct, mean, median, deviation, able, able_correct, discrimination, errors, scores, points
FROM case_record($1::uuid, $2::int, $3::date, $4::date, $5::jsonb, $6::json->'findings');
