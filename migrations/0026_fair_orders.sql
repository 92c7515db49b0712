-- Orders that are fair to both sides: nothing more is sold to who owes, a trial is one person's once, and whoever changes a
-- subscription pays for the time that is left.

-- Trials -----------------------------------------------------------------------------------------------------------------

-- Whose trial it was, as hashes of an address and of a person's id, as throttling has them: who erases the account and signs up
-- again is known by them, and nobody else is. Three years.
CREATE TABLE trial_uses (
    audience text NOT NULL CHECK (audience IN ('individual', 'organisation')),
    key_hash bytea NOT NULL,
    used_at  timestamptz NOT NULL,
    PRIMARY KEY (audience, key_hash)
);
CREATE INDEX trial_uses_old ON trial_uses (used_at);
SELECT guard_table('trial_uses');
-- Reached by no policy: only through functions.

CREATE FUNCTION trial_key(word text) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT sha256(convert_to(lower(word), 'UTF8')) $$;

CREATE INDEX audit_log_made ON audit_log (tenant_id, entry) WHERE action = 'organisation.created';

-- Who made this organisation by signing up; nobody, of one that an operator made.
CREATE FUNCTION organisation_maker(tenant uuid) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT l.person_id FROM audit_log l WHERE l.tenant_id = tenant AND l.action = 'organisation.created' ORDER BY l.entry LIMIT 1 $$;

-- Of a personal tenant, its person; of an organisation, who made it, and who ordered what began with a trial. In the order of the
-- keys, so that two of them wait for each other at one key alone.
CREATE FUNCTION trial_remember(tenant uuid, at timestamptz) RETURNS void LANGUAGE sql AS $$
    INSERT INTO trial_uses AS u (audience, key_hash, used_at)
        SELECT DISTINCT t.kind, trial_key(x.word), at
        FROM tenants t CROSS JOIN LATERAL (
            SELECT m.person_id FROM memberships m WHERE m.tenant_id = tenant AND t.kind = 'individual'
            UNION ALL SELECT organisation_maker(tenant)
            UNION ALL SELECT i.person_id FROM billing_facts f JOIN billing_intents i ON i.tenant_id = f.tenant_id AND i.kind = 'checkout'
                          AND i.intent_id::text = f.object->'metadata'->>'overread_intent'
                      WHERE f.tenant_id = tenant AND f.kind = 'subscription' AND unix(f.object->'trial_end') IS NOT NULL) w
        JOIN people p USING (person_id), LATERAL (VALUES (p.email), (p.person_id::text)) x (word)
        WHERE t.tenant_id = tenant AND x.word <> erased_email(p.person_id)
        ORDER BY 1, 2
        ON CONFLICT (audience, key_hash) DO UPDATE SET used_at = greatest(u.used_at, EXCLUDED.used_at) $$;

CREATE FUNCTION trial_used() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM trial_remember(NEW.tenant_id, NEW.trial_used_at);
    RETURN NULL;
END $$;
CREATE TRIGGER trial_used AFTER UPDATE OF trial_used_at ON billing_accounts FOR EACH ROW
    WHEN (OLD.trial_used_at IS NULL AND NEW.trial_used_at IS NOT NULL) EXECUTE FUNCTION trial_used();

-- Another address is the same person. The one that an erasure puts there is nobody's.
CREATE FUNCTION trial_goes_along() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO trial_uses (audience, key_hash, used_at)
        SELECT u.audience, trial_key(NEW.email), u.used_at FROM trial_uses u 
        WHERE u.key_hash = trial_key(NEW.person_id::text) AND NEW.email <> erased_email(NEW.person_id)
        ORDER BY 1
        ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER trial_goes_along AFTER UPDATE OF email ON people FOR EACH ROW
    WHEN (NEW.email IS DISTINCT FROM OLD.email) EXECUTE FUNCTION trial_goes_along();

SELECT trial_remember(a.tenant_id, a.trial_used_at) FROM billing_accounts a WHERE a.trial_used_at IS NOT NULL;

-- Whose trial it is that this person orders for this tenant.
CREATE FUNCTION trial_people(tenant uuid, person uuid) RETURNS uuid[] LANGUAGE sql STABLE AS $$ SELECT ARRAY[person, organisation_maker(tenant)] $$;

