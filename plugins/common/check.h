/* Refusals of a truth or an answer. */
#ifndef OVERREAD_PLUGINS_COMMON_CHECK_H
#define OVERREAD_PLUGINS_COMMON_CHECK_H

#include "common/text.h"

/* A pointer or text of NULL is taken as a failed allocation of it. */
static inline enum overread_status check_refuse(overread_problem *problem, const char *pointer,
                                                const char *text)
{
    if (!pointer || !text)
        return OVERREAD_NO_MEMORY;
    problem->pointer = pointer;
    problem->text = text;
    return OVERREAD_REFUSED;
}

/* Of an item of a list at the top: "lesions", 2, "/zone" is /lesions/2/zone. */
static inline enum overread_status check_refuse_item(const overread_host *host, overread_problem *problem,
                                                     const char *list, uint32_t index, const char *member,
                                                     const char *text)
{
    return check_refuse(problem, plugin_printf(host, "/%s/%u%s", list, index, member), text);
}

#endif
