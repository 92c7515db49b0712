#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "grading/schema.h"

static json_t *load(const char *text)
{
    json_error_t where;
    json_t *json = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &where);

    if (!json)
        fail_msg("%s: %s", text, where.text);
    return json;
}

static struct schema *compile(const char *text)
{
    json_t *json = load(text);
    struct error err = {0};
    struct schema *schema = schema_create(json, &err);

    json_decref(json);
    if (!schema)
        fail_msg("%s: %s %s", text, err.field, err.detail);
    return schema;
}

static int validate(const char *schema_text, const char *instance_text, struct error *err)
{
    struct schema *schema = compile(schema_text);
    json_t *instance = load(instance_text);
    int r = schema_validate(schema, instance, "/answer", err);

    json_decref(instance);
    schema_destroy(schema);
    return r;
}

struct pair {
    const char *schema, *instance;
    bool valid;
};

static void expect_pairs(const struct pair *pairs)
{
    for (; pairs->schema; pairs++) {
        struct error err = {0};
        int r = validate(pairs->schema, pairs->instance, &err);

        if ((r == 0) != pairs->valid)
            fail_msg("%s on %s: %s (%s %s)", pairs->schema, pairs->instance, r == 0 ? "valid" : "invalid",
                     err.field, err.detail);
        if (r < 0) {
            assert_int_equal(err.kind, ERROR_UNPROCESSABLE);
            assert_string_equal(err.code, "schema");
            assert_true(err.detail[0] != '\0');
        }
    }
}

static void types_are_told_apart(void **state)
{
    static const struct pair pairs[] = {{"{\"type\":\"integer\"}", "1", true},
                                        {"{\"type\":\"integer\"}", "1.0", true},
                                        {"{\"type\":\"integer\"}", "1e2", true},
                                        {"{\"type\":\"integer\"}", "1.5", false},
                                        {"{\"type\":\"number\"}", "1.5", true},
                                        {"{\"type\":\"number\"}", "1", true},
                                        {"{\"type\":\"number\"}", "\"1\"", false},
                                        {"{\"type\":[\"integer\",\"null\"]}", "null", true},
                                        {"{\"type\":[\"integer\",\"null\"]}", "false", false},
                                        {"{\"type\":\"boolean\"}", "false", true},
                                        {"{\"type\":\"object\"}", "[]", false},
                                        {"{\"type\":\"array\"}", "[]", true},
                                        {"true", "{}", true},
                                        {"false", "{}", false},
                                        {"{}", "null", true},
                                        {NULL, NULL, false}};

    (void)state;
    expect_pairs(pairs);
}

static void values_are_equal_as_mathematics_has_it(void **state)
{
    static const struct pair pairs[] = {
        {"{\"const\":1}", "1.0", true},
        {"{\"const\":0}", "-0.0", true},
        {"{\"const\":1}", "true", false},
        {"{\"const\":{\"a\":1,\"b\":[2]}}", "{\"b\":[2.0],\"a\":1}", true},
        {"{\"const\":{\"a\":1}}", "{\"a\":1,\"b\":2}", false},
        {"{\"const\":null}", "null", true},
        {"{\"const\":null}", "0", false},
        {"{\"enum\":[\"PZ\",\"TZ\",4]}", "4", true},
        {"{\"enum\":[\"PZ\",\"TZ\",4]}", "\"CZ\"", false},
        {"{\"const\":9007199254740993}", "9007199254740992.0", false},
        {"{\"uniqueItems\":true}", "[1,2,\"1\",true,[1],{\"a\":1}]", true},
        {"{\"uniqueItems\":true}", "[1,2,1.0]", false},
        {"{\"uniqueItems\":true}", "[{\"a\":1,\"b\":2},{\"b\":2,\"a\":1}]", false},
        {"{\"uniqueItems\":true}", "[[\"a\",\"b\"],[\"a\\\"\\\"b\"]]", true},
        {"{\"uniqueItems\":true}", "[[1,23],[12,3],[1,2,3]]", true},
        {"{\"uniqueItems\":true}", "[0,-0.0]", false},
        {"{\"uniqueItems\":false}", "[1,1]", true},
        {NULL, NULL, false}};

    (void)state;
    expect_pairs(pairs);
}

