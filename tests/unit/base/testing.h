/* What the tests of base share: cmocka's includes in the order it wants them, and what a piece of code
 * writes. */
#ifndef OVERREAD_TESTS_BASE_TESTING_H
#define OVERREAD_TESTS_BASE_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct capture {
    int fd, saved, into;
    char text[32768];
};

static inline void capture_start(struct capture *capture, int fd)
{
    fflush(NULL);
    capture->fd = fd;
    capture->saved = dup(fd);
    capture->into = memfd_create("capture", MFD_CLOEXEC);
    assert_true(capture->saved >= 0 && capture->into >= 0);
    assert_int_equal(dup2(capture->into, fd), fd);
}

static inline const char *capture_end(struct capture *capture)
{
    fflush(NULL);
    dup2(capture->saved, capture->fd);
    close(capture->saved);
    ssize_t n = pread(capture->into, capture->text, sizeof(capture->text) - 1, 0);
    close(capture->into);
    assert_true(n >= 0);
    capture->text[n] = '\0';
    return capture->text;
}

/* Runs fn in a child and asserts that it aborts, having said `words` on stderr. */
static inline void assert_dies(void (*fn)(void), const char *words)
{
    struct capture capture;
    capture_start(&capture, STDERR_FILENO);
    pid_t child = fork();
    if (child == 0) {
        /* The sanitizers' and cmocka's handlers would turn the abort into something else. */
        signal(SIGABRT, SIG_DFL);
        fn();
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    const char *said = capture_end(&capture);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(said, words));
}

#endif
