/* Requests that outlive their clients, servers that stop, loops that wait: who frees what, and when. */
#include "fixture.h"

#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "base/log.h"

static atomic_int waiting, noticed, started, stopped, stopped_with_fibers;
static atomic_bool go, ready;

static void reset(void)
{
    atomic_store(&waiting, 0);
    atomic_store(&noticed, 0);
    atomic_store(&started, 0);
    atomic_store(&stopped, 0);
    atomic_store(&stopped_with_fibers, 0);
    atomic_store(&go, false);
    atomic_store(&ready, true);
}

static bool wait_for(atomic_int *counter, int value)
{
    for (int ms = 0; ms < 30000; ms += 2) {
        if (atomic_load(counter) >= value)
            return true;
        usleep(2000);
    }
    return false;
}

/* Waits until the test says go, or the client is gone. */
static void fiber_fn held(struct http_request *req)
{
    atomic_fetch_add(&waiting, 1);
    while (!atomic_load(&go) && !http_gone(req))
        loop_sleep(loop_here(), 5);
    if (http_gone(req))
        atomic_fetch_add(&noticed, 1);
    log_line(LOG_LEVEL_INFO, "held_ends", NULL);
    http_reply_json(req, 200, TEXT("{\"held\":true}"));
}

/* Waits for the test only: whether the client is there is not asked. */
static void fiber_fn stubborn(struct http_request *req)
{
    atomic_fetch_add(&waiting, 1);
    while (!atomic_load(&go))
        loop_sleep(loop_here(), 5);
    http_reply_json(req, 200, TEXT("{\"held\":true}"));
    atomic_fetch_add(&noticed, 1);
}

static const struct http_route ROUTES[] = {
    {"GET", "/held", NULL, 0, held},
    {"GET", "/stubborn", NULL, 0, stubborn},
    {NULL, NULL, NULL, 0, NULL},
};

static int loop_start(void *arg, struct loop *loop, int index)
{
    (void)arg;
    assert_ptr_equal(loop, loop_here());
    assert_true(index >= 0);
    atomic_fetch_add(&started, 1);
    return 0;
}

static int loop_start_fails(void *arg, struct loop *loop, int index)
{
    (void)arg;
    (void)loop;
    if (index == 1)
        return -1;
    atomic_fetch_add(&started, 1);
    return 0;
}

static void loop_stop(void *arg, struct loop *loop, int index)
{
    (void)arg;
    (void)loop;
    (void)index;
    if (fiber_count() > 0)
        atomic_fetch_add(&stopped_with_fibers, 1);
    atomic_fetch_add(&stopped, 1);
}

static bool is_ready(void *arg, char *why, size_t why_size)
{
    (void)arg;
    snprintf(why, why_size, "The database is away.");
    return atomic_load(&ready);
}

static void room_metrics(void *arg, struct buffer *out)
{
    (void)arg;
    buffer_puts(out, "# TYPE overread_room gauge\n# HELP overread_room Of a room.\noverread_room 1\n");
}

static void init(struct fixture *f)
{
    reset();
    fixture_init(f, ROUTES);
    f->options.loop_start = loop_start;
    f->options.loop_stop = loop_stop;
    f->options.ready = is_ready;
    f->options.metrics = room_metrics;
}

static int connect_and_send(const struct fixture *f, const char *request)
{
    int fd = client_connect(f);

    assert_true(fd >= 0);
    client_send(fd, request);
    return fd;
}

/* --- The client goes away ------------------------------------------------------------------------------ */