static void numbers_are_compared_exactly(void **state)
{
    static const struct pair pairs[] = {{"{\"minimum\":1}", "1", true},
                                        {"{\"minimum\":1}", "0.999999", false},
                                        {"{\"minimum\":9007199254740993}", "9007199254740992", false},
                                        {"{\"maximum\":5.5}", "5.5", true},
                                        {"{\"maximum\":5.5}", "6", false},
                                        {"{\"exclusiveMinimum\":0}", "0", false},
                                        {"{\"exclusiveMinimum\":0}", "1e-300", true},
                                        {"{\"exclusiveMaximum\":1}", "1", false},
                                        {"{\"minimum\":1}", "\"0\"", true},
                                        {"{\"multipleOf\":0.1}", "0.3", true},
                                        {"{\"multipleOf\":0.1}", "1.1", true},
                                        {"{\"multipleOf\":0.01}", "19.99", true},
                                        {"{\"multipleOf\":0.01}", "19.995", false},
                                        {"{\"multipleOf\":0.0001}", "0.0075", true},
                                        {"{\"multipleOf\":3}", "9", true},
                                        {"{\"multipleOf\":3}", "-9", true},
                                        {"{\"multipleOf\":3}", "10", false},
                                        {"{\"multipleOf\":1.5}", "35", false},
                                        {"{\"multipleOf\":2.5}", "1e300", true},
                                        {"{\"multipleOf\":3}", "1e300", false},
                                        {"{\"multipleOf\":1e300}", "1", false},
                                        {"{\"multipleOf\":7}", "0", true},
                                        {"{\"multipleOf\":0.123456789}", "1e308", false},
                                        {"{\"multipleOf\":2}", "9007199254740993", false},
                                        {NULL, NULL, false}};

    (void)state;
    expect_pairs(pairs);
}

static void strings_are_measured_in_code_points(void **state)
{
    static const struct pair pairs[] = {{"{\"maxLength\":2}", "\"\u00e9\U0001f600\"", true},
                                        {"{\"maxLength\":1}", "\"\u00e9\U0001f600\"", false},
                                        {"{\"minLength\":3}", "\"\u00e9\U0001f600\"", false},
                                        {"{\"minLength\":2.0}", "\"ab\"", true},
                                        {"{\"minLength\":3}", "7", true},
                                        {NULL, NULL, false}};

    (void)state;
    expect_pairs(pairs);
}

static void patterns_are_ecma_ones(void **state)
{
    static const struct pair pairs[] = {{"{\"pattern\":\"^[a-z]+$\"}", "\"abc\"", true},
                                        {"{\"pattern\":\"^[a-z]+$\"}", "\"abc\\n\"", false},
                                        {"{\"pattern\":\"b\"}", "\"abc\"", true},
                                        {"{\"pattern\":\"^\\\\d{2,}$\"}", "\"12\"", true},
                                        {"{\"pattern\":\"^\\\\d$\"}", "\"\u0664\"", false},
                                        {"{\"pattern\":\"^\\\\w$\"}", "\"\u00e9\"", false},
                                        {"{\"pattern\":\"^.$\"}", "\"\U0001f600\"", true},
                                        {"{\"pattern\":\"^\\\\p{L}+$\"}", "\"\u00e9a\"", true},
                                        {"{\"pattern\":\"^\\\\u00e9$\"}", "\"\u00e9\"", true},
                                        {"{\"pattern\":\"^\\\\u{1f600}$\"}", "\"\U0001f600\"", true},
                                        {"{\"pattern\":\"a.c\"}", "\"a\\nc\"", false},
                                        {"{\"pattern\":\"^a.c$\"}", "\"a\u2028c\"", false},
                                        {"{\"pattern\":\"^a.c$\"}", "\"a\\u000bc\"", true},
                                        {"{\"pattern\":\"^[.]$\"}", "\"a\"", false},
                                        {"{\"pattern\":\"^\\\\.$\"}", "\"a\"", false},
                                        {"{\"pattern\":\"^\\\\s{3}$\"}", "\"\u00a0\u2003\ufeff\"", true},
                                        {"{\"pattern\":\"^\\\\s$\"}", "\"\u200b\"", false},
                                        {"{\"pattern\":\"^\\\\S$\"}", "\"\u3000\"", false},
                                        {"{\"pattern\":\"^\\\\S$\"}", "\"\U0001f600\"", true},
                                        {"{\"pattern\":\"^[a\\\\s-]+$\"}", "\"a-\u1680\"", true},
                                        {"{\"pattern\":\"^[^\\\\S\\\\n]$\"}", "\"\u2029\"", true},
                                        {"{\"pattern\":\"^[^\\\\S\\\\n]$\"}", "\"\\n\"", false},
                                        {"{\"pattern\":\"^[\\\\S]$\"}", "\"\u00a0\"", false},
                                        {"{\"pattern\":\"^(?:a|b)(?=c)c$\"}", "\"bc\"", true},
                                        {"{\"pattern\":\"^[]\"}", "\"a\"", false},
                                        {"{\"pattern\":\"^a+?$\"}", "\"aaa\"", true},
                                        {"{\"pattern\":\"^(?<x>a)\\\\k<x>$\"}", "\"aa\"", true},
                                        {"{\"pattern\":\"^(?<=x)\"}", "12", true},
                                        {NULL, NULL, false}};

    (void)state;
    expect_pairs(pairs);
}

