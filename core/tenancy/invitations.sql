-- name: invite_one
-- lane: write
-- $1 one row in an array, as invite() says (migrations/0009)
SELECT line->>'result', line->>'reason', line->>'detail', line->>'field', line->>'invitation', line
FROM json_array_elements(invite($1::jsonb)) line;

-- name: invite_many
-- lane: slow
-- Up to 2,000 rows: they may take longer than a write.
SELECT json_build_object('invited', count(*) FILTER (WHERE line->>'result' = 'invited'),
                         'already_invited', count(*) FILTER (WHERE line->>'result' = 'already_invited'),
                         'already_member', count(*) FILTER (WHERE line->>'result' = 'already_member'),
                         'refused', count(*) FILTER (WHERE line->>'result' = 'refused'), 'items', coalesce(json_agg(line), '[]'::json))
FROM json_array_elements(invite($1::jsonb)) line;

-- name: invitation_list
-- lane: read
SELECT place, item FROM invitation_page($1::uuid, $2::int);

-- name: invitation_show
-- lane: read
SELECT invitation_show($1::uuid);

-- name: invitation_resend
-- lane: write
SELECT invitation_resend($1::uuid);

-- name: invitation_withdraw
-- lane: write
SELECT invitation_withdraw($1::uuid);

-- name: join_link_list
-- lane: read
SELECT l.link_id, join_link_json(l) FROM join_links l
WHERE l.tenant_id = current_tenant() AND l.withdrawn_at IS NULL AND ($1::uuid IS NULL OR l.link_id > $1::uuid)
ORDER BY l.link_id LIMIT $2::int;

-- name: join_link_create
-- lane: write
-- $1 new id, $2 hash of its token, $3 name, $4 roles as a JSON array, $5 cohort, $6 uses at most, $7 days it lives
SELECT join_link_create($1::uuid, $2, $3, ARRAY(SELECT jsonb_array_elements_text($4::jsonb)), $5::uuid, $6::int,
                        now() + $7::int * interval '1 day');

-- name: join_link_withdraw
-- lane: write
SELECT join_link_withdraw($1::uuid);

-- name: join_request
-- lane: write
-- $1 hash of the link's token, $2 address
SELECT join_request($1, $2);

-- name: invitation_preview
-- lane: read
SELECT shown, known, needs_password, words FROM invitation_preview($1);

-- name: invitation_accept
-- lane: write
-- $1 hash of the token, $2 id for a new person, $3 name, $4 password hash
SELECT invitation_accept($1, $2::uuid, $3, $4);
