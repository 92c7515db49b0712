"""Single sign-on, with a provider that can be made to misbehave (support/provider.py) and with oidc-provider, a real one.
Tests named test_checklist_sso_... are the lines of the security checklist."""
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from support.accounts import somewhere
from support.ports import Port
from support.provider import Key, Provider, b64
from support.reads import assert_problem

PEER = Path(__file__).resolve().parents[1] / "peers/oidc"
PATH = "/v1/tenant/single-sign-on"


@pytest.fixture(scope="module")
def site(_server, pg, held_mail):
    """A server of its own, that may ask providers on loopback and knows its own address."""
    from support.server import Server
    site = Server(pg, fetch_loopback="on", state_dir=_server.config["state_dir"], threads=1)
    try:
        yield site.start()
    finally:
        site.destroy()


@pytest.fixture
def provider():
    made = Provider()
    yield made
    made.close()


@pytest.fixture
def trust(tenant, site):
    made = tenant("administrator", "trainee", options=())
    return made


def address(domain="trust.example"):
    return f"nurse-{secrets.token_hex(5)}@{domain}"


def settings(provider, **more):
    return {"issuer": provider.issuer, "client_id": provider.client, "client_secret": provider.secret, "just_in_time": True,
            "role_claim": "groups", "role_map": {"radiology": ["trainee"], "teachers": ["educator", "trainee"]}, **more}


def put(site, trust, provider, **more):
    with site.client(trust["administrator"].token) as http:
        return http.put(PATH, json=settings(provider, **more))


@pytest.fixture
def arranged(site, trust, provider):
    """A tenant with single sign-on just in time, and somebody at the provider."""
    assert put(site, trust, provider).status_code == 200
    provider.user = {"sub": secrets.token_hex(8), "email": address(), "email_verified": True, "name": "Nora Vik",
                     "groups": ["radiology"], "sid": secrets.token_hex(6)}
    return trust


@pytest.fixture
def browser(site):
    opened = []

    def make():
        opened.append(httpx.Client(base_url=site.url, trust_env=False, timeout=60, headers=somewhere()))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def to_callback(browser, trust, **query):
    """Goes to the provider; what the provider sends back to us."""
    begun = browser.get(f"/v1/sso/{trust.slug}/start", params=query)
    assert begun.status_code == 303, begun.text
    answered = httpx.get(begun.headers["location"], trust_env=False)
    assert answered.status_code == 303, answered.text
    return answered.headers["location"]


def sign_in(browser, trust, **query):
    return browser.get(to_callback(browser, trust, **query))


def who(browser):
    reply = browser.get("/v1/session", headers={"Origin": str(browser.base_url).rstrip("/"), "X-Overread": "1"})
    return reply.json() if reply.status_code == 200 else None


def assert_page(reply, status, words="You are not signed in"):
    assert reply.status_code == status, (reply.status_code, reply.text)
    assert reply.headers["content-type"] == "text/html; charset=utf-8" and words in reply.text
    assert reply.headers["cache-control"] == "no-store" and "set-cookie" not in reply.headers


def assert_refused(browser, trust, status=403):
    reply = sign_in(browser, trust)
    assert_page(reply, status)
    assert who(browser) is None
    return reply


# --- Settings ------------------------------------------------------------------------------------------------------------

def test_settings_are_the_administrators_and_the_secret_is_never_shown(site, trust, provider, pg):
    with site.client(trust["administrator"].token) as http, site.client(trust["trainee"].token) as other:
        assert_problem(http.get(PATH), 404, "single_sign_on_not_set")
        made = http.put(PATH, json=settings(provider))
        assert made.status_code == 200, made.text
        shown = http.get(PATH)
        assert shown.json() == made.json() and shown.json()["proven_at"] is None
        assert provider.secret not in made.text + shown.text and "client_secret" not in shown.json()
        assert_problem(other.get(PATH), 403, "role_required")
        assert_problem(other.put(PATH, json=settings(provider)), 403, "role_required")
        row = pg.query("SELECT client_secret FROM single_sign_on WHERE tenant_id = %s", (trust.id,))[0][0]
        assert provider.secret not in row
        record = pg.query("SELECT detail FROM audit_log WHERE tenant_id = %s AND action = 'single_sign_on.changed'", (trust.id,))
        assert len(record) == 1 and "secret" not in json.dumps(record[0][0])
        assert http.delete(PATH).status_code == 204
        assert_problem(http.delete(PATH), 404, "single_sign_on_not_set")


