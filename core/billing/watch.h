/* What somebody should be woken for, counted now and then for /metrics. */
#ifndef OVERREAD_BILLING_WATCH_H
#define OVERREAD_BILLING_WATCH_H

#include <stdint.h>

#include "base/loop.h"
#include "db/db.h"

struct billing_counts {
    uint64_t dead;        /* jobs that were given up */
    uint64_t quarantined; /* events */
    uint64_t open;        /* requests of which nobody knows for ten minutes what became of them */
    uint64_t disputes;    /* that need a look */
};

/* Counts every ten seconds on this loop; one loop of a process is enough. */
void billing_watch_start(struct loop *loop, struct db *db);
void billing_watch_stop(void); /* before the loop's db goes */
/* Any thread: as it was counted last; all 0 before the first time. */
struct billing_counts billing_counts(void);

#endif
