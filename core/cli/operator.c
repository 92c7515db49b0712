#include "cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "grading/grading.h"
#include "identity/accounts.h"
#include "identity/identity.h"
#include "library/library.h"
#include "tenancy/tenancy.h"

static int tenant_create(struct cli *cli, int argc, char **argv)
{
    struct tenant_new tenant = {0};
    struct error err = {0};
    const char *id;
    const struct cli_option options[] = {
        {.name = "kind", .value = &tenant.kind, .required = true},
        {.name = "name", .value = &tenant.name, .required = true},
        {.name = "slug", .value = &tenant.slug, .required = true},
        {.name = "access-until", .value = &tenant.access_until},
        {.name = "session-idle", .value = &tenant.session_idle},
        {.name = "session-absolute", .value = &tenant.session_absolute},
        {0},
    };
    if (cli_options(argc, argv, options) != argc)
        return 2;
    struct db_session *admin = cli_admin(cli, &err);
    int rc = admin ? tenancy_create(admin, cli->arena, &tenant, &id, &err) : -1;
    if (rc == 0)
        printf("{\"tenant\":\"%s\"}\n", id);
    return cli_close(admin, rc, &err);
}

static int suspend(struct cli *cli, int argc, char **argv, bool suspended)
{
    struct error err = {0};
    const struct cli_option none[] = {{0}};
    int first = cli_options(argc, argv, none);
    if (first < 0 || first != argc - 1)
        return 2;
    struct db_session *admin = cli_admin(cli, &err);
    int rc = admin ? tenancy_suspend(admin, cli->arena, argv[first], suspended, &err) : -1;
    return cli_close(admin, rc, &err);
}

static int tenant_suspend(struct cli *cli, int argc, char **argv)
{
    return suspend(cli, argc, argv, true);
}

static int tenant_resume(struct cli *cli, int argc, char **argv)
{
    return suspend(cli, argc, argv, false);
}

static int tenant_seats(struct cli *cli, int argc, char **argv)
{
    struct error err = {0};
    const struct cli_option none[] = {{0}};
    int first = cli_options(argc, argv, none);
    if (first < 0 || first != argc - 2)
        return 2;
    struct db_session *admin = cli_admin(cli, &err);
    int rc = admin ? tenancy_seats(admin, cli->arena, argv[first], argv[first + 1], &err) : -1;
    return cli_close(admin, rc, &err);
}

/* The first line of standard input: a password never stands on a command line. */
static const char *password_from_stdin(char *line, int size)
{
    if (!fgets(line, size, stdin))
        return NULL;
    line[strcspn(line, "\r\n")] = '\0';
    return line;
}

static int person_add(struct cli *cli, int argc, char **argv)
{
    const char *tenant = NULL, *email = NULL, *name = NULL, *roles = NULL, *password = NULL, *id;
    bool from_stdin = false;
    char line[2048];
    struct error err = {0};
    const struct cli_option options[] = {
        {.name = "tenant", .value = &tenant, .required = true}, {.name = "email", .value = &email, .required = true},
        {.name = "name", .value = &name, .required = true},     {.name = "role", .value = &roles, .required = true},
        {.name = "password-stdin", .flag = &from_stdin},        {0},
    };
    if (cli_options(argc, argv, options) != argc)
        return 2;
    if (from_stdin && !(password = password_from_stdin(line, sizeof(line)))) {
        fputs("overread: standard input holds no password\n", stderr);
        return 1;
    }
    struct db_session *admin = cli_admin(cli, &err);
    int rc = admin ? db_session_exec(admin, "BEGIN", &err) : -1;
    if (rc == 0)
        rc = identity_person_add(admin, cli->arena, email, name, password, &id, &err);
    if (rc == 0)
        rc = tenancy_join(admin, cli->arena, tenant, id, roles, &err);
    if (rc == 0)
        rc = db_session_exec(admin, "COMMIT", &err);
    if (rc == 0)
        printf("{\"person\":\"%s\"}\n", id);
    return cli_close(admin, rc, &err);
}

static int of_person(struct cli *cli, int argc, char **argv,
                     int (*act)(struct db_session *admin, struct arena *arena, const char *email, struct error *err))
{
    const char *email = NULL;
    struct error err = {0};
    const struct cli_option options[] = {{.name = "email", .value = &email, .required = true}, {0}};
    if (cli_options(argc, argv, options) != argc)
        return 2;
    struct db_session *admin = cli_admin(cli, &err);
    int rc = admin ? act(admin, cli->arena, email, &err) : -1;
    return cli_close(admin, rc, &err);
}

static int person_must_change(struct cli *cli, int argc, char **argv)
{
    return of_person(cli, argc, argv, identity_must_change);
}

