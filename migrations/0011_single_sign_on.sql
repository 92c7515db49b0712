-- Single sign-on: a tenant's OpenID provider recognises its people. The provider is the tenant's, and so is its word: what it
-- says counts in that tenant and nowhere else.
--
-- * A session that a provider opened is good in its own tenant only (sessions_stay_in_tenant), and it cannot change what the
--   person signs in with elsewhere: passwords, second factors, the address (own_credentials).
-- * A person is known by (issuer, sub) within a tenant, never by the address. An unknown one becomes a new person, under an
--   address that nobody has. An existing person is linked only when both hold: an operator has confirmed that the tenant owns
--   the address's domain (who owns that controls the mailbox, and so the account anyway), and the person is a member of the
--   tenant with a verified address.
-- * Under any other domain the provider's word proves no mailbox: the new person's address stays unverified, and who proves it
--   later is rid of the link (people_prove_address). Nobody can wait in an account for its owner.

CREATE TABLE single_sign_on (
    tenant_id     uuid PRIMARY KEY REFERENCES tenants,
    issuer        text NOT NULL CHECK (length(issuer) BETWEEN 8 AND 500),
    client_id     text NOT NULL CHECK (length(client_id) BETWEEN 1 AND 255),
    client_secret text NOT NULL,               -- sealed by identity/vault
    just_in_time  boolean NOT NULL,            -- who is unknown becomes a member
    role_claim    text CHECK (length(role_claim) BETWEEN 1 AND 200),   -- NULL: roles are kept by administrators
    role_map      jsonb NOT NULL DEFAULT '{}', -- {"group": ["trainee"]}
    default_roles text[] NOT NULL DEFAULT '{}',
    leave_without_role boolean NOT NULL,       -- whose groups give no role is no longer a member; else only refused
    email_domains text[] NOT NULL DEFAULT '{}',
    discovery     jsonb NOT NULL,
    discovered_at timestamptz NOT NULL,
    keys          jsonb NOT NULL,
    keys_at       timestamptz NOT NULL,
    keys_tried_at timestamptz NOT NULL,
    proven_at     timestamptz,                 -- somebody has signed in by these settings
    changed_at    timestamptz NOT NULL DEFAULT now(),
    CHECK (default_roles <@ ARRAY['trainee', 'educator', 'expert', 'administrator', 'manager'])
);

-- Whose domains an operator has confirmed to be the tenant's own.
CREATE TABLE confirmed_domains (
    tenant_id    uuid NOT NULL REFERENCES tenants,
    domain       text NOT NULL CHECK (domain = lower(domain) AND length(domain) BETWEEN 3 AND 253),
    confirmed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, domain)
);

CREATE TABLE sso_identities (
    tenant_id    uuid NOT NULL REFERENCES tenants,
    issuer       text NOT NULL,
    sub          text NOT NULL CHECK (length(sub) BETWEEN 1 AND 255),
    person_id    uuid NOT NULL,
    linked_at    timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    left_by_groups boolean NOT NULL DEFAULT false, -- the groups took the membership: they may give it again
    PRIMARY KEY (tenant_id, issuer, sub),
    FOREIGN KEY (tenant_id, person_id) REFERENCES memberships
);
CREATE INDEX sso_identities_person ON sso_identities (person_id);

-- A sign-in that has begun: good once, for ten minutes, in the browser that began it.
CREATE TABLE sso_flows (
    tenant_id    uuid NOT NULL REFERENCES tenants,
    state_hash   bytea NOT NULL CHECK (octet_length(state_hash) = 32),
    browser_hash bytea NOT NULL CHECK (octet_length(browser_hash) = 32),
    issuer       text NOT NULL,
    client_id    text NOT NULL,
    nonce        text NOT NULL,
    verifier     text NOT NULL,
    return_to    text NOT NULL CHECK (length(return_to) <= 500),
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, state_hash)
);
CREATE INDEX sso_flows_state ON sso_flows (state_hash); -- random: whose it is, is not known before
CREATE INDEX sso_flows_age ON sso_flows (expires_at);

-- Logout tokens that were taken: none counts twice.
CREATE TABLE sso_logouts (
    tenant_id  uuid NOT NULL REFERENCES tenants,
    jti_hash   bytea NOT NULL CHECK (octet_length(jti_hash) = 32),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, jti_hash)
);

