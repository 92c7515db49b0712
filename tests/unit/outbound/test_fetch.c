/* Requests to a server on this machine that answers as it is told, and to addresses that are not to be asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "outbound/outbound.h"

/* One connection after another; the same words to each. */
static struct {
    int fd, port, connections;
    const char *says; /* NULL: nothing, until the client goes */
    char heard[65536];
    pthread_t thread;
} peer;

static struct loop *loop;
static struct thread_pool *pool;
static struct arena *arena;
static struct config config = {.fetch_ca = "", .smtp_url = "", .mail_from = ""};

static bool heard_all(size_t got)
{
    const char *end = strstr(peer.heard, "\r\n\r\n");
    const char *length = strcasestr(peer.heard, "Content-Length: ");
    return end && got >= (size_t)(end + 4 - peer.heard) + (length ? strtoul(length + 16, NULL, 10) : 0);
}

static void *answer(void *arg)
{
    int fd;
    while ((fd = accept(peer.fd, NULL, NULL)) >= 0) {
        size_t got = 0;
        ssize_t n;
        peer.connections++;
        memset(peer.heard, 0, sizeof(peer.heard));
        while (!heard_all(got) && (n = read(fd, peer.heard + got, sizeof(peer.heard) - 1 - got)) > 0)
            got += (size_t)n;
        if (peer.says)
            (void)!write(fd, peer.says, strlen(peer.says));
        else
            while (read(fd, peer.heard, 1) > 0)
                ;
        close(fd);
    }
    return arg;
}