@pytest.mark.parametrize("field, value", [
    ("issuer", "ftp"), ("client_id", ""), ("just_in_time", "yes"), ("role_map", []), ("role_map", {"g": ["king"]}),
    ("default_roles", ["support"]), ("email_domains", ["no domain"]), ("role_claim", 3), ("surprise", 1)])
def test_settings_that_are_wrong_name_the_field(site, trust, provider, field, value):
    reply = put(site, trust, provider, **{field: value})
    assert reply.status_code == 422 and reply.json()["field"] == "/" + field, reply.text


@pytest.mark.parametrize("document", [
    {"issuer": "https://else.example"}, {"token_endpoint": None}, {"jwks_uri": None}, {"authorization_endpoint": "javascript:alert(1)"},
    {"response_types_supported": ["id_token"]}, {"code_challenge_methods_supported": ["plain"]},
    {"id_token_signing_alg_values_supported": ["HS256"]}, {"token_endpoint_auth_methods_supported": ["private_key_jwt"]}])
def test_a_provider_that_cannot_do_it_safely_is_refused(site, trust, provider, document):
    provider.document = document
    assert_problem(put(site, trust, provider), 422, "provider_unsuitable", "/issuer")


def test_an_issuer_is_reached_by_https_on_the_public_internet(server, site, trust, provider):
    provider.close()
    assert_problem(put(site, trust, provider), 422, "provider_unreachable", "/issuer")
    for issuer in ("http://192.0.2.1", "https://10.0.0.1", "https://169.254.169.254", "https://[fd00::1]"):
        assert_problem(put(site, trust, provider, issuer=issuer), 422, "address_refused", "/issuer")
    with server.client(trust["administrator"].token) as http:  # the one without fetch_loopback
        assert_problem(http.put(PATH, json=settings(provider)), 422, "address_refused", "/issuer")


def test_a_secret_is_kept_for_its_own_provider_only(site, arranged, provider):
    kept = settings(provider, just_in_time=False)
    del kept["client_secret"]
    with site.client(arranged["administrator"].token) as http:
        assert http.put(PATH, json=kept).status_code == 200
        other = Provider()
        try:
            assert_problem(http.put(PATH, json={**kept, "issuer": other.issuer}), 422, "field_missing", "/client_secret")
        finally:
            other.close()


def test_a_personal_tenant_has_no_sign_on_service(site, tenant, provider):
    mine = tenant("administrator", kind="individual")
    assert_problem(put(site, mine, provider), 409, "not_an_organisation")


# --- The way through -------------------------------------------------------------------------------------------------------

def test_somebody_new_signs_in_becomes_a_member_and_returns_to_the_page(arranged, provider, browser, pg):
    mine = browser()
    reply = sign_in(mine, arranged, return_to="/reads?page=2")
    assert reply.status_code == 303 and reply.headers["location"] == "/reads?page=2", reply.text
    session = who(mine)
    assert session["methods"] == ["single_sign_on"] and session["stage"] == "full" and session["roles"] == ["trainee"]
    assert session["person"]["name"] == "Nora Vik" and session["tenant"]["slug"] == arranged.slug
    actions = [row[0] for row in pg.query("SELECT action FROM audit_log WHERE tenant_id = %s AND person_id = %s ORDER BY entry",
                                          (arranged.id, session["person"]["id"]))]
    assert actions == ["member.added", "single_sign_on.linked", "session.created"]
    again = browser()
    sign_in(again, arranged)
    assert who(again)["person"] == session["person"], "known by (issuer, sub)"


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256"])
def test_each_algorithm_of_the_list_is_verified(site, trust, provider, browser, alg):
    provider.keys = [Key(alg)]
    provider.user = {"sub": "a", "email": address(), "email_verified": True, "groups": ["radiology"]}
    assert put(site, trust, provider).status_code == 200
    mine = browser()
    assert sign_in(mine, trust).status_code == 303
    assert who(mine)["roles"] == ["trainee"]


def test_the_secret_goes_into_the_body_when_the_provider_wants_it_there(site, trust, provider, browser):
    provider.document = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    provider.user = {"sub": "a", "email": address(), "email_verified": True, "groups": ["radiology"]}
    assert put(site, trust, provider).status_code == 200
    assert sign_in(browser(), trust).status_code == 303


def test_what_the_id_token_lacks_comes_from_userinfo_of_the_same_person(arranged, provider, browser):
    sub = provider.user["sub"]
    provider.userinfo = {**provider.user, "sub": "somebody else"}
    provider.user = {"sub": sub}
    assert_refused(browser(), arranged)
    provider.userinfo["sub"] = sub
    mine = browser()
    assert sign_in(mine, arranged).status_code == 303
    assert who(mine)["person"]["name"] == "Nora Vik"


