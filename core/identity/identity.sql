-- name: authenticate
-- lane: read
SELECT tenant_id, person_id, session_id FROM authenticate($1, $2);

-- name: login_lookup
-- lane: read
SELECT person_id, phc FROM login_lookup($1);

-- name: password_rehash
-- lane: write
-- False: the hash is another by now.
SELECT password_rehash($1::uuid, $2, $3);

-- name: session_open
-- lane: write
-- $1 person, $2 tenant's slug or NULL, $3 new session, $4 hash of its token, $5 client, $6 methods, comma-separated. Not of a
-- password: that is the next one.
SELECT session_open($1::uuid, $2, $3::uuid, $4, $5, string_to_array($6, ','));

-- name: session_open_by_password
-- lane: write
-- $1 person, $2 hash of the password that was shown, $3 tenant's slug or NULL, $4 new session, $5 hash of its token, $6 client
SELECT session_open_by_password($1::uuid, $2, $3, $4::uuid, $5, $6);

-- name: session_end
-- lane: write
-- $1 one of one's own sessions: how many ended.
SELECT my_sessions_end($1::uuid);

-- name: session_end_this
-- lane: write
SELECT my_sessions_end(current_session_id());

-- name: session_end_others
-- lane: write
SELECT my_sessions_end(NULL);

-- name: session_show
-- lane: read
SELECT session_json(current_tenant(), current_session_id());

-- name: session_list
-- lane: read
SELECT place, item FROM my_session_page($1::uuid, $2::int);

-- name: person_upsert
-- lane: write
-- Operator: a person is known by the e-mail address.
-- Operators vouch for it.
INSERT INTO people (person_id, email, name, email_verified_at) VALUES ($1::uuid, $2, $3, now())
ON CONFLICT (lower(email)) DO UPDATE SET name = EXCLUDED.name,
    email_verified_at = coalesce(people.email_verified_at, now())
RETURNING person_id;

-- name: password_put
-- lane: write
-- Operator. A new password ends what the old one opened.
SELECT password_put($1::uuid, $2);