static void a_pattern_that_explodes_counts_as_no_match(void **state)
{
    char instance[64] = "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\"";
    struct error err;
    uint64_t start = clock_monotonic_ns();

    (void)state;
    assert_int_equal(validate("{\"pattern\":\"^(a+)+$\"}", instance, &err), -1);
    assert_true(clock_monotonic_ns() - start < 5000000000u); /* unbounded, it takes hours */
}

static void arrays_are_described_item_by_item(void **state)
{
    static const struct pair pairs[] = {
        {"{\"items\":{\"type\":\"integer\"}}", "[1,2]", true},
        {"{\"items\":{\"type\":\"integer\"}}", "[1,\"2\"]", false},
        {"{\"prefixItems\":[{\"type\":\"string\"}],\"items\":false}", "[\"a\"]", true},
        {"{\"prefixItems\":[{\"type\":\"string\"}],\"items\":false}", "[\"a\",1]", false},
        {"{\"prefixItems\":[{\"type\":\"string\"}],\"items\":{\"type\":\"null\"}}", "[\"a\",null]", true},
        {"{\"prefixItems\":[{},{\"type\":\"string\"}]}", "[1]", true},
        {"{\"minItems\":2,\"maxItems\":3}", "[1]", false},
        {"{\"minItems\":2,\"maxItems\":3}", "[1,2,3]", true},
        {"{\"minItems\":2,\"maxItems\":3}", "[1,2,3,4]", false},
        {"{\"contains\":{\"const\":1}}", "[]", false},
        {"{\"contains\":{\"const\":1}}", "[2,1]", true},
        {"{\"contains\":{\"const\":1},\"minContains\":0}", "[]", true},
        {"{\"contains\":{\"const\":1},\"minContains\":2,\"maxContains\":2}", "[1,1]", true},
        {"{\"contains\":{\"const\":1},\"maxContains\":1}", "[1,1]", false},
        {"{\"minContains\":5}", "[]", true},
        {NULL, NULL, false}};

    (void)state;
    expect_pairs(pairs);
}

