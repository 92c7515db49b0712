/* The only door to malloc. Allocation failure ends the process with a log line: the server is stateless, its
 * supervisor restarts it, and no half-allocated state is ever reasoned about. Sizes that come from outside are
 * bounded before they get here. */
#ifndef OVERREAD_BASE_MEM_H
#define OVERREAD_BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size);                 /* zeroed, never NULL */
void *mem_array(size_t count, size_t size);   /* zeroed, overflow-checked, never NULL */
void *mem_resize(void *p, size_t size);       /* never NULL; new bytes are not zeroed */
char *mem_strdup(const char *s);
void mem_free(void *p);

/* For servers: large blocks (up to 32 MiB) stay with the process when they are freed. Argon2id takes 19 MiB for each
 * password; mapped and unmapped each time, they are so under a lock of the whole process, which a thread that is nice may
 * hold for long while event loops wait for it. */
void mem_keep_blocks(void);

#endif
