#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

/* A line of up to PIPE_BUF bytes is atomic on a pipe; longer ones are rare and bounded. */
#define LINE_MAX_BYTES 8192
#define VALUE_MAX_BYTES 2048
static const char truncated_end[] = ",\"truncated\":true}\n";

static atomic_int threshold = LOG_LEVEL_INFO;
static _Thread_local const char *context;

/* No more than what is atomic on a pipe, so that no other thread's or process's line lands inside one. */
static _Thread_local struct {
    bool on;
    size_t len;
    char bytes[PIPE_BUF];
} pending;

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&threshold, (int)level, memory_order_relaxed);
}

void log_context(const char *request_id)
{
    context = request_id;
}

const char *log_context_get(void)
{
    return context;
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_DEBUG:
        return "debug";
    case LOG_LEVEL_INFO:
        return "info";
    case LOG_LEVEL_WARNING:
        return "warning";
    case LOG_LEVEL_ERROR:
        return "error";
    }
    return "error";
}

static void add_string(struct buffer *line, const char *value)
{
    struct text t = text_of(value);
    if (t.len > VALUE_MAX_BYTES)
        t.len = VALUE_MAX_BYTES;
    buffer_json_string(line, t);
}

/* A value that claims to be JSON already is believed only when it is a number or a word: a caller's mistake
 * must not let anybody write log lines of his own. */
static bool is_bare_json(const char *value)
{
    double number;
    return strcmp(value, "true") == 0 || strcmp(value, "false") == 0 || strcmp(value, "null") == 0 ||
           text_to_double(text_of(value), &number) == 0;
}

/* False, and the line unchanged, when the field does not fit. */
static bool add_field(struct buffer *line, const char *name, const char *value)
{
    size_t mark = line->len;
    bool bare = name[0] == '#';
    buffer_puts(line, ",");
    add_string(line, bare ? name + 1 : name);
    buffer_puts(line, ":");
    if (!value)
        buffer_puts(line, "null");
    else if (bare && is_bare_json(value))
        buffer_puts(line, value);
    else
        add_string(line, value);
    if (line->failed) {
        line->failed = false;
        line->len = mark;
        return false;
    }
    return true;
}

static void write_bytes(const char *p, size_t len)
{
    /* Nobody is left to tell when stderr is gone. */
    while (write(STDERR_FILENO, p, len) < 0 && errno == EINTR)
        ;
}

void log_flush(void)
{
    int saved_errno = errno;
    if (pending.len > 0)
        write_bytes(pending.bytes, pending.len);
    pending.len = 0;
    errno = saved_errno;
}

void log_buffer(bool on)
{
    log_flush();
    pending.on = on;
}

static void put_line(const struct buffer *line, bool urgent)
{
    if (pending.len + line->len > sizeof(pending.bytes))
        log_flush();
    if (!pending.on || line->len > sizeof(pending.bytes)) {
        write_bytes(line->p, line->len);
        return;
    }
    memcpy(pending.bytes + pending.len, line->p, line->len);
    pending.len += line->len;
    if (urgent)
        log_flush();
}

void log_line(enum log_level level, const char *event, ...)
{
    if ((int)level < atomic_load_explicit(&threshold, memory_order_relaxed))
        return;
    int saved_errno = errno;
    struct buffer line;
    char now[CLOCK_TEXT_SIZE];
    clock_text(clock_wall_ms(), now);
    buffer_init(&line, LINE_MAX_BYTES - sizeof(truncated_end));
    buffer_printf(&line, "{\"ts\":\"%s\",\"level\":\"%s\",\"event\":", now, level_name(level));
    add_string(&line, event);
    if (context)
        add_field(&line, "request_id", context);

    bool complete = true;
    va_list args;
    va_start(args, event);
    for (const char *name = va_arg(args, const char *); name && complete; name = va_arg(args, const char *))
        complete = add_field(&line, name, va_arg(args, const char *));
    va_end(args);

    line.max = LINE_MAX_BYTES;
    buffer_puts(&line, complete ? "}\n" : truncated_end);
    put_line(&line, level >= LOG_LEVEL_WARNING);
    buffer_finish(&line);
    errno = saved_errno;
}
