-- A sample for the test of embed_sql.py. This line and the next are nobody's.

-- name: sample_first
-- What it is for: a free comment, kept out.
SELECT 1;

-- name: sample_second
-- lane: write
-- $1 who, $2 what
INSERT INTO t (a, b, "c;""d")  -- a comment behind SQL
VALUES ($2, $1, 'it''s -- no comment; and no $9 "parameter" \ ??=');

-- name: sample_third
-- lane: slow
/* dropped, too; really */
SELECT $1::text || $2 || $10 || $3 || $4 || $5 || $6 || $7 || $8 || $9;
