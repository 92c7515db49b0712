-- name: webauthn_begin
-- lane: write
-- $1 purpose, $2 challenge (hex)
SELECT who, credentials FROM webauthn_begin($1, $2);

-- name: webauthn_challenge_use
-- lane: write
-- Stands even when what follows fails: a challenge is good once.
SELECT webauthn_challenge_use($1, $2);

-- name: passkey_add
-- lane: write
-- $1 id, $2 credential id (hex), $3 algorithm, $4 public key (hex), $5 sign count, $6 verified, $7 backed up, $8 transports, $9 name,
-- $10 hash of the session's new token, $11 hashes of recovery codes
SELECT a->>'session', (a->>'recovery_codes_taken')::boolean
FROM passkey_add($1::uuid, $2, $3::int, $4, $5::bigint, $6::boolean, $7::boolean, $8::text[], $9, $10, $11::text[]) a;

-- name: passkey_of
-- lane: read
-- $1 credential id (hex), $2 purpose
SELECT person, algorithm, public_key FROM passkey_of($1, $2);

-- name: passkey_signed
-- lane: write
-- $1 credential id (hex), $2 sign count, $3 backed up
SELECT passkey_signed($1, $2::bigint, $3::boolean);

-- name: passkey_advance
-- lane: write
-- $1 credential id (hex), $2 sign count, $3 backed up, $4 hash of the session's new token
SELECT passkey_advance($1, $2::bigint, $3::boolean, $4);
