/* Reading the parsed JSON that the host hands to a plugin. The host has validated it against the manifest's
 * schema; these functions still never trust a type, and say NULL or false when a thing is not there. */
#ifndef OVERREAD_PLUGINS_COMMON_VALUE_H
#define OVERREAD_PLUGINS_COMMON_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include "overread/plugin.h"

/* The member's value, or NULL when object is NULL, no object, or has no such member. */
static inline const overread_value *value_member(const overread_value *object, const char *name)
{
    if (!object || object->type != OVERREAD_OBJECT)
        return NULL;
    for (uint32_t i = 0; i < object->count; i++) {
        const char *own = object->as.members[i].name;
        if (own[0] == name[0] && strcmp(own, name) == 0)
            return &object->as.members[i].value;
    }
    return NULL;
}

/* 0 when value is no array. */
static inline uint32_t value_count(const overread_value *value)
{
    return value && value->type == OVERREAD_ARRAY ? value->count : 0;
}

static inline const overread_value *value_item(const overread_value *array, uint32_t index)
{
    return index < value_count(array) ? &array->as.items[index] : NULL;
}

/* NULL when value is no string. */
static inline const char *value_string(const overread_value *value)
{
    return value && value->type == OVERREAD_STRING ? value->as.string : NULL;
}

static inline bool value_is(const overread_value *value, const char *string)
{
    const char *own = value_string(value);
    return own && strcmp(own, string) == 0;
}

static inline bool value_is_number(const overread_value *value)
{
    return value && value->type == OVERREAD_NUMBER;
}

/* Which of the names it is; false when it is none of them. */
static inline bool value_choice(const overread_value *value, const char *const *names, int count, int *ret)
{
    for (int i = 0; i < count; i++) {
        if (value_is(value, names[i])) {
            *ret = i;
            return true;
        }
    }
    return false;
}

/* -1 when value is no boolean, else 0 or 1. */
static inline int value_truth(const overread_value *value)
{
    return value && value->type == OVERREAD_BOOLEAN ? (value->as.boolean != 0) : -1;
}

#endif
