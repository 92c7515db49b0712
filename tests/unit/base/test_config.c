#include "testing.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "base/config.h"

static char dir[] = "/tmp/overread-config-XXXXXX";
static char file[64];

static int make_dir(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(file, sizeof(file), "%s/overread.ini", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    unlink(file);
    return rmdir(dir);
}

static int load(const char *ini, struct config *ret, struct error *err)
{
    FILE *f = fopen(file, "we");
    assert_non_null(f);
    fputs(ini, f);
    assert_int_equal(fclose(f), 0);
    return config_load(file, ret, err);
}

static void assert_fails(const char *ini, const char *field, const char *words)
{
    struct config config = {.threads = 77};
    struct error err = {0};
    assert_int_equal(load(ini, &config, &err), -1);
    assert_int_equal(config.threads, 77);
    assert_int_equal(err.kind, ERROR_INVALID);
    assert_string_equal(err.field, field);
    if (!strstr(err.detail, words))
        fail_msg("\"%s\" is not in \"%s\"", words, err.detail);
}

static void without_a_file_there_are_the_defaults(void **state)
{
    (void)state;
    struct config config;
    struct error err = {0};
    assert_int_equal(config_load(NULL, &config, &err), 0);
    assert_string_equal(config.database, "");
    assert_string_equal(config.listen, "127.0.0.1:8080");
    assert_string_equal(config.state_dir, "var");
    assert_string_equal(config.tls_key, "");
    assert_string_equal(config.log_level, "info");
    assert_false(config.http2);
    assert_true(config.cookie_secure);
    assert_int_equal(config.threads, 0);
    assert_int_equal(config.connections_max, 2304);
    assert_int_equal(config.database_read_connections, 2);
    assert_int_equal(config.database_write_connections, 4);
    assert_int_equal(config.database_queue, 1024);
    assert_int_equal(config.grader_workers, 1);
    assert_int_equal(config.body_limit, 1048576);
    assert_int_equal(config.request_timeout_ms, 10000);
    assert_int_equal(config.stop_timeout_ms, 20000);
}

static void the_parts_of_the_program_are_found_from_its_own_place(void **state)
{
    (void)state;
    char self[4096] = "";
    assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
    *strrchr(self, '/') = '\0';
    struct config config;
    assert_int_equal(config_load(NULL, &config, NULL), 0);
    assert_int_equal(strncmp(config.grader, self, strlen(self)), 0);
    assert_string_equal(strrchr(config.grader, '/'), "/overread-grader");
    assert_int_equal(strncmp(config.plugin_dir, self, strlen(self)), 0);
    assert_string_equal(strrchr(config.plugin_dir, '/'), "/plugins");
}

static void the_file_sets_values_and_its_paths_are_relative_to_it(void **state)
{
    (void)state;
    struct config config;
    struct error err = {0};
    assert_int_equal(
        load("; comment\n# comment\n[overread]\n"
             "listen = unix:/run/o.sock\nthreads=3\nhttp2 = yes\ncookie_secure = off\n"
             "state_dir = state\nplugin_dir = /opt/plugins\ntls_certificate = c.pem\ntls_key = k.pem\n"
             "public_url = https://reads.example.org\nlog_level = debug\n",
             &config, &err),
        0);
    char path[128];
    assert_string_equal(config.listen, "unix:/run/o.sock");
    assert_int_equal(config.threads, 3);
    assert_true(config.http2);
    assert_false(config.cookie_secure);
    snprintf(path, sizeof(path), "%s/state", dir);
    assert_string_equal(config.state_dir, path);
    snprintf(path, sizeof(path), "%s/k.pem", dir);
    assert_string_equal(config.tls_key, path);
    assert_string_equal(config.plugin_dir, "/opt/plugins");
    assert_string_equal(config.log_level, "debug");
}

static void a_long_value_is_carried_on_in_the_next_line(void **state)
{
    (void)state;
    struct config config;
    assert_int_equal(
        load("database = host=/run/postgresql\n    user=overread_app\n\tdbname=overread\n", &config, NULL),
        0);
    assert_string_equal(config.database, "host=/run/postgresql user=overread_app dbname=overread");
}

static void origins_are_listed_to_the_byte(void **state)
{
    (void)state;
    struct config config = {0};
    assert_false(config_lists_origin(&config, TEXT("")));
    assert_int_equal(load("cors_origins = https://a.example.org, https://b.example.org:8443\n"
                          "  http://localhost:5173\n",
                          &config, NULL),
                     0);
    assert_true(config_lists_origin(&config, TEXT("https://a.example.org")));
    assert_true(config_lists_origin(&config, TEXT("https://b.example.org:8443")));
    assert_true(config_lists_origin(&config, TEXT("http://localhost:5173")));
    assert_false(config_lists_origin(&config, TEXT("https://a.example.org.evil.example")));
    assert_false(config_lists_origin(&config, TEXT("https://a.example")));
    assert_false(config_lists_origin(&config, TEXT("http://a.example.org")));
    assert_false(config_lists_origin(&config, TEXT("null")));
    assert_false(config_lists_origin(&config, TEXT("")));
    static const char *const bad[] = {"*",          "null",           "https://a.example.org/", "https://*.example.org",
                                      "https://",   "https://:1",     "https://A.example.org",  "http://a.example.org",
                                      "a.example.org", "http://localhost.evil.example"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char ini[128];
        snprintf(ini, sizeof(ini), "cors_origins = https://good.example.org %s\n", bad[i]);
        assert_fails(ini, "cors_origins", "must be origins");
    }
}

static void the_environment_overrides_the_file(void **state)
{
    (void)state;
    struct config config;
    struct error err = {0};
    setenv("OVERREAD_THREADS", "5", 1);
    setenv("OVERREAD_STATE_DIR", "elsewhere", 1);
    assert_int_equal(load("threads = 3\nstate_dir = state\n", &config, &err), 0);
    assert_int_equal(config.threads, 5);
    assert_string_equal(config.state_dir, "elsewhere");
    setenv("OVERREAD_THREADS", "many", 1);
    assert_fails("threads = 3\n", "threads", "OVERREAD_THREADS must be a whole number from 0 to 256");
    unsetenv("OVERREAD_THREADS");
    unsetenv("OVERREAD_STATE_DIR");
}

static void mistakes_are_named_with_their_line(void **state)
{
    (void)state;
    assert_fails("threads = 1\n\nthraeds = 2\n", "thraeds",
                 "/overread.ini, line 3: there is no such key: thraeds");
    assert_fails("threads = 1\nthreads = 2\n", "threads", "line 2: this key was given before");
    assert_fails("[other]\nthreads = 1\n", "", "line 2: there is no such section: other");
    assert_fails("threads = 1\nhttp2\n", "", "line 2: neither");
    assert_fails("http2\nthraeds = 1\n", "", "line 1: neither");
    assert_fails("; x\nthreads = 257\n", "threads", "line 2: threads must be a whole number from 0 to 256");
    assert_fails("body_limit = 1e6\n", "body_limit", "line 1: body_limit must be");
    assert_fails("http2 = maybe\n", "http2", "line 1: http2 must be on or off");
    assert_fails("log_level = loud\n", "log_level", "must be debug, info, warning or error");
    assert_fails("tls_key = k.pem\n", "tls_certificate", "together");
    assert_fails("tls_certificate = c.pem\n", "tls_key", "together");
    assert_fails("public_url = https://example.org/\n", "public_url", "without a path");
    assert_fails("public_url = example.org\n", "public_url", "origin");
}

static void a_line_that_libinih_would_cut_in_two_is_refused(void **state)
{
    (void)state;
    char ini[1000] = "threads = 1\ndatabase = host=";
    memset(ini + strlen(ini), 'x', 500);
    assert_fails(ini, "", "line 2: is too long");
}

static void a_file_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    struct config config;
    struct error err = {0};
    assert_int_equal(config_load("/nonexistent/overread.ini", &config, &err), -1);
    assert_string_equal(err.code, "config_unreadable");
    assert_non_null(strstr(err.detail, "/nonexistent/overread.ini: No such file"));
}

