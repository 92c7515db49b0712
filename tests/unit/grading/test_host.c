#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fenv.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include "base/mem.h"
#include "grading/frame.h"
#include "grading/host.h"
#include "grading/host_grade.h"

/* Built into this program. */
const overread_plugin *overread_plugin_entry(void);

static const char *const codes[] = {"another", "echo"};
static const struct host_rules rules = {.id = "trial",
                                        .version = "1.0.0",
                                        .rules_revision = 1,
                                        .memory_bytes = 4 << 20,
                                        .codes = codes,
                                        .code_count = 2};

static int open_host(void **state)
{
    *state = host_create(&rules);
    return *state ? 0 : -1;
}

static int close_host(void **state)
{
    host_destroy(*state);
    return 0;
}

static const overread_value *parse(struct host *host, const char *json)
{
    const char *why = NULL;
    const overread_value *value = host_parse(host, text_of(json), &why);

    assert_non_null(value);
    return value;
}

static void expect_refused(struct host *host, const char *json)
{
    const char *why = NULL;

    assert_null(host_parse(host, text_of(json), &why));
    assert_non_null(why);
}

static void members_are_sorted_bytewise_whatever_their_order(void **state)
{
    const overread_value *value = parse(*state, "{\"b\":1,\"a\":2,\"B\":3,\"aa\":4,\"\":5,\"\u00e9\":6}");
    static const char *const names[] = {"", "B", "a", "aa", "b", "\u00e9"};

    assert_int_equal(value->type, OVERREAD_OBJECT);
    assert_int_equal(value->count, 6);
    for (uint32_t i = 0; i < 6; i++)
        assert_string_equal(value->as.members[i].name, names[i]);
    assert_true(value->as.members[3].value.as.number == 4);
}

static void many_members_are_sorted_too(void **state)
{
    struct buffer json;
    const overread_value *value;

    buffer_init(&json, 1 << 20);
    buffer_puts(&json, "{");
    for (unsigned i = 0; i < 1000; i++)
        buffer_printf(&json, "%s\"k%03u\":%u", i ? "," : "", i * 7 % 1000, i);
    buffer_puts(&json, "}");
    value = parse(*state, json.p);
    assert_int_equal(value->count, 1000);
    for (uint32_t i = 1; i < 1000; i++)
        assert_true(strcmp(value->as.members[i - 1].name, value->as.members[i].name) < 0);
    buffer_finish(&json);
}

static void values_keep_their_types_and_integers_are_exact(void **state)
{
    const overread_value *value =
        parse(*state, "[null,true,false,9007199254740992,-0.5,\"h\u00e9\",[],{},1e308]");

    assert_int_equal(value->count, 9);
    assert_int_equal(value->as.items[0].type, OVERREAD_NULL);
    assert_int_equal(value->as.items[1].as.boolean, 1);
    assert_int_equal(value->as.items[2].type, OVERREAD_BOOLEAN);
    assert_int_equal(value->as.items[2].as.boolean, 0);
    assert_true(value->as.items[3].as.number == 9007199254740992.0);
    assert_true(value->as.items[4].as.number == -0.5);
    assert_int_equal(value->as.items[5].count, 3);
    assert_string_equal(value->as.items[5].as.string, "h\u00e9");
    assert_int_equal(value->as.items[6].type, OVERREAD_ARRAY);
    assert_int_equal(value->as.items[6].count, 0);
    assert_int_equal(value->as.items[7].type, OVERREAD_OBJECT);
}

static void deep_and_malformed_and_duplicate_input_is_refused(void **state)
{
    char deep[2 * 100 + 1] = "";

    memset(deep, '[', 100);
    memset(deep + 100, ']', 100);
    expect_refused(*state, deep);
    expect_refused(*state, "");
    expect_refused(*state, "{");
    expect_refused(*state, "{} {}");
    expect_refused(*state, "{\"a\":1,\"a\":2}");
    expect_refused(*state, "{\"a\":\"\\u0000\"}");
    expect_refused(*state, "[1e999]");
    expect_refused(*state, "[NaN]");
    expect_refused(*state, "\"\xff\"");
}

