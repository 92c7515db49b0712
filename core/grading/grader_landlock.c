#include "grading/grader_sandbox.h"
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Version 1 of Landlock (Linux 5.13); later ones add rights that a worker's filter denies anyway. */
#define ALL_RIGHTS                                                                                           \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |             \
     LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |          \
     LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |              \
     LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |           \
     LANDLOCK_ACCESS_FS_MAKE_SYM)

static bool allow(int ruleset, const char *path)
{
    struct stat st;
    int fd = open(path, O_PATH | O_CLOEXEC);

    if (fd < 0)
        return true; /* not on this system */
    bool is_folder = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
    struct landlock_path_beneath_attr rule = {
        .parent_fd = fd,
        .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | (is_folder ? LANDLOCK_ACCESS_FS_READ_DIR : 0)};
    long r = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);

    close(fd);
    return r == 0;
}

const char *sandbox_restrict_files(void)
{
    /* What dlopen may have to read for a plugin's own needs: libc, libm, libstdc++. */
    static const char *const readable[] = {"/usr/lib", "/usr/lib64",     "/lib",
                                           "/lib64",   "/usr/local/lib", "/etc/ld.so.cache"};
    const struct landlock_ruleset_attr attributes = {.handled_access_fs = ALL_RIGHTS};
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);

    if (ruleset < 0)
        return NULL; /* a kernel without it: nobody's rights and the filters remain */
    bool ok = true;

    for (size_t i = 0; i < sizeof(readable) / sizeof(readable[0]) && ok; i++)
        ok = allow(ruleset, readable[i]);
    ok = ok && syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    close(ruleset);
    return ok ? NULL : "files could not be restricted";
}