static void assert_printed(const char *database, const char *want)
{
    struct config config;
    setenv("OVERREAD_DATABASE", database, 1);
    assert_int_equal(config_load(NULL, &config, NULL), 0);
    unsetenv("OVERREAD_DATABASE");
    struct capture capture;
    capture_start(&capture, STDOUT_FILENO);
    config_print(&config);
    const char *said = capture_end(&capture);
    char line[256];
    snprintf(line, sizeof(line), "\ndatabase = %s\n", want);
    if (!strstr(said, line))
        fail_msg("%s is not in %s", line, said);
}

static void passwords_are_masked_in_print(void **state)
{
    (void)state;
    assert_printed("host=h password=secret user=u", "host=h password=*** user=u");
    assert_printed("password = 'it\\'s a secret' user=u", "password = *** user=u");
    assert_printed("password=se\\ cret sslpassword=x", "password=*** sslpassword=***");
    assert_printed("user=u", "user=u");
    assert_printed("postgresql://u:se@cret@h:5432/db?a=b", "postgresql://u:***@h:5432/db?a=b");
    assert_printed("postgres://u@h/db?password=x&a=b&sslpassword=y",
                   "postgres://u@h/db?password=***&a=b&sslpassword=***");
    assert_printed("postgres://h/db", "postgres://h/db");
}

static void what_is_printed_can_be_loaded(void **state)
{
    (void)state;
    struct config config, again;
    struct error err = {0};
    assert_int_equal(load("threads = 9\nhttp2 = on\nstate_dir = /srv/state\n", &config, &err), 0);
    struct capture capture;
    capture_start(&capture, STDOUT_FILENO);
    config_print(&config);
    assert_int_equal(load(capture_end(&capture), &again, &err), 0);
    assert_int_equal(again.threads, 9);
    assert_true(again.http2);
    assert_string_equal(again.state_dir, "/srv/state");
    assert_string_equal(again.grader, config.grader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_file_there_are_the_defaults),
        cmocka_unit_test(the_parts_of_the_program_are_found_from_its_own_place),
        cmocka_unit_test(the_file_sets_values_and_its_paths_are_relative_to_it),
        cmocka_unit_test(a_long_value_is_carried_on_in_the_next_line),
        cmocka_unit_test(origins_are_listed_to_the_byte),
        cmocka_unit_test(the_environment_overrides_the_file),
        cmocka_unit_test(mistakes_are_named_with_their_line),
        cmocka_unit_test(a_line_that_libinih_would_cut_in_two_is_refused),
        cmocka_unit_test(a_file_that_is_not_there_is_an_error),
        cmocka_unit_test(passwords_are_masked_in_print),
        cmocka_unit_test(what_is_printed_can_be_loaded),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
