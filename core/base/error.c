#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void copy_bounded(char *ret, size_t size, const char *s)
{
    size_t len = s ? strnlen(s, size - 1) : 0;
    if (len)
        memcpy(ret, s, len);
    ret[len] = '\0';
}

int error_set(struct error *err, enum error_kind kind, const char *code, const char *field,
              const char *format, ...)
{
    if (!err)
        return -1;
    /* Into a local first: an argument may point into *err, when a caller adds to what was said before. */
    char detail[sizeof(err->detail)];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);
    if (n < 0)
        detail[0] = '\0';
    char code_copy[sizeof(err->code)], field_copy[sizeof(err->field)];
    copy_bounded(code_copy, sizeof(code_copy), code);
    copy_bounded(field_copy, sizeof(field_copy), field);
    err->kind = kind;
    err->retry_after = 0;
    memcpy(err->code, code_copy, sizeof(err->code));
    memcpy(err->field, field_copy, sizeof(err->field));
    memcpy(err->detail, detail, sizeof(err->detail));
    return -1;
}

int error_status(enum error_kind kind)
{
    switch (kind) {
    case ERROR_NONE:
        return 200;
    case ERROR_INVALID:
        return 400;
    case ERROR_UNAUTHENTICATED:
        return 401;
    case ERROR_PAYMENT:
        return 402;
    case ERROR_FORBIDDEN:
        return 403;
    case ERROR_NOT_FOUND:
        return 404;
    case ERROR_CONFLICT:
        return 409;
    case ERROR_GONE:
        return 410;
    case ERROR_PRECONDITION:
        return 412;
    case ERROR_TOO_LARGE:
        return 413;
    case ERROR_UNSUPPORTED:
        return 415;
    case ERROR_UNPROCESSABLE:
        return 422;
    case ERROR_TOO_MANY:
        return 429;
    case ERROR_INTERNAL:
        return 500;
    case ERROR_UNAVAILABLE:
        return 503;
    case ERROR_CANCELLED:
        return 499;
    }
    return 500;
}
