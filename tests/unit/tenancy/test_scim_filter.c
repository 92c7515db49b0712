#include "tenancy/scim_filter.h"

#include <string.h>

#include "arena_testing.h"
#include "tenancy/scim_change.h"

static const struct scim_node *parse(struct fixture *f, const char *filter)
{
    const struct scim_node *node = NULL;
    if (scim_filter_parse(f->arena, text_of(filter), scim_user_attributes, &node, &f->err) < 0)
        fail_msg("%s: %s", filter, f->err.detail);
    return node;
}

static void assert_filter(struct fixture *f, const char *filter, const char *json)
{
    assert_string_equal(scim_filter_json(f->arena, parse(f, filter)), json);
}

static void assert_refused(struct fixture *f, const char *filter)
{
    const struct scim_node *node;
    f->err = (struct error){0};
    if (scim_filter_parse(f->arena, text_of(filter), scim_user_attributes, &node, &f->err) == 0)
        fail_msg("taken: %s", filter);
    assert_string_equal(f->err.code, "invalid_filter");
    assert_int_equal(f->err.kind, ERROR_INVALID);
}

#define COMPARED(op, attribute, kind, value) \
    "{\"op\":\"" op "\",\"attribute\":\"" attribute "\",\"kind\":\"" kind "\",\"value\":" value "}"
#define A COMPARED("eq", "username", "text", "\"a\"")
#define B COMPARED("eq", "externalid", "exact", "\"b\"")
#define C COMPARED("eq", "active", "boolean", "\"true\"")

static void test_names_operators_and_words_come_in_any_case(void **state)
{
    assert_filter(*state, "USERNAME Eq \"a\"", A);
    assert_filter(*state, "urn:ietf:params:scim:schemas:core:2.0:User:userName eq \"a\"", A);
    assert_filter(*state, "  active   EQ   TRUE  ", C);
    assert_filter(*state, "active eq \"True\"", C);
    assert_filter(*state, "externalId ne null", COMPARED("ne", "externalid", "exact", "null"));
    assert_filter(*state, "displayName pr", "{\"op\":\"pr\",\"attribute\":\"displayname\",\"kind\":\"text\"}");
}

static void test_and_binds_tighter_than_or_and_not_tightest(void **state)
{
    assert_filter(*state, "userName eq \"a\" or externalId eq \"b\" and active eq true",
                  "{\"op\":\"or\",\"left\":" A ",\"right\":{\"op\":\"and\",\"left\":" B ",\"right\":" C "}}");
    assert_filter(*state, "(userName eq \"a\" OR externalId eq \"b\") AND active eq true",
                  "{\"op\":\"and\",\"left\":{\"op\":\"or\",\"left\":" A ",\"right\":" B "},\"right\":" C "}");
    assert_filter(*state, "not (userName eq \"a\") and active eq true",
                  "{\"op\":\"and\",\"left\":{\"op\":\"not\",\"left\":" A "},\"right\":" C "}");
}

static void test_brackets_and_the_dialect_behind_them_speak_of_one_element(void **state)
{
    const char *work = "{\"op\":\"and\",\"left\":" COMPARED("eq", "emails.type", "text", "\"work\"") ",\"right\":" COMPARED(
        "eq", "emails.value", "text", "\"x\"") "}";
    assert_filter(*state, "emails[type eq \"work\" and value eq \"x\"]", work);
    assert_filter(*state, "emails[type eq \"work\"].value eq \"x\"", work);
    assert_filter(*state, "emails eq \"x\"", COMPARED("eq", "emails.value", "text", "\"x\""));
}

static void test_texts_are_json_strings(void **state)
{
    assert_filter(*state, "userName eq \"a\\\"\\\\b\\u00e4\"", COMPARED("eq", "username", "text", "\"a\\\"\\\\bä\""));
    assert_refused(*state, "userName eq \"a");
    assert_refused(*state, "userName eq \"a\\\"");
    assert_refused(*state, "userName eq \"\\x\"");
    assert_refused(*state, "userName eq \"\\u0000\"");
    assert_refused(*state, "userName eq 'a'");
    assert_refused(*state, "userName eq \"\xff\"");
}

