/* What a client sees of requests and replies, over raw sockets. */
#include "fixture.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include "base/crypto.h"

static struct fixture server;
static char file_path[] = "/tmp/overread-http-XXXXXX";
static char file_bytes[300001];
static char late_path[] = "/tmp/overread-http-late-XXXXXX"; /* comes and goes */

/* --- Handlers ------------------------------------------------------------------------------------------ */

static void fiber_fn show(struct http_request *req)
{
    struct arena *arena = http_arena(req);
    struct text q = TEXT("-"), cookie = TEXT("-");
    struct error err = {0};

    if (http_query_only(req, &err, "q", "r", NULL) < 0) {
        http_reply_error(req, &err);
        return;
    }
    http_query(req, "q", &q);
    http_cookie(req, "s", &cookie);
    http_reply(
        req, 200, "text/plain",
        text_of(arena_printf(arena, "id=%s q=%s cookie=%.*s peer=%.*s", http_path_param(req, "id").p, q.p,
                             (int)cookie.len, cookie.p, (int)http_peer(req).len, http_peer(req).p)));
}

static void fiber_fn echo(struct http_request *req)
{
    struct error err = {0};
    json_t *json;

    if (http_body_json(req, &json, &err) < 0)
        http_reply_error(req, &err);
    else
        http_reply_json(req, 200, json_render(http_arena(req), json));
}

static void fiber_fn tagged(struct http_request *req)
{
    http_reply_json_etag(req, TEXT("{\"a\":1}"));
}

static void fiber_fn silent(struct http_request *req)
{
    (void)req;
}

static void fiber_fn secret_failure(struct http_request *req)
{
    struct error err = {0};
    error_set(&err, ERROR_INTERNAL, "disk_on_fire", NULL, "password=hunter2");
    http_reply_error(req, &err);
}

static void fiber_fn busy(struct http_request *req)
{
    struct error err = {0};
    error_set(&err, ERROR_UNAVAILABLE, "queue_full", "/lane", "The queue is full.");
    err.retry_after = 7;
    http_reply_error(req, &err);
}

static void fiber_fn split(struct http_request *req)
{
    http_header_add(req, "x-bad", "a\r\nset-cookie: b=1");
    http_header_add(req, "cache-control", "public, max-age=5");
    http_reply_json(req, 200, TEXT("{}"));
    http_reply_json(req, 201, TEXT("{}"));
}

static void fiber_fn page(struct http_request *req)
{
    if (http_path_param(req, "which").p[0] == 'o')
        http_header_add(req, "content-security-policy", "default-src 'self' https://example.org");
    http_reply(req, 200, "text/html; charset=utf-8", TEXT("<!doctype html><title>a</title>"));
}

static void fiber_fn elsewhere(struct http_request *req)
{
    http_reply_redirect(req, 303, "https://example.org/a?b=c%20d");
}

