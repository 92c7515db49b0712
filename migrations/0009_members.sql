-- Members: seats, the one way in and the one way out, cohorts, invitations, join links, what others may see of a member.
--
-- Whoever changes who belongs to a tenant locks the tenant's row first (lock_tenant): seats are counted one after another,
-- and no two such changes wait for each other in opposite orders.

ALTER TABLE tenants
    ADD COLUMN seats_bought           int CHECK (seats_bought >= 0),       -- NULL: without limit
    ADD COLUMN invitations_hold_seats boolean NOT NULL DEFAULT true,
    ADD COLUMN domains                text[] NOT NULL DEFAULT '{}';        -- of addresses that may be invited; none: any

-- Cohorts ----------------------------------------------------------------------------------------------------------

CREATE TABLE cohorts (
    tenant_id  uuid NOT NULL REFERENCES tenants,
    cohort_id  uuid NOT NULL,
    name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, cohort_id)
);
CREATE UNIQUE INDEX cohorts_name ON cohorts (tenant_id, lower(name));

-- A member learns in one cohort at most; who teaches, may teach several.
ALTER TABLE memberships
    ADD COLUMN cohort_id uuid,
    ADD FOREIGN KEY (tenant_id, cohort_id) REFERENCES cohorts ON DELETE SET NULL (cohort_id);
CREATE INDEX memberships_cohort ON memberships (tenant_id, cohort_id) WHERE cohort_id IS NOT NULL;

CREATE TABLE cohort_educators (
    tenant_id uuid NOT NULL,
    cohort_id uuid NOT NULL,
    person_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, cohort_id, person_id),
    FOREIGN KEY (tenant_id, cohort_id) REFERENCES cohorts ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, person_id) REFERENCES memberships
);
CREATE INDEX cohort_educators_person ON cohort_educators (tenant_id, person_id);

-- From when to when a person was a member: what others in the tenant see of the person's record is within.
CREATE TABLE membership_periods (
    tenant_id uuid NOT NULL,
    person_id uuid NOT NULL,
    since     timestamptz NOT NULL,
    until     timestamptz,
    PRIMARY KEY (tenant_id, person_id, since),
    FOREIGN KEY (tenant_id, person_id) REFERENCES memberships
);
INSERT INTO membership_periods SELECT tenant_id, person_id, since, until FROM memberships;

-- By triggers, so that nothing that ends or revives a membership can forget it. `since` of a membership is that of its
-- newest period.
CREATE FUNCTION membership_revive() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.until <= now() AND (NEW.until IS NULL OR NEW.until > now()) AND NEW.since = OLD.since THEN
        NEW.since := now();
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER membership_revive BEFORE UPDATE OF until ON memberships FOR EACH ROW EXECUTE FUNCTION membership_revive();

CREATE FUNCTION membership_period_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO membership_periods (tenant_id, person_id, since, until) VALUES (NEW.tenant_id, NEW.person_id, NEW.since, NEW.until)
        ON CONFLICT (tenant_id, person_id, since) DO UPDATE SET until = EXCLUDED.until;
    RETURN NULL;
END $$;
CREATE TRIGGER membership_period_follow AFTER INSERT OR UPDATE OF until ON memberships
    FOR EACH ROW EXECUTE FUNCTION membership_period_follow();

-- A line manager sees results of who said so. A row for each time it was said; it ends when withdrawn or on leaving.
CREATE TABLE consents (
    tenant_id    uuid NOT NULL,
    person_id    uuid NOT NULL,
    recipient    text NOT NULL CHECK (recipient IN ('manager')),
    given_at     timestamptz NOT NULL DEFAULT now(),
    withdrawn_at timestamptz,
    PRIMARY KEY (tenant_id, person_id, recipient, given_at),
    FOREIGN KEY (tenant_id, person_id) REFERENCES memberships
);
CREATE UNIQUE INDEX consents_given ON consents (tenant_id, person_id, recipient) WHERE withdrawn_at IS NULL;

-- Whoever has the link and a mailbox of an allowed domain may ask for an invitation.
CREATE TABLE join_links (
    tenant_id    uuid NOT NULL REFERENCES tenants,
    link_id      uuid NOT NULL,
    name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    token_hash   bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    roles        text[] NOT NULL,
    cohort_id    uuid,
    max_uses     int CHECK (max_uses > 0),
    uses         int NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    withdrawn_at timestamptz,
    PRIMARY KEY (tenant_id, link_id),
    FOREIGN KEY (tenant_id, cohort_id) REFERENCES cohorts ON DELETE SET NULL (cohort_id),
    CHECK (uses <= max_uses)
);

CREATE INDEX tickets_tenant ON tickets (tenant_id, ticket_id) WHERE used_at IS NULL;
-- One invitation of an address; a list of 2,000 is looked up along it.
CREATE UNIQUE INDEX tickets_invitation ON tickets (tenant_id, lower(email)) WHERE kind = 'invitation' AND used_at IS NULL;

SELECT guard_table(t) FROM unnest(ARRAY['cohorts', 'cohort_educators', 'membership_periods', 'consents',
                                        'join_links']::regclass[]) t;
CREATE POLICY tenant ON cohorts TO overread_app USING (tenant_id = current_tenant());
CREATE POLICY tenant ON cohort_educators TO overread_app USING (tenant_id = current_tenant());
CREATE POLICY tenant ON membership_periods TO overread_app USING (tenant_id = current_tenant());
CREATE POLICY own ON consents TO overread_app USING (tenant_id = current_tenant() AND person_id = current_person());
CREATE POLICY tenant ON join_links TO overread_app USING (tenant_id = current_tenant());
GRANT SELECT ON cohorts, cohort_educators, membership_periods, consents, join_links TO overread_app;

-- Seats ------------------------------------------------------------------------------------------------------------

CREATE FUNCTION is_active(m memberships) RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT m.until IS NULL OR m.until > now() $$;

-- Who only administers, and support, take no seat.
CREATE FUNCTION needs_seat(roles text[]) RETURNS boolean LANGUAGE sql IMMUTABLE AS
$$ SELECT roles && ARRAY['trainee', 'educator', 'expert', 'manager'] $$;

CREATE FUNCTION ticket_roles(k tickets) RETURNS text[] LANGUAGE sql IMMUTABLE AS
$$ SELECT ARRAY(SELECT jsonb_array_elements_text(k.detail->'roles')) $$;

-- Until its mail has gone out an invitation lives as if it had.
CREATE FUNCTION ticket_is_open(k tickets) RETURNS boolean LANGUAGE sql STABLE AS
$$ SELECT k.used_at IS NULL AND coalesce(k.expires_at, k.created_at + k.life) > now() $$;

CREATE FUNCTION lock_tenant(tenant uuid) RETURNS tenants LANGUAGE plpgsql AS $$
DECLARE
    t tenants;
BEGIN
    SELECT * INTO t FROM tenants WHERE tenant_id = tenant FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM refuse(404, 'tenant_not_found', 'There is no such tenant.');
    END IF;
    RETURN t;
END $$;

CREATE FUNCTION seats_used(tenant uuid) RETURNS int LANGUAGE sql STABLE AS $$
    SELECT count(*)::int FROM memberships m WHERE m.tenant_id = tenant AND is_active(m) AND needs_seat(m.roles) $$;

-- Of open invitations, but the one to this address.
CREATE FUNCTION seats_invited(tenant uuid, but_address text DEFAULT NULL) RETURNS int LANGUAGE sql STABLE AS $$
    SELECT count(*)::int FROM tickets k
    WHERE k.tenant_id = tenant AND k.kind = 'invitation' AND ticket_is_open(k) AND needs_seat(ticket_roles(k))
      AND lower(k.email) IS DISTINCT FROM lower(but_address) $$;

