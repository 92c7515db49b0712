-- SCIM 2.0 (RFC 7643, 7644): a trust's directory keeps its members. Who comes and goes, comes and goes by member_add and
-- member_leave, so that seats, sessions and the record are as with anybody else.
--
-- What a directory may say of a person:
-- * Users are the members of the tenant, present and former, but for support. What the directory calls them stays with the
--   membership (scim_users); it becomes the person's own name only of who never belonged to any other tenant.
-- * An unknown address becomes a new person, without a password. It counts as proven only under a domain that an operator has
--   confirmed to be the tenant's own; `domains`, which administrators set themselves, only bounds which addresses may come.
-- * A known person of another tenant is linked only by a proven address under a confirmed domain (as single sign-on does): a
--   directory could otherwise take in, and see, anybody. Name, address and ways to sign in stay the person's.
-- * An address is changed only of who never belonged elsewhere and did not prove it to us under somebody else's domain; and
--   not to an unconfirmed one of who has a way to sign in: nobody can wait in an account for the address's owner.

CREATE TABLE scim_users (
    tenant_id    uuid NOT NULL,
    person_id    uuid NOT NULL,
    external_id  text CHECK (length(external_id) <= 255),
    given_name   text CHECK (length(given_name) <= 200),
    family_name  text CHECK (length(family_name) <= 200),
    formatted    text CHECK (length(formatted) <= 200),
    display_name text CHECK (length(display_name) <= 200),
    default_role boolean NOT NULL DEFAULT false,   -- no group gave a role: trainee until one does
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    deleted_at   timestamptz,                      -- by the directory: no longer a user there, the record stays
    PRIMARY KEY (tenant_id, person_id),
    FOREIGN KEY (tenant_id, person_id) REFERENCES memberships
);
CREATE INDEX scim_users_person ON scim_users (person_id);
INSERT INTO scim_users (tenant_id, person_id, created_at, changed_at) SELECT tenant_id, person_id, since, now() FROM memberships;

-- A group that the directory made: a role, when it is called like one, else a cohort. Its members are who has that role, or
-- is in that cohort, whoever said so.
CREATE TABLE scim_groups (
    tenant_id    uuid NOT NULL REFERENCES tenants,
    group_id     uuid NOT NULL,
    role         text CHECK (role IN ('trainee', 'educator', 'expert', 'administrator', 'manager')),
    cohort_id    uuid,
    display_name text NOT NULL CHECK (length(display_name) BETWEEN 1 AND 100), -- of a role, as the directory writes it
    external_id  text CHECK (length(external_id) <= 255),
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, group_id),
    UNIQUE (tenant_id, role),
    UNIQUE (tenant_id, cohort_id),
    FOREIGN KEY (tenant_id, cohort_id) REFERENCES cohorts ON DELETE CASCADE,
    CHECK ((role IS NULL) <> (cohort_id IS NULL))
);

SELECT guard_table(t) FROM unnest(ARRAY['scim_users', 'scim_groups']::regclass[]) t; -- reached by no policy; only through functions

-- meta.lastModified --------------------------------------------------------------------------------------------------

-- By triggers, so that a change through any other door is one for the directory too.
CREATE FUNCTION scim_groups_touch(tenant uuid, roles text[], cohort uuid) RETURNS void LANGUAGE sql AS $$
    UPDATE scim_groups g SET changed_at = clock_timestamp()
        WHERE g.tenant_id = tenant AND (g.role = ANY (roles) OR g.cohort_id = cohort) $$;

CREATE FUNCTION scim_follow_membership() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO scim_users (tenant_id, person_id) VALUES (NEW.tenant_id, NEW.person_id) ON CONFLICT DO NOTHING;
        PERFORM scim_groups_touch(NEW.tenant_id, NEW.roles, NEW.cohort_id);
        RETURN NULL;
    END IF;
    -- Whom the directory had deleted, and somebody else took in again, is a new user to it.
    UPDATE scim_users u SET changed_at = clock_timestamp(), deleted_at = NULL,
                            created_at = CASE WHEN u.deleted_at IS NULL THEN u.created_at ELSE clock_timestamp() END
        WHERE u.tenant_id = NEW.tenant_id AND u.person_id = NEW.person_id AND is_active(NEW) AND NOT is_active(OLD);
    IF NOT FOUND THEN
        UPDATE scim_users u SET changed_at = clock_timestamp() WHERE u.tenant_id = NEW.tenant_id AND u.person_id = NEW.person_id;
    END IF;
    IF NEW.roles <> OLD.roles OR NEW.cohort_id IS DISTINCT FROM OLD.cohort_id THEN
        PERFORM scim_groups_touch(NEW.tenant_id, ARRAY(SELECT r FROM unnest(NEW.roles || OLD.roles) r
                                                       WHERE NOT (r = ANY (NEW.roles) AND r = ANY (OLD.roles))), NULL);
        PERFORM scim_groups_touch(NEW.tenant_id, '{}', c) FROM unnest(ARRAY[NEW.cohort_id, OLD.cohort_id]) c
            WHERE NEW.cohort_id IS DISTINCT FROM OLD.cohort_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER scim_follow_membership AFTER INSERT OR UPDATE OF roles, cohort_id, until ON memberships
    FOR EACH ROW EXECUTE FUNCTION scim_follow_membership();

