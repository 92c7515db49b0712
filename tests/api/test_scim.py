"""SCIM 2.0: a trust's directory keeps its members."""
import itertools
import re
import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.accounts import somewhere
from support.people import Tenant
from support.reads import unknown_id

USERS, GROUPS = "/v1/scim/v2/Users", "/v1/scim/v2/Groups"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PASSWORD = "seven brown cellos in a lift"
_numbers = itertools.count(1)


def kind_of(resource):
    return USERS if "userName" in resource else GROUPS


class Directory:
    """The provisioning service of a tenant, with its token."""

    def __init__(self, server, tenant, boss):
        made = boss.post("/v1/tenant/tokens", json={"name": "directory"})
        assert made.status_code == 201, made.text
        self.tenant, self.token, self.token_id = tenant, made.json()["token"], made.json()["id"]
        self.domain = f"d{next(_numbers)}-{secrets.token_hex(4)}.example"
        self.http = server.client(self.token, headers={"Content-Type": "application/scim+json"})

    def address(self, name="nora"):
        return f"{name}-{next(_numbers)}@{self.domain}"

    def create(self, who="nora", **more):
        return self.http.post(USERS, json={"schemas": [USER], "userName": self.address(who), **more})

    def user(self, *args, **more):
        reply = self.create(*args, **more)
        assert reply.status_code == 201, reply.text
        return reply.json()

    def group(self, name, members=(), **more):
        return self.http.post(GROUPS, json={"schemas": [GROUP], "displayName": name,
                                            "members": [{"value": x["id"]} for x in members], **more})

    def patch(self, resource, *operations, **options):
        url = resource if isinstance(resource, str) else f"{kind_of(resource)}/{resource['id']}"
        return self.http.patch(url, json={"schemas": [PATCH_OP], "Operations": list(operations)}, **options)

    def get(self, resource, **params):
        return self.http.get(f"{kind_of(resource)}/{resource['id']}", params=params).json()

    def find(self, filter, **params):
        reply = self.http.get(USERS, params={"filter": filter, **params})
        assert reply.status_code == 200, reply.text
        return reply.json()["Resources"]


def replace(path, value):
    return {"op": "replace", "path": path, "value": value}


def assert_error(reply, status, scim_type=None, code=None):
    body = reply.json()
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/scim+json"
    assert (body["schemas"], body["status"], body.get("scimType")) == ([ERROR], str(status), scim_type), body
    assert body["detail"] and (code is None or body["code"] == code), body


@pytest.fixture
def trust(tenant):
    return tenant("administrator")


@pytest.fixture
def directory(server, trust, client):
    one = Directory(server, trust, client(trust["administrator"]))
    yield one
    one.http.close()


@pytest.fixture
def confirmed(server, directory):
    """The directory of a tenant whose domain an operator has confirmed."""
    server.cli("domain", "confirm", "--tenant", directory.tenant.slug, "--domain", directory.domain)
    return directory


@pytest.fixture
def other(server, tenant, client):
    trust = tenant("administrator")
    one = Directory(server, trust, client(trust["administrator"]))
    yield one
    one.http.close()


def with_password(client, mailbox, email):
    """The person sets a first password by a reset, as somebody new does."""
    assert client().post("/v1/password-resets", json={"email": email}, headers=somewhere()).status_code == 202
    token = mailbox.wait(email).token
    done = client().post("/v1/password-resets/completion", json={"token": token, "password": PASSWORD}, headers=somewhere())
    assert done.status_code == 204, done.text


def sign_in(client, email, slug):
    return client().post("/v1/sessions", json={"email": email, "password": PASSWORD, "tenant": slug}, headers=somewhere())


def audit_of(pg, tenant):
    return [row[0] for row in pg.query("SELECT action FROM audit_log WHERE tenant_id = %s ORDER BY entry", (tenant.id,))]


# --- The whole life ---------------------------------------------------------------------------------------------------


def test_somebody_comes_works_leaves_and_comes_back(confirmed, client, server, mailbox, pg):
    made = confirmed.create(externalId="00u1", name={"givenName": "Nora", "familyName": "Berg"}, displayName="Nora Berg", active=True)
    assert made.status_code == 201 and made.headers["content-type"] == "application/scim+json"
    nora = made.json()
    assert made.headers["location"] == nora["meta"]["location"] and made.headers["location"].endswith(f"{USERS}/{nora['id']}")
    assert made.headers["etag"] == nora["meta"]["version"]
    assert nora["name"] == {"formatted": "Nora Berg", "familyName": "Berg", "givenName": "Nora"}
    assert nora["emails"] == [{"value": nora["userName"], "type": "work", "primary": True}]
    assert (nora["active"], nora["externalId"], nora["meta"]["resourceType"]) == (True, "00u1", "User")

    with_password(client, mailbox, nora["userName"])
    session = sign_in(client, nora["userName"], confirmed.tenant.slug).json()
    assert (session["person"]["name"], session["roles"]) == ("Nora Berg", ["trainee"])
    with server.client(session["token"]) as me:
        assert me.get("/v1/me").json()["email_verified_at"]
        gone = confirmed.patch(nora, replace("active", False))
        assert (gone.status_code, gone.json()["active"]) == (200, False)
        assert me.get("/v1/me").status_code == 401, "the session ended at once"
    assert sign_in(client, nora["userName"], confirmed.tenant.slug).status_code == 401
    assert confirmed.find(f'userName eq "{nora["userName"]}"')[0]["active"] is False

    assert confirmed.patch(nora, replace("active", True)).json()["active"] is True
    assert sign_in(client, nora["userName"], confirmed.tenant.slug).status_code == 201
    assert confirmed.http.delete(f"{USERS}/{nora['id']}").status_code == 204
    assert_error(confirmed.http.get(f"{USERS}/{nora['id']}"), 404, code="user_not_found")
    assert_error(confirmed.http.delete(f"{USERS}/{nora['id']}"), 404)
    assert sign_in(client, nora["userName"], confirmed.tenant.slug).status_code == 401

    again = confirmed.http.post(USERS, json={"schemas": [USER], "userName": nora["userName"]})
    assert again.status_code == 201 and again.json()["id"] == nora["id"], "the record is the same person's"
    assert "externalId" not in again.json() and "name" not in again.json()
    told = [a for a in audit_of(pg, confirmed.tenant) if a.startswith(("scim.", "member."))]
    assert told == ["member.added"] + [  # the administrator
                    "member.added", "scim.user_created", "member.left", "scim.user_changed", "member.added", "scim.user_changed",
                    "member.left", "scim.user_deleted", "member.added", "scim.user_created"]
    detail = pg.query("SELECT detail::text FROM audit_log WHERE tenant_id = %s AND action LIKE 'scim.%%'", (confirmed.tenant.id,))
    assert "Nora" not in str(detail) and "@" not in str(detail)
    assert server.cli("audit", "verify", "--tenant", confirmed.tenant.slug).returncode == 0


