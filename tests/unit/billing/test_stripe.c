/* Signatures of webhooks, forms, and the settings, without any Stripe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/crypto.h"
#include "billing/signature.h"
#include "billing/stripe.h"

/* HMAC-SHA256 of "1700000000." and the body, made with Python's hmac. */
#define NOW 1700000000
#define FIRST "whsec_4fPLc0bQJYqzN7"
#define OTHER "whsec_of+the/rotation=="
#define BODY "{\"id\":\"evt_1\",\"object\":\"event\"}"
#define BY_FIRST "0e2eedb162bc0e2f844314daac0feb451c4b5fcb6ccac122ce60697db411ea3b"
#define BY_OTHER "c9f93637174ab5dcd15babd2725585f3c1c96f0e6d616c294af627dc24e01bd9"
#define T "t=1700000000"

static bool good_at(const char *header, const char *secrets, int64_t now)
{
    return stripe_signature_good(text_of(header), TEXT(BODY), secrets, now);
}

static bool good(const char *header)
{
    return good_at(header, FIRST, NOW);
}

/* --- Signatures ----------------------------------------------------------------------------------------------------- */

static void a_signature_over_the_time_and_the_bytes_is_good(void **state)
{
    (void)state;
    assert_true(good(T ",v1=" BY_FIRST));
    assert_true(good("v1=" BY_FIRST "," T));
    assert_true(stripe_signature_good(TEXT(T ",v1=0ea71065739c85feb5a110a9baf431ab7b86e60c67e333ba09fd63c9a5767275"), TEXT(""), FIRST, NOW));
    assert_true(stripe_signature_good(TEXT(T ",v1=cab22fcb609b692c48689415f2b0462eb8757b4e7721a80f337de416fd136126"),
                                      TEXT("{\"name\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"}"), FIRST, NOW));
    assert_true(stripe_signature_good(TEXT(T ",v1=7fa336490f23553a164abf3018aa9b27884e3ee72434778a0b03372a4c8eaf2a"), TEXT("a\0b"), FIRST, NOW));
}

static void it_is_good_for_five_minutes_both_ways_and_no_second_more(void **state)
{
    (void)state;
    assert_true(good_at(T ",v1=" BY_FIRST, FIRST, NOW + 300));
    assert_true(good_at(T ",v1=" BY_FIRST, FIRST, NOW - 300));
    assert_false(good_at(T ",v1=" BY_FIRST, FIRST, NOW + 301));
    assert_false(good_at(T ",v1=" BY_FIRST, FIRST, NOW - 301));
}

static void any_of_two_secrets_and_any_of_several_signatures_will_do(void **state)
{
    static const char two[] = FIRST "," OTHER, other_way[] = OTHER "," FIRST;
    (void)state;
    assert_true(good_at(T ",v1=" BY_FIRST, two, NOW));
    assert_true(good_at(T ",v1=" BY_OTHER, two, NOW));
    assert_true(good_at(T ",v1=" BY_OTHER, other_way, NOW));
    assert_true(good_at(T ",v1=" BY_OTHER ",v1=" BY_FIRST, FIRST, NOW));
    assert_true(good_at(T ",v0=" BY_OTHER ",v1=" BY_FIRST, FIRST, NOW));
    assert_false(good_at(T ",v1=" BY_OTHER, FIRST, NOW));
    assert_false(good_at(T ",v1=" BY_FIRST, "whsec_of_nobody," OTHER, NOW));
}

static void an_empty_secret_signs_nothing(void **state)
{
    static const char *const secrets[] = {"", ",", FIRST ",", "," FIRST};
    uint8_t mac[SHA256_SIZE];
    char header[128] = T ",v1=";
    (void)state;
    crypto_hmac_sha256(TEXT(""), TEXT("1700000000." BODY), mac);
    hex_encode(mac, sizeof(mac), header + strlen(header));
    for (size_t i = 0; i < sizeof(secrets) / sizeof(*secrets); i++)
        assert_false(good_at(header, secrets[i], NOW));
    assert_true(good_at(T ",v1=" BY_FIRST, FIRST ",", NOW));
}

static void what_is_not_of_the_form_is_not_good(void **state)
{
    static const char *const headers[] = {
        "", ",", "=", "t", T, "v1=" BY_FIRST, T ",v0=" BY_FIRST, T ",v1=", T ",v1=" BY_FIRST "0", T ",v2=" BY_FIRST, T ";v1=" BY_FIRST,
        T "," T ",v1=" BY_FIRST,        /* a repeated time, even the same */
        T ",t=1,v1=" BY_FIRST, "t=,v1=" BY_FIRST, "t=-1700000000,v1=" BY_FIRST, "t=+1700000000,v1=" BY_FIRST, "t= 1700000000,v1=" BY_FIRST,
        "t=1700000000.0,v1=" BY_FIRST, "t=0x6553f100,v1=" BY_FIRST, "t=99999999999999999999,v1=" BY_FIRST, "T=1700000000,v1=" BY_FIRST,
        T ",v1=0e2eedb162bc0e2f844314daac0feb451c4b5fcb6ccac122ce60697db411ea3", /* a digit short */
        T ",v1=ge2eedb162bc0e2f844314daac0feb451c4b5fcb6ccac122ce60697db411ea3b",
        T ",v1=1e2eedb162bc0e2f844314daac0feb451c4b5fcb6ccac122ce60697db411ea3b", /* another digit */
        "t=1700000001,v1=" BY_FIRST,    /* another time than was signed */
        "t=01700000000,v1=" BY_FIRST,   /* the same time, in other bytes */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++)
        if (good(headers[i]))
            fail_msg("taken: %s", headers[i]);
}

static void a_changed_body_is_not_good(void **state)
{
    (void)state;
    assert_false(stripe_signature_good(TEXT(T ",v1=" BY_FIRST), TEXT(BODY " "), FIRST, NOW));
    assert_false(stripe_signature_good(TEXT(T ",v1=" BY_FIRST), TEXT("{\"id\":\"evt_2\",\"object\":\"event\"}"), FIRST, NOW));
    assert_false(stripe_signature_good(TEXT(T ",v1=" BY_FIRST), TEXT(""), FIRST, NOW));
}

/* Whoever sends a huge header or body keeps nobody busy, and breaks nothing. */
static void huge_input_is_looked_at_and_no_more(void **state)
{
    struct buffer header, body;
    (void)state;
    buffer_init(&header, 1 << 20);
    for (int i = 0; i < 5000; i++)
        buffer_puts(&header, "v1=" BY_OTHER ",");
    buffer_puts(&header, T ",v1=" BY_FIRST); /* behind more than anybody sends */
    assert_false(stripe_signature_good((struct text){header.p, header.len}, TEXT(BODY), FIRST, NOW));
    buffer_clear(&header);
    buffer_puts(&header, "t=");
    for (int i = 0; i < 5000; i++)
        buffer_puts(&header, "0");
    buffer_puts(&header, "1700000000,v1=" BY_FIRST);
    assert_false(stripe_signature_good((struct text){header.p, header.len}, TEXT(BODY), FIRST, NOW));
    buffer_finish(&header);

    buffer_init(&body, 4 << 20);
    buffer_puts(&body, "1700000000.");
    while (body.len < 3 << 20)
        buffer_puts(&body, BODY);
    uint8_t mac[SHA256_SIZE];
    char good_header[128] = T ",v1=";
    crypto_hmac_sha256(TEXT(FIRST), (struct text){body.p, body.len}, mac);
    hex_encode(mac, sizeof(mac), good_header + strlen(good_header));
    assert_true(stripe_signature_good(text_of(good_header), (struct text){body.p + 11, body.len - 11}, FIRST, NOW));
    buffer_finish(&body);
}

/* --- Forms ---------------------------------------------------------------------------------------------------------- */

static void a_form_escapes_all_but_plain_characters_and_the_brackets_of_names(void **state)
{
    struct arena *arena = arena_create();
    struct buffer form;
    struct error err = {0};
    const char *text;
    (void)state;
    buffer_init(&form, STRIPE_FORM_MAX);
    stripe_form(&form, "items[0][price]", "price_1aB-._~");
    stripe_form_int(&form, "items[0][quantity]", 50);
    stripe_form(&form, "left out", NULL);
    stripe_form(&form, "metadata[a&b=c]", "x y&z=1[2]+%\n\xc3\xa9");
    stripe_form(&form, "cancel_at", "");
    stripe_form_int(&form, "low", INT64_MIN);
    assert_int_equal(stripe_form_end(arena, &form, &text, &err), 0);
    assert_string_equal(text, "items[0][price]=price_1aB-._~&items[0][quantity]=50&metadata[a%26b%3Dc]=x%20y%26z%3D1%5B2%5D%2B%25%0A%C3%A9"
                              "&cancel_at=&low=-9223372036854775808");
    arena_destroy(arena);
}

static void a_form_that_is_too_long_is_refused_and_an_empty_one_is_empty(void **state)
{
    struct arena *arena = arena_create();
    struct buffer form;
    struct error err = {0};
    const char *text;
    char big[1000];
    (void)state;
    buffer_init(&form, STRIPE_FORM_MAX);
    assert_int_equal(stripe_form_end(arena, &form, &text, &err), 0);
    assert_string_equal(text, "");
    memset(big, ' ', sizeof(big)); /* three bytes each, escaped */
    big[sizeof(big) - 1] = '\0';
    buffer_init(&form, STRIPE_FORM_MAX);
    for (int i = 0; i < 12; i++)
        stripe_form(&form, "x", big);
    assert_int_equal(stripe_form_end(arena, &form, &text, &err), -1);
    assert_int_equal(err.kind, ERROR_UNPROCESSABLE);
    assert_string_equal(err.code, "too_long");
    arena_destroy(arena);
}

static void an_id_is_one_segment_of_a_path_whatever_it_is_made_of(void **state)
{
    struct arena *arena = arena_create();
    char longest[STRIPE_ID_MAX + 1];
    (void)state;
    assert_string_equal(stripe_escape(arena, "sub_1NXPiE"), "sub_1NXPiE");
    assert_string_equal(stripe_escape(arena, "../v1/refunds?x=1#[]"), "..%2Fv1%2Frefunds%3Fx%3D1%23%5B%5D");
    assert_string_equal(stripe_escape(arena, ""), "");
    memset(longest, '/', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(strlen(stripe_escape(arena, longest)), 3 * STRIPE_ID_MAX);
    arena_destroy(arena);
}

static void members_of_an_answer_are_what_they_are_or_nothing(void **state)
{
    json_t *o = json_pack("{s:s,s:i,s:n,s:{s:s},s:[s]}", "a", "x", "b", 1, "c", "d", "id", "sub_1", "e", "sub_2");
    (void)state;
    assert_string_equal(stripe_string(o, "a"), "x");
    assert_string_equal(stripe_ref(o, "a"), "x");
    assert_string_equal(stripe_ref(o, "d"), "sub_1");
    static const char *const none[] = {"b", "c", "e", "zz"};
    for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++) {
        assert_null(stripe_string(o, none[i]));
        assert_null(stripe_ref(o, none[i]));
    }
    assert_null(stripe_string(o, "d"));
    assert_null(stripe_string(NULL, "a"));
    assert_null(stripe_ref(NULL, "a"));
    json_decref(o);
}

/* --- The settings --------------------------------------------------------------------------------------------------- */

static const char *complaint(const char *url, const char *key)
{
    static struct error err;
    err = (struct error){0};
    struct config config = {.stripe_url = url, .stripe_key = key, .stripe_webhook_secret = ""};
    return stripe_check(&config, &err) == 0 ? NULL : err.field;
}

static void stripe_is_asked_over_https_or_on_this_machine(void **state)
{
    static const char *const right[] = {"https://api.stripe.com", "https://api.stripe.com:8443", "http://127.0.0.1:4242", "http://localhost:1",
                                        "http://[::1]:80", "https://10.0.0.1"};
    static const char *const wrong[] = {"", "api.stripe.com", "http://api.stripe.com", "https://api.stripe.com/", "https://api.stripe.com/v1",
                                        "https://user@api.stripe.com", "https://user:word@api.stripe.com", "ftp://127.0.0.1", "http://10.0.0.1",
                                        "http://127.0.0.1.example.org", "http://localhost.example.org", "https://", "file:///etc/passwd",
                                        "https://api.stripe.com?x=1", "https://api.stripe.com#x"};
    (void)state;
    for (size_t i = 0; i < sizeof(right) / sizeof(*right); i++)
        if (complaint(right[i], "sk_test_1"))
            fail_msg("refused: %s", right[i]);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        const char *field = complaint(wrong[i], "sk_test_1");
        if (!field)
            fail_msg("taken: %s", wrong[i]);
        assert_string_equal(field, "stripe_url");
    }
}

static void a_key_is_a_secret_or_restricted_one(void **state)
{
    (void)state;
    assert_null(complaint("https://api.stripe.com", "")); /* nothing is sold */
    assert_null(complaint("https://api.stripe.com", "sk_live_1"));
    assert_null(complaint("https://api.stripe.com", "rk_test_1"));
    assert_string_equal(complaint("https://api.stripe.com", "pk_test_1"), "stripe_key");
    assert_string_equal(complaint("https://api.stripe.com", "whsec_1"), "stripe_key");
}

static void the_mode_is_in_the_key(void **state)
{
    static const struct {
        const char *key;
        bool live;
    } keys[] = {{"sk_live_1", true}, {"rk_live_1", true}, {"sk_test_1", false}, {"rk_test_1", false}, {"sk_1", false}};
    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        struct config config = {.stripe_key = keys[i].key};
        stripe_init(&config);
        assert_true(stripe_configured());
        assert_int_equal(stripe_livemode(), keys[i].live);
    }
    struct config none = {.stripe_key = ""};
    stripe_init(&none);
    assert_false(stripe_configured());
    stripe_init(NULL);
}