CREATE FUNCTION scim_follow_person() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE scim_users u SET changed_at = clock_timestamp() WHERE u.person_id = NEW.person_id;
    RETURN NULL;
END $$;
CREATE TRIGGER scim_follow_person AFTER UPDATE OF email, name ON people FOR EACH ROW
    WHEN (OLD.email <> NEW.email OR OLD.name <> NEW.name) EXECUTE FUNCTION scim_follow_person();

CREATE FUNCTION scim_follow_cohort() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE scim_groups g SET changed_at = clock_timestamp() WHERE g.tenant_id = NEW.tenant_id AND g.cohort_id = NEW.cohort_id;
    RETURN NULL;
END $$;
CREATE TRIGGER scim_follow_cohort AFTER UPDATE OF name ON cohorts FOR EACH ROW
    WHEN (OLD.name <> NEW.name) EXECUTE FUNCTION scim_follow_cohort();

-- What is shown --------------------------------------------------------------------------------------------------------

-- Every change moves changed_at, and so the version.
CREATE FUNCTION scim_version(kept json) RETURNS text LANGUAGE sql STABLE AS
$$ SELECT left(encode(sha256(convert_to(kept::text, 'UTF8')), 'hex'), 32) $$;

CREATE FUNCTION scim_time(t timestamptz) RETURNS text LANGUAGE sql STABLE AS
$$ SELECT to_char(t AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') $$;

-- The resource, with its meta behind what it is made of.
CREATE FUNCTION scim_with_meta(core json, kind text, place text, created timestamptz, changed timestamptz, version text)
RETURNS json LANGUAGE sql STABLE AS $$
    SELECT (left(core::text, -1) || ',"meta":' || json_build_object('resourceType', kind, 'created', scim_time(created),
                'lastModified', scim_time(changed), 'location', place, 'version', 'W/"' || version || '"') || '}')::json $$;

CREATE FUNCTION scim_group_name(g scim_groups) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT c.name FROM cohorts c WHERE c.tenant_id = g.tenant_id AND c.cohort_id = g.cohort_id), g.display_name) $$;

CREATE FUNCTION scim_user_core(base text, u scim_users, m memberships, p people) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_strip_nulls(json_build_object(
        'schemas', json_build_array('urn:ietf:params:scim:schemas:core:2.0:User'), 'id', u.person_id, 'externalId', u.external_id,
        'userName', p.email,
        'name', CASE WHEN coalesce(u.formatted, u.given_name, u.family_name) IS NOT NULL THEN json_build_object(
                    'formatted', coalesce(u.formatted, concat_ws(' ', u.given_name, u.family_name)),
                    'familyName', u.family_name, 'givenName', u.given_name) END,
        'displayName', coalesce(u.display_name, p.name), 'active', is_active(m),
        'emails', json_build_array(json_build_object('value', p.email, 'type', 'work', 'primary', true)),
        'groups', (SELECT json_agg(json_build_object('value', g.group_id, '$ref', base || '/Groups/' || g.group_id,
                                                     'display', scim_group_name(g), 'type', 'direct') ORDER BY g.group_id)
                   FROM scim_groups g WHERE g.tenant_id = u.tenant_id AND (g.role = ANY (m.roles) OR g.cohort_id = m.cohort_id)))) $$;

CREATE FUNCTION scim_user_json(base text, u scim_users, m memberships, p people) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT scim_with_meta(scim_user_core(base, u, m, p), 'User', base || '/Users/' || u.person_id, u.created_at, u.changed_at,
                          scim_version(to_json(u))) $$;

-- What filters and sorting look at, by lower-case paths.
CREATE FUNCTION scim_user_attributes(u scim_users, m memberships, p people) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', u.person_id, 'externalid', u.external_id, 'username', p.email,
        'name.formatted', coalesce(u.formatted, nullif(concat_ws(' ', u.given_name, u.family_name), '')),
        'name.givenname', u.given_name, 'name.familyname', u.family_name, 'displayname', coalesce(u.display_name, p.name),
        'active', is_active(m), 'emails.value', p.email, 'emails.type', 'work', 'emails.primary', true,
        'meta.created', u.created_at, 'meta.lastmodified', u.changed_at) $$;

