#include "identity/password.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

static void test_a_hash_matches_its_password_and_no_other(void **state)
{
    char phc[PASSWORD_PHC_SIZE];
    (void)state;
    assert_int_equal(password_hash("correct horse battery", phc, NULL), 0);
    assert_true(password_matches(phc, "correct horse battery"));
    assert_false(password_matches(phc, "correct horse batterY"));
    assert_false(password_matches(phc, ""));
    assert_false(password_is_outdated(phc));
}

static void test_the_same_password_is_salted_anew_each_time(void **state)
{
    char a[PASSWORD_PHC_SIZE], b[PASSWORD_PHC_SIZE];
    (void)state;
    assert_int_equal(password_hash("correct horse battery", a, NULL), 0);
    assert_int_equal(password_hash("correct horse battery", b, NULL), 0);
    assert_string_not_equal(a, b);
}

/* A dummy that could not be decoded would be refused at once, and the time would tell that there is no such person. */
static void test_nobodys_hash_is_computed_like_any_other_and_never_matches(void **state)
{
    (void)state;
    assert_int_equal(argon2id_verify(nobody, "correct horse battery", 21), ARGON2_VERIFY_MISMATCH);
    assert_false(password_is_outdated(nobody));
    assert_false(password_matches("", "correct horse battery"));
    assert_false(password_matches("", ""));
}

static void test_weaker_parameters_are_outdated(void **state)
{
    (void)state;
    assert_true(password_is_outdated("$argon2id$v=19$m=4096,t=3,p=1$c2FsdHNhbHQ$aGFzaA"));
    assert_true(password_is_outdated("$argon2i$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA"));
    assert_true(password_is_outdated(""));
}

static bool taken(const char *password, const char *words, bool second_factor)
{
    const struct password_about about = {.words = words, .second_factor = second_factor};
    return password_acceptable(password, &about, NULL) == 0;
}

static void test_length_counts_characters_up_and_bytes_down(void **state)
{
    struct error err = {0};
    char longest[PASSWORD_MAX + 2];
    (void)state;
    assert_int_equal(password_acceptable("crab moth ivy.", NULL, &err), -1);
    assert_string_equal(err.code, "password_too_short");
    assert_string_equal(err.field, "/password");
    assert_int_equal(password_acceptable("crab moth ivy..", NULL, &err), 0);
    /* 14 characters of two bytes each are 28 bytes, and still too few. */
    assert_false(taken("äöüßéñçøåœæðþł", NULL, false));
    assert_true(taken("äöüßéñçøåœæðþłî", NULL, false));
    for (size_t i = 0; i < PASSWORD_MAX + 1; i++)
        longest[i] = "abcdefghijklmnopqrstuvwxyz0123456789"[(i * i * 7 + i) % 36];
    longest[PASSWORD_MAX + 1] = '\0';
    assert_int_equal(password_acceptable(longest, NULL, &err), -1);
    assert_string_equal(err.code, "password_too_long");
    longest[PASSWORD_MAX] = '\0';
    assert_int_equal(password_acceptable(longest, NULL, &err), 0);
}

static void test_eight_characters_are_enough_beside_a_second_factor(void **state)
{
    (void)state;
    assert_false(taken("kx7#mq2p", NULL, false));
    assert_true(taken("kx7#mq2p", NULL, true));
    assert_false(taken("kx7#mq2", NULL, true));
    assert_false(taken("password", NULL, true));
    assert_false(taken("Passw0rd!", NULL, true));
}

static void test_any_characters_make_a_password(void **state)
{
    static const char *const good[] = {"my cat eats blue rice", "kyzdqwmtrbnhgfx", "914783265017346", "ЗИМОЙ ЁЖ НЕ СПИТ", "猫は青い米を食べるのが好きです"};
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        if (!taken(good[i], NULL, false))
            fail_msg("refused: %s", good[i]);
}

static void test_what_anybody_guesses_first_is_refused(void **state)
{
    static const char *const bad[] = {
        "passwordpassword", "password123456789", "aaaaaaaaaaaaaaa",    "123456789012345",    "abcdefghijklmnop",
        "iloveyouiloveyou", "P@ssw0rdP@ssw0rd",  "qwertyuiopasdfghjkl", "thequickbrownfox", "1q2w3e4r5t6y7u8i",
        "overreadoverread", "OverreadRadiology1"};
    struct error err = {0};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (password_acceptable(bad[i], NULL, &err) == 0)
            fail_msg("taken: %s", bad[i]);
        assert_string_equal(err.code, "password_too_common");
    }
}

static void test_ones_own_name_address_and_trust_make_no_password(void **state)
{
    const char *words = "w.oxenstierna@quillfeather.example Wolmar Oxenstierna Quillfeather Infirmary";
    (void)state;
    assert_false(taken("WolmarOxenstierna", words, false));
    assert_false(taken("quillfeather-wolmar", words, false));
    assert_false(taken("oxenstierna2024", words, false));
    assert_false(taken("wolmar wolmar - Infirmary!", words, false));
    /* A word of them among others does no harm. */
    assert_true(taken("wolmar eats blue rice daily", words, false));
    assert_true(taken("zygote Oxenstierna kettle", "", false));
}

static void test_any_words_about_a_person_are_borne(void **state)
{
    char many[20000];
    (void)state;
    for (size_t i = 0; i < sizeof(many) - 1; i++)
        many[i] = i % 5 == 4 ? ' ' : (char)('a' + i % 26);
    many[sizeof(many) - 1] = '\0';
    assert_true(taken("my cat eats blue rice", many, false));
    memset(many, 'x', sizeof(many) - 1);
    assert_true(taken("my cat eats blue rice", many, false));
    assert_true(taken("my cat eats blue rice", "\xc3\xa4 \xff @ ..", false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_hash_matches_its_password_and_no_other),
        cmocka_unit_test(test_the_same_password_is_salted_anew_each_time),
        cmocka_unit_test(test_nobodys_hash_is_computed_like_any_other_and_never_matches),
        cmocka_unit_test(test_weaker_parameters_are_outdated),
        cmocka_unit_test(test_length_counts_characters_up_and_bytes_down),
        cmocka_unit_test(test_eight_characters_are_enough_beside_a_second_factor),
        cmocka_unit_test(test_any_characters_make_a_password),
        cmocka_unit_test(test_what_anybody_guesses_first_is_refused),
        cmocka_unit_test(test_ones_own_name_address_and_trust_make_no_password),
        cmocka_unit_test(test_any_words_about_a_person_are_borne),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
