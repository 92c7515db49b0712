-- Regrading: a new revision of a plugin, or a corrected truth, grades what was read before.
--
-- A grade is never changed: regrading adds a revision, and the newest one counts, everywhere. It is the operator's work
-- (`overread regrade`): nothing here is for the application but what shows a reader the revisions.

-- When it was written, not when its transaction began: a run that has seen the table locked has seen all grades before.
ALTER TABLE grades ALTER COLUMN graded_at SET DEFAULT clock_timestamp();

CREATE TABLE regrade_runs (
    run_id         uuid PRIMARY KEY,
    plugin_id      text NOT NULL,              -- what grades: the plugin that was installed
    plugin_version text NOT NULL,
    rules_revision int NOT NULL,
    plugin_sha256  text NOT NULL,
    of_tenant      uuid REFERENCES tenants,    -- only this tenant's reads; NULL: all
    of_case        uuid REFERENCES cases,      -- only reads of this case; NULL: all
    truth_version  int,                        -- by the truth of this version of the case; NULL: each by its own
    state          text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'stopped')),
    cursor_tenant  uuid NOT NULL,              -- the last read that is done with
    cursor_read    uuid NOT NULL,
    started_at     timestamptz NOT NULL,
    moved_at       timestamptz NOT NULL DEFAULT now(),
    ended_at       timestamptz,
    CHECK ((state = 'running') = (ended_at IS NULL)),
    CHECK (truth_version IS NULL OR of_case IS NOT NULL),
    FOREIGN KEY (of_case, truth_version) REFERENCES case_versions
);
CREATE UNIQUE INDEX regrade_runs_one ON regrade_runs (plugin_id) WHERE state = 'running';

CREATE TABLE regrade_tenants (
    tenant_id      uuid NOT NULL REFERENCES tenants,
    run_id         uuid NOT NULL REFERENCES regrade_runs,
    reads          bigint NOT NULL,            -- looked at
    changed        bigint NOT NULL,            -- got a revision
    refused        bigint NOT NULL,            -- answers that the plugin's schema does not take: the grade stays
    right_to_wrong bigint NOT NULL,
    wrong_to_right bigint NOT NULL,
    audited_at     timestamptz,
    PRIMARY KEY (tenant_id, run_id)
);
CREATE INDEX regrade_tenants_run ON regrade_tenants (run_id);

SELECT guard_table(t) FROM unnest(ARRAY['regrade_runs', 'regrade_tenants']::regclass[]) t;

-- Standings ----------------------------------------------------------------------------------------------------------

-- First grades one by one, as before; what a regrade turns is done for its whole batch (standings_revise).
DROP TRIGGER standings_follow ON grades;
CREATE TRIGGER standings_follow AFTER INSERT ON grades FOR EACH ROW WHEN (NEW.revision = 1)
    EXECUTE FUNCTION standings_follow();

-- A read whose newest grade has turned from right to wrong, or from wrong to right.
CREATE TYPE regrade_flip AS (tenant_id uuid, person_id uuid, modality text, submission_no bigint, attempt int, correct boolean);

-- The ring with these submissions turned; those that are not within it are of no matter to it.
CREATE FUNCTION ring_turn(ring_no bigint[], ring_correct boolean[], nos bigint[], turned boolean[]) RETURNS boolean[]
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    place int;
BEGIN
    FOR i IN 1..cardinality(nos) LOOP
        place := array_position(ring_no, nos[i]);
        IF place IS NOT NULL THEN
            ring_correct[place] := turned[i];
        END IF;
    END LOOP;
    RETURN ring_correct;
END $$;

CREATE FUNCTION ring_score(ring boolean[]) RETURNS int LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN cardinality(ring) = 0 THEN 0 ELSE
        floor(100 * wilson_low(cardinality(array_positions(ring, true)), cardinality(ring)))::int END $$;

