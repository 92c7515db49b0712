/* Errors as values: what went wrong, where in the input, in words. Set once where it is known, turned into a
 * reply (http) or a line on stderr (cli) once at the edge. */
#ifndef OVERREAD_BASE_ERROR_H
#define OVERREAD_BASE_ERROR_H

enum error_kind {
    ERROR_NONE = 0,
    ERROR_INVALID,         /* 400: cannot be parsed at all */
    ERROR_UNAUTHENTICATED, /* 401: no session, or one that has ended */
    ERROR_PAYMENT,         /* 402: no subscription covers it */
    ERROR_FORBIDDEN,       /* 403: signed in, but not in a role that may */
    ERROR_NOT_FOUND,       /* 404: not there, or not this tenant's */
    ERROR_CONFLICT,        /* 409: contradicts what is already recorded */
    ERROR_GONE,            /* 410: withdrawn */
    ERROR_PRECONDITION,    /* 412: If-Match names another state than the present one */
    ERROR_TOO_LARGE,       /* 413 */
    ERROR_UNSUPPORTED,     /* 415 */
    ERROR_UNPROCESSABLE,   /* 422: parsed, but a field is wrong; `field` names it */
    ERROR_TOO_MANY,        /* 429 */
    ERROR_INTERNAL,        /* 500: our fault; detail goes to the log, not to the client */
    ERROR_UNAVAILABLE,     /* 503: database or grader away, or a queue is full; try again */
    ERROR_CANCELLED,       /* the client is gone: nobody to answer */
};

struct error {
    enum error_kind kind;
    unsigned retry_after; /* seconds; 0: none stated */
    char code[64];        /* stable, machine readable, snake_case: "case_not_found" */
    char field[256];      /* JSON pointer or parameter name of the offending input; "" when none */
    char detail[512];     /* one sentence for a person */
};

/* Fills *err (which may be NULL) and returns -1, so that `return error_set(...)` reads well.
 * field may be NULL. */
int error_set(struct error *err, enum error_kind kind, const char *code, const char *field, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* HTTP status of a kind: 400 ... 503; 499 for ERROR_CANCELLED. */
int error_status(enum error_kind kind);

#endif
