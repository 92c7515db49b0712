/* Request targets: strict percent-decoding, path segments, query pairs. Pure functions over bytes from
 * outside. */
#ifndef OVERREAD_HTTP_URI_H
#define OVERREAD_HTTP_URI_H

#include "base/arena.h"
#include "base/text.h"

#define URI_SEGMENTS_MAX 16
#define URI_PAIRS_MAX 64

struct uri_pair {
    struct text name, value;
};

/* Decodes %XX (and '+' to a blank when plus is set) into the arena. 0, or -EINVAL: a broken escape, a NUL or
 * what does not decode to UTF-8. */
int uri_decode(struct arena *arena, struct text t, bool plus, struct text *ret);

/* Splits "/a/b%20c" into decoded segments. Number of segments, -EINVAL (see above, or no leading slash), or
 * -E2BIG with more than URI_SEGMENTS_MAX of them. "/" is one empty segment. */
int uri_path(struct arena *arena, struct text path, struct text ret[URI_SEGMENTS_MAX]);

/* Splits "a=1&b=2" into decoded pairs; "a" alone has an empty value, empty pairs are skipped. Number of
 * pairs, -EINVAL or -E2BIG. */
int uri_query(struct arena *arena, struct text query, struct uri_pair ret[URI_PAIRS_MAX]);

/* Path and query of a request target in origin form ("/p?q") or absolute form ("http://host/p?q"). 0 or
 * -EINVAL. */
int uri_target(struct text target, struct text *ret_path, struct text *ret_query);

#endif
