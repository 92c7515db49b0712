#include "private_postgres.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATH_SIZE = 300 };

static char dir[64], data[PATH_SIZE], bin[PATH_SIZE];
static pid_t server, owner;

static void fail(const char *what)
{
    fprintf(stderr, "private PostgreSQL: %s\n", what);
    exit(1);
}

static void find_binaries(void)
{
    glob_t found;
    if (glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &found) != 0 || found.gl_pathc == 0)
        exit(77);
    snprintf(bin, sizeof(bin), "%s",
             found.gl_pathv[0]); /* 15 before 16 and later: the version that is supported */
    *strrchr(bin, '/') = '\0';
    globfree(&found);
}

/* In the child: an ordinary user, dead when this test is dead, quiet. */
static void become_ordinary(const struct passwd *user)
{
    char log[PATH_SIZE];
    if (user && (setgroups(0, NULL) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
    snprintf(log, sizeof(log), "%s/log", dir);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0 || chdir(dir) != 0)
        _exit(126);
}

static const struct passwd *ordinary_user(void)
{
    if (geteuid() != 0)
        return NULL;
    const struct passwd *user = getpwnam("postgres");
    if (!user)
        user = getpwnam("nobody");
    if (!user)
        fail("no user to run it as");
    return user;
}

static pid_t spawn(const char *program, const char *const argv[])
{
    char path[2 * PATH_SIZE];
    const struct passwd *user = ordinary_user();
    snprintf(path, sizeof(path), "%s/%s", bin, program);
    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child > 0)
        return child;
    become_ordinary(user);
    union {
        const char *const *in;
        char *const *out;
    } args = {.in = argv}; /* execv takes what it will not change as changeable */
    execv(path, args.out);
    _exit(127);
}

static int wait_for(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *place)
{
    (void)st, (void)kind, (void)place;
    return remove(path);
}

static void clean_up(void)
{
    if (getpid() != owner)
        return;
    postgres_stop();
    nftw(dir, remove_one, 32, FTW_DEPTH | FTW_PHYS);
}

const char *postgres_conninfo(const char *database, const char *user)
{
    static char texts[8][PATH_SIZE];
    static unsigned next;
    char *text = texts[next++ % 8];
    snprintf(text, PATH_SIZE, "host=%s dbname=%s user=%s", dir, database, user);
    return text;
}

void postgres_restart(void)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    /* Small and undurable: it is thrown away. */
    const char *const argv[] = {"postgres",
                                "-D",
                                data,
                                "-k",
                                dir,
                                "-c",
                                "listen_addresses=",
                                "-c",
                                "fsync=off",
                                "-c",
                                "shared_buffers=16MB",
                                "-c",
                                "max_connections=60",
                                NULL};
    server = spawn("postgres", argv);
    for (int i = 0; i < 1500; i++) {
        if (PQping(postgres_conninfo("postgres", "postgres")) == PQPING_OK)
            return;
        nanosleep(&pause, NULL);
    }
    fail("it does not start");
}

void postgres_stop(void)
{
    if (server <= 0)
        return;
    kill(server, SIGINT);
    wait_for(server);
    server = 0;
}

void postgres_start(void)
{
    find_binaries();
    snprintf(dir, sizeof(dir), "/tmp/overread-postgres-XXXXXX");
    if (!mkdtemp(dir))
        fail("mkdtemp");
    owner = getpid();
    atexit(clean_up);
    const struct passwd *user = ordinary_user();
    if (user && chown(dir, user->pw_uid, user->pw_gid) != 0)
        fail("chown");
    snprintf(data, sizeof(data), "%s/data", dir);
    const char *const argv[] = {"initdb",   "-D",
                                data,       "-U",
                                "postgres", "-A",
                                "trust",    "-E",
                                "UTF8",     "--locale=C.UTF-8",
                                "-N",       "--no-instructions",
                                NULL};
    if (wait_for(spawn("initdb", argv)) != 0)
        fail("initdb failed");
    postgres_restart();
}
