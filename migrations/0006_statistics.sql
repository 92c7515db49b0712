-- Reader statistics: what the pure functions of core/scoreboard/stats*.h need of the reads, packed, and no more.
--
-- A modality's plugin declares in `reader_statistics` of its manifest which of its metrics is the truth, which the reader's
-- score, and so on (core/grading/manifest.h). That object comes in as `how`: nothing here knows a modality.
-- First attempts only, which is the honest record, each in the newest revision of its grade.

-- Whose record may the asker see, in the asker's tenant? The one place that says so.
CREATE FUNCTION may_see_record(person uuid) RETURNS boolean LANGUAGE sql STABLE AS
$$ SELECT coalesce(person = current_person() AND current_tenant() IS NOT NULL, false) $$;

-- A window of the newest reads is found along it, however long the record is.
CREATE INDEX reads_record ON reads (tenant_id, person_id, modality, submission_no) WHERE state = 'graded' AND attempt = 1;

-- A metric that is a whole number within [low, high]; anything else is NULL.
CREATE FUNCTION metric_rank(metrics jsonb, name text, low int, high int) RETURNS int LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN jsonb_typeof(metrics->name) = 'number' AND (metrics->name)::numeric BETWEEN low AND high
                     AND (metrics->name)::numeric % 1 = 0 THEN (metrics->name)::int END $$;

-- 0 is a, 1 is b, ...; what is not known is -.
CREATE FUNCTION rank_letter(rank int) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT coalesce(chr(97 + rank), '-') $$;

-- The rows that one read gives to FROC, a character each: - a missed lesion, A..P a hit with the confidence 1..16, a..p a
-- mark that is no hit. `marks`: the objects of the answer that are marks; hit_codes, aside_codes: of findings that point to one;
-- missed_codes: of findings that each tell of a lesion without a hit. A confidence that `ladder` does not list is the lowest.
CREATE FUNCTION lesion_letters(answer jsonb, findings jsonb, marks text, confidence text, ladder text[], hit_codes text[],
                               missed_codes text[], aside_codes text[]) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    hits text[];
    skip text[];
    lost int;
BEGIN
    SELECT array_agg(f->>'answer_pointer') FILTER (WHERE f->>'code' = ANY (hit_codes)),
           array_agg(f->>'answer_pointer') FILTER (WHERE f->>'code' = ANY (aside_codes)),
           count(*) FILTER (WHERE f->>'code' = ANY (missed_codes))
        INTO hits, skip, lost FROM jsonb_array_elements(findings) f;
    RETURN repeat('-', lost) || coalesce((
        SELECT string_agg(chr(CASE WHEN pointer = ANY (hits) THEN 64 ELSE 96 END + coalesce(array_position(ladder, rung), 1)), '')
        FROM (SELECT '/' || marks || '/' || (n - 1) AS pointer, mark->>confidence AS rung
              FROM jsonb_array_elements(CASE WHEN jsonb_typeof(answer->marks) = 'array' THEN answer->marks ELSE '[]' END)
                   WITH ORDINALITY a (mark, n)) m
        WHERE pointer = ANY (hits) OR pointer = ANY (skip) IS NOT TRUE), '');
END $$;

