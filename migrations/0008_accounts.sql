-- Accounts: signing up, passwords, addresses; and how often anybody may try.

-- How often ------------------------------------------------------------------------------------------------------------

-- A bucket fills by one with each attempt and empties with time. Above what is free each attempt makes the next one wait,
-- twice as long as the last: a delay, never a lock. In the database: every node counts together, a restart forgets nothing.
-- What is counted (an account, whether it exists or not; a client's address; a tenant) is kept as a hash.
CREATE TABLE throttle_buckets (
    kind     text NOT NULL,
    key_hash bytea NOT NULL CHECK (octet_length(key_hash) = 32),
    level    double precision NOT NULL,    -- attempts that were not forgotten at `at`
    at       timestamptz NOT NULL,
    free_at  timestamptz NOT NULL,         -- from then on the next attempt is let in
    PRIMARY KEY (kind, key_hash)
);
CREATE INDEX throttle_buckets_at ON throttle_buckets (at);
SELECT guard_table('throttle_buckets'); -- reached by no policy; only through functions

-- free: attempts without delay; forget: seconds after which one is forgotten; first, most: seconds of delay.
CREATE FUNCTION throttle_rule(kind text, OUT free int, OUT forget int, OUT first int, OUT most int)
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    SELECT r.free, r.forget, r.first, r.most INTO STRICT free, forget, first, most
    FROM (VALUES ('account',       5,  600,  1,  900), -- passwords tried on one account
                 ('second_factor', 5,  600,  1,  900), -- codes tried by one person
                 ('address',     100,   10,  1,  300), -- tried by one client: a whole hospital may stand behind it
                 ('tenant',     1000,    1,  1,   30), -- tried on one tenant
                 ('mail',          3,  600, 60, 3600), -- mails that strangers have us send to one address
                 ('mail_address', 60,   30,  5,  600)) -- mails that one client has us send
         AS r (kind, free, forget, first, most) WHERE r.kind = throttle_rule.kind;
END $$;

CREATE FUNCTION throttle_delay(kind text, level double precision) RETURNS interval LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    r record := throttle_rule(kind);
BEGIN
    IF level <= r.free THEN
        RETURN interval '0';
    END IF;
    RETURN least(r.most, r.first * power(2, least(level - r.free - 1, 30))) * interval '1 second';
END $$;

-- May it be tried? Counts the attempt in each of the buckets, before it is made: attempts that run at the same time are
-- counted too. wait: seconds, rounded up; 0: go on. An attempt that has to wait is not counted. rate, policy: the fields
-- RateLimit (of the fullest bucket of the client's own) and
-- RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers). A key that is NULL is
-- the session's person. Buckets are locked in the order given: callers name kinds in the order of throttle_rule.
CREATE FUNCTION throttle_take(kinds text[], keys text[], OUT wait int, OUT rate text, OUT policy text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    b throttle_buckets;
    r record;
    fullest double precision;
    left_over double precision;
    delay interval := '0';
    hash bytea;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true); -- a counter is worth no disk's turn: a crash forgets half a second
    FOR i IN 1 .. cardinality(kinds) LOOP
        r := throttle_rule(kinds[i]);
        hash := sha256(convert_to(lower(coalesce(keys[i], current_person()::text)), 'UTF8'));
        INSERT INTO throttle_buckets AS x (kind, key_hash, level, at, free_at)
            VALUES (kinds[i], hash, 0, clock_timestamp(), clock_timestamp())
            ON CONFLICT (kind, key_hash) DO UPDATE
                SET level = greatest(0, x.level - extract(epoch FROM clock_timestamp() - x.at) / r.forget), at = clock_timestamp()
            RETURNING * INTO b;
        delay := greatest(delay, b.free_at - clock_timestamp());
        policy := concat_ws(', ', policy, format('"%s";q=%s;w=%s', kinds[i], r.free, r.free * r.forget));
        left_over := (r.free - b.level - 1) / r.free;
        -- What others tried on an account or had mailed to an address is told only to who has to wait for it.
        IF b.free_at > clock_timestamp() THEN
            left_over := -1;
        ELSIF kinds[i] IN ('account', 'mail', 'tenant') AND keys[i] IS NOT NULL THEN
            CONTINUE;
        END IF;
        IF left_over < fullest OR fullest IS NULL THEN
            fullest := left_over;
            rate := format('"%s";r=%s;t=%s', kinds[i], greatest(0, floor(left_over * r.free))::int,
                           ceil(greatest(r.forget, extract(epoch FROM b.free_at - clock_timestamp())))::int);
        END IF;
    END LOOP;
    wait := greatest(0, ceil(extract(epoch FROM delay)))::int;
    IF wait > 0 THEN
        RETURN;
    END IF;
    FOR i IN 1 .. cardinality(kinds) LOOP
        hash := sha256(convert_to(lower(coalesce(keys[i], current_person()::text)), 'UTF8'));
        UPDATE throttle_buckets x SET level = x.level + 1, free_at = clock_timestamp() + throttle_delay(x.kind, x.level + 1)
            WHERE x.kind = kinds[i] AND x.key_hash = hash;
    END LOOP;
END $$;

-- The attempt succeeded. What was tried on the account is forgiven; in the other buckets only this attempt: a client that
-- has one account must not try others freely.
CREATE FUNCTION throttle_forgive(kinds text[], keys text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    hash bytea;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    FOR i IN 1 .. cardinality(kinds) LOOP
        hash := sha256(convert_to(lower(coalesce(keys[i], current_person()::text)), 'UTF8'));
        IF kinds[i] IN ('account', 'second_factor') THEN
            DELETE FROM throttle_buckets x WHERE x.kind = kinds[i] AND x.key_hash = hash;
        ELSE
            UPDATE throttle_buckets x
                SET level = greatest(0, x.level - 1),
                    free_at = CASE WHEN x.level - 1 <= (throttle_rule(x.kind)).free THEN clock_timestamp() ELSE x.free_at END
                WHERE x.kind = kinds[i] AND x.key_hash = hash;
        END IF;
    END LOOP;
END $$;

-- Signing up -----------------------------------------------------------------------------------------------------------

-- Whoever asks learns nothing: for an address that has an account the same rows are written as for one that has none; only
-- the mails differ. A mail whose ticket is void (or none) is not sent.
CREATE FUNCTION mail_queue_or_not(known people, address text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT CASE WHEN known.person_id IS NOT NULL
                THEN mail_queue('account_exists', address, NULL, NULL, jsonb_build_object('name', known.name))
                ELSE mail_queue('account', address, NULL, NULL, '{}', '00000000-0000-0000-0000-000000000000') END $$;

-- Nothing of a person exists until the link is used; the password's hash waits in the ticket. It counts only when who follows
-- the link shows the password again: else a stranger could sign up another's address and wait for its owner to follow the
-- link. Without it, or when somebody else's sign-up for the address is open already, who reads the mailbox chooses a password
-- by a further mail.
CREATE FUNCTION account_request(address text, name text, phc text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    known people;
    contested boolean;
    made uuid;
BEGIN
    SELECT * INTO known FROM people p WHERE lower(p.email) = lower(address);
    contested := EXISTS (SELECT FROM tickets k WHERE lower(k.email) = lower(address) AND k.kind = 'account'
                                                 AND k.used_at IS NULL AND coalesce(k.expires_at > now(), true));
    made := ticket_open('account', 'account', NULL, NULL, address, '24 hours', '{}',
                        jsonb_build_object('name', name, 'phc', CASE WHEN NOT contested THEN phc END));
    UPDATE tickets SET used_at = CASE WHEN known.person_id IS NOT NULL THEN now() END,
                       detail = CASE WHEN known.person_id IS NOT NULL THEN '{}' ELSE detail END WHERE ticket_id = made;
    UPDATE tickets SET detail = '{}'
        WHERE lower(email) = lower(address) AND kind = 'account' AND used_at IS NOT NULL AND detail <> '{}';
    PERFORM mail_queue_or_not(known, address);
END $$;

-- The hash of the password that was chosen when signing up; NULL: none waits, or the link is no longer good.
CREATE FUNCTION account_ticket_phc(token_sha256 text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS
$$ SELECT k.detail->>'phc' FROM ticket_of('account', token_sha256) k $$;

-- A link that proves an address was followed: of a sign-up (person and tenant are made) or of a new address. shown_phc: the
-- hash of the password that was shown with it. made: {"kind", "person", "tenant", "password_set"}
CREATE FUNCTION address_verify(token_sha256 text, new_person uuid, new_tenant uuid, new_slug text, shown_phc text) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    k tickets;
    p people;
    shown boolean;
BEGIN
    IF EXISTS (SELECT FROM ticket_of('email', token_sha256)) THEN
        RETURN email_verify(token_sha256);
    END IF;
    k := ticket_use('account', token_sha256);
    UPDATE tickets SET detail = '{}' WHERE ticket_id = k.ticket_id;
    INSERT INTO people (person_id, email, name, email_verified_at) VALUES (new_person, k.email, k.detail->>'name', now())
        ON CONFLICT (lower(email)) DO NOTHING RETURNING * INTO p;
    IF p.person_id IS NULL THEN
        PERFORM refuse(409, 'account_exists', 'This address has got an account in the meantime: sign in.', '/token');
    END IF;
    INSERT INTO tenants (tenant_id, kind, slug, name) VALUES (new_tenant, 'individual', new_slug, p.name);
    INSERT INTO memberships (tenant_id, person_id, roles) VALUES (new_tenant, new_person, '{trainee}');
    PERFORM audit(new_tenant, new_person, 'account.created', new_person::text);
    shown := coalesce(k.detail->>'phc' = shown_phc, false);
    IF shown THEN
        INSERT INTO passwords (person_id, phc) VALUES (new_person, shown_phc);
    ELSE
        PERFORM password_reset_mail(p);
    END IF;
    RETURN json_build_object('kind', 'account', 'person', new_person, 'tenant', new_slug,
                             'password_set', shown);
END $$;

-- Passwords ------------------------------------------------------------------------------------------------------------

-- Says in every tenant's record what happened to a person there.
CREATE FUNCTION audit_everywhere(person uuid, action text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT count(audit(m.tenant_id, person, action, person::text))
    FROM memberships m WHERE m.person_id = person AND (m.until IS NULL OR m.until > now()) $$;

CREATE FUNCTION password_reset_mail(p people) RETURNS uuid
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT ticket_open('password_reset', 'password_reset', NULL, p.person_id, p.email, '10 minutes',
                       jsonb_build_object('name', p.name)) $$;

CREATE FUNCTION password_reset_request(address text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    p people;
    known boolean;
    made uuid;
BEGIN
    SELECT * INTO p FROM people x WHERE lower(x.email) = lower(address) AND x.disabled_at IS NULL;
    known := p.person_id IS NOT NULL;
    IF NOT known THEN
        p.email := address;
        p.name := 'nobody';
    END IF;
    made := password_reset_mail(p);
    UPDATE tickets SET used_at = CASE WHEN NOT known THEN now() END WHERE ticket_id = made;
END $$;

-- Words that a person's password must not be made of: name, address, tenants' names; and whether a second factor stands
-- beside it. Of the session's person, or of whoever a reset's token stands for (no row: the link is no longer good).
CREATE FUNCTION password_about(reset_sha256 text) RETURNS TABLE (words text, second_factor boolean, phc text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who uuid := CASE WHEN reset_sha256 IS NULL THEN current_person()
                     ELSE (SELECT k.person_id FROM ticket_of('password_reset', reset_sha256) k) END;
BEGIN
    IF reset_sha256 IS NULL THEN
        PERFORM need_stage('password', 'full');
    END IF;
    RETURN QUERY
    SELECT concat_ws(' ', p.email, p.name,
                     (SELECT string_agg(t.name || ' ' || t.slug, ' ') FROM memberships m JOIN tenants t USING (tenant_id)
                      WHERE m.person_id = p.person_id)),
           cardinality(second_factors(p.person_id)) > 0,
           CASE WHEN reset_sha256 IS NULL THEN coalesce(w.phc, '') END
    FROM people p LEFT JOIN passwords w USING (person_id)
    WHERE p.person_id = who AND p.disabled_at IS NULL;
END $$;

-- The new password stands: other sessions end, links that were open are void, the person is told.
CREATE FUNCTION password_renewed(p people, but uuid, reason text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM sessions_end(p.person_id, but, reason);
    UPDATE tickets SET used_at = now() WHERE person_id = p.person_id AND kind IN ('password_reset', 'email') AND used_at IS NULL;
    PERFORM mail_queue('password_changed', p.email, NULL, p.person_id, jsonb_build_object('name', p.name));
    PERFORM audit_everywhere(p.person_id, reason);
END $$;

-- Opens no session: whoever has a second factor must still show it when signing in.
CREATE FUNCTION password_reset(token_sha256 text, new_phc text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    k tickets := ticket_use('password_reset', token_sha256);
    p people;
BEGIN
    UPDATE people x SET email_verified_at = coalesce(x.email_verified_at, now()) WHERE x.person_id = k.person_id
        RETURNING * INTO p;
    INSERT INTO passwords (person_id, phc) VALUES (p.person_id, new_phc)
        ON CONFLICT (person_id) DO UPDATE SET phc = EXCLUDED.phc, changed_at = now(), must_change = false;
    PERFORM password_renewed(p, NULL, 'password.reset');
    PERFORM throttle_forgive(ARRAY['account'], ARRAY[p.email]);
END $$;

-- Of the session's person, who has just shown the password whose hash is old_phc. The session goes on under a new token.
CREATE FUNCTION password_change(old_phc text, new_phc text, new_token_sha256 text) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    p people;
BEGIN
    PERFORM need_stage('password', 'full');
    UPDATE passwords SET phc = new_phc, changed_at = now(), must_change = false
        WHERE person_id = current_person() AND phc = old_phc;
    IF NOT FOUND THEN
        PERFORM refuse(409, 'password_changed', 'The password has just been changed by somebody else.');
    END IF;
    SELECT * INTO p FROM people WHERE person_id = current_person();
    PERFORM password_renewed(p, current_session_id(), 'password.changed');
    RETURN session_advance(new_token_sha256, NULL);
END $$;

-- By an operator. The next sign-in leads to a new password and nowhere else. False: there is no such password.
CREATE FUNCTION password_must_change(address text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    who uuid := (SELECT p.person_id FROM people p WHERE lower(p.email) = lower(address));
BEGIN
    UPDATE passwords SET must_change = true WHERE person_id = who;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM sessions_end(who, NULL, 'password.must_change');
    PERFORM audit_everywhere(who, 'password.must_change');
    RETURN true;
END $$;

-- Oneself -------------------------------------------------------------------------------------------------------------

CREATE FUNCTION me_json() RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT json_build_object('id', p.person_id, 'name', p.name, 'email', p.email,
                                     'email_verified_at', p.email_verified_at, 'created_at', p.created_at,
                                     'password_changed_at', w.changed_at, 'second_factors', to_json(second_factors(p.person_id)))
            FROM people p LEFT JOIN passwords w USING (person_id) WHERE p.person_id = current_person());
END $$;

CREATE FUNCTION me_rename(new_name text) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE people SET name = new_name WHERE person_id = current_person() AND name <> new_name;
    IF FOUND THEN
        PERFORM audit_everywhere(current_person(), 'person.renamed');
    END IF;
    RETURN me_json();
END $$;

-- The new address counts when its link was followed; the old one is told at once. An address that is another's gets a
-- mail as if somebody had signed up with it, and the session's person learns nothing.
CREATE FUNCTION email_request(address text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    me people;
    other people;
    made uuid;
BEGIN
    IF current_session_id() IS NULL THEN
        PERFORM refuse(403, 'session_required', 'A program''s token does not change who signs in.');
    END IF;
    SELECT * INTO me FROM people WHERE person_id = current_person();
    SELECT * INTO other FROM people p WHERE lower(p.email) = lower(address);
    UPDATE tickets SET used_at = now() WHERE person_id = me.person_id AND kind = 'email' AND used_at IS NULL;
    made := ticket_open('email', 'email_change', NULL, me.person_id, address, '24 hours', jsonb_build_object('name', me.name));
    UPDATE tickets SET used_at = CASE WHEN other.person_id IS NOT NULL THEN now() END WHERE ticket_id = made;
    PERFORM mail_queue_or_not(other, address);
    PERFORM mail_queue('email_changed_notice', me.email, NULL, me.person_id, jsonb_build_object('name', me.name));
    PERFORM audit_everywhere(me.person_id, 'email.change_requested');
END $$;

CREATE FUNCTION email_verify(token_sha256 text) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    k tickets := ticket_use('email', token_sha256);
BEGIN
    IF EXISTS (SELECT FROM people p WHERE lower(p.email) = lower(k.email) AND p.person_id <> k.person_id) THEN
        PERFORM refuse(409, 'account_exists', 'This address has got an account in the meantime.', '/token');
    END IF;
    UPDATE people SET email = k.email, email_verified_at = now() WHERE person_id = k.person_id;
    -- A link to the old mailbox opens nothing any more.
    UPDATE tickets SET used_at = now() WHERE person_id = k.person_id AND kind IN ('password_reset', 'email') AND used_at IS NULL;
    PERFORM audit_everywhere(k.person_id, 'email.changed');
    RETURN json_build_object('kind', 'email', 'person', k.person_id, 'tenant', NULL, 'password_set', true);
EXCEPTION
    WHEN unique_violation THEN
        PERFORM refuse(409, 'account_exists', 'This address has got an account in the meantime.', '/token');
END $$;

-- Housekeeping ---------------------------------------------------------------------------------------------------------

-- Deletes what has had its use, at most `most` rows of each table; how many it were. Whoever comes second finds nothing.
CREATE FUNCTION housekeeping(most int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    gone int;
    total int := 0;
BEGIN
    -- Whatever its rule: in a day a bucket has run empty or, when not, is older than its longest delay.
    DELETE FROM throttle_buckets WHERE (kind, key_hash) IN
        (SELECT b.kind, b.key_hash FROM throttle_buckets b WHERE b.at < now() - interval '1 day' LIMIT most
         FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS gone = ROW_COUNT;
    total := total + gone;
    DELETE FROM tickets WHERE ticket_id IN
        (SELECT k.ticket_id FROM tickets k
         WHERE k.used_at < now() - interval '7 days' OR k.expires_at < now() - interval '7 days'
            OR (k.expires_at IS NULL AND k.created_at < now() - interval '30 days') LIMIT most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS gone = ROW_COUNT;
    total := total + gone;
    -- The record keeps that they were opened and ended.
    DELETE FROM sessions WHERE (tenant_id, session_id) IN
        (SELECT s.tenant_id, s.session_id FROM sessions s
         WHERE s.ended_at < now() - interval '30 days' OR s.expires_at < now() - interval '30 days' LIMIT most
         FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS gone = ROW_COUNT;
    total := total + gone;
    DELETE FROM idempotency_keys WHERE (tenant_id, person_id, key) IN
        (SELECT i.tenant_id, i.person_id, i.key FROM idempotency_keys i WHERE i.created_at < now() - interval '7 days'
         LIMIT most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN total + gone;
END $$;

GRANT EXECUTE ON FUNCTION throttle_take, throttle_forgive, account_request, account_ticket_phc, address_verify, password_reset_request,
    password_about, password_reset, password_change, me_json, me_rename, email_request, housekeeping TO overread_app;
