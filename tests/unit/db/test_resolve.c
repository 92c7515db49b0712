/* Host names of the database. The name server is played by this file's getaddrinfo, for libpq too. */
#include "bench.h"

#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "cutting_proxy.h"

static pthread_t loop_thread;
static atomic_int on_loop, asked, answered; /* questions to a name server */
static atomic_bool known, held;
static char conninfo[512];

typedef int (*resolver)(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **ret);

static int numeric(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
    union {
        void *p;
        resolver fn;
    } real = {dlsym(RTLD_NEXT, "getaddrinfo")};
    return real.fn(name, service, hints, ret);
}

/* "database.test" has two addresses, at the first of which nobody listens. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
    if (!name || (hints && hints->ai_flags & AI_NUMERICHOST))
        return numeric(name, service, hints, ret);
    if (pthread_equal(pthread_self(), loop_thread))
        atomic_fetch_add(&on_loop, 1);
    atomic_fetch_add(&asked, 1);
    usleep(50000);
    while (atomic_load(&held))
        usleep(1000);
    atomic_fetch_add(&answered, 1);
    if (strcmp(name, "database.test") != 0 || !atomic_load(&known))
        return EAI_NONAME;
    int r = numeric("127.0.0.2", service, hints, ret);
    return r ? r : numeric("127.0.0.1", service, hints, &(*ret)->ai_next);
}

static const char *proxy_folder;

static int setup(void **state)
{
    int r = bench_group_setup(state);
    const char *direct = postgres_conninfo("postgres", "app") + strlen("host=");
    char host[128];

    snprintf(host, sizeof(host), "%.*s", (int)strcspn(direct, " "), direct);
    proxy_folder = cutting_proxy_start(host);
    loop_thread = pthread_self();
    bench_conninfo = conninfo;
    return r;
}

static int teardown(void **state)
{
    (void)state;
    cutting_proxy_stop();
    return 0;
}

static int reset(void **state)
{
    (void)state;
    atomic_store(&known, true);
    atomic_store(&held, false);
    atomic_store(&on_loop, 0);
    atomic_store(&asked, 0);
    atomic_store(&answered, 0);
    return 0;
}

#define REST "dbname=postgres user=app sslmode=disable"

static void assert_works(void)
{
    struct bench bench;
    struct call call;

    bench_open(&bench, 1, 1, 0);
    call_init(&bench, &call, sql_echo, "x");
    call_run(&bench, &call);
    assert_ok(&call);
    bench_close(&bench);
    assert_int_equal(atomic_load(&on_loop), 0);
}

static void a_name_is_looked_up_away_from_the_loop_and_its_addresses_are_tried_in_turn(void **state)
{
    (void)state;
    snprintf(conninfo, sizeof(conninfo), "host=database.test port=%d " REST, cutting_proxy_port());
    assert_works();
    assert_true(atomic_load(&asked) >= 3); /* one for each connection */
}

static void so_are_the_names_in_a_url(void **state)
{
    (void)state;
    snprintf(conninfo, sizeof(conninfo), "postgresql://app@unknown.test:5432,database.test:%d/postgres?sslmode=disable",
             cutting_proxy_port());
    assert_works();
    assert_true(atomic_load(&asked) >= 6);
}

static void a_list_of_hosts_may_mix_names_sockets_and_addresses(void **state)
{
    (void)state;
    snprintf(conninfo, sizeof(conninfo), "host=unknown.test,127.0.0.2,%s port=1,1,5432 " REST, proxy_folder);
    assert_works();
    assert_true(atomic_load(&asked) >= 3);
}

static void what_is_no_name_is_not_looked_up(void **state)
{
    (void)state;
    snprintf(conninfo, sizeof(conninfo), "host=%s " REST, proxy_folder);
    assert_works();
    snprintf(conninfo, sizeof(conninfo), "host=127.0.0.2,127.0.0.1 port=%d " REST, cutting_proxy_port());
    assert_works();
    snprintf(conninfo, sizeof(conninfo), "host=anything.test hostaddr=127.0.0.1 port=%d " REST, cutting_proxy_port());
    assert_works();
    assert_int_equal(atomic_load(&asked), 0);
}

static bool ready(void *arg)
{
    return db_ready(arg);
}

static bool asked_often(void *arg)
{
    (void)arg;
    return atomic_load(&answered) >= 6;
}

static void a_name_that_is_unknown_for_a_while_is_asked_for_again(void **state)
{
    struct bench bench = {.arena = arena_create(), .loop = loop_create()};

    (void)state;
    atomic_store(&known, false);
    snprintf(conninfo, sizeof(conninfo), "host=database.test port=%d " REST, cutting_proxy_port());
    const struct db_options options = {.conninfo = conninfo, .read_connections = 1, .write_connections = 1};
    bench.db = db_create(bench.loop, &options);
    bench_until(&bench, asked_often, NULL);
    assert_false(db_ready(bench.db));
    atomic_store(&known, true);
    bench_until(&bench, ready, bench.db);
    bench_close(&bench);
    assert_int_equal(atomic_load(&on_loop), 0);
}

static void a_name_server_that_hangs_holds_up_neither_the_loop_nor_the_end(void **state)
{
    struct bench bench = {.arena = arena_create(), .loop = loop_create()};

    (void)state;
    atomic_store(&held, true);
    snprintf(conninfo, sizeof(conninfo), "host=database.test port=%d " REST, cutting_proxy_port());
    const struct db_options options = {.conninfo = conninfo, .read_connections = 1, .write_connections = 1};
    bench.db = db_create(bench.loop, &options);
    bench_turn_for(&bench, 6000); /* longer than an attempt */
    assert_int_equal(atomic_load(&asked), 3); /* no second thread for the same connection */
    bench_close(&bench);
    assert_int_equal(atomic_load(&answered), 0);
    atomic_store(&held, false);
    for (int ms = 0; ms < 30000 && atomic_load(&answered) < 3; ms++)
        usleep(1000);
    usleep(50000); /* the threads let go of what they hold */
    assert_int_equal(atomic_load(&on_loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_name_is_looked_up_away_from_the_loop_and_its_addresses_are_tried_in_turn, reset),
        cmocka_unit_test_setup(so_are_the_names_in_a_url, reset),
        cmocka_unit_test_setup(a_list_of_hosts_may_mix_names_sockets_and_addresses, reset),
        cmocka_unit_test_setup(what_is_no_name_is_not_looked_up, reset),
        cmocka_unit_test_setup(a_name_that_is_unknown_for_a_while_is_asked_for_again, reset),
        cmocka_unit_test_setup(a_name_server_that_hangs_holds_up_neither_the_loop_nor_the_end, reset),
    };
    return cmocka_run_group_tests_name("db resolve", tests, setup, teardown);
}
