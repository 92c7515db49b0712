/* What can be said of mails and requests without any server. */
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "arena_testing.h"
#include "outbound/address.h"
#include "outbound/message.h"
#include "outbound/outbound.h"
#include "outbound/templates.h"

static struct arena *arena;

static int set_up(void **state)
{
    (void)state;
    arena = arena_create();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena = arena_destroy(arena);
    return 0;
}

/* --- Templates ---------------------------------------------------------------------------------------------------- */

/* Every value that the README's table names; what a template does not use it ignores. */
static const char all_values[] =
    "{\"name\": \"O'Neil <b>&\", \"tenant\": \"St Elsewhere\", \"inviter\": \"Dr Ada\", \"roles\": \"trainee and educator\","
    "\"life\": \"7 days\", \"change\": \"a passkey was added\", \"host\": \"hooks.example.org\","
    "\"why\": \"it is gone\", \"until\": \"1 April 2027\", \"origin\": \"https://reads.example.org\"}";
static const char link[] = "https://reads.example.org/verify#abc_-123";

static json_t *values_for(const struct template *template)
{
    json_t *values = json_in(arena, all_values);
    if (template->page)
        json_object_set_new(values, "link", json_string(link));
    return values;
}

static void every_template_is_filled_by_its_documented_values_and_says_all_that_it_must(void **state)
{
    int count = 0;
    (void)state;
    for (const struct template *t = templates; t->name; t++, count++) {
        struct template_filled filled;
        struct error err = {0};
        if (template_fill(arena, t, values_for(t), &filled, &err) < 0)
            fail_msg("%s: %s", t->name, err.detail);
        assert_true(strlen(filled.subject) > 10 && strlen(filled.subject) < 120);
        assert_null(strpbrk(filled.subject, "{}\r\n"));
        assert_non_null(strstr(filled.subject, "Overread"));
        assert_null(strpbrk(filled.text.p, "{}"));
        assert_null(strpbrk(filled.html.p, "{}"));
        assert_null(strstr(filled.html.p, "<b>")); /* a value's, which must not have become markup */
        assert_non_null(strstr(filled.html.p, "<html lang=\"en\">"));
        if (strcmp(t->name, "account") != 0 && strcmp(t->name, "join") != 0 && strcmp(t->name, "invitation") != 0) {
            assert_non_null(strstr(filled.text.p, "Hello O'Neil <b>&,"));
            assert_non_null(strstr(filled.html.p, "Hello O&#39;Neil &lt;b&gt;&amp;,"));
        }
        if (t->page) {
            assert_non_null(strstr(filled.text.p, link));
            assert_non_null(strstr(filled.html.p, "href=\"https://reads.example.org/verify#abc_-123\""));
            assert_non_null(strstr(filled.text.p, "7 days"));
            assert_non_null(strstr(filled.text.p, "do nothing"));
        }
        for (const char *c = filled.text.p; *c; c++)
            assert_true(*c != '\n' || c[-1] == '\r');
    }
    assert_int_equal(count, 13);
}

static void a_value_that_is_missing_is_an_error_and_none_is_needed_that_the_text_does_not_name(void **state)
{
    (void)state;
    for (const struct template *t = templates; t->name; t++) {
        const char *key;
        json_t *unused;
        json_t *values = values_for(t);
        json_object_foreach(values, key, unused)
        {
            struct template_filled filled;
            struct error err = {0};
            json_t *fewer = json_copy(values);
            char placeholder[64];
            json_object_del(fewer, key);
            snprintf(placeholder, sizeof(placeholder), "{%s}", key);
            bool named = strstr(t->text, placeholder) || strstr(t->html, placeholder) || strcmp(key, "origin") == 0;
            assert_int_equal(template_fill(arena, t, fewer, &filled, &err), named ? -1 : 0);
            if (named) {
                assert_string_equal(err.code, "template_value_missing");
                assert_non_null(strstr(err.detail, placeholder));
            }
            json_decref(fewer);
        }
    }
}

static void a_template_has_a_link_and_says_how_long_it_lives_or_neither(void **state)
{
    (void)state;
    for (const struct template *t = templates; t->name; t++) {
        const char *const forms[] = {t->text, t->html};
        for (int i = 0; i < 2; i++) {
            assert_int_equal(strstr(forms[i], "{link}") != NULL, t->page != NULL);
            assert_int_equal(strstr(forms[i], "{life}") != NULL, t->page != NULL);
        }
    }
    assert_ptr_equal(template_named("join"), template_named("join"));
    assert_null(template_named("joi"));
    assert_null(template_named(""));
}

static void a_value_with_a_line_break_another_type_or_no_end_is_refused(void **state)
{
    static const char *const bad[] = {"{\"name\": \"a\\r\\nBcc: x@example.org\"}", "{\"name\": \"a\\nb\"}",
                                      "{\"name\": \"a\\rb\"}", "{\"name\": \"a\\u001bb\"}", "{\"name\": 3}",
                                      "{\"name\": null}"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]) + 1; i++) {
        struct template_filled filled;
        struct error err = {0};
        char longest[4096];
        snprintf(longest, sizeof(longest), "{\"name\": \"%02001d\"}", 0);
        json_t *values = json_in(arena, i < sizeof(bad) / sizeof(bad[0]) ? bad[i] : longest);
        json_object_set_new(values, "origin", json_string("https://reads.example.org"));
        assert_int_equal(template_fill(arena, template_named("password_changed"), values, &filled, &err), -1);
        assert_string_equal(err.code, "template_value_refused");
        assert_null(strstr(err.detail, "Bcc"));
    }
}

