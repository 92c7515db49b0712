#include "grading/grader_sandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "grading/frame.h"

#ifdef __clang__ /* libseccomp's comparisons leave out the second value where there is none */
#pragma clang diagnostic ignored "-Wmissing-field-initializers"
#endif

#define NOBODY 65534u
/* Beside a plugin's memory_mb: program, libraries, stack, and the parsed JSON of the largest frame. */
#define BASE_MB 384u
#define LIFE_CPU_SECONDS 3600u
/* Where the strict filter waits: below all other memory, so that one bound keeps every call away from it. */
#define STRICT_AT 0x10000u
#define STRICT_BYTES 0x8000u
#define STRICT_END (STRICT_AT + STRICT_BYTES)

const char *sandbox_drop_privileges(void)
{
    setsid(); /* fails for a group leader, which then is in a session of its own already */
    if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
                           setresuid(NOBODY, NOBODY, NOBODY) < 0))
        return "privileges could not be dropped";
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return "new privileges could not be ruled out";
    /* After the change of identity, which clears it. A parent that is gone already has closed the socket. */
    return prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? "the parent's death could not be bound" : NULL;
}

static bool limit(__rlimit_resource_t what, rlim_t value)
{
    struct rlimit old, now;

    if (getrlimit(what, &old) < 0)
        return false;
    if (old.rlim_max != RLIM_INFINITY && old.rlim_max < value)
        value = old.rlim_max;
    now = (struct rlimit){.rlim_cur = value, .rlim_max = value};
    return setrlimit(what, &now) == 0;
}

const char *sandbox_limit(unsigned memory_mb, bool explain)
{
    const rlim_t address_space = ((rlim_t)BASE_MB + memory_mb) << 20;

    if (!GRADER_SANITIZED && !limit(RLIMIT_AS, address_space))
        return "memory could not be limited";
    if (!limit(RLIMIT_CPU, LIFE_CPU_SECONDS) || !limit(RLIMIT_NOFILE, 32) || !limit(RLIMIT_NPROC, 0) ||
        !limit(RLIMIT_CORE, 0))
        return "resources could not be limited";
    /* An explanation is to reach stderr also when that is a file. */
    if (!explain && !GRADER_SANITIZED && !limit(RLIMIT_FSIZE, 0))
        return "the size of files could not be limited";
    return NULL;
}

/* --- Filters
 * ---------------------------------------------------------------------------------------------------- */

/* For authors: names what the filter denied, then dies as without. Not async-signal-safe, and need not be. */
static void explain_denied(int signal, siginfo_t *info, void *context)
{
    char *name = seccomp_syscall_resolve_num_arch(info->si_arch, info->si_syscall);
    char line[160];
    int len =
        snprintf(line, sizeof(line), "overread-grader: the plugin made a call that is denied: %s (%d)\n",
                 name ? name : "?", info->si_syscall);

    (void)context;
    if (len > 0 && write(STDERR_FILENO, line, (size_t)len) < 0)
        _exit(1);
    struct sigaction plain = {.sa_handler = SIG_DFL};

    sigaction(signal, &plain, NULL);
    raise(signal);
}

static int add_all(scmp_filter_ctx filter, const int *calls)
{
    int r = 0;

    for (size_t i = 0; calls[i] != __NR_SCMP_ERROR && r == 0; i++)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
    return r;
}

static int add_memory(scmp_filter_ctx filter)
{
    static const int calls[] = {SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
                                __NR_SCMP_ERROR};
    int r = add_all(filter, calls);

    /* Memory, never a file, and never executable. */
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
                             SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS));
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    return r;
}

static int add_socket(scmp_filter_ctx filter)
{
    static const int calls[] = {SCMP_SYS(read), SCMP_SYS(recvfrom), SCMP_SYS(write), SCMP_SYS(sendto)};
    int r = 0;

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]) && r == 0; i++)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 1, SCMP_A0(SCMP_CMP_EQ, FRAME_FD_SOCKET));
    /* abort() says why before it raises; descriptor 2 is /dev/null but for authors. */
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(write), 1, SCMP_A0(SCMP_CMP_EQ, STDERR_FILENO));
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(writev), 1,
                             SCMP_A0(SCMP_CMP_EQ, STDERR_FILENO));
    return r;
}

static int add_common(scmp_filter_ctx filter, bool explain)
{
    static const int calls[] = {
        SCMP_SYS(poll),         SCMP_SYS(ppoll),          SCMP_SYS(futex),       SCMP_SYS(clock_gettime),
        SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday),   SCMP_SYS(time),        SCMP_SYS(timer_settime),
        SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask), SCMP_SYS(getrandom),   SCMP_SYS(restart_syscall),
        SCMP_SYS(getpid),       SCMP_SYS(gettid),         SCMP_SYS(sched_yield), SCMP_SYS(exit),
        SCMP_SYS(exit_group),   SCMP_SYS(sysinfo), /* qsort asks how much memory there is */
        __NR_SCMP_ERROR};
    static const int for_sanitizers[] = {SCMP_SYS(sigaltstack), SCMP_SYS(rt_sigaction), SCMP_SYS(getrlimit),
                                         SCMP_SYS(mincore),     SCMP_SYS(getuid),       SCMP_SYS(getppid),
                                         __NR_SCMP_ERROR};
    static const int for_explain[] = {SCMP_SYS(rt_sigaction), __NR_SCMP_ERROR};
    int r = add_all(filter, calls);

    if (r == 0) /* abort() */
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                             SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    if (r == 0 && GRADER_SANITIZED)
        r = add_all(filter, for_sanitizers);
    else if (r == 0 && explain)
        r = add_all(filter, for_explain);
    return r == 0 ? add_socket(filter) : r;
}

