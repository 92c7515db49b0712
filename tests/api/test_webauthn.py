"""Security keys and passkeys. tests/browser does the same with Chromium's own authenticator."""
import pytest

from support.authenticator import Authenticator, cbor

ORIGIN = "https://learn.example.org"


@pytest.fixture
def site(server_with):
    return server_with(public_url=ORIGIN, threads=1)


@pytest.fixture
def trust(tenant):
    return tenant("administrator", "trainee")


@pytest.fixture
def key():
    return Authenticator(ORIGIN)


def register(http, key, verified=True, **lie):
    options = http.post("/v1/me/passkeys/options")
    assert options.status_code == 200, options.text
    return http.post("/v1/me/passkeys", json={"name": "Blue key", "credential": key.create(options.json(), verified, **lie)})


@pytest.fixture
def armed(site, trust, key):
    """A trainee who has a key."""
    person = trust["trainee"]
    with site.client(person.token) as http:
        reply = register(http, key)
        assert reply.status_code == 201, reply.text
    return person


def pending(site, person):
    session = person.login()
    assert session["stage"] == "second_factor"
    return site.client(session["token"])


def second_step(http, key, verified=False, **lie):
    options = http.post("/v1/session/security-key/options").json()
    return http.post("/v1/session/security-key", json={"credential": key.get(options, verified, **lie)})


def sign_in(site, key, verified=True, body=None, **lie):
    with site.client() as http:
        options = http.post("/v1/sessions/passkey/options").json()
        return http.post("/v1/sessions/passkey", json={"credential": key.get(options, verified, **lie), **(body or {})})


@pytest.mark.parametrize("algorithm", [-7, -8, -257], ids=["ES256", "EdDSA", "RS256"])
def test_a_key_is_added_and_is_the_second_step_from_then_on(site, trust, algorithm):
    key, person = Authenticator(ORIGIN, algorithm), trust["trainee"]
    with site.client(person.token) as http:
        added = register(http, key).json()
        assert added["stage"] == "full" and len(added["recovery_codes"]) == 10
        assert http.get("/v1/session").status_code == 401, "the old token is void"
    with site.client(added["token"]) as http:
        listed = http.get("/v1/me/second-factors").json()["passkeys"]
        assert [(k["name"], k["verifies"], k["last_used_at"]) for k in listed] == [("Blue key", True, None)]
    with pending(site, person) as http:
        assert http.get("/v1/cases").json()["code"] == "second_factor_required"
        done = second_step(http, key)
    assert done.status_code == 200, done.text
    assert done.json()["methods"] == ["password", "security_key"] and done.json()["stage"] == "full"


@pytest.mark.parametrize("algorithm", [-7, -8, -257], ids=["ES256", "EdDSA", "RS256"])
def test_a_passkey_signs_in_without_a_password(site, trust, algorithm):
    key, person = Authenticator(ORIGIN, algorithm), trust["trainee"]
    with site.client(person.token) as http:
        register(http, key)
    opened = sign_in(site, key)
    assert opened.status_code == 201, opened.text
    assert opened.json()["methods"] == ["passkey"] and opened.json()["stage"] == "full"
    assert opened.json()["person"]["id"] == person.id
    with site.client(opened.json()["token"]) as http:
        assert http.get("/v1/cases").status_code == 200


def test_the_options_name_what_is_registered_only_to_its_person(site, armed, key):
    with pending(site, armed) as http:
        options = http.post("/v1/session/security-key/options").json()["publicKey"]
    from support.authenticator import b64
    assert [c["id"] for c in options["allowCredentials"]] == [b64(key.id)]
    assert options["allowCredentials"][0]["transports"] == ["usb", "nfc"] and options["rpId"] == "learn.example.org"
    with site.client() as nobody:
        assert nobody.post("/v1/sessions/passkey/options").json()["publicKey"]["allowCredentials"] == []