CREATE FUNCTION seats_taken(t tenants, but_address text DEFAULT NULL) RETURNS int LANGUAGE sql STABLE AS $$
    SELECT seats_used(t.tenant_id) + CASE WHEN t.invitations_hold_seats THEN seats_invited(t.tenant_id, but_address) ELSE 0 END $$;

-- How many were bought, NULL for no limit; `why` goes to the record: 'operator', an order's number.
CREATE FUNCTION tenant_seats_set(tenant uuid, n int, why text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants := lock_tenant(tenant);
    taken int := seats_taken(t);
BEGIN
    IF n < taken THEN
        PERFORM refuse(409, 'seats_in_use', format('%s seats are in use or held by invitations: take people out first.', taken),
                       '/seats');
    END IF;
    IF t.seats_bought IS DISTINCT FROM n THEN
        UPDATE tenants SET seats_bought = n WHERE tenant_id = tenant;
        PERFORM audit(tenant, current_person(), 'tenant.seats_set', tenant::text,
                      jsonb_build_object('from', t.seats_bought, 'to', n, 'why', why));
    END IF;
END $$;

-- In and out -------------------------------------------------------------------------------------------------------

-- Roles that may be given, each once and in one order. Support is given by support_open alone.
CREATE FUNCTION roles_normal(roles text[]) RETURNS text[] LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    known constant text[] := ARRAY['trainee', 'educator', 'expert', 'administrator', 'manager'];
BEGIN
    IF roles IS NULL OR cardinality(roles) = 0 OR NOT roles <@ known THEN
        PERFORM refuse(422, 'unknown_role', 'Roles are at least one of ' || array_to_string(known, ', ') || '.', '/roles');
    END IF;
    RETURN ARRAY(SELECT r FROM unnest(known) r WHERE r = ANY (roles));
END $$;

CREATE FUNCTION need_cohort(tenant uuid, cohort uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF cohort IS NOT NULL AND NOT EXISTS (SELECT FROM cohorts c WHERE c.tenant_id = tenant AND c.cohort_id = cohort) THEN
        PERFORM refuse(422, 'cohort_not_found', 'There is no such cohort.', '/cohort');
    END IF;
END $$;

CREATE FUNCTION need_seat(t tenants, address text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF t.seats_bought <= seats_taken(t, address) THEN
        PERFORM refuse(409, 'seats_exhausted', 'All seats of this tenant are taken; its administrator can free or buy some.');
    END IF;
END $$;

-- A tenant keeps an administrator, and while passwords are off one who may use one still.
CREATE FUNCTION need_administrator(t tenants, was memberships) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT 'administrator' = ANY (was.roles) THEN
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM memberships m WHERE m.tenant_id = t.tenant_id AND is_active(m) AND 'administrator' = ANY (m.roles)) THEN
        PERFORM refuse(409, 'last_administrator', 'This is the last administrator: make somebody else one first.');
    END IF;
    IF was.break_glass AND NOT t.password_sign_in
       AND NOT EXISTS (SELECT FROM memberships m WHERE m.tenant_id = t.tenant_id AND is_active(m)
                                                   AND 'administrator' = ANY (m.roles) AND m.break_glass) THEN
        PERFORM refuse(409, 'last_break_glass', 'This is the last administrator who may sign in with a password.');
    END IF;
END $$;

-- The way in. 'added', 'revived' (was a member before), or 'already_member', who is left as is. via: 'invitation', 'join',
-- 'single_sign_on', 'scim', 'operator': for the record.
CREATE FUNCTION member_add(tenant uuid, person uuid, new_roles text[], cohort uuid, via text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants := lock_tenant(tenant);
    m memberships;
    known boolean;
    address text;
BEGIN
    new_roles := roles_normal(new_roles);
    PERFORM need_cohort(tenant, cohort);
    SELECT * INTO m FROM memberships x WHERE x.tenant_id = tenant AND x.person_id = person FOR UPDATE;
    known := FOUND;
    IF known AND is_active(m) THEN
        RETURN 'already_member';
    END IF;
    SELECT p.email INTO address FROM people p WHERE p.person_id = person;
    IF needs_seat(new_roles) THEN
        PERFORM need_seat(t, address);
    END IF;
    INSERT INTO memberships AS x (tenant_id, person_id, roles, cohort_id) VALUES (tenant, person, new_roles, cohort)
        ON CONFLICT (tenant_id, person_id) DO UPDATE SET roles = EXCLUDED.roles, cohort_id = EXCLUDED.cohort_id, until = NULL,
                                                         break_glass = false;
    IF cohort IS NOT NULL AND 'educator' = ANY (new_roles) THEN
        INSERT INTO cohort_educators (tenant_id, cohort_id, person_id) VALUES (tenant, cohort, person) ON CONFLICT DO NOTHING;
    END IF;
    UPDATE tickets k SET used_at = now()
        WHERE k.tenant_id = tenant AND k.kind IN ('invitation', 'join') AND k.used_at IS NULL AND lower(k.email) = lower(address);
    PERFORM audit(tenant, coalesce(current_person(), person), 'member.added', person::text,
                  jsonb_build_object('roles', new_roles, 'cohort', cohort, 'via', via));
    RETURN CASE WHEN known THEN 'revived' ELSE 'added' END;
END $$;

-- Ends a person's sessions in one tenant.
CREATE FUNCTION sessions_end_in(tenant uuid, person uuid, reason text) RETURNS void LANGUAGE sql AS $$
    WITH gone AS (UPDATE sessions s SET ended_at = now()
                  WHERE s.tenant_id = tenant AND s.person_id = person AND s.ended_at IS NULL RETURNING s.session_id)
    SELECT count(audit(tenant, person, 'session.ended', g.session_id::text, jsonb_build_object('reason', reason))) FROM gone g $$;

-- What does not change is NULL; cohort is set when set_cohort. Other roles than before end the person's sessions here.
CREATE FUNCTION member_change(tenant uuid, person uuid, new_roles text[], cohort uuid, set_cohort boolean, glass boolean)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants := lock_tenant(tenant);
    was memberships;
    m memberships;
BEGIN
    SELECT * INTO was FROM memberships x WHERE x.tenant_id = tenant AND x.person_id = person FOR UPDATE;
    IF NOT FOUND OR NOT is_active(was) THEN
        PERFORM refuse(404, 'member_not_found', 'There is no such member.');
    ELSIF 'support' = ANY (was.roles) THEN
        PERFORM refuse(409, 'is_support', 'Support access is opened and ended at /v1/tenant/support.');
    END IF;
    m := was;
    m.roles := CASE WHEN new_roles IS NULL THEN was.roles ELSE roles_normal(new_roles) END;
    m.break_glass := coalesce(glass, was.break_glass);
    IF set_cohort THEN
        PERFORM need_cohort(tenant, cohort);
        m.cohort_id := cohort;
    END IF;
    IF m IS NOT DISTINCT FROM was THEN
        RETURN;
    END IF;
    IF needs_seat(m.roles) AND NOT needs_seat(was.roles) THEN
        PERFORM need_seat(t, NULL);
    END IF;
    UPDATE memberships x SET roles = m.roles, break_glass = m.break_glass, cohort_id = m.cohort_id
        WHERE x.tenant_id = tenant AND x.person_id = person;
    PERFORM need_administrator(t, was);
    IF NOT 'educator' = ANY (m.roles) THEN
        DELETE FROM cohort_educators e WHERE e.tenant_id = tenant AND e.person_id = person;
    END IF;
    PERFORM audit(tenant, current_person(), 'member.changed', person::text,
                  jsonb_build_object('roles', m.roles, 'cohort', m.cohort_id, 'break_glass', m.break_glass));
    IF m.roles <> was.roles OR m.break_glass <> was.break_glass THEN
        PERFORM sessions_end_in(tenant, person, 'roles_changed');
    END IF;
END $$;

-- A name in a mail stays in its line.
CREATE FUNCTION mail_words(name text) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT regexp_replace(name, '[[:cntrl:]]+', ' ', 'g') $$;

-- The way out. The seat is free and sessions end at once; the record stays, and so does the person. False: is no member.
-- reason: 'left' (one's own wish), 'removed', 'scim', 'operator', 'erased' (the one that may take the last administrator).
CREATE FUNCTION member_leave(tenant uuid, person uuid, reason text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants := lock_tenant(tenant);
    was memberships;
BEGIN
    SELECT * INTO was FROM memberships x WHERE x.tenant_id = tenant AND x.person_id = person FOR UPDATE;
    IF NOT FOUND OR NOT is_active(was) THEN
        RETURN false;
    ELSIF 'support' = ANY (was.roles) AND reason <> 'erased' THEN
        PERFORM refuse(409, 'is_support', 'Support access is opened and ended at /v1/tenant/support.');
    END IF;
    UPDATE memberships x SET until = now(), break_glass = false WHERE x.tenant_id = tenant AND x.person_id = person;
    IF reason <> 'erased' THEN
        PERFORM need_administrator(t, was);
    END IF;
    DELETE FROM cohort_educators e WHERE e.tenant_id = tenant AND e.person_id = person;
    UPDATE consents c SET withdrawn_at = now() WHERE c.tenant_id = tenant AND c.person_id = person AND c.withdrawn_at IS NULL;
    PERFORM sessions_end_in(tenant, person, 'membership_ended');
    PERFORM audit(tenant, current_person(), 'member.left', person::text, jsonb_build_object('reason', reason));
    IF reason NOT IN ('left', 'erased') THEN
        PERFORM mail_queue('member_removed', p.email, tenant, person,
                           jsonb_build_object('name', mail_words(p.name), 'tenant', mail_words(t.name)))
            FROM people p WHERE p.person_id = person;
    END IF;
    RETURN true;
END $$;

-- As an operator does it: adds, or gives who is a member these roles.
CREATE FUNCTION member_put(slug text, person uuid, new_roles text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    tenant uuid;
BEGIN
    SELECT t.tenant_id INTO tenant FROM tenants t WHERE t.slug = member_put.slug;
    IF NOT FOUND THEN
        PERFORM refuse(404, 'tenant_not_found', 'There is no tenant with the slug ' || slug || '.', 'tenant');
    END IF;
    IF member_add(tenant, person, new_roles, NULL, 'operator') = 'already_member' THEN
        PERFORM member_change(tenant, person, new_roles, NULL, false, NULL);
    END IF;
END $$;

-- What is shown, and If-Match ----------------------------------------------------------------------------------------

-- If-Match has the ETag that http gives to this JSON.
CREATE FUNCTION need_match(if_match text, shown json) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF if_match IS NOT NULL AND if_match <> '*'
       AND position('"' || left(encode(sha256(convert_to(shown::text, 'UTF8')), 'hex'), 32) || '"' IN if_match) = 0 THEN
        PERFORM refuse(412, 'changed_meanwhile', 'Somebody has changed it since you read it: read it again.', 'If-Match');
    END IF;
END $$;

CREATE FUNCTION member_json(m memberships, p people) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object('person', p.person_id, 'name', p.name, 'email', p.email, 'roles', to_json(m.roles),
                             'cohort', m.cohort_id, 'break_glass', m.break_glass, 'since', m.since, 'until', m.until) $$;

CREATE FUNCTION member_show(tenant uuid, person uuid) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT member_json(m, p) FROM memberships m JOIN people p USING (person_id)
            WHERE m.tenant_id = tenant AND m.tenant_id = current_tenant() AND m.person_id = person);
END $$;

CREATE FUNCTION member_patch(person uuid, if_match text, new_roles text[], cohort uuid, set_cohort boolean, glass boolean)
RETURNS json LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM lock_tenant(current_tenant());
    IF if_match IS NOT NULL AND member_show(current_tenant(), person) IS NOT NULL THEN
        PERFORM need_match(if_match, member_show(current_tenant(), person));
    END IF;
    PERFORM member_change(current_tenant(), person, new_roles, cohort, set_cohort, glass);
    RETURN member_show(current_tenant(), person);
END $$;

CREATE FUNCTION member_remove(person uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT member_leave(current_tenant(), person, 'removed') THEN
        PERFORM refuse(404, 'member_not_found', 'There is no such member.');
    END IF;
END $$;

-- The tenant's settings. Whether single sign-on works there: 0011 knows.
CREATE FUNCTION single_sign_on_works(tenant uuid) RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT false $$;

CREATE FUNCTION tenant_json() RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT json_build_object('id', tenant_id, 'kind', kind, 'slug', slug, 'name', name, 'access_until', access_until,
                'session_idle_seconds', extract(epoch FROM session_idle)::int,
                'session_absolute_seconds', extract(epoch FROM session_absolute)::int,
                'second_factor', second_factor, 'password_sign_in', password_sign_in, 'domains', to_json(domains),
                'invitations_hold_seats', invitations_hold_seats,
                'members', (SELECT count(*) FROM memberships m WHERE m.tenant_id = t.tenant_id AND is_active(m)),
                'seats', json_build_object('bought', seats_bought, 'used', seats_used(tenant_id), 'invited', seats_invited(tenant_id)))
            FROM tenants t WHERE tenant_id = current_tenant());
END $$;

-- `patch`: members of tenant_json to change, checked by the caller for their types and bounds.
CREATE FUNCTION tenant_patch(if_match text, patch jsonb) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants := lock_tenant(current_tenant());
    was tenants := t;
BEGIN
    PERFORM need_match(if_match, tenant_json());
    t.name := coalesce(patch->>'name', t.name);
    t.second_factor := coalesce(patch->>'second_factor', t.second_factor);
    t.password_sign_in := coalesce((patch->>'password_sign_in')::boolean, t.password_sign_in);
    t.invitations_hold_seats := coalesce((patch->>'invitations_hold_seats')::boolean, t.invitations_hold_seats);
    t.session_idle := coalesce((patch->>'session_idle_seconds')::int * interval '1 second', t.session_idle);
    t.session_absolute := coalesce((patch->>'session_absolute_seconds')::int * interval '1 second', t.session_absolute);
    IF patch ? 'domains' THEN
        t.domains := ARRAY(SELECT DISTINCT lower(d) FROM jsonb_array_elements_text(patch->'domains') d ORDER BY 1);
    END IF;
    IF EXISTS (SELECT FROM unnest(t.domains) d WHERE length(d) > 253 OR d !~ '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$') THEN
        PERFORM refuse(422, 'bad_domain', 'A domain is what stands behind the @: example.org. Other letters as xn--.', '/domains');
    END IF;
    IF t.session_idle > t.session_absolute THEN
        PERFORM refuse(422, 'out_of_range', 'A session cannot be idle for longer than it lives.', '/session_idle_seconds');
    END IF;
    IF was.password_sign_in AND NOT t.password_sign_in THEN
        IF NOT single_sign_on_works(t.tenant_id) THEN
            PERFORM refuse(409, 'single_sign_on_untried', 'Nobody has signed in through single sign-on yet: passwords stay on.',
                           '/password_sign_in');
        ELSIF NOT EXISTS (SELECT FROM memberships m WHERE m.tenant_id = t.tenant_id AND is_active(m)
                                                      AND 'administrator' = ANY (m.roles) AND m.break_glass) THEN
            PERFORM refuse(409, 'break_glass_required', 'First let an administrator keep a password (break_glass).',
                           '/password_sign_in');
        END IF;
    END IF;
    IF t.invitations_hold_seats AND NOT was.invitations_hold_seats AND t.seats_bought < seats_taken(t) THEN
        PERFORM refuse(409, 'seats_exhausted', 'More people are invited than there are seats.', '/invitations_hold_seats');
    END IF;
    IF t IS DISTINCT FROM was THEN
        UPDATE tenants x SET name = t.name, second_factor = t.second_factor, password_sign_in = t.password_sign_in,
                             invitations_hold_seats = t.invitations_hold_seats, session_idle = t.session_idle,
                             session_absolute = t.session_absolute, domains = t.domains
            WHERE x.tenant_id = t.tenant_id;
        -- Tighter limits hold for open sessions too.
        UPDATE sessions s SET idle = least(s.idle, t.session_idle), expires_at = least(s.expires_at, s.created_at + t.session_absolute)
            WHERE s.tenant_id = t.tenant_id AND s.ended_at IS NULL
              AND (s.idle > t.session_idle OR s.expires_at > s.created_at + t.session_absolute);
        IF t.second_factor = 'required' AND was.second_factor <> 'required' THEN
            UPDATE sessions s SET stage = CASE WHEN cardinality(second_factors(s.person_id)) > 0 THEN 'second_factor' ELSE 'enrolment' END
                WHERE s.tenant_id = t.tenant_id AND s.ended_at IS NULL AND s.stage = 'full'
                  AND NOT s.methods && ARRAY['single_sign_on', 'passkey', 'totp', 'security_key', 'recovery_code'];
            PERFORM pg_notify('overread_revoked', '');
        END IF;
        IF was.password_sign_in AND NOT t.password_sign_in THEN
            PERFORM sessions_end_in(t.tenant_id, m.person_id, 'password_sign_in_off') FROM memberships m
                WHERE m.tenant_id = t.tenant_id AND NOT m.break_glass AND NOT 'support' = ANY (m.roles)
                  AND EXISTS (SELECT FROM sessions s WHERE s.tenant_id = m.tenant_id AND s.person_id = m.person_id
                                                       AND s.ended_at IS NULL AND NOT 'single_sign_on' = ANY (s.methods));
        END IF;
        PERFORM audit(t.tenant_id, current_person(), 'tenant.changed', t.tenant_id::text, patch);
    END IF;
    RETURN tenant_json();
END $$;

-- Cohorts as they are kept -------------------------------------------------------------------------------------------

CREATE FUNCTION cohort_json(c cohorts) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object('id', c.cohort_id, 'name', c.name, 'created_at', c.created_at,
        'members', (SELECT count(*) FROM memberships m WHERE m.tenant_id = c.tenant_id AND m.cohort_id = c.cohort_id AND is_active(m)),
        'educators', coalesce((SELECT json_agg(e.person_id ORDER BY e.person_id) FROM cohort_educators e
                               WHERE e.tenant_id = c.tenant_id AND e.cohort_id = c.cohort_id), '[]'::json)) $$;

-- An administrator keeps every cohort; an educator those that she teaches.
CREATE FUNCTION cohort_of(which uuid) RETURNS cohorts LANGUAGE plpgsql AS $$
DECLARE
    c cohorts;
BEGIN
    SELECT * INTO c FROM cohorts x WHERE x.tenant_id = current_tenant() AND x.cohort_id = which FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM refuse(404, 'cohort_not_found', 'There is no such cohort.');
    ELSIF NOT 'administrator' = ANY (current_roles())
          AND NOT EXISTS (SELECT FROM cohort_educators e WHERE e.tenant_id = c.tenant_id AND e.cohort_id = which
                                                           AND e.person_id = current_person()) THEN
        PERFORM refuse(403, 'not_your_cohort', 'You do not teach this cohort.');
    END IF;
    RETURN c;
END $$;

-- Who teaches is said by administrators only: it opens the members' results.
CREATE FUNCTION cohort_educators_set(which uuid, people uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF people IS NULL THEN
        RETURN;
    ELSIF NOT 'administrator' = ANY (current_roles()) THEN
        PERFORM refuse(403, 'role_required', 'Only administrators say who teaches a cohort.', '/educators');
    END IF;
    IF (SELECT count(*) FROM unnest(people) x (person) JOIN memberships m ON m.tenant_id = current_tenant() AND m.person_id = x.person
        WHERE is_active(m) AND 'educator' = ANY (m.roles)) <> cardinality(people) THEN
        PERFORM refuse(422, 'no_educator', 'Everybody here must be a member with the role educator, named once.', '/educators');
    END IF;
    DELETE FROM cohort_educators e WHERE e.tenant_id = current_tenant() AND e.cohort_id = which AND NOT e.person_id = ANY (people);
    INSERT INTO cohort_educators (tenant_id, cohort_id, person_id) SELECT current_tenant(), which, x FROM unnest(people) x
        ON CONFLICT DO NOTHING;
END $$;

CREATE FUNCTION cohort_create(made uuid, key text, body_sha256 text, new_name text, people uuid[]) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    c cohorts;
    before uuid;
BEGIN
    PERFORM lock_tenant(current_tenant());
    before := idempotent(key, body_sha256, made);
    IF before IS NOT NULL THEN
        SELECT * INTO c FROM cohorts x WHERE x.tenant_id = current_tenant() AND x.cohort_id = before;
        IF NOT FOUND THEN
            PERFORM refuse(410, 'cohort_deleted', 'The cohort that this request made has been deleted.');
        END IF;
        RETURN cohort_json(c);
    END IF;
    INSERT INTO cohorts (tenant_id, cohort_id, name) VALUES (current_tenant(), made, new_name) RETURNING * INTO c;
    IF people IS NULL AND 'educator' = ANY (current_roles()) THEN
        INSERT INTO cohort_educators (tenant_id, cohort_id, person_id) VALUES (c.tenant_id, made, current_person());
    END IF;
    PERFORM cohort_educators_set(made, people);
    PERFORM audit(c.tenant_id, current_person(), 'cohort.created', made::text, jsonb_build_object('name', new_name));
    RETURN cohort_json(c);
EXCEPTION
    WHEN unique_violation THEN
        PERFORM refuse(409, 'name_taken', 'Another cohort has this name.', '/name');
END $$;

CREATE FUNCTION cohort_patch(which uuid, if_match text, new_name text, people uuid[]) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    c cohorts;
BEGIN
    PERFORM lock_tenant(current_tenant());
    c := cohort_of(which);
    PERFORM need_match(if_match, cohort_json(c));
    UPDATE cohorts x SET name = coalesce(new_name, c.name) WHERE x.tenant_id = c.tenant_id AND x.cohort_id = which RETURNING * INTO c;
    PERFORM cohort_educators_set(which, people);
    PERFORM audit(c.tenant_id, current_person(), 'cohort.changed', which::text,
                  jsonb_build_object('name', new_name, 'educators', people));
    RETURN cohort_json(c);
EXCEPTION
    WHEN unique_violation THEN
        PERFORM refuse(409, 'name_taken', 'Another cohort has this name.', '/name');
END $$;

-- Its members stay members.
CREATE FUNCTION cohort_delete(which uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    c cohorts;
BEGIN
    PERFORM lock_tenant(current_tenant());
    c := cohort_of(which);
    DELETE FROM cohorts x WHERE x.tenant_id = c.tenant_id AND x.cohort_id = which;
    PERFORM audit(c.tenant_id, current_person(), 'cohort.deleted', which::text, jsonb_build_object('name', c.name));
END $$;

-- Memberships of one's own -------------------------------------------------------------------------------------------

CREATE FUNCTION my_memberships() RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT json_build_object('items', coalesce(json_agg(json_build_object(
                'tenant', json_build_object('id', t.tenant_id, 'kind', t.kind, 'slug', t.slug, 'name', t.name),
                'roles', to_json(m.roles), 'since', m.since, 'until', m.until, 'active', is_active(m),
                'current', t.tenant_id = current_tenant()) ORDER BY is_active(m) DESC, t.slug), '[]'::json))
            FROM memberships m JOIN tenants t USING (tenant_id) WHERE m.person_id = current_person());
END $$;

CREATE FUNCTION my_leave(which uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants;
BEGIN
    SELECT y.* INTO t FROM memberships x JOIN tenants y USING (tenant_id)
        WHERE x.tenant_id = which AND x.person_id = current_person() AND is_active(x);
    IF NOT FOUND THEN
        PERFORM refuse(404, 'tenant_not_found', 'You belong to no such tenant.');
    ELSIF which <> current_tenant()
          AND EXISTS (SELECT FROM sessions s WHERE s.tenant_id = current_tenant() AND s.session_id = current_session_id()
                                               AND 'single_sign_on' = ANY (s.methods)) THEN
        -- One tenant's sign-on service must not take people out of another.
        PERFORM refuse(403, 'sign_in_there', 'You came through single sign-on, which counts in its own tenant only: sign in to the other.');
    ELSIF t.kind = 'individual' THEN
        PERFORM refuse(409, 'personal_tenant', 'Your personal tenant goes with your account only.');
    END IF;
    PERFORM member_leave(which, current_person(), 'left');
END $$;

-- As in 0007, and: what another tenant's sign-on service said of a person counts in that tenant alone. Whoever runs such a
-- service could otherwise walk into every tenant of its people.
CREATE OR REPLACE FUNCTION session_switch(tenant_slug text, session uuid, token_sha256 text) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    s sessions;
    opened json;
    ends timestamptz;
BEGIN
    SELECT * INTO s FROM sessions WHERE tenant_id = current_tenant() AND session_id = current_session_id() FOR UPDATE;
    IF NOT EXISTS (SELECT FROM memberships m JOIN tenants t USING (tenant_id)
                   WHERE m.person_id = s.person_id AND t.slug = tenant_slug AND is_active(m)) THEN
        PERFORM refuse(404, 'tenant_not_found', 'You belong to no such tenant.', '/tenant');
    END IF;
    IF NOT s.methods && ARRAY['password', 'passkey'] THEN
        PERFORM refuse(403, 'sign_in_there', 'You came through single sign-on, which counts in its own tenant only: sign in to the other.',
                       '/tenant');
    END IF;
    opened := session_open(s.person_id, tenant_slug, session, token_sha256, s.client, array_remove(s.methods, 'single_sign_on'));
    -- Nobody has signed in anew: by switching to and fro a session becomes neither younger nor longer.
    UPDATE sessions x SET created_at = s.created_at, expires_at = s.created_at + (x.expires_at - x.created_at)
        WHERE x.tenant_id = (opened->'tenant'->>'id')::uuid AND x.session_id = session RETURNING x.expires_at INTO ends;
    IF ends <= now() THEN
        PERFORM refuse(403, 'sign_in_again', 'That tenant''s sessions are shorter than this one is old: sign in to it.', '/tenant');
    END IF;
    opened := session_json((opened->'tenant'->>'id')::uuid, session);
    UPDATE sessions x SET ended_at = now() WHERE x.tenant_id = s.tenant_id AND x.session_id = s.session_id;
    PERFORM audit(s.tenant_id, s.person_id, 'session.ended', s.session_id::text, '{"reason": "switched"}');
    RETURN opened;
END $$;

CREATE FUNCTION consent_give(whom text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO consents (tenant_id, person_id, recipient) VALUES (current_tenant(), current_person(), whom) ON CONFLICT DO NOTHING;
    IF FOUND THEN
        PERFORM audit(current_tenant(), current_person(), 'consent.given', whom);
    END IF;
END $$;

CREATE FUNCTION consent_withdraw(whom text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE consents SET withdrawn_at = now()
        WHERE tenant_id = current_tenant() AND person_id = current_person() AND recipient = whom AND withdrawn_at IS NULL;
    IF FOUND THEN
        PERFORM audit(current_tenant(), current_person(), 'consent.withdrawn', whom);
    END IF;
END $$;

-- Invitations --------------------------------------------------------------------------------------------------------

-- "trainee, expert and educator"
CREATE FUNCTION roles_words(roles text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT concat_ws(' and ', nullif(array_to_string(roles[:cardinality(roles) - 1], ', '), ''), roles[cardinality(roles)]) $$;

-- No allow-list: any. A subdomain is another domain.
CREATE FUNCTION domain_allowed(t tenants, address text) RETURNS boolean LANGUAGE sql IMMUTABLE AS
$$ SELECT cardinality(t.domains) = 0 OR lower(split_part(address, '@', 2)) = ANY (t.domains) $$;

CREATE FUNCTION invitation_json(k tickets) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object('id', k.ticket_id, 'email', k.email, 'name', k.detail->>'name', 'roles', k.detail->'roles',
                             'cohort', k.detail->'cohort', 'invited_by', k.detail->'invited_by', 'invited_at', k.created_at,
                             'expires_at', coalesce(k.expires_at, k.created_at + k.life),
                             'state', CASE WHEN ticket_is_open(k) THEN 'open' ELSE 'expired' END) $$;

-- Sends the mail of an invitation, anew: the link of an earlier mail is void, the fortnight begins again.
CREATE FUNCTION invitation_send(t tenants, k tickets) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    p people;
BEGIN
    UPDATE tickets x SET token_hash = NULL, expires_at = now() + x.life, detail = x.detail || jsonb_build_object('sent_at', now())
        WHERE x.ticket_id = k.ticket_id;
    SELECT * INTO p FROM people x WHERE lower(x.email) = lower(k.email);
    PERFORM mail_queue(CASE WHEN p.person_id IS NULL THEN 'invitation' ELSE 'invitation_existing' END, k.email, t.tenant_id, NULL,
        jsonb_build_object('tenant', mail_words(t.name), 'roles', roles_words(ticket_roles(k)), 'life', '14 days',
            'name', mail_words(coalesce(p.name, '')),
            'inviter', mail_words(coalesce((SELECT y.name FROM people y WHERE y.person_id = current_person()), t.name))), k.ticket_id);
END $$;

-- Invites people: rows are [{"email", "name", "roles": [...], "cohort": id or name, "bad_email": true}, ...], each member a
-- string (roles: strings) or null; bad_email marks what the caller has found to be no address. A line of result for each, in order: invited, already_invited (what is asked of them is now what the row
-- says; `sent`: again, unless that was within five minutes, so that a repeated request mails nobody twice), already_member,
-- refused with reason, detail and field. One seat after another while the tenant's row is held.
CREATE FUNCTION invite(rows jsonb) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants := lock_tenant(current_tenant());
    taken int := seats_taken(t);
    results json[] := '{}';
    r record;
    k tickets;
    cohort uuid;
    wanted text[];
    outcome text;
    sent boolean;
    more int;
    code text;
    message text;
    place text;
BEGIN
    IF t.kind <> 'organisation' THEN
        PERFORM refuse(409, 'personal_tenant', 'A personal tenant has one member.');
    END IF;
    FOR r IN SELECT x.n, x.line->>'email' AS email, x.line->>'name' AS name, x.line->'roles' AS roles, x.line->>'cohort' AS cohort,
                    coalesce((x.line->>'bad_email')::boolean, false) AS bad_email,
                    row_number() OVER (PARTITION BY lower(x.line->>'email') ORDER BY x.n) AS copy
             FROM jsonb_array_elements(rows) WITH ORDINALITY x (line, n) ORDER BY x.n LOOP
        k := NULL;
        sent := false;
        BEGIN
            IF r.email IS NULL OR r.bad_email OR length(r.email) > 254 THEN
                PERFORM refuse(422, 'bad_email', 'This is not an e-mail address.', '/email');
            ELSIF r.copy > 1 THEN
                PERFORM refuse(422, 'duplicate_row', 'This address stands in an earlier row.', '/email');
            ELSIF NOT domain_allowed(t, r.email) THEN
                PERFORM refuse(422, 'domain_not_allowed', 'This tenant does not invite addresses of this domain.', '/email');
            ELSIF length(r.name) > 200 OR r.name ~ '[[:cntrl:]]' THEN
                PERFORM refuse(422, 'bad_name', 'A name has at most 200 characters, and no control character.', '/name');
            END IF;
            wanted := roles_normal(ARRAY(SELECT jsonb_array_elements_text(r.roles)));
            cohort := NULL;
            IF r.cohort <> '' THEN
                SELECT c.cohort_id INTO cohort FROM cohorts c
                    WHERE c.tenant_id = t.tenant_id AND (lower(c.name) = lower(r.cohort) OR c.cohort_id::text = lower(r.cohort));
                IF NOT FOUND THEN
                    PERFORM refuse(422, 'cohort_not_found', 'There is no such cohort.', '/cohort');
                END IF;
            END IF;
            IF EXISTS (SELECT FROM people p JOIN memberships m USING (person_id)
                       WHERE lower(p.email) = lower(r.email) AND m.tenant_id = t.tenant_id AND is_active(m)) THEN
                outcome := 'already_member';
            ELSE
                SELECT * INTO k FROM tickets x WHERE lower(x.email) = lower(r.email) AND x.tenant_id = t.tenant_id
                                                 AND x.kind = 'invitation' AND x.used_at IS NULL;
                more := needs_seat(wanted)::int - (k.ticket_id IS NOT NULL AND ticket_is_open(k) AND needs_seat(ticket_roles(k)))::int;
                IF t.invitations_hold_seats AND more > 0 AND taken + more > t.seats_bought THEN
                    PERFORM refuse(409, 'seats_exhausted', 'All seats of this tenant are taken or held by invitations.');
                END IF;
                outcome := CASE WHEN k.ticket_id IS NULL THEN 'invited' ELSE 'already_invited' END;
                IF k.ticket_id IS NULL THEN
                    INSERT INTO tickets (ticket_id, kind, tenant_id, email, life)
                        VALUES (gen_random_uuid(), 'invitation', t.tenant_id, r.email, '14 days') RETURNING * INTO k;
                END IF;
                sent := coalesce((k.detail->>'sent_at')::timestamptz < now() - interval '5 minutes', true) OR NOT ticket_is_open(k);
                UPDATE tickets x SET detail = x.detail || jsonb_build_object('roles', wanted, 'cohort', cohort,
                        'name', coalesce(nullif(r.name, ''), x.detail->>'name'), 'invited_by', current_person())
                    WHERE x.ticket_id = k.ticket_id RETURNING * INTO k;
                IF sent THEN
                    PERFORM invitation_send(t, k);
                    PERFORM audit(t.tenant_id, current_person(), 'invitation.sent', k.ticket_id::text,
                                  jsonb_build_object('roles', wanted, 'cohort', cohort));
                END IF;
                taken := taken + more;
            END IF;
            results := results || json_build_object('row', r.n, 'email', r.email, 'result', outcome, 'sent', sent,
                                                    'invitation', k.ticket_id);
        EXCEPTION
            WHEN SQLSTATE 'OR422' OR SQLSTATE 'OR409' THEN
                GET STACKED DIAGNOSTICS code = MESSAGE_TEXT, message = PG_EXCEPTION_DETAIL, place = PG_EXCEPTION_HINT;
                results := results || json_build_object('row', r.n, 'email', r.email, 'result', 'refused', 'sent', false,
                    'reason', code, 'detail', message, 'field', ltrim(place, '/'));
        END;
    END LOOP;
    RETURN to_json(results);
END $$;

-- An open or expired one of the tenant.
CREATE FUNCTION invitation_of(which uuid) RETURNS tickets LANGUAGE plpgsql STABLE AS $$
DECLARE
    k tickets;
BEGIN
    SELECT * INTO k FROM tickets x WHERE x.ticket_id = which AND x.tenant_id = current_tenant() AND x.kind = 'invitation'
                                     AND x.used_at IS NULL;
    IF NOT FOUND THEN
        PERFORM refuse(404, 'invitation_not_found', 'There is no such invitation; it may have been accepted or withdrawn.');
    END IF;
    RETURN k;
END $$;

CREATE FUNCTION invitation_show(which uuid) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN invitation_json(invitation_of(which));
END $$;

CREATE FUNCTION invitation_page(cursor uuid, most int) RETURNS TABLE (place uuid, item json)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT k.ticket_id, invitation_json(k) FROM tickets k
        WHERE k.tenant_id = current_tenant() AND k.kind = 'invitation' AND k.used_at IS NULL
          AND (cursor IS NULL OR k.ticket_id > cursor)
        ORDER BY k.ticket_id LIMIT most;
END $$;

CREATE FUNCTION invitation_resend(which uuid) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants := lock_tenant(current_tenant());
    k tickets := invitation_of(which);
BEGIN
    IF t.invitations_hold_seats AND NOT ticket_is_open(k) AND needs_seat(ticket_roles(k)) THEN
        PERFORM need_seat(t, k.email);
    END IF;
    PERFORM invitation_send(t, k);
    PERFORM audit(t.tenant_id, current_person(), 'invitation.sent', which::text);
    RETURN invitation_json(invitation_of(which));
END $$;

CREATE FUNCTION invitation_withdraw(which uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM lock_tenant(current_tenant());
    PERFORM invitation_of(which);
    UPDATE tickets SET used_at = now() WHERE ticket_id = which;
    PERFORM audit(current_tenant(), current_person(), 'invitation.withdrawn', which::text);
END $$;

-- Join links -----------------------------------------------------------------------------------------------------------

CREATE FUNCTION join_link_is_open(l join_links) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT l.withdrawn_at IS NULL AND (l.expires_at IS NULL OR l.expires_at > now()) AND (l.max_uses IS NULL OR l.uses < l.max_uses) $$;

CREATE FUNCTION join_link_json(l join_links) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object('id', l.link_id, 'name', l.name, 'roles', to_json(l.roles), 'cohort', l.cohort_id, 'max_uses', l.max_uses,
                             'uses', l.uses, 'created_at', l.created_at, 'expires_at', l.expires_at, 'open', join_link_is_open(l)) $$;

-- A link goes from hand to hand: it gives no role that shows other people's results or settings.
CREATE FUNCTION join_link_create(made uuid, token_sha256 text, new_name text, new_roles text[], cohort uuid, uses_most int, ends timestamptz)
RETURNS json LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants := lock_tenant(current_tenant());
    l join_links;
BEGIN
    IF t.kind <> 'organisation' THEN
        PERFORM refuse(409, 'personal_tenant', 'A personal tenant has one member.');
    ELSIF cardinality(t.domains) = 0 THEN
        PERFORM refuse(409, 'domains_required', 'A join link needs the tenant''s list of domains: set it first.');
    END IF;
    new_roles := roles_normal(new_roles);
    IF NOT new_roles <@ ARRAY['trainee', 'expert'] THEN
        PERFORM refuse(422, 'role_by_invitation_only', 'A join link gives the roles trainee and expert only.', '/roles');
    END IF;
    PERFORM need_cohort(t.tenant_id, cohort);
    IF (SELECT count(*) FROM join_links x WHERE x.tenant_id = t.tenant_id AND join_link_is_open(x)) >= 100 THEN
        PERFORM refuse(409, 'too_many_links', 'A hundred join links are open: withdraw some first.');
    END IF;
    INSERT INTO join_links (tenant_id, link_id, name, token_hash, roles, cohort_id, max_uses, expires_at)
        VALUES (t.tenant_id, made, new_name, decode(token_sha256, 'hex'), new_roles, cohort, uses_most, ends) RETURNING * INTO l;
    PERFORM audit(t.tenant_id, current_person(), 'join_link.created', made::text,
                  jsonb_build_object('roles', new_roles, 'cohort', cohort, 'max_uses', uses_most, 'expires_at', ends));
    RETURN join_link_json(l);
END $$;

CREATE FUNCTION join_link_withdraw(which uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM lock_tenant(current_tenant());
    UPDATE join_links l SET withdrawn_at = now() WHERE l.tenant_id = current_tenant() AND l.link_id = which AND l.withdrawn_at IS NULL;
    IF NOT FOUND THEN
        PERFORM refuse(404, 'link_not_found', 'There is no such join link.');
    END IF;
    PERFORM audit(current_tenant(), current_person(), 'join_link.withdrawn', which::text);
END $$;

-- The open link that a token stands for; no row when there is none.
CREATE FUNCTION join_link_of(token_sha256 text) RETURNS SETOF join_links
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT l.* FROM join_links l JOIN tenants t USING (tenant_id)
    WHERE l.token_hash = decode(token_sha256, 'hex') AND join_link_is_open(l) AND t.suspended_at IS NULL $$;

-- Somebody with the link entered an address: its mailbox gets a link of its own. A member's address gets none; who asks does
-- not learn which it was.
CREATE FUNCTION join_request(token_sha256 text, address text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    l join_links;
    t tenants;
BEGIN
    SELECT * INTO l FROM join_link_of(token_sha256);
    IF NOT FOUND THEN
        PERFORM refuse(410, 'link_expired', 'This link was withdrawn, has expired, or was never one. Ask for a new one.', '/token');
    END IF;
    SELECT * INTO t FROM tenants WHERE tenant_id = l.tenant_id;
    IF cardinality(t.domains) = 0 OR NOT domain_allowed(t, address) THEN
        PERFORM refuse(422, 'domain_not_allowed', 'This link is for addresses of ' || coalesce(nullif(array_to_string(t.domains, ', '), ''), 'no domain')
                       || '.', '/email');
    END IF;
    IF NOT EXISTS (SELECT FROM people p JOIN memberships m USING (person_id)
                   WHERE lower(p.email) = lower(address) AND m.tenant_id = t.tenant_id AND is_active(m)) THEN
        PERFORM ticket_open('join', 'join', t.tenant_id, NULL, address, '1 day', jsonb_build_object('tenant', mail_words(t.name)),
                            jsonb_build_object('link', l.link_id, 'roles', l.roles, 'cohort', l.cohort_id));
    END IF;
END $$;

-- Acceptance -------------------------------------------------------------------------------------------------------

-- What a token of a mail ('invitation', 'join') or of a join link ('link') stands for; refuses what is none. `known`: the
-- address has an account; needs: what acceptance takes beside the token. words: what a password must not be made of.
CREATE FUNCTION invitation_preview(token_sha256 text) RETURNS TABLE (shown json, known boolean, needs_password boolean, words text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    k tickets;
    l join_links;
    t tenants;
    is_known boolean;
BEGIN
    SELECT * INTO l FROM join_link_of(token_sha256);
    IF NOT FOUND THEN
        SELECT x.* INTO k FROM (SELECT * FROM ticket_of('invitation', token_sha256)
                                UNION ALL SELECT * FROM ticket_of('join', token_sha256)) x;
        IF NOT FOUND THEN
            PERFORM refuse(410, 'link_expired', 'This link was used before, has expired, or was never one. Ask for a new one.', '/token');
        END IF;
    END IF;
    SELECT * INTO t FROM tenants WHERE tenant_id = coalesce(k.tenant_id, l.tenant_id);
    is_known := EXISTS (SELECT FROM people p WHERE lower(p.email) = lower(k.email));
    RETURN QUERY SELECT json_build_object('kind', coalesce(k.kind, 'link'),
            'tenant', json_build_object('slug', t.slug, 'name', t.name), 'email', k.email, 'name', k.detail->>'name',
            'roles', coalesce(k.detail->'roles', to_jsonb(l.roles)),
            'cohort', (SELECT c.name FROM cohorts c WHERE c.tenant_id = t.tenant_id
                           AND c.cohort_id = coalesce((k.detail->>'cohort')::uuid, l.cohort_id)),
            'known', is_known,
            'needs', to_json(CASE WHEN k.kind IS NULL THEN ARRAY['email'] WHEN is_known THEN '{}'
                                  WHEN t.password_sign_in THEN ARRAY['name', 'password'] ELSE ARRAY['name'] END)),
        is_known, t.password_sign_in, concat_ws(' ', k.email, k.detail->>'name', t.name);
END $$;

-- The token proves the mailbox. Who has an account gains a membership, a new person an account too (under new_person, with
-- this name and password hash). Refuses a name or password for who has an account: it would not become theirs.
CREATE FUNCTION invitation_accept(token_sha256 text, new_person uuid, new_name text, phc text) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    k tickets;
    t tenants;
    l join_links;
    p people;
    is_new boolean;
    cohort uuid;
BEGIN
    SELECT * INTO k FROM ticket_of('join', token_sha256);
    IF NOT FOUND THEN
        SELECT * INTO k FROM ticket_of('invitation', token_sha256);
    END IF;
    IF k.ticket_id IS NOT NULL THEN
        t := lock_tenant(k.tenant_id);
    END IF;
    k := ticket_use(coalesce(k.kind, 'invitation'), token_sha256);
    IF t.suspended_at IS NOT NULL THEN
        PERFORM refuse(403, 'tenant_suspended', 'This tenant is suspended; ask its administrator.');
    END IF;
    IF k.kind = 'join' THEN
        SELECT * INTO l FROM join_links x WHERE x.tenant_id = t.tenant_id AND x.link_id = (k.detail->>'link')::uuid;
        IF NOT join_link_is_open(l) OR cardinality(t.domains) = 0 OR NOT domain_allowed(t, k.email) THEN
            PERFORM refuse(410, 'link_expired', 'The join link has been withdrawn or used up. Ask for a new one.', '/token');
        END IF;
        UPDATE join_links x SET uses = uses + 1 WHERE x.tenant_id = l.tenant_id AND x.link_id = l.link_id;
    END IF;
    INSERT INTO people (person_id, email, name, email_verified_at)
        SELECT new_person, k.email, new_name, now() WHERE new_name IS NOT NULL
        ON CONFLICT (lower(email)) DO NOTHING RETURNING * INTO p;
    is_new := p.person_id IS NOT NULL;
    IF is_new THEN
        IF phc IS NOT NULL THEN
            INSERT INTO passwords (person_id, phc) VALUES (new_person, phc);
        END IF;
    ELSE
        SELECT * INTO p FROM people x WHERE lower(x.email) = lower(k.email);
        IF NOT FOUND THEN
            PERFORM refuse(422, 'field_missing', 'A new account takes a name.', '/name');
        ELSIF new_name IS NOT NULL THEN
            PERFORM refuse(409, 'account_exists', 'You have an account: accept without name and password, and sign in as usual.');
        ELSIF p.disabled_at IS NOT NULL THEN
            PERFORM refuse(410, 'link_expired', 'This link is no longer good. Ask for a new one.', '/token');
        ELSIF p.email_verified_at IS NULL THEN
            -- Somebody else may have made that account (a sign-on service that said this address).
            PERFORM refuse(409, 'address_unproven', 'The account with this address has never proved it. Reset its password first.');
        END IF;
    END IF;
    SELECT c.cohort_id INTO cohort FROM cohorts c WHERE c.tenant_id = t.tenant_id AND c.cohort_id = (k.detail->>'cohort')::uuid;
    PERFORM member_add(t.tenant_id, p.person_id, ticket_roles(k), cohort, k.kind);
    PERFORM audit(t.tenant_id, p.person_id, 'invitation.accepted', k.ticket_id::text);
    RETURN json_build_object('person', p.person_id, 'new', is_new, 'email', p.email,
                             'tenant', json_build_object('id', t.tenant_id, 'slug', t.slug, 'name', t.name),
                             'roles', to_json(ticket_roles(k)));
END $$;

-- What others see of a member, and what one sees of oneself -------------------------------------------------------------

-- Why may the asker see this person's results in this tenant? 'own'; 'educator' of the person's cohort; 'manager' whom the
-- person let. Else 'consent_required' (a manager), 'not_your_cohort' (who is neither), NULL (no such member).
CREATE FUNCTION sight_of(person uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    m memberships;
BEGIN
    SELECT * INTO m FROM memberships x WHERE x.tenant_id = current_tenant() AND x.person_id = person;
    IF NOT FOUND THEN
        RETURN NULL;
    ELSIF person = current_person() THEN
        RETURN 'own';
    ELSIF 'educator' = ANY (current_roles())
          AND EXISTS (SELECT FROM cohort_educators e WHERE e.tenant_id = m.tenant_id AND e.cohort_id = m.cohort_id
                                                       AND e.person_id = current_person()) THEN
        RETURN 'educator';
    ELSIF NOT 'manager' = ANY (current_roles()) THEN
        RETURN 'not_your_cohort';
    ELSIF EXISTS (SELECT FROM consents c WHERE c.tenant_id = m.tenant_id AND c.person_id = person AND c.recipient = 'manager'
                                           AND c.withdrawn_at IS NULL) THEN
        RETURN 'manager';
    END IF;
    RETURN 'consent_required';
END $$;

-- The one place that says whose record may be seen: of statistics too.
CREATE OR REPLACE FUNCTION may_see_record(person uuid) RETURNS boolean LANGUAGE sql STABLE AS
$$ SELECT coalesce(sight_of(person) IN ('own', 'educator', 'manager'), false) $$;

CREATE FUNCTION need_sight(person uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    sight text := sight_of(person);
BEGIN
    IF sight IS NULL THEN
        PERFORM refuse(404, 'member_not_found', 'There is no such member.');
    ELSIF sight = 'consent_required' THEN
        PERFORM refuse(403, 'consent_required', 'A manager sees results of who has agreed to it.');
    ELSIF sight = 'not_your_cohort' THEN
        PERFORM refuse(403, 'not_your_cohort', 'Results are for the educators of the member''s cohort.');
    END IF;
END $$;

-- Submitted within a period of membership?
CREATE FUNCTION within_membership(tenant uuid, person uuid, moment timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM membership_periods x WHERE x.tenant_id = tenant AND x.person_id = person AND x.since <= moment
                                                      AND (x.until IS NULL OR moment < x.until)) $$;

CREATE FUNCTION member_performance(person uuid, of_modality text) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM need_sight(person);
    RETURN (SELECT json_build_object('person', person,
        'periods', (SELECT json_agg(json_build_object('since', x.since, 'until', x.until) ORDER BY x.since)
                    FROM membership_periods x WHERE x.tenant_id = current_tenant() AND x.person_id = member_performance.person),
        'items', coalesce(json_agg(json_build_object('modality', y.modality, 'reads', cardinality(y.ring),
                     'correct', cardinality(array_positions(y.ring, true)), 'last20', window_json(y.ring, 20),
                     'last50', window_json(y.ring, 50)) ORDER BY y.modality), '[]'::json))
        FROM (SELECT r.modality, array_agg(g.correct ORDER BY r.submission_no) AS ring
              FROM reads r, LATERAL (SELECT z.correct FROM grades z WHERE z.tenant_id = r.tenant_id AND z.read_id = r.read_id
                                     ORDER BY z.revision DESC LIMIT 1) g
              WHERE r.tenant_id = current_tenant() AND r.person_id = member_performance.person AND r.state = 'graded' AND r.attempt = 1
                AND (of_modality IS NULL OR r.modality = of_modality)
                AND within_membership(r.tenant_id, r.person_id, r.submitted_at)
              GROUP BY r.modality) y);
END $$;

-- Submitted reads, newest first.
CREATE FUNCTION member_reads(person uuid, of_modality text, cursor uuid, most int) RETURNS TABLE (place uuid, item json)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM need_sight(person);
    RETURN QUERY
        SELECT r.read_id, json_build_object('id', r.read_id, 'case', r.case_id, 'case_slug', c.slug, 'modality', r.modality,
                   'state', r.state, 'attempt', r.attempt, 'counts', r.attempt = 1, 'opened_at', r.opened_at,
                   'submitted_at', r.submitted_at, 'correct', g.correct, 'points', g.points_milli / 1000.0,
                   'max_points', g.max_points_milli / 1000.0)
        FROM reads r JOIN cases c ON c.case_id = r.case_id
        LEFT JOIN LATERAL (SELECT * FROM grades x WHERE x.tenant_id = r.tenant_id AND x.read_id = r.read_id
                           ORDER BY x.revision DESC LIMIT 1) g ON true
        WHERE r.tenant_id = current_tenant() AND r.person_id = person AND r.submitted_at IS NOT NULL
          AND (of_modality IS NULL OR r.modality = of_modality) AND (cursor IS NULL OR r.read_id < cursor)
          AND within_membership(r.tenant_id, r.person_id, r.submitted_at)
        ORDER BY r.read_id DESC LIMIT most;
END $$;

-- The learner's own record travels: one's reads in every tenant one is or was a member of, newest first. Along the index of
-- each membership's reads. Own only: the asker is not a parameter.
CREATE FUNCTION own_reads(cursor uuid, most int) RETURNS TABLE (place uuid, item json)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN QUERY
        SELECT r.read_id, json_build_object('id', r.read_id,
                   'tenant', json_build_object('id', t.tenant_id, 'slug', t.slug, 'name', t.name),
                   'case', r.case_id, 'case_slug', c.slug, 'modality', r.modality, 'state', r.state, 'attempt', r.attempt,
                   'counts', r.attempt = 1, 'opened_at', r.opened_at, 'submitted_at', r.submitted_at, 'correct', g.correct,
                   'points', g.points_milli / 1000.0, 'max_points', g.max_points_milli / 1000.0)
        FROM (SELECT x.* FROM memberships m, LATERAL (
                  SELECT * FROM reads y WHERE y.tenant_id = m.tenant_id AND y.person_id = m.person_id
                                          AND (cursor IS NULL OR y.read_id < cursor)
                  ORDER BY y.read_id DESC LIMIT most) x
              WHERE m.person_id = current_person() ORDER BY x.read_id DESC LIMIT most) r
        JOIN tenants t ON t.tenant_id = r.tenant_id JOIN cases c ON c.case_id = r.case_id
        LEFT JOIN LATERAL (SELECT * FROM grades x WHERE x.tenant_id = r.tenant_id AND x.read_id = r.read_id
                           ORDER BY x.revision DESC LIMIT 1) g ON true
        ORDER BY r.read_id DESC;
END $$;

-- The same over everything one has read: first attempts whatever the tenant, which is what everybody's board counts.
CREATE FUNCTION own_performance() RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT json_build_object('items', coalesce(json_agg(json_build_object('modality', s.modality, 'reads', s.reads,
                       'correct', s.correct, 'last20', window_json(s.ring_correct, 20), 'last50', window_json(s.ring_correct, 50))
                       ORDER BY s.modality), '[]'::json))
            FROM standings s WHERE s.tenant_id = everybody() AND s.person_id = current_person() AND s.reads > 0);
END $$;

GRANT EXECUTE ON FUNCTION is_active, sight_of, may_see_record, tenant_json, tenant_patch, member_show, member_json, member_patch, member_remove,
    cohort_json, cohort_create, cohort_patch, cohort_delete, my_memberships, my_leave, consent_give, consent_withdraw, invite,
    invitation_show, invitation_page, invitation_resend, invitation_withdraw, invitation_preview, invitation_accept,
    join_link_is_open, join_link_json, join_link_create, join_link_withdraw, join_request, member_performance, member_reads,
    own_reads, own_performance TO overread_app;