/* --- What an answer is to who asked --------------------------------------------------------------------------------- */

static void what_stripe_said_becomes_an_answer_of_ours(void **state)
{
    static const struct {
        struct stripe_reply reply;
        enum error_kind kind;
        const char *code;
    } said[] = {
        {{.outcome = STRIPE_MISSING, .status = 404}, ERROR_NOT_FOUND, "not_at_stripe"},
        {{.outcome = STRIPE_UNKNOWN}, ERROR_UNAVAILABLE, "billing_away"},
        {{.outcome = STRIPE_UNKNOWN, .status = 500}, ERROR_UNAVAILABLE, "billing_away"},
        {{.outcome = STRIPE_UNKNOWN, .status = 401}, ERROR_UNAVAILABLE, "billing_misconfigured"},
        {{.outcome = STRIPE_REFUSED, .status = 403}, ERROR_UNAVAILABLE, "billing_misconfigured"},
        {{.outcome = STRIPE_REFUSED, .status = 402, .detail = "Your card was declined."}, ERROR_PAYMENT, "payment_failed"},
        {{.outcome = STRIPE_REFUSED, .status = 400, .detail = "No."}, ERROR_UNPROCESSABLE, "billing_refused"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(said) / sizeof(*said); i++) {
        struct error err = {0};
        struct stripe_reply reply = said[i].reply;
        if (!reply.detail)
            reply.detail = "";
        assert_int_equal(stripe_error(&reply, &err), -1);
        assert_int_equal(err.kind, said[i].kind);
        assert_string_equal(err.code, said[i].code);
    }
}

static void what_stripe_refuses_is_named_as_we_call_it(void **state)
{
    static const char *const known[][2] = {
        {"items[0][quantity]", "/seats"},
        {"line_items[0][quantity]", "/seats"},
        {"subscription_details[items][0][quantity]", "/seats"},
        {"items[0][price]", "/plan"},
        {"currency", "/currency"},
        {"days_until_due", "/days_until_due"},
        {"proration_date", "/proration_date"},
        {"subscription_details[proration_date]", "/proration_date"},
        {"invoice_settings[custom_fields][0][value]", "/purchase_order"},
        {"address[country]", "/address/country"},
        {"address", "/address"},
        {"automatic_tax", "/address"},
        {"cancel_at", "/cancel_at_period_end"},
        {"cancel_at_period_end", "/cancel_at_period_end"},
        {"success_url", "/success_path"},
        {"customer", ""},
        {"items[0][id]", ""},
        {"", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        struct error err = {0};
        stripe_error(&(struct stripe_reply){.outcome = STRIPE_REFUSED, .status = 400, .detail = "No.", .parameter = known[i][0]}, &err);
        assert_string_equal(err.field, known[i][1]);
    }
}

static void what_was_never_got_to_says_that_nothing_was_charged(void **state)
{
    struct error err = {0};
    (void)state;
    stripe_error(&(struct stripe_reply){.outcome = STRIPE_REFUSED, .code = STRIPE_NOT_APPLIED, .detail = "Nothing was charged."}, &err);
    assert_int_equal(err.kind, ERROR_UNPROCESSABLE);
    assert_string_equal(err.detail, "Nothing was charged.");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signature_over_the_time_and_the_bytes_is_good),
        cmocka_unit_test(it_is_good_for_five_minutes_both_ways_and_no_second_more),
        cmocka_unit_test(any_of_two_secrets_and_any_of_several_signatures_will_do),
        cmocka_unit_test(an_empty_secret_signs_nothing),
        cmocka_unit_test(what_is_not_of_the_form_is_not_good),
        cmocka_unit_test(a_changed_body_is_not_good),
        cmocka_unit_test(huge_input_is_looked_at_and_no_more),
        cmocka_unit_test(a_form_escapes_all_but_plain_characters_and_the_brackets_of_names),
        cmocka_unit_test(a_form_that_is_too_long_is_refused_and_an_empty_one_is_empty),
        cmocka_unit_test(an_id_is_one_segment_of_a_path_whatever_it_is_made_of),
        cmocka_unit_test(members_of_an_answer_are_what_they_are_or_nothing),
        cmocka_unit_test(stripe_is_asked_over_https_or_on_this_machine),
        cmocka_unit_test(a_key_is_a_secret_or_restricted_one),
        cmocka_unit_test(the_mode_is_in_the_key),
        cmocka_unit_test(what_stripe_said_becomes_an_answer_of_ours),
        cmocka_unit_test(what_stripe_refuses_is_named_as_we_call_it),
        cmocka_unit_test(what_was_never_got_to_says_that_nothing_was_charged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
