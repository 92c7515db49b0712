"""A trainee and a trust from the price list to a paid subscription and back, by API alone."""

import uuid

import pytest

from support.reads import assert_problem, open_read


def test_anybody_sees_what_is_on_sale(shop):
    shown = shop.client().get("/v1/plans", params={"audience": "individual"}).json()["items"]
    assert [plan["id"] for plan in shown] == ["prostate-one", "all-one"]
    assert {"period": "month", "currency": "jpy", "amount": 3600} in shown[0]["prices"]
    assert_problem(shop.client().get("/v1/plans", params={"audience": "all"}), 422, "unknown_value", "audience")


def test_a_trainee_pays_by_card_and_reads(shop, demo_cases):
    me = shop.trainee()
    assert me.get("/v1/tenant").json()["access"] is False
    assert_problem(me.post("/v1/reads", json={"case": demo_cases[0].id}), 402, "subscription_expired")
    bought = shop.pay(me)
    assert bought["status"] == "trialing" and bought["seats"] == 1 and bought["plan"] == "prostate-one"
    assert me.get("/v1/entitlements").json()["items"][0]["modalities"] == ["prostate_mri"]
    open_read(me, demo_cases[0])


def test_a_trust_buys_fifty_seats_by_invoice_with_its_order_number(shop):
    boss = shop.trust()
    assert boss.get("/v1/tenant").json()["seats"] == {"bought": 0, "used": 0, "invited": 0}
    reply = shop.by_invoice(boss, 50, purchase_order="PO-4711", days_until_due=20)
    assert reply.status_code == 201, reply.text
    bought = reply.json()
    assert (bought["status"], bought["seats"], bought["collection"], bought["purchase_order"], bought["days_until_due"]) == (
        "active", 50, "invoice", "PO-4711", 20)
    assert boss.get("/v1/tenant").json()["seats"]["bought"] == 50
    shop.stripe.advance(seconds=7200)
    invoice, = boss.get("/v1/billing/invoices").json()["items"]
    assert invoice["status"] == "open" and invoice["custom_fields"] == [{"name": "Purchase order", "value": "PO-4711"}]


# --- A trainee's subscription ---------------------------------------------------------------------------------------------


def test_the_trial_is_given_once(shop):
    me = shop.trainee()
    first = shop.pay(me)
    assert first["status"] == "trialing" and first["trial_end"]
    sub = shop.subscription(me)
    shop.stripe.portal_cancel(sub["id"])
    shop.stripe.advance(days=15)
    shop.told(*shop.stripe.events("customer.subscription.deleted", about=sub["id"]))
    assert me.get("/v1/billing").json()["trial_used"] is True
    assert shop.pay(me)["status"] == "active"


def test_a_declined_card_gives_nothing_and_another_may_be_tried(shop, demo_cases):
    me = shop.trainee()
    reply = shop.checkout(me, plan="all-one")
    session = shop.session_of(reply.json()["id"])
    with pytest.raises(Exception):
        shop.stripe.complete_checkout(session, "declines")
    assert me.get(f"/v1/billing/checkout/{reply.json()['id']}").json()["state"] == "open"
    assert_problem(me.post("/v1/reads", json={"case": demo_cases[0].id}), 402, "subscription_expired")
    shop.stripe.complete_checkout(session, "ok")
    assert me.get(f"/v1/billing/checkout/{reply.json()['id']}").json()["state"] == "complete"
    open_read(me, demo_cases[0])


def test_who_asks_again_for_the_same_gets_the_same_page_and_for_something_else_the_first_is_closed(shop):
    me = shop.trainee()
    first = shop.checkout(me)
    assert first.status_code == 201 and shop.checkout(me).json() == first.json()
    other = shop.checkout(me, plan="all-one").json()
    assert other["id"] != first.json()["id"]
    assert shop.stripe.get(shop.session_of(first.json()["id"]))["status"] == "expired"
    assert len(shop.stripe.all("checkout.session")) == 2


