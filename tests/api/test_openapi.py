"""The API document and the route table say the same."""
import json
import re

METHODS = {"get", "put", "post", "delete", "patch"}


def document(client):
    return client().get("/v1/openapi.json").json()


def documented(doc):
    return {(m.upper(), path) for path, item in doc["paths"].items() for m in item if m in METHODS}


def routes(server):
    return {route: roles for route, (roles, _) in routes_with_limits(server).items()}


def routes_with_limits(server):
    lines = [line.split() for line in server.cli("routes").stdout.splitlines()]
    return {(method, path): (roles, int(limit)) for method, path, roles, limit in lines}


def test_every_route_is_documented_and_every_documented_path_exists(client, server):
    assert documented(document(client)) == set(routes(server))


def test_the_document_names_the_roles_of_the_route_table(client, server):
    doc = document(client)
    for (method, path), roles in routes(server).items():
        operation = doc["paths"][path][method.lower()]
        assert operation.get("x-roles", "-") == roles, (method, path)
        assert (operation.get("security") == []) == (roles == "-"), (method, path)


def test_every_reference_resolves_and_operation_ids_are_unique(client):
    doc = document(client)
    names = [op["operationId"] for item in doc["paths"].values() for m, op in item.items() if m in METHODS]
    assert len(names) == len(set(names))

    def walk(node):
        if isinstance(node, dict):
            if "$ref" in node:
                target = doc
                for part in node["$ref"].removeprefix("#/").split("/"):
                    target = target[part]
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(doc)


def test_every_guarded_route_refuses_who_has_no_session(client, server):
    for (method, path), (roles, limit) in routes_with_limits(server).items():
        concrete = path.replace("{modality}", "prostate_mri").replace("{file}", "0" * 64 + ".png")
        concrete = re.sub(r"{\w+}", "018f0000-0000-7000-8000-000000000000", concrete)
        reply = client().request(method, concrete, **({"json": {}} if limit else {}))
        if roles != "-":
            assert reply.status_code == 401, (method, path, reply.text)
        else:
            assert reply.status_code != 401, (method, path)


def fits(doc, value, schema, where):
    """Has a reply the members that its schema names, and no others?"""
    if "$ref" in schema:
        schema = doc["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    if "anyOf" in schema:
        alternatives = [one for one in schema["anyOf"] if (one.get("type") == "null") == (value is None)]
        assert alternatives, where
        if len(alternatives) == 1:
            fits(doc, value, alternatives[0], where)
        return
    if "enum" in schema:
        assert value in schema["enum"], (where, value)
        return
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if value is None:
        assert "null" in types, where
        return
    kinds = {str: {"string"}, bool: {"boolean"}, int: {"integer", "number"}, float: {"number"}, dict: {"object"}, list: {"array"}}
    assert not types or kinds[type(value)] & set(types), (where, value)
    if "object" in types and "properties" in schema:
        missing = set(schema["required"]) - set(value)
        extra = set(value) - set(schema["properties"])
        assert not missing, (where, missing)
        assert not extra or schema.get("additionalProperties", True), (where, extra)
        for name, member in value.items():
            fits(doc, member, schema["properties"].get(name, {}), f"{where}/{name}")
    if "array" in types and "items" in schema:
        for i, item in enumerate(value):
            fits(doc, item, schema["items"], f"{where}/{i}")


def fits_its_route(doc, reply, method, path):
    """The whole reply, by the schema of its status."""
    schema = doc["paths"][path][method]["responses"][str(reply.status_code)]["content"]["application/json"]["schema"]
    fits(doc, json.loads(reply.text), schema, path)
    return reply.json()


def test_replies_have_the_documented_members(tenant, client, demo_cases):
    from support.reads import read_case
    doc, trust = document(client), tenant("trainee,educator,administrator")
    me = client(trust.people[0])
    feedback = read_case(me, demo_cases[0])
    for path in ("/v1/me", "/v1/session", "/v1/sessions", "/v1/tenant", "/v1/tenant/members", "/v1/tenant/webhooks", "/v1/audit", "/v1/modalities",
                 "/v1/cases", "/v1/cases/{case}", "/v1/reads", "/v1/reads/{read}", "/v1/reads/{read}/feedback", "/v1/reads/{read}/grades",
                 "/v1/performance", "/v1/board", "/v1/performance/statistics", "/v1/performance/learning",
                 "/v1/cases/{case}/statistics", "/v1/billing", "/v1/entitlements"):
        url = path.replace("{case}", demo_cases[0].id).replace("{read}", feedback["read"])
        params = {"modality": "prostate_mri"} if "board" in path or "performance/" in path else {}
        reply = me.get(url, params=params)
        assert reply.status_code == 200, reply.text
        fits_its_route(doc, reply, "get", path)


def test_replies_about_what_is_sold_and_bought_have_the_documented_members(client, pg, shop):
    doc, me, boss = document(client), shop.trainee(), shop.trust()

    def get(http, path, **ids):
        reply = http.get(path.format(**ids))
        assert reply.status_code == 200, reply.text
        return fits_its_route(doc, reply, "get", path)

    made = shop.checkout(me)
    assert made.status_code == 201, made.text
    checkout = fits_its_route(doc, made, "post", "/v1/billing/checkout")["id"]
    assert get(me, "/v1/billing")["checkout"]["id"] == checkout
    shop.stripe.complete_checkout(shop.session_of(checkout))
    shown = get(me, "/v1/billing/checkout/{checkout}", checkout=checkout)
    assert get(me, "/v1/billing/subscriptions/{subscription}", subscription=shown["subscription"])["trial_end"]
    assert get(me, "/v1/billing/requests/{request}", request=checkout)["checkout"]["state"] == "complete"
    assert len(get(me, "/v1/plans")["items"]) == 5
    fits_its_route(doc, me.post("/v1/billing/portal", json={}), "post", "/v1/billing/portal")

    bought = fits_its_route(doc, shop.by_invoice(boss, purchase_order="PO-1"), "post", "/v1/billing/subscriptions")
    here = "/v1/billing/subscriptions/{subscription}"
    preview = boss.post(here.format(subscription=bought["id"]) + "/preview", json={"seats": 60})
    assert len(fits_its_route(doc, preview, "post", here + "/preview")["lines"]) > 1
    changed = boss.patch(here.format(subscription=bought["id"]), json={"cancel_at_period_end": True})
    assert fits_its_route(doc, changed, "patch", here)["cancels_at"]
    pg.query("INSERT INTO quotes (tenant_id, quote_id, plan, period, currency, seats, days_until_due, valid_until)"
             " VALUES (%s, gen_random_uuid(), 'trust-seat', 'year', 'gbp', 80, 30, now() + interval '1 day')", (boss.tenant,))
    assert get(boss, "/v1/billing/quotes")["items"][0]["amount"] == 12000
    assert get(boss, "/v1/billing/invoices")["items"]
    assert get(boss, "/v1/billing")["subscriptions"] and get(boss, "/v1/entitlements")["items"]
    event = shop.stripe.webhooks.deliver(shop.stripe.events("customer.created")[0])
    assert event.status == 200
    fits(doc, json.loads(event.body), doc["paths"]["/v1/stripe/webhook"]["post"]["responses"]["200"]["content"]["application/json"]["schema"],
         "/v1/stripe/webhook")
