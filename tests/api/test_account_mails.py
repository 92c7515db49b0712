"""The way from a form to a mailbox and back, through a real mail server."""
from support.accounts import address, password, sign_in, sign_up, somewhere


def follow(http, path, mail, **more):
    return http.post(path, json={"token": mail.token, **more}, headers=somewhere())


def test_a_trainee_signs_up_by_mail(client, mailbox):
    http, email, word = client(), address(), password()
    assert sign_up(http, email, word).status_code == 202
    mail = mailbox.wait(email)
    assert mail.page == "verify" and "24 hours" in mail.text or "1 day" in mail.text
    assert follow(http, "/v1/accounts/verification", mail, password=word).json()["password_set"]
    assert sign_in(http, email, word).json()["stage"] == "full"


def test_an_address_that_has_an_account_is_told_and_gets_no_link(client, mailbox, tenant):
    http, person = client(), tenant("trainee")["trainee"]
    sign_up(http, person.email, name="A stranger")
    mail = mailbox.wait(person.email)
    assert mail.link is None and person.name in mail.text and "A stranger" not in mail.text


def test_a_password_is_reset_by_mail_and_the_person_told(client, mailbox, tenant):
    http, person, new = client(), tenant("trainee")["trainee"], password()
    http.post("/v1/password-resets", json={"email": person.email}, headers=somewhere())
    mail = mailbox.wait(person.email)
    assert mail.page == "reset" and "10 minutes" in mail.text
    assert follow(http, "/v1/password-resets/completion", mail, password=new).status_code == 204
    assert mailbox.wait(person.email).subject == "Your Overread password was changed"
    assert sign_in(http, person.email, new).status_code == 201


def test_an_address_is_changed_by_mail_and_the_old_one_told(client, mailbox, tenant):
    person, new = tenant("trainee")["trainee"], address("new")
    me = client(person, headers=somewhere())
    assert me.put("/v1/me/email", json={"email": new, "current": person.password}).status_code == 202
    assert mailbox.wait(person.email).link is None
    assert follow(me, "/v1/accounts/verification", mailbox.wait(new)).json()["kind"] == "email"
    assert me.get("/v1/me").json()["email"] == new


def test_mails_that_are_not_to_be_sent_leave_the_outbox_quietly(client, mailbox, tenant, pg):
    """They exist so that an unknown address makes the same work as a known one."""
    import time
    http, nobody, somebody = client(), address(), tenant("trainee")["trainee"].email
    http.post("/v1/password-resets", json={"email": nobody}, headers=somewhere())
    sign_up(http, somebody)
    mailbox.wait(somebody)
    deadline = time.monotonic() + 30
    left = None
    while left != [] and time.monotonic() < deadline:
        left = pg.query("SELECT payload, last_error FROM jobs WHERE kind = 'mail' AND payload->>'to' IN (%s, %s)", (nobody, somebody))
        time.sleep(0.1)
    assert left == []
    assert mailbox.all(nobody) == [] and len(mailbox.all(somebody)) == 1
