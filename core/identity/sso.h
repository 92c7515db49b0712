/* Single sign-on: each tenant's OpenID provider recognises its people. What its word is good for stands at the head of
 * migrations/0011. */
#ifndef OVERREAD_IDENTITY_SSO_H
#define OVERREAD_IDENTITY_SSO_H

#include "base/config.h"
#include "db/db.h"
#include "http/http.h"

extern const struct http_route sso_routes[];
extern const struct db_statement sso_statements[];

/* Once, before the server starts; outlives it. Also outbound_init: providers are asked through it. */
void sso_init(const struct config *config);

/* By an operator: this domain is the tenant's own, so that its provider's word on addresses there is that of who controls
 * the mailboxes. confirmed false: takes it back. */
int sso_domain_confirm(struct db_session *admin, struct arena *arena, const char *tenant, const char *domain, bool confirmed,
                       struct error *err);

#endif