@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example", "/\\evil.example", "/\t/evil.example", "evil", "/a\r\nX: y"])
def test_checklist_sso_returns_to_a_path_of_this_site_only(arranged, browser, to):
    assert_page(browser().get(f"/v1/sso/{arranged.slug}/start", params={"return_to": to}), 400, "not a page of this site")


def test_a_tenant_without_single_sign_on_and_an_unknown_one_look_the_same(site, trust, browser):
    for slug in (trust.slug, "nobody-" + secrets.token_hex(4)):
        assert_page(browser().get(f"/v1/sso/{slug}/start"), 404)


def test_a_provider_that_is_away_is_said_in_words(arranged, provider, browser, pg):
    mine = browser()
    back = to_callback(mine, arranged)
    provider.down = True
    assert_page(mine.get(back), 503, "cannot be reached")
    pg.query("UPDATE single_sign_on SET discovered_at = now() - interval '2 hours' WHERE tenant_id = %s", (arranged.id,))
    assert_page(mine.get(f"/v1/sso/{arranged.slug}/start"), 503, "cannot be reached")
    provider.down = False
    assert sign_in(mine, arranged).status_code == 303


def test_who_says_no_at_the_provider_sees_a_page_without_its_words(arranged, provider, browser):
    provider.answer = {"code": None, "error": "access_denied", "error_description": "<script>alert(1)</script>"}
    reply = assert_refused(browser(), arranged)
    assert "script" not in reply.text and "access_denied" not in reply.text


# --- What is not believed ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("claims", [
    {"nonce": "another"}, {"nonce": None}, {"aud": "another"}, {"aud": ["overread", "another"]}, {"aud": []}, {"azp": "another"},
    {"iss": "https://else.example"}, {"iss": None}, {"exp": 1}, {"exp": None}, {"exp": "never"}, {"iat": 1}, {"iat": 4102444800},
    {"nbf": 4102444800}, {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, {"sub": ""}, {"sub": None}, {"sub": "x" * 256}, {"sub": 7}],
    ids=lambda claims: "-".join(f"{k}:{v!s:.12}" for k, v in claims.items()))
def test_checklist_sso_refuses_a_token_whose_claims_are_wrong(arranged, provider, browser, claims):
    provider.change = lambda said: {k: v for k, v in {**said, **claims}.items() if v is not None}
    assert_refused(browser(), arranged)


def alg_none(token):
    head, payload, _ = token.split(".")
    return f'{b64(b"""{"alg":"none"}""")}.{payload}.'


def signed_by_public_key(provider):
    """HS256 with the published key as the secret."""
    def forge(token):
        import hmac
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
        pem = provider.keys[0].private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        head = b64(json.dumps({"alg": "HS256", "kid": provider.keys[0].kid}).encode())
        text = f"{head}.{token.split('.')[1]}"
        return f"{text}.{b64(hmac.new(pem, text.encode(), hashlib.sha256).digest())}"
    return forge


def resigned(provider, key, **header):
    def forge(token):
        payload = token.split(".")[1]
        import base64
        return key.sign(json.loads(base64.urlsafe_b64decode(payload + "==")), **header)
    return forge


def test_checklist_sso_allows_only_listed_algorithms_by_the_kind_of_key(arranged, provider, browser):
    stranger, weak = Key(), Key(bits=1024)
    own = provider.keys[0]
    forgeries = {
        "none": alg_none, "public key as secret": signed_by_public_key(provider),
        "stranger under our kid": resigned(provider, stranger, kid=own.kid),
        "stranger with his key in the header": resigned(provider, stranger, kid=own.kid, jwk=stranger.public()),
        "alg of another kind": resigned(provider, own, alg="ES256"), "alg of another hash": resigned(provider, own, alg="RS512"),
        "critical header": resigned(provider, own, crit=["exp"]), "another type": resigned(provider, own, typ="at+jwt"),
        "no signature": lambda token: token.rsplit(".", 1)[0] + ".", "cut": lambda token: token[:-8], "empty": lambda token: "",
        "payload changed": lambda token: token.replace(token.split(".")[1], b64(b'{"sub":"admin"}')),
    }
    for name, forge in forgeries.items():
        provider.forge = forge
        assert sign_in(browser(), arranged).status_code == 403, name
    provider.forge, provider.keys = (lambda it: it), [weak]
    assert sign_in(browser(), arranged).status_code == 403, "1024 bits"
    provider.keys = [own]
    assert sign_in(browser(), arranged).status_code == 303, "and the honest one goes through"


