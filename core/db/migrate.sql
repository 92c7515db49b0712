-- What the migrations runner asks. Used on a session of the owning role only, so never prepared by the server.

-- name: migrate_lock
-- Two nodes that start at once: the second waits here until the first is done.
SELECT pg_advisory_lock(7091872611);

-- name: migrate_unlock
SELECT pg_advisory_unlock(7091872611);

-- name: migrate_table_exists
SELECT to_regclass('public.overread_migrations') IS NOT NULL;

-- name: migrate_create_table
-- lane: write
CREATE TABLE public.overread_migrations (
    number     int PRIMARY KEY,
    name       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: migrate_list
SELECT number, name, sha256, to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
FROM public.overread_migrations
ORDER BY number;

-- name: migrate_record
-- lane: write
INSERT INTO public.overread_migrations (number, name, sha256) VALUES ($1::int, $2, $3);