static void objects_are_described_member_by_member(void **state)
{
    static const struct pair pairs[] = {
        {"{\"properties\":{\"a\":{\"type\":\"null\"}}}", "{\"a\":null,\"b\":1}", true},
        {"{\"properties\":{\"a\":{}},\"additionalProperties\":false}", "{\"a\":1}", true},
        {"{\"properties\":{\"a\":{}},\"additionalProperties\":false}", "{\"b\":1}", false},
        {"{\"patternProperties\":{\"^x\":{\"type\":\"integer\"}},\"additionalProperties\":false}",
         "{\"x1\":1}", true},
        {"{\"patternProperties\":{\"^x\":{\"type\":\"integer\"}}}", "{\"x1\":\"\"}", false},
        {"{\"properties\":{\"x\":{\"minimum\":3}},\"patternProperties\":{\"x\":{\"maximum\":5}}}",
         "{\"x\":6}", false},
        {"{\"additionalProperties\":{\"type\":\"integer\"}}", "{\"q\":\"\"}", false},
        {"{\"propertyNames\":{\"maxLength\":2}}", "{\"ab\":1}", true},
        {"{\"propertyNames\":{\"maxLength\":2}}", "{\"abc\":1}", false},
        {"{\"required\":[\"a\",\"b\"]}", "{\"a\":1}", false},
        {"{\"required\":[\"a\"]}", "[]", true},
        {"{\"minProperties\":1,\"maxProperties\":1}", "{}", false},
        {"{\"minProperties\":1,\"maxProperties\":1}", "{\"a\":1,\"b\":1}", false},
        {"{\"dependentRequired\":{\"a\":[\"b\"]}}", "{\"a\":1}", false},
        {"{\"dependentRequired\":{\"a\":[\"b\"]}}", "{\"b\":1}", true},
        {"{\"dependentSchemas\":{\"a\":{\"required\":[\"c\"]}}}", "{\"a\":1}", false},
        {"{\"dependentSchemas\":{\"a\":{\"required\":[\"c\"]}}}", "{\"a\":1,\"c\":1}", true},
        {NULL, NULL, false}};

    (void)state;
    expect_pairs(pairs);
}

static void schemas_combine(void **state)
{
    static const struct pair pairs[] = {
        {"{\"allOf\":[{\"minimum\":1},{\"maximum\":2}]}", "3", false},
        {"{\"anyOf\":[{\"type\":\"null\"},{\"minimum\":3}]}", "3", true},
        {"{\"anyOf\":[{\"type\":\"null\"},{\"minimum\":3}]}", "2", false},
        {"{\"oneOf\":[{\"minimum\":1},{\"minimum\":5}]}", "3", true},
        {"{\"oneOf\":[{\"minimum\":1},{\"minimum\":5}]}", "6", false},
        {"{\"oneOf\":[{\"minimum\":1},{\"minimum\":5}]}", "0", false},
        {"{\"not\":{\"type\":\"integer\"}}", "1.5", true},
        {"{\"not\":{\"type\":\"integer\"}}", "1", false},
        {"{\"if\":{\"minimum\":10},\"then\":{\"multipleOf\":10},\"else\":{\"multipleOf\":2}}", "20", true},
        {"{\"if\":{\"minimum\":10},\"then\":{\"multipleOf\":10},\"else\":{\"multipleOf\":2}}", "12", false},
        {"{\"if\":{\"minimum\":10},\"then\":{\"multipleOf\":10},\"else\":{\"multipleOf\":2}}", "3", false},
        {"{\"then\":false,\"else\":false}", "3", true},
        {"{\"$ref\":\"#/$defs/p\",\"maximum\":9,\"$defs\":{\"p\":{\"minimum\":1}}}", "10", false},
        {"{\"$ref\":\"#/$defs/p\",\"maximum\":9,\"$defs\":{\"p\":{\"minimum\":1}}}", "5", true},
        {"{\"$ref\":\"#/$defs/a~1b\",\"$defs\":{\"a/b\":{\"minimum\":1}}}", "0", false},
        {"{\"properties\":{\"next\":{\"$ref\":\"#\"}},\"required\":[\"v\"]}", "{\"v\":1,\"next\":{\"v\":2}}",
         true},
        {"{\"properties\":{\"next\":{\"$ref\":\"#\"}},\"required\":[\"v\"]}", "{\"v\":1,\"next\":{}}", false},
        {"{\"title\":\"t\",\"format\":\"email\",\"x-ui\":[1],\"deprecated\":true,\"$comment\":\"c\"}", "1",
         true},
        {NULL, NULL, false}};

    (void)state;
    expect_pairs(pairs);
}