def test_checklist_sessions_deprovisioning_frees_the_seat_at_once(directory, server, client, pg):
    server.cli("tenant", "seats", directory.tenant.slug, "1")
    first = directory.user()
    refused = directory.create()
    assert_error(refused, 409, None, "seats_exhausted")
    directory.patch(first, replace("active", False))
    second = directory.user()
    assert_error(directory.patch(first, replace("active", True)), 409, None, "seats_exhausted")
    assert directory.get(first)["active"] is False, "nothing of it was done"
    assert directory.http.delete(f"{USERS}/{second['id']}").status_code == 204
    assert directory.patch(first, replace("active", True)).status_code == 200


def test_checklist_sessions_of_who_is_deprovisioned_end_at_once(directory, server, client):
    person = directory.tenant.add("trainee")
    me = client(person)
    token = me.post("/v1/me/tokens", json={"name": "t", "scopes": ["cases:read"]}).json()["token"]
    assert directory.patch(f"{USERS}/{person.id}", replace("active", False)).status_code == 200
    with server.client(token) as program:
        assert (me.get("/v1/session").status_code, program.get("/v1/cases").status_code) == (401, 401)
    again = client().post("/v1/sessions", headers=somewhere(),
                          json={"email": person.email, "password": person.password, "tenant": directory.tenant.slug})
    assert again.status_code == 401


def test_a_refused_creation_leaves_no_person_behind(directory, server, pg):
    server.cli("tenant", "seats", directory.tenant.slug, "0")
    refused = directory.create("ghost")
    assert_error(refused, 409, None, "seats_exhausted")
    assert pg.query("SELECT count(*) FROM people WHERE email LIKE %s", (f"ghost-%@{directory.domain}",)) == [(0,)]


def test_who_is_created_inactive_takes_no_seat_until_made_active(directory, server):
    server.cli("tenant", "seats", directory.tenant.slug, "0")
    quiet = directory.user(active=False)
    assert quiet["active"] is False
    assert_error(directory.patch(quiet, replace("active", True)), 409, None, "seats_exhausted")
    server.cli("tenant", "seats", directory.tenant.slug, "1")
    assert directory.patch(quiet, replace("active", True)).json()["active"] is True


def test_the_last_administrator_stays(directory, trust):
    boss = directory.find(f'userName eq "{trust["administrator"].email}"')[0]
    assert_error(directory.patch(boss, replace("active", False)), 409, None, "last_administrator")
    assert_error(directory.http.delete(f"{USERS}/{boss['id']}"), 409, None, "last_administrator")
    assert directory.get(boss)["active"] is True


def test_a_repeated_creation_is_a_conflict_whatever_the_case(directory):
    nora = directory.user()
    for name in (nora["userName"], nora["userName"].upper()):
        assert_error(directory.http.post(USERS, json={"schemas": [USER], "userName": name}), 409, "uniqueness")
    directory.patch(nora, replace("active", False))
    assert_error(directory.http.post(USERS, json={"schemas": [USER], "userName": nora["userName"]}), 409, "uniqueness")


def test_ten_creations_at_once_make_one_user(directory, server):
    body = {"schemas": [USER], "userName": directory.address()}

    def create(_):
        with server.client(directory.token) as http:
            return http.post(USERS, json=body).status_code

    with ThreadPoolExecutor(5) as pool:
        assert sorted(pool.map(create, range(10))) == [201] + [409] * 9
    assert len(directory.find(f'userName eq "{body["userName"]}"')) == 1


# --- Who may ask ------------------------------------------------------------------------------------------------------


def test_only_a_living_provisioning_token_is_let_in(directory, server, trust, client, pg):
    boss = client(trust["administrator"])
    own = boss.post("/v1/me/tokens", json={"name": "t", "scopes": ["scim:write"]}).json()["token"]
    for token, status in ((trust["administrator"].token, 403), (own, 403), ("ovt_" + "x" * 43, 401)):
        with server.client(token) as http:
            assert_error(http.get(USERS), status)
    with server.client() as http:
        refused = http.get(USERS)
        assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
    assert directory.http.get(USERS).status_code == 200
    pg.query("UPDATE api_tokens SET expires_at = now() WHERE token_id = %s", (directory.token_id,))
    assert_error(directory.http.get(USERS), 401)
    pg.query("UPDATE api_tokens SET expires_at = now() + interval '1 day' WHERE token_id = %s", (directory.token_id,))
    assert directory.http.get(USERS).status_code == 200
    assert boss.delete(f"/v1/tenant/tokens/{directory.token_id}").status_code == 204
    assert_error(directory.http.get(USERS), 401)


def test_another_tenants_ids_are_nobodys(directory, other):
    theirs, ours = other.user(), directory.user()
    group = other.group("Their Cohort", [theirs]).json()
    for method, url in (("GET", f"{USERS}/{theirs['id']}"), ("DELETE", f"{USERS}/{theirs['id']}"), ("GET", f"{GROUPS}/{group['id']}"),
                        ("DELETE", f"{GROUPS}/{group['id']}"), ("GET", f"{USERS}/none"), ("GET", f"{USERS}/{unknown_id()}")):
        assert_error(directory.http.request(method, url), 404)
    assert_error(directory.patch(f"{USERS}/{theirs['id']}", replace("active", False)), 404)
    assert_error(directory.patch(f"{GROUPS}/{group['id']}", replace("displayName", "Mine")), 404)
    assert_error(directory.http.put(f"{USERS}/{theirs['id']}", json={"schemas": [USER], "userName": directory.address()}), 404)
    assert_error(directory.group("Ours", [ours, theirs]), 400, "invalidValue", "no_such_member")
    assert directory.http.get(GROUPS).json()["totalResults"] == 0, "all or nothing"
    for question in (f'id eq "{theirs["id"]}"', f'userName eq "{theirs["userName"]}"', 'id eq "none"'):
        assert directory.find(question) == []
    assert other.get(theirs)["active"] is True


