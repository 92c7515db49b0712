-- name: tenant_patch
-- lane: write
-- $1 If-Match, $2 what changes
SELECT tenant_patch($1, $2::jsonb);

-- name: member_show
-- lane: read
SELECT member_show(current_tenant(), $1::uuid);

-- name: member_patch
-- lane: write
-- $1 person, $2 If-Match, $3 roles as a JSON array, $4 cohort, $5 whether $4 counts, $6 break_glass
SELECT member_patch($1::uuid, $2, CASE WHEN $3::jsonb IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text($3::jsonb)) END,
                    $4::uuid, $5::boolean, $6::boolean);

-- name: member_remove
-- lane: write
SELECT member_remove($1::uuid);

-- name: my_memberships
-- lane: read
SELECT my_memberships();

-- name: my_personal_tenant
-- lane: write
SELECT my_personal_tenant();

-- name: my_leave
-- lane: write
SELECT my_leave($1::uuid);

-- name: session_switch
-- lane: write
-- $1 tenant's slug, $2 new session, $3 hash of its token
SELECT session_switch($1, $2::uuid, $3);

-- name: my_consents
-- lane: read
SELECT json_build_object('items', coalesce(json_agg(json_build_object('recipient', recipient, 'given_at', given_at,
                                                                      'withdrawn_at', withdrawn_at) ORDER BY given_at DESC), '[]'::json))
FROM consents WHERE tenant_id = current_tenant() AND person_id = current_person();

-- name: consent_give
-- lane: write
SELECT consent_give($1);

-- name: consent_withdraw
-- lane: write
SELECT consent_withdraw($1);

-- name: tenant_seats
-- lane: write
-- Operator. $1 slug, $2 seats or NULL
SELECT tenant_seats_set(tenant_id, $2::int, 'operator') FROM tenants WHERE slug = $1;