def test_checklist_sso_state_is_good_once_and_in_its_own_browser(arranged, browser, pg):
    mine, other = browser(), browser()
    back = to_callback(mine, arranged)
    assert_page(other.get(back), 400, "another browser")
    assert_page(mine.get(back), 400, "another browser")  # a stranger's attempt has used it up
    back = to_callback(mine, arranged)
    assert mine.get(back).status_code == 303
    assert_page(mine.get(back), 400, "finished before")
    back = to_callback(mine, arranged)
    pg.query("UPDATE sso_flows SET expires_at = now() - interval '1 second'")
    assert_page(mine.get(back), 400, "has expired")
    assert_page(mine.get("/v1/sso/callback"), 400)
    assert_page(mine.get("/v1/sso/callback?state=x&code=y"), 400)


def test_two_windows_of_a_browser_sign_in_side_by_side(arranged, browser):
    mine = browser()
    first, second = to_callback(mine, arranged, return_to="/a"), to_callback(mine, arranged, return_to="/b")
    assert mine.get(first).headers["location"] == "/a"
    assert mine.get(second).headers["location"] == "/b"


def test_checklist_sso_a_code_is_no_use_without_the_verifier_of_the_one_who_began(arranged, provider, browser):
    """Somebody else's code, put into one's own answer: PKCE and the nonce are those of another sign-in."""
    victim, thief = browser(), browser()
    stolen = parse_qs(urlsplit(to_callback(victim, arranged)).query)["code"][0]
    own = to_callback(thief, arranged)
    code = parse_qs(urlsplit(own).query)["code"][0]
    assert_page(thief.get(own.replace(code, stolen)), 403)


def test_checklist_sso_checks_the_issuer_of_the_answer(arranged, provider, browser):
    for said in ("https://else.example", None):
        provider.answer = {"iss": said}
        assert_refused(browser(), arranged)
    provider.answer = {}
    assert sign_in(browser(), arranged).status_code == 303


def test_checklist_sso_is_not_mixed_up_between_two_tenants(site, arranged, provider, browser, tenant):
    """A provider gets the code of another when its own authorization endpoint leads there: the answer names the issuer."""
    other, evil = tenant("administrator"), Provider()
    try:
        evil.document = {"authorization_endpoint": provider.issuer + "/authorize"}
        assert put(site, other, evil).status_code == 200
        mine = browser()
        assert_page(mine.get(to_callback(mine, other)), 403)
        assert evil.asked.get("/token", 0) == 0, "the code was not handed over"
        # A state of one tenant's sign-in does not serve another's answer.
        evil.document, evil.user = {}, {"sub": provider.user["sub"], "email": address(), "email_verified": True, "groups": ["radiology"]}
        one, two = to_callback(mine, arranged), to_callback(mine, other)
        state = {name: parse_qs(urlsplit(url).query)["state"][0] for name, url in (("one", one), ("two", two))}
        assert_page(mine.get(two.replace(state["two"], state["one"])), 403)
    finally:
        evil.close()


def test_keys_rotate_and_tokens_of_unknown_keys_do_not_make_us_a_hammer(arranged, provider, browser, pg):
    before = provider.asked["/keys"]
    provider.keys = [Key()]
    assert sign_in(browser(), arranged).status_code == 303
    assert provider.asked["/keys"] == before + 1
    published, provider.keys = provider.keys, [Key()]
    real = provider.keys[0]
    provider.keys = published
    provider.forge = resigned(provider, real)
    for _ in range(4):
        assert_refused(browser(), arranged)
    assert provider.asked["/keys"] == before + 1, "asked again within the minute"
    pg.query("UPDATE single_sign_on SET keys_tried_at = keys_tried_at - interval '1 minute' WHERE tenant_id = %s", (arranged.id,))
    provider.forge, provider.keys = (lambda it: it), [real]
    assert sign_in(browser(), arranged).status_code == 303


def test_a_key_that_was_withdrawn_is_forgotten_within_the_hour(arranged, provider, browser, pg):
    old = provider.keys[0]
    provider.keys = [Key()]
    provider.forge = resigned(provider, old)
    pg.query("UPDATE single_sign_on SET keys_at = now() - interval '61 minutes' WHERE tenant_id = %s", (arranged.id,))
    assert_refused(browser(), arranged)


# --- Who it is -----------------------------------------------------------------------------------------------------------------

def test_checklist_sso_identity_is_issuer_and_sub_never_the_address(arranged, provider, browser):
    first = browser()
    sign_in(first, arranged)
    me = who(first)["person"]
    provider.user = {**provider.user, "email": address()}
    moved = browser()
    sign_in(moved, arranged)
    assert who(moved)["person"] == me, "another address, the same person"
    provider.user = {**provider.user, "sub": "another", "email": me["email"]}
    assert_refused(browser(), arranged)