/* --- Heads -------------------------------------------------------------------------------------------------------- */

static void plain_headers_stay_plain_and_long_ones_are_folded_before_a_blank(void **state)
{
    (void)state;
    assert_string_equal(message_header(arena, "Subject", "Hello there"), "Subject: Hello there");
    assert_string_equal(message_header(arena, "Subject", ""), "Subject: ");
    const char *folded = message_header(
        arena, "Subject", "a word and another word and another word and another word and another word and another word");
    assert_string_equal(folded, "Subject: a word and another word and another word and another word and\r\n"
                                " another word and another word");
}

static void headers_that_are_not_ascii_are_encoded_words_within_the_lines_length_and_no_character_is_cut(void **state)
{
    (void)state;
    assert_string_equal(message_header(arena, "Subject", "Grüße"), "Subject: =?UTF-8?B?R3LDvMOfZQ==?=");
    assert_string_equal(message_header(arena, "Subject", "=?UTF-8?B?eA==?="), "Subject: =?UTF-8?B?PT9VVEYtOD9CP2VBPT0/PQ==?=");
    /* 35 bytes and then one of three: it goes into the second word whole. */
    assert_string_equal(message_header(arena, "Subject", "01234567890123456789012345678901234€"),
                        "Subject: =?UTF-8?B?MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ=?=\r\n =?UTF-8?B?4oKs?=");
    char many[601] = "";
    for (int i = 0; i < 200; i++)
        memcpy(many + 3 * i, "€", 3);
    const char *header = message_header(arena, "Subject", many);
    for (const char *line = header; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        assert_true(strcspn(line, "\r") <= 76);
}

static void no_header_takes_a_line_break_or_another_control_character(void **state)
{
    static const char *const bad[] = {"a\r\nBcc: b@example.org", "a\nb", "a\rb", "\x7f", "a\tb", "ü\n"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct mailbox named = {bad[i], "a@example.org"}, addressed = {"", bad[i]};
        assert_null(message_header(arena, "Subject", bad[i]));
        assert_null(message_mailbox_header(arena, "To", &named));
        assert_null(message_mailbox_header(arena, "To", &addressed));
    }
}

static void a_mailbox_is_a_name_and_an_address_or_an_address(void **state)
{
    struct mailbox m;
    struct error err = {0};
    (void)state;
    assert_int_equal(mailbox_parse(arena, "Over \"read\" <no-reply@example.org>", &m, &err), 0);
    assert_string_equal(m.name, "Over \"read\"");
    assert_string_equal(m.address, "no-reply@example.org");
    assert_string_equal(mailbox_domain(&m), "example.org");
    assert_string_equal(message_mailbox_header(arena, "From", &m), "From: \"Over \\\"read\\\"\"\r\n <no-reply@example.org>");
    assert_int_equal(mailbox_parse(arena, "a@example.org", &m, &err), 0);
    assert_string_equal(message_mailbox_header(arena, "To", &m), "To: <a@example.org>");
    assert_int_equal(mailbox_parse(arena, "Übersicht <a@example.org>", &m, &err), 0);
    assert_string_equal(message_mailbox_header(arena, "To", &m), "To: =?UTF-8?B?w5xiZXJzaWNodA==?=\r\n <a@example.org>");
}

static void what_is_no_address_is_refused_without_saying_it(void **state)
{
    static const char *const bad[] = {"", "a", "@example.org", "a@", "a@b@c", "a b@example.org", "a@example.org>",
                                      "<a@example.org", "x <a@example.org> y", "a@exa\nmple.org", "a,b@example.org",
                                      "\"a\"@example.org", "ü@example.org", "a@ex(am)ple.org", "a;b@example.org", "<>"};
    struct mailbox m;
    char longest[300];
    (void)state;
    snprintf(longest, sizeof(longest), "a@%0253d", 0);
    assert_false(mailbox_address_good(longest));
    snprintf(longest, sizeof(longest), "a@%0252d", 0);
    assert_true(mailbox_address_good(longest));
    snprintf(longest, sizeof(longest), "%065d@b", 0);
    assert_false(mailbox_address_good(longest));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct error err = {0};
        if (mailbox_parse(arena, bad[i], &m, &err) == 0)
            fail_msg("\"%s\" is taken for an address", bad[i]);
        assert_string_equal(err.code, "address_refused");
        assert_null(strstr(err.detail, "@"));
    }
}

static void the_date_is_the_one_of_rfc_5322(void **state)
{
    (void)state;
    assert_string_equal(message_date_header(arena, 0), "Date: Thu, 01 Jan 1970 00:00:00 +0000");
    assert_string_equal(message_date_header(arena, 1795532645999), "Date: Tue, 24 Nov 2026 15:04:05 +0000");
}