static void input_beyond_the_arena_is_refused(void **state)
{
    const size_t count = 1000000; /* 16 bytes each, at least, in an arena of 4 MiB */
    char *json = mem_alloc(2 * count + 2);

    memset(json, '[', 1);
    for (size_t i = 0; i < count; i++)
        memcpy(json + 1 + 2 * i, "1,", 2);
    json[2 * count] = ']';
    expect_refused(*state, json);
    mem_free(json);
}

static struct host_result run(struct host *host, const char *config, const char *truth, const char *answer)
{
    const struct host_input input = {
        .config = text_of(config), .truth = text_of(truth), .answer = text_of(answer)};
    struct host_result result;

    host_result_init(&result);
    host_run(host, overread_plugin_entry(), HOST_GRADE, &input, &result);
    return result;
}

static void a_grade_does_not_depend_on_key_order_rounding_mode_or_locale(void **state)
{
    struct host_result first = run(*state, "{\"a\":1,\"b\":2}", "{}", "{\"text\":\"t\",\"points\":1.001}");

    assert_int_equal(first.status, HOST_OK);
    fesetround(FE_UPWARD);
    setlocale(LC_ALL, "de_DE.UTF-8"); /* where it is installed */
    struct host_result second = run(*state, "{\"b\":2,\"a\":1}", "{}", "{\"points\":1.001,\"text\":\"t\"}");

    setlocale(LC_ALL, "C");
    assert_string_equal(first.text.p, second.text.p);
    assert_int_equal(fegetround(), FE_TONEAREST);
    host_result_finish(&first);
    host_result_finish(&second);
}

/* More of them than a host keeps, alike but for a byte, and each again and again. */
static void each_grade_is_by_its_own_config_and_truth_however_often_they_come(void **state)
{
    char config[80], truth[80], wanted[80];

    for (unsigned n = 0; n < 4000; n++) {
        const unsigned i = n * 7 % 500 / (n % 3 + 1), k = n % 2 ? i : i / 100;

        snprintf(config, sizeof(config), "{\"a\":\"%03u\",\"text\":\"text %03u.\"}", n % 5, k);
        snprintf(truth, sizeof(truth), "{\"rule\":\"rule %03u.\",\"b\":[%u]}", i, n % 3);
        struct host_result result = run(*state, config, truth, "{}");

        assert_int_equal(result.status, HOST_OK);
        snprintf(wanted, sizeof(wanted), "\"text\":\"text %03u.\",\"rule\":\"rule %03u.\"", k, i);
        assert_non_null(strstr(result.text.p, wanted));
        host_result_finish(&result);
    }
}

static void memory_from_alloc_is_zeroed_though_an_earlier_call_used_it(void **state)
{
    /* "arena" takes all and gives NO_MEMORY; echo relies on zeroes in what it gets afterwards. */
    for (int i = 0; i < 3; i++) {
        struct host_result all = run(*state, "{}", "{}", "{\"do\":\"arena\"}");
        struct host_result after = run(*state, "{}", "{}", "{\"points\":2}");

        assert_int_equal(all.status, HOST_NO_MEMORY);
        assert_int_equal(after.status, HOST_OK);
        assert_true(after.correct);
        host_result_finish(&all);
        host_result_finish(&after);
    }
}

static void bad_input_is_told_from_a_bug_of_the_plugin(void **state)
{
    struct host_result bad = run(*state, "{}", "{", "{}"), array = run(*state, "[]", "{}", "{}");
    struct host_result bug = run(*state, "{}", "{}", "{\"do\":\"status\"}");

    assert_int_equal(bad.status, HOST_BAD_INPUT);
    assert_memory_equal(bad.text.p, "truth: ", 7);
    assert_int_equal(array.status, HOST_BAD_INPUT);
    assert_int_equal(bug.status, HOST_BUG);
    host_result_finish(&bad);
    host_result_finish(&array);
    host_result_finish(&bug);
}