-- One person's record in the asker's tenant and one modality, oldest first, a character or an entry a read. `span`: only the
-- newest so many; days are UTC, both ends included. strata_of: a stratum that `how` declares, or 'difficulty'. Text rather than
-- rows: a hundred thousand reads are one row of two megabytes.
CREATE FUNCTION reader_record(person uuid, of_modality text, span int, first_day date, last_day date, how jsonb, strata_of text)
RETURNS TABLE (reads int, correct text, milliseconds text, truth text, score text, reference text, strata text, lesions text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    most constant int := 100000;
    low int := coalesce((how->>'lowest')::int, 1);
    high int := low + (how->>'levels')::int - 1;
    l jsonb := how->'lesions';
    ladder text[] := (SELECT array_agg(x ORDER BY n) FROM jsonb_array_elements_text(l->'order') WITH ORDINALITY o (x, n));
    hit_codes text[] := (SELECT array_agg(x) FROM jsonb_array_elements_text(l->'found') x);
    missed_codes text[] := (SELECT array_agg(x) FROM jsonb_array_elements_text(l->'missed') x);
    aside_codes text[] := (SELECT array_agg(x) FROM jsonb_array_elements_text(l->'set_aside') x);
    s jsonb := (SELECT x FROM jsonb_array_elements(how->'strata') x WHERE x->>'name' = strata_of);
    edges numeric[] := (SELECT array_agg(x::numeric ORDER BY n)
                        FROM jsonb_array_elements_text(s->'edges') WITH ORDINALITY o (x, n));
BEGIN
    IF NOT may_see_record(person) THEN
        PERFORM refuse(404, 'person_not_found', 'There is nobody of that id whose record you may see.');
    END IF;
    IF (span IS NULL OR span > most) AND most < (SELECT count(*) FROM (
            SELECT FROM reads r WHERE r.tenant_id = current_tenant() AND r.person_id = person AND r.modality = of_modality
                AND r.state = 'graded' AND r.attempt = 1
                AND (first_day IS NULL OR r.submitted_at >= first_day::timestamp AT TIME ZONE 'UTC')
                AND (last_day IS NULL OR r.submitted_at < (last_day + 1)::timestamp AT TIME ZONE 'UTC')
            LIMIT most + 1) counted) THEN
        PERFORM refuse(422, 'too_many_reads', 'More than ' || most || ' reads: narrow them with from and to, or with window.',
                       'from');
    END IF;
    RETURN QUERY
        WITH picked AS MATERIALIZED (
            SELECT r.read_id, r.case_id, r.case_version, r.submission_no, r.opened_at, r.submitted_at
            FROM reads r
            WHERE r.tenant_id = current_tenant() AND r.person_id = person AND r.modality = of_modality
              AND r.state = 'graded' AND r.attempt = 1
              AND (first_day IS NULL OR r.submitted_at >= first_day::timestamp AT TIME ZONE 'UTC')
              AND (last_day IS NULL OR r.submitted_at < (last_day + 1)::timestamp AT TIME ZONE 'UTC')
            ORDER BY r.submission_no DESC LIMIT coalesce(span, most)),
        graded AS MATERIALIZED (
            SELECT p.submission_no, g.correct,
                   (extract(epoch FROM p.submitted_at - p.opened_at) * 1000)::bigint AS milliseconds,
                   g.grade->'metrics' AS metrics,
                   CASE WHEN s ? 'clinical' OR strata_of = 'difficulty' THEN
                       (SELECT CASE WHEN strata_of = 'difficulty' THEN v.difficulty - 1
                                    WHEN jsonb_typeof(v.clinical->(s->>'clinical')) = 'number' THEN
                                        width_bucket((v.clinical->(s->>'clinical'))::numeric, edges) END
                        FROM case_versions v WHERE v.case_id = p.case_id AND v.version = p.case_version)
                   WHEN s ? 'metric' THEN
                       metric_rank(g.grade->'metrics', s->>'metric', 1, jsonb_array_length(s->'titles')) - 1 END AS stratum,
                   CASE WHEN l IS NOT NULL THEN
                       lesion_letters((SELECT a.answer FROM reads a
                                       WHERE a.tenant_id = current_tenant() AND a.read_id = p.read_id),
                                      g.grade->'findings', l->>'marks', l->>'confidence', ladder, hit_codes, missed_codes,
                                      aside_codes) END AS lesions
            FROM picked p, LATERAL (
                SELECT x.correct, x.grade::jsonb AS grade FROM grades x
                WHERE x.tenant_id = current_tenant() AND x.read_id = p.read_id ORDER BY x.revision DESC LIMIT 1) g
            ORDER BY p.submission_no)
        -- All aggregates walk the same rows in the same order.
        SELECT count(*)::int, coalesce(string_agg(CASE WHEN g.correct THEN '1' ELSE '0' END, ''), ''),
               coalesce(string_agg(g.milliseconds::text, ','), ''),
               coalesce(string_agg(coalesce(metric_rank(g.metrics, how->>'truth', 0, 1)::text, '-'), ''), ''),
               coalesce(string_agg(rank_letter(metric_rank(g.metrics, how->>'score', low, high) - low), ''), ''),
               coalesce(string_agg(rank_letter(metric_rank(g.metrics, how->>'reference', low, high) - low), ''), ''),
               coalesce(string_agg(rank_letter(g.stratum), ''), ''),
               coalesce(string_agg(coalesce(g.lesions, ''), ';'), '')
        FROM graded g;
END $$;

-- The same record as right and wrong alone, in the order of submission: what a learning curve takes.
CREATE FUNCTION reader_outcomes(person uuid, of_modality text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    most constant int := 100000;
    outcomes text;
BEGIN
    IF NOT may_see_record(person) THEN
        PERFORM refuse(404, 'person_not_found', 'There is nobody of that id whose record you may see.');
    END IF;
    SELECT coalesce(string_agg(CASE WHEN x.correct THEN '1' ELSE '0' END, ''), '') INTO outcomes FROM (
        SELECT (SELECT g.correct FROM grades g WHERE g.tenant_id = r.tenant_id AND g.read_id = r.read_id
                ORDER BY g.revision DESC LIMIT 1) AS correct
        FROM (SELECT x.tenant_id, x.read_id, x.submission_no FROM reads x
              WHERE x.tenant_id = current_tenant() AND x.person_id = person AND x.modality = of_modality
                AND x.state = 'graded' AND x.attempt = 1
              LIMIT most + 1) r
        ORDER BY r.submission_no) x;
    IF length(outcomes) > most THEN
        PERFORM refuse(422, 'too_many_reads', 'More than ' || most || ' reads: a curve is not drawn over so many.', 'modality');
    END IF;
    RETURN outcomes;
END $$;

-- Cases ------------------------------------------------------------------------------------------------------------

CREATE INDEX reads_case ON reads (case_id, case_version) WHERE state = 'graded' AND attempt = 1;

-- Whose reads of a case an asker sees as aggregates: all of one's own tenant's case in any state; of a shared case that the
-- asker may see, those of all tenants, provided there are `few` readers or more: of fewer, somebody could be made out.
CREATE FUNCTION case_few_readers() RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT 5 $$;
CREATE FUNCTION may_see_case_record(c cases) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT current_tenant() IS NOT NULL AND (c.tenant_id IS NOT DISTINCT FROM current_tenant() OR c.tenant_id IS NULL AND (
        c.state = 'published' OR EXISTS (SELECT FROM reads r WHERE r.tenant_id = current_tenant()
                                         AND r.person_id = current_person() AND r.case_id = c.case_id))) $$;

-- Which version is asked for (NULL: the current one), and by which plugin it is graded. No row: nothing to be seen.
CREATE FUNCTION case_asked(which uuid, of_version int) RETURNS TABLE (version int, plugin_id text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT v.version, v.plugin_id FROM cases c
        JOIN case_versions v ON v.case_id = c.case_id AND v.version = coalesce(of_version, c.current_version)
        WHERE c.case_id = which AND may_see_case_record(c);
END $$;

-- Aggregates over the first reads of one version of a case, whoever read it. A reader's ability is the share correct of
-- their reads of other cases. What would hint at the truth (errors, scores, points) is NULL for who has not submitted a read of
-- a shared case: experts are readers, too. `suppressed`: too few readers, all else is NULL. Who asks twice must not find out
-- about one reader by subtraction: of a shared case there is no range of dates, and readers are shown in whole groups of
-- case_few_readers(), the newest ones once their group is full.
CREATE FUNCTION case_record(which uuid, of_version int, first_day date, last_day date, how jsonb, titles json)
RETURNS TABLE (suppressed boolean, readers int, correct int, mean float8, median float8, deviation float8, able int,
               able_correct int, discrimination float8, errors json, scores json, points json)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    most constant int := 100000;
    low int := coalesce((how->>'lowest')::int, 1);
    high int := low + (how->>'levels')::int - 1;
    c cases;
    hints boolean;
    count_readers int;
    unshown int := 0;
BEGIN
    SELECT * INTO c FROM cases x WHERE x.case_id = which AND may_see_case_record(x);
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF c.tenant_id IS NULL AND (first_day IS NOT NULL OR last_day IS NOT NULL) THEN
        PERFORM refuse(422, 'shared_case', 'Of a case of the shared library there is no range of dates: it could single out a reader.',
                       CASE WHEN first_day IS NOT NULL THEN 'from' ELSE 'to' END);
    END IF;
    hints := c.tenant_id IS NOT NULL OR EXISTS (SELECT FROM reads r WHERE r.person_id = current_person() AND r.case_id = which
                                                AND r.submitted_at IS NOT NULL);
    SELECT count(*) INTO count_readers FROM (
        SELECT FROM reads r WHERE r.case_id = which AND r.case_version = of_version AND r.state = 'graded' AND r.attempt = 1
            AND (first_day IS NULL OR r.submitted_at >= first_day::timestamp AT TIME ZONE 'UTC')
            AND (last_day IS NULL OR r.submitted_at < (last_day + 1)::timestamp AT TIME ZONE 'UTC')
        LIMIT CASE WHEN c.tenant_id IS NOT NULL THEN most + 1 END) x;
    IF c.tenant_id IS NULL THEN
        unshown := count_readers % case_few_readers();
    ELSIF count_readers > most THEN
        PERFORM refuse(422, 'too_many_reads', 'More than ' || most || ' reads: narrow them with from and to.', 'from');
    END IF;
    IF c.tenant_id IS NULL AND count_readers < case_few_readers() THEN
        RETURN QUERY SELECT true, NULL::int, NULL::int, NULL::float8, NULL::float8, NULL::float8, NULL::int, NULL::int,
                            NULL::float8, NULL::json, NULL::json, NULL::json;
        RETURN;
    END IF;
    RETURN QUERY
        WITH graded AS MATERIALIZED (
            SELECT g.correct, extract(epoch FROM r.submitted_at - r.opened_at)::float8 AS seconds, g.points, g.grade,
                   CASE WHEN s.reads > 1 THEN (s.correct - g.correct::int)::float8 / (s.reads - 1) END AS ability
            FROM (SELECT * FROM reads y
                  WHERE y.case_id = which AND y.case_version = of_version AND y.state = 'graded' AND y.attempt = 1
                    AND (first_day IS NULL OR y.submitted_at >= first_day::timestamp AT TIME ZONE 'UTC')
                    AND (last_day IS NULL OR y.submitted_at < (last_day + 1)::timestamp AT TIME ZONE 'UTC')
                  ORDER BY y.submission_no DESC OFFSET unshown LIMIT most) r
            JOIN LATERAL (SELECT x.correct, x.points_milli::float8 / nullif(x.max_points_milli, 0) AS points,
                                 CASE WHEN hints THEN x.grade::jsonb END AS grade
                          FROM grades x WHERE x.tenant_id = r.tenant_id AND x.read_id = r.read_id
                          ORDER BY x.revision DESC LIMIT 1) g ON true
            LEFT JOIN standings s ON s.tenant_id = everybody() AND s.person_id = r.person_id AND s.modality = r.modality)
        SELECT false, count(*)::int, (count(*) FILTER (WHERE g.correct))::int, avg(g.seconds),
               percentile_cont(0.5) WITHIN GROUP (ORDER BY g.seconds), stddev_samp(g.seconds),
               count(g.ability)::int, (count(g.ability) FILTER (WHERE g.correct))::int,
               -- Pearson's coefficient with a variable of two values: the point-biserial one.
               corr(g.correct::int, g.ability),
               CASE WHEN hints THEN coalesce((
                   SELECT json_agg(json_build_object('code', e.code, 'title', titles->>e.code, 'reads', e.reads)
                                   ORDER BY e.reads DESC, e.code)
                   FROM (SELECT f->>'code' AS code, count(DISTINCT n)::int AS reads
                         FROM (SELECT x.grade, row_number() OVER () AS n FROM graded x) y,
                              jsonb_array_elements(y.grade->'findings') f
                         WHERE f->>'verdict' IN ('miss', 'false_positive', 'partial')
                         GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20) e), '[]'::json) END,
               CASE WHEN hints THEN (
                   SELECT json_agg(json_build_object('score', l.score, 'title', how->'titles'->>(l.score - low), 'reads', (
                       SELECT count(*) FROM graded x
                       WHERE metric_rank(x.grade->'metrics', how->>'score', low, high) = l.score)) ORDER BY l.score)
                   FROM generate_series(low, high) l (score)) END,
               CASE WHEN hints THEN (
                   SELECT json_agg((SELECT count(*) FROM graded x WHERE least(floor(x.points * 10), 9) = t.tenth) ORDER BY t.tenth)
                   FROM generate_series(0, 9) t (tenth)) END
        FROM graded g;
END $$;

GRANT EXECUTE ON FUNCTION may_see_record, reader_record, reader_outcomes, may_see_case_record, case_asked, case_record
    TO overread_app;