static void fiber_fn form(struct http_request *req)
{
    struct text a = TEXT("-"), b = TEXT("-");
    struct error err = {0};

    assert_false(http_form(req, "a", &a));
    if (http_body_form(req, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    http_form(req, "a", &a);
    http_form(req, "b", &b);
    http_reply(req, 200, "text/plain", text_of(arena_printf(http_arena(req), "a=%s b=%s", a.p, b.p)));
}

static void fiber_fn sleepy(struct http_request *req)
{
    loop_sleep(loop_here(), 20);
    http_reply_json(req, 200, TEXT("{\"slept\":true}"));
}

static void fiber_fn file(struct http_request *req)
{
    char which = http_path_param(req, "which").p[0];
    const char *path = which == 'a'   ? file_path
                       : which == 'd' ? "/tmp"
                       : which == 'l' ? late_path
                                      : "/tmp/overread-there-is-none";
    http_reply_file(req, path, "application/dicom", "cafe");
}

static const struct http_route ROUTES[] = {
    {"GET", "/show/{id}", NULL, 0, show},    {"POST", "/echo", NULL, 100, echo},
    {"POST", "/large", NULL, 200000, echo},  {"GET", "/tagged", NULL, 0, tagged},
    {"GET", "/silent", NULL, 0, silent},     {"GET", "/fails", NULL, 0, secret_failure},
    {"GET", "/busy", NULL, 0, busy},         {"GET", "/split", NULL, 0, split},
    {"GET", "/sleepy", NULL, 0, sleepy},     {"GET", "/files/{which}", NULL, 0, file},
    {"GET", "/pages/{which}", NULL, 0, page}, {"GET", "/elsewhere", NULL, 0, elsewhere},
    {"POST", "/form", NULL, 2000, form},
    {"DELETE", "/show/{id}", NULL, 0, show}, {NULL, NULL, NULL, 0, NULL},
};

static int start(void **state)
{
    if (fixture_log_begin(state) < 0 || fixture_file(file_path, file_bytes, sizeof(file_bytes)) < 0)
        return -1;
    fixture_init(&server, ROUTES);
    fixture_start(&server);
    return 0;
}

static int stop(void **state)
{
    fixture_stop(&server);
    unlink(file_path);
    return fixture_log_end(state);
}

static void assert_problem(const struct reply *reply, int status, const char *code)
{
    json_t *json = json_loads(reply->body, JSON_REJECT_DUPLICATES, NULL);

    assert_int_equal(reply->status, status);
    assert_string_equal(reply_field(reply, "content-type"), "application/problem+json");
    assert_non_null(json);
    assert_int_equal(json_integer_value(json_object_get(json, "status")), status);
    assert_string_equal(json_string_value(json_object_get(json, "code")), code);
    assert_string_equal(json_string_value(json_object_get(json, "type")), "about:blank");
    assert_true(json_string_length(json_object_get(json, "title")) > 0);
    assert_string_equal(json_string_value(json_object_get(json, "request_id")),
                        reply_field(reply, "x-request-id"));
    json_decref(json);
}

/* --- Routing ------------------------------------------------------------------------------------------- */

static void a_handler_reads_path_query_cookie_and_peer(void **state)
{
    (void)state;
    struct reply reply = client_ask(
        &server,
        "GET /show/a%20b?q=1+2%26 HTTP/1.1\r\nCookie: x=1; s=tok\r\nX-Forwarded-For: 9.9.9.9, 192.0.2.7\r\n");
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "id=a b q=1 2& cookie=tok peer=192.0.2.7");
    reply = client_ask(&server, "GET /show/x HTTP/1.1\r\nX-Forwarded-For: evil\r\n");
    assert_string_equal(reply.body, "id=x q=- cookie=- peer=127.0.0.1");
}

static void an_unknown_path_gets_a_404_problem(void **state)
{
    (void)state;
    struct reply reply = client_ask(&server, "GET /nowhere HTTP/1.1\r\n");
    assert_problem(&reply, 404, "no_such_path");
    reply = client_ask(&server, "POST /nowhere HTTP/1.1\r\nContent-Length: 0\r\n");
    assert_problem(&reply, 404, "no_such_path");
}

static void a_method_that_a_path_does_not_take_gets_405_with_allow(void **state)
{
    (void)state;
    struct reply reply = client_ask(&server, "PUT /show/1 HTTP/1.1\r\nContent-Length: 0\r\n");
    assert_problem(&reply, 405, "method_not_allowed");
    assert_string_equal(reply_field(&reply, "allow"), "GET, HEAD, DELETE");
}

static void options_names_the_methods_of_a_path(void **state)
{
    (void)state;
    struct reply reply = client_ask(&server, "OPTIONS /echo HTTP/1.1\r\n");
    assert_int_equal(reply.status, 204);
    assert_string_equal(reply_field(&reply, "allow"), "POST");
    assert_int_equal(client_ask(&server, "OPTIONS * HTTP/1.1\r\n").status, 204);
    assert_int_equal(client_ask(&server, "OPTIONS /nowhere HTTP/1.1\r\n").status, 404);
}

static void head_is_answered_like_get_without_a_body(void **state)
{
    (void)state;
    int fd = client_connect(&server);
    client_send(fd, "HEAD /show/1 HTTP/1.1\r\nHost: a\r\n\r\nGET /show/2 HTTP/1.1\r\nHost: a\r\n\r\n");
    struct reply reply = client_reply(fd, true);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply_field(&reply, "content-length"), "32");
    reply = client_reply(fd, false); /* nothing of a body lies before it */
    assert_int_equal(reply.status, 200);
    assert_has(reply.body, "id=2 ");
    close(fd);
}

