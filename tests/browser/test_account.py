"""One's account, with the keyboard alone: second factors, recovery codes, passkeys, sessions, tokens, the password."""
import subprocess
import time

import pytest
from support.accounts import password


def code_of(secret, later=0):
    """A code of the app's; `later`: steps of 30 seconds ahead, for each works once, and one step ahead is taken."""
    at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time.time() + 30 * later))
    return subprocess.run(["oathtool", "--totp", "--base32", "--now", at, secret], check=True, capture_output=True,
                          text=True).stdout.strip()


@pytest.fixture
def person(tenant):
    return tenant("trainee")["trainee"]


def show_password(browser, person, word=None):
    browser.open("/sign-in")
    browser.enter("E-mail address", person.email)
    browser.enter("Password", word or person.password)
    browser.press("Enter")


def sign_in(browser, person):
    show_password(browser, person)
    browser.wait_for("API tokens")


def keep_codes(browser):
    browser.wait_for("Your recovery codes")
    browser.push("Copy the codes")
    browser.wait_for("Copied.")
    codes = browser.clipboard().split("\n")
    browser.push("I have kept them")
    browser.wait_for("recovery codes are left")
    assert codes[0] not in browser.text()
    return codes


def sign_out(browser):
    browser.push("Sign out")
    browser.wait_address("/sign-in")


def test_an_authenticator_app_is_added_and_asked_for(browser, person):
    sign_in(browser, person)
    browser.push("Add an authenticator app")
    browser.wait_for("Secret:")
    secret = browser.text_of("#app-secret")
    assert browser.attribute("#app-qr svg", "viewBox")
    browser.enter("Code of the app", "000000")
    browser.press("Enter")
    browser.wait_for("The code is not right")
    browser.mend(code_of(secret))
    codes = keep_codes(browser)
    assert len(set(codes)) == len(codes) >= 8
    sign_out(browser)
    show_password(browser, person)
    browser.wait_for("Second step")
    assert browser.focused() == "Second step"
    assert browser.axe()["violations"] == []
    browser.enter("Code of your authenticator app", code_of(secret, later=1))
    browser.press("Enter")
    browser.wait_for("API tokens")
    sign_out(browser)
    show_password(browser, person)
    browser.wait_for("Second step")
    browser.push("Use a recovery code instead")
    browser.enter("Recovery code", codes[0])
    browser.press("Enter")
    browser.wait_for(f"{len(codes) - 1} recovery codes are left")
    browser.push("Remove: authenticator app")
    browser.wait_for("The authenticator app is removed.")
    sign_out(browser)
    sign_in(browser, person)


def test_a_passkey_is_added_and_signs_in_without_password_and_as_second_step(browser, person):
    browser.key({})
    sign_in(browser, person)
    browser.enter("Name of the key", "My laptop")
    browser.press("Enter")
    keep_codes(browser)
    assert "My laptop" in browser.text_of("#factor-list")
    sign_out(browser)
    browser.push("Sign in with a passkey")
    browser.wait_for("API tokens")
    sign_out(browser)
    show_password(browser, person)
    browser.wait_for("Second step")
    assert "authenticator app" not in browser.text()
    browser.push("Use a security key or passkey")
    browser.wait_for("API tokens")
    browser.push("Remove: My laptop")
    browser.wait_for("The key is removed.")


def test_a_key_that_does_not_verify_its_owner_is_a_second_step(browser, person):
    browser.key({"transport": "usb", "hasResidentKey": False, "hasUserVerification": False, "isUserVerified": False})
    sign_in(browser, person)
    browser.enter("Name of the key", "Blue key")
    browser.press("Enter")
    keep_codes(browser)
    sign_out(browser)
    show_password(browser, person)
    browser.push("Use a security key or passkey")
    browser.wait_for("API tokens")