def test_support_is_no_user_of_the_directory(directory, server, tenant):
    operator = tenant("trainee").people[0]
    server.cli("operator", "add", "--email", operator.email, "--name", operator.name)
    server.cli("support", "open", "--tenant", directory.tenant.slug, "--operator", operator.email, "--hours", "1", "--reason", "a test")
    assert directory.find(f'userName eq "{operator.email}"') == []
    assert_error(directory.patch(f"{USERS}/{operator.id}", replace("active", False)), 404)
    assert_error(directory.http.post(USERS, json={"schemas": [USER], "userName": operator.email}), 409, "uniqueness")


# --- What a directory may say of a person -------------------------------------------------------------------------------


def test_a_persons_account_elsewhere_is_linked_and_never_changed(confirmed, other, client, server, pg):
    person = other.tenant.add("trainee", email=confirmed.address("shared"), name="My Own Name")
    linked = confirmed.http.post(USERS, json={"schemas": [USER], "userName": person.email, "displayName": "Trust's Name",
                                              "password": "the trust's choice of words"})
    assert linked.status_code == 201 and linked.json()["id"] == person.id
    assert linked.json()["displayName"] == "Trust's Name"
    user = linked.json()
    assert confirmed.patch(user, replace("displayName", "Another"), replace("name.familyName", "Else")).status_code == 200
    assert_error(confirmed.patch(user, replace("userName", confirmed.address())), 400, "mutability")
    assert_error(confirmed.patch(user, replace('emails[type eq "work"].value', confirmed.address())), 400, "mutability")
    me = client(person)
    assert (me.get("/v1/me").json()["name"], me.get("/v1/me").json()["email"]) == ("My Own Name", person.email)
    assert other.get({"id": person.id, "userName": 1})["displayName"] == "My Own Name", "the other tenant sees nothing of it"
    confirmed.http.delete(f"{USERS}/{person.id}")
    assert me.get("/v1/me").status_code == 200, "the other tenant's session goes on"
    assert person.login()["roles"] == ["trainee"], "with the password it had"


def test_nobody_is_taken_in_by_an_address_that_nobody_confirmed(directory, other, pg):
    person = other.tenant.add("trainee", email=directory.address("shared"))
    assert_error(directory.http.post(USERS, json={"schemas": [USER], "userName": person.email}), 409, "uniqueness")
    assert pg.query("SELECT count(*) FROM memberships WHERE person_id = %s", (person.id,)) == [(1,)]


def test_an_unproven_account_is_not_linked_even_under_a_confirmed_domain(confirmed, other, pg):
    person = other.tenant.add("trainee", email=confirmed.address("waiting"))
    pg.query("UPDATE people SET email_verified_at = NULL WHERE person_id = %s", (person.id,))
    assert_error(confirmed.http.post(USERS, json={"schemas": [USER], "userName": person.email}), 409, "uniqueness")


def test_an_address_is_proven_only_under_a_confirmed_domain(directory, client, server, pg):
    def proven(user):
        return pg.query("SELECT email_verified_at IS NOT NULL FROM people WHERE person_id = %s", (user["id"],))[0][0]

    boss = client(directory.tenant["administrator"])
    assert boss.patch("/v1/tenant", json={"domains": [directory.domain]}).status_code == 200
    before = directory.user()
    assert not proven(before), "what an administrator says of the own domains proves nothing"
    server.cli("domain", "confirm", "--tenant", directory.tenant.slug, "--domain", directory.domain)
    assert proven(directory.user()) and not proven(before)


def test_only_addresses_of_the_tenants_domains_come_in(directory, client):
    boss = client(directory.tenant["administrator"])
    assert boss.patch("/v1/tenant", json={"domains": [directory.domain]}).status_code == 200
    stranger = {"schemas": [USER], "userName": f"x-{secrets.token_hex(4)}@elsewhere.example"}
    assert_error(directory.http.post(USERS, json=stranger), 400, "invalidValue", "domain_not_allowed")
    assert_error(directory.patch(directory.user(), replace("userName", stranger["userName"])), 400, "invalidValue", "domain_not_allowed")


def test_name_and_address_follow_the_directory_of_who_belongs_to_it_alone(confirmed, client, mailbox, pg):
    nora = confirmed.user(displayName="Nora Berg")
    with_password(client, mailbox, nora["userName"])
    married = confirmed.address("hansen")
    changed = confirmed.patch(nora, replace("displayName", "Nora Hansen"), replace("userName", married))
    assert (changed.json()["userName"], changed.json()["emails"][0]["value"]) == (married, married)
    session = sign_in(client, married, confirmed.tenant.slug).json()
    assert (session["person"]["name"], session["person"]["email"]) == ("Nora Hansen", married)
    taken = confirmed.user()["userName"]
    assert_error(confirmed.patch(nora, replace("userName", taken)), 409, "uniqueness")
    assert_error(confirmed.patch(nora, replace("userName", "x@elsewhere.example")), 400, "mutability")


def test_nobody_waits_in_an_account_for_the_owner_of_its_address(directory, client, mailbox, pg):
    """An address under a domain that is not the tenant's goes to nobody who could sign in to it already."""
    mine = directory.user()
    with_password(client, mailbox, mine["userName"])
    pg.query("UPDATE people SET email_verified_at = NULL WHERE person_id = %s", (mine["id"],))
    assert_error(directory.patch(mine, replace("userName", "victim@bigmail.example")), 400, "mutability")
    pg.query("UPDATE people SET email_verified_at = now() WHERE person_id = %s", (mine["id"],))
    assert_error(directory.patch(mine, replace("userName", directory.address())), 400, "mutability")
    unborn = directory.user()
    moved = directory.patch(unborn, replace("userName", directory.address("corrected")))
    assert moved.status_code == 200, "who has no way to sign in yet may be corrected"
    assert pg.query("SELECT email_verified_at FROM people WHERE person_id = %s", (unborn["id"],)) == [(None,)]


def test_erasure_takes_what_the_directory_said(directory, server, pg):
    nora = directory.user(externalId="00u7", displayName="Nora Berg")
    server.cli("person", "erase", "--email", nora["userName"], "--yes")
    assert_error(directory.http.get(f"{USERS}/{nora['id']}"), 404)
    assert directory.find('externalId eq "00u7"') == []
    assert pg.query("SELECT count(*) FROM scim_users WHERE person_id = %s", (nora["id"],)) == [(0,)]


# --- Filters ------------------------------------------------------------------------------------------------------------

