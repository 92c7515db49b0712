-- Second factors: authenticator apps (TOTP), recovery codes, security keys and passkeys (WebAuthn). They are the person's,
-- whatever the tenant; a tenant may require one. Reached by no policy: only through functions, for one's own person.

-- RFC 6238: 20 bytes of seed (sealed by identity/vault), SHA-1, 30 seconds, 6 digits. last_step: the latest step of which a
-- code was taken, so that no code works twice.
CREATE TABLE totp (
    person_id    uuid PRIMARY KEY REFERENCES people,
    seed         text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    confirmed_at timestamptz,
    last_step    bigint NOT NULL DEFAULT 0
);

-- SHA-256 of codes of 80 random bits: nothing to guess, so nothing slow is needed.
CREATE TABLE recovery_codes (
    person_id uuid NOT NULL REFERENCES people,
    code_hash bytea NOT NULL CHECK (octet_length(code_hash) = 32),
    used_at   timestamptz,
    PRIMARY KEY (person_id, code_hash)
);

-- WebAuthn credentials. The public key is raw, as libfido2 takes it.
CREATE TABLE passkeys (
    person_id     uuid NOT NULL REFERENCES people,
    passkey_id    uuid NOT NULL,
    credential_id bytea NOT NULL UNIQUE CHECK (octet_length(credential_id) BETWEEN 16 AND 1023),
    algorithm     int NOT NULL,                -- COSE: -7 ES256, -8 EdDSA, -257 RS256
    public_key    bytea NOT NULL,
    sign_count    bigint NOT NULL,
    verifies      boolean NOT NULL,            -- it verified the person when it was made: it may stand for a password too
    backed_up     boolean NOT NULL,
    transports    text[] NOT NULL DEFAULT '{}',
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    created_at    timestamptz NOT NULL DEFAULT now(),
    last_used_at  timestamptz,
    PRIMARY KEY (person_id, passkey_id)
);

