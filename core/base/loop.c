#include "base/loop.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/fiber.h"
#include "base/mem.h"

#define EVENTS_PER_TURN 64

struct loop_watch {
    struct loop *loop;
    int fd;
    unsigned events;
    bool closed;
    void (*ready)(void *arg, unsigned events);
    void *arg;
    struct loop_watch *next_closed;
};

struct posted {
    void (*fn)(void *arg);
    void *arg;
};

struct loop {
    int epoll_fd, timer_fd, post_fd;
    unsigned depth;            /* of loop_turn calls, one within another's callback */
    struct loop_watch *closed; /* freed when no event in a batch can name them any more */

    struct loop_timer **heap; /* binary, earliest first; heap[0] has index 1 */
    unsigned timers, heap_cap;
    uint64_t armed_ns; /* when timer_fd becomes readable; 0: never */

    pthread_mutex_t lock; /* guards what follows */
    struct posted *posts;
    size_t post_count, post_cap;
};

static _Thread_local struct loop *here;

static void epoll_set(struct loop *loop, int op, int fd, uint32_t events, void *data)
{
    struct epoll_event event = {.events = events, .data.ptr = data};
    if (epoll_ctl(loop->epoll_fd, op, fd, &event) == 0)
        return;
    /* A descriptor that was closed too early has left the set already. */
    if (op != EPOLL_CTL_DEL || (errno != EBADF && errno != ENOENT))
        die_errno("epoll_ctl", errno);
}

struct loop *loop_create(void)
{
    struct loop *loop = mem_alloc(sizeof(*loop));
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    loop->post_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->epoll_fd < 0 || loop->timer_fd < 0 || loop->post_fd < 0)
        die_errno("loop_create", errno);
    int r = pthread_mutex_init(&loop->lock, NULL);
    if (r)
        die_errno("pthread_mutex_init", r);
    /* The two own descriptors are told from watches by their data: the addresses of their members. */
    epoll_set(loop, EPOLL_CTL_ADD, loop->timer_fd, EPOLLIN, &loop->timer_fd);
    epoll_set(loop, EPOLL_CTL_ADD, loop->post_fd, EPOLLIN, &loop->post_fd);
    here = loop;
    return loop;
}

struct loop *loop_here(void)
{
    return here;
}

int loop_fd(struct loop *loop)
{
    return loop->epoll_fd;
}

/* --- Watches --------------------------------------------------------------------------------- */

static uint32_t to_epoll(unsigned events)
{
    return (events & LOOP_READ ? (uint32_t)EPOLLIN : 0) | (events & LOOP_WRITE ? (uint32_t)EPOLLOUT : 0);
}

struct loop_watch *loop_watch(struct loop *loop, int fd, unsigned events,
                              void (*ready)(void *arg, unsigned events), void *arg)
{
    struct loop_watch *watch = mem_alloc(sizeof(*watch));
    *watch = (struct loop_watch){.loop = loop, .fd = fd, .ready = ready, .arg = arg};
    loop_watch_set(watch, events);
    return watch;
}

void loop_watch_set(struct loop_watch *watch, unsigned events)
{
    if (watch->events == events)
        return;
    /* A descriptor without interest leaves the set: epoll would go on reporting its hang-up. */
    int op = !events ? EPOLL_CTL_DEL : watch->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    epoll_set(watch->loop, op, watch->fd, to_epoll(events), watch);
    watch->events = events;
}

struct loop_watch *loop_watch_close(struct loop_watch *watch)
{
    if (!watch)
        return NULL;
    struct loop *loop = watch->loop;
    loop_watch_set(watch, 0);
    watch->closed = true;
    if (loop->depth == 0) {
        mem_free(watch);
    } else {
        watch->next_closed = loop->closed;
        loop->closed = watch;
    }
    return NULL;
}

static void free_closed(struct loop *loop)
{
    while (loop->closed) {
        struct loop_watch *watch = loop->closed;
        loop->closed = watch->next_closed;
        mem_free(watch);
    }
}

/* --- Timers ---------------------------------------------------------------------------------- */

static void heap_put(struct loop *loop, unsigned index, struct loop_timer *timer)
{
    loop->heap[index - 1] = timer;
    timer->index = index;
}

/* Both take a timer that belongs at or above (below) index and a hole at index. */
static void sift_up(struct loop *loop, unsigned index, struct loop_timer *timer)
{
    while (index > 1 && loop->heap[index / 2 - 1]->due_ns > timer->due_ns) {
        heap_put(loop, index, loop->heap[index / 2 - 1]);
        index /= 2;
    }
    heap_put(loop, index, timer);
}

static void sift_down(struct loop *loop, unsigned index, struct loop_timer *timer)
{
    for (;;) {
        unsigned child = 2 * index;
        if (child > loop->timers)
            break;
        if (child < loop->timers && loop->heap[child]->due_ns < loop->heap[child - 1]->due_ns)
            child++;
        if (loop->heap[child - 1]->due_ns >= timer->due_ns)
            break;
        heap_put(loop, index, loop->heap[child - 1]);
        index = child;
    }
    heap_put(loop, index, timer);
}

/* A later deadline than the armed one costs no system call: the early expiry only leads here again. */
static void arm(struct loop *loop)
{
    if (loop->timers == 0)
        return;
    uint64_t due = loop->heap[0]->due_ns;
    if (loop->armed_ns && loop->armed_ns <= due)
        return;
    struct itimerspec at = {
        .it_value = {.tv_sec = (time_t)(due / 1000000000u), .tv_nsec = (long)(due % 1000000000u)}};
    if (timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &at, NULL) < 0)
        die_errno("timerfd_settime", errno);
    loop->armed_ns = due;
}