PEOPLE = [dict(name="anna", externalId="E1", displayName="Anna Lind"), dict(name="bert", externalId="e1", displayName="bert LIND"),
          dict(name="cleo", displayName="Cleo"), dict(name="dora", externalId="E2", active=False), dict(name="emil", displayName='"Q" \\ Ä')]
FILTERS = [
    ('userName sw "anna"', lambda u: u["userName"].startswith("anna")),
    ('USERNAME SW "ANNA"', lambda u: u["userName"].startswith("anna")),
    ('userName ew ".example"', lambda u: u["userName"].endswith(".example")),
    ('userName co "-"', lambda u: "-" in u["userName"]),
    ('userName ne "x"', lambda u: True),
    ('userName co "%"', lambda u: False),
    ('userName co "_"', lambda u: "_" in u["userName"]),
    ('externalId eq "E1"', lambda u: u.get("externalId") == "E1"),
    ('externalId ne "E1"', lambda u: u.get("externalId") != "E1"),
    ("externalId pr", lambda u: "externalId" in u),
    ("not (externalId pr)", lambda u: "externalId" not in u),
    ("externalId eq null", lambda u: "externalId" not in u),
    ('externalId sw "E"', lambda u: u.get("externalId", "").startswith("E")),
    ('displayName co "lind"', lambda u: "lind" in u["displayName"].lower()),
    ('displayName eq "ANNA LIND"', lambda u: u["displayName"].lower() == "anna lind"),
    ('displayName eq "\\"Q\\" \\\\ \\u00c4"', lambda u: u["displayName"] == '"Q" \\ Ä'),
    ("active eq true", lambda u: u["active"]),
    ("active eq false", lambda u: not u["active"]),
    ("active ne true", lambda u: not u["active"]),
    ('active eq "False"', lambda u: not u["active"]),
    ('emails.value sw "cleo"', lambda u: u["userName"].startswith("cleo")),
    ('emails[type eq "work" and value sw "cleo"]', lambda u: u["userName"].startswith("cleo")),
    ('emails[type eq "home"]', lambda u: False),
    ('emails[type eq "work"].value sw "dora"', lambda u: u["userName"].startswith("dora")),
    ('userName sw "anna" or userName sw "bert" and active eq false', lambda u: u["userName"].startswith("anna")),
    ('(userName sw "anna" or userName sw "bert") and active eq false', lambda u: False),
    ('(userName sw "anna" or userName sw "bert") and externalId eq "e1"', lambda u: u.get("externalId") == "e1"),
    ('not (userName sw "anna") and not (userName sw "bert")', lambda u: u["userName"][:4] not in ("anna", "bert")),
    ("not (active eq true and externalId pr)", lambda u: not (u["active"] and "externalId" in u)),
    ('meta.lastModified gt "2020-01-01T00:00:00Z"', lambda u: True),
    ('meta.lastModified lt "2020-01-01T00:00:00Z"', lambda u: False),
    ('id ne "x"', lambda u: True),
    ("urn:ietf:params:scim:schemas:core:2.0:User:externalId eq \"E2\"", lambda u: u.get("externalId") == "E2"),
]


@pytest.fixture(scope="module")
def populated(_server, pg):
    pg.ensure_running()
    trust = Tenant(_server)
    boss = trust.add("administrator")
    with _server.client(boss.token) as http:
        one = Directory(_server, trust, http)
    for person in PEOPLE:
        one.user(person["name"], **{key: value for key, value in person.items() if key != "name"})
    yield one
    one.http.close()


@pytest.mark.parametrize("filter,matches", FILTERS, ids=[f for f, _ in FILTERS])
def test_a_filter_finds_what_it_says(server, populated, filter, matches):
    everybody = populated.http.get(USERS).json()["Resources"]
    assert len(everybody) == len(PEOPLE) + 1
    found = populated.find(filter)
    assert [u["id"] for u in found] == [u["id"] for u in everybody if matches(u)]


