#include "http/metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"

static const struct {
    uint64_t ns;
    const char *le;
} BUCKETS[METRICS_BUCKETS] = {
    {1000000, "0.001"},   {2500000, "0.0025"},  {5000000, "0.005"},   {10000000, "0.01"}, {25000000, "0.025"},
    {50000000, "0.05"},   {100000000, "0.1"},   {250000000, "0.25"},  {500000000, "0.5"}, {1000000000, "1.0"},
    {2500000000U, "2.5"}, {5000000000U, "5.0"}, {UINT64_MAX, "+Inf"},
};

static const char *const CLASSES[METRICS_CLASSES] = {"2xx", "3xx", "4xx", "5xx", "gone"};

#define STATUS_GONE 499

void metrics_init(struct metrics *metrics, unsigned routes)
{
    *metrics = (struct metrics){0};
    metrics->routes = mem_array(routes + 1, sizeof(struct metrics_route));
}

void metrics_finish(struct metrics *metrics)
{
    mem_free(metrics->routes);
    metrics->routes = NULL;
}

/* One writer: a load and a store, no locked instruction. */
void metrics_add(_Atomic uint64_t *counter, int64_t delta)
{
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + (uint64_t)delta, memory_order_relaxed);
}

void metrics_count(struct metrics *metrics, unsigned index, int status, uint64_t ns)
{
    struct metrics_route *route = &metrics->routes[index];
    int class = status == STATUS_GONE ? 4 : status < 300 ? 0 : status < 400 ? 1 : status < 500 ? 2 : 3;
    int bucket = 0;

    while (ns > BUCKETS[bucket].ns)
        bucket++;
    metrics_add(&route->by_class[class], 1);
    metrics_add(&route->buckets[bucket], 1);
    metrics_add(&route->sum_ns, (int64_t)ns);
}

static uint64_t sum(const struct metrics *const *loops, unsigned count, size_t offset)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < count; i++) {
        const _Atomic uint64_t *counter = (const void *)((const char *)loops[i] + offset);
        total += atomic_load_explicit(counter, memory_order_relaxed);
    }
    return total;
}

struct totals {
    uint64_t by_class[METRICS_CLASSES], buckets[METRICS_BUCKETS], sum_ns, requests;
};

static void route_totals(const struct metrics *const *loops, unsigned count, unsigned index,
                         struct totals *ret)
{
    *ret = (struct totals){0};
    for (unsigned i = 0; i < count; i++) {
        const struct metrics_route *route = &loops[i]->routes[index];
        for (int c = 0; c < METRICS_CLASSES; c++)
            ret->by_class[c] += atomic_load_explicit(&route->by_class[c], memory_order_relaxed);
        for (int b = 0; b < METRICS_BUCKETS; b++) {
            uint64_t n = atomic_load_explicit(&route->buckets[b], memory_order_relaxed);
            ret->buckets[b] += n;
            ret->requests += n;
        }
        ret->sum_ns += atomic_load_explicit(&route->sum_ns, memory_order_relaxed);
    }
}

static void family(struct buffer *out, const char *name, const char *type, const char *unit, const char *help)
{
    buffer_printf(out, "# TYPE %s %s\n", name, type);
    if (unit)
        buffer_printf(out, "# UNIT %s %s\n", name, unit);
    buffer_printf(out, "# HELP %s %s\n", name, help);
}

/* Paths and methods of the route table hold neither quotes nor backslashes. */
static void labels(const struct router *router, unsigned index, const char **ret_method,
                   const char **ret_path)
{
    bool known = index < router_count(router);

    *ret_method = known ? router_route(router, index)->method : "";
    *ret_path = known ? router_route(router, index)->path : "";
}

static void render_routes(const struct router *router, const struct metrics *const *loops, unsigned count,
                          struct buffer *out)
{
    const char *method, *path;
    struct totals totals;

    family(out, "overread_http_requests", "counter", NULL, "Requests ended, by route and class of status.");
    for (unsigned i = 0; i <= router_count(router); i++) {
        route_totals(loops, count, i, &totals);
        labels(router, i, &method, &path);
        for (int c = 0; c < METRICS_CLASSES; c++) {
            if (totals.by_class[c] > 0)
                buffer_printf(
                    out,
                    "overread_http_requests_total{method=\"%s\",route=\"%s\",status=\"%s\"} %" PRIu64 "\n",
                    method, path, CLASSES[c], totals.by_class[c]);
        }
    }
    family(out, "overread_http_request_duration_seconds", "histogram", "seconds",
           "Time from a request's last byte to the end of its handler.");
    for (unsigned i = 0; i <= router_count(router); i++) {
        uint64_t below = 0;
        route_totals(loops, count, i, &totals);
        labels(router, i, &method, &path);
        if (totals.requests == 0)
            continue;
        for (int b = 0; b < METRICS_BUCKETS; b++) {
            below += totals.buckets[b];
            buffer_printf(
                out,
                "overread_http_request_duration_seconds_bucket{method=\"%s\",route=\"%s\",le=\"%s\"} %" PRIu64
                "\n",
                method, path, BUCKETS[b].le, below);
        }
        buffer_printf(out, "overread_http_request_duration_seconds_sum{method=\"%s\",route=\"%s\"} %.9f\n",
                      method, path, (double)totals.sum_ns / 1e9);
        buffer_printf(
            out, "overread_http_request_duration_seconds_count{method=\"%s\",route=\"%s\"} %" PRIu64 "\n",
            method, path, totals.requests);
    }
}