-- Has who orders (or who made the organisation) had a trial elsewhere; or is a page where one begins asked for, or open, or paid and not
-- fetched yet? An hour more than a page is open: what was paid at its end may be told late.
CREATE FUNCTION trial_had(t tenants) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM people p JOIN trial_uses u ON u.audience = t.kind AND u.key_hash IN (trial_key(p.email), trial_key(p.person_id::text))
                   WHERE p.person_id = ANY (trial_people(t.tenant_id, current_person())) AND u.used_at > now() - interval '3 years')
        OR EXISTS (SELECT FROM billing_intents i JOIN tenants o ON o.tenant_id = i.tenant_id AND o.kind = t.kind
                   WHERE i.state = 'open' AND i.kind = 'checkout' AND i.tenant_id <> t.tenant_id AND i.body LIKE '%[trial_period_days]=%'
                     AND trial_people(i.tenant_id, i.person_id) && trial_people(t.tenant_id, current_person()))
        OR EXISTS (SELECT FROM checkouts c JOIN billing_intents i ON i.tenant_id = c.tenant_id AND i.intent_id = c.checkout_id
                   JOIN tenants o ON o.tenant_id = c.tenant_id AND o.kind = t.kind
                   WHERE ((c.state = 'open' AND c.expires_at > now() - interval '1 hour')
                          OR (c.state = 'complete' AND c.created_at > now() - interval '2 days'
                              AND NOT EXISTS (SELECT FROM subscriptions s WHERE s.stripe_id = c.subscription)))
                     AND c.tenant_id <> t.tenant_id AND i.body LIKE '%[trial_period_days]=%'
                     AND trial_people(i.tenant_id, i.person_id) && trial_people(t.tenant_id, current_person())) $$;

-- As in 0023, and: trial_used also where order_check gives none because of another tenant.
CREATE OR REPLACE FUNCTION billing_json() RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants := need_payer();
BEGIN
    RETURN (SELECT json_build_object(
        'currency', (SELECT a.currency FROM billing_accounts a WHERE a.tenant_id = t.tenant_id),
        'trial_used', coalesce((SELECT a.trial_used_at IS NOT NULL FROM billing_accounts a WHERE a.tenant_id = t.tenant_id), false) OR trial_had(t),
        'seats', json_build_object('bought', t.seats_bought, 'used', seats_used(t.tenant_id), 'invited', seats_invited(t.tenant_id)),
        'subscriptions', (SELECT coalesce(json_agg(subscription_json(s) ORDER BY s.started_at DESC, s.subscription_id), '[]')
                          FROM subscriptions s WHERE s.tenant_id = t.tenant_id),
        'grants', (SELECT coalesce(json_agg(json_build_object('id', g.grant_id, 'modalities', to_json(g.modalities), 'seats', g.seats,
                              'starts_at', g.starts_at, 'ends_at', nullif(g.ends_at, 'infinity'), 'revoked_at', g.revoked_at)
                              ORDER BY g.created_at DESC, g.grant_id), '[]')
                   FROM grants g WHERE g.tenant_id = t.tenant_id),
        'checkout', (SELECT json_build_object('id', c.checkout_id, 'url', c.url, 'terms', c.terms, 'expires_at', c.expires_at)
                     FROM checkouts c WHERE c.tenant_id = t.tenant_id AND c.state = 'open'),
        'under_way', (SELECT intent_json(i) FROM billing_intents i WHERE i.tenant_id = t.tenant_id AND i.state = 'open')));
END $$;

-- Who owes ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION need_no_debt(tenant uuid) RETURNS void LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF EXISTS (SELECT FROM subscriptions s WHERE s.tenant_id = tenant AND s.ended_at IS NULL AND s.status IN ('past_due', 'unpaid')) THEN
        PERFORM refuse(409, 'invoice_overdue', 'A payment is overdue: make it first, and then order more.');
    END IF;
END $$;

-- Invoices outlast their subscription, and only Stripe knows which are paid: does it have to be asked?
CREATE FUNCTION has_had_invoices(tenant uuid) RETURNS boolean LANGUAGE sql STABLE AS
$$ SELECT EXISTS (SELECT FROM subscriptions s WHERE s.tenant_id = tenant AND s.collection = 'send_invoice') $$;

-- Changes ----------------------------------------------------------------------------------------------------------------