def test_a_second_subscription_to_the_same_is_refused_even_before_the_webhook(shop):
    me = shop.trainee()
    reply = shop.checkout(me)
    shop.stripe.complete_checkout(shop.session_of(reply.json()["id"]))
    assert_problem(shop.checkout(me, plan="all-one"), 409, "already_subscribed", "/plan")
    assert_problem(shop.checkout(me), 409, "already_subscribed", "/plan")
    assert len(shop.stripe.all("subscription")) == 1


def test_a_cancelled_subscription_runs_to_its_end_and_can_be_taken_up_again(shop):
    me = shop.trainee()
    mine = shop.pay(me, plan="all-one")
    path = f"/v1/billing/subscriptions/{mine['id']}"
    cancelled = me.patch(path, json={"cancel_at_period_end": True}).json()
    assert cancelled["cancels_at"] == cancelled["period_end"] and cancelled["good_until"] == cancelled["period_end"]
    assert me.patch(path, json={"cancel_at_period_end": True}).json() == cancelled
    back = me.patch(path, json={"cancel_at_period_end": False}).json()
    assert back["cancels_at"] is None and back["good_until"] > back["period_end"]


def test_a_cancellation_in_stripes_portal_is_undone_here(shop):
    me = shop.trainee()
    mine = shop.pay(me, plan="all-one")
    shop.stripe.portal_cancel(mine["stripe"])
    shop.told(*shop.stripe.events("customer.subscription.updated", about=mine["stripe"])[-1:])
    path = f"/v1/billing/subscriptions/{mine['id']}"
    assert me.get(path).json()["cancels_at"]
    assert me.patch(path, json={"cancel_at_period_end": False}).json()["cancels_at"] is None
    assert shop.stripe.get(mine["stripe"])["cancel_at"] is None


def test_an_upgrade_costs_what_its_preview_said(shop):
    me = shop.trainee()
    mine = shop.pay(me, plan="all-one")
    path = f"/v1/billing/subscriptions/{mine['id']}"
    preview = me.post(path + "/preview", json={"period": "year"}).json()
    assert preview["currency"] == "gbp" and preview["amount_due"] > 0 and preview["lines"]
    before = sum(charge["amount"] for charge in shop.stripe.charges())
    now = me.patch(path, json={"period": "year", "proration_date": preview["proration_date"]})
    assert now.status_code == 200 and now.json()["period"] == "year", now.text
    assert sum(charge["amount"] for charge in shop.stripe.charges()) - before == preview["amount_due"]


def test_an_upgrade_whose_payment_fails_changes_nothing(shop):
    me = shop.trainee()
    mine = shop.pay(me, plan="all-one")
    sub = shop.stripe.get(mine["stripe"])
    shop.stripe.next_payment(sub["customer"], "declines")
    shown = me.patch(f"/v1/billing/subscriptions/{mine['id']}", json={"period": "year"})
    assert shown.status_code in (200, 402), shown.text
    now = me.get(f"/v1/billing/subscriptions/{mine['id']}").json()
    assert now["period"] == "month" and now["awaiting_payment"] is (shown.status_code == 200)


def test_who_has_paid_nothing_more_keeps_the_record_and_opens_nothing_new(shop, demo_cases, pg):
    me = shop.trainee()
    shop.pay(me)
    read = open_read(me, demo_cases[0])
    pg.query("UPDATE entitlements SET ends_at = now() - interval '1 second' WHERE seats = 1")
    assert_problem(me.post("/v1/reads", json={"case": demo_cases[1].id}), 402, "subscription_expired")
    assert me.get(f"/v1/reads/{read['id']}").status_code == 200 and me.get("/v1/reads").json()["items"]
    assert me.get("/v1/performance").status_code == 200
    assert me.get(f"/v1/cases/{demo_cases[0].id}").json()["may_open"] is False


def test_a_sample_case_is_free_for_everybody(shop, demo_cases, pg):
    me = shop.trainee()
    pg.query("UPDATE cases SET sample = true WHERE case_id = %s", (demo_cases[2].id,))
    try:
        assert me.get(f"/v1/cases/{demo_cases[2].id}").json()["may_open"] is True
        open_read(me, demo_cases[2])
        assert_problem(me.post("/v1/reads", json={"case": demo_cases[3].id}), 402, "subscription_expired")
    finally:
        pg.query("UPDATE cases SET sample = false")


