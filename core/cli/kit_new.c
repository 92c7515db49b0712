#include "cli/kit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/template_answer.h"
#include "cli/template_config.h"
#include "cli/template_expected.h"
#include "cli/template_gitignore.h"
#include "cli/template_manifest.h"
#include "cli/template_meson.h"
#include "cli/template_options.h"
#include "cli/template_readme.h"
#include "cli/template_source.h"
#include "cli/template_truth.h"
#include "cli/template_truth_as_answer.h"

#define NAME_MAX_LENGTH 64 /* of a manifest's id */

static const struct {
    const char *path; /* under the new folder */
    const char *bytes;
} files[] = {
    {"meson.build", template_meson},
    {"meson_options.txt", template_options},
    {"manifest.json", template_manifest},
    {"@NAME@.c", template_source},
    {"README.md", template_readme},
    {".gitignore", template_gitignore},
    {"golden/found/config.json", template_config},
    {"golden/found/truth.json", template_truth},
    {"golden/found/answer.json", template_answer},
    {"golden/found/truth_as_answer.json", template_truth_as_answer},
    {"golden/found/expected.json", template_expected},
};

/* "@NAME@" becomes the plugin's name. */
static void fill_in(struct buffer *out, const char *template, const char *name)
{
    static const char hole[] = "@NAME@";
    const char *found;
    for (; (found = strstr(template, hole)); template = found + sizeof(hole) - 1) {
        buffer_add(out, template, (size_t)(found - template));
        buffer_puts(out, name);
    }
    buffer_puts(out, template);
}

static int check_name(const char *name, struct error *err)
{
    /* Names that Meson keeps for its own targets. */
    static const char *const taken[] = {"all",     "benchmark",   "clean", "coverage", "dist",
                                        "install", "reconfigure", "test",  "uninstall"};
    size_t len = strlen(name);
    if (len == 0 || len > NAME_MAX_LENGTH || name[0] < 'a' || name[0] > 'z' ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != len)
        return error_set(err, ERROR_INVALID, "bad_name", "NAME",
                         "A plugin's name has 1 to 64 of a-z, 0-9, _ and begins with a letter: lung_ct.");
    for (size_t i = 0; i < sizeof(taken) / sizeof(*taken); i++)
        if (strcmp(name, taken[i]) == 0)
            return error_set(err, ERROR_INVALID, "bad_name", "NAME",
                             "\"%s\" is taken by Meson: choose another name.", name);
    return 0;
}

static int fail(struct error *err, const char *path)
{
    bool exists = errno == EEXIST;
    return error_set(err, exists ? ERROR_CONFLICT : ERROR_INVALID, exists ? "exists" : "cannot_write", "NAME",
                     "%s: %s.", path, strerrordesc_np(errno));
}

static int write_file(const char *path, const struct buffer *bytes, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return fail(err, path);
    size_t done = 0;
    while (done < bytes->len) {
        ssize_t n = write(fd, bytes->p + done, bytes->len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    if (close(fd) < 0 || done < bytes->len)
        return fail(err, path);
    return 0;
}

static int write_template(struct arena *arena, const char *folder, const char *name, size_t i,
                          struct error *err)
{
    struct buffer path, bytes;
    buffer_init(&path, 4096);
    buffer_init(&bytes, 1 << 20);
    fill_in(&path, files[i].path, name);
    fill_in(&bytes, files[i].bytes, name);
    int rc = write_file(arena_printf(arena, "%s/%s", folder, path.p), &bytes, err);
    buffer_finish(&path);
    buffer_finish(&bytes);
    return rc;
}

static int scaffold(struct arena *arena, const char *folder, const char *name, struct error *err)
{
    static const char *const folders[] = {"", "/golden", "/golden/found"};
    for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
        const char *path = arena_printf(arena, "%s%s", folder, folders[i]);
        if (mkdir(path, 0755) < 0)
            return fail(err, path);
    }
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
        if (write_template(arena, folder, name, i, err) < 0)
            return -1;
    return 0;
}

int kit_new(struct cli *cli, int argc, char **argv)
{
    const char *dir = ".";
    struct error err = {0};
    const struct cli_option options[] = {{.name = "dir", .value = &dir}, {0}};
    const char *name = kit_options(argc, argv, options);
    if (!name)
        return 2;
    const char *folder = arena_printf(cli->arena, "%s/%s", dir, name);
    if (check_name(name, &err) < 0 || scaffold(cli->arena, folder, name, &err) < 0)
        return cli_fail(&err);
    printf("%s is a plugin that builds and passes its checks. Next:\n\n"
           "    cd %s\n    meson setup build\n    meson test -C build --print-errorlogs\n\n"
           "README.md says how to go on.\n",
           folder, folder);
    return 0;
}