static int start(void **state)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(here);
    (void)state;
    peer.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(peer.fd, (struct sockaddr *)&here, len), 0);
    assert_int_equal(listen(peer.fd, 8), 0);
    assert_int_equal(getsockname(peer.fd, (struct sockaddr *)&here, &len), 0);
    peer.port = ntohs(here.sin_port);
    /* Were they obeyed, every request would go to a port where nobody is. */
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("https_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    loop = loop_create();
    pool = thread_pool_create(2, 4, 0);
    arena = arena_create();
    outbound_init(&config, pool);
    pthread_create(&peer.thread, NULL, answer, NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    shutdown(peer.fd, SHUT_RDWR);
    pthread_join(peer.thread, NULL);
    close(peer.fd);
    arena = arena_destroy(arena);
    pool = thread_pool_destroy(pool);
    loop = loop_destroy(loop);
    return 0;
}

static struct {
    struct fetch_request request;
    struct fetch_reply reply;
    struct error err;
    int rc;
    bool done;
} asked;

static void fetch(void *arg)
{
    (void)arg;
    asked.rc = fetch_run(arena, &asked.request, &asked.reply, &asked.err);
    asked.done = true;
}

static void begin(struct fetch_request request)
{
    memset(&asked, 0, sizeof(asked));
    asked.request = request;
    fiber_spawn(fetch, NULL);
}

static int ask(struct fetch_request request)
{
    begin(request);
    while (!asked.done)
        loop_turn(loop, 100);
    return asked.rc;
}

static const char *url(const char *host, const char *path)
{
    return arena_printf(arena, "http://%s:%d%s", host, peer.port, path);
}

static struct fetch_request get(const char *where)
{
    return (struct fetch_request){.method = "GET", .url = where, .reply_max = 100, .timeout_ms = 20000};
}

static int get_here(const char *says)
{
    config.fetch_loopback = true;
    peer.says = says;
    return ask(get(url("127.0.0.1", "/x")));
}

#define REPLY(head, body) "HTTP/1.1 200 OK\r\nConnection: close\r\n" head "\r\n" body

static void a_reply_is_its_status_body_type_and_age_whatever_proxy_the_environment_names(void **state)
{
    (void)state;
    assert_int_equal(get_here(REPLY("Content-Type: application/json\r\nCache-Control: public, max-age=3600\r\n", "{}")), 0);
    assert_int_equal(asked.reply.status, 200);
    assert_true(text_is(asked.reply.body, "{}"));
    assert_true(text_is(asked.reply.content_type, "application/json"));
    assert_int_equal(asked.reply.max_age, 3600);
    assert_int_equal(get_here("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"), 0);
    assert_int_equal(asked.reply.status, 503);
    assert_int_equal(asked.reply.body.len, 0);
    assert_int_equal(asked.reply.max_age, -1);
}

static void the_age_is_what_cache_control_says_and_nothing_that_it_does_not(void **state)
{
    static const struct {
        const char *reply;
        int64_t age;
    } cases[] = {
        {REPLY("Cache-Control: no-store\r\n", ""), 0},         {REPLY("Cache-Control: max-age=0\r\n", ""), 0},
        {REPLY("cache-control: MAX-AGE=7, private\r\n", ""), 7}, {REPLY("Cache-Control: max-age=x\r\n", ""), -1},
        {REPLY("Cache-Control: s-maxage=9\r\n", ""), -1},      {REPLY("Cache-Control: max-age=99999999999\r\n", ""), -1},
        {REPLY("Cache-Control: max-age=-1\r\n", ""), -1},      {REPLY("Cache-Control:\r\n", ""), -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(get_here(cases[i].reply), 0);
        assert_int_equal(asked.reply.max_age, cases[i].age);
    }
}

static void a_body_and_headers_go_out_as_given(void **state)
{
    static const char *const headers[] = {"Content-Type: application/json", "X-Two: 2", NULL};
    (void)state;
    config.fetch_loopback = true;
    peer.says = REPLY("", "");
    struct fetch_request request = get(url("127.0.0.1", "/hook"));
    request.method = "POST";
    request.headers = headers;
    request.body = TEXT("{\"a\":1}");
    assert_int_equal(ask(request), 0);
    assert_true(strncmp(peer.heard, "POST /hook HTTP/1.1\r\n", 21) == 0);
    assert_non_null(strstr(peer.heard, "\r\nContent-Type: application/json\r\n"));
    assert_null(strstr(peer.heard, "urlencoded"));
    assert_non_null(strstr(peer.heard, "\r\nX-Two: 2\r\n"));
    assert_non_null(strstr(peer.heard, "\r\n\r\n{\"a\":1}"));
}

static void no_redirect_is_followed(void **state)
{
    (void)state;
    int before = peer.connections;
    assert_int_equal(get_here("HTTP/1.1 302 Go\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"), 0);
    assert_int_equal(asked.reply.status, 302);
    assert_int_equal(peer.connections, before + 1);
}

static void a_reply_that_is_too_large_is_an_error_and_one_that_just_fits_is_not(void **state)
{
    (void)state;
    char says[512];
    snprintf(says, sizeof(says), REPLY("", "%0100d"), 0);
    assert_int_equal(get_here(says), 0);
    assert_int_equal(asked.reply.body.len, 100);
    snprintf(says, sizeof(says), REPLY("", "%0101d"), 0);
    assert_int_equal(get_here(says), -1);
    assert_string_equal(asked.err.code, "fetch_failed");
    assert_non_null(strstr(asked.err.detail, "too large"));
}

static void a_reply_of_which_only_the_status_counts_may_be_of_any_size(void **state)
{
    (void)state;
    char says[512];
    snprintf(says, sizeof(says), REPLY("", "%0300d"), 0);
    config.fetch_loopback = true;
    peer.says = says;
    struct fetch_request request = get(url("127.0.0.1", "/x"));
    request.reply_cut = true;
    assert_int_equal(ask(request), 0);
    assert_int_equal(asked.reply.status, 200);
    assert_in_range(asked.reply.body.len, 0, 100);
}

static void how_long_to_wait_is_what_retry_after_says_in_seconds(void **state)
{
    (void)state;
    static const struct {
        const char *says;
        int64_t seconds;
    } cases[] = {{"HTTP/1.1 429 No\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n", 120},
                 {"HTTP/1.1 503 No\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\nContent-Length: 0\r\n\r\n", 0},
                 {"HTTP/1.1 503 No\r\nRetry-After: -1\r\nContent-Length: 0\r\n\r\n", 0},
                 {"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(get_here(cases[i].says), 0);
        assert_int_equal(asked.reply.retry_after, cases[i].seconds);
    }
}

static void an_address_is_judged_before_anybody_asks_there(void **state)
{
    (void)state;
    static const struct {
        const char *url, *code; /* NULL: good */
    } cases[] = {{"https://hooks.example.org/x?y=z", NULL}, {"https://8.8.8.8/", NULL}, {"https://[2606:4700::1]:8443/", NULL},
                 {"https://localhost/", NULL}, /* a name: seen when it is asked */
                 {"https://127.0.0.1/", "address_refused"}, {"https://0x7f.1/", "address_refused"},
                 {"https://2130706433/", "address_refused"}, {"https://[::ffff:127.0.0.1]/", "address_refused"},
                 {"https://[::1]/", "address_refused"}, {"https://169.254.169.254/", "address_refused"},
                 {"https://10.1.2.3:8080/", "address_refused"}, {"https://[64:ff9b::a00:1]/", "address_refused"},
                 {"http://hooks.example.org/", "url_invalid"}, {"http://127.0.0.1/", "url_invalid"},
                 {"https://u@hooks.example.org/", "url_invalid"}, {"ftp://hooks.example.org/", "url_invalid"},
                 {"https://hooks.exa\nmple.org/", "url_invalid"}, {"", "url_invalid"}};
    config.fetch_loopback = false;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error err = {0};
        int rc = fetch_url_check(cases[i].url, "/url", &err);
        if (rc != (cases[i].code ? -1 : 0) || strcmp(err.code, cases[i].code ? cases[i].code : "") != 0)
            fail_msg("%s: %s", cases[i].url, err.code);
        if (cases[i].code)
            assert_string_equal(err.field, "/url");
    }
    config.fetch_loopback = true;
    assert_int_equal(fetch_url_check("http://127.0.0.1:1/", "/url", NULL), 0);
    assert_int_equal(fetch_url_check("http://[::1]:1/", "/url", NULL), 0);
    assert_int_equal(fetch_url_check("https://10.0.0.1/", "/url", NULL), -1);
}

static void who_does_not_answer_is_given_up_in_time(void **state)
{
    (void)state;
    config.fetch_loopback = true;
    peer.says = NULL;
    struct fetch_request request = get(url("127.0.0.1", "/"));
    request.timeout_ms = 200;
    assert_int_equal(ask(request), -1);
    assert_int_equal(asked.err.kind, ERROR_UNAVAILABLE);
    assert_string_equal(asked.err.code, "fetch_failed");
}

static void what_is_no_request_is_refused_before_anything_is_sent(void **state)
{
    static const char *const two_lines[] = {"X-A: b\r\nX-C: d", NULL}, *const no_colon[] = {"X", NULL};
    static const char *const urls[] = {"ftp://example.org/", "file:///etc/passwd", "example.org", "",
                                       "https://user@example.org/", "https://user:word@example.org/", "gopher://127.0.0.1/",
                                       "smtp://127.0.0.1/", "https://exam\nple.org/", "//example.org/"};
    (void)state;
    config.fetch_loopback = true;
    int before = peer.connections;
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        assert_int_equal(ask(get(urls[i])), -1);
        assert_string_equal(asked.err.code, "fetch_invalid");
    }
    struct fetch_request request = get(url("127.0.0.1", "/"));
    request.headers = two_lines;
    assert_int_equal(ask(request), -1);
    request.headers = no_colon;
    assert_int_equal(ask(request), -1);
    request = get(url("127.0.0.1", "/"));
    request.method = "GET /other HTTP/1.1\r\nX:";
    assert_int_equal(ask(request), -1);
    assert_string_equal(asked.err.code, "fetch_invalid");
    config.fetch_loopback = false;
    request = get(url("127.0.0.1", "/"));
    request.public_only = true;
    assert_int_equal(ask(request), -1);
    assert_string_equal(asked.err.code, "fetch_invalid");
    assert_int_equal(peer.connections, before);
}

static void what_the_operator_named_may_be_on_this_machine(void **state)
{
    (void)state;
    config.fetch_loopback = false;
    peer.says = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    assert_int_equal(ask(get(url("127.0.0.1", "/"))), 0);
    assert_int_equal(asked.reply.status, 200);
}

static void this_machine_is_not_asked_for_strangers_by_whatever_name(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "0.0.0.0",
                                        "[::1]", "[::ffff:127.0.0.1]", "[::]", "10.0.0.1", "169.254.169.254", "192.168.0.1"};
    (void)state;
    config.fetch_loopback = false;
    int before = peer.connections;
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        struct fetch_request request = get(arena_printf(arena, "https://%s:%d/", hosts[i], peer.port));
        request.public_only = true;
        assert_int_equal(ask(request), -1);
        if (strcmp(asked.err.code, "address_refused") != 0)
            fail_msg("%s: %s %s", hosts[i], asked.err.code, asked.err.detail);
        assert_int_equal(asked.err.kind, ERROR_UNPROCESSABLE);
    }
    assert_int_equal(peer.connections, before);
}

