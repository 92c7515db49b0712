#include "cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "grading/grading.h"
#include "reading/regrade.h"

enum { SAY_EVERY_SECONDS = 10 };

struct said {
    const char *what;
    uint64_t began_ns, last_ns;
};

static void say(void *arg, int64_t reads)
{
    struct said *said = arg;
    uint64_t now = clock_monotonic_ns();
    if (now - said->last_ns < (uint64_t)SAY_EVERY_SECONDS * 1000000000)
        return;
    said->last_ns = now;
    fprintf(stderr, "overread: %s: %lld reads in %llu s\n", said->what, (long long)reads,
            (unsigned long long)((now - said->began_ns) / 1000000000));
}

static int show_impact(struct regrade *regrade, struct error *err)
{
    struct said said = {"impact", clock_monotonic_ns(), clock_monotonic_ns()};
    struct buffer lines;
    buffer_init(&lines, 256u << 20);
    int rc = regrade_impact(regrade, &lines, say, &said, err);
    if (rc == 0)
        fwrite(lines.p, 1, lines.len, stdout);
    fflush(stdout);
    buffer_finish(&lines);
    return rc;
}

static int write_grades(struct regrade *regrade, struct error *err)
{
    struct said said = {"written", clock_monotonic_ns(), clock_monotonic_ns()};
    struct text sums;
    if (regrade_write(regrade, &sums, say, &said, err) < 0)
        return -1;
    printf("%.*s\n", (int)sums.len, sums.p);
    return 0;
}

/* Whoever is at a terminal is asked; a script that did not want it written would have said --dry-run. */
static bool told_to_write(bool yes)
{
    char answer[8];
    if (yes || !isatty(STDIN_FILENO))
        return true;
    fprintf(stderr, "overread: write these grades? [y/N] ");
    return fgets(answer, sizeof(answer), stdin) && (strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0);
}

/* The impact comes first; who goes on with an unfinished run has seen it. */
static int run(struct regrade *regrade, bool dry_run, bool yes, struct error *err)
{
    int unfinished = dry_run ? 0 : regrade_unfinished(regrade, err);
    if (unfinished < 0)
        return -1;
    if (!(unfinished && yes) && show_impact(regrade, err) < 0)
        return -1;
    if (dry_run)
        return 0;
    if (told_to_write(yes))
        return write_grades(regrade, err);
    fprintf(stderr, "overread: nothing was written%s\n", unfinished ? " now, and a run that was begun has not come to its end" : "");
    return 0;
}

static int regrade(struct cli *cli, int argc, char **argv)
{
    const char *batch_text = NULL;
    bool dry_run = false, yes = false;
    int64_t batch = REGRADE_BATCH;
    struct error err = {0};
    struct regrade_options o = {.workers = cli->config->grader_workers};
    const struct cli_option options[] = {
        {.name = "plugin", .value = &o.plugin, .required = true},
        {.name = "tenant", .value = &o.tenant},
        {.name = "case", .value = &o.of_case},
        {.name = "truth-version", .value = &o.truth_version},
        {.name = "batch", .value = &batch_text},
        {.name = "dry-run", .flag = &dry_run},
        {.name = "yes", .flag = &yes},
        {0},
    };
    if (cli_options(argc, argv, options) != argc || (dry_run && yes) || (o.truth_version && !o.of_case) ||
        (batch_text && text_to_int64(text_of(batch_text), 1, REGRADE_BATCH_MAX, &batch) < 0))
        return 2;
    o.batch = (int)batch;
    if (cli_load_plugins(cli, &err) < 0)
        return cli_fail(&err);
    struct db_session *admin = cli_admin(cli, &err);
    struct regrade *regrade = admin ? regrade_open(admin, cli->arena, &o, &err) : NULL;
    int rc = regrade ? run(regrade, dry_run, yes, &err) : -1;
    regrade_close(regrade);
    grading_registry_unload();
    return cli_close(admin, rc, &err);
}

const struct cli_command cli_regrade_commands[] = {
    {"regrade",
     "--plugin ID [--tenant SLUG] [--case SLUG [--truth-version N]] [--batch N] [--dry-run | --yes]\n"
     "                                             what the installed version says of earlier reads",
     regrade},
    {0},
};
