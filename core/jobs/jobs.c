#include "jobs/jobs.h"

#include <stdio.h>
#include "base/log.h"
#include "base/mem.h"
#include "jobs/jobs_sql.h"

#define POLL_MS 1000
#define LEASE_SECONDS "120" /* a worker that died gives its jobs back after that */
#define RETRY_MAX_SECONDS 3600

struct jobs {
    struct loop *loop;
    struct db *db;
    const struct job_kind *const *kinds;
    struct buffer kinds_param; /* array literal: {"grade","mail"} */
    struct loop_timer poll;
    int concurrency;
    int running; /* fibers of jobs */
    bool claiming;
    bool again; /* something came while claiming */
    bool more;  /* the last claim took all it was allowed to */
    bool periodic_there; /* each periodic kind has its row */
    bool closing;
};

struct running_job {
    struct jobs *jobs;
    const struct job_kind *kind;
    struct arena *arena;
    struct job job;
};

static void claim_soon(struct jobs *jobs);

/* Fibers outlive jobs_destroy; the last one out frees. */
static void free_when_idle(struct jobs *jobs)
{
    if (!jobs->closing || jobs->running > 0 || jobs->claiming)
        return;
    buffer_finish(&jobs->kinds_param);
    mem_free(jobs);
}

/* --- One job -------------------------------------------------------------------------------- */

/* 2^attempt seconds up to an hour, half of it random: what failed together does not come back together. */
static unsigned retry_seconds(int attempt, unsigned most)
{
    unsigned delay = attempt < 12 ? 1u << attempt : RETRY_MAX_SECONDS, bound = most ? most : RETRY_MAX_SECONDS;
    uint32_t random;
    if (delay > bound)
        delay = bound;
    crypto_random(&random, sizeof(random));
    return delay - random % (delay / 2 + 1);
}

/* As valid UTF-8 whatever the error's text was cut to; else the database refuses it. */
static const char *error_text(struct arena *arena, const struct error *err)
{
    struct buffer literal;
    const char *plain = arena_printf(arena, "%s: %s", err->code, err->detail);
    buffer_init(&literal, 8192);
    buffer_json_string(&literal, text_of(plain));
    const char *text =
        literal.failed || literal.len < 2 ? err->code : arena_copy(arena, literal.p + 1, literal.len - 2);
    buffer_finish(&literal);
    return text;
}

static struct db_scope operator_scope(struct arena *arena)
{
    return (struct db_scope){.arena = arena, .as = DB_AS_NOBODY};
}

static void record_failure(struct running_job *r, const struct error *err)
{
    const struct job *job = &r->job;
    bool dead = job->hopeless || (r->kind->max_attempts > 0 && job->attempt >= r->kind->max_attempts);
    char seconds[16], attempt[16];
    snprintf(seconds, sizeof(seconds), "%u", retry_seconds(job->attempt, r->kind->retry_max_seconds));
    snprintf(attempt, sizeof(attempt), "%d", job->attempt);
    log_line(dead ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, dead ? "job_dead" : "job_failed", "job", job->id,
             "kind", job->kind, "#attempt", attempt, "code", err->code, "detail", err->detail, NULL);

    const char *const params[] = {job->id, job->lease, error_text(r->arena, err), seconds,
                                  dead ? "true" : "false"};
    struct db_scope scope = operator_scope(r->arena);
    struct error ignored; /* the lease runs out, and another takes the job */
    db_run(&scope, sql_job_failed, params, NULL, &ignored);
}

/* If this cannot be written the job runs again, which its key makes harmless. */
static void record_success(struct running_job *r)
{
    struct db_scope scope = operator_scope(r->arena);
    struct error ignored;
    unsigned again = r->job.again_seconds ? r->job.again_seconds : r->kind->every_seconds;
    if (again) {
        const char *seconds = arena_printf(r->arena, "%u", again);
        db_run(&scope, sql_job_again, (const char *const[]){r->job.id, r->job.lease, seconds}, NULL, &ignored);
    } else {
        db_run(&scope, sql_job_done, (const char *const[]){r->job.id, r->job.lease}, NULL, &ignored);
    }
}

static void run_job(void *arg)
{
    struct running_job *r = arg;
    struct jobs *jobs = r->jobs;
    struct error err = {0};

    log_context(r->job.id);
    if (r->kind->run(&r->job, &err) == 0)
        record_success(r);
    else
        record_failure(r, &err);
    log_context(NULL);
    arena_destroy(r->arena); /* r with it */
    jobs->running--;
    if (jobs->more)
        claim_soon(jobs);
    free_when_idle(jobs);
}

static const struct job_kind *kind_named(const struct jobs *jobs, struct text name)
{
    for (const struct job_kind *const *kind = jobs->kinds; *kind; kind++)
        if (text_is(name, (*kind)->kind))
            return *kind;
    return NULL;
}

