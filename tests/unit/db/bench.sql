-- Statements of the tests of db/.

-- name: authenticate
SELECT tenant_id, person_id, session_id FROM authenticate($1, $2);

-- name: assume_job
SELECT tenant_id, person_id, session_id FROM authenticate($1, $2);

-- name: who_am_i
SELECT coalesce(current_setting('overread.tenant_id', true), ''), pg_backend_pid();

-- name: my_items
SELECT tenant_id FROM items;

-- name: echo
SELECT $1::text, NULL::text, 42::bigint, true, false;

-- name: read_slowly
SELECT pg_sleep($1::float8)::text, 'rested';

-- name: many_bytes
SELECT repeat('x', 1000) FROM generate_series(1, $1::int);

-- name: all_of_shapes
SELECT * FROM shapes;

-- name: raise
SELECT refuse($1::int);

-- name: raise_custom
SELECT raise_sqlstate($1);

-- name: not_a_number
SELECT $1::int;

-- name: count_up
-- lane: write
-- A sequence does not roll back: it counts every execution.
SELECT nextval('executions');

-- name: count_up_read
SELECT nextval('executions');

-- name: flaky
-- lane: write
-- Fails with a serialisation failure until its $1-th execution.
SELECT flaky($1::int);

-- name: take_row
-- lane: write
UPDATE counters SET n = n + 1 WHERE id = $1::int RETURNING n;

-- name: write_slowly
-- lane: write
SELECT nextval('executions'), pg_sleep($1::float8)::text;

-- name: deferred_duplicate
-- lane: write
INSERT INTO deferred_keys VALUES (1) RETURNING k;

-- name: export_locked
-- lane: slow
SELECT n FROM counters WHERE id = $1::int FOR SHARE;

-- name: executions
-- lane: slow
-- How often count_up and the like ran.
SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM executions;

-- name: backend_of
-- lane: slow
SELECT max(pid) FROM pg_stat_activity WHERE application_name = $1 AND state = 'active';

-- name: waiting_for_lock
-- lane: slow
SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = $1;

-- name: terminate
-- lane: slow
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1;
