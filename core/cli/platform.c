#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "identity/identity.h"
#include "identity/sso.h"
#include "tenancy/support.h"

static int operator_set(struct cli *cli, int argc, char **argv, bool is_operator)
{
    const char *email = NULL, *name = NULL, *id;
    struct error err = {0};
    const struct cli_option options[] = {
        {.name = "email", .value = &email, .required = true}, {.name = "name", .value = &name, .required = is_operator}, {0}};
    if (cli_options(argc, argv, options) != argc)
        return 2;
    struct db_session *admin = cli_admin(cli, &err);
    int rc = admin ? db_session_exec(admin, "BEGIN", &err) : -1;
    if (rc == 0)
        rc = identity_person_add(admin, cli->arena, email, name ? name : email, NULL, &id, &err);
    if (rc == 0)
        rc = support_operator_set(admin, cli->arena, id, is_operator, &err);
    if (rc == 0)
        rc = db_session_exec(admin, "COMMIT", &err);
    if (rc == 0)
        printf("{\"person\":\"%s\"}\n", id);
    return cli_close(admin, rc, &err);
}

static int operator_add(struct cli *cli, int argc, char **argv)
{
    return operator_set(cli, argc, argv, true);
}

static int operator_remove(struct cli *cli, int argc, char **argv)
{
    return operator_set(cli, argc, argv, false);
}

static int open_support(struct cli *cli, int argc, char **argv)
{
    const char *tenant = NULL, *email = NULL, *hours = NULL, *reason = NULL;
    struct error err = {0};
    struct text grant;
    const struct cli_option options[] = {
        {.name = "tenant", .value = &tenant, .required = true}, {.name = "operator", .value = &email, .required = true},
        {.name = "hours", .value = &hours, .required = true},   {.name = "reason", .value = &reason, .required = true},
        {0},
    };
    if (cli_options(argc, argv, options) != argc)
        return 2;
    struct db_session *admin = cli_admin(cli, &err);
    int rc = admin ? support_open(admin, cli->arena, tenant, email, hours, reason, &grant, &err) : -1;
    if (rc == 0)
        printf("%.*s\n", (int)grant.len, grant.p);
    return cli_close(admin, rc, &err);
}

static int domain_set(struct cli *cli, int argc, char **argv, bool confirmed)
{
    const char *tenant = NULL, *domain = NULL;
    struct error err = {0};
    const struct cli_option options[] = {
        {.name = "tenant", .value = &tenant, .required = true}, {.name = "domain", .value = &domain, .required = true}, {0}};
    if (cli_options(argc, argv, options) != argc)
        return 2;
    struct db_session *admin = cli_admin(cli, &err);
    int rc = admin ? sso_domain_confirm(admin, cli->arena, tenant, domain, confirmed, &err) : -1;
    return cli_close(admin, rc, &err);
}

static int domain_confirm(struct cli *cli, int argc, char **argv)
{
    return domain_set(cli, argc, argv, true);
}

static int domain_unconfirm(struct cli *cli, int argc, char **argv)
{
    return domain_set(cli, argc, argv, false);
}

const struct cli_command cli_platform_commands[] = {
    {"domain confirm", "--tenant SLUG --domain D      its mailboxes are the tenant's: single sign-on may link its members",
     domain_confirm},
    {"domain unconfirm", "--tenant SLUG --domain D", domain_unconfirm},
    {"operator add", "--email E --name N          somebody who runs the platform: no right in any tenant", operator_add},
    {"operator remove", "--email E", operator_remove},
    {"support open", "--tenant SLUG --operator E --hours N --reason TEXT  let an operator into a tenant, for a time", open_support},
    {0},
};