CREATE FUNCTION scim_is_user(u scim_users, m memberships) RETURNS boolean LANGUAGE sql STABLE AS
$$ SELECT u.deleted_at IS NULL AND NOT 'support' = ANY (m.roles) $$;

CREATE FUNCTION scim_group_members(base text, g scim_groups) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_agg(json_build_object('value', u.person_id, '$ref', base || '/Users/' || u.person_id,
                                      'display', coalesce(u.display_name, p.name), 'type', 'User') ORDER BY u.person_id)
    FROM memberships m JOIN scim_users u USING (tenant_id, person_id) JOIN people p USING (person_id)
    WHERE m.tenant_id = g.tenant_id AND (g.role = ANY (m.roles) OR m.cohort_id = g.cohort_id) AND scim_is_user(u, m) $$;

-- Members are many: they are left out where nobody asked for them, and the version does without.
CREATE FUNCTION scim_group_json(base text, g scim_groups, with_members boolean) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT scim_with_meta(json_strip_nulls(json_build_object(
               'schemas', json_build_array('urn:ietf:params:scim:schemas:core:2.0:Group'), 'id', g.group_id,
               'externalId', g.external_id, 'displayName', scim_group_name(g),
               'members', CASE WHEN with_members THEN scim_group_members(base, g) END)),
           'Group', base || '/Groups/' || g.group_id, g.created_at, g.changed_at, scim_version(to_json(g))) $$;

-- If-Match has the version that scim_with_meta shows.
CREATE FUNCTION scim_need_match(if_match text, shown json) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF if_match IS NOT NULL AND trim(if_match) <> '*' AND position(substr(shown->'meta'->>'version', 3) IN if_match) = 0 THEN
        PERFORM refuse(412, 'changed_meanwhile', 'Somebody has changed it since you read it: read it again.', 'If-Match');
    END IF;
END $$;

-- Filters --------------------------------------------------------------------------------------------------------------

-- One comparison of a filter: f is {"op", "kind", "value"}; `has` one value. As RFC 7644 has it, text is compared without
-- regard to case but for ids.
CREATE FUNCTION scim_compare(f jsonb, has jsonb) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
    a text := has #>> '{}';
    b text := f->>'value';
BEGIN
    IF f->>'kind' = 'date' THEN
        RETURN CASE f->>'op' WHEN 'eq' THEN a::timestamptz = b::timestamptz WHEN 'gt' THEN a::timestamptz > b::timestamptz
                             WHEN 'ge' THEN a::timestamptz >= b::timestamptz WHEN 'lt' THEN a::timestamptz < b::timestamptz
                             WHEN 'le' THEN a::timestamptz <= b::timestamptz END;
    ELSIF f->>'kind' <> 'exact' THEN
        a := lower(a);
        b := lower(b);
    END IF;
    RETURN CASE f->>'op' WHEN 'eq' THEN a = b WHEN 'co' THEN position(b IN a) > 0 WHEN 'sw' THEN starts_with(a, b)
                         WHEN 'ew' THEN right(a, length(b)) = b END;
END $$;

-- Does what has these attributes match the filter (core/tenancy/scim_filter.h writes it)? Its depth is bounded there.
CREATE FUNCTION scim_match(f jsonb, attributes jsonb) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
    op text := f->>'op';
    has jsonb;
    present boolean;
BEGIN
    IF op = 'and' THEN
        RETURN scim_match(f->'left', attributes) AND scim_match(f->'right', attributes);
    ELSIF op = 'or' THEN
        RETURN scim_match(f->'left', attributes) OR scim_match(f->'right', attributes);
    ELSIF op = 'not' THEN
        RETURN NOT scim_match(f->'left', attributes);
    END IF;
    has := attributes->(f->>'attribute');
    present := coalesce(has NOT IN ('null', '[]', '""'), false);
    IF op = 'pr' THEN
        RETURN present;
    ELSIF f->'value' = 'null' THEN
        RETURN (op = 'ne') = present;
    ELSIF NOT present THEN
        RETURN op = 'ne';
    ELSIF op = 'ne' THEN
        RETURN NOT scim_match(jsonb_set(f, '{op}', '"eq"'), attributes);
    ELSIF jsonb_typeof(has) = 'array' THEN
        RETURN EXISTS (SELECT FROM jsonb_array_elements(has) x WHERE scim_compare(f, x));
    END IF;
    RETURN scim_compare(f, has);
END $$;

CREATE FUNCTION scim_list(found bigint, first int, items json) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object('schemas', json_build_array('urn:ietf:params:scim:api:messages:2.0:ListResponse'), 'totalResults', found,
                             'startIndex', first, 'itemsPerPage', coalesce(json_array_length(items), 0),
                             'Resources', coalesce(items, '[]'::json)) $$;

