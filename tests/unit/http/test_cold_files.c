/* Files that are not in memory: others are answered meanwhile. The disk is played by this file's preadv2. */
#include "fixture.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/uio.h>

static struct fixture server;
static char path[] = "/tmp/overread-cold-XXXXXX";
static char bytes[300001];
static atomic_bool cold, unable;
static atomic_int looks;

ssize_t preadv2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
    assert_int_equal(count, 1);
    assert_int_equal(flags, RWF_NOWAIT);
    atomic_fetch_add(&looks, 1);
    if (!atomic_load(&cold) && !atomic_load(&unable))
        return pread(fd, parts->iov_base, parts->iov_len < 5000 ? parts->iov_len : 5000, offset); /* what is there */
    errno = atomic_load(&unable) ? EOPNOTSUPP : EAGAIN;
    return -1;
}

static void fiber_fn file(struct http_request *req)
{
    http_reply_file(req, path, "application/dicom", "cafe");
}

static const struct http_route ROUTES[] = {{"GET", "/file", NULL, 0, file}, {NULL, NULL, NULL, 0, NULL}};

static int start(void **state)
{
    if (fixture_file(path, bytes, sizeof(bytes)) < 0 || fixture_log_begin(state) < 0)
        return -1;
    fixture_init(&server, ROUTES);
    fixture_start(&server);
    return 0;
}

static int stop(void **state)
{
    fixture_stop(&server);
    unlink(path);
    return fixture_log_end(state);
}

static int ask(void)
{
    int fd = client_connect(&server), before = atomic_load(&looks);

    client_send(fd, "GET /file HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int ms = 0; ms < 30000 && atomic_load(&looks) == before; ms++)
        usleep(1000);
    assert_true(atomic_load(&looks) > before);
    return fd;
}

static void assert_file(int fd)
{
    struct reply reply = client_reply(fd, false);

    assert_int_equal(reply.status, 200);
    assert_int_equal(reply.body_len, sizeof(bytes));
    assert_memory_equal(reply.body, bytes, sizeof(bytes));
    close(fd);
}

static void others_are_answered_while_a_file_comes_from_the_disk(void **state)
{
    (void)state;
    atomic_store(&cold, true);
    int fd = ask();
    assert_int_equal(client_ask(&server, "GET /healthz HTTP/1.1\r\n").status, 200);
    atomic_store(&cold, false);
    assert_file(fd);
}

static void a_file_that_never_comes_by_itself_is_waited_for(void **state)
{
    (void)state;
    atomic_store(&cold, true);
    assert_file(ask());
    atomic_store(&cold, false);
}

static void a_file_system_that_cannot_tell_is_read_all_the_same(void **state)
{
    (void)state;
    atomic_store(&unable, true);
    assert_file(ask());
    atomic_store(&unable, false);
}

static void a_client_that_leaves_before_the_file_has_come_does_no_harm(void **state)
{
    (void)state;
    atomic_store(&cold, true);
    for (int i = 0; i < 10; i++)
        close(ask());
    atomic_store(&cold, false);
    assert_file(ask());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_are_answered_while_a_file_comes_from_the_disk),
        cmocka_unit_test(a_file_that_never_comes_by_itself_is_waited_for),
        cmocka_unit_test(a_file_system_that_cannot_tell_is_read_all_the_same),
        cmocka_unit_test(a_client_that_leaves_before_the_file_has_come_does_no_harm),
    };
    return cmocka_run_group_tests_name("http cold files", tests, start, stop);
}