static void expect_field(const char *schema, const char *instance, const char *field)
{
    struct error err = {0};

    assert_int_equal(validate(schema, instance, &err), -1);
    assert_string_equal(err.field, field);
}

static void an_offence_is_named_by_its_json_pointer(void **state)
{
    (void)state;
    expect_field("{\"required\":[\"cspca\"]}", "{}", "/answer/cspca");
    expect_field("{\"properties\":{\"a\":{}},\"additionalProperties\":false}", "{\"a\":1,\"x/y~z\":1}",
                 "/answer/x~1y~0z");
    expect_field("{\"properties\":{\"lesions\":{\"items\":{\"properties\":{\"t2w\":{\"maximum\":5}}}}}}",
                 "{\"lesions\":[{\"t2w\":5},{\"t2w\":6}]}", "/answer/lesions/1/t2w");
    expect_field("{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"integer\"}]}", "\"\"", "/answer");
    expect_field("{\"propertyNames\":{\"pattern\":\"^a\"}}", "{\"b\":1}", "/answer/b");
    expect_field("{\"dependentRequired\":{\"a\":[\"b\"]}}", "{\"a\":1}", "/answer/b");
    expect_field("{\"items\":{\"uniqueItems\":true}}", "[[],[1,1]]", "/answer/1");
}

static void expect_refused(const char *text, const char *field)
{
    json_t *json = load(text);
    struct error err = {0};
    struct schema *schema = schema_create(json, &err);

    json_decref(json);
    if (schema)
        fail_msg("%s is accepted", text);
    assert_string_equal(err.code, "bad_schema");
    assert_string_equal(err.field, field);
}

static void what_is_not_supported_is_refused_at_once(void **state)
{
    static const char *const refused[][2] = {
        {"{\"unevaluatedProperties\":false}", "/unevaluatedProperties"},
        {"{\"propertys\":{}}", "/propertys"},
        {"{\"items\":{\"$anchor\":\"a\"}}", "/items/$anchor"},
        {"{\"items\":{\"$defs\":{}}}", "/items/$defs"},
        {"{\"items\":{\"$id\":\"x\"}}", "/items/$id"},
        {"{\"$schema\":\"http://json-schema.org/draft-07/schema#\"}", "/$schema"},
        {"{\"$ref\":\"other.json\"}", "/$ref"},
        {"{\"$ref\":\"#/$defs/none\"}", "/$ref"},
        {"{\"$ref\":\"#/properties/a\"}", "/$ref"},
        {"{\"type\":\"float\"}", "/type"},
        {"{\"type\":[]}", "/type"},
        {"{\"type\":[\"null\",\"null\"]}", "/type"},
        {"{\"minimum\":\"1\"}", "/minimum"},
        {"{\"multipleOf\":0}", "/multipleOf"},
        {"{\"minLength\":-1}", "/minLength"},
        {"{\"minLength\":1.5}", "/minLength"},
        {"{\"enum\":[]}", "/enum"},
        {"{\"required\":\"a\"}", "/required"},
        {"{\"required\":[\"a\",\"a\"]}", "/required"},
        {"{\"allOf\":[]}", "/allOf"},
        {"{\"items\":[{}]}", "/items"},
        {"{\"properties\":{\"a\":1}}", "/properties/a"},
        {"{\"dependentRequired\":{\"a\":[1]}}", "/dependentRequired/a"},
        {"{\"pattern\":\"(\"}", "/pattern"},
        {"{\"pattern\":\"(?i)a\"}", "/pattern"},
        {"{\"pattern\":\"a++\"}", "/pattern"},
        {"{\"pattern\":\"\\\\Aa\"}", "/pattern"},
        {"{\"pattern\":\"[[:alpha:]]\"}", "/pattern"},
        {"{\"pattern\":\"(*UCP)a\"}", "/pattern"},
        {"{\"pattern\":\"a{,2}\"}", "/pattern"},
        {"{\"pattern\":\"[\\\\s-z]\"}", "/pattern"},
        {"{\"pattern\":\"[\\\\u0001-\\\\s]\"}", "/pattern"},
        {"{\"pattern\":\"[\\\\[-\\\\d]\"}", "/pattern"},
        {"{\"patternProperties\":{\"[\":{}}}", "/patternProperties/["},
        {"{\"$defs\":[]}", "/$defs"},
        {"{\"$defs\":{\"unused\":{\"typ\":1}}}", "/$defs/unused/typ"},
        {"[]", ""},
        {"7", ""}};

    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        expect_refused(refused[i][0], refused[i][1]);
}