def test_times_and_ids_are_compared_as_such(server, populated):
    everybody = populated.http.get(USERS).json()["Resources"]
    moments = sorted(u["meta"]["lastModified"] for u in everybody)
    middle = moments[len(moments) // 2]
    for op, keeps in (("gt", lambda m: m > middle), ("ge", lambda m: m >= middle), ("lt", lambda m: m < middle),
                      ("le", lambda m: m <= middle), ("eq", lambda m: m == middle)):
        found = populated.find(f'meta.lastModified {op} "{middle}"')
        assert sorted(u["meta"]["lastModified"] for u in found) == [m for m in moments if keeps(m)], op
    shifted = middle.replace("Z", "+00:00")
    assert len(populated.find(f'meta.lastModified eq "{shifted}"')) == 1
    for user in everybody:
        assert [u["id"] for u in populated.find(f'id eq "{user["id"]}"')] == [user["id"]]
        assert [u["id"] for u in populated.find(f'userName eq "{user["userName"].upper()}" and active pr')] == [user["id"]]


@pytest.mark.parametrize("filter", ['userName', 'userName eq', 'userName xx "a"', "nickName eq \"a\"", "(active pr", "a" * 500,
                                    'userName eq "a" or', "active gt true", "meta.lastModified gt \"yesterday\"",
                                    "(" * 40 + "active pr" + ")" * 40, " or ".join(["active pr"] * 51), 'userName eq "\\u0000"'])
def test_what_is_no_filter_is_refused(server, populated, filter):
    assert_error(populated.http.get(USERS, params={"filter": filter}), 400, "invalidFilter")


def test_a_filter_is_never_part_of_the_sql(server, populated):
    for words in ("' OR 1=1 --", "$1", "'; DROP TABLE people; --", "{}", "%", "\\'"):
        escaped = words.replace("\\", "\\\\")
        for attribute in ("userName", "externalId", "displayName", "id"):
            assert populated.find(f'{attribute} eq "{escaped}"') == []
            assert populated.find(f'{attribute} sw "{escaped}"') == []


# --- Pages, sorting, projection -------------------------------------------------------------------------------------------


def test_pages_neither_skip_nor_repeat_while_others_come(directory, server, pg):
    server.cli("tenant", "seats", directory.tenant.slug, "400")
    with ThreadPoolExecutor(4) as pool:
        def create(n):
            with server.client(directory.token) as http:
                return http.post(USERS, json={"schemas": [USER], "userName": f"p{n}@{directory.domain}"}).json()["id"]
        made = set(pool.map(create, range(250)))
    assert len(made) == 250
    seen, start = [], 1
    while True:
        page = directory.http.get(USERS, params={"startIndex": start, "count": 33}).json()
        assert (page["totalResults"] >= 251, page["startIndex"], page["itemsPerPage"]) == (True, start, len(page["Resources"]))
        seen += [u["id"] for u in page["Resources"]]
        if not page["Resources"]:
            break
        start += len(page["Resources"])
        if len(seen) in (33, 99):
            directory.user("late")
    assert len(seen) == len(set(seen)) == 253 and made <= set(seen)
    assert len(directory.http.get(USERS, params={"count": 100000}).json()["Resources"]) == 200
    assert directory.http.get(USERS).json()["itemsPerPage"] == 200
    nothing = directory.http.get(USERS, params={"count": 0}).json()
    assert (nothing["totalResults"], nothing["Resources"]) == (253, [])
    assert directory.http.get(USERS, params={"startIndex": -5, "count": 1}).json()["startIndex"] == 1
    assert directory.http.get(USERS, params={"startIndex": 1000}).json()["Resources"] == []
    assert_error(directory.http.get(USERS, params={"count": "many"}), 400, "invalidValue")


def test_sorting_is_by_an_attribute_without_regard_to_case(server, populated):
    def names(**params):
        return [u["displayName"].lower() for u in populated.http.get(USERS, params=params).json()["Resources"]]

    assert names(sortBy="displayName") != names()
    up, down = names(sortBy="displayName", sortOrder="ascending"), names(sortBy="DISPLAYNAME", sortOrder="descending")
    assert up == down[::-1] and set(up) == set(names())
    letters = [name for name in up if name[0].isalpha()]
    assert letters == sorted(letters)
    assert_error(populated.http.get(USERS, params={"sortBy": "shoeSize"}), 400, "invalidValue")
    assert_error(populated.http.get(USERS, params={"sortOrder": "sideways"}), 400, "invalidValue")


def test_a_client_chooses_attributes(directory):
    nora = directory.user(name={"givenName": "Nora", "familyName": "Berg"})
    url = f"{USERS}/{nora['id']}"

    def keys(**params):
        return set(directory.http.get(url, params=params).json())

    assert keys(attributes="userName") == {"schemas", "id", "userName"}
    assert directory.http.get(url, params={"attributes": "name.familyName,EMAILS.value"}).json() == {
        "schemas": [USER], "id": nora["id"], "name": {"familyName": "Berg"}, "emails": [{"value": nora["userName"]}]}
    assert keys(excludedAttributes="emails, meta,id") == keys() - {"emails", "meta"}
    assert directory.http.get(url, params={"excludedAttributes": "name.givenName"}).json()["name"] == {
        "formatted": "Nora Berg", "familyName": "Berg"}
    page = directory.http.get(USERS, params={"attributes": f"{USER}:userName"}).json()
    assert all(set(u) == {"schemas", "id", "userName"} for u in page["Resources"]) and page["totalResults"] == 2
    assert_error(directory.http.get(url, params={"attributes": "id", "excludedAttributes": "name"}), 400, "invalidValue")


# --- Changes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operations,expected", [
    ([{"op": "replace", "path": "active", "value": False}], {"active": False}),
    ([{"op": "Replace", "path": "active", "value": "False"}], {"active": False}),                       # Entra ID
    ([{"op": "replace", "value": {"active": False}}], {"active": False}),                               # Okta
    ([{"op": "Add", "path": "name.familyName", "value": "Hansen"}], {"name": {"givenName": "Nora", "familyName": "Hansen",
                                                                               "formatted": "Nora Hansen"}}),
    ([{"op": "Replace", "path": "displayName", "value": "N. H."}, {"op": "Add", "path": "externalId", "value": "42"}],
     {"displayName": "N. H.", "externalId": "42"}),
    ([{"op": "Add", "value": {"name.givenName": "Leonora", f"{ENTERPRISE}:department": "X-ray"}}],      # Entra ID
     {"name": {"givenName": "Leonora", "familyName": "Berg", "formatted": "Leonora Berg"}}),
    ([{"op": "replace", "path": "name", "value": {"familyName": "Hansen"}}],
     {"name": {"givenName": "Nora", "familyName": "Hansen", "formatted": "Nora Hansen"}}),
    ([{"op": "remove", "path": "name.givenName"}], {"name": {"familyName": "Berg", "formatted": "Berg"}}),
    ([{"op": "Remove", "path": "name"}], {"name": None}),
    ([{"op": "remove", "path": "externalId"}], {"externalId": None}),
    ([{"op": "replace", "path": "title", "value": "Dr"}, {"op": "Add", "path": 'phoneNumbers[type eq "work"].value', "value": "1"},
      {"op": "Add", "path": f"{ENTERPRISE}:employeeNumber", "value": "1"}, {"op": "replace", "path": "password", "value": "x"}], {}),
    ([{"op": "replace", "path": 'emails[type eq "home"].value', "value": "home@elsewhere.example"}], {}),
    ([{"op": "add", "path": f"{USER}:displayName", "value": "U"}], {"displayName": "U"}),
])
def test_a_patch_does_what_directories_mean_by_it(directory, operations, expected):
    nora = directory.user(externalId="E", name={"givenName": "Nora", "familyName": "Berg"}, displayName="Nora Berg")
    changed = directory.patch(nora, *operations)
    assert changed.status_code == 200, changed.text
    after = changed.json()
    for name in ("externalId", "userName", "name", "displayName", "active", "emails"):
        assert after.get(name) == expected.get(name, nora.get(name)), name
    assert directory.get(nora) == after
    assert (after["meta"]["version"] != nora["meta"]["version"]) == bool(expected)


@pytest.mark.parametrize("path", ["userName", "emails", 'emails[type eq "work"].value', 'emails[primary eq true].value', None])
def test_the_address_is_changed_by_any_of_its_names(directory, path):
    nora, new = directory.user(), directory.address("new")
    emails = [{"value": "home@elsewhere.example", "type": "home"}, {"value": new, "type": "work", "primary": True}]
    operation = replace(path, emails if path == "emails" else new) if path else {"op": "replace", "value": {"emails": emails}}
    changed = directory.patch(nora, operation).json()
    assert (changed["userName"], changed["emails"][0]["value"]) == (new, new)


