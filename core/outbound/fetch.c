#include "outbound/outbound_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "outbound/address.h"
#include "outbound/message.h"

enum { CONNECT_MS = 10000 };

/* What the fiber and the pool's thread share while the fiber waits. */
struct fetch {
    const struct fetch_request *request;
    bool plain;          /* http: to loopback and nowhere else */
    bool loopback_good;
    bool address_refused, too_large, cut;
    struct buffer body;
    char content_type[256];
    char wanted[FETCH_WANTED_MAX][256];
    int64_t max_age, retry_after;
    long status;
    CURLcode code;
    char reason[CURL_ERROR_SIZE];
};

/* --- What is asked ------------------------------------------------------------------------------------------------- */

static int refuse(struct error *err, const char *what)
{
    return error_set(err, ERROR_INVALID, "fetch_invalid", NULL, "%s", what);
}

static int check_url(struct fetch *f, struct error *err)
{
    char *scheme = NULL, *user = NULL;
    CURLU *url = curl_url();
    bool good = url && curl_url_set(url, CURLUPART_URL, f->request->url, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_USER, &user, 0) == CURLUE_NO_USER && !message_has_control(f->request->url);
    bool https = good && strcmp(scheme, "https") == 0;
    f->plain = good && strcmp(scheme, "http") == 0;
    curl_free(scheme);
    curl_free(user);
    curl_url_cleanup(url);
    if (https || (f->plain && f->loopback_good))
        return 0;
    return refuse(err, "The address to fetch from must be an https URL without a user name.");
}

static int check(struct fetch *f, struct error *err)
{
    const char *method = f->request->method;
    if (method[0] == '\0' || strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(method))
        return refuse(err, "The method is not one of HTTP's.");
    for (const char *const *h = f->request->headers; h && *h; h++)
        if (message_has_control(*h) || !strchr(*h, ':'))
            return refuse(err, "A header is not a name, a colon and a value on one line.");
    return check_url(f, err);
}

/* libcurl writes numbers in any form (0x7f.1) as what they mean. */
static bool host_number(const char *host, struct sockaddr_storage *ret)
{
    char bare[INET6_ADDRSTRLEN] = "";
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    size_t len = strlen(host);
    memset(ret, 0, sizeof(*ret));
    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
        memcpy(ret, &v4, sizeof(v4));
        return true;
    }
    if (host[0] != '[' || len < 2 || len - 2 >= sizeof(bare))
        return false;
    memcpy(bare, host + 1, len - 2);
    if (inet_pton(AF_INET6, bare, &v6.sin6_addr) != 1)
        return false;
    memcpy(ret, &v6, sizeof(v6));
    return true;
}

int fetch_url_check(const char *address, const char *field, struct error *err)
{
    const struct fetch_request request = {.url = address};
    struct fetch f = {.request = &request, .loopback_good = outbound_config()->fetch_loopback};
    struct sockaddr_storage number;
    char *host = NULL;
    if (check_url(&f, NULL) < 0)
        return error_set(err, ERROR_UNPROCESSABLE, "url_invalid", field, "This takes an https URL without a user name.");
    CURLU *url = curl_url();
    bool good = url && curl_url_set(url, CURLUPART_URL, address, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK;
    if (good && host_number(host, &number))
        good = address_is_loopback((struct sockaddr *)&number) ? f.loopback_good : address_is_public((struct sockaddr *)&number);
    curl_free(host);
    curl_url_cleanup(url);
    if (good)
        return 0;
    return error_set(err, ERROR_UNPROCESSABLE, "address_refused", field,
                     "This address does not lead to a server on the public internet.");
}

/* --- On a thread of the pool --------------------------------------------------------------------------------------- */

/* libcurl connects to exactly the address that it shows here: a name that resolves to something else next time changes
 * nothing. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct fetch *f = arg;
    bool loopback = address_is_loopback(&address->addr);
    bool good = loopback ? f->loopback_good : !f->plain && (!f->request->public_only || address_is_public(&address->addr));
    if (purpose != CURLSOCKTYPE_IPCXN || !good) {
        f->address_refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t take_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct fetch *f = arg;
    (void)size; /* always 1 */
    if (count > f->request->reply_max - f->body.len) {
        *(f->request->reply_cut ? &f->cut : &f->too_large) = true;
        return 0;
    }
    buffer_add(&f->body, bytes, count);
    return count;
}

/* "public, max-age=3600": the first directive that says how long. */
static int64_t max_age_of(const char *value)
{
    while (*value) {
        value += strspn(value, " \t,");
        size_t len = strcspn(value, ",");
        int64_t seconds;
        if (strncasecmp(value, "no-store", 8) == 0 || strncasecmp(value, "no-cache", 8) == 0)
            return 0;
        if (len > 8 && strncasecmp(value, "max-age=", 8) == 0) {
            size_t digits = strspn(value + 8, "0123456789");
            if (text_to_int64((struct text){value + 8, digits}, 0, INT32_MAX, &seconds) == 0)
                return seconds;
        }
        value += len;
    }
    return -1;
}

