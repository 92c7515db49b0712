#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define STDERR_TAIL 400
/* More than a full pipe holds; bounded, for a process that left the group may write for ever. */
#define LAST_READS 64

struct child {
    pid_t pid;
    int pid_fd, out_fd, err_fd;
    uint64_t deadline_ns; /* 0: none */
    struct buffer *out;   /* may be NULL */
    char tail[STDERR_TAIL];
    size_t tail_len;
    const char *killed_for; /* NULL: not by us */
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* --- The child's side: between fork and exec, with other threads' locks perhaps held, so no allocation  */

static bool limit(__rlimit_resource_t resource, uint64_t value)
{
    const struct rlimit both = {.rlim_cur = value, .rlim_max = value};
    return setrlimit(resource, &both) == 0;
}

static bool set_limits(const struct process_limits *limits)
{
    if (!limit(RLIMIT_CORE, 0))
        return false;
    if (!limits)
        return true;
    return (!limits->cpu_seconds || limit(RLIMIT_CPU, limits->cpu_seconds)) &&
           (!limits->memory_bytes || limit(RLIMIT_AS, limits->memory_bytes)) &&
           (!limits->file_bytes || limit(RLIMIT_FSIZE, limits->file_bytes));
}

static void default_signals(void)
{
    /* The server blocks SIGTERM and ignores SIGPIPE; both would be inherited. */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
}

/* Puts out, err and report at 1, 2 and 3 whatever numbers they have now, then closes all above. */
static bool place_fds(int null, int out, int err, int report)
{
    int at[4] = {null, out, err, report};
    for (int i = 0; i < 4; i++) {
        at[i] = fcntl(at[i], F_DUPFD_CLOEXEC, 4);
        if (at[i] < 0)
            return false;
    }
    for (int i = 0; i < 3; i++)
        if (dup2(at[i], i) < 0)
            return false;
    return dup3(at[3], 3, O_CLOEXEC) == 3 && close_range(4, ~0u, 0) == 0;
}

static _Noreturn void run_child(const char *const argv[], char *const environment[],
                                const struct process_limits *limits, int null, int out, int err, int report)
{
    union { /* exec takes char *const[], and does not write */
        const char *const *constant;
        char *const *plain;
    } args = {.constant = argv};
    default_signals();
    if (setpgid(0, 0) == 0 && place_fds(null, out, err, report)) {
        report = 3;
        if (set_limits(limits))
            execvpe(argv[0], args.plain, environment);
    }
    int number = errno;
    ssize_t written = write(report, &number, sizeof(number));
    (void)written; /* the parent sees the exit status then */
    _exit(127);
}

/* --- The parent's side ----------------------------------------------------------------------- */

static int could_not_start(struct error *err, const char *program, int number)
{
    const char *words = strerrordesc_np(number);
    return error_set(err, ERROR_INTERNAL, "tool_not_started", NULL, "%s could not be started: %s", program,
                     words ? words : "unknown error");
}

static char *environment_entry(const char *name, const char *value)
{
    size_t size = strlen(name) + 1 + strlen(value) + 1;
    char *entry = mem_alloc(size);
    snprintf(entry, size, "%s=%s", name, value);
    return entry;
}

/* PATH, LC_ALL, DCMDICTPATH, NULL; to be freed entry by entry. */
static void make_environment(char *ret[4])
{
    const char *path =
        getenv("PATH"); /* NOLINT(concurrency-mt-unsafe): nobody sets variables after the start */
    const char *dictionary = getenv("DCMDICTPATH"); /* NOLINT(concurrency-mt-unsafe) */
    ret[0] = environment_entry("PATH", path ? path : "/usr/local/bin:/usr/bin:/bin");
    ret[1] = environment_entry("LC_ALL", "C.UTF-8");
    ret[2] = dictionary ? environment_entry("DCMDICTPATH", dictionary) : NULL;
    ret[3] = NULL;
}

/* Reads the errno that the child could not exec for; 0 when the pipe closed by exec itself. */
static int read_report(int fd)
{
    int number = 0;
    ssize_t n;
    do
        n = read(fd, &number, sizeof(number));
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof(number) ? number : 0;
}

/* 0 or -errno. On failure nothing is left behind. */
static int start(struct child *child, const char *const argv[], const struct process_limits *limits)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int out[2] = {-1, -1}, err[2] = {-1, -1}, report[2] = {-1, -1};
    int number = 0;
    if (null < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0 || pipe2(report, O_CLOEXEC) < 0 ||
        fcntl(out[0], F_SETFL, O_NONBLOCK) < 0 || fcntl(err[0], F_SETFL, O_NONBLOCK) < 0) {
        number = errno;
    } else {
        char *environment[4];
        make_environment(environment);
        child->pid = fork();
        if (child->pid == 0)
            run_child(argv, environment, limits, null, out[1], err[1], report[1]);
        if (child->pid < 0)
            number = errno;
        for (int i = 0; i < 3; i++)
            mem_free(environment[i]);
    }
    close_fd(&null);
    close_fd(&out[1]);
    close_fd(&err[1]);
    close_fd(&report[1]);
    if (number == 0 && (number = read_report(report[0])) == 0) {
        child->pid_fd = pidfd_open(child->pid, 0);
        number = child->pid_fd < 0 ? errno : 0;
    }
    close_fd(&report[0]);
    if (number == 0) {
        child->out_fd = out[0];
        child->err_fd = err[0];
        return 0;
    }
    if (child->pid > 0) {
        kill(child->pid, SIGKILL);
        waitpid(child->pid, NULL, 0);
    }
    close_fd(&out[0]);
    close_fd(&err[0]);
    return -number;
}

