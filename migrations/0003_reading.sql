-- Reading: open, draft, submit, grade. An answer is durable before it is graded, and never changes afterwards.

CREATE SEQUENCE submission_numbers;

CREATE TABLE reads (
    tenant_id     uuid NOT NULL,
    read_id       uuid NOT NULL,               -- UUIDv7: in the order of opening
    person_id     uuid NOT NULL,
    case_id       uuid NOT NULL,
    case_version  int NOT NULL,
    modality      text NOT NULL REFERENCES modalities,
    state         text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'awaiting_grade', 'graded')),
    -- This person's n-th submitted read of this case, whatever the tenant: whoever has been shown the truth once is no
    -- first reader any more. Settled at submission; what stands here before is a forecast.
    attempt       int NOT NULL CHECK (attempt > 0),
    opened_at     timestamptz NOT NULL DEFAULT now(),
    submitted_at  timestamptz,
    submission_no bigint UNIQUE,               -- orders submissions without ties
    answer        jsonb,
    answer_sha256 text,
    PRIMARY KEY (tenant_id, read_id),
    FOREIGN KEY (tenant_id, person_id) REFERENCES memberships,
    FOREIGN KEY (case_id, case_version) REFERENCES case_versions,
    CHECK ((state = 'open') = (submitted_at IS NULL)),
    CHECK ((submitted_at IS NULL) = (answer IS NULL) AND (answer IS NULL) = (answer_sha256 IS NULL)
           AND (answer IS NULL) = (submission_no IS NULL))
);
CREATE INDEX reads_person ON reads (tenant_id, person_id, read_id);
CREATE UNIQUE INDEX reads_one_open ON reads (tenant_id, person_id, case_id) WHERE state = 'open';
CREATE INDEX reads_attempts ON reads (person_id, case_id);

CREATE TABLE drafts (
    tenant_id uuid NOT NULL,
    read_id   uuid NOT NULL,
    draft     json NOT NULL,                   -- as it was sent: it comes back the same
    saved_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, read_id),
    FOREIGN KEY (tenant_id, read_id) REFERENCES reads
);

CREATE TABLE grades (
    tenant_id        uuid NOT NULL,
    read_id          uuid NOT NULL,
    revision         int NOT NULL CHECK (revision > 0), -- 1: the first; a regrade adds one
    points_milli     bigint NOT NULL,
    max_points_milli bigint NOT NULL,
    correct          boolean NOT NULL,
    grade            json NOT NULL,            -- as the grader wrote it, findings in its order
    plugin_id        text NOT NULL,
    plugin_version   text NOT NULL,
    rules_revision   int NOT NULL,
    plugin_sha256    text NOT NULL,
    case_version     int NOT NULL,
    input_sha256     text NOT NULL,
    graded_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, read_id, revision),
    FOREIGN KEY (tenant_id, read_id) REFERENCES reads,
    CHECK (points_milli BETWEEN 0 AND max_points_milli)
);
CREATE TRIGGER grades_append_only BEFORE UPDATE OR DELETE ON grades
    FOR EACH ROW EXECUTE FUNCTION stays_as_written();

-- Write-once: what was submitted never changes; only the state moves on.
CREATE FUNCTION reads_write_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.submitted_at IS NOT NULL AND (NEW.answer IS DISTINCT FROM OLD.answer
            OR NEW.submitted_at IS DISTINCT FROM OLD.submitted_at OR NEW.submission_no <> OLD.submission_no
            OR NEW.answer_sha256 <> OLD.answer_sha256 OR NEW.state = 'open' OR NEW.attempt <> OLD.attempt)
       OR (NEW.tenant_id, NEW.read_id, NEW.person_id, NEW.case_id, NEW.case_version, NEW.opened_at)
          IS DISTINCT FROM
          (OLD.tenant_id, OLD.read_id, OLD.person_id, OLD.case_id, OLD.case_version, OLD.opened_at) THEN
        RAISE EXCEPTION 'a read is written once: %', OLD.read_id;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER reads_write_once BEFORE UPDATE ON reads FOR EACH ROW EXECUTE FUNCTION reads_write_once();

SELECT guard_table(t) FROM unnest(ARRAY['reads', 'drafts', 'grades']::regclass[]) t;

CREATE POLICY own ON reads TO overread_app
    USING (tenant_id = current_tenant() AND person_id = current_person())
    WITH CHECK (tenant_id = current_tenant() AND person_id = current_person());
CREATE POLICY own ON drafts TO overread_app
    USING (tenant_id = current_tenant() AND EXISTS (SELECT FROM reads r WHERE r.tenant_id = drafts.tenant_id
                                                                          AND r.read_id = drafts.read_id))
    WITH CHECK (tenant_id = current_tenant() AND EXISTS (SELECT FROM reads r WHERE r.tenant_id = drafts.tenant_id
                                                                               AND r.read_id = drafts.read_id));
