#include "testing.h"

#include <pthread.h>

#include "base/fiber.h"
#include "base/log.h"

static char seen[64];

static void see(char c)
{
    size_t len = strlen(seen);
    assert_true(len + 1 < sizeof(seen));
    seen[len] = c;
    seen[len + 1] = '\0';
}

static struct fiber *one, *two;

static void wait_between(void *arg)
{
    (void)arg;
    one = fiber_self();
    see('a');
    fiber_wait();
    see('c');
    fiber_wait();
    see('e');
}

static void a_fiber_runs_until_it_waits_and_goes_on_when_woken(void **state)
{
    (void)state;
    seen[0] = '\0';
    assert_null(fiber_self());
    fiber_spawn(wait_between, NULL);
    assert_null(fiber_self());
    assert_int_equal(fiber_count(), 1);
    see('b');
    fiber_wake(one);
    see('d');
    fiber_wake(one);
    see('f');
    assert_int_equal(fiber_count(), 0);
    assert_string_equal(seen, "abcdef");
}

static void inner(void *arg)
{
    (void)arg;
    two = fiber_self();
    see('2');
    fiber_wait();
    see('4');
    fiber_wait();
    see('7');
}

static void outer(void *arg)
{
    (void)arg;
    one = fiber_self();
    see('1');
    fiber_spawn(inner, NULL);
    assert_ptr_equal(fiber_self(), one);
    see('3');
    fiber_wake(two);
    assert_ptr_equal(fiber_self(), one);
    see('5');
    fiber_wait();
    see('8');
}

static void control_returns_to_whoever_woke_the_fiber(void **state)
{
    (void)state;
    seen[0] = '\0';
    fiber_spawn(outer, NULL);
    see('6');
    fiber_wake(two); /* once by the other fiber, now from outside */
    fiber_wake(one);
    see('9');
    assert_string_equal(seen, "123456789");
    assert_int_equal(fiber_count(), 0);
}

static struct fiber *many[600];

static void deep(void *arg)
{
    size_t i = (size_t)(uintptr_t)arg;
    volatile char local[20000]; /* a stack has room for a handler's usual buffers */
    memset((char *)(uintptr_t)local, (int)i, sizeof(local));
    many[i] = fiber_self();
    fiber_wait();
    for (size_t k = 0; k < sizeof(local); k++)
        assert_int_equal((unsigned char)local[k], (unsigned char)i);
}

static void many_fibers_keep_their_stacks_apart(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++) { /* the second time on pooled stacks and new ones */
        for (size_t i = 0; i < 600; i++)
            fiber_spawn(deep, (void *)(uintptr_t)i);
        assert_int_equal(fiber_count(), 600);
        for (size_t i = 0; i < 600; i++)
            fiber_wake(many[(i * 7) % 600]);
        assert_int_equal(fiber_count(), 0);
    }
}

static void with_context(void *arg)
{
    assert_null(log_context_get());
    log_context(arg);
    one = fiber_self();
    fiber_wait();
    assert_string_equal(log_context_get(), "fiber");
}

static void each_fiber_has_its_own_log_context(void **state)
{
    (void)state;
    char name[] = "fiber";
    log_context("thread");
    fiber_spawn(with_context, name);
    assert_string_equal(log_context_get(), "thread");
    log_context("thread, later");
    fiber_wake(one);
    assert_string_equal(log_context_get(), "thread, later");
    log_context(NULL);
}

static void *run_fibers(void *arg)
{
    bool *done = arg;
    struct fiber *mine;
    for (int i = 0; i < 100; i++) {
        fiber_spawn(deep, (void *)(uintptr_t)0);
        mine = many[0];
        fiber_wake(mine);
    }
    *done = fiber_count() == 0;
    return NULL;
}

static void a_thread_has_fibers_of_its_own_and_leaves_none_behind(void **state)
{
    (void)state;
    bool done = false;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_fibers, &done), 0);
    pthread_join(thread, NULL);
    assert_true(done);
}

static void wake_twice(void)
{
    fiber_spawn(wait_between, NULL);
    fiber_wake(one);
    fiber_wake(one);
    fiber_wake(one);
}

static void wait_outside(void)
{
    fiber_wait();
}

static void waking_or_waiting_out_of_turn_ends_the_process(void **state)
{
    (void)state;
    assert_dies(wake_twice, "the fiber is not waiting");
    assert_dies(wait_outside, "called outside of a fiber");
}

static int descend(volatile int depth)
{
    volatile char frame[1024];
    frame[0] = (char)depth;
    return depth > 1000000 ? 0 : descend(depth + 1) + frame[0];
}

static void overflow(void *arg)
{
    (void)arg;
    _exit(descend(0));
}

static void a_stack_that_overflows_hits_its_guard_page(void **state)
{
    (void)state;
    struct capture capture;
    capture_start(&capture, STDERR_FILENO); /* the sanitizers have much to say about it */
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        fiber_spawn(overflow, NULL);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    capture_end(&capture);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fiber_runs_until_it_waits_and_goes_on_when_woken),
        cmocka_unit_test(control_returns_to_whoever_woke_the_fiber),
        cmocka_unit_test(many_fibers_keep_their_stacks_apart),
        cmocka_unit_test(each_fiber_has_its_own_log_context),
        cmocka_unit_test(a_thread_has_fibers_of_its_own_and_leaves_none_behind),
        cmocka_unit_test(waking_or_waiting_out_of_turn_ends_the_process),
        cmocka_unit_test(a_stack_that_overflows_hits_its_guard_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
