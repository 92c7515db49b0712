-- Disabling people; a join link that tells nothing by its time, and takes nobody back; invitations whose roles are changed are on
-- the record; the record without what providers call people; tokens of who has no second factor where one is required.

-- By an operator: nobody signs in as this person, by any way; what is open ends. False takes it back: people sign in anew. False
-- is returned when nobody has the address.
CREATE FUNCTION person_disable(address text, disabled boolean) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    who uuid;
BEGIN
    UPDATE people p SET disabled_at = CASE WHEN disabled THEN coalesce(p.disabled_at, now()) END
        WHERE lower(p.email) = lower(address) AND p.email <> erased_email(p.person_id) RETURNING p.person_id INTO who;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF disabled THEN
        PERFORM FROM passwords w WHERE w.person_id = who FOR UPDATE; -- a sign-in that is under way ends before, or is refused
        PERFORM sessions_end(who, NULL, 'person.disabled');
        PERFORM api_tokens_end(who, 'person.disabled');
        UPDATE tickets SET used_at = now() WHERE person_id = who AND kind IN ('password_reset', 'email') AND used_at IS NULL;
    END IF;
    PERFORM audit(m.tenant_id, NULL, CASE WHEN disabled THEN 'person.disabled' ELSE 'person.enabled' END, who::text)
        FROM memberships m WHERE m.person_id = who AND is_active(m);
    RETURN true;
END $$;

