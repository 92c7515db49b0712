-- Statements of billing. Each write is one function of the migrations (0022 and on).

-- name: plans_on_sale
-- lane: read
-- $1 audience or NULL
SELECT plans_on_sale($1);

-- name: billing_show
-- lane: read
SELECT billing_json();

-- name: entitlements_show
-- lane: read
SELECT entitlements_json();

-- name: organisation_create
-- lane: write
-- $1 id, $2 slug, $3 name, $4 idempotency key, $5 hash of the body
SELECT organisation_create($1::uuid, $2, $3, $4, $5);

-- name: order_check
-- lane: read
-- $1 plan, $2 period, $3 currency, $4 seats, $5 quote
SELECT order_check($1, $2, $3, $4::int, $5::uuid);

-- name: change_check
-- lane: read
-- $1 subscription, $2 new plan, $3 new period, $4 new seats
SELECT change_check($1::uuid, $2, $3, $4::int);

-- name: subscription_show
-- lane: read
SELECT subscription_show($1::uuid);

-- name: checkout_of
-- lane: read
SELECT session, state, shown FROM checkout_of($1::uuid);

-- name: checkout_settle
-- lane: write
-- $1 Stripe's session, $2 state, $3 Stripe's subscription
SELECT checkout_settle($1, $2, $3);

-- name: customer_standing
-- lane: read
SELECT customer, gone FROM customer_standing();

-- name: quote_list
-- lane: read
-- $1 cursor, $2 limit + 1
SELECT quote_id, shown FROM quotes_page($1::uuid, $2::int);

-- name: request_repeated
-- lane: read
-- $1 idempotency key, $2 hash of the request
SELECT intent, subscription FROM request_repeated($1, $2);

-- name: request_remember
-- lane: write
-- $1 idempotency key, $2 hash of the request, $3 what it stands for
SELECT request_remember($1, $2, $3::uuid);

-- name: intent_open
-- lane: write
-- $1 the intent, $2 idempotency key, $3 hash of the body
SELECT intent_open($1::jsonb, $2, $3);

-- name: intent_take
-- lane: write
-- $1 tenant, $2 intent
SELECT kind, method, path, body, subscription, customer, terms, old, created FROM intent_take($1::uuid, $2::uuid);

-- name: intent_resolve
-- lane: write
-- $1 tenant, $2 intent, $3 state, $4 Stripe's object, $5 HTTP status, $6 code, $7 detail, $8 since when that is known, NULL: now
SELECT intent_resolve($1::uuid, $2::uuid, $3, $4::jsonb, $5::int, $6, $7, $8::timestamptz);

-- name: intent_heard
-- lane: write
-- By the clock that a fetch is dated with.
SELECT clock_timestamp();

-- name: intent_show
-- lane: read
SELECT intent_show($1::uuid);

-- name: stripe_lock
-- lane: write
-- $1 object, $2 holder, $3 since
SELECT stripe_lock($1, $2::uuid, $3::timestamptz);

-- name: stripe_unlock
-- lane: write
SELECT stripe_unlock($1, $2::uuid);

-- name: subscription_store
-- lane: write
-- $1 Stripe's id, $2 holder, $3 the object or NULL, $4 cause
SELECT subscription_store($1, $2::uuid, $3::jsonb, $4);

-- name: subscriptions_of_customer
-- lane: read
SELECT subscriptions_of_customer($1);

-- name: customer_is_gone
-- lane: write
SELECT customer_is_gone($1);

-- name: customer_is_ours
-- lane: read
-- $1 customer, $2 subscription: Stripe's ids
SELECT customer_is_ours($1, $2);

-- name: stripe_event_take
-- lane: write
-- $1 the event, $2 its raw text, $3 how it came, $4 our API version, $5 our mode
SELECT stripe_event_take($1::jsonb, $2, $3, $4, $5::boolean);

-- name: stripe_event_raw
-- lane: read
SELECT raw, taken_at FROM stripe_event_raw($1);

-- name: stripe_event_settle
-- lane: write
-- $1 event, $2 state, $3 note
SELECT stripe_event_settle($1, $2, $3);

-- name: stripe_sync_queue
-- lane: write
-- $1 Stripe's subscription, $2 seconds
SELECT stripe_sync_queue($1, $2::int);

-- name: stripe_cursor_get
-- lane: read
SELECT stripe_cursor_get();

-- name: stripe_cursor_set
-- lane: write
SELECT stripe_cursor_set($1::bigint);

-- name: billing_tick
-- lane: write
SELECT billing_tick($1::int);

-- name: stripe_position_get
-- lane: read
SELECT after, begun FROM stripe_position_get($1);

-- name: stripe_position_set
-- lane: write
-- $1 list, $2 Stripe's id or NULL: it is through, $3 when its reading began
SELECT stripe_position_set($1, $2, $3::bigint);

-- name: dispute_told
-- lane: write
-- $1 customer, $2 subscription: Stripe's ids, $3 the dispute, $4 when it happened
SELECT dispute_told($1, $2, $3::jsonb, $4::bigint);

-- name: billing_counts
-- lane: read
SELECT dead, quarantined, open, disputes FROM billing_counts();
