"""What axe finds on every page, in light and dark; and what a narrow window does to them."""
import pytest
from support.accounts import address

TOKEN = "#" + 43 * "x"


def assert_accessible(browser):
    for scheme in ("light", "dark"):
        browser.scheme(scheme)
        found = browser.axe()
        assert found["violations"] == [], (scheme, browser.text())
        assert found["passes"] > 10  # it has looked
    browser.size(320, 640)  # WCAG 1.4.10
    assert browser.wider() == 0, "the page is wider than a narrow window"
    browser.size(1024, 900)


@pytest.mark.parametrize("page, button", [("/sign-in", "Sign in"), ("/sign-up", "Sign up"), ("/forgot", "Send me a link"),
                                          ("/verify" + TOKEN, "Confirm my address"), ("/reset" + TOKEN, "Set the new password")])
def test_axe_finds_nothing_on_a_page_nor_where_it_tells_of_a_problem(browser, page, button):
    browser.open(page)
    assert browser.title().endswith(" – Overread")
    assert "For training, not for diagnosis." in browser.text()
    assert_accessible(browser)
    browser.push(button)
    browser.wait_for("no longer good" if "verify" in page else "There is a problem")
    assert_accessible(browser)


def test_an_empty_field_is_named_and_reached_from_the_problem(browser):
    browser.open("/sign-in")
    browser.tab_to("Password")
    browser.press("Enter")
    browser.wait_for("E-mail address: Fill this in.")
    assert browser.title() == "Problem: Sign in – Overread"
    assert browser.attribute("#email", "aria-invalid") == "true"
    assert browser.attribute("#email", "aria-describedby") == "email-error"
    assert browser.focused().startswith("There is a problem")
    browser.press("Tab")
    browser.press("Enter")
    assert browser.focused() == "E-mail address"


def test_axe_finds_nothing_on_an_invitation(browser, tenant, client, mailbox):
    email = address()
    client(tenant("administrator")["administrator"]).post("/v1/tenant/invitations", json={"email": email, "roles": ["trainee"]})
    browser.open(mailbox.wait(email).link)
    browser.wait_for("invites you")
    assert_accessible(browser)
    browser.enter("Name", "Nora New")
    browser.enter("New password", "short")
    browser.push("Accept")
    browser.wait_for("There is a problem")
    assert_accessible(browser)


def test_axe_finds_nothing_on_the_account_page(browser, tenant):
    person = tenant("trainee")["trainee"]
    browser.open("/sign-in")
    browser.enter("E-mail address", person.email)
    browser.enter("Password", person.password)
    browser.press("Enter")
    browser.wait_for("API tokens")
    assert_accessible(browser)
    browser.push("Add an authenticator app")
    browser.wait_for("Secret:")
    assert_accessible(browser)
