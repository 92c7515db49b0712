-- Scoreboard: standings are kept as grades come in, never recomputed by scanning.
--
-- A board is a tenant's, or everybody's: the nil UUID stands for the global one. A standing holds the last 50 first
-- attempts in the order of submission, so that a read that is graded late still falls into its place.
-- Ranking: whole percent of the lower end of the Wilson interval over the last 50, so that three lucky reads do not
-- lead. The rank is 1 + the number of listed people with a higher score, summed over at most 101 scores x 8 shards:
-- the same cost for a thousand readers and a million; writers meet on a row only within shard and score.

CREATE FUNCTION everybody() RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT '00000000-0000-0000-0000-000000000000'::uuid $$;

CREATE TABLE standings (
    tenant_id    uuid NOT NULL,
    person_id    uuid NOT NULL REFERENCES people,
    modality     text NOT NULL REFERENCES modalities,
    reads        int NOT NULL DEFAULT 0,       -- first attempts graded
    correct      int NOT NULL DEFAULT 0,
    ring_no      bigint[] NOT NULL DEFAULT '{}',  -- submission numbers, ascending, at most 50
    ring_correct boolean[] NOT NULL DEFAULT '{}',
    score        int NOT NULL DEFAULT 0 CHECK (score BETWEEN 0 AND 100),
    listed       boolean NOT NULL,
    PRIMARY KEY (tenant_id, person_id, modality)
);
CREATE INDEX standings_board ON standings (tenant_id, modality, score DESC, person_id) WHERE listed AND reads > 0;

CREATE TABLE board_counts (
    tenant_id uuid NOT NULL,
    modality  text NOT NULL,
    score     int NOT NULL,
    shard     int NOT NULL,
    people    int NOT NULL,                    -- of one shard may be negative; the sum over shards is the count
    PRIMARY KEY (tenant_id, modality, score, shard)
);

-- Who wants to be on the global board, and under which name.
CREATE TABLE pseudonyms (
    person_id uuid PRIMARY KEY REFERENCES people,
    pseudonym text NOT NULL CHECK (length(pseudonym) BETWEEN 3 AND 40),
    since     timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX pseudonyms_name ON pseudonyms (lower(pseudonym));

-- Ends of the Wilson score interval, 95 %, for k of n > 0 (Wilson 1927). Plain expressions, so that PostgreSQL puts them
-- in the place of the call; 3.841... is the square of 1.959963984540054.
CREATE FUNCTION wilson_low(k int, n int) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$
    SELECT greatest(0::float8, (k::float8 / n + '3.8414588206941254'::float8 / (2 * n)
               - '1.959963984540054'::float8 * sqrt(k::float8 / n * (1 - k::float8 / n) / n
                                                    + '3.8414588206941254'::float8 / (4::float8 * n * n)))
           / (1 + '3.8414588206941254'::float8 / n)) $$;
CREATE FUNCTION wilson_high(k int, n int) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$
    SELECT 1 - wilson_low(n - k, n) $$;

CREATE FUNCTION board_count(board uuid, of_modality text, of_score int, change int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO board_counts AS b (tenant_id, modality, score, shard, people)
        VALUES (board, of_modality, of_score, pg_backend_pid() % 8, change)
        ON CONFLICT (tenant_id, modality, score, shard) DO UPDATE SET people = b.people + change;
END $$;

CREATE FUNCTION standings_count() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was boolean := TG_OP = 'UPDATE' AND OLD.listed AND OLD.reads > 0;
    is_now boolean := NEW.listed AND NEW.reads > 0;
BEGIN
    IF was AND is_now AND OLD.score = NEW.score THEN
        RETURN NULL;
    END IF;
    -- The lower score first: two writers that move in opposite directions lock in one order.
    IF was AND is_now AND NEW.score < OLD.score THEN
        PERFORM board_count(NEW.tenant_id, NEW.modality, NEW.score, 1);
        PERFORM board_count(NEW.tenant_id, NEW.modality, OLD.score, -1);
        RETURN NULL;
    END IF;
    IF was THEN
        PERFORM board_count(OLD.tenant_id, OLD.modality, OLD.score, -1);
    END IF;
    IF is_now THEN
        PERFORM board_count(NEW.tenant_id, NEW.modality, NEW.score, 1);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER standings_count AFTER INSERT OR UPDATE ON standings FOR EACH ROW EXECUTE FUNCTION standings_count();

CREATE FUNCTION standing_add(board uuid, person uuid, of_modality text, no bigint, is_correct boolean, is_listed boolean)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    s standings;
    place int;
    n int;
BEGIN
    INSERT INTO standings (tenant_id, person_id, modality, listed) VALUES (board, person, of_modality, is_listed)
        ON CONFLICT DO NOTHING;
    SELECT * INTO s FROM standings
        WHERE tenant_id = board AND person_id = person AND modality = of_modality FOR UPDATE;
    n := cardinality(s.ring_no);
    place := n;
    WHILE place > 0 AND s.ring_no[place] > no LOOP
        place := place - 1;
    END LOOP;
    s.ring_no := s.ring_no[1:place] || no || s.ring_no[place + 1:n];
    s.ring_correct := s.ring_correct[1:place] || is_correct || s.ring_correct[place + 1:n];
    IF n = 50 THEN
        s.ring_no := s.ring_no[2:51];
        s.ring_correct := s.ring_correct[2:51];
    END IF;
    UPDATE standings SET reads = s.reads + 1, correct = s.correct + is_correct::int, ring_no = s.ring_no,
                         ring_correct = s.ring_correct,
                         score = floor(100 * wilson_low(cardinality(array_positions(s.ring_correct, true)),
                                                        cardinality(s.ring_correct)))
        WHERE tenant_id = board AND person_id = person AND modality = of_modality;
END $$;

-- Being listed and having a pseudonym change together: joining, leaving and grading a first read take turns.
CREATE FUNCTION lock_pseudonym(person uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('pseudonym' || person, 0));
END $$;

-- The scoreboard follows the grades: same transaction, first attempts only.
CREATE FUNCTION standings_follow() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    r reads;
BEGIN
    SELECT * INTO r FROM reads WHERE tenant_id = NEW.tenant_id AND read_id = NEW.read_id;
    IF NEW.revision = 1 AND r.attempt = 1 THEN
        PERFORM lock_pseudonym(r.person_id);
        -- Everybody's board first: one order of locks for all writers.
        PERFORM standing_add(everybody(), r.person_id, r.modality, r.submission_no, NEW.correct,
                             EXISTS (SELECT FROM pseudonyms p WHERE p.person_id = r.person_id));
        PERFORM standing_add(r.tenant_id, r.person_id, r.modality, r.submission_no, NEW.correct, true);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER standings_follow AFTER INSERT ON grades FOR EACH ROW EXECUTE FUNCTION standings_follow();

-- {"n", "correct", "percent", "wilson95"} of k correct in n; undefined is null.
CREATE FUNCTION share_json(k int, n int) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object('n', n, 'correct', k,
                             'percent', CASE WHEN n > 0 THEN round(100.0 * k / n, 1) END,
                             'wilson95', CASE WHEN n > 0 THEN
                                 json_build_array(round((100 * wilson_low(k, n))::numeric, 1),
                                                  round((100 * wilson_high(k, n))::numeric, 1)) END) $$;

-- The same over the newest `span` entries of a ring.
CREATE FUNCTION window_json(ring boolean[], span int) RETURNS json LANGUAGE plpgsql STABLE AS $$
DECLARE
    n int := least(cardinality(ring), span);
    k int := cardinality(array_positions(ring[cardinality(ring) - n + 1:], true));
BEGIN
    RETURN share_json(k, n);
END $$;

CREATE FUNCTION board_rank(board uuid, of_modality text, of_score int) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT 1 + coalesce(sum(people), 0) FROM board_counts
            WHERE tenant_id = board AND modality = of_modality AND score > of_score
              AND board IN (current_tenant(), everybody()));
END $$;

CREATE FUNCTION board_people(board uuid, of_modality text) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT coalesce(sum(people), 0) FROM board_counts
            WHERE tenant_id = board AND modality = of_modality AND board IN (current_tenant(), everybody()));
