-- name: scim_knock
-- lane: read
-- For who asks only what the service is: is the token good?
SELECT current_tenant();

-- name: scim_user_find
-- lane: read
-- As scim_user_page, for a filter that demands one user: little work. $3, $4 or $5 is not NULL
SELECT scim_user_page($1, $2::jsonb, $3, $4, $5::uuid, $6, $7::boolean, $8::int, $9::int);

-- name: scim_user_page
-- lane: slow
-- $1 base URL, $2 filter or NULL, $3 userName, $4 externalId and $5 id that it demands or NULL, $6 attribute to sort by or NULL,
-- $7 descending, $8 first, $9 how many
SELECT scim_user_page($1, $2::jsonb, $3, $4, $5::uuid, $6, $7::boolean, $8::int, $9::int);

-- name: scim_user_show
-- lane: read
-- $1 base URL, $2 user
SELECT scim_user_show($1, $2::uuid);

-- name: scim_user_create
-- lane: write
-- $1 base URL, $2 new person, $3 what to set
SELECT scim_user_create($1, $2::uuid, $3::jsonb);

-- name: scim_user_change
-- lane: write
-- $1 base URL, $2 user, $3 If-Match, $4 what changes
SELECT scim_user_change($1, $2::uuid, $3, $4::jsonb);

-- name: scim_user_delete
-- lane: write
SELECT scim_user_delete($1::uuid, $2);

-- name: scim_group_page
-- lane: slow
-- $1 base URL, $2 filter or NULL, $3 whether it asks for members, $4 whether to show them, $5 attribute to sort by or NULL,
-- $6 descending, $7 first, $8 how many
SELECT scim_group_page($1, $2::jsonb, $3::boolean, $4::boolean, $5, $6::boolean, $7::int, $8::int);

-- name: scim_group_show
-- lane: read
-- $1 base URL, $2 group, $3 with its members
SELECT scim_group_show($1, $2::uuid, $3::boolean);

-- name: scim_group_create
-- lane: write
-- $1 base URL, $2 new group, $3 what to set
SELECT scim_group_create($1, $2::uuid, $3::jsonb);

-- name: scim_group_change
-- lane: write
-- $1 base URL, $2 group, $3 If-Match, $4 what changes, $5 whether to show the members
SELECT scim_group_change($1, $2::uuid, $3, $4::jsonb, $5::boolean);

-- name: scim_group_delete
-- lane: write
SELECT scim_group_delete($1::uuid, $2);
