/* Header fields: small strict parsers over values from outside. Pure functions. */
#ifndef OVERREAD_HTTP_FIELDS_H
#define OVERREAD_HTTP_FIELDS_H

#include "base/text.h"

/* Is this entity tag (without quotes) in an If-None-Match value? Weak comparison; "*" matches everything. */
bool field_etag_listed(struct text value, struct text etag);

/* Value of one cookie in a Cookie header; the first of that name. */
bool field_cookie(struct text value, const char *name, struct text *ret);

/* Is the media type (without its parameters, any case) this one? */
bool field_media_type_is(struct text value, const char *lower_case_type);

/* Last element of a comma-separated list, without blanks around it. */
struct text field_last(struct text value);

enum field_range { FIELD_RANGE_NONE, FIELD_RANGE_PART, FIELD_RANGE_UNSATISFIABLE };
/* Range header over a file of that size: one byte range is understood. What is malformed, another unit or
 * several ranges is ignored (RFC 9110, section 14.2): the whole file then. */
enum field_range field_range(struct text value, uint64_t size, uint64_t *ret_first, uint64_t *ret_len);

#define TRACE_ID_SIZE 33 /* with its NUL */
#define SPAN_ID_SIZE 17
/* W3C trace context, version 00 and what stays compatible with it. False when malformed or all zero. */
bool field_traceparent(struct text value, char ret_trace[TRACE_ID_SIZE], char ret_span[SPAN_ID_SIZE],
                       char ret_flags[3]);

#endif
