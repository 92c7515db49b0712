#include "base/mem.h"

#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/die.h"
#include "base/log.h"

void mem_keep_blocks(void)
{
    mallopt(M_MMAP_THRESHOLD, 32 << 20); /* the most that glibc takes */
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
}

static struct iovec piece(const char *s)
{
    union {
        const char *constant;
        void *base;
    } u = {.constant = s};
    return (struct iovec){.iov_base = u.base, .iov_len = strlen(s)};
}

void die(const char *what, const char *detail)
{
    log_flush(); /* what led here is worth as much as the last line */
    struct iovec line[] = {
        piece("{\"level\":\"error\",\"event\":\"died\",\"what\":\""),
        piece(what),
        piece("\",\"detail\":\""),
        piece(detail),
        piece("\"}\n"),
    };
    /* Nothing is left to be done when even this write fails. */
    ssize_t written = writev(STDERR_FILENO, line, sizeof(line) / sizeof(line[0]));
    (void)written;
    abort();
}

void die_errno(const char *what, int number)
{
    const char *words = strerrordesc_np(number);
    die(what, words ? words : "unknown error");
}

void *mem_alloc(size_t size)
{
    return mem_array(1, size);
}

void *mem_array(size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total) || total > PTRDIFF_MAX)
        die("mem_array", "size overflow");
    void *p = calloc(1, total ? total : 1);
    if (!p)
        die_errno("mem_array", ENOMEM);
    return p;
}

void *mem_resize(void *p, size_t size)
{
    if (size > PTRDIFF_MAX)
        die("mem_resize", "size overflow");
    void *resized = realloc(p, size ? size : 1);
    if (!resized)
        die_errno("mem_resize", ENOMEM);
    return resized;
}

char *mem_strdup(const char *s)
{
    size_t size = strlen(s) + 1;
    return memcpy(mem_resize(NULL, size), s, size);
}

void mem_free(void *p)
{
    free(p);
}