static void numbers_are_written_digit_by_digit(void **state)
{
    static const overread_metric metrics[] = {{.name = "a", .value_micro = 0, .defined = 1},
                                              {.name = "b", .value_micro = -1, .defined = 1},
                                              {.name = "c", .value_micro = INT64_MIN, .defined = 1},
                                              {.name = "d", .value_micro = 12345678, .defined = 1}};
    static const overread_finding finding = {.verdict = OVERREAD_PARTIAL,
                                             .code = "echo",
                                             .text = "x\n\"",
                                             .points_milli = -7,
                                             .max_points_milli = 0};
    const overread_grade grade = {.points_milli = 0,
                                  .max_points_milli = 1000000,
                                  .finding_count = 1,
                                  .findings = &finding,
                                  .metric_count = 4,
                                  .metrics = metrics};
    const overread_input input = {.size = sizeof(input)};
    struct buffer out;

    (void)state;
    buffer_init(&out, 1 << 16);
    assert_null(host_write_grade(&out, &rules, &input, &grade));
    assert_string_equal(out.p,
                        "{\"points\":0.000,\"max_points\":1000.000,\"correct\":false,\"findings\":[{\"code\":"
                        "\"echo\",\"verdict\":\"partial\",\"points\":-0.007,\"max_points\":0.000,"
                        "\"answer_pointer\":null,\"truth_pointer\":null,\"text\":\"x\\n\\\"\",\"rule\":null,"
                        "\"look_again\":null}],\"metrics\":{\"a\":0.000000,\"b\":-0.000001,"
                        "\"c\":-9223372036854.775808,\"d\":12.345678},\"undefined\":{}}");
    buffer_finish(&out);
}

static void expect_bug(const overread_grade *grade)
{
    const overread_input input = {.size = sizeof(input)};
    struct buffer out;

    buffer_init(&out, 1 << 16);
    assert_non_null(host_write_grade(&out, &rules, &input, grade));
    buffer_finish(&out);
}

static void nonsense_in_a_grade_is_a_bug(void **state)
{
    const overread_metric bad_names[] = {{.name = "Distance"},
                                         {.name = ""},
                                         {.name = NULL},
                                         {.name = "a", .defined = 2},
                                         {.name = "no_reason"}};
    const overread_metric twins[] = {{.name = "a", .defined = 1}, {.name = "a", .defined = 1}};

    (void)state;
    expect_bug(&(overread_grade){.points_milli = -1});
    expect_bug(&(overread_grade){.points_milli = 2, .max_points_milli = 1});
    expect_bug(&(overread_grade){.correct = 2});
    expect_bug(&(overread_grade){.finding_count = 1});
    expect_bug(&(overread_grade){.metric_count = 1});
    expect_bug(&(overread_grade){.metric_count = 2, .metrics = twins});
    for (size_t i = 0; i < sizeof(bad_names) / sizeof(bad_names[0]); i++)
        expect_bug(&(overread_grade){.metric_count = 1, .metrics = &bad_names[i]});
}

static void a_pointer_must_lead_to_a_value(void **state)
{
    const overread_value *v = parse(*state, "{\"a\":[1,{\"b/c~d\":2}],\"\":3}");
    static const char *const good[] = {"", "/a", "/a/0", "/a/1/b~1c~0d", "/"};
    static const char *const bad[] = {"a",   "/b",     "/a/2", "/a/00",  "/a/-",
                                      "/a/", "/a/0/x", "/~2",  "/a/1/b", "/a/99999999999999999999"};

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(host_pointer_resolves(good[i], v));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(host_pointer_resolves(bad[i], v));
}

static void only_utf8_passes_as_text(void **state)
{
    (void)state;
    assert_true(host_utf8("a\u00e9\u20ac\U0001f600"));
    assert_false(host_utf8("\xc0\x80"));
    assert_false(host_utf8("\xed\xa0\x80"));
    assert_false(host_utf8("\xf4\x90\x80\x80"));
    assert_false(host_utf8("\xe2\x82"));
    assert_false(host_utf8("\x80"));
}

