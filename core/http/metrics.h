/* Counters of one loop, written by that loop only and read by any: relaxed atomics, no locks. */
#ifndef OVERREAD_HTTP_METRICS_H
#define OVERREAD_HTTP_METRICS_H

#include <stdatomic.h>
#include <stdint.h>
#include "base/text.h"
#include "http/router.h"

#define METRICS_BUCKETS 13 /* the last one is +Inf */
#define METRICS_CLASSES 5  /* 1xx is not sent: 2xx .. 5xx, and "gone" */

struct metrics_route {
    _Atomic uint64_t by_class[METRICS_CLASSES];
    _Atomic uint64_t buckets[METRICS_BUCKETS]; /* not cumulative */
    _Atomic uint64_t sum_ns;
};

struct metrics {
    struct metrics_route *routes; /* router_count + 1: the last one is for requests that match no route */
    _Atomic uint64_t in_flight;
    _Atomic uint64_t connections;
    _Atomic uint64_t refused; /* by the protocol library, before a request was complete */
};

void metrics_init(struct metrics *metrics, unsigned routes);
void metrics_finish(struct metrics *metrics);
void metrics_add(_Atomic uint64_t *counter, int64_t delta);
void metrics_count(struct metrics *metrics, unsigned index, int status, uint64_t ns);

/* OpenMetrics lines of all loops together and of the process, without the # EOF. */
void metrics_render(const struct router *router, const struct metrics *const *loops, unsigned count,
                    struct buffer *out);

/* The same in the older text format (0.0.4), which names a counter's family with its _total: for scrapers
 * that do not ask for OpenMetrics, promtool among them. */
void metrics_downgrade(struct text open_metrics, struct buffer *out);

#endif