-- Moves the standings, first attempts only. Locks in the order of standings_follow and of all who move standings: people,
-- then standings, then counters, each in the order of their keys, so that a batch and a single grade never wait in a ring.
CREATE FUNCTION standings_revise(flips regrade_flip[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    after standings[];
BEGIN
    flips := ARRAY(SELECT f FROM unnest(flips) f WHERE f.attempt = 1);
    IF cardinality(flips) = 0 THEN
        RETURN;
    END IF;
    PERFORM lock_pseudonym(x.person_id)
        FROM (SELECT DISTINCT f.person_id FROM unnest(flips) f ORDER BY f.person_id) x;
    PERFORM FROM standings s
        WHERE (s.tenant_id, s.person_id, s.modality) IN
              (SELECT b.board, f.person_id, f.modality
               FROM unnest(flips) f, LATERAL (VALUES (everybody()), (f.tenant_id)) b (board))
        ORDER BY s.tenant_id, s.person_id, s.modality FOR UPDATE OF s;
    SELECT array_agg(ROW(s.tenant_id, s.person_id, s.modality, s.reads, s.correct + k.gained, s.ring_no, n.ring,
                         ring_score(n.ring), s.listed)::standings) INTO after
        FROM (SELECT b.board, f.person_id, f.modality, array_agg(f.submission_no) AS nos, array_agg(f.correct) AS turned,
                     sum(CASE WHEN f.correct THEN 1 ELSE -1 END)::int AS gained
              FROM unnest(flips) f, LATERAL (VALUES (everybody()), (f.tenant_id)) b (board)
              GROUP BY b.board, f.person_id, f.modality) k
        JOIN standings s ON s.tenant_id = k.board AND s.person_id = k.person_id AND s.modality = k.modality
        CROSS JOIN LATERAL (SELECT ring_turn(s.ring_no, s.ring_correct, k.nos, k.turned) AS ring) n;
    -- The trigger on standings counts; here its rows are taken in their order before it does.
    PERFORM board_count(x.tenant_id, x.modality, x.score, 0)
        FROM (SELECT DISTINCT n.tenant_id, n.modality, b.score
              FROM unnest(after) n
              JOIN standings s ON s.tenant_id = n.tenant_id AND s.person_id = n.person_id AND s.modality = n.modality
              CROSS JOIN LATERAL (VALUES (s.score), (n.score)) b (score)
              WHERE s.score <> n.score AND s.listed AND s.reads > 0
              ORDER BY n.tenant_id, n.modality, b.score) x;
    UPDATE standings s SET correct = n.correct, ring_correct = n.ring_correct, score = n.score
        FROM unnest(after) n
        WHERE s.tenant_id = n.tenant_id AND s.person_id = n.person_id AND s.modality = n.modality;
END $$;

-- Runs ---------------------------------------------------------------------------------------------------------------

-- What the operator named, as ids; refuses what there is not. covered: when a run by the same plugin over as much or more,
-- that has come to its end, began: grades before it were looked at then, and what it left alone is the same still.
CREATE FUNCTION regrade_scope(plugin text, version text, rules int, library_sha256 text, tenant_slug text, case_slug text,
                              by_version int)
RETURNS TABLE (of_tenant uuid, of_case uuid, covered timestamptz) LANGUAGE plpgsql STABLE AS $$
DECLARE
    v case_versions;
    other int;
BEGIN
    IF tenant_slug IS NOT NULL THEN
        SELECT t.tenant_id INTO of_tenant FROM tenants t WHERE t.slug = tenant_slug;
        IF of_tenant IS NULL THEN
            PERFORM refuse(404, 'tenant_not_found', 'There is no tenant ' || tenant_slug || '.', 'tenant');
        END IF;
    END IF;
    IF case_slug IS NOT NULL THEN
        SELECT c.case_id INTO of_case FROM cases c WHERE c.slug = case_slug;
        IF of_case IS NULL THEN
            PERFORM refuse(404, 'case_not_found', 'There is no case ' || case_slug || '.', 'case');
        END IF;
    END IF;
    IF by_version IS NOT NULL THEN
        SELECT * INTO v FROM case_versions x WHERE x.case_id = of_case AND x.version = by_version;
        IF v.version IS NULL OR v.plugin_id <> plugin THEN
            PERFORM refuse(404, 'version_not_found', 'There is no such version of the case that ' || plugin || ' grades.',
                           'truth-version');
        END IF;
        -- An answer is an answer to what was shown.
        SELECT x.version INTO other FROM case_versions x
            WHERE x.case_id = of_case AND x.version < by_version
              AND (x.images <> v.images OR x.clinical <> v.clinical OR x.plugin_id <> plugin)
              AND EXISTS (SELECT FROM reads r WHERE r.case_id = of_case AND r.case_version = x.version AND r.state = 'graded')
            ORDER BY x.version LIMIT 1;
        IF other IS NOT NULL THEN
            PERFORM refuse(422, 'another_question', 'Readers of version ' || other || ' were shown other images or clinical '
                           'data, or were graded by another plugin: the truth of version ' || by_version ||
                           ' is not for their answers.', 'truth-version');
        END IF;
    END IF;
    SELECT max(x.started_at) INTO covered FROM regrade_runs x
        WHERE x.state = 'done' AND x.plugin_id = plugin AND x.plugin_version = version AND x.rules_revision = rules
          AND x.plugin_sha256 = library_sha256 AND x.truth_version IS NOT DISTINCT FROM by_version
          AND (x.of_tenant IS NULL OR x.of_tenant = regrade_scope.of_tenant)
          AND (x.of_case IS NULL OR x.of_case = regrade_scope.of_case);
    RETURN NEXT;
END $$;

-- One line in the record of each tenant whose grades this run has changed, once it is through with the tenant.
CREATE FUNCTION regrade_account(run uuid, before uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    x regrade_runs;
    t regrade_tenants;
BEGIN
    SELECT * INTO x FROM regrade_runs WHERE run_id = run;
    FOR t IN UPDATE regrade_tenants y SET audited_at = now()
             WHERE y.run_id = run AND y.audited_at IS NULL AND (before IS NULL OR y.tenant_id < before) RETURNING y.* LOOP
        CONTINUE WHEN t.changed = 0;
        PERFORM audit(t.tenant_id, NULL, 'grades.revised', run::text,
                      jsonb_build_object('plugin', x.plugin_id, 'plugin_version', x.plugin_version,
                          'rules_revision', x.rules_revision, 'plugin_sha256', x.plugin_sha256, 'case', x.of_case,
                          'truth_version', x.truth_version, 'reads', t.reads, 'revised', t.changed, 'refused', t.refused,
                          'right_to_wrong', t.right_to_wrong, 'wrong_to_right', t.wrong_to_right));
    END LOOP;
END $$;

-- Ends a run: it is through ('done'), or another takes its place ('stopped'). Its sums.
CREATE FUNCTION regrade_end(run uuid, how text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM regrade_account(run, NULL);
    UPDATE regrade_runs SET state = how, ended_at = clock_timestamp() WHERE run_id = run AND state = 'running';
    RETURN (SELECT json_build_object('run', run, 'state', how, 'reads', coalesce(sum(t.reads), 0),
                'unchanged', coalesce(sum(t.reads - t.changed - t.refused), 0), 'revised', coalesce(sum(t.changed), 0),
                'refused', coalesce(sum(t.refused), 0), 'right_to_wrong', coalesce(sum(t.right_to_wrong), 0),
                'wrong_to_right', coalesce(sum(t.wrong_to_right), 0))
            FROM regrade_tenants t WHERE t.run_id = run);
END $$;

-- The run that is under way for the same plugin and scope, to be gone on with.
CREATE FUNCTION regrade_find(plugin text, version text, rules int, library_sha256 text, tenant uuid, which_case uuid,
                             by_version int)
RETURNS TABLE (run_id uuid, cursor_tenant uuid, cursor_read uuid) LANGUAGE sql STABLE AS $$
    SELECT x.run_id, x.cursor_tenant, x.cursor_read FROM regrade_runs x
    WHERE x.state = 'running' AND x.plugin_id = plugin AND x.plugin_version = version AND x.rules_revision = rules
      AND x.plugin_sha256 = library_sha256
      AND (x.of_tenant, x.of_case, x.truth_version) IS NOT DISTINCT FROM (tenant, which_case, by_version) $$;

-- Begins a run; one of the plugin with another aim, left behind unfinished, is stopped: what it wrote stands. The table is
-- locked for a moment, so that every grade is either seen by this run or younger than started_at.
CREATE FUNCTION regrade_begin(run uuid, plugin text, version text, rules int, library_sha256 text, tenant uuid,
                              which_case uuid, by_version int)
RETURNS TABLE (run_id uuid, cursor_tenant uuid, cursor_read uuid) LANGUAGE plpgsql SET lock_timeout = '10s' AS $$
BEGIN
    PERFORM regrade_end(x.run_id, 'stopped') FROM regrade_runs x WHERE x.plugin_id = plugin AND x.state = 'running';
    LOCK TABLE grades IN SHARE MODE;
    RETURN QUERY INSERT INTO regrade_runs AS x (run_id, plugin_id, plugin_version, rules_revision, plugin_sha256, of_tenant,
                                                of_case, truth_version, cursor_tenant, cursor_read, started_at)
        VALUES (run, plugin, version, rules, library_sha256, tenant, which_case, by_version, everybody(), everybody(),
                clock_timestamp())
        RETURNING x.run_id, x.cursor_tenant, x.cursor_read;
END $$;

-- One batch: the revisions, the standings, the sums and the cursor, all or nothing. made: what has changed, of the reads
-- between the two places; the old revision of each is named, and a second of the same number is refused by the key.
CREATE FUNCTION regrade_write(run uuid, from_tenant uuid, from_read uuid, to_tenant uuid, to_read uuid, sums json, made json)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    x regrade_runs;
    flips regrade_flip[];
BEGIN
    SELECT * INTO x FROM regrade_runs WHERE run_id = run FOR UPDATE;
    IF x.state IS DISTINCT FROM 'running' OR (x.cursor_tenant, x.cursor_read) <> (from_tenant, from_read) THEN
        PERFORM refuse(409, 'regrade_moved', 'Another process has gone on with this run.');
    END IF;
    WITH written AS (
        INSERT INTO grades (tenant_id, read_id, revision, points_milli, max_points_milli, correct, grade, plugin_id,
                            plugin_version, rules_revision, plugin_sha256, case_version, input_sha256)
            SELECT m.tenant_id, m.read_id, m.revision + 1, m.points_milli, m.max_points_milli, m.correct, m.grade, x.plugin_id,
                   x.plugin_version, x.rules_revision, x.plugin_sha256, m.case_version, m.input_sha256
            FROM json_to_recordset(made) m (tenant_id uuid, read_id uuid, revision int, points_milli bigint,
                max_points_milli bigint, correct boolean, grade json, case_version int, input_sha256 text)
            RETURNING tenant_id, read_id, revision, correct)
    SELECT coalesce(array_agg(ROW(r.tenant_id, r.person_id, r.modality, r.submission_no, r.attempt, w.correct)::regrade_flip),
                    '{}') INTO flips
        FROM written w
        JOIN grades old ON old.tenant_id = w.tenant_id AND old.read_id = w.read_id AND old.revision = w.revision - 1
        JOIN reads r ON r.tenant_id = w.tenant_id AND r.read_id = w.read_id
        WHERE old.correct <> w.correct;
    INSERT INTO regrade_tenants AS t (tenant_id, run_id, reads, changed, refused, right_to_wrong, wrong_to_right)
        SELECT s.tenant_id, run, s.reads, s.changed, s.refused, s.right_to_wrong, s.wrong_to_right
        FROM json_to_recordset(sums) s (tenant_id uuid, reads bigint, changed bigint, refused bigint, right_to_wrong bigint,
                                        wrong_to_right bigint)
        ON CONFLICT (tenant_id, run_id) DO UPDATE SET
            reads = t.reads + EXCLUDED.reads, changed = t.changed + EXCLUDED.changed, refused = t.refused + EXCLUDED.refused,
            right_to_wrong = t.right_to_wrong + EXCLUDED.right_to_wrong,
            wrong_to_right = t.wrong_to_right + EXCLUDED.wrong_to_right;
    UPDATE regrade_runs SET cursor_tenant = to_tenant, cursor_read = to_read, moved_at = now() WHERE run_id = run;
    PERFORM regrade_account(run, to_tenant);
    PERFORM standings_revise(flips); -- last: other people wait for these locks
END $$;

-- What a reader sees ---------------------------------------------------------------------------------------------------

CREATE FUNCTION grade_provenance(g grades) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object('revision', g.revision, 'plugin', g.plugin_id, 'plugin_version', g.plugin_version,
        'rules_revision', g.rules_revision, 'plugin_sha256', g.plugin_sha256, 'case_version', g.case_version,
        'input_sha256', g.input_sha256, 'graded_at', g.graded_at) $$;

-- As before, by the newest revision; and whether there was another before it. The truth shown is the one that it was graded
-- by, which a corrected case has in a later version.
CREATE OR REPLACE FUNCTION read_feedback(which uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT json_build_object(
        'read', r.read_id, 'case', r.case_id, 'case_version', r.case_version, 'modality', r.modality,
        'state', r.state, 'attempt', r.attempt,
        'opened_at', r.opened_at, 'submitted_at', r.submitted_at,
        'duration_ms', round(extract(epoch FROM r.submitted_at - r.opened_at) * 1000)::bigint,
        'correct', g.correct, 'counts', r.attempt = 1,
        'revision', g.revision, 'regraded', g.revision > 1, 'previous_correct', p.correct,
        'grade', g.grade, 'answer', r.answer,
        'provenance', grade_provenance(g.made),
        'truth', t.truth, 'truth_kind', v.truth_kind, 'expert_report', t.expert_report, 'histology', t.histology,
        'case_provenance', v.provenance)::text
    FROM reads r
    JOIN LATERAL (SELECT x AS made, x.* FROM grades x WHERE x.tenant_id = r.tenant_id AND x.read_id = r.read_id
                  ORDER BY x.revision DESC LIMIT 1) g ON true
    LEFT JOIN grades p ON p.tenant_id = r.tenant_id AND p.read_id = r.read_id AND p.revision = g.revision - 1
    JOIN case_versions v ON v.case_id = r.case_id AND v.version = g.case_version
    JOIN case_truths t ON t.case_id = r.case_id AND t.version = g.case_version
    WHERE r.tenant_id = current_tenant() AND r.person_id = current_person() AND r.read_id = which);
END $$;

GRANT EXECUTE ON FUNCTION grade_provenance TO overread_app;
