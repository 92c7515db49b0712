"""What mailed links lead to, walked through with the keyboard alone."""
import pytest
from support.accounts import address, password, sign_in


def sign_up(browser, email, word):
    browser.open("/sign-up")
    browser.enter("Name", "Anna Berg")
    browser.enter("E-mail address", email)
    browser.enter("New password", word)
    browser.push("Sign up")
    browser.wait_for("Look into your mailbox")


def sign_in_by_keys(browser, email, word):
    browser.open("/sign-in")
    browser.enter("E-mail address", email)
    browser.enter("Password", word)
    browser.push("Sign in")


@pytest.fixture
def account(browser, mailbox):
    """account(): signed up and verified in the browser: (email, password)."""
    def make():
        email, word = address(), password()
        sign_up(browser, email, word)
        browser.open(mailbox.wait(email).link)
        browser.enter("Password (only when you have just signed up)", word)
        browser.push("Confirm my address")
        browser.wait_for("Your account is open")
        return email, word

    return make


def test_who_signs_up_follows_the_link_and_signs_in(browser, account):
    email, word = account()
    browser.push("Sign in")
    browser.wait_address("/sign-in")
    browser.enter("E-mail address", email)
    browser.enter("Password", word)
    browser.press("Enter")
    browser.wait_address("/account")
    browser.wait_for(f"Anna Berg ({email})")
    assert [(cookie["httpOnly"], cookie["sameSite"]) for cookie in browser.cookies()] == [(True, "Lax")]
    browser.push("Sign out")
    browser.wait_address("/sign-in")
    browser.open("/account")
    browser.wait_address("/sign-in")


def test_who_does_not_show_the_password_of_the_sign_up_again_chooses_one(browser, mailbox):
    email, word = address(), password()
    sign_up(browser, email, word)
    browser.open(mailbox.wait(email).link)
    browser.push("Confirm my address")
    browser.wait_for("it has no password yet")
    sign_in_by_keys(browser, email, word)
    browser.wait_for("is not right")


def test_the_token_of_a_link_leaves_the_address_bar(browser, mailbox):
    email = address()
    sign_up(browser, email, password())
    mail = mailbox.wait(email)
    browser.open(mail.link)
    assert mail.link.endswith("/verify#" + mail.token)
    assert browser.address().endswith("/verify")


def test_a_link_that_was_used_says_so_and_what_to_do_next(browser, mailbox):
    email = address()
    sign_up(browser, email, password())
    link = mailbox.wait(email).link
    for words in ("Your address is confirmed", "This link is no longer good"):
        browser.open("/forgot")  # else the same page is only reached by its fragment
        browser.open(link)
        browser.push("Confirm my address")
        browser.wait_for(words)
        assert browser.focused() == words
    browser.push("sign in")
    browser.wait_address("/sign-in")


def test_a_page_without_its_token_is_a_link_that_is_no_longer_good(browser):
    for page in ("/verify", "/reset", "/invitation", "/join"):
        browser.open(page)
        browser.wait_for("This link is no longer good")


def test_another_link_in_the_same_tab_counts(browser, mailbox):
    email = address()
    sign_up(browser, email, password())
    link = mailbox.wait(email).link
    browser.open("/verify#" + 43 * "x")
    browser.open(link)
    browser.push("Confirm my address")
    browser.wait_for("Your address is confirmed")


def test_who_forgot_the_password_chooses_a_new_one(browser, account, mailbox, client):
    email, word = account()
    browser.push("Sign in")
    browser.wait_address("/sign-in")
    browser.push("I have forgotten my password")
    browser.wait_address("/forgot")
    browser.enter("E-mail address", email)
    browser.press("Enter")
    browser.wait_for("Look into your mailbox")
    link = mailbox.wait(email).link
    browser.open(link)
    browser.enter("New password", "short")
    browser.push("Set the new password")
    browser.wait_for("at least 15 characters")
    new = password()
    browser.mend(new)
    browser.wait_for("Your new password is set")
    assert sign_in(client(), email, word).status_code == 401
    assert sign_in(client(), email, new).status_code == 201
    browser.open("/forgot")
    browser.open(link)
    browser.enter("New password", password())
    browser.press("Enter")
    browser.wait_for("This link is no longer good")


def invite(tenant, client, email, mailbox):
    trust = tenant("administrator")
    reply = client(trust["administrator"]).post("/v1/tenant/invitations", json={"email": email, "roles": ["trainee"]})
    assert reply.status_code == 201, reply.text
    return trust, mailbox.wait(email)


def test_an_invited_person_who_is_new_chooses_name_and_password(browser, tenant, client, mailbox):
    email, word = address(), password()
    trust, mail = invite(tenant, client, email, mailbox)
    browser.open(mail.link)
    browser.wait_for(f"{trust.name} invites you to join as trainee.")
    browser.enter("Name", "Nora New")
    browser.enter("New password", word)
    browser.push("Accept")
    browser.wait_for(f"You belong to {trust.name}, as {email}.")
    browser.push("Sign in")
    browser.wait_address(f"/sign-in\\?tenant={trust.slug}")
    browser.enter("E-mail address", email)
    browser.enter("Password", word)
    browser.press("Enter")
    browser.wait_for(f"Nora New ({email}), at {trust.name} as trainee.")


def test_an_invited_person_who_has_an_account_accepts_and_changes_between_the_two(browser, account, tenant, client, mailbox):
    email, word = account()
    trust, mail = invite(tenant, client, email, mailbox)
    browser.open(mail.link)
    browser.wait_for("You keep your account")
    browser.push("Accept")
    browser.wait_for("You are a member now")
    sign_in_by_keys(browser, email, word)
    browser.wait_for("You belong to several tenants")
    browser.mend(trust.slug)
    browser.wait_for(f"at {trust.name} as trainee.")
    browser.push("Change to it")
    browser.wait_for(f"Anna Berg ({email}), at Anna Berg as")


def test_who_has_a_join_link_proves_an_address_and_joins(browser, tenant, client, mailbox):
    trust, email = tenant("administrator"), address()
    me = client(trust["administrator"])
    assert me.patch("/v1/tenant", json={"domains": ["example.org"]}).status_code == 200
    link = me.post("/v1/tenant/join-links", json={"name": "Ward 7", "roles": ["trainee"]}).json()
    browser.open(link["page"])
    browser.enter("E-mail address", "nora@example.com")
    browser.press("Enter")
    browser.wait_for("This link is for addresses of example.org")
    browser.mend(email)
    browser.wait_for("Look into your mailbox")
    browser.open(mailbox.wait(email).link)
    browser.enter("Name", "Jo Joiner")
    browser.enter("New password", password())
    browser.push("Accept")
    browser.wait_for(f"You belong to {trust.name}, as {email}.")


def test_a_new_address_counts_when_its_link_was_followed(browser, account, mailbox):
    email, word = account()
    sign_in_by_keys(browser, email, word)
    browser.wait_for("New e-mail address")
    other = address("other")
    browser.enter("New e-mail address", other)
    browser.enter("Current password", word)
    browser.press("Enter")
    browser.wait_for("We have sent a mail to the new address")
    browser.open(mailbox.wait(other).link)
    browser.push("Confirm my address")
    browser.wait_for("From now on you sign in with the new address")
    browser.push("Go to your account")
    browser.wait_for(other)