/* Any memory but the strict filter's. */
static int add_memory_beside_strict(scmp_filter_ctx filter)
{
    static const int calls[] = {SCMP_SYS(munmap), SCMP_SYS(madvise), SCMP_SYS(mprotect), SCMP_SYS(mmap)};
    int r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(brk), 0);

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]) && r == 0; i++)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 1, SCMP_A0(SCMP_CMP_GE, STRICT_END));
    if (r == 0) /* wherever the kernel likes */
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, SCMP_A0(SCMP_CMP_EQ, 0),
                             SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_FIXED, 0));
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mremap), 2, SCMP_A0(SCMP_CMP_GE, STRICT_END),
                             SCMP_A3(SCMP_CMP_MASKED_EQ, MREMAP_FIXED, 0));
    return r;
}

static int add_loading(scmp_filter_ctx filter)
{
    static const int calls[] = {
        SCMP_SYS(read),   SCMP_SYS(pread64),   SCMP_SYS(lseek),      SCMP_SYS(close),
        SCMP_SYS(fstat),  SCMP_SYS(stat),      SCMP_SYS(newfstatat), SCMP_SYS(statx),
        SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(readlink),   SCMP_SYS(readlinkat),
        SCMP_SYS(getcwd), SCMP_SYS(rseq),      SCMP_SYS(getdents64), __NR_SCMP_ERROR};
    const scmp_datum_t writing = O_ACCMODE | O_CREAT | O_TRUNC | O_TMPFILE;
    int r = add_all(filter, calls);

    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, writing & ~(scmp_datum_t)O_DIRECTORY, O_RDONLY));
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(seccomp), 3,
                             SCMP_A0(SCMP_CMP_EQ, SECCOMP_SET_MODE_FILTER), SCMP_A1(SCMP_CMP_EQ, 0),
                             SCMP_A2(SCMP_CMP_EQ, STRICT_AT));
    return r == 0 ? add_memory_beside_strict(filter) : r;
}

static scmp_filter_ctx make_filter(bool explain, int (*add)(scmp_filter_ctx))
{
    scmp_filter_ctx filter = seccomp_init(explain ? SCMP_ACT_TRAP : SCMP_ACT_KILL_PROCESS);

    if (filter && add_common(filter, explain) == 0 && add(filter) == 0)
        return filter;
    seccomp_release(filter);
    return NULL;
}

/* libseccomp writes a program to a descriptor only; a pipe holds it. */
static ssize_t export_program(scmp_filter_ctx filter, void *to, size_t size)
{
    int ends[2];
    ssize_t len = -1;

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return -1;
    if (seccomp_export_bpf(filter, ends[1]) == 0)
        len = read(ends[0], to, size);
    close(ends[0]);
    close(ends[1]);
    return len;
}

static bool put_strict_in_place(bool explain)
{
    struct sock_fprog *program = mmap((void *)(uintptr_t)STRICT_AT, STRICT_BYTES, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    scmp_filter_ctx filter = make_filter(explain, add_memory);

    if (!filter || (uintptr_t)program != STRICT_AT) {
        seccomp_release(filter);
        return false;
    }
    program->filter = (struct sock_filter *)(program + 1);
    ssize_t len = export_program(filter, program->filter, STRICT_BYTES - sizeof(*program));

    seccomp_release(filter);
    /* A program that fills the room may have been cut off. */
    if (len <= 0 || (size_t)len >= STRICT_BYTES - sizeof(*program))
        return false;
    program->len = (unsigned short)((size_t)len / sizeof(*program->filter));
    return mprotect(program, STRICT_BYTES, PROT_READ) == 0;
}

const char *sandbox_filter_loading(bool explain)
{
    static const char failed[] = "the system call filter could not be set";
    struct sigaction action = {.sa_sigaction = explain_denied, .sa_flags = SA_SIGINFO};

    if (explain && sigaction(SIGSYS, &action, NULL) < 0)
        return "the explaining handler could not be set";
    if (!put_strict_in_place(explain))
        return failed;
    scmp_filter_ctx filter = make_filter(explain, add_loading);
    int r = filter ? seccomp_load(filter) : -ENOMEM;

    seccomp_release(filter);
    return r == 0 ? NULL : failed;
}

const char *sandbox_filter_strict(void)
{
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, STRICT_AT) == 0
               ? NULL
               : "the strict system call filter could not be set";
}
