/* A kernel without Landlock, as far as this process and its children can tell. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "fixture.h"

static int take_landlock_away(void **state)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int r = filter ? seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(landlock_create_ruleset), 0)
                   : -ENOMEM;

    (void)state;
    if (r == 0)
        r = seccomp_load(filter);
    seccomp_release(filter);
    return r;
}

static void the_weakness_has_a_name(void **state)
{
    (void)state;
    assert_non_null(grading_weakness());
    assert_non_null(strstr(grading_weakness(), "no Landlock"));
}

/* Calls the function with its log in *ret. */
static void with_log(void (*run)(void), char *ret, size_t size)
{
    char path[100];
    int saved = dup(STDERR_FILENO);

    snprintf(path, sizeof(path), "%s/log", fixture_dir);
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(saved >= 0 && file >= 0);
    dup2(file, STDERR_FILENO);
    run();
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t n = pread(file, ret, size - 1, 0);

    close(file);
    assert_true(n >= 0);
    ret[n] = '\0';
}

static void grade_one(void)
{
    struct fixture_call c = fixture_do("trial", "echo", NULL);

    assert_int_equal(c.result, 0);
    arena_destroy(c.arena);
}

static void the_operator_is_told_and_answers_are_graded_all_the_same(void **state)
{
    struct error err;
    char log[4000];

    (void)state;
    fixture_open();
    fixture_plugin("trial");
    assert_int_equal(fixture_load(&err), 0);
    with_log(grade_one, log, sizeof(log));
    assert_non_null(strstr(log, "\"grader_weak\""));
    assert_non_null(strstr(log, "no Landlock"));
    struct fixture_call c = fixture_do("trial", "file", NULL);

    assert_int_equal(c.result, -1); /* the filters of system calls are there */
    arena_destroy(c.arena);
    fixture_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_weakness_has_a_name),
        cmocka_unit_test(the_operator_is_told_and_answers_are_graded_all_the_same),
    };

    return cmocka_run_group_tests(tests, take_landlock_away, NULL);
}