static const char *header_of(CURL *curl, const char *name)
{
    struct curl_header *header;
    return curl_easy_header(curl, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK ? header->value : "";
}

static void keep(char *ret, size_t size, const char *value)
{
    memcpy(ret, value, strnlen(value, size - 1));
}

static CURLcode set_request(CURL *curl, struct fetch *f, const struct curl_slist *headers)
{
    const struct config *config = outbound_config();
    const struct fetch_request *request = f->request;
    CURLcode code = CURLE_OK;
    code = outbound_set(code, curl, CURLOPT_URL, request->url);
    code = outbound_set(code, curl, CURLOPT_PROTOCOLS_STR, f->plain ? "http" : "https");
    code = outbound_set(code, curl, CURLOPT_FOLLOWLOCATION, 0L);
    code = outbound_set(code, curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    code = outbound_set(code, curl, CURLOPT_USERAGENT, "Overread");
    code = outbound_set(code, curl, CURLOPT_HTTPHEADER, headers);
    if (config->fetch_ca[0])
        code = outbound_set(code, curl, CURLOPT_CAINFO, config->fetch_ca);
    if (request->body.len || strcmp(request->method, "POST") == 0 || strcmp(request->method, "PUT") == 0) {
        code = outbound_set(code, curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
        code = outbound_set(code, curl, CURLOPT_POSTFIELDS, request->body.len ? request->body.p : "");
    } else if (strcmp(request->method, "HEAD") == 0) {
        code = outbound_set(code, curl, CURLOPT_NOBODY, 1L);
    }
    code = outbound_set(code, curl, CURLOPT_CUSTOMREQUEST, request->method);
    code = outbound_set(code, curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    code = outbound_set(code, curl, CURLOPT_OPENSOCKETDATA, f);
    code = outbound_set(code, curl, CURLOPT_WRITEFUNCTION, take_body);
    code = outbound_set(code, curl, CURLOPT_WRITEDATA, f);
    return outbound_set(code, curl, CURLOPT_ERRORBUFFER, f->reason);
}

/* NULL: out of memory. */
static struct curl_slist *append(struct curl_slist *list, const char *s)
{
    struct curl_slist *longer = list ? curl_slist_append(list, s) : NULL;
    if (!longer)
        curl_slist_free_all(list);
    return longer;
}

static void transfer(void *arg)
{
    struct fetch *f = arg;
    unsigned ms = f->request->timeout_ms;
    CURL *curl = outbound_handle(ms < CONNECT_MS ? ms : CONNECT_MS, ms);
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    for (const char *const *h = f->request->headers; h && *h; h++)
        headers = append(headers, *h);
    f->code = curl && headers ? set_request(curl, f, headers) : CURLE_OUT_OF_MEMORY;
    if (f->code == CURLE_OK)
        f->code = curl_easy_perform(curl);
    if (f->code == CURLE_WRITE_ERROR && f->cut)
        f->code = CURLE_OK;
    if (f->code == CURLE_OK) {
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &f->status);
        f->max_age = max_age_of(header_of(curl, "Cache-Control"));
        text_to_int64(text_of(header_of(curl, "Retry-After")), 0, INT32_MAX, &f->retry_after);
        keep(f->content_type, sizeof(f->content_type), header_of(curl, "Content-Type"));
        for (int i = 0; i < FETCH_WANTED_MAX && f->request->wanted && f->request->wanted[i]; i++)
            keep(f->wanted[i], sizeof(f->wanted[i]), header_of(curl, f->request->wanted[i]));
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
}

/* --- In the fiber -------------------------------------------------------------------------------------------------- */

static int result(struct arena *arena, const struct fetch *f, struct fetch_reply *ret, struct error *err)
{
    if (f->address_refused && f->code != CURLE_OK)
        return error_set(err, ERROR_UNPROCESSABLE, "address_refused", NULL,
                         "This address does not lead to a server on the public internet.");
    if (f->code == CURLE_ABORTED_BY_CALLBACK)
        return error_set(err, ERROR_UNAVAILABLE, "stopping", NULL, "The server stops.");
    if (f->too_large)
        return error_set(err, ERROR_UNAVAILABLE, "fetch_failed", NULL, "The other server's reply is too large.");
    if (f->code != CURLE_OK || f->body.failed)
        return error_set(err, ERROR_UNAVAILABLE, "fetch_failed", NULL, "The other server could not be asked: %s.",
                         f->reason[0] ? f->reason : curl_easy_strerror(f->code));
    *ret = (struct fetch_reply){
        .status = (int)f->status,
        .body = {arena_copy(arena, f->body.len ? f->body.p : "", f->body.len), f->body.len},
        .content_type = text_of(arena_strdup(arena, f->content_type)),
        .max_age = f->max_age,
        .retry_after = f->retry_after,
    };
    for (int i = 0; i < FETCH_WANTED_MAX; i++)
        ret->wanted[i] = arena_strdup(arena, f->wanted[i]);
    return 0;
}

static int begin(struct arena *arena, const struct fetch_request *request, struct fetch **ret, struct error *err)
{
    /* In the arena, not on the fiber's small stack. */
    struct fetch *f = arena_alloc(arena, sizeof(*f));
    f->request = request;
    /* What the operator named may be on this machine; what somebody else did, in tests only. */
    f->loopback_good = !request->public_only || outbound_config()->fetch_loopback;
    if (check(f, err) < 0)
        return -1;
    buffer_init(&f->body, request->reply_max + 1);
    *ret = f;
    return 0;
}

int fiber_fn fetch_run(struct arena *arena, const struct fetch_request *request, struct fetch_reply *ret, struct error *err)
{
    struct fetch *f;
    if (begin(arena, request, &f, err) < 0)
        return -1;
    int rc = outbound_run(transfer, f, err);
    if (rc == 0)
        rc = result(arena, f, ret, err);
    buffer_finish(&f->body);
    return rc;
}

int fetch_here(struct arena *arena, const struct fetch_request *request, struct fetch_reply *ret, struct error *err)
{
    struct fetch *f;
    if (begin(arena, request, &f, err) < 0)
        return -1;
    transfer(f);
    int rc = result(arena, f, ret, err);
    buffer_finish(&f->body);
    return rc;
}