static void a_connection_is_kept_for_the_next_request(void **state)
{
    (void)state;
    int fd = client_connect(&server);
    for (int i = 0; i < 3; i++) {
        client_send(fd, "GET /sleepy HTTP/1.1\r\nHost: a\r\n\r\n");
        struct reply reply = client_reply(fd, false);
        assert_int_equal(reply.status, 200);
        assert_string_equal(reply.body, "{\"slept\":true}");
        assert_string_equal(reply_field(&reply, "connection"), "keep-alive");
    }
    close(fd);
}

/* --- Limits -------------------------------------------------------------------------------------------- */

static void a_request_without_host_is_refused(void **state)
{
    (void)state;
    int fd = client_connect(&server);
    client_send(fd, "GET /show/1 HTTP/1.1\r\n\r\n");
    struct reply reply = client_reply(fd, false);
    assert_problem(&reply, 400, "host_missing");
    close(fd);
}

static void a_path_or_query_that_is_too_long_gets_414(void **state)
{
    char request[8192], filler[5001];

    (void)state;
    memset(filler, 'x', sizeof(filler));
    snprintf(request, sizeof(request), "GET /show/%.2100s HTTP/1.1\r\n", filler);
    struct reply reply = client_ask(&server, request);
    assert_problem(&reply, 414, "target_too_long");
    snprintf(request, sizeof(request), "GET /show/1?q=%.4100s HTTP/1.1\r\n", filler);
    reply = client_ask(&server, request);
    assert_problem(&reply, 414, "target_too_long");
    snprintf(request, sizeof(request), "GET /show/1?q=%.4000s HTTP/1.1\r\n", filler);
    assert_int_equal(client_ask(&server, request).status, 200);
}

static void header_fields_that_are_too_large_get_431(void **state)
{
    static char request[32768];
    char filler[17001];

    (void)state;
    memset(filler, 'x', sizeof(filler));
    snprintf(request, sizeof(request), "GET /show/1 HTTP/1.1\r\nX-Long: %.17000s\r\n", filler);
    struct reply reply = client_ask(&server, request);
    assert_problem(&reply, 431, "headers_too_large");
}

static void a_path_or_query_that_is_not_utf8_gets_400(void **state)
{
    (void)state;
    struct reply reply = client_ask(&server, "GET /show/%ff HTTP/1.1\r\n");
    assert_problem(&reply, 400, "malformed_path");
    reply = client_ask(&server, "GET /show/%00 HTTP/1.1\r\n");
    assert_problem(&reply, 400, "malformed_path");
    reply = client_ask(&server, "GET /show/1?q=%c3%28 HTTP/1.1\r\n");
    assert_problem(&reply, 400, "malformed_query");
    reply = client_ask(&server, "GET show HTTP/1.1\r\n");
    assert_problem(&reply, 400, "malformed_target");
}

static void an_unknown_or_doubled_parameter_is_named(void **state)
{
    (void)state;
    struct reply reply = client_ask(&server, "GET /show/1?z=1 HTTP/1.1\r\n");
    assert_problem(&reply, 400, "unknown_parameter");
    assert_has(reply.body, "\"field\":\"z\"");
    reply = client_ask(&server, "GET /show/1?q=1&r=2&q=3 HTTP/1.1\r\n");
    assert_problem(&reply, 400, "duplicate_parameter");
    assert_has(reply.body, "\"field\":\"q\"");
}

static void post(int fd, const char *path, const char *type, const char *body)
{
    char head[512];

    snprintf(head, sizeof(head),
             "POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n", path, type,
             strlen(body));
    client_send(fd, head);
    client_send(fd, body);
}

