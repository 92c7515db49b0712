#include "testing.h"

#include <jansson.h>
#include <limits.h>
#include <pthread.h>
#include <sys/socket.h>

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

/* --- Buffered ------------------------------------------------------------------------------------------ */

static void log_number(enum log_level level, int n, const char *more)
{
    char number[16];
    snprintf(number, sizeof(number), "%d", n);
    log_line(level, "counted", "#n", number, "more", more, NULL);
}

/* What has been written so far. */
static off_t written(const struct capture *capture)
{
    return lseek(capture->into, 0, SEEK_END);
}

/* Asserts that every line is whole and that their numbers are those from `from`, each once; returns the next.
 */
static int assert_counted(const char *said, int from)
{
    while (*said) {
        const char *end = strchr(said, '\n');
        assert_non_null(end);
        json_t *line = json_loadb(said, (size_t)(end - said), 0, NULL);
        assert_non_null(line);
        assert_int_equal(json_integer_value(json_object_get(line, "n")), from++);
        json_decref(line);
        said = end + 1;
    }
    return from;
}

static void buffered_lines_are_written_when_flushed(void **state)
{
    (void)state;
    struct capture capture;
    capture_start(&capture, STDERR_FILENO);
    log_buffer(true);
    log_number(LOG_LEVEL_INFO, 0, "");
    log_number(LOG_LEVEL_INFO, 1, "");
    off_t before = written(&capture);
    log_flush();
    off_t after = written(&capture);
    log_flush();
    off_t again = written(&capture);
    log_number(LOG_LEVEL_INFO, 2, "");
    log_buffer(false);
    log_number(LOG_LEVEL_INFO, 3, "");
    const char *said = capture_end(&capture);
    assert_int_equal(before, 0);
    assert_true(after > 0);
    assert_int_equal(again, after);
    assert_int_equal(assert_counted(said, 0), 4);
}

static void a_warning_is_written_at_once_behind_what_came_before_it(void **state)
{
    (void)state;
    struct capture capture;
    capture_start(&capture, STDERR_FILENO);
    log_buffer(true);
    log_number(LOG_LEVEL_INFO, 0, "");
    log_number(LOG_LEVEL_WARNING, 1, "");
    log_number(LOG_LEVEL_INFO, 2, "");
    log_number(LOG_LEVEL_ERROR, 3, "");
    log_number(LOG_LEVEL_INFO, 4, "");
    const char *said = capture_end(&capture); /* the last one is still held back */
    assert_int_equal(assert_counted(said, 0), 4);
    capture_start(&capture, STDERR_FILENO);
    log_buffer(false);
    assert_int_equal(assert_counted(capture_end(&capture), 4), 5);
}

/* Each write to the socket is one packet. */
static void no_buffered_line_is_lost_reordered_or_torn(void **state)
{
    (void)state;
    static char bytes[LINE_MAX * 8], big[3000];
    int ends[2], saved = dup(STDERR_FILENO), next = 0, packets = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    memset(big, '\x01', 1000); /* six bytes each when escaped: longer than the buffer */
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    log_buffer(true);
    for (int i = 0; i < 150; i++)
        log_number(LOG_LEVEL_INFO, i,
                   i % 50 == 25 ? big
                   : i % 7      ? ""
                                : "somewhat longer than the others are");
    log_buffer(false);
    dup2(saved, STDERR_FILENO);
    close(saved);
    for (ssize_t n; (n = read(ends[0], bytes, sizeof(bytes) - 1)) > 0; packets++) {
        bytes[n] = '\0';
        assert_true(n <= PIPE_BUF || strchr(bytes, '\n') == bytes + n - 1);
        next = assert_counted(bytes, next);
    }
    close(ends[0]);
    assert_int_equal(next, 150);
    assert_true(packets < 15);
}

static void *log_elsewhere(void *arg)
{
    (void)arg;
    log_number(LOG_LEVEL_INFO, 0, "");
    return NULL;
}

static void one_threads_buffer_does_not_hold_back_another_thread(void **state)
{
    (void)state;
    struct capture capture;
    pthread_t thread;
    capture_start(&capture, STDERR_FILENO);
    log_buffer(true);
    log_number(LOG_LEVEL_INFO, 1, "");
    assert_int_equal(pthread_create(&thread, NULL, log_elsewhere, NULL), 0);
    pthread_join(thread, NULL);
    log_buffer(false);
    assert_int_equal(assert_counted(capture_end(&capture), 0), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_one_json_object_with_its_fields),
        cmocka_unit_test(no_value_can_forge_a_line_or_a_field),
        cmocka_unit_test(the_request_id_is_added_while_it_is_set),
        cmocka_unit_test(lines_below_the_level_are_not_written),
        cmocka_unit_test(a_line_is_bounded_and_says_that_it_was_cut),
        cmocka_unit_test(buffered_lines_are_written_when_flushed),
        cmocka_unit_test(a_warning_is_written_at_once_behind_what_came_before_it),
        cmocka_unit_test(no_buffered_line_is_lost_reordered_or_torn),
        cmocka_unit_test(one_threads_buffer_does_not_hold_back_another_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