SELECT guard_table(t) FROM unnest(ARRAY['single_sign_on', 'confirmed_domains', 'sso_identities', 'sso_flows',
                                        'sso_logouts']::regclass[]) t; -- reached by no policy; only through functions

-- What a provider's word is good for -----------------------------------------------------------------------------------

ALTER TABLE sessions
    ADD COLUMN sso_issuer text,               -- who opened it, and under which name the provider ends it
    ADD COLUMN sso_sid    text;
CREATE INDEX sessions_sso ON sessions (tenant_id, sso_issuer, sso_sid) WHERE sso_issuer IS NOT NULL AND ended_at IS NULL;

-- Only sso_sign_in says for which tenant; a session that is switched or opened otherwise has no such word behind it.
CREATE FUNCTION sessions_stay_in_tenant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nullif(current_setting('overread.single_sign_on', true), '') IS DISTINCT FROM NEW.tenant_id::text THEN
        PERFORM refuse(403, 'sign_in_there', 'You came in through the sign-on service of another tenant: sign in to this one itself.',
                       '/tenant');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER sessions_stay_in_tenant BEFORE INSERT ON sessions FOR EACH ROW WHEN ('single_sign_on' = ANY (NEW.methods))
    EXECUTE FUNCTION sessions_stay_in_tenant();

CREATE FUNCTION own_credentials() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM sessions s WHERE s.tenant_id = current_tenant() AND s.session_id = current_session_id()
                                        AND 'single_sign_on' = ANY (s.methods)) THEN
        PERFORM refuse(403, 'own_sign_in_required',
                       'Your tenant''s sign-on service opened this session: for this, sign in with a password of your own.');
    END IF;
    RETURN coalesce(NEW, OLD);
END $$;
CREATE TRIGGER own_credentials BEFORE INSERT OR UPDATE OR DELETE ON passwords FOR EACH ROW EXECUTE FUNCTION own_credentials();
CREATE TRIGGER own_credentials BEFORE INSERT OR UPDATE OR DELETE ON totp FOR EACH ROW EXECUTE FUNCTION own_credentials();
CREATE TRIGGER own_credentials BEFORE INSERT OR UPDATE OR DELETE ON recovery_codes FOR EACH ROW EXECUTE FUNCTION own_credentials();
CREATE TRIGGER own_credentials BEFORE INSERT OR DELETE ON passkeys FOR EACH ROW EXECUTE FUNCTION own_credentials();
CREATE TRIGGER own_credentials BEFORE INSERT ON tickets FOR EACH ROW WHEN (NEW.kind = 'email') EXECUTE FUNCTION own_credentials();
CREATE TRIGGER own_credentials BEFORE UPDATE OF email ON people FOR EACH ROW EXECUTE FUNCTION own_credentials();

CREATE FUNCTION domain_confirmed(tenant uuid, address text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM confirmed_domains d WHERE d.tenant_id = tenant AND d.domain = lower(split_part(address, '@', 2))) $$;

CREATE FUNCTION people_prove_address() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM sessions_end(NEW.person_id, NULL, 'address_proven')
        WHERE EXISTS (SELECT FROM sso_identities i WHERE i.person_id = NEW.person_id);
    DELETE FROM sso_identities i WHERE i.person_id = NEW.person_id AND NOT domain_confirmed(i.tenant_id, NEW.email);
    RETURN NULL;
END $$;
CREATE TRIGGER people_prove_address AFTER UPDATE OF email_verified_at ON people FOR EACH ROW
    WHEN (OLD.email_verified_at IS NULL AND NEW.email_verified_at IS NOT NULL) EXECUTE FUNCTION people_prove_address();