static void a_body_beyond_the_routes_limit_gets_413_and_the_connection_lives(void **state)
{
    static char body[100001];

    (void)state;
    int fd = client_connect(&server);
    memset(body, ' ', 100);
    memcpy(body + 99, "{}", 3);
    post(fd, "/echo", "application/json", body);
    struct reply reply = client_reply(fd, false);
    assert_problem(&reply, 413, "body_too_large");
    body[1] = '\0';
    post(fd, "/echo", "application/json", "{\"b\":[],\"a\":1}");
    reply = client_reply(fd, false);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "{\"a\":1,\"b\":[]}");
    memset(body, ' ', 100000); /* allowed by the route, not by the configuration */
    body[100000] = '\0';
    post(fd, "/large", "application/json", body);
    reply = client_reply(fd, false);
    assert_problem(&reply, 413, "body_too_large");
    close(fd);
}

static void a_body_beyond_all_limits_ends_the_connection(void **state)
{
    (void)state;
    int fd = client_connect(&server);
    client_send(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n");
    struct reply reply = client_reply(fd, false);
    assert_int_equal(reply.status, 413);
    assert_string_equal(reply_field(&reply, "x-content-type-options"), "nosniff");
    assert_true(client_ended(fd));
    assert_true(fixture_logged("request_refused", "413"));
    close(fd);
}

static void a_body_far_beyond_the_limit_is_not_even_read(void **state)
{
    (void)state;
    int fd = client_connect(&server);
    client_send(fd, "POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n"); /* the limit is 65536 */
    assert_int_equal(client_reply(fd, false).status, 413);
    assert_true(client_ended(fd));
    close(fd);
}

static void a_chunked_body_is_read_whole(void **state)
{
    (void)state;
    int fd = client_connect(&server);
    client_send(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n");
    struct reply reply = client_reply(fd, false);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "{\"a\":1}");
    close(fd);
}

static void a_client_that_expects_100_is_told_to_continue(void **state)
{
    (void)state;
    int fd = client_connect(&server);
    client_send(fd,
                "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
                "Expect: 100-continue\r\n\r\n");
    assert_int_equal(client_reply(fd, true).status, 100);
    client_send(fd, "{}");
    assert_int_equal(client_reply(fd, false).status, 200);
    close(fd);
}

static void a_body_where_none_is_taken_gets_400(void **state)
{
    (void)state;
    int fd = client_connect(&server);
    client_send(fd, "GET /show/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}");
    struct reply reply = client_reply(fd, false);
    assert_problem(&reply, 400, "unexpected_body");
    close(fd);
}

static void a_body_that_is_not_a_json_object_is_refused(void **state)
{
    (void)state;
    int fd = client_connect(&server);
    struct reply reply;

    post(fd, "/echo", "text/plain", "{}");
    reply = client_reply(fd, false);
    assert_problem(&reply, 415, "not_json");
    post(fd, "/echo", "application/json; charset=utf-8", "{\"a\":1,\"a\":2}");
    reply = client_reply(fd, false);
    assert_problem(&reply, 400, "malformed_json");
    post(fd, "/echo", "application/json", "[1]");
    reply = client_reply(fd, false);
    assert_problem(&reply, 422, "not_an_object");
    post(fd, "/echo", "application/json", "");
    reply = client_reply(fd, false);
    assert_problem(&reply, 400, "body_missing");
    close(fd);
}

static void headers_that_trickle_in_end_with_the_timeout(void **state)
{
    (void)state;
    int fd = client_connect(&server);
    client_send(fd, "GET /show/1 HTTP/1.1\r\nHost:");
    assert_true(client_ended(fd));
    close(fd);
}

/* --- Replies ------------------------------------------------------------------------------------------- */

static void every_reply_carries_the_security_headers(void **state)
{
    static const char *const REQUESTS[] = {"GET /show/1 HTTP/1.1\r\n", "GET /nowhere HTTP/1.1\r\n",
                                           "GET /tagged HTTP/1.1\r\n", "GET /files/a HTTP/1.1\r\n"};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct reply reply = client_ask(&server, REQUESTS[i]);
        assert_string_equal(reply_field(&reply, "x-content-type-options"), "nosniff");
        assert_string_equal(reply_field(&reply, "referrer-policy"), "no-referrer");
        assert_string_equal(reply_field(&reply, "cross-origin-resource-policy"), "same-origin");
        assert_string_equal(reply_field(&reply, "cross-origin-opener-policy"), "same-origin");
        assert_string_equal(reply_field(&reply, "content-security-policy"),
                            "default-src 'none'; frame-ancestors 'none'");
        assert_string_equal(reply_field(&reply, "server"), "");
        assert_string_equal(reply_field(&reply, "strict-transport-security"), "");
        assert_int_equal(strlen(reply_field(&reply, "x-request-id")), 36);
        if (i < 2)
            assert_string_equal(reply_field(&reply, "cache-control"), "no-store");
    }
}