CREATE POLICY own ON grades TO overread_app
    USING (tenant_id = current_tenant() AND EXISTS (SELECT FROM reads r WHERE r.tenant_id = grades.tenant_id
                                                                          AND r.read_id = grades.read_id));
GRANT SELECT ON reads, grades TO overread_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON drafts TO overread_app;

CREATE POLICY library ON cases TO overread_app
    USING ((tenant_id IS NULL OR tenant_id = current_tenant()) AND current_tenant() IS NOT NULL
           AND (state = 'published'
                OR EXISTS (SELECT FROM reads r WHERE r.tenant_id = current_tenant() AND r.person_id = current_person()
                                                 AND r.case_id = cases.case_id)));
CREATE POLICY library ON case_versions TO overread_app
    USING (EXISTS (SELECT FROM cases c WHERE c.case_id = case_versions.case_id));
CREATE POLICY library ON case_files TO overread_app
    USING (EXISTS (SELECT FROM cases c WHERE c.case_id = case_files.case_id));

-- The one answer to "may this person open this case now".
CREATE FUNCTION may_open(which uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT t.access_until IS NULL OR t.access_until > now()
                     FROM tenants t WHERE t.tenant_id = current_tenant()), false)
           AND EXISTS (SELECT FROM cases c WHERE c.case_id = which AND c.state = 'published') $$;

-- One opening or submission of a case at a time for a person: attempts are counted without gaps or twins.
CREATE FUNCTION lock_attempts(person uuid, which uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('attempts' || person || which, 0));
END $$;

-- Opens a read, or gives back the one that is open. Returns its id.
CREATE FUNCTION read_open(new_read uuid, which uuid, key text, body_sha256 text) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    c cases;
    existing uuid;
BEGIN
    existing := idempotent(key, body_sha256, new_read);
    IF existing IS NOT NULL THEN
        RETURN existing;
    END IF;
    PERFORM lock_attempts(current_person(), which);
    SELECT * INTO c FROM cases WHERE case_id = which AND (tenant_id IS NULL OR tenant_id = current_tenant());
    IF NOT FOUND OR c.state = 'draft' THEN
        PERFORM refuse(404, 'case_not_found', 'There is no such case.', '/case');
    END IF;
    SELECT read_id INTO existing FROM reads
        WHERE tenant_id = current_tenant() AND person_id = current_person() AND case_id = which AND state = 'open';
    IF existing IS NOT NULL THEN
        UPDATE idempotency_keys k SET resource = existing
            WHERE k.tenant_id = current_tenant() AND k.person_id = current_person() AND k.key = read_open.key;
        RETURN existing;
    END IF;
    IF c.state = 'withdrawn' THEN
        PERFORM refuse(410, 'case_withdrawn', 'This case has been withdrawn from the library.', '/case');
    END IF;
    IF NOT may_open(which) THEN
        PERFORM refuse(402, 'subscription_expired', 'The subscription has ended; your own record stays readable.');
    END IF;
    INSERT INTO reads (tenant_id, read_id, person_id, case_id, case_version, modality, attempt)
        SELECT current_tenant(), new_read, current_person(), which, c.current_version, c.modality,
               1 + count(*) FROM reads r WHERE r.person_id = current_person() AND r.case_id = which
                                           AND r.submitted_at IS NOT NULL;
    RETURN new_read;
END $$;