def test_a_plan_opens_its_modalities_and_no_others(shop, demo_cases, pg):
    me = shop.trainee()
    pg.query("UPDATE plans SET modalities = '{lung_ct}' WHERE plan = 'prostate-one'")
    shop.pay(me)
    assert_problem(me.post("/v1/reads", json={"case": demo_cases[0].id}), 402, "subscription_expired")


def test_yen_have_no_smaller_unit(shop):
    me = shop.trainee()
    mine = shop.pay(me, currency="jpy")
    assert (mine["amount"], mine["currency"]) == (3600, "jpy")
    assert_problem(shop.checkout(me, plan="prostate-one", currency="usd"), 422, "price_not_found", "/currency")


def test_stripes_portal_and_the_invoices_are_the_payers_own(shop):
    me, nobody = shop.trainee(), shop.trainee()
    assert_problem(nobody.post("/v1/billing/portal", json={}), 409, "nothing_bought")
    assert_problem(nobody.get("/v1/billing/invoices"), 409, "nothing_bought")
    shop.pay(me, plan="all-one")
    assert me.post("/v1/billing/portal", json={"return_path": "/account"}).json()["url"].startswith("http")
    invoice, = me.get("/v1/billing/invoices").json()["items"]
    assert invoice["status"] == "paid" and invoice["amount_paid"] == invoice["total"] > 0
    assert_problem(me.get("/v1/billing/invoices", params={"after": "in_nobodys"}), 422, "bad_cursor", "after")


def test_who_erases_the_account_pays_no_more(shop, pg):
    from support.accounts import account
    http = shop.client()
    email, word, _ = account(http, pg)
    me = shop.signed_in(email, word)
    mine = shop.pay(me)
    gone = me.request("DELETE", "/v1/me", json={"confirm": "erase", "password": word})
    assert gone.status_code in (200, 202, 204), gone.text
    shop.idle()
    assert shop.stripe.get(mine["stripe"])["status"] == "canceled"


# --- A trust's seats ------------------------------------------------------------------------------------------------------


def test_seats_are_added_with_a_preview_and_paid_at_once(shop):
    boss = shop.trust()
    mine = shop.pay(boss, plan="trust-seat", period="year", seats=10)
    path = f"/v1/billing/subscriptions/{mine['id']}"
    preview = boss.post(path + "/preview", json={"seats": 15}).json()
    assert preview["amount_due"] > 0
    more = boss.patch(path, json={"seats": 15, "proration_date": preview["proration_date"]})
    assert more.status_code == 200 and more.json()["seats"] == 15, more.text
    assert boss.get("/v1/tenant").json()["seats"]["bought"] == 15


def test_seats_that_are_not_paid_are_not_given(shop):
    boss = shop.trust()
    mine = shop.pay(boss, plan="trust-seat", period="year", seats=3)
    shop.stripe.next_payment(shop.stripe.get(mine["stripe"])["customer"], "requires_action")
    boss.patch(f"/v1/billing/subscriptions/{mine['id']}", json={"seats": 30})
    assert boss.get("/v1/tenant").json()["seats"]["bought"] == 3
    assert boss.get(f"/v1/billing/subscriptions/{mine['id']}").json()["awaiting_payment"] is True


def test_seats_never_go_below_those_in_use_or_held(shop):
    boss = shop.trust()
    mine = shop.by_invoice(boss, 5).json()
    people = [{"email": f"nurse{n}-{boss.slug}@example.org", "name": "N", "roles": ["trainee"]} for n in range(3)]
    for person in people:
        assert boss.post("/v1/tenant/invitations", json=person).status_code == 201
    path = f"/v1/billing/subscriptions/{mine['id']}"
    assert_problem(boss.patch(path, json={"seats": 2}), 409, "seats_in_use", "/seats")
    assert boss.patch(path, json={"seats": 3}).json()["seats"] == 3
    assert_problem(boss.post("/v1/tenant/invitations", json={"email": f"one-more-{boss.slug}@example.org", "name": "N", "roles": ["trainee"]}),
                   409, "seats_exhausted")
    assert_problem(shop.by_invoice(boss, 2), 409, "already_subscribed")


