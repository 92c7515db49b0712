/* What a worker gives up before and after it loads a plugin. */
#ifndef OVERREAD_GRADING_GRADER_SANDBOX_H
#define OVERREAD_GRADING_GRADER_SANDBOX_H

#include <stdbool.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GRADER_SANITIZED 1
#else
#define GRADER_SANITIZED 0
#endif

/* Each: NULL, or what failed. */

/* Session, descriptors, privileges, death with the parent. */
const char *sandbox_drop_privileges(void);
/* Resource limits for the life of the process. Under a sanitizer the address space is not limited: its shadow
 * memory alone takes terabytes. */
const char *sandbox_limit(unsigned memory_mb, bool explain);

/* Only system libraries can be read from here on, where the kernel has Landlock. The plugin's own descriptor
 * is open. */
const char *sandbox_restrict_files(void);

/* While the plugin is loaded, and its constructors run: files can be opened for reading, memory mapped
 * executable; nothing else that is not in the strict filter. Of filters, only the strict one can be added: it
 * lies ready in memory that nobody can change or unmap from here on, so that a constructor cannot set one
 * that makes the strict one's setting a call without effect. */
const char *sandbox_filter_loading(bool explain);
/* For the rest: memory, time, the socket. A sanitizer's runtime gets a few calls more, none that opens
 * anything. A constructor might have changed the code that calls this: the server counts the filters itself.
 */
const char *sandbox_filter_strict(void);

#endif
