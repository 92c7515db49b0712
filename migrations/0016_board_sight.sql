-- A tenant's board shows names and results. Who only reads sees the colleagues they measure themselves against; who oversees
-- others (educators, managers, administrators, support) sees there whose results they may see anyway, and nobody else: a manager
-- would otherwise learn from the board what a member has not agreed to show.

CREATE FUNCTION oversees() RETURNS boolean LANGUAGE sql STABLE AS
$$ SELECT current_roles() && ARRAY['educator', 'manager', 'administrator', 'support'] $$;

-- Everybody here of whom may_see_record (0009) is true, found along the indexes of what makes it true.
CREATE FUNCTION seen_people() RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN QUERY
        SELECT current_person()
        UNION
        SELECT m.person_id FROM cohort_educators e
        JOIN memberships m ON m.tenant_id = e.tenant_id AND m.cohort_id = e.cohort_id
        WHERE e.tenant_id = current_tenant() AND e.person_id = current_person() AND 'educator' = ANY (current_roles())
        UNION
        SELECT c.person_id FROM consents c
        WHERE c.tenant_id = current_tenant() AND c.recipient = 'manager' AND c.withdrawn_at IS NULL AND 'manager' = ANY (current_roles());
END $$;

-- The board's rows for the asker, at most `most` from the top. Over the whole board its own order gives the ranks.
CREATE FUNCTION board_rows(of_modality text, most int) RETURNS TABLE (person uuid, rank bigint, score int, reads int, ring boolean[])
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    IF oversees() THEN
        RETURN QUERY
            SELECT s.person_id, board_rank(s.tenant_id, of_modality, s.score), s.score, s.reads, s.ring_correct
            FROM seen_people() p JOIN standings s ON s.tenant_id = current_tenant() AND s.person_id = p AND s.modality = of_modality
            WHERE s.listed AND s.reads > 0 ORDER BY s.score DESC, s.person_id LIMIT most;
        RETURN;
    END IF;
    RETURN QUERY
        SELECT t.person_id, rank() OVER (ORDER BY t.score DESC), t.score, t.reads, t.ring_correct
        FROM (SELECT * FROM standings s
              WHERE s.tenant_id = current_tenant() AND s.modality = of_modality AND s.listed AND s.reads > 0
              ORDER BY s.score DESC, s.person_id LIMIT most) t;
END $$;

GRANT EXECUTE ON FUNCTION oversees, seen_people, board_rows TO overread_app;
