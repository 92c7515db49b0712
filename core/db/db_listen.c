/* Notifications come over a connection of their own: in a pipeline they would wait behind statements. */
#include "db/db_internal.h"

#include "base/log.h"

static void listener_break(struct db_listener *listener)
{
    listener->in_query = false;
    db_link_break(&listener->link, PQerrorMessage(listener->link.pg));
}

/* LISTEN takes no parameters; the channel is quoted by libpq. Listening again to a channel does no harm. */
static bool send_listens(struct db_listener *listener)
{
    PGconn *pg = listener->link.pg;
    struct buffer sql;
    buffer_init(&sql, 4096);
    for (unsigned i = 0; i < listener->count; i++) {
        char *quoted =
            PQescapeIdentifier(pg, listener->channels[i].channel, text_of(listener->channels[i].channel).len);
        buffer_puts(&sql, "LISTEN ");
        buffer_puts(&sql, quoted ? quoted : "");
        buffer_puts(&sql, ";");
        PQfreemem(quoted);
    }
    bool sent = !sql.failed && PQsendQuery(pg, sql.p) && db_link_flush(&listener->link);
    buffer_finish(&sql);
    listener->in_query = sent;
    listener->stale = false;
    return sent;
}

static void listener_opened(void *arg)
{
    struct db_listener *listener = arg;
    if (!send_listens(listener))
        listener_break(listener);
}

static void tell_all(struct db_listener *listener, const char *channel, const char *payload)
{
    for (unsigned i = 0; i < listener->count; i++)
        if (!channel || text_is(text_of(channel), listener->channels[i].channel))
            listener->channels[i].notify(listener->channels[i].arg, payload);
}

/* False: the connection or the LISTEN failed. */
static bool take_answers(struct db_listener *listener)
{
    PGconn *pg = listener->link.pg;
    while (listener->in_query && !PQisBusy(pg)) {
        PGresult *result = PQgetResult(pg);
        bool failed = result && PQresultStatus(result) != PGRES_COMMAND_OK;
        PQclear(result);
        if (failed)
            return false;
        if (result)
            continue;
        listener->in_query = false;
        listener->link.attempts = 0;
        tell_all(listener, NULL, NULL); /* what was notified before this moment was missed */
    }
    return true;
}

static void listener_ready(void *arg, unsigned events)
{
    struct db_listener *listener = arg;
    PGconn *pg = listener->link.pg;
    PGnotify *notify;
    bool alive = true;

    if (events & LOOP_WRITE)
        alive = db_link_flush(&listener->link);
    alive = alive && PQconsumeInput(pg) && take_answers(listener);
    while (alive && (notify = PQnotifies(pg))) {
        tell_all(listener, notify->relname, notify->extra);
        PQfreemem(notify);
    }
    if (alive && listener->stale && !listener->in_query)
        alive = send_listens(listener);
    if (!alive)
        listener_break(listener);
}

int db_listen(struct db *db, const char *channel, void (*notify)(void *arg, const char *payload), void *arg)
{
    struct db_listener *listener = &db->listener;
    if (listener->count == DB_LISTENS)
        return -1;
    listener->channels[listener->count].channel = channel;
    listener->channels[listener->count].notify = notify;
    listener->channels[listener->count].arg = arg;
    listener->count++;
    if (!listener->started) {
        listener->started = true;
        listener->link = (struct db_link){
            .loop = db->loop,
            .conninfo = db->conninfo,
            .name = "overread listen",
            .opened = listener_opened,
            .ready = listener_ready,
            .owner = listener,
        };
        db_link_start(&listener->link);
    } else if (listener->link.open && listener->in_query) {
        listener->stale = true;
    } else if (listener->link.open && !send_listens(listener)) {
        listener_break(listener);
    }
    return 0;
}

void db_unlisten(struct db *db, void *arg)
{
    struct db_listener *listener = &db->listener;
    unsigned kept = 0;
    for (unsigned i = 0; i < listener->count; i++)
        if (listener->channels[i].arg != arg)
            listener->channels[kept++] = listener->channels[i];
    listener->count = kept;
}

void db_listener_finish(struct db_listener *listener)
{
    if (listener->started)
        db_link_finish(&listener->link);
    listener->count = 0;
}

bool db_listening(const struct db *db)
{
    const struct db_listener *listener = &db->listener;
    return listener->link.open && !listener->in_query && !listener->stale;
}
