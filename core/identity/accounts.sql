-- name: throttle_take
-- lane: write
-- $1 kinds, $2 keys: text[]
SELECT wait, rate, policy FROM throttle_take($1::text[], $2::text[]);

-- name: throttle_forgive
-- lane: write
SELECT throttle_forgive($1::text[], $2::text[]);

-- name: account_request
-- lane: write
-- $1 address, $2 name, $3 the password's hash
SELECT account_request($1, $2, $3);

-- name: address_verify
-- lane: write
-- $1 hash of the link's token, $2 new person, $3 new tenant, $4 its slug, $5 hash of the password that was shown, or NULL
SELECT address_verify($1, $2::uuid, $3::uuid, $4, $5);

-- name: account_ticket_phc
-- lane: read
SELECT account_ticket_phc($1);

-- name: password_reset_request
-- lane: write
SELECT password_reset_request($1);

-- name: password_about
-- lane: read
-- $1 hash of a reset's token, or NULL: of the session's person
SELECT words, second_factor, phc FROM password_about($1);

-- name: password_reset
-- lane: write
-- $1 hash of the link's token, $2 the new password's hash, $3 whether it is short
SELECT password_reset($1, $2, $3::boolean);

-- name: password_change
-- lane: write
-- $1 hash of the password shown, $2 of the new one, $3 whether that is short, $4 hash of the session's new token
SELECT password_change($1, $2, $3::boolean, $4);

-- name: password_must_change
-- lane: write
SELECT password_must_change($1);

-- name: person_disable
-- lane: write
-- Operator. $1 address, $2 whether. False: nobody has it
SELECT person_disable($1, $2::boolean);

-- name: me_show
-- lane: read
SELECT me_json();

-- name: me_rename
-- lane: write
SELECT me_rename($1);

-- name: email_request
-- lane: write
SELECT email_request($1);

-- name: housekeeping
-- lane: slow
SELECT housekeeping($1::int);
