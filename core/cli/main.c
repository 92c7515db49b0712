#include "cli/cli.h"

#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "grading/grading.h"

static const struct cli_command *const tables[] = {cli_server_commands, cli_operator_commands, cli_tool_commands,
                                                  cli_kit_commands, cli_platform_commands, cli_plugin_commands, cli_record_commands,
                                                  cli_regrade_commands, cli_billing_commands,
                                                  cli_personal_commands};

static int usage(FILE *to)
{
    fputs("usage: overread [--config FILE] COMMAND\n\n", to);
    for (size_t t = 0; t < sizeof(tables) / sizeof(*tables); t++)
        for (const struct cli_command *c = tables[t]; c->words; c++)
            fprintf(to, "  %s %s\n", c->words, c->usage);
    fputs("\nFILE is an INI file; OVERREAD_CONFIG names one too. `overread doctor` prints every key.\n", to);
    return to == stderr ? 2 : 0;
}

int cli_fail(const struct error *err)
{
    fprintf(stderr, "overread: %s%s%s: %s\n", err->code, err->field[0] ? " at " : "", err->field, err->detail);
    return 1;
}

int cli_options(int argc, char **argv, const struct cli_option *options)
{
    struct option table[16] = {{0}};
    int count = 0, index, got;
    bool seen[16] = {false};
    for (; options[count].name && count < 15; count++)
        table[count] = (struct option){options[count].name, options[count].value ? required_argument : no_argument, NULL, 0};
    optind = 1;
    while ((got = getopt_long(argc, argv, "+", table, &index)) != -1) {
        if (got != 0)
            return -1; /* getopt has said why */
        seen[index] = true;
        if (options[index].value)
            *options[index].value = optarg;
        else
            *options[index].flag = true;
    }
    for (int i = 0; i < count; i++)
        if (options[i].required && !seen[i]) {
            fprintf(stderr, "overread: --%s is required\n", options[i].name);
            return -1;
        }
    return optind;
}

struct db_session *cli_admin(struct cli *cli, struct error *err)
{
    return db_session_open(cli->config->database_admin, err);
}

int cli_close(struct db_session *admin, int rc, const struct error *err)
{
    db_session_close(admin);
    return rc < 0 ? cli_fail(err) : 0;
}

int cli_load_plugins(struct cli *cli, struct error *err)
{
    const struct config *config = cli->config;
    const struct grading_source source = {.dir = config->plugin_dir,
                                          .grader = config->grader,
                                          .plugin_keys = config->plugin_keys,
                                          .allow_unsigned = config->allow_unsigned_plugins};
    return grading_registry_load(&source, err);
}

/* Number of words of `words` that argv begins with all of, or 0. */
static int matches(const char *words, int argc, char **argv)
{
    int count = 0;
    while (*words) {
        size_t len = strcspn(words, " ");
        if (count >= argc || strlen(argv[count]) != len || memcmp(argv[count], words, len) != 0)
            return 0;
        count++;
        words += len + (words[len] == ' ');
    }
    return count;
}

static int run(struct cli *cli, int argc, char **argv)
{
    for (size_t t = 0; t < sizeof(tables) / sizeof(*tables); t++)
        for (const struct cli_command *c = tables[t]; c->words; c++) {
            int words = matches(c->words, argc, argv);
            if (!words)
                continue;
            int status = c->run(cli, argc - words + 1, argv + words - 1);
            if (status == 2)
                fprintf(stderr, "usage: overread %s %s\n", c->words, c->usage);
            return status;
        }
    return usage(stderr);
}

int main(int argc, char **argv)
{
    struct config config;
    struct error err = {0};
    const char *path = getenv("OVERREAD_CONFIG");
    setlocale(LC_ALL, "C");
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0))
        return usage(stdout);
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        puts("overread " OVERREAD_VERSION);
        return 0;
    }
    int first = 1;
    if (argc > 2 && strcmp(argv[1], "--config") == 0) {
        path = argv[2];
        first = 3;
    } else if (argc > 1 && strncmp(argv[1], "--config=", 9) == 0) {
        path = argv[1] + 9;
        first = 2;
    }
    if (first >= argc)
        return usage(stderr);
    if (config_load(path, &config, &err) < 0)
        return cli_fail(&err);
    struct cli cli = {.config = &config, .arena = arena_create()};
    int status = run(&cli, argc - first, argv + first);
    arena_destroy(cli.arena);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == 0) { /* what was asked for has not come out */
        fputs("overread: standard output cannot be written\n", stderr);
        return 1;
    }
    return status;
}
