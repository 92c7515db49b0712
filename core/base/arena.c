#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/die.h"
#include "base/mem.h"

/* With AddressSanitizer, or -DOVERREAD_DEBUG_ARENA for valgrind, each allocation is a block of its own, so
 * that an overrun of one is seen and does not silently land in its neighbour. */
#if defined(__SANITIZE_ADDRESS__) || defined(OVERREAD_DEBUG_ARENA)
#define EACH_APART true
#else
#define EACH_APART false
#endif
#define BLOCK_MIN ((size_t)4096)
#define BLOCK_MAX ((size_t)65536)
#define ALIGNMENT ((size_t)16)

struct block {
    struct block *next;
    size_t used, size; /* of the bytes behind this head */
};
_Static_assert(sizeof(struct block) <= 2 * ALIGNMENT, "the head fits into BLOCK_HEAD");
#define BLOCK_HEAD (2 * ALIGNMENT)

struct deferred {
    struct deferred *next;
    void (*fn)(void *arg);
    void *arg;
};

struct arena {
    struct block *blocks; /* the first is the one that is being filled */
    struct deferred *deferred;
    size_t block_size; /* of the next block, its head included */
};

struct arena *arena_create(void)
{
    struct arena *arena = mem_alloc(sizeof(*arena));
    arena->block_size = BLOCK_MIN;
    return arena;
}

struct arena *arena_destroy(struct arena *arena)
{
    if (!arena)
        return NULL;
    /* A deferred call may still allocate from the arena and defer again. */
    while (arena->deferred) {
        struct deferred *d = arena->deferred;
        arena->deferred = d->next;
        d->fn(d->arg);
    }
    while (arena->blocks) {
        struct block *block = arena->blocks;
        arena->blocks = block->next;
        mem_free(block);
    }
    mem_free(arena);
    return NULL;
}

static struct block *block_create(size_t size)
{
    struct block *block = mem_resize(NULL, BLOCK_HEAD + size);
    *block = (struct block){.size = size};
    return block;
}

/* A block that `size` fits into. A large allocation gets one of its own, put behind the one being filled, so
 * that the latter's rest is not lost. */
static struct block *block_for(struct arena *arena, size_t size)
{
    struct block *first = arena->blocks;
    if (first && size <= first->size - first->used)
        return first;
    if (EACH_APART || BLOCK_HEAD + size > arena->block_size / 2) {
        struct block *own = block_create(size);
        if (first) {
            own->next = first->next;
            first->next = own;
        } else {
            arena->blocks = own;
        }
        return own;
    }
    struct block *block = block_create(arena->block_size - BLOCK_HEAD);
    block->next = first;
    arena->blocks = block;
    if (arena->block_size < BLOCK_MAX)
        arena->block_size *= 2;
    return block;
}

static void *alloc_raw(struct arena *arena, size_t size)
{
    if (size > PTRDIFF_MAX - 2 * BLOCK_HEAD)
        die("arena_alloc", "size overflow");
    size_t rounded = (size + (size == 0) + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    if (EACH_APART)
        rounded = size + (size == 0);
    struct block *block = block_for(arena, rounded);
    char *p = (char *)block + BLOCK_HEAD + block->used;
    block->used += rounded;
    return p;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    return memset(alloc_raw(arena, size), 0, size);
}

void *arena_array(struct arena *arena, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        die("arena_array", "size overflow");
    return arena_alloc(arena, total);
}

void *arena_copy(struct arena *arena, const void *bytes, size_t len)
{
    if (len == SIZE_MAX)
        die("arena_copy", "size overflow");
    char *copy = alloc_raw(arena, len + 1);
    if (len)
        memcpy(copy, bytes, len);
    copy[len] = '\0';
    return copy;
}

char *arena_strdup(struct arena *arena, const char *s)
{
    return arena_copy(arena, s, strlen(s));
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    if (!format) /* gcc 12 with -fsanitize=undefined warns without this */
        die("arena_printf", "no format");
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0)
        die("arena_printf", "format error");
    char *s = alloc_raw(arena, (size_t)len + 1);
    vsnprintf(s, (size_t)len + 1, format, again);
    va_end(again);
    return s;
}

void arena_defer(struct arena *arena, void (*fn)(void *arg), void *arg)
{
    struct deferred *d = arena_alloc(arena, sizeof(*d));
    *d = (struct deferred){.next = arena->deferred, .fn = fn, .arg = arg};
    arena->deferred = d;
}
