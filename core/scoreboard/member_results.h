/* What others may see of a member's reads, and one's own reads in every tenant. Who may, says sight_of() in
 * migrations/0009. */
#ifndef OVERREAD_SCOREBOARD_MEMBER_RESULTS_H
#define OVERREAD_SCOREBOARD_MEMBER_RESULTS_H

#include "db/db.h"
#include "http/http.h"

extern const struct http_route member_results_routes[];
extern const struct db_statement member_results_statements[];

#endif