static void test_what_is_no_filter_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",           " ",          "userName",           "userName eq",           "userName eq \"a\" and",     "eq \"a\"",
        "(",          "()",         "(active pr",         "active pr)",            "not active pr",             "not (active pr",
        "active pr pr", "userName like \"a\"", "userName eq 1", "active eq 1",     "active eq \"yes\"",         "active gt true",
        "userName gt \"a\"", "active co \"t\"", "nickName eq \"a\"", "password pr", "emails[type eq \"work\"", "emails[]",
        "emails[type eq \"work\"].", "emails[emails[type pr]]", "userName eq \"a\"; DROP TABLE people", "userName gt null",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_refused(*state, wrong[i]);
}

static void test_times_are_what_the_database_is_sure_to_take(void **state)
{
    static const char *const wrong[] = {"2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z", "0000-01-01T00:00:00Z",
                                        "2026-01-01T00:00:00",  "2026-01-01",           "2026-01-01T00:00:00+15:00", "now",
                                        "2026-01-01T00:00:00.Z", "2026-01-01T00:00:60Z", "2026-01-01T00:00:00Zx", "20260101T000000Z", ""};
    struct fixture *f = *state;
    assert_filter(f, "meta.lastModified gt \"2024-02-29T23:59:59.123456Z\"",
                  COMPARED("gt", "meta.lastmodified", "date", "\"2024-02-29T23:59:59.123456Z\""));
    assert_filter(f, "meta.created le \"2026-01-01T00:00:00-05:30\"",
                  COMPARED("le", "meta.created", "date", "\"2026-01-01T00:00:00-05:30\""));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_refused(f, arena_printf(f->arena, "meta.lastModified gt \"%s\"", wrong[i]));
}

/* n times `before`, a comparison, n times `after`. */
static const char *nested(struct fixture *f, int n, const char *before, const char *after)
{
    struct buffer b;
    buffer_init(&b, 100000);
    for (int i = 0; i < n; i++)
        buffer_puts(&b, before);
    buffer_puts(&b, "active pr");
    for (int i = 0; i < n; i++)
        buffer_puts(&b, after);
    const char *filter = arena_copy(f->arena, b.p, b.len);
    buffer_finish(&b);
    return filter;
}

static void test_depth_and_comparisons_are_bounded(void **state)
{
    parse(*state, nested(*state, SCIM_DEPTH_MAX - 1, "(", ")"));
    assert_refused(*state, nested(*state, SCIM_DEPTH_MAX, "(", ")"));
    assert_refused(*state, nested(*state, 5000, "not (", ")"));
    parse(*state, nested(*state, SCIM_COMPARISONS_MAX - 1, "active pr and ", ""));
    assert_refused(*state, nested(*state, SCIM_COMPARISONS_MAX, "active pr or ", ""));
}

static void test_a_demand_holds_for_all_that_matches(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(scim_filter_demands(parse(f, "active pr and (userName eq \"a\" and displayName pr)"), "username"), "a");
    assert_null(scim_filter_demands(parse(f, "userName eq \"a\" or active pr"), "username"));
    assert_null(scim_filter_demands(parse(f, "not (userName eq \"a\")"), "username"));
    assert_null(scim_filter_demands(parse(f, "userName ne \"a\""), "username"));
    assert_null(scim_filter_demands(parse(f, "userName eq \"a\""), "externalid"));
}

static void test_paths_have_an_attribute_a_filter_and_what_is_of_it(void **state)
{
    struct fixture *f = *state;
    struct scim_path path;
    assert_int_equal(scim_path_parse(f->arena, TEXT("name.familyName"), scim_user_attributes, &path, &f->err), 0);
    assert_string_equal(path.attribute, "name.familyname");
    assert_null(path.filter);
    assert_int_equal(scim_path_parse(f->arena, TEXT("emails[type eq \"work\"].value"), scim_user_attributes, &path, &f->err), 0);
    assert_string_equal(path.attribute, "emails");
    assert_string_equal(path.filter->attribute->path, "emails.type");
    assert_string_equal(path.sub, "value");
    static const char *const wrong[] = {"", " ", "a b", "[x]", "emails[type eq \"work\"", "emails[type eq \"work\"].", "a/b"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(scim_path_parse(f->arena, text_of(wrong[i]), scim_user_attributes, &path, &f->err), -1);
}

#define PATCH_OP "{\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:PatchOp\"],\"Operations\":["

static int patch(struct fixture *f, const char *operations, const char **ret)
{
    json_t *body = json_in(f->arena, arena_printf(f->arena, PATCH_OP "%s]}", operations));
    f->err = (struct error){0};
    return scim_user_from_patch(f->arena, body, ret, &f->err);
}

static void test_the_dialects_of_directories_come_to_the_same_change(void **state)
{
    static const char *const same[] = {
        "{\"op\":\"replace\",\"path\":\"active\",\"value\":false}",
        "{\"op\":\"Replace\",\"path\":\"active\",\"value\":\"False\"}",
        "{\"op\":\"REPLACE\",\"value\":{\"active\":\"false\"}}",
        "{\"op\":\"Add\",\"path\":\"active\",\"value\":[{\"value\":\"False\"}]}",
        "{\"op\":\"replace\",\"value\":{\"id\":\"x\",\"active\":false,\"password\":\"secret\"}}",
        "{\"op\":\"replace\",\"path\":\"urn:ietf:params:scim:schemas:core:2.0:User:active\",\"value\":false}",
        "{\"op\":\"replace\",\"path\":\"active\",\"value\":true},{\"op\":\"replace\",\"path\":\"active\",\"value\":false}",
    };
    struct fixture *f = *state;
    const char *change;
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        assert_int_equal(patch(f, same[i], &change), 0);
        assert_string_equal(change, "{\"active\":false}");
    }
}

