#include "cli/cli.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/audit.h"
#include "audit/data_protection.h"
#include "base/log.h"
#include "base/mem.h"
#include "billing/billing.h"
#include "billing/watch.h"
#include "cli/openapi.h"
#include "grading/grading.h"
#include "identity/accounts.h"
#include "identity/api_tokens.h"
#include "identity/identity.h"
#include "identity/second_factor.h"
#include "identity/sso.h"
#include "identity/vault.h"
#include "identity/webauthn.h"
#include "jobs/jobs.h"
#include "jobs/thread_pool.h"
#include "library/library.h"
#include "outbound/outbound.h"
#include "portal/portal.h"
#include "reading/reading.h"
#include "scoreboard/member_results.h"
#include "scoreboard/scoreboard.h"
#include "tenancy/invitations.h"
#include "tenancy/members.h"
#include "tenancy/scim.h"
#include "tenancy/support.h"
#include "tenancy/tenancy.h"
#include "tenancy/webhooks.h"

enum { LOOPS_MAX = 256, JOBS_AT_ONCE = 4, PASSWORD_QUEUE = 256, PASSWORD_NICENESS = 15, SNAPSHOT_MS = 250 };
enum { MAILS_AT_ONCE = 2, WEBHOOKS_AT_ONCE = 8, BILLING_AT_ONCE = 2 }; /* a loop */
enum { FETCHES_AT_ONCE = 8, OUTBOUND_QUEUE = 256 };                    /* beside those */

static void openapi_get(struct http_request *req)
{
    http_reply_json_etag(req, (struct text){openapi_json, openapi_json_size});
}

static const struct http_route own_routes[] = {
    {"GET", "/v1/openapi.json", NULL, 0, openapi_get},
    {0},
};

const struct http_route *const cli_routes[] = {
    own_routes,
    identity_routes,
    accounts_routes,
    second_factor_routes,
    sso_routes,
    webauthn_routes,
    api_token_routes,
    tenancy_routes,
    members_routes,
    cohorts_routes,
    invitations_routes,
    support_routes,
    scim_routes,
    webhooks_routes,
    audit_routes, data_protection_routes,
    billing_routes,
    library_routes,
    reading_routes,
    scoreboard_routes,
    member_results_routes,
    portal_routes,
    NULL,
};

const struct db_statement *const cli_statements[] = {
    identity_statements,
    accounts_statements,
    second_factor_statements,
    sso_statements,
    webauthn_statements,
    api_tokens_statements,
    tenancy_statements,
    members_statements,
    cohorts_statements,
    invitations_statements,
    support_statements,
    scim_statements,
    webhooks_statements,
    audit_statements, data_protection_statements,
    billing_statements,
    library_statements,
    reading_statements,
    scoreboard_statements,
    member_results_statements,
    jobs_statements,
    outbound_statements,
    NULL,
};

/* Mail and webhooks have places of their own: while they wait for a stranger's server nothing else waits. */
static const struct job_kind *const mail_kinds[] = {&outbound_mail_job, NULL};
static const struct job_kind *const webhook_kinds[] = {&webhooks_delivery_job, NULL};
/* So has what waits for Stripe: a thousand renewals at once hold up no grade. A server without its key leaves that to others. */
static const struct job_kind *const billing_kinds[] = {&billing_event_job, &billing_sync_job, &billing_intent_job, &billing_end_job,
                                                       &billing_reconcile_job, &billing_nightly_job, NULL};
static const struct job_kind *const job_kinds[] = {&reading_grade_job, &audit_seal_job, &data_protection_export_job,
                                                   &data_protection_sweep_job, &accounts_housekeeping_job, &webhooks_sweep_job,
                                                   &webhooks_membership_end_job, &billing_tick_job, NULL};

/* What one loop runs. Whichever is asked for /metrics or /readyz answers for all: what it counts each copies out four times
 * a second. */
struct loop_rooms {
    struct db *db;
    struct grading *grading;
    struct jobs *jobs, *mails, *webhooks, *billing;
    struct loop *loop;
    struct loop_timer snapshot;
    pthread_mutex_t lock; /* of what follows */
    bool running; /* db is there */
    struct db_counters db_counters;
    struct grading_counters grading_counters;
};

struct server {
    const struct config *config;
    struct loop_rooms loops[LOOPS_MAX];
};

static _Thread_local struct loop_rooms *rooms;

static void take_snapshot(void *arg)
{
    struct loop_rooms *r = arg;
    pthread_mutex_lock(&r->lock);
    r->running = true;
    r->db_counters = db_counters(r->db);
    r->grading_counters = grading_counters(r->grading);
    pthread_mutex_unlock(&r->lock);
    loop_timer_start(r->loop, &r->snapshot, SNAPSHOT_MS, take_snapshot, r);
}

/* SIGHUP, and `overread plugin reload` on any node: http's waiting thread has the time for it, and many
 * signals that come at once are one. */