-- A page in the order of arrival (who comes meanwhile comes last), or by an attribute. The want_* are what the filter asks
-- for at least: the cheap question first, since a directory looks up one user after another.
CREATE FUNCTION scim_user_page(base text, filter jsonb, want_name text, want_external text, want_id uuid, sort text,
                               descending boolean, first int, most int) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    total bigint;
    items json;
BEGIN
    WITH hit AS MATERIALIZED (
        SELECT u.person_id, row_number() OVER (ORDER BY
                   CASE WHEN NOT descending THEN lower(scim_user_attributes(u, m, p)->>sort) END,
                   CASE WHEN descending THEN lower(scim_user_attributes(u, m, p)->>sort) END DESC, u.created_at, u.person_id) AS place
        FROM scim_users u JOIN memberships m USING (tenant_id, person_id) JOIN people p USING (person_id)
        WHERE u.tenant_id = current_tenant() AND scim_is_user(u, m)
          AND (want_name IS NULL OR lower(p.email) = lower(want_name))
          AND (want_external IS NULL OR u.external_id = want_external) AND (want_id IS NULL OR u.person_id = want_id)
          AND (filter IS NULL OR scim_match(filter, scim_user_attributes(u, m, p))))
    SELECT (SELECT count(*) FROM hit),
           (SELECT json_agg(scim_user_json(base, u, m, p) ORDER BY h.place)
            FROM hit h JOIN scim_users u ON u.tenant_id = current_tenant() AND u.person_id = h.person_id
            JOIN memberships m ON m.tenant_id = u.tenant_id AND m.person_id = u.person_id JOIN people p ON p.person_id = u.person_id
            WHERE h.place >= first AND h.place < first + most)
        INTO total, items;
    RETURN scim_list(total, first, items);
END $$;

CREATE FUNCTION scim_group_attributes(g scim_groups, with_members boolean) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', g.group_id, 'externalid', g.external_id, 'displayname', scim_group_name(g),
        'meta.created', g.created_at, 'meta.lastmodified', g.changed_at, 'members.type', 'User',
        'members.value', CASE WHEN with_members THEN
            (SELECT coalesce(jsonb_agg(x->'value'), '[]') FROM json_array_elements(scim_group_members('', g)) x) END) $$;

CREATE FUNCTION scim_group_page(base text, filter jsonb, by_members boolean, with_members boolean, sort text, descending boolean,
                                first int, most int) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    total bigint;
    items json;
BEGIN
    WITH hit AS MATERIALIZED (
        SELECT g.group_id, row_number() OVER (ORDER BY
                   CASE WHEN NOT descending THEN lower(scim_group_attributes(g, false)->>sort) END,
                   CASE WHEN descending THEN lower(scim_group_attributes(g, false)->>sort) END DESC, g.created_at, g.group_id) AS place
        FROM scim_groups g
        WHERE g.tenant_id = current_tenant() AND (filter IS NULL OR scim_match(filter, scim_group_attributes(g, by_members))))
    SELECT (SELECT count(*) FROM hit),
           (SELECT json_agg(scim_group_json(base, g, with_members) ORDER BY h.place)
            FROM hit h JOIN scim_groups g ON g.tenant_id = current_tenant() AND g.group_id = h.group_id
            WHERE h.place >= first AND h.place < first + most)
        INTO total, items;
    RETURN scim_list(total, first, items);
END $$;

-- Users ----------------------------------------------------------------------------------------------------------------

CREATE FUNCTION scim_user_show(base text, which uuid) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT scim_user_json(base, u, m, p)
            FROM scim_users u JOIN memberships m USING (tenant_id, person_id) JOIN people p USING (person_id)
            WHERE u.tenant_id = current_tenant() AND u.person_id = which AND scim_is_user(u, m));
END $$;

-- Locked for a change, in the order tenant, person, and refused when it is none or is another one than If-Match says.
CREATE FUNCTION scim_user_of(which uuid, if_match text) RETURNS scim_users LANGUAGE plpgsql AS $$
DECLARE
    u scim_users;
    shown json;
BEGIN
    PERFORM FROM people p WHERE p.person_id = which
        AND EXISTS (SELECT FROM scim_users x WHERE x.tenant_id = current_tenant() AND x.person_id = which) FOR NO KEY UPDATE;
    SELECT * INTO u FROM scim_users x WHERE x.tenant_id = current_tenant() AND x.person_id = which FOR UPDATE;
    shown := scim_user_show('', which);
    IF shown IS NULL THEN
        PERFORM refuse(404, 'user_not_found', 'There is no such user.');
    END IF;
    PERFORM scim_need_match(if_match, shown);
    RETURN u;
END $$;