static void a_page_may_load_from_its_own_origin_or_as_its_handler_says(void **state)
{
    (void)state;
    struct reply reply = client_ask(&server, "GET /pages/a HTTP/1.1\r\n");
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply_field(&reply, "content-type"), "text/html; charset=utf-8");
    assert_string_equal(reply_field(&reply, "content-security-policy"),
                        "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'");
    assert_string_equal(reply_field(&reply, "cache-control"), "no-store");
    reply = client_ask(&server, "GET /pages/own HTTP/1.1\r\n");
    assert_string_equal(reply_field(&reply, "content-security-policy"), "default-src 'self' https://example.org");
    assert_null(strstr(reply.head, "frame-ancestors"));
}

static void a_redirect_has_a_location_and_no_body(void **state)
{
    (void)state;
    struct reply reply = client_ask(&server, "GET /elsewhere HTTP/1.1\r\n");
    assert_int_equal(reply.status, 303);
    assert_string_equal(reply_field(&reply, "location"), "https://example.org/a?b=c%20d");
    assert_string_equal(reply_field(&reply, "content-length"), "0");
    assert_string_equal(reply_field(&reply, "content-type"), "");
    assert_string_equal(reply_field(&reply, "cache-control"), "no-store");
}

static struct reply send_form(const char *type, const char *body)
{
    char request[2500];
    int fd = client_connect(&server);

    snprintf(request, sizeof(request), "POST /form HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
             type, strlen(body), body);
    client_send(fd, request);
    struct reply reply = client_reply(fd, false);
    close(fd);
    return reply;
}

#define FORM "application/x-www-form-urlencoded"

static void a_form_is_read_field_by_field(void **state)
{
    (void)state;
    struct reply reply = send_form(FORM "; charset=utf-8", "a=1%2B1+%C3%A9&c=&b=x%3Dy");
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "a=1+1 \xc3\xa9 b=x=y");
    reply = send_form(FORM, "c=1");
    assert_string_equal(reply.body, "a=- b=-");
}

static void what_is_no_form_is_refused(void **state)
{
    char many[512] = "";

    (void)state;
    struct reply reply = send_form(FORM, "a=1&b=2&a=1");
    assert_problem(&reply, 400, "duplicate_field");
    assert_has(reply.body, "\"field\":\"a\"");
    reply = send_form("application/json", "a=1");
    assert_problem(&reply, 415, "not_a_form");
    reply = send_form(FORM, "");
    assert_problem(&reply, 400, "body_missing");
    reply = send_form(FORM, "a=%ff");
    assert_problem(&reply, 400, "malformed_form");
    reply = send_form(FORM, "a=%00");
    assert_problem(&reply, 400, "malformed_form");
    for (int i = 0; i < 65; i++) {
        size_t len = strlen(many);
        snprintf(many + len, sizeof(many) - len, "f%d=&", i);
    }
    reply = send_form(FORM, many);
    assert_problem(&reply, 400, "malformed_form");
}

static void a_reply_with_an_etag_is_revalidated_with_304(void **state)
{
    char request[256];

    (void)state;
    struct reply reply = client_ask(&server, "GET /tagged HTTP/1.1\r\n");
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "{\"a\":1}");
    assert_string_equal(reply_field(&reply, "cache-control"), "private, no-cache");
    snprintf(request, sizeof(request), "GET /tagged HTTP/1.1\r\nIf-None-Match: \"x\", %s\r\n",
             reply_field(&reply, "etag"));
    reply = client_ask(&server, request);
    assert_int_equal(reply.status, 304);
    assert_string_equal(reply_field(&reply, "cache-control"), "private, no-cache");
    assert_true(strlen(reply_field(&reply, "etag")) > 10);
    assert_string_equal(reply_field(&reply, "content-length"), "");
    assert_int_equal(client_ask(&server, "GET /tagged HTTP/1.1\r\nIf-None-Match: \"old\"\r\n").status, 200);
}