-- As in 0009, but a member's address costs the same work: a ticket that is void at once. And who was a member before is invited,
-- or stays out: an administrator who takes somebody out must not find them back by a link that still hangs somewhere.
CREATE OR REPLACE FUNCTION join_request(token_sha256 text, address text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    l join_links;
    t tenants;
    made uuid;
    was_member boolean;
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
    was_member := EXISTS (SELECT FROM people p JOIN memberships m USING (person_id)
                          WHERE lower(p.email) = lower(address) AND m.tenant_id = t.tenant_id);
    made := ticket_open('join', 'join', t.tenant_id, NULL, address, '1 day', jsonb_build_object('tenant', mail_words(t.name)),
                        jsonb_build_object('link', l.link_id, 'roles', l.roles, 'cohort', l.cohort_id));
    UPDATE tickets SET used_at = CASE WHEN was_member THEN now() END WHERE ticket_id = made;
END $$;

-- As in 0009, and: who gives an open invitation other roles is on the record, whether a mail goes out or not.
CREATE OR REPLACE FUNCTION invite(rows jsonb) RETURNS json
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
    changed boolean;
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
                changed := k.detail->'roles' IS DISTINCT FROM to_jsonb(wanted) OR k.detail->>'cohort' IS DISTINCT FROM cohort::text;
                sent := coalesce((k.detail->>'sent_at')::timestamptz < now() - interval '5 minutes', true) OR NOT ticket_is_open(k);
                UPDATE tickets x SET detail = x.detail || jsonb_build_object('roles', wanted, 'cohort', cohort,
                        'name', coalesce(nullif(r.name, ''), x.detail->>'name'), 'invited_by', current_person())
                    WHERE x.ticket_id = k.ticket_id RETURNING * INTO k;
                IF sent THEN
                    PERFORM invitation_send(t, k);
                END IF;
                IF sent OR changed THEN
                    PERFORM audit(t.tenant_id, current_person(), CASE WHEN sent THEN 'invitation.sent' ELSE 'invitation.changed' END,
                                  k.ticket_id::text, jsonb_build_object('roles', wanted, 'cohort', cohort));
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

-- Where a second factor is required from now on, programs of who has none and comes by a password do not go on without.
CREATE FUNCTION api_tokens_follow_second_factor() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    ended int;
BEGIN
    WITH gone AS (
        UPDATE api_tokens x SET revoked_at = now()
        WHERE x.tenant_id = NEW.tenant_id AND x.person_id IS NOT NULL AND x.revoked_at IS NULL AND x.expires_at > now()
          AND cardinality(second_factors(x.person_id)) = 0
          AND NOT EXISTS (SELECT FROM sso_identities i WHERE i.tenant_id = x.tenant_id AND i.person_id = x.person_id)
        RETURNING x.token_id)
    SELECT count(audit(NEW.tenant_id, current_person(), 'token.revoked', g.token_id::text, '{"reason": "second_factor_required"}'))
        INTO ended FROM gone g;
    RETURN NULL;
END $$;
CREATE TRIGGER api_tokens_follow_second_factor AFTER UPDATE OF second_factor ON tenants FOR EACH ROW
    WHEN (NEW.second_factor = 'required' AND OLD.second_factor <> 'required') EXECUTE FUNCTION api_tokens_follow_second_factor();

-- What a provider calls somebody may be a name or an address, and the record is for ever: it keeps a digest, by which an
-- administrator who knows the provider's word finds the entry.
CREATE FUNCTION sso_sub_digest(issuer text, sub text) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT left(encode(sha256(convert_to(issuer || ' ' || sub, 'UTF8')), 'hex'), 32) $$;

-- As in 0011, but for the record.
CREATE OR REPLACE FUNCTION sso_person(s single_sign_on, of_sub text, address text, address_verified boolean, called text, new_person uuid,
                           roles text[], OUT person uuid, OUT why text) LANGUAGE plpgsql AS $$
DECLARE
    t tenants;
    p people;
BEGIN
    SELECT i.person_id INTO person FROM sso_identities i WHERE (i.tenant_id, i.issuer, i.sub) = (s.tenant_id, s.issuer, of_sub);
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT * INTO t FROM tenants x WHERE x.tenant_id = s.tenant_id;
    IF address IS NULL OR NOT coalesce(address_verified, false) THEN
        why := 'address_missing';
        RETURN;
    END IF;
    SELECT * INTO p FROM people x WHERE lower(x.email) = lower(address);
    IF NOT FOUND THEN
        IF NOT s.just_in_time THEN
            why := 'not_a_member';
        ELSIF NOT domain_allowed(t, address)
              OR (cardinality(s.email_domains) > 0 AND NOT lower(split_part(address, '@', 2)) = ANY (s.email_domains)) THEN
            why := 'domain_not_allowed';
        ELSIF cardinality(roles) = 0 THEN
            why := 'no_role';
        END IF;
        IF why IS NOT NULL THEN
            RETURN;
        END IF;
        INSERT INTO people (person_id, email, name, email_verified_at)
            VALUES (new_person, address, called, CASE WHEN domain_confirmed(s.tenant_id, address) THEN now() END)
            ON CONFLICT (lower(email)) DO NOTHING RETURNING person_id INTO person;
        IF person IS NULL THEN
            why := 'address_taken';
            RETURN;
        END IF;
        PERFORM member_add(s.tenant_id, person, roles, NULL, 'single_sign_on');
    ELSIF p.email_verified_at IS NOT NULL AND p.disabled_at IS NULL AND domain_confirmed(s.tenant_id, address)
          AND EXISTS (SELECT FROM memberships m WHERE m.tenant_id = s.tenant_id AND m.person_id = p.person_id AND is_active(m)
                                                  AND NOT 'support' = ANY (m.roles)) THEN
        person := p.person_id;
    ELSE
        why := 'address_taken';
        RETURN;
    END IF;
    INSERT INTO sso_identities (tenant_id, issuer, sub, person_id) VALUES (s.tenant_id, s.issuer, of_sub, person);
    PERFORM audit(s.tenant_id, person, 'single_sign_on.linked', person::text,
                  jsonb_build_object('issuer', s.issuer, 'sub_digest', sso_sub_digest(s.issuer, of_sub)));
END $$;

-- As in 0011, but for the record.
CREATE OR REPLACE FUNCTION sso_sign_in(wanted_slug text, of_issuer text, of_client text, of_sub text, sid text, address text,
                            address_verified boolean, called text, groups jsonb, new_person uuid, session uuid,
                            token_sha256 text, client_name text) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants;
    s single_sign_on;
    roles text[];
    found_person record;
    why text;
    opened json;
BEGIN
    SELECT * INTO t FROM tenants x WHERE x.slug = wanted_slug;
    t := lock_tenant(t.tenant_id);
    SELECT * INTO s FROM single_sign_on x WHERE x.tenant_id = t.tenant_id FOR UPDATE;
    IF s.issuer IS DISTINCT FROM of_issuer OR s.client_id IS DISTINCT FROM of_client THEN
        RETURN json_build_object('refused', 'settings_changed');
    ELSIF t.suspended_at IS NOT NULL THEN
        RETURN json_build_object('refused', 'tenant_suspended');
    END IF;
    roles := sso_roles(s, groups);
    found_person := sso_person(s, of_sub, address, address_verified, called, new_person, roles);
    why := found_person.why;
    IF why IS NULL AND EXISTS (SELECT FROM people p WHERE p.person_id = found_person.person AND p.disabled_at IS NOT NULL) THEN
        why := 'not_a_member';
    END IF;
    IF why IS NULL THEN
        why := sso_follow_groups(s, of_sub, found_person.person, roles);
    END IF;
    IF why IS NOT NULL THEN
        PERFORM audit(t.tenant_id, found_person.person, 'single_sign_on.refused', coalesce(found_person.person::text, ''),
                      jsonb_build_object('why', why, 'issuer', s.issuer, 'sub_digest', sso_sub_digest(s.issuer, of_sub)));
        RETURN json_build_object('refused', why);
    END IF;
    PERFORM set_config('overread.single_sign_on', t.tenant_id::text, true);
    opened := session_open(found_person.person, t.slug, session, token_sha256, client_name, ARRAY['single_sign_on']);
    PERFORM set_config('overread.single_sign_on', '', true);
    UPDATE sessions x SET sso_issuer = s.issuer, sso_sid = sid WHERE x.tenant_id = t.tenant_id AND x.session_id = session;
    UPDATE sso_identities x SET last_used_at = now(), left_by_groups = false
        WHERE (x.tenant_id, x.issuer, x.sub) = (s.tenant_id, s.issuer, of_sub);
    UPDATE single_sign_on x SET proven_at = now() WHERE x.tenant_id = t.tenant_id AND x.proven_at IS NULL;
    RETURN json_build_object('session', opened);
END $$;
