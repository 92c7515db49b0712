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

static void test_length_counts_characters_up_and_bytes_down(void **state)
{
    struct error err = {0};
    char longest[PASSWORD_MAX + 2];
    (void)state;
    assert_int_equal(password_acceptable("fourteen chars", &err), -1);
    assert_string_equal(err.field, "/password");
    assert_int_equal(password_acceptable("fifteen chars..", &err), 0);
    /* 14 characters of two bytes each are 28 bytes, and still too few. */
    assert_int_equal(password_acceptable("ääääääääääääää", &err), -1);
    assert_int_equal(password_acceptable("äääääääääääääää", &err), 0);
    memset(longest, 'x', sizeof(longest));
    longest[PASSWORD_MAX] = '\0';
    assert_int_equal(password_acceptable(longest, &err), 0);
    longest[PASSWORD_MAX] = 'x';
    longest[PASSWORD_MAX + 1] = '\0';
    assert_int_equal(password_acceptable(longest, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_hash_matches_its_password_and_no_other),
        cmocka_unit_test(test_the_same_password_is_salted_anew_each_time),
        cmocka_unit_test(test_nobodys_hash_is_computed_like_any_other_and_never_matches),
        cmocka_unit_test(test_weaker_parameters_are_outdated),
        cmocka_unit_test(test_length_counts_characters_up_and_bytes_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
