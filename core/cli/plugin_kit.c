#include "cli/kit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *kit_options(int argc, char **argv, const struct cli_option *options)
{
    if (argc > 1 && argv[1][0] != '-')
        return cli_options(argc - 1, argv + 1, options) == argc - 1 ? argv[1] : NULL;
    int first = cli_options(argc, argv, options);
    return first > 0 && first == argc - 1 ? argv[first] : NULL;
}

/* The conformance run loads the plugin, which this program never does: it is a program of its own beside the
 * grader. */
static int kit_check(struct cli *cli, int argc, char **argv)
{
    const char *grader = cli->config->grader, *slash = strrchr(grader, '/');
    const char *program =
        arena_printf(cli->arena, "%.*soverread-plugin-check", slash ? (int)(slash - grader + 1) : 0, grader);
    const char **args = arena_array(cli->arena, (size_t)argc + 3, sizeof(*args));
    if (argc < 2)
        return 2;
    args[0] = program;
    args[1] = arena_printf(cli->arena, "--grader=%s", grader);
    for (int i = 1; i < argc; i++)
        args[i + 1] = argv[i];
    fflush(stdout);
    execv(program, (char *const *)(void *)args);
    fprintf(stderr, "overread: %s: %s\n", program, strerrordesc_np(errno));
    return 1;
}

const struct cli_command cli_kit_commands[] = {
    {"plugin new", "NAME [--dir DIR]               a plugin to begin with, which builds and passes", kit_new},
    {"plugin check", "FILE.so [--seed N] [--cases DIR]  the conformance run", kit_check},
    {"plugin try", "FILE.so --truth T --answer A [--config C] [--json]  grade one answer", kit_try},
    {0},
};