def test_an_account_is_not_taken_over_by_naming_its_address(site, arranged, provider, browser, tenant, pg):
    """An evil administrator's provider names addresses of people of another tenant, of its own, of operators."""
    victim, own = tenant("administrator")["administrator"], arranged["trainee"]
    for email in (victim.email, victim.email.upper(), own.email):
        provider.user = {**provider.user, "sub": secrets.token_hex(4), "email": email}
        assert_refused(browser(), arranged)
    assert pg.query("SELECT FROM sso_identities WHERE person_id IN (%s, %s)", (victim.id, own.id)) == []


def test_a_member_is_linked_when_an_operator_has_confirmed_the_domain(site, arranged, provider, browser, tenant, pg):
    domain = f"d{secrets.token_hex(4)}.example"
    member = arranged.add("trainee", email=address(domain))
    outsider = tenant().add("trainee", email=address(domain))
    provider.user = {**provider.user, "email": member.email}
    assert_refused(browser(), arranged)
    site.cli("domain", "confirm", "--tenant", arranged.slug, "--domain", domain)
    mine = browser()
    assert sign_in(mine, arranged).status_code == 303
    assert who(mine)["person"]["id"] == member.id
    provider.user = {**provider.user, "sub": "outsider", "email": outsider.email}
    assert_refused(browser(), arranged)  # who is no member accepts an invitation first
    provider.user = {**provider.user, "sub": "unproven", "email": address(domain)}
    pg.query("UPDATE people SET email_verified_at = NULL WHERE person_id = %s", (arranged.add("trainee", email=provider.user["email"]).id,))
    assert_refused(browser(), arranged)
    assert site.cli("domain", "confirm", "--tenant", arranged.slug, "--domain", "no domain", check=False).returncode != 0


def test_nobody_waits_in_an_account_for_its_owner(site, arranged, provider, browser, pg):
    """The provider makes an account under somebody's address; when its owner proves the mailbox the link is gone."""
    evil = browser()
    sign_in(evil, arranged)
    person = who(evil)["person"]["id"]
    assert pg.query("SELECT email_verified_at FROM people WHERE person_id = %s", (person,)) == [(None,)]
    pg.query("UPDATE people SET email_verified_at = now() WHERE person_id = %s", (person,))
    assert who(evil) is None
    assert_refused(browser(), arranged)


def test_a_session_of_single_sign_on_stays_in_its_tenant_and_leaves_credentials_alone(site, arranged, provider, browser, tenant, pg):
    elsewhere, mine = tenant("administrator"), browser()
    sign_in(mine, arranged)
    person = who(mine)["person"]
    pg.query("SELECT member_add(%s, %s, '{trainee}', NULL, 'operator')", (elsewhere.id, person["id"]))
    ours = {"Origin": site.url, "X-Overread": "1"}
    assert_problem(mine.post("/v1/session/tenant", json={"tenant": elsewhere.slug}, headers=ours), 403, "sign_in_there")
    assert_problem(mine.post("/v1/me/totp", headers=ours), 403, "own_sign_in_required")
    assert mine.put("/v1/me/email", json={"email": address(), "password": "violet kettle drum"}, headers=ours).status_code in (403, 422)
    assert pg.query("SELECT FROM tickets WHERE person_id = %s AND kind = 'email'", (person["id"],)) == []
    with pytest.raises(Exception, match="sign_in_there"):
        pg.query("SELECT session_open(%s, %s, gen_random_uuid(), repeat('0', 64), '', '{single_sign_on}')", (person["id"], elsewhere.slug))


def test_just_in_time_needs_a_verified_address_of_an_allowed_domain(site, trust, provider, browser):
    base = {"sub": "a", "email": address(), "email_verified": True, "groups": ["radiology"]}
    assert put(site, trust, provider, just_in_time=False).status_code == 200
    provider.user = base
    assert_refused(browser(), trust)
    assert put(site, trust, provider, email_domains=["Allowed.example"]).json()["email_domains"] == ["allowed.example"]
    for user in (base, {**base, "email": address("allowed.example"), "email_verified": False}, {**base, "email": None},
                 {**base, "email": "no address"}, {**base, "email": address("allowed.example.evil.example")},
                 {**base, "email": address("allowed.example"), "groups": ["strangers"]}):
        provider.user = {k: v for k, v in user.items() if v is not None}
        assert_refused(browser(), trust)
    provider.user = {**base, "email": address("allowed.example")}
    assert sign_in(browser(), trust).status_code == 303


