#include "testing.h"

#include <jansson.h>

#include "base/log.h"

static json_t *only_line(const char *said)
{
    const char *newline = strchr(said, '\n');
    assert_non_null(newline);
    assert_string_equal(newline, "\n");
    json_t *line = json_loads(said, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    assert_non_null(line);
    return line;
}

static void assert_member(const json_t *line, const char *name, const char *want)
{
    const char *value = json_string_value(json_object_get(line, name));
    assert_non_null(value);
    assert_string_equal(value, want);
}

static void a_line_is_one_json_object_with_its_fields(void **state)
{
    (void)state;
    struct capture capture;
    capture_start(&capture, STDERR_FILENO);
    log_line(LOG_LEVEL_WARNING, "migrated", "file", "0001.sql", "#ms", "12", "#done", "true", "none", NULL,
             NULL);
    json_t *line = only_line(capture_end(&capture));
    assert_member(line, "level", "warning");
    assert_member(line, "event", "migrated");
    assert_member(line, "file", "0001.sql");
    assert_int_equal(json_integer_value(json_object_get(line, "ms")), 12);
    assert_true(json_is_true(json_object_get(line, "done")));
    assert_true(json_is_null(json_object_get(line, "none")));
    const char *ts = json_string_value(json_object_get(line, "ts"));
    assert_int_equal(strlen(ts), 24);
    assert_int_equal(ts[23], 'Z');
    assert_null(json_object_get(line, "request_id"));
    json_decref(line);
}

static void no_value_can_forge_a_line_or_a_field(void **state)
{
    (void)state;
    struct capture capture;
    capture_start(&capture, STDERR_FILENO);
    log_line(LOG_LEVEL_ERROR, "e", "a", "x\"}\n{\"event\":\"forged\"}\n", "#b", "1,\"event\":\"forged\"",
             NULL);
    json_t *line = only_line(capture_end(&capture));
    assert_member(line, "event", "e");
    assert_member(line, "a", "x\"}\n{\"event\":\"forged\"}\n");
    assert_member(line, "b", "1,\"event\":\"forged\"");
    json_decref(line);
}

static void the_request_id_is_added_while_it_is_set(void **state)
{
    (void)state;
    struct capture capture;
    log_context("req-1");
    capture_start(&capture, STDERR_FILENO);
    log_line(LOG_LEVEL_INFO, "e", NULL);
    json_t *line = only_line(capture_end(&capture));
    log_context(NULL);
    assert_member(line, "request_id", "req-1");
    json_decref(line);
}

static void lines_below_the_level_are_not_written(void **state)
{
    (void)state;
    struct capture capture;
    capture_start(&capture, STDERR_FILENO);
    log_line(LOG_LEVEL_DEBUG, "quiet", NULL);
    log_set_level(LOG_LEVEL_ERROR);
    log_line(LOG_LEVEL_WARNING, "quiet", NULL);
    log_set_level(LOG_LEVEL_INFO);
    assert_string_equal(capture_end(&capture), "");
}

static void a_line_is_bounded_and_says_that_it_was_cut(void **state)
{
    (void)state;
    char big[5000];
    memset(big, '\x01', sizeof(big) - 1); /* six bytes each when escaped */
    big[sizeof(big) - 1] = '\0';
    struct capture capture;
    capture_start(&capture, STDERR_FILENO);
    log_line(LOG_LEVEL_INFO, "big", "kept", "yes", "big", big, "lost", "yes", NULL);
    const char *said = capture_end(&capture);
    assert_true(strlen(said) <= 8192);
    json_t *line = only_line(said);
    assert_member(line, "kept", "yes");
    assert_null(json_object_get(line, "lost"));
    assert_true(json_is_true(json_object_get(line, "truncated")));
    json_decref(line);

    memset(big, 'x', sizeof(big) - 1);
    capture_start(&capture, STDERR_FILENO);
    log_line(LOG_LEVEL_INFO, "big", "big", big, "kept", "yes", NULL);
    line = only_line(capture_end(&capture));
    assert_int_equal(json_string_length(json_object_get(line, "big")), 2048);
    assert_member(line, "kept", "yes");
    json_decref(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_one_json_object_with_its_fields),
        cmocka_unit_test(no_value_can_forge_a_line_or_a_field),
        cmocka_unit_test(the_request_id_is_added_while_it_is_set),
        cmocka_unit_test(lines_below_the_level_are_not_written),
        cmocka_unit_test(a_line_is_bounded_and_says_that_it_was_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
