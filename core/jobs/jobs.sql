-- The outbox's statements. Each is one call of a function of the migrations: the application may not touch the table.

-- name: job_claim
-- lane: write
-- $1 kinds, $2 new lease, $3 its seconds, $4 at most so many rows
SELECT id, kind, payload, attempt FROM job_claim($1::text[], $2::uuid, $3::int, $4::int);

-- name: job_done
-- lane: write
-- $1 job, $2 lease. Nothing happens when the lease is lost: another worker has it then.
SELECT job_done($1::uuid, $2::uuid);

-- name: job_again
-- lane: write
-- $1 job, $2 lease, $3 seconds until it is due again
SELECT job_again($1::uuid, $2::uuid, $3::int);

-- name: job_ensure
-- lane: write
-- The one row of a periodic kind.
SELECT job_ensure($1);

-- name: job_failed
-- lane: write
-- $1 job, $2 lease, $3 error, $4 seconds until the next attempt, $5 no further attempt
SELECT job_failed($1::uuid, $2::uuid, $3, $4::int, $5::boolean);

-- name: assume_job
-- Guards every statement that runs as a job, as authenticate does for a session. $1 job, $2 lease
SELECT tenant_id, person_id, session_id FROM assume_job($1::uuid, $2::uuid);