@pytest.mark.parametrize("operations,scim_type", [
    ([replace("displayName", "Changed"), replace("shoeSize", 43)], "invalidPath"),
    ([replace("displayName", "Changed"), replace("id", "x")], "mutability"),
    ([replace("displayName", "Changed"), replace("groups", [])], "mutability"),
    ([replace("displayName", "Changed"), {"op": "remove"}], "noTarget"),
    ([replace("displayName", "Changed"), {"op": "remove", "path": "userName"}], "invalidValue"),
    ([replace("displayName", "Changed"), replace("userName", "no address")], "invalidValue"),
    ([replace("displayName", "Changed"), replace("active", "maybe")], "invalidValue"),
    ([replace("displayName", "x" * 201)], "invalidValue"),
    ([replace("displayName", "Changed"), {"op": "jump", "path": "active", "value": 1}], "invalidSyntax"),
    ([], "invalidSyntax"),
])
def test_a_patch_is_done_whole_or_not_at_all(directory, operations, scim_type):
    nora = directory.user(displayName="Nora Berg")
    assert_error(directory.patch(nora, *operations), 400, scim_type)
    assert directory.get(nora) == nora


def test_a_put_replaces_what_is_there_and_clears_what_is_not(directory):
    nora = directory.user(externalId="E", name={"givenName": "Nora"}, displayName="Nora Berg")
    directory.patch(nora, replace("active", False))
    body = {"schemas": [USER, ENTERPRISE], "id": nora["id"], "userName": nora["userName"], "displayName": "N. B.", "meta": nora["meta"],
            ENTERPRISE: {"department": "X-ray"}, "emails": [{"value": nora["userName"]}], "groups": []}
    after = directory.http.put(f"{USERS}/{nora['id']}", json=body).json()
    assert "externalId" not in after and "name" not in after
    assert (after["displayName"], after["active"]) == ("N. B.", False), "who is out does not come in by omission"
    back = directory.http.put(f"{USERS}/{nora['id']}", json={**body, "active": True})
    assert back.json()["active"] is True
    assert_error(directory.http.put(f"{USERS}/{nora['id']}", json={"schemas": [USER]}), 400, "invalidValue")


@pytest.mark.parametrize("body,scim_type", [
    ({"schemas": [USER]}, "invalidValue"), ({"schemas": [USER], "userName": "nobody"}, "invalidValue"),
    ({"schemas": [USER], "userName": 7}, "invalidValue"), ({"userName": "a@b.example"}, "invalidSyntax"),
    ({"schemas": [GROUP], "userName": "a@b.example"}, "invalidSyntax"),
    ({"schemas": [USER], "userName": "a@b.example", "externalId": "x" * 256}, "invalidValue"),
    ({"schemas": [USER], "userName": "a@b.example", "displayName": "line\nbreak"}, "invalidValue"),
    ({"schemas": [USER], "userName": "a@b.example", "active": "perhaps"}, "invalidValue"),
])
def test_a_user_that_is_not_right_is_refused(directory, body, scim_type):
    assert_error(directory.http.post(USERS, json=body), 400, scim_type)


def test_bodies_are_scim_or_json_and_not_too_large(directory):
    body = '{"schemas":["%s"],"userName":"%s"}'
    for kind in ("application/scim+json", "application/json", "application/scim+json; charset=utf-8"):
        sent = directory.http.post(USERS, content=body % (USER, directory.address()), headers={"Content-Type": kind})
        assert sent.status_code == 201 and sent.headers["content-type"] == "application/scim+json"
    assert_error(directory.http.post(USERS, content="x=1", headers={"Content-Type": "application/x-www-form-urlencoded"}), 415)
    assert_error(directory.http.post(USERS, content="{"), 400, "invalidSyntax")
    assert_error(directory.http.post(USERS, content="[]"), 400, "invalidValue")
    assert directory.http.post(USERS, content="x" * 70000).status_code == 413


# --- Versions -----------------------------------------------------------------------------------------------------------


def test_a_version_is_known_again(directory, client):
    nora = directory.user()
    url, version = f"{USERS}/{nora['id']}", nora["meta"]["version"]
    same = directory.http.get(url, headers={"If-None-Match": version})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", version)
    assert directory.http.get(url, headers={"If-None-Match": 'W/"other"'}).status_code == 200
    boss = client(directory.tenant["administrator"])
    assert boss.patch(f"/v1/tenant/members/{nora['id']}", json={"roles": ["expert"]}).status_code == 200
    assert directory.http.get(url, headers={"If-None-Match": version}).status_code == 200, "whoever changed it"
    for method, body in (("PUT", {"schemas": [USER], "userName": nora["userName"]}), ("DELETE", None),
                         ("PATCH", {"schemas": [PATCH_OP], "Operations": [replace("active", False)]})):
        refused = directory.http.request(method, url, headers={"If-Match": version}, **({"json": body} if body else {}))
        assert_error(refused, 412)
    now = directory.get(nora)["meta"]["version"]
    assert directory.patch(nora, replace("active", False), headers={"If-Match": now}).status_code == 200
    assert directory.http.delete(url, headers={"If-Match": "*"}).status_code == 204


@pytest.mark.parametrize("kind", ["user", "group"])
def test_of_many_who_change_one_version_one_wins(directory, server, kind):
    thing = directory.user() if kind == "user" else directory.group("Spring").json()
    url = f"{USERS if kind == 'user' else GROUPS}/{thing['id']}"

    def change(n):
        with server.client(directory.token) as http:
            return http.patch(url, headers={"If-Match": thing["meta"]["version"]},
                              json={"schemas": [PATCH_OP], "Operations": [replace("displayName", f"Name {n}")]}).status_code

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(change, range(12))) == [200] + [412] * 11


# --- Groups -------------------------------------------------------------------------------------------------------------


def roles(pg, user):
    return pg.query("SELECT roles, cohort_id FROM memberships WHERE person_id = %s", (user["id"],))[0]


def member_ids(group):
    return {m["value"] for m in group.get("members", [])}


def test_a_group_called_like_a_role_gives_it(directory, pg):
    anna, bert = directory.user("anna"), directory.user("bert")
    made = directory.group("Educator", [anna], externalId="g1")
    group = made.json()
    assert made.status_code == 201 and made.headers["location"].endswith(f"{GROUPS}/{group['id']}")
    assert (group["displayName"], group["externalId"], member_ids(group)) == ("Educator", "g1", {anna["id"]})
    assert group["members"][0] == {"value": anna["id"], "$ref": anna["meta"]["location"], "display": anna["displayName"], "type": "User"}
    assert roles(pg, anna)[0] == ["educator"], "in place of the role that she had for want of another"
    directory.group("expert", [anna, bert])
    assert (roles(pg, anna)[0], roles(pg, bert)[0]) == (["educator", "expert"], ["expert"])
    assert {g["display"] for g in directory.get(anna)["groups"]} == {"Educator", "expert"}
    after = directory.patch(group, {"op": "Remove", "path": f'members[value eq "{anna["id"]}"]'})
    assert after.status_code == 200 and member_ids(after.json()) == set() and roles(pg, anna)[0] == ["expert"]
    assert directory.http.delete(f"{GROUPS}/{group['id']}").status_code == 204
    assert_error(directory.http.get(f"{GROUPS}/{group['id']}"), 404, code="group_not_found")


