/* The plain pages that mail links lead to: signing in and up, links, one's account. Files that are built in. */
#ifndef OVERREAD_PORTAL_H
#define OVERREAD_PORTAL_H

#include "http/http.h"

extern const struct http_route portal_routes[];

#endif
