#include "db/db_internal.h"

#include "base/log.h"

#define CONNECT_MS 5000
#define BACK_OFF_MIN_MS 100
#define BACK_OFF_MAX_MS 5000
#define HOSTS_MAX 8192

static void link_connect(void *arg);

static void notice_dropped(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result;
}

void db_silence(PGconn *pg)
{
    PQsetNoticeReceiver(pg, notice_dropped, NULL);
}

/* Half the delay is random: a thousand nodes must not come back in step. */
static uint64_t back_off_ms(unsigned attempts)
{
    uint64_t delay = BACK_OFF_MIN_MS;
    uint32_t random;
    while (attempts-- > 0 && delay < BACK_OFF_MAX_MS)
        delay *= 2;
    if (delay > BACK_OFF_MAX_MS)
        delay = BACK_OFF_MAX_MS;
    crypto_random(&random, sizeof(random));
    return delay / 2 + random % (delay / 2 + 1);
}

static void link_close(struct db_link *link)
{
    link->watch = loop_watch_close(link->watch);
    loop_timer_stop(&link->timer);
    PQfinish(link->pg);
    link->pg = NULL;
    link->open = false;
}

void db_link_break(struct db_link *link, const char *why)
{
    /* Only the first failure in a row is news. */
    log_line(link->attempts == 0 ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG, "database_connection_lost",
             "connection", link->name, "why", why, NULL);
    link_close(link);
    loop_timer_start(link->loop, &link->timer, back_off_ms(link->attempts), link_connect, link);
    if (link->attempts < 16)
        link->attempts++;
}

void db_link_hurry(struct db_link *link)
{
    if (!link->pg && !link->watch)
        loop_timer_start(link->loop, &link->timer, back_off_ms(0), link_connect, link);
}

void db_link_finish(struct db_link *link)
{
    link_close(link);
    link->resolve = db_resolve_release(link->resolve);
}

static void link_open_ready(void *arg, unsigned events)
{
    struct db_link *link = arg;
    link->ready(link->owner, events);
}

static void link_step(void *arg, unsigned events);

/* libpq may close its socket and open another at every step (next address, SSL refused): the watch is made
 * anew. */
static void link_watch(struct db_link *link, unsigned events, void (*ready)(void *arg, unsigned events))
{
    link->watch = loop_watch(link->loop, PQsocket(link->pg), events, ready, link);
}

static void link_opened(struct db_link *link)
{
    loop_timer_stop(&link->timer);
    if (PQsetnonblocking(link->pg, 1) != 0) {
        db_link_break(link, PQerrorMessage(link->pg));
        return;
    }
    link->open = true;
    link_watch(link, LOOP_READ, link_open_ready);
    link->opened(link->owner);
}

static void link_step(void *arg, unsigned events)
{
    struct db_link *link = arg;
    (void)events;
    link->watch = loop_watch_close(link->watch);
    switch (PQconnectPoll(link->pg)) {
    case PGRES_POLLING_READING:
        link_watch(link, LOOP_READ, link_step);
        return;
    case PGRES_POLLING_WRITING:
        link_watch(link, LOOP_WRITE, link_step);
        return;
    case PGRES_POLLING_OK:
        link_opened(link);
        return;
    default:
        db_link_break(link, PQerrorMessage(link->pg));
    }
}

/* One address that never answers uses up an attempt's time: the next begins with another. */
static void link_too_slow(void *arg)
{
    struct db_link *link = arg;
    link->turn++;
    db_link_break(link, "connecting took too long");
}

static PGconn *start(struct db_link *link, const char *hosts, const char *addresses, const char *ports)
{
    /* What stands behind dbname overrides the same keyword in conninfo; NULL overrides nothing. A half-open socket is
     * noticed by the kernel within half a minute even when no statement waits on it. */
    const char *const keywords[] = {"dbname",          "application_name",    "client_encoding",
                                    "keepalives_idle", "keepalives_interval", "keepalives_count",
                                    "tcp_user_timeout", "host",               "hostaddr",
                                    "port",            NULL};
    const char *const values[] = {link->conninfo, link->name, "UTF8", "10", "5", "3", "15000", hosts, addresses, ports, NULL};

    return PQconnectStartParams(keywords, values, 1);
}

static PGconn *start_resolved(struct db_link *link)
{
    struct buffer hosts, addresses, ports;
    buffer_init(&hosts, HOSTS_MAX);
    buffer_init(&addresses, HOSTS_MAX);
    buffer_init(&ports, HOSTS_MAX);
    db_resolve_targets(link->resolve, link->turn, &hosts, &addresses, &ports);
    PGconn *pg = start(link, hosts.p, addresses.p, ports.p);
    buffer_finish(&hosts);
    buffer_finish(&addresses);
    buffer_finish(&ports);
    return pg;
}

static void link_begin(struct db_link *link, PGconn *pg)
{
    link->pg = pg;
    if (!pg || PQstatus(pg) == CONNECTION_BAD || PQsocket(pg) < 0) {
        db_link_break(link, pg ? PQerrorMessage(pg) : "out of memory");
        return;
    }
    db_silence(pg);
    loop_timer_start(link->loop, &link->timer, CONNECT_MS, link_too_slow, link);
    link_watch(link, LOOP_WRITE, link_step);
}

static void link_resolved(void *arg, unsigned events)
{
    struct db_link *link = arg;
    struct db_resolve *resolve = link->resolve;
    (void)events;
    link->watch = loop_watch_close(link->watch);
    if (db_resolve_failure(resolve))
        db_link_break(link, db_resolve_failure(resolve));
    else
        link_begin(link, start_resolved(link));
    link->resolve = db_resolve_release(resolve);
}

static void link_connect(void *arg)
{
    struct db_link *link = arg;
    if (!link->resolve)
        link->resolve = db_resolve_start(link->conninfo);
    if (!link->resolve) {
        link_begin(link, start(link, NULL, NULL, NULL));
        return;
    }
    loop_timer_start(link->loop, &link->timer, CONNECT_MS, link_too_slow, link);
    link->watch = loop_watch(link->loop, db_resolve_fd(link->resolve), LOOP_READ, link_resolved, link);
}

void db_link_start(struct db_link *link)
{
    link_connect(link);
}

bool db_link_flush(struct db_link *link)
{
    int left = PQflush(link->pg);
    if (left < 0)
        return false;
    loop_watch_set(link->watch, left > 0 ? LOOP_READ | LOOP_WRITE : LOOP_READ);
    return true;
}