def test_a_trust_has_the_seats_of_its_smallest_plan(shop, demo_cases):
    """Because everybody in it opens everything: else one seat of the dear plan would open it for all."""
    boss = shop.trust()

    def bought():
        return boss.get("/v1/tenant").json()["seats"]["bought"]

    many = shop.by_invoice(boss, 50, plan="trust-breast").json()
    assert bought() == 50
    few = shop.by_invoice(boss, 2, plan="trust-prostate").json()
    assert (few["seats"], bought()) == (2, 2)
    for n, expected in ((0, 201), (1, 201), (2, 409)):
        invited = boss.post("/v1/tenant/invitations", json={"email": f"n{n}-{boss.slug}@example.org", "name": "N", "roles": ["trainee"]})
        assert invited.status_code == expected, invited.text
    assert_problem(boss.patch(f"/v1/billing/subscriptions/{few['id']}", json={"seats": 1}), 409, "seats_in_use", "/seats")
    assert boss.patch(f"/v1/billing/subscriptions/{many['id']}", json={"seats": 3}).json()["seats"] == 3 and bought() == 2
    assert boss.patch(f"/v1/billing/subscriptions/{few['id']}", json={"seats": 10}).json()["seats"] == 10 and bought() == 3
    shop.server.cli("subscription", "grant", "--tenant", boss.slug, "--seats", "4", "--until", "infinity", "--modalities", "prostate_mri",
                    "--reason", "a course")
    assert bought() == 3
    assert boss.patch(f"/v1/billing/subscriptions/{many['id']}", json={"seats": 20}).json()["seats"] == 20 and bought() == 10 + 4


def test_a_repeated_order_with_the_same_key_buys_once(shop):
    boss = shop.trust()
    key = {"Idempotency-Key": "order-1"}
    first, again = shop.by_invoice(boss, 7, headers=key), shop.by_invoice(boss, 7, headers=key)
    assert first.status_code == 201 and again.status_code == 200 and first.json() == again.json()
    assert_problem(shop.by_invoice(boss, 8, headers=key), 422, "idempotency_key_reused", "Idempotency-Key")
    assert len(shop.stripe.all("subscription")) == 1


def test_a_key_stands_for_its_target_too(shop):
    boss = shop.trust()
    mine, key = shop.by_invoice(boss, 7).json(), {"Idempotency-Key": "nine"}
    change = {"json": {"seats": 9}, "headers": key}
    assert boss.patch(f"/v1/billing/subscriptions/{mine['id']}", **change).json()["seats"] == 9
    assert_problem(boss.patch(f"/v1/billing/subscriptions/{uuid.uuid4()}", **change), 422, "idempotency_key_reused", "Idempotency-Key")


def test_what_is_under_way_stops_a_second_change_and_comes_to_an_end(shop, pg):
    boss = shop.trust()
    shop.stripe.faults.add("POST", r"/v1/subscriptions$", "applied_cut", times=3)
    reply = shop.by_invoice(boss, 9)
    assert reply.status_code == 202, reply.text
    where = reply.headers["location"]
    assert boss.get(where).json()["state"] == "open"
    assert_problem(shop.by_invoice(boss, 9), 409, "billing_busy")
    pg.query("UPDATE jobs SET run_after = now() WHERE kind = 'billing_intent'; NOTIFY overread_jobs")
    shop.idle()
    assert boss.get(where).json()["state"] == "done"
    assert boss.get("/v1/tenant").json()["seats"]["bought"] == 9 and len(shop.stripe.all("subscription")) == 1


def test_what_an_entitlement_loses_is_told_to_every_node_and_what_it_gains_is_not(shop, pg):
    boss = shop.trust()
    shop.by_invoice(boss, 5)
    listener = pg()

    def told(sql):
        listener.notifies.clear()
        with listener.cursor() as cursor:
            cursor.execute(sql + " WHERE tenant_id = %s", (boss.tenant,))
            assert cursor.rowcount == 1
            cursor.execute("SELECT 1")
        return any(one.pid == listener.get_backend_pid() for one in listener.notifies)

    try:
        with listener.cursor() as cursor:
            cursor.execute("LISTEN overread_revoked")
        assert not told("UPDATE entitlements SET ends_at = ends_at + interval '1 month', seats = 3")
        assert told("UPDATE entitlements SET ends_at = ends_at - interval '1 day'")
        assert told("UPDATE entitlements SET modalities = '{breast_mg}'")
        assert told("DELETE FROM entitlements")
    finally:
        listener.close()