static void a_handler_that_gives_no_reply_gets_a_500_and_a_log_line(void **state)
{
    (void)state;
    struct reply reply = client_ask(&server, "GET /silent HTTP/1.1\r\n");
    assert_problem(&reply, 500, "no_reply");
    assert_true(fixture_logged("no_reply", reply_field(&reply, "x-request-id")));
}

static void the_detail_of_an_internal_error_goes_to_the_log_only(void **state)
{
    (void)state;
    struct reply reply = client_ask(&server, "GET /fails HTTP/1.1\r\n");
    assert_problem(&reply, 500, "disk_on_fire");
    assert_null(strstr(reply.body, "hunter2"));
    assert_true(fixture_logged("disk_on_fire", "hunter2"));
}

static void a_problem_names_the_field_and_when_to_retry(void **state)
{
    (void)state;
    struct reply reply = client_ask(&server, "GET /busy HTTP/1.1\r\n");
    assert_problem(&reply, 503, "queue_full");
    assert_string_equal(reply_field(&reply, "retry-after"), "7");
    assert_has(reply.body, "\"field\":\"/lane\"");
}

static void a_header_cannot_be_split_and_a_second_reply_is_dropped(void **state)
{
    (void)state;
    struct reply reply = client_ask(&server, "GET /split HTTP/1.1\r\n");
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply_field(&reply, "set-cookie"), "");
    assert_string_equal(reply_field(&reply, "x-bad"), "");
    assert_string_equal(reply_field(&reply, "cache-control"), "public, max-age=5");
    assert_true(fixture_logged("unsafe_header", "x-bad"));
    assert_true(fixture_logged("replied_twice", "/split"));
}

static void a_trace_goes_on_with_a_span_of_ours_and_is_logged(void **state)
{
    const char *trace = "0af7651916cd43dd8448eb211c80319c";

    (void)state;
    struct reply reply = client_ask(&server, "GET /show/1?q=secretquery HTTP/1.1\r\ntraceparent: "
                                             "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n");
    const char *out = reply_field(&reply, "traceparent");
    assert_int_equal(strlen(out), 55);
    assert_has(out, trace);
    assert_null(strstr(out, "b7ad6b7169203331"));
    assert_true(fixture_logged(trace, "\"route\":\"/show/{id}\""));
    assert_true(fixture_logged(trace, reply_field(&reply, "x-request-id")));
    assert_false(fixture_log_now("secretquery"));
    reply = client_ask(&server, "GET /show/1 HTTP/1.1\r\n");
    assert_int_equal(strlen(reply_field(&reply, "traceparent")), 55);
    assert_null(strstr(reply_field(&reply, "traceparent"), trace));
    assert_true(uuid_valid(text_of(reply_field(&reply, "x-request-id"))));
    assert_int_equal(reply_field(&reply, "x-request-id")[14], '7');
}

/* --- Files --------------------------------------------------------------------------------------------- */

static void a_file_is_sent_whole_with_its_hash_as_etag(void **state)
{
    (void)state;
    struct reply reply = client_ask(&server, "GET /files/a HTTP/1.1\r\n");
    assert_int_equal(reply.status, 200);
    assert_int_equal(reply.body_len, sizeof(file_bytes));
    assert_memory_equal(reply.body, file_bytes, sizeof(file_bytes));
    assert_string_equal(reply_field(&reply, "etag"), "\"cafe\"");
    assert_string_equal(reply_field(&reply, "content-type"), "application/dicom");
    assert_string_equal(reply_field(&reply, "cache-control"), "private, max-age=31536000, immutable");
    assert_string_equal(reply_field(&reply, "accept-ranges"), "bytes");
}