/* --- Configuration ------------------------------------------------------------------------------------------------ */

static void mail_that_is_configured_badly_is_found_before_anything_is_sent(void **state)
{
    static const struct {
        const char *url, *from, *field;
    } cases[] = {
        {"", "", NULL},
        {"smtp://mail.example.org:587", "Overread <no-reply@example.org>", NULL},
        {"smtps://mail.example.org", "no-reply@example.org", NULL},
        {"smtp://mail.example.org:587", "", "mail_from"},
        {"smtp://mail.example.org:587", "Overread", "mail_from"},
        {"http://mail.example.org", "a@example.org", "smtp_url"},
        {"mail.example.org", "a@example.org", "smtp_url"},
        {"smtp://user:word@mail.example.org", "a@example.org", "smtp_url"},
        {"smtp://mail.example.org/", "a@example.org", "smtp_url"},
        {"smtp://mail.example.org/path", "a@example.org", "smtp_url"},
        {"smtp://mail.example.org?path", "a@example.org", "smtp_url"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct config config = {.smtp_url = cases[i].url, .mail_from = cases[i].from};
        struct error err = {0};
        assert_int_equal(outbound_check(&config, &err), cases[i].field ? -1 : 0);
        assert_string_equal(err.field, cases[i].field ? cases[i].field : "");
    }
}

/* --- Addresses ---------------------------------------------------------------------------------------------------- */

static struct sockaddr_storage address_of(const char *s)
{
    struct sockaddr_storage storage = {0};
    if (strchr(s, ':')) {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;
        v6->sin6_family = AF_INET6;
        assert_int_equal(inet_pton(AF_INET6, s, &v6->sin6_addr), 1);
    } else {
        struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
        v4->sin_family = AF_INET;
        assert_int_equal(inet_pton(AF_INET, s, &v4->sin_addr), 1);
    }
    return storage;
}

static void only_addresses_of_the_public_internet_are_public(void **state)
{
    static const char *const not_public[] = {
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.0.1",
        "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1",
        "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1",
        "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
        "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::808:808", "100::1", "2001::1", "2001:2::1",
        "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2620:4f:8000::1", "3fff::1", "fc00::1", "fd12::1", "fe80::1",
        "fec0::1", "ff02::1", "4000::1", "5f00::1",
    };
    static const char *const public[] = {
        "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "126.0.0.1", "128.0.0.1",
        "169.253.0.1", "172.15.255.255", "172.32.0.1", "192.0.1.1", "192.167.0.1", "192.169.0.1", "198.17.0.1", "198.20.0.1",
        "223.255.255.255", "2606:4700::1111", "2a00:1450::1", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808",
        "2002:808:808::1",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(not_public) / sizeof(not_public[0]); i++) {
        struct sockaddr_storage s = address_of(not_public[i]);
        if (address_is_public((const struct sockaddr *)&s))
            fail_msg("%s is taken for public", not_public[i]);
    }
    for (size_t i = 0; i < sizeof(public) / sizeof(public[0]); i++) {
        struct sockaddr_storage s = address_of(public[i]);
        if (!address_is_public((const struct sockaddr *)&s))
            fail_msg("%s is taken for not public", public[i]);
    }
    const struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "/run/x"};
    assert_false(address_is_public((const struct sockaddr *)&local));
    assert_false(address_is_loopback((const struct sockaddr *)&local));
}

static void this_machine_is_127_slash_8_and_one_in_either_family(void **state)
{
    static const char *const here[] = {"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"};
    static const char *const elsewhere[] = {"128.0.0.1", "0.0.0.0", "::", "::2", "::ffff:8.8.8.8", "fe80::1"};
    (void)state;
    for (size_t i = 0; i < sizeof(here) / sizeof(here[0]); i++) {
        struct sockaddr_storage s = address_of(here[i]);
        assert_true(address_is_loopback((const struct sockaddr *)&s));
    }
    for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++) {
        struct sockaddr_storage s = address_of(elsewhere[i]);
        assert_false(address_is_loopback((const struct sockaddr *)&s));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_template_is_filled_by_its_documented_values_and_says_all_that_it_must),
        TEST(a_value_that_is_missing_is_an_error_and_none_is_needed_that_the_text_does_not_name),
        TEST(a_template_has_a_link_and_says_how_long_it_lives_or_neither),
        TEST(a_value_with_a_line_break_another_type_or_no_end_is_refused),
        TEST(plain_headers_stay_plain_and_long_ones_are_folded_before_a_blank),
        TEST(headers_that_are_not_ascii_are_encoded_words_within_the_lines_length_and_no_character_is_cut),
        TEST(no_header_takes_a_line_break_or_another_control_character),
        TEST(a_mailbox_is_a_name_and_an_address_or_an_address),
        TEST(what_is_no_address_is_refused_without_saying_it),
        TEST(the_date_is_the_one_of_rfc_5322),
        TEST(mail_that_is_configured_badly_is_found_before_anything_is_sent),
        TEST(only_addresses_of_the_public_internet_are_public),
        TEST(this_machine_is_127_slash_8_and_one_in_either_family),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