static void reload_plugins(void *arg)
{
    struct error err = {0};
    (void)arg;
    if (grading_registry_reload(&err) < 0)
        log_line(LOG_LEVEL_ERROR, "plugin_reload_failed", "code", err.code, "detail", err.detail, NULL);
}

/* Also without a payload, when the listening connection is back: a notification may have been missed. */
static void plugins_notified(void *arg, const char *payload)
{
    (void)arg, (void)payload;
    kill(getpid(), SIGHUP);
}

static int loop_start(void *arg, struct loop *loop, int index)
{
    struct server *server = arg;
    const struct config *config = server->config;
    const struct db_options options = {
        .conninfo = config->database,
        .read_connections = config->database_read_connections,
        .write_connections = config->database_write_connections,
        .queue_max = config->database_queue,
        .read_depth = 32,
        .statements = cli_statements,
        .authenticate = sql_authenticate,
        .assume_job = sql_assume_job,
    };
    if (index >= LOOPS_MAX)
        return -1;
    rooms = &server->loops[index];
    rooms->loop = loop;
    rooms->db = db_create(loop, &options);
    rooms->grading = grading_create(loop, config->grader_workers);
    library_loop_start(rooms->db);
    rooms->jobs = jobs_create(loop, rooms->db, job_kinds, JOBS_AT_ONCE);
    rooms->mails = jobs_create(loop, rooms->db, mail_kinds, MAILS_AT_ONCE);
    rooms->webhooks = jobs_create(loop, rooms->db, webhook_kinds, WEBHOOKS_AT_ONCE);
    if (billing_asks_stripe())
        rooms->billing = jobs_create(loop, rooms->db, billing_kinds, BILLING_AT_ONCE);
    if (index == 0) { /* one a process is enough */
        db_listen(rooms->db, "overread_plugins", plugins_notified, rooms);
        if (billing_asks_stripe())
            billing_watch_start(loop, rooms->db);
    }
    take_snapshot(rooms);
    return 0;
}

static void loop_stop(void *arg, struct loop *loop, int index)
{
    (void)arg, (void)loop;
    loop_timer_stop(&rooms->snapshot);
    if (index == 0)
        billing_watch_stop();
    pthread_mutex_lock(&rooms->lock);
    rooms->running = false;
    pthread_mutex_unlock(&rooms->lock);
    rooms->billing = jobs_destroy(rooms->billing);
    rooms->webhooks = jobs_destroy(rooms->webhooks);
    rooms->mails = jobs_destroy(rooms->mails);
    rooms->jobs = jobs_destroy(rooms->jobs);
    outbound_stop();
    library_loop_stop();
    rooms->grading = grading_destroy(rooms->grading);
    rooms->db = db_destroy(rooms->db);
}

static bool ready(void *arg, char *why, size_t why_size)
{
    struct server *server = arg;
    bool up = true;
    for (int i = 0; i < LOOPS_MAX; i++) {
        struct loop_rooms *r = &server->loops[i];
        pthread_mutex_lock(&r->lock);
        up = up && (!r->running || db_ready(r->db));
        pthread_mutex_unlock(&r->lock);
    }
    if (up)
        return true;
    snprintf(why, why_size, "The database is away.");
    return false;
}

static void metric(struct buffer *out, const char *name, const char *type, const char *help, uint64_t value)
{
    bool counter = strcmp(type, "counter") == 0;
    buffer_printf(out, "# TYPE %s %s\n# HELP %s %s\n%s%s %llu\n", name, type, name, help, name,
                  counter ? "_total" : "", (unsigned long long)value);
}

static void billing_metrics(struct buffer *out)
{
    struct billing_counts billing = billing_counts();
    if (!billing_asks_stripe())
        return;
    metric(out, "overread_billing_dead_jobs", "gauge", "Jobs of billing that were given up.", billing.dead);
    metric(out, "overread_billing_quarantined_events", "gauge", "Events of Stripe that nobody could work on.", billing.quarantined);
    metric(out, "overread_billing_open_requests", "gauge", "Requests to Stripe whose outcome is unknown for ten minutes.", billing.open);
    metric(out, "overread_billing_disputes", "gauge", "Disputed payments that need a look.", billing.disputes);
}

