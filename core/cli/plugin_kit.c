#include "cli/kit.h"

const char *kit_options(int argc, char **argv, const struct cli_option *options)
{
    if (argc > 1 && argv[1][0] != '-')
        return cli_options(argc - 1, argv + 1, options) == argc - 1 ? argv[1] : NULL;
    int first = cli_options(argc, argv, options);
    return first > 0 && first == argc - 1 ? argv[first] : NULL;
}

const struct cli_command cli_kit_commands[] = {
    {"plugin new", "NAME [--dir DIR]               a plugin to begin with, which builds and passes", kit_new},
    {"plugin try", "FILE.so --truth T --answer A [--config C] [--json]  grade one answer", kit_try},
    {0},
};
