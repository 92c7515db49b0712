#include "testing.h"

#include <fcntl.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/process.h"

static struct buffer out;
static struct error err;

static int set_up(void **state)
{
    (void)state;
    buffer_init(&out, 1000);
    err = (struct error){0};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buffer_finish(&out);
    return 0;
}

static int run_shell(const char *script, const struct process_limits *limits)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    return process_run(argv, limits, &out, &err);
}

static void assert_failed(int r, const char *words)
{
    assert_int_equal(r, -1);
    assert_int_equal(err.kind, ERROR_UNPROCESSABLE);
    assert_string_equal(err.code, "tool_failed");
    if (!strstr(err.detail, words))
        fail_msg("\"%s\" is not in \"%s\"", words, err.detail);
}

static void output_of_a_program_is_taken(void **state)
{
    (void)state;
    const char *const argv[] = {"printf", "%s|%s", "a b", "$HOME;`x`", NULL};
    assert_int_equal(process_run(argv, NULL, &out, &err), 0);
    assert_string_equal(out.p, "a b|$HOME;`x`");
}

static void output_may_be_discarded(void **state)
{
    (void)state;
    const char *const argv[] = {"sh", "-c", "yes | head -c 1000000", NULL};
    assert_int_equal(process_run(argv, NULL, NULL, &err), 0);
}

static void a_failure_carries_the_status_and_the_end_of_stderr(void **state)
{
    (void)state;
    assert_failed(run_shell("seq 1000 >&2; echo the reason >&2; exit 3", NULL), "sh ended with status 3. ");
    assert_non_null(strstr(err.detail, "1000\nthe reason\n"));
    assert_null(strstr(err.detail, "\n800\n"));
}

static void a_program_that_is_not_there_cannot_be_started(void **state)
{
    (void)state;
    const char *const argv[] = {"overread-no-such-program", NULL};
    assert_int_equal(process_run(argv, NULL, &out, &err), -1);
    assert_int_equal(err.kind, ERROR_INTERNAL);
    assert_non_null(strstr(err.detail, "No such file"));
}

static void too_much_output_ends_the_program(void **state)
{
    (void)state;
    assert_failed(run_shell("yes", NULL), "wrote more than was expected");
}

static void the_wall_clock_ends_the_program_and_all_that_it_started(void **state)
{
    (void)state;
    const struct process_limits limits = {.wall_ms = 200};
    uint64_t started = clock_monotonic_ns();
    assert_failed(run_shell("sleep 300 & sleep 300 & wait", &limits), "took too long");
    assert_true(clock_monotonic_ns() - started < 100 * (uint64_t)1000000000);
}

static void endless_output_does_not_put_off_the_wall_clock(void **state)
{
    (void)state;
    const struct process_limits limits = {.wall_ms = 200};
    const char *const argv[] = {"yes", NULL};
    assert_failed(process_run(argv, &limits, NULL, &err), "took too long");
}

static void a_grandchild_that_holds_the_pipes_does_not_hold_us(void **state)
{
    (void)state;
    uint64_t started = clock_monotonic_ns();
    assert_int_equal(run_shell("sleep 300 & echo $!", NULL), 0);
    assert_true(clock_monotonic_ns() - started < 100 * (uint64_t)1000000000);
    int64_t pid = 0;
    assert_int_equal(text_to_int64((struct text){out.p, out.len - 1}, 2, INT32_MAX, &pid), 0);
    char path[64], state_line[256] = "";
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    for (int i = 0; i < 500; i++) { /* the kill is seen when the kernel gets to it */
        FILE *f = fopen(path, "re");
        if (!f)
            return;
        char *got = fgets(state_line, sizeof(state_line), f);
        fclose(f);
        if (!got || strstr(state_line, ") Z "))
            return;
        usleep(10000);
    }
    fail_msg("still there: %s", state_line);
}

static void limits_are_set(void **state)
{
    (void)state;
    const struct process_limits limits = {
        .cpu_seconds = 7, .memory_bytes = 512u << 20, .file_bytes = 1u << 20, .wall_ms = 20000};
    assert_int_equal(run_shell("ulimit -t; ulimit -v; ulimit -f; ulimit -c", &limits), 0);
    assert_string_equal(out.p, "7\n524288\n2048\n0\n");
}

static void the_cpu_limit_ends_the_program(void **state)
{
    (void)state;
    const struct process_limits limits = {.cpu_seconds = 1, .wall_ms = 60000};
    assert_failed(run_shell("while :; do :; done", &limits), "ended by signal");
}

static void the_program_inherits_neither_descriptors_nor_environment(void **state)
{
    (void)state;
    setenv("OVERREAD_SECRET", "x", 1);
    setenv("DCMDICTPATH", "/dict", 1);
    int fd = open("/dev/null", O_RDONLY); /* NOLINT(android-cloexec-open): that is the point */
    /* No pipe behind ls: the shell might not have closed its ends of it yet. */
    assert_int_equal(
        run_shell("env | grep -v '^PWD=\\|^_=\\|^SHLVL=\\|^OLDPWD=' | sort; ls /proc/$$/fd; true", NULL), 0);
    close(fd);
    unsetenv("OVERREAD_SECRET");
    unsetenv("DCMDICTPATH");
    assert_null(strstr(out.p, "OVERREAD_SECRET"));
    char want[4096 + 64];
    snprintf(want, sizeof(want), "DCMDICTPATH=/dict\nLC_ALL=C.UTF-8\nPATH=%s\n0\n1\n2\n", getenv("PATH"));
    assert_string_equal(out.p, want);
}

static void blocked_signals_are_not_inherited(void **state)
{
    (void)state;
    sigset_t term, before;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, &before);
    int r = run_shell("kill -TERM $$; echo survived", NULL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    assert_failed(r, "ended by signal 15");
}

int main(void)
{
#define PROCESS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(output_of_a_program_is_taken),
        PROCESS_TEST(output_may_be_discarded),
        PROCESS_TEST(a_failure_carries_the_status_and_the_end_of_stderr),
        PROCESS_TEST(a_program_that_is_not_there_cannot_be_started),
        PROCESS_TEST(too_much_output_ends_the_program),
        PROCESS_TEST(the_wall_clock_ends_the_program_and_all_that_it_started),
        PROCESS_TEST(endless_output_does_not_put_off_the_wall_clock),
        PROCESS_TEST(a_grandchild_that_holds_the_pipes_does_not_hold_us),
        PROCESS_TEST(limits_are_set),
        PROCESS_TEST(the_cpu_limit_ends_the_program),
        PROCESS_TEST(the_program_inherits_neither_descriptors_nor_environment),
        PROCESS_TEST(blocked_signals_are_not_inherited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
