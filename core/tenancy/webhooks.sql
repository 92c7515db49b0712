-- Webhooks: endpoints as they are kept, and the jobs that deliver to them. The rules stand in migrations/0021.

-- name: webhook_list
-- lane: read
SELECT place, item FROM webhook_page($1::uuid, $2::int);

-- name: webhook_show
-- lane: read
SELECT webhook_show($1::uuid);

-- name: webhook_create
-- lane: write
-- $1 new id, $2 idempotency key, $3 hash of the request, $4 url, $5 events as a JSON array, $6 description, $7 sealed secret
SELECT item, sealed, item->>'id' FROM webhook_create($1::uuid, $2, $3, $4, ARRAY(SELECT jsonb_array_elements_text($5::jsonb)), $6, $7);

-- name: webhook_patch
-- lane: write
-- $1 endpoint, $2 members that change
SELECT webhook_patch($1::uuid, $2::jsonb);

-- name: webhook_delete
-- lane: write
SELECT webhook_delete($1::uuid);

-- name: webhook_secret_new
-- lane: write
-- $1 endpoint, $2 idempotency key, $3 new id, $4 sealed secret
SELECT item, sealed FROM webhook_secret_new($1::uuid, $2, $3::uuid, $4);

-- name: webhook_test
-- lane: write
SELECT webhook_test($1::uuid);

-- name: webhook_delivery_list
-- lane: read
-- $1 endpoint, $2 state or NULL, $3 cursor, $4 limit + 1
SELECT place, item FROM webhook_delivery_page($1::uuid, $2, $3::uuid, $4::int);

-- name: webhook_replay
-- lane: write
-- $1 endpoint, $2 delivery
SELECT webhook_replay($1::uuid, $2::uuid);

-- name: webhook_replay_since
-- lane: slow
-- $1 endpoint, $2 time
SELECT webhook_replay_since($1::uuid, $2);

-- name: webhook_begin
-- lane: write
-- $1 delivery. As its job.
SELECT verdict, seconds, endpoint::text, url, event_id::text, body, sealed FROM webhook_begin($1::uuid);

-- name: webhook_result
-- lane: write
-- $1 delivery, $2 status or NULL, $3 error or NULL, $4 Retry-After in seconds. As its job.
SELECT webhook_result($1::uuid, $2::int, $3, $4::int);

-- name: webhook_membership_ended
-- lane: write
-- $1 the job's payload
SELECT webhook_membership_ended($1::jsonb);

-- name: webhooks_sweep
-- lane: write
-- $1 at most so many
SELECT webhooks_sweep($1::int);
