/* What leaves the server for other people's: mail by SMTP, requests by HTTPS. Both through libcurl, on worker threads; who
 * calls waits in a fiber. */
#ifndef OVERREAD_OUTBOUND_H
#define OVERREAD_OUTBOUND_H

#include "base/config.h"
#include "jobs/jobs.h"
#include "jobs/thread_pool.h"

extern const struct db_statement outbound_statements[];

/* Once, before the server starts; both outlive it. The pool's threads wait for strangers: it is not that of passwords. */
void outbound_init(const struct config *config, struct thread_pool *pool);
/* Is what the configuration says of mail good? True also when it says nothing: then mails wait. */
int outbound_check(const struct config *config, struct error *err);
/* scheme://host, perhaps with a port, and neither user, path, query nor fragment? *ret_here: the host is this machine. */
bool outbound_origin_is(const char *url, const char *scheme, bool *ret_here);
/* The server stops: what has begun gets a few seconds more, then it is broken off. On a loop's thread, before its db goes,
 * it waits for that loop's own; on another it only says so. */
void outbound_stop(void);

/* --- Mail ---------------------------------------------------------------------------------------------------------- */

/* Sends what mail_queue() (migrations/0007) put into the outbox:
 * {"template": NAME, "to": address, "values": {name: text}, "ticket": id or null}.
 * A template is core/outbound/templates/NAME.txt and NAME.html, embedded; templates/README.md lists them and their values.
 * {link} of a ticket is public_url + "/" + page + "#" + a token made now, whose hash ticket_issue() keeps. Two sendings of
 * one job have the same Message-ID, so that a reader sees one; but not where there is a link, for only the last one works.
 * A failed sending is tried again for two days, one that the other side refused for good is not. */
extern const struct job_kind outbound_mail_job;

/* --- Fetch --------------------------------------------------------------------------------------------------------- */

struct fetch_request {
    const char *method; /* "GET", "POST", ... */
    const char *url;    /* https; http only to this machine, and with public_only when config->fetch_loopback says so */
    const char *const *headers; /* "name: value", NULL-ended; or NULL */
    struct text body;
    size_t reply_max;   /* bytes; more is an error, or with reply_cut left unread */
    bool reply_cut;
    unsigned timeout_ms;
    /* The address is somebody's input (a tenant's webhook, an issuer): only public addresses are connected to, after
     * resolving, whatever the name says; no redirect is followed. Loopback as above. */
    bool public_only;
    const char *const *wanted; /* names of the reply's headers that are wanted, NULL-ended, at most FETCH_WANTED_MAX; or NULL */
};
enum { FETCH_WANTED_MAX = 4 };
struct fetch_reply {
    int status;
    struct text body, content_type; /* in the arena */
    int64_t max_age; /* seconds by Cache-Control; -1: it does not say */
    const char *wanted[FETCH_WANTED_MAX]; /* in the request's order; "" for what is not there */
    int64_t retry_after; /* seconds by Retry-After; 0: it does not say, or says a date */
};
/* 0 with any status that the other side answered; -1 with ERROR_UNAVAILABLE "fetch_failed" (the reason in words, no secret),
 * "busy" or "stopping" (of us: ask again later), ERROR_UNPROCESSABLE "address_refused", or ERROR_INVALID "fetch_invalid": the
 * request is none. */
int fiber_fn fetch_run(struct arena *arena, const struct fetch_request *request, struct fetch_reply *ret, struct error *err);
/* The same without a fiber: the calling thread waits. For the command line; outbound_init may have been given no pool. */
int fetch_here(struct arena *arena, const struct fetch_request *request, struct fetch_reply *ret, struct error *err);
/* What can be said of an address before anybody asks there, for the one who enters it: -1 with ERROR_UNPROCESSABLE "url_invalid" or
 * "address_refused" (its host is written as a number, and is not public). Where a name leads is seen when it is asked. */
int fetch_url_check(const char *url, const char *field, struct error *err);

#endif