@pytest.mark.parametrize("said, comes_in", [
    ({"email_verified": True}, True), ({"email_verified": "true"}, True), ({"xms_edov": True}, True), ({"xms_edov": 1}, True),
    ({"xms_edov": "1"}, True), ({"xms_edov": False}, False), ({"xms_edov": 0}, False), ({"xms_edov": "false"}, False),
    ({"email_verified": False, "xms_edov": True}, False), ({}, False)])
def test_an_address_counts_that_the_provider_says_is_verified_as_entra_says_it_too(arranged, provider, browser, said, comes_in):
    provider.user = {"sub": secrets.token_hex(8), "email": address(), "name": "Nora Vik", "groups": ["radiology"], **said}
    mine = browser()
    if comes_in:
        assert sign_in(mine, arranged).status_code == 303 and who(mine)
    else:
        assert_refused(mine, arranged)


def test_a_seat_is_taken_and_without_one_nobody_comes_in(site, arranged, provider, browser):
    site.cli("tenant", "seats", arranged.slug, "1")
    assert_refused(browser(), arranged, 409)
    site.cli("tenant", "seats", arranged.slug, "2")
    assert sign_in(browser(), arranged).status_code == 303


# --- Roles -----------------------------------------------------------------------------------------------------------------------

def test_roles_follow_the_groups_at_each_sign_in(arranged, provider, browser):
    first = browser()
    sign_in(first, arranged)
    provider.user = {**provider.user, "groups": ["teachers", "football"]}
    second = browser()
    sign_in(second, arranged)
    assert who(second)["roles"] == ["trainee", "educator"]
    assert who(first) is None, "a session of other roles has ended"
    provider.user = {**provider.user, "groups": "radiology"}
    third = browser()
    sign_in(third, arranged)
    assert who(third)["roles"] == ["trainee"]


def test_whose_groups_give_no_role_is_refused_and_leaves_by_policy(site, arranged, provider, browser, pg):
    mine = browser()
    sign_in(mine, arranged)
    person = who(mine)["person"]["id"]
    until = lambda: pg.query("SELECT until FROM memberships WHERE tenant_id = %s AND person_id = %s", (arranged.id, person))[0][0]
    provider.user = {**provider.user, "groups": []}
    assert_refused(browser(), arranged)
    assert until() is None
    put(site, arranged, provider, leave_without_role=True)
    assert_refused(browser(), arranged)
    assert until() is not None and who(mine) is None
    provider.user = {**provider.user, "groups": ["radiology"]}
    assert sign_in(browser(), arranged).status_code == 303, "the groups bring back whom they took out"


def test_whom_an_administrator_took_out_stays_out(site, arranged, provider, browser):
    mine = browser()
    sign_in(mine, arranged)
    with site.client(arranged["administrator"].token) as http:
        assert http.delete(f"/v1/tenant/members/{who(mine)['person']['id']}").status_code == 204
    assert who(mine) is None
    assert_refused(browser(), arranged)


def test_without_a_role_claim_administrators_give_roles(site, trust, provider, browser):
    provider.user = {"sub": "a", "email": address(), "email_verified": True}
    assert put(site, trust, provider, role_claim=None, default_roles=["expert"]).status_code == 200
    mine = browser()
    sign_in(mine, trust)
    person = who(mine)["person"]["id"]
    with site.client(trust["administrator"].token) as http:
        http.patch(f"/v1/tenant/members/{person}", json={"roles": ["educator"]})
    sign_in(mine, trust)
    assert who(mine)["roles"] == ["educator"]


# --- Passwords off -----------------------------------------------------------------------------------------------------------------

def test_passwords_go_off_once_it_works_and_somebody_may_break_glass(site, arranged, provider, browser):
    admin, trainee = arranged["administrator"], arranged["trainee"]
    with site.client(admin.token) as http:
        assert_problem(http.patch("/v1/tenant", json={"password_sign_in": False}), 409, "single_sign_on_untried")
        assert sign_in(browser(), arranged).status_code == 303
        assert http.get(PATH).json()["proven_at"] is not None
        assert_problem(http.patch("/v1/tenant", json={"password_sign_in": False}), 409, "break_glass_required")
        assert http.patch(f"/v1/tenant/members/{admin.id}", json={"break_glass": True}).status_code == 200
    admin.login()
    with site.client(admin.token) as http:
        assert http.patch("/v1/tenant", json={"password_sign_in": False}).status_code == 200
        assert_problem(http.delete(PATH), 409, "passwords_are_off")
        assert_problem(http.put(PATH, json=settings(provider, client_id="another")), 409, "passwords_are_off")
    with site.client() as http:
        reply = http.post("/v1/sessions", json={"email": trainee.email, "password": trainee.password, "tenant": arranged.slug})
        assert_problem(reply, 403, "single_sign_on_required")
    assert admin.login()["stage"] == "full", "break glass"
    assert sign_in(browser(), arranged).status_code == 303
    with site.client(admin.token) as http:
        assert http.patch("/v1/tenant", json={"password_sign_in": True}).status_code == 200
        assert http.put(PATH, json=settings(provider, client_id="another")).json()["proven_at"] is None, "to be proven anew"


