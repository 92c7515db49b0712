#include "grading/worker_process.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/log.h"
#include "base/mem.h"

#define PAGE_BYTES 4096
/* Above what the child's own descriptors are put at, so that no copy overwrites another's source. */
#define OUT_OF_THE_WAY 16

static int make_page(struct frame_page **ret)
{
    int fd = memfd_create("overread-page", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return -errno;
    if (ftruncate(fd, PAGE_BYTES) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0) {
        close(fd);
        return -EIO;
    }
    *ret = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (*ret == MAP_FAILED) {
        close(fd);
        return -ENOMEM;
    }
    return fd;
}

/* Authors see stderr, and so do the sanitizers' reports; otherwise a plugin has no way into the log but
 * host->log. */
static bool keeps_stderr(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#else
    return getenv("OVERREAD_GRADER_EXPLAIN") != NULL;
#endif
}

static int set_descriptors(posix_spawn_file_actions_t *actions, int socket, int library, int page)
{
    int r = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);

    if (r == 0)
        r = posix_spawn_file_actions_addopen(actions, 1, "/dev/null", O_WRONLY, 0);
    if (r == 0 && !keeps_stderr())
        r = posix_spawn_file_actions_addopen(actions, 2, "/dev/null", O_WRONLY, 0);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(actions, socket, FRAME_FD_SOCKET);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(actions, library, FRAME_FD_LIBRARY);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(actions, page, FRAME_FD_PAGE);
    if (r == 0)
        r = posix_spawn_file_actions_addclosefrom_np(actions, FRAME_FD_PAGE + 1);
    return r;
}

static int spawn(const char *grader, int socket, int library, int page, int *ret_pid)
{
    static char name[] = "overread-grader", flag[] = "--explain";
    char *argv[] = {name, getenv("OVERREAD_GRADER_EXPLAIN") ? flag : NULL, NULL}, *envp[] = {NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int r;

    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    r = set_descriptors(&actions, socket, library, page);
    if (r == 0)
        r = posix_spawn(ret_pid, grader, &actions, &attributes, argv, envp);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -r;
}

static int start_with(const char *grader, int ends[2], int library_fd, int page_fd,
                      struct worker_process *ret)
{
    int socket = fcntl(ends[1], F_DUPFD_CLOEXEC, OUT_OF_THE_WAY),
        library = fcntl(library_fd, F_DUPFD_CLOEXEC, OUT_OF_THE_WAY),
        page = fcntl(page_fd, F_DUPFD_CLOEXEC, OUT_OF_THE_WAY), r = -EMFILE;

    if (socket >= 0 && library >= 0 && page >= 0)
        r = spawn(grader, socket, library, page, &ret->pid);
    const int copies[] = {socket, library, page};

    for (size_t i = 0; i < sizeof(copies) / sizeof(copies[0]); i++)
        if (copies[i] >= 0)
            close(copies[i]);
    if (r < 0)
        return r;
    ret->pidfd = pidfd_open(ret->pid, 0);
    if (ret->pidfd < 0) {
        r = -errno;
        kill(ret->pid, SIGKILL);
        waitpid(ret->pid, NULL, 0);
    }
    return r;
}

int worker_process_start(const char *grader, int library_fd, struct worker_process *ret)
{
    int ends[2], page_fd = make_page(&ret->page);

    if (page_fd < 0)
        return page_fd;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        close(page_fd);
        munmap(ret->page, PAGE_BYTES);
        return -EMFILE;
    }
    int r = start_with(grader, ends, library_fd, page_fd, ret);

    close(ends[1]);
    close(page_fd);
    if (r < 0) {
        close(ends[0]);
        munmap(ret->page, PAGE_BYTES);
        return r;
    }
    ret->socket = ends[0];
    return 0;
}

/* --- Confinement
 * ------------------------------------------------------------------------------------------------ */

#define FILTERS_OF_A_WORKER 2 /* loading, strict */

/* System call filters of a process, those included that it was started with. -1: the kernel does not say. */
static int64_t filters_of(const char *process)
{
    static const char label[] = "Seccomp_filters:";
    char path[64], line[256];
    int64_t count = -1;

    snprintf(path, sizeof(path), "/proc/%s/status", process);
    FILE *file = fopen(path, "re");

    while (file && count < 0 && fgets(line, sizeof(line), file))
        if (strncmp(line, label, sizeof(label) - 1) == 0)
            count = strtoll(line + sizeof(label) - 1, NULL, 10);
    if (file)
        fclose(file);
    return count;
}

bool worker_process_confined(int pid)
{
    char process[16];
    const int64_t own = filters_of("self");

    snprintf(process, sizeof(process), "%d", pid);
    return own < 0 || filters_of(process) - own >= FILTERS_OF_A_WORKER;
}

const char *worker_process_weakness(void)
{
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 1)
        return "no Landlock: while it is loaded, a plugin can read what everybody can";
    if (filters_of("self") < 0)
        return "no count of system call filters: a plugin that keeps them off is not noticed";
    return NULL;
}

/* --- Reaping
 * ---------------------------------------------------------------------------------------------------- */

struct corpse {
    struct corpse *next, **link;
    int pid, pidfd;
    struct loop_watch *watch;
    char *plugin, *why;
};

static _Thread_local struct corpse *corpses;

static void tell(const struct corpse *corpse, const siginfo_t *info)
{
    char number[16];
    const char *signal = NULL;

    if (!corpse->why)
        return;
    if (info->si_code == CLD_KILLED || info->si_code == CLD_DUMPED)
        signal = sigabbrev_np(info->si_status);
    snprintf(number, sizeof(number), "%d", corpse->pid);
    log_line(LOG_LEVEL_ERROR, "grader_lost", "plugin", corpse->plugin, "why", corpse->why, "signal",
             signal ? signal : "none", "#pid", number, NULL);
}

static void reap(struct corpse *corpse)
{
    siginfo_t info = {0};

    while (waitid(P_PIDFD, (id_t)corpse->pidfd, &info, WEXITED) < 0 && errno == EINTR)
        ;
    tell(corpse, &info);
    loop_watch_close(corpse->watch);
    close(corpse->pidfd);
    *corpse->link = corpse->next;
    if (corpse->next)
        corpse->next->link = corpse->link;
    mem_free(corpse->plugin);
    mem_free(corpse->why);
    mem_free(corpse);
}

static void has_ended(void *arg, unsigned events)
{
    (void)events;
    reap(arg);
}

void worker_process_bury(struct loop *loop, int pid, int pidfd, const char *plugin, const char *why)
{
    struct corpse *corpse = mem_alloc(sizeof(*corpse));

    *corpse = (struct corpse){.next = corpses,
                              .link = &corpses,
                              .pid = pid,
                              .pidfd = pidfd,
                              .plugin = mem_strdup(plugin),
                              .why = why ? mem_strdup(why) : NULL};
    if (corpses)
        corpses->link = &corpse->next;
    corpses = corpse;
    pidfd_send_signal(pidfd, SIGKILL, NULL, 0); /* fails when it has ended by itself */
    corpse->watch = loop_watch(loop, pidfd, LOOP_READ, has_ended, corpse);
}

void worker_process_reap_all(void)
{
    while (corpses)
        reap(corpses);
}