static int disable(struct db_session *admin, struct arena *arena, const char *email, struct error *err)
{
    return identity_disable(admin, arena, email, true, err);
}

static int enable(struct db_session *admin, struct arena *arena, const char *email, struct error *err)
{
    return identity_disable(admin, arena, email, false, err);
}

static int person_disable(struct cli *cli, int argc, char **argv)
{
    return of_person(cli, argc, argv, disable);
}

static int person_enable(struct cli *cli, int argc, char **argv)
{
    return of_person(cli, argc, argv, enable);
}

static int import_all(struct db_session *admin, char **directories, bool publish)
{
    int failed = 0;
    for (; *directories; directories++) {
        struct error err = {0};
        struct text line;
        struct arena *arena = arena_create();
        if (library_import(admin, arena, *directories, publish, &line, &err) < 0) {
            fprintf(stderr, "overread: %s: nothing of it was imported\n", *directories);
            failed |= cli_fail(&err);
        } else {
            printf("%.*s\n", (int)line.len, line.p);
            fflush(stdout);
        }
        arena_destroy(arena);
    }
    return failed;
}

static int import(struct cli *cli, int argc, char **argv)
{
    bool publish = false;
    struct error err = {0};
    const struct cli_option options[] = {{.name = "publish", .flag = &publish}, {0}};
    int first = cli_options(argc, argv, options);
    if (first < 0 || first >= argc)
        return 2;
    library_init(cli->config);
    if (cli_load_plugins(cli, &err) < 0)
        return cli_fail(&err);
    struct db_session *admin = cli_admin(cli, &err);
    int status = admin ? import_all(admin, argv + first, publish) : cli_fail(&err);
    db_session_close(admin);
    grading_registry_unload();
    return status;
}

static int set_state(struct cli *cli, int argc, char **argv, const char *state)
{
    const char *reason = "";
    struct error err = {0};
    const struct cli_option options[] = {{.name = "reason", .value = &reason}, {0}};
    int first = cli_options(argc, argv, options);
    if (first < 0 || first != argc - 1)
        return 2;
    struct db_session *admin = cli_admin(cli, &err);
    int rc = admin ? library_set_state(admin, cli->arena, argv[first], state, reason, &err) : -1;
    return cli_close(admin, rc, &err);
}

static int publish(struct cli *cli, int argc, char **argv)
{
    return set_state(cli, argc, argv, "published");
}

static int withdraw(struct cli *cli, int argc, char **argv)
{
    return set_state(cli, argc, argv, "withdrawn");
}

static int sample(struct cli *cli, int argc, char **argv)
{
    bool off = false;
    struct error err = {0};
    const struct cli_option options[] = {{.name = "off", .flag = &off}, {0}};
    int first = cli_options(argc, argv, options);
    if (first < 0 || first != argc - 1)
        return 2;
    struct db_session *admin = cli_admin(cli, &err);
    int rc = admin ? library_set_sample(admin, cli->arena, argv[first], !off, &err) : -1;
    return cli_close(admin, rc, &err);
}

static int list(struct cli *cli, int argc, char **argv)
{
    struct error err = {0};
    struct buffer out;
    (void)argv;
    if (argc != 1)
        return 2;
    buffer_init(&out, 64u << 20);
    struct db_session *admin = cli_admin(cli, &err);
    int rc = admin ? library_list(admin, cli->arena, &out, &err) : -1;
    if (rc == 0 && out.len)
        fwrite(out.p, 1, out.len, stdout);
    buffer_finish(&out);
    return cli_close(admin, rc, &err);
}

const struct cli_command cli_operator_commands[] = {
    {"tenant create",
     "--kind organisation|individual --slug SLUG --name NAME [--access-until TIME|infinity] [--session-idle INTERVAL] "
     "[--session-absolute INTERVAL]",
     tenant_create},
    {"tenant suspend", "SLUG", tenant_suspend},
    {"tenant resume", "SLUG", tenant_resume},
    {"tenant seats", "SLUG N|unlimited              how many seats the tenant has bought", tenant_seats},
    {"person add", "--tenant SLUG --email E --name N --role trainee[,educator,expert,administrator,manager] [--password-stdin]",
     person_add},
    {"person must-change", "--email E                     ends the sessions; the next sign-in leads to a new password",
     person_must_change},
    {"person disable", "--email E                     nobody signs in as this person; sessions and tokens end", person_disable},
    {"person enable", "--email E", person_enable},
    {"library import", "[--publish] DIR...             take in case folders", import},
    {"library publish", "SLUG", publish},
    {"library withdraw", "[--reason TEXT] SLUG", withdraw},
    {"library sample", "[--off] SLUG                a free sample, for everyone who has signed in", sample},
    {"library list", "", list},
    {0},
};