def test_a_late_payment_leaves_the_stated_grace(shop, mailbox):
    boss = shop.trust()
    mine = shop.pay(boss, plan="trust-seat", period="month", seats=4)
    customer = shop.stripe.get(mine["stripe"])["customer"]
    shop.stripe.set_card(customer, "declines")
    shop.stripe.advance(days=32)
    shop.told(*shop.stripe.events("customer.subscription.updated", about=mine["stripe"])[-1:])
    late = boss.get(f"/v1/billing/subscriptions/{mine['id']}").json()
    assert late["status"] == "past_due" and late["past_due_since"] and late["good_until"] > late["past_due_since"]
    assert boss.get("/v1/tenant").json()["access"] is True
    shop.stripe.set_card(customer, "ok")
    shop.stripe.advance(days=10)
    shop.told(*shop.stripe.events("customer.subscription.updated", about=mine["stripe"])[-1:])
    paid = boss.get(f"/v1/billing/subscriptions/{mine['id']}").json()
    assert paid["status"] == "active" and paid["past_due_since"] is None


# --- Who may, and bad input -----------------------------------------------------------------------------------------------


def test_only_administrators_pay_for_an_organisation(shop, tenant):
    trust = tenant("trainee", "administrator")
    trainee = shop.client(trust["trainee"].token)
    for path in ("/v1/billing", "/v1/billing/invoices"):
        assert_problem(trainee.get(path), 403, "role_required")
    assert_problem(shop.checkout(trainee, plan="trust-seat", period="year"), 403, "role_required")
    assert shop.client(trust["administrator"].token).get("/v1/billing").status_code == 200


def test_another_tenants_checkout_subscription_and_request_are_not_there(shop):
    me, other = shop.trainee(), shop.trainee()
    checkout = shop.checkout(me).json()["id"]
    assert_problem(other.get(f"/v1/billing/checkout/{checkout}"), 404, "checkout_not_found")
    assert_problem(other.get(f"/v1/billing/requests/{checkout}"), 404, "request_not_found")
    shop.stripe.complete_checkout(shop.session_of(checkout))
    mine = me.get(f"/v1/billing/checkout/{checkout}").json()["subscription"]
    assert_problem(other.get(f"/v1/billing/subscriptions/{mine}"), 404, "subscription_not_found")
    assert_problem(other.patch(f"/v1/billing/subscriptions/{mine}", json={"cancel_at_period_end": True}), 404, "subscription_not_found")
    assert_problem(other.post(f"/v1/billing/subscriptions/{mine}/preview", json={"period": "year"}), 404, "subscription_not_found")
    assert shop.stripe.get(me.get(f"/v1/billing/subscriptions/{mine}").json()["stripe"])["cancel_at_period_end"] is False


@pytest.mark.parametrize("body, code, field", [
    ({}, "field_missing", "/plan"),
    ({"plan": "nothing", "period": "month", "currency": "gbp"}, "plan_not_found", "/plan"),
    ({"plan": "trust-seat", "period": "year", "currency": "gbp"}, "plan_not_for_you", "/plan"),
    ({"plan": "prostate-one", "period": "week", "currency": "gbp"}, "unknown_value", "/period"),
    ({"plan": "prostate-one", "period": "month", "currency": "pounds"}, "field_invalid", "/currency"),
    ({"plan": "prostate-one", "period": "month", "currency": "gbp", "seats": 2}, "out_of_range", "/seats"),
    ({"plan": "prostate-one", "period": "month", "currency": "gbp", "seats": 0}, None, "/seats"),
    ({"plan": "prostate-one", "period": "month", "currency": "gbp", "success_path": "//evil.example"}, "field_invalid", "/success_path"),
    ({"plan": "prostate-one", "period": "month", "currency": "gbp", "success_path": "https://evil.example"}, "field_invalid", "/success_path"),
    ({"plan": "prostate-one", "period": "month", "currency": "gbp", "coupon": "FREE"}, "field_unknown", "/coupon"),
])
def test_a_bad_order_names_the_field_and_asks_stripe_nothing(shop, body, code, field):
    before = len(shop.stripe.record.requests)
    assert_problem(shop.trainee().post("/v1/billing/checkout", json=body), 422, code, field)
    assert len(shop.stripe.record.requests) == before