def test_who_loses_the_last_role_is_a_trainee(directory, pg):
    anna = directory.user("anna")
    group = directory.group("expert", [anna]).json()
    assert roles(pg, anna)[0] == ["expert"]
    assert directory.http.delete(f"{GROUPS}/{group['id']}").status_code == 204
    assert roles(pg, anna)[0] == ["trainee"]
    directory.group("manager", [anna])
    assert roles(pg, anna)[0] == ["manager"]


def test_a_group_that_is_made_takes_nobody_out(directory, client, pg):
    """A role, or a cohort that was there, may have members already."""
    boss = client(directory.tenant["administrator"])
    cohort = boss.post("/v1/tenant/cohorts", json={"name": "Spring"}).json()
    anna, bert = directory.user("anna"), directory.user("bert")
    assert boss.patch(f"/v1/tenant/members/{anna['id']}", json={"roles": ["expert"], "cohort": cohort["id"]}).status_code == 200
    assert member_ids(directory.group("expert", [bert]).json()) == {anna["id"], bert["id"]}
    assert member_ids(directory.group("Spring", []).json()) == {anna["id"]}


def test_other_roles_end_sessions_and_the_last_administrator_stays_one(directory, trust, client, pg):
    boss = {"id": trust["administrator"].id, "userName": 1}
    group = directory.group("administrator").json()
    assert member_ids(group) == {boss["id"]}, "whoever said so"
    assert_error(directory.patch(group, {"op": "remove", "path": "members"}), 409, None, "last_administrator")
    assert_error(directory.http.delete(f"{GROUPS}/{group['id']}"), 409, None, "last_administrator")
    heir = directory.user("heir")
    handed = directory.patch(group, replace("members", [{"value": heir["id"]}]))
    assert handed.status_code == 200 and member_ids(handed.json()) == {heir["id"]}
    assert client(trust["administrator"]).get("/v1/me").status_code == 401


def test_any_other_group_is_a_cohort(directory, client, pg):
    boss = client(directory.tenant["administrator"])
    anna, bert = directory.user("anna"), directory.user("bert")
    spring = directory.group("Spring 2027", [anna, bert]).json()
    listed = {c["name"]: c for c in boss.get("/v1/tenant/cohorts").json()["items"]}
    assert listed["Spring 2027"]["members"] == 2 and listed["Spring 2027"]["educators"] == []
    autumn = directory.group("Autumn", [anna]).json()
    assert member_ids(directory.get(spring)) == {bert["id"]}, "one is in one cohort at most"
    renamed = directory.patch(autumn, {"op": "replace", "value": {"id": autumn["id"], "displayName": "Autumn 2027"}})  # Okta
    assert renamed.json()["displayName"] == "Autumn 2027"
    assert_error(directory.patch(autumn, replace("displayName", "SPRING 2027")), 409, "uniqueness")
    assert_error(directory.patch(autumn, replace("displayName", "trainee")), 400, "mutability")
    assert directory.http.delete(f"{GROUPS}/{autumn['id']}").status_code == 204
    assert roles(pg, anna) == (["trainee"], None) and directory.get(anna)["active"] is True
    told = [a for a in audit_of(pg, directory.tenant) if a.startswith(("scim.group", "cohort."))]
    assert told == ["cohort.created", "scim.group_created", "cohort.created", "scim.group_created", "scim.group_changed",
                    "cohort.deleted", "scim.group_deleted"]


def test_a_cohort_that_is_there_is_taken_up_once(directory, client):
    boss = client(directory.tenant["administrator"])
    cohort = boss.post("/v1/tenant/cohorts", json={"name": "Spring"}).json()
    assert directory.http.get(GROUPS).json()["totalResults"] == 0, "what the directory did not make is not its to keep"
    assert directory.group("spring").status_code == 201
    assert_error(directory.group("Spring"), 409, "uniqueness")
    assert_error(directory.group("SPRING"), 409, "uniqueness")
    assert len(boss.get("/v1/tenant/cohorts").json()["items"]) == 1
    assert boss.delete(f"/v1/tenant/cohorts/{cohort['id']}").status_code == 204
    assert directory.http.get(GROUPS).json()["totalResults"] == 0


@pytest.mark.parametrize("operation,expected", [
    (lambda a, b, c: {"op": "Add", "path": "members", "value": [{"value": b}, {"value": c}]}, "abc"),           # Entra ID
    (lambda a, b, c: {"op": "Add", "path": "members", "value": [{"$ref": None, "value": a}]}, "a"),             # Entra ID, again
    (lambda a, b, c: {"op": "add", "value": {"members": [{"value": b}]}}, "ab"),
    (lambda a, b, c: {"op": "Remove", "path": "members", "value": [{"value": a}]}, ""),                         # Entra ID
    (lambda a, b, c: {"op": "remove", "path": f'members[value eq "{a}" or value eq "{b}"]'}, ""),
    (lambda a, b, c: {"op": "remove", "path": f'members[value eq "{c}"]'}, "a"),
    (lambda a, b, c: {"op": "remove", "path": "members"}, ""),
    (lambda a, b, c: {"op": "replace", "path": "members", "value": [{"value": b}, {"value": c}]}, "bc"),        # Okta
    (lambda a, b, c: {"op": "replace", "value": {"members": []}}, ""),
])
def test_members_are_changed_as_directories_do(directory, operation, expected):
    people = {letter: directory.user(letter)["id"] for letter in "abc"}
    group = directory.group("Spring", [{"id": people["a"]}]).json()
    changed = directory.patch(group, operation(*people.values()))
    assert changed.status_code == 200, changed.text
    assert member_ids(changed.json()) == {people[letter] for letter in expected}
    assert changed.json() == directory.get(group)