def test_a_key_that_was_not_used_is_told_in_words(browser, person):
    key = browser.key({})
    sign_in(browser, person)
    browser.enter("Name of the key", "My laptop")
    browser.press("Enter")
    keep_codes(browser)
    sign_out(browser)
    browser.remove_key(key)
    browser.key({})
    browser.push("Sign in with a passkey")
    browser.wait_for("No key was used")
    assert browser.focused().startswith("There is a problem")


def test_a_second_factor_that_the_tenant_requires_is_added_before_anything_else(browser, tenant, client):
    trust = tenant("administrator", "trainee")
    reply = client(trust["administrator"]).patch("/v1/tenant", json={"second_factor": "required"})
    assert reply.status_code == 200, reply.text
    show_password(browser, trust["trainee"])
    browser.wait_for("Your organisation asks for a second factor.")
    assert "API tokens" not in browser.text()
    browser.push("Add an authenticator app")
    browser.wait_for("Secret:")
    browser.enter("Code of the app", code_of(browser.text_of("#app-secret")))
    browser.press("Enter")
    keep_codes(browser)
    browser.wait_for("API tokens")


def test_the_password_is_changed_and_its_refusal_told(browser, person, client):
    sign_in(browser, person)
    other, new = client(person), password()
    browser.enter("Current password", person.password)
    browser.enter("New password", "passwordpassword123")
    browser.press("Enter")
    browser.wait_for("This password is among the first that anybody guesses")
    browser.mend(new)
    browser.wait_for("Your password is changed")
    assert other.get("/v1/session").status_code == 401
    sign_out(browser)
    show_password(browser, person, new)
    browser.wait_for("API tokens")


def test_other_sessions_are_listed_and_ended(browser, person, client):
    other = client(person)
    sign_in(browser, person)
    browser.push("End: ")
    browser.wait_for("The session is ended.")
    assert browser.focused() == "Sessions"
    assert other.get("/v1/session").status_code == 401


def test_all_other_sessions_are_ended_at_once(browser, person, client):
    others = [client(person)]
    person.login()
    others.append(client(person))
    sign_in(browser, person)
    browser.push("End all other sessions")
    browser.wait_for("All other sessions are ended.")
    assert browser.focused() == "Sessions"
    assert [one.get("/v1/session").status_code for one in others] == [401, 401]


def test_a_space_of_ones_own_is_opened_beside_the_organisation(browser, person):
    sign_in(browser, person)
    browser.push("Open my personal space")
    browser.wait_for("Your personal space is open.")
    assert browser.focused() == "Organisations" and "Open my personal space" not in browser.text()
    browser.push(f"Change to it: {person.name}")
    browser.wait_for(f"at {person.name} as trainee")


def test_a_token_is_made_shown_once_and_revoked(browser, person, server):
    sign_in(browser, person)
    browser.enter("Name of the token", "Nightly script")
    browser.enter("Scopes", "cases:all")
    browser.press("Enter")
    browser.wait_for("A scope is an area of the API")
    browser.mend("cases:read")
    browser.wait_for("The new token")
    browser.push("Copy the token")
    browser.wait_for("Copied.")
    with server.client(browser.clipboard()) as program:
        assert program.get("/v1/cases").status_code == 200
        browser.push("Revoke: Nightly script")
        browser.wait_for("The token is revoked.")
        assert program.get("/v1/cases").status_code == 401


def test_ones_data_is_prepared_and_downloaded(browser, person):
    sign_in(browser, person)
    browser.push("Prepare my data")
    browser.wait_for("Your data is ready.")
    assert browser.focused() == "Download my data"
    assert browser.download()[:2] == "PK"


def test_who_must_sign_in_through_the_organisation_is_led_there(browser, person, pg):
    pg.query("UPDATE tenants SET password_sign_in = false WHERE slug = %s", (person.tenant.slug,))
    browser.open(f"/sign-in?tenant={person.tenant.slug}")
    browser.enter("E-mail address", person.email)
    browser.enter("Password", person.password)
    browser.press("Enter")
    browser.wait_for("Use “Sign in through my organisation” below.")
    browser.push("Go to my organisation’s sign-on")
    browser.wait_address(f"/v1/sso/{person.tenant.slug}/start")