static void plain_http_goes_to_this_machine_only_even_when_that_is_allowed(void **state)
{
    (void)state;
    config.fetch_loopback = true;
    assert_int_equal(ask(get("http://192.0.2.1/")), -1);
    assert_string_equal(asked.err.code, "address_refused");
    struct fetch_request request = get(url("localhost", "/"));
    request.public_only = true;
    peer.says = REPLY("", "here");
    assert_int_equal(ask(request), 0);
    assert_true(text_is(asked.reply.body, "here"));
}

static void what_does_not_end_is_broken_off_when_the_server_stops(void **state)
{
    (void)state;
    config.fetch_loopback = true;
    peer.says = NULL;
    struct fetch_request request = get(url("127.0.0.1", "/"));
    request.timeout_ms = 120000;
    uint64_t started = clock_monotonic_ns();
    begin(request);
    outbound_stop();
    assert_true(asked.done);
    assert_int_equal(asked.rc, -1);
    assert_string_equal(asked.err.code, "stopping");
    assert_true(clock_monotonic_ns() - started < 60ull * 1000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_is_its_status_body_type_and_age_whatever_proxy_the_environment_names),
        cmocka_unit_test(the_age_is_what_cache_control_says_and_nothing_that_it_does_not),
        cmocka_unit_test(a_body_and_headers_go_out_as_given),
        cmocka_unit_test(no_redirect_is_followed),
        cmocka_unit_test(a_reply_that_is_too_large_is_an_error_and_one_that_just_fits_is_not),
        cmocka_unit_test(a_reply_of_which_only_the_status_counts_may_be_of_any_size),
        cmocka_unit_test(how_long_to_wait_is_what_retry_after_says_in_seconds),
        cmocka_unit_test(an_address_is_judged_before_anybody_asks_there),
        cmocka_unit_test(who_does_not_answer_is_given_up_in_time),
        cmocka_unit_test(what_is_no_request_is_refused_before_anything_is_sent),
        cmocka_unit_test(what_the_operator_named_may_be_on_this_machine),
        cmocka_unit_test(this_machine_is_not_asked_for_strangers_by_whatever_name),
        cmocka_unit_test(plain_http_goes_to_this_machine_only_even_when_that_is_allowed),
        cmocka_unit_test(what_does_not_end_is_broken_off_when_the_server_stops),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
