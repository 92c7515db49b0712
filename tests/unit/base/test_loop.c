#include "testing.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fiber.h"
#include "base/loop.h"

static char seen[64];

static void see(void *arg)
{
    strncat(seen, arg, sizeof(seen) - strlen(seen) - 1);
}

static int set_up(void **state)
{
    seen[0] = '\0';
    *state = loop_create();
    return 0;
}

static int tear_down(void **state)
{
    loop_destroy(*state);
    return loop_here() != NULL;
}

static bool readable(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, timeout_ms) == 1;
}

static void pair(int ret[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ret), 0);
}

struct watched {
    struct loop_watch *watch;
    unsigned events;
    int calls;
    struct watched *victim; /* closed by the first of two that runs */
};

static void note(void *arg, unsigned events)
{
    struct watched *watched = arg;
    watched->events = events;
    watched->calls++;
    if (watched->victim) {
        watched->watch = loop_watch_close(watched->watch);
        watched->victim->watch = loop_watch_close(watched->victim->watch);
    }
}

static void a_watch_is_level_triggered_and_asks_for_what_it_was_set_to(void **state)
{
    struct loop *loop = *state;
    assert_ptr_equal(loop_here(), loop);
    int fds[2];
    pair(fds);
    struct watched watched = {0};
    watched.watch = loop_watch(loop, fds[0], LOOP_READ, note, &watched);
    loop_turn(loop, 0);
    assert_int_equal(watched.calls, 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    assert_int_equal(watched.calls, 2);
    assert_int_equal(watched.events, LOOP_READ);
    loop_watch_set(watched.watch, LOOP_READ | LOOP_WRITE);
    loop_turn(loop, 0);
    assert_int_equal(watched.events, LOOP_READ | LOOP_WRITE);
    loop_watch_set(watched.watch, 0);
    loop_turn(loop, 0);
    assert_int_equal(watched.calls, 3);
    assert_null(loop_watch_close(watched.watch));
    assert_null(loop_watch_close(NULL));
    close(fds[0]);
    close(fds[1]);
}

static void a_hang_up_is_reported_as_both(void **state)
{
    struct loop *loop = *state;
    int fds[2];
    pair(fds);
    struct watched watched = {0};
    watched.watch = loop_watch(loop, fds[0], LOOP_READ, note, &watched);
    close(fds[1]);
    loop_turn(loop, 0);
    assert_int_equal(watched.events, LOOP_READ | LOOP_WRITE);
    /* Without interest it stays silent, and does not keep the loop awake. */
    loop_watch_set(watched.watch, 0);
    assert_false(readable(loop_fd(loop), 0));
    loop_watch_close(watched.watch);
    close(fds[0]);
}

static void a_watch_may_close_another_that_is_ready_in_the_same_batch(void **state)
{
    struct loop *loop = *state;
    int one[2], two[2];
    pair(one);
    pair(two);
    struct watched first = {0}, second = {.victim = &first};
    first.victim = &second;
    first.watch = loop_watch(loop, one[0], LOOP_WRITE, note, &first);
    second.watch = loop_watch(loop, two[0], LOOP_WRITE, note, &second);
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    assert_int_equal(first.calls + second.calls, 1);
    for (int i = 0; i < 2; i++) {
        close(one[i]);
        close(two[i]);
    }
}

static void turn_once_more(void *arg)
{
    struct watched *watched = arg;
    watched->watch = loop_watch_close(watched->watch);
    loop_turn(loop_here(), 0);
}

static void a_watch_closed_in_a_nested_turn_stays_safe_for_the_outer_one(void **state)
{
    struct loop *loop = *state;
    int fds[2];
    pair(fds);
    struct watched watched = {0};
    watched.watch = loop_watch(loop, fds[0], LOOP_WRITE, note, &watched);
    loop_post(loop, turn_once_more, &watched);
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    assert_int_equal(watched.calls, 1);
    close(fds[0]);
    close(fds[1]);
}

static void turn_until(struct loop *loop, size_t len)
{
    for (int i = 0; i < 1000 && strlen(seen) < len; i++)
        loop_turn(loop, 100);
}

static void timers_fire_in_the_order_of_their_deadlines(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timers[6] = {0};
    static char names[6][2] = {"a", "b", "c", "d", "e", "f"};
    static const uint64_t ms[6] = {30, 5, 20, 10, 1, 15};
    for (int i = 0; i < 6; i++)
        loop_timer_start(loop, &timers[i], ms[i], see, names[i]);
    loop_timer_stop(&timers[5]);
    loop_timer_stop(&timers[5]);
    loop_timer_start(loop, &timers[4], 25, see, names[4]); /* re-armed */
    uint64_t started = clock_monotonic_ns();
    turn_until(loop, 5);
    assert_string_equal(seen, "bdcea");
    assert_true(clock_monotonic_ns() - started >= 24 * 1000000u);
    assert_false(readable(loop_fd(loop), 5));
}

struct random_timer {
    struct loop_timer timer;
    uint64_t *last_due;
    unsigned *fired;
    uint64_t due_ns;
};

static void check_order(void *arg)
{
    struct random_timer *timer = arg;
    assert_true(timer->due_ns >= *timer->last_due);
    assert_true(clock_monotonic_ns() >= timer->due_ns);
    *timer->last_due = timer->due_ns;
    ++*timer->fired;
}

static void the_heap_stays_ordered_through_many_starts_and_stops(void **state)
{
    struct loop *loop = *state;
    static struct random_timer timers[500];
    uint64_t last_due = 0;
    unsigned fired = 0, expected = 0, random = 12345;
    memset(timers, 0, sizeof(timers));
    for (int i = 0; i < 3000; i++) {
        random = random * 1103515245u + 12345u;
        struct random_timer *timer = &timers[(random >> 8) % 500];
        if (random >> 30 == 0) {
            loop_timer_stop(&timer->timer);
            continue;
        }
        timer->last_due = &last_due;
        timer->fired = &fired;
        loop_timer_start(loop, &timer->timer, 50 + (random >> 16) % 40, check_order, timer);
        timer->due_ns = timer->timer.due_ns;
    }
    for (int i = 0; i < 500; i++)
        expected += timers[i].timer.index != 0;
    assert_true(expected > 100);
    for (int i = 0; i < 1000 && fired < expected; i++)
        loop_turn(loop, 100);
    assert_int_equal(fired, expected);
}

static void restart(void *arg)
{
    struct loop_timer *timer = arg;
    char one[] = "r";
    see(one);
    loop_timer_start(timer->loop, timer, 0, restart, timer);
}

static void a_timer_that_restarts_itself_does_not_hold_the_turn(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timer = {0};
    loop_timer_start(loop, &timer, 0, restart, &timer);
    for (int i = 0; i < 3; i++) {
        size_t before = strlen(seen);
        loop_turn(loop, 1000);
        assert_int_equal(strlen(seen), before + 1);
    }
    loop_timer_stop(&timer);
}

static void an_outer_epoll_wakes_for_descriptors_timers_and_posts(void **state)
{
    struct loop *loop = *state;
    int outer = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    assert_int_equal(epoll_ctl(outer, EPOLL_CTL_ADD, loop_fd(loop), &event), 0);
    assert_int_equal(epoll_wait(outer, &event, 1, 0), 0);

    char name[] = "x";
    struct loop_timer late = {0}, timer = {0};
    loop_timer_start(loop, &late, 60000, see, name);
    loop_timer_start(loop, &timer, 5, see, name); /* earlier than what is armed */
    assert_int_equal(epoll_wait(outer, &event, 1, 5000), 1);
    loop_turn(loop, 0);
    assert_int_equal(strlen(seen), 1);
    assert_int_equal(epoll_wait(outer, &event, 1, 0), 0);
    loop_timer_stop(&late);

    loop_post(loop, see, name);
    assert_int_equal(epoll_wait(outer, &event, 1, 0), 1);
    loop_turn(loop, 0);
    assert_int_equal(strlen(seen), 2);
    assert_int_equal(epoll_wait(outer, &event, 1, 0), 0);

    int fds[2];
    pair(fds);
    struct watched watched = {0};
    watched.watch = loop_watch(loop, fds[0], LOOP_READ, note, &watched);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(epoll_wait(outer, &event, 1, 0), 1);
    loop_watch_close(watched.watch);
    assert_int_equal(epoll_wait(outer, &event, 1, 0), 0);
    close(fds[0]);
    close(fds[1]);
    close(outer);
}

static void post_again(void *arg)
{
    see(arg);
    loop_post(loop_here(), see, arg);
}

static void a_post_made_by_a_post_waits_for_the_next_turn(void **state)
{
    struct loop *loop = *state;
    char name[] = "p";
    loop_post(loop, post_again, name);
    loop_turn(loop, 0);
    assert_string_equal(seen, "p");
    loop_turn(loop, 0);
    assert_string_equal(seen, "pp");
}

static void what_was_posted_runs_even_when_the_loop_ends(void **state)
{
    (void)state;
    seen[0] = '\0';
    struct loop *loop = loop_create();
    char name[] = "p";
    loop_post(loop, post_again, name);
    assert_null(loop_destroy(loop));
    assert_string_equal(seen, "pp");
    assert_null(loop_here());
    assert_null(loop_destroy(NULL));
}

static unsigned counted;

static void count(void *arg)
{
    (void)arg;
    counted++;
}

static void *post_many(void *arg)
{
    for (int i = 0; i < 5000; i++)
        loop_post(arg, count, NULL);
    return NULL;
}

static void no_post_from_other_threads_is_lost(void **state)
{
    struct loop *loop = *state;
    pthread_t threads[4];
    counted = 0;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, loop), 0);
    while (counted < 20000) {
        unsigned before = counted;
        loop_turn(loop, 5000);
        assert_true(counted > before);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(counted, 20000);
}