static void a_part_of_a_file_is_sent_with_206(void **state)
{
    (void)state;
    struct reply reply = client_ask(&server, "GET /files/a HTTP/1.1\r\nRange: bytes=100-199999\r\n");
    assert_int_equal(reply.status, 206);
    assert_string_equal(reply_field(&reply, "content-range"), "bytes 100-199999/300001");
    assert_int_equal(reply.body_len, 199900);
    assert_memory_equal(reply.body, file_bytes + 100, 199900);
    reply = client_ask(&server, "GET /files/a HTTP/1.1\r\nRange: bytes=400000-\r\n");
    assert_problem(&reply, 416, "range_not_satisfiable");
    assert_string_equal(reply_field(&reply, "content-range"), "bytes */300001");
    assert_string_equal(reply_field(&reply, "cache-control"), "no-store");
    reply = client_ask(&server, "GET /files/a HTTP/1.1\r\nRange: bytes=1-2\r\nIf-Range: \"old\"\r\n");
    assert_int_equal(reply.status, 200);
}

static void a_known_file_is_not_sent_again(void **state)
{
    (void)state;
    struct reply reply = client_ask(&server, "GET /files/a HTTP/1.1\r\nIf-None-Match: \"cafe\"\r\n");
    assert_int_equal(reply.status, 304);
    reply = client_ask(&server, "HEAD /files/a HTTP/1.1\r\n");
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply_field(&reply, "content-length"), "300001");
}

static void a_file_that_is_not_there_gets_404(void **state)
{
    (void)state;
    struct reply reply = client_ask(&server, "GET /files/b HTTP/1.1\r\n");
    assert_problem(&reply, 404, "no_such_file");
    reply = client_ask(&server, "GET /files/directory HTTP/1.1\r\n");
    assert_problem(&reply, 404, "no_such_file");
}

static void make_late_file(void)
{
    int fd = open(late_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && write(fd, "late", 4) == 4);
    close(fd);
}

static void a_file_is_found_once_it_is_there_and_lost_soon_after_it_is_gone(void **state)
{
    (void)state;
    int fd = mkstemp(late_path); /* only for its name */
    close(fd);
    unlink(late_path);
    struct reply reply = client_ask(&server, "GET /files/late HTTP/1.1\r\n");
    assert_problem(&reply, 404, "no_such_file");
    make_late_file();
    reply = client_ask(&server, "GET /files/late HTTP/1.1\r\n");
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "late");
    unlink(late_path);
    usleep(1100 * 1000);
    reply = client_ask(&server, "GET /files/late HTTP/1.1\r\n");
    assert_problem(&reply, 404, "no_such_file");
}