static void metrics(void *arg, struct buffer *out)
{
    struct server *server = arg;
    struct db_counters db = {0};
    struct grading_counters grading = {0};
    for (int i = 0; i < LOOPS_MAX; i++) {
        struct loop_rooms *r = &server->loops[i];
        pthread_mutex_lock(&r->lock);
        db.sent += r->db_counters.sent;
        db.failed += r->db_counters.failed;
        db.dropped += r->db_counters.dropped;
        db.refused += r->db_counters.refused;
        db.connected += r->db_counters.connected;
        db.waiting += r->db_counters.waiting;
        grading.grades += r->grading_counters.grades;
        grading.retries += r->grading_counters.retries;
        grading.failures += r->grading_counters.failures;
        grading.workers_started += r->grading_counters.workers_started;
        grading.workers_lost += r->grading_counters.workers_lost;
        pthread_mutex_unlock(&r->lock);
    }
    metric(out, "overread_db_statements", "counter", "Statements sent to the database.", db.sent);
    metric(out, "overread_db_failures", "counter", "Statements that failed.", db.failed);
    metric(out, "overread_db_dropped", "counter", "Statements dropped before sending: the request was gone.",
           db.dropped);
    metric(out, "overread_db_refused", "counter", "Statements refused: queue full or database away.",
           db.refused);
    metric(out, "overread_db_connections", "gauge", "Connections up.", db.connected);
    metric(out, "overread_db_waiting", "gauge", "Statements waiting to be sent.", db.waiting);
    metric(out, "overread_grades", "counter", "Grades made by workers.", grading.grades);
    metric(out, "overread_grade_retries", "counter", "Grades tried again after a worker was lost.",
           grading.retries);
    metric(out, "overread_grade_failures", "counter", "Grades that no worker could make.", grading.failures);
    metric(out, "overread_grader_workers_started", "counter", "Worker processes started.",
           grading.workers_started);
    metric(out, "overread_grader_workers_lost", "counter", "Worker processes that died or were ended.",
           grading.workers_lost);
    billing_metrics(out);
}

static void log_plugins(void)
{
    struct arena *arena = arena_create(); /* what is held longer cannot go when it is replaced */
    const struct grading_plugin *const *plugins;
    int count = grading_plugins(arena, &plugins);
    for (int i = 0; i < count; i++)
        if (!plugins[i]->broken) /* the registry has named those */
            log_line(LOG_LEVEL_INFO, "plugin", "plugin", plugins[i]->id, "version", plugins[i]->version,
                     "sha256", plugins[i]->sha256, "signed_by", plugins[i]->signed_by, NULL);
    arena_destroy(arena);
}

static void set_log_level(const char *name)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    for (int i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0)
            log_set_level((enum log_level)i);
}

/* Only http_serve's own thread may take them: no other is to be interrupted. */
static void block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static int serve(struct cli *cli, int argc, char **argv)
{
    struct error err = {0};
    struct config config = *cli->config;
    bool allow_unsigned = false;
    const struct cli_option options[] = {{.name = "allow-unsigned", .flag = &allow_unsigned}, {0}};
    if (cli_options(argc, argv, options) != argc)
        return 2;
    if (!config.public_url[0])
        config.public_url =
            arena_printf(cli->arena, "%s://%s", config.tls_certificate[0] ? "https" : "http", config.listen);
    set_log_level(config.log_level);
    block_signals();
    mem_keep_blocks();
    config.allow_unsigned_plugins |= allow_unsigned;
    struct cli own = {.config = &config, .arena = cli->arena};
    if (vault_init(&config, &err) < 0 || outbound_check(&config, &err) < 0 || billing_check(&config, &err) < 0 || cli_load_plugins(&own, &err) < 0)
        return cli_fail(&err);
    log_plugins();
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct thread_pool *passwords = thread_pool_create(cores > 1 ? (unsigned)cores : 1, PASSWORD_QUEUE, PASSWORD_NICENESS);
    long loops = config.threads ? config.threads : cores;
    struct thread_pool *strangers =
        thread_pool_create((unsigned)(FETCHES_AT_ONCE + (MAILS_AT_ONCE + WEBHOOKS_AT_ONCE + BILLING_AT_ONCE) * loops), OUTBOUND_QUEUE, 0);
    struct server *server = mem_alloc(sizeof(*server));
    server->config = &config;
    for (int i = 0; i < LOOPS_MAX; i++)
        pthread_mutex_init(&server->loops[i].lock, NULL);
    outbound_init(&config, strangers);
    sso_init(&config);
    billing_init(&config);
    identity_init(&config, passwords);
    data_protection_init(&config, strangers);
    api_tokens_init(cli_routes);
    library_init(&config);
    const struct http_options http = {
        .config = &config,
        .routes = cli_routes,
        .guard = identity_guard,
        .loop_start = loop_start,
        .loop_stop = loop_stop,
        .ready = ready,
        .metrics = metrics,
        .hup = reload_plugins,
        .arg = server,
    };
    int rc = http_serve(&http, &err);
    thread_pool_destroy(passwords);
    outbound_stop();
    thread_pool_destroy(strangers);
    grading_registry_unload();
    mem_free(server);
    return rc < 0 ? cli_fail(&err) : 0;
}

const struct cli_command cli_server_commands[] = {
    {"serve", "[--allow-unsigned]                serve until SIGTERM; SIGHUP reads the plugins again", serve},
    {0},
};