static void sleep_a_little(void *arg)
{
    loop_sleep(loop_here(), 5);
    see(arg);
}

static void a_fiber_sleeps_on_the_loop(void **state)
{
    struct loop *loop = *state;
    char name[] = "s";
    fiber_spawn(sleep_a_little, name);
    assert_string_equal(seen, "");
    turn_until(loop, 1);
    assert_string_equal(seen, "s");
    assert_int_equal(fiber_count(), 0);
}

int main(void)
{
#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        LOOP_TEST(a_watch_is_level_triggered_and_asks_for_what_it_was_set_to),
        LOOP_TEST(a_hang_up_is_reported_as_both),
        LOOP_TEST(a_watch_may_close_another_that_is_ready_in_the_same_batch),
        LOOP_TEST(a_watch_closed_in_a_nested_turn_stays_safe_for_the_outer_one),
        LOOP_TEST(timers_fire_in_the_order_of_their_deadlines),
        LOOP_TEST(the_heap_stays_ordered_through_many_starts_and_stops),
        LOOP_TEST(a_timer_that_restarts_itself_does_not_hold_the_turn),
        LOOP_TEST(an_outer_epoll_wakes_for_descriptors_timers_and_posts),
        LOOP_TEST(a_post_made_by_a_post_waits_for_the_next_turn),
        cmocka_unit_test(what_was_posted_runs_even_when_the_loop_ends),
        LOOP_TEST(no_post_from_other_threads_is_lost),
        LOOP_TEST(a_fiber_sleeps_on_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