LIES_WHEN_CREATING = {
    "of_another_origin": {"origin": "https://evil.example"},
    "of_another_port": {"origin": ORIGIN + ":8443"},
    "in_a_foreign_frame": {"crossOrigin": True},
    "of_another_ceremony": {"type": "webauthn.get"},
    "with_a_challenge_of_its_own": {"challenge": "A" * 43},
    "with_a_short_challenge": {"challenge": "AAAA"},
    "for_another_site": {"rp_id": "evil.example"},
    "without_a_person_present": {"flags": 0x44},
    "without_a_key": {"flags": 0x05},
    "with_another_id": {"id": b"0" * 32},
    "with_a_tiny_id": {"credential_id": b"0" * 8, "id": b"0" * 8},
    "with_a_key_off_the_curve": {"cose": cbor({1: 2, 3: -7, -1: 1, -2: b"1" * 32, -3: b"2" * 32})},
    "with_an_algorithm_nobody_asked_for": {"cose": cbor({1: 2, 3: -36, -1: 3, -2: b"1" * 66, -3: b"2" * 66})},
    "that_is_no_cbor": {"attestation": b"\xff\xff"},
    "that_is_no_map": {"attestation": cbor("authData")},
    "that_is_empty": {"attestation": b""},
    "with_bytes_behind_it": {"attestation": cbor({"fmt": "none"}) + b"\x00"},
}


@pytest.mark.parametrize("lie", LIES_WHEN_CREATING)
def test_a_new_credential_is_refused(site, trust, key, lie):
    with site.client(trust["trainee"].token) as http:
        reply = register(http, key, **LIES_WHEN_CREATING[lie])
        assert (reply.status_code, reply.json()["field"]) == (422, "/credential"), reply.text
        assert http.get("/v1/me/second-factors").json()["passkeys"] == []


LIES_WHEN_SIGNING = {
    "of_another_origin": {"origin": "https://evil.example"},
    "of_another_ceremony": {"type": "webauthn.create"},
    "with_a_challenge_of_its_own": {"challenge": "A" * 43},
    "for_another_site": {"rp_id": "evil.example"},
    "without_a_person_present": {"flags": 0x00},
    "with_another_signature": {"signature": b"0" * 70},
    "without_a_signature": {"signature": b""},
    "of_an_unknown_key": {"id": b"0" * 32},
    "of_somebody_else": {"user_handle": b"018f0000-0000-7000-8000-000000000000"},
}


@pytest.mark.parametrize("lie", LIES_WHEN_SIGNING)
def test_an_assertion_is_refused(site, armed, key, lie):
    with pending(site, armed) as http:
        reply = second_step(http, key, **LIES_WHEN_SIGNING[lie])
        assert (reply.status_code, reply.json()["field"]) == (422, "/credential"), reply.text
        assert http.get("/v1/cases").status_code == 403
    reply = sign_in(site, key, **LIES_WHEN_SIGNING[lie])
    assert (reply.status_code, reply.json()["field"]) == (422, "/credential"), reply.text


@pytest.mark.parametrize("credential", [None, 1, [], {}, {"type": "public-key"}, {"type": "public-key", "response": 1},
                                        {"id": "!", "type": "public-key", "response": {"clientDataJSON": "AA"}},
                                        {"id": "AA", "type": "public-key", "response": {"clientDataJSON": "AA"}}])
def test_what_is_no_credential_is_refused_at_its_field(site, armed, credential):
    with pending(site, armed) as http:
        reply = http.post("/v1/session/security-key", json={"credential": credential})
    assert (reply.status_code, reply.json()["field"]) == (422, "/credential")


def test_a_key_that_did_not_verify_the_person_does_not_replace_the_password(site, armed, key):
    assert sign_in(site, key, verified=False).status_code == 422


def test_a_challenge_is_good_once(site, armed, key):
    with pending(site, armed) as http:
        options = http.post("/v1/session/security-key/options").json()
        wrong = key.get(options, signature=b"0" * 70)
        assert http.post("/v1/session/security-key", json={"credential": wrong}).status_code == 422
        right = http.post("/v1/session/security-key", json={"credential": key.get(options)})
    assert (right.status_code, right.json()["code"]) == (422, "credential_invalid")