void loop_timer_start(struct loop *loop, struct loop_timer *timer, uint64_t ms, void (*fire)(void *arg),
                      void *arg)
{
    const uint64_t far_ms = (uint64_t)100 * 365 * 24 * 3600 * 1000;
    loop_timer_stop(timer);
    if (ms > far_ms)
        ms = far_ms;
    *timer = (struct loop_timer){
        .loop = loop, .due_ns = clock_monotonic_ns() + ms * 1000000u, .fire = fire, .arg = arg};
    if (loop->timers == loop->heap_cap) {
        loop->heap_cap = loop->heap_cap ? loop->heap_cap * 2 : 64;
        loop->heap = mem_resize(loop->heap, loop->heap_cap * sizeof(loop->heap[0]));
    }
    loop->timers++;
    sift_up(loop, loop->timers, timer);
    arm(loop);
}

void loop_timer_stop(struct loop_timer *timer)
{
    unsigned index = timer->index;
    if (index == 0)
        return;
    struct loop *loop = timer->loop;
    struct loop_timer *last = loop->heap[loop->timers - 1];
    loop->timers--;
    timer->index = 0;
    if (last == timer)
        return;
    if (index > 1 && loop->heap[index / 2 - 1]->due_ns > last->due_ns)
        sift_up(loop, index, last);
    else
        sift_down(loop, index, last);
}

static void fire_due(struct loop *loop)
{
    if (loop->timers) {
        uint64_t now = clock_monotonic_ns();
        while (loop->timers && loop->heap[0]->due_ns <= now) {
            struct loop_timer *timer = loop->heap[0];
            loop_timer_stop(timer);
            timer->fire(timer->arg); /* may free the timer, or start it again for later than now */
        }
    }
    arm(loop);
}

/* --- Posts ----------------------------------------------------------------------------------- */

static void drain(int fd)
{
    uint64_t count;
    if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN && errno != EINTR)
        die_errno("loop drain", errno);
}

void loop_post(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    pthread_mutex_lock(&loop->lock);
    if (loop->post_count == loop->post_cap) {
        loop->post_cap = loop->post_cap ? loop->post_cap * 2 : 16;
        loop->posts = mem_resize(loop->posts, loop->post_cap * sizeof(loop->posts[0]));
    }
    loop->posts[loop->post_count++] = (struct posted){fn, arg};
    /* Within the lock: once it is given up, fn may run and destroy the loop. */
    const uint64_t one = 1;
    if (loop->post_count == 1 && write(loop->post_fd, &one, sizeof(one)) < 0)
        die_errno("loop_post", errno);
    pthread_mutex_unlock(&loop->lock);
}

/* Calls posted by these calls wait for the next turn, so that posting to oneself cannot starve descriptors.
 */
static bool run_posts(struct loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    struct posted *posts = loop->posts;
    size_t count = loop->post_count;
    loop->posts = NULL;
    loop->post_count = loop->post_cap = 0;
    if (count)
        drain(loop->post_fd);
    pthread_mutex_unlock(&loop->lock);
    for (size_t i = 0; i < count; i++)
        posts[i].fn(posts[i].arg);
    mem_free(posts);
    return count > 0;
}

/* --- Turning --------------------------------------------------------------------------------- */

static void dispatch_watch(struct loop_watch *watch, uint32_t reported)
{
    if (watch->closed)
        return;
    unsigned events = LOOP_READ | LOOP_WRITE;
    if (!(reported & (EPOLLHUP | EPOLLERR)))
        events =
            (reported & EPOLLIN ? (unsigned)LOOP_READ : 0) | (reported & EPOLLOUT ? (unsigned)LOOP_WRITE : 0);
    /* An earlier callback of this batch may have changed what is asked for. */
    if (!(reported & (EPOLLHUP | EPOLLERR)))
        events &= watch->events;
    if (events && watch->events)
        watch->ready(watch->arg, events);
}

void loop_turn(struct loop *loop, int timeout_ms)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int count = epoll_wait(loop->epoll_fd, events, EVENTS_PER_TURN, timeout_ms);
    if (count < 0 && errno != EINTR)
        die_errno("epoll_wait", errno);

    loop->depth++;
    bool posted = false;
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr == &loop->timer_fd) {
            drain(loop->timer_fd);
            loop->armed_ns = 0;
        } else if (events[i].data.ptr == &loop->post_fd) {
            posted = true;
        } else {
            dispatch_watch(events[i].data.ptr, events[i].events);
        }
    }
    if (posted)
        run_posts(loop);
    fire_due(loop);
    if (--loop->depth == 0)
        free_closed(loop);
}

struct loop *loop_destroy(struct loop *loop)
{
    if (!loop)
        return NULL;
    /* What was posted was promised to run. */
    while (run_posts(loop))
        ;
    for (unsigned i = 0; i < loop->timers; i++)
        loop->heap[i]->index = 0;
    free_closed(loop);
    close(loop->epoll_fd);
    close(loop->timer_fd);
    close(loop->post_fd);
    pthread_mutex_destroy(&loop->lock);
    mem_free(loop->heap);
    mem_free(loop->posts);
    mem_free(loop);
    if (here == loop)
        here = NULL;
    return NULL;
}

static void wake(void *arg)
{
    fiber_wake(arg);
}

void loop_sleep(struct loop *loop, uint64_t ms)
{
    struct loop_timer timer = {0};
    loop_timer_start(loop, &timer, ms, wake, fiber_self());
    fiber_wait();
}