static void test_patches_that_mean_nothing_are_refused_by_their_kind(void **state)
{
    static const struct {
        const char *operation, *code;
    } wrong[] = {
        {"{\"op\":\"move\",\"path\":\"active\",\"value\":true}", "invalid_syntax"},
        {"{\"path\":\"active\",\"value\":true}", "invalid_syntax"},
        {"{\"op\":\"replace\",\"path\":\"active\"}", "invalid_syntax"},
        {"{\"op\":\"replace\",\"value\":true}", "invalid_syntax"},
        {"1", "invalid_syntax"},
        {"{\"op\":\"remove\"}", "no_target"},
        {"{\"op\":\"replace\",\"path\":\"emails[value eq \\\"x\\\"].value\",\"value\":\"a@b.org\"}", "no_target"},
        {"{\"op\":\"replace\",\"path\":\"shoeSize\",\"value\":1}", "invalid_path"},
        {"{\"op\":\"replace\",\"path\":\"a b\",\"value\":1}", "invalid_path"},
        {"{\"op\":\"replace\",\"path\":7,\"value\":1}", "invalid_path"},
        {"{\"op\":\"replace\",\"path\":\"emails[type xx 1].value\",\"value\":\"a@b.org\"}", "invalid_filter"},
        {"{\"op\":\"replace\",\"path\":\"id\",\"value\":\"x\"}", "mutability"},
        {"{\"op\":\"remove\",\"path\":\"active\"}", "mutability"},
        {"{\"op\":\"remove\",\"path\":\"userName\"}", "invalid_value"},
        {"{\"op\":\"replace\",\"path\":\"userName\",\"value\":\"nobody\"}", "bad_email"},
        {"{\"op\":\"replace\",\"path\":\"active\",\"value\":\"perhaps\"}", "invalid_value"},
        {"{\"op\":\"replace\",\"path\":\"displayName\",\"value\":7}", "field_invalid"},
        {"{\"op\":\"replace\",\"path\":\"displayName\",\"value\":\"a\\nb\"}", "bad_name"},
        {"{\"op\":\"replace\",\"path\":\"name\",\"value\":\"Nora\"}", "invalid_value"},
    };
    struct fixture *f = *state;
    const char *change;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (patch(f, wrong[i].operation, &change) == 0)
            fail_msg("taken: %s", wrong[i].operation);
        assert_string_equal(f->err.code, wrong[i].code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_names_operators_and_words_come_in_any_case),
        fixture_test(test_and_binds_tighter_than_or_and_not_tightest),
        fixture_test(test_brackets_and_the_dialect_behind_them_speak_of_one_element),
        fixture_test(test_texts_are_json_strings),
        fixture_test(test_what_is_no_filter_is_refused),
        fixture_test(test_times_are_what_the_database_is_sure_to_take),
        fixture_test(test_depth_and_comparisons_are_bounded),
        fixture_test(test_a_demand_holds_for_all_that_matches),
        fixture_test(test_paths_have_an_attribute_a_filter_and_what_is_of_it),
        fixture_test(test_the_dialects_of_directories_come_to_the_same_change),
        fixture_test(test_patches_that_mean_nothing_are_refused_by_their_kind),
    };
    return cmocka_run_group_tests_name("SCIM filters and patches", tests, NULL, NULL);
}
