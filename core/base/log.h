/* JSON lines on stderr, injection-safe, each written whole. Who knows a secret does not log it. */
#ifndef OVERREAD_BASE_LOG_H
#define OVERREAD_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };

void log_set_level(enum log_level level);

/* Fields come as (name, value) pairs of strings behind the event, ended by NULL. A name that starts with '#'
 * has a value that is already JSON (number, true, false). The request id of the running fiber is added by
 * log_context. log_line(LOG_LEVEL_INFO, "migrated", "file", name, "#ms", number, NULL); */
void log_line(enum log_level level, const char *event, ...) __attribute__((sentinel));

/* A thread that logs much and turns in a loop collects its debug and info lines and writes several at once:
 * when it calls log_flush, which it must before it sleeps, when they fill PIPE_BUF, or ahead of a warning or
 * error. The order of a thread's lines is kept. False ends it and flushes; so must a thread before it ends. A
 * child that is forked meanwhile must not log. Without it, which is the default, each line is written at
 * once. */
void log_buffer(bool on);
void log_flush(void);

/* Request id that log_line adds; NULL: none. Each fiber has its own, as has the thread outside of fibers: it
 * is set once at a fiber's start. The string must live until it is set again or the fiber ends. */
void log_context(const char *request_id);
const char *log_context_get(void);

#endif