-- Does the directory speak for this person: one who never belonged to any other tenant, and is no operator (0013)?
CREATE FUNCTION scim_speaks_for(tenant uuid, person uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN NOT EXISTS (SELECT FROM memberships m WHERE m.person_id = person AND m.tenant_id <> tenant)
       AND NOT EXISTS (SELECT FROM operators o WHERE o.person_id = person);
END $$;

-- What a person is called who has no other name than what the directory says; NULL: it says nothing.
CREATE FUNCTION scim_called(u scim_users) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT nullif(left(trim(coalesce(u.display_name, u.formatted, concat_ws(' ', u.given_name, u.family_name))), 200), '') $$;

CREATE FUNCTION scim_need_domain(t tenants, address text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT domain_allowed(t, address) THEN
        PERFORM refuse(422, 'domain_not_allowed', 'This tenant does not take in addresses of this domain.', 'userName');
    END IF;
END $$;

CREATE FUNCTION scim_readdress(t tenants, p people, address text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    confirmed boolean := domain_confirmed(t.tenant_id, address);
BEGIN
    IF NOT scim_speaks_for(t.tenant_id, p.person_id)
       OR (p.email_verified_at IS NOT NULL AND NOT domain_confirmed(t.tenant_id, p.email)) THEN
        PERFORM refuse(422, 'mutability', 'The account is the person''s own: only they change its address.', 'userName');
    ELSIF NOT confirmed AND (EXISTS (SELECT FROM passwords w WHERE w.person_id = p.person_id)
                             OR EXISTS (SELECT FROM passkeys k WHERE k.person_id = p.person_id)
                             OR EXISTS (SELECT FROM totp k WHERE k.person_id = p.person_id)) THEN
        PERFORM refuse(422, 'mutability', 'Nobody has confirmed that this domain is the tenant''s own: ask an operator to.', 'userName');
    END IF;
    PERFORM scim_need_domain(t, address);
    UPDATE people x SET email = address, email_verified_at = CASE WHEN confirmed THEN now() END WHERE x.person_id = p.person_id;
    -- A link to the old mailbox opens nothing any more.
    UPDATE tickets SET used_at = now() WHERE person_id = p.person_id AND kind IN ('password_reset', 'email') AND used_at IS NULL;
EXCEPTION
    WHEN unique_violation THEN
        PERFORM refuse(409, 'uniqueness', 'Another account has this address.', 'userName');
END $$;

-- The attributes that stay with the membership: those of `change` that are there, null for none.
CREATE FUNCTION scim_user_with(u scim_users, change jsonb) RETURNS scim_users LANGUAGE plpgsql STABLE AS $$
BEGIN
    u.external_id := CASE WHEN change ? 'externalId' THEN change->>'externalId' ELSE u.external_id END;
    u.given_name := CASE WHEN change ? 'givenName' THEN change->>'givenName' ELSE u.given_name END;
    u.family_name := CASE WHEN change ? 'familyName' THEN change->>'familyName' ELSE u.family_name END;
    u.formatted := CASE WHEN change ? 'formatted' THEN change->>'formatted' ELSE u.formatted END;
    u.display_name := CASE WHEN change ? 'displayName' THEN change->>'displayName' ELSE u.display_name END;
    RETURN u;
END $$;

CREATE FUNCTION scim_user_keep(u scim_users) RETURNS void LANGUAGE sql AS $$
    UPDATE scim_users x SET external_id = u.external_id, given_name = u.given_name, family_name = u.family_name,
                            formatted = u.formatted, display_name = u.display_name, default_role = u.default_role,
                            created_at = u.created_at, changed_at = clock_timestamp(), deleted_at = u.deleted_at
    WHERE x.tenant_id = u.tenant_id AND x.person_id = u.person_id $$;

-- The record tells which attributes were changed, never to what.
CREATE FUNCTION scim_audit(action text, subject uuid, change jsonb) RETURNS void LANGUAGE sql AS $$
    SELECT audit(current_tenant(), NULL, action, subject::text,
                 jsonb_build_object('attributes', (SELECT coalesce(jsonb_agg(k ORDER BY k), '[]') FROM jsonb_object_keys(change) k))) $$;

-- `change`: userName, externalId, givenName, familyName, formatted, displayName (null: none), active; checked by the caller.
CREATE FUNCTION scim_user_change(base text, which uuid, if_match text, change jsonb) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants := lock_tenant(current_tenant());
    was scim_users := scim_user_of(which, if_match);
    u scim_users := scim_user_with(was, change);
    p people;
    m memberships;
BEGIN
    SELECT * INTO p FROM people x WHERE x.person_id = which;
    SELECT * INTO m FROM memberships x WHERE x.tenant_id = t.tenant_id AND x.person_id = which;
    IF u IS DISTINCT FROM was THEN
        PERFORM scim_user_keep(u);
        IF scim_called(u) <> p.name AND scim_speaks_for(t.tenant_id, which) THEN
            UPDATE people x SET name = scim_called(u) WHERE x.person_id = which;
        END IF;
    END IF;
    IF change->>'userName' <> p.email THEN
        PERFORM scim_readdress(t, p, change->>'userName');
    END IF;
    IF (change->>'active')::boolean AND NOT is_active(m) THEN
        IF p.disabled_at IS NOT NULL THEN
            PERFORM refuse(409, 'person_disabled', 'The account of this person is disabled.', 'active');
        END IF;
        PERFORM member_add(t.tenant_id, which, m.roles, m.cohort_id, 'scim');
    ELSIF NOT (change->>'active')::boolean THEN
        PERFORM member_leave(t.tenant_id, which, 'scim');
    END IF;
    PERFORM scim_audit('scim.user_changed', which, change)
        WHERE u IS DISTINCT FROM was OR change->>'userName' <> p.email OR (change->>'active')::boolean <> is_active(m);
    RETURN scim_user_show(base, which);
END $$;

-- The person of an address who may become a user here; NULL: nobody has it. Refuses who is one, or may not be linked.
CREATE FUNCTION scim_user_known(t tenants, address text) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    p people;
    u scim_users;
    m memberships;
BEGIN
    SELECT * INTO p FROM people x WHERE lower(x.email) = lower(address) FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT * INTO u FROM scim_users x WHERE x.tenant_id = t.tenant_id AND x.person_id = p.person_id;
    SELECT * INTO m FROM memberships x WHERE x.tenant_id = t.tenant_id AND x.person_id = p.person_id;
    IF m.person_id IS NOT NULL AND (is_active(m) OR scim_is_user(u, m)) THEN
        PERFORM refuse(409, 'uniqueness', 'There is a user with this userName.', 'userName');
    ELSIF p.disabled_at IS NOT NULL OR (u.deleted_at IS NULL AND (p.email_verified_at IS NULL
                                                                  OR NOT domain_confirmed(t.tenant_id, address))) THEN
        PERFORM refuse(409, 'uniqueness', 'Somebody has an account with this address: invite them, or have an operator confirm the '
                       'domain to be yours.', 'userName');
    END IF;
    RETURN p.person_id;
END $$;

CREATE FUNCTION scim_user_create(base text, new_person uuid, change jsonb) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants := lock_tenant(current_tenant());
    address text := change->>'userName';
    who uuid := scim_user_known(t, address);
    blank scim_users;
    u scim_users;
BEGIN
    PERFORM scim_need_domain(t, address);
    blank := scim_user_with(blank, change);
    IF who IS NULL THEN
        INSERT INTO people (person_id, email, name, email_verified_at)
            VALUES (new_person, address, coalesce(scim_called(blank), split_part(address, '@', 1)),
                    CASE WHEN domain_confirmed(t.tenant_id, address) THEN now() END)
            ON CONFLICT (lower(email)) DO NOTHING RETURNING person_id INTO who;
        IF who IS NULL THEN
            PERFORM refuse(409, 'uniqueness', 'Another account has this address.', 'userName');
        END IF;
    END IF;
    IF (change->>'active')::boolean IS NOT FALSE THEN
        PERFORM member_add(t.tenant_id, who, ARRAY['trainee'], NULL, 'scim');
    ELSE
        -- Known, but not in: it takes no seat and opens nothing until it is made active.
        INSERT INTO memberships AS m (tenant_id, person_id, roles, until) VALUES (t.tenant_id, who, ARRAY['trainee'], now())
            ON CONFLICT (tenant_id, person_id) DO UPDATE SET roles = EXCLUDED.roles, cohort_id = NULL;
    END IF;
    SELECT * INTO u FROM scim_users x WHERE x.tenant_id = t.tenant_id AND x.person_id = who;
    u := scim_user_with(u, change);
    u.default_role := true;
    u.deleted_at := NULL;
    u.created_at := clock_timestamp();
    PERFORM scim_user_keep(u);
    PERFORM scim_audit('scim.user_created', who, change);
    RETURN scim_user_show(base, who);
END $$;

CREATE FUNCTION scim_user_delete(which uuid, if_match text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants := lock_tenant(current_tenant());
    u scim_users := scim_user_of(which, if_match);
    m memberships;
BEGIN
    PERFORM member_leave(t.tenant_id, which, 'scim');
    SELECT * INTO m FROM memberships x WHERE x.tenant_id = t.tenant_id AND x.person_id = which;
    PERFORM scim_groups_touch(t.tenant_id, m.roles, m.cohort_id);
    UPDATE scim_users x SET deleted_at = clock_timestamp(), changed_at = clock_timestamp(), external_id = NULL, given_name = NULL,
                            family_name = NULL, formatted = NULL, display_name = NULL
        WHERE x.tenant_id = u.tenant_id AND x.person_id = u.person_id;
    PERFORM audit(t.tenant_id, NULL, 'scim.user_deleted', which::text);
END $$;

-- Groups ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION scim_group_show(base text, which uuid, with_members boolean) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT scim_group_json(base, g, with_members) FROM scim_groups g WHERE g.tenant_id = current_tenant() AND g.group_id = which);
END $$;

CREATE FUNCTION scim_group_of(which uuid, if_match text) RETURNS scim_groups LANGUAGE plpgsql AS $$
DECLARE
    g scim_groups;
BEGIN
    SELECT * INTO g FROM scim_groups x WHERE x.tenant_id = current_tenant() AND x.group_id = which FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM refuse(404, 'group_not_found', 'There is no such group.');
    END IF;
    PERFORM scim_need_match(if_match, scim_group_json('', g, false));
    RETURN g;
END $$;

-- The role that a group of this name is; NULL: a cohort.
CREATE FUNCTION scim_role_of(name text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT r FROM unnest(ARRAY['trainee', 'educator', 'expert', 'administrator', 'manager']) r WHERE r = lower(trim(name)) $$;

-- Other roles and cohort of a member. Who is not in keeps them for the return.
CREATE FUNCTION scim_member_change(m memberships, new_roles text[], cohort uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF is_active(m) THEN
        PERFORM member_change(m.tenant_id, m.person_id, new_roles, cohort, true, NULL);
    ELSE
        UPDATE memberships x SET roles = roles_normal(new_roles), cohort_id = cohort
            WHERE x.tenant_id = m.tenant_id AND x.person_id = m.person_id;
        PERFORM audit(m.tenant_id, NULL, 'member.changed', m.person_id::text,
                      jsonb_build_object('roles', new_roles, 'cohort', cohort, 'break_glass', m.break_glass));
    END IF;
END $$;

-- Puts a user into a group, or takes one out. A member has a role always: trainee, when no group gives one.
CREATE FUNCTION scim_member_set(g scim_groups, who uuid, inside boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    u scim_users;
    m memberships;
    wanted text[];
    by_default boolean;
BEGIN
    SELECT * INTO u FROM scim_users x WHERE x.tenant_id = g.tenant_id AND x.person_id = who;
    SELECT * INTO m FROM memberships x WHERE x.tenant_id = g.tenant_id AND x.person_id = who;
    IF m.person_id IS NULL OR NOT scim_is_user(u, m) THEN
        IF inside THEN
            PERFORM refuse(422, 'no_such_member', 'A member is none of the users here.', 'members');
        END IF;
        RETURN;
    ELSIF g.cohort_id IS NOT NULL THEN
        IF (m.cohort_id = g.cohort_id) IS NOT TRUE AND inside THEN
            PERFORM scim_member_change(m, m.roles, g.cohort_id);
        ELSIF m.cohort_id = g.cohort_id AND NOT inside THEN
            PERFORM scim_member_change(m, m.roles, NULL);
        END IF;
        RETURN;
    END IF;
    u.default_role := u.default_role AND m.roles = ARRAY['trainee']; -- an administrator may have said otherwise since
    wanted := CASE WHEN NOT inside THEN array_remove(m.roles, g.role) WHEN u.default_role THEN ARRAY[g.role]
                   ELSE array_remove(m.roles, g.role) || g.role END;
    by_default := cardinality(wanted) = 0 OR (NOT inside AND u.default_role);
    wanted := CASE WHEN cardinality(wanted) = 0 THEN ARRAY['trainee'] ELSE wanted END;
    IF NOT (wanted <@ m.roles AND m.roles <@ wanted) THEN
        PERFORM scim_member_change(m, wanted, m.cohort_id);
    END IF;
    UPDATE scim_users x SET default_role = by_default
        WHERE x.tenant_id = u.tenant_id AND x.person_id = who AND x.default_role <> by_default;
END $$;

-- {"op": "add", "remove" or "replace", "ids": [...]}. Who comes, comes before others go: a last administrator is handed over.
CREATE FUNCTION scim_members_apply(g scim_groups, step jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    ids uuid[] := ARRAY(SELECT DISTINCT x::uuid FROM jsonb_array_elements_text(step->'ids') x ORDER BY 1);
BEGIN
    PERFORM scim_member_set(g, x, step->>'op' <> 'remove') FROM unnest(ids) x;
    IF step->>'op' = 'replace' THEN
        PERFORM scim_member_set(g, m.person_id, false) FROM memberships m
            WHERE m.tenant_id = g.tenant_id AND (g.role = ANY (m.roles) OR m.cohort_id = g.cohort_id) AND NOT m.person_id = ANY (ids);
    END IF;
END $$;

-- `change`: displayName, externalId (null: none), members: steps of scim_members_apply, in order.
CREATE FUNCTION scim_group_create(base text, made uuid, change jsonb) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants := lock_tenant(current_tenant());
    called text := change->>'displayName';
    g scim_groups;
    cohort uuid;
BEGIN
    IF scim_role_of(called) IS NULL THEN
        SELECT c.cohort_id INTO cohort FROM cohorts c WHERE c.tenant_id = t.tenant_id AND lower(c.name) = lower(called);
        IF NOT FOUND THEN
            INSERT INTO cohorts (tenant_id, cohort_id, name) VALUES (t.tenant_id, made, called) RETURNING cohort_id INTO cohort;
            PERFORM audit(t.tenant_id, NULL, 'cohort.created', made::text, jsonb_build_object('name', called));
        END IF;
    END IF;
    INSERT INTO scim_groups (tenant_id, group_id, role, cohort_id, display_name, external_id)
        VALUES (t.tenant_id, made, scim_role_of(called), cohort, called, change->>'externalId')
        ON CONFLICT DO NOTHING RETURNING * INTO g;
    IF g.group_id IS NULL THEN
        PERFORM refuse(409, 'uniqueness', 'There is a group with this displayName.', 'displayName');
    END IF;
    PERFORM scim_audit('scim.group_created', made, change);
    PERFORM scim_members_apply(g, s) FROM jsonb_array_elements(change->'members') s;
    RETURN scim_group_show(base, made, true);
END $$;

CREATE FUNCTION scim_group_rename(g scim_groups, name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF scim_role_of(name) IS DISTINCT FROM g.role THEN
        PERFORM refuse(422, 'mutability', 'A group is a role by its name, and stays what it is: make another group.', 'displayName');
    END IF;
    UPDATE scim_groups x SET display_name = name WHERE x.tenant_id = g.tenant_id AND x.group_id = g.group_id;
    UPDATE cohorts c SET name = scim_group_rename.name WHERE c.tenant_id = g.tenant_id AND c.cohort_id = g.cohort_id;
EXCEPTION
    WHEN unique_violation THEN
        PERFORM refuse(409, 'uniqueness', 'Another cohort has this name.', 'displayName');
END $$;

CREATE FUNCTION scim_group_change(base text, which uuid, if_match text, change jsonb, with_members boolean) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants := lock_tenant(current_tenant());
    g scim_groups := scim_group_of(which, if_match);
    named boolean := change->>'displayName' <> scim_group_name(g);
    known_as boolean := change ? 'externalId' AND change->>'externalId' IS DISTINCT FROM g.external_id;
BEGIN
    IF named THEN
        PERFORM scim_group_rename(g, change->>'displayName');
    END IF;
    UPDATE scim_groups x SET changed_at = clock_timestamp(),
                             external_id = CASE WHEN known_as THEN change->>'externalId' ELSE x.external_id END
        WHERE x.tenant_id = t.tenant_id AND x.group_id = which AND (named OR known_as);
    PERFORM scim_members_apply(g, s) FROM jsonb_array_elements(change->'members') s;
    PERFORM scim_audit('scim.group_changed', which, change)
        WHERE g IS DISTINCT FROM (SELECT x FROM scim_groups x WHERE x.tenant_id = t.tenant_id AND x.group_id = which);
    RETURN scim_group_show(base, which, with_members);
END $$;

-- Takes a role from its members, or dissolves the cohort; members stay members.
CREATE FUNCTION scim_group_delete(which uuid, if_match text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants := lock_tenant(current_tenant());
    g scim_groups := scim_group_of(which, if_match);
BEGIN
    IF g.role IS NOT NULL THEN
        PERFORM scim_members_apply(g, '{"op": "replace", "ids": []}');
        DELETE FROM scim_groups x WHERE x.tenant_id = t.tenant_id AND x.group_id = which;
    ELSE
        DELETE FROM cohorts c WHERE c.tenant_id = t.tenant_id AND c.cohort_id = g.cohort_id; -- and the group with it
        PERFORM audit(t.tenant_id, NULL, 'cohort.deleted', g.cohort_id::text, jsonb_build_object('name', g.display_name));
    END IF;
    PERFORM audit(t.tenant_id, NULL, 'scim.group_deleted', which::text);
END $$;

GRANT EXECUTE ON FUNCTION scim_user_page, scim_user_show, scim_user_create, scim_user_change, scim_user_delete, scim_group_page,
    scim_group_show, scim_group_create, scim_group_change, scim_group_delete TO overread_app;