static void without_descriptors_a_client_is_told_to_retry_and_then_served(void **state)
{
    struct rlimit all, none;

    (void)state;
    make_late_file();
    getrlimit(RLIMIT_NOFILE, &all);
    int fd = client_connect(&server);
    client_send(fd, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(client_reply(fd, false).status, 200);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = all.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    client_send(fd, "GET /files/late HTTP/1.1\r\nHost: a\r\n\r\n");
    struct reply reply = client_reply(fd, false);
    setrlimit(RLIMIT_NOFILE, &all);
    assert_problem(&reply, 503, "busy");
    assert_string_equal(reply_field(&reply, "retry-after"), "1");
    client_send(fd, "GET /files/late HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(client_reply(fd, false).status, 200);
    close(fd);
    unlink(late_path);
}

static void a_client_that_leaves_in_the_middle_of_a_file_does_no_harm(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        int fd = client_connect(&server);
        client_send(fd, "GET /files/a HTTP/1.1\r\nHost: a\r\n\r\nGET /files/a HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_int_equal(client_reply(fd, true).status, 200);
        close(fd);
    }
    assert_int_equal(client_ask(&server, "GET /healthz HTTP/1.1\r\n").status, 200);
}

/* --- Built-in routes ----------------------------------------------------------------------------------- */

static void health_and_readiness_are_green(void **state)
{
    (void)state;
    assert_int_equal(client_ask(&server, "GET /healthz HTTP/1.1\r\n").status, 200);
    assert_int_equal(client_ask(&server, "GET /readyz HTTP/1.1\r\n").status, 200);
}

static void metrics_count_by_route_and_come_in_both_formats(void **state)
{
    (void)state;
    client_ask(&server, "GET /show/1 HTTP/1.1\r\n");
    struct reply reply =
        client_ask(&server, "GET /metrics HTTP/1.1\r\n"
                            "Accept: application/openmetrics-text;version=1.0.0,*/*;q=0.1\r\n");
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply_field(&reply, "content-type"),
                        "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert_has(reply.body, "# TYPE overread_http_requests counter\n");
    assert_has(reply.body,
               "overread_http_requests_total{method=\"GET\",route=\"/show/{id}\",status=\"2xx\"} ");
    assert_has(reply.body, "overread_http_in_flight_requests 1\n");
    assert_has(reply.body, "process_resident_memory_bytes ");
    assert_string_equal(reply.body + reply.body_len - 6, "# EOF\n");
    reply = client_ask(&server, "GET /metrics HTTP/1.1\r\n");
    assert_string_equal(reply_field(&reply, "content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_has(reply.body, "# TYPE overread_http_requests_total counter\n");
    assert_null(strstr(reply.body, "# EOF"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handler_reads_path_query_cookie_and_peer),
        cmocka_unit_test(an_unknown_path_gets_a_404_problem),
        cmocka_unit_test(a_method_that_a_path_does_not_take_gets_405_with_allow),
        cmocka_unit_test(options_names_the_methods_of_a_path),
        cmocka_unit_test(head_is_answered_like_get_without_a_body),
        cmocka_unit_test(a_connection_is_kept_for_the_next_request),
        cmocka_unit_test(a_request_without_host_is_refused),
        cmocka_unit_test(a_path_or_query_that_is_too_long_gets_414),
        cmocka_unit_test(header_fields_that_are_too_large_get_431),
        cmocka_unit_test(a_path_or_query_that_is_not_utf8_gets_400),
        cmocka_unit_test(an_unknown_or_doubled_parameter_is_named),
        cmocka_unit_test(a_body_beyond_the_routes_limit_gets_413_and_the_connection_lives),
        cmocka_unit_test(a_body_beyond_all_limits_ends_the_connection),
        cmocka_unit_test(a_body_far_beyond_the_limit_is_not_even_read),
        cmocka_unit_test(a_chunked_body_is_read_whole),
        cmocka_unit_test(a_client_that_expects_100_is_told_to_continue),
        cmocka_unit_test(a_body_where_none_is_taken_gets_400),
        cmocka_unit_test(a_body_that_is_not_a_json_object_is_refused),
        cmocka_unit_test(headers_that_trickle_in_end_with_the_timeout),
        cmocka_unit_test(every_reply_carries_the_security_headers),
        cmocka_unit_test(a_page_may_load_from_its_own_origin_or_as_its_handler_says),
        cmocka_unit_test(a_redirect_has_a_location_and_no_body),
        cmocka_unit_test(a_form_is_read_field_by_field),
        cmocka_unit_test(what_is_no_form_is_refused),
        cmocka_unit_test(a_reply_with_an_etag_is_revalidated_with_304),
        cmocka_unit_test(a_handler_that_gives_no_reply_gets_a_500_and_a_log_line),
        cmocka_unit_test(the_detail_of_an_internal_error_goes_to_the_log_only),
        cmocka_unit_test(a_problem_names_the_field_and_when_to_retry),
        cmocka_unit_test(a_header_cannot_be_split_and_a_second_reply_is_dropped),
        cmocka_unit_test(a_trace_goes_on_with_a_span_of_ours_and_is_logged),
        cmocka_unit_test(a_file_is_sent_whole_with_its_hash_as_etag),
        cmocka_unit_test(a_part_of_a_file_is_sent_with_206),
        cmocka_unit_test(a_known_file_is_not_sent_again),
        cmocka_unit_test(a_file_that_is_not_there_gets_404),
        cmocka_unit_test(a_file_is_found_once_it_is_there_and_lost_soon_after_it_is_gone),
        cmocka_unit_test(without_descriptors_a_client_is_told_to_retry_and_then_served),
        cmocka_unit_test(a_client_that_leaves_in_the_middle_of_a_file_does_no_harm),
        cmocka_unit_test(health_and_readiness_are_green),
        cmocka_unit_test(metrics_count_by_route_and_come_in_both_formats),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
