/* Names of database hosts become addresses in a thread of their own: libpq would wait for the name server on the loop. It is
 * given numeric addresses, the name beside each for TLS and passwords. What holds no name to resolve needs no thread. A
 * service file's hosts (service=) are left to libpq. */
#include "db/db_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "base/mem.h"

#define TARGETS_MAX 16

struct target {
    char host[256], address[64], port[16];
};

/* Held by the link and by the thread; whichever lets go last frees it. The link reads it once fd is readable. */
struct db_resolve {
    atomic_uint holders;
    atomic_bool done; /* what is below it belongs to the thread before, to the link after */
    int fd;
    unsigned asked_count, count;
    struct target asked[TARGETS_MAX], targets[TARGETS_MAX];
    char failure[256];
};

struct db_resolve *db_resolve_release(struct db_resolve *resolve)
{
    if (resolve && atomic_fetch_sub(&resolve->holders, 1) == 1) {
        close(resolve->fd);
        mem_free(resolve);
    }
    return NULL;
}

/* --- What the conninfo asks for ------------------------------------------------------------- */

static unsigned count_of(const char *list)
{
    unsigned count = 1;
    for (; *list; list++)
        count += *list == ',';
    return count;
}

/* The index-th of a list. False: it does not fit. */
static bool element(const char *list, unsigned index, char *ret, size_t size)
{
    while (index-- > 0)
        list = strchr(list, ',') + 1;
    size_t len = strcspn(list, ",");
    if (len >= size)
        return false;
    memcpy(ret, list, len);
    ret[len] = '\0';
    return true;
}

static const char *option(const PQconninfoOption *options, const char *keyword)
{
    for (; options && options->keyword; options++)
        if (strcmp(options->keyword, keyword) == 0)
            return options->val ? options->val : "";
    return "";
}

static bool is_literal(const char *host)
{
    unsigned char binary[16];
    return inet_pton(AF_INET, host, binary) == 1 || inet_pton(AF_INET6, host, binary) == 1;
}

static bool is_name(const struct target *target)
{
    return !target->address[0] && target->host[0] && target->host[0] != '/' && target->host[0] != '@';
}

/* False: there is nothing for us to do; what is malformed libpq says better. */
static bool split_hosts(struct db_resolve *resolve, const char *hosts, const char *addresses, const char *ports)
{
    unsigned count = count_of(addresses[0] ? addresses : hosts), port_count = count_of(ports);
    if ((!hosts[0] && !addresses[0]) || count > TARGETS_MAX || (hosts[0] && count_of(hosts) != count) ||
        (port_count != 1 && port_count != count))
        return false;
    for (unsigned i = 0; i < count; i++) {
        struct target *target = &resolve->asked[i];
        if ((hosts[0] && !element(hosts, i, target->host, sizeof(target->host))) ||
            (addresses[0] && !element(addresses, i, target->address, sizeof(target->address))) ||
            !element(ports, port_count == 1 ? 0 : i, target->port, sizeof(target->port)))
            return false;
        if (!target->address[0] && is_literal(target->host))
            snprintf(target->address, sizeof(target->address), "%s", target->host);
    }
    resolve->asked_count = count;
    return true;
}

/* As libpq takes them: from the conninfo, else from the environment. */
static bool read_conninfo(struct db_resolve *resolve, const char *conninfo)
{
    PQconninfoOption *given = PQconninfoParse(conninfo, NULL), *others = PQconndefaults();
    const char *values[] = {"host", "hostaddr", "port"};
    bool has_host = option(given, "host")[0] || option(given, "hostaddr")[0];
    for (unsigned i = 0; i < 3; i++) {
        const char *value = option(given, values[i]);
        bool from_others = !value[0] && (i == 2 || !has_host);
        values[i] = from_others ? option(others, values[i]) : value;
    }
    bool ours = given && !option(given, "service")[0] && split_hosts(resolve, values[0], values[1], values[2]);
    PQconninfoFree(given);
    PQconninfoFree(others);
    return ours;
}

/* --- Looking up ----------------------------------------------------------------------------- */

static void add_target(struct db_resolve *resolve, const struct target *asked)
{
    if (resolve->count < TARGETS_MAX)
        resolve->targets[resolve->count++] = *asked;
}

static void look_up(struct db_resolve *resolve, const struct target *asked)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(asked->host, NULL, &hints, &found);
    if (failed) {
        snprintf(resolve->failure, sizeof(resolve->failure), "%.100s: %.100s", asked->host, gai_strerror(failed));
        return;
    }
    for (const struct addrinfo *a = found; a; a = a->ai_next) {
        struct target target = *asked;
        if (getnameinfo(a->ai_addr, a->ai_addrlen, target.address, sizeof(target.address), NULL, 0, NI_NUMERICHOST) == 0)
            add_target(resolve, &target);
    }
    freeaddrinfo(found);
}

static void *resolve_all(void *arg)
{
    struct db_resolve *resolve = arg;
    for (unsigned i = 0; i < resolve->asked_count; i++) {
        if (is_name(&resolve->asked[i]))
            look_up(resolve, &resolve->asked[i]);
        else
            add_target(resolve, &resolve->asked[i]);
    }
    atomic_store(&resolve->done, true);
    eventfd_write(resolve->fd, 1);
    db_resolve_release(resolve);
    return NULL;
}

static bool has_names(const struct db_resolve *resolve)
{
    for (unsigned i = 0; i < resolve->asked_count; i++)
        if (is_name(&resolve->asked[i]))
            return true;
    return false;
}

static bool start_thread(struct db_resolve *resolve)
{
    pthread_attr_t detached;
    pthread_t thread;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    int r = pthread_create(&thread, &detached, resolve_all, resolve);
    pthread_attr_destroy(&detached);
    return r == 0;
}

struct db_resolve *db_resolve_start(const char *conninfo)
{
    struct db_resolve *resolve = mem_alloc(sizeof(*resolve));
    atomic_init(&resolve->holders, 2);
    resolve->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (resolve->fd >= 0 && read_conninfo(resolve, conninfo)) {
        if (!has_names(resolve)) {
            resolve_all(resolve);
            return resolve;
        }
        if (start_thread(resolve))
            return resolve;
    }
    atomic_store(&resolve->holders, 1);
    return db_resolve_release(resolve);
}

/* --- What libpq is given -------------------------------------------------------------------- */

int db_resolve_fd(const struct db_resolve *resolve)
{
    return resolve->fd;
}

const char *db_resolve_failure(const struct db_resolve *resolve)
{
    if (!atomic_load(&resolve->done))
        return "not done";
    return resolve->count > 0 ? NULL : resolve->failure;
}

void db_resolve_targets(const struct db_resolve *resolve, unsigned first, struct buffer *ret_hosts,
                        struct buffer *ret_addresses, struct buffer *ret_ports)
{
    for (unsigned i = 0; i < resolve->count; i++) {
        const struct target *target = &resolve->targets[(first + i) % resolve->count];
        const char *comma = i > 0 ? "," : "";
        buffer_printf(ret_hosts, "%s%s", comma, target->host);
        buffer_printf(ret_addresses, "%s%s", comma, target->address);
        buffer_printf(ret_ports, "%s%s", comma, target->port);
    }
}
