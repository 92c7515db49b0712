/* One thread's events: descriptors, timers, calls posted from other threads. It is an epoll set of its own, and
 * an epoll descriptor can itself be watched: core/http runs libh2o's loop and watches loop_fd() in it, so that db,
 * grading and jobs wait for events without knowing libh2o. Tests and jobs run it directly.
 * Everything but loop_post belongs to the loop's own thread. */
#ifndef OVERREAD_BASE_LOOP_H
#define OVERREAD_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_watch;

enum { LOOP_READ = 1, LOOP_WRITE = 2 };

struct loop *loop_create(void); /* also becomes loop_here() of this thread */
struct loop *loop_destroy(struct loop *loop);
struct loop *loop_here(void);
int loop_fd(struct loop *loop);
/* Dispatches what is ready; waits up to timeout_ms (-1: without end, 0: not at all) for something to be. */
void loop_turn(struct loop *loop, int timeout_ms);

/* Level-triggered. events (LOOP_READ|LOOP_WRITE) may be 0 and changed later. A hang-up or error is reported as
 * both. The descriptor stays the caller's: close the watch first. Closing within a callback is allowed. */
struct loop_watch *loop_watch(struct loop *loop, int fd, unsigned events,
                              void (*ready)(void *arg, unsigned events), void *arg);
void loop_watch_set(struct loop_watch *watch, unsigned events);
struct loop_watch *loop_watch_close(struct loop_watch *watch); /* returns NULL; NULL is allowed */

/* A timer lives in its owner's struct; zero-initialise it. One-shot; starting again re-arms. */
struct loop_timer {
    struct loop *loop;
    uint64_t due_ns;
    unsigned index; /* 1-based place in the heap; 0: not armed */
    void (*fire)(void *arg);
    void *arg;
};
void loop_timer_start(struct loop *loop, struct loop_timer *timer, uint64_t ms, void (*fire)(void *arg), void *arg);
void loop_timer_stop(struct loop_timer *timer);

/* Any thread: fn(arg) will run on the loop's thread. */
void loop_post(struct loop *loop, void (*fn)(void *arg), void *arg);

/* Suspends the running fiber for ms milliseconds. */
void loop_sleep(struct loop *loop, uint64_t ms);

#endif
