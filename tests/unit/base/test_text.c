#include "testing.h"

#include <errno.h>
#include <locale.h>

#include "base/text.h"

static void texts_compare_by_bytes_and_length(void **state)
{
    (void)state;
    assert_true(text_is(TEXT("abc"), "abc"));
    assert_false(text_is(TEXT("abc"), "ab"));
    assert_false(text_is(TEXT("ab\0c"), "ab"));
    assert_true(text_equal(text_of(NULL), text_of("")));
    assert_true(text_starts(TEXT("Bearer x"), "Bearer "));
    assert_false(text_starts(TEXT("Bear"), "Bearer "));
}

static void whole_decimal_integers_within_bounds_are_taken(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"0", 0},
                {"007", 7},
                {"-1", -1},
                {"9223372036854775807", INT64_MAX},
                {"-9223372036854775808", INT64_MIN}};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        int64_t value = 42;
        assert_int_equal(text_to_int64(text_of(good[i].text), INT64_MIN, INT64_MAX, &value), 0);
        assert_true(value == good[i].value);
    }
}

static void other_integers_are_refused_and_the_result_left_alone(void **state)
{
    (void)state;
    int64_t value = 42;
    static const char *const bad[] = {"",    "-",   "+1",  " 1",  "1 ",
                                      "1.0", "0x1", "1e3", "--1", "9223372036854775808x"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(text_to_int64(text_of(bad[i]), INT64_MIN, INT64_MAX, &value), -EINVAL);
    static const char *const far[] = {"9223372036854775808", "-9223372036854775809",
                                      "99999999999999999999999"};
    for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++)
        assert_int_equal(text_to_int64(text_of(far[i]), INT64_MIN, INT64_MAX, &value), -ERANGE);
    assert_int_equal(text_to_int64(TEXT("11"), 0, 10, &value), -ERANGE);
    assert_int_equal(text_to_int64(TEXT("-1"), 0, 10, &value), -ERANGE);
    assert_int_equal(text_to_int64((struct text){"12", 1}, 0, 10, &value), 0);
    assert_true(value == 1);
}

static void doubles_follow_the_grammar_of_json_in_any_locale(void **state)
{
    (void)state;
    setlocale(LC_ALL, "de_DE.UTF-8"); /* a decimal comma, where the system has it */
    double value = 0;
    assert_int_equal(text_to_double(TEXT("-12.5e-1"), &value), 0);
    assert_true(value == -1.25);
    assert_int_equal(text_to_double(TEXT("0"), &value), 0);
    assert_true(value == 0);
    value = 42;
    static const char *const bad[] = {"",    "-",   ".5", "1.", "01",  "+1",    "1e",     "1e+",  "nan",
                                      "inf", "0x1", "1 ", " 1", "1,5", "1e999", "-1e999", "1.5.2"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(text_to_double(text_of(bad[i]), &value), -EINVAL);
    char many[600];
    memset(many, '1', sizeof(many));
    assert_int_equal(text_to_double((struct text){many, sizeof(many)}, &value), -EINVAL);
    assert_true(value == 42);
    setlocale(LC_ALL, "C");
}

static void a_buffer_grows_up_to_its_maximum_and_no_further(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 1000);
    for (int i = 0; i < 100; i++)
        buffer_add(&b, "0123456789", 10);
    assert_false(b.failed);
    assert_int_equal(b.len, 1000);
    assert_int_equal(strlen(b.p), 1000);
    buffer_puts(&b, "x");
    assert_true(b.failed);
    assert_int_equal(b.len, 1000);
    buffer_clear(&b);
    assert_false(b.failed);
    assert_string_equal(b.p, "");
    buffer_puts(&b, "again");
    assert_string_equal(b.p, "again");
    buffer_finish(&b);
    assert_null(b.p);
}

static void a_failed_buffer_takes_nothing_more(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 4);
    buffer_puts(&b, "12345");
    buffer_puts(&b, "1");
    assert_true(b.failed);
    assert_int_equal(b.len, 0);
    buffer_finish(&b);
}

static void printing_into_a_buffer_never_exceeds_it(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 300);
    buffer_printf(&b, "%s-%d", "a", 5);
    assert_string_equal(b.p, "a-5");
    buffer_printf(&b, "%0297d", 1);
    assert_false(b.failed);
    assert_int_equal(b.len, 300);
    buffer_clear(&b);
    buffer_printf(&b, "%0301d", 1);
    assert_true(b.failed);
    assert_int_equal(b.len, 0);
    buffer_finish(&b);
}

static void assert_quoted(struct text t, const char *want)
{
    struct buffer b;
    buffer_init(&b, 1000);
    buffer_json_string(&b, t);
    assert_false(b.failed);
    assert_string_equal(b.p, want);
    buffer_finish(&b);
}

/* At every place of a text longer than a word of the machine, each byte there is. */
static void a_plain_run_ends_at_each_byte_that_is_not_plain(void **state)
{
    char text[21];
    (void)state;
    for (size_t len = 0; len <= sizeof(text); len++) {
        for (size_t at = 0; at < len; at++) {
            for (int c = 0; c < 256; c++) {
                bool plain = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
                memset(text, at % 2 ? '~' : ' ', len);
                text[at] = (char)c;
                assert_int_equal(text_plain(text, len), plain ? len : at);
            }
        }
        memset(text, 'x', len);
        assert_int_equal(text_plain(text, len), len);
    }
}

static void json_strings_escape_what_must_be(void **state)
{
    (void)state;
    assert_quoted(TEXT(""), "\"\"");
    assert_quoted(TEXT("a\"\\/\b\f\n\r\t\x01\x1f z"), "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f z\"");
    assert_quoted(TEXT("nul\0nul"), "\"nul\\u0000nul\"");
    assert_quoted(TEXT("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\xa9\xbb"),
                  "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\xa9\xbb\"");
}

static void bytes_that_are_not_utf8_become_the_replacement_character(void **state)
{
    (void)state;
#define FFFD "\xef\xbf\xbd"
    assert_quoted(TEXT("a\xff z"), "\"a" FFFD " z\"");
    assert_quoted(TEXT("\xc0\xaf"), "\"" FFFD FFFD "\"");                   /* overlong */
    assert_quoted(TEXT("\xe0\x80\x80"), "\"" FFFD FFFD FFFD "\"");          /* overlong */
    assert_quoted(TEXT("\xed\xa0\x80"), "\"" FFFD FFFD FFFD "\"");          /* surrogate */
    assert_quoted(TEXT("\xf4\x90\x80\x80"), "\"" FFFD FFFD FFFD FFFD "\""); /* beyond U+10FFFF */
    assert_quoted(TEXT("\xe2\x82"), "\"" FFFD FFFD "\"");                   /* cut short */
    assert_quoted((struct text){"\xe2\x82\xac", 2}, "\"" FFFD FFFD "\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_compare_by_bytes_and_length),
        cmocka_unit_test(whole_decimal_integers_within_bounds_are_taken),
        cmocka_unit_test(other_integers_are_refused_and_the_result_left_alone),
        cmocka_unit_test(doubles_follow_the_grammar_of_json_in_any_locale),
        cmocka_unit_test(a_buffer_grows_up_to_its_maximum_and_no_further),
        cmocka_unit_test(a_failed_buffer_takes_nothing_more),
        cmocka_unit_test(printing_into_a_buffer_never_exceeds_it),
        cmocka_unit_test(a_plain_run_ends_at_each_byte_that_is_not_plain),
        cmocka_unit_test(json_strings_escape_what_must_be),
        cmocka_unit_test(bytes_that_are_not_utf8_become_the_replacement_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
