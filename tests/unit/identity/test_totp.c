/* One-time passwords, recovery codes and secrets at rest. tests/api compares with oathtool besides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/arena.h"
#include "identity/second_factor.h"
#include "identity/totp.h"

#define SEED text_of("12345678901234567890")

static void codes_are_those_of_the_rfc(void **state)
{
    /* RFC 6238, appendix B, SHA-1: the last six of eight digits. */
    static const struct {
        int64_t time;
        uint32_t code;
    } vectors[] = {{59, 287082},          {1111111109, 81804},  {1111111111, 50471},
                   {1234567890, 5924},    {2000000000, 279037}, {20000000000, 353130}};
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(*vectors); i++)
        assert_int_equal(totp_code(SEED, vectors[i].time / TOTP_STEP_SECONDS), vectors[i].code);
}

static void a_code_is_good_for_one_step_either_way_and_never_twice(void **state)
{
    const int64_t now = 1111111109, step = now / TOTP_STEP_SECONDS;
    char code[8];
    (void)state;
    for (int off = -3; off <= 3; off++) {
        snprintf(code, sizeof(code), "%06u", totp_code(SEED, step + off));
        int64_t want = off >= -1 && off <= 1 ? step + off : -1;
        assert_int_equal(totp_step_of(SEED, text_of(code), now, 0), want);
    }
    snprintf(code, sizeof(code), "%06u", totp_code(SEED, step));
    assert_int_equal(totp_step_of(SEED, text_of(code), now, step - 1), step);
    assert_int_equal(totp_step_of(SEED, text_of(code), now, step), -1);
    assert_int_equal(totp_step_of(text_of("another seed of 20 b"), text_of(code), now, 0), -1);
}

static void only_six_digits_are_a_code(void **state)
{
    static const char *const wrong[] = {"", "81804", "0818040", "08180a", "-81804", "081804\n", ("\xd9\xa0" "81804"), "      "};
    (void)state;
    assert_int_equal(totp_step_of(SEED, text_of("081 804"), 1111111109, 0), 1111111109 / 30);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        assert_int_equal(totp_step_of(SEED, text_of(wrong[i]), 1111111109, 0), -1);
}

static void base32_is_that_of_the_rfc_without_padding(void **state)
{
    static const char *const vectors[][2] = {{"", ""},           {"f", "MY"},          {"fo", "MZXQ"},       {"foo", "MZXW6"},
                                             {"foob", "MZXW6YQ"}, {"fooba", "MZXW6YTB"}, {"foobar", "MZXW6YTBOI"}};
    char text[32];
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(*vectors); i++) {
        base32_encode(vectors[i][0], strlen(vectors[i][0]), text);
        assert_string_equal(text, vectors[i][1]);
    }
}

static void a_uri_keeps_an_account_from_being_more_than_a_label(void **state)
{
    struct arena *arena = arena_create();
    (void)state;
    assert_string_equal(totp_uri(arena, "a b&secret=X?@\xc3\xbc.example", "MZXW6"),
                        "otpauth://totp/Overread:a%20b%26secret%3DX%3F%40%C3%BC.example?secret=MZXW6&issuer=Overread");
    arena_destroy(arena);
}

static void a_qr_code_is_a_square_picture_and_what_is_too_long_is_none(void **state)
{
    struct arena *arena = arena_create();
    char *endless = arena_alloc(arena, 5001);
    (void)state;
    const char *svg = qr_svg(arena, "otpauth://totp/Overread:a@example.org?secret=MZXW6YTB&issuer=Overread");
    assert_non_null(svg);
    assert_memory_equal(svg, "<svg xmlns=", 11);
    assert_non_null(strstr(svg, "M4 4h1v1h-1z")); /* the corner of a finder, behind the quiet zone */
    assert_null(strstr(svg, "script"));
    memset(endless, 'x', 5000);
    endless[5000] = '\0';
    assert_null(qr_svg(arena, endless));
    arena_destroy(arena);
}

static void recovery_codes_are_ten_and_known_again_however_they_are_typed(void **state)
{
    struct recovery_codes codes, others;
    char hash[SHA256_HEX_SIZE], again[SHA256_HEX_SIZE], typed[64];
    (void)state;
    recovery_codes_make(&codes);
    recovery_codes_make(&others);
    for (int i = 0; i < RECOVERY_CODES; i++) {
        assert_int_equal(strlen(codes.codes[i]), 19);
        assert_true(recovery_code_hash(text_of(codes.codes[i]), hash));
        assert_non_null(strstr(codes.hashes, hash));
        assert_null(strstr(others.hashes, hash));
        snprintf(typed, sizeof(typed), " %.4s %c%c%c%c%.9s", codes.codes[i], codes.codes[i][5] | 0x20, codes.codes[i][6],
                 codes.codes[i][7], codes.codes[i][8], codes.codes[i] + 10);
        if (codes.codes[i][5] >= 'A') {
            assert_true(recovery_code_hash(text_of(typed), again));
            assert_string_equal(again, hash);
        }
    }
    assert_int_equal(strlen(codes.hashes), 2 + 10 * 64 + 9);
    assert_false(recovery_code_hash(text_of("ABCD-EFGH-IJKL-MNO"), hash));
    assert_false(recovery_code_hash(text_of("ABCD-EFGH-IJKL-MNO1"), hash));
    assert_false(recovery_code_hash(text_of("ABCD-EFGH-IJKL-MNOPQ"), hash));
    assert_false(recovery_code_hash(text_of(""), hash));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_those_of_the_rfc),
        cmocka_unit_test(a_code_is_good_for_one_step_either_way_and_never_twice),
        cmocka_unit_test(only_six_digits_are_a_code),
        cmocka_unit_test(base32_is_that_of_the_rfc_without_padding),
        cmocka_unit_test(a_uri_keeps_an_account_from_being_more_than_a_label),
        cmocka_unit_test(a_qr_code_is_a_square_picture_and_what_is_too_long_is_none),
        cmocka_unit_test(recovery_codes_are_ten_and_known_again_however_they_are_typed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
