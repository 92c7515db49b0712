-- name: export_request
-- lane: write
-- $1 new export, $2 new job
SELECT export_request($1::uuid, $2::uuid);

-- name: export_show
-- lane: read
SELECT description, sha256 FROM export_show($1::uuid);

-- name: export_parts
-- lane: slow
SELECT p FROM export_parts() p;

-- name: export_page_mine
-- lane: slow
-- $1 part, $2 behind this place or NULL, $3 at most so many lines
SELECT place, line FROM export_page_mine($1, $2, $3::int);

-- name: export_page
-- lane: slow
-- Operator. $1 person, then as above
SELECT place, line FROM export_page($1::uuid, $2, $3, $4::int);

-- name: export_done
-- lane: write
-- $1 export, $2 SHA-256 of the file, $3 its bytes
SELECT export_done($1::uuid, $2, $3::bigint);

-- name: exports_gone
-- lane: write
-- $1 exports whose files are here (JSON array): which of them go
SELECT e FROM exports_gone(ARRAY(SELECT jsonb_array_elements_text($1::jsonb)::uuid)) e;

-- name: erase_myself
-- lane: write
-- $1 the password was shown
SELECT erase_myself($1::boolean);

-- name: person_by_email
-- lane: write
-- Operator.
SELECT person_id FROM people WHERE lower(email) = lower($1);

-- name: person_erase
-- lane: write
-- Operator. False: was erased before
SELECT person_erase($1::uuid, 'operator', now());

-- name: erasures_list
-- lane: slow
-- Operator. Oldest first
SELECT json_build_object('person', person_id, 'erased_at', erased_at, 'why', why) FROM erasures ORDER BY erased_at, person_id;

-- name: erasure_replay
-- lane: write
-- Operator. $1 a line of the list. False: nothing to do, or nobody here has this id
SELECT person_erase(($1::json->>'person')::uuid, $1::json->>'why', ($1::json->>'erased_at')::timestamptz);
