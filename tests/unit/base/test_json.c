#include "testing.h"

#include "arena_testing.h"

static void assert_refused(void **state, struct text text, const char *words)
{
    json_t *json = NULL;
    struct error err = {0};
    assert_int_equal(json_parse(*state, text, &json, &err), -1);
    assert_null(json);
    assert_int_equal(err.kind, ERROR_INVALID);
    assert_string_equal(err.code, "malformed_json");
    if (!strstr(err.detail, words))
        fail_msg("\"%s\" is not in \"%s\"", words, err.detail);
}

static void equal_values_render_to_equal_text(void **state)
{
    struct text a =
        json_render(*state, json_in(*state, "{\"b\": [1, 2.50, true, null], \"a\": \"\\u00fc\"}"));
    struct text b = json_render(*state, json_in(*state, " {\"a\":\"\xc3\xbc\",\"b\":[1,25e-1,true,null]}\n"));
    assert_true(text_equal(a, b));
    assert_string_equal(a.p, "{\"a\":\"\xc3\xbc\",\"b\":[1,2.5,true,null]}");
}

static void doubles_survive_rendering_bit_for_bit(void **state)
{
    static const char *const numbers[] = {"0.1", "-2.2250738585072014e-308", "12345678.901234567", "5e-324"};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        double before = json_real_value(json_in(*state, numbers[i]));
        double after = json_real_value(json_in(*state, json_render(*state, json_in(*state, numbers[i])).p));
        assert_memory_equal(&before, &after, sizeof(before));
    }
}

static void malformed_text_is_refused_and_the_place_named(void **state)
{
    assert_refused(state, TEXT(""), "line 1, column 1");
    assert_refused(state, text_of(NULL), "line 1, column 1");
    assert_refused(state, TEXT("{\n \"a\": tru\n}"), "line 2, column ");
    assert_refused(state, TEXT("{\"a\":1,}"), "line 1, column 8");
    assert_refused(state, TEXT("{\"a\":1} x"), "line 1, column 9");
    assert_refused(state, TEXT("{\"a\":1,\"a\":2}"), "duplicate");
    assert_refused(state, TEXT("{\"a\":1,\"\\u0061\":2}"), "duplicate");
    assert_refused(state, TEXT("[\"\xc3\x28\"]"), "line 1, column ");
    assert_refused(state, TEXT("[\"\\ud800\"]"), "line 1, column ");
    assert_refused(state, TEXT("[1e999]"), "line 1, column ");
    assert_refused(state, TEXT("[99999999999999999999]"), "line 1, column ");
    assert_refused(state, TEXT("[NaN]"), "line 1, column ");
    assert_refused(state, TEXT("[01]"), "line 1, column ");
    assert_refused(state, TEXT("[\"open"), "line 1, column ");
    assert_refused(state, TEXT("[\"open\\"), "line 1, column ");
}

static void nul_is_refused_raw_and_escaped(void **state)
{
    assert_refused(state, TEXT("[\"a\0b\"]"), "line 1, column ");
    assert_refused(state, TEXT("[\"a\\u0000b\"]"), "line 1, column ");
    assert_refused(state, TEXT("{\"a\\u0000b\":1}"), "line 1, column ");
    assert_refused(state, TEXT("[1]\0"), "line 1, column ");
}

static void nested(char *ret, int depth)
{
    memset(ret, '[', (size_t)depth);
    memset(ret + depth, ']', (size_t)depth);
    ret[2 * depth] = '\0';
}

static void nesting_is_bounded_before_anything_recurses(void **state)
{
    char text[2 * 1000 + 1];
    nested(text, JSON_DEPTH);
    json_in(*state, text);
    nested(text, JSON_DEPTH + 1);
    assert_refused(state, text_of(text), "line 1, column 33: nested more than 32 levels deep");
    nested(text, 1000);
    assert_refused(state, text_of(text), "nested");
    /* Brackets in strings, and closed ones, are no depth. */
    json_in(*state, "[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[[[[[[[\"]");
    json_in(*state,
            "[[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[]"
            ",[],[],[]]");
}

