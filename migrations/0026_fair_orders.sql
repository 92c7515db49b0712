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

-- As in 0023, and: a trial that was promised by order_check is looked at again, and nobody else orders one for the same people meanwhile.
-- Tenants are locked before people.
CREATE OR REPLACE FUNCTION intent_open(i jsonb, key text, body_sha256 text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants := need_payer();
    n int := (i->>'seats_after')::int;
BEGIN
    t := lock_tenant(t.tenant_id);
    IF EXISTS (SELECT FROM billing_intents x WHERE x.tenant_id = t.tenant_id AND x.state = 'open') THEN
        PERFORM refuse(409, 'billing_busy', 'Another change is under way: wait until it is resolved.');
    END IF;
    IF key IS NOT NULL AND idempotent(key, body_sha256, (i->>'intent')::uuid) IS NOT NULL THEN
        PERFORM refuse(409, 'billing_busy', 'The same request is under way.');
    END IF;
    IF i->>'kind' IN ('checkout', 'subscribe') THEN -- looked at before the lock, too; another may have been quicker
        PERFORM need_no_order(t.tenant_id, i->'terms'->>'plan');
        IF EXISTS (SELECT FROM checkouts c WHERE c.tenant_id = t.tenant_id AND c.state = 'open') THEN
            PERFORM refuse(409, 'billing_busy', 'A page to pay at has just been opened: ask again for it.');
        END IF;
    END IF;
    IF i->>'body' LIKE '%[trial_period_days]=%' THEN
        PERFORM FROM people p WHERE p.person_id = ANY (trial_people(t.tenant_id, current_person())) ORDER BY p.person_id FOR NO KEY UPDATE;
        IF trial_had(t) OR EXISTS (SELECT FROM billing_accounts a WHERE a.tenant_id = t.tenant_id AND a.trial_used_at IS NOT NULL) THEN
            PERFORM refuse(409, 'billing_busy', 'Your trial has just been ordered elsewhere: order again, for an order without one.');
        END IF;
    END IF;
    INSERT INTO billing_intents (tenant_id, intent_id, kind, method, path, body, subscription, seats_after, terms, person_id)
        VALUES (t.tenant_id, (i->>'intent')::uuid, i->>'kind', i->>'method', i->>'path', i->>'body', i->>'subscription', n,
                coalesce(i->'terms', '{}'), current_person());
    IF i->>'quote' IS NOT NULL THEN -- given back by intent_resolve, should it fail
        UPDATE quotes q SET accepted_at = now(), intent_id = (i->>'intent')::uuid
            WHERE q.tenant_id = t.tenant_id AND q.quote_id = (i->>'quote')::uuid AND q.accepted_at IS NULL AND q.withdrawn_at IS NULL;
        IF NOT FOUND THEN
            PERFORM refuse(409, 'quote_accepted', 'This quote has been accepted, or is not offered any more.');
        END IF;
    END IF;
    IF n IS NOT NULL AND i->'terms'->'seats' IS NULL
       AND EXISTS (SELECT FROM subscriptions s WHERE s.tenant_id = t.tenant_id AND s.stripe_id = i->>'subscription' AND s.seats <> n) THEN
        PERFORM refuse(409, 'billing_busy', 'The number of seats has just changed: look again.');
    END IF;
    IF n IS NOT NULL AND t.kind = 'organisation' THEN
        PERFORM seats_follow(t.tenant_id, i->>'intent');
        SELECT * INTO t FROM tenants WHERE tenant_id = t.tenant_id;
        IF t.seats_bought < seats_taken(t) AND seats_leaving(t.tenant_id) > 0 THEN
            PERFORM refuse(409, 'seats_in_use', format('%s seats are in use or held by invitations: take people out first.', seats_taken(t)),
                           '/seats');
        END IF;
    END IF;
    INSERT INTO jobs (id, tenant_id, kind, key, payload, run_after)
        VALUES (gen_random_uuid(), t.tenant_id, 'billing_intent', i->>'intent', jsonb_build_object('intent', i->>'intent', 'tenant', t.tenant_id),
                now() + interval '40 seconds');
    PERFORM audit(t.tenant_id, current_person(), 'billing.' || (i->>'kind'), i->>'intent', coalesce(i->'terms', '{}'));
END $$;

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

-- As in 0022, and: trials are forgotten.
CREATE OR REPLACE FUNCTION billing_tick(most int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    tenant uuid;
    n int := 0;
BEGIN
    FOR tenant IN SELECT a.tenant_id FROM billing_accounts a WHERE a.next_change <= now() ORDER BY a.tenant_id LIMIT most LOOP
        PERFORM lock_tenant(tenant);
        PERFORM seats_follow(tenant, 'time');
        n := n + 1;
    END LOOP;
    UPDATE stripe_events SET raw = NULL
        WHERE event IN (SELECT x.event FROM stripe_events x WHERE x.raw IS NOT NULL AND x.taken_at < now() - interval '60 days'
                                                              AND x.state IN ('done', 'foreign', 'ignored') LIMIT 1000);
    DELETE FROM stripe_locks WHERE object IN (SELECT x.object FROM stripe_locks x
        WHERE x.fetched_at < now() - interval '60 days' AND (x.until IS NULL OR x.until < now()) FOR UPDATE SKIP LOCKED); -- tenants are locked here
    DELETE FROM trial_uses WHERE (audience, key_hash) IN (SELECT u.audience, u.key_hash FROM trial_uses u
        WHERE u.used_at < now() - interval '3 years' LIMIT 1000 FOR UPDATE SKIP LOCKED);
    RETURN n;
END $$;

-- Who owes ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION need_no_debt(tenant uuid) RETURNS void LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF EXISTS (SELECT FROM subscriptions s WHERE s.tenant_id = tenant AND s.ended_at IS NULL AND s.status IN ('past_due', 'unpaid')) THEN
        PERFORM refuse(409, 'invoice_overdue', 'A payment is overdue: make it first, and then order more.');
    END IF;
END $$;

-- As in 0023, and: not while something is owed.
CREATE OR REPLACE FUNCTION need_no_order(tenant uuid, of_plan text) RETURNS void LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF EXISTS (SELECT FROM subscriptions s JOIN plans z USING (plan), plans p
               WHERE s.tenant_id = tenant AND s.ended_at IS NULL AND s.status NOT IN ('incomplete_expired', 'canceled') AND p.plan = of_plan
                 AND (z.modalities IS NULL OR p.modalities IS NULL OR z.modalities && p.modalities)) THEN
        PERFORM refuse(409, 'already_subscribed', 'There is a subscription to this: change that one.', '/plan');
    ELSIF EXISTS (SELECT FROM (SELECT i.result, i.created_at FROM billing_intents i
                               WHERE i.tenant_id = tenant AND i.kind = 'subscribe' AND i.state = 'done'
                               UNION ALL
                               SELECT c.subscription, c.created_at FROM checkouts c WHERE c.tenant_id = tenant AND c.state = 'complete') x (made, at)
                  WHERE x.made IS NOT NULL AND x.at > now() - interval '1 day'
                    AND NOT EXISTS (SELECT FROM subscriptions s WHERE s.tenant_id = tenant AND s.stripe_id = x.made)) THEN
        PERFORM refuse(409, 'billing_busy', 'Something has just been bought, and is being fetched: look again in a minute.');
    END IF;
    PERFORM need_no_debt(tenant);
END $$;

-- Invoices outlast their subscription, and only Stripe knows which are paid: does it have to be asked?
CREATE FUNCTION has_had_invoices(tenant uuid) RETURNS boolean LANGUAGE sql STABLE AS
$$ SELECT EXISTS (SELECT FROM subscriptions s WHERE s.tenant_id = tenant AND s.collection = 'send_invoice') $$;

-- As in 0023, and: invoiced, whether there may be invoices to look at; no trial for who has had one elsewhere.
CREATE OR REPLACE FUNCTION order_check(of_plan text, of_period text, of_currency text, n int, of_quote uuid) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t tenants := need_payer();
    a billing_accounts;
    p plans;
    q quotes;
    x plan_prices;
    c checkouts;
BEGIN
    IF of_quote IS NOT NULL THEN
        SELECT * INTO q FROM quotes y WHERE y.tenant_id = t.tenant_id AND y.quote_id = of_quote AND y.withdrawn_at IS NULL;
        IF NOT FOUND THEN
            PERFORM refuse(404, 'quote_not_found', 'There is no such quote.');
        ELSIF q.accepted_at IS NOT NULL THEN
            PERFORM refuse(409, 'quote_accepted', 'This quote has been accepted.');
        ELSIF q.valid_until <= now() THEN
            PERFORM refuse(410, 'quote_expired', 'This quote is no longer good: ask for a new one.');
        END IF;
        of_plan := q.plan; of_period := q.period; of_currency := q.currency; n := q.seats;
    END IF;
    SELECT * INTO p FROM plans y WHERE y.plan = of_plan AND (y.on_sale OR of_quote IS NOT NULL);
    IF NOT FOUND THEN
        PERFORM refuse(422, 'plan_not_found', 'There is no such plan on sale.', '/plan');
    ELSIF p.audience <> t.kind THEN
        PERFORM refuse(422, 'plan_not_for_you', 'This plan is sold to ' || CASE p.audience WHEN 'individual' THEN 'individuals' ELSE 'organisations' END || '.', '/plan');
    ELSIF t.kind = 'individual' AND n <> 1 THEN
        PERFORM refuse(422, 'out_of_range', 'An individual buys one.', '/seats');
    END IF;
    SELECT * INTO x FROM plan_prices y WHERE y.plan = of_plan AND y.period = of_period AND y.currency = of_currency AND y.on_sale;
    IF NOT FOUND AND q.amount IS NULL THEN
        PERFORM refuse(422, 'price_not_found', 'This plan is not sold for this period in this currency.', '/currency');
    END IF;
    SELECT * INTO a FROM billing_accounts y WHERE y.tenant_id = t.tenant_id;
    IF a.currency <> of_currency AND EXISTS (SELECT FROM subscriptions y WHERE y.tenant_id = t.tenant_id AND y.ended_at IS NULL) THEN
        PERFORM refuse(409, 'currency_fixed', 'Your subscription is in ' || a.currency || ': another currency needs it to end first.', '/currency');
    END IF;
    PERFORM need_no_order(t.tenant_id, of_plan);
    IF t.kind = 'organisation' AND n < seats_taken(t) THEN
        PERFORM refuse(409, 'seats_in_use', format('%s seats are in use or held by invitations.', seats_taken(t)), '/seats');
    END IF;
    SELECT * INTO c FROM checkouts y WHERE y.tenant_id = t.tenant_id AND y.state = 'open';
    RETURN json_build_object('tenant', t.tenant_id, 'slug', t.slug, 'name', t.name, 'kind', t.kind, 'customer', a.customer, 'price', x.price,
        'product', p.product, 'amount', q.amount, 'plan', of_plan, 'period', of_period, 'currency', of_currency, 'seats', n,
        'days_until_due', q.days_until_due, 'trial_with_card', p.trial_with_card, 'invoiced', has_had_invoices(t.tenant_id),
        'trial_days', CASE WHEN p.trial_days > 0 AND a.trial_used_at IS NULL AND of_quote IS NULL AND NOT trial_had(t) THEN p.trial_days ELSE 0 END,
        'email', (SELECT y.email FROM people y WHERE y.person_id = current_person()),
        'checkout', CASE WHEN c.checkout_id IS NOT NULL THEN json_build_object('id', c.checkout_id, 'session', c.session, 'url', c.url,
                         'terms', c.terms, 'expires_at', c.expires_at) END);
END $$;

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
