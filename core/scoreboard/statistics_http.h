/* Routes of reader and case statistics; scoreboard_http.c lists them. */
#ifndef OVERREAD_SCOREBOARD_STATISTICS_HTTP_H
#define OVERREAD_SCOREBOARD_STATISTICS_HTTP_H

#include "http/http.h"

void fiber_fn statistics_get(struct http_request *req);
void fiber_fn learning_get(struct http_request *req);
void fiber_fn case_statistics_get(struct http_request *req);

#endif