-- Stores the answer, once. The job that grades it is written with it and waits a moment: normally the request that
-- submits also grades, and read_grade takes the job away again. Returns what grading needs.
CREATE FUNCTION read_submit(which uuid, new_answer jsonb, sha256 text, job uuid)
RETURNS TABLE (state text, plugin_id text, config text, truth text, answer text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    r reads;
BEGIN
    SELECT * INTO r FROM reads
        WHERE tenant_id = current_tenant() AND person_id = current_person() AND read_id = which FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM refuse(404, 'read_not_found', 'There is no such read.');
    END IF;
    IF r.state = 'open' THEN
        PERFORM lock_attempts(r.person_id, r.case_id);
        UPDATE reads x SET state = 'awaiting_grade',
                           attempt = 1 + (SELECT count(*) FROM reads o WHERE o.person_id = r.person_id
                                          AND o.case_id = r.case_id AND o.submitted_at IS NOT NULL), submitted_at = clock_timestamp(), answer = new_answer,
                           answer_sha256 = sha256, submission_no = nextval('submission_numbers')
            WHERE x.tenant_id = r.tenant_id AND x.read_id = r.read_id RETURNING * INTO r;
        DELETE FROM drafts d WHERE d.tenant_id = r.tenant_id AND d.read_id = r.read_id;
        INSERT INTO jobs (id, tenant_id, person_id, kind, key, payload, run_after)
            VALUES (job, r.tenant_id, r.person_id, 'grade', r.read_id::text,
                    jsonb_build_object('read', r.read_id), now() + interval '10 seconds');
        PERFORM audit(r.tenant_id, r.person_id, 'read.submitted', r.read_id::text);
    ELSIF r.answer_sha256 <> sha256 THEN
        PERFORM refuse(409, 'already_submitted', 'This read was submitted with another answer; a read is written once.',
                       '/answer');
    END IF;
    RETURN QUERY SELECT r.state, v.plugin_id, v.config::text, t.truth::text, r.answer::text
        FROM case_versions v JOIN case_truths t USING (case_id, version)
        WHERE v.case_id = r.case_id AND v.version = r.case_version;
END $$;

-- What the grading job needs; the same columns as read_submit.
CREATE FUNCTION read_to_grade(which uuid)
RETURNS TABLE (state text, plugin_id text, config text, truth text, answer text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT r.state, v.plugin_id, v.config::text, t.truth::text, r.answer::text
    FROM reads r JOIN case_versions v ON v.case_id = r.case_id AND v.version = r.case_version
    JOIN case_truths t ON t.case_id = r.case_id AND t.version = r.case_version
    WHERE r.tenant_id = current_tenant() AND r.person_id = current_person() AND r.read_id = which
      AND r.state <> 'open' $$;

-- Feedback: only of a graded read, only the reader's own. Truth leaves the server here and nowhere else.
CREATE FUNCTION read_feedback(which uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT json_build_object(
        'read', r.read_id, 'case', r.case_id, 'case_version', r.case_version, 'modality', r.modality,
        'state', r.state, 'attempt', r.attempt,
        'opened_at', r.opened_at, 'submitted_at', r.submitted_at,
        'duration_ms', round(extract(epoch FROM r.submitted_at - r.opened_at) * 1000)::bigint,
        'correct', g.correct, 'counts', r.attempt = 1,
        'grade', g.grade, 'answer', r.answer,
        'provenance', json_build_object('revision', g.revision, 'plugin', g.plugin_id, 'plugin_version', g.plugin_version,
            'rules_revision', g.rules_revision, 'plugin_sha256', g.plugin_sha256, 'case_version', g.case_version,
            'input_sha256', g.input_sha256, 'graded_at', g.graded_at),
        'truth', t.truth, 'truth_kind', v.truth_kind, 'expert_report', t.expert_report, 'histology', t.histology,
        'case_provenance', v.provenance)::text
    FROM reads r
    JOIN LATERAL (SELECT * FROM grades x WHERE x.tenant_id = r.tenant_id AND x.read_id = r.read_id
                  ORDER BY x.revision DESC LIMIT 1) g ON true
    JOIN case_versions v ON v.case_id = r.case_id AND v.version = r.case_version
    JOIN case_truths t ON t.case_id = r.case_id AND t.version = r.case_version
    WHERE r.tenant_id = current_tenant() AND r.person_id = current_person() AND r.read_id = which);
END $$;

-- Writes the first grade of a submitted read, once; repeating it changes nothing. Returns the feedback.
CREATE FUNCTION read_grade(which uuid, points bigint, max_points bigint, is_correct boolean, document text,
                           plugin text, version text, rules int, library_sha256 text, inputs_sha256 text)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    r reads;
BEGIN
    SELECT * INTO r FROM reads
        WHERE tenant_id = current_tenant() AND person_id = current_person() AND read_id = which FOR UPDATE;
    IF NOT FOUND OR r.state = 'open' THEN
        PERFORM refuse(404, 'read_not_found', 'There is no such submitted read.');
    END IF;
    IF r.state = 'awaiting_grade' THEN
        UPDATE reads x SET state = 'graded' WHERE x.tenant_id = r.tenant_id AND x.read_id = r.read_id;
        INSERT INTO grades (tenant_id, read_id, revision, points_milli, max_points_milli, correct, grade, plugin_id,
                            plugin_version, rules_revision, plugin_sha256, case_version, input_sha256)
            VALUES (r.tenant_id, r.read_id, 1, points, max_points, is_correct, document::json, plugin, version, rules,
                    library_sha256, r.case_version, inputs_sha256);
        DELETE FROM jobs j WHERE j.kind = 'grade' AND j.key = which::text;
    END IF;
    RETURN read_feedback(which);
END $$;

GRANT EXECUTE ON FUNCTION may_open, read_open, read_submit, read_to_grade, read_feedback, read_grade TO overread_app;
