-- Everybody in an organisation may open everything that it has bought. So it has as many seats as the subscription that has fewest:
-- one seat of a dear plan beside fifty of a cheap one is no way to fifty readers of the dear one.

-- Seats that changes under way, or done and not fetched yet, take from each subscription. As seats_leaving was in 0022.
CREATE FUNCTION seats_leaving_each(tenant uuid) RETURNS TABLE (source uuid, n int) LANGUAGE sql STABLE AS $$
    SELECT s.subscription_id, max(s.seats - i.seats_after)::int FROM billing_intents i
    JOIN subscriptions s ON s.tenant_id = i.tenant_id AND s.stripe_id = i.subscription
    JOIN entitlements e ON e.tenant_id = s.tenant_id AND e.source = s.subscription_id AND e.ends_at > now()
    WHERE i.tenant_id = tenant AND i.seats_after < s.seats
      AND (i.state = 'open' OR (i.state = 'done' AND i.resolved_at >= s.fetched_at))
    GROUP BY s.subscription_id $$;

CREATE OR REPLACE FUNCTION seats_leaving(tenant uuid) RETURNS int LANGUAGE sql STABLE AS
$$ SELECT coalesce(sum(x.n), 0)::int FROM seats_leaving_each(tenant) x $$;

-- NULL: there is no limit. What an operator has granted adds to each subscription to the same, and counts by itself when there is none.
CREATE FUNCTION seats_counted(tenant uuid) RETURNS int LANGUAGE sql STABLE AS $$
    WITH held AS MATERIALIZED (
        SELECT e.modalities, CASE WHEN e.seats IS NOT NULL THEN greatest(e.seats - coalesce(x.n, 0), 0) END AS seats,
               s.subscription_id IS NOT NULL AS bought
        FROM entitlements e
        LEFT JOIN subscriptions s ON s.tenant_id = e.tenant_id AND s.subscription_id = e.source
        LEFT JOIN seats_leaving_each(tenant) x ON x.source = e.source
        WHERE e.tenant_id = tenant AND e.starts_at <= now() AND e.ends_at > now())
    SELECT CASE WHEN EXISTS (SELECT FROM held WHERE bought)
        THEN (SELECT min((SELECT CASE WHEN bool_and(o.seats IS NOT NULL) THEN sum(o.seats) END FROM held o
                          WHERE o.modalities IS NULL OR o.modalities @> b.modalities))
              FROM held b WHERE b.bought)
        ELSE (SELECT CASE WHEN bool_and(h.seats IS NOT NULL) THEN sum(h.seats) WHEN count(*) = 0 THEN 0 END FROM held h) END::int $$;

-- As in 0022, with seats_counted.
CREATE OR REPLACE FUNCTION seats_follow(tenant uuid, why text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    had int;
    n int := seats_counted(tenant);
BEGIN
    SELECT seats_bought INTO had FROM tenants WHERE tenant_id = tenant;
    -- A personal tenant has its one person, who pays or not.
    IF had IS DISTINCT FROM n AND EXISTS (SELECT FROM tenants WHERE tenant_id = tenant AND kind = 'organisation') THEN
        UPDATE tenants SET seats_bought = n WHERE tenant_id = tenant;
        PERFORM audit(tenant, current_person(), 'tenant.seats_set', tenant::text, jsonb_build_object('from', had, 'to', n, 'why', why));
    END IF;
    INSERT INTO billing_accounts AS a (tenant_id, next_change)
        SELECT tenant, min(x.at) FROM entitlements e, LATERAL (VALUES (e.starts_at), (e.ends_at)) x (at)
            WHERE e.tenant_id = tenant AND x.at > now() AND x.at < 'infinity'
        ON CONFLICT (tenant_id) DO UPDATE SET next_change = EXCLUDED.next_change
            WHERE a.next_change IS DISTINCT FROM EXCLUDED.next_change;
END $$;

DO $$
DECLARE
    t uuid;
BEGIN
    FOR t IN SELECT x.tenant_id FROM subscriptions x GROUP BY x.tenant_id HAVING count(*) > 1 ORDER BY 1 LOOP
        PERFORM lock_tenant(t);
        PERFORM seats_follow(t, 'seats of each plan');
    END LOOP;
END $$;