static uint64_t resident_bytes(void)
{
    char line[128];
    int64_t pages = 0;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return 0;
    ssize_t len = read(fd, line, sizeof(line));
    close(fd);
    const char *blank = len > 0 ? memchr(line, ' ', (size_t)len) : NULL;
    if (!blank)
        return 0;
    struct text rest = {blank + 1, (size_t)(line + len - blank - 1)};
    const char *end = memchr(rest.p, ' ', rest.len);
    if (end)
        rest.len = (size_t)(end - rest.p);
    if (text_to_int64(rest, 0, INT64_MAX / 65536, &pages) < 0)
        return 0;
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static unsigned open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    if (!dir)
        return 0;
    while (readdir(dir)) /* NOLINT(concurrency-mt-unsafe): a stream of our own */
        count++;
    closedir(dir);
    return count > 3 ? count - 3 : 0; /* ".", ".." and the directory itself */
}

static void render_process(struct buffer *out)
{
    struct rlimit limit = {0};
    struct rusage usage = {0};

    getrlimit(RLIMIT_NOFILE, &limit);
    getrusage(RUSAGE_SELF, &usage);
    family(out, "process_resident_memory_bytes", "gauge", "bytes", "Resident memory.");
    buffer_printf(out, "process_resident_memory_bytes %" PRIu64 "\n", resident_bytes());
    family(out, "process_open_fds", "gauge", NULL, "Open file descriptors.");
    buffer_printf(out, "process_open_fds %u\n", open_fds());
    family(out, "process_max_fds", "gauge", NULL, "Limit of open file descriptors.");
    buffer_printf(out, "process_max_fds %" PRIu64 "\n", (uint64_t)limit.rlim_cur);
    family(out, "process_cpu_seconds", "counter", "seconds", "User and system time.");
    buffer_printf(out, "process_cpu_seconds_total %.6f\n",
                  (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                      (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
}

void metrics_render(const struct router *router, const struct metrics *const *loops, unsigned count,
                    struct buffer *out)
{
    render_routes(router, loops, count, out);
    family(out, "overread_http_in_flight_requests", "gauge", NULL, "Requests accepted and not yet ended.");
    buffer_printf(out, "overread_http_in_flight_requests %" PRIu64 "\n",
                  sum(loops, count, offsetof(struct metrics, in_flight)));
    family(out, "overread_http_connections", "gauge", NULL, "Open client connections.");
    buffer_printf(out, "overread_http_connections %" PRIu64 "\n",
                  sum(loops, count, offsetof(struct metrics, connections)));
    family(out, "overread_http_refused_requests", "counter", NULL,
           "Requests refused by the protocol library before they were complete.");
    buffer_printf(out, "overread_http_refused_requests_total %" PRIu64 "\n",
                  sum(loops, count, offsetof(struct metrics, refused)));
    family(out, "overread_http_loops", "gauge", NULL, "Event loops.");
    buffer_printf(out, "overread_http_loops %u\n", count);
    render_process(out);
}

static bool next_line(struct text *rest, struct text *ret)
{
    const char *end = rest->len > 0 ? memchr(rest->p, '\n', rest->len) : NULL;

    if (!end)
        return false;
    *ret = (struct text){rest->p, (size_t)(end - rest->p) + 1};
    *rest = (struct text){end + 1, rest->len - ret->len};
    return true;
}

static struct text word(struct text t)
{
    size_t len = 0;
    while (len < t.len && t.p[len] != ' ' && t.p[len] != '\n')
        len++;
    return (struct text){t.p, len};
}

/* "# TYPE name counter" and the "# HELP name ..." behind it name the family without the _total of its
 * samples. */
void metrics_downgrade(struct text open_metrics, struct buffer *out)
{
    struct text line, counter = {"", 0};

    while (next_line(&open_metrics, &line)) {
        bool type = text_starts(line, "# TYPE "), help = text_starts(line, "# HELP ");
        if (text_starts(line, "# UNIT ") || text_starts(line, "# EOF"))
            continue;
        if (!type && !help) {
            buffer_add(out, line.p, line.len);
            continue;
        }
        struct text name = word((struct text){line.p + 7, line.len - 7});
        struct text rest = {name.p + name.len, line.len - 7 - name.len};
        if (type)
            counter = text_starts(rest, " counter") ? name : (struct text){"", 0};
        buffer_add(out, line.p, 7 + name.len);
        if (counter.len > 0 && text_equal(name, counter))
            buffer_puts(out, "_total");
        buffer_add(out, rest.p, rest.len);
    }
}