-- By an operator. False takes it back; links that were made stay.
CREATE FUNCTION domain_confirm(slug text, wanted text, confirmed boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    tenant uuid;
BEGIN
    SELECT t.tenant_id INTO tenant FROM tenants t WHERE t.slug = domain_confirm.slug AND t.kind = 'organisation';
    IF NOT FOUND THEN
        PERFORM refuse(404, 'tenant_not_found', 'There is no organisation with the slug ' || slug || '.', 'tenant');
    ELSIF wanted !~ '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$' THEN
        PERFORM refuse(422, 'bad_domain', 'A domain is what stands behind the @: example.org. Other letters as xn--.', 'domain');
    END IF;
    IF confirmed THEN
        INSERT INTO confirmed_domains (tenant_id, domain) VALUES (tenant, wanted) ON CONFLICT DO NOTHING;
    ELSE
        DELETE FROM confirmed_domains d WHERE d.tenant_id = tenant AND d.domain = wanted;
    END IF;
    IF FOUND THEN
        PERFORM audit(tenant, NULL, CASE WHEN confirmed THEN 'domain.confirmed' ELSE 'domain.unconfirmed' END, wanted);
    END IF;
END $$;

-- The settings ---------------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION single_sign_on_works(tenant uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM single_sign_on s WHERE s.tenant_id = tenant AND s.proven_at IS NOT NULL) $$;

CREATE FUNCTION sso_json() RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT json_build_object('issuer', issuer, 'client_id', client_id, 'just_in_time', just_in_time,
                'role_claim', role_claim, 'role_map', role_map, 'default_roles', to_json(default_roles),
                'leave_without_role', leave_without_role, 'email_domains', to_json(email_domains),
                'confirmed_domains', (SELECT coalesce(json_agg(d.domain ORDER BY d.domain), '[]'::json)
                                      FROM confirmed_domains d WHERE d.tenant_id = s.tenant_id),
                'proven_at', proven_at, 'changed_at', changed_at)
            FROM single_sign_on s WHERE tenant_id = current_tenant());
END $$;