@pytest.mark.parametrize("body, code, field", [
    ({}, "one_change", None), ({"seats": 3, "cancel_at_period_end": True}, "one_change", None), ({"seats": "3"}, "field_invalid", "/seats"),
    ({"plan": "nothing"}, "plan_not_found", "/plan"), ({"period": "day"}, "unknown_value", "/period")])
def test_a_bad_change_names_the_field(shop, body, code, field):
    boss = shop.trust()
    mine = shop.by_invoice(boss, 3).json()
    assert_problem(boss.patch(f"/v1/billing/subscriptions/{mine['id']}", json=body), 422, code, field)


def test_an_organisation_is_made_by_who_has_proven_an_address(shop):
    me = shop.trainee()
    assert_problem(me.post("/v1/organisations", json={"name": "A", "slug": "-a"}), 422, "field_invalid", "/slug")
    assert me.post("/v1/organisations", json={"name": "A", "slug": f"a-{id(me)}"}).status_code == 201
    assert_problem(me.post("/v1/organisations", json={"name": "A", "slug": f"a-{id(me)}"}), 409, "slug_taken", "/slug")


def test_stripe_away_is_a_503_and_nothing_is_lost(shop):
    me = shop.trainee()
    shop.stripe.down()
    try:
        reply = shop.checkout(me)
        assert_problem(reply, 503, "customer_pending")
        assert me.get(reply.headers["location"]).json()["kind"] == "customer"
        assert_problem(shop.checkout(me), 409, "billing_busy")
    finally:
        shop.stripe.start()
    shop.pg.query("UPDATE jobs SET run_after = now() WHERE kind = 'billing_intent'; NOTIFY overread_jobs")
    shop.idle()
    assert shop.checkout(me).status_code == 201
    assert len(shop.stripe.all("customer")) == 1


def test_a_trust_takes_what_an_operator_quoted(shop):
    boss, other = shop.trust(), shop.trust()
    quoted = shop.server.cli_json("quote", "create", "--tenant", boss.slug, "--plan", "trust-seat", "--period", "year", "--currency", "gbp",
                                  "--seats", "25", "--amount", "9900", "--days-until-due", "60")["quote"]
    shown, = boss.get("/v1/billing/quotes").json()["items"]
    assert (shown["id"], shown["seats"], shown["amount"], shown["state"]) == (quoted, 25, 9900, "open")
    path = f"/v1/billing/quotes/{quoted}/acceptance"
    assert_problem(other.post(path, json={}), 404, "quote_not_found")
    body = {"purchase_order": "PO-9", "address": {"line1": "1 Road", "city": "London", "postal_code": "N1 1AA", "country": "GB"}}
    taken = boss.post(path, json=body)
    assert taken.status_code == 201, taken.text
    assert (taken.json()["seats"], taken.json()["amount"], taken.json()["days_until_due"]) == (25, 9900, 60)
    assert_problem(boss.post(path, json=body), 409, "quote_accepted")
    assert boss.get("/v1/tenant").json()["seats"]["bought"] == 25 and len(shop.stripe.all("subscription")) == 1


def test_a_trusts_own_systems_are_told_when_its_subscription_changes(shop):
    boss = shop.trust()
    hook = boss.post("/v1/tenant/webhooks", json={"url": "https://hooks.example.org/overread", "events": ["subscription.changed"]})
    assert hook.status_code == 201, hook.text
    bought = shop.by_invoice(boss, 5).json()
    told, = boss.get(f"/v1/tenant/webhooks/{hook.json()['id']}/deliveries").json()["items"]
    assert told["type"] == "subscription.changed"
    payload, = shop.pg.query("SELECT data FROM webhook_deliveries WHERE tenant_id = %s", (boss.tenant,))[0]
    assert payload["id"] == bought["id"] and payload["seats"] == 5 and "stripe" not in payload
