-- Statements of the operator's command line, as the owning role.

-- name: operator_plans
-- lane: slow
SELECT jsonb_build_object('plan', p.plan, 'title', p.title, 'description', p.description, 'audience', p.audience,
           'modalities', to_jsonb(p.modalities), 'trial_days', p.trial_days, 'trial_with_card', p.trial_with_card,
           'grace_days', p.grace_days, 'product', p.product, 'on_sale', p.on_sale, 'place', p.place,
           'prices', (SELECT coalesce(jsonb_agg(jsonb_build_object('price', x.price, 'period', x.period, 'currency', x.currency,
                                                                   'amount', x.amount, 'on_sale', x.on_sale)
                                                ORDER BY x.on_sale DESC, x.currency, x.period, x.price), '[]')
                      FROM plan_prices x WHERE x.plan = p.plan))::text
FROM plans p
ORDER BY p.on_sale DESC, p.place, p.plan;

-- name: operator_modality_unknown
-- lane: slow
-- $1 the file's list of plans. Where the first stands that does not exist, and its name.
SELECT format('/plans/%s/modalities/%s', p.place - 1, m.place - 1), m.name
FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY p (plan, place),
     jsonb_array_elements_text(CASE jsonb_typeof(p.plan->'modalities') WHEN 'array' THEN p.plan->'modalities' ELSE '[]' END)
         WITH ORDINALITY m (name, place)
WHERE NOT EXISTS (SELECT FROM modalities x WHERE x.modality = m.name)
ORDER BY p.place, m.place
LIMIT 1;

-- name: operator_plans_lock
-- lane: slow
-- One at a time; the connection's end gives it back.
SELECT pg_advisory_lock(hashtextextended('plan apply', 0));

-- name: operator_plan_store
-- lane: write
SELECT plan_store($1::jsonb);

-- name: operator_plan_retire
-- lane: write
SELECT plan_retire($1);

-- name: operator_grant
-- lane: write
-- $1 slug, $2 modalities, $3 seats, $4 from, $5 until, $6 reason
SELECT operator_grant($1, string_to_array($2, ','), $3::int, $4::timestamptz, $5::timestamptz, $6);

-- name: operator_grant_end
-- lane: write
-- $1 slug, $2 grant, $3 reason
SELECT grant_end(tenant_by_slug($1), $2::uuid, $3);

-- name: operator_quote
-- lane: write
-- $1 id, $2 slug, $3 plan, $4 period, $5 currency, $6 seats, $7 amount, $8 days until due, $9 days it is good, $10 note
SELECT operator_quote($1::uuid, $2, $3, $4, $5, $6::int, $7::bigint, $8::int, $9::int, $10);

-- name: operator_quote_withdraw
-- lane: write
-- $1 slug, $2 quote
SELECT operator_quote_withdraw($1, $2::uuid);

-- name: operator_subscriptions
-- lane: slow
-- $1 slug or NULL
SELECT (jsonb_build_object('what', x.what, 'tenant', t.slug) || x.shown)::text
FROM tenants t, LATERAL (
    SELECT 1, s.started_at, 'subscription', subscription_json(s)::jsonb FROM subscriptions s WHERE s.tenant_id = t.tenant_id
    UNION ALL
    SELECT 2, g.starts_at, 'grant', jsonb_build_object('id', g.grant_id, 'kind', g.kind, 'modalities', to_jsonb(g.modalities),
           'seats', g.seats, 'starts_at', g.starts_at, 'ends_at', nullif(g.ends_at, 'infinity'), 'reason', g.reason,
           'created_at', g.created_at, 'revoked_at', g.revoked_at)
    FROM grants g WHERE g.tenant_id = t.tenant_id
    UNION ALL
    SELECT 3, e.starts_at, 'entitlement', jsonb_build_object('source', e.source, 'modalities', to_jsonb(e.modalities), 'seats', e.seats,
           'starts_at', e.starts_at, 'ends_at', nullif(e.ends_at, 'infinity'), 'now', e.starts_at <= now() AND e.ends_at > now())
    FROM entitlements e WHERE e.tenant_id = t.tenant_id) x (place, at, what, shown)
WHERE $1::text IS NULL OR t.tenant_id = tenant_by_slug($1)
ORDER BY t.slug, x.place, x.at, x.shown->>'id';

-- name: operator_quotes
-- lane: slow
-- $1 slug or NULL
SELECT (jsonb_build_object('tenant', t.slug) || quote_json(q)::jsonb)::text
FROM quotes q JOIN tenants t USING (tenant_id)
WHERE $1::text IS NULL OR t.tenant_id = tenant_by_slug($1)
ORDER BY t.slug, q.quote_id;

-- name: operator_tenant_by_slug
-- lane: slow
SELECT tenant_by_slug($1);

-- name: operator_stuck
-- lane: slow
SELECT line FROM billing_stuck();

-- name: operator_retry
-- lane: write
SELECT billing_retry($1);

-- name: operator_sync
-- lane: write
SELECT billing_sync();
