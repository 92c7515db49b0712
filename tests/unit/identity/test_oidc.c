/* What is asked of an OpenID provider and what is believed. Signatures that libcjose makes here; tests/api has others'. */
#include <string.h>

#include <cjose/cjose.h>

#include "arena_testing.h"
#include "identity/oidc.h"

enum { NOW = 1700000000 };
static struct arena *arena;

static int arena_up(void **state)
{
    (void)state;
    arena = arena_create();
    return 0;
}

static int arena_down(void **state)
{
    (void)state;
    arena = arena_destroy(arena);
    return 0;
}

static json_t *good_document(void)
{
    return json_in(arena, "{\"issuer\":\"https://op.example\",\"authorization_endpoint\":\"https://op.example/auth?x=1\","
                          "\"token_endpoint\":\"https://op.example/token\",\"jwks_uri\":\"https://op.example/keys\","
                          "\"response_types_supported\":[\"code\"],\"code_challenge_methods_supported\":[\"S256\"]}");
}

static void the_request_has_pkce_and_nothing_that_is_not_escaped(void **state)
{
    (void)state;
    struct oidc_provider op;
    /* The verifier and its challenge are those of RFC 7636, appendix B. */
    const struct oidc_request request = {"a b&c", "https://we.example/v1/sso/callback", "STATE", "NONCE",
                                         "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"};
    assert_int_equal(oidc_provider_from(good_document(), "https://op.example", &op, NULL), 0);
    assert_string_equal(oidc_authorization_url(arena, &op, &request),
                        "https://op.example/auth?x=1&response_type=code&scope=openid%20email%20profile&client_id=a%20b%26c"
                        "&redirect_uri=https%3A%2F%2Fwe.example%2Fv1%2Fsso%2Fcallback&state=STATE&nonce=NONCE"
                        "&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256");
    assert_string_equal(oidc_discovery_url(arena, "https://op.example/a/"), "https://op.example/a/.well-known/openid-configuration");
}

static void a_document_that_lacks_something_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value; /* NULL: the member is taken away */
    } wrong[] = {
        {"issuer", "\"https://op.example/\""},
        {"issuer", "7"},
        {"authorization_endpoint", NULL},
        {"token_endpoint", "\"http://op.example/token\""},
        {"jwks_uri", "\"javascript:x\""},
        {"jwks_uri", "\"https://op.example/a b\""},
        {"userinfo_endpoint", "\"ftp://op.example\""},
        {"response_types_supported", NULL},
        {"code_challenge_methods_supported", "[\"plain\"]"},
        {"id_token_signing_alg_values_supported", "[\"HS256\",\"none\"]"},
        {"token_endpoint_auth_methods_supported", "[\"private_key_jwt\"]"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        struct oidc_provider op;
        struct error err = {0};
        json_t *document = good_document();
        if (wrong[i].value)
            json_object_set(document, wrong[i].name, json_in(arena, wrong[i].value));
        else
            json_object_del(document, wrong[i].name);
        assert_int_equal(oidc_provider_from(document, "https://op.example", &op, &err), -1);
        assert_string_equal(err.code, "provider_unsuitable");
    }
}

