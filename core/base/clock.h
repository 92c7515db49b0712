/* Time. Wall clock for records (UTC), monotonic for durations. */
#ifndef OVERREAD_BASE_CLOCK_H
#define OVERREAD_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_monotonic_ns(void);
int64_t clock_wall_ms(void); /* milliseconds since 1970-01-01T00:00:00Z */
#define CLOCK_TEXT_SIZE 25
void clock_text(int64_t wall_ms, char ret[CLOCK_TEXT_SIZE]); /* RFC 3339: 2026-11-24T12:00:00.000Z */

#endif