static void a_reference_that_turns_in_a_circle_is_refused(void **state)
{
    (void)state;
    expect_refused("{\"$ref\":\"#\"}", "");
    expect_refused("{\"anyOf\":[{\"type\":\"null\"},{\"$ref\":\"#\"}]}", "");
    expect_refused(
        "{\"$defs\":{\"a\":{\"not\":{\"$ref\":\"#/$defs/b\"}},\"b\":{\"if\":{\"$ref\":\"#/$defs/a\"}}}}", "");
    expect_refused("{\"dependentSchemas\":{\"a\":{\"$ref\":\"#\"}}}", "");
}

static void a_deep_instance_and_a_costly_schema_are_refused_not_followed(void **state)
{
    char deep[403] = "";
    struct error err;

    (void)state;
    memset(deep, '[', 200);
    memset(deep + 200, ']', 200);
    assert_int_equal(validate("{\"items\":{\"$ref\":\"#\"}}", deep, &err), -1);
    assert_int_equal(validate("{\"not\":{\"items\":{\"$ref\":\"#\"}}}", deep, &err), -1);
    /* 2^40 ways through twenty-odd lines */
    char costly[4000], *out = costly;

    out += snprintf(out, 200, "{\"$ref\":\"#/$defs/a0\",\"$defs\":{");
    for (int i = 0; i < 40; i++)
        out +=
            snprintf(out, 200, "\"a%d\":{\"oneOf\":[{\"$ref\":\"#/$defs/a%d\"},{\"$ref\":\"#/$defs/a%d\"}]},",
                     i, i + 1, i + 1);
    snprintf(out, 200, "\"a40\":{\"type\":\"null\"}}}");
    assert_int_equal(validate(costly, "1", &err), -1);
}

static void many_items_are_told_apart_quickly(void **state)
{
    struct schema *schema = compile("{\"uniqueItems\":true,\"items\":{\"type\":\"object\"}}");
    json_t *array = json_array();
    struct error err;
    uint64_t start = clock_monotonic_ns();

    (void)state;
    for (int i = 0; i < 50000; i++)
        json_array_append_new(array, json_pack("{s:i,s:s}", "position", i, "zone", "PZ"));
    assert_int_equal(schema_validate(schema, array, "", &err), 0);
    json_array_append_new(array, json_pack("{s:s,s:f}", "zone", "PZ", "position", 40000.0));
    assert_int_equal(schema_validate(schema, array, "", &err), -1);
    assert_true(clock_monotonic_ns() - start < 20000000000u); /* pair by pair, it takes minutes */
    json_decref(array);
    schema_destroy(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_are_told_apart),
        cmocka_unit_test(values_are_equal_as_mathematics_has_it),
        cmocka_unit_test(numbers_are_compared_exactly),
        cmocka_unit_test(strings_are_measured_in_code_points),
        cmocka_unit_test(patterns_are_ecma_ones),
        cmocka_unit_test(a_pattern_that_explodes_counts_as_no_match),
        cmocka_unit_test(arrays_are_described_item_by_item),
        cmocka_unit_test(objects_are_described_member_by_member),
        cmocka_unit_test(schemas_combine),
        cmocka_unit_test(an_offence_is_named_by_its_json_pointer),
        cmocka_unit_test(what_is_not_supported_is_refused_at_once),
        cmocka_unit_test(a_reference_that_turns_in_a_circle_is_refused),
        cmocka_unit_test(a_deep_instance_and_a_costly_schema_are_refused_not_followed),
        cmocka_unit_test(many_items_are_told_apart_quickly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