static void start_job(struct jobs *jobs, const struct db_result *rows, int row, const char *lease)
{
    const struct job_kind *kind = kind_named(jobs, db_text(rows, row, 1));
    if (!kind) /* cannot be: only named kinds are claimed */
        return;
    struct arena *arena = arena_create();
    struct running_job *r = arena_alloc(arena, sizeof(*r));
    struct text payload = db_text(rows, row, 2);
    r->jobs = jobs;
    r->kind = kind;
    r->arena = arena;
    r->job.kind = kind->kind;
    r->job.payload = (struct text){arena_copy(arena, payload.p, payload.len), payload.len};
    r->job.attempt = (int)db_int(rows, row, 3);
    snprintf(r->job.id, sizeof(r->job.id), "%s", db_string(rows, row, 0));
    snprintf(r->job.lease, sizeof(r->job.lease), "%s", lease);
    r->job.scope =
        (struct db_scope){.arena = arena, .as = DB_AS_JOB, .credential = r->job.id, .need = r->job.lease};
    jobs->running++;
    fiber_spawn(run_job, r);
}

/* --- Claiming ------------------------------------------------------------------------------- */

/* False: it could not ask, or nobody wants more. */
static bool claim_once(struct jobs *jobs)
{
    char lease[UUID_SIZE], room_text[16];
    int room = jobs->concurrency - jobs->running;
    if (room <= 0) {
        jobs->more = true; /* who ends next asks again */
        return false;
    }
    struct arena *arena = arena_create();
    struct db_scope scope = operator_scope(arena);
    const struct db_result *rows;
    struct error err;
    uuid_v7(lease);
    snprintf(room_text, sizeof(room_text), "%d", room);
    const char *const params[] = {jobs->kinds_param.p, lease, LEASE_SECONDS, room_text};

    jobs->again = false;
    int result = db_run(&scope, sql_job_claim, params, &rows, &err);
    if (result == 0) {
        int count = db_rows(rows);
        jobs->more = count >= room;
        for (int row = 0; row < count && !jobs->closing; row++)
            start_job(jobs, rows, row, lease);
    }
    arena_destroy(arena);
    return result == 0 && (jobs->more || jobs->again);
}

/* Any node may be the first that runs this kind; one row stands for it in the whole cluster. */
static bool ensure_periodic(struct jobs *jobs)
{
    struct arena *arena = arena_create();
    struct db_scope scope = operator_scope(arena);
    struct error ignored;
    bool there = true;
    for (const struct job_kind *const *kind = jobs->kinds; *kind; kind++)
        if ((*kind)->every_seconds &&
            db_run(&scope, sql_job_ensure, (const char *const[]){(*kind)->kind}, NULL, &ignored) < 0)
            there = false;
    arena_destroy(arena);
    return there;
}

static void claim(void *arg)
{
    struct jobs *jobs = arg;
    if (!jobs->periodic_there)
        jobs->periodic_there = ensure_periodic(jobs);
    while (!jobs->closing && claim_once(jobs))
        ;
    jobs->claiming = false;
    free_when_idle(jobs);
}

static void claim_soon(struct jobs *jobs)
{
    if (jobs->closing)
        return;
    if (jobs->claiming) {
        jobs->again = true;
        return;
    }
    jobs->claiming = true;
    fiber_spawn(claim, jobs);
}

static void poll_due(void *arg)
{
    struct jobs *jobs = arg;
    loop_timer_start(jobs->loop, &jobs->poll, POLL_MS, poll_due, jobs);
    if (db_ready(jobs->db))
        claim_soon(jobs);
}

static void notified(void *arg, const char *payload)
{
    struct jobs *jobs = arg;
    bool others = payload && payload[0] && !kind_named(jobs, text_of(payload));
    if (!others && db_ready(jobs->db))
        claim_soon(jobs);
}

/* --- The whole ------------------------------------------------------------------------------ */

struct jobs *jobs_create(struct loop *loop, struct db *db, const struct job_kind *const kinds[],
                         int concurrency)
{
    struct jobs *jobs = mem_alloc(sizeof(*jobs));
    jobs->loop = loop;
    jobs->db = db;
    jobs->kinds = kinds;
    jobs->concurrency = concurrency > 0 ? concurrency : 1;
    buffer_init(&jobs->kinds_param, 4096);
    for (int i = 0; kinds[i]; i++)
        buffer_printf(&jobs->kinds_param, "%s\"%s\"", i ? "," : "{", kinds[i]->kind);
    buffer_puts(&jobs->kinds_param, kinds[0] ? "}" : "{}");
    loop_timer_start(loop, &jobs->poll, POLL_MS, poll_due, jobs);
    db_listen(db, "overread_jobs", notified, jobs);
    return jobs;
}

struct jobs *jobs_destroy(struct jobs *jobs)
{
    if (!jobs)
        return NULL;
    jobs->closing = true;
    loop_timer_stop(&jobs->poll);
    db_unlisten(jobs->db, jobs);
    free_when_idle(jobs);
    return NULL;
}
