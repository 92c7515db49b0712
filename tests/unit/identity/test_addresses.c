#include "identity/email.h"
#include "identity/throttle.h"

#include <string.h>

#include "arena_testing.h"

static void assert_normal(struct arena *arena, const char *address, const char *expected)
{
    const char *normal = NULL;
    if (email_normal(arena, address, &normal, "/email", NULL) < 0)
        fail_msg("refused: %s", address);
    assert_string_equal(normal, expected);
}

static void test_the_domain_is_lower_case_and_the_local_part_as_given(void **state)
{
    assert_normal(*state, "Anna.Berg@St-Elsewhere.EXAMPLE", "Anna.Berg@st-elsewhere.example");
    assert_normal(*state, "a+b_c-d'e@x.org", "a+b_c-d'e@x.org");
}

static void test_an_international_domain_has_one_form(void **state)
{
    assert_normal(*state, "anna@bücher.example", "anna@xn--bcher-kva.example");
    assert_normal(*state, "anna@BÜCHER.example", "anna@xn--bcher-kva.example");
    assert_normal(*state, "anna@bu\xcc\x88"
                          "cher.example",
                  "anna@xn--bcher-kva.example"); /* u and a combining diaeresis */
    assert_normal(*state, "anna@xn--bcher-kva.example", "anna@xn--bcher-kva.example");
}

static void test_lengths_are_those_of_rfc_5321(void **state)
{
    char address[400];
    struct error err = {0};
    const char *normal;
    memset(address, 'a', sizeof(address));
    memcpy(address + 64, "@x.org", sizeof("@x.org"));
    assert_normal(*state, address, address);
    memset(address, 'a', 65);
    memcpy(address + 65, "@x.org", sizeof("@x.org"));
    assert_int_equal(email_normal(*state, address, &normal, "/email", &err), -1);
    memcpy(address, "a@", 2);
    for (size_t i = 2; i < 300; i++)
        address[i] = i % 50 == 0 ? '.' : 'b';
    memcpy(address + 248, ".org", sizeof(".org"));
    assert_normal(*state, address, address);
    memcpy(address + 251, "ccc.org", sizeof("ccc.org"));
    assert_int_equal(email_normal(*state, address, &normal, "/email", &err), -1);
}

static void test_what_is_no_address_is_refused(void **state)
{
    static const char *const bad[] = {"",          "anna",       "@x.org",      "anna@",        "anna@x",          "a@b@x.org",
                                      "a b@x.org", "a\n@x.org",  "a@x.org\n",   "a@x\r\n.org",  "a\x7f@x.org",     ".a@x.org",
                                      "a.@x.org",  "a..b@x.org", "a@-x.org",    "a@x-.org",     "a@x..org",        "a@x.org.",
                                      "\"a\"@x.org", "a@[127.0.0.1]", "<a@x.org>", "a@x.org,b@y.org", "a@\xff.org", "ä@x.org",
                                      "a@x .org",  "a@x_y.org"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *normal = NULL;
        struct error err = {0};
        if (email_normal(*state, bad[i], &normal, "/email", &err) == 0)
            fail_msg("taken: %s as %s", bad[i], normal);
        assert_string_equal(err.code, "bad_email");
        assert_string_equal(err.field, "/email");
        assert_null(normal);
    }
}

static void assert_network(struct arena *arena, const char *address, const char *expected)
{
    assert_string_equal(throttle_network(arena, text_of(address)), expected);
}

static void test_a_client_is_an_ipv4_address_or_a_64_of_ipv6(void **state)
{
    assert_network(*state, "192.0.2.7", "192.0.2.7");
    assert_network(*state, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64");
    assert_network(*state, "2001:db8:1:2:ffff::1", "2001:db8:1:2::/64");
    assert_network(*state, "2001:db8:1:3::1", "2001:db8:1:3::/64");
    assert_network(*state, "::ffff:192.0.2.7", "192.0.2.7");
    assert_network(*state, "local", "local");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        arena_test(test_the_domain_is_lower_case_and_the_local_part_as_given),
        arena_test(test_an_international_domain_has_one_form),
        arena_test(test_lengths_are_those_of_rfc_5321),
        arena_test(test_what_is_no_address_is_refused),
        arena_test(test_a_client_is_an_ipv4_address_or_a_64_of_ipv6),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