static void a_waiting_handler_sees_that_its_client_has_gone(void **state)
{
    struct fixture f;

    (void)state;
    init(&f);
    fixture_start(&f);
    int fd = connect_and_send(&f, "GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(wait_for(&waiting, 1));
    assert_int_equal(atomic_load(&noticed), 0);
    close(fd);
    assert_true(wait_for(&noticed, 1));
    fixture_stop(&f);
}

static void a_reply_after_the_client_is_gone_does_no_harm(void **state)
{
    struct fixture f;
    struct linger reset_at_close = {.l_onoff = 1};

    (void)state;
    init(&f);
    fixture_start(&f);
    int fd = connect_and_send(&f, "GET /stubborn HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(wait_for(&waiting, 1));
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset_at_close, sizeof(reset_at_close));
    close(fd);
    atomic_store(&go, true);
    assert_true(wait_for(&noticed, 1));
    assert_int_equal(client_ask(&f, "GET /healthz HTTP/1.1\r\n").status, 200);
    fixture_stop(&f);
}

static void a_client_that_has_sent_more_is_not_gone(void **state)
{
    struct fixture f;

    (void)state;
    init(&f);
    fixture_start(&f);
    int fd =
        connect_and_send(&f, "GET /held HTTP/1.1\r\nHost: a\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(wait_for(&waiting, 1));
    usleep(30000);
    atomic_store(&go, true);
    assert_string_equal(client_reply(fd, false).body, "{\"held\":true}");
    assert_int_equal(client_reply(fd, false).status, 200);
    assert_int_equal(atomic_load(&noticed), 0);
    close(fd);
    fixture_stop(&f);
}

#define TOO_MANY 4100 /* the cap is 4096 in flight on a loop */

static void beyond_the_cap_of_waiting_requests_a_client_is_told_to_retry(void **state)
{
    static int fds[TOO_MANY];
    struct rlimit files = {0};
    struct fixture f;
    int refused = 0;

    (void)state;
    getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_max < 4 * TOO_MANY)
        skip();
    init(&f);
    fixture_start(&f); /* it raises the limit */
    for (int i = 0; i < TOO_MANY; i++)
        fds[i] = connect_and_send(&f, "GET /stubborn HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(wait_for(&waiting, 4096));
    struct reply reply = client_ask(&f, "GET /healthz HTTP/1.1\r\n");
    assert_int_equal(reply.status, 503);
    assert_has(reply.body, "\"overloaded\"");
    assert_string_equal(reply_field(&reply, "retry-after"), "1");
    atomic_store(&go, true);
    for (int i = 0; i < TOO_MANY; i++) {
        int status = client_reply(fds[i], false).status;
        assert_true(status == 200 || status == 503);
        refused += status == 503;
        close(fds[i]);
    }
    assert_int_equal(refused, TOO_MANY - 4096);
    assert_int_equal(client_ask(&f, "GET /healthz HTTP/1.1\r\n").status, 200);
    fixture_stop(&f);
}

/* --- Stopping ------------------------------------------------------------------------------------------ */

static void beyond_the_cap_of_connections_a_client_waits_for_a_place(void **state)
{
    struct fixture f;
    int fds[5];

    (void)state;
    init(&f);
    f.config.connections_max = 4;
    f.config.threads = 1;
    fixture_start(&f);
    for (int i = 0; i < 5; i++)
        fds[i] = connect_and_send(&f, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < 4; i++)
        assert_int_equal(client_reply(fds[i], false).status, 200);
    struct pollfd answer = {.fd = fds[4], .events = POLLIN};
    assert_int_equal(poll(&answer, 1, 300), 0);
    close(fds[0]);
    assert_int_equal(client_reply(fds[4], false).status, 200);
    for (int i = 1; i < 5; i++)
        close(fds[i]);
    fixture_stop(&f);
}

static void a_stop_finishes_what_was_accepted_and_refuses_what_is_new(void **state)
{
    struct fixture f;

    (void)state;
    init(&f);
    fixture_start(&f);
    int in_flight = connect_and_send(&f, "GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
    int half_sent = connect_and_send(&f, "GET /readyz HTTP/1.1\r\nHo");
    int idle = connect_and_send(&f, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(client_reply(idle, false).status, 200);
    assert_true(wait_for(&waiting, 1));

    fixture_signal(&f);
    assert_true(client_ended(idle)); /* the listener was closed before */
    assert_true(client_connect(&f) < 0);
    client_send(half_sent, "st: a\r\n\r\n");
    struct reply reply = client_reply(half_sent, false);
    assert_int_equal(reply.status, 503);
    assert_has(reply.body, "stopping");
    assert_string_equal(reply_field(&reply, "connection"), "close");

    assert_int_equal(atomic_load(&stopped), 0);
    atomic_store(&go, true);
    reply = client_reply(in_flight, false);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "{\"held\":true}");
    assert_string_equal(reply_field(&reply, "connection"), "close");
    assert_true(client_ended(in_flight));
    assert_int_equal(fixture_join(&f), 0);
    assert_int_equal(atomic_load(&stopped), 1);
    assert_int_equal(atomic_load(&stopped_with_fibers), 0);
    assert_false(fixture_log_now("stop_timeout"));
    close(in_flight);
    close(half_sent);
    close(idle);
}

static void a_request_that_does_not_end_cannot_hold_up_the_stop(void **state)
{
    struct fixture f;

    (void)state;
    init(&f);
    f.config.stop_timeout_ms = 100;
    fixture_start(&f);
    int fd = connect_and_send(&f, "GET /stubborn HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(wait_for(&waiting, 1));
    fixture_signal(&f);
    assert_int_equal(fixture_join(&f), 0);
    assert_true(fixture_log_now("stop_timeout"));
    assert_int_equal(atomic_load(&stopped), 0); /* its fiber still stands on what loop_stop would close */
    close(fd);
}

/* --- Starting ------------------------------------------------------------------------------------------ */

static void every_loop_starts_and_stops_once(void **state)
{
    struct fixture f;

    (void)state;
    init(&f);
    f.config.threads = 3;
    fixture_start(&f);
    assert_int_equal(atomic_load(&started), 3);
    for (int i = 0; i < 20; i++)
        assert_int_equal(client_ask(&f, "GET /healthz HTTP/1.1\r\n").status, 200);
    struct reply reply = client_ask(&f, "GET /metrics HTTP/1.1\r\n");
    assert_has(reply.body, "{method=\"GET\",route=\"/healthz\",status=\"2xx\"} 20\n");
    assert_has(reply.body, "overread_room 1\n");
    fixture_stop(&f);
    assert_int_equal(atomic_load(&stopped), 3);
}

static void a_loop_that_cannot_start_stops_the_others_and_is_an_error(void **state)
{
    struct fixture f;
    struct error err = {0};

    (void)state;
    init(&f);
    f.config.threads = 3;
    f.options.loop_start = loop_start_fails;
    f.options.routes = f.tables;
    f.options.config = &f.config;
    assert_int_equal(http_serve(&f.options, &err), -1);
    assert_string_equal(err.code, "loop_failed");
    assert_int_equal(atomic_load(&started), 2);
    assert_int_equal(atomic_load(&stopped), 2);
}

static void a_port_that_is_in_use_is_an_error(void **state)
{
    struct fixture f, second;
    struct error err = {0};

    (void)state;
    init(&f);
    fixture_start(&f);
    fixture_init(&second, ROUTES);
    second.config.listen = f.address;
    second.options.routes = second.tables;
    second.options.config = &second.config;
    assert_int_equal(http_serve(&second.options, &err), -1);
    assert_string_equal(err.code, "cannot_listen");
    assert_has(err.detail, f.address);
    second.config.listen = "nonsense";
    assert_int_equal(http_serve(&second.options, &err), -1);
    assert_string_equal(err.code, "cannot_listen");
    fixture_stop(&f);
}

static void a_unix_socket_is_served_and_removed(void **state)
{
    char directory[] = "/tmp/overread-http-XXXXXX", path[64], listen[80];
    struct fixture f;

    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/s", directory);
    snprintf(listen, sizeof(listen), "unix:%s", path);
    for (int i = 0; i < 2; i++) {
        init(&f);
        f.config.listen = listen;
        f.config.threads = 2;
        fixture_start(&f);
        assert_int_equal(client_ask(&f, "GET /healthz HTTP/1.1\r\n").status, 200);
        fixture_stop(&f);
        assert_int_equal(access(path, F_OK), -1);
        /* what a killed server leaves behind does not stop the next one */
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        struct sockaddr_storage address = {.ss_family = AF_UNIX};
        memcpy((char *)&address + sizeof(sa_family_t), path, strlen(path) + 1);
        assert_int_equal(
            bind(fd, (struct sockaddr *)&address, (socklen_t)(sizeof(sa_family_t) + strlen(path) + 1)), 0);
        close(fd);
    }
    unlink(path);
    rmdir(directory);
}

static void a_successor_keeps_the_unix_socket_while_the_other_drains(void **state)
{
    char directory[] = "/tmp/overread-successor-XXXXXX", path[64], listen[80];
    struct fixture first, second;

    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/s", directory);
    snprintf(listen, sizeof(listen), "unix:%s", path);
    init(&first);
    first.config.listen = listen;
    fixture_start(&first);
    int fd = connect_and_send(&first, "GET /stubborn HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(wait_for(&waiting, 1));
    fixture_signal(&first);
    for (int ms = 0; ms < 30000 && access(path, F_OK) == 0; ms += 5)
        usleep(5000);
    assert_int_equal(access(path, F_OK), -1); /* before the drain, so that a front looks elsewhere */
    fixture_init(&second, ROUTES);
    second.config.listen = listen;
    fixture_start(&second);
    atomic_store(&go, true);
    assert_int_equal(client_reply(fd, false).status, 200);
    close(fd);
    assert_int_equal(fixture_join(&first), 0);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(client_ask(&second, "GET /healthz HTTP/1.1\r\n").status, 200);
    fixture_stop(&second);
    rmdir(directory);
}

static void readiness_says_why_it_is_red(void **state)
{
    struct fixture f;

    (void)state;
    init(&f);
    fixture_start(&f);
    assert_int_equal(client_ask(&f, "GET /readyz HTTP/1.1\r\n").status, 200);
    atomic_store(&ready, false);
    struct reply reply = client_ask(&f, "GET /readyz HTTP/1.1\r\n");
    assert_int_equal(reply.status, 503);
    assert_has(reply.body, "The database is away.");
    assert_string_equal(reply_field(&reply, "retry-after"), "1");
    assert_int_equal(client_ask(&f, "GET /healthz HTTP/1.1\r\n").status, 200);
    atomic_store(&ready, true);
    assert_int_equal(client_ask(&f, "GET /readyz HTTP/1.1\r\n").status, 200);
    fixture_stop(&f);
}

/* --- TLS ----------------------------------------------------------------------------------------------- */

static void make_certificate(const char *certificate, const char *key)
{
    EVP_PKEY *pair = EVP_EC_gen("P-256");
    X509 *x = X509_new();

    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, pair);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    assert_true(X509_sign(x, pair, EVP_sha256()) > 0);
    BIO *out = BIO_new_file(certificate, "w");
    assert_int_equal(PEM_write_bio_X509(out, x), 1);
    BIO_free(out);
    out = BIO_new_file(key, "w");
    assert_int_equal(PEM_write_bio_PrivateKey(out, pair, NULL, NULL, 0, NULL, NULL), 1);
    BIO_free(out);
    X509_free(x);
    EVP_PKEY_free(pair);
}

static SSL *tls_connect(const struct fixture *f, SSL_CTX *context, int fd)
{
    static const unsigned char OFFER[] = "\x02h2\x08http/1.1";
    SSL *ssl = SSL_new(context);

    (void)f;
    SSL_set_alpn_protos(ssl, OFFER, sizeof(OFFER) - 1);
    SSL_set_fd(ssl, fd);
    assert_int_equal(SSL_connect(ssl), 1);
    return ssl;
}

static void tls_offers_http1_only_and_promises_hsts(void **state)
{
    char directory[] = "/tmp/overread-http-XXXXXX", certificate[64], key[64], text[4096];
    const unsigned char *protocol;
    unsigned len;
    struct fixture f;

    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(certificate, sizeof(certificate), "%s/c", directory);
    snprintf(key, sizeof(key), "%s/k", directory);
    make_certificate(certificate, key);
    init(&f);
    f.config.tls_certificate = certificate;
    f.config.tls_key = key;
    fixture_start(&f);
    int fd = client_connect(&f);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = tls_connect(&f, context, fd);
    SSL_get0_alpn_selected(ssl, &protocol, &len);
    assert_int_equal(len, 8);
    assert_memory_equal(protocol, "http/1.1", 8);
    const char *request = "GET /held HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_int_equal(SSL_write(ssl, request, (int)strlen(request)), (int)strlen(request));
    assert_true(wait_for(&waiting, 1));
    usleep(30000);
    assert_int_equal(atomic_load(&noticed), 0);
    atomic_store(&go, true);
    int n = SSL_read(ssl, text, sizeof(text) - 1);
    assert_true(n > 0);
    text[n] = '\0';
    assert_has(text, "HTTP/1.1 200 OK");
    assert_has(text, "strict-transport-security: max-age=31536000");
    atomic_store(&go, false);
    SSL_write(ssl, request, (int)strlen(request));
    assert_true(wait_for(&waiting, 2));
    SSL_shutdown(ssl);
    close(fd);
    assert_true(wait_for(&noticed, 1));
    SSL_free(ssl);
    SSL_CTX_set_max_proto_version(context, TLS1_1_VERSION);
    SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
    fd = client_connect(&f);
    ssl = SSL_new(context);
    SSL_set_fd(ssl, fd);
    assert_int_not_equal(SSL_connect(ssl), 1);
    SSL_free(ssl);
    close(fd);
    SSL_CTX_free(context);
    fixture_stop(&f);
    f.config.tls_key = certificate;
    assert_int_equal(http_serve(&f.options, &f.error), -1);
    assert_string_equal(f.error.code, "tls_unusable");
    unlink(certificate);
    unlink(key);
    rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_waiting_handler_sees_that_its_client_has_gone),
        cmocka_unit_test(a_reply_after_the_client_is_gone_does_no_harm),
        cmocka_unit_test(a_client_that_has_sent_more_is_not_gone),
        cmocka_unit_test(beyond_the_cap_of_waiting_requests_a_client_is_told_to_retry),
        cmocka_unit_test(beyond_the_cap_of_connections_a_client_waits_for_a_place),
        cmocka_unit_test(a_stop_finishes_what_was_accepted_and_refuses_what_is_new),
        cmocka_unit_test(every_loop_starts_and_stops_once),
        cmocka_unit_test(a_loop_that_cannot_start_stops_the_others_and_is_an_error),
        cmocka_unit_test(a_port_that_is_in_use_is_an_error),
        cmocka_unit_test(a_unix_socket_is_served_and_removed),
        cmocka_unit_test(a_successor_keeps_the_unix_socket_while_the_other_drains),
        cmocka_unit_test(readiness_says_why_it_is_red),
        cmocka_unit_test(tls_offers_http1_only_and_promises_hsts),
        cmocka_unit_test(
            a_request_that_does_not_end_cannot_hold_up_the_stop), /* last: it leaves a loop behind */
    };
    return cmocka_run_group_tests(tests, fixture_log_begin, fixture_log_end);
}
