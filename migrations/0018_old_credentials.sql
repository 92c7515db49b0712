-- Nothing that an old password opened, or that was good beside a second factor only, lives on.

-- Fewer characters than a password alone takes: good beside a second factor only (identity/password.h).
ALTER TABLE passwords ADD COLUMN short boolean NOT NULL DEFAULT false;
CREATE INDEX api_tokens_alive ON api_tokens (person_id) WHERE revoked_at IS NULL;
CREATE INDEX sessions_alive ON sessions (person_id) WHERE ended_at IS NULL;

-- A password was shown that had this hash when it was looked up. Verifying takes its time: if it has been renewed meanwhile, no
-- session comes of it. Looked at last: a renewal that waits for this row ends the new session as well.
CREATE FUNCTION session_open_by_password(person uuid, shown_phc text, tenant_slug text, session uuid, token_sha256 text,
                                         client_name text) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    opened json := session_open(person, tenant_slug, session, token_sha256, client_name, ARRAY['password']);
BEGIN
    PERFORM FROM passwords w WHERE w.person_id = person AND w.phc = shown_phc FOR SHARE;
    IF NOT FOUND OR EXISTS (SELECT FROM people p WHERE p.person_id = person AND p.disabled_at IS NOT NULL) THEN
        PERFORM refuse(401, 'sign_in_failed', 'The e-mail address, the password or the tenant is not right.');
    END IF;
    RETURN opened;
END $$;

-- As in 0001, and says whether it was still that hash.
DROP FUNCTION password_rehash;
CREATE FUNCTION password_rehash(person uuid, old_phc text, new_phc text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE passwords SET phc = new_phc WHERE person_id = person AND phc = old_phc;
    RETURN FOUND;
END $$;

-- Ends the tokens of a person's programs, in every tenant.
CREATE FUNCTION api_tokens_end(person uuid, reason text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM audit(g.tenant_id, person, 'token.revoked', g.token_id::text, jsonb_build_object('reason', reason))
        FROM (SELECT x.tenant_id, x.token_id FROM api_tokens x
              WHERE x.person_id = person AND x.revoked_at IS NULL AND x.expires_at > now() FOR UPDATE) g;
    UPDATE api_tokens x SET revoked_at = now() WHERE x.person_id = person AND x.revoked_at IS NULL;
END $$;

-- As in 0008; and whoever knew the old password may have made tokens with it.
CREATE OR REPLACE FUNCTION password_renewed(p people, but uuid, reason text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM sessions_end(p.person_id, but, reason);
    PERFORM api_tokens_end(p.person_id, reason);
    UPDATE tickets SET used_at = now() WHERE person_id = p.person_id AND kind IN ('password_reset', 'email') AND used_at IS NULL;
    PERFORM mail_queue('password_changed', p.email, NULL, p.person_id, jsonb_build_object('name', p.name));
    PERFORM audit_everywhere(p.person_id, reason);
END $$;

-- The last second factor may have gone since the password was judged. While the person's row is held.
CREATE FUNCTION need_length(person uuid, is_short boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF is_short AND cardinality(second_factors(person)) = 0 THEN
        PERFORM refuse(422, 'password_too_short', 'The password is too short without a second factor.', '/password');
    END IF;
END $$;

DROP FUNCTION password_reset;
CREATE FUNCTION password_reset(token_sha256 text, new_phc text, is_short boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    k tickets := ticket_use('password_reset', token_sha256);
    p people;
BEGIN
    UPDATE people x SET email_verified_at = coalesce(x.email_verified_at, now()) WHERE x.person_id = k.person_id
        RETURNING * INTO p;
    PERFORM need_length(p.person_id, is_short);
    INSERT INTO passwords (person_id, phc, short) VALUES (p.person_id, new_phc, is_short)
        ON CONFLICT (person_id) DO UPDATE SET phc = EXCLUDED.phc, short = EXCLUDED.short, changed_at = now(), must_change = false;
    PERFORM password_renewed(p, NULL, 'password.reset');
    PERFORM throttle_forgive(ARRAY['account'], ARRAY[p.email]);
END $$;

DROP FUNCTION password_change;
CREATE FUNCTION password_change(old_phc text, new_phc text, is_short boolean, new_token_sha256 text) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    p people;
BEGIN
    PERFORM need_stage('password', 'full');
    SELECT * INTO p FROM people WHERE person_id = current_person() FOR NO KEY UPDATE;
    PERFORM need_length(p.person_id, is_short);
    UPDATE passwords SET phc = new_phc, short = is_short, changed_at = now(), must_change = false
        WHERE person_id = p.person_id AND phc = old_phc;
    IF NOT FOUND THEN
        PERFORM refuse(409, 'password_changed', 'The password has just been changed by somebody else.');
    END IF;
    PERFORM password_renewed(p, current_session_id(), 'password.changed');
    RETURN session_advance(new_token_sha256, NULL);
END $$;

-- By an operator, who is told of like anybody else.
CREATE FUNCTION password_put(person uuid, new_phc text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO passwords (person_id, phc) VALUES (person, new_phc)
        ON CONFLICT (person_id) DO UPDATE SET phc = EXCLUDED.phc, short = false, changed_at = now();
    PERFORM sessions_end(person, NULL, 'password.set');
    PERFORM api_tokens_end(person, 'password.set');
    PERFORM audit(m.tenant_id, NULL, 'password.set', person::text) FROM memberships m WHERE m.person_id = person AND is_active(m);
END $$;

-- As in 0010, and: a password that was good beside a second factor only does not stay behind alone.
CREATE OR REPLACE FUNCTION second_factor_remove(which text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    gone boolean;
BEGIN
    PERFORM need_session();
    PERFORM need_recent_session();
    PERFORM FROM people WHERE person_id = current_person() FOR UPDATE;
    IF which = 'totp' THEN
        DELETE FROM totp WHERE person_id = current_person() AND confirmed_at IS NOT NULL;
    ELSE
        DELETE FROM passkeys WHERE person_id = current_person() AND passkey_id = which::uuid;
    END IF;
    gone := FOUND;
    IF gone AND cardinality(second_factors(current_person())) = 0 THEN
        IF (second_factors_json()->>'required')::boolean THEN
            PERFORM refuse(409, 'second_factor_required', 'A tenant of yours requires a second factor: add another one first.');
        ELSIF EXISTS (SELECT FROM passwords w WHERE w.person_id = current_person() AND w.short) THEN
            PERFORM refuse(409, 'password_too_short', 'Your password is long enough beside a second factor only: change it to one of '
                           'at least 15 characters first.');
        END IF;
        DELETE FROM recovery_codes WHERE person_id = current_person();
    END IF;
    IF gone THEN
        PERFORM second_factor_told('second_factor.removed', CASE WHEN which = 'totp' THEN 'the authenticator app was removed'
                                                                 ELSE 'a security key or passkey was removed' END);
    END IF;
    RETURN gone;
END $$;

GRANT EXECUTE ON FUNCTION session_open_by_password, password_rehash, password_reset, password_change TO overread_app;
