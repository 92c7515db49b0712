/* Signatures of webhooks, by the vector that the implementations of Standard Webhooks are tested with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tenancy/webhooks.h"

static void a_signature_is_that_of_the_published_vector(void **state)
{
    (void)state;
    static const uint8_t key[] = {0x31, 0xf2, 0x90, 0xf6, 0xbf, 0x06, 0x29, 0x8a, 0xab, 0x4f, 0x08, 0xd4,
                                  0x3c, 0x3f, 0x08, 0x2c, 0xf6, 0x48, 0xa3, 0x62, 0xda, 0x2d, 0xa4, 0xb0};
    char encoded[sizeof(key) * 2], signature[WEBHOOK_SIGNATURE_SIZE];
    struct arena *arena = arena_create();
    /* "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" holds this key. */
    webhook_sign(arena, (struct text){(const char *)key, sizeof(key)}, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
                 TEXT("{\"test\": 2432232314}"), signature);
    assert_string_equal(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    base64_encode(key, sizeof(key), encoded);
    assert_string_equal(encoded, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    arena_destroy(arena);
}

static void every_part_that_is_signed_counts(void **state)
{
    (void)state;
    struct arena *arena = arena_create();
    static const struct {
        const char *key, *id, *body;
        int64_t timestamp;
    } others[] = {{"k", "a", "{}", 1}, {"K", "a", "{}", 1}, {"k", "b", "{}", 1}, {"k", "a", "{ }", 1}, {"k", "a", "{}", 2}};
    char made[sizeof(others) / sizeof(others[0])][WEBHOOK_SIGNATURE_SIZE];
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        webhook_sign(arena, text_of(others[i].key), others[i].id, others[i].timestamp, text_of(others[i].body), made[i]);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(made[i], made[k]);
    }
    arena_destroy(arena);
}

static void a_secret_is_shown_as_receivers_enter_it(void **state)
{
    (void)state;
    uint8_t key[WEBHOOK_KEY_BYTES];
    char secret[WEBHOOK_SECRET_SIZE];
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)(0xff - i);
    webhook_secret_text(key, secret);
    assert_string_equal(secret, "whsec_//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=");
    assert_int_equal(strlen(secret), WEBHOOK_SECRET_SIZE - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signature_is_that_of_the_published_vector),
        cmocka_unit_test(every_part_that_is_signed_counts),
        cmocka_unit_test(a_secret_is_shown_as_receivers_enter_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