static void kill_group(struct child *child, const char *why)
{
    if (!child->killed_for)
        child->killed_for = why;
    kill(-child->pid, SIGKILL);
}

static void keep_tail(struct child *child, const char *bytes, size_t len)
{
    if (len > STDERR_TAIL) {
        bytes += len - STDERR_TAIL;
        len = STDERR_TAIL;
    }
    size_t kept = child->tail_len;
    if (kept > STDERR_TAIL - len)
        kept = STDERR_TAIL - len;
    memmove(child->tail, child->tail + child->tail_len - kept, kept);
    memcpy(child->tail + kept, bytes, len);
    child->tail_len = kept + len;
}

static void take_output(struct child *child, const char *bytes, size_t len)
{
    if (!child->out)
        return;
    buffer_add(child->out, bytes, len);
    if (child->out->failed)
        kill_group(child, "it wrote more than was expected");
}

/* One read of what is there. False when nothing was: then the pipe is empty, or closed and *fd is -1. */
static bool drain(struct child *child, int *fd, void (*take)(struct child *, const char *, size_t))
{
    char bytes[4096];
    if (*fd < 0)
        return false;
    ssize_t n = read(*fd, bytes, sizeof(bytes));
    if (n > 0) {
        take(child, bytes, (size_t)n);
        return true;
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR))
        close_fd(fd);
    return false;
}

/* -1: as long as it takes. 0: its time is over. */
static int time_left_ms(const struct child *child)
{
    if (!child->deadline_ns || child->killed_for)
        return -1;
    uint64_t now = clock_monotonic_ns();
    if (now >= child->deadline_ns)
        return 0;
    uint64_t ms = (child->deadline_ns - now + 999999) / 1000000;
    return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

/* Reads both pipes until the program itself has ended. What it may have left running is killed with its
 * group, and does not hold us up by holding the pipes. Gives the wait status. */
static int await(struct child *child)
{
    for (;;) {
        struct pollfd fds[] = {
            {.fd = child->pid_fd, .events = POLLIN},
            {.fd = child->out_fd, .events = POLLIN},
            {.fd = child->err_fd, .events = POLLIN},
        };
        int ready = poll(fds, sizeof(fds) / sizeof(fds[0]), time_left_ms(child));
        drain(child, &child->out_fd, take_output);
        drain(child, &child->err_fd, keep_tail);
        if (ready > 0 && fds[0].revents)
            break;
        if (time_left_ms(child) == 0)
            kill_group(child, "it took too long");
    }
    kill(-child->pid, SIGKILL); /* before the pid is given up by waiting for it */
    for (int i = 0; i < LAST_READS && drain(child, &child->out_fd, take_output); i++)
        ;
    for (int i = 0; i < LAST_READS && drain(child, &child->err_fd, keep_tail); i++)
        ;
    int status = 0;
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

static int describe(const struct child *child, const char *program, int status, struct error *err)
{
    if (child->killed_for)
        return error_set(err, ERROR_UNPROCESSABLE, "tool_failed", NULL, "%s was stopped: %s. %.*s", program,
                         child->killed_for, (int)child->tail_len, child->tail);
    if (WIFSIGNALED(status))
        return error_set(err, ERROR_UNPROCESSABLE, "tool_failed", NULL, "%s ended by signal %d. %.*s",
                         program, WTERMSIG(status), (int)child->tail_len, child->tail);
    return error_set(err, ERROR_UNPROCESSABLE, "tool_failed", NULL, "%s ended with status %d. %.*s", program,
                     WEXITSTATUS(status), (int)child->tail_len, child->tail);
}

int process_run(const char *const argv[], const struct process_limits *limits, struct buffer *out,
                struct error *err)
{
    struct child child = {.pid = -1, .pid_fd = -1, .out_fd = -1, .err_fd = -1, .out = out};
    if (limits && limits->wall_ms)
        child.deadline_ns = clock_monotonic_ns() + (uint64_t)limits->wall_ms * 1000000u;
    int r = start(&child, argv, limits);
    if (r < 0)
        return could_not_start(err, argv[0], -r);
    int status = await(&child);
    close_fd(&child.pid_fd);
    close_fd(&child.out_fd);
    close_fd(&child.err_fd);
    if (!child.killed_for && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return describe(&child, argv[0], status, err);
}
