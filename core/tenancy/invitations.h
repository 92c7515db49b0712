/* Invitations, one or a list, links to join by, and what whoever holds such a link does with it. */
#ifndef OVERREAD_TENANCY_INVITATIONS_H
#define OVERREAD_TENANCY_INVITATIONS_H

#include "db/db.h"
#include "http/http.h"

extern const struct http_route invitations_routes[];
extern const struct db_statement invitations_statements[];

#endif