static void a_plugin_of_another_abi_or_name_is_objected_to(void **state)
{
    overread_plugin plugin = *overread_plugin_entry();

    assert_null(host_objection(*state, &plugin));
    assert_non_null(host_objection(*state, NULL));
    plugin.abi_minor = OVERREAD_ABI_MINOR + 1;
    assert_string_equal(host_objection(*state, &plugin), "abi 1.1 is not supported");
    plugin = *overread_plugin_entry();
    plugin.abi_major = 2;
    assert_string_equal(host_objection(*state, &plugin), "abi 2.0 is not supported");
    plugin = *overread_plugin_entry();
    plugin.magic = 0;
    assert_non_null(host_objection(*state, &plugin));
    plugin = *overread_plugin_entry();
    plugin.size = 8;
    assert_non_null(host_objection(*state, &plugin));
    plugin = *overread_plugin_entry();
    plugin.grade = NULL;
    assert_non_null(host_objection(*state, &plugin));
    plugin = *overread_plugin_entry();
    plugin.version = "1.0.1";
    assert_non_null(host_objection(*state, &plugin));
}

static void frames_are_taken_whole_or_not_at_all(void **state)
{
    char bytes[64] = {0};
    struct frame_head head = frame_head(FRAME_REQUEST, 7, 20);
    struct frame_request_head request = {.op = 1, .config_len = 2, .truth_len = 1, .answer_len = 1};
    struct frame frame;
    struct frame_request parsed;
    struct frame_reply reply;

    (void)state;
    memcpy(bytes, &head, sizeof(head));
    memcpy(bytes + sizeof(head), &request, sizeof(request));
    memcpy(bytes + sizeof(head) + sizeof(request), "{}12", 4);
    for (size_t len = 0; len < 44; len++)
        assert_int_equal(frame_parse((struct text){bytes, len}, &frame), 0);
    assert_int_equal(frame_parse((struct text){bytes, 44}, &frame), 44);
    assert_int_equal(frame.id, 7);
    assert_int_equal(frame_parse_request(frame.body, &parsed), 0);
    assert_true(text_is(parsed.config, "{}"));
    assert_true(text_is(parsed.answer, "2"));
    frame.body.len--;
    assert_int_equal(frame_parse_request(frame.body, &parsed), -EBADMSG);
    assert_int_equal(frame_parse_reply(frame.body, &reply), -EBADMSG);
    head.len = FRAME_MAX + 1;
    memcpy(bytes, &head, sizeof(head));
    assert_int_equal(frame_parse((struct text){bytes, 44}, &frame), -EBADMSG);
    bytes[0] = 'x';
    assert_int_equal(frame_parse((struct text){bytes, 44}, &frame), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_sorted_bytewise_whatever_their_order),
        cmocka_unit_test(many_members_are_sorted_too),
        cmocka_unit_test(values_keep_their_types_and_integers_are_exact),
        cmocka_unit_test(deep_and_malformed_and_duplicate_input_is_refused),
        cmocka_unit_test(input_beyond_the_arena_is_refused),
        cmocka_unit_test(a_grade_does_not_depend_on_key_order_rounding_mode_or_locale),
        cmocka_unit_test(each_grade_is_by_its_own_config_and_truth_however_often_they_come),
        cmocka_unit_test(memory_from_alloc_is_zeroed_though_an_earlier_call_used_it),
        cmocka_unit_test(bad_input_is_told_from_a_bug_of_the_plugin),
        cmocka_unit_test(numbers_are_written_digit_by_digit),
        cmocka_unit_test(nonsense_in_a_grade_is_a_bug),
        cmocka_unit_test(a_pointer_must_lead_to_a_value),
        cmocka_unit_test(only_utf8_passes_as_text),
        cmocka_unit_test(a_plugin_of_another_abi_or_name_is_objected_to),
        cmocka_unit_test(frames_are_taken_whole_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, open_host, close_host);
}
