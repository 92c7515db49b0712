/* Fibers: stackful coroutines, so that a handler reads from top to bottom and waits where it waits.
 * QEMU's coroutine_fn is the model. A fiber lives on the thread that spawned it. Stacks are pooled and guarded. */
#ifndef OVERREAD_BASE_FIBER_H
#define OVERREAD_BASE_FIBER_H

#include <stdbool.h>

/* Marks a function that may wait: call it in a fiber only. */
#define fiber_fn

struct fiber;

/* Runs fn(arg) in a new fiber at once, until its first wait or its end; then returns. The fiber frees itself. */
void fiber_spawn(void (*fn)(void *arg), void *arg);
/* The running fiber, NULL outside one. */
struct fiber *fiber_self(void);
/* Suspends the running fiber until fiber_wake. */
void fiber_fn fiber_wait(void);
/* Resumes a waiting fiber at once, on this thread, until its next wait or its end. A fiber must be woken exactly
 * once per wait: whoever registers a wake owns it. May be called in another fiber. */
void fiber_wake(struct fiber *fiber);
/* Fibers alive on this thread, for tests and metrics. */
unsigned fiber_count(void);

#endif
