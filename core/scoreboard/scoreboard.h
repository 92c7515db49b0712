/* Performance review and boards. Standings are kept by the database as grades come in (migrations/0004); this room
 * shows them. */
#ifndef OVERREAD_SCOREBOARD_H
#define OVERREAD_SCOREBOARD_H

#include "db/db.h"
#include "http/http.h"

extern const struct http_route scoreboard_routes[];
extern const struct db_statement scoreboard_statements[];

#endif