# --- Back-channel logout --------------------------------------------------------------------------------------------------------------

def log_out(site, trust, token):
    with site.client() as http:
        return http.post(f"/v1/sso/{trust.slug}/backchannel-logout", data={"logout_token": token})


def test_the_provider_ends_one_session_or_all_of_a_person_at_once(site, arranged, provider, browser):
    one, two = browser(), browser()
    sign_in(one, arranged)
    first = provider.user["sid"]
    provider.user = {**provider.user, "sid": "second"}
    sign_in(two, arranged)
    assert log_out(site, arranged, provider.logout_token(sid=first)).status_code == 200
    assert who(one) is None and who(two) is not None
    assert log_out(site, arranged, provider.logout_token(sub="somebody else")).status_code == 200
    assert who(two) is not None
    assert log_out(site, arranged, provider.logout_token(sub=provider.user["sub"])).status_code == 200
    assert who(two) is None


def test_a_logout_token_that_is_not_right_ends_nothing(site, arranged, provider, browser, tenant):
    mine, sub = browser(), provider.user["sub"]
    sign_in(mine, arranged)
    wrong = {
        "nonce": {"nonce": "x", "sub": sub}, "no event": {"events": None, "sub": sub}, "another event": {"events": {"x": {}}, "sub": sub},
        "nobody": {}, "audience": {"aud": "else", "sub": sub}, "issuer": {"iss": "https://else.example", "sub": sub},
        "no jti": {"jti": None, "sub": sub}, "old": {"iat": 1, "sub": sub}, "expired": {"exp": 1, "sub": sub}, "sid": {"sid": 3, "sub": sub},
    }
    for name, claims in wrong.items():
        assert log_out(site, arranged, provider.logout_token(**claims)).status_code == 400, name
    assert log_out(site, arranged, provider.logout_token(key=Key(), header={"kid": provider.keys[0].kid}, sub=sub)).status_code == 400
    assert log_out(site, arranged, provider.last_token).status_code == 400, "an ID token is none"
    assert_problem(log_out(site, arranged, ""), 400, "bad_token")
    assert_problem(log_out(site, tenant(), provider.logout_token(sub=sub)), 404, "single_sign_on_not_set")
    with site.client() as http:
        path = f"/v1/sso/{arranged.slug}/backchannel-logout"
        assert http.post(path, json={"logout_token": "x"}).status_code == 415
        assert http.post(path, data={"logout_token": "x" * 40000}).status_code == 413
    assert who(mine) is not None
    used = provider.logout_token(sub="somebody else")
    assert log_out(site, arranged, used).status_code == 200
    assert log_out(site, arranged, used).status_code == 400, "each counts once"


def test_logout_tokens_of_nobody_are_slowed_down(site, arranged, provider):
    """Each may lead us to ask the provider: not as often as anybody likes."""
    with site.client(headers=somewhere()) as http:
        path = f"/v1/sso/{arranged.slug}/backchannel-logout"
        token = provider.logout_token(key=Key(), sub="x")
        answers = []
        while len(answers) < 1000 and (not answers or answers[-1] == 400):
            answers.append(http.post(path, data={"logout_token": token}).status_code)
        assert answers[-1] == 429 and len(answers) > 100
    assert log_out(site, arranged, provider.logout_token(sub="somebody else")).status_code == 200, "the provider is another client"


# --- Things that go wrong around it ----------------------------------------------------------------------------------------------------

def test_with_the_database_away_there_is_a_page(site, arranged, browser, pg):
    mine = browser()
    back = to_callback(mine, arranged)
    pg.stop()
    try:
        assert_page(mine.get(back), 503)
        assert_page(mine.get(f"/v1/sso/{arranged.slug}/start"), 503)
    finally:
        pg.start()


def test_a_suspended_tenant_lets_nobody_in(site, arranged, browser):
    mine = browser()
    back = to_callback(mine, arranged)
    site.cli("tenant", "suspend", arranged.slug)
    assert_page(mine.get(back), 404)
    assert_page(mine.get(f"/v1/sso/{arranged.slug}/start"), 404)


