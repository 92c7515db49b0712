#include "outbound/outbound.h"

#include <arpa/inet.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "outbound/message.h"
#include "outbound/outbound_internal.h"

#define STOP_GRACE_NS (5 * 1000000000ull)
#define STOP_TURN_MS 20

static const struct config *config;
static struct thread_pool *pool;
static atomic_ullong stop_at_ns; /* 0: nobody stops */
static _Thread_local unsigned under_way; /* of this loop's fibers */

void outbound_init(const struct config *c, struct thread_pool *p)
{
    config = c;
    pool = p;
    stop_at_ns = 0;
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

void outbound_stop(void)
{
    unsigned long long nobody = 0;
    atomic_compare_exchange_strong(&stop_at_ns, &nobody, clock_monotonic_ns() + STOP_GRACE_NS);
    while (under_way)
        loop_turn(loop_here(), STOP_TURN_MS);
}

static bool is_this_machine(const char *host)
{
    struct in_addr v4;
    return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           (inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127);
}

bool outbound_origin_is(const char *s, const char *scheme, bool *ret_here)
{
    CURLU *url = curl_url();
    char *stated = NULL, *host = NULL, *user = NULL, *path = NULL;
    bool good = url && curl_url_set(url, CURLUPART_URL, s, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_SCHEME, &stated, 0) == CURLUE_OK && strcmp(stated, scheme) == 0 &&
                curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_USER, &user, 0) == CURLUE_NO_USER &&
                curl_url_get(url, CURLUPART_PATH, &path, 0) == CURLUE_OK && strcmp(path, "/") == 0 && s[strlen(s) - 1] != '/' &&
                !strpbrk(s, "?#");
    *ret_here = good && is_this_machine(host);
    curl_free(stated);
    curl_free(host);
    curl_free(user);
    curl_free(path);
    curl_url_cleanup(url);
    return good;
}

static bool smtp_url_good(const char *s, bool *ret_plain, bool *ret_here)
{
    *ret_plain = outbound_origin_is(s, "smtp", ret_here);
    return *ret_plain || outbound_origin_is(s, "smtps", ret_here);
}

int outbound_check(const struct config *c, struct error *err)
{
    bool plain, here;
    struct mailbox from;
    struct arena *arena = arena_create();
    int rc = 0;
    if (c->smtp_url[0] && !smtp_url_good(c->smtp_url, &plain, &here))
        rc = error_set(err, ERROR_INVALID, "config_invalid", "smtp_url",
                       "smtp_url must be smtp://host:port or smtps://host:port, without a user name and a path");
    else if (c->smtp_url[0] && mailbox_parse(arena, c->mail_from, &from, err) < 0)
        rc = error_set(err, ERROR_INVALID, "config_invalid", "mail_from",
                       "mail_from must be given with smtp_url: Overread <no-reply@example.org>");
    arena_destroy(arena);
    return rc;
}

bool outbound_smtp_encrypted(const struct config *c)
{
    bool plain = false, here = false;
    return !smtp_url_good(c->smtp_url, &plain, &here) || !plain || !here || c->smtp_ca[0] != '\0';
}

const struct config *outbound_config(void)
{
    return config;
}

int fiber_fn outbound_run(void (*work)(void *arg), void *arg, struct error *err)
{
    under_way++;
    int rc = thread_pool_run(pool, work, arg, err);
    under_way--;
    return rc;
}

/* libcurl asks at least once a second. Not 0 breaks the transfer off. */
static int is_over(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    unsigned long long at = atomic_load(&stop_at_ns);
    (void)arg, (void)a, (void)b, (void)c, (void)d;
    return at != 0 && clock_monotonic_ns() > at;
}

CURL *outbound_handle(unsigned connect_ms, unsigned whole_ms)
{
    CURL *curl = curl_easy_init();
    CURLcode code = curl ? CURLE_OK : CURLE_OUT_OF_MEMORY;
    code = outbound_set(code, curl, CURLOPT_NOSIGNAL, 1L);
    code = outbound_set(code, curl, CURLOPT_PROXY, ""); /* not NULL: that would be http_proxy and its like */
    code = outbound_set(code, curl, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    code = outbound_set(code, curl, CURLOPT_TIMEOUT_MS, (long)whole_ms);
    code = outbound_set(code, curl, CURLOPT_NOPROGRESS, 0L);
    code = outbound_set(code, curl, CURLOPT_XFERINFOFUNCTION, is_over);
    if (code && curl) {
        curl_easy_cleanup(curl);
        curl = NULL;
    }
    return curl;
}