@pytest.mark.parametrize("operation,scim_type", [
    (replace("members", [{"value": "not an id"}]), "invalidValue"), (replace("members", "x"), "invalidValue"),
    (replace("members", [{"display": "Nora"}]), "invalidValue"), (replace('members[value eq "x"]', "y"), "noTarget"),
    ({"op": "remove", "path": 'members[type eq "User"]'}, "invalidFilter"), ({"op": "remove", "path": "displayName"}, "invalidValue"),
    (replace("owner", "x"), "invalidPath"), (replace("meta", {}), "mutability"), (replace("displayName", ""), "invalidValue"),
    (replace("displayName", "x" * 101), "invalidValue"),
])
def test_a_group_change_that_is_not_right_is_refused(directory, operation, scim_type):
    group = directory.group("Spring").json()
    assert_error(directory.patch(group, replace("externalId", "changed"), operation), 400, scim_type)
    assert directory.get(group) == group


def test_a_put_replaces_a_group_and_leaves_members_that_it_does_not_name(directory):
    anna, bert = directory.user("anna"), directory.user("bert")
    group = directory.group("Spring", [anna], externalId="g").json()
    url = f"{GROUPS}/{group['id']}"
    after = directory.http.put(url, json={"schemas": [GROUP], "displayName": "Summer"}).json()
    assert ("externalId" in after, after["displayName"], member_ids(after)) == (False, "Summer", {anna["id"]})
    after = directory.http.put(url, json={"schemas": [GROUP], "displayName": "Summer", "members": [{"value": bert["id"]}]}).json()
    assert member_ids(after) == {bert["id"]}


def test_who_is_out_keeps_roles_and_cohort_for_the_return(directory, server, pg):
    anna = directory.user("anna")
    directory.patch(anna, replace("active", False))
    directory.group("expert", [anna])
    group = directory.group("Spring", [anna]).json()
    assert member_ids(group) == {anna["id"]}
    server.cli("tenant", "seats", directory.tenant.slug, "0")
    assert_error(directory.patch(anna, replace("active", True)), 409, None, "seats_exhausted")
    server.cli("tenant", "seats", directory.tenant.slug, "1")
    directory.patch(anna, replace("active", True))
    assert roles(pg, anna)[0] == ["expert"] and roles(pg, anna)[1]


def test_groups_are_found_and_shown_without_members(directory):
    anna = directory.user("anna")
    spring, expert = directory.group("Spring", [anna]).json(), directory.group("expert", [anna], externalId="g2").json()
    directory.group("Autumn")

    def found(filter, **params):
        reply = directory.http.get(GROUPS, params={"filter": filter, **params})
        assert reply.status_code == 200, reply.text
        return {g["displayName"] for g in reply.json()["Resources"]}

    assert found('displayName eq "SPRING"') == {"Spring"}
    assert found('externalId eq "g2"') == {"expert"}
    assert found(f'members.value eq "{anna["id"]}"') == found(f'members[value eq "{anna["id"]}"]') == {"Spring", "expert"}
    assert found(f'id eq "{expert["id"]}"', excludedAttributes="members") == {"expert"}
    assert_error(directory.http.get(GROUPS, params={"filter": 'userName eq "x"'}), 400, "invalidFilter")
    assert "members" not in directory.get(spring, excludedAttributes="members")
    assert directory.get(spring, attributes="members") == {"schemas": [GROUP], "id": spring["id"], "members": spring["members"]}
    assert [g["displayName"] for g in directory.http.get(GROUPS, params={"sortBy": "displayName"}).json()["Resources"]] == [
        "Autumn", "expert", "Spring"]


def test_a_group_changes_its_version_with_its_members(directory, client):
    anna = directory.user("anna")
    group = directory.group("Spring", [anna]).json()
    url, version = f"{GROUPS}/{group['id']}", group["meta"]["version"]
    assert directory.http.get(url, headers={"If-None-Match": version}).status_code == 304
    assert directory.http.delete(f"{USERS}/{anna['id']}").status_code == 204
    changed = directory.http.get(url, headers={"If-None-Match": version})
    assert changed.status_code == 200 and member_ids(changed.json()) == set()
    assert_error(directory.http.delete(url, headers={"If-Match": version}), 412)


def test_a_request_names_a_thousand_members_at_most(directory):
    group = directory.group("Spring").json()
    many = [{"value": unknown_id()} for _ in range(1001)]
    assert_error(directory.patch(group, {"op": "remove", "path": "members", "value": many}), 413)
    assert directory.patch(group, {"op": "remove", "path": "members", "value": many[:1000]}).status_code == 200


# --- What the service says of itself --------------------------------------------------------------------------------------


def test_the_service_describes_itself(directory):
    config = directory.http.get("/v1/scim/v2/ServiceProviderConfig")
    assert config.headers["content-type"] == "application/scim+json"
    told = config.json()
    assert {name: told[name]["supported"] for name in ("patch", "bulk", "filter", "changePassword", "sort", "etag")} == {
        "patch": True, "bulk": False, "filter": True, "changePassword": False, "sort": True, "etag": True}
    types = directory.http.get("/v1/scim/v2/ResourceTypes").json()
    assert {t["name"]: (t["endpoint"], t["schema"]) for t in types["Resources"]} == {"User": ("/Users", USER), "Group": ("/Groups", GROUP)}
    for resource in types["Resources"] + directory.http.get("/v1/scim/v2/Schemas").json()["Resources"] + [told]:
        path = re.sub(r"^https?://[^/]+", "", resource["meta"]["location"])
        assert directory.http.get(path).json() == resource
    assert_error(directory.http.get("/v1/scim/v2/Schemas/urn:none"), 404)
    assert directory.http.post("/v1/scim/v2/Bulk", json={}).status_code == 404


def test_the_schemas_tell_of_every_attribute_that_is_shown(directory):
    anna = directory.user("anna", name={"givenName": "A", "familyName": "B"}, externalId="E")
    group = directory.group("Spring", [anna], externalId="G").json()
    common = {"schemas", "id", "externalId", "meta"}
    for resource, schema in ((directory.get(anna), USER), (group, GROUP)):
        told = directory.http.get(f"/v1/scim/v2/Schemas/{schema}").json()
        names = {a["name"]: {s["name"] for s in a.get("subAttributes", [])} for a in told["attributes"]}
        assert set(resource) - common <= set(names)
        for name, value in resource.items():
            for part in (value if isinstance(value, list) else [value]):
                if name not in common and isinstance(part, dict):
                    assert set(part) <= names[name], name


def test_it_says_so_when_the_database_is_away(directory, pg, server):
    pg.stop()
    try:
        refused = directory.http.get(USERS)
        assert_error(refused, 503)
        assert int(refused.headers["retry-after"]) >= 1
    finally:
        pg.start()