-- As in 0023, and: n, the seats that it would have, or NULL. More of anything needs nothing to be owed; a trial keeps to the seats
-- that it began with. changed, in seconds since 1970: nothing that was changed then is reckoned from before it.
CREATE FUNCTION change_check(which uuid, to_plan text, to_period text, n int) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants := need_payer();
    s subscriptions;
    p plans;
    x plan_prices;
    began int;
BEGIN
    SELECT * INTO s FROM subscriptions y WHERE y.tenant_id = t.tenant_id AND y.subscription_id = which;
    IF NOT FOUND THEN
        PERFORM refuse(404, 'subscription_not_found', 'There is no such subscription.');
    ELSIF s.ended_at IS NOT NULL THEN
        PERFORM refuse(409, 'subscription_ended', 'This subscription has ended: take out a new one.');
    END IF;
    IF to_plan IS NOT NULL OR to_period IS NOT NULL THEN
        SELECT * INTO p FROM plans y WHERE y.plan = coalesce(to_plan, s.plan) AND y.on_sale AND y.audience = t.kind;
        IF NOT FOUND THEN
            PERFORM refuse(422, 'plan_not_found', 'There is no such plan on sale to you.', '/plan');
        END IF;
        SELECT * INTO x FROM plan_prices y
            WHERE y.plan = p.plan AND y.period = coalesce(to_period, s.period) AND y.currency = s.currency AND y.on_sale;
        IF NOT FOUND THEN
            PERFORM refuse(422, 'price_not_found', 'This plan is not sold for this period in this currency.', '/period');
        ELSIF EXISTS (SELECT FROM subscriptions y JOIN plans z USING (plan)
                      WHERE y.tenant_id = t.tenant_id AND y.subscription_id <> which AND y.ended_at IS NULL
                        AND y.status NOT IN ('incomplete_expired', 'canceled')
                        AND (z.modalities IS NULL OR p.modalities IS NULL OR z.modalities && p.modalities)) THEN
            PERFORM refuse(409, 'already_subscribed', 'Another subscription has this already.', '/plan');
        END IF;
    END IF;
    IF n > s.seats AND s.status = 'trialing' THEN
        SELECT (SELECT sum(coalesce((i->>'quantity')::int, 1)) FROM jsonb_array_elements(f.object->'items'->'data') i) INTO began
            FROM billing_facts f WHERE f.tenant_id = t.tenant_id AND f.source = s.stripe_id AND f.kind = 'subscription' ORDER BY f.fact LIMIT 1;
        IF n > greatest(began, s.seats) THEN
            PERFORM refuse(409, 'trial_running', format('The trial ends on %s. Until then it keeps to the %s that it began with: order more after it.',
                to_char(s.trial_end AT TIME ZONE 'UTC', 'FMDD FMMonth YYYY'),
                CASE greatest(began, s.seats) WHEN 1 THEN 'one seat' ELSE greatest(began, s.seats) || ' seats' END), '/seats');
        END IF;
    END IF;
    IF n > s.seats OR to_plan IS NOT NULL OR to_period IS NOT NULL THEN
        PERFORM need_no_debt(t.tenant_id);
    END IF;
    RETURN json_build_object('stripe', s.stripe_id, 'item', s.item, 'seats', s.seats, 'price', x.price, 'kind', t.kind,
        'collection', s.collection, 'cancel_at_period_end', s.cancel_at_period_end, 'cancels', s.cancel_at IS NOT NULL,
        'purchase_order', s.purchase_order, 'days_until_due', s.days_until_due, 'invoiced', has_had_invoices(t.tenant_id),
        'changed', (SELECT floor(extract(epoch FROM max(i.resolved_at)))::bigint FROM billing_intents i
                    WHERE i.tenant_id = t.tenant_id AND i.subscription = s.stripe_id AND i.state = 'done' AND i.seats_after IS NOT NULL),
        'customer', (SELECT a.customer FROM billing_accounts a WHERE a.tenant_id = t.tenant_id), 'status', s.status);
END $$;
DROP FUNCTION change_check(uuid, text, text);

-- Stripe's id of the customer; gone: there was one, and Stripe has deleted it.
CREATE FUNCTION customer_standing() RETURNS TABLE (customer text, gone boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM need_payer();
    RETURN QUERY SELECT a.customer, a.customer_gone FROM billing_accounts a WHERE a.tenant_id = current_tenant();
END $$;
DROP FUNCTION customer_show;

GRANT EXECUTE ON FUNCTION change_check(uuid, text, text, int), customer_standing TO overread_app;
