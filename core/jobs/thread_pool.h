/* Threads for what blocks (Argon2id, libcurl, files), with a bounded queue; a fiber waits for its work's end. */
#ifndef OVERREAD_JOBS_THREAD_POOL_H
#define OVERREAD_JOBS_THREAD_POOL_H

#include "base/error.h"

struct thread_pool;

/* niceness: 0 for work that waits (sockets, files); 1 to 19 for work that computes (Argon2id), so that event loops go first:
 * they have little to do, and everybody waits for it. */
struct thread_pool *thread_pool_create(unsigned threads, unsigned queue_max, int niceness);
struct thread_pool *thread_pool_destroy(struct thread_pool *pool); /* finishes what is queued */
/* In a fiber: runs work(arg) on a pool thread and waits. -1 with ERROR_UNAVAILABLE code "busy" (retry_after 1) when
 * the queue is full; work has then not run. */
int thread_pool_run(struct thread_pool *pool, void (*work)(void *arg), void *arg, struct error *err);

#endif
