/* The append-only record. Rows are written by the database's own functions, in the transaction of what they record;
 * this room is how a tenant reads them. */
#ifndef OVERREAD_AUDIT_H
#define OVERREAD_AUDIT_H

#include "db/db.h"
#include "http/http.h"

extern const struct http_route audit_routes[];
extern const struct db_statement audit_statements[];

#endif
