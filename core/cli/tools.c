#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "billing/billing.h"
#include "billing/stripe.h"
#include "db/migrate.h"
#include "grading/grading.h"
#include "library/demo.h"
#include "outbound/outbound.h"
#include "scoreboard/stats_json.h"

static int migrate(struct cli *cli, int argc, char **argv)
{
    bool status = false;
    int count = 0;
    struct error err = {0};
    struct buffer out;
    const struct cli_option options[] = {{.name = "status", .flag = &status}, {0}};
    if (cli_options(argc, argv, options) != argc)
        return 2;
    struct db_session *admin = cli_admin(cli, &err);
    if (!admin)
        return cli_fail(&err);
    buffer_init(&out, 1 << 20);
    int rc = status ? migrate_status(admin, &out, &count, &err) : migrate_up(admin, &count, &err);
    if (rc == 0 && status)
        printf("%s%d pending\n", out.len ? out.p : "", count);
    else if (rc == 0)
        printf("%d applied\n", count);
    buffer_finish(&out);
    return cli_close(admin, rc, &err);
}

static int check_database(const char *name, const char *conninfo, bool owner)
{
    struct error err = {0};
    struct buffer out;
    int pending = 0;
    struct db_session *session = db_session_open(conninfo, &err);
    if (!session) {
        printf("%s: FAILED: %s\n", name, err.detail);
        return 1;
    }
    buffer_init(&out, 1 << 20);
    int rc = owner ? migrate_status(session, &out, &pending, &err) : 0;
    buffer_finish(&out);
    db_session_close(session);
    if (rc < 0 || pending) {
        printf("%s: %s%d migrations pending; run: overread migrate\n", name, rc < 0 ? err.detail : "", pending);
        return 1;
    }
    printf("%s: good\n", name);
    return 0;
}

static int check_mail(const struct config *config)
{
    struct error err = {0};
    bool bad = outbound_check(config, &err) < 0;
    printf("mail: %s\n", bad ? err.detail : config->smtp_url[0] ? "good, as far as configured" : "no smtp_url: mails wait in the outbox");
    return bad;
}

static int check_billing(const struct config *config)
{
    struct error err = {0};
    bool bad = billing_check(config, &err) < 0;
    billing_init(config);
    if (bad || !stripe_configured())
        printf("stripe: %s\n", bad ? err.detail : "no stripe_key: nothing is sold");
    else
        printf("stripe: %s mode, %s, webhook secret %s\n", stripe_livemode() ? "live" : "test", config->stripe_url,
               config->stripe_webhook_secret[0] ? "set" : "NOT SET: no webhook is believed, and news comes by Stripe's list only");
    return bad;
}

static int doctor(struct cli *cli, int argc, char **argv)
{
    const struct cli_option none[] = {{0}};
    if (cli_options(argc, argv, none) != argc)
        return 2;
    config_print(cli->config);
    putchar('\n');
    int bad = check_database("database", cli->config->database, false);
    bad |= check_database("database_admin", cli->config->database_admin, true);
    bad |= check_mail(cli->config);
    bad |= check_billing(cli->config);
    const char *weakness = grading_weakness();
    printf("graders: %s\n", weakness ? weakness : "confined by system call filters and Landlock");
    puts("plugins:");
    bad |= cli_print_plugins(cli);
    return bad;
}

/* The whole route table, for people and for the check against the OpenAPI document. */
static int routes(struct cli *cli, int argc, char **argv)
{
    (void)cli, (void)argv;
    if (argc != 1)
        return 2;
    for (const struct http_route *const *table = cli_routes; *table; table++)
        for (const struct http_route *r = *table; r->method; r++)
            printf("%s %s %s %zu\n", r->method, r->path, r->roles ? r->roles : "-", r->body_max);
    for (const struct http_route *r = http_builtin_routes; r->method; r++)
        printf("%s %s - 0\n", r->method, r->path);
    return 0;
}

static int demo_generate_cases(struct cli *cli, int argc, char **argv)
{
    const char *seed_text = "1", *count_text = "24";
    int64_t seed, count;
    struct error err = {0};
    const struct cli_option options[] = {{.name = "seed", .value = &seed_text}, {.name = "count", .value = &count_text}, {0}};
    (void)cli;
    int first = cli_options(argc, argv, options);
    if (first < 0 || first != argc - 1 || text_to_int64(text_of(seed_text), 0, INT64_MAX, &seed) < 0 ||
        text_to_int64(text_of(count_text), 1, 999, &count) < 0)
        return 2;
    return demo_generate(argv[first], (uint64_t)seed, (int)count, &err) < 0 ? cli_fail(&err) : 0;
}

int cli_read_file(const char *path, struct buffer *out, struct error *err)
{
    char block[65536];
    size_t got;
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!file)
        return error_set(err, ERROR_NOT_FOUND, "no_such_file", NULL, "%s cannot be opened.", path);
    while ((got = fread(block, 1, sizeof(block), file)) > 0)
        buffer_add(out, block, got);
    bool failed = ferror(file) || out->failed;
    if (file != stdin)
        fclose(file);
    return failed ? error_set(err, ERROR_TOO_LARGE, "unreadable", NULL, "%s cannot be read, or is too large.", path) : 0;
}

static int stats(struct cli *cli, int argc, char **argv)
{
    struct error err = {0};
    struct buffer in, out;
    json_t *json;
    if (argc != 2)
        return 2;
    buffer_init(&in, 256u << 20);
    buffer_init(&out, 256u << 20);
    int rc = cli_read_file(argv[1], &in, &err);
    if (rc == 0)
        rc = json_parse(cli->arena, (struct text){in.p, in.len}, &json, &err);
    if (rc == 0)
        rc = stats_report(cli->arena, json, &out, &err);
    if (rc == 0)
        printf("%s\n", out.p);
    buffer_finish(&in);
    buffer_finish(&out);
    return rc < 0 ? cli_fail(&err) : 0;
}

const struct cli_command cli_tool_commands[] = {
    {"migrate", "[--status]                       bring the database's schema up to date", migrate},
    {"doctor", "                                  configuration, database, mail, Stripe, plugins", doctor},
    {"routes", "                                  method, path, roles, body limit", routes},
    {"demo generate", "[--seed N] [--count N] DIR     synthetic case folders", demo_generate_cases},
    {"stats", "FILE.json                          reader statistics of one file", stats},
    {0},
};