-- Challenges that were given out: each is good once, for five minutes, for one purpose and (but for signing in) one person.
CREATE TABLE webauthn_challenges (
    challenge  bytea PRIMARY KEY CHECK (octet_length(challenge) = 32),
    purpose    text NOT NULL CHECK (purpose IN ('register', 'second_factor', 'sign_in')),
    person_id  uuid REFERENCES people,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX webauthn_challenges_age ON webauthn_challenges (created_at);

SELECT guard_table(t) FROM unnest(ARRAY['totp', 'recovery_codes', 'passkeys', 'webauthn_challenges']::regclass[]) t;

-- Sorted. Recovery codes are no factor of their own: they stand in for a lost one.
CREATE OR REPLACE FUNCTION second_factors(person uuid) RETURNS text[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    factors text[] := '{}';
BEGIN
    IF EXISTS (SELECT FROM passkeys k WHERE k.person_id = person) THEN
        factors := factors || 'security_key'::text;
    END IF;
    IF EXISTS (SELECT FROM totp t WHERE t.person_id = person AND t.confirmed_at IS NOT NULL) THEN
        factors := factors || 'totp'::text;
    END IF;
    IF cardinality(factors) > 0
       AND EXISTS (SELECT FROM recovery_codes c WHERE c.person_id = person AND c.used_at IS NULL) THEN
        factors := ARRAY['recovery_code'] || factors;
    END IF;
    RETURN factors;
END $$;

-- Changing how one signs in takes a session that was opened a short while ago, or one that is just enrolling (ASVS 7.5.1).
CREATE FUNCTION need_recent_session() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM sessions s WHERE s.tenant_id = current_tenant() AND s.session_id = current_session_id()
                                            AND (s.created_at > now() - interval '15 minutes' OR s.stage = 'enrolment')) THEN
        PERFORM refuse(403, 'sign_in_again', 'For this, sign in again: the session is older than 15 minutes.');
    END IF;
END $$;

-- Said in every tenant of the person, and to the person.
CREATE FUNCTION second_factor_told(action text, change text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    p people;
BEGIN
    SELECT * INTO p FROM people WHERE person_id = current_person();
    PERFORM audit_everywhere(p.person_id, action);
    PERFORM mail_queue('second_factor_changed', p.email, NULL, p.person_id, jsonb_build_object('name', p.name, 'change', change));
END $$;

-- A session that enrols adds the first factor, no further one. While the person's row is held.
CREATE FUNCTION need_enrolment() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_stage() = 'enrolment' AND cardinality(second_factors(current_person())) > 0 THEN
        PERFORM refuse(403, 'second_factor_required', 'There is a second factor meanwhile: sign in with it.');
    END IF;
END $$;

-- The person has a second factor now. Sessions that were still to enrol one owe it instead: whoever else knows the password
-- must not add a factor of their own beside the person's.
CREATE FUNCTION second_factor_added(change text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sessions s SET stage = 'second_factor'
        WHERE s.person_id = current_person() AND s.stage = 'enrolment' AND s.ended_at IS NULL
          AND s.session_id <> current_session_id();
    PERFORM second_factor_told('second_factor.added', change);
END $$;

CREATE FUNCTION second_factors_json() RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN json_build_object(
        'totp', (SELECT json_build_object('created_at', t.created_at) FROM totp t
                 WHERE t.person_id = current_person() AND t.confirmed_at IS NOT NULL),
        'passkeys', (SELECT coalesce(json_agg(json_build_object('id', k.passkey_id, 'name', k.name, 'verifies', k.verifies,
                                                                'backed_up', k.backed_up, 'created_at', k.created_at,
                                                                'last_used_at', k.last_used_at) ORDER BY k.passkey_id), '[]'::json)
                     FROM passkeys k WHERE k.person_id = current_person()),
        'recovery_codes_left', (SELECT count(*) FROM recovery_codes c WHERE c.person_id = current_person() AND c.used_at IS NULL),
        'required', EXISTS (SELECT FROM memberships m JOIN tenants t USING (tenant_id)
                            WHERE m.person_id = current_person() AND (m.until IS NULL OR m.until > now())
                              AND (t.second_factor = 'required' OR 'support' = ANY (m.roles))));
END $$;

-- New ones take the place of the old. Refused before there is a factor that they could stand in for.
CREATE FUNCTION recovery_codes_put(hashes text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM recovery_codes WHERE person_id = current_person();
    INSERT INTO recovery_codes (person_id, code_hash) SELECT current_person(), decode(h, 'hex') FROM unnest(hashes) h;
END $$;

CREATE FUNCTION recovery_codes_renew(hashes text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM need_stage('full');
    PERFORM need_recent_session();
    IF cardinality(second_factors(current_person())) = 0 THEN
        PERFORM refuse(409, 'no_second_factor', 'There is no second factor that a recovery code could stand in for.');
    END IF;
    PERFORM recovery_codes_put(hashes);
    PERFORM second_factor_told('recovery_codes.renewed', 'new recovery codes were made; the old ones are void');
END $$;

-- Takes one away. which: 'totp', or a passkey's id. False: there was none.
CREATE FUNCTION second_factor_remove(which text) RETURNS boolean
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
        END IF;
        DELETE FROM recovery_codes WHERE person_id = current_person();
    END IF;
    IF gone THEN
        PERFORM second_factor_told('second_factor.removed', CASE WHEN which = 'totp' THEN 'the authenticator app was removed'
                                                                 ELSE 'a security key or passkey was removed' END);
    END IF;
    RETURN gone;
END $$;

-- Authenticator apps -----------------------------------------------------------------------------------------------------

-- A new seed, which counts once a code of it was shown.
CREATE FUNCTION totp_begin(sealed text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM need_stage('full', 'enrolment');
    PERFORM need_recent_session();
    INSERT INTO totp AS t (person_id, seed) VALUES (current_person(), sealed)
        ON CONFLICT (person_id) DO UPDATE SET seed = EXCLUDED.seed, created_at = now(), last_step = 0 WHERE t.confirmed_at IS NULL;
    IF NOT FOUND THEN
        PERFORM refuse(409, 'totp_exists', 'There is an authenticator app already: remove it first.');
    END IF;
    RETURN (SELECT email FROM people WHERE person_id = current_person());
END $$;

-- Its owner's sealed seed: to check a code, or (confirming) the first one.
CREATE FUNCTION totp_seed(confirming boolean) RETURNS TABLE (person text, seed text, last_step bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF confirming THEN
        PERFORM need_stage('full', 'enrolment');
    ELSE
        PERFORM need_stage('second_factor');
    END IF;
    RETURN QUERY SELECT t.person_id::text, t.seed, t.last_step FROM totp t
        WHERE t.person_id = current_person() AND (t.confirmed_at IS NULL) = confirming;
END $$;

-- A right code of this step was shown: once. The session moves on under its new token. {"session", "recovery_codes_taken"}
CREATE FUNCTION totp_accept(step bigint, confirming boolean, new_token_sha256 text, recovery_hashes text[]) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    fresh boolean := false;
BEGIN
    IF confirming THEN
        PERFORM FROM people WHERE person_id = current_person() FOR UPDATE; -- first factors come one after another
        PERFORM need_enrolment();
    END IF;
    UPDATE totp t SET last_step = step, confirmed_at = coalesce(t.confirmed_at, now())
        WHERE t.person_id = current_person() AND t.last_step < step AND (t.confirmed_at IS NULL) = confirming;
    IF NOT FOUND THEN
        PERFORM refuse(422, 'code_wrong', 'The code is not right, or was used before.', '/code');
    END IF;
    IF confirming THEN
        fresh := NOT EXISTS (SELECT FROM recovery_codes c WHERE c.person_id = current_person() AND c.used_at IS NULL);
        IF fresh THEN
            PERFORM recovery_codes_put(recovery_hashes);
        END IF;
        PERFORM second_factor_added('an authenticator app was added');
    END IF;
    RETURN json_build_object('session', session_advance(new_token_sha256, 'totp'), 'recovery_codes_taken', fresh);
END $$;

-- In the place of a second factor that was lost; each code once.
CREATE FUNCTION recovery_code_use(sha256_hex text, new_token_sha256 text) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM need_stage('second_factor');
    UPDATE recovery_codes c SET used_at = now()
        WHERE c.person_id = current_person() AND c.code_hash = decode(sha256_hex, 'hex') AND c.used_at IS NULL;
    IF NOT FOUND THEN
        PERFORM refuse(422, 'code_wrong', 'The code is not right, or was used before.', '/code');
    END IF;
    PERFORM second_factor_told('recovery_code.used', 'a recovery code was used to sign in');
    RETURN session_advance(new_token_sha256, 'recovery_code');
END $$;

-- Security keys and passkeys -----------------------------------------------------------------------------------------------

-- RFC 4648, section 5, without padding.
CREATE FUNCTION base64url(bytes bytea) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT translate(encode(bytes, 'base64'), E'+/=\n', '-_') $$;

-- Gives out a challenge, and what a page needs besides it, in the words of WebAuthn's JSON: the user (when registering)
-- and the credentials that are known. For signing in nothing is said of anybody.
CREATE FUNCTION webauthn_begin(for_purpose text, new_challenge text, OUT who json, OUT credentials json)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF for_purpose = 'register' THEN
        PERFORM need_stage('full', 'enrolment');
        PERFORM need_recent_session();
    ELSIF for_purpose = 'second_factor' THEN
        PERFORM need_stage('second_factor');
    END IF;
    DELETE FROM webauthn_challenges w WHERE w.challenge IN (
        SELECT x.challenge FROM webauthn_challenges x WHERE x.created_at < now() - interval '5 minutes'
        ORDER BY x.created_at LIMIT 100 FOR UPDATE SKIP LOCKED);
    INSERT INTO webauthn_challenges (challenge, purpose, person_id)
        VALUES (decode(new_challenge, 'hex'), for_purpose, CASE WHEN for_purpose <> 'sign_in' THEN current_person() END);
    SELECT json_build_object('id', base64url(convert_to(p.person_id::text, 'UTF8')), 'name', p.email, 'displayName', p.name) INTO who
        FROM people p WHERE p.person_id = current_person();
    SELECT coalesce(json_agg(json_build_object('type', 'public-key', 'id', base64url(k.credential_id), 'transports', k.transports)
                             ORDER BY k.passkey_id), '[]'::json) INTO credentials
        FROM passkeys k WHERE k.person_id = current_person() AND for_purpose <> 'sign_in';
END $$;

-- The challenge comes back: good once. False: it was never given out for this, or is too old.
CREATE FUNCTION webauthn_challenge_use(for_purpose text, given text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM webauthn_challenges w
        WHERE w.challenge = decode(given, 'hex') AND w.purpose = for_purpose AND w.created_at > now() - interval '5 minutes'
          AND w.person_id IS NOT DISTINCT FROM CASE WHEN for_purpose <> 'sign_in' THEN current_person() END;
    RETURN FOUND;
END $$;

-- A credential was made and its statement verified. {"session", "recovery_codes_taken", "passkey"}
CREATE FUNCTION passkey_add(new_passkey uuid, credential text, alg int, key text, signs bigint, verified boolean, backup boolean,
                            new_transports text[], new_name text, new_token_sha256 text, recovery_hashes text[]) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    fresh boolean;
BEGIN
    PERFORM need_stage('full', 'enrolment');
    PERFORM FROM people WHERE person_id = current_person() FOR UPDATE;
    PERFORM need_enrolment();
    IF (SELECT count(*) FROM passkeys k WHERE k.person_id = current_person()) >= 20 THEN
        PERFORM refuse(409, 'too_many_passkeys', 'Twenty are enough: remove one first.');
    END IF;
    INSERT INTO passkeys (person_id, passkey_id, credential_id, algorithm, public_key, sign_count, verifies, backed_up,
                          transports, name)
        VALUES (current_person(), new_passkey, decode(credential, 'hex'), alg, decode(key, 'hex'), signs, verified, backup,
                new_transports, new_name)
        ON CONFLICT (credential_id) DO NOTHING;
    IF NOT FOUND THEN
        PERFORM refuse(409, 'passkey_exists', 'This key is registered already.');
    END IF;
    fresh := NOT EXISTS (SELECT FROM recovery_codes c WHERE c.person_id = current_person() AND c.used_at IS NULL);
    IF fresh THEN
        PERFORM recovery_codes_put(recovery_hashes);
    END IF;
    PERFORM second_factor_added('a security key or passkey was added');
    RETURN json_build_object('session', session_advance(new_token_sha256, 'security_key'), 'recovery_codes_taken', fresh,
                             'passkey', new_passkey);
END $$;

-- What verifying an assertion takes. As a second factor only one's own; for signing in anybody's (the credential's id is
-- the claim, its signature the proof).
CREATE FUNCTION passkey_of(credential text, for_purpose text) RETURNS TABLE (person text, algorithm int, public_key text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT k.person_id::text, k.algorithm, encode(k.public_key, 'hex')
        FROM passkeys k JOIN people p USING (person_id)
        WHERE k.credential_id = decode(credential, 'hex') AND p.disabled_at IS NULL
          AND (k.person_id = current_person() OR for_purpose = 'sign_in');
END $$;

-- It signed. A counter that does not rise is a copied key (WebAuthn Level 2, 7.2, step 21): refused, and told. False then.
CREATE FUNCTION passkey_signed(credential text, signs bigint, backup boolean) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    k passkeys;
BEGIN
    SELECT * INTO k FROM passkeys x WHERE x.credential_id = decode(credential, 'hex') FOR UPDATE;
    IF NOT FOUND OR ((signs > 0 OR k.sign_count > 0) AND signs <= k.sign_count) THEN
        PERFORM audit_everywhere(k.person_id, 'passkey.copied');
        RETURN false;
    END IF;
    UPDATE passkeys x SET sign_count = signs, backed_up = backup, last_used_at = now()
        WHERE x.person_id = k.person_id AND x.passkey_id = k.passkey_id;
    RETURN true;
END $$;

-- The second factor of a pending session.
CREATE FUNCTION passkey_advance(credential text, signs bigint, backup boolean, new_token_sha256 text) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM need_stage('second_factor');
    IF NOT passkey_signed(credential, signs, backup) THEN
        RETURN NULL; -- not refused: the line in the record stays
    END IF;
    RETURN session_advance(new_token_sha256, 'security_key');
END $$;

GRANT EXECUTE ON FUNCTION second_factors_json, recovery_codes_renew, second_factor_remove, totp_begin, totp_seed, totp_accept,
    recovery_code_use, webauthn_begin, webauthn_challenge_use, passkey_add, passkey_of, passkey_signed, passkey_advance TO overread_app;
