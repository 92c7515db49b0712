/* Tokens of programs: a person's clients, a tenant's provisioning service (SCIM). */
#ifndef OVERREAD_IDENTITY_API_TOKENS_H
#define OVERREAD_IDENTITY_API_TOKENS_H

#include "db/db.h"
#include "http/http.h"

extern const struct http_route api_token_routes[];
extern const struct db_statement api_tokens_statements[];

/* Once, before the server starts: the areas that a scope may name are the first segments of these routes' paths. The
 * tables outlive the server. */
void api_tokens_init(const struct http_route *const *routes);

#endif
