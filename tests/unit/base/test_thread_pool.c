#include "testing.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/fiber.h"
#include "base/loop.h"
#include "jobs/thread_pool.h"

static struct loop *loop;
static struct thread_pool *pool;
static atomic_int worked;
static unsigned ended, refused;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static int set_up(void **state)
{
    (void)state;
    loop = loop_create();
    worked = 0;
    ended = refused = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    loop = loop_destroy(loop);
    return fiber_count() != 0;
}

static void work(void *arg)
{
    pthread_t *who = arg;
    pthread_mutex_lock(&gate); /* closed: work waits */
    pthread_mutex_unlock(&gate);
    *who = pthread_self();
    worked++;
}

static void ask(void *arg)
{
    (void)arg;
    pthread_t who = pthread_self();
    struct error err = {0};
    if (thread_pool_run(pool, work, &who, &err) < 0) {
        assert_int_equal(err.kind, ERROR_UNAVAILABLE);
        assert_string_equal(err.code, "busy");
        assert_int_equal(err.retry_after, 1);
        assert_true(pthread_equal(who, pthread_self()));
        refused++;
        return;
    }
    assert_false(pthread_equal(who, pthread_self()));
    ended++;
}

static void turn_until_ended(unsigned count)
{
    for (int i = 0; i < 1000 && ended < count; i++)
        loop_turn(loop, 100);
    assert_int_equal(ended, count);
}

static void work_runs_on_another_thread_and_the_fiber_goes_on_here(void **state)
{
    (void)state;
    pool = thread_pool_create(3, 200, 0);
    for (int i = 0; i < 200; i++)
        fiber_spawn(ask, NULL);
    turn_until_ended(200);
    assert_int_equal(worked, 200);
    assert_int_equal(refused, 0);
    assert_null(thread_pool_destroy(pool));
    assert_null(thread_pool_destroy(NULL));
}

static void a_full_queue_is_refused_at_once(void **state)
{
    (void)state;
    pool = thread_pool_create(1, 2, 0);
    pthread_mutex_lock(&gate);
    for (int i = 0; i < 20; i++)
        fiber_spawn(ask, NULL);
    /* Two wait, and one more may have been taken by the thread in between. */
    assert_in_range(refused, 17, 18);
    pthread_mutex_unlock(&gate);
    turn_until_ended(20 - refused);
    assert_int_equal(worked, ended);
    thread_pool_destroy(pool);
}

static void destroying_the_pool_finishes_what_is_queued(void **state)
{
    (void)state;
    pool = thread_pool_create(1, 10, 0);
    for (int i = 0; i < 10; i++)
        fiber_spawn(ask, NULL);
    thread_pool_destroy(pool);
    assert_int_equal(worked, 10);
    turn_until_ended(10);
}

int main(void)
{
#define POOL_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        POOL_TEST(work_runs_on_another_thread_and_the_fiber_goes_on_here),
        POOL_TEST(a_full_queue_is_refused_at_once),
        POOL_TEST(destroying_the_pool_finishes_what_is_queued),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
