-- Case library: modalities, cases and their immutable versions, truth, images.
-- Truth stands in a table that the application cannot read: it leaves the server only through functions that look
-- whether the reader has submitted (0003).

CREATE TABLE modalities (
    modality  text PRIMARY KEY CHECK (modality ~ '^[a-z0-9_]{1,60}$'),
    title     text NOT NULL,
    plugin_id text NOT NULL
);

CREATE TABLE cases (
    case_id         uuid PRIMARY KEY,
    slug            text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9-]{1,80}$'),
    modality        text NOT NULL REFERENCES modalities,
    tenant_id       uuid REFERENCES tenants,   -- whose own case it is; NULL: shared library
    state           text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'published', 'withdrawn')),
    state_reason    text NOT NULL DEFAULT '',
    current_version int NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    state_at        timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX cases_published ON cases (modality, case_id) WHERE state = 'published';

CREATE TABLE case_versions (
    case_id        uuid NOT NULL REFERENCES cases DEFERRABLE INITIALLY DEFERRED,
    version        int NOT NULL CHECK (version > 0),
    plugin_id      text NOT NULL,
    title          text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    clinical       jsonb NOT NULL,             -- age_years, psa_ng_ml, prostate_volume_ml, ... as the modality has them
    difficulty     int NOT NULL CHECK (difficulty BETWEEN 1 AND 5),
    synthetic      boolean NOT NULL,
    truth_kind     text NOT NULL CHECK (truth_kind IN ('histology', 'follow_up', 'consensus', 'synthetic')),
    provenance     jsonb NOT NULL,             -- source, citation, licence, attribution
    config         jsonb NOT NULL,             -- the plugin's; never shown
    images         jsonb NOT NULL,             -- what a client needs to show them: series, instances, frames
    content_sha256 text NOT NULL,              -- of everything above and the truth: importing the same again is no-op
    imported_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (case_id, version),
    CHECK (synthetic = (truth_kind = 'synthetic'))
);
ALTER TABLE cases ADD FOREIGN KEY (case_id, current_version) REFERENCES case_versions DEFERRABLE INITIALLY DEFERRED;

CREATE TABLE case_truths (
    case_id       uuid NOT NULL,
    version       int NOT NULL,
    truth         jsonb NOT NULL,
    expert_report text NOT NULL DEFAULT '',
    histology     jsonb,
    PRIMARY KEY (case_id, version),
    FOREIGN KEY (case_id, version) REFERENCES case_versions,
    CHECK (expert_report <> '' OR histology IS NOT NULL)
);

-- Which files belong to a case: the entitlement check of one image is one look-up here.
CREATE TABLE case_files (
    case_id uuid NOT NULL,
    sha256  text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    kind    text NOT NULL CHECK (kind IN ('dcm', 'png')),
    version int NOT NULL,                      -- the first that has it
    bytes   bigint NOT NULL,
    PRIMARY KEY (case_id, sha256, kind),
    FOREIGN KEY (case_id, version) REFERENCES case_versions
);

CREATE TRIGGER case_versions_immutable BEFORE UPDATE OR DELETE ON case_versions
    FOR EACH ROW EXECUTE FUNCTION stays_as_written();
CREATE TRIGGER case_truths_immutable BEFORE UPDATE OR DELETE ON case_truths
    FOR EACH ROW EXECUTE FUNCTION stays_as_written();
CREATE TRIGGER cases_notify AFTER UPDATE ON cases FOR EACH STATEMENT EXECUTE FUNCTION revoked_notify();

-- Takes one prepared case in: a new case, a new version of one, or nothing when the content is the same.
CREATE FUNCTION case_import(new_case uuid, doc jsonb, publish boolean) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    c cases;
    v int := 1;
    same boolean := false;
BEGIN
    INSERT INTO modalities (modality, title, plugin_id)
        VALUES (doc->>'modality', doc->>'modality_title', doc->>'plugin') ON CONFLICT (modality) DO NOTHING;
    SELECT * INTO c FROM cases WHERE slug = doc->>'slug' FOR UPDATE;
    IF FOUND THEN
        IF c.modality <> doc->>'modality' THEN
            PERFORM refuse(409, 'modality_changed', 'This case exists with modality ' || c.modality || '.', '/modality');
        END IF;
        SELECT content_sha256 = doc->>'content_sha256' INTO same
            FROM case_versions WHERE case_id = c.case_id AND version = c.current_version;
        v := c.current_version + CASE WHEN same THEN 0 ELSE 1 END;
    ELSE
        INSERT INTO cases (case_id, slug, modality, current_version)
            VALUES (new_case, doc->>'slug', doc->>'modality', 1) RETURNING * INTO c;
    END IF;
    IF NOT same THEN
        INSERT INTO case_versions (case_id, version, plugin_id, title, clinical, difficulty, synthetic, truth_kind,
                                   provenance, config, images, content_sha256)
            VALUES (c.case_id, v, doc->>'plugin', doc->>'title', doc->'clinical', (doc->>'difficulty')::int,
                    (doc->>'synthetic')::boolean, doc->>'truth_kind', doc->'provenance', doc->'config', doc->'images',
                    doc->>'content_sha256');
        INSERT INTO case_truths (case_id, version, truth, expert_report, histology)
            VALUES (c.case_id, v, doc->'truth', doc->>'expert_report',
                    CASE WHEN jsonb_typeof(doc->'histology') = 'object' THEN doc->'histology' END);
        INSERT INTO case_files (case_id, sha256, kind, version, bytes)
            SELECT DISTINCT ON (f->>'sha256', f->>'kind')
                   c.case_id, f->>'sha256', f->>'kind', v, (f->>'bytes')::bigint
            FROM jsonb_array_elements(doc->'files') f
            ON CONFLICT DO NOTHING;
        UPDATE cases SET current_version = v WHERE case_id = c.case_id;
    END IF;
    IF publish AND c.state = 'draft' THEN
        UPDATE cases SET state = 'published', state_at = now() WHERE case_id = c.case_id;
    END IF;
    RETURN json_build_object('case', c.case_id, 'slug', c.slug, 'version', v, 'changed', NOT same,
                             'state', (SELECT state FROM cases WHERE case_id = c.case_id));
END $$;

SELECT guard_table(t) FROM unnest(ARRAY['modalities', 'cases', 'case_versions', 'case_truths',
                                        'case_files']::regclass[]) t;

-- Shared content: what is published, in the shared library or the asker's own. Cases that were withdrawn stay
-- visible to who has read them (0003 widens the policy).
CREATE POLICY library ON modalities TO overread_app USING (true);
GRANT SELECT ON modalities, cases, case_versions, case_files TO overread_app;
