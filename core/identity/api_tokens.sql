-- name: api_token_create
-- lane: write
-- $1 new id, $2 hash of the token, $3 name, $4 scopes (JSON array), $5 days, $6 the person's own
SELECT api_token_create($1::uuid, $2, $3, ARRAY(SELECT DISTINCT jsonb_array_elements_text($4::jsonb)), $5::int, $6::boolean);

-- name: api_token_revoke
-- lane: write
-- $1 token or NULL for all, $2 only one's own
SELECT api_token_revoke($1::uuid, $2::boolean);

-- name: api_token_mine
-- lane: read
SELECT k.token_id, api_token_json(k) FROM api_tokens k
WHERE k.revoked_at IS NULL AND k.expires_at > now() AND ($1::uuid IS NULL OR k.token_id > $1::uuid)
ORDER BY k.token_id LIMIT $2::int;

-- name: api_token_list
-- lane: read
SELECT place, item FROM api_token_list($1::uuid, $2::int);
