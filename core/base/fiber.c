/* The fortified longjmp takes a jump to another stack for a corrupted one. */
#undef _FORTIFY_SOURCE
#include "base/fiber.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/die.h"
#include "base/log.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define STACK_SIZE ((size_t)512 * 1024) /* red zones make frames several times larger */
#else
#define STACK_SIZE ((size_t)128 * 1024)
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

/* Stacks that a thread keeps for its next fibers. */
#define POOL_MAX 256

/* A place that control can leave and come back to: the thread's own stack, or a fiber's. A stack is entered
 * by setcontext the first time and by _longjmp ever after: unlike swapcontext, that one leaves the signal
 * mask alone and so needs no system call. */
struct place {
    jmp_buf left_at;
    const ucontext_t *first; /* NULL once it has been entered */
    const void *stack;       /* lowest address and size, for AddressSanitizer */
    size_t stack_size;
    void *fake_stack;
    void *tsan_fiber;
    const char *log_context;
};

enum fiber_state { FIBER_POOLED, FIBER_RUNNING, FIBER_WAITING };

/* Lies at the top of its own stack mapping, behind a guard page at the bottom:
 *     | guard page | stack, growing down  <- | struct fiber | */
struct fiber {
    struct place place;
    ucontext_t context;    /* of the first entry */
    struct place *resumer; /* who gets control back at the next wait or end */
    struct thread_fibers *thread;
    struct fiber *next_pooled;
    void *mapping;
    size_t mapping_size;
    void (*fn)(void *arg);
    void *arg;
    enum fiber_state state;
};

struct thread_fibers {
    struct place base;
    struct fiber *running; /* NULL: the thread's own stack */
    struct place *left;    /* whom the last switch came from */
    struct fiber *pool;
    unsigned pooled, alive;
    bool registered; /* with the key whose destructor empties the pool */
};

static _Thread_local struct thread_fibers fibers;
static pthread_key_t exit_key;

/* The half of a switch that runs on the new stack. */
static void arrived(struct place *here)
{
#if defined(__SANITIZE_ADDRESS__)
    struct place *left = fibers.left;
    __sanitizer_finish_switch_fiber(here->fake_stack, &left->stack, &left->stack_size);
#else
    (void)here;
#endif
}

_Noreturn static void go(struct place *to)
{
    const ucontext_t *first = to->first;
    if (!first)
        _longjmp(to->left_at, 1);
    to->first = NULL;
    setcontext(first);
    die_errno("setcontext", errno);
}

static void switch_place(struct place *from, struct place *to)
{
    from->log_context = log_context_get();
    log_context(to->log_context);
    fibers.left = from;
    if (_setjmp(from->left_at) == 0) {
#if defined(__SANITIZE_ADDRESS__)
        __sanitizer_start_switch_fiber(&from->fake_stack, to->stack, to->stack_size);
#endif
#if defined(__SANITIZE_THREAD__)
        from->tsan_fiber = __tsan_get_current_fiber();
        __tsan_switch_to_fiber(to->tsan_fiber, 0);
#endif
        go(to);
    }
    arrived(from);
}

static void unmap(struct fiber *fiber)
{
#if defined(__SANITIZE_THREAD__)
    __tsan_destroy_fiber(fiber->place.tsan_fiber);
#endif
    munmap(fiber->mapping, fiber->mapping_size);
}

static void empty_pool(void *arg)
{
    struct thread_fibers *thread = arg;
    while (thread->pool) {
        struct fiber *fiber = thread->pool;
        thread->pool = fiber->next_pooled;
        unmap(fiber);
    }
    thread->pooled = 0;
}

static void make_exit_key(void)
{
    int r = pthread_key_create(&exit_key, empty_pool);
    if (r)
        die_errno("pthread_key_create", r);
}

static void register_thread(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_exit_key);
    int r = pthread_setspecific(exit_key, &fibers);
    if (r)
        die_errno("pthread_setspecific", r);
    fibers.registered = true;
}

/* The first frame of every fiber stack. It never returns: a fiber that has ended goes into the pool from
 * here, and is started here again with another function. */
static void trampoline(unsigned high, unsigned low)
{
    /* makecontext passes ints only. */
    struct fiber *fiber = (struct fiber *)((uintptr_t)high << 32 | (uintptr_t)low); /* NOLINT */
    arrived(&fiber->place);
    for (;;) {
        fiber->fn(fiber->arg);
        fiber->state = FIBER_POOLED;
        switch_place(&fiber->place, fiber->resumer);
    }
}

static struct fiber *create(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t head = (sizeof(struct fiber) + 63) & ~(size_t)63;
    size_t size = page + STACK_SIZE;
    char *mapping = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (mapping == MAP_FAILED || mprotect(mapping, page, PROT_NONE) < 0)
        die_errno("fiber stack", errno);
    if (!fibers.registered)
        register_thread();

    struct fiber *fiber = (void *)(mapping + size - head);
    fiber->thread = &fibers;
    fiber->mapping = mapping;
    fiber->mapping_size = size;
    fiber->place.stack = mapping + page;
    fiber->place.stack_size = STACK_SIZE - head;
#if defined(__SANITIZE_THREAD__)
    fiber->place.tsan_fiber = __tsan_create_fiber(0);
#endif
    if (getcontext(&fiber->context) < 0)
        die_errno("getcontext", errno);
    fiber->context.uc_stack.ss_sp = mapping + page;
    fiber->context.uc_stack.ss_size = STACK_SIZE - head;
    fiber->context.uc_link = NULL;
    uintptr_t address = (uintptr_t)fiber;
    makecontext(&fiber->context, (void (*)(void))(void *)trampoline, 2, (unsigned)(address >> 32),
                (unsigned)(address & 0xFFFFFFFF));
    fiber->place.first = &fiber->context;
    return fiber;
}

/* Gives control to a fiber until it waits or ends. */
static void enter(struct fiber *fiber)
{
    struct fiber *resumer = fibers.running;
    fiber->resumer = resumer ? &resumer->place : &fibers.base;
    fiber->state = FIBER_RUNNING;
    fibers.running = fiber;
    switch_place(fiber->resumer, &fiber->place);
    fibers.running = resumer;
    if (fiber->state != FIBER_POOLED)
        return;
    fibers.alive--;
    if (fibers.pooled == POOL_MAX) {
        unmap(fiber);
        return;
    }
    fiber->next_pooled = fibers.pool;
    fibers.pool = fiber;
    fibers.pooled++;
}

void fiber_spawn(void (*fn)(void *arg), void *arg)
{
    struct fiber *fiber = fibers.pool;
    if (fiber) {
        fibers.pool = fiber->next_pooled;
        fibers.pooled--;
    } else {
        fiber = create();
    }
    fiber->fn = fn;
    fiber->arg = arg;
    fiber->place.log_context = NULL;
    fibers.alive++;
    enter(fiber);
}

struct fiber *fiber_self(void)
{
    return fibers.running;
}

void fiber_fn fiber_wait(void)
{
    struct fiber *self = fibers.running;
    if (!self)
        die("fiber_wait", "called outside of a fiber");
    self->state = FIBER_WAITING;
    switch_place(&self->place, self->resumer);
}

void fiber_wake(struct fiber *fiber)
{
    if (fiber->thread != &fibers)
        die("fiber_wake", "called on another thread than the fiber's");
    if (fiber->state != FIBER_WAITING)
        die("fiber_wake", "the fiber is not waiting");
    enter(fiber);
}

unsigned fiber_count(void)
{
    return fibers.alive;
}
