#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "billing/billing.h"
#include "billing/operator.h"
#include "billing/stripe.h"
#include "outbound/outbound.h"

/* What a command does once its words are understood; arg: what they said. Prints what came of it. */
typedef int run_fn(struct cli *cli, struct db_session *admin, void *arg, struct error *err);

static int with_admin(struct cli *cli, run_fn *run, void *arg)
{
    struct error err = {0};
    struct db_session *admin = cli_admin(cli, &err);
    int rc = admin ? run(cli, admin, arg, &err) : -1;
    return cli_close(admin, rc, &err);
}

static int with_stripe(struct cli *cli, run_fn *run, void *arg)
{
    struct error err = {0};
    if (billing_check(cli->config, &err) < 0)
        return cli_fail(&err);
    outbound_init(cli->config, NULL);
    billing_init(cli->config);
    return with_admin(cli, run, arg);
}

/* --- Lists ------------------------------------------------------------------------------------------------------------ */

enum what { LIST_PLANS, LIST_SUBSCRIPTIONS, LIST_QUOTES, LIST_STUCK };
struct list {
    enum what what;
    const char *tenant;
};

static int list_what(struct cli *cli, struct db_session *admin, const struct list *list, struct buffer *out, struct error *err)
{
    switch (list->what) {
    case LIST_PLANS:
        return operator_plans(admin, cli->arena, out, err);
    case LIST_SUBSCRIPTIONS:
        return operator_subscriptions(admin, cli->arena, list->tenant, out, err);
    case LIST_QUOTES:
        return operator_quotes(admin, cli->arena, list->tenant, out, err);
    case LIST_STUCK:
        return operator_stuck(admin, cli->arena, out, err);
    }
    return 0;
}

static int run_list(struct cli *cli, struct db_session *admin, void *arg, struct error *err)
{
    struct buffer out;
    buffer_init(&out, 256u << 20);
    int rc = list_what(cli, admin, arg, &out, err);
    if (rc == 0 && out.len)
        fwrite(out.p, 1, out.len, stdout);
    buffer_finish(&out);
    return rc;
}

static int list(struct cli *cli, int argc, char **argv, enum what what, bool of_tenants)
{
    struct list list = {.what = what};
    const struct cli_option options[] = {{.name = of_tenants ? "tenant" : NULL, .value = &list.tenant}, {0}};
    if (cli_options(argc, argv, options) != argc)
        return 2;
    return with_admin(cli, run_list, &list);
}

static int plan_list(struct cli *cli, int argc, char **argv)
{
    return list(cli, argc, argv, LIST_PLANS, false);
}

static int subscription_list(struct cli *cli, int argc, char **argv)
{
    return list(cli, argc, argv, LIST_SUBSCRIPTIONS, true);
}

static int quote_list(struct cli *cli, int argc, char **argv)
{
    return list(cli, argc, argv, LIST_QUOTES, true);
}

static int billing_stuck(struct cli *cli, int argc, char **argv)
{
    return list(cli, argc, argv, LIST_STUCK, false);
}

/* --- Plans -------------------------------------------------------------------------------------------------------------- */

struct application {
    struct plans plans;
    bool yes;
};

static void print_line(const char *line)
{
    puts(line);
    fflush(stdout);
}

static int run_apply(struct cli *cli, struct db_session *admin, void *arg, struct error *err)
{
    struct application *a = arg;
    size_t differences;
    if (plans_apply(admin, cli->arena, &a->plans, a->yes, print_line, &differences, err) < 0)
        return -1;
    if (differences == 0)
        fputs("overread: all is as the file says\n", stderr);
    else if (!a->yes)
        fputs("overread: nothing was changed; --yes changes it\n", stderr);
    return 0;
}

static int plan_apply(struct cli *cli, int argc, char **argv)
{
    struct application a = {0};
    struct error err = {0};
    struct buffer text;
    const struct cli_option options[] = {{.name = "yes", .flag = &a.yes}, {0}};
    int first = cli_options(argc, argv, options);
    if (first < 0 || first != argc - 1)
        return 2;
    buffer_init(&text, PLANS_FILE_MAX);
    int rc = cli_read_file(argv[first], &text, &err);
    if (rc == 0)
        rc = plans_parse(cli->arena, (struct text){text.p, text.len}, &a.plans, &err);
    buffer_finish(&text);
    return rc < 0 ? cli_fail(&err) : with_stripe(cli, run_apply, &a);
}

/* --- Grants ------------------------------------------------------------------------------------------------------------- */

static int run_grant(struct cli *cli, struct db_session *admin, void *arg, struct error *err)
{
    const char *id;
    if (operator_grant(admin, cli->arena, arg, &id, err) < 0)
        return -1;
    printf("{\"grant\":\"%s\"}\n", id);
    return 0;
}

static int subscription_grant(struct cli *cli, int argc, char **argv)
{
    struct operator_grant grant = {0};
    const struct cli_option options[] = {
        {.name = "tenant", .value = &grant.tenant, .required = true},
        {.name = "modalities", .value = &grant.modalities},
        {.name = "seats", .value = &grant.seats},
        {.name = "from", .value = &grant.from},
        {.name = "until", .value = &grant.until, .required = true},
        {.name = "reason", .value = &grant.reason, .required = true},
        {0},
    };
    return cli_options(argc, argv, options) != argc ? 2 : with_admin(cli, run_grant, &grant);
}