def test_a_challenge_ages(site, pg, armed, key):
    with pending(site, armed) as http:
        options = http.post("/v1/session/security-key/options").json()
        pg.query("UPDATE webauthn_challenges SET created_at = now() - interval '6 minutes'")
        assert http.post("/v1/session/security-key", json={"credential": key.get(options)}).status_code == 422


def test_a_challenge_of_one_person_or_purpose_is_not_anothers(site, trust, armed, key):
    with site.client(trust["administrator"].token) as other:
        foreign = other.post("/v1/me/passkeys/options").json()
    with site.client() as nobody:
        for_signing_in = nobody.post("/v1/sessions/passkey/options").json()
    with pending(site, armed) as http:
        for options in (foreign, for_signing_in):
            assert http.post("/v1/session/security-key", json={"credential": key.get(options)}).status_code == 422


def test_a_copied_key_is_found_out_by_its_counter_and_the_record_says_so(site, trust, client, armed, key):
    with pending(site, armed) as http:
        assert second_step(http, key).status_code == 200
    with pending(site, armed) as http:
        reply = second_step(http, key, count=1)
        assert (reply.status_code, reply.json()["code"]) == (422, "credential_copied")
        assert http.get("/v1/cases").status_code == 403
    assert sign_in(site, key, count=1).json()["code"] == "credential_copied"
    actions = [e["action"] for e in client(trust["administrator"]).get("/v1/audit").json()["items"]]
    assert actions.count("passkey.copied") == 2


def test_a_key_that_never_counts_is_fine(site, trust):
    key = Authenticator(ORIGIN, counts=False)
    with site.client(trust["trainee"].token) as http:
        register(http, key)
    for _ in range(2):
        assert sign_in(site, key).status_code == 201


def test_a_key_is_one_persons(site, trust, armed, key):
    with site.client(trust["administrator"].token) as http:
        reply = register(http, key)
        assert (reply.status_code, reply.json()["code"]) == (409, "passkey_exists")


def test_somebody_elses_key_is_no_second_step(site, trust, armed):
    other = Authenticator(ORIGIN)
    with site.client(trust["administrator"].token) as http:
        register(http, other)
    with pending(site, armed) as http:
        assert second_step(http, other).status_code == 422


def test_a_removed_key_signs_nobody_in(site, armed, key):
    with pending(site, armed) as http:
        token = second_step(http, key).json()["token"]
    with site.client(token) as http:
        passkey = http.get("/v1/me/second-factors").json()["passkeys"][0]["id"]
        assert http.delete(f"/v1/me/passkeys/{passkey}").status_code == 204
        assert http.delete(f"/v1/me/passkeys/{passkey}").status_code == 404
    assert sign_in(site, key).status_code == 422
    assert armed.login()["stage"] == "full"


def test_a_disabled_person_has_no_key(site, pg, armed, key):
    pg.query("UPDATE people SET disabled_at = now() WHERE person_id = %s", (armed.id,))
    assert sign_in(site, key).status_code == 422


def test_a_passkey_opens_the_tenant_that_is_asked_for(site, tenant, armed, key, pg):
    other = tenant("administrator")
    pg.query("INSERT INTO memberships (tenant_id, person_id, roles) VALUES (%s, %s, '{trainee}')", (other.id, armed.id))
    ambiguous = sign_in(site, key)
    assert (ambiguous.status_code, ambiguous.json()["field"]) == (422, "/tenant")
    assert sign_in(site, key, body={"tenant": other.slug}).json()["tenant"]["slug"] == other.slug
    stranger = tenant("administrator")
    assert sign_in(site, key, body={"tenant": stranger.slug}).status_code == 401


def test_checklist_second_factor_webauthn_is_a_second_choice_beside_the_app(site, trust, pg, key):
    pg.query("UPDATE tenants SET second_factor = 'required' WHERE tenant_id = %s", (trust.id,))
    session = trust["trainee"].login()
    assert session["stage"] == "enrolment"
    with site.client(session["token"]) as http:
        added = register(http, key).json()
    assert added["stage"] == "full"
    with site.client(added["token"]) as http:
        passkey = http.get("/v1/me/second-factors").json()["passkeys"][0]["id"]
        assert http.delete(f"/v1/me/passkeys/{passkey}").json()["code"] == "second_factor_required"
