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


def test_replies_have_the_documented_members(tenant, client, demo_cases):
    from support.reads import read_case
    doc, trust = document(client), tenant("trainee,educator,administrator")
    me = client(trust.people[0])
    feedback = read_case(me, demo_cases[0])

    def check(value, schema, where):
        if "$ref" in schema:
            schema = doc["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        if "anyOf" in schema:
            return
        types = schema.get("type", [])
        types = [types] if isinstance(types, str) else types
        if value is None:
            assert "null" in types, where
            return
        if "object" in types and "properties" in schema:
            missing = set(schema["required"]) - set(value)
            extra = set(value) - set(schema["properties"])
            assert not missing, (where, missing)
            assert not extra or schema.get("additionalProperties", True), (where, extra)
            for name, member in value.items():
                check(member, schema["properties"].get(name, {}), f"{where}/{name}")
        if "array" in types and "items" in schema:
            for i, item in enumerate(value):
                check(item, schema["items"], f"{where}/{i}")

    for path in ("/v1/me", "/v1/session", "/v1/sessions", "/v1/tenant", "/v1/tenant/members", "/v1/tenant/webhooks", "/v1/audit", "/v1/modalities",
                 "/v1/cases", "/v1/cases/{case}", "/v1/reads", "/v1/reads/{read}", "/v1/reads/{read}/feedback", "/v1/reads/{read}/grades",
                 "/v1/performance", "/v1/board", "/v1/performance/statistics", "/v1/performance/learning",
                 "/v1/cases/{case}/statistics"):
        url = path.replace("{case}", demo_cases[0].id).replace("{read}", feedback["read"])
        params = {"modality": "prostate_mri"} if "board" in path or "performance/" in path else {}
        reply = me.get(url, params=params)
        assert reply.status_code == 200, reply.text
        schema = doc["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        check(json.loads(reply.text), schema, path)
