-- name: second_factor_list
-- lane: read
SELECT second_factors_json();

-- name: second_factor_remove
-- lane: write
-- $1 'totp' or a passkey's id
SELECT second_factor_remove($1);

-- name: recovery_codes_renew
-- lane: write
-- $1 hashes, an array literal
SELECT recovery_codes_renew($1::text[]);

-- name: recovery_code_use
-- lane: write
-- $1 hash of the code, $2 hash of the session's new token
SELECT recovery_code_use($1, $2);

-- name: totp_begin
-- lane: write
-- $1 sealed seed. The person's address comes back.
SELECT totp_begin($1);

-- name: totp_seed
-- lane: read
-- $1 of an app that is just being added
SELECT person, seed, last_step FROM totp_seed($1::boolean);

-- name: totp_accept
-- lane: write
-- $1 step, $2 confirming, $3 hash of the session's new token, $4 hashes of recovery codes
SELECT a->>'session', (a->>'recovery_codes_taken')::boolean FROM totp_accept($1::bigint, $2::boolean, $3, $4::text[]) a;
