-- name: sso_show
-- lane: read
SELECT sso_json() WHERE sso_json() IS NOT NULL;

-- name: sso_change_begin
-- lane: read
-- $1 issuer, $2 client
SELECT current_tenant()::text, sso_change_begin($1, $2);

-- name: sso_put
-- lane: write
-- $1 settings, $2 discovery, $3 keys
SELECT sso_put($1::jsonb, $2::jsonb, $3::jsonb);

-- name: sso_delete
-- lane: write
SELECT sso_delete();

-- name: sso_provider
-- lane: read
-- $1 tenant's slug
SELECT tenant::text, issuer, client_id, secret, role_claim, discovery, discovery_old, keys, keys_old FROM sso_provider($1);

-- name: sso_discovered
-- lane: write
-- $1 tenant, $2 issuer, $3 document
SELECT sso_discovered($1::uuid, $2, $3::jsonb);

-- name: sso_keys_claim
-- lane: write
SELECT sso_keys_claim($1::uuid);

-- name: sso_keys_put
-- lane: write
-- $1 tenant, $2 issuer, $3 document
SELECT sso_keys_put($1::uuid, $2, $3::jsonb);

-- name: sso_begin
-- lane: write
-- $1 tenant, $2 hash of the state, $3 of the browser's cookie, $4 issuer, $5 client, $6 nonce, $7 verifier, $8 return_to
SELECT sso_begin($1::uuid, $2, $3, $4, $5, $6, $7, $8);

-- name: sso_take
-- lane: write
-- $1 hash of the state, $2 of the browser's cookie
SELECT slug, issuer, client_id, nonce, verifier, return_to FROM sso_take($1, $2);

-- name: sso_sign_in
-- lane: write
-- $1 slug, $2 issuer, $3 client, $4 sub, $5 sid, $6 address, $7 verified, $8 name, $9 groups, $10 new person, $11 new session,
-- $12 hash of its token, $13 what the session list shows
SELECT a->>'refused' FROM sso_sign_in($1, $2, $3, $4, $5, $6, $7::boolean, $8, $9::jsonb, $10::uuid, $11::uuid, $12, $13) a;

-- name: sso_logout
-- lane: write
-- $1 tenant, $2 issuer, $3 sub, $4 sid, $5 hash of the jti
SELECT sso_logout($1::uuid, $2, $3, $4, $5);

-- name: sso_domain_confirm
-- lane: write
-- Operator.
SELECT domain_confirm($1, $2, $3::boolean);