static void members_are_taken_by_type_and_range(void **state)
{
    const json_t *body = json_in(*state, "{\"s\":\"gr\xc3\xbc\xc3\x9f\",\"b\":true,\"i\":7,"
                                         "\"u\":\"01890a5d-ac96-774b-bcce-b302099a8057\"}");
    struct error err = {0};
    const char *s = NULL, *u = NULL;
    bool b = false;
    int64_t i = 0;
    assert_int_equal(json_object_only(body, &err, "s", "b", "i", "u", "more", NULL), 0);
    assert_int_equal(json_get_string(body, "s", true, 4, 4, &s, &err), 0); /* characters, not bytes */
    assert_int_equal(json_get_bool(body, "b", true, &b, &err), 0);
    assert_int_equal(json_get_int(body, "i", true, 7, 7, &i, &err), 0);
    assert_int_equal(json_get_uuid(body, "u", true, &u, &err), 0);
    assert_string_equal(s, "gr\xc3\xbc\xc3\x9f");
    assert_true(b);
    assert_int_equal(i, 7);
    assert_string_equal(u, "01890a5d-ac96-774b-bcce-b302099a8057");
}

static void an_absent_member_is_an_error_only_when_required(void **state)
{
    const json_t *body = json_in(*state, "{}");
    struct error err = {0};
    const char *s = "untouched";
    bool b = true;
    int64_t i = 3;
    assert_int_equal(json_get_string(body, "s", false, 1, 9, &s, &err), 0);
    assert_int_equal(json_get_bool(body, "b", false, &b, &err), 0);
    assert_int_equal(json_get_int(body, "i", false, 0, 9, &i, &err), 0);
    assert_int_equal(json_get_uuid(body, "u", false, &s, &err), 0);
    assert_string_equal(s, "untouched");
    assert_true(b);
    assert_int_equal(i, 3);
    assert_int_equal(json_get_string(body, "s", true, 1, 9, &s, &err), -1);
    assert_int_equal(err.kind, ERROR_UNPROCESSABLE);
    assert_string_equal(err.code, "field_missing");
    assert_string_equal(err.field, "/s");
}

static void assert_invalid(int r, const struct error *err, const char *field)
{
    assert_int_equal(r, -1);
    assert_int_equal(err->kind, ERROR_UNPROCESSABLE);
    assert_string_equal(err->code, "field_invalid");
    assert_string_equal(err->field, field);
}

static void a_wrong_member_is_named(void **state)
{
    const json_t *body = json_in(*state, "{\"s\":\"abc\",\"n\":null,\"i\":10,\"d\":1.0}");
    struct error err = {0};
    const char *s = NULL;
    bool b;
    int64_t i;
    assert_invalid(json_get_string(body, "s", true, 4, 9, &s, &err), &err, "/s");
    assert_invalid(json_get_string(body, "s", true, 1, 2, &s, &err), &err, "/s");
    assert_invalid(json_get_string(body, "i", true, 1, 2, &s, &err), &err, "/i");
    assert_invalid(json_get_string(body, "n", false, 0, 2, &s, &err), &err, "/n"); /* null is not absent */
    assert_invalid(json_get_uuid(body, "s", true, &s, &err), &err, "/s");
    assert_invalid(json_get_bool(body, "i", true, &b, &err), &err, "/i");
    assert_invalid(json_get_int(body, "i", true, 0, 9, &i, &err), &err, "/i");
    assert_invalid(json_get_int(body, "i", true, 11, 19, &i, &err), &err, "/i");
    assert_invalid(json_get_int(body, "d", true, 0, 9, &i, &err), &err, "/d");
    assert_null(s);
}

static void an_unknown_member_is_refused_by_its_pointer(void **state)
{
    struct error err = {0};
    assert_int_equal(json_object_only(json_in(*state, "{\"a\":1,\"x/y~z\":2}"), &err, "a", NULL), -1);
    assert_string_equal(err.code, "field_unknown");
    assert_string_equal(err.field, "/x~1y~0z");
    assert_invalid(json_object_only(json_in(*state, "[]"), &err, "a", NULL), &err, "");
    assert_int_equal(json_object_only(json_in(*state, "{\"a\":1}"), &err, NULL), -1);
}

int main(void)
{
#define JSON_TEST(name) arena_test(name)
    const struct CMUnitTest tests[] = {
        JSON_TEST(equal_values_render_to_equal_text),
        JSON_TEST(doubles_survive_rendering_bit_for_bit),
        JSON_TEST(malformed_text_is_refused_and_the_place_named),
        JSON_TEST(nul_is_refused_raw_and_escaped),
        JSON_TEST(nesting_is_bounded_before_anything_recurses),
        JSON_TEST(members_are_taken_by_type_and_range),
        JSON_TEST(an_absent_member_is_an_error_only_when_required),
        JSON_TEST(a_wrong_member_is_named),
        JSON_TEST(an_unknown_member_is_refused_by_its_pointer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
