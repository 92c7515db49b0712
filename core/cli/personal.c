#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "audit/data_protection.h"

enum { LINE_MAX_BYTES = 4096 };

static int person_export(struct cli *cli, int argc, char **argv)
{
    const char *email = NULL, *output = NULL;
    struct error err = {0};
    const struct cli_option options[] = {
        {.name = "email", .value = &email, .required = true}, {.name = "output", .value = &output, .required = true}, {0}};
    if (cli_options(argc, argv, options) != argc)
        return 2;
    struct db_session *admin = cli_admin(cli, &err);
    int rc = admin ? data_protection_export(admin, cli->arena, email, output, &err) : -1;
    return cli_close(admin, rc, &err);
}

static int person_erase(struct cli *cli, int argc, char **argv)
{
    const char *email = NULL, *person;
    bool yes = false;
    struct error err = {0};
    const struct cli_option options[] = {{.name = "email", .value = &email, .required = true}, {.name = "yes", .flag = &yes}, {0}};
    if (cli_options(argc, argv, options) != argc)
        return 2;
    if (!yes) {
        fputs("overread: this cannot be undone: say --yes\n", stderr);
        return 2;
    }
    struct db_session *admin = cli_admin(cli, &err);
    int rc = admin ? data_protection_erase(admin, cli->arena, email, &person, &err) : -1;
    if (rc == 0)
        printf("{\"erased\":\"%s\"}\n", person);
    return cli_close(admin, rc, &err);
}

static void print_line(void *arg, struct text line)
{
    (void)arg;
    printf("%.*s\n", (int)line.len, line.p);
}

static int erasures_export(struct cli *cli, int argc, char **argv)
{
    struct error err = {0};
    const struct cli_option none[] = {{0}};
    if (cli_options(argc, argv, none) != argc)
        return 2;
    struct db_session *admin = cli_admin(cli, &err);
    int rc = admin ? data_protection_ledger(admin, cli->arena, print_line, NULL, &err) : -1;
    return cli_close(admin, rc, &err);
}

/* All or nothing: a ledger with a broken line is looked at, not half replayed. */
static int replay_all(struct db_session *admin, FILE *file, int *erased, int *known, struct error *err)
{
    char line[LINE_MAX_BYTES];
    int number = 0;
    if (db_session_exec(admin, "BEGIN", err) < 0)
        return -1;
    while (fgets(line, sizeof(line), file)) {
        struct arena *arena = arena_create();
        struct error why = {0};
        bool again = false;
        number++;
        int rc = data_protection_replay(admin, arena, (struct text){line, strcspn(line, "\n")}, &again, &why);
        arena_destroy(arena);
        if (rc < 0)
            return error_set(err, why.kind, why.code, NULL, "Line %d: %s", number, why.detail);
        *(again ? erased : known) += 1;
    }
    return db_session_exec(admin, "COMMIT", err);
}

static int erasures_replay(struct cli *cli, int argc, char **argv)
{
    struct error err = {0};
    int erased = 0, known = 0;
    const struct cli_option none[] = {{0}};
    int first = cli_options(argc, argv, none);
    if (first < 0 || first != argc - 1)
        return 2;
    FILE *file = fopen(argv[first], "re");
    if (!file) {
        fprintf(stderr, "overread: %s cannot be opened\n", argv[first]);
        return 1;
    }
    struct db_session *admin = cli_admin(cli, &err);
    int rc = admin ? replay_all(admin, file, &erased, &known, &err) : -1;
    fclose(file);
    if (rc == 0)
        printf("{\"erased\":%d,\"nothing_to_erase\":%d}\n", erased, known);
    return cli_close(admin, rc, &err);
}

const struct cli_command cli_personal_commands[] = {
    {"person export", "--email E --output FILE.zip     what is held about a person", person_export},
    {"person erase", "--email E --yes                 a pseudonym in the person's place; cannot be undone", person_erase},
    {"erasures export", "                             the ledger of erasures: keep it apart from the backups", erasures_export},
    {"erasures replay", "FILE                         after a backup was restored: erases again", erasures_replay},
    {0},
};