-- May the asker change them? Before the provider is asked. The sealed secret of the present settings comes back when they are
-- for the same provider and client: it is never sent to another one.
CREATE FUNCTION sso_change_begin(new_issuer text, new_client text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM need_recent_session();
    IF NOT EXISTS (SELECT FROM tenants t WHERE t.tenant_id = current_tenant() AND t.kind = 'organisation') THEN
        PERFORM refuse(409, 'not_an_organisation', 'Only an organisation has a sign-on service of its own.');
    END IF;
    RETURN (SELECT s.client_secret FROM single_sign_on s
            WHERE s.tenant_id = current_tenant() AND s.issuer = new_issuer AND s.client_id = new_client);
END $$;

CREATE FUNCTION sso_need_passwords(tenant uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    t tenants := lock_tenant(tenant);
BEGIN
    IF NOT t.password_sign_in THEN
        PERFORM refuse(409, 'passwords_are_off', 'Let members sign in with passwords first: else nobody could, if this failed.');
    END IF;
END $$;

-- `s`: members of sso_json, and "secret" (sealed), checked by the caller for their types and bounds.
CREATE FUNCTION sso_put(s jsonb, new_discovery jsonb, new_keys jsonb) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    was single_sign_on;
    same boolean;
    roles text[];
BEGIN
    PERFORM need_recent_session();
    PERFORM lock_tenant(current_tenant());
    SELECT * INTO was FROM single_sign_on x WHERE x.tenant_id = current_tenant();
    same := coalesce(was.issuer = s->>'issuer' AND was.client_id = s->>'client_id', false);
    IF was.tenant_id IS NOT NULL AND NOT same THEN
        PERFORM sso_need_passwords(current_tenant());
    END IF;
    roles := ARRAY(SELECT jsonb_array_elements_text(s->'default_roles'));
    INSERT INTO single_sign_on AS x (tenant_id, issuer, client_id, client_secret, just_in_time, role_claim, role_map, default_roles,
                                     leave_without_role, email_domains, discovery, discovered_at, keys, keys_at, keys_tried_at)
        VALUES (current_tenant(), s->>'issuer', s->>'client_id', s->>'secret', (s->>'just_in_time')::boolean, s->>'role_claim',
                s->'role_map', CASE WHEN cardinality(roles) > 0 THEN roles_normal(roles) ELSE '{}' END,
                (s->>'leave_without_role')::boolean, ARRAY(SELECT DISTINCT lower(d) FROM jsonb_array_elements_text(s->'email_domains') d ORDER BY 1),
                new_discovery, now(), new_keys, now(), '-infinity')
        ON CONFLICT (tenant_id) DO UPDATE SET
            issuer = EXCLUDED.issuer, client_id = EXCLUDED.client_id, client_secret = EXCLUDED.client_secret,
            just_in_time = EXCLUDED.just_in_time, role_claim = EXCLUDED.role_claim, role_map = EXCLUDED.role_map,
            default_roles = EXCLUDED.default_roles, leave_without_role = EXCLUDED.leave_without_role,
            email_domains = EXCLUDED.email_domains, discovery = EXCLUDED.discovery, discovered_at = EXCLUDED.discovered_at,
            keys = EXCLUDED.keys, keys_at = EXCLUDED.keys_at, changed_at = now(),
            proven_at = CASE WHEN same THEN x.proven_at END;
    PERFORM audit(current_tenant(), current_person(), 'single_sign_on.changed', s->>'issuer', s - 'secret');
    RETURN sso_json();
END $$;

CREATE FUNCTION sso_delete() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    gone text;
BEGIN
    PERFORM need_recent_session();
    PERFORM sso_need_passwords(current_tenant()) WHERE EXISTS (SELECT FROM single_sign_on s WHERE s.tenant_id = current_tenant());
    DELETE FROM single_sign_on s WHERE s.tenant_id = current_tenant() RETURNING s.issuer INTO gone;
    IF gone IS NULL THEN
        PERFORM refuse(404, 'single_sign_on_not_set', 'This tenant has no single sign-on.');
    END IF;
    PERFORM audit(current_tenant(), current_person(), 'single_sign_on.removed', gone);
END $$;

-- What the server knows of a provider -------------------------------------------------------------------------------------

CREATE FUNCTION sso_provider(wanted_slug text)
RETURNS TABLE (tenant uuid, slug text, issuer text, client_id text, secret text, role_claim text, discovery text,
               discovery_old boolean, keys text, keys_old boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT s.tenant_id, t.slug, s.issuer, s.client_id, s.client_secret, s.role_claim, s.discovery::text,
           s.discovered_at < now() - interval '1 hour', s.keys::text, s.keys_at < now() - interval '1 hour'
    FROM single_sign_on s JOIN tenants t USING (tenant_id) WHERE t.slug = wanted_slug AND t.suspended_at IS NULL $$;

CREATE FUNCTION sso_discovered(of_tenant uuid, of_issuer text, document jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE single_sign_on SET discovery = document, discovered_at = now() WHERE tenant_id = of_tenant AND issuer = of_issuer $$;

-- May the keys be fetched? At most once a minute, all nodes together: tokens of unknown keys must not make us a hammer.
CREATE FUNCTION sso_keys_claim(of_tenant uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE single_sign_on SET keys_tried_at = now() WHERE tenant_id = of_tenant AND keys_tried_at < now() - interval '1 minute';
    RETURN FOUND;
END $$;

CREATE FUNCTION sso_keys_put(of_tenant uuid, of_issuer text, document jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE single_sign_on SET keys = document, keys_at = now() WHERE tenant_id = of_tenant AND issuer = of_issuer $$;

-- A sign-in ----------------------------------------------------------------------------------------------------------------

CREATE FUNCTION sso_begin(tenant uuid, state_sha256 text, browser_sha256 text, of_issuer text, of_client text, nonce text,
                          verifier text, return_to text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM sso_flows f WHERE (f.tenant_id, f.state_hash) IN (SELECT o.tenant_id, o.state_hash FROM sso_flows o WHERE o.expires_at < now()
                                                                  ORDER BY o.expires_at LIMIT 20 FOR UPDATE SKIP LOCKED);
    INSERT INTO sso_flows VALUES (tenant, decode(state_sha256, 'hex'), decode(browser_sha256, 'hex'), of_issuer, of_client, nonce,
                                  verifier, return_to, now() + interval '10 minutes');
END $$;

-- Uses the flow up, whoever shows its state: of another browser no row comes back.
CREATE FUNCTION sso_take(state_sha256 text, browser_sha256 text)
RETURNS TABLE (slug text, issuer text, client_id text, nonce text, verifier text, return_to text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    f sso_flows;
BEGIN
    DELETE FROM sso_flows x WHERE x.state_hash = decode(state_sha256, 'hex') RETURNING * INTO f;
    IF f.expires_at > now() AND f.browser_hash = decode(browser_sha256, 'hex') THEN
        RETURN QUERY SELECT t.slug, f.issuer, f.client_id, f.nonce, f.verifier, f.return_to FROM tenants t
                     WHERE t.tenant_id = f.tenant_id;
    END IF;
END $$;

CREATE FUNCTION sso_roles(s single_sign_on, groups jsonb) RETURNS text[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    roles text[];
BEGIN
    IF s.role_claim IS NOT NULL THEN
        roles := ARRAY(SELECT DISTINCT r FROM jsonb_array_elements_text(groups) g,
                                              jsonb_array_elements_text(coalesce(s.role_map->g, '[]')) r);
    END IF;
    IF roles IS NULL OR cardinality(roles) = 0 THEN
        roles := s.default_roles;
    END IF;
    RETURN CASE WHEN cardinality(roles) > 0 THEN roles_normal(roles) ELSE '{}' END;
END $$;

-- Who is it? The linked person, one who may be linked, or a new one; NULL and `why` when nobody.
CREATE FUNCTION sso_person(s single_sign_on, of_sub text, address text, address_verified boolean, called text, new_person uuid,
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
    PERFORM audit(s.tenant_id, person, 'single_sign_on.linked', person::text, jsonb_build_object('issuer', s.issuer, 'sub', of_sub));
END $$;

-- Roles follow the groups, but for who may break glass. NULL: comes in; else why not.
CREATE FUNCTION sso_follow_groups(s single_sign_on, of_sub text, person uuid, roles text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    m memberships;
    i sso_identities;
BEGIN
    SELECT * INTO m FROM memberships x WHERE x.tenant_id = s.tenant_id AND x.person_id = person;
    SELECT * INTO i FROM sso_identities x WHERE (x.tenant_id, x.issuer, x.sub) = (s.tenant_id, s.issuer, of_sub);
    IF 'support' = ANY (m.roles) THEN
        RETURN 'not_a_member';
    ELSIF m.break_glass AND is_active(m) THEN
        RETURN NULL;
    ELSIF NOT is_active(m) THEN
        -- Who was taken out by an administrator stays out; whom the groups took out, the groups may bring back.
        IF NOT (i.left_by_groups AND s.just_in_time) THEN
            RETURN 'not_a_member';
        ELSIF cardinality(roles) = 0 THEN
            RETURN 'no_role';
        END IF;
        PERFORM member_add(s.tenant_id, person, roles, m.cohort_id, 'single_sign_on');
    ELSIF s.role_claim IS NULL THEN
        RETURN NULL;
    ELSIF cardinality(roles) = 0 THEN
        IF s.leave_without_role THEN
            PERFORM member_leave(s.tenant_id, person, 'single_sign_on');
            UPDATE sso_identities x SET left_by_groups = true
                WHERE (x.tenant_id, x.issuer, x.sub) = (s.tenant_id, s.issuer, of_sub);
        END IF;
        RETURN 'no_role';
    ELSIF roles <> m.roles THEN
        PERFORM member_change(s.tenant_id, person, roles, NULL, false, NULL);
    END IF;
    RETURN NULL;
END $$;

-- The provider has recognised somebody: {"session": ...}, or {"refused": why}, which is kept on the record. groups: a JSON list.
CREATE FUNCTION sso_sign_in(wanted_slug text, of_issuer text, of_client text, of_sub text, sid text, address text,
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
                      jsonb_build_object('why', why, 'issuer', s.issuer, 'sub', of_sub));
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

-- The provider says that somebody has signed out there: by session (sid), by person (sub), or both. How many ended; NULL: this
-- token was taken before.
CREATE FUNCTION sso_logout(tenant uuid, of_issuer text, of_sub text, sid text, jti_sha256 text) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    ended int;
BEGIN
    DELETE FROM sso_logouts l WHERE l.tenant_id = tenant AND l.expires_at < now();
    INSERT INTO sso_logouts VALUES (tenant, decode(jti_sha256, 'hex'), now() + interval '1 day') ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    WITH gone AS (
        UPDATE sessions s SET ended_at = now()
        WHERE s.tenant_id = tenant AND s.sso_issuer = of_issuer AND s.ended_at IS NULL AND (sid IS NULL OR s.sso_sid = sid)
          AND (of_sub IS NULL OR EXISTS (SELECT FROM sso_identities i WHERE (i.tenant_id, i.issuer, i.sub) = (tenant, of_issuer, of_sub)
                                                                        AND i.person_id = s.person_id))
        RETURNING s.person_id, s.session_id)
    SELECT count(audit(tenant, g.person_id, 'session.ended', g.session_id::text, '{"reason": "single_sign_on_logout"}'))
        INTO ended FROM gone g;
    RETURN ended;
END $$;

GRANT EXECUTE ON FUNCTION sso_json, sso_change_begin, sso_put, sso_delete, sso_provider, sso_discovered, sso_keys_claim, sso_keys_put,
    sso_begin, sso_take, sso_sign_in, sso_logout TO overread_app;
