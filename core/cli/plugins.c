/* The operator's commands around plugins: list, reload, and the keys that sign them. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "grading/grading.h"
#include "grading/signature.h"

static void print_plugin(const struct grading_plugin *p, bool keys)
{
    if (p->broken)
        printf("%s  %s%sBROKEN: %s\n", p->id, p->version, p->version[0] ? "  " : "", p->broken);
    else
        printf("%s  %s  rules %d  sha256 %s  %s%s  %s\n", p->id, p->version, p->rules_revision, p->sha256,
               keys ? "signed by " : "signature not asked for", p->signed_by, p->title);
}

int cli_print_plugins(struct cli *cli)
{
    struct error err = {0};
    const struct config *config = cli->config;
    bool keys = config->plugin_keys[0] != '\0', served = keys || config->allow_unsigned_plugins;
    /* What may not be served is looked at all the same, but not run. */
    const struct grading_source source = {.dir = config->plugin_dir,
                                          .grader = config->grader,
                                          .plugin_keys = config->plugin_keys,
                                          .allow_unsigned = true,
                                          .probe = served};
    const struct grading_plugin *const *plugins;
    int broken = 0;
    if (grading_registry_load(&source, &err) < 0)
        return cli_fail(&err);
    int count = grading_plugins(cli->arena, &plugins);
    for (int i = 0; i < count; i++) {
        broken += plugins[i]->broken != NULL;
        print_plugin(plugins[i], keys);
    }
    if (broken)
        puts("A server that has an earlier version of what is broken keeps that one until this is mended.");
    if (!served)
        puts("No server starts with these: set plugin_keys, or allow_unsigned_plugins = on.");
    grading_registry_unload();
    return broken || !served;
}

static int list(struct cli *cli, int argc, char **argv)
{
    (void)argv;
    return argc == 1 ? cli_print_plugins(cli) : 2;
}

/* Looks first, so that whoever asks is told what the servers will find. */
static int reload(struct cli *cli, int argc, char **argv)
{
    struct error err = {0};
    (void)argv;
    if (argc != 1)
        return 2;
    int bad = cli_print_plugins(cli);
    struct db_session *session = db_session_open(cli->config->database, &err);
    int rc = session ? db_session_exec(session, "NOTIFY overread_plugins", &err) : -1;
    db_session_close(session);
    if (rc < 0)
        return cli_fail(&err);
    puts("Every running server has been told; its log says plugins_reloaded.");
    return bad;
}

static int keygen(struct cli *cli, int argc, char **argv)
{
    struct error err = {0};
    char fingerprint[SHA256_HEX_SIZE];
    const struct cli_option none[] = {{0}};
    int first = cli_options(argc, argv, none);
    if (first < 0 || first != argc - 1)
        return 2;
    const char *private_path = arena_printf(cli->arena, "%s.pem", argv[first]);
    const char *public_path = arena_printf(cli->arena, "%s.pub.pem", argv[first]);
    if (signature_keygen(private_path, public_path, fingerprint, &err) < 0)
        return cli_fail(&err);
    printf("private  %s  (keep it from the servers)\npublic   %s  (for plugin_keys)\nkey      %s\n", private_path,
           public_path, fingerprint);
    return 0;
}

static int sign(struct cli *cli, int argc, char **argv)
{
    struct error err = {0};
    const char *key = NULL, *path;
    char fingerprint[SHA256_HEX_SIZE];
    const struct cli_option options[] = {{.name = "key", .value = &key, .required = true}, {0}};
    int first = cli_options(argc, argv, options);
    if (first < 0 || first == argc)
        return 2;
    for (int i = first; i < argc; i++) {
        if (signature_sign(cli->arena, key, argv[i], &path, fingerprint, &err) < 0)
            return cli_fail(&err);
        printf("%s  signed by %s\n", path, fingerprint);
    }
    return 0;
}

const struct cli_command cli_plugin_commands[] = {
    {"plugin list", "                             what lies in plugin_dir, as a server would take it", list},
    {"plugin reload", "                           every server reads plugin_dir again", reload},
    {"plugin keygen", "NAME                        a signing key: NAME.pem, and NAME.pub.pem for plugin_keys", keygen},
    {"plugin sign", "--key NAME.pem DIR|FILE.so...  write <id>.sig beside the library", sign},
    {0},
};
