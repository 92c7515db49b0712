/* Arena: memory that belongs to one request (or one job) and goes all at once. Not thread-safe. */
#ifndef OVERREAD_BASE_ARENA_H
#define OVERREAD_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

struct arena;

struct arena *arena_create(void);
/* Runs the deferred calls, last first, then frees everything. Returns NULL; NULL is allowed. */
struct arena *arena_destroy(struct arena *arena);

void *arena_alloc(struct arena *arena, size_t size);                 /* zeroed, 16-byte aligned, never NULL */
void *arena_array(struct arena *arena, size_t count, size_t size);   /* overflow-checked */
void *arena_copy(struct arena *arena, const void *bytes, size_t len); /* adds a NUL behind the copy */
char *arena_strdup(struct arena *arena, const char *s);
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* fn(arg) will run when the arena is destroyed: for what has a destructor of its own (PGresult, json_t, fd). */
void arena_defer(struct arena *arena, void (*fn)(void *arg), void *arg);

#endif