static void one_returns_to_paths_of_this_site(void **state)
{
    (void)state;
    static const char *const good[] = {"/", "/reads", "/reads?page=2&x=%20", "/a//b"};
    static const char *const bad[] = {"", "//e.example", "/\\e.example", "https://e.example", "/a\nb", "/a b", "a", "/\"", "/<", "/\xc3\xa9"};
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        assert_true(oidc_return_path_good(text_of(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(oidc_return_path_good(text_of(bad[i])));
}

/* --- Claims -------------------------------------------------------------------------------------------------------- */

static const struct oidc_expected expected = {
    .issuer = "https://op.example", .client_id = "us", .nonce = "n", .access_token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", .now = NOW};

static json_t *claims_with(const char *name, const char *value)
{
    /* access token and at_hash are those of OpenID Connect Core, appendix A.3 */
    json_t *claims = json_in(arena, "{\"iss\":\"https://op.example\",\"aud\":\"us\",\"sub\":\"s\",\"nonce\":\"n\",\"iat\":1700000000,"
                                    "\"exp\":1700000300,\"at_hash\":\"77QmUPtjPfzWtF2AnpK9RQ\"}");
    if (value)
        json_object_set(claims, name, json_in(arena, value));
    else if (name)
        json_object_del(claims, name);
    return claims;
}

static void an_id_token_is_for_us_now_and_for_this_sign_in(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
        int rc;
    } cases[] = {
        {NULL, NULL, 0},
        {"aud", "[\"us\"]", 0},
        {"azp", "\"us\"", 0},
        {"at_hash", NULL, 0},
        {"exp", "1699999941", 0}, /* a minute of leeway */
        {"exp", "1699999940", -1},
        {"iat", "1700000060", 0},
        {"iat", "1700000061", -1},
        {"iat", "1699999100", 0},
        {"iat", "1699999099", -1},
        {"iat", "-1", -1},
        {"iat", "1e300", -1},
        {"nbf", "1700000061", -1},
        {"iss", "\"https://op.example/\"", -1},
        {"iss", NULL, -1},
        {"aud", "[\"us\",\"them\"]", -1},
        {"aud", "\"them\"", -1},
        {"aud", "[]", -1},
        {"azp", "\"them\"", -1},
        {"azp", "null", -1},
        {"nonce", "\"m\"", -1},
        {"nonce", NULL, -1},
        {"sub", "\"\"", -1},
        {"exp", NULL, -1},
        {"exp", "\"1700000300\"", -1},
        {"at_hash", "\"77QmUPtjPfzWtF2AnpK9RR\"", -1},
        {"at_hash", "null", -1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_int_equal(oidc_id_token_check(claims_with(cases[i].name, cases[i].value), &expected, NULL), cases[i].rc);
    struct oidc_expected without = expected;
    without.access_token = NULL;
    assert_int_equal(oidc_id_token_check(claims_with(NULL, NULL), &without, NULL), -1);
}

static void a_logout_token_has_its_event_a_jti_and_no_nonce(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
        int rc;
    } cases[] = {
        {NULL, NULL, 0},          {"sid", "\"x\"", 0},  {"exp", NULL, 0},       {"nonce", "\"n\"", -1}, {"events", "{}", -1},
        {"events", "\"x\"", -1},  {"jti", NULL, -1},    {"jti", "7", -1},       {"sub", NULL, -1},      {"sub", "7", -1},
        {"sid", "7", -1},         {"aud", "\"x\"", -1}, {"iss", NULL, -1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        json_t *claims = claims_with("events", "{\"http://schemas.openid.net/event/backchannel-logout\":{}}");
        json_object_del(claims, "nonce");
        json_object_set(claims, "jti", json_in(arena, "\"j\""));
        if (cases[i].value)
            json_object_set(claims, cases[i].name, json_in(arena, cases[i].value));
        else if (cases[i].name)
            json_object_del(claims, cases[i].name);
        assert_int_equal(oidc_logout_token_check(claims, &expected, NULL), cases[i].rc);
    }
}

/* --- Signatures ------------------------------------------------------------------------------------------------------ */

static struct text signed_by(const cjose_jwk_t *key, const char *alg, const char *kid)
{
    cjose_err err;
    const char *compact;
    cjose_header_t *header = cjose_header_new(&err);
    cjose_header_set(header, CJOSE_HDR_ALG, alg, &err);
    if (kid)
        cjose_header_set(header, CJOSE_HDR_KID, kid, &err);
    cjose_jws_t *jws = cjose_jws_sign(key, header, (const uint8_t *)"{\"sub\":\"s\"}", 11, &err);
    assert_non_null(jws);
    assert_true(cjose_jws_export(jws, &compact, &err));
    struct text token = text_of(arena_strdup(arena, compact));
    cjose_jws_release(jws);
    cjose_header_release(header);
    return token;
}

static json_t *set_of(const cjose_jwk_t *const keys[], int count)
{
    cjose_err err;
    json_t *set = json_in(arena, "{\"keys\":[]}");
    for (int i = 0; i < count; i++) {
        char *json = cjose_jwk_to_json(keys[i], false, &err);
        json_array_append(json_object_get(set, "keys"), json_in(arena, json));
        cjose_get_dealloc()(json);
    }
    return set;
}

static void a_signature_is_that_of_a_key_of_the_set(void **state)
{
    (void)state;
    cjose_err ignored;
    struct error err = {0};
    json_t *claims;
    cjose_jwk_t *rsa = cjose_jwk_create_RSA_random(2048, (const uint8_t *)"\x01\x00\x01", 3, &ignored);
    cjose_jwk_t *ec = cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, &ignored);
    cjose_jwk_t *other = cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, &ignored);
    cjose_jwk_t *oct = cjose_jwk_create_oct_random(256, &ignored);
    cjose_jwk_set_kid(rsa, "r", 1, &ignored);
    cjose_jwk_set_kid(ec, "e", 1, &ignored);
    json_t *set = set_of((const cjose_jwk_t *const[]){rsa, ec}, 2);
    assert_int_equal(oidc_keys_check(set, &err), 0);
    assert_int_equal(oidc_token_open(arena, set, signed_by(rsa, "RS256", "r"), NULL, &claims, &err), 0);
    assert_string_equal(json_string_value(json_object_get(claims, "sub")), "s");
    assert_int_equal(oidc_token_open(arena, set, signed_by(rsa, "PS256", "r"), NULL, &claims, &err), 0);
    assert_int_equal(oidc_token_open(arena, set, signed_by(ec, "ES256", NULL), NULL, &claims, &err), 0);
    assert_int_equal(oidc_token_open(arena, set, signed_by(other, "ES256", "e"), NULL, &claims, &err), -1);
    assert_string_equal(err.code, "bad_token");
    assert_int_equal(oidc_token_open(arena, set, signed_by(other, "ES256", "o"), NULL, &claims, &err), -1);
    assert_string_equal(err.code, "unknown_key");
    assert_int_equal(oidc_token_open(arena, set, signed_by(oct, "HS256", NULL), NULL, &claims, &err), -1);
    assert_string_equal(err.code, "bad_token");
    assert_int_equal(oidc_token_open(arena, set, signed_by(rsa, "RS384", "r"), NULL, &claims, &err), -1);
    /* Two keys fit and the token does not say which. */
    assert_int_equal(oidc_token_open(arena, set_of((const cjose_jwk_t *const[]){other, ec}, 2), signed_by(ec, "ES256", NULL), NULL,
                                     &claims, &err), -1);
    assert_string_equal(err.code, "unknown_key");
    assert_int_equal(oidc_keys_check(set_of((const cjose_jwk_t *const[]){oct}, 1), &err), -1);
    cjose_jwk_release(rsa);
    cjose_jwk_release(ec);
    cjose_jwk_release(other);
    cjose_jwk_release(oct);
}

static void what_is_no_token_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"", ".", "..", "a.b.c", "e30.e30.", "e30.e30.AA", "eyJhbGciOiJub25lIn0.e30.", "W10.e30.AA",
                                      "eyJhbGciOiJSUzI1NiIsImFsZyI6Im5vbmUifQ.e30.AA" /* alg twice */,
                                      "eyJhbGciOiJSUzI1NiJ9.e30", "eyJhbGciOiJSUzI1NiJ9.e30.AA.AA"};
    json_t *claims, *set = json_in(arena, "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}");
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(oidc_token_open(arena, set, text_of(bad[i]), NULL, &claims, NULL), -1);
    assert_int_equal(oidc_token_open(arena, json_in(arena, "{\"keys\":{}}"), text_of("eyJhbGciOiJSUzI1NiJ9.e30.AA"), NULL, &claims, NULL), -1);
    char *longest = arena_alloc(arena, OIDC_TOKEN_MAX + 2);
    memset(longest, 'A', OIDC_TOKEN_MAX + 1);
    assert_int_equal(oidc_token_open(arena, set, text_of(longest), NULL, &claims, NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_request_has_pkce_and_nothing_that_is_not_escaped, arena_up, arena_down),
        cmocka_unit_test_setup_teardown(a_document_that_lacks_something_is_refused, arena_up, arena_down),
        cmocka_unit_test_setup_teardown(one_returns_to_paths_of_this_site, arena_up, arena_down),
        cmocka_unit_test_setup_teardown(an_id_token_is_for_us_now_and_for_this_sign_in, arena_up, arena_down),
        cmocka_unit_test_setup_teardown(a_logout_token_has_its_event_a_jti_and_no_nonce, arena_up, arena_down),
        cmocka_unit_test_setup_teardown(a_signature_is_that_of_a_key_of_the_set, arena_up, arena_down),
        cmocka_unit_test_setup_teardown(what_is_no_token_is_refused, arena_up, arena_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