END $$;

-- The global board: pseudonyms only, of people who asked to be on it. No id leaves.
CREATE FUNCTION board_everybody(of_modality text, max_rows int)
RETURNS TABLE (name text, score int, reads int, last50 json, me boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN QUERY
        SELECT p.pseudonym, s.score, s.reads, window_json(s.ring_correct, 50), s.person_id = current_person()
        FROM (SELECT * FROM standings x WHERE x.tenant_id = everybody() AND x.modality = of_modality AND x.listed
                                          AND x.reads > 0
              ORDER BY x.tenant_id, x.modality, x.score DESC, x.person_id LIMIT least(max_rows, 100)) s
        JOIN pseudonyms p USING (person_id)
        ORDER BY s.score DESC, s.person_id;
END $$;

-- One's own place on it; NULL for who is not.
CREATE FUNCTION board_everybody_me(of_modality text) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT json_build_object('pseudonym', p.pseudonym, 'rank', board_rank(everybody(), of_modality, s.score),
                                     'score', s.score, 'reads', s.reads)
            FROM standings s JOIN pseudonyms p USING (person_id)
            WHERE s.tenant_id = everybody() AND s.person_id = current_person() AND s.modality = of_modality AND s.reads > 0);
END $$;

CREATE FUNCTION board_join(name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM lock_pseudonym(current_person());
    INSERT INTO pseudonyms (person_id, pseudonym) VALUES (current_person(), name)
        ON CONFLICT (person_id) DO UPDATE SET pseudonym = EXCLUDED.pseudonym;
    UPDATE standings SET listed = true WHERE tenant_id = everybody() AND person_id = current_person() AND NOT listed;
EXCEPTION
    WHEN unique_violation THEN
        PERFORM refuse(409, 'pseudonym_taken', 'Somebody else has this pseudonym.', '/pseudonym');
END $$;

CREATE FUNCTION board_leave() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM lock_pseudonym(current_person());
    UPDATE standings SET listed = false WHERE tenant_id = everybody() AND person_id = current_person() AND listed;
    DELETE FROM pseudonyms WHERE person_id = current_person();
END $$;

-- Who leaves a tenant leaves its board, and is back on it when back.
CREATE FUNCTION standings_follow_membership() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE standings SET listed = NEW.until IS NULL
        WHERE tenant_id = NEW.tenant_id AND person_id = NEW.person_id AND listed <> (NEW.until IS NULL);
    RETURN NULL;
END $$;
CREATE TRIGGER standings_follow_membership AFTER UPDATE OF until ON memberships
    FOR EACH ROW EXECUTE FUNCTION standings_follow_membership();

SELECT guard_table(t) FROM unnest(ARRAY['standings', 'board_counts', 'pseudonyms']::regclass[]) t;
-- One condition, so that a board is read along its index, from the top, however large the tenant.
CREATE POLICY tenant ON standings TO overread_app USING (tenant_id = current_tenant());
CREATE POLICY own ON pseudonyms TO overread_app USING (person_id = current_person());
GRANT SELECT ON standings, pseudonyms TO overread_app;
GRANT EXECUTE ON FUNCTION everybody, wilson_low, wilson_high, share_json, window_json, board_rank, board_people, board_everybody,
    board_everybody_me, board_join, board_leave TO overread_app;
