/* Sentences in the host's arena. */
#ifndef OVERREAD_PLUGINS_COMMON_TEXT_H
#define OVERREAD_PLUGINS_COMMON_TEXT_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "overread/plugin.h"

/* Like printf into memory of the host; NULL when the memory limit is reached. Only %s, %d, %u and %%: those
 * know no locale. Write a fraction with fixed_text(). */
__attribute__((format(printf, 2, 3))) static inline char *plugin_printf(const overread_host *host,
                                                                        const char *format, ...)
{
    char line[512]; /* most fit: then they are written once, and copied */
    va_list list, again;
    va_start(list, format);
    va_copy(again, list);
    int length = vsnprintf(line, sizeof(line), format, list);
    char *text = length < 0 ? NULL : host->alloc(host->context, (uint64_t)length + 1);
    if (text && (size_t)length < sizeof(line))
        memcpy(text, line, (size_t)length + 1);
    else if (text)
        (void)vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    va_end(list);
    return text;
}

#endif