def test_neither_log_nor_record_holds_a_token_an_address_or_a_code(site, arranged, provider, browser, pg):
    mark = len(site.lines)
    provider.user["sub"] = f"{secrets.token_hex(4)}@trust.example"  # some providers call people by their address
    mine = browser()
    back = to_callback(mine, arranged)
    mine.get(back)
    provider.change = lambda claims: {**claims, "nonce": "x"}
    sign_in(mine, arranged)
    site.wait_event("single_sign_on_failed", first=mark)
    said = "\n".join(site.lines[mark:])
    query = parse_qs(urlsplit(back).query)
    denied = browser()
    provider.change = lambda claims: {**claims, "sub": f"other-{claims['sub']}"}
    assert_refused(denied, arranged)
    said = "\n".join(site.lines[mark:])
    recorded = "\n".join(row for row, in pg.query("SELECT a::text FROM audit_log a WHERE tenant_id = %s", (arranged.id,)))
    assert "single_sign_on.linked" in recorded and "single_sign_on.refused" in recorded
    for secret in (query["code"][0], query["state"][0], provider.last_token, provider.user["email"], provider.user["sub"],
                   provider.secret):
        assert secret not in said and secret not in recorded


# --- A real provider ---------------------------------------------------------------------------------------------------------------------

class RealProvider:
    """oidc-provider of npm, in its own process."""

    def __init__(self, site, slug):
        self.port = Port()
        self.issuer, self.client, self.secret = f"http://127.0.0.1:{self.port}", "overread", secrets.token_hex(16)
        settings = {"port": self.port.number, "issuer": self.issuer, "client_id": self.client, "client_secret": self.secret,
                    "redirect_uri": site.url + "/v1/sso/callback", "logout_uri": f"{site.url}/v1/sso/{slug}/backchannel-logout"}
        self.process = subprocess.Popen(["node", "run.mjs", json.dumps(settings)], cwd=PEER, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        timer = threading.Timer(60, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        assert line.strip() == "ready", line

    def close(self):
        self.process.terminate()
        self.process.wait(30)
        self.port.release()


@pytest.fixture(scope="module")
def _peer():
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not here to run oidc-provider")
    if not (PEER / "node_modules/oidc-provider").exists():
        done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=PEER, capture_output=True, text=True,
                              timeout=300, env=os.environ)
        if done.returncode != 0:
            pytest.skip("npm could not install oidc-provider: " + done.stderr[-300:])


@pytest.fixture
def real(_peer, site, trust):
    made = RealProvider(site, trust.slug)
    yield made
    made.close()


def through(browser, url):
    """Follows redirects to the end, filling in the provider's form on the way; both sites in one cookie jar."""
    reply = browser.get(url)
    for _ in range(20):
        if reply.status_code in (302, 303) and reply.headers["location"].startswith("/account"):
            return reply
        if reply.status_code in (302, 303):
            reply = browser.get(httpx.URL(str(reply.url)).join(reply.headers["location"]))
        elif "<form" in reply.text and "/login" in reply.text:
            reply = browser.post(str(reply.url) + "/login", data={"login": "kari"})
        else:
            return reply
    raise AssertionError("too many redirects")


def test_the_whole_way_with_a_real_provider_and_its_back_channel_logout(site, trust, real, browser):
    made = put(site, trust, real)
    assert made.status_code == 200, made.text
    mine = browser()
    reply = through(mine, f"/v1/sso/{trust.slug}/start")
    assert reply.status_code == 303, reply.text
    session = who(mine)
    assert session["person"]["name"] == "Kari Nordmann" and session["roles"] == ["trainee", "educator"]
    assert session["methods"] == ["single_sign_on"]
    # Signing out there ends the session here.
    page = mine.get(real.issuer + "/session/end")
    import re
    xsrf = re.search(r'name="xsrf" value="([^"]+)"', page.text).group(1)
    done = mine.post(real.issuer + "/session/end/confirm", data={"xsrf": xsrf, "logout": "yes"})
    assert done.status_code in (200, 302, 303), done.text
    assert who(mine) is None


def test_a_real_provider_takes_its_code_once_and_only_with_the_verifier(site, trust, real, browser, pg):
    put(site, trust, real)
    mine = browser()
    begun = mine.get(f"/v1/sso/{trust.slug}/start")
    pg.query("UPDATE sso_flows SET verifier = %s WHERE tenant_id = %s", (secrets.token_urlsafe(32), trust.id))
    assert_page(through(mine, begun.headers["location"]), 403)