struct ending {
    const char *tenant, *id, *reason;
};

static int run_grant_end(struct cli *cli, struct db_session *admin, void *arg, struct error *err)
{
    const struct ending *e = arg;
    return operator_grant_end(admin, cli->arena, e->tenant, e->id, e->reason, err);
}

static int run_withdraw(struct cli *cli, struct db_session *admin, void *arg, struct error *err)
{
    const struct ending *e = arg;
    return operator_quote_withdraw(admin, cli->arena, e->tenant, e->id, err);
}

static int end(struct cli *cli, int argc, char **argv, bool reasoned, run_fn *run)
{
    struct ending e = {0};
    const struct cli_option options[] = {{.name = "tenant", .value = &e.tenant, .required = true},
                                         {.name = reasoned ? "reason" : NULL, .value = &e.reason, .required = true},
                                         {0}};
    int first = cli_options(argc, argv, options);
    if (first < 0 || first != argc - 1)
        return 2;
    e.id = argv[first];
    return with_admin(cli, run, &e);
}

static int subscription_end(struct cli *cli, int argc, char **argv)
{
    return end(cli, argc, argv, true, run_grant_end);
}

/* --- Quotes ------------------------------------------------------------------------------------------------------------- */

static int run_quote(struct cli *cli, struct db_session *admin, void *arg, struct error *err)
{
    const char *id;
    if (operator_quote(admin, cli->arena, arg, &id, err) < 0)
        return -1;
    printf("{\"quote\":\"%s\"}\n", id);
    return 0;
}

static int quote_create(struct cli *cli, int argc, char **argv)
{
    struct operator_quote quote = {.days_until_due = "30", .valid_days = "30", .note = ""};
    const struct cli_option options[] = {
        {.name = "tenant", .value = &quote.tenant, .required = true},
        {.name = "plan", .value = &quote.plan, .required = true},
        {.name = "period", .value = &quote.period, .required = true},
        {.name = "currency", .value = &quote.currency, .required = true},
        {.name = "seats", .value = &quote.seats, .required = true},
        {.name = "amount", .value = &quote.amount},
        {.name = "days-until-due", .value = &quote.days_until_due},
        {.name = "valid-days", .value = &quote.valid_days},
        {.name = "note", .value = &quote.note},
        {0},
    };
    return cli_options(argc, argv, options) != argc ? 2 : with_admin(cli, run_quote, &quote);
}

static int quote_withdraw(struct cli *cli, int argc, char **argv)
{
    return end(cli, argc, argv, false, run_withdraw);
}

/* --- Trying again ------------------------------------------------------------------------------------------------------- */

static int run_retry(struct cli *cli, struct db_session *admin, void *arg, struct error *err)
{
    int64_t n;
    if (operator_retry(admin, cli->arena, arg, &n, err) < 0)
        return -1;
    printf("{\"retried\":%lld}\n", (long long)n);
    return 0;
}

static int billing_retry(struct cli *cli, int argc, char **argv)
{
    const struct cli_option none[] = {{0}};
    int first = cli_options(argc, argv, none);
    if (first < 0 || argc - first > 1)
        return 2;
    return with_admin(cli, run_retry, first < argc ? argv[first] : NULL);
}

static int run_sync(struct cli *cli, struct db_session *admin, void *arg, struct error *err)
{
    (void)arg;
    if (!stripe_configured())
        return error_set(err, ERROR_UNAVAILABLE, "billing_not_configured", "stripe_key", "The configuration has no stripe_key.");
    return operator_sync(admin, cli->arena, err);
}

static int billing_sync(struct cli *cli, int argc, char **argv)
{
    const struct cli_option none[] = {{0}};
    return cli_options(argc, argv, none) != argc ? 2 : with_stripe(cli, run_sync, NULL);
}

const struct cli_command cli_billing_commands[] = {
    {"plan apply", "[--yes] FILE.json             what differs from Stripe and the database; --yes does away with it", plan_apply},
    {"plan list", "", plan_list},
    {"subscription grant",
     "--tenant SLUG [--modalities A,B] [--seats N|unlimited] [--from TIME] --until TIME|infinity --reason TEXT\n"
     "                                             a contract outside Stripe: all modalities and seats without limit\n"
     "                                             unless said",
     subscription_grant},
    {"subscription end", "--tenant SLUG --reason TEXT GRANT", subscription_end},
    {"subscription list", "[--tenant SLUG]           subscriptions, grants, and what follows of them", subscription_list},
    {"quote create",
     "--tenant SLUG --plan P --period month|year --currency C --seats N [--amount MINOR] [--days-until-due N]\n"
     "                                             [--valid-days N] [--note TEXT]   amount: of a seat, else the price list's",
     quote_create},
    {"quote withdraw", "--tenant SLUG QUOTE", quote_withdraw},
    {"quote list", "[--tenant SLUG]", quote_list},
    {"billing stuck", "                          events, jobs, requests and disputes that need a look", billing_stuck},
    {"billing retry", "[ID]                      tries again what is stuck", billing_retry},
    {"billing sync", "                           Stripe's lists of events and subscriptions are read now", billing_sync},
    {0},
};
