-- Since when it is known that Stripe did what an intent asked for.

-- As in 0023, but `heard`, not the end of the work on it, is when the intent was resolved (NULL: now). Its job fetches what came of it
-- before it says so; what that fetch brought is not to be taken for what was there before (seats_leaving).
DROP FUNCTION intent_resolve(uuid, uuid, text, jsonb, int, text, text);
CREATE FUNCTION intent_resolve(tenant uuid, which uuid, new_state text, answer jsonb, http_status int, why text, words text,
                               heard timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    i billing_intents;
BEGIN
    PERFORM lock_tenant(tenant);
    UPDATE billing_intents x SET state = new_state, resolved_at = coalesce(heard, now()), result = answer->>'id', status = http_status, code = why,
                                 detail = left(words, 500)
        WHERE x.tenant_id = tenant AND x.intent_id = which AND x.state = 'open' RETURNING * INTO i;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    DELETE FROM jobs j WHERE j.kind = 'billing_intent' AND j.key = which::text;
    IF new_state = 'failed' THEN
        UPDATE quotes q SET accepted_at = NULL, intent_id = NULL WHERE q.tenant_id = tenant AND q.intent_id = which;
        PERFORM audit(tenant, i.person_id, 'billing.failed', which::text, jsonb_build_object('code', why));
    ELSIF i.kind = 'customer' THEN
        INSERT INTO billing_accounts AS a (tenant_id, customer) VALUES (tenant, answer->>'id')
            ON CONFLICT (tenant_id) DO UPDATE SET customer = EXCLUDED.customer, customer_gone = false WHERE a.customer IS NULL;
    ELSIF i.kind = 'checkout' THEN
        INSERT INTO checkouts (tenant_id, checkout_id, session, url, terms, state, expires_at)
            VALUES (tenant, which, answer->>'id', coalesce(answer->>'url', ''), i.terms,
                    CASE WHEN answer->>'status' IN ('complete', 'expired') THEN answer->>'status' ELSE 'open' END,
                    coalesce(unix(answer->'expires_at'), now() + interval '24 hours'))
            ON CONFLICT DO NOTHING;
    ELSIF i.kind = 'checkout_expire' THEN
        UPDATE checkouts c SET state = 'expired' WHERE c.tenant_id = tenant AND c.session = answer->>'id' AND c.state = 'open';
    END IF;
    PERFORM seats_follow(tenant, which::text);
END $$;
GRANT EXECUTE ON FUNCTION intent_resolve TO overread_app;
